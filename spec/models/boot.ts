/**
 * The boot check (protocol 9.5, 13.9), three models: a node whose disk was rolled back and how it finds out; all
 * nodes restarting at once, none of which may be shut out; and the incarnation counter and its copy.
 *
 * A rolled-back node is faulty itself, so of the others at most f-1 are.
 */
import { holderCount, quorumSize } from '../../src/protocol/quorum.ts';
import { step } from './engine.ts';
import type { Model, Step } from './engine.ts';
import { canonicalKey, countNodes, makeNodes, withNode } from './interchangeable.ts';

// A rolled-back node.

/** What a rolled-back node must never do; each run asks what the rule in question is there for. */
export type RollbackInvariant = 'found if acked before the boot' | 'serves only with every Cert acked before the boot' | 'stops when it meets its own lost receipt';

export interface RollbackOptions {
  readonly n: number;
  readonly f: number;
  /** Answers of others that the booting node waits for; the rule is n-1-f. */
  readonly answers?: number;
  /** What its disk has lost: a receipt that it signed, or a CommitAck alone. */
  readonly lost?: 'receipt' | 'CommitAck';
  /** Before it serves, the node takes in the certificates that the answers show. */
  readonly catchesUp?: boolean;
  /** The check never ends: a statement of its own that its log lacks stops the node whenever it comes. */
  readonly watchesForEver?: boolean;
  readonly invariants: readonly RollbackInvariant[];
}

interface RollbackState {
  readonly nodes: readonly {
    readonly holdsCert: boolean;
    /** Has answered the booting node. */
    readonly answered: boolean;
  }[];
  /** The node in question. */
  readonly phase: 'up' | 'asking' | 'serving' | 'found out';
  /** It has acknowledged the certificate. */
  readonly acked: boolean;
  /** It knows the certificate after its boot. */
  readonly knows: boolean;
  /** The certificate, with its own lost statement in it, has reached it while it served. */
  readonly met: boolean;
  readonly userAcked: boolean;
  /** The user was told before the boot. */
  readonly userAckedBefore: boolean;
}

