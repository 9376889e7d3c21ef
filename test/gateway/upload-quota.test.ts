/** Quotas of unfinished uploads, over all buckets of an account and through two gateways. */
import { afterEach, describe, expect, it } from 'vitest';
import type { ObjectStore } from '../../src/gateway/s3/port/object-store.ts';
import type { UploadAddress } from '../../src/gateway/s3/port/uploads.ts';
import { ACCOUNT, contentOfBytes, makeBucket, NO_ATTRIBUTES, NO_METADATA, operationOf, startGateway } from '../world/gateway-world.ts';
import type { TestGateway } from '../world/gateway-world.ts';
import { World } from '../world/world.ts';

let world: World;
const gateways: TestGateway[] = [];

async function start(quota: { readonly uploads: number; readonly bytes: number }): Promise<readonly [TestGateway, TestGateway]> {
  world = await World.start({ n: 4, f: 1, writers: 2 });
  const both = [await startGateway(world, 0, { uploadQuota: quota }), await startGateway(world, 1, { uploadQuota: quota })] as const;
  gateways.push(...both);
  for (const bucket of ['films', 'songs']) await makeBucket(both[0].store, bucket);
  return both;
}

afterEach(async () => {
  for (const { gateway } of gateways.splice(0)) await gateway.stop();
  await world.stop();
});

function create(store: ObjectStore, bucket: string) {
  const version = { owner: ACCOUNT, attributes: NO_ATTRIBUTES, customerKey: undefined, metadata: NO_METADATA, checksum: undefined };
  return store.createUpload({ ...version, bucket, key: 'key', operation: operationOf() });
}

async function created(store: ObjectStore, bucket: string): Promise<UploadAddress> {
  const result = await create(store, bucket);
  if (result.outcome !== 'created') throw new Error(result.outcome);
  return { bucket, key: 'key', uploadId: result.uploadId };
}

function upload(store: ObjectStore, address: UploadAddress, number: number, size: number) {
  return store.uploadPart({ ...address, number, customerKey: undefined, content: contentOfBytes(new Uint8Array(size)), operation: operationOf() });
}

async function eventually(holds: () => Promise<boolean>): Promise<void> {
  for (let tried = 0; tried < 200; tried += 1) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error('it did not come about');
}

const REFUSED = { outcome: 'quota-exceeded' };

describe('the quota of unfinished uploads', () => {
  it('counts those of all buckets of an account, and has room again when one is aborted elsewhere', async () => {
    const [one, other] = await start({ uploads: 2, bytes: 1_000_000 });
    const first = await created(one.store, 'films');
    await created(one.store, 'songs');
    expect(await create(one.store, 'films')).toEqual(REFUSED);
    // It has followed the logs that far.
    await other.store.openListing('films');
    expect(await create(other.store, 'songs')).toEqual(REFUSED);
    expect(await other.store.abortUpload(first, operationOf())).toEqual({ outcome: 'aborted' });
    await eventually(async () => (await create(one.store, 'films')).outcome === 'created');
  });

  it('bounds the bytes of parts, also of those under way at once, and a replaced part is counted once', async () => {
    const [one] = await start({ uploads: 10, bytes: 10_000 });
    const address = await created(one.store, 'films');
    const both = await Promise.all([upload(one.store, address, 1, 6_000), upload(one.store, address, 2, 6_000)]);
    expect(both.map(({ outcome }) => outcome).sort()).toEqual(['quota-exceeded', 'stored']);
    const stored = both[0].outcome === 'stored' ? 1 : 2;
    // As soon as the sum is made anew.
    await eventually(async () => (await upload(one.store, address, stored, 4_000)).outcome === 'stored');
    await eventually(async () => (await upload(one.store, address, 3, 6_000)).outcome === 'stored');
    expect(await upload(one.store, address, 4, 1)).toEqual(REFUSED);
  });
});
