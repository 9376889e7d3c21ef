/**
 * Messages between members (protocol 5, 6, 13). A request is a map with its type `t`; an answer is either
 * the result map of that type or `{ refused }`. Cells, inline bodies and part tables travel as the frame's
 * raw payload. Every message is parsed by its schema once, where it arrives.
 */
import { z } from 'zod';
import {
  CELL_ALIGN_BYTES,
  CELL_BYTES_MAX,
  CERTS_BATCH_MAX,
  CHANGES_LEAVES_MAX,
  FRAME_BODY_BYTES_MAX,
  LEASE_MS_MAX,
  REPLIES_BATCH_MAX,
  SHOWN_BATCH_MAX,
  STAGES_BATCH_MAX,
} from '../base/limits.ts';
import { sha256 } from '../crypto/primitives.ts';
import { certBytes } from './certificate.ts';
import { bytesUpTo, decode, encode, hash32, id16, uint, uintUpTo } from './encoding.ts';
import type { Decoded } from './encoding.ts';
import { WRITERS_MAX } from './configuration.ts';
import { signedManifestSchema } from './manifest.ts';
import { batchSchema, proofSchema } from './proofs.ts';
import { SLOTS_MAX } from './quorum.ts';
import { revocationBytes } from './revocation.ts';
import { signedBodySchema, STAGE_MANIFESTS_MAX, stagedReceiptsBytes, unstagedWireSchema } from './slot.ts';
import { stampSchema } from './stamp.ts';

const CHECKPOINT_CHARS_MAX = 4096;
const STRIPE_INDEX_MAX = 2 ** 40;
/** Characters of a checkpoint with its signatures. */
const NOTE_MAX = 4096;
const rowBytes = bytesUpTo(32 * SLOTS_MAX);

/** The highest checkpoint of the answering node that the asker knows; the answer repeats it (section 4, `seen`). */
const seen = z.strictObject({ size: uint, root: hash32 }).nullable();
export type Seen = z.infer<typeof seen>;

/** What the manifest will say of the content. */
const stagedLayout = z.strictObject({
  kind: z.enum(['DATA', 'TABLE']),
  k: z.int().min(1).max(255),
  size: z.int().min(1),
  cellBytes: z.int().min(0).max(CELL_BYTES_MAX).multipleOf(CELL_ALIGN_BYTES),
  contentId: hash32,
});
export type StagedLayout = z.infer<typeof stagedLayout>;

