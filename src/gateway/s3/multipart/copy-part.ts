/**
 * UploadPartCopy: a part cut out of a stored object, found and held against conditions as the source of any
 * copy is.
 */
import type { HttpResponse } from '../../../base/http.ts';
import { objectOf, operationOf, refusal } from '../call.ts';
import type { Feature } from '../call.ts';
import { encryptionHeaders } from '../documents/encryption.ts';
import { S3Error } from '../http/errors.ts';
import { element, xmlResponse } from '../http/xml.ts';
import { copyResultElements, versionField } from '../objects/copy.ts';
import { findCopySource, parseCopyRange } from '../objects/copy-source.ts';
import { partNumberOf } from '../objects/part-number.ts';
import { customerKeyHeaders, customerKeyOf, requireKeyOf } from '../objects/sealing.ts';

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
  return xmlResponse(200, element('CopyPartResult', copyResultElements(result)), [
    ...versionField('x-amz-copy-source-version-id', result.sourceVersionId),
    ...encryptionHeaders(upload.metadata.sse),
    ...customerKeyHeaders(customerKey?.md5),
  ]);
};
