import { beforeEach, describe, expect, test } from 'vitest';
import { utf8 } from '../../../base/bytes.ts';
import { S3Error } from '../http/errors.ts';
import { Headers } from '../http/headers.ts';
import { sealOf } from '../port/memory-content.contract.ts';
import { MemoryStore } from '../port/memory-store.contract.ts';
import type { IncomingContent } from '../port/content.ts';
import type { DeleteObject, ObjectAttributes, ObjectMetadata, PutObject, Retention, Tags } from '../port/objects.ts';
import type { Credential } from '../auth/principal.ts';
import { parseResource, parseTarget, Query } from '../http/uri.ts';
import { Access } from './access.ts';
import type { AccessOptions } from './access.ts';
import { ALT, MAIN } from './access-world.contract.ts';
import { accessOf } from './actions.ts';
import type { GovernedOperation } from './actions.ts';
import { encodePolicy } from './bucket-facts.ts';
import { GuardedStore } from './guarded-store.ts';

const DAY_MS = 24 * 3600 * 1000;
const NOW_MS = 1_700_000_000_000;
const BOX = 'arn:aws:s3:::box';
const metadata: ObjectMetadata = {
  contentType: undefined,
  cacheControl: undefined,
  contentDisposition: undefined,
  contentEncoding: undefined,
  contentLanguage: undefined,
  expires: undefined,
  websiteRedirect: undefined,
  sse: undefined,
  user: [],
};
const operation = { id: new Uint8Array(32), repeatable: false };

let store: MemoryStore;

beforeEach(() => {
  store = new MemoryStore();
  store.addBucket('box', { owner: MAIN.id, versioning: 'enabled', lockEnabled: true });
  store.addBucket('alts', { owner: ALT.id });
});

function policy(...statements: readonly object[]): void {
  const full = statements.map((change) => ({ Effect: 'Allow', Principal: '*', Action: '*', Resource: [BOX, `${BOX}/*`], ...change }));
  const text = encodePolicy({ text: JSON.stringify({ Statement: full }), isOwnerBound: false });
  const bucket = store.buckets.get('box');
  if (bucket !== undefined) bucket.state = { ...bucket.state, documents: { policy: text } };
}

/** The store as `who` gets it for one request. */
async function as(...asked: Parameters<typeof accessAs>): Promise<GuardedStore> {
  return new GuardedStore(await accessAs(...asked));
}

async function accessAs(who: 'main' | 'alt' | 'anonymous', name: GovernedOperation, target: string, headers: Record<string, string> = {}): Promise<Access> {
  const { path, query } = parseTarget(target);
  const account = who === 'main' ? MAIN : ALT;
  const credential: Credential = { secretAccessKey: 's', account };
  const isNobody = who === 'anonymous';
  const access = new Access({
    store,
    request: { headers: new Headers(Object.entries(headers)), query: new Query(query), scheme: 'https', remoteAddress: '192.0.2.1', nowMs: NOW_MS },
    principal: isNobody ? { kind: 'anonymous' } : { kind: 'account', account, accessKeyId: 'k' },
    credential: isNobody ? undefined : credential,
    operation: accessOf(name),
    resource: parseResource(path),
  });
  await access.admit();
  return access;
}

function contentOf(text: string): IncomingContent {
  const bytes = utf8(text);
  async function* once(): AsyncGenerator<Uint8Array> {
    await Promise.resolve();
    yield bytes;
  }
  return { size: bytes.length, bytes: once(), seal: () => sealOf(bytes, undefined) };
}

function putting(key: string, attributes: Partial<ObjectAttributes> = {}, bucket = 'box', owner = ALT.id): PutObject {
  return {
    bucket,
    key,
    owner,
    content: contentOf('content'),
    metadata,
    attributes: { tags: [], accessControl: undefined, retention: undefined, legalHold: false, ...attributes },
    customerKey: undefined,
    condition: undefined,
    operation,
  };
}

const deleting = (key: string, change: Partial<DeleteObject> = {}): DeleteObject => ({
  bucket: 'box',
  key,
  versionId: undefined,
  owner: ALT.id,
  condition: undefined,
  bypassGovernance: false,
  operation,
  ...change,
});

