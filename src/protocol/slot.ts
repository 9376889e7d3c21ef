/**
 * The slot protocol (6.4, 13.7): which manifest may follow a version is decided once, by Paxos among the
 * storage nodes. A slot is (keyId, hash of the version replaced). A ballot is promised to one gateway session;
 * a proposal names the manifest that its gateway proposes in it. Both are signed: a node can neither invent a
 * proposal nor a promise that beat somebody. STAGED says that a content is durable before its manifest is
 * proposed, so that whoever completes a proposal needs only the manifest.
 */
import { z } from 'zod';
import { compare, equal } from '../base/bytes.ts';
import type { Cluster, WriterConfig } from './configuration.ts';
import { bytesUpTo, decode, encode, hash32, id16, uint, uintUpTo } from './encoding.ts';
import type { Decoded } from './encoding.ts';
import type { Manifest } from './manifest.ts';
import { proofSchema } from './proofs.ts';
import { quorumSize, SLOTS_MAX } from './quorum.ts';
import { stampSchema, writerIdOf } from './stamp.ts';
import type { Stamp } from './stamp.ts';
import type { StatementProof, StatementVerifier } from './statement.ts';

/** Rounds grow from promised ones by at most this much, as counters do (P7). */
export const ROUND_STEP_MAX = 2 ** 16;

export interface Ballot {
  readonly round: number;
  /** The gateway session that proposes: two never share a ballot. */
  readonly writerId: Uint8Array;
}

export const ballotSchema: z.ZodType<Ballot> = z.strictObject({ round: z.int().min(1), writerId: id16 });

export const ZERO_BALLOT: Ballot = { round: 0, writerId: new Uint8Array(16) };

export function compareBallots(a: Ballot, b: Ballot): number {
  return a.round - b.round || compare(a.writerId, b.writerId);
}

/** The slot after which no version has ever been: "must not exist". */
export const NO_VERSION: Uint8Array = new Uint8Array(32);

/** A statement with its signature, as it travels. */
export const signedBodySchema = z.strictObject({ body: bytesUpTo(1024), proof: proofSchema });
export interface SignedBody {
  readonly body: Uint8Array;
  readonly proof: StatementProof;
}

/** "Promise me this ballot": nodes then accept nothing below it in the slot. */
export interface BallotRequest {
  readonly v: 1;
  readonly bucketId: Uint8Array;
  readonly keyId: Uint8Array;
  readonly prev: Uint8Array;
  readonly round: number;
  readonly gatewayId: Uint8Array;
  readonly sessionNonce: Uint8Array;
}

const ballotRequestSchema: z.ZodType<BallotRequest> = z.strictObject({
  v: z.literal(1),
  bucketId: hash32,
  keyId: hash32,
  prev: hash32,
  round: z.int().min(1),
  gatewayId: hash32,
  sessionNonce: id16,
});

export const encodeBallotRequest = (body: BallotRequest): Uint8Array => encode(body);
export const decodeBallotRequest = (bytes: Uint8Array): Decoded<BallotRequest> =>
  decode(ballotRequestSchema, bytes, 1024);

/** "In this ballot I propose this manifest", by a gateway that has q promises of it. */
export interface Proposal {
  readonly v: 1;
  readonly keyId: Uint8Array;
  readonly prev: Uint8Array;
  readonly round: number;
  readonly gatewayId: Uint8Array;
  readonly sessionNonce: Uint8Array;
  readonly manifestHash: Uint8Array;
}

const proposalSchema: z.ZodType<Proposal> = z.strictObject({
  v: z.literal(1),
  keyId: hash32,
  prev: hash32,
  round: z.int().min(1),
  gatewayId: hash32,
  sessionNonce: id16,
  manifestHash: hash32,
});

export const encodeProposal = (body: Proposal): Uint8Array => encode(body);
export const decodeProposal = (bytes: Uint8Array): Decoded<Proposal> => decode(proposalSchema, bytes, 1024);

export function ballotOf({
  round,
  gatewayId,
  sessionNonce,
}: Pick<Proposal, 'round' | 'gatewayId' | 'sessionNonce'>): Ballot {
  return { round, writerId: writerIdOf(gatewayId, sessionNonce) };
}

/** The proposal's writer, when the proposal is about this manifest and signed by it. */
export function proposerOf(
  cluster: Cluster,
  verifier: StatementVerifier,
  signed: SignedBody,
  manifest: Manifest,
  manifestHash: Uint8Array,
): { readonly writer: WriterConfig; readonly ballot: Ballot } | null {
  const decoded = decodeProposal(signed.body);
  if (!decoded.ok || manifest.slot === null) return null;
  const proposal = decoded.value;
  const writer = cluster.writerById(proposal.gatewayId);
  if (writer === undefined || !writer.capabilities.includes('write')) return null;
  const isAbout =
    equal(proposal.keyId, manifest.keyId) &&
    equal(proposal.prev, manifest.slot.prev) &&
    equal(proposal.manifestHash, manifestHash);
  if (!isAbout || !verifier.verify(writer.signingKey, 'proposal', signed.body, signed.proof)) return null;
  return { writer, ballot: ballotOf(proposal) };
}

/** What a node says when a content is durable on it, ahead of the manifest that will rest on it. */
export interface StagedBody {
  readonly v: 1;
  readonly bucketId: Uint8Array;
  readonly keyId: Uint8Array;
  readonly stageId: Uint8Array;
  readonly contentId: Uint8Array;
  readonly gatewayId: Uint8Array;
  readonly slot: number;
  readonly nodeId: Uint8Array;
  readonly epoch: number;
  readonly incarnation: number;
  /** Index of the STAGED leaf in the node's log. */
  readonly logIndex: number;
}

