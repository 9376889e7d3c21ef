/**
 * The shape that log and cell segments share (spec/formats/journal.md): a header block that names format,
 * journal and instance, then records. The 16 bytes of the instance are known to this one use of the file
 * only; every record repeats them under its digest, so neither stale bytes of an earlier use nor bytes that
 * somebody placed inside a payload pass for a record.
 *
 * header block (4096): magic 8 | version 2 | kind 1 | 0 x5 | journal id 16 | instance 16 | segment 8 |
 *   first sequence 8 | 0 ... | digest 16 (of all before it)
 * record header (56): digest 16 | instance 16 | kind 1 | 0 x3 | length 4 | covered 4 | batch 4 | sequence 8,
 *   then the payload, then zeros up to a multiple of 8
 */
import { assert } from '../base/assert.ts';
import { equal, utf8 } from '../base/bytes.ts';
import { OperationError } from '../base/errors.ts';
import { sha256 } from '../crypto/primitives.ts';

/** A block of its own, so that no later write touches the bytes of the header. */
export const HEADER_BYTES = 4096;
export const RECORD_HEADER_BYTES = 56;
/** Records begin at multiples of this. */
export const RECORD_ALIGN_BYTES = 8;
export const INSTANCE_BYTES = 16;
/** Payload bytes of one record. */
export const RECORD_BYTES_MAX = 16 * 1024 * 1024;

const MAGIC = utf8('HOLDFAST');
const FORMAT_VERSION = 1;
const DIGEST_BYTES = 16;
const INSTANCE_AT = 16;
const KIND_AT = 32;
const LENGTH_AT = 36;
const COVERED_AT = 40;
const BATCH_AT = 44;
const SEQUENCE_AT = 48;

export type SegmentKind = 'log' | 'cells';
const SEGMENT_KINDS: Record<SegmentKind, number> = { log: 1, cells: 2 };

/** `seal` ends a log that was closed: it holds nothing and takes no sequence number. */
export type RecordKind = 'data' | 'seal';
const RECORD_KINDS: Record<RecordKind, number> = { data: 1, seal: 2 };

export interface SegmentHeader {
  readonly kind: SegmentKind;
  readonly segment: number;
  readonly journalId: Uint8Array;
  readonly instance: Uint8Array;
  /** Sequence number of the first record of a log segment; 0 in cell segments. */
  readonly firstSequence: number;
}

export type HeaderVerdict =
  | { readonly ok: true; readonly instance: Uint8Array; readonly firstSequence: number }
  | { readonly ok: false; readonly reason: string };

export function segmentName(kind: SegmentKind, segment: number): string {
  return `${kind}-${String(segment).padStart(8, '0')}.seg`;
}

/** The number of a segment file of this kind, or null for another file. */
export function segmentNumber(kind: SegmentKind, name: string): number | null {
  const match = new RegExp(`^${kind}-(\\d{8,10})\\.seg$`).exec(name);
  const number = Number(match?.[1] ?? 0);
  return number > 0 && segmentName(kind, number) === name ? number : null;
}

/** Writes the header block at the start of `out`, whose bytes are zero. */
export function putHeader(out: Uint8Array, header: SegmentHeader): void {
  assert(header.journalId.length === 16, 'a journal id has 16 bytes');
  assert(header.instance.length === INSTANCE_BYTES, 'an instance has 16 bytes');
  const view = new DataView(out.buffer, out.byteOffset);
  out.set(MAGIC, 0);
  view.setUint16(8, FORMAT_VERSION);
  out[10] = SEGMENT_KINDS[header.kind];
  out.set(header.journalId, 16);
  out.set(header.instance, 32);
  view.setBigUint64(48, BigInt(header.segment));
  view.setBigUint64(56, BigInt(header.firstSequence));
  out.set(headerDigest(out), HEADER_BYTES - DIGEST_BYTES);
}

function headerDigest(block: Uint8Array): Uint8Array {
  return sha256(block.subarray(0, HEADER_BYTES - DIGEST_BYTES)).subarray(0, DIGEST_BYTES);
}

