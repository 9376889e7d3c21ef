/**
 * Where a request says its bucket: in the path (path style) or before one of our host names (virtual-hosted
 * style, `bucket.s3.example.com`). The host is signed, so nobody on the way can move a request to another
 * bucket. A name that is none of ours is refused: its path could lack the bucket.
 */
import { S3Error } from './errors.ts';
import { isBucketName } from './uri.ts';

export interface Address {
  /** As the client wrote it, with the port. */
  readonly host: string;
  /** Undefined: the bucket is in the path. */
  readonly bucket: string | undefined;
}

/** Under it every client finds this machine, whatever stands before (RFC 6761). */
const LOCAL = 'localhost';

/** `hostNames`: ours beside addresses and localhost, lower-case, without port. Throws S3Error. */
export function addressOf(host: string | undefined, hostNames: readonly string[]): Address {
  if (host === undefined || !/^[A-Za-z0-9.:[\]_-]{1,255}$/.test(host))
    throw new S3Error('InvalidRequest', 'A valid Host header is required.');
  const name = host.replace(/:\d+$/, '').toLowerCase();
  const isIp = /^\d+\.\d+\.\d+\.\d+$/.test(name) || /^\[[0-9a-f:.]+\]$/.test(name);
  const ours = [LOCAL, ...hostNames];
  if (isIp || ours.includes(name)) return { host, bucket: undefined };
  // Of two names that fit, the longer one leaves the bucket that was meant: of b.s3.x.org under x.org and s3.x.org.
  const [base] = ours.filter((one) => name.endsWith(`.${one}`)).sort((a, b) => b.length - a.length);
  if (base === undefined) throw new S3Error('InvalidRequest', 'This host name is none of this endpoint.');
  const bucket = name.slice(0, -base.length - 1);
  if (!isBucketName(bucket)) throw new S3Error('InvalidBucketName');
  return { host, bucket };
}

/** The path with its bucket first, of either style. */
export function pathStyle({ bucket }: Address, path: string): string {
  return bucket === undefined ? path : `/${bucket}${path}`;
}
