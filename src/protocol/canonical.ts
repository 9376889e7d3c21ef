/**
 * Is this the one encoding of its value? A scan over the bytes of strict DAG-CBOR as Holdfast uses it: maps with text keys
 * in canonical order (shorter first, then bytewise) and none twice, arrays, byte strings, text, integers in their
 * shortest form up to 2^53-1, true, false and null; no floats, tags, undefined, indefinite lengths or bytes
 * left over. It says yes exactly when decoding and encoding again gives the same bytes, at a fraction of the
 * cost (a property test holds the two together), and it bounds the depth before the decoder recurses.
 */

export const DEPTH_MAX = 16;

const MAJOR_UNSIGNED = 0;
const MAJOR_NEGATIVE = 1;
const MAJOR_BYTES = 2;
const MAJOR_TEXT = 3;
const MAJOR_ARRAY = 4;
const MAJOR_MAP = 5;
const FALSE = 0xf4;
const NULL = 0xf6;

class Scanner {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  /** Passes one value; false when it is not canonical. */
  value(depth: number): boolean {
    if (depth > DEPTH_MAX || this.at >= this.#bytes.length) return false;
    const first = this.#bytes[this.at] ?? 0;
    const major = first >> 5;
    if (major === 7) {
      this.at += 1;
      return first >= FALSE && first <= NULL;
    }
    const argument = this.#argument(first & 31);
    if (argument < 0) return false;
    switch (major) {
      case MAJOR_UNSIGNED:
        return true;
      case MAJOR_NEGATIVE:
        return argument < Number.MAX_SAFE_INTEGER;
      case MAJOR_BYTES:
        return this.#skip(argument);
      case MAJOR_TEXT:
        return this.#text(argument);
      case MAJOR_ARRAY:
        for (let i = 0; i < argument; i += 1) if (!this.value(depth + 1)) return false;
        return true;
      case MAJOR_MAP:
        return this.#map(argument, depth);
      default:
        return false;
    }
  }

  #map(entries: number, depth: number): boolean {
    let from = -1;
    let to = -1;
    for (let i = 0; i < entries; i += 1) {
      const first = this.#bytes[this.at] ?? 0xff;
      if (first >> 5 !== MAJOR_TEXT) return false;
      const length = this.#argument(first & 31);
      const start = this.at;
      if (length < 0 || !this.#text(length)) return false;
      if (from >= 0 && !this.#follows(from, to, start, this.at)) return false;
      from = start;
      to = this.at;
      if (!this.value(depth + 1)) return false;
    }
    return true;
  }

  /** Does the key at [from, to) stand strictly after the one at [before, end)? */
  #follows(before: number, end: number, from: number, to: number): boolean {
    if (to - from !== end - before) return to - from > end - before;
    for (let i = 0; i < to - from; i += 1) {
      const difference = (this.#bytes[from + i] ?? 0) - (this.#bytes[before + i] ?? 0);
      if (difference !== 0) return difference > 0;
    }
    return false;
  }

  /**
   * Text is well-formed UTF-8: a decoder would replace anything else, and read what nobody signed. It does not
   * begin with a byte order mark: the decoder drops that, and two encodings would give one value.
   */
  #text(length: number): boolean {
    const from = this.at;
    if (!this.#skip(length)) return false;
    if (this.#bytes[from] === 0xef && this.#bytes[from + 1] === 0xbb && this.#bytes[from + 2] === 0xbf && length >= 3) return false;
    for (let i = from; i < this.at; i += 1) {
      if ((this.#bytes[i] ?? 0) >= 0x80) return isUtf8(this.#bytes.subarray(from, this.at));
    }
    return true;
  }

  #skip(length: number): boolean {
    this.at += length;
    return this.at <= this.#bytes.length;
  }

  /** The head's argument, in its shortest form, or -1. */
  #argument(info: number): number {
    const at = this.at + 1;
    const size = info < 24 ? 0 : 2 ** (info - 24);
    if (info > 27 || at + size > this.#bytes.length) return -1;
    this.at = at + size;
    switch (size) {
      case 0:
        return info;
      case 1:
        return atLeast(this.#view.getUint8(at), 24);
      case 2:
        return atLeast(this.#view.getUint16(at), 2 ** 8);
      case 4:
        return atLeast(this.#view.getUint32(at), 2 ** 16);
      default: {
        const high = this.#view.getUint32(at);
        if (high === 0 || high > 0x1f_ffff) return -1;
        return high * 2 ** 32 + this.#view.getUint32(at + 4);
      }
    }
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function isUtf8(bytes: Uint8Array): boolean {
  try {
    utf8.decode(bytes);
    return true;
  } catch {
    return false;
  }
}

function atLeast(value: number, least: number): number {
  return value >= least ? value : -1;
}

/** True iff the bytes are the canonical encoding of one value. Never throws. */
export function isCanonical(bytes: Uint8Array): boolean {
  const scanner = new Scanner(bytes);
  return scanner.value(0) && scanner.at === bytes.length;
}
