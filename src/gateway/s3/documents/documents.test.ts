import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ask, send, startS3World } from '../s3-world.contract.ts';
import type { Answer, S3World } from '../s3-world.contract.ts';
import { encodeGrants } from '../access/acl.ts';
import { OWNER } from '../s3-world.contract.ts';

let world: S3World;

beforeEach(async () => {
  world = await startS3World();
  const accessControl = encodeGrants(
    [
      { grantee: { kind: 'account', id: OWNER }, permission: 'FULL_CONTROL' },
      { grantee: { kind: 'group', group: 'all-users' }, permission: 'READ' },
    ],
    OWNER,
  );
  world.store.addBucket('box', { documents: accessControl === undefined ? {} : { accessControl } });
});

afterEach(() => world.close());

const document = (name: string): string | undefined =>
  (world.store.buckets.get('box')?.state.documents as Record<string, string> | undefined)?.[name];

/** Everybody may write. */
function publicWrite(): string {
  const grantee = { kind: 'group', group: 'all-users' } as const;
  return encodeGrants([{ grantee, permission: 'WRITE' }], OWNER) ?? '';
}

/** A signed request about a document of the bucket. */
const about = (method: string, what: string, body = ''): Promise<Answer> =>
  ask(world, { method, path: '/box', query: { [what]: '' }, body });

/** A request that nobody signed. */
function bare(method: string, target: string, headers: Record<string, string> = {}): Promise<Answer> {
  const host = `${world.server.address}:${String(world.server.port)}`;
  return send(world.server, { method, target, headers: { host, ...headers }, signature: '', key: Buffer.alloc(0), scope: '', timestamp: '' });
}

const rule = (methods: string[], origins: string[], more = ''): string =>
  `<CORSRule>${origins.map((o) => `<AllowedOrigin>${o}</AllowedOrigin>`).join('')}${methods.map((m) => `<AllowedMethod>${m}</AllowedMethod>`).join('')}${more}</CORSRule>`;
const putCors = (...rules: string[]): Promise<Answer> => about('PUT', 'cors', `<CORSConfiguration>${rules.join('')}</CORSConfiguration>`);

describe('a CORS configuration', () => {
  test('is not there, is put, given back and deleted', async () => {
    expect([(await about('GET', 'cors')).status, (await about('GET', 'cors')).code]).toEqual([404, 'NoSuchCORSConfiguration']);
    expect((await putCors(rule(['GET', 'PUT'], ['*.get', '*.put'], '<MaxAgeSeconds>3</MaxAgeSeconds>'))).status).toBe(200);
    expect((await about('GET', 'cors')).text).toContain('<AllowedMethod>GET</AllowedMethod><AllowedMethod>PUT</AllowedMethod><AllowedOrigin>*.get</AllowedOrigin>');
    expect((await about('DELETE', 'cors')).status).toBe(204);
    expect((await about('GET', 'cors')).status).toBe(404);
  });

  test.each<[string, string, string]>([
    ['a method that S3 does not know', rule(['OPTIONS'], ['*']), 'InvalidRequest'],
    ['two wildcards in an origin', rule(['GET'], ['*a*']), 'InvalidRequest'],
    ['two wildcards in a header', rule(['GET'], ['*'], '<AllowedHeader>x-*-*</AllowedHeader>'), 'InvalidRequest'],
    ['a wildcard in an exposed header', rule(['GET'], ['*'], '<ExposeHeader>x-*</ExposeHeader>'), 'InvalidRequest'],
    ['an exposed header that splits the answer', rule(['GET'], ['*'], '<ExposeHeader>x&#13;&#10;set-cookie</ExposeHeader>'), 'InvalidRequest'],
    ['no origin', rule(['GET'], []), 'MalformedXML'],
    ['no method', rule([], ['*']), 'MalformedXML'],
    ['no rule', '', 'MalformedXML'],
    ['a hundred and one rules', rule(['GET'], ['*']).repeat(101), 'MalformedXML'],
    ['an age that is no number', rule(['GET'], ['*'], '<MaxAgeSeconds>soon</MaxAgeSeconds>'), 'MalformedXML'],
    ['an element not known', rule(['GET'], ['*'], '<Other/>'), 'NotImplemented'],
  ])('with %s is refused', async (_, rules, code) => {
    expect((await putCors(rules)).code).toBe(code);
    expect(document('cors')).toBeUndefined();
  });
});

/** Status, allowed origin and allowed methods. */
const told = ({ status, headers }: Answer): unknown[] => [status, headers['access-control-allow-origin'], headers['access-control-allow-methods']];

