/**
 * One key across a change of members (protocol 9): slots {0,1,2,3} become {1,2,3,4}, n=4, f=1 on each side. One
 * write whose receipts exist already (what is left is to bring its certificate to c nodes), and one reader that
 * reads again and again. Node and client epochs: 0 the old configuration, 1 the joint one, in which everything
 * needs a quorum of each side, 2 the new one. A client that a node refuses goes on to the next epoch and starts
 * the phase it is in again.
 *
 * Sets of nodes are bits of a number. Stamp 1 is the write, 0 the version before it.
 */
import { holderCount, quorumSize } from '../../src/protocol/quorum.ts';
import { step } from './engine.ts';
import type { Model, Step } from './engine.ts';

export interface ReconfigurationOptions {
  /** At most one in each of the two configurations. */
  readonly byzantineNodes: readonly number[];
  readonly broken?: {
    /** The transfer does not wait until q old nodes have adopted the joint configuration. */
    readonly noBarrier?: boolean;
    /** Certificates of the old side are not brought to the new one. */
    readonly noTransfer?: boolean;
    /** Nodes go on serving clients of an older epoch. */
    readonly servesStaleClients?: boolean;
  };
}

type Epoch = 0 | 1 | 2;

interface Admin {
  readonly phase: 'waiting' | 'reading old logs' | 'storing' | 'done';
  /** Nodes read from, then nodes stored at. */
  readonly nodes: number;
  /** Highest stamp that the logs have shown. */
  readonly highest: number;
}

interface Client<Phase> {
  readonly phase: Phase;
  readonly epoch: Epoch;
  /** Nodes that have answered in this phase. */
  readonly nodes: number;
}

type Writer = Client<'idle' | 'committing' | 'done'>;

interface Reader extends Client<'idle' | 'querying' | 'writing back'> {
  readonly highest: number;
  readonly floor: number;
}

interface ReconfigurationState {
  /** By node: the epoch that it serves. */
  readonly epochs: readonly Epoch[];
  /** Nodes that hold the certificate. */
  readonly holders: number;
  readonly jointSigned: boolean;
  readonly stableSigned: boolean;
  readonly admin: Admin;
  readonly writer: Writer;
  readonly reader: Reader;
  /** Highest stamp that a completed operation has written or returned. */
  readonly completed: number;
  /** A client has seen something that no order of the operations explains. */
  readonly disorder: boolean;
}

const NUMBERS = { n: 4, f: 1 };
const Q = quorumSize(NUMBERS);
const C = holderCount(NUMBERS);
const OLD_SLOTS = 0b01111;
const NEW_SLOTS = 0b11110;
const IDLE_ADMIN: Admin = { phase: 'waiting', nodes: 0, highest: 0 };
const IDLE_WRITER: Writer = { phase: 'idle', epoch: 0, nodes: 0 };
const IDLE_READER: Reader = { phase: 'idle', epoch: 0, nodes: 0, highest: 0, floor: 0 };

const has = (set: number, member: number): boolean => ((set >> member) & 1) === 1;
const including = (set: number, member: number): number => set | (1 << member);
const after = (epoch: Epoch): Epoch => (epoch === 0 ? 1 : 2);
const isMember = (i: number, epoch: Epoch): boolean => epoch === 1 || has(epoch === 0 ? OLD_SLOTS : NEW_SLOTS, i);

function sizeOf(set: number): number {
  let size = 0;
  for (let rest = set; rest !== 0; rest &= rest - 1) size++;
  return size;
}

type ReconfigurationStep = Step<ReconfigurationState>;

