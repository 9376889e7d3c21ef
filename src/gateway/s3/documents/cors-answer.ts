/**
 * What a browser is told about a bucket: the answer to a preflight, which nobody signs, and the headers on
 * ordinary answers, errors among them, so that a page learns why it was refused. Preflight and request are
 * judged by one function.
 */
import { AssertionError } from '../../../base/assert.ts';
import { EMPTY } from '../../../base/bytes.ts';
import type { HeaderField, HttpResponse } from '../../../base/http.ts';
import { S3Error } from '../http/errors.ts';
import type { Headers } from '../http/headers.ts';
import type { ObjectStore } from '../port/object-store.ts';
import { addressOf, pathStyle } from '../http/addressing.ts';
import { parseResource, parseTarget } from '../http/uri.ts';
import { decodeCors } from './cors.ts';
import type { CorsRule } from './cors.ts';

const ORIGIN_BYTES_MAX = 1024;
const REQUESTED_HEADERS_MAX = 100;
/** Caches must not give the answer for one origin to another. */
const VARY = 'Origin, Access-Control-Request-Headers, Access-Control-Request-Method';

interface CorsQuestion {
  readonly origin: string;
  readonly method: string;
  /** Lower-case names that the page wants to send; undefined when it asks about none. */
  readonly headers: readonly string[] | undefined;
}

/** Does the pattern, with at most one `*`, cover the whole text? */
export function coversText(pattern: string, text: string): boolean {
  const star = pattern.indexOf('*');
  if (star < 0) return pattern === text;
  const before = pattern.slice(0, star);
  const after = pattern.slice(star + 1);
  return text.length >= before.length + after.length && text.startsWith(before) && text.endsWith(after);
}

/** The first rule that covers the question, with the pattern that covered its origin. */
export function matchCors(
  rules: readonly CorsRule[],
  { origin, method, headers }: CorsQuestion,
): { readonly rule: CorsRule; readonly pattern: string } | undefined {
  for (const rule of rules) {
    const pattern = rule.origins.find((candidate) => coversText(candidate, origin));
    if (pattern === undefined || !rule.methods.includes(method)) continue;
    const allowed = rule.headers.map((name) => name.toLowerCase());
    const isAllowed = (name: string): boolean => allowed.some((candidate) => coversText(candidate, name));
    if (headers === undefined || headers.every(isAllowed)) return { rule, pattern };
  }
  return undefined;
}

/** Names as a browser asks about them; undefined without the header. Throws S3Error for too many. */
function requestedHeaders(headers: Headers): readonly string[] | undefined {
  const names = headers
    .get('access-control-request-headers')
    ?.split(',')
    .map((name) => name.trim().toLowerCase())
    .filter((name) => name !== '');
  if (names !== undefined && names.length > REQUESTED_HEADERS_MAX)
    throw new S3Error('InvalidRequest', 'The preflight names too many headers.');
  return names;
}

function originOf(headers: Headers): string | undefined {
  const origin = headers.get('origin');
  return origin !== undefined && origin.length <= ORIGIN_BYTES_MAX && /^[\x21-\x7e]+$/.test(origin) ? origin : undefined;
}

function answerFields({ origin }: CorsQuestion, rule: CorsRule, pattern: string): HeaderField[] {
  const isForAll = pattern === '*';
  return [
    ['Access-Control-Allow-Origin', isForAll ? '*' : origin],
    ['Access-Control-Allow-Methods', rule.methods.join(', ')],
    ...(rule.exposed.length === 0
      ? []
      : [['Access-Control-Expose-Headers', rule.exposed.join(', ')] satisfies HeaderField]),
    ...(isForAll ? [] : [['Access-Control-Allow-Credentials', 'true'] satisfies HeaderField]),
    ['Vary', VARY],
  ];
}

async function rulesOf(store: ObjectStore, bucket: string): Promise<readonly CorsRule[] | undefined> {
  const found = await store.readBucket(bucket);
  const document = found.outcome === 'found' ? found.bucket.documents.cors : undefined;
  return document === undefined ? undefined : decodeCors(document);
}

/**
 * Answers OPTIONS. Whether the bucket is there is not said: no bucket and no configuration look the same.
 * Throws S3Error.
 */
export async function answerPreflight(store: ObjectStore, path: string, headers: Headers): Promise<HttpResponse> {
  const resource = parseResource(path);
  const origin = originOf(headers);
  if (origin === undefined)
    throw new S3Error('BadRequest', 'Insufficient information. Origin request header needed.');
  const method = headers.get('access-control-request-method');
  if (method === undefined || !/^[A-Z]{1,16}$/.test(method))
    throw new S3Error('BadRequest', 'Invalid Access-Control-Request-Method.');
  const requested = requestedHeaders(headers);
  const rules = resource.level === 'service' ? undefined : await rulesOf(store, resource.bucket);
  if (rules === undefined) throw new S3Error('AccessForbidden', 'CORSResponse: CORS is not enabled for this bucket.');
  const question = { origin, method, headers: requested };
  const match = matchCors(rules, question);
  if (match === undefined)
    throw new S3Error(
      'AccessForbidden',
      'CORSResponse: This CORS request is not allowed. This is usually because the evaluation of Origin, request method / Access-Control-Request-Method or Access-Control-Request-Headers are not allowed by the resource\'s CORS spec.',
    );
  const { rule, pattern } = match;
  const fields = answerFields(question, rule, pattern);
  if (requested !== undefined && requested.length > 0) fields.push(['Access-Control-Allow-Headers', requested.join(', ')]);
  if (rule.maxAgeSeconds !== undefined) fields.push(['Access-Control-Max-Age', String(rule.maxAgeSeconds)]);
  return { status: 200, headers: fields, body: EMPTY };
}

/**
 * Headers for the answer to an ordinary request of a page; none when it names no origin, or one that no rule
 * covers. Rejects on a broken invariant only: an answer is not lost because its bucket cannot be read a second time.
 */
export async function corsFields(
  store: ObjectStore,
  request: { readonly method: string; readonly target: string },
  headers: Headers,
  hostNames: readonly string[],
): Promise<readonly HeaderField[]> {
  const origin = originOf(headers);
  if (origin === undefined) return [];
  try {
    const resource = parseResource(pathStyle(addressOf(headers.get('host'), hostNames), parseTarget(request.target).path));
    if (resource.level === 'service') return [];
    const rules = await rulesOf(store, resource.bucket);
    if (rules === undefined) return [];
    const method = headers.get('access-control-request-method') ?? request.method;
    const question = { origin, method, headers: requestedHeaders(headers) };
    const match = matchCors(rules, question);
    return match === undefined ? [['Vary', VARY]] : answerFields(question, match.rule, match.pattern);
  } catch (error) {
    if (error instanceof AssertionError) throw error;
    return [];
  }
}
