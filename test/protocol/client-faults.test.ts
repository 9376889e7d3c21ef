import { afterEach, describe, expect, it } from 'vitest';
import { CELL_BYTES_DEFAULT, REPLIES_OWED_MS } from '../../src/base/limits.ts';
import type { Clock } from '../../src/base/ports.ts';
import { compareStamps } from '../../src/protocol/stamp.ts';
import type { Request } from '../../src/protocol/messages.ts';
import {
  bytesContent,
  clientOf,
  collectBytes,
  committed,
  contentOf,
  get,
  getBytes,
  keyIdOf,
  put,
  putRecord,
  recordOf,
  sameBytes,
} from '../world/client-world.ts';
import { holding, swallowing, watching } from '../../src/sim/adversaries/liars.ts';
import { World } from '../world/world.ts';
import type { WorldOptions } from '../world/world.ts';

const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function start(options: WorldOptions = {}) {
  const world = await World.start(options);
  cleanups.push(() => world.stop());
  const open = (writer: number = 0, amend: Parameters<typeof clientOf>[2] = {}) => {
    const opened = clientOf(world, writer, amend);
    cleanups.push(() => opened.client.close());
    return opened;
  };
  const writer = open();
  const bucket = await putRecord(world, writer, recordOf(world, 'faults'));
  return { world, writer, bucket, open };
}

const STRIPE = 2 * CELL_BYTES_DEFAULT - 16;
const SIZES = [10, 100_000, 6 * STRIPE];

describe('up to f nodes down', () => {
  it.each([0, 1, 2, 3])('reads and writes go on when slot %i is killed', async (slot) => {
    const { world, writer, bucket, open } = await start();
    for (const size of SIZES) committed(await put(writer, bucket, `old ${size}`, contentOf(`old ${size}`, size)));
    await world.kill(slot);
    for (const size of SIZES) {
      committed(await put(writer, bucket, `new ${size}`, contentOf(`new ${size}`, size)));
      expect(sameBytes(await getBytes(writer, `old ${size}`), contentOf(`old ${size}`, size))).toBe(true);
      expect(sameBytes(await getBytes(open(), `new ${size}`), contentOf(`new ${size}`, size))).toBe(true);
    }
    expect(writer.client.suspicions()).toEqual([]);
    expect(writer.client.health()[slot]?.consecutiveFailures).toBeGreaterThan(0);
  });

  it('a node that refuses while it checks itself owes no signature for that, and is not suspected', async () => {
    const { world, writer, bucket, open } = await start();
    committed(await put(writer, bucket, 'key', contentOf('key', 10)));
    await world.kill(1);
    const node = await world.openNode(1);
    let laterMs = 0;
    const clock: Clock = {
      nowMs: () => world.clock.nowMs(),
      monotonicMs: () => world.clock.monotonicMs() + laterMs,
      after: (ms, task) => world.clock.after(ms, task),
      sleep: (ms, signal) => world.clock.sleep(ms, signal),
    };
    const reader = open(0, { clock });
    for (let reads = 0; reads < 5; reads += 1) await getBytes(reader, 'key');
    await node.boot();
    await world.kill(2);
    await getBytes(reader, 'key');
    await world.clock.sleep(10 * REPLIES_OWED_MS);
    laterMs = 60_000;
    await getBytes(reader, 'key');
    expect(reader.client.suspicions()).toEqual([]);
  });

  it('a silent node delays nobody for long, and is left out of uploads', async () => {
    const { world, bucket, open } = await start();
    const client = open(0, { deadlines: { lagMs: 300 } });
    world.network.drop('gateway-0', 'node-1');
    const before = performance.now();
    for (const size of SIZES) {
      committed(await put(client, bucket, `silent ${size}`, contentOf(`silent ${size}`, size)));
      expect(sameBytes(await getBytes(client, `silent ${size}`), contentOf(`silent ${size}`, size))).toBe(true);
    }
    expect(performance.now() - before).toBeLessThan(5_000);
    world.network.heal('gateway-0', 'node-1');
    for (const size of SIZES) {
      expect(sameBytes(await getBytes(open(), `silent ${size}`), contentOf(`silent ${size}`, size))).toBe(true);
    }
  });

  it('a node that dies in the middle of an upload becomes a hole, not a failure', async () => {
    const { world, writer, bucket, open } = await start();
    const bytes = contentOf('long', 8 * STRIPE);
    async function* body(): AsyncGenerator<Uint8Array, void> {
      yield bytes.subarray(0, 3 * STRIPE);
      await world.kill(2);
      yield bytes.subarray(3 * STRIPE);
    }
    const { content } = bytesContent(bytes, { body: body() });
    committed(await put(writer, bucket, 'long', bytes, { content }));
    await world.restart(2);
    expect(sameBytes(await getBytes(open(), 'long'), bytes)).toBe(true);
  });

  it('a reader goes on when a node dies in the middle of its stream', async () => {
    const { world, writer, bucket } = await start();
    const bytes = contentOf('stream', 12 * STRIPE);
    committed(await put(writer, bucket, 'stream', bytes));
    const result = await get(writer, 'stream');
    if (result.kind !== 'content') throw new Error('no content');
    const chunks: Uint8Array[] = [];
    let killed = false;
    for await (const chunk of result.stream) {
      chunks.push(chunk);
      if (!killed) await world.kill(0);
      killed = true;
    }
    expect(sameBytes(await collectBytes((async function* () { yield* chunks; })()), bytes)).toBe(true);
  });
});

