/**
 * One entry of an audit log with all that proves it: who has it needs nothing but the root document of the
 * cluster. And the log as a whole, held against what the nodes keep of it.
 */
import { z } from 'zod';
import { equal } from '../../base/bytes.ts';
import { OperationError } from '../../base/errors.ts';
import type { Disk } from '../../base/ports.ts';
import { openAnchor } from '../../log/anchor.ts';
import type { Checkpoint } from '../../log/checkpoint.ts';
import { PartialTree } from '../../merkle/partial-tree.ts';
import { leafHash, verifyInclusion } from '../../merkle/tree.ts';
import type { Frontier } from '../../merkle/tree.ts';
import type { Cluster } from '../../protocol/configuration.ts';
import { bytesUpTo, decode, encode, hash32, uint } from '../../protocol/encoding.ts';
import { CHECKPOINT_PATH } from './audit-log.ts';
import { AUDIT_ENTRY_BYTES_MAX, decodeAuditEntry } from './entry.ts';
import type { AuditEntry } from './entry.ts';
import { readSegment, segmentsOf } from './segments.ts';

export const AUDIT_PROOF_BYTES_MAX: number = 16 * 1024;
const NOTE_MAX = 4096;

const proofSchema = z.strictObject({
  v: z.literal(1),
  type: z.literal('audit entry'),
  index: uint,
  entry: bytesUpTo(AUDIT_ENTRY_BYTES_MAX),
  path: z.array(hash32).max(64),
  /** The signed checkpoint that the path leads to. */
  note: z.string().max(NOTE_MAX),
});
export type AuditProof = z.infer<typeof proofSchema>;

/** An entry with its place. */
export interface PlacedEntry {
  readonly index: number;
  readonly bytes: Uint8Array;
  /** Null where this version cannot read it. */
  readonly entry: AuditEntry | null;
}

/** The entries of a log's folder, in order, from the segment on in which `from` stands. */
export async function* entriesIn(disk: Disk, from: number = 0): AsyncGenerator<PlacedEntry, void> {
  const segments = await segmentsOf(disk);
  const place = Math.max(0, segments.findLastIndex((first) => first <= from));
  for (const first of segments.slice(place)) {
    const { entries } = await readSegment(disk, first);
    for (const [i, bytes] of entries.entries()) {
      if (first + i < from) continue;
      const decoded = decodeAuditEntry(bytes);
      yield { index: first + i, bytes, entry: decoded.ok ? decoded.value : null };
    }
  }
}

/** The newest checkpoint beside the segments. NOT_FOUND before the first. */
export async function newestCheckpoint(disk: Disk): Promise<string> {
  return new TextDecoder().decode(await disk.readFile(CHECKPOINT_PATH, NOTE_MAX));
}

/** The tree of what the folder holds, and where it begins. */
export interface FolderTree {
  readonly first: number;
  readonly size: number;
  /** Root at a size; null where its entries are gone, or not there yet. */
  rootAt(size: number): Uint8Array | null;
  inclusion(index: number, size: number): readonly Uint8Array[];
}

/** Reads all of a log's folder. CORRUPT when a segment is damaged or missing. */
export async function treeOf(disk: Disk): Promise<FolderTree> {
  let before: Frontier | undefined;
  const leaves: Uint8Array[] = [];
  for (const first of await segmentsOf(disk)) {
    const segment = await readSegment(disk, first);
    before ??= segment.before;
    const expected = new PartialTree(before, leaves);
    if (first !== expected.size) throw new OperationError('CORRUPT', `The segment from entry ${expected.size} on is missing.`);
    if (!equal(segment.before.root(), expected.root())) throw new OperationError('CORRUPT', `The segment from entry ${first} on follows another log.`);
    for (const entry of segment.entries) leaves.push(leafHash(entry));
  }
  if (before === undefined) throw new OperationError('NOT_FOUND', 'There is no audit log in the folder.');
  const start = before;
  const tree = (size: number): PartialTree => new PartialTree(start, leaves.slice(0, size - start.size));
  const size = start.size + leaves.length;
  return {
    first: start.size,
    size,
    rootAt: (at) => (at < start.size || at > size ? null : tree(at).root()),
    inclusion: (index, at) => tree(at).inclusion(index),
  };
}

/** The proof of one entry. NOT_FOUND when the folder has no such entry, or no checkpoint over it yet. */
export async function proveEntry(cluster: Cluster, disk: Disk, index: number): Promise<AuditProof> {
  const note = await newestCheckpoint(disk);
  const opened = openAnchor(cluster, note);
  if (!opened.ok) throw new OperationError('CORRUPT', `The checkpoint of the audit log is not valid: ${opened.reason}.`);
  const { size } = opened.signed.checkpoint;
  if (index >= size) throw new OperationError('NOT_FOUND', `Entry ${index} is not under a checkpoint yet.`, { remedy: 'Try again in a minute.' });
  for await (const { index: at, bytes } of entriesIn(disk, index)) {
    if (at !== index) break;
    const tree = await treeOf(disk);
    return { v: 1, type: 'audit entry', index, entry: bytes, path: [...tree.inclusion(index, size)], note };
  }
  throw new OperationError('NOT_FOUND', `There is no entry ${index} in the folder.`);
}

export const encodeAuditProof = (proof: AuditProof): Uint8Array => encode(proof);

export type ProofVerdict =
  | { readonly ok: true; readonly gatewayId: Uint8Array; readonly checkpoint: Checkpoint; readonly index: number; readonly entry: AuditEntry }
  | { readonly ok: false; readonly reason: string };

/** Judges a proof from anyone by the root document alone. Never throws. */
export function judgeAuditProof(cluster: Cluster, bytes: Uint8Array): ProofVerdict {
  const decoded = decode(proofSchema, bytes, AUDIT_PROOF_BYTES_MAX);
  if (!decoded.ok) return decoded;
  const { note, index, entry: entryBytes, path } = decoded.value;
  const opened = openAnchor(cluster, note);
  if (!opened.ok) return { ok: false, reason: opened.reason };
  const { checkpoint } = opened.signed;
  if (!verifyInclusion(checkpoint.root, leafHash(entryBytes), index, checkpoint.size, path)) {
    return { ok: false, reason: 'the entry is not in the log that was signed' };
  }
  const entry = decodeAuditEntry(entryBytes);
  if (!entry.ok) return { ok: false, reason: `the entry: ${entry.reason}` };
  return { ok: true, gatewayId: opened.writer.gatewayId, checkpoint, index, entry: entry.value };
}
