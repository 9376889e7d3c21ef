/**
 * `npm run bench [-- PART ...]`: codec, pipeline, s3, modes, memory, restart, listing; all of them when none is named, but
 * for listing-large (an index of 10^7 rows) and repair (10,000 objects; repair-small: 500), which take long and are run by their names only. Figures
 * are printed as they come and written to `bench-results.json` in the folder it is run from. Nothing is
 * asserted: a benchmark measures, a person judges.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { benchCodec } from './codec.ts';
import type { BenchRow } from './codec.ts';
import { benchListing } from './listing.ts';
import { benchMemory } from './memory.ts';
import { benchModes } from './modes.ts';
import { benchPipeline } from './pipeline.ts';
import { benchRepair } from './repair.ts';
import { benchRestart } from './restart.ts';
import { benchS3 } from './s3.ts';

const print = (line: string): void => void process.stdout.write(`${line}\n`);
/** The product that this benchmark was compiled with. */
const program = fileURLToPath(new URL('../src/cli/main.js', import.meta.url));
const dir = mkdtempSync(join(tmpdir(), 'holdfast-bench-'));

const PARTS: Readonly<Record<string, () => Promise<BenchRow[]> | BenchRow[]>> = {
  codec: () => benchCodec({ print }),
  pipeline: () => benchPipeline(print),
  s3: () => benchS3(program, dir, print),
  modes: () => benchModes(program, dir, print),
  memory: () => benchMemory(program, dir, print),
  restart: () => benchRestart(print),
  repair: () => benchRepair(program, dir, print, 10_000),
  'repair-small': () => benchRepair(program, dir, print, 500),
  listing: () => benchListing(print, 100_000),
  'listing-large': () => benchListing(print, 10_000_000),
};

const BY_NAME_ONLY: readonly string[] = ['listing-large', 'repair', 'repair-small'];

const asked = process.argv.slice(2);
const unknown = asked.filter((name) => !(name in PARTS));
if (unknown.length > 0) {
  process.stderr.write(`unknown part ${unknown.join(', ')}; there are ${Object.keys(PARTS).join(', ')}\n`);
  process.exit(2);
}
const results: Record<string, BenchRow[]> = {};
try {
  for (const [name, part] of Object.entries(PARTS)) {
    if (asked.length > 0 ? !asked.includes(name) : BY_NAME_ONLY.includes(name)) continue;
    print(`\n# ${name}`);
    results[name] = await part();
  }
} finally {
  rmSync(dir, { recursive: true, force: true });
}
const machine = { node: process.version, cpu: cpus()[0]?.model ?? 'unknown', cores: cpus().length };
writeFileSync(resolve('bench-results.json'), `${JSON.stringify({ machine, results }, null, 2)}\n`);
print('\nwritten to bench-results.json');
