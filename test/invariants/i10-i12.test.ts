/**
 * I10 retention, I11 configuration and I12 accountability as far as they exist. Object lock and a change of
 * the configuration are not built: what is built refuses to promise them. Of the evidence, E1, E3, E6 and E8
 * are; here stands that it names the guilty and nobody else.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { gatherReceipts } from '../../src/sim/adversaries/writers.ts';
import { deniesCells, failing, slow } from '../../src/sim/adversaries/nodes.ts';
import { committed, contentOf, getBytes, keyIdOf, put, sameBytes } from '../world/client-world.ts';
import type { RawWriter } from '../../src/sim/adversaries/raw-writer.ts';
import { ALL, CORRECT, LIAR, Scene } from './scene.ts';

let scene: Scene;
let raw: RawWriter;
beforeAll(async () => {
  scene = await Scene.start();
  raw = scene.raw;
});
afterEach(() => scene.calm());
afterAll(() => scene.stop());

it('I10: no node signs a retention, because none is kept while object lock is not built', async () => {
  const version = raw.version({ key: scene.freshKey(), counter: 1, amend: (m) => ({ ...m, retainUntil: 4_102_444_800_000 }) });
  expect(await gatherReceipts(raw, version, CORRECT)).toEqual([]);
});

describe('another epoch than that of the configuration', () => {
  it('I11: gets no receipt', async () => {
    const version = raw.version({ key: scene.freshKey(), counter: 1, amend: (m) => ({ ...m, epoch: 2 }) });
    expect(await gatherReceipts(raw, version, CORRECT)).toEqual([]);
  });

  it('I11: has no valid certificate, whoever signed it', async () => {
    const version = raw.version({ key: scene.freshKey(), counter: 1, amend: (m) => ({ ...m, epoch: 2 }) });
    const cert = raw.certificate(version, ALL.map((slot) => raw.receiptOf(version, slot, 1)));
    expect(await scene.takers(cert)).toEqual([]);
    expect(scene.client(1).client.openCertificate(cert).ok).toBe(false);
  });
});

it.each([10, 50_000])('I12: a node that never got a version of %i bytes says so under signature, and nobody suspects it', async (size) => {
  const { world } = scene;
  const key = scene.freshKey();
  const bytes = contentOf(key, size);
  world.interceptors.set(LIAR, failing('CELL', 'PREPARE', 'COMMIT'));
  committed(await put(scene.client(0), scene.bucket, key, bytes));
  // It answers first, and so is asked first.
  for (const slot of CORRECT) world.interceptors.set(slot, slow(world, 20));
  const reader = scene.client(1);
  await reader.client.head(keyIdOf(key));
  expect(sameBytes(await getBytes(reader, key), bytes)).toBe(true);
  expect(reader.evidence).toEqual([]);
  expect(reader.client.suspicions()).toEqual([]);
});

it('I12: a signed denial of a version that was replaced since is no evidence', async () => {
  const { world } = scene;
  const key = scene.freshKey();
  const bytes = contentOf(key, 50_000);
  const { stamp } = committed(await put(scene.client(0), scene.bucket, key, bytes)).signed.manifest;
  const above = { ...stamp, counter: stamp.counter + 1 };
  for (const slot of CORRECT) world.interceptors.set(slot, slow(world, 20));
  world.interceptors.set(LIAR, deniesCells(world, LIAR, above));
  const reader = scene.client(1);
  await reader.client.head(keyIdOf(key));
  expect(sameBytes(await getBytes(reader, key), bytes)).toBe(true);
  expect(reader.evidence).toEqual([]);
  expect(reader.client.suspicions()).toMatchObject([{ slot: LIAR, kind: 'BAD_REFUSAL' }]);
});

it('I12: a node that gave a receipt and denies its cell under signature is named, with proof, and nobody else', async () => {
  const { world } = scene;
  const key = scene.freshKey();
  const bytes = contentOf(key, 50_000);
  // So that its receipt is one of the three.
  world.interceptors.set(2, failing('PREPARE'));
  committed(await put(scene.client(0), scene.bucket, key, bytes));
  // It answers first, and so is asked first.
  for (const slot of CORRECT) world.interceptors.set(slot, slow(world, 20));
  world.interceptors.set(LIAR, deniesCells(world, LIAR));
  const reader = scene.client(1);
  await reader.client.head(keyIdOf(key));
  expect(sameBytes(await getBytes(reader, key), bytes)).toBe(true);
  expect(reader.evidence).toMatchObject([{ evidence: { type: 'E6' }, finding: { accused: { kind: 'node', slot: LIAR } } }]);
});
