/**
 * Object lock (protocol 13.6, I10): COMPLIANCE retention, set by an attributes register of version V, against a
 * stolen writer key that collects a certificate for the REMOVE of V, and against nodes whose clock is wrong. V is
 * on n-2f correct nodes. Byzantine nodes sign both, and attest any time.
 */
import { holderCount, oneCorrect, quorumSize } from '../../src/protocol/quorum.ts';
import { step } from './engine.ts';
import type { Model, Step } from './engine.ts';
import { canonicalKey, countNodes, makeNodes, withNode } from './interchangeable.ts';

export interface RetentionOptions {
  readonly n: number;
  readonly f?: number;
  /** A receipt for the attributes and one for the REMOVE exclude each other on a node; an earlier rule lacked this. */
  readonly exclusive?: boolean;
  /** Correct nodes whose own clock is past the retention time already. */
  readonly fastClocks?: number;
  /** How many others must attest a time before a node believes its own clock; 0: it believes it at once. */
  readonly attestations?: number;
}

interface NodeState {
  readonly holdsV: boolean;
  readonly clockFast: boolean;
  readonly signedAttributes: boolean;
  /** Holds the certificate of the attributes. */
  readonly hasAttributes: boolean;
  readonly signedRemove: boolean;
}

interface RetentionState {
  readonly nodes: readonly NodeState[];
  readonly attributesCertified: boolean;
  /** The user has been told that V is locked. */
  readonly acknowledged: boolean;
  readonly removeCertified: boolean;
}

export function retention(name: string, options: RetentionOptions): Model<RetentionState> {
  const { n, f = 1, exclusive = true, fastClocks = 0 } = options;
  const attestations = options.attestations ?? oneCorrect({ n, f });
  const k = n - 2 * f;
  const q = quorumSize({ n, f });
  const c = holderCount({ n, f });

  /** min(own clock, highest time attested by enough others): the liars and the other fast clocks attest. */
  const believesTimePassed = (node: NodeState): boolean => node.clockFast && f + fastClocks - 1 >= attestations;
  const isLocked = (node: NodeState): boolean => (node.hasAttributes || (exclusive && node.signedAttributes)) && !believesTimePassed(node);

  /** A receipt for the attributes register, unless the node has signed a REMOVE of V. */
  function* signAttributes(state: RetentionState, i: number, node: NodeState): Iterable<Step<RetentionState>> {
    if (!node.signedAttributes && !(exclusive && node.signedRemove)) yield step(`node ${i} signs the attributes`, withNode(state, i, { signedAttributes: true }));
  }

  function* takeAttributes(state: RetentionState, i: number, node: NodeState): Iterable<Step<RetentionState>> {
    if (state.attributesCertified && !node.hasAttributes) yield step(`node ${i} takes the attributes`, withNode(state, i, { hasAttributes: true }));
  }

  /** A receipt for the REMOVE, as far as the node's own highest attributes allow it. */
  function* signRemove(state: RetentionState, i: number, node: NodeState): Iterable<Step<RetentionState>> {
    if (!node.signedRemove && !isLocked(node)) yield step(`node ${i} signs the REMOVE`, withNode(state, i, { signedRemove: true }));
  }

  /** Eviction by a certified REMOVE. */
  function* evict(state: RetentionState, i: number, node: NodeState): Iterable<Step<RetentionState>> {
    if (!state.removeCertified || !node.holdsV || (node.hasAttributes && !believesTimePassed(node))) return;
    yield step(`node ${i} evicts V`, withNode(state, i, { holdsV: false }));
  }

  /** q receipts certify the attributes. */
  function* certifyAttributes(state: RetentionState): Iterable<Step<RetentionState>> {
    if (state.attributesCertified || countNodes(state, (node) => node.signedAttributes) + f < q) return;
    yield step('the attributes are certified', { ...state, attributesCertified: true });
  }

  /** c holders acknowledge them. */
  function* acknowledge(state: RetentionState): Iterable<Step<RetentionState>> {
    if (!state.attributesCertified || state.acknowledged || countNodes(state, (node) => node.hasAttributes) + f < c) return;
    yield step('the retention is acknowledged', { ...state, acknowledged: true });
  }

  /** q receipts certify the REMOVE; the thief may keep the certificate for later. */
  function* certifyRemove(state: RetentionState): Iterable<Step<RetentionState>> {
    if (!state.removeCertified && countNodes(state, (node) => node.signedRemove) + f >= q) yield step('the REMOVE is certified', { ...state, removeCertified: true });
  }

  return {
    name: `retention: ${name}, n=${n}`,
    initial: [
      {
        nodes: makeNodes(n - f, (i) => ({ holdsV: i < n - 2 * f, clockFast: i < fastClocks, signedAttributes: false, hasAttributes: false, signedRemove: false })),
        attributesCertified: false,
        acknowledged: false,
        removeCertified: false,
      },
    ],
    key: canonicalKey,
    invariants: { 'acknowledged COMPLIANCE => decodable before the time': (state) => !state.acknowledged || countNodes(state, (node) => node.holdsV) >= k },
    *next(state) {
      for (const [i, node] of state.nodes.entries()) {
        yield* signAttributes(state, i, node);
        yield* takeAttributes(state, i, node);
        yield* signRemove(state, i, node);
        yield* evict(state, i, node);
      }
      yield* certifyAttributes(state);
      yield* acknowledge(state);
      yield* certifyRemove(state);
    },
  };
}
