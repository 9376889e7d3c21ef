/**
 * Bucket records (protocol 13.2), two models of a key while the record of its bucket changes: versioning is
 * switched on while an overwrite runs, and a bucket is deleted while a PUT runs. Nodes learn of the record one by
 * one. Byzantine nodes count as having done whatever is asked, and show what hurts.
 */
import { holderCount, quorumSize } from '../../src/protocol/quorum.ts';
import { step } from './engine.ts';
import type { Model, Step } from './engine.ts';
import { canonicalKey, countNodes, makeNodes, withNode } from './interchangeable.ts';

/**
 * When a node may evict V, which W overwrites, as long as the bucket is unversioned:
 * - at once: an earlier rule, the word of W's certificate is enough
 * - record asked: n-f nodes show no newer bucket record
 * - complete, then record asked: the rule; W is known complete first, so the answers are newer than W
 */
export type EvictionRule = 'at once' | 'record asked' | 'complete, then record asked';

export interface VersioningOptions {
  readonly n: number;
  readonly f?: number;
  /** W was made under the record before the switch and its certificate is nowhere yet, or was made after the switch. */
  readonly made: 'before the switch' | 'after the switch';
  /** Nodes that have adopted the record before the user is told: c, or the larger q. */
  readonly acknowledgedBy: 'c' | 'q';
  readonly rule: EvictionRule;
  /** A node evicts nothing on the word of a certificate whose bucketStamp it has not reached. */
  readonly obeysBucketStamp?: boolean;
}

interface VersioningNode {
  /** Its fragment of V is on disk; n-2f correct nodes have one. */
  readonly holdsV: boolean;
  readonly adopted: boolean;
  /** Holds the certificate of W. */
  readonly hasW: boolean;
  /** The rule has let it evict V; it does so when it likes. */
  readonly mayEvict: boolean;
  /** Has shown the reader V as its highest version. */
  readonly showedV: boolean;
  /** Has given the reader its fragment of V. */
  readonly gaveFragment: boolean;
}

interface VersioningState {
  readonly nodes: readonly VersioningNode[];
  /** The user has been told that versioning is on. */
  readonly switchedOn: boolean;
  /** A read that began after the switch has returned V. */
  readonly returnedV: boolean;
}

type VersioningStep = Step<VersioningState>;

export function versioning(name: string, options: VersioningOptions): Model<VersioningState> {
  const { n, f = 1, made, acknowledgedBy, rule, obeysBucketStamp = true } = options;
  const k = n - 2 * f;
  const q = quorumSize({ n, f });
  const c = holderCount({ n, f });
  const acknowledgements = acknowledgedBy === 'c' ? c : q;

  function* adoptRecord(state: VersioningState, i: number, node: VersioningNode): Iterable<VersioningStep> {
    if (!node.adopted) yield step(`node ${i} adopts versioning`, withNode(state, i, { adopted: true }));
  }

  /** COMMIT of W, at its worst: without the record that W's bucketStamp names. */
  function* takeW(state: VersioningState, i: number, node: VersioningNode): Iterable<VersioningStep> {
    if (node.hasW || (made === 'after the switch' && !state.switchedOn)) return;
    yield step(`node ${i} takes the certificate of W`, withNode(state, i, { hasW: true }));
  }

  /** The node finds V superseded in a bucket that is unversioned as far as it knows. */
  function* decideToEvict(state: VersioningState, i: number, node: VersioningNode): Iterable<VersioningStep> {
    if (!node.hasW || !node.holdsV || node.adopted || node.mayEvict) return;
    // W names a newer record than this node holds: it must not act on what it knows of the bucket.
    if (made === 'after the switch' && obeysBucketStamp) return;
    const isComplete = countNodes(state, (other) => other.hasW) + f >= c;
    // After the switch is acknowledged, some correct one of n-f nodes shows the newer record.
    const isAllowed = rule === 'at once' || (!state.switchedOn && (rule === 'record asked' || isComplete));
    if (isAllowed) yield step(`node ${i} may evict V (${rule})`, withNode(state, i, { mayEvict: true }));
  }

  function* evict(state: VersioningState, i: number, node: VersioningNode): Iterable<VersioningStep> {
    if (node.mayEvict && node.holdsV) yield step(`node ${i} evicts V`, withNode(state, i, { holdsV: false }));
  }

  /** A read that began after the switch: nodes without W show V, and those with a fragment give it. */
  function* answerReader(state: VersioningState, i: number, node: VersioningNode): Iterable<VersioningStep> {
    if (!state.switchedOn || state.returnedV) return;
    if (!node.showedV && !node.hasW) yield step(`node ${i} shows the reader V`, withNode(state, i, { showedV: true }));
    if (node.holdsV && !node.gaveFragment && !node.mayEvict) yield step(`node ${i} gives the reader its fragment`, withNode(state, i, { gaveFragment: true }));
  }

  function* acknowledgeSwitch(state: VersioningState): Iterable<VersioningStep> {
    if (state.switchedOn || countNodes(state, (node) => node.adopted) + f < acknowledgements) return;
    yield step('the switch is acknowledged', { ...state, switchedOn: true });
  }

  function* returnV(state: VersioningState): Iterable<VersioningStep> {
    if (!state.switchedOn || state.returnedV) return;
    const isRead = countNodes(state, (node) => node.showedV) + f >= q && countNodes(state, (node) => node.gaveFragment) + f >= k;
    if (isRead) yield step('the read returns V', { ...state, returnedV: true });
  }

  return {
    name: `versioning, W made ${made}: ${name}, n=${n}`,
    initial: [
      {
        nodes: makeNodes(n - f, (i) => ({ holdsV: i < n - 2 * f, adopted: false, hasW: false, mayEvict: false, showedV: false, gaveFragment: false })),
        switchedOn: false,
        returnedV: false,
      },
    ],
    key: canonicalKey,
    invariants: { 'current after the switch => decodable': (state) => !state.returnedV || countNodes(state, (node) => node.holdsV) >= k },
    *next(state) {
      for (const [i, node] of state.nodes.entries()) {
        yield* adoptRecord(state, i, node);
        yield* takeW(state, i, node);
        yield* decideToEvict(state, i, node);
        yield* evict(state, i, node);
        yield* answerReader(state, i, node);
      }
      yield* acknowledgeSwitch(state);
      yield* returnV(state);
    },
  };
}

