/**
 * Cells that come before their manifest (protocol 13.4), and contents that several manifests name (13.3): what
 * a receipt binds stays bound, whatever else happens at the same moment.
 */
import { afterEach, describe, expect, it } from 'vitest';
import { EMPTY, equal } from '../../src/base/bytes.ts';
import { signedManifestToWire } from '../../src/protocol/manifest.ts';
import type { DiskStep } from '../../src/sim/faulty-disk.ts';
import { FaultyDisk } from '../../src/sim/faulty-disk.ts';
import { RawWriter } from '../../src/sim/adversaries/raw-writer.ts';
import type { RawVersion } from '../../src/sim/adversaries/raw-writer.ts';
import { World } from '../world/world.ts';

const NODE = 0;
const SMALL = { logSegmentBytes: 64 * 1024, cellSegmentBytes: 64 * 1024 };
const worlds: World[] = [];
afterEach(async () => {
  for (const world of worlds.splice(0)) await world.stop();
});

/** A disk whose syncs of cells can be held up. */
class Gate {
  #open: Promise<void> = Promise.resolve();
  #release: () => void = () => undefined;
  #reached: () => void = () => undefined;

  /** Holds the next sync of cells; resolves when it is asked for. */
  close(): Promise<void> {
    this.#open = new Promise((resolve) => {
      this.#release = resolve;
    });
    return new Promise((resolve) => {
      this.#reached = resolve;
    });
  }

  open(): void {
    this.#release();
  }

  readonly delay = async (step: DiskStep | 'read', path: string): Promise<void> => {
    if (step !== 'datasync' || !path.includes('cells-')) return;
    this.#reached();
    await this.#open;
  };
}

async function start(uncertifiedBytesMax?: number): Promise<{ readonly world: World; readonly writer: RawWriter; readonly gate: Gate }> {
  const gate = new Gate();
  const disks = new Map([0, 1, 2, 3].map((slot) => [slot, new FaultyDisk(slot === NODE ? { delay: gate.delay } : {})]));
  const world = await World.start({
    n: 4,
    disks,
    tuning: { ...SMALL, upkeepMs: 5, quarantineMs: 0 },
    ...(uncertifiedBytesMax === undefined ? {} : { amend: (config) => ({ ...config, uncertifiedBytesMax }) }),
  });
  worlds.push(world);
  const writer = new RawWriter(world);
  await writer.openBucket();
  return { world, writer, gate };
}

const liveBytes = (world: World): number => world.nodes.get(NODE)?.status().liveBytes ?? -1;

/** Fills what is free again with other bytes, and reads the version back. */
async function isIntact(world: World, writer: RawWriter, version: RawVersion): Promise<boolean> {
  for (let i = 0; i < 30; i += 1) await writer.receipts(writer.version({ key: `filler ${i}`, counter: 1, size: 9000, cellBytes: 4096 }), [NODE]);
  await world.clock.sleep(60);
  for (let stripe = 0; stripe < version.rows.length; stripe += 1) {
    const answer = await writer.fetch(NODE, version, stripe);
    if (!answer.ok || !equal(answer.payload, version.cells[stripe]?.[NODE] ?? EMPTY)) return false;
  }
  return true;
}

