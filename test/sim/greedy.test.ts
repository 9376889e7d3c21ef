/**
 * Is the adversary that adapts worth its score? Over the same seeds it must break more runs without a rule than
 * random faults do, for each of these rules; with the rules in place it breaks none (seeds.test.ts).
 */
import { describe, expect, it } from 'vitest';
import { IS_SLOW } from '../slow.ts';
import { CAMPAIGN_MS, runCampaign } from './campaign-run.ts';

const RULES = ['c-holders', 'write-back', 'listing-writes-back', 'winner-written-back'];
const RANDOM_THEMES = ['everything', 'contention', 'late certificates'];
const SEEDS = 40;

describe.runIf(IS_SLOW)('the greedy adversary', () => {
  it.each(RULES)('finds that the rule %s is gone more often than chance does', async (rule) => {
    const failures = async (theme: string): Promise<number> =>
      (await runCampaign(['--mutant', rule, '--theme', theme, '--seeds', String(SEEDS), '--buckets', 'plain'])).failed.length;
    const greedy = await failures('greedy');
    for (const theme of RANDOM_THEMES) expect(await failures(theme), theme).toBeLessThan(greedy);
  }, (1 + RANDOM_THEMES.length) * CAMPAIGN_MS);
});
