/**
 * Requests of every S3 operation as the bytes of HTTP/1.1, and a signer that signs whatever a mutation made of
 * one: what lies behind the signature is reached only by requests whose signature is right. Time stands still.
 */
import { createHmac } from 'node:crypto';
import { concat, fromMapKey, hex, utf8 } from '../../../src/base/bytes.ts';
import { sha256 } from '../../../src/crypto/primitives.ts';
import { parseTarget, uriEncode } from '../../../src/gateway/s3/http/uri.ts';

export const ACCESS_KEY = 'HFTESTACCESSKEY00001';
export const SECRET_KEY = 'a/test+secret/key=that/has/odd+letters==';
export const HOST = '127.0.0.1:9000';
export const TIMESTAMP = '20260102T030405Z';
export const NOW_MS = Date.UTC(2026, 0, 2, 3, 4, 5);
const SCOPE = `${TIMESTAMP.slice(0, 8)}/us-east-1/s3/aws4_request`;
const CREDENTIAL = `${ACCESS_KEY}/${SCOPE}`;
const UNSIGNED = 'UNSIGNED-PAYLOAD';
const PRESIGN = `X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=${CREDENTIAL.replaceAll('/', '%2F')}&X-Amz-Date=${TIMESTAMP}&X-Amz-Expires=600&X-Amz-SignedHeaders=host`;

/** A request taken apart; all text is byte strings (base/http.ts). */
export interface RawRequest {
  readonly method: string;
  readonly target: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: Uint8Array;
}

const sha256Hex = (bytes: Uint8Array): string => hex(sha256(bytes));
const hmac = (key: string | Uint8Array, data: string): Buffer => createHmac('sha256', key).update(Buffer.from(data, 'latin1')).digest();

/** The request that these bytes hold, as far as they hold one; null where there is no request line. */
export function readRequest(bytes: Uint8Array): RawRequest | null {
  const text = Buffer.from(bytes).toString('latin1');
  const blank = text.indexOf('\r\n\r\n');
  const head = blank < 0 ? text : text.slice(0, blank);
  const [line = '', ...fields] = head.split('\r\n');
  const [method = '', target = '', version = ''] = line.split(' ');
  if (version !== 'HTTP/1.1') return null;
  const headers = fields.map((field): [string, string] => {
    const colon = field.indexOf(':');
    return colon < 0 ? [field, ''] : [field.slice(0, colon), field.slice(colon + 1).trim()];
  });
  return { method, target, headers, body: blank < 0 ? new Uint8Array(0) : bytes.slice(blank + 4) };
}

export function writeRequest({ method, target, headers, body }: RawRequest): Uint8Array {
  const head = [`${method} ${target} HTTP/1.1`, ...headers.map(([name, value]) => `${name}: ${value}`), '', ''].join('\r\n');
  return concat(Buffer.from(head, 'latin1'), body);
}

