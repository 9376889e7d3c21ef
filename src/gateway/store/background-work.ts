/**
 * Tidying up behind requests, which a later start would do as well: bounded, one task after the other, so
 * that it never competes with the requests themselves. `stop` lets the task under way end early.
 */
import type { Clock, Telemetry } from '../../base/ports.ts';
import { describeError } from '../../base/errors.ts';

const WAITING_MAX = 1000;

export type Task = (signal: AbortSignal) => Promise<void>;

interface Waiting {
  readonly name: string;
  readonly notBeforeMs: number;
  readonly task: Task;
}

export class BackgroundWork {
  readonly #clock: Clock;
  readonly #telemetry: Telemetry;
  readonly #abort = new AbortController();
  readonly #waiting: Waiting[] = [];
  #running: Promise<void> | null = null;

  constructor(clock: Clock, telemetry: Telemetry) {
    this.#clock = clock;
    this.#telemetry = telemetry;
  }

  /** Runs the task after `delayMs`, in order. Left out when too many wait, or after `stop`. */
  run(name: string, delayMs: number, task: Task): void {
    if (this.#abort.signal.aborted || this.#waiting.length >= WAITING_MAX) {
      this.#telemetry.count('holdfast_gateway_background_skipped_total', { name });
      return;
    }
    this.#waiting.push({ name, notBeforeMs: this.#clock.monotonicMs() + delayMs, task });
    this.#running ??= this.#runAll().finally(() => {
      this.#running = null;
    });
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#running;
  }

  async #runAll(): Promise<void> {
    const { signal } = this.#abort;
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      try {
        const waitMs = next.notBeforeMs - this.#clock.monotonicMs();
        if (waitMs > 0) await this.#clock.sleep(waitMs, signal);
        if (signal.aborted) return;
        await next.task(signal);
      } catch (error) {
        if (signal.aborted) return;
        this.#telemetry.event('warn', 'background work failed', {
          name: next.name,
          error: describeError(error),
        });
      }
    }
  }
}
