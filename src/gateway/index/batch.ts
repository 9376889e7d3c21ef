/**
 * Changes that become one write of the store: reads see what the batch holds already, so that several updates
 * of one key in one batch build on each other.
 */
import type { z } from 'zod';
import { fromMapKey, mapKey } from '../../base/bytes.ts';
import type { KeyValueStore } from '../../base/ports.ts';
import { decodeRow, endOf } from './rows.ts';

export class Batch {
  readonly #store: KeyValueStore;
  /** Null: deleted. */
  readonly #changes = new Map<string, Uint8Array | null>();

  constructor(store: KeyValueStore) {
    this.#store = store;
  }

  async get(key: Uint8Array): Promise<Uint8Array | undefined> {
    const changed = this.#changes.get(mapKey(key));
    return changed === undefined ? this.#store.get(key) : (changed ?? undefined);
  }

  async row<T>(key: Uint8Array, schema: z.ZodType<T>): Promise<T | undefined> {
    const bytes = await this.get(key);
    return bytes === undefined ? undefined : decodeRow(schema, bytes);
  }

  /** Keys that begin with `prefix`, in no order. */
  async keys(prefix: Uint8Array): Promise<readonly Uint8Array[]> {
    const name = mapKey(prefix);
    const found: Uint8Array[] = [];
    for await (const [key] of this.#store.range({ gte: prefix, lt: endOf(prefix) })) {
      if (!this.#changes.has(mapKey(key))) found.push(key);
    }
    for (const [key, value] of this.#changes) if (value !== null && key.startsWith(name)) found.push(fromMapKey(key));
    return found;
  }

  put(key: Uint8Array, value: Uint8Array): void {
    this.#changes.set(mapKey(key), value);
  }

  del(key: Uint8Array): void {
    this.#changes.set(mapKey(key), null);
  }

  async write(): Promise<void> {
    if (this.#changes.size === 0) return;
    await this.#store.batch(
      [...this.#changes].map(([name, value]) => {
        const key = fromMapKey(name);
        return value === null ? { type: 'del', key } : { type: 'put', key, value };
      }),
    );
  }
}
