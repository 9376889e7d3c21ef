/**
 * The register: one key of a PLAIN, unversioned bucket, with writers, one reader that reads again and again, and
 * certificates (protocol 4.2, 5, 6.1, 6.3). A reader changes nothing that others see except where certificates
 * are, and those may reach any node at any time anyway, so this reader stands for any number of them.
 *
 * The f Byzantine nodes have no state: they sign every receipt, acknowledge everything, know every certificate
 * that exists, and answer a query with any of them or with none. A crashed client takes no further step.
 * Messages may be late, lost, doubled, out of order, and outlive their sender.
 *
 * Stamps are positions in the real order of stamps, 0 is "no version". A *head* is a manifest: the pair of a
 * stamp and which of the manifests with this stamp (only a Byzantine writer makes several), as one number. Sets
 * of heads, stamps and clients are bits of a number.
 */
import { checkGeometry, holderCount, quorumSize } from '../../src/protocol/quorum.ts';
import { makeAcceptance, orderedStamps } from './acceptance.ts';
import { step } from './engine.ts';
import type { Model, Step } from './engine.ts';

export interface RegisterOptions {
  readonly n?: number;
  readonly f?: number;
  /** Fragments that decode; beyond what checkGeometry allows only on purpose. */
  readonly k?: number;
  readonly writers?: number;
  readonly writesEach?: number;
  /** Counters of stamps go up to this. */
  readonly counterMax?: number;
  /** Writer 1 is Byzantine: it sends two manifests for any stamp of its own that a counter rule lets pass. */
  readonly byzantineWriter?: boolean;
  /** Writers guess their counter in place of a query (6.1), and retry higher when they are refused. */
  readonly guessedCounter?: boolean;
  /** The rules below are left out or weakened on purpose, to see that the model notices. */
  readonly broken?: {
    /** In place of c = 2f+1 nodes that must hold a certificate. */
    readonly holders?: number;
    /** A reader returns without the write-back of 6.3. */
    readonly noWriteBack?: boolean;
    /** GC drops fragments above the certificate held too. */
    readonly dropsUncertified?: boolean;
    /** Nodes do not ask P8. */
    readonly noP8?: boolean;
    /** Nodes do not ask P6, and forget with a dropped fragment what they accepted. */
    readonly noP6?: boolean;
    /** One correct node's disk is restored from an early copy, although f others are Byzantine already. */
    readonly diskRollback?: boolean;
    /** A writer that is told SUPERSEDED acknowledges without bringing that certificate to c nodes. */
    readonly noHelp?: boolean;
  };
  /** Look at what clients see only (I1 and I4), so that the search goes on past the first internal fault. */
  readonly clientsOnly?: boolean;
}

interface NodeState {
  /** Heads whose fragment is on disk. */
  readonly fragments: number;
  /** Heads with a receipt and no certificate yet; a certified head needs none any more. */
  readonly receipts: number;
  /** Stamps for which it remembers having accepted a manifest. Kept only where writers may equivocate. */
  readonly accepted: number;
  /** Stamp of the highest certificate it holds. */
  readonly max: number;
  /** Clients whose query it has answered. */
  readonly answered: number;
}

type WriterPhase = 'idle' | 'querying' | 'preparing' | 'committing' | 'helping';
type ReaderPhase = 'idle' | 'querying' | 'writing back';

interface Writer {
  readonly phase: WriterPhase;
  readonly writesDone: number;
  /** Highest stamp among the answers of its query. */
  readonly highest: number;
  /** Its stamp; while helping: the stamp that overwrote it. */
  readonly stamp: number;
  /** Highest stamp that was complete when the operation began. */
  readonly floor: number;
}

interface Reader {
  readonly phase: ReaderPhase;
  readonly highest: number;
  readonly floor: number;
}

