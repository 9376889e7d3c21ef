import { createHash } from 'node:crypto';
import { connect } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { ACCESS_KEY, OWNER, ask, send, sign, startS3World, timestampNow } from './s3-world.contract.ts';
import type { S3World, SignedRequest } from './s3-world.contract.ts';

let world: S3World;

beforeAll(async () => {
  world = await startS3World({ patience: { idleMs: 300, graceMs: 1_000, bytesPerSecondMin: 1024 } });
  world.store.addBucket('wire');
});

afterEach(() => {
  world.clock.shiftMs = 0;
  world.store.fail = undefined;
  world.store.breakReadAfter = undefined;
});

afterAll(async () => {
  await world.close();
});

const host = (): string => `${world.server.address}:${String(world.server.port)}`;
const put = (key: string, more: Partial<SignedRequest> = {}): SignedRequest => ({
  method: 'PUT',
  path: `/wire/${key}`,
  body: 'content',
  ...more,
});
const get = (key: string, more: Partial<SignedRequest> = {}): SignedRequest => ({
  method: 'GET',
  path: `/wire/${key}`,
  ...more,
});
const stored = (key: string): boolean => world.store.buckets.get('wire')?.objects.has(key) === true;
const md5 = (text: string): string => createHash('md5').update(text).digest('base64');
const crc32 = '/sUwqQ==';

test.each([
  ['deflate, gzip', 'deflate, gzip'],
  ['deflate,gzip', 'deflate,gzip'],
  ['aws-chunked,gzip', 'gzip'],
  ['gzip, aws-chunked', 'gzip'],
  ['aws-chunked', undefined],
])('the content encoding %s is told as %s', async (sent, told) => {
  await ask(world, put('encoded', { headers: { 'content-encoding': sent } }));
  expect((await ask(world, get('encoded'))).headers['content-encoding']).toBe(told);
});

