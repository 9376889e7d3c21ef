/**
 * Holding nodes to the signatures they owe (protocol 13.5): answers to QUERY and FETCH are used at once, on the
 * word of the TLS channel, and their node must follow with a batch signature over them. One that does not, or
 * signs something else, is caught: what it shows could then not be held against it.
 */
import { equal, mapKey } from '../base/bytes.ts';
import type { Clock, Frame } from '../base/ports.ts';
import { batchTree } from '../merkle/batch.ts';
import type { Cluster } from '../protocol/configuration.ts';
import { decodeReplies, replyStatement } from '../protocol/messages.ts';
import { statementLeaf, StatementVerifier } from '../protocol/statement.ts';
import type { StatementProof } from '../protocol/statement.ts';

/** Many times what the node may take, so that a slow link is not taken for a debtor. */
const PATIENCE_MS = 10_000;
/** Answers of one slot whose signature may be outstanding, and signatures that may come before their answer is seen. */
const OUTSTANDING_MAX = 65_536;
/** Answers of one slot whose proof somebody waits for: each holds a request and an answer in memory. */
const WANTED_MAX = 16;

interface Account {
  connection: number;
  /** Leaves of answers not yet signed, oldest first, with when they came. */
  readonly owed: Map<string, number>;
  /** Leaves signed before this client got round to their answer. */
  readonly early: Set<string>;
  /** Who waits for the proof that a leaf was signed. */
  readonly wanted: Map<string, (proof: StatementProof) => void>;
}

export class OwedReplies {
  readonly #cluster: Cluster;
  readonly #clock: Clock;
  readonly #verifier: StatementVerifier;
  readonly #suspect: (slot: number, detail: string) => void;
  readonly #accounts: readonly Account[];

  constructor(cluster: Cluster, clock: Clock, suspect: (slot: number, detail: string) => void) {
    this.#cluster = cluster;
    this.#clock = clock;
    this.#verifier = new StatementVerifier(cluster.id, 1024);
    this.#suspect = suspect;
    this.#accounts = cluster.slots.map(() => ({ connection: 0, owed: new Map(), early: new Set(), wanted: new Map() }));
  }

  /** An answer has come: its signature is owed from now on. */
  answered(slot: number, connection: number, request: Uint8Array, answer: Uint8Array): void {
    const config = this.#cluster.slotAt(slot);
    const account = this.#account(slot, connection);
    if (config === undefined || account === undefined) return;
    const body = replyStatement(config.nodeId, this.#cluster.epoch, request, answer);
    const leaf = mapKey(statementLeaf('reply', this.#cluster.id, body));
    if (!account.early.delete(leaf)) account.owed.set(leaf, this.#clock.monotonicMs());
    const [oldest] = account.owed.values();
    const overdue = oldest !== undefined && this.#clock.monotonicMs() - oldest > PATIENCE_MS;
    if (!overdue && account.owed.size <= OUTSTANDING_MAX) return;
    this.#suspect(slot, `${account.owed.size} answers were not signed within ${PATIENCE_MS} ms`);
    account.owed.clear();
    account.wanted.clear();
  }

  /**
   * Proof that the slot signed an answer just reported by `answered`, handed on when the signature comes; never
   * when it does not, or came already.
   */
  prove(slot: number, connection: number, request: Uint8Array, answer: Uint8Array, take: (proof: StatementProof) => void): void {
    const config = this.#cluster.slotAt(slot);
    const account = this.#account(slot, connection);
    if (config === undefined || account === undefined || account.wanted.size >= WANTED_MAX) return;
    const body = replyStatement(config.nodeId, this.#cluster.epoch, request, answer);
    const name = mapKey(statementLeaf('reply', this.#cluster.id, body));
    if (account.owed.has(name)) account.wanted.set(name, take);
  }

  /** A frame that the slot sent unasked. */
  noticed(slot: number, connection: number, frame: Frame): void {
    const config = this.#cluster.slotAt(slot);
    const account = this.#account(slot, connection);
    if (config === undefined || account === undefined) return;
    const notice = decodeReplies(frame.body);
    if (!notice.ok) {
      this.#suspect(slot, `a notice is malformed: ${notice.reason}`);
      return;
    }
    const { leaves, batch } = notice.value;
    const tree = batchTree(leaves);
    if (tree.size !== batch.size || !equal(tree.root, batch.root) || !this.#verifier.verifyBatch(config.signingKey, batch)) {
      this.#suspect(slot, 'the signature over its answers does not verify');
      return;
    }
    for (const [index, leaf] of leaves.entries()) {
      const name = mapKey(leaf);
      account.wanted.get(name)?.({ index, path: tree.path(index), batch });
      account.wanted.delete(name);
      if (!account.owed.delete(name) && account.early.size < OUTSTANDING_MAX) account.early.add(name);
    }
  }

  /** Answers of this slot that are not signed yet. */
  outstanding(slot: number): number {
    return this.#accounts[slot]?.owed.size ?? 0;
  }

  /** A new connection begins a new account: the old one's debts ended with it. */
  #account(slot: number, connection: number): Account | undefined {
    const account = this.#accounts[slot];
    if (account !== undefined && account.connection !== connection) {
      account.connection = connection;
      account.owed.clear();
      account.early.clear();
      account.wanted.clear();
    }
    return account;
  }
}
