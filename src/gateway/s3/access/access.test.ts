import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { utf8 } from '../../../base/bytes.ts';
import { parsePolicy } from '../policy/parse.ts';
import type { Answer } from '../s3-world.contract.ts';
import { ALT, MAIN, startAccessWorld } from './access-world.contract.ts';
import type { AccessWorld, Who } from './access-world.contract.ts';

let world: AccessWorld;
const BOX = 'arn:aws:s3:::box';

beforeEach(async () => {
  world = await startAccessWorld();
});

afterEach(() => world.close());

const as: AccessWorld['as'] = (...args) => world.as(...args);

async function code(answer: Promise<Answer>): Promise<string | number> {
  const { status, code: named } = await answer;
  return named ?? status;
}

async function makeBox(acl?: string, headers: Record<string, string> = {}): Promise<void> {
  const made = await as('main', 'PUT', '/box', { headers: { ...(acl === undefined ? {} : { 'x-amz-acl': acl }), ...headers } });
  expect([made.status, made.text]).toEqual([200, '']);
}

const put = (who: Who, key: string, headers: Record<string, string> = {}, body = 'content'): Promise<Answer> =>
  as(who, 'PUT', `/box/${key}`, { headers, body });
const withAcl = (acl: string): Record<string, string> => ({ 'x-amz-acl': acl });

function policy(change: object = {}): string {
  const statement = { Effect: 'Allow', Principal: { AWS: '*' }, Action: '*', Resource: [BOX, `${BOX}/*`], ...change };
  return JSON.stringify({ Version: '2012-10-17', Statement: [statement] });
}

async function putPolicy(change: object = {}): Promise<void> {
  expect(await code(as('main', 'PUT', '/box?policy', { body: policy(change) }))).toBe(204);
}

const block = (on: string): string =>
  `<PublicAccessBlockConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><${on}>true</${on}></PublicAccessBlockConfiguration>`;
const controls = (ownership: string): string =>
  `<OwnershipControls><Rule><ObjectOwnership>${ownership}</ObjectOwnership></Rule></OwnershipControls>`;

/** Grantee and permission of each grant, in the order shown. */
function grantsOf({ text }: Answer): string[] {
  return [...text.matchAll(/<Grant>(.*?)<\/Grant>/g)].map(([, grant = '']) => {
    const who = /<URI>.*\/(\w+)<\/URI>|<ID>(\w+)<\/ID>/.exec(grant);
    const name = who?.[2] === MAIN.id ? 'main' : who?.[2] === ALT.id ? 'alt' : (who?.[1] ?? '');
    return `${name} ${/<Permission>(\w+)</.exec(grant)?.[1] ?? ''}`;
  });
}

const ownerOf = ({ text }: Answer): string => /<Owner><ID>(\w+)<\/ID>/.exec(text)?.[1] ?? '';

describe('a bucket of an account', () => {
  test('is closed to others and to anonymous clients, whatever they ask', async () => {
    await makeBox();
    await put('main', 'key');
    for (const who of ['alt', 'anonymous'] as const) {
      expect(await code(as(who, 'GET', '/box'))).toBe('AccessDenied');
      expect(await code(as(who, 'GET', '/box/key'))).toBe('AccessDenied');
      expect(await code(as(who, 'GET', '/box/missing'))).toBe('AccessDenied');
      expect(await code(put(who, 'key'))).toBe('AccessDenied');
      expect(await code(as(who, 'DELETE', '/box/key'))).toBe('AccessDenied');
      expect(await code(as(who, 'GET', '/box?acl'))).toBe('AccessDenied');
      expect(await code(as(who, 'HEAD', '/box'))).toBe(403);
      expect(await code(as(who, 'DELETE', '/box'))).toBe('AccessDenied');
    }
    expect((await as('main', 'GET', '/box/key')).text).toBe('content');
    expect(world.store.open).toBe(0);
  });

  test('that does not exist is said not to, to anybody', async () => {
    for (const who of ['main', 'alt', 'anonymous'] as const) expect(await code(as(who, 'GET', '/none/key'))).toBe('NoSuchBucket');
  });

  test('shows in the list of its account alone', async () => {
    await makeBox();
    expect((await as('main', 'GET', '/')).text).toContain('<Name>box</Name>');
    expect((await as('alt', 'GET', '/')).text).not.toContain('<Name>');
    const anonymous = await as('anonymous', 'GET', '/');
    expect([anonymous.status, anonymous.text.includes('<Name>')]).toEqual([200, false]);
    expect(await code(as('anonymous', 'PUT', '/other'))).toBe('AccessDenied');
  });

  test('made again: by its owner, by its owner with another ACL, by another account', async () => {
    await makeBox('public-read');
    expect(await code(as('main', 'PUT', '/box', { headers: withAcl('public-read') }))).toBe(200);
    const enforced = { ...withAcl('public-read'), 'x-amz-object-ownership': 'ObjectWriter' };
    expect(await code(as('main', 'PUT', '/box', { headers: enforced }))).toBe('BucketAlreadyOwnedByYou');
    expect(await code(as('main', 'PUT', '/box'))).toBe('BucketAlreadyExists');
    expect(await code(as('alt', 'PUT', '/box'))).toBe('BucketAlreadyExists');
  });

  test('is left alone by who expects another owner', async () => {
    await makeBox('public-read-write');
    const headers = { 'x-amz-expected-bucket-owner': ALT.id };
    expect(await code(as('anonymous', 'GET', '/box', { headers }))).toBe('AccessDenied');
    expect(await code(put('main', 'key', headers))).toBe('AccessDenied');
    expect(await code(put('main', 'key', { 'x-amz-expected-bucket-owner': MAIN.id }))).toBe(200);
  });
});

