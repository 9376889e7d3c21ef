/**
 * I1, uniqueness: of one key and stamp at most one manifest is ever certified. Two quorums of receipts share
 * a correct node; it signs one manifest a stamp (P8), and none at or below what it has seen certified (P6) or
 * has promised never to sign.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { equivocation, gatherReceipts } from '../../src/sim/adversaries/writers.ts';
import { signsEverything, swearsNever } from '../../src/sim/adversaries/nodes.ts';
import { nodeKey } from '../../src/sim/adversaries/raw-writer.ts';
import { prove } from '../../src/sim/adversaries/stage.ts';
import type { RawVersion, RawWriter } from '../../src/sim/adversaries/raw-writer.ts';
import { receiptBodyOf } from '../../src/protocol/certificate.ts';
import type { CertReceipt } from '../../src/protocol/certificate.ts';
import { encodeReceipt } from '../../src/protocol/receipt.ts';
import { ALL, CORRECT, LIAR, Scene } from './scene.ts';

let scene: Scene;
let raw: RawWriter;
beforeAll(async () => {
  scene = await Scene.start();
  raw = scene.raw;
});
afterEach(() => scene.calm());
afterAll(() => scene.stop());

const byLiar = (): void => void scene.world.interceptors.set(LIAR, signsEverything(scene.world, LIAR));
const ofCorrect = (receipts: readonly CertReceipt[]): number[] => receipts.map(({ slot }) => slot).filter((slot) => slot !== LIAR);

describe('two manifests under one stamp', () => {
  it('I1: at most one of them gets a certificate, though a node signs everything', async () => {
    byLiar();
    const key = scene.freshKey();
    const [one, other] = equivocation(raw, key, 1);
    await gatherReceipts(raw, one, [0]);
    await gatherReceipts(raw, other, [1]);
    const certs: (Uint8Array | null)[] = [];
    for (const version of [one, other]) certs.push(scene.certificate(version, await gatherReceipts(raw, version, ALL)));
    expect(certs.map((cert) => cert !== null)).toEqual([true, false]);
    for (const cert of certs) if (cert !== null) await scene.takers(cert);
    for (const slot of CORRECT) expect(await scene.shown(slot, key)).toEqual(one.signed.manifest.stamp);
  });

  it('I1: nor is it more than one when both come at the same moment', async () => {
    byLiar();
    for (let round = 0; round < 4; round += 1) {
      const both = equivocation(raw, scene.freshKey(), 1);
      const receipts = await Promise.all(both.map((version) => gatherReceipts(raw, version, ALL)));
      const [one = [], other = []] = receipts.map(ofCorrect);
      expect(one.filter((slot) => other.includes(slot))).toEqual([]);
      expect([...one, ...other].sort()).toEqual(CORRECT);
    }
  });

  it('I1 (trap H5): the stamp of a version that was overwritten and collected is never signed again', async () => {
    byLiar();
    const key = scene.freshKey();
    const [one, other] = equivocation(raw, key, 1);
    await scene.write(one);
    await scene.write(raw.version({ key, counter: 2 }));
    await scene.collected(one);
    expect(ofCorrect(await gatherReceipts(raw, other, ALL))).toEqual([]);
    // The key lives on all the same.
    expect(ofCorrect(await gatherReceipts(raw, raw.version({ key, counter: 3 }), ALL))).toEqual(CORRECT);
  });
});

describe('a certificate', () => {
  /** Receipts that one correct node and the lying one can make between them. */
  async function dishonest(kind: string, version: RawVersion): Promise<CertReceipt[]> {
    const honest = await gatherReceipts(raw, version, [0]);
    const own = raw.receiptOf(version, LIAR, 1);
    switch (kind) {
      case 'of two slots':
        return [...honest, own];
      case 'that counts one slot twice':
        return [...honest, own, raw.receiptOf(version, LIAR, 2)];
      default:
        return [...honest, own, forged(version, 1), forged(version, 2)];
    }
  }

  /** A receipt of another slot, signed with the liar's key. */
  function forged({ signed }: RawVersion, slot: number): CertReceipt {
    const nodeId = scene.world.cluster.slotAt(slot)?.nodeId ?? new Uint8Array(32);
    const body = encodeReceipt(receiptBodyOf(signed, nodeId, { slot, incarnation: 1, logIndex: 1 }));
    return { slot, incarnation: 1, logIndex: 1, proof: prove(scene.world.cluster, nodeKey(LIAR), 'receipt', body) };
  }

  it.each(['of two slots', 'that counts one slot twice', 'with forged receipts'])(
    'I1: %s is taken by no node and no reader',
    async (kind) => {
      const version = raw.version({ key: scene.freshKey(), counter: 1 });
      const cert = raw.certificate(version, await dishonest(kind, version));
      expect(await scene.takers(cert)).toEqual([]);
      expect(scene.client(1).client.openCertificate(cert).ok).toBe(false);
      // Honest receipts of the same manifest are.
      const honest = raw.certificate(version, await raw.receipts(version, CORRECT));
      expect(await scene.takers(honest)).toEqual(CORRECT);
      expect(scene.client(1).client.openCertificate(honest).ok).toBe(true);
    },
  );
});

describe('a certificate of a manifest that its writer did not sign', () => {
  it('I1: is taken by no node and no reader, though its receipts are honest', async () => {
    const version = raw.version({ key: scene.freshKey(), counter: 1 });
    const receipts = await raw.receipts(version, CORRECT);
    const forged = raw.certificate({ ...version, signed: raw.sign(version.signed.manifest, nodeKey(LIAR)) }, receipts);
    expect(await scene.takers(forged)).toEqual([]);
    expect(scene.client(1).client.openCertificate(forged).ok).toBe(false);
    expect(await scene.takers(raw.certificate(version, receipts))).toEqual(CORRECT);
  });
});

describe('a stamp that was released', () => {
  it.each(['at once', 'after restarts'])('I1: is not certified by a PREPARE that comes late, %s', async (when) => {
    scene.world.interceptors.set(LIAR, swearsNever(scene.world, LIAR));
    const version = raw.version({ key: scene.freshKey(), counter: 1 });
    const { keyId, stamp } = version.signed.manifest;
    expect(ofCorrect(await gatherReceipts(raw, version, [0]))).toEqual([0]);
    expect(await scene.client(0).client.resolve(keyId, stamp, 'release')).toMatchObject({ outcome: 'released' });
    byLiar();
    if (when === 'after restarts') for (const slot of CORRECT) await scene.reborn(slot);
    expect(ofCorrect(await gatherReceipts(raw, version, ALL))).toEqual([]);
    // Not even of another manifest: the promise is about the stamp.
    const other = raw.version({ key: 'k', counter: 1, content: 'other', amend: (m) => ({ ...m, keyId }) });
    expect(ofCorrect(await gatherReceipts(raw, other, ALL))).toEqual([]);
  });
});
