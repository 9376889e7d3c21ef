/**
 * The logs half of `holdfast verify` (protocol 10): takes each node's log from its first entry to a fresh
 * signed checkpoint, checks that the leaves are what the checkpoint commits to, and keeps their hashes, so
 * that receipts can be held against the place in the log that they promised.
 */
import { EMPTY, equal, mapKey } from '../base/bytes.ts';
import { CHANGES_LEAVES_MAX } from '../base/limits.ts';
import type { Random } from '../base/ports.ts';
import type { Peers } from '../client/peers.ts';
import { HASH_BYTES, verifySignature } from '../crypto/primitives.ts';
import { CHECKPOINT_NONCE_BYTES, logOrigin, openCheckpoint } from '../log/checkpoint.ts';
import type { SignedCheckpoint } from '../log/checkpoint.ts';
import { decodeEntry, encodeEntry } from '../log/entry-types.ts';
import { ed25519Verifier } from '../log/signed-note.ts';
import { LogTail } from '../log/tail.ts';
import { leafHash } from '../merkle/tree.ts';
import { receiptBodyOf } from '../protocol/certificate.ts';
import type { Certificate } from '../protocol/certificate.ts';
import type { Cluster, SlotConfig } from '../protocol/configuration.ts';
import { decodeCommitted } from '../protocol/log-entries.ts';
import { encodeReceipt } from '../protocol/receipt.ts';
import { compareStamps } from '../protocol/stamp.ts';
import type { Stamp } from '../protocol/stamp.ts';
import type { VerifyReport } from './verify-report.ts';

const CALL_MS = 15_000;

export class NodeLog {
  readonly #slot: SlotConfig;
  readonly #cluster: Cluster;
  readonly #tail: LogTail;
  #hashes = new Uint8Array(1024 * HASH_BYTES);
  /** Highest stamp that its log says it holds a certificate for, by key. */
  readonly committed = new Map<string, Stamp>();

  constructor(cluster: Cluster, slot: SlotConfig) {
    this.#cluster = cluster;
    this.#slot = slot;
    this.#tail = new LogTail(logOrigin(cluster.id, slot.nodeId));
  }

  get size(): number {
    return this.#tail.size;
  }

  /** Follows the log to a fresh checkpoint. What is wrong goes into the report; the log then stands where it stood. */
  async follow(peers: Peers, random: Random, report: VerifyReport): Promise<void> {
    const { slot } = this.#slot;
    const signed = await this.#checkpoint(peers, random, report);
    if (signed === null) return;
    const begun = this.#tail.catchUp(signed);
    if (!begun.ok) {
      report.note(slot, 'log', `${begun.fault}: ${begun.reason}`);
      return;
    }
    while (begun.catchUp.size < signed.checkpoint.size) {
      const from = begun.catchUp.size;
      const to = Math.min(signed.checkpoint.size, from + CHANGES_LEAVES_MAX);
      const result = await peers.call(slot, { t: 'CHANGES', from, to }, EMPTY, CALL_MS);
      if (result.kind === 'failed') return report.lose(slot, `it stopped answering: ${result.error.code}`);
      if (result.kind !== 'answer' || result.answer.from !== from || result.answer.leaves.length === 0) {
        return report.note(slot, 'log', `it does not show entries ${from} to ${to} of its own log`);
      }
      const hashes = result.answer.leaves.map((leaf) => leafHash(leaf));
      const refusal = begun.catchUp.add(hashes);
      if (refusal !== null) return report.note(slot, 'log', `${refusal.fault}: ${refusal.reason}`);
      for (const [index, leaf] of result.answer.leaves.entries()) this.#take(from + index, leaf, hashes[index] ?? EMPTY);
    }
    const verdict = begun.catchUp.finish();
    if (!verdict.ok) return report.note(slot, 'log', `${verdict.fault}: ${verdict.reason}`);
    report.logFollowed(slot, this.#tail.size);
  }

  /**
   * Does the log hold, at the promised index, the very entry of this node's receipt in the certificate?
   * 'unknown' when the log was not followed that far, or the certificate holds no receipt of this node.
   */
  holdsReceipt(cert: Certificate): 'yes' | 'no' | 'unknown' {
    const receipt = cert.receipts.find(({ slot }) => slot === this.#slot.slot);
    if (receipt === undefined || receipt.logIndex >= this.#tail.size) return 'unknown';
    const body = encodeReceipt(receiptBodyOf(cert.signed, this.#slot.nodeId, receipt, cert.ballot));
    const found = this.#hashes.subarray(receipt.logIndex * HASH_BYTES, (receipt.logIndex + 1) * HASH_BYTES);
    return equal(found, leafHash(encodeEntry('PREPARED', body))) ? 'yes' : 'no';
  }

  async #checkpoint(peers: Peers, random: Random, report: VerifyReport): Promise<SignedCheckpoint | null> {
    const { slot, signingKey } = this.#slot;
    const nonce = random.bytes(CHECKPOINT_NONCE_BYTES);
    const result = await peers.call(slot, { t: 'CHECKPOINT', nonce }, EMPTY, CALL_MS);
    if (result.kind === 'failed') {
      report.lose(slot, `it does not answer: ${result.error.code}`);
      return null;
    }
    if (result.kind !== 'answer') {
      const why = result.kind === 'refused' ? `${result.refused.code}: ${result.refused.reason}` : result.reason;
      report.lose(slot, `it gives no checkpoint of its log: ${why}`);
      return null;
    }
    const verifier = ed25519Verifier(logOrigin(this.#cluster.id, this.#slot.nodeId), signingKey, verifySignature);
    const opened = openCheckpoint(result.answer.text, verifier, nonce);
    if (opened.ok) return opened.signed;
    report.note(slot, 'log', `its checkpoint is refused: ${opened.reason}`);
    return null;
  }

  #take(index: number, leaf: Uint8Array, hash: Uint8Array): void {
    if ((index + 1) * HASH_BYTES > this.#hashes.length) {
      const grown = new Uint8Array(2 * this.#hashes.length);
      grown.set(this.#hashes);
      this.#hashes = grown;
    }
    this.#hashes.set(hash, index * HASH_BYTES);
    const entry = decodeEntry(leaf);
    if (entry?.type !== 'COMMITTED') return;
    const body = decodeCommitted(entry.body);
    if (!body.ok) return;
    const name = mapKey(body.value.keyId);
    const known = this.committed.get(name);
    if (known === undefined || compareStamps(body.value.stamp, known) > 0) this.committed.set(name, body.value.stamp);
  }
}
