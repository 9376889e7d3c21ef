import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ZERO_STAMP } from '../../protocol/stamp.ts';
import type { VersionRow } from './rows.ts';
import { countBits, groupOf, groupRange, GROUPS, holdsBit, Tallies, withBit, withoutBit } from './tallies.ts';

const N = 4;
const hash = fc.uint8Array({ minLength: 32, maxLength: 32 });

const rowOf = (confirmed: number, cells: number, holes: readonly number[]): VersionRow => ({
  keyId: new Uint8Array(32), stamp: ZERO_STAMP, kind: 'DATA', contentId: new Uint8Array(32), k: 2, cellBytes: 64, size: 1, stageId: null, seenMs: 0, confirmed, holes, parts: 0, cells,
});
const version = fc.record({
  hash,
  row: fc.record({ confirmed: fc.integer({ min: 0, max: 15 }), cells: fc.integer({ min: 1, max: 5 }), hole: fc.integer({ min: 0, max: 3 }) }).map(({ confirmed, cells, hole }) => rowOf(confirmed, cells, [0, hole, 0, 0])),
});
const versions = fc.uniqueArray(version, { selector: (one) => one.hash.join(), maxLength: 20 });

describe('tallies', () => {
  it('give every position of a slot one cell of its versions, and none twice', () => {
    fc.assert(
      fc.property(versions, fc.integer({ min: 0, max: N - 1 }), (all, slot) => {
        const tallies = new Tallies(N);
        for (const one of all) tallies.changed(one.hash, undefined, one.row);
        const held = all.filter(({ row }) => holdsBit(row.confirmed, slot));
        expect(tallies.cells(slot)).toBe(held.reduce((sum, { row }) => sum + row.cells, 0));
        const found = Array.from({ length: tallies.cells(slot) }, (_, position) => tallies.find(slot, position));
        expect(new Set(found.map((place) => `${place?.group} ${place?.offset}`)).size).toBe(found.length);
        for (const one of held) {
          const inGroup = held.filter((other) => groupOf(other.hash) === groupOf(one.hash)).reduce((sum, { row }) => sum + row.cells, 0);
          expect(found.filter((place) => place?.group === groupOf(one.hash)).length).toBe(inGroup);
        }
        expect(tallies.find(slot, found.length)).toBeNull();
      }),
    );
  });

  it('count versions by their confirmed slots, and holes, whatever comes and goes', () => {
    fc.assert(
      fc.property(versions, fc.array(fc.nat()), (all, changes) => {
        const tallies = new Tallies(N);
        const now = new Map(all.map((one) => [one.hash, one.row]));
        for (const one of all) tallies.changed(one.hash, undefined, one.row);
        for (const change of changes) {
          const one = all[change % Math.max(1, all.length)];
          const from = one === undefined ? undefined : now.get(one.hash);
          if (one === undefined || from === undefined) continue;
          const slot = change % N;
          const confirmed = holdsBit(from.confirmed, slot) ? withoutBit(from.confirmed, slot) : withBit(from.confirmed, slot);
          const to = { ...from, confirmed };
          now.set(one.hash, to);
          tallies.changed(one.hash, from, to);
        }
        const rows = [...now.values()];
        for (let level = 0; level <= N; level += 1) expect(tallies.levels[level]).toBe(rows.filter(({ confirmed }) => countBits(confirmed) === level).length);
        expect(tallies.holes).toBe(rows.reduce((sum, { holes }) => sum + (holes[1] ?? 0), 0));
        expect(tallies.holesOf(1)).toBe(tallies.holes);
        expect(tallies.versions).toBe(rows.length);
      }),
    );
  });

  it('put every hash between the edges of its group', () => {
    fc.assert(
      fc.property(hash, (one) => {
        const { from, to } = groupRange(groupOf(one));
        const head = ((one[0] ?? 0) << 8) | (one[1] ?? 0);
        const edge = (bytes: Uint8Array): number => ((bytes[0] ?? 0) << 8) | (bytes[1] ?? 0);
        expect(head).toBeGreaterThanOrEqual(edge(from));
        expect(head).toBeLessThan(to === null ? 65_536 : edge(to));
      }),
    );
    expect(groupRange(GROUPS - 1).to).toBeNull();
  });
});
