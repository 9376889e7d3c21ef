/** What a store computes of bytes that no client sent it: the ETag and a checksum of a copy. */
import { hex } from '../../../base/bytes.ts';
import { incremental } from '../../../crypto/primitives.ts';
import { base64 } from '../http/base64.ts';
import { checksumRow } from '../checksums/checksums.ts';
import type { ChecksumAlgorithm } from '../checksums/checksums.ts';
import type { ContentSeal } from './content.ts';

export function sealOf(bytes: Uint8Array, algorithm: ChecksumAlgorithm | undefined): ContentSeal {
  const md5 = incremental('md5');
  md5.update(bytes);
  const etag = hex(md5.digest());
  if (algorithm === undefined) return { etag, checksum: undefined };
  const running = checksumRow(algorithm).start();
  running.update(bytes);
  return { etag, checksum: { algorithm, type: 'FULL_OBJECT', value: base64(running.digest()) } };
}
