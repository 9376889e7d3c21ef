/**
 * A gateway as a function of its ports (architecture, processes): from HTTP requests to storage nodes. It
 * holds the owner's keys and a cache; all that matters after a crash is on the nodes, except the journal of
 * its own unfinished writes and the memory of what it has seen. Listening, timers and files are the
 * platform's.
 *
 * It starts when its journal can be read and serves at once; index and orphans are brought up to date
 * behind, also while storage nodes are down.
 */
import { assert } from '../base/assert.ts';
import { hex } from '../base/bytes.ts';
import { SOFTWARE_VERSION } from '../base/version.ts';
import { describeError } from '../base/errors.ts';
import type { HttpHandler } from '../base/http.ts';
import type { Clock, Disk, KeyValueStore, Random, Telemetry, Timer, Transport } from '../base/ports.ts';
import type { AttemptJournal } from '../client/attempts.ts';
import { ProtocolClient } from '../client/client.ts';
import { DEFAULT_DEADLINES } from '../client/deadlines.ts';
import type { Deadlines } from '../client/deadlines.ts';
import type { SlotHealth } from '../client/peers.ts';
import type { Suspicion } from '../client/suspicions.ts';
import { sha256 } from '../crypto/primitives.ts';
import type { SigningKey } from '../crypto/primitives.ts';
import type { WorkspacePool } from '../erasure/workspace.ts';
import type { Proof } from '../evidence/finding.ts';
import { OwnerKeys } from '../keyring/owner-keys.ts';
import { BatchSigner } from '../protocol/batch-signer.ts';
import type { Cluster } from '../protocol/configuration.ts';
import { holderCount } from '../protocol/quorum.ts';
import { statementBytes } from '../protocol/statement.ts';
import { BucketRegistry } from './buckets/bucket-registry.ts';
import { AnchorKeeper } from './audit-log/anchor-keeper.ts';
import { AuditLog } from './audit-log/audit-log.ts';
import type { AuditLogStatus } from './audit-log/audit-log.ts';
import { EventJournal } from './event-journal.ts';
import { GatewayJournal } from './gateway-journal.ts';
import { IndexFollower } from './index/index-follower.ts';
import { ListingBarrier } from './index/listing-barrier.ts';
import { ObjectIndex } from './index/object-index.ts';
import { LifecycleChore } from './lifecycle-chore.ts';
import { Operations, OPERATION_WINDOW_MS } from './operations.ts';
import { Orphans } from './orphans.ts';
import { FRONT_DEFAULTS, S3Front } from './s3/front.ts';
import type { LifecycleTime } from './s3/lifecycle/evaluate.ts';
import { LifecycleExecutor } from './s3/lifecycle/executor.ts';
import { NO_EVENTS } from './s3/port/events.ts';
import { Notifier } from './s3/notification/notifier.ts';
import type { PostWebhook } from './s3/notification/notifier.ts';
import type { Webhook } from './s3/notification/webhooks.ts';
import type { Patience } from './s3/body/content.ts';
import type { AccountDirectory, CredentialLookup } from './s3/auth/principal.ts';
import { directoryOf } from './s3/access/credential-store.ts';
import type { KeyUse } from './s3/access/key-meter.ts';
import type { Quotas } from './s3/access/usage.ts';
import { RootSchedule } from './root-schedule.ts';
import type { RootTerms } from './root-schedule.ts';
import { sweepAttributes } from './store/attributes-leftovers.ts';
import { BackgroundWork } from './store/background-work.ts';
import { BucketStates } from './store/bucket-states.ts';
import type { StoreContext } from './store/context.ts';
import { HoldfastStore } from './store/holdfast-store.ts';
import { DEFAULT_UPLOAD_QUOTA, UploadQuotas } from './store/upload-quota.ts';
import type { UploadQuota } from './store/upload-quota.ts';
import { sweepParts } from './store/upload-leftovers.ts';
import { TrustedVersions } from './trusted-versions.ts';
import { WitnessMemory } from './witness-memory.ts';

export interface GatewayOptions {
  readonly cluster: Cluster;
  readonly gatewayId: Uint8Array;
  readonly signingKey: SigningKey;
  /** 32 bytes; see keyring/owner-keys.ts. */
  readonly rootSecret: Uint8Array;
  /** The secret of an access key, or undefined. */
  readonly lookup: CredentialLookup;
  /** The accounts that there are; the owner alone when left out. */
  readonly accounts?: AccountDirectory;
  readonly quotas?: Quotas;
  /** Who may be told of events at all, and how; nobody when left out. May change while the gateway runs. */
  readonly webhooks?: ReadonlyMap<string, Webhook>;
  readonly postWebhook?: PostWebhook;
  /** What a day of a lifecycle rule is; the real one when left out. */
  readonly lifecycleTime?: LifecycleTime;
  /** What unfinished uploads of one account may take. */
  readonly uploadQuota?: UploadQuota;

