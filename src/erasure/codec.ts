/**
 * The one interface behind which the erasure code stands. A codec owns a piece of memory; a stripe lies in it
 * as n cells of equal size side by side, data cells first, so that sealing writes straight into the data
 * cells and coding writes the parity cells behind them. `reference.ts` is the definition in plain TypeScript,
 * `wasm.ts` the fast one; both give the same bytes for every stripe, and workspace.ts is how callers use
 * either.
 */
import { CELL_ALIGN_BYTES } from '../base/limits.ts';
import { requireShape } from './matrix.ts';
import type { CodeShape } from './matrix.ts';

/** Where a stripe lies: cell i is `cellBytes` bytes of the codec's memory from `base + i * cellBytes`. */
export interface StripePlace {
  readonly base: number;
  /** A multiple of 64, at least 64. */
  readonly cellBytes: number;
}

export interface Codec {
  readonly name: string;
  /** Never moves and never grows: views of it stay valid as long as the codec lives. */
  readonly memory: Uint8Array;
  /** Computes the n - k parity cells from the k data cells. */
  encode(shape: CodeShape, place: StripePlace): void;
  /**
   * Computes the cells `want` from cells `have`, at least k of them, of which exactly k are used: the data
   * cells and then the parity cells of lowest index. Any other cell stays as it is. The two lists are
   * disjoint and hold no index twice; their order does not matter. The cells in `have` must have been checked
   * by the caller: a codec cannot see a wrong cell, it only computes wrong cells from it.
   */
  reconstruct(shape: CodeShape, place: StripePlace, have: readonly number[], want: readonly number[]): void;
}

/** Makes a codec with that much memory. */
export type CodecFactory = (memoryBytes: number) => Codec;

/** What reconstruct works from: the k cells used and the cells wanted, both ascending. */
export interface Reconstruction {
  readonly sources: readonly number[];
  readonly targets: readonly number[];
}

/** Throws RangeError unless the stripe is well-formed and lies within the memory. */
export function requirePlace(shape: CodeShape, place: StripePlace, memoryBytes: number): void {
  requireShape(shape);
  const { base, cellBytes } = place;
  if (!isCellSize(cellBytes)) throw new RangeError(`cellBytes = ${cellBytes} is not a multiple of 64`);
  const end = base + shape.n * cellBytes;
  if (!Number.isSafeInteger(base) || base < 0 || base % CELL_ALIGN_BYTES !== 0 || end > memoryBytes) {
    throw new RangeError(`stripe at ${base} to ${end} is not within the memory of ${memoryBytes} bytes`);
  }
}

export function isCellSize(cellBytes: number): boolean {
  return Number.isSafeInteger(cellBytes) && cellBytes > 0 && cellBytes % CELL_ALIGN_BYTES === 0;
}

/**
 * The same two lists as bit sets: bit i stands for cell i. Cheap to make and to compare, for every stripe.
 */
export interface CellSets {
  readonly sources: number;
  readonly targets: number;
}

/** Checks the lists given to `reconstruct` and picks the k cells to use; throws RangeError. */
export function selectCells({ k, n }: CodeShape, have: readonly number[], want: readonly number[]): CellSets {
  let sources = setOf(have, n, 0);
  const targets = setOf(want, n, sources);
  if (have.length < k) throw new RangeError(`${have.length} cells do not decode: k = ${k}`);
  for (let surplus = have.length - k; surplus > 0; surplus -= 1) {
    sources &= ~(1 << (31 - Math.clz32(sources)));
  }
  return { sources: sources >>> 0, targets };
}

/** The lists, ascending, that the sets stand for. */
export function listCells({ n }: CodeShape, { sources, targets }: CellSets): Reconstruction {
  const all = Array.from({ length: n }, (_, i) => i);
  const list = (set: number): number[] => all.filter((i) => (set >>> i) & 1);
  return { sources: list(sources), targets: list(targets) };
}

function setOf(cells: readonly number[], n: number, excluded: number): number {
  let set = 0;
  for (const index of cells) {
    if (!Number.isSafeInteger(index) || index < 0 || index >= n) {
      throw new RangeError(`cell ${index} is not one of ${n}`);
    }
    if (((set | excluded) >>> index) & 1) throw new RangeError(`cell ${index} is named twice`);
    set |= 1 << index;
  }
  return set >>> 0;
}
