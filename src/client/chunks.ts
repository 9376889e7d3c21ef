/**
 * Cutting a stream of chunks of any size into runs of exact lengths, without copying: what turns a body into
 * stripes. The stream must hold exactly as many bytes as were announced.
 */
import { AssertionError } from '../base/assert.ts';
import { OperationError } from '../base/errors.ts';

export class Chunks {
  readonly #source: AsyncIterator<Uint8Array>;
  #rest: Uint8Array | null = null;
  #ended = false;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /**
   * The next `bytes` bytes, in pieces. Throws BAD_ARGUMENT when the stream ends before, or as `fromSource`.
   */
  async take(bytes: number): Promise<Uint8Array[]> {
    const pieces: Uint8Array[] = [];
    let missing = bytes;
    while (missing > 0) {
      const chunk = await this.#next();
      if (chunk === null) throw otherSize('ended before');
      const piece = chunk.subarray(0, missing);
      pieces.push(piece);
      missing -= piece.length;
      this.#rest = piece.length < chunk.length ? chunk.subarray(piece.length) : null;
    }
    return pieces;
  }

  /** Asserts that nothing is left; reads to the end, because a source may check its content there. */
  async end(): Promise<void> {
    const chunk = await this.#next();
    if (chunk !== null) throw otherSize('goes on after');
  }

  /** Tells the source that no more is wanted. Its own failure to stop does not matter any more. */
  async cancel(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    try {
      await this.#source.return?.();
    } catch {
      return;
    }
  }

  /** The next chunk that is not empty, or null at the end. */
  async #next(): Promise<Uint8Array | null> {
    const rest = this.#rest;
    this.#rest = null;
    if (rest !== null && rest.length > 0) return rest;
    while (!this.#ended) {
      const { done, value } = await fromSource(() => this.#source.next());
      if (done === true) this.#ended = true;
      else if (value.length > 0) return value;
    }
    return null;
  }
}

function otherSize(how: string): OperationError {
  return new OperationError('BAD_ARGUMENT', `The body ${how} its announced size.`);
}

/**
 * Runs a step of the content's source. An OperationError of the source goes through; anything else becomes
 * CANCELLED with the source's own error as `cause`, so that it is told apart from a fault of this client.
 */
export async function fromSource<T>(step: () => Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (error) {
    if (error instanceof OperationError || error instanceof AssertionError) throw error;
    throw new OperationError('CANCELLED', 'The source of the content withdrew it.', { cause: error });
  }
}
