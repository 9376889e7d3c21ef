/**
 * Durability, piece by piece (I5): every correct node that gave a receipt for the highest certified version of
 * a key still has what it signed for. Reading an object back asks k nodes; this asks every one, so that a loss
 * shows long before an object is lost.
 */
import { equal, hex } from '../../base/bytes.ts';
import { sha256 } from '../../crypto/primitives.ts';
import { rowLeaf } from '../../merkle/tiles.ts';
import { verifyInclusion } from '../../merkle/tree.ts';
import { stageOf } from '../../protocol/manifest.ts';
import { decodeCertificate } from '../../protocol/certificate.ts';
import type { Certificate } from '../../protocol/certificate.ts';
import type { Manifest } from '../../protocol/manifest.ts';
import { compareStamps } from '../../protocol/stamp.ts';
import { stripeCount } from '../../protocol/stripes.ts';
import type { Answer, RawWriter } from '../adversaries/raw-writer.ts';

const HASH_BYTES = 32;
const ATTEMPTS = 5;
const PAUSE_MS = 1_000;

export class PromiseAudit {
  readonly #raw: RawWriter;
  readonly #correct: readonly number[];

  /** `raw` asks as one of the gateways. */
  constructor(raw: RawWriter, correct: readonly number[]) {
    this.#raw = raw;
    this.#correct = correct;
  }

  /** To be asked when all correct nodes serve. Returns what is broken. */
  async check(keyIds: readonly Uint8Array[]): Promise<string[]> {
    const broken: string[] = [];
    for (const keyId of keyIds) {
      const cert = await this.#highest(keyId);
      if (cert === null) continue;
      for (const { slot } of cert.receipts) {
        if (!this.#correct.includes(slot)) continue;
        // A slot that the stage does not name accepted on the word of those that it does.
        const stage = stageOf(cert.signed.manifest);
        if (stage !== null && !stage.slots.includes(slot)) continue;
        const fault = await this.#fault(slot, cert);
        if (fault !== null) broken.push(`I5: node ${slot} gave a receipt for ${hex(keyId).slice(0, 12)} at counter ${cert.signed.manifest.stamp.counter}, and ${fault}`);
      }
    }
    return broken;
  }

  async #highest(keyId: Uint8Array): Promise<Certificate | null> {
    let highest: Certificate | null = null;
    for (const slot of this.#correct) {
      const answer = await this.#patiently(() => this.#raw.ask(slot, { t: 'QUERY', keyId, cell0: false, seen: null }));
      if (answer?.ok !== true || answer.answer.cert === null) continue;
      const decoded = decodeCertificate(answer.answer.cert);
      if (!decoded.ok) continue;
      const isHigher = highest === null || compareStamps(decoded.value.signed.manifest.stamp, highest.signed.manifest.stamp) > 0;
      if (isHigher) highest = decoded.value;
    }
    return highest;
  }

  /** Null when the node has all that its receipt stands for, or has let it go for a higher version. */
  async #fault(slot: number, { signed: { manifest, hash: manifestHash } }: Certificate): Promise<string | null> {
    const { keyId, stamp, contentId, kind } = manifest;
    const version = { keyId, stamp, contentId, manifestHash, leaseMs: 0 };
    if (kind === 'TOMBSTONE' || kind === 'REMOVE') return null;
    if (kind !== 'DATA') {
      const answer = await this.#patiently(() => this.#raw.ask(slot, { t: 'BODY', ...version }));
      if (answer?.ok !== true) return lack(answer);
      return equal(sha256(answer.payload), contentId) ? null : 'gives another body';
    }
    for (let stripe = 0; stripe < stripeCount(manifest); stripe += 1) {
      const answer = await this.#patiently(() => this.#raw.ask(slot, { t: 'FETCH', ...version, stripe }));
      if (answer?.ok !== true) return lack(answer);
      if (!isCellOf(manifest, slot, stripe, answer.answer, answer.payload)) return `gives another cell of stripe ${stripe}`;
    }
    return null;
  }

  async #patiently<T extends Answer<'QUERY'> | Answer<'FETCH'> | Answer<'BODY'>>(ask: () => Promise<T>): Promise<T | null> {
    for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
      const answer = await ask().catch(() => null);
      if (answer !== null && (answer.ok || answer.refused.code !== 'BUSY')) return answer;
      await this.#raw.world.clock.sleep(PAUSE_MS);
    }
    return null;
  }
}

function lack(answer: Answer<'FETCH'> | Answer<'BODY'> | null): string | null {
  if (answer === null) return 'does not answer';
  if (answer.ok || answer.refused.code === 'SUPERSEDED') return null;
  return `answers ${answer.refused.code}`;
}

function isCellOf(
  manifest: Manifest,
  slot: number,
  stripe: number,
  { row, path }: { readonly row: Uint8Array; readonly path: readonly Uint8Array[] },
  cell: Uint8Array,
): boolean {
  if (!verifyInclusion(manifest.contentId, rowLeaf(row), stripe, stripeCount(manifest), path)) return false;
  return equal(sha256(cell), row.subarray(slot * HASH_BYTES, (slot + 1) * HASH_BYTES));
}
