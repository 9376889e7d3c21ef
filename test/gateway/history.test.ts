/**
 * The history that the nodes' logs tell: state roots and what proves them, what became of a bucket, and what a
 * stolen writer did.
 */
import { afterEach, describe, expect, it } from 'vitest';
import { hex, utf8 } from '../../src/base/bytes.ts';
import { CELL_BYTES_MAX } from '../../src/base/limits.ts';
import { ProtocolClient } from '../../src/client/client.ts';
import { sha256 } from '../../src/crypto/primitives.ts';
import { wasmCodec } from '../../src/erasure/wasm.ts';
import { WorkspacePool } from '../../src/erasure/workspace.ts';
import { BucketRegistry } from '../../src/gateway/buckets/bucket-registry.ts';
import { encodeBucketProof, foldLeaves, leavesAt, openBucketProof, openBucketRoot, proveLeaf, signBucketRoot } from '../../src/gateway/history/bucket-root.ts';
import type { BucketLeaf, BucketRoot } from '../../src/gateway/history/bucket-root.ts';
import { changesBetween, missingFrom } from '../../src/gateway/history/compare.ts';
import { History } from '../../src/gateway/history/history.ts';
import { HistoryReader } from '../../src/gateway/history/history-reader.ts';
import type { FollowedLogs } from '../../src/gateway/history/history-reader.ts';
import { restoreSteps, SuspectWrites, writesOf } from '../../src/gateway/history/writes.ts';
import { ROOTS_BUCKET } from '../../src/gateway/root-schedule.ts';
import type { ObjectStore } from '../../src/gateway/s3/port/object-store.ts';
import { OwnerKeys } from '../../src/keyring/owner-keys.ts';
import { LevelStore } from '../../src/platform/level-store.ts';
import { BatchSigner } from '../../src/protocol/batch-signer.ts';
import { requestIn } from '../../src/sim/adversaries/nodes.ts';
import { MemoryJournal } from '../world/client-world.ts';
import { getBytesOf, keysOf, makeBucket, newIndex, operationOf, putBytes, removeObject, startGateway } from '../world/gateway-world.ts';
import type { TestGateway, TestIndex } from '../world/gateway-world.ts';
import { World } from '../world/world.ts';

const BUCKET = 'papers';
const GEN = 1;

let world: World;
const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

/** One owner's gateways in a cluster, and a bucket that keeps versions or not. */
async function begin(versioning: boolean, gateways: number = 1): Promise<readonly TestGateway[]> {
  world = await World.start({ n: 4, f: 1, k: 2, writers: 3 });
  closers.push(() => world.stop());
  const started: TestGateway[] = [];
  for (let i = 0; i < gateways; i += 1) {
    const gateway = await startGateway(world, i);
    closers.push(() => gateway.gateway.stop());
    started.push(gateway);
  }
  const [first] = started;
  if (first === undefined) throw new Error('a gateway');
  await makeBucket(first.store, BUCKET);
  if (versioning) await first.store.changeBucket({ bucket: BUCKET, change: { kind: 'versioning', versioning: 'enabled' }, operation: operationOf() });
  return started;
}

interface Reading {
  readonly history: History;
  readonly logs: FollowedLogs;
  readonly client: ProtocolClient;
}

/** The history as another process of the owner reads it; `kept`: from the rows of an earlier reading. */
async function read(kept: TestIndex = newIndex()): Promise<Reading> {
  await kept.open();
  const identity = world.writers[2];
  if (identity === undefined) throw new Error('a reader');
  const { clock, random, telemetry, cluster } = world;
  const client = new ProtocolClient({
    cluster,
    transport: world.network.transport(identity.name, hex(identity.tlsKey.publicKey)),
    clock,
    random,
    telemetry,
    workspaces: new WorkspacePool(wasmCodec, { workspaceCount: 1, cellCountMax: 4, cellBytesMax: CELL_BYTES_MAX }),
    gatewayId: identity.gatewayId,
    signingKey: identity.signingKey,
    journal: new MemoryJournal(),
  });
  closers.push(() => client.close());
  const owner = new OwnerKeys(sha256(utf8('root secret of the owner')));
  const registry = new BucketRegistry({ client, owner, random, clock, telemetry, k: 2 });
  const history = await History.open(new LevelStore(kept));
  const reader = new HistoryReader({ client, registry, history, quorums: cluster.geometry });
  return { history, logs: await reader.sync(), client };
}

function scope(): { bucketId: Uint8Array; gen: number } {
  return { bucketId: new OwnerKeys(sha256(utf8('root secret of the owner'))).bucketId(BUCKET), gen: GEN };
}

