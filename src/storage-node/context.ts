/** What the handlers of a storage node share: who it is, its ports, its state, and how it signs. */
import type { Channel, Clock, Disk, Random, Telemetry } from '../base/ports.ts';
import type { SigningKey } from '../crypto/primitives.ts';
import type { Sightings } from '../evidence/sightings.ts';
import type { BatchSigner } from '../protocol/batch-signer.ts';
import type { Cluster, SlotConfig, WriterConfig } from '../protocol/configuration.ts';
import type { StatementVerifier } from '../protocol/statement.ts';
import type { RetentionClock } from './retention-clock.ts';
import type { NodeState } from './state.ts';
import type { Uploads } from './uploads.ts';

/** Times and sizes that an operator may want different in a test cluster and in production; none weakens a promise. */
export interface NodeTuning {
  /** Pause between rounds of garbage collection and compaction. */
  readonly upkeepMs: number;
  /** How long an unreferenced content stays before its space is given back (13.3). */
  readonly quarantineMs: number;
  /** Journal records between snapshots. */
  readonly snapshotRecords: number;
  /** Bytes of one segment of the log and of the cell journal. */
  readonly logSegmentBytes: number;
  readonly cellSegmentBytes: number;
  readonly peerTimeoutMs: number;
  /** Between looks at what time the others have (13.6). */
  readonly timeMs: number;
  /** Between looks into the others' logs for what this node has missed. */
  readonly followMs: number;
  /** Bytes a second that the node reads of its own disk to find what is damaged. */
  readonly scrubBytesPerSecond: number;
  /** Between two passes over the whole disk. */
  readonly scrubPauseMs: number;
  /** Bytes a second that one controller may bring, and by how much it may be ahead. */
  readonly repairBytesPerSecond: number;
}

export const TUNING_DEFAULT: NodeTuning = {
  upkeepMs: 2_000,
  quarantineMs: 10_000,
  snapshotRecords: 50_000,
  logSegmentBytes: 8 * 1024 * 1024,
  cellSegmentBytes: 16 * 1024 * 1024,
  peerTimeoutMs: 5_000,
  timeMs: 60_000,
  followMs: 60_000,
  scrubBytesPerSecond: 16 * 1024 * 1024,
  scrubPauseMs: 6 * 3_600_000,
  repairBytesPerSecond: 128 * 1024 * 1024,
};

export interface NodeContext {
  readonly cluster: Cluster;
  readonly self: SlotConfig;
  readonly signingKey: SigningKey;
  readonly signer: BatchSigner;
  readonly verifier: StatementVerifier;
  /** What members have signed, as it passes by. */
  readonly sightings: Sightings;
  readonly clock: Clock;
  readonly random: Random;
  readonly disk: Disk;
  readonly telemetry: Telemetry;
  readonly tuning: NodeTuning;
  readonly state: NodeState;
  readonly uploads: Uploads;
  readonly retention: RetentionClock;
  /** Channels to the other slots. */
  readonly peers: ReadonlyMap<number, Channel>;
  /** Read leases: version hash → monotonic ms until which its content stays. */
  readonly leases: Map<string, number>;
  /** Stops the node for good: it has proof, or must assume, that its state is not what it promised. */
  readonly stop: (reason: string) => void;
}

/** The member at the other end of a connection. */
export type Member =
  | { readonly kind: 'node'; readonly slot: SlotConfig }
  | { readonly kind: 'writer'; readonly writer: WriterConfig };

export function memberOf(cluster: Cluster, peerKey: string): Member | undefined {
  const slot = cluster.slotOfPeer(peerKey);
  if (slot !== undefined) return { kind: 'node', slot };
  const writer = cluster.writerOfPeer(peerKey);
  return writer === undefined ? undefined : { kind: 'writer', writer };
}
