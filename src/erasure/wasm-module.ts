/**
 * Writes the bytes of a WebAssembly module with one function, so that no assembler is needed at run time.
 * Only what the erasure kernels use is here: `run(base: i32, cellBytes: i32)`, 128-bit vectors, one imported
 * memory and one kind of loop. Format: WebAssembly Core Specification 2.0, chapter 5 (binary format).
 */

const I32 = 0x7f;
const V128 = 0x7b;
const SIMD_PREFIX = 0xfd;

/** Vector instructions by their number behind the SIMD prefix (specification, table 5.4.9). */
const SIMD = {
  load: 0,
  store: 11,
  const: 12,
  i8x16_swizzle: 14,
  i8x16_lt_s: 37,
  and: 78,
  xor: 81,
  i8x16_add: 110,
  i16x8_shr_u: 141,
} as const;

/**
 * An operand or statement: the bytes of its instructions, nested as it was put together and flattened at the
 * end.
 */
export type Code = readonly (number | Code)[];

/** A local variable of the function. */
export interface Local {
  readonly index: number;
}

/** The two parameters of `run`. */
export const BASE: Local = { index: 0 };
export const CELL_BYTES: Local = { index: 1 };

function unsigned(value: number): number[] {
  const out: number[] = [];
  let rest = value;
  do {
    const low = rest & 0x7f;
    rest >>>= 7;
    out.push(rest === 0 ? low : low | 0x80);
  } while (rest !== 0);
  return out;
}

function signed(value: number): number[] {
  const out: number[] = [];
  let rest = value;
  for (;;) {
    const low = rest & 0x7f;
    rest >>= 7;
    if ((rest === 0 && (low & 0x40) === 0) || (rest === -1 && (low & 0x40) !== 0)) return [...out, low];
    out.push(low | 0x80);
  }
}

const simd = (instruction: keyof typeof SIMD, ...operands: Code[]): Code => [
  ...operands,
  SIMD_PREFIX,
  ...unsigned(SIMD[instruction]),
];

export const get = (local: Local): Code => [0x20, ...unsigned(local.index)];
export const set = (local: Local, value: Code): Code => [value, 0x21, ...unsigned(local.index)];
export const tee = (local: Local, value: Code): Code => [value, 0x22, ...unsigned(local.index)];

export const i32 = (value: number): Code => [0x41, ...signed(value)];
export const add32 = (a: Code, b: Code): Code => [a, b, 0x6a];
export const mul32 = (a: Code, b: Code): Code => [a, b, 0x6c];

export const constant = (bytes: Uint8Array): Code => [SIMD_PREFIX, ...unsigned(SIMD.const), ...bytes];
export const splat = (byte: number): Code => constant(new Uint8Array(16).fill(byte));
export const xor = (a: Code, b: Code): Code => simd('xor', a, b);
export const and = (a: Code, b: Code): Code => simd('and', a, b);
export const add8 = (a: Code, b: Code): Code => simd('i8x16_add', a, b);
export const negative8 = (a: Code): Code => simd('i8x16_lt_s', a, splat(0));
export const swizzle = (table: Code, indices: Code): Code => simd('i8x16_swizzle', table, indices);
export const shiftRight16 = (a: Code, bits: number): Code => simd('i16x8_shr_u', a, i32(bits));

/** Sixteen bytes at address + offset; addresses here are multiples of 16. */
export const load = (address: Code, offset: number): Code => [simd('load', address), 4, ...unsigned(offset)];
export const store = (address: Code, offset: number, value: Code): Code => [
  simd('store', address, value),
  4,
  ...unsigned(offset),
];

function flatten(code: Code, into: number[] = []): number[] {
  for (const part of code) {
    if (typeof part === 'number') into.push(part);
    else flatten(part, into);
  }
  return into;
}

/** Repeats `body` while `cursor`, after `step` is added, is below `end`: at least once. */
export function loop(body: readonly Code[], cursor: Local, step: number, end: Local): Code {
  const next = tee(cursor, add32(get(cursor), i32(step)));
  return [0x03, 0x40, body, next, get(end), 0x49, 0x0d, 0, 0x0b];
}

/** Collects the locals and statements of the one function, and writes the module. */
export class FunctionBuilder {
  readonly #statements: Code[] = [];
  readonly #types: number[] = [];

  integer(): Local {
    return this.#local(I32);
  }

  vector(): Local {
    return this.#local(V128);
  }

  push(...statements: readonly Code[]): void {
    this.#statements.push(...statements);
  }

  /** The module: imports `env.memory`, exports `run(base, cellBytes)`. */
  module(): Uint8Array {
    const text = (name: string): number[] => [name.length, ...new TextEncoder().encode(name)];
    const sized = (code: Code): number[] => {
      const bytes = flatten(code);
      return unsigned(bytes.length).concat(bytes);
    };
    const locals = this.#types.map((type) => [1, type]);
    const body = [unsigned(this.#types.length), locals, this.#statements, 0x0b];
    return Uint8Array.from(
      flatten([
        [0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
        [1, sized([1, 0x60, 2, I32, I32, 0])],
        [2, sized([1, text('env'), text('memory'), 0x02, 0x00, 0])],
        [3, sized([1, 0])],
        [7, sized([1, text('run'), 0x00, 0])],
        [10, sized([1, sized(body)])],
      ]),
    );
  }

  #local(type: number): Local {
    this.#types.push(type);
    return { index: 1 + this.#types.length };
  }
}
