import { afterEach, describe, expect, it } from 'vitest';
import { decodeAnswer, decodeRequest, encodeAnswer } from '../../src/protocol/messages.ts';
import {
  clientOf,
  committed,
  contentOf,
  get,
  getBytes,
  keyIdOf,
  put,
  putRecord,
  recordOf,
  sameBytes,
} from '../world/client-world.ts';
import { swallowing } from '../../src/sim/adversaries/liars.ts';
import { World } from '../world/world.ts';
import type { WorldOptions } from '../world/world.ts';

const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function start(options: WorldOptions = {}) {
  const world = await World.start(options);
  cleanups.push(() => world.stop());
  const open = (amend: Parameters<typeof clientOf>[2] = {}) => {
    const opened = clientOf(world, 0, amend);
    cleanups.push(() => opened.client.close());
    return opened;
  };
  const writer = open({ deadlines: { prepareMs: 400, commitMs: 400, completeMs: 400, resolveMs: 400 } });
  const bucket = await putRecord(world, writer, recordOf(world, 'orphans'));
  return { world, writer, bucket, open };
}

/** A write whose PREPARE reaches some slots only. */
async function orphanOn(slots: readonly number[]) {
  const parts = await start();
  const { world, writer, bucket } = parts;
  for (const slot of [0, 1, 2, 3]) if (!slots.includes(slot)) world.interceptors.set(slot, swallowing('PREPARE', 'RESOLVE'));
  const result = await put(writer, bucket, 'orphan', contentOf('orphan', 50_000));
  expect(result).toMatchObject({ outcome: 'rejected', error: { code: 'NO_QUORUM' } });
  const [attempt] = writer.journal.abandonedAttempts;
  if (attempt === undefined) throw new Error('no attempt was abandoned');
  world.interceptors.clear();
  return { ...parts, attempt };
}

describe('an abandoned write', () => {
  it('is released by itself when all nodes say that it cannot be certified', async () => {
    const { world, writer, bucket } = await start();
    for (const slot of [1, 2, 3]) world.interceptors.set(slot, swallowing('PREPARE'));
    await put(writer, bucket, 'orphan', contentOf('orphan', 50_000));
    await expect.poll(() => writer.journal.settledAttempts.map((a) => a.keyId)).toContainEqual(keyIdOf('orphan'));
    world.interceptors.clear();
    expect((await get(writer, 'orphan')).kind).toBe('absent');
    committed(await put(writer, bucket, 'orphan', contentOf('next', 50_000)));
    expect(sameBytes(await getBytes(writer, 'orphan'), contentOf('next', 50_000))).toBe(true);
  });

  it('on one node needs the word of all four to be released', async () => {
    const { world, open, attempt } = await orphanOn([0]);
    const settler = open({ deadlines: { resolveMs: 500 } });
    await world.kill(2);
    const undecided = await settler.client.resolve(attempt.keyId, attempt.stamp, 'release');
    expect(undecided).toEqual({ outcome: 'undecided', answered: 3, prepared: 1 });
    await world.restart(2);
    const released = await settler.client.resolve(attempt.keyId, attempt.stamp, 'release');
    expect(released).toEqual({ outcome: 'released', toldSlots: [0, 1, 2, 3] });
    expect(await settler.client.resolve(attempt.keyId, attempt.stamp, 'complete')).toMatchObject({ outcome: 'released' });
  });

  it('is not released on a statement that does not verify', async () => {
    const { world, open, attempt } = await orphanOn([0]);
    world.interceptors.set(1, async (honest, frame) => {
      const answered = await honest(frame);
      const parsed = decodeAnswer('RESOLVE', answered.body);
      const request = decodeRequest(frame.body);
      if (!request.ok || request.value.t !== 'RESOLVE' || parsed.kind !== 'answer') return answered;
      const { resolution } = parsed.answer;
      const proof = { ...resolution.proof, batch: { ...resolution.proof.batch, signature: new Uint8Array(64) } };
      return { ...answered, body: encodeAnswer('RESOLVE', { ...parsed.answer, resolution: { ...resolution, proof } }) };
    });
    const settler = open();
    const undecided = await settler.client.resolve(attempt.keyId, attempt.stamp, 'release');
    expect(undecided).toEqual({ outcome: 'undecided', answered: 3, prepared: 1 });
    expect(settler.client.suspicions()).toMatchObject([{ slot: 1, kind: 'BAD_RESOLUTION' }]);
  });

  it('counts for nothing once a later version is certified', async () => {
    const { bucket, open, attempt } = await orphanOn([0, 1]);
    const other = open();
    const later = committed(await put(other, bucket, 'orphan', contentOf('later', 10)));
    committed(await put(other, bucket, 'orphan', contentOf('later still', 10)));
    expect(later.signed.manifest.stamp.counter).toBeGreaterThanOrEqual(attempt.stamp.counter);
    const resolved = await other.client.resolve(attempt.keyId, attempt.stamp, 'complete');
    expect(resolved.outcome).toBe('superseded');
  });
});

