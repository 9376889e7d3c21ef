/**
 * Cyclic redundancy checks as S3 names them: CRC32 (zlib), CRC32C (Castagnoli) and CRC64NVME. They find
 * transport accidents only; nothing of the protocol rests on them. CRC32 uses the platform's, the others
 * eight tables, one for each byte of a step ("slicing by eight", Kounavis and Berry 2008). All registers are
 * reflected, start with ones and are complemented at the end. `combine` gives the check of two joined
 * strings from the checks of each and the length of the second, for whole-object checks of multipart uploads.
 */
import { crc32 as platformCrc32 } from 'node:zlib';

/** Polynomials with the bits reversed, the lowest power in the highest bit. */
const CRC32_POLYNOMIAL = 0xedb88320n;
const CRC32C_POLYNOMIAL = 0x82f63b78n;
const CRC64NVME_POLYNOMIAL = 0x9a6c9329ac4bc9b5n;

const STEP_BYTES = 8;

/** One check under way; `value` is that of all bytes given so far. */
export interface Crc {
  update(bytes: Uint8Array): void;
  /** Big-endian, as S3 writes it in base64: 4 or 8 bytes. */
  digest(): Uint8Array;
}

function tables32(polynomial: number): Int32Array {
  const tables = new Int32Array(STEP_BYTES * 256);
  for (let byte = 0; byte < 256; byte += 1) {
    let value = byte;
    for (let bit = 0; bit < 8; bit += 1) value = (value & 1) === 0 ? value >>> 1 : (value >>> 1) ^ polynomial;
    tables[byte] = value;
  }
  for (let i = 256; i < tables.length; i += 1) {
    const before = tables[i - 256] ?? 0;
    tables[i] = (before >>> 8) ^ (tables[before & 0xff] ?? 0);
  }
  return tables;
}

/** Continues a 32-bit check over `bytes`; exported so that the test holds the platform's CRC32 against it. */
export function continueCrc32(tables: Int32Array, start: number, bytes: Uint8Array): number {
  const t = tables;
  let crc = ~start;
  let i = 0;
  for (const last = bytes.length - STEP_BYTES; i <= last; i += STEP_BYTES) {
    crc ^= bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24);
    crc =
      t[1792 + (crc & 0xff)]! ^
      t[1536 + ((crc >>> 8) & 0xff)]! ^
      t[1280 + ((crc >>> 16) & 0xff)]! ^
      t[1024 + (crc >>> 24)]! ^
      t[768 + bytes[i + 4]!]! ^
      t[512 + bytes[i + 5]!]! ^
      t[256 + bytes[i + 6]!]! ^
      t[bytes[i + 7]!]!;
  }
  for (; i < bytes.length; i += 1) crc = (crc >>> 8) ^ t[(crc ^ bytes[i]!) & 0xff]!;
  return ~crc >>> 0;
}

export const CRC32_TABLES = tables32(Number(CRC32_POLYNOMIAL));
const CRC32C_TABLES = tables32(Number(CRC32C_POLYNOMIAL));

/** The same tables for 64 bits, as a low and a high half. */
interface Tables64 {
  readonly low: Int32Array;
  readonly high: Int32Array;
}

function tables64(polynomial: bigint): Tables64 {
  const low = new Int32Array(STEP_BYTES * 256);
  const high = new Int32Array(STEP_BYTES * 256);
  for (let byte = 0; byte < 256; byte += 1) {
    let value = BigInt(byte);
    for (let bit = 0; bit < 8; bit += 1)
      value = (value & 1n) === 0n ? value >> 1n : (value >> 1n) ^ polynomial;
    low[byte] = Number(value & 0xffffffffn);
    high[byte] = Number(value >> 32n);
  }
  for (let i = 256; i < low.length; i += 1) {
    const beforeLow = low[i - 256] ?? 0;
    const beforeHigh = high[i - 256] ?? 0;
    low[i] = ((beforeLow >>> 8) | (beforeHigh << 24)) ^ (low[beforeLow & 0xff] ?? 0);
    high[i] = (beforeHigh >>> 8) ^ (high[beforeLow & 0xff] ?? 0);
  }
  return { low, high };
}

const CRC64NVME_TABLES = tables64(CRC64NVME_POLYNOMIAL);

class Crc64Nvme implements Crc {
  #low = -1;
  #high = -1;

