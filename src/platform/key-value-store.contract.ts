/** The contract of the KeyValueStore port; every implementation runs it. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compare, fromUtf8, hex, utf8 } from '../base/bytes.ts';
import type { KeyValueOperation, KeyValueRange, KeyValueStore } from '../base/ports.ts';

export const put = (key: Uint8Array, value: Uint8Array): KeyValueOperation => ({ type: 'put', key, value });

/** Rows of a range, in hex. */
export async function rows(
  store: KeyValueStore,
  range: KeyValueRange,
): Promise<readonly (readonly [string, string])[]> {
  const out: (readonly [string, string])[] = [];
  for await (const [key, value] of store.range(range)) out.push([hex(key), hex(value)]);
  return out;
}

/** `make` opens a new and empty store. */
export function keyValueStoreContract(name: string, make: () => Promise<KeyValueStore>): void {
  describe(`KeyValueStore over ${name}`, () => {
    it('gives back what was put, until it is deleted or all is cleared', async () => {
      const store = await make();
      expect(await store.get(utf8('a'))).toBeUndefined();
      await store.batch([put(utf8('a'), utf8('1')), put(utf8('b'), new Uint8Array(0))], { sync: true });
      expect(fromUtf8((await store.get(utf8('a'))) ?? new Uint8Array(1))).toBe('1');
      expect((await store.get(utf8('b')))?.length).toBe(0);
      await store.batch([{ type: 'del', key: utf8('a') }, put(utf8('c'), utf8('3'))]);
      expect(await store.get(utf8('a'))).toBeUndefined();
      await store.clear();
      expect(await rows(store, {})).toEqual([]);
      await store.close();
    });

    it('gives every range of any keys in the order of their bytes, like a sorted list', async () => {
      const key = fc.uint8Array({ minLength: 1, maxLength: 3 });
      const range = fc.record(
        { gte: key, lt: key, limit: fc.nat({ max: 5 }), reverse: fc.boolean() },
        { requiredKeys: [] },
      );
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.tuple(key, fc.uint8Array({ maxLength: 4 }))),
          range,
          async (entries, wanted) => {
            const store = await make();
            await store.batch(entries.map(([k, v]) => put(k, v)));
            const latest = new Map(entries.map(([k, v]) => [hex(k), [k, v] as const]));
            let model = [...latest.values()].sort(([a], [b]) => compare(a, b));
            const { gte, lt, limit, reverse } = wanted;
            if (gte !== undefined) model = model.filter(([k]) => compare(k, gte) >= 0);
            if (lt !== undefined) model = model.filter(([k]) => compare(k, lt) < 0);
            if (reverse === true) model.reverse();
            const expected = model.slice(0, limit).map(([k, v]) => [hex(k), hex(v)]);
            expect(await rows(store, wanted)).toEqual(expected);
            await store.close();
          },
        ),
        { numRuns: 30 },
      );
    });

    it('reads many rows in pieces and stops early without harm', async () => {
      const store = await make();
      const keys = Array.from({ length: 1000 }, (_, i) => utf8(String(i).padStart(4, '0')));
      await store.batch(keys.map((k) => put(k, k)));
      expect((await rows(store, {})).length).toBe(1000);
      for await (const [key] of store.range({})) {
        expect(fromUtf8(key)).toBe('0000');
        break;
      }
      await store.close();
    });

    it('gives a range as it was when its reading began, and keeps what is put from later changes', async () => {
      const store = await make();
      const value = utf8('value');
      await store.batch([put(utf8('a'), value), put(utf8('b'), value), put(utf8('c'), value)]);
      const seen: string[] = [];
      for await (const [key, read] of store.range({})) {
        seen.push(`${fromUtf8(key)} ${fromUtf8(read)}`);
        await store.batch([{ type: 'del', key: utf8('b') }, put(utf8('d'), value)]);
      }
      expect(seen).toEqual(['a value', 'b value', 'c value']);
      expect((await rows(store, {})).map(([key]) => key)).toEqual(['a', 'c', 'd'].map((text) => hex(utf8(text))));
      expect(fromUtf8((await store.get(utf8('a'))) ?? new Uint8Array(0))).toBe('value');
      await store.close();
    });
  });
}
