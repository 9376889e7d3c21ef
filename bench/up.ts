/** Starts the product as a user does, `holdfast up` in an empty folder, for a benchmark to load it. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { join } from 'node:path';
import type { Target } from './load.ts';

const START_MS = 60_000;

export interface RunningCluster extends Target {
  readonly gatewayPid: number;
  readonly controllerFolder: string;
  readonly nodes: readonly { readonly slot: number; readonly pid: number; readonly folder: string }[];
  stop(): Promise<void>;
}

interface EndpointJson {
  readonly endpoint: string;
  readonly region: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly gateway: { readonly pid: number | null };
  readonly controller: { readonly folder: string };
  readonly nodes: readonly { readonly slot: number; readonly pid: number | null; readonly folder: string; readonly state: string }[];
}

export async function startCluster(program: string, dir: string): Promise<RunningCluster> {
  const child = spawn(process.execPath, [program, 'up', '--dir', dir, '--port', String(await freePort())], { stdio: ['ignore', 'ignore', 'inherit'] });
  const endpoint = await untilServing(child, join(dir, 'endpoint.json'));
  const { region, accessKeyId, secretAccessKey, gateway } = endpoint;
  const nodes = endpoint.nodes.map(({ slot, pid, folder }) => ({ slot, pid: pid ?? 0, folder }));
  return {
    port: Number(new URL(endpoint.endpoint).port),
    credentials: { accessKeyId, secretAccessKey, region },
    gatewayPid: gateway.pid ?? 0,
    controllerFolder: endpoint.controller.folder,
    nodes,
    pids: [gateway.pid ?? 0, ...nodes.map((node) => node.pid)],
    agent: new http.Agent({ keepAlive: true }),
    stop: () =>
      new Promise((resolve) => {
        child.once('exit', () => resolve());
        child.kill('SIGTERM');
      }),
  };
}

/** A port that is free now; `up` refuses one that is taken meanwhile. */
async function freePort(): Promise<number> {
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address !== null ? address.port : 9000;
}

/** The gateway has a process before it has its port. */
function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

async function untilServing(child: ChildProcess, file: string): Promise<EndpointJson> {
  for (const end = performance.now() + START_MS; performance.now() < end; ) {
    if (child.exitCode !== null) throw new Error(`holdfast up ended with ${child.exitCode}`);
    if (existsSync(file)) {
      const endpoint = JSON.parse(readFileSync(file, 'utf8')) as EndpointJson;
      const isServing = endpoint.gateway.pid !== null && endpoint.nodes.every((node) => node.state === 'serving');
      if (isServing && (await listens(Number(new URL(endpoint.endpoint).port)))) return endpoint;
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`holdfast up did not serve within ${START_MS} ms`);
}
