import { createHash, randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetBucketLocationCommand,
  GetBucketVersioningCommand,
  GetObjectCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  ListBucketsCommand,
  ListObjectsCommand,
  ListObjectsV2Command,
  ListPartsCommand,
  PutObjectCommand,
  PutObjectTaggingCommand,
  S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import type { ChecksumAlgorithm } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ACCESS_KEY, SECRET_KEY, startS3World } from './s3-world.contract.ts';
import type { S3World } from './s3-world.contract.ts';

let world: S3World;
let client: S3Client;
const Bucket = 'sdk-bucket';

function connect(secretAccessKey = SECRET_KEY, maxAttempts = 1): S3Client {
  return new S3Client({
    endpoint: world.server.origin,
    region: 'us-east-1',
    credentials: { accessKeyId: ACCESS_KEY, secretAccessKey },
    forcePathStyle: true,
    maxAttempts,
  });
}

beforeAll(async () => {
  world = await startS3World();
  client = connect();
  await client.send(new CreateBucketCommand({ Bucket }));
});

afterAll(async () => {
  client.destroy();
  await world.close();
});

async function read(Key: string, more: object = {}): Promise<Buffer> {
  const answer = await client.send(new GetObjectCommand({ Bucket, Key, ...more }));
  return Buffer.from((await answer.Body?.transformToByteArray()) ?? []);
}

