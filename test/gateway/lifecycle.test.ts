/** Lifecycle rules carried out by gateways that run beside each other, over storage nodes that hold the locks. */
import { afterEach, describe, expect, it } from 'vitest';
import { utf8 } from '../../src/base/bytes.ts';
import { encodeLifecycle, parseLifecycle } from '../../src/gateway/s3/lifecycle/document.ts';
import type { ObjectStore } from '../../src/gateway/s3/port/object-store.ts';
import { ACCOUNT, contentOfBytes, headOf, NO_ATTRIBUTES, NO_METADATA, operationOf, PLAIN_VERSION, putBytes, startGateway } from '../world/gateway-world.ts';
import type { TestGateway } from '../world/gateway-world.ts';
import { World } from '../world/world.ts';

const BUCKET = 'kept-for-a-while';
/** A day is 300 ms, and ends at once. */
const DAY_MS = 300;
let world: World;
let gateways: TestGateway[] = [];

afterEach(async () => {
  for (const { gateway } of gateways.splice(0)) await gateway.stop();
  await world.stop();
});

async function start(): Promise<readonly [ObjectStore, ObjectStore]> {
  world = await World.start({ n: 4, f: 1, writers: 2 });
  const options = {
    lifecycleTime: { dayMs: DAY_MS, roundMs: 1 },
    tuning: { upkeepMs: 200, partsKeptMs: 50, closingMs: 1_000, lifecycleMs: 50 },
  };
  gateways = [await startGateway(world, 0, options), await startGateway(world, 1, options)];
  const [one, two] = gateways.map(({ store }) => store);
  if (one === undefined || two === undefined) throw new Error('two gateways run');
  return [one, two];
}

/** Both gateways carry the rules out at once, as often as they can. */
async function rules(store: ObjectStore, ...all: readonly string[]): Promise<void> {
  const written = all.map((rule) => `<Rule>${rule}<Status>Enabled</Status></Rule>`).join('');
  const text = encodeLifecycle(parseLifecycle(utf8(`<LifecycleConfiguration>${written}</LifecycleConfiguration>`)));
  const configured = await store.configureBucket({ bucket: BUCKET, document: 'lifecycle', text, operation: operationOf() });
  expect(configured).toMatchObject({ outcome: 'changed' });
}

async function make(store: ObjectStore, lockEnabled: boolean): Promise<void> {
  const made = await store.createBucket({ bucket: BUCKET, owner: ACCOUNT, lockEnabled, serialised: true, documents: {}, operation: operationOf() });
  expect(made).toEqual({ outcome: 'created' });
}

const isThere = async (store: ObjectStore, key: string, versionId?: string): Promise<boolean> =>
  (await headOf(store, BUCKET, key, versionId)).outcome === 'found';

describe('lifecycle', () => {
  it('expires what is due and nothing else, with a node that is down', async () => {
    const [one, two] = await start();
    await make(one, false);
    for (const key of ['tmp/a', 'tmp/b', 'kept']) await putBytes(one, BUCKET, key, utf8(key));
    await world.kill(3);
    await rules(two, '<Filter><Prefix>tmp/</Prefix></Filter><Expiration><Days>1</Days></Expiration>');
    await expect.poll(async () => [await isThere(one, 'tmp/a'), await isThere(two, 'tmp/b')], { timeout: 15_000 }).toEqual([false, false]);
    expect(await isThere(two, 'kept')).toBe(true);
    expect(world.telemetry.counts.get('lifecycle_failed code=UNEXPECTED')).toBeUndefined();
  });

  it('never removes a version that is locked, and removes the others behind it', async () => {
    const [one, two] = await start();
    await make(one, true);
    const retention = { mode: 'GOVERNANCE', untilMs: Date.now() + 3_600_000 } as const;
    const attributes = { ...NO_ATTRIBUTES, retention };
    const version = { ...PLAIN_VERSION, attributes, metadata: NO_METADATA, operation: operationOf() };
    const locked = await one.putObject({ ...version, bucket: BUCKET, key: 'both', content: contentOfBytes(utf8('locked')) });
    const free = await putBytes(one, BUCKET, 'both', utf8('free'));
    const newest = await putBytes(one, BUCKET, 'both', utf8('newest'));
    if (locked.outcome !== 'stored' || free.outcome !== 'stored' || newest.outcome !== 'stored') throw new Error('not stored');
    await rules(one, '<Filter/><NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays></NoncurrentVersionExpiration>');
    await expect.poll(() => isThere(two, 'both', free.versionId), { timeout: 15_000 }).toBe(false);
    await world.clock.sleep(4 * DAY_MS);
    expect(await isThere(two, 'both', locked.versionId)).toBe(true);
    expect(await isThere(two, 'both', newest.versionId)).toBe(true);
  });

  it('ends unfinished uploads', async () => {
    const [one, two] = await start();
    await make(one, false);
    const upload = { bucket: BUCKET, key: 'half', owner: ACCOUNT, attributes: NO_ATTRIBUTES, checksum: undefined, customerKey: undefined, metadata: NO_METADATA, operation: operationOf() };
    const created = await one.createUpload(upload);
    if (created.outcome !== 'created') throw new Error(created.outcome);
    await rules(one, '<Filter/><AbortIncompleteMultipartUpload><DaysAfterInitiation>1</DaysAfterInitiation></AbortIncompleteMultipartUpload>');
    const { uploadId } = created;
    const gone = async () => (await two.readUpload({ bucket: BUCKET, key: 'half', uploadId })).outcome;
    await expect.poll(gone, { timeout: 15_000 }).toBe('no-such-upload');
  });

  it('stops with its gateway', async () => {
    const [one] = await start();
    await make(one, false);
    await Promise.all(Array.from({ length: 40 }, (_, i) => putBytes(one, BUCKET, `key ${i}`, utf8('x'))));
    await rules(one, '<Filter/><Expiration><Days>1</Days></Expiration>');
    await world.clock.sleep(2 * DAY_MS);
    const begun = Date.now();
    for (const { gateway } of gateways.splice(0)) await gateway.stop();
    expect(Date.now() - begun).toBeLessThan(10_000);
  });
});
