import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { utf8 } from '../../../base/bytes.ts';
import { parsePolicy } from '../policy/parse.ts';
import type { Policy } from '../policy/policy.ts';
import type { BucketState } from '../port/buckets.ts';
import { cannedGrants, decodeGrants, encodeGrants } from './acl.ts';
import type { CannedAcl, Grant } from './acl.ts';
import { encodeBlock, encodeOwnership, encodePolicy, factsOf } from './bucket-facts.ts';
import type { BucketFacts, Ownership, PublicAccessBlock } from './bucket-facts.ts';
import { decide, decideOnService } from './decide.ts';
import type { Decision, ObjectFacts } from './decide.ts';

const OWNER = 'a'.repeat(64);
const WRITER = 'b'.repeat(64);
const OTHER = 'c'.repeat(64);
const BOX = 'arn:aws:s3:::box';

function state(documents: BucketState['documents'] = {}): BucketState {
  return {
    name: 'box',
    createdMs: 1,
    owner: OWNER,
    versioning: 'never',
    lockEnabled: false,
    defaultRetention: undefined,
    serialised: true,
    documents,
  };
}

const statement = (change: object = {}): object => ({
  Effect: 'Allow',
  Principal: '*',
  Action: '*',
  Resource: [BOX, `${BOX}/*`],
  ...change,
});
const policyText = (...changes: readonly object[]): string =>
  JSON.stringify({ Version: '2012-10-17', Statement: changes.map(statement) });
const policyDocument = (...changes: readonly object[]): string => encodePolicy({ text: policyText(...changes), isOwnerBound: false });
const keyPolicy = (change: object): Policy =>
  parsePolicy(utf8(JSON.stringify({ Statement: { Effect: 'Allow', Action: '*', Resource: '*', ...change } })), { kind: 'key' });

const facts = (documents: BucketState['documents'] = {}): BucketFacts => factsOf(state(documents));
const canned = (acl: CannedAcl, owner = OWNER): readonly Grant[] => cannedGrants(acl, owner, OWNER);
const aclDocument = (acl: CannedAcl): Pick<BucketState['documents'], 'accessControl'> => {
  const text = encodeGrants(canned(acl), OWNER);
  return text === undefined ? {} : { accessControl: text };
};
const object = (owner: string, acl: CannedAcl = 'private'): ObjectFacts => ({ owner, grants: canned(acl, owner) });

const OPEN: PublicAccessBlock = { blockPublicAcls: false, ignorePublicAcls: false, blockPublicPolicy: false, restrictPublicBuckets: false };

interface Asked {
  readonly who: string | undefined;
  readonly action: string;
  readonly bucket?: BucketFacts;
  readonly object?: ObjectFacts;
  readonly keyPolicy?: Policy;
}

function ask({ who, action, bucket = facts(), object: known, keyPolicy: policy }: Asked): Decision {
  const isOnBucket = /Bucket|Configuration/.test(action);
  const question = {
    accountId: who,
    action: `s3:${action}`,
    resource: isOnBucket ? BOX : `${BOX}/key`,
    valuesOf: () => undefined,
    keyPolicy: policy,
  };
  return decide(question, bucket, known);
}

describe('a bucket about which nothing was said', () => {
  test('its owner may do everything, and nobody else anything', () => {
    for (const action of ['ListBucket', 'PutObject', 'DeleteObject', 'PutBucketPolicy', 'PutBucketAcl', 'BypassGovernanceRetention']) {
      expect(ask({ who: OWNER, action })).toBe('allowed');
      expect(ask({ who: OTHER, action })).toBe('not-allowed');
      expect(ask({ who: undefined, action })).toBe('not-allowed');
    }
  });

  test('an object belongs to who wrote it, not to whom the bucket belongs', () => {
    const written = object(WRITER);
    expect(ask({ who: WRITER, action: 'GetObject', object: written })).toBe('allowed');
    expect(ask({ who: OWNER, action: 'GetObject', object: written })).toBe('not-allowed');
    expect(ask({ who: OWNER, action: 'DeleteObject' })).toBe('allowed');
    expect(ask({ who: WRITER, action: 'DeleteObject' })).toBe('not-allowed');
  });

  test('what hangs on the object waits for it', () => {
    expect(ask({ who: OTHER, action: 'GetObject' })).toBe('depends');
    expect(ask({ who: OWNER, action: 'GetObjectAcl' })).toBe('depends');
  });
});

