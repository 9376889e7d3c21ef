/**
 * Manifests: the signed description of one object version (protocol 4). The body is what is hashed, signed
 * and stored; `Manifest` is its parsed form. A node sees geometry, sizes and roots, but neither names nor
 * content nor metadata, which are sealed in `encMeta`.
 */
import { z } from 'zod';
import { equal } from '../base/bytes.ts';
import { sha256 } from '../crypto/primitives.ts';
import { CELL_ALIGN_BYTES, CELL_BYTES_MAX, ENC_META_BYTES_MAX, INLINE_BYTES_MAX, PART_COUNT_MAX } from '../base/limits.ts';
import { bytesOf, bytesUpTo, decode, encode, hash32, id16, uint, uintUpTo } from './encoding.ts';
import type { Decoded } from './encoding.ts';
import { proofSchema } from './proofs.ts';
import { SLOTS_MAX } from './quorum.ts';
import { stampSchema, writerIdOf } from './stamp.ts';
import type { Stamp } from './stamp.ts';
import type { StatementProof } from './statement.ts';

export const SUITE_1 = 1;
export const MANIFEST_BYTES_MAX = 64 * 1024;

/**
 * DATA: cells on the nodes. INLINE: sealed bytes beside the manifest. TABLE: a list of contents (13.3).
 * TOMBSTONE: deleted. REMOVE: takes single versions away (13.6).
 */
export type ManifestKind = 'DATA' | 'INLINE' | 'TABLE' | 'TOMBSTONE' | 'REMOVE';
export const MANIFEST_KINDS: readonly ManifestKind[] = ['DATA', 'INLINE', 'TABLE', 'TOMBSTONE', 'REMOVE'];

export type LockMode = 'NONE' | 'GOVERNANCE' | 'COMPLIANCE';

/** What a manifest of a serialised bucket says beyond the others (6.4, 13.6, 13.7). */
export interface SlotTerms {
  /** Hash of the version that this one follows; NO_VERSION: the key has never had one. */
  readonly prev: Uint8Array;
  /** DATA and TABLE: the stage that the content rests on, and the slots whose receipts prove it, rising. */
  readonly stage: { readonly id: Uint8Array; readonly slots: readonly number[] } | null;
  /** Versions that end with this one: every one before it, or those of these stamps. */
  readonly removes: 'ALL' | readonly Stamp[];
  readonly lockMode: LockMode;
  readonly legalHold: boolean;
  /** The writer may, and means to, go against GOVERNANCE. */
  readonly bypassGovernance: boolean;
}

/** The stage that a manifest's content rests on; null: none. */
export const stageOf = ({ slot }: Pick<Manifest, 'slot'>): SlotTerms['stage'] => slot?.stage ?? null;

/** Versions that one manifest may remove by name. */
export const REMOVES_MAX = 64;

export interface Manifest {
  /** 1: PLAIN; 2: SLOT. */
  readonly v: 1 | 2;
  readonly suite: number;
  readonly bucketId: Uint8Array;
  readonly keyId: Uint8Array;
  readonly stamp: Stamp;
  /** Identity of the user operation: one operation is at most one certified manifest (I7). */
  readonly opId: Uint8Array;
  readonly gatewayId: Uint8Array;
  readonly sessionNonce: Uint8Array;
  readonly kind: ManifestKind;
  readonly mode: 'PLAIN' | 'SLOT';
  /** Null iff PLAIN. */
  readonly slot: SlotTerms | null;
  readonly epoch: number;
  /** Stamp of the bucket record that the writer acted under (13.2); zero in the reserved bucket. */
  readonly bucketStamp: Stamp;
  readonly n: number;
  readonly k: number;
  /** Plaintext bytes of the object. */
  readonly size: number;
  /** Bytes of one full cell; every stripe but the last consists of n cells of this size. 0 unless DATA. */
  readonly cellBytes: number;
  /** DATA: root of the hash matrix. INLINE: SHA-256 of the sealed body. TABLE: SHA-256 of the part table. TOMBSTONE: zeros. */
  readonly contentId: Uint8Array;
  /** Unix milliseconds until which nodes must keep this version; 0: no retention. */
  readonly retainUntil: number;
  /** The version's data key, sealed to the bucket's wrapping key; empty for a tombstone. */
  readonly wrappedKey: Uint8Array;
  /** Name and metadata, sealed under the version's data key (a tombstone: under the bucket's). */
  readonly encMeta: Uint8Array;
  /** Bucket records and attributes only: the part that nodes read and enforce, canonically encoded. Empty otherwise. */
  readonly clear: Uint8Array;
}

const common = {
  suite: uintUpTo(255),
  bucketId: hash32,
  keyId: hash32,
  stamp: stampSchema,
  opId: hash32,
  gatewayId: hash32,
  sessionNonce: id16,
  epoch: uint,
  bucketStamp: stampSchema,
  n: z.int().min(1).max(255),
  k: z.int().min(1).max(255),
  size: uint,
  cellBytes: z.int().min(0).max(CELL_BYTES_MAX).multipleOf(CELL_ALIGN_BYTES),
  contentId: hash32,
  retainUntil: uint,
  wrappedKey: bytesUpTo(128),
  encMeta: bytesUpTo(ENC_META_BYTES_MAX),
  clear: bytesUpTo(1024),
};

