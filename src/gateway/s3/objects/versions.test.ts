/** Versions, conditions, locks and tags, through the AWS SDK or signed by hand, over the real listener. */
import { createHash } from 'node:crypto';
import * as s3 from '@aws-sdk/client-s3';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { compare, utf8 } from '../../../base/bytes.ts';
import { readVersionPage } from '../listing/list-versions.ts';
import type { VersionPosition } from '../listing/list-versions.ts';
import { ACCESS_KEY, ask, SECRET_KEY, startS3World } from '../s3-world.contract.ts';
import type { S3World } from '../s3-world.contract.ts';

let world: S3World;
let client: s3.S3Client;
let count = 0;
let Bucket = '';
const HOUR_MS = 3_600_000;

beforeAll(async () => {
  world = await startS3World();
  client = new s3.S3Client({
    endpoint: world.server.origin,
    region: 'us-east-1',
    credentials: { accessKeyId: ACCESS_KEY, secretAccessKey: SECRET_KEY },
    forcePathStyle: true,
    maxAttempts: 1,
  });
});

afterAll(async () => {
  client.destroy();
  await world.close();
});

beforeEach(() => {
  count += 1;
  Bucket = `versions-${String(count)}`;
  world.store.nowMs = Date.now();
  world.store.addBucket(Bucket);
});

const put = (Key: string, Body = 'x', more: object = {}): Promise<s3.PutObjectCommandOutput> =>
  client.send(new s3.PutObjectCommand({ Bucket, Key, Body, ...more }));
const remove = (Key: string, more: object = {}): Promise<s3.DeleteObjectCommandOutput> =>
  client.send(new s3.DeleteObjectCommand({ Bucket, Key, ...more }));
const read = async (Key: string, more: object = {}): Promise<string> => {
  const answer = await client.send(new s3.GetObjectCommand({ Bucket, Key, ...more }));
  return (await answer.Body?.transformToString()) ?? '';
};
const keepVersions = (Status: 'Enabled' | 'Suspended'): Promise<unknown> =>
  client.send(new s3.PutBucketVersioningCommand({ Bucket, VersioningConfiguration: { Status } }));
const refused = (name: string, httpStatusCode: number): object => ({ name, $metadata: { httpStatusCode } });
const md5 = (text: string): string => createHash('md5').update(text).digest('base64');