describe('ACLs', () => {
  test.each([
    ['private', ['main FULL_CONTROL']],
    ['public-read', ['AllUsers READ', 'main FULL_CONTROL']],
    ['public-read-write', ['AllUsers READ', 'AllUsers WRITE', 'main FULL_CONTROL']],
    ['authenticated-read', ['AuthenticatedUsers READ', 'main FULL_CONTROL']],
  ])('%s on bucket and object, by creation and later', async (acl, expected) => {
    await makeBox(acl);
    const made = await as('main', 'GET', '/box?acl');
    expect(grantsOf(made)).toEqual(expected);
    expect(ownerOf(made)).toBe(MAIN.id);
    expect(await code(as('main', 'PUT', '/box?acl', { headers: withAcl('private') }))).toBe(200);
    expect(grantsOf(await as('main', 'GET', '/box?acl'))).toEqual(['main FULL_CONTROL']);
    await put('main', 'key', withAcl(acl));
    expect(grantsOf(await as('main', 'GET', '/box/key?acl'))).toEqual(expected);
    expect(await code(as('main', 'PUT', '/box/key?acl', { headers: withAcl('private') }))).toBe(200);
    expect(grantsOf(await as('main', 'GET', '/box/key?acl'))).toEqual(['main FULL_CONTROL']);
  });

  test('grantees are typed and named as clients read them', async () => {
    await makeBox('public-read');
    const { text } = await as('main', 'GET', '/box?acl');
    expect(text).toContain('<Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="Group"><URI>http://acs.amazonaws.com/groups/global/AllUsers</URI></Grantee>');
    expect(text).toContain(`xsi:type="CanonicalUser"><ID>${MAIN.id}</ID><DisplayName>main</DisplayName></Grantee>`);
  });

  const READ = ['GET key', 'HEAD key'];
  test.each([
    ['private', 'private', []],
    ['private', 'public-read', READ],
    ['public-read', 'private', ['GET bucket']],
    ['public-read', 'public-read', ['GET bucket', ...READ]],
    ['public-read', 'public-read-write', ['GET bucket', ...READ]],
    ['public-read-write', 'private', ['GET bucket', 'PUT key', 'PUT new']],
    ['public-read-write', 'public-read', ['GET bucket', ...READ, 'PUT key', 'PUT new']],
  ])('bucket %s, object %s: what another account may do', async (bucketAcl, objectAcl, expected) => {
    await makeBox(bucketAcl);
    await put('main', 'key', withAcl(objectAcl));
    const allowed: string[] = [];
    const attempt = async (name: string, answer: Promise<Answer>): Promise<void> => {
      const { status } = await answer;
      if (status === 200) allowed.push(name);
      else expect(status).toBe(403);
    };
    await attempt('GET bucket', as('alt', 'GET', '/box'));
    await attempt('GET key', as('alt', 'GET', '/box/key'));
    await attempt('HEAD key', as('alt', 'HEAD', '/box/key'));
    await attempt('PUT key', put('alt', 'key'));
    await attempt('PUT new', put('alt', 'new'));
    expect(allowed).toEqual(expected);
  });

  test('a grant to one account gives that, and no more', async () => {
    await makeBox();
    const table: readonly (readonly [string, readonly boolean[]])[] = [
      ['read', [true, false, false, false]],
      ['read-acp', [false, true, false, false]],
      ['write', [false, false, true, false]],
      ['write-acp', [false, false, false, true]],
      ['full-control', [true, true, true, true]],
    ];
    for (const [permission, expected] of table) {
      const headers = { [`x-amz-grant-${permission}`]: `id=${ALT.id}` };
      expect(await code(as('main', 'PUT', '/box?acl', { headers }))).toBe(200);
      const answers = [
        await as('alt', 'HEAD', '/box'),
        await as('alt', 'GET', '/box?acl'),
        await put('alt', 'key'),
        await as('alt', 'PUT', '/box?acl', { headers: withAcl('private') }),
      ];
      expect(answers.map(({ status }) => status === 200), permission).toEqual(expected);
    }
  });

  test('grant headers name accounts by id and e-mail address, and groups, in the order of S3', async () => {
    await makeBox();
    const grants = {
      'x-amz-grant-full-control': `id="${ALT.id}"`,
      'x-amz-grant-read': `emailAddress="ALT@example.com", uri="http://acs.amazonaws.com/groups/global/AllUsers"`,
      'x-amz-grant-write-acp': `id=${ALT.id}`,
    };
    expect(await code(put('main', 'key', grants))).toBe(200);
    expect(grantsOf(await as('main', 'GET', '/box/key?acl'))).toEqual(['AllUsers READ', 'alt READ', 'alt WRITE_ACP', 'alt FULL_CONTROL']);
  });

  const document = (owner: string, grants: string): string =>
    `<AccessControlPolicy xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Owner><ID>${owner}</ID><DisplayName>x</DisplayName></Owner><AccessControlList>${grants}</AccessControlList></AccessControlPolicy>`;
  const grant = (grantee: string, permission = 'FULL_CONTROL'): string =>
    `<Grant><Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="CanonicalUser">${grantee}</Grantee><Permission>${permission}</Permission></Grant>`;

  test('a document replaces all grants, with groups first; none leaves the owner what is his', async () => {
    await makeBox();
    const everybody = '<URI>http://acs.amazonaws.com/groups/global/AllUsers</URI>';
    const body = document(MAIN.id, grant(`<ID>${MAIN.id}</ID>`) + grant('<EmailAddress>alt@example.com</EmailAddress>', 'READ') + grant(everybody, 'READ'));
    expect(await code(as('main', 'PUT', '/box?acl', { body }))).toBe(200);
    expect(grantsOf(await as('main', 'GET', '/box?acl'))).toEqual(['AllUsers READ', 'main FULL_CONTROL', 'alt READ']);
    expect(await code(as('main', 'PUT', '/box?acl', { body: document(MAIN.id, '') }))).toBe(200);
    expect(grantsOf(await as('main', 'GET', '/box?acl'))).toEqual([]);
    expect(await code(put('main', 'key'))).toBe(200);
    expect(await code(as('alt', 'GET', '/box'))).toBe('AccessDenied');
  });

  test('the account to whom an object’s ACL was given may change it, but not to whom it belongs', async () => {
    await makeBox();
    await put('main', 'key');
    await as('main', 'PUT', '/box/key?acl', { body: document(MAIN.id, grant(`<ID>${ALT.id}</ID>`)) });
    expect(await code(as('alt', 'PUT', '/box/key?acl', { body: document(ALT.id, grant(`<ID>${ALT.id}</ID>`)) }))).toBe('AccessDenied');
    expect(await code(as('alt', 'PUT', '/box/key?acl', { body: document(MAIN.id, grant(`<ID>${ALT.id}</ID>`, 'READ_ACP')) }))).toBe(200);
    expect(ownerOf(await as('alt', 'GET', '/box/key?acl'))).toBe(MAIN.id);
    expect(await code(as('alt', 'GET', '/box/key'))).toBe('AccessDenied');
    expect((await as('main', 'GET', '/box/key')).text).toBe('content');
  });

  test.each([
    [grant('<ID>_foo</ID>'), 'InvalidArgument'],
    [grant(`<ID>${'9'.repeat(64)}</ID>`), 'InvalidArgument'],
    [grant('<EmailAddress>nobody@example.com</EmailAddress>'), 'UnresolvableGrantByEmailAddress'],
    [grant('<URI>http://acs.amazonaws.com/groups/global/Everyone</URI>'), 'InvalidArgument'],
    [grant(`<ID>${ALT.id}</ID>`, 'ALL'), 'MalformedACLError'],
    [grant(''), 'MalformedACLError'],
    [grant(`<ID>${ALT.id}</ID>`).repeat(101), 'MalformedACLError'],
    ['<Other/>', 'MalformedACLError'],
  ])('%#: a document that cannot be meant is refused', async (grants, expected) => {
    await makeBox();
    expect(await code(as('main', 'PUT', '/box?acl', { body: document(MAIN.id, grants) }))).toBe(expected);
    expect(grantsOf(await as('main', 'GET', '/box?acl'))).toEqual(['main FULL_CONTROL']);
  });

  test('one ACL is asked for in one way', async () => {
    await makeBox();
    const granted = { 'x-amz-grant-read': `id=${ALT.id}` };
    expect(await code(as('main', 'PUT', '/box?acl'))).toBe('MissingSecurityHeader');
    expect(await code(as('main', 'PUT', '/box?acl', { headers: { ...withAcl('private'), ...granted } }))).toBe('InvalidRequest');
    expect(await code(as('main', 'PUT', '/box?acl', { headers: withAcl('private'), body: document(MAIN.id, '') }))).toBe('UnexpectedContent');
    expect(await code(as('main', 'PUT', '/box?acl', { headers: withAcl('publish') }))).toBe('InvalidArgument');
    expect(await code(put('main', 'key', { 'x-amz-grant-read': 'someone' }))).toBe('InvalidArgument');
  });

  test('what another account writes is its own, and the bucket’s owner may only take it away', async () => {
    await makeBox('public-read-write');
    await put('alt', 'key');
    expect(ownerOf(await as('alt', 'GET', '/box/key?acl'))).toBe(ALT.id);
    expect(await code(as('main', 'GET', '/box/key'))).toBe('AccessDenied');
    expect(await code(as('main', 'GET', '/box/key?acl'))).toBe('AccessDenied');
    await put('alt', 'key', withAcl('bucket-owner-read'));
    expect(grantsOf(await as('alt', 'GET', '/box/key?acl'))).toEqual(['alt FULL_CONTROL', 'main READ']);
    expect((await as('main', 'GET', '/box/key')).text).toBe('content');
    expect(await code(as('main', 'GET', '/box/key?acl'))).toBe('AccessDenied');
    await put('alt', 'key', withAcl('bucket-owner-full-control'));
    expect(grantsOf(await as('main', 'GET', '/box/key?acl'))).toEqual(['alt FULL_CONTROL', 'main FULL_CONTROL']);
    expect(await code(as('main', 'DELETE', '/box/key'))).toBe(204);
  });

  test('what nobody in particular writes belongs to the bucket’s owner, and to nobody else', async () => {
    await makeBox('public-read-write');
    expect(await code(put('anonymous', 'key'))).toBe(200);
    expect((await as('main', 'GET', '/box/key')).text).toBe('content');
    expect(await code(as('anonymous', 'GET', '/box/key'))).toBe('AccessDenied');
  });

  test('who may list the bucket is told that a key is not there', async () => {
    await makeBox('public-read');
    expect(await code(as('anonymous', 'GET', '/box/missing'))).toBe('NoSuchKey');
    expect(await code(as('anonymous', 'HEAD', '/box/missing'))).toBe(404);
  });
});