describe('authentication', () => {
  test('a request signed by hand is accepted', async () => {
    expect((await ask(world, put('plain'))).status).toBe(200);
    const answer = await ask(world, get('plain'));
    expect(answer.text).toBe('content');
    expect(answer.headers['x-amz-request-id']).toMatch(/^[0-9A-F]{16}$/);
  });

  test.each<[string, Partial<SignedRequest>, number, string]>([
    ['a wrong secret', { secret: 'x' }, 403, 'SignatureDoesNotMatch'],
    ['an unknown access key', { accessKey: 'NOBODY' }, 403, 'InvalidAccessKeyId'],
    ['another region', { region: 'eu-west-1' }, 400, 'AuthorizationHeaderMalformed'],
    ['a clock 16 minutes behind', { timestamp: timestampNow(-16 * 60_000) }, 403, 'RequestTimeTooSkewed'],
    ['a clock 16 minutes ahead', { timestamp: timestampNow(16 * 60_000) }, 403, 'RequestTimeTooSkewed'],
    ['an impossible date', { timestamp: '20260230T000000Z' }, 403, 'AccessDenied'],
    [
      'an unsigned x-amz header',
      { headers: { 'x-amz-meta-a': 'b' }, unsigned: ['x-amz-meta-a'] },
      403,
      'AccessDenied',
    ],
    ['an unsigned host', { unsigned: ['host'] }, 403, 'AccessDenied'],
    ['a payload hash of other content', { payload: 'a'.repeat(64) }, 400, 'XAmzContentSHA256Mismatch'],
    ['a payload hash that is none', { payload: 'whatever' }, 400, 'InvalidArgument'],
    [
      'a payload signed by SigV4a',
      { payload: 'STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD' },
      501,
      'NotImplemented',
    ],
    ['a session token', { headers: { 'x-amz-security-token': 't' } }, 400, 'InvalidToken'],
    [
      'another bucket owner',
      { headers: { 'x-amz-expected-bucket-owner': '999999999999' } },
      403,
      'AccessDenied',
    ],
  ])('%s is refused and nothing is stored', async (_name, wish, status, code) => {
    const answer = await ask(world, put('refused', wish));
    expect([answer.status, answer.code]).toEqual([status, code]);
    expect(stored('refused')).toBe(false);
  });

  test('a clock 14 minutes off and the right owner are accepted', async () => {
    const headers = { 'x-amz-expected-bucket-owner': OWNER };
    expect((await ask(world, put('near', { timestamp: timestampNow(-14 * 60_000), headers }))).status).toBe(
      200,
    );
  });

  test.each(['method', 'path', 'query', 'header', 'signature'])(
    'a request whose %s was changed on the way is refused',
    async (part) => {
      const prepared = sign(host(), put('orig', { headers: { 'x-amz-meta-a': 'b' } }));
      const changed = {
        method: { ...prepared, method: 'DELETE' },
        path: { ...prepared, target: '/wire/changed' },
        query: { ...prepared, target: `${prepared.target}?x-id=PutObject` },
        header: { ...prepared, headers: { ...prepared.headers, 'x-amz-meta-a': 'c' } },
        signature: {
          ...prepared,
          headers: {
            ...prepared.headers,
            authorization: `${prepared.headers.authorization?.slice(0, -4) ?? ''}0000`,
          },
        },
      }[part];
      const answer = await send(world.server, changed ?? prepared, part === 'method' ? '' : 'content');
      expect([answer.status, answer.code]).toEqual([403, 'SignatureDoesNotMatch']);
      expect(stored('orig') || stored('changed')).toBe(false);
    },
  );

  test.each([
    ['', 403, 'AccessDenied'],
    ['AWS AKID:signature', 400, 'InvalidRequest'],
    ['AWS4-HMAC-SHA256', 400, 'InvalidRequest'],
    ['AWS4-HMAC-SHA256 x', 400, 'AuthorizationHeaderMalformed'],
    [
      `AWS4-HMAC-SHA256 Credential=${ACCESS_KEY}/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=zz`,
      400,
      'AuthorizationHeaderMalformed',
    ],
    [
      `AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=${'0'.repeat(64)}`,
      400,
      'AuthorizationHeaderMalformed',
    ],
    [
      `AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/s3/aws4_request, SignedHeaders=host;a, Signature=${'0'.repeat(64)}`,
      400,
      'AuthorizationHeaderMalformed',
    ],
  ])('the authorization header "%s" is refused', async (authorization, status, code) => {
    const { authorization: _, ...headers } = sign(host(), get('plain')).headers;
    const more = authorization === '' ? headers : { ...headers, authorization };
    const answer = await send(world.server, { ...sign(host(), get('plain')), headers: more });
    expect([answer.status, answer.code]).toEqual([status, code]);
  });

  test('a host that is neither an address nor ours is refused, since its path would lack the bucket', async () => {
    const answer = await send(world.server, sign('wire.example.com', get('plain')));
    expect([answer.status, answer.code]).toEqual([400, 'InvalidRequest']);
  });

  test('a bucket may stand in the host, which is signed', async () => {
    const virtual = `wire.localhost:${String(world.server.port)}`;
    expect((await send(world.server, sign(virtual, put('x', { path: '/virtual a' })), 'content')).status).toBe(200);
    expect((await ask(world, get('virtual a'))).text).toBe('content');
    expect((await send(world.server, sign(virtual, get('x', { path: '/' })))).text).toContain('<Key>virtual a</Key>');
    const moved = sign('other.localhost', get('x', { path: '/virtual a' }));
    const answer = await send(world.server, { ...moved, headers: { ...moved.headers, host: virtual } });
    expect(answer.code).toBe('SignatureDoesNotMatch');
  });
});

