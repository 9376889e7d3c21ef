/**
 * WRITE (protocol 6.1, 6.2): content to the nodes, a stamp above every completed version, a manifest, q
 * receipts, the certificate on c nodes. One operation becomes at most one certified manifest (I7): the
 * receipts of an attempt stay in this process, and an attempt that is given up is written down as such before
 * the next begins.
 *
 * The three outcomes are kept apart. `committed`: c nodes hold the certificate, or that of a version that
 * replaced this one at once. `rejected`: nothing was prepared, or it is certain that it never takes effect.
 * `unknown`: a certificate is under way, and whether c nodes hold it is not known.
 */
import { assert } from '../base/assert.ts';
import { EMPTY } from '../base/bytes.ts';
import { OperationError } from '../base/errors.ts';
import type { BatchSigner } from '../protocol/batch-signer.ts';
import { holderCount } from '../protocol/quorum.ts';
import type { Certificate } from '../protocol/certificate.ts';
import { encodeManifest, openSignedManifest, SUITE_1 } from '../protocol/manifest.ts';
import type { Manifest, SignedManifest } from '../protocol/manifest.ts';
import { compareStamps } from '../protocol/stamp.ts';
import type { Stamp } from '../protocol/stamp.ts';
import type { Attempt, AttemptJournal } from './attempts.ts';
import type { Certified } from './certificates.ts';
import { higher } from './certificates.ts';
import { fromSource } from './chunks.ts';
import { commit } from './commit.ts';
import { placeContent } from './content.ts';
import type { PlacedContent, WriteContent } from './content.ts';
import type { ClientContext } from './context.ts';
import { prepare } from './prepare.ts';
import { noQuorum, query } from './query.ts';
import type { SessionStamp, WriterSessions } from './session.ts';
import type { BucketAuthority } from './slot-address.ts';
import type { Turns } from './turns.ts';

export type { BucketAuthority } from './slot-address.ts';

export interface WriteRequest {
  readonly bucket: BucketAuthority;
  readonly keyId: Uint8Array;
  /** 32 bytes: identity of the user operation. */
  readonly opId: Uint8Array;
  readonly content: WriteContent;
  /**
   * The version that the caller believes to be the newest: its counter is built on without a query. Wrong
   * beliefs cost a round, never correctness. Null: the caller knows that there is none. Absent: ask.
   */
  readonly predecessor?: Stamp | null;
  /** Bucket records only: the part that nodes read. */
  readonly clear?: Uint8Array;
  /** Heard until the first PREPARE; from then on the write goes on to a known end. */
  readonly signal?: AbortSignal;
}

export type WriteResult =
  | {
      readonly outcome: 'committed';
      readonly signed: SignedManifest;
      /** The certificate of this write; when superseded, that of the version that replaced it. */
      readonly cert: Certificate;
      readonly certBytes: Uint8Array;
      /** Written, then overwritten by a concurrent write before anyone could read it. */
      readonly superseded: boolean;
      readonly ackedSlots: readonly number[];
    }
  /** `error.cause` is what the content's source threw, unchanged, when it withdrew. */
  | {
      readonly outcome: 'rejected';
      readonly error: OperationError;
      /** With BUCKET_STALE: the newest bucket record's certificate. */
      readonly record?: Certified;
    }
  | { readonly outcome: 'unknown'; readonly reason: string; readonly signed: SignedManifest };

export interface Writer {
  readonly ctx: ClientContext;
  readonly sessions: WriterSessions;
  readonly signer: BatchSigner;
  readonly journal: AttemptJournal;
  /** Stages of the writes that are under way here, by their id as a map key. */
  readonly stages: Set<string>;
  /** Slot writes of one key, one after the other. */
  readonly turns: Turns;
  /** Lets go, in the background, of receipts that an abandoned attempt left on nodes (6.7). */
  readonly release: (attempt: Attempt) => void;
}

/** Attempts of one operation: each needs another writer to have won a race. */
const ATTEMPTS_MAX = 8;

