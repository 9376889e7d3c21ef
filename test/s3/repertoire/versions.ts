/** Versions, tags, retention and legal hold, conditions of writes and deletes. */
import {
  DeleteObjectCommand,
  DeleteObjectTaggingCommand,
  DeleteObjectsCommand,
  GetObjectLegalHoldCommand,
  GetObjectLockConfigurationCommand,
  GetObjectRetentionCommand,
  GetObjectTaggingCommand,
  HeadObjectCommand,
  ListObjectVersionsCommand,
  PutBucketVersioningCommand,
  PutObjectLegalHoldCommand,
  PutObjectLockConfigurationCommand,
  PutObjectRetentionCommand,
  PutObjectTaggingCommand,
} from '@aws-sdk/client-s3';
import { expect, it } from 'vitest';
import { refused } from './sdk-endpoint.ts';
import type { SdkEndpoint } from './sdk-endpoint.ts';

const HOUR_MS = 3_600_000;
/** S3 keeps whole seconds. */
const inHours = (hours: number): Date => new Date(Math.floor((Date.now() + hours * HOUR_MS) / 1000) * 1000);

export function versions(at: () => SdkEndpoint): void {
  it('keeps every version until it is named, and hides a key under a delete marker', async () => {
    const Bucket = await at().versionedBucket();
    const { client } = at();
    const ids: (string | undefined)[] = [];
    for (const body of ['1', '2', '3']) ids.push((await at().put(Bucket, 'k', body)).VersionId);
    const marker = await client.send(new DeleteObjectCommand({ Bucket, Key: 'k' }));
    expect(marker.DeleteMarker).toBe(true);
    await refused('NoSuchKey', at().read(Bucket, 'k'));
    for (const [index, VersionId] of ids.entries()) expect(await at().text(Bucket, 'k', { VersionId })).toBe(String(index + 1));
    const listed = await client.send(new ListObjectVersionsCommand({ Bucket }));
    expect(listed.Versions?.map(({ VersionId, IsLatest }) => [VersionId, IsLatest])).toEqual(ids.toReversed().map((id) => [id, false]));
    expect(listed.DeleteMarkers?.map(({ VersionId, IsLatest }) => [VersionId, IsLatest])).toEqual([[marker.VersionId, true]]);
    const Objects = [{ Key: 'k', VersionId: marker.VersionId }, { Key: 'k', VersionId: ids[1] }];
    expect((await client.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects } }))).Errors ?? []).toEqual([]);
    expect(await at().text(Bucket, 'k')).toBe('3');
    await refused('NoSuchVersion', at().read(Bucket, 'k', { VersionId: ids[1] }));
    await client.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration: { Status: 'Suspended' } }));
    await at().put(Bucket, 'k', 'null');
    await at().put(Bucket, 'k', 'null again');
    const after = await client.send(new ListObjectVersionsCommand({ Bucket }));
    expect(after.Versions?.map(({ VersionId }) => VersionId)).toEqual(['null', ids[2], ids[0]]);
  });

  it('tags versions', async () => {
    const Bucket = await at().versionedBucket();
    const { client } = at();
    const one = await at().put(Bucket, 'k', '1', { Tagging: 'a=1&b%20c=%C3%A4' });
    const two = await at().put(Bucket, 'k', '2');
    const tagsOf = async (VersionId?: string): Promise<unknown> => (await client.send(new GetObjectTaggingCommand({ Bucket, Key: 'k', VersionId }))).TagSet;
    expect(await tagsOf(one.VersionId)).toEqual([{ Key: 'a', Value: '1' }, { Key: 'b c', Value: 'ä' }]);
    expect(await tagsOf()).toEqual([]);
    await client.send(new PutObjectTaggingCommand({ Bucket, Key: 'k', Tagging: { TagSet: [{ Key: 'new', Value: '' }] } }));
    expect(await tagsOf(two.VersionId)).toEqual([{ Key: 'new', Value: '' }]);
    await client.send(new DeleteObjectTaggingCommand({ Bucket, Key: 'k', VersionId: one.VersionId }));
    expect(await tagsOf(one.VersionId)).toEqual([]);
    const many = Array.from({ length: 11 }, (_, index) => ({ Key: String(index), Value: 'x' }));
    await expect(client.send(new PutObjectTaggingCommand({ Bucket, Key: 'k', Tagging: { TagSet: many } }))).rejects.toMatchObject({ $metadata: { httpStatusCode: 400 } });
  });

  it('holds what is retained or on legal hold', async () => {
    const Bucket = await at().bucket({ ObjectLockEnabledForBucket: true });
    const { client } = at();
    const governed = { Bucket, Key: 'k', VersionId: (await at().put(Bucket, 'k', 'x', { ObjectLockMode: 'GOVERNANCE', ObjectLockRetainUntilDate: inHours(2) })).VersionId };
    await refused('AccessDenied', client.send(new DeleteObjectCommand(governed)));
    await refused('AccessDenied', client.send(new PutObjectRetentionCommand({ ...governed, Retention: { Mode: 'GOVERNANCE', RetainUntilDate: inHours(1) } })));
    const longer = inHours(3);
    await client.send(new PutObjectRetentionCommand({ ...governed, Retention: { Mode: 'GOVERNANCE', RetainUntilDate: longer } }));
    expect((await client.send(new GetObjectRetentionCommand(governed))).Retention).toEqual({ Mode: 'GOVERNANCE', RetainUntilDate: longer });
    await client.send(new PutObjectLegalHoldCommand({ ...governed, LegalHold: { Status: 'ON' } }));
    await refused('AccessDenied', client.send(new DeleteObjectCommand({ ...governed, BypassGovernanceRetention: true })));
    expect((await client.send(new GetObjectLegalHoldCommand(governed))).LegalHold).toEqual({ Status: 'ON' });
    await client.send(new PutObjectLegalHoldCommand({ ...governed, LegalHold: { Status: 'OFF' } }));
    await client.send(new DeleteObjectCommand({ ...governed, BypassGovernanceRetention: true }));
    const compliant = { Bucket, Key: 'c', VersionId: (await at().put(Bucket, 'c', 'x', { ObjectLockMode: 'COMPLIANCE', ObjectLockRetainUntilDate: inHours(1) })).VersionId };
    await refused('AccessDenied', client.send(new DeleteObjectCommand({ ...compliant, BypassGovernanceRetention: true })));
    const Rule = { DefaultRetention: { Mode: 'GOVERNANCE', Days: 1 } } as const;
    await client.send(new PutObjectLockConfigurationCommand({ Bucket, ObjectLockConfiguration: { ObjectLockEnabled: 'Enabled', Rule } }));
    expect((await client.send(new GetObjectLockConfigurationCommand({ Bucket }))).ObjectLockConfiguration?.Rule).toEqual(Rule);
    await at().put(Bucket, 'by default', 'x');
    expect((await client.send(new HeadObjectCommand({ Bucket, Key: 'by default' }))).ObjectLockMode).toBe('GOVERNANCE');
  });

  it('writes and deletes on conditions, each decided once', async () => {
    const Bucket = await at().bucket();
    const { client } = at();
    const raced = await Promise.allSettled(['a', 'b', 'c'].map((body) => at().put(Bucket, 'once', body, { IfNoneMatch: '*' })));
    expect(raced.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    const { ETag } = await client.send(new HeadObjectCommand({ Bucket, Key: 'once' }));
    const { ETag: next } = await at().put(Bucket, 'once', 'next', { IfMatch: ETag });
    await refused('PreconditionFailed', at().put(Bucket, 'once', 'late', { IfMatch: ETag }));
    await refused('NoSuchKey', at().put(Bucket, 'never', 'late', { IfMatch: ETag }));
    await refused('PreconditionFailed', client.send(new DeleteObjectCommand({ Bucket, Key: 'once', IfMatch: ETag })));
    expect(await at().text(Bucket, 'once')).toBe('next');
    await client.send(new DeleteObjectCommand({ Bucket, Key: 'once', IfMatch: next }));
    await refused('NoSuchKey', at().read(Bucket, 'once'));
  });
}
