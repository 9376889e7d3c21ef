/**
 * Recovery of a storage node (protocol 13.8): a snapshot and the tail say what the whole journal says, at any
 * place of any history.
 */
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { EMPTY } from '../../src/base/bytes.ts';
import { FaultyDisk } from '../../src/sim/faulty-disk.ts';
import { TUNING_DEFAULT } from '../../src/storage-node/context.ts';
import { recover } from '../../src/storage-node/recover.ts';
import { nodeKey, RawWriter } from '../../src/sim/adversaries/raw-writer.ts';
import type { RawVersion } from '../../src/sim/adversaries/raw-writer.ts';
import { failing } from '../../src/sim/adversaries/nodes.ts';
import type { BucketAuthority } from '../../src/client/write.ts';
import type { Stamp } from '../../src/protocol/stamp.ts';
import { bytesContent, clientOf, contentOf, putRecord, putSlot, recordOf } from '../world/client-world.ts';
import type { TestClient } from '../world/client-world.ts';
import { rot } from '../world/rot.ts';
import { dumpState } from '../world/state-dump.ts';
import { World } from '../world/world.ts';

const NODE = 0;
const SMALL = { logSegmentBytes: 64 * 1024, cellSegmentBytes: 32 * 1024 };
const worlds: World[] = [];
afterEach(async () => {
  for (const world of worlds.splice(0)) await world.stop();
});

type Deed =
  | { readonly do: 'prepare' | 'write' | 'late'; readonly key: number; readonly kind: 'DATA' | 'INLINE' | 'TOMBSTONE' | 'TABLE'; readonly stripes: number }
  | { readonly do: 'resolve'; readonly key: number; readonly above: number }
  | { readonly do: 'abort' | 'damage'; readonly key: number }
  | { readonly do: 'slot'; readonly key: number; readonly how: 'replace' | 'keep' | 'remove' | 'leave' | 'withdraw'; readonly size: number }
  | { readonly do: 'snapshot' | 'wait' };

const key = fc.nat(4);
const deed: fc.Arbitrary<Deed> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constantFrom('prepare' as const, 'write' as const, 'late' as const), key, kind: fc.constantFrom('DATA', 'INLINE', 'TOMBSTONE', 'TABLE'), stripes: fc.integer({ min: 1, max: 3 }) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('resolve' as const), key, above: fc.nat(2) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('abort' as const, 'damage' as const), key }) },
  { weight: 8, arbitrary: fc.record({ do: fc.constant('slot' as const), key, how: fc.constantFrom('replace', 'keep', 'keep', 'remove', 'leave', 'withdraw'), size: fc.constantFrom(10, 6_000) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('snapshot' as const, 'wait' as const) }) },
);

/** Does the deeds at a whole cluster; what the nodes refuse is refused. */
class History {
  readonly #world: World;
  readonly #writer: RawWriter;
  readonly #disk: FaultyDisk;
  readonly #slots: readonly number[];
  #counter = 1;
  #parts: RawVersion[] = [];
  readonly #gateway: TestClient;
  readonly #buckets: { readonly replacing: BucketAuthority; readonly keeping: BucketAuthority };
  readonly #stamps = new Map<string, Stamp[]>();

  private constructor(world: World, writer: RawWriter, disk: FaultyDisk, gateway: TestClient, buckets: { readonly replacing: BucketAuthority; readonly keeping: BucketAuthority }) {
    this.#world = world;
    this.#gateway = gateway;
    this.#buckets = buckets;
    this.#writer = writer;
    this.#disk = disk;
    this.#slots = world.cluster.slots.map((s) => s.slot);
  }

  static async begin(world: World, writer: RawWriter, disk: FaultyDisk): Promise<History> {
    const gateway = clientOf(world, 0, { deadlines: { prepareMs: 40, commitMs: 200, resolveMs: 200 } });
    const serialised = { v: 2, mode: 'SERIALISED' } as const;
    const replacing = await putRecord(world, gateway, recordOf(world, 'replacing', serialised));
    const keeping = await putRecord(world, gateway, recordOf(world, 'keeping', { ...serialised, versioning: 'ENABLED' }));
    return new History(world, writer, disk, gateway, { replacing, keeping });
  }

  async end(): Promise<void> {
    await this.#gateway.client.close();
  }

