/**
 * A whole cluster in one process: the storage nodes and gateways that ship, on a simulated network, disks and
 * clocks. Any of them can be killed between two events or at a step of its disk, and comes back as its
 * supervisor would bring it back. The slots that the run calls bad may be given to an adversary.
 */
import { assert } from '../base/assert.ts';
import { EMPTY, hex, utf8 } from '../base/bytes.ts';
import { describeError, isOperationError } from '../base/errors.ts';
import type { OperationError } from '../base/errors.ts';
import { CELL_BYTES_DEFAULT } from '../base/limits.ts';
import type { Frame, PeerConnection } from '../base/ports.ts';
import type { Suspicion } from '../client/suspicions.ts';
import type { EvidenceType } from '../evidence/evidence.ts';
import { nameOf } from '../evidence/finding.ts';
import type { Proof } from '../evidence/finding.ts';
import { sha256 } from '../crypto/primitives.ts';
import type { SigningKey } from '../crypto/primitives.ts';
import { wasmCodec } from '../erasure/wasm.ts';
import { WorkspacePool } from '../erasure/workspace.ts';
import { Gateway } from '../gateway/gateway.ts';
import type { Cluster } from '../protocol/configuration.ts';
import { decodeAnswer, decodeRequest, encodeRequest } from '../protocol/messages.ts';
import type { AnswerOf, Request, RequestType } from '../protocol/messages.ts';
import { oneCorrect } from '../protocol/quorum.ts';
import { StorageNode } from '../storage-node/node.ts';
import type { NodeTuning } from '../storage-node/context.ts';
import type { GreedyAdversary } from './adversaries/greedy.ts';
import type { Interceptor, WriterStage } from './adversaries/stage.ts';
import { OperationWatch } from './checkers/operations.ts';
import { ProofWatch } from './checkers/proofs.ts';
import { ReceiptWatch } from './checkers/receipts.ts';
import { CountingTelemetry } from './counting-telemetry.ts';
import { FaultyDisk } from './faulty-disk.ts';
import { makeCluster, makeController, makeNodeKeys, makeWriters } from './members.ts';
import type { NodeKeys, SimulatedWriter } from './members.ts';
import { MemoryNetwork } from './memory-transport.ts';
import { MemoryStore } from './memory-store.ts';
import type { SeededRandom } from './seeded-random.ts';
import { alive, processDisk, processHandler, processTransport } from './simulated-process.ts';
import { SimulatedClock } from './simulated-time.ts';
import type { SimulatedTime } from './simulated-time.ts';
import type { Trace } from './trace.ts';

export interface SimulatedShape {
  readonly n: number;
  readonly f: number;
  readonly k: number;
  readonly gateways: number;
  /** Has an enemy got the key of one more gateway? */
  readonly isWriterStolen: boolean;
}

export interface SimulatedWorld {
  readonly time: SimulatedTime;
  readonly random: SeededRandom;
  readonly trace: Trace;
}

/** Small segments and short pauses, so that a short life meets every chore of a node. */
const NODE_TUNING: Partial<NodeTuning> = {
  upkeepMs: 500,
  quarantineMs: 1_000,
  snapshotRecords: 300,
  logSegmentBytes: 256 * 1024,
  cellSegmentBytes: 1024 * 1024,
  peerTimeoutMs: 2_000,
};
/** No bucket of a run has lifecycle rules. */
const NEVER_MS = 10 * 365 * 24 * 3600 * 1000;
const GATEWAY_TUNING = { upkeepMs: 2_000, partsKeptMs: 500, closingMs: 1_000, lifecycleMs: NEVER_MS };
/** Of the owner; all gateways have it. */
export const ROOT_SECRET = sha256(utf8('root secret of the owner'));
const WORKSPACES = 3;
/** Small enough to be reached, and ample for what gateways have under way. */
const UNCERTIFIED_BYTES_MAX = 8 * 1024 ** 2;
const DISK_BYTES = 4 * 1024 ** 3;
/** How soon a supervisor starts a process again. */
const RESTART_MS = 300;

