import { beforeEach, describe, expect, test } from 'vitest';
import { utf8 } from '../../../base/bytes.ts';
import { OperationError } from '../../../base/errors.ts';
import { SystemRandom } from '../../../platform/random.ts';
import type { ObjectEvent } from '../port/events.ts';
import { MEMORY_OWNER, MemoryStore } from '../port/memory-store.contract.ts';
import type { BucketState } from '../port/buckets.ts';
import type { DeleteObject, DeleteObjectResult, ObjectAttributes, Tags } from '../port/objects.ts';
import { CountingTelemetry, ShiftedClock } from '../s3-world.contract.ts';
import { encodeLifecycle, parseLifecycle } from './document.ts';
import { LifecycleExecutor } from './executor.ts';
import type { LifecycleOptions } from './executor.ts';

const DAY_MS = 10_000;
const time = { dayMs: DAY_MS, roundMs: 1 };

class StoreClock extends ShiftedClock {
  readonly store: MemoryStore;

  constructor(of: MemoryStore) {
    super();
    this.store = of;
  }

  override nowMs(): number {
    return this.store.nowMs;
  }
}

/** Runs `before` once, right before the first deletion: what a client does at the worst moment. */
class RacedStore extends MemoryStore {
  before: (() => Promise<void>) | undefined;

  override async deleteObject(request: DeleteObject): Promise<DeleteObjectResult> {
    const { before } = this;
    this.before = undefined;
    await before?.();
    return await super.deleteObject(request);
  }
}

let store: RacedStore;
let telemetry: CountingTelemetry;
let told: ObjectEvent[];

beforeEach(() => {
  store = new RacedStore();
  telemetry = new CountingTelemetry();
  told = [];
});

const lifecycle = (...rules: string[]): string =>
  encodeLifecycle(parseLifecycle(utf8(`<LifecycleConfiguration>${rules.map((rule) => `<Rule>${rule}<Status>Enabled</Status></Rule>`).join('')}</LifecycleConfiguration>`)));
const days = (count: number): string => `<Expiration><Days>${String(count)}</Days></Expiration>`;
const noncurrent = (count: number, kept?: number): string =>
  `<NoncurrentVersionExpiration><NoncurrentDays>${String(count)}</NoncurrentDays>${kept === undefined ? '' : `<NewerNoncurrentVersions>${String(kept)}</NewerNoncurrentVersions>`}</NoncurrentVersionExpiration>`;

function box(state: Partial<BucketState>, ...rules: string[]): void {
  store.addBucket('box', { ...state, documents: { lifecycle: lifecycle(...rules) } });
}

const PLAIN: ObjectAttributes = { tags: [], accessControl: undefined, retention: undefined, legalHold: false };

async function put(key: string, content = 'content', attributes: Partial<ObjectAttributes> = {}): Promise<string | undefined> {
  const metadata = { contentType: undefined, cacheControl: undefined, contentDisposition: undefined, contentEncoding: undefined, contentLanguage: undefined, expires: undefined, websiteRedirect: undefined, sse: undefined, user: [] };
  async function* bytes(): AsyncGenerator<Uint8Array> {
    await Promise.resolve();
    yield utf8(content);
  }
  const result = await store.putObject({
    bucket: 'box',
    key,
    owner: MEMORY_OWNER,
    metadata,
    attributes: { ...PLAIN, ...attributes },
    customerKey: undefined,
    condition: undefined,
    operation: { id: new Uint8Array(32), repeatable: false },
    content: { size: content.length, bytes: bytes(), seal: () => ({ etag: `etag-of-${content}`, checksum: undefined }) },
  });
  if (result.outcome !== 'stored') throw new Error(result.outcome);
  return result.versionId;
}

async function remove(key: string, versionId?: string): Promise<void> {
  await store.deleteObject({ bucket: 'box', key, versionId, owner: MEMORY_OWNER, condition: undefined, bypassGovernance: false, operation: { id: new Uint8Array(32), repeatable: false } });
}

const executor = (options: Partial<LifecycleOptions> = {}): LifecycleExecutor =>
  new LifecycleExecutor({
    store,
    clock: new StoreClock(store),
    random: new SystemRandom(),
    telemetry,
    time,
    events: { emit: (event) => Promise.resolve(void told.push(event)) },
    ...options,
    limits: { pauseMs: 0, ...options.limits },
  });

async function runAfter(dayCount: number, options: Partial<LifecycleOptions> = {}): Promise<void> {
  store.nowMs += dayCount * DAY_MS;
  await executor(options).run(new AbortController().signal);
}

/** `key` or `key(marker)`, the newest first. */
const left = (): string[] =>
  [...(store.buckets.get('box')?.objects ?? [])].flatMap(([key, versions]) => versions.map(({ isDeleteMarker }) => (isDeleteMarker ? `${key}(marker)` : key))).sort();

