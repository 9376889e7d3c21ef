/**
 * What the S3 front needs of the store below it: buckets, objects, versions, listings and multipart uploads,
 * in bytes and outcomes, without HTTP. The gateway implements it over the protocol client; a test over memory.
 * The types stand in port/, one file a subject. Contract:
 *
 * - An expected refusal (no such key, bucket not empty, a condition that does not hold) is a result. A thrown
 *   OperationError means that nothing was prepared at any storage node, so the client may ask again:
 *   NO_QUORUM, TIMEOUT, BUSY.
 * - Once anything was prepared and its end is not known, the result is { outcome: 'unknown' }, never a throw.
 * - Content handed in ends normally only after every check of the client's passed. When its iteration
 *   rejects, nothing is committed and the same error is rethrown unchanged.
 * - Chunks handed in or out are not changed afterwards by either side; content is read at the pace of the
 *   store, and memory is bounded by a few chunks, never by the size of an object.
 * - Who may do what is decided above; retention, legal hold and conditions are decided here, atomically.
 */
import type {
  BucketInfo,
  ChangeBucket,
  ChangeBucketResult,
  ConfigureBucket,
  ConfigureBucketResult,
  CreateBucket,
  CreateBucketResult,
  DeleteBucketResult,
  ReadBucketResult,
} from './buckets.ts';
import type { OperationId } from './content.ts';
import type { Listing } from './listing.ts';
import type {
  ChangeAttributes,
  ChangeAttributesResult,
  CopyObject,
  CopyObjectResult,
  DeleteObject,
  DeleteObjectResult,
  GetObject,
  GetObjectResult,
  HeadObjectResult,
  ObjectPartsResult,
  PutObject,
  PutObjectResult,
  VersionAddress,
} from './objects.ts';
import type { NoSuchBucket } from './outcomes.ts';
import type {
  AbortUploadResult,
  CompleteUpload,
  CompleteUploadResult,
  CopyPart,
  CopyPartResult,
  CreateUpload,
  CreateUploadResult,
  ReadUpload,
  ReadUploadResult,
  UploadAddress,
  UploadPart,
  UploadPartResult,
} from './uploads.ts';

export interface ObjectStore {
  createBucket(request: CreateBucket): Promise<CreateBucketResult>;
  deleteBucket(bucket: string, operation: OperationId): Promise<DeleteBucketResult>;
  /** At most CONFIGURATION_FRESH_MS old, but never older than what this gateway has changed itself. */
  readBucket(bucket: string): Promise<ReadBucketResult>;
  /** All buckets of all accounts, in byte order of their names. */
  listBuckets(): Promise<readonly BucketInfo[]>;
  changeBucket(request: ChangeBucket): Promise<ChangeBucketResult>;
  configureBucket(request: ConfigureBucket): Promise<ConfigureBucketResult>;

  putObject(request: PutObject): Promise<PutObjectResult>;
  copyObject(request: CopyObject): Promise<CopyObjectResult>;
  getObject(request: GetObject): Promise<GetObjectResult>;
  headObject(address: VersionAddress): Promise<HeadObjectResult>;
  /** Of a multipart object; none of any other. */
  objectParts(address: VersionAddress): Promise<ObjectPartsResult>;
  deleteObject(request: DeleteObject): Promise<DeleteObjectResult>;
  changeAttributes(request: ChangeAttributes): Promise<ChangeAttributesResult>;
  openListing(bucket: string): Promise<Listing | NoSuchBucket>;

  createUpload(request: CreateUpload): Promise<CreateUploadResult>;
  uploadPart(request: UploadPart): Promise<UploadPartResult>;
  copyPart(request: CopyPart): Promise<CopyPartResult>;
  /** Parts in ascending order of their numbers. */
  readUpload(request: ReadUpload): Promise<ReadUploadResult>;
  completeUpload(request: CompleteUpload): Promise<CompleteUploadResult>;
  abortUpload(address: UploadAddress, operation: OperationId): Promise<AbortUploadResult>;
  /**
   * A completed upload that the client completes again after a cut connection: the result of the first
   * request with this operation id, or undefined.
   */
  completedUpload(address: UploadAddress, operation: OperationId): Promise<CompleteUploadResult | undefined>;
}
