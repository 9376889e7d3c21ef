/**
 * Counts what took effect, by the nodes' own word: reads the whole log of every storage node over the wire,
 * as `holdfast verify` does, and collects the versions in it. Two versions where one operation was asked for
 * cannot hide from that, because every write that a node accepts is an entry of its log.
 */
import path from 'node:path';
import { EMPTY, hex } from '../../src/base/bytes.ts';
import { CHANGES_LEAVES_MAX } from '../../src/base/limits.ts';
import { boundCluster } from '../../src/cli/bound-cluster.ts';
import { readRootSecret } from '../../src/cli/gateway-folder.ts';
import { readGatewayIdentity } from '../../src/cli/identity-folder.ts';
import { processTelemetry } from '../../src/cli/process-telemetry.ts';
import { systemClock } from '../../src/cli/system-ports.ts';
import { DEFAULT_DEADLINES } from '../../src/client/deadlines.ts';
import { Peers } from '../../src/client/peers.ts';
import { BucketKeys } from '../../src/keyring/bucket-keys.ts';
import { OwnerKeys } from '../../src/keyring/owner-keys.ts';
import { decodeEntry } from '../../src/log/entry-types.ts';
import { NodeDisk } from '../../src/platform/disk.ts';
import { makeTlsIdentity } from '../../src/platform/tls-identity.ts';
import { TlsTransport } from '../../src/platform/tls-transport.ts';
import { decode } from '../../src/protocol/encoding.ts';
import { LEAF_BYTES_MAX, decodeCommitted } from '../../src/protocol/log-entries.ts';
import { receiptSchema } from '../../src/protocol/receipt.ts';

const FIRST_GENERATION = 1;

/** The versions of one key that any node's log names. */
export interface LoggedVersions {
  readonly prepared: number;
  readonly committed: number;
}

export interface NodeLogs {
  /** How many nodes showed their log. */
  readonly nodes: number;
  readonly of: (key: string) => LoggedVersions;
}

/** The logs of a running cluster in `dir`, as far as they are about a bucket that was created once. */
export async function readNodeLogs(dir: string, bucket: string): Promise<NodeLogs> {
  const disk = new NodeDisk(path.join(dir, 'gateway'));
  const identity = await readGatewayIdentity(disk);
  const cluster = await boundCluster(disk);
  const telemetry = processTelemetry({ process: 'test', level: 'error' });
  const tls = await makeTlsIdentity({ seed: identity.tlsSeed, commonName: 'holdfast-test' });
  const transport = new TlsTransport({ identity: tls, telemetry, clock: systemClock });
  const peers = new Peers(cluster, transport, systemClock, telemetry, DEFAULT_DEADLINES);
  let nodes = 0;
  const found: Found = { prepared: new Map(), committed: new Map() };
  const readLog = async (slot: number): Promise<void> => {
    for (let from = 0; ; ) {
      const result = await peers.call(slot, { t: 'CHANGES', from, to: from + CHANGES_LEAVES_MAX }, EMPTY, 15_000);
      if (result.kind === 'failed' && from === 0) return;
      if (result.kind !== 'answer') throw new Error(`node ${slot} does not show its log from entry ${from}`);
      if (result.answer.leaves.length === 0) break;
      from += result.answer.leaves.length;
      for (const leaf of result.answer.leaves) take(leaf, found);
    }
    nodes += 1;
  };
  try {
    await Promise.all(cluster.slots.map(({ slot }) => readLog(slot)));
  } finally {
    await peers.close();
  }
  const owner = new OwnerKeys(await readRootSecret(disk));
  const bucketId = owner.bucketId(bucket);
  const keys = new BucketKeys(bucketId, FIRST_GENERATION, owner.firstSecrets(bucketId, FIRST_GENERATION));
  return {
    nodes,
    of(key) {
      const keyId = hex(keys.objectKeyId(key));
      return { prepared: found.prepared.get(keyId)?.size ?? 0, committed: found.committed.get(keyId)?.size ?? 0 };
    },
  };
}

/** keyId → hashes of manifests. */
type Versions = Map<string, Set<string>>;

interface Found {
  readonly prepared: Versions;
  readonly committed: Versions;
}

function take(leaf: Uint8Array, found: Found): void {
  const entry = decodeEntry(leaf);
  if (entry?.type !== 'PREPARED' && entry?.type !== 'COMMITTED') return;
  const isPrepared = entry.type === 'PREPARED';
  const body = isPrepared ? decode(receiptSchema, entry.body, LEAF_BYTES_MAX) : decodeCommitted(entry.body);
  if (!body.ok) throw new Error(`an entry of type ${entry.type} cannot be decoded`);
  const versions = isPrepared ? found.prepared : found.committed;
  const name = hex(body.value.keyId);
  const hashes = versions.get(name) ?? new Set<string>();
  hashes.add(hex(body.value.manifestHash));
  versions.set(name, hashes);
}
