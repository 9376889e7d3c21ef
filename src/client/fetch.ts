/**
 * FETCH and BODY (protocol 6.3): the pieces of one version from the nodes, each verified against the manifest
 * before any use. A wrong piece is an erasure and a suspicion against its slot, nothing more; another slot is
 * asked. A read ends early only when a node proves that a newer version exists.
 */
import { assert } from '../base/assert.ts';
import { EMPTY, equal } from '../base/bytes.ts';
import { OperationError } from '../base/errors.ts';
import { sha256 } from '../crypto/primitives.ts';
import { rowLeaf } from '../merkle/tiles.ts';
import { verifyInclusion } from '../merkle/tree.ts';
import { promisesContent } from '../protocol/certificate.ts';
import { decodeLack } from '../protocol/messages.ts';
import type { RefusedAnswer, RequestOf, RequestType } from '../protocol/messages.ts';
import { cellBytesOf, stripeCount } from '../protocol/stripes.ts';
import type { Layout } from '../protocol/stripes.ts';
import { compareStamps, sameStamp } from '../protocol/stamp.ts';
import type { Stamp } from '../protocol/stamp.ts';
import type { SignedBody } from '../protocol/slot.ts';
import type { Certified } from './certificates.ts';
import { collect } from './collect.ts';
import type { Collected, Piece } from './collect.ts';
import type { ClientContext } from './context.ts';
import type { CallResult } from './peers.ts';
import { noQuorum, openShown } from './query.ts';
import { hashAt } from './stripe-code.ts';

/** One content of a version: its own, or that of a part. */
export interface NamedContent {
  readonly contentId: Uint8Array;
  /** The part table that names it; null: the version itself does. */
  readonly table: Uint8Array | null;
}

/** A content that is kept as cells. */
export interface ContentRef extends NamedContent {
  readonly layout: Layout;
}

/** Whose pieces are fetched: a certified version, or one with receipts only, of which no lack can be held against a node. */
export type FetchedVersion = Certified | (Pick<Certified, 'signed' | 'stamp'> & { readonly cert: null });

export interface StripeCells {
  /** k cells that match the row, by slot. */
  readonly cells: ReadonlyMap<number, Uint8Array>;
  /** V[s], proven to belong to the content, with the proof. */
  readonly row: Uint8Array;
  readonly path: readonly Uint8Array[];
}

export type Fetched<T> =
  | { readonly kind: 'fetched'; readonly value: T }
  /** The version asked for was replaced by this one, and nodes have begun to let its content go. */
  | { readonly kind: 'superseded'; readonly by: Certified };

export interface FetchOptions {
  readonly leaseMs: number;
  /**
   * May the read begin again with a newer version? If not, a slot that has let the content go is one slot
   * less.
   */
  readonly mayRestart: boolean;
  readonly signal?: AbortSignal;
  /** What a slot's answer to QUERY brought along already; null when nothing. Taken only if it verifies. */
  readonly early?: (slot: number) => Promise<EarlyPiece | null>;
  /** Slots that are not asked: they are known to lack the piece. */
  readonly avoid?: ReadonlySet<number>;
  /** Told of the bytes of each piece that came, wanted or not. */
  readonly onBytes?: (bytes: number) => void;
}

export interface EarlyPiece {
  readonly row: Uint8Array | null;
  readonly path: readonly Uint8Array[];
  readonly payload: Uint8Array;
}

/**
 * k verified cells of one stripe. Throws NO_QUORUM, or DAMAGED when every node says that it has none to give.
 */
