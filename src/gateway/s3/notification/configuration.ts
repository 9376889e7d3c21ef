/** Get and put the notification configuration of a bucket. An empty one takes it away; there is no delete. */
import { emptyResponse } from '../call.ts';
import type { Feature } from '../call.ts';
import { readAll } from '../body/content.ts';
import { configure, stateOf } from '../documents/state.ts';
import { documentResponse } from '../documents/response.ts';
import { S3Error } from '../http/errors.ts';
import { XML_BYTES_MAX } from '../http/xml.ts';
import { encodeNotification, parseNotification } from './document.ts';

const DOCUMENT_BYTES_MAX = XML_BYTES_MAX / 4;

/** `x-amz-skip-destination-validation` passes what this gateway has no webhook for, which then tells nobody. */
export const putBucketNotificationConfiguration: Feature = async (call) => {
  const rules = parseNotification(await readAll(call.content(DOCUMENT_BYTES_MAX)));
  const isChecked = call.headers.get('x-amz-skip-destination-validation') !== 'true';
  if (isChecked && !rules.every(({ webhook }) => call.webhooks.has(webhook)))
    throw new S3Error('InvalidArgument', 'Unable to validate the following destination configurations');
  await configure(call, 'notification', rules.length === 0 ? undefined : encodeNotification(rules));
  return emptyResponse(200);
};

export const getBucketNotificationConfiguration: Feature = async (call) =>
  documentResponse((await stateOf(call)).documents.notification ?? encodeNotification([]), 'InternalError');
