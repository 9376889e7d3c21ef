/**
 * Every operation of the S3 API, built or not: how a request is recognised and which parameters and headers
 * it may carry. What a row does not name answers 501, so that nothing which changes a meaning is ever
 * ignored. docs/s3.md is held equal to this table, and a test holds it complete against the public SDK.
 *
 * A term is `name` (any value) or `name=a|b` (one of these values).
 */

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
    'response-cache-control',
    'response-content-disposition',
    'response-content-encoding',
    'response-content-language',
    'response-content-type',
    'response-expires',
  ],
  headers: [...READ_CONDITIONS, 'if-range', 'range', 'x-amz-checksum-mode=ENABLED'],
  body: false,
} as const;

const WRITE_OBJECT_HEADERS = [
  'x-amz-acl=private|bucket-owner-full-control',
  'x-amz-meta-*',
  'x-amz-storage-class=STANDARD',
];

const PLAIN = { query: [], headers: [], body: false } as const;

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
      'x-amz-acl=private',
      'x-amz-bucket-object-lock-enabled=false',
      'x-amz-object-ownership=BucketOwnerEnforced',
      'x-holdfast-bucket-mode=plain',
    ],
    body: true,
  },
  { name: 'DeleteBucket', method: 'DELETE', level: 'bucket', when: [], ...PLAIN },
  { name: 'HeadBucket', method: 'HEAD', level: 'bucket', when: [], ...PLAIN },
  { name: 'GetBucketLocation', method: 'GET', level: 'bucket', when: ['location'], ...PLAIN },
  { name: 'GetBucketVersioning', method: 'GET', level: 'bucket', when: ['versioning'], ...PLAIN },
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
    headers: [],
    body: true,
  },
  {
    name: 'PutObject',
    method: 'PUT',
    level: 'object',
    when: [],
    query: [],
    headers: ['if-match', 'if-none-match', ...WRITE_OBJECT_HEADERS],
    body: true,
  },
  { name: 'GetObject', method: 'GET', level: 'object', when: [], ...READ_OBJECT },
  { name: 'HeadObject', method: 'HEAD', level: 'object', when: [], ...READ_OBJECT },
  { name: 'DeleteObject', method: 'DELETE', level: 'object', when: [], ...PLAIN, headers: ['if-match'] },
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
    headers: [],
    body: true,
  },
  {
    name: 'CompleteMultipartUpload',
    method: 'POST',
    level: 'object',
    when: ['uploadId'],
    query: [],
    headers: ['if-match', 'if-none-match', 'x-amz-checksum-type', 'x-amz-mp-object-size'],
    body: true,
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
] as const satisfies readonly Omit<OperationRow, 'built'>[];

export type BuiltOperation = (typeof BUILT)[number]['name'];

/**
 * Operations not built, as `method level name ?term&term`. They are recognised so that the 501 names them.
 */
