/**
 * Stripes in codec memory, for everybody who seals, codes or decodes. A pool hands out a bounded number of
 * workspaces, each with room for one stripe: its memory is the bound on stripes in flight. A workspace knows
 * which of its cells hold bytes of the present stripe and gives out no other, so that nothing of an earlier
 * stripe can be read. Writers seal straight into `area`, call `encode` and send the cells; readers `put`
 * checked cells, `reconstruct` and open `data()`. Views are valid until `release`; nobody may keep one
 * beyond.
 */
import { assert } from '../base/assert.ts';
import { OperationError } from '../base/errors.ts';
import { isCellSize } from './codec.ts';
import type { Codec, CodecFactory } from './codec.ts';
import { requireShape } from './matrix.ts';
import type { CodeShape } from './matrix.ts';

export interface WorkspacePoolOptions {
  /** Stripes that may be in flight at once. */
  readonly workspaceCount: number;
  /** Largest n that fits with cells of `cellBytesMax`. */
  readonly cellCountMax: number;
  /** Largest cell; a multiple of 64. */
  readonly cellBytesMax: number;
  /** Callers that may wait for a workspace before `acquire` answers BUSY. Default 1024. */
  readonly waitersMax?: number;
}

interface Waiter {
  readonly shape: CodeShape;
  readonly cellBytes: number;
  readonly grant: (workspace: Workspace) => void;
}

export class WorkspacePool {
  readonly workspaceCount: number;
  /** Bytes of one workspace: n times cellBytes may not be more. */
  readonly stripeBytesMax: number;
  readonly #codec: Codec;
  readonly #waitersMax: number;
  readonly #free: number[];
  readonly #waiters: Waiter[] = [];

  constructor(createCodec: CodecFactory, options: WorkspacePoolOptions) {
    const { workspaceCount, cellCountMax, cellBytesMax, waitersMax = 1024 } = options;
    requireShape({ k: 1, n: cellCountMax });
    if (!isCellSize(cellBytesMax)) {
      throw new RangeError(`cellBytesMax = ${cellBytesMax} is not a multiple of 64`);
    }
    if (!Number.isSafeInteger(workspaceCount) || workspaceCount < 1) {
      throw new RangeError(`${workspaceCount} workspaces`);
    }
    this.workspaceCount = workspaceCount;
    this.stripeBytesMax = cellCountMax * cellBytesMax;
    this.#waitersMax = waitersMax;
    this.#codec = createCodec(workspaceCount * this.stripeBytesMax);
    // The lowest place is used again first: its pages are warm.
    this.#free = Array.from({ length: workspaceCount }, (_, i) => i * this.stripeBytesMax).toReversed();
  }

  get freeCount(): number {
    return this.#free.length;
  }

  /** A workspace for one stripe, or undefined when all are in use. Throws RangeError when it cannot fit. */
  tryAcquire(shape: CodeShape, cellBytes: number): Workspace | undefined {
    this.#requireFit(shape, cellBytes);
    if (this.#waiters.length > 0) return undefined;
    return this.#take(shape, cellBytes);
  }

  /**
   * A workspace for one stripe, as soon as one is free; callers are served in order. Whoever holds a
   * workspace must not wait for a second one. Rejects with BUSY (retryable) when too many wait, RangeError
   * when it cannot fit.
   */
  async acquire(shape: CodeShape, cellBytes: number): Promise<Workspace> {
    const workspace = this.tryAcquire(shape, cellBytes);
    if (workspace !== undefined) return workspace;
    if (this.#waiters.length >= this.#waitersMax) {
      const waiting = `${this.#waiters.length} stripes wait for memory.`;
      throw new OperationError('BUSY', waiting, { retryable: true });
    }
    return new Promise((grant) => this.#waiters.push({ shape, cellBytes, grant }));
  }

  #requireFit(shape: CodeShape, cellBytes: number): void {
    requireShape(shape);
    if (!isCellSize(cellBytes)) throw new RangeError(`cellBytes = ${cellBytes} is not a multiple of 64`);
    if (shape.n * cellBytes > this.stripeBytesMax) {
      throw new RangeError(`${shape.n} cells of ${cellBytes} bytes do not fit ${this.stripeBytesMax} bytes`);
    }
  }

  #take(shape: CodeShape, cellBytes: number): Workspace | undefined {
    const base = this.#free.pop();
    if (base === undefined) return undefined;
    return new Workspace(this.#codec, shape, base, cellBytes, () => this.#giveBack(base));
  }

  #giveBack(base: number): void {
    this.#free.push(base);
    assert(this.#free.length <= this.workspaceCount, 'a workspace is given back once');
    const next = this.#waiters.shift();
    if (next === undefined) return;
    const workspace = this.#take(next.shape, next.cellBytes);
    assert(workspace !== undefined, 'a workspace is free');
    next.grant(workspace);
  }
}

/** Memory for one stripe; made by WorkspacePool only. After `release` every call is an assertion failure. */
export class Workspace implements Disposable {
  readonly k: number;
  readonly n: number;
  readonly cellBytes: number;
  readonly #codec: Codec;
  readonly #base: number;
  readonly #giveBack: () => void;
  readonly #present: boolean[];
  #released = false;

