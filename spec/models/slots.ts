/**
 * Slots without a lease engine (protocol 6.4, 13.7), three models: the ballots of one slot; STAGED receipts, which
 * bind to a content in place of a stamp; and a bucket that goes from PLAIN to SERIALISED node by node.
 *
 * Byzantine nodes sign everything and show what hurts; where it is asked whether all can go on, they are silent.
 */
import { holderCount, mayBeCertified, quorumSize } from '../../src/protocol/quorum.ts';
import { step } from './engine.ts';
import type { Model, Step } from './engine.ts';
import { canonicalKey, countNodes, makeNodes, withNode } from './interchangeable.ts';

// The ballots of one slot.

/** What happens to the ballots of a gateway whose process starts again and that has another request for the slot. */
export type Restart =
  | 'never'
  /** ballot = (round, gatewayId), as in an earlier rule: it repeats its ballots, and a repeated request is answered again. */
  | 'repeats its ballots'
  /** ballot = (round, writerId), the rule: the writerId is new at each start. */
  | 'new writerId';

export interface BallotOptions {
  readonly n?: number;
  readonly f?: number;
  /** Rounds that each of the two gateways may start. */
  readonly rounds?: readonly [number, number];
  /** Byzantine nodes help nobody. */
  readonly byzantineSilent?: boolean;
  readonly restart?: Restart;
  readonly broken?: {
    /** In place of q = n-f promises and receipts. */
    readonly quorum?: number;
    readonly forgetsPromise?: boolean;
    /** Promises do not show what was accepted. */
    readonly forgetsAccepted?: boolean;
    /** Gateway 1 proposes without any promise. */
    readonly skipsPromises?: boolean;
    /** A gateway proposes its own value whatever the promises show. */
    readonly ignoresAccepted?: boolean;
    /** A ballot is a round alone, so both gateways use the same ones. */
    readonly noIdInBallot?: boolean;
    /** A node promises an equal ballot again. */
    readonly promisesEqualBallot?: boolean;
    /** A stolen gateway key proposes without promises: not excluded by the protocol (I8), a limit. */
    readonly stolenKey?: boolean;
  };
}

/** Nothing, or what was proposed and accepted in a ballot. */
interface Proposal {
  /** (round, id), coded as 10 * round + id, so that the order is the order of ballots; 0: nothing. */
  readonly ballot: number;
  readonly value: number;
}

interface BallotNode {
  readonly promised: number;
  readonly accepted: Proposal;
  readonly receipts: readonly Proposal[];
  /** By gateway: is its promise for the current ballot counted? */
  readonly countedBy0: boolean;
  readonly countedBy1: boolean;
}

interface Gateway {
  readonly round: number;
  readonly ballot: number;
  readonly phase: 'idle' | 'promising' | 'proposed';
  /** Highest accepted proposal that its promises have shown. */
  readonly highest: Proposal;
  /** The value it wants. */
  readonly own: number;
}

interface BallotState {
  readonly nodes: readonly BallotNode[];
  readonly gateways: readonly [Gateway, Gateway];
  /** Every proposal that has been signed. */
  readonly proposals: readonly Proposal[];
  readonly certified: readonly number[];
  readonly restarted: boolean;
}

type BallotStep = Step<BallotState>;

const NOTHING: Proposal = { ballot: 0, value: 0 };
const IDLE_GATEWAY: Gateway = { round: 0, ballot: 0, phase: 'idle', highest: NOTHING, own: 0 };
/** The id of a key that a thief uses. */
const THIEF = 5;
const same = (a: Proposal, b: Proposal): boolean => a.ballot === b.ballot && a.value === b.value;
const describe = ({ ballot, value }: Proposal): string => (ballot === 0 ? 'nothing' : `value ${value} of ballot ${ballot}`);

