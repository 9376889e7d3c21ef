/**
 * Every operation of the S3 API, built or not: how a request is recognised and which parameters and headers
 * it may carry. What a row does not name answers 501, so that nothing which changes a meaning is ever
 * ignored. docs/s3.md is held equal to this table, and a test holds it complete against the public SDK.
 *
 * A term is `name` (any value) or `name=a|b` (one of these values).
 */

import { actionsShown } from './access/actions.ts';
import { COPY_SOURCE_HEADERS } from './objects/copy-source.ts';
import { CUSTOMER_KEY_HEADERS, SEALING_HEADERS, SOURCE_KEY_HEADERS } from './objects/sealing.ts';

import { ATTRIBUTE_HEADERS } from './objects/attributes.ts';
import { DELETE_CONDITION_HEADERS, WRITE_CONDITION_HEADERS } from './objects/write-conditions.ts';

export type Method = 'GET' | 'HEAD' | 'PUT' | 'POST' | 'DELETE';
export type Level = 'service' | 'bucket' | 'object';

export interface OperationRow {
  readonly name: string;
  readonly method: Method;
  readonly level: Level;
  /** Query terms (`header:name` for a header) that select this row; the row with most of them wins. */
  readonly when: readonly string[];
  readonly built: boolean;
  /** Further query terms understood. */
  readonly query: readonly string[];
  /** Headers understood beyond UNIVERSAL_HEADERS; a trailing `*` stands for any ending. */
  readonly headers: readonly string[];
  /** May a body follow? */
  readonly body: boolean;
}

/** Query parameters that name the operation for logs and change nothing. */
export const UNIVERSAL_QUERY: readonly string[] = ['x-id'];

/**
 * Headers that any request may carry: read by authentication, checked in front.ts, or without effect on
 * results.
 */
export const UNIVERSAL_HEADERS: readonly string[] = [
  'x-amz-content-sha256',
  'x-amz-date',
  'x-amz-expected-bucket-owner',
  'x-amz-request-payer=requester',
  'x-amz-user-agent',
];

/** Headers of every request with a body: how it is framed and checked. */
export const BODY_HEADERS: readonly string[] = [
  'x-amz-checksum-crc32',
  'x-amz-checksum-crc32c',
  'x-amz-checksum-crc64nvme',
  'x-amz-checksum-sha1',
  'x-amz-checksum-sha256',
  'x-amz-decoded-content-length',
  'x-amz-sdk-checksum-algorithm',
  'x-amz-trailer',
];

/** Headers outside the x-amz- family that change what a request means. */
export const MEANINGFUL_HEADERS: readonly string[] = [
  'content-range',
  'if-match',
  'if-modified-since',
  'if-none-match',
  'if-range',
  'if-unmodified-since',
  'range',
];

const READ_CONDITIONS = ['if-match', 'if-modified-since', 'if-none-match', 'if-unmodified-since'];

const READ_OBJECT = {
  query: [
    'partNumber',
    'versionId',
    'response-cache-control',
    'response-content-disposition',
    'response-content-encoding',
    'response-content-language',
    'response-content-type',
    'response-expires',
  ],
  headers: [...READ_CONDITIONS, 'if-range', 'range', 'x-amz-checksum-mode=ENABLED', ...SEALING_HEADERS],
  body: false,
} as const;

/** Any value: access/acl-request.ts says what an ACL may be. */
const ACL_HEADERS = [
  'x-amz-acl',
  'x-amz-grant-full-control',
  'x-amz-grant-read',
  'x-amz-grant-read-acp',
  'x-amz-grant-write',
  'x-amz-grant-write-acp',
];

const WRITE_OBJECT_HEADERS = [
  ...ACL_HEADERS,
  'x-amz-meta-*',
  ...ATTRIBUTE_HEADERS,
  'x-amz-storage-class=STANDARD',
  ...SEALING_HEADERS,
];

const PLAIN = { query: [], headers: [], body: false } as const;

const DOCUMENT = { query: [], headers: [], body: true } as const;

const OF_VERSION = { query: ['versionId'], headers: [], body: false } as const;

const BYPASS_HEADER = 'x-amz-bypass-governance-retention';