const moment = ({ logs }: Reading, untilMs: number | null = null) => ({ sizes: logs.sizes, untilMs });

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const out: T[] = [];
  for await (const item of items) out.push(item);
  return out;
}

async function* each<T>(items: readonly T[]): AsyncIterable<T> {
  for (const item of items) yield await Promise.resolve(item);
}

async function rootOf(reading: Reading): Promise<{ document: Uint8Array; leaves: BucketLeaf[] }> {
  const at = { ...scope(), moment: moment(reading) };
  const identity = world.writers[0];
  if (identity === undefined) throw new Error('a writer');
  const leaves = await all(leavesAt(reading.history, at));
  const root: BucketRoot = {
    v: 1,
    clusterId: world.cluster.id,
    epoch: 1,
    gatewayId: identity.gatewayId,
    bucket: BUCKET,
    ...scope(),
    madeMs: 1,
    untilMs: null,
    ...(await foldLeaves(each(leaves))),
    logs: [...reading.logs.notes].map(([slot, note]) => ({ slot, note })),
  };
  return { document: await signBucketRoot(new BatchSigner(identity.signingKey, world.cluster.id), root), leaves };
}

const shown = (leaves: readonly BucketLeaf[]): string[] => leaves.map(({ key, marker, size }) => `${key} ${marker ? 'marker' : size}`);

describe('the history of a bucket', () => {
  it('gives the live versions of any moment, also of versions that no node shows any more', async () => {
    const [g] = await begin(false);
    if (g === undefined) return;
    await putBytes(g.store, BUCKET, 'b', new Uint8Array(10));
    await putBytes(g.store, BUCKET, 'a', new Uint8Array(5_000));
    const early = await read();
    await putBytes(g.store, BUCKET, 'b', new Uint8Array(11));
    await removeObject(g.store, BUCKET, 'a');
    await putBytes(g.store, BUCKET, 'c', new Uint8Array(0));
    const late = await read();
    expect(shown(await all(leavesAt(late.history, { ...scope(), moment: moment(late) })))).toEqual(['b 11', 'c 0']);
    expect(shown(await all(leavesAt(late.history, { ...scope(), moment: moment(early) })))).toEqual(['a 5000', 'b 10']);
    const changes = await all(changesBetween(late.history, scope(), moment(early), moment(late)));
    expect(changes.map(({ change, key, by }) => `${key} ${change} ${by === null ? 'by nobody' : ''}`.trim())).toEqual([
      'a deleted', 'b replaced', 'b changed', 'c added',
    ]);
  });

  it('goes on from where it was left, and is the same as one read from the beginning', async () => {
    const [g] = await begin(true);
    if (g === undefined) return;
    await putBytes(g.store, BUCKET, 'a', new Uint8Array(1));
    const kept = newIndex();
    const first = await read(kept);
    await first.history.close();
    await putBytes(g.store, BUCKET, 'a', new Uint8Array(2));
    await removeObject(g.store, BUCKET, 'a');
    const asked: number[] = [];
    // The gateway follows the log, too.
    const reader = hex(world.writers[2]?.tlsKey.publicKey ?? new Uint8Array());
    world.interceptors.set(0, (honest, frame, from) => {
      const request = requestIn(frame);
      if (request?.t === 'CHANGES' && from.peer === reader) asked.push(request.from);
      return honest(frame);
    });
    const again = await read(kept);
    expect(Math.min(...asked)).toBe(first.logs.sizes.get(0));
    const fresh = await read();
    const of = (reading: Reading) => all(leavesAt(reading.history, { ...scope(), moment: moment(fresh) }));
    expect(shown(await of(again))).toEqual(['a marker', 'a 2', 'a 1']);
    expect(await of(again)).toEqual(await of(fresh));
  });

  it('does without a log whose node is down, and refuses with fewer than q', async () => {
    const [g] = await begin(false);
    if (g === undefined) return;
    await putBytes(g.store, BUCKET, 'a', new Uint8Array(1));
    await world.kill(3);
    const reading = await read();
    expect([...reading.logs.sizes.keys()].sort()).toEqual([0, 1, 2]);
    expect(openBucketRoot(world.cluster, (await rootOf(reading)).document)).toMatchObject({ ok: true });
    await world.kill(2);
    await expect(read()).rejects.toMatchObject({ code: 'NO_QUORUM' });
  });

  it('does not count a log that names what nobody gives', async () => {
    const [g] = await begin(false);
    if (g === undefined) return;
    await putBytes(g.store, BUCKET, 'a', new Uint8Array(1));
    world.interceptors.set(1, (honest, frame) => {
      return requestIn(frame)?.t === 'HISTORY' ? Promise.reject(new Error('withheld')) : honest(frame);
    });
    // Whoever is asked first gives the certificate; the liar's log then names what is known.
    const { logs, history } = await read();
    expect(logs.sizes.size).toBeGreaterThanOrEqual(3);
    expect(shown(await all(leavesAt(history, { ...scope(), moment: { sizes: logs.sizes, untilMs: null } })))).toEqual(['a 1']);
  });
});

