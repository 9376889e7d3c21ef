/**
 * How many random challenges tell how much (protocol 6.8). A node that has lost a share of its cells passes a
 * number of challenges, drawn uniformly and without repetition among all its cells, with a probability that
 * follows by counting; the plan asks so many that it is below a stated bound. Pure arithmetic.
 *
 * What the statement rests on: the loss was there when the challenges were drawn, and whoever chose what to
 * lose did not know the draw. It speaks of cells, not of objects: a loss of fewer cells than the stated share
 * may go unnoticed for longer.
 */
import { assert } from '../base/assert.ts';
import type { Random } from '../base/ports.ts';

export interface AuditGoal {
  /** A loss of this share of a node's cells is to be found. */
  readonly lossShare: number;
  /** At most with this probability it is not. */
  readonly missProbability: number;
  /** Within so long. */
  readonly periodMs: number;
}

export const DEFAULT_AUDIT_GOAL: AuditGoal = { lossShare: 0.01, missProbability: 1e-6, periodMs: 7 * 24 * 3600 * 1000 };

/** Cells that are lost when `lossShare` of them are. */
export function lostCells(population: number, lossShare: number): number {
  return Math.min(population, Math.max(1, Math.ceil(population * lossShare)));
}

/** The probability that `samples` distinct cells, drawn uniformly from `population`, meet none of `lost`. */
export function missProbability(population: number, lost: number, samples: number): number {
  if (lost <= 0) return 1;
  if (samples > population - lost) return 0;
  let missed = 1;
  for (let drawn = 0; drawn < samples; drawn += 1) missed *= (population - lost - drawn) / (population - drawn);
  return missed;
}

/** The fewest distinct cells to draw so that a loss of the goal's share is missed at most with its probability. */
export function samplesNeeded(population: number, goal: Pick<AuditGoal, 'lossShare' | 'missProbability'>): number {
  if (population <= 0) return 0;
  const lost = lostCells(population, goal.lossShare);
  let missed = 1;
  let samples = 0;
  while (missed > goal.missProbability && samples <= population - lost) {
    missed *= (population - lost - samples) / (population - samples);
    samples += 1;
  }
  return samples;
}

/** A whole number from 0 up to but not including `bound`, each equally likely. */
export function uniformBelow(random: Random, bound: number): number {
  assert(bound >= 1 && Number.isSafeInteger(bound), 'there is something to draw from');
  // Above the largest multiple of the bound a draw would favour the small numbers: drawn again.
  const range = 2 ** 48;
  const limit = range - (range % bound);
  for (;;) {
    const bytes = random.bytes(6);
    let drawn = 0;
    for (const byte of bytes) drawn = drawn * 256 + byte;
    if (drawn < limit) return drawn % bound;
  }
}

/**
 * How long to wait before the next of `left` challenges, so that they fill the time that is left. Drawn around
 * the mean: who could tell when the next one comes could be honest just then.
 */
export function pauseMs(random: Random, left: number, timeLeftMs: number): number {
  if (left <= 0) return timeLeftMs;
  const mean = timeLeftMs / left;
  return (mean * (500 + uniformBelow(random, 1001))) / 1000;
}

/** What has been asked of a node in one period. */
export interface AuditTally {
  readonly population: number;
  readonly needed: number;
  /** Answered with the right cell. */
  readonly held: number;
  /** Signed lacks and wrong cells. */
  readonly failed: number;
  /** Asked, and not answered yet; they are asked again. */
  readonly open: number;
  /** Cells that are known to be lost, or not known to be there: they are not drawn. */
  readonly missing: number;
}

/** The tally in words. */
export function confidenceText({ population, needed, held, failed, open, missing }: AuditTally, goal: AuditGoal): string {
  if (population === 0) return missing === 0 ? 'holds no cells yet' : `none of its ${missing} cells is known to be there`;
  const share = `${trim(goal.lossShare * 100)} %`;
  const unanswered = open === 0 ? '' : `; ${open} challenges are unanswered and do not count`;
  const waiting = missing === 0 ? unanswered : `${unanswered}; ${missing} more cells are lost or not known to be there`;
  if (failed > 0) return `loss found: ${failed} of ${held + failed} challenges found no good cell${waiting}`;
  if (held === 0) return `no challenge has been answered yet (0 of ${needed})${waiting}`;
  if (held >= population) return `every one of its ${population} cells was asked for and shown${waiting}`;
  const missed = missProbability(population, lostCells(population, goal.lossShare), held);
  const sure = `loss of ${share} of its ${population} cells would have been found with probability 1 - ${exponent(missed)}`;
  return held >= needed ? `${sure}${waiting}` : `so far ${sure} (${held} of ${needed} challenges)${waiting}`;
}

function trim(value: number): string {
  return String(Number(value.toPrecision(3)));
}

function exponent(probability: number): string {
  if (probability === 0) return '0';
  if (probability >= 0.01) return probability.toFixed(2);
  return probability.toExponential(1).replace('e-', '·10^-');
}