describe('presigned URLs', () => {
  test('read and write without a header of ours', async () => {
    expect((await ask(world, put('by-url', { expires: 60 }))).status).toBe(200);
    expect(
      (await ask(world, get('by-url', { expires: 60, query: { 'response-content-type': 'a/b' } }))).headers[
        'content-type'
      ],
    ).toBe('a/b');
  });

  test('expire', async () => {
    const old = { expires: 60, timestamp: timestampNow(-61_000) };
    expect((await ask(world, get('by-url', old))).code).toBe('AccessDenied');
    const kept = { expires: 3600, timestamp: timestampNow(-3_000_000) };
    expect((await ask(world, get('by-url', kept))).status).toBe(200);
  });

  test.each([
    [0, 'AccessDenied'],
    [-7, 'AccessDenied'],
    [604_801, 'AccessDenied'],
    [1.5, 'AuthorizationQueryParametersError'],
  ])('of %d seconds are refused', async (expires, code) => {
    expect((await ask(world, get('by-url', { expires }))).code).toBe(code);
  });

  test('whose signature, expiry or key was changed are refused', async () => {
    const prepared = sign(host(), get('by-url', { expires: 60 }));
    for (const target of [
      prepared.target.replace('X-Amz-Expires=60', 'X-Amz-Expires=61'),
      prepared.target.replace('by-url', 'plain'),
      prepared.target.replace(/.$/, (digit) => (digit === '0' ? '1' : '0')),
    ]) {
      expect((await send(world.server, { ...prepared, target })).code).toBe('SignatureDoesNotMatch');
    }
  });

  test('carry x-amz headers in the query, which count', async () => {
    const wrong = await ask(world, put('q', { expires: 60, query: { 'x-amz-checksum-crc32': 'AAAAAA==' } }));
    expect(wrong.code).toBe('BadDigest');
    const right = await ask(
      world,
      put('q', { expires: 60, query: { 'x-amz-checksum-crc32': crc32, 'x-amz-meta-a': 'b' } }),
    );
    expect(right.status).toBe(200);
    expect((await ask(world, get('q'))).headers['x-amz-meta-a']).toBe('b');
    const twice = put('q', { expires: 60, query: { 'x-amz-meta-a': 'b' }, headers: { 'x-amz-meta-a': 'c' } });
    expect((await ask(world, twice)).code).toBe('InvalidRequest');
  });

  test('of Signature Version 2 are refused with a hint', async () => {
    const prepared = sign(host(), get('by-url'));
    const target = '/wire/by-url?AWSAccessKeyId=a&Signature=b&Expires=1';
    const answer = await send(world.server, { ...prepared, target, headers: { host: host() } });
    expect([answer.status, answer.code]).toEqual([400, 'InvalidRequest']);
    // To be copied as it stands by who reads it.
    expect(answer.text).toContain('AWS4-HMAC-SHA256');
    const said = answer.text.replaceAll('&apos;', "'").replaceAll('&#39;', "'");
    expect(said).toContain("boto3.client('s3', config=botocore.config.Config(signature_version='s3v4'))");
    expect(said).toContain('aws configure set default.s3.signature_version s3v4');
    const headers = { host: host(), 'x-amz-date': prepared.headers['x-amz-date'] ?? '', authorization: 'AWS a:b' };
    expect((await send(world.server, { ...prepared, headers })).text).toContain('aws configure set default.s3.signature_version s3v4');
  });

  test('together with an authorization header are refused', async () => {
    const prepared = sign(host(), get('by-url', { expires: 60 }));
    const headers = {
      ...prepared.headers,
      authorization: sign(host(), get('by-url')).headers.authorization ?? '',
    };
    expect((await send(world.server, { ...prepared, headers })).code).toBe('InvalidArgument');
  });
});

