/**
 * One connection of the network in memory: two ordered lanes between two named processes. Each message is
 * delivered by the Clock port after its latency, never before an earlier one of its lane; the state of the
 * link between the processes decides when it is sent whether it moves, waits or vanishes.
 */
import type { Clock } from '../base/ports.ts';

export type LinkState = 'open' | 'dropping' | 'holding';

export function linkName(from: string, to: string): string {
  return JSON.stringify([from, to]);
}

export function pairName(a: string, b: string): string {
  return linkName(a < b ? a : b, a < b ? b : a);
}

export interface MemoryLinkOptions {
  readonly from: string;
  readonly to: string;
  readonly clock: Clock;
  readonly latencyMs: (from: string, to: string, bytes: number) => number;
  readonly linkState: (from: string, to: string) => LinkState;
  readonly onEnd: () => void;
}

export type Direction = 'forth' | 'back';

interface Lane {
  /** Messages on their way, oldest first; each due one takes the oldest, which keeps the order. */
  readonly moving: (() => void)[];
  readonly held: { readonly bytes: number; readonly arrive: () => void }[];
  lastDueMs: number;
}

/** Two ordered lanes between two processes, until it ends. */
export class MemoryLink {
  readonly from: string;
  readonly to: string;
  readonly #options: MemoryLinkOptions;
  readonly #lanes: Record<Direction, Lane> = {
    forth: { moving: [], held: [], lastDueMs: 0 },
    back: { moving: [], held: [], lastDueMs: 0 },
  };
  readonly #endListeners: (() => void)[] = [];
  #ended = false;

  constructor(options: MemoryLinkOptions) {
    this.#options = options;
    this.from = options.from;
    this.to = options.to;
  }

  get ended(): boolean {
    return this.#ended;
  }

  onEnd(listener: () => void): void {
    if (this.#ended) listener();
    else this.#endListeners.push(listener);
  }

  send(direction: Direction, bytes: number, arrive: () => void): void {
    if (this.#ended) return;
    const [from, to] = direction === 'forth' ? [this.from, this.to] : [this.to, this.from];
    const state = this.#options.linkState(from, to);
    if (state === 'dropping') return;
    const lane = this.#lanes[direction];
    if (state === 'holding' || lane.held.length > 0) lane.held.push({ bytes, arrive });
    else this.#move(lane, this.#options.latencyMs(from, to, bytes), arrive);
  }

  /** Sends on what was held on the lane from `from` to `to`, when this connection has one. */
  resume(from: string, to: string): void {
    for (const direction of ['forth', 'back'] as const) {
      const ends = direction === 'forth' ? [this.from, this.to] : [this.to, this.from];
      if (ends[0] !== from || ends[1] !== to) continue;
      const lane = this.#lanes[direction];
      for (const { bytes, arrive } of lane.held.splice(0)) {
        this.#move(lane, this.#options.latencyMs(from, to, bytes), arrive);
      }
    }
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#options.onEnd();
    for (const listener of this.#endListeners.splice(0)) listener();
  }

  #move(lane: Lane, latencyMs: number, arrive: () => void): void {
    const now = this.#options.clock.monotonicMs();
    lane.lastDueMs = Math.max(lane.lastDueMs, now + latencyMs);
    lane.moving.push(arrive);
    const next = (): void => {
      const oldest = lane.moving.shift();
      if (!this.#ended) oldest?.();
    };
    if (lane.lastDueMs > now) this.#options.clock.after(lane.lastDueMs - now, next);
    else void Promise.resolve().then(next);
  }
}
