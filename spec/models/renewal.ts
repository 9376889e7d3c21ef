/**
 * A certificate of an old epoch across a change of members (protocol 9, step 3; trap H13b): slots {0,1,2,3}
 * become {1,2,3,4}, node 3 is Byzantine in both, n=4, f=1, k=2. One manifest W, whose receipts are given in the
 * old epoch and whose certificate may be kept back. If old certificates simply stayed valid, W could surface after
 * the change with too few fragments left to decode it.
 */
import { holderCount, quorumSize } from '../../src/protocol/quorum.ts';
import { step } from './engine.ts';
import type { Model, Step } from './engine.ts';

type Phase = 'old' | 'joint' | 'new';

interface RenewalState {
  /** joint: the adoption barrier has been passed; new: node 0 has left. */
  readonly phase: Phase;
  /** By node: is the fragment of W here? Entry 3, the Byzantine node, is never used. */
  readonly fragments: readonly boolean[];
  /** By node: is the certificate of W here? */
  readonly certificates: readonly boolean[];
  /** q receipts of the old epoch exist. */
  readonly certified: boolean;
  /** q renewal receipts of the new slots exist. */
  readonly renewed: boolean;
  /** What the transfer has seen of W in the old epoch. */
  readonly transfer: 'not read' | 'saw nothing' | 'saw W';
  /** An operation on W (its write, or a read of it) has completed. */
  readonly completed: boolean;
}

const NUMBERS = { n: 4, f: 1 };
const K = 2;
const Q = quorumSize(NUMBERS);
const C = holderCount(NUMBERS);
/** Correct nodes of each side; the Byzantine node 3 is in both and counts as `BYZANTINE`. */
const OLD = [0, 1, 2];
const NEW = [1, 2, 4];
const BOTH = [0, 1, 2, 4];
const BYZANTINE = NUMBERS.f;

const countOf = (set: readonly boolean[], nodes: readonly number[]): number => nodes.filter((i) => set[i]).length;
const adding = (set: readonly boolean[], i: number): readonly boolean[] => set.map((is, j) => is || j === i);

export function renewal(name: string, { withRenewal }: { readonly withRenewal: boolean }): Model<RenewalState> {
  const correctOf = (phase: Phase): readonly number[] => (phase === 'old' ? OLD : phase === 'joint' ? BOTH : NEW);
  /** May the certificate be shown and stored (4.2)? Its own epoch always lets it, a later one only renewed. */
  const isEffective = (state: RenewalState): boolean => state.certified && (!withRenewal || state.phase === 'old' || state.renewed);

  /** PREPARE in the old epoch. */
  function* giveReceipt(state: RenewalState): Iterable<Step<RenewalState>> {
    if (state.phase !== 'old') return;
    for (const i of OLD) if (!state.fragments[i]) yield step(`node ${i} gives a receipt in the old epoch`, { ...state, fragments: adding(state.fragments, i) });
  }

  function* certify(state: RenewalState): Iterable<Step<RenewalState>> {
    if (!state.certified && countOf(state.fragments, OLD) + BYZANTINE >= Q) yield step('the writer has q receipts of the old epoch', { ...state, certified: true });
  }

  /** Step 2: from here on no receipt of the old epoch is given. */
  function* passBarrier(state: RenewalState): Iterable<Step<RenewalState>> {
    if (state.phase === 'old') yield step('the adoption barrier is passed', { ...state, phase: 'joint' });
  }

  /** COMMIT, from whomever, where the certificate is effective. */
  function* takeCertificate(state: RenewalState): Iterable<Step<RenewalState>> {
    if (!isEffective(state)) return;
    for (const i of correctOf(state.phase)) {
      if (!state.certificates[i]) yield step(`the certificate reaches node ${i}`, { ...state, certificates: adding(state.certificates, i) });
    }
  }

  /** Only somebody who knows the certificate asks for repair of the new slots, and k good fragments must still exist. */
  function* repair(state: RenewalState): Iterable<Step<RenewalState>> {
    if (!state.certified || state.phase === 'old' || countOf(state.fragments, correctOf(state.phase)) + BYZANTINE < K) return;
    for (const i of NEW) if (!state.fragments[i]) yield step(`repair gives node ${i} its fragment`, { ...state, fragments: adding(state.fragments, i) });
  }

  /** Step 3: renewal receipts, from the slots that hold their fragment. */
  function* renew(state: RenewalState): Iterable<Step<RenewalState>> {
    if (state.certified && state.phase !== 'old' && !state.renewed && countOf(state.fragments, NEW) + BYZANTINE >= Q) {
      yield step('q receipts of the new slots renew the certificate', { ...state, renewed: true });
    }
  }

  /** An operation on W completes: c nodes of its epoch's side, in the joint epoch of both sides. */
  function* complete(state: RenewalState): Iterable<Step<RenewalState>> {
    if (state.completed || !isEffective(state)) return;
    const isOnOld = state.phase === 'new' || countOf(state.certificates, OLD) + BYZANTINE >= C;
    const isOnNew = state.phase === 'old' || countOf(state.certificates, NEW) + BYZANTINE >= C;
    if (isOnOld && isOnNew) yield step('an operation on W completes', { ...state, completed: true });
  }

  /** Step 3: the transfer reads q old logs; the Byzantine one hides W, so two correct ones decide. */
  function* readOldLogs(state: RenewalState): Iterable<Step<RenewalState>> {
    if (state.phase !== 'joint' || state.transfer !== 'not read') return;
    for (const pair of [[0, 1], [0, 2], [1, 2]]) {
      yield step(`the transfer reads nodes ${pair.join(' and ')}`, { ...state, transfer: countOf(state.certificates, pair) > 0 ? 'saw W' : 'saw nothing' });
    }
  }

  /** Step 4: S is signed once what the transfer has seen is on the new side. */
  function* signStable(state: RenewalState): Iterable<Step<RenewalState>> {
    if (state.phase !== 'joint' || state.transfer === 'not read') return;
    const hasFragments = withRenewal ? state.renewed : countOf(state.fragments, NEW) + BYZANTINE >= Q;
    const isMoved = countOf(state.certificates, NEW) + BYZANTINE >= C && hasFragments;
    if (state.transfer === 'saw nothing' || isMoved) yield step('the new configuration is signed', { ...state, phase: 'new' });
  }

  const nowhere = [false, false, false, false, false];
  return {
    name: `renewal: ${name}`,
    initial: [{ phase: 'old', fragments: nowhere, certificates: nowhere, certified: false, renewed: false, transfer: 'not read', completed: false }],
    key: (state) => JSON.stringify(state),
    invariants: {
      'visible after the change => decodable': (state) => !(state.phase === 'new' && isEffective(state)) || countOf(state.fragments, NEW) >= K,
      'completed before => visible after': (state) => !(state.phase === 'new' && state.completed) || countOf(state.certificates, NEW) >= C - BYZANTINE,
    },
    *next(state) {
      yield* giveReceipt(state);
      yield* certify(state);
      yield* passBarrier(state);
      yield* takeCertificate(state);
      yield* repair(state);
      yield* renew(state);
      yield* complete(state);
      yield* readOldLogs(state);
      yield* signStable(state);
    },
  };
}
