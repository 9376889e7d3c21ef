import { describe, expect, it } from 'vitest';
import { judgeVersions } from './versions.ts';
import type { VersionEvent, VersionValue } from './versions.ts';

const compare = (a: string, b: string): number => Number(a) - Number(b);
const verdict = (...events: readonly VersionEvent[]): string[] => judgeVersions(events, compare);

const written = (id: string, from: number, to: number, value: VersionValue = `put ${id}`): VersionEvent => ({ kind: 'written', id, value, from, to });
const removed = (id: string, from: number, to: number): VersionEvent => ({ kind: 'removed', id, from, to });
const newest = (id: string | null, from: number, to: number, atMs: number = to): VersionEvent => ({ kind: 'newest', id, value: id === null ? null : `put ${id}`, from, to, atMs });
const read = (id: string, from: number, to: number): VersionEvent => ({ kind: 'read', id, value: `put ${id}`, from, to });
const missed = (id: string, from: number, to: number, atMs: number = to): VersionEvent => ({ kind: 'missed', id, from, to, atMs });
const listed = (ids: readonly string[], from: number, to: number): VersionEvent => ({
  kind: 'listed',
  rows: ids.map((id, at) => ({ id, value: `put ${id}`, isLatest: at === 0 })),
  from,
  to,
  atMs: to,
});

describe('versions of a key', () => {
  it('are what they should be', () => {
    expect(verdict(written('1', 1, 2), written('2', 3, 4), newest('2', 5, 6), removed('2', 7, 8), newest('1', 9, 10), listed(['1'], 11, 12), missed('2', 13, 14))).toEqual([]);
  });

  it('may be seen or not while they are written or removed', () => {
    expect(verdict(written('1', 1, 10), newest(null, 2, 3), newest('1', 4, 5), removed('1', 11, 20), read('1', 12, 13), missed('1', 14, 15))).toEqual([]);
  });

  it('stay until somebody removes them', () => {
    expect(verdict(written('1', 1, 2), missed('1', 3, 4))).toHaveLength(1);
    expect(verdict(written('1', 1, 2), written('2', 3, 4), listed(['2'], 5, 6))).toHaveLength(1);
    expect(verdict(written('1', 1, 2), missed('1', 3, 4), removed('1', 5, 6))).toHaveLength(1);
  });

  it('never come back', () => {
    expect(verdict(written('1', 1, 2), removed('1', 3, 4), read('1', 5, 6))).toHaveLength(1);
    // Nobody was told that it is gone, but somebody saw it.
    expect(verdict(written('1', 1, 2), removed('1', 3, Infinity), missed('1', 4, 5), listed(['1'], 6, 7))).toHaveLength(1);
  });

  it('the newest is the newest, also for whoever saw what nobody was told of', () => {
    expect(verdict(written('1', 1, 2), written('2', 3, 4), newest('1', 5, 6))).toHaveLength(1);
    expect(verdict(written('1', 1, 2), newest('2', 3, 4), newest('1', 5, 6))).toHaveLength(1);
    expect(verdict(written('1', 1, 2), newest(null, 5, 6))).toHaveLength(1);
  });

  it('rise with time', () => {
    expect(verdict(written('2', 1, 2), written('1', 3, 4))).toHaveLength(1);
    expect(verdict(written('2', 1, 4), written('1', 3, 5))).toEqual([]);
  });

  it('are listed in their order, the newest marked', () => {
    expect(verdict(listed(['1', '2'], 1, 2))).toHaveLength(1);
    const rows = [{ id: '1', value: 'put 1', isLatest: false }];
    expect(verdict({ kind: 'listed', rows, from: 1, to: 2, atMs: 0 })).toHaveLength(1);
  });

  it('are one a write, and the same for all', () => {
    expect(verdict(written('1', 1, 2, 'one'), written('2', 3, 4, 'one'))).toHaveLength(1);
    expect(verdict(written('1', 1, 2, 'one'), read('1', 3, 4))).toHaveLength(1);
  });

  it('that are locked are there whoever removed them, until their time', () => {
    const lock: VersionEvent = { kind: 'retained', id: '1', untilMs: 1000, from: 1, to: 2 };
    expect(verdict(written('1', 1, 2), lock, removed('1', 3, 4), missed('1', 5, 6, 999))).toEqual([expect.stringMatching(/I10/)]);
    expect(verdict(written('1', 1, 2), lock, removed('1', 3, 4), missed('1', 5, 6, 1000))).toEqual([]);
    const hold = (on: boolean, from: number, to: number): VersionEvent => ({ kind: 'held', id: '1', on, from, to });
    expect(verdict(written('1', 1, 2), hold(true, 3, 4), removed('1', 5, 6), missed('1', 7, 8))).toEqual([expect.stringMatching(/I10/)]);
    expect(verdict(written('1', 1, 2), hold(true, 3, 4), hold(false, 5, Infinity), removed('1', 6, 7), missed('1', 8, 9))).toEqual([]);
    expect(verdict(written('1', 1, 2), hold(false, 1, 2), hold(true, 3, 4), removed('1', 6, 7), missed('1', 8, 9))).toHaveLength(1);
  });
});
