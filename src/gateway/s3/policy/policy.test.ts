import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { utf8 } from '../../../base/bytes.ts';
import { S3Error } from '../http/errors.ts';
import { normalKey } from './condition-keys.ts';
import { evaluatePolicy } from './evaluate.ts';
import type { PolicyQuestion } from './evaluate.ts';
import { isWithin, parseCidr, parseIp } from './ip.ts';
import { parseStrictJson } from './json.ts';
import { parsePolicy } from './parse.ts';
import type { Policy } from './policy.ts';
import { isPublicPolicy } from './public.ts';
import { compilePattern, MatchBudget, matchesPattern, STEPS_MAX } from './wildcard.ts';

const ALICE = 'a'.repeat(64);
const BOB = 'b'.repeat(64);
const BUCKET = 'arn:aws:s3:::box';

const allow = {
  Effect: 'Allow',
  Principal: { AWS: '*' },
  Action: 's3:GetObject',
  Resource: `${BUCKET}/*`,
};

function policyOf(...statements: readonly object[]): Policy {
  const text = JSON.stringify({ Version: '2012-10-17', Statement: statements });
  return parsePolicy(utf8(text), { kind: 'bucket', bucket: 'box' });
}

function refused(text: string): string {
  try {
    parsePolicy(utf8(text), { kind: 'bucket', bucket: 'box' });
  } catch (error) {
    if (error instanceof S3Error) return error.code;
    throw error;
  }
  return 'accepted';
}

const refusedStatement = (change: object): string =>
  refused(JSON.stringify({ Statement: [{ ...allow, ...change }] }));

function question(values: Readonly<Record<string, readonly string[]>> = {}, rest: Partial<PolicyQuestion> = {}): PolicyQuestion {
  const known = new Map(Object.entries(values).map(([key, value]) => [normalKey(key), value]));
  return {
    accountId: ALICE,
    action: 's3:GetObject',
    resource: `${BUCKET}/key`,
    valuesOf: (key) => known.get(key),
    ...rest,
  };
}

const ask = (statement: object, asked = question()): string => evaluatePolicy(policyOf({ ...allow, ...statement }), asked);
const when = (condition: object, values: Readonly<Record<string, readonly string[]>>): string =>
  ask({ Condition: condition }, question(values));

describe('what a statement is about', () => {
  test('anyone is everybody, with an account or without', () => {
    for (const Principal of ['*', { AWS: '*' }, { AWS: ['*'] }]) {
      expect(ask({ Principal })).toBe('allowed');
      expect(ask({ Principal }, question({}, { accountId: undefined }))).toBe('allowed');
    }
  });

  test.each([
    { AWS: ALICE },
    { AWS: [BOB, `arn:aws:iam::${ALICE}:root`] },
    { AWS: `arn:aws:iam:::user/${ALICE}` },
    { CanonicalUser: ALICE },
  ])('an account is named by its id: %j', (Principal) => {
    expect(ask({ Principal })).toBe('allowed');
    expect(ask({ Principal }, question({}, { accountId: 'c'.repeat(64) }))).toBe('silent');
    expect(ask({ Principal }, question({}, { accountId: undefined }))).toBe('silent');
  });

  test('a service or a stranger is nobody who asks here', () => {
    expect(ask({ Principal: { Service: 'logging.s3.amazonaws.com' } })).toBe('silent');
    expect(ask({ Principal: { AWS: 'arn:aws:iam::s3tenant1:root' } })).toBe('silent');
  });

  test('NotPrincipal denies everybody else', () => {
    const deny = { Effect: 'Deny', Principal: undefined, NotPrincipal: { AWS: ALICE } };
    expect(ask(deny)).toBe('silent');
    expect(ask(deny, question({}, { accountId: BOB }))).toBe('denied');
    expect(ask(deny, question({}, { accountId: undefined }))).toBe('denied');
  });

  test.each([
    ['s3:GetObject', 'allowed'],
    ['S3:getobject', 'allowed'],
    ['s3:Get*', 'allowed'],
    ['*', 'allowed'],
    ['s3:GetObjectAcl', 'silent'],
    ['s3:PutObject', 'silent'],
  ])('the action %s of a statement: %s', (Action, verdict) => {
    expect(ask({ Action })).toBe(verdict);
  });

  test('NotAction and NotResource take the rest', () => {
    expect(ask({ Action: undefined, NotAction: 's3:PutObject' })).toBe('allowed');
    expect(ask({ Action: undefined, NotAction: 's3:Get*' })).toBe('silent');
    expect(ask({ Resource: undefined, NotResource: `${BUCKET}/private/*` })).toBe('allowed');
    expect(ask({ Resource: undefined, NotResource: `${BUCKET}/*` })).toBe('silent');
  });

  test.each([
    [`${BUCKET}/*`, 'allowed'],
    [`${BUCKET}/k?y`, 'allowed'],
    ['*', 'allowed'],
    ['arn:aws:s3:::*', 'allowed'],
    [BUCKET, 'silent'],
    [`${BUCKET}/KEY`, 'silent'],
  ])('the resource %s of a statement: %s', (Resource, verdict) => {
    expect(ask({ Resource })).toBe(verdict);
  });
});

