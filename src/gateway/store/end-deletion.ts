/**
 * The end of a bucket (protocol 13.2), in three steps: a CLOSING record, under which nodes take nothing more;
 * a LIST up to checkpoints that q nodes signed after they had adopted it; DELETED when that shows nothing,
 * else OPEN again. Whoever meets a bucket that stays CLOSING, because the gateway that began went away, takes
 * these steps in its place.
 */
import { EMPTY } from '../../base/bytes.ts';
import { isOperationError } from '../../base/errors.ts';
import type { Bucket } from '../buckets/bucket-registry.ts';
import type { DeleteBucketResult } from '../s3/port/buckets.ts';
import type { OperationId } from '../s3/port/content.ts';
import type { StoreContext } from './context.ts';

/**
 * Closes the bucket, looks, and deletes it or opens it again. Nothing that a client was told is lost whoever
 * else does the same at that time: nodes take no DELETED record after any but CLOSING.
 */
export async function endDeletion(
  ctx: StoreContext,
  name: string,
  operation?: OperationId,
): Promise<DeleteBucketResult> {
  const bucket = await ctx.registry.refresh(name);
  if (bucket === null || bucket.record.state === 'DELETED') return { outcome: 'no-such-bucket' };
  const watch = await ctx.barrier.watchRecord(bucket.bucketId);
  try {
    const closed = await ctx.registry.change(bucket, { state: 'CLOSING' }, ctx.random.bytes(32));
    if (closed.outcome === 'rejected') throw closed.error;
    // Superseded: another gateway changes the record at this moment, and decides.
    if (closed.outcome === 'unknown' || closed.superseded) return { outcome: 'unknown' };
    const isEmpty = await seesNothing(ctx, bucket, () =>
      watch.barrier(closed.signed.manifest.stamp, ctx.closingMs),
    );
    const opId = operation?.id ?? ctx.random.bytes(32);
    const ended = await ctx.registry.change(bucket, { state: isEmpty === true ? 'DELETED' : 'OPEN' }, opId);
    ctx.states.forget(name);
    if (ended.outcome !== 'committed' || isEmpty === 'unknown') return { outcome: 'unknown' };
    return { outcome: isEmpty ? 'deleted' : 'not-empty' };
  } finally {
    watch.end();
  }
}

/** Is the bucket empty behind the barrier? 'unknown' when that was not reached. */
async function seesNothing(
  ctx: StoreContext,
  bucket: Bucket,
  barrier: () => Promise<void>,
): Promise<boolean | 'unknown'> {
  try {
    await barrier();
    return !(await hasObjects(ctx, bucket));
  } catch (error) {
    if (isOperationError(error)) return 'unknown';
    throw error;
  }
}

/** Counts delete markers, too. */
export async function hasObjects(ctx: StoreContext, { bucketId, record }: Bucket): Promise<boolean> {
  const rows = await ctx.barrier.objects(bucketId, record.gen, EMPTY, undefined, 1);
  if (rows.length > 0) return true;
  // And versions below them.
  return (await ctx.barrier.versions(bucketId, record.gen, EMPTY, undefined, undefined, 1)).length > 0;
}