async function outcome(work: () => Promise<{ readonly outcome: string }>): Promise<string> {
  try {
    return (await work()).outcome;
  } catch (error) {
    if (error instanceof S3Error) return error.code;
    throw error;
  }
}

const address = (key: string, versionId?: string): { bucket: string; key: string; versionId: string | undefined } => ({ bucket: 'box', key, versionId });
const retention = (days: number, mode: Retention['mode'] = 'GOVERNANCE'): Retention => ({ mode, untilMs: NOW_MS + days * DAY_MS });

describe('what a write says about its own version', () => {
  test('tags are free to who may write, unless they are denied', async () => {
    policy({ Action: 's3:PutObject' });
    const tagged = putting('key', { tags: [['a', 'b']] });
    expect(await outcome(async () => (await as('alt', 'PutObject', '/box/key')).putObject(tagged))).toBe('stored');
    policy({ Action: 's3:PutObject' }, { Effect: 'Deny', Action: 's3:PutObjectTagging' });
    expect(await outcome(async () => (await as('alt', 'PutObject', '/box/key')).putObject(tagged))).toBe('AccessDenied');
    expect(await outcome(async () => (await as('alt', 'PutObject', '/box/key')).putObject(putting('key')))).toBe('stored');
  });

  test('a lock needs a right of its own', async () => {
    for (const [locked, right] of [
      [{ retention: retention(1) }, 's3:PutObjectRetention'],
      [{ legalHold: true }, 's3:PutObjectLegalHold'],
    ] as const) {
      const write = async (who: 'main' | 'alt'): Promise<string> => outcome(async () => (await as(who, 'PutObject', '/box/key')).putObject(putting('key', locked)));
      policy({ Action: 's3:PutObject' });
      expect(await write('alt')).toBe('AccessDenied');
      expect(await write('main')).toBe('stored');
      policy({ Action: ['s3:PutObject', right] });
      expect(await write('alt')).toBe('stored');
    }
  });

  test('is seen by conditions on the days that a lock remains', async () => {
    const tooLong = { NumericGreaterThan: { 's3:object-lock-remaining-retention-days': '10' } };
    policy({}, { Effect: 'Deny', Action: 's3:PutObjectRetention', Condition: tooLong });
    const write = async (days: number): Promise<string> => outcome(async () => (await as('main', 'PutObject', '/box/key')).putObject(putting('key', { retention: retention(days) })));
    expect(await write(9)).toBe('stored');
    expect(await write(11)).toBe('AccessDenied');
  });
});

describe('attributes that are changed later', () => {
  beforeEach(async () => {
    await store.putObject(putting('key', { tags: [['security', 'public']] }, 'box', MAIN.id));
  });

  const tag = async (who: 'main' | 'alt' | 'anonymous', tags: Tags): Promise<string> =>
    outcome(async () => (await as(who, 'PutObjectTagging', '/box/key')).changeAttributes({ ...address('key'), change: { kind: 'tags', tags }, operation }));

  test('tags: by those that are there, and by those that are to be', async () => {
    expect(await tag('alt', [])).toBe('AccessDenied');
    policy({ Action: 's3:PutObjectTagging', Condition: { StringEquals: { 's3:ExistingObjectTag/security': 'public' } } });
    expect(await tag('alt', [['security', 'private']])).toBe('changed');
    expect(await tag('alt', [['security', 'public']])).toBe('AccessDenied');
    expect(await tag('anonymous', [])).toBe('AccessDenied');
    policy({ Action: 's3:PutObjectTagging', Condition: { 'ForAllValues:StringEquals': { 's3:RequestObjectTagKeys': ['a'] } } });
    expect(await tag('alt', [['a', '1']])).toBe('changed');
    expect(await tag('alt', [['b', '1']])).toBe('AccessDenied');
  });

  test('retention: shortening it needs the right to bypass governance', async () => {
    policy({ Action: 's3:PutObjectRetention' });
    const lock = async (days: number, bypassGovernance: boolean): Promise<string> =>
      outcome(async () => (await as('alt', 'PutObjectRetention', '/box/key')).changeAttributes({ ...address('key'), change: { kind: 'retention', retention: retention(days), bypassGovernance }, operation }));
    expect(await lock(5, false)).toBe('changed');
    expect(await lock(3, false)).toBe('locked');
    expect(await lock(3, true)).toBe('AccessDenied');
    policy({ Action: ['s3:PutObjectRetention', 's3:BypassGovernanceRetention'] });
    expect(await lock(3, true)).toBe('changed');
  });

  test('an operation that may only read changes nothing', async () => {
    const work = async (): Promise<{ outcome: string }> =>
      (await as('main', 'ListObjects', '/box')).changeAttributes({ ...address('key'), change: { kind: 'tags', tags: [] }, operation });
    expect(await outcome(work)).toBe('AccessDenied');
  });
});

