/**
 * The object store that the S3 front stands on, over the protocol client. Each method is one file's work;
 * here is only the list of them.
 */
import type { ObjectStore } from '../s3/port/object-store.ts';
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
} from '../s3/port/buckets.ts';
import type { OperationId } from '../s3/port/content.ts';
import type { Listing } from '../s3/port/listing.ts';
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
} from '../s3/port/objects.ts';
import type { NoSuchBucket } from '../s3/port/outcomes.ts';
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
} from '../s3/port/uploads.ts';
import { changeAttributes } from './attributes.ts';
import { changeBucket, createBucket, deleteBucket, listBuckets } from './buckets.ts';
import type { StoreContext } from './context.ts';
import { copyObject, copyPart } from './copy.ts';
import { deleteObject } from './delete-object.ts';
import { configureBucket, readBucket } from './documents.ts';
import { openListing } from './listing.ts';
import { putObject } from './objects.ts';
import { getObject, headObject, objectParts } from './read-object.ts';
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

  createBucket(request: CreateBucket): Promise<CreateBucketResult> {
    return createBucket(this.#ctx, request);
  }

  deleteBucket(bucket: string, operation: OperationId): Promise<DeleteBucketResult> {
    return deleteBucket(this.#ctx, bucket, operation);
  }

  readBucket(bucket: string): Promise<ReadBucketResult> {
    return readBucket(this.#ctx, bucket);
  }

  listBuckets(): Promise<readonly BucketInfo[]> {
    return listBuckets(this.#ctx);
  }

  changeBucket(request: ChangeBucket): Promise<ChangeBucketResult> {
    return changeBucket(this.#ctx, request);
  }

  configureBucket(request: ConfigureBucket): Promise<ConfigureBucketResult> {
    return configureBucket(this.#ctx, request);
  }

  putObject(request: PutObject): Promise<PutObjectResult> {
    return putObject(this.#ctx, request);
  }

  copyObject(request: CopyObject): Promise<CopyObjectResult> {
    return copyObject(this.#ctx, request);
  }

  getObject(request: GetObject): Promise<GetObjectResult> {
    return getObject(this.#ctx, request);
  }

  headObject(address: VersionAddress): Promise<HeadObjectResult> {
    return headObject(this.#ctx, address);
  }

  objectParts(address: VersionAddress): Promise<ObjectPartsResult> {
    return objectParts(this.#ctx, address);
  }

  deleteObject(request: DeleteObject): Promise<DeleteObjectResult> {
    return deleteObject(this.#ctx, request);
  }

  changeAttributes(request: ChangeAttributes): Promise<ChangeAttributesResult> {
    return changeAttributes(this.#ctx, request);
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

  copyPart(request: CopyPart): Promise<CopyPartResult> {
    return copyPart(this.#ctx, request);
  }

  readUpload(request: ReadUpload): Promise<ReadUploadResult> {
    return readUpload(this.#ctx, request);
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
