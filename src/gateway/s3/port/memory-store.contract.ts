/**
 * An ObjectStore in memory for tests of the S3 front. It keeps the contract of object-store.ts to the letter:
 * it reads content to its end, commits only after `seal`, decides conditions, retention and versions, and can
 * be told to fail in each permitted way.
 */
import { compare, concat, equal, hex, utf8 } from '../../../base/bytes.ts';
import { OperationError } from '../../../base/errors.ts';
import type { ErrorCode } from '../../../base/errors.ts';
import type { ObjectStore } from './object-store.ts';
import { CONFIGURATION_BYTES_MAX } from './buckets.ts';
import type {
  BucketInfo,
  BucketState,
  ChangeBucket,
  ChangeBucketResult,
  ConfigureBucket,
  ConfigureBucketResult,
  CreateBucket,
  CreateBucketResult,
  DeleteBucketResult,
  ReadBucketResult,
} from './buckets.ts';
import type { CustomerKey, IncomingContent, OperationId } from './content.ts';
import type { Listing, UploadRow, VersionRow } from './listing.ts';
import { NULL_VERSION } from './objects.ts';
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
  Missing,
  ObjectAttributes,
  ObjectInfo,
  ObjectPart,
  ObjectPartsResult,
  PutObject,
  PutObjectResult,
  Stored,
  VersionAddress,
  WriteCondition,
} from './objects.ts';
import type { ConditionFailed, CustomerKeyFault, NoSuchBucket, NoSuchKey, NoSuchUpload } from './outcomes.ts';
import type {
  AbortUploadResult,
  CompleteUpload,
  CompleteUploadResult,
  CopyPart,
  CopyPartResult,
  CreateUpload,
  CreateUploadResult,
  PartInfo,
  ReadUpload,
  ReadUploadResult,
  UploadAddress,
  UploadInfo,
  UploadPart,
  UploadPartResult,
} from './uploads.ts';
import { DEFAULT_CHECKSUM } from '../checksums/checksums.ts';
import { sealOf } from './memory-content.contract.ts';

const PIECE_BYTES = 64 * 1024;
const NO_BUCKET: NoSuchBucket = { outcome: 'no-such-bucket' };
const NO_KEY: NoSuchKey = { outcome: 'no-such-key' };
const NO_UPLOAD: NoSuchUpload = { outcome: 'no-such-upload' };
const DAY_MS = 24 * 3600 * 1000;
/** Owner of buckets that a test makes without saying whose they are. */
export const MEMORY_OWNER: string = '0123456789abcdef'.repeat(4);

export interface StoredVersion {
  readonly versionId: string;
  readonly isDeleteMarker: boolean;
  /** Of a delete marker, what a listing shows of it. */
  info: ObjectInfo;
  readonly bytes: Uint8Array;
  readonly parts: readonly ObjectPart[];
  readonly customerKey: CustomerKey | undefined;
}

export interface StoredBucket {
  state: BucketState;
  /** Versions of each key, the newest first. */
  readonly objects: Map<string, StoredVersion[]>;
}

export interface StoredUpload {
  readonly bucket: string;
  readonly key: string;
  readonly info: UploadInfo;
  readonly customerKey: CustomerKey | undefined;
  readonly parts: Map<number, { readonly info: PartInfo; readonly bytes: Uint8Array }>;
}

async function collect(content: IncomingContent): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  for await (const piece of content.bytes) pieces.push(piece);
  return concat(...pieces);
}

const byBytes = (a: string, b: string): number => compare(utf8(a), utf8(b));

function within(key: string, from: Uint8Array, below: Uint8Array | undefined): boolean {
  const bytes = utf8(key);
  return compare(bytes, from) >= 0 && (below === undefined || compare(bytes, below) < 0);
}

function isCurrent(version: StoredVersion | undefined): version is StoredVersion {
  return version !== undefined && !version.isDeleteMarker;
}

