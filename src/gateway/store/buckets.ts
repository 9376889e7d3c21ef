/**
 * Making and deleting buckets (protocol 13.2). A bucket is deleted in three steps: a CLOSING record, under
 * which nodes take nothing more; a LIST up to checkpoints that q nodes signed after they had adopted it;
 * DELETED when that shows nothing, else OPEN again. Whoever meets a bucket that stays CLOSING, because the
 * gateway that began went away, takes these steps in its place.
 */
import { compare, equal, utf8 } from '../../base/bytes.ts';
import { isOperationError, OperationError } from '../../base/errors.ts';
import type { Bucket } from '../buckets/bucket-registry.ts';
import type { BucketInfo, BucketMode, CreateBucketResult, DeleteBucketResult, OperationId } from '../s3/object-store.ts';
import type { StoreContext } from './context.ts';
import { buryUploads } from './upload-leftovers.ts';

/** As S3's default limit for one account, tenfold. */
export const BUCKETS_MAX = 1000;
const CLOSING_POLL_MS = 100;

/** The bucket if it is open; null when there is none. Waits for a deletion under way, then ends it itself. */
export async function openBucket(ctx: StoreContext, name: string): Promise<Bucket | null> {
  const untilMs = ctx.clock.monotonicMs() + ctx.closingMs;
  let bucket = await ctx.registry.find(name);
  while (bucket?.record.state === 'CLOSING') {
    if (ctx.clock.monotonicMs() >= untilMs) {
      await endDeletion(ctx, name);
      bucket = await ctx.registry.refresh(name);
      break;
    }
    await ctx.clock.sleep(CLOSING_POLL_MS);
    bucket = await ctx.registry.refresh(name);
  }
  if (bucket?.record.state === 'CLOSING') {
    throw new OperationError('BUSY', 'The bucket is being deleted.', { retryable: true });
  }
  return bucket?.record.state === 'OPEN' ? bucket : null;
}

/** The bucket for reading: in any state but deleted. */
export async function readableBucket(ctx: StoreContext, name: string): Promise<Bucket | null> {
  const bucket = await ctx.registry.find(name);
  return bucket === null || bucket.record.state === 'DELETED' ? null : bucket;
}

export async function createBucket(
  ctx: StoreContext,
  name: string,
  operation: OperationId,
  mode: BucketMode = 'serialised',
): Promise<CreateBucketResult> {
  // Asked of the nodes: the answer must be right.
  await ctx.registry.refresh(name);
  const present = await openBucket(ctx, name);
  if (present !== null) return { outcome: equal(present.opId, operation.id) ? 'created' : 'owned-by-you' };
  if ((await countBuckets(ctx)) >= BUCKETS_MAX) return { outcome: 'too-many' };
  const previous = await ctx.registry.refresh(name);
  const { seal, record } = ctx.registry.nextGeneration(
    name,
    previous,
    mode === 'plain' ? 'PLAIN' : 'SERIALISED',
  );
  const result = await ctx.registry.write(seal, record, operation.id);
  switch (result.outcome) {
    case 'committed':
      return { outcome: 'created' };
    case 'unknown':
      return { outcome: 'unknown' };
    case 'rejected':
      throw result.error;
  }
}

export async function deleteBucket(
  ctx: StoreContext,
  name: string,
  operation: OperationId,
): Promise<DeleteBucketResult> {
  const present = await ctx.registry.refresh(name);
  if (present?.record.state === 'DELETED' && equal(present.opId, operation.id)) return { outcome: 'deleted' };
  const bucket = await openBucket(ctx, name);
  if (bucket === null) return { outcome: 'no-such-bucket' };
  // A look before anything is changed: most refusals end here.
  await ctx.barrier.pass();
  if (await hasObjects(ctx, bucket)) return { outcome: 'not-empty' };
  await buryUploads(ctx, bucket);
  return endDeletion(ctx, name, operation);
}

/**
 * Closes the bucket, looks, and deletes it or opens it again. Nothing that a client was told is lost whoever
 * else does the same at that time: nodes take no DELETED record after any but CLOSING.
 */
async function endDeletion(
  ctx: StoreContext,
  name: string,
  operation?: OperationId,
): Promise<DeleteBucketResult> {
  const bucket = await ctx.registry.refresh(name);
  if (bucket === null || bucket.record.state === 'DELETED') return { outcome: 'no-such-bucket' };
  const watch = await ctx.barrier.watchRecord(bucket.bucketId);
  try {
    const closed = await ctx.registry.change(bucket, 'CLOSING', ctx.random.bytes(32));
    if (closed.outcome === 'rejected') throw closed.error;
    // Superseded: another gateway changes the record at this moment, and decides.
    if (closed.outcome === 'unknown' || closed.superseded) return { outcome: 'unknown' };
    const isEmpty = await seesNothing(ctx, bucket, () =>
      watch.barrier(closed.signed.manifest.stamp, ctx.closingMs),
    );
    const opId = operation?.id ?? ctx.random.bytes(32);
    const ended = await ctx.registry.change(bucket, isEmpty === true ? 'DELETED' : 'OPEN', opId);
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

async function hasObjects(ctx: StoreContext, { bucketId, record }: Bucket): Promise<boolean> {
  const rows = await ctx.barrier.objects(bucketId, record.gen, new Uint8Array(0), undefined, 1);
  return rows.length > 0;
}

/** Of all that are not deleted, as far as the index knows. */
async function countBuckets(ctx: StoreContext): Promise<number> {
  let count = 0;
  for await (const [bucketId, row] of ctx.index.buckets()) {
    if (ctx.registry.describe(bucketId, row)?.state !== 'DELETED') count += 1;
  }
  return count;
}

/** All buckets that are not deleted, in byte order of their names. */
export async function listBuckets(ctx: StoreContext): Promise<readonly BucketInfo[]> {
  await ctx.barrier.pass();
  const found: BucketInfo[] = [];
  for (const [bucketId, row] of await ctx.barrier.buckets()) {
    const described = ctx.registry.describe(bucketId, row);
    if (described === null || described.state === 'DELETED') continue;
    found.push({ name: described.name, createdMs: described.createdMs });
  }
  return found.sort((a, b) => compare(utf8(a.name), utf8(b.name)));
}
