/** Between what S3 says of an object and what is sealed beside it. */
import { CHECKSUMS } from '../s3/checksums/checksums.ts';
import type { Checksum, ChecksumAlgorithm } from '../s3/checksums/checksums.ts';
import type { ObjectAttributes, ObjectInfo, ObjectMetadata } from '../s3/port/objects.ts';
import type { Manifest, SignedManifest } from '../../protocol/manifest.ts';
import { versionIdOf } from '../version-id.ts';
import type { ObjectMeta, StoredAttributes, StoredChecksum, StoredHeaders } from '../../keyring/metadata.ts';

export function toStoredHeaders(metadata: ObjectMetadata): StoredHeaders {
  return {
    contentType: metadata.contentType ?? null,
    cacheControl: metadata.cacheControl ?? null,
    contentDisposition: metadata.contentDisposition ?? null,
    contentEncoding: metadata.contentEncoding ?? null,
    contentLanguage: metadata.contentLanguage ?? null,
    expires: metadata.expires ?? null,
    websiteRedirect: metadata.websiteRedirect ?? null,
    sse: metadata.sse ?? null,
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
    websiteRedirect: headers.websiteRedirect ?? undefined,
    sse: headers.sse === 'AES256' ? 'AES256' : undefined,
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

export function toStoredAttributes({ tags, accessControl, retention, legalHold }: ObjectAttributes): StoredAttributes {
  return { tags, accessControl: accessControl ?? null, retention: retention ?? null, legalHold };
}

export function toAttributes({ tags, accessControl, retention, legalHold }: StoredAttributes): ObjectAttributes {
  return { tags, accessControl: accessControl ?? undefined, retention: retention ?? undefined, legalHold };
}

/** What the front is told of a version. */
export function toInfo(
  { signed: { manifest }, meta }: { readonly signed: SignedManifest; readonly meta: ObjectMeta },
  attributes: StoredAttributes,
  bucketOwner: string,
): ObjectInfo {
  return {
    size: sizeOf(manifest, meta),
    etag: meta.etag,
    lastModifiedMs: meta.mtimeMs,
    owner: meta.owner ?? bucketOwner,
    metadata: toMetadata(meta.headers),
    checksum: toChecksum(meta.checksum),
    attributes: toAttributes(attributes),
    versionId: versionIdOf(meta.kept, manifest.stamp),
    partCount: meta.parts,
    customerKeyMd5: meta.customer?.md5,
  };
}

/** Bytes of the object: what is remembered of its parts may follow them. */
export function sizeOf({ size }: Pick<Manifest, 'size'>, { partListBytes }: ObjectMeta): number {
  return Math.max(0, size - partListBytes);
}
