/**
 * Signed statements. Every signature of Holdfast covers a purpose, the cluster and one canonical body, so a
 * signature made for one purpose or cluster is worthless for any other (R7). One signature may cover a batch:
 * the bodies are leaves of an RFC 6962 tree and the signature covers its root (protocol 4.1b); a statement
 * then carries its path, and is self-contained evidence like one signed alone (a batch of one: no path).
 */
import { concat, equal, mapKey, u32be, utf8 } from '../base/bytes.ts';
import { verifySignature } from '../crypto/primitives.ts';
import type { SigningKey } from '../crypto/primitives.ts';
import { batchTree, rootOfBatchMember } from '../merkle/batch.ts';
import { leafHash } from '../merkle/tree.ts';

const PROJECT = 'holdfast/1/';
const ZERO = new Uint8Array(1);

/** Registered purposes: no two kinds of statement share one. */
export type Purpose =
  | 'manifest'
  | 'receipt'
  | 'commit-ack'
  | 'reply'
  | 'not-held'
  | 'resolution'
  | 'ballot'
  | 'proposal'
  | 'staged'
  | 'unstaged'
  | 'audit'
  | 'repair-authority'
  | 'config'
  | 'bucket-root'
  | 'revocation'
  | 'revoked'
  | 'join'
  | 'boot'
  /** Never sent: its hash names a node's journal, which nobody else can then imitate. */
  | 'journal'
  | 'batch';

/** The bytes a statement stands for: purpose, cluster and canonical body. */
export function statementBytes(purpose: Purpose, clusterId: Uint8Array, body: Uint8Array): Uint8Array {
  return concat(utf8(PROJECT + purpose), ZERO, clusterId, body);
}

export function statementLeaf(purpose: Purpose, clusterId: Uint8Array, body: Uint8Array): Uint8Array {
  return leafHash(utf8(PROJECT + purpose), ZERO, clusterId, body);
}

/** A signature over the root of a batch of statements of one signer. */
export interface BatchSignature {
  /** Number of statements, 1 to 2^16. */
  readonly size: number;
  readonly root: Uint8Array;
  readonly signature: Uint8Array;
}

/** Where a statement stands in its batch. */
export interface Membership {
  readonly index: number;
  readonly path: readonly Uint8Array[];
}

/** Proof that one body was signed: its place in a batch and the batch's signature. */
export interface StatementProof extends Membership {
  readonly batch: BatchSignature;
}

export { BATCH_LEAVES_MAX as BATCH_SIZE_MAX, BATCH_PATH_MAX } from '../merkle/batch.ts';

function batchBody(clusterId: Uint8Array, size: number, root: Uint8Array): Uint8Array {
  return statementBytes('batch', clusterId, concat(u32be(size), root));
}

/** Signs all leaves (from `statementLeaf`) with one signature; the proofs are in the order of the leaves. */
export function signBatch(key: SigningKey, clusterId: Uint8Array, leaves: readonly Uint8Array[]): StatementProof[] {
  const tree = batchTree(leaves);
  const batch = { size: tree.size, root: tree.root, signature: key.sign(batchBody(clusterId, tree.size, tree.root)) };
  return leaves.map((_, index) => ({ index, path: tree.path(index), batch }));
}

/**
 * Verifies statements and remembers which batch roots of which key verified, so that a batch costs one
 * signature check however many of its statements are seen. Bounded; forgetting only costs time.
 */
export class StatementVerifier {
  readonly #clusterId: Uint8Array;
  readonly #verified = new Map<string, { readonly publicKey: Uint8Array; readonly batch: BatchSignature }>();
  readonly #capacity: number;

  constructor(clusterId: Uint8Array, capacity: number = 65_536) {
    this.#clusterId = clusterId;
    this.#capacity = capacity;
  }

  /** True iff `body` for `purpose` was signed by `publicKey`. Any bytes may be given. */
  verify(publicKey: Uint8Array, purpose: Purpose, body: Uint8Array, proof: StatementProof): boolean {
    const { batch } = proof;
    const leaf = statementLeaf(purpose, this.#clusterId, body);
    const root = rootOfBatchMember(leaf, proof.index, batch.size, proof.path);
    if (root === null || !equal(root, batch.root)) return false;
    return this.verifyBatch(publicKey, batch);
  }

  verifyBatch(publicKey: Uint8Array, batch: BatchSignature): boolean {
    const name = mapKey(batch.root);
    const known = this.#verified.get(name);
    if (known !== undefined && sameBatch(known.batch, batch) && equal(known.publicKey, publicKey)) return true;
    if (!verifySignature(publicKey, batchBody(this.#clusterId, batch.size, batch.root), batch.signature)) return false;
    this.remember(publicKey, batch);
    return true;
  }

  /** Takes a signature as verified: one that this very process has made. */
  remember(publicKey: Uint8Array, batch: BatchSignature): void {
    if (this.#verified.size >= this.#capacity) this.#verified.clear();
    this.#verified.set(mapKey(batch.root), { publicKey, batch });
  }
}

function sameBatch(a: BatchSignature, b: BatchSignature): boolean {
  return a.size === b.size && equal(a.root, b.root) && equal(a.signature, b.signature);
}
