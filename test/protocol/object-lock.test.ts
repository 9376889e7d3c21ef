/**
 * Object lock (protocol 13.6, I10) as each storage node keeps it on its own. The writer here holds every key
 * that a gateway holds and asks the nodes directly: what it cannot do, no stolen gateway can.
 */
import { afterEach, describe, expect, it } from 'vitest';
import { EMPTY } from '../../src/base/bytes.ts';
import type { SlotTerms, SlotWriteResult, VersionLock } from '../../src/client/slot-write.ts';
import type { BucketAuthority } from '../../src/client/write.ts';
import { SystemClock } from '../../src/platform/clock.ts';
import { attributesKeyId, encodeAttributes } from '../../src/protocol/attributes.ts';
import type { Attributes } from '../../src/protocol/attributes.ts';
import type { Stamp } from '../../src/protocol/stamp.ts';
import { RetentionClock } from '../../src/storage-node/retention-clock.ts';
import { failing } from '../../src/sim/adversaries/nodes.ts';
import { bytesContent, clientOf, committedSlot, contentOf, keyIdOf, nextOpId, putRecord, putSlot, recordOf } from '../world/client-world.ts';
import type { TestClient } from '../world/client-world.ts';
import { World } from '../world/world.ts';

const YEAR_MS = 365 * 24 * 3_600_000;

class ShiftedClock extends SystemClock {
  shiftMs = 0;
  override nowMs(): number {
    return super.nowMs() + this.shiftMs;
  }
}

/** A cluster of four with a bucket that locks; every node's clock can be set. */
class Locked {
  readonly world: World;
  readonly writer: TestClient;
  readonly bucket: BucketAuthority;
  readonly clocks: readonly ShiftedClock[];

  private constructor(world: World, writer: TestClient, bucket: BucketAuthority, clocks: readonly ShiftedClock[]) {
    this.world = world;
    this.writer = writer;
    this.bucket = bucket;
    this.clocks = clocks;
  }

  static async start(): Promise<Locked> {
    const clocks = [0, 1, 2, 3].map(() => new ShiftedClock());
    const world = await World.start({ n: 4, clocks: new Map(clocks.entries()), tuning: { timeMs: 20 } });
    const writer = clientOf(world, 0, { deadlines: { prepareMs: 1_000 } });
    const amend = { v: 2, mode: 'SERIALISED', versioning: 'ENABLED', lock: true } as const;
    const bucket = await putRecord(world, writer, recordOf(world, 'locked', amend));
    await world.clock.sleep(150);
    return new Locked(world, writer, bucket, clocks);
  }

  async stop(): Promise<void> {
    this.world.interceptors.clear();
    await this.writer.client.close();
    await this.world.stop();
  }

  async put(key: string, lock?: Partial<VersionLock>): Promise<Stamp> {
    const terms: SlotTerms = { removes: [], lock: { mode: 'NONE', retainUntil: 0, legalHold: false, ...lock } };
    const result = await putSlot(this.writer, this.bucket, key, contentOf(key, 100), { decide: () => Promise.resolve(terms) });
    return committedSlot(result).signed.manifest.stamp;
  }

  /** Lets the version go and removes it, as a gateway does. */
  async remove(key: string, stamp: Stamp, bypassGovernance: boolean = false): Promise<SlotWriteResult> {
    const released = await this.lock(key, stamp, { ...FREE, gone: true }, bypassGovernance);
    return released.outcome === 'committed' ? this.removeAtOnce(key, stamp) : released;
  }

  /** The removal alone. */
  removeAtOnce(key: string, stamp: Stamp): Promise<SlotWriteResult> {
    const content = { kind: 'remove' as const, wrappedKey: EMPTY, encMeta: EMPTY };
    const decide = (): Promise<SlotTerms> => Promise.resolve({ removes: [stamp], bypassGovernance: true });
    return putSlot(this.writer, this.bucket, key, EMPTY, { content, decide });
  }

