/**
 * Making and deleting buckets (protocol 13.2). A bucket is deleted in three steps: a CLOSING record, under
 * which nodes take nothing more; a LIST up to checkpoints that q nodes signed after they had adopted it;
 * DELETED when that shows nothing, else OPEN again. Whoever meets a bucket that stays CLOSING, because the
 * gateway that began went away, takes these steps in its place.
 */
import { compare, EMPTY, equal, utf8 } from '../../base/bytes.ts';
import { isOperationError, OperationError } from '../../base/errors.ts';
import type { Bucket } from '../buckets/bucket-registry.ts';
import type {
  BucketChange,
  BucketInfo,
  ChangeBucket,
  ChangeBucketResult,
  CreateBucket,
  CreateBucketResult,
  DeleteBucketResult,
} from '../s3/port/buckets.ts';
import type { OperationId } from '../s3/port/content.ts';
import type { BucketRecord } from '../../protocol/bucket-record.ts';
import type { BucketSeal } from '../../keyring/owner-keys.ts';
import type { StoreContext } from './context.ts';
import { writeDocuments } from './documents.ts';
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

/** Account that made the bucket. */
export function accountOf(ctx: StoreContext, { seal }: Bucket): string {
  return seal.owner ?? ctx.ownerId;
}

export async function createBucket(ctx: StoreContext, request: CreateBucket): Promise<CreateBucketResult> {
  const { bucket: name, operation } = request;
  // Asked of the nodes: the answer must be right.
  await ctx.registry.refresh(name);
  const present = await openBucket(ctx, name);
  if (present !== null) {
    if (accountOf(ctx, present) !== request.owner) return { outcome: 'taken' };
    return equal(present.opId, operation.id) ? configured(ctx, present, request) : { outcome: 'owned-by-you' };
  }
  if ((await countBuckets(ctx)) >= BUCKETS_MAX) return { outcome: 'too-many' };
  const previous = await ctx.registry.refresh(name);
  const { seal, record } = ctx.registry.nextGeneration(name, previous, request);
  const result = await ctx.registry.write(seal, record, operation.id);
  switch (result.outcome) {
    case 'committed':
      return made(ctx, request);
    case 'unknown':
      return { outcome: 'unknown' };
    case 'rejected':
      throw result.error;
  }
}

/** Two gateways may have made the bucket at one moment, for two accounts: its record says whose it is. */
async function made(ctx: StoreContext, request: CreateBucket): Promise<CreateBucketResult> {
  ctx.states.forget(request.bucket);
  const bucket = await ctx.registry.refresh(request.bucket);
  if (bucket === null) return { outcome: 'unknown' };
  return accountOf(ctx, bucket) === request.owner ? configured(ctx, bucket, request) : { outcome: 'taken' };
}

/** The documents that the bucket was made with, unless someone has changed them already. */
async function configured(ctx: StoreContext, bucket: Bucket, { documents }: CreateBucket): Promise<CreateBucketResult> {
  if (Object.keys(documents).length === 0) return { outcome: 'created' };
  const written = await writeDocuments(ctx, bucket, ctx.random.bytes(32), (known) => (known === null ? documents : 'keep'));
  return { outcome: written === 'changed' || written === 'kept' ? 'created' : 'unknown' };
}

/** Changes what the storage nodes enforce. */
export async function changeBucket(ctx: StoreContext, request: ChangeBucket): Promise<ChangeBucketResult> {
  await ctx.registry.refresh(request.bucket);
  const bucket = await openBucket(ctx, request.bucket);
  if (bucket === null) return { outcome: 'no-such-bucket' };
  const changes = changesOf(bucket, request.change);
  if (changes === null) return { outcome: 'not-allowed' };
  const result = await ctx.registry.change(bucket, changes, request.operation.id);
  ctx.states.forget(request.bucket);
  if (result.outcome === 'rejected') throw result.error;
  return { outcome: result.outcome === 'committed' && !result.superseded ? 'changed' : 'unknown' };
}

/** Null: not allowed. */
function changesOf(
  { record }: Bucket,
  change: BucketChange,
): (Partial<Pick<BucketRecord, 'versioning' | 'lock'>> & Partial<Pick<BucketSeal, 'defaultRetention'>>) | null {
  if (record.mode === 'PLAIN') return null;
  if (change.kind === 'versioning') {
    if (record.lock && change.versioning === 'suspended') return null;
    return { versioning: change.versioning === 'enabled' ? 'ENABLED' : 'SUSPENDED' };
  }
  if (record.versioning !== 'ENABLED') return null;
  const { defaultRetention: rule } = change;
  return { lock: true, defaultRetention: rule === undefined ? null : { mode: rule.mode, ...rule.period } };
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

async function hasObjects(ctx: StoreContext, { bucketId, record }: Bucket): Promise<boolean> {
  const rows = await ctx.barrier.objects(bucketId, record.gen, EMPTY, undefined, 1);
  if (rows.length > 0) return true;
  // Delete markers and versions below them, too.
  return (await ctx.barrier.versions(bucketId, record.gen, EMPTY, undefined, undefined, 1)).length > 0;
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
    const { name, createdMs, owner } = described;
    found.push({ name, createdMs, owner: owner ?? ctx.ownerId });
  }
  return found.sort((a, b) => compare(utf8(a.name), utf8(b.name)));
}
