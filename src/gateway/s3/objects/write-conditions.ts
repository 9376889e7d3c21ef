/**
 * Conditions of writes: If-Match and If-None-Match of an object's entity tag, and for deletes its time and
 * size. They are only read here; the store decides them together with the write.
 */
import { S3Error } from '../http/errors.ts';
import type { Headers } from '../http/headers.ts';
import { timestampMs } from '../http/timestamp.ts';
import type { WriteCondition } from '../port/objects.ts';

/** What a write may carry; deletes know the last two. */
export const WRITE_CONDITION_HEADERS = ['if-match', 'if-none-match'] as const;
export const DELETE_CONDITION_HEADERS = [
  'if-match',
  'x-amz-if-match-last-modified-time',
  'x-amz-if-match-size',
] as const;

/** One entity tag, without its quotes. S3 knows neither lists nor weak tags here. Throws InvalidArgument. */
export function entityTag(text: string): string {
  const tag = /^(?:"([^",]+)"|([^",]+))$/.exec(text.trim());
  const bare = tag?.[1] ?? tag?.[2];
  if (bare === undefined || bare.startsWith('W/'))
    throw new S3Error('InvalidArgument', 'A condition of a write names one strong entity tag.');
  return bare;
}

/** A number of bytes. Throws `refuse()`. */
export function byteCount(text: string, refuse: () => S3Error): number {
  const count = Number(text);
  if (!/^\d{1,16}$/.test(text) || !Number.isSafeInteger(count)) throw refuse();
  return count;
}

/** Of PutObject and CompleteMultipartUpload. Throws S3Error NotImplemented for both at once, InvalidArgument. */
export function writeConditionOf(headers: Headers): WriteCondition | undefined {
  const ifMatch = headers.get('if-match');
  const ifNoneMatch = headers.get('if-none-match');
  if (ifMatch !== undefined && ifNoneMatch !== undefined)
    throw new S3Error('NotImplemented', 'A write carries If-Match or If-None-Match, not both.');
  if (ifMatch !== undefined) return { ifMatch: entityTag(ifMatch) };
  return ifNoneMatch === undefined ? undefined : { ifNoneMatch: entityTag(ifNoneMatch) };
}

/** Of DeleteObject. Throws S3Error InvalidArgument. */
export function deleteConditionOf(headers: Headers): WriteCondition | undefined {
  const invalid = (name: string) => (): S3Error => new S3Error('InvalidArgument', `${name} is not valid.`);
  const tag = headers.get('if-match');
  const time = headers.get('x-amz-if-match-last-modified-time');
  const size = headers.get('x-amz-if-match-size');
  return conditionOf({
    ...(tag === undefined ? {} : { ifMatch: entityTag(tag) }),
    ...(time === undefined
      ? {}
      : { ifLastModifiedMs: timestampMs(time, invalid('x-amz-if-match-last-modified-time')) }),
    ...(size === undefined ? {} : { ifSize: byteCount(size, invalid('x-amz-if-match-size')) }),
  });
}

/** Undefined when nothing is asked. */
export function conditionOf(condition: WriteCondition): WriteCondition | undefined {
  return Object.keys(condition).length === 0 ? undefined : condition;
}
