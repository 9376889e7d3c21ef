/**
 * Garbage collection and compaction of a storage node (protocol 13.2, 13.3, 13.8): what is superseded goes in
 * two steps, is quarantined first, and what stays can be read at any moment.
 */
import { afterEach, describe, expect, it } from 'vitest';
import { EMPTY, equal } from '../../src/base/bytes.ts';
import { decodeEntry } from '../../src/log/entry-types.ts';
import { decodeCommitted, decodeEvict } from '../../src/protocol/log-entries.ts';
import { decodeRequest, encodeAnswer } from '../../src/protocol/messages.ts';
import { FaultyDisk } from '../../src/sim/faulty-disk.ts';
import { idOf, RawWriter } from '../../src/sim/adversaries/raw-writer.ts';
import type { RawVersion } from '../../src/sim/adversaries/raw-writer.ts';
import { liars } from '../../src/sim/adversaries/liars.ts';
import { equivocation } from '../../src/sim/adversaries/writers.ts';
import { World } from '../world/world.ts';
import type { Interceptor } from '../../src/sim/adversaries/stage.ts';
import type { WorldOptions } from '../world/world.ts';

const NODE = 0;
const worlds: World[] = [];
afterEach(async () => {
  for (const world of worlds.splice(0)) await world.stop();
});

async function start(options: WorldOptions = {}): Promise<{ readonly world: World; readonly writer: RawWriter }> {
  const disks = new Map(Array.from({ length: options.n ?? 4 }, (_, slot) => [slot, new FaultyDisk()] as const));
  const world = await World.start({ disks, ...options, tuning: { upkeepMs: 5, quarantineMs: 0, ...options.tuning } });
  worlds.push(world);
  const writer = new RawWriter(world);
  await writer.openBucket();
  return { world, writer };
}

/** Several rounds of upkeep. */
async function rounds(world: World): Promise<void> {
  await world.clock.sleep(150);
}

async function until(world: World, what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = world.clock.monotonicMs() + 8_000; world.clock.monotonicMs() < end; await world.clock.sleep(5)) if (await holds()) return;
  throw new Error(`it never came to pass that ${what}`);
}

const superseded = (world: World): number => world.nodes.get(NODE)?.status().superseded ?? -1;
const contents = (world: World): number => world.nodes.get(NODE)?.status().contents ?? -1;

async function isHeld(writer: RawWriter, version: RawVersion): Promise<boolean> {
  const answer = await writer.fetch(NODE, version);
  return answer.ok && equal(answer.payload, version.cells[0]?.[NODE] ?? EMPTY);
}

/** Two versions of one key, the first certified everywhere, the second with a certificate that nobody has yet. */
async function twoVersions(writer: RawWriter): Promise<{ readonly first: RawVersion; readonly second: RawVersion; readonly cert: Uint8Array }> {
  const first = writer.version({ key: 'k', counter: 1 });
  await writer.write(first);
  const second = writer.version({ key: 'k', counter: 2 });
  const slots = writer.world.cluster.slots.map((s) => s.slot);
  return { first, second, cert: writer.certificate(second, await writer.receipts(second, slots)) };
}

