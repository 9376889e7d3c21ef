/**
 * The S3 front: one function from request to response over an ObjectStore. In this order: admit,
 * authenticate (auth/), route (router.ts), authorise (access/, policy/), act (a file of the folder that the
 * operation is about); a request refused at one step has cost only the steps before. http/ is the language of
 * requests and answers, body/ and checksums/ what streams through, port/ the store below. Everything it needs
 * of the world comes through ports, so the same front serves the listener (platform/http-server.ts) and the
 * simulator. Whatever goes wrong becomes an answer; only a broken invariant rejects.
 */
import { AssertionError } from '../../base/assert.ts';
import { describeError } from '../../base/errors.ts';
import { hex } from '../../base/bytes.ts';
import type { HeaderField, HttpHandler, HttpRequest, HttpResponse } from '../../base/http.ts';
import type { Clock, Telemetry } from '../../base/ports.ts';
import { Access } from './access/access.ts';
import * as acls from './permissions/acls.ts';
import { accessOf } from './access/actions.ts';
import { GuardedStore } from './access/guarded-store.ts';
import { KeyMeter } from './access/key-meter.ts';
import type { KeyUse } from './access/key-meter.ts';
import * as ownership from './permissions/ownership.ts';
import * as publicAccessBlock from './permissions/public-access-block.ts';
import { BucketUsage } from './access/usage.ts';
import type { Quotas } from './access/usage.ts';
import { addressOf, pathStyle } from './http/addressing.ts';
import * as bucket from './buckets/bucket.ts';
import type { Feature, Surroundings } from './call.ts';
import { openContent, requireNoContent } from './body/content.ts';
import type { Patience } from './body/content.ts';
import { uploadPartCopy } from './multipart/copy-part.ts';
import { copyObject } from './objects/copy.ts';
import { getObjectAttributes } from './objects/object-attributes.ts';
import { deleteObject, deleteObjects } from './objects/delete.ts';
import * as absent from './documents/absent.ts';
import { answerPreflight, corsFields } from './documents/cors-answer.ts';
import * as cors from './documents/cors.ts';
import * as encryption from './documents/encryption.ts';
import * as requestPayment from './documents/request-payment.ts';
import * as tagging from './documents/tagging.ts';
import { errorResponse } from './http/error-response.ts';
import { S3Error, toS3Error } from './http/errors.ts';
import { getObject, headObject } from './objects/get-object.ts';
import { Headers } from './http/headers.ts';
import * as lifecycle from './lifecycle/configuration.ts';
import { listObjects, listObjectsV2 } from './listing/list.ts';
import { listObjectVersions } from './listing/list-versions.ts';
import * as objectLock from './lock/object-lock.ts';
import * as retention from './lock/retention.ts';
import { listMultipartUploads } from './listing/list-uploads.ts';
import * as multipart from './multipart/multipart.ts';
import * as notification from './notification/configuration.ts';
import { NO_TRAIL } from './port/audit-trail.ts';
import type { AuditTrail } from './port/audit-trail.ts';
import { NO_EVENTS } from './port/events.ts';
import { NotifyingStore } from './notification/notifying-store.ts';
import type { BuiltOperation } from './operations.ts';
import type { CredentialLookup } from './auth/principal.ts';
import * as bucketPolicy from './permissions/bucket-policy.ts';
import { postObject } from './post/post-object.ts';
import { putObject } from './objects/put-object.ts';
import { route } from './router.ts';
import { authenticate } from './auth/sigv4.ts';
import * as objectTagging from './tags/object-tagging.ts';
import { parseResource, parseTarget, Query } from './http/uri.ts';
import type { Resource } from './http/uri.ts';
import * as versioning from './buckets/versioning.ts';

const REQUEST_ID_BYTES = 8;

export interface S3FrontOptions extends Surroundings {
  readonly lookup: CredentialLookup;
  /** On what buckets and accounts hold; undefined: none. */
  readonly quotas: Quotas | undefined;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  readonly audit: AuditTrail;
  /**
   * Names beside IP addresses and localhost by which clients may address this endpoint, lower-case, without
   * port; before each may stand a bucket.
   */
  readonly hostNames: readonly string[];
  /** Requests under way at once; one more is answered 503 SlowDown. */
  readonly concurrentMax: number;
  readonly patience: Patience;
}

