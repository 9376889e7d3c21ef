/**
 * Following another node's log (protocol 10, 13.8): the one place that decides whether what a log shows now
 * extends what it showed before. The follower keeps the compact tree of the leaves it has taken in and the
 * highest checkpoint it has verified, never more than O(log n) hashes, and moves only by proof: a node that
 * forgets, forks or shrinks its log is caught by the first follower that it lied to.
 *
 * Invariant: the leaves taken in are a prefix of the tree of the highest checkpoint. Peers' input only ever
 * becomes a verdict, and a verdict that is not ok changes nothing. Checkpoints come in opened
 * (checkpoint.ts).
 */
import { assert } from '../base/assert.ts';
import { concat, equal, fromUtf8, u32be, utf8 } from '../base/bytes.ts';
import { HASH_BYTES, sha256 } from '../crypto/primitives.ts';
import { PartialTree } from '../merkle/partial-tree.ts';
import { Frontier, verifyConsistency } from '../merkle/tree.ts';
import { openCheckpoint } from './checkpoint.ts';
import type { SignedCheckpoint } from './checkpoint.ts';
import type { NoteVerifier } from './signed-note.ts';

export type TailFault =
  /** The checkpoint is of another log. */
  | 'foreign'
  /** Two checkpoints that no one append-only log can have: the log showed different histories (E3). */
  | 'forked'
  /** The checkpoint is smaller than one seen before. Proof of a rollback only if this one is fresh. */
  | 'rolled-back'
  /** More leaves than the checkpoint covers. */
  | 'surplus'
  /** Fewer leaves than the checkpoint covers, and no path that closes the gap. */
  | 'short'
  /** Leaves, checkpoint and path do not fit one another: the sender lied or the path is for other sizes. */
  | 'mismatch'
  /** The checkpoint skips one seen before that these leaves do not reach: `observe` it first. */
  | 'behind'
  | 'malformed';

export interface TailRefusal {
  readonly ok: false;
  readonly fault: TailFault;
  readonly reason: string;
  /** With 'forked' and 'rolled-back': the notes that contradict each other, older first. */
  readonly notes: readonly string[];
  /**
   * With 'forked' at two sizes: what the larger tree has where the smaller one ends, shown by a consistency
   * path. Null where the run was too long to remember.
   */
  readonly beginning: { readonly root: Uint8Array; readonly path: readonly Uint8Array[] } | null;
}

/** `from` and `to`: the leaves [from, to) were taken in. */
export type TailVerdict = { readonly ok: true; readonly from: number; readonly to: number } | TailRefusal;

export type CatchUpVerdict = { readonly ok: true; readonly catchUp: CatchUp } | TailRefusal;

const FORMAT = 1;
const LENGTH_BYTES = 4;

/** Leaves of one run whose hashes are remembered, so that others can be shown where they stand: 2 MiB. */
const REMEMBERED_LEAVES_MAX = 65_536;

function refuse(fault: TailFault, reason: string, notes: readonly string[] = []): TailRefusal {
  return { ok: false, fault, reason, notes, beginning: null };
}

export class LogTail {
  readonly origin: string;
  #frontier: Frontier;
  #highest: SignedCheckpoint | null;

  /** Follows the log from its first entry. */
  constructor(origin: string) {
    this.origin = origin;
    this.#frontier = new Frontier();
    this.#highest = null;
  }

  /** Leaves taken in: the index to ask for next. */
  get size(): number {
    return this.#frontier.size;
  }

  /** The highest checkpoint verified so far; what a request quotes as `seen`. */
  get highest(): SignedCheckpoint | null {
    return this.#highest;
  }

  /**
   * Takes in the leaf hashes that follow `size`, on the word of a checkpoint of this log. They must end
   * exactly at the checkpoint's size, or `path` must be the consistency path from where they end to the
   * checkpoint.
   */
  accept(
    leafHashes: readonly Uint8Array[],
    signed: SignedCheckpoint,
    path: readonly Uint8Array[] = [],
  ): TailVerdict {
    const begun = this.catchUp(signed);
    if (!begun.ok) return begun;
    return begun.catchUp.add(leafHashes) ?? begun.catchUp.finish(path);
  }

