/**
 * The storage node (protocol 5): a function from a member's frame to an answer, over its ports. It recovers
 * its state from its journal, proves to itself that nobody has seen it promise more (boot check), serves,
 * and keeps its disk tidy. Listening is the platform's; the same code runs in production and in simulation.
 */
import { hex } from '../base/bytes.ts';
import { describeError, isOperationError, OperationError } from '../base/errors.ts';
import { CHANGES_LEAVES_MAX } from '../base/limits.ts';
import { SOFTWARE_VERSION } from '../base/version.ts';
import type { Channel, DiskSpace, Frame, PeerConnection, Transport } from '../base/ports.ts';
import { accuser } from '../evidence/accuse.ts';
import type { Proof } from '../evidence/finding.ts';
import { Sightings } from '../evidence/sightings.ts';
import { BatchSigner } from '../protocol/batch-signer.ts';
import { decodeRequest } from '../protocol/messages.ts';
import type { Request } from '../protocol/messages.ts';
import { PROTOCOL_VERSION } from '../protocol/configuration.ts';
import { StatementVerifier } from '../protocol/statement.ts';
import { handleCommit } from './accept-certificate.ts';
import { handlePrepare } from './accept-manifest.ts';
import { handleRepair } from './accept-repair.ts';
import { handleAudit } from './answer-audit.ts';
import { bootCheck, catchUp, handleBoot, handleRemember, ask } from './boot.ts';
import { collectGarbage, dropLeases } from './collect-garbage.ts';
import { compactCells } from './compact-cells.ts';
import { memberOf, TUNING_DEFAULT } from './context.ts';
import type { Member, NodeContext, NodeTuning } from './context.ts';
import { OwedSignatures } from './owed-signatures.ts';
import { handlePromise } from './promise-ballot.ts';
import { handleAnchor, handleAnchored } from './keep-anchor.ts';
import { Quarantine } from './quarantine.ts';
import { recover } from './recover.ts';
import type { Recovered, RecoveryDeps } from './recover.ts';
import { RepairQuota } from './repair-quota.ts';
import { Refused, reply } from './reply.ts';
import { RetentionClock } from './retention-clock.ts';
import { handleRevocations, handleRevoke, learnRevocations, requireNotRevoked } from './revoke-writer.ts';
import { handleAbort, handleResolve } from './resolve-orphan.ts';
import { handleBody, handleCerts, handleChanges, handleCheckpoint, handleFetch, handleHistory, handleQuery, handleShown } from './serve.ts';
import { noteLostSegments, Scrub } from './scrub.ts';
import type { ScrubStatus } from './scrub.ts';
import { handleRelease, handleRests, handleStage, handleStages, handleUnstage } from './stage-content.ts';
import { Uploads } from './uploads.ts';

/** New content is refused below this much free space, and certificates and tombstones below a quarter of it, so that the records of what was promised always fit. */
const FREE_BYTES_MIN = 64 * 1024 * 1024;
const SPACE_CHECK_MS = 1_000;


export interface NodeDeps extends RecoveryDeps {
  readonly slot: number;
  /** Opens channels to the other nodes. */
  readonly transport: Transport;
  /** Called once when the node must stop serving for good; the process ends with the reason. */
  readonly onLost: (error: OperationError) => void;
  readonly tuning?: Partial<NodeTuning>;
  /** Called with each proof of a fault that others can check, once; must not throw. */
  readonly onEvidence?: (proof: Proof) => void;
}

/** What a writer that may repair, and nothing else, asks. */
const CONTROLLER_ASKS: ReadonlySet<Request['t']> = new Set([
  'QUERY',
  'CELL',
  'FETCH',
  'BODY',
  'AUDIT',
  'REPAIR',
  'CHECKPOINT',
  'CHANGES',
  'CERTS',
  'SHOWN',
  'ANCHORED',
  'STATUS',
] as const);

export interface NodeStatus {
  readonly slot: number;
  readonly state: 'CHECKING' | 'SERVING' | 'STOPPED';
  readonly incarnation: number;
  readonly logSize: number;
  readonly keys: number;
  readonly contents: number;
  readonly superseded: number;
  /** Contents kept ahead of their manifests. */
  readonly stages: number;
  readonly holes: number;
  /** Contents that were about to be deleted although a certified version names them. */
  readonly quarantineAlarms: number;
  readonly scrub: ScrubStatus;
  readonly liveBytes: number;
  readonly space: DiskSpace;
  readonly recovery: { readonly records: number; readonly fromSnapshot: boolean; readonly ms: number };
}

