import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hex, utf8 } from '../base/bytes.ts';
import {
  BLOCK_ROWS,
  MatrixFolder,
  blockCount,
  blockRootsOf,
  blockRows,
  rowLeaf,
  rowPath,
  verifyBlock,
} from './tiles.ts';
import type { MatrixBlock } from './tiles.ts';
import { EMPTY_ROOT, inclusionPath, leafHash, rootOf } from './tree.ts';

const hexAll = (hashes: readonly Uint8Array[]): string[] => hashes.map(hex);
const leaves = Array.from({ length: 2000 }, (_, i) => leafHash(utf8(String(i))));
interface BlockVector {
  readonly size: number;
  readonly blockRoots: readonly string[];
  readonly root: string;
}
const vectors = JSON.parse(
  readFileSync(new URL('../../spec/vectors/merkle.json', import.meta.url), 'utf8'),
) as { readonly counting: { readonly blocks: readonly BlockVector[] } };

function fold(size: number) {
  const folder = new MatrixFolder();
  const blocks: MatrixBlock[] = [];
  for (const leaf of leaves.slice(0, size)) {
    const block = folder.add(leaf);
    if (block !== null) blocks.push(block);
  }
  const folded = folder.finish();
  if (folded.lastBlock !== null) blocks.push(folded.lastBlock);
  return { blocks, folded };
}

describe('two-level matrix', () => {
  it('folding gives the block roots and roots of the vectors', () => {
    for (const { size, blockRoots, root } of vectors.counting.blocks) {
      const { folded } = fold(size);
      expect(hexAll(folded.blockRoots)).toEqual(blockRoots);
      expect(hexAll(blockRootsOf(leaves.slice(0, size)))).toEqual(blockRoots);
      expect(hex(folded.root)).toBe(root);
      expect(folded.rowCount).toBe(size);
    }
  });

  it('the path from block and block roots is the path of the whole tree', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2000 }), fc.nat(), (size, pick) => {
        const index = pick % size;
        const tree = leaves.slice(0, size);
        const block = Math.floor(index / BLOCK_ROWS);
        const inBlock = tree.slice(block * BLOCK_ROWS, (block + 1) * BLOCK_ROWS);
        expect(hexAll(rowPath(inBlock, blockRootsOf(tree), index))).toEqual(
          hexAll(inclusionPath(tree, index)),
        );
      }),
    );
  });

  it('folding emits every block once, in order, each verifying against the root', () => {
    for (const size of [1, 255, 256, 257, 511, 512, 513, 1999]) {
      const { blocks, folded } = fold(size);
      expect(blocks.flatMap((block) => hexAll(block.leaves))).toEqual(hexAll(leaves.slice(0, size)));
      expect(folded.lastBlock === null).toBe(size % BLOCK_ROWS === 0);
      for (const [index, block] of blocks.entries()) {
        expect(block.index).toBe(index);
        expect(block.leaves).toHaveLength(blockRows(size, index));
        expect(hex(block.root)).toBe(hex(rootOf(block.leaves)));
        expect(verifyBlock(folded.root, size, folded.blockRoots, index, block.leaves)).toBe(true);
      }
      expect(blocks).toHaveLength(blockCount(size));
    }
  });

  it('a content without rows has the empty root and no block', () => {
    expect(fold(0).folded).toEqual({ rowCount: 0, lastBlock: null, blockRoots: [], root: EMPTY_ROOT });
  });

  it('a changed leaf, block root, root, index or row count does not verify', () => {
    const { blocks, folded } = fold(600);
    const [roots, last] = [folded.blockRoots, blocks[2]?.leaves ?? []];
    const wrong = leafHash(utf8('wrong'));
    expect(verifyBlock(folded.root, 600, roots, 2, last)).toBe(true);
    expect(verifyBlock(wrong, 600, roots, 2, last)).toBe(false);
    expect(verifyBlock(folded.root, 600, roots.with(0, wrong), 2, last)).toBe(false);
    expect(verifyBlock(folded.root, 600, roots.with(0, wrong.subarray(1)), 2, last)).toBe(false);
    expect(verifyBlock(folded.root, 600, roots.slice(1), 1, last)).toBe(false);
    expect(verifyBlock(folded.root, 600, roots, 2, last.with(5, wrong))).toBe(false);
    expect(verifyBlock(folded.root, 600, roots, 2, last.with(5, wrong.subarray(1)))).toBe(false);
    expect(verifyBlock(folded.root, 600, roots, 2, last.slice(1))).toBe(false);
    for (const index of [-1, 0, 1, 3, 0.5, Number.NaN]) {
      expect(verifyBlock(folded.root, 600, roots, index, last)).toBe(false);
    }
    for (const rows of [599, 601, 512, 0, -1, Number.NaN, Infinity]) {
      expect(verifyBlock(folded.root, rows, roots, 2, last)).toBe(false);
    }
  });

  it('a row leaf is the leaf hash of the whole row', () => {
    const row = new Uint8Array(6 * 32).fill(7);
    expect(hex(rowLeaf(row))).toBe(hex(leafHash(row)));
    expect(() => rowLeaf(row.subarray(1))).toThrow('a row is made of hashes');
  });
});
