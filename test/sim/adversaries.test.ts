/**
 * Each strategy by itself: with up to f nodes that follow it and nothing else, and then with faults besides. Of
 * lies that their node has signed the gateways come by the proof, and by none against anybody else.
 */
import { describe, expect, it } from 'vitest';
import { PROVABLE, strategyNames } from '../../src/sim/adversaries/strategies.ts';
import type { ScenarioOptions } from '../../src/sim/scenario.ts';
import { makeScenario } from '../../src/sim/scenario.ts';
import { simulate } from '../../src/sim/simulation.ts';
import { IS_SLOW } from '../slow.ts';
import { endOfTurn } from './end-of-turn.ts';

const SEEDS = IS_SLOW ? 30 : 1;
const RUN_MS = 300_000;
/** Strategies that lie about what only some runs do. */
const ABOUT: Readonly<Record<string, ScenarioOptions>> = { 'evicts-what-is-locked': { theme: 'locks' } };

describe.each(strategyNames)('%s', (adversary) => {
  const about: ScenarioOptions = { buckets: 'plain', ...ABOUT[adversary] };

  it('delays, and breaks nothing', async () => {
    const caught = new Set<string>();
    const run = async (seed: number, options: ScenarioOptions, what: string): Promise<void> => {
      const result = await simulate(makeScenario(seed, { adversary, operations: 60, ...about, ...options }), endOfTurn);
      expect(result.violations, `seed ${seed}${what}`).toEqual([]);
      for (const kind of result.caught) caught.add(kind);
    };
    for (let seed = 1; seed <= SEEDS; seed += 1) {
      await run(seed, { calm: true }, ' without other faults');
      await run(seed, {}, '');
    }
    const proof = PROVABLE[adversary];
    if (proof !== undefined) expect([...caught], 'the lie is proven').toContain(proof);
  }, RUN_MS);
});
