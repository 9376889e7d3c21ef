/**
 * Decoder of `aws-chunked` bodies: chunks of `hex-size[;chunk-signature=...]`, content, then an empty chunk
 * and, where announced, one trailer with a checksum. It is pushed bytes as they arrive and gives content back
 * at once, holding at most one line. Signed chunks form a chain that begins at the request's signature;
 * content is handed on before its chunk's signature is known, which is sound because nothing commits before
 * `end`.
 */
import { assert } from '../../../base/assert.ts';
import { EMPTY, fromHex, hex, mapKey, utf8 } from '../../../base/bytes.ts';
import { hmacSha256, incremental, sha256, timingSafeEqual } from '../../../crypto/primitives.ts';
import type { IncrementalHash } from '../../../crypto/primitives.ts';
import { S3Error } from '../http/errors.ts';
import type { ChunkSigning } from '../auth/sigv4.ts';

/** The longest chunk header is 16 digits, ";chunk-signature=" and 64 digits. */
const CHUNK_HEADER_BYTES_MAX = 128;
const TRAILER_LINE_BYTES_MAX = 1024;
const SIGNATURE_EXTENSION = ';chunk-signature=';
const TRAILER_SIGNATURE = 'x-amz-trailer-signature';
const EMPTY_HASH = hex(sha256(EMPTY));

const CR = 0x0d;
const LF = 0x0a;

export interface AwsChunkedOptions {
  /** x-amz-decoded-content-length: the content must have exactly so many bytes. */
  readonly size: number;
  readonly signing: ChunkSigning | undefined;
  /** The one trailer announced by x-amz-trailer, lower-case; undefined when there is none. */
  readonly trailer: string | undefined;
}

type State = 'header' | 'content' | 'content-end' | 'trailer' | 'done';

export class AwsChunkedDecoder {
  readonly #options: AwsChunkedOptions;
  #state: State = 'header';
  #line = '';
  /** Content bytes still to come in this chunk, and in the whole body. */
  #chunkLeft = 0;
  #left: number;
  #hash: IncrementalHash | undefined;
  #claimed = '';
  #previous: string;
  #trailerValue: string | undefined;
  #trailerSigned = false;

  constructor(options: AwsChunkedOptions) {
    this.#options = options;
    this.#left = options.size;
    this.#previous = options.signing?.seed ?? '';
  }

