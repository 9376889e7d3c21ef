/** The tree against RFC 6962's own recursive definitions, published vectors, and every kind of tampering. */
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { concat, fromHex, hex, utf8 } from '../base/bytes.ts';
import { sha256 } from '../crypto/primitives.ts';
import {
  EMPTY_ROOT,
  Frontier,
  consistencyPath,
  inclusionPath,
  largestPowerBelow,
  leafHash,
  nodeHash,
  peakCount,
  rootFromInclusion,
  rootOf,
  verifyConsistency,
  verifyInclusion,
} from './tree.ts';

interface Inclusion {
  readonly index: number;
  readonly size: number;
  readonly path: readonly string[];
}
interface Consistency {
  readonly oldSize: number;
  readonly newSize: number;
  readonly path: readonly string[];
}
interface Vectors {
  readonly reference: {
    readonly leaves: readonly string[];
    readonly roots: readonly string[];
    readonly inclusion: readonly Inclusion[];
    readonly consistency: readonly Consistency[];
  };
  readonly counting: {
    readonly roots: readonly { readonly size: number; readonly root: string }[];
    readonly inclusion: readonly Inclusion[];
    readonly consistency: readonly Consistency[];
    readonly frontiers: readonly { readonly size: number; readonly bytes: string }[];
  };
}

const vectors = JSON.parse(
  readFileSync(new URL('../../spec/vectors/merkle.json', import.meta.url), 'utf8'),
) as Vectors;
const hexAll = (hashes: readonly Uint8Array[]): string[] => hashes.map(hex);
const counting = Array.from({ length: 1100 }, (_, i) => leafHash(utf8(String(i))));

/** RFC 6962 section 2.1, letter by letter: D[n] is the list, k the split. */
function mth(d: readonly Uint8Array[]): Uint8Array {
  if (d.length === 0) return sha256();
  if (d.length === 1) return d[0] as Uint8Array;
  const k = largestPowerBelow(d.length);
  return sha256(new Uint8Array([1]), mth(d.slice(0, k)), mth(d.slice(k)));
}

/** A copy in which one byte differs. */
function changed(bytes: Uint8Array, at: number, by: number): Uint8Array {
  const out = new Uint8Array(bytes);
  out[at % out.length] = (out[at % out.length] ?? 0) ^ by;
  return out;
}

const anySize = fc.integer({ min: 1, max: 300 });
const anyChange = fc.integer({ min: 1, max: 255 });
const anyPlace = fc.nat({ max: 4096 });

describe('published vectors', () => {
  const leaves = vectors.reference.leaves.map((data) => leafHash(fromHex(data)));

  it('the reference leaves give the known roots at every size from 0 to 8', () => {
    for (const [size, root] of vectors.reference.roots.entries()) {
      expect(hex(rootOf(leaves.slice(0, size)))).toBe(root);
    }
    expect(vectors.reference.roots).toHaveLength(9);
  });

  it.each([
    ['reference', leaves, vectors.reference],
    ['counting', counting, vectors.counting],
  ] as const)('every path of the %s trees is the expected one', (_, all, expected) => {
    for (const { index, size, path } of expected.inclusion) {
      const tree = all.slice(0, size);
      expect(hexAll(inclusionPath(tree, index))).toEqual(path);
      expect(verifyInclusion(mth(tree), all[index] as Uint8Array, index, size, path.map(fromHex))).toBe(true);
    }
    for (const { oldSize, newSize, path } of expected.consistency) {
      const tree = all.slice(0, newSize);
      expect(hexAll(consistencyPath(tree, oldSize))).toEqual(path);
      const oldRoot = mth(all.slice(0, oldSize));
      expect(verifyConsistency(oldSize, oldRoot, newSize, mth(tree), path.map(fromHex))).toBe(true);
    }
  });

  it('the counting trees have the expected roots and serialised frontiers', () => {
    for (const { size, root } of vectors.counting.roots) {
      expect(hex(rootOf(counting.slice(0, size)))).toBe(root);
    }
    for (const { size, bytes } of vectors.counting.frontiers) {
      const frontier = new Frontier();
      for (const leaf of counting.slice(0, size)) frontier.append(leaf);
      expect(hex(frontier.serialise())).toBe(bytes);
    }
  });
});

