/** The answer to a GET of a document that is kept as the XML to answer. */
import { utf8 } from '../../../base/bytes.ts';
import type { HttpResponse } from '../../../base/http.ts';
import { S3Error } from '../http/errors.ts';
import type { S3ErrorCode } from '../http/errors.ts';

/** Throws S3Error with the code that says that there is none. */
export function documentResponse(document: string | undefined, absent: S3ErrorCode): HttpResponse {
  if (document === undefined) throw new S3Error(absent);
  return { status: 200, headers: [['Content-Type', 'application/xml']], body: utf8(document) };
}
