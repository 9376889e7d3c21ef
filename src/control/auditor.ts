/**
 * Continuous audits (protocol 6.8): random challenges to every node, spread over a period so that at its end a
 * stated loss would have been found with a stated probability (audit-plan.ts). A challenge that is not answered
 * counts for nothing and is put again, with a fresh nonce, until it is: a node must not be able to be silent
 * just where it has lost something. Where a loss is found every cell of that node is asked for, once, so that
 * all of it is found.
 */
import { EMPTY } from '../base/bytes.ts';
import type { Clock, Random, Telemetry } from '../base/ports.ts';
import type { AuditVerdict } from '../client/audit.ts';
import type { ControllerClient } from '../client/controller-client.ts';
import { confidenceText, pauseMs, samplesNeeded, uniformBelow } from './audit-plan.ts';
import type { AuditGoal } from './audit-plan.ts';
import { AuditRounds } from './audit-rounds.ts';
import type { AuditRound, OpenChallenge, RoundTotals } from './audit-rounds.ts';
import type { Inventory } from './inventory/inventory.ts';
import type { CellRef } from './inventory/inventory-view.ts';
import { cellsOf } from './inventory/rows.ts';
import { holdsBit } from './inventory/tallies.ts';
import type { Pace } from './pace.ts';
import type { Witness } from './witness.ts';

export interface AuditorOptions {
  readonly inventory: Inventory;
  readonly rounds: AuditRounds;
  readonly client: ControllerClient;
  readonly witness: Witness;
  readonly clock: Clock;
  readonly random: Random;
  readonly telemetry: Telemetry;
  readonly goal: AuditGoal;
  readonly pace: Pace;
  /** Of one challenge: who has the cell needs one read of its disk. */
  readonly deadlineMs: number;
}

/** Between looks whether a node is to be asked. */
const LOOK_MS = 1_000;
/** Between two attempts at a challenge that was not answered. */
const AGAIN_MS = 30_000;
/** A challenge that was not answered for so long, while others were. */
const SILENT_MS = 24 * 3600 * 1000;
/** Challenges of a node that wait for an answer; while there are so many no new one is drawn. */
const OPEN_MAX = 64;
/** Draws for a cell that was not asked for yet, before the next look tries again. */
const DRAWS_MAX = 64;
const SWEEP_BATCH = 64;

/** What the audit of one node has come to, for people and programs. */
export interface AuditStatus extends RoundTotals {
  readonly slot: number;
  readonly population: number;
  readonly needed: number;
  readonly open: number;
  readonly missing: number;
  readonly statement: string;
  readonly sweeping: boolean;
  readonly endsMs: number;
  readonly last: RoundTotals | null;
}

export class Auditor {
  readonly #options: AuditorOptions;

  constructor(options: AuditorOptions) {
    this.#options = options;
  }

  /** Audits one node until the signal aborts. */
  async run(slot: number, signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    while (!signal.aborted) {
      const waitMs = await this.#turn(slot, signal);
      if (waitMs > 0) await clock.sleep(waitMs, signal).catch(() => undefined);
    }
  }

  status(): readonly AuditStatus[] {
    const { rounds, inventory, goal } = this.#options;
    return rounds.all().map((round, slot) => {
      const { held, lacked, wrong } = round.totals;
      const population = inventory.tallies.cells(slot) + lacked + wrong;
      const needed = samplesNeeded(population, goal);
      const open = round.open.length;
      const missing = inventory.tallies.holesOf(slot);
      const statement = confidenceText({ population, needed, held, failed: lacked + wrong, open, missing }, goal);
      const endsMs = round.startMs + goal.periodMs;
      return { ...round.totals, slot, population, needed, open, missing, statement, sweeping: round.sweep !== null, endsMs, last: round.last };
    });
  }

