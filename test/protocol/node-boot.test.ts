/**
 * The boot check (protocol 9.5, 13.9): a node whose disk was put back to an older copy does not serve, however
 * it learns of it, and nobody's lies keep an honest node down.
 */
import { afterEach, describe, expect, it } from 'vitest';
import { EMPTY } from '../../src/base/bytes.ts';
import { logOrigin, signCheckpoint } from '../../src/log/checkpoint.ts';
import { encodeEntry } from '../../src/log/entry-types.ts';
import { ed25519Signer } from '../../src/log/signed-note.ts';
import { encodeBoot } from '../../src/protocol/log-entries.ts';
import { decodeRequest, encodeAnswer } from '../../src/protocol/messages.ts';
import type { AnswerOf } from '../../src/protocol/messages.ts';
import { FaultyDisk } from '../../src/sim/faulty-disk.ts';
import { nodeKey, RawWriter } from '../../src/sim/adversaries/raw-writer.ts';
import { prove } from '../../src/sim/adversaries/stage.ts';
import { clientOf } from '../world/client-world.ts';
import { World } from '../world/world.ts';
import type { Interceptor } from '../../src/sim/adversaries/stage.ts';

const NODE = 3;
const SMALL = { logSegmentBytes: 64 * 1024, cellSegmentBytes: 64 * 1024 };
const worlds: World[] = [];
afterEach(async () => {
  for (const world of worlds.splice(0)) await world.stop();
});

async function start(): Promise<{ readonly world: World; readonly writer: RawWriter; readonly disk: FaultyDisk }> {
  const disks = new Map([0, 1, 2, 3].map((slot) => [slot, new FaultyDisk()]));
  const world = await World.start({ n: 4, disks, tuning: { ...SMALL, peerTimeoutMs: 300 } });
  worlds.push(world);
  const writer = new RawWriter(world);
  await writer.openBucket();
  return { world, writer, disk: disks.get(NODE) as FaultyDisk };
}

/** What a liar answers to the boot questions of others; the rest is honest. */
function answering(claim: (honest: AnswerOf<'BOOT'>) => AnswerOf<'BOOT'>): Interceptor {
  return async (honest, frame) => {
    const request = decodeRequest(frame.body);
    if (!request.ok || request.value.t !== 'BOOT') return honest(frame);
    return { body: encodeAnswer('BOOT', claim({ cert: null, remembered: null, size: 0 })), payload: EMPTY };
  };
}

async function restartFrom(world: World, disk: FaultyDisk): Promise<void> {
  await world.kill(NODE);
  world.disks.set(NODE, disk);
  await world.restart(NODE);
}

describe('a storage node whose disk was put back', () => {
  it('to before a receipt that was certified, does not serve', async () => {
    const { world, writer, disk } = await start();
    await writer.write(writer.version({ key: 'a', counter: 1 }));
    const backup = disk.clone();
    await writer.write(writer.version({ key: 'b', counter: 1 }));
    await expect(restartFrom(world, backup)).rejects.toMatchObject({ code: 'LOST_STATE' });
    expect(world.lost.get(NODE)?.code).toBe('LOST_STATE');
    expect(await writer.prepare(NODE, writer.version({ key: 'c', counter: 1 }))).toMatchObject({ ok: false, refused: { code: 'LOST' } });
  });

  it('to before its last start, does not serve', async () => {
    const { world, disk } = await start();
    await world.kill(NODE);
    const backup = disk.clone();
    const next = disk.restartProcess();
    world.disks.set(NODE, next);
    await world.restart(NODE);
    await expect(restartFrom(world, backup)).rejects.toMatchObject({ code: 'LOST_STATE' });
  });

  it('is found out although one of the others lies for it', async () => {
    const { world, writer, disk } = await start();
    const backup = disk.clone();
    await writer.write(writer.version({ key: 'b', counter: 1 }));
    world.interceptors.set(0, answering((nothing) => nothing));
    await expect(restartFrom(world, backup)).rejects.toMatchObject({ code: 'LOST_STATE' });
  });

  it('is found out later by a certificate that only its writer had', async () => {
    const { world, writer, disk } = await start();
    const backup = disk.clone();
    const version = writer.version({ key: 'b', counter: 1 });
    const cert = writer.certificate(version, await writer.receipts(version, [1, 2, NODE]));
    await restartFrom(world, backup);
    await writer.hangUp(NODE);
    expect(await writer.commit(NODE, cert)).toMatchObject({ ok: false, refused: { code: 'LOST' } });
    expect(world.lost.get(NODE)?.code).toBe('LOST_STATE');
    expect(await writer.query(NODE, 'b')).toMatchObject({ ok: false, refused: { code: 'LOST' } });
  });

  it('and whose log has grown over the place since, is found out all the same', async () => {
    const { world, writer, disk } = await start();
    const backup = disk.clone();
    const version = writer.version({ key: 'b', counter: 1 });
    const cert = writer.certificate(version, await writer.receipts(version, [1, 2, NODE]));
    await restartFrom(world, backup);
    await writer.hangUp(NODE);
    for (let i = 0; i < 10; i += 1) await writer.receipts(writer.version({ key: `c ${i}`, counter: 1 }), [NODE]);
    expect(await writer.commit(NODE, cert)).toMatchObject({ ok: false, refused: { code: 'LOST' } });
    expect(world.lost.get(NODE)?.code).toBe('LOST_STATE');
  });

  it('is found out by a checkpoint that it signed for a gateway alone, which shows it what it signed', async () => {
    const { world, writer, disk } = await start();
    const backup = disk.clone();
    const lister = clientOf(world);
    try {
      const follower = lister.client.follow(() => undefined);
      // A receipt that is in no certificate: the others know nothing of it.
      const version = writer.version({ key: 'b', counter: 1 });
      await writer.receipts(version, [NODE]);
      expect(await follower.fresh(NODE)).toMatchObject({ ok: true });
      await restartFrom(world, backup);
      expect(world.nodes.get(NODE)?.status().state).toBe('SERVING');
      expect(await follower.fresh(NODE)).toMatchObject({ ok: false });
      await expect.poll(() => world.lost.get(NODE)?.code, { timeout: 20_000 }).toBe('LOST_STATE');
      await writer.hangUp(NODE);
      expect(await writer.query(NODE, 'b')).toMatchObject({ ok: false, refused: { code: 'LOST' } });
    } finally {
      await lister.client.close();
    }
  });

  it('is not taken for one by what others say that it signed', async () => {
    const { world, writer } = await start();
    const origin = logOrigin(world.cluster.id, world.cluster.slotAt(NODE)?.nodeId ?? EMPTY);
    const nonce = new Uint8Array(16);
    const forged = signCheckpoint({ origin, size: 1_000, root: new Uint8Array(32), nonce }, ed25519Signer(origin, nodeKey(0))).note;
    const earlier = await writer.ask(NODE, { t: 'CHECKPOINT', nonce });
    if (!earlier.ok) throw new Error(earlier.refused.code);
    await writer.write(writer.version({ key: 'b', counter: 1 }));
    for (const known of [forged, 'nothing', earlier.answer.text]) {
      expect(await writer.ask(NODE, { t: 'CHECKPOINT', nonce, known })).toMatchObject({ ok: true });
    }
    expect(world.nodes.get(NODE)?.status().state).toBe('SERVING');
  });
});

