/**
 * RESOLVE and ABORT at a storage node (protocol 6.7): what it says about a stamp binds it, and it lets go of a
 * receipt only on statements that rule a certificate out.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { decodeResolution } from '../../src/protocol/messages.ts';
import type { AnswerOf, RequestOf } from '../../src/protocol/messages.ts';
import { StatementVerifier } from '../../src/protocol/statement.ts';
import { FaultyDisk } from '../../src/sim/faulty-disk.ts';
import { nodeKey, RawWriter } from '../../src/sim/adversaries/raw-writer.ts';
import type { Answer, RawVersion } from '../../src/sim/adversaries/raw-writer.ts';
import { World } from '../world/world.ts';

const SMALL = { logSegmentBytes: 64 * 1024, cellSegmentBytes: 64 * 1024 };
type Resolution = RequestOf<'ABORT'>['resolutions'][number];
let world: World;
let writer: RawWriter;

beforeEach(async () => {
  const disks = new Map([0, 1, 2, 3].map((slot) => [slot, new FaultyDisk()]));
  world = await World.start({
    n: 4,
    writers: 2,
    disks,
    tuning: SMALL,
    amend: (config) => ({ ...config, writers: config.writers.map((w, i) => ({ ...w, capabilities: i === 0 ? ['write', 'buckets', 'resolve'] : ['write'] })) }),
  });
  writer = new RawWriter(world);
  await writer.openBucket();
});
afterEach(() => world.stop());

async function resolve(slot: number, { signed }: RawVersion): Promise<AnswerOf<'RESOLVE'>> {
  const answer = await writer.ask(slot, { t: 'RESOLVE', keyId: signed.manifest.keyId, stamp: signed.manifest.stamp, promise: true });
  if (!answer.ok) throw new Error(`RESOLVE: ${answer.refused.code}`);
  return answer.answer;
}

async function statements(version: RawVersion, slots: readonly number[]): Promise<Resolution[]> {
  return (await Promise.all(slots.map((slot) => resolve(slot, version)))).map((answer) => answer.resolution);
}

function abort(slot: number, { signed }: RawVersion, resolutions: readonly Resolution[], by: RawWriter = writer): Promise<Answer<'ABORT'>> {
  return by.ask(slot, { t: 'ABORT', keyId: signed.manifest.keyId, stamp: signed.manifest.stamp, resolutions: [...resolutions] });
}

async function isBound(slot: number, version: RawVersion): Promise<boolean> {
  return (await resolve(slot, version)).manifest !== null;
}

describe('asked for a stamp, a storage node', () => {
  it('says under its signature what it accepted, and whether it holds it', async () => {
    const version = writer.version({ key: 'k', counter: 1 });
    await writer.receipts(version, [0]);
    const { resolution, manifest, holds } = await resolve(0, version);
    const body = decodeResolution(resolution.body);
    expect(body).toMatchObject({ ok: true, value: { slot: 0, epoch: 1, prepared: version.signed.hash, stamp: version.signed.manifest.stamp } });
    const verifier = new StatementVerifier(world.cluster.id);
    expect(verifier.verify(nodeKey(0).publicKey, 'resolution', resolution.body, resolution.proof)).toBe(true);
    expect(manifest?.body).toEqual(version.signed.body);
    expect(holds).toBe(true);
  });

  it('that it has not seen, promises never to accept it, across a restart', async () => {
    const version = writer.version({ key: 'k', counter: 1 });
    const { resolution, manifest } = await resolve(0, version);
    expect(decodeResolution(resolution.body)).toMatchObject({ ok: true, value: { prepared: null } });
    expect(manifest).toBeNull();
    for (let life = 0; life < 2; life += 1) {
      expect(await writer.prepare(0, version)).toMatchObject({ ok: false, refused: { code: 'CONFLICT' } });
      await world.kill(0);
      await writer.hangUp(0);
      world.disks.set(0, (world.disks.get(0) as FaultyDisk).restartProcess());
      await world.restart(0);
    }
    // Stamps above are not concerned.
    expect((await writer.prepare(0, writer.version({ key: 'k', counter: 2 }))).ok).toBe(true);
  });

  it('that waits for its disk, does not say that it has not accepted it', async () => {
    const version = writer.version({ key: 'k', counter: 1 });
    const [prepared, resolved] = await Promise.all([writer.prepare(0, version), resolve(0, version)]);
    const statement = decodeResolution(resolved.resolution.body);
    expect(statement.ok && statement.value.prepared !== null).toBe(prepared.ok);
  });

  it('answers nobody who may not settle orphans', async () => {
    const other = new RawWriter(world, 1);
    const version = writer.version({ key: 'k', counter: 1 });
    const { keyId, stamp } = version.signed.manifest;
    expect(await other.ask(0, { t: 'RESOLVE', keyId, stamp, promise: true })).toMatchObject({ ok: false, refused: { code: 'DENIED' } });
    expect(await abort(0, version, [], other)).toMatchObject({ ok: false, refused: { code: 'DENIED' } });
  });
});

describe('a receipt is let go', () => {
  it('on the word of all four nodes that only one of them gave one', async () => {
    const version = writer.version({ key: 'k', counter: 1 });
    await writer.receipts(version, [0]);
    expect((await abort(0, version, await statements(version, [0, 1, 2, 3]))).ok).toBe(true);
    expect(await isBound(0, version)).toBe(false);
    // For good.
    expect(await writer.prepare(0, version)).toMatchObject({ ok: false, refused: { code: 'CONFLICT' } });
    expect(world.nodes.get(0)?.status().contents).toBe(1 + 1);
  });

  it.each([
    { gave: [0], asked: [0, 1] },
    { gave: [0], asked: [0, 1, 2] },
    { gave: [0, 1], asked: [0, 1, 2, 3] },
    { gave: [0, 1, 2], asked: [0, 1, 2, 3] },
    { gave: [0], asked: [] },
  ])('but not when $gave gave one and $asked say so', async ({ gave, asked }) => {
    const version = writer.version({ key: 'k', counter: 1 });
    await writer.receipts(version, gave);
    expect(await abort(0, version, await statements(version, asked))).toMatchObject({ ok: false, refused: { code: 'DENIED' } });
    expect(await isBound(0, version)).toBe(true);
  });

  it('but not on forged, repeated or foreign statements', async () => {
    const version = writer.version({ key: 'k', counter: 1 });
    await writer.receipts(version, [0]);
    const [own, one, two, three] = await statements(version, [0, 1, 2, 3]);
    const elsewhere = writer.version({ key: 'k', counter: 2 });
    const [foreign] = await statements(elsewhere, [3]);
    if (own === undefined || one === undefined || two === undefined || three === undefined || foreign === undefined) throw new Error('five statements');
    const forged = { ...three, proof: one.proof };
    for (const last of [forged, two, foreign, { body: Uint8Array.of(0), proof: three.proof }]) {
      expect(await abort(0, version, [own, one, two, last])).toMatchObject({ ok: false, refused: { code: 'BAD' } });
    }
    expect(await isBound(0, version)).toBe(true);
  });
});
