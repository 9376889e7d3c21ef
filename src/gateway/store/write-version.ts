/**
 * One write of the store through the protocol client: what its outcome means here, and what follows a
 * success. A refusal before anything can take effect is thrown, as the contract of the store wants it; a
 * changed bucket is told to the caller, who knows whether the content can be given again.
 */
import { EMPTY } from '../../base/bytes.ts';
import { OperationError } from '../../base/errors.ts';
import type { WriteContent } from '../../client/content.ts';
import type { Predecessor, SlotTerms, SlotWriteResult } from '../../client/slot-write.ts';
import type { WriteResult } from '../../client/write.ts';
import type { SignedManifest } from '../../protocol/manifest.ts';
import type { Buried, VersionPointer } from '../../keyring/metadata.ts';
import { authorityOf } from '../buckets/bucket-registry.ts';
import type { Bucket } from '../buckets/bucket-registry.ts';
import type { Earlier } from '../operations.ts';
import type { StoreContext } from './context.ts';

export type Written =
  | { readonly kind: 'committed'; readonly signed: SignedManifest; readonly certBytes: Uint8Array }
  | { readonly kind: 'unknown' }
  /** `decide` declined. Nothing took effect. */
  | { readonly kind: 'declined' }
  /** The bucket's record has changed: look at it again. Nothing took effect. */
  | { readonly kind: 'stale' };

/** One version that is to be written, in a bucket of either mode. */
export interface VersionWrite {
  readonly keyId: Uint8Array;
  /** 32 bytes: identity of the user operation. */
  readonly opId: Uint8Array;
  readonly content: WriteContent;
  /** The version that it is thought to follow; null: none. Absent: ask the nodes. */
  readonly predecessor?: VersionPointer | null;
  /** In a serialised bucket only. Left out: what the key held ends. */
  readonly decide?: (predecessor: Predecessor | null) => Promise<SlotTerms | 'decline'>;
  readonly needsCertified?: boolean;
  /** Of attributes. */
  readonly clear?: Uint8Array;
}

/** Thrown in `finish` to withdraw a request that an earlier one has done, or may have. */
export class Repetition extends Error {
  override readonly name = 'Repetition';
  readonly earlier: Exclude<Earlier, { kind: 'none' }>;

  constructor(earlier: Exclude<Earlier, { kind: 'none' }>) {
    super('an earlier request with this operation id');
    this.earlier = earlier;
  }
}

/** Throws what the content threw, unchanged, and the client's OperationErrors. */
export async function writeVersion(
  ctx: StoreContext,
  bucket: Bucket,
  request: VersionWrite,
): Promise<Written> {
  const result = await (bucket.record.mode === 'PLAIN' ? writePlain : writeSlot)(ctx, bucket, request);
  switch (result.outcome) {
    case 'committed':
      if (!result.superseded) ctx.onWritten(result.signed.hash);
      return { kind: 'committed', signed: result.signed, certBytes: result.certBytes };
    case 'declined':
      return { kind: 'declined' };
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

function writePlain(
  ctx: StoreContext,
  bucket: Bucket,
  { keyId, opId, content, predecessor }: VersionWrite,
): Promise<WriteResult> {
  const guess = predecessor === undefined ? {} : { predecessor: predecessor?.stamp ?? null };
  return ctx.client.write({ bucket: authorityOf(bucket), keyId, opId, content, ...guess });
}

function writeSlot(ctx: StoreContext, bucket: Bucket, request: VersionWrite): Promise<SlotWriteResult> {
  const decide = (predecessor: Predecessor | null): Promise<SlotTerms> =>
    Promise.resolve(endsPredecessor(bucket, predecessor));
  return ctx.client.writeSlot({ decide, needsCertified: false, ...request, bucket: authorityOf(bucket) });
}

/** Of a hidden register one version is kept, whatever the bucket keeps of its objects. */
export function endsPredecessor({ record }: Bucket, predecessor: Pick<Predecessor, 'stamp'> | null): SlotTerms {
  if (record.versioning === 'NEVER') return { removes: 'ALL' };
  return { removes: predecessor === null ? [] : [predecessor.stamp] };
}

/**
 * The version that the next version of a key is thought to follow: a right guess saves a round, a wrong one
 * costs one. Undefined: ask the nodes.
 */
export async function guessOf(
  ctx: StoreContext,
  keyId: Uint8Array,
): Promise<{ readonly predecessor?: VersionPointer | null }> {
  const known = await ctx.barrier.key(keyId);
  if (known !== undefined) return { predecessor: { stamp: known.stamp, hash: known.manifestHash } };
  return ctx.barrier.isWarm ? { predecessor: null } : {};
}

/** Times that a write without a body is done again because the bucket's record changed. */
const STALE_RETRIES_MAX = 3;

/** What of a tombstone differs. */
export interface Burial extends Pick<VersionWrite, 'predecessor' | 'decide' | 'needsCertified'> {
  readonly keyId: Uint8Array;
  readonly of: Buried;
  readonly opId: Uint8Array;
  readonly mark: Uint8Array | null;
}

/** Writes a tombstone that is no delete marker. `null`: the bucket is not open any more. Throws as `writeVersion`. */
export async function bury(
  ctx: StoreContext,
  bucket: Bucket,
  burial: Burial,
): Promise<'buried' | 'unknown' | 'declined' | null> {
  const { keyId, of, opId, mark, ...how } = burial;
  let current: Bucket | null = bucket;
  for (let tried = 0; tried < STALE_RETRIES_MAX; tried += 1) {
    if (current?.record.state !== 'OPEN' || current.record.gen !== bucket.record.gen) return null;
    const mtimeMs = ctx.clock.nowMs();
    const meta = { v: 2, t: 'tombstone', of, mtimeMs, operation: mark, owner: null, kept: 'NEVER' } as const;
    const written = await writeVersion(ctx, current, {
      keyId,
      opId,
      content: {
        kind: 'tombstone',
        wrappedKey: EMPTY,
        encMeta: current.keys.sealTombstone(ctx.random, keyId, meta),
      },
      ...how,
    });
    if (written.kind === 'committed') return 'buried';
    if (written.kind === 'unknown' || written.kind === 'declined') return written.kind;
    current = await ctx.registry.find(bucket.name);
  }
  throw new OperationError('BUSY', 'The record of the bucket keeps changing.', { retryable: true });
}