  lock(key: string, stamp: Stamp, lock: Omit<Attributes, 'v' | 'keyId' | 'stamp' | 'gone'> & { readonly gone?: boolean }, bypassGovernance: boolean = false): Promise<SlotWriteResult> {
    return this.writer.client.writeSlot({
      bucket: this.bucket,
      keyId: attributesKeyId(keyIdOf(key), stamp),
      opId: nextOpId(),
      content: bytesContent(EMPTY).content,
      clear: encodeAttributes({ v: 1, keyId: keyIdOf(key), stamp, gone: false, ...lock }),
      decide: () => Promise.resolve({ removes: 'ALL', bypassGovernance }),
      needsCertified: false,
    });
  }
}

const NOT_HELD = { legalHold: false } as const;
const FREE = { lockMode: 'NONE', retainUntil: 0, ...NOT_HELD } as const;
const refused = { outcome: 'rejected', error: { code: 'LOCKED' } };
let locked: Locked;

describe('a version in a bucket with object lock', () => {
  afterEach(() => locked.stop());

  it('goes while nothing locks it', async () => {
    locked = await Locked.start();
    const stamp = await locked.put('free');
    expect(await locked.remove('free', stamp)).toMatchObject({ outcome: 'committed' });
    expect((await locked.writer.client.headAt(keyIdOf('free'), stamp)).kind).toBe('removed');
  });

  it('under COMPLIANCE goes for nobody before its time, and for everybody after it', async () => {
    locked = await Locked.start();
    const retainUntil = Date.now() + 3_000;
    const stamp = await locked.put('compliance', { mode: 'COMPLIANCE', retainUntil });
    expect(await locked.remove('compliance', stamp)).toMatchObject(refused);
    expect(await locked.remove('compliance', stamp, true)).toMatchObject(refused);
    for (const weaker of [
      { lockMode: 'COMPLIANCE', retainUntil: retainUntil - 1, ...NOT_HELD },
      { lockMode: 'GOVERNANCE', retainUntil: retainUntil + YEAR_MS, ...NOT_HELD },
      { lockMode: 'NONE', retainUntil: 0, ...NOT_HELD },
    ] as const) {
      expect(await locked.lock('compliance', stamp, weaker, true)).toMatchObject(refused);
    }
    expect((await locked.writer.client.headAt(keyIdOf('compliance'), stamp)).kind).toBe('version');
    await locked.world.clock.sleep(Math.max(0, retainUntil - Date.now()) + 200);
    expect(await locked.remove('compliance', stamp)).toMatchObject({ outcome: 'committed' });
  });

  it('keeps a retention that was made longer', async () => {
    locked = await Locked.start();
    const stamp = await locked.put('longer', { mode: 'COMPLIANCE', retainUntil: Date.now() + 300 });
    const longer = { lockMode: 'COMPLIANCE', retainUntil: Date.now() + YEAR_MS, ...NOT_HELD } as const;
    expect(await locked.lock('longer', stamp, longer)).toMatchObject({ outcome: 'committed' });
    await locked.world.clock.sleep(500);
    expect(await locked.remove('longer', stamp, true)).toMatchObject(refused);
    expect(await locked.lock('longer', stamp, { ...longer, retainUntil: longer.retainUntil - 1 }, true)).toMatchObject(refused);
    for (const slot of [0, 1, 2, 3]) {
      await locked.world.kill(slot);
      await locked.world.restart(slot);
    }
    expect(await locked.remove('longer', stamp, true)).toMatchObject(refused);
  });

  it('under GOVERNANCE goes only for who goes against it on purpose', async () => {
    locked = await Locked.start();
    const stamp = await locked.put('governance', { mode: 'GOVERNANCE', retainUntil: Date.now() + YEAR_MS });
    expect(await locked.remove('governance', stamp)).toMatchObject(refused);
    const none = { lockMode: 'NONE', retainUntil: 0, ...NOT_HELD } as const;
    expect(await locked.lock('governance', stamp, none)).toMatchObject(refused);
    expect(await locked.remove('governance', stamp, true)).toMatchObject({ outcome: 'committed' });
  });

  it('under GOVERNANCE comes under COMPLIANCE only for who goes against it on purpose', async () => {
    locked = await Locked.start();
    const retainUntil = Date.now() + YEAR_MS;
    const stamp = await locked.put('modes', { mode: 'GOVERNANCE', retainUntil });
    const compliance = { lockMode: 'COMPLIANCE', retainUntil: retainUntil + 1, ...NOT_HELD } as const;
    expect(await locked.lock('modes', stamp, compliance)).toMatchObject(refused);
    expect(await locked.lock('modes', stamp, { ...compliance, lockMode: 'GOVERNANCE' })).toMatchObject({ outcome: 'committed' });
    expect(await locked.lock('modes', stamp, compliance, true)).toMatchObject({ outcome: 'committed' });
    expect(await locked.lock('modes', stamp, { ...compliance, lockMode: 'GOVERNANCE' }, true)).toMatchObject(refused);
  });

  it('is kept by a legal hold until that is lifted', async () => {
    locked = await Locked.start();
    const stamp = await locked.put('held', { legalHold: true });
    expect(await locked.remove('held', stamp, true)).toMatchObject(refused);
    expect(await locked.lock('held', stamp, { lockMode: 'NONE', retainUntil: 0, ...NOT_HELD })).toMatchObject({ outcome: 'committed' });
    expect(await locked.remove('held', stamp)).toMatchObject({ outcome: 'committed' });
  });

  it('is not set free by attributes that are no attributes, or stand elsewhere', async () => {
    locked = await Locked.start();
    const { world, writer, bucket } = locked;
    const stamp = await locked.put('buried', { legalHold: true });
    expect(await locked.lock('buried', stamp, { lockMode: 'NONE', retainUntil: 0, legalHold: true })).toMatchObject({ outcome: 'committed' });
    const at = attributesKeyId(keyIdOf('buried'), stamp);
    const bare = { bucket, keyId: at, content: bytesContent(EMPTY).content, needsCertified: false };
    const bury = await writer.client.writeSlot({ ...bare, opId: nextOpId(), decide: () => Promise.resolve({ removes: [] }) });
    expect(bury).toMatchObject({ outcome: 'rejected', error: { code: 'REFUSED' } });
    const clear = encodeAttributes({ v: 1, keyId: keyIdOf('another'), stamp, lockMode: 'NONE', retainUntil: 0, legalHold: false, gone: false });
    const misplaced = await writer.client.writeSlot({ ...bare, opId: nextOpId(), clear, decide: () => Promise.resolve({ removes: 'ALL' }) });
    expect(misplaced).toMatchObject({ outcome: 'rejected', error: { code: 'REFUSED' } });
    expect(await locked.remove('buried', stamp, true)).toMatchObject(refused);
    expect(world.lost.size).toBe(0);
  });

  it('may have its attributes buried once it has gone, and not before', async () => {
    locked = await Locked.start();
    const { writer, bucket } = locked;
    const stamp = await locked.put('gone');
    expect(await locked.lock('gone', stamp, { ...FREE, gone: true })).toMatchObject({ outcome: 'committed' });
    const bury = (): Promise<SlotWriteResult> =>
      writer.client.writeSlot({
        bucket,
        keyId: attributesKeyId(keyIdOf('gone'), stamp),
        opId: nextOpId(),
        content: { kind: 'tombstone', wrappedKey: EMPTY, encMeta: EMPTY },
        decide: (predecessor) => Promise.resolve({ removes: predecessor === null ? [] : [predecessor.stamp] }),
        needsCertified: false,
      });
    expect(await bury()).toMatchObject({ outcome: 'rejected', error: { code: 'REFUSED' } });
    expect(await locked.removeAtOnce('gone', stamp)).toMatchObject({ outcome: 'committed' });
    expect(await bury()).toMatchObject({ outcome: 'committed' });
  });

  it('is not ended from a bucket without lock, nor in another generation of its own', async () => {
    locked = await Locked.start();
    const { world, writer } = locked;
    const stamp = await locked.put('elsewhere', { mode: 'COMPLIANCE', retainUntil: Date.now() + YEAR_MS });
    const keyId = keyIdOf('elsewhere');
    const clear = encodeAttributes({ v: 1, keyId, stamp, gone: true, ...FREE });
    const serialised = { v: 2, mode: 'SERIALISED' } as const;
    const others = [recordOf(world, 'other', serialised), recordOf(world, 'locked', { ...serialised, gen: 2 })];
    for (const record of others) {
      const bucket = await putRecord(world, writer, record);
      expect(await putSlot(writer, bucket, 'elsewhere', EMPTY), 'ends all').toMatchObject({ outcome: 'rejected', error: { code: 'REFUSED' } });
      const letGo = { keyId: attributesKeyId(keyId, stamp), clear };
      expect(await putSlot(writer, bucket, 'elsewhere', EMPTY, letGo), 'lets go').toMatchObject({ outcome: 'rejected', error: { code: 'REFUSED' } });
    }
    expect((await writer.client.headAt(keyId, stamp)).kind).toBe('version');
  });

  it('is not removed before it was let go, and not locked after', async () => {
    locked = await Locked.start();
    const stamp = await locked.put('order', { mode: 'COMPLIANCE', retainUntil: Date.now() + 300 });
    expect(await locked.removeAtOnce('order', stamp)).toMatchObject(refused);
    await locked.world.clock.sleep(500);
    // Its time is over, and still somebody may lock it anew before it is let go.
    expect(await locked.removeAtOnce('order', stamp)).toMatchObject(refused);
    expect(await locked.lock('order', stamp, { ...FREE, gone: true })).toMatchObject({ outcome: 'committed' });
    expect(await locked.lock('order', stamp, { ...FREE, legalHold: true })).toMatchObject(refused);
    expect(await locked.removeAtOnce('order', stamp)).toMatchObject({ outcome: 'committed' });
  });

  it('is locked or let go, and one of the two at once, when both are under way', async () => {
    locked = await Locked.start();
    const { world } = locked;
    const stamp = await locked.put('both');
    for (const slot of [2, 3]) world.interceptors.set(slot, failing('PREPARE'));
    expect((await locked.lock('both', stamp, { ...FREE, gone: true })).outcome).toBe('unknown');
    await world.clock.sleep(100);
    world.interceptors.clear();
    // Two of four have accepted that it goes: whoever comes next completes that first.
    expect(await locked.lock('both', stamp, { ...FREE, legalHold: true })).toMatchObject(refused);
    expect(await locked.removeAtOnce('both', stamp)).toMatchObject({ outcome: 'committed' });
  });

  it('stays although the clocks of f nodes are ten years ahead, and of one correct node too', async () => {
    locked = await Locked.start();
    const stamp = await locked.put('ahead', { mode: 'COMPLIANCE', retainUntil: Date.now() + YEAR_MS });
    for (const slot of [0, 1]) (locked.clocks[slot] as ShiftedClock).shiftMs = 10 * YEAR_MS;
    await locked.world.clock.sleep(200);
    expect(await locked.remove('ahead', stamp, true)).toMatchObject(refused);
  });
});

describe('the clock of retention', () => {
  it('knows no time before it was told, then the lower of its own and what f + 1 others say', () => {
    const clock = new ShiftedClock();
    const retention = new RetentionClock(clock);
    expect(retention.nowMs()).toBeNull();
    retention.hear([Date.now()], 1);
    expect(retention.nowMs()).toBeNull();
    retention.hear([Date.now(), Date.now() + 10 * YEAR_MS, Date.now() - 5], 1);
    expect(Math.abs((retention.nowMs() ?? 0) - Date.now())).toBeLessThan(1_000);
    clock.shiftMs = 10 * YEAR_MS;
    expect((retention.nowMs() ?? 0) - Date.now()).toBeLessThan(5 * 60_000 + 1_000);
    expect(retention.isAhead).toBe(true);
    clock.shiftMs = -YEAR_MS;
    expect((retention.nowMs() ?? 0) - Date.now()).toBeLessThan(-YEAR_MS + 1_000);
  });
});