  constructor(codec: Codec, shape: CodeShape, base: number, cellBytes: number, giveBack: () => void) {
    this.k = shape.k;
    this.n = shape.n;
    this.cellBytes = cellBytes;
    this.#codec = codec;
    this.#base = base;
    this.#giveBack = giveBack;
    this.#present = Array.from({ length: shape.n }, () => false);
  }

  /**
   * The k data cells side by side, to be written before `encode`; what stands in it is undefined until then.
   */
  get area(): Uint8Array {
    return this.#view(0, this.k);
  }

  /**
   * Computes the parity cells. The first `dataBytes` of `area` are the caller's; the rest, the padding of the
   * last stripe, is set to zero first, so that equal contents give equal cells. All n cells are present
   * afterwards.
   */
  encode(dataBytes: number): void {
    const area = this.area;
    if (!Number.isSafeInteger(dataBytes) || dataBytes < 0 || dataBytes > area.length) {
      throw new RangeError(`${dataBytes} bytes of data in a stripe of ${area.length}`);
    }
    area.fill(0, dataBytes);
    this.#codec.encode(this, this.#place());
    this.#present.fill(true);
  }

  /** Takes a copy of a cell that the caller has checked against its hash. */
  put(index: number, cell: Uint8Array): void {
    if (cell.length !== this.cellBytes) {
      throw new RangeError(`a cell of ${cell.length} bytes, not ${this.cellBytes}`);
    }
    this.#requireIndex(index);
    this.#view(index, 1).set(cell);
    this.#present[index] = true;
  }

  has(index: number): boolean {
    return this.#present[index] === true;
  }

  /** How many cells are present; k are enough to reconstruct. */
  get presentCount(): number {
    return this.#presentIndices().length;
  }

  /**
   * Computes those of the cells `want` that are not present. Throws RangeError when one is missing and fewer
   * than k are present.
   */
  reconstruct(want: readonly number[]): void {
    for (const index of want) this.#requireIndex(index);
    const missing = [...new Set(want)].filter((index) => !this.has(index));
    if (missing.length === 0) return;
    this.#codec.reconstruct(this, this.#place(), this.#presentIndices(), missing);
    for (const index of missing) this.#present[index] = true;
  }

  /** Computes the missing data cells. */
  decode(): void {
    this.reconstruct(Array.from({ length: this.k }, (_, j) => j));
  }

  /**
   * Makes all n cells those of the one codeword that the k present cells of lowest index determine; other
   * cells that were present are overwritten. What a reader hashes to find out whether the writer coded
   * rightly (4.4).
   */
  complete(): void {
    const have = this.#presentIndices().slice(0, this.k);
    const rest = Array.from({ length: this.n }, (_, i) => i).filter((index) => !have.includes(index));
    this.#codec.reconstruct(this, this.#place(), have, rest);
    this.#present.fill(true);
  }

  /** A view of one cell, which must be present. */
  cell(index: number): Uint8Array {
    this.#requireIndex(index);
    assert(this.has(index), 'only present cells are read');
    return this.#view(index, 1);
  }

  /** A view of the k data cells side by side, all of which must be present: sealed bytes and padding. */
  data(): Uint8Array {
    for (let j = 0; j < this.k; j += 1) assert(this.has(j), 'all data cells are present');
    return this.#view(0, this.k);
  }

  /** Gives the memory back; the views die. */
  release(): void {
    assert(!this.#released, 'a workspace is released once');
    this.#released = true;
    this.#giveBack();
  }

  [Symbol.dispose](): void {
    if (!this.#released) this.release();
  }

  #view(first: number, count: number): Uint8Array {
    assert(!this.#released, 'a released workspace is not used');
    const from = this.#base + first * this.cellBytes;
    return this.#codec.memory.subarray(from, from + count * this.cellBytes);
  }

  #place(): { readonly base: number; readonly cellBytes: number } {
    assert(!this.#released, 'a released workspace is not used');
    return { base: this.#base, cellBytes: this.cellBytes };
  }

  #presentIndices(): number[] {
    const out: number[] = [];
    for (const [index, present] of this.#present.entries()) if (present) out.push(index);
    return out;
  }

  #requireIndex(index: number): void {
    if (!Number.isSafeInteger(index) || index < 0 || index >= this.n) {
      throw new RangeError(`cell ${index} is not one of ${this.n}`);
    }
  }
}
