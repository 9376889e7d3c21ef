import { describe, expect, it } from 'vitest';
import { equal, hex } from '../base/bytes.ts';
import { sha256 } from '../crypto/primitives.ts';
import { writerIdOf } from '../protocol/stamp.ts';
import { WriterSessions } from './session.ts';

function counted(): { bytes(count: number): Uint8Array } {
  let drawn = 0;
  return {
    bytes: (count) => {
      drawn += 1;
      return sha256(Uint8Array.of(drawn)).subarray(0, count);
    },
  };
}

const key = (name: number): Uint8Array => sha256(Uint8Array.of(7, name));

describe('a writer session', () => {
  const gatewayId = sha256(Uint8Array.of(1));

  it('gives each key counters above what is certified and above its own, so that none is used twice', () => {
    const sessions = new WriterSessions(gatewayId, counted());
    expect(sessions.next(key(1), 1, 0).stamp.counter).toBe(1);
    expect(sessions.next(key(1), 1, 0).stamp.counter).toBe(2);
    expect(sessions.next(key(1), 1, 9).stamp.counter).toBe(10);
    expect(sessions.next(key(1), 1, 4).stamp.counter).toBe(11);
    expect(sessions.next(key(2), 1, 0).stamp.counter).toBe(1);
    expect(sessions.next(key(1), 2, 0).stamp.counter).toBe(1);
  });

  it('uses a round of a slot once, and above what it is told of', () => {
    const sessions = new WriterSessions(gatewayId, counted());
    expect([0, 0, 7, 3].map((above) => sessions.round(key(1), key(2), above).round)).toEqual([1, 2, 8, 9]);
    expect(sessions.round(key(1), key(3), 0).round).toBe(1);
  });

  it('writes under an identity that follows from its nonce', () => {
    const { stamp, sessionNonce } = new WriterSessions(gatewayId, counted()).next(key(1), 1, 0);
    expect(equal(stamp.writerId, writerIdOf(gatewayId, sessionNonce))).toBe(true);
  });

  it('becomes a new session before it forgets a counter', () => {
    const sessions = new WriterSessions(gatewayId, counted(), 3);
    const used = new Set<string>();
    for (let round = 0; round < 4; round += 1) {
      for (let name = 0; name < 5; name += 1) {
        const { stamp } = sessions.next(key(name), 1, 0);
        const whole = `${name} ${stamp.counter} ${hex(stamp.writerId)}`;
        expect(used.has(whole)).toBe(false);
        used.add(whole);
      }
    }
  });
});
