import { readFileSync } from 'node:fs';
import * as sdk from '@aws-sdk/client-s3';
import { expect, test } from 'vitest';
import { S3Error } from './http/errors.ts';
import { Headers } from './http/headers.ts';
import { OPERATIONS, operationsMarkdown } from './operations.ts';
import { route } from './router.ts';
import { parseTarget, Query } from './http/uri.ts';

/** Name, method and path template of every operation of the public SDK. */
const sdkOperations = Object.entries(sdk).flatMap(([name, schema]): [string, string, string][] => {
  const http = Array.isArray(schema)
    ? (schema[3] as { http?: [string, string, number] } | undefined)?.http
    : undefined;
  return name.endsWith('$') && http !== undefined ? [[name.slice(0, -1), http[0], http[1]]] : [];
});

/** Directory buckets list at the service's root; the S3 Object Lambda answer goes to a host of its own. */
const OTHER_LEVEL: Readonly<Record<string, string>> = {
  ListBuckets: '/',
  ListDirectoryBuckets: '/',
  WriteGetObjectResponse: '/bucket',
};
/** What a request of these carries beside its path. */
const EXTRA_QUERY: Readonly<Record<string, string>> = {
  GetBucketAnalyticsConfiguration: 'id=1',
  GetBucketIntelligentTieringConfiguration: 'id=1',
  GetBucketInventoryConfiguration: 'id=1',
  GetBucketMetricsConfiguration: 'id=1',
  AbortMultipartUpload: 'uploadId=1',
  CompleteMultipartUpload: 'uploadId=1',
  ListParts: 'uploadId=1',
  UploadPart: 'partNumber=1&uploadId=1',
  UploadPartCopy: 'partNumber=1&uploadId=1',
  WriteGetObjectResponse: 'x-id=WriteGetObjectResponse',
};

test('the SDK names more than a hundred operations, and every one of them is in the table', () => {
  expect(sdkOperations.length).toBeGreaterThan(100);
  const known = new Set(OPERATIONS.map((row) => row.name));
  expect(sdkOperations.filter(([name]) => !known.has(name))).toEqual([]);
});

test('no name and no way to be selected is given twice', () => {
  const names = OPERATIONS.map((row) => row.name);
  expect(new Set(names).size).toBe(names.length);
  const selectors = OPERATIONS.map((row) => `${row.method} ${row.level} ${[...row.when].sort().join('&')}`);
  expect(new Set(selectors).size).toBe(selectors.length);
});

test.each(sdkOperations)('a request for %s is recognised as that', (name, method, template) => {
  const path = OTHER_LEVEL[name] ?? (template.startsWith('/{Key+}') ? '/bucket/key' : '/bucket');
  const search = [template.split('?')[1], EXTRA_QUERY[name]].filter((part) => part !== undefined).join('&');
  const query = new Query(parseTarget(`${path}?${search}`).query);
  const level = path === '/' ? 'service' : path === '/bucket' ? 'bucket' : 'object';
  const copy = name === 'CopyObject' || name === 'UploadPartCopy';
  const headers = new Headers(copy ? [['x-amz-copy-source', '/a/b']] : []);
  const row = OPERATIONS.find((candidate) => candidate.name === name);
  if (row?.built === true) expect(route(method, level, query, headers).operation).toBe(name);
  else {
    expect(() => route(method, level, query, headers)).toThrow(S3Error);
    expect(() => route(method, level, query, headers)).toThrow(`${name} is not built`);
  }
});

test('docs/s3.md shows the table', () => {
  expect(readFileSync('docs/s3.md', 'utf8')).toContain(operationsMarkdown());
});
