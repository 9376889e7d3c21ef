/**
 * One storage node and one key (protocol 5, 6.7): every request about the key that a node may get, in every
 * state that it may get it in, and what a correct node answers. The other models take a node's word for what it
 * accepts; this one says what that word is, request by request, so that spec/replay/ can ask a real node the
 * same. The world around the node is the worst there is: any certificate, any licence, at any time.
 */
import { acceptedAt, EMPTY_KEY, follow, maxStampOf, promisedNever } from '../../src/sim/checkers/register-automaton.ts';
import type { Head, KeyEvent, KeyState } from '../../src/sim/checkers/register-automaton.ts';
import { compareStamps, sameStamp } from '../../src/protocol/stamp.ts';
import type { Stamp } from '../../src/protocol/stamp.ts';
import { orderedStamps, realStamp } from './acceptance.ts';
import type { ModelStamp } from './acceptance.ts';
import { step } from './engine.ts';
import type { Model, Step } from './engine.ts';

/** Which manifest: position of its stamp, 1 and up, and which of those with this stamp. */
export interface HeadName {
  readonly stamp: number;
  readonly value: number;
}

export type NodeRequest =
  | { readonly type: 'PREPARE' | 'COMMIT'; readonly head: HeadName }
  | { readonly type: 'RESOLVE'; readonly stamp: number; readonly promise: boolean }
  | { readonly type: 'ABORT'; readonly stamp: number };

export interface NodeOptions {
  readonly writers?: number;
  readonly counterMax?: number;
  /** Manifests that writer 1 makes of one stamp; the others make one. */
  readonly values?: number;
  /** Rules that the node of the model leaves out, to see that a real node does not follow it. */
  readonly broken?: { readonly noP6?: boolean; readonly noP8?: boolean; readonly forgetsNever?: boolean };
}

export interface NodeStep extends Step<KeyState> {
  readonly request: NodeRequest;
  /** In words, so that it can be compared with what a real node says. */
  readonly answer: string;
}

export interface NodeModel extends Model<KeyState, NodeStep> {
  /** Its highest version in the words of an answer. */
  describeMax(state: KeyState): string;
  /** By position. */
  readonly stamps: readonly ModelStamp[];
}

/** In a state's text a head is "stamp.value". */
export const headText = ({ stamp, value }: HeadName): string => `${stamp}.${value}`;

