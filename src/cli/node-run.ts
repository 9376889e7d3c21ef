/**
 * `holdfast node run`: one storage node as a process. Its journal is made only while the folder still bears
 * the mark of `node init`, and the mark is gone, durably, before anything is served: from then on a missing
 * journal is lost state and ends the process, whatever emptied the folder.
 */
import { equal, hex } from '../base/bytes.ts';
import { OperationError, isOperationError } from '../base/errors.ts';
import type { FrameHandler } from '../base/ports.ts';
import type { Cluster, SlotConfig } from '../protocol/configuration.ts';
import { parseAddress } from '../platform/address.ts';
import type { NodeDisk } from '../platform/disk.ts';
import { makeTlsIdentity } from '../platform/tls-identity.ts';
import { listenTls } from '../platform/tls-listener.ts';
import { TlsTransport } from '../platform/tls-transport.ts';
import { StorageNode } from '../storage-node/node.ts';
import type { NodeDeps } from '../storage-node/node.ts';
import { bindCluster } from './bound-cluster.ts';
import { tellParent } from './child-messages.ts';
import { keepEvidence } from './evidence-folder.ts';
import { FRESH_FILE, readNodeIdentity } from './identity-folder.ts';
import type { NodeIdentity } from './identity-folder.ts';
import { runMember } from './member-process.ts';
import type { MemberFolder, RunningMember } from './member-process.ts';
import { systemClock, systemRandom } from './system-ports.ts';

export interface NodeRunOptions {
  readonly dir: string;
  /** Signed configuration; needed at the first run only. */
  readonly config: string | undefined;
  /** host:port to listen on, when it differs from the address that the configuration tells others. */
  readonly listen: string | undefined;
}

/** Stands between the network and the node; a test puts an adversary here. The command line never gives one. */
export type Interposer = (handler: FrameHandler) => FrameHandler;

export async function runNode(options: NodeRunOptions, interpose: Interposer = (handler) => handler): Promise<void> {
  if (options.listen !== undefined) parseAddress(options.listen);
  let node: StorageNode | undefined;
  await runMember(
    options.dir,
    'node',
    async (folder) => {
      node = await startNode(folder, options, interpose);
      return statusOf(node);
    },
    async () => node?.boot(),
  );
}

async function startNode(folder: MemberFolder, options: NodeRunOptions, interpose: Interposer): Promise<StorageNode> {
  const { disk, telemetry } = folder;
  const identity = await lostUnlessWhole(readNodeIdentity(disk));
  const cluster = await lostUnlessWhole(bindCluster(disk, options.config, (document) => requireSlot(document, identity)));
  const slot = requireSlot(cluster, identity);
  const tls = await makeTlsIdentity({ seed: identity.tlsSeed, commonName: `holdfast-node-${slot.slot}` });
  const transport = new TlsTransport({ identity: tls, telemetry, clock: systemClock });
  const node = await openNode(disk, {
    cluster,
    slot: slot.slot,
    signingKey: identity.signingKey,
    disk,
    clock: systemClock,
    random: systemRandom,
    telemetry,
    transport,
    fresh: await disk.exists(FRESH_FILE),
    onLost: (error) => folder.fail(error),
    onEvidence: await keepEvidence(disk, telemetry),
  });
  folder.onEnd(() => node.stop());
  const listener = await listenTls({
    address: options.listen ?? slot.addresses[0] ?? identity.address,
    identity: tls,
    allowedPeers: () => cluster.peerKeys(),
    handler: interpose((from, frame) => node.handle(from, frame)),
    telemetry,
    clock: systemClock,
  });
  folder.onEnd(() => listener.close());
  tellParent({ type: 'listening', address: listener.address });
  telemetry.event('info', 'listening', { slot: slot.slot, address: listener.address, cluster: hex(cluster.id.subarray(0, 8)) });
  return node;
}

/** Opens the node and, at its first start, makes its journal and takes the mark off. */
async function openNode(disk: NodeDisk, deps: NodeDeps): Promise<StorageNode> {
  if (!deps.fresh) return lostUnlessWhole(StorageNode.open(deps));
  // A crash during the very first start may leave half a journal. Nothing was promised from it: begin again.
  for (const name of await disk.list('journal')) await disk.remove(`journal/${name}`);
  const node = await StorageNode.open(deps);
  await disk.remove(FRESH_FILE);
  await disk.syncFolder('');
  return node;
}

function requireSlot(cluster: Cluster, identity: NodeIdentity): SlotConfig {
  const slot = cluster.slotOfNode(identity.id);
  if (slot !== undefined && equal(slot.signingKey, identity.signingKey.publicKey) && equal(slot.tlsKey, identity.tlsKey)) return slot;
  throw new OperationError('BAD_CONFIG', `The configuration names no slot for node ${hex(identity.id.subarray(0, 8))}.`, {
    remedy: 'Use the configuration that was made from the join request of this folder.',
  });
}

/** A node whose own files do not verify has lost its state: starting it again cannot help. */
async function lostUnlessWhole<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (!isOperationError(error, 'CORRUPT')) throw error;
    const { message, remedy } = error;
    throw new OperationError('LOST_STATE', `The folder of this node is damaged: ${message}`, { cause: error, ...(remedy === undefined ? {} : { remedy }) });
  }
}

function statusOf(node: StorageNode): RunningMember {
  return {
    isReady: () => node.status().state === 'SERVING',
    status: () => Promise.resolve({ role: 'node', ...node.status() }),
  };
}
