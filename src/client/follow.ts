/**
 * Following the nodes' logs (protocol 6.6, 13.8): what LIST rests on. A slot is fresh when it has signed a
 * checkpoint over a nonce drawn now, and its log was tailed to that size and proven to extend all that was
 * seen before. With q fresh logs every write that completed before is in one that a correct node keeps.
 *
 * An entry by itself is a hint: it is handed on before the end of its log is proven, because it counts only
 * through a certificate, which proves itself. What is *missing* counts: only a proven log may be called
 * fresh.
 */
import { EMPTY } from '../base/bytes.ts';
import { CHANGES_LEAVES_MAX } from '../base/limits.ts';
import { verifySignature } from '../crypto/primitives.ts';
import { commitNonce, keepsPromise } from '../evidence/logs.ts';
import { CHECKPOINT_NONCE_BYTES, logOrigin, openCheckpoint } from '../log/checkpoint.ts';
import type { SignedCheckpoint } from '../log/checkpoint.ts';
import { decodeEntry } from '../log/entry-types.ts';
import { ed25519Verifier } from '../log/signed-note.ts';
import type { NoteVerifier } from '../log/signed-note.ts';
import { LogTail } from '../log/tail.ts';
import type { CatchUp, TailRefusal } from '../log/tail.ts';
import { leafHash } from '../merkle/tree.ts';
import { decodeCommitted, decodeEvict } from '../protocol/log-entries.ts';
import type { CommittedBody } from '../protocol/log-entries.ts';
import type { Seen } from '../protocol/messages.ts';
import type { ClientContext } from './context.ts';
import type { PlacePromise } from './promises.ts';
import type { SuspicionKind } from './suspicions.ts';

/** COMMITTED entries of one slot's log, in order. Awaited: it holds the following of this slot back. */
export type TakeEntries = (slot: number, entries: readonly CommittedBody[]) => Promise<void> | void;

/** All leaves of one slot's log from index `from` on, in order, as they were given. Awaited as `TakeEntries` is. */
export type TakeLeaves = (slot: number, leaves: readonly Uint8Array[], from: number) => Promise<void> | void;

export type FreshVerdict =
  /** The log was followed to `size`, which its node signed for a nonce drawn after the call. */
  | { readonly ok: true; readonly slot: number; readonly size: number }
  | { readonly ok: false; readonly slot: number; readonly reason: string };

/** A checkpoint and what its nonce was made from. */
interface Challenged {
  readonly target: SignedCheckpoint;
  readonly salt: Uint8Array;
}

/** A leaf that no correct node has there, because another was promised for its place (E4). */
interface BrokenPlace {
  readonly index: number;
  readonly leaf: Uint8Array;
  readonly promise: PlacePromise;
}

/** An eviction, which is none that a correct node logs if the version is locked (E7). */
interface Evicted {
  readonly index: number;
  readonly leaf: Uint8Array;
  readonly manifestHash: Uint8Array;
}

/** Of one round; more are not looked at. */
const EVICTIONS_MAX = 64;

interface Followed {
  readonly slot: number;
  readonly verifier: NoteVerifier;
  tail: LogTail;
  running: Promise<FreshVerdict> | null;
  /** The round after the running one, shared by all who came too late for that. */
  next: Promise<FreshVerdict> | null;
}

export class LogFollower {
  readonly #ctx: ClientContext;
  readonly #take: TakeEntries;
  readonly #takeLeaves: TakeLeaves | null;
  readonly #slots: readonly Followed[];

