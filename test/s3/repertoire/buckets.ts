/** Documents of buckets, and listings of all kinds by pages. */
import {
  AbortMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteBucketCorsCommand,
  DeleteBucketEncryptionCommand,
  DeleteBucketLifecycleCommand,
  DeleteBucketTaggingCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetBucketCorsCommand,
  GetBucketEncryptionCommand,
  GetBucketLifecycleConfigurationCommand,
  GetBucketLocationCommand,
  GetBucketTaggingCommand,
  ListMultipartUploadsCommand,
  ListObjectVersionsCommand,
  ListObjectsCommand,
  ListObjectsV2Command,
  PutBucketCorsCommand,
  PutBucketEncryptionCommand,
  PutBucketLifecycleConfigurationCommand,
  PutBucketTaggingCommand,
} from '@aws-sdk/client-s3';
import type { LifecycleRule } from '@aws-sdk/client-s3';
import { expect, it } from 'vitest';
import { refused } from './sdk-endpoint.ts';
import type { SdkEndpoint } from './sdk-endpoint.ts';

const PAGE = 3;
const PAGES_MAX = 100;
const MANY_KEYS = 1_000;

interface Page {
  readonly rows: readonly (string | undefined)[];
  readonly isTruncated: boolean | undefined;
}

/** Asks for page after page; every page but the last must be full. */
async function allPages(next: () => Promise<Page>): Promise<(string | undefined)[]> {
  const rows: (string | undefined)[] = [];
  for (let page = 0; page < PAGES_MAX; page += 1) {
    const answer = await next();
    rows.push(...answer.rows);
    if (answer.isTruncated !== true) return rows;
    expect(answer.rows).toHaveLength(PAGE);
  }
  throw new Error('the listing has no end');
}

