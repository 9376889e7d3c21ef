/**
 * On what terms a new version of an object is written: which versions end with it, whether the request's
 * condition holds of the version before it, and what lock it bears. Asked again for every predecessor that the
 * write is tried on, so a condition is decided once, whichever gateways race.
 */
import { sameStamp } from '../../protocol/stamp.ts';
import type { Stamp } from '../../protocol/stamp.ts';
import type { Predecessor, SlotTerms } from '../../client/slot-write.ts';
import type { StoredAttributes } from '../../keyring/metadata.ts';
import type { Bucket } from '../buckets/bucket-registry.ts';
import type { ObjectAttributes, WriteCondition } from '../s3/port/objects.ts';
import type { ConditionFailed, NoSuchKey } from '../s3/port/outcomes.ts';
import { lockOf } from './attributes.ts';
import type { StoreContext } from './context.ts';
import { sizeOf, toStoredAttributes } from './mapping.ts';
import { newestUnder, nullStamps, openVersion } from './versions.ts';
import type { Resolved } from './versions.ts';

const DAY_MS = 24 * 3_600_000;

/** Why the condition does not hold of a version; undefined: it does. */
export function failedCondition(
  condition: WriteCondition | undefined,
  version: Resolved,
): ConditionFailed | NoSuchKey | undefined {
  if (condition === undefined) return undefined;
  const current = version?.kind === 'object' ? version : undefined;
  const { ifMatch, ifNoneMatch, ifLastModifiedMs, ifSize } = condition;
  const matches = (tag: string): boolean => current !== undefined && (tag === '*' || tag === current.meta.etag);
  if (ifNoneMatch !== undefined && matches(ifNoneMatch)) return { outcome: 'condition-failed' };
  if (ifMatch !== undefined && current === undefined) return { outcome: 'no-such-key' };
  const isRight =
    (ifMatch === undefined || matches(ifMatch)) &&
    (ifLastModifiedMs === undefined ||
      (current !== undefined && seconds(current.meta.mtimeMs) === seconds(ifLastModifiedMs))) &&
    (ifSize === undefined || (current !== undefined && ifSize === sizeOf(current.signed.manifest, current.meta)));
  return isRight ? undefined : { outcome: 'condition-failed' };
}

const seconds = (ms: number): number => Math.floor(ms / 1000);

export interface WriteTerms {
  readonly decide: (predecessor: Predecessor | null) => Promise<SlotTerms | 'decline'>;
  readonly needsCertified: boolean;
  /** After a decline. */
  readonly failure: () => ConditionFailed | NoSuchKey;
}

export interface TermsOf {
  readonly bucket: Bucket;
  readonly key: string;
  readonly condition: WriteCondition | undefined;
  readonly attributes: StoredAttributes;
  /** May the request be one that was done before? Then a condition that fails is no answer yet. */
  readonly mayBeRepetition: () => Promise<boolean>;
}

export function writeTerms(ctx: StoreContext, request: TermsOf): WriteTerms {
  const { bucket, key, condition, attributes } = request;
  const { versioning, lock } = bucket.record;
  let failure: ConditionFailed | NoSuchKey = { outcome: 'condition-failed' };
  const decide = async (predecessor: Predecessor | null): Promise<SlotTerms | 'decline'> => {
    if (condition !== undefined) {
      const current = await newestUnder(ctx, bucket, predecessor?.certified ?? null);
      const failed = current === 'moved' ? { outcome: 'condition-conflict' as const } : failedCondition(condition, current);
      if (failed !== undefined && !(await request.mayBeRepetition())) {
        failure = failed;
        return 'decline';
      }
    }
    const removes = versioning === 'NEVER' ? 'ALL' : versioning === 'ENABLED' ? [] : await nullsBefore(ctx, bucket, key, predecessor);
    const { lockMode: mode, retainUntil, legalHold } = lockOf(attributes);
    return lock && (mode !== 'NONE' || legalHold) ? { removes, lock: { mode, retainUntil, legalHold } } : { removes };
  };
  const needsCertified = condition !== undefined || versioning === 'SUSPENDED';
  return { decide, needsCertified, failure: () => failure };
}

/** The null versions that a new one takes the place of. */
async function nullsBefore(ctx: StoreContext, bucket: Bucket, key: string, predecessor: Predecessor | null): Promise<readonly Stamp[]> {
  const stamps = await nullStamps(ctx, bucket, key);
  if (predecessor === null || predecessor.certified === null || predecessor.certified.signed.manifest.kind === 'REMOVE') return stamps;
  const newest = openVersion(bucket, predecessor.certified.signed);
  const isNull = newest !== null && newest.meta.kept !== 'ENABLED';
  return isNull && !stamps.some((stamp) => sameStamp(stamp, predecessor.stamp)) ? [...stamps, predecessor.stamp] : stamps;
}

/** With the retention that the bucket gives where none was asked for. */
export function attributesIn(ctx: StoreContext, { record, seal }: Bucket, asked: ObjectAttributes): StoredAttributes {
  const attributes = toStoredAttributes(asked);
  const rule = seal.defaultRetention;
  if (!record.lock || rule === null || attributes.retention !== null) return attributes;
  const days = rule.unit === 'days' ? rule.count : rule.count * 365;
  return { ...attributes, retention: { mode: rule.mode, untilMs: ctx.clock.nowMs() + days * DAY_MS } };
}

/** Is a lock asked for where the bucket has none? */
export function asksForLock({ record }: Bucket, { retention, legalHold }: Pick<ObjectAttributes, 'retention' | 'legalHold'>): boolean {
  return !record.lock && (retention !== undefined || legalHold);
}
