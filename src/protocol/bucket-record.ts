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
  readonly v: 1;
  readonly bucketId: Uint8Array;
  readonly gen: number;
  /** PLAIN until the slot protocol (6.4) exists. */
  readonly mode: 'PLAIN';
  /** Versioned buckets come with object lock (13.6). */
  readonly versioning: 'NEVER';
  /** Values of k that manifests of this bucket may use. */
  readonly geometries: readonly number[];
  /** Bytes per node that the bucket may hold; 0: no limit. */
  readonly quotaBytes: number;
  readonly state: 'OPEN' | 'CLOSING' | 'DELETED';
}

const recordSchema: z.ZodType<BucketRecord> = z.strictObject({
  v: z.literal(1),
  bucketId: hash32,
  gen: z.int().min(1),
  mode: z.literal('PLAIN'),
  versioning: z.literal('NEVER'),
  geometries: z.array(z.int().min(1).max(SLOTS_MAX)).min(1).max(SLOTS_MAX),
  quotaBytes: uint,
  state: z.enum(['OPEN', 'CLOSING', 'DELETED']),
});

export function encodeBucketRecord(record: BucketRecord): Uint8Array {
  return encode(record);
}

export function decodeBucketRecord(bytes: Uint8Array): Decoded<BucketRecord> {
  return decode(recordSchema, bytes, 1024);
}

/** Why `next` may not follow `previous` (undefined: there is none), or null. */
export function transitionFault(previous: BucketRecord | undefined, next: BucketRecord): string | null {
  if (previous === undefined) return null;
  if (!equal(previous.bucketId, next.bucketId)) return 'a record keeps its bucket';
  if (next.gen < previous.gen) return 'the generation of a bucket only rises';
  // A node that has missed the deletion between must not hold the next generation up.
  if (next.gen > previous.gen) return null;
  if (previous.state === 'DELETED' && next.state !== 'DELETED') return 'a deleted bucket comes back in a new generation';
  // Whoever deletes looks into the closed bucket: a slow one must not delete what was opened again since.
  if (previous.state === 'OPEN' && next.state === 'DELETED') return 'a bucket is closed before it is deleted';
  return null;
}
