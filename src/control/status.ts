/**
 * What the controller says of the cluster's health: numbers for programs, and the same in words. It claims no
 * more than it knows: what is not confirmed is called so, and what repair will take is said only while it goes.
 */
import type { Suspicion } from '../client/suspicions.ts';
import type { Geometry } from '../protocol/quorum.ts';
import type { AuditGoal } from './audit-plan.ts';
import type { AuditStatus } from './auditor.ts';
import type { Tallies } from './inventory/tallies.ts';
import type { RepairTotals } from './repair-tally.ts';

/** Whole: every cell of every version is confirmed. The others say what is missing, the worst first. */
export type Health = 'endangered' | 'degraded' | 'unconfirmed' | 'whole' | 'learning';

export interface ControllerStatus {
  readonly health: Health;
  /** The same in words, a line each. */
  readonly words: readonly string[];
  readonly versions: number;
  /** How many versions have so many confirmed slots; the index is the number of slots. */
  readonly confirmed: readonly number[];
  /** Versions with fewer than n, q, and k + 1 confirmed slots. */
  readonly below: { readonly n: number; readonly q: number; readonly kPlus1: number };
  /** When each slot's log was followed to its end last, Unix milliseconds; 0: never. */
  readonly followedMs: readonly number[];
  /** Slots whose log has not been read to its end lately: what they have lost is not all known. */
  readonly behind: readonly number[];
  readonly repair: RepairTotals & {
    /** Versions that wait, or are under repair. */
    readonly queued: number;
    readonly active: number;
    /** Cells lost, or not known to be there. */
    readonly holes: number;
    readonly cellsPerSecond: number;
    /** At the present speed; null: nothing moves. */
    readonly etaMs: number | null;
    readonly bytesPerSecondMax: number;
    /** Bytes read to the fewest that rebuilding needs; null: nothing was rebuilt. */
    readonly readRatio: number | null;
  };
  readonly probe: { readonly quietMs: number | undefined; readonly lastMs: number | undefined };
  readonly authority: { readonly notAfterMs: number | null; readonly fault: string | null };
  readonly audits: readonly AuditStatus[];
  readonly auditGoal: AuditGoal;
  readonly suspicions: readonly Suspicion[];
}

/** A log that was not read to its end for so long is behind. */
const BEHIND_MS = 15_000;

export interface StatusInput {
  readonly geometry: Geometry;
  readonly q: number;
  readonly tallies: Tallies;
  readonly nowMs: number;
  readonly followedMs: readonly number[];
  readonly queued: number;
  readonly active: number;
  readonly repair: RepairTotals;
  readonly cellsPerSecond: number;
  readonly bytesPerSecondMax: number;
  readonly probe: ControllerStatus['probe'];
  readonly authority: ControllerStatus['authority'];
  readonly audits: readonly AuditStatus[];
  readonly goal: AuditGoal;
  readonly suspicions: readonly Suspicion[];
}

export function statusOf(input: StatusInput): ControllerStatus {
  const { geometry, q, tallies, followedMs, repair, cellsPerSecond, queued, active } = input;
  const { levels, versions, holes } = tallies;
  const below = { n: fewerThan(levels, geometry.n), q: fewerThan(levels, q), kPlus1: fewerThan(levels, geometry.k + 1) };
  const health = healthOf(below, holes, followedMs, q);
  const etaMs = holes > 0 && cellsPerSecond > 0 ? Math.round((1000 * holes) / cellsPerSecond) : null;
  const readRatio = repair.leastBytes === 0 ? null : repair.readBytes / repair.leastBytes;
  const status = {
    health,
    versions,
    confirmed: [...levels],
    below,
    followedMs: [...followedMs],
    behind: followedMs.flatMap((atMs, slot) => (input.nowMs - atMs > BEHIND_MS ? [slot] : [])),
    repair: { ...repair, queued, active, holes, cellsPerSecond, etaMs, bytesPerSecondMax: input.bytesPerSecondMax, readRatio },
    probe: input.probe,
    authority: input.authority,
    audits: input.audits,
    auditGoal: input.goal,
    suspicions: input.suspicions,
  };
  return { ...status, words: wordsOf(status, geometry) };
}

function fewerThan(levels: readonly number[], slots: number): number {
  return levels.slice(0, slots).reduce((sum, count) => sum + count, 0);
}

function healthOf(below: ControllerStatus['below'], holes: number, followedMs: readonly number[], q: number): Health {
  if (followedMs.filter((atMs) => atMs > 0).length < q) return 'learning';
  if (below.kPlus1 > 0) return 'endangered';
  if (below.q > 0 || holes > 0) return 'degraded';
  return below.n > 0 ? 'unconfirmed' : 'whole';
}

function wordsOf(status: Omit<ControllerStatus, 'words'>, { n, k }: Geometry): readonly string[] {
  const { versions, below, repair, authority, audits, health } = status;
  const words = [healthWords(health, versions, below, n, k)];
  if (repair.holes > 0) {
    const behind = status.behind.length === 0 ? '' : `; more may come, as the log of node ${status.behind.join(', ')} is not read to its end`;
    const eta = repair.etaMs === null ? 'nothing moves now' : `about ${duration(repair.etaMs)} left at ${repair.cellsPerSecond.toFixed(1)} cells a second`;
    words.push(`${repair.holes} cells of ${repair.queued} versions are lost or not known to be there; ${eta}${behind}`);
  }
  if (authority.fault !== null) words.push(`repair waits for a gateway's authority: ${authority.fault}`);
  for (const audit of audits) words.push(`node ${audit.slot}: ${audit.statement}`);
  return words;
}

function healthWords(health: Health, versions: number, below: ControllerStatus['below'], n: number, k: number): string {
  switch (health) {
    case 'learning':
      return 'too few logs have been followed yet to say how the cluster is';
    case 'endangered':
      return `ENDANGERED: ${below.kPlus1} of ${versions} versions have no more than the ${k} cells that restore them`;
    case 'degraded':
      return `degraded: ${below.n} of ${versions} versions have fewer than ${n} confirmed cells a stripe, ${below.q} fewer than a quorum`;
    case 'unconfirmed':
      return `${below.n} of ${versions} versions are not confirmed on all ${n} nodes yet`;
    case 'whole':
      return versions === 0 ? 'nothing is stored yet' : `whole: all ${versions} versions are confirmed on all ${n} nodes`;
  }
}

/** For a person. */
export function duration(ms: number): string {
  const seconds = Math.round(ms / 1000);
  if (seconds < 90) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return `${minutes} min`;
  const hours = Math.round(minutes / 60);
  return hours < 48 ? `${hours} h` : `${Math.round(hours / 24)} days`;
}