/** A set of proposals in one order, so that equal sets are equal lists. */
function including(set: readonly Proposal[], proposal: Proposal): readonly Proposal[] {
  if (set.some((member) => same(member, proposal))) return set;
  return [...set, proposal].sort((a, b) => a.ballot - b.ballot || a.value - b.value);
}

/** Two gateways, with values 1 and 2, run ballots for one slot; after a restart gateway 0 wants value 3. */
export function slotBallots(name: string, options: BallotOptions = {}): Model<BallotState> {
  const { n = 4, f = 1, rounds = [2, 2], byzantineSilent = false, restart = 'never', broken = {} } = options;
  const q = broken.quorum ?? quorumSize({ n, f });
  const helpers = byzantineSilent ? 0 : f;

  const idOf = (j: 0 | 1, restarted: boolean): number => {
    if (broken.noIdInBallot === true) return 0;
    return j === 0 && restarted && restart === 'new writerId' ? 3 : 1 + j;
  };
  const isCounted = (node: BallotNode, j: 0 | 1): boolean => (j === 0 ? node.countedBy0 : node.countedBy1);
  const counted = (j: 0 | 1, is: boolean): Partial<BallotNode> => (j === 0 ? { countedBy0: is } : { countedBy1: is });
  const promises = (state: BallotState, j: 0 | 1): number => countNodes(state, (node) => isCounted(node, j)) + helpers;
  const withGateway = (state: BallotState, j: 0 | 1, change: Partial<Gateway>): BallotState => {
    const [first, second] = state.gateways;
    return { ...state, gateways: j === 0 ? [{ ...first, ...change }, second] : [first, { ...second, ...change }] };
  };
  const forgettingPromises = (state: BallotState, j: 0 | 1): BallotState => ({ ...state, nodes: state.nodes.map((node) => ({ ...node, ...counted(j, false) })) });
  const proposing = (state: BallotState, proposal: Proposal): BallotState => ({ ...state, proposals: including(state.proposals, proposal) });

  /** A gateway opens its next round: PROMISE to all nodes. */
  function* startRound(state: BallotState, j: 0 | 1, gateway: Gateway): Iterable<BallotStep> {
    if (gateway.round >= rounds[j]) return;
    const round = gateway.round + 1;
    const ballot = 10 * round + idOf(j, state.restarted);
    const started = withGateway(forgettingPromises(state, j), j, { round, ballot, phase: 'promising', highest: NOTHING });
    const isSkipping = broken.skipsPromises === true && j === 1;
    yield step(
      `gateway ${j} starts round ${round}`,
      isSkipping ? proposing(withGateway(started, j, { phase: 'proposed' }), { ballot, value: gateway.own }) : started,
    );
  }

  /** Gateway 0 dies and its next process has another request. */
  function* restartGateway(state: BallotState): Iterable<BallotStep> {
    if (restart === 'never' || state.restarted || state.gateways[0].round === 0) return;
    const restarted = withGateway(forgettingPromises(state, 0), 0, { ...IDLE_GATEWAY, own: 3 });
    yield step('gateway 0 restarts, with a new request', { ...restarted, restarted: true });
  }

  /** PROMISE: iff the ballot is above every one promised; the node shows the highest proposal it has accepted. */
  function* promise(state: BallotState, j: 0 | 1, gateway: Gateway): Iterable<BallotStep> {
    if (gateway.phase !== 'promising' || promises(state, j) >= q) return;
    const answersAgain = broken.promisesEqualBallot === true || (restart === 'repeats its ballots' && j === 0);
    for (const [i, node] of state.nodes.entries()) {
      const isAbove = gateway.ballot > node.promised || (gateway.ballot === node.promised && answersAgain);
      if (isCounted(node, j) || !isAbove) continue;
      const shown = broken.forgetsAccepted === true ? NOTHING : node.accepted;
      const { highest } = gateway;
      const promised = withNode(state, i, { promised: gateway.ballot, ...counted(j, true) });
      const label = `node ${i} promises ballot ${gateway.ballot} to gateway ${j} and shows ${describe(shown)}`;
      yield step(label, shown.ballot > highest.ballot ? withGateway(promised, j, { highest: shown }) : promised);
      // Two values in one ballot can come of broken rules only; then either may be taken for the highest.
      if (shown.ballot !== 0 && shown.ballot === highest.ballot && shown.value !== highest.value) {
        yield step(`${label}, which is taken`, withGateway(promised, j, { highest: shown }));
      }
    }
  }

  /** With q promises: the highest value shown is proposed again, else the own one. A Byzantine node shows any signed proposal, or none. */
  function* propose(state: BallotState, j: 0 | 1, gateway: Gateway): Iterable<BallotStep> {
    if (gateway.phase !== 'promising' || promises(state, j) < q) return;
    const { ballot, highest, own } = gateway;
    for (const shown of [NOTHING, ...(byzantineSilent ? [] : state.proposals)]) {
      if (shown.ballot >= ballot) continue;
      const best = shown.ballot > highest.ballot ? shown : highest;
      const value = best.ballot !== 0 && broken.ignoresAccepted !== true ? best.value : own;
      const proposed = withGateway(forgettingPromises(state, j), j, { phase: 'proposed', highest: NOTHING });
      yield step(`gateway ${j} proposes value ${value} in ballot ${ballot} (Byzantine nodes show ${describe(shown)})`, proposing(proposed, { ballot, value }));
    }
  }

  /** A stolen key needs no promises to sign a proposal. */
  function* proposeAsThief(state: BallotState): Iterable<BallotStep> {
    if (broken.stolenKey !== true) return;
    for (let round = 1; round <= rounds[0]; round++) {
      const ballot = 10 * round + THIEF;
      if (state.proposals.some((proposal) => proposal.ballot === ballot)) continue;
      for (const gateway of state.gateways) {
        if (gateway.round === 0) continue; // its manifest does not exist yet
        yield step(`the stolen key proposes value ${gateway.own} in ballot ${ballot} without promises`, proposing(state, { ballot, value: gateway.own }));
      }
    }
  }

  /** PREPARE with a proposal: nothing below the ballot promised, one value a ballot. */
  function* accept(state: BallotState, proposal: Proposal): Iterable<BallotStep> {
    const { ballot, value } = proposal;
    for (const [i, node] of state.nodes.entries()) {
      const least = broken.forgetsPromise === true ? node.accepted.ballot : node.promised;
      if (ballot < least || node.receipts.some((receipt) => receipt.ballot === ballot)) continue;
      const accepted = withNode(state, i, {
        promised: Math.max(node.promised, ballot),
        accepted: ballot >= node.accepted.ballot ? proposal : node.accepted,
        receipts: including(node.receipts, proposal),
      });
      yield step(`node ${i} accepts value ${value} in ballot ${ballot}`, accepted);
    }
  }

  /** A certificate: q receipts for one manifest in one ballot. */
  function* certify(state: BallotState, proposal: Proposal): Iterable<BallotStep> {
    const { ballot, value } = proposal;
    if (state.certified.includes(value)) return;
    if (countNodes(state, (node) => node.receipts.some((receipt) => same(receipt, proposal))) + helpers < q) return;
    yield step(`value ${value} is certified in ballot ${ballot}`, { ...state, certified: [...state.certified, value].sort((a, b) => a - b) });
  }

  return {
    name: `slot ballots: ${name}, n=${n}`,
    initial: [
      {
        nodes: makeNodes(n - f, () => ({ promised: 0, accepted: NOTHING, receipts: [], countedBy0: false, countedBy1: false })),
        gateways: [
          { ...IDLE_GATEWAY, own: 1 },
          { ...IDLE_GATEWAY, own: 2 },
        ],
        proposals: [],
        certified: [],
        restarted: false,
      },
    ],
    key: canonicalKey,
    invariants: { 'one certified manifest per predecessor': (state) => state.certified.length < 2 },
    goal: (state) => state.certified.length > 0,
    *next(state) {
      for (const j of [0, 1] as const) {
        const gateway = state.gateways[j];
        yield* startRound(state, j, gateway);
        if (j === 0) yield* restartGateway(state);
        yield* promise(state, j, gateway);
        yield* propose(state, j, gateway);
      }
      yield* proposeAsThief(state);
      for (const proposal of state.proposals) {
        yield* accept(state, proposal);
        yield* certify(state, proposal);
      }
    },
  };
}

