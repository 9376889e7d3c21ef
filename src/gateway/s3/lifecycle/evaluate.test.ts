import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { dueAfter, expirationOf, isUploadDue, judgeVersion, LIFECYCLE_TIME, needsTags } from './evaluate.ts';
import type { VersionFacts } from './evaluate.ts';
import type { LifecycleRule } from './rules.ts';

const DAY = 24 * 3600 * 1000;
const NOW = 100 * DAY + 5000;

const TAGS = [
  ['a', '1'],
  ['b', '2'],
] as const;
const keys = fc.constantFrom('a', 'ab', 'abc', 'b');
const tags = fc.subarray([...TAGS]);
const filter = fc.record({
  form: fc.constant('and' as const),
  prefix: fc.option(fc.constantFrom('', 'a', 'ab'), { nil: undefined }),
  tags,
  sizeGreaterThan: fc.option(fc.integer({ min: 0, max: 5 }), { nil: undefined }),
  sizeLessThan: fc.option(fc.integer({ min: 0, max: 5 }), { nil: undefined }),
});
const days = fc.integer({ min: 1, max: 8 });
const rule: fc.Arbitrary<LifecycleRule> = fc.record({
  id: fc.string(),
  isEnabled: fc.boolean(),
  filter,
  expiration: fc.option(
    fc.oneof(
      fc.record({ kind: fc.constant('days' as const), days }),
      fc.record({ kind: fc.constant('date' as const), atMs: fc.integer({ min: 90, max: 110 }).map((day) => day * DAY) }),
      fc.constant({ kind: 'lone-markers' as const }),
    ),
    { nil: undefined },
  ),
  noncurrent: fc.option(fc.record({ days, newerKept: fc.option(fc.integer({ min: 1, max: 3 }), { nil: undefined }) }), { nil: undefined }),
  abortUploadsAfterDays: fc.option(days, { nil: undefined }),
});
const version: fc.Arbitrary<VersionFacts> = fc
  .record({
    key: keys,
    size: fc.integer({ min: 0, max: 6 }),
    tags,
    isDeleteMarker: fc.boolean(),
    lastModifiedMs: fc.integer({ min: NOW - 12 * DAY, max: NOW }),
    supersededMs: fc.option(fc.integer({ min: NOW - 12 * DAY, max: NOW }), { nil: undefined }),
    newerNoncurrent: fc.integer({ min: 0, max: 4 }),
    isOnly: fc.boolean(),
  })
  .map((facts) => ({ ...facts, isOnly: facts.isOnly && facts.supersededMs === undefined }));
const rules = fc.array(rule, { maxLength: 4 });

/** The same, from the words of S3's documentation, one rule and one sentence at a time. */
function isDueByTheBook(one: LifecycleRule, facts: VersionFacts): boolean {
  const { filter: wanted, expiration, noncurrent } = one;
  const midnightAfter = (ms: number): number => (ms % DAY === 0 ? ms : ms - (ms % DAY) + DAY);
  const isOld = (startMs: number, count: number): boolean => midnightAfter(startMs + count * DAY) <= NOW;
  if (!one.isEnabled || !facts.key.startsWith(wanted.prefix ?? '')) return false;
  if (facts.isDeleteMarker) {
    if (wanted.tags.length + (wanted.sizeGreaterThan === undefined ? 0 : 1) + (wanted.sizeLessThan === undefined ? 0 : 1) > 0) return false;
  } else {
    if (wanted.tags.some(([name]) => !facts.tags.some(([known]) => known === name))) return false;
    if (facts.size <= (wanted.sizeGreaterThan ?? -1) || facts.size >= (wanted.sizeLessThan ?? Infinity)) return false;
  }
  if (facts.supersededMs !== undefined) {
    if (noncurrent === undefined || facts.newerNoncurrent < (noncurrent.newerKept ?? 0)) return false;
    return isOld(facts.supersededMs, noncurrent.days);
  }
  if (facts.isDeleteMarker && !facts.isOnly) return false;
  if (expiration?.kind === 'lone-markers') return facts.isDeleteMarker;
  if (expiration?.kind === 'date') return expiration.atMs <= NOW;
  return expiration?.kind === 'days' && isOld(facts.lastModifiedMs, expiration.days);
}

describe('the verdict about a version', () => {
  test('is what the rules say one by one', () => {
    fc.assert(
      fc.property(rules, version, (all, facts) => {
        const { action } = judgeVersion(all, facts, NOW, LIFECYCLE_TIME);
        expect(action !== 'keep').toBe(all.some((one) => isDueByTheBook(one, facts)));
        // Only the newest version is expired, which a bucket with versions undoes by removing a marker.
        if (action === 'expire') expect(facts.supersededMs === undefined && !facts.isDeleteMarker).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });

  test('once due stays due: time alone saves nothing', () => {
    fc.assert(
      fc.property(rules, version, fc.integer({ min: 0, max: 5 * DAY }), (all, facts, later) => {
        const before = judgeVersion(all, facts, NOW, LIFECYCLE_TIME).action;
        if (before !== 'keep') expect(judgeVersion(all, facts, NOW + later, LIFECYCLE_TIME).action).toBe(before);
      }),
    );
  });

  test('does not hang on tags where none are asked for', () => {
    fc.assert(
      fc.property(rules, version, (all, facts) => {
        if (needsTags(all, facts.key)) return;
        expect(judgeVersion(all, { ...facts, tags: [] }, NOW, LIFECYCLE_TIME)).toEqual(judgeVersion(all, facts, NOW, LIFECYCLE_TIME));
      }),
    );
  });

  test('follows from the time that the header tells', () => {
    fc.assert(
      fc.property(rules, version, (all, facts) => {
        const newest = { ...facts, isDeleteMarker: false, supersededMs: undefined };
        const told = expirationOf(all, newest, LIFECYCLE_TIME);
        const isDue = told !== undefined && told.atMs <= NOW;
        expect(judgeVersion(all, newest, NOW, LIFECYCLE_TIME).action).toBe(isDue ? 'expire' : 'keep');
      }),
    );
  });
});

test('days end at the midnight after', () => {
  expect(dueAfter(Date.UTC(2026, 0, 1, 10, 30), 3, LIFECYCLE_TIME)).toBe(Date.UTC(2026, 0, 5));
  expect(dueAfter(Date.UTC(2026, 0, 1), 3, LIFECYCLE_TIME)).toBe(Date.UTC(2026, 0, 4));
  expect(dueAfter(1500, 2, { dayMs: 10_000, roundMs: 1 })).toBe(21_500);
});

test('an upload is due by its own age, prefix and rule', () => {
  fc.assert(
    fc.property(rules, keys, fc.integer({ min: NOW - 12 * DAY, max: NOW }), (all, key, createdMs) => {
      const isDue = all.some(
        ({ isEnabled, filter: { prefix }, abortUploadsAfterDays: count }) =>
          isEnabled && count !== undefined && key.startsWith(prefix ?? '') && dueAfter(createdMs, count, LIFECYCLE_TIME) <= NOW,
      );
      expect(isUploadDue(all, { key, createdMs }, NOW, LIFECYCLE_TIME)).toBe(isDue);
    }),
  );
});
