/** The audit log of a whole gateway: what is in it, what a crash leaves of it, and how changing it shows. */
import { afterEach, describe, expect, it } from 'vitest';
import { hex, utf8 } from '../../src/base/bytes.ts';
import { AuditLog } from '../../src/gateway/audit-log/audit-log.ts';
import type { AuditLogPorts } from '../../src/gateway/audit-log/audit-log.ts';
import { decodeAuditEntry, keyHashOf, networkOf } from '../../src/gateway/audit-log/entry.ts';
import type { AuditEntry } from '../../src/gateway/audit-log/entry.ts';
import { readSegment, SEGMENT_ENTRIES, segmentPath, segmentsOf } from '../../src/gateway/audit-log/segments.ts';
import type { AnsweredRequest } from '../../src/gateway/s3/port/audit-trail.ts';
import { anchorFault, openAnchor } from '../../src/log/anchor.ts';
import { SystemClock } from '../../src/platform/clock.ts';
import { CountingTelemetry } from '../../src/sim/counting-telemetry.ts';
import { FaultyDisk } from '../../src/sim/faulty-disk.ts';
import { clientOf } from '../world/client-world.ts';
import { World } from '../world/world.ts';

const worlds: World[] = [];
afterEach(async () => {
  for (const world of worlds.splice(0)) await world.stop();
});

async function startWorld(): Promise<World> {
  const world = await World.start({ n: 4, f: 1, writers: 2 });
  worlds.push(world);
  return world;
}

const AUDIT_KEY = new Uint8Array(32).fill(7);

function portsOf(world: World, disk: FaultyDisk, more: Partial<AuditLogPorts> = {}): AuditLogPorts {
  const [writer] = world.writers;
  if (writer === undefined) throw new Error('there is a gateway');
  const { gatewayId, signingKey } = writer;
  return { disk, clock: new SystemClock(), telemetry: new CountingTelemetry(), clusterId: world.cluster.id, gatewayId, signingKey, auditKey: AUDIT_KEY, ...more };
}

function request(number: number, more: Partial<AnsweredRequest> = {}): AnsweredRequest {
  const fixed = { operation: 'PutObject', bucket: 'photos', key: `key ${number}`, accessKeyId: 'AKIA', status: 200, code: undefined };
  return { requestId: `request ${number}`, ...fixed, bytes: 0, versionId: undefined, remoteAddress: '203.0.113.77', isChange: true, ...more };
}

async function entriesOf(disk: FaultyDisk): Promise<readonly AuditEntry[]> {
  const entries: AuditEntry[] = [];
  for (const first of await segmentsOf(disk)) {
    for (const bytes of (await readSegment(disk, first)).entries) {
      const decoded = decodeAuditEntry(bytes);
      if (!decoded.ok) throw new Error(decoded.reason);
      entries.push(decoded.value);
    }
  }
  return entries;
}

const idsIn = (entries: readonly AuditEntry[]): readonly string[] => entries.flatMap((entry) => (entry.t === 'request' ? [entry.requestId] : []));

