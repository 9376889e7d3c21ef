/** The journals keep their contracts on the real disk, and on the simulated one through both kinds of stop. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import type { DiskFile } from '../base/ports.ts';
import { NodeDisk } from '../platform/disk.ts';
import { FaultyDisk } from '../sim/faulty-disk.ts';
import { logJournalContract } from './log-journal.contract.ts';

/** Closes what its process had open, as the system does when a process ends. */
class MortalDisk extends NodeDisk {
  readonly #open: DiskFile[] = [];

  override async open(path: string, options?: { readonly create?: boolean }): Promise<DiskFile> {
    const file = await super.open(path, options);
    this.#open.push(file);
    return file;
  }

  async die(): Promise<void> {
    await Promise.allSettled(this.#open.map((file) => file.close()));
  }
}

const folders: string[] = [];
afterAll(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true }))));

logJournalContract('the file system, when its process ends', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-journals-'));
  folders.push(folder);
  let disk = new MortalDisk(folder);
  const crash = async (): Promise<NodeDisk> => {
    await disk.die();
    disk = new MortalDisk(folder);
    return disk;
  };
  return { disk, crash };
});

logJournalContract('the simulated disk, when its process ends', () => {
  let disk = new FaultyDisk({ seed: 3 });
  return Promise.resolve({ disk, crash: () => Promise.resolve((disk = disk.restartProcess())) });
});

logJournalContract('the simulated disk, when its power is lost', () => {
  let disk = new FaultyDisk({ seed: 4 });
  return Promise.resolve({ disk, crash: () => Promise.resolve((disk = disk.powerCycle())) });
});
