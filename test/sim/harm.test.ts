/**
 * Is each strategy of the lying nodes worth its name? It must do harm when the defence against it is removed
 * (test/invariants/mutants.ts): in some run that an honest node in its place leaves whole. With the defence in
 * place it does none (adversaries.test.ts).
 */
import { describe, expect, it } from 'vitest';
import { strategyNames } from '../../src/sim/adversaries/strategies.ts';
import { IS_SLOW } from '../slow.ts';
import { CAMPAIGN_MS, runCampaign } from './campaign-run.ts';

interface Harm {
  /** The defences that are removed. */
  readonly without: readonly string[];
  /** Without one: no faults but the lies, and every operation must succeed. */
  readonly theme?: string;
  readonly seeds?: number;
}

const HARM: Readonly<Record<string, Harm>> = {
  'wrong-cells': { without: ['cell-verified'] },
  'wrong-rows': { without: ['row-verified'] },
  'other-cells': { without: ['row-verified'] },
  'other-cells-in-honest-rows': { without: ['cell-verified'] },
  forgetful: { without: ['quorum-of-replies'] },
  stale: { without: ['quorum-of-replies'] },
  'bad-receipts': { without: ['receipt-judged'] },
  'bad-certificates': { without: ['receipts-verify', 'manifest-verifies'] },
  'higher-versions': { without: ['receipts-verify', 'manifest-verifies'] },
  confused: { without: ['certificate-of-its-key'] },
  garbage: { without: ['quorum-without-f'] },
  denier: { without: ['another-is-asked'] },
  'denies-cells': { without: ['another-is-asked'] },
  'forks-its-log': { without: ['fork-is-evidence'] },
  'rolls-back-its-log': { without: ['rollback-is-evidence'] },
  'claims-to-be-full': { without: ['quorum-without-f'] },
  'refuses-some': { without: ['quorum-without-f'] },
  replays: { without: ['certificate-of-its-key'] },
  'withholds-certificates': { without: ['holders-without-f'] },
  'withholds-cells': { without: ['another-is-asked'] },
  silent: { without: ['quorum-without-f'] },
  late: { without: ['quorum-without-f'] },
  'two-faced': { without: ['quorum-of-replies'], seeds: 20 },
  fickle: { without: ['cell-verified'], seeds: 20 },
  'bad-acknowledgements': { without: ['acknowledgement-judged', 'c-holders'], theme: 'greedy' },
  'acknowledges-and-forgets': { without: ['c-holders'], theme: 'greedy' },
  'certifies-alone': { without: ['certificate-of-q'], theme: 'contention', seeds: 20 },
  'promises-all': { without: ['c-holders'], theme: 'greedy' },
  'signs-everything': { without: ['quorums-meet'], theme: 'theft', seeds: 16 },
  'swears-never': { without: ['licence-despite-liars'], theme: 'theft', seeds: 16 },
  'acknowledges-ahead': { without: ['places-are-checked'] },
  'denies-what-it-acknowledged': { without: ['forgetting-is-evidence'] },
  'invents-rows': { without: ['rows-are-evidence'], theme: 'uploads', seeds: 20 },
  'accepts-two': { without: ['two-receipts-are-evidence'] },
  'accepts-unlawful': { without: ['unlawful-receipts-are-evidence'] },
  'evicts-what-is-locked': { without: ['evictions-are-evidence'], theme: 'locks' },
  'signs-and-swears-never': { without: ['licence-despite-liars'], theme: 'theft', seeds: 16 },
};

const FAST = ['wrong-cells'];
const SEEDS = 8;

describe('without the defence', () => {
  it('each strategy is known', () => {
    expect([...Object.keys(HARM), 'honest'].toSorted()).toEqual([...strategyNames].toSorted());
  });

  const tried = Object.entries(HARM).filter(([name]) => IS_SLOW || FAST.includes(name));
  it.each(tried)('%s does harm', async (name, { without, theme, seeds = SEEDS }) => {
    const runs = ['--mutant', ...without, '--seeds', String(seeds), '--buckets', 'plain', ...(theme === undefined ? ['--calm'] : ['--theme', theme])];
    const { failed } = await runCampaign([...runs, '--adversary', name]);
    const honest = await runCampaign([...runs, '--adversary', 'honest']);
    const blameless = new Set(honest.failed.map(({ seed }) => seed));
    expect(failed.filter(({ seed }) => !blameless.has(seed)).length).toBeGreaterThan(0);
  }, 2 * CAMPAIGN_MS);
});
