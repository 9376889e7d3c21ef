import { beforeAll, describe, expect, it } from 'vitest';
import { MemoryStore } from '../../sim/memory-store.ts';
import { FILLED_GROUPS, fillIndex } from '../index/filled-index.contract.ts';
import { PAGE_ROWS, PAGES, pagesOver } from './listing-cost.contract.ts';

const SMALL = 4_000;
const LARGE = 20_000;

async function filled(rows: number): Promise<ReturnType<typeof pagesOver>> {
  const store = new MemoryStore();
  await fillIndex(store, rows);
  return pagesOver(store);
}

describe('a page of a listing', () => {
  let small: ReturnType<typeof pagesOver>;
  let large: ReturnType<typeof pagesOver>;

  beforeAll(async () => {
    [small, large] = [await filled(SMALL), await filled(LARGE)];
  }, 120_000);

  for (const name of Object.keys(PAGES)) {
    it(`${name} reads as many rows of the index in a large bucket as in a small one, and few for each that it shows`, async () => {
      const [few, many] = [await small(name), await large(name)];
      expect(many).toEqual(few);
      expect(few.shown).toBeGreaterThan(0);
      // At worst each entry is a group: its first row and one that the next seek goes behind.
      expect(few.rowsRead).toBeLessThanOrEqual(3 * few.shown + 10);
    });
  }

  it('is full where there is more to show, and shows each group once', async () => {
    expect((await large('of objects')).shown).toBe(PAGE_ROWS);
    expect((await large('of versions of one object')).shown).toBe(PAGE_ROWS);
    expect((await large('of objects behind delete markers')).shown).toBe(1);
    // Groups, the plain names between them, and the one name behind the delete markers.
    expect((await large('of objects rolled up')).shown).toBe(2 * FILLED_GROUPS + 1);
  });
});
