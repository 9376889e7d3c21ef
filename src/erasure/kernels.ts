/**
 * The inner loops of the erasure code as WebAssembly modules, one for each thing to compute: which cells are
 * read, which are written and every coefficient are fixed in the code; only the place of the stripe is given
 * at run time. Two kinds. *Horner*: Vandermonde rows (2^r)^j are evaluated as polynomials, so a row costs r
 * doublings a cell and no tables; lost data cells come from these sums as syndromes, by a small linear solve.
 * *Matrix*: arbitrary coefficients, each multiplied with two 16-byte table look-ups, half a byte at a time
 * (the method of Plank, Greenan, Miller: Screaming Fast Galois Field Arithmetic, FAST 2013).
 */
import { assert } from '../base/assert.ts';
import { multiply, nibbleTable, powerOfTwo } from './gf256.ts';
import { invert } from './matrix.ts';
import type { Matrix } from './matrix.ts';
import {
  BASE,
  CELL_BYTES,
  FunctionBuilder,
  add32,
  add8,
  and,
  constant,
  get,
  i32,
  load,
  loop,
  mul32,
  negative8,
  set,
  shiftRight16,
  splat,
  store,
  swizzle,
  tee,
  xor,
} from './wasm-module.ts';
import type { Code, Local } from './wasm-module.ts';

const VECTOR_BYTES = 16;
/** Vectors of every cell that one turn of a loop handles: 64 bytes, of which every cell is a multiple. */
const LANES = 4;
/** Outputs that one pass of a matrix kernel sums: more would not stay in the 16 vector registers. */
const MATRIX_ROWS_MAX = 4;

/** Computes some parity cells from all k data cells; row r has the coefficients (2^r)^j and is cell k + r. */
export interface HornerEncode {
  readonly k: number;
  readonly rows: readonly number[];
}

/** Computes lost data cells from the other data cells and as many parity rows as data cells are lost. */
export interface HornerDecode {
  readonly k: number;
  /** All lost data cells, ascending. */
  readonly lost: readonly number[];
  /** Parity rows to use, ascending, as many as `lost`. */
  readonly rows: readonly number[];
  /** Those of `lost` that are wanted. */
  readonly targets: readonly number[];
}

/** Computes targets[i] as the sum of matrix[i][j] times cell sources[j]. */
export interface MatrixProduct {
  readonly sources: readonly number[];
  readonly targets: readonly number[];
  readonly matrix: Matrix;
}

/** The module of a Horner encoder; see wasm-module.ts for its import and export. */
export function hornerEncodeModule({ k, rows }: HornerEncode): Uint8Array {
  const stripe = new StripeLoop();
  const doubling = new Doubling(stripe, rows);
  const body: Code[] = [];
  for (const group of laneGroups(rows.length)) {
    const { code, sums } = horner(stripe, doubling, group, rows, k - 1, (j, lane) => stripe.load(j, lane));
    body.push(code);
    for (const [e, row] of rows.entries()) {
      for (const lane of group) body.push(stripe.store(k + row, lane, get(at(sums, e, lane))));
    }
  }
  stripe.run(body);
  return stripe.module();
}

/**
 * The module of a syndrome decoder. Summing a parity cell and what is present of its row leaves the row's sum
 * over the lost cells, its syndrome. When row 0 is there, its syndrome S is the XOR of all lost cells; put in
 * the place of the first lost cell it cancels that cell from every other row, so one unknown fewer is solved
 * for, and the first lost cell is S minus the others at last.
 */
export function hornerDecodeModule(kernel: HornerDecode): Uint8Array {
  const { k, lost, rows, targets } = kernel;
  const stripe = new StripeLoop();
  const first = lost[0] ?? 0;
  const cancel = rows[0] === 0;
  const solvedRows = cancel ? rows.slice(1) : rows;
  const solvedCells = cancel ? lost.slice(1) : lost;
  const system = solvedRows.map((r) =>
    solvedCells.map((l) => powerOfTwo(r * l) ^ (cancel ? powerOfTwo(r * first) : 0)),
  );
  const solution = invert(system);
  assert(solution !== null, 'the syndromes of an MDS code have one solution');
  const doubling = new Doubling(stripe, solvedRows);
  const solver = new TableProduct(stripe, solution);
  const wantsFirst = cancel && targets.includes(first);
  const top = k - 1;
  const present = (j: number, lane: number): Code | undefined =>
    lost.includes(j) ? undefined : stripe.load(j, lane);

  const body: Code[] = [];
  for (const group of laneGroups(solvedRows.length)) {
    const all = horner(stripe, doubling, group, cancel ? [0] : [], top, present);
    body.push(all.code);
    if (cancel) for (const lane of group) body.push(mix(at(all.sums, 0, lane), stripe.load(k, lane)));
    const rest = horner(stripe, doubling, group, solvedRows, top, (j, lane) =>
      cancel && j === first ? get(at(all.sums, 0, lane)) : present(j, lane),
    );
    body.push(rest.code);
    for (const lane of group) {
      const syndromes = solvedRows.map((row, e) => {
        body.push(mix(at(rest.sums, e, lane), stripe.load(k + row, lane)));
        return at(rest.sums, e, lane);
      });
      const split = solver.split(syndromes);
      body.push(split.code);
      for (const [i, cell] of solvedCells.entries()) {
        if (!wantsFirst && !targets.includes(cell)) continue;
        const value = stripe.builder.vector();
        body.push(set(value, solver.row(i, split)));
        if (wantsFirst) body.push(mix(at(all.sums, 0, lane), get(value)));
        if (targets.includes(cell)) body.push(stripe.store(cell, lane, get(value)));
      }
      if (wantsFirst) body.push(stripe.store(first, lane, get(at(all.sums, 0, lane))));
    }
  }
  stripe.run(body);
  return stripe.module();
}

