/**
 * A storage node whose disk rots or is full (protocol 13.10, 5): it says what it lacks under its signature,
 * refuses what it cannot hold, and goes on.
 */
import { afterEach, describe, expect, it } from 'vitest';
import { EMPTY, equal } from '../../src/base/bytes.ts';
import { decodeEntry } from '../../src/log/entry-types.ts';
import { decodeLack } from '../../src/protocol/messages.ts';
import type { LackBody } from '../../src/protocol/messages.ts';
import { compareStamps } from '../../src/protocol/stamp.ts';
import { StatementVerifier } from '../../src/protocol/statement.ts';
import { FaultyDisk } from '../../src/sim/faulty-disk.ts';
import { nodeKey, RawWriter } from '../../src/sim/adversaries/raw-writer.ts';
import type { Answer } from '../../src/sim/adversaries/raw-writer.ts';
import { rot } from '../world/rot.ts';
import { World } from '../world/world.ts';
import type { WorldOptions } from '../world/world.ts';

const NODE = 0;
const SMALL = { logSegmentBytes: 64 * 1024, cellSegmentBytes: 64 * 1024 };
const worlds: World[] = [];
afterEach(async () => {
  for (const world of worlds.splice(0)) await world.stop();
});

interface Setting {
  readonly world: World;
  readonly writer: RawWriter;
  readonly disk: FaultyDisk;
}

async function start(options: WorldOptions = {}): Promise<Setting> {
  const disk = new FaultyDisk();
  const disks = new Map([0, 1, 2, 3].map((slot) => [slot, slot === NODE ? disk : new FaultyDisk()] as const));
  const world = await World.start({ n: 4, disks, ...options, tuning: { ...SMALL, ...options.tuning } });
  worlds.push(world);
  const writer = new RawWriter(world);
  await writer.openBucket();
  return { world, writer, disk };
}

/** The lack that the node signed; throws unless the signature is its own. */
function signedLack(world: World, answer: Answer<'FETCH' | 'BODY'>): LackBody {
  if (answer.ok) throw new Error('nothing lacks');
  const { statement } = answer.refused;
  if (statement === null) throw new Error(`unsigned: ${answer.refused.code} ${answer.refused.reason}`);
  const verifier = new StatementVerifier(world.cluster.id);
  expect(verifier.verify(nodeKey(NODE).publicKey, 'not-held', statement.body, statement.proof)).toBe(true);
  const lack = decodeLack(statement.body);
  if (!lack.ok) throw new Error(lack.reason);
  return lack.value;
}

async function holesLogged(writer: RawWriter): Promise<number> {
  return (await writer.leaves(NODE)).filter((leaf) => decodeEntry(leaf)?.type === 'HOLE').length;
}

async function restart({ world, writer, disk }: Setting): Promise<Setting> {
  await world.kill(NODE);
  await writer.hangUp(NODE);
  const next = disk.restartProcess();
  world.disks.set(NODE, next);
  await world.restart(NODE);
  return { world, writer, disk: next };
}

