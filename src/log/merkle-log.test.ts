import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { concat, hex, utf8 } from '../base/bytes.ts';
import { isOperationError } from '../base/errors.ts';
import { EMPTY_ROOT, leafHash, rootOf, verifyConsistency, verifyInclusion } from '../merkle/tree.ts';
import { LEAF_BYTES_MAX } from '../protocol/log-entries.ts';
import { ENTRY_TYPES, decodeEntry, encodeEntry } from './entry-types.ts';
import { MerkleLog } from './merkle-log.ts';

const body = (index: number): Uint8Array => utf8(`body ${index}`);
const leafOf = (index: number): Uint8Array => leafHash(new Uint8Array([1]), body(index));
const hexAll = (hashes: readonly Uint8Array[] | null): string[] => (hashes ?? [utf8('none')]).map(hex);

function logOf(size: number): MerkleLog {
  const log = new MerkleLog();
  for (let i = 0; i < size; i += 1) expect(log.append('PREPARED', body(i))).toBe(i);
  return log;
}

describe('MerkleLog', () => {
  it('a leaf is the type byte and the body, hashed as RFC 6962 leaf', () => {
    const log = logOf(5);
    log.markDurable(5);
    const leaves = Array.from({ length: 5 }, (_, i) => leafOf(i));
    expect(hexAll(log.leafRange(0, 5))).toEqual(leaves.map(hex));
    expect(hex(log.root() ?? EMPTY_ROOT)).toBe(hex(rootOf(leaves)));
  });

  it('tentative entries have an index but no root, proof, hash or checkpoint', () => {
    const log = logOf(10);
    expect(log.size).toBe(10);
    expect(log.checkpoint('o')).toEqual({ origin: 'o', size: 0, root: EMPTY_ROOT, nonce: null });
    log.markDurable(6);
    expect(log.append('COMMITTED', body(10))).toBe(10);
    expect(log.durableSize).toBe(6);
    expect(log.checkpoint('o').size).toBe(6);
    expect(hex(log.checkpoint('o').root)).toBe(hex(rootOf(Array.from({ length: 6 }, (_, i) => leafOf(i)))));
    expect(log.root(7)).toBeNull();
    expect(log.frontier(7)).toBeNull();
    expect(log.inclusion(6)).toBeNull();
    expect(log.inclusion(0, 7)).toBeNull();
    expect(log.consistency(3, 7)).toBeNull();
    expect(log.leafRange(5, 7)).toBeNull();
    expect(log.inclusion(5)).not.toBeNull();
  });

  it('positions from a peer that name nothing are answered with null', () => {
    const log = logOf(10);
    log.markDurable(10);
    for (const bad of [-1, 0.5, Number.NaN, Infinity, 11]) {
      expect(log.root(bad)).toBeNull();
      expect(log.inclusion(bad)).toBeNull();
      expect(log.inclusion(0, bad)).toBeNull();
      expect(log.consistency(bad)).toBeNull();
      expect(log.leafRange(bad, 10)).toBeNull();
      expect(log.leafRange(0, bad)).toBeNull();
    }
    expect(log.inclusion(0, 0)).toBeNull();
    expect(log.consistency(7, 6)).toBeNull();
    expect(log.leafRange(7, 6)).toBeNull();
    expect(log.leafRange(10, 10)).toEqual([]);
  });

  it('what is durable never shrinks and never passes what was appended', () => {
    const log = logOf(4);
    log.markDurable(3);
    expect(() => log.markDurable(2)).toThrow('stays durable');
    expect(() => log.markDurable(5)).toThrow('only appended');
  });

  it('every proof verifies against the roots of the log', () => {
    const log = logOf(300);
    log.markDurable(300);
    fc.assert(
      fc.property(fc.nat({ max: 300 }), fc.nat({ max: 300 }), (a, b) => {
        const [old, size] = [Math.min(a, b), Math.max(a, b)];
        const [oldRoot, root] = [log.root(old) ?? EMPTY_ROOT, log.root(size) ?? EMPTY_ROOT];
        expect(verifyConsistency(old, oldRoot, size, root, log.consistency(old, size) ?? [root])).toBe(true);
        if (old < size) {
          const path = log.inclusion(old, size) ?? [root];
          expect(verifyInclusion(root, leafOf(old), old, size, path)).toBe(true);
        }
      }),
    );
  });

  it('a log restored from its leaf hashes goes on as before', () => {
    const log = logOf(100);
    log.markDurable(100);
    const restored = MerkleLog.restore(log.leafRange(0, 100) ?? []);
    expect(restored.durableSize).toBe(100);
    for (const one of [log, restored]) {
      one.append('EVICT', body(100));
      one.markDurable(101);
    }
    expect(hex(restored.checkpoint('o').root)).toBe(hex(log.checkpoint('o').root));
  });

  it('a leaf found on disk is durable at once, and is not taken among tentative entries', () => {
    const log = new MerkleLog();
    for (const size of [1, 2, 3]) {
      log.restoreLeaf(leafOf(size - 1));
      const expected = Array.from({ length: size }, (_, i) => leafOf(i));
      expect(log.checkpoint('o').size).toBe(size);
      expect(hex(log.checkpoint('o').root)).toBe(hex(rootOf(expected)));
    }
    log.append('EVICT', body(3));
    expect(() => log.restoreLeaf(leafOf(4))).toThrow('restored before');
  });

  it('an entry larger than readers accept is refused without taking an index', () => {
    const log = logOf(1);
    const tooLarge = new Uint8Array(LEAF_BYTES_MAX);
    try {
      log.append('PREPARED', tooLarge);
      expect.unreachable();
    } catch (error) {
      expect(isOperationError(error, 'TOO_LARGE')).toBe(true);
    }
    expect(log.size).toBe(1);
    expect(log.append('PREPARED', tooLarge.subarray(1))).toBe(1);
  });
});