/** The module of a product with any matrix, a few target cells in each pass over the sources. */
export function matrixModule({ sources, targets, matrix }: MatrixProduct): Uint8Array {
  const stripe = new StripeLoop();
  for (let from = 0; from < targets.length; from += MATRIX_ROWS_MAX) {
    const rows = matrix.slice(from, from + MATRIX_ROWS_MAX);
    const column = (j: number): Matrix => rows.map((row) => [row[j] ?? 0]);
    const tables = sources.map((_, j) => new TableProduct(stripe, column(j)));
    const body: Code[] = [];
    for (const lane of stripe.lanes) {
      const sums = rows.map(() => stripe.builder.vector());
      for (const [j, source] of sources.entries()) {
        const input = stripe.builder.vector();
        body.push(set(input, stripe.load(source, lane)));
        const table = tables[j];
        assert(table !== undefined, 'one table for each source');
        const split = table.split([input]);
        body.push(split.code);
        for (const [i, sum] of sums.entries()) {
          body.push(j === 0 ? set(sum, table.row(i, split)) : mix(sum, table.row(i, split)));
        }
      }
      for (const [i, sum] of sums.entries()) body.push(stripe.store(targets[from + i] ?? 0, lane, get(sum)));
    }
    stripe.run(body);
  }
  return stripe.module();
}

/**
 * Which lanes are computed side by side. Up to two rows, one after the other keeps all in registers and the
 * processor overlaps them itself; more rows are long chains of dependent steps, and two lanes hide the waits.
 */
function laneGroups(rowCount: number): readonly (readonly number[])[] {
  return rowCount <= 2 ? [[0], [1], [2], [3]] : [[0, 1], [2, 3]];
}

/** Sums by row (its place in the list of rows) and lane. */
type Sums = readonly ReadonlyMap<number, Local>[];

function at(sums: Sums, row: number, lane: number): Local {
  const local = sums[row]?.get(lane);
  assert(local !== undefined, 'every row has a sum for every lane');
  return local;
}

/** value = value + addend. */
function mix(value: Local, addend: Code): Code {
  return set(value, xor(get(value), addend));
}

/**
 * Horner's rule: the sums over j of (2^r)^j times cell j, for each row r and lane, from cell `top` down.
 * `input` gives the vector of cell j in a lane, or undefined for a cell that counts as zero.
 */
function horner(
  stripe: StripeLoop,
  doubling: Doubling,
  group: readonly number[],
  rows: readonly number[],
  top: number,
  input: (j: number, lane: number) => Code | undefined,
): { readonly code: Code; readonly sums: Sums } {
  const sums = rows.map(() => new Map(group.map((lane) => [lane, stripe.builder.vector()])));
  const body: Code[] = [];
  let started = false;
  for (let j = top; j >= 0 && rows.length > 0; j -= 1) {
    const inputs = new Map<number, Local>();
    for (const lane of group) {
      const code = input(j, lane);
      if (code === undefined) continue;
      const local = stripe.builder.vector();
      body.push(set(local, code));
      inputs.set(lane, local);
    }
    if (!started && inputs.size === 0) continue;
    for (const [e, row] of rows.entries()) {
      for (const lane of group) {
        const sum = at(sums, e, lane);
        const local = inputs.get(lane);
        if (started) body.push(doubling.times(sum, row, local));
        else if (local !== undefined) body.push(set(sum, get(local)));
      }
    }
    started = true;
  }
  // All cells of these rows are lost: the sums are zero.
  if (!started) for (const row of sums) for (const sum of row.values()) body.push(set(sum, splat(0)));
  return { code: body, sums };
}

/**
 * Code that multiplies by 2^r and adds: doubling where r is 1, a small table for the bits that leave above.
 */
class Doubling {
  readonly #reduce: Local;
  readonly #overflow = new Map<number, { table: Local; mask: Local; spare: Local }>();

