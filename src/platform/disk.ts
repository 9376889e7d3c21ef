/**
 * The real Disk: one folder of the file system. Paths are relative and cannot leave it. What the system says
 * becomes one of the stable codes, so that no caller reads errno values.
 */
import type { FileHandle } from 'node:fs/promises';
import { access, mkdir, open, readdir, rename, rm, statfs } from 'node:fs/promises';
import { constants } from 'node:fs';
import { dirname, join, normalize, sep } from 'node:path';
import type { ErrorCode } from '../base/errors.ts';
import { OperationError } from '../base/errors.ts';
import type { Disk, DiskFile, DiskSpace } from '../base/ports.ts';

const CODES: Readonly<Record<string, ErrorCode>> = {
  ENOSPC: 'DISK_FULL',
  EDQUOT: 'DISK_FULL',
  EROFS: 'DISK_READ_ONLY',
  EACCES: 'DISK_READ_ONLY',
  EPERM: 'DISK_READ_ONLY',
  ENOENT: 'NOT_FOUND',
  ENOTDIR: 'NOT_FOUND',
};

const REMEDIES: Partial<Record<ErrorCode, string>> = {
  DISK_FULL: 'Free space on the disk or give the process a larger one.',
  DISK_READ_ONLY: 'Make the folder writable for the user that runs this process.',
};

const ZERO_BYTES = 1024 * 1024;
const zeros = new Uint8Array(ZERO_BYTES);

function failure(error: unknown, what: string): OperationError {
  if (error instanceof OperationError) return error;
  const errno = error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : 'unknown';
  const code = CODES[errno] ?? 'DISK_ERROR';
  const remedy = REMEDIES[code];
  return new OperationError(code, `${what}: ${errno}.`, { cause: error, ...(remedy === undefined ? {} : { remedy }) });
}

export class NodeDisk implements Disk {
  readonly root: string;

  /** `root` is an existing folder. */
  constructor(root: string) {
    this.root = normalize(root);
  }

  async open(path: string, options: { readonly create?: boolean } = {}): Promise<DiskFile> {
    const full = this.#resolve(path);
    const flags = constants.O_RDWR | (options.create === true ? constants.O_CREAT : 0);
    return this.#do(`opening ${full}`, async () => new NodeFile(path, full, await open(full, flags, 0o600)));
  }

  async list(folder: string): Promise<readonly string[]> {
    const full = this.#resolve(folder);
    try {
      return await this.#do(`listing ${full}`, async () => (await readdir(full)).sort());
    } catch (error) {
      if (error instanceof OperationError && error.code === 'NOT_FOUND') return [];
      throw error;
    }
  }

  async exists(path: string): Promise<boolean> {
    try {
      await access(this.#resolve(path));
      return true;
    } catch {
      return false;
    }
  }

  async makeFolder(path: string): Promise<void> {
    const full = this.#resolve(path);
    await this.#do(`creating ${full}`, async () => {
      const made = await mkdir(full, { recursive: true, mode: 0o700 });
      if (made !== undefined) await syncFolderAt(dirname(made));
    });
  }

  async remove(path: string): Promise<void> {
    const full = this.#resolve(path);
    await this.#do(`removing ${full}`, () => rm(full, { force: true }));
  }

  async rename(from: string, to: string): Promise<void> {
    const full = this.#resolve(from);
    await this.#do(`renaming ${full}`, () => rename(full, this.#resolve(to)));
  }

  async syncFolder(path: string): Promise<void> {
    const full = this.#resolve(path);
    await this.#do(`syncing ${full}`, () => syncFolderAt(full));
  }

  async readFile(path: string, maxBytes: number): Promise<Uint8Array> {
    const full = this.#resolve(path);
    return this.#do(`reading ${full}`, async () => {
      const handle = await open(full, constants.O_RDONLY);
      try {
        const { size } = await handle.stat();
        if (size > maxBytes) throw new OperationError('TOO_LARGE', `${full} has ${size} bytes where ${maxBytes} are allowed.`);
        const bytes = new Uint8Array(size);
        await readFully(handle, full, bytes, 0);
        return bytes;
      } finally {
        await handle.close();
      }
    });
  }

  async writeFile(path: string, bytes: Uint8Array, options: { readonly mode?: number } = {}): Promise<void> {
    const full = this.#resolve(path);
    await this.#do(`writing ${full}`, async () => {
      const aside = `${full}.new`;
      await rm(aside, { force: true });
      const handle = await open(aside, 'wx', options.mode ?? 0o600);
      try {
        await handle.writeFile(bytes);
        await handle.sync();
      } finally {
        await handle.close();
      }
      await rename(aside, full);
      await syncFolderAt(dirname(full));
    });
  }

  async space(): Promise<DiskSpace> {
    return this.#do(`asking for the space of ${this.root}`, async () => {
      const { bsize, blocks, bavail } = await statfs(this.root);
      return { totalBytes: bsize * blocks, freeBytes: bsize * bavail };
    });
  }

  #resolve(path: string): string {
    const full = normalize(join(this.root, path));
    if (full !== this.root && !full.startsWith(this.root.endsWith(sep) ? this.root : this.root + sep)) {
      throw new OperationError('BAD_ARGUMENT', `The path ${path} leaves its folder.`);
    }
    return full;
  }

  async #do<T>(what: string, action: () => Promise<T>): Promise<T> {
    try {
      return await action();
    } catch (error) {
      throw failure(error, what);
    }
  }
}

