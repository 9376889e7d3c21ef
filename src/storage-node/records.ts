/**
 * What a storage node writes into its journal: one record a log leaf with what the views need beside it, and
 * local records that are no leaves (compaction moved a content; a peer's incarnation is kept). Everything the
 * node knows is derived from these records in their order. Digests and the version are the journal's: a record
 * of another shape is damage.
 */
import { z } from 'zod';
import { OperationError } from '../base/errors.ts';
import type { Pointer } from '../journal/pointer.ts';
import { certBytes } from '../protocol/certificate.ts';
import { bytesOf, bytesUpTo, decodeOwn, encode, hash32, id16, uint } from '../protocol/encoding.ts';
import { LEAF_BYTES_MAX } from '../protocol/log-entries.ts';
import { signedManifestSchema } from '../protocol/manifest.ts';
import { proofSchema } from '../protocol/proofs.ts';
import { revocationBytes } from '../protocol/revocation.ts';
import { signedBodySchema, stagedReceiptsBytes } from '../protocol/slot.ts';

const leaf = bytesUpTo(LEAF_BYTES_MAX + 1);

/** Where a content's pieces lie: triples (segment, offset, length) as big-endian 32-bit numbers, in order of stripes. */
const extents = z.custom<Uint8Array>((v) => v instanceof Uint8Array && v.length % 12 === 0, { error: 'expected extents' });

const contentSchema = z.strictObject({
  contentId: hash32,
  shape: z.enum(['CELLS', 'BLOB']),
  k: uint,
  n: uint,
  cellBytes: uint,
  size: uint,
  cells: extents,
  blocks: extents,
  blockRoots: z.custom<Uint8Array>((v) => v instanceof Uint8Array && v.length % 32 === 0, { error: 'expected hashes' }),
});
export type ContentRecord = z.infer<typeof contentSchema>;

/** Ids of all contents that the version keeps here, its own first; 32 bytes each. */
const binds = z.custom<Uint8Array>((v) => v instanceof Uint8Array && v.length % 32 === 0, { error: 'expected ids' });

const recordSchema = z.discriminatedUnion('r', [
  z.strictObject({
    r: z.literal('PREPARED'),
    leaf,
    manifest: signedManifestSchema,
    /** The content that this receipt binds, when the node did not hold it before. */
    content: contentSchema.nullable(),
    binds,
    /** SLOT: the proposal, and the receipts of its stage, for whoever completes it. */
    slot: z
      .strictObject({ proposal: signedBodySchema, staged: stagedReceiptsBytes })
      .optional(),
  }),
  /** A ballot was promised. */
  z.strictObject({ r: z.literal('PROMISED'), request: signedBodySchema }),
  /** A content is kept ahead of its manifest. */
  z.strictObject({ r: z.literal('STAGED'), leaf, content: contentSchema.nullable(), binds, bytes: uint }),
  /** Nothing rests on the stage any more, and 2f+1 nodes have said so. */
  z.strictObject({ r: z.literal('UNSTAGED'), stageId: id16 }),
  z.strictObject({ r: z.literal('RELEASED'), stageId: id16 }),
  z.strictObject({ r: z.literal('COMMITTED'), leaf, cert: certBytes, content: contentSchema.nullable(), binds }),
  /** The content of a certified version came after its certificate. */
  z.strictObject({ r: z.literal('REPAIRED'), leaf, content: contentSchema.nullable(), binds }),
  /** Pieces of a content that had been lost are here again, at new places. */
  z.strictObject({ r: z.literal('RESTORED'), leaf, content: contentSchema }),
  z.strictObject({ r: z.literal('EVICT'), leaf }),
  z.strictObject({ r: z.literal('ABORT'), leaf }),
  z.strictObject({ r: z.literal('NEVER'), leaf }),
  z.strictObject({ r: z.literal('BOOT'), leaf, configHash: bytesOf(32) }),
  z.strictObject({ r: z.literal('HOLE'), leaf, contentId: hash32, stripe: uint }),
  z.strictObject({ r: z.literal('SNAPSHOT'), leaf }),
  /** The admins' statement beside the entry that names it. */
  z.strictObject({ r: z.literal('REVOKED'), leaf, gatewayId: hash32, document: revocationBytes }),
  z.strictObject({ r: z.literal('MOVED'), content: contentSchema }),
  z.strictObject({ r: z.literal('FREED'), contentId: hash32 }),
  z.strictObject({ r: z.literal('REMEMBERED'), slot: uint, incarnation: uint, proof: proofSchema }),
  /** The newest checkpoint of a gateway's audit log. */
  z.strictObject({ r: z.literal('ANCHORED'), gatewayId: hash32, note: z.string().max(4096) }),
  z.strictObject({ r: z.literal('MARKS'), sizes: z.array(uint) }),
]);
export type NodeRecord = z.infer<typeof recordSchema>;
export type LeafRecord = Extract<NodeRecord, { readonly leaf: Uint8Array }>;

export function encodeRecord(record: NodeRecord): Uint8Array {
  return encode(record);
}

/** Throws LOST_STATE for a record that this version did not write: the journal said that its bytes are intact. */
export function decodeRecord(bytes: Uint8Array): NodeRecord {
  const decoded = decodeOwn(recordSchema, bytes);
  if (decoded.ok) return decoded.value;
  throw new OperationError('LOST_STATE', `A journal record cannot be understood: ${decoded.reason}.`, {
    remedy: 'Run the version that wrote this folder.',
  });
}

export function packExtents(pointers: readonly Pointer[]): Uint8Array {
  const out = new Uint8Array(12 * pointers.length);
  const view = new DataView(out.buffer);
  pointers.forEach(({ segment, offset, length }, i) => {
    view.setUint32(12 * i, segment);
    view.setUint32(12 * i + 4, offset);
    view.setUint32(12 * i + 8, length);
  });
  return out;
}

export function extentCount(packed: Uint8Array): number {
  return packed.length / 12;
}

export function extentAt(packed: Uint8Array, index: number): Pointer {
  const view = new DataView(packed.buffer, packed.byteOffset + 12 * index, 12);
  return { segment: view.getUint32(0), offset: view.getUint32(4), length: view.getUint32(8) };
}

export function pointersOf(packed: Uint8Array): Pointer[] {
  return Array.from({ length: extentCount(packed) }, (_, i) => extentAt(packed, i));
}
