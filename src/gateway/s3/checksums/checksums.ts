/**
 * The checksums that S3 clients may send with a body and ask back with an object: CRC32, CRC32C, CRC64NVME,
 * SHA-1 and SHA-256, each in base64. One table names the algorithm, its header, its size and how it runs, so
 * that an algorithm is known everywhere or nowhere. A multipart object carries either the checksum of all
 * of its bytes (FULL_OBJECT, CRCs only) or the checksum of its parts' checksums (COMPOSITE, "value-N").
 */
import { concat, fromHex, hex } from '../../../base/bytes.ts';
import { incremental } from '../../../crypto/primitives.ts';
import { base64, fromBase64 } from '../http/base64.ts';
import { combineCrc32, combineCrc32c, combineCrc64nvme, crc32, crc32c, crc64nvme } from './crc.ts';
import type { CrcCombine } from './crc.ts';

/** A running check; `digest` may be called once. */
export interface RunningChecksum {
  update(bytes: Uint8Array): void;
  digest(): Uint8Array;
}

interface AlgorithmRow {
  readonly header: string;
  /** The element of XML requests and answers. */
  readonly element: string;
  readonly bytes: number;
  readonly start: () => RunningChecksum;
  readonly combine?: CrcCombine;
  /** May a multipart object carry the checksum of its parts' checksums? */
  readonly composite: boolean;
}

export const CHECKSUMS = {
  CRC32: {
    header: 'x-amz-checksum-crc32',
    element: 'ChecksumCRC32',
    bytes: 4,
    start: crc32,
    combine: combineCrc32,
    composite: true,
  },
  CRC32C: {
    header: 'x-amz-checksum-crc32c',
    element: 'ChecksumCRC32C',
    bytes: 4,
    start: crc32c,
    combine: combineCrc32c,
    composite: true,
  },
  CRC64NVME: {
    header: 'x-amz-checksum-crc64nvme',
    element: 'ChecksumCRC64NVME',
    bytes: 8,
    start: crc64nvme,
    combine: combineCrc64nvme,
    composite: false,
  },
  SHA1: {
    header: 'x-amz-checksum-sha1',
    element: 'ChecksumSHA1',
    bytes: 20,
    start: () => incremental('sha1'),
    composite: true,
  },
  SHA256: {
    header: 'x-amz-checksum-sha256',
    element: 'ChecksumSHA256',
    bytes: 32,
    start: () => incremental('sha256'),
    composite: true,
  },
} as const satisfies Record<string, AlgorithmRow>;

export type ChecksumAlgorithm = keyof typeof CHECKSUMS;
export type ChecksumType = 'FULL_OBJECT' | 'COMPOSITE';

/** What every content is given when its client sends no checksum, as S3 has it. */
export const DEFAULT_CHECKSUM: ChecksumAlgorithm = 'CRC64NVME';

/** A checksum as stored with an object or a part; `value` is base64, with "-N" behind it when COMPOSITE. */
export interface Checksum {
  readonly algorithm: ChecksumAlgorithm;
  readonly type: ChecksumType;
  readonly value: string;
}

export const CHECKSUM_ALGORITHMS = Object.keys(CHECKSUMS) as readonly ChecksumAlgorithm[];

export const CHECKSUM_HEADERS: readonly string[] = CHECKSUM_ALGORITHMS.map((name) => CHECKSUMS[name].header);

export function checksumRow(algorithm: ChecksumAlgorithm): AlgorithmRow {
  return CHECKSUMS[algorithm];
}

export function checksumAlgorithm(name: string): ChecksumAlgorithm | undefined {
  return CHECKSUM_ALGORITHMS.find((algorithm) => algorithm === name.toUpperCase());
}

export function checksumAlgorithmOfHeader(header: string): ChecksumAlgorithm | undefined {
  return CHECKSUM_ALGORITHMS.find((algorithm) => CHECKSUMS[algorithm].header === header);
}

/** The bytes of a base64 checksum, or undefined unless it is canonical base64 of exactly the right size. */
export function decodeChecksum(algorithm: ChecksumAlgorithm, value: string): Uint8Array | undefined {
  const bytes = fromBase64(value);
  return bytes?.length === CHECKSUMS[algorithm].bytes ? bytes : undefined;
}

/** What is known of one part when its object is completed. */
export interface PartDigest {
  readonly size: number;
  /** MD5 in hex. */
  readonly etag: string;
  /** Base64, of this part's bytes. */
  readonly checksum: string | undefined;
}

/** S3's ETag of a multipart object: MD5 of the parts' MD5s, with the number of parts. */
export function multipartEtag(parts: readonly PartDigest[]): string {
  const state = incremental('md5');
  for (const part of parts) state.update(fromHex(part.etag));
  return `${hex(state.digest())}-${String(parts.length)}`;
}

/** The object's checksum from those of its parts, or undefined when a part lacks one. */
export function multipartChecksum(
  algorithm: ChecksumAlgorithm,
  type: ChecksumType,
  parts: readonly PartDigest[],
): Checksum | undefined {
  const row = checksumRow(algorithm);
  const digests: Uint8Array[] = [];
  for (const part of parts) {
    const digest = part.checksum === undefined ? undefined : decodeChecksum(algorithm, part.checksum);
    if (digest === undefined) return undefined;
    digests.push(digest);
  }
  if (type === 'COMPOSITE') {
    const state = row.start();
    state.update(concat(...digests));
    return { algorithm, type, value: `${base64(state.digest())}-${String(parts.length)}` };
  }
  if (row.combine === undefined) return undefined;
  let value = row.start().digest();
  for (const [i, part] of parts.entries()) value = row.combine(value, digests[i] ?? value, part.size);
  return { algorithm, type, value: base64(value) };
}
