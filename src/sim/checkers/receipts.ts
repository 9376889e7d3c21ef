/**
 * Watches who has taken which certificates, and with them which receipts are known of whom. A node that
 * serves although its log lacks what it has signed, and the others can show it, was rolled back and does not
 * know it (9.5, 13.9).
 */
import { equal, hex } from '../../base/bytes.ts';
import type { Frame } from '../../base/ports.ts';
import { sha256 } from '../../crypto/primitives.ts';
import { decodeEntry } from '../../log/entry-types.ts';
import { decodeCertificate } from '../../protocol/certificate.ts';
import { decode } from '../../protocol/encoding.ts';
import { LEAF_BYTES_MAX } from '../../protocol/log-entries.ts';
import { decodeAnswer, decodeRequest } from '../../protocol/messages.ts';
import { receiptSchema } from '../../protocol/receipt.ts';

interface Known {
  readonly logIndex: number;
  readonly manifestHash: Uint8Array;
  /** Slots that took a certificate with it, and when they last did. */
  readonly holders: Map<number, number>;
}

export class ReceiptWatch {
  /** By the slot that signed, then by the receipt. */
  readonly #known = new Map<number, Map<string, Known>>();
  /** Receipts of the certificates that were looked into already. */
  readonly #parsed = new Map<string, readonly Known[]>();

  /** A node has answered. `nowMs`: simulated time. */
  answered(slot: number, request: Frame, answer: Frame, nowMs: number): void {
    const decoded = decodeRequest(request.body);
    if (!decoded.ok || decoded.value.t !== 'COMMIT' || decodeAnswer('COMMIT', answer.body).kind !== 'answer') return;
    for (const { holders } of this.#receiptsOf(decoded.value.cert)) holders.set(slot, nowMs);
  }

  /**
   * What is wrong with a node that serves: `leaves` is its log, `startedMs` when its present life began,
   * `needed` how many correct others must have held a certificate by then for its check to find it.
   */
  faults(slot: number, leaves: readonly Uint8Array[], startedMs: number, correct: readonly number[], needed: number): string[] {
    const faults: string[] = [];
    for (const { logIndex, manifestHash, holders } of this.#known.get(slot)?.values() ?? []) {
      const showers = correct.filter((other) => other !== slot && (holders.get(other) ?? Infinity) < startedMs);
      const hasTakenIn = (holders.get(slot) ?? -Infinity) > startedMs;
      if (showers.length < needed && !hasTakenIn) continue;
      if (!isPrepared(leaves[logIndex], manifestHash)) faults.push(`node ${slot} serves, but its log lacks entry ${logIndex}, which it has signed`);
    }
    return faults;
  }

  #receiptsOf(cert: Uint8Array): readonly Known[] {
    const digest = hex(sha256(cert));
    const parsed = this.#parsed.get(digest);
    if (parsed !== undefined) return parsed;
    const decoded = decodeCertificate(cert);
    if (!decoded.ok) return [];
    const { signed, receipts } = decoded.value;
    const all = receipts.map(({ slot, logIndex }): Known => {
      const ofSlot = this.#known.get(slot) ?? new Map<string, Known>();
      this.#known.set(slot, ofSlot);
      const name = `${logIndex} ${hex(signed.hash)}`;
      const known = ofSlot.get(name) ?? { logIndex, manifestHash: signed.hash, holders: new Map() };
      ofSlot.set(name, known);
      return known;
    });
    this.#parsed.set(digest, all);
    return all;
  }
}

function isPrepared(leaf: Uint8Array | undefined, manifestHash: Uint8Array): boolean {
  const entry = leaf === undefined ? null : decodeEntry(leaf);
  if (entry?.type !== 'PREPARED') return false;
  const receipt = decode(receiptSchema, entry.body, LEAF_BYTES_MAX);
  return receipt.ok && equal(receipt.value.manifestHash, manifestHash);
}