describe('ownership controls', () => {
  const enforced = facts({ ownership: encodeOwnership('BucketOwnerEnforced') });

  test('enforced: everything is the bucket owner’s, and ACLs count no more', () => {
    expect(ask({ who: OWNER, action: 'GetObject', bucket: enforced, object: object(WRITER) })).toBe('allowed');
    expect(ask({ who: OWNER, action: 'GetObject', bucket: enforced })).toBe('allowed');
    expect(ask({ who: WRITER, action: 'GetObject', bucket: enforced, object: object(WRITER, 'public-read') })).toBe('not-allowed');
    const open = facts({ ownership: encodeOwnership('BucketOwnerEnforced'), ...aclDocument('public-read-write') });
    expect(ask({ who: undefined, action: 'ListBucket', bucket: open })).toBe('not-allowed');
    expect(ask({ who: undefined, action: 'PutObject', bucket: open })).toBe('not-allowed');
  });
});

describe('ACLs', () => {
  test.each([
    ['private', [], []],
    ['public-read', ['ListBucket'], ['ListBucket']],
    ['public-read-write', ['ListBucket', 'PutObject', 'DeleteObject'], ['ListBucket', 'PutObject', 'DeleteObject']],
    ['authenticated-read', ['ListBucket'], []],
    ['log-delivery-write', [], []],
  ] as const)('%s on a bucket', (acl, others, anonymous) => {
    const bucket = facts(aclDocument(acl));
    const allowed = (who: string | undefined): string[] =>
      ['ListBucket', 'PutObject', 'DeleteObject', 'GetBucketAcl', 'PutBucketAcl', 'PutBucketPolicy'].filter(
        (action) => ask({ who, action, bucket }) === 'allowed',
      );
    expect(allowed(OTHER)).toEqual(others);
    expect(allowed(undefined)).toEqual(anonymous);
  });

  test.each([
    ['private', false, false],
    ['public-read', true, true],
    ['authenticated-read', true, false],
  ] as const)('%s on an object', (acl, others, anonymous) => {
    const known = object(WRITER, acl);
    expect(ask({ who: OTHER, action: 'GetObject', object: known }) === 'allowed').toBe(others);
    expect(ask({ who: undefined, action: 'GetObject', object: known }) === 'allowed').toBe(anonymous);
    for (const action of ['GetObjectAcl', 'PutObjectAcl', 'GetObjectTagging', 'PutObjectTagging', 'GetObjectRetention'])
      expect(ask({ who: OTHER, action, object: known })).toBe('not-allowed');
  });

  test('bucket-owner-full-control gives the bucket’s owner the rights of FULL_CONTROL', () => {
    const known = object(WRITER, 'bucket-owner-full-control');
    for (const action of ['GetObject', 'GetObjectAcl', 'PutObjectAcl']) expect(ask({ who: OWNER, action, object: known })).toBe('allowed');
    expect(ask({ who: OWNER, action: 'GetObject', object: object(WRITER, 'bucket-owner-read') })).toBe('allowed');
    expect(ask({ who: OWNER, action: 'PutObjectAcl', object: object(WRITER, 'bucket-owner-read') })).toBe('not-allowed');
  });

  test('the right to write an object is the bucket’s to give, not the object’s', () => {
    expect(ask({ who: OTHER, action: 'PutObject', object: object(OWNER, 'public-read-write') })).toBe('not-allowed');
  });

  test('are read back as they are written, and what is none grants nothing', () => {
    const grants = canned('public-read-write', WRITER);
    expect(decodeGrants(encodeGrants(grants, WRITER), WRITER)).toEqual(grants);
    expect(encodeGrants(canned('private', WRITER), WRITER)).toBeUndefined();
    for (const text of ['', '{', '{"v":2,"grants":[]}', '{"v":1,"grants":[["x","READ"]]}']) expect(decodeGrants(text, OWNER)).toBeUndefined();
    expect(ask({ who: OTHER, action: 'ListBucket', bucket: facts({ accessControl: '{' }) })).toBe('not-allowed');
  });
});

