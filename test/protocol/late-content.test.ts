/** A slot whose PREPARE comes after its COMMIT keeps the fragment all the same: being slow makes no hole. */
import { afterEach, describe, expect, it } from 'vitest';
import { decodeRequest } from '../../src/protocol/messages.ts';
import { failing } from '../../src/sim/adversaries/nodes.ts';
import { clientOf, contentOf, getBytes, put, putRecord, recordOf, sameBytes } from '../world/client-world.ts';
import { World } from '../world/world.ts';

const worlds: World[] = [];
afterEach(async () => {
  for (const world of worlds.splice(0)) await world.stop();
});

const SLOW = 3;

async function worldWithSlowPrepare(): Promise<World> {
  const world = await World.start();
  worlds.push(world);
  world.interceptors.set(SLOW, async (honest, frame) => {
    const request = decodeRequest(frame.body);
    if (request.ok && request.value.t === 'PREPARE') await world.clock.sleep(400);
    return honest(frame);
  });
  return world;
}

async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 600 && !condition(); i += 1) await new Promise((resolve) => setTimeout(resolve, 50));
}

describe('a slot that is late with PREPARE', () => {
  it.each([
    ['inline', 100],
    ['one stripe', 20_000],
    ['several stripes', 1_000_000],
  ])('holds its piece of a content of %s in the end, also after a restart', async (name, size) => {
    const world = await worldWithSlowPrepare();
    const client = clientOf(world);
    const bucket = await putRecord(world, client, recordOf(world, 'b'));
    const bytes = contentOf(name, size);
    expect((await put(client, bucket, 'key', bytes)).outcome).toBe('committed');
    const contents = (): number => world.nodes.get(SLOW)?.status().contents ?? 0;
    const others = world.nodes.get(0)?.status().contents ?? 0;
    expect(others).toBe(2);
    await until(() => contents() === others);
    expect(contents()).toBe(others);
    // A small body travels with the certificate; cells must come by the late PREPARE.
    if (name !== 'inline') expect(world.telemetry.counts.get('contents_after_commit') ?? 0).toBeGreaterThan(0);

    await world.kill(SLOW);
    await world.restart(SLOW);
    expect(contents()).toBe(others);
    // With slot 0 gone, k = 2 of the remaining three decode; the late one must be as good as the others.
    await world.kill(0);
    expect(sameBytes(await getBytes(client, 'key'), bytes)).toBe(true);
    expect(world.nodes.get(SLOW)?.status().holes).toBe(0);
  });
});

describe('a slot that has missed certificates', () => {
  it('takes them in from the logs of the others while it serves', async () => {
    const world = await World.start({ tuning: { followMs: 100 } });
    worlds.push(world);
    const client = clientOf(world);
    const bucket = await putRecord(world, client, recordOf(world, 'b'));
    world.interceptors.set(SLOW, failing('PREPARE', 'COMMIT'));
    expect((await put(client, bucket, 'key', contentOf('missed', 100))).outcome).toBe('committed');
    const keys = (slot: number): number => world.nodes.get(slot)?.status().keys ?? 0;
    await until(() => keys(SLOW) === keys(0));
    expect(keys(SLOW)).toBe(keys(0));
  });
});