describe('conditions', () => {
  test('a key that the request lacks fails what is positive and holds what is negative', () => {
    expect(when({ StringEquals: { 'aws:Referer': 'x' } }, {})).toBe('silent');
    expect(when({ StringNotEquals: { 'aws:Referer': 'x' } }, {})).toBe('allowed');
    expect(when({ StringEqualsIfExists: { 'aws:Referer': 'x' } }, {})).toBe('allowed');
    expect(when({ StringEqualsIfExists: { 'aws:Referer': 'x' } }, { 'aws:Referer': ['y'] })).toBe('silent');
  });

  test.each([
    ['StringEquals', 'a', 'a', true],
    ['StringEquals', 'a', 'A', false],
    ['StringEqualsIgnoreCase', 'a', 'A', true],
    ['StringNotEqualsIgnoreCase', 'a', 'A', false],
    ['StringLike', 'public*', 'public-read', true],
    ['StringNotLike', 'public*', 'public-read', false],
    ['StringEquals', 'public*', 'public-read', false],
  ])('%s %s of %s is %s', (operator, wanted, given, result) => {
    expect(when({ [operator]: { 's3:x-amz-acl': wanted } }, { 's3:x-amz-acl': [given] })).toBe(result ? 'allowed' : 'silent');
  });

  test.each([
    ['NumericLessThanEquals', '10', '10', true],
    ['NumericLessThan', '10', '10', false],
    ['NumericEquals', 10, '10', true],
    ['NumericGreaterThan', '10', '11', true],
    ['NumericNotEquals', '10', '11', true],
    ['NumericLessThan', '10', 'x', false],
  ])('%s %s of %s is %s', (operator, wanted, given, result) => {
    expect(when({ [operator]: { 's3:max-keys': wanted } }, { 's3:max-keys': [given] })).toBe(result ? 'allowed' : 'silent');
  });

  test('dates are compared as times, in either form', () => {
    const now = { 'aws:CurrentTime': ['2026-01-02T03:04:05.000Z'] };
    expect(when({ DateLessThan: { 'aws:CurrentTime': '2026-01-03T00:00:00Z' } }, now)).toBe('allowed');
    expect(when({ DateGreaterThan: { 'aws:CurrentTime': '2026-01-03T00:00:00Z' } }, now)).toBe('silent');
    expect(when({ DateLessThan: { 'aws:CurrentTime': '1' } }, now)).toBe('silent');
  });

  test('addresses fall into ranges of their own family', () => {
    const from = (ip: string): string => when({ IpAddress: { 'aws:SourceIp': ['10.0.0.0/8', '2001:db8::/32'] } }, { 'aws:SourceIp': [ip] });
    expect(['10.1.2.3', '::ffff:10.1.2.3', '2001:db8::1'].map(from)).toEqual(['allowed', 'allowed', 'allowed']);
    expect(['11.1.2.3', '2001:db9::1', 'nonsense'].map(from)).toEqual(['silent', 'silent', 'silent']);
    expect(when({ NotIpAddress: { 'aws:SourceIp': '10.0.0.0/8' } }, { 'aws:SourceIp': ['10.1.2.3'] })).toBe('silent');
  });

  test('Null asks whether the key is there', () => {
    const header = 's3:x-amz-server-side-encryption';
    expect(when({ Null: { [header]: 'true' } }, {})).toBe('allowed');
    expect(when({ Null: { [header]: true } }, { [header]: ['AES256'] })).toBe('silent');
    expect(when({ Null: { [header]: 'false' } }, { [header]: ['AES256'] })).toBe('allowed');
  });

  test('several values are asked one by one: any of them, or all', () => {
    const key = 's3:RequestObjectTagKeys';
    const any = { 'ForAnyValue:StringEquals': { [key]: ['a', 'b'] } };
    const all = { 'ForAllValues:StringEquals': { [key]: ['a', 'b'] } };
    expect(when(any, { [key]: ['a', 'x'] })).toBe('allowed');
    expect(when(any, { [key]: ['x'] })).toBe('silent');
    expect(when(any, {})).toBe('silent');
    expect(when(all, { [key]: ['a', 'b'] })).toBe('allowed');
    expect(when(all, { [key]: ['a', 'x'] })).toBe('silent');
    expect(when(all, {})).toBe('allowed');
    const anyOther = { 'ForAnyValue:StringNotEquals': { [key]: 'a' } };
    expect(when(anyOther, { [key]: ['a', 'b'] })).toBe('allowed');
    expect(when(anyOther, { [key]: ['a'] })).toBe('silent');
    expect(when(anyOther, {})).toBe('silent');
  });

  test('the key of a tag keeps its case, the family does not', () => {
    const condition = { StringEquals: { 'S3:existingobjecttag/Sec': 'public' } };
    expect(when(condition, { 's3:ExistingObjectTag/Sec': ['public'] })).toBe('allowed');
    expect(when(condition, { 's3:ExistingObjectTag/sec': ['public'] })).toBe('silent');
  });

  test('all conditions must hold', () => {
    const condition = { StringEquals: { 's3:prefix': 'a', 's3:delimiter': '/' } };
    expect(when(condition, { 's3:prefix': ['a'] })).toBe('silent');
    expect(when(condition, { 's3:prefix': ['a'], 's3:delimiter': ['/'] })).toBe('allowed');
  });
});

