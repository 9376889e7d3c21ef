/**
 * What `encMeta` holds once opened: the name of a version and all that S3 remembers about it. Canonical
 * DAG-CBOR of one of four shapes. Uploads and parts live in a hidden namespace of their bucket (13.3); their
 * shape says so, so they never appear among objects. Whoever can write a bucket could have sealed these
 * bytes, so they are parsed strictly and bounded like anything from outside.
 */
import { z } from 'zod';
import { fromMapKey, mapKey, utf8 } from '../base/bytes.ts';
import { ENC_META_BYTES_MAX, PART_COUNT_MAX, TIME_MS_MAX } from '../base/limits.ts';
import { bytesOf, bytesUpTo, decode, encode, hash32, id16, uintUpTo } from '../protocol/encoding.ts';
import type { Decoded } from '../protocol/encoding.ts';

export const NAME_BYTES_MAX = 1024;
const HEADER_BYTES_MAX = 4096;
const USER_FIELDS_MAX = 1024;

/** Headers that come back with an object: byte strings, one character a byte. */
export interface StoredHeaders {
  readonly contentType: string | null;
  readonly cacheControl: string | null;
  readonly contentDisposition: string | null;
  readonly contentEncoding: string | null;
  readonly contentLanguage: string | null;
  readonly expires: string | null;
  /** Name and value, in order of arrival. */
  readonly user: readonly (readonly [string, string])[];
}

/** A checksum as S3 names it: its algorithm, whether of the whole object or of its parts, and its text. */
export interface StoredChecksum {
  readonly algorithm: string;
  readonly type: string;
  readonly value: string;
}

/**
 * What a repeated request must equal to be given the first one's result; null: the request cannot be
 * repeated (13.11).
 */
export type Fingerprint = Uint8Array | null;

export interface ObjectMeta {
  readonly v: 1;
  readonly t: 'object';
  readonly name: string;
  /** Without quotes. */
  readonly etag: string;
  /** Unix milliseconds of the gateway that wrote it. */
  readonly mtimeMs: number;
  readonly headers: StoredHeaders;
  readonly checksum: StoredChecksum | null;
  /** Parts of a multipart object; 0 for any other. */
  readonly parts: number;
  readonly operation: Fingerprint;
}

export interface UploadMeta {
  readonly v: 1;
  readonly t: 'upload';
  readonly uploadId: Uint8Array;
  readonly name: string;
  readonly mtimeMs: number;
  readonly headers: StoredHeaders;
  readonly checksum: Pick<StoredChecksum, 'algorithm' | 'type'> | null;
  /** Data keys of the parts derive from it; becomes the data key of the completed object. */
  readonly uploadKey: Uint8Array;
  readonly operation: Fingerprint;
}

export interface PartMeta {
  readonly v: 1;
  readonly t: 'part';
  readonly uploadId: Uint8Array;
  readonly number: number;
  readonly etag: string;
  readonly mtimeMs: number;
  readonly checksum: StoredChecksum | null;
  /** With the upload key gives the part's data key. */
  readonly salt: Uint8Array;
  readonly operation: Fingerprint;
}

/** What a tombstone buries. */
export type Buried =
  | { readonly t: 'object'; readonly name: string }
  | { readonly t: 'upload'; readonly uploadId: Uint8Array }
  | { readonly t: 'part'; readonly uploadId: Uint8Array; readonly number: number };

export interface TombstoneMeta {
  readonly v: 1;
  readonly t: 'tombstone';
  readonly of: Buried;
  readonly mtimeMs: number;
  readonly operation: Fingerprint;
}

export type VersionMeta = ObjectMeta | UploadMeta | PartMeta | TombstoneMeta;

/** Keeps a leading byte order mark, which text in CBOR may lose: it is part of a name. */
const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function isName(value: unknown): boolean {
  if (!(value instanceof Uint8Array) || value.length === 0 || value.length > NAME_BYTES_MAX) return false;
  try {
    strictUtf8.decode(value);
    return true;
  } catch {
    return false;
  }
}

