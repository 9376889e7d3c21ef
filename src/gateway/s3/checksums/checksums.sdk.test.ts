import { createHash, randomBytes } from 'node:crypto';
import {
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  GetObjectAttributesCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListPartsCommand,
  PutObjectCommand,
  S3Client,
  UploadPartCommand,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3';
import type {
  CompletedPart,
  CompleteMultipartUploadCommandOutput,
  CreateMultipartUploadCommandInput,
} from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { crc32, crc32c, crc64nvme } from './crc.ts';
import type { Crc } from './crc.ts';
import { ACCESS_KEY, SECRET_KEY, startS3World } from '../s3-world.contract.ts';
import type { S3World } from '../s3-world.contract.ts';

const Bucket = 'checksums';
const parts = [randomBytes(5 * 1024 * 1024), randomBytes(5 * 1024 * 1024 + 1), randomBytes(17)] as const;
const whole = Buffer.concat(parts);

type Algorithm = 'CRC32' | 'CRC32C' | 'CRC64NVME' | 'SHA1' | 'SHA256';

const ofCrc = (start: () => Crc) => (bytes: Uint8Array) => {
  const running = start();
  running.update(bytes);
  return Buffer.from(running.digest());
};
const ofHash = (name: string) => (bytes: Uint8Array) => createHash(name).update(bytes).digest();
const DIGESTS: Readonly<Record<Algorithm, (bytes: Uint8Array) => Buffer>> = {
  CRC32: ofCrc(crc32),
  CRC32C: ofCrc(crc32c),
  CRC64NVME: ofCrc(crc64nvme),
  SHA1: ofHash('sha1'),
  SHA256: ofHash('sha256'),
};
const sum = (algorithm: Algorithm, bytes: Uint8Array): string => DIGESTS[algorithm](bytes).toString('base64');
const sumOfSums = (algorithm: Algorithm): string =>
  `${sum(algorithm, Buffer.concat(parts.map((part) => DIGESTS[algorithm](part))))}-${String(parts.length)}`;

let world: S3World;
/** Says what the SDK is told to say of checksums and nothing else. */
let client: S3Client;

beforeAll(async () => {
  world = await startS3World();
  client = new S3Client({
    endpoint: world.server.origin,
    region: 'us-east-1',
    credentials: { accessKeyId: ACCESS_KEY, secretAccessKey: SECRET_KEY },
    forcePathStyle: true,
    maxAttempts: 1,
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
  });
  await client.send(new CreateBucketCommand({ Bucket }));
});

afterAll(async () => {
  client.destroy();
  await world.close();
});

async function begin(Key: string, more: Partial<CreateMultipartUploadCommandInput> = {}): Promise<string> {
  const { UploadId } = await client.send(new CreateMultipartUploadCommand({ Bucket, Key, ...more }));
  return UploadId ?? '';
}

/** Parts with their own checksum of each algorithm in turn; undefined: without. */
async function send(Key: string, UploadId: string, algorithms: readonly (Algorithm | undefined)[]): Promise<CompletedPart[]> {
  const sent: CompletedPart[] = [];
  for (const [i, Body] of parts.entries()) {
    const algorithm = algorithms[i % algorithms.length];
    const own = algorithm === undefined ? {} : { ChecksumAlgorithm: algorithm };
    const part = { Bucket, Key, UploadId, PartNumber: i + 1, Body, ...own };
    const { $metadata: _, ...answer } = await client.send(new UploadPartCommand(part));
    sent.push({ ...answer, PartNumber: i + 1 });
  }
  return sent;
}

async function complete(Key: string, UploadId: string, Parts: CompletedPart[], more: object = {}): Promise<CompleteMultipartUploadCommandOutput> {
  return client.send(new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload: { Parts }, ...more }));
}

const head = (Key: string, more: object = {}) => client.send(new HeadObjectCommand({ Bucket, Key, ChecksumMode: 'ENABLED', ...more }));