export async function write(writer: Writer, request: WriteRequest): Promise<WriteResult> {
  let placed: PlacedContent;
  let encMeta: Uint8Array;
  let base: Base;
  try {
    [placed, base] = await contentAndBase(writer.ctx, request);
    encMeta = await fromSource(placed.encMeta);
    if (request.signal?.aborted === true) throw new OperationError('CANCELLED', 'The caller gave up.');
  } catch (error) {
    return rejected(error);
  }
  for (let tried = 1; ; tried += 1) {
    if (base.highest !== null && base.highest.stamp.gen > request.bucket.gen) {
      const message = 'The bucket has a newer generation.';
      return rejected(new OperationError('BUCKET_STALE', message, { retryable: true }));
    }
    const step = await attempt(writer, request, placed, encMeta, base);
    if (step.kind === 'end') return step.result;
    if (tried === ATTEMPTS_MAX) {
      const message = 'Other writers of this key were faster each time.';
      return rejected(new OperationError('BUSY', message, { retryable: true }));
    }
    try {
      const { highest } = await query(writer.ctx, request.keyId);
      base = { highest: higher(highest, step.above), guess: null };
    } catch (error) {
      return rejected(error);
    }
  }
}

/** What the next counter is built on. */
interface Base {
  /** The highest certificate that is known. */
  readonly highest: Certified | null;
  /** A stamp that was believed without asking; null when a query of this operation gave `highest`. */
  readonly guess: Stamp | 'nothing' | null;
}

/** Upload and query run beside each other; the failure of one ends the other. */
async function contentAndBase(ctx: ClientContext, request: WriteRequest): Promise<[PlacedContent, Base]> {
  const abort = new AbortController();
  const onAbort = (): void => abort.abort();
  request.signal?.addEventListener('abort', onAbort, { once: true });
  if (request.signal?.aborted === true) abort.abort();
  let first: { readonly error: unknown } | undefined;
  const orAbort = async <T>(promise: Promise<T>): Promise<T> => {
    try {
      return await promise;
    } catch (error) {
      first ??= { error };
      abort.abort();
      throw error;
    }
  };
  try {
    return await Promise.all([
      orAbort(placeContent(ctx, request.bucket.k, request.content, abort.signal)),
      orAbort(baseOf(ctx, request, abort.signal)),
    ]);
  } catch (error) {
    // The other one then fails with CANCELLED, which may be the first to be seen here.
    throw first === undefined ? error : first.error;
  } finally {
    request.signal?.removeEventListener('abort', onAbort);
  }
}

async function baseOf(ctx: ClientContext, request: WriteRequest, signal: AbortSignal): Promise<Base> {
  if (request.predecessor !== undefined) return { highest: null, guess: request.predecessor ?? 'nothing' };
  const { highest } = await query(ctx, request.keyId, { signal });
  return { highest, guess: null };
}

type Step =
  | { readonly kind: 'end'; readonly result: WriteResult }
  /** The attempt was given up for good; another one may be made above this version. */
  | { readonly kind: 'again'; readonly above: Certified | null };

async function attempt(
  writer: Writer,
  request: WriteRequest,
  placed: PlacedContent,
  encMeta: Uint8Array,
  base: Base,
): Promise<Step> {
  const { ctx, journal } = writer;
  let signed: SignedManifest;
  let begun: Attempt;
  try {
    signed = await signManifest(writer, request, placed, encMeta, nextStamp(writer.sessions, request, base));
    const { opId, bucketId, keyId, stamp } = signed.manifest;
    begun = { opId, bucketId, keyId, stamp, manifestHash: signed.hash };
    await journal.begin(begun);
  } catch (error) {
    return { kind: 'end', result: rejected(error) };
  }
  const outcome = await prepare(ctx, {
    signed,
    contentOf: placed.contentOf,
    record: request.bucket.recordCert,
    predecessor: base.highest,
    slot: null,
  });
  if (outcome.kind === 'certified') {
    return { kind: 'end', result: await publish(writer, begun, placed, outcome.certified, outcome.slots) };
  }
  // From here on the receipts are forgotten: no certificate for this stamp will ever leave this process.
  try {
    await journal.abandoned(begun);
  } catch (error) {
    const reason = `the journal failed: ${String(error)}`;
    return { kind: 'end', result: { outcome: 'unknown', reason, signed } };
  }
  switch (outcome.kind) {
    case 'superseded':
      if (base.guess !== null) return { kind: 'again', above: outcome.winner };
      return { kind: 'end', result: await yieldTo(writer, begun, signed, outcome.winner) };
    case 'decided':
    case 'outvoted':
      throw new TypeError('only SLOT manifests stand for a slot');
    case 'stamp-taken':
      return { kind: 'again', above: null };
    case 'bucket-stale': {
      writer.release(begun);
      const error = new OperationError('BUCKET_STALE', 'The bucket record has changed.', { retryable: true });
      return { kind: 'end', result: { outcome: 'rejected', error, record: outcome.record } };
    }
    case 'short':
      // The nodes lag too far behind the guess to believe it: a query gives the certificate that convinces
      // them.
      if (base.guess !== null && outcome.isCounterRefused) return { kind: 'again', above: null };
      writer.release(begun);
      return { kind: 'end', result: rejected(outcome.error) };
  }
}