  /**
   * `saved`: what `serialise` gave, by slot; the caller kept it together with all entries handed out before.
   * A slot without it, or with damaged bytes, is followed from the first entry.
   */
  constructor(
    ctx: ClientContext,
    take: TakeEntries,
    saved: ReadonlyMap<number, Uint8Array> = new Map(),
    takeLeaves: TakeLeaves | null = null,
  ) {
    this.#ctx = ctx;
    this.#take = take;
    this.#takeLeaves = takeLeaves;
    this.#slots = ctx.cluster.slots.map(({ slot, nodeId, signingKey }) => {
      const verifier = ed25519Verifier(logOrigin(ctx.cluster.id, nodeId), signingKey, verifySignature);
      const bytes = saved.get(slot);
      const tail = bytes === undefined ? null : LogTail.parse(bytes, verifier);
      return { slot, verifier, tail: tail ?? new LogTail(verifier.name), running: null, next: null };
    });
  }

  /**
   * What must be kept to go on after a restart; entries that were handed out after it are handed out again.
   */
  serialise(slot: number): Uint8Array | null {
    return this.#slots[slot]?.tail.serialise() ?? null;
  }

  /** The highest checkpoint of a slot that was verified, with the node's signature. */
  checkpoint(slot: number): SignedCheckpoint | null {
    return this.#slots[slot]?.tail.highest ?? null;
  }

  /** The highest checkpoint of a slot that was verified, to be quoted in requests. */
  seen(slot: number): Seen {
    const highest = this.#slots[slot]?.tail.highest?.checkpoint;
    return highest === undefined ? null : { size: highest.size, root: highest.root };
  }

  /** Leaves of a slot's log that were taken in. */
  size(slot: number): number {
    return this.#slots[slot]?.tail.size ?? 0;
  }

  /** Follows one log to a checkpoint made after this call. Never rejects for what the node does. */
  fresh(slot: number): Promise<FreshVerdict> {
    const followed = this.#slots[slot];
    if (followed === undefined) return Promise.resolve({ ok: false, slot, reason: 'no such slot' });
    if (followed.running === null) return this.#begin(followed);
    // The nonce of the running round may be older than this call.
    followed.next ??= followed.running.then(() => {
      followed.next = null;
      return this.#begin(followed);
    });
    return followed.next;
  }

  async #begin(followed: Followed): Promise<FreshVerdict> {
    const running = this.#round(followed);
    followed.running = running;
    try {
      return await running;
    } finally {
      if (followed.running === running) followed.running = null;
    }
  }

  async #round(followed: Followed): Promise<FreshVerdict> {
    const { slot } = followed;
    const refuse = (reason: string): FreshVerdict => ({ ok: false, slot, reason });
    // What was named before the node is asked is in the log that it shows.
    const named = this.#ctx.promises.highest(slot);
    const challenged = await this.#checkpoint(followed);
    if (typeof challenged === 'string') return refuse(challenged);
    const { target, salt } = challenged;
    const begun = followed.tail.catchUp(target);
    if (!begun.ok) return refuse(this.#fault(slot, begun, salt));
    const { catchUp } = begun;
    const { size } = target.checkpoint;
    if (named >= size) this.#ctx.peers.suspect(slot, 'BROKEN_PROMISE', `it has promised place ${named} of its log, which has ${size} entries`);
    const broken: BrokenPlace[] = [];
    const evicted: Evicted[] = [];
    while (catchUp.size < size) {
      const from = catchUp.size;
      const leaves = await this.#leaves(slot, from, Math.min(size, from + CHANGES_LEAVES_MAX));
      if (typeof leaves === 'string') return refuse(leaves);
      broken.push(...this.#brokenPromises(slot, from, leaves));
      evicted.push(...evictionsIn(from, leaves).slice(0, EVICTIONS_MAX - evicted.length));
      const refusal = catchUp.add(leaves.map((leaf) => leafHash(leaf)));
      if (refusal !== null) return refuse(this.#fault(slot, refusal, salt));
      const entries = leaves.flatMap((leaf) => this.#entry(slot, leaf));
      if (entries.length > 0) await this.#take(slot, entries);
      await this.#takeLeaves?.(slot, leaves, from);
    }
    const verdict = catchUp.finish();
    if (!verdict.ok) return refuse(this.#fault(slot, verdict, salt));
    this.#accuseOf(slot, broken, target, catchUp);
    this.#noteEvictions(evicted, target, catchUp);
    return { ok: true, slot, size };
  }

  /** The nonce commits to what the node signed before, so that a log that shrank is proven to have (E5). */
  async #checkpoint({ slot, verifier, tail }: Followed): Promise<Challenged | string> {
    const { peers, random, deadlines } = this.#ctx;
    const salt = random.bytes(CHECKPOINT_NONCE_BYTES);
    const nonce = tail.highest === null ? salt : commitNonce(salt, tail.highest.note);
    const result = await peers.call(slot, { t: 'CHECKPOINT' as const, nonce }, EMPTY, deadlines.followCallMs);
    if (result.kind !== 'answer') return describe(result);
    const opened = openCheckpoint(result.answer.text, verifier, nonce);
    if (opened.ok) return { target: opened.signed, salt };
    peers.suspect(slot, 'BAD_CHECKPOINT', `${opened.fault}: ${opened.reason}`);
    return opened.reason;
  }

  /** Leaves that stand where the node has promised others. */
  #brokenPromises(slot: number, from: number, leaves: readonly Uint8Array[]): BrokenPlace[] {
    return leaves.flatMap((leaf, i) => {
      const promise = this.#ctx.promises.due(slot, from + i);
      return promise === undefined || keepsPromise(promise, leaf) ? [] : [{ index: from + i, leaf, promise }];
    });
  }

  #accuseOf(slot: number, broken: readonly BrokenPlace[], { note }: SignedCheckpoint, catchUp: CatchUp): void {
    for (const { index, leaf, promise } of broken) {
      this.#ctx.peers.suspect(slot, 'BROKEN_PROMISE', `the log has another entry at ${index} than was promised`);
      const path = catchUp.pathOf(index);
      if (path !== null) this.#ctx.accuse({ type: 'E4', promise, note, entry: { leaf, index, path: [...path] } });
    }
  }

  #noteEvictions(evicted: readonly Evicted[], { note }: SignedCheckpoint, catchUp: CatchUp): void {
    for (const { index, leaf, manifestHash } of evicted) {
      const path = catchUp.pathOf(index);
      if (path !== null) this.#ctx.sightings.eviction(manifestHash, { note, entry: { leaf, index, path: [...path] } });
    }
  }

  async #leaves(slot: number, from: number, to: number): Promise<readonly Uint8Array[] | string> {
    const { peers, deadlines } = this.#ctx;
    const result = await peers.call(slot, { t: 'CHANGES' as const, from, to }, EMPTY, deadlines.followCallMs);
    if (result.kind !== 'answer') return describe(result);
    const { from: given, leaves } = result.answer;
    if (given === from && leaves.length > 0 && leaves.length <= to - from) return leaves;
    // It has just signed that it has them.
    peers.suspect(slot, 'WITHHELD', `${leaves.length} leaves from ${given}, not ${from} to ${to}`);
    return 'the log is withheld';
  }

  /** The body of a COMMITTED leaf; nothing for other types. */
  #entry(slot: number, leaf: Uint8Array): readonly CommittedBody[] {
    const entry = decodeEntry(leaf);
    if (entry?.type !== 'COMMITTED') return [];
    const decoded = decodeCommitted(entry.body);
    if (decoded.ok) return [decoded.value];
    // A leaf that no correct node writes; it still is what its log says, so following goes on.
    this.#ctx.peers.suspect(slot, 'MALFORMED', `log entry: ${decoded.reason}`);
    return [];
  }

  #fault(slot: number, { fault, reason, notes, beginning }: TailRefusal, salt: Uint8Array): string {
    const kinds: Record<TailRefusal['fault'], SuspicionKind> = {
      foreign: 'BAD_CHECKPOINT',
      forked: 'FORKED_LOG',
      'rolled-back': 'ROLLED_BACK_LOG',
      surplus: 'WITHHELD',
      short: 'WITHHELD',
      mismatch: 'WITHHELD',
      behind: 'WITHHELD',
      malformed: 'MALFORMED',
    };
    this.#ctx.peers.suspect(slot, kinds[fault], reason);
    const [older, newer] = notes;
    if (older === undefined || newer === undefined) return reason;
    if (fault === 'rolled-back') this.#ctx.accuse({ type: 'E5-log', notes: [older, newer], salt });
    if (fault === 'forked') {
      const shown = beginning === null ? null : { root: beginning.root, path: [...beginning.path] };
      this.#ctx.accuse({ type: 'E3', notes: [older, newer], beginning: shown });
    }
    if (fault === 'rolled-back' || fault === 'forked') this.#show(slot, older);
    return reason;
  }

  /** An honest node whose disk was put back learns of it so, and signs nothing more (13.9). What a liar does then is its own affair. */
  #show(slot: number, known: string): void {
    const { peers, random, deadlines, background } = this.#ctx;
    background.run('show-checkpoint', async () => {
      const nonce = random.bytes(CHECKPOINT_NONCE_BYTES);
      await peers.call(slot, { t: 'CHECKPOINT' as const, nonce, known }, EMPTY, deadlines.followCallMs);
    });
  }
}

function evictionsIn(from: number, leaves: readonly Uint8Array[]): Evicted[] {
  return leaves.flatMap((leaf, i) => {
    const entry = decodeEntry(leaf);
    const evicted = entry?.type === 'EVICT' ? decodeEvict(entry.body) : null;
    return evicted?.ok === true ? [{ index: from + i, leaf, manifestHash: evicted.value.manifestHash }] : [];
  });
}

function describe(
  result:
    | { readonly kind: 'refused'; readonly refused: { readonly code: string; readonly reason: string } }
    | { readonly kind: 'malformed'; readonly reason: string }
    | { readonly kind: 'failed'; readonly error: Error },
): string {
  switch (result.kind) {
    case 'refused':
      return `${result.refused.code}: ${result.refused.reason}`;
    case 'malformed':
      return result.reason;
    case 'failed':
      return result.error.message;
  }
}