const stagedBodySchema: z.ZodType<StagedBody> = z.strictObject({
  v: z.literal(1),
  bucketId: hash32,
  keyId: hash32,
  stageId: id16,
  contentId: hash32,
  gatewayId: hash32,
  slot: uintUpTo(SLOTS_MAX - 1),
  nodeId: hash32,
  epoch: uint,
  incarnation: uint,
  logIndex: uint,
});

export const encodeStaged = (body: StagedBody): Uint8Array => encode(body);
export const decodeStaged = (bytes: Uint8Array): Decoded<StagedBody> => decode(stagedBodySchema, bytes, 1024);

/** A STAGED receipt without what the manifest implies. */
export const stagedReceiptSchema = z.strictObject({
  slot: uintUpTo(SLOTS_MAX - 1),
  incarnation: uint,
  logIndex: uint,
  proof: proofSchema,
});
export type StagedReceipt = z.infer<typeof stagedReceiptSchema>;

const STAGED_RECEIPTS_BYTES_MAX = 64 * 1024;

/**
 * The receipts of a stage as they travel and are kept: bytes that only those look into who hold nothing of the
 * content themselves.
 */
export const stagedReceiptsBytes: z.ZodType<Uint8Array> = bytesUpTo(STAGED_RECEIPTS_BYTES_MAX);

const stagedReceiptsSchema: z.ZodType<readonly StagedReceipt[]> = z.array(stagedReceiptSchema).max(SLOTS_MAX);

export const encodeStagedReceipts = (receipts: readonly StagedReceipt[]): Uint8Array => encode(receipts);
export const decodeStagedReceipts = (bytes: Uint8Array): Decoded<readonly StagedReceipt[]> =>
  decode(stagedReceiptsSchema, bytes, STAGED_RECEIPTS_BYTES_MAX);

/** Of a manifest that rests on no stage. */
export const NO_RECEIPTS: Uint8Array = encodeStagedReceipts([]);

/** What a stage is about: known before the manifest is. */
export type StageTerms = Pick<StagedBody, 'bucketId' | 'keyId' | 'stageId' | 'contentId' | 'gatewayId'>;

/** Does the receipt verify? */
export function verifyStaged(
  cluster: Cluster,
  verifier: StatementVerifier,
  terms: StageTerms,
  epoch: number,
  receipt: StagedReceipt,
): boolean {
  const config = cluster.slotAt(receipt.slot);
  if (config === undefined) return false;
  const { bucketId, keyId, stageId, contentId, gatewayId } = terms;
  const { slot, incarnation, logIndex, proof } = receipt;
  const about = { v: 1, bucketId, keyId, stageId, contentId, gatewayId } as const;
  const body = encodeStaged({ ...about, slot, nodeId: config.nodeId, epoch, incarnation, logIndex });
  return verifier.verify(config.signingKey, 'staged', body, proof);
}

/**
 * P5 of a SLOT manifest: q receipts of exactly the slots that the manifest names say that its content is
 * durable. Null when they do, or when the manifest has no content to stage.
 */
export function stageFault(
  cluster: Cluster,
  verifier: StatementVerifier,
  manifest: Manifest,
  staged: Uint8Array,
): string | null {
  const decoded = decodeStagedReceipts(staged);
  if (!decoded.ok) return `receipts of a stage: ${decoded.reason}`;
  const receipts = decoded.value;
  const stage = manifest.slot?.stage ?? null;
  if (stage === null) return receipts.length === 0 ? null : 'receipts of a stage that it does not name';
  const { id: stageId, slots } = stage;
  if (slots.length < quorumSize(cluster.geometry)) return 'a stage on fewer than q slots';
  if (receipts.length !== slots.length) return 'a stage without its receipts';
  const { bucketId, keyId, contentId, gatewayId, epoch } = manifest;
  const terms = { bucketId, keyId, stageId, contentId, gatewayId };
  for (const [i, receipt] of receipts.entries()) {
    if (receipt.slot !== slots[i]) return 'receipts of other slots than the manifest names';
    if (!verifyStaged(cluster, verifier, terms, epoch, receipt)) return `STAGED of slot ${receipt.slot} does not verify`;
  }
  return null;
}

/** A manifest that was accepted and is not certified here: its version, and the slot it stands for. */
export interface AcceptedManifest {
  readonly hash: Uint8Array;
  readonly prev: Uint8Array;
  readonly stamp: Stamp;
}

/** "I accept no manifest resting on this stage any more", with those accepted already. */
export interface UnstagedBody {
  readonly v: 1;
  readonly stageId: Uint8Array;
  readonly slot: number;
  readonly epoch: number;
  readonly accepted: readonly AcceptedManifest[];
}

/** Manifests that one stage can have been accepted for: one a slot that was lost. */
export const STAGE_MANIFESTS_MAX = 16;

const unstagedBodySchema: z.ZodType<UnstagedBody> = z.strictObject({
  v: z.literal(1),
  stageId: id16,
  slot: uintUpTo(SLOTS_MAX - 1),
  epoch: uint,
  accepted: z
    .array(z.strictObject({ hash: hash32, prev: hash32, stamp: stampSchema }))
    .max(STAGE_MANIFESTS_MAX),
});

const UNSTAGED_BYTES_MAX = 4096;

export const encodeUnstaged = (body: UnstagedBody): Uint8Array => encode(body);
export const decodeUnstaged = (bytes: Uint8Array): Decoded<UnstagedBody> =>
  decode(unstagedBodySchema, bytes, UNSTAGED_BYTES_MAX);
export const unstagedWireSchema = z.strictObject({ body: bytesUpTo(UNSTAGED_BYTES_MAX), proof: proofSchema });
