/** The judge of histories must let every possible one pass and no other. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { judge } from './linearizability.ts';
import type { Operation, Value } from './linearizability.ts';

const write = (value: Value, from: number, to: number): Operation => ({ kind: 'write', value, from, to });
const swap = (expects: Value, value: Value, from: number, to: number): Operation => ({ kind: 'write', value, expects, from, to });
const differs = (value: Value, from: number, to: number): Operation => ({ kind: 'differs', value, from, to });
const read = (value: Value, from: number, to: number): Operation => ({ kind: 'read', value, from, to });

describe('the judge of histories', () => {
  it.each<[string, Operation[]]>([
    ['nothing', []],
    ['a read of what was written', [write('a', 0, 1), read('a', 2, 3)]],
    ['either value while a write is under way', [write('a', 0, 1), write('b', 2, 9), read('a', 3, 4), read('b', 5, 6), read('b', 10, 11)]],
    ['an unknown write that was never seen', [write('a', 0, 1), write('b', 2, Infinity), read('a', 3, 4)]],
    ['an unknown write that takes effect late', [write('a', 0, 1), write('b', 2, Infinity), read('a', 3, 4), write('c', 5, 6), read('b', 7, 8)]],
    ['a deletion', [write('a', 0, 1), write(null, 2, 3), read(null, 4, 5)]],
    ['an unknown deletion', [write('a', 0, 1), write(null, 2, Infinity), read('a', 3, 4), read(null, 5, 6)]],
    ['a swap of what is there, and one that is declined', [swap(null, 'a', 0, 1), differs(null, 2, 3), swap('a', 'b', 4, 5), differs('a', 6, 7), read('b', 8, 9)]],
    ['one of two swaps that race', [write('a', 0, 1), swap('a', 'b', 2, 9), differs('a', 3, 8), read('b', 10, 11)]],
    ['an unknown swap that was seen by a declined one', [write('a', 0, 1), swap('a', 'b', 2, Infinity), differs('a', 3, 4)]],
    ['reads that overlap and differ', [write('a', 0, 1), write('b', 2, 10), read('b', 3, 9), read('a', 4, 8)]],
  ])('lets pass: %s', (_, history) => {
    expect(judge(history)).toEqual({ ok: true });
  });

  it.each<[string, Operation[]]>([
    ['two swaps of one value', [write('a', 0, 1), swap('a', 'b', 2, 3), swap('a', 'c', 4, 5)]],
    ['two racing swaps of one value', [write('a', 0, 1), swap('a', 'b', 2, 9), swap('a', 'c', 3, 8)]],
    ['two that must both be the first', [swap(null, 'a', 0, 9), swap(null, 'b', 1, 8)]],
    ['a condition that was declined although it held', [write('a', 0, 1), differs('a', 2, 3)]],
    ['an unknown swap of a value that has gone', [write('a', 0, 1), swap('a', 'b', 2, Infinity), write('c', 3, 4), read('c', 5, 6), read('b', 7, 8)]],
    ['a lost write', [write('a', 0, 1), read(null, 2, 3)]],
    ['a stale read', [write('a', 0, 1), write('b', 2, 3), read('a', 4, 5)]],
    ['a read that goes back', [write('a', 0, 1), write('b', 2, 20), read('b', 3, 4), read('a', 5, 6)]],
    ['a read that goes back behind an unknown write', [write('a', 0, 1), write('b', 2, Infinity), read('b', 3, 4), read('a', 5, 6)]],
    ['a write that is applied twice', [write('a', 0, 1), read('a', 2, 3), write('b', 4, 5), read('b', 6, 7), read('a', 8, 9)]],
    ['an unknown write that is applied twice', [write('a', 0, Infinity), read('a', 2, 3), write('b', 4, 5), read('a', 6, 7), read('b', 8, 9)]],
    ['a value that nobody wrote', [write('a', 0, 1), read('x', 2, 3)]],
    ['a value before it was written', [read('a', 0, 1), write('a', 2, 3)]],
    ['a deleted value that returns', [write('a', 0, 1), write(null, 2, 3), read('a', 4, 5)]],
  ])('refuses: %s', (_, history) => {
    expect(judge(history)).toMatchObject({ ok: false });
  });

  it('lets pass every history of a real register, and refuses it with one read changed', () => {
    const steps = fc.array(fc.record({ isWrite: fc.boolean(), lead: fc.nat(30), lag: fc.nat(30), isKnown: fc.boolean() }), { minLength: 2, maxLength: 60 });
    fc.assert(
      fc.property(steps, fc.nat(), (plan, choice) => {
        let value: Value = null;
        const history = plan.map(({ isWrite, lead, lag, isKnown }, index): Operation => {
          // Each takes effect at 10 * index, somewhere inside its interval.
          if (isWrite) value = `v${index}`;
          const to = isWrite && !isKnown ? Infinity : 10 * index + lag;
          return { kind: isWrite ? 'write' : 'read', value, from: 10 * index - lead, to };
        });
        expect(judge(history)).toEqual({ ok: true });
        const reads = history.filter(({ kind, value: seen }) => kind === 'read' && seen !== null);
        const victim = reads[choice % Math.max(1, reads.length)];
        if (victim === undefined) return;
        const before = history.filter(({ kind, to }) => kind === 'write' && to < victim.from);
        if (before.length === 0) return;
        expect(judge(history.map((operation) => (operation === victim ? { ...victim, value: null } : operation)))).toMatchObject({ ok: false });
      }),
    );
  });

  it('judges a long history in a moment', () => {
    const history: Operation[] = [];
    for (let index = 0; index < 4_000; index += 1) {
      history.push(write(`v${index}`, 10 * index, index % 50 === 0 ? Infinity : 10 * index + 8));
      for (const lead of [1, 2, 3]) history.push(read(`v${index}`, 10 * index + lead, 10 * index + 9 + lead));
    }
    expect(judge(history)).toEqual({ ok: true });
  });
});