describe('a cell that has rotted', () => {
  it.each([1000, 7000])('is answered with a signed HOLE and logged once, at %i bytes', async (size) => {
    const setting = await start();
    const { world, writer, disk } = setting;
    const version = writer.version({ key: 'k', counter: 1, size });
    await writer.write(version);
    const stripe = version.rows.length - 1;
    expect(await rot(disk, version.cells[stripe]?.[NODE] ?? EMPTY, 5)).toBe(1);
    const answers = await Promise.all([1, 2, 3].map(() => writer.fetch(NODE, version, stripe)));
    for (const answer of answers) {
      expect(signedLack(world, answer)).toMatchObject({ code: 'HOLE', stripe, contentId: version.signed.manifest.contentId });
    }
    expect(await holesLogged(writer)).toBe(1);
    // Its neighbours are not harmed, and a restart forgets nothing.
    if (stripe > 0) expect((await writer.fetch(NODE, version, 0)).ok).toBe(true);
    await restart(setting);
    expect(signedLack(world, await writer.fetch(NODE, version, stripe)).code).toBe('HOLE');
    expect(await holesLogged(writer)).toBe(1);
  });

  it('is never sent, whichever byte of its record it is', async () => {
    const { writer, disk } = await start();
    const version = writer.version({ key: 'k', counter: 1, size: 100 });
    await writer.write(version);
    const [cell] = [version.cells[0]?.[NODE] ?? EMPTY];
    const [row] = version.rows;
    // The record: header of 56 bytes, row, cell.
    for (const at of [-56, -40, -24, -20, -16, -12, -8, -1, 0, 31, 32, 127, 128, 128 + cell.length - 1]) {
      expect(await rot(disk, row ?? EMPTY, at), `byte ${at}`).toBe(1);
      const answer = await writer.fetch(NODE, version);
      expect(answer.ok ? 'sent' : answer.refused.code, `byte ${at}`).toBe('HOLE');
      // And back, so that the next is damaged alone.
      const path = await placeOf(disk, cell, row ?? EMPTY);
      disk.flip(path.path, path.row + at);
      expect((await writer.fetch(NODE, version)).ok, `byte ${at} restored`).toBe(true);
    }
  });

  it('is said of a body, too', async () => {
    const { world, writer, disk } = await start();
    const version = writer.version({ key: 'k', counter: 1, kind: 'INLINE' });
    await writer.write(version);
    await rot(disk, version.body, 100);
    expect(signedLack(world, await writer.body(NODE, version))).toMatchObject({ code: 'HOLE', stripe: 0 });
    expect(await holesLogged(writer)).toBe(1);
  });

  it('counts no more when its content has gone, and once more when that comes again and rots again', async () => {
    const { world, writer, disk } = await start({ tuning: { ...SMALL, upkeepMs: 5, quarantineMs: 0 } });
    const holes = (): number | undefined => world.nodes.get(NODE)?.status().holes;
    const versions = [1, 2].map((i) => writer.version({ key: `k ${i}`, counter: 1, content: 'shared' }));
    for (const [i, version] of versions.entries()) {
      await writer.write(version);
      await rot(disk, version.cells[0]?.[NODE] ?? EMPTY, 5);
      expect((await writer.fetch(NODE, version)).ok).toBe(false);
      expect(holes()).toBe(1);
      expect(await holesLogged(writer)).toBe(i + 1);
      await writer.write(writer.version({ key: `k ${i + 1}`, counter: 2, kind: 'TOMBSTONE' }));
      await expect.poll(holes, { timeout: 20_000 }).toBe(0);
    }
  });

  it('does not hinder the compaction of its segment', async () => {
    const { world, writer, disk } = await start({ tuning: { ...SMALL, upkeepMs: 5, quarantineMs: 0 } });
    const kept = writer.version({ key: 'kept', counter: 1, size: 4000, cellBytes: 4096 });
    const rotten = writer.version({ key: 'rotten', counter: 1, size: 4000, cellBytes: 4096 });
    await writer.write(kept);
    await writer.write(rotten);
    for (let i = 0; i < 60; i += 1) await writer.write(writer.version({ key: `k ${i % 2}`, counter: 1 + i, size: 4000, cellBytes: 4096 }));
    await rot(disk, rotten.cells[0]?.[NODE] ?? EMPTY, 9);
    for (let i = 60; i < 120; i += 1) await writer.write(writer.version({ key: `k ${i % 2}`, counter: 1 + i, size: 4000, cellBytes: 4096 }));
    await world.clock.sleep(200);
    expect(world.telemetry.counts.get('upkeep_failures') ?? 0).toBe(0);
    expect((await writer.fetch(NODE, kept)).ok).toBe(true);
    expect(signedLack(world, await writer.fetch(NODE, rotten)).code).toBe('HOLE');
  });
});

