/**
 * The AWS SDK for JavaScript v3 with its default settings against `holdfast up`: everything is done once with
 * all nodes running, once with one killed and held down, and once with one that hangs.
 */
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import {
  CompleteMultipartUploadCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  ListBucketsCommand,
  ListObjectsV2Command,
  PutBucketAccelerateConfigurationCommand,
  PutObjectCommand,
  UploadPartCommand,
  paginateListObjectsV2,
} from '@aws-sdk/client-s3';
import type { GetObjectCommandInput, PutObjectCommandInput, S3Client } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { KIB, MIB, contentOf } from '../show/contents.ts';
import { LiveCluster, PROCESS_MS } from '../show/live-cluster.ts';
import { IS_SLOW } from '../slow.ts';
import { CuttingProxy } from './cutting-proxy.ts';

const STRIPE = 768 * KIB;
const INLINE_MAX = 4096;
/** A sealed chunk carries a tag of 16 bytes: the sizes around the largest content that is kept inline. */
const SIZES = [0, 1, INLINE_MAX - 17, INLINE_MAX - 16, INLINE_MAX - 15, INLINE_MAX, STRIPE - 17, STRIPE - 16, STRIPE - 15, STRIPE - 1, STRIPE, STRIPE + 1, 5 * MIB, 20 * MIB];
/** More than a page where all nodes run; fewer, and smaller pages, where each write takes longer. */
const MANY = { keys: IS_SLOW ? 1_200 : 1_050, perPage: 1_000 };
const FEWER = IS_SLOW ? MANY : { keys: 120, perPage: 50 };
const FEWER_SIZES = IS_SLOW ? SIZES : [0, INLINE_MAX - 16, INLINE_MAX - 15, STRIPE - 16, STRIPE - 15, 5 * MIB];

let cluster: LiveCluster;

beforeAll(async () => {
  cluster = await LiveCluster.start('sdk');
}, PROCESS_MS);
afterAll(async () => {
  await cluster.end();
}, PROCESS_MS);

/** Brings one node into a state for all tests of a block. */
const STATES: readonly { readonly name: string; readonly bucket: string; readonly list: typeof MANY; readonly sizes: readonly number[]; readonly enter: () => Promise<() => Promise<void> | void> }[] = [
  { name: 'with all nodes running', bucket: 'all-nodes', list: MANY, sizes: SIZES, enter: async () => () => undefined },
  { name: 'with one node down', bucket: 'one-down', list: FEWER, sizes: FEWER_SIZES, enter: () => cluster.holdDown(2) },
  { name: 'with one node that hangs', bucket: 'one-hangs', list: FEWER, sizes: FEWER_SIZES, enter: async () => cluster.suspend(4) },
];

/** The clients of the other tests in this folder all have a node against them that lies. */
const TRIED = IS_SLOW ? STATES : STATES.slice(0, 2);

