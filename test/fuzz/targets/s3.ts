/** Decoders of what S3 clients send, and the whole front over a store in memory. */
import { validateHeaderName, validateHeaderValue } from 'node:http';
import { concat, equal, hex, utf8 } from '../../../src/base/bytes.ts';
import type { HttpRequest, HttpResponse } from '../../../src/base/http.ts';
import { hmacSha256, incremental, sha256 } from '../../../src/crypto/primitives.ts';
import { directoryOf } from '../../../src/gateway/s3/access/credential-store.ts';
import { AwsChunkedDecoder } from '../../../src/gateway/s3/body/aws-chunked.ts';
import { base64, base64url, fromBase64, fromBase64url } from '../../../src/gateway/s3/http/base64.ts';
import { CHECKSUM_ALGORITHMS, decodeChecksum } from '../../../src/gateway/s3/checksums/checksums.ts';
import { evaluateConditions, parseRange, rangeApplies, resolveRange } from '../../../src/gateway/s3/objects/conditions.ts';
import { parseCopyRange, parseCopySource } from '../../../src/gateway/s3/objects/copy-source.ts';
import { openToken, sealToken } from '../../../src/gateway/s3/http/continuation.ts';
import { S3Error } from '../../../src/gateway/s3/http/errors.ts';
import { FRONT_DEFAULTS, S3Front } from '../../../src/gateway/s3/front.ts';
import { Headers } from '../../../src/gateway/s3/http/headers.ts';
import { MemoryStore } from '../../../src/gateway/s3/port/memory-store.contract.ts';
import { parseAttributes } from '../../../src/gateway/s3/objects/object-attributes.ts';
import { parseCustomerKey } from '../../../src/gateway/s3/objects/sealing.ts';
import type { ObjectInfo } from '../../../src/gateway/s3/port/objects.ts';
import type { CredentialLookup } from '../../../src/gateway/s3/auth/principal.ts';
import { authenticate, parseTimestamp } from '../../../src/gateway/s3/auth/sigv4.ts';
import { parseResource, parseTarget, Query, uriEncode } from '../../../src/gateway/s3/http/uri.ts';
import { readXml } from '../../../src/gateway/s3/http/xml.ts';
import type { ReadElement } from '../../../src/gateway/s3/http/xml.ts';
import { SystemClock } from '../../../src/platform/clock.ts';
import { CountingTelemetry } from '../../../src/sim/counting-telemetry.ts';
import { SeededRandom } from '../../../src/sim/seeded-random.ts';
import { decoder, holds } from '../decoder.ts';
import type { Target } from '../engine.ts';
import { id } from '../valid.ts';
import { ACCESS_KEY, isWireRequest, NOW_MS, readRequest, S3_REQUESTS, S3_WORDS, SECRET_KEY, signRequest, UPLOAD_ID, writeRequest, XML } from './s3-requests.ts';
import type { RawRequest } from './s3-requests.ts';

const isS3Error = (error: unknown): boolean => error instanceof S3Error;
const bytesText = (input: Uint8Array): string => Buffer.from(input).toString('latin1');
const text = (words: readonly string[]) => ({ form: 'text', words }) as const;

class FixedClock extends SystemClock {
  override nowMs(): number {
    return NOW_MS;
  }
}
const clock = new FixedClock();
const OWNER = 'ab'.repeat(32);
const account = { id: OWNER, displayName: 'owner' };
const lookup: CredentialLookup = (id) => Promise.resolve(id === ACCESS_KEY ? { secretAccessKey: SECRET_KEY, account } : undefined);

const TARGETS = ['/bucket/a%20key?list-type=2&prefix=a%2Fb+c&flag', '/', '/bucket', '/bucket//a/../b?uploads', ...S3_REQUESTS.map(({ target }) => target)];

function acceptsTarget(input: Uint8Array): boolean {
  const target = parseTarget(bytesText(input));
  const encoded = uriEncode(target.path, true);
  holds(parseTarget(encoded).path === target.path, 'a path is read back as it is encoded');
  new Query(target.query);
  parseResource(target.path);
  return true;
}