  readonly transport: Transport;
  readonly clock: Clock;
  readonly random: Random;
  readonly telemetry: Telemetry;
  /** Each with room for n cells of the largest size. */
  readonly workspaces: WorkspacePool;
  /** The gateway's folder: journal and witness memory. */
  readonly disk: Disk;
  /** The index; may be empty, and is closed by `stop`. */
  readonly store: KeyValueStore;

  readonly region?: string;
  readonly hostNames?: readonly string[];
  readonly concurrentMax?: number;
  readonly patience?: Patience;
  readonly deadlines?: Partial<Deadlines>;
  readonly windowStripes?: number;
  readonly onEvidence?: (proof: Proof) => void;
  /** State roots by the clock; none when left out. */
  readonly roots?: RootTerms;
  readonly tuning?: Partial<GatewayTuning>;
}

export interface GatewayTuning {
  /** Between looks at orphans and leftovers. */
  readonly upkeepMs: number;
  readonly partsKeptMs: number;
  readonly closingMs: number;
  /** Between the end of one lifecycle run and the next. */
  readonly lifecycleMs: number;
}

const DEFAULT_TUNING: GatewayTuning = { upkeepMs: 30_000, partsKeptMs: 5_000, closingMs: 3_000, lifecycleMs: 600_000 };

const NO_WEBHOOKS: ReadonlyMap<string, Webhook> = new Map();

export interface GatewayStatus {
  /** Requests under way. */
  readonly underWay: number;
  /** Has the index caught up with the logs since the start? */
  readonly isIndexReady: boolean;
  /** Writes whose end is not known. */
  readonly openAttempts: number;
  readonly slots: readonly SlotHealth[];
  readonly suspicions: readonly Suspicion[];
  /** Ids of gateways that the admins have revoked, in hex; its own when it is among them. */
  readonly revoked: readonly string[];
  readonly audit: AuditLogStatus;
}

export class Gateway {
  readonly #options: GatewayOptions;
  readonly #tuning: GatewayTuning;
  readonly #client: ProtocolClient;
  readonly #journal: GatewayJournal;
  readonly #witness: WitnessMemory;
  readonly #index: ObjectIndex;
  readonly #barrier: ListingBarrier;
  readonly #registry: BucketRegistry;
  readonly #orphans: Orphans;
  /** A write of another process, or one that has ended, is over after so long. */
  readonly #graceMs: number;
  readonly #background: BackgroundWork;
  readonly #ctx: StoreContext;
  readonly #front: S3Front;
  readonly #notifier: Notifier | null;
  readonly #events: EventJournal | null;
  readonly #audit: AuditLog;
  readonly #anchors: AnchorKeeper;
  readonly #lifecycle: LifecycleChore;
  readonly #roots: RootSchedule | null;
  readonly #abort = new AbortController();
  #timer: Timer | null = null;
  #upkeep: Promise<void> = Promise.resolve();
  #hasSwept = false;
  #revoked: readonly string[] = [];

  /** The store below the S3 front, for tools that need no HTTP. */
  readonly store: HoldfastStore;

  /** From request to response. */
  readonly handle: HttpHandler;

