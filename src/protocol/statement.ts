/**
 * Signed statements. Every signature of Holdfast covers a purpose, the cluster and one canonical body, so a
 * signature made for one purpose or cluster is worthless for any other (R7). One signature may cover a batch:
 * the bodies are leaves of an RFC 6962 tree and the signature covers its root (protocol 4.1b); a statement
 * then carries its path, and is self-contained evidence like one signed alone (a batch of one: no path).
 */
import { assert } from '../base/assert.ts';
import { concat, mapKey, u32be, utf8 } from '../base/bytes.ts';
import { sha256, verifySignature } from '../crypto/primitives.ts';
import type { SigningKey } from '../crypto/primitives.ts';

const PROJECT = 'holdfast/1/';
const ZERO = new Uint8Array(1);
const LEAF = new Uint8Array([0]);
const NODE = new Uint8Array([1]);

/** Registered purposes: no two kinds of statement share one. */
export type Purpose =
  | 'manifest'
  | 'receipt'
  | 'commit-ack'
  | 'reply'
  | 'refusal'
  | 'not-held'
  | 'resolution'
  | 'checkpoint'
  | 'config'
  | 'join'
  | 'snapshot'
  | 'batch';

/** The bytes a statement stands for: purpose, cluster and canonical body. */
export function statementBytes(purpose: Purpose, clusterId: Uint8Array, body: Uint8Array): Uint8Array {
  return concat(utf8(PROJECT + purpose), ZERO, clusterId, body);
}

export function statementLeaf(purpose: Purpose, clusterId: Uint8Array, body: Uint8Array): Uint8Array {
  return sha256(LEAF, utf8(PROJECT + purpose), ZERO, clusterId, body);
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

export const BATCH_SIZE_MAX = 1 << 16;
export const BATCH_PATH_MAX = 16;

function batchBody(clusterId: Uint8Array, size: number, root: Uint8Array): Uint8Array {
  return statementBytes('batch', clusterId, concat(u32be(size), root));
}

function nodeHash(left: Uint8Array, right: Uint8Array): Uint8Array {
  return sha256(NODE, left, right);
}

function largestPowerBelow(size: number): number {
  return 2 ** Math.floor(Math.log2(size - 1));
}

function rootAndPaths(leaves: readonly Uint8Array[]): { root: Uint8Array; paths: Uint8Array[][] } {
  const only = leaves[0];
  assert(only !== undefined, 'a batch has at least one statement');
  if (leaves.length === 1) return { root: only, paths: [[]] };
  const split = largestPowerBelow(leaves.length);
  const left = rootAndPaths(leaves.slice(0, split));
  const right = rootAndPaths(leaves.slice(split));
  for (const path of left.paths) path.push(right.root);
  for (const path of right.paths) path.push(left.root);
  return { root: nodeHash(left.root, right.root), paths: [...left.paths, ...right.paths] };
}

/** Signs all leaves (from `statementLeaf`) with one signature; the proofs are in the order of the leaves. */
export function signBatch(key: SigningKey, clusterId: Uint8Array, leaves: readonly Uint8Array[]): StatementProof[] {
  assert(leaves.length >= 1 && leaves.length <= BATCH_SIZE_MAX, 'batch size within bounds');
  const { root, paths } = rootAndPaths(leaves);
  const batch = { size: leaves.length, root, signature: key.sign(batchBody(clusterId, leaves.length, root)) };
  return paths.map((path, index) => ({ index, path, batch }));
}

/** Recomputes the root that `leaf` at `index` of `size` and `path` give (RFC 9162 2.1.3.2), or null when the shape is wrong. */
export function rootOfMember(leaf: Uint8Array, index: number, size: number, path: readonly Uint8Array[]): Uint8Array | null {
  if (index < 0 || index >= size) return null;
  let position = index;
  let last = size - 1;
  let hash = leaf;
  for (const sibling of path) {
    if (last === 0) return null;
    if (position % 2 === 1 || position === last) {
      hash = nodeHash(sibling, hash);
      while (position % 2 === 0 && position !== 0) {
        position = Math.floor(position / 2);
        last = Math.floor(last / 2);
      }
    } else {
      hash = nodeHash(hash, sibling);
    }
    position = Math.floor(position / 2);
    last = Math.floor(last / 2);
  }
  return last === 0 ? hash : null;
}

/**
 * Verifies statements and remembers which batch roots of which key verified, so that a batch costs one
 * signature check however many of its statements are seen. Bounded; forgetting only costs time.
 */
export class StatementVerifier {
  readonly #clusterId: Uint8Array;
  readonly #verified = new Set<string>();
  readonly #capacity: number;

  constructor(clusterId: Uint8Array, capacity: number = 65_536) {
    this.#clusterId = clusterId;
    this.#capacity = capacity;
  }

  /** True iff `body` for `purpose` was signed by `publicKey`. Any bytes may be given. */
  verify(publicKey: Uint8Array, purpose: Purpose, body: Uint8Array, proof: StatementProof): boolean {
    const { batch } = proof;
    if (batch.size < 1 || batch.size > BATCH_SIZE_MAX || proof.path.length > BATCH_PATH_MAX) return false;
    const leaf = statementLeaf(purpose, this.#clusterId, body);
    const root = rootOfMember(leaf, proof.index, batch.size, proof.path);
    if (root === null || mapKey(root) !== mapKey(batch.root)) return false;
    return this.verifyBatch(publicKey, batch);
  }

  verifyBatch(publicKey: Uint8Array, batch: BatchSignature): boolean {
    const name = mapKey(publicKey) + mapKey(u32be(batch.size)) + mapKey(batch.root) + mapKey(batch.signature);
    if (this.#verified.has(name)) return true;
    if (!verifySignature(publicKey, batchBody(this.#clusterId, batch.size, batch.root), batch.signature)) return false;
    if (this.#verified.size >= this.#capacity) this.#verified.clear();
    this.#verified.add(name);
    return true;
  }
}