// STAGED receipts.

/**
 * When a node that holds a staged content may let go of it:
 * - like a receipt: on a certificate that dominates the manifests that rest on it, an earlier rule
 * - on its own word: it times out and refuses from then on
 * - a number: on so many signed UNSTAGE statements, each listing the manifests that its node has accepted, once
 *   those are settled; the rule is 2f+1
 */
export type Release = 'like a receipt' | 'on its own word' | number;

export interface StagedOptions {
  readonly n: number;
  readonly f?: number;
  readonly release: Release;
}

/** waiting: its slot has not been tried yet; lost: a rival took its slot; overwritten: a certificate stands above it. */
type ManifestState = 'waiting' | 'open' | 'certified' | 'lost' | 'overwritten';

interface StagedNode {
  readonly holdsContent: boolean;
  /** By manifest: has the node accepted it? */
  readonly accepted: readonly [boolean, boolean];
  /** Accepts no manifest that rests on the content any more. */
  readonly closed: boolean;
  /** What its UNSTAGE lists: the manifests it had accepted by then. */
  readonly listed: readonly [boolean, boolean];
}

interface StagedState {
  readonly nodes: readonly StagedNode[];
  readonly manifests: readonly [ManifestState, ManifestState];
}

const MANIFESTS = [0, 1] as const;
const isSettled = (manifest: ManifestState): boolean => manifest === 'lost' || manifest === 'overwritten';

