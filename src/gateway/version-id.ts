/**
 * The public names of versions. While a bucket keeps versions their name is the stamp (protocol 3), so that a
 * version is found by its name without an index; otherwise there is one version, which S3 calls null.
 */
import { concat } from '../base/bytes.ts';
import type { Kept } from '../keyring/metadata.ts';
import type { Stamp } from '../protocol/stamp.ts';
import { sortable } from './index/rows.ts';
import { NULL_VERSION } from './s3/port/objects.ts';

const STAMP_BYTES = 24;
/** 24 bytes without padding. */
const TEXT = /^[A-Za-z0-9_-]{32}$/;

/** Undefined while the bucket has never kept versions. */
export function versionIdOf(kept: Kept, { counter, writerId }: Pick<Stamp, 'counter' | 'writerId'>): string | undefined {
  if (kept === 'NEVER') return undefined;
  if (kept === 'SUSPENDED') return NULL_VERSION;
  return Buffer.from(concat(sortable(counter), writerId)).toString('base64url');
}

/** As listings of versions name it: there the version of a bucket without versioning is the null version. */
export function listedVersionId(kept: Kept, stamp: Pick<Stamp, 'counter' | 'writerId'>): string {
  return versionIdOf(kept, stamp) ?? NULL_VERSION;
}

/** The stamp that a version id names in a generation of a bucket; undefined when it cannot be one. */
export function stampOfId(text: string, gen: number): Stamp | undefined {
  if (!TEXT.test(text)) return undefined;
  const bytes = Uint8Array.from(Buffer.from(text, 'base64url'));
  if (bytes.length !== STAMP_BYTES) return undefined;
  const counter = new DataView(bytes.buffer).getBigUint64(0);
  if (counter > BigInt(Number.MAX_SAFE_INTEGER)) return undefined;
  return { gen, counter: Number(counter), writerId: bytes.slice(8) };
}
