/** The controller in a cluster of real nodes: what is lost is found, repaired and audited, whoever lies. */
import { open, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { sha256 } from '../../src/crypto/primitives.ts';
import { concat } from '../../src/base/bytes.ts';
import { partKey } from '../../src/client/read-plan.ts';
import type { BucketAuthority } from '../../src/client/write.ts';
import { DEFAULT_AUDIT_GOAL } from '../../src/control/audit-plan.ts';
import { nameOf } from '../../src/evidence/finding.ts';
import { encodeAudit } from '../../src/protocol/audit.ts';
import { decodeRequest, encodeAnswer, encodeRefused } from '../../src/protocol/messages.ts';
import type { SignedBody } from '../../src/protocol/slot.ts';
import { prove } from '../../src/sim/adversaries/stage.ts';
import type { Interceptor } from '../../src/sim/adversaries/stage.ts';
import { MemoryStore } from '../../src/sim/memory-store.ts';
import { bytesContent, clientOf, committed, committedSlot, contentOf, getBytes, put, putRecord, putSlot, recordOf, sameBytes } from '../world/client-world.ts';
import type { TestClient } from '../world/client-world.ts';
import { authorityOf, controllerOf, untilStatus } from '../world/controller-world.ts';
import type { TestController } from '../world/controller-world.ts';
import { World } from '../world/world.ts';

let world: World | undefined;
const running: TestController[] = [];

afterEach(async () => {
  for (const { controller } of running.splice(0)) await controller.stop();
  await world?.stop();
  world = undefined;
});

const started = async (store?: MemoryStore, options?: Parameters<typeof controllerOf>[2]): Promise<TestController> => {
  if (world === undefined) throw new Error('no world');
  const one = await controllerOf(world, store, options);
  running.push(one);
  return one;
};

/** The node forgets all of its cells, and keeps its log. */
async function wipe(slot: number): Promise<void> {
  if (world === undefined) throw new Error('no world');
  await world.stopNode(slot);
  const folder = join(world.folder, `node-${slot}`, 'journal');
  const names = (await readdir(folder)).filter((name) => name.startsWith('cells-'));
  expect(names.length).toBeGreaterThan(0);
  for (const name of names) await rm(join(folder, name));
  await world.restart(slot);
}

/** All cells of the node rot on its disk, while it runs. */
async function spoil(slot: number): Promise<void> {
  if (world === undefined) throw new Error('no world');
  const folder = join(world.folder, `node-${slot}`, 'journal');
  for (const name of (await readdir(folder)).filter((one) => one.startsWith('cells-'))) {
    const file = await open(join(folder, name), 'r+');
    const { size } = await file.stat();
    // Behind the segment's header, which says whose it is.
    for (let at = 4096; at < size; at += 4096) await file.write(new Uint8Array(4096), 0, Math.min(4096, size - at), at);
    await file.close();
  }
}

describe('a controller', { timeout: 120_000 }, () => {
  it('confirms what was written on all nodes, and says that it is whole', async () => {
    world = await World.start();
    const client = clientOf(world);
    const bucket = await putRecord(world, client, recordOf(world, 'plain'));
    const slots = await putRecord(world, client, recordOf(world, 'slots', { v: 2, mode: 'SERIALISED' }));
    committed(await put(client, bucket, 'small', contentOf('small', 500)));
    committed(await put(client, bucket, 'one stripe', contentOf('one', 50_000)));
    committedSlot(await putSlot(client, slots, 'several stripes', contentOf('several', 1_000_000)));
    committedSlot(await putSlot(client, slots, 'overwritten', contentOf('before', 50_000)));
    committedSlot(await putSlot(client, slots, 'overwritten', contentOf('after', 60_000)));
    const { controller } = await started();
    // Two bucket records, and four objects.
    const status = await untilStatus(world, controller, ({ health, versions }) => health === 'whole' && versions === 6);
    expect(status.words[0]).toBe('whole: all 6 versions are confirmed on all 4 nodes');
    await client.client.close();
  });

  it('makes a node whole again that has lost all of its cells, whose own log says so', async () => {
    world = await World.start();
    const client = clientOf(world);
    const bucket = await putRecord(world, client, recordOf(world, 'plain'));
    for (let i = 0; i < 10; i += 1) committed(await put(client, bucket, `object ${i}`, contentOf(`object ${i}`, 20_000 + i)));
    committed(await put(client, bucket, 'several stripes', contentOf('several', 1_500_000)));
    const { controller } = await started();
    await untilStatus(world, controller, ({ health, versions }) => health === 'whole' && versions === 12);
    await wipe(2);
    const lost = await untilStatus(world, controller, ({ repair }) => repair.holes > 0 || repair.given > 0);
    expect(lost.health).not.toBe('whole');
    const status = await untilStatus(world, controller, ({ health, repair }) => health === 'whole' && repair.healed >= 12);
    expect(status.repair.lostAgain).toBe(0);
    expect(status.repair.readRatio).toBeLessThan(1.5);
    // Another is gone: what was repaired must carry its weight.
    await world.kill(0);
    expect(sameBytes(await getBytes(client, 'several stripes'), contentOf('several', 1_500_000))).toBe(true);
    await client.client.close();
  });

  it('brings a node what was written while it was down, the parts of a list too', async () => {
    world = await World.start();
    const client = clientOf(world);
    const bucket = await putRecord(world, client, recordOf(world, 'plain'));
    await world.stopNode(3);
    committed(await put(client, bucket, 'small', contentOf('small', 500)));
    committed(await put(client, bucket, 'several stripes', contentOf('several', 1_200_000)));
    const bytes = await putInParts(client, bucket, 'in parts');
    const { controller } = await started();
    const without = await untilStatus(world, controller, ({ repair }) => (repair.postponed['node not reachable'] ?? 0) > 0);
    expect(without.health).toBe('degraded');
    await world.restart(3);
    await untilStatus(world, controller, ({ health }) => health === 'whole');
    await wipe(3);
    await untilStatus(world, controller, ({ repair }) => repair.holes > 0);
    await untilStatus(world, controller, ({ health }) => health === 'whole');
    await world.kill(1);
    expect(sameBytes(await getBytes(client, 'in parts'), bytes)).toBe(true);
    expect(sameBytes(await getBytes(client, 'several stripes'), contentOf('several', 1_200_000))).toBe(true);
    await client.client.close();
  });

  it('lets go of versions that have ended, and repairs those that are kept', async () => {
    world = await World.start();
    const client = clientOf(world);
    const kept = await putRecord(world, client, recordOf(world, 'kept', { v: 2, mode: 'SERIALISED', versioning: 'ENABLED' }));
    const keep = { decide: () => Promise.resolve({ removes: [] }) };
    const first = committedSlot(await putSlot(client, kept, 'object', contentOf('first', 30_000), keep));
    committedSlot(await putSlot(client, kept, 'object', contentOf('second', 30_000), keep));
    const { controller } = await started();
    await untilStatus(world, controller, ({ health, versions }) => health === 'whole' && versions === 3);
    await wipe(1);
    await untilStatus(world, controller, ({ repair }) => repair.holes > 0);
    await untilStatus(world, controller, ({ health, repair }) => health === 'whole' && repair.given >= 3);
    const removal = { kind: 'remove' as const, wrappedKey: new Uint8Array(0), encMeta: contentOf('meta', 20) };
    const removes = [first.signed.manifest.stamp];
    committedSlot(await putSlot(client, kept, 'object', new Uint8Array(0), { content: removal, decide: () => Promise.resolve({ removes }) }));
    await untilStatus(world, controller, ({ health, versions }) => health === 'whole' && versions === 2);
    await client.client.close();
  });

  it('finds by challenges what a node does not say, proves what it signs, and passes over helpers that lie', async () => {
    // A node that reads its own disk would find it first.
    world = await World.start({ tuning: { scrubBytesPerSecond: 1 } });
    const client = clientOf(world);
    const bucket = await putRecord(world, client, recordOf(world, 'plain'));
    for (let i = 0; i < 6; i += 1) committed(await put(client, bucket, `object ${i}`, contentOf(`object ${i}`, 20_000 + i)));
    const { controller, evidence } = await started(undefined, { tuning: { auditGoal: { ...DEFAULT_AUDIT_GOAL, periodMs: 10_000 } } });
    await untilStatus(world, controller, ({ health, versions }) => health === 'whole' && versions === 7);
    world.interceptors.set(0, lyingHelper);
    await spoil(2);
    const found = await untilStatus(world, controller, ({ audits }) => (audits[2]?.lacked ?? 0) > 0);
    expect(found.audits[2]?.statement).toContain('loss found');
    const status = await untilStatus(world, controller, ({ repair, health }) => repair.given >= 7 && health === 'whole');
    expect(status.suspicions.some(({ slot, kind }) => slot === 0 && kind === 'WRONG_CELL')).toBe(true);
    const accused = evidence.map(({ evidence: { type }, finding }) => `${type} ${nameOf(finding.accused)}`);
    expect(new Set(accused)).toEqual(new Set(['E6 node-2']));
    await client.client.close();
  });

  it('counts no silence for an answer, and none for a proof', async () => {
    world = await World.start();
    const client = clientOf(world);
    const bucket = await putRecord(world, client, recordOf(world, 'plain'));
    committed(await put(client, bucket, 'object', contentOf('object', 20_000)));
    world.interceptors.set(1, silentToChallenges);
    const { controller, evidence } = await started();
    let counted = 0;
    const status = await untilStatus(world, controller, ({ audits: [other, silent] }) => {
      counted = Math.max(counted, silent?.held ?? 0, silent?.last?.held ?? 0);
      return (silent?.open ?? 0) >= 2 && (other?.held ?? 0) >= 2;
    });
    expect(counted).toBe(0);
    expect(status.audits[1]).toMatchObject({ lacked: 0, wrong: 0 });
    expect(status.audits[1]?.statement).toBe('no challenge has been answered yet (0 of 2); 2 challenges are unanswered and do not count');
    expect(status.audits[0]?.statement).toBe('every one of its 2 cells was asked for and shown');
    expect(evidence).toEqual([]);
    await client.client.close();
  });

  it('holds a signed wrong cell against the node that gave it for a challenge', async () => {
    world = await World.start();
    const client = clientOf(world);
    const bucket = await putRecord(world, client, recordOf(world, 'plain'));
    committed(await put(client, bucket, 'object', contentOf('object', 20_000)));
    world.interceptors.set(1, madeUpAnswers(world, 1));
    const { controller, evidence } = await started(undefined, { tuning: { auditGoal: { ...DEFAULT_AUDIT_GOAL, periodMs: 5_000 } } });
    const status = await untilStatus(world, controller, ({ health }) => health === 'degraded' && evidence.length > 0);
    expect(status.repair.holes).toBeGreaterThan(0);
    const accused = evidence.map(({ evidence: { type }, finding }) => `${type} ${nameOf(finding.accused)}`);
    expect(new Set(accused)).toEqual(new Set(['E6-audit node-1']));
    await client.client.close();
  });

  it('does not believe a node that takes its cells and loses them', async () => {
    world = await World.start();
    const client = clientOf(world);
    const bucket = await putRecord(world, client, recordOf(world, 'plain'));
    for (let i = 0; i < 3; i += 1) committed(await put(client, bucket, `object ${i}`, contentOf(`object ${i}`, 20_000 + i)));
    await wipe(2);
    world.interceptors.set(2, takesAndLoses);
    const { controller } = await started();
    const status = await untilStatus(world, controller, ({ repair }) => repair.lostAgain >= 4);
    expect(status.health).toBe('degraded');
    expect(status.repair.healed).toBe(0);
    world.interceptors.delete(2);
    await untilStatus(world, controller, ({ health }) => health === 'whole');
    await client.client.close();
  });

  it('goes on after it was killed in the middle of a repair, and gives nothing twice', async () => {
    world = await World.start();
    const client = clientOf(world);
    const bucket = await putRecord(world, client, recordOf(world, 'plain'));
    for (let i = 0; i < 30; i += 1) committed(await put(client, bucket, `object ${i}`, contentOf(`object ${i}`, 20_000 + i)));
    const store = new MemoryStore();
    const slow = { tuning: { bytesPerSecondMax: 1_000_000, workers: 1 } };
    const first = await started(store, slow);
    await untilStatus(world, first.controller, ({ health, versions }) => health === 'whole' && versions === 31);
    await wipe(3);
    await untilStatus(world, first.controller, ({ repair }) => repair.healed >= 3);
    await first.controller.stop();
    const before = first.controller.status().repair;
    expect(before.holes).toBeGreaterThan(0);
    const second = await started(store);
    const { repair } = await untilStatus(world, second.controller, ({ health }) => health === 'whole');
    // What was under way may be done again; what an audit had ended is not.
    expect(before.given + repair.given).toBeLessThanOrEqual(31 + 2);
    await client.client.close();
  });

  it('waits for authority, says so, and repairs once there is some', async () => {
    world = await World.start();
    const client = clientOf(world);
    const bucket = await putRecord(world, client, recordOf(world, 'plain'));
    committed(await put(client, bucket, 'object', contentOf('object', 20_000)));
    await wipe(2);
    const given: SignedBody[] = [];
    const { controller } = await started(undefined, { authority: () => Promise.resolve(given[0] ?? null) });
    const waiting = await untilStatus(world, controller, ({ repair }) => (repair.postponed['no authority'] ?? 0) > 0);
    expect(waiting.words).toContain("repair waits for a gateway's authority: no gateway gives one");
    expect(waiting.repair.given).toBe(0);
    given.push(authorityOf(world));
    await untilStatus(world, controller, ({ health }) => health === 'whole');
    await client.client.close();
  });
});

/** Stores an object as a list of two contents, and returns its bytes. */
async function putInParts(writer: TestClient, bucket: BucketAuthority, key: string): Promise<Uint8Array> {
  const pieces = [contentOf('part one', 900_000), contentOf('part two', 40_000)];
  const master = contentOf('master key', 32);
  const { n, k } = { n: 4, k: 2 };
  const parts = [];
  for (const [index, piece] of pieces.entries()) {
    const salt = contentOf(`salt ${index}`, 16);
    const { content } = bytesContent(piece, { dataKey: partKey(master, salt), forceCells: true });
    const { signed } = committed(await put(writer, bucket, `part ${index}`, piece, { content }));
    const { contentId, size, cellBytes } = signed.manifest;
    parts.push({ contentId, size, n, k, cellBytes, salt });
  }
  const bytes = concat(...pieces);
  const content = { kind: 'table' as const, size: bytes.length, parts, wrappedKey: master, encMeta: contentOf('meta', 20) };
  committed(await put(writer, bucket, key, bytes, { content }));
  return bytes;
}

/** Gives wrong cells to whoever reads, and tells the truth otherwise. */
const lyingHelper: Interceptor = async (honest, frame) => {
  const answer = await honest(frame);
  const request = decodeRequest(frame.body);
  if (!request.ok || request.value.t !== 'FETCH' || answer.payload.length === 0) return answer;
  return { body: answer.body, payload: answer.payload.with(0, (answer.payload[0] ?? 0) ^ 1) };
};

/** Says that it took what it was given, and did not. */
const takesAndLoses: Interceptor = (honest, frame) => {
  const request = decodeRequest(frame.body);
  if (!request.ok || request.value.t !== 'REPAIR') return honest(frame);
  return Promise.resolve({ body: encodeAnswer('REPAIR', {}), payload: new Uint8Array(0) });
};

const silentToChallenges: Interceptor = (honest, frame) => {
  const request = decodeRequest(frame.body);
  if (!request.ok || request.value.t !== 'AUDIT') return honest(frame);
  return Promise.resolve({ body: encodeRefused({ code: 'BUSY', reason: 'not now' }), payload: new Uint8Array(0) });
};

/** Answers challenges under signature with a cell of its own making. */
function madeUpAnswers(at: World, slot: number): Interceptor {
  return (honest, frame) => {
    const request = decodeRequest(frame.body);
    if (!request.ok || request.value.t !== 'AUDIT') return honest(frame);
    const { nonce, manifestHash, contentId, stripe } = request.value;
    const cell = new Uint8Array(64);
    const body = encodeAudit({ v: 1, nonce, manifestHash, contentId, stripe, slot, epoch: 1, cellHash: sha256(cell), logSize: 1 });
    const statement = { body, proof: prove(at.cluster, at.nodeKey(slot), 'audit', body) };
    return Promise.resolve({ body: encodeAnswer('AUDIT', { row: new Uint8Array(128), path: [], statement }), payload: cell });
  };
}