async function syncFolderAt(path: string): Promise<void> {
  const handle = await open(path, constants.O_RDONLY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function readFully(handle: FileHandle, path: string, into: Uint8Array, offset: number): Promise<void> {
  let done = 0;
  while (done < into.length) {
    const { bytesRead } = await handle.read(into, done, into.length - done, offset + done);
    if (bytesRead === 0) throw new OperationError('CORRUPT', `${path} ends before byte ${offset + into.length}.`);
    done += bytesRead;
  }
}

class NodeFile implements DiskFile {
  readonly path: string;
  readonly #full: string;
  readonly #handle: FileHandle;

  constructor(path: string, full: string, handle: FileHandle) {
    this.path = path;
    this.#full = full;
    this.#handle = handle;
  }

  async size(): Promise<number> {
    return this.#do('measuring', async () => (await this.#handle.stat()).size);
  }

  async preallocate(bytes: number): Promise<void> {
    await this.#do('preallocating', async () => {
      const { size } = await this.#handle.stat();
      for (let at = size; at < bytes; at += ZERO_BYTES) {
        await this.#write(at, [zeros.subarray(0, Math.min(ZERO_BYTES, bytes - at))]);
      }
      if (size > bytes) await this.#handle.truncate(bytes);
      await this.#handle.sync();
    });
  }

  async writeAt(offset: number, parts: readonly Uint8Array[]): Promise<void> {
    await this.#do('writing', () => this.#write(offset, parts));
  }

  async readAt(offset: number, length: number): Promise<Uint8Array> {
    return this.#do('reading', async () => {
      const bytes = new Uint8Array(length);
      await readFully(this.#handle, this.#full, bytes, offset);
      return bytes;
    });
  }

  async datasync(): Promise<void> {
    await this.#do('syncing', () => this.#handle.datasync());
  }

  async truncate(bytes: number): Promise<void> {
    await this.#do('truncating', () => this.#handle.truncate(bytes));
  }

  async close(): Promise<void> {
    await this.#do('closing', () => this.#handle.close());
  }

  async #write(offset: number, parts: readonly Uint8Array[]): Promise<void> {
    let at = offset;
    let rest = parts;
    for (;;) {
      // The system takes 1024 buffers a call at most, and may write fewer bytes than given.
      const some = rest.slice(0, 1024);
      const { bytesWritten } = await this.#handle.writev(some as NodeJS.ArrayBufferView[], at);
      at += bytesWritten;
      rest = [...withoutFirst(some, bytesWritten), ...rest.slice(1024)];
      if (rest.length === 0) return;
    }
  }

  async #do<T>(what: string, action: () => Promise<T>): Promise<T> {
    try {
      return await action();
    } catch (error) {
      throw failure(error, `${what} ${this.#full}`);
    }
  }
}

function withoutFirst(parts: readonly Uint8Array[], bytes: number): Uint8Array[] {
  let skip = bytes;
  const out: Uint8Array[] = [];
  for (const part of parts) {
    if (skip >= part.length) skip -= part.length;
    else {
      out.push(part.subarray(skip));
      skip = 0;
    }
  }
  return out;
}