describe('a policy that we would not enforce as it is written is refused', () => {
  test.each([
    ['', 'no JSON'],
    ['{', 'broken JSON'],
    ['[]', 'no object'],
    ['{"Statement":[]}', 'no statement'],
    ['{"Version":"2012-10-17"}', 'no statement at all'],
    ['{"Version":"2020-01-01","Statement":[]}', 'another version'],
    [JSON.stringify({ Statement: [allow] }).replace('"Effect"', '"Effect":"Deny","Effect"'), 'a field twice'],
    [`${'['.repeat(50)}${']'.repeat(50)}`, 'too deep'],
    [JSON.stringify({ Statement: [allow], Id: 'x'.repeat(20 * 1024) }), 'too large'],
  ])('%#: %s', (text) => {
    expect(refused(text)).toBe('MalformedPolicy');
  });

  test.each([
    { Effect: 'allow' },
    { Effect: undefined },
    { Principal: undefined },
    { Principal: 'someone' },
    { Principal: {} },
    { Principal: { AWS: 'arn:aws:iam::*:root' } },
    { Principal: { AWS: [] } },
    { Principal: { CanonicalUser: 'x' } },
    { Principal: { Robot: ALICE } },
    { Principal: undefined, NotPrincipal: { AWS: ALICE } },
    { NotPrincipal: { AWS: ALICE } },
    { Action: 's3:FlyToMoon' },
    { Action: 'ec2:*' },
    { Action: [] },
    { Action: 7 },
    { Resource: 'arn:aws:s3:::another/*' },
    { Resource: 'arn:aws:s3:::' },
    { Resource: 'box/*' },
    { Resource: `${BUCKET}/\${aws:username}/*` },
    { Condition: [] },
    { Condition: { StringSimilar: { 's3:prefix': 'x' } } },
    { Condition: { StringEquals: { 's3:unheard-of': 'x' } } },
    { Condition: { StringEquals: { 's3:prefix': [] } } },
    { Condition: { StringEquals: { 's3:prefix': { a: 'b' } } } },
    { Condition: { NumericEquals: { 's3:max-keys': 'x' } } },
    { Condition: { IpAddress: { 'aws:SourceIp': '10.0.0.300/8' } } },
    { Condition: { Bool: { 'aws:SecureTransport': 'maybe' } } },
    { Condition: { NullIfExists: { 's3:prefix': 'true' } } },
    { Condition: { DateLessThan: { 'aws:CurrentTime': 'tomorrow' } } },
    { Extra: 1 },
    { Sid: 5 },
  ])('%j', (change) => {
    expect(refusedStatement(change)).toBe('MalformedPolicy');
  });

  test('the policy of an access key has no principals', () => {
    const text = (statement: object): Uint8Array => utf8(JSON.stringify({ Statement: statement }));
    expect(() => parsePolicy(text(allow), { kind: 'key' })).toThrow(S3Error);
    const own = { ...allow, Principal: undefined, Resource: 'arn:aws:s3:::any/prefix*' };
    expect(parsePolicy(text(own), { kind: 'key' }).statements).toHaveLength(1);
  });
});