const requests = {
  /** The highest certificate of a key; with `cell0`, also the node's cell of stripe 0 (or the inline body) as payload. `at`: of the version of this stamp. */
  QUERY: z.strictObject({ t: z.literal('QUERY'), keyId: hash32, cell0: z.boolean(), seen, at: stampSchema.optional() }),
  /** One cell of an upload, in order of stripes. Payload: the cell. `reserve`: bytes this upload will take on this node. */
  CELL: z.strictObject({
    t: z.literal('CELL'),
    upload: id16,
    stripe: uintUpTo(STRIPE_INDEX_MAX),
    reserve: uint,
    row: rowBytes,
  }),
  /**
   * Asks for a receipt. Content by `kind`: DATA with `upload` (cells came before), or with `row` and the only
   * cell as payload, or neither when the node already holds the content; INLINE: body as payload; TABLE: table as payload.
   */
  PREPARE: z.strictObject({
    t: z.literal('PREPARE'),
    manifest: signedManifestSchema,
    upload: id16.nullable(),
    row: rowBytes.nullable(),
    /** Certificate of the predecessor, when the node lags. */
    prevCert: certBytes.nullable(),
    /** Certificate of the bucket record, when the node lacks it. */
    record: certBytes.nullable(),
    /** SLOT: who proposes the manifest in which ballot, and that its content is durable. */
    slot: z
      .strictObject({ proposal: signedBodySchema, staged: stagedReceiptsBytes })
      .optional(),
  }),
  /** Asks that nothing below a ballot be accepted in a slot any more. */
  PROMISE: z.strictObject({
    t: z.literal('PROMISE'),
    request: signedBodySchema,
    prevCert: certBytes.nullable(),
    record: certBytes.nullable(),
  }),
  /** Asks that a content be kept ahead of its manifest. Content as with PREPARE. */
  STAGE: z.strictObject({
    t: z.literal('STAGE'),
    bucketId: hash32,
    keyId: hash32,
    stageId: id16,
    layout: stagedLayout,
    upload: id16.nullable(),
    row: rowBytes.nullable(),
    record: certBytes.nullable(),
    /** A ballot of the same key, to be promised together with it: as PROMISE without certificates. */
    ballot: signedBodySchema.optional(),
  }),
  /** Asks for a promise that nothing rests on the stage any more. */
  UNSTAGE: z.strictObject({ t: z.literal('UNSTAGE'), keyId: hash32, stageId: id16 }),
  /** Which stages has the node held for so long? Those of the asking writer, and old ones of others for who may resolve. */
  STAGES: z.strictObject({ t: z.literal('STAGES'), ageMs: uint }),
  /** What rests on a stage? */
  RESTS: z.strictObject({ t: z.literal('RESTS'), keyId: hash32, stageId: id16 }),
  /** 2f+1 such promises: the stage ends. */
  RELEASE: z.strictObject({
    t: z.literal('RELEASE'),
    keyId: hash32,
    stageId: id16,
    statements: z.array(unstagedWireSchema).max(SLOTS_MAX),
  }),
  COMMIT: z.strictObject({ t: z.literal('COMMIT'), cert: certBytes, inline: z.boolean() }),
  /**
   * One cell with its row and the row's path to the matrix root. `stamp` is the manifest's, so that a node that
   * lacks it knows whether it was replaced. `leaseMs` delays garbage collection of the manifest.
   */
  FETCH: z.strictObject({
    t: z.literal('FETCH'),
    keyId: hash32,
    manifestHash: hash32,
    stamp: stampSchema,
    contentId: hash32,
    stripe: uintUpTo(STRIPE_INDEX_MAX),
    leaseMs: uintUpTo(LEASE_MS_MAX),
  }),
  /** The inline body or part table of a manifest, as payload. */
  BODY: z.strictObject({
    t: z.literal('BODY'),
    keyId: hash32,
    manifestHash: hash32,
    stamp: stampSchema,
    contentId: hash32,
    leaseMs: uintUpTo(LEASE_MS_MAX),
  }),
  /** A challenge (6.8): the whole cell, or the body (stripe 0), and what the node signs over it and the nonce. */
  AUDIT: z.strictObject({
    t: z.literal('AUDIT'),
    keyId: hash32,
    manifestHash: hash32,
    stamp: stampSchema,
    contentId: hash32,
    stripe: uintUpTo(STRIPE_INDEX_MAX),
    nonce: hash32,
  }),
  /**
   * Gives a lost cell of a certified version back. Payload: the cell with `row` and `path`, or a whole body (`row`
   * empty). A node that lacks the content altogether takes its cells under `upload` first; then none is here.
   */
  REPAIR: z.strictObject({
    t: z.literal('REPAIR'),
    /** Signed for the asking controller by a gateway. */
    authority: signedBodySchema,
    keyId: hash32,
    manifestHash: hash32,
    stamp: stampSchema,
    contentId: hash32,
    stripe: uintUpTo(STRIPE_INDEX_MAX),
    row: rowBytes,
    path: z.array(hash32).max(48),
    /** Certificate of the version, for a node that may lack it. */
    cert: certBytes.nullable(),
    upload: id16.nullable(),
  }),
  /** A fresh checkpoint of the node's log; the nonce stands in the signed text. */
  CHECKPOINT: z.strictObject({
    t: z.literal('CHECKPOINT'),
    nonce: id16,
    /** A checkpoint that the node has signed before and its log seems to contradict: it learns that it was rolled back (13.9). */
    known: z.string().max(CHECKPOINT_CHARS_MAX).optional(),
  }),
  /** Leaves [from, to) of the node's log; the answer may be shorter. */
  CHANGES: z.strictObject({ t: z.literal('CHANGES'), from: uint, to: uint }),
  /** Certificates for keys; the node gives the highest it holds for each. */
  CERTS: z.strictObject({
    t: z.literal('CERTS'),
    keyIds: z.array(hash32).min(1).max(CERTS_BATCH_MAX),
    /** Stamps of the versions wanted, one a key; null or absent: the highest. */
    stamps: z.array(stampSchema.nullable()).max(CERTS_BATCH_MAX).optional(),
  }),
  /** Which stamps does the node show for these keys? Asked between nodes before garbage collection (13.2). */
  SHOWN: z.strictObject({ t: z.literal('SHOWN'), keyIds: z.array(hash32).min(1).max(SHOWN_BATCH_MAX) }),
  /**
   * The node's state of (keyId, stamp), signed; a node that has accepted nothing there promises NEVER to (6.7),
   * or refuses with NOT_HELD where no promise is asked for.
   */
  RESOLVE: z.strictObject({ t: z.literal('RESOLVE'), keyId: hash32, stamp: stampSchema, promise: z.boolean() }),
  /** An abort licence: signed resolutions that rule a certificate out; the node lets go of the stamp. */
  ABORT: z.strictObject({
    t: z.literal('ABORT'),
    keyId: hash32,
    stamp: stampSchema,
    resolutions: z.array(z.strictObject({ body: bytesUpTo(1024), proof: proofSchema })).max(SLOTS_MAX),
  }),
  /** What this node knows of the asking node's own log, before it serves (13.9). */
  BOOT: z.strictObject({ t: z.literal('BOOT') }),
  /** Asks a peer to keep the asker's incarnation number durably (13.9). */
  REMEMBER: z.strictObject({
    t: z.literal('REMEMBER'),
    incarnation: uint,
    /** Signed by the asker: a peer can later repeat, but not invent, a higher number. */
    proof: proofSchema,
  }),
  /** Shows the node that m admins have revoked a writer (revocation.ts). Anyone may, the revoked writer too. */
  REVOKE: z.strictObject({ t: z.literal('REVOKE'), document: revocationBytes }),
  /** Which revocations does the node hold? */
  REVOCATIONS: z.strictObject({ t: z.literal('REVOCATIONS') }),
  /** Certificates of the COMMITTED entries at these indexes of the node's log, of versions long replaced too. */
  HISTORY: z.strictObject({ t: z.literal('HISTORY'), indexes: z.array(uint).min(1).max(CERTS_BATCH_MAX) }),
  /** What time is it with you? Asked between nodes, for retention (13.6). */
  TIME: z.strictObject({ t: z.literal('TIME') }),
  /** The asking gateway's audit log has grown to this checkpoint, which extends the one that the node keeps. */
  ANCHOR: z.strictObject({ t: z.literal('ANCHOR'), note: z.string().max(NOTE_MAX), consistency: z.array(hash32).max(64) }),
  /** The newest anchor of a gateway that the node keeps. */
  ANCHORED: z.strictObject({ t: z.literal('ANCHORED'), gatewayId: hash32 }),
  STATUS: z.strictObject({ t: z.literal('STATUS') }),
} as const;

