/**
 * `holdfast controller run`: one controller as a process. Its folder holds its identity, an inventory that can be
 * made again, and evidence; nothing of the owner's. It gets its authority to repair from a gateway on the same
 * machine, or from a file; without one it audits all the same, and repair waits.
 */
import path from 'node:path';
import { equal, hex } from '../base/bytes.ts';
import { OperationError } from '../base/errors.ts';
import { CELL_BYTES_MAX } from '../base/limits.ts';
import { DEFAULT_AUDIT_GOAL } from '../control/audit-plan.ts';
import { Controller } from '../control/controller.ts';
import type { AuthoritySource } from '../control/authority.ts';
import type { ControllerTuning } from '../control/controller.ts';
import { wasmCodec } from '../erasure/wasm.ts';
import { WorkspacePool } from '../erasure/workspace.ts';
import { openLevelStore } from '../platform/level-store.ts';
import { makeTlsIdentity } from '../platform/tls-identity.ts';
import { TlsTransport } from '../platform/tls-transport.ts';
import type { Cluster } from '../protocol/configuration.ts';
import { bindCluster } from './bound-cluster.ts';
import { keepEvidence } from './evidence-folder.ts';
import { readControllerIdentity } from './identity-folder.ts';
import type { ControllerIdentity } from './identity-folder.ts';
import { runMember } from './member-process.ts';
import type { MemberFolder } from './member-process.ts';
import { authorityFromFile, authorityFromGateway } from './repair-authority.ts';
import { systemClock, systemRandom } from './system-ports.ts';

export interface ControllerRunOptions {
  readonly dir: string;
  /** Signed configuration; needed at the first run only. */
  readonly config: string | undefined;
  /** Folder of a gateway that runs on this machine. */
  readonly gatewayDir: string | undefined;
  /** File with authority to repair. */
  readonly authority: string | undefined;
  /** Within so long the audits reach what they promise. */
  readonly auditPeriodSeconds: number | undefined;
  /** Bytes that repair may move in a second. */
  readonly repairBytesPerSecond: number | undefined;
}

const STORE_FOLDER = 'inventory';
/** Stripes in memory at once. */
const WORKSPACES = 4;
const PROBE_MS = 100;

export async function runController(options: ControllerRunOptions): Promise<void> {
  if (options.gatewayDir !== undefined && options.authority !== undefined) {
    throw new OperationError('BAD_ARGUMENT', 'Authority to repair comes from --gateway-dir or from --authority, not from both.');
  }
  let controller: Controller | undefined;
  await runMember(
    options.dir,
    'controller',
    async (folder) => {
      const started = await startController(folder, options);
      controller = started;
      return { isReady: () => started.isReady, status: () => Promise.resolve({ role: 'controller', ...started.status() }) };
    },
    async (signal) => {
      while (controller?.isReady === false) await systemClock.sleep(PROBE_MS, signal);
    },
  );
}

async function startController(folder: MemberFolder, options: ControllerRunOptions): Promise<Controller> {
  const { disk, telemetry } = folder;
  const identity = await readControllerIdentity(disk);
  const cluster = await bindCluster(disk, options.config, (document) => requireController(document, identity));
  const tls = await makeTlsIdentity({ seed: identity.tlsSeed, commonName: 'holdfast-controller' });
  const store = await openLevelStore(path.join(folder.path, STORE_FOLDER));
  folder.onEnd(() => store.close());
  const controller = await Controller.start({
    cluster,
    controllerId: identity.id,
    authority: sourceOf(options, identity),
    transport: new TlsTransport({ identity: tls, telemetry, clock: systemClock }),
    clock: systemClock,
    random: systemRandom,
    telemetry,
    workspaces: new WorkspacePool(wasmCodec, { workspaceCount: WORKSPACES, cellCountMax: cluster.slots.length, cellBytesMax: CELL_BYTES_MAX }),
    store,
    onEvidence: await keepEvidence(disk, telemetry),
    tuning: tuningOf(options),
  });
  folder.onEnd(() => controller.stop());
  return controller;
}

function sourceOf({ gatewayDir, authority }: ControllerRunOptions, { id }: ControllerIdentity): AuthoritySource {
  if (gatewayDir !== undefined) return authorityFromGateway(path.resolve(gatewayDir), id);
  return authority === undefined ? () => Promise.resolve(null) : authorityFromFile(authority);
}

function tuningOf({ auditPeriodSeconds, repairBytesPerSecond }: ControllerRunOptions): Partial<ControllerTuning> {
  return {
    ...(auditPeriodSeconds === undefined ? {} : { auditGoal: { ...DEFAULT_AUDIT_GOAL, periodMs: 1000 * auditPeriodSeconds } }),
    ...(repairBytesPerSecond === undefined ? {} : { bytesPerSecondMax: repairBytesPerSecond }),
  };
}

function requireController(cluster: Cluster, { id, signingKey, tlsKey }: ControllerIdentity): void {
  const writer = cluster.writerById(id);
  const isNamed = writer !== undefined && equal(writer.signingKey, signingKey.publicKey) && equal(writer.tlsKey, tlsKey);
  if (isNamed && writer.capabilities.includes('repair')) return;
  throw new OperationError('BAD_CONFIG', `The configuration does not name controller ${hex(id.subarray(0, 8))}.`, {
    remedy: 'Use the configuration that was made from the join request of this folder.',
  });
}