export function buckets(at: () => SdkEndpoint): void {
  it('keeps documents: CORS, lifecycle, tags, encryption, location', async () => {
    const Bucket = await at().bucket();
    const { client, endpoint } = at();
    await refused('NoSuchCORSConfiguration', client.send(new GetBucketCorsCommand({ Bucket })));
    const CORSRules = [{ AllowedMethods: ['GET'], AllowedOrigins: ['https://*.example'], AllowedHeaders: ['x-*'], ExposeHeaders: ['etag'], MaxAgeSeconds: 5 }];
    await client.send(new PutBucketCorsCommand({ Bucket, CORSConfiguration: { CORSRules } }));
    expect((await client.send(new GetBucketCorsCommand({ Bucket }))).CORSRules).toEqual(CORSRules);
    const asked = { Origin: 'https://a.example', 'Access-Control-Request-Method': 'GET', 'Access-Control-Request-Headers': 'x-a' };
    const preflight = await fetch(`${endpoint.origin}/${Bucket}/k`, { method: 'OPTIONS', headers: asked });
    expect([preflight.status, preflight.headers.get('access-control-allow-origin'), preflight.headers.get('access-control-max-age')]).toEqual([200, 'https://a.example', '5']);
    await client.send(new DeleteBucketCorsCommand({ Bucket }));
    expect((await fetch(`${endpoint.origin}/${Bucket}/k`, { method: 'OPTIONS', headers: asked })).status).toBe(403);

    const Rules: LifecycleRule[] = [
      { ID: 'one', Status: 'Enabled', Filter: { And: { Prefix: 'a/', Tags: [{ Key: 't', Value: 'v' }], ObjectSizeGreaterThan: 10 } }, Expiration: { Days: 5 } },
      { ID: 'two', Status: 'Enabled', Filter: { Prefix: '' }, NoncurrentVersionExpiration: { NoncurrentDays: 3, NewerNoncurrentVersions: 2 } },
      { ID: 'three', Status: 'Disabled', Filter: { Prefix: 'b' }, AbortIncompleteMultipartUpload: { DaysAfterInitiation: 1 } },
    ];
    await client.send(new PutBucketLifecycleConfigurationCommand({ Bucket, LifecycleConfiguration: { Rules } }));
    expect((await client.send(new GetBucketLifecycleConfigurationCommand({ Bucket }))).Rules).toMatchObject(Rules);
    await client.send(new DeleteBucketLifecycleCommand({ Bucket }));
    await refused('NoSuchLifecycleConfiguration', client.send(new GetBucketLifecycleConfigurationCommand({ Bucket })));

    const TagSet = [{ Key: 'a', Value: 'ä' }];
    await client.send(new PutBucketTaggingCommand({ Bucket, Tagging: { TagSet } }));
    expect((await client.send(new GetBucketTaggingCommand({ Bucket }))).TagSet).toEqual(TagSet);
    await client.send(new DeleteBucketTaggingCommand({ Bucket }));
    await refused('NoSuchTagSet', client.send(new GetBucketTaggingCommand({ Bucket })));

    const encryption = { Rules: [{ ApplyServerSideEncryptionByDefault: { SSEAlgorithm: 'AES256' } as const }] };
    await client.send(new PutBucketEncryptionCommand({ Bucket, ServerSideEncryptionConfiguration: encryption }));
    expect((await client.send(new GetBucketEncryptionCommand({ Bucket }))).ServerSideEncryptionConfiguration).toMatchObject(encryption);
    await client.send(new DeleteBucketEncryptionCommand({ Bucket }));
    expect((await client.send(new GetBucketLocationCommand({ Bucket }))).LocationConstraint).toBeUndefined();
  });

  it('lists objects, versions and uploads by pages', async () => {
    const Bucket = await at().versionedBucket();
    const { client } = at();
    const keys = ['a', 'a/1', 'a/2', 'b c', 'b+c', 'd', 'ä', '\u{FF5E}', '\u{1F600}'];
    for (const key of keys.toReversed()) await at().put(Bucket, key);
    await at().put(Bucket, 'd', 'again');
    await client.send(new DeleteObjectCommand({ Bucket, Key: 'a' }));
    const left = keys.slice(1);

    let token: string | undefined;
    const v2 = await allPages(async () => {
      const page = await client.send(new ListObjectsV2Command({ Bucket, MaxKeys: PAGE, ContinuationToken: token }));
      token = page.NextContinuationToken;
      return { rows: (page.Contents ?? []).map(({ Key }) => Key), isTruncated: page.IsTruncated };
    });
    expect(v2).toEqual(left);

    let after: string | undefined;
    const v1 = await allPages(async () => {
      const page = await client.send(new ListObjectsCommand({ Bucket, MaxKeys: PAGE, Marker: after, EncodingType: 'url' }));
      const rows = (page.Contents ?? []).map(({ Key }) => decodeURIComponent((Key ?? '').replaceAll('+', ' ')));
      after = rows.at(-1);
      return { rows, isTruncated: page.IsTruncated };
    });
    expect(v1).toEqual(left);

    let at1: { KeyMarker?: string | undefined; VersionIdMarker?: string | undefined } = {};
    const listed = await allPages(async () => {
      const page = await client.send(new ListObjectVersionsCommand({ Bucket, MaxKeys: PAGE, ...at1 }));
      at1 = { KeyMarker: page.NextKeyMarker, VersionIdMarker: page.NextVersionIdMarker };
      const rows = [...(page.Versions ?? []).map(({ Key }) => Key), ...(page.DeleteMarkers ?? []).map(({ Key }) => `marker of ${Key}`)];
      return { rows, isTruncated: page.IsTruncated };
    });
    expect(listed.toSorted()).toEqual([...keys, 'd', 'marker of a'].toSorted());

    const level = await client.send(new ListObjectsV2Command({ Bucket, Delimiter: '/', StartAfter: 'a' }));
    expect([level.CommonPrefixes, level.KeyCount]).toEqual([[{ Prefix: 'a/' }], left.length - 1]);
  });

  it('lists uploads by pages', async () => {
    const Bucket = await at().bucket();
    const { client } = at();
    const names = ['x', 'x', 'y/1', 'y/2', 'z'];
    const uploads: { Bucket: string; Key: string; UploadId: string | undefined }[] = [];
    for (const Key of names) uploads.push({ Bucket, Key, UploadId: (await client.send(new CreateMultipartUploadCommand({ Bucket, Key }))).UploadId });
    let from: { KeyMarker?: string | undefined; UploadIdMarker?: string | undefined } = {};
    const listed = await allPages(async () => {
      const page = await client.send(new ListMultipartUploadsCommand({ Bucket, MaxUploads: PAGE, ...from }));
      from = { KeyMarker: page.NextKeyMarker, UploadIdMarker: page.NextUploadIdMarker };
      return { rows: (page.Uploads ?? []).map(({ Key }) => Key), isTruncated: page.IsTruncated };
    });
    expect(listed).toEqual(names);
    const level = await client.send(new ListMultipartUploadsCommand({ Bucket, Delimiter: '/' }));
    expect(level.CommonPrefixes).toEqual([{ Prefix: 'y/' }]);
    await Promise.all(uploads.map((upload) => client.send(new AbortMultipartUploadCommand(upload))));
    expect((await client.send(new ListMultipartUploadsCommand({ Bucket }))).Uploads ?? []).toEqual([]);
  });

  it(`deletes ${MANY_KEYS} keys by one request, whether they are there or not`, async () => {
    const Bucket = await at().bucket();
    const { client } = at();
    const keys = Array.from({ length: MANY_KEYS }, (_, index) => `k${index}`);
    await Promise.all(keys.slice(0, 40).map((key) => at().put(Bucket, key)));
    await at().put(Bucket, 'other');
    const { Deleted, Errors } = await client.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects: keys.map((Key) => ({ Key })) } }));
    expect([Errors ?? [], Deleted?.length]).toEqual([[], MANY_KEYS]);
    expect((await client.send(new ListObjectsV2Command({ Bucket }))).Contents?.map(({ Key }) => Key)).toEqual(['other']);
    const more = [...keys, 'one more'].map((Key) => ({ Key }));
    await refused('MalformedXML', client.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects: more } })));
  });
}