describe('bodies', () => {
  test.each<[string, Record<string, string>, string]>([
    ['a wrong Content-MD5', { 'content-md5': md5('other') }, 'BadDigest'],
    ['a malformed Content-MD5', { 'content-md5': 'abc' }, 'InvalidDigest'],
    ['a wrong CRC32', { 'x-amz-checksum-crc32': 'AAAAAA==' }, 'BadDigest'],
    ['a malformed CRC32', { 'x-amz-checksum-crc32': 'AAAA' }, 'BadDigest'],
    [
      'two checksums',
      { 'x-amz-checksum-crc32': crc32, 'x-amz-checksum-crc32c': 'AAAAAA==' },
      'InvalidRequest',
    ],
    ['an algorithm without its checksum', { 'x-amz-sdk-checksum-algorithm': 'CRC32' }, 'InvalidRequest'],
    ['a trailer without trailers', { 'x-amz-trailer': 'x-amz-checksum-crc32' }, 'InvalidRequest'],
    ['too much metadata', { 'x-amz-meta-a': 'x'.repeat(2048) }, 'MetadataTooLarge'],
  ])('%s is refused and nothing is stored', async (_name, headers, code) => {
    expect((await ask(world, put('bad', { headers }))).code).toBe(code);
    expect(stored('bad')).toBe(false);
  });

  test('a right Content-MD5 and CRC32 are accepted and the checksum is given back', async () => {
    const headers = { 'content-md5': md5('content'), 'x-amz-checksum-crc32': crc32 };
    expect((await ask(world, put('good', { headers }))).headers['x-amz-checksum-crc32']).toBe(crc32);
    const read = await ask(world, get('good', { headers: { 'x-amz-checksum-mode': 'ENABLED' } }));
    expect(read.headers['x-amz-checksum-crc32']).toBe(crc32);
    const part = await ask(
      world,
      get('good', { headers: { 'x-amz-checksum-mode': 'ENABLED', range: 'bytes=0-1' } }),
    );
    expect([part.status, part.text, part.headers['x-amz-checksum-crc32']]).toEqual([206, 'co', undefined]);
  });

  test('a body without a length is refused with 411', async () => {
    const prepared = sign(host(), put('chunked', { headers: { 'transfer-encoding': 'chunked' } }));
    const answer = await raw(`${head(prepared)}\r\n7\r\ncontent\r\n0\r\n\r\n`);
    expect(answer).toMatch(/^HTTP\/1.1 411 /);
    expect(stored('chunked')).toBe(false);
  });

  test('a body cut off by the client stores nothing', async () => {
    const prepared = sign(host(), put('cut', { body: 'x'.repeat(1000) }));
    await raw(`${head(prepared)}content-length: 1000\r\n\r\n${'x'.repeat(999)}`, { endAfterMs: 100 });
    await until(() => world.front.underWay === 0);
    expect(stored('cut')).toBe(false);
  });

  test('a body that stalls is given up with RequestTimeout', async () => {
    const prepared = sign(host(), put('stall', { body: 'x'.repeat(1000) }));
    const answer = await raw(`${head(prepared)}content-length: 1000\r\n\r\n${'x'.repeat(10)}`);
    expect(answer).toContain('<Code>RequestTimeout</Code>');
    expect(world.front.underWay).toBe(0);
  });

  test('a body that drips below the slowest rate is given up although it never stalls', async () => {
    const prepared = sign(host(), put('drip', { body: 'x'.repeat(1000) }));
    const answer = await raw(`${head(prepared)}content-length: 1000\r\n\r\n`, { drip: 'x', everyMs: 100 });
    expect(answer).toContain('<Code>RequestTimeout</Code>');
  });

  test('a client that expects 100-continue is answered a refusal without being asked for its body', async () => {
    const headers = { expect: '100-continue' };
    const forged = sign(host(), put('expect', { headers, secret: 'x', unsigned: ['expect'] }));
    const refused = await raw(`${head(forged)}content-length: 7\r\n\r\n`);
    expect(refused).toMatch(/^HTTP\/1.1 403 /);
    expect(refused).toMatch(/connection: close/i);
    const genuine = sign(host(), put('expect', { headers, unsigned: ['expect'] }));
    const accepted = await raw(`${head(genuine)}content-length: 7\r\n\r\n`, { onContinue: 'content' });
    expect(accepted).toMatch(/^HTTP\/1.1 100 Continue\r\n\r\nHTTP\/1.1 200 /);
    expect(stored('expect')).toBe(true);
  });

  test('a body on a request that takes none is refused', async () => {
    expect((await ask(world, get('plain', { body: 'x' }))).code).toBe('InvalidRequest');
  });
});

describe('what is not built', () => {
  test.each<[string, SignedRequest]>([
    ['two conditions in one write', put('cond', { headers: { 'if-none-match': '*', 'if-match': '"a"' } })],
    ['a delete of what does not match', { method: 'DELETE', path: '/wire/plain', headers: { 'if-none-match': '*' } }],
    ['deleting by a second factor', { method: 'DELETE', path: '/wire/plain', headers: { 'x-amz-mfa': '1 2' } }],
    [
      'encryption with a key of KMS',
      put('sse', { headers: { 'x-amz-server-side-encryption': 'aws:kms' } }),
    ],
    ['another storage class', put('cold', { headers: { 'x-amz-storage-class': 'GLACIER' } })],
    ['an invented x-amz header', put('new', { headers: { 'x-amz-invented': '1' } })],
    ['an invented parameter', get('plain', { query: { invented: '1' } })],
    ['a restored version', get('plain', { query: { restore: '' }, method: 'POST' })],
    ['a sub-resource', { method: 'GET', path: '/wire', query: { analytics: '' } }],
    ['a sub-resource beside a built one', { method: 'GET', path: '/wire', query: { location: '', acl: '' } }],
    ['several ranges', get('plain', { headers: { range: 'bytes=0-0,2-3' } })],
    [
      'a SERIALISED bucket',
      { method: 'PUT', path: '/other', headers: { 'x-holdfast-bucket-mode': 'serialised' } },
    ],
  ])('%s answers 501 and changes nothing', async (_name, wish) => {
    const before = [...(world.store.buckets.get('wire')?.objects.keys() ?? [])];
    const answer = await ask(world, wish);
    expect([answer.status, answer.code]).toEqual([501, 'NotImplemented']);
    expect([...(world.store.buckets.get('wire')?.objects.keys() ?? [])]).toEqual(before);
    expect(world.store.buckets.has('other')).toBe(false);
  });

  test('a method that S3 does not have answers 405', async () => {
    expect((await ask(world, { method: 'PATCH', path: '/wire/plain' })).status).toBe(405);
  });
});