export async function fetchStripe(
  ctx: ClientContext,
  version: FetchedVersion,
  content: ContentRef,
  stripe: number,
  options: FetchOptions,
): Promise<Fetched<StripeCells>> {
  const { layout, contentId } = content;
  const source = new PieceSource(ctx, version, options);
  const request: RequestOf<'FETCH'> = {
    t: 'FETCH',
    keyId: version.signed.manifest.keyId,
    manifestHash: version.signed.hash,
    stamp: version.stamp,
    contentId,
    stripe,
    leaseMs: options.leaseMs,
  };
  // The first row that is proven by its path; all cells are judged by it.
  let proven: Pick<StripeCells, 'row' | 'path'> | undefined;
  const accept = (slot: number, { row, path, payload }: EarlyPiece): Piece<Uint8Array, Certified> => {
    const fault = cellFault(content, stripe, slot, row, path, payload, proven?.row);
    if (fault !== null || row === null) {
      ctx.peers.suspect(slot, 'WRONG_CELL', `stripe ${stripe}: ${fault ?? 'no row'}`);
      return { kind: 'none' };
    }
    proven ??= { row, path };
    return { kind: 'piece', value: payload };
  };
  const ask = async (slot: number, signal: AbortSignal): Promise<Piece<Uint8Array, Certified>> => {
    const early = (await options.early?.(slot)) ?? null;
    if (early !== null) return accept(slot, early);
    const result = await ctx.peers.call(slot, request, EMPTY, ctx.deadlines.fetchCallMs, signal);
    if (result.kind !== 'answer') return source.unanswered(slot, content, stripe, result);
    options.onBytes?.(result.payload.length);
    const piece = accept(slot, { ...result.answer, payload: result.payload });
    if (piece.kind === 'none') noteRow(ctx, version, content, stripe, slot, result);
    return piece;
  };
  const collected = await source.collect(layout.k, layout.k, ask);
  if (collected.kind === 'superseded') return collected;
  assert(proven !== undefined, 'k cells matched a row');
  return { kind: 'fetched', value: { cells: collected.value, ...proven } };
}

/** A row that is not of the content is proof against a node that gave a receipt for it, once it has signed it (E6). */
function noteRow(
  ctx: ClientContext,
  version: FetchedVersion,
  { contentId, table, layout }: ContentRef,
  stripe: number,
  slot: number,
  { answer: { row, path }, whenSigned }: Extract<CallResult<'FETCH'>, { kind: 'answer' }>,
): void {
  if (version.cert === null || !promisesContent(version.cert, slot)) return;
  if (rowFault({ contentId, layout }, stripe, row, path) === null) return;
  const content = { certificate: version.bytes, contentId, table };
  whenSigned((shown) => ctx.accuse({ type: 'E6-row', content, shown }));
}

/** The inline body or part table of a version, verified. Throws as `fetchStripe`. */
export async function fetchBody(
  ctx: ClientContext,
  version: FetchedVersion,
  options: FetchOptions,
): Promise<Fetched<Uint8Array>> {
  const { keyId, contentId } = version.signed.manifest;
  const source = new PieceSource(ctx, version, options);
  const { leaseMs } = options;
  const request: RequestOf<'BODY'> = { t: 'BODY', keyId, manifestHash: version.signed.hash, stamp: version.stamp, contentId, leaseMs };
  const accept = (slot: number, payload: Uint8Array): Piece<Uint8Array, Certified> => {
    if (equal(sha256(payload), contentId)) return { kind: 'piece', value: payload };
    ctx.peers.suspect(slot, 'WRONG_BODY', 'the body is not the one of the manifest');
    return { kind: 'none' };
  };
  const ask = async (slot: number, signal: AbortSignal): Promise<Piece<Uint8Array, Certified>> => {
    const early = (await options.early?.(slot)) ?? null;
    if (early !== null) return accept(slot, early.payload);
    const result = await ctx.peers.call(slot, request, EMPTY, ctx.deadlines.fetchCallMs, signal);
    if (result.kind !== 'answer') return source.unanswered(slot, { contentId, table: null }, 0, result);
    options.onBytes?.(result.payload.length);
    return accept(slot, result.payload);
  };
  const collected = await source.collect(ctx.cluster.geometry.n, 1, ask);
  if (collected.kind === 'superseded') return collected;
  const [body] = collected.value.values();
  assert(body !== undefined, 'one body was collected');
  return { kind: 'fetched', value: body };
}

