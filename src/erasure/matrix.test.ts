import { describe, expect, test } from 'vitest';
import { inverse, multiply, nibbleTable, powerOfTwo, productTable } from './gf256.ts';
import {
  CELL_COUNT_MAX,
  VANDERMONDE_PARITY_MAX,
  generatorRow,
  invert,
  isPermittedShape,
  isVandermonde,
  parityMatrix,
  product,
  requireShape,
} from './matrix.ts';
import type { Matrix } from './matrix.ts';

/** Multiplication by the definition: carry-less product, reduced by 0x11d. Independent of the tables. */
function multiplyByShifts(a: number, b: number): number {
  let sum = 0;
  for (let bit = 0; bit < 8; bit += 1) if ((b >> bit) & 1) sum ^= a << bit;
  for (let bit = 14; bit >= 8; bit -= 1) if ((sum >> bit) & 1) sum ^= 0x11d << (bit - 8);
  return sum;
}

/** All lists of `size` of the numbers below `count`, as bit masks. */
function* masksOf(count: number, size: number, from: number = 0): Generator<number> {
  if (size === 0) return yield 0;
  for (let i = from; i <= count - size; i += 1) {
    for (const rest of masksOf(count, size - 1, i + 1)) yield (1 << i) | rest;
  }
}

/**
 * How many square minors, of every size, there are when none of them is zero; null when one is. Exact: each
 * minor is expanded along its last row into the minors one smaller, which are kept by column mask. (In
 * characteristic 2 the expansion has no signs.)
 */
function nonZeroMinors(matrix: Matrix): number | null {
  let count = 0;
  const m = matrix.length;
  const k = matrix[0]?.length ?? 0;
  const check = (row: number, size: number, minors: Map<number, number>): boolean => {
    for (let next = row; next < m; next += 1) {
      const coefficients = matrix[next] ?? [];
      const larger = new Map<number, number>();
      for (const columns of masksOf(k, size + 1)) {
        let determinant = 0;
        for (let j = 0; j < k; j += 1) {
          if ((columns >> j) & 1) {
            determinant ^= multiply(coefficients[j] ?? 0, minors.get(columns & ~(1 << j)) ?? 0);
          }
        }
        if (determinant === 0) return false;
        larger.set(columns, determinant);
        count += 1;
      }
      if (size + 1 < k && !check(next + 1, size + 1, larger)) return false;
    }
    return true;
  };
  return check(0, 0, new Map([[0, 1]])) ? count : null;
}

function choose(n: number, k: number): number {
  return k === 0 ? 1 : Math.round((choose(n - 1, k - 1) * n) / k);
}

const vandermonde = (k: number, m: number): Matrix =>
  Array.from({ length: m }, (_, r) => Array.from({ length: k }, (_, j) => powerOfTwo(r * j)));

describe('GF(2^8)', () => {
  test('products by logarithms are the carry-less products reduced by 0x11d', () => {
    for (let a = 0; a < 256; a += 1) {
      const table = productTable(a);
      const halves = nibbleTable(a);
      for (let b = 0; b < 256; b += 1) {
        const expected = multiplyByShifts(a, b);
        if (multiply(a, b) !== expected) expect([a, b, multiply(a, b)]).toEqual([a, b, expected]);
        if (table[b] !== expected) expect([a, b, table[b]]).toEqual([a, b, expected]);
        const joined = (halves[b & 15] ?? 0) ^ (halves[16 + (b >> 4)] ?? 0);
        if (joined !== expected) expect([a, b, joined]).toEqual([a, b, expected]);
      }
    }
  });

  test('every element but 0 has an inverse', () => {
    for (let a = 1; a < 256; a += 1) expect(multiply(a, inverse(a))).toBe(1);
    expect(() => inverse(0)).toThrow(RangeError);
  });
});

