/**
 * Peak memory of the gateway for a large and a four times larger object, each stored and read back through a
 * fresh gateway process: equal within 10 % when memory is bounded by the stripes in flight.
 */
import { once } from 'node:events';
import http from 'node:http';
import { join } from 'node:path';
import type { BenchRow } from './codec.ts';
import { signRequest } from '../src/cli/s3-signature.ts';
import { send } from './load.ts';
import { peakMemoryBytes } from './processes.ts';
import { startCluster } from './up.ts';
import type { RunningCluster } from './up.ts';

const GiB = 1024 ** 3;
const CHUNK = new Uint8Array(1024 * 1024).map((_, i) => (i * 131) & 255);

export async function benchMemory(
  program: string,
  dir: string,
  print: (line: string) => void,
  sizes: readonly number[] = [2 * GiB, 8 * GiB],
): Promise<BenchRow[]> {
  const rows: BenchRow[] = [];
  const peaks: number[] = [];
  for (const size of sizes) {
    const cluster = await startCluster(program, join(dir, `memory-${size}`));
    try {
      await send(cluster, 'PUT', '/bench', null);
      await store(cluster, size);
      const read = await send(cluster, 'GET', '/bench/large', null);
      if (read !== size) throw new Error(`${read} bytes read, ${size} stored`);
      const peak = peakMemoryBytes(cluster.gatewayPid);
      peaks.push(peak ?? Number.NaN);
      rows.push({ name: `gateway peak memory, ${size / GiB} GiB object`, value: peak === null ? null : peak / 1024 ** 2, unit: 'MiB' });
    } finally {
      await cluster.stop();
    }
  }
  rows.push({ name: 'peak of the largest / peak of the smallest (must <= 1.1)', value: (peaks.at(-1) ?? 0) / (peaks[0] ?? 1), unit: 'ratio' });
  for (const row of rows) print(`${row.name}: ${row.value?.toFixed(2)} ${row.unit}`);
  return rows;
}

async function store(cluster: RunningCluster, size: number): Promise<void> {
  if (cluster.credentials === null) throw new Error('the product has credentials');
  const path = '/bench/large';
  const headers = { host: `127.0.0.1:${cluster.port}`, 'content-length': String(size) };
  const signable = { method: 'PUT', path, query: [], headers, payloadHash: 'UNSIGNED-PAYLOAD' };
  const signed = signRequest(signable, cluster.credentials, new Date());
  const request = http.request({ host: '127.0.0.1', port: cluster.port, method: 'PUT', path, headers: signed });
  const answered = once(request, 'response') as Promise<[http.IncomingMessage]>;
  for (let sent = 0; sent < size; sent += CHUNK.length) {
    if (!request.write(CHUNK.subarray(0, Math.min(CHUNK.length, size - sent)))) await once(request, 'drain');
  }
  request.end();
  const [response] = await answered;
  response.resume();
  if (response.statusCode !== 200) throw new Error(`PUT of ${size} bytes answered ${response.statusCode}`);
}