describe('a pass', () => {
  test('deletes what is old enough, by prefix, and nothing sooner', async () => {
    box({}, `<Prefix>expire1/</Prefix>${days(1)}`, `<Prefix>expire3/</Prefix>${days(5)}`);
    for (const key of ['expire1/foo', 'expire1/bar', 'keep2/foo', 'expire3/foo']) await put(key);
    await runAfter(0.9);
    expect(left()).toHaveLength(4);
    await runAfter(0.1);
    expect(left()).toEqual(['expire3/foo', 'keep2/foo']);
    await runAfter(4);
    expect(left()).toEqual(['keep2/foo']);
  });

  test('deletes by tag and by size, of which it reads what it needs', async () => {
    const huck: Tags = [['huck', 'finn']];
    box({}, `<Filter><Tag><Key>huck</Key><Value>finn</Value></Tag></Filter>${days(1)}`, `<Filter><ObjectSizeGreaterThan>20</ObjectSizeGreaterThan></Filter>${days(1)}`);
    await put('tom', 'a', { tags: [['tom', 'sawyer']] });
    await put('huck', 'a', { tags: huck });
    await put('big', 'b'.repeat(21));
    await put('small', 'b'.repeat(20));
    await runAfter(1);
    expect(left()).toEqual(['small', 'tom']);
  });

  test('lays a marker over the newest version, and keeps what a marker already covers', async () => {
    box({ versioning: 'enabled' }, days(1));
    await put('a');
    await put('b');
    await remove('b');
    await runAfter(2);
    expect(left()).toEqual(['a', 'a(marker)', 'b', 'b(marker)']);
    expect(told.map(({ name, key }) => [name, key])).toEqual([['s3:LifecycleExpiration:DeleteMarkerCreated', 'a']]);
  });

  test('removes noncurrent versions by when they were superseded', async () => {
    box({ versioning: 'enabled' }, noncurrent(2));
    await put('a', '1');
    store.nowMs += 5 * DAY_MS;
    await put('a', '2');
    await runAfter(1.9);
    expect(left()).toEqual(['a', 'a']);
    await runAfter(0.1);
    expect(left()).toEqual(['a']);
  });

  test.each([1, 2, 3, 500])('keeps as many newer noncurrent versions as it is told, read %i rows at a time', async (pageRows) => {
    box({ versioning: 'enabled' }, noncurrent(1, 5));
    for (let i = 0; i < 10; i += 1) await put('a', String(i));
    for (let i = 0; i < 3; i += 1) await put('b', String(i));
    await runAfter(2, { limits: { pageRows } });
    expect(left()).toEqual([...Array.from({ length: 6 }, () => 'a'), 'b', 'b', 'b']);
    const kept = store.buckets.get('box')?.objects.get('a')?.map(({ info }) => info.etag);
    expect(kept).toEqual(['9', '8', '7', '6', '5', '4'].map((i) => `etag-of-${i}`));
  });

  test('removes a delete marker under which nothing is left', async () => {
    box({ versioning: 'enabled' }, noncurrent(1), '<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>');
    await put('a');
    await remove('a');
    await runAfter(1);
    expect(left()).toEqual(['a(marker)']);
    await runAfter(0);
    expect(left()).toEqual([]);
  });

  test('removes a lone delete marker by its days, too', async () => {
    box({ versioning: 'enabled' }, noncurrent(1) + days(5));
    await put('a');
    await remove('a');
    await runAfter(2);
    expect(left()).toEqual(['a(marker)']);
    await runAfter(4);
    expect(left()).toEqual([]);
  });

  test('aborts uploads that are old enough', async () => {
    box({}, '<Prefix>old/</Prefix><AbortIncompleteMultipartUpload><DaysAfterInitiation>2</DaysAfterInitiation></AbortIncompleteMultipartUpload>');
    const metadata = { contentType: undefined, cacheControl: undefined, contentDisposition: undefined, contentEncoding: undefined, contentLanguage: undefined, expires: undefined, websiteRedirect: undefined, sse: undefined, user: [] };
    for (const key of ['old/a', 'old/b', 'other'])
      await store.createUpload({ bucket: 'box', key, owner: MEMORY_OWNER, metadata, attributes: PLAIN, customerKey: undefined, checksum: undefined, operation: { id: new Uint8Array(32), repeatable: false } });
    await runAfter(1);
    expect(store.uploads.size).toBe(3);
    await runAfter(1, { limits: { pageRows: 1 } });
    expect([...store.uploads.values()].map(({ key }) => key)).toEqual(['other']);
  });

  test('deletes nothing where the rules are switched off, gone or cannot be read', async () => {
    store.addBucket('box', { documents: { lifecycle: 'not a document' } });
    await put('a');
    await runAfter(9);
    expect(left()).toEqual(['a']);
    expect(telemetry.counts.get('lifecycle_changes outcome=unreadable')).toBe(1);
  });
});

