import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CELL_BYTES_DEFAULT } from '../../src/base/limits.ts';
import type { BucketAuthority } from '../../src/client/write.ts';
import {
  bytesContent,
  clientOf,
  collectBytes,
  committed,
  contentOf,
  get,
  getBytes,
  keyIdOf,
  nextOpId,
  put,
  putRecord,
  recordOf,
  sameBytes,
} from '../world/client-world.ts';
import type { TestClient } from '../world/client-world.ts';
import { World } from '../world/world.ts';

describe.each([
  { n: 4, f: 1, k: 2 },
  { n: 6, f: 1, k: 4 },
])('a cluster of n = $n, f = $f, k = $k without faults', ({ n, f, k }) => {
  let world: World;
  let writer: TestClient;
  let bucket: BucketAuthority;
  const stripe = k * CELL_BYTES_DEFAULT - 16;

  beforeAll(async () => {
    world = await World.start({ n, f, k });
    writer = clientOf(world);
    bucket = await putRecord(world, writer, recordOf(world, 'basic'));
  });
  afterAll(async () => {
    await writer.client.close();
    await world.stop();
  });

  it.each([0, 1, 4079, 4080, 4081, CELL_BYTES_DEFAULT - 1, CELL_BYTES_DEFAULT, CELL_BYTES_DEFAULT + 1])(
    'gives back %i bytes as they were written',
    async (size) => {
      const bytes = contentOf(`size ${size}`, size);
      const { signed, ackedSlots } = committed(await put(writer, bucket, `size ${size}`, bytes));
      expect(signed.manifest.kind).toBe(size <= 4080 ? 'INLINE' : 'DATA');
      expect(ackedSlots.length).toBeGreaterThanOrEqual(2 * f + 1);
      expect(sameBytes(await getBytes(writer, `size ${size}`), bytes)).toBe(true);
    },
  );

  it.each([stripe - 1, stripe, stripe + 1, 3 * stripe, 3 * stripe + 1, 9 * stripe + 12_345])(
    'gives back %i bytes in several stripes, whole and in ranges',
    async (size) => {
      const key = `stripes ${size}`;
      const bytes = contentOf(key, size);
      committed(await put(writer, bucket, key, bytes));
      expect(sameBytes(await getBytes(writer, key), bytes)).toBe(true);
      for (const [start, end] of [[0, 1], [size - 1, size], [stripe - 1, Math.min(size, stripe + 1)], [7, 7], [5, size - 5]] as const) {
        const result = await get(writer, key, { start, end });
        if (result.kind !== 'content') throw new Error('no content');
        expect(sameBytes(await collectBytes(result.stream), bytes.subarray(start, end))).toBe(true);
      }
    },
  );

  it('reads a replaced version never again, and a deleted one not at all', async () => {
    expect((await get(writer, 'changing')).kind).toBe('absent');
    committed(await put(writer, bucket, 'changing', contentOf('first', 10_000)));
    committed(await put(writer, bucket, 'changing', contentOf('second', 20_000)));
    expect(sameBytes(await getBytes(writer, 'changing'), contentOf('second', 20_000))).toBe(true);
    const tombstone = { kind: 'tombstone' as const, wrappedKey: new Uint8Array(0), encMeta: new Uint8Array(0) };
    committed(await put(writer, bucket, 'changing', new Uint8Array(0), { content: tombstone }));
    const gone = await get(writer, 'changing');
    expect(gone.kind === 'absent' && gone.tombstone?.signed.manifest.stamp.counter).toBe(3);
    committed(await put(writer, bucket, 'changing', contentOf('third', 5)));
    expect(sameBytes(await getBytes(writer, 'changing'), contentOf('third', 5))).toBe(true);
  });

  it('writes a journal entry before each write and settles it after', async () => {
    const before = writer.journal.begun.length;
    committed(await put(writer, bucket, 'journalled', contentOf('j', 100)));
    const attempt = writer.journal.begun[before];
    expect(attempt?.keyId).toEqual(keyIdOf('journalled'));
    await expect.poll(() => writer.journal.settledAttempts.includes(attempt as never)).toBe(true);
  });

  it('commits what a caller withdraws never, and says so', async () => {
    const cause = new Error('checksum differs');
    const { content } = bytesContent(contentOf('withdrawn', 900_000), { finish: () => Promise.reject(cause) });
    const result = await put(writer, bucket, 'withdrawn', new Uint8Array(0), { content });
    expect(result).toMatchObject({ outcome: 'rejected', error: { code: 'CANCELLED' } });
    expect(result.outcome === 'rejected' && result.error.cause).toBe(cause);
    expect((await get(writer, 'withdrawn')).kind).toBe('absent');
  });

  it.each([-1, +1])('refuses a body whose length is off by %i', async (off) => {
    const bytes = contentOf('wrong length', 1_000_000);
    const { content } = bytesContent(bytes, { size: bytes.length + off });
    const result = await put(writer, bucket, 'wrong length', bytes, { content });
    expect(result).toMatchObject({ outcome: 'rejected', error: { code: 'BAD_ARGUMENT' } });
  });

  it('passes a body that fails through as its cause', async () => {
    const cause = new Error('the client went away');
    async function* body(): AsyncGenerator<Uint8Array, void> {
      yield contentOf('part', 400_000);
      throw cause;
    }
    const { content } = bytesContent(new Uint8Array(0), { size: 2_000_000, body: body() });
    const result = await put(writer, bucket, 'broken body', new Uint8Array(0), { content });
    expect(result.outcome === 'rejected' && result.error.cause).toBe(cause);
  });

  it('builds on a guessed counter without asking, and recovers from a wrong guess', async () => {
    const first = committed(await put(writer, bucket, 'guess', contentOf('g1', 10), { predecessor: null }));
    expect(first.signed.manifest.stamp.counter).toBe(1);
    const { stamp } = first.signed.manifest;
    const second = committed(await put(writer, bucket, 'guess', contentOf('g2', 10), { predecessor: stamp }));
    expect(second.signed.manifest.stamp.counter).toBe(2);
    const other = clientOf(world);
    const third = committed(await put(other, bucket, 'guess', contentOf('g3', 900_000), { predecessor: null }));
    expect(third.superseded).toBe(false);
    expect(third.signed.manifest.stamp.counter).toBe(3);
    expect(other.journal.abandonedAttempts).toHaveLength(1);
    expect(sameBytes(await getBytes(writer, 'guess'), contentOf('g3', 900_000))).toBe(true);
    await other.client.close();
  });

  it('reads an object of parts, whole and across their borders', async () => {
    const pieces = [contentOf('p1', 2 * stripe + 7), contentOf('p2', 11), contentOf('p3', stripe)];
    const bytes = new Uint8Array(pieces.reduce((sum, p) => sum + p.length, 0));
    pieces.reduce((at, p) => (bytes.set(p, at), at + p.length), 0);
    const { partKey } = await import('../../src/client/read-plan.ts');
    const master = contentOf('master key', 32);
    const parts = [];
    for (const [index, piece] of pieces.entries()) {
      const salt = contentOf(`salt ${index}`, 16);
      const { content } = bytesContent(piece, { dataKey: partKey(master, salt), forceCells: true });
      const { signed } = committed(await put(writer, bucket, `part ${index}`, piece, { content }));
      const { contentId, size, cellBytes } = signed.manifest;
      parts.push({ contentId, size, n, k, cellBytes, salt });
    }
    const table = {
      kind: 'table' as const,
      size: bytes.length,
      parts,
      wrappedKey: master,
      encMeta: contentOf('meta', 20),
    };
    committed(await put(writer, bucket, 'multipart', bytes, { content: table, opId: nextOpId() }));
    expect(sameBytes(await getBytes(writer, 'multipart'), bytes)).toBe(true);
    const [start, end] = [2 * stripe + 5, 2 * stripe + 7 + 11 + 3];
    const ranged = await get(writer, 'multipart', { start, end });
    if (ranged.kind !== 'content') throw new Error('no content');
    expect(sameBytes(await collectBytes(ranged.stream), bytes.subarray(start, end))).toBe(true);
  });

  it('suspects nobody', () => {
    expect(writer.client.suspicions()).toEqual([]);
  });
});
