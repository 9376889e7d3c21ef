import { afterEach, describe, expect, it } from 'vitest';
import { utf8 } from '../../src/base/bytes.ts';
import { all, liars, swallowing } from '../../src/sim/adversaries/liars.ts';
import { contentOf, sameBytes } from '../world/client-world.ts';
import {
  etagOf,
  getBytesOf,
  keysOf,
  newIndex,
  operationOf,
  putBytes,
  startGateway, makeBucket, removeObject } from '../world/gateway-world.ts';
import type { TestGateway } from '../world/gateway-world.ts';
import { World } from '../world/world.ts';
import type { Interceptor } from '../../src/sim/adversaries/stage.ts';

const worlds: World[] = [];
const gateways: TestGateway[] = [];

async function start(): Promise<World> {
  const world = await World.start({ n: 4, f: 1, writers: 3 });
  worlds.push(world);
  return world;
}

/** Short waits: these tests are about nodes that never answer. */
const deadlines = {
  queryMs: 1500,
  prepareMs: 1500,
  commitMs: 600,
  completeMs: 800,
  barrierMs: 1500,
  followCallMs: 500,
  resolveMs: 500,
};

async function gatewayOf(
  world: World,
  writer: number = 0,
  options: Parameters<typeof startGateway>[2] = {},
): Promise<TestGateway> {
  const gateway = await startGateway(world, writer, { deadlines, ...options });
  gateways.push(gateway);
  return gateway;
}

afterEach(async () => {
  for (const { gateway } of gateways.splice(0)) await gateway.stop();
  for (const world of worlds.splice(0)) await world.stop();
});

async function eventually(holds: () => Promise<boolean> | boolean, tries: number = 200): Promise<void> {
  for (let tried = 0; tried < tries; tried += 1) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error('it did not come about');
}

/** Everything that a client does, once; throws unless all of it is right. */
async function everything({ store }: TestGateway, name: string): Promise<void> {
  expect(await makeBucket(store, name, operationOf())).toEqual({ outcome: 'created' });
  for (const size of [10, 5_000, 900_000]) {
    const bytes = contentOf(`${name} ${size}`, size);
    expect(await putBytes(store, name, `key ${size}`, bytes)).toMatchObject({ outcome: 'stored' });
    const got = await getBytesOf(store, name, `key ${size}`);
    expect(got instanceof Uint8Array && sameBytes(got, bytes)).toBe(true);
  }
  expect(await keysOf(store, name)).toEqual(['key 10', 'key 5000', 'key 900000']);
  expect(await removeObject(store, name, 'key 10', operationOf())).toMatchObject({ outcome: 'deleted' });
  expect(await keysOf(store, name)).toEqual(['key 5000', 'key 900000']);
  expect((await store.listBuckets()).map((bucket) => bucket.name)).toContain(name);
  for (const size of [5_000, 900_000]) await removeObject(store, name, `key ${size}`, operationOf());
  expect(await store.deleteBucket(name, operationOf())).toMatchObject({ outcome: 'deleted' });
}

const LIARS: readonly (readonly [string, Interceptor])[] = [
  ['sends wrong cells', liars.wrongCells],
  ['knows of no version', liars.forgetful],
  ['answers with garbage', liars.garbage],
  ['signs bad receipts and acknowledgements', all(liars.badReceipts, liars.badAcks)],
  ['shows certificates that are not valid', liars.badCertificates],
  ['gives the certificate of the first version for ever', liars.stale()],
  ['shows no log and no certificates', swallowing('CHANGES', 'CERTS')],
];

describe('with one faulty storage node a gateway does everything', () => {
  it.each(LIARS)('when the node %s', async (_what, liar) => {
    const world = await start();
    const gateway = await gatewayOf(world);
    world.interceptors.set(1, liar);
    await everything(gateway, 'while-lying');
  });

  it('when the node is dead, also when the gateway starts without it', async () => {
    const world = await start();
    await world.kill(2);
    const gateway = await gatewayOf(world);
    await everything(gateway, 'without-one');
    await world.restart(2);
    await everything(gateway, 'with-all');
  });

  it('when the node was away during the writes and another one is away during the reads', async () => {
    const world = await start();
    const one = await gatewayOf(world, 0);
    await makeBucket(one.store, 'photos', operationOf());
    await world.kill(0);
    for (let i = 0; i < 10; i += 1)
      await putBytes(one.store, 'photos', `key ${i}`, contentOf(`key ${i}`, 20_000));
    await world.restart(0);
    await world.kill(3);
    const other = await gatewayOf(world, 1);
    expect((await keysOf(other.store, 'photos')).length).toBe(10);
    for (let i = 0; i < 10; i += 1) {
      const got = await getBytesOf(other.store, 'photos', `key ${i}`);
      expect(got instanceof Uint8Array && sameBytes(got, contentOf(`key ${i}`, 20_000))).toBe(true);
    }
  });
});

