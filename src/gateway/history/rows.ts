/**
 * The rows of the history: every certified version that the nodes' logs name, with where it stands in each log
 * and what its manifest says. A view that can be thrown away and read again from the logs.
 *
 * | key | value |
 * |---|---|
 * | `h` bucketId keyId stamp manifestHash | a certified version |
 * | `v` bucketId gen name keyId | nothing; the names of objects in their order |
 * | `p` slot index | key of the row of the version that stands there |
 * | `b` bucketId | name and generation of a bucket |
 * | `t` slot | how far that slot's log was followed |
 * | `d` | nothing; logs are being followed, and what was taken in is not verified yet |
 */
import { z } from 'zod';
import { concat, utf8 } from '../../base/bytes.ts';
import { OperationError } from '../../base/errors.ts';
import type { Kept } from '../../keyring/metadata.ts';
import { decodeOwn, encode, hash32, uint, uintUpTo } from '../../protocol/encoding.ts';
import { MANIFEST_KINDS } from '../../protocol/manifest.ts';
import type { ManifestKind } from '../../protocol/manifest.ts';
import { SLOTS_MAX } from '../../protocol/quorum.ts';
import { stampSchema } from '../../protocol/stamp.ts';
import type { Stamp } from '../../protocol/stamp.ts';
import { namedKey, sortable } from '../index/rows.ts';

export const HISTORY_FORMAT_KEY: Uint8Array = utf8('f');
export const HISTORY_FORMAT: Uint8Array = Uint8Array.of(1);
export const DIRTY_KEY: Uint8Array = utf8('d');

/** What a version is; `sealed`: it does not open with the keys at hand, because another's, or of an older generation. */
export const FACT_KINDS = ['object', 'marker', 'tombstone', 'remove', 'upload', 'part', 'attributes', 'documents', 'record', 'sealed'] as const;
export type FactKind = (typeof FACT_KINDS)[number];

/** What the manifest of a version says. */
export interface Fact {
  readonly t: FactKind;
  /** Of the object, or of the bucket for its record; null: none. */
  readonly name: string | null;
  readonly size: number;
  readonly etag: string;
  /** Unix milliseconds by the clock of the gateway that wrote it; 0 where nothing says. */
  readonly mtimeMs: number;
  readonly kept: Kept | null;
  readonly owner: string | null;
  readonly gatewayId: Uint8Array;
  /** Versions that it ended: all below it, or those of these stamps. */
  readonly removes: 'ALL' | readonly Stamp[];
}

/** Where a version stands in a node's log. */
export interface Place {
  readonly slot: number;
  readonly index: number;
}

export interface Entry {
  readonly bucketId: Uint8Array;
  readonly keyId: Uint8Array;
  readonly stamp: Stamp;
  readonly manifestHash: Uint8Array;
  readonly kind: ManifestKind;
  readonly places: readonly Place[];
  /** Null: no node has given its certificate. */
  readonly fact: Fact | null;
}

export interface BucketName {
  readonly name: string;
  readonly gen: number;
}

const factSchema: z.ZodType<Fact> = z.strictObject({
  t: z.enum(FACT_KINDS),
  name: z.string().nullable(),
  size: uint,
  etag: z.string(),
  mtimeMs: uint,
  kept: z.enum(['NEVER', 'ENABLED', 'SUSPENDED']).nullable(),
  owner: z.string().nullable(),
  gatewayId: hash32,
  removes: z.union([z.literal('ALL'), z.array(stampSchema)]),
});

const entrySchema: z.ZodType<Entry> = z.strictObject({
  bucketId: hash32,
  keyId: hash32,
  stamp: stampSchema,
  manifestHash: hash32,
  kind: z.enum(MANIFEST_KINDS),
  places: z.array(z.strictObject({ slot: uintUpTo(255), index: uint })).max(SLOTS_MAX),
  fact: factSchema.nullable(),
});

const bucketSchema: z.ZodType<BucketName> = z.strictObject({ name: z.string(), gen: uint });

function rowOf<T>(schema: z.ZodType<T>, bytes: Uint8Array): T {
  const decoded = decodeOwn(schema, bytes);
  if (decoded.ok) return decoded.value;
  throw new OperationError('CORRUPT', `A row of the history cannot be understood: ${decoded.reason}.`, {
    remedy: 'Delete the folder `history` of the gateway: it is read again from the nodes.',
  });
}

export const encodeHistoryRow = (row: Entry | BucketName): Uint8Array => encode(row);
export const entryOf = (bytes: Uint8Array): Entry => rowOf(entrySchema, bytes);
export const bucketOf = (bytes: Uint8Array): BucketName => rowOf(bucketSchema, bytes);

const ENTRY = utf8('h');
const PLACE = utf8('p');
const BUCKET = utf8('b');
const TAIL = utf8('t');

export function entriesPrefix(bucketId: Uint8Array, keyId?: Uint8Array): Uint8Array {
  return keyId === undefined ? concat(ENTRY, bucketId) : concat(ENTRY, bucketId, keyId);
}

export const ALL_ENTRIES: Uint8Array = ENTRY;

export function entryKey({ bucketId, keyId, stamp, manifestHash }: Pick<Entry, 'bucketId' | 'keyId' | 'stamp' | 'manifestHash'>): Uint8Array {
  return concat(entriesPrefix(bucketId, keyId), sortable(stamp.gen), sortable(stamp.counter), stamp.writerId, manifestHash);
}

export function nameKey(bucketId: Uint8Array, gen: number, name: Uint8Array, keyId?: Uint8Array): Uint8Array {
  return namedKey('version', bucketId, gen, name, keyId);
}

export const placeKey = (slot: number, index: number): Uint8Array => concat(PLACE, sortable(slot), sortable(index));
export const placesPrefix = (slot: number): Uint8Array => concat(PLACE, sortable(slot));
export const bucketKey = (bucketId: Uint8Array): Uint8Array => concat(BUCKET, bucketId);
export const tailKey = (slot: number): Uint8Array => concat(TAIL, sortable(slot));
export const indexOfPlace = (key: Uint8Array): number => Number(new DataView(key.buffer, key.byteOffset, key.byteLength).getBigUint64(9));