describe('a bucket policy', () => {
  test('is put, read back to the letter, and taken away', async () => {
    await makeBox();
    expect(await code(as('main', 'GET', '/box?policy'))).toBe('NoSuchBucketPolicy');
    const text = `${policy({ Sid: 'ä' })}  `;
    expect(await code(as('main', 'PUT', '/box?policy', { body: text }))).toBe(204);
    const answer = await as('main', 'GET', '/box?policy');
    expect([answer.text, answer.headers['content-type']]).toEqual([text, 'application/json']);
    expect(await code(as('main', 'DELETE', '/box?policy'))).toBe(204);
    expect(await code(as('main', 'GET', '/box?policy'))).toBe('NoSuchBucketPolicy');
    expect(await code(as('main', 'PUT', '/box?policy', { body: '{}' }))).toBe('MalformedPolicy');
  });

  test('opens the bucket to whom it names, for what it names', async () => {
    await makeBox();
    await put('main', 'key');
    await putPolicy({ Action: 's3:ListBucket' });
    expect(await code(as('alt', 'GET', '/box'))).toBe(200);
    expect(await code(as('anonymous', 'GET', '/box?list-type=2'))).toBe(200);
    expect(await code(as('alt', 'GET', '/box/key'))).toBe('AccessDenied');
    await putPolicy({ Action: 's3:GetObject', Principal: { AWS: ALT.id } });
    expect(await code(as('alt', 'GET', '/box/key'))).toBe(200);
    expect(await code(as('anonymous', 'GET', '/box/key'))).toBe('AccessDenied');
    expect(await code(as('alt', 'GET', '/box/missing'))).toBe('AccessDenied');
  });

  test('a denial wins over ACL and ownership, but the owner can take it back', async () => {
    await makeBox('authenticated-read');
    await putPolicy({ Effect: 'Deny', Action: ['s3:ListBucket', 's3:*BucketPolicy'] });
    expect(await code(as('alt', 'GET', '/box'))).toBe('AccessDenied');
    expect(await code(as('main', 'GET', '/box'))).toBe('AccessDenied');
    expect(await code(as('main', 'DELETE', '/box?policy'))).toBe(204);
    expect(await code(as('main', 'GET', '/box'))).toBe(200);
    const headers = { 'x-amz-confirm-remove-self-bucket-access': 'true' };
    await as('main', 'PUT', '/box?policy', { body: policy({ Effect: 'Deny', Action: 's3:*BucketPolicy' }), headers });
    expect(await code(as('main', 'DELETE', '/box?policy'))).toBe('AccessDenied');
  });

  test('by prefix, tells who may list there that a key is missing, and nobody elsewhere', async () => {
    await makeBox();
    await putPolicy({ Action: 's3:ListBucket', Resource: BOX, Condition: { StringLike: { 's3:prefix': 'public/*' } } });
    expect((await as('alt', 'HEAD', '/box/public/object')).status).toBe(404);
    expect((await as('alt', 'HEAD', '/box/private/object')).status).toBe(403);
    expect(await code(as('alt', 'GET', '/box?prefix=public/a'))).toBe(200);
    expect(await code(as('alt', 'GET', '/box'))).toBe('AccessDenied');
  });

  test('about headers decides before anybody looks whether they are understood', async () => {
    await makeBox();
    const header = 's3:x-amz-server-side-encryption';
    await putPolicy({ Effect: 'Deny', Action: 's3:PutObject', Resource: `${BOX}/*`, Condition: { StringNotEquals: { [header]: 'AES256' } } });
    expect(await code(put('main', 'key', { 'x-amz-server-side-encryption': 'AES192' }))).toBe('AccessDenied');
    expect(await code(put('main', 'key', { 'x-amz-server-side-encryption': 'aws:kms' }))).toBe('AccessDenied');
    expect(await code(put('main', 'key'))).toBe('AccessDenied');
  });

  test('asks about the ACL that a write asks for', async () => {
    await makeBox();
    const statements = [
      { Effect: 'Allow', Principal: '*', Action: 's3:PutObject', Resource: `${BOX}/*` },
      { Effect: 'Deny', Principal: '*', Action: 's3:PutObject', Resource: `${BOX}/*`, Condition: { StringLike: { 's3:x-amz-acl': 'public*' } } },
    ];
    await as('main', 'PUT', '/box?policy', { body: JSON.stringify({ Statement: statements }) });
    expect(await code(put('alt', 'key'))).toBe(200);
    expect(await code(put('alt', 'key', withAcl('public-read')))).toBe('AccessDenied');
    const denied = { Effect: 'Deny', Principal: '*', Action: 's3:PutObjectAcl', Resource: `${BOX}/*` };
    await as('main', 'PUT', '/box?policy', { body: JSON.stringify({ Statement: [...statements, denied] }) });
    expect(await code(put('alt', 'key', withAcl('authenticated-read')))).toBe('AccessDenied');
    expect(await code(put('alt', 'key'))).toBe(200);
  });

  test('asks about grants: who writes for the bucket’s owner', async () => {
    await makeBox();
    const full = `id=${MAIN.id}`;
    await putPolicy({ Action: 's3:PutObject', Resource: `${BOX}/*`, Condition: { StringEquals: { 's3:x-amz-grant-full-control': full } } });
    expect(await code(put('alt', 'key'))).toBe('AccessDenied');
    expect(await code(put('alt', 'key', { 'x-amz-grant-full-control': full }))).toBe(200);
    expect(grantsOf(await as('main', 'GET', '/box/key?acl'))).toEqual(['main FULL_CONTROL']);
  });

  test('on the bucket alone says nothing about its objects', async () => {
    await makeBox();
    await putPolicy({ Action: 's3:PutObject', Resource: BOX });
    expect(await code(as('alt', 'POST', '/box/key?uploads'))).toBe('AccessDenied');
    await putPolicy({ Action: 's3:PutObject', Resource: `${BOX}/key` });
    expect(await code(as('alt', 'POST', '/box/key?uploads'))).toBe(200);
  });

  test('by address and referer', async () => {
    await makeBox();
    await put('main', 'key');
    const from = (range: string): object => ({ Action: 's3:GetObject', Condition: { IpAddress: { 'aws:SourceIp': range } } });
    await putPolicy(from('127.0.0.0/8'));
    expect(await code(as('anonymous', 'GET', '/box/key'))).toBe(200);
    await putPolicy(from('10.0.0.0/8'));
    expect(await code(as('anonymous', 'GET', '/box/key'))).toBe('AccessDenied');
    await putPolicy({ Action: 's3:GetObject', Condition: { StringLikeIfExists: { 'aws:Referer': 'http://www.example.com/*' } } });
    expect(await code(as('anonymous', 'GET', '/box/key', { headers: { referer: 'http://www.example.com/index.html' } }))).toBe(200);
    expect(await code(as('anonymous', 'GET', '/box/key'))).toBe(200);
    expect(await code(as('anonymous', 'GET', '/box/key', { headers: { referer: 'http://example.com' } }))).toBe('AccessDenied');
    await putPolicy({ Effect: 'Deny', Condition: { Bool: { 'aws:SecureTransport': 'false' } } });
    expect(await code(as('main', 'GET', '/box/key'))).toBe('AccessDenied');
  });

  test('each key of a bulk delete is asked about by itself', async () => {
    await makeBox();
    await put('main', 'open/a');
    await put('main', 'shut/b');
    await putPolicy({ Action: 's3:DeleteObject', Resource: `${BOX}/open/*` });
    const body = '<Delete><Object><Key>open/a</Key></Object><Object><Key>shut/b</Key></Object></Delete>';
    const md5 = (await import('node:crypto')).createHash('md5').update(body).digest('base64');
    const { status, text } = await as('alt', 'POST', '/box?delete', { body, headers: { 'content-md5': md5 } });
    expect(status).toBe(200);
    expect(text).toContain('<Deleted><Key>open/a</Key></Deleted>');
    expect(text).toContain('<Error><Key>shut/b</Key><Code>AccessDenied</Code>');
    expect(world.store.buckets.get('box')?.objects.has('shut/b')).toBe(true);
  });
});

