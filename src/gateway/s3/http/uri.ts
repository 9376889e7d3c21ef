/**
 * The request target, taken apart once. Paths and queries are byte strings (http.ts): percent-decoded here
 * and nowhere else, never normalised (`a//b`, `.` and `..` are key bytes), and encoded again for the
 * signature by `uriEncode`, as Signature Version 4 for S3 asks. Addressing is path-style: /bucket/key.
 */
import { S3Error } from './errors.ts';
import { textOfBytes } from './headers.ts';

export const KEY_BYTES_MAX = 1024;
const QUERY_PARAMETERS_MAX = 64;

const UNRESERVED = /^[A-Za-z0-9\-._~]$/;
const ENCODED = Array.from({ length: 256 }, (_, byte) => {
  const character = String.fromCharCode(byte);
  return UNRESERVED.test(character) ? character : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
});

/** Percent-encodes every byte but the unreserved ones of RFC 3986, and slashes when `keepSlash`. */
export function uriEncode(byteString: string, keepSlash: boolean): string {
  let out = '';
  for (let i = 0; i < byteString.length; i += 1) {
    const byte = byteString.charCodeAt(i);
    out += keepSlash && byte === 0x2f ? '/' : (ENCODED[byte] ?? '');
  }
  return out;
}

function percentDecode(text: string): string {
  const decoded = uriDecode(text);
  if (decoded === undefined) throw new S3Error('InvalidURI');
  return decoded;
}

/** The byte string that `text` stands for; undefined when an escape is broken. */
export function uriDecode(text: string): string | undefined {
  if (/%(?![0-9A-Fa-f]{2})/.test(text)) return undefined;
  return text.replace(/%([0-9A-Fa-f]{2})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 16)),
  );
}

export interface Target {
  /** The path as sent, for messages. */
  readonly rawPath: string;
  /** Decoded path, a byte string beginning with a slash. */
  readonly path: string;
  /** Decoded names and values in the order sent; a name without `=` has an empty value. */
  readonly query: readonly (readonly [name: string, value: string])[];
}

/** Throws S3Error InvalidURI. */
export function parseTarget(target: string): Target {
  if (!target.startsWith('/')) throw new S3Error('InvalidURI');
  const mark = target.indexOf('?');
  const rawPath = mark < 0 ? target : target.slice(0, mark);
  const rawQuery = mark < 0 ? '' : target.slice(mark + 1);
  const pairs = rawQuery.split('&').filter((pair) => pair !== '');
  if (pairs.length > QUERY_PARAMETERS_MAX)
    throw new S3Error('InvalidURI', 'There are too many query parameters.');
  const query = pairs.map((pair) => {
    const equals = pair.indexOf('=');
    const name = equals < 0 ? pair : pair.slice(0, equals);
    const value = equals < 0 ? '' : pair.slice(equals + 1);
    const decode = (part: string): string => percentDecode(part.replaceAll('+', '%20'));
    return [decode(name), decode(value)] as const;
  });
  return { rawPath, path: percentDecode(rawPath), query };
}

/** Query parameters as text, each name once. */
export class Query {
  readonly #values = new Map<string, string>();

  /** Throws S3Error for what is not UTF-8 and for a name given twice. */
  constructor(pairs: Target['query']) {
    for (const [rawName, rawValue] of pairs) {
      const name = textOfBytes(rawName);
      const value = textOfBytes(rawValue);
      if (name === undefined || value === undefined)
        throw new S3Error('InvalidURI', 'The query is not UTF-8.');
      if (this.#values.has(name)) throw new S3Error('InvalidArgument', `${name} is given twice.`);
      this.#values.set(name, value);
    }
  }

  get(name: string): string | undefined {
    return this.#values.get(name);
  }

  has(name: string): boolean {
    return this.#values.has(name);
  }

  names(): IterableIterator<string> {
    return this.#values.keys();
  }
}

/** What a path names. */
export type Resource =
  | { readonly level: 'service' }
  | { readonly level: 'bucket'; readonly bucket: string }
  | { readonly level: 'object'; readonly bucket: string; readonly key: string };

/**
 * Lower-case letters, digits, hyphens and dots as S3 defines them, every label fit for a host name, and not
 * shaped like an IPv4 address.
 */
export function isBucketName(name: string): boolean {
  return (
    /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(name) &&
    !/\.[.-]|-\./.test(name) &&
    !/^\d+\.\d+\.\d+\.\d+$/.test(name) &&
    !/^(xn--|sthree-|amzn-s3-demo-)/.test(name) &&
    !/(-s3alias|--ol-s3|\.mrap|--x-s3|--table-s3)$/.test(name)
  );
}

/** Throws S3Error InvalidBucketName, InvalidURI or KeyTooLongError. */
export function parseResource(path: string): Resource {
  if (path === '/') return { level: 'service' };
  const slash = path.indexOf('/', 1);
  const bucket = slash < 0 ? path.slice(1) : path.slice(1, slash);
  if (!isBucketName(bucket)) throw new S3Error('InvalidBucketName');
  const keyBytes = slash < 0 ? '' : path.slice(slash + 1);
  if (keyBytes === '') return { level: 'bucket', bucket };
  if (keyBytes.length > KEY_BYTES_MAX) throw new S3Error('KeyTooLongError');
  const key = textOfBytes(keyBytes);
  if (key === undefined) throw new S3Error('InvalidURI', 'The key is not UTF-8.');
  return { level: 'object', bucket, key };
}