function nextStamp(sessions: WriterSessions, request: WriteRequest, { highest, guess }: Base): SessionStamp {
  const { gen } = request.bucket;
  const known = guess === 'nothing' ? undefined : (guess ?? highest?.stamp);
  return sessions.next(request.keyId, gen, known?.gen === gen ? known.counter : 0);
}

async function signManifest(
  writer: Writer,
  request: WriteRequest,
  placed: PlacedContent,
  encMeta: Uint8Array,
  stamp: SessionStamp,
): Promise<SignedManifest> {
  const sealed = { encMeta, clear: request.clear ?? EMPTY, retainUntil: 0, slot: null };
  return sign(writer, manifestOf(writer, request, placed, stamp, sealed));
}

/** A manifest of this writer, not signed yet. */
export function manifestOf(
  { ctx, sessions }: Pick<Writer, 'ctx' | 'sessions'>,
  { bucket, keyId, opId }: Pick<WriteRequest, 'bucket' | 'keyId' | 'opId'>,
  placed: PlacedContent,
  { stamp, sessionNonce }: SessionStamp,
  sealed: Pick<Manifest, 'encMeta' | 'clear' | 'retainUntil' | 'slot'>,
): Manifest {
  const { kind, k, size, cellBytes, contentId, wrappedKey } = placed;
  return {
    v: sealed.slot === null ? 1 : 2,
    suite: SUITE_1,
    bucketId: bucket.bucketId,
    keyId,
    stamp,
    opId,
    gatewayId: sessions.gatewayId,
    sessionNonce,
    kind,
    mode: sealed.slot === null ? 'PLAIN' : 'SLOT',
    epoch: ctx.cluster.epoch,
    bucketStamp: bucket.stamp,
    n: ctx.cluster.geometry.n,
    k,
    size,
    cellBytes,
    contentId,
    wrappedKey,
    ...sealed,
  };
}

/** Signs a manifest. Throws BAD_ARGUMENT for what no node accepts. */
export async function sign({ signer }: Pick<Writer, 'signer'>, manifest: Manifest): Promise<SignedManifest> {
  const body = encodeManifest(manifest);
  const proof = await signer.sign('manifest', body);
  const opened = openSignedManifest({ body, proof });
  // What the caller gave (sizes, lengths) is judged by the same rules that nodes apply.
  if (!opened.ok) {
    throw new OperationError('BAD_ARGUMENT', `No node accepts this manifest: ${opened.reason}.`);
  }
  return opened.value;
}

async function publish(
  { ctx, journal }: Writer,
  begun: Attempt,
  placed: PlacedContent,
  certified: Certified,
  receiptSlots: ReadonlySet<number>,
): Promise<WriteResult> {
  const { held, ok } = await commit(ctx, certified, {
    inline: placed.inline,
    holding: receiptSlots,
    complete: true,
    onHeld: () => journal.published(begun, certified),
  });
  const { signed, cert, bytes } = certified;
  if (!ok) {
    const needed = holderCount(ctx.cluster.geometry);
    return { outcome: 'unknown', reason: `${held.size} acknowledgements of ${needed} in time`, signed };
  }
  return { outcome: 'committed', signed, cert, certBytes: bytes, superseded: false, ackedSlots: [...held] };
}

/**
 * 6.1 b, with a counter from a query of this very operation: the winner was not complete when this write
 * began, so this write stands just before it - once the winner is on c nodes, or a read could still miss both
 * (trap H8).
 */
async function yieldTo(
  writer: Writer,
  begun: Attempt,
  signed: SignedManifest,
  winner: Certified,
): Promise<WriteResult> {
  assert(compareStamps(winner.stamp, signed.manifest.stamp) > 0, 'the winner stands above');
  const { ctx, journal } = writer;
  const { held, ok } = await commit(ctx, winner);
  const needed = holderCount(ctx.cluster.geometry);
  if (!ok) return rejected(noQuorum(held.size, needed, 'holders of the newer version'));
  await journal.superseded(begun, signed, winner);
  return {
    outcome: 'committed',
    signed,
    cert: winner.cert,
    certBytes: winner.bytes,
    superseded: true,
    ackedSlots: [...held],
  };
}

/** Operating failures become a result; anything else is a bug and goes on up. */
function rejected(error: unknown): WriteResult {
  if (error instanceof OperationError) return { outcome: 'rejected', error };
  throw error;
}