export type RequestType = keyof typeof requests;
export type RequestOf<T extends RequestType> = z.infer<(typeof requests)[T]>;
export type Request = { [T in RequestType]: RequestOf<T> }[RequestType];

const requestSchema: z.ZodType<Request> = z.discriminatedUnion('t', [
  requests.QUERY,
  requests.CELL,
  requests.PREPARE,
  requests.PROMISE,
  requests.STAGE,
  requests.UNSTAGE,
  requests.STAGES,
  requests.RESTS,
  requests.RELEASE,
  requests.COMMIT,
  requests.FETCH,
  requests.BODY,
  requests.AUDIT,
  requests.REPAIR,
  requests.CHECKPOINT,
  requests.CHANGES,
  requests.CERTS,
  requests.SHOWN,
  requests.RESOLVE,
  requests.ABORT,
  requests.BOOT,
  requests.REMEMBER,
  requests.REVOKE,
  requests.REVOCATIONS,
  requests.HISTORY,
  requests.TIME,
  requests.ANCHOR,
  requests.ANCHORED,
  requests.STATUS,
]);

/** A statement whose body the receiver can rebuild travels as its variable fields and proof. */
const receiptWire = z.strictObject({ incarnation: uint, logIndex: uint, proof: proofSchema });
const signedBody = signedBodySchema;

