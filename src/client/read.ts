/**
 * READ (protocol 6.3): the highest certified version among q replies, given back only when c nodes hold its
 * certificate, so that no later read returns an older one. Content is fetched beside that; not a byte leaves
 * before it is verified and before the certificate is where it must be.
 */
import { equal } from '../base/bytes.ts';
import { OperationError } from '../base/errors.ts';
import { CELL_BYTES_DEFAULT } from '../base/limits.ts';
import { aeadKey, aeadOpen, sha256 } from '../crypto/primitives.ts';
import { holderCount } from '../protocol/quorum.ts';
import type { SignedManifest } from '../protocol/manifest.ts';
import { stripeAssociated, stripeNonce, stripePlainBytes } from '../protocol/stripes.ts';
import { reaches } from './certificates.ts';
import type { Certified } from './certificates.ts';
import type { Stamp } from '../protocol/stamp.ts';
import { requireHeld } from './commit.ts';
import type { ClientContext } from './context.ts';
import { ends, fetchBody } from './fetch.ts';
import type { EarlyPiece, Fetched } from './fetch.ts';
import { query, showing } from './query.ts';
import type { QueryRound } from './query.ts';
import { cut, openTable, segmentOf, stepsOf } from './read-plan.ts';
import type { Segment, Step } from './read-plan.ts';
import { StripeStream } from './stripe-stream.ts';

/**
 * What to read of a version: its data key and a range (all of it when left out), or null to read nothing of
 * it.
 */
export type ReadPlan = {
  readonly dataKey: Uint8Array;
  /** Bytes `start` up to but not including `end`. */
  readonly start?: number;
  readonly end?: number;
} | null;

export interface ReadOptions {
  /** The size that the caller expects: small contents then come with the first round. Absent: unknown. */
  readonly sizeHint?: number;
  /** The version of this stamp, instead of the newest. */
  readonly at?: Stamp;
  readonly signal?: AbortSignal;
}

export interface ReadTrust {
  /**
   * Did this gateway write the version, or check all of it before? Then its encoding is not checked again.
   */
  readonly trusted: (manifestHash: Uint8Array) => boolean;
  /** All of the version was read and its encoding found right. */
  readonly onChecked: (manifestHash: Uint8Array) => void;
}

export type ReadResult =
  /** There is no version, or the newest one is a tombstone. */
  | { readonly kind: 'absent'; readonly tombstone: Certified | null }
  /** The plan was to read nothing. */
  | { readonly kind: 'head'; readonly version: Certified }
  | {
      readonly kind: 'content';
      readonly version: Certified;
      readonly start: number;
      readonly end: number;
      /**
       * May be iterated once. Rejects with DAMAGED, NO_QUORUM, OVERWRITTEN or CANCELLED when it cannot go on.
       */
      readonly stream: AsyncIterable<Uint8Array>;
      /** Ends the fetching of a stream that is not iterated to its end. */
      readonly close: () => void;
    };

/** A read begins again when its version is replaced meanwhile; each time implies another completed write. */
const RESTARTS_MAX = 8;

/** The newest version of a key, tombstones too; null: none. Throws NO_QUORUM. */
export async function head(
  ctx: ClientContext,
  keyId: Uint8Array,
  signal?: AbortSignal,
): Promise<Certified | null> {
  const round = await query(ctx, keyId, signal === undefined ? {} : { signal });
  if (round.highest !== null) await writeBack(ctx, round, round.highest);
  return round.highest;
}

/** One version by its stamp, as it is now. */
export type VersionHead =
  | { readonly kind: 'version'; readonly certified: Certified }
  | { readonly kind: 'removed' }
  | { readonly kind: 'absent' };

/** Throws NO_QUORUM. What it says of a version stays so for every later call. */
export async function headAt(
  ctx: ClientContext,
  keyId: Uint8Array,
  at: Stamp,
  signal?: AbortSignal,
): Promise<VersionHead> {
  const round = await query(ctx, keyId, { at, ...(signal === undefined ? {} : { signal }) });
  if (round.removedBy !== null) {
    await settleRemoval(ctx, round, round.removedBy);
    return { kind: 'removed' };
  }
  if (round.highest === null) return { kind: 'absent' };
  await writeBack(ctx, round, round.highest);
  return { kind: 'version', certified: round.highest };
}