describe('variables', () => {
  const own = `${BUCKET}/\${aws:username}/*`;
  const asks = (statement: object, values: Readonly<Record<string, readonly string[]>>, key: string): string =>
    ask(statement, question(values, { resource: `${BUCKET}/${key}` }));

  test('in a resource stand for who asks', () => {
    expect(asks({ Resource: own }, { 'aws:username': ['ann'] }, 'ann/x')).toBe('allowed');
    expect(asks({ Resource: own }, { 'aws:username': ['ann'] }, 'bob/x')).toBe('silent');
    expect(asks({ Resource: own }, {}, 'ann/x')).toBe('silent');
    expect(asks({ Resource: own }, {}, '/x')).toBe('silent');
  });

  test.each(['*', 'a*', '?nn', 'ann/../*'])('are never wildcards, whatever the request says: %s', (prefix) => {
    const Resource = `${BUCKET}/\${s3:prefix}/*`;
    expect(asks({ Resource }, { 's3:prefix': [prefix] }, 'ann/x')).toBe('silent');
    expect(asks({ Resource }, { 's3:prefix': [prefix] }, `${prefix}/x`)).toBe('allowed');
    const like = { Condition: { StringLike: { 'aws:Referer': '?\${s3:prefix}*' } } };
    expect(asks(like, { 's3:prefix': [prefix], 'aws:Referer': ['-ann'] }, 'x')).toBe('silent');
    expect(asks(like, { 's3:prefix': [prefix], 'aws:Referer': [`-${prefix}-`] }, 'x')).toBe('allowed');
  });

  test('in a condition stand for the text itself, also where it is compared for being equal', () => {
    const mine = { Condition: { StringEquals: { 's3:prefix': 'home/\${aws:username}?\${*}\${?}\${$}' } } };
    expect(asks(mine, { 'aws:username': ['a*'], 's3:prefix': ['home/a*?*?$'] }, 'x')).toBe('allowed');
    expect(asks(mine, { 'aws:username': ['a*'], 's3:prefix': ['home/ab?*?$'] }, 'x')).toBe('silent');
  });

  test('have what stands in for them', () => {
    const Resource = `${BUCKET}/\${aws:username, 'nobody'}/*`;
    expect(asks({ Resource }, {}, 'nobody/x')).toBe('allowed');
    expect(asks({ Resource }, { 'aws:username': ['ann'] }, 'nobody/x')).toBe('silent');
  });

  test('without a value allow nothing, and deny what a denial leaves open', () => {
    const unlike = { Condition: { StringNotEquals: { 's3:prefix': '\${aws:username}/' } } };
    const others = { Resource: undefined, NotResource: own };
    for (const narrowed of [unlike, others]) {
      expect(asks(narrowed, { 's3:prefix': ['p'] }, 'x')).toBe('silent');
      expect(asks({ ...narrowed, Effect: 'Deny' }, { 's3:prefix': ['p'] }, 'x')).toBe('denied');
      expect(asks(narrowed, { 's3:prefix': ['p'], 'aws:username': ['ann'] }, 'x')).toBe('allowed');
    }
  });

  test.each([
    { Resource: `${BUCKET}/\${aws:shoesize}` },
    { Resource: `${BUCKET}/\${aws:username` },
    { Resource: `${BUCKET}/\${}` },
    { Resource: `${BUCKET}/\${s3:ExistingObjectTag/owner}` },
    { Resource: `${BUCKET}/\${s3:RequestObjectTagKeys}` },
    { Resource: `${BUCKET}/\${aws:username, nobody}` },
    { Resource: 'arn:aws:s3:::\${aws:username}/*' },
    { Condition: { NumericEquals: { 's3:max-keys': '\${aws:epochtime}' } } },
    { Condition: { IpAddress: { 'aws:SourceIp': '\${aws:sourceip}' } } },
    { Condition: { Bool: { 'aws:SecureTransport': '\${aws:securetransport}' } } },
  ])('that are unknown or out of place are refused: %j', (change) => {
    expect(() => policyOf({ ...allow, ...change })).toThrow(S3Error);
  });

  test('do not narrow a policy to somebody', () => {
    const Condition = { StringEquals: { 'aws:userid': '\${aws:userid}' } };
    expect(isPublicPolicy(policyOf({ ...allow, Condition }))).toBe(true);
  });
});

