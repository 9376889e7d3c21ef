/**
 * The log through losses of power at every step: nothing acknowledged is lost, nothing appears that was not
 * appended, and damage of what was acknowledged is never taken for a torn write.
 */
import { describe, expect, it } from 'vitest';
import { codeOf } from '../platform/disk.contract.ts';
import { FaultyDisk } from '../sim/faulty-disk.ts';
import { Account, openLog } from './log-world.contract.ts';
import { HEADER_BYTES, recordBytes, segmentName } from './segment.ts';

const RECORDS = 24;

/** Steps of the workload when nothing fails. */
async function stepsOfWorkload(): Promise<number> {
  let disk = new FaultyDisk();
  const { journal } = await openLog(disk);
  await new Account(1).appendTo(journal, RECORDS);
  await journal.close();
  return disk.steps;
}

async function runUntilPowerIsLost(disk: FaultyDisk, account: Account): Promise<void> {
  try {
    const { journal } = await openLog(disk);
    await account.appendTo(journal, RECORDS);
    await journal.close();
  } catch (error) {
    if (!disk.isOff) throw error;
  }
}

/** A log of several segments that was closed. */
async function sealedLog(): Promise<{ disk: FaultyDisk; account: Account }> {
  let disk = new FaultyDisk();
  const account = new Account(5);
  const { journal } = await openLog(disk);
  await account.appendTo(journal, RECORDS);
  await journal.close();
  expect((await disk.list('j')).length).toBeGreaterThan(2);
  return { disk, account };
}

describe('after a loss of power', () => {
  it('at any step, the log holds what was acknowledged and goes on', async () => {
    const steps = await stepsOfWorkload();
    expect(steps).toBeGreaterThan(40);
    for (let step = 1; step <= steps + 1; step += 1) {
      for (let seed = 1; seed <= 6; seed += 1) {
        let disk = new FaultyDisk({ seed: 1_000 * step + seed });
        const account = new Account(1);
        disk.losePowerAt(step);
        await runUntilPowerIsLost(disk, account);
        disk = disk.powerCycle();
        const recovered = await openLog(disk);
        await account.check(recovered);
        await account.appendTo(recovered.journal, 6);
        expect(account.acknowledged).toBe(account.submitted.length);
        await recovered.journal.close();
        disk = disk.powerCycle();
        const again = await openLog(disk);
        await account.check(again);
        await again.journal.close();
      }
    }
  });

  it('during recovery from one, the next recovery finds the same', async () => {
    for (let seed = 1; seed <= 300; seed += 1) {
      let disk = new FaultyDisk({ seed });
      const account = new Account(seed);
      for (let life = 0; life < 5; life += 1) {
        disk.losePowerAt(disk.steps + 1 + ((seed * 7 + life * 13) % (life % 2 === 0 ? 60 : 6)));
        await runUntilPowerIsLost(disk, account);
        disk = disk.powerCycle();
        // What recovery hands out is durable, so a further loss of power must not change it.
        const recovered = await openLog(disk);
        await account.check(recovered);
        disk = disk.powerCycle();
      }
    }
  });
});

describe('after the death of the process alone', () => {
  it('what recovery hands out survives a loss of power, although nobody had synced it', async () => {
    for (let seed = 1; seed <= 40; seed += 1) {
      let disk = new FaultyDisk({ seed });
      const account = new Account(seed);
      const { journal } = await openLog(disk);
      await account.appendTo(journal, 3);
      // The write is made, its sync never ends.
      disk.failWhen((step) => (step === 'datasync' ? 'DISK_ERROR' : null));
      await account.appendTo(journal, 2);
      disk = disk.restartProcess();
      const recovered = await openLog(disk);
      expect(recovered.records.length).toBeGreaterThan(3);
      await account.check(recovered);
      disk = disk.powerCycle();
      await account.check(await openLog(disk));
    }
  });
});

