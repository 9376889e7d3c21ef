/**
 * PutObject: the body streams into the store, which commits only after every check of the client's passed.
 * The answer carries the ETag and checksum of the version that is committed.
 */
import { accessOfNewObject } from '../access/new-object.ts';
import { emptyResponse, objectOf, operationOf, quoted, refusal } from '../call.ts';
import type { Feature } from '../call.ts';
import { headersOfNew } from './effects.ts';
import { attributesOfNew } from './attributes.ts';
import { hasChecksum } from '../body/content.ts';
import { S3Error } from '../http/errors.ts';
import { checksumHeaders, metadataOf } from './metadata.ts';
import { customerKeyHeaders, sealingOf } from './sealing.ts';
import { newVersionHeaders } from '../versions/version-id.ts';
import { writeConditionOf } from './write-conditions.ts';

/** S3's largest object. S3 stops a single PUT at 5 GiB; we need no such difference. */
export const OBJECT_BYTES_MAX = 5 * 1024 ** 4;

export const putObject: Feature = async (call) => {
  const { bucket, key } = objectOf(call);
  const { sse, customerKey } = await sealingOf(call, bucket);
  const metadata = { ...metadataOf(call.headers), sse };
  const { owner, accessControl } = await accessOfNewObject(call.access, bucket, call.headers, call.accounts);
  const attributes = attributesOfNew(call, { accessControl });
  const condition = writeConditionOf(call.headers);
  if ((attributes.retention !== undefined || attributes.legalHold) && !hasChecksum(call.headers)) {
    // What nobody can take away again must not be wrong: S3 asks for a check of its own.
    throw new S3Error('InvalidRequest', 'Content-MD5 or x-amz-checksum- is required with object lock.');
  }
  const content = call.content(OBJECT_BYTES_MAX);
  const result = await call.store.putObject({
    bucket,
    key,
    owner,
    content,
    metadata,
    attributes,
    customerKey,
    condition,
    operation: operationOf(call),
  });
  if (result.outcome !== 'stored') throw refusal(result.outcome);
  const { lastModifiedMs } = result;
  const { tags } = attributes;
  const about = await headersOfNew(call, bucket, key, { size: content.size, lastModifiedMs, tags, sse });
  return emptyResponse(200, [
    ['ETag', quoted(result.etag)],
    ...checksumHeaders(result.checksum),
    ...newVersionHeaders(result.versionId),
    ...about,
    ...customerKeyHeaders(customerKey?.md5),
  ]);
};
