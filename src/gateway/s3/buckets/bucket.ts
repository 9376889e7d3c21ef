/**
 * Buckets: create, delete, head, list, and where a bucket is. What it keeps of versions is in versioning.ts,
 * and how it locks them in lock/.
 */
import { utf8 } from '../../../base/bytes.ts';
import type { HeaderField, HttpResponse } from '../../../base/http.ts';
import { identity } from '../access/acl-request.ts';
import { stateOf } from '../documents/state.ts';
import { documentsOfNewBucket } from '../permissions/ownership.ts';
import { bucketOf, emptyResponse, integerParameter, isoTime, operationOf, refusal } from '../call.ts';
import type { Call, Feature } from '../call.ts';
import { readAll } from '../body/content.ts';
import { openToken, sealToken } from '../http/continuation.ts';
import { S3Error } from '../http/errors.ts';
import type { BucketInfo, Documents } from '../port/buckets.ts';
import { principalId } from '../auth/principal.ts';
import { element, fields, optional, readXml, requiredText, XML_BYTES_MAX, xmlResponse } from '../http/xml.ts';
import type { Element } from '../http/xml.ts';

const BUCKETS_PER_PAGE_MAX = 10_000;
const FIRST_REGION = 'us-east-1';

/** The document may name the region we are in; anything else about a new bucket is not built. */
async function checkConfiguration(call: Call): Promise<void> {
  const announced = call.headers.has('content-length') || call.headers.has('transfer-encoding');
  const content = announced ? call.content(XML_BYTES_MAX) : undefined;
  const document = content === undefined ? new Uint8Array(0) : await readAll(content);
  if (document.length === 0) return;
  const known = fields(readXml(document, 'CreateBucketConfiguration'), ['LocationConstraint']);
  const location =
    known.LocationConstraint === undefined
      ? ''
      : requiredText('LocationConstraint', known.LocationConstraint);
  if (location !== '' && location !== call.region) throw new S3Error('IllegalLocationConstraintException');
}

/**
 * To ask for the same bucket again does no harm, and in its first region S3 says so; to ask for it with
 * another ACL or otherwise must not look as if it had been done.
 */
async function madeBefore(call: Call, asked: Documents): Promise<HttpResponse> {
  const { documents } = await stateOf(call);
  if (documents.accessControl !== asked.accessControl) throw new S3Error('BucketAlreadyExists');
  const isPlain = asked.ownership === undefined && ![...call.headers.names()].some((name) => /^x-(amz-bucket|holdfast)-/.test(name));
  if (call.region !== FIRST_REGION || !isPlain) throw new S3Error('BucketAlreadyOwnedByYou');
  return emptyResponse(200, [['Location', `/${bucketOf(call)}`]]);
}

export const createBucket: Feature = async (call) => {
  const bucket = bucketOf(call);
  // Not as a host name can be; buckets made before this was asked stay within reach.
  if (/\.-|-\./.test(bucket)) throw new S3Error('InvalidBucketName');
  await checkConfiguration(call);
  const owner = principalId(call.principal);
  const documents = await documentsOfNewBucket(call.headers, owner, call.accounts);
  const result = await call.store.createBucket({
    bucket,
    owner,
    lockEnabled: call.headers.get('x-amz-bucket-object-lock-enabled') === 'true',
    serialised: call.headers.get('x-holdfast-bucket-mode') !== 'plain',
    documents,
    operation: operationOf(call),
  });
  switch (result.outcome) {
    case 'created':
      return emptyResponse(200, [['Location', `/${bucket}`]]);
    case 'owned-by-you':
      return await madeBefore(call, documents);
    case 'taken':
      throw new S3Error('BucketAlreadyExists');
    case 'too-many':
      throw new S3Error('TooManyBuckets');
    case 'unknown':
      throw refusal(result.outcome);
  }
};

export const deleteBucket: Feature = async (call) => {
  const result = await call.store.deleteBucket(bucketOf(call), operationOf(call));
  if (result.outcome === 'deleted') return emptyResponse(204);
  throw result.outcome === 'not-empty' ? new S3Error('BucketNotEmpty') : refusal(result.outcome);
};


/** With `read-stats`, as Ceph's clients ask, what the bucket holds: a walk that its owner alone may cause. */
export const headBucket: Feature = async (call) => {
  const { name, owner } = await stateOf(call);
  const headers: HeaderField[] = [['x-amz-bucket-region', call.region]];
  if (call.query.has('read-stats')) {
    if (call.access.accountId !== owner) throw new S3Error('AccessDenied');
    const { objects, bytes } = await call.usage.measure(name);
    headers.push(['x-rgw-object-count', String(objects)], ['x-rgw-bytes-used', String(bytes)]);
  }
  return emptyResponse(200, headers);
};

export const getBucketLocation: Feature = async (call) => {
  await stateOf(call);
  return xmlResponse(200, element('LocationConstraint', call.region === FIRST_REGION ? '' : call.region));
};

export const listBuckets: Feature = async (call) => {
  const prefix = call.query.get('prefix') ?? '';
  const limit = integerParameter(call.query, 'max-buckets', 1, BUCKETS_PER_PAGE_MAX, BUCKETS_PER_PAGE_MAX);
  const region = call.query.get('bucket-region');
  const scope = ['buckets', prefix, region ?? ''];
  const token = call.query.get('continuation-token');
  const from = token === undefined ? '' : new TextDecoder().decode(openToken(call.tokenKey, scope, token));
  const wanted = (bucket: BucketInfo): boolean => bucket.name.startsWith(prefix) && bucket.name > from;
  const all = region === undefined || region === call.region ? await call.store.listBuckets() : [];
  const matching = all.filter(wanted);
  const page = matching.slice(0, limit);
  const last = matching.length > page.length ? page.at(-1) : undefined;
  return xmlResponse(
    200,
    element('ListAllMyBucketsResult', [
      await ownerElement(call, principalId(call.principal)),
      element(
        'Buckets',
        page.map((bucket) => bucketElement(bucket, call.region)),
      ),
      ...(last === undefined
        ? []
        : [element('ContinuationToken', sealToken(call.tokenKey, scope, utf8(last.name)))]),
      ...optional('Prefix', call.query.get('prefix')),
    ]),
  );
};

function bucketElement(bucket: BucketInfo, region: string): ReturnType<typeof element> {
  return element('Bucket', [
    element('Name', bucket.name),
    element('CreationDate', isoTime(bucket.createdMs)),
    element('BucketRegion', region),
  ]);
}

export async function ownerElement(call: Call, id: string): Promise<Element> {
  return element('Owner', await identity(id, call.accounts));
}
