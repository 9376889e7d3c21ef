/**
 * The configuration that a member's folder is bound to. At its first run it takes the document it is given
 * and keeps a copy; from then on it accepts no other, so that a swapped file cannot move a node, with what it
 * has promised, into another cluster.
 */
import { equal, hex } from '../base/bytes.ts';
import { OperationError, isOperationError } from '../base/errors.ts';
import type { Disk } from '../base/ports.ts';
import type { Evidence } from '../evidence/evidence.ts';
import { judgeEvidence } from '../evidence/judge.ts';
import { CONFIG_BYTES_MAX } from '../protocol/configuration.ts';
import type { Cluster } from '../protocol/configuration.ts';
import { keepProof } from './evidence-folder.ts';
import { readGivenFile } from './given-file.ts';
import { CONFIG_FILE } from './identity-folder.ts';
import { openConfiguration } from './root-configuration.ts';
import { systemClock } from './system-ports.ts';

/**
 * `given` is the path of a document, or undefined to use the folder's own copy. `requireMember` throws when
 * the document does not name this member: it must not be bound to one that would never let it run. BAD_CONFIG,
 * NOT_FOUND.
 */
export async function bindCluster(disk: Disk, given: string | undefined, requireMember: (cluster: Cluster) => void): Promise<Cluster> {
  if (given === undefined) {
    const own = await boundCluster(disk);
    requireMember(own);
    return own;
  }
  const kept = await keptDocument(disk);
  const document = await readDocument(given);
  const cluster = openConfiguration(document, given);
  requireMember(cluster);
  if (kept === null) {
    await disk.writeFile(CONFIG_FILE, document);
    return cluster;
  }
  if (equal(kept, document)) return cluster;
  const proof = await keepTwoConfigurations(disk, openConfiguration(kept, CONFIG_FILE), document);
  const both = proof === null ? '' : ` The admins have signed both for one epoch: the proof is ${proof}.`;
  throw new OperationError('BAD_CONFIG', `${given} is not the configuration that this folder is bound to.`, {
    remedy: `The folder's own copy is ${CONFIG_FILE}; the document given has hash ${hex(cluster.hash)}.${both}`,
  });
}

/** Evidence E9, where the documents are two of one epoch; null: they are of two clusters or epochs. */
async function keepTwoConfigurations(disk: Disk, own: Cluster, document: Uint8Array): Promise<string | null> {
  const evidence: Evidence = { v: 1, type: 'E9', configHash: own.hash, documents: [own.document, document] };
  const verdict = judgeEvidence(own, evidence, systemClock.nowMs());
  return verdict.proven ? keepProof(disk, { evidence, finding: verdict.finding }) : null;
}

/** The folder's own copy. */
export async function boundCluster(disk: Disk): Promise<Cluster> {
  const kept = await keptDocument(disk);
  if (kept !== null) return openConfiguration(kept, CONFIG_FILE);
  throw new OperationError('BAD_ARGUMENT', 'The folder is not bound to a cluster yet.', {
    remedy: 'Name the document that `holdfast cluster init` wrote with --config.',
  });
}

async function keptDocument(disk: Disk): Promise<Uint8Array | null> {
  try {
    return await disk.readFile(CONFIG_FILE, CONFIG_BYTES_MAX);
  } catch (error) {
    if (isOperationError(error, 'NOT_FOUND')) return null;
    if (isOperationError(error, 'TOO_LARGE')) {
      throw new OperationError('BAD_CONFIG', `${CONFIG_FILE} is too large for a configuration.`, { cause: error, remedy: 'Put back the document that the folder was bound to.' });
    }
    throw error;
  }
}

/** Reads a configuration document from anywhere; little more than CONFIG_BYTES_MAX are looked at. */
export async function readDocument(file: string): Promise<Uint8Array> {
  return readGivenFile(file, 'configuration', CONFIG_BYTES_MAX, 'BAD_CONFIG');
}
