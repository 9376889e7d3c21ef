/**
 * Conditional writes (protocol 6.4) in their simplest form: two gateways of one writer domain race for the same
 * predecessor, gateway 0 with value 1 and gateway 1 with value 2. What separates the real rule from three simpler
 * ones that look as if they would do. The model of slots (slots.ts) goes further with the real rule.
 */
import { quorumSize } from '../../src/protocol/quorum.ts';
import { step } from './engine.ts';
import type { Model, Step } from './engine.ts';
import { canonicalKey, countNodes, makeNodes, withNode } from './interchangeable.ts';

/**
 * - ballots: the protocol. Promises of q nodes first, the highest value they show is proposed again.
 * - votes: no ballots, a node accepts one value per predecessor and stays with it.
 * - skipped promises: as ballots, but the gateway with the newer lease proposes without asking for promises.
 * - engine alone: nodes check nothing, the index engine serialises, and fails over while a gateway is stalled.
 */
export type ConditionalRule = 'ballots' | 'votes' | 'skipped promises' | 'engine alone';

export interface ConditionalOptions {
  readonly rule: ConditionalRule;
  /** The Byzantine node helps nobody: worst for liveness. One that signs everything is worst for safety. */
  readonly byzantineSilent?: boolean;
  /** Ask that it always can go on until something is certified. */
  readonly mustEnd?: boolean;
}

type Value = 0 | 1 | 2;

/** What was accepted or proposed in a ballot; ballot 0 stands for nothing. */
interface Proposal {
  readonly ballot: number;
  readonly value: Value;
}

interface Gateway {
  readonly own: Value;
  /** Ballots started so far. */
  readonly started: number;
  readonly phase: 'idle' | 'collecting promises' | 'proposed';
  /** Highest accepted proposal that its promises have shown. */
  readonly highest: Proposal;
}

interface ConditionalState {
  readonly nodes: readonly {
    readonly promised: number;
    readonly accepted: Proposal;
    /** Ballots in which it has given a receipt, in order. */
    readonly receipts: readonly number[];
    /** By gateway: is its promise counted? */
    readonly counted: readonly [boolean, boolean];
  }[];
  readonly gateways: readonly [Gateway, Gateway];
  /** Proposals that have been signed, by ballot; at most one each. */
  readonly proposals: readonly Proposal[];
  readonly certified: readonly Value[];
}

const NOTHING: Proposal = { ballot: 0, value: 0 };
const GATEWAYS = [0, 1] as const;
const byNumber = (a: number, b: number): number => a - b;

