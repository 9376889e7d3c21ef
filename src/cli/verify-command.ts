/**
 * `holdfast verify`: asks every storage node directly, over the same TLS as the gateway and with its identity,
 * and checks all that can be checked from outside: logs, certificates, receipts, every cell of every slot, and
 * that contents are codewords. May run beside a working cluster: a version replaced meanwhile is looked at
 * again. Ends with DAMAGED (exit code 3) when anything was found.
 */
import path from 'node:path';
import { OperationError } from '../base/errors.ts';
import { CELL_BYTES_MAX, CERTS_BATCH_MAX } from '../base/limits.ts';
import type { Clock, Random, Telemetry, Transport } from '../base/ports.ts';
import { Certificates } from '../client/certificates.ts';
import { DEFAULT_DEADLINES } from '../client/deadlines.ts';
import { Peers } from '../client/peers.ts';
import { wasmCodec } from '../erasure/wasm.ts';
import { NodeDisk } from '../platform/disk.ts';
import { makeTlsIdentity } from '../platform/tls-identity.ts';
import { TlsTransport } from '../platform/tls-transport.ts';
import type { Cluster } from '../protocol/configuration.ts';
import { StatementVerifier } from '../protocol/statement.ts';
import { boundCluster, readDocument } from './bound-cluster.ts';
import { memberFolder } from './cluster-folder.ts';
import { CONFIG_FILE, readGatewayIdentity } from './identity-folder.ts';
import { processTelemetry } from './process-telemetry.ts';
import { openConfiguration } from './root-configuration.ts';
import { systemClock, systemRandom } from './system-ports.ts';
import type { Terminal } from './terminal.ts';
import { NodeLog } from './verify-logs.ts';
import { ObjectVerifier } from './verify-objects.ts';
import { VerifyReport } from './verify-report.ts';

export interface VerifyOptions {
  /** Folder of `holdfast up`, or of a gateway. */
  readonly dir: string;
  readonly terminal: Terminal;
}

/** Batches of keys under way at once. */
const BATCHES = 4;
/** A write is acknowledged before its last slots have it; so long they are given to get it. */
const SETTLE_MS = 3_000;

export async function verifyCommand(options: VerifyOptions): Promise<void> {
  const folder = memberFolder(path.resolve(options.dir));
  const disk = new NodeDisk(folder);
  const identity = await readGatewayIdentity(disk);
  // A gateway that has not run yet is not bound by being checked: the document beside it is only read.
  const beside = path.join(path.dirname(folder), CONFIG_FILE);
  const cluster = (await disk.exists(CONFIG_FILE)) ? await boundCluster(disk) : openConfiguration(await readDocument(beside), beside);
  const telemetry = processTelemetry({ process: 'verify', level: 'error' });
  const tls = await makeTlsIdentity({ seed: identity.tlsSeed, commonName: 'holdfast-verify' });
  const transport = new TlsTransport({ identity: tls, telemetry, clock: systemClock });
  const report = await verifyCluster({ cluster, transport, clock: systemClock, random: systemRandom, telemetry, terminal: options.terminal });
  options.terminal.say('verified', report.toJson(), report.toText());
  if (!report.isDamaged) return;
  const accused = report.accused().map(({ slot }) => `node ${slot}`);
  throw new OperationError('DAMAGED', `Damage was found: ${[...accused, ...(report.writers.length > 0 ? ['a writer'] : [])].join(', ')}.`);
}

export interface VerifyPorts {
  readonly cluster: Cluster;
  /** With the identity of a writer of the cluster. */
  readonly transport: Transport;
  readonly clock: Clock;
  readonly random: Random;
  readonly telemetry: Telemetry;
  readonly terminal: Terminal;
}

/** Looks at everything once. Never throws for what a node says or fails to say. */
export async function verifyCluster({ cluster, transport, clock, random, telemetry, terminal }: VerifyPorts): Promise<VerifyReport> {
  const peers = new Peers(cluster, transport, clock, telemetry, DEFAULT_DEADLINES);
  const report = new VerifyReport(cluster);
  try {
    const logs = cluster.slots.map((slot) => new NodeLog(cluster, slot));
    const follow = async (): Promise<void> => {
      const reachable = logs.filter((_, slot) => report.isReachable(slot));
      await Promise.all(reachable.map((log) => log.follow(peers, random, report)));
    };
    await follow();
    const codec = wasmCodec(cluster.slots.length * CELL_BYTES_MAX);
    const certificates = new Certificates(cluster, new StatementVerifier(cluster.id));
    const verifier = new ObjectVerifier({ cluster, peers, certificates, logs, codec, report });
    await verifyAll(verifier, verifier.keys(), false, terminal);
    const { unsettled } = verifier;
    if (unsettled.length > 0) {
      await clock.sleep(SETTLE_MS);
      await verifyAll(verifier, unsettled, true, terminal);
    }
    // Receipts given while the check ran lie behind the first checkpoints.
    if (verifier.pending.length > 0) await follow();
    verifier.settlePending();
    return report;
  } finally {
    await peers.close();
  }
}

async function verifyAll(verifier: ObjectVerifier, keys: readonly Uint8Array[], isFinal: boolean, terminal: Terminal): Promise<void> {
  const progress = terminal.progress('verify', keys.length, 'objects');
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < keys.length) {
      const batch = keys.slice(next, next + CERTS_BATCH_MAX);
      next += batch.length;
      await verifier.verifyKeys(batch, isFinal);
      progress.advance(batch.length);
    }
  };
  await Promise.all(Array.from({ length: BATCHES }, work));
  progress.end();
}