describe('conditional writes', () => {
  const code = async (wish: SignedRequest): Promise<readonly unknown[]> => {
    const { status, code: name } = await ask(world, wish);
    return [status, name];
  };
  const FAILED = [412, 'PreconditionFailed'];

  test('are made when their condition holds, and answer 412 when it does not', async () => {
    expect(await code(put('once', { body: 'first', headers: { 'if-none-match': '*' } }))).toEqual([200, undefined]);
    expect(await code(put('once', { body: 'second', headers: { 'if-none-match': '*' } }))).toEqual(FAILED);
    const etag = String((await ask(world, get('once'))).headers.etag);
    expect(await code(put('once', { body: 'third', headers: { 'if-match': '"another"' } }))).toEqual(FAILED);
    expect(await code(put('once', { body: 'fourth', headers: { 'if-none-match': etag } }))).toEqual(FAILED);
    expect((await ask(world, get('once'))).text).toBe('first');
    expect(await code(put('once', { body: 'fifth', headers: { 'if-match': etag } }))).toEqual([200, undefined]);
    expect((await ask(world, get('once'))).text).toBe('fifth');
    const gone = { method: 'DELETE', path: '/wire/once' } as const;
    expect(await code({ ...gone, headers: { 'if-match': etag } })).toEqual(FAILED);
    expect(await code({ ...gone, headers: { 'if-match': '*' } })).toEqual([204, undefined]);
  });

  test('that must match where there is nothing answer 404, and a delete there has nothing to do', async () => {
    expect(await code(put('nothing', { headers: { 'if-match': '*' } }))).toEqual([404, 'NoSuchKey']);
    const gone = { method: 'DELETE', path: '/wire/nothing', headers: { 'if-match': '"a"' } } as const;
    expect(await code(gone)).toEqual([204, undefined]);
  });

  test.each(['', '"a", "b"', 'W/"a"', '"a'])('with the tag %j are refused', async (tag) => {
    expect(await code(put('bad', { headers: { 'if-match': tag } }))).toEqual([400, 'InvalidArgument']);
  });

  test('in a PLAIN bucket answer 501, and change nothing', async () => {
    expect(await code({ method: 'PUT', path: '/undecided', headers: { 'x-holdfast-bucket-mode': 'plain' } })).toEqual([200, undefined]);
    const there = { method: 'PUT', path: '/undecided/key', body: 'x' } as const;
    expect(await code(there)).toEqual([200, undefined]);
    expect(await code({ ...there, headers: { 'if-match': '*' } })).toEqual([501, 'NotImplemented']);
    expect(await code({ method: 'DELETE', path: '/undecided/key', headers: { 'if-match': '*' } })).toEqual([501, 'NotImplemented']);
  });
});