describe('a copy', () => {
  const source = address('private');
  const copying = async (who: 'main' | 'alt', headers: Record<string, string> = {}): Promise<string> => {
    const guarded = await as(who, 'CopyObject', '/alts/copy', { 'x-amz-copy-source': '/box/private', ...headers });
    return outcome(() =>
      guarded.copyObject({
        ...putting('copy', {}, 'alts'),
        attributes: { tags: undefined, accessControl: undefined, retention: undefined, legalHold: false },
        metadata: undefined,
        source,
        sourceEtag: sealOf(utf8('content'), undefined).etag,
        sourceCustomerKey: undefined,
        checksum: undefined,
      }),
    );
  };

  beforeEach(async () => {
    await store.putObject(putting('private', {}, 'box', MAIN.id));
  });

  test('needs the right to read its source, whoever may write its target', async () => {
    expect(await copying('alt')).toBe('AccessDenied');
    policy({ Action: 's3:GetObject', Resource: `${BOX}/private` });
    expect(await copying('alt')).toBe('stored');
    expect(await copying('alt', { 'x-amz-source-expected-bucket-owner': MAIN.id })).toBe('stored');
    expect(await copying('alt', { 'x-amz-source-expected-bucket-owner': ALT.id })).toBe('AccessDenied');
    policy({ Action: 's3:GetObject' }, { Effect: 'Deny', Action: 's3:GetObjectTagging' });
    expect(await copying('alt')).toBe('AccessDenied');
  });

  test('of a part needs it, too', async () => {
    const guarded = await as('alt', 'CreateMultipartUpload', '/alts/big');
    const created = await guarded.createUpload({ ...putting('big', {}, 'alts'), checksum: undefined });
    if (created.outcome !== 'created') throw new Error('created');
    const copyPart = async (): Promise<string> =>
      outcome(() =>
        guarded.copyPart({
          bucket: 'alts',
          key: 'big',
          uploadId: created.uploadId,
          number: 1,
          source,
          sourceEtag: sealOf(utf8('content'), undefined).etag,
          span: undefined,
          checksum: undefined,
          customerKey: undefined,
          sourceCustomerKey: undefined,
          operation,
        }),
      );
    expect(await copyPart()).toBe('AccessDenied');
    expect(store.uploads.get(created.uploadId)?.parts.size).toBe(0);
  });

  test('does not tell that its source is missing to who may not list there', async () => {
    store.buckets.get('box')?.objects.delete('private');
    expect(await copying('alt')).toBe('AccessDenied');
    policy({ Action: 's3:ListBucket', Resource: BOX });
    expect(await copying('alt')).toBe('no-such-source');
  });
});

test('a form that somebody signed is written with the rights of who signed it', async () => {
  const anonymous = await accessAs('anonymous', 'PostObject', '/box');
  const signed: Pick<AccessOptions, 'principal' | 'credential'> = {
    principal: { kind: 'account', account: ALT, accessKeyId: 'k' },
    credential: { secretAccessKey: 's', account: ALT },
  };
  const post = async (access: Access): Promise<string> => outcome(() => new GuardedStore(access).putObject(putting('key')));
  expect(await post(anonymous)).toBe('AccessDenied');
  expect(await post(anonymous.actingAs(signed))).toBe('AccessDenied');
  policy({ Action: 's3:PutObject', Principal: { AWS: ALT.id }, Condition: { StringEquals: { 's3:x-amz-acl': 'private' } } });
  expect(await post(anonymous)).toBe('AccessDenied');
  expect(await post(anonymous.actingAs(signed))).toBe('AccessDenied');
  expect(await post(anonymous.actingAs(signed, new Headers([['x-amz-acl', 'private']])))).toBe('stored');
});

