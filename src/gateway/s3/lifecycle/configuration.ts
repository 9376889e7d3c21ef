/** Put, get and delete the lifecycle configuration of a bucket. Rules take effect with the next pass (executor.ts). */
import { emptyResponse } from '../call.ts';
import type { Feature } from '../call.ts';
import { readAll } from '../body/content.ts';
import { configure, stateOf } from '../documents/state.ts';
import { documentResponse } from '../documents/response.ts';
import { S3Error } from '../http/errors.ts';
import { XML_BYTES_MAX } from '../http/xml.ts';
import { encodeLifecycle, parseLifecycle } from './document.ts';

/** So that it stays readable: kept documents are read with the bound of one that comes in. */
const KEPT_LENGTH_MAX = XML_BYTES_MAX / 2;

export const putBucketLifecycleConfiguration: Feature = async (call) => {
  const text = encodeLifecycle(parseLifecycle(await readAll(call.content(XML_BYTES_MAX))));
  if (text.length > KEPT_LENGTH_MAX) throw new S3Error('InvalidRequest', 'The lifecycle configuration is too large.');
  if (!(await stateOf(call)).serialised)
    throw new S3Error('NotImplemented', 'This bucket cannot decide conditions, without which nothing may expire.');
  await configure(call, 'lifecycle', text);
  return emptyResponse(200);
};

export const getBucketLifecycleConfiguration: Feature = async (call) =>
  documentResponse((await stateOf(call)).documents.lifecycle, 'NoSuchLifecycleConfiguration');

export const deleteBucketLifecycle: Feature = async (call) => {
  await configure(call, 'lifecycle', undefined);
  return emptyResponse(204);
};
