/**
 * I6, one value per manifest: whichever k cells two correct readers get of a stripe, they return the same
 * bytes or both call it damaged. Cells are judged by the row, the row by the signed manifest, and all n cells
 * are computed again from the k that decoded.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { servesOtherCells, slow } from '../../src/sim/adversaries/nodes.ts';
import { crookedWorkspaces } from '../../src/sim/adversaries/writers.ts';
import { CELL_BYTES_DEFAULT } from '../../src/base/limits.ts';
import { collectBytes, committed, contentOf, get, getBytes, keyIdOf, put, sameBytes } from '../world/client-world.ts';
import type { TestClient } from '../world/client-world.ts';
import { ALL, Scene } from './scene.ts';

let scene: Scene;
beforeAll(async () => {
  scene = await Scene.start();
});
afterEach(() => scene.calm());
afterAll(() => scene.stop());

const STRIPE = 2 * CELL_BYTES_DEFAULT - 16;

/** What a reader makes of the bytes from `start` on: the bytes in short, or the code of its error. */
async function verdict(client: TestClient, key: string, start: number = 0): Promise<string> {
  try {
    const result = await get(client, key, { start });
    return result.kind === 'content' ? `${(await collectBytes(result.stream)).length} bytes` : result.kind;
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}

describe('a content that is no codeword', () => {
  it.each([
    ['read whole', 50_000, 0],
    ['of several stripes', 2 * STRIPE + 9, 0],
    ['read in part (trap H9)', 50_000, 20_000],
  ])('I6: is damaged for every reader, whichever cells it gets: %s', async (_what, size, from) => {
    const key = scene.freshKey();
    committed(await put(scene.client(0, { workspaces: crookedWorkspaces(4) }), scene.bucket, key, contentOf(key, size)));
    const verdicts: string[] = [];
    for (const unheard of ALL) {
      scene.hears(1, ALL.filter((slot) => slot !== unheard));
      for (const late of ALL) {
        // The two that are left answer first: every pair of cells is somebody's.
        scene.world.interceptors.clear();
        scene.world.interceptors.set(late, slow(scene.world, 40, 'QUERY', 'FETCH'));
        const reader = scene.client(1);
        verdicts.push(await verdict(reader, key, from));
        expect(reader.client.suspicions()).toEqual([]);
      }
    }
    expect([...new Set(verdicts)]).toEqual(['DAMAGED']);
  });
});

describe('a node that serves another cell', () => {
  const lies: readonly (readonly [string, boolean, number])[] = [
    ['beside the honest row', true, 50_000],
    ['in a row that was made to fit', false, 50_000],
    ['in a row that was made to fit, of the second stripe too', false, STRIPE + 9],
    ['in place of a whole body', true, 100],
  ];
  it.each(lies)('I6: %s, is seen through by every reader', async (_what, keepRow, size) => {
    const key = scene.freshKey();
    const bytes = contentOf(key, size);
    committed(await put(scene.client(0), scene.bucket, key, bytes));
    for (const liar of [0, 1]) {
      scene.world.interceptors.clear();
      // It answers first, and so is believed first by whoever believes.
      for (const slot of ALL) scene.world.interceptors.set(slot, slot === liar ? servesOtherCells(keepRow) : slow(scene.world, 15));
      const reader = scene.client(1);
      await reader.client.head(keyIdOf(key));
      expect(sameBytes(await getBytes(reader, key), bytes)).toBe(true);
      expect(reader.evidence).toEqual([]);
      expect(reader.client.suspicions().every(({ slot }) => slot === liar)).toBe(true);
    }
  });
});