describe('hashing', () => {
  it('the empty tree has the hash of nothing', () => {
    expect(hex(rootOf([]))).toBe(hex(sha256()));
    expect(hex(EMPTY_ROOT)).toBe(hex(sha256()));
  });

  it('a leaf made of two child hashes is not their parent', () => {
    const [left, right] = [counting[0] as Uint8Array, counting[1] as Uint8Array];
    expect(hex(leafHash(concat(left, right)))).not.toBe(hex(nodeHash(left, right)));
    expect(hex(leafHash(left, right))).toBe(hex(leafHash(concat(left, right))));
  });

  it('the split is the largest power of two strictly below the size, up to 2^53', () => {
    const small = [[2, 1], [3, 2], [4, 2], [5, 4], [8, 4], [9, 8]];
    const expected = [...small, [2 ** 53 - 1, 2 ** 52], [2 ** 49 + 1, 2 ** 49]];
    for (const [size, split] of expected) expect(largestPowerBelow(size as number)).toBe(split);
    expect(peakCount(2 ** 53 - 1)).toBe(53);
    expect(peakCount(2 ** 40)).toBe(1);
  });
});

describe('inclusion', () => {
  it('every leaf of every tree up to 70 leaves verifies, and at no other index', () => {
    for (let size = 1; size <= 70; size += 1) {
      const tree = counting.slice(0, size);
      const root = mth(tree);
      for (let index = 0; index < size; index += 1) {
        const leaf = tree[index] as Uint8Array;
        const path = inclusionPath(tree, index);
        expect(hex(rootFromInclusion(leaf, index, size, path) ?? EMPTY_ROOT)).toBe(hex(root));
        for (let other = -1; other <= size; other += 1) {
          if (other !== index) expect(verifyInclusion(root, leaf, other, size, path)).toBe(false);
        }
      }
    }
  });

  it('one changed byte of root, leaf or path fails', () => {
    fc.assert(
      fc.property(anySize, anyPlace, anyPlace, anyPlace, anyChange, (size, pick, which, at, by) => {
        const tree = counting.slice(0, size);
        const root = rootOf(tree);
        const index = pick % size;
        const leaf = tree[index] as Uint8Array;
        const path = inclusionPath(tree, index);
        expect(verifyInclusion(root, leaf, index, size, path)).toBe(true);
        expect(verifyInclusion(changed(root, at, by), leaf, index, size, path)).toBe(false);
        expect(verifyInclusion(root, changed(leaf, at, by), index, size, path)).toBe(false);
        if (path.length > 0) {
          const place = which % path.length;
          const bad = path.with(place, changed(path[place] as Uint8Array, at, by));
          expect(verifyInclusion(root, leaf, index, size, bad)).toBe(false);
        }
      }),
    );
  });

  it('a path with one hash less, more, cut or stretched gives no root at all', () => {
    fc.assert(
      fc.property(anySize, anyPlace, (size, pick) => {
        const tree = counting.slice(0, size);
        const index = pick % size;
        const leaf = tree[index] as Uint8Array;
        const path = inclusionPath(tree, index);
        expect(rootFromInclusion(leaf, index, size, [...path, leaf])).toBeNull();
        expect(rootFromInclusion(leaf.subarray(1), index, size, path)).toBeNull();
        if (path.length === 0) return;
        expect(rootFromInclusion(leaf, index, size, path.slice(1))).toBeNull();
        expect(rootFromInclusion(leaf, index, size, path.slice(0, -1))).toBeNull();
        const first = path[0] as Uint8Array;
        expect(rootFromInclusion(leaf, index, size, path.with(0, first.subarray(1)))).toBeNull();
        expect(rootFromInclusion(leaf, index, size, path.with(0, concat(first, first)))).toBeNull();
      }),
    );
  });

  it('a changed size fails unless both sizes give the leaf the same turns to the root', () => {
    // What a path cannot prove: here sizes 5 to 8 share the shape. The size is taken from the signed root.
    const shape = (index: number, size: number): string => {
      if (size <= 1) return '';
      const split = largestPowerBelow(size);
      return index < split ? `${shape(index, split)}L` : `${shape(index - split, size - split)}R`;
    };
    fc.assert(
      fc.property(anySize, anySize, anyPlace, (size, other, pick) => {
        const tree = counting.slice(0, size);
        const index = pick % size;
        const same = index < other && shape(index, size) === shape(index, other);
        const path = inclusionPath(tree, index);
        expect(verifyInclusion(rootOf(tree), tree[index] as Uint8Array, index, other, path)).toBe(same);
      }),
    );
  });

  it('positions that are not counts give no root', () => {
    const leaf = counting[0] as Uint8Array;
    const counts = [[0, 0], [1, 1], [-1, 1], [0.5, 1], [0, 2 ** 53]];
    for (const [index, size] of [...counts, [0, Number.NaN], [Number.NaN, 1], [0, Infinity]]) {
      expect(rootFromInclusion(leaf, index as number, size as number, [])).toBeNull();
    }
  });

  it('positions near 2^53 are exact', () => {
    const leaf = counting[0] as Uint8Array;
    const path = counting.slice(0, 53);
    expect(rootFromInclusion(leaf, 2 ** 53 - 3, 2 ** 53 - 1, path)).not.toBeNull();
    expect(rootFromInclusion(leaf, 2 ** 53 - 3, 2 ** 53 - 1, path.slice(1))).toBeNull();
  });
});

