/**
 * kill -9 at random moments, of one node at a time (f = 1) and now and then of the gateway, while clients
 * write, read and list through S3. Afterwards every key's history must be that of one register: nothing
 * acknowledged is lost or changed, no read goes back, no write is applied twice, and what clients were not
 * told may have happened at most once. The nodes' own logs must not hold more versions than were asked for.
 */
import { CreateBucketCommand } from '@aws-sdk/client-s3';
import type { S3Client } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../cluster/programs.ts';
import { judge } from '../../src/sim/checkers/linearizability.ts';
import { LiveCluster, PROCESS_MS } from './live-cluster.ts';
import { IS_SLOW } from '../slow.ts';
import { readNodeLogs } from './node-logs.ts';
import { BUCKET, StormLoad } from './storm-load.ts';

const STORM_MS = IS_SLOW ? 240_000 : 15_000;
const WRITERS = 4;
const KEYS_EACH = 3;
const READERS = 3;
const SLOTS = 6;
const GATEWAY_KILLED_SHARE = 0.25;
/** Longest time that a node is left alone between two kills. */
const LULL_MS = 700;

let cluster: LiveCluster;

beforeAll(async () => {
  cluster = await LiveCluster.start('storm');
}, PROCESS_MS);
afterAll(async () => {
  await cluster.end();
}, PROCESS_MS);

interface Kills {
  nodes: number;
  gateways: number;
}

/** Kills a node, waits until it serves again, kills the next; the gateway comes in between at any time. */
async function killAround(isOver: () => boolean): Promise<Kills> {
  const kills: Kills = { nodes: 0, gateways: 0 };
  while (!isOver()) {
    const slot = Math.floor(Math.random() * SLOTS);
    const { pid } = cluster.node(slot);
    cluster.killNode(slot);
    kills.nodes += 1;
    await lull();
    if (Math.random() < GATEWAY_KILLED_SHARE) {
      cluster.killGateway();
      kills.gateways += 1;
    }
    await until(`node ${slot} serves again`, () => cluster.node(slot).pid !== pid && cluster.isServing(slot), 60_000);
    await lull();
  }
  return kills;
}

function lull(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.random() * LULL_MS));
}

/** Everything is read by a GET and in a listing after the last kill; these reads belong to the history. */
async function readAll(load: StormLoad, client: S3Client): Promise<void> {
  for (const key of load.keys) await until(`${key} is read`, () => load.readOnce(client, key), 60_000);
  await until('the bucket is listed', () => load.listOnce(client), 60_000);
}

function expectRegisters(load: StormLoad): void {
  expect(load.broken).toEqual([]);
  for (const [key, history] of load.histories) {
    const verdict = judge(history);
    const told = verdict.ok ? '' : `${key}: no order explains ${JSON.stringify(verdict.stuck)} in ${JSON.stringify(history)}`;
    expect(verdict.ok, told).toBe(true);
  }
}

/** Each operation is at most one version, each acknowledged one at least one. */
async function expectAtMostOnce(load: StormLoad): Promise<void> {
  const logs = await readNodeLogs(cluster.dir, BUCKET);
  expect(logs.nodes).toBe(SLOTS);
  for (const [key, history] of load.histories) {
    const writes = history.filter(({ kind }) => kind === 'write');
    const acknowledged = writes.filter(({ to, value }) => to !== Infinity && value !== null).length;
    const { committed } = logs.of(key);
    expect(committed, `versions of ${key}`).toBeGreaterThanOrEqual(acknowledged);
    expect(committed, `versions of ${key}`).toBeLessThanOrEqual(load.attempted.get(key) ?? 0);
  }
}

describe('a cluster whose processes are killed at random moments', () => {
  it(`keeps every promise for ${STORM_MS / 1000} s`, async () => {
    const patient = cluster.client();
    const once = cluster.client({ maxAttempts: 1 });
    const keysOf = (writer: number): string[] => Array.from({ length: KEYS_EACH }, (_, index) => `writer ${writer}/key ${index}`);
    const load = new StormLoad(Array.from({ length: WRITERS }, (_, writer) => keysOf(writer)).flat());
    await patient.send(new CreateBucketCommand({ Bucket: BUCKET }));
    const end = performance.now() + STORM_MS;
    const isOver = (): boolean => performance.now() > end;
    const [kills] = await Promise.all([
      killAround(isOver),
      ...Array.from({ length: WRITERS }, (_, writer) => load.write(writer % 2 === 0 ? patient : once, keysOf(writer), isOver)),
      ...Array.from({ length: READERS }, () => load.read(once, isOver)),
      load.list(once, isOver),
    ]);
    for (let slot = 0; slot < SLOTS; slot += 1) await cluster.nodeServes(slot);
    await readAll(load, patient);
    console.log(`kill storm: ${JSON.stringify({ ...kills, ...load.counts })}`);
    expectRegisters(load);
    await expectAtMostOnce(load);
    const verified = await cluster.verify();
    expect(verified, verified.text).toMatchObject({ code: 0, accused: [], unreadable: 0 });
    // A storm in which nothing got through would prove nothing.
    expect(load.counts.acknowledged).toBeGreaterThan(STORM_MS / 1000);
    expect(load.counts.reads).toBeGreaterThan(STORM_MS / 1000);
    expect(kills.nodes).toBeGreaterThan(3);
    await cluster.stop();
    await cluster.restart();
    await readAll(load, patient);
    expectRegisters(load);
    patient.destroy();
    once.destroy();
  }, STORM_MS + 3 * PROCESS_MS);
});
