/**
 * All leaf hashes of a big log in memory, with the roots of its complete subtrees: the root at any size and
 * inclusion and consistency paths take O(log n) hashes. Subtrees below 16 leaves are recomputed when asked
 * for (at most 15 hashes), so a leaf costs 36 bytes instead of 64, and 10^7 leaves fit 360 MB. Hashes live in
 * fixed chunks outside of the garbage collector's object graph; a chunk never moves when the log grows.
 */
import { assert } from '../base/assert.ts';
import { HASH_BYTES } from '../crypto/primitives.ts';
import {
  Frontier,
  consistencyPathFrom,
  copyOf,
  inclusionPathFrom,
  largestPowerBelow,
  nodeHash,
} from './tree.ts';

/** 128 KiB a chunk: small beside a big log, and few enough chunks to list. */
const CHUNK_HASHES = 4096;
/** Lowest level above the leaves that is stored. */
const STORED_LEVEL = 4;
const STORED_LEAVES = 2 ** STORED_LEVEL;

/** A growing array of hashes. */
class HashColumn {
  readonly #chunks: Uint8Array[] = [];
  #length = 0;

  get length(): number {
    return this.#length;
  }

  push(hash: Uint8Array): void {
    assert(hash.length === HASH_BYTES, 'a hash has 32 bytes');
    const at = this.#length % CHUNK_HASHES;
    if (at === 0) this.#chunks.push(new Uint8Array(CHUNK_HASHES * HASH_BYTES));
    const chunk = this.#chunks.at(-1);
    assert(chunk !== undefined, 'the last chunk has room');
    chunk.set(hash, at * HASH_BYTES);
    this.#length += 1;
  }