describe('outcomes', () => {
  test.each([
    ['unknown', 500, 'InternalError'],
    ['NO_QUORUM', 503, 'ServiceUnavailable'],
    ['TIMEOUT', 503, 'ServiceUnavailable'],
    ['BUSY', 503, 'SlowDown'],
    ['DISK_FULL', 503, 'ServiceUnavailable'],
    ['TOO_LARGE', 400, 'EntityTooLarge'],
    ['CORRUPT', 500, 'InternalError'],
  ] as const)('a write that ends in %s answers %d', async (fail, status, code) => {
    world.store.fail = fail;
    const answer = await ask(world, put('fate'));
    expect([answer.status, answer.code]).toEqual([status, code]);
    expect(answer.text).toContain(`<RequestId>${String(answer.headers['x-amz-request-id'])}</RequestId>`);
  });

  test('an object that cannot be read at all answers 500, one that breaks in the middle cuts the connection', async () => {
    await ask(world, put('large', { body: 'x'.repeat(300_000) }));
    world.store.breakReadAfter = 0;
    expect((await ask(world, get('large'))).status).toBe(500);
    world.store.breakReadAfter = 2;
    await expect(ask(world, get('large'))).rejects.toThrow('aborted');
    await until(() => world.front.underWay === 0);
    expect(world.store.open).toBe(0);
  });

  test('a bulk delete names the keys that failed', async () => {
    const body = '<Delete><Object><Key>one</Key></Object><Object><Key>two</Key></Object></Delete>';
    world.store.fail = 'unknown';
    const wish = {
      method: 'POST',
      path: '/wire',
      query: { delete: '' },
      body,
      headers: { 'content-md5': md5(body) },
    };
    const answer = await ask(world, wish);
    expect(answer.text).toMatch(/<Error><Key>one<\/Key><Code>InternalError<\/Code>.*<Deleted><Key>two</);
    const unchecked = await ask(world, { ...wish, headers: {} });
    expect(unchecked.code).toBe('InvalidRequest');
  });
});

describe('documents', () => {
  test.each([
    '<Delete><Object><Key>plain</Key></Object>',
    '<!DOCTYPE Delete [<!ENTITY k "plain">]><Delete><Object><Key>&k;</Key></Object></Delete>',
    '<Delete><Object><Key>&undefined;</Key></Object></Delete>',
    '<Other><Object><Key>plain</Key></Object></Other>',
    `${'<Delete>'.repeat(5000)}`,
    '<Delete></Delete>',
    '\u0000',
  ])('the delete document %# is refused and deletes nothing', async (body) => {
    const headers = { 'content-md5': md5(body) };
    const answer = await ask(world, { method: 'POST', path: '/wire', query: { delete: '' }, body, headers });
    expect(answer.code).toBe('MalformedXML');
    expect(stored('plain')).toBe(true);
  });

  test('a document above the limit is refused before it is read', async () => {
    const body = ' '.repeat(1024 * 1024 + 1);
    expect((await ask(world, { method: 'PUT', path: '/third-bucket', body })).code).toBe('EntityTooLarge');
  });

  test('a bucket in another region is refused', async () => {
    const configuration = (region: string): string =>
      `<CreateBucketConfiguration><LocationConstraint>${region}</LocationConstraint></CreateBucketConfiguration>`;
    const wish = { method: 'PUT', path: '/third-bucket' };
    expect((await ask(world, { ...wish, body: configuration('mars-1') })).code).toBe(
      'IllegalLocationConstraintException',
    );
    expect(
      (await ask(world, { ...wish, body: '<CreateBucketConfiguration><Tags/></CreateBucketConfiguration>' }))
        .status,
    ).toBe(501);
    expect((await ask(world, { ...wish, body: configuration('us-east-1') })).status).toBe(200);
  });

  test('a key that XML cannot carry is listed url-encoded or not at all', async () => {
    expect((await ask(world, put('ctl/\u0001'))).status).toBe(200);
    const list = { method: 'GET', path: '/wire', query: { prefix: 'ctl/' } };
    expect((await ask(world, list)).code).toBe('InvalidRequest');
    const encoded = await ask(world, { ...list, query: { ...list.query, 'encoding-type': 'url' } });
    expect(encoded.text).toContain('<Key>ctl/%01</Key>');
    expect(
      (await ask(world, { method: 'POST', path: '/wire/ctl/\u0001', query: { uploads: '' } })).code,
    ).toBe('InvalidArgument');
  });

  test('an invented, changed or foreign continuation token is refused', async () => {
    for (const name of ['t/1', 't/2', 't/3']) await ask(world, put(name));
    const list = (query: Record<string, string>) =>
      ask(world, { method: 'GET', path: '/wire', query: { 'list-type': '2', ...query } });
    const first = await list({ prefix: 't/', 'max-keys': '1' });
    const token = /<NextContinuationToken>(.*?)</.exec(first.text)?.[1] ?? '';
    expect((await list({ prefix: 't/', 'continuation-token': token })).text).toContain('<Key>t/2</Key>');
    expect((await list({ prefix: 't', 'continuation-token': token })).code).toBe('InvalidArgument');
    expect((await list({ prefix: 't/', 'continuation-token': 'AAAA' })).code).toBe('InvalidArgument');
    expect((await list({ prefix: 't/', 'continuation-token': token.slice(0, -2) })).code).toBe(
      'InvalidArgument',
    );
    expect((await list({ 'max-keys': '-1' })).code).toBe('InvalidArgument');
    expect((await list({ 'max-keys': '0' })).text).toContain('<KeyCount>0</KeyCount>');
  });
});

