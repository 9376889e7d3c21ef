/** x-amz-expiration: when the newest version of an object will expire, on answers that describe it. */
import type { HeaderField } from '../../../base/http.ts';
import { httpTime } from '../call.ts';
import { bytesOfText } from '../http/headers.ts';
import type { BucketState } from '../port/buckets.ts';
import { uriEncode } from '../http/uri.ts';
import { decodeLifecycle } from './document.ts';
import { expirationOf, LIFECYCLE_TIME } from './evaluate.ts';
import type { LifecycleTime } from './evaluate.ts';
import type { FilterSubject } from './rules.ts';

export function expirationHeaders(
  { documents }: Pick<BucketState, 'documents'>,
  object: FilterSubject & { readonly lastModifiedMs: number },
  time: LifecycleTime = LIFECYCLE_TIME,
): readonly HeaderField[] {
  const rules = documents.lifecycle === undefined ? undefined : decodeLifecycle(documents.lifecycle);
  const expiration = rules === undefined ? undefined : expirationOf(rules, object, time);
  if (expiration === undefined) return [];
  const ruleId = uriEncode(bytesOfText(expiration.ruleId), false);
  return [['x-amz-expiration', `expiry-date="${httpTime(expiration.atMs)}", rule-id="${ruleId}"`]];
}
