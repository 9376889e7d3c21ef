import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { concat } from '../base/bytes.ts';
import { OperationError } from '../base/errors.ts';
import { Chunks, fromSource } from './chunks.ts';

async function* streamOf(chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array, void> {
  yield* chunks;
}

describe('cutting a stream', () => {
  it('gives the same bytes in runs of the lengths asked for, however the stream is chunked', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.uint8Array({ maxLength: 20 }), { maxLength: 12 }),
        fc.array(fc.nat({ max: 15 }), { maxLength: 20 }),
        async (source, lengths) => {
          const all = concat(...source);
          const chunks = new Chunks(streamOf(source));
          let at = 0;
          for (const length of lengths) {
            if (at + length > all.length) break;
            const run = concat(...(await chunks.take(length)));
            expect(run).toEqual(all.slice(at, at + length));
            at += length;
          }
          if (at === all.length) await chunks.end();
          else await expect(chunks.end()).rejects.toMatchObject({ code: 'BAD_ARGUMENT' });
        },
      ),
    );
  });

  it('says so when the stream ends too early', async () => {
    const chunks = new Chunks(streamOf([new Uint8Array(3)]));
    await expect(chunks.take(4)).rejects.toMatchObject({ code: 'BAD_ARGUMENT' });
  });

  it('tells the source once that no more is wanted', async () => {
    let returned = 0;
    const source = {
      [Symbol.asyncIterator]: () => ({
        next: () => Promise.resolve({ done: false as const, value: Uint8Array.of(1) }),
        return: () => {
          returned += 1;
          return Promise.resolve({ done: true as const, value: undefined });
        },
      }),
    };
    const chunks = new Chunks(source);
    await chunks.take(1);
    await chunks.cancel();
    await chunks.cancel();
    expect(returned).toBe(1);
    await chunks.end();
  });
});

describe('a failing source', () => {
  it('keeps its own OperationError, and becomes the cause of CANCELLED otherwise', async () => {
    const own = new OperationError('TOO_LARGE', 'too large');
    await expect(fromSource(() => Promise.reject(own))).rejects.toBe(own);
    const other = new Error('socket closed');
    await expect(fromSource(() => Promise.reject(other))).rejects.toMatchObject({ code: 'CANCELLED', cause: other });
  });
});