export function reconfiguration(name: string, { byzantineNodes, broken = {} }: ReconfigurationOptions): Model<ReconfigurationState> {
  const correct = [0, 1, 2, 3, 4].filter((i) => !byzantineNodes.includes(i));
  const byzantine = byzantineNodes.reduce(including, 0);
  /** Byzantine nodes answer whatever is asked, in any epoch. */
  const countIn = (set: number, slots: number): number => sizeOf((set | byzantine) & slots);
  const isEnough = (set: number, epoch: Epoch, needed: number): boolean =>
    (epoch === 2 || countIn(set, OLD_SLOTS) >= needed) && (epoch === 0 || countIn(set, NEW_SLOTS) >= needed);
  /** A node serves its own epoch alone. */
  const serves = (nodeEpoch: Epoch, clientEpoch: Epoch): boolean => nodeEpoch === clientEpoch || (broken.servesStaleClients === true && nodeEpoch > clientEpoch);
  const epochOf = (state: ReconfigurationState, i: number): Epoch => state.epochs[i] ?? 0;
  /** Correct nodes that serve a client and have not answered it in this phase. */
  const nodesFor = (state: ReconfigurationState, { epoch, nodes }: Client<string>): number[] =>
    correct.filter((i) => isMember(i, epoch) && !has(nodes, i) && serves(epochOf(state, i), epoch));
  const isRefused = (state: ReconfigurationState, { epoch }: Client<string>): boolean => correct.some((i) => isMember(i, epoch) && epochOf(state, i) > epoch);

  /** Step 1: a node adopts the next signed configuration, whenever it hears of it. */
  function* adopt(state: ReconfigurationState): Iterable<ReconfigurationStep> {
    const latest = state.stableSigned ? 2 : state.jointSigned ? 1 : 0;
    for (const i of correct) {
      const epoch = epochOf(state, i);
      if (epoch >= latest) continue;
      yield step(`node ${i} adopts epoch ${epoch + 1}`, { ...state, epochs: state.epochs.map((own, j) => (j === i ? after(own) : own)) });
    }
  }

  function* signJoint(state: ReconfigurationState): Iterable<ReconfigurationStep> {
    if (!state.jointSigned) yield step('the joint configuration is signed', { ...state, jointSigned: true });
  }

  /** Step 2: q old nodes have adopted, so nothing completes with old nodes alone any more. */
  function* passBarrier(state: ReconfigurationState): Iterable<ReconfigurationStep> {
    if (!state.jointSigned || state.stableSigned || state.admin.phase !== 'waiting') return;
    const adopted = correct.filter((i) => epochOf(state, i) >= 1).reduce(including, byzantine);
    if (broken.noBarrier !== true && countIn(adopted, OLD_SLOTS) < Q) return;
    yield step('the adoption barrier is passed', { ...state, admin: { ...state.admin, phase: broken.noTransfer === true ? 'done' : 'reading old logs' } });
  }

  /** Step 3: the logs of q old nodes, up to a checkpoint that each signed after its adoption. */
  function* readOldLogs(state: ReconfigurationState): Iterable<ReconfigurationStep> {
    const { admin } = state;
    if (admin.phase !== 'reading old logs') return;
    if (countIn(admin.nodes, OLD_SLOTS) >= Q) {
      yield step('the transfer has read q old logs', { ...state, admin: { ...admin, phase: 'storing', nodes: 0 } });
      return;
    }
    for (const i of correct) {
      if (!has(OLD_SLOTS, i) || has(admin.nodes, i) || (broken.noBarrier !== true && epochOf(state, i) < 1)) continue;
      const highest = has(state.holders, i) ? 1 : admin.highest;
      yield step(`the transfer reads node ${i}`, { ...state, admin: { ...admin, nodes: including(admin.nodes, i), highest } });
    }
  }

  /** Step 3: every certificate that was read goes to c new nodes. */
  function* storeAtNewNodes(state: ReconfigurationState): Iterable<ReconfigurationStep> {
    const { admin } = state;
    if (admin.phase !== 'storing') return;
    if (countIn(admin.nodes, NEW_SLOTS) >= C) {
      yield step('the transfer is done', { ...state, admin: { phase: 'done', nodes: 0, highest: 0 } });
      return;
    }
    for (const i of correct) {
      if (!has(NEW_SLOTS, i) || has(admin.nodes, i) || epochOf(state, i) < 1) continue;
      yield step(`the transfer stores at node ${i}`, { ...stored(state, i, admin.highest), admin: { ...admin, nodes: including(admin.nodes, i) } });
    }
  }

  /** Step 4. */
  function* signStable(state: ReconfigurationState): Iterable<ReconfigurationStep> {
    if (state.admin.phase === 'done') yield step('the new configuration is signed', { ...state, stableSigned: true, admin: IDLE_ADMIN });
  }

  /** A node holds a certificate that reached it. */
  const stored = (state: ReconfigurationState, i: number, stamp: number): ReconfigurationState =>
    stamp === 0 ? state : { ...state, holders: including(state.holders, i) };

  /** CONFIG_STALE: the client takes the next epoch and starts its phase again (6.1 c). */
  function* moveOn(state: ReconfigurationState): Iterable<ReconfigurationStep> {
    const { writer, reader } = state;
    if (writer.phase === 'committing' && isRefused(state, writer)) {
      yield step('the writer is refused and moves on', { ...state, writer: { ...writer, epoch: after(writer.epoch), nodes: 0 } });
    }
    if (reader.phase !== 'idle' && isRefused(state, reader)) {
      const highest = reader.phase === 'querying' ? 0 : reader.highest;
      yield step('the reader is refused and moves on', { ...state, reader: { ...reader, epoch: after(reader.epoch), nodes: 0, highest } });
    }
  }

  /** COMMIT of the write: c nodes, then the acknowledgement. */
  function* write(state: ReconfigurationState): Iterable<ReconfigurationStep> {
    const { writer } = state;
    if (writer.phase === 'idle') yield step('the write starts', { ...state, writer: { ...writer, phase: 'committing' } });
    if (writer.phase !== 'committing') return;
    if (isEnough(writer.nodes, writer.epoch, C)) {
      yield step(`the write is acknowledged (epoch ${writer.epoch})`, { ...state, writer: { ...writer, phase: 'done', nodes: 0 }, completed: 1 });
      return;
    }
    for (const i of nodesFor(state, writer)) {
      const nodes = including(writer.nodes, i);
      yield step(`node ${i} stores the certificate (epoch ${writer.epoch})`, { ...stored(state, i, 1), writer: { ...writer, nodes } });
    }
  }

  /** QUERY of a read: q answers; the Byzantine ones show the write as soon as it exists, or hide it. */
  function* query(state: ReconfigurationState): Iterable<ReconfigurationStep> {
    const { reader } = state;
    if (reader.phase === 'idle') yield step('a read starts', { ...state, reader: { ...reader, phase: 'querying', floor: state.completed } });
    if (reader.phase !== 'querying') return;
    if (isEnough(reader.nodes, reader.epoch, Q)) {
      for (const shown of state.writer.phase === 'idle' ? [0] : [0, 1]) {
        const highest = Math.max(reader.highest, shown);
        yield step(`the reader has q answers (epoch ${reader.epoch}), Byzantine nodes show ${shown}`, {
          ...state,
          reader: { ...reader, phase: 'writing back', nodes: 0, highest },
        });
      }
      return;
    }
    for (const i of nodesFor(state, reader)) {
      const highest = has(state.holders, i) ? 1 : reader.highest;
      yield step(`node ${i} answers the reader (epoch ${reader.epoch})`, { ...state, reader: { ...reader, nodes: including(reader.nodes, i), highest } });
    }
  }

  /** The write-back of a read: c nodes hold what it returns. */
  function* writeBack(state: ReconfigurationState): Iterable<ReconfigurationStep> {
    const { reader } = state;
    if (reader.phase !== 'writing back') return;
    if (reader.highest === 0 || isEnough(reader.nodes, reader.epoch, C)) {
      yield step(`the read returns ${reader.highest} (epoch ${reader.epoch})`, {
        ...state,
        reader: { ...IDLE_READER, epoch: reader.epoch },
        completed: Math.max(state.completed, reader.highest),
        disorder: state.disorder || reader.highest < reader.floor,
      });
      return;
    }
    for (const i of nodesFor(state, reader)) {
      const nodes = including(reader.nodes, i);
      yield step(`node ${i} takes the write-back (epoch ${reader.epoch})`, { ...stored(state, i, reader.highest), reader: { ...reader, nodes } });
    }
  }

  return {
    name: `reconfiguration: ${name}, Byzantine ${byzantineNodes.join(' and ')}`,
    initial: [
      {
        epochs: [0, 0, 0, 0, 0],
        holders: 0,
        jointSigned: false,
        stableSigned: false,
        admin: IDLE_ADMIN,
        writer: IDLE_WRITER,
        reader: IDLE_READER,
        completed: 0,
        disorder: false,
      },
    ],
    key: encodeState,
    invariants: { 'linearizable across the change': (state) => !state.disorder },
    *next(state) {
      yield* adopt(state);
      yield* signJoint(state);
      yield* passBarrier(state);
      yield* readOldLogs(state);
      yield* storeAtNewNodes(state);
      yield* signStable(state);
      yield* moveOn(state);
      yield* write(state);
      yield* query(state);
      yield* writeBack(state);
    },
  };
}