describe('a denial that needs what no request has', () => {
  test.each([
    { NumericLessThan: { 's3:TlsVersion': 1.2 } },
    { StringEquals: { 'aws:SourceVpc': 'vpc-1' } },
    { Null: { 'aws:SourceVpc': 'false' } },
    { 'ForAnyValue:StringNotEquals': { 'aws:CalledVia': 'x' } },
  ])('is refused: %j', (Condition) => {
    expect(refusedStatement({ Effect: 'Deny', Condition })).toBe('MalformedPolicy');
    expect(refusedStatement({ Condition })).toBe('accepted');
  });

  test.each([
    { StringNotEquals: { 'aws:SourceVpc': 'vpc-1' } },
    { Null: { 'aws:SourceVpc': 'true' } },
    { NumericLessThanIfExists: { 's3:TlsVersion': 1.2 } },
  ])('is kept where it denies all the more: %j', (Condition) => {
    expect(refusedStatement({ Effect: 'Deny', Condition })).toBe('accepted');
  });
});

describe('public', () => {
  test.each([
    [{}, true],
    [{ Effect: 'Deny' }, false],
    [{ Principal: { AWS: ALICE } }, false],
    [{ Condition: { IpAddress: { 'aws:SourceIp': '10.0.0.0/32' } } }, false],
    [{ Condition: { IpAddress: { 'aws:SourceIp': '0.0.0.0/1' } } }, true],
    [{ Condition: { IpAddressIfExists: { 'aws:SourceIp': '10.0.0.0/32' } } }, true],
    [{ Condition: { NotIpAddress: { 'aws:SourceIp': '10.0.0.0/32' } } }, true],
    [{ Condition: { StringEquals: { 'aws:PrincipalAccount': ALICE } } }, false],
    [{ Condition: { StringLike: { 'aws:PrincipalAccount': '*' } } }, true],
    [{ Condition: { StringEquals: { 's3:prefix': 'x' } } }, true],
  ])('%j: %s', (change, expected) => {
    expect(isPublicPolicy(policyOf({ ...allow, ...change }))).toBe(expected);
  });
});