  private constructor(
    options: GatewayOptions,
    journal: GatewayJournal,
    witness: WitnessMemory,
    events: EventJournal | null,
    audit: AuditLog,
  ) {
    const { cluster, clock, random, telemetry } = options;
    this.#options = options;
    this.#tuning = { ...DEFAULT_TUNING, ...options.tuning };
    this.#journal = journal;
    this.#witness = witness;
    this.#events = events;
    this.#audit = audit;
    const owner = new OwnerKeys(options.rootSecret);
    const trust = new TrustedVersions();
    const deadlines: Deadlines = { ...DEFAULT_DEADLINES, ...options.deadlines };
    const attempts: AttemptJournal = {
      begin: (attempt) => journal.begin(attempt),
      abandoned: (attempt) => journal.abandoned(attempt),
      settled: (attempt) => journal.settled(attempt),
      published: (attempt, certified) => this.#orphans.published(attempt, certified),
      superseded: (attempt, signed, newest) => this.#orphans.superseded(attempt, signed, newest),
    };
    const client = new ProtocolClient({ ...options, journal: attempts, trust });
    const registry = new BucketRegistry({ client, owner, random, clock, telemetry, k: cluster.geometry.k });
    const holdersNeeded = holderCount(cluster.geometry);
    const index = new ObjectIndex(options.store, { holdersNeeded, operationWindowMs: OPERATION_WINDOW_MS });
    const follow = async (): Promise<IndexFollower> => {
      const ports = {
        client,
        index,
        registry,
        clock,
        telemetry,
        quorums: cluster.geometry,
        barrierMs: deadlines.barrierMs,
      };
      return new IndexFollower(ports, await this.#saved());
    };
    const barrier = new ListingBarrier({
      client,
      index,
      clock,
      telemetry,
      results: () => journal.results(),
      follow,
    });
    // The client goes on to publish a certificate for so long after it has said that the outcome is unknown.
    const graceMs = deadlines.prepareMs + deadlines.commitMs + deadlines.completeMs;
    const orphans = new Orphans({ client, journal, registry, barrier, clock, telemetry, graceMs });
    const operations = new Operations(
      (opId) => barrier.operation(opId),
      (opId) => orphans.investigate(opId),
    );
    const background = new BackgroundWork(clock, telemetry);
    const { partsKeptMs, closingMs } = this.#tuning;
    const onWritten = (hash: Uint8Array): void => trust.add(hash);
    const shared = { client, registry, barrier, index, operations, background, random, clock, telemetry };
    this.#client = client;
    this.#anchors = new AnchorKeeper({ audit, client, clock, telemetry });
    this.#registry = registry;
    this.#index = index;
    this.#barrier = barrier;
    this.#orphans = orphans;
    this.#graceMs = graceMs;
    this.#background = background;
    const states = new BucketStates(clock);
    const quota = options.uploadQuota ?? DEFAULT_UPLOAD_QUOTA;
    const uploadQuotas = new UploadQuotas({ index, registry, clock, ownerId: owner.ownerId, quota });
    this.#ctx = { ...shared, states, uploadQuotas, ownerId: owner.ownerId, onWritten, partsKeptMs, closingMs };
    this.store = new HoldfastStore(this.#ctx);
    this.#notifier = events === null ? null : this.#makeNotifier(events);
    this.#front = this.#makeFront(owner);
    this.handle = this.#front.handle;
    this.#lifecycle = this.#makeLifecycle();
    this.#roots = options.roots === undefined ? null : this.#makeRoots(options.roots, owner.ownerId);
  }

  /** Reads what the folder remembers and begins to serve. Errors: those of the disk. */
  static async start(options: GatewayOptions): Promise<Gateway> {
    const { disk, clock, telemetry, cluster, gatewayId } = options;
    // Secret, so that nobody can place bytes in a record that recovery would take for another.
    const journalId = sha256(options.signingKey.sign(statementBytes('journal', cluster.id, gatewayId)));
    const folder = { disk, telemetry, journalId: journalId.subarray(0, 16) };
    const journal = await GatewayJournal.open({ ...folder, clock });
    const events = options.webhooks === undefined ? null : await EventJournal.open(folder);
    const witness = await WitnessMemory.open({ disk, clock, telemetry, cluster });
    const { signingKey } = options;
    const { auditKey } = new OwnerKeys(options.rootSecret);
    const audit = await AuditLog.open({ disk, clock, telemetry, clusterId: cluster.id, gatewayId, signingKey, auditKey }, SOFTWARE_VERSION);
    const gateway = new Gateway(options, journal, witness, events, audit);
    await gateway.#index.requireFormat();
    await gateway.#recall();
    gateway.#keepUp(0);
    gateway.#anchors.start();
    return gateway;
  }

  status(): GatewayStatus {
    return {
      underWay: this.#front.underWay,
      isIndexReady: this.#barrier.isWarm,
      openAttempts: this.#journal.openAttempts().length,
      slots: this.#client.health(),
      suspicions: this.#client.suspicions(),
      revoked: this.#revoked,
      audit: this.#audit.status,
    };
  }

  /** Notes in the audit log what an operator did; durable on return. */
  noteAdmin(action: string, subject: string): Promise<void> {
    return this.#audit.noteAdmin(action, subject);
  }

  /** Use of access keys since the start. */
  keyUses(): ReadonlyMap<string, KeyUse> {
    return this.#front.keyUses();
  }

  /** Throws the index away and builds it anew from the logs. */
  async rebuildIndex(): Promise<void> {
    await this.#barrier.rebuild();
    await this.#barrier.pass();
  }

  /** After the listener has ended: waits for what is under way behind, then closes everything. */
  async stop(): Promise<void> {
    this.#abort.abort();
    this.#timer?.cancel();
    await this.#lifecycle.stop();
    await this.#roots?.stop();
    await this.#background.stop();
    await this.#client.close();
    await this.#upkeep;
    await this.#anchors.stop();
    await this.#audit.close();
    await this.#notifier?.stop();
    await this.#events?.close();
    await this.#witness.close((slot) => this.#barrier.serialise(slot));
    await this.#journal.close();
    await this.#index.close();
  }

  #makeNotifier(queue: EventJournal): Notifier {
    const { clock, telemetry, region, webhooks = NO_WEBHOOKS, postWebhook: post } = this.#options;
    assert(post !== undefined, 'webhooks are posted to');
    return new Notifier({ store: this.store, clock, telemetry, region: region ?? FRONT_DEFAULTS.region, webhooks, queue, post });
  }

  #makeRoots(terms: RootTerms, ownerId: string): RootSchedule {
    const { clock, random, telemetry, cluster, gatewayId, signingKey } = this.#options;
    const signer = new BatchSigner(signingKey, cluster.id);
    const shared = { client: this.#client, registry: this.#registry, store: this.store, clock, random, telemetry };
    return new RootSchedule({ ...shared, terms, cluster, gatewayId, signer, ownerId });
  }

  #makeLifecycle(): LifecycleChore {
    const { clock, random, telemetry, lifecycleTime: time } = this.#options;
    const { store } = this;
    const executor = new LifecycleExecutor({
      store,
      clock,
      random,
      telemetry,
      events: this.#notifier ?? NO_EVENTS,
      ...(time === undefined ? {} : { time }),
    });
    return new LifecycleChore({ executor, clock, telemetry, pauseMs: this.#tuning.lifecycleMs });
  }

  #makeFront(owner: OwnerKeys): S3Front {
    const { clock, random, telemetry, lookup, region, hostNames, concurrentMax, patience } = this.#options;
    return new S3Front({
      ...FRONT_DEFAULTS,
      store: this.store,
      clock,
      random,
      telemetry,
      lookup,
      accounts: this.#options.accounts ?? directoryOf({ id: owner.ownerId, displayName: 'owner' }),
      quotas: this.#options.quotas,
      events: this.#notifier ?? NO_EVENTS,
      audit: this.#audit,
      webhooks: this.#options.webhooks ?? NO_WEBHOOKS,
      tokenKey: owner.tokenKey,
      region: region ?? FRONT_DEFAULTS.region,
      hostNames: hostNames ?? FRONT_DEFAULTS.hostNames,
      concurrentMax: concurrentMax ?? FRONT_DEFAULTS.concurrentMax,
      patience: patience ?? FRONT_DEFAULTS.patience,
    });
  }

  /** The index may be a new one. What goes wrong here shows again, and is mended, when it is first asked. */
  async #recall(): Promise<void> {
    try {
      await this.#barrier.recall();
    } catch (error) {
      this.#options.telemetry.event('warn', 'index not updated', { error: describeError(error) });
    }
  }

