/**
 * A file system that can be full while a process works on it: one in memory, of a size that is changed at
 * will. Only the system's administrator may mount one; elsewhere a test says that it did not run.
 */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';

const PAGE_BYTES = 4096;
/** More than a node wants to see free. */
const ROOMY_BYTES = 2 * 1024 ** 3;
const TRIES = 20;

export class SmallDisk {
  readonly folder: string;

  /** Mounts it at a new folder; null where that is not allowed. */
  static mount(folder: string): SmallDisk | null {
    fs.mkdirSync(folder, { mode: 0o700 });
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${ROOMY_BYTES},mode=0700`, 'tmpfs', folder], { stdio: 'ignore' });
      return new SmallDisk(folder);
    } catch {
      return null;
    }
  }

  private constructor(folder: string) {
    this.folder = folder;
  }

  get freeBytes(): number {
    const { bavail, bsize } = fs.statfsSync(this.folder);
    return bavail * bsize;
  }

  /** No room for a byte more than there is. */
  fill(): void {
    for (let tries = 1; ; tries += 1) {
      const { blocks, bfree, bsize } = fs.statfsSync(this.folder);
      try {
        return this.#resize((blocks - bfree) * bsize + PAGE_BYTES);
      } catch (error) {
        // It grew meanwhile.
        if (tries === TRIES) throw error;
      }
    }
  }

  empty(): void {
    this.#resize(ROOMY_BYTES);
  }

  unmount(): void {
    execFileSync('umount', [this.folder], { stdio: 'ignore' });
  }

  #resize(bytes: number): void {
    execFileSync('mount', ['-o', `remount,size=${bytes}`, this.folder], { stdio: 'ignore' });
  }
}
