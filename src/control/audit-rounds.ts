/**
 * The state of the audits, by node: which cells were asked for in the present period, and with what result. It
 * survives a restart, so that a controller which is restarted often does not begin its count again; it may be
 * lost, and then begins.
 */
import { z } from 'zod';
import type { Clock, KeyValueStore } from '../base/ports.ts';
import { decodeOwn, encode, hash32, uint } from '../protocol/encoding.ts';
import { hex, u32be, concat } from '../base/bytes.ts';
import { sha256 } from '../crypto/primitives.ts';
import { auditKey } from './inventory/rows.ts';

const counts = {
  /** Of the random challenges: answered with the right cell. */
  held: uint,
  lacked: uint,
  wrong: uint,
  /** Attempts that were not answered. */
  unanswered: uint,
  /** Beyond the random ones, while a loss is searched through: asked, and not there. */
  swept: uint,
  sweptLost: uint,
  bytes: uint,
  requests: uint,
};
const totals = z.strictObject(counts);
export type RoundTotals = z.infer<typeof totals>;

const stored = z.strictObject({
  startMs: uint,
  lastMs: uint,
  /** Names of the cells that were asked for. */
  asked: z.array(z.string()),
  open: z.array(z.strictObject({ hash: hash32, place: uint, stripe: uint, sinceMs: uint, atMs: uint })),
  sweep: z.custom<Uint8Array>((v) => v instanceof Uint8Array).nullable(),
  last: totals.nullable(),
  totals,
});

/** A challenge that was not answered: when it was put first, and when it is put again. */
export interface OpenChallenge {
  readonly hash: Uint8Array;
  readonly place: number;
  readonly stripe: number;
  readonly sinceMs: number;
  atMs: number;
}

export interface AuditRound {
  startMs: number;
  /** When the newest challenge was drawn. */
  lastMs: number;
  /** When the next is due; null: not drawn yet. */
  nextMs: number | null;
  readonly asked: Set<string>;
  readonly open: OpenChallenge[];
  /** While every cell is asked for: where to go on. */
  sweep: Uint8Array | null;
  readonly totals: { -readonly [K in keyof RoundTotals]: RoundTotals[K] };
  /** The period before. */
  last: RoundTotals | null;
  /** When the node answered any challenge last. */
  answeredMs: number;
}

const NOTHING: RoundTotals = { held: 0, lacked: 0, wrong: 0, unanswered: 0, swept: 0, sweptLost: 0, bytes: 0, requests: 0 };

export class AuditRounds {
  readonly #store: KeyValueStore;
  readonly #clock: Clock;
  readonly #rounds: AuditRound[];

  private constructor(store: KeyValueStore, clock: Clock, rounds: AuditRound[]) {
    this.#store = store;
    this.#clock = clock;
    this.#rounds = rounds;
  }

  static async open(store: KeyValueStore, clock: Clock, n: number): Promise<AuditRounds> {
    const rounds: AuditRound[] = [];
    for (let slot = 0; slot < n; slot += 1) {
      const bytes = await store.get(auditKey(slot));
      const decoded = bytes === undefined ? null : decodeOwn(stored, bytes);
      rounds.push(decoded?.ok === true ? { ...decoded.value, asked: new Set(decoded.value.asked), nextMs: null, answeredMs: 0 } : begun(clock.nowMs(), null));
    }
    return new AuditRounds(store, clock, rounds);
  }

  /** The same name for the same cell. */
  static nameOf({ hash, place, stripe }: { readonly hash: Uint8Array; readonly place: number; readonly stripe: number }): string {
    return hex(sha256(concat(hash, u32be(place)), u32be(stripe)).subarray(0, 8));
  }

  all(): readonly AuditRound[] {
    return this.#rounds;
  }

  /** The round of a slot; a new one when its period is over. What is open, and a search, go on in it. */
  async current(slot: number, periodMs: number): Promise<AuditRound> {
    const round = this.#rounds[slot] ?? begun(this.#clock.nowMs(), null);
    const nowMs = this.#clock.nowMs();
    // A clock that was put back must not keep a period for ever.
    if (nowMs < round.startMs + periodMs && nowMs >= round.startMs) return round;
    // What is open is asked for again, and not drawn a second time.
    const asked = new Set(round.open.map((one) => AuditRounds.nameOf(one)));
    const next: AuditRound = { ...begun(nowMs, { ...round.totals }), asked, open: round.open, sweep: round.sweep, answeredMs: round.answeredMs };
    this.#rounds[slot] = next;
    await this.save(slot);
    return next;
  }

  async save(slot: number): Promise<void> {
    const round = this.#rounds[slot];
    if (round === undefined) return;
    const { startMs, lastMs, asked, open, sweep, last, totals: sums } = round;
    const value = encode({ startMs, lastMs, asked: [...asked], open, sweep, last, totals: sums });
    await this.#store.batch([{ type: 'put', key: auditKey(slot), value }]);
  }
}

function begun(nowMs: number, last: RoundTotals | null): AuditRound {
  return { startMs: nowMs, lastMs: nowMs, nextMs: null, asked: new Set(), open: [], sweep: null, totals: { ...NOTHING }, last, answeredMs: 0 };
}
