/**
 * A node with a log of its own making: it lets go of a version that COMPLIANCE bids it keep, and logs that. To
 * everybody it shows the same log, in which the eviction stands in place of another entry; checkpoints and
 * entries fit together, as they do with a node that has kept less than it should.
 */
import { EMPTY } from '../../base/bytes.ts';
import type { Frame } from '../../base/ports.ts';
import { verifySignature } from '../../crypto/primitives.ts';
import { logOrigin, openCheckpoint, signCheckpoint } from '../../log/checkpoint.ts';
import { encodeEntry } from '../../log/entry-types.ts';
import { ed25519Signer, ed25519Verifier } from '../../log/signed-note.ts';
import { leafHash, rootOf } from '../../merkle/tree.ts';
import { decodeCertificate } from '../../protocol/certificate.ts';
import { encodeEvict } from '../../protocol/log-entries.ts';
import { decodeAnswer, encodeAnswer, encodeRequest } from '../../protocol/messages.ts';
import { requestIn } from './nodes.ts';
import type { Interceptor, Stage } from './stage.ts';

const MONTH_MS = 30 * 86_400_000;

type Honest = (frame: Frame) => Promise<Frame>;

/** Leaves of the log that it shows, as far as anybody has asked for them. */
class RewrittenLog {
  readonly #leaves: Uint8Array[] = [];
  /** Evictions that have no place yet. */
  readonly #pending: Uint8Array[] = [];
  readonly #written: number[] = [];
  #isOpen = false;

  lie(entry: Uint8Array): void {
    this.#pending.push(entry);
  }

  /** How many lies stand there. */
  liesIn(from: number, to: number): number {
    return this.#written.filter((index) => index >= from && index < to).length;
  }

  leaf(index: number): Uint8Array | undefined {
    return this.#leaves[index];
  }

  root(size: number): Uint8Array {
    return rootOf(this.#leaves.slice(0, size).map((leaf) => leafHash(leaf)));
  }

  /** Takes in the honest log up to a size. What came before the first call may have been shown to somebody. */
  async follow(honest: Honest, size: number): Promise<void> {
    while (this.#leaves.length < size) {
      const from = this.#leaves.length;
      const parsed = decodeAnswer('CHANGES', (await honest({ body: encodeRequest({ t: 'CHANGES', from, to: size }), payload: EMPTY })).body);
      if (parsed.kind !== 'answer' || parsed.answer.leaves.length === 0) return;
      // Another request may have been faster.
      for (const [i, leaf] of parsed.answer.leaves.entries()) if (from + i === this.#leaves.length) this.#take(leaf);
    }
    this.#isOpen = true;
  }

  #take(leaf: Uint8Array): void {
    const entry = this.#isOpen ? this.#pending.shift() : undefined;
    if (entry !== undefined) this.#written.push(this.#leaves.length);
    this.#leaves.push(entry ?? leaf);
  }
}

/** Logs, once for each locked version that it hears of, that it has let it go. */
export function evictsLocked(stage: Stage, slot: number): Interceptor {
  const { cluster } = stage;
  const origin = logOrigin(cluster.id, cluster.slotAt(slot)?.nodeId ?? EMPTY);
  const key = stage.nodeKey(slot);
  const verifier = ed25519Verifier(origin, key.publicKey, verifySignature);
  const log = new RewrittenLog();
  const evicted = new Set<string>();
  const hear = (bytes: Uint8Array): void => {
    const cert = decodeCertificate(bytes);
    if (!cert.ok || cert.value.signed.manifest.slot?.lockMode !== 'COMPLIANCE') return;
    const { hash: manifestHash, manifest } = cert.value.signed;
    // Nothing would show for sure that what ends so soon was let go before.
    if (evicted.has(String(manifestHash)) || manifest.retainUntil < stage.clock.nowMs() + MONTH_MS) return;
    evicted.add(String(manifestHash));
    log.lie(encodeEntry('EVICT', encodeEvict({ v: 1, manifestHash, keyId: manifest.keyId, byHash: manifestHash })));
  };
  return async (honest, frame, from) => {
    const answered = await honest(frame);
    const request = requestIn(frame);
    if (request?.t === 'COMMIT') hear(request.cert);
    if (request?.t === 'CHANGES') {
      const parsed = decodeAnswer('CHANGES', answered.body);
      if (parsed.kind !== 'answer') return answered;
      const { from: first, leaves } = parsed.answer;
      await log.follow(honest, first + leaves.length);
      for (let lies = log.liesIn(first, first + leaves.length); lies > 0; lies -= 1) stage.lied?.(slot, 'E7', from);
      return { ...answered, body: encodeAnswer('CHANGES', { from: first, leaves: leaves.map((leaf, i) => log.leaf(first + i) ?? leaf) }) };
    }
    const parsed = request?.t === 'CHECKPOINT' ? decodeAnswer('CHECKPOINT', answered.body) : null;
    const opened = parsed?.kind === 'answer' ? openCheckpoint(parsed.answer.text, verifier) : null;
    if (opened?.ok !== true) return answered;
    const { checkpoint } = opened.signed;
    await log.follow(honest, checkpoint.size);
    const { note } = signCheckpoint({ ...checkpoint, root: log.root(checkpoint.size) }, ed25519Signer(origin, key));
    return { body: encodeAnswer('CHECKPOINT', { text: note }), payload: EMPTY };
  };
}
