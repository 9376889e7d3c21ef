/**
 * A cluster that `holdfast up` runs from the compiled product, for tests that look at it only from outside:
 * S3 through the AWS SDK with its default settings, signals to processes, files in folders, and the commands
 * of the command line. Nothing inside a process is replaced or observed.
 */
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { S3Client } from '@aws-sdk/client-s3';
import type { S3ClientConfig } from '@aws-sdk/client-s3';
import type { EndpointFile } from '../../src/cli/endpoint-file.ts';
import { Program, buildProduct, readEndpointFile, runCommand, until } from '../cluster/programs.ts';
import type { Ended } from '../cluster/programs.ts';

/** For everything that starts or ends processes. */
export const PROCESS_MS = 120_000;

export async function freePort(): Promise<number> {
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as net.AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

export type NodeStatus = { readonly slot: number; readonly state: string; readonly liveBytes: number } & Record<string, unknown>;

export interface Verified {
  readonly code: number | null;
  readonly damaged: boolean;
  readonly accused: readonly number[];
  readonly unreadable: number;
  readonly versions: number;
  /** All that the command printed. */
  readonly text: string;
}

export class LiveCluster {
  readonly scratch: string;
  readonly dir: string;
  readonly port: number;
  up: Program;
  readonly #more: readonly string[];

  /** `more`: further flags of `up`. Resolves when everything serves. */
  static async start(name: string, more: readonly string[] = []): Promise<LiveCluster> {
    buildProduct();
    const scratch = fs.mkdtempSync(path.join(os.tmpdir(), `holdfast-${name}-`));
    const cluster = new LiveCluster(scratch, await freePort(), more);
    await cluster.up.event('ready');
    return cluster;
  }

  private constructor(scratch: string, port: number, more: readonly string[]) {
    this.scratch = scratch;
    this.dir = path.join(scratch, 'cluster');
    this.port = port;
    this.#more = more;
    this.up = this.#run();
  }

  #run(): Program {
    return new Program(['up', '--dir', this.dir, '--port', String(this.port), ...this.#more, '--json']);
  }

  /** Starts the cluster again, and stops it first if it runs. */
  async restart(): Promise<void> {
    await this.stop();
    this.up = this.#run();
    await this.up.event('ready');
  }

  stop(): Promise<Ended> {
    return this.up.stop();
  }

  /** Stops everything and removes the folder. */
  async end(): Promise<void> {
    await this.stop();
    fs.rmSync(this.scratch, { recursive: true, force: true });
  }

  get endpoint(): EndpointFile {
    return readEndpointFile(this.dir);
  }

  nodeFolder(slot: number): string {
    return path.join(this.dir, `node-${slot}`);
  }

  /** A client with the default settings but for where the cluster is; `more` overrides them. */
  client(more: S3ClientConfig = {}): S3Client {
    const { endpoint, region, accessKeyId, secretAccessKey } = this.endpoint;
    return new S3Client({ endpoint, region, credentials: { accessKeyId, secretAccessKey }, forcePathStyle: true, ...more });
  }

  node(slot: number): EndpointFile['nodes'][number] {
    const node = this.endpoint.nodes[slot];
    if (node === undefined) throw new RangeError(`no node ${slot}`);
    return node;
  }

  /** kill -9; `up` starts it again. */
  killNode(slot: number): void {
    kill(this.node(slot).pid);
  }

  killGateway(): void {
    kill(this.endpoint.gateway.pid);
  }

  isServing(slot: number): boolean {
    return this.node(slot).state === 'serving';
  }

  async nodeServes(slot: number, timeoutMs: number = 60_000): Promise<void> {
    await until(`node ${slot} serves`, () => this.isServing(slot), timeoutMs);
  }

  /** What each node says of itself, or null while it does not answer. */
  async status(): Promise<readonly (NodeStatus | null)[]> {
    const { stdout } = await runCommand('status', '--dir', this.dir, '--json');
    const { members } = JSON.parse(stdout) as { members: { name: string; status: NodeStatus | null }[] };
    return members.filter(({ name }) => name.startsWith('node')).map(({ status }) => status);
  }

  async verify(): Promise<Verified> {
    const { code, stdout, stderr } = await runCommand('verify', '--dir', this.dir, '--json');
    const line = stdout.split('\n').find((text) => text.includes('"event":"verified"'));
    if (line === undefined) throw new Error(`verify gave no verdict (exit code ${code}):\n${stdout}${stderr}`);
    return { ...(JSON.parse(line) as Omit<Verified, 'code' | 'text'>), code, text: stdout + stderr };
  }

  /** Kills a node and keeps it down, although `up` tries to start it, by taking its port. Call the result to let it live. */
  async holdDown(slot: number): Promise<() => Promise<void>> {
    const { address, pid } = this.node(slot);
    const [host, port] = address.split(':');
    kill(pid);
    const deadline = performance.now() + 10_000;
    let squatter = await squat(host ?? '', Number(port));
    while (squatter === null) {
      if (performance.now() > deadline) throw new Error(`${address} was not free within 10 s`);
      await new Promise((resolve) => setTimeout(resolve, 5));
      squatter = await squat(host ?? '', Number(port));
    }
    const holder = squatter;
    await until(`node ${slot} is down`, () => !this.isServing(slot));
    return async () => {
      await new Promise((resolve) => holder.close(resolve));
      await this.nodeServes(slot);
    };
  }

  /** Makes a node hang with its connections open. Call the result to let it go on. */
  suspend(slot: number): () => void {
    const { pid } = this.node(slot);
    if (pid === null) throw new Error(`node ${slot} does not run`);
    process.kill(pid, 'SIGSTOP');
    return () => void process.kill(pid, 'SIGCONT');
  }
}

function kill(pid: number | null): void {
  if (pid === null) return;
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    // It may have ended since endpoint.json was written.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** A server that ends every connection at once; null when the port is taken. */
function squat(host: string, port: number): Promise<net.Server | null> {
  return new Promise((resolve) => {
    const server = net.createServer((socket) => socket.destroy());
    server.once('error', () => resolve(null));
    server.listen({ host, port, exclusive: true }, () => resolve(server));
  });
}
