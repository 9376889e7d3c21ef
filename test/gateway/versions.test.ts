/** Versions through whole gateways: what each lists, also from an index built anew, and after races. */
import { afterEach, describe, expect, it } from 'vitest';
import { utf8 } from '../../src/base/bytes.ts';
import type { ObjectStore } from '../../src/gateway/s3/port/object-store.ts';
import { ACCOUNT, getBytesOf, makeBucket, operationOf, putBytes, removeObject, startGateway } from '../world/gateway-world.ts';
import type { TestGateway } from '../world/gateway-world.ts';
import { World } from '../world/world.ts';

const BUCKET = 'photos';
let world: World;
let gateways: TestGateway[] = [];

async function start(): Promise<readonly [TestGateway, TestGateway]> {
  world = await World.start({ n: 4, f: 1, writers: 2 });
  const both = [await startGateway(world, 0), await startGateway(world, 1)] as const;
  gateways = [...both];
  expect(await makeBucket(both[0].store, BUCKET)).toEqual({ outcome: 'created' });
  return both;
}

afterEach(async () => {
  for (const { gateway } of gateways.splice(0)) await gateway.stop();
  await world.stop();
});

async function keep(store: ObjectStore, versioning: 'enabled' | 'suspended'): Promise<void> {
  const change = { kind: 'versioning', versioning } as const;
  expect(await store.changeBucket({ bucket: BUCKET, change, operation: operationOf() })).toEqual({ outcome: 'changed' });
}

let puts = 0;

/** Requests of one operation; then its client gives up, and what used it begins anew. */
const REPEATS = 5;
const TRIES = 200;

/** As a client does: asks again while the outcome is not known or the record changes. */
async function put(store: ObjectStore, key: string, text: string): Promise<string> {
  puts += 1;
  for (let tried = 0; ; tried += 1) {
    const operation = operationOf(`put ${puts}, ${Math.floor(tried / REPEATS)}`);
    const result = await putBytes(store, BUCKET, key, utf8(text), operation).catch(() => ({ outcome: 'unknown' as const }));
    if (result.outcome === 'stored') return result.versionId ?? 'none';
    if (tried === TRIES) throw new Error(result.outcome);
    await world.clock.sleep(50);
  }
}

function removeVersion(store: ObjectStore, key: string, versionId: string) {
  const which = { bucket: BUCKET, key, versionId, owner: ACCOUNT, condition: undefined, bypassGovernance: false };
  return store.deleteObject({ ...which, operation: operationOf() });
}

async function listed(store: ObjectStore) {
  const listing = await store.openListing(BUCKET);
  if (listing.outcome !== 'listing') throw new Error(listing.outcome);
  const from = new Uint8Array(0);
  const rows = await listing.rows(from, undefined, 1000);
  return { rows, versions: await listing.versions(from, undefined, undefined, 1000) };
}

