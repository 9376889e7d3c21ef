import fc from 'fast-check';
import { expect, test } from 'vitest';
import { concat, hex, utf8 } from '../../../base/bytes.ts';
import {
  CRC32_TABLES,
  combineCrc32,
  combineCrc32c,
  combineCrc64nvme,
  continueCrc32,
  crc32,
  crc32c,
  crc64nvme,
} from './crc.ts';
import type { Crc } from './crc.ts';

const KINDS = [
  { name: 'CRC32', start: crc32, combine: combineCrc32, check: 'cbf43926', fox: '414fa339' },
  { name: 'CRC32C', start: crc32c, combine: combineCrc32c, check: 'e3069283', fox: '22620404' },
  {
    name: 'CRC64NVME',
    start: crc64nvme,
    combine: combineCrc64nvme,
    check: 'ae8b14860a799888',
    fox: undefined,
  },
] as const;

function run(start: () => Crc, ...pieces: readonly Uint8Array[]): string {
  const crc = start();
  for (const piece of pieces) crc.update(piece);
  return hex(crc.digest());
}

test.each(KINDS)('$name gives the published check of "123456789"', ({ start, check }) => {
  expect(run(start, utf8('123456789'))).toBe(check);
});

test.each(KINDS)('$name of nothing is zero', ({ start }) => {
  expect(Number.parseInt(run(start), 16)).toBe(0);
});

test('CRC32 and CRC32C give the known values of the quick brown fox', () => {
  const fox = utf8('The quick brown fox jumps over the lazy dog');
  for (const { start, fox: expected } of KINDS)
    if (expected !== undefined) expect(run(start, fox)).toBe(expected);
});

test("the NVMe specification's vectors of CRC64NVME hold", () => {
  expect(run(crc64nvme, new Uint8Array(4096))).toBe('6482d367eb22b64e');
  expect(run(crc64nvme, new Uint8Array(4096).fill(0xff))).toBe('c0ddba7302eca3ac');
});

test.each(KINDS)('$name does not depend on how the bytes are cut', ({ start }) => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 8 }), (pieces) => {
      expect(run(start, ...pieces)).toBe(run(start, concat(...pieces)));
    }),
  );
});

test.each(KINDS)('$name of two joined strings is combined from those of each', ({ start, combine }) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.uint8Array({ maxLength: 300 }), (first, second) => {
      const digest = (bytes: Uint8Array): Uint8Array => {
        const crc = start();
        crc.update(bytes);
        return crc.digest();
      };
      expect(hex(combine(digest(first), digest(second), second.length))).toBe(run(start, first, second));
    }),
  );
});

test("the platform's CRC32 and our table code agree", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 500 }), (bytes) => {
      expect(continueCrc32(CRC32_TABLES, 0, bytes)).toBe(Number.parseInt(run(crc32, bytes), 16));
    }),
  );
});
