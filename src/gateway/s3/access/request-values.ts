/**
 * What a request says to the conditions of policies: the value of each condition key, taken from headers,
 * query, connection and clock, or from what the store was asked to write where the body says it.
 */
import type { Headers } from '../http/headers.ts';
import { textOfBytes } from '../http/headers.ts';
import { EXISTING_TAG, REQUEST_TAG } from '../policy/condition-keys.ts';
import type { Retention, Tags } from '../port/objects.ts';
import type { Principal } from '../auth/principal.ts';
import { uriDecode } from '../http/uri.ts';
import type { Query } from '../http/uri.ts';

const DAY_MS = 24 * 3600 * 1000;

export interface RequestFacts {
  readonly principal: Principal;
  readonly headers: Headers;
  readonly query: Query;
  readonly scheme: 'http' | 'https';
  readonly remoteAddress: string | undefined;
  readonly nowMs: number;
}

/** What is known of one question beyond the request's own line and headers. */
export interface QuestionFacts {
  /** In place of the query's: the key, when the question is whether it may be known to be missing. */
  readonly prefix?: string;
  readonly versionId?: string | undefined;
  readonly existingTags?: Tags;
  /** In place of x-amz-tagging. */
  readonly requestTags?: Tags;
  readonly retention?: Retention | undefined;
  readonly legalHold?: boolean;
  readonly bucketOwner?: string;
}

/** Condition keys that are a header of the request. */
const HEADERS: Readonly<Record<string, string>> = {
  'aws:referer': 'referer',
  'aws:useragent': 'user-agent',
  's3:if-match': 'if-match',
  's3:if-none-match': 'if-none-match',
  's3:object-lock-legal-hold': 'x-amz-object-lock-legal-hold',
  's3:object-lock-mode': 'x-amz-object-lock-mode',
  's3:object-lock-retain-until-date': 'x-amz-object-lock-retain-until-date',
  's3:x-amz-acl': 'x-amz-acl',
  's3:x-amz-content-sha256': 'x-amz-content-sha256',
  's3:x-amz-grant-full-control': 'x-amz-grant-full-control',
  's3:x-amz-grant-read': 'x-amz-grant-read',
  's3:x-amz-grant-read-acp': 'x-amz-grant-read-acp',
  's3:x-amz-grant-write': 'x-amz-grant-write',
  's3:x-amz-grant-write-acp': 'x-amz-grant-write-acp',
  's3:x-amz-metadata-directive': 'x-amz-metadata-directive',
  's3:x-amz-object-ownership': 'x-amz-object-ownership',
  's3:x-amz-server-side-encryption': 'x-amz-server-side-encryption',
  's3:x-amz-server-side-encryption-aws-kms-key-id': 'x-amz-server-side-encryption-aws-kms-key-id',
  's3:x-amz-server-side-encryption-customer-algorithm': 'x-amz-server-side-encryption-customer-algorithm',
  's3:x-amz-storage-class': 'x-amz-storage-class',
  's3:x-amz-website-redirect-location': 'x-amz-website-redirect-location',
};

/** Condition keys that are a parameter of the query. */
const PARAMETERS: Readonly<Record<string, string>> = {
  's3:delimiter': 'delimiter',
  's3:max-keys': 'max-keys',
};

/** A function from a condition key in normal form to its values. */
export function valuesOf(
  request: RequestFacts,
  question: QuestionFacts,
): (key: string) => readonly string[] | undefined {
  return (key) => {
    if (key.startsWith(EXISTING_TAG)) return tagValues(question.existingTags, key.slice(EXISTING_TAG.length));
    if (key.startsWith(REQUEST_TAG)) return tagValues(requestTags(request, question), key.slice(REQUEST_TAG.length));
    if (key === 's3:requestobjecttagkeys') return requestTags(request, question)?.map(([name]) => name);
    const value = special(key, request, question) ?? plain(key, request);
    return value === undefined ? undefined : [value];
  };
}

function plain(key: string, { headers, query }: RequestFacts): string | undefined {
  const parameter = Object.hasOwn(PARAMETERS, key) ? PARAMETERS[key] : undefined;
  if (parameter !== undefined) return query.get(parameter);
  const header = Object.hasOwn(HEADERS, key) ? HEADERS[key] : undefined;
  return header === undefined ? undefined : headerText(headers, header);
}

