/**
 * How fast repair may go: bytes a second under a bound, less when the nodes answer more slowly than they did
 * while nothing was repaired. Half at once when it gets slow, a little more with each measurement that is
 * good: so that repair takes what the foreground leaves, and never stops altogether.
 */
import type { Clock } from '../base/ports.ts';

export interface PaceOptions {
  readonly clock: Clock;
  readonly bytesPerSecondMax: number;
  readonly bytesPerSecondMin: number;
  /** Slow: an answer takes so many times as long as in the quiet. */
  readonly slowFactor: number;
  /** Below this difference nothing is called slow. */
  readonly slackMs: number;
}

export const PACE_DEFAULT = {
  bytesPerSecondMax: 256 * 1024 * 1024,
  bytesPerSecondMin: 256 * 1024,
  slowFactor: 1.6,
  slackMs: 4,
} as const;

/** Between two reductions: the first must have taken effect before the next is due. */
const SETTLE_MS = 300;
const RAISE_FACTOR = 1.15;
const QUIET_WEIGHT = 0.1;
/** What may be taken at once after a pause, in time at the present rate. */
const BURST_MS = 200;

export class Pace {
  readonly #options: PaceOptions;
  #rate: number;
  #quietMs: number | undefined;
  #lastMs: number | undefined;
  #reducedAtMs = -Infinity;
  /** Monotonic time up to which all that was taken is paid for. */
  #paidUntilMs: number;

  constructor(options: PaceOptions) {
    this.#options = options;
    this.#rate = options.bytesPerSecondMax / 4;
    this.#paidUntilMs = options.clock.monotonicMs();
  }

  get bytesPerSecond(): number {
    return this.#rate;
  }

  /** How long an answer takes while nothing is repaired; undefined: not measured yet. */
  get quietMs(): number | undefined {
    return this.#quietMs;
  }

  /** How long it took last. */
  get lastMs(): number | undefined {
    return this.#lastMs;
  }

  /** A measurement of how long nodes take to answer something small. `quiet`: nothing was being repaired. */
  observe(tookMs: number, quiet: boolean): void {
    this.#lastMs = tookMs;
    if (quiet) {
      this.#quietMs = this.#quietMs === undefined ? tookMs : this.#quietMs + QUIET_WEIGHT * (tookMs - this.#quietMs);
      return;
    }
    const { clock, bytesPerSecondMax, bytesPerSecondMin, slowFactor, slackMs } = this.#options;
    const quietMs = this.#quietMs ?? tookMs;
    const isSlow = tookMs > Math.max(quietMs * slowFactor, quietMs + slackMs);
    const nowMs = clock.monotonicMs();
    if (!isSlow) this.#rate = Math.min(bytesPerSecondMax, this.#rate * RAISE_FACTOR);
    else if (nowMs - this.#reducedAtMs >= SETTLE_MS) {
      this.#rate = Math.max(bytesPerSecondMin, this.#rate / 2);
      this.#reducedAtMs = nowMs;
    }
  }

  /** Waits until so many bytes may be moved. Rejects with CANCELLED when the signal aborts. */
  async take(bytes: number, signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    const nowMs = clock.monotonicMs();
    const from = Math.max(this.#paidUntilMs, nowMs - BURST_MS);
    this.#paidUntilMs = from + (1000 * bytes) / this.#rate;
    // What is taken is paid for afterwards, so that a piece larger than the burst moves too.
    const waitMs = from - nowMs;
    if (waitMs > 0) await clock.sleep(waitMs, signal);
  }
}