describe('whether a bucket is public', () => {
  const isPublic = async (): Promise<boolean> => (await as('main', 'GET', '/box?policyStatus')).text.includes('<IsPublic>true</IsPublic>');

  test('by its policy or its ACL', async () => {
    await makeBox();
    expect(await isPublic()).toBe(false);
    await putPolicy({ Condition: { IpAddress: { 'aws:SourceIp': '10.0.0.0/32' } } });
    expect(await isPublic()).toBe(false);
    await putPolicy({ Principal: { AWS: 'arn:aws:iam::s3tenant1:root' } });
    expect(await isPublic()).toBe(false);
    await putPolicy();
    expect(await isPublic()).toBe(true);
    await as('main', 'DELETE', '/box?policy');
    await as('main', 'PUT', '/box?acl', { headers: withAcl('authenticated-read') });
    expect(await isPublic()).toBe(true);
  });
});

describe('the public access block', () => {
  const putBlock = async (on: string): Promise<void> => {
    expect(await code(as('main', 'PUT', '/box?publicAccessBlock', { body: block(on) }))).toBe(200);
  };

  test('is put, shown with what is off, and taken away', async () => {
    await makeBox();
    expect(await code(as('main', 'GET', '/box?publicAccessBlock'))).toBe('NoSuchPublicAccessBlockConfiguration');
    await putBlock('BlockPublicPolicy');
    const { text } = await as('main', 'GET', '/box?publicAccessBlock');
    expect(text).toContain('<BlockPublicAcls>false</BlockPublicAcls><IgnorePublicAcls>false</IgnorePublicAcls><BlockPublicPolicy>true</BlockPublicPolicy><RestrictPublicBuckets>false</RestrictPublicBuckets>');
    expect(await code(as('main', 'DELETE', '/box?publicAccessBlock'))).toBe(204);
    expect(await code(as('main', 'DELETE', '/box?publicAccessBlock'))).toBe(204);
    expect(await code(as('main', 'GET', '/box?publicAccessBlock'))).toBe('NoSuchPublicAccessBlockConfiguration');
    expect(await code(as('main', 'PUT', '/box?publicAccessBlock', { body: block('BlockPublicAcls').replace('true', 'maybe') }))).toBe('MalformedXML');
  });

  test('may be hidden even from the owner by a policy, which is no public one', async () => {
    await makeBox();
    await putBlock('BlockPublicPolicy');
    await putPolicy({ Effect: 'Deny', Action: 's3:GetBucketPublicAccessBlock', Resource: BOX });
    expect(await code(as('main', 'GET', '/box?publicAccessBlock'))).toBe('AccessDenied');
  });

  test('BlockPublicAcls refuses public ACLs of bucket and objects, and no others', async () => {
    await makeBox();
    await putBlock('BlockPublicAcls');
    for (const acl of ['public-read', 'public-read-write', 'authenticated-read']) {
      expect(await code(as('main', 'PUT', '/box?acl', { headers: withAcl(acl) }))).toBe('AccessDenied');
      expect(await code(put('main', 'key', withAcl(acl)))).toBe('AccessDenied');
    }
    expect(await code(put('main', 'key', withAcl('private')))).toBe(200);
    expect(await code(as('main', 'PUT', '/box/key?acl', { headers: withAcl('public-read') }))).toBe('AccessDenied');
  });

  test('IgnorePublicAcls lets them be put, and counts them as nothing', async () => {
    await makeBox();
    await put('main', 'key', withAcl('public-read'));
    await putBlock('IgnorePublicAcls');
    expect(await code(as('main', 'PUT', '/box?acl', { headers: withAcl('public-read') }))).toBe(200);
    expect(await code(as('alt', 'GET', '/box'))).toBe('AccessDenied');
    expect(await code(as('alt', 'GET', '/box/key'))).toBe('AccessDenied');
  });

  test('BlockPublicPolicy refuses a public policy alone; RestrictPublicBuckets closes one that is there', async () => {
    await makeBox();
    await put('main', 'key');
    await putBlock('BlockPublicPolicy');
    expect(await code(as('main', 'PUT', '/box?policy', { body: policy() }))).toBe('AccessDenied');
    await putPolicy({ Principal: { AWS: 'arn:aws:iam::s3tenant1:root' } });
    await as('main', 'DELETE', '/box?publicAccessBlock');
    await putPolicy();
    expect(await code(as('anonymous', 'GET', '/box/key'))).toBe(200);
    await putBlock('RestrictPublicBuckets');
    expect(await code(as('anonymous', 'GET', '/box/key'))).toBe('AccessDenied');
    expect(await code(as('main', 'GET', '/box/key'))).toBe(200);
  });
});