describe('what changes meanwhile', () => {
  test('an overwrite at the last moment is not deleted', async () => {
    box({}, days(1));
    await put('a', 'old');
    store.before = async () => {
      await put('a', 'new');
    };
    await runAfter(1);
    expect(left()).toEqual(['a']);
    expect(telemetry.counts.get('lifecycle_changes outcome=condition-failed')).toBe(1);
  });

  test('an overwrite with the same content is not deleted either', async () => {
    box({}, days(1));
    await put('a');
    store.before = async () => {
      await put('a');
    };
    await runAfter(1);
    expect(left()).toEqual(['a']);
  });

  test('no marker is laid over a version that was just written', async () => {
    box({ versioning: 'enabled' }, days(1));
    await put('a', 'old');
    store.before = async () => {
      await put('a', 'new');
    };
    await runAfter(1);
    expect(left()).toEqual(['a', 'a']);
  });

  test('a null version written in place of an old marker is not deleted', async () => {
    box({ versioning: 'suspended' }, '<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>');
    await remove('a');
    expect(left()).toEqual(['a(marker)']);
    store.before = async () => {
      await put('a', 'new');
    };
    await runAfter(1);
    expect(left()).toEqual(['a']);
  });

  test('a version that became the newest again is not removed', async () => {
    box({ versioning: 'enabled' }, noncurrent(1));
    await put('a', 'old');
    const newer = await put('a', 'newer');
    store.nowMs += 2 * DAY_MS;
    // The listing was read before the newer version went.
    const open = store.openListing.bind(store);
    store.openListing = async (bucket) => {
      const listing = await open(bucket);
      await remove('a', newer);
      return listing;
    };
    await executor().run(new AbortController().signal);
    expect(left()).toEqual(['a']);
    expect(telemetry.counts.get('lifecycle_changes outcome=changed')).toBe(1);
  });

  test('nothing locked is deleted, not even under GOVERNANCE', async () => {
    box({ versioning: 'enabled', lockEnabled: true }, noncurrent(1));
    const untilMs = store.nowMs + 100 * DAY_MS;
    await put('a', '1', { retention: { mode: 'GOVERNANCE', untilMs } });
    await put('a', '2', { legalHold: true });
    await put('a', '3');
    await put('a', '4');
    await runAfter(5);
    expect(store.buckets.get('box')?.objects.get('a')?.map(({ info }) => info.etag)).toEqual(['4', '2', '1'].map((i) => `etag-of-${i}`));
    expect(telemetry.counts.get('lifecycle_changes outcome=locked')).toBe(2);
  });
});

describe('a run', () => {
  test('makes so many changes and no more, and the next one goes on', async () => {
    box({}, days(1));
    for (let i = 0; i < 25; i += 1) await put(`key${String(i).padStart(2, '0')}`);
    store.nowMs += DAY_MS;
    const one = executor({ limits: { changesMax: 10, pageRows: 7 } });
    const counts: number[] = [];
    for (let i = 0; i < 4; i += 1) {
      await one.run(new AbortController().signal);
      counts.push(left().length);
    }
    expect(counts).toEqual([15, 5, 0, 0]);
    expect(telemetry.counts.get('lifecycle_passes')).toBe(2);
  });

  test('ends when it is told to, and the next one goes on', async () => {
    box({}, days(1));
    for (let i = 0; i < 9; i += 1) await put(`key${String(i)}`);
    store.nowMs += DAY_MS;
    const stop = new AbortController();
    const one = executor({ limits: { concurrent: 1 }, events: { emit: () => Promise.resolve(stop.abort()) } });
    await one.run(stop.signal);
    expect(left()).toHaveLength(8);
    await one.run(new AbortController().signal);
    expect(left()).toEqual([]);
  });

  test('passes by what fails, and ends when everything does', async () => {
    box({}, days(1));
    for (let i = 0; i < 9; i += 1) await put(`key${String(i)}`);
    store.fail = 'NO_QUORUM';
    await runAfter(1, { limits: { concurrent: 1 } });
    expect(left()).toEqual(['key0']);
    await runAfter(0);
    expect(left()).toEqual([]);
    store.listBuckets = () => Promise.reject(new OperationError('NO_QUORUM', 'as the test asked'));
    await runAfter(0);
    expect(telemetry.counts.get('lifecycle_failed code=NO_QUORUM')).toBe(2);
  });
});
