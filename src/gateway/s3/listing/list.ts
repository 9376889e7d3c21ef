/**
 * ListObjects and ListObjectsV2: keys in the order of their UTF-8 bytes, rolled up at a delimiter. The store
 * gives rows from a position; a rolled-up group is skipped by seeking behind it, so a page costs what it
 * shows and not what it hides. One barrier (6.6) covers the page.
 */
import { compare, utf8 } from '../../../base/bytes.ts';
import type { HttpResponse } from '../../../base/http.ts';
import { after, bucketOf, integerParameter, isoTime, quoted, refusal, successor } from '../call.ts';
import type { Call, Feature } from '../call.ts';
import { ownerElement } from '../buckets/bucket.ts';
import { openToken, sealToken } from '../http/continuation.ts';
import { S3Error } from '../http/errors.ts';
import { bytesOfText } from '../http/headers.ts';
import { ReadAhead } from './read-ahead.ts';
import type { ListRow, Listing } from '../port/listing.ts';
import { uriEncode } from '../http/uri.ts';
import { element, optional, xmlResponse } from '../http/xml.ts';
import type { Element } from '../http/xml.ts';

const KEYS_PER_PAGE_MAX = 1000;
const TOKEN_PURPOSE = 'objects';

/** What one page asks for. */
export interface PageRequest {
  readonly prefix: string;
  readonly delimiter: string;
  readonly limit: number;
  /** The least key bytes that may appear. */
  readonly from: Uint8Array;
}

export interface Page {
  readonly rows: readonly ListRow[];
  readonly groups: readonly string[];
  /** Where the next page begins; undefined when this is the last. */
  readonly next: Uint8Array | undefined;
  /** The last key or group shown: v1's NextMarker. */
  readonly last: string | undefined;
}

export const later = (a: Uint8Array, b: Uint8Array): Uint8Array => (compare(a, b) >= 0 ? a : b);

/** The group that a key falls into: the prefix and what follows up to and with the delimiter. */
export function groupOf(key: string, prefix: string, delimiter: string): string | undefined {
  if (delimiter === '') return undefined;
  const at = key.indexOf(delimiter, prefix.length);
  return at < 0 ? undefined : key.slice(0, at + delimiter.length);
}

/** Reads one page. Keys and groups together count toward `limit`. */
export async function readPage(listing: Listing, request: PageRequest): Promise<Page> {
  const { prefix, delimiter, limit } = request;
  const below = successor(utf8(prefix));
  const rows: ListRow[] = [];
  const groups: string[] = [];
  let last: string | undefined;
  let from = later(request.from, utf8(prefix));
  let group: string | undefined;
  const ahead = new ReadAhead(delimiter);
  while (limit > 0 && (below === undefined || compare(from, below) < 0)) {
    const wanted = ahead.next(limit - rows.length - groups.length + 1);
    const batch = await listing.rows(from, below, wanted);
    for (const row of batch) {
      if (group !== undefined && row.key.startsWith(group)) continue;
      if (rows.length + groups.length === limit) return { rows, groups, next: from, last };
      group = groupOf(row.key, prefix, delimiter);
      if (group === undefined) {
        rows.push(row);
        from = after(utf8(row.key));
      } else {
        groups.push(group);
        ahead.seek();
        from = successor(utf8(group)) ?? after(utf8(row.key));
      }
      last = group ?? row.key;
    }
    if (batch.length < wanted) break;
  }
  return { rows, groups, next: undefined, last };
}

/** The position behind a marker. A marker that is itself a group stands for all of it. */
export function behind(marker: string, prefix: string, delimiter: string): Uint8Array {
  const bytes = utf8(marker);
  const isGroup = marker.startsWith(prefix) && groupOf(marker, prefix, delimiter) === marker;
  return (isGroup ? successor(bytes) : undefined) ?? after(bytes);
}

export interface Common {
  readonly prefix: string;
  readonly delimiter: string;
  readonly limit: number;
  /** Text for an element: url-encoded when the client asked for that. */
  readonly show: (text: string) => string;
  readonly encoding: string | undefined;
}