  async do(deed: Deed): Promise<void> {
    this.#counter += 1;
    switch (deed.do) {
      case 'prepare':
      case 'write':
      case 'late':
        return this.#write(deed);
      case 'resolve': {
        // Above what this history comes to: there the node must still be able to accept.
        const stamp = this.#writer.stamp(this.#counter + 1000 * (1 + deed.above));
        await this.#writer.ask(NODE, { t: 'RESOLVE', keyId: this.#keyId(deed.key), stamp, promise: true });
        return;
      }
      case 'slot':
        return this.#slot(deed);
      case 'abort':
        return this.#abort(deed.key);
      case 'damage':
        return this.#damage(deed.key);
      case 'snapshot':
        // Taken at the next round of upkeep.
        await this.#world.clock.sleep(20);
        return;
      case 'wait':
        await this.#world.clock.sleep(30);
        return;
    }
  }

  async #write(deed: Extract<Deed, { readonly kind: string }>): Promise<void> {
    if (deed.kind === 'TABLE' && this.#parts.length === 0) return;
    const version = this.#writer.version({
      key: `k ${deed.key}`,
      counter: this.#counter,
      kind: deed.kind,
      ...(deed.kind === 'DATA' ? { size: deed.stripes * 1500 } : {}),
      ...(deed.kind === 'TABLE' ? { parts: this.#parts.slice(-2) } : {}),
    });
    try {
      if (deed.do === 'write') await this.#writer.write(version);
      else if (deed.do === 'late') await this.#late(version);
      else await this.#writer.receipts(version, [NODE]);
      if (deed.kind === 'DATA') this.#parts.push(version);
    } catch {
      // A table whose parts were collected meanwhile.
      this.#parts = [];
    }
  }

  /** A write through a slot. What is left is accepted by this node alone; what is withdrawn is staged for nothing. */
  async #slot({ key, how, size }: Extract<Deed, { readonly do: 'slot' }>): Promise<void> {
    const { replacing, keeping } = this.#buckets;
    const bucket = how === 'replace' || how === 'leave' ? replacing : keeping;
    const name = `${bucket === replacing ? 'r' : 's'} ${key}`;
    const stamps = this.#stamps.get(name) ?? [];
    this.#stamps.set(name, stamps);
    const removes = bucket === replacing ? 'ALL' : how === 'remove' ? stamps.splice(0, 1) : [];
    if (how === 'remove' && removes.length === 0) return;
    if (how === 'leave') for (const slot of this.#slots) if (slot !== NODE) this.#world.interceptors.set(slot, failing('PREPARE'));
    const bytes = contentOf(`${name} ${this.#counter}`, size);
    const gone = { kind: 'remove' as const, wrappedKey: EMPTY, encMeta: EMPTY };
    let asked = 0;
    const result = await putSlot(this.#gateway, bucket, name, bytes, {
      content: how === 'remove' ? gone : bytesContent(bytes).content,
      decide: () => Promise.resolve(how === 'withdraw' && asked++ > 0 ? 'decline' : { removes }),
      needsCertified: how === 'withdraw',
    });
    this.#world.interceptors.clear();
    if (result.outcome === 'committed' && how === 'keep') stamps.push(result.signed.manifest.stamp);
  }

  /** The certificate comes before the content. */
  async #late(version: RawVersion): Promise<void> {
    const receipts = await this.#writer.receipts(version, this.#slots.filter((slot) => slot !== NODE));
    const cert = this.#writer.certificate(version, receipts);
    for (const slot of this.#slots) await this.#writer.commit(slot, cert);
    await this.#writer.prepare(NODE, version);
  }

  /** A version on one node alone, and the licence to let it go. */
  async #abort(key: number): Promise<void> {
    const version = this.#writer.version({ key: `k ${key}`, counter: this.#counter });
    const { keyId, stamp } = version.signed.manifest;
    await this.#writer.receipts(version, [NODE]);
    const answers = await Promise.all(this.#slots.map((slot) => this.#writer.ask(slot, { t: 'RESOLVE', keyId, stamp, promise: true })));
    const resolutions = answers.flatMap((answer) => (answer.ok ? [answer.answer.resolution] : []));
    const aborted = await this.#writer.ask(NODE, { t: 'ABORT', keyId, stamp, resolutions });
    expect(aborted.ok).toBe(true);
  }

  /** A cell rots and somebody asks for it. */
  async #damage(key: number): Promise<void> {
    const version = this.#writer.version({ key: `k ${key}`, counter: this.#counter, content: `damaged ${this.#counter}` });
    await this.#writer.write(version);
    const cell = version.cells[0]?.[NODE] ?? EMPTY;
    expect(await rot(this.#disk, cell)).toBeGreaterThan(0);
    const answer = await this.#writer.fetch(NODE, version);
    expect(answer.ok ? 'read' : answer.refused.code).toBe('HOLE');
  }

  #keyId(key: number): Uint8Array {
    return this.#writer.version({ key: `k ${key}`, counter: 1, kind: 'TOMBSTONE' }).signed.manifest.keyId;
  }
}

