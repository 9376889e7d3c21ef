/** A run is its seed: the same events, to the byte, every time; and a smaller part of it runs as well. */
import { describe, expect, it } from 'vitest';
import { makeScenario } from '../../src/sim/scenario.ts';
import { reduced } from '../../src/sim/shrink.ts';
import { simulate } from '../../src/sim/simulation.ts';
import { endOfTurn } from './end-of-turn.ts';

const RUN_MS = 60_000;

describe('a run', () => {
  it.each([3, 17, 40, 2026])('of seed %i has one digest', async (seed) => {
    const [one, other] = [await simulate(makeScenario(seed), endOfTurn), await simulate(makeScenario(seed), endOfTurn)];
    expect(other.digest).toBe(one.digest);
    expect(other.timeline).toEqual(one.timeline);
    expect(one.events).toBeGreaterThan(500);
  }, RUN_MS);

  it('of another seed, or with a fault less, is another', async () => {
    const scenario = makeScenario(17);
    expect(scenario.faults.length).toBeGreaterThan(2);
    const faults = scenario.faults.map((_, index) => index).slice(1);
    const runs = [scenario, makeScenario(18), reduced(scenario, { faults }), reduced(scenario, { steps: 3 })];
    const digests = [];
    for (const run of runs) digests.push((await simulate(run, endOfTurn)).digest);
    expect(new Set(digests).size).toBe(runs.length);
  }, RUN_MS);
});