describe('a read', () => {
  it('that is given up ends with CANCELLED, never as if it were whole', async () => {
    const { writer, bucket } = await start();
    const bytes = contentOf('given up', 12 * STRIPE);
    committed(await put(writer, bucket, 'given up', bytes));
    const abort = new AbortController();
    const plan = ({ manifest }: { manifest: { wrappedKey: Uint8Array } }) => ({ dataKey: manifest.wrappedKey });
    const byCaller = await writer.client.read(keyIdOf('given up'), plan, { signal: abort.signal });
    const byClose = await get(writer, 'given up');
    for (const [result, end] of [[byCaller, () => abort.abort()], [byClose, null]] as const) {
      if (result.kind !== 'content') throw new Error('no content');
      const reading = (async () => {
        for await (const chunk of result.stream) if (chunk.length > 0) (end ?? result.close)();
      })();
      await expect(reading).rejects.toMatchObject({ code: 'CANCELLED' });
    }
  });

  it('that has begun ends with the version it began with, although nodes collect garbage', async () => {
    const { world, writer, bucket, open } = await start();
    const bytes = contentOf('long read', 12 * STRIPE);
    committed(await put(writer, bucket, 'long read', bytes));
    // No cell comes with QUERY, so it is the leases of FETCH that count.
    const plan = ({ manifest }: { manifest: { wrappedKey: Uint8Array } }) => ({ dataKey: manifest.wrappedKey });
    const result = await open().client.read(keyIdOf('long read'), plan, { sizeHint: bytes.length });
    if (result.kind !== 'content') throw new Error('no content');
    committed(await put(writer, bucket, 'long read', contentOf('newer', 100)));
    const chunks: Uint8Array[] = [];
    for await (const chunk of result.stream) {
      if (chunks.length === 0) await world.clock.sleep(600);
      chunks.push(chunk);
    }
    expect(sameBytes(await collectBytes((async function* () { yield* chunks; })()), bytes)).toBe(true);
  });

  it('whose version is gone before its first byte begins anew with the newer one', async () => {
    const { world, writer, bucket, open } = await start();
    committed(await put(writer, bucket, 'replaced', contentOf('old', 3 * STRIPE)));
    const held = [0, 1, 2, 3].map((slot) => {
      const hold = holding('FETCH');
      world.interceptors.set(slot, hold.interceptor);
      return hold;
    });
    const planned: number[] = [];
    const reader = open();
    const reading = reader.client.read(
      keyIdOf('replaced'),
      ({ manifest }) => {
        planned.push(manifest.stamp.counter);
        return { dataKey: manifest.wrappedKey };
      },
      { sizeHint: 3 * STRIPE },
    );
    await Promise.race(held.map(({ arrived }) => arrived));
    committed(await put(writer, bucket, 'replaced', contentOf('new', 2 * STRIPE)));
    await expect.poll(() => world.nodes.get(0)?.status().superseded, { timeout: 5_000 }).toBe(0);
    await world.clock.sleep(400);
    for (const { release } of held) release();
    const result = await reading;
    if (result.kind !== 'content') throw new Error('no content');
    expect(sameBytes(await collectBytes(result.stream), contentOf('new', 2 * STRIPE))).toBe(true);
    expect(planned).toEqual([1, 2]);
    expect(reader.client.suspicions()).toEqual([]);
  });
});

