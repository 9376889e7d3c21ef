/**
 * A node that lost its cells and kept its log: it comes back as itself, says what it lacks, takes it back cell by
 * cell or whole from a controller that it does not trust, and is as good as before, also after another start.
 */
import { afterEach, describe, expect, it, vi } from 'vitest';
import { EMPTY, hex } from '../../src/base/bytes.ts';
import { CELL_BYTES_MAX } from '../../src/base/limits.ts';
import { ControllerClient } from '../../src/client/controller-client.ts';
import type { Certified } from '../../src/client/certificates.ts';
import type { AuditTarget } from '../../src/client/audit.ts';
import type { RebuiltStripe } from '../../src/client/rebuild.ts';
import { wasmCodec } from '../../src/erasure/wasm.ts';
import { WorkspacePool } from '../../src/erasure/workspace.ts';
import { encodeRepairAuthority, REPAIR_AUTHORITY_MS_MAX } from '../../src/protocol/repair-authority.ts';
import type { SignedBody } from '../../src/protocol/slot.ts';
import { stripeCount } from '../../src/protocol/stripes.ts';
import { FaultyDisk } from '../../src/sim/faulty-disk.ts';
import { failing } from '../../src/sim/adversaries/nodes.ts';
import { RawWriter } from '../../src/sim/adversaries/raw-writer.ts';
import { prove } from '../../src/sim/adversaries/stage.ts';
import { clientOf, contentOf, getBytes, put, putRecord, recordOf, sameBytes } from '../world/client-world.ts';
import type { TestClient } from '../world/client-world.ts';
import { World } from '../world/world.ts';

const LOST = 2;
const EMPTY_ID = new Uint8Array(16);
const worlds: World[] = [];
afterEach(async () => {
  for (const world of worlds.splice(0)) await world.stop();
});

interface Scene {
  readonly world: World;
  readonly writer: TestClient;
  readonly controller: ControllerClient;
  readonly authority: SignedBody;
  readonly versions: ReadonlyMap<string, Certified>;
}

function controllerOf(world: World): ControllerClient {
  const { controller, cluster, clock, random, telemetry } = world;
  const transport = world.network.transport(controller.name, hex(controller.tlsKey.publicKey));
  const pool = { workspaceCount: 2, cellCountMax: cluster.geometry.n, cellBytesMax: CELL_BYTES_MAX };
  return new ControllerClient({ cluster, transport, clock, random, telemetry, workspaces: new WorkspacePool(wasmCodec, pool) });
}

function authorityOf(world: World, lastsMs: number = REPAIR_AUTHORITY_MS_MAX / 2): SignedBody {
  const [gateway] = world.writers;
  if (gateway === undefined) throw new Error('there is a gateway');
  const notAfterMs = world.clock.nowMs() + lastsMs;
  const body = encodeRepairAuthority({ v: 1, controllerId: world.controller.gatewayId, epoch: world.cluster.epoch, notAfterMs });
  return { body, proof: prove(world.cluster, gateway.signingKey, 'repair-authority', body) };
}

const SIZES: Readonly<Record<string, number>> = { small: 100, single: 30_000, long: 3_000_000 };

async function start(): Promise<Scene> {
  const world = await World.start({ n: 4, f: 1 });
  worlds.push(world);
  const writer = clientOf(world);
  const bucket = await putRecord(world, writer, recordOf(world, 'b'));
  const controller = controllerOf(world);
  const versions = new Map<string, Certified>();
  for (const [name, size] of Object.entries(SIZES)) {
    const written = await put(writer, bucket, name, contentOf(name, size));
    if (written.outcome !== 'committed') throw new Error(written.outcome);
    const { keyId, stamp } = written.signed.manifest;
    await vi.waitUntil(() => world.nodes.get(LOST)?.status().keys === versions.size + 2, { timeout: 20_000 });
    const [certified] = await controller.certificates([{ keyId, stamp, slots: [0, 1, 2, 3] }]);
    if (certified === null || certified === undefined) throw new Error('a certificate was found');
    versions.set(name, certified);
  }
  return { world, writer, controller, authority: authorityOf(world), versions };
}

/** All cell segments of the node go; its log stays. */
async function wipe(world: World, slot: number): Promise<void> {
  await world.kill(slot);
  const disk = world.diskOf(slot);
  for (const name of await disk.list('journal')) if (name.startsWith('cells-')) await disk.remove(`journal/${name}`);
  await world.restart(slot);
}

const audit = async ({ controller }: Scene, version: Certified, stripe = 0) => (await controller.audit(LOST, targetOf(version, stripe), 5_000)).verdict;

function targetOf({ signed: { manifest, hash }, stamp }: Certified, stripe: number): AuditTarget {
  const layout = manifest.kind === 'DATA' ? manifest : null;
  return { keyId: manifest.keyId, manifestHash: hash, stamp, contentId: manifest.contentId, layout, stripe };
}