describe('an honest storage node starts', () => {
  it('although one other claims to keep a higher incarnation, signed by itself', async () => {
    const { world, disk } = await start();
    const nodeId = world.cluster.slotAt(NODE)?.nodeId ?? EMPTY;
    const body = encodeBoot({ v: 1, nodeId, epoch: 1, incarnation: 99 });
    const proof = prove(world.cluster, nodeKey(0), 'boot', body);
    world.interceptors.set(0, answering((nothing) => ({ ...nothing, remembered: { incarnation: 99, proof } })));
    await world.kill(NODE);
    await restartFrom(world, disk.restartProcess());
    expect(world.nodes.get(NODE)?.status().state).toBe('SERVING');
    expect([...world.telemetry.counts.keys()]).toContain('suspicions kind=forged-boot-claim slot=0');
  });

  it('although one other claims that it signed a receipt that it did not', async () => {
    const { world, writer, disk } = await start();
    const version = writer.version({ key: 'b', counter: 1 });
    const honest = await writer.receipts(version, [1, 2]);
    // The liar has no key of this node: it signs the receipt with its own.
    const forged = { ...writer.receiptOf(version, 0, 500), slot: NODE };
    const cert = writer.certificate(version, [...honest, forged]);
    world.interceptors.set(0, answering((nothing) => ({ ...nothing, cert })));
    await world.kill(NODE);
    await restartFrom(world, disk.restartProcess());
    expect(world.nodes.get(NODE)?.status().state).toBe('SERVING');
  });

  it('although one other has a log without end', async () => {
    const { world, disk } = await start();
    const leaf = encodeEntry('SNAPSHOT', EMPTY);
    let asked = 0;
    world.interceptors.set(0, async (honest, frame) => {
      const request = decodeRequest(frame.body);
      if (request.ok && request.value.t === 'BOOT') {
        return { body: encodeAnswer('BOOT', { cert: null, remembered: null, size: Number.MAX_SAFE_INTEGER }), payload: EMPTY };
      }
      if (!request.ok || request.value.t !== 'CHANGES') return honest(frame);
      asked += 1;
      await world.clock.sleep(1);
      return { body: encodeAnswer('CHANGES', { from: request.value.from, leaves: [leaf] }), payload: EMPTY };
    });
    await world.kill(NODE);
    await restartFrom(world, disk.restartProcess());
    expect(world.nodes.get(NODE)?.status().state).toBe('SERVING');
    expect(asked).toBeGreaterThan(10);
  });

  it('although one other is down, and does not before two have answered', async () => {
    const { world, disk } = await start();
    await world.kill(NODE);
    await world.kill(0);
    await world.kill(1);
    world.disks.set(NODE, disk.restartProcess());
    const node = await world.openNode(NODE);
    const booted = node.boot();
    await world.clock.sleep(400);
    expect(node.status().state).toBe('CHECKING');
    world.disks.set(1, (world.disks.get(1) as FaultyDisk).restartProcess());
    await Promise.all([booted, world.restart(1)]);
    expect(node.status().state).toBe('SERVING');
  });

  it('with what the others certified meanwhile', async () => {
    const { world, writer, disk } = await start();
    await world.kill(NODE);
    const version = writer.version({ key: 'b', counter: 1 });
    const cert = writer.certificate(version, await writer.receipts(version, [0, 1, 2]));
    for (const slot of [0, 1, 2]) await writer.commit(slot, cert);
    await restartFrom(world, disk.restartProcess());
    await writer.hangUp(NODE);
    expect(await writer.query(NODE, 'b')).toMatchObject({ ok: true, answer: { cert } });
  });
});