/** Node v is restored from an older disk; what it has lost is in a certificate that may be acknowledged before, while or after it boots. */
export function rollback(name: string, options: RollbackOptions): Model<RollbackState> {
  const { n, f, lost = 'receipt', catchesUp = false, watchesForEver = false } = options;
  const answersNeeded = options.answers ?? quorumSize({ n, f }) - 1;
  const c = holderCount({ n, f });
  /** Byzantine others: they acknowledge, and know nothing when they are asked. */
  const liars = f - 1;
  const lostReceipt = lost === 'receipt';

  const invariants: Record<RollbackInvariant, (state: RollbackState) => boolean> = {
    'found if acked before the boot': (state) => !(state.phase === 'serving' && state.userAckedBefore && lostReceipt),
    'serves only with every Cert acked before the boot': (state) => !(state.phase === 'serving' && state.userAckedBefore && !state.knows),
    'stops when it meets its own lost receipt': (state) => !(state.phase === 'serving' && state.met && lostReceipt),
  };

  /** COMMIT at the others. */
  function* storeCert(state: RollbackState, i: number): Iterable<Step<RollbackState>> {
    if (state.nodes[i]?.holdsCert === false) yield step(`node ${i} stores the Cert`, withNode(state, i, { holdsCert: true }));
  }

  /** A boot answer from durable state: a Cert with a receipt of the asking node is a statement of its own. */
  function* answerBoot(state: RollbackState, i: number): Iterable<Step<RollbackState>> {
    const node = state.nodes[i];
    if (state.phase !== 'asking' || node === undefined || node.answered) return;
    yield step(`node ${i} answers`, {
      ...withNode(state, i, { answered: true }),
      phase: node.holdsCert && lostReceipt ? 'found out' : 'asking',
      knows: state.knows || (node.holdsCert && catchesUp),
    });
  }

  function* ackBeforeCrash(state: RollbackState): Iterable<Step<RollbackState>> {
    if (!state.acked && state.phase === 'up') yield step('v acknowledges the Cert', { ...state, acked: true });
  }

  /** The user is told once c nodes have acknowledged, v among them perhaps. */
  function* tellUser(state: RollbackState): Iterable<Step<RollbackState>> {
    const acks = countNodes(state, (node) => node.holdsCert) + liars + (state.acked ? 1 : 0);
    if (!state.userAcked && acks >= c) yield step('the user is told that it is written', { ...state, userAcked: true });
  }

  function* restore(state: RollbackState): Iterable<Step<RollbackState>> {
    if (state.phase === 'up') yield step('v is restored from an older disk', { ...state, phase: 'asking', userAckedBefore: state.userAcked });
  }

  /** Enough answers, and none has shown anything. */
  function* serve(state: RollbackState): Iterable<Step<RollbackState>> {
    const answers = countNodes(state, (node) => node.answered) + liars;
    if (state.phase === 'asking' && answers >= answersNeeded) yield step('v serves', { ...state, phase: 'serving' });
  }

  function* meetCert(state: RollbackState): Iterable<Step<RollbackState>> {
    if (state.phase !== 'serving' || state.met) return;
    const stops = watchesForEver && lostReceipt;
    yield step('the Cert reaches v', { ...state, knows: true, phase: stops ? 'found out' : 'serving', met: !stops });
  }

  return {
    name: `boot: ${name}, n=${n} f=${f}`,
    initial: [
      {
        nodes: makeNodes(n - f, () => ({ holdsCert: false, answered: false })),
        phase: 'up',
        acked: false,
        knows: false,
        met: false,
        userAcked: false,
        userAckedBefore: false,
      },
    ],
    key: canonicalKey,
    invariants: Object.fromEntries(options.invariants.map((asked) => [asked, invariants[asked]])),
    *next(state) {
      for (const i of state.nodes.keys()) {
        yield* storeCert(state, i);
        yield* answerBoot(state, i);
      }
      yield* ackBeforeCrash(state);
      yield* tellUser(state);
      yield* restore(state);
      yield* serve(state);
      yield* meetCert(state);
    },
  };
}

// All nodes restart at once.

export interface RestartOptions {
  readonly n: number;
  readonly f: number;
  /** Answers of others that a booting node waits for; the rule is n-1-f. */
  readonly answers?: number;
  /** Nodes answer from durable state, also before their own check has ended. */
  readonly answersEarly?: boolean;
  /** What others say about a node counts without a statement signed by that node. */
  readonly believesHearsay?: boolean;
}

interface RestartState {
  readonly nodes: readonly { readonly up: boolean; readonly heard: number }[];
  /** A correct node has been made to believe that it lost something. */
  readonly condemned: boolean;
}

/** f nodes stay silent, or tell lies; every correct node must come up. */
export function restartOfAll(name: string, options: RestartOptions): Model<RestartState> {
  const { n, f, answersEarly = true, believesHearsay = false } = options;
  const answersNeeded = options.answers ?? quorumSize({ n, f }) - 1;

  function* hear(state: RestartState, i: number): Iterable<Step<RestartState>> {
    const node = state.nodes[i];
    if (node === undefined || node.up) return;
    const willing = answersEarly ? n - f - 1 : countNodes(state, ({ up }) => up);
    if (node.heard < willing) yield step(`node ${i} hears one more`, withNode(state, i, { heard: node.heard + 1 }));
    if (node.heard >= answersNeeded) yield step(`node ${i} is up`, withNode(state, i, { up: true }));
    if (believesHearsay) yield step(`a liar tells node ${i} that it was at index 99`, { ...state, condemned: true });
  }

  return {
    name: `restart of all: ${name}, n=${n} f=${f}`,
    initial: [{ nodes: makeNodes(n - f, () => ({ up: false, heard: 0 })), condemned: false }],
    key: canonicalKey,
    invariants: { 'no correct node condemned': (state) => !state.condemned },
    goal: (state) => state.nodes.every(({ up }) => up),
    *next(state) {
      for (const i of state.nodes.keys()) yield* hear(state, i);
    },
  };
}

