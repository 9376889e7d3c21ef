/**
 * The contract of every codec, the same bytes from both, and the vectors in spec/vectors/erasure.json. That
 * file is written by this test when UPDATE_VECTORS=1 is set, from the reference codec and the generator
 * stated in it.
 */
import fc from 'fast-check';
import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { equal, fromHex, hex } from '../base/bytes.ts';
import { sha256 } from '../crypto/primitives.ts';
import type { Codec, CodecFactory } from './codec.ts';
import { CELL_COUNT_MAX } from './matrix.ts';
import type { CodeShape } from './matrix.ts';
import { referenceCodec } from './reference.ts';
import { wasmCodec } from './wasm.ts';

const KiB = 1024;
const CODECS: readonly (readonly [string, CodecFactory])[] = [
  ['reference', referenceCodec],
  ['wasm', wasmCodec],
];
const VECTORS = new URL('../../spec/vectors/erasure.json', import.meta.url);

/** Bytes that look random: xorshift32, one byte from the low bits of each state. */
function pseudoRandom(length: number, seed: number): Uint8Array {
  let state = seed;
  return Uint8Array.from({ length }, () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state & 0xff;
  });
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i);
const cellOf = (codec: Codec, base: number, cellBytes: number, index: number): Uint8Array =>
  codec.memory.subarray(base + index * cellBytes, base + (index + 1) * cellBytes);

/** The n cells of the code word of `data`, by the reference, in arrays of their own. */
function codeWord(shape: CodeShape, cellBytes: number, data: Uint8Array): Uint8Array[] {
  const codec = referenceCodec(shape.n * cellBytes);
  codec.memory.set(data);
  codec.encode(shape, { base: 0, cellBytes });
  return upTo(shape.n).map((index) => cellOf(codec, 0, cellBytes, index).slice());
}

/** Fills the stripe with the given cells, everything else with a mark, and reconstructs. */
function reconstructIn(
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
function checkMemory(
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

describe.each(CODECS)('the %s codec', (_, create) => {
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
});

test('the wasm codec stays right while its kernels are thrown away and made again', () => {
  const shape = { k: 3, n: 6 };
  const cells = codeWord(shape, 64, pseudoRandom(192, 5));
  const codec = wasmCodec(6 * 64, 2);
  for (let round = 0; round < 3; round += 1) {
    for (const lost of [[0, 1], [1, 2], [0, 5], [0, 1], [3, 4]]) {
      const have = upTo(6).filter((index) => !lost.includes(index));
      reconstructIn(codec, shape, { base: 0, cellBytes: 64 }, cells, have, lost);
      checkMemory(codec, shape, { base: 0, cellBytes: 64 }, cells, upTo(6));
    }
  }
});

test('the wasm codec refuses memory sizes that cannot be', () => {
  for (const size of [0, -1, 1.5, 2 ** 31 + 1, Number.NaN]) expect(() => wasmCodec(size)).toThrow(RangeError);
});

interface Vector {
  readonly k: number;
  readonly n: number;
  readonly cellBytes: number;
  readonly seed: number;
  /** The parity cells one after the other in hexadecimal, or their SHA-256 where they are long. */
  readonly parity?: string;
  readonly paritySha256?: string;
}

/** Replication, Vandermonde, the widest of those, Cauchy. */
const VECTOR_SHAPES = [
  ...([[1, 4], [2, 4], [3, 5], [4, 6], [4, 7], [6, 10], [10, 14], [21, 25]] as const),
  ...([[22, 26], [2, 7], [3, 8], [8, 16], [16, 32]] as const),
];

function vectorCases(): Vector[] {
  const cases = VECTOR_SHAPES.map(([k, n], i) => ({ k, n, cellBytes: 64, seed: 1000 + i }));
  const long = [
    { k: 4, n: 6, cellBytes: 192 * KiB, seed: 2000 },
    { k: 6, n: 10, cellBytes: 4 * KiB + 64, seed: 2001 },
  ];
  const parityOf = ({ k, n, cellBytes, seed }: Omit<Vector, 'parity'>): Uint8Array[] =>
    codeWord({ k, n }, cellBytes, pseudoRandom(k * cellBytes, seed)).slice(k);
  return [
    ...cases.map((c) => ({ ...c, parity: parityOf(c).map(hex).join('') })),
    ...long.map((c) => ({ ...c, paritySha256: hex(sha256(...parityOf(c))) })),
  ];
}

if (process.env['UPDATE_VECTORS'] === '1') {
  const about = [
    'Erasure code of suite 1 (protocol 4.1): GF(2^8) with polynomial 0x11d, data cells first.',
    'Data: k * cellBytes bytes of xorshift32 (13, 17, 5) from the seed: the low byte of each state after its',
    'step. Shifts are <<13, >>>17, <<5 on 32 bits.',
    'parity: the n - k parity cells in hexadecimal; paritySha256: SHA-256 over all of them.',
  ];
  writeFileSync(VECTORS, `${JSON.stringify({ about, vectors: vectorCases() }, null, 1)}\n`);
}

describe.each(CODECS)('vectors in the %s codec', (_, create) => {
  const { vectors } = JSON.parse(readFileSync(VECTORS, 'utf8')) as { vectors: Vector[] };
  test('cover all kinds of shapes', () => expect(vectors).toHaveLength(VECTOR_SHAPES.length + 2));
  test.each(vectors)('k = $k, n = $n, cells of $cellBytes bytes', (vector) => {
    const { k, n, cellBytes, seed, parity, paritySha256 } = vector;
    const codec = create(n * cellBytes);
    codec.memory.set(pseudoRandom(k * cellBytes, seed));
    codec.encode({ k, n }, { base: 0, cellBytes });
    const actual = codec.memory.slice(k * cellBytes, n * cellBytes);
    if (paritySha256 === undefined) expect(hex(actual)).toBe(hex(fromHex(parity ?? '')));
    else expect(hex(sha256(actual))).toBe(paritySha256);
    // And back: the last k cells give the data.
    codec.memory.fill(0, 0, Math.min(k, n - k) * cellBytes);
    codec.reconstruct({ k, n }, { base: 0, cellBytes }, upTo(n).slice(n - k), upTo(n - k));
    expect(equal(codec.memory.subarray(0, k * cellBytes), pseudoRandom(k * cellBytes, seed))).toBe(true);
  });
});
