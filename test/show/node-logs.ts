/**
 * Counts what took effect, by the nodes' own word: reads the whole log of every storage node over the wire,
 * as `holdfast verify` does, and collects the versions in it. Two versions where one operation was asked for
 * cannot hide from that, because every write that a node accepts is an entry of its log.
 */
import path from 'node:path';
import { EMPTY, hex } from '../../src/base/bytes.ts';
import { CHANGES_LEAVES_MAX } from '../../src/base/limits.ts';
import { bindCluster } from '../../src/cli/bound-cluster.ts';
import { readGatewayIdentity } from '../../src/cli/identity-folder.ts';
import { processTelemetry } from '../../src/cli/process-telemetry.ts';
import { systemClock } from '../../src/cli/system-ports.ts';
import { DEFAULT_DEADLINES } from '../../src/client/deadlines.ts';
import { Peers } from '../../src/client/peers.ts';
import { decodeEntry } from '../../src/log/entry-types.ts';
import { NodeDisk } from '../../src/platform/disk.ts';
import { makeTlsIdentity } from '../../src/platform/tls-identity.ts';
import { TlsTransport } from '../../src/platform/tls-transport.ts';
import { decode } from '../../src/protocol/encoding.ts';
import { LEAF_BYTES_MAX, decodeCommitted } from '../../src/protocol/log-entries.ts';
import { receiptSchema } from '../../src/protocol/receipt.ts';

/** Hashes of manifests, over all nodes that answer. */
export interface LoggedVersions {
  /** How many nodes showed their log. */
  readonly nodes: number;
  readonly prepared: ReadonlySet<string>;
  readonly committed: ReadonlySet<string>;
}

/** Versions of the cluster in `dir`, which runs. */
export async function loggedVersions(dir: string): Promise<LoggedVersions> {
  const disk = new NodeDisk(path.join(dir, 'gateway'));
  const identity = await readGatewayIdentity(disk);
  const cluster = await bindCluster(disk, path.join(dir, 'cluster.cfg'));
  const telemetry = processTelemetry({ process: 'test', level: 'error' });
  const tls = await makeTlsIdentity({ seed: identity.tlsSeed, commonName: 'holdfast-test' });
  const transport = new TlsTransport({ identity: tls, telemetry, clock: systemClock });
  const peers = new Peers(cluster, transport, systemClock, telemetry, DEFAULT_DEADLINES);
  let nodes = 0;
  const prepared = new Set<string>();
  const committed = new Set<string>();
  const readLog = async (slot: number): Promise<void> => {
    for (let from = 0; ; ) {
      const result = await peers.call(slot, { t: 'CHANGES', from, to: from + CHANGES_LEAVES_MAX }, EMPTY, 15_000);
      if (result.kind === 'failed' && from === 0) return;
      if (result.kind !== 'answer') throw new Error(`node ${slot} does not show its log from entry ${from}`);
      if (result.answer.leaves.length === 0) break;
      from += result.answer.leaves.length;
      for (const leaf of result.answer.leaves) take(leaf, prepared, committed);
    }
    nodes += 1;
  };
  try {
    await Promise.all(cluster.slots.map(({ slot }) => readLog(slot)));
  } finally {
    await peers.close();
  }
  return { nodes, prepared, committed };
}

function take(leaf: Uint8Array, prepared: Set<string>, committed: Set<string>): void {
  const entry = decodeEntry(leaf);
  if (entry?.type === 'PREPARED') {
    const receipt = decode(receiptSchema, entry.body, LEAF_BYTES_MAX);
    if (receipt.ok) prepared.add(hex(receipt.value.manifestHash));
  }
  if (entry?.type === 'COMMITTED') {
    const body = decodeCommitted(entry.body);
    if (body.ok) committed.add(hex(body.value.manifestHash));
  }
}