// The incarnation counter.

export interface IncarnationOptions {
  /** At boot the copy is first brought up to the log; an earlier rule took a lag of more than 1 for a mismatch instead. */
  readonly copyCatchesUp?: boolean;
  /** The node signs before the copy of its new incarnation is confirmed. */
  readonly signsEarly?: boolean;
}

interface IncarnationState {
  readonly log: number;
  readonly copy: number;
  readonly phase: 'down' | 'logged' | 'up' | 'refuses';
  /** Highest incarnation in which it has signed something. */
  readonly signed: number;
  /** Was an older log put back, and does it lack an incarnation that has signed? */
  readonly restored: 'no' | 'harmless' | 'harmful';
}

/** The log is synced first, then the copy; a crash may fall anywhere, and once an older log may be put back. */
export function incarnation(name: string, { copyCatchesUp = true, signsEarly = false }: IncarnationOptions = {}): Model<IncarnationState> {
  const incarnationsMax = 4;

  function* boot(state: IncarnationState): Iterable<Step<IncarnationState>> {
    const { log, copy } = state;
    if (state.phase !== 'down') return;
    if (copy > log || (!copyCatchesUp && log - copy > 1)) yield step('the node refuses to start', { ...state, phase: 'refuses' });
    else if (copyCatchesUp && copy < log) yield step('the copy catches up', { ...state, copy: log });
    else if (log < incarnationsMax) yield step('BOOT is synced in the log', { ...state, log: log + 1, phase: 'logged' });
  }

  function* writeCopy(state: IncarnationState): Iterable<Step<IncarnationState>> {
    if (state.phase === 'logged') yield step('the copy is written', { ...state, copy: state.log, phase: 'up' });
  }

  function* sign(state: IncarnationState): Iterable<Step<IncarnationState>> {
    if (state.phase === 'up' || (state.phase === 'logged' && signsEarly)) yield step('the node signs something', { ...state, signed: state.log });
  }

  function* crash(state: IncarnationState): Iterable<Step<IncarnationState>> {
    if (state.phase === 'logged' || state.phase === 'up') yield step('crash', { ...state, phase: 'down' });
  }

  function* restoreLog(state: IncarnationState): Iterable<Step<IncarnationState>> {
    if (state.restored !== 'no') return;
    for (let log = 0; log < state.log; log++) {
      yield step(`log ${log} is put back`, { ...state, log, phase: 'down', restored: log < state.signed ? 'harmful' : 'harmless' });
    }
  }

  return {
    name: `incarnation: ${name}`,
    initial: [{ log: 0, copy: 0, phase: 'down', signed: 0, restored: 'no' }],
    key: (state) => JSON.stringify(state),
    invariants: {
      'a correct node starts': (state) => state.phase !== 'refuses' || state.restored !== 'no',
      'a log older than a signed incarnation is refused': (state) => !(state.phase === 'up' && state.restored === 'harmful'),
    },
    *next(state) {
      yield* boot(state);
      yield* writeCopy(state);
      yield* sign(state);
      yield* crash(state);
      yield* restoreLog(state);
    },
  };
}

/**
 * The copy on other nodes: written to so many of them, at most f-1 of which lie, it must be among the answers that
 * a booting node waits for, and so many must answer even if f are silent.
 */
export function isCopyOnOthersEnough({ n, f }: { readonly n: number; readonly f: number }, copies: number): boolean {
  const isSeen = copies - (f - 1) - f >= 1;
  const canBeWritten = copies <= quorumSize({ n, f }) - 1;
  return isSeen && canBeWritten;
}
