/**
 * Evidence (protocol 10, E1 to E12): statements that their signers cannot take back and that no correct party
 * can have made together. One piece of evidence is one canonical document. It names the configuration by which
 * it is judged and holds everything else that a judge needs, so that anyone with the cluster's root document
 * reaches the same verdict (judge.ts), for ever and without asking anybody. Whoever wrote the document proves
 * nothing by it: no word of it counts that the accused has not signed.
 */
import { z } from 'zod';
import { hex } from '../base/bytes.ts';
import { CELL_BYTES_MAX, FRAME_BODY_BYTES_MAX, FRAME_PAYLOAD_BYTES_MAX } from '../base/limits.ts';
import { sha256 } from '../crypto/primitives.ts';
import { NOTE_CHARS_MAX } from '../log/signed-note.ts';
import { certBytes } from '../protocol/certificate.ts';
import { CONFIG_BYTES_MAX } from '../protocol/configuration.ts';
import { bytesUpTo, decode, encode, hash32, id16, uint, uintUpTo } from '../protocol/encoding.ts';
import type { Decoded } from '../protocol/encoding.ts';
import { LEAF_BYTES_MAX } from '../protocol/log-entries.ts';
import { MANIFEST_BYTES_MAX, signedManifestSchema } from '../protocol/manifest.ts';
import { proofSchema } from '../protocol/proofs.ts';
import { SLOTS_MAX } from '../protocol/quorum.ts';
import { signedBodySchema } from '../protocol/slot.ts';

/** A checkpoint as its node signed it (C2SP signed note). */
const note = z.string().max(NOTE_CHARS_MAX);
/** Paths in a Merkle tree of at most 2^53 leaves. */
const path = z.array(hash32).max(64);
const leaf = bytesUpTo(LEAF_BYTES_MAX);
const row = bytesUpTo(32 * SLOTS_MAX);

/** An entry of a node's log, and where the checkpoint beside it has it. */
const loggedEntry = z.strictObject({ leaf, index: uint, path });
export type LoggedEntry = z.infer<typeof loggedEntry>;

/** An answer that a node signed (13.5), with the request that it answers. */
const signedAnswer = z.strictObject({
  request: bytesUpTo(FRAME_BODY_BYTES_MAX),
  answer: bytesUpTo(FRAME_BODY_BYTES_MAX),
  proof: proofSchema,
});
export type SignedAnswer = z.infer<typeof signedAnswer>;

/** A content that a version names: its own, or one of its part table. */
const versionContent = z.strictObject({
  certificate: certBytes,
  contentId: hash32,
  /** The version's part table, when the content is one of its parts. */
  table: bytesUpTo(FRAME_PAYLOAD_BYTES_MAX).nullable(),
});
export type VersionContent = z.infer<typeof versionContent>;

const pairOf = <T extends z.ZodType>(schema: T) => z.tuple([schema, schema]);
const common = {
  v: z.literal(1),
  /** SHA-256 of the body of the configuration by which it is judged. */
  configHash: hash32,
};

