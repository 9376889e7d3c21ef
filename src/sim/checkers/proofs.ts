/**
 * Watches for lies that prove themselves (protocol 10): a bad node denies under signature what its receipt
 * promised to keep. A gateway that hears that more than a few times, and lives on, has the proof (E6).
 */
import { hex } from '../../base/bytes.ts';
import type { Frame, PeerConnection } from '../../base/ports.ts';
import type { Evidence } from '../../client/suspicions.ts';
import { decodeCertificate } from '../../protocol/certificate.ts';
import { decodeAnswer } from '../../protocol/messages.ts';
import type { Request } from '../../protocol/messages.ts';

/** Answers that come when a read has ended already are heard by nobody. */
const DENIALS_MISSED_MAX = 5;

export class ProofWatch {
  /** Slot and manifest of the receipts in certificates that went to nodes. */
  readonly #promised = new Set<string>();
  readonly #certificates = new Set<string>();
  /** By slot and peer. */
  readonly #denials = new Map<string, { readonly slot: number; count: number }>();

  answered(slot: number, request: Request, answer: Frame, from: PeerConnection): void {
    if (request.t === 'COMMIT') return this.#learn(request.cert);
    if (request.t !== 'FETCH') return;
    const parsed = decodeAnswer('FETCH', answer.body);
    if (parsed.kind !== 'refused' || parsed.refused.code !== 'NOT_HELD' || parsed.refused.statement === null) return;
    if (!this.#promised.has(`${slot} ${hex(request.manifestHash)}`)) return;
    const name = `${slot} ${from.peer}`;
    const denied = this.#denials.get(name) ?? { slot, count: 0 };
    denied.count += 1;
    this.#denials.set(name, denied);
  }

  faults(evidence: readonly Evidence[]): string[] {
    return [...this.#denials.values()]
      .filter(({ slot, count }) => count > DENIALS_MISSED_MAX && !evidence.some((proof) => proof.type === 'E6' && proof.slot === slot))
      .map(({ slot, count }) => `node ${slot} has denied ${count} times what it promised, and nobody has the proof`);
  }

  #learn(cert: Uint8Array): void {
    const name = hex(cert.subarray(-32));
    if (this.#certificates.has(name)) return;
    this.#certificates.add(name);
    const decoded = decodeCertificate(cert);
    if (!decoded.ok) return;
    const { signed, receipts } = decoded.value;
    for (const { slot } of receipts) this.#promised.add(`${slot} ${hex(signed.hash)}`);
  }
}
