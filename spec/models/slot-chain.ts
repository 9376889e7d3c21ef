/**
 * The chain of slots with COMMIT (protocol 6.4, 13.7, I8): one key whose writes are conditional, each the successor
 * of the version that its gateway has read. slots.ts has one slot; here a certificate opens the next one on each
 * node that takes it, while others are still at the one before. Gateway 0 writes twice in a row, gateway 1 once.
 *
 * Must hold: a version has at most one certified successor, and that stands above it, so that no conditional write
 * takes the place of one that it has not seen; and a gateway that starts after an acknowledgement reads that
 * version or a later one. Byzantine nodes promise and sign everything that a gateway has signed, show any
 * certificate there is or none, and never show a proposal.
 */
import { holderCount, quorumSize } from '../../src/protocol/quorum.ts';
import { step } from './engine.ts';
import type { Model, Step } from './engine.ts';
import { canonicalKey, countNodes, makeNodes, withNode } from './interchangeable.ts';

export interface SlotChainOptions {
  readonly n?: number;
  readonly f?: number;
  /** Writes that gateway 0 and gateway 1 begin. */
  readonly writes?: readonly [number, number];
  readonly broken?: {
    /** A node answers for any slot, and has forgotten those that its certificate has closed. */
    readonly anyPredecessor?: boolean;
    /** In place of c = 2f+1 nodes that must hold a certificate before the user is told. */
    readonly holders?: number;
    /** A COMMIT takes the place of the highest certificate, whichever it is, and opens its slot anew. */
    readonly takesLower?: boolean;
    /** A gateway proposes its own manifest, whatever the promises show. */
    readonly ignoresPromises?: boolean;
  };
}

/** 0 is the version that all begin with; the others are numbered as they are proposed first. */
interface Version {
  readonly prev: number;
  readonly depth: number;
  readonly isCertified: boolean;
}

interface NodeState {
  /** Highest version whose certificate it holds: its open slot is the one after that. */
  readonly max: number;
  /** Of the open slot. A ballot is 2 * round + gateway; -1 is none. */
  readonly promised: number;
  readonly acceptedBallot: number;
  readonly accepted: number;
  /** Gateways that have counted its answer in their present phase, as bits. */
  readonly counted: number;
}

interface Gateway {
  readonly phase: 'idle' | 'reading' | 'collecting promises' | 'proposed' | 'committing';
  readonly begun: number;
  /** Version that a read of now must reach. */
  readonly floor: number;
  /** What it has read: the predecessor of its manifest. */
  readonly prev: number;
  readonly ballot: number;
  /** While it collects promises: the accepted proposal of the highest ballot so far. Then: what it proposes. */
  readonly version: number;
  readonly versionBallot: number;
}

interface SlotChainState {
  readonly nodes: readonly NodeState[];
  readonly versions: readonly Version[];
  readonly gateways: readonly Gateway[];
  /** Highest version that an acknowledged write has reached. */
  readonly completed: number;
  readonly staleRead: boolean;
}

type SlotChainStep = Step<SlotChainState>;

const IDLE: Omit<Gateway, 'begun'> = { phase: 'idle', floor: 0, prev: 0, ballot: -1, version: -1, versionBallot: -1 };
const OPEN_SLOT = { promised: -1, acceptedBallot: -1, accepted: -1 };

