/**
 * `holdfast writer`: what to do when a gateway's key is stolen (docs/key-compromise.md): who the writers are,
 * what one of them wrote since a moment, its revocation by the admins, and the versions before it back.
 */
import fs from 'node:fs';
import fsp from 'node:fs/promises';
import path from 'node:path';
import { equal, hex } from '../base/bytes.ts';
import { isOperationError, OperationError } from '../base/errors.ts';
import type { KnownEntry } from '../gateway/history/history.ts';
import { restoreSteps, SuspectWrites, writesOf } from '../gateway/history/writes.ts';
import type { RestoreStep } from '../gateway/history/writes.ts';
import { listedVersionId } from '../gateway/version-id.ts';
import { NodeDisk } from '../platform/disk.ts';
import type { Cluster, WriterConfig } from '../protocol/configuration.ts';
import { encodeRevocation, openRevocation, REVOCATION_BYTES_MAX, revocationStatement, sealRevocation } from '../protocol/revocation.ts';
import type { OpenedRevocation } from '../protocol/revocation.ts';
import { frontDoor } from './front-door.ts';
import { readGivenFile } from './given-file.ts';
import { bucketOf, timeOf, withHistory, withMember } from './history-tool.ts';
import type { HistoryTool } from './history-tool.ts';
import { ADMIN_FILE, readAdmin } from './identity-folder.ts';
import { S3Client } from './s3-client.ts';
import { systemClock } from './system-ports.ts';
import { formatBytes, formatTable } from './terminal.ts';
import type { Terminal } from './terminal.ts';

export interface WriterTarget {
  /** Folder of a gateway that is not revoked, or of `holdfast up`. */
  readonly dir: string;
  readonly terminal: Terminal;
}

export async function writerList({ dir, terminal }: WriterTarget): Promise<void> {
  await withMember(dir, async ({ cluster, client, identity }) => {
    const revoked = await client.revocations();
    const rows = cluster.config.writers.map(({ gatewayId, capabilities }) => {
      const held = revoked.find((writer) => equal(writer.gatewayId, gatewayId));
      return { gatewayId: hex(gatewayId), capabilities, isOwn: equal(gatewayId, identity.id), revokedMs: held?.atMs ?? null, revokedBy: held?.slots ?? [] };
    });
    for (const row of rows) {
      const state = row.revokedMs === null ? 'may write' : `revoked ${new Date(row.revokedMs).toISOString()}, as ${row.revokedBy.length} of ${cluster.slots.length} nodes say`;
      terminal.say('writer', row, formatTable([[row.gatewayId, row.capabilities.join(','), state, row.isOwn ? 'this folder' : '']]));
    }
  });
}

/** A writer by its id or the beginning of it. NOT_FOUND, and BAD_ARGUMENT when several begin so. */
function writerOf(cluster: Cluster, text: string): WriterConfig {
  const found = cluster.config.writers.filter(({ gatewayId }) => hex(gatewayId).startsWith(text.toLowerCase()));
  const [writer] = found;
  if (writer === undefined || text.length < 8) throw new OperationError('NOT_FOUND', `No writer of the cluster has an id that begins with ${text} (at least 8 digits).`, { remedy: '`holdfast writer list` shows them.' });
  if (found.length > 1) throw new OperationError('BAD_ARGUMENT', `Several writers have ids that begin with ${text}.`);
  return writer;
}

export interface SinceOptions extends WriterTarget {
  readonly since: string;
  readonly bucket: string | undefined;
}

export async function writerWrites(gateway: string, { dir, terminal, since, bucket }: SinceOptions): Promise<void> {
  const sinceMs = timeOf(since, '--since');
  await withHistory(dir, async (tool) => {
    const { gatewayId } = writerOf(tool.cluster, gateway);
    const writes = await SuspectWrites.find(tool.history, { gatewayId, sinceMs }, tool.cluster.geometry);
    const only = bucket === undefined ? undefined : (await bucketOf(tool, bucket)).bucketId;
    let count = 0;
    for await (const { entry, isBackdated, ended } of writesOf(tool.history, writes, only)) {
      count += 1;
      const where = (await tool.history.bucket(entry.bucketId))?.name ?? (entry.fact.t === 'record' ? entry.fact.name : null);
      const { t: what, size, etag, mtimeMs } = entry.fact;
      const key = what === 'record' ? null : entry.fact.name;
      const fields = { bucket: where, key, what, versionId: versionIdOf(entry), size, etag, mtimeMs, isBackdated, ended: ended.map(shown) };
      const date = mtimeMs === 0 ? 'time unknown' : new Date(mtimeMs).toISOString();
      const ends = ended.length === 0 ? '' : `  ended ${ended.length}`;
      terminal.say('write', fields, `${date.padEnd(24)}  ${what.padEnd(10)}  ${formatBytes(size).padStart(10)}  ${where ?? '?'}/${key ?? ''}${ends}${isBackdated ? '  DATED BACK' : ''}`);
    }
    terminal.say('writes', { gatewayId: hex(gatewayId), sinceMs, count }, `${count} writes of ${hex(gatewayId).slice(0, 16)} since ${new Date(sinceMs).toISOString()}`);
  });
}