describe('ownership controls', () => {
  const shown = async (): Promise<string | undefined> =>
    /<ObjectOwnership>(\w+)</.exec((await as('main', 'GET', '/box?ownershipControls')).text)?.[1];

  test('are put, shown and taken away, also at creation', async () => {
    await makeBox(undefined, { 'x-amz-object-ownership': 'BucketOwnerPreferred' });
    expect(await shown()).toBe('BucketOwnerPreferred');
    expect(await code(as('main', 'PUT', '/box?ownershipControls', { body: controls('ObjectWriter') }))).toBe(200);
    expect(await shown()).toBe('ObjectWriter');
    for (let i = 0; i < 2; i += 1) expect(await code(as('main', 'DELETE', '/box?ownershipControls'))).toBe(204);
    expect(await code(as('main', 'GET', '/box?ownershipControls'))).toBe('OwnershipControlsNotFoundError');
    expect(await code(as('main', 'PUT', '/box?ownershipControls', { body: controls('Everybody') }))).toBe('MalformedXML');
    expect(await code(as('main', 'PUT', '/other', { headers: { 'x-amz-object-ownership': 'Everybody' } }))).toBe('InvalidArgument');
  });

  test('enforced cannot be had with an ACL that grants to others', async () => {
    await makeBox('public-read');
    const enforce = { body: controls('BucketOwnerEnforced') };
    expect(await code(as('main', 'PUT', '/box?ownershipControls', enforce))).toBe('InvalidBucketAclWithObjectOwnership');
    await as('main', 'PUT', '/box?acl', { headers: withAcl('private') });
    expect(await code(as('main', 'PUT', '/box?ownershipControls', enforce))).toBe(200);
    const both = { ...withAcl('public-read'), 'x-amz-object-ownership': 'BucketOwnerEnforced' };
    expect(await code(as('main', 'PUT', '/other', { headers: both }))).toBe('InvalidBucketAclWithObjectOwnership');
  });

  test('enforced: all is the bucket owner’s, and ACLs are refused', async () => {
    await makeBox(undefined, { 'x-amz-object-ownership': 'BucketOwnerEnforced' });
    await putPolicy();
    for (const headers of [{}, withAcl('bucket-owner-full-control')] as Record<string, string>[]) {
      expect(await code(put('alt', 'key', headers))).toBe(200);
      expect(ownerOf(await as('alt', 'GET', '/box/key?acl'))).toBe(MAIN.id);
      const created = await as('alt', 'POST', '/box/big?uploads', { headers });
      const uploadId = /<UploadId>(.*?)</.exec(created.text)?.[1] ?? '';
      expect(ownerOf(await as('alt', 'GET', `/box/big?uploadId=${uploadId}`))).toBe(MAIN.id);
    }
    const refused = 'AccessControlListNotSupported';
    expect(await code(put('alt', 'key', withAcl('private')))).toBe(refused);
    expect(await code(put('alt', 'key', { 'x-amz-grant-read': `id=${ALT.id}` }))).toBe(refused);
    expect(await code(as('alt', 'POST', '/box/big?uploads', { headers: withAcl('private') }))).toBe(refused);
    expect(await code(as('alt', 'PUT', '/box?acl', { headers: withAcl('private') }))).toBe(refused);
    expect(await code(as('alt', 'PUT', '/box/key?acl', { headers: withAcl('private') }))).toBe(refused);
  });

  test.each([
    ['BucketOwnerPreferred', MAIN.id],
    ['ObjectWriter', ALT.id],
  ])('%s: who writes, owns, unless it gives the bucket’s owner full control', async (ownership, withFullControl) => {
    await makeBox(undefined, { 'x-amz-object-ownership': ownership });
    await putPolicy();
    const owners: string[] = [];
    for (const headers of [{}, withAcl('bucket-owner-full-control'), withAcl('private')] as Record<string, string>[]) {
      await put('alt', 'key', headers);
      const created = await as('alt', 'POST', '/box/big?uploads', { headers });
      const uploadId = /<UploadId>(.*?)</.exec(created.text)?.[1] ?? '';
      const ofUpload = ownerOf(await as('alt', 'GET', `/box/big?uploadId=${uploadId}`));
      const seen = await as('alt', 'GET', '/box/key?acl');
      owners.push(ownerOf(seen));
      expect(ofUpload).toBe(ownerOf(seen));
    }
    expect(owners).toEqual([ALT.id, withFullControl, ALT.id]);
    expect(await code(as('alt', 'PUT', '/box?acl', { headers: withAcl('private') }))).toBe(200);
  });
});

