import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { folderLockContract } from './folder-lock.contract.ts';
import { lockFolder } from './folder-lock.ts';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'holdfast-lock-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

folderLockContract('a socket, as on Linux', (at) => lockFolder(at, 'linux'));
folderLockContract('a file, as elsewhere', (at) => lockFolder(at, 'other'));

describe('the lock of a folder', () => {
  it.runIf(process.platform === 'linux')('is free again when its holder was killed', async () => {
    const child = spawn(process.execPath, ['--input-type=module', '-e', HOLDER, folder], { stdio: ['ignore', 'pipe', 'inherit'] });
    await new Promise((resolve) => child.stdout.once('data', resolve));
    await expect(lockFolder(folder)).rejects.toMatchObject({ code: 'IN_USE' });
    child.kill('SIGKILL');
    await new Promise((resolve) => child.once('exit', resolve));
    await (await lockFolder(folder)).release();
  });
});

/** The holder runs without a TypeScript loader: it takes the same socket by the same name. */
const HOLDER = `
  import net from 'node:net'; import { statSync } from 'node:fs';
  const { dev, ino } = statSync(process.argv[1]);
  net.createServer().listen({ path: '\\0holdfast-lock-' + dev + '-' + ino }, () => console.log('locked'));
  setInterval(() => {}, 1000);`;
