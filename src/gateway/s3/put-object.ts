/**
 * PutObject: the body streams into the store, which commits only after every check of the client's passed.
 * The answer carries the ETag and checksum of the version that is committed.
 */
import { emptyResponse, objectOf, operationOf, quoted, refusal } from './call.ts';
import type { Feature } from './call.ts';
import { writeCondition } from './conditions.ts';
import { checksumHeaders, metadataOf } from './metadata.ts';

/** S3's largest object. S3 stops a single PUT at 5 GiB; we need no such difference. */
export const OBJECT_BYTES_MAX = 5 * 1024 ** 4;

export const putObject: Feature = async (call) => {
  const { bucket, key } = objectOf(call);
  const metadata = metadataOf(call.headers);
  const condition = writeCondition(call.headers);
  const content = call.content(OBJECT_BYTES_MAX);
  const result = await call.store.putObject({
    bucket,
    key,
    content,
    metadata,
    condition,
    operation: operationOf(call),
  });
  if (result.outcome !== 'stored') throw refusal(result.outcome);
  return emptyResponse(200, [['ETag', quoted(result.etag)], ...checksumHeaders(result.checksum)]);
};
