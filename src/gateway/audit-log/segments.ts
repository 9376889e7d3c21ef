/**
 * The files of an audit log (spec/formats/audit-log.md): segments of so many entries each. A segment begins with
 * the tree of all that stands before it, as complete subtrees: so old segments can be deleted and what is left
 * is still proven, and a start reads the last one alone. Entries carry a digest and the number of the write that
 * they came with: a last write that a power loss cut short is cut off, and damage before it is said.
 */
import { z } from 'zod';
import { assert } from '../../base/assert.ts';
import { concat, equal, u32be, utf8 } from '../../base/bytes.ts';
import { OperationError } from '../../base/errors.ts';
import type { Disk, DiskFile } from '../../base/ports.ts';
import { sha256 } from '../../crypto/primitives.ts';
import { Frontier } from '../../merkle/tree.ts';
import { bytesUpTo, decode, encode } from '../../protocol/encoding.ts';
import { AUDIT_ENTRY_BYTES_MAX } from './entry.ts';

export const AUDIT_FOLDER = 'audit';
/** Entries of a full segment. */
export const SEGMENT_ENTRIES = 4096;
const MAGIC = utf8('holdfast audit 1\n');
const DIGEST_BYTES = 8;
const FRAME_BYTES: number = 8 + DIGEST_BYTES;
const HEAD_BYTES_MAX = 4096;
const SEGMENT_BYTES_MAX = MAGIC.length + FRAME_BYTES + HEAD_BYTES_MAX + SEGMENT_ENTRIES * (FRAME_BYTES + AUDIT_ENTRY_BYTES_MAX);
const NAME = /^segment-(\d{16})$/;

const headSchema = z.strictObject({ v: z.literal(1), frontier: bytesUpTo(HEAD_BYTES_MAX - 64) });

export interface AuditSegment {
  /** The tree of all entries before. */
  readonly before: Frontier;
  readonly entries: readonly Uint8Array[];
  /** Where the next entry goes. */
  readonly end: number;
  /** Bytes behind the last whole entry: a write that was cut short. */
  readonly torn: number;
  /** Number of the last write. */
  readonly batch: number;
}

export function segmentPath(first: number): string {
  return `${AUDIT_FOLDER}/segment-${String(first).padStart(16, '0')}`;
}

/** Indexes of the first entries of all segments that there are, in order. */
export async function segmentsOf(disk: Disk): Promise<readonly number[]> {
  const names = await disk.list(AUDIT_FOLDER);
  return names.flatMap((name) => NAME.exec(name)?.[1] ?? []).map(Number);
}

/** Reads a whole segment. CORRUPT with the file when it is not as it was written. */
export async function readSegment(disk: Disk, first: number): Promise<AuditSegment> {
  const path = segmentPath(first);
  return parseSegment(await disk.readFile(path, SEGMENT_BYTES_MAX), first, path);
}

/** Takes a segment's bytes apart. They may be anyone's; CORRUPT says what is wrong with them. */
export function parseSegment(bytes: Uint8Array, first: number, path: string): AuditSegment {
  const damaged = (reason: string): OperationError => new OperationError('CORRUPT', `${path}: ${reason}.`);
  if (!equal(bytes.subarray(0, MAGIC.length), MAGIC)) throw damaged('no segment of an audit log');
  const head = frameAt(bytes, MAGIC.length, HEAD_BYTES_MAX)?.content;
  const decoded = head === undefined ? null : decode(headSchema, head, HEAD_BYTES_MAX);
  const before = decoded?.ok === true ? Frontier.parse(decoded.value.frontier) : null;
  if (head === undefined || before?.size !== first) throw damaged('its head is damaged');
  const entries: Uint8Array[] = [];
  let at = MAGIC.length + FRAME_BYTES + head.length;
  let batch = 0;
  for (let frame = frameAt(bytes, at); frame !== null; frame = frameAt(bytes, at)) {
    // Left of a write that failed, and was written over.
    if (frame.batch < batch) break;
    entries.push(frame.content.slice());
    batch = frame.batch;
    at += FRAME_BYTES + frame.content.length;
  }
  if (entries.length > SEGMENT_ENTRIES) throw damaged('it has too many entries');
  // A write begins when the one before it is durable: two writes behind, this one was.
  if (laterBatch(bytes, at) > batch + 1) throw damaged(`entry ${first + entries.length} is damaged`);
  return { before, entries, end: at, torn: bytes.length - at, batch };
}