  update(bytes: Uint8Array): void {
    const { low: tl, high: th } = CRC64NVME_TABLES;
    let low = this.#low;
    let high = this.#high;
    let i = 0;
    for (const last = bytes.length - STEP_BYTES; i <= last; i += STEP_BYTES) {
      low ^= bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24);
      high ^= bytes[i + 4]! | (bytes[i + 5]! << 8) | (bytes[i + 6]! << 16) | (bytes[i + 7]! << 24);
      const a = 1792 + (low & 0xff);
      const b = 1536 + ((low >>> 8) & 0xff);
      const c = 1280 + ((low >>> 16) & 0xff);
      const d = 1024 + (low >>> 24);
      const e = 768 + (high & 0xff);
      const f = 512 + ((high >>> 8) & 0xff);
      const g = 256 + ((high >>> 16) & 0xff);
      const h = high >>> 24;
      low = tl[a]! ^ tl[b]! ^ tl[c]! ^ tl[d]! ^ tl[e]! ^ tl[f]! ^ tl[g]! ^ tl[h]!;
      high = th[a]! ^ th[b]! ^ th[c]! ^ th[d]! ^ th[e]! ^ th[f]! ^ th[g]! ^ th[h]!;
    }
    for (; i < bytes.length; i += 1) {
      const entry = (low ^ bytes[i]!) & 0xff;
      low = ((low >>> 8) | (high << 24)) ^ tl[entry]!;
      high = (high >>> 8) ^ th[entry]!;
    }
    this.#low = low;
    this.#high = high;
  }

  digest(): Uint8Array {
    const out = new Uint8Array(8);
    const view = new DataView(out.buffer);
    view.setInt32(0, ~this.#high);
    view.setInt32(4, ~this.#low);
    return out;
  }
}

function crc32With(step: (bytes: Uint8Array, value: number) => number): Crc {
  let value = 0;
  return {
    update(bytes) {
      value = step(bytes, value);
    },
    digest() {
      const out = new Uint8Array(4);
      new DataView(out.buffer).setUint32(0, value);
      return out;
    },
  };
}

export const crc32 = (): Crc => crc32With(platformCrc32);
export const crc32c = (): Crc => crc32With((bytes, value) => continueCrc32(CRC32C_TABLES, value, bytes));
export const crc64nvme = (): Crc => new Crc64Nvme();

/** Product of two polynomials modulo the check's, all with the lowest power in the highest bit. */
function multiply(a: bigint, b: bigint, polynomial: bigint, bits: bigint): bigint {
  let product = 0n;
  let shifted = b;
  for (let bit = bits - 1n; bit >= 0n; bit -= 1n) {
    if (((a >> bit) & 1n) === 1n) product ^= shifted;
    shifted = (shifted & 1n) === 0n ? shifted >> 1n : (shifted >> 1n) ^ polynomial;
  }
  return product;
}

function toBigInt(bytes: Uint8Array): bigint {
  let value = 0n;
  for (const byte of bytes) value = (value << 8n) | BigInt(byte);
  return value;
}

/**
 * The check of `first` followed by `second` is first * x^(8 * secondBytes) + second: both complements cancel.
 * The power is taken by squaring, so the cost grows with the logarithm of the length.
 */
function combine(
  polynomial: bigint,
  bits: bigint,
  first: Uint8Array,
  second: Uint8Array,
  secondBytes: number,
): Uint8Array {
  const one = 1n << (bits - 1n);
  let power = one;
  let square = one >> 8n;
  for (let left = BigInt(secondBytes); left > 0n; left >>= 1n) {
    if ((left & 1n) === 1n) power = multiply(power, square, polynomial, bits);
    square = multiply(square, square, polynomial, bits);
  }
  const value = multiply(toBigInt(first), power, polynomial, bits) ^ toBigInt(second);
  const out = new Uint8Array(Number(bits / 8n));
  for (let i = 0; i < out.length; i += 1) out[i] = Number((value >> (bits - 8n * BigInt(i + 1))) & 0xffn);
  return out;
}

export type CrcCombine = (first: Uint8Array, second: Uint8Array, secondBytes: number) => Uint8Array;

export const combineCrc32: CrcCombine = (a, b, bytes) => combine(CRC32_POLYNOMIAL, 32n, a, b, bytes);
export const combineCrc32c: CrcCombine = (a, b, bytes) => combine(CRC32C_POLYNOMIAL, 32n, a, b, bytes);
export const combineCrc64nvme: CrcCombine = (a, b, bytes) => combine(CRC64NVME_POLYNOMIAL, 64n, a, b, bytes);