  /** Content found in `bytes`, as views of it. Throws S3Error for anything malformed or wrongly signed. */
  push(bytes: Uint8Array): Uint8Array[] {
    const content: Uint8Array[] = [];
    let at = 0;
    while (at < bytes.length) {
      if (this.#state === 'content') {
        const piece = bytes.subarray(at, at + this.#chunkLeft);
        at += piece.length;
        this.#take(piece);
        content.push(piece);
      } else if (this.#state === 'done') {
        throw malformedChunk('There are bytes after the last chunk.');
      } else {
        at = this.#readLine(bytes, at);
      }
    }
    return content;
  }

  /**
   * Call when the body ended. The trailer's value, if one was announced. Throws S3Error when anything is
   * missing.
   */
  end(): string | undefined {
    if (this.#state !== 'done') throw new S3Error('IncompleteBody');
    return this.#trailerValue;
  }

  #take(piece: Uint8Array): void {
    this.#hash?.update(piece);
    this.#chunkLeft -= piece.length;
    this.#left -= piece.length;
    if (this.#chunkLeft > 0) return;
    if (this.#hash !== undefined) this.#verifyChunk(hex(this.#hash.digest()));
    this.#hash = undefined;
    this.#state = 'content-end';
  }

  /** Collects up to and including the next line feed; returns where it stopped. */
  #readLine(bytes: Uint8Array, from: number): number {
    const max = this.#state === 'trailer' ? TRAILER_LINE_BYTES_MAX : CHUNK_HEADER_BYTES_MAX;
    const found = bytes.indexOf(LF, from);
    const to = found < 0 ? bytes.length : found + 1;
    if (this.#line.length + (to - from) > max)
      throw this.#malformed('A line of the chunked body is too long.');
    this.#line += mapKey(bytes.subarray(from, to));
    if (found >= 0) {
      const line = this.#line;
      this.#line = '';
      this.#onLine(line);
    }
    return to;
  }

  #onLine(line: string): void {
    const ended = line.charCodeAt(line.length - 2) === CR;
    // A signed trailer line may end in a bare line feed: S3's own description and some clients write it so.
    const bare = this.#state === 'trailer' && this.#options.signing !== undefined;
    if (!ended && !bare) throw this.#malformed('A line does not end in CR LF.');
    const text = line.slice(0, ended ? -2 : -1);
    if (this.#state === 'header') this.#onHeader(text);
    else if (this.#state === 'content-end') {
      if (text !== '') throw malformedChunk('A chunk is longer than it says.');
      this.#state = 'header';
    } else this.#onTrailer(text);
  }

  #onHeader(text: string): void {
    const { signing, trailer } = this.#options;
    const match = /^([0-9a-fA-F]{1,16})(?:;chunk-signature=([0-9a-f]{64}))?$/.exec(text);
    if (match === null) throw malformedChunk();
    const size = Number.parseInt(match[1] ?? '', 16);
    const signature = match[2];
    if ((signature === undefined) !== (signing === undefined))
      throw malformedChunk(`Each chunk must${signing ? '' : ' not'} have ${SIGNATURE_EXTENSION}.`);
    if (size > this.#left) throw malformedChunk('The chunks hold more than x-amz-decoded-content-length.');
    this.#claimed = signature ?? '';
    if (size === 0) {
      if (this.#left > 0) throw new S3Error('IncompleteBody');
      if (signing !== undefined) this.#verifyChunk(EMPTY_HASH);
      this.#state = 'trailer';
      this.#trailerSigned = signing === undefined || trailer === undefined;
      return;
    }
    this.#chunkLeft = size;
    this.#hash = signing === undefined ? undefined : incremental('sha256');
    this.#state = 'content';
  }

  #onTrailer(text: string): void {
    const { trailer } = this.#options;
    const missing = trailer !== undefined && this.#trailerValue === undefined;
    if (text === '') {
      if (!missing && this.#trailerSigned) this.#state = 'done';
      // The bare form writes an empty line between the trailer and its signature.
      else if (missing || this.#options.signing === undefined)
        throw malformedTrailer('The announced trailer is missing.');
      return;
    }
    const colon = text.indexOf(':');
    const name = text.slice(0, colon).toLowerCase();
    const value = text.slice(colon + 1).trim();
    if (colon > 0 && missing && name === trailer) this.#trailerValue = value;
    else if (colon > 0 && !missing && !this.#trailerSigned && name === TRAILER_SIGNATURE)
      this.#verifyTrailer(value);
    else throw malformedTrailer('There is a trailer that x-amz-trailer does not announce.');
  }

  #verifyChunk(contentHash: string): void {
    this.#verify('AWS4-HMAC-SHA256-PAYLOAD', [EMPTY_HASH, contentHash], this.#claimed);
    this.#previous = this.#claimed;
  }

  #verifyTrailer(claimed: string): void {
    if (!/^[0-9a-f]{64}$/.test(claimed)) throw malformedTrailer();
    const line = `${this.#options.trailer ?? ''}:${this.#trailerValue ?? ''}\n`;
    this.#verify('AWS4-HMAC-SHA256-TRAILER', [hex(sha256(utf8(line)))], claimed);
    this.#trailerSigned = true;
  }

  #verify(purpose: string, hashes: readonly string[], claimed: string): void {
    const { signing } = this.#options;
    assert(signing !== undefined, 'only signed chunks are verified');
    const toSign = [purpose, signing.timestamp, signing.scope, this.#previous, ...hashes].join('\n');
    if (!timingSafeEqual(hmacSha256(signing.key, utf8(toSign)), fromHex(claimed))) {
      throw new S3Error('SignatureDoesNotMatch', 'The signature of a chunk does not match.');
    }
  }

  #malformed(message: string): S3Error {
    return this.#state === 'trailer' ? malformedTrailer(message) : malformedChunk(message);
  }
}

function malformedChunk(message?: string): S3Error {
  return new S3Error('InvalidChunkSizeError', message);
}

function malformedTrailer(message?: string): S3Error {
  return new S3Error('MalformedTrailerError', message);
}
