import { createHash, createHmac } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import type { HttpRequest } from '../../../base/http.ts';
import { S3Error } from '../http/errors.ts';
import { authenticate, parseTimestamp } from './sigv4.ts';
import type { Authenticated } from './sigv4.ts';
import type { CredentialLookup, Principal } from './principal.ts';
import { parseTarget } from '../http/uri.ts';

/** The examples that Amazon publishes with Signature Version 4 for S3, all at this moment. */
const NOW = Date.UTC(2013, 4, 24);
const KEY_ID = 'AKIAIOSFODNN7EXAMPLE';
const account = { id: 'a'.repeat(64), displayName: 'example' };
const lookup: CredentialLookup = (id) =>
  Promise.resolve(
    id === KEY_ID ? { secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY', account } : undefined,
  );
const EMPTY_SHA256 = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';
const HOST = 'examplebucket.s3.amazonaws.com';

function verify(
  method: string,
  target: string,
  headers: Readonly<Record<string, string>>,
  nowMs = NOW,
  confidential = true,
): Promise<Authenticated> {
  const request: HttpRequest = {
    method,
    target,
    headers: Object.entries({ Host: HOST, ...headers }),
    body: (async function* empty() {})(),
    scheme: 'https',
    confidential,
  };
  return authenticate(request, parseTarget(target), { lookup, region: 'us-east-1', nowMs });
}

const authorization = (signedHeaders: string, signature: string): string =>
  'AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,' +
  `SignedHeaders=${signedHeaders},Signature=${signature}`;

async function codeOf(action: () => Promise<unknown>): Promise<string> {
  try {
    await action();
  } catch (error) {
    if (error instanceof S3Error) return error.code;
    throw error;
  }
  return 'accepted';
}

describe("Amazon's published examples verify", () => {
  test('GET of an object with a range', async () => {
    const headers = {
      Authorization: authorization(
        'host;range;x-amz-content-sha256;x-amz-date',
        'f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41',
      ),
      Range: 'bytes=0-9',
      'x-amz-content-sha256': EMPTY_SHA256,
      'x-amz-date': '20130524T000000Z',
    };
    const signed: Principal = { kind: 'account', account, accessKeyId: KEY_ID };
    expect((await verify('GET', '/test.txt', headers)).principal).toEqual(signed);
    expect(await codeOf(() => verify('GET', '/test.txt', { ...headers, Range: 'bytes=0-8' }))).toBe(
      'SignatureDoesNotMatch',
    );
  });

  test('PUT of an object whose key is encoded', async () => {
    const result = await verify('PUT', '/test$file.text', {
      Date: 'Fri, 24 May 2013 00:00:00 GMT',
      'x-amz-date': '20130524T000000Z',
      'x-amz-storage-class': 'REDUCED_REDUNDANCY',
      'x-amz-content-sha256': '44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072',
      Authorization: authorization(
        'date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class',
        '98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd',
      ),
    });
    expect(result.payload.kind).toBe('hashed');
  });

  test.each([
    ['/?lifecycle', 'fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543'],
    ['/?max-keys=2&prefix=J', '34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7'],
    ['/?prefix=J&max-keys=2', '34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7'],
  ])('GET %s', async (target, signature) => {
    const headers = {
      Authorization: authorization('host;x-amz-content-sha256;x-amz-date', signature),
      'x-amz-date': '20130524T000000Z',
      'x-amz-content-sha256': EMPTY_SHA256,
    };
    expect((await verify('GET', target, headers)).payload.kind).toBe('hashed');
  });

  const presigned =
    '/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3' +
    '%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host' +
    '&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404';

  test('a presigned GET, for as long as it says', async () => {
    const day = 86_400_000;
    expect((await verify('GET', presigned, {})).query).toEqual([]);
    expect(await codeOf(() => verify('GET', presigned, {}, NOW + day))).toBe('accepted');
    expect(await codeOf(() => verify('GET', presigned, {}, NOW + day + 1))).toBe('AccessDenied');
    expect(await codeOf(() => verify('GET', presigned, {}, NOW - 900_001))).toBe('RequestTimeTooSkewed');
  });

  test('a presigned request, whose payload is unsigned, needs TLS or loopback', async () => {
    expect(await codeOf(() => verify('GET', presigned, {}, NOW, false))).toBe('AccessDenied');
  });
});

/** The signature of a GET whose only date is the Date header. */
function signedByDate(date: string): Record<string, string> {
  const names = 'date;host;x-amz-content-sha256';
  const canonical = ['GET', '/test.txt', '', `date:${date}`, `host:${HOST}`, `x-amz-content-sha256:${EMPTY_SHA256}`, '', names, EMPTY_SHA256].join('\n');
  const scope = '20130524/us-east-1/s3/aws4_request';
  const hashed = createHash('sha256').update(canonical).digest('hex');
  let key: Buffer | string = 'AWS4wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY';
  for (const part of scope.split('/')) key = createHmac('sha256', key).update(part).digest();
  const signature = createHmac('sha256', key).update(['AWS4-HMAC-SHA256', '20130524T000000Z', scope, hashed].join('\n')).digest('hex');
  return { Date: date, 'x-amz-content-sha256': EMPTY_SHA256, Authorization: authorization(names, signature) };
}

test('the Date header dates a request without x-amz-date, in the zone of Greenwich alone', async () => {
  const greenwich = ['Fri, 24 May 2013 00:00:00 GMT', 'Fri, 24 May 2013 00:00:00 -0000'];
  for (const date of greenwich) expect(await codeOf(() => verify('GET', '/test.txt', signedByDate(date)))).toBe('accepted');
  for (const date of ['Fri, 24 May 2013 00:00:00 +0100', '2013-05-24', ''])
    expect(await codeOf(() => verify('GET', '/test.txt', signedByDate(date)))).toBe('AccessDenied');
  const moved = { ...signedByDate('Fri, 24 May 2013 00:00:00 GMT'), Date: 'Fri, 24 May 2013 00:00:01 GMT' };
  expect(await codeOf(() => verify('GET', '/test.txt', moved))).toBe('SignatureDoesNotMatch');
});

test('a request without any claim is anonymous, and what it says of its body still counts', async () => {
  const plain = await verify('GET', '/test.txt', {});
  expect(plain.principal).toEqual({ kind: 'anonymous' });
  expect(plain.credential).toBeUndefined();
  expect((await verify('PUT', '/x', { 'x-amz-content-sha256': EMPTY_SHA256 })).payload.kind).toBe('hashed');
  const chunked = { 'x-amz-content-sha256': 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD' };
  expect(await codeOf(() => verify('PUT', '/x', chunked))).toBe('InvalidRequest');
});

test('a header that steers us, given twice, is refused before anything else', async () => {
  const request: HttpRequest = {
    method: 'GET',
    target: '/',
    headers: [
      ['Host', HOST],
      ['x-amz-date', '20130524T000000Z'],
      ['X-Amz-Date', '20130524T000001Z'],
    ],
    body: (async function* empty() {})(),
    scheme: 'https',
    confidential: true,
  };
  const settings = { lookup, region: 'us-east-1', nowMs: NOW };
  expect(await codeOf(() => authenticate(request, parseTarget('/'), settings))).toBe('InvalidRequest');
});

test.each([
  '20130524T000000',
  '20130524 000000Z',
  '20131324T000000Z',
  '20130524T250000Z',
  '20130229T000000Z',
  '',
])('the timestamp "%s" is none', (text) => {
  expect(parseTimestamp(text)).toBeUndefined();
});

test('the leap day of 2024 is a timestamp', () => {
  expect(parseTimestamp('20240229T235959Z')).toBe(Date.UTC(2024, 1, 29, 23, 59, 59));
});