/** Judges the first bytes of a segment file. Throws LOST_STATE for a format that this version does not know. */
export function readHeader(
  block: Uint8Array,
  expected: Pick<SegmentHeader, 'kind' | 'segment' | 'journalId'>,
): HeaderVerdict {
  const bad = (reason: string): HeaderVerdict => ({ ok: false, reason });
  if (block.length < HEADER_BYTES) return bad('the file ends within its header');
  if (!equal(headerDigest(block), block.subarray(HEADER_BYTES - DIGEST_BYTES, HEADER_BYTES))) {
    return bad('the header does not match its digest');
  }
  if (!equal(block.subarray(0, 8), MAGIC)) return bad('not a segment');
  const view = new DataView(block.buffer, block.byteOffset);
  requireVersion(view.getUint16(8), segmentName(expected.kind, expected.segment));
  if (block[10] !== SEGMENT_KINDS[expected.kind]) return bad('a segment of another kind');
  if (!equal(block.subarray(16, 32), expected.journalId)) return bad('a segment of another journal');
  if (view.getBigUint64(48) !== BigInt(expected.segment)) return bad(`the header names segment ${view.getBigUint64(48)}`);
  return { ok: true, instance: block.slice(32, 48), firstSequence: Number(view.getBigUint64(56)) };
}

/** A folder that a later version wrote is refused, never guessed at. */
export function requireVersion(found: number, name: string): void {
  if (found === FORMAT_VERSION) return;
  throw new OperationError('LOST_STATE', `${name} has format version ${found}; this program knows ${FORMAT_VERSION}.`, {
    remedy: 'Run the version of the program that wrote this folder.',
  });
}

/** Bytes that a record of this payload takes in its segment. */
export function recordBytes(length: number): number {
  return RECORD_HEADER_BYTES + Math.ceil(length / RECORD_ALIGN_BYTES) * RECORD_ALIGN_BYTES;
}

/** What a record's header says besides its instance. */
export interface RecordHeader {
  readonly kind: RecordKind;
  readonly length: number;
  /** So many bytes of the payload are under the digest; the owner has other means to check the rest. */
  readonly covered: number;
  /** Where in the segment the batch begins that was written and synced together with this record. */
  readonly batch: number;
  readonly sequence: number;
}

/**
 * Writes a record header at `at`. The covered bytes are given in `covered`, or lie behind the header in `out`
 * when it is left out. What lies between the fields must be zero.
 */
export function putRecordHeader(
  out: Uint8Array,
  at: number,
  instance: Uint8Array,
  header: RecordHeader,
  covered?: Uint8Array,
): void {
  const view = new DataView(out.buffer, out.byteOffset + at);
  out.set(instance, at + INSTANCE_AT);
  out[at + KIND_AT] = RECORD_KINDS[header.kind];
  view.setUint32(LENGTH_AT, header.length);
  view.setUint32(COVERED_AT, header.covered);
  view.setUint32(BATCH_AT, header.batch);
  view.setBigUint64(SEQUENCE_AT, BigInt(header.sequence));
  const head = out.subarray(at + DIGEST_BYTES, at + RECORD_HEADER_BYTES);
  const digest = covered === undefined ? recordDigest(out, at, header.covered) : sha256(head, covered);
  out.set(digest.subarray(0, DIGEST_BYTES), at);
}

function recordDigest(bytes: Uint8Array, at: number, covered: number): Uint8Array {
  return sha256(bytes.subarray(at + DIGEST_BYTES, at + RECORD_HEADER_BYTES + covered)).subarray(0, DIGEST_BYTES);
}

/** Does a record of this instance begin here, going by its first bytes? Cheap; `readRecord` decides. */
export function mayBeRecord(bytes: Uint8Array, at: number, instance: Uint8Array): boolean {
  for (let i = 0; i < INSTANCE_BYTES; i += 1) if (bytes[at + INSTANCE_AT + i] !== instance[i]) return false;
  return true;
}

/** The header of the whole, digest-checked record that begins at `at`, or null when there is none. */
export function readRecord(bytes: Uint8Array, at: number, instance: Uint8Array): RecordHeader | null {
  if (at + RECORD_HEADER_BYTES > bytes.length || !mayBeRecord(bytes, at, instance)) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset + at);
  const length = view.getUint32(LENGTH_AT);
  const covered = view.getUint32(COVERED_AT);
  if (length > RECORD_BYTES_MAX || covered > length || at + RECORD_HEADER_BYTES + length > bytes.length) return null;
  if (!equal(recordDigest(bytes, at, covered), bytes.subarray(at, at + DIGEST_BYTES))) return null;
  const kind = bytes[at + KIND_AT] === RECORD_KINDS.seal ? 'seal' : 'data';
  return { kind, length, covered, batch: view.getUint32(BATCH_AT), sequence: Number(view.getBigUint64(SEQUENCE_AT)) };
}