  constructor(stripe: StripeLoop, exponents: readonly number[]) {
    this.#reduce = stripe.constant(new Uint8Array(VECTOR_BYTES).fill(powerOfTwo(8)));
    for (const exponent of exponents) {
      if (exponent < 2) continue;
      const mask = (1 << exponent) - 1;
      const table = Uint8Array.from({ length: VECTOR_BYTES }, (_, i) => multiply(powerOfTwo(8), i & mask));
      this.#overflow.set(exponent, {
        table: stripe.constant(table),
        mask: stripe.constant(new Uint8Array(VECTOR_BYTES).fill(mask)),
        spare: stripe.builder.vector(),
      });
    }
  }

  /** value = 2^exponent times value, plus addend. */
  times(value: Local, exponent: number, addend: Local | undefined): Code {
    const plus = (code: Code): Code => (addend === undefined ? code : xor(code, get(addend)));
    if (exponent === 0) return addend === undefined ? [] : set(value, plus(get(value)));
    const overflow = this.#overflow.get(exponent);
    if (overflow === undefined) {
      // A byte whose top bit is set is negative; doubling it wraps, and 2^8 is reduced to 0x1d.
      const wrapped = and(negative8(get(value)), get(this.#reduce));
      return set(value, xor(plus(add8(get(value), get(value))), wrapped));
    }
    const { table, mask, spare } = overflow;
    const leaving = swizzle(get(table), and(shiftRight16(get(value), 8 - exponent), get(mask)));
    const shifted = Array.from({ length: exponent }).reduce<Code>(
      (code) => add8(tee(spare, code), get(spare)),
      get(value),
    );
    return set(value, plus(xor(shifted, leaving)));
  }
}

interface SplitVector {
  readonly whole: Local;
  readonly low: Local;
  readonly high: Local;
}

/** Code for a product of vectors with a constant matrix, by tables of the products with half a byte. */
class TableProduct {
  readonly #stripe: StripeLoop;
  readonly #matrix: Matrix;
  readonly #tables: readonly (readonly { readonly low: Local; readonly high: Local }[])[];

  constructor(stripe: StripeLoop, matrix: Matrix) {
    this.#stripe = stripe;
    this.#matrix = matrix;
    this.#tables = matrix.map((row) =>
      row.map((factor) => {
        const table = nibbleTable(factor);
        return {
          low: stripe.constant(table.subarray(0, VECTOR_BYTES)),
          high: stripe.constant(table.subarray(VECTOR_BYTES)),
        };
      }),
    );
  }

  /** Splits the bytes of the inputs into halves, once for all rows. */
  split(inputs: readonly Local[]): { readonly code: Code; readonly parts: readonly SplitVector[] } {
    const fifteen = this.#stripe.constant(new Uint8Array(VECTOR_BYTES).fill(15));
    const parts = inputs.map((whole) => ({
      whole,
      low: this.#stripe.builder.vector(),
      high: this.#stripe.builder.vector(),
    }));
    const code = parts.flatMap(({ whole, low, high }) => [
      set(low, and(get(whole), get(fifteen))),
      set(high, and(shiftRight16(get(whole), 4), get(fifteen))),
    ]);
    return { code, parts };
  }

  /** Row `i` of the product. */
  row(i: number, { parts }: { readonly parts: readonly SplitVector[] }): Code {
    const terms = parts.flatMap(({ whole, low, high }, e) => {
      const factor = this.#matrix[i]?.[e] ?? 0;
      const table = this.#tables[i]?.[e];
      if (factor === 0 || table === undefined) return [];
      if (factor === 1) return [get(whole)];
      return [swizzle(get(table.low), get(low)), swizzle(get(table.high), get(high))];
    });
    return terms.length === 0 ? splat(0) : terms.reduce((sum, term) => xor(sum, term));
  }
}

/** A function under construction that steps through all cells of a stripe side by side. */
class StripeLoop {
  readonly builder = new FunctionBuilder();
  readonly lanes: readonly number[] = Array.from({ length: LANES }, (_, lane) => lane);
  readonly #cursor: Local = this.builder.integer();
  readonly #end: Local = this.builder.integer();
  readonly #offsets = new Map<number, Local>();
  readonly #constants = new Map<string, Local>();
  readonly #passes: Code[] = [];

  /** A constant in a local that is set once, before the loops. */
  constant(bytes: Uint8Array): Local {
    const key = bytes.join();
    const known = this.#constants.get(key);
    if (known !== undefined) return known;
    const local = this.builder.vector();
    this.builder.push(set(local, constant(bytes)));
    this.#constants.set(key, local);
    return local;
  }

  load(cell: number, lane: number): Code {
    return load(this.#address(cell), lane * VECTOR_BYTES);
  }

  store(cell: number, lane: number, value: Code): Code {
    return store(this.#address(cell), lane * VECTOR_BYTES, value);
  }

  /** Adds one pass over all cells. */
  run(body: readonly Code[]): void {
    this.#passes.push(
      set(this.#cursor, get(BASE)),
      set(this.#end, add32(get(BASE), get(CELL_BYTES))),
      loop(body, this.#cursor, LANES * VECTOR_BYTES, this.#end),
    );
  }

  module(): Uint8Array {
    this.builder.push(...this.#passes);
    return this.builder.module();
  }

  #address(cell: number): Code {
    if (cell === 0) return get(this.#cursor);
    let offset = this.#offsets.get(cell);
    if (offset === undefined) {
      offset = this.builder.integer();
      this.builder.push(set(offset, mul32(get(CELL_BYTES), i32(cell))));
      this.#offsets.set(cell, offset);
    }
    return add32(get(this.#cursor), get(offset));
  }
}
