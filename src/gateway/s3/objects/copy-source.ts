/**
 * Where a copy comes from: x-amz-copy-source, its conditions, and the range of a part. The header is an
 * encoded path with an optional version behind a question mark; a question mark of the key comes encoded.
 */
import { refusal } from '../call.ts';
import type { Call } from '../call.ts';
import { evaluateConditions } from './conditions.ts';
import { S3Error } from '../http/errors.ts';
import { Headers, textOfBytes } from '../http/headers.ts';
import type { ByteSpan, CustomerKey } from '../port/content.ts';
import type { ObjectInfo, VersionAddress } from '../port/objects.ts';
import { requireKeyOf, sourceKeyOf } from './sealing.ts';
import { requireVersionId } from '../versions/version-id.ts';
import { isBucketName, KEY_BYTES_MAX, uriDecode } from '../http/uri.ts';

const CONDITIONS = ['if-match', 'if-none-match', 'if-modified-since', 'if-unmodified-since'] as const;
const PREFIX = 'x-amz-copy-source-';
const VERSION_PARAMETER = 'versionId=';
const PART_COPY_BYTES_MAX = 5 * 1024 ** 3;

/** Headers of every request that copies. */
export const COPY_SOURCE_HEADERS: readonly string[] = [
  'x-amz-copy-source',
  ...CONDITIONS.map((name) => PREFIX + name),
  'x-amz-source-expected-bucket-owner',
];

const malformed = (): S3Error =>
  new S3Error('InvalidArgument', 'Copy Source must mention the source bucket and key: sourcebucket/sourcekey.');

/** The version that an x-amz-copy-source names. Throws S3Error. */
export function parseCopySource(header: string): VersionAddress {
  const mark = header.indexOf('?');
  const rawPath = mark < 0 ? header : header.slice(0, mark);
  const rawQuery = mark < 0 ? undefined : header.slice(mark + 1);
  const path = uriDecode(rawPath);
  if (path === undefined) throw malformed();
  const bare = path.startsWith('/') ? path.slice(1) : path;
  const slash = bare.indexOf('/');
  const bucket = slash < 0 ? '' : bare.slice(0, slash);
  const keyBytes = bare.slice(slash + 1);
  if (!isBucketName(bucket) || keyBytes === '') throw malformed();
  if (keyBytes.length > KEY_BYTES_MAX) throw new S3Error('KeyTooLongError');
  const key = textOfBytes(keyBytes);
  if (key === undefined) throw malformed();
  if (rawQuery === undefined) return { bucket, key, versionId: undefined };
  const encoded = rawQuery.startsWith(VERSION_PARAMETER) ? rawQuery.slice(VERSION_PARAMETER.length) : '';
  const versionId = uriDecode(encoded);
  if (versionId === undefined || encoded === '' || encoded.includes('&')) throw malformed();
  return { bucket, key, versionId: requireVersionId(versionId) };
}

/** The bytes that x-amz-copy-source-range names of an object of `size` bytes. Throws S3Error. */
export function parseCopyRange(header: string, size: number): ByteSpan {
  const match = /^bytes=(\d{1,15})-(\d{1,15})$/.exec(header);
  const [first, last] = (match?.slice(1) ?? []).map(Number);
  if (first === undefined || last === undefined || last < first) {
    throw new S3Error(
      'InvalidArgument',
      'The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy.',
      [['ArgumentName', 'x-amz-copy-source-range']],
    );
  }
  if (last >= size)
    throw new S3Error('InvalidRange', 'The range is not within the source.', [['ActualObjectSize', String(size)]]);
  if (last - first >= PART_COPY_BYTES_MAX)
    throw new S3Error('InvalidRequest', 'The range is longer than a part may be.');
  return { from: first, to: last + 1 };
}

/** One version, pinned as far as the bucket keeps versions. */
export interface CopySource {
  readonly address: VersionAddress;
  readonly info: ObjectInfo;
  readonly customerKey: CustomerKey | undefined;
  /** Did the request name the version? */
  readonly isNamed: boolean;
}

/** Conditions about the source are failed by what would be 304 of a read. Throws S3Error. */
function requireConditions(headers: Headers, info: ObjectInfo): void {
  const named = CONDITIONS.flatMap((name) => {
    const value = headers.get(PREFIX + name);
    return value === undefined ? [] : [[name, value] as const];
  });
  if (evaluateConditions(new Headers(named), info) === 'not-modified') throw new S3Error('PreconditionFailed');
}

/** The source of this request, found and held against its conditions. Throws S3Error. */
export async function findCopySource(call: Call): Promise<CopySource> {
  const address = parseCopySource(call.headers.get('x-amz-copy-source') ?? '');
  const customerKey = sourceKeyOf(call);
  const found = await call.store.headObject(address);
  if (found.outcome === 'delete-marker' && address.versionId !== undefined) {
    throw new S3Error(
      'InvalidRequest',
      'The source of a copy request may not specifically refer to a delete marker by version id.',
    );
  }
  if (found.outcome !== 'found') throw refusal(found.outcome);
  const { info } = found;
  requireKeyOf(info, customerKey);
  requireConditions(call.headers, info);
  const pinned = { ...address, versionId: address.versionId ?? info.versionId };
  return { address: pinned, info, customerKey, isNamed: address.versionId !== undefined };
}
