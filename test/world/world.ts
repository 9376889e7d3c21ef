/**
 * A whole cluster in one process for tests: real storage nodes over the in-memory network, each with its own
 * folder on the real disk. Keys come from fixed seeds; nothing else differs from production but the links.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hex } from '../../src/base/bytes.ts';
import type { OperationError } from '../../src/base/errors.ts';
import type { Clock, Disk, Frame } from '../../src/base/ports.ts';
import type { SigningKey } from '../../src/crypto/primitives.ts';
import type { Proof } from '../../src/evidence/finding.ts';
import { SystemClock } from '../../src/platform/clock.ts';
import { NodeDisk } from '../../src/platform/disk.ts';
import { SystemRandom } from '../../src/platform/random.ts';
import type { Cluster } from '../../src/protocol/configuration.ts';
import type { Interceptor, WriterStage } from '../../src/sim/adversaries/stage.ts';
import { CountingTelemetry } from '../../src/sim/counting-telemetry.ts';
import { makeCluster, makeController, makeNodeKeys, makeWriters } from '../../src/sim/members.ts';
import type { ClusterShape, NodeKeys, SimulatedWriter } from '../../src/sim/members.ts';
import { MemoryNetwork } from '../../src/sim/memory-transport.ts';
import type { MemoryListener } from '../../src/sim/memory-transport.ts';
import { StorageNode } from '../../src/storage-node/node.ts';
import type { NodeTuning } from '../../src/storage-node/context.ts';

export interface WorldOptions extends ClusterShape {
  readonly n?: number;
  readonly writers?: number;
  readonly tuning?: Partial<NodeTuning>;
  /** Disks of some slots; the others have a folder on the real disk. A test may put another in place while the node is down. */
  readonly disks?: ReadonlyMap<number, Disk>;
  /** Clocks of some slots; the others have the right time. */
  readonly clocks?: ReadonlyMap<number, Clock>;
}

export class World implements WriterStage {
  readonly cluster: Cluster;
  readonly network: MemoryNetwork;
  readonly clock = new SystemClock();
  readonly random = new SystemRandom();
  readonly telemetry = new CountingTelemetry();
  readonly writers: readonly SimulatedWriter[];
  readonly controller: SimulatedWriter = makeController();
  readonly folder: string;
  readonly nodes = new Map<number, StorageNode>();
  readonly disks: Map<number, Disk>;
  readonly lost = new Map<number, OperationError>();
  /** What the nodes have proof of. */
  readonly evidence: Proof[] = [];
  readonly interceptors = new Map<number, Interceptor>();
  readonly #listeners = new Map<number, MemoryListener>();
  readonly #tuning: Partial<NodeTuning>;
  readonly #keys: readonly NodeKeys[];
  readonly #clocks: ReadonlyMap<number, Clock>;

  private constructor(folder: string, options: WorldOptions) {
    const n = options.n ?? 4;
    this.folder = folder;
    this.disks = new Map(options.disks);
    this.#clocks = options.clocks ?? new Map();
    this.#tuning = { upkeepMs: 50, quarantineMs: 100, peerTimeoutMs: 2_000, ...options.tuning };
    this.#keys = makeNodeKeys(n);
    this.writers = makeWriters(options.writers ?? 1);
    this.cluster = makeCluster(this.#keys, [...this.writers, this.controller], options);
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

  /** The world as a controller sees it, which is a writer that may not write. */
  asController(): WriterStage {
    const { cluster, clock, network, random } = this;
    return { cluster, clock, network, random, writers: [this.controller], nodeKey: (slot) => this.nodeKey(slot) };
  }

  diskOf(slot: number): Disk {
    const disk = this.disks.get(slot);
    if (disk !== undefined) return disk;
    const folder = join(this.folder, `node-${slot}`);
    mkdirSync(folder, { recursive: true });
    return new NodeDisk(folder);
  }

  nodeKey(slot: number): SigningKey {
    const keys = this.#keys[slot];
    if (keys === undefined) throw new Error(`no slot ${slot}`);
    return keys.signing;
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
      clock: this.#clocks.get(slot) ?? this.clock,
      random: this.random,
      telemetry: this.telemetry,
      transport: this.network.transport(`node-${slot}`, hex(keys.tls.publicKey)),
      fresh,
      onLost: (error) => this.lost.set(slot, error),
      tuning: this.#tuning,
      onEvidence: (proof) => this.evidence.push(proof),
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
