/**
 * What a request says about server-side encryption. Everything is sealed by the gateway whatever a client
 * asks for; SSE-S3 (`AES256`) is a name for that, given back as it was asked for. A key of the customer's
 * (SSE-C) comes with each request and is kept by nobody: only its MD5 is. There is no key service (SSE-KMS),
 * so that asking for one is refused, never taken for something else.
 */
import { equal } from '../../../base/bytes.ts';
import type { HeaderField } from '../../../base/http.ts';
import { incremental } from '../../../crypto/primitives.ts';
import { base64, fromBase64 } from '../http/base64.ts';
import type { Call } from '../call.ts';
import { sealedAs } from '../documents/encryption.ts';
import { S3Error } from '../http/errors.ts';
import type { Headers } from '../http/headers.ts';
import type { CustomerKey } from '../port/content.ts';
import type { ObjectInfo } from '../port/objects.ts';

const SSE = 'x-amz-server-side-encryption';
const KMS_KEY = 'x-amz-server-side-encryption-aws-kms-key-id';
const CUSTOMER = 'x-amz-server-side-encryption-customer';
const SOURCE_CUSTOMER = 'x-amz-copy-source-server-side-encryption-customer';
const KEY_BYTES = 32;

const customerHeaders = (prefix: string): string[] => [`${prefix}-algorithm`, `${prefix}-key`, `${prefix}-key-md5`];

/** Headers of a request that reads or writes under the customer's own key. */
export const CUSTOMER_KEY_HEADERS: readonly string[] = customerHeaders(CUSTOMER);
/** Headers of a request that copies from under the customer's own key. */
export const SOURCE_KEY_HEADERS: readonly string[] = customerHeaders(SOURCE_CUSTOMER);
/** Headers of a request that makes an object. */
export const SEALING_HEADERS: readonly string[] = [SSE, KMS_KEY, ...CUSTOMER_KEY_HEADERS];

/** The key in the headers that begin with `prefix`; undefined when there are none. Throws S3Error. */
export function parseCustomerKey(headers: Headers, prefix = CUSTOMER): CustomerKey | undefined {
  const [algorithm, text, md5] = customerHeaders(prefix).map((name) => headers.get(name));
  if (algorithm === undefined && text === undefined && md5 === undefined) return undefined;
  if (algorithm === undefined)
    throw new S3Error('InvalidArgument', 'A key of the customer needs a valid encryption algorithm.');
  if (algorithm !== 'AES256')
    throw new S3Error('InvalidEncryptionAlgorithmError', undefined, [['ArgumentName', `${prefix}-algorithm`]]);
  if (text === undefined) throw new S3Error('InvalidArgument', 'A secret key of the customer is required.');
  const key = fromBase64(text);
  if (key?.length !== KEY_BYTES)
    throw new S3Error('InvalidArgument', 'The secret key was invalid for the specified algorithm.');
  if (md5 === undefined) throw new S3Error('InvalidArgument', 'The MD5 of the customer key is required.');
  const computed = incremental('md5');
  computed.update(key);
  const digest = computed.digest();
  const named = fromBase64(md5);
  if (named === undefined || !equal(named, digest))
    throw new S3Error('InvalidArgument', 'The calculated MD5 hash of the key did not match the hash that was provided.');
  return { key, md5: base64(digest) };
}

/** A secret must not cross a network in the clear. Throws S3Error. */
function confidentialKey(call: Call, prefix: string): CustomerKey | undefined {
  const key = parseCustomerKey(call.headers, prefix);
  if (key !== undefined && !call.confidential)
    throw new S3Error('InvalidRequest', 'A key of the customer needs a secure connection.');
  return key;
}

/** The customer's key for the object that the request names. Throws S3Error. */
export const customerKeyOf = (call: Call): CustomerKey | undefined => confidentialKey(call, CUSTOMER);

/** The customer's key for the source of a copy. Throws S3Error. */
export const sourceKeyOf = (call: Call): CustomerKey | undefined => confidentialKey(call, SOURCE_CUSTOMER);

/** How a new object is to be sealed. */
export interface Sealing {
  /** Named by the request or by the bucket's default. */
  readonly sse: 'AES256' | undefined;
  readonly customerKey: CustomerKey | undefined;
  /** Does the request say anything of it? */
  readonly isAsked: boolean;
}

function askedSse(headers: Headers, customerKey: CustomerKey | undefined): 'AES256' | undefined {
  const sse = headers.get(SSE);
  if (headers.has(KMS_KEY) && !(sse?.startsWith('aws:kms') ?? false))
    throw new S3Error('InvalidArgument', `${KMS_KEY} is for aws:kms alone.`);
  if (sse === undefined) return undefined;
  if (customerKey !== undefined)
    throw new S3Error('InvalidArgument', 'Server-side encryption and a key of the customer exclude each other.');
  if (sse === 'AES256') return sse;
  if (sse === 'aws:kms' || sse === 'aws:kms:dsse')
    throw new S3Error('NotImplemented', 'There is no key management service here: use AES256.');
  throw new S3Error('InvalidArgument', 'The encryption method specified is not supported.');
}

/** What the request asks for, completed by the bucket's default. Throws S3Error. */
export async function sealingOf(call: Call, bucket: string): Promise<Sealing> {
  const customerKey = customerKeyOf(call);
  const asked = askedSse(call.headers, customerKey);
  const isAsked = customerKey !== undefined || asked !== undefined;
  if (isAsked) return { sse: asked, customerKey, isAsked };
  const state = await call.access.bucketState(bucket);
  return { sse: state === undefined ? undefined : sealedAs(state, undefined), customerKey, isAsked };
}

/** Refuses what belongs to writes on a request that reads, as S3 does. Throws S3Error. */
export function refuseSealing(call: Call): void {
  for (const name of [SSE, KMS_KEY])
    if (call.headers.has(name)) throw new S3Error('InvalidArgument', `${name} is not for this operation.`);
}

/**
 * Holds the key that a read brings against the object: demanded where the object has one, refused where it
 * has none. Throws S3Error.
 */
export function requireKeyOf(info: Pick<ObjectInfo, 'customerKeyMd5'>, key: CustomerKey | undefined): void {
  if (info.customerKeyMd5 === undefined) {
    if (key !== undefined)
      throw new S3Error('InvalidRequest', 'The encryption parameters are not applicable to this object.');
    return;
  }
  if (key === undefined)
    throw new S3Error('InvalidRequest', 'The object was stored under a key of the customer, which is needed.');
  if (key.md5 !== info.customerKeyMd5)
    throw new S3Error('InvalidRequest', 'The key of the customer is not the one that the object was stored under.');
}

/** What an answer about an object, a part or an upload says of its customer's key. */
export function customerKeyHeaders(customerKeyMd5: string | undefined): HeaderField[] {
  if (customerKeyMd5 === undefined) return [];
  return [
    [`${CUSTOMER}-algorithm`, 'AES256'],
    [`${CUSTOMER}-key-MD5`, customerKeyMd5],
  ];
}
