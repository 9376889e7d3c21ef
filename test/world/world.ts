/**
 * A whole cluster in one process for tests: real storage nodes over the in-memory network, each with its own
 * folder on the real disk. Keys come from fixed seeds; nothing else differs from production but the links.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hex, utf8 } from '../../src/base/bytes.ts';
import type { OperationError } from '../../src/base/errors.ts';
import type { Disk, Frame, PeerConnection, Telemetry } from '../../src/base/ports.ts';
import { sha256, signingKeyFromSeed } from '../../src/crypto/primitives.ts';
import type { SigningKey } from '../../src/crypto/primitives.ts';
import { SystemClock } from '../../src/platform/clock.ts';
import { NodeDisk } from '../../src/platform/disk.ts';
import { SystemRandom } from '../../src/platform/random.ts';
import {
  configStatement,
  encodeConfiguration,
  openRootConfiguration,
  sealConfiguration,
} from '../../src/protocol/configuration.ts';
import type { Cluster, Configuration } from '../../src/protocol/configuration.ts';
import { MemoryNetwork } from '../../src/sim/memory-transport.ts';
import type { MemoryListener } from '../../src/sim/memory-transport.ts';
import { StorageNode } from '../../src/storage-node/node.ts';
import type { NodeTuning } from '../../src/storage-node/context.ts';

export interface WorldOptions {
  readonly n?: number;
  readonly f?: number;
  readonly k?: number;
  readonly writers?: number;
  readonly tuning?: Partial<NodeTuning>;
  /** Disks of some slots; the others have a folder on the real disk. A test may put another in place while the node is down. */
  readonly disks?: ReadonlyMap<number, Disk>;
  /** Changes the configuration before it is signed. */
  readonly amend?: (config: Configuration) => Configuration;
}

export interface TestWriter {
  readonly gatewayId: Uint8Array;
  readonly signingKey: SigningKey;
  readonly tlsKey: SigningKey;
  readonly name: string;
}

export function seeded(name: string): SigningKey {
  return signingKeyFromSeed(sha256(utf8(name)));
}

export class CountingTelemetry implements Telemetry {
  readonly counts = new Map<string, number>();
  readonly events: { readonly level: string; readonly name: string; readonly fields: unknown }[] = [];

  count(name: string, labels: Readonly<Record<string, string>> = {}, by: number = 1): void {
    const key = [name, ...Object.entries(labels).map(([k, v]) => `${k}=${v}`)].join(' ');
    this.counts.set(key, (this.counts.get(key) ?? 0) + by);
  }

  event(level: 'debug' | 'info' | 'warn' | 'error', name: string, fields: Readonly<Record<string, unknown>> = {}): void {
    this.events.push({ level, name, fields });
  }
}

/** What stands between the network and a node: a test's adversary wraps the node's own handler. */
export type Interceptor = (
  honest: (frame: Frame) => Promise<Frame>,
  frame: Frame,
  from: PeerConnection,
) => Promise<Frame>;

export class World {
  readonly cluster: Cluster;
  readonly network: MemoryNetwork;
  readonly clock = new SystemClock();
  readonly random = new SystemRandom();
  readonly telemetry = new CountingTelemetry();
  readonly writers: readonly TestWriter[];
  readonly folder: string;
  readonly nodes = new Map<number, StorageNode>();
  readonly disks: Map<number, Disk>;
  readonly lost = new Map<number, OperationError>();
  readonly interceptors = new Map<number, Interceptor>();
  readonly #listeners = new Map<number, MemoryListener>();
  readonly #tuning: Partial<NodeTuning>;
  readonly #keys: readonly { readonly signing: SigningKey; readonly tls: SigningKey }[];

