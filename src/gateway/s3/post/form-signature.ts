/**
 * Who signed a form: Signature Version 4 over the policy as it was sent, with its claims in fields. A form
 * without a policy and without a signature is anonymous.
 */
import { fromHex, utf8 } from '../../../base/bytes.ts';
import { hmacSha256, timingSafeEqual } from '../../../crypto/primitives.ts';
import { S3Error } from '../http/errors.ts';
import type { Credential, CredentialLookup, Principal } from '../auth/principal.ts';
import { parseTimestamp, SIGNATURE_V2_REFUSED, signingKey } from '../auth/sigv4.ts';

const ALGORITHM = 'AWS4-HMAC-SHA256';

export interface FormSigner {
  readonly principal: Principal;
  readonly credential: Credential;
  readonly policy: string;
}

/** Undefined for an anonymous form. Throws S3Error. */
export async function authenticateForm(
  fields: ReadonlyMap<string, string>,
  region: string,
  lookup: CredentialLookup,
): Promise<FormSigner | undefined> {
  if (fields.has('awsaccesskeyid')) throw new S3Error('InvalidRequest', SIGNATURE_V2_REFUSED);
  if (fields.has('x-amz-security-token')) throw new S3Error('InvalidToken');
  const names = ['policy', 'x-amz-algorithm', 'x-amz-credential', 'x-amz-date', 'x-amz-signature'];
  if (!names.some((name) => fields.has(name))) return undefined;
  const [policy = '', algorithm = '', credential = '', timestamp = '', signature = ''] = names.map((name) => required(fields, name));
  if (algorithm !== ALGORITHM) throw new S3Error('InvalidArgument', `x-amz-algorithm must be ${ALGORITHM}.`);
  const [accessKeyId = '', date = '', claimed = '', ...end] = credential.split('/');
  if (accessKeyId === '' || end.join('/') !== 's3/aws4_request' || claimed !== region)
    throw new S3Error('InvalidArgument', `x-amz-credential must be KEY/DATE/${region}/s3/aws4_request.`);
  if (parseTimestamp(timestamp) === undefined || !timestamp.startsWith(`${date}T`))
    throw new S3Error('AccessDenied', 'x-amz-date must be a time of the date in x-amz-credential.');
  if (!/^[0-9a-f]{64}$/.test(signature)) throw new S3Error('InvalidArgument', 'x-amz-signature must be 64 hexadecimal digits.');
  const found = await lookup(accessKeyId);
  if (found === undefined) throw new S3Error('InvalidAccessKeyId');
  const expected = hmacSha256(signingKey(found.secretAccessKey, date, region), utf8(policy));
  if (!timingSafeEqual(expected, fromHex(signature))) throw new S3Error('SignatureDoesNotMatch');
  return { principal: { kind: 'account', account: found.account, accessKeyId }, credential: found, policy };
}

function required(fields: ReadonlyMap<string, string>, name: string): string {
  const value = fields.get(name);
  if (value === undefined) throw new S3Error('InvalidArgument', `Bucket POST must contain a field named '${name}'.`);
  return value;
}
