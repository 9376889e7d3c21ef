/** Who pays for requests. Nobody is billed here, so the owner it is; anything else is refused. */
import { emptyResponse } from '../call.ts';
import type { Feature } from '../call.ts';
import { readAll } from '../body/content.ts';
import { configure, stateOf } from './state.ts';
import { S3Error } from '../http/errors.ts';
import { element, fields, readXml, requiredText, XML_BYTES_MAX, xmlResponse } from '../http/xml.ts';

const ROOT = 'RequestPaymentConfiguration';

export const putBucketRequestPayment: Feature = async (call) => {
  const { Payer } = fields(readXml(await readAll(call.content(XML_BYTES_MAX)), ROOT), ['Payer']);
  const payer = requiredText('Payer', Payer).trim();
  if (payer === 'Requester')
    throw new S3Error('NotImplemented', 'Nobody is billed here: the owner of a bucket is its payer.');
  if (payer !== 'BucketOwner') throw new S3Error('MalformedXML', 'Payer is not one that S3 knows.');
  await configure(call, 'requestPayment', undefined);
  return emptyResponse(200);
};

export const getBucketRequestPayment: Feature = async (call) => {
  await stateOf(call);
  return xmlResponse(200, element(ROOT, [element('Payer', 'BucketOwner')]));
};
