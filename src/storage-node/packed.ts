/**
 * Rows of fixed fields in one byte string: how a snapshot holds what there is a million of. A map for each
 * would take seconds to decode at every start. Integers are big-endian; whole numbers up to 2^53-1 take eight
 * bytes, others four; -1 is allowed where `index` is used.
 */
import { OperationError } from '../base/errors.ts';

const TWO_32 = 2 ** 32;

export class PackedWriter {
  #bytes = new Uint8Array(64 * 1024);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  u32(value: number): void {
    this.#room(4);
    this.#view.setUint32(this.#length, value);
    this.#length += 4;
  }

  uint(value: number): void {
    this.u32(Math.floor(value / TWO_32));
    this.u32(value % TWO_32);
  }

  /** A log index, or -1 for none. */
  index(value: number): void {
    this.uint(value + 1);
  }

  bytes(bytes: Uint8Array): void {
    this.#room(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  /** Bytes with their length before them. */
  sized(bytes: Uint8Array): void {
    this.u32(bytes.length);
    this.bytes(bytes);
  }

  done(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  #room(bytes: number): void {
    if (this.#length + bytes <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(2 * this.#bytes.length, this.#length + bytes));
    grown.set(this.#bytes);
    this.#bytes = grown;
    this.#view = new DataView(grown.buffer);
  }
}

/** Reads what `PackedWriter` wrote. Throws CORRUPT where the bytes end too early. */
export class PackedReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  get isDone(): boolean {
    return this.#at === this.#bytes.length;
  }

  u32(): number {
    this.#require(4);
    this.#at += 4;
    return this.#view.getUint32(this.#at - 4);
  }

  uint(): number {
    const value = this.u32() * TWO_32 + this.u32();
    if (!Number.isSafeInteger(value)) throw malformed();
    return value;
  }

  index(): number {
    return this.uint() - 1;
  }

  /** A view of the next bytes. */
  bytes(count: number): Uint8Array {
    this.#require(count);
    this.#at += count;
    return this.#bytes.subarray(this.#at - count, this.#at);
  }

  sized(): Uint8Array {
    return this.bytes(this.u32());
  }

  #require(count: number): void {
    if (this.#at + count > this.#bytes.length) throw malformed();
  }
}

export function malformed(): OperationError {
  return new OperationError('CORRUPT', 'A snapshot holds malformed rows.');
}
