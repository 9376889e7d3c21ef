/**
 * CopyObject and UploadPartCopy: the front finds the source, holds it against the request's conditions and
 * hands its ETag on, so that the store copies exactly what was looked at or refuses. No byte passes here.
 */
import type { HeaderField, HttpResponse } from '../../base/http.ts';
import { accessOfNewObject } from './access/new-object.ts';
import { attributesOfNew } from './attributes.ts';
import { isoTime, objectOf, operationOf, quoted, refusal } from './call.ts';
import type { Call, Feature } from './call.ts';
import { checksumAlgorithm, checksumRow } from './checksums.ts';
import type { Checksum } from './checksums.ts';
import { findCopySource, parseCopyRange } from './copy-source.ts';
import type { CopySource } from './copy-source.ts';
import { headersOfNew } from './documents/effects.ts';
import { encryptionHeaders } from './documents/encryption.ts';
import { S3Error } from './errors.ts';
import { metadataOf } from './metadata.ts';
import type { WantedChecksum } from './port/content.ts';
import type { ObjectMetadata } from './port/objects.ts';
import { partNumberOf } from './multipart.ts';
import { customerKeyOf, requireKeyOf, customerKeyHeaders, sealingOf } from './sealing.ts';
import type { Sealing } from './sealing.ts';
import { newVersionHeaders } from './version-id.ts';
import { writeConditionOf } from './write-conditions.ts';
import { element, optional, xmlResponse } from './xml.ts';
import type { Element } from './xml.ts';

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

function resultElements(result: { readonly lastModifiedMs: number; readonly etag: string; readonly checksum: Checksum | undefined }): Element[] {
  const { checksum } = result;
  return [
    element('LastModified', isoTime(result.lastModifiedMs)),
    element('ETag', quoted(result.etag)),
    ...(checksum === undefined ? [] : [element(checksumRow(checksum.algorithm).element, checksum.value)]),
  ];
}

function versionField(name: string, versionId: string | undefined): HeaderField[] {
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
    element('CopyObjectResult', [...resultElements(result), ...optional('ChecksumType', result.checksum?.type)]),
    [
      ...newVersionHeaders(result.versionId),
      ...versionField('x-amz-copy-source-version-id', result.sourceVersionId),
      ...(await headersOfNew(call, bucket, key, { size, lastModifiedMs, tags: tags ?? source.info.attributes.tags, sse: sealing.sse })),
      ...customerKeyHeaders(sealing.customerKey?.md5),
    ],
  );
};


export const uploadPartCopy: Feature = async (call): Promise<HttpResponse> => {
  const address = { ...objectOf(call), uploadId: call.query.get('uploadId') ?? '' };
  const number = partNumberOf(call);
  const customerKey = customerKeyOf(call);
  const found = await call.store.readUpload({ ...address, parts: { above: 0, limit: 0 } });
  if (found.outcome !== 'found') throw refusal(found.outcome);
  const { upload } = found;
  requireKeyOf(upload, customerKey);
  const source = await findCopySource(call);
  const range = call.headers.get('x-amz-copy-source-range');
  const span = range === undefined ? undefined : parseCopyRange(range, source.info.size);
  const result = await call.store.copyPart({
    ...address,
    number,
    source: source.address,
    sourceEtag: source.info.etag,
    span,
    // Every part has a checksum of the kind that completing the upload needs; the store's default where any will do.
    checksum: upload.checksum?.algorithm,
    customerKey,
    sourceCustomerKey: source.customerKey,
    operation: operationOf(call),
  });
  if (result.outcome === 'no-such-source') throw new S3Error('NoSuchKey');
  if (result.outcome === 'source-changed') throw new S3Error('PreconditionFailed', 'The source was replaced meanwhile.');
  if (result.outcome !== 'stored') throw refusal(result.outcome);
  return xmlResponse(200, element('CopyPartResult', resultElements(result)), [
    ...versionField('x-amz-copy-source-version-id', result.sourceVersionId),
    ...encryptionHeaders(upload.metadata.sse),
    ...customerKeyHeaders(customerKey?.md5),
  ]);
};
