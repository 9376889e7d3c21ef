/**
 * Watches for lies that prove themselves (protocol 10): a bad node denies under signature what its receipt
 * promised to keep (E6), or signs two histories of its log (E3), or says itself that it has lied otherwise. A
 * gateway that hears such lies more than a few times has the proof; and a correct node has it at once when it
 * refuses the second manifest of a stamp (E1, E11).
 */
import { hex } from '../../base/bytes.ts';
import type { Frame, PeerConnection } from '../../base/ports.ts';
import type { EvidenceType } from '../../evidence/evidence.ts';
import type { Proof } from '../../evidence/finding.ts';
import { parseCheckpoint } from '../../log/checkpoint.ts';
import { parseNote } from '../../log/signed-note.ts';
import { decodeCertificate } from '../../protocol/certificate.ts';
import { decodeAnswer } from '../../protocol/messages.ts';
import type { Request, RequestOf } from '../../protocol/messages.ts';

/** Answers that come when a read has ended already are heard by nobody, nor are those that a gateway does not outlive. */
const LIES_MISSED_MAX = 5;

/** Lies of one kind that one peer has heard from one node. */
interface Told {
  readonly slot: number;
  readonly type: EvidenceType;
  count: number;
}

/** What one peer has heard from one node. */
interface Heard {
  readonly slot: number;
  denials: number;
  contradictions: number;
  /** The longest history that the node has shown: sizes and roots of its checkpoints. */
  readonly roots: Map<number, string>;
  size: number;
}

function isEquivocation(answer: Frame): boolean {
  const parsed = decodeAnswer('PREPARE', answer.body);
  return parsed.kind === 'refused' && parsed.refused.code === 'EQUIVOCATION';
}

export class ProofWatch {
  /** Slot and manifest of the receipts in certificates that went to nodes. */
  readonly #promised = new Set<string>();
  readonly #certificates = new Set<string>();
  /** By slot and peer. */
  readonly #heard = new Map<string, Heard>();
  readonly #told = new Map<string, Told>();
  /** Second manifests of a stamp or ballot, that a correct node has refused with the first one in its hands. */
  #equivocations = 0;

  /** An adversary says that it has told a lie which a gateway can prove. */
  told(slot: number, type: EvidenceType, from: PeerConnection): void {
    const name = `${slot} ${type} ${from.peer}`;
    const told = this.#told.get(name) ?? { slot, type, count: 0 };
    this.#told.set(name, told);
    told.count += 1;
  }

  answered(slot: number, isBad: boolean, request: Request, answer: Frame, from: PeerConnection): void {
    if (request.t === 'COMMIT') this.#learn(request.cert);
    if (request.t === 'FETCH' && this.#isDenied(slot, request, answer)) this.#of(slot, from).denials += 1;
    if (request.t === 'PREPARE' && !isBad && isEquivocation(answer)) this.#equivocations += 1;
    if (request.t === 'CHECKPOINT') this.#checkpoint(this.#of(slot, from), answer);
  }

  faults(proofs: readonly Proof[]): string[] {
    const isProven = (slot: number, types: readonly EvidenceType[]): boolean =>
      proofs.some(({ evidence, finding: { accused } }) => types.includes(evidence.type) && accused.kind === 'node' && accused.slot === slot);
    const unproven = [...this.#told.values()].filter(({ slot, type, count }) => count > LIES_MISSED_MAX && !isProven(slot, [type]));
    const silent = unproven.map(({ slot, type, count }) => `node ${slot} has lied ${count} times so that ${type} proves it, and nobody has the proof`);
    const heard = [...this.#heard.values()].flatMap(({ slot, denials, contradictions }) => {
      const has = (...types: readonly EvidenceType[]): boolean => isProven(slot, types);
      return [
        ...(denials > LIES_MISSED_MAX && !has('E6') ? [`node ${slot} has denied ${denials} times what it promised, and nobody has the proof`] : []),
        ...(contradictions > LIES_MISSED_MAX && !has('E3', 'E5-log') ? [`node ${slot} has contradicted its log ${contradictions} times, and nobody has the proof`] : []),
      ];
    });
    const writers = proofs.some(({ finding: { accused } }) => accused.kind === 'writer');
    const unnamed = this.#equivocations > 0 && !writers ? [`nodes have refused ${this.#equivocations} second manifests, and nobody has the proof`] : [];
    return [...silent, ...heard, ...unnamed];
  }

  #of(slot: number, from: PeerConnection): Heard {
    const name = `${slot} ${from.peer}`;
    const heard = this.#heard.get(name) ?? { slot, denials: 0, contradictions: 0, roots: new Map<number, string>(), size: 0 };
    this.#heard.set(name, heard);
    return heard;
  }

  #isDenied(slot: number, request: RequestOf<'FETCH'>, answer: Frame): boolean {
    const parsed = decodeAnswer('FETCH', answer.body);
    if (parsed.kind !== 'refused' || parsed.refused.code !== 'NOT_HELD' || parsed.refused.statement === null) return false;
    return this.#promised.has(`${slot} ${hex(request.manifestHash)}`);
  }

  /** A log grows, and has one root at each size. */
  #checkpoint(heard: Heard, answer: Frame): void {
    const parsed = decodeAnswer('CHECKPOINT', answer.body);
    const note = parsed.kind === 'answer' ? parseNote(parsed.answer.text) : undefined;
    const read = note?.ok === true ? parseCheckpoint(note.note.text) : undefined;
    if (read?.ok !== true) return;
    const { size, root } = read.checkpoint;
    const known = heard.roots.get(size);
    if (size < heard.size || (known !== undefined && known !== hex(root))) {
      heard.contradictions += 1;
      return;
    }
    heard.size = size;
    heard.roots.set(size, hex(root));
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
