/**
 * The controller (protocol 6.8): keeps an inventory of what the cluster holds, audits every node without end,
 * and repairs what is lost. It holds no names and no keys of the owner, and what it keeps may be lost: all of
 * it follows from the nodes' logs and from asking. Like every process above the platform it is a function of
 * its ports.
 */
import type { KeyValueStore } from '../base/ports.ts';
import { ControllerClient } from '../client/controller-client.ts';
import type { ContextOptions } from '../client/make-context.ts';
import { JobQueue, PRIORITY_MAX } from '../jobs/job-queue.ts';
import { quorumSize } from '../protocol/quorum.ts';
import { DEFAULT_AUDIT_GOAL, uniformBelow } from './audit-plan.ts';
import type { AuditGoal } from './audit-plan.ts';
import { AuditRounds } from './audit-rounds.ts';
import { Auditor } from './auditor.ts';
import { Authority } from './authority.ts';
import type { AuthoritySource } from './authority.ts';
import { Inventory } from './inventory/inventory.ts';
import type { AtRisk } from './inventory/inventory.ts';
import { LogReader } from './inventory/log-reader.ts';
import { countBits } from './inventory/tallies.ts';
import { PrefixedStore } from './prefixed-store.ts';
import { Pace, PACE_DEFAULT } from './pace.ts';
import { RepairTally } from './repair-tally.ts';
import { Repairer } from './repairer.ts';
import { statusOf } from './status.ts';
import type { ControllerStatus } from './status.ts';
import { Witness } from './witness.ts';

/** Times and sizes that may differ in tests; none weakens a promise. */
export interface ControllerTuning {
  /** Between rounds of following the logs. */
  readonly followMs: number;
  /** After so long a slot whose log does not say that it holds a version is asked. */
  readonly graceMs: number;
  readonly auditGoal: AuditGoal;
  /** Of one challenge. */
  readonly auditDeadlineMs: number;
  readonly workers: number;
  readonly jobsMax: number;
  readonly bytesPerSecondMax: number;
}

export const CONTROLLER_TUNING: ControllerTuning = {
  followMs: 2_000,
  graceMs: 60_000,
  auditGoal: DEFAULT_AUDIT_GOAL,
  auditDeadlineMs: 3_000,
  workers: 4,
  jobsMax: 1_000_000,
  bytesPerSecondMax: PACE_DEFAULT.bytesPerSecondMax,
};

export interface ControllerOptions extends Omit<ContextOptions, 'windowStripes'> {
  /** `gatewayId` of its entry in the configuration. */
  readonly controllerId: Uint8Array;
  readonly authority: AuthoritySource;
  readonly store: KeyValueStore;
  readonly tuning?: Partial<ControllerTuning>;
}

const DUE_BATCH = 256;
const PROBE_QUIET_MS = 1_000;
const PROBE_BUSY_MS = 200;
const PROBE_TIMEOUT_MS = 2_000;
const SCAN_BATCH = 1_000;

export class Controller {
  readonly #options: ControllerOptions;
  readonly #tuning: ControllerTuning;
  readonly #client: ControllerClient;
  readonly #inventory: Inventory;
  readonly #queue: JobQueue;
  readonly #reader: LogReader;
  readonly #authority: Authority;
  readonly #pace: Pace;
  readonly #tally: RepairTally;
  readonly #witness: Witness;
  readonly #repairer: Repairer;
  readonly #auditor: Auditor;
  /** One for each loop. */
  readonly #endings: AbortController[] = [];
  #loops: Promise<unknown> = Promise.resolve();
  /** A job was refused for want of room: the inventory knows more than the queue. */
  #hasOverflown = false;
  #followed = 0;

