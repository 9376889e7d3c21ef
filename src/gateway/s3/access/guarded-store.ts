/**
 * The store as one request may use it. Every call is asked for the rights that it needs before it is passed
 * on, and what a read found is judged before the feature sees it: the object's own owner, ACL and tags decide
 * then. A feature cannot reach the store by another way, so what it forgets to ask is refused here.
 */
import { S3Error } from '../http/errors.ts';
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
  ObjectAttributes,
  ObjectInfo,
  ObjectPartsResult,
  PutObject,
  PutObjectResult,
  Tags,
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
import type { Access, AccessTarget } from './access.ts';
import { concernsExisting } from './actions.ts';
import type { QuestionFacts } from './request-values.ts';

type Write = Pick<PutObject, 'bucket' | 'key'> & {
  readonly attributes: Omit<ObjectAttributes, 'tags'> & { readonly tags: Tags | undefined };
};

export class GuardedStore implements ObjectStore {
  readonly #access: Access;
  readonly #store: ObjectStore;
  /** Sizes of versions that were read and judged, so that a copy need not look again. */
  readonly #readable = new Map<string, number>();

  constructor(access: Access) {
    this.#access = access;
    this.#store = access.options.store;
  }

  createBucket(request: CreateBucket): Promise<CreateBucketResult> {
    this.#requireOwnBucket(request.bucket);
    return this.#store.createBucket(request);
  }

  deleteBucket(bucket: string, operation: OperationId): Promise<DeleteBucketResult> {
    this.#requireOwnBucket(bucket);
    return this.#store.deleteBucket(bucket, operation);
  }

  readBucket(bucket: string): Promise<ReadBucketResult> {
    return this.#store.readBucket(bucket);
  }

