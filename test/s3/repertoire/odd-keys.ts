/** Keys of up to 1,024 bytes of any UTF-8, written, read, copied, listed in every way, and deleted as they are. */
import {
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  DeleteObjectsCommand,
  ListMultipartUploadsCommand,
  ListObjectVersionsCommand,
  ListObjectsCommand,
  ListObjectsV2Command,
} from '@aws-sdk/client-s3';
import { expect, it } from 'vitest';
import { refused } from './sdk-endpoint.ts';
import type { SdkEndpoint } from './sdk-endpoint.ts';

const KEY_BYTES = 1_024;
const full = (letter: string): string => {
  const whole = letter.repeat(Math.floor(KEY_BYTES / Buffer.byteLength(letter)));
  return whole + 'x'.repeat(KEY_BYTES - Buffer.byteLength(whole));
};

/** Each of them would be another key to whoever normalises, decodes twice, trims or walks paths. */
const KEYS: readonly string[] = [
  full('e\u{301}'),
  full('\u{E9}'),
  full('\u{1F469}\u{200D}\u{1F680}'),
  full('/'),
  full('%2F'),
  full('\u{1}\u{1F}\u{7F}'),
  '//',
  '/..//../etc/passwd',
  'dots/../dots/./.',
  ' leading and trailing ',
  'tab\tand\nlines\r\n',
  '<a>&amp;"\'</a>',
  'a?b=c&d#e',
  '%',
  '%zz%00',
  '+ +',
  '\u{FEFF}bom',
  '\u{FFFD}',
  '\u{10FFFF}',
  '\u{202E}right to left',
];
const SORTED = KEYS.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
const decoded = (key: string | undefined): string => decodeURIComponent((key ?? '').replaceAll('+', '%20'));

export function oddKeys(at: () => SdkEndpoint): void {
  it('keeps odd keys apart and lists each as it is', async () => {
    const Bucket = await at().versionedBucket();
    const { client } = at();
    await Promise.all(KEYS.map((key, index) => at().put(Bucket, key, String(index))));
    const found = await Promise.all(KEYS.map((key) => at().text(Bucket, key)));
    expect(found).toEqual(KEYS.map((_key, index) => String(index)));

    const EncodingType = 'url';
    const [v1, v2, versions] = await Promise.all([
      client.send(new ListObjectsCommand({ Bucket, EncodingType })),
      client.send(new ListObjectsV2Command({ Bucket, EncodingType })),
      client.send(new ListObjectVersionsCommand({ Bucket, EncodingType })),
    ]);
    for (const rows of [v1.Contents, v2.Contents, versions.Versions]) expect(rows?.map(({ Key }) => decoded(Key))).toEqual(SORTED);

    const slashes = await client.send(new ListObjectsV2Command({ Bucket, EncodingType, Delimiter: '/' }));
    const prefixes = new Set(SORTED.filter((key) => key.includes('/')).map((key) => key.slice(0, key.indexOf('/') + 1)));
    expect(slashes.CommonPrefixes?.map(({ Prefix }) => decoded(Prefix))).toEqual([...prefixes]);
    for (const [index, key] of SORTED.entries()) {
      const next = await client.send(new ListObjectsV2Command({ Bucket, EncodingType, StartAfter: key, MaxKeys: 1 }));
      expect(next.Contents?.map(({ Key }) => decoded(Key)) ?? []).toEqual(SORTED.slice(index + 1, index + 2));
    }
  });

  it('copies, uploads in parts and deletes odd keys', async () => {
    const Bucket = await at().bucket();
    const { client } = at();
    // Not those of control characters: the answers about uploads are XML, which has no way to write them.
    const some = KEYS.filter((key) => !key.includes('\u{1}')).slice(0, 9);
    for (const key of some) {
      await at().put(Bucket, key, 'x');
      const CopySource = `${Bucket}/${encodeURIComponent(key)}`;
      await client.send(new CopyObjectCommand({ Bucket, Key: key, CopySource, MetadataDirective: 'REPLACE', Metadata: { a: 'b' } }));
      await client.send(new CreateMultipartUploadCommand({ Bucket, Key: key }));
    }
    const { Uploads } = await client.send(new ListMultipartUploadsCommand({ Bucket, EncodingType: 'url' }));
    expect(Uploads?.map(({ Key }) => decoded(Key))).toEqual(SORTED.filter((key) => some.includes(key)));
    const { Errors } = await client.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects: some.map((Key) => ({ Key })) } }));
    expect(Errors ?? []).toEqual([]);
    const { KeyCount } = await client.send(new ListObjectsV2Command({ Bucket, EncodingType: 'url' }));
    expect(KeyCount).toBe(0);
  });

  it('refuses a key of one byte more', async () => {
    const Bucket = await at().bucket();
    await refused('KeyTooLongError', at().put(Bucket, `${full('e\u{301}')}y`, 'x'));
  });
}
