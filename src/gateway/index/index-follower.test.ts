import { MemoryLevel } from 'memory-level';
import { describe, expect, it } from 'vitest';
import { utf8 } from '../../base/bytes.ts';
import type { Clock, Telemetry } from '../../base/ports.ts';
import type { Certified } from '../../client/certificates.ts';
import type { VersionHead } from '../../client/read.ts';
import type { FreshVerdict, LogFollower, TakeEntries } from '../../client/follow.ts';
import { sha256 } from '../../crypto/primitives.ts';
import { OwnerKeys } from '../../keyring/owner-keys.ts';
import { SystemClock } from '../../platform/clock.ts';
import { LevelStore } from '../../platform/level-store.ts';
import type { CommittedBody } from '../../protocol/log-entries.ts';
import type { Manifest } from '../../protocol/manifest.ts';
import { BucketRegistry } from '../buckets/bucket-registry.ts';
import { IndexFollower } from './index-follower.ts';
import { ObjectIndex } from './object-index.ts';

const telemetry: Telemetry = { count: () => undefined, event: () => undefined };
const system = new SystemClock();
let skippedMs = 0;
/** The system's clock, which a test may put forward. */
const clock: Clock = {
  nowMs: () => system.nowMs() + skippedMs,
  monotonicMs: () => system.monotonicMs() + skippedMs,
  after: (delayMs, action) => system.after(delayMs, action),
  sleep: (delayMs, signal) => system.sleep(delayMs, signal),
};
const id = (name: string): Uint8Array => Uint8Array.from(sha256(utf8(name)));

/** Logs and certificates as a test says, in the place of the client. */
class FakeNodes {
  readonly logs: CommittedBody[][] = [[], [], [], []];
  readonly unreachable = new Set<number>();
  /** Manifest hashes whose certificates nobody gives. */
  readonly withheld = new Set<string>();
  readonly asked: string[] = [];
  rounds = 0;
  #take: TakeEntries = () => undefined;
  readonly #given = [0, 0, 0, 0];

  follow = (take: TakeEntries): LogFollower => {
    this.#take = take;
    return {
      fresh: (slot: number) => this.#fresh(slot),
      serialise: () => utf8(`tail ${this.rounds}`),
    } as unknown as LogFollower;
  };

  async #fresh(slot: number): Promise<FreshVerdict> {
    this.rounds += 1;
    await Promise.resolve();
    if (this.unreachable.has(slot)) return { ok: false, slot, reason: 'away' };
    const log = this.logs[slot] ?? [];
    const entries = log.slice(this.#given[slot]);
    this.#given[slot] = log.length;
    if (entries.length > 0) await this.#take(slot, entries);
    return { ok: true, slot, size: log.length };
  }

  headAt = (): Promise<VersionHead> => Promise.resolve({ kind: 'absent' });

  certificates = (
    wanted: readonly { readonly keyId: Uint8Array }[],
  ): Promise<readonly (Certified | null)[]> =>
    Promise.resolve(
      wanted.map(({ keyId }) => {
        const newest = this.logs
          .flat()
          .filter((entry) => String(entry.keyId) === String(keyId))
          .at(-1);
        if (newest === undefined || this.withheld.has(String(newest.manifestHash))) return null;
        this.asked.push(String(newest.manifestHash));
        return certifiedOf(newest);
      }),
    );
}

function entryOf(name: string, counter: number): CommittedBody {
  const stamp = { gen: 1, counter, writerId: new Uint8Array(16) };
  return {
    v: 1,
    manifestHash: id(`${name} ${counter}`),
    bucketId: id('bucket'),
    keyId: id(name),
    stamp,
    kind: 'INLINE',
  };
}

function certifiedOf({ manifestHash, bucketId, keyId, stamp, kind }: CommittedBody): Certified {
  const manifest = { bucketId, keyId, stamp, kind, slot: null, opId: id('operation') } as unknown as Manifest;
  const signed = { manifest, hash: manifestHash } as unknown as Certified['signed'];
  return {
    cert: { signed, receipts: [] } as unknown as Certified['cert'],
    signed,
    stamp,
    bytes: manifestHash,
  };
}