/** Signed anew: by header, or in the query where it says so. A target that cannot be parsed stays unsigned. */
export function signRequest(request: RawRequest): RawRequest {
  const isPresigned = request.target.includes('X-Amz-Algorithm=');
  const kept = request.headers.filter(([name]) => !['authorization', 'x-amz-date', 'host', 'content-length'].includes(name.toLowerCase()));
  const announced = kept.find(([name]) => name.toLowerCase() === 'x-amz-content-sha256')?.[1];
  const payload = announced === undefined || /^[0-9a-f]*$/.test(announced) ? sha256Hex(request.body) : announced;
  const plain = kept.filter(([name]) => name.toLowerCase() !== 'x-amz-content-sha256');
  const length: (readonly [string, string])[] = request.body.length === 0 ? [] : [['content-length', String(request.body.length)]];
  const headers: (readonly [string, string])[] = isPresigned
    ? [['host', HOST], ...length, ...plain]
    : [['host', HOST], ...length, ['x-amz-date', TIMESTAMP], ['x-amz-content-sha256', payload], ...plain];
  const target = request.target.replace(/&?X-Amz-Signature=[^&]*/g, '');
  let parsed: ReturnType<typeof parseTarget>;
  try {
    parsed = parseTarget(target);
  } catch {
    return { ...request, headers };
  }
  const names = [...new Set(headers.map(([name]) => name.toLowerCase()))].filter((name) => name === 'host' || (!isPresigned && name.startsWith('x-amz-'))).sort();
  const values = (name: string): string => headers.filter(([n]) => n.toLowerCase() === name).map(([, value]) => value.replace(/[ \t]+/g, ' ')).join(',');
  const query = parsed.query.map(([name, value]) => `${uriEncode(name, false)}=${uriEncode(value, false)}`).sort(byNameThenValue);
  const canonical = [
    request.method, uriEncode(parsed.path, true), query.join('&'), ...names.map((name) => `${name}:${values(name)}`), '', names.join(';'), isPresigned ? UNSIGNED : payload,
  ].join('\n');
  let key = hmac(`AWS4${SECRET_KEY}`, TIMESTAMP.slice(0, 8));
  for (const part of ['us-east-1', 's3', 'aws4_request']) key = hmac(key, part);
  const signature = hmac(key, ['AWS4-HMAC-SHA256', TIMESTAMP, SCOPE, sha256Hex(fromMapKey(canonical))].join('\n')).toString('hex');
  if (isPresigned) return { ...request, target: `${target}&X-Amz-Signature=${signature}`, headers };
  const authorization = `AWS4-HMAC-SHA256 Credential=${CREDENTIAL}, SignedHeaders=${names.join(';')}, Signature=${signature}`;
  return { ...request, headers: [...headers, ['authorization', authorization]] };
}

function byNameThenValue(a: string, b: string): number {
  const [nameA = '', valueA = ''] = a.split('=');
  const [nameB = '', valueB = ''] = b.split('=');
  return nameA < nameB ? -1 : nameA > nameB ? 1 : valueA < valueB ? -1 : valueA > valueB ? 1 : 0;
}

interface Wish {
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

function request(method: string, target: string, { headers = {}, body = '' }: Wish = {}): RawRequest {
  return signRequest({ method, target, headers: Object.entries(headers), body: utf8(body) });
}

const DELETE_XML = '<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Quiet>false</Quiet><Object><Key>a</Key></Object><Object><Key>no&amp;ne</Key></Object></Delete>';
const COMPLETE_XML = '<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>"5d41402abc4b2a76b9719d911017c592"</ETag></Part></CompleteMultipartUpload>';
const CREATE_XML = '<CreateBucketConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><LocationConstraint>us-east-1</LocationConstraint></CreateBucketConfiguration>';
/** CRC32 of 'hello' in base64. */
const CRC = 'NhCmhg==';
const CHUNKED = `5\r\nhello\r\n0\r\nx-amz-checksum-crc32:${CRC}\r\n\r\n`;
const md5Of = (text: string): string => MD5S[text] ?? '';
const MD5S: Readonly<Record<string, string>> = { hello: 'XUFAKrxLKna5cZ2REBfFkg==' };

/** The upload that the world of the requests begins with. */
export const UPLOAD_ID = 'upload-1';
export const XML = { DELETE_XML, COMPLETE_XML, CREATE_XML } as const;

/** One or more of every operation, all of which succeed in a world with bucket `bucket` and its keys `a` and `dir/b`. */
export const S3_REQUESTS: readonly RawRequest[] = [
  request('GET', '/'),
  request('GET', '/?max-buckets=1&prefix=b'),
  request('PUT', '/new-bucket', { body: CREATE_XML }),
  request('PUT', '/bucket-two', { headers: { 'x-amz-acl': 'private' } }),
  request('DELETE', '/empty-bucket'),
  request('HEAD', '/bucket'),
  request('GET', '/bucket?location'),
  request('GET', '/bucket?versioning'),
  request('GET', '/bucket?delimiter=%2F&prefix=d&marker=a&max-keys=5&encoding-type=url'),
  request('GET', '/bucket?list-type=2&max-keys=1&start-after=a&fetch-owner=true'),
  request('POST', '/bucket?delete', { headers: { 'x-amz-checksum-crc32': crc32Of(DELETE_XML), 'x-amz-sdk-checksum-algorithm': 'CRC32' }, body: DELETE_XML }),
  request('PUT', '/bucket/new%20key', { headers: { 'content-type': 'text/plain', 'x-amz-meta-colour': 'blue', 'content-md5': md5Of('hello') }, body: 'hello' }),
  request('PUT', '/bucket/chunked', { headers: { 'x-amz-content-sha256': 'STREAMING-UNSIGNED-PAYLOAD-TRAILER', 'x-amz-decoded-content-length': '5', 'x-amz-trailer': 'x-amz-checksum-crc32', 'content-encoding': 'aws-chunked' }, body: CHUNKED }),
  request('PUT', `/bucket/presigned?${PRESIGN}&x-amz-meta-shape=round`, { body: 'hello' }),
  request('GET', `/bucket/a?${PRESIGN}`),
  request('GET', '/bucket/a?response-content-type=text%2Fhtml&response-expires=never', { headers: { range: 'bytes=1-3', 'if-match': '*', 'x-amz-checksum-mode': 'ENABLED' } }),
  request('GET', '/bucket/a', { headers: { 'if-none-match': '"other"', 'if-modified-since': 'Thu, 01 Jan 2015 00:00:00 GMT', 'if-range': '"x"', range: 'bytes=-2' } }),
  request('HEAD', '/bucket/a', { headers: { 'if-unmodified-since': 'Fri, 01 Jan 2100 00:00:00 GMT' } }),
  request('DELETE', '/bucket/dir/b', { headers: { 'amz-sdk-invocation-id': 'one' } }),
  request('POST', '/bucket/big?uploads', { headers: { 'x-amz-checksum-algorithm': 'CRC32', 'x-amz-checksum-type': 'COMPOSITE', 'x-amz-meta-a': 'b' } }),
  request('PUT', `/bucket/big?partNumber=2&uploadId=${UPLOAD_ID}`, { body: 'hello' }),
  request('POST', `/bucket/big?uploadId=${UPLOAD_ID}`, { headers: { 'x-amz-mp-object-size': '5' }, body: COMPLETE_XML }),
  request('GET', `/bucket/big?uploadId=${UPLOAD_ID}&max-parts=1&part-number-marker=0`),
  request('DELETE', `/bucket/big?uploadId=${UPLOAD_ID}`),
];

function crc32Of(text: string): string {
  let crc = 0xffff_ffff;
  for (const byte of utf8(text)) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ 0xedb8_8320 : crc >>> 1;
  }
  const out = new Uint8Array(4);
  new DataView(out.buffer).setUint32(0, ~crc >>> 0);
  return Buffer.from(out).toString('base64');
}

