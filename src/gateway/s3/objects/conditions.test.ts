import { describe, expect, test } from 'vitest';
import { evaluateConditions, parseRange, rangeApplies, resolveRange } from './conditions.ts';
import { S3Error } from '../http/errors.ts';
import { Headers } from '../http/headers.ts';
import type { ObjectInfo } from '../port/objects.ts';

const MODIFIED = Date.UTC(2026, 0, 2, 3, 4, 5, 678);
const info: ObjectInfo = {
  size: 10,
  etag: 'abc',
  lastModifiedMs: MODIFIED,
  checksum: undefined,
  metadata: {
    contentType: undefined,
    cacheControl: undefined,
    contentDisposition: undefined,
    contentEncoding: undefined,
    contentLanguage: undefined,
    expires: undefined,
    websiteRedirect: undefined,
    sse: undefined,
    user: [],
  },
  owner: '',
  attributes: { tags: [], accessControl: undefined, retention: undefined, legalHold: false },
  versionId: undefined,
  partCount: 0,
  customerKeyMd5: undefined,
};
const AT = 'Fri, 02 Jan 2026 03:04:05 GMT';
const BEFORE = 'Fri, 02 Jan 2026 03:04:04 GMT';

function outcome(headers: Record<string, string>): string {
  try {
    return evaluateConditions(new Headers(Object.entries(headers)), info);
  } catch (error) {
    if (error instanceof S3Error) return error.code;
    throw error;
  }
}

describe('conditions of reads', () => {
  test.each<[Record<string, string>, string]>([
    [{}, 'proceed'],
    [{ 'If-Match': '"abc"' }, 'proceed'],
    [{ 'If-Match': 'abc' }, 'proceed'],
    [{ 'If-Match': '"x", "abc"' }, 'proceed'],
    [{ 'If-Match': '*' }, 'proceed'],
    [{ 'If-Match': '"x"' }, 'PreconditionFailed'],
    [{ 'If-Match': 'W/"abc"' }, 'PreconditionFailed'],
    [{ 'If-None-Match': '"abc"' }, 'not-modified'],
    [{ 'If-None-Match': '*' }, 'not-modified'],
    [{ 'If-None-Match': '"x"' }, 'proceed'],
    [{ 'If-Modified-Since': AT }, 'not-modified'],
    [{ 'If-Modified-Since': BEFORE }, 'proceed'],
    [{ 'If-Modified-Since': 'nonsense' }, 'proceed'],
    [{ 'If-Unmodified-Since': AT }, 'proceed'],
    [{ 'If-Unmodified-Since': BEFORE }, 'PreconditionFailed'],
    [{ 'If-Match': '"abc"', 'If-Unmodified-Since': BEFORE }, 'proceed'],
    [{ 'If-None-Match': '"x"', 'If-Modified-Since': AT }, 'proceed'],
    [{ 'If-Match': '"x"', 'If-None-Match': '"abc"' }, 'PreconditionFailed'],
  ])('%j: %s', (headers, expected) => {
    expect(outcome(headers)).toBe(expected);
  });
});

describe('ranges', () => {
  const span = (header: string, size: number): string => {
    const range = parseRange(header);
    if (range === undefined) return 'ignored';
    try {
      const { from, to } = resolveRange(range, size);
      return `${String(from)}..${String(to)}`;
    } catch (error) {
      if (error instanceof S3Error) return error.code;
      throw error;
    }
  };

  test.each([
    ['bytes=0-0', 10, '0..1'],
    ['bytes=0-9', 10, '0..10'],
    ['bytes=0-999', 10, '0..10'],
    ['bytes=9-', 10, '9..10'],
    ['bytes=10-', 10, 'InvalidRange'],
    ['bytes=-1', 10, '9..10'],
    ['bytes=-10', 10, '0..10'],
    ['bytes=-11', 10, '0..10'],
    ['bytes=-0', 10, 'InvalidRange'],
    ['bytes=0-', 0, 'InvalidRange'],
    ['bytes=-1', 0, 'InvalidRange'],
    ['bytes=5-4', 10, 'ignored'],
    ['bytes=-', 10, 'ignored'],
    ['bytes=a-b', 10, 'ignored'],
    ['items=0-1', 10, 'ignored'],
    ['bytes=9999999999999999-', 10, 'InvalidRange'],
    ['bytes=99999999999999999-', 10, 'ignored'],
  ])('%s of %d bytes: %s', (header, size, expected) => {
    expect(span(header, size)).toBe(expected);
  });

  test('apply only while If-Range names this version', () => {
    const applies = (value: string): boolean => rangeApplies(new Headers([['If-Range', value]]), info);
    expect([applies('"abc"'), applies('"x"'), applies(AT), applies(BEFORE)]).toEqual([
      true,
      false,
      true,
      false,
    ]);
  });
});