describe('no signed lack can be had', () => {
  it('of a stripe or a body that never was', async () => {
    const { writer } = await start();
    const version = writer.version({ key: 'k', counter: 1 });
    await writer.write(version);
    const inline = writer.version({ key: 'i', counter: 1, kind: 'INLINE' });
    await writer.write(inline);
    for (const answer of [await writer.fetch(NODE, version, 1), await writer.body(NODE, version), await writer.fetch(NODE, inline)]) {
      expect(answer).toMatchObject({ ok: false, refused: { code: 'BAD', statement: null } });
    }
    expect(await holesLogged(writer)).toBe(0);
  });

  it('of a version under receipt whose certificate has not come yet', async () => {
    const { writer } = await start();
    const version = writer.version({ key: 'k', counter: 1 });
    await writer.receipts(version, [NODE]);
    const answer = await writer.fetch(NODE, version);
    expect(answer.ok && equal(answer.payload, version.cells[0]?.[NODE] ?? EMPTY)).toBe(true);
    const other = writer.version({ key: 'k', counter: 2 });
    expect(await writer.fetch(NODE, other)).toMatchObject({ ok: false, refused: { code: 'NOT_HELD' } });
  });
});

describe('a version that a node lacks', () => {
  it('is said to be replaced when a higher one is held, and else under signature not to be held', async () => {
    const { world, writer } = await start();
    const [below, held, above] = [1, 2, 3].map((counter) => writer.version({ key: 'k', counter }));
    if (below === undefined || held === undefined || above === undefined) throw new Error('three versions');
    const cert = await writer.write(held);
    expect(await writer.fetch(NODE, below)).toMatchObject({ ok: false, refused: { code: 'SUPERSEDED', statement: null } });
    const refused = await writer.fetch(NODE, below);
    expect(!refused.ok && refused.refused.cert !== null && equal(refused.refused.cert, cert)).toBe(true);
    for (const answer of [await writer.fetch(NODE, above), await writer.body(NODE, above)]) {
      expect(signedLack(world, answer)).toMatchObject({ code: 'NOT_HELD', manifestHash: above.signed.hash, max: held.signed.manifest.stamp });
    }
  });

  it('is no word against it when it was asked with another stamp', async () => {
    const { world, writer } = await start();
    const [below, held] = [1, 2].map((counter) => writer.version({ key: 'k', counter }));
    if (below === undefined || held === undefined) throw new Error('two versions');
    await writer.write(held);
    const { manifest, hash: manifestHash } = below.signed;
    const { keyId, contentId, stamp } = manifest;
    const asked = { t: 'FETCH' as const, keyId, manifestHash, stamp: { ...stamp, counter: 9 }, contentId, stripe: 0, leaseMs: 0 };
    const { max } = signedLack(world, await writer.ask(NODE, asked));
    expect(max !== null && compareStamps(max, stamp) > 0).toBe(true);
  });
});