describe('versioning', () => {
  test('is never, enabled or suspended, and what is not that is refused', async () => {
    const status = async (): Promise<unknown> =>
      (await client.send(new s3.GetBucketVersioningCommand({ Bucket }))).Status;
    expect(await status()).toBeUndefined();
    await keepVersions('Enabled');
    expect(await status()).toBe('Enabled');
    await keepVersions('Suspended');
    expect(await status()).toBe('Suspended');
    const document = (inner: string) => ({
      method: 'PUT',
      path: `/${Bucket}`,
      query: { versioning: '' },
      body: `<VersioningConfiguration>${inner}</VersioningConfiguration>`,
    });
    const codeOf = async (inner: string): Promise<unknown> => (await ask(world, document(inner))).code;
    expect(await codeOf('')).toBe('IllegalVersioningConfigurationException');
    expect(await codeOf('<Status>Off</Status>')).toBe('MalformedXML');
    expect(await codeOf('<Status>Enabled</Status><MfaDelete>Enabled</MfaDelete>')).toBe('NotImplemented');
  });

  test('a delete marker hides the versions below and is itself deleted by its id', async () => {
    const never = await ask(world, { method: 'HEAD', path: `/${Bucket}/k` });
    expect([never.status, never.headers['x-amz-delete-marker']]).toEqual([404, 'false']);
    await keepVersions('Enabled');
    const first = await put('k', 'one');
    const second = await put('k', 'two');
    expect(await read('k')).toBe('two');
    expect(await read('k', { VersionId: first.VersionId })).toBe('one');
    const marker = await remove('k');
    expect(marker.DeleteMarker).toBe(true);
    const hidden = await ask(world, { method: 'GET', path: `/${Bucket}/k` });
    expect([hidden.status, hidden.code]).toEqual([404, 'NoSuchKey']);
    expect(hidden.headers['x-amz-delete-marker']).toBe('true');
    expect(hidden.headers['x-amz-version-id']).toBe(marker.VersionId);
    const query = { versionId: marker.VersionId ?? '' };
    for (const method of ['GET', 'HEAD']) {
      const answer = await ask(world, { method, path: `/${Bucket}/k`, query });
      expect(answer.status).toBe(405);
      expect(answer.headers['x-amz-delete-marker']).toBe('true');
      expect(answer.headers['allow']).toBe('DELETE');
    }
    const unmarked = await remove('k', { VersionId: marker.VersionId });
    expect([unmarked.DeleteMarker, unmarked.VersionId]).toEqual([true, marker.VersionId]);
    expect(await read('k')).toBe('two');
    expect((await remove('k', { VersionId: second.VersionId })).DeleteMarker).toBeUndefined();
    expect(await read('k')).toBe('one');
    await expect(read('k', { VersionId: second.VersionId })).rejects.toMatchObject(refused('NoSuchVersion', 404));
  });

  test('suspended versioning replaces the null version and keeps the others', async () => {
    await put('k', 'null one');
    await keepVersions('Enabled');
    const kept = await put('k', 'kept');
    await keepVersions('Suspended');
    expect((await put('k', 'null two')).VersionId).toBeUndefined();
    expect(await read('k', { VersionId: 'null' })).toBe('null two');
    expect((await remove('k')).VersionId).toBe('null');
    expect(await read('k', { VersionId: kept.VersionId })).toBe('kept');
    const { Versions, DeleteMarkers } = await client.send(new s3.ListObjectVersionsCommand({ Bucket }));
    expect(Versions?.map((row) => row.VersionId)).toEqual([kept.VersionId]);
    expect(DeleteMarkers?.map((row) => [row.VersionId, row.IsLatest])).toEqual([['null', true]]);
  });

  test.each(['', ' ', 'x'.repeat(1025), 'é'])('the version id %j is refused', async (versionId) => {
    for (const method of ['GET', 'DELETE']) {
      const answer = await ask(world, { method, path: `/${Bucket}/k`, query: { versionId } });
      expect([answer.status, answer.code]).toEqual([400, 'InvalidArgument']);
    }
  });
});