/**
 * A content has been staged on q nodes: at worst on n-2f correct ones and the Byzantine. Manifest 1 rests on it;
 * when a rival takes its slot, or it is overwritten, the gateway tries manifest 2 with the same content.
 */
export function stagedContent(name: string, { n, f = 1, release }: StagedOptions): Model<StagedState> {
  const k = n - 2 * f;
  const q = quorumSize({ n, f });

  const marking = (marks: readonly [boolean, boolean], h: 0 | 1): [boolean, boolean] => (h === 0 ? [true, marks[1]] : [marks[0], true]);
  /** The end of manifest 1 lets the gateway try manifest 2. */
  const becoming = (state: StagedState, h: 0 | 1, manifest: ManifestState): StagedState => {
    const [first, second] = state.manifests;
    if (h === 1) return { ...state, manifests: [first, manifest] };
    return { ...state, manifests: [manifest, isSettled(manifest) && second === 'waiting' ? 'open' : second] };
  };
  const allSettled = (state: StagedState, marks: readonly [boolean, boolean]): boolean => MANIFESTS.every((h) => !marks[h] || isSettled(state.manifests[h]));

  /** PREPARE of a manifest that rests on the content; who has signed UNSTAGE refuses. */
  function* accept(state: StagedState, h: 0 | 1): Iterable<Step<StagedState>> {
    if (state.manifests[h] !== 'open') return;
    for (const [i, node] of state.nodes.entries()) {
      if (!node.accepted[h] && !node.closed) yield step(`node ${i} accepts manifest ${h + 1}`, withNode(state, i, { accepted: marking(node.accepted, h) }));
    }
  }

  function* settle(state: StagedState, h: 0 | 1): Iterable<Step<StagedState>> {
    if (state.manifests[h] === 'open') {
      if (countNodes(state, (node) => node.accepted[h]) + f >= q) yield step(`manifest ${h + 1} is certified`, becoming(state, h, 'certified'));
      else yield step(`a rival takes the slot of manifest ${h + 1}`, becoming(state, h, 'lost'));
    }
    if (state.manifests[h] === 'certified') yield step(`manifest ${h + 1} is overwritten`, becoming(state, h, 'overwritten'));
  }

  /** UNSTAGE: from now on the node accepts nothing that rests on the content, and says what it has accepted. */
  function* signUnstage(state: StagedState, i: number, node: StagedNode): Iterable<Step<StagedState>> {
    if (typeof release !== 'number' || node.closed) return;
    yield step(`node ${i} signs UNSTAGE and lists ${JSON.stringify(node.accepted)}`, withNode(state, i, { closed: true, listed: node.accepted }));
  }

  /** The node lets go of the content, as the rule in question allows. */
  function* free(state: StagedState, i: number, node: StagedNode): Iterable<Step<StagedState>> {
    if (!node.holdsContent) return;
    if (release === 'on its own word') {
      if (node.accepted.includes(true) || node.closed) return;
      yield step(`node ${i} times out, frees the content and refuses from now on`, withNode(state, i, { holdsContent: false, closed: true }));
      return;
    }
    // Any choice of statements will do, and the Byzantine nodes' list nothing.
    const statements = f + countNodes(state, (other) => other.closed && allSettled(state, other.listed));
    const isFree = release === 'like a receipt' ? state.manifests.some(isSettled) && allSettled(state, node.accepted) : statements >= release;
    if (isFree) yield step(`node ${i} frees the content`, withNode(state, i, { holdsContent: false }));
  }

  return {
    name: `staged content: ${name}, n=${n}`,
    initial: [
      {
        nodes: makeNodes(n - f, (i) => ({ holdsContent: i < n - 2 * f, accepted: [false, false], closed: false, listed: [false, false] })),
        manifests: ['open', 'waiting'],
      },
    ],
    key: canonicalKey,
    invariants: { 'certified content is decodable': (state) => !state.manifests.includes('certified') || countNodes(state, (node) => node.holdsContent) >= k },
    *next(state) {
      for (const h of MANIFESTS) {
        yield* accept(state, h);
        yield* settle(state, h);
      }
      for (const [i, node] of state.nodes.entries()) {
        yield* signUnstage(state, i, node);
        yield* free(state, i, node);
      }
    },
  };
}

