import { afterEach, describe, expect, it } from 'vitest';
import { hex, utf8 } from '../../src/base/bytes.ts';
import { isOperationError } from '../../src/base/errors.ts';
import { decodeRequest } from '../../src/protocol/messages.ts';
import { getBytesOf, keysOf, operationOf, putBytes, startGateway, makeBucket, removeObject } from '../world/gateway-world.ts';
import type { TestGateway } from '../world/gateway-world.ts';
import { World } from '../world/world.ts';

const worlds: World[] = [];
const gateways: TestGateway[] = [];

async function twoGateways(): Promise<readonly [World, TestGateway, TestGateway]> {
  const world = await World.start({ n: 4, f: 1, writers: 2 });
  worlds.push(world);
  const pair = [await startGateway(world, 0), await startGateway(world, 1)] as const;
  gateways.push(...pair);
  return [world, ...pair];
}

afterEach(async () => {
  for (const { gateway } of gateways.splice(0)) await gateway.stop();
  for (const world of worlds.splice(0)) await world.stop();
});

/**
 * Asks again where the store says BUSY: the record changed since this gateway saw it, and the body was used
 * up.
 */
async function askTwice<T>(ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    if (!isOperationError(error, 'BUSY')) throw error;
    return ask();
  }
}

describe('buckets', () => {
  it('are created once, by whichever gateway', async () => {
    const [, one, other] = await twoGateways();
    const both = await Promise.all([
      makeBucket(one.store, 'photos', operationOf()),
      makeBucket(other.store, 'photos', operationOf()),
    ]);
    expect(both.every(({ outcome }) => outcome === 'created' || outcome === 'owned-by-you')).toBe(true);
    expect(await makeBucket(other.store, 'photos', operationOf())).toEqual({ outcome: 'owned-by-you' });
    // Whichever record has won, both write and read under the same keys.
    expect(await askTwice(() => putBytes(one.store, 'photos', 'a', utf8('of one')))).toMatchObject({
      outcome: 'stored',
    });
    expect(await askTwice(() => putBytes(other.store, 'photos', 'b', utf8('of the other')))).toMatchObject({
      outcome: 'stored',
    });
    expect(await getBytesOf(other.store, 'photos', 'a')).toEqual(utf8('of one'));
    expect(await getBytesOf(one.store, 'photos', 'b')).toEqual(utf8('of the other'));
    for (const { store } of [one, other])
      expect(await store.listBuckets()).toMatchObject([{ name: 'photos' }]);
  });

  it('are created again by a repeated request, and only by that', async () => {
    const [, { store }] = await twoGateways();
    const operation = operationOf('create photos');
    expect(await makeBucket(store, 'photos', operation)).toEqual({ outcome: 'created' });
    expect(await makeBucket(store, 'photos', operation)).toEqual({ outcome: 'created' });
    expect(await makeBucket(store, 'photos', operationOf('another'))).toEqual({ outcome: 'owned-by-you' });
  });

  it('are listed by name, without the deleted ones', async () => {
    const [, one, other] = await twoGateways();
    for (const name of ['zoo', 'abc', 'middle']) await makeBucket(one.store, name, operationOf());
    await other.store.deleteBucket('middle', operationOf());
    for (const { store } of [one, other]) {
      expect((await store.listBuckets()).map(({ name }) => name)).toEqual(['abc', 'zoo']);
    }
  });

  it('are not deleted while they hold an object', async () => {
    const [, one, other] = await twoGateways();
    await makeBucket(one.store, 'photos', operationOf());
    await putBytes(one.store, 'photos', 'a', utf8('a'));
    expect(await other.store.deleteBucket('photos', operationOf())).toEqual({ outcome: 'not-empty' });
    expect(await getBytesOf(other.store, 'photos', 'a')).toEqual(utf8('a'));
    await removeObject(one.store, 'photos', 'a', operationOf());
    expect(await other.store.deleteBucket('photos', operationOf())).toMatchObject({ outcome: 'deleted' });
    expect(await one.store.readBucket('photos')).toMatchObject({ outcome: 'no-such-bucket' });
    expect(await putBytes(one.store, 'photos', 'a', utf8('a'))).toEqual({ outcome: 'no-such-bucket' });
    expect(await getBytesOf(one.store, 'photos', 'a')).toBe('no-such-bucket');
    expect(await keysOf(one.store, 'photos')).toBe('no-such-bucket');
    expect(await one.store.deleteBucket('photos', operationOf())).toEqual({ outcome: 'no-such-bucket' });
  });

  it('come back empty in a new generation, also for a gateway that knows the old one', async () => {
    const [, one, other] = await twoGateways();
    await makeBucket(one.store, 'photos', operationOf());
    await putBytes(one.store, 'photos', 'a', utf8('old'));
    expect(await getBytesOf(other.store, 'photos', 'a')).toEqual(utf8('old'));
    await removeObject(one.store, 'photos', 'a', operationOf());
    expect(await one.store.deleteBucket('photos', operationOf())).toMatchObject({ outcome: 'deleted' });
    expect(await makeBucket(one.store, 'photos', operationOf())).toEqual({ outcome: 'created' });
    await putBytes(one.store, 'photos', 'a', utf8('new'));
    // The other gateway still has the old record in its cache.
    expect(await getBytesOf(other.store, 'photos', 'a')).toEqual(utf8('new'));
    expect(await keysOf(other.store, 'photos')).toEqual(['a']);
    expect(await removeObject(other.store, 'photos', 'b', operationOf())).toMatchObject({ outcome: 'deleted' });
  });

  it('lose no acknowledged object when they are deleted while someone writes into them', async () => {
    const [, one, other] = await twoGateways();
    for (let round = 0; round < 6; round += 1) {
      const name = `bucket-${round}`;
      await makeBucket(one.store, name, operationOf());
      await other.store.readBucket(name);
      const writes = Array.from({ length: 4 }, async (_, i) => {
        await new Promise((resolve) => setTimeout(resolve, i * 7));
        const put = await putBytes(other.store, name, `key ${i}`, utf8(`value ${i}`)).catch(
          (error: unknown) => ({
            outcome: (error as { code: string }).code,
          }),
        );
        return put.outcome === 'stored' ? `key ${i}` : null;
      });
      const deleted = await one.store.deleteBucket(name, operationOf());
      const stored = (await Promise.all(writes)).filter((key) => key !== null);
      if (deleted.outcome === 'deleted') expect(stored).toEqual([]);
      else {
        expect(deleted.outcome).toBe('not-empty');
        expect(await keysOf(one.store, name)).toEqual(expect.arrayContaining(stored));
        for (const key of stored) expect(await getBytesOf(one.store, name, key)).toBeInstanceOf(Uint8Array);
      }
    }
  });

  it('are not deleted on the word of nodes that have not closed them', async () => {
    const world = await World.start({ n: 6, f: 1, k: 4, writers: 2 });
    worlds.push(world);
    const [deleter, writer] = [await startGateway(world, 0), await startGateway(world, 1)];
    gateways.push(deleter, writer);
    await makeBucket(deleter.store, 'photos', operationOf());
    await writer.store.readBucket('photos');
    // The closing record is on nodes 0 to 2, which are enough for it to count; the object comes to the
    // others.
    const peerOf = (index: number): string =>
      hex(world.writers[index]?.tlsKey.publicKey ?? new Uint8Array(0));
    let release = (): void => undefined;
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    for (let slot = 0; slot < 6; slot += 1) {
      world.interceptors.set(slot, async (honest, frame, from) => {
        const request = decodeRequest(frame.body);
        if (!request.ok || request.value.t !== 'COMMIT') return honest(frame);
        if ((from.peer === peerOf(0)) !== slot < 3) return new Promise(() => undefined);
        if (slot >= 3) await released;
        return honest(frame);
      });
    }
    const put = putBytes(writer.store, 'photos', 'a', utf8('a'));
    await new Promise((resolve) => setTimeout(resolve, 200));
    const deletion = deleter.store.deleteBucket('photos', operationOf());
    await new Promise((resolve) => setTimeout(resolve, 500));
    release();
    expect(await put).toMatchObject({ outcome: 'stored' });
    expect((await deletion).outcome).not.toBe('deleted');
    world.interceptors.clear();
    for (const { store } of [deleter, writer]) {
      expect(await getBytesOf(store, 'photos', 'a')).toEqual(utf8('a'));
      expect(await keysOf(store, 'photos')).toEqual(['a']);
    }
    expect(await askTwice(() => putBytes(deleter.store, 'photos', 'b', utf8('b')))).toMatchObject({
      outcome: 'stored',
    });
  });
});
