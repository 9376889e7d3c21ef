/**
 * Bodies of the entries in a node's log (protocol 10, 13.8). A leaf is the entry type's byte and one of
 * these bodies; PREPARED holds the receipt's body itself, so a receipt is a promise of a leaf.
 */
import { z } from 'zod';
import { encode, hash32, uint, decode } from './encoding.ts';
import type { Decoded } from './encoding.ts';
import { MANIFEST_KINDS } from './manifest.ts';
import type { ManifestKind, SignedManifest } from './manifest.ts';
import { stampSchema } from './stamp.ts';
import type { Stamp } from './stamp.ts';

export const LEAF_BYTES_MAX = 1024;

/** COMMITTED: the node holds a certificate for this version. */
export interface CommittedBody {
  readonly v: 1;
  readonly manifestHash: Uint8Array;
  readonly bucketId: Uint8Array;
  readonly keyId: Uint8Array;
  readonly stamp: Stamp;
  readonly kind: ManifestKind;
}

const committedSchema: z.ZodType<CommittedBody> = z.strictObject({
  v: z.literal(1),
  manifestHash: hash32,
  bucketId: hash32,
  keyId: hash32,
  stamp: stampSchema,
  kind: z.enum(MANIFEST_KINDS),
});

export function committedBodyOf({ manifest, hash }: SignedManifest): Uint8Array {
  const body: CommittedBody = {
    v: 1,
    manifestHash: hash,
    bucketId: manifest.bucketId,
    keyId: manifest.keyId,
    stamp: manifest.stamp,
    kind: manifest.kind,
  };
  return encode(body);
}

export function decodeCommitted(body: Uint8Array): Decoded<CommittedBody> {
  return decode(committedSchema, body, LEAF_BYTES_MAX);
}

/** EVICT: the content of `manifestHash` goes, on the word of the certificate of `byHash`. */
export interface EvictBody {
  readonly v: 1;
  readonly manifestHash: Uint8Array;
  readonly keyId: Uint8Array;
  readonly byHash: Uint8Array;
}

const evictSchema: z.ZodType<EvictBody> = z.strictObject({
  v: z.literal(1),
  manifestHash: hash32,
  keyId: hash32,
  byHash: hash32,
});

export const encodeEvict = (body: EvictBody): Uint8Array => encode(body);
export const decodeEvict = (body: Uint8Array): Decoded<EvictBody> => decode(evictSchema, body, LEAF_BYTES_MAX);

/** ABORT and NEVER: what the node let go of, or promised never to accept. */
export interface StampBody {
  readonly v: 1;
  readonly keyId: Uint8Array;
  readonly stamp: Stamp;
}

const stampBodySchema: z.ZodType<StampBody> = z.strictObject({ v: z.literal(1), keyId: hash32, stamp: stampSchema });

export const encodeStampBody = (body: StampBody): Uint8Array => encode(body);
export const decodeStampBody = (body: Uint8Array): Decoded<StampBody> => decode(stampBodySchema, body, LEAF_BYTES_MAX);

/** BOOT: one start of the node's process. */
export interface BootBody {
  readonly v: 1;
  readonly nodeId: Uint8Array;
  readonly epoch: number;
  readonly incarnation: number;
}

const bootSchema: z.ZodType<BootBody> = z.strictObject({
  v: z.literal(1),
  nodeId: hash32,
  epoch: uint,
  incarnation: uint,
});

export const encodeBoot = (body: BootBody): Uint8Array => encode(body);
export const decodeBoot = (body: Uint8Array): Decoded<BootBody> => decode(bootSchema, body, LEAF_BYTES_MAX);

/** REPAIRED: the content of a version that the node held only the certificate of is here now (1), or one lost cell of it (2). */
export type RepairedBody = RepairedContent & ({ readonly v: 1; readonly stripe?: never } | { readonly v: 2; readonly stripe: number });

interface RepairedContent {
  readonly keyId: Uint8Array;
  readonly manifestHash: Uint8Array;
  readonly contentId: Uint8Array;
}

const repairedContent = { keyId: hash32, manifestHash: hash32, contentId: hash32 };
const repairedSchema: z.ZodType<RepairedBody> = z.union([
  z.strictObject({ v: z.literal(1), ...repairedContent }),
  z.strictObject({ v: z.literal(2), ...repairedContent, stripe: uint }),
]);

export const encodeRepaired = (body: RepairedBody): Uint8Array => encode(body);
export const decodeRepaired = (body: Uint8Array): Decoded<RepairedBody> => decode(repairedSchema, body, LEAF_BYTES_MAX);

/** ADOPT: from here on the node serves this epoch. */
export interface AdoptBody {
  readonly v: 1;
  readonly epoch: number;
  readonly configHash: Uint8Array;
}

const adoptSchema: z.ZodType<AdoptBody> = z.strictObject({ v: z.literal(1), epoch: uint, configHash: hash32 });

export const decodeAdopt = (body: Uint8Array): Decoded<AdoptBody> => decode(adoptSchema, body, LEAF_BYTES_MAX);

/** HOLE: a cell that the node should hold is missing or does not verify. */
export interface HoleBody {
  readonly v: 1;
  readonly contentId: Uint8Array;
  readonly stripe: number;
}

const holeSchema: z.ZodType<HoleBody> = z.strictObject({ v: z.literal(1), contentId: hash32, stripe: uint });

export const decodeHole = (body: Uint8Array): Decoded<HoleBody> => decode(holeSchema, body, LEAF_BYTES_MAX);

/** REVOKED: from here on the node accepts nothing new of this writer. */
export interface RevokedEntryBody {
  readonly v: 1;
  readonly gatewayId: Uint8Array;
  /** SHA-256 of the body of the admins' statement. */
  readonly statementHash: Uint8Array;
}

const revokedEntrySchema: z.ZodType<RevokedEntryBody> = z.strictObject({ v: z.literal(1), gatewayId: hash32, statementHash: hash32 });

export const encodeRevokedEntry = (body: RevokedEntryBody): Uint8Array => encode(body);
export const decodeRevokedEntry = (body: Uint8Array): Decoded<RevokedEntryBody> => decode(revokedEntrySchema, body, LEAF_BYTES_MAX);

export const encodeHole = (contentId: Uint8Array, stripe: number): Uint8Array => encode({ v: 1, contentId, stripe });
export const encodeAdopt = (epoch: number, configHash: Uint8Array): Uint8Array => encode({ v: 1, epoch, configHash });
/** SNAPSHOT names a hash. */
export const encodeSnapshotEntry = (size: number, digest: Uint8Array): Uint8Array => encode({ v: 1, size, digest });