describe('a state root', () => {
  it('is verified offline, and proves each version that it counts and no other', async () => {
    const [g] = await begin(true);
    if (g === undefined) return;
    for (const [i, key] of ['a', 'b', 'c', 'd', 'e'].entries()) await putBytes(g.store, BUCKET, key, new Uint8Array(i));
    await removeObject(g.store, BUCKET, 'c');
    const reading = await read();
    const { document, leaves } = await rootOf(reading);
    expect(shown(leaves)).toEqual(['a 0', 'b 1', 'c marker', 'c 2', 'd 3', 'e 4']);
    const opened = openBucketRoot(world.cluster, document);
    expect(opened).toMatchObject({ ok: true, value: { root: { count: 6, bytes: 10, bucket: BUCKET } } });
    for (const wanted of leaves) {
      const proof = await proveLeaf(() => each(leaves), document, leaves.length, (leaf) => leaf === wanted);
      if (proof === null) throw new Error('a version of the root is proven');
      expect(openBucketProof(world.cluster, encodeBucketProof(proof))).toMatchObject({ ok: true, value: { leaf: wanted } });
      const forged = { ...proof, index: (proof.index + 1) % leaves.length };
      expect(openBucketProof(world.cluster, encodeBucketProof(forged))).toMatchObject({ ok: false });
    }
    expect(await proveLeaf(() => each(leaves), document, leaves.length, ({ key }) => key === 'nothing')).toBeNull();
  });

  it.each(['a changed byte', 'too few checkpoints', 'another signer'])('is refused with %s', async (fault) => {
    const [g] = await begin(false);
    if (g === undefined) return;
    const reading = await read();
    const notes = fault === 'too few checkpoints' ? new Map([...reading.logs.notes].slice(0, 2)) : reading.logs.notes;
    const { document } = await rootOf({ ...reading, logs: { ...reading.logs, notes } });
    if (fault === 'a changed byte') document.set([(document[200] ?? 0) ^ 1], 200);
    const cluster = fault === 'another signer' ? (await import('../../src/sim/members.ts')).makeCluster((await import('../../src/sim/members.ts')).makeNodeKeys(4), world.writers.slice(1), { f: 1, k: 2 }) : world.cluster;
    expect(openBucketRoot(cluster, document)).toMatchObject({ ok: false });
  });

  it('holds the logs to what they were: one that begins otherwise is seen', async () => {
    const [g] = await begin(false);
    if (g === undefined) return;
    await putBytes(g.store, BUCKET, 'a', new Uint8Array(1));
    const reading = await read();
    const opened = openBucketRoot(world.cluster, (await rootOf(reading)).document);
    if (!opened.ok) throw new Error(opened.reason);
    const checkpoint = opened.value.checkpoints.get(0);
    if (checkpoint === undefined) throw new Error('slot 0 is one of them');
    expect(await reading.client.beginsWith(0, checkpoint)).toBe('same');
    expect(await reading.client.beginsWith(0, { ...checkpoint, root: sha256(utf8('other')) })).toBe('other');
    expect(await reading.client.beginsWith(1, checkpoint)).toBe('other');
  });

  it('shows what its owner had kept and the history lacks', async () => {
    const [g] = await begin(false);
    if (g === undefined) return;
    for (const key of ['a', 'b', 'c']) await putBytes(g.store, BUCKET, key, new Uint8Array(1));
    const { leaves } = await rootOf(await read());
    const [a, b, c] = leaves;
    if (a === undefined || b === undefined || c === undefined) throw new Error('three leaves');
    expect(await all(missingFrom(each(leaves), each(leaves)))).toEqual([]);
    expect(await all(missingFrom(each(leaves), each([a, c])))).toEqual([b]);
    expect(await all(missingFrom(each(leaves), each([a, { ...b, manifestHash: sha256(utf8('other')) }])))).toEqual([{ ...b }, c]);
  });
});