function world() {
  const nodes = new FakeNodes();
  const index = new ObjectIndex(
    new LevelStore(new MemoryLevel<Uint8Array, Uint8Array>({ keyEncoding: 'view', valueEncoding: 'view' })),
    { holdersNeeded: 3, operationWindowMs: 1000 },
  );
  const registry = new BucketRegistry({
    client: { head: () => Promise.resolve(null), write: () => Promise.reject(new Error('not here')) },
    owner: new OwnerKeys(new Uint8Array(32)),
    random: { bytes: (count) => new Uint8Array(count) },
    clock,
    telemetry,
    k: 2,
  });
  const ports = { client: nodes, index, registry, clock, telemetry, quorums: { n: 4, f: 1 }, barrierMs: 500 };
  return { nodes, index, follower: new IndexFollower(ports, new Map()) };
}

const NO_QUORUM = expect.objectContaining({ code: 'NO_QUORUM' });

describe('the barrier of the index', () => {
  it('waits for q logs, and for no more', async () => {
    const { nodes, index, follower } = world();
    nodes.logs[2]?.push(entryOf('a', 1));
    nodes.unreachable.add(0);
    await follower.barrier();
    expect((await index.key(id('a')))?.holders).toBe(0b100);
    nodes.unreachable.add(1);
    await expect(follower.barrier()).rejects.toEqual(NO_QUORUM);
  });

  it('asks for each certificate once, though all logs name it', async () => {
    const { nodes, index, follower } = world();
    for (const log of nodes.logs) log.push(entryOf('a', 1), entryOf('b', 1));
    await follower.barrier();
    await follower.barrier();
    expect(nodes.asked.length).toBe(2);
    expect(await index.key(id('a'))).toMatchObject({ settled: true });
  });

  it('serves with one round all who asked before it began', async () => {
    const { nodes, follower } = world();
    await Promise.all(Array.from({ length: 10 }, () => follower.barrier()));
    // The first has its own round, for the others it began too early.
    expect(nodes.rounds).toBe(8);
  });

  it('does not count a log that names what nobody gives, until it is given', async () => {
    const { nodes, index, follower } = world();
    const entry = entryOf('a', 1);
    nodes.withheld.add(String(entry.manifestHash));
    nodes.logs[0]?.push(entry);
    await follower.barrier();
    expect(await index.tail(0)).toBeUndefined();
    expect(await index.tail(1)).toBeDefined();
    nodes.unreachable.add(3);
    await expect(follower.barrier()).rejects.toEqual(NO_QUORUM);
    nodes.withheld.clear();
    // It is asked for again after a while, not with each barrier.
    skippedMs += 2_100;
    await follower.barrier();
    expect(await index.key(id('a'))).toMatchObject({ holders: 1 });
    expect(await index.tail(0)).toBeDefined();
  });

  it('forgets a missing certificate when a higher one of the key is there', async () => {
    const { nodes, follower } = world();
    const lost = entryOf('a', 1);
    nodes.withheld.add(String(lost.manifestHash));
    nodes.logs[0]?.push(lost);
    await follower.barrier();
    nodes.logs[1]?.push(entryOf('a', 2));
    nodes.unreachable.add(3);
    skippedMs += 2_100;
    await follower.barrier();
  });

  it('tells a watcher whose logs hold a version', async () => {
    const { nodes, follower } = world();
    const slots: number[] = [];
    const end = follower.watch((slot) => slots.push(slot));
    for (const slot of [0, 2]) nodes.logs[slot]?.push(entryOf('a', 1));
    await follower.barrier();
    await expect(follower.barrierOver((slot) => slots.includes(slot))).rejects.toEqual(NO_QUORUM);
    nodes.logs[3]?.push(entryOf('a', 1));
    await follower.barrierOver((slot) => slots.includes(slot));
    end();
    nodes.logs[1]?.push(entryOf('a', 1));
    await follower.barrier();
    expect(slots.sort()).toEqual([0, 2, 3]);
  });

  it('saves nothing more once it was retired', async () => {
    const { nodes, index, follower } = world();
    nodes.logs[0]?.push(entryOf('a', 1));
    follower.retire();
    await follower.barrier();
    expect(await index.tail(0)).toBeUndefined();
  });
});
