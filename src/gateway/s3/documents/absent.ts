/**
 * Configurations that no bucket here can have. To put one answers 501; to ask for one answers what is true of
 * every bucket, in the words that clients expect: there is none.
 */
import { emptyResponse } from '../call.ts';
import type { Feature } from '../call.ts';
import { stateOf } from './state.ts';
import { S3Error } from '../http/errors.ts';
import type { S3ErrorCode } from '../http/errors.ts';
import { element, xmlResponse } from '../http/xml.ts';

const absent =
  (code: S3ErrorCode): Feature =>
  async (call) => {
    await stateOf(call);
    throw new S3Error(code);
  };

/** The document that S3 answers for a bucket where this was never configured. */
const empty =
  (rootName: string): Feature =>
  async (call) => {
    await stateOf(call);
    return xmlResponse(200, element(rootName, []));
  };

/** What is not there is gone, as S3 says of each of them. */
const deleted: Feature = async (call) => {
  await stateOf(call);
  return emptyResponse(204);
};

export const getBucketWebsite: Feature = absent('NoSuchWebsiteConfiguration');
export const deleteBucketWebsite: Feature = deleted;
export const getBucketReplication: Feature = absent('ReplicationConfigurationNotFoundError');
export const deleteBucketReplication: Feature = deleted;
export const getBucketLogging: Feature = empty('BucketLoggingStatus');
export const getBucketAccelerateConfiguration: Feature = empty('AccelerateConfiguration');
