/** The contract of the Random port; every implementation runs it. It cannot show that bytes are unpredictable. */
import { describe, expect, it } from 'vitest';
import { hex } from '../base/bytes.ts';
import type { Random } from '../base/ports.ts';

/** `make` gives streams that must differ from each other. */
export function randomContract(name: string, make: (stream: string) => Random): void {
  describe(`Random over ${name}`, () => {
    it('gives as many bytes as asked for, and they are the caller\'s', () => {
      const random = make('a');
      for (const count of [0, 1, 2, 16, 255, 256, 4_096, 65_537]) {
        const [one, other] = [random.bytes(count), random.bytes(count)];
        expect([one.length, other.length]).toEqual([count, count]);
        const before = hex(other);
        one.fill(0xff);
        expect(hex(other)).toBe(before);
        // A greater array around the bytes would show its other bytes to whoever is given them.
        expect(one.buffer.byteLength).toBe(count);
      }
    });

    it('never gives the same sixteen bytes twice, within a stream or from another', () => {
      const streams = [make('a'), make('b'), make('ab')];
      const seen = new Set<string>();
      for (let i = 0; i < 3_000; i += 1) seen.add(hex((streams[i % 3] as Random).bytes(16)));
      expect(seen.size).toBe(3_000);
    });

    it('gives every byte, and every bit, about as often as any other', () => {
      const bytes = make('a').bytes(1 << 16);
      const counts = new Array<number>(256).fill(0);
      for (const byte of bytes) counts[byte] = (counts[byte] ?? 0) + 1;
      // 256 of each expected, with a deviation of 16: nine deviations are never seen by chance.
      expect(Math.min(...counts)).toBeGreaterThan(256 - 144);
      expect(Math.max(...counts)).toBeLessThan(256 + 144);
      for (let bit = 0; bit < 8; bit += 1) {
        const ones = bytes.reduce((sum, byte) => sum + ((byte >> bit) & 1), 0);
        expect(Math.abs(ones - (1 << 15))).toBeLessThan(9 * 128);
      }
      let repeats = 0;
      for (let i = 1; i < bytes.length; i += 1) if (bytes[i] === bytes[i - 1]) repeats += 1;
      expect(Math.abs(repeats - 256)).toBeLessThan(144);
    });
  });
}
