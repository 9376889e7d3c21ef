/**
 * A stolen writer is revoked (docs/key-compromise.md): once n-f nodes hold what the admins signed, nothing new
 * by it is ever certified, also with f liars on its side; the work of others goes on.
 */
import { afterEach, describe, expect, it } from 'vitest';
import { EMPTY, hex, utf8 } from '../../src/base/bytes.ts';
import { CHANGES_LEAVES_MAX } from '../../src/base/limits.ts';
import type { BucketAuthority } from '../../src/client/write.ts';
import { Cluster } from '../../src/protocol/configuration.ts';
import { decodeEntry } from '../../src/log/entry-types.ts';
import { decodeRevokedEntry } from '../../src/protocol/log-entries.ts';
import { signedManifestToWire } from '../../src/protocol/manifest.ts';
import { encodeAnswer } from '../../src/protocol/messages.ts';
import { quorumSize } from '../../src/protocol/quorum.ts';
import { encodeRepairAuthority, repairAuthorityFault } from '../../src/protocol/repair-authority.ts';
import { StatementVerifier } from '../../src/protocol/statement.ts';
import { decodeReceipt } from '../../src/protocol/receipt.ts';
import { encodeRevocation, encodeRevoked, openEffectiveRevocation, revocationStatement, sealRevocation } from '../../src/protocol/revocation.ts';
import type { Revocation } from '../../src/protocol/revocation.ts';
import { encodeStagedReceipts } from '../../src/protocol/slot.ts';
import { requestIn } from '../../src/sim/adversaries/nodes.ts';
import { RawSlots } from '../../src/sim/adversaries/raw-slots.ts';
import { idOf, RawWriter } from '../../src/sim/adversaries/raw-writer.ts';
import { prove } from '../../src/sim/adversaries/stage.ts';
import type { Interceptor } from '../../src/sim/adversaries/stage.ts';
import { seededKey } from '../../src/sim/members.ts';
import { clientOf, committedSlot, contentOf, getBytes, keyIdOf, putRecord, putSlot, recordOf, sameBytes } from '../world/client-world.ts';
import type { TestClient } from '../world/client-world.ts';
import { World } from '../world/world.ts';

const THIEF = 0;
const GOOD = 1;
const LIAR = 0;

let world: World | undefined;
const clients: TestClient[] = [];
afterEach(async () => {
  for (const { client } of clients.splice(0)) await client.close();
  await world?.stop();
  world = undefined;
});

interface Scene {
  readonly world: World;
  readonly thief: TestClient;
  readonly good: TestClient;
  readonly bucket: BucketAuthority;
}

async function scene(options: Parameters<typeof World.start>[0] = {}, commitMs: number = 20_000): Promise<Scene> {
  world = await World.start({ n: 4, f: 1, k: 2, writers: 3, ...options });
  const thief = clientOf(world, THIEF, { deadlines: { prepareMs: 2_000 } });
  const good = clientOf(world, GOOD, { deadlines: { commitMs } });
  clients.push(thief, good);
  const bucket = await putRecord(world, good, recordOf(world, 'bucket', { v: 2, mode: 'SERIALISED' }));
  return { world, thief, good, bucket };
}

function statement(of: World, amend: Partial<Revocation> = {}, admins: readonly string[] = ['admin']): Uint8Array {
  const gatewayId = of.writers[THIEF]?.gatewayId ?? EMPTY;
  const body = encodeRevocation({ v: 1, clusterId: of.cluster.id, epoch: 1, gatewayId, atMs: 1_000, ...amend });
  const bytes = revocationStatement(of.cluster.id, body);
  return sealRevocation(body, admins.map((name) => ({ admin: seededKey(name).publicKey, signature: seededKey(name).sign(bytes) })));
}

/** Indexes of the entries in a node's log by which it revoked the thief, and by which it accepted manifests of a session. */
async function logOf({ world: of }: Scene, slot: number, writerId: Uint8Array): Promise<{ revoked: number[]; accepted: number[] }> {
  const asker = new RawWriter(of, 2, 'reader');
  const found = { revoked: [] as number[], accepted: [] as number[] };
  for (let from = 0; ; ) {
    const answer = await asker.ask(slot, { t: 'CHANGES', from, to: from + CHANGES_LEAVES_MAX });
    if (!answer.ok) throw new Error(answer.refused.reason);
    const { leaves } = answer.answer;
    if (leaves.length === 0) return found;
    for (const [i, leaf] of leaves.entries()) {
      const entry = decodeEntry(leaf);
      if (entry?.type === 'REVOKED' && decodeRevokedEntry(entry.body).ok) found.revoked.push(from + i);
      const receipt = entry?.type === 'PREPARED' ? decodeReceipt(entry.body) : null;
      if (receipt?.ok === true && hex(receipt.value.stamp.writerId) === hex(writerId)) found.accepted.push(from + i);
    }
    from += leaves.length;
  }
}

