import { afterEach, describe, expect, it } from 'vitest';
import { concat, hex } from '../../src/base/bytes.ts';
import type { ObjectStore } from '../../src/gateway/s3/port/object-store.ts';
import type { PartInfo, UploadAddress } from '../../src/gateway/s3/port/uploads.ts';
import { decodeRequest } from '../../src/protocol/messages.ts';
import { contentOf, sameBytes } from '../world/client-world.ts';
import {
  contentOfBytes,
  etagOf,
  getBytesOf,
  keysOf,
  NO_METADATA,
  operationOf,
  startGateway, makeBucket, headOf, ACCOUNT, NO_ATTRIBUTES } from '../world/gateway-world.ts';
import type { TestGateway } from '../world/gateway-world.ts';
import { World } from '../world/world.ts';

const worlds: World[] = [];
const gateways: TestGateway[] = [];

async function start(): Promise<readonly [World, TestGateway, TestGateway]> {
  const world = await World.start({ n: 4, f: 1, writers: 2 });
  worlds.push(world);
  const pair = [await startGateway(world, 0), await startGateway(world, 1)] as const;
  gateways.push(...pair);
  await makeBucket(pair[0].store, 'films', operationOf());
  return [world, ...pair];
}

afterEach(async () => {
  for (const { gateway } of gateways.splice(0)) await gateway.stop();
  for (const world of worlds.splice(0)) await world.stop();
});

const METADATA = { ...NO_METADATA, contentType: 'video/mp4' };

async function create(store: ObjectStore, key: string): Promise<UploadAddress> {
  const created = await store.createUpload({ owner: ACCOUNT, attributes: NO_ATTRIBUTES, customerKey: undefined,
    bucket: 'films',
    key,
    metadata: METADATA,
    checksum: undefined,
    operation: operationOf(),
  });
  if (created.outcome !== 'created') throw new Error(created.outcome);
  return { bucket: 'films', key, uploadId: created.uploadId };
}

function upload(store: ObjectStore, address: UploadAddress, number: number, bytes: Uint8Array) {
  return store.uploadPart({ customerKey: undefined, ...address, number, content: contentOfBytes(bytes), operation: operationOf() });
}

async function partsOf(store: ObjectStore, address: UploadAddress): Promise<readonly PartInfo[]> {
  const found = await store.readUpload(address);
  if (found.outcome !== 'found') throw new Error(found.outcome);
  return found.parts;
}

async function eventually(holds: () => Promise<boolean>): Promise<void> {
  for (let tried = 0; tried < 200; tried += 1) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error('it did not come about');
}

async function hiddenRows({ index }: TestGateway): Promise<number> {
  let count = 0;
  for await (const [key] of index.iterator()) if (key[0] === 'm'.charCodeAt(0)) count += 1;
  return count;
}

