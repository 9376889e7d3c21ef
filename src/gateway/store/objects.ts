/**
 * PUT and DELETE of objects. Content streams into the client while it is hashed by the front; only when it
 * has ended well and no earlier request has done the same is anything prepared.
 */
import type { DeleteObjectResult, OperationId, PutObject, PutObjectResult } from '../s3/object-store.ts';
import type { ContentSeal, WriteCondition } from '../s3/object-store.ts';
import { assert } from '../../base/assert.ts';
import { OperationError } from '../../base/errors.ts';
import { AEAD_KEY_BYTES } from '../../crypto/primitives.ts';
import type { ObjectMeta } from '../../keyring/metadata.ts';
import { fingerprintOf } from '../operations.ts';
import { openBucket, readableBucket } from './buckets.ts';
import { Conditions } from './conditions.ts';
import type { StoreContext } from './context.ts';
import { toChecksum, toStoredChecksum, toStoredHeaders } from './mapping.ts';
import { bury, guessOf, Repetition, writeVersion } from './write-version.ts';

export async function putObject(ctx: StoreContext, request: PutObject): Promise<PutObjectResult> {
  const bucket = await openBucket(ctx, request.bucket);
  if (bucket === null) return { outcome: 'no-such-bucket' };
  const conditions = Conditions.of(request.condition, bucket);
  if (conditions !== null && !(conditions instanceof Conditions)) return conditions;
  const { keys } = bucket;
  const { content } = request;
  const keyId = keys.objectKeyId(request.key);
  const dataKey = ctx.random.bytes(AEAD_KEY_BYTES);
  const headers = toStoredHeaders(request.metadata);
  const operation = ctx.operations.begin(request.operation);
  let seal: ContentSeal | undefined;
  try {
    const written = await writeVersion(ctx, bucket, {
      keyId,
      opId: operation.id,
      ...(await guessOf(ctx, keyId)),
      ...(conditions === null ? {} : { allows: conditions.allows }),
      content: {
        kind: 'bytes',
        size: content.size,
        body: content.bytes,
        dataKey,
        wrappedKey: keys.wrap(ctx.random, keyId, dataKey),
        finish: async () => {
          seal = content.seal();
          const { etag } = seal;
          const checksum = toStoredChecksum(seal.checksum);
          const fingerprint = fingerprintOfPut(request, seal);
          const earlier = await operation.settle(fingerprint);
          if (earlier.kind !== 'none') throw new Repetition(earlier);
          const mark = operation.mark(fingerprint);
          const mtimeMs = ctx.clock.nowMs();
          const meta: ObjectMeta = {
            v: 1,
            t: 'object',
            name: request.key,
            etag,
            mtimeMs,
            headers,
            checksum,
            parts: 0,
            operation: mark,
          };
          return keys.sealMeta(ctx.random, keyId, dataKey, meta);
        },
      },
    });
    if (written.kind === 'unknown') return { outcome: 'unknown' };
    if (written.kind === 'stale') return await goneOrBusy(ctx, request.bucket);
    if (written.kind === 'declined') {
      if (seal === undefined && (await ctx.operations.result(operation.id)) !== undefined) {
        // The condition may have failed on what the first request of this id wrote: then this is that request.
        await drain(content.bytes);
        const earlier = await operation.settle(fingerprintOfPut(request, content.seal()));
        if (earlier.kind !== 'none') throw new Repetition(earlier);
      }
      return conditions?.refusal ?? { outcome: 'condition-failed' };
    }
    assert(seal !== undefined, 'what was committed was sealed');
    return { outcome: 'stored', etag: seal.etag, checksum: seal.checksum };
  } catch (error) {
    if (!(error instanceof Repetition)) throw error;
    if (error.earlier.kind === 'unknown') return { outcome: 'unknown' };
    const { etag, checksum } = error.earlier.row;
    return { outcome: 'stored', etag, checksum: toChecksum(checksum) };
  } finally {
    operation.end();
  }
}

