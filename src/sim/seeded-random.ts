/** Randomness of a simulated world: every stream follows from the seed and the name of who draws from it. */
import { assert } from '../base/assert.ts';
import { utf8 } from '../base/bytes.ts';
import type { Random } from '../base/ports.ts';
import { sha256 } from '../crypto/primitives.ts';
import { SeededBits } from './seeded-bits.ts';

export class SeededRandom implements Random {
  readonly #name: string;
  readonly #bits: SeededBits;

  constructor(name: string) {
    this.#name = name;
    const [a = 0, b = 0, c = 0, d = 0] = sha256(utf8(name));
    this.#bits = new SeededBits((a << 24) | (b << 16) | (c << 8) | d);
  }

  /** An independent stream: what is drawn from one does not change what another gives. */
  fork(name: string): SeededRandom {
    return new SeededRandom(`${this.#name}/${name}`);
  }

  bytes(count: number): Uint8Array {
    return Uint8Array.from({ length: count }, () => this.#bits.below(256));
  }

  /** An integer in [0, limit). */
  below(limit: number): number {
    return this.#bits.below(limit);
  }

  /** A number in [0, 1). */
  fraction(): number {
    return this.#bits.below(1 << 30) / (1 << 30);
  }

  /** True with this probability. */
  chance(probability: number): boolean {
    return this.fraction() < probability;
  }

  pick<T>(items: readonly T[]): T {
    const picked = items[this.below(items.length)];
    assert(picked !== undefined, 'there is something to pick from');
    return picked;
  }

  /** All of them, in a random order. */
  shuffled<T>(items: readonly T[]): T[] {
    const out = [...items];
    for (let i = out.length - 1; i > 0; i -= 1) {
      const j = this.below(i + 1);
      const [a, b] = [out[i], out[j]];
      assert(a !== undefined && b !== undefined, 'both are there');
      out[i] = b;
      out[j] = a;
    }
    return out;
  }

  /** Mostly near `mean`, now and then many times it: an exponential distribution. */
  around(mean: number): number {
    return -mean * Math.log(1 - this.fraction());
  }
}
