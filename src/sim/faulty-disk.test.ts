/** The faulty disk: the contract of the port, and that it loses, keeps and breaks what it says. */
import { describe, expect, it } from 'vitest';
import { fromUtf8, utf8 } from '../base/bytes.ts';
import { codeOf, diskContract } from '../platform/disk.contract.ts';
import { FaultyDisk } from './faulty-disk.ts';

diskContract('in memory', () => Promise.resolve(new FaultyDisk()));
diskContract('in memory, operations overlapping', () =>
  Promise.resolve(new FaultyDisk({ delay: () => new Promise((resolve) => setImmediate(resolve)) })),
);

const SEEDS = Array.from({ length: 64 }, (_, i) => i + 1);
const sectors = (count: number, fill: number): Uint8Array => new Uint8Array(512 * count).fill(fill);

async function durable(disk: FaultyDisk, path: string, bytes: Uint8Array): Promise<void> {
  const file = await disk.open(path, { create: true });
  await file.writeAt(0, [bytes]);
  await file.datasync();
  await file.close();
  await disk.syncFolder('');
}

describe('FaultyDisk', () => {
  it('keeps what was synced, whatever the seed', async () => {
    for (const seed of SEEDS) {
      let disk = new FaultyDisk({ seed });
      await durable(disk, 'a', utf8('kept'));
      disk = disk.powerCycle();
      expect(fromUtf8(await disk.readFile('a', 10))).toBe('kept');
    }
  });

  it('loses, keeps and tears what was not synced, sector by sector', async () => {
    const outcomes = new Set<string>();
    for (const seed of SEEDS) {
      let disk = new FaultyDisk({ seed });
      await durable(disk, 'a', sectors(4, 1));
      const file = await disk.open('a');
      await file.writeAt(0, [sectors(4, 2)]);
      disk = disk.powerCycle();
      const bytes = await disk.readFile('a', 10_000);
      outcomes.add([0, 1, 2, 3].map((i) => bytes[512 * i + 100]).join(''));
      expect(bytes.every((byte, i) => byte === bytes[i - (i % 512)])).toBe(true);
    }
    expect(outcomes).toContain('1111');
    expect(outcomes).toContain('2222');
    expect(outcomes.size).toBeGreaterThan(4);
  });

  it('forgets a new file whose folder was not synced, at least sometimes', async () => {
    const found = new Set<boolean>();
    for (const seed of SEEDS) {
      let disk = new FaultyDisk({ seed });
      const file = await disk.open('a', { create: true });
      await file.writeAt(0, [utf8('x')]);
      await file.datasync();
      disk = disk.powerCycle();
      found.add(await disk.exists('a'));
    }
    expect([...found].sort()).toEqual([false, true]);
  });

  it('a rename happens or does not, never half', async () => {
    for (const seed of SEEDS) {
      let disk = new FaultyDisk({ seed });
      await durable(disk, 'a', utf8('x'));
      await disk.rename('a', 'b');
      disk = disk.powerCycle();
      expect([['a'], ['b']]).toContainEqual(await disk.list(''));
    }
  });

  it('after a failed sync the bytes are seen, pass for clean, and are gone with the power', async () => {
    let disk = new FaultyDisk();
    await durable(disk, 'a', utf8('old'));
    const file = await disk.open('a');
    await file.writeAt(0, [utf8('new')]);
    disk.failWhen((step) => (step === 'datasync' ? 'DISK_ERROR' : null));
    expect(await codeOf(file.datasync())).toBe('DISK_ERROR');
    disk.failWhen(() => null);
    await file.datasync();
    expect(fromUtf8(await disk.readFile('a', 3))).toBe('new');
    disk = disk.powerCycle();
    expect(fromUtf8(await disk.readFile('a', 3))).toBe('old');
  });

  it('loses power at a chosen step: everything after it fails until it comes back', async () => {
    let disk = new FaultyDisk();
    await durable(disk, 'a', utf8('old'));
    const file = await disk.open('a');
    disk.losePowerAt(disk.steps + 2);
    await file.writeAt(0, [utf8('new')]);
    expect(await codeOf(file.datasync())).toBe('DISK_ERROR');
    expect(disk.isOff).toBe(true);
    expect(await codeOf(file.readAt(0, 3))).toBe('DISK_ERROR');
    expect(await codeOf(disk.list(''))).toBe('DISK_ERROR');
    disk = disk.powerCycle();
    expect(disk.isOff).toBe(false);
    expect(['old', 'new']).toContain(fromUtf8(await disk.readFile('a', 3)));
    expect(await codeOf(file.readAt(0, 3))).toBe('DISK_ERROR');
  });

  it('a restart of the process alone loses nothing that was written', async () => {
    let disk = new FaultyDisk();
    const file = await disk.open('a', { create: true });
    await file.writeAt(0, [utf8('x')]);
    const old = disk;
    disk = disk.restartProcess();
    expect(await codeOf(file.writeAt(0, [utf8('y')]))).toBe('DISK_ERROR');
    expect(await codeOf(old.open('b', { create: true }))).toBe('DISK_ERROR');
    expect(fromUtf8(await disk.readFile('a', 3))).toBe('x');
  });

  it('fills up, and takes overwrites all the same', async () => {
    let disk = new FaultyDisk({ capacityBytes: 100 });
    const file = await disk.open('a', { create: true });
    await file.preallocate(100);
    expect(await codeOf(file.writeAt(99, [utf8('xy')]))).toBe('DISK_FULL');
    expect(await codeOf(disk.writeFile('b', utf8('x')))).toBe('DISK_FULL');
    expect(await disk.list('')).toEqual(['a']);
    await file.writeAt(0, [utf8('x')]);
    expect((await disk.space()).freeBytes).toBe(0);
  });

  it('reads but does not write while it is read-only', async () => {
    let disk = new FaultyDisk();
    await durable(disk, 'a', utf8('x'));
    disk.isReadOnly = true;
    expect(await codeOf(disk.writeFile('a', utf8('y')))).toBe('DISK_READ_ONLY');
    expect(fromUtf8(await disk.readFile('a', 3))).toBe('x');
  });

  it('rots where told, and a clone taken before does not', async () => {
    let disk = new FaultyDisk();
    await durable(disk, 'a', Uint8Array.of(0, 0));
    const image = disk.clone();
    disk.flip('a', 1, 4);
    disk = disk.powerCycle();
    expect([...(await disk.readFile('a', 3))]).toEqual([0, 4]);
    expect([...(await image.readFile('a', 3))]).toEqual([0, 0]);
  });

  it('does the same again for the same seed', async () => {
    const run = async (): Promise<string> => {
      let disk = new FaultyDisk({ seed: 7 });
      await durable(disk, 'a', sectors(64, 1));
      await (await disk.open('a')).writeAt(0, [sectors(64, 2)]);
      disk = disk.powerCycle();
      return String(await disk.readFile('a', 100_000));
    };
    expect(await run()).toBe(await run());
  });
});