const INFO: ObjectInfo = {
  size: 1000, etag: 'abc', checksum: undefined, lastModifiedMs: NOW_MS,
  metadata: { contentType: undefined, cacheControl: undefined, contentDisposition: undefined, contentEncoding: undefined, contentLanguage: undefined, expires: undefined, websiteRedirect: undefined, sse: undefined, user: [] },
  owner: '', attributes: { tags: [], accessControl: undefined, retention: undefined, legalHold: false }, versionId: undefined, partCount: 0, customerKeyMd5: undefined,
};

/** The input as the value of each header that has a grammar. */
function acceptsCondition(input: Uint8Array): boolean {
  const value = bytesText(input);
  const range = parseRange(value);
  if (range !== undefined) {
    for (const size of [0, 1, 1000, 2 ** 50]) {
      const span = orRefused(() => resolveRange(range, size));
      if (span !== null) holds(span.from >= 0 && span.from < span.to && span.to <= size, 'a span lies in the object');
    }
  }
  for (const name of ['if-match', 'if-none-match', 'if-modified-since', 'if-unmodified-since', 'if-range']) {
    const headers = new Headers([[name, value]]);
    orRefused(() => evaluateConditions(headers, INFO));
    rangeApplies(headers, INFO);
  }
  for (const algorithm of CHECKSUM_ALGORITHMS) {
    const sum = decodeChecksum(algorithm, value);
    if (sum !== undefined) holds(base64(sum) === value, 'a checksum has one spelling');
  }
  const [standard, url] = [fromBase64(value), fromBase64url(value)];
  if (standard !== undefined) holds(base64(standard) === value, 'base64 has one spelling');
  if (url !== undefined) holds(base64url(url) === value, 'base64url has one spelling');
  const ms = parseTimestamp(value);
  if (ms !== undefined) holds(new Date(ms).toISOString().replace(/[-:]|\.\d+/g, '') === value, 'a timestamp is read back');
  return range !== undefined || ms !== undefined || standard !== undefined;
}

/** The input as the value of each header of a copy, of a customer's key and of GetObjectAttributes. */
function acceptsCopyHeader(input: Uint8Array): boolean {
  const value = bytesText(input);
  let isKnown = false;
  for (const size of [1, 1000, 2 ** 50]) {
    const span = orRefused(() => parseCopyRange(value, size));
    if (span !== null) isKnown = true;
    if (span !== null) holds(span.from < span.to && span.to <= size, 'a copied range lies in the source');
  }
  const source = orRefused(() => parseCopySource(value));
  if (source !== null) holds(source.key !== '' && utf8(source.key).length <= 1024, 'a source has a key that can be');
  const customer = 'x-amz-server-side-encryption-customer';
  for (const md5 of [value, 'DWygnHRtgiJ77HCm+1rvHw==']) {
    const fields = [[`${customer}-algorithm`, 'AES256'], [`${customer}-key`, value], [`${customer}-key-md5`, md5]] as const;
    const key = orRefused(() => parseCustomerKey(new Headers(fields)));
    if (key !== null) isKnown = true;
    if (key !== null) holds(key?.key.length === 32, 'a key of the customer has 32 bytes');
  }
  const attributes = orRefused(() => parseAttributes(value));
  return isKnown || source !== null || attributes !== null;
}

function orRefused<T>(action: () => T): T | null {
  try {
    return action();
  } catch (error) {
    if (isS3Error(error)) return null;
    throw error;
  }
}

const TOKEN_KEY = id('token key');
const SCOPE = ['objects', 'bucket', 'prefix', '/'];
const TOKENS = ['position', 'another/position'].map((position) => sealToken(TOKEN_KEY, SCOPE, utf8(position)));

function acceptsToken(input: Uint8Array): boolean {
  const token = bytesText(input);
  openToken(TOKEN_KEY, SCOPE, token);
  holds(TOKENS.includes(token), 'only what was sealed opens');
  return true;
}

function depthOf(element: ReadElement): number {
  return 1 + Math.max(0, ...element.children.map(depthOf));
}

