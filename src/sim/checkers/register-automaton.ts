/**
 * One key on one correct node, step by step, as the models have it (spec/models/register.ts, protocol 5 and 6.7):
 * what the node may write into its log next, and what it knows then. It says in its own words what
 * src/protocol/predicates.ts says in the node's, because a checker that asked the code it checks would find
 * nothing; spec/models/node.test.ts holds the two equal. RegisterAutomaton holds whole logs against it.
 */
import { hex } from '../../base/bytes.ts';
import { decodeEntry } from '../../log/entry-types.ts';
import type { Entry } from '../../log/entry-types.ts';
import { decode } from '../../protocol/encoding.ts';
import type { Decoded } from '../../protocol/encoding.ts';
import { decodeCommitted, decodeEvict, decodeRepaired, decodeStampBody, LEAF_BYTES_MAX } from '../../protocol/log-entries.ts';
import { receiptSchema } from '../../protocol/receipt.ts';
import { compareBallots } from '../../protocol/slot.ts';
import type { Ballot } from '../../protocol/slot.ts';
import { compareStamps, COUNTER_STEP_MAX, sameStamp, ZERO_STAMP } from '../../protocol/stamp.ts';
import type { Stamp } from '../../protocol/stamp.ts';

/** A manifest: its place in the order of versions, and which of those that claim this place. */
export interface Head {
  readonly stamp: Stamp;
  readonly hash: string;
  /** Of a receipt in a slot: in the order of ballots. */
  readonly ballot?: Ballot;
}

export interface KeyState {
  /** The highest version whose certificate the node holds. */
  readonly max: Head | null;
  /** Did the node give a receipt for it, before the certificate came? */
  readonly maxHasReceipt: boolean;
  /** Receipts above `max`: they bind. */
  readonly accepted: readonly Head[];
  /** Stamps above `max` where it has promised never to accept a manifest. */
  readonly never: readonly Stamp[];
  /** Versions below `max` whose content it need not keep and has not let go yet. */
  readonly superseded: readonly Head[];
}

/** One entry of the log that is about the key. */
export type KeyEvent =
  | { readonly type: 'PREPARED' | 'COMMITTED'; readonly head: Head }
  | { readonly type: 'NEVER' | 'ABORT'; readonly stamp: Stamp }
  | { readonly type: 'EVICT'; readonly hash: string; readonly byHash: string }
  | { readonly type: 'REPAIRED'; readonly hash: string };

export type Followed = { readonly ok: true; readonly state: KeyState } | { readonly ok: false; readonly reason: string };

export const EMPTY_KEY: KeyState = { max: null, maxHasReceipt: false, accepted: [], never: [], superseded: [] };

export const maxStampOf = ({ max }: KeyState): Stamp => max?.stamp ?? ZERO_STAMP;

export const acceptedAt = ({ accepted }: KeyState, stamp: Stamp): Head | undefined => accepted.find((head) => sameStamp(head.stamp, stamp));

export const promisedNever = ({ never }: KeyState, stamp: Stamp): boolean => never.some((other) => sameStamp(other, stamp));

/** The state after the event, or why no correct node writes it. */
export function follow(state: KeyState, event: KeyEvent): Followed {
  switch (event.type) {
    case 'PREPARED':
      return prepare(state, event.head);
    case 'COMMITTED':
      return commit(state, event.head);
    case 'NEVER':
      return never(state, event.stamp);
    case 'ABORT':
      return abort(state, event.stamp);
    case 'EVICT':
      return evict(state, event.hash, event.byHash);
    case 'REPAIRED':
      return event.hash === state.max?.hash ? { ok: true, state } : forbidden('repairs what is not its highest version');
  }
}

const forbidden = (reason: string): Followed => ({ ok: false, reason });

const isAbove = (state: KeyState, stamp: Stamp): boolean => compareStamps(stamp, maxStampOf(state)) > 0;

