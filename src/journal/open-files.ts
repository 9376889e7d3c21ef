/**
 * Files opened for reading, a bounded number at a time: a journal may have more segments than a process may
 * have open files. The one used longest ago is closed first, never one in use.
 */
import type { Disk, DiskFile } from '../base/ports.ts';

const OPEN_FILES_MAX = 128;

interface Entry {
  readonly file: Promise<DiskFile>;
  users: number;
}

export class OpenFiles {
  readonly #disk: Disk;
  readonly #max: number;
  /** In order of last use. */
  readonly #entries = new Map<string, Entry>();

  constructor(disk: Disk, max: number = OPEN_FILES_MAX) {
    this.#disk = disk;
    this.#max = max;
  }

  get count(): number {
    return this.#entries.size;
  }

  /** Runs `action` on the file, opened before or now. NOT_FOUND when it does not exist. */
  async use<T>(path: string, action: (file: DiskFile) => Promise<T>): Promise<T> {
    const entry = this.#entries.get(path) ?? { file: this.#disk.open(path), users: 0 };
    this.#entries.delete(path);
    this.#entries.set(path, entry);
    entry.users += 1;
    try {
      return await action(await entry.file);
    } finally {
      entry.users -= 1;
      if (await failed(entry)) this.#drop(path, entry);
      else if (entry.users === 0 && this.#entries.get(path) !== entry) await closeQuietly(entry);
      await this.#closeSurplus();
    }
  }

  /** The file is about to go or to become another: it is closed when its last user is done. */
  async forget(path: string): Promise<void> {
    const entry = this.#entries.get(path);
    if (entry === undefined) return;
    this.#entries.delete(path);
    if (entry.users === 0) await closeQuietly(entry);
  }

  async closeAll(): Promise<void> {
    for (const path of [...this.#entries.keys()]) await this.forget(path);
  }

  #drop(path: string, entry: Entry): void {
    if (this.#entries.get(path) === entry) this.#entries.delete(path);
  }

  async #closeSurplus(): Promise<void> {
    for (const [path, entry] of this.#entries) {
      if (this.#entries.size <= this.#max) return;
      if (entry.users > 0) continue;
      this.#entries.delete(path);
      await closeQuietly(entry);
    }
  }
}

async function failed(entry: Entry): Promise<boolean> {
  return entry.file.then(
    () => false,
    () => true,
  );
}

/** Nothing was written through it, so a failure to close loses nothing. */
async function closeQuietly(entry: Entry): Promise<void> {
  await entry.file.then((file) => file.close()).catch(() => undefined);
}
