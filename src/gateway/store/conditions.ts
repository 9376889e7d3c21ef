/**
 * Conditions of writes (If-Match, If-None-Match), judged on the very version that a write would replace: in a
 * serialised bucket no other write comes between (6.4).
 */
import type { SignedManifest } from '../../protocol/manifest.ts';
import type { Bucket } from '../buckets/bucket-registry.ts';
import type { ConditionFailed, NoSuchKey, WriteCondition } from '../s3/object-store.ts';

export type ConditionRefusal = ConditionFailed | NoSuchKey;

/** One write's condition; `refusal` says how it failed when it was last judged. */
export class Conditions {
  readonly #condition: WriteCondition;
  readonly #bucket: Bucket;
  refusal: ConditionRefusal = { outcome: 'condition-failed' };

  private constructor(condition: WriteCondition, bucket: Bucket) {
    this.#condition = condition;
    this.#bucket = bucket;
  }

  /** Null: there is no condition. A refusal: the bucket cannot decide one. */
  static of(condition: WriteCondition | undefined, bucket: Bucket): Conditions | ConditionFailed | null {
    if (condition === undefined) return null;
    if (bucket.record.mode === 'PLAIN') return { outcome: 'condition-unsupported' };
    return new Conditions(condition, bucket);
  }

  /** What does not open with the bucket's keys has no tag that anyone could know. */
  readonly allows = (replaced: SignedManifest | null): boolean => {
    const { ifMatch, ifNoneMatch } = this.#condition;
    const opened = replaced === null ? null : this.#bucket.keys.openVersion(replaced.manifest);
    const isThere = replaced !== null && replaced.manifest.kind !== 'TOMBSTONE';
    const etag = isThere && opened?.meta.t === 'object' ? opened.meta.etag : undefined;
    this.refusal = !isThere && ifMatch !== undefined ? { outcome: 'no-such-key' } : { outcome: 'condition-failed' };
    const matches = ifMatch === undefined || (isThere && (ifMatch === '*' || ifMatch === etag));
    const differs = ifNoneMatch === undefined || !isThere || (ifNoneMatch !== '*' && ifNoneMatch !== etag);
    return matches && differs;
  };
}