describe('deleting', () => {
  test('a version, and past governance, are rights of their own', async () => {
    const first = await store.putObject(putting('key', { retention: retention(5) }, 'box', MAIN.id));
    const versionId = first.outcome === 'stored' ? first.versionId : undefined;
    store.nowMs = NOW_MS;
    const remove = async (change: Partial<DeleteObject>): Promise<string> => {
      const target = change.versionId === undefined ? '/box/key' : `/box/key?versionId=${change.versionId}`;
      return outcome(async () => (await as('alt', 'DeleteObject', target)).deleteObject(deleting('key', change)));
    };
    policy({ Action: 's3:DeleteObject' });
    expect(await remove({})).toBe('deleted');
    expect(await remove({ versionId })).toBe('AccessDenied');
    policy({ Action: 's3:DeleteObject*' });
    expect(await remove({ versionId })).toBe('locked');
    expect(await remove({ versionId, bypassGovernance: true })).toBe('AccessDenied');
    policy({ Action: ['s3:DeleteObject*', 's3:BypassGovernanceRetention'] });
    expect(await remove({ versionId, bypassGovernance: true })).toBe('deleted');
  });
});

describe('reading', () => {
  test('a version is another right than the newest one', async () => {
    const made = await store.putObject(putting('key', {}, 'box', MAIN.id));
    const versionId = made.outcome === 'stored' ? made.versionId : undefined;
    policy({ Action: 's3:GetObject' });
    const read = async (id: string | undefined): Promise<string> => {
      const guarded = await as('alt', 'GetObject', id === undefined ? '/box/key' : `/box/key?versionId=${id}`);
      return outcome(() => guarded.headObject(address('key', id)));
    };
    expect(await read(undefined)).toBe('found');
    expect(await read(versionId)).toBe('AccessDenied');
  });

  test('what was refused is closed again', async () => {
    await store.putObject(putting('key', {}, 'box', MAIN.id));
    const guarded = await as('alt', 'GetObject', '/box/key');
    expect(await outcome(() => guarded.getObject({ ...address('key'), range: undefined, customerKey: undefined }))).toBe('AccessDenied');
    expect(store.open).toBe(0);
  });

  test('a key of the customer’s is asked for only of who may read', async () => {
    await store.putObject({ ...putting('key', {}, 'box', MAIN.id), customerKey: { key: new Uint8Array(32), md5: 'm' } });
    const read = async (who: 'main' | 'alt'): Promise<string> =>
      outcome(async () => (await as(who, 'GetObject', '/box/key')).getObject({ ...address('key'), range: undefined, customerKey: undefined }));
    expect(await read('main')).toBe('customer-key-needed');
    expect(await read('alt')).toBe('AccessDenied');
  });
});

test('a request reaches nothing but what it names', async () => {
  policy({});
  const onKey = await as('main', 'PutObject', '/box/key');
  expect(await outcome(() => onKey.putObject(putting('other', {}, 'alts')))).toBe('AccessDenied');
  expect(await outcome(() => onKey.deleteObject(deleting('key', { bucket: 'alts' })))).toBe('AccessDenied');
  const refusals: (() => unknown)[] = [
    () => onKey.deleteBucket('box', operation),
    () => onKey.openListing('box'),
    () => onKey.configureBucket({ bucket: 'box', document: 'policy', text: undefined, operation }),
    () => onKey.changeBucket({ bucket: 'box', change: { kind: 'versioning', versioning: 'suspended' }, operation }),
    () => onKey.abortUpload({ bucket: 'box', key: 'other', uploadId: 'u' }, operation),
    () => onKey.readUpload({ bucket: 'alts', key: 'key', uploadId: 'u' }),
  ];
  for (const refusal of refusals) expect(refusal).toThrow(S3Error);
  const onBucket = await as('main', 'ListObjects', '/box');
  expect(() => onBucket.openListing('alts')).toThrow(S3Error);
  expect((await onBucket.listBuckets()).map(({ name }) => name)).toEqual(['box']);
});