/** Who has seen a version gone must never see it again. */
async function settleRemoval(ctx: ClientContext, round: QueryRound, by: Certified): Promise<void> {
  const shown = new Set([...round.replies].filter(([, { removedBy }]) => reaches(removedBy, by.stamp)).map(([slot]) => slot));
  if (shown.size < holderCount(ctx.cluster.geometry)) await requireHeld(ctx, by, { shown });
}

/**
 * Reads a version. `plan` is called with the version found, and again with a newer one if the read begins
 * anew; what it throws goes through. Throws NO_QUORUM, DAMAGED, OVERWRITTEN, CANCELLED.
 */
export async function read(
  ctx: ClientContext,
  trust: ReadTrust,
  keyId: Uint8Array,
  plan: (signed: SignedManifest) => Promise<ReadPlan> | ReadPlan,
  options: ReadOptions = {},
): Promise<ReadResult> {
  const cellsFrom = new Set(wantsFirstStripe(ctx, options) ? preferredHolders(ctx) : []);
  const { at } = options;
  const round = await query(ctx, keyId, { cellsFrom, ...signalOf(options), ...(at === undefined ? {} : { at }) });
  if (round.removedBy !== null) {
    await settleRemoval(ctx, round, round.removedBy);
    return { kind: 'absent', tombstone: null };
  }
  let version = round.highest;
  for (let begun = 0; begun < RESTARTS_MAX; begun += 1) {
    if (version === null) return { kind: 'absent', tombstone: null };
    const held = writeBack(ctx, round, version);
    held.catch(() => undefined);
    const { kind } = version.signed.manifest;
    const isGone = kind === 'TOMBSTONE';
    const planned = isGone ? null : await plan(version.signed);
    if (planned === null) {
      await held;
      return isGone ? { kind: 'absent', tombstone: version } : { kind: 'head', version };
    }
    const early = (slot: number): Promise<EarlyPiece | null> => earlyPiece(round, cellsFrom, version, slot);
    const opened = await open(ctx, trust, version, planned, options, early);
    if (opened.kind === 'fetched') {
      try {
        await held;
      } catch (error) {
        opened.value.close();
        throw error;
      }
      return { kind: 'content', version, ...opened.value };
    }
    // Of one version there is no newer one: it has gone, if that is shown.
    if (at !== undefined && ends(opened.by, at)) return { kind: 'absent', tombstone: null };
    if (at !== undefined) break;
    version = opened.by;
  }
  const message = 'The key was overwritten faster than it could be read.';
  throw new OperationError('OVERWRITTEN', message, { retryable: true });
}

function signalOf({ signal }: ReadOptions): { readonly signal?: AbortSignal } {
  return signal === undefined ? {} : { signal };
}

function wantsFirstStripe({ cluster }: ClientContext, { sizeHint }: ReadOptions): boolean {
  if (sizeHint === undefined) return true;
  return sizeHint <= stripePlainBytes({ k: cluster.geometry.k, cellBytes: CELL_BYTES_DEFAULT });
}

/** As many slots as decode: more would send cells that nobody needs. */
function preferredHolders({ cluster, peers }: ClientContext): readonly number[] {
  const { k } = cluster.geometry;
  return peers.preferred(k).slice(0, k);
}

/** WB of 6.3: c nodes must hold the certificate; those that showed it, or a higher one, count. */
async function writeBack(ctx: ClientContext, round: QueryRound, version: Certified): Promise<void> {
  const shown = showing(round.replies, version.stamp);
  if (shown.size >= holderCount(ctx.cluster.geometry)) return;
  ctx.telemetry.count('holdfast_client_write_backs_total');
  await requireHeld(ctx, version, { shown, inline: inlineBodyIn(round, version) });
}

