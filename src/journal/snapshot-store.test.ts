/** Snapshots: whole or not at all, the newest that verifies, and none given up for one that does not read back. */
import { describe, expect, it } from 'vitest';
import { hex, utf8 } from '../base/bytes.ts';
import { sha256 } from '../crypto/primitives.ts';
import { codeOf } from '../platform/disk.contract.ts';
import { FaultyDisk } from '../sim/faulty-disk.ts';
import { JOURNAL_ID } from './log-world.contract.ts';
import { SnapshotStore } from './snapshot-store.ts';

const open = (disk: FaultyDisk): Promise<SnapshotStore> => SnapshotStore.open(disk, 's', JOURNAL_ID);
const chunksOf = (sequence: number): Uint8Array[] => [utf8(`first of ${sequence}`), new Uint8Array(0), new Uint8Array(3000).fill(sequence)];
const pathOf = (sequence: number): string => `s/snapshot-${String(sequence).padStart(16, '0')}.snap`;

async function newestOf(disk: FaultyDisk): Promise<number> {
  const snapshot = await (await open(disk)).newest();
  if (snapshot === null) return 0;
  expect(snapshot.chunks.map(hex)).toEqual(chunksOf(snapshot.sequence).map(hex));
  return snapshot.sequence;
}

describe('SnapshotStore', () => {
  it('gives the newest back, chunk by chunk, and keeps one before it', async () => {
    const disk = new FaultyDisk();
    const store = await open(disk);
    expect(await store.newest()).toBeNull();
    const digests = new Set<string>();
    for (const sequence of [5, 9, 12]) digests.add(hex(await store.write(sequence, chunksOf(sequence))));
    expect(digests.size).toBe(3);
    expect(await newestOf(disk)).toBe(12);
    expect(await disk.list('s')).toEqual([pathOf(9), pathOf(12)].map((path) => path.slice(2)));
  });

  it('one without chunks, and one written twice, are as good as others', async () => {
    const store = await open(new FaultyDisk());
    const once = await store.write(3, []);
    expect(hex(await store.write(3, []))).toBe(hex(once));
    expect(await store.newest()).toEqual({ sequence: 3, chunks: [] });
  });

  it('any damaged byte makes it pass over to the one before', async () => {
    const disk = new FaultyDisk();
    const store = await open(disk);
    await store.write(5, chunksOf(5));
    await store.write(9, chunksOf(9));
    const size = (await disk.readFile(pathOf(9), 1e6)).length;
    for (let offset = 0; offset < size; offset += offset < 200 || offset > size - 40 ? 1 : 37) {
      const damaged = disk.clone();
      damaged.flip(pathOf(9), offset, 1 << (offset % 8));
      expect(await newestOf(damaged)).toBe(5);
    }
    disk.flip(pathOf(5), 70);
    disk.flip(pathOf(9), 70);
    expect(await newestOf(disk)).toBe(0);
  });

  it('one cut short is passed over', async () => {
    const disk = new FaultyDisk();
    const store = await open(disk);
    await store.write(5, chunksOf(5));
    await store.write(9, chunksOf(9));
    const size = (await disk.readFile(pathOf(9), 1e6)).length;
    for (const length of [0, 1, 63, 64, 99, size - 33, size - 1]) {
      const short = disk.clone();
      await (await short.open(pathOf(9))).truncate(length);
      expect(await newestOf(short)).toBe(5);
    }
  });

  it('a loss of power at any step leaves the one before or the new one, whole', async () => {
    const found = new Set<number>();
    for (let step = 1; step <= 14; step += 1) {
      for (let seed = 1; seed <= 12; seed += 1) {
        let disk = new FaultyDisk({ seed: 100 * step + seed });
        const store = await open(disk);
        await store.write(5, chunksOf(5));
        disk.losePowerAt(disk.steps + step);
        const written = await codeOf(store.write(9, chunksOf(9)));
        disk = disk.powerCycle();
        const newest = await newestOf(disk);
        found.add(newest);
        expect(written === 'done' ? [9] : [5, 9]).toContain(newest);
        expect((await disk.list('s')).filter((name) => name.endsWith('.new'))).toEqual([]);
      }
    }
    expect([...found].sort()).toEqual([5, 9]);
  });

  it('a full disk is said, and leaves the older ones and nothing half written', async () => {
    const disk = new FaultyDisk();
    const store = await open(disk);
    await store.write(5, chunksOf(5));
    disk.capacityBytes = 5000;
    expect(await codeOf(store.write(9, chunksOf(9)))).toBe('DISK_FULL');
    expect((await disk.list('s')).length).toBe(1);
    expect(await newestOf(disk)).toBe(5);
  });

  it('one of another journal, or under another name, is not taken', async () => {
    const disk = new FaultyDisk();
    await (await open(disk)).write(5, chunksOf(5));
    const other = await SnapshotStore.open(disk, 's', sha256(JOURNAL_ID).subarray(0, 16));
    expect(await other.newest()).toBeNull();
    await disk.rename(pathOf(5), pathOf(6));
    expect(await newestOf(disk)).toBe(0);
  });

  it('one of a later format is refused, not passed over', async () => {
    const disk = new FaultyDisk();
    const store = await open(disk);
    await store.write(5, chunksOf(5));
    const file = await disk.open(pathOf(5));
    const head = await file.readAt(0, 64);
    head[9] = 2;
    head.set(sha256(head.subarray(0, 48)).subarray(0, 16), 48);
    await file.writeAt(0, [head]);
    await expect(store.newest()).rejects.toThrow(/version 2/);
  });
});