function versionIdOf({ fact, stamp }: KnownEntry): string | null {
  return fact.kept === null ? null : listedVersionId(fact.kept, stamp);
}

function shown(entry: KnownEntry): object {
  const { fact } = entry;
  return { versionId: versionIdOf(entry), what: fact.t, size: fact.size, etag: fact.etag, mtimeMs: fact.mtimeMs, gatewayId: hex(fact.gatewayId) };
}

export interface RevokeOptions extends WriterTarget {
  /** Folder of an admin's keys; that beside the cluster when it is not named. */
  readonly admin: string | undefined;
  /** The statement as it goes from admin to admin; read when it exists, and written. */
  readonly statement: string | undefined;
}

/** Signs that the writer is revoked; when enough admins have, brings that to the nodes. NO_QUORUM when fewer than n-f hold it. */
export async function writerRevoke(gateway: string, { dir, terminal, admin, statement }: RevokeOptions): Promise<void> {
  await withMember(dir, async ({ cluster, client }) => {
    const { gatewayId } = writerOf(cluster, gateway);
    const document = await signed(cluster, gatewayId, admin ?? path.join(path.resolve(dir), 'admin'), statement);
    if (statement !== undefined) await fsp.writeFile(statement, document);
    const signatures = opened(cluster, document).signatures.length;
    const { m } = cluster.config;
    if (signatures < m) {
      if (statement === undefined) throw new OperationError('BAD_ARGUMENT', `${m} admins must sign, and 1 has.`, { remedy: 'Name a file with --statement, and hand it to the next admin.' });
      terminal.say('signed', { gatewayId: hex(gatewayId), signatures, needed: m, statement }, `${signatures} of ${m} admins have signed; hand ${statement} to the next`);
      return;
    }
    const others = cluster.config.writers.filter((writer) => writer.capabilities.includes('write') && !equal(writer.gatewayId, gatewayId));
    if (others.length === 0) terminal.warn('last', { gatewayId: hex(gatewayId) }, 'this is the only writer of the cluster: nothing can be written or read through it any more');
    const { held, inForce } = await client.revoke(document);
    const slots = [...held.keys()].sort((a, b) => a - b);
    const needed = cluster.slots.length - cluster.geometry.f;
    if (!inForce) throw new OperationError('NO_QUORUM', `${slots.length} nodes hold the revocation where ${needed} are needed: it is not in force yet.`, { retryable: true, remedy: 'Run the command again when more nodes answer.' });
    terminal.say('revoked', { gatewayId: hex(gatewayId), slots, needed }, `${hex(gatewayId).slice(0, 16)} is revoked: nodes ${slots.join(', ')} hold it durably, ${needed} are needed`);
  });
}

function opened(cluster: Cluster, document: Uint8Array): OpenedRevocation {
  const verdict = openRevocation(cluster, document);
  if (verdict.ok) return verdict.value;
  throw new OperationError('BAD_MESSAGE', `The statement is refused: ${verdict.reason}.`);
}

async function signed(cluster: Cluster, gatewayId: Uint8Array, adminFolder: string, statement: string | undefined): Promise<Uint8Array> {
  const before = statement !== undefined && fs.existsSync(statement) ? opened(cluster, await readGivenFile(statement, 'statement', REVOCATION_BYTES_MAX, 'BAD_MESSAGE')) : null;
  if (before !== null && !equal(before.revocation.gatewayId, gatewayId)) throw new OperationError('BAD_ARGUMENT', 'The statement is about another writer.');
  const body = before?.body ?? encodeRevocation({ v: 1, clusterId: cluster.id, epoch: cluster.epoch, gatewayId, atMs: systemClock.nowMs() });
  if (!fs.existsSync(path.join(adminFolder, ADMIN_FILE))) throw new OperationError('NOT_FOUND', `${adminFolder} holds no admin keys.`, { remedy: 'Name their folder with --admin.' });
  const { admin } = await readAdmin(new NodeDisk(adminFolder));
  if (!cluster.config.admins.some((key) => equal(key, admin.publicKey))) throw new OperationError('BAD_ARGUMENT', `The keys in ${adminFolder} are of no admin of this cluster.`);
  const others = (before?.signatures ?? []).filter((signature) => !equal(signature.admin, admin.publicKey));
  return sealRevocation(body, [...others, { admin: admin.publicKey, signature: admin.sign(revocationStatement(cluster.id, body)) }]);
}

