/**
 * What is remembered of the parts of a finished multipart object: number, size and checksum of each. Ten
 * thousand of them do not fit the metadata of a version, so a long list follows the object's bytes as one more
 * content of its part table.
 */
import { z } from 'zod';
import { OperationError } from '../../base/errors.ts';
import { PART_COUNT_MAX } from '../../base/limits.ts';
import { decode, encode, uint } from '../../protocol/encoding.ts';
import type { ObjectPart } from '../s3/port/objects.ts';
import { toChecksum, toStoredChecksum } from './mapping.ts';

const LIST_BYTES_MAX = 4 * 1024 * 1024;
const shortText = z.string().max(128);
const listSchema = z
  .array(z.tuple([uint, uint, z.strictObject({ algorithm: shortText, type: shortText, value: shortText }).nullable()]))
  .max(PART_COUNT_MAX);

export function encodePartList(parts: readonly ObjectPart[]): Uint8Array {
  return encode(parts.map(({ number, size, checksum }) => [number, size, toStoredChecksum(checksum)]));
}

/** Throws DAMAGED. */
export function decodePartList(bytes: Uint8Array): readonly ObjectPart[] {
  if (bytes.length === 0) return [];
  const decoded = decode(listSchema, bytes, LIST_BYTES_MAX);
  if (!decoded.ok) throw new OperationError('DAMAGED', `The list of parts is malformed: ${decoded.reason}.`);
  return decoded.value.map(([number, size, checksum]) => ({ number, size, checksum: toChecksum(checksum) }));
}