/** The inline body, if a reply brought it along. */
function inlineBodyIn(round: QueryRound, version: Certified): Uint8Array | null {
  const { kind, contentId } = version.signed.manifest;
  if (kind !== 'INLINE') return null;
  for (const { payload } of round.replies.values()) {
    if (payload.length > 0 && equal(sha256(payload), contentId)) return payload;
  }
  return null;
}

async function earlyPiece(
  round: QueryRound,
  cellsFrom: ReadonlySet<number>,
  version: Certified | null,
  slot: number,
): Promise<EarlyPiece | null> {
  if (!cellsFrom.has(slot) || version === null) return null;
  const reply = await round.reply(slot);
  if (reply === null || reply.payload.length === 0 || reply.shown === null) return null;
  return equal(reply.shown.signed.hash, version.signed.hash) ? reply : null;
}

interface OpenedContent {
  readonly start: number;
  readonly end: number;
  readonly stream: AsyncIterable<Uint8Array>;
  readonly close: () => void;
}

async function open(
  ctx: ClientContext,
  trust: ReadTrust,
  version: Certified,
  plan: Exclude<ReadPlan, null>,
  options: ReadOptions,
  early: (slot: number) => Promise<EarlyPiece | null>,
): Promise<Fetched<OpenedContent>> {
  const { manifest, hash } = version.signed;
  const { start = 0, end = manifest.size, dataKey } = plan;
  if (!(start >= 0 && start <= end && end <= manifest.size)) {
    throw new OperationError('BAD_ARGUMENT', `No bytes ${start} to ${end} in a version of ${manifest.size}.`);
  }
  const body = { leaseMs: ctx.deadlines.leaseMs, mayRestart: true, ...signalOf(options) };
  let segments: readonly Segment[];
  switch (manifest.kind) {
    case 'INLINE': {
      const fetched = await fetchBody(ctx, version, { ...body, leaseMs: 0, early });
      if (fetched.kind === 'superseded') return fetched;
      const pieces = cut(openInline(version, fetched.value, dataKey), start, end);
      return { kind: 'fetched', value: { start, end, stream: streamOf(pieces), close: () => undefined } };
    }
    case 'TABLE': {
      const fetched = await fetchBody(ctx, version, { ...body, early });
      if (fetched.kind === 'superseded') return fetched;
      const table = openTable(ctx.cluster.geometry, manifest, fetched.value, dataKey);
      if (!table.ok) {
        throw new OperationError('DAMAGED', `The writer of this version is at fault: ${table.reason}.`);
      }
      segments = table.segments;
      break;
    }
    case 'DATA':
      segments = [segmentOf(manifest, dataKey)];
      break;
    case 'TOMBSTONE':
    case 'REMOVE':
      segments = [];
      break;
  }
  const check = !trust.trusted(hash);
  const isAll = start === 0 && end === manifest.size;
  const steps: Iterator<Step, void> = stepsOf(segments, start, end);
  const stream = new StripeStream(ctx, version, steps, {
    // One stripe is read in one go.
    leaseMs: manifest.kind === 'DATA' && end - start <= stripePlainBytes(manifest) ? 0 : body.leaseMs,
    check,
    early: manifest.kind === 'DATA' ? early : undefined,
    onEnd: () => {
      if (check && isAll) trust.onChecked(hash);
    },
    signal: options.signal,
  });
  const by = await stream.first();
  if (by !== null) return { kind: 'superseded', by };
  return { kind: 'fetched', value: { start, end, stream, close: () => stream.close() } };
}

function openInline({ signed }: Certified, body: Uint8Array, dataKey: Uint8Array): readonly Uint8Array[] {
  const { suite, size } = signed.manifest;
  const plain = aeadOpen(aeadKey(dataKey), stripeNonce(0), stripeAssociated(suite, 0, true), [body]);
  const bytes = plain?.reduce((sum, piece) => sum + piece.length, 0);
  if (plain === null || bytes !== size) {
    throw new OperationError('DAMAGED', 'The body does not open with the key of the version.');
  }
  return plain;
}

async function* streamOf(pieces: readonly Uint8Array[]): AsyncGenerator<Uint8Array, void> {
  yield* pieces;
}
