/**
 * What `encMeta` holds once opened: the name of a version and all that S3 remembers about it. Canonical
 * DAG-CBOR of one of a few shapes. Uploads, parts, attributes and documents live in a hidden namespace of their
 * bucket (13.3); their shape says so, so they never appear among objects. What release 1 sealed is read as what
 * it meant: nobody's, of a bucket that keeps no versions. Whoever can write a bucket could have sealed these
 * bytes, so they are parsed strictly and bounded like anything from outside.
 */
import { z } from 'zod';
import { fromMapKey, mapKey, utf8 } from '../base/bytes.ts';
import { ENC_META_BYTES_MAX, PART_COUNT_MAX, TIME_MS_MAX } from '../base/limits.ts';
import { bytesOf, bytesUpTo, decode, encode, hash32, id16, uint, uintUpTo } from '../protocol/encoding.ts';
import type { Decoded } from '../protocol/encoding.ts';
import { stampSchema } from '../protocol/stamp.ts';
import type { Stamp } from '../protocol/stamp.ts';

export const NAME_BYTES_MAX = 1024;
const HEADER_BYTES_MAX = 4096;
const USER_FIELDS_MAX = 1024;
const TAGS_MAX = 50;
const TAG_CHARACTERS_MAX = 512;
/** Longer ones stand behind the content. */
export const PART_LIST_INLINE_BYTES_MAX = 1024;
/** The number under which the list of a finished object's parts is stored while it is made: above all real ones. */
export const PART_LIST_NUMBER: number = PART_COUNT_MAX + 1;

