/**
 * The batch tree of protocol 4.1b: one signature covers the root over many statements, and each statement
 * travels with its path. Leaves are made with `leafHash` of purpose-separated bytes, so a leaf of one purpose
 * never stands for another. A batch of one has an empty path, and its root is its leaf.
 */
import { assert } from '../base/assert.ts';
import { nodeHash, rootFromInclusion } from './tree.ts';

export const BATCH_LEAVES_MAX = 2 ** 16;
/** log2 of the largest batch: no valid path is longer. */
export const BATCH_PATH_MAX = 16;

assert(2 ** BATCH_PATH_MAX === BATCH_LEAVES_MAX, 'the longest path reaches the largest batch');

export interface BatchTree {
  readonly size: number;
  readonly root: Uint8Array;
  /** Inclusion path of one leaf, nearest sibling first. */
  path(index: number): Uint8Array[];
}

/** Builds the tree over 1 to 2^16 leaf hashes; twice their memory, so that every path costs O(log n). */
export function batchTree(leaves: readonly Uint8Array[]): BatchTree {
  assert(leaves.length >= 1, 'a batch has a statement');
  assert(leaves.length <= BATCH_LEAVES_MAX, 'a batch is bounded');
  const levels: (readonly Uint8Array[])[] = [leaves];
  for (let level = leaves; level.length > 1; levels.push(level)) level = parents(level);
  const root = levels.at(-1)?.[0];
  assert(root !== undefined, 'the last level is the root');
  return {
    size: leaves.length,
    root,
    path(index) {
      assert(Number.isSafeInteger(index) && index >= 0 && index < leaves.length, 'the leaf is in the batch');
      const path: Uint8Array[] = [];
      let position = index;
      for (const level of levels) {
        const sibling = level[position % 2 === 0 ? position + 1 : position - 1];
        if (sibling !== undefined) path.push(sibling);
        position = Math.floor(position / 2);
      }
      return path;
    },
  };
}

/** The next level up: pairs are joined, a node without a sibling moves up as it is. */
function parents(level: readonly Uint8Array[]): Uint8Array[] {
  const out: Uint8Array[] = [];
  for (let i = 0; i < level.length; i += 2) {
    const left = level[i];
    const right = level[i + 1];
    assert(left !== undefined, 'the pair begins inside the level');
    out.push(right === undefined ? left : nodeHash(left, right));
  }
  return out;
}

/**
 * The batch root that a leaf and its path give, or null when anything is out of bounds. Any values may be
 * given.
 */
export function rootOfBatchMember(
  leaf: Uint8Array,
  index: number,
  size: number,
  path: readonly Uint8Array[],
): Uint8Array | null {
  if (size > BATCH_LEAVES_MAX || path.length > BATCH_PATH_MAX) return null;
  return rootFromInclusion(leaf, index, size, path);
}