export interface DeletionOptions {
  readonly n: number;
  readonly f?: number;
  /** LIST begins after q nodes have adopted CLOSING. */
  readonly barrier?: boolean;
  /** LIST reads each log up to a checkpoint that its node signed after its own adoption. */
  readonly listsAfterAdoption?: boolean;
  /** CLOSING refuses COMMIT too, not PREPARE alone. */
  readonly refusesCommit?: boolean;
}

interface DeletionNode {
  /** Adopted CLOSING. */
  readonly adopted: boolean;
  /** Holds the certificate of W. */
  readonly hasW: boolean;
  /** LIST has read its log. */
  readonly listed: boolean;
}

interface DeletionState {
  readonly nodes: readonly DeletionNode[];
  readonly listing: boolean;
  readonly listSawW: boolean;
  /** As the bucket record says, CLOSING at first. OPEN is a later record, under which waiting certificates are taken again. */
  readonly bucket: 'CLOSING' | 'OPEN' | 'DELETED';
  /** The user has been told that W is written. */
  readonly acknowledged: boolean;
}

/** DeleteBucket against a PUT of W whose receipts were given before CLOSING and whose COMMIT is under way. */
export function bucketDeletion(name: string, options: DeletionOptions): Model<DeletionState> {
  const { n, f = 1, barrier = true, listsAfterAdoption = true, refusesCommit = true } = options;
  const q = quorumSize({ n, f });
  const c = holderCount({ n, f });

  function* adoptClosing(state: DeletionState, i: number, node: DeletionNode): Iterable<Step<DeletionState>> {
    if (!node.adopted) yield step(`node ${i} adopts CLOSING`, withNode(state, i, { adopted: true }));
  }

  /** COMMIT, as long as the node has not adopted CLOSING, and again under the later record OPEN. */
  function* takeW(state: DeletionState, i: number, node: DeletionNode): Iterable<Step<DeletionState>> {
    if (!node.hasW && (!node.adopted || !refusesCommit || state.bucket === 'OPEN')) yield step(`node ${i} takes the certificate of W`, withNode(state, i, { hasW: true }));
  }

  function* startList(state: DeletionState): Iterable<Step<DeletionState>> {
    if (state.listing || (barrier && countNodes(state, (node) => node.adopted) + f < q)) return;
    yield step('LIST starts', { ...state, listing: true });
  }

  function* listNode(state: DeletionState, i: number, node: DeletionNode): Iterable<Step<DeletionState>> {
    if (!state.listing || node.listed || state.bucket !== 'CLOSING' || (listsAfterAdoption && !node.adopted)) return;
    yield step(`LIST reads the log of node ${i}`, { ...withNode(state, i, { listed: true }), listSawW: state.listSawW || node.hasW });
  }

  /** q logs: empty means DELETED, else the bucket opens again. */
  function* decide(state: DeletionState): Iterable<Step<DeletionState>> {
    if (state.bucket !== 'CLOSING' || countNodes(state, (node) => node.listed) + f < q) return;
    const bucket = state.listSawW ? 'OPEN' : 'DELETED';
    yield step(`the bucket is ${bucket}`, { ...state, bucket });
  }

  function* acknowledge(state: DeletionState): Iterable<Step<DeletionState>> {
    if (!state.acknowledged && countNodes(state, (node) => node.hasW) + f >= c) yield step('the PUT of W is acknowledged', { ...state, acknowledged: true });
  }

  return {
    name: `bucket deletion: ${name}, n=${n}`,
    initial: [{ nodes: makeNodes(n - f, () => ({ adopted: false, hasW: false, listed: false })), listing: false, listSawW: false, bucket: 'CLOSING', acknowledged: false }],
    key: canonicalKey,
    invariants: { 'no acknowledged PUT in a deleted bucket': (state) => !(state.bucket === 'DELETED' && state.acknowledged) },
    *next(state) {
      for (const [i, node] of state.nodes.entries()) {
        yield* adoptClosing(state, i, node);
        yield* takeW(state, i, node);
        yield* listNode(state, i, node);
      }
      yield* startList(state);
      yield* decide(state);
      yield* acknowledge(state);
    },
  };
}
