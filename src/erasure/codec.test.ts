/**
 * Both codecs keep the contract, and give the bytes of the vectors in spec/vectors/erasure.json. That
 * file is written by this test when UPDATE_VECTORS=1 is set, from the reference codec and the generator
 * stated in it.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { equal, fromHex, hex } from '../base/bytes.ts';
import { sha256 } from '../crypto/primitives.ts';
import type { CodecFactory } from './codec.ts';
import { checkMemory, codeWord, codecContract, pseudoRandom, reconstructIn, upTo } from './codec.contract.ts';
import { referenceCodec } from './reference.ts';
import { wasmCodec } from './wasm.ts';

const KiB = 1024;
const CODECS: readonly (readonly [string, CodecFactory])[] = [
  ['reference', referenceCodec],
  ['wasm', wasmCodec],
];
const VECTORS = new URL('../../spec/vectors/erasure.json', import.meta.url);

for (const [label, create] of CODECS) codecContract(label, create);

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
