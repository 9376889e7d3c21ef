/**
 * Runs the lifecycle again and again: a run, a pause, the next run, until the gateway stops. The first one
 * comes a pause after the start, so that a gateway that is started over and over serves before it deletes.
 */
import { AssertionError } from '../base/assert.ts';
import { describeError } from '../base/errors.ts';
import type { Clock, Telemetry, Timer } from '../base/ports.ts';
import type { LifecycleExecutor } from './s3/lifecycle/executor.ts';

export interface LifecycleChoreOptions {
  readonly executor: Pick<LifecycleExecutor, 'run'>;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  readonly pauseMs: number;
}

export class LifecycleChore {
  readonly #options: LifecycleChoreOptions;
  readonly #stop = new AbortController();
  #timer: Timer | null = null;
  #running: Promise<void> = Promise.resolve();

  constructor(options: LifecycleChoreOptions) {
    this.#options = options;
    this.#next();
  }

  /** Ends the run under way after the deletions that it has begun. */
  async stop(): Promise<void> {
    this.#stop.abort();
    this.#timer?.cancel();
    await this.#running;
  }

  #next(): void {
    if (this.#stop.signal.aborted) return;
    const { clock, pauseMs } = this.#options;
    this.#timer = clock.after(pauseMs, () => {
      this.#running = this.#run().finally(() => this.#next());
    });
  }

  async #run(): Promise<void> {
    const { executor, telemetry } = this.#options;
    try {
      await executor.run(this.#stop.signal);
    } catch (error) {
      if (error instanceof AssertionError) throw error;
      telemetry.count('lifecycle_failed', { code: 'UNEXPECTED' });
      telemetry.event('error', 'a lifecycle run failed', { error: describeError(error) });
    }
  }
}
