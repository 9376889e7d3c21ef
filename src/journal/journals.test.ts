/** The journals keep their contracts on the real disk, and on the simulated one through both kinds of stop. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { OperationError } from '../base/errors.ts';
import type { DiskFile } from '../base/ports.ts';
import { NodeDisk } from '../platform/disk.ts';
import { FaultyDisk } from '../sim/faulty-disk.ts';
import { cellJournalContract } from './cell-journal.contract.ts';
import { logJournalContract } from './log-journal.contract.ts';
import type { JournalDisk } from './log-journal.contract.ts';

/** A disk of one process: when that has died nothing of it acts any more, and what it had open is closed. */
class MortalDisk extends NodeDisk {
  readonly #open: DiskFile[] = [];
  readonly #underWay = new Set<Promise<unknown>>();
  #isDead = false;

  override open(path: string, options?: { readonly create?: boolean }): Promise<DiskFile> {
    return this.#act(async () => {
      const file = await super.open(path, options);
      this.#open.push(file);
      return file;
    });
  }

  override remove(path: string): Promise<void> {
    return this.#act(() => super.remove(path));
  }

  async die(): Promise<void> {
    this.#isDead = true;
    await Promise.allSettled(this.#underWay);
    await Promise.allSettled(this.#open.map((file) => file.close()));
  }

  #act<T>(action: () => Promise<T>): Promise<T> {
    if (this.#isDead) return Promise.reject(new OperationError('DISK_ERROR', 'The process has died.'));
    const work = action();
    this.#underWay.add(work);
    return work;
  }
}

const folders: string[] = [];
const disks: MortalDisk[] = [];
afterAll(async () => {
  await Promise.all(disks.map((disk) => disk.die()));
  await Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true })));
});

async function onFileSystem(): Promise<JournalDisk> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-journals-'));
  folders.push(folder);
  const born = (): MortalDisk => {
    const disk = new MortalDisk(folder);
    disks.push(disk);
    return disk;
  };
  let disk = born();
  const crash = async (): Promise<NodeDisk> => {
    await disk.die();
    disk = born();
    return disk;
  };
  return { disk, crash };
}

function onSimulatedDisk(stop: (disk: FaultyDisk) => FaultyDisk): Promise<JournalDisk> {
  let disk = new FaultyDisk({ seed: 3 });
  return Promise.resolve({ disk, crash: () => Promise.resolve((disk = stop(disk))) });
}

for (const contract of [logJournalContract, cellJournalContract]) {
  contract('the file system, when its process ends', onFileSystem);
  contract('the simulated disk, when its process ends', () => onSimulatedDisk((disk) => disk.restartProcess()));
  contract('the simulated disk, when its power is lost', () => onSimulatedDisk((disk) => disk.powerCycle()));
}
