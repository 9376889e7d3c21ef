/**
 * The object store that the S3 front stands on, over the protocol client. Each method is one file's work;
 * here is only the list of them.
 */
import type {
  BucketMode,
  WriteCondition,
  AbortUploadResult,
  BucketInfo,
  CompleteUpload,
  CompleteUploadResult,
  CreateBucketResult,
  CreateUpload,
  CreateUploadResult,
  DeleteBucketResult,
  DeleteObjectResult,
  GetObject,
  HeadObjectResult,
  Listing,
  NoSuchBucket,
  NoSuchKey,
  ObjectStore,
  OpenObject,
  OperationId,
  PutObject,
  PutObjectResult,
  ReadUploadResult,
  UploadAddress,
  UploadPart,
  UploadPartResult,
} from '../s3/object-store.ts';
import { createBucket, deleteBucket, listBuckets, openBucket } from './buckets.ts';
import type { StoreContext } from './context.ts';
import { openListing } from './listing.ts';
import { deleteObject, putObject } from './objects.ts';
import { getObject, headObject } from './read-object.ts';
import {
  abortUpload,
  completedUpload,
  completeUpload,
  createUpload,
  readUpload,
  uploadPart,
} from './uploads.ts';

export class HoldfastStore implements ObjectStore {
  readonly #ctx: StoreContext;

  constructor(ctx: StoreContext) {
    this.#ctx = ctx;
  }

  createBucket(bucket: string, operation: OperationId, mode?: BucketMode): Promise<CreateBucketResult> {
    return createBucket(this.#ctx, bucket, operation, mode);
  }

  deleteBucket(bucket: string, operation: OperationId): Promise<DeleteBucketResult> {
    return deleteBucket(this.#ctx, bucket, operation);
  }

  async headBucket(bucket: string): Promise<{ readonly outcome: 'found' } | NoSuchBucket> {
    await this.#ctx.registry.refresh(bucket);
    return (await openBucket(this.#ctx, bucket)) === null
      ? { outcome: 'no-such-bucket' }
      : { outcome: 'found' };
  }

  listBuckets(): Promise<readonly BucketInfo[]> {
    return listBuckets(this.#ctx);
  }

  putObject(request: PutObject): Promise<PutObjectResult> {
    return putObject(this.#ctx, request);
  }

  getObject(request: GetObject): Promise<OpenObject | NoSuchBucket | NoSuchKey> {
    return getObject(this.#ctx, request);
  }

  headObject(bucket: string, key: string): Promise<HeadObjectResult> {
    return headObject(this.#ctx, bucket, key);
  }

  deleteObject(
    bucket: string,
    key: string,
    operation: OperationId,
    condition?: WriteCondition,
  ): Promise<DeleteObjectResult> {
    return deleteObject(this.#ctx, bucket, key, operation, condition);
  }

  openListing(bucket: string): Promise<Listing | NoSuchBucket> {
    return openListing(this.#ctx, bucket);
  }

  createUpload(request: CreateUpload): Promise<CreateUploadResult> {
    return createUpload(this.#ctx, request);
  }

  uploadPart(request: UploadPart): Promise<UploadPartResult> {
    return uploadPart(this.#ctx, request);
  }

  readUpload(address: UploadAddress): Promise<ReadUploadResult> {
    return readUpload(this.#ctx, address);
  }

  completeUpload(request: CompleteUpload): Promise<CompleteUploadResult> {
    return completeUpload(this.#ctx, request);
  }

  abortUpload(address: UploadAddress, operation: OperationId): Promise<AbortUploadResult> {
    return abortUpload(this.#ctx, address, operation);
  }

  completedUpload(address: UploadAddress, operation: OperationId): Promise<CompleteUploadResult | undefined> {
    return completedUpload(this.#ctx, address, operation);
  }
}