describe('damage', () => {
  it('of any byte of a closed log is refused or does no harm', async () => {
    const { disk, account } = await sealedLog();
    let refused = 0;
    for (const name of await disk.list('j')) {
      const size = (await disk.readFile(`j/${name}`, 1e6)).length;
      for (let offset = 0; offset < size; offset += offset < HEADER_BYTES ? 61 : 5) {
        const damaged = disk.clone();
        damaged.flip(`j/${name}`, offset, 1 << (offset % 8));
        try {
          const { journal, records } = await openLog(damaged);
          expect(records).toEqual(account.submitted);
          await journal.close();
        } catch (error) {
          expect(error).toMatchObject({ code: 'LOST_STATE' });
          expect(String(error)).toContain('j/log-');
          refused += 1;
        }
      }
    }
    expect(refused).toBeGreaterThan(500);
  });

  it('of any batch but the last is refused after a crash as well, and says where', async () => {
    let disk = new FaultyDisk();
    const { journal } = await openLog(disk);
    const pointers = [];
    for (let i = 0; i < 8; i += 1) pointers.push(...(await journal.append([new Uint8Array(300).fill(i)])));
    disk = disk.powerCycle();
    for (const { segment, offset } of pointers.slice(0, -1)) {
      const damaged = disk.clone();
      const path = `j/${segmentName('log', segment)}`;
      damaged.flip(path, offset + 150);
      const open = openLog(damaged);
      await expect(open).rejects.toMatchObject({ code: 'LOST_STATE' });
      await expect(open).rejects.toThrow(path);
    }
  });

  it('of the last batch after a crash cannot be told from a torn write, and is cut', async () => {
    let disk = new FaultyDisk();
    const { journal } = await openLog(disk);
    await journal.append([new Uint8Array(300).fill(1)]);
    const [last] = await journal.append([new Uint8Array(300).fill(2)]);
    disk = disk.powerCycle();
    disk.flip(`j/${segmentName('log', last?.segment ?? 0)}`, last?.offset ?? 0);
    const { records } = await openLog(disk);
    expect(records.length).toBe(1);
  });

  it('a torn batch of which later records are whole is cut, not refused', async () => {
    let disk = new FaultyDisk();
    const { journal } = await openLog(disk);
    await journal.append([new Uint8Array(100)]);
    const batch = await journal.append([1, 2, 3].map((fill) => new Uint8Array(400).fill(fill)));
    disk = disk.powerCycle();
    const [first] = batch;
    disk.flip(`j/${segmentName('log', 1)}`, first?.offset ?? 0);
    const recovered = await openLog(disk);
    expect(recovered.records.length).toBe(1);
    // The whole rest of the batch is gone for good, also for the scan of the next recovery.
    await recovered.journal.append([new Uint8Array(8).fill(9)]);
    disk = disk.powerCycle();
    const { records } = await openLog(disk);
    expect(records.map((record) => record.slice(0, 2))).toEqual(['00', '09']);
  });

  it('a segment that is missing or cut short is refused', async () => {
    const { disk, account } = await sealedLog();
    const names = await disk.list('j');
    for (const [i, name] of names.entries()) {
      const damaged = disk.clone();
      await damaged.remove(`j/${name}`);
      // Without its last segment a log looks like an older one: only others can tell (protocol 13.9), or a snapshot.
      if (i < names.length - 1) expect(await codeOf(openLog(damaged))).toBe('LOST_STATE');
      else expect(await codeOf(openLog(damaged, { after: account.submitted.length }))).toBe('LOST_STATE');
      const short = disk.clone();
      const file = await short.open(`j/${name}`);
      await file.truncate(i < names.length - 1 ? HEADER_BYTES + recordBytes(0) : 10);
      await file.close();
      expect(await codeOf(openLog(short, i < names.length - 1 ? {} : { after: account.submitted.length }))).toBe('LOST_STATE');
    }
  });
});