/** Why this is not the slot's cell of the stripe, or null. Anything may be given. */
export function cellFault(
  { contentId, layout }: Pick<ContentRef, 'contentId' | 'layout'>,
  stripe: number,
  slot: number,
  row: Uint8Array | null,
  path: readonly Uint8Array[],
  cell: Uint8Array,
  proven: Uint8Array | undefined,
): string | null {
  if (row === null) return 'no row';
  const fault = proven === undefined ? rowFault({ contentId, layout }, stripe, row, path) : null;
  if (fault !== null) return fault;
  if (proven !== undefined && !equal(row, proven)) return 'the row differs from the one that is proven';
  if (cell.length !== cellBytesOf(layout, stripe)) return 'the cell has another length';
  return equal(sha256(cell), hashAt(row, slot)) ? null : 'the cell is not the one of the row';
}

/** Why this is not the row of the stripe, or null. */
export function rowFault(
  { contentId, layout }: Pick<ContentRef, 'contentId' | 'layout'>,
  stripe: number,
  row: Uint8Array,
  path: readonly Uint8Array[],
): string | null {
  if (row.length !== 32 * layout.n) return 'the row has another length';
  const isProven = verifyInclusion(contentId, rowLeaf(row), stripe, stripeCount(layout), path);
  return isProven ? null : 'the row is not in the matrix of the content';
}

type Pieces = Piece<Uint8Array, Certified>;

/** Asking slots for the pieces of one version, and judging what they say instead. */
class PieceSource {
  readonly #ctx: ClientContext;
  readonly #version: FetchedVersion;
  readonly #options: FetchOptions;
  /** The highest version for which a slot says that it has let the content go, or never had it. */
  #overwrittenBy: Certified | null = null;

  constructor(ctx: ClientContext, version: FetchedVersion, options: FetchOptions) {
    this.#ctx = ctx;
    this.#version = version;
    this.#options = options;
  }