describe('a browser', () => {
  beforeEach(async () => {
    await putCors(rule(['GET'], ['*suffix']), rule(['GET'], ['start*end']), rule(['GET'], ['prefix*']), rule(['PUT'], ['*.put']));
  });

  test.each<[string, number, boolean]>([
    ['foo.suffix', 200, true],
    ['foo.bar', 200, false],
    ['foo.suffix.get', 200, false],
    ['startend', 200, true],
    ['start12end', 200, true],
    ['0start12end', 200, false],
    ['prefix.suffix', 200, true],
    ['bla.prefix', 200, false],
  ])('of origin %s that gets a bucket', async (origin, status, isTold) => {
    expect(told(await bare('GET', '/box', { origin }))).toEqual([status, ...(isTold ? [origin, 'GET'] : [undefined, undefined])]);
  });

  test('is told of errors, too, and judged by the method that it asks about', async () => {
    expect(told(await bare('GET', '/box/bar', { origin: 'foo.suffix' }))).toEqual([404, 'foo.suffix', 'GET']);
    const put = (origin: string, method?: string): Promise<Answer> =>
      bare('PUT', '/box/bar', { origin, ...(method === undefined ? {} : { 'access-control-request-method': method }) });
    expect(told(await put('foo.suffix', 'GET'))).toEqual([403, 'foo.suffix', 'GET']);
    expect(told(await put('foo.suffix', 'PUT'))).toEqual([403, undefined, undefined]);
    expect(told(await put('foo.suffix'))).toEqual([403, undefined, undefined]);
    expect(told(await put('foo.put'))).toEqual([403, 'foo.put', 'PUT']);
  });

  test.each<[string, Record<string, string>, number, string | undefined]>([
    ['without an origin', {}, 400, 'BadRequest'],
    ['without a method', { origin: 'foo.suffix' }, 400, 'BadRequest'],
    ['that a rule covers', { origin: 'foo.suffix', 'access-control-request-method': 'GET' }, 200, undefined],
    ['of another origin', { origin: 'foo.bar', 'access-control-request-method': 'GET' }, 403, 'AccessForbidden'],
    ['of another method', { origin: 'foo.put', 'access-control-request-method': 'GET' }, 403, 'AccessForbidden'],
    ['with a header that no rule allows', { origin: 'foo.suffix', 'access-control-request-method': 'GET', 'access-control-request-headers': 'x-amz-meta-a' }, 403, 'AccessForbidden'],
  ])('that asks beforehand %s', async (_, headers, status, code) => {
    const answer = await bare('OPTIONS', '/box/bar', headers);
    expect([answer.status, answer.code]).toEqual([status, code]);
    expect(answer.headers['access-control-allow-origin']).toBe(status === 200 ? headers.origin : undefined);
  });

  test('is told which headers it may send and see, and for how long', async () => {
    await putCors(rule(['PUT'], ['http://a.example'], '<AllowedHeader>X-Amz-*</AllowedHeader><AllowedHeader>content-type</AllowedHeader><ExposeHeader>ETag</ExposeHeader><MaxAgeSeconds>60</MaxAgeSeconds>'));
    const asked = { origin: 'http://a.example', 'access-control-request-method': 'PUT', 'access-control-request-headers': 'Content-Type, x-amz-date' };
    const { headers } = await bare('OPTIONS', '/box/bar', asked);
    expect(headers).toMatchObject({
      'access-control-allow-headers': 'content-type, x-amz-date',
      'access-control-expose-headers': 'ETag',
      'access-control-max-age': '60',
      'access-control-allow-credentials': 'true',
      vary: 'Origin, Access-Control-Request-Headers, Access-Control-Request-Method',
    });
  });

  test('of any origin gets no credentials where every origin is allowed', async () => {
    await putCors(rule(['GET'], ['*']));
    const answer = await bare('GET', '/box', { origin: 'http://a.example' });
    expect(told(answer)).toEqual([200, '*', 'GET']);
    expect(answer.headers['access-control-allow-credentials']).toBeUndefined();
    expect(told(await bare('GET', '/box'))).toEqual([200, undefined, undefined]);
  });

  test('is not told whether a bucket is there', async () => {
    const asked = { origin: 'http://a.example', 'access-control-request-method': 'GET' };
    world.store.addBucket('plain');
    const [nowhere, plain] = [await bare('OPTIONS', '/nowhere', asked), await bare('OPTIONS', '/plain', asked)];
    const words = ({ status, text }: Answer): unknown[] => [status, /<Code>.*<\/Message>/.exec(text)?.[0]];
    expect(words(nowhere)).toEqual(words(plain));
  });
});