describe('entry types', () => {
  it('numbers are those of the format, for ever', () => {
    expect(ENTRY_TYPES).toEqual({
      PREPARED: 1, COMMITTED: 2, EVICT: 3, ABORT: 4, ADOPT: 5, BOOT: 6, AUDIT: 7, STAGED: 8,
      NEVER: 9, HOLE: 10, REPAIRED: 11, RECORD: 12, RENEW: 13, REFUSED: 14, SNAPSHOT: 15, REVOKED: 16,

    });
  });

  it('the table in spec/formats/log.md lists exactly these numbers', () => {
    const spec = readFileSync(new URL('../../spec/formats/log.md', import.meta.url), 'utf8');
    const rows = [...spec.matchAll(/^\| 0x([0-9a-f]{2}) \| ([A-Z]+) \|/gm)];
    const listed = rows.map(([, byte, type]) => [type, Number.parseInt(byte ?? '', 16)] as const);
    expect(Object.fromEntries(listed)).toEqual(ENTRY_TYPES);
  });

  it('a leaf reads back as its type and body', () => {
    for (const type of Object.keys(ENTRY_TYPES) as (keyof typeof ENTRY_TYPES)[]) {
      const entry = decodeEntry(encodeEntry(type, body(1)));
      expect(entry?.type).toBe(type);
      expect(hex(entry?.body ?? utf8('none'))).toBe(hex(body(1)));
    }
  });

  it('empty leaves, unknown types and leaves that are too large are no entries', () => {
    expect(decodeEntry(new Uint8Array())).toBeNull();
    for (const byte of [0, 17, 255]) expect(decodeEntry(concat(new Uint8Array([byte]), body(1)))).toBeNull();
    expect(decodeEntry(new Uint8Array(LEAF_BYTES_MAX).fill(1))).not.toBeNull();
    expect(decodeEntry(new Uint8Array(LEAF_BYTES_MAX + 1).fill(1))).toBeNull();
  });
});
