/**
 * LIST (protocol 6.6, trap H17): a lister reads the logs of q nodes up to checkpoints that they signed for it,
 * unites the certificates, and writes back each that fewer than c of these logs have, before it shows it. One
 * write W, whose writer may stop anywhere, and two listers, the second of which starts when the first has ended.
 *
 * Must hold: a listing shows every write that was acknowledged before it began, and all that an earlier listing
 * showed. Byzantine nodes show W or hide it.
 */
import { holderCount, quorumSize } from '../../src/protocol/quorum.ts';
import { step } from './engine.ts';
import type { Model, Step } from './engine.ts';
import { canonicalKey, countNodes, makeNodes, withNode } from './interchangeable.ts';

export interface ListingOptions {
  readonly n?: number;
  readonly f?: number;
  readonly broken?: {
    /** In place of c = 2f+1. */
    readonly holders?: number;
    /** In place of q = n-f. */
    readonly logs?: number;
    readonly noWriteBack?: boolean;
    /** A checkpoint without the lister's nonce: an earlier one is taken for it. */
    readonly oldCheckpoints?: boolean;
  };
}

interface NodeState {
  /** Its log has COMMITTED(W). */
  readonly hasW: boolean;
  /** What it has shown the present lister. */
  readonly shown: 'nothing yet' | 'without W' | 'with W';
}

interface ListingState {
  readonly nodes: readonly NodeState[];
  readonly acknowledged: boolean;
  /** Listings that have ended. */
  readonly ended: number;
  readonly phase: 'idle' | 'reading' | 'writing back';
  /** The present listing must show W: it was acknowledged, or shown before. */
  readonly mustShow: boolean;
  readonly wasShown: boolean;
  /** A listing left out what it must show. */
  readonly missed: boolean;
}

type ListingStep = Step<ListingState>;

export function listing(name: string, { n = 4, f = 1, broken = {} }: ListingOptions = {}): Model<ListingState> {
  const q = broken.logs ?? quorumSize({ n, f });
  const c = broken.holders ?? holderCount({ n, f });
  const holderCountOf = (state: ListingState): number => countNodes(state, (node) => node.hasW) + f;
  const shownWith = (state: ListingState): number => countNodes(state, (node) => node.shown === 'with W');
  const answers = (state: ListingState): number => countNodes(state, (node) => node.shown !== 'nothing yet') + f;

  /** COMMIT of the writer, or of a lister that saw W: W is certified from the start. */
  function* takeW(state: ListingState, i: number, node: NodeState): Iterable<ListingStep> {
    if (!node.hasW) yield step(`node ${i} logs W`, withNode(state, i, { hasW: true }));
  }

  /** A log up to the checkpoint that the node signs now. */
  function* answer(state: ListingState, i: number, node: NodeState): Iterable<ListingStep> {
    if (state.phase !== 'reading' || node.shown !== 'nothing yet' || answers(state) >= q) return;
    yield step(`node ${i} shows its log`, withNode(state, i, { shown: node.hasW ? 'with W' : 'without W' }));
    if (broken.oldCheckpoints === true && node.hasW) yield step(`an earlier checkpoint of node ${i} is shown`, withNode(state, i, { shown: 'without W' }));
  }

  function* acknowledge(state: ListingState): Iterable<ListingStep> {
    if (!state.acknowledged && holderCountOf(state) >= c) yield step('W is acknowledged', { ...state, acknowledged: true });
  }

  function* start(state: ListingState): Iterable<ListingStep> {
    if (state.phase !== 'idle' || state.ended === 2) return;
    yield step('a listing begins', { ...state, phase: 'reading', mustShow: state.acknowledged || state.wasShown });
  }

  const end = (state: ListingState, isShown: boolean): ListingState => ({
    ...state,
    nodes: state.nodes.map((node) => ({ ...node, shown: 'nothing yet' })),
    ended: state.ended + 1,
    phase: 'idle',
    mustShow: false,
    wasShown: state.wasShown || isShown,
    missed: state.missed || (state.mustShow && !isShown),
  });

  /** q logs are read; the Byzantine ones have W or not. */
  function* conclude(state: ListingState): Iterable<ListingStep> {
    if (state.phase !== 'reading' || answers(state) < q) return;
    if (shownWith(state) === 0) yield step('the listing ends without W, the Byzantine nodes hide it', end(state, false));
    // The Byzantine nodes show it too: fewer logs than c may have it all the same.
    if (broken.noWriteBack === true || shownWith(state) + f >= c) yield step('the listing shows W', end(state, true));
    else yield step('the listing writes W back', { ...state, phase: 'writing back' });
  }

  function* endWriteBack(state: ListingState): Iterable<ListingStep> {
    if (state.phase === 'writing back' && holderCountOf(state) >= c) yield step('the listing shows W', end(state, true));
  }

  return {
    name: `listing: ${name}, n=${n}`,
    initial: [
      {
        nodes: makeNodes(n - f, () => ({ hasW: false, shown: 'nothing yet' })),
        acknowledged: false,
        ended: 0,
        phase: 'idle',
        mustShow: false,
        wasShown: false,
        missed: false,
      },
    ],
    key: canonicalKey,
    invariants: { 'a listing shows what was acknowledged or shown before': (state) => !state.missed },
    *next(state) {
      for (const [i, node] of state.nodes.entries()) {
        yield* takeW(state, i, node);
        yield* answer(state, i, node);
      }
      yield* acknowledge(state);
      yield* start(state);
      yield* conclude(state);
      yield* endWriteBack(state);
    },
  };
}
