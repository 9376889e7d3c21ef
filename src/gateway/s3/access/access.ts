/**
 * What one request may do. Between routing and feature, `admit` refuses early what the request itself shows
 * not to be allowed; the feature then works on a store that asks here again for every object it touches
 * (guarded-store.ts), so that no feature can forget to ask.
 */
import { S3Error } from '../http/errors.ts';
import type { ObjectStore } from '../port/object-store.ts';
import type { BucketState } from '../port/buckets.ts';
import type { ObjectInfo } from '../port/objects.ts';
import type { Credential, Principal } from '../auth/principal.ts';
import type { Resource } from '../http/uri.ts';
import { decodeGrants } from './acl.ts';
import { concernsExisting } from './actions.ts';
import type { OperationAccess } from './actions.ts';
import { factsOf } from './bucket-facts.ts';
import type { BucketFacts } from './bucket-facts.ts';
import { decide, decideOnService } from './decide.ts';
import type { Decision, ObjectFacts, Question } from './decide.ts';
import { valuesOf } from './request-values.ts';
import type { QuestionFacts, RequestFacts } from './request-values.ts';
import type { BucketUsage } from './usage.ts';

/** A bucket, or an object in it. */
export interface AccessTarget {
  readonly bucket: string;
  readonly key?: string | undefined;
  readonly versionId?: string | undefined;
}

export interface AccessOptions {
  /** Unguarded. */
  readonly store: ObjectStore;
  readonly request: Omit<RequestFacts, 'principal'>;
  readonly principal: Principal;
  readonly credential: Credential | undefined;
  readonly operation: OperationAccess;
  readonly resource: Resource;
  readonly usage?: BucketUsage | undefined;
}

export class Access {
  readonly options: AccessOptions;
  readonly #buckets = new Map<string, Promise<BucketState | undefined>>();

  constructor(options: AccessOptions) {
    this.options = options;
  }

  get principal(): Principal {
    return this.options.principal;
  }

  get accountId(): string | undefined {
    const { principal } = this.options;
    return principal.kind === 'account' ? principal.account.id : undefined;
  }

  /** The same request on behalf of somebody else: of who signed the form of a POST. */
  actingAs(who: Pick<AccessOptions, 'principal' | 'credential'>, headers = this.options.request.headers): Access {
    return new Access({ ...this.options, ...who, request: { ...this.options.request, headers } });
  }

  /** Actions of the operation on this address. */
  actionsFor(versionId: string | undefined): readonly string[] {
    const { actions, versionActions } = this.options.operation;
    return versionId === undefined ? actions : versionActions;
  }

  /** Does the request name this very object? */
  isPrimary(target: AccessTarget): boolean {
    const { resource } = this.options;
    return resource.level === 'object' && resource.bucket === target.bucket && resource.key === target.key;
  }

  /**
   * Refuses what is not allowed, and a bucket that is not there. Passes what depends on the object: the
   * guarded store decides that when the object is read.
   */
  async admit(): Promise<void> {
    const { operation, resource, request } = this.options;
    if (operation.target === 'service') return this.#admitService('*');
    if (resource.level === 'service') throw new S3Error('AccessDenied');
    const { bucket } = resource;
    if (operation.actions.includes('s3:CreateBucket')) return this.#admitService(resourceArn({ bucket }));
    const state = await this.bucketState(bucket);
    if (state === undefined) throw new S3Error('NoSuchBucket');
    const expected = request.headers.get('x-amz-expected-bucket-owner');
    if (expected !== undefined && expected !== state.owner) throw new S3Error('AccessDenied');
    if (operation.target === 'each') return;
    const versionId = request.query.get('versionId');
    const target = { bucket, key: resource.level === 'object' ? resource.key : undefined, versionId };
    if (operation.isLate) return;
    for (const action of this.actionsFor(versionId)) {
      const decision = this.#decide(action, target, factsOf(state), undefined, {});
      if (decision !== 'allowed' && decision !== 'depends') throw new S3Error('AccessDenied');
    }
  }

