/**
 * QUERY (protocol 6.1, 6.3): what is the highest certified version of a key? The round ends at q verified
 * replies, the most that can be waited for; every completed write is on a correct node among them (I3). An
 * answer whose certificate does not verify is no reply at all.
 */
import { EMPTY, equal } from '../base/bytes.ts';
import { OperationError } from '../base/errors.ts';
import { oneCorrect, quorumSize } from '../protocol/quorum.ts';
import { compareStamps, sameStamp } from '../protocol/stamp.ts';
import type { Stamp } from '../protocol/stamp.ts';
import { Cancellation } from './cancellation.ts';
import { higher, reaches } from './certificates.ts';
import type { Certified } from './certificates.ts';
import type { ClientContext } from './context.ts';
import { gather } from './gather.ts';
import type { CallResult } from './peers.ts';
import { revokedWriter } from './revocation.ts';

export interface QueryReply {
  /** The highest certificate that the slot shows, verified; null: it knows no version. */
  readonly shown: Certified | null;
  /**
   * Not yet verified: the cell of stripe 0 with its row and path, or the inline body. Empty where not asked
   * for.
   */
  readonly row: Uint8Array | null;
  readonly path: readonly Uint8Array[];
  readonly payload: Uint8Array;
  /** With `at`: the manifest that removed the version, verified. */
  readonly removedBy: Certified | null;
}

export interface QueryRound {
  /** The highest certificate among q replies. */
  readonly highest: Certified | null;
  /** With `at`: a manifest that removed the version, as one of the replies shows. */
  readonly removedBy: Certified | null;
  /** By slot; late replies are added. */
  readonly replies: ReadonlyMap<number, QueryReply>;
  /** The reply of one slot, also when it is late; null when it gave none. */
  reply(slot: number): Promise<QueryReply | null>;
}

export interface QueryOptions {
  /** Slots that are asked for their cell of stripe 0, or for the inline body. */
  readonly cellsFrom?: ReadonlySet<number>;
  readonly signal?: AbortSignal;
  /** The version of this stamp, instead of the newest. */
  readonly at?: Stamp;
}

/**
 * Throws NO_QUORUM when fewer than q slots give a verified reply in time, BAD_CONFIG when more than f serve
 * another configuration.
 */
export async function query(
  ctx: ClientContext,
  keyId: Uint8Array,
  options: QueryOptions = {},
): Promise<QueryRound> {
  const { cluster, clock, deadlines, peers } = ctx;
  const untilMs = clock.monotonicMs() + deadlines.queryMs;
  const q = quorumSize(cluster.geometry);
  const pending = new Map<number, Promise<QueryReply | null>>();
  const foreign = new Set<number>();
  const calls = new Cancellation(options.signal);
  let ended = false;
  let refusals = 0;

  const ask = async (slot: number): Promise<QueryReply | null> => {
    const cell0 = options.cellsFrom?.has(slot) ?? false;
    const bare = { t: 'QUERY' as const, keyId, cell0, seen: ctx.seen(slot) };
    const request = options.at === undefined ? bare : { ...bare, at: options.at };
    const wanted = (): boolean => !ended;
    const result = await calls.run((signal) => peers.persist(slot, request, EMPTY, untilMs, wanted, signal));
    if (result.kind === 'refused' && result.refused.code === 'REVOKED') refusals += 1;
    if (result.kind !== 'answer') return null;
    const { cert, row, path, epoch, configHash } = result.answer;
    if (epoch !== cluster.epoch || !equal(configHash, cluster.hash)) {
      foreign.add(slot);
      return null;
    }
    const shown = cert === null ? null : openShown(ctx, slot, keyId, cert);
    const removedBy = removerOf(ctx, slot, keyId, result.answer.removedBy, options.at);
    if (shown === undefined || removedBy === undefined) return null;
    if (shown !== null && options.at !== undefined && !sameStamp(shown.stamp, options.at)) {
      ctx.peers.suspect(slot, 'BAD_CERTIFICATE', 'a certificate of another version');
      return null;
    }
    if (options.at === undefined) checkRemembered(ctx, slot, keyId, shown, result);
    return { shown, row, path, payload: result.payload, removedBy };
  };
  const slots = peers.all();
  for (const slot of slots) pending.set(slot, ask(slot));
  const settled = (slot: number): Promise<QueryReply | null> => pending.get(slot) ?? Promise.resolve(null);
  const { found, enough } = await gather(slots, settled, (replies) => replies.size >= q);
  ended = true;
  calls.end();
  if (!enough && refusals >= oneCorrect(cluster.geometry)) throw revokedWriter();
  if (!enough) throw shortage(ctx, found.size, q, foreign.size, options.signal);
  let highest: Certified | null = null;
  let removedBy: Certified | null = null;
  for (const reply of found.values()) {
    highest = higher(highest, reply.shown);
    removedBy = higher(removedBy, reply.removedBy);
  }
  return { highest, removedBy, replies: found, reply: settled };
}