/** The same document as every root that requests have; some must know it. */
function acceptsXml(input: Uint8Array): boolean {
  const read = ['Delete', 'CompleteMultipartUpload', 'CreateBucketConfiguration'].flatMap((root) => orRefused(() => readXml(input, root)) ?? []);
  holds(read.length === 0 || !bytesText(input).includes('<!'), 'no declaration is accepted');
  holds(read.every((element) => depthOf(element) <= 16), 'no document is nested deeper than its bound');
  return read.length > 0;
}

const SEED = 'ab'.repeat(32);
const signing = { key: id('signing key'), timestamp: '20260102T030405Z', scope: '20260102/us-east-1/s3/aws4_request', seed: SEED };
const EMPTY_HASH = hex(sha256(new Uint8Array(0)));

function signedChunks(): Uint8Array {
  let previous = SEED;
  const chunk = (content: string): string => {
    const toSign = ['AWS4-HMAC-SHA256-PAYLOAD', signing.timestamp, signing.scope, previous, EMPTY_HASH, hex(sha256(utf8(content)))].join('\n');
    previous = hex(hmacSha256(signing.key, utf8(toSign)));
    return `${content.length.toString(16)};chunk-signature=${previous}\r\n${content}${content === '' ? '' : '\r\n'}`;
  };
  return utf8(`${chunk('hello')}${chunk('world')}${chunk('')}\r\n`);
}
const unsignedChunks = utf8('5\r\nhello\r\n5\r\nworld\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n');

function decodeChunks(options: ConstructorParameters<typeof AwsChunkedDecoder>[0], pieces: readonly Uint8Array[]): string {
  try {
    const chunked = new AwsChunkedDecoder(options);
    const content = pieces.flatMap((piece) => chunked.push(piece).map((found) => Uint8Array.from(found)));
    const trailer = chunked.end();
    return `content ${hex(concat(...content))} ${trailer ?? ''}`;
  } catch (error) {
    if (error instanceof S3Error) return `refused`;
    throw error;
  }
}

/** However the bytes arrive, the verdict is the same; and signed content is what was signed. */
function acceptsChunks(input: Uint8Array): boolean {
  const step = 1 + (input.length % 7);
  const pieces = Array.from({ length: Math.ceil(input.length / step) }, (_, i) => input.subarray(i * step, i * step + step));
  const kinds = [{ size: 10, signing, trailer: undefined }, { size: 10, signing: undefined, trailer: 'x-amz-checksum-crc32' }];
  const verdicts = kinds.map((options) => {
    const whole = decodeChunks(options, [input]);
    holds(whole === decodeChunks(options, pieces), 'however the bytes arrive, the verdict is the same');
    return whole;
  });
  const ok = verdicts.map((verdict) => verdict !== 'refused');
  if (ok[0] === true) holds(verdicts[0] === `content ${hex(utf8('helloworld'))} `, 'signed content is what was signed');
  return ok.includes(true);
}

async function acceptsAuthorization(input: Uint8Array): Promise<boolean> {
  const request = readRequest(input);
  if (request === null) return false;
  const { method, target, headers } = request;
  const asked = { method, target, headers, body: nothing(), scheme: 'http' as const, confidential: true };
  const { principal } = await authenticate(asked, parseTarget(target), { lookup, region: 'us-east-1', nowMs: NOW_MS });
  if (principal.kind === 'anonymous') return false;
  holds(principal.accessKeyId === ACCESS_KEY, 'only a known key authenticates');
  // The signature covers method, path, query and the signed headers: those of a request that was signed.
  holds(S3_REQUESTS.some((known) => known.method === method && equal(utf8(parseTarget(known.target).path), utf8(parseTarget(target).path))), 'only what was signed authenticates');
  return true;
}

async function* nothing(): AsyncGenerator<Uint8Array> {
  yield* [];
}

async function* inPieces(body: Uint8Array): AsyncGenerator<Uint8Array> {
  const middle = Math.floor(body.length / 3);
  if (middle > 0) yield body.subarray(0, middle);
  if (body.length > 0) yield body.subarray(middle);
}