describe('whatever a policy says', () => {
  const operator = fc.constantFrom('StringEquals', 'StringNotEquals', 'StringLike', 'StringEqualsIfExists', 'ForAllValues:StringEquals', 'ForAnyValue:StringLike');
  const key = fc.constantFrom('s3:prefix', 's3:x-amz-acl', 'aws:Referer', 's3:ExistingObjectTag/a');
  const condition = fc.oneof(fc.constant(undefined), fc.tuple(operator, key, fc.constantFrom('a', '*', 'b')).map(([o, k, v]) => ({ [o]: { [k]: v } })));
  const principal = fc.constantFrom('*', { AWS: ALICE }, { AWS: [BOB] }, { CanonicalUser: ALICE });
  const action = fc.constantFrom('*', 's3:*', 's3:GetObject', 's3:Put*', 's3:ListBucket');
  const resource = fc.constantFrom(BUCKET, `${BUCKET}/*`, `${BUCKET}/a*`, '*');
  const statement = fc
    .record({ Effect: fc.constantFrom('Allow', 'Deny'), Principal: principal, Action: action, Resource: resource, Condition: condition })
    .map((made) => made);
  const statements = fc.array(statement, { minLength: 1, maxLength: 6 });
  const asked = fc
    .record({
      accountId: fc.constantFrom(ALICE, BOB, undefined),
      action: fc.constantFrom('s3:GetObject', 's3:PutObject', 's3:ListBucket'),
      resource: fc.constantFrom(BUCKET, `${BUCKET}/a`, `${BUCKET}/b`),
      values: fc.dictionary(fc.constantFrom('s3:prefix', 's3:x-amz-acl', 'aws:Referer'), fc.array(fc.constantFrom('a', 'b'), { maxLength: 2 })),
    })
    .map(({ values, ...rest }) => question(values, rest));

  test('a denial that applies wins, wherever it stands', () => {
    fc.assert(
      fc.property(statements, asked, fc.nat({ max: 6 }), (list, q, at) => {
        const deny = { Effect: 'Deny', Principal: '*', Action: q.action, Resource: q.resource };
        const place = Math.min(at, list.length);
        expect(evaluatePolicy(policyOf(...list.slice(0, place), deny, ...list.slice(place)), q)).toBe('denied');
      }),
    );
  });

  test('nothing is granted where no statement allows', () => {
    fc.assert(
      fc.property(statements, asked, (list, q) => {
        const denials = list.map((made) => ({ ...made, Effect: 'Deny' }));
        expect(evaluatePolicy(policyOf(...denials), q)).not.toBe('allowed');
        expect(evaluatePolicy({ statements: [] }, q)).toBe('silent');
      }),
    );
  });

  test('it is granted only where one statement alone grants it', () => {
    fc.assert(
      fc.property(statements, asked, (list, q) => {
        const alone = list.map((made) => evaluatePolicy(policyOf(made), q));
        const together = evaluatePolicy(policyOf(...list), q);
        expect(together).toBe(alone.includes('denied') ? 'denied' : alone.includes('allowed') ? 'allowed' : 'silent');
      }),
    );
  });

  test('one more denial never grants, and one more allowance never denies', () => {
    fc.assert(
      fc.property(statements, statement, asked, (list, more, q) => {
        const before = evaluatePolicy(policyOf(...list), q);
        const after = evaluatePolicy(policyOf(...list, more), q);
        if (more.Effect === 'Deny') expect(after === 'allowed' && before !== 'allowed').toBe(false);
        else expect(after === 'denied' && before !== 'denied').toBe(false);
      }),
    );
  });

  test('who may read a public bucket is nobody by name', () => {
    fc.assert(
      fc.property(statements, asked, (list, q) => {
        const policy = policyOf(...list);
        const anonymous = evaluatePolicy(policy, { ...q, accountId: undefined });
        if (anonymous === 'allowed') expect(isPublicPolicy(policy)).toBe(true);
      }),
    );
  });
});