export function slotChain(name: string, { n = 4, f = 1, writes = [2, 1], broken = {} }: SlotChainOptions = {}): Model<SlotChainState> {
  const q = quorumSize({ n, f });
  const c = broken.holders ?? holderCount({ n, f });
  const depth = ({ versions }: SlotChainState, version: number): number => versions[version]?.depth ?? 0;
  const bit = (g: number): number => 1 << g;
  const hasCounted = (node: NodeState, g: number): boolean => (node.counted & bit(g)) !== 0;
  const countFor = (state: SlotChainState, g: number): number => countNodes(state, (node) => hasCounted(node, g)) + f;
  const certified = ({ versions }: SlotChainState): number[] => [...versions.keys()].filter((v) => versions[v]?.isCertified === true);

  const withGateway = (state: SlotChainState, g: number, change: Partial<Gateway>): SlotChainState => ({
    ...state,
    gateways: state.gateways.map((gateway, j) => (j === g ? { ...gateway, ...change } : gateway)),
  });
  /** A gateway's next phase: what it counted belongs to the last one. */
  const nextPhase = (state: SlotChainState, g: number, change: Partial<Gateway>): SlotChainState =>
    withGateway({ ...state, nodes: state.nodes.map((node) => ({ ...node, counted: node.counted & ~bit(g) })) }, g, change);
  const isOpenAt = (node: NodeState, prev: number): boolean => node.max === prev || broken.anyPredecessor === true;

  /** COMMIT, from whomever: the slot of the predecessor is closed, and forgotten. */
  function* takeCertificate(state: SlotChainState, i: number, node: NodeState): Iterable<SlotChainStep> {
    for (const version of certified(state)) {
      const isTaken = broken.takesLower === true ? version !== node.max && version > 0 : depth(state, version) > depth(state, node.max);
      if (isTaken) yield step(`the certificate of ${version} reaches node ${i}`, withNode(state, i, { max: version, ...OPEN_SLOT }));
    }
  }

  function* answer(state: SlotChainState, i: number, node: NodeState): Iterable<SlotChainStep> {
    for (const [g, gateway] of state.gateways.entries()) {
      const { phase, ballot, prev, version } = gateway;
      if (hasCounted(node, g) || countFor(state, g) >= q) continue;
      const counted = node.counted | bit(g);
      if (phase === 'reading') {
        const highest = depth(state, node.max) > depth(state, prev) ? node.max : prev;
        yield step(`node ${i} shows gateway ${g} version ${node.max}`, withGateway(withNode(state, i, { counted }), g, { prev: highest }));
      } else if (phase === 'collecting promises' && isOpenAt(node, prev) && ballot > node.promised) {
        const shown = node.acceptedBallot > gateway.versionBallot ? { version: node.accepted, versionBallot: node.acceptedBallot } : {};
        yield step(`node ${i} promises ballot ${ballot} after ${prev}`, withGateway(withNode(state, i, { counted, promised: ballot }), g, shown));
      } else if (phase === 'proposed' && isOpenAt(node, prev) && ballot >= node.promised) {
        yield step(`node ${i} accepts ${version} in ballot ${ballot}`, withNode(state, i, { counted, promised: ballot, acceptedBallot: ballot, accepted: version }));
      }
    }
  }

  function* act(state: SlotChainState, g: number, gateway: Gateway): Iterable<SlotChainStep> {
    const { phase, begun, floor, prev, version } = gateway;
    if (phase === 'idle' && begun < (writes[g] ?? 0)) yield step(`gateway ${g} starts`, withGateway(state, g, { phase: 'reading', begun: begun + 1, floor: state.completed }));
    if (phase === 'committing' && countNodes(state, (node) => depth(state, node.max) >= depth(state, version)) + f >= c) {
      const completed = depth(state, version) > depth(state, state.completed) ? version : state.completed;
      yield step(`gateway ${g} tells its user about ${version}`, { ...nextPhase(state, g, { ...IDLE }), completed });
    }
    if (phase === 'idle' || phase === 'committing' || countFor(state, g) < q) return;
    if (phase === 'reading') {
      for (const shown of certified(state)) {
        if (shown > 0 && depth(state, shown) <= depth(state, prev)) continue;
        const read = shown > 0 ? shown : prev;
        const staleRead = state.staleRead || depth(state, read) < depth(state, floor);
        const asks = nextPhase({ ...state, staleRead }, g, { phase: 'collecting promises', prev: read, ballot: 2 * begun + g });
        yield step(`gateway ${g} has read ${read}`, asks);
      }
    } else if (phase === 'collecting promises') {
      if (version >= 0 && broken.ignoresPromises !== true) {
        yield step(`gateway ${g} proposes ${version} again`, nextPhase(state, g, { phase: 'proposed' }));
      } else {
        const own: Version = { prev, depth: depth(state, prev) + 1, isCertified: false };
        const proposed = nextPhase({ ...state, versions: [...state.versions, own] }, g, { phase: 'proposed', version: state.versions.length });
        yield step(`gateway ${g} proposes ${state.versions.length}, after ${prev}`, proposed);
      }
    } else {
      const versions = state.versions.map((other, v) => (v === version ? { ...other, isCertified: true } : other));
      yield step(`gateway ${g} certifies ${version}`, nextPhase({ ...state, versions }, g, { phase: 'committing' }));
    }
  }

  return {
    name: `slot chain: ${name}, n=${n}`,
    initial: [
      {
        nodes: makeNodes(n - f, () => ({ max: 0, ...OPEN_SLOT, counted: 0 })),
        versions: [{ prev: -1, depth: 0, isCertified: true }],
        gateways: [
          { ...IDLE, begun: 0 },
          { ...IDLE, begun: 0 },
        ],
        completed: 0,
        staleRead: false,
      },
    ],
    key: canonicalKey,
    invariants: {
      'one certified successor': (state) => {
        const predecessors = certified(state).map((v) => state.versions[v]?.prev);
        return new Set(predecessors).size === predecessors.length;
      },
      'what was acknowledged is read': (state) => !state.staleRead,
    },
    *next(state) {
      for (const [i, node] of state.nodes.entries()) {
        yield* takeCertificate(state, i, node);
        yield* answer(state, i, node);
      }
      for (const [g, gateway] of state.gateways.entries()) yield* act(state, g, gateway);
    },
  };
}