for (const state of TRIED) describe(`the SDK ${state.name}`, () => {
  const { bucket: Bucket, list, sizes, enter } = state;
  let client: S3Client;
  let leave: () => Promise<void> | void = () => undefined;

  beforeAll(async () => {
    leave = await enter();
    client = cluster.client();
    await client.send(new CreateBucketCommand({ Bucket }));
  }, PROCESS_MS);
  afterAll(async () => {
    client.destroy();
    await leave();
  }, PROCESS_MS);

  const put = (Key: string, Body: string | Uint8Array | Readable, more: Partial<PutObjectCommandInput> = {}) =>
    client.send(new PutObjectCommand({ Bucket, Key, Body, ...more }));
  const get = async (Key: string, more: Partial<GetObjectCommandInput> = {}): Promise<Buffer> => {
    const answer = await client.send(new GetObjectCommand({ Bucket, Key, ...more }));
    return Buffer.from((await answer.Body?.transformToByteArray()) ?? []);
  };
  const expectAbsent = (Key: string): Promise<void> =>
    expect(client.send(new HeadObjectCommand({ Bucket, Key }))).rejects.toMatchObject({ name: 'NotFound' });
  const listAll = async (Prefix: string): Promise<string[]> => {
    const keys: string[] = [];
    for await (const page of paginateListObjectsV2({ client, pageSize: list.perPage }, { Bucket, Prefix })) {
      keys.push(...(page.Contents ?? []).map(({ Key }) => Key ?? ''));
    }
    return keys;
  };

  it('sees its bucket', async () => {
    await client.send(new HeadBucketCommand({ Bucket }));
    const { Buckets } = await client.send(new ListBucketsCommand({}));
    expect(Buckets?.map(({ Name }) => Name)).toContain(Bucket);
    await expect(client.send(new HeadBucketCommand({ Bucket: `${Bucket}-not` }))).rejects.toMatchObject({ name: 'NotFound' });
    await client.send(new CreateBucketCommand({ Bucket: `${Bucket}-2` }));
    await client.send(new DeleteBucketCommand({ Bucket: `${Bucket}-2` }));
    await expect(client.send(new HeadBucketCommand({ Bucket: `${Bucket}-2` }))).rejects.toMatchObject({ name: 'NotFound' });
  }, PROCESS_MS);

  it.each(sizes)('stores a buffer of %d bytes and reads it back', async (size) => {
    const bytes = contentOf(`buffer ${size}`, size);
    const { ETag } = await put(`buffer/${size}`, bytes);
    expect(ETag).toBe(`"${createHash('md5').update(bytes).digest('hex')}"`);
    expect((await get(`buffer/${size}`)).equals(bytes)).toBe(true);
    expect(await client.send(new HeadObjectCommand({ Bucket, Key: `buffer/${size}` }))).toMatchObject({ ContentLength: size, ETag });
  }, PROCESS_MS);

  it.each(sizes)('stores a stream of %d bytes with a checksum behind it and reads it back', async (size) => {
    const bytes = contentOf(`stream ${size}`, size);
    const { ChecksumCRC32 } = await put(`stream/${size}`, Readable.from(pieces(bytes), { objectMode: false }), { ContentLength: size });
    expect(ChecksumCRC32).toBeDefined();
    expect((await get(`stream/${size}`)).equals(bytes)).toBe(true);
  }, PROCESS_MS);

  it('stores a string with its type and metadata', async () => {
    const text = 'Grüße, 世界 \u{1F30D}';
    const Metadata = { colour: 'blue', 'file-mode': '0644' };
    await put('a string', text, { ContentType: 'text/plain; charset=utf-8', CacheControl: 'no-store', Metadata });
    expect((await get('a string')).toString()).toBe(text);
    const head = await client.send(new HeadObjectCommand({ Bucket, Key: 'a string' }));
    expect(head).toMatchObject({ ContentType: 'text/plain; charset=utf-8', CacheControl: 'no-store', Metadata });
  }, PROCESS_MS);

  it.each([
    [0, 0],
    [STRIPE - 1, STRIPE],
    [STRIPE, STRIPE],
    [3 * STRIPE - 5, 5 * STRIPE + 5],
    [5 * MIB - 1, 5 * MIB - 1],
    [5 * MIB - 10, 9 * MIB],
  ])('reads the range %d-%d', async (from, to) => {
    const bytes = contentOf(`buffer ${5 * MIB}`, 5 * MIB);
    const answer = await client.send(new GetObjectCommand({ Bucket, Key: `buffer/${5 * MIB}`, Range: `bytes=${from}-${to}` }));
    const last = Math.min(to, bytes.length - 1);
    expect(answer.ContentRange).toBe(`bytes ${from}-${last}/${bytes.length}`);
    expect(Buffer.from((await answer.Body?.transformToByteArray()) ?? []).equals(bytes.subarray(from, last + 1))).toBe(true);
  }, PROCESS_MS);

  it('reads the end of an object, and refuses a range behind it', async () => {
    const bytes = contentOf(`buffer ${5 * MIB}`, 5 * MIB);
    expect((await get(`buffer/${5 * MIB}`, { Range: 'bytes=-100' })).equals(bytes.subarray(-100))).toBe(true);
    await expect(get(`buffer/${5 * MIB}`, { Range: `bytes=${5 * MIB}-` })).rejects.toMatchObject({ name: 'InvalidRange' });
  }, PROCESS_MS);

  it(`lists ${list.keys} keys in the order of their bytes, in pages, by prefix and by level`, async () => {
    // UTF-16 order, which a language's own sort gives, differs from byte order beyond the first plane.
    const odd = ['list/ä', 'list/Z', 'list/a b+c', 'list/\u{FF5E}', 'list/\u{1F600}', 'list/日本', 'list/~', 'list/%2F'];
    const many = Array.from({ length: list.keys - odd.length }, (_, index) => `list/${index % 7}/${(index * 7919) % 10_007}`);
    const keys = [...odd, ...many];
    await inParallel(keys, 16, async (key) => void (await put(key, key)));
    const ordered = keys.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    expect(await listAll('list/')).toEqual(ordered);
    expect(await listAll('list/3/')).toEqual(ordered.filter((key) => key.startsWith('list/3/')));
    const level = await client.send(new ListObjectsV2Command({ Bucket, Prefix: 'list/', Delimiter: '/' }));
    expect(level.CommonPrefixes?.map(({ Prefix }) => Prefix)).toEqual([0, 1, 2, 3, 4, 5, 6].map((name) => `list/${name}/`));
    expect(level.Contents?.map(({ Key }) => Key)).toEqual(ordered.filter((key) => odd.includes(key)));
    const after = await client.send(new ListObjectsV2Command({ Bucket, Prefix: 'list/', StartAfter: 'list/~' }));
    expect(after.Contents?.map(({ Key }) => Key)).toEqual(ordered.slice(ordered.indexOf('list/~') + 1));
  }, PROCESS_MS);

  it('deletes single objects and many at once', async () => {
    await client.send(new DeleteObjectCommand({ Bucket, Key: 'list/Z' }));
    await client.send(new DeleteObjectCommand({ Bucket, Key: 'list/never was' }));
    await expectAbsent('list/Z');
    await expect(get('list/Z')).rejects.toMatchObject({ name: 'NoSuchKey' });
    const keys = await listAll('list/3/');
    const { Deleted, Errors } = await client.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects: keys.map((Key) => ({ Key })) } }));
    expect(Errors ?? []).toEqual([]);
    expect(Deleted).toHaveLength(keys.length);
    expect(await listAll('list/3/')).toEqual([]);
    expect(await listAll('list/')).not.toContain('list/Z');
  }, PROCESS_MS);

  it('puts an upload in three parts together', async () => {
    const bytes = contentOf('parts', 2 * 5 * MIB + 100_000);
    const Key = 'in parts';
    const { UploadId } = await client.send(new CreateMultipartUploadCommand({ Bucket, Key, ContentType: 'application/x-parts', Metadata: { parts: '3' } }));
    const Parts = await Promise.all([1, 2, 3].map(async (PartNumber) => {
      const Body = bytes.subarray((PartNumber - 1) * 5 * MIB, PartNumber * 5 * MIB);
      const { ETag, ChecksumCRC32 } = await client.send(new UploadPartCommand({ Bucket, Key, UploadId, PartNumber, Body }));
      return { PartNumber, ETag, ChecksumCRC32 };
    }));
    await expectAbsent(Key);
    await client.send(new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload: { Parts } }));
    expect((await get(Key)).equals(bytes)).toBe(true);
    expect((await get(Key, { Range: `bytes=${5 * MIB - 3}-${5 * MIB + 2}` })).equals(bytes.subarray(5 * MIB - 3, 5 * MIB + 3))).toBe(true);
    const head = await client.send(new HeadObjectCommand({ Bucket, Key }));
    expect(head).toMatchObject({ ContentLength: bytes.length, ContentType: 'application/x-parts', Metadata: { parts: '3' } });
    expect(head.ETag).toMatch(/^"[0-9a-f]{32}-3"$/);
  }, PROCESS_MS);

  it('refuses content that does not match its checksum, and stores nothing of it', async () => {
    const bytes = contentOf('wrong', 2 * MIB);
    await expect(put('wrong', bytes, { ChecksumCRC32: 'AAAAAA==' })).rejects.toMatchObject({ name: 'BadDigest' });
    await expect(put('wrong', bytes, { ContentMD5: 'AAAAAAAAAAAAAAAAAAAAAA==' })).rejects.toMatchObject({ name: 'BadDigest' });
    await expectAbsent('wrong');
  }, PROCESS_MS);

  it('refuses content that the network damaged, and stores nothing of it', async () => {
    const bytes = contentOf('damaged', 2 * MIB);
    const proxy = await CuttingProxy.start(cluster.port);
    const through = cluster.client({ endpoint: proxy.origin, maxAttempts: 1 });
    try {
      proxy.order(`PUT /${Bucket}/damaged`, { damage: MIB });
      await expect(through.send(new PutObjectCommand({ Bucket, Key: 'damaged', Body: bytes }))).rejects.toMatchObject({ $metadata: { httpStatusCode: 400 } });
      proxy.order(`PUT /${Bucket}/damaged`, { damage: MIB });
      const Body = Readable.from(pieces(bytes), { objectMode: false });
      await expect(through.send(new PutObjectCommand({ Bucket, Key: 'damaged', Body, ContentLength: bytes.length }))).rejects.toMatchObject({
        $metadata: { httpStatusCode: 400 },
      });
      expect(proxy.spent).toBe(2);
    } finally {
      through.destroy();
      await proxy.close();
    }
    await expectAbsent('damaged');
  }, PROCESS_MS);

  it('stores nothing of a body that breaks off', async () => {
    const bytes = contentOf('truncated', 3 * MIB);
    const giving = new AbortController();
    const Body = Readable.from(givenUp(bytes, 2 * MIB, giving), { objectMode: false });
    const stream = new PutObjectCommand({ Bucket, Key: 'truncated', Body, ContentLength: bytes.length });
    await expect(client.send(stream, { abortSignal: giving.signal })).rejects.toMatchObject({ name: 'AbortError' });
    const proxy = await CuttingProxy.start(cluster.port);
    const through = cluster.client({ endpoint: proxy.origin, maxAttempts: 1 });
    try {
      for (const after of [1, STRIPE, 3 * MIB - 1]) {
        proxy.order(`PUT /${Bucket}/truncated`, { cut: 'in body', after });
        await expect(through.send(new PutObjectCommand({ Bucket, Key: 'truncated', Body: bytes }))).rejects.toThrow();
      }
      expect(proxy.spent).toBe(3);
    } finally {
      through.destroy();
      await proxy.close();
    }
    await expectAbsent('truncated');
  }, PROCESS_MS);

  it('writes on conditions that are decided once', async () => {
    const failed = { name: 'PreconditionFailed', $metadata: { httpStatusCode: 412 } };
    const results = await Promise.allSettled(['a', 'b', 'c', 'd'].map((body) => put('once', body, { IfNoneMatch: '*' })));
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    for (const result of results) if (result.status === 'rejected') expect(result.reason).toMatchObject(failed);
    const { ETag } = await client.send(new HeadObjectCommand({ Bucket, Key: 'once' }));
    await put('once', 'next', { IfMatch: ETag });
    await expect(put('once', 'late', { IfMatch: ETag })).rejects.toMatchObject(failed);
    await client.send(new DeleteObjectCommand({ Bucket, Key: 'once' }));
  }, PROCESS_MS);

  it('is told 501 when it asks for what is not built', async () => {
    const notBuilt = { name: 'NotImplemented', $metadata: { httpStatusCode: 501 } };
    await expect(put('not built', 'x', { ServerSideEncryption: 'aws:kms' })).rejects.toMatchObject(notBuilt);
    await expect(put('not built', 'x', { StorageClass: 'GLACIER' })).rejects.toMatchObject(notBuilt);
    await expectAbsent('not built');
    const AccelerateConfiguration = { Status: 'Enabled' } as const;
    const accelerate = new PutBucketAccelerateConfigurationCommand({ Bucket, AccelerateConfiguration });
    await expect(client.send(accelerate)).rejects.toMatchObject(notBuilt);
  }, PROCESS_MS);
});

/** In pieces that fit neither chunks nor stripes. */
function* pieces(bytes: Buffer): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += 100_003) yield bytes.subarray(at, at + 100_003);
}

/** Its sender gives up, and closes the connection, after so many bytes. */
async function* givenUp(bytes: Buffer, after: number, giving: AbortController): AsyncGenerator<Buffer> {
  yield* pieces(bytes.subarray(0, after));
  giving.abort();
  await new Promise((resolve) => setTimeout(resolve, 50));
}

async function inParallel<T>(items: readonly T[], width: number, work: (item: T) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let item = items[next++]; item !== undefined; item = items[next++]) await work(item);
  };
  await Promise.all(Array.from({ length: width }, worker));
}