async function rebuilt({ controller }: Scene, version: Certified, stripe: number): Promise<RebuiltStripe> {
  const { manifest } = version.signed;
  const lacking = new Set([LOST]);
  const fetched =
    manifest.kind === 'DATA'
      ? await controller.rebuildStripe(version, { contentId: manifest.contentId, table: null, layout: manifest }, stripe, lacking)
      : await controller.rebuildBody(version, lacking);
  if (fetched.kind === 'superseded') throw new Error(fetched.kind);
  return fetched.value;
}

async function give(scene: Scene, version: Certified, stripe: number, change: (piece: RebuiltStripe) => RebuiltStripe = (piece) => piece, authority = scene.authority) {
  const content = { contentId: version.signed.manifest.contentId, table: null };
  const { signal } = new AbortController();
  const piece = change(await rebuilt(scene, version, stripe));
  return scene.controller.giveCell(LOST, piece, { authority, version, content, stripe, isNew: false, signal });
}

async function giveWhole(scene: Scene, version: Certified) {
  const { manifest } = version.signed;
  const { signal } = new AbortController();
  const content = { contentId: manifest.contentId, table: null, layout: manifest };
  const stripes = async (stripe: number) => ({ kind: 'fetched', value: await rebuilt(scene, version, stripe) }) as const;
  return scene.controller.giveContent(LOST, content, stripes, { authority: scene.authority, version, content, stripe: 0, isNew: false, signal });
}

const holes = ({ world }: Scene): number => world.nodes.get(LOST)?.status().holes ?? -1;

function versionOf({ versions }: Scene, name: string): Certified {
  const version = versions.get(name);
  if (version === undefined) throw new Error(name);
  return version;
}

describe('a controller', () => {
  it('reads, and writes nothing: neither what it signs itself nor what a gateway has signed', async () => {
    const world = await World.start({ n: 4, f: 1 });
    worlds.push(world);
    const gateway = new RawWriter(world);
    await gateway.openBucket();
    const held = gateway.version({ key: 'held', counter: 1 });
    await gateway.write(held);
    const controller = new RawWriter(world.asController());
    controller.under(gateway.stamp(1));
    expect((await controller.fetch(0, held)).ok).toBe(true);
    const fresh = gateway.version({ key: 'fresh', counter: 1 });
    const cert = gateway.certificate(fresh, await gateway.receipts(fresh, [1, 2, 3]));
    const { keyId, stamp, kind, contentId } = fresh.signed.manifest;
    const { k, size, cellBytes } = fresh.signed.manifest;
    if (kind !== 'DATA') throw new Error('content comes as cells');
    const stageId = EMPTY_ID;
    const layout = { kind, k, size, cellBytes, contentId };
    const cell = fresh.cells[0]?.[0] ?? EMPTY;
    const [row = EMPTY] = fresh.rows;
    const asked = [
      await controller.prepare(0, controller.version({ key: 'own', counter: 1 })),
      await controller.prepare(0, fresh),
      await controller.commit(0, cert),
      await controller.ask(0, { t: 'STAGE', bucketId: fresh.signed.manifest.bucketId, keyId, stageId, layout, upload: null, row, record: null }, cell),
      await controller.ask(0, { t: 'UNSTAGE', keyId, stageId }),
      await controller.ask(0, { t: 'RELEASE', keyId, stageId, statements: [] }),
      await controller.ask(0, { t: 'RESOLVE', keyId, stamp, promise: true }),
      await controller.ask(0, { t: 'ABORT', keyId, stamp, resolutions: [] }),
    ];
    for (const answer of asked) expect(answer).toMatchObject({ ok: false, refused: { code: 'DENIED', reason: expect.stringContaining('a controller may not ask') as string } });
    // Nor does a gateway act as one.
    const { hash: manifestHash } = held.signed;
    const version = { keyId: held.signed.manifest.keyId, manifestHash, stamp: held.signed.manifest.stamp, contentId: held.signed.manifest.contentId };
    const repair = { t: 'REPAIR' as const, ...version, authority: authorityOf(world), stripe: 0, row: held.rows[0] ?? EMPTY, path: [], cert: null, upload: null };
    expect(await gateway.ask(0, repair, held.cells[0]?.[0])).toMatchObject({ ok: false, refused: { code: 'DENIED' } });
  });
});

