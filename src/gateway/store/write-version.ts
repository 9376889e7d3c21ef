/**
 * One write of the store through the protocol client: what its outcome means here, and what follows a
 * success. A refusal before anything can take effect is thrown, as the contract of the store wants it; a
 * changed bucket is told to the caller, who knows whether the content can be given again.
 */
import { EMPTY } from '../../base/bytes.ts';
import { OperationError } from '../../base/errors.ts';
import type { WriteContent } from '../../client/content.ts';
import type { SlotWriteResult } from '../../client/slot-write.ts';
import type { WriteResult } from '../../client/write.ts';
import type { SignedManifest } from '../../protocol/manifest.ts';
import type { Stamp } from '../../protocol/stamp.ts';
import type { Buried } from '../../keyring/metadata.ts';
import { authorityOf } from '../buckets/bucket-registry.ts';
import type { Bucket } from '../buckets/bucket-registry.ts';
import type { Earlier } from '../operations.ts';
import type { StoreContext } from './context.ts';

export type Written =
  | { readonly kind: 'committed'; readonly signed: SignedManifest; readonly certBytes: Uint8Array }
  | { readonly kind: 'unknown' }
  /** The bucket's record has changed: look at it again. Nothing took effect. */
  | { readonly kind: 'stale' }
  /** `allows` did not. Nothing took effect. */
  | { readonly kind: 'declined' };

/** Thrown in `finish` to withdraw a request that an earlier one has done, or may have. */
export class Repetition extends Error {
  override readonly name = 'Repetition';
  readonly earlier: Exclude<Earlier, { kind: 'none' }>;

  constructor(earlier: Exclude<Earlier, { kind: 'none' }>) {
    super('an earlier request with this operation id');
    this.earlier = earlier;
  }
}

/** The version that a write is thought to follow: hash and stamp of its manifest. */
export interface Guess {
  readonly stamp: Stamp;
  readonly hash: Uint8Array;
}

export interface VersionWrite {
  readonly keyId: Uint8Array;
  readonly opId: Uint8Array;
  readonly content: WriteContent;
  /** Null: there is none. Absent: ask the nodes. */
  readonly predecessor?: Guess | null;
  /** May this version be written in place of that one (null: none)? Serialised buckets only. */
  readonly allows?: (replaced: SignedManifest | null) => boolean;
}

/** Throws what the content threw, unchanged, and the client's OperationErrors. */
export async function writeVersion(ctx: StoreContext, bucket: Bucket, request: VersionWrite): Promise<Written> {
  const { predecessor, allows, ...write } = request;
  const authority = authorityOf(bucket);
  if (bucket.record.mode === 'PLAIN') {
    const guess = predecessor === undefined ? {} : { predecessor: predecessor?.stamp ?? null };
    return written(ctx, bucket, await ctx.client.write({ ...write, ...guess, bucket: authority }));
  }
  const result = await ctx.client.writeSlot({
    ...write,
    ...(predecessor === undefined ? {} : { predecessor }),
    bucket: authority,
    decide: (replaced) => {
      const isAllowed = allows === undefined || allows(replaced?.certified?.signed ?? null);
      return Promise.resolve(isAllowed ? { removes: 'ALL' } : 'decline');
    },
    needsCertified: allows !== undefined,
  });
  return result.outcome === 'declined' ? { kind: 'declined' } : written(ctx, bucket, result);
}

async function written(
  ctx: StoreContext,
  bucket: Bucket,
  result: WriteResult | Exclude<SlotWriteResult, { outcome: 'declined' }>,
): Promise<Written> {
  switch (result.outcome) {
    case 'committed':
      if (result.superseded) await ctx.barrier.noteOperation(result.signed, bucket.keys);
      else ctx.onWritten(result.signed.hash);
      return { kind: 'committed', signed: result.signed, certBytes: result.certBytes };
    case 'unknown':
      ctx.telemetry.event('warn', 'outcome of a write unknown', { reason: result.reason });
      return { kind: 'unknown' };
    case 'rejected': {
      const { error, record } = result;
      if (error.code === 'BUCKET_STALE') {
        if (record === undefined) await ctx.registry.refresh(bucket.name);
        else ctx.registry.observe(record);
        return { kind: 'stale' };
      }
      throw error.code === 'CANCELLED' && error.cause !== undefined ? error.cause : error;
    }
  }
}

/**
 * The version that the next one of a key is thought to follow: a right guess saves a round, a wrong one
 * costs one. Undefined: ask the nodes.
 */
export async function guessOf(
  ctx: StoreContext,
  keyId: Uint8Array,
): Promise<{ readonly predecessor?: Guess | null }> {
  const known = await ctx.barrier.key(keyId);
  if (known !== undefined) return { predecessor: { stamp: known.stamp, hash: known.manifestHash } };
  return ctx.barrier.isWarm ? { predecessor: null } : {};
}

/** Times that a write without a body is done again because the bucket's record changed. */
const STALE_RETRIES_MAX = 3;

export interface Burial {
  readonly keyId: Uint8Array;
  readonly of: Buried;
  readonly opId: Uint8Array;
  readonly mark: Uint8Array | null;
  readonly predecessor?: Guess | null;
  readonly allows?: VersionWrite['allows'] | undefined;
}

/** Writes a tombstone. `null`: the bucket is not open any more. Throws as `writeVersion`. */
export async function bury(
  ctx: StoreContext,
  bucket: Bucket,
  burial: Burial,
): Promise<'buried' | 'unknown' | 'declined' | null> {
  const { keyId, of, opId, mark, predecessor, allows } = burial;
  let current: Bucket | null = bucket;
  for (let tried = 0; tried < STALE_RETRIES_MAX; tried += 1) {
    if (current?.record.state !== 'OPEN' || current.record.gen !== bucket.record.gen) return null;
    const meta = { v: 1, t: 'tombstone', of, mtimeMs: ctx.clock.nowMs(), operation: mark } as const;
    const result = await writeVersion(ctx, current, {
      keyId,
      opId,
      content: {
        kind: 'tombstone',
        wrappedKey: EMPTY,
        encMeta: current.keys.sealTombstone(ctx.random, keyId, meta),
      },
      ...(predecessor === undefined ? {} : { predecessor }),
      ...(allows === undefined ? {} : { allows }),
    });
    if (result.kind === 'committed') return 'buried';
    if (result.kind === 'unknown' || result.kind === 'declined') return result.kind;
    current = await ctx.registry.find(bucket.name);
  }
  throw new OperationError('BUSY', 'The record of the bucket keeps changing.', { retryable: true });
}
