/**
 * I2, decodability: of the highest certified version at least k correct nodes hold their cells. Of q receipts
 * at least n - 2f >= k come from correct nodes, each with its content durable and bound; the bond ends by a
 * certificate with a higher stamp or by an abort licence, which no certified version can get.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { acknowledgesEverything, failing, signsEverything, swearsNever } from '../../src/sim/adversaries/nodes.ts';
import { gatherReceipts, withFewerStripes, withoutContent, withOtherRows, withWrongCells } from '../../src/sim/adversaries/writers.ts';
import type { Asking } from '../../src/sim/adversaries/writers.ts';
import { encode } from '../../src/protocol/encoding.ts';
import type { CertReceipt } from '../../src/protocol/certificate.ts';
import { checkGeometry } from '../../src/protocol/quorum.ts';
import { committed, contentOf, getBytes, put, sameBytes } from '../world/client-world.ts';
import { all } from '../../src/sim/adversaries/liars.ts';
import { nodeKey } from '../../src/sim/adversaries/raw-writer.ts';
import { prove } from '../../src/sim/adversaries/stage.ts';
import type { RawVersion, RawWriter } from '../../src/sim/adversaries/raw-writer.ts';
import { makeCluster, seededKey } from '../../src/sim/members.ts';
import { ALL, CORRECT, LIAR, Scene } from './scene.ts';

let scene: Scene;
let raw: RawWriter;
beforeAll(async () => {
  scene = await Scene.start();
  raw = scene.raw;
});
afterEach(() => scene.calm());
afterAll(() => scene.stop());

const K = 2;
const ofCorrect = (receipts: readonly CertReceipt[]): number[] => receipts.map(({ slot }) => slot).filter((slot) => slot !== LIAR);
const byLiar = (): void =>
  void scene.world.interceptors.set(LIAR, all(signsEverything(scene.world, LIAR), swearsNever(scene.world, LIAR)));

/** If these receipts make a certificate, then k correct nodes give their cells of the version. */
async function expectKept(version: RawVersion, receipts: readonly CertReceipt[]): Promise<'certified' | 'nothing'> {
  const cert = scene.certificate(version, receipts);
  if (cert === null) return 'nothing';
  await scene.takers(cert);
  expect((await scene.holders(version)).length).toBeGreaterThanOrEqual(K);
  return 'certified';
}

describe('a k above n-2f', () => {
  it('I2: is in no configuration', () => {
    const keys = ALL.map((i) => ({ signing: seededKey(`node ${i}`), tls: seededKey(`node tls ${i}`) }));
    expect(() => makeCluster(keys, [], { f: 1, k: 2 })).not.toThrow();
    expect(() => makeCluster(keys, [], { f: 1, k: 3 })).toThrow('k <= n-2f');
    for (let n = 4; n <= 16; n += 1) {
      const f = Math.floor((n - 1) / 3);
      expect(checkGeometry(n, f, n - 2 * f).ok).toBe(true);
      expect(checkGeometry(n, f, n - 2 * f + 1).ok).toBe(false);
    }
  });

  const tooBig = (key: string): RawVersion => raw.version({ key, counter: 1, amend: (m) => ({ ...m, k: K + 1 }) });

  it('I2: gets no receipt, though its bucket allows it', async () => {
    // A single cell says nothing of k: the version is right in all but that.
    const version = raw.version({ key: scene.freshKey(), counter: 1, size: 40, cellBytes: 64 });
    expect(ofCorrect(await gatherReceipts(raw, version, CORRECT))).toEqual(CORRECT);
    const { signed } = version;
    const wide = { ...version, signed: raw.sign({ ...signed.manifest, k: K + 1, stamp: raw.stamp(2) }) };
    expect(ofCorrect(await gatherReceipts(raw, wide, CORRECT))).toEqual([]);
  });

  it('I2: is in no valid certificate, whoever signed it', async () => {
    const version = tooBig(scene.freshKey());
    const cert = raw.certificate(version, ALL.map((slot) => raw.receiptOf(version, slot, 1_000_000)));
    expect(scene.client(1).client.openCertificate(cert)).toMatchObject({ ok: false, reason: 'geometry not allowed' });
  });
});

