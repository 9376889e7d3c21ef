/**
 * The store as one request uses it, telling what was changed: every write that a feature makes passes here, so
 * no feature can forget to tell. Nothing is told of what failed, or of an outcome that is not known; and what
 * cannot be told has an outcome that is not known, so that the client repeats the request, and it is told then.
 */
import { isOperationError } from '../../../base/errors.ts';
import type { ObjectStore } from '../port/object-store.ts';
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
} from '../port/buckets.ts';
import type { OperationId } from '../port/content.ts';
import type { Listing } from '../port/listing.ts';
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
  Stored,
  VersionAddress,
} from '../port/objects.ts';
import type { NoSuchBucket } from '../port/outcomes.ts';
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
} from '../port/uploads.ts';
import type { EventName, EventSink, ObjectEvent } from '../port/events.ts';

export interface Telling {
  readonly events: EventSink;
  readonly nowMs: () => number;
  readonly origin: Pick<ObjectEvent, 'accountId' | 'sourceAddress' | 'requestId'>;
  /** The name of an event for an object put: by a form it is another one. */
  readonly putName: 's3:ObjectCreated:Put' | 's3:ObjectCreated:Post';
}

type Told = Pick<ObjectEvent, 'name' | 'versionId'> & Partial<Pick<ObjectEvent, 'size' | 'etag'>>;

const UNKNOWN = { outcome: 'unknown' } as const;

export class NotifyingStore implements ObjectStore {
  readonly #store: ObjectStore;
  readonly #telling: Telling;

  constructor(store: ObjectStore, telling: Telling) {
    this.#store = store;
    this.#telling = telling;
  }

  /** False: nobody can be told at this moment. */
  async #tell({ bucket, key }: Pick<VersionAddress, 'bucket' | 'key'>, { name, versionId, size, etag }: Told): Promise<boolean> {
    const { events, nowMs, origin } = this.#telling;
    try {
      await events.emit({ ...origin, name, bucket, key, versionId, size, etag, timeMs: nowMs() });
      return true;
    } catch (error) {
      if (!isOperationError(error)) throw error;
      return false;
    }
  }

  async #tellStored<Result extends { readonly outcome: string } | Stored>(
    address: Pick<VersionAddress, 'bucket' | 'key'>,
    name: EventName,
    size: number | undefined,
    result: Result,
  ): Promise<Result | typeof UNKNOWN> {
    if (!('etag' in result)) return result;
    const { versionId, etag } = result;
    return (await this.#tell(address, { name, versionId, size, etag })) ? result : UNKNOWN;
  }

  createBucket(request: CreateBucket): Promise<CreateBucketResult> {
    return this.#store.createBucket(request);
  }

  deleteBucket(bucket: string, operation: OperationId): Promise<DeleteBucketResult> {
    return this.#store.deleteBucket(bucket, operation);
  }

  readBucket(bucket: string): Promise<ReadBucketResult> {
    return this.#store.readBucket(bucket);
  }

  listBuckets(): Promise<readonly BucketInfo[]> {
    return this.#store.listBuckets();
  }

  changeBucket(request: ChangeBucket): Promise<ChangeBucketResult> {
    return this.#store.changeBucket(request);
  }

  configureBucket(request: ConfigureBucket): Promise<ConfigureBucketResult> {
    return this.#store.configureBucket(request);
  }

  async putObject(request: PutObject): Promise<PutObjectResult> {
    const result = await this.#store.putObject(request);
    return this.#tellStored(request, this.#telling.putName, request.content.size, result);
  }

  async copyObject(request: CopyObject): Promise<CopyObjectResult> {
    const result = await this.#store.copyObject(request);
    return this.#tellStored(request, 's3:ObjectCreated:Copy', undefined, result);
  }

  getObject(request: GetObject): Promise<GetObjectResult> {
    return this.#store.getObject(request);
  }

  headObject(address: VersionAddress): Promise<HeadObjectResult> {
    return this.#store.headObject(address);
  }

  objectParts(address: VersionAddress): Promise<ObjectPartsResult> {
    return this.#store.objectParts(address);
  }

  async deleteObject(request: DeleteObject): Promise<DeleteObjectResult> {
    const result = await this.#store.deleteObject(request);
    if (result.outcome !== 'deleted') return result;
    // Taking a marker away is a deletion; laying one is told as what it is.
    const isLaid = result.isDeleteMarker && request.versionId === undefined;
    const name = isLaid ? 's3:ObjectRemoved:DeleteMarkerCreated' : 's3:ObjectRemoved:Delete';
    return (await this.#tell(request, { name, versionId: result.versionId })) ? result : UNKNOWN;
  }

  async changeAttributes(request: ChangeAttributes): Promise<ChangeAttributesResult> {
    const result = await this.#store.changeAttributes(request);
    const { change } = request;
    if (result.outcome !== 'changed') return result;
    const name = attributesEvent(change);
    if (name === undefined) return result;
    return (await this.#tell(request, { name, versionId: result.versionId })) ? result : UNKNOWN;
  }

  openListing(bucket: string): Promise<Listing | NoSuchBucket> {
    return this.#store.openListing(bucket);
  }

  createUpload(request: CreateUpload): Promise<CreateUploadResult> {
    return this.#store.createUpload(request);
  }

  uploadPart(request: UploadPart): Promise<UploadPartResult> {
    return this.#store.uploadPart(request);
  }

  copyPart(request: CopyPart): Promise<CopyPartResult> {
    return this.#store.copyPart(request);
  }

  readUpload(request: ReadUpload): Promise<ReadUploadResult> {
    return this.#store.readUpload(request);
  }

  async completeUpload(request: CompleteUpload): Promise<CompleteUploadResult> {
    const result = await this.#store.completeUpload(request);
    const size = request.parts.reduce((sum, part) => sum + part.size, 0);
    return this.#tellStored(request, 's3:ObjectCreated:CompleteMultipartUpload', size, result);
  }

  abortUpload(address: UploadAddress, operation: OperationId): Promise<AbortUploadResult> {
    return this.#store.abortUpload(address, operation);
  }

  /** What a client is told of an upload that was completed before: whoever made it may have ended before it told. */
  completedAgain(address: UploadAddress, result: CompleteUploadResult): Promise<CompleteUploadResult> {
    return this.#tellStored(address, 's3:ObjectCreated:CompleteMultipartUpload', undefined, result);
  }

  completedUpload(address: UploadAddress, operation: OperationId): Promise<CompleteUploadResult | undefined> {
    return this.#store.completedUpload(address, operation);
  }
}

/** Undefined: nobody wants to be told. */
function attributesEvent(change: ChangeAttributes['change']): EventName | undefined {
  if (change.kind === 'accessControl') return 's3:ObjectAcl:Put';
  if (change.kind !== 'tags') return undefined;
  return change.tags.length === 0 ? 's3:ObjectTagging:Delete' : 's3:ObjectTagging:Put';
}