describe('consistency', () => {
  it('every pair of sizes up to 40 verifies, and the roots of no other old size do', () => {
    const roots = Array.from({ length: 41 }, (_, size) => mth(counting.slice(0, size)));
    const root = (size: number): Uint8Array => roots[size] as Uint8Array;
    for (let newSize = 0; newSize <= 40; newSize += 1) {
      for (let oldSize = 0; oldSize <= newSize; oldSize += 1) {
        const path = consistencyPath(counting.slice(0, newSize), oldSize);
        for (let other = 0; other <= newSize; other += 1) {
          const verifies = verifyConsistency(oldSize, root(other), newSize, root(newSize), path);
          expect(verifies).toBe(other === oldSize);
        }
      }
    }
  });

  it('a tree with another history is never consistent, whatever honest path is shown', () => {
    fc.assert(
      fc.property(anySize, anySize, anyPlace, (a, b, pick) => {
        const [oldSize, newSize] = [Math.min(a, b), Math.max(a, b)];
        const forked = counting.slice(0, newSize).with(pick % oldSize, leafHash(utf8('fork')));
        const oldRoot = rootOf(counting.slice(0, oldSize));
        for (const tree of [forked, counting.slice(0, newSize)]) {
          const path = consistencyPath(tree, oldSize);
          expect(verifyConsistency(oldSize, oldRoot, newSize, rootOf(forked), path)).toBe(false);
        }
      }),
    );
  });

  it('one changed byte of a root or the path, or another length, fails', () => {
    fc.assert(
      fc.property(anySize, anySize, anyPlace, anyPlace, anyChange, (a, b, which, at, by) => {
        const [oldSize, newSize] = [Math.min(a, b), Math.max(a, b)];
        const tree = counting.slice(0, newSize);
        const oldRoot = rootOf(tree.slice(0, oldSize));
        const newRoot = rootOf(tree);
        const path = consistencyPath(tree, oldSize);
        expect(verifyConsistency(oldSize, oldRoot, newSize, newRoot, path)).toBe(true);
        expect(verifyConsistency(oldSize, changed(oldRoot, at, by), newSize, newRoot, path)).toBe(false);
        expect(verifyConsistency(oldSize, oldRoot, newSize, changed(newRoot, at, by), path)).toBe(false);
        expect(verifyConsistency(oldSize, oldRoot, newSize, newRoot, [...path, newRoot])).toBe(false);
        if (path.length === 0) return;
        const place = which % path.length;
        const bad = path.with(place, changed(path[place] as Uint8Array, at, by));
        expect(verifyConsistency(oldSize, oldRoot, newSize, newRoot, bad)).toBe(false);
        expect(verifyConsistency(oldSize, oldRoot, newSize, newRoot, path.slice(1))).toBe(false);
        expect(verifyConsistency(oldSize, oldRoot, newSize, newRoot, path.slice(0, -1))).toBe(false);
        const cut = path.with(0, (path[0] as Uint8Array).subarray(1));
        expect(verifyConsistency(oldSize, oldRoot, newSize, newRoot, cut)).toBe(false);
      }),
    );
  });

  it('path and root of a smaller tree do not pass for a size of another height', () => {
    const [four, eight] = [rootOf(counting.slice(0, 4)), rootOf(counting.slice(0, 8))];
    const path = consistencyPath(counting.slice(0, 8), 4);
    expect(verifyConsistency(4, four, 8, eight, path)).toBe(true);
    for (const size of [9, 16, 17, 2 ** 53 - 1]) expect(verifyConsistency(4, four, size, eight, path)).toBe(false);
  });

  it('a tree never shrinks, and sizes must be counts', () => {
    const [one, two] = [rootOf(counting.slice(0, 1)), rootOf(counting.slice(0, 2))];
    expect(verifyConsistency(2, two, 1, one, [counting[1] as Uint8Array])).toBe(false);
    expect(verifyConsistency(0, one, 2, two, [])).toBe(false);
    expect(verifyConsistency(0, one, 0, one, [])).toBe(false);
    for (const size of [-1, 0.5, Number.NaN, 2 ** 53]) {
      expect(verifyConsistency(size, one, 2, two, [])).toBe(false);
      expect(verifyConsistency(1, one, size, two, [])).toBe(false);
    }
  });
});