/** Brings back what was newest before, object by object, as a new version by a good gateway. Ends with DAMAGED when something cannot be brought back. */
export async function writerRestore(gateway: string, options: SinceOptions & { readonly dryRun: boolean; readonly endpoint: string | undefined }): Promise<void> {
  const { dir, terminal, since, bucket, dryRun } = options;
  const sinceMs = timeOf(since, '--since');
  const s3 = new S3Client(await frontDoor(dir, options.endpoint));
  try {
    const totals = await withHistory(dir, async (tool) => {
      const { gatewayId } = writerOf(tool.cluster, gateway);
      if (!dryRun && equal(gatewayId, tool.identity.id)) throw new OperationError('BAD_ARGUMENT', 'The gateway of this folder is the one whose writes are to be undone.', { remedy: 'Name the folder of another gateway with --dir.' });
      const suspect = { gatewayId, sinceMs };
      const names = bucket === undefined ? (await s3.buckets()).map(({ name }) => name) : [bucket];
      const sums = { restored: 0, marked: 0, kept: 0, lost: 0, gone: 0 };
      for (const name of names) await restoreBucket(tool, s3, name, await SuspectWrites.find(tool.history, suspect, tool.cluster.geometry), { dryRun, terminal }, sums);
      return sums;
    });
    terminal.say('restore', { ...totals, dryRun }, `${dryRun ? 'would bring back' : 'brought back'} ${totals.restored}, delete markers ${totals.marked}, as they were ${totals.kept}, cannot be brought back ${totals.lost}; versions gone for good ${totals.gone}`);
    if (totals.lost + totals.gone > 0) throw new OperationError('DAMAGED', `${totals.lost} objects cannot be brought back, and ${totals.gone} versions are gone for good.`);
  } finally {
    s3.close();
  }
}

interface Totals {
  restored: number;
  marked: number;
  kept: number;
  lost: number;
  gone: number;
}

async function restoreBucket(
  tool: HistoryTool,
  s3: S3Client,
  bucket: string,
  writes: SuspectWrites,
  { dryRun, terminal }: { readonly dryRun: boolean; readonly terminal: Terminal },
  totals: Totals,
): Promise<void> {
  const keepsVersions = (await s3.versioning(bucket)) === 'enabled';
  for await (const planned of restoreSteps(tool.history, writes, await bucketOf(tool, bucket), keepsVersions)) {
    const step = dryRun ? planned : await carryOut(s3, bucket, planned);
    const text = describe(step);
    totals[tally(step)] += 1;
    totals.gone += step.gone.length;
    const fields = { bucket, key: step.key, remedy: step.remedy.kind, reason: step.remedy.kind === 'lost' ? step.remedy.reason : null, gone: step.gone.map(shown) };
    terminal.say('object', fields, `${text}  ${bucket}/${step.key}${step.gone.length > 0 ? `  (${step.gone.length} versions gone for good)` : ''}`);
  }
}

/** The same step, or that it could not be done: one object does not keep the others from being restored. */
async function carryOut(s3: S3Client, bucket: string, step: RestoreStep): Promise<RestoreStep> {
  const { key, remedy } = step;
  try {
    if (remedy.kind === 'copy') await s3.copyVersion(bucket, key, listedVersionId(remedy.version.fact.kept ?? 'NEVER', remedy.version.stamp));
    if (remedy.kind === 'mark') await s3.remove(bucket, key);
    return step;
  } catch (error) {
    if (!isOperationError(error) || error.retryable) throw error;
    return { ...step, remedy: { kind: 'lost', reason: error.message } };
  }
}

function tally({ remedy }: RestoreStep): 'restored' | 'marked' | 'kept' | 'lost' {
  switch (remedy.kind) {
    case 'copy':
      return 'restored';
    case 'mark':
      return 'marked';
    case 'nothing':
      return 'kept';
    case 'lost':
      return 'lost';
  }
}

function describe({ remedy }: RestoreStep): string {
  switch (remedy.kind) {
    case 'copy':
      return `version of ${new Date(remedy.version.fact.mtimeMs).toISOString()} anew`;
    case 'mark':
      return 'delete marker';
    case 'nothing':
      return 'as it was';
    case 'lost':
      return `cannot be brought back: ${remedy.reason}`;
  }
}
