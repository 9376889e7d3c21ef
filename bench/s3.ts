/**
 * PUT and GET of 4 KiB, 1 MiB and 64 MiB through S3, against the bare store in the same run: the two take
 * turns, each case is warmed up, and the figure is processor time over all server processes (performance.md,
 * targets 14 to 16; the bare store stands for the floor).
 */
import { spawn } from 'node:child_process';
import http from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { BenchRow } from './codec.ts';
import { run, send } from './load.ts';
import type { Load, LoadFigures, Target } from './load.ts';
import { median } from './processes.ts';
import { startCluster } from './up.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
const ROUNDS = 5;
/** Seven processes compile the same program, each for itself: what is measured is a store that has run for a while. */
const WARM_UP_SECONDS = 20;
const WARM_UP_CONCURRENCY = 4;

const CASES: readonly (Load & { readonly name: string; readonly must: number })[] = [
  { name: '4 KiB PUT x8', method: 'PUT', bytes: 4 * KiB, concurrency: 8, seconds: 1.5, must: 2.5 },
  { name: '4 KiB GET x8', method: 'GET', bytes: 4 * KiB, concurrency: 8, seconds: 1.5, must: 3 },
  { name: '1 MiB PUT x4', method: 'PUT', bytes: MiB, concurrency: 4, seconds: 2, must: 2 },
  { name: '1 MiB GET x4', method: 'GET', bytes: MiB, concurrency: 4, seconds: 2, must: 2 },
  { name: '64 MiB PUT x2', method: 'PUT', bytes: 64 * MiB, concurrency: 2, seconds: 3, must: 2 },
  { name: '64 MiB GET x2', method: 'GET', bytes: 64 * MiB, concurrency: 2, seconds: 3, must: 2 },
];

interface BareStore extends Target {
  stop(): void;
}

async function startBareStore(dir: string): Promise<BareStore> {
  const program = fileURLToPath(new URL('./bare-store.js', import.meta.url));
  const child = spawn(process.execPath, [program, 'gateway', dir], { stdio: ['ignore', 'pipe', 'inherit'] });
  const line = await new Promise<string>((resolve, reject) => {
    child.stdout.once('data', (data: Buffer) => resolve(data.toString('utf8')));
    child.once('exit', (code) => reject(new Error(`the bare store ended with ${code}`)));
  });
  const { port, pids } = JSON.parse(line) as { port: number; pids: number[] };
  return { port, pids, credentials: null, agent: new http.Agent({ keepAlive: true }), stop: () => child.kill('SIGTERM') };
}

export async function benchS3(program: string, dir: string, print: (line: string) => void): Promise<BenchRow[]> {
  const bare = await startBareStore(join(dir, 'bare'));
  const cluster = await startCluster(program, join(dir, 'cluster'));
  const rows: BenchRow[] = [];
  try {
    await send(cluster, 'PUT', '/bench', null);
    for (const load of CASES) rows.push(...(await compare(load, cluster, bare, print)));
  } finally {
    await cluster.stop();
    bare.stop();
  }
  return rows;
}

async function compare(load: (typeof CASES)[number], cluster: Target, bare: Target, print: (line: string) => void): Promise<BenchRow[]> {
  for (const target of [cluster, bare]) {
    await run(target, { ...load, seconds: WARM_UP_SECONDS, concurrency: WARM_UP_CONCURRENCY * load.concurrency }, 'warm');
  }
  const own: LoadFigures[] = [];
  const limit: LoadFigures[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    own.push(await run(cluster, load, `r${round}`));
    limit.push(await run(bare, load, `r${round}`));
  }
  const cpu = (figures: readonly LoadFigures[]): number => median(figures.map((f) => f.cpuMsPerRequest ?? Number.NaN));
  const rate = (figures: readonly LoadFigures[]): number => median(figures.map((f) => f.requestsPerSecond));
  const rows: BenchRow[] = [
    { name: `${load.name}: processor time`, value: cpu(own), unit: 'ms/request' },
    { name: `${load.name}: processor time`, value: (cpu(own) * MiB) / load.bytes, unit: 'ms/MiB' },
    { name: `${load.name}: processor time of the bare store`, value: cpu(limit), unit: 'ms/request' },
    { name: `${load.name}: processor time / bare store (must <= ${load.must})`, value: cpu(own) / cpu(limit), unit: 'ratio' },
    { name: `${load.name}: wall`, value: (rate(own) * load.bytes) / MiB, unit: 'MiB/s' },
    { name: `${load.name}: wall of the bare store`, value: (rate(limit) * load.bytes) / MiB, unit: 'MiB/s' },
  ];
  for (const row of rows) print(`${row.name}: ${row.value?.toFixed(3)} ${row.unit}`);
  return rows;
}