  private constructor(folder: string, options: WorldOptions) {
    const n = options.n ?? 4;
    this.folder = folder;
    this.disks = new Map(options.disks);
    this.#tuning = { upkeepMs: 50, quarantineMs: 100, peerTimeoutMs: 2_000, ...options.tuning };
    this.#keys = Array.from({ length: n }, (_, i) => ({ signing: seeded(`node ${i}`), tls: seeded(`node tls ${i}`) }));
    this.writers = Array.from({ length: options.writers ?? 1 }, (_, i) => ({
      gatewayId: sha256(utf8(`gateway ${i}`)),
      signingKey: seeded(`gateway ${i}`),
      tlsKey: seeded(`gateway tls ${i}`),
      name: `gateway-${i}`,
    }));
    this.cluster = makeCluster(this.#keys, this.writers, options);
    this.network = new MemoryNetwork({ clock: this.clock });
  }

  /** Starts all nodes. */
  static async start(options: WorldOptions = {}): Promise<World> {
    const world = new World(await mkdtemp(join(tmpdir(), 'holdfast-world-')), options);
    await world.startAll(true);
    return world;
  }

  async startAll(fresh: boolean): Promise<void> {
    const slots = this.cluster.slots.map((s) => s.slot);
    await Promise.all(slots.map((slot) => this.openNode(slot, fresh)));
    await Promise.all([...this.nodes.values()].map((node) => node.boot()));
  }

  diskOf(slot: number): Disk {
    const disk = this.disks.get(slot);
    if (disk !== undefined) return disk;
    const folder = join(this.folder, `node-${slot}`);
    mkdirSync(folder, { recursive: true });
    return new NodeDisk(folder);
  }

  /** Recovers a node and listens for it; `boot` is the caller's. */
  async openNode(slot: number, fresh: boolean = false): Promise<StorageNode> {
    const keys = this.#keys[slot];
    const address = this.cluster.slotAt(slot)?.addresses[0];
    if (keys === undefined || address === undefined) throw new Error(`no slot ${slot}`);
    const node = await StorageNode.open({
      cluster: this.cluster,
      slot,
      signingKey: keys.signing,
      disk: this.diskOf(slot),
      clock: this.clock,
      random: this.random,
      telemetry: this.telemetry,
      transport: this.network.transport(`node-${slot}`, hex(keys.tls.publicKey)),
      fresh,
      onLost: (error) => this.lost.set(slot, error),
      tuning: this.#tuning,
    });
    this.nodes.set(slot, node);
    const listener = await this.network.listen({
      name: `node-${slot}`,
      address,
      key: hex(keys.tls.publicKey),
      allowedPeers: () => this.cluster.peerKeys(),
      handler: (from, frame) => {
        const interceptor = this.interceptors.get(slot);
        const honest = (f: Frame): Promise<Frame> => node.handle(from, f);
        return interceptor === undefined ? honest(frame) : interceptor(honest, frame, from);
      },
    });
    this.#listeners.set(slot, listener);
    return node;
  }

  /** As if the process was killed: no snapshot, no goodbye. What was acknowledged is on disk. */
  async kill(slot: number): Promise<void> {
    this.network.kill(`node-${slot}`);
    await this.#listeners.get(slot)?.close();
    this.#listeners.delete(slot);
    const node = this.nodes.get(slot);
    this.nodes.delete(slot);
    await node?.abandon();
  }

  /** A clean stop. */
  async stopNode(slot: number): Promise<void> {
    await this.#listeners.get(slot)?.close();
    this.#listeners.delete(slot);
    await this.nodes.get(slot)?.stop();
    this.nodes.delete(slot);
  }

  async restart(slot: number): Promise<void> {
    await this.openNode(slot);
    await this.nodes.get(slot)?.boot();
  }

  async stop(): Promise<void> {
    await Promise.all([...this.nodes.keys()].map((slot) => this.stopNode(slot)));
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** A configuration of these nodes and writers, signed by an admin of its own. */
export function makeCluster(
  keys: readonly { readonly signing: SigningKey; readonly tls: SigningKey }[],
  writers: readonly TestWriter[],
  options: Pick<WorldOptions, 'f' | 'k' | 'amend'>,
): Cluster {
  const f = options.f ?? 1;
  const n = keys.length;
  const admin = seeded('admin');
  const clusterId = sha256(utf8('test cluster'));
  const config: Configuration = {
    v: 1,
    clusterId,
    epoch: 1,
    prevHash: null,
    phase: 'STABLE',
    f,
    k: options.k ?? n - 2 * f,
    slots: keys.map(({ signing, tls }, slot) => ({
      slot,
      nodeId: sha256(signing.publicKey),
      signingKey: signing.publicKey,
      tlsKey: tls.publicKey,
      addresses: [`127.0.0.1:${7000 + slot}`],
      domain: `domain-${slot}`,
    })),
    writers: writers.map((w) => ({
      gatewayId: w.gatewayId,
      signingKey: w.signingKey.publicKey,
      tlsKey: w.tlsKey.publicKey,
      capabilities: ['write', 'buckets', 'resolve'] as const,
    })),
    suiteMin: 1,
    protocolMin: 1,
    retentionMaxMs: 0,
    uncertifiedBytesMax: 1024 ** 3,
    admins: [admin.publicKey],
    m: 1,
    freshnessKey: seeded('freshness').publicKey,
    notBefore: 0,
  };
  const amended = options.amend?.(config) ?? config;
  const body = encodeConfiguration(amended);
  const signature = admin.sign(configStatement(clusterId, body));
  const verdict = openRootConfiguration(sealConfiguration(body, [{ admin: admin.publicKey, signature }]));
  if (!verdict.ok) throw new Error(`the test configuration is refused: ${verdict.reason}`);
  return verdict.cluster;
}
