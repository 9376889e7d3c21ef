import { afterEach, describe, expect, it } from 'vitest';
import { World } from '../world/world.ts';
import type { WorldOptions } from '../world/world.ts';

const worlds: World[] = [];
async function start(options: WorldOptions = {}): Promise<World> {
  const world = await World.start(options);
  worlds.push(world);
  return world;
}
afterEach(async () => {
  for (const world of worlds.splice(0)) await world.stop();
});

describe('a storage node starts', () => {
  it('serves after its boot check, with a new incarnation each time', async () => {
    const world = await start();
    expect([...world.nodes.values()].map((node) => node.status().state)).toEqual(Array(4).fill('SERVING'));
    expect(world.nodes.get(2)?.status().incarnation).toBe(1);
    await world.kill(2);
    await world.restart(2);
    expect(world.nodes.get(2)?.status()).toMatchObject({ state: 'SERVING', incarnation: 2 });
  });

  it('comes up together with all others after a full restart', async () => {
    const world = await start();
    for (const slot of [0, 1, 2, 3]) await world.kill(slot);
    await world.startAll(false);
    expect([...world.nodes.values()].map((node) => node.status().state)).toEqual(Array(4).fill('SERVING'));
  });

  it('refuses to come back with an emptied folder', async () => {
    const world = await start();
    await world.kill(1);
    const disk = world.diskOf(1);
    for (const name of await disk.list('journal')) await disk.remove(`journal/${name}`);
    await expect(world.openNode(1)).rejects.toMatchObject({ code: 'LOST_STATE' });
  });
});
