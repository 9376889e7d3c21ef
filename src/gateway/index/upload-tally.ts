/**
 * How much unfinished uploads take: of each bucket the number of uploads and the bytes of parts, kept in one row
 * that changes in the same batch as the rows it counts. Whoever wants to know reads that row, and not the uploads.
 */
import { concat } from '../../base/bytes.ts';
import type { Batch } from './batch.ts';
import { decodeRow, encodeRow, multipartPrefix, partNumberOf, PREFIX, ROWS, UPLOAD_ID_AT } from './rows.ts';
import type { TallyRow } from './rows.ts';

export const NOTHING_UPLOADED: TallyRow = { uploads: 0, bytes: 0 };

export function tallyKey(bucketId: Uint8Array, gen: number): Uint8Array {
  return concat(PREFIX.tally, multipartPrefix(bucketId, gen).subarray(1));
}

/** Puts a row that shows a newest version, or takes it away (null), and counts it if it is of an upload. */
export async function placeRow(batch: Batch, key: Uint8Array, value: Uint8Array | null): Promise<void> {
  if (key[0] === PREFIX.multipart[0]) await count(batch, key, value);
  if (value === null) batch.del(key);
  else batch.put(key, value);
}

async function count(batch: Batch, key: Uint8Array, value: Uint8Array | null): Promise<void> {
  const before = weightOf(key, (await batch.get(key)) ?? null);
  const next = weightOf(key, value);
  if (before.uploads === next.uploads && before.bytes === next.bytes) return;
  const at = concat(PREFIX.tally, key.subarray(1, UPLOAD_ID_AT));
  const { uploads, bytes } = (await batch.row(at, ROWS.tally)) ?? NOTHING_UPLOADED;
  batch.put(at, encodeRow({ uploads: uploads + next.uploads - before.uploads, bytes: bytes + next.bytes - before.bytes }));
}

/** What one row stands for. */
function weightOf(key: Uint8Array, value: Uint8Array | null): TallyRow {
  if (value === null) return NOTHING_UPLOADED;
  if (partNumberOf(key) === 0) return { uploads: 1, bytes: 0 };
  return { uploads: 0, bytes: decodeRow(ROWS.part, value).size };
}
