/**
 * The central claim in one page. Read this first: if it fails, nothing else in Holdfast is worth its name.
 * Six storage nodes, any one of which may do whatever it likes; what was acknowledged is read back as it was.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { BucketAuthority } from '../src/client/write.ts';
import { strategyNames, strategyOf } from '../src/sim/adversaries/strategies.ts';
import { clientOf, committed, contentOf, getBytes, put, putRecord, recordOf, sameBytes } from './world/client-world.ts';
import type { TestClient } from './world/client-world.ts';
import { World } from './world/world.ts';

let world: World;
let writer: TestClient;
let bucket: BucketAuthority;

beforeEach(async () => {
  world = await World.start({ n: 6, f: 1, k: 4, writers: 2 });
  writer = clientOf(world);
  bucket = await putRecord(world, writer, recordOf(world, 'photos'));
});
afterEach(async () => {
  await writer.client.close();
  await world.stop();
});

describe('six nodes', () => {
  it.each(strategyNames)('give back what was acknowledged when one lies: %s', async (name) => {
    const lie = strategyOf(name);
    if (lie === undefined) throw new Error(`no strategy ${name}`);
    world.interceptors.set(5, lie(world, 5));
    for (const size of [100, 50_000, 1_500_000]) {
      const bytes = contentOf(name, size);
      committed(await put(writer, bucket, `key ${size}`, bytes));
      // Another gateway, which has seen nothing of all this.
      const reader = clientOf(world, 1);
      expect(sameBytes(await getBytes(reader, `key ${size}`), bytes)).toBe(true);
      await reader.client.close();
    }
  });

  it('acknowledge nothing that they do not keep when two are gone', async () => {
    const before = contentOf('before', 50_000);
    committed(await put(writer, bucket, 'kept', before));
    for (const slot of [1, 4]) await world.kill(slot);
    const { outcome } = await put(writer, bucket, 'kept', contentOf('after', 50_000));
    expect(outcome).toBe('rejected');
    await Promise.all([1, 4].map((slot) => world.restart(slot)));
    expect(sameBytes(await getBytes(writer, 'kept'), before)).toBe(true);
  }, 60_000);
});
