/**
 * What every codec keeps (codec.ts), as one suite that each implementation runs: the right bytes in the right
 * places and nowhere else, and a refusal that writes nothing for everything that is no stripe.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { equal, hex } from '../base/bytes.ts';
import type { Codec, CodecFactory } from './codec.ts';
import { CELL_COUNT_MAX, generatorRow } from './matrix.ts';
import type { CodeShape } from './matrix.ts';
import { referenceCodec } from './reference.ts';

const KiB = 1024;

/** Bytes that look random: xorshift32, one byte from the low bits of each state. */
export function pseudoRandom(length: number, seed: number): Uint8Array {
  let state = seed;
  return Uint8Array.from({ length }, () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state & 0xff;
  });
}

export const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i);
const cellOf = (codec: Codec, base: number, cellBytes: number, index: number): Uint8Array =>
  codec.memory.subarray(base + index * cellBytes, base + (index + 1) * cellBytes);

/** The n cells of the code word of `data`, by the reference, in arrays of their own. */
export function codeWord(shape: CodeShape, cellBytes: number, data: Uint8Array): Uint8Array[] {
  const codec = referenceCodec(shape.n * cellBytes);
  codec.memory.set(data);
  codec.encode(shape, { base: 0, cellBytes });
  return upTo(shape.n).map((index) => cellOf(codec, 0, cellBytes, index).slice());
}

/** Fills the stripe with the given cells, everything else with a mark, and reconstructs. */
export function reconstructIn(
  codec: Codec,
  shape: CodeShape,
  place: { base: number; cellBytes: number },
  cells: readonly Uint8Array[],
  have: readonly number[],
  want: readonly number[],
): void {
  codec.memory.fill(MARK);
  for (const index of have) cellOf(codec, place.base, place.cellBytes, index).set(cells[index] ?? []);
  codec.reconstruct(shape, place, have, want);
}
const MARK = 0xa5;

/** Wanted cells are right, cells given are unchanged, every other byte still bears the mark. */
export function checkMemory(
  codec: Codec,
  { n }: CodeShape,
  { base, cellBytes }: { base: number; cellBytes: number },
  cells: readonly Uint8Array[],
  known: readonly number[],
): void {
  const expected = new Uint8Array(codec.memory.length).fill(MARK);
  for (const index of upTo(n)) {
    if (known.includes(index)) expected.set(cells[index] ?? [], base + index * cellBytes);
  }
  if (!equal(codec.memory, expected)) {
    const told = { known, cellBytes };
    expect({ ...told, memory: hex(codec.memory) }).toEqual({ ...told, memory: hex(expected) });
  }
}

const shapes = fc
  .integer({ min: 1, max: CELL_COUNT_MAX })
  .chain((n) => fc.record({ n: fc.constant(n), k: fc.integer({ min: 1, max: n }) }));

const small = fc.integer({ min: 1, max: 5 });

/** A shape, cells, which of them are there and which are wanted. */
const patterns = fc
  .record({
    shape: shapes,
    units: fc.integer({ min: 1, max: 6 }),
    seed: fc.integer({ min: 1 }),
    pad: fc.nat(3),
  })
  .chain(({ shape, units, seed, pad }) =>
    fc.record({
      shape: fc.constant(shape),
      cellBytes: fc.constant(64 * units),
      base: fc.constant(64 * pad),
      seed: fc.constant(seed),
      order: fc.shuffledSubarray(upTo(shape.n), { minLength: shape.n, maxLength: shape.n }),
      surplus: fc.nat(shape.n - shape.k),
      wanted: fc.nat(shape.n - shape.k),
    }),
  );

/** All shapes of up to seven cells. */
const SMALL_SHAPES: readonly CodeShape[] = upTo(7).flatMap((m) => upTo(m + 1).map((j) => ({ n: m + 1, k: j + 1 })));

function cellsOf(mask: number, n: number): number[] {
  return upTo(n).filter((index) => (mask >> index) & 1);
}

/** The product in GF(2^8) by its definition: carry-less, reduced by 0x11d. */
function multiplyByShifts(a: number, b: number): number {
  let sum = 0;
  for (let bit = 0; bit < 8; bit += 1) if ((b >> bit) & 1) sum ^= a << bit;
  for (let bit = 14; bit >= 8; bit -= 1) if ((sum >> bit) & 1) sum ^= 0x11d << (bit - 8);
  return sum;
}

