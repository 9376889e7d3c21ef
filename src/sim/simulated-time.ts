/**
 * Time of a simulated world: a queue of what is due, worked off one by one. After each action everything that
 * it set in motion runs to its end before time moves on, so that a run depends on nothing but its seed. Each
 * process has a clock of its own, which may be wrong, stand still, or stop for good with the process.
 */
import { assert } from '../base/assert.ts';
import { OperationError } from '../base/errors.ts';
import type { Clock, Timer } from '../base/ports.ts';

interface Due {
  readonly atMs: number;
  /** Of two that are due at once, the one that was asked for first. */
  readonly order: number;
  action: (() => void) | null;
}

/** A simulated world begins at this wall-clock time: 2030-01-01. */
const EPOCH_MS = 1_893_456_000_000;

/**
 * Resolves when all promises that can go on have gone on: at the next turn of the event loop, as their
 * reactions run before it.
 */
export type EndOfTurn = () => Promise<void>;

export class SimulatedTime {
  readonly #endOfTurn: EndOfTurn;
  #nowMs = 0;
  #order = 0;
  /** Binary heap, the next due first. */
  readonly #heap: Due[] = [];

  constructor(endOfTurn: EndOfTurn) {
    this.#endOfTurn = endOfTurn;
  }

  /** Milliseconds since the world began. */
  get nowMs(): number {
    return this.#nowMs;
  }

  /** Calls back once at this time, or at once in the next step when it has passed. */
  at(atMs: number, action: () => void): Timer {
    const due: Due = { atMs: Math.max(atMs, this.#nowMs), order: this.#order, action };
    this.#order += 1;
    this.#push(due);
    return { cancel: () => void (due.action = null) };
  }

  /** Works until nothing is due any more, `isOver` says so after an action, or this time is reached. */
  async run(untilMs: number, isOver: () => boolean = () => false): Promise<void> {
    await this.#endOfTurn();
    for (let due = this.#heap[0]; due !== undefined && due.atMs <= untilMs; due = this.#heap[0]) {
      this.#pop();
      if (due.action === null) continue;
      this.#nowMs = due.atMs;
      due.action();
      await this.#endOfTurn();
      if (isOver()) return;
    }
    if (Number.isFinite(untilMs)) this.#nowMs = Math.max(this.#nowMs, untilMs);
  }

  #push(due: Due): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(due);
    while (at > 0) {
      const above = (at - 1) >> 1;
      if (!isBefore(due, item(heap, above))) break;
      heap[at] = item(heap, above);
      at = above;
    }
    heap[at] = due;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let at = 0;
    for (;;) {
      let below = 2 * at + 1;
      if (below >= heap.length) break;
      if (below + 1 < heap.length && isBefore(item(heap, below + 1), item(heap, below))) below += 1;
      if (isBefore(last, item(heap, below))) break;
      heap[at] = item(heap, below);
      at = below;
    }
    heap[at] = last;
  }
}

function isBefore(a: Due, b: Due): boolean {
  return a.atMs !== b.atMs ? a.atMs < b.atMs : a.order < b.order;
}

function item(heap: readonly Due[], at: number): Due {
  const due = heap[at];
  assert(due !== undefined, 'inside the heap');
  return due;
}

/** How wrong a clock is. */
export interface ClockFault {
  /** Added to the time of day. */
  readonly skewMs: number;
  /** Milliseconds that it counts in one: 1 is right. Deadlines pass accordingly earlier or later. */
  readonly rate: number;
}

/** The clock of one process. After `stop` nothing that waits on it goes on; while it is paused, nothing happens. */
export class SimulatedClock implements Clock {
  readonly #time: SimulatedTime;
  #rate = 1;
  #skewMs = 0;
  /** Own time at the last change of the rate. */
  #baseMs = 0;
  #baseAtMs = 0;
  #isStopped = false;
  /** What came due during a pause, in order; null while the process runs. */
  #held: (() => void)[] | null = null;

  constructor(time: SimulatedTime, { skewMs, rate }: ClockFault = { skewMs: 0, rate: 1 }) {
    this.#time = time;
    this.#baseAtMs = time.nowMs;
    this.#skewMs = skewMs;
    this.#rate = rate;
  }

  nowMs(): number {
    return Math.floor(EPOCH_MS + this.#time.nowMs + this.#skewMs);
  }

  monotonicMs(): number {
    return this.#baseMs + (this.#time.nowMs - this.#baseAtMs) * this.#rate;
  }

  after(delayMs: number, action: () => void): Timer {
    const run = (): void => this.act(action);
    return this.#time.at(this.#time.nowMs + Math.max(0, delayMs) / this.#rate, run);
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) return reject(new OperationError('CANCELLED', 'The wait was cancelled.'));
      const timer = this.after(delayMs, () => {
        signal?.removeEventListener('abort', cancel);
        resolve();
      });
      const cancel = (): void => {
        timer.cancel();
        reject(new OperationError('CANCELLED', 'The wait was cancelled.'));
      };
      signal?.addEventListener('abort', cancel, { once: true });
    });
  }

  /** Does something as this process: not at all when it has stopped, later when it is paused. */
  act(action: () => void): void {
    if (this.#isStopped) return;
    if (this.#held === null) action();
    else this.#held.push(action);
  }

  /** From now the time of day is off by so much, and time passes at this rate. */
  distort({ skewMs, rate }: ClockFault): void {
    this.#baseMs = this.monotonicMs();
    this.#baseAtMs = this.#time.nowMs;
    this.#skewMs = skewMs;
    this.#rate = rate;
  }

  get isStopped(): boolean {
    return this.#isStopped;
  }

  stop(): void {
    this.#isStopped = true;
    this.#held = null;
  }

  pause(): void {
    this.#held ??= [];
  }

  /** What came due meanwhile happens now, in its order. */
  resume(): void {
    const held = this.#held ?? [];
    this.#held = null;
    for (const action of held) this.act(action);
  }
}