describe('a multipart upload', () => {
  it('becomes one object of its parts, across gateways, and leaves nothing behind', async () => {
    const [, one, other] = await start();
    const address = await create(one.store, 'long film');
    const pieces = [contentOf('one', 1_000_000), contentOf('two', 900), contentOf('three', 300_000)];
    expect(await upload(one.store, address, 1, contentOf('replaced', 5000))).toMatchObject({
      outcome: 'stored',
    });
    await Promise.all([
      upload(other.store, address, 3, pieces[2] ?? new Uint8Array(0)),
      upload(one.store, address, 2, pieces[1] ?? new Uint8Array(0)),
    ]);
    expect(await upload(other.store, address, 1, pieces[0] ?? new Uint8Array(0))).toMatchObject({
      outcome: 'stored',
    });
    for (const { store } of [one, other]) {
      const parts = await partsOf(store, address);
      expect(parts.map(({ number, size, etag }) => [number, size, etag])).toEqual(
        pieces.map((p, i) => [i + 1, p.length, etagOf(p)]),
      );
      expect(await keysOf(store, 'films')).toEqual([]);
    }
    const request = {
      ...address,
      parts: await partsOf(one.store, address),
      etag: 'abc-3',
      checksum: undefined,
    };
    const operation = operationOf('complete');
    const completed = await other.store.completeUpload({ condition: undefined, ...request, operation });
    expect(completed).toMatchObject({ outcome: 'stored', etag: 'abc-3', checksum: undefined });
    for (const { store } of [one, other]) {
      const got = await getBytesOf(store, 'films', 'long film');
      expect(got instanceof Uint8Array && sameBytes(got, concat(...pieces))).toBe(true);
      expect(await headOf(store, 'films', 'long film')).toMatchObject({
        info: { etag: 'abc-3', metadata: METADATA },
      });
      expect(await store.readUpload(address)).toEqual({ outcome: 'no-such-upload' });
      expect(await keysOf(store, 'films')).toEqual(['long film']);
    }
    expect(await other.store.completedUpload(address, operation)).toEqual(completed);
    expect(await other.store.completedUpload(address, operationOf('another'))).toBeUndefined();
    // The parts go behind the answer; their contents stay, for the object names them.
    await eventually(async () => {
      await keysOf(other.store, 'films');
      return (await hiddenRows(other)) === 0;
    });
    const again = await getBytesOf(one.store, 'films', 'long film');
    expect(again instanceof Uint8Array && sameBytes(again, concat(...pieces))).toBe(true);
  });

  it('is read in ranges across its parts', async () => {
    const [, { store }] = await start();
    const address = await create(store, 'ranged');
    const pieces = [contentOf('a', 900_000), contentOf('b', 800_000)];
    for (const [i, piece] of pieces.entries()) await upload(store, address, i + 1, piece);
    await store.completeUpload({ condition: undefined,
      ...address,
      parts: await partsOf(store, address),
      etag: 'e-2',
      checksum: undefined,
      operation: operationOf(),
    });
    const found = await store.getObject({
      bucket: 'films',
      key: 'ranged',
      versionId: undefined,
      customerKey: undefined,
      range: { kind: 'from', first: 899_990, last: 900_009 },
    });
    if (found.outcome !== 'found') throw new Error(found.outcome);
    const got: number[] = [];
    for await (const chunk of found.read({ from: 899_990, to: 900_010 })) got.push(...chunk);
    expect(sameBytes(Uint8Array.from(got), concat(...pieces).subarray(899_990, 900_010))).toBe(true);
  });

  it('is not completed with a part that was replaced meanwhile, and may be of an empty part', async () => {
    const [, { store }] = await start();
    const address = await create(store, 'a');
    await upload(store, address, 1, contentOf('first', 1000));
    const parts = await partsOf(store, address);
    await upload(store, address, 1, contentOf('second', 1000));
    const request = { ...address, etag: 'e-1', checksum: undefined };
    expect(await store.completeUpload({ condition: undefined, ...request, parts, operation: operationOf() })).toEqual({
      outcome: 'changed',
    });
    await upload(store, address, 1, new Uint8Array(0));
    const empty = await partsOf(store, address);
    expect(await store.completeUpload({ condition: undefined, ...request, parts: empty, operation: operationOf() })).toMatchObject({
      outcome: 'stored',
    });
    expect(await getBytesOf(store, 'films', 'a')).toEqual(new Uint8Array(0));
  });

  it('ends with an abort: nothing is listed, read or kept of it', async () => {
    const [, one, other] = await start();
    const address = await create(one.store, 'a');
    for (let number = 1; number <= 12; number += 1)
      await upload(one.store, address, number, contentOf(`part ${number}`, 100));
    expect(await other.store.abortUpload(address, operationOf())).toEqual({ outcome: 'aborted' });
    expect(await one.store.readUpload(address)).toEqual({ outcome: 'no-such-upload' });
    expect(await upload(one.store, address, 1, contentOf('late', 10))).toEqual({ outcome: 'no-such-upload' });
    expect(await other.store.abortUpload(address, operationOf())).toEqual({ outcome: 'no-such-upload' });
    await eventually(async () => {
      await keysOf(other.store, 'films');
      return (await hiddenRows(other)) === 0;
    });
  });

  it('that ends while a part is stored leaves that part to nobody', async () => {
    const [world, one, other] = await start();
    const address = await create(one.store, 'a');
    const peer = hex(world.writers[0]?.tlsKey.publicKey ?? new Uint8Array(0));
    let release = (): void => undefined;
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    for (const slot of [0, 1, 2, 3]) {
      world.interceptors.set(slot, async (honest, frame, from) => {
        const request = decodeRequest(frame.body);
        if (from.peer === peer && request.ok && request.value.t === 'PREPARE') await released;
        return honest(frame);
      });
    }
    const late = upload(one.store, address, 1, contentOf('late', 5_000));
    expect(await other.store.abortUpload(address, operationOf())).toEqual({ outcome: 'aborted' });
    release();
    expect(await late).toEqual({ outcome: 'no-such-upload' });
    await eventually(async () => {
      await keysOf(other.store, 'films');
      return (await hiddenRows(other)) === 0;
    });
    await keysOf(one.store, 'films');
    expect(await hiddenRows(one)).toBe(0);
  });

  it('under a wrong name or id does not exist', async () => {
    const [, { store }] = await start();
    const address = await create(store, 'a');
    for (const wrong of [
      { ...address, key: 'b' },
      { ...address, uploadId: 'x' },
      { ...address, uploadId: '0'.repeat(32) },
    ]) {
      expect(await store.readUpload(wrong)).toEqual({ outcome: 'no-such-upload' });
      expect(await upload(store, wrong, 1, contentOf('x', 10))).toEqual({ outcome: 'no-such-upload' });
    }
    expect(await store.readUpload({ ...address, bucket: 'none' })).toEqual({ outcome: 'no-such-bucket' });
  });

  it('does not keep its bucket from being deleted', async () => {
    const [, one, other] = await start();
    const address = await create(one.store, 'a');
    await upload(one.store, address, 1, contentOf('a part', 10_000));
    expect(await other.store.deleteBucket('films', operationOf())).toMatchObject({ outcome: 'deleted' });
    expect(await one.store.readUpload(address)).toEqual({ outcome: 'no-such-bucket' });
  });

  it('that was completed by a gateway which then ended is tidied up by the next start', async () => {
    const [world, one] = await start();
    const address = await create(one.store, 'a');
    await upload(one.store, address, 1, contentOf('a part', 10_000));
    await one.gateway.stop();
    gateways.shift();
    const slow = await startGateway(world, 0, {
      index: one.index,
      tuning: { upkeepMs: 60_000, partsKeptMs: 60_000, closingMs: 1000 },
    });
    const parts = await partsOf(slow.store, address);
    await slow.store.completeUpload({ condition: undefined,
      ...address,
      parts,
      etag: 'e-1',
      checksum: undefined,
      operation: operationOf(),
    });
    expect(await hiddenRows(slow)).toBe(1);
    await slow.gateway.stop();
    const next = await startGateway(world, 0, { index: one.index });
    gateways.push(next);
    await eventually(async () => (await hiddenRows(next)) === 0);
    const got = await getBytesOf(next.store, 'films', 'a');
    expect(got instanceof Uint8Array && sameBytes(got, contentOf('a part', 10_000))).toBe(true);
  });
});
