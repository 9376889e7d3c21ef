/**
 * The time by which retention ends (protocol 13.6): this node's own clock, but never more than five minutes
 * past what f + 1 others have said, of whom one is correct. Between two such looks it goes as the monotonic
 * clock does. A clock that was set ahead, this node's own or those of f others, sets nothing free.
 */
import type { Clock } from '../base/ports.ts';

const AHEAD_MAX_MS = 5 * 60_000;

export class RetentionClock {
  readonly #clock: Clock;
  #attested: { readonly ms: number; readonly atMs: number } | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Unix milliseconds; null while nobody has said what time it is: then nothing has ended. */
  nowMs(): number | null {
    if (this.#attested === null) return null;
    const elapsedMs = this.#clock.monotonicMs() - this.#attested.atMs;
    return Math.min(this.#clock.nowMs(), this.#attested.ms + elapsedMs + AHEAD_MAX_MS);
  }

  /** Is the own clock further ahead than it is believed? */
  get isAhead(): boolean {
    const now = this.nowMs();
    return now !== null && now < this.#clock.nowMs();
  }

  /** Takes what others said at this moment. Fewer than f + 1 of them say nothing. */
  hear(times: readonly number[], f: number): void {
    const believed = [...times].sort((a, b) => b - a)[f];
    if (believed !== undefined) this.#attested = { ms: believed, atMs: this.#clock.monotonicMs() };
  }
}
