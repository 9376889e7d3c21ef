/**
 * GATEWAY/webhooks.json (mode 0600): whom the gateway may tell of events, with the secrets that sign what it
 * tells. The commands replace it whole; a running gateway looks at it every second.
 */
import { z } from 'zod';
import { utf8 } from '../base/bytes.ts';
import { describeError, isOperationError } from '../base/errors.ts';
import type { Clock, Disk, Telemetry, Timer } from '../base/ports.ts';
import { checkedWebhooks } from '../gateway/s3/notification/webhooks.ts';
import type { Webhook } from '../gateway/s3/notification/webhooks.ts';
import { readJson } from './folder-json.ts';
import { SECRET_MODE } from './identity-folder.ts';

export const WEBHOOKS_FILE = 'webhooks.json';
export const WEBHOOKS_MAX = 100;
const FILE_BYTES_MAX = 1024 * 1024;
const LOOK_MS = 1_000;

const fileSchema = z.strictObject({
  v: z.literal(1),
  webhooks: z
    .array(z.strictObject({ name: z.string().max(64), url: z.string().max(2048), secret: z.string().max(256) }))
    .max(WEBHOOKS_MAX),
});

/** None where none was ever made. CORRUPT, BAD_ARGUMENT for a webhook that may not be. */
export async function readWebhooks(disk: Disk): Promise<readonly Webhook[]> {
  try {
    const { webhooks } = await readJson(disk, WEBHOOKS_FILE, fileSchema, 'NOT_FOUND', FILE_BYTES_MAX);
    return [...checkedWebhooks(webhooks).values()];
  } catch (error) {
    if (isOperationError(error, 'NOT_FOUND')) return [];
    throw error;
  }
}

export async function writeWebhooks(disk: Disk, webhooks: readonly Webhook[]): Promise<void> {
  const checked = [...checkedWebhooks(webhooks).values()];
  await disk.writeFile(WEBHOOKS_FILE, utf8(`${JSON.stringify({ v: 1, webhooks: checked }, null, 2)}\n`), { mode: SECRET_MODE });
}

/** The file as a running gateway sees it. What becomes unreadable changes nothing until it can be read again. */
export class WatchedWebhooks {
  readonly #disk: Disk;
  readonly #clock: Clock;
  readonly #telemetry: Telemetry;
  readonly #byName = new Map<string, Webhook>();
  #timer: Timer | undefined;
  #looking: Promise<void> = Promise.resolve();
  #isClosed = false;

  private constructor(disk: Disk, clock: Clock, telemetry: Telemetry) {
    this.#disk = disk;
    this.#clock = clock;
    this.#telemetry = telemetry;
  }

  static async open(disk: Disk, clock: Clock, telemetry: Telemetry): Promise<WatchedWebhooks> {
    const watched = new WatchedWebhooks(disk, clock, telemetry);
    watched.#take(await readWebhooks(disk));
    watched.#next();
    return watched;
  }

  /** By name; changes while it is open. */
  get byName(): ReadonlyMap<string, Webhook> {
    return this.#byName;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#timer?.cancel();
    await this.#looking;
  }

  #take(webhooks: readonly Webhook[]): void {
    this.#byName.clear();
    for (const webhook of webhooks) this.#byName.set(webhook.name, webhook);
  }

  #next(): void {
    if (this.#isClosed) return;
    this.#timer = this.#clock.after(LOOK_MS, () => {
      this.#looking = this.#look().finally(() => this.#next());
    });
  }

  async #look(): Promise<void> {
    try {
      this.#take(await readWebhooks(this.#disk));
    } catch (error) {
      this.#telemetry.count('webhooks_not_read');
      this.#telemetry.event('error', 'webhooks_not_read', { error: describeError(error) });
    }
  }
}