  /** Adds hashes that stand one after the other. */
  pushAll(packed: Uint8Array): void {
    assert(packed.length % HASH_BYTES === 0, 'packed hashes have 32 bytes each');
    for (let at = 0; at < packed.length; ) {
      const place = (this.#length % CHUNK_HASHES) * HASH_BYTES;
      if (place === 0) this.#chunks.push(new Uint8Array(CHUNK_HASHES * HASH_BYTES));
      const chunk = this.#chunks.at(-1);
      assert(chunk !== undefined, 'the last chunk has room');
      const piece = packed.subarray(at, at + chunk.length - place);
      chunk.set(piece, place);
      at += piece.length;
      this.#length += piece.length / HASH_BYTES;
    }
  }

  /** A view into the chunk; never handed out of this file. */
  view(index: number): Uint8Array {
    assert(index >= 0 && index < this.#length, 'the hash is stored');
    const chunk = this.#chunks[Math.floor(index / CHUNK_HASHES)];
    assert(chunk !== undefined, 'a stored hash has its chunk');
    const from = (index % CHUNK_HASHES) * HASH_BYTES;
    return chunk.subarray(from, from + HASH_BYTES);
  }
}

/** Append-only. Arguments are trusted: who serves peers checks positions before (log/merkle-log.ts). */
export class LeafStore {
  readonly #leaves = new HashColumn();
  /** Element i holds the complete subtrees of 2^(STORED_LEVEL + i) leaves. */
  readonly #upper: HashColumn[] = [];

  get size(): number {
    return this.#leaves.length;
  }

  /** Copies the leaf hash in; returns its index. */
  append(leaf: Uint8Array): number {
    const index = this.#leaves.length;
    this.#leaves.push(leaf);
    if (this.#leaves.length % STORED_LEAVES === 0) this.#closeSubtrees();
    return index;
  }

  /**
   * Roots of the complete subtrees of 16 leaves from leaf `from` (a multiple of 16) to `to`, packed: beside the
   * leaves themselves all that `restore` needs.
   */
  subtreeRoots(from: number, to: number): Uint8Array {
    assert(from % STORED_LEAVES === 0 && from <= to && to <= this.size, 'the range is stored');
    const [first, end] = [from / STORED_LEAVES, Math.floor(to / STORED_LEAVES)];
    const out = new Uint8Array((end - first) * HASH_BYTES);
    for (let i = first; i < end; i += 1) out.set(this.#complete(STORED_LEVEL, i), (i - first) * HASH_BYTES);
    return out;
  }

  /** Appends packed leaves whose `subtreeRoots` are known and trusted, without hashing them again. */
  restore(leaves: Uint8Array, roots: Uint8Array): void {
    assert(this.size % STORED_LEAVES === 0, 'restoring goes on where a subtree ended');
    assert(Math.floor(leaves.length / HASH_BYTES / STORED_LEAVES) * HASH_BYTES === roots.length, 'each subtree has its root');
    this.#leaves.pushAll(leaves);
    for (let at = 0; at < roots.length; at += HASH_BYTES) this.#pushSubtree(roots.subarray(at, at + HASH_BYTES));
  }

  leaf(index: number): Uint8Array {
    return copyOf(this.#leaves.view(index));
  }

  /** Copies of the leaf hashes [from, to). */
  leaves(from: number, to: number): Uint8Array[] {
    assert(from >= 0 && from <= to && to <= this.size, 'the range is stored');
    return Array.from({ length: to - from }, (_, i) => this.leaf(from + i));
  }

  root(size: number = this.size): Uint8Array {
    return this.frontier(size).root();
  }

  /** The compact form of the first `size` leaves. */
  frontier(size: number = this.size): Frontier {
    assert(size >= 0 && size <= this.size, 'the size was reached');
    const peaks: Uint8Array[] = [];
    let start = 0;
    while (start < size) {
      const leaves = size - start === 1 ? 1 : largestPowerBelow(size - start + 1);
      peaks.push(this.#complete(Math.log2(leaves), start / leaves));
      start += leaves;
    }
    return Frontier.fromPeaks(size, peaks);
  }

  /** Path of leaf `index` in the tree of the first `size` leaves. */
  inclusion(index: number, size: number = this.size): Uint8Array[] {
    assert(size <= this.size, 'the size was reached');
    return inclusionPathFrom((start, end) => this.#subtree(start, end), index, size);
  }

  /** Path from the tree of `oldSize` leaves to that of `newSize`. */
  consistency(oldSize: number, newSize: number = this.size): Uint8Array[] {
    assert(newSize <= this.size, 'the size was reached');
    return consistencyPathFrom((start, end) => this.#subtree(start, end), oldSize, newSize);
  }

  #closeSubtrees(): void {
    const left = this.#complete(STORED_LEVEL - 1, this.size / (STORED_LEAVES / 2) - 2);
    this.#pushSubtree(nodeHash(left, this.#complete(STORED_LEVEL - 1, this.size / (STORED_LEAVES / 2) - 1)));
  }

  /** Takes the root of the next complete subtree of 16 leaves, and closes what it completes above. */
  #pushSubtree(root: Uint8Array): void {
    let hash = root;
    for (let i = 0; ; i += 1) {
      const column = (this.#upper[i] ??= new HashColumn());
      column.push(hash);
      if (column.length % 2 === 1) return;
      hash = nodeHash(column.view(column.length - 2), column.view(column.length - 1));
    }
  }

  /** Root of the index-th subtree of 2^level leaves, all of which are stored. */
  #complete(level: number, index: number): Uint8Array {
    if (level === 0) return this.leaf(index);
    if (level < STORED_LEVEL) {
      return nodeHash(this.#complete(level - 1, 2 * index), this.#complete(level - 1, 2 * index + 1));
    }
    const column = this.#upper[level - STORED_LEVEL];
    assert(column !== undefined, 'the subtree is complete');
    return copyOf(column.view(index));
  }

  #subtree(start: number, end: number): Uint8Array {
    const count = end - start;
    if (count === 1) return this.leaf(start);
    const left = largestPowerBelow(count);
    if (left * 2 === count) return this.#complete(Math.log2(count), start / count);
    return nodeHash(this.#subtree(start, start + left), this.#subtree(start + left, end));
  }
}
