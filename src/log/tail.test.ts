import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { concat, hex, u32be, utf8 } from '../base/bytes.ts';
import { sha256, signingKeyFromSeed, verifySignature } from '../crypto/primitives.ts';
import { LeafStore } from '../merkle/leaf-store.ts';
import { leafHash } from '../merkle/tree.ts';
import type { Frontier } from '../merkle/tree.ts';
import { signCheckpoint } from './checkpoint.ts';
import type { SignedCheckpoint } from './checkpoint.ts';
import { ed25519Signer, ed25519Verifier } from './signed-note.ts';
import { LogTail } from './tail.ts';

const origin = 'holdfast/1/log/aa/bb';
const key = signingKeyFromSeed(new Uint8Array(32).fill(5));
const signer = ed25519Signer(origin, key);
const verifier = ed25519Verifier(origin, key.publicKey, verifySignature);

/** A log with 200 leaves whose history departs from the honest one at `forkAt`. */
function storeWithFork(forkAt: number): LeafStore {
  const store = new LeafStore();
  for (let i = 0; i < 200; i += 1) store.append(leafHash(utf8(i < forkAt ? `${i}` : `fork ${i}`)));
  return store;
}
const honest = storeWithFork(200);
const forked = storeWithFork(30);

const signed = (size: number, store: LeafStore = honest): SignedCheckpoint =>
  signCheckpoint({ origin, size, root: store.root(size), nonce: null }, signer);

function tailAt(size: number): LogTail {
  const tail = new LogTail(origin);
  expect(tail.accept(honest.leaves(0, size), signed(size))).toEqual({ ok: true, from: 0, to: size });
  return tail;
}

/** State as bytes: a refused step must not change it. */
const state = (tail: LogTail): string => hex(tail.serialise());