// From PLAIN to SERIALISED.

export interface SwitchingOptions {
  readonly n: number;
  readonly f?: number;
  /** S is If-Match V; otherwise an unconditional write in SLOT mode. */
  readonly conditional?: boolean;
  /** A PLAIN receipt above the highest certificate blocks a SLOT manifest. */
  readonly plainBlocks?: boolean;
  /** An unconditional S may be accepted over a PLAIN receipt with a lower stamp. */
  readonly mayBury?: boolean;
  /** A node refuses PLAIN from its adoption on. */
  readonly refusesPlain?: boolean;
  /** The writer of P may acknowledge as "overwritten" whatever mode overwrote it; an earlier rule. */
  readonly overwrittenByAnyMode?: boolean;
  /** The abort licence takes every NEVER for the truth. */
  readonly trustingLicence?: boolean;
  /** Byzantine nodes help nobody, and it is asked whether something can be certified in the end. */
  readonly byzantineSilent?: boolean;
}

type SwitchVersion = 'V' | 'P' | 'S';

interface SwitchNode {
  /** Adopted SERIALISED. */
  readonly adopted: boolean;
  /** Its receipt for P: binding, or dropped by an abort licence. */
  readonly plainReceipt: 'none' | 'binding' | 'dropped';
  /** Has signed NEVER for P. */
  readonly never: boolean;
  readonly acceptedS: boolean;
  /** Version of the highest certificate it holds. */
  readonly max: SwitchVersion;
  readonly committedP: boolean;
  readonly committedS: boolean;
}

