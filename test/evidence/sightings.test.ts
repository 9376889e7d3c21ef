/**
 * Evidence that nodes and clients come by because what members sign passes them anyway: pairs of manifests,
 * receipts, proposals and configurations, receipts that nobody may give, evictions of what is locked.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EMPTY } from '../../src/base/bytes.ts';
import type { VersionLock } from '../../src/client/slot-write.ts';
import { decodeEvidence, encodeEvidence } from '../../src/evidence/evidence.ts';
import { nameOf } from '../../src/evidence/finding.ts';
import type { Proof } from '../../src/evidence/finding.ts';
import { judgeEvidence } from '../../src/evidence/judge.ts';
import { configStatement, encodeConfiguration, openRootConfiguration, sealConfiguration } from '../../src/protocol/configuration.ts';
import { encodeRefused } from '../../src/protocol/messages.ts';
import { requestIn, slow } from '../../src/sim/adversaries/nodes.ts';
import { RawSlots } from '../../src/sim/adversaries/raw-slots.ts';
import { idOf } from '../../src/sim/adversaries/raw-writer.ts';
import { evictsLocked } from '../../src/sim/adversaries/rewritten-log.ts';
import { acceptsTwo, acceptsUnlawful } from '../../src/sim/adversaries/signed-lies.ts';
import type { Interceptor } from '../../src/sim/adversaries/stage.ts';
import { equivocation } from '../../src/sim/adversaries/writers.ts';
import { seededKey } from '../../src/sim/members.ts';
import { bytesContent, committed, contentOf, getBytes, keyIdOf, nextOpId, put, sameBytes } from '../world/client-world.ts';
import { CORRECT, LIAR, Scene } from '../invariants/scene.ts';

let scene: Scene;
beforeEach(async () => {
  scene = await Scene.start();
});
afterEach(() => scene.stop());

/** What is proven by these, as a stranger with the root document reads it. */
function proven(proofs: readonly Proof[]): readonly string[] {
  const root = openRootConfiguration(scene.world.cluster.document);
  if (!root.ok) throw new Error(root.reason);
  return proofs.map((proof) => {
    const read = decodeEvidence(encodeEvidence(proof.evidence));
    const verdict = read.ok ? judgeEvidence(root.cluster, read.value, Date.now()) : null;
    return verdict?.proven === true ? `${proof.evidence.type} ${nameOf(verdict.finding.accused).replace(/-[0-9a-f]{16}$/, '')}` : 'nothing';
  });
}

/** The liar is heard first. */
function liarFirst(lie: Interceptor): void {
  for (const slot of CORRECT) scene.world.interceptors.set(slot, slow(scene.world, 20));
  scene.world.interceptors.set(LIAR, lie);
}

/** Writes through slots, in a generation of the bucket of their own. */
async function serialised(lock: boolean = false) {
  const { raw } = scene;
  const own = raw.record(2, { v: 2, mode: 'SERIALISED', gen: 2, lock, ...(lock ? { versioning: 'ENABLED' as const } : {}) });
  const recordCert = await raw.write(own);
  const { stamp } = own.signed.manifest;
  raw.under(stamp);
  return { ...scene.bucket, gen: 2, stamp, recordCert };
}

describe('a node', () => {
  it('E1: proves that a writer signed two manifests for one stamp', async () => {
    const [one, other] = equivocation(scene.raw, 'k', 1);
    expect(await scene.raw.prepare(0, one)).toMatchObject({ ok: true });
    expect(await scene.raw.prepare(0, other)).toMatchObject({ ok: false });
    expect(proven(scene.world.evidence)).toEqual(['E1 writer']);
  });

  it('E1: proves it also when it accepted the first one in an earlier life', async () => {
    const [one, other] = equivocation(scene.raw, 'k', 1);
    expect(await scene.raw.prepare(0, one)).toMatchObject({ ok: true });
    await scene.reborn(0);
    expect(await scene.raw.prepare(0, other)).toMatchObject({ ok: false });
    expect(proven(scene.world.evidence)).toEqual(['E1 writer']);
  });

  it('E11: proves that a gateway proposed two manifests in one ballot', async () => {
    await serialised();
    const slots = new RawSlots(scene.raw);
    const [one, other] = [1, 2].map((counter) => slots.version({ key: 'k', counter, amend: (m) => ({ ...m, stamp: { ...m.stamp, gen: 2 } }) }));
    if (one === undefined || other === undefined) throw new Error('there are two');
    expect(await slots.propose(0, one, 3)).toMatchObject({ ok: true });
    expect(await slots.propose(0, one, 4)).toMatchObject({ ok: true });
    expect(proven(scene.world.evidence)).toEqual([]);
    expect(await slots.propose(0, other, 4)).toMatchObject({ ok: false });
    expect(proven(scene.world.evidence)).toEqual(['E11 writer']);
  });
});