describe('tags of a bucket', () => {
  const tags = (...pairs: [string, string][]): string =>
    `<Tagging><TagSet>${pairs.map(([k, v]) => `<Tag><Key>${k}</Key><Value>${v}</Value></Tag>`).join('')}</TagSet></Tagging>`;

  test('are not there, are put, given back and deleted', async () => {
    expect((await about('GET', 'tagging')).code).toBe('NoSuchTagSet');
    expect((await about('PUT', 'tagging', tags(['Hello', 'World']))).status).toBe(204);
    expect((await about('GET', 'tagging')).text).toContain('<TagSet><Tag><Key>Hello</Key><Value>World</Value></Tag></TagSet>');
    expect((await about('DELETE', 'tagging')).status).toBe(204);
    expect((await about('GET', 'tagging')).code).toBe('NoSuchTagSet');
  });

  test.each<[string, string, string]>([
    ['given twice', tags(['a', '1'], ['a', '2']), 'InvalidTag'],
    ['too many', tags(...Array.from({ length: 51 }, (_, i): [string, string] => [`k${String(i)}`, ''])), 'BadRequest'],
    ['with a long key', tags(['k'.repeat(129), '']), 'InvalidTag'],
    ['with a long value', tags(['k', 'v'.repeat(257)]), 'InvalidTag'],
    ['of AWS itself', tags(['aws:x', '']), 'InvalidTag'],
    ['without a set', '<Tagging/>', 'MalformedXML'],
  ])('that are %s are refused', async (_, body, code) => {
    expect((await about('PUT', 'tagging', body)).code).toBe(code);
  });
});

describe('encryption of a bucket', () => {
  const byDefault = (algorithm: string): string =>
    `<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>${algorithm}</SSEAlgorithm></ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>`;

  test('is SSE-S3 or none', async () => {
    expect((await about('GET', 'encryption')).code).toBe('ServerSideEncryptionConfigurationNotFoundError');
    expect((await about('PUT', 'encryption', byDefault('AES256'))).status).toBe(200);
    expect((await about('GET', 'encryption')).text).toContain('<SSEAlgorithm>AES256</SSEAlgorithm>');
    expect((await about('DELETE', 'encryption')).status).toBe(204);
    expect((await about('DELETE', 'encryption')).status).toBe(204);
    expect((await about('GET', 'encryption')).status).toBe(404);
  });

  test('by a key service is refused, and not taken for another', async () => {
    const refused = await about('PUT', 'encryption', byDefault('aws:kms'));
    expect([refused.status, refused.code]).toEqual([501, 'NotImplemented']);
    expect((await about('PUT', 'encryption', byDefault('rot13'))).code).toBe('MalformedXML');
    expect(document('encryption')).toBeUndefined();
  });
});

describe('what no bucket has', () => {
  test.each<[string, number, string | undefined]>([
    ['website', 404, 'NoSuchWebsiteConfiguration'],
    ['replication', 404, 'ReplicationConfigurationNotFoundError'],
    ['logging', 200, undefined],
    ['accelerate', 200, undefined],
    ['requestPayment', 200, undefined],
  ])('%s is asked for and answered', async (what, status, code) => {
    const answer = await about('GET', what);
    expect([answer.status, answer.code]).toEqual([status, code]);
    expect((await about('PUT', what, '<RequestPaymentConfiguration><Payer>Requester</Payer></RequestPaymentConfiguration>')).code).toBe('NotImplemented');
  });

  test('is not asked of a bucket that is not there', async () => {
    for (const what of ['website', 'replication', 'logging', 'cors', 'lifecycle', 'tagging', 'encryption', 'notification', 'requestPayment'])
      expect((await ask(world, { method: 'GET', path: '/nowhere', query: { [what]: '' } })).code).toBe('NoSuchBucket');
  });
});

