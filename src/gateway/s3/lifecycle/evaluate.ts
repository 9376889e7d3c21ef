/**
 * What lifecycle rules say about one version, one delete marker or one unfinished upload at a moment: a pure
 * function, from which the executor and the x-amz-expiration header both follow. When rules disagree, the
 * earliest that is due decides; nothing here knows of locks, which the store keeps.
 */
import { covers, coversKey, coversMarker } from './rules.ts';
import type { FilterSubject, LifecycleRule } from './rules.ts';

/** How long a day is, and to what the end of one is rounded up. Both are a day; tests make them short. */
export interface LifecycleTime {
  readonly dayMs: number;
  readonly roundMs: number;
}

const DAY_MS = 24 * 3600 * 1000;
/** S3's: what is `days` old expires at the next midnight UTC. */
export const LIFECYCLE_TIME: LifecycleTime = { dayMs: DAY_MS, roundMs: DAY_MS };

export function dueAfter(startMs: number, days: number, { dayMs, roundMs }: LifecycleTime): number {
  return Math.ceil((startMs + days * dayMs) / roundMs) * roundMs;
}

/** One version in its place among the versions of its key. */
export interface VersionFacts extends FilterSubject {
  readonly isDeleteMarker: boolean;
  readonly lastModifiedMs: number;
  /** Undefined: it is the newest of its key. Otherwise when the one above it was written. */
  readonly supersededMs: number | undefined;
  /** Noncurrent versions above it that hold content. */
  readonly newerNoncurrent: number;
  /** Is there no other version of this key? */
  readonly isOnly: boolean;
}

export type Verdict =
  | { readonly action: 'keep' }
  /** The newest version goes: for good, or under a delete marker where the bucket keeps versions. */
  | { readonly action: 'expire'; readonly ruleId: string }
  /** This very version or marker goes for good. */
  | { readonly action: 'remove'; readonly ruleId: string };

const KEEP: Verdict = { action: 'keep' };

/** When the newest version expires, and by which rule; undefined: never. */
export function expirationOf(
  rules: readonly LifecycleRule[],
  subject: FilterSubject & { readonly lastModifiedMs: number },
  time: LifecycleTime,
): { readonly atMs: number; readonly ruleId: string } | undefined {
  let earliest: { readonly atMs: number; readonly ruleId: string } | undefined;
  for (const { isEnabled, id, filter, expiration } of rules) {
    if (!isEnabled || expiration === undefined || expiration.kind === 'lone-markers') continue;
    if (!covers(filter, subject)) continue;
    const atMs = expiration.kind === 'date' ? expiration.atMs : dueAfter(subject.lastModifiedMs, expiration.days, time);
    if (earliest === undefined || atMs < earliest.atMs) earliest = { atMs, ruleId: id };
  }
  return earliest;
}

function judgeLoneMarker(rules: readonly LifecycleRule[], version: VersionFacts, nowMs: number, time: LifecycleTime): Verdict {
  for (const { isEnabled, id, filter, expiration } of rules) {
    if (!isEnabled || expiration === undefined || !coversMarker(filter, version.key)) continue;
    const isDue =
      expiration.kind === 'lone-markers' ||
      (expiration.kind === 'days' && dueAfter(version.lastModifiedMs, expiration.days, time) <= nowMs) ||
      (expiration.kind === 'date' && expiration.atMs <= nowMs);
    if (isDue) return { action: 'remove', ruleId: id };
  }
  return KEEP;
}

function judgeNoncurrent(
  rules: readonly LifecycleRule[],
  version: VersionFacts,
  supersededMs: number,
  nowMs: number,
  time: LifecycleTime,
): Verdict {
  for (const { isEnabled, id, filter, noncurrent } of rules) {
    if (!isEnabled || noncurrent === undefined) continue;
    const isCovered = version.isDeleteMarker ? coversMarker(filter, version.key) : covers(filter, version);
    if (!isCovered || version.newerNoncurrent < (noncurrent.newerKept ?? 0)) continue;
    if (dueAfter(supersededMs, noncurrent.days, time) <= nowMs) return { action: 'remove', ruleId: id };
  }
  return KEEP;
}

export function judgeVersion(
  rules: readonly LifecycleRule[],
  version: VersionFacts,
  nowMs: number,
  time: LifecycleTime,
): Verdict {
  if (version.supersededMs !== undefined) return judgeNoncurrent(rules, version, version.supersededMs, nowMs, time);
  if (version.isDeleteMarker) return version.isOnly ? judgeLoneMarker(rules, version, nowMs, time) : KEEP;
  const expiration = expirationOf(rules, version, time);
  return expiration !== undefined && expiration.atMs <= nowMs ? { action: 'expire', ruleId: expiration.ruleId } : KEEP;
}

export function isUploadDue(
  rules: readonly LifecycleRule[],
  { key, createdMs }: { readonly key: string; readonly createdMs: number },
  nowMs: number,
  time: LifecycleTime,
): boolean {
  return rules.some(
    ({ isEnabled, filter, abortUploadsAfterDays: days }) =>
      isEnabled && days !== undefined && coversKey(filter, key) && dueAfter(createdMs, days, time) <= nowMs,
  );
}

/** Could any tag change the verdict about this version? Then its tags must be read first. */
export function needsTags(rules: readonly LifecycleRule[], key: string): boolean {
  return rules.some(({ isEnabled, filter }) => isEnabled && filter.tags.length > 0 && coversKey(filter, key));
}
