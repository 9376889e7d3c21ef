import * as dagCbor from '@ipld/dag-cbor';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { equal, fromHex } from '../base/bytes.ts';
import { DEPTH_MAX, isCanonical } from './canonical.ts';

/** What the scan must agree with: decode, encode again, compare; no floats, tags or too much depth. */
function roundTrips(bytes: Uint8Array): boolean {
  try {
    const value: unknown = dagCbor.decode(bytes);
    return isPlain(value, 0) && equal(dagCbor.encode(value), bytes);
  } catch {
    return false;
  }
}

function isPlain(value: unknown, depth: number): boolean {
  if (depth > DEPTH_MAX) return false;
  if (value === null || typeof value === 'boolean' || typeof value === 'string' || value instanceof Uint8Array) return true;
  if (typeof value === 'number') return Number.isSafeInteger(value);
  if (Array.isArray(value)) return value.every((item) => isPlain(item, depth + 1));
  return typeof value === 'object' && Object.values(value).every((item) => isPlain(item, depth + 1));
}

const { value } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.maxSafeInteger(),
    fc.nat(300),
    fc.boolean(),
    fc.constant(null),
    fc.string({ unit: 'grapheme', maxLength: 30 }),
    fc.uint8Array({ maxLength: 40 }),
    fc.array(tie('value'), { maxLength: 5 }),
    fc.dictionary(fc.string({ maxLength: 12 }).filter((key) => key !== '__proto__' && key !== '/'), tie('value'), { maxKeys: 6 }),
  ),
}));

describe('the canonical form', () => {
  it('is what the encoder makes', () => {
    fc.assert(fc.property(value, (v) => isCanonical(dagCbor.encode(v))), { numRuns: 2000 });
  });

  it('is judged as decoding and encoding again would, whatever bytes were changed', () => {
    const change = fc.record({ at: fc.nat(), byte: fc.nat(255), kind: fc.constantFrom('set', 'cut', 'insert') });
    fc.assert(
      fc.property(value, fc.array(change, { minLength: 1, maxLength: 3 }), (v, changes) => {
        let bytes = [...dagCbor.encode(v)];
        for (const { at, byte, kind } of changes) {
          const place = at % (bytes.length + 1);
          if (kind === 'set' && place < bytes.length) bytes[place] = byte;
          else if (kind === 'cut') bytes = bytes.slice(0, place);
          else bytes.splice(place, 0, byte);
        }
        const given = Uint8Array.from(bytes);
        expect(isCanonical(given)).toBe(roundTrips(given));
      }),
      { numRuns: 20_000 },
    );
  });

  it.each([
    ['unsorted keys', 'a2616201616101'],
    ['a key twice', 'a2616101616102'],
    ['a long form of a small integer', '1801'],
    ['a half float', 'f93c00'],
    ['a double', 'fb3ff0000000000000'],
    ['undefined', 'f7'],
    ['an indefinite array', '9f01ff'],
    ['bytes left over', '0101'],
    ['a tag', 'd82a4100'],
    ['an integer above 2^53-1', '1b0020000000000000'],
    ['a map with integer keys', 'a10101'],
    ['text that is not UTF-8', '62c328'],
    ['nothing', ''],
    ['a length beyond the end', '5affffffff00'],
  ])('refuses %s', (_name, text) => {
    expect(isCanonical(fromHex(text))).toBe(false);
  });

  it('bounds the depth', () => {
    const nested = (depth: number): Uint8Array => Uint8Array.from([...Array<number>(depth).fill(0x81), 0x00]);
    expect(isCanonical(nested(DEPTH_MAX))).toBe(true);
    expect(isCanonical(nested(DEPTH_MAX + 1))).toBe(false);
    expect(isCanonical(nested(1_000_000))).toBe(false);
  });
});
