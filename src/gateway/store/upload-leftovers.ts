/**
 * What multipart uploads leave behind: registers and parts that a completed, aborted or abandoned upload no
 * longer needs. They are buried with tombstones, the register first: from then on the upload does not
 * exist, and a part that is found without it may always go.
 */
import { OperationError } from '../../base/errors.ts';
import { equal } from '../../base/bytes.ts';
import type { Buried } from '../../keyring/metadata.ts';
import type { Bucket } from '../buckets/bucket-registry.ts';
import type { MultipartEntry } from '../index/object-index.ts';
import type { StoreContext } from './context.ts';
import { bury } from './write-version.ts';

const AT_ONCE = 8;

export interface LeftPart {
  readonly uploadId: Uint8Array;
  readonly number: number;
}

/** Buries parts, some at a time. Throws when one of them cannot be buried now. */
export async function buryParts(
  ctx: StoreContext,
  bucket: Bucket,
  parts: readonly LeftPart[],
  signal?: AbortSignal,
): Promise<void> {
  for (let from = 0; from < parts.length && signal?.aborted !== true; from += AT_ONCE) {
    await Promise.all(
      parts.slice(from, from + AT_ONCE).map(({ uploadId, number }) => {
        const keyId = bucket.keys.partKeyId(uploadId, number);
        return buryHidden(ctx, bucket, keyId, { t: 'part', uploadId, number });
      }),
    );
  }
}

/**
 * Buries what is in the bucket's hidden namespace, whether it is in use or not: the bucket is about to go.
 */
export async function buryUploads(ctx: StoreContext, bucket: Bucket): Promise<void> {
  const parts: LeftPart[] = [];
  for await (const { uploadId, number } of ctx.index.multipart(bucket.bucketId, bucket.record.gen)) {
    if (number > 0) parts.push({ uploadId, number });
    else await buryHidden(ctx, bucket, bucket.keys.uploadKeyId(uploadId), { t: 'upload', uploadId });
  }
  await buryParts(ctx, bucket, parts);
}

/** Buries the parts of uploads that no longer exist. Asks the nodes before it takes one for gone. */
export async function sweepParts(ctx: StoreContext, bucket: Bucket, signal: AbortSignal): Promise<void> {
  let parts: LeftPart[] = [];
  let hasRegister = false;
  const flush = async (): Promise<void> => {
    const [first] = parts;
    if (first === undefined || hasRegister) return;
    const register = await ctx.client.head(bucket.keys.uploadKeyId(first.uploadId));
    if (register === null || register.signed.manifest.kind === 'TOMBSTONE')
      await buryParts(ctx, bucket, parts, signal);
  };
  let current: MultipartEntry | undefined;
  for await (const entry of ctx.index.multipart(bucket.bucketId, bucket.record.gen)) {
    if (signal.aborted) return;
    if (current === undefined || !equal(current.uploadId, entry.uploadId)) {
      await flush();
      parts = [];
      hasRegister = false;
    }
    current = entry;
    if (entry.number === 0) hasRegister = true;
    else parts.push(entry);
  }
  await flush();
}

async function buryHidden(ctx: StoreContext, bucket: Bucket, keyId: Uint8Array, of: Buried): Promise<void> {
  const newest = await ctx.client.head(keyId);
  if (newest === null || newest.signed.manifest.kind === 'TOMBSTONE') return;
  const opId = ctx.random.bytes(32);
  const outcome = await bury(ctx, bucket, { keyId, of, opId, mark: null, predecessor: { stamp: newest.stamp, hash: newest.signed.hash } });
  if (outcome === 'unknown')
    throw new OperationError('NO_QUORUM', 'A part could not be buried.', { retryable: true });
}