/** Headers that come back with an object: byte strings, one character a byte. */
export interface StoredHeaders {
  readonly contentType: string | null;
  readonly cacheControl: string | null;
  readonly contentDisposition: string | null;
  readonly contentEncoding: string | null;
  readonly contentLanguage: string | null;
  readonly expires: string | null;
  readonly websiteRedirect: string | null;
  /** How the client asked for it to be sealed. */
  readonly sse: string | null;
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

/** Did the bucket keep versions when this one was written? One that is not ENABLED's is a null version. */
export type Kept = 'NEVER' | 'ENABLED' | 'SUSPENDED';

/** What can change about a version without a new one. */
export interface StoredAttributes {
  readonly tags: readonly (readonly [string, string])[];
  readonly accessControl: string | null;
  readonly retention: { readonly mode: 'GOVERNANCE' | 'COMPLIANCE'; readonly untilMs: number } | null;
  readonly legalHold: boolean;
}

export const NO_ATTRIBUTES: StoredAttributes = { tags: [], accessControl: null, retention: null, legalHold: false };

/** By which a customer's key is recognised that nobody keeps (SSE-C). */
export interface CustomerSeal {
  /** In base64. */
  readonly md5: string;
  /** A PRF of the key under the data key. */
  readonly check: Uint8Array;
}

export interface ObjectMeta {
  readonly v: 2;
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
  /** Account that wrote it; null: the owner of the bucket. */
  readonly owner: string | null;
  readonly kept: Kept;
  /** As they came with the version; the register of its attributes overrides them. */
  readonly attributes: StoredAttributes;
  readonly customer: CustomerSeal | null;
  /** What is remembered of the parts (part-list.ts), when it is short. */
  readonly partList: Uint8Array | null;
  /** Otherwise it follows the content as so many bytes, which are no part of the object. */
  readonly partListBytes: number;
}

export interface UploadMeta {
  readonly v: 2;
  readonly t: 'upload';
  readonly uploadId: Uint8Array;
  readonly name: string;
  readonly mtimeMs: number;
  readonly headers: StoredHeaders;
  readonly checksum: Pick<StoredChecksum, 'algorithm' | 'type'> | null;
  /** Data keys of the parts derive from it; becomes the data key of the completed object. */
  readonly uploadKey: Uint8Array;
  readonly operation: Fingerprint;
  readonly owner: string | null;
  readonly attributes: StoredAttributes;
  readonly customer: CustomerSeal | null;
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
  | { readonly t: 'part'; readonly uploadId: Uint8Array; readonly number: number }
  | { readonly t: 'attributes'; readonly keyId: Uint8Array; readonly stamp: Stamp };

export interface TombstoneMeta {
  readonly v: 2;
  readonly t: 'tombstone';
  readonly of: Buried;
  readonly mtimeMs: number;
  readonly operation: Fingerprint;
  readonly owner: string | null;
  /** Unless NEVER, it is a delete marker: a version among the others. */
  readonly kept: Kept;
}

/** Names a version of a key. */
export interface VersionPointer {
  readonly stamp: Stamp;
  readonly hash: Uint8Array;
}

/** Of a manifest that only takes versions away. */
export interface RemoveMeta {
  readonly v: 2;
  readonly t: 'remove';
  readonly of: { readonly t: 'object'; readonly name: string };
  /** The newest version after it, delete markers too; null: none. */
  readonly latest: VersionPointer | null;
  /** Was it a delete marker that went? A request that comes again is told so, too. */
  readonly isMarker: boolean;
  readonly mtimeMs: number;
  readonly operation: Fingerprint;
}

/** Of the register of one version's attributes. */
export interface AttributesMeta {
  readonly v: 1;
  readonly t: 'attributes';
  /** The version that they are about. */
  readonly keyId: Uint8Array;
  readonly stamp: Stamp;
  readonly attributes: StoredAttributes;
  readonly mtimeMs: number;
  readonly operation: Fingerprint;
}

/** Of the register of a bucket's documents, which are its content. */
export interface DocumentsMeta {
  readonly v: 1;
  readonly t: 'documents';
  readonly mtimeMs: number;
  readonly operation: Fingerprint;
}

/** Sealed under the wrapping key: without content there is no data key. */
export type KeylessMeta = TombstoneMeta | RemoveMeta;
export type ContentMeta = ObjectMeta | UploadMeta | PartMeta | AttributesMeta | DocumentsMeta;
export type VersionMeta = ContentMeta | KeylessMeta;

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
const partNumber = z.int().min(1).max(PART_LIST_NUMBER);

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

const headersNow = z.strictObject({ ...headers.shape, websiteRedirect: header, sse: z.string().max(16).nullable() });
const headersThen = headers.transform((old): StoredHeaders => ({ ...old, websiteRedirect: null, sse: null }));
const account = z.string().max(128).nullable();
const kept = z.enum(['NEVER', 'ENABLED', 'SUSPENDED']);
const attributes = z.strictObject({
  tags: z.array(z.tuple([z.string().max(TAG_CHARACTERS_MAX), z.string().max(TAG_CHARACTERS_MAX)])).max(TAGS_MAX),
  accessControl: z.string().max(ENC_META_BYTES_MAX).nullable(),
  retention: z.strictObject({ mode: z.enum(['GOVERNANCE', 'COMPLIANCE']), untilMs: uint }).nullable(),
  legalHold: z.boolean(),
});
const customer = z.strictObject({ md5: shortText, check: hash32 }).nullable();

const objectThen = {
  t: z.literal('object'),
  name: objectName,
  etag: shortText,
  mtimeMs: unixMs,
  checksum: checksum.nullable(),
  parts: z.int().min(0).max(PART_COUNT_MAX),
  operation,
};
const objectMeta = z.union([
  z
    .strictObject({ ...objectThen, v: z.literal(1), headers: headersThen })
    .transform((old): ObjectMeta => ({
      ...old,
      v: 2,
      owner: null,
      kept: 'NEVER',
      attributes: NO_ATTRIBUTES,
      customer: null,
      partList: null,
      partListBytes: 0,
    })),
  z.strictObject({
    ...objectThen,
    v: z.literal(2),
    headers: headersNow,
    owner: account,
    kept,
    attributes,
    customer,
    partList: bytesUpTo(PART_LIST_INLINE_BYTES_MAX).nullable(),
    partListBytes: uint,
  }),
]);
const uploadThen = {
  t: z.literal('upload'),
  uploadId: id16,
  name: objectName,
  mtimeMs: unixMs,
  checksum: z.strictObject({ algorithm: shortText, type: shortText }).nullable(),
  uploadKey: bytesOf(32),
  operation,
};
const uploadMeta = z.union([
  z
    .strictObject({ ...uploadThen, v: z.literal(1), headers: headersThen })
    .transform((old): UploadMeta => ({ ...old, v: 2, owner: null, attributes: NO_ATTRIBUTES, customer: null })),
  z.strictObject({ ...uploadThen, v: z.literal(2), headers: headersNow, owner: account, attributes, customer }),
]);
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
const buriedObject = z.strictObject({ t: z.literal('object'), name: objectName });
const tombstoneThen = {
  t: z.literal('tombstone'),
  of: z.discriminatedUnion('t', [
    buriedObject,
    z.strictObject({ t: z.literal('upload'), uploadId: id16 }),
    z.strictObject({ t: z.literal('part'), uploadId: id16, number: partNumber }),
    z.strictObject({ t: z.literal('attributes'), keyId: hash32, stamp: stampSchema }),
  ]),
  mtimeMs: unixMs,
  operation,
};
const tombstoneMeta = z.union([
  z
    .strictObject({ ...tombstoneThen, v: z.literal(1) })
    .transform((old): TombstoneMeta => ({ ...old, v: 2, owner: null, kept: 'NEVER' })),
  z.strictObject({ ...tombstoneThen, v: z.literal(2), owner: account, kept }),
]);
const removeThen = {
  t: z.literal('remove'),
  of: buriedObject,
  latest: z.strictObject({ stamp: stampSchema, hash: hash32 }).nullable(),
  mtimeMs: unixMs,
  operation,
};
const removeMeta = z.union([
  z.strictObject({ ...removeThen, v: z.literal(1) }).transform((old): RemoveMeta => ({ ...old, v: 2, isMarker: false })),
  z.strictObject({ ...removeThen, v: z.literal(2), isMarker: z.boolean() }),
]);
const attributesMeta = z.strictObject({
  v: z.literal(1),
  t: z.literal('attributes'),
  keyId: hash32,
  stamp: stampSchema,
  attributes,
  mtimeMs: unixMs,
  operation,
});
const documentsMeta = z.strictObject({ v: z.literal(1), t: z.literal('documents'), mtimeMs: unixMs, operation });

const versionMeta: z.ZodType<VersionMeta> = z.union([
  objectMeta,
  uploadMeta,
  partMeta,
  tombstoneMeta,
  removeMeta,
  attributesMeta,
  documentsMeta,
]);

export function encodeMeta(meta: VersionMeta): Uint8Array {
  switch (meta.t) {
    case 'object':
    case 'upload':
      return encode({ ...meta, name: utf8(meta.name), headers: encodedHeaders(meta.headers) });
    case 'tombstone':
    case 'remove':
      return encode(
        meta.of.t === 'object' ? { ...meta, of: { ...meta.of, name: utf8(meta.of.name) } } : meta,
      );
    case 'part':
    case 'attributes':
    case 'documents':
      return encode(meta);
  }
}

function encodedHeaders({ user, sse, ...named }: StoredHeaders): Record<string, unknown> {
  const bytes = Object.entries(named).map(
    ([name, value]) => [name, value === null ? null : fromMapKey(value)] as const,
  );
  return {
    ...Object.fromEntries(bytes),
    sse,
    user: user.map(([name, value]) => [fromMapKey(name), fromMapKey(value)]),
  };
}

/** Parses opened metadata. Never throws. */
export function decodeMeta(bytes: Uint8Array): Decoded<VersionMeta> {
  return decode(versionMeta, bytes, ENC_META_BYTES_MAX);
}
