/**
 * When each access key was last used, and for how much, kept over restarts of the gateway. Written every few
 * seconds while something changes, and at the end; a crash loses the last seconds of it, and nothing else.
 */
import { describeError } from '../base/errors.ts';
import type { Clock, Disk, Telemetry, Timer } from '../base/ports.ts';
import type { KeyUse } from '../gateway/s3/access/key-meter.ts';
import { readKeyUse, writeKeyUse } from './access-folder.ts';

const WRITE_MS = 5_000;

export interface KeyUseFileOptions {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  /** Since the start of this process. */
  readonly uses: () => ReadonlyMap<string, KeyUse>;
}

export class KeyUseFile {
  readonly #options: KeyUseFileOptions;
  readonly #before: ReadonlyMap<string, KeyUse>;
  #written = 0;
  #timer: Timer | undefined;
  #writing: Promise<void> = Promise.resolve();
  #isClosed = false;

  private constructor(options: KeyUseFileOptions, before: ReadonlyMap<string, KeyUse>) {
    this.#options = options;
    this.#before = before;
    this.#next();
  }

  static async open(options: KeyUseFileOptions): Promise<KeyUseFile> {
    return new KeyUseFile(options, await readKeyUse(options.disk));
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#timer?.cancel();
    await this.#writing;
    await this.#write();
  }

  #next(): void {
    if (this.#isClosed) return;
    this.#timer = this.#options.clock.after(WRITE_MS, () => {
      this.#writing = this.#write().finally(() => this.#next());
    });
  }

  async #write(): Promise<void> {
    const { disk, telemetry, uses } = this.#options;
    const now = uses();
    const requests = [...now.values()].reduce((sum, use) => sum + use.requests, 0);
    if (requests === this.#written) return;
    try {
      await writeKeyUse(disk, this.#sum(now));
      this.#written = requests;
    } catch (error) {
      telemetry.event('warn', 'key_use_not_written', { error: describeError(error) });
    }
  }

  #sum(now: ReadonlyMap<string, KeyUse>): ReadonlyMap<string, KeyUse> {
    const sum = new Map(this.#before);
    for (const [id, use] of now) {
      const before = this.#before.get(id);
      sum.set(id, {
        lastUsedMs: use.lastUsedMs,
        requests: use.requests + (before?.requests ?? 0),
        bytesIn: use.bytesIn + (before?.bytesIn ?? 0),
        bytesOut: use.bytesOut + (before?.bytesOut ?? 0),
      });
    }
    return sum;
  }
}
