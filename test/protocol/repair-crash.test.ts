/**
 * A storage node that loses power at every step of its disk while it takes lost cells back: what it said that it
 * took it has, what it did not say it has or says that it lacks, and never does it show a wrong cell.
 */
import { afterEach, describe, expect, it } from 'vitest';
import { EMPTY, equal } from '../../src/base/bytes.ts';
import type { RequestOf } from '../../src/protocol/messages.ts';
import type { SignedBody } from '../../src/protocol/slot.ts';
import { RawWriter } from '../../src/sim/adversaries/raw-writer.ts';
import type { RawVersion } from '../../src/sim/adversaries/raw-writer.ts';
import { FaultyDisk } from '../../src/sim/faulty-disk.ts';
import { IS_SLOW } from '../slow.ts';
import { authorityOf } from '../world/controller-world.ts';
import { World } from '../world/world.ts';

const NODE = 3;
const OTHERS = [0, 1, 2];
/** Of a life in which everything is repaired, and some more. */
const STEPS_MAX = 120;

let world: World | undefined;
afterEach(async () => {
  await world?.stop();
  world = undefined;
});

const named = ({ signed: { hash: manifestHash, manifest } }: RawVersion) => ({
  keyId: manifest.keyId,
  manifestHash,
  stamp: manifest.stamp,
  contentId: manifest.contentId,
});

/** What a controller gives a node back: a body, the only cell, or all cells by an upload. */
async function repair(controller: RawWriter, authority: SignedBody, version: RawVersion, cert: Uint8Array): Promise<boolean> {
  const [row = EMPTY, ...more] = version.rows;
  const isLong = more.length > 0;
  const request: RequestOf<'REPAIR'> = {
    t: 'REPAIR',
    ...named(version),
    authority,
    stripe: 0,
    row: isLong ? EMPTY : row,
    path: [],
    cert,
    upload: isLong ? await controller.upload(NODE, version) : null,
  };
  const payload = isLong ? EMPTY : (version.cells[0]?.[NODE] ?? version.body);
  return (await controller.ask(NODE, request, payload)).ok;
}

/** Of each piece: is it there, as it should be? A wrong one, or a refusal that is no lack, fails the test. */
async function piecesHeld(writer: RawWriter, version: RawVersion): Promise<boolean> {
  const pieces = version.rows.length === 0 ? [version.body] : version.cells.map((cells) => cells[NODE] ?? EMPTY);
  let isWhole = true;
  for (const [stripe, piece] of pieces.entries()) {
    const answer = await writer.ask(NODE, { t: 'AUDIT', ...named(version), stripe, nonce: writer.world.random.bytes(32) });
    if (answer.ok) expect(equal(answer.payload, piece)).toBe(true);
    else expect(['HOLE', 'NOT_HELD']).toContain(answer.refused.code);
    isWhole &&= answer.ok;
  }
  return isWhole;
}

class Patient {
  readonly #world: World;
  readonly #raw: readonly RawWriter[];
  disk: FaultyDisk;

  constructor(in_: World, raw: readonly RawWriter[], disk: FaultyDisk) {
    this.#world = in_;
    this.#raw = raw;
    this.disk = disk;
  }

  async fall(next: (disk: FaultyDisk) => FaultyDisk): Promise<void> {
    await this.#world.kill(NODE).catch(() => undefined);
    for (const raw of this.#raw) await raw.hangUp(NODE);
    this.disk = next(this.disk);
    this.#world.disks.set(NODE, this.disk);
    this.#world.lost.delete(NODE);
  }

  async loseCells(): Promise<void> {
    await this.fall((disk) => disk.restartProcess());
    for (const path of this.disk.paths()) if (path.includes('cells-')) await this.disk.remove(path);
  }
}

describe('a storage node that loses power while it is repaired', () => {
  it('has what it said that it took, and shows nothing wrong, whatever step was its last', async () => {
    const disk = new FaultyDisk({ seed: 5 });
    const disks = new Map([[NODE, disk], ...OTHERS.map((slot) => [slot, new FaultyDisk()] as const)]);
    world = await World.start({ n: 4, disks, tuning: { logSegmentBytes: 32 * 1024, cellSegmentBytes: 32 * 1024, snapshotRecords: 20, upkeepMs: 5, quarantineMs: 0 } });
    const writer = new RawWriter(world);
    const controller = new RawWriter(world.asController());
    const authority = authorityOf(world);
    const lasting: [RawVersion, Uint8Array][] = [[writer.record(1), await writer.openBucket()]];
    for (const options of [{ size: 1000 }, { size: 7000 }, { kind: 'INLINE' as const }]) {
      const version = writer.version({ key: `lasting ${lasting.length}`, counter: 1, ...options });
      lasting.push([version, await writer.write(version)]);
    }
    const patient = new Patient(world, [writer, controller], disk);
    let cut = 0;
    let taken = 0;
    for (let step = 1; step <= STEPS_MAX; step += IS_SLOW ? 1 : 6) {
      await patient.loseCells();
      await world.restart(NODE);
      // One that it never had, by its certificate alone.
      const missed = writer.version({ key: `missed ${step}`, counter: 1 });
      const cert = writer.certificate(missed, await writer.receipts(missed, OTHERS));
      for (const slot of [NODE, ...OTHERS]) await writer.commit(slot, cert);
      const wanted: typeof lasting = [...lasting, [missed, cert]];
      patient.disk.losePowerAt(patient.disk.steps + step);
      const said: RawVersion[] = [];
      for (const [version, of] of wanted) if (await repair(controller, authority, version, of).catch(() => false)) said.push(version);
      taken += said.length;
      if (patient.disk.isOff) cut += 1;
      await patient.fall((one) => one.powerCycle());
      await world.restart(NODE);
      for (const version of said) expect(await piecesHeld(writer, version)).toBe(true);
      for (const [version, of] of wanted) {
        if (await piecesHeld(writer, version)) continue;
        expect(await repair(controller, authority, version, of)).toBe(true);
        expect(await piecesHeld(writer, version)).toBe(true);
      }
      expect(world.nodes.get(NODE)?.status().holes).toBe(0);
      // It goes, so that the next life has as much to repair as this one.
      await writer.write(writer.version({ key: `missed ${step}`, counter: 2, kind: 'TOMBSTONE' }));
      await expect.poll(() => world?.nodes.get(NODE)?.status().contents, { timeout: 20_000 }).toBe(lasting.length);
    }
    expect(cut).toBeGreaterThan(5);
    expect(taken).toBeGreaterThan(5);
  }, 120_000);
});
