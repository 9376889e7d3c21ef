/** The node of the models, one request after the other: what it may answer, and that P6 and P8 of the implementation say the same. */
import { describe, expect, it } from 'vitest';
import { EMPTY_KEY, follow } from '../../src/sim/checkers/register-automaton.ts';
import type { Head, KeyEvent, KeyState } from '../../src/sim/checkers/register-automaton.ts';
import { makeAcceptance, orderedStamps, realStamp } from './acceptance.ts';

const stamps = orderedStamps(2, 2);
const head = (stamp: number, value: number = 0): Head => ({ stamp: realStamp(stamps[stamp] ?? { counter: 0, writer: 0 }), hash: `${stamp}.${value}` });

/** The state after events that are all allowed. */
function after(...events: readonly KeyEvent[]): KeyState {
  let state = EMPTY_KEY;
  for (const event of events) {
    const followed = follow(state, event);
    if (!followed.ok) throw new Error(followed.reason);
    state = followed.state;
  }
  return state;
}

const prepared = (stamp: number, value?: number): KeyEvent => ({ type: 'PREPARED', head: head(stamp, value) });
const committed = (stamp: number, value?: number): KeyEvent => ({ type: 'COMMITTED', head: head(stamp, value) });

describe('what a node may write next', () => {
  it('is, for a manifest, exactly what P6 and P8 of the implementation let pass', () => {
    const accepts = makeAcceptance(stamps, { p6: true, p8: true });
    let allowed = 0;
    for (const maxStamp of stamps.keys()) {
      for (let stamp = 1; stamp < stamps.length; stamp++) {
        for (const acceptedValue of stamp > maxStamp ? [undefined, 1] : [undefined]) {
          const events = [...(maxStamp > 0 ? [committed(maxStamp)] : []), ...(acceptedValue === undefined ? [] : [prepared(stamp, acceptedValue)])];
          // A repetition is answered from memory and not judged: another manifest is asked for.
          const isAllowed = follow(after(...events), prepared(stamp, 0)).ok;
          expect(isAllowed, `stamp ${stamp} above ${maxStamp}, accepted ${acceptedValue}`).toBe(accepts({ stamp, value: 0, maxStamp, acceptedValue }));
          if (isAllowed) allowed++;
        }
      }
    }
    expect(allowed).toBe(10);
  });

  it.each<[string, readonly KeyEvent[], KeyEvent]>([
    ['a manifest below the certificate', [committed(2)], prepared(1)],
    ['a second manifest of one stamp', [prepared(1, 0)], prepared(1, 1)],
    ['the same manifest again', [prepared(1)], prepared(1)],
    ['a manifest where it promised NEVER', [{ type: 'NEVER', stamp: head(1).stamp }], prepared(1)],
    ['a manifest that was aborted', [prepared(1), { type: 'ABORT', stamp: head(1).stamp }], prepared(1)],
    ['a counter far above the certified one', [], { type: 'PREPARED', head: { stamp: { ...head(1).stamp, counter: 2 ** 16 + 1 }, hash: 'x' } }],
    ['a certificate below the one it holds', [committed(2)], committed(1)],
    ['the certificate that it holds', [committed(2)], committed(2)],
    ['NEVER where it has accepted', [prepared(1)], { type: 'NEVER', stamp: head(1).stamp }],
    ['NEVER below the certificate', [committed(2)], { type: 'NEVER', stamp: head(1).stamp }],
    ['ABORT of nothing', [], { type: 'ABORT', stamp: head(1).stamp }],
    ['ABORT of what is certified', [prepared(1), committed(1)], { type: 'ABORT', stamp: head(1).stamp }],
    ['EVICT of its highest version', [committed(1)], { type: 'EVICT', hash: '1.0', byHash: '1.0' }],
    ['EVICT of what has a receipt alone', [prepared(2), committed(1)], { type: 'EVICT', hash: '2.0', byHash: '1.0' }],
    ['EVICT on the word of a lower certificate', [committed(1), committed(2), committed(3)], { type: 'EVICT', hash: '2.0', byHash: '1.0' }],
    ['EVICT a second time', [committed(1), committed(2), { type: 'EVICT', hash: '1.0', byHash: '2.0' }], { type: 'EVICT', hash: '1.0', byHash: '2.0' }],
    ['REPAIRED of what is not its highest version', [committed(1), committed(2)], { type: 'REPAIRED', hash: '1.0' }],
  ])('is not %s', (_, events, event) => {
    expect(follow(after(...events), event).ok).toBe(false);
  });

  it.each<[string, readonly KeyEvent[], KeyEvent]>([
    ['a manifest of another writer with the same counter', [prepared(1)], prepared(2)],
    ['a manifest below another that has no certificate', [prepared(3)], prepared(1)],
    ['a certificate of a manifest that it never saw', [prepared(1, 0)], committed(1, 1)],
    ['EVICT of a version that another replaced', [committed(1), committed(2)], { type: 'EVICT', hash: '1.0', byHash: '2.0' }],
    ['EVICT of a receipt that a certificate overtook', [prepared(1), committed(2)], { type: 'EVICT', hash: '1.0', byHash: '2.0' }],
    ['REPAIRED of its highest version', [committed(2)], { type: 'REPAIRED', hash: '2.0' }],
  ])('may be %s', (_, events, event) => {
    expect(follow(after(...events), event)).toMatchObject({ ok: true });
  });
});
