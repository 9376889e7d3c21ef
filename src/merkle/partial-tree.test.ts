import { describe, expect, it } from 'vitest';
import { PartialTree } from './partial-tree.ts';
import { Frontier, leafHash, rootOf, verifyConsistency, verifyInclusion } from './tree.ts';

const leaves = Array.from({ length: 40 }, (_, i) => leafHash(new Uint8Array([i])));

/** The first `from` leaves as subtrees, the others up to `size` one by one. */
function partial(from: number, size: number): PartialTree {
  const frontier = new Frontier();
  for (const leaf of leaves.slice(0, from)) frontier.append(leaf);
  return new PartialTree(frontier, leaves.slice(from, size));
}

describe('a tree of which only the end is known', () => {
  it('gives the root and the paths of the whole tree, for all pairs of sizes', () => {
    for (let size = 0; size <= leaves.length; size += 1) {
      const root = rootOf(leaves.slice(0, size));
      for (let from = 0; from <= size; from += 1) {
        const tree = partial(from, size);
        expect(tree.root()).toEqual(root);
        expect(verifyConsistency(from, rootOf(leaves.slice(0, from)), size, root, tree.consistency())).toBe(true);
        for (let index = from; index < size; index += 1) {
          expect(verifyInclusion(root, leaves[index] ?? root, index, size, tree.inclusion(index))).toBe(true);
        }
      }
    }
  });

  it('knows no leaf before its beginning', () => {
    expect(() => partial(5, 9).inclusion(4)).toThrow('the leaf is known');
  });
});