describe('an access key', () => {
  const read = parsePolicy(
    utf8(JSON.stringify({ Statement: [{ Effect: 'Allow', Action: ['s3:GetObject', 's3:ListBucket'], Resource: [BOX, `${BOX}/shared/*`] }, { Effect: 'Deny', Action: '*', Resource: `${BOX}/shared/secret/*` }] })),
    { kind: 'key' },
  );

  test('with a policy does what it allows of what its account may, and no more', async () => {
    const narrow = await startAccessWorld({ policy: read });
    try {
      await narrow.as('main', 'PUT', '/box');
      for (const key of ['shared/a', 'shared/secret/b', 'c']) await narrow.as('main', 'PUT', `/box/${key}`, { body: 'x' });
      expect(await code(narrow.as('narrow', 'GET', '/box/shared/a'))).toBe(200);
      expect(await code(narrow.as('narrow', 'GET', '/box'))).toBe(200);
      for (const [method, path] of [['GET', '/box/shared/secret/b'], ['GET', '/box/c'], ['PUT', '/box/shared/new'], ['DELETE', '/box/shared/a'], ['GET', '/'], ['PUT', '/new'], ['GET', '/box?policy'], ['DELETE', '/box']] as const)
        expect(await code(narrow.as('narrow', method, path)), `${method} ${path}`).toBe('AccessDenied');
    } finally {
      await narrow.close();
    }
  });

  test('with a rate is slowed, and only it', async () => {
    const narrow = await startAccessWorld({ limits: { requestsPerSecond: 1, bytesPerSecond: undefined } });
    try {
      const answers = [await narrow.as('narrow', 'GET', '/'), await narrow.as('narrow', 'GET', '/')];
      expect(answers.map((answer) => answer.code ?? answer.status)).toEqual([200, 'SlowDown']);
      expect(answers[1]?.headers['retry-after']).toBe('1');
      expect(narrow.telemetry.counts.get('s3_slowed reason=key-requests')).toBe(1);
      expect(await code(narrow.as('main', 'GET', '/'))).toBe(200);
      expect([...narrow.front.keyUses().values()].map(({ requests }) => requests)).toEqual([1, 1]);
    } finally {
      await narrow.close();
    }
  });
});

