import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { concat, hex, utf8 } from '../base/bytes.ts';
import { LeafStore } from './leaf-store.ts';
import {
  consistencyPath,
  inclusionPath,
  leafHash,
  nodeHash,
  rootOf,
  verifyConsistency,
  verifyInclusion,
} from './tree.ts';

const hexAll = (hashes: readonly Uint8Array[]): string[] => hashes.map(hex);
const leaves = Array.from({ length: 9000 }, (_, i) => leafHash(utf8(`leaf ${i}`)));

function storeOf(size: number): LeafStore {
  const store = new LeafStore();
  for (const leaf of leaves.slice(0, size)) store.append(leaf);
  return store;
}

describe('LeafStore', () => {
  const store = storeOf(9000);

  it('gives the plain root, frontier and leaves at every small size and around every stored boundary', () => {
    const sizes = [...Array(70).keys(), 255, 256, 257, 4095, 4096, 4097, 8191, 8192, 8193, 9000];
    for (const size of sizes) {
      const tree = leaves.slice(0, size);
      expect(hex(store.root(size))).toBe(hex(rootOf(tree)));
      expect(hex(storeOf(size).root())).toBe(hex(rootOf(tree)));
      expect(store.frontier(size).size).toBe(size);
    }
    expect(hexAll(store.leaves(4090, 4100))).toEqual(hexAll(leaves.slice(4090, 4100)));
    expect(store.leaves(5, 5)).toEqual([]);
  });

  it('gives the plain inclusion and consistency paths at any size', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1200 }), fc.nat(), fc.nat(), (size, pick, old) => {
        const tree = leaves.slice(0, size);
        const index = pick % size;
        const oldSize = old % (size + 1);
        expect(hexAll(store.inclusion(index, size))).toEqual(hexAll(inclusionPath(tree, index)));
        expect(hexAll(store.consistency(oldSize, size))).toEqual(hexAll(consistencyPath(tree, oldSize)));
      }),
    );
  });

  it('is restored from leaves and subtree roots as it was, in pieces of any multiple of 16', () => {
    for (const size of [0, 1, 15, 16, 17, 160, 4095, 4096, 4100, 8192, 9000]) {
      for (const piece of [16, 48, 4096, 16384]) {
        const original = storeOf(size);
        const restored = new LeafStore();
        for (let from = 0; from < size; from += piece) {
          const to = Math.min(size, from + piece);
          restored.restore(concat(...original.leaves(from, to)), original.subtreeRoots(from, to));
        }
        expect(hex(restored.root())).toBe(hex(original.root()));
        for (const store of [original, restored]) for (const leaf of leaves.slice(size, size + 40)) store.append(leaf);
        expect(hex(restored.root())).toBe(hex(original.root()));
        const { size: grown } = original;
        if (grown > 3) expect(hexAll(restored.inclusion(3, grown))).toEqual(hexAll(original.inclusion(3, grown)));
      }
    }
  });

  it('proves across chunks', () => {
    const root = store.root();
    for (const index of [0, 4095, 4096, 8191, 8192, 8999]) {
      const leaf = leaves[index] as Uint8Array;
      expect(verifyInclusion(root, leaf, index, 9000, store.inclusion(index))).toBe(true);
    }
    for (const size of [1, 4095, 4096, 4097, 8192, 8999]) {
      expect(verifyConsistency(size, store.root(size), 9000, root, store.consistency(size))).toBe(true);
    }
  });

  it('answers stay as they were when the log grows or a caller writes into them', () => {
    const small = storeOf(20);
    const before = hex(small.root(17));
    // Leaf 16 is the last peak at size 17; leaf 3 lies inside of a stored subtree.
    for (const leaf of [small.leaf(3), small.leaf(16), ...small.leaves(14, 18)]) leaf.fill(0);
    for (const hash of small.inclusion(3)) hash.fill(0);
    for (const hash of small.consistency(16)) hash.fill(0);
    small.frontier(16).root().fill(0);
    for (const leaf of leaves.slice(20, 100)) small.append(leaf);
    expect(hex(small.root(17))).toBe(before);
    expect(hexAll(small.leaves(0, 20))).toEqual(hexAll(leaves.slice(0, 20)));
    expect(hex(small.root(100))).toBe(hex(rootOf(leaves.slice(0, 100))));
  });

  it('a million leaves keep root and paths right', () => {
    const big = new LeafStore();
    const leaf = leaves[0] as Uint8Array;
    const count = 2 ** 20;
    for (let i = 0; i < count; i += 1) big.append(leaf);
    let root = leaf;
    for (let level = 0; level < 20; level += 1) root = nodeHash(root, root);
    expect(hex(big.root())).toBe(hex(root));
    expect(verifyInclusion(root, leaf, 777_777, count, big.inclusion(777_777))).toBe(true);
    const part = big.root(777_777);
    expect(verifyConsistency(777_777, part, count, root, big.consistency(777_777))).toBe(true);
  });
});
