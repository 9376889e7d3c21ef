import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { concat, equal } from '../base/bytes.ts';
import { aeadKey, sha256 } from '../crypto/primitives.ts';
import { referenceCodec } from '../erasure/reference.ts';
import { WorkspacePool } from '../erasure/workspace.ts';
import { plainBytesOf, stripeCount } from '../protocol/stripes.ts';
import { codeStripe, hashAt, openStripe } from './stripe-code.ts';

const pool = new WorkspacePool(referenceCodec, { workspaceCount: 1, cellCountMax: 7, cellBytesMax: 256 });
const key = aeadKey(new Uint8Array(32).fill(9));

function layoutOf(k: number, n: number, size: number) {
  return { k, n, cellBytes: 128, size };
}

describe('one stripe', () => {
  it('comes back from any k of its cells, checked or not', async () => {
    const geometries = fc.constantFrom([2, 4], [4, 6], [3, 7], [1, 4]);
    await fc.assert(
      fc.asyncProperty(geometries, fc.integer({ min: 1, max: 2000 }), fc.infiniteStream(fc.nat()), fc.boolean(), async ([k, n], size, random, check) => {
        const layout = layoutOf(k ?? 1, n ?? 1, size);
        const index = (random.next().value ?? 0) % stripeCount(layout);
        const plain = Uint8Array.from({ length: plainBytesOf(layout, index) }, (_, i) => i * 7);
        const { cells, row } = await codeStripe(pool, layout, key, 1, index, [plain.subarray(0, 5), plain.subarray(5)]);
        for (const [slot, cell] of cells.entries()) expect(equal(sha256(cell), hashAt(row, slot))).toBe(true);
        const order = cells.map((_, slot) => slot).sort(() => ((random.next().value ?? 0) % 3) - 1);
        const chosen = new Map(order.slice(0, layout.k).map((slot) => [slot, cells[slot] ?? new Uint8Array(0)]));
        const opened = await openStripe(pool, layout, key, 1, index, chosen, row, check);
        expect(opened.ok && equal(concat(...opened.plain), plain)).toBe(true);
      }),
      { numRuns: 60 },
    );
    expect(pool.freeCount).toBe(1);
  });

  it('with a row that is no code word is refused alike from every choice of cells', async () => {
    const layout = layoutOf(2, 4, 100);
    const { cells, row } = await codeStripe(pool, layout, key, 1, 0, [new Uint8Array(100)]);
    const crooked = cells.map((cell, slot) => (slot === 3 ? cell.map((b) => b ^ 1) : cell));
    const crookedRow = concat(row.subarray(0, 96), sha256(crooked[3] ?? row));
    for (const pair of [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]) {
      const chosen = new Map(pair.map((slot) => [slot, crooked[slot] ?? new Uint8Array(0)]));
      const opened = await openStripe(pool, layout, key, 1, 0, chosen, crookedRow, true);
      expect(opened).toEqual({ ok: false, fault: 'encoding' });
    }
  });

  it('of another place in the object, or under another key, does not open', async () => {
    const layout = layoutOf(2, 4, 700);
    const { cells, row } = await codeStripe(pool, layout, key, 1, 0, [new Uint8Array(plainBytesOf(layout, 0))]);
    const chosen = new Map([[0, cells[0] ?? row], [1, cells[1] ?? row]]);
    const elsewhere = await openStripe(pool, layout, key, 1, 1, chosen, row, true);
    expect(elsewhere).toEqual({ ok: false, fault: 'seal' });
    const other = aeadKey(new Uint8Array(32));
    expect(await openStripe(pool, layout, other, 1, 0, chosen, row, true)).toEqual({ ok: false, fault: 'seal' });
  });
});
