/**
 * What this client has caught storage nodes at: answers that are malformed, do not verify or contradict what
 * is proven (protocol 10). A suspicion is about one slot and counts; it decides nothing but the order in
 * which slots are asked, because one observer's word convicts nobody. Proof that convinces others is evidence
 * (evidence/accuse.ts).
 */
import type { Clock, Telemetry } from '../base/ports.ts';

export type SuspicionKind =
  /** Bytes that are no answer of this protocol. */
  | 'MALFORMED'
  /** A certificate that is not valid, or of another key. */
  | 'BAD_CERTIFICATE'
  /** A receipt whose signature does not verify. */
  | 'BAD_RECEIPT'
  | 'BAD_ACKNOWLEDGEMENT'
  /** A cell, row, path or body that the manifest does not commit to. */
  | 'WRONG_CELL'
  | 'WRONG_BODY'
  /** A refusal without what must stand with it. */
  | 'BAD_REFUSAL'
  /** A signed statement that the node lacks what its receipt promised to keep. */
  | 'BROKEN_PROMISE'
  | 'BAD_RESOLUTION'
  /** A promise with what nobody proposed. */
  | 'BAD_PROMISE'
  | 'BAD_CHECKPOINT'
  /** The log showed two histories. */
  | 'FORKED_LOG'
  /** The log became shorter than it was shown. */
  | 'ROLLED_BACK_LOG'
  /** Answers whose signature the node owes and did not give, or gave wrongly (13.5). */
  | 'UNSIGNED_ANSWERS'
  /** Less than the node itself claims to have. */
  | 'WITHHELD';

export interface Suspicion {
  readonly slot: number;
  readonly kind: SuspicionKind;
  readonly count: number;
  /** When it was last seen, monotonic milliseconds. */
  readonly lastMs: number;
  /** What was wrong the last time. */
  readonly detail: string;
}

/** How long a slot stays behind the others in preference after it was caught. */
const SUSPECT_MS = 60_000;
const DETAIL_CHARS_MAX = 300;

export class Suspicions {
  readonly #clock: Clock;
  readonly #telemetry: Telemetry;
  readonly #bySlotAndKind = new Map<string, Suspicion>();
  readonly #lastMs = new Map<number, number>();

  constructor(clock: Clock, telemetry: Telemetry) {
    this.#clock = clock;
    this.#telemetry = telemetry;
  }

  add(slot: number, kind: SuspicionKind, detail: string): void {
    const lastMs = this.#clock.monotonicMs();
    const name = `${slot} ${kind}`;
    const count = (this.#bySlotAndKind.get(name)?.count ?? 0) + 1;
    const shown = detail.slice(0, DETAIL_CHARS_MAX);
    this.#bySlotAndKind.set(name, { slot, kind, count, lastMs, detail: shown });
    this.#lastMs.set(slot, lastMs);
    this.#telemetry.count('holdfast_client_suspicions_total', { slot: String(slot), kind });
    // Powers of two alone: a liar must not be able to fill the log.
    if ((count & (count - 1)) === 0) {
      this.#telemetry.event('warn', 'suspicion', { slot, kind, count, detail: shown });
    }
  }

  /** Was the slot caught at anything lately? */
  isSuspect(slot: number): boolean {
    const last = this.#lastMs.get(slot);
    return last !== undefined && this.#clock.monotonicMs() - last < SUSPECT_MS;
  }

  /** In order of slots, then of kinds. */
  list(): readonly Suspicion[] {
    return [...this.#bySlotAndKind.values()].sort((a, b) => a.slot - b.slot || (a.kind < b.kind ? -1 : 1));
  }
}
