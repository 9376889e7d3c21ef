/**
 * Repair (protocol 6.8): versions with cells that are lost, or not known to be there, the one with the fewest
 * confirmed slots first. What is not known is asked for; what is lost is rebuilt from any k good cells, once for
 * all slots that lack a cell of the same stripe, and given back; and only a challenge that the slot answers
 * afterwards ends it. What cannot be done now is postponed, and comes back. Everything that was found out
 * stands in the inventory, so a process that is killed goes on where it was.
 */
import { isOperationError } from '../base/errors.ts';
import type { Clock, Telemetry } from '../base/ports.ts';
import type { AuditVerdict } from '../client/audit.ts';
import type { Certified } from '../client/certificates.ts';
import type { ControllerClient } from '../client/controller-client.ts';
import type { ContentRef, Fetched } from '../client/fetch.ts';
import { cellBytes } from '../client/rebuild.ts';
import type { Given, GiveOptions, RebuiltStripe } from '../client/rebuild.ts';
import type { Job, JobQueue } from '../jobs/job-queue.ts';
import type { SignedBody } from '../protocol/slot.ts';
import type { Authority } from './authority.ts';
import type { Inventory } from './inventory/inventory.ts';
import type { LogReader } from './inventory/log-reader.ts';
import { cellsOf, WHOLE_CONTENT } from './inventory/rows.ts';
import type { Hole, KeptContent, VersionRow } from './inventory/rows.ts';
import type { Pace } from './pace.ts';
import type { RepairTally } from './repair-tally.ts';
import { tableOf } from './witness.ts';
import type { Witness } from './witness.ts';

export interface RepairerOptions {
  readonly inventory: Inventory;
  readonly queue: JobQueue;
  readonly client: ControllerClient;
  readonly witness: Witness;
  readonly reader: LogReader;
  readonly authority: Authority;
  readonly pace: Pace;
  readonly tally: RepairTally;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  /** Of one challenge. */
  readonly deadlineMs: number;
}

const IDLE_MS = 250;
const PROBE_MS = 2_000;
/** Holes of one version that are worked on before its turn ends. */
const HOLES_MAX = 4096;
const POSTPONE_MIN_MS = 2_000;
const POSTPONE_MAX_MS = 10 * 60_000;

/** Why a version could not be repaired in its turn; null: it is whole, or has ended. */
type Outcome = 'more' | 'no certificate' | 'no authority' | 'node not reachable' | 'cells not to be had' | 'node does not keep it' | null;

/** A version in its turn. */
interface Patient {
  readonly hash: Uint8Array;
  readonly row: VersionRow;
  readonly certified: Certified;
  readonly signal: AbortSignal;
  readonly authority: SignedBody | null;
  /** Slots that answered in this turn; others are left for another. */
  readonly reached: Map<number, boolean>;
  hasEnded: boolean;
  /** Single cells have turned into a whole content: the next turn gives that. */
  isRecut: boolean;
}

export class Repairer {
  readonly #options: RepairerOptions;
  #active = 0;

  constructor(options: RepairerOptions) {
    this.#options = options;
  }

  /** Versions under repair at this moment. */
  get active(): number {
    return this.#active;
  }

  /** Repairs one version after the other until the signal aborts. May be called several times, to repair as many at once. */
  async run(signal: AbortSignal): Promise<void> {
    const { queue, clock } = this.#options;
    while (!signal.aborted) {
      const job = await queue.next();
      if (job === null) await clock.sleep(IDLE_MS, signal).catch(() => undefined);
      else await this.#turn(job, signal);
    }
  }

