/**
 * A cluster of real processes, made by hand, in which every connection goes through a fault proxy: the signed
 * configuration names the proxies as the nodes' addresses, and S3 clients reach the gateways through one
 * each. TLS with its client certificates passes unchanged, from end to end.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { S3Client } from '@aws-sdk/client-s3';
import type { S3ClientConfig } from '@aws-sdk/client-s3';
import { EVIDENCE_FOLDER } from '../../src/cli/evidence-folder.ts';
import { gatewayInit, nodeInit } from '../../src/cli/init-commands.ts';
import type { SeededRandom } from '../../src/sim/seeded-random.ts';
import { FaultProxy } from './fault-proxy.ts';
import type { Link } from './fault-proxy.ts';
import { Member } from './member.ts';
import { buildProduct, runCommand } from './programs.ts';
import { SmallDisk } from './small-disk.ts';
import { whoDialled } from './who-dialled.ts';

export interface ProxiedClusterOptions {
  readonly name: string;
  readonly random: SeededRandom;
  readonly n: number;
  readonly f: number;
  readonly k: number;
  readonly gateways: number;
  /** The slot whose disk can be full. */
  readonly smallDiskSlot: number;
}

/** All that dials and is no member, such as `holdfast verify`. */
const OTHERS = 'others';
const CLIENTS = 'clients';

export class ProxiedCluster {
  readonly scratch: string;
  readonly nodes: readonly Member[];
  readonly gateways: readonly Member[];
  /** One before each node. */
  readonly nodeProxies: readonly FaultProxy[];
  /** One before each gateway. */
  readonly gatewayProxies: readonly FaultProxy[];
  /** Null where none can be mounted. */
  readonly smallDisk: SmallDisk | null;
  readonly #smallDiskSlot: number;

  /** Resolves when everything serves. */
  static async start(options: ProxiedClusterOptions): Promise<ProxiedCluster> {
    buildProduct();
    const scratch = fs.mkdtempSync(path.join(os.tmpdir(), `holdfast-${options.name}-`));
    const nodes: Member[] = [];
    const gateways: Member[] = [];
    const config = path.join(scratch, 'admin', 'cluster.cfg');
    const make = (role: 'node' | 'gateway', index: number): Member =>
      new Member(`${role} ${index}`, path.join(scratch, `${role}-${index}`), [role, 'run', '--config', config]);
    for (let slot = 0; slot < options.n; slot += 1) nodes.push(make('node', slot));
    for (let index = 0; index < options.gateways; index += 1) gateways.push(make('gateway', index));
    const pids = (): Map<string, number> =>
      new Map([...gateways, ...nodes].flatMap(({ name, pid }) => (pid === undefined ? [] : [[name, pid] as const])));
    const before = (member: Member, index: number, nameOf: (from: number, to: number) => string): Promise<FaultProxy> =>
      FaultProxy.start({
        target: () => member.port,
        stranger: () => nodes[(index + 1) % nodes.length]?.port,
        nameOf,
        random: options.random.fork(`before ${member.name}`),
      });
    const nodeProxies = await Promise.all(nodes.map((node, slot) => before(node, slot, (from, to) => whoDialled(from, to, pids()) ?? OTHERS)));
    const gatewayProxies = await Promise.all(gateways.map((gateway, index) => before(gateway, index, () => CLIENTS)));
    const smallDisk = SmallDisk.mount(path.join(scratch, `node-${options.smallDiskSlot}`));
    const cluster = new ProxiedCluster(scratch, nodes, gateways, nodeProxies, gatewayProxies, smallDisk, options.smallDiskSlot);
    try {
      await cluster.#make(options);
      for (const member of cluster.members) member.start();
      await Promise.all(cluster.members.map((member) => member.serves()));
    } catch (error) {
      await cluster.end();
      throw error;
    }
    return cluster;
  }

  private constructor(
    scratch: string,
    nodes: readonly Member[],
    gateways: readonly Member[],
    nodeProxies: readonly FaultProxy[],
    gatewayProxies: readonly FaultProxy[],
    smallDisk: SmallDisk | null,
    smallDiskSlot: number,
  ) {
    this.scratch = scratch;
    this.nodes = nodes;
    this.gateways = gateways;
    this.nodeProxies = nodeProxies;
    this.gatewayProxies = gatewayProxies;
    this.smallDisk = smallDisk;
    this.#smallDiskSlot = smallDiskSlot;
  }