test('what a bucket holds is told to its owner alone', async () => {
  await makeBox('public-read');
  await put('main', 'a', {}, '123');
  await put('main', 'b', {}, '4567');
  const { status, headers } = await as('main', 'HEAD', '/box?read-stats=true');
  expect([status, headers['x-rgw-object-count'], headers['x-rgw-bytes-used']]).toEqual([200, '2', '7']);
  expect((await as('alt', 'HEAD', '/box?read-stats=true')).status).toBe(403);
  expect((await as('alt', 'HEAD', '/box')).status).toBe(200);
});

describe('quotas', () => {
  const quotas = (bucket: number | undefined, account: number | undefined): { quotas: { bucketQuota: () => Promise<number | undefined>; accountQuota: () => Promise<number | undefined> } } => ({
    quotas: { bucketQuota: () => Promise.resolve(bucket), accountQuota: () => Promise.resolve(account) },
  });

  test.each([
    ['of the bucket', 10, undefined],
    ['of its owner', undefined, 10],
  ])('%s: what would be above is refused, and counted', async (_, bucket, account) => {
    const bounded = await startAccessWorld({}, quotas(bucket, account));
    try {
      await bounded.as('main', 'PUT', '/box');
      expect(await code(bounded.as('main', 'PUT', '/box/a', { body: '123456' }))).toBe(200);
      expect(await code(bounded.as('main', 'PUT', '/box/b', { body: '1234' }))).toBe(200);
      expect(await code(bounded.as('main', 'PUT', '/box/c', { body: '1' }))).toBe('QuotaExceeded');
      expect(await code(bounded.as('main', 'PUT', '/box/c', { body: '' }))).toBe(200);
      expect(bounded.telemetry.counts.size).toBeGreaterThan(0);
      expect([...bounded.telemetry.counts.keys()].some((name) => name.startsWith('s3_quota_exceeded'))).toBe(true);
    } finally {
      await bounded.close();
    }
  });
});
