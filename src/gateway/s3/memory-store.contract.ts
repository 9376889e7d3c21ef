/**
 * An ObjectStore in memory for tests of the S3 front. It keeps the contract of object-store.ts to the letter:
 * it reads content to its end, commits only after `seal`, and can be told to fail in each permitted way.
 */
import { compare, concat, hex, utf8 } from '../../base/bytes.ts';
import { OperationError } from '../../base/errors.ts';
import type { ErrorCode } from '../../base/errors.ts';
import type {
  BucketMode,
  CompleteUpload,
  CompleteUploadResult,
  ConditionFailed,
  CreateUpload,
  CreateUploadResult,
  DeleteObjectResult,
  GetObject,
  HeadObjectResult,
  IncomingContent,
  Listing,
  NoSuchBucket,
  NoSuchKey,
  ObjectInfo,
  ObjectStore,
  OpenObject,
  OperationId,
  PartInfo,
  PutObject,
  PutObjectResult,
  ReadUploadResult,
  UploadAddress,
  UploadInfo,
  UploadPart,
  UploadPartResult,
  WriteCondition,
} from './object-store.ts';

const PIECE_BYTES = 64 * 1024;
const NO_BUCKET: NoSuchBucket = { outcome: 'no-such-bucket' };

interface StoredObject {
  readonly info: ObjectInfo;
  readonly bytes: Uint8Array;
}

interface StoredBucket {
  readonly createdMs: number;
  readonly mode: BucketMode;
  readonly objects: Map<string, StoredObject>;
}

/** Null: the write may be made. */
function refused(
  { mode, objects }: StoredBucket,
  key: string,
  condition: WriteCondition | undefined,
): ConditionFailed | NoSuchKey | null {
  if (condition === undefined) return null;
  if (mode === 'plain') return { outcome: 'condition-unsupported' };
  const etag = objects.get(key)?.info.etag;
  const { ifMatch, ifNoneMatch } = condition;
  if (ifMatch !== undefined && etag === undefined) return { outcome: 'no-such-key' };
  const matches = ifMatch === undefined || ifMatch === '*' || ifMatch === etag;
  const differs = ifNoneMatch === undefined || etag === undefined || (ifNoneMatch !== '*' && ifNoneMatch !== etag);
  return matches && differs ? null : { outcome: 'condition-failed' };
}

interface StoredUpload {
  readonly bucket: string;
  readonly key: string;
  readonly info: UploadInfo;
  readonly parts: Map<number, { readonly info: PartInfo; readonly bytes: Uint8Array }>;
}

async function collect(content: IncomingContent): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  for await (const piece of content.bytes) pieces.push(piece);
  return concat(...pieces);
}

export class MemoryStore implements ObjectStore {
  readonly buckets = new Map<string, StoredBucket>();
  readonly uploads = new Map<string, StoredUpload>();
  readonly completed = new Map<string, CompleteUploadResult>();
  /** Ids of the writes that were committed, in order. */
  readonly operations: OperationId[] = [];
  /** Ids of all writes tried, committed or not. */
  readonly attempts: OperationId[] = [];
  /** Objects opened and not yet closed. */
  open = 0;
  /** The next write fails so. */
  fail: ErrorCode | 'unknown' | undefined;
  /** A read yields so many pieces and then fails. */
  breakReadAfter: number | undefined;
  nowMs = 1_700_000_000_000;
  #uploadCount = 0;