  /** Those of the account that asks. */
  async listBuckets(): Promise<readonly BucketInfo[]> {
    const { accountId } = this.#access;
    if (accountId === undefined) return [];
    return (await this.#store.listBuckets()).filter(({ owner }) => owner === accountId);
  }

  changeBucket(request: ChangeBucket): Promise<ChangeBucketResult> {
    this.#requireOwnBucket(request.bucket);
    return this.#store.changeBucket(request);
  }

  configureBucket(request: ConfigureBucket): Promise<ConfigureBucketResult> {
    this.#requireOwnBucket(request.bucket);
    return this.#store.configureBucket(request);
  }

  async putObject(request: PutObject): Promise<PutObjectResult> {
    await this.#requireWrite(request);
    const { size } = request.content;
    await this.#requireQuota(request.bucket, size);
    return this.#counted(request.bucket, size, await this.#store.putObject(request));
  }

  async copyObject(request: CopyObject): Promise<CopyObjectResult> {
    await this.#requireWrite(request);
    await this.#requireSource(request.source);
    if (request.attributes.tags === undefined)
      await this.#requireNotDenied('s3:GetObjectTagging', request.source, {});
    const size = this.#readable.get(nameOf(request.source)) ?? 0;
    await this.#requireQuota(request.bucket, size);
    return this.#counted(request.bucket, size, await this.#store.copyObject(request));
  }

  async getObject(request: GetObject): Promise<GetObjectResult> {
    const result = await this.#store.getObject(request);
    try {
      await this.#judge(request, result);
    } catch (error) {
      if (result.outcome === 'found') result.close();
      throw error;
    }
    return result;
  }

  async headObject(address: VersionAddress): Promise<HeadObjectResult> {
    const result = await this.#store.headObject(address);
    await this.#judge(address, result);
    return result;
  }

  async objectParts(address: VersionAddress): Promise<ObjectPartsResult> {
    const result = await this.#store.objectParts(address);
    await this.#judge(address, result);
    return result;
  }

  async deleteObject(request: DeleteObject): Promise<DeleteObjectResult> {
    const action = request.versionId === undefined ? 's3:DeleteObject' : 's3:DeleteObjectVersion';
    if (!this.#isAdmitted(request, action)) await this.#access.require(action, request);
    if (request.bypassGovernance) await this.#access.require('s3:BypassGovernanceRetention', request);
    return await this.#store.deleteObject(request);
  }

  /** What the body says is known only now, so the right is asked for here in full. */
  async changeAttributes(request: ChangeAttributes): Promise<ChangeAttributesResult> {
    const { change } = request;
    const found = await this.#store.headObject(request);
    const actions = this.#access.isPrimary(request) ? this.#access.actionsFor(request.versionId) : [];
    if (actions.length === 0 || !actions.every(concernsExisting)) throw new S3Error('AccessDenied');
    const facts: QuestionFacts =
      change.kind === 'tags'
        ? { requestTags: change.tags }
        : change.kind === 'retention'
          ? { retention: change.retention }
          : change.kind === 'legalHold'
            ? { legalHold: change.legalHold }
            : {};
    await this.#judgeWith(actions, request, found, facts);
    if (change.kind === 'retention' && change.bypassGovernance)
      await this.#access.require('s3:BypassGovernanceRetention', request, facts);
    return await this.#store.changeAttributes(request);
  }

  openListing(bucket: string): Promise<Listing | NoSuchBucket> {
    this.#requireOwnBucket(bucket);
    return this.#store.openListing(bucket);
  }

  async createUpload(request: CreateUpload): Promise<CreateUploadResult> {
    await this.#requireWrite(request);
    return await this.#store.createUpload(request);
  }

  async uploadPart(request: UploadPart): Promise<UploadPartResult> {
    this.#requirePrimary(request);
    await this.#requireQuota(request.bucket, request.content.size);
    return await this.#store.uploadPart(request);
  }

  async copyPart(request: CopyPart): Promise<CopyPartResult> {
    this.#requirePrimary(request);
    await this.#requireSource(request.source);
    await this.#requireQuota(request.bucket, request.span === undefined ? 0 : request.span.to - request.span.from);
    return await this.#store.copyPart(request);
  }

  readUpload(request: ReadUpload): Promise<ReadUploadResult> {
    this.#requirePrimary(request);
    return this.#store.readUpload(request);
  }

  async completeUpload(request: CompleteUpload): Promise<CompleteUploadResult> {
    this.#requirePrimary(request);
    const size = request.parts.reduce((sum, part) => sum + part.size, 0);
    await this.#requireQuota(request.bucket, size);
    return this.#counted(request.bucket, size, await this.#store.completeUpload(request));
  }

  abortUpload(address: UploadAddress, operation: OperationId): Promise<AbortUploadResult> {
    this.#requirePrimary(address);
    return this.#store.abortUpload(address, operation);
  }

  completedUpload(address: UploadAddress, operation: OperationId): Promise<CompleteUploadResult | undefined> {
    this.#requirePrimary(address);
    return this.#store.completedUpload(address, operation);
  }

  /** Was this right asked for when the request was admitted? */
  #isAdmitted(target: Pick<VersionAddress, 'bucket' | 'key' | 'versionId'>, action: string): boolean {
    const { operation } = this.#access.options;
    const isAsked = operation.target === 'object' && !operation.isLate;
    return isAsked && this.#access.isPrimary(target) && this.#access.actionsFor(target.versionId).includes(action);
  }

  /** Operations on a bucket were admitted for the bucket that the request names. */
  #requireOwnBucket(bucket: string): void {
    const { resource, operation } = this.#access.options;
    const isOwn = resource.level !== 'service' && resource.bucket === bucket && operation.target === 'bucket';
    if (!isOwn) throw new S3Error('AccessDenied');
  }

  #requirePrimary(target: Pick<VersionAddress, 'bucket' | 'key'>): void {
    const { operation } = this.#access.options;
    if (!this.#access.isPrimary(target) || operation.target !== 'object') throw new S3Error('AccessDenied');
  }

