/** Each strategy by itself: with up to f nodes that follow it and nothing else, and then with faults besides. */
import { describe, expect, it } from 'vitest';
import { strategyNames } from '../../src/sim/adversaries/strategies.ts';
import { makeScenario } from '../../src/sim/scenario.ts';
import { simulate } from '../../src/sim/simulation.ts';
import { IS_SLOW } from '../slow.ts';
import { endOfTurn } from './end-of-turn.ts';

const SEEDS = IS_SLOW ? 30 : 1;
const RUN_MS = 300_000;

describe.each(strategyNames)('%s', (adversary) => {
  it('delays, and breaks nothing', async () => {
    for (let seed = 1; seed <= SEEDS; seed += 1) {
      const lies = makeScenario(seed, { adversary, buckets: 'plain', operations: 60, calm: true });
      expect((await simulate(lies, endOfTurn)).violations, `seed ${seed} without other faults`).toEqual([]);
      const all = makeScenario(seed, { adversary, buckets: 'plain', operations: 60 });
      expect((await simulate(all, endOfTurn)).violations, `seed ${seed}`).toEqual([]);
    }
  }, RUN_MS);
});
