/**
 * Work that goes on after its caller has the answer: the other slots of a commit, letting go of an orphan. It
 * is bounded: above the bound such work is left out, because repair finds what it would have done. A process
 * that stops waits for it with `drain`.
 */
import type { Telemetry } from '../base/ports.ts';

const TASKS_MAX = 1024;

export class Background {
  readonly #telemetry: Telemetry;
  readonly #tasks = new Set<Promise<void>>();
  #stopping = false;

  constructor(telemetry: Telemetry) {
    this.#telemetry = telemetry;
  }

  /** True once `drain` was called: what repeats itself should end. */
  get stopping(): boolean {
    return this.#stopping;
  }

  /** Starts the task unless there are too many. What it throws is reported, never raised. */
  run(name: string, task: () => Promise<void>): void {
    if (this.#tasks.size >= TASKS_MAX) {
      this.#telemetry.count('holdfast_client_background_skipped_total', { name });
      return;
    }
    const running = task()
      .catch((error: unknown) => {
        this.#telemetry.event('error', 'background task failed', { name, error: String(error) });
      })
      .finally(() => this.#tasks.delete(running));
    this.#tasks.add(running);
  }

  /** Resolves when nothing is under way any more. */
  async drain(): Promise<void> {
    this.#stopping = true;
    while (this.#tasks.size > 0) await Promise.all(this.#tasks);
  }
}
