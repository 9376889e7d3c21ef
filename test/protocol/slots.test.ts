import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { ReadPlan } from '../../src/client/read.ts';
import type { SlotTerms } from '../../src/client/slot-write.ts';
import type { BucketAuthority } from '../../src/client/write.ts';
import type { SignedManifest } from '../../src/protocol/manifest.ts';
import type { Stamp } from '../../src/protocol/stamp.ts';
import {
  bytesContent,
  clientOf,
  collectBytes,
  committedSlot,
  contentOf,
  getBytes,
  keyIdOf,
  put,
  putRecord,
  putSlot,
  recordOf,
  sameBytes,
} from '../world/client-world.ts';
import type { TestClient } from '../world/client-world.ts';
import { EMPTY, hex } from '../../src/base/bytes.ts';
import { decodeAnswer, encodeAnswer } from '../../src/protocol/messages.ts';
import { failing, requestIn } from '../../src/sim/adversaries/nodes.ts';
import { World } from '../world/world.ts';

const SERIALISED = { v: 2, mode: 'SERIALISED' } as const;
const mustNotExist = (predecessor: unknown): Promise<SlotTerms | 'decline'> =>
  Promise.resolve(predecessor === null ? { removes: 'ALL' } : 'decline');

describe.each([
  { n: 4, f: 1, k: 2 },
  { n: 6, f: 1, k: 4 },
])('a serialised bucket, n = $n, f = $f, k = $k', ({ n, f, k }) => {
  let world: World;
  let writers: readonly TestClient[];
  let bucket: BucketAuthority;

  beforeAll(async () => {
    world = await World.start({ n, f, k, writers: 2 });
    writers = [clientOf(world), clientOf(world, 1)];
    bucket = await putRecord(world, writers[0] as TestClient, recordOf(world, 'serialised', SERIALISED));
  });
  afterAll(async () => {
    for (const { client } of writers) await client.close();
    await world.stop();
  });
  const first = (): TestClient => writers[0] as TestClient;

  it.each([0, 100, 5_000, 3_000_000])('gives back %i bytes as they were written, and replaced', async (size) => {
    const key = `size ${size}`;
    const bytes = contentOf(key, size);
    const { signed } = committedSlot(await putSlot(first(), bucket, key, bytes));
    expect(signed.manifest.slot?.prev).toEqual(new Uint8Array(32));
    expect(sameBytes(await getBytes(first(), key), bytes)).toBe(true);
    const other = contentOf(`${key} again`, size + 1);
    const again = committedSlot(await putSlot(first(), bucket, key, other));
    expect(again.signed.manifest.slot?.prev).toEqual(signed.hash);
    expect(sameBytes(await getBytes(first(), key), other)).toBe(true);
  });

  it('refuses a PLAIN manifest', async () => {
    const result = await put(first(), bucket, 'plain', contentOf('plain', 10));
    expect(result).toMatchObject({ outcome: 'rejected', error: { code: 'REFUSED' } });
  });

  it('lets exactly one of many that must not exist be first, whichever gateway they come from', async () => {
    const results = await Promise.all(
      Array.from({ length: 8 }, (_, i) =>
        putSlot(writers[i % 2] as TestClient, bucket, 'once', contentOf(`once ${i}`, 2_000 * i), {
          decide: mustNotExist,
          needsCertified: true,
        }),
      ),
    );
    expect(results.map(({ outcome }) => outcome).sort()).toEqual(['committed', ...Array<string>(7).fill('declined')]);
    const winner = results.findIndex(({ outcome }) => outcome === 'committed');
    expect(sameBytes(await getBytes(first(), 'once'), contentOf(`once ${winner}`, 2_000 * winner))).toBe(true);
  });

  it('counts: of writes that each follow the version they have seen, none is lost', async () => {
    committedSlot(await putSlot(first(), bucket, 'counter', new Uint8Array([0])));
    let declined = 0;
    const increment = async (writer: TestClient): Promise<void> => {
      for (let done = false; !done; ) {
        const before = (await getBytes(writer, 'counter'))?.[0] ?? 0;
        const seen = await writer.client.head(keyIdOf('counter'));
        const now = (await getBytes(writer, 'counter'))?.[0] ?? 0;
        if (now !== before) continue;
        const result = await putSlot(writer, bucket, 'counter', new Uint8Array([before + 1]), {
          decide: (p) => Promise.resolve(p !== null && Buffer.compare(p.hash, seen?.signed.hash ?? p.hash) === 0 ? { removes: 'ALL' } : 'decline'),
          needsCertified: true,
        });
        done = result.outcome === 'committed';
        if (!done) declined += 1;
      }
    };
    await Promise.all(Array.from({ length: 6 }, (_, i) => increment(writers[i % 2] as TestClient)));
    expect(await getBytes(first(), 'counter')).toEqual(new Uint8Array([6]));
    expect(declined).toBeGreaterThanOrEqual(0);
  });

  it('is applied once when others have completed it while its writer heard nothing', async () => {
    const writer = clientOf(world, 0, { deadlines: { prepareMs: 400 } });
    const key = 'completed by another';
    // Nodes accept what the writer proposes; it hears of nothing but silence.
    for (const slot of world.nodes.keys()) {
      world.interceptors.set(slot, async (honest, frame, from) => {
        const answer = await honest(frame);
        const isUnheard = requestIn(frame)?.t === 'PREPARE' && from.peer === hex(world.writers[0]?.tlsKey.publicKey ?? EMPTY);
        return isUnheard ? new Promise(() => undefined) : answer;
      });
    }
    const writing = putSlot(writer, bucket, key, contentOf(key, 100), { predecessor: null });
    await world.clock.sleep(200);
    // Who asks for the slot finds the proposal, and completes it.
    const found = await putSlot(writers[1] as TestClient, bucket, key, contentOf('another', 10), { decide: mustNotExist, needsCertified: true });
    expect(found.outcome).toBe('declined');
    const only = await first().client.head(keyIdOf(key));
    world.interceptors.clear();
    const { signed } = committedSlot(await writing);
    expect(signed.hash).toEqual(only?.signed.hash);
    expect((await first().client.head(keyIdOf(key)))?.signed.hash).toEqual(only?.signed.hash);
    await writer.client.close();
  });

  it('lets a content go whose write was declined', async () => {
    committedSlot(await putSlot(first(), bucket, 'there', contentOf('there', 10)));
    const staged = (): number[] => [...world.nodes.values()].map((node) => node.status().stages);
    const { content } = bytesContent(contentOf('too late', 700_000));
    let asked = 0;
    const result = await putSlot(first(), bucket, 'there', new Uint8Array(0), {
      content,
      decide: async () => {
        asked += 1;
        // Somebody else is faster when the content is on its way.
        if (asked === 2) committedSlot(await putSlot(writers[1] as TestClient, bucket, 'there', contentOf('sooner', 10)));
        return asked <= 2 ? { removes: 'ALL' } : 'decline';
      },
      needsCertified: true,
    });
    expect(result.outcome).toBe('declined');
    expect(Math.max(...staged())).toBe(1);
    await expect.poll(staged, { timeout: 10_000 }).toEqual(Array<number>(n).fill(0));
  });

  describe('that keeps versions', () => {
    let versioned: BucketAuthority;
    const keep = (): Promise<SlotTerms> => Promise.resolve({ removes: [] });

    beforeAll(async () => {
      versioned = await putRecord(world, first(), recordOf(world, 'versioned', { ...SERIALISED, versioning: 'ENABLED' }));
    });

    it('gives each of them back, until it is removed, also after all nodes were restarted', async () => {
      const contents = [contentOf('v1', 10), contentOf('v2', 100_000), contentOf('v3', 3_000_000)];
      const stamps: Stamp[] = [];
      for (const bytes of contents) {
        const { signed } = committedSlot(await putSlot(first(), versioned, 'key', bytes, { decide: keep }));
        stamps.push(signed.manifest.stamp);
      }
      const [one, two, three] = stamps as [Stamp, Stamp, Stamp];
      const at = async (stamp: Stamp): Promise<Uint8Array | null> => {
        const plan = ({ manifest }: SignedManifest): ReadPlan => ({ dataKey: manifest.wrappedKey });
        const result = await first().client.read(keyIdOf('key'), plan, { at: stamp });
        return result.kind === 'content' ? collectBytes(result.stream) : null;
      };
      for (const [i, stamp] of stamps.entries()) expect(sameBytes(await at(stamp), contents[i] as Uint8Array)).toBe(true);

      const remove = { kind: 'remove' as const, wrappedKey: new Uint8Array(0), encMeta: new Uint8Array(0) };
      const decide = (): Promise<SlotTerms> => Promise.resolve({ removes: [one, three] });
      const removal = committedSlot(await putSlot(first(), versioned, 'key', new Uint8Array(0), { content: remove, decide }));
      expect(removal.signed.manifest.kind).toBe('REMOVE');
      const expectRemoved = async (): Promise<void> => {
        expect((await first().client.headAt(keyIdOf('key'), one)).kind).toBe('removed');
        expect((await first().client.headAt(keyIdOf('key'), three)).kind).toBe('removed');
        expect(await at(one)).toBeNull();
        expect(sameBytes(await at(two), contents[1] as Uint8Array)).toBe(true);
        const never = { ...one, writerId: new Uint8Array(16) };
        expect((await first().client.headAt(keyIdOf('key'), never)).kind).toBe('absent');
      };
      await expectRemoved();
      for (const slot of [...world.nodes.keys()]) {
        await world.kill(slot);
        await world.restart(slot);
      }
      await expectRemoved();
      committedSlot(await putSlot(first(), versioned, 'key', contentOf('v5', 50), { decide: keep }));
      await expectRemoved();
      expect(sameBytes(await getBytes(first(), 'key'), contentOf('v5', 50))).toBe(true);
    });

    it('is seen as removed on the word of a manifest that removes it, and of no other', async () => {
      const { signed } = committedSlot(await putSlot(first(), versioned, 'shown', contentOf('kept', 20), { decide: keep }));
      const other = committedSlot(await putSlot(first(), versioned, 'shown', contentOf('other', 20), { decide: keep }));
      const { stamp } = signed.manifest;
      world.interceptors.set(n - 1, async (honest, frame) => {
        const answered = decodeAnswer('QUERY', (await honest(frame)).body);
        if (requestIn(frame)?.t !== 'QUERY' || answered.kind !== 'answer') return honest(frame);
        return { body: encodeAnswer('QUERY', { ...answered.answer, cert: null, removedBy: other.certBytes }), payload: EMPTY };
      });
      for (let slot = 0; slot < f; slot += 1) world.interceptors.set(slot, failing('QUERY'));
      const found = first().client.headAt(keyIdOf('shown'), stamp).then(({ kind }) => kind, () => 'no quorum');
      expect(await found).not.toBe('removed');
      world.interceptors.clear();
      expect((await first().client.headAt(keyIdOf('shown'), stamp)).kind).toBe('version');
    });

    it('refuses a manifest that would end them all', async () => {
      const result = await putSlot(first(), versioned, 'all', contentOf('all', 10));
      expect(result).toMatchObject({ outcome: 'rejected', error: { code: 'REFUSED' } });
    });
  });

  describe('when the gateway that proposed a version is gone', () => {
    afterEach(() => world.interceptors.clear());

    /** Lets PREPARE through to so many nodes. */
    const preparesReach = (count: number): void => {
      for (let slot = count; slot < n; slot += 1) world.interceptors.set(slot, failing('PREPARE'));
    };

    it.each([100, 400_000])('another one that finds it completes it first (%i bytes)', async (size) => {
      const key = `left ${size}`;
      const impatient = clientOf(world, 0, { deadlines: { prepareMs: 300 } });
      preparesReach(2);
      const left = await putSlot(impatient, bucket, key, contentOf(key, size), { decide: mustNotExist, needsCertified: true });
      expect(left.outcome).toBe('unknown');
      // What is under way to the others arrives.
      await world.clock.sleep(100);
      world.interceptors.clear();
      // All answer: two of q have accepted it.
      const second = writers[1] as TestClient;
      const late = await putSlot(second, bucket, key, contentOf('late', 10), { decide: mustNotExist, needsCertified: true });
      expect(late.outcome).toBe('declined');
      expect(sameBytes(await getBytes(second, key), contentOf(key, size))).toBe(true);
      await impatient.client.close();
    });

    it('what no quorum can have accepted gives way to a change of the bucket', async () => {
      const own = await putRecord(world, first(), recordOf(world, 'changing', SERIALISED));
      const impatient = clientOf(world, 0, { deadlines: { prepareMs: 300 } });
      preparesReach(1);
      const left = await putSlot(impatient, own, 'stuck', contentOf('stuck', 100));
      expect(left.outcome).toBe('unknown');
      // What is under way to the others arrives.
      await world.clock.sleep(100);
      world.interceptors.clear();
      const changed = await putRecord(world, first(), recordOf(world, 'changing', { ...SERIALISED, versioning: 'ENABLED' }));
      const result = await putSlot(writers[1] as TestClient, changed, 'stuck', contentOf('freed', 100), {
        decide: () => Promise.resolve({ removes: [] }),
      });
      expect(result.outcome).toBe('committed');
      expect(sameBytes(await getBytes(first(), 'stuck'), contentOf('freed', 100))).toBe(true);
      await impatient.client.close();
    });
  });
});
