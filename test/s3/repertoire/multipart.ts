/** Uploads in parts and copies: of parts, of ranges, of versions, of whole objects, and their listings. */
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListPartsCommand,
  UploadPartCommand,
  UploadPartCopyCommand,
  paginateListParts,
} from '@aws-sdk/client-s3';
import { expect, it } from 'vitest';
import { contentOf } from '../../show/contents.ts';
import { PART_BYTES, refused } from './sdk-endpoint.ts';
import type { SdkEndpoint } from './sdk-endpoint.ts';

export function multipart(at: () => SdkEndpoint): void {
  it('completes what was listed, replaced and copied into parts, and reads each part', async () => {
    const Bucket = await at().bucket();
    const Key = 'in parts';
    const { client } = at();
    const source = contentOf('source', PART_BYTES + 5_000);
    await at().put(Bucket, 'a source+ä', source);
    const { UploadId } = await client.send(new CreateMultipartUploadCommand({ Bucket, Key, Tagging: 'of=parts', Metadata: { a: 'b' } }));
    const upload = { Bucket, Key, UploadId };
    await client.send(new UploadPartCommand({ ...upload, PartNumber: 3, Body: 'replaced' }));
    const last = await client.send(new UploadPartCommand({ ...upload, PartNumber: 3, Body: 'the end' }));
    const CopySource = `${Bucket}/${encodeURIComponent('a source+ä')}`;
    const first = await client.send(new UploadPartCopyCommand({ ...upload, PartNumber: 1, CopySource }));
    const middle = await client.send(new UploadPartCopyCommand({ ...upload, PartNumber: 2, CopySource, CopySourceRange: `bytes=10-${PART_BYTES + 9}` }));
    await refused('InvalidRange', client.send(new UploadPartCopyCommand({ ...upload, PartNumber: 4, CopySource, CopySourceRange: `bytes=0-${source.length}` })));
    const rows: (number | undefined)[] = [];
    for await (const page of paginateListParts({ client, pageSize: 1 }, upload)) rows.push(...(page.Parts ?? []).map(({ Size }) => Size));
    expect(rows).toEqual([source.length, PART_BYTES, 7]);
    const Parts = [first.CopyPartResult, middle.CopyPartResult, last].map((part, index) => ({ PartNumber: index + 1, ETag: part?.ETag }));
    await refused('InvalidPart', client.send(new CompleteMultipartUploadCommand({ ...upload, MultipartUpload: { Parts: [{ PartNumber: 9, ETag: '"0"' }] } })));
    await client.send(new CompleteMultipartUploadCommand({ ...upload, MultipartUpload: { Parts } }));
    const whole = Buffer.concat([source, source.subarray(10, PART_BYTES + 10), Buffer.from('the end')]);
    expect((await at().read(Bucket, Key)).equals(whole)).toBe(true);
    const seam = source.length;
    expect((await at().read(Bucket, Key, { Range: `bytes=${seam - 3}-${seam + 2}` })).equals(whole.subarray(seam - 3, seam + 3))).toBe(true);
    const second = await client.send(new GetObjectCommand({ Bucket, Key, PartNumber: 2 }));
    expect(second).toMatchObject({ PartsCount: 3, ContentLength: PART_BYTES, ContentRange: `bytes ${seam}-${seam + PART_BYTES - 1}/${whole.length}` });
    expect(Buffer.from((await second.Body?.transformToByteArray()) ?? []).equals(source.subarray(10, PART_BYTES + 10))).toBe(true);
    expect(await client.send(new HeadObjectCommand({ Bucket, Key }))).toMatchObject({ Metadata: { a: 'b' }, ContentLength: whole.length });
    await refused('NoSuchUpload', client.send(new ListPartsCommand(upload)));
  });

  it('forgets an upload that was given up', async () => {
    const Bucket = await at().bucket();
    const { client } = at();
    const { UploadId } = await client.send(new CreateMultipartUploadCommand({ Bucket, Key: 'k' }));
    const { ETag } = await client.send(new UploadPartCommand({ Bucket, Key: 'k', UploadId, PartNumber: 1, Body: 'x' }));
    await client.send(new AbortMultipartUploadCommand({ Bucket, Key: 'k', UploadId }));
    await refused('NoSuchUpload', client.send(new CompleteMultipartUploadCommand({ Bucket, Key: 'k', UploadId, MultipartUpload: { Parts: [{ PartNumber: 1, ETag }] } })));
    await refused('NoSuchKey', at().read(Bucket, 'k'));
  });

  it('copies objects with their metadata, with other metadata, over themselves, and on conditions', async () => {
    const [Bucket, other] = [await at().bucket(), await at().bucket()];
    const { client } = at();
    const body = contentOf('copied', 900_000);
    const { ETag } = await at().put(Bucket, 'k', body, { Metadata: { a: '1' }, ContentType: 'text/a', Tagging: 'x=y' });
    const CopySource = `${Bucket}/k`;
    await client.send(new CopyObjectCommand({ Bucket: other, Key: 'same', CopySource }));
    expect(await client.send(new HeadObjectCommand({ Bucket: other, Key: 'same' }))).toMatchObject({ Metadata: { a: '1' }, ContentType: 'text/a', ETag });
    await client.send(new CopyObjectCommand({ Bucket: other, Key: 'new', CopySource, MetadataDirective: 'REPLACE', Metadata: { b: '2' }, ContentType: 'text/b' }));
    expect(await client.send(new HeadObjectCommand({ Bucket: other, Key: 'new' }))).toMatchObject({ Metadata: { b: '2' }, ContentType: 'text/b' });
    await refused('InvalidRequest', client.send(new CopyObjectCommand({ Bucket, Key: 'k', CopySource })));
    await client.send(new CopyObjectCommand({ Bucket, Key: 'k', CopySource, MetadataDirective: 'REPLACE', Metadata: { c: '3' } }));
    await refused('PreconditionFailed', client.send(new CopyObjectCommand({ Bucket: other, Key: 'not', CopySource, CopySourceIfMatch: '"other"' })));
    await refused('PreconditionFailed', client.send(new CopyObjectCommand({ Bucket: other, Key: 'same', CopySource, IfNoneMatch: '*' })));
    await refused('NoSuchKey', client.send(new CopyObjectCommand({ Bucket: other, Key: 'not', CopySource: `${Bucket}/none` })));
    for (const Key of ['same', 'new']) expect((await at().read(other, Key)).equals(body)).toBe(true);
    expect((await at().read(Bucket, 'k')).equals(body)).toBe(true);
  });
}
