/**
 * ListObjectVersions: every version and delete marker, by key and of each key the newest first, rolled up at
 * a delimiter. Markers are plain in S3: a page can begin behind any key and version, so they are checked for
 * what they may be, and a made-up one shows nothing that the caller could not list anyway.
 */
import { compare, utf8 } from '../../../base/bytes.ts';
import { ownerElement } from '../buckets/bucket.ts';
import { bucketOf, isoTime, quoted, refusal, successor } from '../call.ts';
import type { Feature } from '../call.ts';
import { S3Error } from '../http/errors.ts';
import { behind, commonParameters, groupOf, later } from './list.ts';
import type { Common } from './list.ts';
import { ReadAhead } from './read-ahead.ts';
import type { Listing, VersionRow } from '../port/listing.ts';
import { requireVersionId } from '../versions/version-id.ts';
import { element, optional, xmlResponse } from '../http/xml.ts';
import type { Element } from '../http/xml.ts';

/** Where a page begins: at a key, or within it behind one of its versions. */
export interface VersionPosition {
  readonly from: Uint8Array;
  readonly after: string | undefined;
}

export interface VersionPage {
  readonly rows: readonly VersionRow[];
  readonly groups: readonly string[];
  readonly isTruncated: boolean;
  /** The last version or group shown. */
  readonly last: { readonly key: string; readonly versionId: string | undefined } | undefined;
}

/** Reads one page. Versions and groups together count toward the limit. */
export async function readVersionPage(
  listing: Pick<Listing, 'versions'>,
  request: Pick<Common, 'prefix' | 'delimiter' | 'limit'>,
  begin: VersionPosition,
): Promise<VersionPage> {
  const { prefix, delimiter, limit } = request;
  const below = successor(utf8(prefix));
  const rows: VersionRow[] = [];
  const groups: string[] = [];
  let last: VersionPage['last'];
  let from = later(begin.from, utf8(prefix));
  let after = from === begin.from ? begin.after : undefined;
  let group: string | undefined;
  const ahead = new ReadAhead(delimiter);
  while (limit > 0 && (below === undefined || compare(from, below) < 0)) {
    const wanted = ahead.next(limit - rows.length - groups.length + 1);
    const batch = await listing.versions(from, after, below, wanted);
    for (const row of batch) {
      if (group !== undefined && row.key.startsWith(group)) continue;
      if (rows.length + groups.length === limit) return { rows, groups, isTruncated: true, last };
      group = groupOf(row.key, prefix, delimiter);
      if (group === undefined) {
        rows.push(row);
        from = utf8(row.key);
        after = row.versionId;
        last = { key: row.key, versionId: row.versionId };
      } else {
        groups.push(group);
        ahead.seek();
        // A prefix of U+10FFFF has a successor too: UTF-8 never holds the byte 0xff.
        from = successor(utf8(group)) ?? utf8(row.key);
        after = undefined;
        last = { key: group, versionId: undefined };
      }
    }
    if (batch.length < wanted) break;
  }
  return { rows, groups, isTruncated: false, last };
}

/** Throws S3Error InvalidArgument. */
function beginOf(common: Common, keyMarker: string, versionMarker: string): VersionPosition {
  if (versionMarker === '') {
    const from = keyMarker === '' ? new Uint8Array(0) : behind(keyMarker, common.prefix, common.delimiter);
    return { from, after: undefined };
  }
  if (keyMarker === '')
    throw new S3Error('InvalidArgument', 'A version-id marker cannot be specified without a key marker.');
  return { from: utf8(keyMarker), after: requireVersionId(versionMarker) };
}

function versionElement(common: Common, row: VersionRow, owner: Element): Element {
  const shared = [
    element('Key', common.show(row.key)),
    element('VersionId', row.versionId),
    element('IsLatest', row.isLatest),
    element('LastModified', isoTime(row.lastModifiedMs)),
    owner,
  ];
  if (row.isDeleteMarker) return element('DeleteMarker', shared);
  return element('Version', [
    ...shared,
    element('ETag', quoted(row.etag)),
    ...(row.checksum === undefined
      ? []
      : [element('ChecksumAlgorithm', row.checksum.algorithm), element('ChecksumType', row.checksum.type)]),
    element('Size', row.size),
    element('StorageClass', 'STANDARD'),
  ]);
}

export const listObjectVersions: Feature = async (call) => {
  const common = commonParameters(call);
  const keyMarker = call.query.get('key-marker') ?? '';
  const versionMarker = call.query.get('version-id-marker') ?? '';
  const begin = beginOf(common, keyMarker, versionMarker);
  const listing = await call.store.openListing(bucketOf(call));
  if (listing.outcome !== 'listing') throw refusal(listing.outcome);
  const page = await readVersionPage(listing, common, begin);
  const next = page.isTruncated ? page.last : undefined;
  const owners = new Map<string, Element>();
  const shown: Element[] = [];
  for (const row of page.rows) {
    const owner = owners.get(row.owner) ?? (await ownerElement(call, row.owner));
    owners.set(row.owner, owner);
    shown.push(versionElement(common, row, owner));
  }
  return xmlResponse(
    200,
    element('ListVersionsResult', [
      element('Name', bucketOf(call)),
      element('Prefix', common.show(common.prefix)),
      element('KeyMarker', common.show(keyMarker)),
      element('VersionIdMarker', versionMarker),
      ...optional('NextKeyMarker', next === undefined ? undefined : common.show(next.key)),
      ...optional('NextVersionIdMarker', next?.versionId),
      element('MaxKeys', common.limit),
      ...optional('Delimiter', common.delimiter === '' ? undefined : common.show(common.delimiter)),
      ...optional('EncodingType', common.encoding),
      element('IsTruncated', page.isTruncated),
      ...shown,
      ...page.groups.map((group) => element('CommonPrefixes', [element('Prefix', common.show(group))])),
    ]),
  );
};
