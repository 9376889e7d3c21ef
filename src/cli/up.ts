/**
 * `holdfast up`: a whole cluster on one machine. Every storage node, the gateway and the controller is a process of its
 * own with a folder of its own, speaking the same mutual TLS and making the same checks as in production. A node
 * that says its state is lost is left down while at most f are; any other process that ends is started
 * again. Stopping ends the gateway first, then the nodes.
 */
import path from 'node:path';
import process from 'node:process';
import { hex } from '../base/bytes.ts';
import { OperationError } from '../base/errors.ts';
import type { ErrorCode } from '../base/errors.ts';
import { ERROR_CODES } from '../base/errors.ts';
import { NodeDisk } from '../platform/disk.ts';
import { lockFolder } from '../platform/folder-lock.ts';
import { findOwnerKey } from './access-folder.ts';
import { askAdmin } from './admin-socket.ts';
import { controllerFolder, gatewayFolder, isPortFree, nodeFolder, openOrCreateCluster, openUpFolder, requireAskedGeometry } from './cluster-folder.ts';
import type { AskedGeometry, ClusterFolder } from './cluster-folder.ts';
import { untilAskedToStop } from './child-messages.ts';
import { writeEndpoint } from './endpoint-file.ts';
import type { EndpointFile } from './endpoint-file.ts';
import { shortId } from './root-configuration.ts';
import { SupervisedChild } from './supervisor.ts';
import type { Failure } from './supervisor.ts';
import { systemClock } from './system-ports.ts';
import { formatBytes, formatTable } from './terminal.ts';
import type { Terminal } from './terminal.ts';

const HOST = '127.0.0.1';
export const DEFAULT_REGION = 'us-east-1';
const SETTLE_MS = 10_000;
const SETTLE_STEP_MS = 50;
/** The gateway cannot get better by starting again after these. */
const HOPELESS: ReadonlySet<string> = new Set<ErrorCode>(['IN_USE', 'BAD_CONFIG', 'BAD_ARGUMENT', 'LOST_STATE', 'CORRUPT', 'DISK_READ_ONLY']);

export interface UpOptions {
  readonly dir: string;
  /** Port of the S3 door on loopback. */
  readonly port: number;
  readonly asked: AskedGeometry;
  readonly terminal: Terminal;
}

/** Runs until it is asked to stop. IN_USE, DISK_READ_ONLY, BAD_GEOMETRY, LOST_STATE before anything is started. */
export async function runUp(options: UpOptions): Promise<void> {
  requireAskedGeometry(options.dir, options.asked);
  const dir = await openUpFolder(options.dir);
  const lock = await lockFolder(dir);
  const stopped = untilAskedToStop();
  try {
    if (!(await isPortFree(HOST, options.port))) {
      throw new OperationError('IN_USE', `Port ${options.port} on ${HOST} is taken by another process.`, {
        remedy: 'Choose another one with --port.',
      });
    }
    const folder = await openOrCreateCluster(dir, options.asked);
    await new Up(folder, options).run(stopped);
  } finally {
    await lock.release();
  }
}

class Up {
  readonly #folder: ClusterFolder;
  readonly #options: UpOptions;
  readonly #terminal: Terminal;
  readonly #nodes: readonly SupervisedChild[];
  readonly #gateway: SupervisedChild;
  /** Null in a cluster whose configuration names none. */
  readonly #controller: SupervisedChild | null;
  readonly #told = new Map<SupervisedChild, string>();
  #give: (error: OperationError) => void = () => undefined;
  #onReady: () => void = () => undefined;
  #ready = false;
  #stopping = false;
  #writing: Promise<void> = Promise.resolve();

  constructor(folder: ClusterFolder, options: UpOptions) {
    this.#folder = folder;
    this.#options = options;
    this.#terminal = options.terminal;
    const { cluster, configFile } = folder;
    const member = (name: string, dir: string, args: readonly string[]): SupervisedChild =>
      new SupervisedChild({
        name,
        program: process.argv[1] ?? '',
        args: [...args, '--dir', dir, '--config', configFile],
        logFile: path.join(folder.path, `${path.basename(dir)}.log`),
        onChange: (child) => this.#changed(child),
      });
    this.#nodes = cluster.slots.map(({ slot }) => member(`node ${slot}`, nodeFolder(folder.path, slot), ['node', 'run']));
    this.#gateway = member('gateway', gatewayFolder(folder.path), ['gateway', 'run', '--listen', `${HOST}:${options.port}`]);
    const args = ['controller', 'run', '--gateway-dir', gatewayFolder(folder.path)];
    const isNamed = cluster.config.writers.some(({ capabilities }) => capabilities.includes('repair'));
    this.#controller = isNamed ? member('controller', controllerFolder(folder.path), args) : null;
  }

