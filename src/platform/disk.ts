/**
 * The real Disk: one folder of the file system (port: base/ports.ts). Paths are relative and cannot leave it.
 * What the system says becomes one of the stable codes, so that no caller reads errno values. Nothing here
 * tries again: after a failed sync nobody knows what the disk holds, and the caller must draw the consequence.
 */
import type { FileHandle } from 'node:fs/promises';
import { lstat, mkdir, open, readdir, rename, rm, statfs } from 'node:fs/promises';
import { constants } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import type { ErrorCode } from '../base/errors.ts';
import { isOperationError, OperationError } from '../base/errors.ts';
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

/** Buffers that the system takes in one call (IOV_MAX of Linux). */
const PARTS_PER_CALL = 1024;
const zeros = new Uint8Array(1024 * 1024);

/** What the system said, as one of the stable codes. `what` begins the sentence, such as "opening /x". */
export function diskFailure(error: unknown, what: string): OperationError {
  if (error instanceof OperationError) return error;
  const errno = error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : 'unknown';
  const code = CODES[errno] ?? 'DISK_ERROR';
  const remedy = REMEDIES[code];
  return new OperationError(code, `${what}: ${errno}.`, { cause: error, ...(remedy === undefined ? {} : { remedy }) });
}

export class NodeDisk implements Disk {
  readonly root: string;
  /** The last replacement of each path: two of one path go one after the other, as they share a name aside. */
  readonly #replacing = new Map<string, Promise<void>>();

  /** `root` is an existing folder. */
  constructor(root: string) {
    this.root = resolve(root);
  }

  async open(path: string, options: { readonly create?: boolean } = {}): Promise<DiskFile> {
    const full = this.#resolve(path);
    const flags = constants.O_RDWR | (options.create === true ? constants.O_CREAT : 0);
    return attempt(`opening ${full}`, async () => new NodeFile(path, full, await open(full, flags, 0o600)));
  }

  async list(folder: string): Promise<readonly string[]> {
    const full = this.#resolve(folder);
    try {
      return await attempt(`listing ${full}`, async () => (await readdir(full)).sort());
    } catch (error) {
      if (isOperationError(error, 'NOT_FOUND')) return [];
      throw error;
    }
  }

  async exists(path: string): Promise<boolean> {
    const full = this.#resolve(path);
    try {
      await attempt(`looking for ${full}`, () => lstat(full));
      return true;
    } catch (error) {
      // Only an answer counts: what cannot be looked at must not pass for absent.
      if (isOperationError(error, 'NOT_FOUND')) return false;
      throw error;
    }
  }

  async makeFolder(path: string): Promise<void> {
    const full = this.#resolve(path);
    await attempt(`creating ${full}`, async () => {
      const first = await mkdir(full, { recursive: true, mode: 0o700 });
      if (first === undefined) return;
      for (let made = full; made.length >= first.length; made = dirname(made)) await syncFolderAt(dirname(made));
    });
  }

  async remove(path: string): Promise<void> {
    const full = this.#resolve(path);
    await attempt(`removing ${full}`, () => rm(full, { force: true }));
  }

  async rename(from: string, to: string): Promise<void> {
    const [source, target] = [this.#resolve(from), this.#resolve(to)];
    await attempt(`renaming ${source}`, () => rename(source, target));
  }

  async syncFolder(path: string): Promise<void> {
    const full = this.#resolve(path);
    await attempt(`syncing ${full}`, () => syncFolderAt(full));
  }

  async readFile(path: string, maxBytes: number): Promise<Uint8Array> {
    const full = this.#resolve(path);
    return attempt(`reading ${full}`, async () => {
      const handle = await open(full, constants.O_RDONLY);
      try {
        const { size } = await handle.stat();
        if (size > maxBytes) throw new OperationError('TOO_LARGE', `${full} has ${size} bytes where ${maxBytes} are allowed.`);
        return await readFully(handle, full, 0, size);
      } finally {
        await handle.close();
      }
    });
  }

  async writeFile(path: string, bytes: Uint8Array, options: { readonly mode?: number } = {}): Promise<void> {
    const full = this.#resolve(path);
    const before = this.#replacing.get(full) ?? Promise.resolve();
    const turn = before.then(() => attempt(`writing ${full}`, () => replaceFile(full, bytes, options.mode ?? 0o600)));
    const settled = turn.catch(() => undefined);
    this.#replacing.set(full, settled);
    try {
      await turn;
    } finally {
      if (this.#replacing.get(full) === settled) this.#replacing.delete(full);
    }
  }

  async space(): Promise<DiskSpace> {
    return attempt(`asking for the space of ${this.root}`, async () => {
      const { bsize, blocks, bavail } = await statfs(this.root);
      return { totalBytes: bsize * blocks, freeBytes: bsize * bavail };
    });
  }

  #resolve(path: string): string {
    if (path.startsWith('/') || path.includes('\0') || path.split(/[/\\]/).includes('..')) {
      throw new OperationError('BAD_ARGUMENT', `The path ${JSON.stringify(path)} leaves its folder.`);
    }
    return join(this.root, path);
  }
}

async function attempt<T>(what: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    throw diskFailure(error, what);
  }
}