  async #turn(job: Job, signal: AbortSignal): Promise<void> {
    const { queue, tally, telemetry } = this.#options;
    this.#active += 1;
    let outcome: Outcome;
    try {
      outcome = await this.#repair(job.id, signal);
    } catch (error) {
      if (!isOperationError(error)) throw error;
      telemetry.event('debug', 'repair postponed', { error: error.message });
      outcome = 'cells not to be had';
    } finally {
      this.#active -= 1;
    }
    if (signal.aborted || outcome === 'more') return queue.giveBack(job.id);
    if (outcome === null) return queue.end(job.id);
    tally.postponed(outcome);
    await queue.defer(job.id, Math.min(POSTPONE_MAX_MS, POSTPONE_MIN_MS * 2 ** Math.min(job.attempts, 10)));
  }

  async #repair(hash: Uint8Array, signal: AbortSignal): Promise<Outcome> {
    const { inventory, witness, authority, reader } = this.#options;
    const row = await inventory.version(hash);
    if (row === undefined || row.holes.every((count) => count === 0)) return null;
    const certified = await witness.certificate({ row });
    if (certified === null) return (await this.#hasEnded(row)) ? null : 'no certificate';
    if (row.kind === 'TABLE' && row.parts === null && !(await reader.readTable(certified))) return 'cells not to be had';
    const patient: Patient = { hash, row, certified, signal, authority: authority.current(), reached: new Map(), hasEnded: false, isRecut: false };
    for (const hole of await this.#holes(patient, (state) => state !== 'LOST')) await this.#ask(patient, hole);
    const lost = await this.#holes(patient, (state) => state === 'LOST');
    if (patient.hasEnded) return null;
    if (lost.length > 0 && patient.authority === null) return 'no authority';
    for (const place of new Set(lost.map((hole) => hole.place))) {
      if (patient.hasEnded || signal.aborted) break;
      await this.#repairContent(patient, place, lost.filter((hole) => hole.place === place));
    }
    for (const hole of await this.#holes(patient, (state) => state === 'REPAIRED')) await this.#ask(patient, hole);
    if (patient.hasEnded) return null;
    const left = await this.#holes(patient, () => true);
    if (left.length === 0) return null;
    if (left.some(({ slot }) => patient.reached.get(slot) === false)) return 'node not reachable';
    // What was a whole content turned into single cells when it was looked at: there is more to do at once.
    return patient.isRecut || left.some(({ state }) => state === 'UNKNOWN') ? 'more' : 'node does not keep it';
  }

  /** Has the version ended, as whatever certificate of its key is there now says? */
  async #hasEnded(row: VersionRow): Promise<boolean> {
    const { client, inventory } = this.#options;
    const [newest = null] = await client.certificates([{ keyId: row.keyId, stamp: row.stamp, slots: [] }]);
    if (newest !== null) await inventory.take(newest);
    return inventory.hasEnded(row.keyId, row.stamp);
  }

  async #holes({ hash }: Patient, wanted: (state: Hole['state']) => boolean): Promise<Hole[]> {
    const found: Hole[] = [];
    for await (const hole of this.#options.inventory.holes(hash)) {
      if (wanted(hole.state)) found.push(hole);
      if (found.length >= HOLES_MAX) break;
    }
    return found;
  }

  /** Challenges a slot for what it may lack, and takes the answer in. */
  async #ask(patient: Patient, hole: Hole): Promise<void> {
    const { client, inventory, witness, tally, pace, deadlineMs } = this.#options;
    const { hash, row, signal } = patient;
    if (patient.hasEnded || signal.aborted || patient.reached.get(hole.slot) === false) return;
    const content = await inventory.content(hash, row, hole.place);
    if (content === null) return;
    const stripe = Math.max(0, hole.stripe);
    const { contentId, layout } = content;
    const target = { keyId: row.keyId, manifestHash: hash, stamp: row.stamp, contentId, layout, stripe };
    const { verdict, bytes } = await client.audit(hole.slot, target, deadlineMs);
    tally.audited(bytes);
    await pace.take(bytes, signal).catch(() => undefined);
    await this.#judge(patient, hole, content, verdict);
    // That a lack was known before makes it no new evidence; a wrong cell always is.
    if (verdict.kind === 'wrong' || verdict.kind === 'superseded') await witness.saw(hole.slot, { hash, row, place: hole.place, stripe, content }, verdict);
  }

  async #judge(patient: Patient, hole: Hole, content: KeptContent, verdict: AuditVerdict): Promise<void> {
    const { inventory, tally } = this.#options;
    const { hash, reached } = patient;
    const { place, slot } = hole;
    if (verdict.kind !== 'unanswered') reached.set(slot, true);
    switch (verdict.kind) {
      case 'held':
        await inventory.heal(hash, hole);
        tally.healed(hole.state === 'REPAIRED');
        return;
      case 'unanswered':
        reached.set(slot, false);
        return;
      case 'superseded':
        patient.hasEnded = true;
        return;
      case 'wrong':
      case 'lack':
        break;
    }
    if (hole.state === 'REPAIRED') tally.lostAgain();
    const hasEntry = hole.stripe === WHOLE_CONTENT && verdict.kind === 'lack' && verdict.code === 'HOLE';
    if (!hasEntry) {
      await inventory.note(hash, [hole], 'LOST');
      return;
    }
    // The slot knows the content and has lost cells of it: which, each one tells.
    await inventory.split(hash, { place, slot }, cellsOf(content), 'UNKNOWN');
    await inventory.note(hash, [{ place, stripe: 0, slot }], 'LOST');
  }

  async #repairContent(patient: Patient, place: number, holes: readonly Hole[]): Promise<void> {
    const content = await this.#options.inventory.content(patient.hash, patient.row, place);
    if (content === null) return;
    const whole = holes.filter(({ stripe }) => stripe === WHOLE_CONTENT);
    const isSingle = cellsOf(content) === 1;
    const stripes = new Map<number, Hole[]>();
    for (const hole of holes) {
      if (hole.stripe === WHOLE_CONTENT && !isSingle) continue;
      const stripe = Math.max(0, hole.stripe);
      stripes.set(stripe, [...(stripes.get(stripe) ?? []), hole]);
    }
    const lacking = new Set(whole.map(({ slot }) => slot));
    for (const [stripe, lost] of stripes) {
      if (patient.hasEnded || patient.signal.aborted) return;
      await this.#repairStripe(patient, content, stripe, lost, lacking);
    }
    if (isSingle) return;
    for (const hole of whole) {
      if (patient.hasEnded || patient.signal.aborted) return;
      await this.#repairWhole(patient, content, hole, lacking);
    }
  }

  /** One stripe is rebuilt once, for all slots that lack their cell of it. */
  async #repairStripe(patient: Patient, content: KeptContent, stripe: number, lost: readonly Hole[], lackingAll: ReadonlySet<number>): Promise<void> {
    const { client, inventory, tally } = this.#options;
    const there: Hole[] = [];
    for (const hole of lost) if (await this.#isReached(patient, hole.slot)) there.push(hole);
    if (there.length === 0) return;
    const lacking = new Set([...lackingAll, ...lost.map(({ slot }) => slot)]);
    const rebuilt = await this.#rebuild(patient, content, there[0]?.place ?? 0, stripe, lacking, there.length);
    if (rebuilt === null) return;
    await Promise.all(
      there.map(async (hole) => {
        const options = await this.#giveOptions(patient, content, hole, stripe);
        if (options === null) return;
        const given = await client.giveCell(hole.slot, rebuilt, options);
        await this.#given(patient, hole, given);
        if (given.kind !== 'taken') return;
        tally.given(rebuilt.cells[hole.slot]?.length ?? 0);
        await inventory.note(patient.hash, [hole], 'REPAIRED');
      }),
    );
  }

  /** All cells of a content, one after the other, for a slot that has none of it. */
  async #repairWhole(patient: Patient, content: KeptContent, hole: Hole, lacking: ReadonlySet<number>): Promise<void> {
    const { client, inventory, tally } = this.#options;
    const { layout, contentId } = content;
    const options = (await this.#isReached(patient, hole.slot)) ? await this.#giveOptions(patient, content, hole, 0) : null;
    if (options === null || layout === null) return;
    const ref: ContentRef = { contentId, layout, table: options.content.table };
    const stripes = async (stripe: number): Promise<Fetched<RebuiltStripe>> => {
      const rebuilt = await this.#fetch(patient, ref, stripe, lacking, 1);
      if (rebuilt.kind === 'fetched') tally.given(rebuilt.value.cells[hole.slot]?.length ?? 0);
      return rebuilt;
    };
    const given = await client.giveContent(hole.slot, ref, stripes, options);
    await this.#given(patient, hole, given);
    // From here on each cell is asked for.
    if (given.kind === 'taken') await inventory.split(patient.hash, hole, cellsOf(content), 'REPAIRED');
  }

  async #given(patient: Patient, { place, slot }: Hole, given: Given): Promise<void> {
    const { inventory, tally, telemetry } = this.#options;
    switch (given.kind) {
      case 'taken':
        return;
      case 'conflict':
        await inventory.join(patient.hash, { place, slot });
        patient.isRecut = true;
        return;
      case 'superseded':
        await inventory.take(given.by);
        patient.hasEnded = true;
        return;
      case 'refused':
        tally.refused();
        telemetry.event('warn', 'a node does not take its cell back', { slot, code: given.code, reason: given.reason });
        return;
      case 'unanswered':
        patient.reached.set(slot, false);
        return;
    }
  }

  /** Null: the version has ended. */
  async #rebuild(patient: Patient, content: KeptContent, place: number, stripe: number, lacking: ReadonlySet<number>, forSlots: number): Promise<RebuiltStripe | null> {
    const { client, inventory, tally, pace } = this.#options;
    const { contentId, layout } = content;
    let fetched: Fetched<RebuiltStripe>;
    if (layout === null) {
      fetched = await client.rebuildBody(patient.certified, lacking);
      if (fetched.kind === 'fetched') {
        const bytes = fetched.value.cells[0]?.length ?? 0;
        tally.rebuilt(fetched.value.readBytes, bytes * forSlots);
        await pace.take(bytes * (1 + forSlots), patient.signal);
      }
    } else {
      const table = place === 0 ? null : await tableOf(client, patient.certified);
      fetched = await this.#fetch(patient, { contentId, layout, table }, stripe, lacking, forSlots);
    }
    if (fetched.kind === 'fetched') return fetched.value;
    await inventory.take(fetched.by);
    patient.hasEnded = true;
    return null;
  }

  async #fetch(patient: Patient, content: ContentRef, stripe: number, lacking: ReadonlySet<number>, forSlots: number): Promise<Fetched<RebuiltStripe>> {
    const { client, tally, pace } = this.#options;
    const bytes = cellBytes(content, stripe);
    await pace.take(bytes * (content.layout.k + forSlots), patient.signal);
    const fetched = await client.rebuildStripe(patient.certified, content, stripe, lacking);
    if (fetched.kind === 'fetched') tally.rebuilt(fetched.value.readBytes, content.layout.k * bytes * forSlots);
    return fetched;
  }

  async #giveOptions({ authority, certified, signal }: Patient, content: KeptContent, hole: Hole, stripe: number): Promise<GiveOptions | null> {
    if (authority === null) return null;
    const table = hole.place === 0 ? null : await tableOf(this.#options.client, certified);
    return { authority, version: certified, content: { contentId: content.contentId, table }, stripe, isNew: hole.stripe === WHOLE_CONTENT, signal };
  }

  /** Does the slot answer at all? Nothing is read for one that does not. */
  async #isReached({ reached }: Patient, slot: number): Promise<boolean> {
    const known = reached.get(slot);
    if (known !== undefined) return known;
    const isReached = (await this.#options.client.probe(slot, PROBE_MS)) !== null;
    reached.set(slot, isReached);
    return isReached;
  }
}
