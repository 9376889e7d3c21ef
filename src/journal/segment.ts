/**
 * The shape that log and cell segments share (spec/formats/journal.md): a header that names format, journal
 * and instance, then records. A record's digest covers the segment's instance, so stale bytes of an earlier
 * use of the same file never verify.
 *
 * header (64 bytes): magic 8 | version 1 | kind 1 | reserved 2 | segment 4 | journal id 16 | instance 16 | digest 16
 * record header (40 bytes): magic 4 | length 4 | sequence 8 | batch 8 | digest 16, then the payload, padded to 8 bytes
 * `batch` is the sequence number of the first record that was written and synced together with this one.
 */
import { concat, equal, utf8 } from '../base/bytes.ts';
import { OperationError } from '../base/errors.ts';
import type { DiskFile } from '../base/ports.ts';
import { sha256 } from '../crypto/primitives.ts';

export const HEADER_BYTES = 64;
export const RECORD_HEADER_BYTES = 40;
/** Records begin at multiples of this. */
export const RECORD_ALIGN_BYTES = 8;
const MAGIC = utf8('HOLDFAST');
const FORMAT_VERSION = 1;
export const RECORD_MAGIC = 0x48465243;
const DIGEST_BYTES = 16;

export type SegmentKind = 'log' | 'cells';
const KIND_BYTE: Record<SegmentKind, number> = { log: 1, cells: 2 };

export interface SegmentHeader {
  readonly kind: SegmentKind;
  readonly segment: number;
  readonly journalId: Uint8Array;
  /** 16 bytes that no other use of the file has. */
  readonly instance: Uint8Array;
}

export type HeaderVerdict =
  | { readonly ok: true; readonly instance: Uint8Array }
  | { readonly ok: false; readonly blank: boolean; readonly reason: string };

export function segmentName(kind: SegmentKind, segment: number): string {
  return `${kind}-${String(segment).padStart(8, '0')}.seg`;
}

/** The number of a segment file of this kind, or null for another file. */
export function segmentNumber(kind: SegmentKind, name: string): number | null {
  const match = new RegExp(`^${kind}-(\\d{8})\\.seg$`).exec(name);
  return match?.[1] === undefined ? null : Number(match[1]);
}

export function encodeHeader({ kind, segment, journalId, instance }: SegmentHeader): Uint8Array {
  const head = new Uint8Array(HEADER_BYTES - DIGEST_BYTES);
  head.set(MAGIC, 0);
  head[8] = FORMAT_VERSION;
  head[9] = KIND_BYTE[kind];
  new DataView(head.buffer).setUint32(12, segment);
  head.set(journalId, 16);
  head.set(instance, 32);
  return concat(head, sha256(head).subarray(0, DIGEST_BYTES));
}

/** Judges a header read from disk. Throws LOST_STATE for a format this version does not know. */
export function readHeader(bytes: Uint8Array, expected: Omit<SegmentHeader, 'instance'>): HeaderVerdict {
  const bad = (reason: string, blank = false): HeaderVerdict => ({ ok: false, blank, reason });
  if (bytes.every((byte) => byte === 0)) return bad('the header is blank', true);
  const head = bytes.subarray(0, HEADER_BYTES - DIGEST_BYTES);
  if (!equal(sha256(head).subarray(0, DIGEST_BYTES), bytes.subarray(HEADER_BYTES - DIGEST_BYTES, HEADER_BYTES))) {
    return bad('the header does not match its digest');
  }
  if (!equal(head.subarray(0, 8), MAGIC)) return bad('not a segment');
  if (head[8] !== FORMAT_VERSION) {
    throw new OperationError('LOST_STATE', `A segment has format version ${head[8]}; this version knows ${FORMAT_VERSION}.`, {
      remedy: 'Run the version that wrote this folder.',
    });
  }
  if (head[9] !== KIND_BYTE[expected.kind]) return bad('a segment of another kind');
  const segment = new DataView(head.buffer, head.byteOffset).getUint32(12);
  if (segment !== expected.segment) return bad(`the header names segment ${segment}`);
  if (!equal(head.subarray(16, 32), expected.journalId)) return bad('a segment of another journal');
  return { ok: true, instance: head.slice(32, 48) };
}

/** Bytes a record of this payload takes in its segment. */
export function recordBytes(length: number): number {
  return RECORD_HEADER_BYTES + padded(length);
}

function padded(length: number): number {
  return Math.ceil(length / RECORD_ALIGN_BYTES) * RECORD_ALIGN_BYTES;
}

const PADDING = new Uint8Array(RECORD_ALIGN_BYTES);

/** Place of a record in its journal's order; cell records have none and use zeros. */
export interface RecordPlace {
  readonly sequence: number;
  readonly batch: number;
}

export const NO_PLACE: RecordPlace = { sequence: 0, batch: 0 };

function fields(length: number, { sequence, batch }: RecordPlace): Uint8Array {
  const head = new Uint8Array(24);
  const view = new DataView(head.buffer);
  view.setUint32(0, RECORD_MAGIC);
  view.setUint32(4, length);
  view.setBigUint64(8, BigInt(sequence));
  view.setBigUint64(16, BigInt(batch));
  return head;
}

function recordDigest(instance: Uint8Array, head: Uint8Array, covered: readonly Uint8Array[]): Uint8Array {
  return sha256(instance, head, ...covered).subarray(0, DIGEST_BYTES);
}

/**
 * The parts to write for a record. `covered` is under the digest; `self` is bytes whose hash `covered`
 * commits to, so that they need not be hashed again (cells under their row).
 */
export function recordParts(
  instance: Uint8Array,
  place: RecordPlace,
  covered: Uint8Array,
  self: Uint8Array | null,
): Uint8Array[] {
  const length = covered.length + (self?.length ?? 0);
  const head = fields(length, place);
  const parts = [head, recordDigest(instance, head, [covered]), covered];
  if (self !== null) parts.push(self);
  if (padded(length) > length) parts.push(PADDING.subarray(0, padded(length) - length));
  return parts;
}

export interface RecordHeader extends RecordPlace {
  readonly length: number;
  readonly digest: Uint8Array;
}

/** The header's fields, or null when these bytes are no record header. */
export function parseRecordHeader(bytes: Uint8Array): RecordHeader | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, RECORD_HEADER_BYTES);
  if (view.getUint32(0) !== RECORD_MAGIC) return null;
  const sequence = view.getBigUint64(8);
  const batch = view.getBigUint64(16);
  if (sequence > BigInt(Number.MAX_SAFE_INTEGER) || batch > sequence) return null;
  return { length: view.getUint32(4), sequence: Number(sequence), batch: Number(batch), digest: bytes.subarray(24, 40) };
}

/** Does the covered part of a payload match its record header? */
export function recordMatches(instance: Uint8Array, header: RecordHeader, covered: Uint8Array): boolean {
  return equal(recordDigest(instance, fields(header.length, header), [covered]), header.digest);
}

/** A file read piece by piece; short at its end. */
export async function readUpTo(file: DiskFile, offset: number, length: number, fileBytes: number): Promise<Uint8Array> {
  const available = Math.max(0, Math.min(length, fileBytes - offset));
  return available === 0 ? new Uint8Array(0) : file.readAt(offset, available);
}
