/**
 * Opening what evidence holds: a statement counts once its signature has verified under the key that the
 * configuration gives its signer. Everything here takes any bytes and answers null for what does not hold.
 */
import { equal } from '../base/bytes.ts';
import { FRAME_PAYLOAD_BYTES_MAX } from '../base/limits.ts';
import { sha256, verifySignature } from '../crypto/primitives.ts';
import { logOrigin, openCheckpoint } from '../log/checkpoint.ts';
import type { Checkpoint } from '../log/checkpoint.ts';
import { decodeEntry } from '../log/entry-types.ts';
import type { Entry } from '../log/entry-types.ts';
import { ed25519Verifier } from '../log/signed-note.ts';
import { leafHash, verifyInclusion } from '../merkle/tree.ts';
import { certificateFault, decodeCertificate } from '../protocol/certificate.ts';
import type { Certificate } from '../protocol/certificate.ts';
import type { Cluster, SlotConfig } from '../protocol/configuration.ts';
import { decode } from '../protocol/encoding.ts';
import { partTableSchema } from '../protocol/manifest.ts';
import { decodeAnswer, decodeRequest, replyStatement } from '../protocol/messages.ts';
import type { ParsedAnswer, Request, RequestType } from '../protocol/messages.ts';
import { decodeCommitAck, decodeReceipt } from '../protocol/receipt.ts';
import type { CommitAckBody, ReceiptBody } from '../protocol/receipt.ts';
import { decodeStaged } from '../protocol/slot.ts';
import type { SignedBody, StagedBody } from '../protocol/slot.ts';
import { StatementVerifier } from '../protocol/statement.ts';
import type { StatementProof } from '../protocol/statement.ts';
import type { LoggedEntry, SignedAnswer, VersionContent } from './evidence.ts';
import type { Layout } from '../protocol/stripes.ts';

/** A receipt, acknowledgement or stage, by whom. */
export interface Promised<Body> {
  readonly body: Body;
  readonly by: SlotConfig;
}

/** Opens the statements of one piece of evidence under one configuration. */
export class Statements {
  readonly cluster: Cluster;
  readonly #verifier: StatementVerifier;

  constructor(cluster: Cluster) {
    this.cluster = cluster;
    this.#verifier = new StatementVerifier(cluster.id, 64);
  }

  get verifier(): StatementVerifier {
    return this.#verifier;
  }

  receipt({ body, proof }: SignedBody): Promised<ReceiptBody> | null {
    const decoded = decodeReceipt(body);
    if (!decoded.ok) return null;
    const by = this.cluster.slotAt(decoded.value.slot);
    if (by === undefined || !equal(by.nodeId, decoded.value.nodeId)) return null;
    return this.#verifier.verify(by.signingKey, 'receipt', body, proof) ? { body: decoded.value, by } : null;
  }

  acknowledgement({ body, proof }: SignedBody): Promised<CommitAckBody> | null {
    const decoded = decodeCommitAck(body);
    if (!decoded.ok) return null;
    const by = this.cluster.slotOfNode(decoded.value.nodeId);
    if (by === undefined || !this.#verifier.verify(by.signingKey, 'commit-ack', body, proof)) return null;
    return { body: decoded.value, by };
  }

  stage({ body, proof }: SignedBody): Promised<StagedBody> | null {
    const decoded = decodeStaged(body);
    if (!decoded.ok) return null;
    const by = this.cluster.slotAt(decoded.value.slot);
    if (by === undefined || !equal(by.nodeId, decoded.value.nodeId)) return null;
    return this.#verifier.verify(by.signingKey, 'staged', body, proof) ? { body: decoded.value, by } : null;
  }

  /** The certificate, if it is valid (4.2). */
  certificate(bytes: Uint8Array): Certificate | null {
    const decoded = decodeCertificate(bytes);
    if (!decoded.ok || certificateFault(this.cluster, this.#verifier, decoded.value) !== null) return null;
    return decoded.value;
  }

  /** A checkpoint of a node of this cluster. */
  checkpoint(note: string): { readonly checkpoint: Checkpoint; readonly by: SlotConfig } | null {
    for (const by of this.cluster.slots) {
      const verifier = ed25519Verifier(logOrigin(this.cluster.id, by.nodeId), by.signingKey, verifySignature);
      const opened = openCheckpoint(note, verifier);
      if (opened.ok) return { checkpoint: opened.signed.checkpoint, by };
    }
    return null;
  }

  /** Does the checkpoint's tree have the leaf where it says? */
  hasLeaf({ leaf, index, path }: LoggedEntry, { root, size }: Checkpoint): boolean {
    return verifyInclusion(root, leafHash(leaf), index, size, path);
  }

  /** The entry, if the checkpoint's tree has it where it says and its type is known. */
  entry(logged: LoggedEntry, checkpoint: Checkpoint): Entry | null {
    return this.hasLeaf(logged, checkpoint) ? decodeEntry(logged.leaf) : null;
  }

  /** An answer that the slot signed: request and answer, parsed. */
  answer<T extends RequestType>(
    by: SlotConfig,
    type: T,
    { request, answer, proof }: SignedAnswer,
  ): { readonly request: Extract<Request, { t: T }>; readonly answer: ParsedAnswer<T> } | null {
    const asked = decodeRequest(request);
    if (!asked.ok || asked.value.t !== type) return null;
    if (!this.#signedAnswer(by, request, answer, proof)) return null;
    return { request: asked.value as Extract<Request, { t: T }>, answer: decodeAnswer(type, answer) };
  }

  #signedAnswer(by: SlotConfig, request: Uint8Array, answer: Uint8Array, proof: StatementProof): boolean {
    const body = replyStatement(by.nodeId, this.cluster.epoch, request, answer);
    return this.#verifier.verify(by.signingKey, 'reply', body, proof);
  }

  /** The version that a content belongs to, with how it is cut; null unless its certificate is valid and names it. */
  content({ certificate, contentId, table }: VersionContent): NamedContent | null {
    const cert = this.certificate(certificate);
    if (cert === null) return null;
    const { manifest } = cert.signed;
    if (table === null) {
      if (!equal(manifest.contentId, contentId)) return null;
      const { k, n, cellBytes, size } = manifest;
      return { cert, layout: manifest.kind === 'DATA' ? { k, n, cellBytes, size } : null };
    }
    if (manifest.kind !== 'TABLE' || !equal(sha256(table), manifest.contentId)) return null;
    const parts = decode(partTableSchema, table, FRAME_PAYLOAD_BYTES_MAX);
    const part = parts.ok ? parts.value.find((one) => equal(one.contentId, contentId)) : undefined;
    return part === undefined ? null : { cert, layout: part };
  }
}

export interface NamedContent {
  readonly cert: Certificate;
  /** Null: it has no cells. */
  readonly layout: Layout | null;
}
