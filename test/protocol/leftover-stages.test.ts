/**
 * What a gateway leaves on nodes that crashes between STAGE and the end of its write: its next process ends it,
 * and the key can be read and written as before, whichever step was the last.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { BucketAuthority } from '../../src/client/slot-address.ts';
import type { RequestType } from '../../src/protocol/messages.ts';
import { requestIn } from '../../src/sim/adversaries/nodes.ts';
import { bytesContent, clientOf, committedSlot, contentOf, getBytes, keyIdOf, nextOpId, putRecord, putSlot, recordOf, sameBytes } from '../world/client-world.ts';
import type { TestClient } from '../world/client-world.ts';
import { World } from '../world/world.ts';

const N = 4;
const ALL = Array.from({ length: N }, (_, slot) => slot);
const DEADLINES = { prepareMs: 400, resolveMs: 400, queryMs: 400, commitMs: 400, completeMs: 400 } as const;
const BYTES = contentOf('left over', 20_000);

let world: World;
let bucket: BucketAuthority;
let clients: TestClient[];

function start(writer: number = 0, deadlines: Partial<typeof DEADLINES> = DEADLINES): TestClient {
  const client = clientOf(world, writer, { deadlines });
  clients.push(client);
  return client;
}

beforeEach(async () => {
  clients = [];
  world = await World.start({ n: N, writers: 2 });
  bucket = await putRecord(world, start(0, {}), recordOf(world, 'serialised', { v: 2, mode: 'SERIALISED' }));
});
afterEach(async () => {
  world.interceptors.clear();
  await Promise.all(clients.map(({ client }) => client.close()));
  await world.stop();
});

const stages = (): number[] => ALL.map((slot) => world.nodes.get(slot)?.status().stages ?? -1);

/** The process of the first gateway ends when nodes have been sent its request of this type, and answered or not. */
async function crashAt(type: RequestType, slots: readonly number[]): Promise<void> {
  const client = start();
  const left = new Set(slots);
  const die = (): void => ALL.forEach((slot) => world.network.cut('gateway-0', `node-${slot}`));
  for (const slot of ALL) {
    world.interceptors.set(slot, async (honest, frame) => {
      if (requestIn(frame)?.t !== type) return honest(frame);
      // The frame to any other node was never sent.
      if (!left.has(slot)) return new Promise(() => undefined);
      const answered = await honest(frame);
      left.delete(slot);
      if (left.size === 0) die();
      return new Promise<never>(() => void answered);
    });
  }
  const { content } = bytesContent(BYTES);
  const decide = () => Promise.resolve({ removes: 'ALL' } as const);
  const result = await client.client.writeSlot({ bucket, keyId: keyIdOf('k'), opId: nextOpId(), content, decide, needsCertified: false, predecessor: null });
  expect(result.outcome).not.toBe('committed');
  expect(left.size).toBe(0);
  await client.client.close();
  world.interceptors.clear();
  for (const slot of ALL) world.network.heal('gateway-0', `node-${slot}`);
}

const STEPS: readonly { readonly type: RequestType; readonly slots: readonly number[]; readonly isWritten: boolean | undefined }[] = [
  { type: 'STAGE', slots: [2], isWritten: false },
  { type: 'STAGE', slots: ALL, isWritten: false },
  // Whether the one that accepted is among the first q to promise is a race.
  { type: 'PREPARE', slots: [1], isWritten: undefined },
  { type: 'PREPARE', slots: [0, 1], isWritten: true },
  { type: 'PREPARE', slots: ALL, isWritten: true },
  { type: 'COMMIT', slots: [3], isWritten: true },
];

describe('a stage whose gateway crashed', () => {
  it.each(STEPS)('ends after its last $type to slots $slots', async ({ type, slots, isWritten }) => {
    await crashAt(type, slots);
    expect(Math.max(...stages())).toBe(1);
    const again = start();
    await expect.poll(async () => {
      await again.client.endLeftoverStages(0);
      return stages();
    }, { timeout: 15_000 }).toEqual(ALL.map(() => 0));
    // What was accepted may be completed, as whoever writes next would have done.
    const found = await again.client.head(keyIdOf('k'));
    if (isWritten !== undefined) expect(found !== null).toBe(isWritten);
    if (found !== null) expect(sameBytes(await getBytes(again, 'k'), BYTES)).toBe(true);
    committedSlot(await putSlot(start(1), bucket, 'k', contentOf('after', 20_000)));
    expect(sameBytes(await getBytes(again, 'k'), contentOf('after', 20_000))).toBe(true);
  });

  it('stays where its write is under way, and where it is another gateway\'s', async () => {
    const writer = start();
    let reached: () => void = () => undefined;
    const held = new Promise<void>((resolve) => (reached = resolve));
    let go: () => void = () => undefined;
    const released = new Promise<void>((resolve) => (go = resolve));
    for (const slot of ALL) {
      world.interceptors.set(slot, async (honest, frame) => {
        if (requestIn(frame)?.t === 'PREPARE') {
          reached();
          await released;
        }
        return honest(frame);
      });
    }
    const { content } = bytesContent(BYTES);
    const decide = () => Promise.resolve({ removes: 'ALL' } as const);
    const writing = writer.client.writeSlot({ bucket, keyId: keyIdOf('k'), opId: nextOpId(), content, decide, needsCertified: false, predecessor: null });
    await held;
    expect(await writer.client.endLeftoverStages(0)).toBe(0);
    expect(await start(1).client.endLeftoverStages(0)).toBe(0);
    go();
    expect((await writing).outcome).toBe('committed');
    expect(sameBytes(await getBytes(writer, 'k'), BYTES)).toBe(true);
  });

  it('stays while too few nodes say what rests on it', async () => {
    await crashAt('STAGE', ALL);
    const before = stages();
    const again = start();
    for (const slot of [0, 1]) world.network.cut('gateway-0', `node-${slot}`);
    await again.client.endLeftoverStages(0);
    expect(stages()).toEqual(before);
    for (const slot of [0, 1]) world.network.heal('gateway-0', `node-${slot}`);
  });
});

describe('a node that lacks the certificate', () => {
  it('I2: keeps what it has staged for it, whoever asks', async () => {
    const lagging = 0;
    await crashAt('COMMIT', [1, 2, 3]);
    expect(stages()[lagging]).toBe(1);
    const again = start();
    world.network.cut('gateway-0', `node-${lagging}`);
    await again.client.endLeftoverStages(0);
    expect(stages()[lagging]).toBe(1);
    world.network.heal('gateway-0', `node-${lagging}`);
    await again.client.endLeftoverStages(0);
    await expect.poll(stages).toEqual(ALL.map(() => 0));
    const contents = (slot: number): number => world.nodes.get(slot)?.status().contents ?? -1;
    expect(contents(lagging)).toBe(contents(3));
    expect(sameBytes(await getBytes(again, 'k'), BYTES)).toBe(true);
  });
});
