/**
 * Pages of every kind of listing from an index on disk: milliseconds of each, beside the rows that it reads. The
 * rows are the same at any size (store/listing-cost.test.ts); the time shows what the database adds to that.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fillIndex } from '../src/gateway/index/filled-index.contract.ts';
import { PAGES, pagesOver } from '../src/gateway/store/listing-cost.contract.ts';
import { openLevelStore } from '../src/platform/level-store.ts';
import type { BenchRow } from './codec.ts';

/** Rows that a filled index has for each object. */
const ROWS_PER_OBJECT = 7;
const BATCH_ROWS = 10_000;
const TIMES = 20;

/** `rows`: of the whole index. */
export async function benchListing(print: (line: string) => void, rows: number): Promise<BenchRow[]> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-listing-'));
  const store = await openLevelStore(folder);
  try {
    await fillIndex(store, Math.ceil(rows / ROWS_PER_OBJECT), BATCH_ROWS);
    const page = pagesOver(store);
    const out: BenchRow[] = [];
    for (const name of Object.keys(PAGES)) {
      const { shown, rowsRead } = await page(name);
      const started = performance.now();
      for (let time = 0; time < TIMES; time += 1) await page(name);
      const value = (performance.now() - started) / TIMES;
      out.push({ name: `page ${name}, index of ${rows} rows (${shown} shown, ${rowsRead} read)`, value, unit: 'ms' });
      print(`page ${name}: ${value.toFixed(2)} ms, ${shown} entries, ${rowsRead} rows`);
    }
    return out;
  } finally {
    await store.close();
    await rm(folder, { recursive: true, force: true });
  }
}
