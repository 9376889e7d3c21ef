/**
 * `holdfast log`: what a gateway was asked and what it answered, from its folder; proofs of single entries; and
 * the whole log held against what the storage nodes keep of it. A running gateway is not disturbed.
 */
import fs from 'node:fs/promises';
import path from 'node:path';
import { equal, hex } from '../base/bytes.ts';
import { isOperationError, OperationError } from '../base/errors.ts';
import type { Disk } from '../base/ports.ts';
import { keyHashOf } from '../gateway/audit-log/entry.ts';
import type { AuditEntry } from '../gateway/audit-log/entry.ts';
import { AUDIT_PROOF_BYTES_MAX, encodeAuditProof, entriesIn, judgeAuditProof, newestCheckpoint, proveEntry, treeOf } from '../gateway/audit-log/proof.ts';
import type { FolderTree, PlacedEntry } from '../gateway/audit-log/proof.ts';
import { segmentsOf } from '../gateway/audit-log/segments.ts';
import { OwnerKeys } from '../keyring/owner-keys.ts';
import { openAnchor } from '../log/anchor.ts';
import { NodeDisk } from '../platform/disk.ts';
import type { Cluster } from '../protocol/configuration.ts';
import { boundCluster, readDocument } from './bound-cluster.ts';
import { ownerFolder } from './cluster-folder.ts';
import { readRootSecret } from './gateway-folder.ts';
import { readGivenFile } from './given-file.ts';
import { timeOf, withMember } from './history-tool.ts';
import { CONFIG_FILE } from './identity-folder.ts';
import { openConfiguration } from './root-configuration.ts';
import { systemClock } from './system-ports.ts';
import type { Terminal } from './terminal.ts';

const FOLLOW_MS = 1_000;

export interface LogTarget {
  /** Folder of a gateway, or of `holdfast up`. */
  readonly dir: string;
  readonly terminal: Terminal;
}

export interface LogFilter {
  readonly since: string | undefined;
  readonly bucket: string | undefined;
  /** Name of an object; needs `bucket`. */
  readonly key: string | undefined;
  readonly accessKey: string | undefined;
  readonly operation: string | undefined;
  readonly failed: boolean;
}

/** The last entries that fit, and with `follow` those that come. */
export async function logTail({ dir, terminal, last, follow, ...filter }: LogTarget & LogFilter & { readonly last: number; readonly follow: boolean }): Promise<void> {
  const disk = await logOf(dir);
  const fits = await filterOf(disk, filter);
  let next = 0;
  const newest: PlacedEntry[] = [];
  for await (const placed of entriesIn(disk)) {
    next = placed.index + 1;
    if (!fits(placed.entry)) continue;
    newest.push(placed);
    if (newest.length > last) newest.shift();
  }
  for (const placed of newest) say(terminal, placed);
  while (follow) {
    await systemClock.sleep(FOLLOW_MS);
    for await (const placed of entriesIn(disk, next)) {
      next = placed.index + 1;
      if (fits(placed.entry)) say(terminal, placed);
    }
  }
}

/** All entries that fit, as JSON lines. */
export async function logExport({ dir, terminal, ...filter }: LogTarget & LogFilter): Promise<void> {
  const disk = await logOf(dir);
  const fits = await filterOf(disk, filter);
  for await (const { index, entry } of entriesIn(disk)) {
    if (entry === null || !fits(entry)) continue;
    await terminal.write(new TextEncoder().encode(`${JSON.stringify({ index, ...fieldsOf(entry) })}\n`));
  }
}

/** Writes the proof of one entry, named by its place or its request id. */
export async function logProve({ dir, terminal, which, out }: LogTarget & { readonly which: string; readonly out: string }): Promise<void> {
  const disk = await logOf(dir);
  const index = /^\d{1,15}$/.test(which) ? Number(which) : await indexOf(disk, which);
  const proof = await proveEntry(await boundCluster(disk), disk, index);
  await fs.writeFile(out, encodeAuditProof(proof), { flag: 'wx' }).catch((error: unknown) => {
    throw new OperationError('BAD_ARGUMENT', `${out} cannot be written: ${String(error)}`, { remedy: 'Name a file that is not there yet.' });
  });
  terminal.say('audit entry proven', { index, file: out }, `${out} proves entry ${index} to whoever has the root document of the cluster`);
}

/** A proof file, offline. Throws CORRUPT when it proves nothing. */
export async function logVerifyFile({ dir, terminal, file, config }: LogTarget & { readonly file: string; readonly config: string | undefined }): Promise<void> {
  const document = config ?? path.join(ownerFolder(dir), CONFIG_FILE);
  const cluster = openConfiguration(await readDocument(document), document);
  const verdict = judgeAuditProof(cluster, await readGivenFile(file, 'proof', AUDIT_PROOF_BYTES_MAX, 'CORRUPT'));
  if (!verdict.ok) throw new OperationError('CORRUPT', `${file} proves nothing: ${verdict.reason}.`);
  const { gatewayId, index, entry, checkpoint } = verdict;
  const text = `proven: gateway ${hex(gatewayId)} signed a log of ${checkpoint.size} entries, of which entry ${index} is\n${lineOf(entry)}`;
  terminal.say('audit entry proven', { gateway: hex(gatewayId), index, size: checkpoint.size, ...fieldsOf(entry) }, text);
}