/** A map without fields. An empty byte string, which has none either, is not one. */
const nothing = z.custom<Record<string, never>>(
  (v) => typeof v === 'object' && v !== null && !Array.isArray(v) && !(v instanceof Uint8Array) && Object.keys(v).length === 0,
  { error: 'expected an empty map' },
);

const refusalCodes = [
  'BAD',
  'CONFIG_STALE',
  'DENIED',
  'SUPERSEDED',
  'COUNTER',
  'EQUIVOCATION',
  'BUSY',
  'BUCKET_UNKNOWN',
  'BUCKET_STALE',
  'CONFLICT',
  'PREDECESSOR',
  'BALLOT',
  'LOCKED',
  'NOT_HELD',
  'HOLE',
  'FULL',
  'LOST',
  'REVOKED',
] as const;

const refusedSchema = z.strictObject({
  refused: z.strictObject({
    code: z.enum(refusalCodes),
    reason: z.string().max(500),
    /** SUPERSEDED, COUNTER: the certificate in the way. PREDECESSOR: the newest held, if any. BUCKET_STALE: the record's certificate. */
    cert: certBytes.nullable(),
    /** EQUIVOCATION: the manifest accepted first. */
    manifest: signedManifestSchema.nullable(),
    /** CONFIG_STALE: the node's configuration document. REVOKED: the revocation. */
    document: z.custom<Uint8Array>((v) => v instanceof Uint8Array).nullable(),
    /** NOT_HELD and HOLE are signed statements: usable as evidence (E6). BALLOT: the request that was promised more. */
    statement: signedBodySchema.nullable(),
  }),
});
export type RefusedAnswer = z.infer<typeof refusedSchema>['refused'];
/** A refusal inside an answer. */
export type RefusedMap = z.infer<typeof refusedSchema>;

const promiseAnswer = z.strictObject({
  /** What was accepted in the slot, in which ballot: whoever proposes next proposes the highest of these. Payload: an inline body. */
  accepted: z
    .strictObject({
      manifest: signedManifestSchema,
      proposal: signedBodySchema,
      staged: stagedReceiptsBytes,
    })
    .nullable(),
});