describe('the parts', () => {
  test('patterns match as a regular expression would', () => {
    const pattern = fc.array(fc.constantFrom('a', 'b', '*', '?', '.'), { maxLength: 8 }).map((parts) => parts.join(''));
    const text = fc.array(fc.constantFrom('a', 'b', '.', '\u{1f600}'), { maxLength: 10 }).map((parts) => parts.join(''));
    fc.assert(
      fc.property(pattern, text, (wanted, given) => {
        const source = wanted.replace(/\./g, '\\.').replace(/\*/g, '.*').replace(/\?/g, '.');
        expect(matchesPattern(compilePattern(wanted), given)).toBe(new RegExp(`^${source}$`, 'su').test(given));
      }),
    );
  });

  test('a pattern of many stars costs no more than its length times that of the text', () => {
    expect(matchesPattern(compilePattern(`${'a*'.repeat(500)}b`), 'a'.repeat(5000))).toBe(false);
  });

  test('a policy made to cost much costs little, and denies when it would not', () => {
    const fill = (pattern: string): string[] => Array.from({ length: Math.floor(18_000 / (pattern.length + 3)) }, () => pattern);
    const counted = (change: object, values: Readonly<Record<string, readonly string[]>>): readonly [string, number] => {
      const policy = policyOf({ ...allow, ...change });
      const budget = new MatchBudget();
      const verdict = evaluatePolicy(policy, question(values, { resource: `${BUCKET}/${'a'.repeat(1024)}` }), budget);
      return [verdict, budget.spent];
    };
    const long = { 'aws:Referer': ['a'.repeat(8000)] };
    const attempts = [
      counted({ Resource: fill(`${BUCKET}/*${'a'.repeat(480)}b`) }, {}),
      counted({ Resource: fill(`${BUCKET}/*b${'a'.repeat(480)}*`) }, {}),
      counted({ Resource: fill(`${BUCKET}/*${'a?'.repeat(240)}b*`) }, {}),
      counted({ Condition: { StringLike: { 'aws:Referer': fill('*b') } } }, long),
      counted({ Condition: { StringLike: { 'aws:Referer': fill(`*${'?a'.repeat(200)}b*`) } } }, long),
    ];
    expect(attempts.map(([verdict]) => verdict)).toEqual(['silent', 'silent', 'denied', 'silent', 'denied']);
    // Text without `?` is left to the language's own search; what is walked step by step ends at the bound.
    expect(attempts.map(([, steps]) => steps)).toEqual([0, 0, STEPS_MAX + 1, 0, STEPS_MAX + 1]);
  });

  test('JSON is read as the language reads it, but for names given twice', () => {
    const plain = (value: unknown): unknown =>
      value instanceof Map
        ? Object.fromEntries([...value].map(([name, item]) => [name, plain(item)]))
        : Array.isArray(value)
          ? value.map(plain)
          : typeof value === 'object' && value !== null && 'fields' in value
            ? plain(value.fields)
            : value;
    fc.assert(
      fc.property(fc.json({ maxDepth: 3 }), (text) => {
        if (text.includes('__proto__')) return;
        expect(plain(parseStrictJson(text, 20))).toEqual(JSON.parse(text));
      }),
    );
    expect(parseStrictJson('{"a":1,"a":2}', 5)).toBeUndefined();
    expect(parseStrictJson('[[1]]', 1)).toBeUndefined();
    expect(parseStrictJson('[1] 2', 5)).toBeUndefined();
  });

  test.each(['1.2.3', '1.2.3.4.5', '01.2.3.4', '256.1.1.1', ':::', '1::2::3', '1:2:3:4:5:6:7:8:9', '', 'g::'])('"%s" is no address', (text) => {
    expect(parseIp(text)).toBeUndefined();
  });

  test('a range holds its own address and what shares its bits', () => {
    const byte = fc.nat({ max: 255 });
    fc.assert(
      fc.property(fc.tuple(byte, byte, byte, byte), fc.nat({ max: 32 }), fc.nat({ max: 31 }), (bytes, bits, flip) => {
        const range = parseCidr(`${bytes.join('.')}/${String(bits)}`);
        if (range === undefined) throw new Error('a range');
        expect(isWithin(bytes, range)).toBe(true);
        const other = bytes.map((value, i) => (i === flip >> 3 ? value ^ (128 >> flip % 8) : value));
        expect(isWithin(other, range)).toBe(flip >= bits);
      }),
    );
  });
});