describe('a bucket policy', () => {
  test('allows others, and objects only where they are the bucket owner’s', () => {
    const bucket = facts({ policy: policyDocument({}) });
    expect(ask({ who: OTHER, action: 'ListBucket', bucket })).toBe('allowed');
    expect(ask({ who: undefined, action: 'PutObject', bucket })).toBe('allowed');
    expect(ask({ who: OTHER, action: 'GetObject', bucket, object: object(OWNER) })).toBe('allowed');
    expect(ask({ who: OTHER, action: 'GetObject', bucket, object: object(WRITER) })).toBe('not-allowed');
    expect(ask({ who: OWNER, action: 'GetObject', bucket, object: object(WRITER) })).toBe('not-allowed');
  });

  test('denies everybody, the owner too, but not the owner’s hand on the policy itself', () => {
    const bucket = facts({ policy: policyDocument({ Effect: 'Deny' }), ...aclDocument('public-read') });
    for (const action of ['ListBucket', 'PutObject', 'PutBucketAcl']) expect(ask({ who: OWNER, action, bucket })).toBe('denied');
    for (const action of ['GetBucketPolicy', 'PutBucketPolicy', 'DeleteBucketPolicy']) {
      expect(ask({ who: OWNER, action, bucket })).toBe('allowed');
      expect(ask({ who: OTHER, action, bucket })).toBe('denied');
    }
    const bound = facts({ policy: encodePolicy({ text: policyText({ Effect: 'Deny' }), isOwnerBound: true }) });
    expect(ask({ who: OWNER, action: 'DeleteBucketPolicy', bucket: bound })).toBe('denied');
  });

  test('that cannot be read any more closes the bucket, until its owner puts another', () => {
    for (const policy of ['{', encodePolicy({ text: '{', isOwnerBound: true })]) {
      const bucket = facts({ policy, ...aclDocument('public-read') });
      expect(ask({ who: undefined, action: 'ListBucket', bucket })).toBe('denied');
      expect(ask({ who: OWNER, action: 'ListBucket', bucket })).toBe('denied');
      expect(ask({ who: OWNER, action: 'PutBucketPolicy', bucket })).toBe('allowed');
    }
  });

  test('about the tags that an object has waits for the object, whoever asks', () => {
    const policy = policyDocument({ Effect: 'Deny', Condition: { StringEquals: { 's3:ExistingObjectTag/a': 'b' } } });
    for (const ownership of ['ObjectWriter', 'BucketOwnerEnforced'] as const)
      expect(ask({ who: OWNER, action: 'GetObject', bucket: facts({ policy, ownership: encodeOwnership(ownership) }) })).toBe('depends');
  });
});

describe('the public access block', () => {
  const block = (change: object): { publicAccessBlock: string } => ({
    publicAccessBlock: encodeBlock({ ...OPEN, ...change }),
  });

  test('IgnorePublicAcls: grants to everybody count no more, those to accounts do', () => {
    const bucket = facts({ ...aclDocument('public-read'), ...block({ ignorePublicAcls: true }) });
    expect(ask({ who: OTHER, action: 'ListBucket', bucket })).toBe('not-allowed');
    expect(ask({ who: OTHER, action: 'GetObject', bucket, object: object(OWNER, 'public-read') })).toBe('not-allowed');
    expect(ask({ who: OWNER, action: 'GetObject', bucket, object: object(WRITER, 'bucket-owner-read') })).toBe('allowed');
  });

  test('RestrictPublicBuckets: a public policy lets nobody in but the owner; another one does', () => {
    const restricted = block({ restrictPublicBuckets: true });
    const open = facts({ policy: policyDocument({}), ...restricted });
    expect(ask({ who: OTHER, action: 'ListBucket', bucket: open })).toBe('denied');
    expect(ask({ who: undefined, action: 'GetObject', bucket: open, object: object(OWNER) })).toBe('denied');
    expect(ask({ who: OWNER, action: 'ListBucket', bucket: open })).toBe('allowed');
    const named = facts({ policy: policyDocument({ Principal: { AWS: OTHER } }), ...restricted });
    expect(ask({ who: OTHER, action: 'ListBucket', bucket: named })).toBe('allowed');
  });

  test('that cannot be read blocks everything that it could', () => {
    const bucket = facts({ publicAccessBlock: '{', policy: policyDocument({}), ...aclDocument('public-read') });
    expect(ask({ who: OTHER, action: 'ListBucket', bucket })).toBe('denied');
  });
});

describe('the policy of an access key', () => {
  test('narrows what the account may do, and never widens it', () => {
    const reads = keyPolicy({ Action: ['s3:GetObject', 's3:ListBucket'] });
    expect(ask({ who: OWNER, action: 'ListBucket', keyPolicy: reads })).toBe('allowed');
    expect(ask({ who: OWNER, action: 'PutObject', keyPolicy: reads })).toBe('denied');
    expect(ask({ who: OTHER, action: 'ListBucket', keyPolicy: reads })).toBe('not-allowed');
    expect(ask({ who: OWNER, action: 'GetObject', keyPolicy: keyPolicy({ Resource: `${BOX}/other/*` }), object: object(OWNER) })).toBe('denied');
  });

  test('holds for the list of buckets and for making one', () => {
    const question = { accountId: OWNER, action: 's3:CreateBucket', resource: BOX, valuesOf: () => undefined };
    expect(decideOnService({ ...question, keyPolicy: undefined })).toBe('allowed');
    expect(decideOnService({ ...question, keyPolicy: keyPolicy({ Action: 's3:ListAllMyBuckets' }) })).toBe('denied');
    expect(decideOnService({ ...question, accountId: undefined, keyPolicy: undefined })).toBe('not-allowed');
  });
});

