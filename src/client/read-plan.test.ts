import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { concat, equal } from '../base/bytes.ts';
import { encode } from '../protocol/encoding.ts';
import type { Manifest } from '../protocol/manifest.ts';
import { stripePlainBytes } from '../protocol/stripes.ts';
import { cut, openTable, partKey, stepsOf } from './read-plan.ts';
import type { Segment } from './read-plan.ts';

function segment(index: number, size: number): Segment {
  const layout = { k: 2, n: 4, cellBytes: 64, size };
  return { content: { contentId: Uint8Array.of(index), table: null, layout }, dataKey: () => new Uint8Array(32) };
}

describe('the steps of a range', () => {
  it('cover exactly the bytes asked for, in order, each within its stripe', () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 500 }), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(sizes, fc.nat(), fc.nat(), (parts, a, b) => {
        const total = parts.reduce((sum, size) => sum + size, 0);
        const [start, end] = [a % (total + 1), b % (total + 1)].sort((x, y) => x - y) as [number, number];
        const full = stripePlainBytes({ k: 2, cellBytes: 64 });
        const covered: number[] = [];
        for (const { content, stripe, from, to } of stepsOf(parts.map((size, i) => segment(i, size)), start, end)) {
          const offset = parts.slice(0, content.contentId[0]).reduce((sum, size) => sum + size, 0);
          expect(from).toBeLessThan(to);
          expect(to).toBeLessThanOrEqual(Math.min(full, content.layout.size - stripe * full));
          for (let i = from; i < to; i += 1) covered.push(offset + stripe * full + i);
        }
        expect(covered).toEqual(Array.from({ length: end - start }, (_, i) => start + i));
      }),
    );
  });
});

describe('cutting pieces', () => {
  it('gives the same bytes as cutting them joined', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 10 })), fc.nat({ max: 60 }), fc.nat({ max: 60 }), (pieces, from, to) => {
        expect(equal(concat(...cut(pieces, from, to)), concat(...pieces).slice(from, Math.max(from, to)))).toBe(true);
      }),
    );
  });
});

describe('a part table', () => {
  const geometry = { n: 6, f: 1, k: 4 };
  const part = { contentId: new Uint8Array(32), size: 10, n: 6, k: 4, cellBytes: 64, salt: new Uint8Array(16) };
  const open = (parts: unknown, size: number = 20) =>
    openTable(geometry, { size } as Manifest, encode(parts), new Uint8Array(32));

  it('is read into contents with a key each', () => {
    const other = { ...part, salt: new Uint8Array(16).fill(1) };
    const opened = open([part, other]);
    if (!opened.ok) throw new Error(opened.reason);
    const [first, second] = opened.segments;
    expect(first?.dataKey()).toEqual(partKey(new Uint8Array(32), part.salt));
    expect(first?.dataKey()).not.toEqual(second?.dataKey());
  });

  it.each([
    ['parts that do not add up', [part], 20],
    ['a part of another n', [{ ...part, n: 5 }, part], 20],
    ['a part that needs more cells than correct nodes hold', [{ ...part, k: 5 }, part], 20],
    ['no parts', [], 0],
    ['something else', { parts: [part, part] }, 20],
  ])('is refused with %s', (_name, parts, size) => {
    expect(open(parts, size).ok).toBe(false);
  });
});
