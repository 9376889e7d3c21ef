/**
 * What goes wrong, in S3's words. Two exhaustive tables: every S3 error code this gateway can answer with its
 * status and sentence, and the S3 code of every operating failure (base/errors.ts). A failure that says
 * "nothing was done" becomes 503, one whose outcome is unknown 500, never a 4xx and never success (13.11).
 */
import { ERROR_CODES, OperationError } from '../../../base/errors.ts';
import type { ErrorCode } from '../../../base/errors.ts';
import type { HeaderField } from '../../../base/http.ts';

interface ErrorRow {
  readonly status: number;
  readonly message: string;
}

export const S3_ERRORS = {
  AccessControlListNotSupported: { status: 400, message: 'The bucket does not allow ACLs: its object ownership is BucketOwnerEnforced. Leave the ACL out, or set another object ownership (PutBucketOwnershipControls).' },
  AccessDenied: { status: 403, message: 'Access denied.' },
  AccessForbidden: { status: 403, message: 'CORS does not allow this request: no rule of the bucket names its origin, method and headers (PutBucketCors).' },
  AuthorizationHeaderMalformed: { status: 400, message: 'The authorization header is malformed.' },
  AuthorizationQueryParametersError: {
    status: 400,
    message: 'The presigned query parameters are malformed.',
  },
  BadDigest: {
    status: 400,
    message: 'The checksum or Content-MD5 you sent does not match what we received.',
  },
  BadRequest: { status: 400, message: 'The request lacks what it needs.' },
  BucketAlreadyExists: { status: 409, message: 'The bucket name is taken, by another account or with other settings. Choose another name.' },
  BucketAlreadyOwnedByYou: { status: 409, message: 'You made this bucket before and you own it.' },
  BucketNotEmpty: { status: 409, message: 'The bucket you tried to delete is not empty. Delete its objects first, with all their versions and delete markers.' },
  ConditionalRequestConflict: {
    status: 409,
    message: 'Another conditional request for this key was decided meanwhile. Ask again.',
  },
  EntityTooLarge: { status: 400, message: 'The upload is above the largest permitted size.' },
  EntityTooSmall: {
    status: 400,
    message: 'A part other than the last is below the smallest permitted size of 5 MiB.',
  },
  IllegalVersioningConfigurationException: {
    status: 400,
    message: 'The versioning configuration lacks a status: Status must be Enabled or Suspended.',
  },
  IllegalLocationConstraintException: {
    status: 400,
    message: 'The location is not the one this endpoint serves. Set LocationConstraint to the region of your client, or leave it out.',
  },
  IncompleteBody: { status: 400, message: 'The body ended before the announced number of bytes.' },
  InternalError: { status: 500, message: 'We hit an internal error; the outcome may be unknown. Ask again.' },
  InvalidAccessKeyId: { status: 403, message: 'The access key id does not exist here. Look at the access key that your client is set up with; who runs the gateway sees those that there are by `holdfast access list`.' },
  InvalidArgument: { status: 400, message: 'An argument is not valid.' },
  InvalidBucketAclWithObjectOwnership: { status: 400, message: 'The ACL of the bucket grants to others, which this object ownership does not allow.' },
  InvalidBucketState: { status: 409, message: 'The request is not valid for the state of the bucket.' },
  InvalidBucketName: { status: 400, message: 'The bucket name is not valid: it must be 3 to 63 characters of lower-case letters, digits, dots and hyphens, begin and end with a letter or digit, have no two dots or a dot and a hyphen side by side, not look like an IP address, and not begin or end as names that S3 reserves (xn--, -s3alias and their kin).' },
  InvalidChunkSizeError: { status: 400, message: 'A chunk of the body is malformed.' },
  InvalidDigest: { status: 400, message: 'The Content-MD5 or checksum you sent is not valid.' },
  InvalidEncryptionAlgorithmError: { status: 400, message: 'The encryption algorithm is not valid: it must be AES256.' },
  InvalidPart: { status: 400, message: 'A part was not found, or its ETag or checksum does not match. ListParts shows the parts that were uploaded.' },
  InvalidPartOrder: { status: 400, message: 'The list of parts is not in ascending order: sort it by PartNumber, each once.' },
  InvalidPolicyDocument: { status: 400, message: 'The policy of the form is not valid.' },
  InvalidRange: { status: 416, message: 'The range is not satisfiable.' },
  InvalidRequest: { status: 400, message: 'The request is not valid.' },
  InvalidTag: { status: 400, message: 'A tag is not valid.' },
  InvalidRetentionPeriod: { status: 400, message: 'The retention period is not valid.' },
  InvalidToken: { status: 400, message: 'Session tokens are not known here. Leave the session token (AWS_SESSION_TOKEN, aws_session_token) out and use an access key of this gateway.' },
  InvalidURI: { status: 400, message: 'The URI could not be parsed.' },
  KeyTooLongError: { status: 400, message: 'The key is too long: it may have 1024 bytes of UTF-8.' },
  MalformedACLError: { status: 400, message: 'The ACL is not well formed or does not fit what is expected.' },
  MalformedPOSTRequest: { status: 400, message: 'The body of the POST is not well-formed multipart/form-data.' },
  MalformedPolicy: { status: 400, message: 'The policy is not valid.' },
  MalformedTrailerError: { status: 400, message: 'The trailer of the body is malformed.' },
  MalformedXML: { status: 400, message: 'The XML is not well formed or does not fit what is expected.' },
  MaxPostPreDataLengthExceededError: { status: 400, message: 'The fields before the file are too large.' },
  MetadataTooLarge: { status: 400, message: 'The metadata headers are above the largest permitted size.' },
  MethodNotAllowed: { status: 405, message: 'The method is not allowed against this resource: S3 knows no such request for a service, a bucket or an object as this address names.' },
  MissingContentLength: { status: 411, message: 'You must say how long the content is, by Content-Length or, in signed chunks, x-amz-decoded-content-length.' },
  MissingSecurityHeader: { status: 400, message: 'The request lacks a header that it needs.' },
  NoSuchBucket: { status: 404, message: 'The bucket does not exist.' },
  NoSuchBucketPolicy: { status: 404, message: 'The bucket has no policy.' },
  NoSuchCORSConfiguration: { status: 404, message: 'The CORS configuration does not exist.' },
  NoSuchKey: { status: 404, message: 'The key does not exist.' },
  NoSuchLifecycleConfiguration: { status: 404, message: 'The lifecycle configuration does not exist.' },
  NoSuchObjectLockConfiguration: { status: 404, message: 'The version has no object lock configuration.' },
  NoSuchPublicAccessBlockConfiguration: { status: 404, message: 'The bucket has no public access block configuration.' },
  NoSuchTagSet: { status: 404, message: 'The TagSet does not exist.' },
  NoSuchUpload: {
    status: 404,
    message: 'The multipart upload does not exist; it may have been completed or aborted.',
  },
  NoSuchVersion: { status: 404, message: 'The version does not exist.' },
  NoSuchWebsiteConfiguration: { status: 404, message: 'The bucket has no website configuration.' },
  NotImplemented: { status: 501, message: 'This version of Holdfast does not do that.' },
  ObjectLockConfigurationNotFoundError: { status: 404, message: 'The bucket has no object lock configuration.' },
  OwnershipControlsNotFoundError: { status: 404, message: 'The bucket has no ownership controls.' },
  PreconditionFailed: { status: 412, message: 'A precondition you set does not hold.' },
  QuotaExceeded: { status: 403, message: 'The quota of bytes is used up.' },
  ReplicationConfigurationNotFoundError: { status: 404, message: 'The bucket has no replication configuration.' },
  RequestTimeTooSkewed: {
    status: 403,
    message: 'The time of the request and the time here differ by more than 15 minutes. Set the clock of the client.',
  },
  RequestTimeout: { status: 400, message: 'The body did not arrive in time.' },
  ServerSideEncryptionConfigurationNotFoundError: { status: 404, message: 'The bucket has no encryption configuration; everything is sealed all the same.' },
  ServiceUnavailable: { status: 503, message: 'Too few storage nodes answer; nothing was done. Ask again.' },
  SignatureDoesNotMatch: {
    status: 403,
    message: 'The signature we computed does not match the one you sent. Look at the secret access key, and whether a proxy changes the host, path or headers.',
  },
  SlowDown: { status: 503, message: 'Too many requests at once; nothing was done. Ask again.' },
  TooManyBuckets: { status: 400, message: 'There are as many buckets as are allowed.' },
  UnexpectedContent: { status: 400, message: 'This request does not take content here.' },
  UnresolvableGrantByEmailAddress: { status: 400, message: 'No account has the e-mail address of a grantee.' },
  XAmzContentSHA256Mismatch: {
    status: 400,
    message: 'x-amz-content-sha256 does not match what we received.',
  },
} as const satisfies Record<string, ErrorRow>;

