/**
 * Compaction of a bucket (protocol 6.5, 13.14, traps H5 and H10): tombstones are kept until all keys of the bucket
 * have moved into a higher generation. The bucket's record raises the generation; once q nodes have adopted it, no
 * write of the old one can be certified any more (the barrier). The maintenance writer lists q adopters, writes
 * what is live anew in the new generation, as a successor of exactly the version that it saw. When a listing
 * shows nothing live below, the bucket is closed for certificates of the old generation, as before its deletion
 * (13.2), and listed again; if that shows nothing either, the floor is signed, else the bucket opens again. Under
 * the floor nodes drop what is below it, and readers believe it no more. A reader that learns of the floor asks
 * anew: what it heard before may be what the floor has dropped elsewhere.
 *
 * One key, with version V on all nodes (with nothing, if U creates it), and one user's write U of the old
 * generation. Must hold: what a read returns after U was acknowledged is U's content (or nothing, if U is the
 * delete), and before that V's or U's. Byzantine nodes sign everything and show any certificate there is, or none.
 */
import { holderCount, quorumSize } from '../../src/protocol/quorum.ts';
import { step } from './engine.ts';
import type { Model, Step } from './engine.ts';
import { canonicalKey, countNodes, makeNodes, withNode } from './interchangeable.ts';

export interface CompactionOptions {
  readonly n?: number;
  readonly f?: number;
  readonly user: 'creates' | 'overwrites' | 'deletes';
  readonly broken?: {
    /** A node drops a tombstone that it holds when it pleases. */
    readonly dropsTombstones?: boolean;
    /** What is live is written anew as a PLAIN write, whatever has come meanwhile. */
    readonly plainReissue?: boolean;
    /** Nodes that adopted the record go on with writes of the old generation. */
    readonly noBarrier?: boolean;
    /** Certificates of the old generation are taken until the floor comes. */
    readonly notClosed?: boolean;
    /** The listings read logs of nodes that have not adopted the record, or are not closed. */
    readonly listsAnyone?: boolean;
    /** The listing does not bring to c nodes what it found in the new generation. */
    readonly noWriteBack?: boolean;
    /** A reader that learns of the floor keeps the answers that it got before. */
    readonly keepsAnswers?: boolean;
    /** A reader goes by the highest certificate alone. */
    readonly readerWithoutFloor?: boolean;
  };
}

/** In the order of stamps. V2 and U2 are the same contents in the new generation. */
const VERSIONS = ['none', 'V', 'U', 'V2', 'U2'] as const;
type Version = (typeof VERSIONS)[number];
const rank = (version: Version): number => VERSIONS.indexOf(version);
const higher = (a: Version, b: Version): Version => (rank(a) >= rank(b) ? a : b);
const isOld = (version: Version): boolean => version === 'V' || version === 'U';

interface NodeState {
  readonly max: Version;
  readonly adopted: boolean;
  /** Takes no certificate of the old generation. */
  readonly closed: boolean;
  readonly hasFloor: boolean;
  readonly signedU: boolean;
  readonly signedAnew: boolean;
  readonly listed: boolean;
  readonly answered: boolean;
}

interface CompactionState {
  readonly nodes: readonly NodeState[];
  readonly certified: readonly Version[];
  /** The user's write has been acknowledged. */
  readonly acknowledged: boolean;
  readonly maintenance: 'listing' | 'rewriting' | 'closing' | 'opened again' | 'done';
  /** Highest version that the present listing has seen; while rewriting: the one to be written anew. */
  readonly seen: Version;
  readonly floor: boolean;
  readonly reader: { readonly phase: 'idle' | 'reading'; readonly highest: Version; readonly knowsFloor: boolean; readonly afterU: boolean };
  readonly wrongRead: boolean;
}

type CompactionStep = Step<CompactionState>;