const slotTerms: z.ZodType<SlotTerms> = z.strictObject({
  prev: hash32,
  stage: z
    .strictObject({ id: id16, slots: z.array(uintUpTo(SLOTS_MAX - 1)).min(1).max(SLOTS_MAX) })
    .nullable(),
  removes: z.union([z.literal('ALL'), z.array(stampSchema).max(REMOVES_MAX)]),
  lockMode: z.enum(['NONE', 'GOVERNANCE', 'COMPLIANCE']),
  legalHold: z.boolean(),
  bypassGovernance: z.boolean(),
});

const plainManifest = z
  .strictObject({
    ...common,
    v: z.literal(1),
    kind: z.enum(['DATA', 'INLINE', 'TABLE', 'TOMBSTONE']),
    mode: z.literal('PLAIN'),
  })
  .transform((manifest): Manifest => ({ ...manifest, slot: null }));
const slotManifest = z.strictObject({
  ...common,
  v: z.literal(2),
  kind: z.enum(['DATA', 'INLINE', 'TABLE', 'TOMBSTONE', 'REMOVE']),
  mode: z.literal('SLOT'),
  slot: slotTerms,
});

export const manifestSchema: z.ZodType<Manifest> = z.union([plainManifest, slotManifest]);

/** A manifest with the bytes that were signed and their proof. */
export interface SignedManifest {
  readonly manifest: Manifest;
  readonly body: Uint8Array;
  /** SHA-256 of `body`: the version's identity. */
  readonly hash: Uint8Array;
  readonly proof: StatementProof;
}

export const signedManifestSchema = z.strictObject({ body: bytesUpTo(MANIFEST_BYTES_MAX), proof: proofSchema });
export type SignedManifestWire = z.infer<typeof signedManifestSchema>;

export function encodeManifest({ slot, ...manifest }: Manifest): Uint8Array {
  return encode(slot === null ? manifest : { ...manifest, slot });
}

export function signedManifestToWire(signed: SignedManifest): SignedManifestWire {
  return { body: signed.body, proof: signed.proof };
}

/** Parses a body and checks the shape rules that need nothing but the manifest. */
export function decodeManifest(body: Uint8Array): Decoded<Manifest> {
  const decoded = decode(manifestSchema, body, MANIFEST_BYTES_MAX);
  if (!decoded.ok) return decoded;
  const reason = shapeFault(decoded.value);
  return reason === null ? decoded : { ok: false, reason };
}

/** As `decodeManifest`; the signature is not checked here. */
export function openSignedManifest(wire: SignedManifestWire): Decoded<SignedManifest> {
  const decoded = decodeManifest(wire.body);
  if (!decoded.ok) return decoded;
  return { ok: true, value: { manifest: decoded.value, body: wire.body, hash: sha256(wire.body), proof: wire.proof } };
}

function shapeFault(m: Manifest): string | null {
  switch (m.kind) {
    case 'DATA':
      if (m.cellBytes === 0 || m.size === 0) return 'a DATA manifest has cells';
      break;
    case 'INLINE':
      if (m.cellBytes !== 0 || m.k !== 1) return 'an INLINE manifest has no cells';
      if (m.size + 16 > INLINE_BYTES_MAX) return 'an INLINE body is too large';
      break;
    case 'TABLE':
      if (m.cellBytes !== 0 || m.size === 0) return 'a TABLE manifest names contents, not cells';
      break;
    case 'TOMBSTONE':
    case 'REMOVE':
      if (m.cellBytes !== 0 || m.size !== 0 || m.k !== 1) return 'what only removes has no content';
      break;
  }
  const fault = m.slot === null ? null : slotFault(m, m.slot);
  if (fault !== null) return fault;
  if (!equal(m.stamp.writerId, writerIdOf(m.gatewayId, m.sessionNonce))) return 'writerId is not that of the session';
  return m.stamp.counter === 0 ? 'counters start at 1' : null;
}

function slotFault({ kind, retainUntil }: Manifest, { stage, removes, lockMode }: SlotTerms): string | null {
  if ((stage !== null) !== (kind === 'DATA' || kind === 'TABLE')) return 'contents, and only they, are staged';
  if (stage?.slots.some((slot, i) => i > 0 && slot <= (stage.slots[i - 1] ?? 0)) === true) return 'slots of a stage rise';
  if (kind === 'REMOVE' && removes.length === 0) return 'a REMOVE removes something';
  if ((lockMode === 'NONE') !== (retainUntil === 0)) return 'retention has a mode and an end';
  return null;
}

/** One row of a part table: a content, and the salt from which its data key derives (13.3). */
export interface Part {
  readonly contentId: Uint8Array;
  readonly size: number;
  readonly n: number;
  readonly k: number;
  readonly cellBytes: number;
  readonly salt: Uint8Array;
}

/** A part small enough to have been INLINE is stored as cells all the same, so every row is a DATA content. */
export const partTableSchema: z.ZodType<readonly Part[]> = z
  .array(
    z.strictObject({
      contentId: hash32,
      size: z.int().min(1),
      n: z.int().min(1).max(255),
      k: z.int().min(1).max(255),
      cellBytes: z.int().min(1).max(CELL_BYTES_MAX).multipleOf(CELL_ALIGN_BYTES),
      salt: bytesOf(16),
    }),
  )
  .min(1)
  .max(PART_COUNT_MAX);