export class StorageNode {
  readonly #ctx: NodeContext;
  readonly #recovered: Recovered;
  readonly #stopping = new AbortController();
  readonly #deps: NodeDeps;
  readonly #owed: OwedSignatures;
  readonly #scrub: Scrub;
  readonly #repairs: RepairQuota;
  readonly #quarantine: Quarantine;
  /** Requests under way. */
  #answering = 0;
  #state: NodeStatus['state'] = 'CHECKING';
  #lost: OperationError | null = null;
  #space: DiskSpace = { totalBytes: 0, freeBytes: 0 };
  #upkeep: Promise<void> = Promise.resolve();

  private constructor(deps: NodeDeps, ctx: NodeContext, recovered: Recovered) {
    this.#deps = deps;
    this.#ctx = ctx;
    this.#recovered = recovered;
    this.#scrub = new Scrub(ctx, () => this.#answering > 0);
    this.#repairs = new RepairQuota(ctx.clock, ctx.tuning.repairBytesPerSecond);
    this.#quarantine = new Quarantine(ctx);
    this.#owed = new OwedSignatures(ctx.cluster, ctx.self, ctx.signingKey, ctx.clock);
  }

  /**
   * Recovers the state from the folder. Throws LOST_STATE when it is missing or damaged. The node then answers
   * boot questions of others; call `boot` to make it serve.
   */
  static async open(deps: NodeDeps): Promise<StorageNode> {
    const { cluster, slot, clock } = deps;
    const self = cluster.slotAt(slot);
    if (self === undefined || hex(self.signingKey) !== hex(deps.signingKey.publicKey)) {
      throw new OperationError('BAD_CONFIG', `The configuration does not name this node's key for slot ${slot}.`);
    }
    const tuning = { ...TUNING_DEFAULT, ...deps.tuning };
    const recovered = await recover(deps, self, tuning);
    const { state } = recovered;
    const peers = new Map<number, Channel>();
    for (const other of cluster.slots) {
      const address = other.addresses[0];
      if (other.slot !== slot && address !== undefined) peers.set(other.slot, deps.transport.open(address, hex(other.tlsKey)));
    }
    let node: StorageNode | undefined;
    const verifier = new StatementVerifier(cluster.id);
    const accuse = accuser({ cluster, clock, telemetry: deps.telemetry, onProof: deps.onEvidence ?? (() => undefined) });
    const ctx: NodeContext = {
      cluster,
      self,
      signingKey: deps.signingKey,
      signer: new BatchSigner(deps.signingKey, cluster.id, (batch) => verifier.remember(self.signingKey, batch)),
      verifier,
      sightings: new Sightings(cluster, verifier, clock, accuse),
      clock,
      random: deps.random,
      disk: deps.disk,
      telemetry: deps.telemetry,
      tuning,
      state,
      uploads: new Uploads(state.cells, clock, slot, cluster.slots.length),
      retention: new RetentionClock(clock),
      peers,
      leases: new Map(),
      stop: (reason) => node?.lose(new OperationError('LOST_STATE', `This node must not serve: ${reason}.`)),
    };
    node = new StorageNode(deps, ctx, recovered);
    node.#space = await deps.disk.space();
    return node;
  }

