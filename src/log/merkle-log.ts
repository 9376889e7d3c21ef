/**
 * The Merkle state of a node's own append-only log (protocol 10, 13.8): which entry stands at which index,
 * and the proofs of it. The journal holds the bytes; here are hashes alone, kept for ever.
 *
 * An index is given at append, before the entry is on disk, because the entry's own promise names it. Until
 * the group commit has synced, such entries are *tentative*: no root, proof or hash of them leaves this file,
 * so nothing is ever signed that a crash could take back. A node whose commit fails stops, and finds the
 * durable log again at boot; therefore nothing is rolled back here.
 */
import { assert } from '../base/assert.ts';
import { LeafStore } from '../merkle/leaf-store.ts';
import type { Frontier } from '../merkle/tree.ts';
import { leafHash } from '../merkle/tree.ts';
import type { Checkpoint } from './checkpoint.ts';
import { encodeEntry } from './entry-types.ts';
import type { EntryType } from './entry-types.ts';

export class MerkleLog {
  readonly #store = new LeafStore();
  #durableSize = 0;
  /** Root at the durable size, kept because every LIST barrier asks for it. */
  #durableRoot: Uint8Array | null = null;
  /** The root asked for last; roots of a size never change. */
  #asked: { readonly size: number; readonly root: Uint8Array } | null = null;

  /** The log as it was found on disk: all of these leaf hashes are durable. */
  static restore(leafHashes: Iterable<Uint8Array>): MerkleLog {
    const log = new MerkleLog();
    for (const leaf of leafHashes) log.restoreLeaf(leaf);
    return log;
  }

  /** Adds the next leaf hash found on disk, which is durable. Never while tentative entries wait. */
  restoreLeaf(leaf: Uint8Array): void {
    assert(this.#store.size === this.#durableSize, 'a log is restored before it is appended to');
    this.#store.append(leaf);
    this.#durableSize = this.#store.size;
    this.#durableRoot = null;
  }

  /** Adds leaf hashes with their `subtreeRoots`, both packed, as an earlier process wrote them down durably. */
  restoreLeaves(leaves: Uint8Array, subtreeRoots: Uint8Array): void {
    assert(this.#store.size === this.#durableSize, 'a log is restored before it is appended to');
    this.#store.restore(leaves, subtreeRoots);
    this.#durableSize = this.#store.size;
    this.#durableRoot = null;
  }

  /** What `restoreLeaves` needs beside the leaves [from, to), all durable; `from` is a multiple of 16. */
  subtreeRoots(from: number, to: number): Uint8Array {
    assert(to <= this.#durableSize, 'only what is durable is written down');
    return this.#store.subtreeRoots(from, to);
  }

  /** Entries appended, tentative ones included: the index of the next entry. */
  get size(): number {
    return this.#store.size;
  }

  /** Entries that survive a power loss. */
  get durableSize(): number {
    return this.#durableSize;
  }

  /**
   * Appends an entry tentatively; returns its index. Throws TOO_LARGE (see `encodeEntry`) before any change.
   */
  append(type: EntryType, body: Uint8Array): number {
    return this.#store.append(leafHash(encodeEntry(type, body)));
  }

  /** Call when a sync has returned that covers the first `size` entries. */
  markDurable(size: number): void {
    assert(size >= this.#durableSize, 'what is durable stays durable');
    assert(size <= this.#store.size, 'only appended entries become durable');
    if (size > this.#durableSize) this.#durableRoot = null;
    this.#durableSize = size;
  }

  /** What the node may sign now: origin, durable size and its root. */
  checkpoint(origin: string, nonce: Uint8Array | null = null): Checkpoint {
    this.#durableRoot ??= this.#store.root(this.#durableSize);
    return { origin, size: this.#durableSize, root: this.#durableRoot, nonce };
  }

  // Positions below may come from a peer: out of the durable log, the answer is null.

  root(size: number = this.#durableSize): Uint8Array | null {
    if (!this.#reached(size)) return null;
    // Askers quote one checkpoint many times.
    if (this.#asked?.size !== size) this.#asked = { size, root: this.#store.root(size) };
    return this.#asked.root;
  }

  /** Compact form of the first `size` entries, for a snapshot. */
  frontier(size: number = this.#durableSize): Frontier | null {
    return this.#reached(size) ? this.#store.frontier(size) : null;
  }

  /** Path of entry `index` to the root at `size`. */
  inclusion(index: number, size: number = this.#durableSize): Uint8Array[] | null {
    if (!this.#reached(size) || !Number.isSafeInteger(index) || index < 0 || index >= size) return null;
    return this.#store.inclusion(index, size);
  }

  /** Path from the root at `oldSize` to the root at `newSize`. */
  consistency(oldSize: number, newSize: number = this.#durableSize): Uint8Array[] | null {
    if (!this.#reached(oldSize) || !this.#reached(newSize) || oldSize > newSize) return null;
    return this.#store.consistency(oldSize, newSize);
  }

  /** Leaf hashes of the entries [from, to); the caller bounds their number. */
  leafRange(from: number, to: number): Uint8Array[] | null {
    if (!this.#reached(from) || !this.#reached(to) || from > to) return null;
    return this.#store.leaves(from, to);
  }

  #reached(size: number): boolean {
    return Number.isSafeInteger(size) && size >= 0 && size <= this.#durableSize;
  }
}