function httpRequest({ method, target, headers, body }: RawRequest): HttpRequest {
  return { method, target, headers, body: inPieces(body), scheme: 'http', confidential: true };
}

/** A store with what the seed requests name. */
export async function filledStore(): Promise<MemoryStore> {
  const store = new MemoryStore();
  store.nowMs = NOW_MS;
  store.addBucket('bucket', { owner: OWNER });
  store.addBucket('empty-bucket', { owner: OWNER });
  const operation = { id: id('operation'), repeatable: false };
  const { metadata, attributes } = INFO;
  const made = { owner: OWNER, metadata, attributes, customerKey: undefined, operation };
  const content = (bytes: Uint8Array) => ({ size: bytes.length, bytes: inPieces(bytes), seal: () => ({ etag: md5(bytes), checksum: undefined }) });
  for (const key of ['a', 'dir/b']) await store.putObject({ bucket: 'bucket', key, ...made, content: content(utf8('some content')), condition: undefined });
  const created = await store.createUpload({ bucket: 'bucket', key: 'big', ...made, checksum: undefined });
  if (created.outcome !== 'created') throw new Error('the upload was not created');
  const upload = store.uploads.get(created.uploadId);
  if (upload === undefined) throw new Error('the upload is not there');
  store.uploads.delete(created.uploadId);
  store.uploads.set(UPLOAD_ID, upload);
  await store.uploadPart({ bucket: 'bucket', key: 'big', uploadId: UPLOAD_ID, number: 1, content: content(utf8('hello')), customerKey: undefined, operation });
  return store;
}

function md5(bytes: Uint8Array): string {
  const state = incremental('md5');
  state.update(bytes);
  return hex(state.digest());
}

export function frontOver(store: MemoryStore): S3Front {
  return new S3Front({
    ...FRONT_DEFAULTS, store, clock, lookup, telemetry: new CountingTelemetry(), random: new SeededRandom('front'), accounts: directoryOf(account), tokenKey: TOKEN_KEY,
  });
}

/** 5xx that say what is so: nothing else may be answered to a client who only sends something odd. */
function isDocumented(status: number): boolean {
  return status < 500 || status === 501;
}

/** The answer as a listener would send it. */
async function answerOf(front: S3Front, request: RawRequest): Promise<HttpResponse> {
  const response = await front.handle(httpRequest(request));
  for (const [name, value] of response.headers) {
    validateHeaderName(name);
    validateHeaderValue(name, value);
  }
  let bytes = 0;
  if (response.body instanceof Uint8Array) bytes = response.body.length;
  else for await (const piece of response.body) bytes += piece.length;
  const announced = response.headers.find(([name]) => name === 'Content-Length')?.[1];
  if (announced !== undefined && request.method !== 'HEAD') holds(Number(announced) === bytes, 'the answer is as long as it says');
  holds(isDocumented(response.status), `status ${response.status}: ${response.body instanceof Uint8Array ? Buffer.from(response.body).toString() : ''}`);
  response.release?.();
  return response;
}

async function acceptsRequest(input: Uint8Array): Promise<boolean> {
  const request = readRequest(input);
  if (request === null || !isWireRequest(request)) return false;
  await answerOf(frontOver(await filledStore()), request);
  const store = await filledStore();
  const front = frontOver(store);
  const { status } = await answerOf(front, signRequest(request));
  // Whatever it stored can be listed and read.
  for (const [bucket, { objects }] of store.buckets) {
    const list = signRequest({ method: 'GET', target: `/${bucket}?list-type=2&encoding-type=url`, headers: [], body: new Uint8Array(0) });
    holds((await answerOf(front, list)).status === 200, 'the bucket can be listed');
    for (const key of objects.keys()) {
      const path = uriEncode(Buffer.from(utf8(key)).toString('latin1'), false);
      const get = signRequest({ method: 'GET', target: `/${bucket}/${path}`, headers: [], body: new Uint8Array(0) });
      holds((await answerOf(front, get)).status === 200, `the object can be read`);
    }
  }
  holds(front.underWay === 0 && store.open === 0, 'nothing stays open');
  return status < 300;
}