  /** Runs the boot check, then serves. Throws LOST_STATE when this node was rolled back. */
  async boot(): Promise<void> {
    const signal = this.#stopping.signal;
    try {
      const sizes = await bootCheck(this.#ctx, signal);
      await catchUp(this.#ctx, sizes);
      await noteLostSegments(this.#ctx);
    } catch (error) {
      if (isOperationError(error, 'LOST_STATE')) this.lose(error);
      throw error;
    }
    if (this.#state !== 'CHECKING') throw this.#lost ?? new OperationError('STOPPED', 'The node is stopping.');
    this.#state = 'SERVING';
    this.#upkeep = Promise.all([this.#keepUp(signal), this.#scrub.run(signal)]).then(() => undefined);
  }

  /** Answers one frame of an authenticated peer. Never rejects for what the frame holds. */
  async handle(from: PeerConnection, frame: Frame): Promise<Frame> {
    this.#answering += 1;
    try {
      const member = memberOf(this.#ctx.cluster, from.peer);
      if (member === undefined) throw new Refused('DENIED', 'not a member');
      const request = decodeRequest(frame.body);
      if (!request.ok) {
        this.#ctx.telemetry.count('malformed_requests');
        throw new Refused('BAD', `message: ${request.reason}`);
      }
      const answer = await this.#answer(from, member, request.value, frame.payload);
      const isReply = request.value.t === 'QUERY' || request.value.t === 'FETCH';
      if (isReply && member.kind === 'writer') this.#owed.owe(from, frame, answer);
      return answer;
    } catch (error) {
      if (error instanceof Refused) return error.toFrame();
      return this.#failed(error).toFrame();
    } finally {
      this.#answering -= 1;
    }
  }

  /** The node's own failure: the peer learns that it was refused, the operator learns why. A failed journal ends the node. */
  #failed(error: unknown): Refused {
    this.#ctx.telemetry.count('failures');
    this.#ctx.telemetry.event('error', 'a request failed', { slot: this.#ctx.self.slot, error: describeError(error) });
    if (this.#ctx.state.journal.poisoned || this.#ctx.state.cells.poisoned) {
      this.lose(new OperationError('DISK_ERROR', `The journal failed: ${describeError(error)}`, { cause: error }));
    }
    if (isOperationError(error, 'DISK_FULL')) return new Refused('FULL', 'the disk has no room');
    if (isOperationError(error, 'BUSY')) return new Refused('BUSY', 'the journal cannot keep up');
    return new Refused('LOST', 'this node cannot serve');
  }

  async #answer(from: PeerConnection, member: Member, request: Request, payload: Uint8Array): Promise<Frame> {
    const ctx = this.#ctx;
    // From durable state alone, and before this node's own check has ended: a full restart must not deadlock.
    if (request.t === 'STATUS') return this.#statusReply();
    if (this.#state === 'STOPPED') throw new Refused('LOST', 'this node has stopped');
    if (member.kind === 'node') {
      if (request.t === 'BOOT') return handleBoot(ctx, member.slot);
      if (request.t === 'REMEMBER') return handleRemember(ctx, member.slot, request);
      if (request.t === 'CHANGES') return handleChanges(ctx, request, CHANGES_LEAVES_MAX);
      if (request.t === 'CERTS') return handleCerts(ctx, request);
      if (request.t === 'REVOCATIONS') return handleRevocations(ctx);
    }
    if (this.#state === 'CHECKING') throw new Refused('BUSY', 'this node is checking its state');
    if (member.kind === 'node') {
      if (request.t === 'QUERY') return handleQuery(ctx, request, false);
      if (request.t === 'SHOWN') return handleShown(ctx, request);
      if (request.t === 'TIME') return reply('TIME', { nowMs: ctx.clock.nowMs() });
      throw new Refused('DENIED', `a storage node may not ask ${request.t}`);
    }
    return this.#answerWriter(from, member, request, payload);
  }

  async #answerWriter(
    from: PeerConnection,
    { writer }: Extract<Member, { kind: 'writer' }>,
    request: Request,
    payload: Uint8Array,
  ): Promise<Frame> {
    const ctx = this.#ctx;
    // What says that it is revoked it may still bring and ask for.
    if (request.t === 'REVOKE') return handleRevoke(ctx, request);
    if (request.t === 'REVOCATIONS') return handleRevocations(ctx);
    requireNotRevoked(ctx, writer.gatewayId);
    if (writer.capabilities.includes('repair')) {
      if (!CONTROLLER_ASKS.has(request.t)) throw new Refused('DENIED', `a controller may not ask ${request.t}`);
    } else if (request.t === 'REPAIR') {
      throw new Refused('DENIED', 'a gateway may not ask REPAIR');
    }
    switch (request.t) {
      case 'QUERY':
        return handleQuery(ctx, request, true);
      case 'CELL':
        if (writer.capabilities.includes('repair')) this.#repairs.take(writer.gatewayId, payload.length);
        await ctx.uploads.cell(from, writer.gatewayId, request, payload, (bytes) => this.#mayReserve(writer.gatewayId, bytes));
        return reply('CELL', {});
      case 'PREPARE':
        return handlePrepare(ctx, from, writer, request, payload, () => this.#requireRoom(payload.length));
      case 'PROMISE':
        this.#requireRoom(0);
        return handlePromise(ctx, writer, request);
      case 'STAGE':
        return handleStage(ctx, from, writer, request, payload, () => this.#requireRoom(payload.length));
      case 'UNSTAGE':
        return handleUnstage(ctx, writer, request);
      case 'STAGES':
        return handleStages(ctx, writer, request);
      case 'RESTS':
        return handleRests(ctx, request);
      case 'RELEASE':
        return handleRelease(ctx, request);
      case 'COMMIT':
        this.#requireRoom(0);
        return handleCommit(ctx, request, payload);
      case 'FETCH':
        return handleFetch(ctx, request);
      case 'BODY':
        return handleBody(ctx, request);
      case 'AUDIT':
        return handleAudit(ctx, request);
      case 'REPAIR':
        this.#requireRoom(payload.length);
        this.#repairs.take(writer.gatewayId, payload.length);
        return handleRepair(ctx, from, writer, request, payload);
      case 'CHECKPOINT':
        return handleCheckpoint(ctx, request);
      case 'CHANGES':
        return handleChanges(ctx, request, CHANGES_LEAVES_MAX);
      case 'CERTS':
        return handleCerts(ctx, request);
      case 'SHOWN':
        return handleShown(ctx, request);
      case 'HISTORY':
        return handleHistory(ctx, request);
      case 'RESOLVE':
      case 'ABORT':
        if (!writer.capabilities.includes('resolve')) throw new Refused('DENIED', 'the writer may not settle orphans');
        return request.t === 'RESOLVE' ? handleResolve(ctx, request) : handleAbort(ctx, request);
      case 'BOOT':
      case 'REMEMBER':
      case 'TIME':
        throw new Refused('DENIED', `a gateway may not ask ${request.t}`);
      case 'ANCHOR':
        return handleAnchor(ctx, writer, request);
      case 'ANCHORED':
        return handleAnchored(ctx, request);
      case 'STATUS':
        return this.#statusReply();
    }
  }

  /** Room for this much content; with none, room for the records of what was promised and of what is deleted. */
  #requireRoom(bytes: number): void {
    const least = bytes === 0 ? FREE_BYTES_MIN / 4 : FREE_BYTES_MIN;
    if (this.#space.freeBytes - bytes < least) throw new Refused('FULL', 'the disk has no room');
  }

  /** Space and quota are settled before bytes are taken (P9, R15). */
  #mayReserve(gatewayId: Uint8Array, bytes: number): void {
    this.#requireRoom(bytes);
    const { register } = this.#ctx.state;
    const held = register.uncertifiedBytes(gatewayId) + this.#ctx.uploads.reservedBytes(gatewayId);
    if (held + bytes > this.#ctx.cluster.config.uncertifiedBytesMax) {
      throw new Refused('BUSY', 'P9: the writer holds too many uncertified bytes');
    }
  }

  status(): NodeStatus {
    const { state } = this.#ctx;
    return {
      slot: this.#ctx.self.slot,
      state: this.#state,
      incarnation: state.incarnation,
      logSize: state.log.durableSize,
      keys: state.register.keyCount,
      contents: state.contents.count,
      superseded: state.register.supersededCount,
      stages: state.stages.count,
      holes: state.holes.size,
      quarantineAlarms: this.#quarantine.alarms,
      scrub: this.#scrub.status,
      liveBytes: state.cells.liveBytes,
      space: this.#space,
      recovery: this.#recovered.summary,
    };
  }

  #statusReply(): Frame {
    const { space, slot: _slot, contents: _contents, superseded: _superseded, stages: _stages, recovery: _recovery, ...status } = this.status();
    return reply('STATUS', {
      ...status,
      protocolMin: this.#ctx.cluster.config.protocolMin,
      protocolMax: PROTOCOL_VERSION,
      version: SOFTWARE_VERSION,
      totalBytes: space.totalBytes,
      freeBytes: space.freeBytes,
    });
  }

  /** Stops serving for good. */
  lose(error: OperationError): void {
    if (this.#lost !== null || this.#state === 'STOPPED') return;
    this.#lost = error;
    this.#state = 'STOPPED';
    this.#stopping.abort();
    this.#ctx.telemetry.event('error', 'the node has stopped', { slot: this.#ctx.self.slot, error: describeError(error) });
    this.#deps.onLost(error);
  }

  /** Ends without a word to the disk beyond what was promised: as a crash, but the files are closed. */
  async abandon(): Promise<void> {
    this.#state = 'STOPPED';
    this.#stopping.abort();
    this.#owed.cancel();
    await this.#upkeep;
    for (const channel of this.#ctx.peers.values()) await channel.close();
    await this.#recovered.close();
  }

  /** Ends cleanly: a snapshot makes the next start quick. */
  async stop(): Promise<void> {
    const wasServing = this.#state === 'SERVING';
    this.#state = 'STOPPED';
    this.#stopping.abort();
    await this.#upkeep;
    if (wasServing) await this.#chore(() => this.#recovered.snapshot());
    await this.abandon();
  }

  /** Garbage collection, compaction, snapshots and expiry, one after the other, until the node stops. */
  async #keepUp(signal: AbortSignal): Promise<void> {
    const ctx = this.#ctx;
    let spaceAt = 0;
    let followedAt = ctx.clock.monotonicMs();
    let timeAt = Number.NEGATIVE_INFINITY;
    for (;;) {
      await ctx.clock.sleep(ctx.tuning.upkeepMs, signal).catch(() => undefined);
      if (signal.aborted) return;
      const now = ctx.clock.monotonicMs();
      const chores: (() => unknown)[] = [
        () => ctx.uploads.dropExpired(),
        () => dropLeases(ctx),
        () => collectGarbage(ctx),
        () => this.#quarantine.free(),
        () => compactCells(ctx),
        () => this.#recovered.snapshotWhenDue(),
      ];
      if (now - spaceAt >= SPACE_CHECK_MS) {
        spaceAt = now;
        chores.unshift(() => this.#measureSpace());
      }
      if (now - timeAt >= ctx.tuning.timeMs) {
        timeAt = now;
        chores.unshift(() => this.#hearTime(), () => this.#hearRevocations());
      }
      if (now - followedAt >= ctx.tuning.followMs) {
        followedAt = now;
        chores.push(() => this.#followOthers());
      }
      for (const chore of chores) if (!signal.aborted) await this.#chore(chore);
    }
  }

  async #hearTime(): Promise<void> {
    const { peers, retention, cluster, telemetry } = this.#ctx;
    const answers = await Promise.all([...peers.keys()].map((slot) => ask(this.#ctx, slot, { t: 'TIME' })));
    retention.hear(answers.flatMap((answer) => answer?.nowMs ?? []), cluster.geometry.f);
    if (retention.isAhead) telemetry.count('retention_clock_ahead');
  }

  async #hearRevocations(): Promise<void> {
    await Promise.all([...this.#ctx.peers.keys()].map((slot) => learnRevocations(this.#ctx, slot)));
  }

  /** One piece of upkeep: when it fails the others go on, and it is tried again in the next round. */
  async #chore(chore: () => unknown): Promise<void> {
    const { telemetry, state, self } = this.#ctx;
    try {
      await chore();
    } catch (error) {
      telemetry.count('upkeep_failures');
      telemetry.event('warn', 'upkeep failed', { slot: self.slot, error: describeError(error) });
      if (state.journal.poisoned || state.cells.poisoned) this.#failed(error);
    }
  }

  async #measureSpace(): Promise<void> {
    this.#space = await this.#deps.disk.space();
  }

  /** Takes in what this node missed while it could not be reached or its disk was full; the next boot reads only what came since. */
  async #followOthers(): Promise<void> {
    const sizes = new Map<number, number>();
    await Promise.all(
      [...this.#ctx.peers.keys()].map(async (slot) => {
        const answer = await ask(this.#ctx, slot, { t: 'BOOT' });
        if (answer !== null) sizes.set(slot, answer.size);
      }),
    );
    await catchUp(this.#ctx, sizes);
  }
}

