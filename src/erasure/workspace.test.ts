import { describe, expect, test } from 'vitest';
import { AssertionError } from '../base/assert.ts';
import { equal } from '../base/bytes.ts';
import { isOperationError } from '../base/errors.ts';
import type { CodeShape } from './matrix.ts';
import { referenceCodec } from './reference.ts';
import { wasmCodec } from './wasm.ts';
import { WorkspacePool } from './workspace.ts';
import type { Workspace } from './workspace.ts';

const SHAPE = { k: 4, n: 6 };
const CELL = 128;
const bytes = (length: number, seed: number): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (i * 31 + seed * 97) & 0xff);
const poolOf = (workspaceCount: number, waitersMax?: number): WorkspacePool =>
  new WorkspacePool(wasmCodec, {
    workspaceCount,
    cellCountMax: 6,
    cellBytesMax: CELL,
    ...(waitersMax === undefined ? {} : { waitersMax }),
  });

function acquired(pool: WorkspacePool, shape: CodeShape = SHAPE, cellBytes: number = CELL): Workspace {
  const workspace = pool.tryAcquire(shape, cellBytes);
  if (workspace === undefined) throw new Error('no workspace is free');
  return workspace;
}

/** The cells of a stripe of `data`, as copies. */
function cellsOf(pool: WorkspacePool, data: Uint8Array): Uint8Array[] {
  using workspace = acquired(pool);
  workspace.area.set(data);
  workspace.encode(data.length);
  return Array.from({ length: SHAPE.n }, (_, index) => workspace.cell(index).slice());
}

describe('a workspace', () => {
  test('carries a stripe from sealed bytes to cells and back', () => {
    const pool = poolOf(1);
    const data = bytes(SHAPE.k * CELL, 1);
    const cells = cellsOf(pool, data);
    using workspace = acquired(pool);
    for (const index of [5, 1, 4, 2]) workspace.put(index, cells[index] ?? data);
    workspace.decode();
    expect(equal(workspace.data(), data)).toBe(true);
    expect(workspace.has(0)).toBe(true);
    expect(workspace.presentCount).toBe(6);
  });

  test('gives the same cells whichever codec is behind it', () => {
    const options = { workspaceCount: 1, cellCountMax: 6, cellBytesMax: CELL };
    const reference = new WorkspacePool(referenceCodec, options);
    expect(cellsOf(poolOf(1), bytes(500, 3))).toEqual(cellsOf(reference, bytes(500, 3)));
  });

  test('pads a short stripe with zeros, whatever stood there before', () => {
    const pool = poolOf(1);
    const short = bytes(SHAPE.k * CELL - 77, 2);
    const fresh = cellsOf(poolOf(1), short);
    cellsOf(pool, new Uint8Array(SHAPE.k * CELL).fill(0xff));
    expect(cellsOf(pool, short)).toEqual(fresh);
    expect(fresh[3]?.subarray(CELL - 77).every((byte) => byte === 0)).toBe(true);
  });

  test('gives out no cell that this stripe has not: an earlier stripe cannot be read', () => {
    const pool = poolOf(1);
    const cells = cellsOf(pool, bytes(SHAPE.k * CELL, 4));
    using workspace = acquired(pool);
    expect(() => workspace.cell(0)).toThrow(AssertionError);
    workspace.put(0, cells[0] ?? new Uint8Array());
    expect(equal(workspace.cell(0), cells[0] ?? new Uint8Array())).toBe(true);
    expect(() => workspace.data()).toThrow(AssertionError);
    expect(() => workspace.decode()).toThrow(RangeError);
  });

  test('repairs one cell without touching the others', () => {
    const pool = poolOf(1);
    const cells = cellsOf(pool, bytes(SHAPE.k * CELL, 5));
    for (let lost = 0; lost < SHAPE.n; lost += 1) {
      using workspace = acquired(pool);
      const have = [0, 1, 2, 3, 4, 5].filter((index) => index !== lost).slice(1);
      for (const index of have) workspace.put(index, cells[index] ?? new Uint8Array());
      workspace.reconstruct([lost]);
      expect(equal(workspace.cell(lost), cells[lost] ?? new Uint8Array())).toBe(true);
      expect(workspace.presentCount).toBe(5);
    }
  });

  test('completes to the code word of k cells and so shows a cell that is none of it', () => {
    const pool = poolOf(1);
    const cells = cellsOf(pool, bytes(SHAPE.k * CELL, 6));
    using workspace = acquired(pool);
    for (const index of [0, 2, 3, 4]) workspace.put(index, cells[index] ?? new Uint8Array());
    workspace.put(5, new Uint8Array(CELL));
    workspace.complete();
    for (const [index, cell] of cells.entries()) expect(equal(workspace.cell(index), cell)).toBe(true);
  });

  test('refuses cells of another size, unknown indices and too much data', () => {
    using workspace = acquired(poolOf(1));
    expect(() => workspace.put(0, new Uint8Array(CELL - 64))).toThrow(RangeError);
    expect(() => workspace.put(6, new Uint8Array(CELL))).toThrow(RangeError);
    expect(() => workspace.reconstruct([-1])).toThrow(RangeError);
    expect(() => workspace.encode(SHAPE.k * CELL + 1)).toThrow(RangeError);
    expect(() => workspace.encode(-1)).toThrow(RangeError);
  });

  test('is of no use once released', () => {
    const workspace = acquired(poolOf(1));
    workspace.encode(0);
    workspace.release();
    expect(() => workspace.area).toThrow(AssertionError);
    expect(() => workspace.cell(0)).toThrow(AssertionError);
    expect(() => workspace.encode(0)).toThrow(AssertionError);
    expect(() => workspace.complete()).toThrow(AssertionError);
    expect(() => workspace.release()).toThrow(AssertionError);
  });
});