describe('lists of versions', () => {
  test('go page by page through versions, markers and groups', async () => {
    await keepVersions('Enabled');
    const expected: string[] = [];
    for (const Key of ['a', 'b', 'd/1', 'd/2', 'e']) {
      const ids = [await put(Key, '1'), await put(Key, '2'), await remove(Key)].map((one) => one.VersionId ?? '');
      if (!Key.startsWith('d/')) expected.push(...ids.reverse().map((id) => `${Key} ${id}`));
      else if (!expected.includes('d/')) expected.push('d/');
    }
    for (const MaxKeys of [1, 2, 3, 1000]) {
      const seen: string[] = [];
      let more = {};
      for (;;) {
        const page = await client.send(new s3.ListObjectVersionsCommand({ Bucket, Delimiter: '/', MaxKeys, ...more }));
        const rows = [...(page.Versions ?? []), ...(page.DeleteMarkers ?? [])];
        const shown = rows.map((row) => `${row.Key ?? ''} ${row.VersionId ?? ''}`);
        seen.push(...shown, ...(page.CommonPrefixes ?? []).map((group) => group.Prefix ?? ''));
        if (page.IsTruncated !== true) break;
        expect(rows.length + (page.CommonPrefixes?.length ?? 0)).toBe(MaxKeys);
        more = { KeyMarker: page.NextKeyMarker, VersionIdMarker: page.NextVersionIdMarker };
      }
      expect(seen.sort()).toEqual([...expected].sort());
    }
  });

  test('pages of any size show each version once, in order, and a group without its rows', async () => {
    const names = fc.string({ unit: fc.constantFrom('a', '/', 'é', '\u{1F600}'), minLength: 1, maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(names, fc.integer({ min: 1, max: 3 })), { maxLength: 8 }),
        fc.constantFrom('', 'a', 'é'),
        fc.constantFrom('', '/', 'é'),
        fc.integer({ min: 1, max: 5 }),
        async (written, prefix, delimiter, limit) => {
          world.store.addBucket('property', { versioning: 'enabled' });
          const keys = new Map<string, number>();
          for (const [key, times] of written) {
            keys.set(key, (keys.get(key) ?? 0) + times);
            for (let i = 0; i < times; i += 1)
              await world.store.deleteObject({
                bucket: 'property',
                key,
                versionId: undefined,
                owner: 'o',
                condition: undefined,
                bypassGovernance: false,
                operation: { id: new Uint8Array(32), repeatable: false },
              });
          }
          const expected = new Set<string>();
          const inOrder = [...keys].sort(([a], [b]) => compare(utf8(a), utf8(b)));
          for (const [key, times] of inOrder.filter(([name]) => name.startsWith(prefix))) {
            const at = delimiter === '' ? -1 : key.indexOf(delimiter, prefix.length);
            if (at >= 0) expected.add(`${key.slice(0, at + delimiter.length)} group`);
            else for (let i = 0; i < times; i += 1) expected.add(`${key} ${String(i)}`);
          }
          const listing = await world.store.openListing('property');
          if (listing.outcome !== 'listing') throw new Error('the bucket is there');
          const seen: string[] = [];
          const ids = new Set<string>();
          let begin: VersionPosition | undefined = { from: new Uint8Array(0), after: undefined };
          while (begin !== undefined) {
            const page = await readVersionPage(listing, { prefix, delimiter, limit }, begin);
            const rows = page.rows.map(({ key, versionId }) => {
              expect(ids.has(versionId)).toBe(false);
              ids.add(versionId);
              return key;
            });
            seen.push(...[...rows, ...page.groups.map((group) => `${group} group`)]);
            const { last } = page;
            begin =
              !page.isTruncated || last === undefined
                ? undefined
                : last.versionId === undefined
                  ? { from: utf8(`${last.key}\u{10FFFF}\u{10FFFF}`), after: undefined }
                  : { from: utf8(last.key), after: last.versionId };
          }
          const wanted = [...expected].map((name) => name.replace(/ \d+$/, ''));
          expect(seen.sort()).toEqual(wanted.sort());
        },
      ),
      { numRuns: 60 },
    );
  });

  test('a page of none is empty and whole; markers that cannot be are refused', async () => {
    await put('a');
    const list = (query: Record<string, string>) =>
      ask(world, { method: 'GET', path: `/${Bucket}`, query: { versions: '', ...query } });
    const none = await list({ 'max-keys': '0' });
    expect(none.text).toContain('<IsTruncated>false</IsTruncated>');
    expect(none.text).not.toContain('<Version>');
    expect((await list({})).text).toContain('<VersionId>null</VersionId><IsLatest>true</IsLatest>');
    expect((await list({ 'version-id-marker': 'x' })).code).toBe('InvalidArgument');
    expect((await list({ 'key-marker': 'a', 'version-id-marker': 'x y' })).code).toBe('InvalidArgument');
    expect((await list({ 'max-keys': 'many' })).code).toBe('InvalidArgument');
    await put('b&c d');
    const encoded = await list({ 'encoding-type': 'url', 'key-marker': 'a' });
    expect(encoded.text).toContain('<Key>b%26c%20d</Key>');
    expect(encoded.text).not.toContain('<Key>a</Key>');
  });
});