describe('an object that comes without a checksum', () => {
  test('is given CRC64NVME, told by PUT, HEAD, GET and the attributes, and only where it is asked for', async () => {
    const Key = 'bare';
    const expected = sum('CRC64NVME', Buffer.from('content'));
    const about = { ChecksumCRC64NVME: expected, ChecksumType: 'FULL_OBJECT' };
    expect(await client.send(new PutObjectCommand({ Bucket, Key, Body: 'content' }))).toMatchObject(about);
    expect(await head(Key)).toMatchObject(about);
    expect(await client.send(new GetObjectCommand({ Bucket, Key, ChecksumMode: 'ENABLED' }))).toMatchObject(about);
    const attributes = await client.send(new GetObjectAttributesCommand({ Bucket, Key, ObjectAttributes: ['Checksum'] }));
    expect(attributes.Checksum).toEqual(about);
    expect((await client.send(new HeadObjectCommand({ Bucket, Key }))).ChecksumCRC64NVME).toBeUndefined();
  });

  test('in parts is given CRC64NVME of the whole, and each part its own', async () => {
    const Key = 'bare parts';
    const UploadId = await begin(Key);
    const Parts = await send(Key, UploadId, [undefined]);
    expect(Parts.map(({ ChecksumCRC64NVME }) => ChecksumCRC64NVME)).toEqual(parts.map((part) => sum('CRC64NVME', part)));
    const listed = await client.send(new ListPartsCommand({ Bucket, Key, UploadId }));
    expect(listed.Parts?.map((part) => part.ChecksumCRC64NVME)).toEqual(Parts.map((part) => part.ChecksumCRC64NVME));
    const etags = Parts.map(({ ETag, PartNumber }) => ({ ETag, PartNumber }));
    const about = { ChecksumCRC64NVME: sum('CRC64NVME', whole), ChecksumType: 'FULL_OBJECT' };
    expect(await complete(Key, UploadId, etags)).toMatchObject(about);
    expect(await head(Key)).toMatchObject(about);
    const second = await head(Key, { PartNumber: 2 });
    expect(second.ChecksumCRC64NVME).toBe(sum('CRC64NVME', parts[1]));
  });
});

describe('the checksum of an object in parts', () => {
  test.each(['CRC32', 'CRC32C', 'SHA1', 'SHA256'] as const)('is composed of those of its parts (%s)', async (algorithm) => {
    const Key = `composite ${algorithm}`;
    const UploadId = await begin(Key, { ChecksumAlgorithm: algorithm, ChecksumType: 'COMPOSITE' });
    const Parts = await send(Key, UploadId, [algorithm]);
    const about = { [`Checksum${algorithm}`]: sumOfSums(algorithm), ChecksumType: 'COMPOSITE' };
    expect(await complete(Key, UploadId, Parts, about)).toMatchObject(about);
    expect(await head(Key)).toMatchObject(about);
  });

  test.each(['CRC32', 'CRC32C', 'CRC64NVME'] as const)('is of all its bytes, also where parts came without (%s)', async (algorithm) => {
    const Key = `full ${algorithm}`;
    const UploadId = await begin(Key, { ChecksumAlgorithm: algorithm, ChecksumType: 'FULL_OBJECT' });
    const Parts = await send(Key, UploadId, [algorithm, undefined]);
    const about = { [`Checksum${algorithm}`]: sum(algorithm, whole), ChecksumType: 'FULL_OBJECT' };
    expect(await complete(Key, UploadId, Parts, about)).toMatchObject(about);
    expect(await head(Key)).toMatchObject(about);
  });

  test('is of the kind that its parts came with where the upload names none', async () => {
    const UploadId = await begin('unnamed');
    const Parts = await send('unnamed', UploadId, ['CRC32C']);
    const done = await complete('unnamed', UploadId, Parts);
    expect(done).toMatchObject({ ChecksumCRC32C: sum('CRC32C', whole), ChecksumType: 'FULL_OBJECT' });
  });

  test('is none where its parts came with several kinds', async () => {
    const UploadId = await begin('mixed');
    const Parts = await send('mixed', UploadId, ['CRC32', 'SHA256']);
    expect((await complete('mixed', UploadId, Parts)).ChecksumType).toBeUndefined();
    expect((await head('mixed')).ChecksumType).toBeUndefined();
  });
});

