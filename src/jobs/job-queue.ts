/**
 * A durable queue of jobs in an ordered store: the most urgent first, of these the oldest. A job is an
 * identifier, and nothing else: what there is to do is looked up when its turn comes, so a job that is put
 * twice, or found again after a crash, is one job. It stays until it is ended; a process that is killed finds
 * it again. A power loss may take the last changes with it, in their order: whoever puts jobs puts at a start what
 * it knows to be left. What cannot be done now is deferred, and comes back by itself when its time has come.
 *
 * | key | value |
 * |---|---|
 * | prefix `j` id | its place: priority, since when, until when deferred, how often it was tried |
 * | prefix `o` priority since id | nothing; that it is to be done |
 * | prefix `d` due id | nothing; that it is deferred |
 */
import { z } from 'zod';
import { concat, mapKey, utf8 } from '../base/bytes.ts';
import type { Clock, KeyValueOperation, KeyValueStore } from '../base/ports.ts';
import { decodeOwn, encode, uint, uintUpTo } from '../protocol/encoding.ts';

export const PRIORITY_MAX = 255;
const TIME_BYTES = 6;
const TIME_MAX = 2 ** (8 * TIME_BYTES) - 1;
/** Deferred jobs that become due in one look. */
const DUE_MAX = 256;

export interface Job {
  readonly id: Uint8Array;
  /** Lower is more urgent. */
  readonly priority: number;
  /** When it was first put, Unix milliseconds. */
  readonly sinceMs: number;
  /** How often it was deferred. */
  readonly attempts: number;
}

export interface JobQueueOptions {
  readonly store: KeyValueStore;
  /** Of all keys of this queue; no other rows of the store begin with it. */
  readonly prefix: string;
  readonly clock: Clock;
  /** Jobs at most; above, `put` refuses new ones. */
  readonly jobsMax: number;
}

const placeSchema = z.strictObject({ priority: uintUpTo(PRIORITY_MAX), sinceMs: uint, dueMs: uint.nullable(), attempts: uint });
type Place = z.infer<typeof placeSchema>;

export class JobQueue {
  readonly #options: JobQueueOptions;
  /** In hand; `next` passes them over. */
  readonly #taken = new Set<string>();
  #size = 0;
  #turn: Promise<unknown> = Promise.resolve();

  private constructor(options: JobQueueOptions) {
    this.#options = options;
  }

  /** Opens what is there. Errors: those of the store. */
  static async open(options: JobQueueOptions): Promise<JobQueue> {
    const queue = new JobQueue(options);
    for await (const row of options.store.range(queue.#all('j'))) if (row.length > 0) queue.#size += 1;
    return queue;
  }

  /** Jobs that are not ended, those deferred too. */
  get size(): number {
    return this.#size;
  }

  /**
   * Puts a job, or changes the priority of one that is there; its age stays, and a deferred one waits on.
   * False when the queue is full.
   */
  put(id: Uint8Array, priority: number): Promise<boolean> {
    return this.#inTurn(async () => {
      const known = await this.#place(id);
      if (known === undefined && this.#size >= this.#options.jobsMax) return false;
      if (known?.priority === priority) return true;
      const place = known === undefined ? { priority, sinceMs: this.#nowMs(), dueMs: null, attempts: 0 } : { ...known, priority };
      await this.#move(id, known, place);
      if (known === undefined) this.#size += 1;
      return true;
    });
  }

  /** The most urgent job that is not in hand, which then is; null: none is to be done now. */
  next(): Promise<Job | null> {
    return this.#inTurn(async () => {
      await this.#bringBack();
      for await (const [key] of this.#options.store.range(this.#all('o'))) {
        const id = key.subarray(this.#prefix('o').length + 1 + TIME_BYTES);
        if (this.#taken.has(mapKey(id))) continue;
        const place = await this.#place(id);
        if (place === undefined) continue;
        this.#taken.add(mapKey(id));
        return { id: id.slice(), priority: place.priority, sinceMs: place.sinceMs, attempts: place.attempts };
      }
      return null;
    });
  }

  /** Ends a job. */
  end(id: Uint8Array): Promise<void> {
    return this.#inTurn(async () => {
      this.#taken.delete(mapKey(id));
      const known = await this.#place(id);
      if (known === undefined) return;
      await this.#move(id, known, null);
      this.#size -= 1;
    });
  }

