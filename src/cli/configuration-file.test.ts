/** The configuration keeps its contract however it is read: named on a command line, or kept in a folder. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe } from 'vitest';
import { hex } from '../base/bytes.ts';
import type { Disk } from '../base/ports.ts';
import { NodeDisk } from '../platform/disk.ts';
import { FaultyDisk } from '../sim/faulty-disk.ts';
import { bindCluster, boundCluster } from './bound-cluster.ts';
import { configurationFileContract } from './configuration-file.contract.ts';
import { CONFIG_FILE } from './identity-folder.ts';

const root = mkdtempSync(path.join(tmpdir(), 'holdfast-configuration-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const DISKS: readonly (readonly [string, () => Disk])[] = [
  ['the real disk', () => new NodeDisk(mkdtempSync(path.join(root, 'd-')))],
  ['the simulated disk', () => new FaultyDisk()],
];

async function contentOf(disk: Disk, except?: string): Promise<string[]> {
  const names = (await disk.list('')).filter((name) => name !== except);
  return Promise.all(names.map(async (name) => `${name} ${hex(await disk.readFile(name, 1 << 20))}`));
}

describe.each(DISKS)('on %s', (_, makeDisk) => {
  configurationFileContract('binds a folder', () => {
    const disk = makeDisk();
    const file = path.join(mkdtempSync(path.join(root, 'g-')), 'given.cfg');
    return Promise.resolve({
      read: (document) => {
        writeFileSync(file, document);
        return bindCluster(disk, file, () => undefined);
      },
      folder: () => contentOf(disk),
    });
  });

  configurationFileContract('is kept in a folder', () => {
    const disk = makeDisk();
    return Promise.resolve({
      read: async (document) => {
        await disk.writeFile(CONFIG_FILE, document);
        return boundCluster(disk);
      },
      folder: () => contentOf(disk, CONFIG_FILE),
    });
  });
});
