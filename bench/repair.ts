/**
 * Repair of a node whose cell segments are all gone while its log is intact: how long until the controller has
 * found it, given every cell back and challenged the node for each; what that moved, against the least with which it
 * can be done (k cells read for each lost cell); and what a reader of the same objects feels meanwhile.
 */
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { askAdmin } from '../src/cli/admin-socket.ts';
import type { ControllerStatus } from '../src/control/status.ts';
import type { BenchRow } from './codec.ts';
import { send } from './load.ts';
import { startCluster } from './up.ts';
import type { RunningCluster } from './up.ts';

const OBJECT_BYTES = 64 * 1024;
const BUCKET = 'bench-repair';
const WRITERS = 8;
const READERS = 2;
const QUIET_MS = 15_000;
const WHOLE_MS = 30 * 60_000;
const VICTIM = 2;

const path = (i: number): string => `/${BUCKET}/object-${i}`;

export async function benchRepair(program: string, dir: string, print: (line: string) => void, objects: number): Promise<BenchRow[]> {
  const rows: BenchRow[] = [];
  const add = (name: string, value: number | null, unit: string): void => {
    rows.push({ name, value, unit });
    print(`${name.padEnd(64)} ${value === null ? 'NOT RUN' : value.toFixed(2).padStart(9)} ${unit}`);
  };
  const cluster = await startCluster(program, join(dir, 'repair'));
  try {
    await fill(cluster, objects);
    await untilStatus(cluster, ({ health, versions }) => health === 'whole' && versions >= objects);
    const quiet = await read(cluster, objects, performance.now() + QUIET_MS);
    const before = await statusOf(cluster);
    let isOver = false;
    const startedAt = performance.now();
    wipe(cluster);
    const reading = read(cluster, objects, () => isOver);
    await untilStatus(cluster, ({ repair }) => repair.holes > 0);
    const after = await untilStatus(cluster, ({ health }) => health === 'whole');
    const tookMs = performance.now() - startedAt;
    isOver = true;
    const busy = await reading;
    const spent = spentBetween(before, after);
    add(`repair of ${objects} objects of 64 KiB: until every cell was audited`, tookMs / 1000, 's');
    add('cells given back', spent.given, 'cells');
    add('cells a second', (spent.given * 1000) / tookMs, 'cells/s');
    add('bytes read, to k cells for each lost cell', spent.ratio, 'times');
    add('bytes read', spent.readBytes / 1e6, 'MB');
    add('bytes given', spent.givenBytes / 1e6, 'MB');
    add('bytes of audits', spent.auditBytes / 1e6, 'MB');
    add('GET while nothing is repaired, median', quiet.median, 'ms');
    add('GET during repair, median', busy.median, 'ms');
    add('GET while nothing is repaired, 99 of 100', quiet.p99, 'ms');
    add('GET during repair, 99 of 100', busy.p99, 'ms');
    add('median during repair to the quiet one', busy.median / quiet.median, 'times');
    return rows;
  } finally {
    await cluster.stop();
  }
}

async function fill(cluster: RunningCluster, objects: number): Promise<void> {
  await send(cluster, 'PUT', `/${BUCKET}`, new Uint8Array(0));
  let next = 0;
  await Promise.all(
    Array.from({ length: WRITERS }, async () => {
      for (let i = next++; i < objects; i = next++) {
        const body = new Uint8Array(OBJECT_BYTES).map((_, at) => (at * 31 + i) & 255);
        await send(cluster, 'PUT', path(i), body);
      }
    }),
  );
}

/** All cells of a node are gone, and its process; `up` starts it again. */
function wipe(cluster: RunningCluster): void {
  const node = cluster.nodes.find(({ slot }) => slot === VICTIM);
  if (node === undefined) throw new Error(`no node ${VICTIM}`);
  const journal = join(node.folder, 'journal');
  for (const name of readdirSync(journal)) if (name.startsWith('cells-')) rmSync(join(journal, name));
  process.kill(node.pid, 'SIGKILL');
}

interface Latency {
  readonly median: number;
  readonly p99: number;
}

/** Reads objects, one after the other, until then. */
async function read(cluster: RunningCluster, objects: number, until: number | (() => boolean)): Promise<Latency> {
  const isOver = typeof until === 'number' ? (): boolean => performance.now() >= until : until;
  const took: number[] = [];
  await Promise.all(
    Array.from({ length: READERS }, async (_, reader) => {
      for (let i = reader; !isOver(); i += 7919) {
        const startedAt = performance.now();
        await send(cluster, 'GET', path(i % objects), null);
        took.push(performance.now() - startedAt);
      }
    }),
  );
  took.sort((a, b) => a - b);
  const at = (share: number): number => took[Math.min(took.length - 1, Math.floor(share * took.length))] ?? Number.NaN;
  return { median: at(0.5), p99: at(0.99) };
}

async function statusOf(cluster: RunningCluster): Promise<ControllerStatus> {
  const { body } = await askAdmin(cluster.controllerFolder, '/status');
  return body as ControllerStatus;
}

async function untilStatus(cluster: RunningCluster, fits: (status: ControllerStatus) => boolean): Promise<ControllerStatus> {
  for (const end = performance.now() + WHOLE_MS; performance.now() < end; ) {
    const status = await statusOf(cluster).catch(() => null);
    if (status !== null && fits(status)) return status;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  throw new Error(`the controller did not come to that: ${JSON.stringify((await statusOf(cluster)).words)}`);
}

function spentBetween({ repair: from }: ControllerStatus, { repair: to }: ControllerStatus) {
  const least = to.leastBytes - from.leastBytes;
  const readBytes = to.readBytes - from.readBytes;
  return {
    given: to.given - from.given,
    readBytes,
    givenBytes: to.givenBytes - from.givenBytes,
    auditBytes: to.auditBytes - from.auditBytes,
    ratio: least === 0 ? null : readBytes / least,
  };
}
