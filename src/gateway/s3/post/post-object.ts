/**
 * PostObject: an upload by a form of a web page. Its fields stand for the headers of a PutObject and are held
 * to the same table of what is understood; who signed the policy is who acts. The object is then put as any
 * other, and the answer is what the form asked for.
 */
import type { HeaderField, HttpResponse } from '../../../base/http.ts';
import { EMPTY, utf8 } from '../../../base/bytes.ts';
import { actingAs } from './acting-as.ts';
import { bucketOf, emptyResponse } from '../call.ts';
import type { Call, Feature } from '../call.ts';
import { S3Error } from '../http/errors.ts';
import { bytesOfText, Headers } from '../http/headers.ts';
import { OBJECT_BYTES_MAX, putObject } from '../objects/put-object.ts';
import { route } from '../router.ts';
import { KEY_BYTES_MAX, Query, uriEncode } from '../http/uri.ts';
import { element, isXmlText, xmlResponse } from '../http/xml.ts';
import { authenticateForm } from './form-signature.ts';
import { boundaryOf, FORM_BYTES_MAX, readForm } from './form.ts';
import type { Form } from './form.ts';
import { enforcePolicy, parsePolicy } from './policy.ts';
import { taggingHeader } from './tagging-field.ts';

/** Fields that are headers of a PutObject under their own names. */
const PLAIN_HEADERS = ['cache-control', 'content-type', 'content-disposition', 'content-encoding', 'content-language', 'expires'];
/** Of the x-amz- fields, those about the form itself. */
const OF_THE_FORM = ['x-amz-algorithm', 'x-amz-credential', 'x-amz-date', 'x-amz-signature'];

export const postObject: Feature = async (call) => {
  const bucket = bucketOf(call);
  const boundary = boundaryOf(call.headers.get('content-type'));
  const body = call.content(OBJECT_BYTES_MAX + FORM_BYTES_MAX);
  const form = await readForm(boundary, body.size, body.bytes);
  const key = keyOf(form);
  const signer = await authenticateForm(form.fields, call.region, call.lookup);
  if (signer !== undefined) {
    const fields = new Map([...form.fields, ['key', key], ['bucket', bucket]]);
    enforcePolicy(parsePolicy(signer.policy), fields, form.file.size, call.access.options.request.nowMs);
  }
  const headers = headersOf(form);
  const who = signer ?? { principal: call.principal, credential: call.authenticated.credential };
  route('PUT', 'object', new Query([]), headers).requireUnderstood();
  const acting: Call = {
    ...actingAs(call, who, headers),
    resource: { level: 'object', bucket, key },
    content: (sizeMax) => call.contentOf(form.file.bytes, headers, sizeMax),
  };
  return answer(call, form, { bucket, key }, await putObject(acting));
};

/** Throws S3Error. */
function keyOf({ fields, file }: Form): string {
  const given = fields.get('key');
  if (given === undefined) throw new S3Error('InvalidArgument', "Bucket POST must contain a field named 'key'.");
  const key = given.replaceAll('${filename}', () => file.name ?? '');
  if (key === '') throw new S3Error('InvalidArgument', 'User key must have a length greater than 0.');
  if (utf8(key).length > KEY_BYTES_MAX) throw new S3Error('KeyTooLongError');
  return key;
}

/** What the fields say, as headers of a PutObject. */
function headersOf({ fields, file }: Form): Headers {
  if (fields.has('x-amz-content-sha256')) throw new S3Error('NotImplemented', 'A form has no x-amz-content-sha256 of its file.');
  const headers: HeaderField[] = [['content-length', String(file.size)]];
  for (const [name, value] of fields) {
    const isHeader = PLAIN_HEADERS.includes(name) || (name.startsWith('x-amz-') && !OF_THE_FORM.includes(name));
    if (isHeader) headers.push([name, bytesOfText(value)]);
  }
  const acl = fields.get('acl');
  if (acl !== undefined) headers.push(['x-amz-acl', bytesOfText(acl)]);
  const tagging = fields.get('tagging');
  if (tagging !== undefined) headers.push(['x-amz-tagging', taggingHeader(tagging)]);
  return new Headers(headers);
}

interface Named {
  readonly bucket: string;
  readonly key: string;
}

/** As the form asks: 204 unless it says 200, 201 with a document, or where to go on. */
function answer(call: Call, { fields }: Form, { bucket, key }: Named, put: HttpResponse): HttpResponse {
  const etag = put.headers.find(([name]) => name === 'ETag')?.[1] ?? '';
  const redirect = redirectOf(fields.get('success_action_redirect') ?? fields.get('redirect'));
  if (redirect !== undefined) {
    for (const [name, value] of Object.entries({ bucket, key, etag })) redirect.searchParams.append(name, value);
    return { ...put, status: 303, headers: [...put.headers, ['Location', redirect.href]] };
  }
  const base = call.rawPath.replace(/\/$/, '');
  const location = `${call.origin}${base}/${uriEncode(bytesOfText(key), true)}`;
  const headers: HeaderField[] = [...put.headers, ['Location', location]];
  const status = fields.get('success_action_status');
  if (status === '200') return emptyResponse(200, headers);
  if (status !== '201' || !isXmlText(key)) return { status: status === '201' ? 201 : 204, headers, body: EMPTY };
  const document = xmlResponse(
    201,
    element('PostResponse', [element('Location', location), element('Bucket', bucket), element('Key', key), element('ETag', etag)]),
  );
  return { ...document, headers: [...document.headers, ...headers] };
}

/** A page to go on to; undefined for what is none, which S3 ignores. */
function redirectOf(text: string | undefined): URL | undefined {
  if (text === undefined || !/^https?:\/\//i.test(text)) return undefined;
  try {
    return new URL(text);
  } catch {
    return undefined;
  }
}
