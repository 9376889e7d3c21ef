/**
 * The rows of the gateway's index: how their keys sort and what their values hold. One letter names each
 * kind of row, so one ordered store holds them all, and a bucket's objects lie side by side in the byte order
 * of their names. All of it can be rebuilt from the storage nodes' logs; what does not parse is CORRUPT.
 *
 * | key | value |
 * |---|---|
 * | `k` keyId | what is known of the key's highest version |
 * | `n` bucketId gen name | a live object, as LIST shows it |
 * | `m` bucketId gen uploadId number | a multipart upload (number 0) or one of its parts |
 * | `u` bucketId keyId | certificate of a version seen on fewer than c logs |
 * | `b` bucketId | bucket record |
 * | `o` opId | result of an operation that may be repeated (13.11) |
 * | `x` time opId | when that row goes |
 * | `t` slot | how far that slot's log was followed |
 */
import { z } from 'zod';
import { concat, utf8 } from '../../base/bytes.ts';
import { OperationError } from '../../base/errors.ts';
import { ENC_META_BYTES_MAX, PART_COUNT_MAX } from '../../base/limits.ts';
import { bytesUpTo, decode, encode, hash32, id16, uint, uintUpTo } from '../../protocol/encoding.ts';
import type { ManifestKind } from '../../protocol/manifest.ts';
import { stampSchema } from '../../protocol/stamp.ts';
import type { Stamp } from '../../protocol/stamp.ts';

const ROW_BYTES_MAX = 64 * 1024;

export const PREFIX = {
  key: utf8('k'),
  object: utf8('n'),
  multipart: utf8('m'),
  unsettled: utf8('u'),
  bucket: utf8('b'),
  operation: utf8('o'),
  expiry: utf8('x'),
  tail: utf8('t'),
} as const;

/** The highest version of a key, objects and hidden ones alike; also of a deleted one. */
export interface KeyRow {
  readonly bucketId: Uint8Array;
  readonly stamp: Stamp;
  readonly manifestHash: Uint8Array;
  readonly kind: ManifestKind;
  /** Bit i: the log of slot i shows this version. */
  readonly holders: number;
  /** At least c nodes hold the certificate: a LIST may show it. */
  readonly settled: boolean;
  /** Key of the row that shows this version; empty: none does. */
  readonly place: Uint8Array;
}

const shortText = z.string().max(128);
const checksum = z.strictObject({ algorithm: shortText, type: shortText, value: shortText }).nullable();
type StoredChecksum = z.infer<typeof checksum>;

/** A live object. Its name is the end of the row's key. */
export interface ObjectRow {
  readonly keyId: Uint8Array;
  readonly size: number;
  readonly etag: string;
  readonly mtimeMs: number;
  readonly checksum: StoredChecksum;
}

/** One part, with what a part table says of it. */
export interface PartRow {
  readonly keyId: Uint8Array;
  readonly size: number;
  readonly etag: string;
  readonly mtimeMs: number;
  readonly checksum: StoredChecksum;
  readonly contentId: Uint8Array;
  readonly n: number;
  readonly k: number;
  /** 0: an empty part, which has no content. */
  readonly cellBytes: number;
  readonly salt: Uint8Array;
}

/** A bucket record as it was certified; the seal is opened by whoever holds the owner's keys. */
export interface BucketRow {
  readonly stamp: Stamp;
  readonly clear: Uint8Array;
  readonly encMeta: Uint8Array;
}

/** What the first request with an operation id did. */
export interface OperationRow {
  readonly fingerprint: Uint8Array;
  readonly atMs: number;
  readonly keyId: Uint8Array;
  readonly etag: string;
  readonly checksum: StoredChecksum;
  /** Of a created upload; empty otherwise. */
  readonly uploadId: Uint8Array;
}

