/**
 * Scrub: the node's walk over its own disk finds what rots, also in its log, says so and serves on; it lets
 * others go first; and what stood in segments that are gone is noted in bulk.
 */
import { afterEach, describe, expect, it } from 'vitest';
import { EMPTY, utf8 } from '../../src/base/bytes.ts';
import { sha256 } from '../../src/crypto/primitives.ts';
import type { Pointer } from '../../src/journal/pointer.ts';
import { encodeEntry } from '../../src/log/entry-types.ts';
import { receiptBodyOf } from '../../src/protocol/certificate.ts';
import { encodeReceipt } from '../../src/protocol/receipt.ts';
import { CountingTelemetry } from '../../src/sim/counting-telemetry.ts';
import { FaultyDisk } from '../../src/sim/faulty-disk.ts';
import { RawWriter } from '../../src/sim/adversaries/raw-writer.ts';
import { SimulatedClock, SimulatedTime } from '../../src/sim/simulated-time.ts';
import { Contents } from '../../src/storage-node/contents.ts';
import type { NodeContext } from '../../src/storage-node/context.ts';
import { packExtents } from '../../src/storage-node/records.ts';
import type { NodeRecord } from '../../src/storage-node/records.ts';
import { noteLostSegments, Scrub } from '../../src/storage-node/scrub.ts';
import { World } from '../world/world.ts';

const NODE = 2;
const worlds: World[] = [];
afterEach(async () => {
  for (const world of worlds.splice(0)) await world.stop();
});

async function start(): Promise<{ readonly world: World; readonly raw: RawWriter; readonly disk: FaultyDisk }> {
  const disk = new FaultyDisk();
  const world = await World.start({ n: 4, disks: new Map([[NODE, disk]]), tuning: { scrubPauseMs: 20 } });
  worlds.push(world);
  const raw = new RawWriter(world);
  await raw.openBucket();
  return { world, raw, disk };
}

describe('a leaf of the log that has rotted', () => {
  it('is found while the node serves, which says so and serves on, and does not start from that disk again', async () => {
    const { world, raw, disk } = await start();
    const version = raw.version({ key: 'key', counter: 1 });
    const receipts = await raw.receipts(version, [0, 1, NODE]);
    const own = receipts.find(({ slot }) => slot === NODE);
    if (own === undefined) throw new Error('it gave a receipt');
    await raw.write(raw.version({ key: 'after', counter: 1 }));
    const node = world.nodes.get(NODE);
    await expect.poll(() => node?.status().scrub.endedMs ?? null, { timeout: 20_000 }).not.toBeNull();
    expect(node?.status().scrub.damagedLeaves).toBe(0);
    const leaf = encodeEntry('PREPARED', encodeReceipt(receiptBodyOf(version.signed, world.cluster.slotAt(NODE)?.nodeId ?? EMPTY, own)));
    expect(await spoil(disk, leaf)).toBeGreaterThan(0);
    await expect.poll(() => node?.status().scrub.damagedLeaves, { timeout: 20_000 }).toBe(1);
    expect(world.telemetry.counts.get('damaged_leaves')).toBeGreaterThan(0);
    expect(node?.status()).toMatchObject({ state: 'SERVING', holes: 0 });
    expect((await raw.fetch(NODE, version)).ok).toBe(true);
    await world.kill(NODE);
    world.disks.set(NODE, disk.restartProcess());
    await expect(world.restart(NODE)).rejects.toMatchObject({ code: 'LOST_STATE' });
  });
});

/** Flips a bit of these bytes wherever the log has them. Returns how often. */
async function spoil(disk: FaultyDisk, bytes: Uint8Array): Promise<number> {
  let found = 0;
  for (const path of disk.paths()) {
    if (!path.includes('log-')) continue;
    const at = Buffer.from(await disk.readFile(path, Number.MAX_SAFE_INTEGER)).indexOf(bytes);
    if (at === -1) continue;
    disk.flip(path, at + 40);
    found += 1;
  }
  return found;
}

