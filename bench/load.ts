/**
 * The load that both stores get, over plain keep-alive HTTP on loopback. The client's own processor time is
 * not counted: only the servers' is. Requests of the product are signed (header, unsigned payload).
 */
import http from 'node:http';
import { once } from 'node:events';
import { signRequest } from '../src/cli/s3-signature.ts';
import type { Credentials } from '../src/cli/s3-signature.ts';
import { cpuMs } from './processes.ts';

export interface Target {
  readonly port: number;
  readonly pids: readonly number[];
  readonly credentials: Credentials | null;
  readonly agent: http.Agent;
}

export interface Load {
  /** `bench` when left out. */
  readonly bucket?: string;
  readonly method: 'PUT' | 'GET';
  readonly bytes: number;
  readonly concurrency: number;
  readonly seconds: number;
}

export interface LoadFigures {
  readonly requests: number;
  readonly cpuMsPerRequest: number | null;
  readonly requestsPerSecond: number;
}

/** One request, with more headers when given; resolves with the bytes of the answer, rejects when it has another status. */
export async function send(
  target: Target,
  method: string,
  path: string,
  body: Uint8Array | null,
  { status = 200, more = {} }: { readonly status?: number; readonly more?: Readonly<Record<string, string>> } = {},
): Promise<number> {
  const headers: Record<string, string> = { ...more, host: `127.0.0.1:${target.port}` };
  if (body !== null) headers['content-length'] = String(body.length);
  const signable = { method, path, query: [], headers, payloadHash: 'UNSIGNED-PAYLOAD' };
  const signed = target.credentials === null ? headers : signRequest(signable, target.credentials, new Date());
  const request = http.request({ host: '127.0.0.1', port: target.port, method, path, headers: signed, agent: target.agent });
  request.setNoDelay(true);
  request.end(body ?? undefined);
  const [response] = (await once(request, 'response')) as [http.IncomingMessage];
  let bytes = 0;
  for await (const chunk of response) bytes += (chunk as Uint8Array).length;
  if (response.statusCode !== status) throw new Error(`${method} ${path} answered ${response.statusCode}`);
  return bytes;
}

/** Runs a load for its time; `objects` names of that size exist for GET. */
export async function run(target: Target, load: Load, tag: string): Promise<LoadFigures> {
  const body = new Uint8Array(load.bytes).map((_, i) => (i * 31) & 255);
  const names = 16;
  const path = (i: number): string => `/${load.bucket ?? 'bench'}/${tag}-${load.bytes}-${i % names}`;
  if (load.method === 'GET') for (let i = 0; i < names; i += 1) await send(target, 'PUT', path(i), body);
  const before = cpuMs(target.pids);
  const started = performance.now();
  const end = started + load.seconds * 1000;
  let requests = 0;
  let next = 0;
  await Promise.all(
    Array.from({ length: load.concurrency }, async () => {
      while (performance.now() < end) {
        const bytes = await send(target, load.method, path(next++), load.method === 'PUT' ? body : null);
        if (load.method === 'GET' && bytes !== load.bytes) throw new Error(`${bytes} bytes read, ${load.bytes} stored`);
        requests += 1;
      }
    }),
  );
  const elapsed = performance.now() - started;
  const after = cpuMs(target.pids);
  return {
    requests,
    cpuMsPerRequest: before === null || after === null ? null : (after - before) / requests,
    requestsPerSecond: (requests * 1000) / elapsed,
  };
}