describe('with more faulty storage nodes than are allowed', () => {
  it('nothing is acknowledged, all is refused in time, and all is well when they are back', async () => {
    const world = await start();
    const { store } = await gatewayOf(world);
    await makeBucket(store, 'photos', operationOf());
    await putBytes(store, 'photos', 'before', utf8('before'));
    await world.kill(1);
    await world.kill(2);
    const begunMs = Date.now();
    const refused = expect.objectContaining({ code: 'NO_QUORUM' });
    await expect(putBytes(store, 'photos', 'during', utf8('during'))).rejects.toEqual(refused);
    await expect(getBytesOf(store, 'photos', 'before')).rejects.toEqual(refused);
    await expect(keysOf(store, 'photos')).rejects.toEqual(refused);
    await expect(removeObject(store, 'photos', 'before', operationOf())).rejects.toEqual(refused);
    expect(Date.now() - begunMs).toBeLessThan(12_000);
    await world.restart(1);
    await world.restart(2);
    expect(await keysOf(store, 'photos')).toEqual(['before']);
    expect(await putBytes(store, 'photos', 'after', utf8('after'))).toMatchObject({ outcome: 'stored' });
  });
});

describe('a certificate that is on one node only', () => {
  it('is on enough nodes before a LIST shows it, so that the next LIST shows it too', async () => {
    const world = await start();
    const writer = await gatewayOf(world, 0);
    await makeBucket(writer.store, 'photos', operationOf());
    // Only node 0 hears of the certificate; the writer cannot know what became of its write.
    for (const slot of [1, 2, 3]) world.interceptors.set(slot, swallowing('COMMIT'));
    expect(await putBytes(writer.store, 'photos', 'a', utf8('a'))).toEqual({ outcome: 'unknown' });
    await writer.gateway.stop();
    gateways.length = 0;
    for (const slot of [1, 2, 3]) world.interceptors.delete(slot);

    const first = await gatewayOf(world, 1);
    await eventually(async () => {
      const keys = await keysOf(first.store, 'photos');
      return Array.isArray(keys) && keys.includes('a');
    });
    await world.kill(0);
    const second = await gatewayOf(world, 2);
    expect(await keysOf(second.store, 'photos')).toEqual(['a']);
    expect(await getBytesOf(second.store, 'photos', 'a')).toEqual(utf8('a'));
  });
});

describe('a write whose outcome was not known', () => {
  it('is known to the next start, which gives a repeated request the result', async () => {
    const world = await start();
    const first = await gatewayOf(world, 0);
    await makeBucket(first.store, 'photos', operationOf());
    for (const slot of [0, 1, 2, 3]) world.interceptors.set(slot, swallowing('COMMIT'));
    const operation = operationOf('put a');
    expect(await putBytes(first.store, 'photos', 'a', utf8('a'), operation)).toEqual({ outcome: 'unknown' });
    expect(first.gateway.status().openAttempts).toBe(1);
    // Asked again, the outcome is as unknown as before, and nothing new is prepared.
    expect(await putBytes(first.store, 'photos', 'a', utf8('a'), operation)).toEqual({ outcome: 'unknown' });
    expect(first.gateway.status().openAttempts).toBe(1);
    await first.gateway.stop();
    gateways.length = 0;
    world.interceptors.clear();
    const next = await gatewayOf(world, 0, { index: newIndex() });
    await eventually(() => next.gateway.status().openAttempts === 0);
    expect(await putBytes(next.store, 'photos', 'a', utf8('a'), operation)).toMatchObject({
      outcome: 'stored',
      etag: etagOf(utf8('a')),
      checksum: undefined,
    });
    expect(await keysOf(next.store, 'photos')).toEqual(['a']);
    expect(next.gateway.status().openAttempts).toBe(0);
  });

  it('is let go of when it was prepared on too few nodes', async () => {
    const world = await start();
    const first = await gatewayOf(world, 0);
    // What was proposed in a slot may be completed by anyone: there this would be unknown.
    await makeBucket(first.store, 'photos', operationOf(), false);
    for (const slot of [1, 2, 3]) world.interceptors.set(slot, swallowing('PREPARE'));
    await expect(putBytes(first.store, 'photos', 'a', utf8('a'))).rejects.toMatchObject({
      code: 'NO_QUORUM',
    });
    world.interceptors.clear();
    await first.gateway.stop();
    gateways.length = 0;
    const next = await gatewayOf(world, 0);
    await eventually(() => next.gateway.status().openAttempts === 0);
    expect(await getBytesOf(next.store, 'photos', 'a')).toBe('no-such-key');
    expect(await putBytes(next.store, 'photos', 'a', utf8('b'))).toMatchObject({ outcome: 'stored' });
  });

  it('is completed in a serialised bucket, where any node that has accepted it may not be alone', async () => {
    const world = await start();
    const first = await gatewayOf(world, 0);
    await makeBucket(first.store, 'photos');
    for (const slot of [1, 2, 3]) world.interceptors.set(slot, swallowing('PREPARE'));
    expect(await putBytes(first.store, 'photos', 'a', utf8('a'))).toEqual({ outcome: 'unknown' });
    world.interceptors.clear();
    await first.gateway.stop();
    gateways.length = 0;
    const next = await gatewayOf(world, 0);
    // Orphans are asked about in turns, and a round that fails is made again.
    await eventually(() => next.gateway.status().openAttempts === 0, 800);
    expect(await getBytesOf(next.store, 'photos', 'a')).toEqual(utf8('a'));
  });
});
