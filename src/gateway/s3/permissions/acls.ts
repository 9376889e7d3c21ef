/** The ACLs of buckets and objects: asked for, and put by canned name, by grant headers or as a document. */
import { bucketOf, emptyResponse, objectOf, operationOf, refusal } from '../call.ts';
import type { Call, Feature } from '../call.ts';
import { readAll } from '../body/content.ts';
import { S3Error } from '../http/errors.ts';
import type { ObjectInfo } from '../port/objects.ts';
import { XML_BYTES_MAX, xmlResponse } from '../http/xml.ts';
import { decodeGrants, encodeGrants } from '../access/acl.ts';
import type { Grant } from '../access/acl.ts';
import { aclElement, cannedAclOf, grantsOfDocument, grantsOfHeaders, hasGrantHeaders } from '../access/acl-request.ts';
import type { AclOwner } from '../access/acl-request.ts';
import { factsOf } from '../access/bucket-facts.ts';
import type { BucketFacts } from '../access/bucket-facts.ts';
import { effectiveOwner } from '../access/decide.ts';
import { configure, stateOf } from '../documents/state.ts';
import { refusePublic } from '../access/new-object.ts';

export const getBucketAcl: Feature = async (call) => {
  const { owner, grants, ownership } = factsOf(await stateOf(call));
  const shown = ownership === 'BucketOwnerEnforced' ? (decodeGrants(undefined, owner) ?? []) : grants;
  return xmlResponse(200, await aclElement(owner, shown, call.accounts));
};

export const putBucketAcl: Feature = async (call) => {
  const facts = factsOf(await stateOf(call));
  refuseWhereEnforced(facts);
  const grants = await grantsOf(call, { owner: facts.owner, bucketOwner: facts.owner });
  refusePublic(facts, grants);
  await configure(call, 'accessControl', encodeGrants(grants, facts.owner));
  return emptyResponse(200);
};

function refuseWhereEnforced({ ownership }: BucketFacts): void {
  if (ownership === 'BucketOwnerEnforced') throw new S3Error('AccessControlListNotSupported');
}

/** Exactly one of a canned name, grant headers and a document. */
async function grantsOf(call: Call, owner: AclOwner): Promise<readonly Grant[]> {
  const announced = call.headers.has('content-length') || call.headers.has('transfer-encoding');
  const document = announced ? await readAll(call.content(XML_BYTES_MAX)) : new Uint8Array(0);
  const inHeaders = cannedAclOf(call.headers) !== undefined || hasGrantHeaders(call.headers);
  if (inHeaders && document.length > 0) throw new S3Error('UnexpectedContent');
  const grants = await grantsOfHeaders(call.headers, owner, call.accounts);
  if (grants !== undefined) return grants;
  if (document.length === 0) throw new S3Error('MissingSecurityHeader', 'An ACL is needed: x-amz-acl, grants or a document.');
  return await grantsOfDocument(document, owner.owner, call.accounts);
}

/** Reads the object that the request names; the store has judged that this is allowed. */
async function objectInfo(call: Call): Promise<ObjectInfo> {
  const result = await call.store.headObject({ ...objectOf(call), versionId: call.query.get('versionId') });
  if (result.outcome === 'found') return result.info;
  throw refusal(result.outcome);
}

function versionHeader(versionId: string | undefined): [string, string][] {
  return versionId === undefined ? [] : [['x-amz-version-id', versionId]];
}

export const getObjectAcl: Feature = async (call) => {
  const info = await objectInfo(call);
  const facts = await call.access.facts(bucketOf(call));
  const owner = effectiveOwner(facts, info.owner);
  const isEnforced = facts.ownership === 'BucketOwnerEnforced';
  const grants = decodeGrants(isEnforced ? undefined : info.attributes.accessControl, owner) ?? [];
  return xmlResponse(200, await aclElement(owner, grants, call.accounts), versionHeader(info.versionId));
};

export const putObjectAcl: Feature = async (call) => {
  const facts = await call.access.facts(bucketOf(call));
  refuseWhereEnforced(facts);
  const { owner } = await objectInfo(call);
  const grants = await grantsOf(call, { owner, bucketOwner: facts.owner });
  refusePublic(facts, grants);
  const result = await call.store.changeAttributes({
    ...objectOf(call),
    versionId: call.query.get('versionId'),
    change: { kind: 'accessControl', accessControl: encodeGrants(grants, owner) },
    operation: operationOf(call),
  });
  if (result.outcome !== 'changed') throw refusal(result.outcome);
  return emptyResponse(200, versionHeader(result.versionId));
};