describe('names', () => {
  test.each(['Upper', 'a', 'a..b', '192.168.0.1', 'xn--a', '-abc', 'abc-', 'a_b', 'x'.repeat(64)])(
    'the bucket name %s is refused',
    async (name) => {
      const answer = await ask(world, { method: 'PUT', path: `/${name}` });
      expect(answer.code).toBe('InvalidBucketName');
      expect(answer.text).toContain('3 to 63 characters');
    },
  );

  test('keys have at most 1024 bytes and are UTF-8', async () => {
    expect((await ask(world, put('x'.repeat(1024)))).status).toBe(200);
    expect((await ask(world, put('x'.repeat(1025)))).code).toBe('KeyTooLongError');
    const prepared = sign(host(), put('x'));
    expect((await send(world.server, { ...prepared, target: '/wire/%zz' }, 'content')).code).toBe(
      'InvalidURI',
    );
  });

  test('two keys that differ in a leading byte order mark are two', async () => {
    await ask(world, put('\u{FEFF}bom', { body: 'with' }));
    await ask(world, put('bom', { body: 'without' }));
    expect((await ask(world, get('\u{FEFF}bom'))).text).toBe('with');
  });
});

test('one request more than admitted answers 503 SlowDown, is counted, and harms no other', async () => {
  const small = await startS3World({ concurrentMax: 1 });
  small.store.addBucket('wire');
  const prepared = sign(`${small.server.address}:${String(small.server.port)}`, put('held'));
  const held = connect(small.server.port, small.server.address);
  held.write(`${head(prepared)}content-length: 7\r\n\r\nconte`);
  await until(() => small.front.underWay === 1);
  const refused = await ask(small, get('held'));
  expect([refused.status, refused.code]).toEqual([503, 'SlowDown']);
  expect(small.telemetry.counts.get('s3_refused code=SlowDown')).toBe(1);
  expect(small.telemetry.counts.get('s3_slowed reason=requests-under-way')).toBe(1);
  held.write('nt');
  await until(() => small.front.underWay === 0);
  expect((await ask(small, get('held'))).text).toBe('content');
  held.destroy();
  await small.close();
});

/** Request line and headers, without the last empty line. */
function head(prepared: { method: string; target: string; headers: Record<string, string> }): string {
  const lines = Object.entries(prepared.headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return `${prepared.method} ${prepared.target} HTTP/1.1\r\n${lines.join('')}`;
}

interface RawOptions {
  readonly endAfterMs?: number;
  readonly drip?: string;
  readonly everyMs?: number;
  readonly onContinue?: string;
}

/** Writes bytes to a new connection and returns all that comes back until the first answer is over. */
function raw(text: string, options: RawOptions = {}): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(world.server.port, world.server.address);
    let answer = '';
    let told = false;
    const drip =
      options.drip === undefined
        ? undefined
        : setInterval(() => socket.write(options.drip ?? ''), options.everyMs);
    const finish = (): void => {
      clearInterval(drip);
      socket.destroy();
      resolve(answer);
    };
    socket.on('data', (piece: Buffer) => {
      answer += piece.toString('latin1');
      if (options.onContinue !== undefined && !told && answer.includes('100 Continue')) {
        told = true;
        socket.write(options.onContinue);
      } else if (/^HTTP\/1.1 [2-5]|\r\nHTTP\/1.1 [2-5]/.test(answer) && answer.endsWith('</Error>')) finish();
      else if (/HTTP\/1.1 200/.test(answer)) finish();
    });
    socket.on('close', finish);
    socket.on('error', finish);
    socket.write(text);
    if (options.endAfterMs !== undefined) setTimeout(finish, options.endAfterMs);
  });
}

async function until(holds: () => boolean): Promise<void> {
  for (let i = 0; i < 200 && !holds(); i += 1) await new Promise((resolve) => setTimeout(resolve, 10));
  expect(holds()).toBe(true);
}
