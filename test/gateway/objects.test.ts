import { afterEach, describe, expect, it } from 'vitest';
import { utf8 } from '../../src/base/bytes.ts';
import { contentOf, sameBytes } from '../world/client-world.ts';
import {
  contentOfBytes,
  etagOf,
  getBytesOf,
  keysOf,
  newIndex,
  NO_METADATA,
  operationOf,
  putBytes,
  startGateway, makeBucket, removeObject, headOf, PLAIN_VERSION } from '../world/gateway-world.ts';
import type { TestGateway } from '../world/gateway-world.ts';
import { World } from '../world/world.ts';
import type { WorldOptions } from '../world/world.ts';

const worlds: World[] = [];
const gateways: TestGateway[] = [];

async function start(options: WorldOptions = {}): Promise<World> {
  const world = await World.start({ n: 4, f: 1, writers: 2, ...options });
  worlds.push(world);
  return world;
}

async function gatewayOf(
  world: World,
  ...rest: [writer?: number, options?: Parameters<typeof startGateway>[2]]
): Promise<TestGateway> {
  const gateway = await startGateway(world, ...rest);
  gateways.push(gateway);
  return gateway;
}

afterEach(async () => {
  for (const { gateway } of gateways.splice(0)) await gateway.stop();
  for (const world of worlds.splice(0)) await world.stop();
});

const SIZES = [0, 1, 4080, 4081, 100_000, 2_000_000];

