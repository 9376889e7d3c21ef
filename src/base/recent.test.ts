import { describe, expect, it } from 'vitest';
import { RecentBytes } from './recent.ts';

describe('recent byte strings', () => {
  it('forgets the least recently used when it is full', () => {
    const recent = new RecentBytes(10);
    recent.put('a', new Uint8Array(4));
    recent.put('b', new Uint8Array(4));
    expect(recent.get('a')).toHaveLength(4);
    recent.put('c', new Uint8Array(4));
    expect([recent.get('a'), recent.get('b'), recent.get('c')].map((v) => v?.length)).toEqual([4, undefined, 4]);
  });

  it('keeps a copy, counts a replaced value once, and holds nothing larger than itself', () => {
    const recent = new RecentBytes(4);
    const bytes = Uint8Array.of(1, 2);
    recent.put('a', bytes);
    bytes[0] = 9;
    expect(recent.get('a')).toEqual(Uint8Array.of(1, 2));
    for (let i = 0; i < 10; i += 1) recent.put('a', Uint8Array.of(i, i, i, i));
    expect(recent.get('a')).toEqual(Uint8Array.of(9, 9, 9, 9));
    recent.put('b', new Uint8Array(5));
    expect(recent.get('b')).toBeUndefined();
  });
});
