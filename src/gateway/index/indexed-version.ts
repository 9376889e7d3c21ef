/**
 * One certified version on its way into the index: the manifest, its opened metadata, and what the index
 * makes of both. A version whose seal does not open, or whose name does not belong to its keyId, was not
 * written by a gateway of this owner: it is indexed as the key's highest version, and shown nowhere.
 */
import { equal, utf8 } from '../../base/bytes.ts';
import { SYSTEM_BUCKET_ID } from '../../protocol/bucket-record.ts';
import type { SignedManifest } from '../../protocol/manifest.ts';
import type { BucketKeys } from '../../keyring/bucket-keys.ts';
import type { VersionMeta } from '../../keyring/metadata.ts';
import { multipartKey, objectKey, rowKey } from './rows.ts';
import type { BucketRow, ObjectRow, OperationRow, PartRow } from './rows.ts';

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
  const named = meta.t === 'tombstone' ? meta.of : meta;
  switch (named.t) {
    case 'object':
      return keys.objectKeyId(named.name);
    case 'upload':
      return keys.uploadKeyId(named.uploadId);
    case 'part':
      return keys.partKeyId(named.uploadId, named.number);
  }
}

function operationOf(signed: SignedManifest, meta: VersionMeta | null): OperationRow | null {
  if (meta === null || meta.operation === null) return null;
  const { keyId } = signed.manifest;
  const common = { fingerprint: meta.operation, atMs: meta.mtimeMs, keyId };
  const nothing = { etag: '', checksum: null, uploadId: new Uint8Array(0) };
  switch (meta.t) {
    case 'object':
    case 'part':
      return { ...common, ...nothing, etag: meta.etag, checksum: meta.checksum };
    case 'upload':
      return { ...common, ...nothing, uploadId: meta.uploadId };
    case 'tombstone':
      return { ...common, ...nothing };
  }
}

/** The row that shows the version, and its key; null for a tombstone and for what does not open. */
export function placementOf(
  version: IndexedVersion,
): { readonly key: Uint8Array; readonly row: ObjectRow | PartRow | BucketRow } | null {
  const { signed, meta } = version;
  const { manifest } = signed;
  const { bucketId, keyId, stamp, size } = manifest;
  if (equal(bucketId, SYSTEM_BUCKET_ID)) {
    return { key: rowKey('bucket', keyId), row: { stamp, clear: manifest.clear, encMeta: manifest.encMeta } };
  }
  switch (meta?.t) {
    case 'object': {
      const { etag, mtimeMs, checksum } = meta;
      return {
        key: objectKey(bucketId, stamp.gen, utf8(meta.name)),
        row: { keyId, size, etag, mtimeMs, checksum },
      };
    }
    case 'part': {
      const { etag, mtimeMs, checksum, salt } = meta;
      const { contentId, n, k, cellBytes } = manifest;
      const key = multipartKey(bucketId, stamp.gen, meta.uploadId, meta.number);
      return { key, row: { keyId, size, etag, mtimeMs, checksum, contentId, n, k, cellBytes, salt } };
    }
    case 'upload': {
      const { mtimeMs } = meta;
      const key = multipartKey(bucketId, stamp.gen, meta.uploadId, 0);
      return { key, row: { keyId, size, etag: '', mtimeMs, checksum: null } };
    }
    case 'tombstone':
    case undefined:
      return null;
  }
}