/** The whole log: its own tree, its checkpoint, and what each node keeps of it. Throws DAMAGED when they differ. */
export async function logVerify({ dir, terminal }: LogTarget): Promise<void> {
  const disk = await logOf(dir);
  const faults: string[] = [];
  const tree = await treeOf(disk);
  const { gaps, lost } = await gapsIn(disk);
  const anchors = await withMember(ownerFolder(dir), async ({ cluster, identity, client }) => {
    faults.push(...(await checkpointFaults(cluster, disk, tree)));
    return client.anchorsOf(identity.id);
  });
  let highest = 0;
  for (const [slot, held] of anchors.entries()) {
    if (held === undefined || held === null) continue;
    const { size, root } = held.checkpoint;
    highest = Math.max(highest, size);
    const own = tree.rootAt(size);
    if (size > tree.size) faults.push(`node ${slot} keeps a checkpoint of ${size} entries: the folder has ${tree.size}, the rest was cut off`);
    else if (own !== null && !equal(own, root)) faults.push(`node ${slot} keeps another root of the first ${size} entries: what stands before was changed`);
  }
  const silent = anchors.filter((held) => held === undefined).length;
  const told = `${tree.size} entries, those from ${tree.first} on in the folder; ${anchors.length - silent} nodes keep checkpoints of up to ${highest}; ${gaps} gaps of ${lost} entries`;
  terminal.say('audit log verified', { first: tree.first, size: tree.size, anchored: highest, silent, gaps, lost, faults }, [told, ...faults].join('\n'));
  if (faults.length > 0) throw new OperationError('DAMAGED', 'The audit log is not the one that was anchored.', { remedy: 'Keep the folder as it is: it is evidence.' });
  if (highest === 0) terminal.warn('not anchored', {}, 'No node keeps a checkpoint of this log: that nothing is missing at its end is the gateway’s word alone.');
}

async function checkpointFaults(cluster: Cluster, disk: Disk, tree: FolderTree): Promise<readonly string[]> {
  let note: string;
  try {
    note = await newestCheckpoint(disk);
  } catch (error) {
    if (isOperationError(error, 'NOT_FOUND')) return [];
    throw error;
  }
  const opened = openAnchor(cluster, note);
  if (!opened.ok) return [`the checkpoint in the folder is not valid: ${opened.reason}`];
  const { size, root } = opened.signed.checkpoint;
  const own = tree.rootAt(size);
  return own !== null && equal(own, root) ? [] : ['the checkpoint in the folder is of another log'];
}

async function gapsIn(disk: Disk): Promise<{ readonly gaps: number; readonly lost: number }> {
  let gaps = 0;
  let lost = 0;
  for await (const { entry } of entriesIn(disk)) {
    if (entry?.t !== 'gap') continue;
    gaps += 1;
    lost += entry.lost;
  }
  return { gaps, lost };
}

async function logOf(dir: string): Promise<NodeDisk> {
  const disk = new NodeDisk(ownerFolder(path.resolve(dir)));
  if ((await segmentsOf(disk)).length > 0) return disk;
  throw new OperationError('NOT_FOUND', `There is no audit log in ${dir}.`, { remedy: 'Name the folder of a gateway that has run.' });
}

async function indexOf(disk: Disk, requestId: string): Promise<number> {
  for await (const { index, entry } of entriesIn(disk)) if (entry?.t === 'request' && entry.requestId === requestId) return index;
  throw new OperationError('NOT_FOUND', `There is no request ${requestId} in the log.`);
}

async function filterOf(disk: NodeDisk, { since, bucket, key, accessKey, operation, failed }: LogFilter): Promise<(entry: AuditEntry | null) => boolean> {
  const sinceMs = since === undefined ? 0 : timeOf(since, '--since');
  if (key !== undefined && bucket === undefined) throw new OperationError('BAD_ARGUMENT', '--key needs --bucket.');
  const keyHash = key === undefined || bucket === undefined ? null : keyHashOf(new OwnerKeys(await readRootSecret(disk)).auditKey, bucket, key);
  const asksRequest = [bucket, accessKey, operation].some((one) => one !== undefined) || failed;
  return (entry) => {
    if (entry === null || entry.atMs < sinceMs) return false;
    if (entry.t !== 'request') return !asksRequest;
    return (
      (bucket === undefined || entry.bucket === bucket) &&
      (keyHash === null || (entry.keyHash !== null && equal(entry.keyHash, keyHash))) &&
      (accessKey === undefined || entry.accessKeyId === accessKey) &&
      (operation === undefined || entry.operation === operation) &&
      (!failed || entry.status >= 400)
    );
  };
}

function say(terminal: Terminal, { index, entry }: PlacedEntry): void {
  if (entry === null) terminal.say('audit entry', { index, unreadable: true }, `${index}  written by another version`);
  else terminal.say('audit entry', { index, ...fieldsOf(entry) }, `${index}  ${lineOf(entry)}`);
}

function fieldsOf(entry: AuditEntry): Readonly<Record<string, unknown>> {
  const { v: _v, t, atMs, ...rest } = entry;
  const plain = 'keyHash' in rest ? { ...rest, keyHash: rest.keyHash === null ? null : hex(rest.keyHash) } : rest;
  return { kind: t, at: new Date(atMs).toISOString(), ...plain };
}

function lineOf(entry: AuditEntry): string {
  const at = new Date(entry.atMs).toISOString();
  switch (entry.t) {
    case 'request': {
      const what = entry.keyHash === null ? (entry.bucket ?? '') : `${entry.bucket ?? ''}/#${hex(entry.keyHash).slice(0, 12)}`;
      const who = entry.accessKeyId ?? 'anonymous';
      return [at, entry.status, entry.operation, what, who, entry.code ?? '', entry.network ?? '', entry.requestId].filter((part) => part !== '').join('  ');
    }
    case 'admin':
      return `${at}  admin  ${entry.action}  ${entry.subject}`;
    case 'start':
      return `${at}  the gateway began to write, version ${entry.version}`;
    case 'gap':
      return `${at}  ${entry.lost} entries could not be written`;
  }
}
