/**
 * Evidence as clients come by it: a node that lies under its signature, an honest client that is lied to, and
 * a stranger who reads the file. Who told the truth is never accused.
 */
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { decodeEvidence, encodeEvidence } from '../../src/evidence/evidence.ts';
import type { EvidenceType } from '../../src/evidence/evidence.ts';
import { nameOf } from '../../src/evidence/finding.ts';
import { judgeEvidence } from '../../src/evidence/judge.ts';
import { openRootConfiguration } from '../../src/protocol/configuration.ts';
import { deniesCells, failing, slow } from '../../src/sim/adversaries/nodes.ts';
import { acknowledgesAt, forgetsVersions, inventsRows } from '../../src/sim/adversaries/signed-lies.ts';
import { clientOf, committed, contentOf, getBytes, keyIdOf, put, sameBytes } from '../world/client-world.ts';
import type { TestClient } from '../world/client-world.ts';
import { CORRECT, LIAR, Scene } from '../invariants/scene.ts';

let scene: Scene;
beforeAll(async () => {
  scene = await Scene.start();
});
afterEach(() => scene.calm());
afterAll(() => scene.stop());

/** What the client has proof of, as a stranger with the root document reads it. */
function proven({ evidence }: TestClient): readonly string[] {
  const root = openRootConfiguration(scene.world.cluster.document);
  if (!root.ok) throw new Error(root.reason);
  return evidence.map((proof) => {
    const read = decodeEvidence(encodeEvidence(proof.evidence));
    const verdict = read.ok ? judgeEvidence(root.cluster, read.value, Date.now()) : null;
    return verdict?.proven === true ? `${proof.evidence.type} ${nameOf(verdict.finding.accused)}` : 'nothing';
  });
}

const LIE = (type: EvidenceType): string => `${type} node-${LIAR}`;
/** The liar is heard first, and its receipt is one of three. */
function liarFirst(): void {
  for (const slot of CORRECT) scene.world.interceptors.set(slot, slow(scene.world, 20));
}

it('E4: an acknowledgement that names another place is found out when the log is followed', async () => {
  const { world } = scene;
  const client = scene.client(0);
  const follower = client.client.follow(() => undefined);
  liarFirst();
  world.interceptors.set(LIAR, acknowledgesAt(world, LIAR, () => 0));
  committed(await put(client, scene.bucket, scene.freshKey(), contentOf('place', 100)));
  expect(await follower.fresh(LIAR)).toMatchObject({ ok: true });
  expect(proven(client)).toEqual([LIE('E4')]);
  for (const slot of CORRECT) expect(await follower.fresh(slot)).toMatchObject({ ok: true });
  expect(proven(client)).toEqual([LIE('E4')]);
});

it('a promise of a place that the log has never had is a suspicion, and no proof', async () => {
  const { world } = scene;
  const client = scene.client(0);
  const follower = client.client.follow(() => undefined);
  liarFirst();
  world.interceptors.set(LIAR, acknowledgesAt(world, LIAR, () => 1_000_000));
  committed(await put(client, scene.bucket, scene.freshKey(), contentOf('nowhere', 100)));
  for (const slot of [LIAR, ...CORRECT]) expect(await follower.fresh(slot)).toMatchObject({ ok: true });
  expect(client.client.suspicions()).toMatchObject([{ slot: LIAR, kind: 'BROKEN_PROMISE', count: 1 }]);
  expect(proven(client)).toEqual([]);
});

it('E5: a node that denies what it has acknowledged, over a log that it confirms', async () => {
  const { world } = scene;
  const client = scene.client(0);
  const follower = client.client.follow(() => undefined);
  const key = scene.freshKey();
  liarFirst();
  committed(await put(client, scene.bucket, key, contentOf('remembered', 100)));
  for (const slot of [LIAR, ...CORRECT]) expect(await follower.fresh(slot)).toMatchObject({ ok: true });
  world.interceptors.set(LIAR, forgetsVersions(world, LIAR));
  expect(await client.client.head(keyIdOf(key))).not.toBeNull();
  await expect.poll(() => proven(client)).toEqual([LIE('E5')]);
});

it('a node that quotes a checkpoint that the node never had accuses nobody', async () => {
  const { world } = scene;
  const client = clientOf(world, 0);
  const key = scene.freshKey();
  const follower = client.client.follow(() => undefined);
  for (const slot of [LIAR, ...CORRECT]) await follower.fresh(slot);
  // The asker makes a larger log up, and asks before it writes: later this would look like a version denied.
  const seen = follower.seen.bind(follower);
  follower.seen = (slot) => ({ size: 1_000_000, root: seen(slot)?.root ?? new Uint8Array(32) });
  expect(await client.client.head(keyIdOf(key))).toBeNull();
  committed(await put(client, scene.bucket, key, contentOf('framed', 100)));
  const answers = [...world.telemetry.counts].filter(([name]) => name.startsWith('foreign_checkpoints_quoted'));
  expect(answers.length).toBeGreaterThan(0);
  expect(await client.client.head(keyIdOf(key))).not.toBeNull();
  expect(proven(client)).toEqual([]);
  await client.client.close();
});

it('E6: a node that denies a cell that it has promised', async () => {
  const { world } = scene;
  const key = scene.freshKey();
  const bytes = contentOf(key, 50_000);
  world.interceptors.set(2, failing('PREPARE'));
  committed(await put(scene.client(0), scene.bucket, key, bytes));
  liarFirst();
  world.interceptors.set(LIAR, deniesCells(world, LIAR));
  const reader = scene.client(1);
  await reader.client.head(keyIdOf(key));
  expect(sameBytes(await getBytes(reader, key), bytes)).toBe(true);
  expect(proven(reader)).toEqual([LIE('E6')]);
});

it('E6-row: a node that signs a row of its own making', async () => {
  const { world } = scene;
  const key = scene.freshKey();
  const bytes = contentOf(key, 3_000_000);
  world.interceptors.set(2, failing('PREPARE'));
  committed(await put(scene.client(0), scene.bucket, key, bytes));
  liarFirst();
  world.interceptors.set(LIAR, inventsRows(world, LIAR));
  const reader = scene.client(1);
  await reader.client.head(keyIdOf(key));
  expect(sameBytes(await getBytes(reader, key), bytes)).toBe(true);
  await expect.poll(() => new Set(proven(reader))).toEqual(new Set([LIE('E6-row')]));
});
