/**
 * Merkle trees as in RFC 6962 and RFC 9162 section 2.1, over SHA-256. A tree of n leaves splits at the
 * largest power of two below n; leaves and inner nodes are hashed under different prefixes, so neither can
 * pose as the other. One shape serves the node log, the hash matrix (protocol 4.1) and batch signatures
 * (4.1b).
 *
 * Functions that build take trusted input and assert. Functions that verify take anything a peer may send and
 * answer null or false: every hash is checked for 32 bytes (else one preimage could be cut in two ways), a
 * path must have exactly the length that (index, size) dictates, and positions count up to 2^53 - 1. A path
 * proves the leaf and its index *for a given size*; several sizes may share a shape, so callers take the size
 * from where it is signed together with the root (checkpoint, batch signature, manifest), never from the
 * path's sender.
 */
import { assert } from '../base/assert.ts';
import { concat, equal } from '../base/bytes.ts';
import { HASH_BYTES, sha256 } from '../crypto/primitives.ts';

const LEAF_PREFIX = new Uint8Array([0]);
const NODE_PREFIX = 1;
const SIZE_BYTES = 8;

/** Root of the tree without leaves: SHA-256 of nothing. */
export const EMPTY_ROOT: Uint8Array = sha256();

/** Hash of the leaf whose data is the concatenation of the parts. */
export function leafHash(...parts: readonly Uint8Array[]): Uint8Array {
  return sha256(LEAF_PREFIX, ...parts);
}

// One preimage buffer for all inner nodes: hashing is synchronous, and this is the hottest call of the floor.
const preimage = new Uint8Array(1 + 2 * HASH_BYTES);
preimage[0] = NODE_PREFIX;

/** Hash of an inner node. Both children must have 32 bytes. */
export function nodeHash(left: Uint8Array, right: Uint8Array): Uint8Array {
  assert(left.length === HASH_BYTES, 'a left child has 32 bytes');
  assert(right.length === HASH_BYTES, 'a right child has 32 bytes');
  preimage.set(left, 1);
  preimage.set(right, 1 + HASH_BYTES);
  return sha256(preimage);
}

/** The largest power of two below `size`, for size >= 2. Without logarithms, which round near 2^53. */
export function largestPowerBelow(size: number): number {
  assert(size >= 2, 'only a tree of two leaves splits');
  let power = 1;
  while (power * 2 < size) power *= 2;
  return power;
}

/** Root over leaf hashes; the empty tree has EMPTY_ROOT. */
export function rootOf(leafHashes: readonly Uint8Array[]): Uint8Array {
  const frontier = new Frontier();
  for (const leaf of leafHashes) frontier.append(leaf);
  return frontier.root();
}

/** Root of the leaves [start, end); called only for ranges that are subtrees of the RFC 6962 shape. */
export type SubtreeRoot = (start: number, end: number) => Uint8Array;

/** Inclusion path of leaf `index` in a tree of `size` leaves, nearest sibling first (RFC 9162 2.1.3.1). */
export function inclusionPathFrom(subtreeRoot: SubtreeRoot, index: number, size: number): Uint8Array[] {
  assert(index >= 0 && index < size, 'the leaf is in the tree');
  const path: Uint8Array[] = [];
  let start = 0;
  let end = size;
  while (end - start > 1) {
    const middle = start + largestPowerBelow(end - start);
    if (index < middle) {
      path.push(subtreeRoot(middle, end));
      end = middle;
    } else {
      path.push(subtreeRoot(start, middle));
      start = middle;
    }
  }
  return path.reverse();
}

/** As `inclusionPathFrom`, over all leaf hashes of a tree. */
export function inclusionPath(leafHashes: readonly Uint8Array[], index: number): Uint8Array[] {
  const subtreeRoot: SubtreeRoot = (start, end) => rootOf(leafHashes.slice(start, end));
  return inclusionPathFrom(subtreeRoot, index, leafHashes.length);
}

/**
 * Consistency path from the first `oldSize` leaves to all `newSize` (RFC 9162 2.1.4.1). Empty when the sizes
 * are equal, and from size 0, which every tree extends.
 */
