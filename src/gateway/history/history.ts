/**
 * The history of what was certified, as the nodes' logs tell it: in which order, by whom, and what each
 * version ended. From it follows which versions were live at any moment, where a moment is a size of each of q
 * logs, or a time by the writers' own clocks. Rows are taken in from logs that are followed to signed
 * checkpoints, and stay on disk, so that the next question reads only what came since.
 */
import { equal, mapKey, utf8 } from '../../base/bytes.ts';
import type { KeyValueOperation, KeyValueStore } from '../../base/ports.ts';
import { compareStamps, sameStamp } from '../../protocol/stamp.ts';
import { endOf, openNamedKey } from '../index/rows.ts';
import {
  ALL_ENTRIES,
  bucketKey,
  bucketOf,
  DIRTY_KEY,
  encodeHistoryRow,
  entriesPrefix,
  entryKey,
  entryOf,
  HISTORY_FORMAT,
  HISTORY_FORMAT_KEY,
  nameKey,
  placeKey,
  placesPrefix,
  indexOfPlace,
  tailKey,
} from './rows.ts';
import type { BucketName, Entry, Fact } from './rows.ts';

/** A moment: what stands in these logs below these sizes, and was written until then by the writers' own clocks. */
export interface Moment {
  readonly sizes: ReadonlyMap<number, number>;
  /** Unix milliseconds; null: all that the logs hold. */
  readonly untilMs: number | null;
}

/** All that was ever certified of one key, the oldest first. */
export interface KeyHistory {
  readonly name: string;
  readonly entries: readonly Entry[];
}

const names = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const ID_BYTES = 32;

export class History {
  readonly #store: KeyValueStore;

  private constructor(store: KeyValueStore) {
    this.#store = store;
  }

  /** The store is closed by `close`. Throws away what another version wrote, and what was left unverified. */
  static async open(store: KeyValueStore): Promise<History> {
    const history = new History(store);
    const format = await store.get(HISTORY_FORMAT_KEY);
    const isDirty = (await store.get(DIRTY_KEY)) !== undefined;
    if (isDirty || format === undefined || !equal(format, HISTORY_FORMAT)) await history.clear();
    return history;
  }

  async clear(): Promise<void> {
    await this.#store.clear();
    await this.#store.batch([{ type: 'put', key: HISTORY_FORMAT_KEY, value: HISTORY_FORMAT }]);
  }

  /** Until `settled`, what is taken in counts only while this process runs. */
  async begin(): Promise<void> {
    await this.#store.batch([{ type: 'put', key: DIRTY_KEY, value: new Uint8Array(0) }], { sync: true });
  }

  async settled(tails: ReadonlyMap<number, Uint8Array>): Promise<void> {
    const rows = [...tails].map(([slot, value]) => ({ type: 'put' as const, key: tailKey(slot), value }));
    await this.#store.batch([...rows, { type: 'del', key: DIRTY_KEY }]);
  }

  tail(slot: number): Promise<Uint8Array | undefined> {
    return this.#store.get(tailKey(slot));
  }

  async entry(key: Uint8Array): Promise<Entry | undefined> {
    const bytes = await this.#store.get(key);
    return bytes === undefined ? undefined : entryOf(bytes);
  }

  async put(entries: readonly Entry[]): Promise<void> {
    const rows: KeyValueOperation[] = [];
    for (const entry of entries) {
      const key = entryKey(entry);
      rows.push({ type: 'put', key, value: encodeHistoryRow(entry) });
      for (const { slot, index } of entry.places) rows.push({ type: 'put', key: placeKey(slot, index), value: key });
      const { fact } = entry;
      if (fact === null || fact.name === null || fact.t === 'record') continue;
      rows.push({ type: 'put', key: nameKey(entry.bucketId, entry.stamp.gen, utf8(fact.name), entry.keyId), value: new Uint8Array(0) });
    }
    await this.#store.batch(rows);
  }

  async putBucket(bucketId: Uint8Array, bucket: BucketName): Promise<void> {
    await this.#store.batch([{ type: 'put', key: bucketKey(bucketId), value: encodeHistoryRow(bucket) }]);
  }

  async bucket(bucketId: Uint8Array): Promise<BucketName | undefined> {
    const bytes = await this.#store.get(bucketKey(bucketId));
    return bytes === undefined ? undefined : bucketOf(bytes);
  }

  /** All that was certified of one key, the oldest first. */
  async ofKey(bucketId: Uint8Array, keyId: Uint8Array): Promise<readonly Entry[]> {
    const prefix = entriesPrefix(bucketId, keyId);
    const out: Entry[] = [];
    for await (const [, value] of this.#store.range({ gte: prefix, lt: endOf(prefix) })) out.push(entryOf(value));
    return out;
  }

  /** The objects that ever were in a generation of a bucket, in the byte order of their names from `prefix` on. */
  async *objects(bucketId: Uint8Array, gen: number, prefix: string = ''): AsyncIterable<KeyHistory> {
    const start = nameKey(bucketId, gen, utf8(prefix));
    const all = nameKey(bucketId, gen, new Uint8Array(0));
    for await (const [key] of this.#store.range({ gte: start, lt: endOf(all) })) {
      const { name, rest } = openNamedKey(key);
      const text = names.decode(name);
      if (!text.startsWith(prefix)) return;
      const entries = await this.ofKey(bucketId, rest.slice(0, ID_BYTES));
      yield { name: text, entries: entries.filter(({ stamp }) => stamp.gen === gen) };
    }
  }

  /** Everything, by bucket and key. */
  async *all(): AsyncIterable<Entry> {
    for await (const [, value] of this.#store.range({ gte: ALL_ENTRIES, lt: endOf(ALL_ENTRIES) })) yield entryOf(value);
  }

  /** What stands in one log, in its order. */
  async *log(slot: number): AsyncIterable<{ readonly index: number; readonly entry: Entry }> {
    const prefix = placesPrefix(slot);
    for await (const [key, value] of this.#store.range({ gte: prefix, lt: endOf(prefix) })) {
      const entry = await this.entry(value);
      if (entry !== undefined) yield { index: indexOfPlace(key), entry };
    }
  }

  async close(): Promise<void> {
    await this.#store.close();
  }
}

/** An entry whose certificate is known. */
export type KnownEntry = Entry & { readonly fact: Fact };

export function isKnown(entry: Entry): entry is KnownEntry {
  return entry.fact !== null;
}

export function stoodAt({ places, fact }: Entry, { sizes, untilMs }: Moment): boolean {
  if (fact !== null && untilMs !== null && fact.mtimeMs > untilMs) return false;
  return places.some(({ slot, index }) => index < (sizes.get(slot) ?? 0));
}

/** The entry by which another of its key had ended, among these; the first that did. */
export function enderOf(of: Entry, among: readonly KnownEntry[]): KnownEntry | undefined {
  return among.find(({ stamp, fact: { removes } }) =>
    removes === 'ALL' ? compareStamps(stamp, of.stamp) > 0 : removes.some((removed) => sameStamp(removed, of.stamp)),
  );
}

/** Versions and delete markers of a key that were live, the newest first. `entries`: all of the key that count. */
export function liveOf(entries: readonly Entry[]): readonly KnownEntry[] {
  const known = entries.filter(isKnown);
  return known
    .filter((entry) => (entry.fact.t === 'object' || entry.fact.t === 'marker') && enderOf(entry, known) === undefined)
    .sort((a, b) => compareStamps(b.stamp, a.stamp));
}

/** The same version. */
export function isSame(a: Entry, b: Entry): boolean {
  return mapKey(a.manifestHash) === mapKey(b.manifestHash);
}
