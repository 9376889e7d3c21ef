/**
 * Real processes in a storm: six storage nodes and two gateways with TLS on loopback, a fault proxy on every
 * way, kill -9, SIGSTOP and a full disk, at most f nodes out at a time, while S3 clients of both gateways write, read,
 * delete and list the same few keys. What they saw is judged by the checker of the simulator. The seed chooses the faults
 * and what clients do; when which of them happens is the machine's matter, so a seed repeats the weather and not the run.
 */
import { CreateBucketCommand } from '@aws-sdk/client-s3';
import type { S3Client } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { judge } from '../../src/sim/checkers/linearizability.ts';
import type { Operation } from '../../src/sim/checkers/linearizability.ts';
import { SeededRandom } from '../../src/sim/seeded-random.ts';
import { BUCKET, StormLoad } from '../show/storm-load.ts';
import { IS_SLOW } from '../slow.ts';
import type { ProxyCounts } from './fault-proxy.ts';
import { ProxiedCluster } from './proxied-cluster.ts';
import { until } from './programs.ts';
import { StormFaults } from './storm-faults.ts';
import { canTellWhoDialled } from './who-dialled.ts';

/** In every run the same weather; a long storm has its own. */
const SEED = process.env['STORM_SEED'] ?? (IS_SLOW ? String(Date.now() % 1_000_000) : '41');
const STORM_MS = Number(process.env['STORM_MS'] ?? (IS_SLOW ? 180_000 : 14_000));
const SPAN_MS_MAX = IS_SLOW ? 12_000 : 2_500;
const PROCESS_MS = 120_000;
const HOT_KEYS = ['hot/a', 'hot/b', 'hot/c', 'hot/d'];
/** Of each gateway. */
const WRITERS = 2;
const READERS = 2;
/** Keys that are written once each, so that many versions are there to be read back. */
const KEPT_KEYS = Array.from({ length: Math.min(200, STORM_MS / 200) }, (_, index) => `kept/${index}`);
const READ_AT_ONCE = 6;

const random = new SeededRandom(`process storm ${SEED}`);
const load = new StormLoad([...HOT_KEYS, ...KEPT_KEYS], () => clientRandom.fraction());
const clientRandom = random.fork('clients');
let cluster: ProxiedCluster;
let faults: StormFaults;

beforeAll(async () => {
  cluster = await ProxiedCluster.start({ name: 'storm', random, n: 6, f: 1, k: 4, gateways: 2, smallDiskSlot: random.below(6) });
  faults = new StormFaults(cluster, random.fork('faults'), SPAN_MS_MAX);
}, PROCESS_MS);
afterAll(async () => {
  await cluster?.end();
}, PROCESS_MS);

/** A storm goes on until each of these has come. */
function expectedFaults(): readonly string[] {
  const processes = ['node killed', 'node stopped', 'gateway killed', 'gateway stopped'];
  return [...processes, 'link cut', 'link silent', 'link wound', ...(cluster.smallDisk === null ? [] : ['node full disk'])];
}

function lines(history: readonly Operation[]): string {
  const from = Math.min(...history.map((operation) => operation.from));
  const at = (ms: number): string => (ms === Infinity ? 'unknown' : (ms - from).toFixed(1));
  return history.map((operation) => `  ${at(operation.from)} to ${at(operation.to)} ms: ${operation.kind} ${operation.value ?? 'nothing'}`).join('\n');
}

function expectRegisters(): void {
  expect(load.broken).toEqual([]);
  for (const [key, history] of load.histories) {
    const verdict = judge(history);
    if (!verdict.ok) expect.fail(`${key}: no order explains\n${lines(verdict.stuck)}\nin\n${lines(history)}`);
  }
}

/** Being late is no lie, and in a long storm answers are later than anybody's patience. */
function isLateness(accusation: string): boolean {
  return IS_SLOW && accusation.includes('UNSIGNED_ANSWERS');
}

/** What all proxies before nodes did. */
function networkCounts(): Partial<ProxyCounts> {
  const sums: Record<string, number> = {};
  for (const { counts } of cluster.nodeProxies) {
    for (const [name, count] of Object.entries(counts)) sums[name] = (sums[name] ?? 0) + count;
  }
  return sums;
}

/** Through this gateway, by GET and in a listing; these reads belong to the history. */
async function readAll(client: S3Client): Promise<void> {
  const keys = [...load.keys];
  const read = async (): Promise<void> => {
    for (let key = keys.pop(); key !== undefined; key = keys.pop()) {
      const name = key;
      await until(`${name} is read`, () => load.readOnce(client, name), 60_000);
    }
  };
  await Promise.all(Array.from({ length: READ_AT_ONCE }, read));
  await until('the bucket is listed', () => load.listOnce(client), 60_000);
}

describe.runIf(canTellWhoDialled)('a cluster of real processes in a storm', () => {
  it(`keeps every promise for ${STORM_MS / 1000} s`, async ({ onTestFailed }) => {
    onTestFailed(() => console.log(`STORM_SEED=${SEED} repeats these faults:\n${faults.timeline.join('\n')}`));
    if (cluster.smallDisk === null) console.log('process storm: the full disk is NOT RUN, because no file system can be mounted here');
    const patient = [0, 1].map((gateway) => cluster.client(gateway));
    const once = [0, 1].map((gateway) => cluster.client(gateway, { maxAttempts: 1 }));
    const [first] = patient;
    await first?.send(new CreateBucketCommand({ Bucket: BUCKET }));
    const end = performance.now() + STORM_MS;
    let hasBlown = false;
    const isOver = (): boolean => hasBlown || (performance.now() > end && expectedFaults().every((kind) => faults.counts.has(kind)));
    const times = <T>(count: number, work: (index: number) => T): T[] => Array.from({ length: count }, (_, index) => work(index));
    await Promise.all([
      faults.blow(isOver).finally(() => (hasBlown = true)),
      ...patient.flatMap((client, gateway) => [
        ...times(WRITERS, (index) => load.write(index % 2 === 0 ? client : (once[gateway] ?? client), HOT_KEYS, isOver)),
        ...times(READERS, () => load.read(once[gateway] ?? client, isOver)),
        load.list(once[gateway] ?? client, isOver),
        load.writeEach(client, KEPT_KEYS.filter((_, index) => index % 2 === gateway), isOver),
      ]),
    ]);
    for (const member of cluster.members) await member.serves();
    for (const client of patient) await readAll(client);
    const network = networkCounts();
    console.log(`process storm, seed ${SEED}: ${JSON.stringify({ ...load.counts, ...Object.fromEntries(faults.counts) })}; network: ${JSON.stringify(network)}`);
    expectRegisters();
    expect(cluster.members.flatMap((member) => member.unexpectedEnds)).toEqual([]);
    const verified = await cluster.verify();
    expect(verified, verified.text).toMatchObject({ code: 0, accused: [], unreadable: 0 });
    expect((await cluster.accusations()).filter((accusation) => !isLateness(accusation))).toEqual([]);
    for (const client of [...patient, ...once]) client.destroy();
    // A storm in which nothing got through, or nothing happened, would prove nothing.
    expect(load.counts.acknowledged).toBeGreaterThan(STORM_MS / 2_000);
    expect(load.counts.reads).toBeGreaterThan(STORM_MS / 1_000);
    const { delayedPieces = 0, cut = 0, refused = 0, misrouted = 0, wounded = 0 } = network;
    expect(delayedPieces + cut + refused + misrouted + wounded, 'what the proxies really did').toBeGreaterThan(10);
  }, STORM_MS + 3 * PROCESS_MS);
});