async function recovered(world: World, disk: FaultyDisk): Promise<unknown> {
  const self = world.cluster.slotAt(NODE);
  if (self === undefined) throw new Error('the slot exists');
  const { cluster, clock, random, telemetry } = world;
  const signingKey = nodeKey(NODE);
  const found = await recover({ signingKey, cluster, disk, clock, random, telemetry, fresh: false }, self, { ...TUNING_DEFAULT, ...SMALL });
  const dump = dumpState(found.state, world.writers.map((w) => w.gatewayId));
  await found.close();
  return { fromSnapshot: found.summary.fromSnapshot, dump };
}

async function snapshotsOf(disk: FaultyDisk): Promise<string[]> {
  return (await disk.list('journal')).filter((name) => name.endsWith('.snap'));
}

describe('a storage node', () => {
  it('finds the same state by any snapshot and the tail as by the whole journal', async () => {
    let compared = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(deed, { minLength: 5, maxLength: 40 }), fc.integer({ min: 5, max: 25 }), async (deeds, snapshotRecords) => {
        const disks = new Map([0, 1, 2, 3].map((slot) => [slot, new FaultyDisk()]));
        const world = await World.start({ n: 4, disks, tuning: { ...SMALL, upkeepMs: 5, quarantineMs: 0, snapshotRecords } });
        worlds.push(world);
        const disk = disks.get(NODE) as FaultyDisk;
        const writer = new RawWriter(world);
        await writer.openBucket();
        const history = await History.begin(world, writer, disk);
        for (const [i, one] of deeds.entries()) {
          await history.do(one);
          // All of this world is in memory: upkeep has its turn only when nothing else goes on.
          if (i % 4 === 3) await world.clock.sleep(6);
        }
        await history.end();
        await world.kill(NODE);
        const left = disk.restartProcess();
        const names = await snapshotsOf(left);
        const bare = left.clone();
        for (const name of names) await bare.remove(`journal/${name}`);
        const whole = await recovered(world, bare);
        expect(whole).toMatchObject({ fromSnapshot: false });
        // The newest, then the one before it.
        for (let drop = 0; drop < names.length; drop += 1) {
          const partial = left.clone();
          for (const name of names.slice(names.length - drop)) await partial.remove(`journal/${name}`);
          const found = await recovered(world, partial);
          expect(found).toEqual({ ...(whole as object), fromSnapshot: true });
          compared += 1;
        }
        await world.stop();
        worlds.pop();
      }),
      { numRuns: 25 },
    );
    expect(compared).toBeGreaterThan(10);
  }, 60_000);

  it('passes over a damaged snapshot', async () => {
    const disk = new FaultyDisk();
    const world = await World.start({ n: 4, disks: new Map([[NODE, disk]]), tuning: { ...SMALL, snapshotRecords: 10, upkeepMs: 5 } });
    worlds.push(world);
    const writer = new RawWriter(world);
    await writer.openBucket();
    for (let i = 0; i < 10; i += 1) await writer.write(writer.version({ key: `k ${i}`, counter: 1 }));
    await world.clock.sleep(50);
    await world.kill(NODE);
    const left = disk.restartProcess();
    const names = await snapshotsOf(left);
    expect(names.length).toBeGreaterThan(0);
    const whole = await recovered(world, left.clone());
    for (const name of names) left.flip(`journal/${name}`, 700);
    expect(await recovered(world, left)).toEqual({ ...(whole as object), fromSnapshot: false });
  });
});