describe('the parity matrix', () => {
  test('the checker of minors finds a singular one', () => {
    expect(nonZeroMinors([[1, 1], [1, 1]])).toBeNull();
    expect(nonZeroMinors([[1, 0]])).toBeNull();
    expect(nonZeroMinors([[1, 2, 3], [4, 5, 6], [5, 7, 5]])).toBeNull();
    expect(nonZeroMinors(vandermonde(22, 4))).toBeNull();
  });

  test('every minor is non-zero for every shape up to 18 cells, computed without any theory', () => {
    for (let n = 2; n <= 18; n += 1) {
      for (let k = 1; k < n; k += 1) {
        // Choosing e rows and e columns in every way: choose(n, k) minors, of which the empty one is not
        // counted.
        expect([k, n, nonZeroMinors(parityMatrix(k, n - k))]).toEqual([k, n, choose(n, k) - 1]);
      }
    }
  });

  test('every minor is non-zero for the widest Vandermonde shapes up to 32, which contain the others', () => {
    for (let m = 1; m <= VANDERMONDE_PARITY_MAX; m += 1) {
      let widest = 0;
      for (let k = 1; k + m <= CELL_COUNT_MAX; k += 1) {
        if (!isVandermonde(k, m)) continue;
        widest = k;
        expect(parityMatrix(k, m)).toEqual(vandermonde(CELL_COUNT_MAX - m, m).map((row) => row.slice(0, k)));
      }
      expect(nonZeroMinors(parityMatrix(widest, m))).toBe(choose(widest + m, m) - 1);
      // The rule is as wide as it can be: one more column would break MDS, or there is no room for it.
      const wider = widest + 1;
      expect(wider + m > CELL_COUNT_MAX || nonZeroMinors(vandermonde(wider, m)) === null).toBe(true);
    }
  });

  test('every other shape up to 32 is Cauchy with scaled columns, whose minors are never zero', () => {
    for (let n = 2; n <= CELL_COUNT_MAX; n += 1) {
      for (let k = 1; k < n; k += 1) {
        if (isVandermonde(k, n - k)) continue;
        // A minor of 1 / (x_r + y_j) is the product of all differences of x and of y over the product of all
        // x + y (Cauchy): non-zero when all x and y are distinct. Scaling column j by s_j != 0 keeps that.
        const x = Array.from({ length: n - k }, (_, r) => k + r);
        const y = Array.from({ length: k }, (_, j) => j);
        expect(new Set([...x, ...y]).size).toBe(n);
        const matrix = parityMatrix(k, n - k);
        const scale = y.map((yj) => multiply(matrix[0]?.[yj] ?? 0, (x[0] ?? 0) ^ yj));
        expect(scale.every((s) => s !== 0)).toBe(true);
        expect(matrix).toEqual(x.map((xr) => y.map((yj, j) => multiply(scale[j] ?? 0, inverse(xr ^ yj)))));
      }
    }
  });

  test('the first parity row is always all ones', () => {
    for (let n = 2; n <= CELL_COUNT_MAX; n += 1) {
      for (let k = 1; k < n; k += 1) expect(parityMatrix(k, n - k)[0]).toEqual(Array<number>(k).fill(1));
    }
  });

  test('replication is the code with one data cell', () => {
    expect(parityMatrix(1, 31)).toEqual(Array.from({ length: 31 }, () => [1]));
  });

  test('shapes outside 1 <= k <= n <= 32 are refused', () => {
    const shapes = [[0, 4], [-1, 3], [5, 4], [1, 33], [1.5, 4], [2, NaN], [Infinity, Infinity]] as const;
    for (const [k, n] of shapes) {
      expect(isPermittedShape({ k, n })).toBe(false);
      expect(() => requireShape({ k, n })).toThrow(RangeError);
    }
    expect(isPermittedShape({ k: 32, n: 32 })).toBe(true);
    expect(() => parityMatrix(30, 3)).toThrow(RangeError);
  });
});

describe('matrices', () => {
  test('a matrix times its inverse is the identity', () => {
    const shape = { k: 10, n: 16 };
    const rows = [1, 3, 4, 6, 10, 11, 12, 13, 14, 15].map((index) => generatorRow(shape, index));
    const inverted = invert(rows);
    const identity = Array.from({ length: 10 }, (_, j) => generatorRow(shape, j));
    expect(inverted && product(rows, inverted)).toEqual(identity);
  });

  test('a singular matrix has no inverse', () => {
    expect(invert([[1, 2], [2, 4]])).toBeNull();
  });
});