/** Defaults for what an operator need not think about. */
export const FRONT_DEFAULTS = {
  region: 'us-east-1',
  quotas: undefined,
  hostNames: [],
  concurrentMax: 256,
  events: NO_EVENTS,
  audit: NO_TRAIL,
  webhooks: new Set<string>(),
  patience: { idleMs: 30_000, graceMs: 60_000, bytesPerSecondMin: 1024 },
} as const satisfies Partial<S3FrontOptions>;

const FEATURES: Readonly<Record<BuiltOperation, Feature>> = {
  ListBuckets: bucket.listBuckets,
  CreateBucket: bucket.createBucket,
  DeleteBucket: bucket.deleteBucket,
  HeadBucket: bucket.headBucket,
  GetBucketLocation: bucket.getBucketLocation,
  GetBucketVersioning: versioning.getBucketVersioning,
  PutBucketVersioning: versioning.putBucketVersioning,
  ListObjectVersions: listObjectVersions,
  GetObjectLockConfiguration: objectLock.getObjectLockConfiguration,
  PutObjectLockConfiguration: objectLock.putObjectLockConfiguration,
  GetObjectRetention: retention.getObjectRetention,
  PutObjectRetention: retention.putObjectRetention,
  GetObjectLegalHold: retention.getObjectLegalHold,
  PutObjectLegalHold: retention.putObjectLegalHold,
  GetObjectTagging: objectTagging.getObjectTagging,
  PutObjectTagging: objectTagging.putObjectTagging,
  DeleteObjectTagging: objectTagging.deleteObjectTagging,
  ListObjects: listObjects,
  ListObjectsV2: listObjectsV2,
  DeleteObjects: deleteObjects,
  PostObject: postObject,
  PutObject: putObject,
  GetObject: getObject,
  HeadObject: headObject,
  DeleteObject: deleteObject,
  CreateMultipartUpload: multipart.createMultipartUpload,
  UploadPart: multipart.uploadPart,
  CopyObject: copyObject,
  ListMultipartUploads: listMultipartUploads,
  GetObjectAttributes: getObjectAttributes,
  UploadPartCopy: uploadPartCopy,
  CompleteMultipartUpload: multipart.completeMultipartUpload,
  AbortMultipartUpload: multipart.abortMultipartUpload,
  ListParts: multipart.listParts,
  GetBucketAcl: acls.getBucketAcl,
  PutBucketAcl: acls.putBucketAcl,
  GetObjectAcl: acls.getObjectAcl,
  PutObjectAcl: acls.putObjectAcl,
  GetBucketPolicy: bucketPolicy.getBucketPolicy,
  PutBucketPolicy: bucketPolicy.putBucketPolicy,
  DeleteBucketPolicy: bucketPolicy.deleteBucketPolicy,
  GetBucketPolicyStatus: bucketPolicy.getBucketPolicyStatus,
  GetPublicAccessBlock: publicAccessBlock.getPublicAccessBlock,
  PutPublicAccessBlock: publicAccessBlock.putPublicAccessBlock,
  DeletePublicAccessBlock: publicAccessBlock.deletePublicAccessBlock,
  GetBucketOwnershipControls: ownership.getBucketOwnershipControls,
  PutBucketOwnershipControls: ownership.putBucketOwnershipControls,
  DeleteBucketOwnershipControls: ownership.deleteBucketOwnershipControls,
  GetBucketCors: cors.getBucketCors,
  PutBucketCors: cors.putBucketCors,
  DeleteBucketCors: cors.deleteBucketCors,
  GetBucketLifecycleConfiguration: lifecycle.getBucketLifecycleConfiguration,
  PutBucketLifecycleConfiguration: lifecycle.putBucketLifecycleConfiguration,
  DeleteBucketLifecycle: lifecycle.deleteBucketLifecycle,
  GetBucketTagging: tagging.getBucketTagging,
  PutBucketTagging: tagging.putBucketTagging,
  DeleteBucketTagging: tagging.deleteBucketTagging,
  GetBucketEncryption: encryption.getBucketEncryption,
  PutBucketEncryption: encryption.putBucketEncryption,
  DeleteBucketEncryption: encryption.deleteBucketEncryption,
  GetBucketRequestPayment: requestPayment.getBucketRequestPayment,
  PutBucketRequestPayment: requestPayment.putBucketRequestPayment,
  GetBucketNotificationConfiguration: notification.getBucketNotificationConfiguration,
  PutBucketNotificationConfiguration: notification.putBucketNotificationConfiguration,
  GetBucketWebsite: absent.getBucketWebsite,
  DeleteBucketWebsite: absent.deleteBucketWebsite,
  GetBucketReplication: absent.getBucketReplication,
  DeleteBucketReplication: absent.deleteBucketReplication,
  GetBucketLogging: absent.getBucketLogging,
  GetBucketAccelerateConfiguration: absent.getBucketAccelerateConfiguration,
};

