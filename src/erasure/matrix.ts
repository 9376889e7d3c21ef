/**
 * The matrix of the erasure code, which is part of the suite (protocol 4.1): every implementation computes
 * these very coefficients. A stripe of n cells is k data cells and n - k parity cells; parity cell r is the
 * sum of coefficient[r][j] times data cell j. The code is MDS - any k cells decode - because every square
 * minor of the parity matrix is non-zero; the test beside this file proves it for every permitted pair.
 */
import { inverse, multiply, powerOfTwo } from './gf256.ts';

/** Which code: k data cells of n cells in all. */
export interface CodeShape {
  readonly k: number;
  readonly n: number;
}

/** Rows of coefficients; entries are elements of GF(2^8). */
export type Matrix = readonly (readonly number[])[];

/** Cells of one stripe, at most: twice what a cluster may have slots, and few enough for exact proofs. */
export const CELL_COUNT_MAX = 32;

/** Vandermonde rows are used up to this many parity cells: beyond, they cost more than tables. */
export const VANDERMONDE_PARITY_MAX = 4;
/** With four rows 1, 2^j, 4^j, 8^j the code is MDS up to this k and no further (a test holds both). */
const VANDERMONDE_K_MAX_OF_FOUR = 21;

/** The permitted set, decided here alone: 1 <= k <= n <= 32. */
export function isPermittedShape({ k, n }: CodeShape): boolean {
  return Number.isSafeInteger(k) && Number.isSafeInteger(n) && k >= 1 && k <= n && n <= CELL_COUNT_MAX;
}

/** Throws RangeError for a shape outside the permitted set. */
export function requireShape(shape: CodeShape): void {
  if (!isPermittedShape(shape)) {
    const { k, n } = shape;
    throw new RangeError(`no erasure code for k = ${k}, n = ${n}: 1 <= k <= n <= ${CELL_COUNT_MAX}`);
  }
}

/**
 * Are the parity rows Vandermonde rows, row r = ((2^r)^0, (2^r)^1, ...)? They suit Horner's rule, which needs
 * no tables. k = 1 is replication: every row is (1).
 */
export function isVandermonde(k: number, m: number): boolean {
  if (k === 1 || m < VANDERMONDE_PARITY_MAX) return true;
  return m === VANDERMONDE_PARITY_MAX && k <= VANDERMONDE_K_MAX_OF_FOUR;
}

/**
 * The m rows of k coefficients: Vandermonde rows where `isVandermonde`, otherwise Cauchy rows
 * 1 / (x_r + y_j) with x_r = k + r and y_j = j, each column divided by its first entry. So the first row is
 * always all ones: parity cell k is the XOR of the data cells, and one lost data cell costs XOR only.
 */
export function parityMatrix(k: number, m: number): Matrix {
  requireShape({ k, n: k + m });
  const vandermonde = isVandermonde(k, m);
  return Array.from({ length: m }, (_, r) =>
    Array.from({ length: k }, (_, j) =>
      vandermonde ? powerOfTwo(r * j) : multiply(inverse((k + r) ^ j), k ^ j),
    ),
  );
}

/** Row `index` of the generator: how cell `index` comes from the k data cells. */
export function generatorRow(shape: CodeShape, index: number): readonly number[] {
  const { k, n } = shape;
  const parity = index < k ? undefined : parityMatrix(k, n - k)[index - k];
  return parity ?? Array.from({ length: k }, (_, j) => (j === index ? 1 : 0));
}

/** The inverse of a square matrix by Gauss-Jordan elimination, or null when it is singular. */
export function invert(matrix: Matrix): Matrix | null {
  const size = matrix.length;
  const rows = matrix.map((row, i) => [...row, ...Array.from({ length: size }, (_, j) => (i === j ? 1 : 0))]);
  for (let column = 0; column < size; column += 1) {
    const pivotAt = rows.findIndex((row, i) => i >= column && row[column] !== 0);
    const pivot = rows[pivotAt];
    if (pivot === undefined) return null;
    const scale = inverse(pivot[column] ?? 0);
    const unit = pivot.map((value) => multiply(value, scale));
    rows[pivotAt] = rows[column] ?? unit;
    rows[column] = unit;
    for (const [i, row] of rows.entries()) {
      const factor = i === column ? 0 : (row[column] ?? 0);
      if (factor !== 0) rows[i] = row.map((value, j) => value ^ multiply(factor, unit[j] ?? 0));
    }
  }
  return rows.map((row) => row.slice(size));
}

/** The product of two matrices. */
export function product(a: Matrix, b: Matrix): Matrix {
  const columns = b[0]?.length ?? 0;
  return a.map((row) =>
    Array.from({ length: columns }, (_, j) =>
      row.reduce((sum, value, i) => sum ^ multiply(value, b[i]?.[j] ?? 0), 0),
    ),
  );
}
