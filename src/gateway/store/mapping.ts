/** Between what S3 says of an object and what is sealed beside it. */
import { CHECKSUMS } from '../s3/checksums.ts';
import type { Checksum, ChecksumAlgorithm } from '../s3/checksums.ts';
import type { ObjectInfo, ObjectMetadata } from '../s3/port/objects.ts';
import type { ObjectMeta, StoredChecksum, StoredHeaders } from '../../keyring/metadata.ts';

export function toStoredHeaders(metadata: ObjectMetadata): StoredHeaders {
  return {
    contentType: metadata.contentType ?? null,
    cacheControl: metadata.cacheControl ?? null,
    contentDisposition: metadata.contentDisposition ?? null,
    contentEncoding: metadata.contentEncoding ?? null,
    contentLanguage: metadata.contentLanguage ?? null,
    expires: metadata.expires ?? null,
    user: metadata.user,
  };
}

export function toMetadata(headers: StoredHeaders): ObjectMetadata {
  return {
    contentType: headers.contentType ?? undefined,
    cacheControl: headers.cacheControl ?? undefined,
    contentDisposition: headers.contentDisposition ?? undefined,
    contentEncoding: headers.contentEncoding ?? undefined,
    contentLanguage: headers.contentLanguage ?? undefined,
    expires: headers.expires ?? undefined,
    user: headers.user,
  };
}

export function toStoredChecksum(checksum: Checksum | undefined): StoredChecksum | null {
  return checksum === undefined
    ? null
    : { algorithm: checksum.algorithm, type: checksum.type, value: checksum.value };
}

/** Undefined also for an algorithm that this version does not know: a checksum is never shown half. */
export function toChecksum(stored: StoredChecksum | null): Checksum | undefined {
  const known = stored === null ? undefined : toChecksumKind(stored);
  return stored === null || known === undefined ? undefined : { ...known, value: stored.value };
}

export function toChecksumKind(
  stored: Pick<StoredChecksum, 'algorithm' | 'type'> | null,
): Pick<Checksum, 'algorithm' | 'type'> | undefined {
  if (stored === null || !(stored.algorithm in CHECKSUMS)) return undefined;
  if (stored.type !== 'FULL_OBJECT' && stored.type !== 'COMPOSITE') return undefined;
  return { algorithm: stored.algorithm as ChecksumAlgorithm, type: stored.type };
}

export function toInfo(meta: ObjectMeta, size: number): ObjectInfo {
  return {
    size,
    etag: meta.etag,
    lastModifiedMs: meta.mtimeMs,
    metadata: toMetadata(meta.headers),
    checksum: toChecksum(meta.checksum),
  };
}
