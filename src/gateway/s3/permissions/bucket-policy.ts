/**
 * The policy of a bucket: put, read back to the letter, taken away, and the question whether it makes the
 * bucket public.
 */
import { fromUtf8, utf8 } from '../../../base/bytes.ts';
import { isPublicGrant } from '../access/acl.ts';
import { decodePolicy, encodePolicy, factsOf } from '../access/bucket-facts.ts';
import { configure, stateOf } from '../documents/state.ts';
import { bucketOf, emptyResponse } from '../call.ts';
import type { Feature } from '../call.ts';
import { readAll } from '../body/content.ts';
import { S3Error } from '../http/errors.ts';
import { element, xmlResponse } from '../http/xml.ts';
import { parsePolicy, POLICY_BYTES_MAX } from '../policy/parse.ts';
import { isPublicPolicy } from '../policy/public.ts';

export const putBucketPolicy: Feature = async (call) => {
  const bucket = bucketOf(call);
  const document = await readAll(call.content(POLICY_BYTES_MAX));
  const policy = parsePolicy(document, { kind: 'bucket', bucket });
  const facts = factsOf(await stateOf(call));
  if (facts.block.blockPublicPolicy && isPublicPolicy(policy))
    throw new S3Error('AccessDenied', 'The bucket blocks public policies.');
  const isOwnerBound = call.headers.get('x-amz-confirm-remove-self-bucket-access') === 'true';
  await configure(call, 'policy', encodePolicy({ text: fromUtf8(document), isOwnerBound }));
  return emptyResponse(204);
};

export const getBucketPolicy: Feature = async (call) => {
  const { policy } = (await stateOf(call)).documents;
  const stored = policy === undefined ? undefined : decodePolicy(policy);
  if (stored === undefined) throw new S3Error('NoSuchBucketPolicy');
  return { status: 200, headers: [['Content-Type', 'application/json']], body: utf8(stored.text) };
};

export const deleteBucketPolicy: Feature = async (call) => {
  await configure(call, 'policy', undefined);
  return emptyResponse(204);
};

/** Public by its policy, or by grants of its ACL to everybody, where they count. */
export const getBucketPolicyStatus: Feature = async (call) => {
  const { ownership, block, grants, isPolicyPublic } = factsOf(await stateOf(call));
  const counts = ownership !== 'BucketOwnerEnforced' && !block.ignorePublicAcls;
  const isPublic = isPolicyPublic || (counts && grants.some(isPublicGrant));
  return xmlResponse(200, element('PolicyStatus', [element('IsPublic', isPublic)]));
};
