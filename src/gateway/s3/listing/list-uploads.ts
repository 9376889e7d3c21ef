/**
 * ListMultipartUploads: unfinished uploads by key and upload id, rolled up at a delimiter as objects are
 * (list.ts). A key may have several uploads, so that a page may end within a key.
 */
import { compare, utf8 } from '../../../base/bytes.ts';
import { ownerElement } from '../buckets/bucket.ts';
import { after, bucketOf, integerParameter, isoTime, refusal, successor } from '../call.ts';
import type { Feature } from '../call.ts';
import { S3Error } from '../http/errors.ts';
import { bytesOfText } from '../http/headers.ts';
import { ReadAhead } from './read-ahead.ts';
import type { Listing, UploadRow } from '../port/listing.ts';
import { uriEncode } from '../http/uri.ts';
import { element, optional, xmlResponse } from '../http/xml.ts';
import type { Element } from '../http/xml.ts';

const UPLOADS_PER_PAGE_MAX = 1000;

/** Where a page begins: of the key `from` itself only uploads above `afterId`, where that is given. */
interface Position {
  readonly from: Uint8Array;
  readonly afterId: string | undefined;
}

export interface UploadsRequest {
  readonly prefix: string;
  readonly delimiter: string;
  readonly limit: number;
  readonly start: Position;
}

export interface UploadsPage {
  readonly rows: readonly UploadRow[];
  readonly groups: readonly string[];
  readonly isTruncated: boolean;
  /** Key or group, and upload id, that the page ends with. */
  readonly last: { readonly key: string; readonly uploadId: string | undefined } | undefined;
}

function groupOf(key: string, { prefix, delimiter }: UploadsRequest): string | undefined {
  const at = delimiter === '' ? -1 : key.indexOf(delimiter, prefix.length);
  return at < 0 ? undefined : key.slice(0, at + delimiter.length);
}

/** Reads one page. Uploads and groups together count toward `limit`. */
export async function readUploadsPage(listing: Listing, request: UploadsRequest): Promise<UploadsPage> {
  const { prefix, delimiter, limit } = request;
  const below = successor(utf8(prefix));
  const rows: UploadRow[] = [];
  const groups: string[] = [];
  let last: UploadsPage['last'];
  let group: string | undefined;
  const ahead = new ReadAhead(delimiter);
  let { from, afterId } = request.start;
  if (compare(from, utf8(prefix)) < 0) [from, afterId] = [utf8(prefix), undefined];
  while (limit > 0 && (below === undefined || compare(from, below) < 0)) {
    const wanted = ahead.next(limit - rows.length - groups.length + 1);
    const batch = await listing.uploads(from, afterId, below, wanted);
    for (const row of batch) {
      if (group !== undefined && row.key.startsWith(group)) continue;
      if (rows.length + groups.length === limit) return { rows, groups, isTruncated: true, last };
      group = groupOf(row.key, request);
      if (group === undefined) {
        rows.push(row);
        [from, afterId] = [utf8(row.key), row.uploadId];
        last = { key: row.key, uploadId: row.uploadId };
      } else {
        groups.push(group);
        ahead.seek();
        [from, afterId] = [successor(utf8(group)) ?? after(utf8(row.key)), undefined];
        last = { key: group, uploadId: undefined };
      }
    }
    if (batch.length < wanted) break;
  }
  return { rows, groups, isTruncated: false, last };
}

/** Behind the key; or behind one upload of it, when the request names one. A marker may be a group. */
function startOf(keyMarker: string, uploadIdMarker: string, prefix: string, delimiter: string): Position {
  if (keyMarker === '') return { from: new Uint8Array(0), afterId: undefined };
  const bytes = utf8(keyMarker);
  if (uploadIdMarker !== '') return { from: bytes, afterId: uploadIdMarker };
  const isGroup = delimiter !== '' && keyMarker.startsWith(prefix) && keyMarker.endsWith(delimiter);
  return { from: (isGroup ? successor(bytes) : undefined) ?? after(bytes), afterId: undefined };
}

export const listMultipartUploads: Feature = async (call) => {
  const { query } = call;
  const text = (name: string): string => query.get(name) ?? '';
  const encoding = query.get('encoding-type');
  if (encoding !== undefined && encoding !== 'url')
    throw new S3Error('InvalidArgument', 'encoding-type must be url.');
  const show = (value: string): string => (encoding === undefined ? value : uriEncode(bytesOfText(value), true));
  const [prefix, delimiter] = [text('prefix'), text('delimiter')];
  const keyMarker = text('key-marker');
  const uploadIdMarker = keyMarker === '' ? '' : text('upload-id-marker');
  const limit = integerParameter(query, 'max-uploads', 0, UPLOADS_PER_PAGE_MAX, UPLOADS_PER_PAGE_MAX);
  const listing = await call.store.openListing(bucketOf(call));
  if (listing.outcome !== 'listing') throw refusal(listing.outcome);
  const start = startOf(keyMarker, uploadIdMarker, prefix, delimiter);
  const page = await readUploadsPage(listing, { prefix, delimiter, limit, start });
  const owners = new Map<string, Element>();
  for (const { owner } of page.rows) if (!owners.has(owner)) owners.set(owner, await ownerElement(call, owner));
  const next = page.isTruncated ? page.last : undefined;
  return xmlResponse(
    200,
    element('ListMultipartUploadsResult', [
      element('Bucket', bucketOf(call)),
      element('KeyMarker', show(keyMarker)),
      element('UploadIdMarker', uploadIdMarker),
      ...optional('NextKeyMarker', next === undefined ? undefined : show(next.key)),
      ...optional('NextUploadIdMarker', next?.uploadId),
      element('Prefix', show(prefix)),
      ...optional('Delimiter', delimiter === '' ? undefined : show(delimiter)),
      ...optional('EncodingType', encoding),
      element('MaxUploads', limit),
      element('IsTruncated', page.isTruncated),
      ...page.rows.map((row) => uploadElement(row, show(row.key), owners.get(row.owner))),
      ...page.groups.map((group) => element('CommonPrefixes', [element('Prefix', show(group))])),
    ]),
  );
};

function uploadElement(row: UploadRow, key: string, owner: Element | undefined): Element {
  const owned = owner === undefined ? [] : [{ ...owner, name: 'Initiator' }, owner];
  const checksum =
    row.checksum === undefined
      ? []
      : [element('ChecksumAlgorithm', row.checksum.algorithm), element('ChecksumType', row.checksum.type)];
  return element('Upload', [
    element('Key', key),
    element('UploadId', row.uploadId),
    ...owned,
    element('StorageClass', 'STANDARD'),
    element('Initiated', isoTime(row.createdMs)),
    ...checksum,
  ]);
}
