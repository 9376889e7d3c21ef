/**
 * CopyObject: the front finds the source, holds it against the request's conditions and
 * hands its ETag on, so that the store copies exactly what was looked at or refuses. No byte passes here.
 */
import type { HeaderField } from '../../../base/http.ts';
import { accessOfNewObject } from '../access/new-object.ts';
import { attributesOfNew } from './attributes.ts';
import { isoTime, objectOf, operationOf, quoted, refusal } from '../call.ts';
import type { Call, Feature } from '../call.ts';
import { checksumAlgorithm, checksumRow } from '../checksums/checksums.ts';
import type { Checksum } from '../checksums/checksums.ts';
import { findCopySource } from './copy-source.ts';
import type { CopySource } from './copy-source.ts';
import { headersOfNew } from './effects.ts';
import { S3Error } from '../http/errors.ts';
import { metadataOf } from './metadata.ts';
import type { WantedChecksum } from '../port/content.ts';
import type { ObjectMetadata } from '../port/objects.ts';
import { customerKeyHeaders, sealingOf } from './sealing.ts';
import type { Sealing } from './sealing.ts';
import { newVersionHeaders } from '../versions/version-id.ts';
import { writeConditionOf } from './write-conditions.ts';
import { element, optional, xmlResponse } from '../http/xml.ts';
import type { Element } from '../http/xml.ts';

function wantedChecksum(call: Call): WantedChecksum {
  const named = call.headers.get('x-amz-checksum-algorithm');
  if (named === undefined) return undefined;
  const algorithm = checksumAlgorithm(named);
  if (algorithm === undefined) throw new S3Error('InvalidRequest', 'The checksum algorithm is not one that S3 knows.');
  return algorithm;
}

/** COPY unless the request says REPLACE. Throws S3Error. */
function replaces(call: Call, header: string): boolean {
  const directive = call.headers.get(header) ?? 'COPY';
  if (directive !== 'COPY' && directive !== 'REPLACE')
    throw new S3Error('InvalidArgument', `Unknown directive in ${header}.`);
  return directive === 'REPLACE';
}

/** What the answer says of the copy. */
export function copyResultElements(result: { readonly lastModifiedMs: number; readonly etag: string; readonly checksum: Checksum | undefined }): Element[] {
  const { checksum } = result;
  return [
    element('LastModified', isoTime(result.lastModifiedMs)),
    element('ETag', quoted(result.etag)),
    ...(checksum === undefined ? [] : [element(checksumRow(checksum.algorithm).element, checksum.value)]),
  ];
}

/** A version's id, where there is one. */
export function versionField(name: string, versionId: string | undefined): HeaderField[] {
  return versionId === undefined ? [] : [[name, versionId]];
}

/** Metadata of the copy; undefined: that of the source as it is. */
function metadataFor(call: Call, source: CopySource, sealing: Sealing): ObjectMetadata | undefined {
  const { sse } = sealing;
  if (replaces(call, 'x-amz-metadata-directive')) return { ...metadataOf(call.headers), sse };
  const { metadata } = source.info;
  return metadata.sse === sse ? undefined : { ...metadata, sse };
}

/** A copy onto itself that would change nothing is a mistake of the client's. */
function refuseIdle(call: Call, source: CopySource, sealing: Sealing): void {
  const { bucket, key } = objectOf(call);
  const isSame = source.address.bucket === bucket && source.address.key === key && !source.isNamed;
  const isChange =
    sealing.isAsked ||
    replaces(call, 'x-amz-metadata-directive') ||
    replaces(call, 'x-amz-tagging-directive') ||
    call.headers.has('x-amz-storage-class') ||
    call.headers.has('x-amz-website-redirect-location');
  if (isSame && !isChange) {
    throw new S3Error(
      'InvalidRequest',
      "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, website redirect location or encryption attributes.",
    );
  }
}

export const copyObject: Feature = async (call) => {
  const { bucket, key } = objectOf(call);
  const checksum = wantedChecksum(call);
  const sealing = await sealingOf(call, bucket);
  const source = await findCopySource(call);
  refuseIdle(call, source, sealing);
  const metadata = metadataFor(call, source, sealing);
  const { owner, accessControl } = await accessOfNewObject(call.access, bucket, call.headers, call.accounts);
  const attributes = attributesOfNew(call, { accessControl });
  const tags = replaces(call, 'x-amz-tagging-directive') ? attributes.tags : undefined;
  const result = await call.store.copyObject({
    bucket,
    key,
    owner,
    source: source.address,
    sourceEtag: source.info.etag,
    sourceCustomerKey: source.customerKey,
    customerKey: sealing.customerKey,
    metadata,
    attributes: { ...attributes, tags },
    checksum,
    condition: writeConditionOf(call.headers),
    operation: operationOf(call),
  });
  if (result.outcome === 'no-such-source') throw new S3Error('NoSuchKey');
  if (result.outcome === 'source-changed') throw new S3Error('PreconditionFailed', 'The source was replaced meanwhile.');
  if (result.outcome !== 'stored') throw refusal(result.outcome);
  const { lastModifiedMs } = result;
  const { size } = source.info;
  return xmlResponse(
    200,
    element('CopyObjectResult', [...copyResultElements(result), ...optional('ChecksumType', result.checksum?.type)]),
    [
      ...newVersionHeaders(result.versionId),
      ...versionField('x-amz-copy-source-version-id', result.sourceVersionId),
      ...(await headersOfNew(call, bucket, key, { size, lastModifiedMs, tags: tags ?? source.info.attributes.tags, sse: sealing.sse })),
      ...customerKeyHeaders(sealing.customerKey?.md5),
    ],
  );
};
