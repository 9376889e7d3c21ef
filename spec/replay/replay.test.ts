/**
 * What the models say, asked of the implementation: ways through the models are walked with real storage nodes,
 * request by request, and each answer must be the one of the model. The large bounds with `npm run test:full`.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { IS_SLOW } from '../../test/slow.ts';
import { SeededRandom } from '../../src/sim/seeded-random.ts';
import { orderedStamps } from '../models/acceptance.ts';
import { check } from '../models/engine.ts';
import { nodeModel } from '../models/node.ts';
import { register } from '../models/register.ts';
import type { RegisterOptions } from '../models/register.ts';
import { initialOf, retrace, tours, walk, waysOf } from './paths.ts';
import { ReplayWorld } from './real-node.ts';
import { replayNode } from './replay-node.ts';
import { replayRegister } from './replay-register.ts';
import type { RegisterWays, Way } from './replay-register.ts';

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

function registerWays(name: string, options: RegisterOptions, choose: (model: ReturnType<typeof register>) => readonly Way[]): RegisterWays {
  const model = register(name, options);
  const { writers = 2, counterMax = 2, byzantineWriter = false } = options;
  return { name, initial: initialOf(model), stamps: orderedStamps(writers, counterMax), values: byzantineWriter ? 2 : 1, ways: choose(model) };
}

const LONG = 60;

const randomWays = (name: string, options: RegisterOptions): RegisterWays =>
  registerWays(name, options, (model) => {
    const random = new SeededRandom(`ways of ${name}`);
    return Array.from({ length: IS_SLOW ? 1_000 : 40 }, (_, i) => walk(model, random.fork(`${i}`), LONG));
  });

describe.each<[string, { readonly n: number; readonly f: number; readonly k: number }, readonly (readonly [string, RegisterOptions])[]]>([
  [
    'n=4 f=1 k=2',
    { n: 4, f: 1, k: 2 },
    [
      ['two writers', {}],
      ['a malicious writer', { byzantineWriter: true, counterMax: 1 }],
      ['guessed counters', { guessedCounter: true }],
    ],
  ],
  ['n=5 f=1 k=3', { n: 5, f: 1, k: 3 }, [['two writers of five', {}]]],
  ['n=7 f=2 k=3', { n: 7, f: 2, k: 3 }, [['one writer of seven', { writers: 1, writesEach: 2 }]]],
])('the nodes of a register, %s', (_, geometry, kinds) => {
  let replay: ReplayWorld;
  beforeAll(async () => {
    replay = await ReplayWorld.start(geometry);
  });
  afterAll(() => replay.world.stop());

  it.each(kinds)('every short way: %s', async (name, options) => {
    const short = registerWays(`short, ${name}`, { ...options, ...geometry }, (model) => Array.from(waysOf(model, IS_SLOW ? 5 : 4)));
    const { divergences } = await replayRegister(replay, short);
    expect(divergences).toEqual([]);
    expect(short.ways.length).toBeGreaterThan(20);
  }, REPLAY_MS);

  it.each(kinds)('random long ways: %s', async (name, options) => {
    const { divergences, compared } = await replayRegister(replay, randomWays(name, { ...options, ...geometry }));
    expect(divergences).toEqual([]);
    for (const what of ['PREPARE', 'COMMIT', 'QUERY', 'FETCH', 'read', ...(name === 'two writers' ? ['refusal'] : [])]) {
      expect(compared.get(what), what).toBeGreaterThan(5);
    }
  }, REPLAY_MS);
});

describe('the nodes of a register do not follow a model', () => {
  let replay: ReplayWorld;
  beforeAll(async () => {
    replay = await ReplayWorld.start({ n: 4, f: 1, k: 2 });
  });
  afterAll(() => replay.world.stop());

  it.each<[string, RegisterOptions, string]>([
    ['that forgets after GC, without P6', { byzantineWriter: true, broken: { noP6: true } }, 'SUPERSEDED'],
    ['that accepts two manifests of one stamp, without P8', { byzantineWriter: true, broken: { noP8: true } }, 'EQUIVOCATION'],
    ['in which a guessed counter is below a certificate, without P6', { guessedCounter: true, broken: { noP6: true }, clientsOnly: true }, 'SUPERSEDED'],
    ['that lets a disk go back', { broken: { diskRollback: true }, clientsOnly: true }, 'instead of nothing'],
  ])('%s', async (name, options, difference) => {
    const ways = registerWays(name, options, (model) => {
      const outcome = check(model);
      if (outcome.kind !== 'violated') throw new Error(`the model is ${outcome.kind}`);
      return [retrace(model, outcome.trace)];
    });
    const { divergences } = await replayRegister(replay, ways);
    expect(divergences).toHaveLength(1);
    expect(divergences[0]).toContain(difference);
  }, REPLAY_MS);
});
