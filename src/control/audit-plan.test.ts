import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SeededRandom } from '../sim/seeded-random.ts';
import { confidenceText, DEFAULT_AUDIT_GOAL, lostCells, missProbability, pauseMs, samplesNeeded, uniformBelow } from './audit-plan.ts';

const population = fc.integer({ min: 1, max: 200_000 });
const share = fc.double({ min: 0.001, max: 1, noNaN: true });
const miss = fc.double({ min: 1e-9, max: 0.5, noNaN: true });

describe('how many challenges an audit needs', () => {
  it('are enough: a loss of the share is missed at most with the probability of the goal, and one less is not', () => {
    fc.assert(
      fc.property(population, share, miss, (cells, lossShare, bound) => {
        const goal = { lossShare, missProbability: bound };
        const samples = samplesNeeded(cells, goal);
        const lost = lostCells(cells, lossShare);
        expect(samples).toBeLessThanOrEqual(cells);
        expect(missProbability(cells, lost, samples)).toBeLessThanOrEqual(bound * (1 + 1e-9));
        expect(missProbability(cells, lost, samples - 1)).toBeGreaterThan(bound * (1 - 1e-9));
      }),
    );
  });

  it('are never more than draws that may repeat would need, whatever the size', () => {
    const repeating = Math.ceil(Math.log(1e-6) / Math.log(0.99));
    expect(repeating).toBe(1375);
    fc.assert(fc.property(population, (cells) => samplesNeeded(cells, DEFAULT_AUDIT_GOAL) <= repeating));
    // For many cells they come to that.
    expect(samplesNeeded(100_000_000, DEFAULT_AUDIT_GOAL)).toBe(repeating);
  });

  it('are all cells but those that may be lost where there are few', () => {
    expect(samplesNeeded(0, DEFAULT_AUDIT_GOAL)).toBe(0);
    expect(samplesNeeded(1, DEFAULT_AUDIT_GOAL)).toBe(1);
    expect(samplesNeeded(100, DEFAULT_AUDIT_GOAL)).toBe(100);
    expect(samplesNeeded(200, DEFAULT_AUDIT_GOAL)).toBeLessThanOrEqual(200);
  });

  it('miss with the probability that counting all draws gives', () => {
    // 3 of 10 without one of 2: C(8,3) / C(10,3).
    expect(missProbability(10, 2, 3)).toBeCloseTo(56 / 120, 12);
    expect(missProbability(10, 2, 9)).toBe(0);
    expect(missProbability(10, 0, 9)).toBe(1);
  });
});

describe('drawing', () => {
  it('gives each number as often as any other', () => {
    const random = new SeededRandom('seven');
    const counts = Array.from({ length: 7 }, () => 0);
    for (let i = 0; i < 7000; i += 1) {
      const drawn = uniformBelow(random, 7);
      counts[drawn] = (counts[drawn] ?? 0) + 1;
    }
    // Six standard deviations around 1000.
    for (const count of counts) expect(Math.abs(count - 1000)).toBeLessThan(6 * Math.sqrt(1000 * (6 / 7)));
  });

  it('fills the time that is left on average, and tells nobody when', () => {
    const random = new SeededRandom('eight');
    const pauses = Array.from({ length: 2000 }, () => pauseMs(random, 100, 100_000));
    const mean = pauses.reduce((sum, one) => sum + one, 0) / pauses.length;
    expect(mean).toBeGreaterThan(950);
    expect(mean).toBeLessThan(1050);
    expect(new Set(pauses).size).toBeGreaterThan(100);
    expect(Math.min(...pauses)).toBeGreaterThanOrEqual(500);
  });
});

describe('what is said of it', () => {
  const tally = { population: 50_000, needed: 1358, held: 0, failed: 0, open: 0, missing: 0 };

  it('does not claim more than was asked', () => {
    expect(confidenceText({ ...tally, held: 100 }, DEFAULT_AUDIT_GOAL)).toBe(
      'so far loss of 1 % of its 50000 cells would have been found with probability 1 - 0.37 (100 of 1358 challenges)',
    );
    expect(confidenceText({ ...tally, held: 1358 }, DEFAULT_AUDIT_GOAL)).toMatch(/^loss of 1 % of its 50000 cells would have been found with probability 1 - \d\.\d·10\^-7$/);
  });

  it('says so when something was found, and what does not count', () => {
    expect(confidenceText({ ...tally, held: 5, failed: 2, open: 1 }, DEFAULT_AUDIT_GOAL)).toBe(
      'loss found: 2 of 7 challenges found no good cell; 1 challenges are unanswered and do not count',
    );
    expect(confidenceText({ ...tally, held: 5, missing: 9 }, DEFAULT_AUDIT_GOAL)).toMatch(/; 9 more cells are lost or not known to be there$/);
    expect(confidenceText({ ...tally, population: 0, missing: 9 }, DEFAULT_AUDIT_GOAL)).toBe('none of its 9 cells is known to be there');
    expect(confidenceText({ population: 3, needed: 3, held: 3, failed: 0, open: 0, missing: 0 }, DEFAULT_AUDIT_GOAL)).toBe('every one of its 3 cells was asked for and shown');
  });
});