export interface RegisterState {
  readonly nodes: readonly NodeState[];
  /** Heads for which a certificate exists anywhere. */
  readonly certified: number;
  /** Stamps for which a correct writer has sent its manifest. */
  readonly sent: number;
  /** Highest stamp that a completed operation has written or returned. */
  readonly completed: number;
  /** A client has seen something that no order of the operations explains. */
  readonly disorder: boolean;
  readonly rolledBack: boolean;
  readonly writers: readonly Writer[];
  readonly reader: Reader;
}

const WRITER_PHASES: readonly WriterPhase[] = ['idle', 'querying', 'preparing', 'committing', 'helping'];
const READER_PHASES: readonly ReaderPhase[] = ['idle', 'querying', 'writing back'];
const IDLE_READER: Reader = { phase: 'idle', highest: 0, floor: 0 };

const has = (set: number, member: number): boolean => ((set >> member) & 1) === 1;
const including = (set: number, member: number): number => set | (1 << member);
const without = (set: number, member: number): number => set & ~(1 << member);

type RegisterStep = Step<RegisterState>;

export function register(name: string, options: RegisterOptions = {}): Model<RegisterState> {
  const { n = 4, f = 1, k = 2, writers: writerCount = 2, writesEach = 1, counterMax = 2, clientsOnly = false } = options;
  const { byzantineWriter = false, guessedCounter = false, broken = {} } = options;
  const geometry = checkGeometry(n, f, k);
  if (!geometry.ok && k <= n - 2 * f) throw new RangeError(geometry.reason);
  const q = quorumSize({ n, f });
  const c = broken.holders ?? holderCount({ n, f });
  const stamps = orderedStamps(writerCount, counterMax);
  const top = stamps.length - 1;
  /** Manifests a stamp: what an equivocating writer makes. */
  const values = byzantineWriter ? 2 : 1;
  const headCount = stamps.length * values;
  const headOf = (stamp: number, value = 0): number => stamp * values + value;
  const counterOf = (stamp: number): number => stamps[stamp]?.counter ?? 0;
  const writerOf = (stamp: number): number => stamps[stamp]?.writer ?? 0;
  const stampOf = (counter: number, writer: number): number => stamps.findIndex((stamp) => stamp.counter === counter && stamp.writer === writer);
  const isByzantine = (writer: number): boolean => byzantineWriter && writer === 1;
  /** The reader's bit among the clients; writers have the bits below. */
  const readerClient = writerCount;
  const accepts = makeAcceptance(stamps, { p6: broken.noP6 !== true, p8: broken.noP8 !== true });

  // What a state says.

  const count = ({ nodes }: RegisterState, test: (node: NodeState) => boolean): number => {
    let found = 0;
    for (const node of nodes) if (test(node)) found++;
    return found;
  };
  const isCertified = (state: RegisterState, stamp: number): boolean => {
    for (let value = 0; value < values; value++) if (has(state.certified, headOf(stamp, value))) return true;
    return false;
  };
  const highestCertified = (state: RegisterState): number => {
    for (let stamp = top; stamp > 0; stamp--) if (isCertified(state, stamp)) return stamp;
    return 0;
  };
  const fragmentHolders = (state: RegisterState, head: number): number => count(state, (node) => has(node.fragments, head));
  const receiptCount = (state: RegisterState, head: number): number => f + count(state, (node) => has(node.receipts, head));
  const certificateHolders = (state: RegisterState, stamp: number): number => f + count(state, (node) => node.max >= stamp);
  const answerCount = (state: RegisterState, client: number): number => f + count(state, (node) => has(node.answered, client));
  const manifestsOf = (stamp: number): number[] => Array.from({ length: values }, (_, value) => headOf(stamp, value));

  // How a state changes.

  const withNode = (state: RegisterState, i: number, change: Partial<NodeState>): RegisterState => ({
    ...state,
    nodes: state.nodes.map((node, j) => (j === i ? { ...node, ...change } : node)),
  });
  const withWriter = (state: RegisterState, w: number, change: Partial<Writer>): RegisterState => ({
    ...state,
    writers: state.writers.map((writer, j) => (j === w ? { ...writer, ...change } : writer)),
  });
  const withCertificate = (state: RegisterState, head: number): RegisterState => ({
    ...state,
    certified: including(state.certified, head),
    nodes: state.nodes.map((node) => (has(node.receipts, head) ? { ...node, receipts: without(node.receipts, head) } : node)),
  });
  const withAnswersUsed = (state: RegisterState, client: number): RegisterState => ({
    ...state,
    nodes: state.nodes.map((node) => (has(node.answered, client) ? { ...node, answered: without(node.answered, client) } : node)),
  });

  // What nodes do.

  /** Which manifest of a stamp the node remembers. If its fragment is gone, P6 refuses the stamp before P8 is asked. */
  const acceptedValue = (node: NodeState, stamp: number): number | undefined => {
    if (!has(node.accepted, stamp)) return undefined;
    const value = manifestsOf(stamp).findIndex((head) => has(node.fragments, head));
    return value >= 0 ? value : values;
  };

  /** PREPARE: the fragment is durable, then the receipt is signed; P6 and P8 decide. */
  function* acceptPrepare(state: RegisterState, i: number, node: NodeState): Iterable<RegisterStep> {
    for (let head = headOf(1); head < headCount; head++) {
      if (has(node.receipts, head) || has(node.fragments, head)) continue;
      const stamp = Math.floor(head / values);
      const value = head % values;
      // A Byzantine writer sends what no correct one would, but P7 keeps its counters next to certified ones.
      const isSent = (value === 0 && has(state.sent, stamp)) || (isByzantine(writerOf(stamp)) && counterOf(stamp) <= counterOf(highestCertified(state)) + 1);
      if (!isSent || !accepts({ stamp, value, maxStamp: node.max, acceptedValue: acceptedValue(node, stamp) })) continue;
      yield step(
        `node ${i} gives a receipt for manifest ${value} of stamp ${stamp}`,
        withNode(state, i, {
          fragments: including(node.fragments, head),
          receipts: has(state.certified, head) ? node.receipts : including(node.receipts, head),
          accepted: values > 1 ? including(node.accepted, stamp) : node.accepted,
        }),
      );
    }
  }

  /** GC: a fragment goes once a certificate with a higher stamp is held, never before. */
  function* dropFragment(state: RegisterState, i: number, node: NodeState): Iterable<RegisterStep> {
    for (let head = 0; head < headCount; head++) {
      if (!has(node.fragments, head)) continue;
      const stamp = Math.floor(head / values);
      if (stamp < node.max || (broken.dropsUncertified === true && stamp > node.max)) {
        const accepted = broken.noP6 === true ? without(node.accepted, stamp) : node.accepted;
        yield step(`node ${i} drops its fragment of stamp ${stamp}`, withNode(state, i, { fragments: without(node.fragments, head), accepted }));
      }
    }
  }

  /** COMMIT, from whomever: the highest certificate stays. */
  function* takeCertificate(state: RegisterState, i: number, node: NodeState): Iterable<RegisterStep> {
    for (let stamp = node.max + 1; stamp <= top; stamp++) {
      if (isCertified(state, stamp)) yield step(`the certificate of stamp ${stamp} reaches node ${i}`, withNode(state, i, { max: stamp }));
    }
  }

  /** Broken on purpose (trap H14): a disk comes back as it was before anything was written. */
  function* restoreDisk(state: RegisterState, i: number): Iterable<RegisterStep> {
    if (broken.diskRollback !== true || state.rolledBack || state.completed === 0) return;
    yield step(`the disk of node ${i} is restored from an early copy`, { ...withNode(state, i, { max: 0, accepted: 0, fragments: 1 }), rolledBack: true });
  }

  /** QUERY: the node shows its highest certificate; a client waits for q answers and takes no more. */
  function* answerQuery(state: RegisterState, i: number, node: NodeState): Iterable<RegisterStep> {
    const open = (client: number): boolean => !has(node.answered, client) && answerCount(state, client) < q;
    const answering = (client: number): RegisterState => withNode(state, i, { answered: including(node.answered, client) });
    for (const [w, writer] of state.writers.entries()) {
      if (writer.phase !== 'querying' || guessedCounter || !open(w)) continue;
      yield step(`node ${i} answers the query of writer ${w + 1}`, withWriter(answering(w), w, { highest: Math.max(writer.highest, node.max) }));
    }
    const { reader } = state;
    if (reader.phase === 'querying' && open(readerClient)) {
      yield step(`node ${i} answers the reader`, { ...answering(readerClient), reader: { ...reader, highest: Math.max(reader.highest, node.max) } });
    }
  }

  /** SUPERSEDED to a writer: with a counter from a query it helps the other certificate (6.1 b), with a guessed one it tries again. */
  function* refuseSuperseded(state: RegisterState, i: number, node: NodeState): Iterable<RegisterStep> {
    for (const [w, writer] of state.writers.entries()) {
      if (writer.phase !== 'preparing' || node.max <= writer.stamp) continue;
      const change: Partial<Writer> = guessedCounter ? { phase: 'querying', stamp: 0 } : { phase: 'helping', stamp: node.max };
      yield step(`node ${i} tells writer ${w + 1}: superseded by stamp ${node.max}`, withWriter(state, w, change));
    }
  }

  /** SUPERSEDED to a reader whose fragment is gone: it goes on with the higher stamp (6.3). */
  function* refuseFetch(state: RegisterState, i: number, node: NodeState): Iterable<RegisterStep> {
    const { reader } = state;
    if (reader.phase !== 'writing back' || node.max <= reader.highest) return;
    if (manifestsOf(reader.highest).some((head) => has(node.fragments, head))) return;
    yield step(`node ${i} tells the reader: superseded by stamp ${node.max}`, { ...state, reader: { ...reader, highest: node.max } });
  }

  // What writers do.

  /** A Byzantine writer certifies whatever it has q receipts for. */
  function* certifyByzantine(state: RegisterState): Iterable<RegisterStep> {
    for (let head = headOf(1); head < headCount; head++) {
      const stamp = Math.floor(head / values);
      if (!isByzantine(writerOf(stamp)) || has(state.certified, head) || receiptCount(state, head) < q) continue;
      yield step(`the Byzantine writer certifies manifest ${head % values} of stamp ${stamp}`, withCertificate(state, head));
    }
  }

  /** WRITE begins (6.1): whatever is complete now must be below it. */
  function* startWrite(state: RegisterState, w: number, writer: Writer): Iterable<RegisterStep> {
    if (writer.phase !== 'idle' || writer.writesDone >= writesEach || isByzantine(w + 1)) return;
    yield step(`writer ${w + 1} starts`, withWriter(state, w, { phase: 'querying', highest: 0, floor: state.completed }));
  }

  /** The counter is one above the highest certificate of q answers; a Byzantine answer shows any certificate or none. */
  function* chooseStamp(state: RegisterState, w: number, writer: Writer): Iterable<RegisterStep> {
    if (writer.phase !== 'querying' || guessedCounter || answerCount(state, w) < q) return;
    for (let shown = 0; shown <= top; shown++) {
      const seen = Math.max(shown, writer.highest);
      if (!isCertified(state, shown) || (shown > 0 && shown <= writer.highest) || counterOf(seen) >= counterMax) continue;
      const stamp = stampOf(counterOf(seen) + 1, w + 1);
      const chosen = withWriter(withAnswersUsed(state, w), w, { phase: 'preparing', highest: 0, stamp });
      yield step(`writer ${w + 1} picks stamp ${stamp}`, { ...chosen, sent: including(state.sent, stamp), disorder: state.disorder || stamp <= writer.floor });
    }
  }

  /** A guessed counter: any that this writer has not used yet, above those it has. */
  function* guessStamp(state: RegisterState, w: number, writer: Writer): Iterable<RegisterStep> {
    if (writer.phase !== 'querying' || !guessedCounter) return;
    const own = stamps.map((_, stamp) => stamp).filter((stamp) => writerOf(stamp) === w + 1);
    const used = Math.max(0, ...own.filter((stamp) => has(state.sent, stamp)));
    for (const stamp of own.filter((candidate) => candidate > used)) {
      yield step(`writer ${w + 1} guesses stamp ${stamp}`, { ...withWriter(state, w, { phase: 'preparing', stamp }), sent: including(state.sent, stamp) });
    }
  }

  /** q receipts are a certificate (4.2). */
  function* certify(state: RegisterState, w: number, writer: Writer): Iterable<RegisterStep> {
    if (writer.phase !== 'preparing' || receiptCount(state, headOf(writer.stamp)) < q) return;
    yield step(`writer ${w + 1} certifies stamp ${writer.stamp}`, withWriter(withCertificate(state, headOf(writer.stamp)), w, { phase: 'committing' }));
  }

  /** The user is told "written" once c nodes hold the certificate: the own one, or the one that overwrote it. */
  function* acknowledge(state: RegisterState, w: number, writer: Writer): Iterable<RegisterStep> {
    const { phase, stamp, floor } = writer;
    if (phase !== 'committing' && phase !== 'helping') return;
    if (certificateHolders(state, stamp) < c && !(phase === 'helping' && broken.noHelp === true)) return;
    const idle: Writer = { phase: 'idle', writesDone: writer.writesDone + 1, highest: 0, stamp: 0, floor: 0 };
    yield step(`writer ${w + 1} is done (stamp ${stamp})`, {
      ...withWriter(state, w, idle),
      disorder: state.disorder || (phase === 'committing' && stamp <= floor),
      completed: Math.max(state.completed, stamp),
    });
  }

  // What the reader does.

  /** READ begins (6.3): it must return nothing below what is complete now. */
  function* startRead(state: RegisterState): Iterable<RegisterStep> {
    if (state.reader.phase === 'idle') yield step('the reader starts', { ...state, reader: { phase: 'querying', highest: 0, floor: state.completed } });
  }

  /** q answers: the highest certificate among them, the Byzantine ones' included. */
  function* finishQuery(state: RegisterState): Iterable<RegisterStep> {
    const { reader } = state;
    if (reader.phase !== 'querying' || answerCount(state, readerClient) < q) return;
    for (let shown = 0; shown <= top; shown++) {
      if (!isCertified(state, shown) || (shown > 0 && shown <= reader.highest)) continue;
      const highest = Math.max(shown, reader.highest);
      yield step(`the reader has q answers, the Byzantine nodes show stamp ${shown}`, {
        ...withAnswersUsed(state, readerClient),
        reader: { ...reader, phase: 'writing back', highest },
      });
    }
  }

  /** The value is returned once c nodes hold the certificate (the write-back) and k fragments decode. */
  function* finishRead(state: RegisterState): Iterable<RegisterStep> {
    const { phase, highest, floor } = state.reader;
    if (phase !== 'writing back' || (broken.noWriteBack !== true && certificateHolders(state, highest) < c)) return;
    if (!manifestsOf(highest).some((head) => has(state.certified, head) && fragmentHolders(state, head) + f >= k)) return;
    yield step(`the reader returns stamp ${highest}`, {
      ...state,
      disorder: state.disorder || highest < floor,
      completed: Math.max(state.completed, highest),
      reader: IDLE_READER,
    });
  }

  // What must hold (protocol 7).

  const oneHeadPerStamp = (state: RegisterState): boolean =>
    stamps.every((_, stamp) => manifestsOf(stamp).filter((head) => has(state.certified, head)).length <= 1);
  const highestIsDecodable = (state: RegisterState): boolean =>
    manifestsOf(highestCertified(state)).every((head) => !has(state.certified, head) || fragmentHolders(state, head) >= k);
  /** A read quorum leaves out n-q nodes; beyond those some correct node must hold what is complete. */
  const completedIsVisible = (state: RegisterState): boolean => count(state, (node) => node.max < state.completed) <= q - f - 1;

  const inside = { 'I2 highest certified is decodable': highestIsDecodable, 'I3 every read quorum sees it': completedIsVisible };

  /** Same node for the purpose of what comes next. */
  const codeOf = makeNodeCode(headCount, stamps.length, writerCount + 1);

  return {
    name,
    initial: [
      {
        nodes: Array.from({ length: n - f }, () => ({ fragments: 1, receipts: 0, accepted: 0, max: 0, answered: 0 })),
        certified: 1,
        sent: 0,
        completed: 0,
        disorder: false,
        rolledBack: false,
        writers: Array.from({ length: writerCount }, () => ({ phase: 'idle', writesDone: 0, highest: 0, stamp: 0, floor: 0 })),
        reader: IDLE_READER,
      },
    ],
    key: (state) => encodeState(state, codeOf),
    invariants: { 'I1 one certified head per stamp': oneHeadPerStamp, ...(clientsOnly ? {} : inside), 'I4 linearizable': (state) => !state.disorder },
    *next(state) {
      const codes = state.nodes.map(codeOf);
      for (const [i, node] of state.nodes.entries()) {
        if (codes.indexOf(codes[i] ?? 0) < i) continue; // a node like an earlier one leads to the same states
        yield* acceptPrepare(state, i, node);
        yield* dropFragment(state, i, node);
        yield* takeCertificate(state, i, node);
        yield* restoreDisk(state, i);
        yield* answerQuery(state, i, node);
        yield* refuseSuperseded(state, i, node);
        yield* refuseFetch(state, i, node);
      }
      yield* certifyByzantine(state);
      for (const [w, writer] of state.writers.entries()) {
        yield* startWrite(state, w, writer);
        yield* chooseStamp(state, w, writer);
        yield* guessStamp(state, w, writer);
        yield* certify(state, w, writer);
        yield* acknowledge(state, w, writer);
      }
      yield* startRead(state);
      yield* finishQuery(state);
      yield* finishRead(state);
    },
  };
}

