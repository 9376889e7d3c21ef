/** What the lock of a folder keeps, by whatever means it is taken: one process a folder, and none locked out by a dead one. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { codeOf } from './disk.contract.ts';
import type { FolderLock } from './folder-lock.ts';

export function folderLockContract(label: string, lockFolder: (folder: string) => Promise<FolderLock>): void {
  describe(`the lock of a folder by ${label}`, () => {
    let folder = '';
    beforeEach(async () => {
      folder = await mkdtemp(join(tmpdir(), 'holdfast-lock-'));
    });
    afterEach(async () => {
      await rm(folder, { recursive: true, force: true });
    });

    it('is held by one at a time, and the second is told by whom and what to do', async () => {
      const lock = await lockFolder(folder);
      await expect(lockFolder(folder)).rejects.toMatchObject({
        code: 'IN_USE',
        message: expect.stringContaining(String(process.pid)) as string,
        remedy: expect.stringContaining('--dir') as string,
      });
      expect((await readFile(join(folder, 'lock'), 'utf8')).trim()).toBe(String(process.pid));
      await lock.release();
      await (await lockFolder(folder)).release();
    });

    it('goes to exactly one of many that ask at once', async () => {
      const results = await Promise.allSettled(Array.from({ length: 20 }, () => lockFolder(folder)));
      const held = results.filter((result) => result.status === 'fulfilled');
      expect(held).toHaveLength(1);
      expect(await codeOf(lockFolder(folder))).toBe('IN_USE');
      await held[0]?.value.release();
    });

    it('goes to exactly one of many that ask at once after its holder has died', async () => {
      const late = async (turns: number): Promise<FolderLock> => {
        for (let i = 0; i < turns; i += 1) await new Promise((resolve) => setImmediate(resolve));
        return lockFolder(folder);
      };
      for (let round = 0; round < 40; round += 1) {
        // Above the greatest process id of any system.
        await writeFile(join(folder, 'lock'), '2147483646\n');
        const results = await Promise.allSettled(Array.from({ length: 24 }, (_, i) => late(i)));
        const held = results.filter((result) => result.status === 'fulfilled');
        expect(held).toHaveLength(1);
        await held[0]?.value.release();
      }
    });

    it('is not taken away from the next holder by the release of the one before', async () => {
      for (let round = 0; round < 40; round += 1) {
        const first = await lockFolder(folder);
        const released = first.release();
        let next: FolderLock | undefined;
        while (next === undefined) next = await lockFolder(folder).catch(() => undefined);
        await released;
        expect(await codeOf(lockFolder(folder))).toBe('IN_USE');
        expect((await readFile(join(folder, 'lock'), 'utf8')).trim()).toBe(String(process.pid));
        await next.release();
      }
    });

    it('is one for each folder', async () => {
      const other = await mkdtemp(join(tmpdir(), 'holdfast-lock-'));
      const locks = [await lockFolder(folder), await lockFolder(other)];
      for (const lock of locks) await lock.release();
      await rm(other, { recursive: true, force: true });
    });
  });
}
