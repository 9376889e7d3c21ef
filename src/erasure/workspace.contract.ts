/**
 * What the pool of workspaces and each workspace keep over every codec: the right bytes, bounded memory in the
 * order of asking, and no way to see a stripe of before or to lose a place in the pool.
 */
import { describe, expect, test } from 'vitest';
import { AssertionError } from '../base/assert.ts';
import { equal } from '../base/bytes.ts';
import { isOperationError } from '../base/errors.ts';
import type { CodecFactory } from './codec.ts';
import type { CodeShape } from './matrix.ts';
import { WorkspacePool } from './workspace.ts';
import type { Workspace } from './workspace.ts';

const SHAPE = { k: 4, n: 6 };
const CELL = 128;
const bytes = (length: number, seed: number): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (i * 31 + seed * 97) & 0xff);
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

export function workspaceContract(label: string, create: CodecFactory): void {
  const poolOf = (workspaceCount: number, waitersMax?: number): WorkspacePool =>
    new WorkspacePool(create, {
      workspaceCount,
      cellCountMax: 6,
      cellBytesMax: CELL,
      ...(waitersMax === undefined ? {} : { waitersMax }),
    });

  describe(`a workspace over the ${label} codec`, () => {
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

  describe(`a pool of workspaces over the ${label} codec`, () => {
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
        expect(() => new WorkspacePool(create, { ...good, ...bad })).toThrow(RangeError);
      }
    });
  });

  describe(`what comes in and goes out over the ${label} codec`, () => {
    test('is copied from views at any offset, from greater arrays and from the memory of the codec itself', () => {
      const pool = poolOf(2);
      const cells = cellsOf(pool, bytes(SHAPE.k * CELL, 8));
      using other = acquired(pool);
      using workspace = acquired(pool);
      for (const [offset, index] of [1, 3, 5, 7].map((at, i) => [at, i + 2] as const)) {
        const within = new Uint8Array(CELL + 16).fill(0xee);
        const view = within.subarray(offset, offset + CELL);
        view.set(cells[index] ?? view);
        other.put(index, view);
        // A view of another stripe, in the same memory.
        workspace.put(index, other.cell(index));
        within.fill(0);
      }
      // And of itself.
      workspace.put(2, workspace.cell(2));
      workspace.decode();
      for (const index of [0, 1]) expect(equal(workspace.cell(index), cells[index] ?? new Uint8Array())).toBe(true);
      expect(equal(workspace.data(), bytes(SHAPE.k * CELL, 8))).toBe(true);
    });

    test('of sizes at the edges of cells and stripes comes back as it went in', () => {
      const pool = poolOf(1);
      const edges = [0, 1, 63, 64, 65, CELL - 1, CELL, CELL + 1, 2 * CELL, SHAPE.k * CELL - 1, SHAPE.k * CELL];
      for (const size of edges) {
        const data = bytes(size, size);
        const cells = cellsOf(pool, data);
        for (const lost of [[0, 1], [3, 4], [4, 5]]) {
          using workspace = acquired(pool);
          for (const [index, cell] of cells.entries()) if (!lost.includes(index)) workspace.put(index, cell);
          workspace.decode();
          expect(equal(workspace.data().subarray(0, size), data), `${size} bytes without ${lost.join()}`).toBe(true);
          expect(workspace.data().subarray(size).every((byte) => byte === 0)).toBe(true);
        }
      }
    });

    test('leaves the other stripes as they are', () => {
      const pool = poolOf(3);
      const held = [0, 1, 2].map(() => acquired(pool));
      for (const [seed, workspace] of held.entries()) {
        workspace.area.set(bytes(SHAPE.k * CELL, seed));
        workspace.encode(SHAPE.k * CELL);
      }
      const before = held.map((workspace) => Array.from({ length: SHAPE.n }, (_, index) => workspace.cell(index).slice()));
      const [first, middle, last] = held;
      middle?.put(5, new Uint8Array(CELL).fill(0xff));
      middle?.complete();
      middle?.release();
      using again = acquired(pool);
      again.encode(0);
      for (const [i, workspace] of [[0, first], [2, last]] as const) {
        for (let index = 0; index < SHAPE.n; index += 1) expect(workspace?.cell(index)).toEqual(before[i]?.[index]);
        workspace?.release();
      }
    });
  });

  describe(`a pool under pressure over the ${label} codec`, () => {
    test('gives every one of many its turn, in order, never more at once than it has, and all back in the end', async () => {
      const pool = poolOf(3);
      let [inUse, most] = [0, 0];
      const order: number[] = [];
      const work = async (id: number): Promise<void> => {
        using workspace = await pool.acquire(SHAPE, CELL);
        order.push(id);
        inUse += 1;
        most = Math.max(most, inUse);
        workspace.area.set(bytes(SHAPE.k * CELL, id));
        for (let i = 0; i < id % 4; i += 1) await Promise.resolve();
        workspace.encode(SHAPE.k * CELL);
        expect(equal(workspace.data(), bytes(SHAPE.k * CELL, id))).toBe(true);
        inUse -= 1;
      };
      await Promise.all(Array.from({ length: 60 }, (_, id) => work(id)));
      expect(order).toEqual(Array.from({ length: 60 }, (_, id) => id));
      expect([most, pool.freeCount]).toEqual([3, 3]);
    });

    test('gets its memory back from work that fails, and from a stripe that does not decode', async () => {
      const pool = poolOf(1);
      const failing = async (): Promise<void> => {
        using workspace = await pool.acquire(SHAPE, CELL);
        workspace.put(0, new Uint8Array(CELL));
        workspace.decode();
      };
      const outcomes = await Promise.allSettled([failing(), failing(), failing()]);
      expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
      expect(pool.freeCount).toBe(1);
      expect(cellsOf(pool, bytes(500, 1))).toHaveLength(SHAPE.n);
    });

    test('refuses what cannot fit at once, also while others wait, and lets nobody wait for ever', async () => {
      const pool = poolOf(1, 2);
      const held = acquired(pool);
      const waiting = [pool.acquire(SHAPE, CELL), pool.acquire({ k: 1, n: 4 }, 64)];
      for (const [k, n, cellBytes] of [[4, 7, CELL], [4, 6, Number.NaN], [0, 6, CELL], [4, 6, 2 ** 32]] as const) {
        await expect(pool.acquire({ k, n }, cellBytes)).rejects.toThrow(RangeError);
      }
      held.release();
      for (const workspace of waiting) (await workspace).release();
      expect(pool.freeCount).toBe(1);
    });
  });
}
