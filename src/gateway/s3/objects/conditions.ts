/**
 * Conditions of reads (RFC 9110 section 13) and single byte ranges (section 14), as S3 answers them: If-Match
 * wins over If-Unmodified-Since, If-None-Match over If-Modified-Since. Entity tags compare strongly. Pure.
 */
import { S3Error } from '../http/errors.ts';
import type { Headers } from '../http/headers.ts';
import type { ByteSpan, RangeRequest } from '../port/content.ts';
import type { ObjectInfo } from '../port/objects.ts';

/** Entity tags of a list; `*` matches any. S3 clients also send them without quotes. */
function matchesTag(list: string, etag: string): boolean {
  return list.split(',').some((item) => {
    const tag = item.trim();
    return tag === '*' || tag === etag || tag === `"${etag}"`;
  });
}

/** Milliseconds of an HTTP date; undefined when it is not one, and then the condition does not count. */
function dateOf(text: string | undefined): number | undefined {
  if (text === undefined || !/^[A-Za-z]{3,9}, .* GMT$/.test(text)) return undefined;
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? undefined : ms;
}

/** HTTP dates have whole seconds. */
const wholeSeconds = (ms: number): number => Math.floor(ms / 1000) * 1000;

/** Throws S3Error PreconditionFailed; 'not-modified' asks for a 304. */
export function evaluateConditions(headers: Headers, info: ObjectInfo): 'proceed' | 'not-modified' {
  const modified = wholeSeconds(info.lastModifiedMs);
  const ifMatch = headers.get('if-match');
  if (ifMatch !== undefined) {
    if (!matchesTag(ifMatch, info.etag))
      throw new S3Error('PreconditionFailed', undefined, [['Condition', 'If-Match']]);
  } else {
    const unmodifiedSince = dateOf(headers.get('if-unmodified-since'));
    if (unmodifiedSince !== undefined && modified > unmodifiedSince) {
      throw new S3Error('PreconditionFailed', undefined, [['Condition', 'If-Unmodified-Since']]);
    }
  }
  const ifNoneMatch = headers.get('if-none-match');
  if (ifNoneMatch !== undefined) return matchesTag(ifNoneMatch, info.etag) ? 'not-modified' : 'proceed';
  const modifiedSince = dateOf(headers.get('if-modified-since'));
  return modifiedSince !== undefined && modified <= modifiedSince ? 'not-modified' : 'proceed';
}

/**
 * The Range header as a request. What is not a byte range at all is ignored, as RFC 9110 demands; several
 * ranges are a feature not built. Throws S3Error NotImplemented.
 */
export function parseRange(header: string | undefined): RangeRequest | undefined {
  if (header === undefined) return undefined;
  const unit = /^\s*bytes\s*=\s*(.*)$/i.exec(header);
  if (unit === null) return undefined;
  const parts = (unit[1] ?? '').split(',');
  const match = /^(\d{0,16})-(\d{0,16})$/.exec((parts[0] ?? '').trim());
  if (match === null) return undefined;
  if (parts.length > 1) throw new S3Error('NotImplemented', 'Several ranges in one request are not built.');
  const [, first = '', last = ''] = match;
  if (first === '' && last === '') return undefined;
  if (first === '') return { kind: 'suffix', bytes: Number(last) };
  if (last !== '' && Number(last) < Number(first)) return undefined;
  return { kind: 'from', first: Number(first), last: last === '' ? undefined : Number(last) };
}

/** Does If-Range, when there is one, still name this version? Otherwise the whole object is sent. */
export function rangeApplies(headers: Headers, info: ObjectInfo): boolean {
  const ifRange = headers.get('if-range');
  if (ifRange === undefined) return true;
  const date = dateOf(ifRange);
  return date === undefined ? matchesTag(ifRange, info.etag) : wholeSeconds(info.lastModifiedMs) === date;
}

/** The span of an object of `size` bytes. Throws S3Error InvalidRange when no byte of it is asked for. */
export function resolveRange(range: RangeRequest, size: number): ByteSpan {
  const from = range.kind === 'suffix' ? Math.max(0, size - range.bytes) : range.first;
  const to = range.kind === 'suffix' || range.last === undefined ? size : Math.min(size, range.last + 1);
  if (from >= to) throw new S3Error('InvalidRange', undefined, [['ActualObjectSize', String(size)]]);
  return { from, to };
}