describe('an upload with a checksum refuses', () => {
  const invalid = { name: 'InvalidRequest' };

  test.each([
    ['SHA256', 'FULL_OBJECT'],
    ['SHA1', 'FULL_OBJECT'],
    ['CRC64NVME', 'COMPOSITE'],
  ] as const)('%s as %s', async (ChecksumAlgorithm, ChecksumType) => {
    await expect(begin('never', { ChecksumAlgorithm, ChecksumType })).rejects.toMatchObject(invalid);
  });

  test('a part with another algorithm, and a composite one a part without', async () => {
    const Key = 'agreed';
    const composite = await begin(Key, { ChecksumAlgorithm: 'SHA256' });
    await expect(send(Key, composite, ['CRC32'])).rejects.toMatchObject(invalid);
    await expect(send(Key, composite, [undefined])).rejects.toMatchObject(invalid);
    const full = await begin(Key, { ChecksumAlgorithm: 'CRC32', ChecksumType: 'FULL_OBJECT' });
    await expect(send(Key, full, ['CRC32C'])).rejects.toMatchObject(invalid);
  });

  test('to complete with a wrong checksum, another type, or those of other parts', async () => {
    const Key = 'held';
    const UploadId = await begin(Key, { ChecksumAlgorithm: 'CRC32' });
    const Parts = await send(Key, UploadId, ['CRC32']);
    const swapped = Parts.map((part, i) => ({ ...part, ChecksumCRC32: Parts[(i + 1) % 3]?.ChecksumCRC32 }));
    await expect(complete(Key, UploadId, swapped)).rejects.toMatchObject({ name: 'InvalidPart' });
    await expect(complete(Key, UploadId, Parts, { ChecksumCRC32: sum('CRC32', whole) })).rejects.toMatchObject({ name: 'BadDigest' });
    await expect(complete(Key, UploadId, Parts, { ChecksumSHA1: sum('SHA1', whole) })).rejects.toMatchObject(invalid);
    await expect(complete(Key, UploadId, Parts, { ChecksumType: 'FULL_OBJECT' })).rejects.toMatchObject(invalid);
    expect((await complete(Key, UploadId, Parts)).ChecksumCRC32).toBe(sumOfSums('CRC32'));
  });
});

describe('a copy', () => {
  test.each(['CRC32', 'CRC32C', 'CRC64NVME', 'SHA1', 'SHA256'] as const)('is given the checksum that is asked for (%s)', async (ChecksumAlgorithm) => {
    await client.send(new PutObjectCommand({ Bucket, Key: 'from', Body: 'content' }));
    const copy = { Bucket, Key: 'to', CopySource: `${Bucket}/from` };
    const about = { [`Checksum${ChecksumAlgorithm}`]: sum(ChecksumAlgorithm, Buffer.from('content')), ChecksumType: 'FULL_OBJECT' };
    const copied = await client.send(new CopyObjectCommand({ ...copy, ChecksumAlgorithm }));
    expect(copied.CopyObjectResult).toMatchObject(about);
    expect(await head('to')).toMatchObject(about);
  });

  test('keeps the kind of its source where none is asked for', async () => {
    await client.send(new PutObjectCommand({ Bucket, Key: 'sha', Body: 'content', ChecksumAlgorithm: 'SHA256' }));
    await client.send(new CopyObjectCommand({ Bucket, Key: 'kept', CopySource: `${Bucket}/sha` }));
    expect((await head('kept')).ChecksumSHA256).toBe(sum('SHA256', Buffer.from('content')));
  });

  test('as a part has the checksum of its upload', async () => {
    await client.send(new PutObjectCommand({ Bucket, Key: 'piece', Body: 'content' }));
    const UploadId = await begin('assembled', { ChecksumAlgorithm: 'SHA1' });
    const part = { Bucket, Key: 'assembled', UploadId, PartNumber: 1, CopySource: `${Bucket}/piece` };
    const { CopyPartResult } = await client.send(new UploadPartCopyCommand(part));
    expect(CopyPartResult?.ChecksumSHA1).toBe(sum('SHA1', Buffer.from('content')));
  });
});