const LATER = `
GET service ListDirectoryBuckets ?x-id=ListDirectoryBuckets
POST bucket WriteGetObjectResponse ?x-id=WriteGetObjectResponse
POST bucket PostObject
GET bucket CreateSession ?session
GET bucket GetBucketAbac ?abac
PUT bucket PutBucketAbac ?abac
GET bucket GetBucketAccelerateConfiguration ?accelerate
PUT bucket PutBucketAccelerateConfiguration ?accelerate
GET bucket GetBucketAcl ?acl
PUT bucket PutBucketAcl ?acl
GET bucket GetBucketAnalyticsConfiguration ?analytics&id
GET bucket ListBucketAnalyticsConfigurations ?analytics
PUT bucket PutBucketAnalyticsConfiguration ?analytics
DELETE bucket DeleteBucketAnalyticsConfiguration ?analytics
GET bucket GetBucketCors ?cors
PUT bucket PutBucketCors ?cors
DELETE bucket DeleteBucketCors ?cors
GET bucket GetBucketEncryption ?encryption
PUT bucket PutBucketEncryption ?encryption
DELETE bucket DeleteBucketEncryption ?encryption
GET bucket GetBucketIntelligentTieringConfiguration ?intelligent-tiering&id
GET bucket ListBucketIntelligentTieringConfigurations ?intelligent-tiering
PUT bucket PutBucketIntelligentTieringConfiguration ?intelligent-tiering
DELETE bucket DeleteBucketIntelligentTieringConfiguration ?intelligent-tiering
GET bucket GetBucketInventoryConfiguration ?inventory&id
GET bucket ListBucketInventoryConfigurations ?inventory
PUT bucket PutBucketInventoryConfiguration ?inventory
DELETE bucket DeleteBucketInventoryConfiguration ?inventory
GET bucket GetBucketLifecycleConfiguration ?lifecycle
PUT bucket PutBucketLifecycleConfiguration ?lifecycle
DELETE bucket DeleteBucketLifecycle ?lifecycle
GET bucket GetBucketLogging ?logging
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
GET bucket GetBucketNotificationConfiguration ?notification
PUT bucket PutBucketNotificationConfiguration ?notification
GET bucket GetObjectLockConfiguration ?object-lock
PUT bucket PutObjectLockConfiguration ?object-lock
GET bucket GetBucketOwnershipControls ?ownershipControls
PUT bucket PutBucketOwnershipControls ?ownershipControls
DELETE bucket DeleteBucketOwnershipControls ?ownershipControls
GET bucket GetBucketPolicy ?policy
PUT bucket PutBucketPolicy ?policy
DELETE bucket DeleteBucketPolicy ?policy
GET bucket GetBucketPolicyStatus ?policyStatus
GET bucket GetPublicAccessBlock ?publicAccessBlock
PUT bucket PutPublicAccessBlock ?publicAccessBlock
DELETE bucket DeletePublicAccessBlock ?publicAccessBlock
GET bucket GetBucketReplication ?replication
PUT bucket PutBucketReplication ?replication
DELETE bucket DeleteBucketReplication ?replication
GET bucket GetBucketRequestPayment ?requestPayment
PUT bucket PutBucketRequestPayment ?requestPayment
GET bucket GetBucketTagging ?tagging
PUT bucket PutBucketTagging ?tagging
DELETE bucket DeleteBucketTagging ?tagging
GET bucket ListMultipartUploads ?uploads
PUT bucket PutBucketVersioning ?versioning
GET bucket ListObjectVersions ?versions
GET bucket GetBucketWebsite ?website
PUT bucket PutBucketWebsite ?website
DELETE bucket DeleteBucketWebsite ?website
GET object GetObjectAcl ?acl
PUT object PutObjectAcl ?acl
GET object ListObjectAnnotations ?annotation
GET object GetObjectAnnotation ?annotation&x-id=GetObjectAnnotation
PUT object PutObjectAnnotation ?annotation
DELETE object DeleteObjectAnnotation ?annotation
GET object GetObjectAttributes ?attributes
PUT object UpdateObjectEncryption ?encryption
GET object GetObjectLegalHold ?legal-hold
PUT object PutObjectLegalHold ?legal-hold
PUT object RenameObject ?renameObject
POST object RestoreObject ?restore
GET object GetObjectRetention ?retention
PUT object PutObjectRetention ?retention
POST object SelectObjectContent ?select
GET object GetObjectTagging ?tagging
PUT object PutObjectTagging ?tagging
DELETE object DeleteObjectTagging ?tagging
GET object GetObjectTorrent ?torrent
PUT object CopyObject ?header:x-amz-copy-source
PUT object UploadPartCopy ?partNumber&uploadId&header:x-amz-copy-source
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
  const lines = ['| operation | request | query parameters | headers |', '|---|---|---|---|'];
  for (const row of OPERATIONS) {
    if (row.built)
      lines.push(`| ${row.name} | ${request(row)} | ${code(row.query)} | ${code(row.headers)} |`);
  }
  lines.push('', 'Recognised and answered 501 `NotImplemented`:', '', '| operation | request |', '|---|---|');
  for (const row of OPERATIONS) if (!row.built) lines.push(`| ${row.name} | ${request(row)} |`);
  return `${lines.join('\n')}\n`;
}
