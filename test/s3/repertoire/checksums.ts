/** Checksums of all five kinds: of whole objects, of parts composed, and of whole objects made from parts. */
import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { CompleteMultipartUploadCommand, CreateMultipartUploadCommand, GetObjectAttributesCommand, GetObjectCommand, HeadObjectCommand, UploadPartCommand } from '@aws-sdk/client-s3';
import type { ChecksumAlgorithm, ChecksumType, CompleteMultipartUploadCommandOutput } from '@aws-sdk/client-s3';
import { expect, it } from 'vitest';
import { contentOf } from '../../show/contents.ts';
import { PART_BYTES, refused } from './sdk-endpoint.ts';
import type { SdkEndpoint } from './sdk-endpoint.ts';

const ALGORITHMS = ['CRC32', 'CRC32C', 'CRC64NVME', 'SHA1', 'SHA256'] as const;
type Algorithm = (typeof ALGORITHMS)[number];
const fieldOf = (algorithm: Algorithm): `Checksum${Algorithm}` => `Checksum${algorithm}`;

/** Reflected, as CRC-64/NVME is defined: one bit at a time, so that it shares nothing with the product's tables. */
function crc64nvme(bytes: Uint8Array): string {
  let crc = 0xffffffffffffffffn;
  for (const byte of bytes) {
    crc ^= BigInt(byte);
    for (let bit = 0; bit < 8; bit += 1) crc = (crc & 1n) === 0n ? crc >> 1n : (crc >> 1n) ^ 0x9a6c9329ac4bc9b5n;
  }
  const out = Buffer.alloc(8);
  out.writeBigUInt64BE(crc ^ 0xffffffffffffffffn);
  return out.toString('base64');
}

const crc32Of = (bytes: Uint8Array): string => {
  const out = Buffer.alloc(4);
  out.writeUInt32BE(crc32(bytes));
  return out.toString('base64');
};
const hashOf = (name: string, bytes: Uint8Array): Buffer => createHash(name).update(bytes).digest();

async function uploadInParts(at: SdkEndpoint, Bucket: string, bodies: readonly Buffer[], kind: ChecksumAlgorithm & Algorithm, ChecksumType: ChecksumType): Promise<CompleteMultipartUploadCommandOutput> {
  const Key = `${kind} ${ChecksumType}`;
  const { UploadId } = await at.client.send(new CreateMultipartUploadCommand({ Bucket, Key, ChecksumAlgorithm: kind, ChecksumType }));
  const Parts = await Promise.all(
    bodies.map(async (Body, index) => {
      const PartNumber = index + 1;
      const answer = await at.client.send(new UploadPartCommand({ Bucket, Key, UploadId, PartNumber, Body, ChecksumAlgorithm: kind }));
      expect(answer[fieldOf(kind)], 'the checksum of a part').toBeDefined();
      return { PartNumber, ETag: answer.ETag, [fieldOf(kind)]: answer[fieldOf(kind)] };
    }),
  );
  return at.client.send(new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload: { Parts }, ChecksumType }));
}

export function checksums(at: () => SdkEndpoint): void {
  it.each(ALGORITHMS)('verifies, keeps and returns %s', async (algorithm) => {
    const Bucket = await at().bucket();
    const field = fieldOf(algorithm);
    const body = contentOf(algorithm, 10_000);
    const given = (await at().put(Bucket, 'k', body, { ChecksumAlgorithm: algorithm }))[field];
    expect(given).toBeDefined();
    const head = await at().client.send(new HeadObjectCommand({ Bucket, Key: 'k', ChecksumMode: 'ENABLED' }));
    expect(head).toMatchObject({ [field]: given, ChecksumType: 'FULL_OBJECT' });
    const answer = await at().client.send(new GetObjectCommand({ Bucket, Key: 'k', ChecksumMode: 'ENABLED' }));
    expect(answer[field]).toBe(given);
    expect(Buffer.from((await answer.Body?.transformToByteArray()) ?? []).equals(body)).toBe(true);
    const told = await at().client.send(new GetObjectAttributesCommand({ Bucket, Key: 'k', ObjectAttributes: ['Checksum', 'ETag', 'ObjectSize', 'StorageClass'] }));
    expect(told).toMatchObject({ Checksum: { [field]: given }, ObjectSize: body.length });
    await refused('BadDigest', at().put(Bucket, 'k', 'other', { [field]: given }));
    expect((await at().read(Bucket, 'k')).equals(body)).toBe(true);
  });

  it('tells the check that its definition gives', async () => {
    const Bucket = await at().bucket();
    const body = contentOf('defined', 3_000);
    const told = await Promise.all(ALGORITHMS.map(async (algorithm) => (await at().put(Bucket, algorithm, body, { ChecksumAlgorithm: algorithm }))[fieldOf(algorithm)]));
    expect([told[0], told[2], told[3], told[4]]).toEqual([crc32Of(body), crc64nvme(body), hashOf('sha1', body).toString('base64'), hashOf('sha256', body).toString('base64')]);
  });

  it('composes the checks of parts, and joins those of whole objects', async () => {
    const Bucket = await at().bucket();
    const bodies = [contentOf('first part', PART_BYTES), contentOf('second part', 1_000)];
    for (const algorithm of ALGORITHMS) {
      if (algorithm === 'CRC64NVME') continue;
      const done = await uploadInParts(at(), Bucket, bodies, algorithm, 'COMPOSITE');
      expect(done[fieldOf(algorithm)]).toMatch(/-2$/);
      if (algorithm !== 'SHA256') continue;
      const joined = Buffer.concat(bodies.map((body) => hashOf('sha256', body)));
      expect(done.ChecksumSHA256).toBe(`${hashOf('sha256', joined).toString('base64')}-2`);
    }
    for (const algorithm of ['CRC32', 'CRC32C', 'CRC64NVME'] as const) {
      const done = await uploadInParts(at(), Bucket, bodies, algorithm, 'FULL_OBJECT');
      const whole = (await at().put(Bucket, 'whole', Buffer.concat(bodies), { ChecksumAlgorithm: algorithm }))[fieldOf(algorithm)];
      expect([algorithm, done[fieldOf(algorithm)]]).toEqual([algorithm, whole]);
    }
    const told = await at().client.send(new GetObjectAttributesCommand({ Bucket, Key: 'SHA256 COMPOSITE', ObjectAttributes: ['ObjectParts', 'Checksum'] }));
    expect(told.ObjectParts?.TotalPartsCount).toBe(2);
    expect(told.ObjectParts?.Parts?.map(({ Size }) => Size)).toEqual([PART_BYTES, 1_000]);
    expect(told.Checksum?.ChecksumType).toBe('COMPOSITE');
  });
}