/** A node as one number below 2^48, so that nodes can be compared and sorted fast: its sets side by side, each in as many bits as it needs. */
function makeNodeCode(headCount: number, stampCount: number, clientCount: number): (node: NodeState) => number {
  const headRange = 2 ** headCount;
  const stampRange = 2 ** stampCount;
  const clientRange = 2 ** clientCount;
  if (headRange ** 2 * stampRange * stampCount * clientRange > 2 ** 48 || headRange > 2 ** 16) throw new RangeError('too many stamps for the code of a node');
  return ({ fragments, receipts, accepted, max, answered }) =>
    (((answered * stampCount + max) * stampRange + accepted) * headRange + receipts) * headRange + fragments;
}

/** The canonical key: the nodes sorted, then the rest, each small number a character. States of one model have keys of one length. */
function encodeState(state: RegisterState, codeOf: (node: NodeState) => number): string {
  const { reader } = state;
  const units: number[] = [];
  for (const code of state.nodes.map(codeOf).sort((a, b) => a - b)) units.push(code % 2 ** 16, Math.floor(code / 2 ** 16) % 2 ** 16, Math.floor(code / 2 ** 32));
  units.push(state.certified, state.sent, state.completed * 4 + (state.disorder ? 2 : 0) + (state.rolledBack ? 1 : 0));
  units.push(READER_PHASES.indexOf(reader.phase), reader.highest, reader.floor);
  for (const { phase, writesDone, highest, stamp, floor } of state.writers) {
    units.push(WRITER_PHASES.indexOf(phase) * 16 + writesDone, highest, stamp, floor);
  }
  return String.fromCharCode(...units);
}
