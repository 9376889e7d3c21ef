/**
 * An object of thousands of parts: it is completed by one version, whose manifest does not grow with them, and
 * is read over every seam. The parts are small here, which the S3 front would refuse and the store does not mind.
 */
import { afterEach, expect, it } from 'vitest';
import { concat } from '../../src/base/bytes.ts';
import type { ObjectStore } from '../../src/gateway/s3/port/object-store.ts';
import type { PartInfo } from '../../src/gateway/s3/port/uploads.ts';
import { collectBytes, contentOf, sameBytes } from '../world/client-world.ts';
import { ACCOUNT, contentOfBytes, makeBucket, NO_ATTRIBUTES, NO_METADATA, operationOf, startGateway } from '../world/gateway-world.ts';
import type { TestGateway } from '../world/gateway-world.ts';
import { World } from '../world/world.ts';
import { IS_SLOW } from '../slow.ts';

const PARTS = IS_SLOW ? 3_000 : 300;
const TIMEOUT_MS = IS_SLOW ? 600_000 : 120_000;
const AT_ONCE = 12;
/** Odd, and of two lengths, so that no seam falls on the edge of a chunk. */
const sizeOf = (number: number): number => (number % 2 === 0 ? 701 : 4_999);
const bytesOf = (number: number): Uint8Array => contentOf(`part ${number}`, sizeOf(number));
const numbers = Array.from({ length: PARTS }, (_, index) => index + 1);
const which = { bucket: 'films', key: 'of many parts' };

let world: World | undefined;
let gateway: TestGateway | undefined;

afterEach(async () => {
  await gateway?.gateway.stop();
  await world?.stop();
});

async function uploadAll(store: ObjectStore): Promise<{ uploadId: string; parts: readonly PartInfo[] }> {
  const created = await store.createUpload({ ...which, owner: ACCOUNT, attributes: NO_ATTRIBUTES, customerKey: undefined, metadata: NO_METADATA, checksum: undefined, operation: operationOf() });
  if (created.outcome !== 'created') throw new Error(created.outcome);
  const { uploadId } = created;
  // Backwards, and several at once: the order of the parts is that of their numbers.
  const left = numbers.slice();
  const worker = async (): Promise<void> => {
    for (let number = left.pop(); number !== undefined; number = left.pop()) {
      const content = contentOfBytes(bytesOf(number));
      const stored = await store.uploadPart({ ...which, uploadId, number, content, customerKey: undefined, operation: operationOf() });
      expect(stored.outcome).toBe('stored');
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  const found = await store.readUpload({ ...which, uploadId });
  if (found.outcome !== 'found') throw new Error(found.outcome);
  return { uploadId, parts: found.parts };
}

async function read(store: ObjectStore, from: number, to: number): Promise<Uint8Array> {
  const found = await store.getObject({ ...which, versionId: undefined, customerKey: undefined, range: undefined });
  if (found.outcome !== 'found') throw new Error(found.outcome);
  return concat(await collectBytes(found.read({ from, to })));
}

it(`completes an upload of ${PARTS} parts and reads it over its seams`, async () => {
  world = await World.start({ n: 4, f: 1, writers: 1 });
  gateway = await startGateway(world);
  const { store } = gateway;
  await makeBucket(store, which.bucket);
  const { uploadId, parts } = await uploadAll(store);
  expect(parts.map(({ number, size }) => [number, size])).toEqual(numbers.map((number) => [number, sizeOf(number)]));
  const page = await store.readUpload({ ...which, uploadId, parts: { above: PARTS - 3, limit: 2 } });
  expect(page.outcome === 'found' && page.parts.map(({ number }) => number)).toEqual([PARTS - 2, PARTS - 1]);

  const completed = await store.completeUpload({ ...which, uploadId, parts, etag: `0-${PARTS}`, checksum: undefined, condition: undefined, operation: operationOf() });
  expect(completed).toMatchObject({ outcome: 'stored' });
  const whole = concat(...numbers.map(bytesOf));
  expect(sameBytes(await read(store, 0, whole.length), whole)).toBe(true);
  let seam = 0;
  for (const number of numbers) {
    seam += sizeOf(number);
    if (number % 50 !== 0 || seam === whole.length) continue;
    expect(sameBytes(await read(store, seam - 800, seam + 800), whole.subarray(seam - 800, seam + 800)), `over the seam after ${number}`).toBe(true);
  }
  const told = await store.objectParts({ ...which, versionId: undefined });
  expect(told.outcome === 'found' && told.parts.map(({ number, size }) => [number, size])).toEqual(numbers.map((number) => [number, sizeOf(number)]));
}, TIMEOUT_MS);