/** A frame: length, number of the write, the first bytes of the SHA-256 of what follows, and that. Null when it is none. */
function frameAt(bytes: Uint8Array, at: number, max: number = AUDIT_ENTRY_BYTES_MAX): { readonly content: Uint8Array; readonly batch: number } | null {
  if (at + FRAME_BYTES > bytes.length) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, 8);
  const length = view.getUint32(0);
  const from = at + FRAME_BYTES;
  if (length === 0 || length > max || from + length > bytes.length) return null;
  const content = bytes.subarray(from, from + length);
  const digest = sha256(bytes.subarray(at, at + 8), content).subarray(0, DIGEST_BYTES);
  return equal(digest, bytes.subarray(at + 8, from)) ? { content, batch: view.getUint32(4) } : null;
}

/** The highest number of a write of which a whole entry lies behind; 0 when there is none. */
function laterBatch(bytes: Uint8Array, at: number): number {
  let latest = 0;
  let place = at + 1;
  while (place < bytes.length) {
    const frame = frameAt(bytes, place);
    latest = Math.max(latest, frame?.batch ?? 0);
    place += frame === null ? 1 : FRAME_BYTES + frame.content.length;
  }
  return latest;
}

function frameOf(content: Uint8Array, batch: number): Uint8Array {
  const head = concat(u32be(content.length), u32be(batch));
  return concat(head, sha256(head, content).subarray(0, DIGEST_BYTES), content);
}

/** The segment that is written. */
export class OpenSegment {
  readonly #file: DiskFile;
  #end: number;
  #count: number;
  #batch: number;

  private constructor(file: DiskFile, { end, entries, batch }: Pick<AuditSegment, 'end' | 'entries' | 'batch'>) {
    this.#file = file;
    this.#end = end;
    this.#count = entries.length;
    this.#batch = batch;
  }

  /** A new one behind what the frontier stands for; itself and its name durable. */
  static async create(disk: Disk, before: Frontier): Promise<OpenSegment> {
    await disk.makeFolder(AUDIT_FOLDER);
    const head = concat(MAGIC, frameOf(encode({ v: 1, frontier: before.serialise() }), 0));
    const file = await disk.open(segmentPath(before.size), { create: true });
    await file.truncate(0);
    await file.writeAt(0, [head]);
    await file.datasync();
    await disk.syncFolder(AUDIT_FOLDER);
    return new OpenSegment(file, { end: head.length, entries: [], batch: 0 });
  }

  /** Goes on with one that was read; what was cut short is cut off. */
  static async reopen(disk: Disk, first: number, segment: AuditSegment): Promise<OpenSegment> {
    const file = await disk.open(segmentPath(first));
    if (segment.torn > 0) await file.truncate(segment.end);
    return new OpenSegment(file, segment);
  }

  get room(): number {
    return SEGMENT_ENTRIES - this.#count;
  }

  /** Writes entries and syncs them. */
  async append(entries: readonly Uint8Array[]): Promise<void> {
    assert(entries.length <= this.room, 'the entries fit the segment');
    this.#batch += 1;
    const frames = entries.map((entry) => frameOf(entry, this.#batch));
    await this.#file.writeAt(this.#end, frames);
    await this.#file.datasync();
    this.#end += frames.reduce((sum, { length }) => sum + length, 0);
    this.#count += entries.length;
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}
