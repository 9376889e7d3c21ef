import { describe, expect, it } from 'vitest';
import { EMPTY, hex, utf8 } from '../../src/base/bytes.ts';
import { sha256 } from '../../src/crypto/primitives.ts';
import { SimulatedClock, SimulatedTime } from '../../src/sim/simulated-time.ts';
import { CountingTelemetry } from '../../src/sim/counting-telemetry.ts';
import { Contents } from '../../src/storage-node/contents.ts';
import type { NodeContext } from '../../src/storage-node/context.ts';
import { Quarantine } from '../../src/storage-node/quarantine.ts';
import { packExtents } from '../../src/storage-node/records.ts';
import type { NodeRecord } from '../../src/storage-node/records.ts';
import type { KeyView } from '../../src/storage-node/register.ts';

const id = (name: string): Uint8Array => Uint8Array.from(sha256(utf8(name)));
const QUARANTINE_MS = 1_000;
const endOfTurn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

/** What a quarantine needs of a node: its contents, the versions that it has certified, and a place for records. */
function nodeWith(names: readonly string[], views: readonly KeyView[]) {
  const time = new SimulatedTime(endOfTurn);
  const contents = new Contents();
  for (const name of names) {
    const pieces = { cells: packExtents([{ segment: 1, offset: 64, length: 10 }]), blocks: EMPTY, blockRoots: EMPTY };
    contents.add({ contentId: id(name), shape: 'BLOB', k: 1, n: 4, cellBytes: 0, size: 10, ...pieces }, time.nowMs);
  }
  const freed: string[] = [];
  const write = (record: NodeRecord): void => {
    if (record.r !== 'FREED') return;
    const content = contents.get(record.contentId);
    if (content !== undefined) contents.free(content);
    freed.push(hex(record.contentId));
  };
  const telemetry = new CountingTelemetry();
  const state = { contents, register: { versions: () => views }, write, queuedIsDurable: () => Promise.resolve() };
  const tuning = { quarantineMs: QUARANTINE_MS };
  const ctx = { state, tuning, telemetry, clock: new SimulatedClock(time), self: { slot: 0 } } as unknown as NodeContext;
  return { ctx, contents, freed, time, telemetry };
}

function keyWith(name: string, place: 'max' | 'kept'): KeyView {
  const version = { hash: id(`version of ${name}`), binds: id(name) } as NonNullable<KeyView['max']>;
  const chain = { kept: [version], removed: new Map(), floor: { gen: 0, counter: 0, writerId: EMPTY }, open: null };
  return { keyId: 'k', max: place === 'max' ? version : null, prepared: [], never: [], chain: place === 'kept' ? chain : null };
}

describe('quarantine', () => {
  it('gives back what nothing has named for its length, not before', async () => {
    const { ctx, freed, time } = nodeWith(['a', 'b'], []);
    const quarantine = new Quarantine(ctx);
    await time.run(QUARANTINE_MS - 1);
    expect(await quarantine.free()).toBe(0);
    await time.run(2 * QUARANTINE_MS);
    expect(await quarantine.free()).toBe(2);
    expect(freed.sort()).toEqual([hex(id('a')), hex(id('b'))].sort());
    expect(quarantine.alarms).toBe(0);
  });

  it.each(['max', 'kept'] as const)('keeps what a certified version still names (%s), and raises an alarm', async (place) => {
    const { ctx, contents, freed, time, telemetry } = nodeWith(['named', 'garbage'], [keyWith('named', place)]);
    const quarantine = new Quarantine(ctx);
    await time.run(2 * QUARANTINE_MS);
    expect(await quarantine.free()).toBe(1);
    expect(freed).toEqual([hex(id('garbage'))]);
    expect(quarantine.alarms).toBe(1);
    expect(telemetry.counts.get('quarantine_alarms')).toBe(1);
    expect(contents.get(id('named'))?.boundBy.size).toBe(1);
    await time.run(10 * QUARANTINE_MS);
    expect(await quarantine.free()).toBe(0);
    expect(contents.get(id('named'))).toBeDefined();
  });
});