const keyRow: z.ZodType<KeyRow> = z.strictObject({
  bucketId: hash32,
  stamp: stampSchema,
  manifestHash: hash32,
  kind: z.enum(['DATA', 'INLINE', 'TABLE', 'TOMBSTONE']),
  holders: uint,
  settled: z.boolean(),
  place: bytesUpTo(2048),
});
const objectRow: z.ZodType<ObjectRow> = z.strictObject({
  keyId: hash32,
  size: uint,
  etag: shortText,
  mtimeMs: uint,
  checksum,
});
const partRow: z.ZodType<PartRow> = z.strictObject({
  keyId: hash32,
  size: uint,
  etag: shortText,
  mtimeMs: uint,
  checksum,
  contentId: hash32,
  n: uintUpTo(255),
  k: uintUpTo(255),
  cellBytes: uint,
  salt: id16,
});
const bucketRow: z.ZodType<BucketRow> = z.strictObject({
  stamp: stampSchema,
  clear: bytesUpTo(1024),
  encMeta: bytesUpTo(ENC_META_BYTES_MAX),
});
const operationRow: z.ZodType<OperationRow> = z.strictObject({
  fingerprint: hash32,
  atMs: uint,
  keyId: hash32,
  etag: shortText,
  checksum,
  uploadId: bytesUpTo(16),
});

export const ROWS = {
  key: keyRow,
  object: objectRow,
  part: partRow,
  bucket: bucketRow,
  operation: operationRow,
} as const;

export function encodeRow(row: KeyRow | ObjectRow | PartRow | BucketRow | OperationRow): Uint8Array {
  return encode(row);
}

/** Throws CORRUPT for bytes that are no row of this kind. */
export function decodeRow<T>(schema: z.ZodType<T>, bytes: Uint8Array): T {
  const decoded = decode(schema, bytes, ROW_BYTES_MAX);
  if (decoded.ok) return decoded.value;
  throw new OperationError('CORRUPT', `A row of the index is malformed: ${decoded.reason}.`);
}

/** Big-endian in 8 bytes, so that numbers sort like their keys. */
export function sortable(value: number): Uint8Array {
  const out = new Uint8Array(8);
  new DataView(out.buffer).setBigUint64(0, BigInt(value));
  return out;
}

/** All rows of this letter about one key identifier, bucket or operation. */
export function rowKey(
  kind: Exclude<keyof typeof PREFIX, 'object' | 'multipart' | 'expiry'>,
  id: Uint8Array,
): Uint8Array {
  return concat(PREFIX[kind], id);
}

/** Where the objects of a bucket generation begin. */
export function objectsPrefix(bucketId: Uint8Array, gen: number): Uint8Array {
  return concat(PREFIX.object, bucketId, sortable(gen));
}

export const OBJECT_NAME_AT: number = 1 + 32 + 8;

export function objectKey(bucketId: Uint8Array, gen: number, name: Uint8Array): Uint8Array {
  return concat(objectsPrefix(bucketId, gen), name);
}

export function multipartPrefix(bucketId: Uint8Array, gen: number): Uint8Array {
  return concat(PREFIX.multipart, bucketId, sortable(gen));
}

export const UPLOAD_ID_AT: number = 1 + 32 + 8;
const PART_NUMBER_AT = UPLOAD_ID_AT + 16;

/** `number` 0 is the upload itself, so it sorts before its parts. */
export function multipartKey(
  bucketId: Uint8Array,
  gen: number,
  uploadId: Uint8Array,
  number: number,
): Uint8Array {
  return concat(multipartPrefix(bucketId, gen), uploadId, new Uint8Array([number >> 8, number & 255]));
}

export function partNumberOf(key: Uint8Array): number {
  const number = ((key[PART_NUMBER_AT] ?? 0) << 8) | (key[PART_NUMBER_AT + 1] ?? 0);
  if (key.length !== PART_NUMBER_AT + 2 || number > PART_COUNT_MAX) {
    throw new OperationError('CORRUPT', 'A row of the index has a malformed key.');
  }
  return number;
}

export function expiryKey(atMs: number, opId: Uint8Array): Uint8Array {
  return concat(PREFIX.expiry, sortable(atMs), opId);
}

/** The lowest key above every key that begins with `prefix`. */
export function endOf(prefix: Uint8Array): Uint8Array {
  let length = prefix.length;
  while (length > 0 && prefix[length - 1] === 255) length -= 1;
  const out = prefix.slice(0, length);
  const last = out.length - 1;
  out[last] = (out[last] ?? 0) + 1;
  return out;
}