describe('a write whose gateway died before COMMIT', () => {
  it.each([100, 50_000, 2_000_000])('of %i bytes is kept, and completed only where the journal allows it', async (size) => {
    const { world, writer, bucket, open } = await start();
    for (const slot of [0, 1, 2, 3]) world.interceptors.set(slot, swallowing('COMMIT'));
    const result = await put(writer, bucket, 'orphan', contentOf('orphan', size));
    expect(result.outcome).toBe('unknown');
    world.interceptors.clear();
    const settler = open();
    expect((await get(settler, 'orphan')).kind).toBe('absent');
    const [attempt] = writer.journal.begun.slice(-1);
    if (attempt === undefined) throw new Error('no attempt');
    expect(await settler.client.resolve(attempt.keyId, attempt.stamp, 'release')).toMatchObject({ outcome: 'undecided' });
    expect(await settler.client.resolve(attempt.keyId, attempt.stamp, 'complete')).toMatchObject({ outcome: 'committed' });
    expect(sameBytes(await getBytes(settler, 'orphan'), contentOf('orphan', size))).toBe(true);
    expect(await settler.client.resolve(attempt.keyId, attempt.stamp, 'complete')).toMatchObject({ outcome: 'committed' });
  });
});

describe('a write whose gateway died while it was prepared', () => {
  /** k = 4 of six nodes have accepted it, one fewer than make a certificate. */
  async function preparedOn(slots: readonly number[], size: number) {
    const parts = await start({ n: 6, k: 4 });
    const { world, writer, bucket } = parts;
    const others = world.cluster.slots.map(({ slot }) => slot).filter((slot) => !slots.includes(slot));
    for (const slot of others) world.interceptors.set(slot, swallowing('PREPARE', 'RESOLVE'));
    await put(writer, bucket, 'orphan', contentOf('orphan', size));
    const [attempt] = writer.journal.begun.slice(-1);
    if (attempt === undefined) throw new Error('no attempt');
    await writer.client.close();
    world.interceptors.clear();
    return { ...parts, attempt, others };
  }

  it.each([100, 50_000, 2_000_000])('is completed with %i bytes: the others are sent what they lack', async (size) => {
    const { world, open, attempt, others } = await preparedOn([0, 2, 3, 5], size);
    const settler = open();
    expect(await settler.client.resolve(attempt.keyId, attempt.stamp, 'complete')).toMatchObject({ outcome: 'committed' });
    expect(sameBytes(await getBytes(settler, 'orphan'), contentOf('orphan', size))).toBe(true);
    // Also from the pieces of those that were sent theirs late.
    await expect.poll(() => others.map((slot) => world.nodes.get(slot)?.status().holes)).toEqual([0, 0]);
    await world.kill(0);
    expect(sameBytes(await getBytes(open(), 'orphan'), contentOf('orphan', size))).toBe(true);
  });

  it('is completed with a node down and the content on k nodes', async () => {
    const { world, open, attempt } = await preparedOn([0, 2, 3, 5], 2_000_000);
    await world.kill(1);
    const settler = open({ deadlines: { resolveMs: 500 } });
    expect(await settler.client.resolve(attempt.keyId, attempt.stamp, 'complete')).toMatchObject({ outcome: 'committed' });
    expect(sameBytes(await getBytes(settler, 'orphan'), contentOf('orphan', 2_000_000))).toBe(true);
  });

  it('is let go with the content on fewer than k nodes', async () => {
    const { open, attempt } = await preparedOn([0, 2, 3], 50_000);
    const settler = open();
    expect(await settler.client.resolve(attempt.keyId, attempt.stamp, 'complete')).toMatchObject({ outcome: 'released' });
    expect((await get(settler, 'orphan')).kind).toBe('absent');
  });

  it('is not completed after a promise of NEVER was asked for', async () => {
    const { open, attempt } = await preparedOn([0, 2, 3, 5], 50_000);
    const settler = open();
    expect(await settler.client.resolve(attempt.keyId, attempt.stamp, 'release')).toMatchObject({ outcome: 'undecided', prepared: 4 });
    expect(await settler.client.resolve(attempt.keyId, attempt.stamp, 'complete')).toMatchObject({ outcome: 'undecided' });
    expect((await get(settler, 'orphan')).kind).toBe('absent');
  });
});