describe('LogTail', () => {
  it('follows a log in steps of any length, empty ones too', () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 40 }), { maxLength: 5 }), (steps) => {
        const tail = new LogTail(origin);
        let size = 0;
        for (const step of steps) {
          const to = size + step;
          expect(tail.accept(honest.leaves(size, to), signed(to))).toEqual({ ok: true, from: size, to });
          size = to;
        }
        expect(tail.size).toBe(size);
      }),
      { numRuns: 40 },
    );
  });

  it('takes in a page short of the checkpoint when a consistency path closes the gap', () => {
    const tail = tailAt(10);
    const whole = signed(100);
    expect(tail.accept(honest.leaves(10, 40), whole, honest.consistency(40, 100))).toEqual(
      { ok: true, from: 10, to: 40 },
    );
    expect(tail.highest).toEqual(whole);
    expect(tail.accept(honest.leaves(40, 90), whole, honest.consistency(40, 100))).toMatchObject(
      { fault: 'mismatch' },
    );
    expect(tail.accept(honest.leaves(40, 100), whole)).toEqual({ ok: true, from: 40, to: 100 });
  });

  it('a smaller checkpoint is rolled back, another root of one size forked, both with the notes', () => {
    const tail = tailAt(50);
    const before = state(tail);
    expect(tail.accept([], signed(49))).toMatchObject(
      { fault: 'rolled-back', notes: [signed(50).note, signed(49).note] },
    );
    const other = signed(50, forked);
    expect(tail.accept([], other)).toMatchObject({ fault: 'forked', notes: [signed(50).note, other.note] });
    expect(tail.observe(other, [])).toMatchObject({ fault: 'forked' });
    expect(tail.observe(signed(49), [])).toMatchObject({ fault: 'rolled-back' });
    expect(state(tail)).toBe(before);
  });

  it('a larger checkpoint of a forked log does not pass with any of its leaves or paths', () => {
    const tail = tailAt(50);
    const before = state(tail);
    const larger = signed(80, forked);
    expect(tail.accept(forked.leaves(50, 80), larger)).toMatchObject({ fault: 'mismatch' });
    expect(tail.accept(honest.leaves(50, 80), larger)).toMatchObject({ fault: 'mismatch' });
    expect(tail.accept([], larger, forked.consistency(50, 80))).toMatchObject({ fault: 'mismatch' });
    expect(tail.observe(larger, forked.consistency(50, 80))).toMatchObject({ fault: 'mismatch' });
    expect(state(tail)).toBe(before);
  });

  it('leaves that agree with a new checkpoint but not with the one observed before prove a fork', () => {
    const tail = tailAt(20);
    expect(tail.observe(signed(60), honest.consistency(20, 60))).toMatchObject({ ok: true });
    const before = state(tail);
    const larger = signed(80, forked);
    const verdict = tail.accept(forked.leaves(20, 80), larger);
    expect(verdict).toMatchObject({ fault: 'forked', notes: [signed(60).note, larger.note] });
    expect(state(tail)).toBe(before);
    expect(tail.accept(honest.leaves(20, 80), signed(80))).toMatchObject({ ok: true });
  });

  it('a page may not jump over a checkpoint that was observed before', () => {
    const tail = tailAt(20);
    expect(tail.observe(signed(60), honest.consistency(20, 60))).toMatchObject({ ok: true });
    expect(tail.accept(honest.leaves(20, 40), signed(90), honest.consistency(40, 90))).toMatchObject(
      { fault: 'behind' },
    );
    expect(tail.observe(signed(90), honest.consistency(60, 90))).toMatchObject(
      { ok: true, from: 20, to: 20 },
    );
    expect(tail.accept(honest.leaves(20, 40), signed(90), honest.consistency(40, 90))).toMatchObject(
      { ok: true, to: 40 },
    );
  });

  it('too many, too few, changed, swapped or cut leaves and foreign checkpoints are refused', () => {
    const tail = tailAt(20);
    const before = state(tail);
    const leaves = honest.leaves(20, 30);
    const swapped = [leaves[1], leaves[0], ...leaves.slice(2)] as Uint8Array[];
    expect(tail.accept(honest.leaves(20, 31), signed(30))).toMatchObject({ fault: 'surplus' });
    expect(tail.accept(honest.leaves(20, 29), signed(30))).toMatchObject({ fault: 'short' });
    expect(tail.accept(honest.leaves(21, 30), signed(30))).toMatchObject({ fault: 'short' });
    expect(tail.accept(swapped, signed(30))).toMatchObject({ fault: 'mismatch' });
    expect(tail.accept(leaves, signed(30), honest.consistency(29, 30))).toMatchObject({ fault: 'mismatch' });
    expect(tail.accept(leaves.with(3, utf8('cut')), signed(30))).toMatchObject({ fault: 'malformed' });
    const foreign = signed(30);
    const elsewhere = { ...foreign, checkpoint: { ...foreign.checkpoint, origin: 'other' } };
    expect(tail.accept(leaves, elsewhere)).toMatchObject({ fault: 'foreign' });
    expect(state(tail)).toBe(before);
  });

  it('any changed byte of any leaf is refused', () => {
    const change = fc.integer({ min: 1, max: 255 });
    fc.assert(
      fc.property(fc.nat({ max: 19 }), fc.nat({ max: 31 }), change, (which, at, by) => {
        const tail = tailAt(20);
        const leaves = honest.leaves(20, 40);
        const leaf = leaves[which] as Uint8Array;
        const bad = leaves.with(which, leaf.with(at, (leaf[at] ?? 0) ^ by));
        expect(tail.accept(bad, signed(40))).toMatchObject({ fault: 'mismatch' });
      }),
      { numRuns: 50 },
    );
  });

  it('a long run is taken in page by page and counts only at its end', () => {
    const tail = tailAt(20);
    const before = state(tail);
    const begun = tail.catchUp(signed(200));
    if (!begun.ok) throw new Error(begun.reason);
    for (let from = 20; from < 200; from += 45) {
      expect(begun.catchUp.add(honest.leaves(from, from + 45))).toBeNull();
    }
    expect(state(tail)).toBe(before);
    expect(begun.catchUp.finish()).toEqual({ ok: true, from: 20, to: 200 });
    expect(tail.size).toBe(200);
    expect(tail.highest?.checkpoint.size).toBe(200);
  });

  it('of two runs only the one that ends first counts', () => {
    const tail = tailAt(20);
    const [first, second] = [tail.catchUp(signed(50)), tail.catchUp(signed(60))];
    if (!first.ok || !second.ok) throw new Error('both begin');
    expect(first.catchUp.add(honest.leaves(20, 50))).toBeNull();
    expect(second.catchUp.add(honest.leaves(20, 60))).toBeNull();
    expect(first.catchUp.finish()).toMatchObject({ ok: true });
    const before = state(tail);
    expect(second.catchUp.finish()).toMatchObject({ fault: 'behind' });
    expect(state(tail)).toBe(before);
  });

  it('a run toward one branch does not end on a tail that observed the other meanwhile', () => {
    const tail = tailAt(20);
    const run = tail.catchUp(signed(60, forked));
    if (!run.ok) throw new Error(run.reason);
    expect(run.catchUp.add(forked.leaves(20, 60))).toBeNull();
    expect(tail.observe(signed(90), honest.consistency(20, 90))).toMatchObject({ ok: true });
    expect(run.catchUp.finish()).toMatchObject({ fault: 'behind' });
    expect(tail.size).toBe(20);
  });

  it('goes on from its serialised form', () => {
    for (const tail of [new LogTail(origin), tailAt(0), tailAt(37)]) {
      tail.observe(signed(60), tail.highest === null ? [] : honest.consistency(tail.size, 60));
      const read = LogTail.parse(tail.serialise(), verifier);
      expect(read?.size).toBe(tail.size);
      expect(read?.highest?.note).toBe(tail.highest?.note);
      expect(read?.accept(honest.leaves(tail.size, 70), signed(70))).toMatchObject({ ok: true, to: 70 });
    }
    expect(LogTail.parse(new LogTail(origin).serialise(), verifier)?.size).toBe(0);
  });

  it('any changed, missing or added byte of the serialised form is refused', () => {
    const tail = tailAt(21);
    tail.observe(signed(60), honest.consistency(21, 60));
    const bytes = tail.serialise();
    for (let at = 0; at < bytes.length; at += 1) {
      expect(LogTail.parse(bytes.with(at, (bytes[at] ?? 0) ^ 1), verifier)).toBeNull();
      expect(LogTail.parse(bytes.subarray(0, at), verifier)).toBeNull();
    }
    expect(LogTail.parse(concat(bytes, new Uint8Array(1)), verifier)).toBeNull();
  });

  it('a well-formed state with a contradiction or without a valid signature inside is refused', () => {
    const frame = (frontier: Frontier, note: string): Uint8Array => {
      const [one, two] = [frontier.serialise(), utf8(note)];
      const content = concat(new Uint8Array([1]), u32be(one.length), one, u32be(two.length), two);
      return concat(content, sha256(content));
    };
    const at = (size: number): Frontier => honest.frontier(size);
    expect(LogTail.parse(frame(at(20), signed(30).note), verifier)?.size).toBe(20);
    expect(LogTail.parse(frame(at(31), signed(30).note), verifier)).toBeNull();
    expect(LogTail.parse(frame(forked.frontier(40), signed(40).note), verifier)).toBeNull();
    expect(LogTail.parse(frame(at(20), ''), verifier)).toBeNull();
    expect(LogTail.parse(frame(at(20), `\ufeff${signed(30).note}`), verifier)).toBeNull();
    const otherKey = signingKeyFromSeed(new Uint8Array(32).fill(6)).publicKey;
    const stranger = ed25519Verifier(origin, otherKey, verifySignature);
    expect(LogTail.parse(frame(at(20), signed(30).note), stranger)).toBeNull();
  });
});