/** What is known of a request before its answer is there. */
interface Context {
  readonly requestId: string;
  operation: string;
  accessKeyId: string | undefined;
  resource: Resource | undefined;
  code: string | undefined;
}

export class S3Front {
  readonly #options: S3FrontOptions;
  readonly #meter: KeyMeter;
  readonly #usage: BucketUsage;
  #underWay = 0;

  constructor(options: S3FrontOptions) {
    this.#options = options;
    this.#meter = new KeyMeter(options.clock, options.telemetry);
    this.#usage = new BucketUsage(options);
  }

  /** Use of access keys since the start. */
  keyUses(): ReadonlyMap<string, KeyUse> {
    return this.#meter.uses();
  }

  /** Requests under way, including answers still being sent. */
  get underWay(): number {
    return this.#underWay;
  }

  readonly handle: HttpHandler = async (request) => {
    const { random, telemetry, concurrentMax } = this.#options;
    const requestId = hex(random.bytes(REQUEST_ID_BYTES)).toUpperCase();
    const context: Context = { requestId, operation: 'none', accessKeyId: undefined, resource: undefined, code: undefined };
    const admitted = this.#underWay < concurrentMax;
    if (admitted) this.#underWay += 1;
    let response: HttpResponse;
    try {
      if (!admitted) throw this.#overloaded();
      response = await this.#answer(request, context);
    } catch (error) {
      if (error instanceof AssertionError) {
        if (admitted) this.#underWay -= 1;
        throw error;
      }
      response = this.#refuse(error, request, context);
    }
    response = await this.#noted(request, response, context);
    response = admitted ? await this.#withCors(request, response) : response;
    telemetry.count('s3_requests', { operation: context.operation, status: String(response.status) });
    if (context.accessKeyId !== undefined) this.#meter.charge(context.accessKeyId, answerBytes(response, request.method));
    return this.#finish(response, requestId, admitted);
  };