describe('conditional writes', () => {
  test('hold or answer 412, 404, 409 and, where they cannot be decided, 501', async () => {
    const { ETag } = await put('k', 'one', { IfNoneMatch: '*' });
    await expect(put('k', 'two', { IfNoneMatch: '*' })).rejects.toMatchObject(refused('PreconditionFailed', 412));
    await expect(put('k', 'two', { IfMatch: '"0"' })).rejects.toMatchObject(refused('PreconditionFailed', 412));
    await expect(put('none', 'two', { IfMatch: '*' })).rejects.toMatchObject(refused('NoSuchKey', 404));
    expect(await read('k')).toBe('one');
    await put('k', 'two', { IfMatch: ETag });
    world.store.conflict = true;
    await expect(put('k', 'x', { IfMatch: '*' })).rejects.toMatchObject(refused('ConditionalRequestConflict', 409));
    expect(await read('k')).toBe('two');
    Bucket = `${Bucket}-plain`;
    world.store.addBucket(Bucket, { serialised: false });
    await expect(put('k', 'x', { IfNoneMatch: '*' })).rejects.toMatchObject(refused('NotImplemented', 501));
  });

  test('of a completed upload leave the upload as it was', async () => {
    await put('k', 'one');
    const { UploadId } = await client.send(new s3.CreateMultipartUploadCommand({ Bucket, Key: 'k', Tagging: 'a=b' }));
    const part = await client.send(new s3.UploadPartCommand({ Bucket, Key: 'k', UploadId, PartNumber: 1, Body: 'part' }));
    const MultipartUpload = { Parts: [{ PartNumber: 1, ETag: part.ETag }] };
    const complete = (more: object): Promise<unknown> =>
      client.send(new s3.CompleteMultipartUploadCommand({ Bucket, Key: 'k', UploadId, MultipartUpload, ...more }));
    await expect(complete({ IfNoneMatch: '*' })).rejects.toMatchObject(refused('PreconditionFailed', 412));
    expect(await read('k')).toBe('one');
    await complete({ IfMatch: '*' });
    const tags = await client.send(new s3.GetObjectTaggingCommand({ Bucket, Key: 'k' }));
    expect(tags.TagSet).toEqual([{ Key: 'a', Value: 'b' }]);
  });

  test('deletes ask for entity tag, time and size, and what is not there is deleted', async () => {
    const bad = [{ IfMatch: 'bad' }, { IfMatchLastModifiedTime: new Date(0) }, { IfMatchSize: 9 }];
    await put('k', 'one');
    const head = await client.send(new s3.HeadObjectCommand({ Bucket, Key: 'k' }));
    for (const more of bad) {
      await expect(remove('k', more)).rejects.toMatchObject(refused('PreconditionFailed', 412));
      await remove('none', more);
    }
    await remove('k', { IfMatch: head.ETag, IfMatchLastModifiedTime: head.LastModified, IfMatchSize: 3 });
    await expect(read('k')).rejects.toMatchObject(refused('NoSuchKey', 404));
    const time = { 'x-amz-if-match-last-modified-time': 'yesterday' };
    const answer = await ask(world, { method: 'DELETE', path: `/${Bucket}/k`, headers: time });
    expect(answer.code).toBe('InvalidArgument');
  });

  test('under a delete marker only what asks for anything finds nothing to do', async () => {
    await keepVersions('Enabled');
    await put('k');
    await remove('k');
    await remove('k', { IfMatch: '*' });
    await expect(remove('k', { IfMatch: 'bad' })).rejects.toMatchObject(refused('PreconditionFailed', 412));
    await expect(remove('k', { IfMatchSize: 0 })).rejects.toMatchObject(refused('PreconditionFailed', 412));
  });

  test('each key of a bulk delete has its own version, condition and outcome', async () => {
    await keepVersions('Enabled');
    const old = await put('k', 'old');
    const kept = await put('k', 'kept');
    await put('k', 'new');
    const Objects = [
      { Key: 'k', ETag: 'bad' },
      { Key: 'k', VersionId: kept.VersionId, Size: 5 },
      { Key: 'k', VersionId: old.VersionId, Size: 3 },
      { Key: 'other' },
    ];
    const { Errors, Deleted } = await client.send(new s3.DeleteObjectsCommand({ Bucket, Delete: { Objects } }));
    expect(Errors?.map((one) => [one.Code, one.VersionId])).toEqual([
      ['PreconditionFailed', undefined],
      ['PreconditionFailed', kept.VersionId],
    ]);
    expect(Deleted?.map((one) => [one.Key, one.VersionId, one.DeleteMarker])).toEqual([
      ['k', old.VersionId, undefined],
      ['other', undefined, true],
    ]);
    expect(await read('k')).toBe('new');
  });
});

