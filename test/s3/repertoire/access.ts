/** Who may do what: policies, ACLs, ownership, public access; URLs and forms signed for others; keys of the client. */
import {
  CopyObjectCommand,
  DeleteBucketPolicyCommand,
  DeleteObjectCommand,
  DeletePublicAccessBlockCommand,
  GetBucketAclCommand,
  GetBucketOwnershipControlsCommand,
  GetBucketPolicyCommand,
  GetBucketPolicyStatusCommand,
  GetObjectAclCommand,
  GetPublicAccessBlockCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutBucketAclCommand,
  PutBucketOwnershipControlsCommand,
  PutBucketPolicyCommand,
  PutObjectAclCommand,
  PutPublicAccessBlockCommand,
} from '@aws-sdk/client-s3';
import { createHash } from 'node:crypto';
import { expect, it } from 'vitest';
import { contentOf } from '../../show/contents.ts';
import { refused } from './sdk-endpoint.ts';
import type { SdkEndpoint } from './sdk-endpoint.ts';
import { presigned, signedForm } from './signing.ts';

export function access(at: () => SdkEndpoint): void {
  it('obeys the policy of a bucket, also for who is nobody', async () => {
    const Bucket = await at().bucket();
    const { client, endpoint } = at();
    await at().put(Bucket, 'open/k', 'open');
    await at().put(Bucket, 'keep', 'x');
    const nobody = (key: string): Promise<Response> => fetch(`${endpoint.origin}/${Bucket}/${key}`);
    expect((await nobody('open/k')).status).toBe(403);
    await client.send(new DeletePublicAccessBlockCommand({ Bucket }));
    const Statement = [
      { Effect: 'Allow', Principal: '*', Action: 's3:GetObject', Resource: `arn:aws:s3:::${Bucket}/open/*` },
      { Effect: 'Deny', Principal: '*', Action: 's3:DeleteObject', Resource: `arn:aws:s3:::${Bucket}/keep` },
    ];
    const Policy = JSON.stringify({ Version: '2012-10-17', Statement });
    await client.send(new PutBucketPolicyCommand({ Bucket, Policy }));
    expect(JSON.parse((await client.send(new GetBucketPolicyCommand({ Bucket }))).Policy ?? '')).toEqual(JSON.parse(Policy));
    expect((await client.send(new GetBucketPolicyStatusCommand({ Bucket }))).PolicyStatus?.IsPublic).toBe(true);
    expect(await (await nobody('open/k')).text()).toBe('open');
    expect((await nobody('keep')).status).toBe(403);
    await refused('AccessDenied', client.send(new DeleteObjectCommand({ Bucket, Key: 'keep' })));
    await client.send(new DeleteBucketPolicyCommand({ Bucket }));
    await client.send(new DeleteObjectCommand({ Bucket, Key: 'keep' }));
    expect((await nobody('open/k')).status).toBe(403);
  });

  it('grants by ACLs where the ownership of the bucket allows it', async () => {
    const Bucket = await at().bucket({ ObjectOwnership: 'BucketOwnerPreferred' });
    const { client, endpoint } = at();
    await client.send(new DeletePublicAccessBlockCommand({ Bucket }));
    await at().put(Bucket, 'k', 'public', { ACL: 'public-read' });
    const url = `${endpoint.origin}/${Bucket}/k`;
    expect(await (await fetch(url)).text()).toBe('public');
    const { Grants, Owner } = await client.send(new GetObjectAclCommand({ Bucket, Key: 'k' }));
    expect(Grants?.map(({ Permission }) => Permission).toSorted()).toEqual(['FULL_CONTROL', 'READ']);
    await client.send(new PutObjectAclCommand({ Bucket, Key: 'k', ACL: 'private' }));
    expect((await fetch(url)).status).toBe(403);
    await client.send(new PutBucketAclCommand({ Bucket, GrantRead: `id="${Owner?.ID}"`, GrantFullControl: `id="${Owner?.ID}"` }));
    expect((await client.send(new GetBucketAclCommand({ Bucket }))).Grants).toHaveLength(2);
    const Rules = [{ ObjectOwnership: 'BucketOwnerEnforced' } as const];
    await client.send(new PutBucketAclCommand({ Bucket, ACL: 'private' }));
    await client.send(new PutBucketOwnershipControlsCommand({ Bucket, OwnershipControls: { Rules } }));
    expect((await client.send(new GetBucketOwnershipControlsCommand({ Bucket }))).OwnershipControls?.Rules).toEqual(Rules);
    await refused('AccessControlListNotSupported', at().put(Bucket, 'k', 'x', { ACL: 'public-read' }));
  });

  it('blocks public access', async () => {
    const Bucket = await at().bucket();
    const { client } = at();
    const all = { BlockPublicAcls: true, BlockPublicPolicy: true, IgnorePublicAcls: true, RestrictPublicBuckets: true };
    await client.send(new PutPublicAccessBlockCommand({ Bucket, PublicAccessBlockConfiguration: all }));
    expect((await client.send(new GetPublicAccessBlockCommand({ Bucket }))).PublicAccessBlockConfiguration).toEqual(all);
    const Statement = [{ Effect: 'Allow', Principal: '*', Action: 's3:GetObject', Resource: `arn:aws:s3:::${Bucket}/*` }];
    await refused('AccessDenied', client.send(new PutBucketPolicyCommand({ Bucket, Policy: JSON.stringify({ Version: '2012-10-17', Statement }) })));
  });

  it('obeys a presigned URL as it was signed and as long', async () => {
    const Bucket = await at().bucket();
    const { endpoint } = at();
    const body = contentOf('presigned', 300_000);
    const key = 'a b/ä+c';
    expect((await fetch(presigned(endpoint, 'PUT', Bucket, key), { method: 'PUT', body })).status).toBe(200);
    const url = presigned(endpoint, 'GET', Bucket, key, { 'response-content-type': 'text/x' });
    const answer = await fetch(url);
    expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'text/x']);
    expect(Buffer.from(await answer.arrayBuffer()).equals(body)).toBe(true);
    expect((await fetch(url.replace('text%2Fx', 'text%2Fy'))).status).toBe(403);
    expect((await fetch(url, { method: 'DELETE' })).status).toBe(403);
    expect((await fetch(presigned(endpoint, 'GET', Bucket, key, {}, new Date(Date.now() - 61_000)))).status).toBe(403);
    expect((await fetch(presigned(endpoint, 'DELETE', Bucket, key), { method: 'DELETE' })).status).toBe(204);
  });

  it('takes a file from a form that was signed for it', async () => {
    const Bucket = await at().bucket();
    const { endpoint } = at();
    const post = (file: string): Promise<Response> =>
      fetch(`${endpoint.origin}/${Bucket}`, { method: 'POST', body: signedForm(endpoint, Bucket, { success_action_status: '201' }, 'form/', [['content-length-range', 1, 10]], file) });
    const answer = await post('hello');
    expect([answer.status, await answer.text()]).toEqual([201, expect.stringContaining('<Key>form/named.txt</Key>')]);
    expect(await at().text(Bucket, 'form/named.txt')).toBe('hello');
    expect((await post('longer than ten')).status).toBe(400);
  });

  it('seals with a key of the client, and reads with no other', async () => {
    const Bucket = await at().bucket();
    const { client } = at();
    const keyOf = (name: string) => {
      const key = contentOf(name, 32);
      return { SSECustomerAlgorithm: 'AES256', SSECustomerKey: key.toString('base64'), SSECustomerKeyMD5: createHash('md5').update(key).digest('base64') };
    };
    const [own, other] = [keyOf('own'), keyOf('other')];
    const body = contentOf('sealed', 1_000_000);
    await at().put(Bucket, 'k', body, own);
    expect((await at().read(Bucket, 'k', own)).equals(body)).toBe(true);
    expect((await at().read(Bucket, 'k', { ...own, Range: 'bytes=999990-' })).equals(body.subarray(999_990))).toBe(true);
    await refused('InvalidRequest', at().read(Bucket, 'k'));
    await expect(at().read(Bucket, 'k', other)).rejects.toMatchObject({ $metadata: { httpStatusCode: expect.toSatisfy((status) => status === 400 || status === 403) } });
    const from = { CopySourceSSECustomerAlgorithm: 'AES256', CopySourceSSECustomerKey: own.SSECustomerKey, CopySourceSSECustomerKeyMD5: own.SSECustomerKeyMD5 };
    await client.send(new CopyObjectCommand({ Bucket, Key: 'copy', CopySource: `${Bucket}/k`, ...from, ...other }));
    expect((await at().read(Bucket, 'copy', other)).equals(body)).toBe(true);
    expect((await client.send(new HeadObjectCommand({ Bucket, Key: 'copy', ...other }))).SSECustomerKeyMD5).toBe(other.SSECustomerKeyMD5);
  });

  it('finds the bucket before the host name', async () => {
    const Bucket = await at().bucket();
    const virtual = at().connectVirtualHosted();
    try {
      await at().put(Bucket, 'a/b c', 'x');
      expect((await virtual.send(new ListObjectsV2Command({ Bucket }))).Contents?.map(({ Key }) => Key)).toEqual(['a/b c']);
      expect((await virtual.send(new HeadObjectCommand({ Bucket, Key: 'a/b c' }))).ContentLength).toBe(1);
      await virtual.send(new DeleteObjectCommand({ Bucket, Key: 'a/b c' }));
      await refused('NoSuchKey', at().read(Bucket, 'a/b c'));
    } finally {
      virtual.destroy();
    }
  });
}