export function conditionalWrites({ rule, byzantineSilent = false, mustEnd = false }: ConditionalOptions): Model<ConditionalState> {
  const n = 4;
  const f = 1;
  const q = quorumSize({ n, f });
  const helpers = byzantineSilent ? 0 : f;
  const ballotsOf: readonly (readonly number[])[] = rule === 'ballots' ? [[1, 3], [2]] : [[1], [2]];
  const hasBallots = rule === 'ballots' || rule === 'skipped promises';
  const promisesFirst = (j: number): boolean => rule === 'ballots' || (rule === 'skipped promises' && j === 0);

  const withGateway = (state: ConditionalState, j: 0 | 1, change: Partial<Gateway>): ConditionalState => {
    const [first, second] = state.gateways;
    return { ...state, gateways: j === 0 ? [{ ...first, ...change }, second] : [first, { ...second, ...change }] };
  };
  const counting = (counted: readonly [boolean, boolean], j: 0 | 1, is: boolean): [boolean, boolean] => (j === 0 ? [is, counted[1]] : [counted[0], is]);
  const forgettingPromises = (state: ConditionalState, j: 0 | 1): ConditionalState => ({
    ...state,
    nodes: state.nodes.map((node) => ({ ...node, counted: counting(node.counted, j, false) })),
  });
  const proposing = (state: ConditionalState, proposal: Proposal): ConditionalState => ({
    ...state,
    proposals: [...state.proposals.filter(({ ballot }) => ballot !== proposal.ballot), proposal].sort((a, b) => a.ballot - b.ballot),
  });

  /** A gateway opens its next ballot: PROMISE to all nodes, or straight to the proposal where the rule is broken. */
  function* startBallot(state: ConditionalState, j: 0 | 1, gateway: Gateway): Iterable<Step<ConditionalState>> {
    const ballot = ballotsOf[j]?.[gateway.started];
    if (ballot === undefined || (gateway.phase !== 'idle' && !hasBallots)) return;
    const started = withGateway(forgettingPromises(state, j), j, { started: gateway.started + 1, highest: NOTHING });
    const after = promisesFirst(j)
      ? withGateway(started, j, { phase: 'collecting promises' })
      : proposing(withGateway(started, j, { phase: 'proposed' }), { ballot, value: gateway.own });
    yield step(`gateway ${j} starts ballot ${ballot}`, after);
  }

  /** PROMISE: iff the ballot is above every one promised; the node shows what it has accepted. */
  function* promise(state: ConditionalState, j: 0 | 1, gateway: Gateway): Iterable<Step<ConditionalState>> {
    const ballot = ballotsOf[j]?.[gateway.started - 1];
    if (ballot === undefined || gateway.phase !== 'collecting promises' || countNodes(state, (node) => node.counted[j]) + helpers >= q) return;
    for (const [i, node] of state.nodes.entries()) {
      if (node.counted[j] || node.promised >= ballot) continue;
      const promised = withNode(state, i, { promised: ballot, counted: counting(node.counted, j, true) });
      const highest = node.accepted.ballot > gateway.highest.ballot ? node.accepted : gateway.highest;
      yield step(`node ${i} promises ballot ${ballot} to gateway ${j}`, withGateway(promised, j, { highest }));
    }
  }

  /** With q promises: the highest value shown is proposed again, else the own one. A Byzantine node shows any proposal that was signed, or none. */
  function* propose(state: ConditionalState, j: 0 | 1, gateway: Gateway): Iterable<Step<ConditionalState>> {
    const ballot = ballotsOf[j]?.[gateway.started - 1];
    if (ballot === undefined || gateway.phase !== 'collecting promises' || countNodes(state, (node) => node.counted[j]) + helpers < q) return;
    for (const shown of [NOTHING, ...(byzantineSilent ? [] : state.proposals)]) {
      if (shown.ballot >= ballot) continue;
      const best = shown.ballot > gateway.highest.ballot ? shown : gateway.highest;
      const value = best.ballot === 0 ? gateway.own : best.value;
      const proposed = proposing(withGateway(forgettingPromises(state, j), j, { phase: 'proposed', highest: NOTHING }), { ballot, value });
      yield step(`gateway ${j} proposes value ${value} in ballot ${ballot}`, proposed);
    }
  }

  /** PREPARE of a proposal: nothing below the ballot promised; the receipt names the ballot. */
  function* accept(state: ConditionalState, { ballot, value }: Proposal): Iterable<Step<ConditionalState>> {
    for (const [i, node] of state.nodes.entries()) {
      if (node.receipts.includes(ballot)) continue;
      const lets = hasBallots ? ballot >= node.promised : rule === 'votes' ? node.accepted.ballot === 0 : true;
      if (!lets) continue;
      const receipts = [...node.receipts, ballot].sort(byNumber);
      const accepted = withNode(state, i, { promised: Math.max(node.promised, ballot), accepted: { ballot, value }, receipts });
      yield step(`node ${i} accepts value ${value} in ballot ${ballot}`, accepted);
    }
  }

  /** A certificate: q receipts for one manifest in one ballot. */
  function* certify(state: ConditionalState, { ballot, value }: Proposal): Iterable<Step<ConditionalState>> {
    if (state.certified.includes(value) || countNodes(state, (node) => node.receipts.includes(ballot)) + helpers < q) return;
    const certified = [...state.certified, value].sort(byNumber);
    yield step(`value ${value} is certified in ballot ${ballot}`, { ...state, certified });
  }

  const gateway = (own: Value): Gateway => ({ own, started: 0, phase: 'idle', highest: NOTHING });
  return {
    name: `conditional writes: ${rule}${byzantineSilent ? ', Byzantine node silent' : ''}`,
    initial: [
      {
        nodes: makeNodes(n - f, () => ({ promised: 0, accepted: NOTHING, receipts: [], counted: [false, false] })),
        gateways: [gateway(1), gateway(2)],
        proposals: [],
        certified: [],
      },
    ],
    key: canonicalKey,
    invariants: { 'one certified manifest per predecessor': (state) => state.certified.length <= 1 },
    goal: mustEnd ? (state) => state.certified.length > 0 : undefined,
    *next(state) {
      for (const j of GATEWAYS) {
        yield* startBallot(state, j, state.gateways[j]);
        yield* promise(state, j, state.gateways[j]);
        yield* propose(state, j, state.gateways[j]);
      }
      for (const proposal of state.proposals) {
        yield* accept(state, proposal);
        yield* certify(state, proposal);
      }
    },
  };
}