  /** One step of the audit of a slot. Returns how long to wait before the next. */
  async #turn(slot: number, signal: AbortSignal): Promise<number> {
    const { rounds, inventory, goal, clock, random } = this.#options;
    const round = await rounds.current(slot, goal.periodMs);
    if (round.sweep !== null) {
      await this.#sweep(slot, round, signal);
      return 0;
    }
    const nowMs = clock.nowMs();
    const again = round.open.find(({ atMs }) => atMs <= nowMs);
    if (again !== undefined) {
      await this.#askAgain(slot, round, again);
      return 0;
    }
    const population = inventory.tallies.cells(slot);
    const needed = samplesNeeded(population, goal);
    const asked = round.asked.size;
    if (population === 0 || asked >= needed || round.open.length >= OPEN_MAX) return LOOK_MS;
    const endMs = round.startMs + goal.periodMs;
    const dueMs = round.lastMs + pauseMs(random, needed - asked, Math.max(0, endMs - round.lastMs));
    // One draw of the pause a challenge: drawn again at every look it would come sooner.
    const nextMs = (round.nextMs ??= Math.floor(dueMs));
    if (nowMs < nextMs) return Math.min(LOOK_MS, nextMs - nowMs);
    const cell = await this.#draw(slot, round);
    if (cell === null) return LOOK_MS;
    await this.#ask(slot, round, cell);
    return 0;
  }

  /** A cell of the slot that was not asked for in this round, each equally likely. */
  async #draw(slot: number, round: AuditRound): Promise<CellRef | null> {
    const { inventory, random } = this.#options;
    for (let draws = 0; draws < DRAWS_MAX; draws += 1) {
      const population = inventory.tallies.cells(slot);
      if (population === 0) return null;
      const cell = await inventory.cellAt(slot, uniformBelow(random, population));
      if (cell !== null && !round.asked.has(AuditRounds.nameOf(cell))) return cell;
    }
    return null;
  }

  async #ask(slot: number, round: AuditRound, cell: CellRef): Promise<void> {
    const { rounds, clock } = this.#options;
    round.asked.add(AuditRounds.nameOf(cell));
    round.lastMs = clock.nowMs();
    round.nextMs = null;
    const verdict = await this.#challenge(slot, round, cell);
    count(round, cell, verdict);
    const nowMs = clock.nowMs();
    const { hash, place, stripe } = cell;
    if (verdict.kind === 'unanswered') round.open.push({ hash, place, stripe, sinceMs: nowMs, atMs: nowMs + AGAIN_MS });
    await rounds.save(slot);
  }

  async #askAgain(slot: number, round: AuditRound, challenge: OpenChallenge): Promise<void> {
    const { rounds, inventory, clock } = this.#options;
    const row = await inventory.version(challenge.hash);
    const content = row === undefined ? null : await inventory.content(challenge.hash, row, challenge.place);
    const cell = row === undefined || content === null ? null : { ...challenge, row, content };
    const verdict = cell === null ? null : await this.#challenge(slot, round, cell);
    if (cell !== null && verdict?.kind === 'unanswered') {
      challenge.atMs = clock.nowMs() + AGAIN_MS;
      await this.#whenSilent(slot, round, challenge);
    } else {
      if (cell !== null && verdict !== null) count(round, cell, verdict);
      round.open.splice(round.open.indexOf(challenge), 1);
    }
    await rounds.save(slot);
  }

  /** A node that answers others and never this one is treated as if it had lost it. That proves nothing. */
  async #whenSilent(slot: number, round: AuditRound, challenge: OpenChallenge): Promise<void> {
    const { clock, goal, witness } = this.#options;
    const silentMs = clock.nowMs() - challenge.sinceMs;
    if (silentMs < Math.min(SILENT_MS, goal.periodMs / 7) || round.answeredMs <= challenge.sinceMs) return;
    const { hash, place, stripe } = challenge;
    await witness.lost(hash, { place, stripe, slot });
    round.open.splice(round.open.indexOf(challenge), 1);
  }

  async #challenge(slot: number, round: AuditRound, cell: CellRef): Promise<AuditVerdict> {
    const { client, witness, telemetry, deadlineMs } = this.#options;
    const { keyId, stamp } = cell.row;
    const { contentId, layout } = cell.content;
    const target = { keyId, manifestHash: cell.hash, stamp, contentId, layout, stripe: cell.stripe };
    const { verdict, bytes } = await client.audit(slot, target, deadlineMs);
    telemetry.count('holdfast_controller_audits_total', { slot: String(slot), result: verdict.kind });
    round.totals.requests += 1;
    round.totals.bytes += bytes;
    if (verdict.kind === 'unanswered') round.totals.unanswered += 1;
    else round.answeredMs = this.#options.clock.nowMs();
    // From its first cell on, and not again while it runs: what it finds is what is there.
    if (verdict.kind === 'lack' || verdict.kind === 'wrong') round.sweep ??= EMPTY;
    await witness.saw(slot, cell, verdict);
    return verdict;
  }

  /** Asks for every cell of a batch of versions. */
  async #sweep(slot: number, round: AuditRound, signal: AbortSignal): Promise<void> {
    const { rounds, inventory, pace } = this.#options;
    let last: Uint8Array | null = null;
    let visited = 0;
    for await (const { hash, row } of inventory.versions(round.sweep ?? EMPTY, SWEEP_BATCH)) {
      if (signal.aborted) return;
      last = hash;
      visited += 1;
      if (!holdsBit(row.confirmed, slot)) continue;
      for await (const { place, content } of inventory.contents(hash, row)) {
        for (let stripe = 0; stripe < cellsOf(content) && !signal.aborted; stripe += 1) {
          const before = round.totals.bytes;
          const { kind } = await this.#challenge(slot, round, { hash, row, place, stripe, content });
          if (kind === 'unanswered') {
            // A node that is gone is not asked for each of its cells.
            round.sweep = hash;
            await this.#options.clock.sleep(LOOK_MS, signal).catch(() => undefined);
            return;
          }
          round.totals.swept += 1;
          if (kind !== 'held' && kind !== 'superseded') round.totals.sweptLost += 1;
          await pace.take(round.totals.bytes - before, signal).catch(() => undefined);
        }
      }
    }
    round.sweep = last === null || visited < SWEEP_BATCH ? null : behind(last);
    await rounds.save(slot);
  }
}

/** Counts the answer to a random challenge. */
function count(round: AuditRound, cell: CellRef, { kind }: AuditVerdict): void {
  if (kind === 'held') round.totals.held += 1;
  if (kind === 'lack') round.totals.lacked += 1;
  if (kind === 'wrong') round.totals.wrong += 1;
  // Of what has ended nothing is learnt: another is drawn.
  if (kind === 'superseded') round.asked.delete(AuditRounds.nameOf(cell));
}

/** The next byte string after this one, of the same length. */
function behind(hash: Uint8Array): Uint8Array {
  const next = hash.slice();
  for (let at = next.length - 1; at >= 0; at -= 1) {
    next[at] = ((next[at] ?? 0) + 1) & 255;
    if (next[at] !== 0) break;
  }
  return next;
}
