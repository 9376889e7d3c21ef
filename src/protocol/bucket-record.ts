/**
 * Bucket records (protocol 13.2): a bucket is an INLINE register in the reserved bucket, under its own
 * identifier. The clear part is what every node enforces by itself; name and keys are sealed beside it.
 */
import { z } from 'zod';
import { equal, utf8 } from '../base/bytes.ts';
import { sha256 } from '../crypto/primitives.ts';
import { decode, encode, hash32, uint } from './encoding.ts';
import type { Decoded } from './encoding.ts';
import { SLOTS_MAX } from './quorum.ts';

/** The reserved bucket that holds the bucket records. */
export const SYSTEM_BUCKET_ID: Uint8Array = sha256(utf8('holdfast/1/system bucket'));

export interface BucketRecord {
  /** 1: PLAIN, never versioned, without lock. */
  readonly v: 1 | 2;
  readonly bucketId: Uint8Array;
  readonly gen: number;
  /** SERIALISED: every write goes through a slot (6.4), so conditions can be decided. Fixed for a generation. */
  readonly mode: 'PLAIN' | 'SERIALISED';
  /** Are versions kept that later ones replace? Never NEVER again once it was left. */
  readonly versioning: 'NEVER' | 'ENABLED' | 'SUSPENDED';
  /** Object lock: nodes hold versions until their retention ends (13.6). Never off again. */
  readonly lock: boolean;
  /** Values of k that manifests of this bucket may use. */
  readonly geometries: readonly number[];
  /** Bytes per node that the bucket may hold; 0: no limit. */
  readonly quotaBytes: number;
  readonly state: 'OPEN' | 'CLOSING' | 'DELETED';
}

const common = {
  bucketId: hash32,
  gen: z.int().min(1),
  geometries: z.array(z.int().min(1).max(SLOTS_MAX)).min(1).max(SLOTS_MAX),
  quotaBytes: uint,
  state: z.enum(['OPEN', 'CLOSING', 'DELETED']),
};
const recordSchema: z.ZodType<BucketRecord> = z.union([
  z
    .strictObject({ ...common, v: z.literal(1), mode: z.literal('PLAIN'), versioning: z.literal('NEVER') })
    .transform((record): BucketRecord => ({ ...record, lock: false })),
  z.strictObject({
    ...common,
    v: z.literal(2),
    mode: z.enum(['PLAIN', 'SERIALISED']),
    versioning: z.enum(['NEVER', 'ENABLED', 'SUSPENDED']),
    lock: z.boolean(),
  }),
]);

export function encodeBucketRecord({ lock, ...record }: BucketRecord): Uint8Array {
  return encode(record.v === 1 ? record : { ...record, lock });
}

export function decodeBucketRecord(bytes: Uint8Array): Decoded<BucketRecord> {
  const decoded = decode(recordSchema, bytes, 1024);
  if (!decoded.ok) return decoded;
  const fault = shapeFault(decoded.value);
  return fault === null ? decoded : { ok: false, reason: fault };
}

function shapeFault({ mode, versioning, lock }: BucketRecord): string | null {
  if (mode === 'PLAIN' && versioning !== 'NEVER') return 'versions are kept in serialised buckets only';
  return lock && versioning !== 'ENABLED' ? 'object lock keeps versions' : null;
}

/** Why `next` may not follow `previous` (undefined: there is none), or null. */
export function transitionFault(previous: BucketRecord | undefined, next: BucketRecord): string | null {
  if (previous === undefined) return null;
  if (!equal(previous.bucketId, next.bucketId)) return 'a record keeps its bucket';
  if (next.gen < previous.gen) return 'the generation of a bucket only rises';
  // A node that has missed the deletion between must not hold the next generation up.
  if (next.gen > previous.gen) return null;
  if (next.mode !== previous.mode) return 'the mode of a bucket is fixed';
  if (next.versioning === 'NEVER' && previous.versioning !== 'NEVER') return 'versions once kept stay kept';
  if (previous.lock && !next.lock) return 'object lock is never off again';
  if (previous.state === 'DELETED' && next.state !== 'DELETED') return 'a deleted bucket comes back in a new generation';
  // Whoever deletes looks into the closed bucket: a slow one must not delete what was opened again since.
  if (previous.state === 'OPEN' && next.state === 'DELETED') return 'a bucket is closed before it is deleted';
  return null;
}
