import { afterEach, describe, expect, it, vi } from 'vitest';
import { EMPTY, hex, utf8 } from '../../src/base/bytes.ts';
import { decodeRequest } from '../../src/protocol/messages.ts';
import { openSignedManifest } from '../../src/protocol/manifest.ts';
import {
  contentOfBytes,
  etagOf,
  getBytesOf,
  newIndex,
  NO_METADATA,
  operationOf,
  putBytes,
  startGateway, makeBucket, removeObject, headOf, PLAIN_VERSION } from '../world/gateway-world.ts';
import type { TestGateway } from '../world/gateway-world.ts';
import { failing, slow } from '../../src/sim/adversaries/nodes.ts';
import { World } from '../world/world.ts';

const worlds: World[] = [];
const gateways: TestGateway[] = [];

async function start(): Promise<readonly [World, TestGateway]> {
  const world = await World.start({ n: 4, f: 1, writers: 2 });
  worlds.push(world);
  const gateway = await startGateway(world);
  gateways.push(gateway);
  await makeBucket(gateway.store, 'photos', operationOf());
  return [world, gateway];
}

afterEach(async () => {
  for (const { gateway } of gateways.splice(0)) await gateway.stop();
  for (const world of worlds.splice(0)) await world.stop();
});

/** Hashes of all manifests that slot 0 is asked to accept from now on. */
function preparedOn(world: World): Set<string> {
  const seen = new Set<string>();
  world.interceptors.set(0, async (honest, frame) => {
    const request = decodeRequest(frame.body);
    if (request.ok && request.value.t === 'PREPARE') {
      const opened = openSignedManifest(request.value.manifest);
      if (opened.ok) seen.add(hex(opened.value.hash));
    }
    return honest(frame);
  });
  return seen;
}