/** P6, P7 and P8: above every certificate held, not far above, and one manifest a stamp, once. */
function prepare(state: KeyState, head: Head): Followed {
  const { stamp } = head;
  const max = maxStampOf(state);
  if (!isAbove(state, stamp)) return forbidden('accepts at or below the certificate that it holds');
  if (stamp.counter > (stamp.gen === max.gen ? max.counter : 0) + COUNTER_STEP_MAX) return forbidden('accepts a counter far above the certified one');
  const other = acceptedAt(state, stamp);
  if (other !== undefined && other.hash !== head.hash) return forbidden('accepts two manifests of one stamp');
  if (other !== undefined) {
    // In a slot the same manifest may be accepted again, in a higher ballot.
    const isHigher = head.ballot !== undefined && other.ballot !== undefined && compareBallots(head.ballot, other.ballot) > 0;
    if (!isHigher) return forbidden('accepts one manifest twice');
    return { ok: true, state: { ...state, accepted: state.accepted.map((one) => (one === other ? head : one)) } };
  }
  if (promisedNever(state, stamp)) return forbidden('accepts where it promised NEVER to');
  return { ok: true, state: { ...state, accepted: [...state.accepted, head] } };
}

/** A higher certificate: receipts and promises at or below it bind no more. */
function commit(state: KeyState, head: Head): Followed {
  if (!isAbove(state, head.stamp)) return forbidden('goes back to a lower certificate');
  const isBelow = ({ stamp, hash }: Head): boolean => hash !== head.hash && compareStamps(stamp, head.stamp) <= 0;
  return {
    ok: true,
    state: {
      max: head,
      maxHasReceipt: state.accepted.some(({ hash }) => hash === head.hash),
      accepted: state.accepted.filter(({ stamp }) => compareStamps(stamp, head.stamp) > 0),
      never: state.never.filter((stamp) => compareStamps(stamp, head.stamp) > 0),
      superseded: [...state.superseded, ...(state.max === null ? [] : [state.max]), ...state.accepted.filter(isBelow)],
    },
  };
}

/** A promise is written down only where nothing else says the same already. */
function never(state: KeyState, stamp: Stamp): Followed {
  if (acceptedAt(state, stamp) !== undefined) return forbidden('promises NEVER where it has accepted');
  if (!isAbove(state, stamp) || promisedNever(state, stamp)) return forbidden('promises NEVER where that goes without saying');
  return { ok: true, state: { ...state, never: [...state.never, stamp] } };
}

/** An abort licence: the receipt binds no more, and there will be no other at its stamp. */
function abort(state: KeyState, stamp: Stamp): Followed {
  const head = acceptedAt(state, stamp);
  if (head === undefined) return forbidden('lets go of what it has not accepted');
  const promised = promisedNever(state, stamp) ? state.never : [...state.never, stamp];
  return { ok: true, state: { ...state, accepted: state.accepted.filter((other) => other !== head), never: promised } };
}

/** GC: content goes on the word of a certificate above it that the node has held. */
function evict(state: KeyState, hash: string, byHash: string): Followed {
  const gone = state.superseded.find((head) => head.hash === hash);
  const by = [state.max, ...state.superseded].find((head) => head?.hash === byHash);
  if (gone === undefined) return forbidden('lets the content of a version go that nothing has superseded');
  // Of two manifests of one stamp the one without the certificate goes, on the word of the other (I1).
  if (by === null || by === undefined || by === gone || compareStamps(by.stamp, gone.stamp) < 0) return forbidden('lets content go on the word of no higher certificate');
  return { ok: true, state: { ...state, superseded: state.superseded.filter((head) => head !== gone) } };
}

interface Observed {
  readonly keyId: Uint8Array;
  readonly event: KeyEvent;
}

