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
 * | `l` bucketId gen name uploadId | an unfinished upload, as ListMultipartUploads shows it |
 * | `q` bucketId gen | how many uploads there are, and bytes of parts |
 * | `v` bucketId gen name stamp | a version or delete marker of a serialised bucket, the newest first |
 * | `w` bucketId gen name stamp | nothing; that such a version was written while versioning was suspended |
 * | `s` keyId stamp | where such a version's row is; empty: it is shown nowhere, or has ended; one zero: so, and was not seen |
 * | `a` keyId stamp | bucketId, where the attributes of this version have a register |
 * | `e` bucketId keyId stamp | nothing; that they do although the version has ended |
 * | `u` bucketId keyId | certificate of a version seen on fewer than c logs |
 * | `b` bucketId | bucket record |
 * | `o` opId | result of an operation that may be repeated (13.11) |
 * | `x` time opId | when that row goes |
 * | `t` slot | how far that slot's log was followed |
 */
import { z } from 'zod';
import { concat, utf8 } from '../../base/bytes.ts';
import { OperationError } from '../../base/errors.ts';
import { ENC_META_BYTES_MAX } from '../../base/limits.ts';
import { PART_LIST_NUMBER } from '../../keyring/metadata.ts';
import type { Kept } from '../../keyring/metadata.ts';
import { bytesUpTo, decode, encode, hash32, id16, uint, uintUpTo } from '../../protocol/encoding.ts';
import type { ManifestKind } from '../../protocol/manifest.ts';
import { stampSchema } from '../../protocol/stamp.ts';
import type { Stamp } from '../../protocol/stamp.ts';

const ROW_BYTES_MAX = 64 * 1024;

export const PREFIX = {
  key: utf8('k'),
  object: utf8('n'),
  multipart: utf8('m'),
  upload: utf8('l'),
  tally: utf8('q'),
  version: utf8('v'),
  suspended: utf8('w'),
  stamp: utf8('s'),
  attributes: utf8('a'),
  ended: utf8('e'),
  unsettled: utf8('u'),
  bucket: utf8('b'),
  operation: utf8('o'),
  expiry: utf8('x'),
  tail: utf8('t'),
} as const;

/**
 * The format of the index stands in this row. A view need not be carried over: an index of any other format is
 * thrown away, and built anew from the logs. Raised whenever rows mean something else, or there are more kinds.
 */
export const FORMAT_KEY: Uint8Array = utf8('f');
export const FORMAT: Uint8Array = Uint8Array.of(2);

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
  /** Of a REMOVE the newest version that it left; otherwise its own. Null: none is left. */
  readonly latest: Stamp | null;
  /** Versions below this stamp have ended, all of them. */
  readonly floor: Stamp;
  /** Keys of the rows that show the newest version. */
  readonly places: readonly Uint8Array[];
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
  readonly owner: string | null;
}

/** One of the versions of an object, or a delete marker. */
export interface VersionRow extends ObjectRow {
  readonly stamp: Stamp;
  readonly manifestHash: Uint8Array;
  readonly kept: Kept;
  readonly isMarker: boolean;
}

/** An unfinished upload; name and id are the end of the row's key. */
export interface UploadRow {
  readonly mtimeMs: number;
  readonly owner: string | null;
  readonly checksum: { readonly algorithm: string; readonly type: string } | null;
}

/** Unfinished uploads of a bucket, all together. */
export interface TallyRow {
  readonly uploads: number;
  readonly bytes: number;
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
  /** As the answer named it; empty where versions were not kept. */
  readonly versionId: string;
}