describe('a request that is sent again', () => {
  it('yields one version and the first result, whether the first has ended or not', async () => {
    const [world, { store }] = await start();
    const prepared = preparedOn(world);
    const operation = operationOf('put a');
    const put = (size: number) => putBytes(store, 'photos', 'a', utf8('x'.repeat(size)), operation);
    const results = await Promise.all([put(10_000), put(10_000), put(10_000)]);
    results.push(await put(10_000));
    for (const result of results) {
      expect(result).toMatchObject({
        outcome: 'stored',
        etag: etagOf(utf8('x'.repeat(10_000))),
        checksum: undefined,
      });
    }
    expect(prepared.size).toBe(1);
  });

  it('changes attributes and documents once: what others changed since is not undone', async () => {
    const [world, { store }] = await start();
    const other = await startGateway(world, 1);
    gateways.push(other);
    await putBytes(store, 'photos', 'a', utf8('x'));
    const tag = (to: typeof store, value: string, operation = operationOf()) =>
      to.changeAttributes({ bucket: 'photos', key: 'a', versionId: undefined, change: { kind: 'tags', tags: [['k', value]] }, operation });
    const rules = (to: typeof store, text: string, operation = operationOf()) =>
      to.configureBucket({ bucket: 'photos', document: 'cors', text, operation });
    const [tagOnce, ruleOnce] = [operationOf('tag once'), operationOf('rule once')];
    expect(await tag(store, 'first', tagOnce)).toMatchObject({ outcome: 'changed' });
    expect(await rules(store, 'first', ruleOnce)).toMatchObject({ outcome: 'changed' });
    expect(await tag(other.store, 'second')).toMatchObject({ outcome: 'changed' });
    expect(await rules(other.store, 'second')).toMatchObject({ outcome: 'changed' });
    expect(await tag(store, 'first', tagOnce)).toMatchObject({ outcome: 'changed' });
    expect(await rules(store, 'first', ruleOnce)).toMatchObject({ outcome: 'changed' });
    const head = await headOf(other.store, 'photos', 'a');
    expect(head.outcome === 'found' && head.info.attributes.tags).toEqual([['k', 'second']]);
    await world.clock.sleep(2_100);
    const bucket = await other.store.readBucket('photos');
    expect(bucket.outcome === 'found' && bucket.bucket.documents.cors).toBe('second');
  });

  it('is a new operation when its content or its metadata differs', async () => {
    const [world, { store }] = await start();
    const prepared = preparedOn(world);
    const operation = operationOf('put a');
    await putBytes(store, 'photos', 'a', utf8('first'), operation);
    await putBytes(store, 'photos', 'a', utf8('other'), operation);
    expect(await getBytesOf(store, 'photos', 'a')).toEqual(utf8('other'));
    const metadata = { ...NO_METADATA, contentType: 'text/html' };
    await store.putObject({ ...PLAIN_VERSION,
      bucket: 'photos',
      key: 'a',
      content: contentOfBytes(utf8('other')),
      metadata,
      operation,
    });
    expect(await headOf(store, 'photos', 'a')).toMatchObject({
      info: { metadata: { contentType: 'text/html' } },
    });
    expect(prepared.size).toBe(3);
  });

  it('does not overwrite what was written in between', async () => {
    const [, { store }] = await start();
    const put = operationOf('put a');
    const remove = operationOf('delete b');
    await putBytes(store, 'photos', 'a', utf8('first'), put);
    await putBytes(store, 'photos', 'b', utf8('first'));
    await removeObject(store, 'photos', 'b', remove);
    for (const key of ['a', 'b']) await putBytes(store, 'photos', key, utf8('second'));
    expect(await putBytes(store, 'photos', 'a', utf8('first'), put)).toMatchObject({ outcome: 'stored' });
    expect(await removeObject(store, 'photos', 'b', remove)).toMatchObject({ outcome: 'deleted' });
    for (const key of ['a', 'b']) expect(await getBytesOf(store, 'photos', key)).toEqual(utf8('second'));
  });

  it('is recognised by the next start, also with a new index', async () => {
    const [world, first] = await start();
    const operation = operationOf('put a');
    await putBytes(first.store, 'photos', 'a', utf8('value'), operation);
    await first.gateway.stop();
    gateways.length = 0;
    for (const index of [first.index, newIndex()]) {
      const prepared = preparedOn(world);
      const next = await startGateway(world, 0, { index });
      expect(await putBytes(next.store, 'photos', 'a', utf8('value'), operation)).toMatchObject({
        outcome: 'stored',
      });
      expect(prepared.size).toBe(0);
      await next.gateway.stop();
    }
  });

  it('is recognised by the next start with a new index, also when it was overwritten', async () => {
    const [world, first] = await start();
    const operation = operationOf('put a');
    const put = ({ store }: TestGateway) => putBytes(store, 'photos', 'a', utf8('first'), operation);
    await put(first);
    await putBytes(first.store, 'photos', 'a', utf8('second'));
    await first.gateway.stop();
    gateways.length = 0;
    // The second start inherits it from the first one's journal, which is begun anew.
    for (let restart = 0; restart < 2; restart += 1) {
      const prepared = preparedOn(world);
      const next = await startGateway(world, 0, { index: newIndex() });
      expect(await put(next)).toMatchObject({ outcome: 'stored', etag: etagOf(utf8('first')) });
      await next.gateway.rebuildIndex();
      expect(await put(next)).toMatchObject({ outcome: 'stored', etag: etagOf(utf8('first')) });
      expect(prepared.size).toBe(0);
      expect(await getBytesOf(next.store, 'photos', 'a')).toEqual(utf8('second'));
      await next.gateway.stop();
    }
  });

  it('is recognised when its acknowledgements came after it was called unknown, also when it was overwritten', async () => {
    const world = await World.start({ n: 4, f: 1, writers: 2 });
    worlds.push(world);
    const gateway = await startGateway(world, 0, { deadlines: { commitMs: 200, completeMs: 5_000 } });
    gateways.push(gateway);
    const { store } = gateway;
    await makeBucket(store, 'photos', operationOf());
    const operation = operationOf('put a');
    const put = () => putBytes(store, 'photos', 'a', utf8('first'), operation);
    await gateway.gateway.rebuildIndex();
    const late = slow(world, 500, 'COMMIT');
    // The index hears nothing of the logs meanwhile.
    const deaf = failing('CHANGES');
    for (const slot of [0, 1, 2, 3]) {
      world.interceptors.set(slot, (honest, frame, from) => late((asked) => deaf(honest, asked, from), frame, from));
    }
    expect(await put()).toEqual({ outcome: 'unknown' });
    await world.clock.sleep(800);
    for (const slot of [0, 1, 2, 3]) world.interceptors.set(slot, deaf);
    await putBytes(store, 'photos', 'a', utf8('second'));
    world.interceptors.clear();
    const prepared = preparedOn(world);
    expect(await put()).toMatchObject({ outcome: 'stored', etag: etagOf(utf8('first')) });
    expect(prepared.size).toBe(0);
    expect(await getBytesOf(store, 'photos', 'a')).toEqual(utf8('second'));
  });

  it('stays unknown when nobody can tell whether it was there before what overwrote it', async () => {
    const world = await World.start({ n: 4, f: 1, writers: 2 });
    worlds.push(world);
    const deadlines = { commitMs: 200, completeMs: 200 };
    const first = await startGateway(world, 0, { deadlines });
    gateways.push(first);
    // In a serialised bucket the version that follows would tell.
    await makeBucket(first.store, 'photos', operationOf(), false);
    for (const slot of [0, 1, 2, 3]) world.interceptors.set(slot, failing('COMMIT'));
    const operation = operationOf('put a');
    const put = () => putBytes(first.store, 'photos', 'a', utf8('first'), operation);
    expect(await put()).toEqual({ outcome: 'unknown' });
    await world.clock.sleep(300);
    world.interceptors.clear();
    const other = await startGateway(world, 1);
    gateways.push(other);
    // Twice, because the first of them has the same counter: the writers' ids decide which of the two is higher.
    for (const value of ['between', 'second']) await putBytes(other.store, 'photos', 'a', utf8(value));
    for (let again = 0; again < 3; again += 1) expect(await put()).toEqual({ outcome: 'unknown' });
    expect(await getBytesOf(other.store, 'photos', 'a')).toEqual(utf8('second'));
  });

  it.each([1, 2])('has the result of a write that others completed and %i more replaced, also with a new index', async (others) => {
    const [world, { store }] = await start();
    const other = await startGateway(world, 1);
    gateways.push(other);
    // Of several it is found only where it is kept.
    const change = { kind: 'versioning', versioning: 'enabled' } as const;
    if (others > 1) await store.changeBucket({ bucket: 'photos', change, operation: operationOf() });
    const first = operationOf('put a');
    const put = (to: typeof store) => putBytes(to, 'photos', 'a', utf8('first'), first);
    // So that both gateways know the record.
    for (const one of [store, other.store]) await vi.waitUntil(() => putBytes(one, 'photos', 'b', utf8('b')).then(() => true, () => false), { timeout: 20_000 });
    let overwritten: () => void = () => undefined;
    const isOverwritten = new Promise<void>((resolve) => {
      overwritten = resolve;
    });
    let accepted = 0;
    const own = hex(world.writers[0]?.tlsKey.publicKey ?? EMPTY);
    for (const slot of [0, 1, 2, 3]) {
      world.interceptors.set(slot, async (honest, frame, from) => {
        const answer = await honest(frame);
        const request = decodeRequest(frame.body);
        if (!request.ok || request.value.t !== 'PREPARE' || from.peer !== own) return answer;
        accepted += 1;
        await isOverwritten;
        throw new Error('the answer is lost');
      });
    }
    const outcome = put(store);
    await vi.waitUntil(() => accepted === 4, { timeout: 20_000 });
    for (let i = 0; i < others; i += 1) await putBytes(other.store, 'photos', 'a', utf8(`other ${i}`));
    overwritten();
    expect(await outcome).toMatchObject({ outcome: 'stored', etag: etagOf(utf8('first')) });
    world.interceptors.clear();
    await gateways.splice(0, 1)[0]?.gateway.stop();
    const next = await startGateway(world, 0, { index: newIndex() });
    gateways.push(next);
    const prepared = preparedOn(world);
    expect(await put(next.store)).toMatchObject({ outcome: 'stored', etag: etagOf(utf8('first')) });
    expect(prepared.size).toBe(0);
    expect(await getBytesOf(next.store, 'photos', 'a')).toEqual(utf8(`other ${others - 1}`));
  });

  it('goes on alone after the first was cut off in the middle of its body', async () => {
    const [world, { store }] = await start();
    const prepared = preparedOn(world);
    const operation = operationOf('put a');
    const cut = new Error('the client went away');
    const broken = contentOfBytes(utf8('x'.repeat(10_000)));
    async function* ending(): AsyncGenerator<Uint8Array, void> {
      yield utf8('x'.repeat(5_000));
      throw cut;
    }
    const content = { ...broken, bytes: ending() };
    await expect(
      store.putObject({ ...PLAIN_VERSION, bucket: 'photos', key: 'a', content, metadata: NO_METADATA, operation }),
    ).rejects.toBe(cut);
    expect(prepared.size).toBe(0);
    expect(await getBytesOf(store, 'photos', 'a')).toBe('no-such-key');
    expect(await putBytes(store, 'photos', 'a', utf8('x'.repeat(10_000)), operation)).toMatchObject({
      outcome: 'stored',
    });
    expect(prepared.size).toBe(1);
  });
});