/** Goes on with the thief as if nothing were, and says that it took the revocation in. */
function obeysThief(of: World, slot: number): Interceptor {
  const config = of.cluster.slotAt(slot);
  if (config === undefined) throw new Error(`no slot ${slot}`);
  return (honest, frame) => {
    const request = requestIn(frame);
    if (request?.t !== 'REVOKE') return honest(frame);
    const at = { statementHash: idOf('any'), incarnation: 1, logIndex: 3 };
    const body = encodeRevoked({ v: 1, gatewayId: of.writers[THIEF]?.gatewayId ?? EMPTY, slot, nodeId: config.nodeId, epoch: 1, ...at });
    const proof = prove(of.cluster, of.nodeKey(slot), 'revoked', body);
    return Promise.resolve({ body: encodeAnswer('REVOKE', { ...at, proof }), payload: EMPTY });
  };
}

describe('a revoked writer', () => {
  it('gets nothing certified any more, while other writers write and its old versions are read', async () => {
    const s = await scene();
    const before = contentOf('before', 5_000);
    committedSlot(await putSlot(s.thief, s.bucket, 'old', before));
    expect(await s.good.client.revoke(statement(s.world))).toMatchObject({ inForce: true });

    const late = await putSlot(s.thief, s.bucket, 'new', contentOf('late', 5_000));
    expect(late).toMatchObject({ outcome: 'rejected', error: { code: 'REFUSED', message: expect.stringContaining('revoked') as string } });
    const raw = new RawWriter(s.world, THIEF, 'thief');
    for (const slot of s.world.nodes.keys()) {
      const answer = await raw.ask(slot, { t: 'QUERY', keyId: keyIdOf('old'), cell0: false, seen: null });
      expect(answer).toMatchObject({ ok: false, refused: { code: 'REVOKED' } });
      expect(answer.ok ? null : hex(answer.refused.document ?? EMPTY)).toBe(hex(statement(s.world)));
    }

    expect(sameBytes(await getBytes(s.good, 'old'), before)).toBe(true);
    committedSlot(await putSlot(s.good, s.bucket, 'old', contentOf('after', 6_000)));
    expect(await s.good.client.revocations()).toMatchObject([{ atMs: 1_000, slots: [0, 1, 2, 3] }]);
  });

  it('stays revoked when nodes restart, from their journal and from a snapshot', async () => {
    const s = await scene();
    await s.good.client.revoke(statement(s.world));
    // They must know it themselves: the others tell them nothing.
    for (const slot of s.world.nodes.keys()) {
      s.world.interceptors.set(slot, (honest, frame) =>
        requestIn(frame)?.t === 'REVOCATIONS' ? Promise.resolve({ body: encodeAnswer('REVOCATIONS', { documents: [] }), payload: EMPTY }) : honest(frame),
      );
    }
    await s.world.kill(1);
    await s.world.restart(1);
    await s.world.stopNode(2);
    await s.world.restart(2);
    const thief = new RawWriter(s.world, THIEF, 'thief');
    for (const slot of [1, 2]) {
      expect(s.world.nodes.get(slot)?.status().state).toBe('SERVING');
      expect(await thief.ask(slot, { t: 'CHANGES', from: 0, to: 1 })).toMatchObject({ ok: false, refused: { code: 'REVOKED' } });
    }
  });

  it('is refused by a node that was down meanwhile, from the moment it serves again', async () => {
    const s = await scene();
    await s.world.kill(3);
    const { inForce, held } = await s.good.client.revoke(statement(s.world));
    expect({ inForce, held: [...held.keys()].sort() }).toEqual({ inForce: true, held: [0, 1, 2] });
    await s.world.restart(3);
    const thief = new RawWriter(s.world, THIEF, 'thief');
    expect(await thief.ask(3, { t: 'CHANGES', from: 0, to: 1 })).toMatchObject({ ok: false, refused: { code: 'REVOKED' } });
  });

  it('is shown by a gateway to a node that missed it', async () => {
    const s = await scene({ tuning: { timeMs: 3_600_000 } });
    s.world.interceptors.set(3, (honest, frame) => {
      return requestIn(frame)?.t === 'REVOKE' ? Promise.reject(new Error('lost')) : honest(frame);
    });
    expect((await s.good.client.revoke(statement(s.world))).inForce).toBe(true);
    s.world.interceptors.clear();
    expect(await s.good.client.spreadRevocations()).toHaveLength(1);
    const thief = new RawWriter(s.world, THIEF, 'thief');
    expect(await thief.ask(3, { t: 'CHANGES', from: 0, to: 1 })).toMatchObject({ ok: false, refused: { code: 'REVOKED' } });
  });

  it('is not in force while fewer than n-f nodes have it', async () => {
    const s = await scene({}, 500);
    await s.world.kill(2);
    await s.world.kill(3);
    expect(await s.good.client.revoke(statement(s.world))).toMatchObject({ inForce: false });
  });

  it('is not helped by f liars: no certificate of it forms', async () => {
    const s = await scene();
    s.world.interceptors.set(LIAR, obeysThief(s.world, LIAR));
    expect((await s.good.client.revoke(statement(s.world))).inForce).toBe(true);
    const thief = new RawSlots(new RawWriter(s.world, THIEF, 'thief'));
    thief.raw.under(s.bucket.stamp);
    const bucketId = s.bucket.bucketId;
    const version = thief.version({ key: 'loot', counter: 1, amend: (m) => ({ ...m, bucketId }) });
    const answers = await Promise.all([...s.world.nodes.keys()].map((slot) => thief.propose(slot, version, 1)));
    // One of the n-f words was the liar's: a correct node may not have heard yet.
    expect(answers.filter(({ ok }) => ok).length).toBeLessThan(quorumSize(s.world.cluster.geometry));
    await s.good.client.spreadRevocations();
    const again = thief.version({ key: 'more loot', counter: 1, amend: (m) => ({ ...m, bucketId }) });
    for (const slot of [1, 2, 3]) expect(await thief.propose(slot, again, 1)).toMatchObject({ ok: false, refused: { code: 'REVOKED' } });
  });

  it('gets nothing done by a good writer to whom a liar shows its new manifest as accepted', async () => {
    const s = await scene();
    const thief = new RawSlots(new RawWriter(s.world, THIEF, 'thief'));
    thief.raw.under(s.bucket.stamp);
    const bucketId = s.bucket.bucketId;
    expect((await s.good.client.revoke(statement(s.world))).inForce).toBe(true);
    const planted = thief.version({ key: 'planted', counter: 1, amend: (m) => ({ ...m, bucketId, keyId: keyIdOf('planted') }) });
    let shown = 0;
    s.world.interceptors.set(LIAR, async (honest, frame) => {
      const request = requestIn(frame);
      if (request?.t !== 'PROMISE') return honest(frame);
      await honest(frame);
      shown += 1;
      const accepted = { manifest: signedManifestToWire(planted.signed), proposal: thief.proposal(planted, 1), staged: encodeStagedReceipts([]) };
      return { body: encodeAnswer('PROMISE', { accepted }), payload: planted.body };
    });
    // One of the others is late, so that the liar's answer is among those that count.
    s.world.interceptors.set(3, async (honest, frame) => {
      if (requestIn(frame)?.t === 'PROMISE') await s.world.clock.sleep(300);
      return honest(frame);
    });
    const own = contentOf('own', 100);
    committedSlot(await putSlot(s.good, s.bucket, 'planted', own));
    expect(shown).toBeGreaterThan(0);
    expect(sameBytes(await getBytes(s.good, 'planted'), own)).toBe(true);
    for (const slot of [1, 2, 3]) expect((await logOf(s, slot, thief.raw.writerId)).accepted).toEqual([]);
  });

  it('may still have completed what correct nodes had accepted before', async () => {
    const s = await scene();
    const thief = new RawSlots(new RawWriter(s.world, THIEF, 'thief'));
    thief.raw.under(s.bucket.stamp);
    const bucketId = s.bucket.bucketId;
    const early = thief.version({ key: 'early', counter: 1, amend: (m) => ({ ...m, bucketId, keyId: keyIdOf('early') }) });
    for (const slot of s.world.nodes.keys()) expect(await thief.propose(slot, early, 1)).toMatchObject({ ok: true });
    expect((await s.good.client.revoke(statement(s.world))).inForce).toBe(true);
    // Its certificate may exist, so the good writer must not pass it over.
    const { signed } = committedSlot(await putSlot(s.good, s.bucket, 'early', contentOf('own', 100)));
    expect(signed.manifest.slot?.prev).toEqual(early.signed.hash);
  });

  it('loses its race under load: nothing of it is accepted after the revocation stands in a log', async () => {
    const s = await scene();
    let stop = false;
    const outcomes = { thief: [] as string[], good: [] as string[] };
    const load = async (name: 'thief' | 'good'): Promise<void> => {
      for (let i = 0; !stop; i += 1) {
        const content = contentOf(`${name} ${i}`, i % 2 === 0 ? 100 : 5_000);
        const { outcome } = await putSlot(s[name], s.bucket, `${name} ${i}`, content);
        outcomes[name].push(outcome);
        // A refusal in memory costs no time, and would leave none to others.
        await s.world.clock.sleep(1);
      }
    };
    const running = [load('thief'), load('good')];
    const reach = async (name: 'thief' | 'good', count: number): Promise<void> => {
      while (outcomes[name].length < count) await s.world.clock.sleep(5);
    };
    await Promise.all([reach('thief', 5), reach('good', 5)]);
    expect((await s.good.client.revoke(statement(s.world))).inForce).toBe(true);
    const at = { thief: outcomes.thief.length, good: outcomes.good.length };
    await Promise.all([reach('thief', at.thief + 5), reach('good', at.good + 5)]);
    stop = true;
    await Promise.all(running);
    // The one under way may have had its receipts before.
    expect(new Set(outcomes.thief.slice(at.thief + 1))).toEqual(new Set(['rejected']));
    expect(new Set(outcomes.good)).toEqual(new Set(['committed']));
    const [{ writerId }] = [(await s.good.client.head(keyIdOf('thief 0')))?.stamp ?? { writerId: EMPTY }];
    for (const slot of s.world.nodes.keys()) {
      const { revoked, accepted } = await logOf(s, slot, writerId);
      expect(revoked).toHaveLength(1);
      expect(accepted.length).toBeGreaterThan(0);
      expect(accepted.filter((index) => index > (revoked[0] ?? 0))).toEqual([]);
    }
  });
});

