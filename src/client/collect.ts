/**
 * Collecting enough verified pieces from slots, in order of preference (protocol 6.3, FETCH). It asks as many
 * slots as pieces are needed, one more whenever one fails or all are slow (hedging), in the end all of them:
 * it never gives up at q, because a piece may be on the slots that are late (trap H2). Slots that could not
 * be reached are asked again until the time is over.
 */
import type { Clock, Timer } from '../base/ports.ts';
import { Cancellation } from './cancellation.ts';

export type Piece<T, S> =
  /** A piece that was verified. */
  | { readonly kind: 'piece'; readonly value: T }
  /** This slot will not give one. */
  | { readonly kind: 'none' }
  /** Not now: ask again later. */
  | { readonly kind: 'later' }
  /** Collecting is pointless: it ends with this value. */
  | { readonly kind: 'stop'; readonly value: S };

export interface CollectOptions<T, S> {
  readonly clock: Clock;
  /** All slots that may be asked, preferred first. */
  readonly order: readonly number[];
  readonly need: number;
  /** Asks one slot. The signal aborts when the piece is no longer wanted. */
  readonly ask: (slot: number, signal: AbortSignal) => Promise<Piece<T, S>>;
  readonly hedgeMs: number;
  readonly timeoutMs: number;
  readonly retryMs: number;
  readonly signal?: AbortSignal;
}

export type Collected<T, S> =
  | { readonly kind: 'enough'; readonly pieces: ReadonlyMap<number, T> }
  /** `pieces` fewer than needed. `exhausted`: every slot has said for good that it gives none. */
  | { readonly kind: 'short'; readonly pieces: ReadonlyMap<number, T>; readonly exhausted: boolean }
  | { readonly kind: 'stopped'; readonly value: S };

export function collect<T, S>(options: CollectOptions<T, S>): Promise<Collected<T, S>> {
  return new Promise((resolve, reject) => {
    const collection = new Collection(options, resolve, reject);
    collection.begin();
  });
}

class Collection<T, S> {
  readonly #options: CollectOptions<T, S>;
  readonly #resolve: (outcome: Collected<T, S>) => void;
  readonly #reject: (error: unknown) => void;
  readonly #calls = new Cancellation();
  readonly #pieces = new Map<number, T>();
  /** Slots not asked yet, preferred first. */
  readonly #waiting: number[];
  readonly #timers = new Set<Timer>();
  #active = 0;
  /** Slots that will be asked again. */
  #pausing = 0;
  /** Requests beyond those needed, by hedging. */
  #extra = 0;
  #over = false;

  constructor(
    options: CollectOptions<T, S>,
    resolve: (outcome: Collected<T, S>) => void,
    reject: (error: unknown) => void,
  ) {
    this.#options = options;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#waiting = [...options.order];
  }

  begin(): void {
    const { signal, timeoutMs } = this.#options;
    if (signal?.aborted === true) return this.#short(false);
    signal?.addEventListener('abort', this.#onAbort, { once: true });
    this.#later(timeoutMs, () => this.#short(false));
    this.#hedge();
    this.#fill();
  }

  readonly #onAbort = (): void => this.#short(false);

  #hedge(): void {
    this.#later(this.#options.hedgeMs, () => {
      if (this.#waiting.length === 0) return;
      this.#extra += 1;
      this.#fill();
      this.#hedge();
    });
  }

  #fill(): void {
    const wanted = this.#options.need - this.#pieces.size + this.#extra;
    while (!this.#over && this.#active < wanted) {
      const slot = this.#waiting.shift();
      if (slot === undefined) break;
      this.#launch(slot);
    }
    if (!this.#over && this.#active + this.#pausing + this.#waiting.length === 0) this.#short(true);
  }

  #launch(slot: number): void {
    this.#active += 1;
    this.#calls.run((signal) => this.#options.ask(slot, signal)).then(
      (piece) => {
        this.#active -= 1;
        if (!this.#over) this.#take(slot, piece);
      },
      (error: unknown) => {
        this.#end();
        this.#reject(error);
      },
    );
  }

  #take(slot: number, piece: Piece<T, S>): void {
    switch (piece.kind) {
      case 'piece':
        this.#pieces.set(slot, piece.value);
        break;
      case 'none':
        break;
      case 'later':
        this.#pausing += 1;
        this.#later(this.#options.retryMs, () => {
          this.#pausing -= 1;
          this.#waiting.push(slot);
          this.#fill();
        });
        break;
      case 'stop':
        this.#end();
        return this.#resolve({ kind: 'stopped', value: piece.value });
    }
    if (this.#pieces.size < this.#options.need) return this.#fill();
    this.#end();
    this.#resolve({ kind: 'enough', pieces: this.#pieces });
  }

  #short(exhausted: boolean): void {
    if (this.#over) return;
    this.#end();
    this.#resolve({ kind: 'short', pieces: this.#pieces, exhausted });
  }

  #end(): void {
    this.#over = true;
    for (const timer of this.#timers) timer.cancel();
    this.#options.signal?.removeEventListener('abort', this.#onAbort);
    this.#calls.cancel();
  }

  #later(delayMs: number, action: () => void): void {
    const timer = this.#options.clock.after(delayMs, () => {
      this.#timers.delete(timer);
      if (!this.#over) action();
    });
    this.#timers.add(timer);
  }
}