  async #answer(request: HttpRequest, context: Context): Promise<HttpResponse> {
    const { lookup, region, clock, store, hostNames, patience, events } = this.#options;
    const target = parseTarget(request.target);
    if (request.method === 'OPTIONS') {
      context.operation = 'Preflight';
      const preflight = new Headers(request.headers);
      const path = pathStyle(addressOf(preflight.get('host'), hostNames), target.path);
      return await answerPreflight(store, path, preflight);
    }
    const authenticated = await authenticate(request, target, { lookup, region, nowMs: clock.nowMs() });
    const address = addressOf(authenticated.headers.get('host'), hostNames);
    const { headers, payload, principal, credential } = authenticated;
    if (principal.kind === 'account' && credential !== undefined) {
      context.accessKeyId = principal.accessKeyId;
      this.#meter.admit(principal.accessKeyId, credential, announcedBytes(headers));
    }
    const resource = parseResource(pathStyle(address, target.path));
    context.resource = resource;
    const query = new Query(authenticated.query);
    const { operation, row, requireUnderstood } = route(request.method, resource.level, query, headers);
    context.operation = operation;
    const { scheme, remoteAddress } = request;
    const access = new Access({
      store,
      request: { headers, query, scheme, remoteAddress, nowMs: clock.nowMs() },
      principal,
      credential,
      operation: accessOf(operation),
      resource,
      usage: this.#usage,
    });
    await access.admit();
    requireUnderstood();
    if (!row.body) requireNoContent(headers, payload);
    const storeFor = (who: Access): NotifyingStore =>
      new NotifyingStore(new GuardedStore(who), {
        events,
        nowMs: () => clock.nowMs(),
        origin: { accountId: who.accountId, sourceAddress: remoteAddress, requestId: context.requestId },
        putName: request.method === 'POST' ? 's3:ObjectCreated:Post' : 's3:ObjectCreated:Put',
      });
    const own = storeFor(access);
    return await FEATURES[operation]({
      ...this.#options,
      store: own,
      storeFor,
      completedAgain: (address, result) => own.completedAgain(address, result),
      access,
      usage: this.#usage,
      meter: this.#meter,
      method: request.method,
      confidential: request.confidential,
      resource,
      rawPath: target.rawPath,
      headers,
      query,
      authenticated,
      principal,
      origin: `${request.scheme}://${address.host}`,
      content: (sizeMax, checksums = 'body') =>
        openContent(request, { headers, payload, sizeMax, checksums, clock, patience }),
      contentOf: (bytes, inner, sizeMax) =>
        openContent(
          { body: bytes },
          { headers: inner, payload: { kind: 'unsigned' }, sizeMax, checksums: 'body', clock, patience },
        ),
    });
  }

  #overloaded(): S3Error {
    this.#options.telemetry.count('s3_slowed', { reason: 'requests-under-way' });
    return new S3Error('SlowDown');
  }

  /** Browsers show a page only what these headers let it see, of errors too. */
  async #withCors(request: HttpRequest, response: HttpResponse): Promise<HttpResponse> {
    if (request.method === 'OPTIONS' || !request.headers.some(([name]) => name.toLowerCase() === 'origin')) return response;
    const { store, hostNames } = this.#options;
    const fields = await corsFields(store, request, new Headers(request.headers), hostNames);
    return { ...response, headers: [...response.headers, ...fields] };
  }

  /** A change is in the audit log before it is acknowledged. One that cannot be noted is not called a success. */
  async #noted(request: HttpRequest, response: HttpResponse, context: Context): Promise<HttpResponse> {
    const { status } = response;
    const { requestId, operation, accessKeyId, resource, code } = context;
    const isRead = ['GET', 'HEAD', 'OPTIONS'].includes(request.method);
    try {
      await this.#options.audit.note({
        requestId,
        operation,
        bucket: resource?.level === 'service' ? undefined : resource?.bucket,
        key: resource?.level === 'object' ? resource.key : undefined,
        accessKeyId,
        status,
        code,
        bytes: answerBytes(response, request.method),
        versionId: response.headers.find(([name]) => name.toLowerCase() === 'x-amz-version-id')?.[1],
        remoteAddress: request.remoteAddress,
        // Of an error within the server nobody knows what it did.
        isChange: !isRead && (status < 400 || status >= 500),
      });
      return response;
    } catch (error) {
      response.release?.();
      return this.#refuse(new S3Error('InternalError', `The audit log cannot be written: ${describeError(error)}`), request, context);
    }
  }

  #refuse(error: unknown, request: HttpRequest, context: Context): HttpResponse {
    const { telemetry } = this.#options;
    const { requestId, operation } = context;
    const refused = toS3Error(error);
    context.code = refused.code;
    telemetry.count('s3_refused', { code: refused.code });
    if (refused.code === 'InternalError') {
      const cause =
        error instanceof S3Error ? error.message : error instanceof Error ? error.name : typeof error;
      telemetry.event('error', 's3_internal_error', { requestId, operation, cause });
    }
    return errorResponse(refused, request.method, rawPathOf(request.target), requestId);
  }

  #finish(response: HttpResponse, requestId: string, admitted: boolean): HttpResponse {
    const headers: HeaderField[] = [
      ...response.headers,
      ['x-amz-request-id', requestId],
      ['Server', 'Holdfast'],
    ];
    const sized = response.headers.some(([name]) => name === 'Content-Length');
    const bodiless = response.status === 204 || response.status === 304;
    if (!sized && !bodiless && response.body instanceof Uint8Array)
      headers.push(['Content-Length', String(response.body.length)]);
    let released = false;
    return {
      ...response,
      headers,
      release: () => {
        if (released) return;
        released = true;
        if (admitted) this.#underWay -= 1;
        response.release?.();
      },
    };
  }
}

/** Bytes of the body as announced; what is malformed is refused when the body is opened. */
function announcedBytes(headers: Headers): number {
  const text = headers.get('x-amz-decoded-content-length') ?? headers.get('content-length') ?? '0';
  return /^\d{1,15}$/.test(text) ? Number(text) : 0;
}

function answerBytes({ headers, body }: HttpResponse, method: string): number {
  if (method === 'HEAD') return 0;
  if (body instanceof Uint8Array) return body.length;
  const length = headers.find(([name]) => name.toLowerCase() === 'content-length')?.[1];
  return length === undefined ? 0 : Number(length);
}

/** The path for an error document, which must be able to carry it. */
function rawPathOf(target: string): string {
  return (target.split('?')[0] ?? '').replace(/[^\x20-\x7e]/g, '?');
}
