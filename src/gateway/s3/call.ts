/**
 * One authenticated and routed request on its way to its operation: what a feature file may see. Features are
 * functions from a Call to a response; they never see a signature, a socket or a clock of their own.
 */
import { concat, EMPTY, utf8 } from '../../base/bytes.ts';
import { unreachable } from '../../base/assert.ts';
import type { HeaderField, HttpResponse } from '../../base/http.ts';
import { prf } from '../../crypto/primitives.ts';
import type { Random } from '../../base/ports.ts';
import type { Access } from './access/access.ts';
import type { KeyMeter } from './access/key-meter.ts';
import type { BucketUsage } from './access/usage.ts';
import { S3Error } from './http/errors.ts';
import type { Headers } from './http/headers.ts';
import type { EventSink } from './port/events.ts';
import type { CompleteUploadResult, UploadAddress } from './port/uploads.ts';
import type { ObjectStore } from './port/object-store.ts';
import type { IncomingContent, OperationId } from './port/content.ts';
import type { AccountDirectory, CredentialLookup, Principal } from './auth/principal.ts';
import type { Authenticated } from './auth/sigv4.ts';
import type { Query, Resource } from './http/uri.ts';

const OPERATION_PURPOSE = 'holdfast/s3/operation-id/v1';
const OPERATION_ID_BYTES = 32;
const INVOCATION_BYTES_MAX = 256;

/** What every feature may know about this gateway. */
export interface Surroundings {
  readonly store: ObjectStore;
  readonly accounts: AccountDirectory;
  readonly region: string;
  /** Authenticates continuation tokens; the same for all gateways of one cluster. */
  readonly tokenKey: Uint8Array;
  readonly random: Random;
  /** Told of every change of an object. */
  readonly events: EventSink;
  /** Names of the webhooks that a bucket may name. */
  readonly webhooks: Pick<ReadonlySet<string>, 'has'>;
}

export interface Call extends Surroundings {
  /** Guarded: it asks for every right that a call of it needs (access/guarded-store.ts). */
  readonly store: ObjectStore;
  /** The store as whoever `access` stands for may use it; see post/acting-as.ts. */
  readonly storeFor: (access: Access) => ObjectStore;
  /** Tells once more of an upload that was completed before, and gives what the client is answered. */
  readonly completedAgain: (address: UploadAddress, result: CompleteUploadResult) => Promise<CompleteUploadResult>;
  readonly access: Access;
  readonly usage: BucketUsage;
  readonly meter: KeyMeter;
  readonly method: string;
  /** Did the request come over a connection that nobody can listen to: TLS or loopback? */
  readonly confidential: boolean;
  readonly resource: Resource;
  readonly rawPath: string;
  readonly headers: Headers;
  readonly query: Query;
  readonly authenticated: Authenticated;
  readonly principal: Principal;
  /** Scheme and host as the client named them. */
  readonly origin: string;
  /**
   * The body as content of at most `sizeMax` bytes; throws S3Error for a bad announcement. At most once.
   * `checksums` says what x-amz-checksum-* headers are about: this body, or the object that the request
   * completes.
   */
  readonly content: (sizeMax: number, checksums?: 'body' | 'object') => IncomingContent;
  /** Bytes that came within the body, as content of their own with what `headers` say of them. */
  readonly contentOf: (bytes: AsyncIterable<Uint8Array>, headers: Headers, sizeMax: number) => IncomingContent;
  /** For who signed within the body; who signed the request is known already. */
  readonly lookup: CredentialLookup;
}

export type Feature = (call: Call) => Promise<HttpResponse>;

export function bucketOf(call: Call): string {
  if (call.resource.level === 'service') throw new S3Error('InvalidRequest', 'A bucket is required.');
  return call.resource.bucket;
}

export function objectOf(call: Call): { readonly bucket: string; readonly key: string } {
  if (call.resource.level !== 'object') throw new S3Error('InvalidRequest', 'A key is required.');
  return { bucket: call.resource.bucket, key: call.resource.key };
}

/**
 * The operation's id (13.11): derived from what the client repeats in a retry where it names its invocation,
 * random otherwise. `part` tells apart the writes of one request (the keys of a bulk delete).
 */