  async run(stopped: Promise<string>): Promise<void> {
    const { cluster, created, path: dir } = this.#folder;
    const { n, f, k } = cluster.geometry;
    const given = new Promise<never>((_, reject) => (this.#give = reject));
    const ready = new Promise<void>((resolve) => (this.#onReady = resolve));
    this.#terminal.say(
      created ? 'created' : 'found',
      { dir, clusterId: hex(cluster.id), n, f, k },
      `Holdfast ${created ? 'makes' : 'starts'} cluster ${shortId(cluster.id)} in ${dir}\n` +
        `  ${n} storage nodes, any ${f} may be dead, damaged or lying; ${k} cells of a stripe restore it`,
    );
    try {
      for (const child of [...this.#nodes, this.#gateway, ...(this.#controller === null ? [] : [this.#controller])]) child.start();
      const end = Promise.race([stopped, given]);
      await Promise.race([ready, end]);
      if (this.#ready) {
        await Promise.race([this.#nodesSettle(), end]);
        await this.#announce();
      }
      const why = await end;
      this.#terminal.say('stopping', { why }, `\nstopping (${why})`);
    } finally {
      this.#stopping = true;
      await Promise.all([this.#gateway.stop(), this.#controller?.stop()]);
      await Promise.all(this.#nodes.map((node) => node.stop()));
      await this.#writeEndpoint();
    }
    this.#terminal.say('stopped', {}, 'stopped; everything acknowledged is on disk');
  }

  /** A quorum serves already; the others are given a moment, so that what is announced is what stays. */
  async #nodesSettle(): Promise<void> {
    const deadline = performance.now() + SETTLE_MS;
    const isSettled = (node: SupervisedChild): boolean => node.state === 'serving' || node.state === 'lost';
    while (!this.#nodes.every(isSettled) && performance.now() < deadline) await systemClock.sleep(SETTLE_STEP_MS);
  }

  #changed(child: SupervisedChild): void {
    if (this.#stopping) return;
    void this.#writeEndpoint();
    const { state, failure, name } = child;
    if (child === this.#gateway && failure !== undefined && state !== 'serving' && HOPELESS.has(failure.code)) {
      this.#give(errorOf(failure));
      return;
    }
    if (state === 'lost' && failure !== undefined) this.#tellLost(child, failure);
    if (state === 'waiting' && failure !== undefined) {
      this.#tell(child, `${failure.code} ${failure.message}`, 'ended', { ...failure }, `${name} ended and is started again: ${failure.message}`);
    }
    if (state === 'serving' && this.#told.has(child)) {
      this.#told.delete(child);
      this.#terminal.say('recovered', { process: name, restarts: child.restarts }, `${name} serves again`);
    }
    if (child === this.#gateway && state === 'serving' && !this.#ready) {
      this.#ready = true;
      this.#onReady();
    }
  }

  #tellLost(child: SupervisedChild, failure: Failure): void {
    const lost = this.#nodes.filter((node) => node.state === 'lost');
    const { f } = this.#folder.cluster.geometry;
    this.#tell(child, 'lost', 'lost', { ...failure }, `${child.name} is LOST: ${failure.message}${failure.remedy === undefined ? '' : ` ${failure.remedy}`}`);
    if (lost.length <= f) return;
    this.#give(
      new OperationError('LOST_STATE', `${lost.length} nodes are lost (${lost.map((node) => node.name).join(', ')}) where at most f = ${f} may be.`, {
        remedy: 'Put the folders of the lost nodes back as they were last, or as many of them as are missing.',
      }),
    );
  }

  /** Says it once until something else happens to the child. */
  #tell(child: SupervisedChild, key: string, event: string, fields: object, text: string): void {
    if (this.#told.get(child) === key) return;
    this.#told.set(child, key);
    this.#terminal.warn(event, { process: child.name, ...fields }, text);
  }

  async #announce(): Promise<void> {
    await this.#writeEndpoint();
    const endpoint = await this.#endpoint();
    const capacity = await this.#capacity();
    const rows = endpoint.nodes.map((node, slot) => [
      `  node ${node.slot}`,
      node.state,
      node.pid === null ? '-' : `pid ${node.pid}`,
      node.address,
      capacity[slot] ?? 'space unknown',
      node.folder,
    ]);
    const env = `AWS_ACCESS_KEY_ID=${endpoint.accessKeyId} AWS_SECRET_ACCESS_KEY=${endpoint.secretAccessKey} AWS_REGION=${endpoint.region}`;
    const dirFlag = ` --dir ${this.#folder.path}`;
    // From a clone the command is not on the path.
    const command = process.env['npm_lifecycle_event'] === 'start' ? 'npm start --' : 'holdfast';
    this.#terminal.say(
      'ready',
      { ...endpoint, secretAccessKey: undefined, capacity },
      [
        formatTable(rows),
        `  gateway  serving  pid ${endpoint.gateway.pid}  ${endpoint.endpoint}`,
        ...(endpoint.controller === undefined ? [] : [`  controller  ${this.#controller?.state ?? ''}  audits the nodes and repairs what is lost: ${command} repair${dirFlag}`]),
        '',
        'Use it:',
        `  export ${env}`,
        `  aws --endpoint-url ${endpoint.endpoint} s3 mb s3://photos`,
        `  aws --endpoint-url ${endpoint.endpoint} s3 cp FILE s3://photos/`,
        `  ${command} put --make-bucket FILE photos/FILE${dirFlag}`,
        `  SDK: new S3Client({ endpoint: '${endpoint.endpoint}', region: '${endpoint.region}', forcePathStyle: true })`,
        `  check every node: ${command} verify${dirFlag}`,
        `  credentials also stand in ${path.join(this.#folder.path, 'endpoint.json')} (mode 0600)`,
        '',
        `ready: ${endpoint.endpoint}   (Ctrl-C stops everything)`,
      ].join('\n'),
    );
  }

  async #capacity(): Promise<string[]> {
    return Promise.all(
      this.#folder.cluster.slots.map(async ({ slot }) => {
        try {
          const { body } = await askAdmin(nodeFolder(this.#folder.path, slot), '/status');
          const { space } = body as { space?: { totalBytes: number; freeBytes: number } };
          return space === undefined ? 'space unknown' : `${formatBytes(space.freeBytes)} free of ${formatBytes(space.totalBytes)}`;
        } catch {
          return 'space unknown';
        }
      }),
    );
  }

  async #endpoint(): Promise<EndpointFile> {
    const key = await findOwnerKey(new NodeDisk(gatewayFolder(this.#folder.path)), systemClock.nowMs());
    if (key === undefined) throw new OperationError('CORRUPT', 'The gateway has no access key of the owner that may do everything.');
    return {
      v: 1,
      endpoint: `http://${HOST}:${this.#options.port}`,
      region: DEFAULT_REGION,
      accessKeyId: key.accessKeyId,
      secretAccessKey: key.secretAccessKey,
      pid: this.#stopping ? null : process.pid,
      gateway: { pid: this.#gateway.pid ?? null, folder: gatewayFolder(this.#folder.path) },
      ...(this.#controller === null ? {} : { controller: { pid: this.#controller.pid ?? null, folder: controllerFolder(this.#folder.path) } }),
      nodes: this.#folder.cluster.slots.map(({ slot, nodeId, addresses }) => {
        const child = this.#nodes[slot];
        return {
          id: hex(nodeId),
          slot,
          pid: child?.pid ?? null,
          folder: nodeFolder(this.#folder.path, slot),
          address: addresses[0] ?? '',
          state: child?.state ?? 'stopped',
        };
      }),
    };
  }

  /** One write after the other; each writes what holds when its turn comes. */
  #writeEndpoint(): Promise<void> {
    this.#writing = this.#writing.then(async () => {
      try {
        await writeEndpoint(new NodeDisk(this.#folder.path), await this.#endpoint());
      } catch (error) {
        this.#terminal.warn('endpoint_not_written', {}, `endpoint.json could not be written: ${String(error)}`);
      }
    });
    return this.#writing;
  }
}

function errorOf(failure: Failure): OperationError {
  const known = (Object.keys(ERROR_CODES) as ErrorCode[]).find((code) => code === failure.code) ?? 'PEER_FAILED';
  return new OperationError(known, failure.message, failure.remedy === undefined ? {} : { remedy: failure.remedy });
}
