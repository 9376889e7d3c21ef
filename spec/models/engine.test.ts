import { describe, expect, it } from 'vitest';
import { check, checkWithPauses, describeOutcome, step } from './engine.ts';
import type { Model } from './engine.ts';

/** A robot on a line of numbers from 0 up to `end`: one step right, or a jump of three. */
function walk(end: number, invariants: Model<number>['invariants'] = {}): Model<number> {
  return {
    name: 'walk',
    initial: [0],
    *next(at) {
      for (const [label, to] of [['step', at + 1], ['jump', at + 3]] as const) if (to <= end) yield step(label, to);
    },
    key: String,
    invariants,
  };
}

describe('the checker', () => {
  it('visits every state that can be reached, once', () => {
    expect(check(walk(100))).toEqual({ kind: 'clean', states: 101, transitions: 100 + 98 });
  });

  it('finds a violation and shows a shortest way there', () => {
    const outcome = check(walk(100, { 'never at 7': (at) => at !== 7, 'never at 50': (at) => at !== 50 }));
    expect(outcome).toMatchObject({ kind: 'violated', invariant: 'never at 7' });
    // 7 = 3 + 3 + 1, in three steps and not in seven.
    expect(outcome.kind === 'violated' ? outcome.trace.toSorted() : []).toEqual(['jump', 'jump', 'step']);
  });

  it('finds a violation in the state where all begins', () => {
    expect(check(walk(5, { 'never at 0': (at) => at !== 0 }))).toMatchObject({ kind: 'violated', trace: [], states: 1 });
  });

  it('finds a dead end that misses the goal, and lets an end be that meets it', () => {
    const jumps: Model<number> = { ...walk(5), *next(at) { if (at + 3 <= 5) yield step('jump', at + 3); } };
    expect(check({ ...jumps, goal: (at) => at === 5 })).toEqual({ kind: 'dead end', trace: ['jump'], states: 2, transitions: 1 });
    expect(check({ ...jumps, goal: (at) => at === 3 }).kind).toBe('clean');
    expect(check(jumps).kind).toBe('clean');
  });

  it('does not pass a model as clean that has more states than the limit', () => {
    const outcome = check(walk(100), { statesMax: 100 });
    expect(outcome.kind).toBe('state limit');
    expect(describeOutcome(outcome)).toContain('nothing is shown');
    expect(check(walk(100), { statesMax: 101 }).kind).toBe('clean');
  });

  it('looks at the invariants of the last state before the limit, too', () => {
    expect(check(walk(100, { 'never at 100': (at) => at !== 100 }), { statesMax: 100 }).kind).toBe('violated');
  });

  it('takes states with equal keys for one: a key that merges too much is the mistake of the model', () => {
    const merged: Model<number> = { ...walk(100, { 'never at 7': (at) => at !== 7 }), key: (at) => String(at % 2) };
    expect(check(merged)).toEqual({ kind: 'clean', states: 2, transitions: 4 });
  });

  it('starts from every initial state and tells which steps led on from there', () => {
    const outcome = check({ ...walk(20, { 'never at 16': (at) => at !== 16 }), initial: [0, 15] });
    expect(outcome).toMatchObject({ kind: 'violated', trace: ['step'] });
  });

  it('finds the same with pauses', async () => {
    // Long enough for a pause or two.
    expect(await checkWithPauses(walk(50_000))).toEqual(check(walk(50_000)));
  });

  it('puts a counterexample into words, one line a step', () => {
    const text = describeOutcome(check(walk(100, { 'never at 4': (at) => at !== 4 })));
    expect(text.split('\n')).toHaveLength(3);
    expect(text).toContain('violates "never at 4" after 2 steps');
  });
});