export function consistencyPathFrom(
  subtreeRoot: SubtreeRoot,
  oldSize: number,
  newSize: number,
): Uint8Array[] {
  assert(oldSize >= 0 && oldSize <= newSize, 'a tree only grows');
  if (oldSize === 0) return [];
  const path: Uint8Array[] = [];
  let start = 0;
  let end = newSize;
  // True while [start, end) began at the left edge: the verifier then knows this subtree as the old root.
  let leftEdge = true;
  while (oldSize !== end) {
    const middle = start + largestPowerBelow(end - start);
    if (oldSize <= middle) {
      path.push(subtreeRoot(middle, end));
      end = middle;
    } else {
      path.push(subtreeRoot(start, middle));
      start = middle;
      leftEdge = false;
    }
  }
  if (!leftEdge) path.push(subtreeRoot(start, end));
  return path.reverse();
}

/** As `consistencyPathFrom`, over all leaf hashes of the newer tree. */
export function consistencyPath(leafHashes: readonly Uint8Array[], oldSize: number): Uint8Array[] {
  const subtreeRoot: SubtreeRoot = (start, end) => rootOf(leafHashes.slice(start, end));
  return consistencyPathFrom(subtreeRoot, oldSize, leafHashes.length);
}

const half = (value: number): number => Math.floor(value / 2);
const isOdd = (value: number): boolean => value % 2 === 1;
const isHash = (bytes: Uint8Array): boolean => bytes.length === HASH_BYTES;
/** Not `slice`: on Node's Buffer, which hash functions may return, that gives a view. */
export const copyOf = (bytes: Uint8Array): Uint8Array => new Uint8Array(bytes);

/**
 * The root that `leaf` at `index` of `size` leaves and `path` give (RFC 9162 2.1.3.2), or null when index,
 * size, the path's length or a hash's length is impossible. Any values may be given.
 */
export function rootFromInclusion(
  leaf: Uint8Array,
  index: number,
  size: number,
  path: readonly Uint8Array[],
): Uint8Array | null {
  if (!Number.isSafeInteger(index) || !Number.isSafeInteger(size) || index < 0 || index >= size) return null;
  if (!isHash(leaf) || !path.every(isHash)) return null;
  let position = index;
  let last = size - 1;
  let hash = leaf;
  for (const sibling of path) {
    if (last === 0) return null;
    if (isOdd(position) || position === last) {
      hash = nodeHash(sibling, hash);
      // A node on the right edge has no sibling on the levels where it stands alone.
      while (!isOdd(position) && position !== 0) {
        position = half(position);
        last = half(last);
      }
    } else {
      hash = nodeHash(hash, sibling);
    }
    position = half(position);
    last = half(last);
  }
  return last === 0 ? hash : null;
}

/** True iff `leaf` stands at `index` in the tree of `size` leaves with this root. Any values may be given. */
export function verifyInclusion(
  root: Uint8Array,
  leaf: Uint8Array,
  index: number,
  size: number,
  path: readonly Uint8Array[],
): boolean {
  const found = rootFromInclusion(leaf, index, size, path);
  return found !== null && equal(found, root);
}

/**
 * True iff the tree (newSize, newRoot) begins with the leaves of the tree (oldSize, oldRoot) (RFC 9162
 * 2.1.4.2). Sizes 0 and equal sizes take an empty path, and the roots are still compared. Any values may be
 * given.
 */
export function verifyConsistency(
  oldSize: number,
  oldRoot: Uint8Array,
  newSize: number,
  newRoot: Uint8Array,
  path: readonly Uint8Array[],
): boolean {
  if (!Number.isSafeInteger(oldSize) || !Number.isSafeInteger(newSize)) return false;
  if (oldSize < 0 || oldSize > newSize) return false;
  if (!isHash(oldRoot) || !isHash(newRoot) || !path.every(isHash)) return false;
  if (oldSize === newSize) {
    return path.length === 0 && equal(oldRoot, newRoot) && (oldSize > 0 || equal(oldRoot, EMPTY_ROOT));
  }
  if (oldSize === 0) return path.length === 0 && equal(oldRoot, EMPTY_ROOT);

  let position = oldSize - 1;
  let last = newSize - 1;
  while (isOdd(position)) {
    position = half(position);
    last = half(last);
  }
  // position 0: the old tree is one complete subtree, so the path starts from the old root itself.
  const siblings = position === 0 ? path : path.slice(1);
  const seed = position === 0 ? oldRoot : path[0];
  if (seed === undefined) return false;
  let oldHash = seed;
  let newHash = seed;
  for (const sibling of siblings) {
    if (last === 0) return false;
    if (isOdd(position) || position === last) {
      oldHash = nodeHash(sibling, oldHash);
      newHash = nodeHash(sibling, newHash);
      while (!isOdd(position) && position !== 0) {
        position = half(position);
        last = half(last);
      }
    } else {
      newHash = nodeHash(newHash, sibling);
    }
    position = half(position);
    last = half(last);
  }
  return last === 0 && equal(oldHash, oldRoot) && equal(newHash, newRoot);
}

