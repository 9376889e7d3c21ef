import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseCopyRange, parseCopySource } from './copy-source.ts';
import { ask, startS3World } from '../s3-world.contract.ts';
import type { Answer, S3World, SignedRequest } from '../s3-world.contract.ts';

let world: S3World;

beforeAll(async () => {
  world = await startS3World();
  world.store.addBucket('from');
  world.store.addBucket('onto');
  world.store.addBucket('kept', { versioning: 'enabled' });
});

afterAll(async () => {
  await world.close();
});

type Wish = Omit<SignedRequest, 'method' | 'path'>;
const request = (method: string, path: string, wish: Wish = {}): Promise<Answer> => ask(world, { method, path, ...wish });
const copy = (path: string, source: string, headers: Record<string, string> = {}): Promise<Answer> =>
  request('PUT', path, { headers: { 'x-amz-copy-source': source, ...headers } });
const verdict = ({ status, code }: Answer): unknown => [status, code];

function customerKey(byte: number, prefix = 'x-amz-server-side-encryption-customer'): Record<string, string> {
  const key = Buffer.alloc(32, byte);
  return {
    [`${prefix}-algorithm`]: 'AES256',
    [`${prefix}-key`]: key.toString('base64'),
    [`${prefix}-key-md5`]: createHash('md5').update(key).digest('base64'),
  };
}

describe('a copy', () => {
  test('keeps metadata, unless the request replaces it', async () => {
    await request('PUT', '/from/a key?', { body: 'content', headers: { 'x-amz-meta-a': '1', 'x-amz-tagging': 'k=v' } });
    expect((await copy('/onto/same', '/from/a%20key%3F')).text).toContain('<ETag>&quot;');
    const same = await request('GET', '/onto/same');
    expect([same.text, same.headers['x-amz-meta-a'], same.headers['x-amz-tagging-count']]).toEqual(['content', '1', '1']);
    const replacing = { 'x-amz-metadata-directive': 'REPLACE', 'x-amz-tagging-directive': 'REPLACE', 'x-amz-meta-b': '2' };
    await copy('/onto/other', 'from/a%20key%3F', replacing);
    const other = await request('GET', '/onto/other');
    expect([other.headers['x-amz-meta-a'], other.headers['x-amz-meta-b'], other.headers['x-amz-tagging-count']]).toEqual([
      undefined,
      '2',
      undefined,
    ]);
  });

  test('onto itself must change something', async () => {
    await request('PUT', '/from/self', { body: 'x' });
    expect(verdict(await copy('/from/self', '/from/self'))).toEqual([400, 'InvalidRequest']);
    expect((await copy('/from/self', '/from/self', { 'x-amz-metadata-directive': 'REPLACE' })).status).toBe(200);
  });

  test('names the versions of both ends', async () => {
    const first = (await request('PUT', '/kept/k', { body: 'one' })).headers['x-amz-version-id'];
    await request('PUT', '/kept/k', { body: 'two' });
    const answer = await copy('/kept/k', `/kept/k?versionId=${String(first)}`);
    expect(answer.headers['x-amz-copy-source-version-id']).toBe(first);
    expect(answer.headers['x-amz-version-id']).not.toBe(first);
    expect((await request('GET', '/kept/k')).text).toBe('one');
    const marker = (await request('DELETE', '/kept/k')).headers['x-amz-version-id'];
    expect(verdict(await copy('/onto/k', '/kept/k'))).toEqual([404, 'NoSuchKey']);
    expect(verdict(await copy('/onto/k', `/kept/k?versionId=${String(marker)}`))).toEqual([400, 'InvalidRequest']);
  });

  test('is made only where conditions on both ends hold', async () => {
    const { headers } = await request('PUT', '/from/cond', { body: 'x' });
    const etag = String(headers.etag);
    expect(verdict(await copy('/onto/cond', '/from/cond', { 'x-amz-copy-source-if-none-match': etag }))).toEqual([412, 'PreconditionFailed']);
    expect(verdict(await copy('/onto/cond', '/from/cond', { 'x-amz-copy-source-if-match': '"b"' }))).toEqual([412, 'PreconditionFailed']);
    expect((await copy('/onto/cond', '/from/cond', { 'x-amz-copy-source-if-match': etag, 'if-none-match': '*' })).status).toBe(200);
    expect(verdict(await copy('/onto/cond', '/from/cond', { 'if-none-match': '*' }))).toEqual([412, 'PreconditionFailed']);
  });

  test.each(['', '/', 'from', '/from/', '/from/a%zz', '/from/%ff', '/from/a?version=1', '/from/a?versionId=', '/UPPER/a'])(
    'of %j is refused',
    (header) => {
      expect(() => parseCopySource(header)).toThrow(expect.objectContaining({ code: 'InvalidArgument' }) as Error);
    },
  );

  test.each([
    ['bytes=0-9', 'InvalidRange'],
    ['bytes=5-9', 'InvalidRange'],
    ['0-2', 'InvalidArgument'],
    ['bytes=0', 'InvalidArgument'],
    ['bytes=-2', 'InvalidArgument'],
    ['bytes=2-1', 'InvalidArgument'],
    ['bytes=0-1,3-4', 'InvalidArgument'],
  ])('of the range %s of five bytes answers %s', (range, code) => {
    expect(() => parseCopyRange(range, 5)).toThrow(expect.objectContaining({ code }) as Error);
  });

  test('of the last byte is one byte', () => {
    expect(parseCopyRange('bytes=4-4', 5)).toEqual({ from: 4, to: 5 });
  });
});