function headerText(headers: Headers, name: string): string | undefined {
  const value = headers.get(name);
  return value === undefined ? undefined : (textOfBytes(value) ?? value).trim();
}

function special(key: string, request: RequestFacts, question: QuestionFacts): string | undefined {
  const { principal, headers, query, nowMs } = request;
  const { retention } = question;
  const account = principal.kind === 'account' ? principal.account.id : undefined;
  switch (key) {
    case 'aws:currenttime':
      return new Date(nowMs).toISOString();
    case 'aws:epochtime':
      return String(Math.floor(nowMs / 1000));
    case 'aws:principalaccount':
    case 'aws:userid':
    case 'aws:username':
      return account;
    case 'aws:principaltype':
      return account === undefined ? 'Anonymous' : 'Account';
    case 'aws:securetransport':
      return String(request.scheme === 'https');
    case 'aws:sourceip':
      return request.remoteAddress;
    case 's3:authtype':
      return authType(request);
    case 's3:signatureversion':
      return account === undefined ? undefined : 'AWS4-HMAC-SHA256';
    case 's3:signatureage':
      return signatureAge(request);
    case 's3:prefix':
      return question.prefix ?? query.get('prefix');
    case 's3:versionid':
      return question.versionId ?? query.get('versionId');
    case 's3:resourceaccount':
      return question.bucketOwner;
    case 's3:x-amz-copy-source':
      return copySource(headers);
    case 's3:object-lock-mode':
      return retention?.mode;
    case 's3:object-lock-retain-until-date':
      return retention === undefined ? undefined : new Date(retention.untilMs).toISOString();
    case 's3:object-lock-remaining-retention-days':
      return remainingDays(request, question);
    case 's3:object-lock-legal-hold':
      return question.legalHold === undefined ? undefined : question.legalHold ? 'ON' : 'OFF';
    default:
      return undefined;
  }
}

function authType({ principal, headers }: RequestFacts): string | undefined {
  if (principal.kind === 'anonymous') return undefined;
  return headers.has('authorization') ? 'REST-HEADER' : 'REST-QUERY-STRING';
}

/** Milliseconds since the request was signed. */
function signatureAge({ headers, nowMs }: RequestFacts): string | undefined {
  const parts = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(headers.get('x-amz-date') ?? '');
  if (parts === null) return undefined;
  const [year = 0, month = 0, day, hour, minute, second] = parts.slice(1).map(Number);
  return String(Math.max(0, nowMs - Date.UTC(year, month - 1, day, hour, minute, second)));
}

function remainingDays({ headers, nowMs }: RequestFacts, { retention }: QuestionFacts): string | undefined {
  const untilMs = retention?.untilMs ?? Date.parse(headers.get('x-amz-object-lock-retain-until-date') ?? '');
  return Number.isNaN(untilMs) ? undefined : String(Math.max(0, Math.ceil((untilMs - nowMs) / DAY_MS)));
}

/** bucket/key, decoded, without a leading slash and without the version. */
function copySource(headers: Headers): string | undefined {
  const value = headers.get('x-amz-copy-source');
  if (value === undefined) return undefined;
  const path = (value.split('?')[0] ?? '').replace(/^\//, '');
  const decoded = uriDecode(path);
  return decoded === undefined ? undefined : textOfBytes(decoded);
}

/** x-amz-tagging: a query string. What is malformed is refused by the feature; here it has no tags. */
function requestTags({ headers }: RequestFacts, question: QuestionFacts): Tags | undefined {
  if (question.requestTags !== undefined) return question.requestTags;
  const value = headers.get('x-amz-tagging');
  if (value === undefined) return undefined;
  const out: (readonly [string, string])[] = [];
  for (const pair of value.split('&')) {
    const equals = pair.indexOf('=');
    const parts = equals < 0 ? [pair, ''] : [pair.slice(0, equals), pair.slice(equals + 1)];
    const [name, text] = parts.map((part) => {
      const decoded = uriDecode(part.replaceAll('+', '%20'));
      return decoded === undefined ? undefined : textOfBytes(decoded);
    });
    if (name !== undefined && text !== undefined && name !== '') out.push([name, text]);
  }
  return out;
}

function tagValues(tags: Tags | undefined, name: string): readonly string[] | undefined {
  const found = tags?.find(([known]) => known === name);
  return found === undefined ? undefined : [found[1]];
}
