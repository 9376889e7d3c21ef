/**
 * What answers about an object tell of its bucket's documents. Features ask here and need not know the
 * documents. The default encryption that a new object bears: sealing.ts.
 */
import type { HeaderField } from '../../../base/http.ts';
import type { Call } from '../call.ts';
import { S3Error } from '../http/errors.ts';
import { expirationHeaders } from '../lifecycle/expiration-header.ts';
import type { BucketState } from '../port/buckets.ts';
import type { ObjectInfo, ObjectMetadata } from '../port/objects.ts';
import { encryptionHeaders } from '../documents/encryption.ts';

async function stateOf(call: Call, bucket: string): Promise<BucketState> {
  const state = await call.access.bucketState(bucket);
  if (state === undefined) throw new S3Error('NoSuchBucket');
  return state;
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
