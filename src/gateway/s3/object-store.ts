/**
 * What the S3 front needs of the store below it: buckets, objects, listings and multipart uploads, in bytes
 * and outcomes, without HTTP. The gateway implements it over the protocol client; a test over memory.
 * Contract:
 *
 * - An expected refusal (no such key, bucket not empty) is a result. A thrown OperationError means that
 *   nothing was prepared at any storage node, so the client may ask again: NO_QUORUM, TIMEOUT, BUSY.
 * - Once anything was prepared and its end is not known, the result is { outcome: 'unknown' }, never a throw.
 * - Content handed in ends normally only after every check of the client's passed. When its iteration
 *   rejects, nothing is committed and the same error is rethrown unchanged.
 * - Chunks handed in or out are not changed afterwards by either side; content is read at the pace of the
 *   store, and memory is bounded by a few chunks, never by the size of an object.
 */
import type { Checksum, ChecksumAlgorithm, ChecksumType } from './checksums.ts';

/** Headers that come back as they were sent: byte strings, one character a byte. */
export interface ObjectMetadata {
  readonly contentType: string | undefined;
  readonly cacheControl: string | undefined;
  readonly contentDisposition: string | undefined;
  readonly contentEncoding: string | undefined;
  readonly contentLanguage: string | undefined;
  readonly expires: string | undefined;
  /** x-amz-meta-*: lower-case name without the prefix, then value; in order of arrival, each name once. */
  readonly user: readonly (readonly [name: string, value: string])[];
}

/** What identifies a request that a client sends again after a cut connection (13.11). */
export interface OperationId {
  /** 32 bytes. */
  readonly id: Uint8Array;
  /** Derived from the client's invocation id, so a second request may bear it; otherwise random. */
  readonly repeatable: boolean;
}

/** A body under way from the client. `seal` answers after `bytes` ended normally, and not before. */
export interface IncomingContent {
  /** Exactly how many bytes will come; the iteration rejects when it were more or fewer. */
  readonly size: number;
  readonly bytes: AsyncIterable<Uint8Array>;
  /** Asserts that the iteration ended normally. */
  readonly seal: () => ContentSeal;
}

export interface ContentSeal {
  /** MD5 of the content in hex: the ETag without quotes. */
  readonly etag: string;
  /** The checksum that the client sent and we verified. */
  readonly checksum: Checksum | undefined;
}

export interface ObjectInfo {
  readonly size: number;
  /** Without quotes. */
  readonly etag: string;
  readonly lastModifiedMs: number;
  readonly metadata: ObjectMetadata;
  readonly checksum: Checksum | undefined;
}

/** Bytes `from` up to but not including `to`; `from <= to <= size`. */
export interface ByteSpan {
  readonly from: number;
  readonly to: number;
}

/** What the client asked for, before the size is known: a hint for what to fetch first. */
export type RangeRequest =
  | { readonly kind: 'from'; readonly first: number; readonly last: number | undefined }
  | { readonly kind: 'suffix'; readonly bytes: number };

/** Something was prepared and its end is not known. */
export interface Unknown {
  readonly outcome: 'unknown';
}

export interface NoSuchBucket {
  readonly outcome: 'no-such-bucket';
}

export interface NoSuchKey {
  readonly outcome: 'no-such-key';
}

/** Entity tags without quotes; `*`: any object. */
export interface WriteCondition {
  readonly ifMatch?: string;
  readonly ifNoneMatch?: string;
}

/** A write whose condition did not hold, or cannot be decided because the bucket is PLAIN (13.7). */
export interface ConditionFailed {
  readonly outcome: 'condition-failed' | 'condition-unsupported';
}

/** SERIALISED: conditions of writes can be decided (13.7). */
export type BucketMode = 'serialised' | 'plain';

export interface NoSuchUpload {
  readonly outcome: 'no-such-upload';
}

export interface BucketInfo {
  readonly name: string;
  readonly createdMs: number;
}

export type CreateBucketResult =
  | { readonly outcome: 'created' | 'owned-by-you' | 'taken' | 'too-many' }
  | Unknown;
export type DeleteBucketResult = { readonly outcome: 'deleted' | 'not-empty' } | NoSuchBucket | Unknown;

export interface PutObject {
  readonly bucket: string;
  readonly key: string;
  readonly content: IncomingContent;
  readonly metadata: ObjectMetadata;
  readonly condition?: WriteCondition | undefined;
  readonly operation: OperationId;
}

/**
 * `etag` and `checksum` are those of the version committed: of an earlier request when this one repeats it.
 */
export type PutObjectResult =
  | { readonly outcome: 'stored'; readonly etag: string; readonly checksum: Checksum | undefined }
  | ConditionFailed
  | NoSuchBucket
  | NoSuchKey
  | Unknown;

export interface GetObject {
  readonly bucket: string;
  readonly key: string;
  readonly range: RangeRequest | undefined;
}