  /** Where the following of each log begins: where the index stands, else at the first entry. */
  async #saved(): Promise<ReadonlyMap<number, Uint8Array>> {
    const saved = new Map<number, Uint8Array>();
    for (const { slot } of this.#options.cluster.slots) {
      const bytes = (await this.#index.tail(slot)) ?? this.#witness.start(slot);
      if (bytes !== undefined) saved.set(slot, bytes);
    }
    return saved;
  }

  #keepUp(delayMs: number): void {
    if (this.#abort.signal.aborted) return;
    this.#timer = this.#options.clock.after(delayMs, () => {
      this.#upkeep = this.#lookAfter().finally(() => this.#keepUp(this.#tuning.upkeepMs));
    });
  }

  /** One round of upkeep: the index, then orphans, once after a start also what uploads left behind. */
  async #lookAfter(): Promise<void> {
    const { telemetry } = this.#options;
    const { signal } = this.#abort;
    try {
      this.#revoked = (await this.#client.spreadRevocations()).map(({ gatewayId }) => hex(gatewayId));
      await this.#barrier.pass();
      this.#witness.saveSoon((slot) => this.#barrier.serialise(slot));
      await this.#orphans.sweep(signal);
      await this.#client.endLeftoverStages(this.#graceMs);
      await sweepAttributes(this.#ctx, signal);
      if (this.#hasSwept) return;
      await this.#sweepUploads(signal);
      this.#hasSwept = true;
    } catch (error) {
      telemetry.event('info', 'upkeep postponed', { error: describeError(error) });
    }
  }

  async #sweepUploads(signal: AbortSignal): Promise<void> {
    for await (const [bucketId, row] of this.#index.buckets()) {
      if (signal.aborted) return;
      const described = this.#registry.describe(bucketId, row);
      if (described?.state !== 'OPEN') continue;
      const bucket = await this.#registry.find(described.name);
      if (bucket?.record.state === 'OPEN') await sweepParts(this.#ctx, bucket, signal);
    }
  }
}