describe('Frontier', () => {
  it('has the root of the whole tree after every append', () => {
    const frontier = new Frontier();
    for (let size = 0; size <= 200; size += 1) {
      expect(frontier.size).toBe(size);
      expect(hex(frontier.root())).toBe(hex(mth(counting.slice(0, size))));
      frontier.append(counting[size] as Uint8Array);
    }
  });

  it('goes on from its serialised form as if it had never stopped', () => {
    fc.assert(
      fc.property(fc.nat({ max: 600 }), fc.nat({ max: 300 }), (before, after) => {
        const whole = new Frontier();
        for (const leaf of counting.slice(0, before)) whole.append(leaf);
        const read = Frontier.parse(whole.serialise());
        expect(read).not.toBeNull();
        for (const leaf of counting.slice(before, before + after)) read?.append(leaf);
        expect(hex(read?.root() ?? EMPTY_ROOT)).toBe(hex(rootOf(counting.slice(0, before + after))));
      }),
    );
  });

  it('refuses bytes of any other length or size', () => {
    const frontier = new Frontier();
    for (const leaf of counting.slice(0, 7)) frontier.append(leaf);
    const bytes = frontier.serialise();
    for (let length = 0; length < bytes.length; length += 1) {
      expect(Frontier.parse(bytes.subarray(0, length))).toBeNull();
    }
    expect(Frontier.parse(concat(bytes, new Uint8Array(1)))).toBeNull();
    expect(Frontier.parse(concat(bytes, new Uint8Array(32)))).toBeNull();
    expect(Frontier.parse(concat(new Uint8Array(8).with(7, 6), bytes.subarray(8)))).toBeNull();
    expect(Frontier.parse(concat(new Uint8Array(8).with(0, 0x80), new Uint8Array(32)))).toBeNull();
  });

  it('keeps its state when a clone grows or the caller reuses a leaf array', () => {
    const frontier = new Frontier();
    const reused = Buffer.from(counting[0] as Uint8Array);
    frontier.append(reused);
    reused.fill(0);
    frontier.clone().append(counting[1] as Uint8Array);
    expect(frontier.size).toBe(1);
    expect(hex(frontier.root())).toBe(hex(counting[0] as Uint8Array));
  });
});
