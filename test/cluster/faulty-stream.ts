/**
 * One direction of one connection through the fault proxy: what comes is queued, and leaves when the weather
 * of its link lets it. Bytes that wait keep their order, as TCP keeps it; only a wound changes them. Bounded
 * like a socket: with enough queued, no more is read, so that who sends feels the jam.
 */
import type net from 'node:net';
import type { SeededRandom } from '../../src/sim/seeded-random.ts';

/** From who dialled, and back to it. */
export const DIRECTIONS = ['there', 'back'] as const;
export type Direction = (typeof DIRECTIONS)[number];

/** What a link is like at the moment. */
export interface Weather {
  delayMs: number;
  jitterMs: number;
  bytesPerSecond: number;
  /** Nothing arrives in these directions, and nobody learns of it. */
  readonly silent: Set<Direction>;
  /** New connections are reset at once. */
  isRefusing: boolean;
  /** New connections reach another process than the one they are for. */
  isMisrouted: boolean;
}

/** What no network may do unnoticed: the receiver must end the connection. `truncated`: cut short within a message, by an orderly end. */
export const WOUNDS = ['corrupted', 'duplicated', 'reordered', 'truncated'] as const;
export type Wound = (typeof WOUNDS)[number];

/** How a stream ended at its source. */
type Ending = 'end' | 'reset';

interface Piece {
  readonly what: Buffer | Ending;
  readonly dueAt: number;
}

export interface StreamOptions {
  readonly from: net.Socket;
  readonly to: net.Socket;
  readonly direction: Direction;
  readonly weather: Weather;
  readonly random: SeededRandom;
  /** The wound that the next bytes shall get, if any. */
  readonly takeWound: () => Wound | undefined;
  readonly onDelayed: () => void;
}

const QUEUED_BYTES_MAX = 4 * 1024 * 1024;
/** In a TLS handshake a few bytes are covered by no key, so that harm to them may pass unseen and do none. */
const HANDSHAKE_BYTES = 4 * 1024;

export class FaultyStream {
  readonly #options: StreamOptions;
  readonly #queue: Piece[] = [];
  #queuedBytes = 0;
  #passedBytes = 0;
  #lastDueAt = 0;
  #passedAt = 0;
  #isPumping = false;
  #isHeld = false;
  #isOver = false;
  #wake: () => void = () => undefined;
  /** Whether damaged bytes went to the receiver. */
  isWounded = false;

  constructor(options: StreamOptions) {
    this.#options = options;
    const { from, to } = options;
    from.on('data', (bytes: Buffer) => this.#take(bytes));
    from.on('end', () => this.#take('end'));
    from.on('error', () => this.#take('reset'));
    to.on('drain', () => this.wake());
    to.on('close', () => this.stop());
  }

  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /** Keeps back what comes, for this connection alone, until `release`. */
  hold(): void {
    this.#isHeld = true;
  }

  release(): void {
    this.#isHeld = false;
    this.wake();
  }

  /** No more will come: what is queued is the last. */
  finish(): void {
    this.#take('end');
  }

  /** Looks again at the weather. */
  wake(): void {
    this.#wake();
  }

  stop(): void {
    this.#isOver = true;
    this.#queue.length = 0;
    // What still comes leads nowhere, but its end must be seen.
    this.#options.from.resume();
    this.wake();
  }

  #take(what: Buffer | Ending): void {
    if (this.#isOver) return;
    const { from, random, weather } = this.#options;
    const now = performance.now();
    const waitMs = weather.delayMs + random.fraction() * weather.jitterMs;
    if (waitMs > 0) this.#options.onDelayed();
    this.#lastDueAt = Math.max(this.#lastDueAt, now + waitMs);
    this.#queue.push({ what, dueAt: this.#lastDueAt });
    if (typeof what !== 'string') this.#queuedBytes += what.length;
    if (this.#queuedBytes > QUEUED_BYTES_MAX) from.pause();
    void this.#pump();
  }

  async #pump(): Promise<void> {
    if (this.#isPumping) return;
    this.#isPumping = true;
    for (let piece = this.#queue[0]; piece !== undefined; piece = this.#queue[0]) {
      const waitMs = this.#waitMs(piece);
      if (waitMs > 0) await this.#pause(waitMs);
      else this.#pass(piece.what);
    }
    this.#isPumping = false;
  }

  /** A piece passes when the time is over that its last byte needs behind the piece before. */
  #waitMs({ what, dueAt }: Piece): number {
    const { weather, direction, to } = this.#options;
    if (this.#isHeld || weather.silent.has(direction) || to.writableNeedDrain) return Infinity;
    const bytes = typeof what === 'string' ? 0 : what.length;
    return Math.max(dueAt, this.#passedAt) + (1000 * bytes) / weather.bytesPerSecond - performance.now();
  }

  /** Sleeps so long, or until something has changed. */
  async #pause(waitMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      if (waitMs !== Infinity) timer = setTimeout(resolve, waitMs);
    });
    clearTimeout(timer);
  }

  #pass(what: Buffer | Ending): void {
    const { from, to } = this.#options;
    this.#queue.shift();
    this.#passedAt = performance.now();
    if (what === 'end') return void to.end();
    if (what === 'reset') return void to.resetAndDestroy();
    this.#queuedBytes -= what.length;
    if (this.#queuedBytes <= QUEUED_BYTES_MAX / 2) from.resume();
    const canBeWounded = this.#passedBytes >= HANDSHAKE_BYTES && what.length > 1;
    const wound = canBeWounded ? this.#options.takeWound() : undefined;
    this.#passedBytes += what.length;
    if (wound === undefined) return void to.write(what);
    this.isWounded = true;
    to.write(this.#wounded(what, wound));
    if (wound !== 'truncated') return;
    this.stop();
    to.end();
  }

  #wounded(bytes: Buffer, wound: Wound): Buffer {
    const at = 1 + this.#options.random.below(bytes.length - 1);
    const [before, after] = [bytes.subarray(0, at), bytes.subarray(at)];
    switch (wound) {
      case 'truncated':
        return before;
      case 'duplicated':
        return Buffer.concat([before, before, after]);
      case 'reordered':
        return Buffer.concat([after, before]);
      case 'corrupted': {
        const changed = Buffer.from(bytes);
        changed[at] = (changed[at] ?? 0) ^ (1 << this.#options.random.below(8));
        return changed;
      }
    }
  }
}