/** One version, pinned: `read` yields bytes of exactly the version that `info` describes. */
export interface OpenObject {
  readonly outcome: 'found';
  readonly info: ObjectInfo;
  /**
   * At most once. Every byte is verified before it is yielded; the iteration rejects when it cannot go on,
   * and ends early work when it is returned. An object not read holds nothing after `close`.
   */
  read(span: ByteSpan): AsyncIterable<Uint8Array>;
  close(): void;
}

export type HeadObjectResult =
  | { readonly outcome: 'found'; readonly info: ObjectInfo }
  | NoSuchBucket
  | NoSuchKey;

/** Deleting what does not exist is a success too. */
export type DeleteObjectResult =
  | { readonly outcome: 'deleted' }
  | ConditionFailed
  | NoSuchBucket
  | NoSuchKey
  | Unknown;

export interface ListRow {
  readonly key: string;
  readonly size: number;
  readonly etag: string;
  readonly lastModifiedMs: number;
  readonly checksum: Pick<Checksum, 'algorithm' | 'type'> | undefined;
}

/** A view of a bucket behind one barrier (6.6): it holds every write acknowledged before it was opened. */
export interface Listing {
  readonly outcome: 'listing';
  /**
   * Rows with `from <= key < below` (UTF-8 bytes, in their order), at most `limit`; fewer only at the end.
   */
  rows(from: Uint8Array, below: Uint8Array | undefined, limit: number): Promise<readonly ListRow[]>;
}

export interface UploadInfo {
  readonly metadata: ObjectMetadata;
  readonly createdMs: number;
  readonly checksum: { readonly algorithm: ChecksumAlgorithm; readonly type: ChecksumType } | undefined;
}

export interface PartInfo {
  /** 1 to 10,000. */
  readonly number: number;
  readonly size: number;
  readonly etag: string;
  readonly checksum: Checksum | undefined;
  readonly lastModifiedMs: number;
}

export interface UploadAddress {
  readonly bucket: string;
  readonly key: string;
  readonly uploadId: string;
}

export interface CreateUpload {
  readonly bucket: string;
  readonly key: string;
  readonly metadata: ObjectMetadata;
  readonly checksum: UploadInfo['checksum'];
  readonly operation: OperationId;
}

export type CreateUploadResult =
  | { readonly outcome: 'created'; readonly uploadId: string }
  | NoSuchBucket
  | Unknown;

export interface UploadPart extends UploadAddress {
  readonly number: number;
  readonly content: IncomingContent;
  readonly operation: OperationId;
}

export type UploadPartResult =
  | { readonly outcome: 'stored'; readonly etag: string; readonly checksum: Checksum | undefined }
  | NoSuchBucket
  | NoSuchUpload
  | Unknown;

export type ReadUploadResult =
  | { readonly outcome: 'found'; readonly upload: UploadInfo; readonly parts: readonly PartInfo[] }
  | NoSuchBucket
  | NoSuchUpload;

/** The parts are those just read; the store refuses ('changed') when one of them was replaced meanwhile. */
export interface CompleteUpload extends UploadAddress {
  readonly parts: readonly PartInfo[];
  readonly etag: string;
  readonly checksum: Checksum | undefined;
  readonly condition?: WriteCondition | undefined;
  readonly operation: OperationId;
}

export type CompleteUploadResult =
  | { readonly outcome: 'stored'; readonly etag: string; readonly checksum: Checksum | undefined }
  | { readonly outcome: 'changed' }
  | ConditionFailed
  | NoSuchBucket
  | NoSuchKey
  | NoSuchUpload
  | Unknown;

export type AbortUploadResult = { readonly outcome: 'aborted' } | NoSuchBucket | NoSuchUpload | Unknown;

export interface ObjectStore {
  createBucket(bucket: string, operation: OperationId, mode?: BucketMode): Promise<CreateBucketResult>;
  deleteBucket(bucket: string, operation: OperationId): Promise<DeleteBucketResult>;
  headBucket(bucket: string): Promise<{ readonly outcome: 'found' } | NoSuchBucket>;
  /** All buckets, in byte order of their names. */
  listBuckets(): Promise<readonly BucketInfo[]>;

  putObject(request: PutObject): Promise<PutObjectResult>;
  getObject(request: GetObject): Promise<OpenObject | NoSuchBucket | NoSuchKey>;
  headObject(bucket: string, key: string): Promise<HeadObjectResult>;
  deleteObject(
    bucket: string,
    key: string,
    operation: OperationId,
    condition?: WriteCondition,
  ): Promise<DeleteObjectResult>;
  openListing(bucket: string): Promise<Listing | NoSuchBucket>;

  createUpload(request: CreateUpload): Promise<CreateUploadResult>;
  uploadPart(request: UploadPart): Promise<UploadPartResult>;
  /** Parts in ascending order of their numbers. */
  readUpload(address: UploadAddress): Promise<ReadUploadResult>;
  completeUpload(request: CompleteUpload): Promise<CompleteUploadResult>;
  abortUpload(address: UploadAddress, operation: OperationId): Promise<AbortUploadResult>;
  /**
   * A completed upload that the client completes again after a cut connection: the result of the first
   * request with this operation id, or undefined.
   */
  completedUpload(address: UploadAddress, operation: OperationId): Promise<CompleteUploadResult | undefined>;
}