describe('a superseded version', () => {
  it('stays until c nodes show the certificate above it', async () => {
    const { world, writer } = await start({ n: 4 });
    const { first, second, cert } = await twoVersions(writer);
    for (const slot of [NODE, 1]) await writer.commit(slot, cert);
    await rounds(world);
    expect(superseded(world)).toBe(1);
    expect(await isHeld(writer, first)).toBe(true);
    await writer.commit(2, cert);
    await until(world, 'the first version has gone', () => superseded(world) === 0);
    expect(await isHeld(writer, first)).toBe(false);
    expect(await isHeld(writer, second)).toBe(true);
  });

  it('goes when another version of its own stamp is certified', async () => {
    const { world, writer } = await start({ n: 4 });
    const [one, other] = equivocation(writer, 'k', 1);
    await writer.receipts(other, [NODE]);
    const cert = writer.certificate(one, await writer.receipts(one, [1, 2, 3]));
    for (const slot of [NODE, 1, 2, 3]) await writer.commit(slot, cert);
    await until(world, 'the other version has gone', () => superseded(world) === 0);
    expect(await isHeld(writer, other)).toBe(false);
  });

  it('stays until n-f nodes have answered for the bucket record, however many show the certificate', async () => {
    const { world, writer } = await start({ n: 5, k: 2 });
    const { first, cert } = await twoVersions(writer);
    await world.kill(3);
    await world.kill(4);
    for (const slot of [NODE, 1, 2]) await writer.commit(slot, cert);
    await rounds(world);
    expect(superseded(world)).toBe(1);
    expect(await isHeld(writer, first)).toBe(true);
    await world.restart(3);
    await until(world, 'the first version has gone', () => superseded(world) === 0);
  });

  it('stays while a newer bucket record is known elsewhere and not here', async () => {
    const { world, writer } = await start({ n: 4 });
    const { first, cert } = await twoVersions(writer);
    const record = writer.record(2);
    const recordCert = writer.certificate(record, await writer.receipts(record, [NODE, 1, 2, 3]));
    await writer.commit(1, recordCert);
    for (const slot of [NODE, 1, 2, 3]) await writer.commit(slot, cert);
    await until(world, 'the first version has gone', () => superseded(world) === 0);
    // The record came first: the eviction acts under what it says.
    const entries = (await writer.leaves(NODE)).map((leaf) => decodeEntry(leaf));
    const adopted = entries.findIndex((entry) => {
      if (entry?.type !== 'COMMITTED') return false;
      const body = decodeCommitted(entry.body);
      return body.ok && equal(body.value.manifestHash, record.signed.hash);
    });
    const evicted = entries.findIndex((entry) => {
      if (entry?.type !== 'EVICT') return false;
      const body = decodeEvict(entry.body);
      return body.ok && equal(body.value.manifestHash, first.signed.hash);
    });
    expect(adopted).toBeGreaterThan(-1);
    expect(evicted).toBeGreaterThan(adopted);
  });

  it('goes although one node shows forged records or garbage', async () => {
    for (const liar of [liars.higherVersions, liars.thinCertificates, liars.badCertificates, liars.garbage]) {
      const { world, writer } = await start({ n: 4 });
      const { cert } = await twoVersions(writer);
      world.interceptors.set(3, liar as Interceptor);
      for (const slot of [NODE, 1, 2]) await writer.commit(slot, cert);
      await until(world, 'the first version has gone', () => superseded(world) === 0);
      // The other upkeep was not stalled either.
      expect(world.telemetry.counts.get('upkeep_failures') ?? 0).toBe(0);
    }
  });

  it('does not go on the word of one node that claims to know more than there is', async () => {
    const { world, writer } = await start({ n: 4 });
    const { first, cert } = await twoVersions(writer);
    const shown = { stamp: writer.stamp(9999), manifestHash: idOf('nothing') };
    world.interceptors.set(3, async (honest, frame) => {
      const request = decodeRequest(frame.body);
      if (!request.ok || request.value.t !== 'SHOWN') return honest(frame);
      return { body: encodeAnswer('SHOWN', { shown: request.value.keyIds.map(() => shown) }), payload: EMPTY };
    });
    await writer.commit(NODE, cert);
    await rounds(world);
    expect(await isHeld(writer, first)).toBe(true);
  });

  it('stays while a reader holds a lease on it', async () => {
    const { world, writer } = await start({ n: 4 });
    const { first, cert } = await twoVersions(writer);
    expect((await writer.fetch(NODE, first, 0, 700)).ok).toBe(true);
    for (const slot of [NODE, 1, 2]) await writer.commit(slot, cert);
    await rounds(world);
    expect(await isHeld(writer, first)).toBe(true);
    await until(world, 'the lease has run out', () => superseded(world) === 0);
  });

  it('keeps a content that another version still names', async () => {
    const { world, writer } = await start({ n: 4 });
    const part = writer.version({ key: 'part', counter: 1 });
    await writer.write(part);
    const table = writer.version({ key: 'whole', counter: 1, kind: 'TABLE', parts: [part] });
    await writer.write(table);
    await writer.write(writer.version({ key: 'part', counter: 2, kind: 'TOMBSTONE' }));
    await until(world, 'the part has gone', () => superseded(world) === 0);
    const { contentId } = part.signed.manifest;
    const { keyId, stamp } = table.signed.manifest;
    const asked = { t: 'FETCH' as const, keyId, manifestHash: table.signed.hash, stamp, contentId, stripe: 0, leaseMs: 0 };
    const answer = await writer.ask(NODE, asked);
    expect(answer.ok && equal(answer.payload, part.cells[0]?.[NODE] ?? EMPTY)).toBe(true);
  });
});

