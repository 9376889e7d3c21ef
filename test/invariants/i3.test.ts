/**
 * I3, visibility: a completed operation is shown by a correct node among any q answers. It waited for
 * c = 2f+1 holders of its certificate, f+1 of them correct; what a correct node has acknowledged is durable,
 * and what it shows never goes down, also not by a restart with an older disk.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { acknowledgesEverything, failing } from '../../src/sim/adversaries/nodes.ts';
import { replay } from '../../src/sim/adversaries/writers.ts';
import type { FaultyDisk } from '../../src/sim/faulty-disk.ts';
import { contentOf, put } from '../world/client-world.ts';
import { all, liars } from '../../src/sim/adversaries/liars.ts';
import type { RawWriter } from '../../src/sim/adversaries/raw-writer.ts';
import { HeldDisk } from './disks.ts';
import { ALL, CORRECT, LIAR, Scene } from './scene.ts';

let scene: Scene;
let raw: RawWriter;
beforeAll(async () => {
  scene = await Scene.start();
  raw = scene.raw;
});
afterEach(() => scene.calm());
afterAll(() => scene.stop());

describe('a write', () => {
  it.each([
    [[0], false],
    [[0, 1], true],
    [CORRECT, true],
  ] as const)(
    'I3: whose certificate reaches %j and a node that acknowledges and forgets it, is acknowledged only if any q answers show it',
    async (reached, enough) => {
      const { world } = scene;
      for (const slot of CORRECT) if (!(reached as readonly number[]).includes(slot)) world.interceptors.set(slot, failing('COMMIT'));
      world.interceptors.set(LIAR, all(acknowledgesEverything(world, LIAR), liars.forgetful));
      const key = scene.freshKey();
      const result = await put(scene.client(0), scene.bucket, key, contentOf(key, 100));
      expect(result.outcome).toBe(enough ? 'committed' : 'unknown');
      if (result.outcome !== 'committed') return;
      const shown = await scene.showing(key, result.signed.manifest.stamp, ALL);
      for (const unheard of ALL) expect(shown.filter((slot) => slot !== unheard)).not.toEqual([]);
    },
  );
});

describe('a node', () => {
  it('I3: shows no older version than before, whoever brings it older certificates', async () => {
    const key = scene.freshKey();
    const versions = [1, 2, 3].map((counter) => raw.version({ key, counter }));
    const certs: Uint8Array[] = [];
    for (const version of versions) certs.push(await scene.write(version));
    for (const cert of certs) {
      await replay(raw, cert, CORRECT);
      for (const slot of CORRECT) expect(await scene.shown(slot, key)).toEqual(raw.stamp(3));
    }
  });

  it('I3: that acknowledged a certificate shows it after a loss of power', async () => {
    const held = new HeldDisk(4);
    const own = await Scene.start({ disks: new Map([[0, held.disk]]) });
    try {
      for (let counter = 1; counter <= 2; counter += 1) {
        const version = own.raw.version({ key: 'k', counter });
        // Nobody else could tell it afterwards.
        const cert = await own.write(version, CORRECT, []);
        held.hold(/log-/);
        const acked = own.raw.commit(0, cert).then(({ ok }) => ok, () => false);
        const inTime = await Promise.race([acked, own.world.clock.sleep(100).then(() => false)]);
        await own.reborn(0, held.powerLoss());
        if (inTime) expect(await own.shown(0, 'k')).toEqual(own.raw.stamp(counter));
        // And it does acknowledge, once it can.
        expect(await own.takers(cert)).toEqual(CORRECT);
        await own.reborn(0, held.powerLoss());
        expect(await own.shown(0, 'k')).toEqual(own.raw.stamp(counter));
      }
    } finally {
      await own.stop();
    }
  });
});

describe('a node whose disk was put back to an older image (trap H14)', () => {
  async function rolledBack(between: (own: Scene) => Promise<void>): Promise<void> {
    const own = await Scene.start();
    try {
      const image = (own.world.diskOf(0) as FaultyDisk).clone();
      await between(own);
      await expect(own.reborn(0, image)).rejects.toMatchObject({ code: 'LOST_STATE' });
      expect(own.world.nodes.get(0)?.status().state).not.toBe('SERVING');
    } finally {
      await own.stop();
    }
  }

  it('I3: does not serve again when it has signed a receipt since', async () => {
    await rolledBack(async (own) => {
      await own.write(own.raw.version({ key: 'k', counter: 1 }), CORRECT, ALL);
      // The newest certificate says nothing of it.
      await own.write(own.raw.version({ key: 'k', counter: 2 }), [1, 2, 3], ALL);
    });
  });

  it('I3: does not serve again when it has begun an incarnation since', async () => {
    await rolledBack((own) => own.reborn(0));
  });

  it('I3: stops as soon as it meets a promise of its own that its log lacks', async () => {
    const own = await Scene.start();
    try {
      const version = own.raw.version({ key: 'k', counter: 1 });
      const receipts = [own.raw.receiptOf(version, 0, 1_000_000), ...(await own.raw.receipts(version, [1, 2]))];
      const cert = own.raw.certificate(version, receipts);
      expect(await own.takers(cert)).toEqual([1, 2]);
      expect(own.world.lost.get(0)).toMatchObject({ code: 'LOST_STATE' });
      await expect(own.shown(0, 'k')).rejects.toThrow('LOST');
    } finally {
      await own.stop();
    }
  });
});