describe('a writer that gives its cells to one node only', () => {
  const cheats: readonly (readonly [string, (writer: RawWriter) => Asking, number])[] = [
    ['nothing', withoutContent, 1000],
    ['cells that do not match their row', withWrongCells, 1000],
    ['rows that the manifest does not name', withOtherRows, 1000],
    ['fewer stripes than the manifest names', withFewerStripes, 7000],
  ];
  it.each(cheats)('I2: and %s to the others, gets no certificate', async (_what, cheat, size) => {
    byLiar();
    const version = raw.version({ key: scene.freshKey(), counter: 1, size });
    const receipts = [
      ...(await gatherReceipts(raw, version, [0, LIAR])),
      ...(await gatherReceipts(raw, version, [1, 2], cheat(raw))),
    ];
    expect(await expectKept(version, receipts)).toBe('nothing');
    expect(await expectKept(version, await gatherReceipts(raw, version, ALL))).toBe('certified');
  });
});

describe('a receipt', () => {
  it('I2 (trap H4): binds however long the certificate is held back, over garbage collection and restarts', async () => {
    byLiar();
    const version = raw.version({ key: scene.freshKey(), counter: 1, size: 7000 });
    const receipts = await gatherReceipts(raw, version, [0, 1, LIAR]);
    await scene.rounds();
    for (const slot of [0, 1]) await scene.reborn(slot);
    await scene.rounds();
    expect(await expectKept(version, receipts)).toBe('certified');
  });
});

describe('an abort licence', () => {
  /** Certified by two correct nodes and the lying one, in the hands of an enemy; node 2 never heard of it. */
  async function heldBack(): Promise<{ readonly version: RawVersion; readonly receipts: CertReceipt[] }> {
    byLiar();
    const version = raw.version({ key: scene.freshKey(), counter: 1 });
    const receipts = await gatherReceipts(raw, version, [0, 1, LIAR]);
    expect(scene.certificate(version, receipts)).not.toBeNull();
    return { version, receipts };
  }

  it('I2: is not to be had for a certified version, though a node that signed it swears that it did not', async () => {
    const { version, receipts } = await heldBack();
    const { keyId, stamp } = version.signed.manifest;
    const { client } = scene.client(1);
    expect(await client.resolve(keyId, stamp, 'release')).toEqual({ outcome: 'undecided', answered: 4, prepared: 2 });
    await scene.rounds();
    expect(await expectKept(version, receipts)).toBe('certified');
  });

  it.each(['too few statements', 'statements that others did not sign'])('I2: of %s lets no node go', async (kind) => {
    const { version, receipts } = await heldBack();
    const { keyId, stamp } = version.signed.manifest;
    const never = (slot: number, signer: number) => {
      const body = encode({ v: 1, keyId, stamp, slot, epoch: 1, prepared: null });
      return { body, proof: prove(scene.world.cluster, nodeKey(signer), 'resolution', body) };
    };
    const resolutions = kind === 'too few statements' ? [never(2, 2), never(LIAR, LIAR)] : ALL.map((slot) => never(slot, LIAR));
    for (const slot of [0, 1]) expect((await raw.ask(slot, { t: 'ABORT', keyId, stamp, resolutions })).ok).toBe(false);
    await scene.rounds();
    expect(await expectKept(version, receipts)).toBe('certified');
  });
});

describe('a read', () => {
  it.each([
    [[0, 1], LIAR],
    [[2, 3], 0],
    [[1, 2], 0],
  ] as const)('I2 (trap H2): finds the k cells where they are, on %j', async (holders, liar) => {
    const own = await Scene.start();
    try {
      const { world } = own;
      const bytes = contentOf(`pair ${holders.join()}`, 50_000);
      const lacking = ALL.filter((slot) => slot !== liar && !(holders as readonly number[]).includes(slot));
      world.interceptors.set(liar, all(signsEverything(world, liar), acknowledgesEverything(world, liar)));
      for (const slot of lacking) world.interceptors.set(slot, failing('PREPARE'));
      committed(await put(own.client(0), own.bucket, 'k', bytes));
      for (const slot of lacking) world.interceptors.delete(slot);
      expect(sameBytes(await getBytes(own.client(1), 'k'), bytes)).toBe(true);
    } finally {
      await own.stop();
    }
  });
});
