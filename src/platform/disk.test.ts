/** The real disk: the contract of the port over the file system, and how what the system says is translated. */
import { existsSync } from 'node:fs';
import { mkdtemp, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { utf8 } from '../base/bytes.ts';
import { codeOf, diskContract } from './disk.contract.ts';
import { diskFailure, NodeDisk } from './disk.ts';

const folders: string[] = [];

async function newFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-disk-'));
  folders.push(folder);
  return folder;
}

afterAll(async () => {
  await Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true })));
});

diskContract('the file system', async () => new NodeDisk(await newFolder()));

describe('NodeDisk', () => {
  it.each([
    ['ENOSPC', 'DISK_FULL'],
    ['EDQUOT', 'DISK_FULL'],
    ['EROFS', 'DISK_READ_ONLY'],
    ['EACCES', 'DISK_READ_ONLY'],
    ['EPERM', 'DISK_READ_ONLY'],
    ['ENOENT', 'NOT_FOUND'],
    ['EIO', 'DISK_ERROR'],
    ['EMFILE', 'DISK_ERROR'],
  ])('%s of the system is %s, with the cause kept', (errno, code) => {
    const cause = Object.assign(new Error('said so'), { code: errno });
    const failure = diskFailure(cause, 'writing /x');
    expect(failure.code).toBe(code);
    expect(failure.cause).toBe(cause);
    expect(failure.message).toContain(errno);
  });

  it.runIf(existsSync('/dev/full'))('a full disk is DISK_FULL, and a failed replacement leaves nothing aside', async () => {
    const folder = await newFolder();
    await symlink('/dev/full', join(folder, 'full'));
    const file = await new NodeDisk(folder).open('full');
    expect(await codeOf(file.writeAt(0, [utf8('x')]))).toBe('DISK_FULL');
    await file.close();
  });

  it.runIf(existsSync('/sys/kernel'))('a folder that nobody may write is DISK_READ_ONLY', async () => {
    expect(await codeOf(new NodeDisk('/sys').writeFile('holdfast', utf8('x')))).toBe('DISK_READ_ONLY');
  });

  it('what it makes is for its user alone, unless asked otherwise', async () => {
    const folder = await newFolder();
    const disk = new NodeDisk(folder);
    await disk.makeFolder('f');
    await (await disk.open('f/opened', { create: true })).close();
    await disk.writeFile('f/written', utf8('x'));
    await disk.writeFile('f/public', utf8('x'), { mode: 0o644 });
    const mode = async (name: string): Promise<number> => (await stat(join(folder, name))).mode & 0o777;
    expect([await mode('f'), await mode('f/opened'), await mode('f/written')]).toEqual([0o700, 0o600, 0o600]);
    expect((await mode('f/public')) & 0o133).toBe(0);
  });

  it('a replacement cut short by a crash is overwritten by the next', async () => {
    const folder = await newFolder();
    await writeFile(join(folder, 'a.new'), 'half of a longer file');
    await new NodeDisk(folder).writeFile('a', utf8('whole'));
    expect(await new NodeDisk(folder).list('')).toEqual(['a']);
  });
});
