/** The controller in a cluster of real nodes: what is lost is found, repaired and audited, whoever lies. */
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import type { MemoryStore } from '../../src/sim/memory-store.ts';
import { clientOf, committed, committedSlot, contentOf, getBytes, put, putRecord, putSlot, recordOf, sameBytes } from '../world/client-world.ts';
import { controllerOf, untilStatus } from '../world/controller-world.ts';
import type { TestController } from '../world/controller-world.ts';
import { World } from '../world/world.ts';

let world: World | undefined;
const running: TestController[] = [];

afterEach(async () => {
  for (const { controller } of running.splice(0)) await controller.stop();
  await world?.stop();
  world = undefined;
});

const started = async (store?: MemoryStore, options?: Parameters<typeof controllerOf>[2]): Promise<TestController> => {
  if (world === undefined) throw new Error('no world');
  const one = await controllerOf(world, store, options);
  running.push(one);
  return one;
};

/** The node forgets all of its cells, and keeps its log. */
async function wipe(slot: number): Promise<void> {
  if (world === undefined) throw new Error('no world');
  await world.stopNode(slot);
  const folder = join(world.folder, `node-${slot}`, 'journal');
  const names = (await readdir(folder)).filter((name) => name.startsWith('cells-'));
  expect(names.length).toBeGreaterThan(0);
  for (const name of names) await rm(join(folder, name));
  await world.restart(slot);
}

describe('a controller', () => {
  it('confirms what was written on all nodes, and says that it is whole', async () => {
    world = await World.start();
    const client = clientOf(world);
    const bucket = await putRecord(world, client, recordOf(world, 'plain'));
    const slots = await putRecord(world, client, recordOf(world, 'slots', { v: 2, mode: 'SERIALISED' }));
    committed(await put(client, bucket, 'small', contentOf('small', 500)));
    committed(await put(client, bucket, 'one stripe', contentOf('one', 50_000)));
    committedSlot(await putSlot(client, slots, 'several stripes', contentOf('several', 1_000_000)));
    committedSlot(await putSlot(client, slots, 'overwritten', contentOf('before', 50_000)));
    committedSlot(await putSlot(client, slots, 'overwritten', contentOf('after', 60_000)));
    const { controller } = await started();
    // Two bucket records, and four objects.
    const status = await untilStatus(world, controller, ({ health, versions }) => health === 'whole' && versions === 6);
    expect(status.words[0]).toBe('whole: all 6 versions are confirmed on all 4 nodes');
    await client.client.close();
  });

  it('finds by audit that a node has lost its cells, and makes it whole again', async () => {
    world = await World.start();
    const client = clientOf(world);
    const bucket = await putRecord(world, client, recordOf(world, 'plain'));
    for (let i = 0; i < 10; i += 1) committed(await put(client, bucket, `object ${i}`, contentOf(`object ${i}`, 20_000 + i)));
    committed(await put(client, bucket, 'several stripes', contentOf('several', 1_500_000)));
    const { controller, evidence } = await started();
    await untilStatus(world, controller, ({ health, versions }) => health === 'whole' && versions === 12);
    await wipe(2);
    const lost = await untilStatus(world, controller, ({ repair }) => repair.holes > 0 || repair.given > 0);
    expect(lost.health).not.toBe('whole');
    const status = await untilStatus(world, controller, ({ health, repair }) => health === 'whole' && repair.healed >= 12);
    expect(status.repair.lostAgain).toBe(0);
    expect(status.repair.readRatio).toBeLessThan(1.5);
    expect(evidence.some(({ evidence: { type }, finding: { accused } }) => type === 'E6' && accused.kind === 'node' && accused.slot === 2)).toBe(true);
    // Two others are gone: what was repaired must carry its weight.
    await world.kill(0);
    expect(sameBytes(await getBytes(client, 'several stripes'), contentOf('several', 1_500_000))).toBe(true);
    await client.client.close();
  });
});