describe('object lock', () => {
  const lockedBucket = async (): Promise<void> => {
    Bucket = `${Bucket}-lock`;
    await client.send(new s3.CreateBucketCommand({ Bucket, ObjectLockEnabledForBucket: true }));
  };
  const soon = (): Date => new Date(Math.ceil(Date.now() / 1000) * 1000 + HOUR_MS);

  test('keeps a version in its mode until its time, and a hold without end', async () => {
    await lockedBucket();
    const lock = { ObjectLockMode: 'GOVERNANCE', ObjectLockRetainUntilDate: soon(), ObjectLockLegalHoldStatus: 'ON' };
    const { VersionId } = await put('k', 'x', lock);
    const head = await client.send(new s3.HeadObjectCommand({ Bucket, Key: 'k' }));
    expect(head).toMatchObject(lock);
    const bypass = { VersionId, BypassGovernanceRetention: true };
    await expect(remove('k', bypass)).rejects.toMatchObject(refused('AccessDenied', 403));
    await client.send(new s3.PutObjectLegalHoldCommand({ Bucket, Key: 'k', LegalHold: { Status: 'OFF' } }));
    await expect(remove('k', { VersionId })).rejects.toMatchObject(refused('AccessDenied', 403));
    expect((await remove('k')).DeleteMarker).toBe(true);
    await remove('k', bypass);
  });

  test('COMPLIANCE is never shortened, GOVERNANCE only by who asks to', async () => {
    await lockedBucket();
    const retain = (Mode: 'GOVERNANCE' | 'COMPLIANCE', afterMs: number, more: object = {}): Promise<unknown> =>
      client.send(
        new s3.PutObjectRetentionCommand({
          Bucket,
          Key: 'k',
          Retention: { Mode, RetainUntilDate: new Date(soon().getTime() + afterMs) },
          ...more,
        }),
      );
    await put('k');
    const of = new s3.GetObjectRetentionCommand({ Bucket, Key: 'k' });
    await expect(client.send(of)).rejects.toMatchObject(refused('NoSuchObjectLockConfiguration', 404));
    await retain('GOVERNANCE', HOUR_MS);
    await expect(retain('GOVERNANCE', 0)).rejects.toMatchObject(refused('AccessDenied', 403));
    await retain('GOVERNANCE', 0, { BypassGovernanceRetention: true });
    await retain('COMPLIANCE', HOUR_MS, { BypassGovernanceRetention: true });
    await expect(retain('COMPLIANCE', 0, { BypassGovernanceRetention: true })).rejects.toMatchObject(
      refused('AccessDenied', 403),
    );
    await expect(retain('GOVERNANCE', 2 * HOUR_MS)).rejects.toMatchObject(refused('AccessDenied', 403));
  });

  test('new versions get the default of the bucket, unless they name their own', async () => {
    await lockedBucket();
    const ObjectLockConfiguration: s3.ObjectLockConfiguration = {
      ObjectLockEnabled: 'Enabled',
      Rule: { DefaultRetention: { Mode: 'COMPLIANCE', Days: 1 } },
    };
    await client.send(new s3.PutObjectLockConfigurationCommand({ Bucket, ObjectLockConfiguration }));
    const got = await client.send(new s3.GetObjectLockConfigurationCommand({ Bucket }));
    expect(got.ObjectLockConfiguration).toEqual(ObjectLockConfiguration);
    const { VersionId } = await put('k');
    const head = await client.send(new s3.HeadObjectCommand({ Bucket, Key: 'k' }));
    expect(head.ObjectLockRetainUntilDate?.getTime()).toBe(world.store.nowMs + 24 * HOUR_MS);
    await expect(remove('k', { VersionId })).rejects.toMatchObject(refused('AccessDenied', 403));
    await expect(keepVersions('Suspended')).rejects.toMatchObject(refused('InvalidBucketState', 409));
  });

  test('a bucket without it says so', async () => {
    await put('k');
    const get = new s3.GetObjectLockConfigurationCommand({ Bucket });
    await expect(client.send(get)).rejects.toMatchObject(refused('ObjectLockConfigurationNotFoundError', 404));
    const ObjectLockConfiguration = { ObjectLockEnabled: 'Enabled' } as const;
    const set = new s3.PutObjectLockConfigurationCommand({ Bucket, ObjectLockConfiguration });
    await expect(client.send(set)).rejects.toMatchObject(refused('InvalidBucketState', 409));
    const hold = new s3.GetObjectLegalHoldCommand({ Bucket, Key: 'k' });
    await expect(client.send(hold)).rejects.toMatchObject(refused('InvalidRequest', 400));
    await expect(put('k', 'x', { ObjectLockLegalHoldStatus: 'ON' })).rejects.toMatchObject(
      refused('InvalidRequest', 400),
    );
    await keepVersions('Enabled');
    await client.send(set);
  });

  const enabled = '<ObjectLockEnabled>Enabled</ObjectLockEnabled>';
  const rule = (inner: string): string =>
    `<ObjectLockConfiguration>${enabled}<Rule><DefaultRetention>${inner}</DefaultRetention></Rule></ObjectLockConfiguration>`;
  test.each<[string, string, string]>([
    ['object-lock', rule('<Mode>GOVERNANCE</Mode><Days>0</Days>'), 'InvalidRetentionPeriod'],
    ['object-lock', rule('<Mode>GOVERNANCE</Mode><Years>-1</Years>'), 'InvalidRetentionPeriod'],
    ['object-lock', rule('<Mode>GOVERNANCE</Mode><Days>1</Days><Years>1</Years>'), 'MalformedXML'],
    ['object-lock', rule('<Mode>GOVERNANCE</Mode>'), 'MalformedXML'],
    ['object-lock', rule('<Mode>abc</Mode><Days>1</Days>'), 'MalformedXML'],
    ['object-lock', '<ObjectLockConfiguration/>', 'MalformedXML'],
    ['retention', '<Retention><Mode>abc</Mode><RetainUntilDate>2999-01-01T00:00:00Z</RetainUntilDate></Retention>', 'MalformedXML'],
    ['retention', '<Retention><Mode>GOVERNANCE</Mode></Retention>', 'MalformedXML'],
    ['retention', '<Retention><Mode>GOVERNANCE</Mode><RetainUntilDate>soon</RetainUntilDate></Retention>', 'MalformedXML'],
    ['retention', '<Retention><Mode>GOVERNANCE</Mode><RetainUntilDate>1999-01-01T00:00:00Z</RetainUntilDate></Retention>', 'InvalidArgument'],
    ['legal-hold', '<LegalHold><Status>abc</Status></LegalHold>', 'MalformedXML'],
    ['tagging', '<Tagging/>', 'MalformedXML'],
    ['tagging', '<Tagging><TagSet><Tag><Key>aws:x</Key><Value/></Tag></TagSet></Tagging>', 'InvalidTag'],
  ])('the document for %s %# is refused', async (parameter, body, code) => {
    await lockedBucket();
    await put('k');
    const path = parameter === 'object-lock' ? `/${Bucket}` : `/${Bucket}/k`;
    const headers = { 'content-md5': md5(body) };
    expect((await ask(world, { method: 'PUT', path, query: { [parameter]: '' }, body, headers })).code).toBe(code);
  });

  const until = '2999-01-01T00:00:00Z';
  test.each<[Record<string, string>, string]>([
    [{ 'x-amz-object-lock-mode': 'COMPLIANCE' }, 'InvalidArgument'],
    [{ 'x-amz-object-lock-retain-until-date': until }, 'InvalidArgument'],
    [{ 'x-amz-object-lock-mode': 'abc', 'x-amz-object-lock-retain-until-date': until }, 'InvalidArgument'],
    [{ 'x-amz-object-lock-mode': 'GOVERNANCE', 'x-amz-object-lock-retain-until-date': '2001-01-01T00:00:00Z' }, 'InvalidArgument'],
    [{ 'x-amz-object-lock-legal-hold': 'on' }, 'InvalidArgument'],
    [{ 'x-amz-object-lock-legal-hold': 'ON' }, 'InvalidRequest'],
  ])('a new version with %j is refused', async (headers, code) => {
    await lockedBucket();
    const answer = await ask(world, { method: 'PUT', path: `/${Bucket}/k`, body: 'x', headers });
    expect([answer.status, answer.code]).toEqual([400, code]);
    expect(world.store.buckets.get(Bucket)?.objects.size).toBe(0);
  });
});