/** Names are kept as the bytes they sort by. */
const objectName = z
  .custom<Uint8Array>(isName, { error: `expected a name of at most ${NAME_BYTES_MAX} bytes of UTF-8` })
  .transform((bytes) => strictUtf8.decode(bytes));
/** Kept as bytes: half of what the characters of a byte string would take as text. */
const byteString = bytesUpTo(HEADER_BYTES_MAX).transform((bytes) => mapKey(bytes));
const header = byteString.nullable();
const shortText = z.string().max(128);
/** What a date can hold: beyond it a listing could not show the time. */
const unixMs = uintUpTo(TIME_MS_MAX);
const operation = hash32.nullable();
const partNumber = z.int().min(1).max(PART_COUNT_MAX);

const headers = z.strictObject({
  contentType: header,
  cacheControl: header,
  contentDisposition: header,
  contentEncoding: header,
  contentLanguage: header,
  expires: header,
  user: z.array(z.tuple([byteString, byteString])).max(USER_FIELDS_MAX),
});
const checksum = z.strictObject({ algorithm: shortText, type: shortText, value: shortText });

const objectMeta = z.strictObject({
  v: z.literal(1),
  t: z.literal('object'),
  name: objectName,
  etag: shortText,
  mtimeMs: unixMs,
  headers,
  checksum: checksum.nullable(),
  parts: z.int().min(0).max(PART_COUNT_MAX),
  operation,
});
const uploadMeta = z.strictObject({
  v: z.literal(1),
  t: z.literal('upload'),
  uploadId: id16,
  name: objectName,
  mtimeMs: unixMs,
  headers,
  checksum: z.strictObject({ algorithm: shortText, type: shortText }).nullable(),
  uploadKey: bytesOf(32),
  operation,
});
const partMeta = z.strictObject({
  v: z.literal(1),
  t: z.literal('part'),
  uploadId: id16,
  number: partNumber,
  etag: shortText,
  mtimeMs: unixMs,
  checksum: checksum.nullable(),
  salt: id16,
  operation,
});
const tombstoneMeta = z.strictObject({
  v: z.literal(1),
  t: z.literal('tombstone'),
  of: z.discriminatedUnion('t', [
    z.strictObject({ t: z.literal('object'), name: objectName }),
    z.strictObject({ t: z.literal('upload'), uploadId: id16 }),
    z.strictObject({ t: z.literal('part'), uploadId: id16, number: partNumber }),
  ]),
  mtimeMs: unixMs,
  operation,
});

const versionMeta: z.ZodType<VersionMeta> = z.discriminatedUnion('t', [
  objectMeta,
  uploadMeta,
  partMeta,
  tombstoneMeta,
]);

export function encodeMeta(meta: VersionMeta): Uint8Array {
  switch (meta.t) {
    case 'object':
    case 'upload':
      return encode({ ...meta, name: utf8(meta.name), headers: encodedHeaders(meta.headers) });
    case 'tombstone':
      return encode(
        meta.of.t === 'object' ? { ...meta, of: { ...meta.of, name: utf8(meta.of.name) } } : meta,
      );
    case 'part':
      return encode(meta);
  }
}

function encodedHeaders({ user, ...named }: StoredHeaders): Record<string, unknown> {
  const bytes = Object.entries(named).map(
    ([name, value]) => [name, value === null ? null : fromMapKey(value)] as const,
  );
  return {
    ...Object.fromEntries(bytes),
    user: user.map(([name, value]) => [fromMapKey(name), fromMapKey(value)]),
  };
}

/** Parses opened metadata. Never throws. */
export function decodeMeta(bytes: Uint8Array): Decoded<VersionMeta> {
  return decode(versionMeta, bytes, ENC_META_BYTES_MAX);
}