describe('a gateway that makes roots by the clock', () => {
  it('signs one of every bucket again and again, keeps so many, and passes over its own', async () => {
    await begin(false);
    const openHistory = async () => {
      const store = newIndex();
      await store.open();
      return new LevelStore(store);
    };
    const { store, gateway } = await startGateway(world, 1, { roots: { everyMs: 50, kept: 2, openHistory } });
    closers.push(() => gateway.stop());
    await putBytes(store, BUCKET, 'a', new Uint8Array(3));
    const first = await rootsKept(store, (keys) => keys.length === 2);
    const later = await rootsKept(store, (keys) => keys.length === 2 && keys.every((key) => !first.includes(key)));
    expect(later.every((key) => key.startsWith(`${BUCKET}/`))).toBe(true);
    const document = await getBytesOf(store, ROOTS_BUCKET, later[0] ?? '');
    if (typeof document === 'string') return;
    expect(openBucketRoot(world.cluster, document)).toMatchObject({ ok: true, value: { root: { bucket: BUCKET, count: 1, bytes: 3 } } });
  });

  /** The keys of the roots, once they fit. */
  async function rootsKept(store: ObjectStore, fits: (keys: readonly string[]) => boolean): Promise<readonly string[]> {
    for (;;) {
      const keys = await keysOf(store, ROOTS_BUCKET);
      if (typeof keys !== 'string' && fits(keys)) return keys;
      await world.clock.sleep(20);
    }
  }
});

describe('a stolen writer', () => {
  it('is found in all that it wrote since, dated back or not, and told what brings the versions before it back', async () => {
    const [thief, good] = await begin(true, 2);
    if (thief === undefined || good === undefined) return;
    await putBytes(thief.store, BUCKET, 'kept', new Uint8Array(1));
    await putBytes(good.store, BUCKET, 'overwritten', new Uint8Array(2));
    await putBytes(good.store, BUCKET, 'deleted', new Uint8Array(3));
    await world.clock.sleep(5);
    const sinceMs = world.clock.nowMs();
    await putBytes(thief.store, BUCKET, 'overwritten', new Uint8Array(20));
    await removeObject(thief.store, BUCKET, 'deleted');
    await putBytes(thief.store, BUCKET, 'planted', new Uint8Array(4));
    await putBytes(good.store, BUCKET, 'later', new Uint8Array(5));
    const { history } = await read();
    const suspect = { gatewayId: world.writers[0]?.gatewayId ?? new Uint8Array(), sinceMs };
    const writes = await SuspectWrites.find(history, suspect, world.cluster.geometry);
    const { bucketId } = scope();
    const listed = (await all(writesOf(history, writes, bucketId))).filter(({ entry }) => entry.fact.name !== null && entry.fact.t !== 'record');
    expect(listed.map(({ entry }) => `${entry.fact.t} ${entry.fact.name}`).sort()).toEqual(['marker deleted', 'object overwritten', 'object planted']);
    const steps = await all(restoreSteps(history, writes, scope(), true));
    expect(steps.map(({ key, remedy }) => [key, remedy.kind, remedy.kind === 'copy' ? remedy.version.fact.size : null])).toEqual([
      ['deleted', 'copy', 3],
      ['overwritten', 'copy', 2],
      ['planted', 'mark', null],
    ]);
    expect((await all(restoreSteps(history, writes, scope(), false))).map(({ remedy }) => remedy.kind)).toEqual(['lost', 'lost', 'lost']);
    // A later moment, by which the thief's clock would hide what it wrote: good writers' entries stand before it.
    const sly = await SuspectWrites.find(history, { ...suspect, sinceMs }, world.cluster.geometry);
    const planted = listed.find(({ entry }) => entry.fact.name === 'planted')?.entry;
    const late = (await history.ofKey(bucketId, planted?.keyId ?? new Uint8Array())).map((entry) =>
      entry.fact === null ? entry : { ...entry, fact: { ...entry.fact, mtimeMs: 1_000 }, places: entry.places.map(({ slot, index }) => ({ slot, index: index + 1_000 })) },
    );
    expect(late.map((entry) => [sly.isOne(entry), sly.isBackdated(entry)])).toEqual([[true, true]]);
  });

  it('leaves nothing to restore where the bucket kept no versions, and says what is gone', async () => {
    const [thief, good] = await begin(false, 2);
    if (thief === undefined || good === undefined) return;
    await putBytes(good.store, BUCKET, 'a', new Uint8Array(2));
    await world.clock.sleep(5);
    const sinceMs = world.clock.nowMs();
    await putBytes(thief.store, BUCKET, 'a', new Uint8Array(20));
    const { history } = await read();
    const suspect = { gatewayId: world.writers[0]?.gatewayId ?? new Uint8Array(), sinceMs };
    const writes = await SuspectWrites.find(history, suspect, world.cluster.geometry);
    const [step] = await all(restoreSteps(history, writes, scope(), true));
    expect(step).toMatchObject({ key: 'a', remedy: { kind: 'lost' }, gone: [{ fact: { size: 2 } }] });
    const [write] = (await all(writesOf(history, writes, scope().bucketId))).filter(({ entry }) => entry.fact.t === 'object');
    expect(write).toMatchObject({ ended: [{ fact: { size: 2 } }] });
  });
});