  /** An anonymous client has no buckets, which is an answer; anything else it may not. */
  #admitService(resource: string): void {
    const isListing = this.options.operation.target === 'service';
    for (const action of this.options.operation.actions) {
      const decision = decideOnService(this.#question(action, resource, {}));
      const isNobodys = isListing && this.accountId === undefined;
      if (decision !== 'allowed' && !isNobodys) throw new S3Error('AccessDenied');
    }
  }

  /** The state of a bucket as this request saw it first; undefined when there is none. */
  async bucketState(bucket: string): Promise<BucketState | undefined> {
    let reading = this.#buckets.get(bucket);
    if (reading === undefined) {
      reading = this.options.store
        .readBucket(bucket)
        .then((result) => (result.outcome === 'found' ? result.bucket : undefined));
      this.#buckets.set(bucket, reading);
    }
    return await reading;
  }

  /** Facts of a bucket that is there; throws NoSuchBucket. */
  async facts(bucket: string): Promise<BucketFacts> {
    const state = await this.bucketState(bucket);
    if (state === undefined) throw new S3Error('NoSuchBucket');
    return factsOf(state);
  }

  /**
   * Throws AccessDenied unless the action is allowed. For an action about an object that is there, `info` is
   * what was read of it.
   */
  async require(action: string, target: AccessTarget, facts: QuestionFacts = {}, info?: ObjectInfo): Promise<void> {
    if ((await this.decision(action, target, facts, info)) !== 'allowed') throw new S3Error('AccessDenied');
  }

  /**
   * The decision on what a write says about its own new version, which is not there yet: as if it were the
   * bucket owner's.
   */
  async decisionOnNew(action: string, target: AccessTarget, facts: QuestionFacts = {}): Promise<Decision> {
    const bucket = await this.facts(target.bucket);
    return this.#decide(action, target, bucket, { owner: bucket.owner, grants: [] }, facts);
  }

  async decision(
    action: string,
    target: AccessTarget,
    facts: QuestionFacts = {},
    info?: ObjectInfo,
  ): Promise<Decision> {
    const bucket = await this.facts(target.bucket);
    const object = info === undefined ? undefined : objectFactsOf(info);
    const tags = info === undefined ? {} : { existingTags: info.attributes.tags };
    return this.#decide(action, target, bucket, object, { ...tags, ...facts });
  }

  /** May the client be told that there is no such object? Only who may list the bucket at this key. */
  async mayKnowMissing(target: AccessTarget): Promise<boolean> {
    const action = target.versionId === undefined ? 's3:ListBucket' : 's3:ListBucketVersions';
    const facts = { prefix: target.key ?? '' };
    const bucket = { bucket: target.bucket };
    if ((await this.decision(action, bucket, facts)) === 'allowed') return true;
    return target.versionId !== undefined && (await this.decision('s3:ListBucket', bucket, facts)) === 'allowed';
  }

  #question(action: string, resource: string, facts: QuestionFacts): Question {
    const { request, principal, credential } = this.options;
    return {
      accountId: this.accountId,
      action,
      resource,
      keyPolicy: credential?.policy,
      valuesOf: valuesOf({ ...request, principal }, facts),
    };
  }

  #decide(
    action: string,
    target: AccessTarget,
    bucket: BucketFacts,
    object: ObjectFacts | undefined,
    facts: QuestionFacts,
  ): Decision {
    const all = { versionId: target.versionId, bucketOwner: bucket.owner, ...facts };
    const question = this.#question(action, resourceArn(target), all);
    return decide(question, bucket, concernsExisting(action) ? object : undefined);
  }
}

function objectFactsOf({ owner, attributes }: ObjectInfo): ObjectFacts {
  return { owner, grants: decodeGrants(attributes.accessControl, owner) ?? [] };
}

export function resourceArn({ bucket, key }: AccessTarget): string {
  return key === undefined ? `arn:aws:s3:::${bucket}` : `arn:aws:s3:::${bucket}/${key}`;
}
