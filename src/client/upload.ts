/**
 * Uploading a content of several stripes (protocol 6.1, 13.4): each stripe is sealed, coded and sent to all
 * slots at once, a few stripes at a time, so memory is bounded by the window and never by the object. A slot
 * that fails, or stays behind the q fastest, is left out: its cells become a hole that repair fills later.
 * With fewer than q slots left the upload fails, and nothing was prepared.
 */
import { OperationError } from '../base/errors.ts';
import type { Timer } from '../base/ports.ts';
import { aeadKey } from '../crypto/primitives.ts';
import type { AeadKey } from '../crypto/primitives.ts';
import { MatrixFolder, rowLeaf } from '../merkle/tiles.ts';
import { SUITE_1 } from '../protocol/manifest.ts';
import type { RequestOf } from '../protocol/messages.ts';
import { quorumSize } from '../protocol/quorum.ts';
import { fragmentBytes, plainBytesOf, stripeCount } from '../protocol/stripes.ts';
import type { Layout } from '../protocol/stripes.ts';
import { Cancellation } from './cancellation.ts';
import type { Chunks } from './chunks.ts';
import type { ClientContext } from './context.ts';
import { noQuorum } from './query.ts';
import { revokedWriter } from './revocation.ts';
import { codeStripe } from './stripe-code.ts';
import type { CodedStripe } from './stripe-code.ts';

export interface Uploaded {
  /** Names the upload in PREPARE; cells of it that no manifest binds die with their connections. */
  readonly id: Uint8Array;
  /** matrixRoot. */
  readonly contentId: Uint8Array;
  /** When the slot has all of its cells: true; false when it was left out. At least q are true already. */
  has(slot: number): Promise<boolean>;
}

/**
 * Sends all stripes; resolves when q slots have all of theirs. Throws NO_QUORUM, BUSY, DISK_FULL or
 * CANCELLED, or what the source throws.
 */
export async function uploadStripes(
  ctx: ClientContext,
  layout: Layout,
  dataKey: Uint8Array,
  chunks: Chunks,
  signal: AbortSignal,
): Promise<Uploaded> {
  const upload = new StripeUpload(ctx, layout, ctx.peers.all(), quorumSize(ctx.cluster.geometry));
  const key = aeadKey(dataKey);
  const folder = new MatrixFolder();
  const stripes = stripeCount(layout);
  try {
    for (let index = 0; index < stripes; index += 1) {
      await upload.room(signal);
      const plain = await unlessAborted(chunks.take(plainBytesOf(layout, index)), signal);
      const coded = await codeStripe(ctx.workspaces, layout, key, SUITE_1, index, plain);
      folder.add(rowLeaf(coded.row));
      upload.send(index, coded);
    }
    await unlessAborted(chunks.end(), signal);
    await upload.taken(signal);
  } catch (error) {
    upload.end();
    throw error;
  }
  return { id: upload.id, contentId: folder.finish().root, has: (slot) => upload.has(slot) };
}

/** The one stripe of a small content: it needs no upload, its cells travel with PREPARE. */
export async function codeSingleStripe(
  ctx: ClientContext,
  layout: Layout,
  key: AeadKey,
  plain: readonly Uint8Array[],
): Promise<CodedStripe & { readonly contentId: Uint8Array }> {
  const coded = await codeStripe(ctx.workspaces, layout, key, SUITE_1, 0, plain);
  const folder = new MatrixFolder();
  folder.add(rowLeaf(coded.row));
  return { ...coded, contentId: folder.finish().root };
}

/** Rejects with CANCELLED when the signal aborts before the promise settles. */
export async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  let onAbort = (): void => undefined;
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(new OperationError('CANCELLED', 'The caller gave up.'));
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
    promise.catch(() => undefined);
  }
}

/** One stripe on its way: which slots have not taken their cell yet. */
interface Flight {
  readonly waiting: Set<number>;
  taken: number;
  lagTimer: Timer | undefined;
}

/** Cells on their way to some slots, of which `needed` must get all of theirs. */
export class StripeUpload {
  readonly id: Uint8Array;
  readonly #ctx: ClientContext;
  readonly #reserve: number;
  readonly #needed: number;
  readonly #calls = new Cancellation();
  readonly #live: Set<number>;
  /** Stripes that some live slot has not taken, oldest first. */
  readonly #flights = new Set<Flight>();
  /** Per slot: ends when its last cell was taken or it was left out. */
  readonly #chains: Promise<void>[];
  readonly #refusals: string[] = [];
  #failure: OperationError | undefined;
  #changed: () => void = () => undefined;

  constructor(ctx: ClientContext, layout: Layout, slots: readonly number[], needed: number) {
    this.#ctx = ctx;
    this.#reserve = fragmentBytes(layout);
    this.#needed = needed;
    this.id = ctx.random.bytes(16);
    this.#live = new Set(slots);
    this.#chains = ctx.peers.all().map(() => Promise.resolve());
  }

