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
import { decodeCommitted, LEAF_BYTES_MAX } from '../../protocol/log-entries.ts';
import { decodeAnswer } from '../../protocol/messages.ts';
import type { RequestOf } from '../../protocol/messages.ts';
import { receiptSchema } from '../../protocol/receipt.ts';

interface Known {
  readonly logIndex: number;
  readonly manifestHash: Uint8Array;
  /** Slots that acknowledged a certificate with it, and when they first and last did. */
  readonly takers: Map<number, { readonly firstMs: number; readonly lastMs: number }>;
}

export class ReceiptWatch {
  /** By the slot that signed, then by the receipt. */
  readonly #known = new Map<number, Map<string, Known>>();
  /** Receipts of the certificates that were looked into already. */
  readonly #parsed = new Map<string, readonly Known[]>();

  /** A node has answered. `nowMs`: simulated time. */
  answered(slot: number, { cert }: RequestOf<'COMMIT'>, answer: Frame, nowMs: number): void {
    if (decodeAnswer('COMMIT', answer.body).kind !== 'answer') return;
    for (const { takers } of this.#receiptsOf(cert)) {
      takers.set(slot, { firstMs: takers.get(slot)?.firstMs ?? nowMs, lastMs: nowMs });
    }
  }

  /**
   * What is wrong with a node that serves. `logs`: the leaves of it and of the correct nodes, by slot;
   * `startedMs`: when its present life began; `needed`: how many correct others must have kept a certificate
   * by then for its check to find it. One that was dominated when it came is acknowledged and not kept.
   */
  faults(slot: number, logs: ReadonlyMap<number, readonly Uint8Array[]>, startedMs: number, needed: number): string[] {
    const faults: string[] = [];
    for (const { logIndex, manifestHash, takers } of this.#known.get(slot)?.values() ?? []) {
      if (isPrepared(logs.get(slot)?.[logIndex], manifestHash)) continue;
      const showers = [...takers].filter(([other, { firstMs }]) => other !== slot && firstMs < startedMs && keeps(logs.get(other), manifestHash));
      const hasTakenIn = (takers.get(slot)?.lastMs ?? -Infinity) > startedMs;
      if (showers.length >= needed || hasTakenIn) faults.push(`node ${slot} serves, but its log lacks entry ${logIndex}, which it has signed`);
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
      const known = ofSlot.get(name) ?? { logIndex, manifestHash: signed.hash, takers: new Map() };
      ofSlot.set(name, known);
      return known;
    });
    this.#parsed.set(digest, all);
    return all;
  }
}

/** Has the node ever had this version as its highest? */
function keeps(leaves: readonly Uint8Array[] | undefined, manifestHash: Uint8Array): boolean {
  return (leaves ?? []).some((leaf) => {
    const entry = decodeEntry(leaf);
    if (entry?.type !== 'COMMITTED') return false;
    const body = decodeCommitted(entry.body);
    return body.ok && equal(body.value.manifestHash, manifestHash);
  });
}

function isPrepared(leaf: Uint8Array | undefined, manifestHash: Uint8Array): boolean {
  const entry = leaf === undefined ? null : decodeEntry(leaf);
  if (entry?.type !== 'PREPARED') return false;
  const receipt = decode(receiptSchema, entry.body, LEAF_BYTES_MAX);
  return receipt.ok && equal(receipt.value.manifestHash, manifestHash);
}
