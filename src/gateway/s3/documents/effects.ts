/**
 * What the documents of a bucket say about its objects: the default encryption that a new one bears, and what
 * answers about one tell of it. Features ask here and need not know the documents.
 */
import type { HeaderField } from '../../../base/http.ts';
import type { Call } from '../call.ts';
import { S3Error } from '../errors.ts';
import { expirationHeaders } from '../lifecycle/expiration-header.ts';
import type { BucketState } from '../port/buckets.ts';
import type { ObjectInfo, ObjectMetadata } from '../port/objects.ts';
import { encryptionHeaders, sealedAs } from './encryption.ts';

async function stateOf(call: Call, bucket: string): Promise<BucketState> {
  const state = await call.access.bucketState(bucket);
  if (state === undefined) throw new S3Error('NoSuchBucket');
  return state;
}

/** The metadata of a new object, with the bucket's default encryption where the request names none. */
export async function withDefaults(call: Call, bucket: string, metadata: ObjectMetadata): Promise<ObjectMetadata> {
  return { ...metadata, sse: sealedAs(await stateOf(call, bucket), metadata.sse) };
}

/** Headers about an object that was just written. */
export async function headersOfNew(
  call: Call,
  bucket: string,
  key: string,
  made: Pick<ObjectInfo, 'size' | 'lastModifiedMs'> & Pick<ObjectInfo['attributes'], 'tags'> & Pick<ObjectMetadata, 'sse'>,
): Promise<HeaderField[]> {
  return [...encryptionHeaders(made.sse), ...expirationHeaders(await stateOf(call, bucket), { key, ...made })];
}

/** When the newest version of an object expires; nothing about a version that was asked for by its id. */
export async function expiryOf(call: Call, bucket: string, key: string, info: ObjectInfo): Promise<readonly HeaderField[]> {
  if (call.query.has('versionId')) return [];
  const { size, lastModifiedMs, attributes } = info;
  return expirationHeaders(await stateOf(call, bucket), { key, size, lastModifiedMs, tags: attributes.tags });
}
