/** An object or bucket as a person names it: `bucket/key`, `bucket`, or the same after `s3://`. */
import { OperationError } from '../base/errors.ts';

export interface ObjectAddress {
  readonly bucket: string;
  /** Empty for the bucket itself. */
  readonly key: string;
}

export function parseObjectAddress(text: string): ObjectAddress {
  const path = text.startsWith('s3://') ? text.slice('s3://'.length) : text;
  const slash = path.indexOf('/');
  const bucket = slash === -1 ? path : path.slice(0, slash);
  if (bucket === '') {
    throw new OperationError('BAD_ARGUMENT', `${JSON.stringify(text)} names no bucket.`, { remedy: 'Write it as bucket/key.' });
  }
  return { bucket, key: slash === -1 ? '' : path.slice(slash + 1) };
}

/** BAD_ARGUMENT when only a bucket is named. */
export function requireKey(text: string): ObjectAddress {
  const address = parseObjectAddress(text);
  if (address.key !== '') return address;
  throw new OperationError('BAD_ARGUMENT', `${JSON.stringify(text)} names a bucket, not an object.`, { remedy: 'Write it as bucket/key.' });
}
