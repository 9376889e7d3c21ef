/**
 * The hash matrix of a content (protocol 4.1, 13.4) in two levels. Leaf s of the matrix tree is the hash of
 * row V[s]; 256 consecutive leaves form a block, whose root is a tile. Because 256 is a power of two, the
 * tree over the block roots *is* the upper part of the RFC 6962 tree: a path is the path inside the block,
 * then the path of the block's root. A node thus proves any row from one block and the block roots (32 bytes
 * per 192 MiB at the default cell) instead of from all leaves, and folds a stream of rows with O(log n +
 * blocks) memory.
 */
import { assert } from '../base/assert.ts';
import { equal } from '../base/bytes.ts';
import { HASH_BYTES } from '../crypto/primitives.ts';
import { Frontier, copyOf, inclusionPath, leafHash, rootOf } from './tree.ts';

/** Rows of one block; a power of two, or block roots would not be subtree roots. */
export const BLOCK_ROWS = 256;

/** Leaf of the matrix tree for one row V[s]: the hashes of its n cells, in the order of the slots. */
export function rowLeaf(row: Uint8Array): Uint8Array {
  assert(row.length > 0 && row.length % HASH_BYTES === 0, 'a row is made of hashes');
  return leafHash(row);
}

export function blockCount(rowCount: number): number {
  return Math.ceil(rowCount / BLOCK_ROWS);
}

/** Rows in block `index`; only the last block may have fewer than 256. */
export function blockRows(rowCount: number, index: number): number {
  assert(index >= 0 && index < blockCount(rowCount), 'the block is in the content');
  return Math.min(BLOCK_ROWS, rowCount - index * BLOCK_ROWS);
}

/** Roots of all blocks of a content. */
export function blockRootsOf(leaves: readonly Uint8Array[]): Uint8Array[] {
  return Array.from({ length: blockCount(leaves.length) }, (_, i) =>
    rootOf(leaves.slice(i * BLOCK_ROWS, (i + 1) * BLOCK_ROWS)),
  );
}

/** The RFC 6962 inclusion path of row `index`, from the leaves of its block and all block roots. */
export function rowPath(
  blockLeaves: readonly Uint8Array[],
  blockRoots: readonly Uint8Array[],
  index: number,
): Uint8Array[] {
  const inside = inclusionPath(blockLeaves, index % BLOCK_ROWS);
  return [...inside, ...inclusionPath(blockRoots, Math.floor(index / BLOCK_ROWS))];
}

/**
 * True iff these leaves are block `index` of the content with this root and `rowCount` rows. Any values may
 * be given: a block that was read back from disk, or that a peer sent, is checked before a path is made from
 * it.
 */
export function verifyBlock(
  root: Uint8Array,
  rowCount: number,
  blockRoots: readonly Uint8Array[],
  index: number,
  blockLeaves: readonly Uint8Array[],
): boolean {
  if (!Number.isSafeInteger(rowCount) || !Number.isSafeInteger(index)) return false;
  const blockRoot = blockRoots[index];
  if (blockRoot === undefined || blockRoots.length !== blockCount(rowCount)) return false;
  if (blockLeaves.length !== blockRows(rowCount, index)) return false;
  if (![...blockLeaves, ...blockRoots].every((hash) => hash.length === HASH_BYTES)) return false;
  return equal(rootOf(blockLeaves), blockRoot) && equal(rootOf(blockRoots), root);
}

export interface MatrixBlock {
  readonly index: number;
  /** 1 to 256 leaf hashes. */
  readonly leaves: readonly Uint8Array[];
  readonly root: Uint8Array;
}

export interface FoldedMatrix {
  readonly rowCount: number;
  /** The block that was still open: null when the rows ended on a block's edge. */
  readonly lastBlock: MatrixBlock | null;
  readonly blockRoots: readonly Uint8Array[];
  /** matrixRoot, the content's identity. */
  readonly root: Uint8Array;
}

/** Folds the leaves of a matrix, given in order, into blocks and the root. */
export class MatrixFolder {
  readonly #upper = new Frontier();
  readonly #blockRoots: Uint8Array[] = [];
  #open: Uint8Array[] = [];
  #finished = false;

  get rowCount(): number {
    return this.#blockRoots.length * BLOCK_ROWS + this.#open.length;
  }

  /**
   * Takes the next leaf (from `rowLeaf`); returns the block that it completes, which the folder then forgets.
   */
  add(leaf: Uint8Array): MatrixBlock | null {
    assert(!this.#finished, 'rows come before the end');
    assert(leaf.length === HASH_BYTES, 'a leaf hash has 32 bytes');
    this.#open.push(copyOf(leaf));
    return this.#open.length === BLOCK_ROWS ? this.#closeBlock() : null;
  }

  /** Ends the content. May be called once. */
  finish(): FoldedMatrix {
    assert(!this.#finished, 'a content ends once');
    const { rowCount } = this;
    const lastBlock = this.#open.length > 0 ? this.#closeBlock() : null;
    this.#finished = true;
    return { rowCount, lastBlock, blockRoots: this.#blockRoots, root: this.#upper.root() };
  }

  #closeBlock(): MatrixBlock {
    const leaves = this.#open;
    const root = rootOf(leaves);
    const block = { index: this.#blockRoots.length, leaves, root };
    this.#upper.append(root);
    this.#blockRoots.push(root);
    this.#open = [];
    return block;
  }
}