describe('tags', () => {
  const tagsOf = async (more: object = {}): Promise<unknown> =>
    (await client.send(new s3.GetObjectTaggingCommand({ Bucket, Key: 'k', ...more }))).TagSet;

  test('come with an object or later, belong to a version, and are counted', async () => {
    await keepVersions('Enabled');
    const { VersionId } = await put('k', 'x', { Tagging: 'b=1+2&a=%C3%A9&c' });
    expect(await tagsOf()).toEqual([
      { Key: 'a', Value: 'é' },
      { Key: 'b', Value: '1 2' },
      { Key: 'c', Value: '' },
    ]);
    expect((await client.send(new s3.GetObjectCommand({ Bucket, Key: 'k' }))).TagCount).toBe(3);
    await put('k');
    expect(await tagsOf()).toEqual([]);
    const Tagging = { TagSet: [{ Key: 'new', Value: 'v' }] };
    await client.send(new s3.PutObjectTaggingCommand({ Bucket, Key: 'k', VersionId, Tagging }));
    expect(await tagsOf({ VersionId })).toEqual(Tagging.TagSet);
    await client.send(new s3.DeleteObjectTaggingCommand({ Bucket, Key: 'k', VersionId }));
    expect(await tagsOf({ VersionId })).toEqual([]);
    await remove('k');
    await expect(tagsOf()).rejects.toMatchObject(refused('NoSuchKey', 404));
  });

  test('are at most ten, of bounded length, and each name once', async () => {
    await put('k');
    const tagWith = (TagSet: s3.Tag[]): Promise<unknown> =>
      client.send(new s3.PutObjectTaggingCommand({ Bucket, Key: 'k', Tagging: { TagSet } }));
    const many = (length: number): s3.Tag[] => Array.from({ length }, (_, i) => ({ Key: `k${String(i)}`, Value: '' }));
    await tagWith(many(10));
    await tagWith([{ Key: 'x'.repeat(128), Value: 'y'.repeat(256) }]);
    for (const TagSet of [
      many(11),
      [{ Key: 'x'.repeat(129), Value: '' }],
      [{ Key: 'x', Value: 'y'.repeat(257) }],
      [{ Key: 'x', Value: '1' }, { Key: 'x', Value: '2' }],
      [{ Key: '', Value: '' }],
      [{ Key: '<', Value: '' }],
    ])
      await expect(tagWith(TagSet)).rejects.toMatchObject(refused('InvalidTag', 400));
    await expect(put('k', 'x', { Tagging: 'a=%zz' })).rejects.toMatchObject(refused('InvalidArgument', 400));
    expect(await tagsOf()).toHaveLength(1);
  });
});

test('governance becomes compliance only for who may bypass it', async () => {
  await client.send(new s3.CreateBucketCommand({ Bucket: `${Bucket}-modes`, ObjectLockEnabledForBucket: true }));
  const one = { Bucket: `${Bucket}-modes`, Key: 'k' };
  const RetainUntilDate = new Date(Date.now() + HOUR_MS);
  await client.send(new s3.PutObjectCommand({ ...one, Body: 'x', ObjectLockMode: 'GOVERNANCE', ObjectLockRetainUntilDate: RetainUntilDate }));
  const Retention = { Mode: 'COMPLIANCE', RetainUntilDate } as const;
  await expect(client.send(new s3.PutObjectRetentionCommand({ ...one, Retention }))).rejects.toMatchObject(refused('AccessDenied', 403));
  await client.send(new s3.PutObjectRetentionCommand({ ...one, Retention, BypassGovernanceRetention: true }));
});
