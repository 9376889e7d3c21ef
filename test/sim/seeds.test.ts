/**
 * Whole clusters in the simulator, over a fixed set of seeds: nodes crash, lose power and contact, up to f of
 * them lie, rot and are rolled back, writers' keys are stolen, and what clients saw must still be explained
 * by one register a key. `npm run sim` runs as many others as one likes.
 */
import { describe, expect, it } from 'vitest';
import { makeScenario } from '../../src/sim/scenario.ts';
import { simulate } from '../../src/sim/simulation.ts';
import { IS_SLOW } from '../slow.ts';
import { endOfTurn } from './end-of-turn.ts';

const SEEDS = IS_SLOW ? 600 : 20;
const CONDITIONAL_SEEDS = IS_SLOW ? 200 : 10;
const FRONT_SEEDS = IS_SLOW ? 8 : 2;
const BLOCK = 10;
const BLOCK_MS = 120_000;

/** Runs that once found a fault of the product. */
const FOUND: readonly { readonly theme: string | undefined; readonly seed: number; readonly adversary?: string; readonly what: string }[] = [
  { theme: undefined, seed: 9, what: 'a write that others completed while its gateway was paused is applied once' },
  { theme: 'versions', seed: 4, what: 'a version is read by its id although a node that missed it has a higher one' },
  { theme: 'locks', seed: 2, what: 'a locked version is not ended from another bucket or generation' },
  { theme: 'locks', seed: 107, adversary: 'evicts-what-is-locked', what: 'what was removed by something that was removed itself stops no listing' },
];

describe('a cluster under faults', () => {
  const blocks = Array.from({ length: SEEDS / BLOCK }, (_, block) => block * BLOCK);
  it.each(blocks)('keeps every promise for the ten seeds from %i', async (first) => {
    for (let seed = first; seed < first + BLOCK; seed += 1) {
      const { violations, counts } = await simulate(makeScenario(seed, { buckets: 'plain' }), endOfTurn);
      expect(violations, `npm run sim -- --buckets plain --seed ${seed}`).toEqual([]);
      // A run in which nothing got through would prove nothing.
      expect(counts.acknowledged + counts.reads, `seed ${seed}`).toBeGreaterThan(20);
    }
  }, BLOCK_MS);

  const conditional = Array.from({ length: CONDITIONAL_SEEDS / BLOCK }, (_, block) => block * BLOCK);
  it.each(conditional)('decides each condition once, for the ten seeds of serialised buckets from %i', async (first) => {
    let declined = 0;
    for (let seed = first; seed < first + BLOCK; seed += 1) {
      const { violations, counts } = await simulate(makeScenario(seed, { theme: 'conditions' }), endOfTurn);
      expect(violations, `npm run sim -- --theme conditions --seed ${seed}`).toEqual([]);
      expect(counts.acknowledged, `seed ${seed}`).toBeGreaterThan(0);
      declined += counts.declined;
    }
    // Conditions that always held would prove nothing.
    expect(declined).toBeGreaterThan(20);
  }, BLOCK_MS);

  const fronts = ['versions', 'locks', 'stalls'].flatMap((theme) => Array.from({ length: FRONT_SEEDS }, (_, at) => ({ theme, seed: at + 1 })));
  it.each(fronts)('keeps what serialised buckets promise: $theme, seed $seed', async ({ theme, seed }) => {
    const { violations } = await simulate(makeScenario(seed, { theme }), endOfTurn);
    expect(violations, `npm run sim -- --theme ${theme} --seed ${seed}`).toEqual([]);
  }, BLOCK_MS);

  it.each(FOUND)('$what', async ({ theme, seed, adversary }) => {
    const options = { ...(theme === undefined ? {} : { theme }), ...(adversary === undefined ? {} : { adversary }) };
    expect((await simulate(makeScenario(seed, options), endOfTurn)).violations).toEqual([]);
  }, BLOCK_MS);
});
