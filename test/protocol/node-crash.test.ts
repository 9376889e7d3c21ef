/**
 * A storage node that loses power at every step of its disk while it prepares, commits, collects garbage and
 * compacts: whatever it has signed stands in its log at the place that was signed, with its content.
 */
import { afterEach, describe, expect, it } from 'vitest';
import { EMPTY, equal } from '../../src/base/bytes.ts';
import { encodeEntry } from '../../src/log/entry-types.ts';
import { receiptBodyOf } from '../../src/protocol/certificate.ts';
import type { CertReceipt } from '../../src/protocol/certificate.ts';
import { committedBodyOf } from '../../src/protocol/log-entries.ts';
import { encodeReceipt } from '../../src/protocol/receipt.ts';
import { FaultyDisk } from '../../src/sim/faulty-disk.ts';
import { RawWriter } from '../../src/sim/adversaries/raw-writer.ts';
import type { RawVersion } from '../../src/sim/adversaries/raw-writer.ts';
import { IS_SLOW } from '../slow.ts';
import { World } from '../world/world.ts';

const NODE = 3;
const OTHERS = [0, 1, 2];
const SMALL = { logSegmentBytes: 32 * 1024, cellSegmentBytes: 32 * 1024 };

let world: World | undefined;
afterEach(async () => {
  await world?.stop();
  world = undefined;
});

interface Receipt {
  readonly version: RawVersion;
  readonly receipt: CertReceipt;
}

interface Ack {
  readonly version: RawVersion;
  readonly logIndex: number;
}

/** What the node has signed in all of its lives. */
class Promises {
  readonly receipts: Receipt[] = [];
  readonly acks: Ack[] = [];
}

/** One life of the node: it starts, and does all that a node does, until its disk fails under it. */
async function live(in_: World, writer: RawWriter, life: number, promises: Promises): Promise<void> {
  await in_.openNode(NODE);
  await in_.nodes.get(NODE)?.boot();
  const versions = [
    writer.version({ key: `a ${life % 5}`, counter: life + 1 }),
    writer.version({ key: `b ${life % 5}`, counter: life + 1, size: 5000 }),
    writer.version({ key: `c ${life % 5}`, counter: life + 1, kind: 'INLINE' }),
    writer.version({ key: `d ${life % 5}`, counter: life + 1, kind: 'TOMBSTONE' }),
  ];
  const write = async (version: RawVersion): Promise<void> => {
    const others = writer.receipts(version, OTHERS);
    const answer = await writer.prepare(NODE, version);
    if (!answer.ok) return;
    promises.receipts.push({ version, receipt: { slot: NODE, ...answer.answer } });
    const cert = writer.certificate(version, [...(await others), { slot: NODE, ...answer.answer }]);
    for (const slot of OTHERS) await writer.commit(slot, cert);
    const ack = await writer.commit(NODE, cert, version.signed.manifest.kind === 'INLINE' ? version.body : EMPTY);
    if (ack.ok) promises.acks.push({ version, logIndex: ack.answer.logIndex });
  };
  // At once, so that they share writes and syncs, or one by one in some order, so that none covers another's.
  if (life % 2 === 0) await Promise.all(versions.map(write));
  else for (let i = 0; i < versions.length; i += 1) await write(versions[(i + life) % versions.length] as RawVersion);
  // Long enough for garbage to be collected and a segment to be emptied.
  await in_.clock.sleep(40);
}

async function checkHonoured(writer: RawWriter, { receipts, acks }: Promises): Promise<void> {
  const leaves = await writer.leaves(NODE);
  const nodeId = writer.world.cluster.slotAt(NODE)?.nodeId ?? EMPTY;
  for (const { version, receipt } of receipts) {
    const leaf = encodeEntry('PREPARED', encodeReceipt(receiptBodyOf(version.signed, nodeId, receipt)));
    expect(leaves[receipt.logIndex]).toEqual(leaf);
  }
  for (const { version, logIndex } of acks) {
    const leaf = leaves[logIndex] ?? EMPTY;
    // The node's state may have dominated the certificate already, by a later one.
    if (equal(leaf, encodeEntry('COMMITTED', committedBodyOf(version.signed)))) continue;
    expect(leaf[0]).toBe(2);
  }
  for (const { version } of receipts) await checkContent(writer, version);
}

/** The content is there, or the node shows the certificate that let it go. */
async function checkContent(writer: RawWriter, version: RawVersion): Promise<void> {
  const { kind } = version.signed.manifest;
  if (kind === 'TOMBSTONE') return;
  const answers =
    kind === 'INLINE'
      ? [{ answer: await writer.body(NODE, version), expected: version.body }]
      : await Promise.all(
          version.cells.map(async (cells, stripe) => ({ answer: await writer.fetch(NODE, version, stripe), expected: cells[NODE] })),
        );
  for (const { answer, expected } of answers) {
    if (answer.ok) expect(equal(answer.payload, expected ?? EMPTY)).toBe(true);
    else expect(answer.refused.code).toBe('SUPERSEDED');
  }
}

async function withPowerLoss(seed: number, steps: number): Promise<{ readonly cut: number; readonly promises: Promises }> {
  let disk = new FaultyDisk({ seed });
  world = await World.start({
    n: 4,
    disks: new Map([[NODE, disk], ...OTHERS.map((slot) => [slot, new FaultyDisk()] as const)]),
    tuning: { ...SMALL, upkeepMs: 5, quarantineMs: 0, snapshotRecords: 20 },
  });
  const writer = new RawWriter(world);
  await writer.openBucket();
  await world.kill(NODE);
  disk = disk.restartProcess();
  const promises = new Promises();
  let cut = 0;
  for (let step = 1; step <= steps; step += 1) {
    world.disks.set(NODE, disk);
    world.lost.delete(NODE);
    disk.losePowerAt(disk.steps + step);
    // Whatever fails, fails because the power went; what counts is what was answered before.
    await live(world, writer, step, promises).catch(() => undefined);
    if (disk.isOff) cut += 1;
    await world.kill(NODE).catch(() => undefined);
    await writer.hangUp(NODE);
    disk = disk.powerCycle();
    world.disks.set(NODE, disk);
    world.lost.delete(NODE);
    await world.openNode(NODE);
    await world.nodes.get(NODE)?.boot();
    await checkHonoured(writer, promises);
    await world.kill(NODE);
    await writer.hangUp(NODE);
    disk = disk.powerCycle();
  }
  return { cut, promises };
}

describe('a storage node that loses power', () => {
  it.each(IS_SLOW ? [1, 2, 3, 4] : [1])('honours every receipt and acknowledgement it gave, whatever step was its last (seed %i)', async (seed) => {
    const { cut, promises } = await withPowerLoss(seed, 64);
    expect(cut).toBeGreaterThan(40);
    // Neither were all lives too short nor all long enough.
    expect(promises.receipts.length).toBeGreaterThan(20);
    expect(promises.acks.length).toBeGreaterThan(20);
  }, 120_000);
});
