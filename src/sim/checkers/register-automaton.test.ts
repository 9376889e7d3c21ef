/** Logs that a correct node may have, and logs that it may not. The transitions one by one: spec/models/node.test.ts. */
import { describe, expect, it } from 'vitest';
import { encodeEntry } from '../../log/entry-types.ts';
import { encode } from '../../protocol/encoding.ts';
import { encodeEvict, encodeRepaired, encodeStampBody } from '../../protocol/log-entries.ts';
import { encodeReceipt } from '../../protocol/receipt.ts';
import type { Stamp } from '../../protocol/stamp.ts';
import { RegisterAutomaton } from './register-automaton.ts';

const bytes = (fill: number): Uint8Array => new Uint8Array(32).fill(fill);
const KEY = bytes(7);
const stampOf = (counter: number): Stamp => ({ gen: 1, counter, writerId: bytes(1).subarray(0, 16) });

const prepared = (counter: number, hash: number, keyId: Uint8Array = KEY): Uint8Array =>
  encodeEntry('PREPARED', encodeReceipt({ v: 1, manifestHash: bytes(hash), keyId, stamp: stampOf(counter), slot: 0, nodeId: bytes(3), epoch: 1, incarnation: 1, logIndex: 0 }));
const committed = (counter: number, hash: number): Uint8Array =>
  encodeEntry('COMMITTED', encode({ v: 1, manifestHash: bytes(hash), bucketId: bytes(9), keyId: KEY, stamp: stampOf(counter), kind: 'DATA' }));
const settled = (type: 'NEVER' | 'ABORT', counter: number): Uint8Array => encodeEntry(type, encodeStampBody({ v: 1, keyId: KEY, stamp: stampOf(counter) }));
const evict = (hash: number, byHash: number): Uint8Array => encodeEntry('EVICT', encodeEvict({ v: 1, manifestHash: bytes(hash), keyId: KEY, byHash: bytes(byHash) }));
const repaired = (hash: number): Uint8Array => encodeEntry('REPAIRED', encodeRepaired({ v: 1, keyId: KEY, manifestHash: bytes(hash), contentId: bytes(5) }));
const boot = encodeEntry('BOOT', new Uint8Array([0xa0]));

function violations(logs: Readonly<Record<string, readonly Uint8Array[]>>, receiptsNeeded: number = 0): readonly string[] {
  const automaton = new RegisterAutomaton();
  for (const [name, leaves] of Object.entries(logs)) for (const leaf of leaves) automaton.observe(name, leaf);
  return automaton.violations(receiptsNeeded);
}

describe('a node that follows the model', () => {
  it.each<[string, readonly Uint8Array[]]>([
    ['accepts, commits and collects', [boot, prepared(1, 1), committed(1, 1), prepared(2, 2), committed(2, 2), evict(1, 2)]],
    ['takes a certificate before its content', [committed(1, 1), repaired(1)]],
    ['collects the one of two versions of a stamp that lost', [prepared(1, 1), committed(1, 2), evict(1, 2)]],
    ['lets an orphan go, and promises for another', [prepared(1, 1), settled('ABORT', 1), settled('NEVER', 2), prepared(3, 3)]],
    ['has a stamp free again under another key', [prepared(1, 1), prepared(1, 2, bytes(8))]],
  ])('%s', (_, leaves) => {
    expect(violations({ a: leaves })).toEqual([]);
  });

  it('is told from another node: each has its own state', () => {
    expect(violations({ a: [prepared(1, 1)], b: [prepared(1, 2)] })).toEqual([]);
  });
});

describe('a node that does not', () => {
  it.each<[string, readonly Uint8Array[], string]>([
    ['accepts two manifests of one stamp', [prepared(1, 1), prepared(1, 2)], 'entry 1 of its log: it accepts two manifests of one stamp'],
    ['accepts below its certificate', [committed(2, 2), prepared(1, 1)], 'at or below the certificate'],
    ['accepts far above its certificate', [prepared(65_537, 1)], 'far above'],
    ['breaks a promise of NEVER', [settled('NEVER', 1), boot, prepared(1, 1)], 'entry 2 of its log: it accepts where it promised NEVER to'],
    ['accepts again what it let go', [prepared(1, 1), settled('ABORT', 1), prepared(1, 1)], 'NEVER'],
    ['goes back to a lower certificate', [committed(2, 2), committed(1, 1)], 'goes back'],
    ['collects what binds', [prepared(1, 1), evict(1, 1)], 'nothing has superseded'],
    ['collects its highest version', [committed(1, 1), evict(1, 1)], 'nothing has superseded'],
    ['collects on the word of a version that it never held', [committed(1, 1), committed(2, 2), evict(1, 3)], 'no higher certificate'],
    ['repairs what was replaced', [committed(1, 1), committed(2, 2), repaired(1)], 'repairs'],
    ['writes what is no entry', [new Uint8Array([99])], 'malformed'],
    ['writes an entry without its body', [encodeEntry('NEVER', new Uint8Array([0xa0]))], 'entry 0'],
  ])('%s', (_, leaves, words) => {
    const found = violations({ a: leaves });
    expect(found).toHaveLength(1);
    expect(found[0]).toContain(words);
  });

  it('is told of once a key: what comes after the first fault follows from it', () => {
    expect(violations({ a: [prepared(1, 1), prepared(1, 2), committed(2, 2), committed(1, 1), prepared(1, 4, bytes(8)), prepared(1, 5, bytes(8))] })).toHaveLength(2);
  });
});

describe('a certificate', () => {
  it('has receipts of enough nodes', () => {
    expect(violations({ a: [prepared(1, 1), committed(1, 1)], b: [prepared(1, 1)] }, 2)).toEqual([]);
    expect(violations({ a: [prepared(1, 1), committed(1, 1)], b: [prepared(1, 2)] }, 2)[0]).toContain('fewer than 2 correct nodes have accepted it');
  });
});
