/**
 * The contents of a run. Each names the write that it belongs to, so that every byte that is read is
 * recognised, whichever key it was copied to, and so is its ETag.
 */
import { concat, equal, fromUtf8, hex, utf8 } from '../base/bytes.ts';
import { incremental } from '../crypto/primitives.ts';
import type { IncomingContent } from '../gateway/s3/port/content.ts';
import { SeededRandom } from './seeded-random.ts';

const CHUNK_BYTES = 64 * 1024;

export class Contents {
  readonly #bytes = new Map<string, Uint8Array>();
  readonly #byEtag = new Map<string, string>();
  /** How many ETags each has. */
  readonly #tags = new Map<string, number>();
  /** What was read that nobody wrote. */
  readonly broken: string[] = [];

  /** The bytes of the write of this name, which are about so many. */
  make(name: string, size: number): Uint8Array {
    const bytes = concat(utf8(`${name}\n`), filling(name, size));
    this.#bytes.set(name, bytes);
    this.name(md5(bytes), name);
    return bytes;
  }

  /** The write is also known by this ETag from now on. */
  name(etag: string, name: string): void {
    this.#byEtag.set(etag, name);
    this.#tags.set(name, (this.#tags.get(name) ?? 0) + 1);
  }

  /** A copy of what was uploaded in parts may have another ETag than the original. */
  hasTwoTags(name: string | null): boolean {
    return name !== null && (this.#tags.get(name) ?? 0) > 1;
  }

  byTag(etag: string): string {
    return this.#byEtag.get(etag) ?? this.#unknown(`a version with ETag ${etag}`);
  }

  recognise(bytes: Uint8Array): string {
    const name = fromUtf8(bytes.subarray(0, Math.max(0, bytes.indexOf(0x0a))));
    const expected = this.#bytes.get(name);
    return expected !== undefined && equal(expected, bytes) ? name : this.#unknown(`${bytes.length} bytes that nobody wrote`);
  }

  #unknown(what: string): string {
    this.broken.push(`${what} were read`);
    return what;
  }
}

/** Bytes on their way in, as the front hands them down. */
export function incoming(bytes: Uint8Array): IncomingContent {
  let isRead = false;
  async function* chunks(): AsyncGenerator<Uint8Array, void> {
    for (let at = 0; at < bytes.length; at += CHUNK_BYTES) yield await Promise.resolve(bytes.slice(at, at + CHUNK_BYTES));
    isRead = true;
  }
  return {
    size: bytes.length,
    bytes: chunks(),
    seal: () => {
      if (!isRead) throw new Error('sealed before the content ended');
      return { etag: md5(bytes), checksum: undefined };
    },
  };
}

export function md5(bytes: Uint8Array): string {
  const state = incremental('md5');
  state.update(bytes);
  return hex(state.digest());
}

/** Bytes that follow from a name. */
function filling(name: string, size: number): Uint8Array {
  const words = new Uint32Array(Math.ceil(size / 4));
  let state = 1 + new SeededRandom(name).below(1 << 30);
  for (let i = 0; i < words.length; i += 1) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[i] = state;
  }
  return new Uint8Array(words.buffer, 0, size);
}
