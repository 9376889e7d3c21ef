/** What changes about a version without a new one, through two gateways: its size at the limits of S3. */
import { afterEach, describe, expect, it } from 'vitest';
import { utf8 } from '../../src/base/bytes.ts';
import { encodeGrants, GRANTS_MAX } from '../../src/gateway/s3/access/acl.ts';
import type { ObjectStore } from '../../src/gateway/s3/port/object-store.ts';
import type { ObjectAttributes } from '../../src/gateway/s3/port/objects.ts';
import { ACCOUNT, contentOfBytes, headOf, makeBucket, NO_METADATA, operationOf, PLAIN_VERSION, putBytes, startGateway } from '../world/gateway-world.ts';
import type { TestGateway } from '../world/gateway-world.ts';
import { World } from '../world/world.ts';

const BUCKET = 'photos';
let world: World;
const gateways: TestGateway[] = [];

async function start(): Promise<readonly [TestGateway, TestGateway]> {
  world = await World.start({ n: 4, f: 1, writers: 2 });
  const both = [await startGateway(world, 0), await startGateway(world, 1)] as const;
  gateways.push(...both);
  await makeBucket(both[0].store, BUCKET);
  return both;
}

afterEach(async () => {
  for (const { gateway } of gateways.splice(0)) await gateway.stop();
  await world.stop();
});

/** Ten tags of 128 and 256 characters, each of four bytes in UTF-8. */
const LARGEST_TAGS = Array.from({ length: 10 }, (_, at) => [`${String(at)}${'😀'.repeat(127)}`, '😀'.repeat(256)] as const);
/** As many grants as S3 takes, to accounts with names of full length. */
const LARGEST_GRANTS = encodeGrants(
  Array.from({ length: GRANTS_MAX }, (_, at) => ({
    grantee: { kind: 'account' as const, id: String(at).padStart(64, 'a') },
    permission: 'FULL_CONTROL' as const,
  })),
  'the owner',
);
const LARGEST: ObjectAttributes = { tags: LARGEST_TAGS, accessControl: LARGEST_GRANTS, retention: undefined, legalHold: false };

describe('the largest attributes of S3', () => {
  it('come with a version of the longest name and the largest metadata', async () => {
    const [one, other] = await start();
    const key = 'k'.repeat(1024);
    const metadata = { ...NO_METADATA, user: [['x', 'v'.repeat(2047)]] as const };
    const put = { ...PLAIN_VERSION, bucket: BUCKET, key, metadata, attributes: LARGEST, operation: operationOf() };
    expect(await one.store.putObject({ ...put, content: contentOfBytes(utf8('content')) })).toMatchObject({ outcome: 'stored' });
    expect(await headOf(other.store, BUCKET, key)).toMatchObject({ outcome: 'found', info: { attributes: LARGEST, metadata } });
  });

  it('take the place of others', async () => {
    const [one, other] = await start();
    await putBytes(one.store, BUCKET, 'key', utf8('content'));
    const version = { bucket: BUCKET, key: 'key', versionId: undefined };
    for (const change of [
      { kind: 'tags', tags: LARGEST_TAGS },
      { kind: 'accessControl', accessControl: LARGEST_GRANTS },
    ] as const) {
      expect(await one.store.changeAttributes({ ...version, change, operation: operationOf() })).toMatchObject({ outcome: 'changed' });
    }
    expect(await headOf(other.store, BUCKET, 'key')).toMatchObject({ outcome: 'found', info: { attributes: LARGEST } });
  });
});

/** Registers of attributes that a gateway knows, as the index holds them. */
async function registersOf({ index }: TestGateway): Promise<number> {
  let count = 0;
  for await (const [key] of index.iterator()) if (key[0] === 'a'.charCodeAt(0)) count += 1;
  return count;
}

async function eventually(holds: () => Promise<boolean>): Promise<void> {
  for (let tried = 0; tried < 200; tried += 1) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error('it did not come about');
}

function tag(store: ObjectStore, key: string, versionId: string | undefined) {
  const change = { kind: 'tags', tags: [['a', 'b']] } as const;
  return store.changeAttributes({ bucket: BUCKET, key, versionId, change, operation: operationOf() });
}

/** A locked bucket with one version that has attributes of its own. */
async function locked(store: ObjectStore): Promise<string> {
  await store.createBucket({ bucket: BUCKET, owner: ACCOUNT, lockEnabled: true, serialised: true, documents: {}, operation: operationOf() });
  const put = await putBytes(store, BUCKET, 'key', utf8('content'));
  if (put.outcome !== 'stored' || put.versionId === undefined) throw new Error(put.outcome);
  expect(await tag(store, 'key', put.versionId)).toMatchObject({ outcome: 'changed' });
  return put.versionId;
}

function removeVersion(store: ObjectStore, versionId: string) {
  const which = { bucket: BUCKET, key: 'key', versionId, owner: ACCOUNT, condition: undefined, bypassGovernance: false };
  return store.deleteObject({ ...which, operation: operationOf() });
}

describe('attributes that were changed', () => {
  it('end with their version when it is overwritten, for every gateway', async () => {
    const [one, other] = await start();
    await putBytes(one.store, BUCKET, 'key', utf8('first'));
    expect(await tag(one.store, 'key', undefined)).toMatchObject({ outcome: 'changed' });
    await one.gateway.rebuildIndex();
    expect(await registersOf(one)).toBe(1);
    await putBytes(other.store, BUCKET, 'key', utf8('second'));
    await eventually(async () => (await registersOf(one)) === 0 && (await registersOf(other)) === 0);
    expect(await headOf(other.store, BUCKET, 'key')).toMatchObject({ info: { attributes: { tags: [] } } });
  });

  it('end with their version when it is removed under object lock, also when the gateway that removed it has died', async () => {
    world = await World.start({ n: 4, f: 1, writers: 2 });
    // Its upkeep comes too late.
    const one = await startGateway(world, 0, { tuning: { upkeepMs: 3_600_000, partsKeptMs: 50, closingMs: 1_000 } });
    const versionId = await locked(one.store);
    expect(await removeVersion(one.store, versionId)).toMatchObject({ outcome: 'deleted' });
    await one.store.openListing(BUCKET);
    expect(await registersOf(one)).toBe(1);
    await one.gateway.stop();
    const other = await startGateway(world, 1);
    gateways.push(other);
    await other.store.openListing(BUCKET);
    await eventually(async () => (await registersOf(other)) === 0);
    expect(await headOf(other.store, BUCKET, 'key', versionId)).toMatchObject({ outcome: 'no-such-version' });
  });

  it('stay as long as their version does', async () => {
    world = await World.start({ n: 4, f: 1, writers: 2 });
    const one = await startGateway(world, 0);
    gateways.push(one);
    const versionId = await locked(one.store);
    const change = { kind: 'legalHold', legalHold: true } as const;
    const held = { bucket: BUCKET, key: 'key', versionId, change, operation: operationOf() };
    expect(await one.store.changeAttributes(held)).toMatchObject({ outcome: 'changed' });
    await putBytes(one.store, BUCKET, 'key', utf8('next'));
    expect(await removeVersion(one.store, versionId)).toEqual({ outcome: 'locked' });
    await new Promise((resolve) => setTimeout(resolve, 600));
    expect(await registersOf(one)).toBe(1);
    expect(await headOf(one.store, BUCKET, 'key', versionId)).toMatchObject({ info: { attributes: { legalHold: true } } });
  });
});
