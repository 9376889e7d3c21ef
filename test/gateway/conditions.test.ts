/** Conditional writes through whole gateways: decided once, whichever of them race, and repeated safely. */
import { afterEach, describe, expect, it } from 'vitest';
import { utf8 } from '../../src/base/bytes.ts';
import type { ObjectStore } from '../../src/gateway/s3/port/object-store.ts';
import type { PutObjectResult, WriteCondition } from '../../src/gateway/s3/port/objects.ts';
import {
  contentOfBytes,
  etagOf,
  getBytesOf,
  keysOf,
  makeBucket,
  NO_METADATA,
  operationOf,
  PLAIN_VERSION,
  removeObject,
  startGateway,
} from '../world/gateway-world.ts';
import type { TestGateway } from '../world/gateway-world.ts';
import { World } from '../world/world.ts';

const BUCKET = 'photos';
const FAILED = { outcome: 'condition-failed' };
const MUST_NOT_EXIST: WriteCondition = { ifNoneMatch: '*' };
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

function put(
  store: ObjectStore,
  key: string,
  text: string,
  condition?: WriteCondition,
  operation = operationOf(),
): Promise<PutObjectResult> {
  const content = contentOfBytes(utf8(text));
  return store.putObject({ ...PLAIN_VERSION, bucket: BUCKET, key, content, metadata: NO_METADATA, condition, operation });
}

describe('a conditional write', () => {
  it('that must be the first is so once, whichever gateways race', async () => {
    const [one, two] = await start();
    const texts = Array.from({ length: 8 }, (_, i) => `text ${i}`.repeat(1 + 300 * (i % 3)));
    const results = await Promise.all(texts.map((text, i) => put((i % 2 === 0 ? one : two).store, 'a', text, MUST_NOT_EXIST)));
    const outcomes = results.map(({ outcome }) => outcome);
    expect(outcomes.filter((outcome) => outcome === 'stored')).toHaveLength(1);
    expect(outcomes.filter((outcome) => outcome === 'condition-failed')).toHaveLength(7);
    const winner = texts[outcomes.indexOf('stored')] ?? '';
    for (const { store } of [one, two]) expect(await getBytesOf(store, BUCKET, 'a')).toEqual(utf8(winner));
  });

  it('that must follow what was read loses no update', async () => {
    const [one, two] = await start();
    expect((await put(one.store, 'counter', '0')).outcome).toBe('stored');
    const increment = async ({ store }: TestGateway): Promise<void> => {
      for (;;) {
        const bytes = await getBytesOf(store, BUCKET, 'counter');
        if (typeof bytes === 'string') throw new Error(bytes);
        const next = String(Number(new TextDecoder().decode(bytes)) + 1);
        const result = await put(store, 'counter', next, { ifMatch: etagOf(bytes) });
        if (result.outcome === 'stored') return;
        expect(result).toEqual(FAILED);
      }
    };
    await Promise.all(Array.from({ length: 10 }, (_, i) => increment(i % 2 === 0 ? one : two)));
    expect(await getBytesOf(one.store, BUCKET, 'counter')).toEqual(utf8('10'));
  });

  it('is judged on what nodes hold, not on what an index believes', async () => {
    const [one, two] = await start();
    expect((await put(one.store, 'a', 'one')).outcome).toBe('stored');
    expect(await keysOf(two.store, BUCKET)).toEqual(['a']);
    expect((await put(one.store, 'a', 'two')).outcome).toBe('stored');
    // This gateway has not followed the logs since.
    expect(await put(two.store, 'a', 'three', { ifMatch: etagOf(utf8('one')) })).toEqual(FAILED);
    expect((await put(two.store, 'a', 'three', { ifMatch: etagOf(utf8('two')) })).outcome).toBe('stored');
  });

  it('after a deletion finds nothing there', async () => {
    const [one, two] = await start();
    expect((await put(one.store, 'a', 'one', MUST_NOT_EXIST)).outcome).toBe('stored');
    expect(await removeObject(two.store, BUCKET, 'a', operationOf(), { ifMatch: 'other' })).toEqual(FAILED);
    expect(await removeObject(two.store, BUCKET, 'a', operationOf(), { ifMatch: etagOf(utf8('one')) })).toMatchObject({ outcome: 'deleted' });
    expect(await put(one.store, 'a', 'two', { ifMatch: '*' })).toEqual({ outcome: 'no-such-key' });
    expect(await removeObject(two.store, BUCKET, 'a', operationOf(), { ifMatch: '*' })).toEqual({ outcome: 'no-such-key' });
    expect((await put(one.store, 'a', 'two', MUST_NOT_EXIST)).outcome).toBe('stored');
  });

  it('that comes again gets the answer of the first time, and another of the same id does not', async () => {
    const [one, two] = await start();
    const operation = operationOf('repeated');
    const first = await put(one.store, 'a', 'text', MUST_NOT_EXIST, operation);
    expect(first.outcome).toBe('stored');
    expect(await put(one.store, 'a', 'text', MUST_NOT_EXIST, operation)).toEqual(first);
    expect(await put(one.store, 'a', 'other', MUST_NOT_EXIST, operation)).toEqual(FAILED);
    expect(await keysOf(two.store, BUCKET)).toEqual(['a']);
    expect(await put(two.store, 'a', 'text', MUST_NOT_EXIST, operation)).toEqual(first);
  });

  it('cannot be decided in a PLAIN bucket', async () => {
    const [{ store }] = await start();
    await makeBucket(store, 'undecided', operationOf(), false);
    const content = contentOfBytes(utf8('a'));
    const request = { ...PLAIN_VERSION, bucket: 'undecided', key: 'a', content, metadata: NO_METADATA, operation: operationOf() };
    expect(await store.putObject({ ...request, condition: MUST_NOT_EXIST })).toEqual({ outcome: 'condition-unsupported' });
    expect(await removeObject(store, 'undecided', 'a', operationOf(), { ifMatch: '*' })).toEqual({ outcome: 'condition-unsupported' });
  });
});