/** What the two kinds of process have in common. */
interface Process {
  readonly name: string;
  clock: SimulatedClock;
  disk: FaultyDisk;
  isUp: boolean;
  /** Resolves when the present life of the process ends. */
  died: Promise<void>;
  die: () => void;
  restarts: number;
  /** When its present life began. */
  startedMs: number;
}

interface NodeProcess extends Process {
  readonly slot: number;
  node: StorageNode | null;
  /** Of its latest life that served. */
  incarnation: number;
  /** Why it will not come back. */
  lost: OperationError | null;
}

interface GatewayProcess extends Process {
  readonly writer: SimulatedWriter;
  gateway: Gateway | null;
  index: MemoryStore;
}

/** Steps of a process's disk, or only its syncs, until it is killed; `happens`: does the last step still take effect? */
interface CrashPoint {
  steps: number;
  readonly of: 'steps' | 'syncs';
  readonly happens: boolean;
  readonly power: boolean;
}

/** A moment of the protocol: nodes have been asked, or have answered, so many requests of a type. */
interface MessageCount {
  readonly type: RequestType;
  readonly side: 'asked' | 'answered';
  readonly count: number;
}

/** Requests that a client sends again when no answer comes. */
const REPEATED: ReadonlySet<string> = new Set<RequestType>(['PREPARE', 'COMMIT', 'QUERY', 'RESOLVE', 'ABORT', 'FETCH', 'BODY']);
const AGAIN_MS = 7;

export class SimulatedCluster implements WriterStage {
  readonly cluster: Cluster;
  readonly clock: SimulatedClock;
  readonly network: MemoryNetwork;
  readonly writers: readonly SimulatedWriter[];
  readonly controller: SimulatedWriter = makeController();
  readonly random: SeededRandom;
  readonly telemetry = new CountingTelemetry();
  readonly shape: SimulatedShape;
  /** Slots that may do anything. */
  readonly bad: ReadonlySet<number>;
  readonly evidence: Proof[] = [];
  readonly #suspicions = new Map<string, Suspicion>();
  /** What must never happen to a correct process. */
  readonly failures: string[] = [];
  readonly #world: SimulatedWorld;
  readonly #keys: readonly NodeKeys[];
  readonly #nodes: readonly NodeProcess[];
  readonly #gateways: readonly GatewayProcess[];
  readonly #interceptors = new Map<number, Interceptor>();
  readonly #receipts = new ReceiptWatch();
  readonly #operations = new OperationWatch();
  readonly #proofs = new ProofWatch();
  #greedy: GreedyAdversary | null = null;
  /** Nodes that get requests twice. */
  readonly #twice = new Set<string>();
  /** Requests that came to nodes, from whomever, by type. */
  readonly #asked = new Map<string, number>();
  readonly #crashPoints = new Map<string, CrashPoint>();
  readonly #messagePoints = new Set<{ left: number; readonly point: MessageCount; readonly act: () => void }>();
  /** Milliseconds that one message takes on the way to or from a process, beyond the usual. */
  readonly #slowness = new Map<string, number>();
  readonly #diskSlowness = new Map<string, number>();
  /** By node and type of request. */
  readonly #lateness = new Map<string, number>();

