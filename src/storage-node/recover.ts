/**
 * Starting from disk: the newest snapshot, then the journal's tail through the same `apply` that runs live.
 * A journal that is missing, damaged in its middle, or of another node is lost state, and is never replaced
 * by an empty one: an emptied folder must not come back as a node that has promised nothing.
 */
import { describeError, isOperationError, OperationError } from '../base/errors.ts';
import { equal, hex } from '../base/bytes.ts';
import type { Clock, Disk, Random, Telemetry } from '../base/ports.ts';
import { sha256 } from '../crypto/primitives.ts';
import type { SigningKey } from '../crypto/primitives.ts';
import { CellJournal } from '../journal/cell-journal.ts';
import { LogJournal } from '../journal/log-journal.ts';
import { SnapshotStore } from '../journal/snapshot-store.ts';
import { encodeEntry } from '../log/entry-types.ts';
import { MerkleLog } from '../log/merkle-log.ts';
import type { Cluster, SlotConfig } from '../protocol/configuration.ts';
import { statementBytes } from '../protocol/statement.ts';
import { encodeSnapshotEntry } from '../protocol/log-entries.ts';
import type { NodeTuning } from './context.ts';
import { decodeRecord, extentAt, extentCount } from './records.ts';
import type { NodeRecord } from './records.ts';
import { freeze, thaw } from './snapshot.ts';
import { NodeState } from './state.ts';

const FOLDER = 'journal';

export interface Recovered {
  readonly state: NodeState;
  readonly summary: { readonly records: number; readonly fromSnapshot: boolean; readonly ms: number };
  snapshot(): Promise<void>;
  /** Writes a snapshot when enough records have come since the last one. */
  snapshotWhenDue(): Promise<void>;
  close(): Promise<void>;
}

export interface RecoveryDeps {
  readonly cluster: Cluster;
  readonly signingKey: SigningKey;
  /** The node's folder. */
  readonly disk: Disk;
  readonly clock: Clock;
  readonly random: Random;
  readonly telemetry: Telemetry;
  /** May the journal be created? Only on the very first start of a node: a journal that is gone is lost state. */
  readonly fresh: boolean;
}

/** Errors: LOST_STATE, BAD_CONFIG (the journal is of another configuration), and the disk's. */
export async function recover(deps: RecoveryDeps, self: SlotConfig, tuning: NodeTuning): Promise<Recovered> {
  const { disk, clock, random, cluster } = deps;
  const started = clock.monotonicMs();
  // The journal belongs to one node of one cluster: another's segments never verify in it.
  // It is secret, because a peer that knew it could place bytes in a payload that recovery would take for a record.
  const id = sha256(deps.signingKey.sign(statementBytes('journal', cluster.id, self.nodeId))).subarray(0, 16);
  const present = (await disk.list(FOLDER)).some((name) => name.startsWith('log-'));
  if (!present && !deps.fresh) {
    throw new OperationError('LOST_STATE', 'The journal of this storage node is missing.', {
      remedy: 'A node that lost its journal has lost its promises: it comes back as a new member of its slot.',
    });
  }
  const snapshots = await SnapshotStore.open(disk, FOLDER, id);
  const cells = await CellJournal.open(disk, FOLDER, id, random, tuning.cellSegmentBytes);
  let state = new NodeState(new MerkleLog(), clock);
  let restored = 0;
  const newest = await snapshots.newest();
  if (newest !== null) {
    try {
      thaw(state, newest.chunks);
      restored = newest.sequence;
    } catch (error) {
      if (!isOperationError(error, 'CORRUPT')) throw error;
      deps.telemetry.event('warn', 'a snapshot was passed over', { error: describeError(error) });
      state = new NodeState(new MerkleLog(), clock);
    }
  }
  state.recordCount = restored;
  const journal = await LogJournal.open(disk, FOLDER, id, {
    after: restored,
    segmentBytes: tuning.logSegmentBytes,
    onRecord: (bytes, pointer) => state.replay(bytes, pointer),
    isWhole: (bytes) => isWhole(cells, self.slot, decodeRecord(bytes)),
  });
  state.attach(journal, cells);
  if (state.configHash !== null && hex(state.configHash) !== hex(cluster.hash)) {
    throw new OperationError('BAD_CONFIG', 'The journal was written under another configuration than the one given.');
  }
  let lastSnapshot = restored;
  let writing = false;
  const snapshot = async (): Promise<void> => {
    if (writing || state.recordCount === lastSnapshot) return;
    writing = true;
    try {
      const { chunks, lastRecord } = await freeze(state);
      const digest = await snapshots.write(lastRecord, chunks);
      lastSnapshot = lastRecord;
      const leaf = encodeEntry('SNAPSHOT', encodeSnapshotEntry(lastRecord, digest));
      await state.write({ r: 'SNAPSHOT', leaf }).durable;
    } finally {
      writing = false;
    }
  };
  return {
    state,
    summary: { records: state.recordCount - restored, fromSnapshot: restored > 0, ms: clock.monotonicMs() - started },
    snapshot,
    snapshotWhenDue: async () => {
      if (state.recordCount - lastSnapshot >= tuning.snapshotRecords) await snapshot();
    },
    close: async () => {
      await journal.close();
      await cells.close();
    },
  };
}

/**
 * A record that binds a content of one piece is synced together with it (`NodeState.write`): where the power
 * went in between, the record may be there without it, and nobody was told.
 */
async function isWhole(cells: CellJournal, slot: number, record: NodeRecord): Promise<boolean> {
  if (!('content' in record) || record.r === 'MOVED' || record.content === null) return true;
  const { shape, n, cells: places } = record.content;
  // The cells of an upload were durable before.
  if (extentCount(places) !== 1) return true;
  const place = extentAt(places, 0);
  try {
    if (shape === 'BLOB') {
      await cells.read(place);
      return true;
    }
    const piece = await cells.read(place, 32 * n);
    return equal(sha256(piece.subarray(32 * n)), piece.subarray(32 * slot, 32 * slot + 32));
  } catch (error) {
    if (!isOperationError(error, 'CORRUPT') && !isOperationError(error, 'NOT_FOUND')) throw error;
    // Cells that were lost later are a hole, and no reason to forget what was promised.
    return cells.isLost(place.segment);
  }
}
