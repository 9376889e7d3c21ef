/**
 * AWS Signature Version 4, the verifying side: who sent this request, and what does the signature say about
 * its body? Both carriers are understood, the Authorization header and the query of a presigned URL. The
 * signature must cover the host and every x-amz-* header present, so that nothing which steers us can be
 * added on the way. Comparison takes constant time. Nothing of the request is acted upon before this returns.
 */
import { concat, fromHex, fromMapKey, hex, utf8 } from '../../../base/bytes.ts';
import type { HttpRequest } from '../../../base/http.ts';
import { hmacSha256, sha256, timingSafeEqual } from '../../../crypto/primitives.ts';
import { S3Error } from '../http/errors.ts';
import { Headers } from '../http/headers.ts';
import { ANONYMOUS } from './principal.ts';
import type { Credential, CredentialLookup, Principal } from './principal.ts';
import { uriEncode } from '../http/uri.ts';
import type { Target } from '../http/uri.ts';

const ALGORITHM = 'AWS4-HMAC-SHA256';
const SERVICE = 's3';
const SCOPE_END = 'aws4_request';
/** Older clients presign with Signature Version 2 until they are told otherwise; this tells them how. */
export const SIGNATURE_V2_REFUSED =
  `Signature Version 2 is not accepted; sign with Signature Version 4 (${ALGORITHM}). ` +
  "boto3: boto3.client('s3', config=botocore.config.Config(signature_version='s3v4')). " +
  'aws command line: aws configure set default.s3.signature_version s3v4 ' +
  '(of another profile: aws configure set profile.NAME.s3.signature_version s3v4).';
export const CLOCK_SKEW_MAX_MS = 15 * 60 * 1000;
export const PRESIGNED_SECONDS_MAX = 7 * 24 * 3600;
const SIGNED_HEADERS_MAX = 100;

/** What signs the chunks of a body that is sent as `aws-chunked` with signatures. */
export interface ChunkSigning {
  readonly key: Uint8Array;
  /** As in x-amz-date. */
  readonly timestamp: string;
  readonly scope: string;
  /** The request's own signature, in hex: the first link of the chain. */
  readonly seed: string;
}

/** How the body is vouched for. */
export type Payload =
  | { readonly kind: 'hashed'; readonly sha256: Uint8Array }
  | { readonly kind: 'unsigned' }
  | { readonly kind: 'chunked'; readonly signing: ChunkSigning | undefined; readonly trailer: boolean };

export interface Authenticated {
  readonly principal: Principal;
  /** Of the access key that signed; undefined: anonymous. */
  readonly credential: Credential | undefined;
  readonly payload: Payload;
  /** The headers, with x-amz-* parameters of a presigned URL among them. */
  readonly headers: Headers;
  /** The query without what authentication used up. */
  readonly query: Target['query'];
}

export interface AuthenticationSettings {
  readonly lookup: CredentialLookup;
  readonly region: string;
  readonly nowMs: number;
}

/** What the client claims, from either carrier. */
interface Claim {
  readonly accessKeyId: string;
  readonly date: string;
  readonly region: string;
  readonly scope: string;
  readonly signedHeaders: readonly string[];
  readonly signature: string;
  readonly timestamp: string;
  readonly timestampMs: number;
}

/** Headers of which two would let a proxy and us read different ones. */
function refuseRepeated(headers: Headers): void {
  for (const name of headers.names()) {
    const sensitive =
      /^(x-amz-|x-holdfast-|content-|if-)|^(authorization|host|range|date|expires|cache-control)$/.test(name);
    if (sensitive && headers.all(name).length > 1)
      throw new S3Error('InvalidRequest', `The header ${name} is given twice.`);
  }
}

/**
 * Milliseconds of a basic ISO 8601 time such as 20260102T030405Z; undefined when it is not one. Pure: it
 * reads no clock.
 */
export function parseTimestamp(text: string): number | undefined {
  const match = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(text);
  if (match === null) return undefined;
  const [year, month, day, hour, minute, second] = match.slice(1).map(Number);
  const ms = Date.UTC(year ?? 0, (month ?? 0) - 1, day, hour, minute, second);
  const again = new Date(ms).toISOString().replace(/[-:]|\.\d+/g, '');
  return again === text ? ms : undefined;
}

