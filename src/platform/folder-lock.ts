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

/**
 * Takes the folder for this process. IN_USE names the holder's pid; DISK_READ_ONLY when the folder cannot be
 * written. `platform` is another than this one in tests alone.
 */
export async function lockFolder(folder: string, platform: string = process.platform): Promise<FolderLock> {
  const path = join(folder, FILE);
  const free = platform === 'linux' ? await takeSocket(folder, path) : await takeFile(folder, path);
  try {
    await writeFile(path, `${process.pid}\n`, { mode: 0o600 });
  } catch (error) {
    await free();
    throw new OperationError('DISK_READ_ONLY', `The folder ${folder} cannot be written.`, {
      cause: error,
      remedy: 'Make it writable for the user that runs this process.',
    });
  }
  return { release: free };
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
  return async () => {
    // While the folder is still held: afterwards the file is the next one's.
    await rm(path, { force: true });
    await new Promise<void>((resolve) => server.close(() => resolve()));
  };
}

async function takeFile(folder: string, path: string): Promise<() => Promise<void>> {
  if (!(await createLock(folder, path))) await takeOver(folder, path);
  return () => rm(path, { force: true });
}

/**
 * Replaces the file of a holder that is gone. One process at a time does so: another one that read the same
 * dead holder would remove the file of the new one. Whoever dies in between leaves the folder locked.
 */
async function takeOver(folder: string, path: string): Promise<void> {
  if (!(await isAbandoned(path))) throw await inUse(folder, path);
  const taking = `${path}.takeover`;
  if (!(await createLock(folder, taking))) {
    throw new OperationError('IN_USE', `Another process takes over the folder ${folder}.`, {
      remedy: `If no process of Holdfast runs there, remove ${taking}.`,
    });
  }
  try {
    if (!(await isAbandoned(path))) throw await inUse(folder, path);
    await rm(path, { force: true });
    if (!(await createLock(folder, path))) throw await inUse(folder, path);
  } finally {
    await rm(taking, { force: true });
  }
}

async function isAbandoned(path: string): Promise<boolean> {
  const holder = await holderOf(path);
  return holder !== null && !isAlive(holder);
}

/** False when the file exists. */
async function createLock(folder: string, path: string): Promise<boolean> {
  try {
    const handle = await open(path, 'wx', 0o600);
    await handle.close();
    return true;
  } catch (error) {
    if (isErrno(error, 'EEXIST')) return false;
    throw new OperationError('DISK_READ_ONLY', `The folder ${folder} cannot be written.`, { cause: error });
  }
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
