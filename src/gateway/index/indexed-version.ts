/**
 * One certified version on its way into the index: the manifest, its opened metadata, and what the index
 * makes of both. A version whose seal does not open, or whose name does not belong to its keyId, was not
 * written by a gateway of this owner: it is indexed as the key's highest version, and shown nowhere.
 */
import { EMPTY, equal, utf8 } from '../../base/bytes.ts';
import { SYSTEM_BUCKET_ID } from '../../protocol/bucket-record.ts';
import type { SignedManifest } from '../../protocol/manifest.ts';
import type { BucketKeys } from '../../keyring/bucket-keys.ts';
import type { ObjectMeta, VersionMeta } from '../../keyring/metadata.ts';
import { attributesKeyId } from '../../protocol/attributes.ts';
import { versionIdOf } from '../version-id.ts';
import { attributesKey, encodeRow, multipartKey, namedKey, newestFirst, objectKey, rowKey, stampKey } from './rows.ts';
import type { ObjectRow, OperationRow, VersionRow } from './rows.ts';

export interface IndexedVersion {
  readonly signed: SignedManifest;
  readonly certBytes: Uint8Array;
  /** Null: a bucket record, or a version that does not open. */
  readonly meta: VersionMeta | null;
  /** The result to remember for a repetition; null when the request cannot be repeated. */
  readonly operation: OperationRow | null;
  /** The time of taking it in. */
  readonly nowMs: number;
}

/**
 * What a manifest says under its bucket's keys. `keys` null: a bucket record, or keys that this owner does
 * not have.
 */
export function indexedVersion(
  signed: SignedManifest,
  certBytes: Uint8Array,
  keys: BucketKeys | null,
  nowMs: number,
): IndexedVersion {
  const meta = keys === null ? null : (keys.openVersion(signed.manifest)?.meta ?? null);
  const genuine =
    keys !== null && meta !== null && equal(keyIdOf(keys, meta), signed.manifest.keyId) ? meta : null;
  return { signed, certBytes, meta: genuine, operation: operationOf(signed, genuine), nowMs };
}

function keyIdOf(keys: BucketKeys, meta: VersionMeta): Uint8Array {
  const named = 'of' in meta ? meta.of : meta;
  switch (named.t) {
    case 'object':
      return keys.objectKeyId(named.name);
    case 'upload':
      return keys.uploadKeyId(named.uploadId);
    case 'part':
      return keys.partKeyId(named.uploadId, named.number);
    case 'attributes':
      return attributesKeyId(named.keyId, named.stamp);
    case 'documents':
      return keys.documentsKeyId();
  }
}

/** In place of its version id, which the request names that took a delete marker away. */
const REMOVED_MARKER = 'marker';

function operationOf(signed: SignedManifest, meta: VersionMeta | null): OperationRow | null {
  if (meta === null || meta.operation === null) return null;
  const { keyId, stamp } = signed.manifest;
  const common = { fingerprint: meta.operation, atMs: meta.mtimeMs, keyId };
  const nothing = { etag: '', checksum: null, uploadId: EMPTY, versionId: '' };
  switch (meta.t) {
    case 'object': {
      const { etag, checksum, kept } = meta;
      return { ...common, ...nothing, etag, checksum, versionId: versionIdOf(kept, stamp) ?? '' };
    }
    case 'part':
      return { ...common, ...nothing, etag: meta.etag, checksum: meta.checksum };
    case 'upload':
      return { ...common, ...nothing, uploadId: meta.uploadId };
    case 'tombstone':
      return { ...common, ...nothing, versionId: versionIdOf(meta.kept, stamp) ?? '' };
    case 'remove':
      return { ...common, ...nothing, versionId: meta.isMarker ? REMOVED_MARKER : '' };
    case 'attributes':
    case 'documents':
      return { ...common, ...nothing };
  }
}

export interface Placed {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/** The rows that show the version while it is the newest; none for a tombstone and for what does not open. */
export function placementsOf({ signed, meta }: IndexedVersion): readonly Placed[] {
  const { manifest } = signed;
  const { bucketId, keyId, stamp, size, clear, encMeta } = manifest;
  if (equal(bucketId, SYSTEM_BUCKET_ID)) {
    return [{ key: rowKey('bucket', keyId), value: encodeRow({ stamp, clear, encMeta }) }];
  }
  switch (meta?.t) {
    case 'object':
      return [objectPlacement(bucketId, stamp.gen, utf8(meta.name), objectRowOf(signed, meta))];
    case 'part': {
      const { etag, mtimeMs, checksum, salt } = meta;
      const { contentId, n, k, cellBytes } = manifest;
      const key = multipartKey(bucketId, stamp.gen, meta.uploadId, meta.number);
      return [{ key, value: encodeRow({ keyId, size, etag, mtimeMs, checksum, contentId, n, k, cellBytes, salt }) }];
    }
    case 'upload': {
      const { mtimeMs, owner, checksum, uploadId, name } = meta;
      const register = { keyId, size, etag: '', mtimeMs, checksum: null, owner };
      return [
        { key: multipartKey(bucketId, stamp.gen, uploadId, 0), value: encodeRow(register) },
        {
          key: namedKey('upload', bucketId, stamp.gen, utf8(name), uploadId),
          value: encodeRow({ mtimeMs, owner, checksum }),
        },
      ];
    }
    case 'attributes':
      return [{ key: attributesKey(stampKey(meta.keyId, meta.stamp)), value: bucketId }];
    default:
      return [];
  }
}

/** The row with which LIST shows an object. */
export function objectPlacement(bucketId: Uint8Array, gen: number, name: Uint8Array, row: ObjectRow): Placed {
  const { keyId, size, etag, mtimeMs, checksum, owner } = row;
  return { key: objectKey(bucketId, gen, name), value: encodeRow({ keyId, size, etag, mtimeMs, checksum, owner }) };
}

function objectRowOf({ manifest }: SignedManifest, meta: ObjectMeta): ObjectRow {
  const { etag, mtimeMs, checksum, owner, partListBytes } = meta;
  return { keyId: manifest.keyId, size: Math.max(0, manifest.size - partListBytes), etag, mtimeMs, checksum, owner };
}

/** The row among the versions of its object; null for what is none. */
export function versionPlacement({ signed, meta }: IndexedVersion): { readonly key: Uint8Array; readonly row: VersionRow } | null {
  const { bucketId, keyId, stamp } = signed.manifest;
  const place = (name: string): Uint8Array => namedKey('version', bucketId, stamp.gen, utf8(name), newestFirst(stamp));
  if (meta?.t === 'object') {
    const row = { ...objectRowOf(signed, meta), stamp, manifestHash: signed.hash, kept: meta.kept, isMarker: false };
    return { key: place(meta.name), row };
  }
  if (meta?.t !== 'tombstone' || meta.of.t !== 'object' || meta.kept === 'NEVER') return null;
  const { mtimeMs, owner, kept } = meta;
  const nothing = { keyId, size: 0, etag: '', mtimeMs, checksum: null, owner };
  return { key: place(meta.of.name), row: { ...nothing, stamp, manifestHash: signed.hash, kept, isMarker: true } };
}
