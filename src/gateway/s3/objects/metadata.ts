/**
 * The headers that an object keeps and gives back: content type and its kin, and x-amz-meta-*. Values are
 * byte strings and come back byte for byte. `aws-chunked` is a transfer matter and is taken out of
 * Content-Encoding.
 */
import type { HeaderField } from '../../../base/http.ts';
import { checksumRow } from '../checksums/checksums.ts';
import type { Checksum } from '../checksums/checksums.ts';
import { httpTime, quoted } from '../call.ts';
import { encryptionHeaders } from '../documents/encryption.ts';
import { S3Error } from '../http/errors.ts';
import type { Headers } from '../http/headers.ts';
import type { ObjectInfo, ObjectMetadata } from '../port/objects.ts';
import type { Query } from '../http/uri.ts';

const USER_PREFIX = 'x-amz-meta-';
/** S3's limit on the names and values of x-amz-meta-* together. */
const USER_METADATA_BYTES_MAX = 2048;
/** Our limit on the six others together, so that metadata always fits a manifest. */
const SYSTEM_METADATA_BYTES_MAX = 4096;

export function metadataOf(headers: Headers): ObjectMetadata {
  const user: [string, string][] = [];
  let userBytes = 0;
  for (const name of headers.names()) {
    if (!name.startsWith(USER_PREFIX)) continue;
    const value = headers.get(name) ?? '';
    user.push([name.slice(USER_PREFIX.length), value]);
    userBytes += name.length - USER_PREFIX.length + value.length;
  }
  if (userBytes > USER_METADATA_BYTES_MAX) throw new S3Error('MetadataTooLarge');
  const metadata: ObjectMetadata = {
    contentType: headers.get('content-type'),
    cacheControl: headers.get('cache-control'),
    contentDisposition: headers.get('content-disposition'),
    contentEncoding: withoutChunked(headers.get('content-encoding')),
    contentLanguage: headers.get('content-language'),
    expires: headers.get('expires'),
    websiteRedirect: undefined,
    sse: undefined,
    user,
  };
  const systemBytes = Object.values(metadata).reduce(
    (sum: number, value) => sum + (typeof value === 'string' ? value.length : 0),
    0,
  );
  if (systemBytes > SYSTEM_METADATA_BYTES_MAX) throw new S3Error('MetadataTooLarge');
  return metadata;
}

function withoutChunked(encoding: string | undefined): string | undefined {
  const tokens = encoding?.split(',').map((token) => token.trim()) ?? [];
  const rest = tokens.filter((token) => token !== '' && token.toLowerCase() !== 'aws-chunked');
  // What the client wrote is given back as it stands, blanks included, unless something was taken out.
  if (rest.length === tokens.length) return encoding;
  return rest.length === 0 ? undefined : rest.join(', ');
}

export function checksumHeaders(checksum: Checksum | undefined): HeaderField[] {
  if (checksum === undefined) return [];
  return [
    [checksumRow(checksum.algorithm).header, checksum.value],
    ['x-amz-checksum-type', checksum.type],
  ];
}

const OVERRIDES = {
  contentType: ['Content-Type', 'response-content-type'],
  cacheControl: ['Cache-Control', 'response-cache-control'],
  contentDisposition: ['Content-Disposition', 'response-content-disposition'],
  contentEncoding: ['Content-Encoding', 'response-content-encoding'],
  contentLanguage: ['Content-Language', 'response-content-language'],
  expires: ['Expires', 'response-expires'],
} as const satisfies Record<
  Exclude<keyof ObjectMetadata, 'user' | 'websiteRedirect' | 'sse'>,
  readonly [header: string, parameter: string]
>;

/** The headers that describe a version in GET and HEAD; `response-*` parameters replace what was stored. */
export function describingHeaders(info: ObjectInfo, query: Query): HeaderField[] {
  const headers: HeaderField[] = [
    ['ETag', quoted(info.etag)],
    ['Last-Modified', httpTime(info.lastModifiedMs)],
    ['Accept-Ranges', 'bytes'],
  ];
  for (const [field, [header, parameter]] of Object.entries(OVERRIDES) as [
    keyof typeof OVERRIDES,
    readonly [string, string],
  ][]) {
    const value = overriding(query, parameter) ?? info.metadata[field];
    if (value !== undefined) headers.push([header, value]);
    else if (field === 'contentType') headers.push([header, 'binary/octet-stream']);
  }
  headers.push(...encryptionHeaders(info.metadata.sse));
  for (const [name, value] of info.metadata.user) headers.push([USER_PREFIX + name, value]);
  return headers;
}

/**
 * A value from the query must be printable before it becomes a header: a line break would split the response.
 */
function overriding(query: Query, parameter: string): string | undefined {
  const value = query.get(parameter);
  if (value !== undefined && !/^[\x20-\x7e]{0,1024}$/.test(value))
    throw new S3Error('InvalidArgument', `${parameter} is not valid.`);
  return value;
}