async function replaceFile(full: string, bytes: Uint8Array, mode: number): Promise<void> {
  const aside = `${full}.new`;
  await rm(aside, { force: true });
  try {
    const handle = await open(aside, 'wx', mode);
    try {
      await handle.writeFile(bytes);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(aside, full);
  } catch (error) {
    await rm(aside, { force: true }).catch(() => undefined);
    throw error;
  }
  await syncFolderAt(dirname(full));
}

async function syncFolderAt(path: string): Promise<void> {
  const handle = await open(path, constants.O_RDONLY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

const READ_UNASKED_BYTES_MAX = 32 * 1024 * 1024;
/** The runtime ends the process, without an error, at a call for 2 GiB or more. */
const READ_CALL_BYTES_MAX = 1024 ** 3;

async function readFully(handle: FileHandle, path: string, offset: number, length: number): Promise<Uint8Array> {
  const short = (): OperationError => new OperationError('CORRUPT', `${path} ends before byte ${offset + length}.`);
  // What a damaged number asks for is not allocated; a usual read costs no question for the size.
  if (length > READ_UNASKED_BYTES_MAX && (await handle.stat()).size < offset + length) throw short();
  // Not zeroed first: every byte is read, or the read fails.
  const bytes = new Uint8Array(Buffer.allocUnsafeSlow(length).buffer);
  let done = 0;
  while (done < length) {
    const { bytesRead } = await handle.read(bytes, done, Math.min(length - done, READ_CALL_BYTES_MAX), offset + done);
    if (bytesRead === 0) throw short();
    done += bytesRead;
  }
  return bytes;
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
    return attempt(`measuring ${this.#full}`, async () => (await this.#handle.stat()).size);
  }

  async preallocate(bytes: number): Promise<void> {
    await attempt(`preallocating ${this.#full}`, async () => {
      const { size } = await this.#handle.stat();
      // Zeros are written, not only reserved: a reserved block still costs metadata at its first overwrite.
      for (let at = size; at < bytes; at += zeros.length) {
        await this.#write(at, [zeros.subarray(0, Math.min(zeros.length, bytes - at))]);
      }
      if (size > bytes) await this.#handle.truncate(bytes);
      await this.#handle.sync();
    });
  }

  async writeAt(offset: number, parts: readonly Uint8Array[]): Promise<void> {
    await attempt(`writing ${this.#full}`, () => this.#write(offset, parts));
  }

  async readAt(offset: number, length: number): Promise<Uint8Array> {
    return attempt(`reading ${this.#full}`, () => readFully(this.#handle, this.#full, offset, length));
  }

  async datasync(): Promise<void> {
    await attempt(`syncing ${this.#full}`, () => this.#handle.datasync());
  }

  async truncate(bytes: number): Promise<void> {
    await attempt(`truncating ${this.#full}`, () => this.#handle.truncate(bytes));
  }

  async close(): Promise<void> {
    await attempt(`closing ${this.#full}`, () => this.#handle.close());
  }

  async #write(offset: number, parts: readonly Uint8Array[]): Promise<void> {
    let at = offset;
    for (let first = 0; first < parts.length; first += PARTS_PER_CALL) {
      let rest = parts.slice(first, first + PARTS_PER_CALL).filter((part) => part.length > 0);
      // The system may take fewer bytes than it was given.
      while (rest.length > 0) {
        const { bytesWritten } = await this.#handle.writev(rest as NodeJS.ArrayBufferView[], at);
        if (bytesWritten === 0) throw new OperationError('DISK_ERROR', `${this.#full} takes no more bytes.`);
        at += bytesWritten;
        rest = withoutFirst(rest, bytesWritten);
      }
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