export function commonParameters(call: Call): Common {
  const encoding = call.query.get('encoding-type');
  if (encoding !== undefined && encoding !== 'url')
    throw new S3Error('InvalidArgument', 'encoding-type must be url.');
  return {
    prefix: call.query.get('prefix') ?? '',
    delimiter: call.query.get('delimiter') ?? '',
    limit: integerParameter(call.query, 'max-keys', 0, KEYS_PER_PAGE_MAX, KEYS_PER_PAGE_MAX),
    show: (text) => (encoding === undefined ? text : uriEncode(bytesOfText(text), true)),
    encoding,
  };
}

async function pageOf(call: Call, common: Common, from: Uint8Array): Promise<Page> {
  const listing = await call.store.openListing(bucketOf(call));
  if (listing.outcome !== 'listing') throw refusal(listing.outcome);
  return await readPage(listing, { ...common, from });
}

function rowElement(common: Common, row: ListRow, owner: Element | undefined): Element {
  return element('Contents', [
    element('Key', common.show(row.key)),
    element('LastModified', isoTime(row.lastModifiedMs)),
    element('ETag', quoted(row.etag)),
    ...(row.checksum === undefined
      ? []
      : [element('ChecksumAlgorithm', row.checksum.algorithm), element('ChecksumType', row.checksum.type)]),
    element('Size', row.size),
    ...(owner === undefined ? [] : [owner]),
    element('StorageClass', 'STANDARD'),
  ]);
}

/** What both versions of the answer share, after the elements that differ. */
async function resultElement(
  call: Call,
  common: Common,
  page: Page,
  withOwner: boolean,
  own: readonly Element[],
): Promise<HttpResponse> {
  const owners = new Map<string, Element>();
  for (const { owner } of withOwner ? page.rows : [])
    if (!owners.has(owner)) owners.set(owner, await ownerElement(call, owner));
  return xmlResponse(
    200,
    element('ListBucketResult', [
      element('Name', bucketOf(call)),
      element('Prefix', common.show(common.prefix)),
      ...optional('Delimiter', common.delimiter === '' ? undefined : common.show(common.delimiter)),
      element('MaxKeys', common.limit),
      ...optional('EncodingType', common.encoding),
      element('IsTruncated', page.next !== undefined),
      ...own,
      ...page.rows.map((row) => rowElement(common, row, owners.get(row.owner))),
      ...page.groups.map((group) => element('CommonPrefixes', [element('Prefix', common.show(group))])),
    ]),
  );
}

export const listObjects: Feature = async (call) => {
  const common = commonParameters(call);
  const marker = call.query.get('marker') ?? '';
  const from = marker === '' ? new Uint8Array(0) : behind(marker, common.prefix, common.delimiter);
  const page = await pageOf(call, common, from);
  const next = page.next === undefined || common.delimiter === '' ? undefined : page.last;
  return await resultElement(call, common, page, true, [
    element('Marker', common.show(marker)),
    ...optional('NextMarker', next === undefined ? undefined : common.show(next)),
  ]);
};

export const listObjectsV2: Feature = async (call) => {
  const common = commonParameters(call);
  const token = call.query.get('continuation-token');
  const startAfter = call.query.get('start-after');
  const scope = [TOKEN_PURPOSE, bucketOf(call), common.prefix, common.delimiter];
  let from: Uint8Array = new Uint8Array(0);
  // An empty token is one that a client never got: it begins where no token begins.
  if (token !== undefined && token !== '') from = openToken(call.tokenKey, scope, token);
  else if (startAfter !== undefined && startAfter !== '')
    from = behind(startAfter, common.prefix, common.delimiter);
  const page = await pageOf(call, common, from);
  return await resultElement(call, common, page, call.query.get('fetch-owner') === 'true', [
    element('KeyCount', page.rows.length + page.groups.length),
    ...optional('ContinuationToken', token),
    ...optional(
      'NextContinuationToken',
      page.next === undefined ? undefined : sealToken(call.tokenKey, scope, page.next),
    ),
    ...optional('StartAfter', startAfter === undefined ? undefined : common.show(startAfter)),
  ]);
};
