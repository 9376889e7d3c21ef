/**
 * Giving up many calls at once. Each call gets a signal of its own, so one operation may have any number of
 * calls under way without piling listeners upon one signal; an outer signal is listened to once.
 */

export class Cancellation {
  readonly #calls = new Set<AbortController>();
  readonly #outer: AbortSignal | undefined;
  #isCancelled = false;

  /** Is cancelled with `outer`, until `end`. */
  constructor(outer?: AbortSignal) {
    this.#outer = outer;
    if (outer?.aborted === true) this.#isCancelled = true;
    else outer?.addEventListener('abort', this.cancel, { once: true });
  }

  get isCancelled(): boolean {
    return this.#isCancelled;
  }

  /** Runs one call; its signal aborts when this is cancelled before the call ends. */
  async run<T>(call: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const controller = new AbortController();
    if (this.#isCancelled) controller.abort();
    this.#calls.add(controller);
    try {
      return await call(controller.signal);
    } finally {
      this.#calls.delete(controller);
    }
  }

  readonly cancel = (): void => {
    this.#isCancelled = true;
    this.end();
    for (const controller of this.#calls) controller.abort();
  };

  /** Listens to the outer signal no more; calls under way go on. */
  end(): void {
    this.#outer?.removeEventListener('abort', this.cancel);
  }
}
