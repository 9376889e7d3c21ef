/**
 * May this principal do this action on this resource? A pure function of what is known, and the only place
 * that decides. In this order: the policy of the access key, denials of the bucket's policy, the public
 * access block, then who owns what, what the policy allows and what ACLs grant. What nobody allowed is not
 * allowed.
 */
import { concernsExisting, POLICY_ACTIONS } from './actions.ts';
import { grantsPermit, isPublicGrant } from './acl.ts';
import type { Grant } from './acl.ts';
import type { BucketFacts } from './bucket-facts.ts';
import { EXISTING_TAG } from '../policy/condition-keys.ts';
import { asksAbout, evaluatePolicy } from '../policy/evaluate.ts';
import type { PolicyQuestion } from '../policy/evaluate.ts';
import type { Policy } from '../policy/policy.ts';

export interface Question extends PolicyQuestion {
  /** Of the access key that asks; undefined: it may what its account may. */
  readonly keyPolicy: Policy | undefined;
}

/** Of an object that is there. */
export interface ObjectFacts {
  readonly owner: string;
  readonly grants: readonly Grant[];
}

/**
 * `denied`: somebody said no. `not-allowed`: nobody said yes. `depends`: on the object, which was not looked
 * at yet.
 */
export type Decision = 'allowed' | 'denied' | 'not-allowed' | 'depends';

/** About something that is in no bucket: the list of buckets, or a bucket to be made. */
export function decideOnService(question: Question): Decision {
  if (question.accountId === undefined) return 'not-allowed';
  return keyPermits(question) ? 'allowed' : 'denied';
}

function keyPermits(question: Question): boolean {
  return question.keyPolicy === undefined || evaluatePolicy(question.keyPolicy, question) === 'allowed';
}

/** The account that owns an object as this bucket sees it. */
export function effectiveOwner(bucket: BucketFacts, objectOwner: string): string {
  return bucket.ownership === 'BucketOwnerEnforced' ? bucket.owner : objectOwner;
}

/** Grants that count in this bucket. */
function counting(bucket: BucketFacts, grants: readonly Grant[]): readonly Grant[] {
  if (bucket.ownership === 'BucketOwnerEnforced') return [];
  return bucket.block.ignorePublicAcls ? grants.filter((grant) => !isPublicGrant(grant)) : grants;
}

function needsTags(question: Question, bucket: BucketFacts): boolean {
  return [question.keyPolicy, bucket.policy].some(
    (policy) => policy !== undefined && asksAbout(policy, EXISTING_TAG),
  );
}

/**
 * Decides. `object` is undefined while it is not known; it is asked for by `depends` only for actions about
 * an object that is there.
 */
export function decide(question: Question, bucket: BucketFacts, object: ObjectFacts | undefined): Decision {
  const { accountId, action } = question;
  const isOnExisting = concernsExisting(action);
  if (isOnExisting && object === undefined && needsTags(question, bucket)) return 'depends';
  if (!keyPermits(question)) return 'denied';
  const verdict = bucket.policy === undefined ? 'silent' : evaluatePolicy(bucket.policy, question);
  const isBucketOwner = accountId !== undefined && accountId === bucket.owner;
  const isKept = isBucketOwner && !bucket.isOwnerBound && POLICY_ACTIONS.has(action);
  if (verdict === 'denied' && !isKept) return 'denied';
  if (!isBucketOwner && bucket.block.restrictPublicBuckets && bucket.isPolicyPublic) return 'denied';
  const isAllowed = verdict === 'allowed';
  if (isOnExisting) return decideOnExisting(question, bucket, object, isAllowed);
  if (isBucketOwner || isAllowed) return 'allowed';
  return grantsPermit('bucket', counting(bucket, bucket.grants), accountId, action) ? 'allowed' : 'not-allowed';
}

/**
 * The owner of a bucket decides about his own objects; those that another account wrote and owns are that
 * account's, whatever the bucket's policy allows.
 */
function decideOnExisting(
  { accountId, action }: Question,
  bucket: BucketFacts,
  object: ObjectFacts | undefined,
  isAllowed: boolean,
): Decision {
  if (object === undefined && bucket.ownership !== 'BucketOwnerEnforced') return 'depends';
  const owner = effectiveOwner(bucket, object?.owner ?? bucket.owner);
  if (accountId !== undefined && accountId === owner) return 'allowed';
  if (isAllowed && owner === bucket.owner) return 'allowed';
  if (object === undefined) return 'depends';
  return grantsPermit('object', counting(bucket, object.grants), accountId, action) ? 'allowed' : 'not-allowed';
}
