import { describe, expect, it } from 'vitest';
import { hex } from '../../base/bytes.ts';
import { encodeEntry } from '../../log/entry-types.ts';
import { encode } from '../../protocol/encoding.ts';
import { checkLogs } from './logs.ts';

const bytes = (fill: number): Uint8Array => new Uint8Array(32).fill(fill);
const KEY = bytes(7);

function committed(counter: number, hash: number, writer: number = 1): Uint8Array {
  const stamp = { gen: 1, counter, writerId: bytes(writer).subarray(0, 16) };
  return encodeEntry('COMMITTED', encode({ v: 1, manifestHash: bytes(hash), bucketId: bytes(9), keyId: KEY, stamp, kind: 'DATA' }));
}

const check = (logs: Readonly<Record<string, readonly Uint8Array[]>>, limit: number = 9): string[] =>
  checkLogs({ logs: new Map(Object.entries(logs)), attempted: new Map([[hex(KEY), limit]]) });

describe('checkLogs', () => {
  it('finds nothing wrong where nothing is', () => {
    expect(check({ a: [committed(1, 1), committed(2, 2)], b: [committed(2, 2)], c: [] })).toEqual([]);
  });

  it.each<[string, Readonly<Record<string, readonly Uint8Array[]>>, number, string]>([
    ['two versions of one stamp', { a: [committed(1, 1)], b: [committed(1, 2)] }, 9, 'I1'],
    ['a version that falls', { a: [committed(2, 2), committed(1, 1)] }, 9, 'falls'],
    ['a version that comes twice', { a: [committed(1, 1), committed(1, 1)] }, 9, 'falls'],
    ['more versions than operations', { a: [committed(1, 1), committed(2, 2)] }, 1, 'I7'],
    ['an entry that is none', { a: [new Uint8Array([0, 2, 3])] }, 9, 'malformed'],
  ])('finds %s', (_, logs, limit, word) => {
    const violations = check(logs, limit);
    expect(violations).toHaveLength(1);
    expect(violations[0]).toContain(word);
  });
});