describe('a client', () => {
  it('E2: proves that a node gave receipts for two manifests of one stamp', async () => {
    const client = scene.client(0);
    liarFirst(acceptsTwo(scene.world, LIAR));
    const bytes = contentOf('twice', 100);
    committed(await put(client, scene.bucket, 'twice', bytes));
    expect(sameBytes(await getBytes(client, 'twice'), bytes)).toBe(true);
    expect(proven(client.evidence)).toEqual([`E2 node-${LIAR}`]);
  });

  it('E12: proves that a node gave a receipt that nobody may give, though it has none of the liar\'s besides', async () => {
    committed(await put(scene.client(0), scene.bucket, 'unlawful', contentOf('unlawful', 100)));
    liarFirst(acceptsUnlawful(scene.world, LIAR));
    const reader = scene.client(1);
    await reader.client.head(keyIdOf('unlawful'));
    expect(proven(reader.evidence)).toEqual([`E12 node-${LIAR}`]);
  });

  it('E9: proves that the admins signed two configurations of one epoch, and no less than that', async () => {
    const { cluster } = scene.world;
    const sealed = (notBefore: number, admin: string): Uint8Array => {
      const body = encodeConfiguration({ ...cluster.config, epoch: 2, prevHash: cluster.hash, notBefore });
      const key = seededKey(admin);
      return sealConfiguration(body, [{ admin: key.publicKey, signature: key.sign(configStatement(cluster.id, body)) }]);
    };
    const shows = (document: Uint8Array): Interceptor => (honest, frame) =>
      requestIn(frame)?.t === 'PREPARE' ? Promise.resolve({ body: encodeRefused({ code: 'CONFIG_STALE', reason: 'later', document }), payload: EMPTY }) : honest(frame);
    const client = scene.client(0);
    for (const document of [sealed(1, 'admin'), sealed(1, 'admin'), sealed(2, 'mallory'), cluster.document]) {
      liarFirst(shows(document));
      committed(await put(client, scene.bucket, scene.freshKey(), contentOf('stale', 100)));
    }
    expect(proven(client.evidence)).toEqual([]);
    liarFirst(shows(sealed(2, 'admin')));
    committed(await put(client, scene.bucket, scene.freshKey(), contentOf('stale', 100)));
    expect(proven(client.evidence)).toEqual(['E9 admins']);
  });

  it('E7: proves that a node let go of what COMPLIANCE bids it keep', async () => {
    const bucket = await serialised(true);
    const client = scene.client(0);
    const follower = client.client.follow(() => undefined);
    scene.world.interceptors.set(LIAR, evictsLocked(scene.world, LIAR));
    const follow = async (): Promise<void> => {
      for (const slot of [LIAR, ...CORRECT]) expect(await follower.fresh(slot)).toMatchObject({ ok: true });
    };
    const write = async (key: string, lock: { readonly lock?: VersionLock }): Promise<void> => {
      const about = { bucket, keyId: idOf(key), opId: nextOpId(), content: bytesContent(contentOf(key, 50)).content, needsCertified: false, predecessor: null };
      expect(await client.client.writeSlot({ ...about, decide: () => Promise.resolve({ removes: [], ...lock }) })).toMatchObject({ outcome: 'committed' });
    };
    await follow();
    await write('locked', { lock: { mode: 'COMPLIANCE', retainUntil: Date.now() + 365 * 24 * 3_600_000, legalHold: false } });
    await write('another', {});
    await follow();
    expect(proven(client.evidence).filter((one) => !one.startsWith('E4'))).toEqual([`E7 node-${LIAR}`]);
  });
});