  async #make({ f, k }: ProxiedClusterOptions): Promise<void> {
    const joins: string[] = [];
    for (const [slot, { name, folder }] of this.nodes.entries()) {
      await nodeInit({ dir: folder, address: this.nodeProxies[slot]?.address ?? '', domain: name.replace(' ', '-') });
      joins.push('--join', path.join(folder, 'join.json'));
    }
    for (const { folder } of this.gateways) {
      const first = this.gateways[0]?.folder;
      await gatewayInit({ dir: folder, ownerFrom: folder === first ? undefined : first });
      joins.push('--gateway', path.join(folder, 'join.json'));
    }
    const made = await runCommand('cluster', 'init', '--dir', path.join(this.scratch, 'admin'), ...joins, '--f', String(f), '--k', String(k));
    if (made.code !== 0) throw new Error(made.stderr);
  }

  get smallDiskNode(): Member {
    const node = this.nodes[this.#smallDiskSlot];
    if (node === undefined) throw new RangeError(`no node ${this.#smallDiskSlot}`);
    return node;
  }

  get members(): readonly Member[] {
    return [...this.nodes, ...this.gateways];
  }

  get proxies(): readonly FaultProxy[] {
    return [...this.nodeProxies, ...this.gatewayProxies];
  }

  /** The link from a member to a node. */
  link(from: string, slot: number): Link {
    const proxy = this.nodeProxies[slot];
    if (proxy === undefined) throw new RangeError(`no node ${slot}`);
    return proxy.link(from);
  }

  /** The link from all S3 clients to a gateway. */
  clientLink(gateway: number): Link {
    const proxy = this.gatewayProxies[gateway];
    if (proxy === undefined) throw new RangeError(`no gateway ${gateway}`);
    return proxy.link(CLIENTS);
  }

  /** An S3 client of one gateway. */
  client(gateway: number, more: S3ClientConfig = {}): S3Client {
    const keysFile = path.join(this.gateways[gateway]?.folder ?? '', 'access-keys.json');
    const { accessKeys } = JSON.parse(fs.readFileSync(keysFile, 'utf8')) as { accessKeys: { accessKeyId: string; secretAccessKey: string }[] };
    const [credentials] = accessKeys;
    if (credentials === undefined) throw new Error('the gateway has an access key');
    const endpoint = `http://${this.gatewayProxies[gateway]?.address}`;
    return new S3Client({ endpoint, region: 'us-east-1', credentials, forcePathStyle: true, ...more });
  }

  /** What anybody suspected or proved about a node; with correct nodes there must be nothing. */
  async accusations(): Promise<string[]> {
    const told = this.members.flatMap((member) =>
      member
        .told()
        .filter(({ event }) => event === 'suspicion' || event === 'evidence')
        .map((fields) => `${member.name}: ${JSON.stringify(fields)}`),
    );
    const counted = await Promise.all(
      this.members.map(async (member) => {
        const { counters } = (await member.status()) as { counters: Record<string, number> };
        return Object.entries(counters)
          .filter(([name]) => /suspicion|evidence/.test(name))
          .map(([name, count]) => `${member.name}: ${name} ${count}`);
      }),
    );
    const proofs = this.gateways.flatMap(({ name, folder }) => fs.readdirSync(path.join(folder, EVIDENCE_FOLDER)).map((file) => `${name}: ${file}`));
    return [...told, ...counted.flat(), ...proofs];
  }

  /** `holdfast verify` with the identity of the first gateway. */
  async verify(): Promise<{ readonly code: number | null; readonly accused: readonly number[]; readonly unreadable: number; readonly text: string }> {
    const { code, stdout, stderr } = await runCommand('verify', '--dir', this.gateways[0]?.folder ?? '', '--json');
    const line = stdout.split('\n').find((text) => text.includes('"event":"verified"'));
    if (line === undefined) throw new Error(`verify gave no verdict (exit code ${code}):\n${stdout}${stderr}`);
    const { accused, unreadable } = JSON.parse(line) as { accused: number[]; unreadable: number };
    return { code, accused, unreadable, text: stdout + stderr };
  }

  /** Kills all and removes the folders. */
  async end(): Promise<void> {
    await Promise.all(this.members.map((member) => member.kill()));
    await Promise.all(this.proxies.map((proxy) => proxy.close()));
    this.smallDisk?.unmount();
    fs.rmSync(this.scratch, { recursive: true, force: true });
  }
}