const BUILT = [
  {
    name: 'ListBuckets',
    method: 'GET',
    level: 'service',
    when: [],
    ...PLAIN,
    query: ['bucket-region', 'continuation-token', 'max-buckets', 'prefix'],
  },
  {
    name: 'CreateBucket',
    method: 'PUT',
    level: 'bucket',
    when: [],
    query: [],
    headers: [
      ...ACL_HEADERS,
      'x-amz-bucket-object-lock-enabled=true|false',
      'x-amz-object-ownership',
      'x-holdfast-bucket-mode=plain',
    ],
    body: true,
  },
  { name: 'DeleteBucket', method: 'DELETE', level: 'bucket', when: [], ...PLAIN },
  { name: 'HeadBucket', method: 'HEAD', level: 'bucket', when: [], ...PLAIN, query: ['read-stats=true'] },
  { name: 'GetBucketLocation', method: 'GET', level: 'bucket', when: ['location'], ...PLAIN },
  { name: 'GetBucketVersioning', method: 'GET', level: 'bucket', when: ['versioning'], ...PLAIN },
  { name: 'PutBucketVersioning', method: 'PUT', level: 'bucket', when: ['versioning'], ...DOCUMENT },
  {
    name: 'ListObjectVersions',
    method: 'GET',
    level: 'bucket',
    when: ['versions'],
    query: ['delimiter', 'encoding-type', 'key-marker', 'max-keys', 'prefix', 'version-id-marker'],
    headers: [],
    body: false,
  },
  { name: 'GetObjectLockConfiguration', method: 'GET', level: 'bucket', when: ['object-lock'], ...PLAIN },
  { name: 'PutObjectLockConfiguration', method: 'PUT', level: 'bucket', when: ['object-lock'], ...DOCUMENT },
  { name: 'GetObjectRetention', method: 'GET', level: 'object', when: ['retention'], ...OF_VERSION },
  {
    name: 'PutObjectRetention',
    method: 'PUT',
    level: 'object',
    when: ['retention'],
    query: ['versionId'],
    headers: [BYPASS_HEADER],
    body: true,
  },
  { name: 'GetObjectLegalHold', method: 'GET', level: 'object', when: ['legal-hold'], ...OF_VERSION },
  { name: 'PutObjectLegalHold', method: 'PUT', level: 'object', when: ['legal-hold'], ...OF_VERSION, body: true },
  { name: 'GetObjectTagging', method: 'GET', level: 'object', when: ['tagging'], ...OF_VERSION },
  { name: 'PutObjectTagging', method: 'PUT', level: 'object', when: ['tagging'], ...OF_VERSION, body: true },
  { name: 'DeleteObjectTagging', method: 'DELETE', level: 'object', when: ['tagging'], ...OF_VERSION },
  {
    name: 'ListObjects',
    method: 'GET',
    level: 'bucket',
    when: [],
    query: ['delimiter', 'encoding-type', 'marker', 'max-keys', 'prefix'],
    headers: [],
    body: false,
  },
  {
    name: 'ListObjectsV2',
    method: 'GET',
    level: 'bucket',
    when: ['list-type=2'],
    query: [
      'continuation-token',
      'delimiter',
      'encoding-type',
      'fetch-owner',
      'max-keys',
      'prefix',
      'start-after',
    ],
    headers: [],
    body: false,
  },
  {
    name: 'DeleteObjects',
    method: 'POST',
    level: 'bucket',
    when: ['delete'],
    query: [],
    headers: [BYPASS_HEADER],
    body: true,
  },
  {
    name: 'PutObject',
    method: 'PUT',
    level: 'object',
    when: [],
    query: [],
    headers: [...WRITE_OBJECT_HEADERS, ...WRITE_CONDITION_HEADERS],
    body: true,
  },
  { name: 'GetObject', method: 'GET', level: 'object', when: [], ...READ_OBJECT },
  { name: 'HeadObject', method: 'HEAD', level: 'object', when: [], ...READ_OBJECT },
  {
    name: 'DeleteObject',
    method: 'DELETE',
    level: 'object',
    when: [],
    query: ['versionId'],
    headers: [...DELETE_CONDITION_HEADERS, BYPASS_HEADER],
    body: false,
  },
  {
    name: 'CreateMultipartUpload',
    method: 'POST',
    level: 'object',
    when: ['uploads'],
    query: [],
    headers: [...WRITE_OBJECT_HEADERS, 'x-amz-checksum-algorithm', 'x-amz-checksum-type'],
    body: false,
  },
  {
    name: 'UploadPart',
    method: 'PUT',
    level: 'object',
    when: ['partNumber', 'uploadId'],
    query: [],
    headers: [...CUSTOMER_KEY_HEADERS],
    body: true,
  },
  {
    name: 'CompleteMultipartUpload',
    method: 'POST',
    level: 'object',
    when: ['uploadId'],
    query: [],
    headers: ['x-amz-checksum-type', 'x-amz-mp-object-size', ...WRITE_CONDITION_HEADERS, ...CUSTOMER_KEY_HEADERS],
    body: true,
  },
  {
    name: 'CopyObject',
    method: 'PUT',
    level: 'object',
    when: ['header:x-amz-copy-source'],
    query: [],
    headers: [
      ...WRITE_OBJECT_HEADERS,
      ...COPY_SOURCE_HEADERS,
      ...SOURCE_KEY_HEADERS,
      'x-amz-checksum-algorithm',
      'x-amz-metadata-directive',
      'x-amz-tagging-directive',
      ...WRITE_CONDITION_HEADERS,
    ],
    body: false,
  },
  {
    name: 'UploadPartCopy',
    method: 'PUT',
    level: 'object',
    when: ['partNumber', 'uploadId', 'header:x-amz-copy-source'],
    query: [],
    headers: [...COPY_SOURCE_HEADERS, ...CUSTOMER_KEY_HEADERS, ...SOURCE_KEY_HEADERS, 'x-amz-copy-source-range'],
    body: false,
  },
  {
    name: 'ListMultipartUploads',
    method: 'GET',
    level: 'bucket',
    when: ['uploads'],
    query: ['delimiter', 'encoding-type', 'key-marker', 'max-uploads', 'prefix', 'upload-id-marker'],
    headers: [],
    body: false,
  },
  {
    name: 'GetObjectAttributes',
    method: 'GET',
    level: 'object',
    when: ['attributes'],
    query: ['versionId'],
    headers: ['x-amz-max-parts', 'x-amz-object-attributes', 'x-amz-part-number-marker', ...CUSTOMER_KEY_HEADERS],
    body: false,
  },
  { name: 'AbortMultipartUpload', method: 'DELETE', level: 'object', when: ['uploadId'], ...PLAIN },
  {
    name: 'ListParts',
    method: 'GET',
    level: 'object',
    when: ['uploadId'],
    query: ['max-parts', 'part-number-marker'],
    headers: [],
    body: false,
  },
  { name: 'GetBucketAcl', method: 'GET', level: 'bucket', when: ['acl'], ...PLAIN },
  { name: 'PutBucketAcl', method: 'PUT', level: 'bucket', when: ['acl'], query: [], headers: ACL_HEADERS, body: true },
  { name: 'GetObjectAcl', method: 'GET', level: 'object', when: ['acl'], ...PLAIN, query: ['versionId'] },
  {
    name: 'PutObjectAcl',
    method: 'PUT',
    level: 'object',
    when: ['acl'],
    query: ['versionId'],
    headers: ACL_HEADERS,
    body: true,
  },
  { name: 'GetBucketPolicy', method: 'GET', level: 'bucket', when: ['policy'], ...PLAIN },
  {
    name: 'PutBucketPolicy',
    method: 'PUT',
    level: 'bucket',
    when: ['policy'],
    query: [],
    headers: ['x-amz-confirm-remove-self-bucket-access=true|false'],
    body: true,
  },
  { name: 'DeleteBucketPolicy', method: 'DELETE', level: 'bucket', when: ['policy'], ...PLAIN },
  { name: 'GetBucketPolicyStatus', method: 'GET', level: 'bucket', when: ['policyStatus'], ...PLAIN },
  { name: 'GetPublicAccessBlock', method: 'GET', level: 'bucket', when: ['publicAccessBlock'], ...PLAIN },
  { name: 'PutPublicAccessBlock', method: 'PUT', level: 'bucket', when: ['publicAccessBlock'], ...PLAIN, body: true },
  { name: 'DeletePublicAccessBlock', method: 'DELETE', level: 'bucket', when: ['publicAccessBlock'], ...PLAIN },
  { name: 'GetBucketOwnershipControls', method: 'GET', level: 'bucket', when: ['ownershipControls'], ...PLAIN },
  { name: 'PutBucketOwnershipControls', method: 'PUT', level: 'bucket', when: ['ownershipControls'], ...PLAIN, body: true },
  { name: 'DeleteBucketOwnershipControls', method: 'DELETE', level: 'bucket', when: ['ownershipControls'], ...PLAIN },
  { name: 'PostObject', method: 'POST', level: 'bucket', when: [], query: [], headers: [], body: true },
  { name: 'PutBucketCors', method: 'PUT', level: 'bucket', when: ['cors'], query: [], headers: [], body: true },
  { name: 'GetBucketCors', method: 'GET', level: 'bucket', when: ['cors'], ...PLAIN },
  { name: 'DeleteBucketCors', method: 'DELETE', level: 'bucket', when: ['cors'], ...PLAIN },
  { name: 'PutBucketLifecycleConfiguration', method: 'PUT', level: 'bucket', when: ['lifecycle'], query: [], headers: ['x-amz-transition-default-minimum-object-size=all_storage_classes_128K'], body: true },
  { name: 'GetBucketLifecycleConfiguration', method: 'GET', level: 'bucket', when: ['lifecycle'], ...PLAIN },
  { name: 'DeleteBucketLifecycle', method: 'DELETE', level: 'bucket', when: ['lifecycle'], ...PLAIN },
  { name: 'PutBucketTagging', method: 'PUT', level: 'bucket', when: ['tagging'], query: [], headers: [], body: true },
  { name: 'GetBucketTagging', method: 'GET', level: 'bucket', when: ['tagging'], ...PLAIN },
  { name: 'DeleteBucketTagging', method: 'DELETE', level: 'bucket', when: ['tagging'], ...PLAIN },
  { name: 'PutBucketEncryption', method: 'PUT', level: 'bucket', when: ['encryption'], query: [], headers: [], body: true },
  { name: 'GetBucketEncryption', method: 'GET', level: 'bucket', when: ['encryption'], ...PLAIN },
  { name: 'DeleteBucketEncryption', method: 'DELETE', level: 'bucket', when: ['encryption'], ...PLAIN },
  { name: 'PutBucketRequestPayment', method: 'PUT', level: 'bucket', when: ['requestPayment'], query: [], headers: [], body: true },
  { name: 'GetBucketRequestPayment', method: 'GET', level: 'bucket', when: ['requestPayment'], ...PLAIN },
  { name: 'PutBucketNotificationConfiguration', method: 'PUT', level: 'bucket', when: ['notification'], query: [], headers: ['x-amz-skip-destination-validation=true|false'], body: true },
  { name: 'GetBucketNotificationConfiguration', method: 'GET', level: 'bucket', when: ['notification'], ...PLAIN },
  { name: 'GetBucketWebsite', method: 'GET', level: 'bucket', when: ['website'], ...PLAIN },
  { name: 'DeleteBucketWebsite', method: 'DELETE', level: 'bucket', when: ['website'], ...PLAIN },
  { name: 'GetBucketReplication', method: 'GET', level: 'bucket', when: ['replication'], ...PLAIN },
  { name: 'DeleteBucketReplication', method: 'DELETE', level: 'bucket', when: ['replication'], ...PLAIN },
  { name: 'GetBucketLogging', method: 'GET', level: 'bucket', when: ['logging'], ...PLAIN },
  { name: 'GetBucketAccelerateConfiguration', method: 'GET', level: 'bucket', when: ['accelerate'], ...PLAIN },
] as const satisfies readonly Omit<OperationRow, 'built'>[];