describe('whatever a bucket says', () => {
  const acls = fc.constantFrom<CannedAcl>('private', 'public-read', 'public-read-write', 'authenticated-read', 'bucket-owner-read');
  const changes = fc.array(
    fc.record({
      Effect: fc.constantFrom('Allow', 'Deny'),
      Principal: fc.constantFrom<unknown>('*', { AWS: OTHER }, { AWS: OWNER }),
      Action: fc.constantFrom('*', 's3:GetObject', 's3:PutObject', 's3:ListBucket'),
      Resource: fc.constantFrom([BOX], [`${BOX}/*`], [BOX, `${BOX}/*`]),
    }),
    { minLength: 1, maxLength: 4 },
  );
  const flags = fc.record({ blockPublicAcls: fc.boolean(), ignorePublicAcls: fc.boolean(), blockPublicPolicy: fc.boolean(), restrictPublicBuckets: fc.boolean() });
  const documents = fc
    .record({ acl: acls, policy: fc.option(changes), ownership: fc.constantFrom<Ownership | undefined>(undefined, 'BucketOwnerEnforced', 'BucketOwnerPreferred', 'ObjectWriter'), block: fc.option(flags) })
    .map(({ acl, policy, ownership, block }) => ({
      ...aclDocument(acl),
      ...(policy === null ? {} : { policy: policyDocument(...policy) }),
      ...(ownership === undefined ? {} : { ownership: encodeOwnership(ownership) }),
      ...(block === null ? {} : { publicAccessBlock: encodeBlock(block) }),
    }));
  const who = fc.constantFrom(OWNER, WRITER, OTHER, undefined);
  const action = fc.constantFrom('GetObject', 'PutObject', 'ListBucket', 'GetObjectAcl', 'PutBucketAcl', 'DeleteObject', 'GetObjectTagging');
  const objects = fc.tuple(fc.constantFrom(OWNER, WRITER), acls).map(([owner, acl]) => object(owner, acl));

  test('a denial for everybody wins over owner, ACL and every allowance', () => {
    fc.assert(
      fc.property(changes, acls, who, action, objects, (list, acl, asker, what, known) => {
        const bucket = facts({ ...aclDocument(acl), policy: policyDocument(...list, { Effect: 'Deny' }) });
        expect(ask({ who: asker, action: what, bucket, object: known })).toBe('denied');
      }),
    );
  });

  test('anonymous clients get only what a policy or an ACL gives to everybody', () => {
    fc.assert(
      fc.property(documents, action, objects, (docs, what, known) => {
        const bucket = facts(docs);
        if (ask({ who: undefined, action: what, bucket, object: known }) !== 'allowed') return;
        const isGroup = (grants: readonly Grant[]): boolean => grants.some(({ grantee }) => grantee.kind === 'group' && grantee.group === 'all-users');
        expect(bucket.isPolicyPublic || isGroup(bucket.grants) || isGroup(known.grants)).toBe(true);
        expect(bucket.block.restrictPublicBuckets && bucket.isPolicyPublic).toBe(false);
      }),
    );
  });

  test('who is anonymous may never do what no account may', () => {
    fc.assert(
      fc.property(documents, action, objects, (docs, what, known) => {
        const bucket = facts(docs);
        if (ask({ who: undefined, action: what, bucket, object: known }) !== 'allowed') return;
        // A stranger, whom no statement names.
        expect(ask({ who: 'd'.repeat(64), action: what, bucket, object: known })).toBe('allowed');
      }),
    );
  });

  test('each switch of the public access block takes away, and gives nobody anything', () => {
    fc.assert(
      fc.property(documents, flags, who, action, objects, (docs, block, asker, what, known) => {
        const without = facts({ ...docs, publicAccessBlock: encodeBlock(OPEN) });
        const blocked = facts({ ...docs, publicAccessBlock: encodeBlock(block) });
        const asked = { who: asker, action: what, object: known };
        if (ask({ ...asked, bucket: blocked }) === 'allowed') expect(ask({ ...asked, bucket: without })).toBe('allowed');
      }),
    );
  });

  test('what was decided without the object stands when it is seen', () => {
    fc.assert(
      fc.property(documents, who, action, objects, (docs, asker, what, known) => {
        const bucket = facts(docs);
        const before = ask({ who: asker, action: what, bucket });
        const seen = ask({ who: asker, action: what, bucket, object: known });
        expect(seen).not.toBe('depends');
        if (before !== 'depends') expect(seen).toBe(before);
      }),
    );
  });
});