describe('versions', () => {
  it('are listed alike by every gateway, and from an index that is built anew from the logs', async () => {
    const [one, two] = await start();
    await put(one.store, 'old', 'before');
    await keep(one.store, 'enabled');
    const ids: string[] = [];
    for (let i = 0; i < 12; i += 1) ids.push(await put((i % 2 === 0 ? one : two).store, `key ${i % 3}`, `text ${i}`));
    expect(await removeVersion(two.store, 'key 0', ids[9] ?? '')).toMatchObject({ outcome: 'deleted' });
    expect(await removeVersion(one.store, 'key 1', ids[4] ?? '')).toMatchObject({ outcome: 'deleted' });
    await removeObject(two.store, BUCKET, 'key 2');
    await keep(two.store, 'suspended');
    await put(two.store, 'old', 'null again').catch(() => put(two.store, 'old', 'null again'));
    const expected = await listed(one.store);
    expect(expected.rows.map(({ key }) => key)).toEqual(['key 0', 'key 1', 'old']);
    expect(expected.versions).toHaveLength(12);
    expect(expected.versions.filter(({ isLatest }) => isLatest)).toHaveLength(4);
    expect(await listed(two.store)).toEqual(expected);
    for (const { gateway, store } of [one, two]) {
      await gateway.rebuildIndex();
      expect(await listed(store)).toEqual(expected);
      expect(await getBytesOf(store, BUCKET, 'key 0')).toEqual(utf8('text 6'));
    }
  });

  it('are listed as before from an index that an earlier program wrote, which knew fewer rows', async () => {
    const [one, two] = await start();
    await keep(one.store, 'enabled');
    await keep(one.store, 'suspended');
    for (const text of ['first', 'second']) await put(one.store, 'null', text);
    await keep(one.store, 'enabled');
    await put(one.store, 'null', 'kept');
    const expected = await listed(two.store);
    const { index, gateway } = one;
    await gateway.stop();
    gateways.splice(0, 1);
    await index.open();
    const later = new Set([...utf8('wqaef')]);
    for await (const key of index.keys()) if (later.has(key[0] ?? 0)) await index.del(key);
    await index.close();
    const again = await startGateway(world, 0, { index });
    gateways.push(again);
    expect(await listed(again.store)).toEqual(expected);
    await keep(again.store, 'suspended');
    await put(again.store, 'null', 'third');
    const { versions } = await listed(again.store);
    expect(versions.map(({ versionId }) => versionId === 'null')).toEqual([true, false]);
  });

  it('a request that comes again, at another gateway that has followed too, is told once more that a delete marker went', async () => {
    const [one, two] = await start();
    await keep(one.store, 'enabled');
    await put(one.store, 'a', 'below');
    const marker = await removeObject(one.store, BUCKET, 'a');
    if (marker.outcome !== 'deleted') throw new Error(marker.outcome);
    const which = { bucket: BUCKET, key: 'a', versionId: marker.versionId, owner: ACCOUNT, condition: undefined, bypassGovernance: false };
    const operation = operationOf('unmark');
    const told = { outcome: 'deleted', versionId: marker.versionId, isDeleteMarker: true };
    for (const { store } of [one, one]) expect(await store.deleteObject({ ...which, operation })).toEqual(told);
    // The other gateway knows what it has followed.
    await listed(two.store);
    expect(await two.store.deleteObject({ ...which, operation })).toEqual(told);
    expect(await two.store.deleteObject({ ...which, operation: operationOf() })).toEqual({ ...told, isDeleteMarker: false });
  });

  it('removed at once by two gateways all go, and what is left is the newest that was not', async () => {
    const [one, two] = await start();
    await keep(one.store, 'enabled');
    const ids: string[] = [];
    for (let i = 0; i < 7; i += 1) ids.push(await put(one.store, 'a', `text ${i}`));
    await put(two.store, 'b', 'so that this gateway knows the record');
    const removals = ids.slice(1).map(async (id, i) => {
      const { store } = i % 2 === 0 ? one : two;
      const ask = () => removeVersion(store, 'a', id);
      for (let tried = 0; ; tried += 1) {
        const result = await ask().catch((error: unknown) => {
          if (tried > TRIES) throw error;
          return null;
        });
        if (result !== null && result.outcome !== 'unknown') return result.outcome;
      }
    });
    expect(new Set(await Promise.all(removals))).toEqual(new Set(['deleted']));
    for (const { store } of [one, two]) {
      expect(await getBytesOf(store, BUCKET, 'a')).toEqual(utf8('text 0'));
      const { versions } = await listed(store);
      expect(versions.filter(({ key }) => key === 'a').map(({ versionId, isLatest }) => [versionId, isLatest])).toEqual([[ids[0], true]]);
    }
  });

  it('written at once under suspension leave one null version', async () => {
    const [one, two] = await start();
    await keep(one.store, 'enabled');
    const kept = await put(two.store, 'a', 'kept');
    await keep(one.store, 'suspended');
    await put(two.store, 'b', 'so that this gateway knows the record');
    await Promise.all(Array.from({ length: 6 }, (_, i) => put((i % 2 === 0 ? one : two).store, 'a', `text ${i}`)));
    const { versions } = await listed(one.store);
    expect(versions.filter(({ key }) => key === 'a').map(({ versionId }) => versionId)).toEqual(['null', kept]);
    expect(await listed(two.store)).toEqual(await listed(one.store));
  });
});