const answers = {
  QUERY: z.strictObject({
    cert: certBytes.nullable(),
    /** With `at`: the certificate of the manifest that removed the version. */
    removedBy: certBytes.optional(),
    /** With `cell0` and a DATA certificate: row of stripe 0 and its path; payload is the cell. */
    row: rowBytes.nullable(),
    path: z.array(hash32).max(48),
    epoch: uint,
    configHash: hash32,
    seen,
  }),
  CELL: nothing,
  PREPARE: receiptWire,
  PROMISE: promiseAnswer,
  /** With a ballot: what became of that, and its payload. */
  STAGE: receiptWire.extend({ promise: z.union([promiseAnswer, refusedSchema]).optional() }),
  UNSTAGE: unstagedWireSchema,
  /** The oldest first. */
  STAGES: z.strictObject({
    stages: z.array(z.strictObject({ stageId: id16, keyId: hash32, gatewayId: hash32 })).max(STAGES_BATCH_MAX),
  }),
  RESTS: z.strictObject({
    /** Stamps of manifests that are accepted here and not certified. */
    accepted: z.array(stampSchema).max(STAGE_MANIFESTS_MAX),
    /** Of the certified version that rests on it. */
    cert: certBytes.nullable(),
  }),
  RELEASE: nothing,
  COMMIT: receiptWire,
  FETCH: z.strictObject({ row: rowBytes, path: z.array(hash32).max(48) }),
  BODY: nothing,
  /** A body has no row. */
  AUDIT: z.strictObject({ row: rowBytes, path: z.array(hash32).max(48), statement: signedBody }),
  REPAIR: nothing,
  CHECKPOINT: z.strictObject({ text: z.string().max(CHECKPOINT_CHARS_MAX) }),
  CHANGES: z.strictObject({ from: uint, leaves: z.array(bytesUpTo(1024)).max(CHANGES_LEAVES_MAX) }),
  CERTS: z.strictObject({ certs: z.array(certBytes.nullable()).max(CERTS_BATCH_MAX) }),
  SHOWN: z.strictObject({
    shown: z.array(z.strictObject({ stamp: stampSchema, manifestHash: hash32 }).nullable()).max(SHOWN_BATCH_MAX),
  }),
  RESOLVE: z.strictObject({
    resolution: signedBody,
    /** The accepted manifest, when there is one. */
    manifest: signedManifestSchema.nullable(),
    /** Does the node hold all that the manifest's content needs of it? */
    holds: z.boolean(),
  }),
  ABORT: nothing,
  BOOT: z.strictObject({
    /** A statement of the asking node with the highest log index this node knows, inside the certificate that carries it. */
    cert: certBytes.nullable(),
    /** The highest incarnation that the asker has signed and this node keeps. */
    remembered: z.strictObject({ incarnation: uint, proof: proofSchema }).nullable(),
    /** Size of this node's log, for the asker to tail. */
    size: uint,
  }),
  REMEMBER: nothing,
  /** The variable fields of a signed REVOKED statement. */
  REVOKE: z.strictObject({ statementHash: hash32, incarnation: uint, logIndex: uint, proof: proofSchema }),
  REVOCATIONS: z.strictObject({ documents: z.array(revocationBytes).max(WRITERS_MAX) }),
  /** In the order asked, perhaps fewer; null: no COMMITTED entry stands there. */
  HISTORY: z.strictObject({ certs: z.array(certBytes.nullable()).max(CERTS_BATCH_MAX) }),
  TIME: z.strictObject({ nowMs: uint }),
  ANCHOR: nothing,
  ANCHORED: z.strictObject({ note: z.string().max(NOTE_MAX).nullable() }),
  STATUS: z.strictObject({
    protocolMin: uint,
    protocolMax: uint,
    version: z.string().max(64),
    incarnation: uint,
    logSize: uint,
    totalBytes: uint,
    freeBytes: uint,
    liveBytes: uint,
    keys: uint,
    holes: uint,
    /** Contents that were about to be deleted although a certified version names them. */
    quarantineAlarms: uint.optional(),
    /** What the node finds when it reads its own disk. Bytes of this pass; times are Unix milliseconds. */
    scrub: z
      .strictObject({ pass: uint, startedMs: uint, endedMs: uint.nullable(), checkedBytes: uint, damagedLeaves: uint })
      .optional(),
    state: z.enum(['CHECKING', 'SERVING', 'STOPPED']),
  }),
} as const;

export type AnswerOf<T extends RequestType> = z.infer<(typeof answers)[T]>;

export function encodeRequest(request: Request): Uint8Array {
  return encode(request);
}

export function decodeRequest(body: Uint8Array): Decoded<Request> {
  return decode(requestSchema, body, FRAME_BODY_BYTES_MAX);
}

export function encodeAnswer<T extends RequestType>(_type: T, answer: AnswerOf<T>): Uint8Array {
  return encode(answer);
}

