/**
 * Buckets: create, delete, head, list, and the two questions about a bucket that clients ask first, where it
 * is and whether it is versioned. Buckets are PLAIN (13.7) and unversioned; asking for more answers 501.
 */
import { utf8 } from '../../base/bytes.ts';
import { bucketOf, emptyResponse, integerParameter, isoTime, operationOf, refusal } from './call.ts';
import type { Call, Feature } from './call.ts';
import { readAll } from './content.ts';
import { openToken, sealToken } from './continuation.ts';
import { S3Error } from './errors.ts';
import type { BucketInfo } from './object-store.ts';
import { element, fields, optional, readXml, requiredText, XML_BYTES_MAX, xmlResponse } from './xml.ts';

const BUCKETS_PER_PAGE_MAX = 10_000;

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

export const createBucket: Feature = async (call) => {
  const bucket = bucketOf(call);
  await checkConfiguration(call);
  const mode = call.headers.get('x-holdfast-bucket-mode') === 'plain' ? 'plain' : 'serialised';
  const result = await call.store.createBucket(bucket, operationOf(call), mode);
  switch (result.outcome) {
    case 'created':
      return emptyResponse(200, [['Location', `/${bucket}`]]);
    case 'owned-by-you':
      throw new S3Error('BucketAlreadyOwnedByYou');
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

async function requireBucket(call: Call): Promise<void> {
  const result = await call.store.headBucket(bucketOf(call));
  if (result.outcome !== 'found') throw refusal(result.outcome);
}

export const headBucket: Feature = async (call) => {
  await requireBucket(call);
  return emptyResponse(200, [['x-amz-bucket-region', call.region]]);
};

export const getBucketLocation: Feature = async (call) => {
  await requireBucket(call);
  return xmlResponse(200, element('LocationConstraint', call.region === 'us-east-1' ? '' : call.region));
};

/** An empty document is S3's way to say that versioning was never enabled. */
export const getBucketVersioning: Feature = async (call) => {
  await requireBucket(call);
  return xmlResponse(200, element('VersioningConfiguration', []));
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
      ownerElement(call),
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

export function ownerElement(call: Call): ReturnType<typeof element> {
  return element('Owner', [element('ID', call.ownerId), element('DisplayName', call.ownerId)]);
}
