/**
 * S3's error document: code, sentence, what the error is about, the path as sent and the id of the request.
 * It says nothing about the inside of the gateway.
 */
import { EMPTY } from '../../../base/bytes.ts';
import type { HeaderField, HttpResponse } from '../../../base/http.ts';
import { S3_ERRORS } from './errors.ts';
import type { S3Error } from './errors.ts';
import { element, xmlResponse, xmlText } from './xml.ts';

/**
 * The error as a response; never throws, whatever of the client's words the error quotes. A HEAD answer has no
 * document; `resource` is the path as sent.
 */
export function errorResponse(
  error: S3Error,
  method: string,
  resource: string,
  requestId: string,
): HttpResponse {
  const { status } = S3_ERRORS[error.code];
  const retry: HeaderField[] = status === 503 ? [['Retry-After', '1']] : [];
  const headers = [...error.headers, ...retry];
  if (method === 'HEAD') return { status, headers, body: EMPTY };
  const document = element('Error', [
    element('Code', error.code),
    element('Message', xmlText(error.message)),
    ...error.details.map(([name, value]) => element(name, xmlText(value))),
    element('Resource', xmlText(resource)),
    element('RequestId', requestId),
  ]);
  return xmlResponse(status, document, headers);
}