describe('more than f nodes down', () => {
  it('a write to nodes that refuse connections is rejected for certain within ten seconds', async () => {
    const { world, writer, bucket, open } = await start();
    await world.kill(1);
    await world.kill(2);
    const begun = writer.journal.begun.length;
    await Promise.all(
      SIZES.map(async (size) => {
        const before = performance.now();
        const result = await put(writer, bucket, `doomed ${size}`, contentOf('doomed', size));
        expect(result).toMatchObject({ outcome: 'rejected', error: { code: 'NO_QUORUM' } });
        expect(performance.now() - before).toBeLessThan(10_000);
      }),
    );
    expect(writer.journal.begun).toHaveLength(begun);
    await expect(get(open(), 'doomed 10')).rejects.toMatchObject({ code: 'NO_QUORUM' });
  });

  it('a write to silent nodes is rejected for certain within ten seconds, and can be made later', async () => {
    const { world, writer, bucket } = await start();
    for (const slot of [1, 2]) world.network.drop('gateway-0', `node-${slot}`);
    const cases = [
      ['asked', 100_000, {}],
      ['guessed', 100_000, { predecessor: null }],
      ['guessed, in several stripes', 3 * STRIPE, { predecessor: null }],
    ] as const;
    await Promise.all(
      cases.map(async ([key, size, amend]) => {
        const before = performance.now();
        const result = await put(writer, bucket, key, contentOf('doomed', size), amend);
        expect(result).toMatchObject({ outcome: 'rejected', error: { code: 'NO_QUORUM' } });
        expect(performance.now() - before).toBeLessThan(10_000);
      }),
    );
    expect(writer.journal.abandonedAttempts).toHaveLength(1);
    for (const slot of [1, 2]) world.network.heal('gateway-0', `node-${slot}`);
    for (const [key, size] of cases) {
      expect((await get(writer, key)).kind).toBe('absent');
      committed(await put(writer, bucket, key, contentOf('second try', size)));
      expect(sameBytes(await getBytes(writer, key), contentOf('second try', size))).toBe(true);
    }
  });

  it('a certificate that too few nodes acknowledge leaves the outcome unknown, and the next reader settles it', async () => {
    const { world, bucket, open } = await start();
    const client = open(0, { deadlines: { commitMs: 300, completeMs: 300 } });
    for (const slot of [1, 2, 3]) world.interceptors.set(slot, swallowing('COMMIT'));
    const bytes = contentOf('half', 50_000);
    const result = await put(client, bucket, 'half', bytes);
    expect(result.outcome).toBe('unknown');
    expect(client.journal.settledAttempts).toEqual([]);
    world.interceptors.clear();
    // Slot 0 alone holds the certificate: whoever sees it must put it on c nodes before returning it.
    await world.kill(3);
    expect(sameBytes(await getBytes(open(), 'half'), bytes)).toBe(true);
    await world.restart(3);
    await world.kill(0);
    expect(sameBytes(await getBytes(open(), 'half'), bytes)).toBe(true);
  });
});

describe('writers of one key', () => {
  it('of one gateway and of two at once all end committed, and all readers agree', async () => {
    const { writer, bucket, open } = await start({ writers: 2 });
    const other = open(1);
    const third = open(0);
    const writes = Array.from({ length: 24 }, (_, i) => {
      const client = [writer, other, third][i % 3] ?? writer;
      return put(client, bucket, 'busy', contentOf(`busy ${i}`, i % 2 === 0 ? 50 : 30_000));
    });
    const results = (await Promise.all(writes)).map((result) => committed(result));
    const stamps = results.map((r) => r.signed.manifest.stamp);
    for (const [i, a] of stamps.entries()) {
      for (const b of stamps.slice(i + 1)) expect(compareStamps(a, b)).not.toBe(0);
    }
    const highest = results.reduce((a, b) => (compareStamps(b.signed.manifest.stamp, a.signed.manifest.stamp) > 0 ? b : a));
    expect(highest.superseded).toBe(false);
    for (const client of [writer, other, third, open()]) {
      const seen = await client.client.head(keyIdOf('busy'));
      expect(seen?.signed.hash).toEqual(highest.signed.hash);
      const bytes = contentOf(`busy ${results.indexOf(highest)}`, results.indexOf(highest) % 2 === 0 ? 50 : 30_000);
      expect(sameBytes(await getBytes(client, 'busy'), bytes)).toBe(true);
    }
    expect(writer.evidence).toEqual([]);
  });

  it('acknowledges an overwritten write only when the version that replaced it is on c nodes', async () => {
    const { world, writer, bucket, open } = await start({ writers: 2 });
    const held = [0, 1, 2, 3].map((slot) => {
      const hold = holding('PREPARE');
      world.interceptors.set(slot, hold.interceptor);
      return hold;
    });
    const slow = put(writer, bucket, 'race', contentOf('slow', 20_000));
    await Promise.all(held.map(({ arrived }) => arrived));
    world.interceptors.clear();
    const fast = open(1);
    const first = committed(await put(fast, bucket, 'race', contentOf('fast 1', 20_000)));
    const winner = committed(await put(fast, bucket, 'race', contentOf('fast 2', 20_000)));
    expect(compareStamps(winner.signed.manifest.stamp, first.signed.manifest.stamp)).toBeGreaterThan(0);
    for (const { release } of held) release();
    const lost = committed(await slow);
    expect(lost).toMatchObject({ superseded: true });
    expect(compareStamps(lost.cert.signed.manifest.stamp, lost.signed.manifest.stamp)).toBeGreaterThan(0);
    expect(lost.ackedSlots.length).toBeGreaterThanOrEqual(3);
    expect(writer.journal.abandonedAttempts).toHaveLength(1);
    expect(sameBytes(await getBytes(open(), 'race'), contentOf('fast 2', 20_000))).toBe(true);
  });
});