export type S3ErrorCode = keyof typeof S3_ERRORS;

/** A refusal on its way to the client; thrown inside the front and caught at its edge. */
export class S3Error extends Error {
  override readonly name = 'S3Error';
  readonly code: S3ErrorCode;
  /** Further elements of the error document, such as the region expected. */
  readonly details: readonly HeaderField[];
  /** Headers of the answer, which a HEAD has too. */
  readonly headers: readonly HeaderField[];

  constructor(
    code: S3ErrorCode,
    message?: string,
    details: readonly HeaderField[] = [],
    headers: readonly HeaderField[] = [],
  ) {
    super(message ?? S3_ERRORS[code].message);
    this.code = code;
    this.details = details;
    this.headers = headers;
  }
}

/**
 * The S3 code of each operating failure that an ObjectStore may throw. By its contract it throws before
 * anything was prepared, so that "nothing was done" is true; failures that mean a fault of ours are 500.
 */
const OPERATING_FAILURES = {
  BAD_ARGUMENT: 'InvalidArgument',
  BAD_CONFIG: 'InternalError',
  BAD_GEOMETRY: 'InternalError',
  BAD_FRAME: 'InternalError',
  BAD_MESSAGE: 'InternalError',
  TOO_LARGE: 'EntityTooLarge',
  BUSY: 'SlowDown',
  TIMEOUT: 'ServiceUnavailable',
  UNREACHABLE: 'ServiceUnavailable',
  DISCONNECTED: 'ServiceUnavailable',
  FOREIGN_PEER: 'InternalError',
  PEER_FAILED: 'ServiceUnavailable',
  NO_QUORUM: 'ServiceUnavailable',
  REFUSED: 'ServiceUnavailable',
  BUCKET_STALE: 'ServiceUnavailable',
  OVERWRITTEN: 'ServiceUnavailable',
  DISK_FULL: 'ServiceUnavailable',
  DISK_READ_ONLY: 'ServiceUnavailable',
  DISK_ERROR: 'ServiceUnavailable',
  CORRUPT: 'InternalError',
  LOST_STATE: 'ServiceUnavailable',
  IN_USE: 'InternalError',
  NOT_FOUND: 'InternalError',
  ALREADY_EXISTS: 'InternalError',
  STOPPED: 'ServiceUnavailable',
  CANCELLED: 'ServiceUnavailable',
  UNAUTHENTIC: 'InternalError',
  NOT_HELD: 'ServiceUnavailable',
  LOCKED: 'AccessDenied',
  DAMAGED: 'InternalError',
  UNSUPPORTED: 'NotImplemented',
} as const satisfies Record<ErrorCode, S3ErrorCode>;

/** Codes whose own sentence helps the client and says nothing about the inside. */
const TELLING: ReadonlySet<ErrorCode> = new Set([
  'BAD_ARGUMENT',
  'TOO_LARGE',
  'UNSUPPORTED',
  'DISK_FULL',
  'DAMAGED',
]);

export function toS3Error(error: unknown): S3Error {
  if (error instanceof S3Error) return error;
  if (!(error instanceof OperationError)) return new S3Error('InternalError');
  const sentence = TELLING.has(error.code) ? ERROR_CODES[error.code] : undefined;
  return new S3Error(OPERATING_FAILURES[error.code], sentence);
}