/** A node that confirms its log beyond what it acknowledged, and shows less, has signed both (E5). */
function checkRemembered(
  ctx: ClientContext,
  slot: number,
  keyId: Uint8Array,
  shown: Certified | null,
  { answer: { seen }, whenSigned }: Extract<CallResult<'QUERY'>, { kind: 'answer' }>,
): void {
  const acknowledged = ctx.promises.acknowledged(slot, keyId);
  if (acknowledged === undefined || reaches(shown, acknowledged.stamp)) return;
  if (seen === null || seen.size <= acknowledged.logIndex) return;
  ctx.peers.suspect(slot, 'WITHHELD', 'a version that it has acknowledged');
  whenSigned((answer) => ctx.accuse({ type: 'E5', acknowledgement: acknowledged.signed, shown: answer }));
}

/** What a slot shows as the removal of the version of this stamp; undefined when it shows something else. */
function removerOf(
  ctx: ClientContext,
  slot: number,
  keyId: Uint8Array,
  bytes: Uint8Array | undefined,
  at: Stamp | undefined,
): Certified | null | undefined {
  if (bytes === undefined) return null;
  const shown = at === undefined ? undefined : openShown(ctx, slot, keyId, bytes);
  const removes = shown?.signed.manifest.slot?.removes ?? [];
  const isRemoved =
    shown !== undefined &&
    at !== undefined &&
    compareStamps(shown.stamp, at) > 0 &&
    (removes === 'ALL' || removes.some((stamp) => sameStamp(stamp, at)));
  if (isRemoved) return shown;
  ctx.peers.suspect(slot, 'BAD_CERTIFICATE', 'a removal that does not remove the version');
  return undefined;
}

/** A certificate that a slot shows for a key: verified, or undefined when the slot showed something else. */
export function openShown(
  ctx: ClientContext,
  slot: number,
  keyId: Uint8Array,
  bytes: Uint8Array,
): Certified | undefined {
  const opened = ctx.certificates.open(bytes);
  if (!opened.ok) {
    ctx.peers.suspect(slot, 'BAD_CERTIFICATE', opened.reason);
    return undefined;
  }
  if (!equal(opened.certified.signed.manifest.keyId, keyId)) {
    ctx.peers.suspect(slot, 'BAD_CERTIFICATE', 'a certificate of another key');
    return undefined;
  }
  return opened.certified;
}

/** Slots that showed a certificate at `stamp` or above. */
export function showing(replies: ReadonlyMap<number, QueryReply>, stamp: Stamp): Set<number> {
  return new Set([...replies].filter(([, { shown }]) => reaches(shown, stamp)).map(([slot]) => slot));
}

function shortage(
  ctx: ClientContext,
  replies: number,
  needed: number,
  foreign: number,
  signal: AbortSignal | undefined,
): OperationError {
  if (signal?.aborted === true) return new OperationError('CANCELLED', 'The caller gave up.');
  // Of f + 1 nodes one is correct: it is this client that has the wrong document.
  if (foreign >= oneCorrect(ctx.cluster.geometry)) return otherConfiguration(foreign);
  return noQuorum(replies, needed, 'replies');
}

export function otherConfiguration(slots: number): OperationError {
  const message = `${slots} storage nodes serve another configuration than this process.`;
  return new OperationError('BAD_CONFIG', message, {
    remedy: 'Give this process the newest configuration document.',
  });
}

export function noQuorum(found: number, needed: number, what: string): OperationError {
  return new OperationError('NO_QUORUM', `${found} ${what} where ${needed} are needed.`, {
    retryable: true,
    remedy: 'Check that the storage nodes are running and reachable.',
  });
}