describe('what documents say about objects', () => {
  const put = (key: string, headers: Record<string, string> = {}): Promise<Answer> =>
    ask(world, { method: 'PUT', path: `/box/${key}`, body: 'content', headers });
  const head = (key: string): Promise<Answer> => ask(world, { method: 'HEAD', path: `/box/${key}` });

  test('is named in answers: SSE-S3 where the request or the bucket asks for it', async () => {
    const sse = 'x-amz-server-side-encryption';
    expect((await put('a')).headers[sse]).toBeUndefined();
    expect((await put('b', { [sse]: 'AES256' })).headers[sse]).toBe('AES256');
    await about('PUT', 'encryption', '<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256</SSEAlgorithm></ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>');
    expect((await put('c')).headers[sse]).toBe('AES256');
    const answers = await Promise.all(['a', 'b', 'c'].map(head));
    expect(answers.map(({ headers }) => headers[sse])).toEqual([undefined, 'AES256', 'AES256']);
    const upload = await ask(world, { method: 'POST', path: '/box/d', query: { uploads: '' } });
    expect(upload.headers[sse]).toBe('AES256');
  });

  test('is named in answers: when an object expires, and by which rule', async () => {
    world.store.nowMs = Date.UTC(2026, 0, 1, 10);
    await about('PUT', 'lifecycle', '<LifecycleConfiguration><Rule><ID>a rule</ID><Filter><Prefix>days1/</Prefix></Filter><Status>Enabled</Status><Expiration><Days>1</Days></Expiration></Rule></LifecycleConfiguration>');
    const told = 'expiry-date="Sat, 03 Jan 2026 00:00:00 GMT", rule-id="a%20rule"';
    expect((await put('days1/a')).headers['x-amz-expiration']).toBe(told);
    expect((await head('days1/a')).headers['x-amz-expiration']).toBe(told);
    expect((await ask(world, { method: 'GET', path: '/box/days1/a' })).headers['x-amz-expiration']).toBe(told);
    expect((await put('other')).headers['x-amz-expiration']).toBeUndefined();
    expect((await about('DELETE', 'lifecycle')).status).toBe(204);
    expect((await head('days1/a')).headers['x-amz-expiration']).toBeUndefined();
  });

  test('is named in answers to copies, uploads and forms, too', async () => {
    const sse = 'x-amz-server-side-encryption';
    world.store.nowMs = Date.UTC(2026, 0, 1, 10);
    await put('source');
    await about('PUT', 'encryption', '<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256</SSEAlgorithm></ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>');
    await about('PUT', 'lifecycle', '<LifecycleConfiguration><Rule><ID>one</ID><Filter><Tag><Key>k</Key><Value>v</Value></Tag></Filter><Status>Enabled</Status><Expiration><Days>1</Days></Expiration></Rule></LifecycleConfiguration>');
    const told = ['AES256', 'expiry-date="Sat, 03 Jan 2026 00:00:00 GMT", rule-id="one"'];
    const words = ({ status, headers }: Answer): unknown[] => [status, headers[sse], headers['x-amz-expiration']];

    const tagged = { 'x-amz-tagging': 'k=v' };
    const copied = { 'x-amz-copy-source': '/box/source', 'x-amz-tagging-directive': 'REPLACE', ...tagged };
    expect(words(await ask(world, { method: 'PUT', path: '/box/copy', headers: copied }))).toEqual([200, ...told]);

    const path = '/box/upload';
    const upload = await ask(world, { method: 'POST', path, query: { uploads: '' }, headers: tagged });
    const uploadId = /<UploadId>(.*?)<\/UploadId>/.exec(upload.text)?.[1] ?? '';
    const part = await ask(world, { method: 'PUT', path, query: { partNumber: '1', uploadId }, body: 'part' });
    const body = `<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>${String(part.headers.etag)}</ETag></Part></CompleteMultipartUpload>`;
    const complete = (): Promise<Answer> => ask(world, { method: 'POST', path, query: { uploadId }, body });
    expect(words(await complete())).toEqual([200, ...told]);
    // Once more, when the upload is over.
    expect(words(await complete())).toEqual([200, ...told]);

    world.store.addBucket('open', {
      documents: { ...world.store.buckets.get('box')?.state.documents, accessControl: publicWrite() },
    });
    const form = new FormData();
    form.append('key', 'form');
    form.append('tagging', '<Tagging><TagSet><Tag><Key>k</Key><Value>v</Value></Tag></TagSet></Tagging>');
    form.append('file', new Blob(['content']));
    const { status, headers } = await fetch(`${world.server.origin}/open`, { method: 'POST', body: form });
    expect([status, headers.get(sse), headers.get('x-amz-expiration')]).toEqual([204, ...told]);
  });

  test.each(['foo.-bar', 'foo-.bar', 'foo..bar', 'foo_bar', 'foo-', '_foo', 'aa', '192.168.5.123', 'a'.repeat(64)])(
    'a bucket %s is not made',
    async (name) => {
      const made = await ask(world, { method: 'PUT', path: `/${name}` });
      expect([made.status, made.code]).toEqual([400, 'InvalidBucketName']);
    },
  );
});
