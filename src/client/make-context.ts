/** Makes what the operations of a client share, of the ports that it is given. */
import type { Clock, Random, Telemetry, Transport } from '../base/ports.ts';
import type { WorkspacePool } from '../erasure/workspace.ts';
import { accuser } from '../evidence/accuse.ts';
import type { Proof } from '../evidence/finding.ts';
import { Sightings } from '../evidence/sightings.ts';
import type { Cluster } from '../protocol/configuration.ts';
import type { Seen } from '../protocol/messages.ts';
import { StatementVerifier } from '../protocol/statement.ts';
import { Background } from './background.ts';
import { Certificates } from './certificates.ts';
import type { ClientContext } from './context.ts';
import { DEFAULT_DEADLINES } from './deadlines.ts';
import type { Deadlines } from './deadlines.ts';
import { Peers } from './peers.ts';
import { Promises } from './promises.ts';

export interface ContextOptions {
  readonly cluster: Cluster;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly random: Random;
  readonly telemetry: Telemetry;
  /**
   * With room for n cells of the largest size in use. May be shared: nothing waits while it holds a
   * workspace.
   */
  readonly workspaces: WorkspacePool;
  readonly deadlines?: Partial<Deadlines>;
  /** Stripes of one upload or read under way at once; memory is about this times n cells. */
  readonly windowStripes?: number;
  /** Called with each proof of a fault that others can check, once; must not throw. */
  readonly onEvidence?: (proof: Proof) => void;
}

export const WINDOW_STRIPES_DEFAULT = 4;

/** `seen`: the highest checkpoint of a slot's log that this client has verified. */
export function makeContext(options: ContextOptions, seen: (slot: number) => Seen): ClientContext {
  const { cluster, transport, clock, random, telemetry, workspaces } = options;
  const deadlines: Deadlines = { ...DEFAULT_DEADLINES, ...options.deadlines };
  const verifier = new StatementVerifier(cluster.id);
  const accuse = accuser({ cluster, clock, telemetry, onProof: options.onEvidence ?? (() => undefined) });
  const sightings = new Sightings(cluster, verifier, clock, accuse);
  return {
    cluster,
    peers: new Peers(cluster, transport, clock, telemetry, deadlines),
    certificates: new Certificates(cluster, verifier, sightings),
    verifier,
    clock,
    random,
    telemetry,
    deadlines,
    background: new Background(telemetry),
    workspaces,
    windowStripes: options.windowStripes ?? WINDOW_STRIPES_DEFAULT,
    seen,
    accuse,
    sightings,
    promises: new Promises(),
  };
}
