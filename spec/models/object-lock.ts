/**
 * Governance and legal hold (protocol 13.6): a lock L on version V stands in an attributes register of V's own.
 * Later attributes D take it away again: of COMPLIANCE never before its time, of GOVERNANCE if the writer may
 * bypass it, of LEGAL_HOLD if the writer may lift holds. A REMOVE names V. The thief has a writer's key without
 * these rights: it asks for receipts of D and of REMOVE whenever it likes, and shows certificates when it likes.
 *
 * Must hold: a lock that was acknowledged keeps V decodable until one who may has taken it away. A run in which
 * such a one does shows that V can go at all. versions.ts has COMPLIANCE with clocks; here time stands still.
 */
import { holderCount, quorumSize } from '../../src/protocol/quorum.ts';
import { step } from './engine.ts';
import type { Model, Step } from './engine.ts';
import { canonicalKey, countNodes, makeNodes, withNode } from './interchangeable.ts';

export interface ObjectLockOptions {
  readonly n?: number;
  readonly f?: number;
  readonly lock: 'COMPLIANCE' | 'GOVERNANCE' | 'LEGAL_HOLD';
  /** The writer of D and of REMOVE may bypass GOVERNANCE and lift holds. */
  readonly mayLift?: boolean;
  readonly broken?: {
    /** Attributes are written PLAIN: D names no predecessor, so that it may be certified before L. */
    readonly plainAttributes?: boolean;
    /** A node asks for the right only when L has a certificate there, and REMOVE is judged by that alone. */
    readonly receiptsDoNotCount?: boolean;
    /** Nodes do not ask whether the writer may. */
    readonly asksNoRight?: boolean;
  };
}

type Attributes = 'none' | 'L' | 'D';

interface NodeState {
  readonly holdsV: boolean;
  /** Highest attributes whose certificate it holds. */
  readonly attributes: Attributes;
  readonly signedL: boolean;
  /** The predecessor that the D which it signed names. */
  readonly signedD: 'no' | 'first' | 'after L';
  readonly signedRemove: boolean;
}

interface ObjectLockState {
  readonly nodes: readonly NodeState[];
  readonly lockCertified: boolean;
  /** The user has been told that V is locked. */
  readonly acknowledged: boolean;
  readonly liftCertified: boolean;
  readonly removeCertified: boolean;
}

type ObjectLockStep = Step<ObjectLockState>;

export function objectLock(name: string, { n = 4, f = 1, lock, mayLift = false, broken = {} }: ObjectLockOptions): Model<ObjectLockState> {
  const k = n - 2 * f;
  const q = quorumSize({ n, f });
  const c = holderCount({ n, f });
  const isAllowed = (mayLift || broken.asksNoRight === true) && lock !== 'COMPLIANCE';

  /** A receipt for L; not beside one for another successor of "no attributes", nor beside one for REMOVE. */
  function* signLock(state: ObjectLockState, i: number, node: NodeState): Iterable<ObjectLockStep> {
    if (node.signedL || node.attributes === 'D' || (node.signedD === 'first' && broken.plainAttributes !== true)) return;
    if (node.signedRemove && broken.receiptsDoNotCount !== true) return;
    yield step(`node ${i} gives a receipt for L`, withNode(state, i, { signedL: true }));
  }

  /** A receipt for D, judged by the highest attributes here. */
  function* signLift(state: ObjectLockState, i: number, node: NodeState): Iterable<ObjectLockStep> {
    if (node.signedD !== 'no' || node.attributes === 'D') return;
    if (node.attributes === 'L') {
      if (isAllowed) yield step(`node ${i} gives a receipt for D after L`, withNode(state, i, { signedD: 'after L' }));
    } else if (!node.signedL || broken.plainAttributes === true) {
      yield step(`node ${i} gives a receipt for D, which takes nothing away here`, withNode(state, i, { signedD: 'first' }));
    }
  }

  /** A receipt for REMOVE; L in the way counts from the node's own receipt on. */
  function* signRemove(state: ObjectLockState, i: number, node: NodeState): Iterable<ObjectLockStep> {
    if (node.signedRemove) return;
    const isLocked = node.attributes === 'L' || (node.attributes === 'none' && node.signedL && broken.receiptsDoNotCount !== true);
    if (!isLocked || (lock === 'GOVERNANCE' && isAllowed)) yield step(`node ${i} gives a receipt for REMOVE`, withNode(state, i, { signedRemove: true }));
  }

  function* takeCertificates(state: ObjectLockState, i: number, node: NodeState): Iterable<ObjectLockStep> {
    if (state.lockCertified && node.attributes === 'none') yield step(`the certificate of L reaches node ${i}`, withNode(state, i, { attributes: 'L' }));
    if (state.liftCertified && node.attributes !== 'D') yield step(`the certificate of D reaches node ${i}`, withNode(state, i, { attributes: 'D' }));
  }

  /** By a certified REMOVE, as far as the attributes here allow it. */
  function* evict(state: ObjectLockState, i: number, node: NodeState): Iterable<ObjectLockStep> {
    if (!state.removeCertified || !node.holdsV || (node.attributes === 'L' && !(lock === 'GOVERNANCE' && isAllowed))) return;
    yield step(`node ${i} evicts V`, withNode(state, i, { holdsV: false }));
  }

  function* certify(state: ObjectLockState): Iterable<ObjectLockStep> {
    const { lockCertified, acknowledged, liftCertified, removeCertified } = state;
    const isLift = (kind: NodeState['signedD']): boolean => countNodes(state, (node) => node.signedD === kind) + f >= q;
    if (!lockCertified && countNodes(state, (node) => node.signedL) + f >= q) yield step('L is certified', { ...state, lockCertified: true });
    if (lockCertified && !acknowledged && countNodes(state, (node) => node.attributes !== 'none') + f >= c) yield step('the lock is acknowledged', { ...state, acknowledged: true });
    if (!liftCertified && (isLift('first') || isLift('after L'))) yield step('D is certified', { ...state, liftCertified: true });
    if (!removeCertified && countNodes(state, (node) => node.signedRemove) + f >= q) yield step('REMOVE is certified', { ...state, removeCertified: true });
  }

  return {
    name: `object lock, ${lock}: ${name}, n=${n}`,
    initial: [
      {
        nodes: makeNodes(n - f, (i) => ({ holdsV: i < n - 2 * f, attributes: 'none', signedL: false, signedD: 'no', signedRemove: false })),
        lockCertified: false,
        acknowledged: false,
        liftCertified: false,
        removeCertified: false,
      },
    ],
    key: canonicalKey,
    invariants: { 'acknowledged lock => decodable': (state) => !state.acknowledged || countNodes(state, (node) => node.holdsV) >= k },
    *next(state) {
      for (const [i, node] of state.nodes.entries()) {
        yield* signLock(state, i, node);
        yield* signLift(state, i, node);
        yield* signRemove(state, i, node);
        yield* takeCertificates(state, i, node);
        yield* evict(state, i, node);
      }
      yield* certify(state);
    },
  };
}
