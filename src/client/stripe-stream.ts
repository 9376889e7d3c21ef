/**
 * The bytes of a version as a stream: stripes are fetched a few ahead, in order, and no further than the
 * reader takes them. A stripe leaves only whole: its cells matched the row, the row the manifest, all n cells
 * were computed again where nobody had checked them, and the seal opened.
 */
import { assert } from '../base/assert.ts';
import { OperationError } from '../base/errors.ts';
import { Cancellation } from './cancellation.ts';
import type { Certified } from './certificates.ts';
import type { ClientContext } from './context.ts';
import { fetchStripe } from './fetch.ts';
import type { EarlyPiece, Fetched, StripeCells } from './fetch.ts';
import { cut } from './read-plan.ts';
import type { Step } from './read-plan.ts';
import { openStripe } from './stripe-code.ts';

export interface StreamOptions {
  readonly leaseMs: number;
  /** Compute and compare all n cells of each stripe (I6). */
  readonly check: boolean;
  /** Pieces of the version's first stripe that came with QUERY. */
  readonly early: ((slot: number) => Promise<EarlyPiece | null>) | undefined;
  /** Called when every step was read. */
  readonly onEnd: () => void;
  readonly signal: AbortSignal | undefined;
}

type Loaded = Fetched<readonly Uint8Array[]>;

export class StripeStream implements AsyncIterable<Uint8Array> {
  readonly #ctx: ClientContext;
  readonly #version: Certified;
  readonly #steps: Iterator<Step, void>;
  readonly #options: StreamOptions;
  readonly #loads: Cancellation;
  readonly #window: Promise<Loaded>[] = [];
  #isFirst = true;

  constructor(ctx: ClientContext, version: Certified, steps: Iterator<Step, void>, options: StreamOptions) {
    this.#ctx = ctx;
    this.#version = version;
    this.#steps = steps;
    this.#options = options;
    this.#loads = new Cancellation(options.signal);
  }

  /**
   * Reads the first stripe. Returns the version to read instead when this one is no longer there, else null.
   */
  async first(): Promise<Certified | null> {
    this.#fill();
    try {
      const loaded = await this.#window[0];
      if (loaded?.kind !== 'superseded') return null;
      this.close();
      return loaded.by;
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** At most once, after `first`. Ending the iteration early ends the fetching. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void> {
    try {
      for (;;) {
        // Closed from outside: a stream that merely stopped would pass for a whole one.
        if (this.#loads.isCancelled) throw new OperationError('CANCELLED', 'The reading was given up.');
        const next = this.#window.shift();
        if (next === undefined) break;
        const loaded = await next;
        this.#fill();
        assert(loaded.kind === 'fetched', 'only the first stripe may begin the read anew');
        yield* loaded.value;
      }
      this.#options.onEnd();
    } finally {
      this.close();
    }
  }

  /** Ends the fetching; what was read is dropped. */
  close(): void {
    this.#loads.cancel();
    this.#window.length = 0;
  }

  #fill(): void {
    while (this.#window.length < this.#ctx.windowStripes && !this.#loads.isCancelled) {
      const { done, value } = this.#steps.next();
      if (done === true) return;
      const isFirst = this.#isFirst;
      this.#isFirst = false;
      const loading = this.#loads.run((signal) => this.#load(value, isFirst, signal));
      // A failure is seen when its turn comes, which is never if the reader goes away.
      loading.catch(() => undefined);
      this.#window.push(loading);
    }
  }

  async #load(step: Step, isFirst: boolean, signal: AbortSignal): Promise<Loaded> {
    const { leaseMs, early } = this.#options;
    const fetched = await fetchStripe(this.#ctx, this.#version, step.content, step.stripe, {
      leaseMs,
      mayRestart: isFirst,
      signal,
      ...(isFirst && step.stripe === 0 && early !== undefined ? { early } : {}),
    });
    if (fetched.kind === 'superseded') return fetched;
    return { kind: 'fetched', value: await this.#open(step, fetched.value) };
  }

  async #open(step: Step, { cells, row, path }: StripeCells): Promise<readonly Uint8Array[]> {
    const { workspaces, accuse } = this.#ctx;
    const { content, key, stripe, from, to } = step;
    const { suite } = this.#version.signed.manifest;
    const { check } = this.#options;
    const opened = await openStripe(workspaces, content.layout, key, suite, stripe, cells, row, check);
    if (opened.ok) return cut(opened.plain, from, to);
    if (opened.fault === 'seal') {
      throw new OperationError('DAMAGED', `Stripe ${stripe} does not open with the key of the version.`);
    }
    const detail = `stripe ${stripe} was not encoded as its manifest says`;
    accuse({
      type: 'E8',
      content: { certificate: this.#version.bytes, contentId: content.contentId, table: content.table },
      stripe,
      row,
      path: [...path],
      cells: [...cells].map(([slot, cell]) => ({ slot, cell })),
    });
    throw new OperationError('DAMAGED', `The writer of this version is at fault: ${detail}.`);
  }
}
