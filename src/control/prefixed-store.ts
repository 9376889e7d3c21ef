/** A part of an ordered store as a store of its own: every key begins with one letter that nobody sees. */
import { concat, utf8 } from '../base/bytes.ts';
import type { KeyValueOperation, KeyValueRange, KeyValueStore } from '../base/ports.ts';

export class PrefixedStore implements KeyValueStore {
  readonly #store: KeyValueStore;
  readonly #prefix: Uint8Array;
  readonly #end: Uint8Array;

  /** `letter`: one character of ASCII. */
  constructor(store: KeyValueStore, letter: string) {
    this.#store = store;
    this.#prefix = utf8(letter);
    this.#end = utf8(String.fromCharCode(letter.charCodeAt(0) + 1));
  }

  get(key: Uint8Array): Promise<Uint8Array | undefined> {
    return this.#store.get(this.#inside(key));
  }

  batch(operations: readonly KeyValueOperation[], options?: { readonly sync?: boolean }): Promise<void> {
    return this.#store.batch(
      operations.map((operation) => ({ ...operation, key: this.#inside(operation.key) })),
      options,
    );
  }

  async *range({ gte, lt, ...rest }: KeyValueRange): AsyncIterable<readonly [Uint8Array, Uint8Array]> {
    const from = gte === undefined ? this.#prefix : this.#inside(gte);
    const to = lt === undefined ? this.#end : this.#inside(lt);
    for await (const [key, value] of this.#store.range({ ...rest, gte: from, lt: to })) yield [key.subarray(1), value] as const;
  }

  async clear(): Promise<void> {
    const operations: KeyValueOperation[] = [];
    for await (const [key] of this.range({})) operations.push({ type: 'del', key: key.slice() });
    await this.batch(operations);
  }

  /** The whole store is its owner's to close. */
  close(): Promise<void> {
    return Promise.resolve();
  }

  #inside(key: Uint8Array): Uint8Array {
    return concat(this.#prefix, key);
  }
}