function parseClaim(
  credential: string,
  signedHeaders: string,
  signature: string,
  timestamp: string,
  malformed: (message: string) => S3Error,
): Claim {
  const [accessKeyId = '', date = '', region = '', service = '', end = '', ...rest] = credential.split('/');
  if (accessKeyId === '' || service !== SERVICE || end !== SCOPE_END || rest.length > 0) {
    throw malformed('The credential must be KEY/DATE/REGION/s3/aws4_request.');
  }
  if (!/^[0-9a-f]{64}$/.test(signature)) throw malformed('The signature must be 64 hexadecimal digits.');
  const names = signedHeaders.split(';');
  const ascending = names.every(
    (name, i) => /^[!#$%&'*+.^_`|~0-9a-z-]+$/.test(name) && (i === 0 || (names[i - 1] ?? '') < name),
  );
  if (!ascending || names.length > SIGNED_HEADERS_MAX)
    throw malformed('The signed headers must be lower-case, sorted and distinct.');
  const timestampMs = parseTimestamp(timestamp);
  if (timestampMs === undefined) throw new S3Error('AccessDenied', 'A valid x-amz-date is required.');
  if (!timestamp.startsWith(`${date}T`))
    throw malformed('The date of the credential is not that of x-amz-date.');
  const scope = `${date}/${region}/${SERVICE}/${SCOPE_END}`;
  return { accessKeyId, date, region, scope, signedHeaders: names, signature, timestamp, timestampMs };
}

/**
 * x-amz-date, or the Date header of a client that signs by that one. Either is part of what is signed, so it
 * need not be named among the signed headers.
 */
function signedTimestamp(headers: Headers): string {
  return headers.get('x-amz-date') ?? timestampOfHttpDate(headers.get('date') ?? '') ?? '';
}

/** An HTTP date, or the same with a numeric zone of zero, in the form of x-amz-date. */
function timestampOfHttpDate(text: string): string | undefined {
  const match = /^([A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d) (?:GMT|[+-]0000)$/.exec(text);
  const ms = match === null ? Number.NaN : Date.parse(`${match[1] ?? ''} GMT`);
  return Number.isNaN(ms) ? undefined : new Date(ms).toISOString().replace(/[-:]|\.\d+/g, '');
}

function claimOfHeader(authorization: string, headers: Headers): Claim {
  const malformed = (message: string): S3Error => new S3Error('AuthorizationHeaderMalformed', message);
  const space = authorization.indexOf(' ');
  if (authorization.startsWith('AWS ')) throw new S3Error('InvalidRequest', SIGNATURE_V2_REFUSED);
  if (authorization.slice(0, space) !== ALGORITHM) {
    throw new S3Error('InvalidRequest', `The only authorization mechanism is ${ALGORITHM}.`);
  }
  const parts = new Map<string, string>();
  for (const part of authorization.slice(space + 1).split(',')) {
    const equals = part.indexOf('=');
    const name = part.slice(0, equals).trim();
    if (equals < 0 || parts.has(name)) throw malformed('The authorization header is malformed.');
    parts.set(name, part.slice(equals + 1).trim());
  }
  const credential = parts.get('Credential');
  const signedHeaders = parts.get('SignedHeaders');
  const signature = parts.get('Signature');
  if (
    credential === undefined ||
    signedHeaders === undefined ||
    signature === undefined ||
    parts.size !== 3
  ) {
    throw malformed('Credential, SignedHeaders and Signature are required, and nothing else.');
  }
  return parseClaim(credential, signedHeaders, signature, signedTimestamp(headers), malformed);
}

const PRESIGNED_PARAMETERS = [
  'X-Amz-Algorithm',
  'X-Amz-Credential',
  'X-Amz-Date',
  'X-Amz-Expires',
  'X-Amz-SignedHeaders',
  'X-Amz-Signature',
] as const;

function claimOfQuery(query: Target['query'], nowMs: number): Claim {
  const malformed = (message: string): S3Error => new S3Error('AuthorizationQueryParametersError', message);
  const value = (name: (typeof PRESIGNED_PARAMETERS)[number]): string => {
    const found = query.filter(([candidate]) => candidate === name);
    if (found.length !== 1) throw malformed(`${name} must be given once.`);
    return found[0]?.[1] ?? '';
  };
  if (value('X-Amz-Algorithm') !== ALGORITHM) throw malformed(`X-Amz-Algorithm must be ${ALGORITHM}.`);
  const expires = value('X-Amz-Expires');
  const seconds = Number(expires);
  const range = `X-Amz-Expires must be 1 to ${String(PRESIGNED_SECONDS_MAX)} seconds.`;
  if (!/^-?\d{1,12}$/.test(expires)) throw malformed(range);
  if (seconds < 1 || seconds > PRESIGNED_SECONDS_MAX) throw new S3Error('AccessDenied', range);
  const claim = parseClaim(
    value('X-Amz-Credential'),
    value('X-Amz-SignedHeaders'),
    value('X-Amz-Signature'),
    value('X-Amz-Date'),
    malformed,
  );
  if (nowMs > claim.timestampMs + seconds * 1000)
    throw new S3Error('AccessDenied', 'The presigned request has expired.');
  return claim;
}

/** Trimmed, runs of blanks as one. */
function canonicalValue(headers: Headers, name: string): string {
  return headers
    .all(name)
    .map((value) => value.trim().replace(/[ \t]+/g, ' '))
    .join(',');
}

function canonicalQuery(query: Target['query']): string {
  const encoded = query
    .filter(([name]) => name !== 'X-Amz-Signature')
    .map(([name, value]) => [uriEncode(name, false), uriEncode(value, false)] as const);
  encoded.sort(([a, x], [b, y]) => (a < b ? -1 : a > b ? 1 : x < y ? -1 : x > y ? 1 : 0));
  return encoded.map(([name, value]) => `${name}=${value}`).join('&');
}

function canonicalRequest(
  method: string,
  headers: Headers,
  target: Target,
  claim: Claim,
  payloadHash: string,
): string {
  const lines = [method, uriEncode(target.path, true), canonicalQuery(target.query)];
  for (const name of claim.signedHeaders) lines.push(`${name}:${canonicalValue(headers, name)}`);
  lines.push('', claim.signedHeaders.join(';'), payloadHash);
  return lines.join('\n');
}

export function signingKey(secretAccessKey: string, date: string, region: string): Uint8Array {
  let key = concat(utf8('AWS4'), utf8(secretAccessKey));
  for (const part of [date, region, SERVICE, SCOPE_END]) key = hmacSha256(key, utf8(part));
  return key;
}

function requireCoverage(headers: Headers, signed: readonly string[]): void {
  const covered = new Set(signed);
  if (!covered.has('host')) throw new S3Error('AccessDenied', 'The host header must be signed.');
  for (const name of headers.names()) {
    if (name.startsWith('x-amz-') && !covered.has(name)) {
      throw new S3Error('AccessDenied', 'There were headers present in the request which were not signed.', [
        ['HeadersNotSigned', name],
      ]);
    }
  }
  for (const name of signed) {
    if (!headers.has(name))
      throw new S3Error('SignatureDoesNotMatch', `The signed header ${name} is missing.`);
  }
}

const STREAMING: Readonly<Record<string, { readonly signed: boolean; readonly trailer: boolean }>> = {
  'STREAMING-AWS4-HMAC-SHA256-PAYLOAD': { signed: true, trailer: false },
  'STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER': { signed: true, trailer: true },
  'STREAMING-UNSIGNED-PAYLOAD-TRAILER': { signed: false, trailer: true },
};

function payloadOf(text: string, confidential: boolean, signing: ChunkSigning): Payload {
  if (/^[0-9a-f]{64}$/.test(text)) return { kind: 'hashed', sha256: fromHex(text) };
  if (text.startsWith('STREAMING-AWS4-ECDSA-')) throw new S3Error('NotImplemented', `${text} is not built.`);
  const streaming = Object.hasOwn(STREAMING, text) ? STREAMING[text] : undefined;
  if (streaming === undefined && text !== 'UNSIGNED-PAYLOAD') {
    throw new S3Error(
      'InvalidArgument',
      'x-amz-content-sha256 must be a SHA-256 in hex, UNSIGNED-PAYLOAD or a STREAMING- value.',
    );
  }
  if (streaming?.signed === true) return { kind: 'chunked', signing, trailer: streaming.trailer };
  if (!confidential) throw new S3Error('AccessDenied', 'An unsigned payload needs TLS.');
  return streaming === undefined
    ? { kind: 'unsigned' }
    : { kind: 'chunked', signing: undefined, trailer: true };
}

/** Tokens of temporary credentials: there are none here. */
function refuseSession(headers: Headers, query: Target['query']): void {
  const names = [...headers.names(), ...query.map(([name]) => name)];
  if (names.some((name) => name.toLowerCase() === 'x-amz-security-token')) throw new S3Error('InvalidToken');
}

/** A presigned request may be older than the skew: its own expiry was checked when it was read. */
function requireHereAndNow(claim: Claim, presigned: boolean, settings: AuthenticationSettings): void {
  const { region, nowMs } = settings;
  if (claim.region !== region) {
    const message = `The region of the credential is wrong; expecting '${region}'.`;
    throw new S3Error('AuthorizationHeaderMalformed', message, [['Region', region]]);
  }
  const skewMs = nowMs - claim.timestampMs;
  const tooOld = !presigned && skewMs > CLOCK_SKEW_MAX_MS;
  if (tooOld || -skewMs > CLOCK_SKEW_MAX_MS) throw new S3Error('RequestTimeTooSkewed');
}

/**
 * A request that nobody signed. What it may do is decided later; nothing vouches for its payload but the
 * hashes that it brings itself, so that it may go unsigned over any connection.
 */
function anonymous(headers: Headers, { query }: Target): Authenticated {
  refuseSession(headers, query);
  const text = headers.get('x-amz-content-sha256') ?? 'UNSIGNED-PAYLOAD';
  const signing = { key: new Uint8Array(0), timestamp: '', scope: '', seed: '' };
  const payload = payloadOf(text, true, signing);
  if (payload.kind === 'chunked' && payload.signing !== undefined)
    throw new S3Error('InvalidRequest', 'A request without a signature cannot have signed chunks.');
  return { principal: ANONYMOUS, credential: undefined, payload, headers, query };
}

/**
 * Verifies a request and throws S3Error otherwise; one without any claim is anonymous. The order matters: what is malformed is refused before any
 * key is looked up, and no message tells more than S3's own do.
 */
export async function authenticate(
  request: HttpRequest,
  target: Target,
  settings: AuthenticationSettings,
): Promise<Authenticated> {
  const headers = new Headers(request.headers);
  refuseRepeated(headers);
  const authorization = headers.get('authorization');
  const presigned = target.query.some(([name]) => name === 'X-Amz-Signature' || name === 'X-Amz-Algorithm');
  if (target.query.some(([name]) => name === 'AWSAccessKeyId')) {
    throw new S3Error('InvalidRequest', SIGNATURE_V2_REFUSED);
  }
  if (authorization === undefined && !presigned) return anonymous(headers, target);
  if (authorization !== undefined && presigned)
    throw new S3Error('InvalidArgument', 'Only one authorization mechanism is allowed.');
  const claim =
    authorization === undefined
      ? claimOfQuery(target.query, settings.nowMs)
      : claimOfHeader(authorization, headers);
  refuseSession(headers, target.query);
  requireHereAndNow(claim, presigned, settings);
  requireCoverage(headers, claim.signedHeaders);
  const payloadHash = headers.get('x-amz-content-sha256') ?? (presigned ? 'UNSIGNED-PAYLOAD' : undefined);
  if (payloadHash === undefined) throw new S3Error('InvalidRequest', 'x-amz-content-sha256 is required.');

  const credential = await settings.lookup(claim.accessKeyId);
  if (credential === undefined) throw new S3Error('InvalidAccessKeyId');
  const key = signingKey(credential.secretAccessKey, claim.date, claim.region);
  const canonical = canonicalRequest(request.method, headers, target, claim, payloadHash);
  const toSign = [ALGORITHM, claim.timestamp, claim.scope, hex(sha256(fromMapKey(canonical)))].join('\n');
  const expected = hmacSha256(key, utf8(toSign));
  if (!timingSafeEqual(expected, fromHex(claim.signature))) throw new S3Error('SignatureDoesNotMatch');

  const signing = { key, timestamp: claim.timestamp, scope: claim.scope, seed: claim.signature };
  const effective = presigned ? withQueryHeaders(headers, target.query) : { headers, query: target.query };
  const payload = payloadOf(payloadHash, request.confidential, signing);
  if (presigned && payload.kind === 'chunked' && payload.signing !== undefined) {
    throw new S3Error('InvalidRequest', 'A presigned request cannot have signed chunks.');
  }
  return {
    principal: { kind: 'account', account: credential.account, accessKeyId: claim.accessKeyId },
    credential,
    payload,
    ...effective,
  };
}

/** Could this have come as a header (RFC 9110 section 5)? What is stored of it goes out again as one. */
function isHeaderField(name: string, value: string): boolean {
  return /^[!#$%&'*+.^_`|~0-9a-z-]+$/.test(name) && /^[\t\x20-\x7e\x80-\xff]*$/.test(value);
}

/** Signers move x-amz-* headers into the query of a presigned URL; the signature covers them there. */
function withQueryHeaders(
  headers: Headers,
  query: Target['query'],
): Pick<Authenticated, 'headers' | 'query'> {
  const merged: [string, string][] = [];
  for (const name of headers.names()) for (const value of headers.all(name)) merged.push([name, value]);
  const rest: [string, string][] = [];
  for (const [name, value] of query) {
    if ((PRESIGNED_PARAMETERS as readonly string[]).includes(name)) continue;
    const lower = name.toLowerCase();
    if (!lower.startsWith('x-amz-')) {
      rest.push([name, value]);
      continue;
    }
    if (lower === 'x-amz-content-sha256' && !headers.has(lower) && value !== 'UNSIGNED-PAYLOAD') {
      throw new S3Error('NotImplemented', 'A payload hash in the query is not built; send it as a header.');
    }
    if (!isHeaderField(lower, value))
      throw new S3Error('InvalidRequest', 'A header in the query is not one that HTTP can carry.');
    if (merged.some(([known]) => known === lower))
      throw new S3Error('InvalidRequest', `${lower} is given twice.`);
    merged.push([lower, value]);
  }
  return { headers: new Headers(merged), query: rest };
}