const ADMIN_PHASES: readonly Admin['phase'][] = ['waiting', 'reading old logs', 'storing', 'done'];
const WRITER_PHASES: readonly Writer['phase'][] = ['idle', 'committing', 'done'];
const READER_PHASES: readonly Reader['phase'][] = ['idle', 'querying', 'writing back'];

/** All of a state in four characters: there are hundreds of thousands, and each is looked up many times. */
function encodeState({ epochs, holders, jointSigned, stableSigned, admin, writer, reader, completed, disorder }: ReconfigurationState): string {
  let nodes = holders;
  for (const epoch of epochs) nodes = nodes * 4 + epoch;
  return String.fromCharCode(
    nodes,
    bits([
      [disorder ? 1 : 0, 1],
      [completed, 1],
      [jointSigned ? 1 : 0, 1],
      [stableSigned ? 1 : 0, 1],
      [ADMIN_PHASES.indexOf(admin.phase), 2],
      [admin.nodes, 5],
      [admin.highest, 1],
    ]),
    bits([[WRITER_PHASES.indexOf(writer.phase), 2], [writer.epoch, 2], [writer.nodes, 5]]),
    bits([[READER_PHASES.indexOf(reader.phase), 2], [reader.epoch, 2], [reader.nodes, 5], [reader.highest, 1], [reader.floor, 1]]),
  );
}

/** Small numbers side by side, each in its width. */
function bits(fields: readonly (readonly [value: number, width: number])[]): number {
  let code = 0;
  for (const [value, width] of fields) code = (code << width) | value;
  return code;
}