/** What stands in such requests, for the mutators. */
export const S3_WORDS: readonly string[] = [
  '\r\nx-amz-meta-a: b', '\r\nrange: bytes=', '\r\nif-match: ', '\r\ncontent-length: 5', '\r\ntransfer-encoding: chunked', '\r\nexpect: 100-continue', '\r\nx-amz-copy-source: /a/b', '\r\namz-sdk-invocation-id: 1',
  '&x-amz-meta-a=%0d%0a', '&x-amz-%01=1', '&%01=1&%01=2', '&prefix=%ff', '&prefix=%00', '&max-keys=', '&continuation-token=', '&uploadId=', '&partNumber=', '?uploads', '?acl', '?versioning', '%0a', '%00', '%ff', '%2e%2e', '+',
  'GET', 'PUT', 'POST', 'DELETE', 'HEAD', 'OPTIONS', '/bucket', '/bucket/a', 'bytes=0-', 'bytes=-0', 'bytes=9999999999999999-', 'bytes=0-0,2-3', 'UNSIGNED-PAYLOAD', 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD',
  '<Object><Key>', '</Key></Object>', '<!DOCTYPE a>', '<![CDATA[', '&#1;', '&#x0;', '&lt;', '<Part>', 'x-amz-', 'X-Amz-Expires=', 'CRC32C', 'SHA256',
];

/** Bytes that Node's own parser lets through: what the front may be given. */
export function isWireRequest({ method, target, headers }: RawRequest): boolean {
  if (!['GET', 'HEAD', 'PUT', 'POST', 'DELETE', 'OPTIONS', 'PATCH'].includes(method) || !/^[\x21-\xff]+$/.test(target)) return false;
  return headers.every(([name, value]) => /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name) && !/[\x00-\x08\x0a-\x1f\x7f]/.test(value));
}