  /** Waits until another stripe may be begun. */
  async room(signal: AbortSignal): Promise<void> {
    await this.#until(() => this.#flights.size < this.#ctx.windowStripes, signal);
  }

  /** Waits until enough slots have taken all that was sent. */
  async taken(signal: AbortSignal): Promise<void> {
    await this.#until(() => this.#idleSlots() >= this.#needed, signal);
  }

  async has(slot: number): Promise<boolean> {
    await this.#chains[slot];
    return this.#live.has(slot);
  }

  send(stripe: number, { cells, row }: CodedStripe): void {
    const request = { t: 'CELL' as const, upload: this.id, stripe, reserve: this.#reserve, row };
    const flight: Flight = { waiting: new Set(this.#live), taken: 0, lagTimer: undefined };
    this.#flights.add(flight);
    for (const slot of flight.waiting) {
      const cell = cells[slot];
      if (cell === undefined) continue;
      const sent = this.#sendCell(slot, request, cell).then((taken) => this.#settle(flight, slot, taken));
      const before = this.#chains[slot];
      this.#chains[slot] = sent.then(() => before);
    }
  }

  /** Gives up: calls under way are cancelled. */
  end(): void {
    for (const { lagTimer } of this.#flights) lagTimer?.cancel();
    this.#flights.clear();
    this.#calls.cancel();
  }

  async #sendCell(slot: number, request: RequestOf<'CELL'>, cell: Uint8Array): Promise<boolean> {
    const { peers, deadlines } = this.#ctx;
    const call = (signal: AbortSignal) => peers.call(slot, request, cell, deadlines.cellMs, signal);
    const result = await this.#calls.run(call);
    if (result.kind === 'refused') this.#refusals.push(result.refused.code);
    return result.kind === 'answer';
  }

  #settle(flight: Flight, slot: number, isTaken: boolean): void {
    if (!isTaken) return this.#leaveOut(slot);
    if (!flight.waiting.delete(slot)) return;
    flight.taken += 1;
    if (flight.waiting.size === 0) this.#land(flight);
    else if (flight.taken === this.#needed) {
      flight.lagTimer = this.#ctx.clock.after(this.#ctx.deadlines.lagMs, () => {
        for (const late of [...flight.waiting]) this.#leaveOut(late);
      });
    }
    this.#changed();
  }

  #leaveOut(slot: number): void {
    if (!this.#live.delete(slot)) return;
    this.#ctx.telemetry.count('holdfast_client_slots_left_out_total', { slot: String(slot) });
    for (const flight of [...this.#flights]) {
      flight.waiting.delete(slot);
      if (flight.waiting.size === 0) this.#land(flight);
    }
    if (this.#live.size < this.#needed) this.#failure ??= this.#shortage();
    this.#changed();
  }

  #land(flight: Flight): void {
    flight.lagTimer?.cancel();
    this.#flights.delete(flight);
  }

  /** Live slots that have taken every cell sent so far. */
  #idleSlots(): number {
    const behind = new Set<number>();
    for (const { waiting } of this.#flights) for (const slot of waiting) behind.add(slot);
    return this.#live.size - behind.size;
  }

  async #until(holds: () => boolean, signal: AbortSignal): Promise<void> {
    while (!holds()) {
      if (this.#failure !== undefined) throw this.#failure;
      const change = new Promise<void>((resolve) => {
        this.#changed = resolve;
      });
      await unlessAborted(change, signal);
    }
    if (this.#failure !== undefined) throw this.#failure;
  }

  #shortage(): OperationError {
    return shortageOf(this.#refusals, this.#ctx.cluster.geometry.f, () =>
      noQuorum(this.#live.size, this.#needed, 'storage nodes that take cells'),
    );
  }
}

/** The error that tells most: a reason that more than f nodes give is true, else `otherwise`. */
export function shortageOf(
  codes: readonly string[],
  f: number,
  otherwise: () => OperationError,
): OperationError {
  const count = (code: string): number => codes.filter((c) => c === code).length;
  if (count('FULL') > f) {
    return new OperationError('DISK_FULL', 'More storage nodes than may be faulty have no room.', {
      remedy: 'Free space on the storage nodes or add disks.',
    });
  }
  if (count('BUSY') > f) {
    const message = 'More storage nodes than may be faulty are at their limits.';
    return new OperationError('BUSY', message, { retryable: true });
  }
  if (count('LOCKED') > f) return new OperationError('LOCKED', 'Retention or a legal hold forbids the change.');
  if (count('REVOKED') > f) return revokedWriter();
  if (count('DENIED') + count('BAD') > f) {
    return new OperationError('REFUSED', 'More storage nodes than may be faulty refuse the request.', {
      remedy: 'Compare the configuration of this process with that of the storage nodes.',
    });
  }
  return otherwise();
}