describe('the word of a revoked gateway', () => {
  it('lets no controller repair any more', async () => {
    const { world: of } = await scene();
    const [thief] = of.writers;
    if (thief === undefined) throw new Error('there is a writer');
    const controllerId = idOf('controller');
    const body = encodeRepairAuthority({ v: 1, controllerId, epoch: 1, notAfterMs: 1_000 });
    const authority = { body, proof: prove(of.cluster, thief.signingKey, 'repair-authority', body) };
    const verifier = new StatementVerifier(of.cluster.id);
    const fault = (revoked: readonly Uint8Array[]): string | null =>
      repairAuthorityFault(of.cluster, verifier, authority, controllerId, 500, (id) => revoked.some((other) => hex(other) === hex(id)));
    expect(fault([])).toBeNull();
    expect(fault([thief.gatewayId])).toMatch(/no gateway of the cluster has signed/);
  });
});

describe('a node refuses a revocation', () => {
  it.each([
    ['that no admin signed', (w: World) => statement(w, {}, []), /0 valid admin signatures/],
    ['that a stranger signed', (w: World) => statement(w, {}, ['stranger']), /0 valid admin signatures/],
    ['of another cluster', (w: World) => statement(w, { clusterId: idOf('another') }), /another cluster/],
    ['of another epoch', (w: World) => statement(w, { epoch: 2 }), /epoch 2/],
    ['of nobody it knows', (w: World) => statement(w, { gatewayId: idOf('nobody') }), /names no writer/],
    ['that is none', () => utf8('nothing'), /revocation/],
  ])('%s', async (_, make, reason) => {
    const s = await scene();
    const anyone = new RawWriter(s.world, 2, 'anyone');
    const answer = await anyone.ask(1, { t: 'REVOKE', document: make(s.world) });
    expect(answer).toMatchObject({ ok: false, refused: { code: 'BAD', reason: expect.stringMatching(reason) as string } });
  });

  it('that one of two admins signed twice', async () => {
    const { world: of } = await scene();
    const { config, document, hash, geometry } = of.cluster;
    const two = new Cluster({ ...config, admins: [...config.admins, seededKey('second').publicKey], m: 2 }, document, hash, geometry);
    expect(openEffectiveRevocation(two, statement(of, {}, ['admin', 'admin']))).toMatchObject({ ok: false, reason: expect.stringMatching(/^1 valid/) as string });
    expect(openEffectiveRevocation(two, statement(of, {}, ['admin', 'second']))).toMatchObject({ ok: true });
  });
});
