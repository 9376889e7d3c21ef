/**
 * A write acknowledged after one phase (protocol 6.9): q nodes have stored fragment and manifest, there is no
 * certificate, and a reader completes whatever it can decode from its q answers. Safe iff k <= n-3f, which is why
 * the protocol has a second phase. Two writes with stamps 1 and 2; the version before them has stamp 0.
 *
 * The f Byzantine nodes give every receipt; to a reader each shows its fragment or denies it.
 */
import { quorumSize } from '../../src/protocol/quorum.ts';
import { step } from './engine.ts';
import type { Model, Step } from './engine.ts';
import { canonicalKey, countNodes, makeNodes, withEveryNode, withNode } from './interchangeable.ts';

export interface OnePhaseNumbers {
  readonly n: number;
  readonly f: number;
  readonly k: number;
}

interface OnePhaseState {
  readonly nodes: readonly {
    /** By stamp: is its fragment here? */
    readonly stored: readonly [boolean, boolean, boolean];
    /** Has it answered the reader? */
    readonly answered: boolean;
  }[];
  readonly writes: readonly { readonly phase: 'idle' | 'sent' | 'acked'; readonly floor: number }[];
  readonly reader: {
    readonly phase: 'idle' | 'asking' | 'completing';
    /** By stamp: fragments that correct nodes have shown. */
    readonly shown: readonly [number, number, number];
    /** Stamp that it has decoded and completes. */
    readonly decoded: number;
    readonly floor: number;
  };
  /** Highest stamp that a completed operation has written or returned. */
  readonly completed: number;
  /** A client has seen something that no order of the operations explains. */
  readonly disorder: boolean;
}

type Stamp = 0 | 1 | 2;
const WRITES: readonly Stamp[] = [1, 2];

export function onePhase({ n, f, k }: OnePhaseNumbers): Model<OnePhaseState> {
  const q = quorumSize({ n, f });
  const receipts = (state: OnePhaseState, stamp: number): number => f + countNodes(state, (node) => node.stored[stamp] === true);
  const isSent = (state: OnePhaseState, stamp: Stamp): boolean => stamp === 0 || state.writes[stamp - 1]?.phase !== 'idle';
  const withWrite = (state: OnePhaseState, stamp: Stamp, change: Partial<OnePhaseState['writes'][number]>): OnePhaseState => ({
    ...state,
    writes: state.writes.map((write, j) => (j === stamp - 1 ? { ...write, ...change } : write)),
  });

  /** A node stores what was sent and gives its receipt. */
  function* storeFragment(state: OnePhaseState, i: number): Iterable<Step<OnePhaseState>> {
    const [first, second, third] = state.nodes[i]?.stored ?? [true, true, true];
    if (isSent(state, 1) && !second) yield step(`node ${i} stores its fragment of stamp 1`, withNode(state, i, { stored: [first, true, third] }));
    if (isSent(state, 2) && !third) yield step(`node ${i} stores its fragment of stamp 2`, withNode(state, i, { stored: [first, second, true] }));
  }

  /** A write begins; its query has shown it that nothing as high is complete. */
  function* startWrite(state: OnePhaseState, stamp: Stamp): Iterable<Step<OnePhaseState>> {
    if (state.writes[stamp - 1]?.phase !== 'idle' || state.completed >= stamp) return;
    yield step(`write ${stamp} starts`, withWrite(state, stamp, { phase: 'sent', floor: state.completed }));
  }

  /** The one phase: q receipts are the acknowledgement. */
  function* acknowledge(state: OnePhaseState, stamp: Stamp): Iterable<Step<OnePhaseState>> {
    const write = state.writes[stamp - 1];
    if (write?.phase !== 'sent' || receipts(state, stamp) < q) return;
    yield step(`write ${stamp} is acknowledged after ${q} receipts`, {
      ...withWrite(state, stamp, { phase: 'acked' }),
      disorder: state.disorder || stamp <= write.floor,
      completed: Math.max(state.completed, stamp),
    });
  }

  /** The reader waits for q answers in all, the f Byzantine ones among them. */
  function* answerReader(state: OnePhaseState, i: number): Iterable<Step<OnePhaseState>> {
    const node = state.nodes[i];
    const { reader } = state;
    if (node === undefined || node.answered || reader.phase !== 'asking' || countNodes(state, (other) => other.answered) + f >= q) return;
    const shows = (stamp: Stamp): number => reader.shown[stamp] + (node.stored[stamp] ? 1 : 0);
    yield step(`node ${i} answers the reader`, { ...withNode(state, i, { answered: true }), reader: { ...reader, shown: [shows(0), shows(1), shows(2)] } });
  }

  function* startRead(state: OnePhaseState): Iterable<Step<OnePhaseState>> {
    const { reader } = state;
    if (reader.phase !== 'idle') return;
    yield step('the reader starts', { ...state, reader: { ...reader, phase: 'asking', floor: state.completed, shown: [0, 0, 0] } });
  }

  /** With q answers the reader takes the highest stamp that it can decode, and ignores what it cannot. */
  function* decode(state: OnePhaseState): Iterable<Step<OnePhaseState>> {
    const { reader } = state;
    if (reader.phase !== 'asking' || countNodes(state, (node) => node.answered) + f < q) return;
    for (let byzantine = 0; byzantine <= f; byzantine++) {
      const decoded = WRITES.findLast((stamp) => isSent(state, stamp) && reader.shown[stamp] + byzantine >= k) ?? 0;
      yield step(`the reader decodes stamp ${decoded}, with ${byzantine} Byzantine fragments`, {
        ...withEveryNode(state, { answered: false }),
        reader: { ...reader, phase: 'completing', decoded, shown: [0, 0, 0] },
      });
    }
  }

  /** The read returns once q nodes hold what it decoded. */
  function* finishRead(state: OnePhaseState): Iterable<Step<OnePhaseState>> {
    const { phase, decoded, floor } = state.reader;
    if (phase !== 'completing' || receipts(state, decoded) < q) return;
    yield step(`the reader returns stamp ${decoded}`, {
      ...state,
      disorder: state.disorder || decoded < floor,
      completed: Math.max(state.completed, decoded),
      reader: { ...state.reader, phase: 'idle', decoded: 0, floor: 0 },
    });
  }

  return {
    name: `one phase: n=${n} f=${f} k=${k}`,
    initial: [
      {
        nodes: makeNodes(n - f, () => ({ stored: [true, false, false], answered: false })),
        writes: WRITES.map(() => ({ phase: 'idle', floor: 0 })),
        reader: { phase: 'idle', shown: [0, 0, 0], decoded: 0, floor: 0 },
        completed: 0,
        disorder: false,
      },
    ],
    key: canonicalKey,
    invariants: {
      linearizable: (state) => !state.disorder,
      'acknowledged is decodable from correct nodes': (state) => receipts(state, state.completed) - f >= k,
    },
    *next(state) {
      for (const i of state.nodes.keys()) yield* storeFragment(state, i);
      for (const stamp of WRITES) {
        yield* startWrite(state, stamp);
        yield* acknowledge(state, stamp);
      }
      yield* startRead(state);
      for (const i of state.nodes.keys()) yield* answerReader(state, i);
      yield* decode(state);
      yield* finishRead(state);
    },
  };
}
