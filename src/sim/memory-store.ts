/** An ordered map in memory behind the KeyValueStore port: what a simulated gateway keeps its index in. */
import { compare } from '../base/bytes.ts';
import type { KeyValueOperation, KeyValueRange, KeyValueStore } from '../base/ports.ts';

type Row = readonly [key: Uint8Array, value: Uint8Array];

export class MemoryStore implements KeyValueStore {
  /** Sorted by key. Replaced as a whole, so that a range sees one state however long it is read. */
  #rows: readonly Row[] = [];

  get(key: Uint8Array): Promise<Uint8Array | undefined> {
    const row = this.#rows[placeOf(this.#rows, key)];
    return Promise.resolve(row !== undefined && compare(row[0], key) === 0 ? row[1].slice() : undefined);
  }

  batch(operations: readonly KeyValueOperation[]): Promise<void> {
    const rows = [...this.#rows];
    for (const operation of operations) {
      const at = placeOf(rows, operation.key);
      const found = rows[at];
      const held = found !== undefined && compare(found[0], operation.key) === 0 ? 1 : 0;
      const put: Row[] = operation.type === 'put' ? [[operation.key.slice(), operation.value.slice()]] : [];
      rows.splice(at, held, ...put);
    }
    this.#rows = rows;
    return Promise.resolve();
  }

  async *range({ gte, lt, limit, reverse }: KeyValueRange): AsyncIterable<Row> {
    const rows = this.#rows;
    const from = gte === undefined ? 0 : placeOf(rows, gte);
    const to = lt === undefined ? rows.length : placeOf(rows, lt);
    const wanted = rows.slice(from, Math.max(from, to));
    if (reverse === true) wanted.reverse();
    for (const [key, value] of wanted.slice(0, limit)) yield await Promise.resolve([key.slice(), value.slice()] as const);
  }

  clear(): Promise<void> {
    this.#rows = [];
    return Promise.resolve();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** Index of the first row that is not below the key. */
function placeOf(rows: readonly Row[], key: Uint8Array): number {
  let [low, high] = [0, rows.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    const row = rows[middle];
    if (row !== undefined && compare(row[0], key) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