describe('the AWS SDK with default settings', () => {
  test('stores a string and reads it back with its metadata', async () => {
    const put = await client.send(
      new PutObjectCommand({
        Bucket,
        Key: 'a string',
        Body: 'hello world',
        ContentType: 'text/plain',
        CacheControl: 'no-cache',
        Metadata: { colour: 'blue' },
      }),
    );
    expect(put.ETag).toBe('"5eb63bbbe01eeed093cb22bb8f5acdc3"');
    expect(put.ChecksumCRC32).toBe('DUoRhQ==');
    const head = await client.send(
      new HeadObjectCommand({ Bucket, Key: 'a string', ChecksumMode: 'ENABLED' }),
    );
    expect(head).toMatchObject({
      ContentLength: 11,
      ContentType: 'text/plain',
      CacheControl: 'no-cache',
      Metadata: { colour: 'blue' },
      ETag: put.ETag,
      ChecksumCRC32: 'DUoRhQ==',
      ChecksumType: 'FULL_OBJECT',
    });
    expect((await read('a string')).toString()).toBe('hello world');
  });

  test.each([0, 1, 65_535, 65_536, 65_537, 3_000_000])(
    'streams %d bytes with a trailer checksum',
    async (size) => {
      const bytes = randomBytes(size);
      const pieces = function* (): Generator<Buffer> {
        for (let at = 0; at < size; at += 100_000) yield bytes.subarray(at, at + 100_000);
      };
      const Body = Readable.from(pieces(), { objectMode: false });
      const put = await client.send(
        new PutObjectCommand({ Bucket, Key: 'stream', Body, ContentLength: size }),
      );
      expect(put.ETag).toBe(`"${createHash('md5').update(bytes).digest('hex')}"`);
      expect(put.ChecksumCRC32).toBeDefined();
      expect((await read('stream')).equals(bytes)).toBe(true);
      const stored = await client.send(new HeadObjectCommand({ Bucket, Key: 'stream' }));
      expect(stored.ContentEncoding).toBeUndefined();
    },
  );

  test.each(['CRC32', 'CRC32C', 'CRC64NVME', 'SHA1', 'SHA256'] as ChecksumAlgorithm[])(
    'stores with %s and gives it back',
    async (ChecksumAlgorithm) => {
      const bytes = randomBytes(100_000);
      const Key = `sum-${ChecksumAlgorithm}`;
      const put = await client.send(new PutObjectCommand({ Bucket, Key, Body: bytes, ChecksumAlgorithm }));
      const name = `Checksum${ChecksumAlgorithm}` as const;
      const head = await client.send(new HeadObjectCommand({ Bucket, Key, ChecksumMode: 'ENABLED' }));
      expect(put[name]).toBeDefined();
      expect(head[name]).toBe(put[name]);
      expect((await read(Key)).equals(bytes)).toBe(true);
    },
  );

  test('keeps keys with every awkward byte', async () => {
    const keys = [
      'a b',
      'a+b',
      'a%20b',
      'ä/ö/ü',
      '日本語',
      '\u{1F600}',
      "q?=&;:@,$!'()*",
      'a//b',
      './x',
      '../y',
      'end/',
    ];
    for (const Key of keys) await client.send(new PutObjectCommand({ Bucket, Key: `odd/${Key}`, Body: Key }));
    for (const Key of keys) expect((await read(`odd/${Key}`)).toString()).toBe(Key);
    const listed = await client.send(new ListObjectsV2Command({ Bucket, Prefix: 'odd/' }));
    expect(new Set(listed.Contents?.map((row) => row.Key))).toEqual(new Set(keys.map((key) => `odd/${key}`)));
  });

  test('reads ranges', async () => {
    const bytes = randomBytes(200_000);
    await client.send(new PutObjectCommand({ Bucket, Key: 'ranged', Body: bytes }));
    expect((await read('ranged', { Range: 'bytes=0-0' })).equals(bytes.subarray(0, 1))).toBe(true);
    expect(
      (await read('ranged', { Range: 'bytes=70000-140000' })).equals(bytes.subarray(70_000, 140_001)),
    ).toBe(true);
    expect((await read('ranged', { Range: 'bytes=-5' })).equals(bytes.subarray(-5))).toBe(true);
    const tail = await client.send(new GetObjectCommand({ Bucket, Key: 'ranged', Range: 'bytes=199999-' }));
    expect(tail.ContentRange).toBe('bytes 199999-199999/200000');
    await tail.Body?.transformToByteArray();
    await expect(read('ranged', { Range: 'bytes=200000-' })).rejects.toMatchObject({ name: 'InvalidRange' });
  });

  test('answers conditional reads', async () => {
    const { ETag } = await client.send(new PutObjectCommand({ Bucket, Key: 'cond', Body: 'x' }));
    expect((await read('cond', { IfMatch: ETag })).toString()).toBe('x');
    await expect(read('cond', { IfMatch: '"other"' })).rejects.toMatchObject({ name: 'PreconditionFailed' });
    await expect(read('cond', { IfNoneMatch: ETag })).rejects.toMatchObject({
      $metadata: { httpStatusCode: 304 },
    });
  });

  test('makes conditional writes once', async () => {
    const put = (): Promise<unknown> =>
      client.send(new PutObjectCommand({ Bucket, Key: 'condition', Body: 'x', IfNoneMatch: '*' }));
    await put();
    await expect(put()).rejects.toMatchObject({ name: 'PreconditionFailed', $metadata: { httpStatusCode: 412 } });
    const stale = new PutObjectCommand({ Bucket, Key: 'condition', Body: 'y', IfMatch: '"stale"' });
    await expect(client.send(stale)).rejects.toMatchObject({ name: 'PreconditionFailed' });
  });

  test('lists with prefix, delimiter and pages, in byte order', async () => {
    const keys = ['list/b/1', 'list/b/2', 'list/a', 'list/c', 'list/\u{FF5E}', 'list/\u{1F600}', 'list/d/x'];
    for (const Key of keys) await client.send(new PutObjectCommand({ Bucket, Key, Body: '' }));
    const seen: string[] = [];
    let ContinuationToken: string | undefined;
    do {
      const page = await client.send(
        new ListObjectsV2Command({ Bucket, Prefix: 'list/', Delimiter: '/', MaxKeys: 2, ContinuationToken }),
      );
      expect(page.KeyCount).toBe((page.Contents?.length ?? 0) + (page.CommonPrefixes?.length ?? 0));
      seen.push(
        ...(page.Contents ?? []).map((row) => row.Key ?? ''),
        ...(page.CommonPrefixes ?? []).map((row) => row.Prefix ?? ''),
      );
      ContinuationToken = page.NextContinuationToken;
      expect(page.IsTruncated).toBe(ContinuationToken !== undefined);
    } while (ContinuationToken !== undefined);
    expect(seen.sort()).toEqual(
      ['list/a', 'list/b/', 'list/c', 'list/d/', 'list/\u{FF5E}', 'list/\u{1F600}'].sort(),
    );
    const all = await client.send(
      new ListObjectsV2Command({ Bucket, Prefix: 'list/', StartAfter: 'list/d/x' }),
    );
    expect(all.Contents?.map((row) => row.Key)).toEqual(['list/\u{FF5E}', 'list/\u{1F600}']);
    const old = await client.send(
      new ListObjectsCommand({ Bucket, Prefix: 'list/', Delimiter: '/', MaxKeys: 2 }),
    );
    expect(old.NextMarker).toBe('list/b/');
    const next = await client.send(
      new ListObjectsCommand({ Bucket, Prefix: 'list/', Delimiter: '/', Marker: old.NextMarker }),
    );
    expect(next.Contents?.[0]?.Key).toBe('list/c');
  });

  test('deletes one key and many', async () => {
    const keys = ['del/1', 'del/2', 'del/<&>\'"', 'del/ü'];
    for (const Key of keys) await client.send(new PutObjectCommand({ Bucket, Key, Body: 'x' }));
    await client.send(new DeleteObjectCommand({ Bucket, Key: 'del/1' }));
    await client.send(new DeleteObjectCommand({ Bucket, Key: 'del/1' }));
    const Objects = [...keys, 'del/absent'].map((Key) => ({ Key }));
    const bulk = await client.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects } }));
    expect(bulk.Deleted?.map((row) => row.Key)).toEqual(Objects.map((row) => row.Key));
    expect(bulk.Errors).toBeUndefined();
    const quiet = await client.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects, Quiet: true } }));
    expect(quiet.Deleted).toBeUndefined();
    const left = await client.send(new ListObjectsV2Command({ Bucket, Prefix: 'del/' }));
    expect(left.KeyCount).toBe(0);
  });

  test('creates, finds and deletes buckets', async () => {
    const name = 'a.second-bucket';
    await client.send(new CreateBucketCommand({ Bucket: name }));
    await expect(client.send(new CreateBucketCommand({ Bucket: name }))).rejects.toMatchObject({
      name: 'BucketAlreadyOwnedByYou',
    });
    const listed = await client.send(new ListBucketsCommand({}));
    expect(listed.Buckets?.map((row) => row.Name)).toEqual([name, Bucket]);
    const first = await client.send(new ListBucketsCommand({ MaxBuckets: 1 }));
    const rest = await client.send(
      new ListBucketsCommand({ MaxBuckets: 1, ContinuationToken: first.ContinuationToken }),
    );
    expect(rest.Buckets?.map((row) => row.Name)).toEqual([Bucket]);
    expect(rest.ContinuationToken).toBeUndefined();
    expect((await client.send(new HeadBucketCommand({ Bucket: name }))).BucketRegion).toBe('us-east-1');
    expect(
      (await client.send(new GetBucketLocationCommand({ Bucket: name }))).LocationConstraint,
    ).toBeUndefined();
    expect((await client.send(new GetBucketVersioningCommand({ Bucket: name }))).Status).toBeUndefined();
    await client.send(new PutObjectCommand({ Bucket: name, Key: 'k', Body: '' }));
    await expect(client.send(new DeleteBucketCommand({ Bucket: name }))).rejects.toMatchObject({
      name: 'BucketNotEmpty',
    });
    await client.send(new DeleteObjectCommand({ Bucket: name, Key: 'k' }));
    await client.send(new DeleteBucketCommand({ Bucket: name }));
    await expect(client.send(new HeadBucketCommand({ Bucket: name }))).rejects.toMatchObject({
      name: 'NotFound',
    });
  });

  test('answers what is missing and what is not built', async () => {
    await expect(read('nothing here')).rejects.toMatchObject({ name: 'NoSuchKey' });
    await expect(
      client.send(new GetObjectCommand({ Bucket: 'no-such-bucket-0', Key: 'k' })),
    ).rejects.toMatchObject({ name: 'NoSuchBucket' });
    const tagging = new PutObjectTaggingCommand({ Bucket, Key: 'k', Tagging: { TagSet: [] } });
    await expect(client.send(tagging)).rejects.toMatchObject({ name: 'NotImplemented' });
    const tagged = new PutObjectCommand({ Bucket, Key: 'k', Body: '', Tagging: 'a=b' });
    await expect(client.send(tagged)).rejects.toMatchObject({ name: 'NotImplemented' });
    const version = new GetObjectCommand({ Bucket, Key: 'k', VersionId: 'abc' });
    await expect(client.send(version)).rejects.toMatchObject({ name: 'NotImplemented' });
  });

  test('a wrong secret is refused before the body counts', async () => {
    const other = connect('wrong secret');
    const put = other.send(new PutObjectCommand({ Bucket, Key: 'forged', Body: randomBytes(2_000_000) }));
    await expect(put).rejects.toMatchObject({ name: 'SignatureDoesNotMatch' });
    other.destroy();
    expect(world.store.buckets.get(Bucket)?.objects.has('forged')).toBe(false);
  });

  test('a retry of one invocation bears the same operation id, another invocation does not', async () => {
    const { store } = world;
    store.attempts.length = 0;
    store.fail = 'NO_QUORUM';
    const patient = connect(SECRET_KEY, 3);
    await patient.send(new PutObjectCommand({ Bucket, Key: 'retried', Body: 'x' }));
    await patient.send(new PutObjectCommand({ Bucket, Key: 'retried', Body: 'x' }));
    patient.destroy();
    expect(store.attempts.map((operation) => operation.repeatable)).toEqual([true, true, true]);
    const [first, again, other] = store.attempts.map((operation) =>
      Buffer.from(operation.id).toString('hex'),
    );
    expect(again).toBe(first);
    expect(other).not.toBe(first);
  });
});