export type BuiltOperation = (typeof BUILT)[number]['name'];

/**
 * Operations not built, as `method level name ?term&term`. They are recognised so that the 501 names them.
 */
const LATER = `
GET service ListDirectoryBuckets ?x-id=ListDirectoryBuckets
POST bucket WriteGetObjectResponse ?x-id=WriteGetObjectResponse
GET bucket CreateSession ?session
GET bucket GetBucketAbac ?abac
PUT bucket PutBucketAbac ?abac
PUT bucket PutBucketAccelerateConfiguration ?accelerate
GET bucket GetBucketAnalyticsConfiguration ?analytics&id
GET bucket ListBucketAnalyticsConfigurations ?analytics
PUT bucket PutBucketAnalyticsConfiguration ?analytics
DELETE bucket DeleteBucketAnalyticsConfiguration ?analytics
GET bucket GetBucketIntelligentTieringConfiguration ?intelligent-tiering&id
GET bucket ListBucketIntelligentTieringConfigurations ?intelligent-tiering
PUT bucket PutBucketIntelligentTieringConfiguration ?intelligent-tiering
DELETE bucket DeleteBucketIntelligentTieringConfiguration ?intelligent-tiering
GET bucket GetBucketInventoryConfiguration ?inventory&id
GET bucket ListBucketInventoryConfigurations ?inventory
PUT bucket PutBucketInventoryConfiguration ?inventory
DELETE bucket DeleteBucketInventoryConfiguration ?inventory
PUT bucket PutBucketLogging ?logging
POST bucket CreateBucketMetadataConfiguration ?metadataConfiguration
GET bucket GetBucketMetadataConfiguration ?metadataConfiguration
DELETE bucket DeleteBucketMetadataConfiguration ?metadataConfiguration
POST bucket CreateBucketMetadataTableConfiguration ?metadataTable
GET bucket GetBucketMetadataTableConfiguration ?metadataTable
DELETE bucket DeleteBucketMetadataTableConfiguration ?metadataTable
PUT bucket UpdateBucketMetadataAnnotationTableConfiguration ?metadataAnnotationTable
PUT bucket UpdateBucketMetadataInventoryTableConfiguration ?metadataInventoryTable
PUT bucket UpdateBucketMetadataJournalTableConfiguration ?metadataJournalTable
GET bucket GetBucketMetricsConfiguration ?metrics&id
GET bucket ListBucketMetricsConfigurations ?metrics
PUT bucket PutBucketMetricsConfiguration ?metrics
DELETE bucket DeleteBucketMetricsConfiguration ?metrics
PUT bucket PutBucketReplication ?replication
PUT bucket PutBucketWebsite ?website
GET object ListObjectAnnotations ?annotation
GET object GetObjectAnnotation ?annotation&x-id=GetObjectAnnotation
PUT object PutObjectAnnotation ?annotation
DELETE object DeleteObjectAnnotation ?annotation
PUT object UpdateObjectEncryption ?encryption
PUT object RenameObject ?renameObject
POST object RestoreObject ?restore
POST object SelectObjectContent ?select
GET object GetObjectTorrent ?torrent
`;