describe('a disk that is full', () => {
  it('refuses content with FULL and goes on serving, and takes content again once there is room', async () => {
    const setting = await start();
    const { world, writer, disk } = setting;
    const before = writer.version({ key: 'before', counter: 1 });
    await writer.write(before);
    const { totalBytes, freeBytes } = await disk.space();
    disk.capacityBytes = totalBytes - freeBytes;
    let refused = 0;
    for (let i = 0; i < 100; i += 1) {
      const answer = await writer.prepare(NODE, writer.version({ key: `k ${i}`, counter: 1, size: 4000, cellBytes: 4096 }));
      if (answer.ok) continue;
      expect(answer.refused.code).toBe('FULL');
      refused += 1;
    }
    expect(refused).toBeGreaterThan(20);
    expect(world.lost.has(NODE)).toBe(false);
    expect((await writer.fetch(NODE, before)).ok).toBe(true);
    disk.capacityBytes = Number.POSITIVE_INFINITY;
    // The node looks at its disk once a second.
    const after = writer.version({ key: 'after', counter: 1 });
    while (!(await writer.prepare(NODE, after)).ok) await world.clock.sleep(50);
    await restart(setting);
    expect((await writer.fetch(NODE, before)).ok).toBe(true);
  });

  it('refuses an upload with FULL and keeps nothing of it', async () => {
    const { world, writer, disk } = await start();
    const live = world.nodes.get(NODE)?.status().liveBytes ?? 0;
    const { totalBytes, freeBytes } = await disk.space();
    disk.capacityBytes = totalBytes - freeBytes;
    const large = writer.version({ key: 'k', counter: 1, size: 400_000, cellBytes: 16_384 });
    await expect(writer.upload(NODE, large)).rejects.toThrow('FULL');
    await writer.hangUp(NODE);
    await world.clock.sleep(20);
    expect(world.nodes.get(NODE)?.status().liveBytes).toBe(live);
    disk.capacityBytes = Number.POSITIVE_INFINITY;
    await world.clock.sleep(1_300);
    expect((await writer.prepare(NODE, large)).ok).toBe(true);
  });

  it('when little room is left, refuses content before it takes any, and still takes tombstones and certificates', async () => {
    const { world, writer, disk } = await start();
    const version = writer.version({ key: 'k', counter: 1 });
    const cert = writer.certificate(version, await writer.receipts(version, [NODE, 1, 2, 3]));
    const { totalBytes, freeBytes } = await disk.space();
    disk.capacityBytes = totalBytes - freeBytes + 40 * 1024 * 1024;
    // The node looks at its disk once a second.
    await world.clock.sleep(1_300);
    const steps = disk.steps;
    const answer = await writer.prepare(NODE, writer.version({ key: 'other', counter: 1 }));
    expect(answer).toMatchObject({ ok: false, refused: { code: 'FULL' } });
    expect(disk.steps).toBe(steps);
    expect((await writer.prepare(NODE, version)).ok).toBe(true);
    expect((await writer.commit(NODE, cert)).ok).toBe(true);
    expect((await writer.prepare(NODE, writer.version({ key: 'k', counter: 2, kind: 'TOMBSTONE' }))).ok).toBe(true);
  });
});

describe('a disk that fails', () => {
  it('ends the node for good when a sync fails, and loses nothing that was promised', async () => {
    const setting = await start();
    const { world, writer, disk } = setting;
    const before = writer.version({ key: 'before', counter: 1 });
    await writer.receipts(before, [NODE]);
    disk.failWhen((step) => (step === 'datasync' ? 'DISK_ERROR' : null));
    const answer = await writer.prepare(NODE, writer.version({ key: 'k', counter: 1 }));
    expect(answer).toMatchObject({ ok: false, refused: { code: 'LOST' } });
    expect(world.lost.get(NODE)?.code).toBe('DISK_ERROR');
    expect(await writer.prepare(NODE, writer.version({ key: 'l', counter: 1 }))).toMatchObject({ ok: false, refused: { code: 'LOST' } });
    await restart(setting);
    expect((await writer.fetch(NODE, before)).ok).toBe(true);
  });

  it('that turns read-only refuses, and what was promised can still be read', async () => {
    const { world, writer, disk } = await start();
    const before = writer.version({ key: 'before', counter: 1 });
    await writer.write(before);
    disk.isReadOnly = true;
    const answer = await writer.prepare(NODE, writer.version({ key: 'k', counter: 1 }));
    expect(answer.ok).toBe(false);
    if (!world.lost.has(NODE)) expect((await writer.fetch(NODE, before)).ok).toBe(true);
  });
});

async function placeOf(disk: FaultyDisk, cell: Uint8Array, row: Uint8Array): Promise<{ readonly path: string; readonly row: number }> {
  for (const name of await disk.list('journal')) {
    if (!name.startsWith('cells-')) continue;
    const bytes = Buffer.from(await disk.readFile(`journal/${name}`, Number.MAX_SAFE_INTEGER));
    // One of the two is whole: only one bit of the record was flipped.
    const byRow = bytes.indexOf(row);
    if (byRow !== -1) return { path: `journal/${name}`, row: byRow };
    const byCell = bytes.indexOf(cell);
    if (byCell !== -1) return { path: `journal/${name}`, row: byCell - row.length };
  }
  throw new Error('the record is on the disk');
}
