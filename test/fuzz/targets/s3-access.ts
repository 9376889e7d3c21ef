/** Decoders of what decides about access: policies, and the documents that a bucket keeps. */
import { fromUtf8, utf8 } from '../../../src/base/bytes.ts';
import { decodeGrants, encodeGrants } from '../../../src/gateway/s3/access/acl.ts';
import { decodeBlock, decodeOwnership, decodePolicy, encodeBlock, encodeOwnership, encodePolicy } from '../../../src/gateway/s3/access/bucket-facts.ts';
import { S3Error } from '../../../src/gateway/s3/http/errors.ts';
import { evaluatePolicy } from '../../../src/gateway/s3/policy/evaluate.ts';
import { isWithin, parseCidr, parseIp } from '../../../src/gateway/s3/policy/ip.ts';
import { parseStrictJson } from '../../../src/gateway/s3/policy/json.ts';
import { parsePolicy } from '../../../src/gateway/s3/policy/parse.ts';
import { isPublicPolicy } from '../../../src/gateway/s3/policy/public.ts';
import { decoder, holds } from '../decoder.ts';
import type { Target } from '../engine.ts';

const OWNER = 'a'.repeat(64);
const isS3Error = (error: unknown): boolean => error instanceof S3Error;

function textOf(input: Uint8Array): string | undefined {
  try {
    return fromUtf8(input);
  } catch {
    return undefined;
  }
}

const POLICY = JSON.stringify({
  Version: '2012-10-17',
  Id: 'an id',
  Statement: [
    {
      Sid: 'read',
      Effect: 'Allow',
      Principal: { AWS: ['*', OWNER, `arn:aws:iam::${OWNER}:root`], CanonicalUser: OWNER },
      Action: ['s3:Get*', 's3:ListBucket'],
      Resource: ['arn:aws:s3:::box', 'arn:aws:s3:::box/*'],
      Condition: {
        StringLikeIfExists: { 'aws:Referer': 'http://example.com/*' },
        IpAddress: { 'aws:SourceIp': ['10.0.0.0/8', '2001:db8::/32'] },
        'ForAnyValue:StringEquals': { 's3:RequestObjectTagKeys': ['a', 'b'] },
        NumericLessThan: { 's3:max-keys': 10 },
        DateGreaterThan: { 'aws:CurrentTime': '2026-01-01T00:00:00Z' },
        Null: { 's3:x-amz-server-side-encryption': true },
      },
    },
    { Effect: 'Deny', NotPrincipal: { AWS: OWNER }, NotAction: 's3:GetObject', NotResource: 'arn:aws:s3:::box/p?*' },
  ],
});

const WORDS = ['"', '{', '}', '[', ']', ',', ':', '\\u0000', '*', '?', '${aws:userid}', '"Effect":"Deny"', '"Principal":"*"', '"NotPrincipal"', 'IfExists', 'ForAllValues:', 'arn:aws:s3:::'];

/** Whatever it says: who is not named by it gets nothing, and asking costs no more than reading. */
function acceptsPolicy(input: Uint8Array): boolean {
  const policy = parsePolicy(input, { kind: 'bucket', bucket: 'box' });
  isPublicPolicy(policy);
  const isSilent = policy.statements.every(({ effect }) => effect === 'Deny');
  const question = { accountId: undefined, action: 's3:GetObject', resource: 'arn:aws:s3:::box/key', valuesOf: () => undefined };
  const verdict = evaluatePolicy(policy, question);
  if (isSilent) holds(verdict !== 'allowed', 'nothing is granted where no statement allows');
  const elsewhere = evaluatePolicy(policy, { ...question, action: 's3:NoSuchAction', resource: 'arn:aws:s3:::box' });
  if (verdict === 'allowed' || elsewhere === 'allowed') holds(isPublicPolicy(policy), 'what anonymous clients may do is public');
  return true;
}

function acceptsDocument(input: Uint8Array): boolean {
  const text = textOf(input);
  if (text === undefined) return false;
  const grants = decodeGrants(text, OWNER);
  if (grants !== undefined) {
    const again = encodeGrants(grants, OWNER);
    holds(JSON.stringify(decodeGrants(again, OWNER)) === JSON.stringify(grants), 'grants are read back as they are written');
  }
  const policy = decodePolicy(text);
  if (policy !== undefined) holds(JSON.stringify(decodePolicy(encodePolicy(policy))) === JSON.stringify(policy), 'a policy is read back as it is written');
  return grants !== undefined || policy !== undefined || decodeBlock(text) !== undefined || decodeOwnership(text) !== undefined;
}

function acceptsAddress(input: Uint8Array): boolean {
  const text = textOf(input);
  const range = text === undefined ? undefined : parseCidr(text);
  const address = text === undefined ? undefined : parseIp(text);
  if (range !== undefined) holds(isWithin(range.address, range), 'a range holds its own address');
  return range !== undefined || address !== undefined;
}

function acceptsJson(input: Uint8Array): boolean {
  const text = textOf(input);
  if (text === undefined || parseStrictJson(text, 8) === undefined) return false;
  JSON.parse(text);
  return true;
}

const access = 'src/gateway/s3/access';
const policy = 'src/gateway/s3/policy';

export const accessTargets: readonly Target[] = [
  decoder({ name: 's3-policy', covers: [`${policy}/parse.ts parsePolicy`], format: { form: 'text', words: WORDS }, seeds: () => [utf8(POLICY)], accepts: acceptsPolicy, refuses: isS3Error, inputs: 600 }),
  decoder({ name: 's3-policy-json', covers: [`${policy}/json.ts parseStrictJson`], format: { form: 'text', words: WORDS }, seeds: () => [utf8(POLICY), utf8('[1, -2.5e3, "\\u00e4", null, {"a": true}]')], accepts: acceptsJson, inputs: 600 }),
  decoder({ name: 's3-policy-address', covers: [`${policy}/ip.ts parseIp`, `${policy}/ip.ts parseCidr`], format: { form: 'text', words: ['::', ':', '.', '/', 'ffff', '255', '0'] }, seeds: () => ['10.0.0.0/8', '2001:db8::1/64', '::ffff:1.2.3.4'].map(utf8), accepts: acceptsAddress }),
  decoder({
    name: 's3-access-documents',
    covers: [`${access}/acl.ts decodeGrants`, `${access}/bucket-facts.ts decodePolicy`, `${access}/bucket-facts.ts decodeBlock`, `${access}/bucket-facts.ts decodeOwnership`],
    format: { form: 'text', words: WORDS },
    seeds: () => [
      utf8(encodeGrants([{ grantee: { kind: 'group', group: 'all-users' }, permission: 'READ' }, { grantee: { kind: 'account', id: OWNER }, permission: 'FULL_CONTROL' }], OWNER) ?? ''),
      utf8(encodePolicy({ text: POLICY, isOwnerBound: false })),
      utf8(encodeBlock({ blockPublicAcls: true, ignorePublicAcls: false, blockPublicPolicy: true, restrictPublicBuckets: false })),
      utf8(encodeOwnership('BucketOwnerPreferred')),
    ],
    accepts: acceptsDocument,
  }),
];
