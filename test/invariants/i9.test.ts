/**
 * I9, counters: the counter of a certified manifest is at most D times the number of certified manifests of
 * its key, so no stolen key can use the counters of an object up (trap H6). Nodes measure from what is
 * certified alone (P7).
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { signsEverything } from '../../src/sim/adversaries/nodes.ts';
import { gatherReceipts } from '../../src/sim/adversaries/writers.ts';
import { COUNTER_STEP_MAX } from '../../src/protocol/stamp.ts';
import { committed, contentOf, getBytes, put, sameBytes } from '../world/client-world.ts';
import { idOf } from '../../src/sim/adversaries/raw-writer.ts';
import type { RawWriter } from '../../src/sim/adversaries/raw-writer.ts';
import { ALL, CORRECT, LIAR, Scene } from './scene.ts';

let scene: Scene;
let raw: RawWriter;
beforeAll(async () => {
  scene = await Scene.start();
  raw = scene.raw;
});
afterEach(() => scene.calm());
afterAll(() => scene.stop());

describe('a stolen key', () => {
  it.each([COUNTER_STEP_MAX + 1, 2 ** 40, Number.MAX_SAFE_INTEGER])(
    'I9 (trap H6): gets no certificate for counter %i of a new object, and moves nobody who writes it',
    async (counter) => {
      scene.world.interceptors.set(LIAR, signsEverything(scene.world, LIAR));
      const key = scene.freshKey();
      const huge = scene.writer(2, 'stolen').version({ key, counter });
      const receipts = await gatherReceipts(scene.writer(2, 'stolen'), huge, ALL);
      expect(receipts.map(({ slot }) => slot)).toEqual([LIAR]);
      const cert = scene.certificate(huge, receipts);
      if (cert !== null) await scene.takers(cert);
      scene.calm();
      const bytes = contentOf(key, 100);
      const { signed } = committed(await put(scene.client(0), scene.bucket, key, bytes));
      expect(signed.manifest.stamp.counter).toBe(1);
      expect(sameBytes(await getBytes(scene.client(1), key), bytes)).toBe(true);
    },
  );

  it('I9: gets no further than D with each version that it certifies, and a node that lags is shown the last one', async () => {
    const key = scene.freshKey();
    let prevCert: Uint8Array | undefined;
    for (let version = 1; version <= 3; version += 1) {
      const next = raw.version({ key, counter: version * COUNTER_STEP_MAX });
      const tooFar = raw.version({ key, counter: version * COUNTER_STEP_MAX + 1 });
      const ask = (slot: number, asked: typeof next) => raw.prepare(slot, asked, prevCert === undefined ? {} : { prevCert });
      expect(await gatherReceipts(raw, tooFar, CORRECT, ask)).toEqual([]);
      const receipts = await gatherReceipts(raw, next, CORRECT, ask);
      expect(receipts).toHaveLength(3);
      // On none of them: each step has to be shown.
      prevCert = raw.certificate(next, receipts);
    }
  });

  it('I9: gets no receipt in another generation than that of the bucket', async () => {
    const amend = (m: Parameters<typeof raw.sign>[0]) => ({ ...m, stamp: { ...m.stamp, gen: 2 } });
    expect(await gatherReceipts(raw, raw.version({ key: scene.freshKey(), counter: 1, amend }), CORRECT)).toEqual([]);
    // Nor does a bucket record have another than the first.
    const record = raw.record(2);
    const wrong = { ...record, signed: raw.sign({ ...record.signed.manifest, stamp: { ...record.signed.manifest.stamp, gen: 2 } }) };
    expect(wrong.signed.manifest.keyId).toEqual(idOf('bucket'));
    expect(await gatherReceipts(raw, wrong, CORRECT)).toEqual([]);
  });
});
