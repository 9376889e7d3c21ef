/**
 * Finding the bucket that a request names. A deletion that is under way, or was left by a gateway that went
 * away, is waited for and then ended here (protocol 13.2).
 */
import { OperationError } from '../../base/errors.ts';
import type { Bucket } from '../buckets/bucket-registry.ts';
import type { StoreContext } from './context.ts';
import { endDeletion } from './end-deletion.ts';

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
