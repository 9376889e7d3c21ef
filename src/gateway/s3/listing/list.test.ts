import fc from 'fast-check';
import { expect, test } from 'vitest';
import { compare, utf8 } from '../../../base/bytes.ts';
import { readPage } from './list.ts';
import type { Page } from './list.ts';
import type { ListRow, Listing } from '../port/listing.ts';

const row = (key: string): ListRow => ({ key, size: 0, etag: '', lastModifiedMs: 0, owner: '', checksum: undefined });
const byBytes = (a: string, b: string): number => compare(utf8(a), utf8(b));

/** A listing of `keys` that counts how many rows it gave out. */
function listingOf(keys: readonly string[]): Listing & { given: number } {
  const sorted = [...new Set(keys)].sort(byBytes);
  return {
    outcome: 'listing',
    given: 0,
    rows(from, below, limit) {
      const fits = (key: string): boolean =>
        compare(utf8(key), from) >= 0 && (below === undefined || compare(utf8(key), below) < 0);
      const page = sorted.filter(fits).slice(0, limit).map(row);
      this.given += page.length;
      return Promise.resolve(page);
    },
    versions: () => Promise.resolve([]),
    uploads: () => Promise.resolve([]),
  };
}

/** What a listing must show, computed at once and otherwise than page by page. */
function model(keys: readonly string[], prefix: string, delimiter: string): string[] {
  const shown = new Set<string>();
  for (const key of keys) {
    if (!key.startsWith(prefix)) continue;
    const at = delimiter === '' ? -1 : key.indexOf(delimiter, prefix.length);
    shown.add(at < 0 ? key : key.slice(0, at + delimiter.length));
  }
  return [...shown].sort(byBytes);
}

const shownBy = (page: Page): string[] => [...page.rows.map((one) => one.key), ...page.groups].sort(byBytes);

const keyText = fc.string({
  unit: fc.constantFrom('a', 'b', '/', '//', 'é', '\u{FF5E}', '\u{1F600}', '\u{10FFFF}'),
  minLength: 1,
  maxLength: 5,
});

test('pages of any size show each key or group once, in byte order, and nothing else', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(keyText, { maxLength: 20 }),
      fc.constantFrom('', 'a', 'a/', 'b', 'é'),
      fc.constantFrom('', '/', '//', 'é'),
      fc.integer({ min: 1, max: 7 }),
      async (keys, prefix, delimiter, limit) => {
        const listing = listingOf(keys);
        const seen: string[] = [];
        let from: Uint8Array | undefined = new Uint8Array(0);
        while (from !== undefined) {
          const page: Page = await readPage(listing, { prefix, delimiter, limit, from });
          const shown = shownBy(page);
          expect(shown.length).toBeLessThanOrEqual(limit);
          if (page.next !== undefined) expect(shown.length).toBe(limit);
          expect(page.last).toBe(shown.at(-1));
          seen.push(...shown);
          from = page.next;
        }
        expect(seen).toEqual(model(keys, prefix, delimiter));
      },
    ),
  );
});

test('a group of many keys costs a seek and not its rows', async () => {
  const keys = ['a', ...Array.from({ length: 5_000 }, (_, i) => `dir/${String(i)}`), 'z'];
  const listing = listingOf(keys);
  const page = await readPage(listing, { prefix: '', delimiter: '/', limit: 10, from: new Uint8Array(0) });
  expect(shownBy(page)).toEqual(['a', 'dir/', 'z']);
  expect(listing.given).toBeLessThan(50);
});
