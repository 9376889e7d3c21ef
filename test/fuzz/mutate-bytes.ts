/**
 * Mutators that know nothing of a format but bytes and, for text, its words. All chance comes from the random
 * stream given, so an input follows from its seed.
 */
import { concat, u32be, utf8 } from '../../src/base/bytes.ts';
import type { SeededRandom } from '../../src/sim/seeded-random.ts';

/** Sizes and edges that decoders get wrong. */
export const INTERESTING: readonly number[] = [
  0, 1, 2, 7, 8, 15, 16, 23, 24, 31, 32, 33, 63, 64, 65, 127, 128, 255, 256, 1023, 1024, 1025, 4095, 4096, 4097, 65_535, 65_536, 1_048_576, 1_048_577,
  0x7fff_ffff, 0x8000_0000, 0xffff_fffe, 0xffff_ffff,
];

/** What breaks parsers of text: separators, controls, half of a surrogate pair, names that objects have of themselves. */
const WORDS: readonly string[] = [
  '\0', '\u0001', '\n', '\r\n', '\r\n\r\n', '\t', ' ', '"', "'", '<', '>', '&', '%', '%00', '%0a', '%zz', '+', '-', '--', '/', '//', '..', '=', '==', ';', ',', ':', '?', '*', '{', '}', '[', ']',
  '-1', '0', '00', '1e9', '9007199254740991', '9007199254740992', '99999999999999999999', 'NaN', 'null', 'true', '0x10',
  '__proto__', 'constructor', 'toString', 'hasOwnProperty', '\ufeff', '\u2028', '\ud800', '\u{1f600}', '\u00e9', 'A'.repeat(300),
];

export type ByteMutator = (bytes: Uint8Array, random: SeededRandom, others: readonly Uint8Array[]) => Uint8Array;

/** A place in the bytes, the end included. */
const placeIn = (bytes: Uint8Array, random: SeededRandom): number => random.below(bytes.length + 1);

function insertAt(bytes: Uint8Array, at: number, more: Uint8Array): Uint8Array {
  return concat(bytes.subarray(0, at), more, bytes.subarray(at));
}

function changedAt(bytes: Uint8Array, at: number, value: number): Uint8Array {
  const out = Uint8Array.from(bytes);
  if (at < out.length) out[at] = value;
  return out;
}

/** A short run of the bytes, mostly of a few bytes, now and then of many. */
function rangeIn(bytes: Uint8Array, random: SeededRandom): readonly [from: number, to: number] {
  const from = placeIn(bytes, random);
  const longest = random.chance(0.3) ? bytes.length : 16;
  return [from, Math.min(bytes.length, from + 1 + random.below(Math.max(1, longest)))];
}

export const BYTE_MUTATORS: readonly ByteMutator[] = [
  function flipBit(bytes, random) {
    const at = placeIn(bytes, random);
    return changedAt(bytes, at, (bytes[at] ?? 0) ^ (1 << random.below(8)));
  },
  function replaceByte(bytes, random) {
    return changedAt(bytes, placeIn(bytes, random), random.chance(0.5) ? random.below(256) : random.pick([0, 1, 0x7f, 0x80, 0xff]));
  },
  function truncate(bytes, random) {
    return bytes.slice(0, placeIn(bytes, random));
  },
  function extend(bytes, random) {
    return concat(bytes, random.bytes(1 + random.below(40)));
  },
  function insert(bytes, random) {
    return insertAt(bytes, placeIn(bytes, random), random.bytes(1 + random.below(8)));
  },
  function cut(bytes, random) {
    const [from, to] = rangeIn(bytes, random);
    return concat(bytes.subarray(0, from), bytes.subarray(to));
  },
  function repeatBlock(bytes, random) {
    const [from, to] = rangeIn(bytes, random);
    const block = bytes.slice(from, to);
    const times = random.chance(0.1) ? 2_000 : 1 + random.below(20);
    return insertAt(bytes, from, concat(...Array.from({ length: times }, () => block)));
  },
  function moveBlock(bytes, random) {
    const [from, to] = rangeIn(bytes, random);
    const block = bytes.slice(from, to);
    const rest = concat(bytes.subarray(0, from), bytes.subarray(to));
    return insertAt(rest, placeIn(rest, random), block);
  },
  function splice(bytes, random, others) {
    const other = random.pick(others.length > 0 ? others : [bytes]);
    return concat(bytes.subarray(0, placeIn(bytes, random)), other.subarray(placeIn(other, random)));
  },
  /** Length fields: four bytes, big-endian. */
  function writeU32(bytes, random) {
    const out = Uint8Array.from(bytes);
    const at = placeIn(bytes, random);
    const known = new DataView(out.buffer);
    const near = at + 4 <= out.length ? known.getUint32(at) + random.below(5) - 2 : 0;
    const value = random.chance(0.5) ? random.pick(INTERESTING) : near;
    out.set(u32be(value >>> 0).subarray(0, Math.max(0, out.length - at)), at);
    return out;
  },
  /** Heads of CBOR: another major type, another length of the argument, an argument of eight bytes. */
  function writeHead(bytes, random) {
    const major = random.below(8) << 5;
    const info = random.pick([0, 1, 22, 23, 24, 25, 26, 27, 28, 31]);
    const wide = [27, 26, 25, 24].includes(info) ? random.bytes(2 ** (info - 24)) : new Uint8Array(0);
    const at = placeIn(bytes, random);
    return concat(bytes.subarray(0, at), Uint8Array.of(major | info), wide, bytes.subarray(at + 1));
  },
];

/** Inserts or writes over one of the format's words, or one that breaks parsers. */
export function wordMutator(words: readonly string[]): ByteMutator {
  return (bytes, random) => {
    const word = utf8(random.chance(0.5) && words.length > 0 ? random.pick(words) : random.pick(WORDS));
    const at = placeIn(bytes, random);
    return random.chance(0.5) ? insertAt(bytes, at, word) : concat(bytes.subarray(0, at), word, bytes.subarray(at + word.length));
  };
}
