/** What the operations of the client share: the cluster, its peers, what was verified, and the ports. */
import type { Clock, Random, Telemetry } from '../base/ports.ts';
import type { WorkspacePool } from '../erasure/workspace.ts';
import type { Accuse } from '../evidence/accuse.ts';
import type { Sightings } from '../evidence/sightings.ts';
import type { Cluster } from '../protocol/configuration.ts';
import type { Seen } from '../protocol/messages.ts';
import type { StatementVerifier } from '../protocol/statement.ts';
import type { Background } from './background.ts';
import type { Certificates } from './certificates.ts';
import type { Deadlines } from './deadlines.ts';
import type { Peers } from './peers.ts';
import type { Promises } from './promises.ts';

export interface ClientContext {
  readonly cluster: Cluster;
  readonly peers: Peers;
  readonly certificates: Certificates;
  readonly verifier: StatementVerifier;
  readonly clock: Clock;
  readonly random: Random;
  readonly telemetry: Telemetry;
  readonly deadlines: Deadlines;
  readonly background: Background;
  /** Memory in which stripes are coded, one workspace at a time for each upload or read. */
  readonly workspaces: WorkspacePool;
  /** Stripes of one upload or read that may be under way at once. */
  readonly windowStripes: number;
  /** The highest checkpoint of a slot's log that this client has verified. */
  readonly seen: (slot: number) => Seen;
  readonly accuse: Accuse;
  /** What members have signed, as it passes by. */
  readonly sightings: Sightings;
  readonly promises: Promises;
}
