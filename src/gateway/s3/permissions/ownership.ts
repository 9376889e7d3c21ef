/**
 * Ownership controls of a bucket: who owns what others write into it, and whether ACLs count at all. A bucket without controls lets writers own what they write.
 */
import { emptyResponse } from '../call.ts';
import type { Feature } from '../call.ts';
import { readAll } from '../body/content.ts';
import { S3Error } from '../http/errors.ts';
import type { Headers } from '../http/headers.ts';
import type { Documents } from '../port/buckets.ts';
import type { AccountDirectory } from '../auth/principal.ts';
import { element, fields, readXml, requiredText, XML_BYTES_MAX, xmlResponse } from '../http/xml.ts';
import { encodeGrants } from '../access/acl.ts';
import { grantsOfHeaders } from '../access/acl-request.ts';
import { decodeOwnership, encodeOwnership, factsOf, OWNERSHIPS } from '../access/bucket-facts.ts';
import type { Ownership } from '../access/bucket-facts.ts';
import { configure, stateOf } from '../documents/state.ts';

const ROOT = 'OwnershipControls';

function ownershipNamed(text: string | undefined): Ownership | undefined {
  return OWNERSHIPS.find((ownership) => ownership === text);
}

export const putBucketOwnershipControls: Feature = async (call) => {
  const { Rule } = fields(readXml(await readAll(call.content(XML_BYTES_MAX)), ROOT), ['Rule']);
  if (Rule === undefined) throw new S3Error('MalformedXML', 'One rule is needed.');
  const { ObjectOwnership } = fields(Rule, ['ObjectOwnership']);
  const ownership = ownershipNamed(requiredText('ObjectOwnership', ObjectOwnership).trim());
  if (ownership === undefined) throw new S3Error('MalformedXML', 'ObjectOwnership is not one that S3 knows.');
  const facts = factsOf(await stateOf(call));
  if (ownership === 'BucketOwnerEnforced' && encodeGrants(facts.grants, facts.owner) !== undefined)
    throw new S3Error('InvalidBucketAclWithObjectOwnership');
  await configure(call, 'ownership', encodeOwnership(ownership));
  return emptyResponse(200);
};

export const getBucketOwnershipControls: Feature = async (call) => {
  const document = (await stateOf(call)).documents.ownership;
  const ownership = document === undefined ? undefined : decodeOwnership(document);
  if (ownership === undefined) throw new S3Error('OwnershipControlsNotFoundError');
  return xmlResponse(200, element(ROOT, [element('Rule', [element('ObjectOwnership', ownership)])]));
};

export const deleteBucketOwnershipControls: Feature = async (call) => {
  await configure(call, 'ownership', undefined);
  return emptyResponse(204);
};

/** Documents about access that a new bucket of `owner` begins with, by the headers of CreateBucket. */
export async function documentsOfNewBucket(
  headers: Headers,
  owner: string,
  accounts: AccountDirectory,
): Promise<Pick<Documents, 'accessControl' | 'ownership'>> {
  const asked = headers.get('x-amz-object-ownership');
  const ownership = ownershipNamed(asked);
  if (asked !== undefined && ownership === undefined)
    throw new S3Error('InvalidArgument', 'x-amz-object-ownership is not one that S3 knows.');
  const grants = await grantsOfHeaders(headers, { owner, bucketOwner: owner }, accounts);
  const accessControl = grants === undefined ? undefined : encodeGrants(grants, owner);
  if (ownership === 'BucketOwnerEnforced' && accessControl !== undefined)
    throw new S3Error('InvalidBucketAclWithObjectOwnership');
  return {
    ...(ownership === undefined ? {} : { ownership: encodeOwnership(ownership) }),
    ...(accessControl === undefined ? {} : { accessControl }),
  };
}