describe('all cell segments of a node', () => {
  it('may be damaged to the last byte: it starts, keeps its name, and says of each content that it lacks it', async () => {
    const { world, raw, disk } = await start();
    const versions = [raw.version({ key: 'a', counter: 1 }), raw.version({ key: 'b', counter: 1, size: 7000 })];
    for (const version of versions) await raw.write(version);
    const before = world.nodes.get(NODE)?.status();
    await world.kill(NODE);
    await raw.hangUp(NODE);
    const next = disk.restartProcess();
    for (const path of next.paths()) if (path.includes('cells-')) await next.writeFile(path, new Uint8Array(next.sizeOf(path)).fill(0xa5));
    world.disks.set(NODE, next);
    await world.restart(NODE);
    // The body of the bucket's record, one cell, and four.
    expect(world.nodes.get(NODE)?.status()).toMatchObject({ state: 'SERVING', keys: before?.keys, holes: 6 });
    for (const version of versions) expect(await raw.fetch(NODE, version)).toMatchObject({ ok: false, refused: { code: 'HOLE' } });
    // What comes now it keeps.
    const fresh = raw.version({ key: 'c', counter: 1 });
    await raw.write(fresh);
    expect((await raw.fetch(NODE, fresh)).ok).toBe(true);
  });
});

const endOfTurn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

const bodyOf = (i: number): Uint8Array => utf8(`${i}`.padStart(10));

/** Contents of one small body each, all in one segment, and what is written of them. */
function nodeWith(count: number, isLost: () => Promise<boolean>) {
  const time = new SimulatedTime(endOfTurn);
  const contents = new Contents();
  for (let i = 0; i < count; i += 1) {
    const cells = packExtents([{ segment: 1, offset: 64 + 128 * i, length: 10 }]);
    contents.add({ contentId: sha256(bodyOf(i)), shape: 'BLOB', k: 1, n: 4, cellBytes: 0, size: 10, cells, blocks: EMPTY, blockRoots: EMPTY }, 0);
  }
  const written: NodeRecord[] = [];
  let queued = 0;
  let queuedMost = 0;
  const write = (record: NodeRecord) => {
    written.push(record);
    queued += 1;
    queuedMost = Math.max(queuedMost, queued);
    return { durable: endOfTurn().then(() => void (queued -= 1)) };
  };
  const cells = { isLost, read: ({ offset }: Pointer) => Promise.resolve(bodyOf((offset - 64) / 128)) };
  const log = { durableSize: 0 };
  const state = { contents, cells, log, write, isHole: () => false };
  const clock = new SimulatedClock(time);
  const tuning = { scrubBytesPerSecond: 1_000, scrubPauseMs: 1_000_000 };
  const ctx = { state, clock, tuning, random: { bytes: () => new Uint8Array(1) }, telemetry: new CountingTelemetry(), self: { slot: 0 } };
  return { ctx: ctx as unknown as NodeContext, time, written, most: () => queuedMost };
}

describe('cells of segments that are gone', () => {
  it('are noted in bulk: one look a segment, and many records a sync, though not without bound', async () => {
    let looks = 0;
    const isLost = () => Promise.resolve((looks += 1) > 0);
    const { ctx, written, most } = nodeWith(10_000, isLost);
    expect(await noteLostSegments(ctx)).toBe(10_000);
    expect(looks).toBe(1);
    expect(written.filter(({ r }) => r === 'HOLE')).toHaveLength(10_000);
    expect(most()).toBe(1_000);
  });
});

describe('the walk', () => {
  const tookMs = async (isBusy: boolean): Promise<number> => {
    // Ten bytes each at a thousand a second: ten seconds where nobody waits.
    const { ctx, time } = nodeWith(1_000, () => Promise.resolve(false));
    const scrub = new Scrub(ctx, () => isBusy);
    const stop = new AbortController();
    const startMs = ctx.clock.nowMs();
    const running = scrub.run(stop.signal);
    await time.run(200_000);
    stop.abort();
    await time.run(1);
    await running;
    expect(scrub.status.pass).toBe(1);
    expect(scrub.status.checkedBytes).toBe(10_000);
    return (scrub.status.endedMs ?? Number.NaN) - startMs;
  };

  it('keeps its pace, and goes slower while others wait, but on', async () => {
    expect(await tookMs(false)).toBe(10_000);
    expect(await tookMs(true)).toBe(40_000);
  });
});
