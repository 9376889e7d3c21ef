/**
 * Which right each operation needs: the actions of S3 that a policy names, and what they are about. An
 * operation that is not here is refused to everybody, and one that is built and not here does not compile.
 */
/**
 * `each`: nothing is asked beforehand; every object that the operation touches is asked about by itself when
 * the store is called (guarded-store.ts).
 */
export type ActionTarget = 'service' | 'bucket' | 'object' | 'each';

export interface OperationAccess {
  readonly target: ActionTarget;
  /** All of them are needed. */
  readonly actions: readonly string[];
  /** In their place when the request names a version. */
  readonly versionActions: readonly string[];
  /** What the policy's conditions ask about stands in the body: the right is asked for when that was read. */
  readonly isLate: boolean;
}

function on(target: ActionTarget, actions: string, versionActions = actions): OperationAccess {
  const full = (names: string): readonly string[] =>
    names === '' ? [] : names.split(' ').map((name) => `s3:${name}`);
  return { target, actions: full(actions), versionActions: full(versionActions), isLate: false };
}

const late = (access: OperationAccess): OperationAccess => ({ ...access, isLate: true });

const ACCESS = {
  ListBuckets: on('service', 'ListAllMyBuckets'),
  CreateBucket: on('bucket', 'CreateBucket'),
  DeleteBucket: on('bucket', 'DeleteBucket'),
  HeadBucket: on('bucket', 'ListBucket'),
  GetBucketLocation: on('bucket', 'GetBucketLocation'),
  ListObjects: on('bucket', 'ListBucket'),
  ListObjectsV2: on('bucket', 'ListBucket'),
  ListObjectVersions: on('bucket', 'ListBucketVersions'),
  ListMultipartUploads: on('bucket', 'ListBucketMultipartUploads'),
  DeleteObjects: on('each', ''),
  PostObject: on('each', ''),

  GetBucketAcl: on('bucket', 'GetBucketAcl'),
  PutBucketAcl: on('bucket', 'PutBucketAcl'),
  GetBucketCors: on('bucket', 'GetBucketCORS'),
  PutBucketCors: on('bucket', 'PutBucketCORS'),
  DeleteBucketCors: on('bucket', 'PutBucketCORS'),
  GetBucketEncryption: on('bucket', 'GetEncryptionConfiguration'),
  PutBucketEncryption: on('bucket', 'PutEncryptionConfiguration'),
  DeleteBucketEncryption: on('bucket', 'PutEncryptionConfiguration'),
  GetBucketLifecycleConfiguration: on('bucket', 'GetLifecycleConfiguration'),
  PutBucketLifecycleConfiguration: on('bucket', 'PutLifecycleConfiguration'),
  DeleteBucketLifecycle: on('bucket', 'PutLifecycleConfiguration'),
  GetBucketLogging: on('bucket', 'GetBucketLogging'),
  PutBucketLogging: on('bucket', 'PutBucketLogging'),
  GetBucketNotificationConfiguration: on('bucket', 'GetBucketNotification'),
  PutBucketNotificationConfiguration: on('bucket', 'PutBucketNotification'),
  GetObjectLockConfiguration: on('bucket', 'GetBucketObjectLockConfiguration'),
  PutObjectLockConfiguration: on('bucket', 'PutBucketObjectLockConfiguration'),
  GetBucketOwnershipControls: on('bucket', 'GetBucketOwnershipControls'),
  PutBucketOwnershipControls: on('bucket', 'PutBucketOwnershipControls'),
  DeleteBucketOwnershipControls: on('bucket', 'PutBucketOwnershipControls'),
  GetBucketPolicy: on('bucket', 'GetBucketPolicy'),
  PutBucketPolicy: on('bucket', 'PutBucketPolicy'),
  DeleteBucketPolicy: on('bucket', 'DeleteBucketPolicy'),
  GetBucketPolicyStatus: on('bucket', 'GetBucketPolicyStatus'),
  GetPublicAccessBlock: on('bucket', 'GetBucketPublicAccessBlock'),
  PutPublicAccessBlock: on('bucket', 'PutBucketPublicAccessBlock'),
  DeletePublicAccessBlock: on('bucket', 'PutBucketPublicAccessBlock'),
  GetBucketRequestPayment: on('bucket', 'GetBucketRequestPayment'),
  PutBucketRequestPayment: on('bucket', 'PutBucketRequestPayment'),
  GetBucketTagging: on('bucket', 'GetBucketTagging'),
  PutBucketTagging: on('bucket', 'PutBucketTagging'),
  DeleteBucketTagging: on('bucket', 'PutBucketTagging'),
  GetBucketVersioning: on('bucket', 'GetBucketVersioning'),
  PutBucketVersioning: on('bucket', 'PutBucketVersioning'),
  GetBucketReplication: on('bucket', 'GetReplicationConfiguration'),
  DeleteBucketReplication: on('bucket', 'PutReplicationConfiguration'),
  GetBucketAccelerateConfiguration: on('bucket', 'GetAccelerateConfiguration'),
  GetBucketWebsite: on('bucket', 'GetBucketWebsite'),
  PutBucketWebsite: on('bucket', 'PutBucketWebsite'),
  DeleteBucketWebsite: on('bucket', 'DeleteBucketWebsite'),

  PutObject: on('object', 'PutObject'),
  CopyObject: on('object', 'PutObject'),
  GetObject: on('object', 'GetObject', 'GetObjectVersion'),
  HeadObject: on('object', 'GetObject', 'GetObjectVersion'),
  DeleteObject: on('object', 'DeleteObject', 'DeleteObjectVersion'),
  GetObjectAttributes: on('object', 'GetObject GetObjectAttributes', 'GetObjectVersion GetObjectVersionAttributes'),
  GetObjectAcl: on('object', 'GetObjectAcl', 'GetObjectVersionAcl'),
  PutObjectAcl: on('object', 'PutObjectAcl', 'PutObjectVersionAcl'),
  GetObjectTagging: on('object', 'GetObjectTagging', 'GetObjectVersionTagging'),
  PutObjectTagging: late(on('object', 'PutObjectTagging', 'PutObjectVersionTagging')),
  DeleteObjectTagging: on('object', 'DeleteObjectTagging', 'DeleteObjectVersionTagging'),
  GetObjectLegalHold: on('object', 'GetObjectLegalHold'),
  PutObjectLegalHold: late(on('object', 'PutObjectLegalHold')),
  GetObjectRetention: on('object', 'GetObjectRetention'),
  PutObjectRetention: late(on('object', 'PutObjectRetention')),
  CreateMultipartUpload: on('object', 'PutObject'),
  UploadPart: on('object', 'PutObject'),
  UploadPartCopy: on('object', 'PutObject'),
  CompleteMultipartUpload: on('object', 'PutObject'),
  AbortMultipartUpload: on('object', 'AbortMultipartUpload'),
  ListParts: on('object', 'ListMultipartUploadParts'),
} as const satisfies Readonly<Record<string, OperationAccess>>;

