/**
 * What CompleteMultipartUpload says of checksums: that of the whole is computed from those of the parts,
 * without reading a byte again, and held against the one that the client may send. S3 wants those of composite parts named once more; here
 * they are held against the parts where they are named (multipart.ts), since they are stored and verified.
 */
import { CHECKSUM_ALGORITHMS, CHECKSUMS, checksumRow, multipartChecksum } from '../checksums/checksums.ts';
import type { Checksum } from '../checksums/checksums.ts';
import { S3Error } from '../http/errors.ts';
import type { Headers } from '../http/headers.ts';
import type { UploadChecksum } from '../port/content.ts';
import type { PartInfo } from '../port/uploads.ts';

/**
 * The kind of the whole's checksum. An upload that names none takes the kind that all of its parts have:
 * whole where that can be computed. Parts of several kinds, or of uploads that knew none yet, give none.
 */
function kindOf(upload: UploadChecksum | undefined, parts: readonly PartInfo[]): UploadChecksum | undefined {
  if (upload !== undefined) return upload;
  const algorithm = parts[0]?.checksum?.algorithm;
  if (algorithm === undefined || parts.some(({ checksum }) => checksum?.algorithm !== algorithm)) return undefined;
  return { algorithm, type: checksumRow(algorithm).combine === undefined ? 'COMPOSITE' : 'FULL_OBJECT' };
}

/** Checksum of the whole, equal to the one that the request may name. Throws S3Error. */
export function wholeChecksum(
  headers: Headers,
  upload: UploadChecksum | undefined,
  parts: readonly PartInfo[],
): Checksum | undefined {
  const kind = kindOf(upload, parts);
  const type = headers.get('x-amz-checksum-type');
  if (type !== undefined && type !== kind?.type)
    throw new S3Error('InvalidRequest', 'The checksum type is not that of the upload.');
  const sent = CHECKSUM_ALGORITHMS.filter((algorithm) => headers.has(CHECKSUMS[algorithm].header));
  if (sent.length > 1) throw new S3Error('InvalidRequest', 'Expecting a single x-amz-checksum- header.');
  const [named] = sent;
  if (named !== undefined && named !== kind?.algorithm)
    throw new S3Error('InvalidRequest', `The parts have no ${named} that this request could be checked with.`);
  if (kind === undefined) return undefined;
  const { algorithm } = kind;
  const mixed = parts.some(({ checksum }) => checksum !== undefined && checksum.algorithm !== algorithm);
  const digests = parts.map(({ size, etag, checksum }) => ({ size, etag, checksum: checksum?.value }));
  const whole = mixed ? undefined : multipartChecksum(algorithm, kind.type, digests);
  if (whole === undefined)
    throw new S3Error('InvalidRequest', `A part lacks the ${algorithm} that the upload was created with.`);
  const value = headers.get(CHECKSUMS[algorithm].header);
  const bare = whole.value.split('-')[0];
  if (value !== undefined && value !== whole.value && value !== bare)
    throw new S3Error('BadDigest', `The ${algorithm} you sent is not that of the parts together.`);
  return whole;
}
