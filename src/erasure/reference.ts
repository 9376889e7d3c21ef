/**
 * The erasure code as it is defined, in plain TypeScript, one byte after the other: the oracle for wasm.ts,
 * far too slow for work. Cells are combined by the rows of the generator matrix; lost cells by the rows of
 * the generator times the inverse of the rows that are present (protocol 4.1).
 */
import { assert } from '../base/assert.ts';
import { listCells, requirePlace, selectCells } from './codec.ts';
import type { Codec, StripePlace } from './codec.ts';
import { productTable } from './gf256.ts';
import { generatorRow, invert, parityMatrix, product } from './matrix.ts';
import type { CodeShape, Matrix } from './matrix.ts';

export function referenceCodec(memoryBytes: number): Codec {
  const memory = new Uint8Array(memoryBytes);
  const cell = ({ base, cellBytes }: StripePlace, index: number): Uint8Array =>
    memory.subarray(base + index * cellBytes, base + (index + 1) * cellBytes);
  return {
    name: 'reference',
    memory,
    encode(shape, place) {
      requirePlace(shape, place, memoryBytes);
      const data = Array.from({ length: shape.k }, (_, j) => cell(place, j));
      for (const [r, row] of parityMatrix(shape.k, shape.n - shape.k).entries()) {
        combine(row, data, cell(place, shape.k + r));
      }
    },
    reconstruct(shape, place, have, want) {
      requirePlace(shape, place, memoryBytes);
      const { sources, targets } = listCells(shape, selectCells(shape, have, want));
      const rows = recoveryRows(shape, sources, targets);
      const inputs = sources.map((index) => cell(place, index));
      for (const [i, target] of targets.entries()) combine(rows[i] ?? [], inputs, cell(place, target));
    },
  };
}

/** Row i says how cell `targets[i]` comes from the k cells `sources`. */
export function recoveryRows(
  shape: CodeShape,
  sources: readonly number[],
  targets: readonly number[],
): Matrix {
  const inverse = invert(sources.map((index) => generatorRow(shape, index)));
  assert(inverse !== null, 'any k rows of an MDS generator are independent');
  return product(
    targets.map((index) => generatorRow(shape, index)),
    inverse,
  );
}

/** output = sum of row[j] times inputs[j]; all of equal length. */
function combine(row: readonly number[], inputs: readonly Uint8Array[], output: Uint8Array): void {
  output.fill(0);
  for (const [j, input] of inputs.entries()) {
    const table = productTable(row[j] ?? 0);
    for (let i = 0; i < output.length; i += 1) output[i] = (output[i] ?? 0) ^ (table[input[i] ?? 0] ?? 0);
  }
}