export function codecContract(label: string, create: CodecFactory): void {
  describe(`the ${label} codec`, () => {
    test('reconstructs any cells from any k, writes nothing else and agrees with the reference', () => {
      fc.assert(
        fc.property(patterns, ({ shape, cellBytes, base, seed, order, surplus, wanted }) => {
          const cells = codeWord(shape, cellBytes, pseudoRandom(shape.k * cellBytes, seed));
          const have = order.slice(0, shape.k + surplus);
          const want = order.slice(shape.k + surplus).slice(0, wanted);
          const place = { base, cellBytes };
          const codec = create(base + shape.n * cellBytes + 64);
          reconstructIn(codec, shape, place, cells, have, want);
          checkMemory(codec, shape, place, cells, [...have, ...want]);
        }),
        { numRuns: 400 },
      );
    });

    test('encodes every shape as the reference does and touches nothing but parity cells', () => {
      fc.assert(
        fc.property(shapes, small, fc.nat(3), fc.integer({ min: 1 }), (shape, units, pad, seed) => {
          const cellBytes = 64 * units;
          const place = { base: 64 * pad, cellBytes };
          const data = pseudoRandom(shape.k * cellBytes, seed);
          const cells = codeWord(shape, cellBytes, data);
          const codec = create(place.base + shape.n * cellBytes + 64);
          codec.memory.fill(MARK);
          codec.memory.set(data, place.base);
          codec.encode(shape, place);
          checkMemory(codec, shape, place, cells, upTo(shape.n));
        }),
        { numRuns: 200 },
      );
    });

    test('repairs every single cell and decodes every pattern of the common geometries', () => {
      const cellBytes = 128;
      for (const [k, n] of [[2, 4], [3, 5], [2, 5], [4, 6], [3, 7], [5, 7], [3, 8], [1, 6], [6, 10]] as const) {
        const shape = { k, n };
        const cells = codeWord(shape, cellBytes, pseudoRandom(shape.k * cellBytes, 77));
        const codec = create(shape.n * cellBytes);
        const place = { base: 0, cellBytes };
        for (let mask = 0; mask < 1 << shape.n; mask += 1) {
          const have = upTo(shape.n).filter((index) => (mask >> index) & 1);
          if (have.length !== shape.k) continue;
          const missing = upTo(shape.n).filter((index) => !have.includes(index));
          for (const want of [missing, ...missing.map((index) => [index])]) {
            reconstructIn(codec, shape, place, cells, have, want);
            checkMemory(codec, shape, place, cells, [...have, ...want]);
          }
        }
      }
    });

    test('cells of boundary sizes come out right: 64 bytes to 192 KiB and one step beyond', () => {
      const shape = { k: 4, n: 6 };
      const small = [64, 128, 192, 4 * KiB - 64, 4 * KiB, 64 * KiB + 64];
      for (const cellBytes of [...small, 192 * KiB - 64, 192 * KiB, 192 * KiB + 64]) {
        const data = pseudoRandom(shape.k * cellBytes, cellBytes);
        const codec = create(shape.n * cellBytes);
        codec.memory.set(data);
        codec.encode(shape, { base: 0, cellBytes });
        const cells = upTo(shape.n).map((index) => cellOf(codec, 0, cellBytes, index).slice());
        const xor = upTo(cellBytes).map((i) =>
          upTo(4).reduce((sum, j) => sum ^ (data[j * cellBytes + i] ?? 0), 0),
        );
        expect(equal(cells[4] ?? data, Uint8Array.from(xor))).toBe(true);
        for (const lost of [[0, 1], [2, 5], [3, 4]]) {
          const have = upTo(6).filter((index) => !lost.includes(index));
          reconstructIn(codec, shape, { base: 0, cellBytes }, cells, have, lost);
          for (const index of lost) {
            expect(equal(cellOf(codec, 0, cellBytes, index), cells[index] ?? data)).toBe(true);
          }
        }
      }
    });

    test('no parity and nothing wanted are nothing to do', () => {
      const codec = create(256);
      codec.memory.fill(7);
      codec.encode({ k: 4, n: 4 }, { base: 0, cellBytes: 64 });
      codec.reconstruct({ k: 2, n: 4 }, { base: 0, cellBytes: 64 }, [3, 0], []);
      expect(codec.memory.every((byte) => byte === 7)).toBe(true);
    });

    test('stripes outside the memory, odd cells and impossible lists are refused, nothing is written', () => {
      const codec = create(6 * 128);
      const shape = { k: 4, n: 6 };
      const places = [[64, 128], [-64, 64], [32, 64], [0, 96], [0, 0], [0, 192], [0, 64.5]] as const;
      for (const [base, cellBytes] of places) {
        const place = { base, cellBytes };
        expect(() => codec.encode(shape, place)).toThrow(RangeError);
        expect(() => codec.reconstruct(shape, place, [0, 1, 2, 3], [4])).toThrow(RangeError);
      }
      const place = { base: 0, cellBytes: 128 };
      expect(() => codec.encode({ k: 0, n: 6 }, place)).toThrow(RangeError);
      const lists = [
        [[0, 1, 2], [3]],
        [[0, 1, 2, 2], [3]],
        [[0, 1, 2, 3], [3]],
        [[0, 1, 2, 3], [4, 4]],
        [[0, 1, 2, 6], [3]],
        [[0, 1, 2, 3], [-1]],
      ] as const;
      for (const [have, want] of lists) {
        expect(() => codec.reconstruct(shape, place, have, want)).toThrow(RangeError);
      }
      expect(codec.memory.every((byte) => byte === 0)).toBe(true);
    });

    test('computes what the generator matrix says, by the definition of the field, in every small shape', () => {
      for (const shape of SMALL_SHAPES) {
        const { k, n } = shape;
        const codec = create(n * 64);
        const data = pseudoRandom(k * 64, 100 * n + k);
        codec.memory.set(data);
        codec.encode(shape, { base: 0, cellBytes: 64 });
        for (let index = 0; index < n; index += 1) {
          const row = generatorRow(shape, index);
          const byDefinition = Uint8Array.from({ length: 64 }, (_, i) => row.reduce((sum, factor, j) => sum ^ multiplyByShifts(factor, data[j * 64 + i] ?? 0), 0));
          expect(hex(cellOf(codec, 0, 64, index)), `cell ${index} of ${n}, k = ${k}`).toBe(hex(byDefinition));
        }
      }
    });

    test('reconstructs every set of cells from every other set that is large enough, in every small shape', () => {
      let patterns = 0;
      for (const shape of SMALL_SHAPES) {
        const cells = codeWord(shape, 64, pseudoRandom(shape.k * 64, 7));
        const place = { base: 0, cellBytes: 64 };
        const codec = create(shape.n * 64);
        for (let has = 0; has < 1 << shape.n; has += 1) {
          const have = cellsOf(has, shape.n);
          if (have.length < shape.k) continue;
          const missing = (1 << shape.n) - 1 - has;
          for (let wants = missing; wants > 0; wants = (wants - 1) & missing) {
            const want = cellsOf(wants, shape.n);
            reconstructIn(codec, shape, place, cells, have, want);
            checkMemory(codec, shape, place, cells, [...have, ...want]);
            patterns += 1;
          }
        }
      }
      expect(patterns).toBe(6_339);
    });

    test('refuses numbers that are none, wrap around or name what is not there, and goes on', () => {
      const codec = create(6 * 64);
      const shape = { k: 4, n: 6 };
      const place = { base: 0, cellBytes: 64 };
      codec.memory.fill(MARK);
      const strange = [Number.NaN, Infinity, -Infinity, -64, 0.5, 2 ** 31, 2 ** 32, 2 ** 32 + 64, 2 ** 53, Number.MAX_VALUE];
      const refuse = (call: () => void): void => expect(call).toThrow(RangeError);
      for (const number of strange) {
        refuse(() => codec.encode(shape, { ...place, base: number }));
        refuse(() => codec.encode(shape, { ...place, cellBytes: number }));
        refuse(() => codec.encode({ ...shape, k: number }, place));
        refuse(() => codec.encode({ ...shape, n: number }, place));
        refuse(() => codec.reconstruct(shape, { ...place, base: number }, [0, 1, 2, 3], [4]));
        // Cell 0 is not named: a number that is none must not pass for it.
        refuse(() => codec.reconstruct(shape, place, [1, 2, 3, number], [4]));
        refuse(() => codec.reconstruct(shape, place, [1, 2, 3, 4], [number]));
      }
      refuse(() => codec.encode({ k: 1, n: CELL_COUNT_MAX + 1 }, place));
      refuse(() => codec.encode({ k: 6, n: 5 }, place));
      refuse(() => codec.reconstruct(shape, place, new Array<number>(4), [4]));
      refuse(() => codec.reconstruct(shape, place, [0, 32, 2, 3], [4]));
      expect(codec.memory.every((byte) => byte === MARK)).toBe(true);
      codec.encode(shape, place);
      expect(codec.memory.subarray(4 * 64, 5 * 64).every((byte) => byte === 0)).toBe(true);
    });

    test('has memory of its own, that never moves', () => {
      const [one, two] = [create(4 * 64), create(4 * 64)];
      const { memory } = one;
      two.memory.fill(7);
      for (const k of [1, 2, 3]) one.encode({ k, n: 4 }, { base: 0, cellBytes: 64 });
      expect(one.memory).toBe(memory);
      expect(memory.byteLength).toBe(4 * 64);
      expect(memory.every((byte) => byte === 0)).toBe(true);
      expect(two.memory.every((byte) => byte === 7)).toBe(true);
    });
  });
}
