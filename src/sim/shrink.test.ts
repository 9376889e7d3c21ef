import { describe, expect, it } from 'vitest';
import { makeScenario } from './scenario.ts';
import type { Scenario } from './scenario.ts';
import { reduced, replayArguments, shrink } from './shrink.ts';

/** Many faults, several clients. */
function someScenario(): Scenario {
  for (let seed = 1; ; seed += 1) {
    const scenario = makeScenario(seed);
    if (scenario.faults.length > 12 && scenario.clients.length > 2) return scenario;
  }
}

describe('shrink', () => {
  it('keeps the faults and the client that matter, and nothing else', async () => {
    const scenario = someScenario();
    const [second, ninth] = [scenario.faults[1], scenario.faults[8]];
    const fails = ({ faults, clients }: Scenario): Promise<boolean> =>
      Promise.resolve(faults.includes(second!) && faults.includes(ninth!) && (clients[1]?.length ?? 0) >= 3);
    const { kept, runs } = await shrink(scenario, fails);
    expect(kept.faults).toEqual([1, 8]);
    expect(kept.clients).toEqual([1]);
    expect(kept.thefts ?? 0).toBe(0);
    expect(kept.steps).toBeLessThanOrEqual(6);
    expect(await fails(reduced(scenario, kept))).toBe(true);
    expect(runs).toBeLessThanOrEqual(80);
  });

  it('leaves a run that nothing can be taken from as it is, within its bound', async () => {
    const scenario = someScenario();
    const { kept, runs } = await shrink(scenario, (smaller) => Promise.resolve(smaller.faults.length === scenario.faults.length && smaller.clients.every((steps, i) => steps.length === scenario.clients[i]?.length)), 30);
    expect(reduced(scenario, kept).faults).toEqual(scenario.faults);
    expect(reduced(scenario, kept).clients).toEqual(scenario.clients);
    expect(runs).toBeLessThanOrEqual(30);
  });

  it('tells how to replay what is kept', () => {
    expect(replayArguments(7, {})).toBe('--seed 7');
    expect(replayArguments(7, { faults: [1, 8], clients: [], steps: 3, thefts: 0 })).toBe('--seed 7 --faults 1,8 --clients none --steps 3 --thefts 0');
  });
});