export function compaction(name: string, { n = 4, f = 1, user, broken = {} }: CompactionOptions): Model<CompactionState> {
  const q = quorumSize({ n, f });
  const c = holderCount({ n, f });
  const isTombstone = (version: Version): boolean => version === 'U' && user === 'deletes';
  const anew = (version: Version): Version => (version === 'V' ? 'V2' : 'U2');
  const first: Version = user === 'creates' ? 'none' : 'V';
  const idleReader: CompactionState['reader'] = { phase: 'idle', highest: 'none', knowsFloor: false, afterU: false };
  const certify = (state: CompactionState, version: Version): CompactionState => ({ ...state, certified: [...state.certified, version].sort((a, b) => rank(a) - rank(b)) });

  /** PREPARE of U: P6, and the generation of the record (P7, 13.2). */
  function* signU(state: CompactionState, i: number, node: NodeState): Iterable<CompactionStep> {
    if (node.signedU || rank(node.max) >= rank('U') || (node.adopted && broken.noBarrier !== true)) return;
    yield step(`node ${i} gives a receipt for U`, withNode(state, i, { signedU: true }));
  }

  /** PREPARE of the version written anew: its predecessor is the highest here, and no receipt above that is owed. */
  function* signAnew(state: CompactionState, i: number, node: NodeState): Iterable<CompactionStep> {
    if (state.maintenance !== 'rewriting' || node.signedAnew || !node.adopted) return;
    const follows = node.max === state.seen && !(node.signedU && state.seen === 'V');
    if (broken.plainReissue === true || follows) yield step(`node ${i} gives a receipt for ${anew(state.seen)}`, withNode(state, i, { signedAnew: true }));
  }

  /** COMMIT, from whomever; below the floor, and where the bucket is closed, it is refused. */
  function* takeCertificate(state: CompactionState, i: number, node: NodeState): Iterable<CompactionStep> {
    for (const version of state.certified) {
      const isRefused = node.hasFloor || (node.closed && state.maintenance !== 'opened again' && broken.notClosed !== true);
      if (rank(version) <= rank(node.max) || (isOld(version) && isRefused)) continue;
      yield step(`the certificate of ${version} reaches node ${i}`, withNode(state, i, { max: version }));
    }
  }

  function* adopt(state: CompactionState, i: number, node: NodeState): Iterable<CompactionStep> {
    if (!node.adopted) yield step(`node ${i} adopts the new generation`, withNode(state, i, { adopted: true }));
    if (state.maintenance === 'closing' && !node.closed) yield step(`node ${i} closes the old generation`, withNode(state, i, { adopted: true, closed: true }));
    if (state.floor && !node.hasFloor) yield step(`node ${i} takes the floor`, withNode(state, i, { adopted: true, hasFloor: true, max: isOld(node.max) ? 'none' : node.max }));
    if (broken.dropsTombstones === true && isTombstone(node.max)) yield step(`node ${i} drops the tombstone`, withNode(state, i, { max: 'none' }));
  }

  function* showLister(state: CompactionState, i: number, node: NodeState): Iterable<CompactionStep> {
    const isListed = (state.maintenance === 'listing' && node.adopted) || (state.maintenance === 'closing' && node.closed);
    const isAnyone = broken.listsAnyone === true && (state.maintenance === 'listing' || state.maintenance === 'closing');
    if (node.listed || !(isListed || isAnyone)) return;
    yield step(`node ${i} shows the lister ${node.max}`, { ...withNode(state, i, { listed: true }), seen: higher(state.seen, node.max) });
  }

  function* showReader(state: CompactionState, i: number, node: NodeState): Iterable<CompactionStep> {
    const { reader } = state;
    if (reader.phase !== 'reading' || node.answered) return;
    if (node.hasFloor && !reader.knowsFloor && broken.keepsAnswers !== true) {
      const asksAnew = { ...state, nodes: state.nodes.map((other) => ({ ...other, answered: false })), reader: { ...reader, highest: 'none' as const, knowsFloor: true } };
      return yield step(`node ${i} shows the reader the floor, and the reader asks anew`, asksAnew);
    }
    const heard = { ...reader, highest: higher(reader.highest, node.max), knowsFloor: reader.knowsFloor || node.hasFloor };
    yield step(`node ${i} shows the reader ${node.max}`, { ...withNode(state, i, { answered: true }), reader: heard });
  }

  function* userWrites(state: CompactionState): Iterable<CompactionStep> {
    if (!state.certified.includes('U') && countNodes(state, (node) => node.signedU) + f >= q) yield step('U is certified', certify(state, 'U'));
    const isHeld = state.certified.includes('U') && countNodes(state, (node) => rank(node.max) >= rank('U')) + f >= c;
    if (isHeld && !state.acknowledged) yield step('U is acknowledged', { ...state, acknowledged: true });
  }

  /** What q logs show: something to write anew, or nothing live below. */
  function* endListing(state: CompactionState): Iterable<CompactionStep> {
    const isFirst = state.maintenance === 'listing';
    if ((!isFirst && state.maintenance !== 'closing') || countNodes(state, (node) => node.listed) + f < q) return;
    const fresh: CompactionState = { ...state, nodes: state.nodes.map((node) => ({ ...node, listed: false })), seen: 'none' };
    for (const shown of ['none', ...state.certified] as const) {
      const seen = higher(state.seen, shown);
      // A listing writes back what it shows (6.6): the floor drops the versions in whose place this one stands.
      const isOnC = broken.noWriteBack === true || countNodes(state, (node) => rank(node.max) >= rank(seen)) + f >= c;
      if (isOld(seen) && !isTombstone(seen)) {
        yield step(`the listing finds ${seen}, live`, isFirst ? { ...fresh, seen, maintenance: 'rewriting' } : { ...fresh, maintenance: 'opened again' });
      } else if (isFirst) {
        yield step(`the listing finds nothing live below, but ${seen}`, { ...fresh, maintenance: 'closing' });
      } else if (isOld(seen) || isOnC) {
        yield step(`the listing finds nothing live below, but ${seen}; the floor is signed`, { ...fresh, maintenance: 'done', floor: true });
      }
    }
  }

  /** Certified, and on c nodes: listed again. A successor that cannot be certified is given up, and listed again too. */
  function* endRewriting(state: CompactionState): Iterable<CompactionStep> {
    if (state.maintenance !== 'rewriting') return;
    const version = anew(state.seen);
    const again: CompactionState = { ...state, nodes: state.nodes.map((node) => ({ ...node, signedAnew: false })), maintenance: 'listing', seen: 'none' };
    if (!state.certified.includes(version)) {
      if (countNodes(state, (node) => node.signedAnew) + f >= q) yield step(`${version} is certified`, certify(state, version));
    } else if (countNodes(state, (node) => rank(node.max) >= rank(version)) + f >= c) {
      yield step(`${version} is on c nodes`, again);
    }
    if (countNodes(state, (node) => rank(node.max) > rank(state.seen)) > 0) yield step(`${state.seen} has been replaced`, again);
  }

  function* read(state: CompactionState): Iterable<CompactionStep> {
    const { reader } = state;
    if (reader.phase === 'idle') yield step('a read begins', { ...state, reader: { ...idleReader, phase: 'reading', afterU: state.acknowledged } });
    if (reader.phase !== 'reading' || countNodes(state, (node) => node.answered) + f < q) return;
    for (const shown of ['none', ...state.certified] as const) {
      const highest = higher(reader.highest, shown);
      const found = isOld(highest) && reader.knowsFloor && broken.readerWithoutFloor !== true ? 'none' : highest;
      yield step(`the read finds ${found}`, {
        ...state,
        nodes: state.nodes.map((node) => ({ ...node, answered: false })),
        reader: idleReader,
        wrongRead: state.wrongRead || !isRight(state, found, reader.afterU),
      });
    }
  }

  function isRight(state: CompactionState, found: Version, afterU: boolean): boolean {
    const isDeleted = found === 'none' || isTombstone(found);
    if (user === 'deletes') return isDeleted ? state.certified.includes('U') : !afterU;
    if (found === 'U' || found === 'U2') return true;
    return !afterU && (user === 'creates' ? isDeleted : !isDeleted);
  }

  return {
    name: `compaction, the user ${user}: ${name}, n=${n}`,
    initial: [
      {
        nodes: makeNodes(n - f, () => ({ max: first, adopted: false, closed: false, hasFloor: false, signedU: false, signedAnew: false, listed: false, answered: false })),
        certified: first === 'V' ? ['V'] : [],
        acknowledged: false,
        maintenance: 'listing',
        seen: 'none',
        floor: false,
        reader: idleReader,
        wrongRead: false,
      },
    ],
    key: canonicalKey,
    invariants: { 'a read returns what was written last': (state) => !state.wrongRead },
    *next(state) {
      for (const [i, node] of state.nodes.entries()) {
        yield* signU(state, i, node);
        yield* signAnew(state, i, node);
        yield* takeCertificate(state, i, node);
        yield* adopt(state, i, node);
        yield* showLister(state, i, node);
        yield* showReader(state, i, node);
      }
      yield* userWrites(state);
      yield* endListing(state);
      yield* endRewriting(state);
      yield* read(state);
    },
  };
}
