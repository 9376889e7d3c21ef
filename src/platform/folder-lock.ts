/**
 * One process a folder. On Linux the lock is a socket in the abstract namespace, named by the folder's device
 * and inode: taking it is atomic, and the system frees it when the process ends, however it ends. Elsewhere
 * it is an exclusively created file with the holder's pid, taken over when that process is gone. The file
 * `lock` names the holder in both cases, for the message that the second process gives.
 */
import { open, readFile, rm, stat, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { join } from 'node:path';
import process from 'node:process';
import { OperationError } from '../base/errors.ts';

const FILE = 'lock';

export interface FolderLock {
  release(): Promise<void>;
}

/** Takes the folder for this process. IN_USE names the holder's pid; DISK_READ_ONLY when the folder cannot be written. */
export async function lockFolder(folder: string): Promise<FolderLock> {
  const path = join(folder, FILE);
  const free = process.platform === 'linux' ? await takeSocket(folder, path) : await takeFile(folder, path);
  try {
    await writeFile(path, `${process.pid}\n`, { mode: 0o600 });
  } catch (error) {
    await free();
    throw new OperationError('DISK_READ_ONLY', `The folder ${folder} cannot be written.`, {
      cause: error,
      remedy: 'Make it writable for the user that runs this process.',
    });
  }
  return {
    release: async () => {
      await rm(path, { force: true });
      await free();
    },
  };
}

async function takeSocket(folder: string, path: string): Promise<() => Promise<void>> {
  const { dev, ino } = await stat(folder);
  const server = net.createServer((socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ path: `\0holdfast-lock-${dev}-${ino}`, exclusive: true }, resolve);
  }).catch(async (error: unknown) => {
    if (isErrno(error, 'EADDRINUSE')) throw await inUse(folder, path);
    throw new OperationError('DISK_ERROR', `The lock of ${folder} cannot be taken.`, { cause: error });
  });
  server.unref();
  return () => new Promise((resolve) => server.close(() => resolve()));
}

async function takeFile(folder: string, path: string): Promise<() => Promise<void>> {
  for (let attempt = 0; attempt < 2; attempt += 1) {
    try {
      const handle = await open(path, 'wx', 0o600);
      await handle.close();
      return async () => rm(path, { force: true });
    } catch (error) {
      if (!isErrno(error, 'EEXIST')) {
        throw new OperationError('DISK_READ_ONLY', `The folder ${folder} cannot be written.`, { cause: error });
      }
      const holder = await holderOf(path);
      if (holder === null || isAlive(holder)) throw await inUse(folder, path);
      await rm(path, { force: true });
    }
  }
  throw await inUse(folder, path);
}

async function inUse(folder: string, path: string): Promise<OperationError> {
  const pid = await holderOf(path);
  const who = pid === null ? 'Another process' : `Process ${pid}`;
  return new OperationError('IN_USE', `${who} holds the folder ${folder}.`, {
    remedy: 'Stop it first, or choose another folder with --dir.',
  });
}

async function holderOf(path: string): Promise<number | null> {
  try {
    const pid = Number.parseInt(await readFile(path, 'utf8'), 10);
    return Number.isSafeInteger(pid) && pid > 0 ? pid : null;
  } catch {
    return null;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return isErrno(error, 'EPERM');
  }
}

function isErrno(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