  /** `need` pieces by slot; slots below `preferK` are preferred, other things being equal. */
  async collect(
    preferK: number,
    need: number,
    ask: (slot: number, signal: AbortSignal) => Promise<Pieces>,
  ): Promise<Fetched<ReadonlyMap<number, Uint8Array>>> {
    const { peers, clock, deadlines } = this.#ctx;
    const { signal, avoid } = this.#options;
    const collected: Collected<Uint8Array, Certified> = await collect({
      clock,
      order: peers.preferred(preferK).filter((slot) => avoid?.has(slot) !== true),
      need,
      ask,
      hedgeMs: peers.hedgeMs(),
      timeoutMs: deadlines.fetchMs,
      retryMs: deadlines.retryMaxMs,
      ...(signal === undefined ? {} : { signal }),
    });
    switch (collected.kind) {
      case 'enough':
        return { kind: 'fetched', value: collected.pieces };
      case 'stopped':
        return { kind: 'superseded', by: collected.value };
      case 'short':
        if (this.#overwrittenBy !== null && this.#options.mayRestart && collected.exhausted) return { kind: 'superseded', by: this.#overwrittenBy };
        throw this.#shortage(collected.pieces.size, need, collected.exhausted);
    }
  }

  unanswered<T extends RequestType>(
    slot: number,
    content: NamedContent,
    stripe: number,
    result: Exclude<CallResult<T>, { kind: 'answer' }>,
  ): Pieces {
    if (result.kind === 'failed') return { kind: result.error.code === 'FOREIGN_PEER' ? 'none' : 'later' };
    if (result.kind === 'malformed') return { kind: 'none' };
    const { refused } = result;
    switch (refused.code) {
      case 'SUPERSEDED':
        return this.#superseded(slot, refused);
      case 'NOT_HELD':
      case 'HOLE':
        noteLack(this.#ctx, this.#version, content, stripe, slot, refused);
        return { kind: 'none' };
      case 'BUSY':
        return { kind: 'later' };
      case 'BAD':
      case 'CONFIG_STALE':
      case 'DENIED':
      case 'COUNTER':
      case 'EQUIVOCATION':
      case 'BUCKET_UNKNOWN':
      case 'BUCKET_STALE':
      case 'CONFLICT':
      case 'PREDECESSOR':
      case 'BALLOT':
      case 'LOCKED':
      case 'FULL':
      case 'LOST':
      case 'REVOKED':
        return { kind: 'none' };
    }
  }

  #superseded(slot: number, { cert }: RefusedAnswer): Pieces {
    const { keyId } = this.#version.signed.manifest;
    const shown = cert === null ? undefined : openShown(this.#ctx, slot, keyId, cert);
    if (shown === undefined || compareStamps(shown.stamp, this.#version.stamp) <= 0) {
      // Without a higher certificate it is not a reply (section 5).
      this.#ctx.peers.suspect(slot, 'BAD_REFUSAL', 'SUPERSEDED without a higher certificate');
      return { kind: 'none' };
    }
    // Where versions are kept a higher one ends nothing: the slot may have missed this version, and others have it.
    if (this.#options.mayRestart && ends(shown, this.#version.stamp)) return { kind: 'stop', value: shown };
    if (this.#overwrittenBy === null || compareStamps(shown.stamp, this.#overwrittenBy.stamp) > 0) this.#overwrittenBy = shown;
    return { kind: 'none' };
  }

  #shortage(found: number, need: number, isExhausted: boolean): OperationError {
    if (this.#options.signal?.aborted === true) return new OperationError('CANCELLED', 'The caller gave up.');
    if (this.#overwrittenBy !== null) {
      const message = 'The version was replaced while it was read.';
      return new OperationError('OVERWRITTEN', message, { retryable: true });
    }
    if (!isExhausted) return noQuorum(found, need, 'pieces of the version');
    return new OperationError('DAMAGED', `${found} pieces of the version where ${need} are needed.`, {
      remedy: 'Repair the storage nodes that lost data.',
    });
  }
}

/** Does the higher manifest show that the version of this stamp has ended? */
export function ends({ signed: { manifest } }: Certified, stamp: Stamp): boolean {
  const { slot } = manifest;
  return slot === null || slot.removes === 'ALL' || slot.removes.some((removed) => sameStamp(removed, stamp));
}

/**
 * A node that gave a receipt has promised to keep its piece; its signed word that it lacks it is proof (E6).
 */
function noteLack(
  ctx: ClientContext,
  version: FetchedVersion,
  content: NamedContent,
  stripe: number,
  slot: number,
  { code, statement }: RefusedAnswer,
): void {
  const asked = { manifestHash: version.signed.hash, stamp: version.stamp, contentId: content.contentId, stripe };
  if (statement === null || !isSignedLack(ctx, asked, slot, code, statement)) {
    ctx.peers.suspect(slot, 'BAD_REFUSAL', `${code} without a signed statement`);
    return;
  }
  if (version.cert === null || !promisesContent(version.cert, slot)) return;
  ctx.peers.suspect(slot, 'BROKEN_PROMISE', `${code} of stripe ${stripe} after a receipt`);
  const { contentId, table } = content;
  ctx.accuse({ type: 'E6', content: { certificate: version.bytes, contentId, table }, lack: statement });
}

/** Which cell of which version a slot was asked for. */
export interface AskedCell {
  readonly manifestHash: Uint8Array;
  readonly stamp: Stamp;
  readonly contentId: Uint8Array;
  readonly stripe: number;
}

/** Has the slot signed that it lacks the cell? Any statement may be given. */
export function isSignedLack(ctx: ClientContext, asked: AskedCell, slot: number, code: string, { body, proof }: SignedBody): boolean {
  const config = ctx.cluster.slotAt(slot);
  const lack = decodeLack(body);
  if (config === undefined || !lack.ok) return false;
  const { value } = lack;
  return (
    value.code === code &&
    value.slot === slot &&
    value.stripe === asked.stripe &&
    value.epoch === ctx.cluster.epoch &&
    // Else it is no lack of this version: it has been replaced, and SUPERSEDED would be the answer.
    (value.max === null || compareStamps(value.max, asked.stamp) <= 0) &&
    equal(value.manifestHash, asked.manifestHash) &&
    equal(value.contentId, asked.contentId) &&
    ctx.verifier.verify(config.signingKey, 'not-held', body, proof)
  );
}