interface SwitchState {
  readonly nodes: readonly SwitchNode[];
  /** The stamp of S is above that of P. */
  readonly isSAbove: boolean;
  readonly certifiedP: boolean;
  readonly certifiedS: boolean;
  readonly acknowledgedP: 'no' | 'written' | 'overwritten';
  readonly acknowledgedS: boolean;
  /** The writer of P was told SUPERSEDED(S) and has thrown its receipts away. */
  readonly gaveUpP: boolean;
  /** An abort licence for P exists. */
  readonly licence: boolean;
}

type SwitchStep = Step<SwitchState>;

/**
 * A bucket becomes SERIALISED through its record, which nodes adopt one by one. V is current; P is a PLAIN write in
 * flight, S a SLOT write with prev = V.
 */
export function switching(name: string, options: SwitchingOptions): Model<SwitchState> {
  const { n, f = 1, conditional = true, plainBlocks = true, mayBury = !conditional, refusesPlain = true } = options;
  const { overwrittenByAnyMode = false, trustingLicence = false, byzantineSilent = false } = options;
  const q = quorumSize({ n, f });
  const c = holderCount({ n, f });
  const helpers = byzantineSilent ? 0 : f;

  const rank = (state: SwitchState, version: SwitchVersion): number => {
    if (version === 'V') return 0;
    return (version === 'S') === state.isSAbove ? 2 : 1;
  };
  const higher = (state: SwitchState, a: SwitchVersion, b: SwitchVersion): SwitchVersion => (rank(state, b) > rank(state, a) ? b : a);

  function* adopt(state: SwitchState, i: number, node: SwitchNode): Iterable<SwitchStep> {
    if (!node.adopted) yield step(`node ${i} adopts SERIALISED`, withNode(state, i, { adopted: true }));
  }

  /** PREPARE of P: PLAIN, so not from adoption on; P6; and not after NEVER. */
  function* acceptPlain(state: SwitchState, i: number, node: SwitchNode): Iterable<SwitchStep> {
    if (node.plainReceipt !== 'none' || node.never || (node.adopted && refusesPlain) || rank(state, 'P') <= rank(state, node.max)) return;
    yield step(`node ${i} gives P a receipt`, withNode(state, i, { plainReceipt: 'binding' }));
  }

  /** PREPARE of S: V is the highest certificate, and no PLAIN receipt stands above it that S may not bury. */
  function* acceptSlot(state: SwitchState, i: number, node: SwitchNode): Iterable<SwitchStep> {
    if (!node.adopted || node.acceptedS || node.max !== 'V') return;
    const isBlocked = plainBlocks && node.plainReceipt === 'binding' && !(mayBury && state.isSAbove);
    if (!isBlocked) yield step(`node ${i} accepts S`, withNode(state, i, { acceptedS: true }));
  }

  /** COMMIT of either; the higher certificate stays. */
  function* takeCertificate(state: SwitchState, i: number, node: SwitchNode): Iterable<SwitchStep> {
    if (state.certifiedP && !state.gaveUpP && !node.committedP) {
      yield step(`node ${i} takes the certificate of P`, withNode(state, i, { committedP: true, max: higher(state, node.max, 'P') }));
    }
    if (state.certifiedS && !node.committedS) {
      yield step(`node ${i} takes the certificate of S`, withNode(state, i, { committedS: true, max: higher(state, node.max, 'S') }));
    }
  }

  /** RESOLVE of P (6.7): NEVER from those without a receipt; a licence frees those with one. */
  function* resolve(state: SwitchState, i: number, node: SwitchNode): Iterable<SwitchStep> {
    if (node.plainReceipt === 'none' && !node.never) yield step(`node ${i} signs NEVER for P`, withNode(state, i, { never: true }));
    if (state.licence && node.plainReceipt === 'binding') yield step(`node ${i} drops P by licence`, withNode(state, i, { plainReceipt: 'dropped' }));
  }

  /** An abort licence: the answers rule out a certificate. A lying Byzantine node says NEVER although it signed. */
  function* grantLicence(state: SwitchState): Iterable<SwitchStep> {
    if (state.licence) return;
    const prepared = countNodes(state, (node) => node.plainReceipt !== 'none');
    const answered = prepared + countNodes(state, (node) => node.never) + helpers;
    const mayExist = trustingLicence ? prepared + (n - answered) >= q : mayBeCertified({ n, f }, answered, prepared);
    if (!mayExist) yield step('there is an abort licence for P', { ...state, licence: true });
  }

  function* certify(state: SwitchState): Iterable<SwitchStep> {
    const signers = countNodes(state, (node) => node.plainReceipt !== 'none') + helpers;
    if (!state.certifiedP && !state.gaveUpP && signers >= q) yield step('P is certified', { ...state, certifiedP: true });
    if (!state.certifiedS && countNodes(state, (node) => node.acceptedS) + helpers >= q) yield step('S is certified', { ...state, certifiedS: true });
  }

  /** c nodes hold the certificate, the user is told. */
  function* acknowledge(state: SwitchState): Iterable<SwitchStep> {
    const isComplete = (test: (node: SwitchNode) => boolean): boolean => countNodes(state, test) + helpers >= c;
    if (state.certifiedP && state.acknowledgedP === 'no' && isComplete((node) => node.committedP)) yield step('P is acknowledged', { ...state, acknowledgedP: 'written' });
    if (state.certifiedS && !state.acknowledgedS && isComplete((node) => node.committedS)) yield step('S is acknowledged', { ...state, acknowledgedS: true });
    if (state.gaveUpP && state.acknowledgedP === 'no' && overwrittenByAnyMode && isComplete((node) => node.committedS)) {
      yield step('P is acknowledged as overwritten by S', { ...state, acknowledgedP: 'overwritten' });
    }
  }

  /** 6.1 b: the writer of P learns of S and throws its receipts away for good. */
  function* giveUp(state: SwitchState): Iterable<SwitchStep> {
    if (state.certifiedP || state.gaveUpP || !state.isSAbove || countNodes(state, (node) => node.max === 'S') === 0) return;
    yield step('the writer of P is told SUPERSEDED(S) and throws its receipts away', { ...state, gaveUpP: true });
  }

  const start = (isSAbove: boolean): SwitchState => ({
    nodes: makeNodes(n - f, () => ({ adopted: false, plainReceipt: 'none', never: false, acceptedS: false, max: 'V', committedP: false, committedS: false })),
    isSAbove,
    certifiedP: false,
    certifiedS: false,
    acknowledgedP: 'no',
    acknowledgedS: false,
    gaveUpP: false,
    licence: false,
  });

  return {
    name: `switch to SERIALISED: ${name}, n=${n}`,
    // An unconditional S that stands below P is an ordinary overwritten write: nothing to see.
    initial: conditional ? [start(false), start(true)] : [start(true)],
    key: canonicalKey,
    invariants: {
      'not both succeed the same version': (state) => !(conditional && state.certifiedP && state.certifiedS),
      'no acknowledged PLAIN write between V and If-Match V': (state) => !(conditional && state.acknowledgedP !== 'no' && state.certifiedS),
      'no acknowledged write lost': (state) => !(state.acknowledgedP === 'written' && state.acknowledgedS) || (state.isSAbove && !conditional),
    },
    goal: byzantineSilent ? (state) => state.certifiedP || state.certifiedS : undefined,
    *next(state) {
      for (const [i, node] of state.nodes.entries()) {
        yield* adopt(state, i, node);
        yield* acceptPlain(state, i, node);
        yield* acceptSlot(state, i, node);
        yield* takeCertificate(state, i, node);
        yield* resolve(state, i, node);
      }
      yield* grantLicence(state);
      yield* certify(state);
      yield* acknowledge(state);
      yield* giveUp(state);
    },
  };
}