const keyRow: z.ZodType<KeyRow> = z.strictObject({
  bucketId: hash32,
  stamp: stampSchema,
  manifestHash: hash32,
  kind: z.enum(['DATA', 'INLINE', 'TABLE', 'TOMBSTONE', 'REMOVE']),
  holders: uint,
  settled: z.boolean(),
  latest: stampSchema.nullable(),
  floor: stampSchema,
  places: z.array(bytesUpTo(4096)).max(2),
});
const account = z.string().max(128).nullable();
const objectFields = { keyId: hash32, size: uint, etag: shortText, mtimeMs: uint, checksum, owner: account };
const objectRow: z.ZodType<ObjectRow> = z.strictObject(objectFields);
const versionRow: z.ZodType<VersionRow> = z.strictObject({
  ...objectFields,
  stamp: stampSchema,
  manifestHash: hash32,
  kept: z.enum(['NEVER', 'ENABLED', 'SUSPENDED']),
  isMarker: z.boolean(),
});
const uploadRow: z.ZodType<UploadRow> = z.strictObject({
  mtimeMs: uint,
  owner: account,
  checksum: z.strictObject({ algorithm: shortText, type: shortText }).nullable(),
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
const tallyRow: z.ZodType<TallyRow> = z.strictObject({ uploads: uint, bytes: uint });
const bucketRow: z.ZodType<BucketRow> = z.strictObject({
  stamp: stampSchema,
  clear: bytesUpTo(1024),
  encMeta: bytesUpTo(ENC_META_BYTES_MAX),
});
const operationThen = {
  fingerprint: hash32,
  atMs: uint,
  keyId: hash32,
  etag: shortText,
  checksum,
  uploadId: bytesUpTo(16),
};
/** The journal of an earlier release has rows without a version. */
const operationRow: z.ZodType<OperationRow> = z.union([
  z.strictObject({ ...operationThen, versionId: shortText }),
  z.strictObject(operationThen).transform((old): OperationRow => ({ ...old, versionId: '' })),
]);

export const ROWS = {
  key: keyRow,
  object: objectRow,
  version: versionRow,
  upload: uploadRow,
  part: partRow,
  bucket: bucketRow,
  tally: tallyRow,
  operation: operationRow,
} as const;

export function encodeRow(row: KeyRow | ObjectRow | VersionRow | UploadRow | PartRow | TallyRow | BucketRow | OperationRow): Uint8Array {
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
  kind: 'key' | 'unsettled' | 'bucket' | 'operation' | 'tail',
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
  if (key.length !== PART_NUMBER_AT + 2 || number > PART_LIST_NUMBER) {
    throw new OperationError('CORRUPT', 'A row of the index has a malformed key.');
  }
  return number;
}

/**
 * Names that something follows in a key: a zero byte inside becomes 0 255, and 0 0 ends the name, so that keys
 * sort as the names do.
 */
function escaped(name: Uint8Array): Uint8Array {
  const zeros = name.reduce((count, byte) => count + (byte === 0 ? 1 : 0), 0);
  if (zeros === 0) return name;
  const out = new Uint8Array(name.length + zeros);
  let at = 0;
  for (const byte of name) {
    out[at++] = byte;
    if (byte === 0) out[at++] = 255;
  }
  return out;
}

const NAME_END = new Uint8Array(2);
const NAMED_AT = 1 + 32 + 8;

/** Keys of this kind from the name on, of whichever follows it. */
export function namedKey(
  kind: 'version' | 'upload',
  bucketId: Uint8Array,
  gen: number,
  name: Uint8Array,
  rest?: Uint8Array,
): Uint8Array {
  const from = concat(PREFIX[kind], bucketId, sortable(gen), escaped(name));
  return rest === undefined ? from : concat(from, NAME_END, rest);
}

/** The name in such a key, and what follows it. */
export function openNamedKey(key: Uint8Array): { readonly name: Uint8Array; readonly rest: Uint8Array } {
  const name: number[] = [];
  let at = NAMED_AT;
  for (; at < key.length; at += 1) {
    const byte = key[at] ?? 0;
    if (byte !== 0) {
      name.push(byte);
      continue;
    }
    at += 1;
    if (key[at] === 0) return { name: Uint8Array.from(name), rest: key.subarray(at + 1) };
    if (key[at] !== 255) break;
    name.push(0);
  }
  throw new OperationError('CORRUPT', 'A row of the index has a malformed key.');
}

/** The newer, the lower. Generations stand before it in the key. */
export function newestFirst({ counter, writerId }: Pick<Stamp, 'counter' | 'writerId'>): Uint8Array {
  return concat(sortable(counter), writerId).map((byte) => 255 - byte);
}

export function stampKey(keyId: Uint8Array, { gen, counter, writerId }: Stamp): Uint8Array {
  return concat(PREFIX.stamp, keyId, sortable(gen), sortable(counter), writerId);
}

/** Of the version whose stamp has this key: that it has a register of attributes. */
export function attributesKey(stampAt: Uint8Array): Uint8Array {
  return concat(PREFIX.attributes, stampAt.subarray(1));
}

/** That such a register is left of a version that has ended. */
export function endedKey(bucketId: Uint8Array, stampAt: Uint8Array): Uint8Array {
  return concat(PREFIX.ended, bucketId, stampAt.subarray(1));
}

/** The version that an `endedKey` names. Throws CORRUPT. */
export function openEndedKey(key: Uint8Array): { readonly bucketId: Uint8Array; readonly keyId: Uint8Array; readonly stamp: Stamp } {
  if (key.length !== ENDED_BYTES) throw new OperationError('CORRUPT', 'A row of the index has a malformed key.');
  const view = new DataView(key.buffer, key.byteOffset, key.byteLength);
  const stamp = { gen: Number(view.getBigUint64(65)), counter: Number(view.getBigUint64(73)), writerId: key.slice(81) };
  return { bucketId: key.slice(1, 33), keyId: key.slice(33, 65), stamp };
}

const ENDED_BYTES = 1 + 32 + 32 + 8 + 8 + 16;

export function stampsPrefix(keyId: Uint8Array): Uint8Array {
  return concat(PREFIX.stamp, keyId);
}

/** Beside the row of a version: that it was written while versioning was suspended. */
export function suspendedKey(versionKey: Uint8Array): Uint8Array {
  return concat(PREFIX.suspended, versionKey.subarray(1));
}

/** The row of a version from the one that `suspendedKey` gave. */
export function versionKeyOf(suspended: Uint8Array): Uint8Array {
  return concat(PREFIX.version, suspended.subarray(1));
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