const schemas = [
  /** A writer signed two manifests for one stamp of one key. */
  z.strictObject({ ...common, type: z.literal('E1'), manifests: pairOf(signedManifestSchema) }),
  /** A node gave receipts for two manifests of one stamp, or of one ballot of one slot (then with both manifests' bodies). */
  z.strictObject({
    ...common,
    type: z.literal('E2'),
    receipts: pairOf(signedBodySchema),
    manifests: pairOf(bytesUpTo(MANIFEST_BYTES_MAX)).nullable(),
  }),
  /**
   * A node signed two histories of its log: two roots of one size, or a tree that has another beginning than
   * the smaller one that it signed, as a consistency path from that `root` shows.
   */
  z.strictObject({
    ...common,
    type: z.literal('E3'),
    notes: pairOf(note),
    beginning: z.strictObject({ root: hash32, path }).nullable(),
  }),
  /** A node promised a place of its log (receipt, acknowledgement, stage), and filled it with something else. */
  z.strictObject({
    ...common,
    type: z.literal('E4'),
    promise: z.strictObject({ purpose: z.enum(['receipt', 'commit-ack', 'staged']), ...signedBodySchema.shape }),
    note,
    entry: loggedEntry,
  }),
  /**
   * A node showed less than it had acknowledged: an answer to QUERY that confirms a checkpoint beyond the
   * acknowledgement's entry, and no version as high.
   */
  z.strictObject({ ...common, type: z.literal('E5'), acknowledgement: signedBodySchema, shown: signedAnswer }),
  /** A node's log shrank: a checkpoint whose nonce commits to a larger one (`commitNonce`). */
  z.strictObject({ ...common, type: z.literal('E5-log'), notes: pairOf(note), salt: id16 }),
  /** A node that gave a receipt says under signature that it lacks the content. */
  z.strictObject({ ...common, type: z.literal('E6'), content: versionContent, lack: signedBodySchema }),
  /** A node that gave a receipt answers FETCH under signature with a row that is not of the content. */
  z.strictObject({ ...common, type: z.literal('E6-row'), content: versionContent, shown: signedAnswer }),
  /** A node signed, for a challenge, another cell than the one in the `row` of the content (or another body; then both are empty). */
  z.strictObject({ ...common, type: z.literal('E6-audit'), content: versionContent, audit: signedBodySchema, row, path }),
  /** A node logged that it let a version go which COMPLIANCE bids it keep. Provable until a day before the retention ends. */
  z.strictObject({ ...common, type: z.literal('E7'), certificate: certBytes, note, entry: loggedEntry }),
  /** A writer certified a content that is no codeword: k cells of a row encode to another row. */
  z.strictObject({
    ...common,
    type: z.literal('E8'),
    content: versionContent,
    stripe: uint,
    row,
    path,
    cells: z
      .array(z.strictObject({ slot: uintUpTo(SLOTS_MAX - 1), cell: bytesUpTo(CELL_BYTES_MAX) }))
      .min(1)
      .max(SLOTS_MAX),
  }),
  /** The admins signed two configurations of one epoch. */
  z.strictObject({ ...common, type: z.literal('E9'), documents: pairOf(bytesUpTo(CONFIG_BYTES_MAX)) }),
  /** A node gave a receipt of an epoch after it had adopted a later one. */
  z.strictObject({ ...common, type: z.literal('E10'), receipt: signedBodySchema, note, entry: loggedEntry }),
  /** A gateway proposed two manifests in one ballot of one slot. */
  z.strictObject({ ...common, type: z.literal('E11'), proposals: pairOf(signedBodySchema) }),
  /** A node gave a receipt for a manifest that nobody may accept. */
  z.strictObject({
    ...common,
    type: z.literal('E12'),
    receipt: signedBodySchema,
    manifest: bytesUpTo(MANIFEST_BYTES_MAX),
  }),
] as const;

const evidenceSchema = z.discriminatedUnion('type', schemas);

export type Evidence = z.infer<typeof evidenceSchema>;
export type EvidenceType = Evidence['type'];
export type EvidenceOf<T extends EvidenceType> = Extract<Evidence, { type: T }>;
export const EVIDENCE_TYPES: readonly EvidenceType[] = schemas.map((schema) => schema.shape.type.value);

/** Room for the cells of one stripe. */
export const EVIDENCE_BYTES_MAX = SLOTS_MAX * CELL_BYTES_MAX + 1024 * 1024;

export function encodeEvidence(evidence: Evidence): Uint8Array {
  return encode(evidence);
}

/** Reads a document that may come from anyone; what it proves is for `judgeEvidence` to say. Never throws. */
export function decodeEvidence(bytes: Uint8Array): Decoded<Evidence> {
  return decode(evidenceSchema, bytes, EVIDENCE_BYTES_MAX);
}

/** Name of a document, by its content. */
export function evidenceName(bytes: Uint8Array): string {
  return hex(sha256(bytes).subarray(0, 8));
}