describe('a pool of workspaces', () => {
  test('hands out as many as it has, side by side in memory that does not overlap', () => {
    const pool = poolOf(3);
    const held = [0, 1, 2].map((seed) => {
      const workspace = acquired(pool);
      workspace.area.set(bytes(SHAPE.k * CELL, seed));
      return workspace;
    });
    expect(pool.tryAcquire(SHAPE, CELL)).toBeUndefined();
    for (const workspace of held) workspace.encode(SHAPE.k * CELL);
    for (const [seed, workspace] of held.entries()) {
      expect(equal(workspace.data(), bytes(SHAPE.k * CELL, seed))).toBe(true);
      workspace.release();
    }
    expect(pool.freeCount).toBe(3);
  });

  test('serves those who wait in order, and nobody overtakes them', async () => {
    const pool = poolOf(1);
    const first = await pool.acquire(SHAPE, CELL);
    const order: string[] = [];
    const wait = async (name: string): Promise<void> => {
      using _workspace = await pool.acquire(SHAPE, CELL);
      order.push(name);
    };
    const waiting = [wait('b'), wait('c')];
    first.release();
    expect(pool.tryAcquire(SHAPE, CELL)).toBeUndefined();
    await Promise.all(waiting);
    expect(order).toEqual(['b', 'c']);
    expect(pool.freeCount).toBe(1);
  });

  test('answers BUSY when too many wait', async () => {
    const pool = poolOf(1, 1);
    const held = acquired(pool);
    const waiting = pool.acquire(SHAPE, CELL);
    await expect(pool.acquire(SHAPE, CELL)).rejects.toSatisfy(
      (error) => isOperationError(error, 'BUSY') && error.retryable,
    );
    held.release();
    (await waiting).release();
    expect(pool.freeCount).toBe(1);
  });

  test('serves several shapes and cell sizes, as long as a stripe fits', () => {
    const pool = poolOf(1);
    for (const [k, n, cellBytes] of [[1, 4, 192], [2, 4, 64], [5, 12, 64], [4, 6, 128]] as const) {
      using workspace = acquired(pool, { k, n }, cellBytes);
      workspace.encode(0);
      expect(workspace.cell(n - 1)).toHaveLength(cellBytes);
    }
    const misfits = [[4, 7, 128], [4, 6, 100], [4, 6, 0], [0, 6, 64], [1, 33, 64], [4, 6, 192]] as const;
    for (const [k, n, cellBytes] of misfits) {
      expect(() => pool.tryAcquire({ k, n }, cellBytes)).toThrow(RangeError);
    }
    expect(pool.freeCount).toBe(1);
  });

  test('is not made with bounds that cannot be', () => {
    const good = { workspaceCount: 1, cellCountMax: 6, cellBytesMax: 64 };
    const none = [{ workspaceCount: 0 }, { cellCountMax: 0 }, { cellBytesMax: 0 }];
    const counts = [...none, { workspaceCount: 1.5 }, { cellCountMax: 33 }];
    for (const bad of [...counts, { cellBytesMax: 65 }]) {
      expect(() => new WorkspacePool(referenceCodec, { ...good, ...bad })).toThrow(RangeError);
    }
  });
});