describe('a gateway', () => {
  it('gives back objects of every kind of size, with their metadata', async () => {
    const { store } = await gatewayOf(await start());
    expect(await makeBucket(store, 'photos', operationOf())).toEqual({ outcome: 'created' });
    for (const size of SIZES) {
      const bytes = contentOf(`object ${size}`, size);
      const metadata = {
        ...NO_METADATA,
        contentType: 'text/plain',
        user: [['colour', 'gr\u00fcn']] as const,
      };
      const key = `a/${size} \u{1F600}`;
      const put = await store.putObject({ ...PLAIN_VERSION,
        bucket: 'photos',
        key,
        content: contentOfBytes(bytes),
        metadata,
        operation: operationOf(),
      });
      expect(put).toMatchObject({ outcome: 'stored', etag: etagOf(bytes), checksum: undefined });
      const got = await getBytesOf(store, 'photos', key);
      expect(got instanceof Uint8Array && sameBytes(got, bytes)).toBe(true);
      const head = await headOf(store, 'photos', key);
      expect(head).toMatchObject({ outcome: 'found', info: { size, etag: etagOf(bytes), metadata } });
    }
  });

  it('gives ranges, and any other span than the one it was asked for first', async () => {
    const { store } = await gatewayOf(await start());
    await makeBucket(store, 'photos', operationOf());
    const bytes = contentOf('ranged', 1_700_000);
    await putBytes(store, 'photos', 'ranged', bytes);
    const spans = [
      { range: { kind: 'from', first: 10, last: 19 }, from: 10, to: 20 },
      { range: { kind: 'from', first: 1_600_000, last: undefined }, from: 1_600_000, to: 1_700_000 },
      { range: { kind: 'suffix', bytes: 5 }, from: 1_699_995, to: 1_700_000 },
      { range: { kind: 'from', first: 9_000_000, last: undefined }, from: 0, to: 3 },
      { range: undefined, from: 800_000, to: 900_000 },
    ] as const;
    for (const { range, from, to } of spans) {
      const found = await store.getObject({ bucket: 'photos', key: 'ranged', versionId: undefined, customerKey: undefined, range });
      if (found.outcome !== 'found') throw new Error(found.outcome);
      const chunks: number[] = [];
      for await (const chunk of found.read({ from, to })) chunks.push(...chunk);
      expect(sameBytes(Uint8Array.from(chunks), bytes.subarray(from, to))).toBe(true);
    }
  });

  it('reads on only from the version that it opened', async () => {
    const { store } = await gatewayOf(await start());
    await makeBucket(store, 'photos', operationOf());
    await putBytes(store, 'photos', 'a', contentOf('first', 900_000));
    const found = await store.getObject({
      bucket: 'photos',
      key: 'a',
      versionId: undefined,
      customerKey: undefined,
      range: { kind: 'from', first: 0, last: 9 },
    });
    if (found.outcome !== 'found') throw new Error(found.outcome);
    await putBytes(store, 'photos', 'a', contentOf('second', 900_000));
    const read = async (): Promise<void> => {
      for await (const chunk of found.read({ from: 0, to: 900_000 })) expect(chunk).toBeUndefined();
    };
    await expect(read()).rejects.toMatchObject({ code: 'OVERWRITTEN' });
    found.close();
  });

  it('tells a missing bucket from a missing key, and forgets what was deleted', async () => {
    const { store } = await gatewayOf(await start());
    expect(await getBytesOf(store, 'none', 'a')).toBe('no-such-bucket');
    expect(await keysOf(store, 'none')).toBe('no-such-bucket');
    expect(await putBytes(store, 'none', 'a', utf8('a'))).toEqual({ outcome: 'no-such-bucket' });
    await makeBucket(store, 'photos', operationOf());
    expect(await getBytesOf(store, 'photos', 'a')).toBe('no-such-key');
    expect(await removeObject(store, 'photos', 'a', operationOf())).toMatchObject({ outcome: 'deleted' });
    await putBytes(store, 'photos', 'a', utf8('first'));
    await putBytes(store, 'photos', 'a', utf8('second'));
    expect(await getBytesOf(store, 'photos', 'a')).toEqual(utf8('second'));
    expect(await removeObject(store, 'photos', 'a', operationOf())).toMatchObject({ outcome: 'deleted' });
    expect(await getBytesOf(store, 'photos', 'a')).toBe('no-such-key');
    expect(await keysOf(store, 'photos')).toEqual([]);
    await putBytes(store, 'photos', 'a', utf8('third'));
    expect(await getBytesOf(store, 'photos', 'a')).toEqual(utf8('third'));
  });

  it('lists keys in the order of their bytes, in any window', async () => {
    const { store } = await gatewayOf(await start());
    await makeBucket(store, 'photos', operationOf());
    const keys = ['a', 'a/b', 'a/b/c', 'b', 'z', '\u00e9', '\ufeffbom', '\uffff', '\u{10000}'];
    await Promise.all([...keys].reverse().map((key) => putBytes(store, 'photos', key, utf8(key))));
    expect(await keysOf(store, 'photos')).toEqual(keys);
    const listing = await store.openListing('photos');
    if (listing.outcome !== 'listing') throw new Error(listing.outcome);
    const window = await listing.rows(utf8('a/b'), utf8('z'), 2);
    expect(window.map((row) => row.key)).toEqual(['a/b', 'a/b/c']);
    expect(window[0]).toMatchObject({ size: 3, etag: etagOf(utf8('a/b')) });
  });

  it('shows another gateway every write and deletion that was acknowledged before its LIST', async () => {
    const world = await start();
    const one = await gatewayOf(world, 0);
    const other = await gatewayOf(world, 1);
    await makeBucket(one.store, 'photos', operationOf());
    for (let i = 0; i < 20; i += 1) {
      await putBytes(one.store, 'photos', `key ${i}`, utf8(String(i)));
      expect(((await keysOf(other.store, 'photos')) as string[]).includes(`key ${i}`)).toBe(true);
      if (i % 3 !== 0) continue;
      await removeObject(other.store, 'photos', `key ${i}`, operationOf());
      expect(((await keysOf(one.store, 'photos')) as string[]).includes(`key ${i}`)).toBe(false);
      expect(await getBytesOf(one.store, 'photos', `key ${i}`)).toBe('no-such-key');
    }
    expect(await keysOf(other.store, 'photos')).toEqual(await keysOf(one.store, 'photos'));
  });

  it('builds the same listing from the logs when its index is gone, and while it is used', async () => {
    const world = await start();
    const first = await gatewayOf(world);
    await makeBucket(first.store, 'photos', operationOf());
    await makeBucket(first.store, 'films', operationOf());
    for (let i = 0; i < 40; i += 1)
      await putBytes(first.store, i % 4 === 0 ? 'films' : 'photos', `key ${i}`, utf8(`value ${i}`));
    for (let i = 0; i < 40; i += 5)
      await removeObject(first.store, i % 4 === 0 ? 'films' : 'photos', `key ${i}`, operationOf());
    const before = [
      await keysOf(first.store, 'photos'),
      await keysOf(first.store, 'films'),
      await first.store.listBuckets(),
    ];
    await first.gateway.rebuildIndex();
    expect([
      await keysOf(first.store, 'photos'),
      await keysOf(first.store, 'films'),
      await first.store.listBuckets(),
    ]).toEqual(before);
    await first.gateway.stop();
    gateways.length = 0;
    const second = await gatewayOf(world, 0, { index: newIndex() });
    expect([
      await keysOf(second.store, 'photos'),
      await keysOf(second.store, 'films'),
      await second.store.listBuckets(),
    ]).toEqual(before);
  });

  it('notices a rotten row, builds its index anew and lists the same', async () => {
    const world = await start();
    const { store, index } = await gatewayOf(world);
    await makeBucket(store, 'photos', operationOf());
    for (let i = 0; i < 10; i += 1) await putBytes(store, 'photos', `key ${i}`, utf8(`value ${i}`));
    const before = await keysOf(store, 'photos');
    for await (const [key, value] of index.iterator()) {
      if (key[0] === 'n'.charCodeAt(0)) await index.put(key, value.with(20, (value[20] ?? 0) ^ 1));
    }
    expect(await keysOf(store, 'photos')).toEqual(before);
    expect(world.telemetry.events.some(({ name }) => name === 'index is built anew')).toBe(true);
  });

  it('keeps its buckets and objects over a restart, with its index and without', async () => {
    const world = await start();
    const first = await gatewayOf(world);
    await makeBucket(first.store, 'photos', operationOf());
    await putBytes(first.store, 'photos', 'a', utf8('a'));
    await first.gateway.stop();
    gateways.length = 0;
    const second = await gatewayOf(world);
    expect(await getBytesOf(second.store, 'photos', 'a')).toEqual(utf8('a'));
    expect(await keysOf(second.store, 'photos')).toEqual(['a']);
    expect(await second.store.listBuckets()).toMatchObject([{ name: 'photos' }]);
  });
});