describe('a key of the customer', () => {
  test('is needed to read, and another one does not do', async () => {
    const made = await request('PUT', '/from/sealed', { body: 'secret', headers: customerKey(1) });
    expect(made.headers['x-amz-server-side-encryption-customer-algorithm']).toBe('AES256');
    expect((await request('GET', '/from/sealed', { headers: customerKey(1) })).text).toBe('secret');
    for (const method of ['GET', 'HEAD']) {
      expect((await request(method, '/from/sealed')).status).toBe(400);
      expect((await request(method, '/from/sealed', { headers: customerKey(2) })).status).toBe(400);
    }
    expect(verdict(await request('GET', '/from/self', { headers: customerKey(1) }))).toEqual([400, 'InvalidRequest']);
    expect(world.store.open).toBe(0);
  });

  test('of the source and of the copy are two', async () => {
    await request('PUT', '/from/one', { body: 'secret', headers: customerKey(1) });
    const source = customerKey(1, 'x-amz-copy-source-server-side-encryption-customer');
    expect((await copy('/onto/two', '/from/one', customerKey(2))).status).toBe(400);
    expect((await copy('/onto/two', '/from/one', { ...source, ...customerKey(2) })).status).toBe(200);
    expect((await request('GET', '/onto/two', { headers: customerKey(1) })).status).toBe(400);
    expect((await request('GET', '/onto/two', { headers: customerKey(2) })).text).toBe('secret');
  });

  test.each([
    ['algorithm', 'AES128', 'InvalidEncryptionAlgorithmError'],
    ['key', 'AAAA', 'InvalidArgument'],
    ['key-md5', 'AAAAAAAAAAAAAAAAAAAAAA==', 'InvalidArgument'],
    ['algorithm', undefined, 'InvalidArgument'],
    ['key', undefined, 'InvalidArgument'],
    ['key-md5', undefined, 'InvalidArgument'],
  ])('with %s %s is refused', async (name, value, code) => {
    const headers = Object.fromEntries(
      Object.entries(customerKey(1)).flatMap(([header, known]) =>
        header.endsWith(`-customer-${name}`) ? (value === undefined ? [] : [[header, value]]) : [[header, known]],
      ),
    );
    expect(verdict(await request('PUT', '/from/refused', { body: 'x', headers }))).toEqual([400, code]);
    expect(world.store.buckets.get('from')?.objects.has('refused')).toBe(false);
  });
});

test('an upload under a key of the customer is completed with that key where it has a checksum', async () => {
  const path = '/from/sealed-parts';
  for (const checksum of [{}, { 'x-amz-checksum-algorithm': 'SHA256' }]) {
    const headers = { ...customerKey(1), ...checksum };
    const made = await request('POST', path, { query: { uploads: '' }, headers });
    const uploadId = /<UploadId>(.*?)</.exec(made.text)?.[1] ?? '';
    const sum = 'x-amz-checksum-algorithm' in checksum ? { 'x-amz-checksum-sha256': createHash('sha256').update('part').digest('base64') } : {};
    const part = await request('PUT', path, { query: { partNumber: '1', uploadId }, body: 'part', headers: { ...customerKey(1), ...sum } });
    const named = 'x-amz-checksum-sha256' in sum ? `<ChecksumSHA256>${sum['x-amz-checksum-sha256']}</ChecksumSHA256>` : '';
    const body = `<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>${String(part.headers.etag)}</ETag>${named}</Part></CompleteMultipartUpload>`;
    const complete = (more: Record<string, string>): Promise<Answer> => request('POST', path, { query: { uploadId }, body, headers: more });
    expect((await complete(customerKey(2))).status).toBe(400);
    const without = await complete({});
    expect(without.status).toBe('x-amz-checksum-algorithm' in checksum ? 400 : 200);
    if (without.status === 400) expect((await complete(customerKey(1))).status).toBe(200);
    expect((await request('GET', path, { headers: customerKey(1) })).text).toBe('part');
    const one = await request('GET', path, { query: { partNumber: '1' }, headers: { ...customerKey(1), 'x-amz-checksum-mode': 'ENABLED' } });
    expect(one.headers['x-amz-checksum-type']).toBe('x-amz-checksum-algorithm' in checksum ? 'COMPOSITE' : 'FULL_OBJECT');
  }
});
