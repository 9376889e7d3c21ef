/**
 * Pages of every kind of listing over an index that was filled to some size, and the rows of the index that each of
 * them reads: what a page costs is counted and not timed.
 */
import { utf8 } from '../../base/bytes.ts';
import type { KeyValueOperation, KeyValueRange, KeyValueStore } from '../../base/ports.ts';
import { SystemClock } from '../../platform/clock.ts';
import { FILLED_BUCKET, FILLED_GEN, MANY_PARTS, MANY_UPLOADS, MANY_VERSIONS } from '../index/filled-index.contract.ts';
import { ListingBarrier } from '../index/listing-barrier.ts';
import { ObjectIndex } from '../index/object-index.ts';
import { behind, readPage } from '../s3/listing/list.ts';
import { readUploadsPage } from '../s3/listing/list-uploads.ts';
import { readVersionPage } from '../s3/listing/list-versions.ts';
import { NULL_VERSION } from '../s3/port/objects.ts';
import type { Listing } from '../s3/port/listing.ts';
import { listingOf } from './listing.ts';

/** Counts what is read: each row of a range, and each single one. */
export class CountingStore implements KeyValueStore {
  rowsRead = 0;
  readonly #store: KeyValueStore;

  constructor(store: KeyValueStore) {
    this.#store = store;
  }

  get(key: Uint8Array): Promise<Uint8Array | undefined> {
    this.rowsRead += 1;
    return this.#store.get(key);
  }

  async *range(options: KeyValueRange): AsyncIterable<readonly [Uint8Array, Uint8Array]> {
    for await (const row of this.#store.range(options)) {
      this.rowsRead += 1;
      yield row;
    }
  }

  batch(operations: readonly KeyValueOperation[]): Promise<void> {
    return this.#store.batch(operations);
  }

  clear(): Promise<void> {
    return this.#store.clear();
  }

  close(): Promise<void> {
    return this.#store.close();
  }
}

/** One page of each kind: how many entries it shows. */
type PageOf = (listing: Listing, index: ObjectIndex) => Promise<number>;

export const PAGE_ROWS = 100;
const ALL = { prefix: '', delimiter: '', limit: PAGE_ROWS };
const ROLLED_UP = { ...ALL, delimiter: '/' };
const START = new Uint8Array(0);

export const PAGES: Readonly<Record<string, PageOf>> = {
  'of objects': async (listing) => count(await readPage(listing, { ...ALL, from: START })),
  'of objects in the middle': async (listing) => count(await readPage(listing, { ...ALL, from: utf8('group 000000020/') })),
  'of objects rolled up': async (listing) => count(await readPage(listing, { ...ROLLED_UP, from: START })),
  'of objects behind a group': async (listing) =>
    count(await readPage(listing, { ...ROLLED_UP, from: behind('group 000000020/', '', '/') })),
  'of objects behind delete markers': async (listing) =>
    count(await readPage(listing, { ...ALL, prefix: 'removed', from: START })),
  'of versions': async (listing) => count(await readVersionPage(listing, ALL, { from: START, after: undefined })),
  'of versions rolled up': async (listing) => count(await readVersionPage(listing, ROLLED_UP, { from: START, after: undefined })),
  'of versions among delete markers': async (listing) =>
    count(await readVersionPage(listing, { ...ALL, prefix: 'removed' }, { from: START, after: undefined })),
  'of versions of one object': async (listing) =>
    count(await readVersionPage(listing, { ...ALL, prefix: MANY_VERSIONS }, { from: START, after: undefined })),
  'of versions behind a null version': async (listing) =>
    count(await readVersionPage(listing, ALL, { from: utf8(MANY_VERSIONS), after: NULL_VERSION })),
  'of uploads': async (listing) => count(await readUploadsPage(listing, { ...ALL, start: { from: START, afterId: undefined } })),
  'of uploads rolled up': async (listing) =>
    count(await readUploadsPage(listing, { ...ROLLED_UP, start: { from: START, afterId: undefined } })),
  'of uploads in the middle of one key': async (listing) =>
    count(await readUploadsPage(listing, { ...ALL, start: { from: utf8(MANY_UPLOADS), afterId: '8' } })),
  'of parts': async (_, index) => (await index.parts(FILLED_BUCKET, FILLED_GEN, MANY_PARTS, 500, PAGE_ROWS)).length,
};

const count = (page: { readonly rows: readonly unknown[]; readonly groups?: readonly string[] }): number =>
  page.rows.length + (page.groups?.length ?? 0);

const refuse = (): never => {
  throw new Error('a page asks no storage node');
};

/** The listing of a filled index, and what each page of it reads. */
export function pagesOver(store: KeyValueStore): (name: string) => Promise<{ readonly shown: number; readonly rowsRead: number }> {
  const counting = new CountingStore(store);
  const index = new ObjectIndex(counting, { holdersNeeded: 3, operationWindowMs: 1 });
  const barrier = new ListingBarrier({
    client: { openCertificate: refuse, writeBack: refuse },
    index,
    clock: new SystemClock(),
    telemetry: { count: () => undefined, event: () => undefined },
    results: () => [],
    follow: refuse,
  });
  const bucket = { bucketId: FILLED_BUCKET, record: { gen: FILLED_GEN, mode: 'SERIALISED' as const } };
  const listing = listingOf(barrier, bucket, 'owner');
  return async (name) => {
    const page = PAGES[name];
    if (page === undefined) throw new Error(`no page ${name}`);
    const before = counting.rowsRead;
    const shown = await page(listing, index);
    return { shown, rowsRead: counting.rowsRead - before };
  };
}
