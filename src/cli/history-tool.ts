/**
 * What the commands that read the past share: the identity and owner's secret of a gateway's folder, a client of
 * the storage nodes, and the history that their logs tell, which stays in the folder and goes on from where the
 * last command left it. A running gateway is not needed, and not disturbed.
 */
import path from 'node:path';
import { OperationError } from '../base/errors.ts';
import { CELL_BYTES_MAX } from '../base/limits.ts';
import type { AttemptJournal } from '../client/attempts.ts';
import { ProtocolClient } from '../client/client.ts';
import { wasmCodec } from '../erasure/wasm.ts';
import { WorkspacePool } from '../erasure/workspace.ts';
import { BucketRegistry } from '../gateway/buckets/bucket-registry.ts';
import { History } from '../gateway/history/history.ts';
import { HistoryReader } from '../gateway/history/history-reader.ts';
import type { FollowedLogs } from '../gateway/history/history-reader.ts';
import { OwnerKeys } from '../keyring/owner-keys.ts';
import { NodeDisk } from '../platform/disk.ts';
import { openLevelStore } from '../platform/level-store.ts';
import { makeTlsIdentity } from '../platform/tls-identity.ts';
import { TlsTransport } from '../platform/tls-transport.ts';
import type { Cluster } from '../protocol/configuration.ts';
import { boundCluster } from './bound-cluster.ts';
import { memberFolder, ownerFolder } from './cluster-folder.ts';
import { HISTORY_FOLDER, readRootSecret } from './gateway-folder.ts';
import { readGatewayIdentity } from './identity-folder.ts';
import type { GatewayIdentity } from './identity-folder.ts';
import { processTelemetry } from './process-telemetry.ts';
import { systemClock, systemRandom } from './system-ports.ts';

/** The client never writes: only gateways do. */
const NO_WRITES: AttemptJournal = {
  begin: () => Promise.reject(new OperationError('REFUSED', 'This command writes nothing.')),
  abandoned: () => Promise.resolve(),
  settled: () => Promise.resolve(),
  published: () => Promise.resolve(),
  superseded: () => Promise.resolve(),
};

/** A member's connection to the storage nodes. */
export interface MemberTool {
  readonly cluster: Cluster;
  readonly identity: GatewayIdentity;
  readonly client: ProtocolClient;
}

/** Runs `work` with the identity of a gateway's folder, or of that in the folder of `holdfast up`. */
export async function withMember<T>(dir: string, work: (tool: MemberTool) => Promise<T>): Promise<T> {
  const disk = new NodeDisk(memberFolder(path.resolve(dir)));
  const identity = await readGatewayIdentity(disk);
  const cluster = await boundCluster(disk);
  const telemetry = processTelemetry({ process: 'command', level: 'error' });
  const tls = await makeTlsIdentity({ seed: identity.tlsSeed, commonName: 'holdfast-command' });
  const client = new ProtocolClient({
    cluster,
    transport: new TlsTransport({ identity: tls, telemetry, clock: systemClock }),
    clock: systemClock,
    random: systemRandom,
    telemetry,
    workspaces: new WorkspacePool(wasmCodec, { workspaceCount: 1, cellCountMax: cluster.slots.length, cellBytesMax: CELL_BYTES_MAX }),
    gatewayId: identity.id,
    signingKey: identity.signingKey,
    journal: NO_WRITES,
  });
  try {
    return await work({ cluster, identity, client });
  } finally {
    await client.close();
  }
}

export interface HistoryTool extends MemberTool {
  readonly history: History;
  readonly registry: BucketRegistry;
  /** The logs as they were when the command began. */
  readonly logs: FollowedLogs;
}

/** As `withMember`, after the history was brought up to date. Throws NO_QUORUM, and IN_USE while another command reads it. */
export async function withHistory<T>(dir: string, work: (tool: HistoryTool) => Promise<T>): Promise<T> {
  const folder = ownerFolder(path.resolve(dir));
  const owner = new OwnerKeys(await readRootSecret(new NodeDisk(folder)));
  return withMember(folder, async (tool) => {
    const { client, cluster } = tool;
    const telemetry = processTelemetry({ process: 'command', level: 'error' });
    const registry = new BucketRegistry({ client, owner, random: systemRandom, clock: systemClock, telemetry, k: cluster.geometry.k });
    const history = await History.open(await openLevelStore(path.join(folder, HISTORY_FOLDER)));
    try {
      const logs = await new HistoryReader({ client, registry, history, quorums: cluster.geometry }).sync();
      return await work({ ...tool, history, registry, logs });
    } finally {
      await history.close();
    }
  });
}

/** The bucket of this name in its newest generation, also a deleted one. NOT_FOUND. */
export async function bucketOf({ registry }: HistoryTool, name: string): Promise<{ readonly bucketId: Uint8Array; readonly gen: number }> {
  const bucket = await registry.refresh(name);
  if (bucket === null) throw new OperationError('NOT_FOUND', `There is no bucket ${name}.`);
  return { bucketId: bucket.bucketId, gen: bucket.record.gen };
}

/** A moment on the command line: a date (ISO 8601), or Unix milliseconds. BAD_ARGUMENT. */
export function timeOf(text: string, flag: string): number {
  const ms = /^\d{1,15}$/.test(text) ? Number(text) : Date.parse(text);
  if (Number.isSafeInteger(ms) && ms >= 0) return ms;
  throw new OperationError('BAD_ARGUMENT', `${flag} ${JSON.stringify(text)}: expected a date such as 2026-01-31T12:00:00Z, or Unix milliseconds.`);
}
