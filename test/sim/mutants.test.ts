/**
 * Does the simulator find what it is there for? Each mutant is the shipping code without one rule
 * (test/invariants/mutants.ts); within its budget of seeds a run must break a property. The fast run tries a
 * few, the slow run all that the simulator can see.
 */
import { describe, expect, it } from 'vitest';
import { mutants } from '../invariants/mutants.ts';
import { IS_SLOW } from '../slow.ts';
import { CAMPAIGN_MS, runCampaign } from './campaign-run.ts';
import { seedBudgets, unseen } from './mutant-budgets.ts';

const FAST = ['one-manifest-a-stamp', 'floor', 'guess-writes-again'];

describe('a mutant in the simulator', () => {
  it('each is known: its budget of seeds, or why the simulator cannot see it', () => {
    const known = [...Object.keys(seedBudgets), ...Object.keys(unseen)];
    expect(known.toSorted()).toEqual(mutants.map(({ id }) => id).toSorted());
  });

  it('forty are seen at least', () => {
    expect(Object.keys(seedBudgets).length).toBeGreaterThanOrEqual(40);
  });

  const tried = Object.entries(seedBudgets).filter(([id]) => IS_SLOW || FAST.includes(id));
  it.each(tried)('%s is caught', async (id, { seeds, theme, adversary }) => {
    const about = [...(theme === undefined ? [] : ['--theme', theme]), ...(adversary === undefined ? [] : ['--adversary', adversary, '--calm'])];
    const { failed } = await runCampaign(['--mutant', id, '--seeds', String(seeds), ...about, '--buckets', 'plain', '--first-failure']);
    expect(failed.length).toBe(1);
  }, CAMPAIGN_MS);
});