  constructor(world: SimulatedWorld, shape: SimulatedShape, bad: ReadonlySet<number>) {
    const { time, random } = world;
    this.#world = world;
    this.shape = shape;
    this.bad = bad;
    this.clock = new SimulatedClock(time);
    this.#keys = makeNodeKeys(shape.n);
    // A stolen writer comes with a stolen reader.
    const members = makeWriters(shape.gateways + (shape.isWriterStolen ? 2 : 0));
    this.writers = members.map((member, i) => (i > shape.gateways ? { ...member, capabilities: [] } : member));
    this.random = random.fork('adversaries');
    this.cluster = makeCluster(this.#keys, [...this.writers, this.controller], { ...shape, amend: (config) => ({ ...config, uncertifiedBytesMax: UNCERTIFIED_BYTES_MAX }) });
    const latency = random.fork('latency');
    const latencyMs = (from: string, to: string, bytes: number): number =>
      0.1 + latency.around(0.5) + bytes / 100_000 + (this.#slowness.get(from) ?? 0) + (this.#slowness.get(to) ?? 0);
    this.network = new MemoryNetwork({ clock: this.clock, latencyMs });
    this.#nodes = Array.from({ length: shape.n }, (_, slot) => ({ ...this.#process(`node-${slot}`), slot, node: null, incarnation: 0, lost: null }));
    this.#gateways = this.writers.slice(0, shape.gateways).map((writer) => ({ ...this.#process(writer.name), writer, gateway: null, index: new MemoryStore() }));
  }

  /** All processes start for the first time. */
  start(): void {
    for (const process of this.#nodes) this.#startNode(process, true);
    for (const process of this.#gateways) this.#startGateway(process);
  }

  /** Names of all processes. */
  get names(): readonly string[] {
    return [...this.#nodes, ...this.#gateways].map(({ name }) => name);
  }

  nodeKey(slot: number): SigningKey {
    const keys = this.#keys[slot];
    assert(keys !== undefined, 'the slot exists');
    return keys.signing;
  }

  lied(slot: number, type: EvidenceType, to: PeerConnection): void {
    // Only gateways look for proof; a thief has no use for it.
    if (this.#gateways.some(({ writer }) => hex(writer.tlsKey.publicKey) === to.peer)) this.#proofs.told(slot, type, to);
  }

  /** The node of a slot while its process lives. */
  node(slot: number): StorageNode | null {
    return this.#nodes[slot]?.node ?? null;
  }

  /** Slots of correct nodes. */
  get goodSlots(): readonly number[] {
    return this.#nodes.map(({ slot }) => slot).filter((slot) => !this.bad.has(slot));
  }

  /**
   * What the watchers find: nodes that serve although they were rolled back behind what others can show of
   * them, operations that were applied twice, lies that nobody has the proof of.
   */
  async watchersFaults(): Promise<readonly string[]> {
    const correct = new Map<number, readonly Uint8Array[]>();
    for (const slot of this.goodSlots) correct.set(slot, (await this.readLog(slot)) ?? []);
    const faults = [...this.#operations.faults(correct.values()), ...this.#proofs.faults(this.evidence)];
    for (const { slot, node, startedMs } of this.#nodes) {
      if (node?.status().state !== 'SERVING') continue;
      const logs = new Map([...correct, [slot, (await this.readLog(slot)) ?? []]]);
      faults.push(...this.#receipts.faults(slot, logs, startedMs, oneCorrect(this.cluster.geometry)));
    }
    return faults;
  }

  /** Requests that came to nodes, from whomever. */
  get requests(): number {
    return [...this.#asked.values()].reduce((sum, count) => sum + count, 0);
  }

  /** What happened in the protocol, by name: requests, and what nodes, clients and gateways count. */
  protocolEvents(): ReadonlyMap<string, number> {
    const events = new Map([...this.#asked].map(([type, count]) => [`asked ${type}`, count]));
    for (const [key, count] of this.telemetry.counts) {
      const name = key.replace(/ slot=\d+/, '');
      events.set(name, (events.get(name) ?? 0) + count);
    }
    return events;
  }

  /** All leaves of a node's log, by its own word; null when it is not there. */
  async readLog(slot: number): Promise<readonly Uint8Array[] | null> {
    const leaves: Uint8Array[] = [];
    for (;;) {
      if (this.node(slot) === null) return null;
      const answer = await this.#askNode(slot, { t: 'CHANGES', from: leaves.length, to: Number.MAX_SAFE_INTEGER });
      if (answer === null || answer.leaves.length === 0) return leaves;
      leaves.push(...answer.leaves);
    }
  }

  /** The highest certificate of a key that a node holds; null when it holds none. */
  async certificateOn(slot: number, keyId: Uint8Array): Promise<Uint8Array | null> {
    return (await this.#askNode(slot, { t: 'QUERY', keyId, cell0: false, seen: null }))?.cert ?? null;
  }

  /** Asks a node past network and interceptors, as the first gateway. */
  async #askNode<T extends RequestType>(slot: number, request: Request & { readonly t: T }): Promise<AnswerOf<T> | null> {
    const node = this.node(slot);
    const [writer] = this.writers;
    if (node === null || writer === undefined) return null;
    const from: PeerConnection = { peer: hex(writer.tlsKey.publicKey), id: 0, notify: () => undefined, onClose: () => undefined };
    const parsed = decodeAnswer(request.t, (await node.handle(from, { body: encodeRequest(request), payload: EMPTY })).body);
    return parsed.kind === 'answer' ? parsed.answer : null;
  }

  diskOf(slot: number): FaultyDisk {
    const process = this.#nodes[slot];
    assert(process !== undefined, 'the slot exists');
    return process.disk;
  }

  lost(slot: number): OperationError | null {
    return this.#nodes[slot]?.lost ?? null;
  }

  /** Runs an operation inside a gateway; 'cut' when the gateway is not there, or dies meanwhile. */
  async ask<T>(index: number, operation: (gateway: Gateway) => Promise<T>): Promise<{ readonly kind: 'done'; readonly value: T } | { readonly kind: 'cut'; readonly begun: boolean }> {
    const process = this.#gateways[index];
    const gateway = process?.gateway;
    if (process === undefined || gateway === null || gateway === undefined) return { kind: 'cut', begun: false };
    const done = alive(process.clock, operation(gateway)).then((value) => ({ kind: 'done' as const, value }));
    return Promise.race([done, process.died.then(() => ({ kind: 'cut' as const, begun: true }))]);
  }

  /** Gives a bad slot to a strategy; null gives it back. */
  corrupt(slot: number, interceptor: Interceptor | null): void {
    assert(this.bad.has(slot), 'only bad slots lie');
    if (interceptor === null) this.#interceptors.delete(slot);
    else this.#interceptors.set(slot, interceptor);
  }

  /** Kills a process. With `power`, what it had not synced may be gone. It is started again after `downMs`; never, if that is infinite. */
  crash(name: string, power: boolean, downMs: number = RESTART_MS): void {
    const process = this.#find(name);
    if (!process.isUp) return;
    this.#note(name, power ? 'loses power' : 'is killed');
    this.#end(process);
    process.disk = power ? process.disk.powerCycle() : process.disk.restartProcess();
    this.#restartAfter(process, downMs);
  }

  /** Kills a process at the given step of its disk from now; `happens`: the step takes effect, and nobody hears of it. */
  crashAtStep(name: string, point: CrashPoint): void {
    this.#crashPoints.set(name, { ...point });
  }

  /** Acts once when the moment has come. */
  atMessage(point: MessageCount, act: () => void): void {
    this.#messagePoints.add({ left: point.count, point, act });
  }

  /** Stops a bad node and puts its disk back to an older image of itself before it starts again. */
  rollBack(slot: number, image: FaultyDisk, downMs: number): void {
    assert(this.bad.has(slot), 'only bad slots are rolled back');
    const process = this.#find(`node-${slot}`);
    if (!process.isUp) return;
    this.#note(process.name, 'is rolled back');
    this.#end(process);
    process.disk = image.clone(slot + 1);
    this.#restartAfter(process, downMs);
  }

  pause(name: string): void {
    this.#note(name, 'is paused');
    this.#find(name).clock.pause();
  }

  resume(name: string): void {
    this.#note(name, 'goes on');
    this.#find(name).clock.resume();
  }

  distortClock(name: string, skewMs: number, rate: number): void {
    this.#note(name, `clock: skew ${skewMs} ms, rate ${rate}`);
    this.#find(name).clock.distort({ skewMs, rate });
  }

  slowLinks(name: string, ms: number): void {
    this.#note(name, `links slower by ${ms} ms`);
    this.#slowness.set(name, ms);
  }

  /** Requests of this type come to the node so much later from now on. */
  delayRequests(name: string, type: RequestType, ms: number): void {
    this.#note(name, `gets ${type} ${ms} ms late`);
    this.#lateness.set(`${name} ${type}`, ms);
  }

  /** From now on the node gets requests twice, as after a lost answer; or no more. */
  duplicate(name: string, isTwice: boolean): void {
    this.#note(name, isTwice ? 'gets requests twice' : 'gets requests once');
    if (isTwice) this.#twice.add(name);
    else this.#twice.delete(name);
  }

  /** An adversary decides from now on how late requests are. */
  leaveTo(adversary: GreedyAdversary): void {
    this.#greedy = adversary;
  }

  slowDisk(name: string, ms: number): void {
    this.#note(name, `disk slower by ${ms} ms`);
    this.#diskSlowness.set(name, ms);
  }

  /** Bytes that the disk of a process may hold from now on. */
  limitDisk(name: string, capacityBytes: number): void {
    this.#note(name, `disk of ${capacityBytes} bytes`);
    this.#find(name).disk.capacityBytes = capacityBytes;
  }

  get usualDiskBytes(): number {
    return DISK_BYTES;
  }

  /** Is every correct node serving and every gateway there? */
  get isWhole(): boolean {
    const serves = ({ slot, node }: NodeProcess): boolean => this.bad.has(slot) || node?.status().state === 'SERVING';
    return this.#nodes.every(serves) && this.#gateways.every(({ gateway }) => gateway !== null);
  }

  /** What the gateways have suspected in all their lives. */
  suspicions(): readonly Suspicion[] {
    for (const process of this.#gateways) this.#keepSuspicions(process);
    return [...this.#suspicions.values()];
  }

  #process(name: string): Process {
    const { random, time } = this.#world;
    const bits = random.fork(`disk of ${name}`);
    const disk = new FaultyDisk({
      seed: bits.below(1 << 30),
      capacityBytes: DISK_BYTES,
      delay: (operation) => this.#diskStep(name, operation, bits),
    });
    return { name, disk, clock: new SimulatedClock(time), isUp: false, died: Promise.resolve(), die: () => undefined, restarts: 0, startedMs: 0 };
  }

  #find(name: string): NodeProcess | GatewayProcess {
    const process = [...this.#nodes, ...this.#gateways].find((one) => one.name === name);
    assert(process !== undefined, 'the process exists');
    return process;
  }

  #begin(process: Process): void {
    process.clock = new SimulatedClock(this.#world.time);
    process.isUp = true;
    process.startedMs = this.#world.time.nowMs;
    process.died = new Promise((resolve) => {
      process.die = resolve;
    });
  }

  #end(process: NodeProcess | GatewayProcess): void {
    process.isUp = false;
    process.clock.stop();
    this.#crashPoints.delete(process.name);
    this.network.kill(process.name);
    if ('slot' in process) process.node = null;
    else {
      this.#keepSuspicions(process);
      process.gateway = null;
      // The index is a view: it may be lost with the process.
      if (this.#world.random.fork(`index of ${process.name} ${process.restarts}`).chance(0.5)) process.index = new MemoryStore();
    }
    process.die();
  }

  #restartAfter(process: NodeProcess | GatewayProcess, downMs: number): void {
    process.restarts += 1;
    if (!Number.isFinite(downMs)) return;
    this.clock.after(downMs, () => {
      if (process.isUp) return;
      if ('slot' in process) this.#startNode(process, false);
      else this.#startGateway(process);
    });
  }

  #startNode(process: NodeProcess, fresh: boolean): void {
    this.#note(process.name, 'starts');
    this.#begin(process);
    const { clock } = process;
    void this.#runNode(process, fresh).catch((error: unknown) => {
      if (clock.isStopped) return;
      if (isOperationError(error, 'LOST_STATE')) this.#lose(process, error);
      else this.#exit(process, error);
    });
  }

  async #runNode(process: NodeProcess, fresh: boolean): Promise<void> {
    const { slot, name, clock } = process;
    const keys = this.#keys[slot];
    const address = this.cluster.slotAt(slot)?.addresses[0];
    assert(keys !== undefined && address !== undefined, 'the slot exists');
    const node = await StorageNode.open({
      cluster: this.cluster,
      slot,
      signingKey: keys.signing,
      disk: processDisk(clock, process.disk),
      clock,
      random: this.#world.random.fork(`${name} ${process.restarts}`),
      telemetry: this.telemetry,
      transport: processTransport(clock, this.network.transport(name, hex(keys.tls.publicKey))),
      fresh,
      onLost: (error) => {
        if (clock.isStopped) return;
        if (error.code === 'LOST_STATE') this.#lose(process, error);
        else this.#exit(process, error);
      },
      tuning: NODE_TUNING,
      onEvidence: (proof) => this.#proven(name, proof),
    });
    process.node = node;
    await this.network.listen({
      name,
      address,
      key: hex(keys.tls.publicKey),
      allowedPeers: () => this.cluster.peerKeys(),
      handler: processHandler(clock, (from, frame) => this.#answer(process, node, from, frame)),
    });
    await node.boot();
    const { incarnation } = node.status();
    this.#note(name, `serves, incarnation ${incarnation}`);
    if (incarnation <= process.incarnation) this.failures.push(`${name} serves a second time as incarnation ${incarnation}`);
    process.incarnation = incarnation;
  }

  async #answer({ slot, name, clock }: NodeProcess, node: StorageNode, from: PeerConnection, frame: Frame): Promise<Frame> {
    const request = decodeRequest(frame.body);
    const type = request.ok ? request.value.t : 'malformed';
    this.#asked.set(type, (this.#asked.get(type) ?? 0) + 1);
    if (request.ok && request.value.t === 'PREPARE') this.#operations.asked(request.value);
    const heldMs = request.ok ? (this.#greedy?.holdMs(slot, request.value) ?? 0) : 0;
    const lateMs = heldMs + (this.#lateness.get(`${name} ${type}`) ?? 0);
    if (lateMs > 0) await clock.sleep(lateMs);
    this.#world.trace.noteBytes(name, `< ${type}`, frame.body);
    this.#passes(type, 'asked');
    const honest = async (asked: Frame): Promise<Frame> => {
      const answered = await node.handle(from, asked);
      if (request.ok && request.value.t === 'COMMIT') this.#receipts.answered(slot, request.value, answered, this.#world.time.nowMs);
      if (this.#twice.has(name) && REPEATED.has(type)) clock.after(AGAIN_MS, () => void node.handle(from, asked).catch(() => undefined));
      return answered;
    };
    const interceptor = this.#interceptors.get(slot);
    const answer = await (interceptor === undefined ? honest(frame) : interceptor(honest, frame, from)).catch((error: unknown) => {
      // A fault of the adversary's, or of the node's own code: neither is part of any run.
      if (error instanceof TypeError || error instanceof RangeError) this.failures.push(`${name} fails at ${type}: ${error.stack ?? error.message}`);
      throw error;
    });
    if (request.ok) {
      this.#proofs.answered(slot, this.bad.has(slot), request.value, answer, from);
      this.#greedy?.answered(slot, request.value, answer);
    }
    this.#world.trace.noteBytes(name, `> ${type}`, answer.body);
    this.#passes(type, 'answered');
    return answer;
  }

  #passes(type: string, side: MessageCount['side']): void {
    for (const waiting of this.#messagePoints) {
      if (waiting.point.type !== type || waiting.point.side !== side) continue;
      waiting.left -= 1;
      if (waiting.left > 0) continue;
      this.#messagePoints.delete(waiting);
      waiting.act();
    }
  }

  #startGateway(process: GatewayProcess): void {
    this.#note(process.name, 'starts');
    this.#begin(process);
    const { clock } = process;
    void this.#runGateway(process).catch((error: unknown) => {
      if (!clock.isStopped) this.#exit(process, error);
    });
  }

  async #runGateway(process: GatewayProcess): Promise<void> {
    const { name, clock, writer } = process;
    process.gateway = await Gateway.start({
      cluster: this.cluster,
      gatewayId: writer.gatewayId,
      signingKey: writer.signingKey,
      rootSecret: ROOT_SECRET,
      lookup: () => Promise.resolve(undefined),
      transport: processTransport(clock, this.network.transport(name, hex(writer.tlsKey.publicKey))),
      clock,
      random: this.#world.random.fork(`${name} ${process.restarts}`),
      telemetry: this.telemetry,
      workspaces: new WorkspacePool(wasmCodec, { workspaceCount: WORKSPACES, cellCountMax: this.shape.n, cellBytesMax: CELL_BYTES_DEFAULT }),
      disk: processDisk(clock, process.disk),
      store: process.index,
      onEvidence: (proof) => this.#proven(name, proof),
      tuning: GATEWAY_TUNING,
    });
    this.#note(name, 'serves');
  }

  #proven(who: string, proof: Proof): void {
    const { evidence, finding } = proof;
    this.#note(who, `has evidence ${evidence.type} against ${nameOf(finding.accused)}: ${finding.contradiction}`);
    this.evidence.push(proof);
  }

  /** A correct node never loses its state, whatever happens to its process and its power. */
  #lose(process: NodeProcess, error: OperationError): void {
    this.#note(process.name, `is lost: ${describeError(error)}`);
    process.lost = error;
    if (!this.bad.has(process.slot)) this.failures.push(`${process.name} is lost: ${describeError(error)}`);
    this.#end(process);
  }

  /** The process ends by itself, and its supervisor starts it again. */
  #exit(process: NodeProcess | GatewayProcess, error: unknown): void {
    this.#note(process.name, `exits: ${describeError(error)}`);
    this.#end(process);
    process.disk = process.disk.restartProcess();
    this.#restartAfter(process, RESTART_MS);
  }

  #keepSuspicions({ gateway, name }: GatewayProcess): void {
    for (const suspicion of gateway?.status().suspicions ?? []) {
      this.#suspicions.set(`${name} ${suspicion.slot} ${suspicion.kind}`, suspicion);
    }
  }

  async #diskStep(name: string, operation: string, bits: SeededRandom): Promise<void> {
    const usualMs = operation === 'datasync' || operation === 'syncFolder' ? 0.3 + bits.around(0.5) : 0.02;
    await this.clock.sleep(usualMs + (this.#diskSlowness.get(name) ?? 0));
    const point = this.#crashPoints.get(name);
    if (point === undefined || operation === 'read' || (point.of === 'syncs' && operation !== 'datasync')) return;
    point.steps -= 1;
    if (point.steps > 0) return;
    this.#crashPoints.delete(name);
    const process = this.#find(name);
    this.#note(name, `reaches its crash point at a ${operation}`);
    if (!point.happens) return this.crash(name, point.power);
    // The step takes effect now, and the process never hears of it.
    process.clock.stop();
    this.clock.after(0, () => this.crash(name, point.power));
  }

  #note(who: string, what: string): void {
    this.#world.trace.note(who, what);
  }
}