  /**
   * Begins to take in more leaves than one answer carries. Nothing counts before `finish` says so; several
   * may be begun, but each ends only if the tail has not moved since.
   */
  catchUp(signed: SignedCheckpoint): CatchUpVerdict {
    const refusal = this.#judge(signed);
    if (refusal !== null) return refusal;
    const [start, seen] = [this.#frontier.size, this.#highest];
    const advance = (frontier: Frontier): boolean => {
      // What the run was checked against must still be what the tail stands on.
      if (this.#frontier.size !== start || this.#highest !== seen) return false;
      this.#frontier = frontier;
      this.#raise(signed);
      return true;
    };
    return { ok: true, catchUp: new CatchUp(this.#frontier.clone(), seen, signed, advance) };
  }

  /**
   * Takes a later checkpoint as the highest without its leaves, as a witness does: `path` is the consistency
   * path from the highest one so far (or from `size`, when there is none).
   */
  observe(signed: SignedCheckpoint, path: readonly Uint8Array[]): TailVerdict {
    const refusal = this.#judge(signed);
    if (refusal !== null) return refusal;
    const { size, root } = signed.checkpoint;
    const old = this.#highest?.checkpoint ?? { size: this.#frontier.size, root: this.#frontier.root() };
    if (!verifyConsistency(old.size, old.root, size, root, path)) {
      return refuse('mismatch', `no consistency shown from size ${old.size} to ${size}`);
    }
    this.#raise(signed);
    return { ok: true, from: this.size, to: this.size };
  }

  /**
   * Format byte; frontier and note of the highest checkpoint, each after its length; SHA-256 of all that. The
   * digest is there because a damaged frontier behind its checkpoint would make an honest log look false.
   */
  serialise(): Uint8Array {
    const frontier = this.#frontier.serialise();
    const note = utf8(this.#highest?.note ?? '');
    const parts = [u32be(frontier.length), frontier, u32be(note.length), note];
    const content = concat(new Uint8Array([FORMAT]), ...parts);
    return concat(content, sha256(content));
  }

  /**
   * Reads what `serialise` wrote for this log; the checkpoint's signature is verified again. Null for any
   * other bytes: a follower whose memory is damaged starts from the first entry, it does not trust half of
   * it.
   */
  static parse(bytes: Uint8Array, log: NoteVerifier): LogTail | null {
    if (bytes.length < HASH_BYTES) return null;
    const content = bytes.subarray(0, bytes.length - HASH_BYTES);
    if (content[0] !== FORMAT || !equal(sha256(content), bytes.subarray(content.length))) return null;
    const frontierPart = readPart(content, 1);
    if (frontierPart === null) return null;
    const notePart = readPart(content, frontierPart.end);
    if (notePart === null || notePart.end !== content.length) return null;
    const frontier = Frontier.parse(frontierPart.part);
    if (frontier === null) return null;
    const tail = new LogTail(log.name);
    tail.#frontier = frontier;
    if (notePart.part.length === 0) return frontier.size === 0 ? tail : null;

    let note: string;
    try {
      note = fromUtf8(notePart.part);
    } catch {
      return null;
    }
    const opened = openCheckpoint(note, log);
    if (!opened.ok || !equal(utf8(note), notePart.part)) return null;
    const { size, root } = opened.signed.checkpoint;
    if (frontier.size > size || (frontier.size === size && !equal(frontier.root(), root))) return null;
    tail.#highest = opened.signed;
    return tail;
  }

  /** What a checkpoint alone already contradicts; null when it may be right. */
  #judge(signed: SignedCheckpoint): TailRefusal | null {
    const { origin, size, root } = signed.checkpoint;
    if (origin !== this.origin) return refuse('foreign', `a checkpoint of ${origin}`);
    const seen = this.#highest;
    if (seen === null) return null;
    const notes = [seen.note, signed.note];
    if (size < seen.checkpoint.size) {
      return refuse('rolled-back', `size ${size} after size ${seen.checkpoint.size}`, notes);
    }
    if (size === seen.checkpoint.size && !equal(root, seen.checkpoint.root)) {
      return refuse('forked', `two roots of size ${size}`, notes);
    }
    return null;
  }

  #raise(signed: SignedCheckpoint): void {
    const seen = this.#highest?.checkpoint;
    // A second note of the same tree is kept out: the first may already be persisted or quoted.
    if (seen === undefined || signed.checkpoint.size > seen.size) this.#highest = signed;
    const highestSize = this.#highest?.checkpoint.size ?? 0;
    assert(this.#frontier.size <= highestSize, 'leaves are a prefix of the highest checkpoint');
  }
}

/**
 * A run of leaves toward one checkpoint, kept apart from the tail until it is proven. Made by
 * `LogTail.catchUp`.
 */
export class CatchUp {
  readonly #start: number;
  readonly #frontier: Frontier;
  readonly #seen: SignedCheckpoint | null;
  readonly #target: SignedCheckpoint;
  readonly #advance: (frontier: Frontier) => boolean;
  /** Set once the run has passed the size of the highest checkpoint seen with another root: what it had there. */
  #departure: Frontier | null = null;
  #ended = false;
  /** Where the run began, and its leaves; null once there are too many. */
  readonly #begin: Frontier;
  #leaves: Uint8Array[] | null = [];

  constructor(
    frontier: Frontier,
    seen: SignedCheckpoint | null,
    target: SignedCheckpoint,
    advance: (frontier: Frontier) => boolean,
  ) {
    this.#start = frontier.size;
    this.#begin = frontier.clone();
    this.#frontier = frontier;
    this.#seen = seen;
    this.#target = target;
    this.#advance = advance;
  }

  /** Index of the next leaf to ask for. */
  get size(): number {
    return this.#frontier.size;
  }

  /** Takes the next leaf hashes; null when they may be right, else the run is over. */
  add(leafHashes: readonly Uint8Array[]): TailRefusal | null {
    assert(!this.#ended, 'a run that ended takes no leaves');
    const { size } = this.#target.checkpoint;
    if (leafHashes.length > size - this.#frontier.size) {
      return this.#end(refuse('surplus', `${leafHashes.length} leaves after ${this.size} of ${size}`));
    }
    if (!leafHashes.every((leaf) => leaf.length === HASH_BYTES)) {
      return this.#end(refuse('malformed', 'a leaf hash has 32 bytes'));
    }
    for (const leaf of leafHashes) {
      this.#frontier.append(leaf);
      const seen = this.#seen?.checkpoint;
      const departs = seen?.size === this.#frontier.size && !equal(seen.root, this.#frontier.root());
      if (departs) this.#departure = this.#frontier.clone();
    }
    if (this.#frontier.size - this.#start > REMEMBERED_LEAVES_MAX) this.#leaves = null;
    this.#leaves?.push(...leafHashes.map((leaf) => new Uint8Array(leaf)));
    return null;
  }

  /**
   * Ends the run; `path` is the consistency path from where the leaves end, empty when they reach the target.
   */
  finish(path: readonly Uint8Array[] = []): TailVerdict {
    assert(!this.#ended, 'a run ends once');
    const verdict = this.#verdict(path);
    if (!verdict.ok) return this.#end(verdict);
    this.#ended = true;
    if (!this.#advance(this.#frontier)) return refuse('behind', 'the tail has moved since this run began');
    return verdict;
  }

  #verdict(path: readonly Uint8Array[]): TailVerdict {
    const reached = this.#frontier.size;
    const { size, root } = this.#target.checkpoint;
    if (reached < size && path.length === 0) return refuse('short', `leaves end at ${reached} of ${size}`);
    if (!verifyConsistency(reached, this.#frontier.root(), size, root, path)) {
      return refuse('mismatch', `leaves up to ${reached} do not lead to the root of size ${size}`);
    }
    const seen = this.#seen;
    if (this.#departure !== null && seen !== null) {
      // Leaves and target agree with each other, so it is the signer whose two checkpoints contradict.
      const notes = [seen.note, this.#target.note];
      const refusal = refuse('forked', `size ${size} does not extend size ${seen.checkpoint.size}`, notes);
      return { ...refusal, beginning: this.#beginning(this.#departure) };
    }
    if (seen !== null && reached < seen.checkpoint.size && seen.checkpoint.size < size) {
      return refuse('behind', `leaves end at ${reached}, before checkpoint ${seen.checkpoint.size}`);
    }
    return { ok: true, from: this.#start, to: reached };
  }

  /**
   * Path of a leaf of this run to the root of its target, after `finish` has said that they fit. Null when the
   * leaf was not of this run, or the run too long, or ended before the target.
   */
  pathOf(index: number): readonly Uint8Array[] | null {
    const isKnown = index >= this.#start && index < this.#frontier.size;
    if (this.#leaves === null || !isKnown || this.#frontier.size !== this.#target.checkpoint.size) return null;
    return new PartialTree(this.#begin, this.#leaves).inclusion(index);
  }

  #beginning(departure: Frontier): TailRefusal['beginning'] {
    if (this.#leaves === null || this.#frontier.size !== this.#target.checkpoint.size) return null;
    const tree = new PartialTree(departure, this.#leaves.slice(departure.size - this.#start));
    return { root: departure.root(), path: tree.consistency() };
  }

  #end(refusal: TailRefusal): TailRefusal {
    this.#ended = true;
    return refusal;
  }
}

function readPart(bytes: Uint8Array, at: number): { readonly part: Uint8Array; readonly end: number } | null {
  if (at + LENGTH_BYTES > bytes.length) return null;
  const length = new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getUint32(at);
  const start = at + LENGTH_BYTES;
  if (length > bytes.length - start) return null;
  return { part: bytes.subarray(start, start + length), end: start + length };
}