/** A leaf that is about a key; null when it is about none. */
function eventOf({ type, body }: Entry): Decoded<Observed> | null {
  switch (type) {
    case 'PREPARED':
      return map(decode(receiptSchema, body, LEAF_BYTES_MAX), ({ keyId, stamp, manifestHash, ballot }) => {
        const head: Head = { stamp, hash: hex(manifestHash), ...(ballot === undefined ? {} : { ballot }) };
        return { keyId, event: { type, head } };
      });
    case 'COMMITTED':
      return map(decodeCommitted(body), ({ keyId, stamp, manifestHash }) => ({ keyId, event: { type, head: { stamp, hash: hex(manifestHash) } } }));
    case 'NEVER':
    case 'ABORT':
      return map(decodeStampBody(body), ({ keyId, stamp }) => ({ keyId, event: { type, stamp } }));
    case 'EVICT':
      return map(decodeEvict(body), ({ keyId, manifestHash, byHash }) => ({ keyId, event: { type, hash: hex(manifestHash), byHash: hex(byHash) } }));
    case 'REPAIRED':
      return map(decodeRepaired(body), ({ keyId, manifestHash }) => ({ keyId, event: { type, hash: hex(manifestHash) } }));
    default:
      return null;
  }
}

function map<A, B>(decoded: Decoded<A>, to: (value: A) => B): Decoded<B> {
  return decoded.ok ? { ok: true, value: to(decoded.value) } : decoded;
}

/** Follows the logs of correct nodes, leaf by leaf, each from its beginning. */
export class RegisterAutomaton {
  /** By node: how far its log was followed, and what it knows of each key; null where it went astray. */
  readonly #nodes = new Map<string, { size: number; readonly keys: Map<string, KeyState | null> }>();
  /** Keys that keep versions, in hex: of these the model says nothing but that what is certified was accepted. */
  readonly #keeping: ReadonlySet<string>;
  /** By manifest: the nodes that accepted it. */
  readonly #acceptedBy = new Map<string, Set<string>>();
  readonly #certified = new Set<string>();
  readonly #violations: string[] = [];

  constructor(keeping: ReadonlySet<string> = new Set()) {
    this.#keeping = keeping;
  }

  /** The next leaf of the node's log. */
  observe(name: string, leaf: Uint8Array): void {
    const node = this.#nodes.get(name) ?? { size: 0, keys: new Map<string, KeyState | null>() };
    this.#nodes.set(name, node);
    const place = `${name}: entry ${node.size} of its log`;
    node.size += 1;
    const entry = decodeEntry(leaf);
    if (entry === null) return void this.#violations.push(`${place} is malformed`);
    const observed = eventOf(entry);
    if (observed === null) return;
    if (!observed.ok) return void this.#violations.push(`${place}: ${observed.reason}`);
    const { keyId, event } = observed.value;
    this.#count(name, event);
    const key = hex(keyId);
    const state = node.keys.get(key);
    // Once a node has gone astray with a key, nothing says what it should do next.
    if (state === null || this.#keeping.has(key)) return;
    const followed = follow(state ?? EMPTY_KEY, event);
    node.keys.set(key, followed.ok ? followed.state : null);
    if (!followed.ok) this.#violations.push(`${place}: it ${followed.reason} (${event.type}, key ${key.slice(0, 12)})`);
  }

  /**
   * What no behaviour of the model explains. `receiptsNeeded`: from how many of the observed nodes a certificate
   * must have receipts, whatever the others signed; their logs must be complete.
   */
  violations(receiptsNeeded: number): readonly string[] {
    const uncertain = [...this.#certified].filter((hash) => (this.#acceptedBy.get(hash)?.size ?? 0) < receiptsNeeded);
    return [...this.#violations, ...uncertain.map((hash) => `${hash.slice(0, 12)} is certified, and fewer than ${receiptsNeeded} correct nodes have accepted it`)];
  }

  #count(name: string, event: KeyEvent): void {
    if (event.type === 'COMMITTED') this.#certified.add(event.head.hash);
    if (event.type !== 'PREPARED') return;
    const { hash } = event.head;
    this.#acceptedBy.set(hash, (this.#acceptedBy.get(hash) ?? new Set()).add(name));
  }
}