describe('multipart uploads through the AWS SDK', () => {
  const big = randomBytes(5 * 1024 * 1024);
  const small = randomBytes(1234);

  async function upload(Key: string, more: object): Promise<string> {
    const created = await client.send(
      new CreateMultipartUploadCommand({ Bucket, Key, ContentType: 'a/b', ...more }),
    );
    const { UploadId } = created;
    const Parts = [];
    for (const [i, Body] of [big, small].entries()) {
      const { $metadata: _, ...part } = await client.send(
        new UploadPartCommand({ Bucket, Key, UploadId, PartNumber: i + 1, Body, ...more }),
      );
      Parts.push({ ...part, PartNumber: i + 1 });
    }
    const listed = await client.send(new ListPartsCommand({ Bucket, Key, UploadId, MaxParts: 1 }));
    expect(listed.Parts?.map((part) => [part.PartNumber, part.Size])).toEqual([[1, big.length]]);
    expect(listed.IsTruncated).toBe(true);
    const done = await client.send(
      new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload: { Parts } }),
    );
    const whole = Buffer.concat([big, small]);
    expect((await read(Key)).equals(whole)).toBe(true);
    expect(done.Location).toBe(`${world.server.origin}/${Bucket}/${Key}`);
    return done.ETag ?? '';
  }

  test('the object has the ETag S3 gives it', async () => {
    const md5 = (bytes: Buffer): Buffer => createHash('md5').update(bytes).digest();
    const expected = md5(Buffer.concat([md5(big), md5(small)])).toString('hex');
    expect(await upload('mp/plain', {})).toBe(`"${expected}-2"`);
    expect((await client.send(new HeadObjectCommand({ Bucket, Key: 'mp/plain' }))).ContentType).toBe('a/b');
  });

  test.each(['CRC32', 'CRC32C', 'SHA256', 'SHA1'] as const)(
    'with %s the checksum is composite',
    async (ChecksumAlgorithm) => {
      await upload('mp/sum', { ChecksumAlgorithm });
      const head = await client.send(
        new HeadObjectCommand({ Bucket, Key: 'mp/sum', ChecksumMode: 'ENABLED' }),
      );
      expect(head[`Checksum${ChecksumAlgorithm}`]).toMatch(/-2$/);
      expect(head.ChecksumType).toBe('COMPOSITE');
    },
  );

  test('with CRC64NVME the checksum is that of the whole object', async () => {
    await upload('mp/whole', { ChecksumAlgorithm: 'CRC64NVME' });
    const head = await client.send(
      new HeadObjectCommand({ Bucket, Key: 'mp/whole', ChecksumMode: 'ENABLED' }),
    );
    const single = new PutObjectCommand({
      Bucket,
      Key: 'single',
      Body: Buffer.concat([big, small]),
      ChecksumAlgorithm: 'CRC64NVME',
    });
    expect(head.ChecksumCRC64NVME).toBe((await client.send(single)).ChecksumCRC64NVME);
    expect(head.ChecksumType).toBe('FULL_OBJECT');
  });

  test('wrong lists of parts and small parts are refused', async () => {
    const Key = 'mp/bad';
    const { UploadId } = await client.send(new CreateMultipartUploadCommand({ Bucket, Key }));
    const etags: string[] = [];
    for (const PartNumber of [1, 2]) {
      const part = await client.send(
        new UploadPartCommand({ Bucket, Key, UploadId, PartNumber, Body: small }),
      );
      etags.push(part.ETag ?? '');
    }
    const complete = (Parts: { PartNumber: number; ETag: string | undefined }[]): Promise<unknown> =>
      client.send(new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload: { Parts } }));
    const [one, two] = etags;
    await expect(
      complete([
        { PartNumber: 2, ETag: two },
        { PartNumber: 1, ETag: one },
      ]),
    ).rejects.toMatchObject({ name: 'InvalidPartOrder' });
    await expect(complete([{ PartNumber: 1, ETag: '"beef"' }])).rejects.toMatchObject({
      name: 'InvalidPart',
    });
    await expect(complete([{ PartNumber: 3, ETag: one }])).rejects.toMatchObject({ name: 'InvalidPart' });
    await expect(
      complete([
        { PartNumber: 1, ETag: one },
        { PartNumber: 2, ETag: two },
      ]),
    ).rejects.toMatchObject({ name: 'EntityTooSmall' });
    await client.send(new AbortMultipartUploadCommand({ Bucket, Key, UploadId }));
    await expect(client.send(new ListPartsCommand({ Bucket, Key, UploadId }))).rejects.toMatchObject({
      name: 'NoSuchUpload',
    });
  });
});