export function nodeModel(name: string, options: NodeOptions = {}): NodeModel {
  const { writers = 2, counterMax = 2, values = 2, broken = {} } = options;
  const stamps = orderedStamps(writers, counterMax);
  const positions = Array.from(stamps.keys()).slice(1);
  const heads = positions.flatMap((stamp) => Array.from({ length: stamps[stamp]?.writer === 1 ? values : 1 }, (_, value) => ({ stamp, value })));
  const stampAt = (position: number): Stamp => realStamp(stamps[position] ?? { counter: 0, writer: 0 });
  const positionOf = (stamp: Stamp): number => stamps.findIndex((other) => sameStamp(realStamp(other), stamp));
  const headOf = (head: HeadName): Head => ({ stamp: stampAt(head.stamp), hash: headText(head) });

  /** What a node writes down and then answers, or answers without a word in its log. */
  function answer(state: KeyState, request: NodeRequest): { readonly answer: string; readonly event?: KeyEvent } {
    switch (request.type) {
      case 'PREPARE':
        return prepare(state, headOf(request.head));
      case 'COMMIT': {
        const head = headOf(request.head);
        return compareStamps(head.stamp, maxStampOf(state)) > 0 ? { answer: 'acknowledged', event: { type: 'COMMITTED', head } } : { answer: 'acknowledged' };
      }
      case 'RESOLVE':
        return resolve(state, stampAt(request.stamp), request.promise);
      case 'ABORT':
        return abort(state, stampAt(request.stamp));
    }
  }

  /** The same promise again; else P6, P8 and the promises of NEVER, in this order. */
  function prepare(state: KeyState, head: Head): { readonly answer: string; readonly event?: KeyEvent } {
    const { max } = state;
    if (max?.hash === head.hash) return { answer: state.maxHasReceipt ? 'receipt' : 'CONFLICT' };
    if (state.accepted.some(({ hash }) => hash === head.hash)) return { answer: 'receipt' };
    const first = acceptedAt(state, head.stamp);
    if (broken.noP6 !== true && compareStamps(head.stamp, maxStampOf(state)) <= 0) return { answer: `SUPERSEDED by ${max?.hash ?? 'nothing'}` };
    if (broken.noP8 !== true && first !== undefined) return { answer: `EQUIVOCATION after ${first.hash}` };
    if (broken.forgetsNever !== true && promisedNever(state, head.stamp)) return { answer: 'CONFLICT' };
    return { answer: 'receipt', event: { type: 'PREPARED', head } };
  }

  function resolve(state: KeyState, stamp: Stamp, promise: boolean): { readonly answer: string; readonly event?: KeyEvent } {
    const accepted = state.max !== null && sameStamp(state.max.stamp, stamp) ? state.max : acceptedAt(state, stamp);
    if (accepted !== undefined) return { answer: `accepted ${accepted.hash}` };
    if (compareStamps(stamp, maxStampOf(state)) <= 0 || promisedNever(state, stamp)) return { answer: 'never' };
    return promise ? { answer: 'never', event: { type: 'NEVER', stamp } } : { answer: 'NOT_HELD' };
  }

  function abort(state: KeyState, stamp: Stamp): { readonly answer: string; readonly event?: KeyEvent } {
    if (state.max !== null && sameStamp(state.max.stamp, stamp)) return { answer: 'DENIED' };
    return acceptedAt(state, stamp) === undefined ? { answer: 'let go' } : { answer: 'let go', event: { type: 'ABORT', stamp } };
  }

  function* requests(): Iterable<NodeRequest> {
    for (const head of heads) yield { type: 'PREPARE', head };
    for (const head of heads) yield { type: 'COMMIT', head };
    for (const stamp of positions) {
      for (const promise of [false, true]) yield { type: 'RESOLVE', stamp, promise };
      yield { type: 'ABORT', stamp };
    }
  }

  return {
    name: `node: ${name}`,
    initial: [EMPTY_KEY],
    stamps,
    describeMax: ({ max }) => max?.hash ?? 'nothing',
    key: (state) => encodeState(state, positionOf),
    invariants: {
      'a receipt that binds stands above the certificate': (state) => state.accepted.every(({ stamp }) => compareStamps(stamp, maxStampOf(state)) > 0),
      'one receipt a stamp, and none where NEVER is promised': ({ accepted, never }) => {
        const taken = [...accepted.map(({ stamp }) => stamp), ...never].map(positionOf);
        return new Set(taken).size === taken.length;
      },
    },
    *next(state) {
      for (const request of requests()) {
        const { answer: said, event } = answer(state, request);
        const after = event === undefined ? state : stateAfter(state, event);
        yield { ...step(`${describeRequest(request)}: ${said}`, after), request, answer: said };
      }
    },
  };

  function stateAfter(state: KeyState, event: KeyEvent): KeyState {
    const followed = follow(state, event);
    if (followed.ok) return followed.state;
    // A node without a rule writes what the automaton forbids; what it knows then is the model's matter alone.
    return event.type === 'PREPARED' ? { ...state, accepted: [...state.accepted, event.head] } : state;
  }
}

export function describeRequest(request: NodeRequest): string {
  switch (request.type) {
    case 'PREPARE':
    case 'COMMIT':
      return `${request.type} ${headText(request.head)}`;
    case 'RESOLVE':
      return `RESOLVE ${request.stamp}${request.promise ? ', and promise NEVER' : ''}`;
    case 'ABORT':
      return `ABORT ${request.stamp}`;
  }
}

/** What is superseded is left out: no answer to these requests depends on it. */
function encodeState({ max, maxHasReceipt, accepted, never }: KeyState, positionOf: (stamp: Stamp) => number): string {
  const taken = accepted.map(({ hash }) => hash).sort();
  return `${max?.hash ?? ''}${maxHasReceipt ? '+' : ''}|${taken.join()}|${never.map(positionOf).sort().join()}`;
}