/** Operations with a row here; every one that is built must be among them. */
export type GovernedOperation = keyof typeof ACCESS;

export function accessOf(operation: GovernedOperation): OperationAccess {
  return ACCESS[operation];
}

/** Actions of an operation for a table: with and without a version. */
export function actionsShown(operation: string): readonly string[] {
  const access = Object.entries(ACCESS).find(([name]) => name === operation)?.[1];
  return access === undefined ? [] : [...new Set([...access.actions, ...access.versionActions])];
}

/** Actions about an object that is there, which its owner and its own ACL decide. */
const ON_EXISTING: ReadonlySet<string> = new Set(
  `GetObject GetObjectVersion GetObjectAttributes GetObjectVersionAttributes GetObjectAcl GetObjectVersionAcl
  PutObjectAcl PutObjectVersionAcl GetObjectTagging GetObjectVersionTagging PutObjectTagging
  PutObjectVersionTagging DeleteObjectTagging DeleteObjectVersionTagging GetObjectLegalHold PutObjectLegalHold
  GetObjectRetention PutObjectRetention`
    .split(/\s+/)
    .map((name) => `s3:${name}`),
);

export function concernsExisting(action: string): boolean {
  return ON_EXISTING.has(action);
}

/** What the owner of a bucket keeps under any policy, so that nobody locks himself out. */
export const POLICY_ACTIONS: ReadonlySet<string> = new Set([
  's3:GetBucketPolicy',
  's3:PutBucketPolicy',
  's3:DeleteBucketPolicy',
]);