  /** True when the outcome is to be unknown. */
  #failing(): boolean {
    const { fail } = this;
    this.fail = undefined;
    if (fail === undefined || fail === 'unknown') return fail === 'unknown';
    throw new OperationError(fail, 'as the test asked');
  }

  createBucket(
    bucket: string,
    _operation?: OperationId,
    mode: BucketMode = 'serialised',
  ): Promise<{ outcome: 'created' | 'owned-by-you' }> {
    if (this.buckets.has(bucket)) return Promise.resolve({ outcome: 'owned-by-you' });
    this.buckets.set(bucket, { createdMs: this.nowMs, mode, objects: new Map() });
    return Promise.resolve({ outcome: 'created' });
  }

  deleteBucket(bucket: string): Promise<{ outcome: 'deleted' | 'not-empty' } | NoSuchBucket> {
    const known = this.buckets.get(bucket);
    if (known === undefined) return Promise.resolve(NO_BUCKET);
    if (known.objects.size > 0) return Promise.resolve({ outcome: 'not-empty' });
    this.buckets.delete(bucket);
    return Promise.resolve({ outcome: 'deleted' });
  }

  headBucket(bucket: string): Promise<{ outcome: 'found' } | NoSuchBucket> {
    return Promise.resolve(this.buckets.has(bucket) ? { outcome: 'found' } : NO_BUCKET);
  }

  listBuckets(): Promise<{ name: string; createdMs: number }[]> {
    const all = [...this.buckets].map(([name, { createdMs }]) => ({ name, createdMs }));
    return Promise.resolve(all.sort((a, b) => compare(utf8(a.name), utf8(b.name))));
  }

  async putObject(request: PutObject): Promise<PutObjectResult> {
    const bucket = this.buckets.get(request.bucket);
    if (bucket === undefined) return NO_BUCKET;
    const refusal = refused(bucket, request.key, request.condition);
    if (refusal !== null) return refusal;
    const bytes = await collect(request.content);
    const { etag, checksum } = request.content.seal();
    this.attempts.push(request.operation);
    if (this.#failing()) return { outcome: 'unknown' };
    const { metadata } = request;
    const info = { size: bytes.length, etag, checksum, metadata, lastModifiedMs: this.nowMs };
    bucket.objects.set(request.key, { info, bytes });
    this.operations.push(request.operation);
    return { outcome: 'stored', etag, checksum };
  }

  getObject(request: GetObject): Promise<OpenObject | NoSuchBucket | NoSuchKey> {
    if (this.#failing()) throw new Error('a read is never unknown');
    const bucket = this.buckets.get(request.bucket);
    const found = bucket?.objects.get(request.key);
    if (bucket === undefined) return Promise.resolve(NO_BUCKET);
    if (found === undefined) return Promise.resolve({ outcome: 'no-such-key' });
    this.open += 1;
    let left = this.breakReadAfter ?? Number.POSITIVE_INFINITY;
    return Promise.resolve({
      outcome: 'found',
      info: found.info,
      read: async function* read({ from, to }) {
        for (let at = from; at < to; at += PIECE_BYTES) {
          if (left-- <= 0) throw new OperationError('DAMAGED', 'as the test asked');
          await Promise.resolve();
          yield found.bytes.subarray(at, Math.min(to, at + PIECE_BYTES));
        }
      },
      close: () => {
        this.open -= 1;
      },
    });
  }

  headObject(bucket: string, key: string): Promise<HeadObjectResult> {
    const objects = this.buckets.get(bucket)?.objects;
    const found = objects?.get(key);
    if (objects === undefined) return Promise.resolve(NO_BUCKET);
    return Promise.resolve(
      found === undefined ? { outcome: 'no-such-key' } : { outcome: 'found', info: found.info },
    );
  }

  async deleteObject(
    bucket: string,
    key: string,
    operation: OperationId,
    condition?: WriteCondition,
  ): Promise<DeleteObjectResult> {
    const known = this.buckets.get(bucket);
    if (known === undefined) return NO_BUCKET;
    const refusal = refused(known, key, condition);
    if (refusal !== null) return refusal;
    if (this.#failing()) return { outcome: 'unknown' };
    known.objects.delete(key);
    this.operations.push(operation);
    return await Promise.resolve({ outcome: 'deleted' });
  }

  openListing(bucket: string): Promise<Listing | NoSuchBucket> {
    const known = this.buckets.get(bucket);
    if (known === undefined) return Promise.resolve(NO_BUCKET);
    const sorted = [...known.objects.keys()].sort((a, b) => compare(utf8(a), utf8(b)));
    return Promise.resolve({
      outcome: 'listing',
      rows: (from, below, limit) => {
        const fits = (key: string): boolean =>
          compare(utf8(key), from) >= 0 && (below === undefined || compare(utf8(key), below) < 0);
        const page = sorted.filter(fits).slice(0, limit);
        return Promise.resolve(
          page.flatMap((key) => {
            const info = known.objects.get(key)?.info;
            return info === undefined ? [] : [{ key, ...info }];
          }),
        );
      },
    });
  }

  createUpload(request: CreateUpload): Promise<CreateUploadResult> {
    if (!this.buckets.has(request.bucket)) return Promise.resolve(NO_BUCKET);
    this.#uploadCount += 1;
    const uploadId = `upload-${String(this.#uploadCount)}`;
    const { bucket, key, metadata, checksum } = request;
    this.uploads.set(uploadId, {
      bucket,
      key,
      info: { metadata, checksum, createdMs: this.nowMs },
      parts: new Map(),
    });
    return Promise.resolve({ outcome: 'created', uploadId });
  }

  #upload(address: UploadAddress): StoredUpload | undefined {
    const found = this.uploads.get(address.uploadId);
    return found?.bucket === address.bucket && found.key === address.key ? found : undefined;
  }

  async uploadPart(request: UploadPart): Promise<UploadPartResult> {
    const upload = this.#upload(request);
    if (upload === undefined) return { outcome: 'no-such-upload' };
    const bytes = await collect(request.content);
    const { etag, checksum } = request.content.seal();
    const info = { number: request.number, size: bytes.length, etag, checksum, lastModifiedMs: this.nowMs };
    upload.parts.set(request.number, { info, bytes });
    return { outcome: 'stored', etag, checksum };
  }

  readUpload(address: UploadAddress): Promise<ReadUploadResult> {
    const upload = this.#upload(address);
    if (upload === undefined) return Promise.resolve({ outcome: 'no-such-upload' });
    const parts = [...upload.parts.values()].map((part) => part.info).sort((a, b) => a.number - b.number);
    return Promise.resolve({ outcome: 'found', upload: upload.info, parts });
  }

  completeUpload(request: CompleteUpload): Promise<CompleteUploadResult> {
    const upload = this.#upload(request);
    const bucket = this.buckets.get(request.bucket);
    if (bucket === undefined || upload === undefined) return Promise.resolve({ outcome: 'no-such-upload' });
    const { objects } = bucket;
    const refusal = refused(bucket, request.key, request.condition);
    if (refusal !== null) return Promise.resolve(refusal);
    const pieces: Uint8Array[] = [];
    for (const part of request.parts) {
      const stored = upload.parts.get(part.number);
      if (stored?.info.etag !== part.etag) return Promise.resolve({ outcome: 'changed' });
      pieces.push(stored.bytes);
    }
    const bytes = concat(...pieces);
    const { etag, checksum } = request;
    const info = {
      size: bytes.length,
      etag,
      checksum,
      metadata: upload.info.metadata,
      lastModifiedMs: this.nowMs,
    };
    objects.set(request.key, { info, bytes });
    this.uploads.delete(request.uploadId);
    const result: CompleteUploadResult = { outcome: 'stored', etag, checksum };
    this.completed.set(`${request.uploadId} ${hex(request.operation.id)}`, result);
    return Promise.resolve(result);
  }

  abortUpload(address: UploadAddress): Promise<{ outcome: 'aborted' } | { outcome: 'no-such-upload' }> {
    if (this.#upload(address) === undefined) return Promise.resolve({ outcome: 'no-such-upload' });
    this.uploads.delete(address.uploadId);
    return Promise.resolve({ outcome: 'aborted' });
  }

  completedUpload(address: UploadAddress, operation: OperationId): Promise<CompleteUploadResult | undefined> {
    return Promise.resolve(this.completed.get(`${address.uploadId} ${hex(operation.id)}`));
  }
}