describe('an upload', () => {
  it('whose connection ends while a manifest waits for it is not bound', async () => {
    const { world, writer, gate } = await start();
    const before = liveBytes(world);
    const version = writer.version({ key: 'k', counter: 1, size: 7000 });
    const reached = gate.close();
    const prepared = writer.prepare(NODE, version).catch(() => 'no answer');
    await reached;
    await writer.hangUp(NODE);
    gate.open();
    expect(await prepared).toBe('no answer');
    await world.clock.sleep(60);
    expect(liveBytes(world)).toBe(before);
    expect((await writer.prepare(NODE, version)).ok).toBe(true);
    expect(await isIntact(world, writer, version)).toBe(true);
  });

  it('that two manifests name at the same moment serves one, and the other finds the content', async () => {
    const { world, writer, gate } = await start();
    const [first, second] = [1, 2].map((counter) => writer.version({ key: 'k', counter, content: 'shared', size: 7000 }));
    if (first === undefined || second === undefined) throw new Error('two versions');
    const upload = await writer.upload(NODE, first);
    const reached = gate.close();
    const both = [first, second].map((version) => writer.prepare(NODE, version, { upload }));
    await reached;
    gate.open();
    const answers = await Promise.all(both);
    expect(answers.filter((answer) => answer.ok).length).toBeGreaterThan(0);
    for (const [i, version] of [first, second].entries()) {
      if (answers[i]?.ok !== true) expect((await writer.prepare(NODE, version, { upload })).ok).toBe(true);
      expect(await isIntact(world, writer, version)).toBe(true);
    }
  });

  it('may be asked for by several requests at once', async () => {
    const { world, writer } = await start();
    const version = writer.version({ key: 'k', counter: 1, size: 7000 });
    const upload = await writer.upload(NODE, version);
    const answers = await Promise.all([1, 2, 3].map(() => writer.prepare(NODE, version, { upload })));
    expect(answers.every((answer) => answer.ok)).toBe(true);
    expect(await isIntact(world, writer, version)).toBe(true);
  });

  it('that no manifest names gives its space back with its connection', async () => {
    const { world, writer } = await start();
    const before = liveBytes(world);
    await writer.upload(NODE, writer.version({ key: 'k', counter: 1, size: 700_000, cellBytes: 1024 }));
    expect(liveBytes(world)).toBeGreaterThan(before);
    await writer.hangUp(NODE);
    await world.clock.sleep(20);
    expect(liveBytes(world)).toBe(before);
  });

  it('takes no more than it reserved, nothing out of order, and no cell that differs in length but the last', async () => {
    const { writer } = await start();
    const version = writer.version({ key: 'k', counter: 1, size: 7000 });
    const id = new Uint8Array(16);
    const cell = (stripe: number, reserve = 4096, of = stripe) =>
      writer.ask(NODE, { t: 'CELL', upload: id, stripe, reserve, row: version.rows[of] ?? EMPTY }, version.cells[of]?.[NODE] ?? EMPTY);
    expect(await cell(1)).toMatchObject({ ok: false, refused: { code: 'NOT_HELD' } });
    expect((await cell(0, 1100)).ok).toBe(true);
    expect(await cell(2)).toMatchObject({ ok: false, refused: { code: 'BAD' } });
    expect(await cell(1)).toMatchObject({ ok: false, refused: { code: 'BAD', reason: 'more bytes than were reserved' } });
    expect(await writer.ask(NODE, { t: 'CELL', upload: id, stripe: 1, reserve: 0, row: version.rows[1] ?? EMPTY }, Uint8Array.of(1))).toMatchObject({
      ok: false,
      refused: { code: 'BAD' },
    });
  });

  it('of tiny cells is charged for its rows, too', async () => {
    const { writer } = await start(100_000);
    const tiny = writer.version({ key: 'k', counter: 1, size: 64_000, cellBytes: 64 });
    // 32 KB of cells, with rows and records of 192 bytes for each 64.
    await expect(writer.upload(NODE, tiny)).rejects.toThrow('P9');
    const large = writer.version({ key: 'k', counter: 1, size: 64_000, cellBytes: 4096 });
    expect((await writer.prepare(NODE, large)).ok).toBe(true);
  });

  it('counts once: as reserved, and then as claimed', async () => {
    const { writer } = await start(100_000);
    const version = writer.version({ key: 'k', counter: 1, size: 150_000, cellBytes: 4096 });
    expect((await writer.prepare(NODE, version)).ok).toBe(true);
    expect(await writer.prepare(NODE, writer.version({ key: 'l', counter: 1, size: 60_000, cellBytes: 65_536 }))).toMatchObject({
      ok: false,
      refused: { code: 'BUSY' },
    });
  });
});

describe('a table of contents', () => {
  it('is charged for itself, not for the object that it makes up', async () => {
    const { writer } = await start(1_200_000);
    const parts: RawVersion[] = [];
    for (const name of ['a', 'b', 'c']) {
      const part = writer.version({ key: name, counter: 1, size: 900_000, cellBytes: 524_288 });
      await writer.write(part);
      parts.push(part);
    }
    expect((await writer.prepare(NODE, writer.version({ key: 'whole', counter: 1, kind: 'TABLE', parts }))).ok).toBe(true);
  });
});

describe('a content that is here already', () => {
  it('is bound by a manifest that brings no cells, and kept when the first goes', async () => {
    const { world, writer } = await start();
    const first = writer.version({ key: 'a', counter: 1, content: 'shared' });
    await writer.write(first);
    const second = writer.version({ key: 'b', counter: 1, content: 'shared' });
    const asked = { t: 'PREPARE' as const, manifest: signedManifestToWire(second.signed), upload: null, row: null, prevCert: null, record: null };
    expect((await writer.ask(NODE, asked)).ok).toBe(true);
    await writer.write(writer.version({ key: 'a', counter: 2, kind: 'TOMBSTONE' }));
    expect(await isIntact(world, writer, second)).toBe(true);
  });

  it('is stored once, however often it is sent', async () => {
    const { world, writer } = await start();
    await writer.receipts(writer.version({ key: 'a', counter: 1, content: 'shared' }), [NODE]);
    const once = liveBytes(world);
    const copies = [1, 2, 3].map((i) => writer.version({ key: `b ${i}`, counter: 1, content: 'shared' }));
    await Promise.all(copies.map((copy) => writer.receipts(copy, [NODE])));
    expect(liveBytes(world)).toBe(once);
    for (const copy of copies) expect(await isIntact(world, writer, copy)).toBe(true);
  });
});

describe('a certificate', () => {
  it('is acknowledged with a leaf that is durable, not with that of a later one', async () => {
    const { world, writer } = await start();
    const versions = [1, 2, 3].map((counter) => writer.version({ key: 'k', counter, kind: 'TOMBSTONE' }));
    const certs: Uint8Array[] = [];
    for (const version of versions) certs.push(writer.certificate(version, await writer.receipts(version, [1, 2, 3])));
    const size = world.nodes.get(NODE)?.status().logSize ?? 0;
    const answers = await Promise.all(certs.map((cert) => writer.commit(NODE, cert)));
    const indexes = answers.map((answer) => (answer.ok ? answer.answer.logIndex : -1));
    expect(indexes).toEqual([size, size + 1, size + 2]);
  });
});