  async #requireWrite(write: Write): Promise<void> {
    const access = this.#access;
    const { tags, accessControl, retention, legalHold } = write.attributes;
    const target = { bucket: write.bucket, key: write.key };
    const facts: QuestionFacts = {
      ...(tags === undefined ? {} : { requestTags: tags }),
      ...(retention === undefined ? {} : { retention }),
      ...(legalHold ? { legalHold } : {}),
    };
    if (!this.#isAdmitted({ ...target, versionId: undefined }, 's3:PutObject'))
      await access.require('s3:PutObject', target, facts);
    if (tags !== undefined && tags.length > 0) await this.#requireNotDenied('s3:PutObjectTagging', target, facts);
    if (accessControl !== undefined) await this.#requireNotDenied('s3:PutObjectAcl', target, facts);
    if (retention !== undefined) await this.#requireLock('s3:PutObjectRetention', target, facts);
    if (legalHold) await this.#requireLock('s3:PutObjectLegalHold', target, facts);
  }

  /** Whoever may write may also describe what it writes, unless that is forbidden. */
  async #requireNotDenied(action: string, target: AccessTarget, facts: QuestionFacts): Promise<void> {
    if ((await this.#access.decisionOnNew(action, target, facts)) === 'denied') throw new S3Error('AccessDenied');
  }

  /** A lock outlives the right to write, so it needs a right of its own. */
  async #requireLock(action: string, target: AccessTarget, facts: QuestionFacts): Promise<void> {
    if ((await this.#access.decisionOnNew(action, target, facts)) !== 'allowed') throw new S3Error('AccessDenied');
  }

  async #requireQuota(bucket: string, bytes: number): Promise<void> {
    const { usage } = this.#access.options;
    if (usage === undefined) return;
    const { owner } = await this.#access.facts(bucket);
    await usage.admit(bucket, owner, bytes);
  }

  #counted<Result extends { readonly outcome: string }>(bucket: string, bytes: number, result: Result): Result {
    // An unknown outcome may have been written: the next measure knows.
    if (result.outcome === 'stored' || result.outcome === 'unknown') this.#access.options.usage?.wrote(bucket, bytes);
    return result;
  }

  async #requireSource(source: VersionAddress): Promise<void> {
    const expected = this.#access.options.request.headers.get('x-amz-source-expected-bucket-owner');
    const state = expected === undefined ? undefined : await this.#access.bucketState(source.bucket);
    if (state !== undefined && state.owner !== expected) throw new S3Error('AccessDenied');
    if (this.#readable.has(nameOf(source))) return;
    await this.headObject(source);
  }

  /** Actions that reading this object needs: those of the operation on its own object, else GetObject. */
  #readActions(address: VersionAddress): readonly string[] {
    const own = this.#access.isPrimary(address) ? this.#access.actionsFor(address.versionId) : [];
    if (own.length > 0 && own.every(concernsExisting)) return own;
    return [address.versionId === undefined ? 's3:GetObject' : 's3:GetObjectVersion'];
  }

  async #judge(
    address: VersionAddress,
    result: { readonly outcome: string; readonly info?: ObjectInfo },
  ): Promise<void> {
    await this.#judgeWith(this.#readActions(address), address, result, {});
  }

  async #judgeWith(
    actions: readonly string[],
    address: VersionAddress,
    result: { readonly outcome: string; readonly info?: ObjectInfo },
    facts: QuestionFacts,
  ): Promise<void> {
    const { outcome } = result;
    if (outcome === 'no-such-bucket') return;
    // A key of the customer's that is missing or wrong: what the object is was not said.
    const isSealed = outcome === 'customer-key-needed' || outcome === 'customer-key-wrong';
    const known = isSealed ? await this.#store.headObject(address) : result;
    const info = 'info' in known ? known.info : undefined;
    if (info === undefined) {
      if (await this.#access.mayKnowMissing(address)) return;
      throw new S3Error('AccessDenied');
    }
    for (const action of actions) await this.#access.require(action, address, facts, info);
    this.#readable.set(nameOf(address), info.size);
    this.#readable.set(nameOf({ ...address, versionId: info.versionId }), info.size);
  }
}

function nameOf({ bucket, key, versionId }: VersionAddress): string {
  return JSON.stringify([bucket, key, versionId]);
}
