/**
 * I5, promises: what a correct node has signed it keeps. Its receipt stands in its log at the place it names,
 * with the content, also after a loss of power; the content goes only under a higher certificate, and in two
 * steps (13.2), or by an abort licence.
 */
import { afterEach, describe, expect, it } from 'vitest';
import { failing } from '../../src/sim/adversaries/nodes.ts';
import { equivocation, gatherReceipts } from '../../src/sim/adversaries/writers.ts';
import { encodeEntry } from '../../src/log/entry-types.ts';
import { receiptBodyOf } from '../../src/protocol/certificate.ts';
import { encodeReceipt } from '../../src/protocol/receipt.ts';
import type { RawVersion } from '../../src/sim/adversaries/raw-writer.ts';
import type { WorldOptions } from '../world/world.ts';
import { HeldDisk } from './disks.ts';
import { ALL, CORRECT, LIAR, Scene } from './scene.ts';

const scenes: Scene[] = [];
afterEach(async () => {
  for (const scene of scenes.splice(0)) await scene.stop();
});

async function start(options: WorldOptions = {}): Promise<Scene> {
  const scene = await Scene.start(options);
  scenes.push(scene);
  return scene;
}

describe('a receipt', () => {
  it('I5 (trap H15): is honoured after a loss of power: the same place in the log, and no other manifest', async () => {
    const held = new HeldDisk(2);
    const scene = await start({ disks: new Map([[0, held.disk]]) });
    const { raw } = scene;
    const nodeId = scene.world.cluster.slotAt(0)?.nodeId ?? new Uint8Array(32);
    for (let counter = 1; counter <= 2; counter += 1) {
      const [one, other] = equivocation(raw, 'k', counter);
      held.hold(/log-/);
      const asked = gatherReceipts(raw, one, [0]).catch(() => []);
      const given = await Promise.race([asked, scene.world.clock.sleep(100).then(() => [])]);
      await scene.reborn(0, held.powerLoss());
      for (const receipt of given) {
        const leaf = encodeEntry('PREPARED', encodeReceipt(receiptBodyOf(one.signed, nodeId, receipt)));
        expect((await raw.leaves(0))[receipt.logIndex]).toEqual(leaf);
        expect(await gatherReceipts(raw, other, [0])).toEqual([]);
      }
      // And it gives one, once it can, which then binds as well.
      const [receipt] = await gatherReceipts(raw, one, [0]);
      await scene.reborn(0, held.powerLoss());
      expect(await gatherReceipts(raw, one, [0])).toMatchObject([{ slot: 0, logIndex: receipt?.logIndex }]);
      expect(await gatherReceipts(raw, other, [0])).toEqual([]);
    }
  });

  it.each([
    ['one cell', 1000],
    ['an upload', 7000],
  ])('I5: has its content behind it after a loss of power: %s', async (_what, size) => {
    const held = new HeldDisk(3);
    const scene = await start({ disks: new Map([[0, held.disk]]) });
    const { raw } = scene;
    // What was not synced survives now and then.
    for (let counter = 1; counter <= 5; counter += 1) {
      const version = raw.version({ key: 'k', counter, size });
      // So that a segment is open: the sync that is held back is that of the content.
      await raw.receipts(raw.version({ key: `before ${counter}`, counter: 1 }), [0]);
      held.hold(/cells-/);
      const asked = gatherReceipts(raw, version, [0]).catch(() => []);
      const given = await Promise.race([asked, scene.world.clock.sleep(150).then(() => [])]);
      await scene.reborn(0, held.powerLoss());
      if (given.length > 0) expect(await scene.holders(version, [0])).toEqual([0]);
      await raw.receipts(version, [0]);
      await scene.reborn(0, held.powerLoss());
      expect(await scene.holders(version, [0])).toEqual([0]);
    }
  });
});

describe('a superseded version', () => {
  /** The first version is certified everywhere; of the second nobody has the certificate yet. */
  async function twoVersions({ raw }: Scene): Promise<{ readonly first: RawVersion; readonly second: RawVersion; readonly cert: Uint8Array }> {
    const first = raw.version({ key: 'k', counter: 1 });
    await raw.write(first);
    const second = raw.version({ key: 'k', counter: 2 });
    return { first, second, cert: raw.certificate(second, await raw.receipts(second, ALL)) };
  }

  async function takenBy(scene: Scene, cert: Uint8Array, slots: readonly number[]): Promise<void> {
    expect(await scene.takers(cert, slots)).toEqual(slots);
  }

  it('I5 (13.2): is kept until c nodes show what replaced it', async () => {
    const scene = await start();
    const { first, second, cert } = await twoVersions(scene);
    await takenBy(scene, cert, [0, 1]);
    await scene.rounds();
    expect(await scene.holders(first)).toEqual(CORRECT);
    await takenBy(scene, cert, [2]);
    await scene.collected(first);
    expect(await scene.holders(second)).toEqual(CORRECT);
  });

  it('I5 (13.2): is kept until n-f nodes have shown no newer bucket record', async () => {
    const scene = await start();
    const { first, cert } = await twoVersions(scene);
    for (const slot of [1, 2]) scene.world.interceptors.set(slot, failing('QUERY'));
    await takenBy(scene, cert, [0, LIAR]);
    await takenBy(scene, cert, [1, 2]);
    await scene.rounds();
    expect(await scene.holders(first, [0])).toEqual([0]);
    scene.calm();
    await scene.collected(first);
  });

  it('I5 (trap H18): is kept while a reader holds a lease', async () => {
    const scene = await start();
    const { first, cert } = await twoVersions(scene);
    for (const slot of CORRECT) expect((await scene.raw.fetch(slot, first, 0, 600)).ok).toBe(true);
    await takenBy(scene, cert, ALL);
    await scene.rounds();
    expect(await scene.holders(first)).toEqual(CORRECT);
    await scene.collected(first);
  });

  it('I5: is not given up for a certificate that nobody signed', async () => {
    const scene = await start();
    const { first, second } = await twoVersions(scene);
    const forged = scene.raw.certificate(second, ALL.map((slot) => ({ ...scene.raw.receiptOf(second, LIAR, slot), slot })));
    expect(await scene.takers(forged)).toEqual([]);
    await scene.rounds();
    expect(await scene.holders(first)).toEqual(CORRECT);
  });

  it('I5 (13.3): leaves the content behind that another version still names', async () => {
    const scene = await start();
    const { raw } = scene;
    const shared = { content: 'shared', size: 1000 };
    const kept = raw.version({ key: 'other', counter: 1, ...shared });
    await raw.write(kept);
    const first = raw.version({ key: 'k', counter: 1, ...shared });
    await raw.write(first);
    expect(first.signed.manifest.contentId).toEqual(kept.signed.manifest.contentId);
    await raw.write(raw.version({ key: 'k', counter: 2, kind: 'TOMBSTONE' }));
    await scene.collected(first);
    expect(await scene.holders(kept)).toEqual(CORRECT);
    await scene.reborn(0);
    expect(await scene.holders(kept)).toEqual(CORRECT);
  });
});