describe('an audit log', () => {
  it('has every change before it is acknowledged, whenever the power goes, and its tree stays one tree', async () => {
    const world = await startWorld();
    let disk = new FaultyDisk({ seed: 3 });
    const acknowledged: string[] = [];
    let anchored: Awaited<ReturnType<AuditLog['checkpoint']>> | null = null;
    for (let life = 0; life < 25; life += 1) {
      disk.losePowerAt(disk.steps + 5 + life);
      try {
        const log = await AuditLog.open(portsOf(world, disk), 'test');
        for (let i = 0; i < 12; i += 1) {
          const id = 100 * life + i;
          void log.note(request(id + 50, { isChange: false }));
          await log.note(request(id));
          acknowledged.push(`request ${id}`);
          if (i % 5 === 4) anchored = await log.checkpoint();
        }
      } catch {
        // The power went.
      }
      disk = disk.powerCycle();
      const log = await AuditLog.open(portsOf(world, disk), 'test');
      const now = await log.checkpoint();
      if (anchored !== null) {
        const path = await log.consistencyFrom(anchored.checkpoint.size);
        expect(anchorFault(anchored, now, path ?? [])).toBe(null);
      }
      anchored = now;
      await log.close();
    }
    const held = new Set(idsIn(await entriesOf(disk)));
    expect(acknowledged.length).toBeGreaterThan(50);
    for (const id of acknowledged) expect(held.has(id), id).toBe(true);
  });

  it('says that damage before its end is damage, and cuts only what was being written', async () => {
    const world = await startWorld();
    const disk = new FaultyDisk();
    const log = await AuditLog.open(portsOf(world, disk), 'test');
    for (let i = 0; i < 5; i += 1) await log.note(request(i));
    await log.close();
    const size = disk.sizeOf(segmentPath(0));
    const torn = disk.clone();
    const file = await torn.open(segmentPath(0));
    await file.truncate(size - 3);
    await file.close();
    const again = await AuditLog.open(portsOf(world, torn), 'test');
    expect(again.status.size).toBe(6);
    await again.close();
    disk.flip(segmentPath(0), Math.floor(size / 2));
    await expect(AuditLog.open(portsOf(world, disk), 'test')).rejects.toMatchObject({ code: 'CORRUPT' });
  });

  it('keeps so many segments, and what is left is still proven', async () => {
    const world = await startWorld();
    const disk = new FaultyDisk();
    const log = await AuditLog.open(portsOf(world, disk, { segmentsKept: 2 }), 'test');
    let before = await log.checkpoint();
    for (let i = 0; i < 2 * SEGMENT_ENTRIES + 200; i += 200) {
      await Promise.all(Array.from({ length: 200 }, (_, j) => log.note(request(i + j))));
      const after = await log.checkpoint();
      expect(anchorFault(before, after, (await log.consistencyFrom(before.checkpoint.size)) ?? [])).toBe(null);
      before = after;
    }
    const segments = await segmentsOf(disk);
    expect(segments.length).toBe(2);
    expect(segments[0]).toBeGreaterThan(0);
    expect(await log.consistencyFrom(10)).toBe(null);
    await log.close();
  });

  it('counts what it could not write, refuses the change, and names the gap', async () => {
    const world = await startWorld();
    const disk = new FaultyDisk();
    const log = await AuditLog.open(portsOf(world, disk), 'test');
    disk.isReadOnly = true;
    void log.note(request(1, { isChange: false }));
    await expect(log.note(request(2))).rejects.toThrow();
    disk.isReadOnly = false;
    await log.note(request(3));
    expect(log.status.lost).toBe(1);
    await log.close();
    const entries = await entriesOf(disk);
    expect(entries.find((entry) => entry.t === 'gap')).toMatchObject({ lost: 1 });
    expect(idsIn(entries)).toEqual(['request 3']);
  });

  it('is anchored on the nodes, which take nothing that does not extend it', async () => {
    const world = await startWorld();
    const { client } = clientOf(world);
    const disk = new FaultyDisk();
    const log = await AuditLog.open(portsOf(world, disk), 'test');
    const anchor = async (from: AuditLog) => new Set((await client.anchor(await from.checkpoint(), (size) => from.consistencyFrom(size))).map(({ kind }) => kind));
    expect(await anchor(log)).toEqual(new Set(['anchored']));
    const early = disk.clone();
    for (let i = 0; i < 7; i += 1) await log.note(request(i));
    expect(await anchor(log)).toEqual(new Set(['anchored']));
    await world.kill(1);
    await world.restart(1);
    const [writer] = world.writers;
    const anchors = await client.anchorsOf(writer?.gatewayId ?? AUDIT_KEY);
    expect(anchors.map((held) => held?.checkpoint.size)).toEqual([8, 8, 8, 8]);
    // Its folder was put back to an older state: the log goes on from there, and every node says no.
    const rewritten = await AuditLog.open(portsOf(world, early), 'test');
    for (let i = 0; i < 20; i += 1) await rewritten.note(request(1000 + i));
    expect(await anchor(rewritten)).toEqual(new Set(['contradicted']));
    // Nobody can anchor for another.
    const other = clientOf(world, 1);
    expect(new Set((await other.client.anchor(await log.checkpoint(), () => Promise.resolve([]))).map(({ kind }) => kind))).toEqual(new Set(['unanswered']));
    expect(openAnchor(world.cluster, (await log.checkpoint()).note)).toMatchObject({ ok: true });
    await log.close();
    await rewritten.close();
  });

  it('names objects by a keyed hash and persons not at all', async () => {
    const world = await startWorld();
    const disk = new FaultyDisk();
    const log = await AuditLog.open(portsOf(world, disk), 'test');
    await log.note(request(1, { key: 'secret name' }));
    await log.close();
    const bytes = Buffer.from(await disk.readFile(segmentPath(0), 1_000_000));
    expect(bytes.includes('secret name')).toBe(false);
    expect(bytes.includes('203.0.113.77')).toBe(false);
    const entry = (await entriesOf(disk)).find(({ t }) => t === 'request');
    expect(entry?.t === 'request' && hex(entry.keyHash ?? utf8(''))).toBe(hex(keyHashOf(AUDIT_KEY, 'photos', 'secret name')));
    expect(['203.0.113.77', '::ffff:10.1.2.3', '2001:db8:1:2::5', '::1', 'fe80::1%eth0', 'nonsense', ''].map(networkOf)).toEqual([
      '203.0.113.0/24',
      '10.1.2.0/24',
      '2001:db8:1::/48',
      '0:0:0::/48',
      'fe80:0:0::/48',
      'unknown',
      'unknown',
    ]);
  });
});