  /** Gives a job back, to be done again after so long. */
  defer(id: Uint8Array, delayMs: number): Promise<void> {
    return this.#inTurn(async () => {
      this.#taken.delete(mapKey(id));
      const known = await this.#place(id);
      if (known === undefined) return;
      await this.#move(id, known, { ...known, dueMs: this.#nowMs() + delayMs, attempts: known.attempts + 1 });
    });
  }

  /** Gives a job back as it was. */
  giveBack(id: Uint8Array): void {
    this.#taken.delete(mapKey(id));
  }

  /** What is deferred is due now: whatever it waited for has changed. */
  hasten(): Promise<void> {
    return this.#inTurn(async () => {
      while ((await this.#ready(TIME_MAX)) > 0);
    });
  }

  async #bringBack(): Promise<void> {
    while ((await this.#ready(this.#nowMs())) === DUE_MAX);
  }

  /** Deferred jobs whose time has come before `untilMs` go among those to be done. */
  async #ready(untilMs: number): Promise<number> {
    const head = this.#prefix('d');
    const due: Uint8Array[] = [];
    const range = { gte: head, lt: concat(head, timeBytes(Math.min(untilMs + 1, TIME_MAX))), limit: DUE_MAX };
    for await (const [key] of this.#options.store.range(range)) due.push(key.slice());
    for (const key of due) {
      const id = key.subarray(head.length + TIME_BYTES);
      const known = await this.#place(id);
      if (known === undefined) await this.#options.store.batch([{ type: 'del', key }]);
      else await this.#move(id, known, { ...known, dueMs: null });
    }
    return due.length;
  }

  async #place(id: Uint8Array): Promise<Place | undefined> {
    const bytes = await this.#options.store.get(concat(this.#prefix('j'), id));
    const decoded = bytes === undefined ? undefined : decodeOwn<Place>(placeSchema, bytes);
    return decoded?.ok === true ? decoded.value : undefined;
  }

  async #move(id: Uint8Array, from: Place | undefined, to: Place | null): Promise<void> {
    const operations: KeyValueOperation[] = [];
    if (from !== undefined) operations.push({ type: 'del', key: this.#orderKey(id, from) });
    const key = concat(this.#prefix('j'), id);
    if (to === null) operations.push({ type: 'del', key });
    else operations.push({ type: 'put', key, value: encode(to) }, { type: 'put', key: this.#orderKey(id, to), value: new Uint8Array(0) });
    await this.#options.store.batch(operations);
  }

  #orderKey(id: Uint8Array, { priority, sinceMs, dueMs }: Place): Uint8Array {
    if (dueMs !== null) return concat(this.#prefix('d'), timeBytes(dueMs), id);
    return concat(this.#prefix('o'), Uint8Array.of(priority), timeBytes(sinceMs), id);
  }

  #prefix(kind: 'j' | 'o' | 'd'): Uint8Array {
    return utf8(this.#options.prefix + kind);
  }

  #all(kind: 'j' | 'o' | 'd'): { readonly gte: Uint8Array; readonly lt: Uint8Array } {
    const gte = this.#prefix(kind);
    const lt = gte.slice();
    lt[lt.length - 1] = (lt.at(-1) ?? 0) + 1;
    return { gte, lt };
  }

  #nowMs(): number {
    return Math.min(Math.max(0, Math.floor(this.#options.clock.nowMs())), TIME_MAX);
  }

  /** One after the other: each reads what the one before has written. */
  #inTurn<T>(task: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(task, task);
    this.#turn = mine.catch(() => undefined);
    return mine;
  }
}

/** Big endian, so that times sort. */
function timeBytes(ms: number): Uint8Array {
  const out = new Uint8Array(8);
  new DataView(out.buffer).setBigUint64(0, BigInt(ms));
  return out.subarray(2);
}