const SEED_REQUESTS = S3_REQUESTS.map(writeRequest);
const sigv4 = 'src/gateway/s3/auth/sigv4.ts';
const conditions = 'src/gateway/s3/objects/conditions.ts';
const copySource = 'src/gateway/s3/objects/copy-source.ts';

export const s3Targets: readonly Target[] = [
  decoder({ name: 's3-target', covers: ['parseTarget', 'parseResource'].map((name) => `src/gateway/s3/http/uri.ts ${name}`), format: text(['%', '%00', '%ff', '%2F', '&', '=', '?', '+', '..', '/']), seeds: () => TARGETS.map(utf8), accepts: acceptsTarget, refuses: isS3Error }),
  decoder({
    name: 's3-header-values', covers: [`${conditions} parseRange`, 'src/gateway/s3/checksums/checksums.ts decodeChecksum', `${sigv4} parseTimestamp`], format: text(['bytes=', '-', ',', '"', '*', 'W/', ' GMT', 'Z', 'T', '=']),
    seeds: () => ['bytes=0-99', 'bytes=-5', 'bytes=7-', '20260102T030405Z', 'NhCmhg=='].map(utf8), accepts: acceptsCondition, refuses: isS3Error, inputs: 600,
  }),
  decoder({
    name: 's3-copy-headers', covers: [`${copySource} parseCopySource`, `${copySource} parseCopyRange`, 'src/gateway/s3/objects/sealing.ts parseCustomerKey', 'src/gateway/s3/objects/object-attributes.ts parseAttributes'], format: text(['/', '%2F', '%ff', '?versionId=', '&', 'bytes=', '-', ',', 'ETag', '=']),
    seeds: () => ['/bucket/a%20key?versionId=v1', 'bytes=0-0', 'pO3upElrwuEXSoFwCfnZPdSsmt/xWeFa0N9KgDijwVs=', 'ETag,Checksum'].map(utf8), accepts: acceptsCopyHeader, refuses: isS3Error, inputs: 600,
  }),
  decoder({ name: 's3-token', covers: ['src/gateway/s3/http/continuation.ts openToken'], format: text(['A', '_', '-', '=']), seeds: () => TOKENS.map(utf8), accepts: acceptsToken, refuses: isS3Error }),
  decoder({ name: 's3-xml', covers: ['src/gateway/s3/http/xml.ts readXml'], format: text(['<a>', '</a>', '<a/>', '<!--', '<!DOCTYPE x [', '<![CDATA[', ']]>', '<?xml version="1.0"?>', '&amp;', '&#0;', '&#xD800;', '&x;', ' xmlns="a"', "='"]), seeds: () => Object.values(XML).map(utf8), lends: () => ['<!-- a -->', '<![CDATA[a]]>', '<!DOCTYPE Delete>', '<?a b?>', `${'<a>'.repeat(16)}${'</a>'.repeat(16)}`].map((word) => utf8(XML.DELETE_XML.replace('<Quiet>', `${word}<Quiet>`))), accepts: acceptsXml, refuses: isS3Error, inputs: 600 }),
  decoder({ name: 's3-chunked', covers: ['src/gateway/s3/body/aws-chunked.ts AwsChunkedDecoder'], format: text(['\r\n', '0\r\n', ';chunk-signature=', 'ffffffffffffffff', 'x-amz-trailer-signature:', 'x-amz-checksum-crc32:']), seeds: () => [signedChunks(), unsignedChunks], accepts: acceptsChunks, inputs: 600 }),
  decoder({ name: 's3-authorization', covers: [`${sigv4} authenticate`], format: text(S3_WORDS), seeds: () => SEED_REQUESTS, accepts: acceptsAuthorization, refuses: isS3Error }),
  decoder({ name: 's3-front', covers: ['src/gateway/s3/body/content.ts openContent', 'src/gateway/s3/body/content.ts readAll'], format: text(S3_WORDS), seeds: () => SEED_REQUESTS, accepts: acceptsRequest, inputs: 400 }),
];

