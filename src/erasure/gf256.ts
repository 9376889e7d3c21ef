/**
 * The field GF(2^8) with the polynomial x^8 + x^4 + x^3 + x^2 + 1 (0x11d), in which the erasure code computes
 * (protocol 4.1). Addition is XOR; 2 generates the multiplicative group, so a table of powers of 2 and its
 * inverse give products. Everything here works on public values: table look-ups are not constant time and
 * need not be, because only ciphertext is coded.
 */

const POLYNOMIAL = 0x11d;
const ORDER = 255;

const EXP = new Uint8Array(2 * ORDER);
const LOG = new Uint8Array(256);
{
  let power = 1;
  for (let exponent = 0; exponent < ORDER; exponent += 1) {
    EXP[exponent] = power;
    EXP[exponent + ORDER] = power;
    LOG[power] = exponent;
    power <<= 1;
    if (power & 0x100) power ^= POLYNOMIAL;
  }
}

/** 2 to the power of `exponent` >= 0. */
export function powerOfTwo(exponent: number): number {
  return EXP[exponent % ORDER] ?? 0;
}

export function multiply(a: number, b: number): number {
  if (a === 0 || b === 0) return 0;
  return EXP[(LOG[a] ?? 0) + (LOG[b] ?? 0)] ?? 0;
}

/** The multiplicative inverse; throws RangeError for 0, which has none. */
export function inverse(a: number): number {
  if (a === 0) throw new RangeError('0 has no inverse');
  return EXP[ORDER - (LOG[a] ?? 0)] ?? 0;
}

/** All 256 products with `factor`, indexed by the other operand. */
export function productTable(factor: number): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, value) => multiply(factor, value));
}

/**
 * The products with the low and the high half of a byte: 32 bytes; product(x) = table[x & 15] ^ table[16 + (x
 * >> 4)].
 */
export function nibbleTable(factor: number): Uint8Array {
  return Uint8Array.from({ length: 32 }, (_, i) => multiply(factor, i < 16 ? i : (i - 16) << 4));
}
