/** Making, changing, deleting and listing buckets (protocol 13.2). */
import { compare, equal, utf8 } from '../../base/bytes.ts';
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
import { endDeletion, hasObjects } from './end-deletion.ts';
import { accountOf, openBucket } from './open-bucket.ts';
import { buryUploads } from './upload-leftovers.ts';

/** As S3's default limit for one account, tenfold. */
export const BUCKETS_MAX = 1000;

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
  const written = await writeDocuments(ctx, bucket, { opId: ctx.random.bytes(32), mark: null }, (known) => (known === null ? documents : 'keep'));
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