function failedCondition(condition: WriteCondition | undefined, current: StoredVersion | undefined): ConditionFailed | NoSuchKey | undefined {
  if (condition === undefined) return undefined;
  const info = isCurrent(current) ? current.info : undefined;
  const { ifMatch, ifNoneMatch, ifLastModifiedMs, ifSize } = condition;
  if (ifNoneMatch !== undefined && info !== undefined && (ifNoneMatch === '*' || ifNoneMatch === info.etag)) return { outcome: 'condition-failed' };
  if (ifMatch !== undefined && info === undefined) return NO_KEY;
  const isRight =
    (ifMatch === undefined || ifMatch === '*' || ifMatch === info?.etag) &&
    (ifLastModifiedMs === undefined || (info !== undefined && Math.floor(info.lastModifiedMs / 1000) === Math.floor(ifLastModifiedMs / 1000))) &&
    (ifSize === undefined || ifSize === info?.size);
  return isRight ? undefined : { outcome: 'condition-failed' };
}

function keyFault(version: StoredVersion, key: CustomerKey | undefined): CustomerKeyFault | undefined {
  if (version.customerKey === undefined) return undefined;
  if (key === undefined) return { outcome: 'customer-key-needed' };
  return equal(key.key, version.customerKey.key) ? undefined : { outcome: 'customer-key-wrong' };
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
  /** Another conditional write was decided before the next conditional write. */
  conflict = false;
  /** A read yields so many pieces and then fails. */
  breakReadAfter: number | undefined;
  #now: () => number;
  #count = 0;

  /** `now`: a clock in Unix milliseconds; without one time stands still until a test moves it. */
  constructor(now: () => number = () => 1_700_000_000_000) {
    this.#now = now;
  }

  get nowMs(): number {
    return this.#now();
  }

  set nowMs(ms: number) {
    this.#now = () => ms;
  }

  /** A bucket without a request. */
  addBucket(bucket: string, changes: Partial<BucketState> = {}): void {
    const state: BucketState = {
      name: bucket,
      createdMs: this.nowMs,
      owner: MEMORY_OWNER,
      versioning: 'never',
      lockEnabled: false,
      defaultRetention: undefined,
      serialised: true,
      documents: {},
      ...changes,
    };
    this.buckets.set(bucket, { state, objects: new Map() });
  }

  #failedCondition(
    { state }: StoredBucket,
    condition: WriteCondition | undefined,
    current: StoredVersion | undefined,
  ): ConditionFailed | NoSuchKey | undefined {
    if (condition === undefined) return undefined;
    if (!state.serialised) return { outcome: 'condition-unsupported' };
    const { conflict } = this;
    this.conflict = false;
    return conflict ? { outcome: 'condition-conflict' } : failedCondition(condition, current);
  }

  /** True when the outcome is to be unknown. */
  #failing(): boolean {
    const { fail } = this;
    this.fail = undefined;
    if (fail === undefined || fail === 'unknown') return fail === 'unknown';
    throw new OperationError(fail, 'as the test asked');
  }

  #nextId(): string {
    this.#count += 1;
    return `v${String(this.#count).padStart(12, '0')}`;
  }

  createBucket(request: CreateBucket): Promise<CreateBucketResult> {
    const { bucket, owner, lockEnabled, serialised, documents } = request;
    const known = this.buckets.get(bucket);
    if (known !== undefined) return Promise.resolve({ outcome: known.state.owner === owner ? 'owned-by-you' : 'taken' });
    this.addBucket(bucket, { owner, lockEnabled, serialised, documents, ...(lockEnabled ? { versioning: 'enabled' } : {}) });
    return Promise.resolve({ outcome: 'created' });
  }

  deleteBucket(bucket: string): Promise<DeleteBucketResult> {
    const known = this.buckets.get(bucket);
    if (known === undefined) return Promise.resolve(NO_BUCKET);
    if (known.objects.size > 0) return Promise.resolve({ outcome: 'not-empty' });
    this.buckets.delete(bucket);
    for (const [id, upload] of this.uploads) if (upload.bucket === bucket) this.uploads.delete(id);
    return Promise.resolve({ outcome: 'deleted' });
  }

  readBucket(bucket: string): Promise<ReadBucketResult> {
    const known = this.buckets.get(bucket);
    return Promise.resolve(known === undefined ? NO_BUCKET : { outcome: 'found', bucket: known.state });
  }

  listBuckets(): Promise<readonly BucketInfo[]> {
    const all = [...this.buckets.values()].map(({ state: { name, createdMs, owner } }) => ({ name, createdMs, owner }));
    return Promise.resolve(all.sort((a, b) => byBytes(a.name, b.name)));
  }

  changeBucket({ bucket, change }: ChangeBucket): Promise<ChangeBucketResult> {
    const known = this.buckets.get(bucket);
    if (known === undefined) return Promise.resolve(NO_BUCKET);
    if (this.#failing()) return Promise.resolve({ outcome: 'unknown' });
    const { state } = known;
    if (!state.serialised) return Promise.resolve({ outcome: 'not-allowed' });
    if (change.kind === 'versioning') {
      if (state.lockEnabled && change.versioning === 'suspended') return Promise.resolve({ outcome: 'not-allowed' });
      known.state = { ...state, versioning: change.versioning };
    } else {
      if (state.versioning !== 'enabled') return Promise.resolve({ outcome: 'not-allowed' });
      known.state = { ...state, lockEnabled: true, defaultRetention: change.defaultRetention };
    }
    return Promise.resolve({ outcome: 'changed' });
  }

  configureBucket({ bucket, document, text }: ConfigureBucket): Promise<ConfigureBucketResult> {
    const known = this.buckets.get(bucket);
    if (known === undefined) return Promise.resolve(NO_BUCKET);
    if (this.#failing()) return Promise.resolve({ outcome: 'unknown' });
    const rest = Object.entries(known.state.documents).filter(([name]) => name !== document);
    const documents = Object.fromEntries(text === undefined ? rest : [...rest, [document, text]]);
    if (utf8(JSON.stringify(documents)).length > CONFIGURATION_BYTES_MAX) return Promise.resolve({ outcome: 'too-large' });
    known.state = { ...known.state, documents };
    return Promise.resolve({ outcome: 'changed' });
  }

  /** Retention undefined: the bucket's default, if it has one. */
  #attributes({ state }: StoredBucket, asked: ObjectAttributes): ObjectAttributes {
    const rule = state.defaultRetention;
    if (asked.retention !== undefined || rule === undefined) return asked;
    const days = rule.period.unit === 'days' ? rule.period.count : rule.period.count * 365;
    return { ...asked, retention: { mode: rule.mode, untilMs: this.nowMs + days * DAY_MS } };
  }

  /** Lays a version on top, or in place of the null version. */
  #commit(bucket: StoredBucket, key: string, made: Omit<StoredVersion, 'versionId' | 'info'> & { readonly info: Omit<ObjectInfo, 'versionId' | 'lastModifiedMs' | 'size'> }): StoredVersion {
    const { versioning } = bucket.state;
    const versionId = versioning === 'enabled' ? this.#nextId() : NULL_VERSION;
    const info = { ...made.info, size: made.bytes.length, lastModifiedMs: this.nowMs, versionId: versioning === 'never' ? undefined : versionId };
    const version: StoredVersion = { ...made, versionId, info };
    const before = bucket.objects.get(key) ?? [];
    const kept = versioning === 'enabled' ? before : before.filter((known) => known.versionId !== NULL_VERSION);
    bucket.objects.set(key, [version, ...kept]);
    return version;
  }

  #stored({ info }: StoredVersion): Stored {
    const { etag, checksum, versionId, lastModifiedMs } = info;
    return { outcome: 'stored', etag, checksum, versionId, lastModifiedMs };
  }

  #find({ bucket, key, versionId }: VersionAddress): StoredVersion | Missing {
    const known = this.buckets.get(bucket);
    if (known === undefined) return NO_BUCKET;
    const versions = known.objects.get(key) ?? [];
    const found = versionId === undefined ? versions[0] : versions.find((version) => version.versionId === versionId);
    if (found === undefined) return versionId === undefined ? NO_KEY : { outcome: 'no-such-version' };
    if (!found.isDeleteMarker) return found;
    return { outcome: 'delete-marker', versionId: found.versionId, lastModifiedMs: found.info.lastModifiedMs };
  }

  async putObject(request: PutObject): Promise<PutObjectResult> {
    const bucket = this.buckets.get(request.bucket);
    if (bucket === undefined) return NO_BUCKET;
    const { attributes } = request;
    if (!bucket.state.lockEnabled && (attributes.retention !== undefined || attributes.legalHold)) return { outcome: 'lock-disabled' };
    const bytes = await collect(request.content);
    const { etag, checksum } = request.content.seal();
    this.attempts.push(request.operation);
    if (this.#failing()) return { outcome: 'unknown' };
    const failed = this.#failedCondition(bucket, request.condition, bucket.objects.get(request.key)?.[0]);
    if (failed !== undefined) return failed;
    this.operations.push(request.operation);
    const { owner, metadata, customerKey } = request;
    const info = { etag, checksum, owner, metadata, attributes: this.#attributes(bucket, attributes), partCount: 0, customerKeyMd5: customerKey?.md5 };
    return this.#stored(this.#commit(bucket, request.key, { isDeleteMarker: false, bytes, parts: [], customerKey, info }));
  }

  copyObject(request: CopyObject): Promise<CopyObjectResult> {
    const bucket = this.buckets.get(request.bucket);
    if (bucket === undefined) return Promise.resolve(NO_BUCKET);
    const source = this.#find(request.source);
    if ('outcome' in source) return Promise.resolve({ outcome: 'no-such-source' });
    const fault = keyFault(source, request.sourceCustomerKey);
    if (fault !== undefined) return Promise.resolve(fault);
    if (source.info.etag !== request.sourceEtag) return Promise.resolve({ outcome: 'source-changed' });
    const { attributes, owner, customerKey } = request;
    if (!bucket.state.lockEnabled && (attributes.retention !== undefined || attributes.legalHold)) return Promise.resolve({ outcome: 'lock-disabled' });
    if (this.#failing()) return Promise.resolve({ outcome: 'unknown' });
    const failed = this.#failedCondition(bucket, request.condition, bucket.objects.get(request.key)?.[0]);
    if (failed !== undefined) return Promise.resolve(failed);
    this.operations.push(request.operation);
    const full: ObjectAttributes = { ...attributes, tags: attributes.tags ?? source.info.attributes.tags };
    const { etag, checksum } = sealOf(source.bytes, request.checksum ?? source.info.checksum?.algorithm ?? DEFAULT_CHECKSUM);
    const info = {
      etag,
      checksum,
      owner,
      metadata: request.metadata ?? source.info.metadata,
      attributes: this.#attributes(bucket, full),
      partCount: 0,
      customerKeyMd5: customerKey?.md5,
    };
    const made = this.#commit(bucket, request.key, { isDeleteMarker: false, bytes: source.bytes, parts: [], customerKey, info });
    return Promise.resolve({ ...this.#stored(made), sourceVersionId: source.info.versionId });
  }

  getObject(request: GetObject): Promise<GetObjectResult> {
    if (this.#failing()) throw new Error('a read is never unknown');
    const found = this.#find(request);
    if ('outcome' in found) return Promise.resolve(found);
    const fault = keyFault(found, request.customerKey);
    if (fault !== undefined) return Promise.resolve(fault);
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

  headObject(address: VersionAddress): Promise<HeadObjectResult> {
    const found = this.#find(address);
    return Promise.resolve('outcome' in found ? found : { outcome: 'found', info: found.info });
  }

  objectParts(address: VersionAddress): Promise<ObjectPartsResult> {
    const found = this.#find(address);
    return Promise.resolve('outcome' in found ? found : { outcome: 'found', info: found.info, parts: found.parts });
  }

  /** Does a lock forbid to take this version away? */
  #isLocked({ info }: StoredVersion, bypass: boolean): boolean {
    const { retention, legalHold } = info.attributes;
    if (legalHold) return true;
    if (retention === undefined || retention.untilMs <= this.nowMs) return false;
    return retention.mode === 'COMPLIANCE' || !bypass;
  }

  deleteObject(request: DeleteObject): Promise<DeleteObjectResult> {
    const bucket = this.buckets.get(request.bucket);
    if (bucket === undefined) return Promise.resolve(NO_BUCKET);
    if (this.#failing()) return Promise.resolve({ outcome: 'unknown' });
    const { key, versionId, operation } = request;
    const versions = bucket.objects.get(key) ?? [];
    const named = versionId === undefined ? versions[0] : versions.find((version) => version.versionId === versionId);
    if (request.condition !== undefined && (versionId === undefined || named !== undefined)) {
      const failed = this.#failedCondition(bucket, request.condition, named);
      if (failed !== undefined) return Promise.resolve(failed);
    }
    this.operations.push(operation);
    if (versionId === undefined && bucket.state.versioning !== 'never') return Promise.resolve(this.#mark(bucket, request));
    if (named === undefined) return Promise.resolve({ outcome: 'deleted', versionId, isDeleteMarker: false });
    if (this.#isLocked(named, request.bypassGovernance)) return Promise.resolve({ outcome: 'locked' });
    const rest = versions.filter((version) => version !== named);
    if (rest.length === 0) bucket.objects.delete(key);
    else bucket.objects.set(key, rest);
    return Promise.resolve({ outcome: 'deleted', versionId, isDeleteMarker: named.isDeleteMarker });
  }

  #mark(bucket: StoredBucket, { key, owner }: DeleteObject): DeleteObjectResult {
    const metadata = { contentType: undefined, cacheControl: undefined, contentDisposition: undefined, contentEncoding: undefined, contentLanguage: undefined, expires: undefined, websiteRedirect: undefined, sse: undefined, user: [] };
    const attributes: ObjectAttributes = { tags: [], accessControl: undefined, retention: undefined, legalHold: false };
    const info = { etag: '', checksum: undefined, owner, metadata, attributes, partCount: 0, customerKeyMd5: undefined };
    const made = this.#commit(bucket, key, { isDeleteMarker: true, bytes: new Uint8Array(0), parts: [], customerKey: undefined, info });
    return { outcome: 'deleted', versionId: made.versionId, isDeleteMarker: true };
  }

  changeAttributes(request: ChangeAttributes): Promise<ChangeAttributesResult> {
    const found = this.#find(request);
    if ('outcome' in found) return Promise.resolve(found);
    if (this.#failing()) return Promise.resolve({ outcome: 'unknown' });
    const { change } = request;
    const { attributes } = found.info;
    const isLock = change.kind === 'retention' || change.kind === 'legalHold';
    if (isLock && this.buckets.get(request.bucket)?.state.lockEnabled !== true) return Promise.resolve({ outcome: 'lock-disabled' });
    if (change.kind === 'retention') {
      const before = attributes.retention;
      const isActive = before !== undefined && before.untilMs > this.nowMs;
      const isLonger = change.retention !== undefined && before !== undefined && change.retention.untilMs >= before.untilMs && before.mode === change.retention.mode;
      const isFree = before?.mode === 'GOVERNANCE' && change.bypassGovernance;
      if (isActive && !isLonger && !isFree) return Promise.resolve({ outcome: 'locked' });
    }
    const changed: ObjectAttributes =
      change.kind === 'tags'
        ? { ...attributes, tags: change.tags }
        : change.kind === 'accessControl'
          ? { ...attributes, accessControl: change.accessControl }
          : change.kind === 'retention'
            ? { ...attributes, retention: change.retention }
            : { ...attributes, legalHold: change.legalHold };
    found.info = { ...found.info, attributes: changed };
    return Promise.resolve({ outcome: 'changed', versionId: found.info.versionId });
  }

  openListing(bucket: string): Promise<Listing | NoSuchBucket> {
    const known = this.buckets.get(bucket);
    if (known === undefined) return Promise.resolve(NO_BUCKET);
    const rows = [...known.objects]
      .sort(([a], [b]) => byBytes(a, b))
      .flatMap(([key, versions]) => versions.map((version, i) => rowOf(key, version, i === 0)));
    const uploads = [...this.uploads]
      .filter(([, upload]) => upload.bucket === bucket)
      .map(([uploadId, { key, info }]): UploadRow => ({ key, uploadId, createdMs: info.createdMs, owner: info.owner, checksum: info.checksum }))
      .sort((a, b) => byBytes(a.key, b.key) || byBytes(a.uploadId, b.uploadId));
    return Promise.resolve({
      outcome: 'listing',
      rows: (from, below, limit) =>
        Promise.resolve(rows.filter((row) => row.isLatest && !row.isDeleteMarker && within(row.key, from, below)).slice(0, limit)),
      versions: (from, after, below, limit) => {
        const inRange = rows.filter((row) => within(row.key, from, below));
        if (after === undefined) return Promise.resolve(inRange.slice(0, limit));
        const isFirst = (row: VersionRow): boolean => compare(utf8(row.key), from) === 0;
        const at = inRange.findIndex((row) => isFirst(row) && row.versionId === after);
        const rest = at >= 0 ? inRange.slice(at + 1) : inRange.filter((row) => !isFirst(row) || byBytes(row.versionId, after) < 0);
        return Promise.resolve(rest.slice(0, limit));
      },
      uploads: (from, after, below, limit) =>
        Promise.resolve(
          uploads
            .filter((row) => within(row.key, from, below) && (after === undefined || compare(utf8(row.key), from) !== 0 || byBytes(row.uploadId, after) > 0))
            .slice(0, limit),
        ),
    });
  }

  createUpload(request: CreateUpload): Promise<CreateUploadResult> {
    const bucket = this.buckets.get(request.bucket);
    if (bucket === undefined) return Promise.resolve(NO_BUCKET);
    const { key, owner, metadata, attributes, checksum, customerKey } = request;
    if (!bucket.state.lockEnabled && (attributes.retention !== undefined || attributes.legalHold)) return Promise.resolve({ outcome: 'lock-disabled' });
    this.#count += 1;
    const uploadId = `upload-${String(this.#count)}`;
    const info: UploadInfo = { owner, metadata, attributes, createdMs: this.nowMs, checksum, customerKeyMd5: customerKey?.md5 };
    this.uploads.set(uploadId, { bucket: request.bucket, key, info, customerKey, parts: new Map() });
    return Promise.resolve({ outcome: 'created', uploadId });
  }

  #upload(address: UploadAddress): StoredUpload | NoSuchUpload | NoSuchBucket {
    if (!this.buckets.has(address.bucket)) return NO_BUCKET;
    const found = this.uploads.get(address.uploadId);
    return found?.bucket === address.bucket && found.key === address.key ? found : NO_UPLOAD;
  }

  #uploadKeyFault(upload: StoredUpload, key: CustomerKey | undefined): CustomerKeyFault | undefined {
    if (upload.customerKey === undefined) return undefined;
    if (key === undefined) return { outcome: 'customer-key-needed' };
    return equal(key.key, upload.customerKey.key) ? undefined : { outcome: 'customer-key-wrong' };
  }

  async uploadPart(request: UploadPart): Promise<UploadPartResult> {
    const upload = this.#upload(request);
    if ('outcome' in upload) return upload;
    const fault = this.#uploadKeyFault(upload, request.customerKey);
    if (fault !== undefined) return fault;
    request.content.agree?.(upload.info.checksum);
    const bytes = await collect(request.content);
    const { etag, checksum } = request.content.seal();
    const info = { number: request.number, size: bytes.length, etag, checksum, lastModifiedMs: this.nowMs };
    upload.parts.set(request.number, { info, bytes });
    return { outcome: 'stored', etag, checksum, lastModifiedMs: this.nowMs };
  }

  copyPart(request: CopyPart): Promise<CopyPartResult> {
    const upload = this.#upload(request);
    if ('outcome' in upload) return Promise.resolve(upload);
    const source = this.#find(request.source);
    if ('outcome' in source) return Promise.resolve({ outcome: 'no-such-source' });
    const fault = this.#uploadKeyFault(upload, request.customerKey) ?? keyFault(source, request.sourceCustomerKey);
    if (fault !== undefined) return Promise.resolve(fault);
    if (source.info.etag !== request.sourceEtag) return Promise.resolve({ outcome: 'source-changed' });
    const { from, to } = request.span ?? { from: 0, to: source.bytes.length };
    const bytes = source.bytes.slice(from, to);
    const { etag, checksum } = sealOf(bytes, request.checksum ?? DEFAULT_CHECKSUM);
    upload.parts.set(request.number, { info: { number: request.number, size: bytes.length, etag, checksum, lastModifiedMs: this.nowMs }, bytes });
    return Promise.resolve({ outcome: 'stored', etag, checksum, lastModifiedMs: this.nowMs, sourceVersionId: source.info.versionId });
  }

  readUpload(request: ReadUpload): Promise<ReadUploadResult> {
    const upload = this.#upload(request);
    if ('outcome' in upload) return Promise.resolve(upload);
    const { above, limit } = request.parts ?? { above: 0, limit: Infinity };
    const all = [...upload.parts.values()].map((part) => part.info).sort((a, b) => a.number - b.number);
    const parts = all.filter(({ number }) => number > above).slice(0, limit);
    return Promise.resolve({ outcome: 'found', upload: upload.info, parts });
  }

  completeUpload(request: CompleteUpload): Promise<CompleteUploadResult> {
    const upload = this.#upload(request);
    if ('outcome' in upload) return Promise.resolve(upload);
    const bucket = this.buckets.get(request.bucket);
    if (bucket === undefined) return Promise.resolve(NO_BUCKET);
    const pieces: Uint8Array[] = [];
    for (const part of request.parts) {
      const stored = upload.parts.get(part.number);
      if (stored?.info.etag !== part.etag) return Promise.resolve({ outcome: 'changed' });
      pieces.push(stored.bytes);
    }
    const failed = this.#failedCondition(bucket, request.condition, bucket.objects.get(request.key)?.[0]);
    if (failed !== undefined) return Promise.resolve(failed);
    const { etag, checksum } = request;
    const { owner, metadata, attributes, customerKeyMd5 } = upload.info;
    const parts = request.parts.map(({ number, size, checksum: own }): ObjectPart => ({ number, size, checksum: own }));
    const info = { etag, checksum, owner, metadata, attributes: this.#attributes(bucket, attributes), partCount: parts.length, customerKeyMd5 };
    const made = this.#commit(bucket, request.key, { isDeleteMarker: false, bytes: concat(...pieces), parts, customerKey: upload.customerKey, info });
    this.uploads.delete(request.uploadId);
    const result: CompleteUploadResult = this.#stored(made);
    this.completed.set(`${request.uploadId} ${hex(request.operation.id)}`, result);
    return Promise.resolve(result);
  }

  abortUpload(address: UploadAddress): Promise<AbortUploadResult> {
    const upload = this.#upload(address);
    if ('outcome' in upload) return Promise.resolve(upload);
    this.uploads.delete(address.uploadId);
    return Promise.resolve({ outcome: 'aborted' });
  }

  completedUpload(address: UploadAddress, operation: OperationId): Promise<CompleteUploadResult | undefined> {
    return Promise.resolve(this.completed.get(`${address.uploadId} ${hex(operation.id)}`));
  }
}

function rowOf(key: string, { info, versionId, isDeleteMarker }: StoredVersion, isLatest: boolean): VersionRow {
  const { size, etag, lastModifiedMs, owner, checksum } = info;
  return { key, size, etag, lastModifiedMs, owner, checksum, versionId, isLatest, isDeleteMarker };
}