function fingerprintOfPut({ content, metadata, condition }: PutObject, { etag, checksum }: ContentSeal): Uint8Array {
  const said = { size: content.size, etag, checksum: toStoredChecksum(checksum), headers: toStoredHeaders(metadata) };
  return fingerprintOf({ t: 'put', ...said, ...fingerprintOfCondition(condition) });
}

async function drain(bytes: AsyncIterable<Uint8Array>): Promise<void> {
  const pieces = bytes[Symbol.asyncIterator]();
  while ((await pieces.next()).done !== true);
}

/** Requests with different conditions are different requests. */
function fingerprintOfCondition(condition: WriteCondition | undefined): { readonly condition?: readonly string[] } {
  if (condition === undefined) return {};
  return { condition: [condition.ifMatch ?? '', condition.ifNoneMatch ?? ''] };
}

/**
 * After the record changed under a write whose content is gone: the client must send it again, or the
 * bucket is gone.
 */
export async function goneOrBusy(
  ctx: StoreContext,
  name: string,
): Promise<{ readonly outcome: 'no-such-bucket' }> {
  if ((await openBucket(ctx, name)) === null) return { outcome: 'no-such-bucket' };
  throw new OperationError('BUSY', 'The record of the bucket changed during the request.', {
    retryable: true,
  });
}

export async function deleteObject(
  ctx: StoreContext,
  bucketName: string,
  key: string,
  id: OperationId,
  condition?: WriteCondition,
): Promise<DeleteObjectResult> {
  const operation = ctx.operations.begin(id);
  try {
    const fingerprint = fingerprintOf({ t: 'delete', ...fingerprintOfCondition(condition) });
    const earlier = await operation.settle(fingerprint);
    if (earlier.kind === 'done') return { outcome: 'deleted' };
    if (earlier.kind === 'unknown') return { outcome: 'unknown' };
    const bucket = await openBucket(ctx, bucketName);
    if (bucket === null) return { outcome: 'no-such-bucket' };
    const conditions = Conditions.of(condition, bucket);
    if (conditions !== null && !(conditions instanceof Conditions)) return conditions;
    const keyId = bucket.keys.objectKeyId(key);
    const newest = await ctx.client.head(keyId);
    if (newest === null || newest.signed.manifest.kind === 'TOMBSTONE') {
      const nothing = await nothingThere(ctx, bucketName, bucket.record.gen, key, id, condition);
      return nothing.outcome === 'deleted' && condition?.ifMatch !== undefined ? { outcome: 'no-such-key' } : nothing;
    }
    const mark = operation.mark(fingerprint);
    const of = { t: 'object', name: key } as const;
    const predecessor = { stamp: newest.stamp, hash: newest.signed.hash };
    const allows = conditions?.allows;
    const buried = await bury(ctx, bucket, { keyId, of, opId: id.id, mark, predecessor, allows });
    if (buried === 'buried') return { outcome: 'deleted' };
    if (buried === 'declined') return conditions?.refusal ?? { outcome: 'condition-failed' };
    return buried === 'unknown' ? { outcome: 'unknown' } : await goneOrBusy(ctx, bucketName);
  } finally {
    operation.end();
  }
}

/**
 * Nothing under this name, if the bucket is the one we looked into: an old record would have made us look
 * elsewhere.
 */
async function nothingThere(
  ctx: StoreContext,
  bucketName: string,
  gen: number,
  key: string,
  id: OperationId,
  condition: WriteCondition | undefined,
): Promise<DeleteObjectResult> {
  await ctx.registry.refresh(bucketName);
  const bucket = await readableBucket(ctx, bucketName);
  if (bucket === null) return { outcome: 'no-such-bucket' };
  if (bucket.record.gen === gen) return { outcome: 'deleted' };
  return deleteObject(ctx, bucketName, key, { id: id.id, repeatable: false }, condition);
}