export function operationOf(call: Call, part = ''): OperationId {
  const invocation = call.headers.get('amz-sdk-invocation-id');
  const secret = call.authenticated.credential?.secretAccessKey;
  if (invocation === undefined || invocation.length > INVOCATION_BYTES_MAX || secret === undefined) {
    return { id: call.random.bytes(OPERATION_ID_BYTES), repeatable: false };
  }
  const bucket = call.resource.level === 'service' ? '' : call.resource.bucket;
  const key = call.resource.level === 'object' ? call.resource.key : '';
  const query = [...call.query.names()].sort().flatMap((name) => [name, call.query.get(name) ?? '']);
  const parts = [call.method, bucket, key, JSON.stringify(query), invocation, part].map(utf8);
  return { id: prf(utf8(secret), OPERATION_PURPOSE, ...parts), repeatable: true };
}

/** Results that mean the same S3 error for every operation. */
type Refused =
  | 'unknown'
  | 'no-such-bucket'
  | 'no-such-key'
  | 'no-such-upload'
  | 'no-such-version'
  | 'quota-exceeded'
  | 'delete-marker'
  | 'condition-failed'
  | 'condition-conflict'
  | 'condition-unsupported'
  | 'locked'
  | 'lock-disabled'
  | 'customer-key-needed'
  | 'customer-key-wrong';

export function refusal(outcome: Refused): S3Error {
  switch (outcome) {
    case 'unknown':
      return new S3Error(
        'InternalError',
        'The outcome is not known: the change may have been made. Ask again.',
      );
    case 'no-such-bucket':
      return new S3Error('NoSuchBucket');
    case 'no-such-key':
      return new S3Error('NoSuchKey');
    case 'delete-marker':
      return new S3Error('NoSuchKey');
    case 'no-such-upload':
      return new S3Error('NoSuchUpload');
    case 'no-such-version':
      return new S3Error('NoSuchVersion');
    case 'quota-exceeded':
      return new S3Error('QuotaExceeded', 'The quota of unfinished uploads is used up: complete or abort some.');
    case 'condition-failed':
      return new S3Error('PreconditionFailed');
    case 'condition-conflict':
      return new S3Error('ConditionalRequestConflict');
    case 'condition-unsupported':
      return new S3Error('NotImplemented', 'This bucket was made plain, without the means to decide conditions. Use a bucket made without x-holdfast-bucket-mode: plain, or leave the condition out.');
    case 'locked':
      return new S3Error('AccessDenied', 'The version is locked: it is under legal hold or its retention has not ended. Retention of mode GOVERNANCE is passed over with x-amz-bypass-governance-retention: true by who has s3:BypassGovernanceRetention.');
    case 'lock-disabled':
      return new S3Error('InvalidRequest', 'The bucket has no object lock. Turn versioning on, then object lock (PutObjectLockConfiguration), or make a bucket with x-amz-bucket-object-lock-enabled: true.');
    case 'customer-key-needed':
      return new S3Error('InvalidRequest', 'The object was stored under a key of the customer (SSE-C), which is needed: send x-amz-server-side-encryption-customer-algorithm, -key and -key-MD5 as when it was stored.');
    case 'customer-key-wrong':
      return new S3Error('InvalidRequest', 'The key of the customer (SSE-C) is not the one that the object was stored under. Send that key in x-amz-server-side-encryption-customer-key.');
    default:
      return unreachable(outcome);
  }
}

export function emptyResponse(status: number, headers: readonly HeaderField[] = []): HttpResponse {
  return { status, headers, body: EMPTY };
}

/** A parameter that must be an integer from `min`; above `max` it counts as `max`. */
export function integerParameter(
  query: Query,
  name: string,
  min: number,
  max: number,
  fallback: number,
): number {
  const text = query.get(name);
  if (text === undefined || text === '') return fallback;
  if (!/^\d{1,10}$/.test(text) || Number(text) < min)
    throw new S3Error('InvalidArgument', `${name} must be a decimal number of at least ${String(min)}.`);
  return Math.min(Number(text), max);
}

export const quoted = (etag: string): string => `"${etag}"`;

export const isoTime = (ms: number): string => new Date(ms).toISOString();

/** IMF-fixdate of RFC 9110, which has whole seconds. */
export const httpTime = (ms: number): string => new Date(ms).toUTCString();

/** The least byte string above every one that begins with `prefix`; undefined when there is none. */
export function successor(prefix: Uint8Array): Uint8Array | undefined {
  let length = prefix.length;
  while (length > 0 && prefix[length - 1] === 0xff) length -= 1;
  if (length === 0) return undefined;
  const out = prefix.slice(0, length);
  out[length - 1] = (out[length - 1] ?? 0) + 1;
  return out;
}

/** The least byte string above `key`. */
export function after(key: Uint8Array): Uint8Array {
  return concat(key, new Uint8Array(1));
}
