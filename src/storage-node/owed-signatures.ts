/**
 * Replies to QUERY and FETCH are sent without a signature of their own, which would cost more than the reply.
 * The node owes one: at most 100 ms after the first unsigned reply of a connection it signs all of them as a
 * batch and sends that unasked (protocol 13.5). A reader can then hold a lie against the node.
 */
import { EMPTY } from '../base/bytes.ts';
import { REPLIES_BATCH_MAX, REPLIES_OWED_MS } from '../base/limits.ts';
import type { Clock, Frame, PeerConnection, Timer } from '../base/ports.ts';
import type { SigningKey } from '../crypto/primitives.ts';
import type { Cluster, SlotConfig } from '../protocol/configuration.ts';
import { encodeReplies, replyStatement } from '../protocol/messages.ts';
import { signBatch, statementLeaf } from '../protocol/statement.ts';

interface Debt {
  leaves: Uint8Array[];
  timer: Timer;
}

export class OwedSignatures {
  readonly #cluster: Cluster;
  readonly #self: SlotConfig;
  readonly #key: SigningKey;
  readonly #clock: Clock;
  readonly #debts = new Map<PeerConnection, Debt>();

  constructor(cluster: Cluster, self: SlotConfig, key: SigningKey, clock: Clock) {
    this.#cluster = cluster;
    this.#self = self;
    this.#key = key;
    this.#clock = clock;
  }

  /** Notes a reply that goes out on this connection. */
  owe(to: PeerConnection, request: Frame, answer: Frame): void {
    const { nodeId } = this.#self;
    const body = replyStatement(nodeId, this.#cluster.epoch, request.body, answer.body);
    const leaf = statementLeaf('reply', this.#cluster.id, body);
    const debt = this.#debts.get(to);
    if (debt === undefined) {
      const timer = this.#clock.after(REPLIES_OWED_MS, () => {
        this.#pay(to);
      });
      this.#debts.set(to, { leaves: [leaf], timer });
      return;
    }
    debt.leaves.push(leaf);
    if (debt.leaves.length >= REPLIES_BATCH_MAX) this.#pay(to);
  }

  /** Pays nothing more: the node stops. */
  cancel(): void {
    for (const { timer } of this.#debts.values()) timer.cancel();
    this.#debts.clear();
  }

  #pay(to: PeerConnection): void {
    const debt = this.#debts.get(to);
    if (debt === undefined) return;
    debt.timer.cancel();
    this.#debts.delete(to);
    const [first] = signBatch(this.#key, this.#cluster.id, debt.leaves);
    if (first === undefined) return;
    to.notify({ body: encodeReplies({ t: 'REPLIES', leaves: debt.leaves, batch: first.batch }), payload: EMPTY });
  }
}