describe('the order of a write', () => {
  it('writes the journal before the first PREPARE, and prepares nothing when that fails', async () => {
    const { world, writer, bucket } = await start();
    const prepared: Request[] = [];
    for (const slot of [0, 1, 2, 3]) {
      world.interceptors.set(slot, watching((request) => void (request.t === 'PREPARE' && prepared.push(request))));
    }
    const before = writer.journal.begun.length;
    const begin = writer.journal.begin.bind(writer.journal);
    writer.journal.begin = async (attempt) => {
      await begin(attempt);
      expect(prepared).toEqual([]);
    };
    committed(await put(writer, bucket, 'ordered', contentOf('ordered', 60_000)));
    expect(prepared.length).toBeGreaterThanOrEqual(3);
    expect(writer.journal.begun).toHaveLength(before + 1);

    const { OperationError } = await import('../../src/base/errors.ts');
    prepared.length = 0;
    writer.journal.begin = () => Promise.reject(new OperationError('DISK_FULL', 'no room'));
    const result = await put(writer, bucket, 'unordered', contentOf('unordered', 60_000));
    expect(result).toMatchObject({ outcome: 'rejected', error: { code: 'DISK_FULL' } });
    expect(prepared).toEqual([]);
  });

  it('heeds a caller who gives up before PREPARE, and ends what was prepared', async () => {
    const { world, writer, bucket } = await start();
    const early = new AbortController();
    early.abort();
    const gone = await put(writer, bucket, 'early', contentOf('early', 900_000), { signal: early.signal });
    expect(gone).toMatchObject({ outcome: 'rejected', error: { code: 'CANCELLED' } });
    const late = new AbortController();
    for (const slot of [0, 1, 2, 3]) {
      world.interceptors.set(slot, watching((request) => void (request.t === 'PREPARE' && late.abort())));
    }
    committed(await put(writer, bucket, 'late', contentOf('late', 900_000), { signal: late.signal }));
    expect(late.signal.aborted).toBe(true);
  });

  it('takes no more of a body than its window of stripes until nodes have taken some', async () => {
    const { world, bucket, open } = await start();
    const client = open(0, { windowStripes: 2 });
    const bytes = contentOf('window', 10 * STRIPE);
    let stripesGiven = 0;
    let givenAtFirstAnswer = Number.POSITIVE_INFINITY;
    for (const slot of [0, 1, 2, 3]) {
      world.interceptors.set(slot, async (honest, frame) => {
        await world.clock.sleep(50);
        givenAtFirstAnswer = Math.min(givenAtFirstAnswer, stripesGiven);
        return honest(frame);
      });
    }
    async function* body(): AsyncGenerator<Uint8Array, void> {
      for (; stripesGiven < 10; stripesGiven += 1) {
        yield bytes.subarray(stripesGiven * STRIPE, (stripesGiven + 1) * STRIPE);
      }
    }
    const { content } = bytesContent(bytes, { body: body() });
    committed(await put(client, bucket, 'window', bytes, { content }));
    expect(givenAtFirstAnswer).toBeLessThanOrEqual(2);
    expect(stripesGiven).toBe(10);
  });
});

describe('a bucket record', () => {
  it('is shown to nodes that lack it', async () => {
    const { world, writer, open } = await start();
    await world.kill(3);
    const bucket = await putRecord(world, writer, recordOf(world, 'while 3 was away'));
    await world.restart(3);
    await world.kill(0);
    committed(await put(open(), bucket, 'known', contentOf('known', 10_000)));
    expect(sameBytes(await getBytes(writer, 'known'), contentOf('known', 10_000))).toBe(true);
  });

  it('that has changed rejects the write for certain and is handed to the caller', async () => {
    const { world, writer, bucket } = await start();
    const newer = await putRecord(world, writer, recordOf(world, 'faults', { quotaBytes: 1_000_000 }));
    const result = await put(writer, bucket, 'stale', contentOf('stale', 10_000));
    expect(result).toMatchObject({ outcome: 'rejected', error: { code: 'BUCKET_STALE' } });
    expect(result.outcome === 'rejected' && result.record?.stamp).toEqual(newer.stamp);
    committed(await put(writer, newer, 'stale', contentOf('stale', 10_000)));
  });
});
