/**
 * The client's half of AWS Signature Version 4: signs one request of the command line client. Written apart
 * from the gateway's verifying half on purpose, so that neither can agree with the other's mistake.
 * Source: AWS "Authenticating Requests (AWS Signature Version 4)", header form.
 */
import { hex, utf8 } from '../base/bytes.ts';
import { hmacSha256, sha256 } from '../crypto/primitives.ts';

export interface Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly region: string;
}

export interface SignableRequest {
  readonly method: string;
  /** Percent-encoded path, as sent. */
  readonly path: string;
  readonly query: readonly (readonly [name: string, value: string])[];
  /** Lower-case names; all of them are signed, `host` among them. */
  readonly headers: Readonly<Record<string, string>>;
  /** SHA-256 of the body in hex, or one of the words that stand for it. */
  readonly payloadHash: string;
}

/** RFC 3986: everything but the unreserved characters, byte by byte. */
export function percentEncode(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
}

/** Path of an object: each segment encoded, the slashes between them kept. */
export function objectPath(bucket: string, key: string): string {
  const encoded = key.split('/').map(percentEncode).join('/');
  return key === '' ? `/${percentEncode(bucket)}` : `/${percentEncode(bucket)}/${encoded}`;
}

export function queryString(query: SignableRequest['query']): string {
  return query
    .map(([name, value]) => `${percentEncode(name)}=${percentEncode(value)}`)
    .sort()
    .join('&');
}

/** The headers of the request with `x-amz-date`, `x-amz-content-sha256` and `authorization` added. */
export function signRequest(request: SignableRequest, credentials: Credentials, now: Date): Record<string, string> {
  const time = now.toISOString().replace(/[-:]|\.\d{3}/g, '');
  const day = time.slice(0, 8);
  const headers: Record<string, string> = {
    ...request.headers,
    'x-amz-date': time,
    'x-amz-content-sha256': request.payloadHash,
  };
  const names = Object.keys(headers).sort();
  const canonical = [
    request.method,
    request.path,
    queryString(request.query),
    ...names.map((name) => `${name}:${(headers[name] ?? '').trim().replace(/ +/g, ' ')}`),
    '',
    names.join(';'),
    request.payloadHash,
  ].join('\n');
  const scope = `${day}/${credentials.region}/s3/aws4_request`;
  const text = ['AWS4-HMAC-SHA256', time, scope, hex(sha256(utf8(canonical)))].join('\n');
  let key = utf8(`AWS4${credentials.secretAccessKey}`);
  for (const part of [day, credentials.region, 's3', 'aws4_request']) key = hmacSha256(key, utf8(part));
  const signature = hex(hmacSha256(key, utf8(text)));
  headers['authorization'] =
    `AWS4-HMAC-SHA256 Credential=${credentials.accessKeyId}/${scope}, SignedHeaders=${names.join(';')}, Signature=${signature}`;
  return headers;
}