describe('a node whose cells are all gone', () => {
  it('comes back as itself, says so, takes them back, and has them after another start', async () => {
    const scene = await start();
    const { world, writer, versions } = scene;
    const before = world.nodes.get(LOST)?.status();
    await wipe(world, LOST);
    const stripes = [...versions.values()].reduce((sum, { signed: { manifest } }) => sum + (manifest.kind === 'DATA' ? stripeCount(manifest) : 1), 0);
    expect(world.nodes.get(LOST)?.status()).toMatchObject({ state: 'SERVING', keys: before?.keys });
    // The body of the bucket's record is in the manifest: it is no content of a node.
    expect(holes(scene)).toBeGreaterThanOrEqual(stripes);
    for (const version of versions.values()) expect(await audit(scene, version)).toMatchObject({ kind: 'lack', code: 'HOLE' });
    for (const name of ['small', 'single']) expect(await give(scene, versionOf(scene, name), 0)).toEqual({ kind: 'taken' });
    // The hashes of its other stripes are gone too: a single cell of it has no place.
    expect(await give(scene, versionOf(scene, 'long'), 1)).toEqual({ kind: 'conflict' });
    expect(await giveWhole(scene, versionOf(scene, 'long'))).toEqual({ kind: 'taken' });
    for (let round = 0; round < 2; round += 1) {
      for (const version of versions.values()) expect(await audit(scene, version)).toEqual({ kind: 'held' });
      expect(await audit(scene, versionOf(scene, 'long'), 1)).toEqual({ kind: 'held' });
      await world.kill(LOST);
      await world.restart(LOST);
    }
    // It is needed now: two of the three others decode with it alone.
    await world.kill(0);
    for (const [name, size] of Object.entries(SIZES)) expect(sameBytes(await getBytes(writer, name), contentOf(name, size))).toBe(true);
  });

  it('keeps the last promise in its log, though the cell of that was not there to be read back', async () => {
    const disk = new FaultyDisk();
    const world = await World.start({ n: 4, f: 1, disks: new Map([[LOST, disk]]) });
    worlds.push(world);
    const writer = clientOf(world);
    const bucket = await putRecord(world, writer, recordOf(world, 'b'));
    // Its receipt is the last that it writes: the others tell it nothing of the certificate.
    world.interceptors.set(LOST, failing('COMMIT'));
    world.interceptors.set(0, failing('PREPARE'));
    expect((await put(writer, bucket, 'key', contentOf('last', 30_000))).outcome).toBe('committed');
    // Killed so that nothing in the log says that all of it was synced.
    const left = disk.clone();
    await world.kill(LOST);
    for (const path of left.paths()) if (path.includes('cells-')) await left.remove(path);
    world.disks.set(LOST, left);
    await world.restart(LOST);
    expect(world.nodes.get(LOST)?.status()).toMatchObject({ state: 'SERVING' });
  });

  it('takes nothing that its certificate does not name, and nothing without a gateway’s word', async () => {
    const scene = await start();
    const { world } = scene;
    await wipe(world, LOST);
    const lost = holes(scene);
    const single = versionOf(scene, 'single');
    const wrongCell = (piece: RebuiltStripe): RebuiltStripe => ({ ...piece, cells: piece.cells.map((cell) => cell.map((byte) => byte ^ 1)) });
    // A row and its cell that fit each other, and no matrix.
    const ownRow = (piece: RebuiltStripe): RebuiltStripe => ({ ...piece, path: [piece.row.subarray(0, 32)] });
    const body = (piece: RebuiltStripe): RebuiltStripe => ({ ...piece, row: EMPTY, path: [] });
    for (const change of [wrongCell, ownRow, body]) expect(await give(scene, single, 0, change)).toMatchObject({ kind: 'refused', code: 'BAD' });
    const small = versionOf(scene, 'small');
    expect(await give(scene, small, 0, wrongCell)).toMatchObject({ kind: 'refused', code: 'BAD' });
    for (const authority of [authorityOf(world, -600_000), authorityOf(world, 2 * REPAIR_AUTHORITY_MS_MAX)]) {
      expect(await give(scene, single, 0, undefined, authority)).toMatchObject({ kind: 'refused', code: 'DENIED' });
    }
    const forged = authorityOf(world);
    const own = { body: forged.body, proof: prove(world.cluster, world.controller.signingKey, 'repair-authority', forged.body) };
    expect(await give(scene, single, 0, undefined, own)).toMatchObject({ kind: 'refused', code: 'DENIED' });
    expect(holes(scene)).toBe(lost);
    expect(await audit(scene, single)).toMatchObject({ kind: 'lack' });
  });

  it('finds by its scrub what rots while nobody reads it', async () => {
    const world = await World.start({ n: 4, f: 1, tuning: { scrubPauseMs: 50 } });
    worlds.push(world);
    const writer = clientOf(world);
    const bucket = await putRecord(world, writer, recordOf(world, 'b'));
    await put(writer, bucket, 'key', contentOf('key', 100_000));
    const scrub = () => world.nodes.get(LOST)?.status().scrub;
    await vi.waitUntil(() => (scrub()?.endedMs ?? null) !== null && (scrub()?.checkedBytes ?? 0) > 0, { timeout: 20_000 });
    expect(world.nodes.get(LOST)?.status().holes).toBe(0);
    const disk = world.diskOf(LOST);
    for (const name of await disk.list('journal')) {
      if (!name.startsWith('cells-')) continue;
      const file = await disk.open(`journal/${name}`, { create: false });
      await file.writeAt(5_000, [new Uint8Array(20_000).fill(7)]);
      await file.close();
    }
    await vi.waitUntil(() => (world.nodes.get(LOST)?.status().holes ?? 0) > 0, { timeout: 20_000 });
  });
});
