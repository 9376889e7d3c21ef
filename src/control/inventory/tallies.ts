/**
 * What the inventory counts in memory: how many cells each slot holds, by where their versions sort, so that
 * one can be drawn uniformly without reading them all; and how many versions have how many confirmed slots.
 */
import type { VersionRow } from './rows.ts';
import { hasContent } from './rows.ts';

/** Versions are counted in so many groups, by the first 12 bits of their hashes. */
export const GROUPS = 4096;

export const groupOf = (hash: Uint8Array): number => ((hash[0] ?? 0) << 4) | ((hash[1] ?? 0) >> 4);

/** The first hash of a group, and the first behind it (null: none is). */
export function groupRange(group: number): { readonly from: Uint8Array; readonly to: Uint8Array | null } {
  const edge = (at: number): Uint8Array => Uint8Array.of(at >> 4, (at & 15) << 4);
  return { from: edge(group), to: group + 1 === GROUPS ? null : edge(group + 1) };
}

export const holdsBit = (bits: number, slot: number): boolean => ((bits >>> slot) & 1) === 1;
export const withBit = (bits: number, slot: number): number => (bits | (1 << slot)) >>> 0;
export const withoutBit = (bits: number, slot: number): number => (bits & ~(1 << slot)) >>> 0;

export function countBits(bits: number): number {
  let count = 0;
  for (let left = bits; left !== 0; left = (left & (left - 1)) >>> 0) count += 1;
  return count;
}

export class Tallies {
  readonly #groups: readonly Float64Array[];
  readonly #cells: number[];
  /** Index: confirmed slots. */
  readonly #levels: number[];
  #versions = 0;
  readonly #holes: number[];

  constructor(n: number) {
    this.#groups = Array.from({ length: n }, () => new Float64Array(GROUPS));
    this.#cells = Array.from({ length: n }, () => 0);
    this.#holes = Array.from({ length: n }, () => 0);
    this.#levels = Array.from({ length: n + 1 }, () => 0);
  }

  /** Versions that keep a content. */
  get versions(): number {
    return this.#versions;
  }

  /** Cells lost, or not known to be there. */
  get holes(): number {
    return this.#holes.reduce((sum, count) => sum + count, 0);
  }

  /** Those of one slot. */
  holesOf(slot: number): number {
    return this.#holes[slot] ?? 0;
  }

  get levels(): readonly number[] {
    return this.#levels;
  }

  /** Cells that the slot is confirmed to hold. */
  cells(slot: number): number {
    return this.#cells[slot] ?? 0;
  }

  /** A row has come, gone or changed. */
  changed(hash: Uint8Array, from: VersionRow | undefined, to: VersionRow | undefined): void {
    if (from !== undefined) this.#add(hash, from, -1);
    if (to !== undefined) this.#add(hash, to, 1);
  }

  /** In which group the slot's cell at this position lies, counted through all groups, and where in it. */
  find(slot: number, position: number): { readonly group: number; readonly offset: number } | null {
    let offset = position;
    for (const [group, cells] of (this.#groups[slot] ?? []).entries()) {
      if (offset < cells) return { group, offset };
      offset -= cells;
    }
    return null;
  }

  #add(hash: Uint8Array, row: VersionRow, sign: 1 | -1): void {
    if (!hasContent(row)) return;
    this.#versions += sign;
    const level = countBits(row.confirmed);
    this.#levels[level] = (this.#levels[level] ?? 0) + sign;
    for (const [slot, holes] of row.holes.entries()) this.#holes[slot] = (this.#holes[slot] ?? 0) + sign * holes;
    for (const [slot, groups] of this.#groups.entries()) {
      if (!holdsBit(row.confirmed, slot)) continue;
      const group = groupOf(hash);
      groups[group] = (groups[group] ?? 0) + sign * row.cells;
      this.#cells[slot] = (this.#cells[slot] ?? 0) + sign * row.cells;
    }
  }
}
