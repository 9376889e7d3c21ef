/**
 * What the models say, asked of the implementation: ways through the models are walked with real storage nodes,
 * request by request, and each answer must be the one of the model. The large bounds with `npm run test:full`.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { IS_SLOW } from '../../test/slow.ts';
import { check } from '../models/engine.ts';
import { nodeModel } from '../models/node.ts';
import { tours } from './paths.ts';
import { ReplayWorld } from './real-node.ts';
import { replayNode } from './replay-node.ts';

const REPLAY_MS = 5 * 60_000;

describe('a node that is asked everything in every state', () => {
  let replay: ReplayWorld;
  beforeAll(async () => {
    replay = await ReplayWorld.start({ n: 4, f: 1, k: 2 });
  });
  afterAll(() => replay.world.stop());

  const small = nodeModel('two stamps, three manifests of the first', { counterMax: 1, values: 3 });
  const large = nodeModel('four stamps, two manifests of two', { counterMax: 2, values: 2 });

  it('is a model without a fault, and the ways take all of its transitions', () => {
    const outcome = check(small);
    expect(outcome).toEqual({ kind: 'clean', states: 35, transitions: 490 });
    const taken = new Set(tours(small).flatMap((way) => way.map((step, i) => `${small.key(way[i - 1]?.state ?? small.initial[0] ?? step.state)} ${step.label}`)));
    expect(taken.size).toBe(outcome.transitions);
  });

  it('answers as the model says', async () => {
    const { divergences, requests } = await replayNode(replay, small, tours(small), false);
    expect(divergences).toEqual([]);
    expect(requests).toBeGreaterThan(490);
  }, REPLAY_MS);

  it('answers as the model says, though it is killed after each answer', async () => {
    const { divergences, restarts } = await replayNode(replay, nodeModel('with restarts', { counterMax: 1, values: 2 }), tours(nodeModel('', { counterMax: 1, values: 2 })), true);
    expect(divergences).toEqual([]);
    expect(restarts).toBeGreaterThan(5);
  }, REPLAY_MS);

  it.skipIf(!IS_SLOW)('answers as the model says, within larger bounds', async () => {
    expect((await replayNode(replay, large, tours(large), false)).divergences).toEqual([]);
  }, REPLAY_MS);

  it.each([
    ['P6', { noP6: true }, 'SUPERSEDED'],
    ['P8', { noP8: true }, 'EQUIVOCATION'],
    ['its promises of NEVER', { forgetsNever: true }, 'CONFLICT'],
  ])('does not follow a model without %s', async (rule, broken, code) => {
    const model = nodeModel(`without ${rule}`, { counterMax: 1, values: 2, broken });
    const { divergences } = await replayNode(replay, model, tours(model), false);
    expect(divergences.join('\n')).toMatch(new RegExp(`PREPARE [\\d.]+: ${code}.* instead of receipt`));
  }, REPLAY_MS);
});