export function encodeRefused(
  refused: Pick<RefusedAnswer, 'code' | 'reason'> & Partial<RefusedAnswer>,
): Uint8Array {
  return encode(refusedMap(refused));
}

export function refusedMap(refused: Pick<RefusedAnswer, 'code' | 'reason'> & Partial<RefusedAnswer>): RefusedMap {
  return { refused: { cert: null, manifest: null, document: null, statement: null, ...refused } };
}

export type ParsedAnswer<T extends RequestType> =
  | { readonly kind: 'answer'; readonly answer: AnswerOf<T> }
  | { readonly kind: 'refused'; readonly refused: RefusedAnswer }
  | { readonly kind: 'malformed'; readonly reason: string };

/** Parses a peer's answer to a request of type `type`. Never throws. */
export function decodeAnswer<T extends RequestType>(type: T, body: Uint8Array): ParsedAnswer<T> {
  const schema = answers[type] as unknown as z.ZodType<AnswerOf<T>>;
  const decoded = decode(z.union([schema, refusedSchema]) as z.ZodType<AnswerOf<T> | z.infer<typeof refusedSchema>>, body, FRAME_BODY_BYTES_MAX);
  if (!decoded.ok) return { kind: 'malformed', reason: decoded.reason };
  const value = decoded.value;
  if (typeof value === 'object' && 'refused' in value) return { kind: 'refused', refused: value.refused };
  return { kind: 'answer', answer: value as AnswerOf<T> };
}

/**
 * The signature that a node owes for its replies to QUERY and FETCH (13.5): they are used at once, on the word of
 * the TLS channel; within 100 ms one batch signature over their leaves follows, unasked, so that what was
 * shown can be held against the node.
 */
const repliesSchema = z.strictObject({
  t: z.literal('REPLIES'),
  leaves: z.array(hash32).min(1).max(REPLIES_BATCH_MAX),
  batch: batchSchema,
});
export type RepliesNotice = z.infer<typeof repliesSchema>;

export function encodeReplies(notice: RepliesNotice): Uint8Array {
  return encode(notice);
}

export function decodeReplies(body: Uint8Array): Decoded<RepliesNotice> {
  return decode(repliesSchema, body, FRAME_BODY_BYTES_MAX);
}

/** Canonical body of one reply's statement: which answer to which request, by whom. Rows in it commit to the cells beside it. */
export function replyStatement(nodeId: Uint8Array, epoch: number, request: Uint8Array, answer: Uint8Array): Uint8Array {
  return encode({ v: 1, nodeId, epoch, request: sha256(request), answer: sha256(answer) });
}

/** Body of the signed answer to RESOLVE: what this node has accepted for (keyId, stamp), or NEVER. */
const resolutionSchema = z.strictObject({
  v: z.literal(1),
  keyId: hash32,
  stamp: stampSchema,
  slot: uintUpTo(SLOTS_MAX - 1),
  epoch: uint,
  /** Hash of the accepted manifest; null is the promise NEVER to accept one. */
  prepared: hash32.nullable(),
});
export type ResolutionBody = z.infer<typeof resolutionSchema>;

export function decodeResolution(body: Uint8Array): Decoded<ResolutionBody> {
  return decode(resolutionSchema, body, 1024);
}

/** Body of a signed NOT_HELD or HOLE: this node lacks a cell that it was asked for (13.10). */
const lackSchema = z.strictObject({
  v: z.literal(1),
  code: z.enum(['NOT_HELD', 'HOLE']),
  manifestHash: hash32,
  contentId: hash32,
  stripe: uint,
  slot: uintUpTo(SLOTS_MAX - 1),
  epoch: uint,
  /** The highest certified stamp that it holds for the key: a lack is no broken promise to whom it is above. */
  max: stampSchema.nullable(),
});
export type LackBody = z.infer<typeof lackSchema>;

export function decodeLack(body: Uint8Array): Decoded<LackBody> {
  return decode(lackSchema, body, 1024);
}
