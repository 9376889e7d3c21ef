import { beforeEach, expect, test } from 'vitest';
import { utf8 } from '../../../base/bytes.ts';
import { S3Error } from '../http/errors.ts';
import { sealOf } from '../port/memory-content.contract.ts';
import { MEMORY_OWNER, MemoryStore } from '../port/memory-store.contract.ts';
import { CountingTelemetry, ShiftedClock } from '../s3-world.contract.ts';
import { BucketUsage } from './usage.ts';

/** Monotonic time moves only as a test says. */
class StillClock extends ShiftedClock {
  override monotonicMs(): number {
    return this.shiftMs;
  }
}

class WalkedStore extends MemoryStore {
  walks = 0;
  broken = false;

  override openListing(bucket: string): ReturnType<MemoryStore['openListing']> {
    this.walks += 1;
    if (this.broken) return Promise.reject(new Error('as the test asked'));
    return super.openListing(bucket);
  }
}

let store: WalkedStore;
let clock: StillClock;
let telemetry: CountingTelemetry;
let usage: BucketUsage;
let quota: number | undefined;

beforeEach(() => {
  store = new WalkedStore();
  store.addBucket('box', { versioning: 'enabled' });
  clock = new StillClock();
  telemetry = new CountingTelemetry();
  quota = 100;
  const quotas = { bucketQuota: () => Promise.resolve(quota), accountQuota: () => Promise.resolve(undefined) };
  usage = new BucketUsage({ store, clock, telemetry, quotas });
});

async function put(key: string, bytes: number): Promise<void> {
  const content = new Uint8Array(bytes);
  async function* once(): AsyncGenerator<Uint8Array> {
    await Promise.resolve();
    yield content;
  }
  const none = undefined;
  await store.putObject({
    bucket: 'box',
    key,
    owner: MEMORY_OWNER,
    content: { size: bytes, bytes: once(), seal: () => sealOf(content, none) },
    metadata: { contentType: none, cacheControl: none, contentDisposition: none, contentEncoding: none, contentLanguage: none, expires: none, websiteRedirect: none, sse: none, user: [] },
    attributes: { tags: [], accessControl: none, retention: none, legalHold: false },
    customerKey: none,
    condition: none,
    operation: { id: utf8('x'), repeatable: false },
  });
}

async function admitted(bytes: number): Promise<string> {
  try {
    await usage.admit('box', MEMORY_OWNER, bytes);
    return 'admitted';
  } catch (error) {
    if (error instanceof S3Error) return error.code;
    throw error;
  }
}

test('a measure counts newest versions as objects, and bytes of all versions, over many pages', async () => {
  for (let i = 0; i < 2500; i += 1) await put(`k${String(i % 1200)}`, 1);
  await store.deleteObject({ bucket: 'box', key: 'k0', versionId: undefined, owner: MEMORY_OWNER, condition: undefined, bypassGovernance: false, operation: { id: utf8('y'), repeatable: false } });
  expect(await usage.measure('box')).toEqual({ objects: 1199, bytes: 2500 });
});

test('a bucket without a quota is never walked', async () => {
  quota = undefined;
  expect(await admitted(10 ** 12)).toBe('admitted');
  expect(store.walks).toBe(0);
});

test('between two walks what was written here is added, and a walk makes it exact again', async () => {
  await put('a', 60);
  expect(await admitted(40)).toBe('admitted');
  usage.wrote('box', 40);
  expect(await admitted(1)).toBe('QuotaExceeded');
  expect(store.walks).toBe(1);
  clock.shiftMs += 31_000;
  // The next one asks for a walk and is decided by what is known; the one after it by the walk.
  await admitted(1);
  await new Promise((resolve) => setTimeout(resolve, 10));
  expect(store.walks).toBe(2);
  expect(await admitted(40)).toBe('admitted');
  expect(await admitted(41)).toBe('QuotaExceeded');
});

test('what cannot be measured is not written into, and the reason is counted', async () => {
  store.broken = true;
  expect(await admitted(1)).toBe('SlowDown');
  expect(telemetry.counts.get('s3_slowed reason=usage-unknown')).toBe(1);
  store.broken = false;
  expect(await admitted(1)).toBe('admitted');
});
