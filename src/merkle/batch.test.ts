import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hex, utf8 } from '../base/bytes.ts';
import { BATCH_LEAVES_MAX, BATCH_PATH_MAX, batchTree, rootOfBatchMember } from './batch.ts';
import { inclusionPath, leafHash, rootOf } from './tree.ts';

const hexAll = (hashes: readonly Uint8Array[]): string[] => hashes.map(hex);
const leaves = Array.from({ length: 400 }, (_, i) => leafHash(utf8(String(i))));
const first = leaves[0] as Uint8Array;

describe('batch tree', () => {
  it('has the root and paths of RFC 6962, and every member leads to the root', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 400 }), fc.nat(), (size, pick) => {
        const batch = batchTree(leaves.slice(0, size));
        const index = pick % size;
        expect(hex(batch.root)).toBe(hex(rootOf(leaves.slice(0, size))));
        expect(hexAll(batch.path(index))).toEqual(hexAll(inclusionPath(leaves.slice(0, size), index)));
        const root = rootOfBatchMember(leaves[index] as Uint8Array, index, size, batch.path(index));
        expect(root === null ? '' : hex(root)).toBe(hex(batch.root));
      }),
    );
  });

  it('a batch of one is its leaf, with an empty path', () => {
    const batch = batchTree([first]);
    expect(batch.path(0)).toEqual([]);
    expect(hex(batch.root)).toBe(hex(first));
  });

  it('the largest batch has paths of 16 hashes; one more leaf or none is refused', () => {
    const full = new Array<Uint8Array>(BATCH_LEAVES_MAX).fill(first);
    const batch = batchTree(full);
    const path = batch.path(BATCH_LEAVES_MAX - 1);
    expect(path).toHaveLength(BATCH_PATH_MAX);
    const root = rootOfBatchMember(first, 40_000, BATCH_LEAVES_MAX, batch.path(40_000));
    expect(hex(root ?? first)).toBe(hex(batch.root));
    expect(() => batchTree([...full, first])).toThrow('bounded');
    expect(() => batchTree([])).toThrow('has a statement');
  });

  it('a member beyond the bounds has no root', () => {
    const path = new Array<Uint8Array>(17).fill(first);
    expect(rootOfBatchMember(first, 0, 2 ** 17, path)).toBeNull();
    expect(rootOfBatchMember(first, 0, 2 ** 16, path)).toBeNull();
    expect(rootOfBatchMember(first, 2, 2, [first])).toBeNull();
  });
});