/** Number of complete subtrees that `size` leaves fall into: the ones in its binary form. */
export function peakCount(size: number): number {
  let count = 0;
  for (let rest = size; rest > 0; rest = half(rest)) if (isOdd(rest)) count += 1;
  return count;
}

/**
 * A tree known by its complete subtrees alone: enough to append and to give the root, in O(log n) memory.
 * `peaks` stand from left to right, one for each one in the binary form of the size.
 */
export class Frontier {
  #size = 0;
  #peaks: Uint8Array[] = [];

  /** A frontier with the given complete subtrees, which must be as many as `size` dictates. */
  static fromPeaks(size: number, peaks: readonly Uint8Array[]): Frontier {
    assert(Number.isSafeInteger(size) && size >= 0, 'a size counts leaves');
    assert(peaks.length === peakCount(size), 'one peak for each one in the binary size');
    assert(peaks.every(isHash), 'a peak has 32 bytes');
    const frontier = new Frontier();
    frontier.#size = size;
    frontier.#peaks = peaks.map(copyOf);
    return frontier;
  }

  /** Reads what `serialise` wrote; null for any other bytes. */
  static parse(bytes: Uint8Array): Frontier | null {
    if (bytes.length < SIZE_BYTES || (bytes.length - SIZE_BYTES) % HASH_BYTES !== 0) return null;
    const wide = new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getBigUint64(0);
    if (wide > BigInt(Number.MAX_SAFE_INTEGER)) return null;
    const size = Number(wide);
    const count = (bytes.length - SIZE_BYTES) / HASH_BYTES;
    if (count !== peakCount(size)) return null;
    const peaks = Array.from({ length: count }, (_, i) => {
      const from = SIZE_BYTES + i * HASH_BYTES;
      return bytes.subarray(from, from + HASH_BYTES);
    });
    return Frontier.fromPeaks(size, peaks);
  }

  get size(): number {
    return this.#size;
  }

  /** Appends one leaf hash; the caller may reuse the array. */
  append(leaf: Uint8Array): void {
    assert(leaf.length === HASH_BYTES, 'a leaf hash has 32 bytes');
    assert(this.#size < Number.MAX_SAFE_INTEGER, 'positions stay exact integers');
    let hash = leaf;
    for (let rest = this.#size; isOdd(rest); rest = half(rest)) {
      const left = this.#peaks.pop();
      assert(left !== undefined, 'one peak for each one in the binary size');
      hash = nodeHash(left, hash);
    }
    // A copy, because the given array may be a small view that would keep a whole frame alive.
    this.#peaks.push(hash === leaf ? copyOf(leaf) : hash);
    this.#size += 1;
  }

  root(): Uint8Array {
    let root: Uint8Array | undefined;
    for (const peak of this.#peaks.toReversed()) root = root === undefined ? peak : nodeHash(peak, root);
    return root ?? EMPTY_ROOT;
  }

  /** The complete subtrees, from left to right: the leaves [start, end) and their root. */
  subtrees(): readonly { readonly start: number; readonly end: number; readonly hash: Uint8Array }[] {
    const sizes: number[] = [];
    for (let power = 1, rest = this.#size; rest > 0; power *= 2, rest = half(rest)) if (isOdd(rest)) sizes.unshift(power);
    let start = 0;
    return this.#peaks.map((hash, i) => {
      const end = start + (sizes[i] ?? 0);
      const subtree = { start, end, hash };
      start = end;
      return subtree;
    });
  }

  clone(): Frontier {
    const copy = new Frontier();
    copy.#size = this.#size;
    copy.#peaks = [...this.#peaks];
    return copy;
  }

  /** Size as 64 bits, big-endian, then the peaks from left to right. */
  serialise(): Uint8Array {
    const size = new Uint8Array(SIZE_BYTES);
    new DataView(size.buffer).setBigUint64(0, BigInt(this.#size));
    return concat(size, ...this.#peaks);
  }
}