function laterRow(line: string): OperationRow {
  const [method = '', level = '', name = '', terms = ''] = line.split(' ');
  const when = terms === '' ? [] : terms.slice(1).split('&');
  return {
    name,
    method: method as Method,
    level: level as Level,
    when,
    built: false,
    query: [],
    headers: [],
    body: true,
  };
}

export const OPERATIONS: readonly OperationRow[] = [
  ...BUILT.map((row) => ({ ...row, built: true })),
  ...LATER.trim().split('\n').map(laterRow),
];

/** Actions that the operation needs (access/actions.ts); of a named version where they differ. */
function rightsOf(name: string): readonly string[] {
  return actionsShown(name).map((action) => action.replace(/^s3:/, ''));
}

const LEVEL_PATH: Readonly<Record<Level, string>> = {
  service: '/',
  bucket: '/bucket',
  object: '/bucket/key',
};

/** The table as Markdown, for docs/s3.md. */
export function operationsMarkdown(): string {
  const code = (terms: readonly string[]): string =>
    terms.map((term) => `\`${term.replaceAll('|', '\\|')}\``).join(' ');
  const request = (row: OperationRow): string =>
    `\`${row.method} ${LEVEL_PATH[row.level]}\` ${code(row.when)}`.trimEnd();
  const lines = ['| operation | request | query parameters | headers | right |', '|---|---|---|---|---|'];
  for (const row of OPERATIONS) {
    if (!row.built) continue;
    const shown = [row.name, request(row), code(row.query), code(row.headers), code(rightsOf(row.name))];
    lines.push(`| ${shown.join(' | ')} |`);
  }
  lines.push('', 'Recognised and answered 501 `NotImplemented`:', '', '| operation | request |', '|---|---|');
  for (const row of OPERATIONS) if (!row.built) lines.push(`| ${row.name} | ${request(row)} |`);
  return `${lines.join('\n')}\n`;
}