describe('an evicted content', () => {
  it('is quarantined before its space is given back, and bound again if a manifest names it meanwhile', async () => {
    const { world, writer } = await start({ n: 4, tuning: { quarantineMs: 400 } });
    const { first, cert } = await twoVersions(writer);
    const before = contents(world);
    for (const slot of [NODE, 1, 2]) await writer.commit(slot, cert);
    await until(world, 'the first version has gone', () => superseded(world) === 0);
    expect(contents(world)).toBe(before);
    const again = writer.version({ key: 'other', counter: 1, content: 'k 1' });
    expect(again.signed.manifest.contentId).toEqual(first.signed.manifest.contentId);
    expect((await writer.prepare(NODE, again)).ok).toBe(true);
    await world.clock.sleep(700);
    expect(await isHeld(writer, again)).toBe(true);
    expect(contents(world)).toBe(before);
  });

  it('is gone after its quarantine', async () => {
    const { world, writer } = await start({ n: 4 });
    const { cert } = await twoVersions(writer);
    const before = contents(world);
    for (const slot of [NODE, 1, 2]) await writer.commit(slot, cert);
    await until(world, 'its space is free', () => contents(world) === before - 1);
  });
});

describe('compaction', () => {
  it('gives space back while everything that is live is being read', async () => {
    const disk = new FaultyDisk();
    const segments = async (): Promise<string[]> => (await disk.list('journal')).filter((name) => name.startsWith('cells-'));
    const { world, writer } = await start({
      n: 4,
      disks: new Map([0, 1, 2, 3].map((slot) => [slot, slot === NODE ? disk : new FaultyDisk()])),
      tuning: { cellSegmentBytes: 32 * 1024 },
    });
    const COUNT = 60;
    const kept: RawVersion[] = [];
    for (let i = 0; i < COUNT; i += 1) {
      const version = writer.version({ key: `k ${i}`, counter: 1, size: i % 4 === 0 ? 9000 : 18_000, cellBytes: 4096 });
      await writer.write(version);
      if (i % 4 === 0) kept.push(version);
    }
    const most = (await segments()).length;
    let reading = true;
    let reads = 0;
    const readers = kept.map(async (version) => {
      // All of this world is in memory: without a pause nothing else would have its turn.
      for (; reading; await world.clock.sleep(1)) {
        for (let stripe = 0; stripe < version.rows.length; stripe += 1) {
          const answer = await writer.fetch(NODE, version, stripe);
          expect(answer.ok && equal(answer.payload, version.cells[stripe]?.[NODE] ?? EMPTY)).toBe(true);
          reads += 1;
        }
      }
    });
    for (let i = 0; i < COUNT; i += 1) if (i % 4 !== 0) await writer.write(writer.version({ key: `k ${i}`, counter: 2, kind: 'TOMBSTONE' }));
    await until(world, 'segments have gone', async () => (await segments()).length <= most / 2).finally(() => {
      reading = false;
    });
    await Promise.all(readers);
    expect(reads).toBeGreaterThan(100);
    // And after a restart from what compaction left.
    await world.kill(NODE);
    await writer.hangUp(NODE);
    await world.restart(NODE);
    for (const version of kept) expect(await isHeld(writer, version)).toBe(true);
  });
});