  private constructor(options: ControllerOptions, tuning: ControllerTuning, client: ControllerClient, inventory: Inventory, queue: JobQueue, rounds: AuditRounds, reader: LogReader) {
    const { clock, telemetry, random, controllerId } = options;
    const { auditDeadlineMs: deadlineMs, auditGoal: goal, bytesPerSecondMax } = tuning;
    this.#options = options;
    this.#tuning = tuning;
    this.#client = client;
    this.#inventory = inventory;
    this.#queue = queue;
    this.#reader = reader;
    this.#authority = new Authority({ source: options.authority, client, controllerId, clock, telemetry });
    const bytesPerSecondMin = Math.min(PACE_DEFAULT.bytesPerSecondMin, bytesPerSecondMax);
    this.#pace = new Pace({ ...PACE_DEFAULT, clock, bytesPerSecondMax, bytesPerSecondMin });
    this.#tally = new RepairTally(clock);
    const onRisk = (risk: AtRisk): Promise<void> => this.#atRisk(risk);
    this.#witness = new Witness({ inventory, client, clock, telemetry, onRisk });
    const shared = { inventory, client, clock, telemetry, witness: this.#witness, pace: this.#pace, deadlineMs };
    this.#repairer = new Repairer({ ...shared, queue, reader, authority: this.#authority, tally: this.#tally });
    this.#auditor = new Auditor({ ...shared, rounds, random, goal });
  }

  /** Opens what it knew and begins. Errors: those of the store. */
  static async start(options: ControllerOptions): Promise<Controller> {
    const { store, clock, telemetry, cluster } = options;
    const tuning = { ...CONTROLLER_TUNING, ...options.tuning };
    const client = new ControllerClient(options);
    const inventory = await Inventory.open({ store: new PrefixedStore(store, 'i'), clock, n: cluster.geometry.n, graceMs: tuning.graceMs });
    const queue = await JobQueue.open({ store, prefix: 'q', clock, jobsMax: tuning.jobsMax });
    const rounds = await AuditRounds.open(new PrefixedStore(store, 'r'), clock, cluster.geometry.n);
    // Logs are read only once the controller has begun.
    const begun: { controller: Controller | null } = { controller: null };
    const onRisk = async (risk: AtRisk): Promise<void> => {
      if (begun.controller !== null) await begun.controller.#atRisk(risk);
    };
    const reader = await LogReader.open({ inventory, client, clock, telemetry, onRisk });
    const controller = new Controller(options, tuning, client, inventory, queue, rounds, reader);
    begun.controller = controller;
    controller.#begin();
    return controller;
  }

  /** Has every log been followed to its end once that can be? */
  get isReady(): boolean {
    return this.#followed > 0;
  }

  status(): ControllerStatus {
    const { cluster } = this.#options;
    return statusOf({
      geometry: cluster.geometry,
      q: quorumSize(cluster.geometry),
      tallies: this.#inventory.tallies,
      nowMs: this.#options.clock.nowMs(),
      followedMs: this.#reader.followedMs,
      queued: this.#queue.size,
      active: this.#repairer.active,
      repair: this.#tally.totals,
      cellsPerSecond: this.#tally.cellsPerSecond(),
      bytesPerSecondMax: this.#pace.bytesPerSecond,
      probe: { quietMs: this.#pace.quietMs, lastMs: this.#pace.lastMs },
      authority: this.#authority.status(),
      audits: this.#auditor.status(),
      goal: this.#tuning.auditGoal,
      suspicions: this.#client.suspicions(),
    });
  }

  /** Ends what is under way, then closes the channels. The store is the caller's to close. */
  async stop(): Promise<void> {
    for (const ending of this.#endings) ending.abort();
    // Before the loops have ended: a request under way would hold them up until its time is over.
    await this.#client.close();
    await this.#loops;
  }

  #begin(): void {
    const { workers } = this.#tuning;
    const loops: readonly Promise<void>[] = [
      this.#keep('follow', (signal) => this.#follow(signal)),
      ...Array.from({ length: this.#inventory.n }, (_, slot) => this.#keep('audit', (signal) => this.#auditor.run(slot, signal))),
      ...Array.from({ length: workers }, () => this.#keep('repair', (signal) => this.#repairer.run(signal))),
      this.#keep('authority', (signal) => this.#authority.run(signal, () => this.#queue.hasten())),
      this.#keep('probe', (signal) => this.#probe(signal)),
    ];
    this.#loops = Promise.all(loops);
  }

  /** Runs a loop until the end; one that fails is reported and begun again. */
  async #keep(name: string, loop: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const { telemetry, clock } = this.#options;
    const ending = new AbortController();
    this.#endings.push(ending);
    const { signal } = ending;
    while (!signal.aborted) {
      try {
        await loop(signal);
      } catch (error) {
        if (signal.aborted) return;
        telemetry.event('error', 'controller loop failed', { loop: name, error: String(error) });
        await clock.sleep(this.#tuning.followMs, signal).catch(() => undefined);
      }
    }
  }

  async #follow(signal: AbortSignal): Promise<void> {
    // What was noted and not queued when the process before this one ended.
    await this.#queueAll(signal);
    while (!signal.aborted) {
      const followed = await this.#reader.round();
      if (followed > 0) this.#followed = followed;
      await this.#reader.fetchMissing();
      await this.#judgeDue(signal);
      if (this.#hasOverflown && this.#queue.size < this.#tuning.jobsMax / 2) await this.#queueAll(signal);
      await this.#options.clock.sleep(this.#tuning.followMs, signal).catch(() => undefined);
    }
  }

  async #judgeDue(signal: AbortSignal): Promise<void> {
    for (;;) {
      const due = await this.#inventory.due(DUE_BATCH);
      for (const one of due) {
        if (signal.aborted) return;
        if (one.kind === 'v') await this.#readTableOf(one.id);
        const risk = await this.#inventory.judge(one, this.#reader.followedMs);
        if (risk !== null) await this.#atRisk(risk);
      }
      if (due.length < DUE_BATCH) return;
    }
  }

  async #readTableOf(hash: Uint8Array): Promise<void> {
    const row = await this.#inventory.version(hash);
    if (row?.kind !== 'TABLE' || row.parts !== null) return;
    const certified = await this.#witness.certificate({ row });
    if (certified !== null) await this.#reader.readTable(certified);
  }

  async #queueAll(signal: AbortSignal): Promise<void> {
    this.#hasOverflown = false;
    let from: Uint8Array = new Uint8Array(0);
    for (;;) {
      let last: Uint8Array | null = null;
      for await (const { hash, row } of this.#inventory.versions(from, SCAN_BATCH)) {
        last = hash;
        if (row.holes.some((count) => count > 0)) await this.#atRisk({ hash, confirmed: countBits(row.confirmed) });
      }
      if (last === null || signal.aborted) return;
      // One zero more sorts right behind it.
      const next = new Uint8Array(last.length + 1);
      next.set(last);
      from = next;
    }
  }

  async #atRisk({ hash, confirmed }: AtRisk): Promise<void> {
    if (!(await this.#queue.put(hash, Math.min(confirmed, PRIORITY_MAX)))) this.#hasOverflown = true;
  }

  /** Measures how long nodes take, while nothing is repaired and while something is. */
  async #probe(signal: AbortSignal): Promise<void> {
    const { clock, random, cluster } = this.#options;
    while (!signal.aborted) {
      const wasQuiet = this.#repairer.active === 0;
      const probed = await this.#client.probe(uniformBelow(random, cluster.geometry.n), PROBE_TIMEOUT_MS);
      const isQuiet = wasQuiet && this.#repairer.active === 0;
      if (probed !== null) this.#pace.observe(probed.tookMs, isQuiet);
      await clock.sleep(isQuiet ? PROBE_QUIET_MS : PROBE_BUSY_MS, signal).catch(() => undefined);
    }
  }
}
