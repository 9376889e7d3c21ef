/**
 * What a serialised bucket costs: PUTs without a condition into one, against PUTs into a plain one, of the same
 * cluster and in the same run. The two take turns, so that what else the machine does falls on both; the figure
 * is processor time over all processes of the cluster (issue: at most 1.5 times).
 */
import { join } from 'node:path';
import type { BenchRow } from './codec.ts';
import { run, send } from './load.ts';
import type { Target } from './load.ts';
import { median } from './processes.ts';
import { startCluster } from './up.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
const ROUNDS = 11;
const WARM_UP_SECONDS = 6;
const MUST = 1.5;

const CASES = [
  { name: '1 KiB', bytes: KiB, concurrency: 8, seconds: 1.5 },
  { name: '100 KiB', bytes: 100 * KiB, concurrency: 8, seconds: 1.5 },
  { name: '1 MiB', bytes: MiB, concurrency: 4, seconds: 1.5 },
  { name: '8 MiB', bytes: 8 * MiB, concurrency: 2, seconds: 2.5 },
] as const;

const BUCKETS = ['plain', 'serialised'] as const;
type Bucket = (typeof BUCKETS)[number];

export async function benchModes(program: string, dir: string, print: (line: string) => void): Promise<BenchRow[]> {
  const cluster = await startCluster(program, join(dir, 'modes'));
  const rows: BenchRow[] = [];
  try {
    await send(cluster, 'PUT', '/plain', null, { more: { 'x-holdfast-bucket-mode': 'plain' } });
    await send(cluster, 'PUT', '/serialised', null);
    for (const load of CASES) rows.push(...(await compare(load, cluster, print)));
  } finally {
    await cluster.stop();
  }
  return rows;
}

async function compare(load: (typeof CASES)[number], cluster: Target, print: (line: string) => void): Promise<BenchRow[]> {
  const put = async (bucket: Bucket, seconds: number, tag: string): Promise<number> => {
    const figures = await run(cluster, { ...load, method: 'PUT', bucket, seconds }, tag);
    return figures.cpuMsPerRequest ?? Number.NaN;
  };
  for (const bucket of BUCKETS) await put(bucket, WARM_UP_SECONDS, 'warm');
  const times: Record<Bucket, number[]> = { plain: [], serialised: [] };
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const bucket of BUCKETS) times[bucket].push(await put(bucket, load.seconds, 'r'));
  }
  const plain = median(times.plain);
  const serialised = median(times.serialised);
  const rows: BenchRow[] = [
    { name: `${load.name} PUT, plain bucket: processor time`, value: plain, unit: 'ms/request' },
    { name: `${load.name} PUT, serialised bucket: processor time`, value: serialised, unit: 'ms/request' },
    { name: `${load.name} PUT, serialised / plain (must <= ${MUST})`, value: serialised / plain, unit: 'ratio' },
  ];
  for (const row of rows) print(`${row.name}: ${row.value?.toFixed(3)} ${row.unit}`);
  return rows;
}
