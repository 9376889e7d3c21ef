/**
 * What the gateway has seen of each node's log (protocol 10, witness): the highest checkpoint that it
 * verified. It lies beside the index and outlives it: an index that is built anew reads each log from its
 * first entry, and still notices when the log is not the one that was seen before. A file that is damaged
 * or gone is begun anew: a lost memory accuses nobody.
 */
import { equal } from '../base/bytes.ts';
import { isOperationError } from '../base/errors.ts';
import type { Clock, Disk, Telemetry, Timer } from '../base/ports.ts';
import { verifySignature } from '../crypto/primitives.ts';
import { logOrigin } from '../log/checkpoint.ts';
import { ed25519Verifier } from '../log/signed-note.ts';
import { LogTail } from '../log/tail.ts';
import type { Cluster } from '../protocol/configuration.ts';

const FOLDER = 'witness';
const FILE_BYTES_MAX = 64 * 1024;
/**
 * A checkpoint that is newer than this may be forgotten by a crash; it is shown again at the next barrier.
 */
const SAVE_MS = 2_000;

export interface WitnessPorts {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  readonly cluster: Cluster;
}

export class WitnessMemory {
  readonly #ports: WitnessPorts;
  readonly #saved = new Map<number, Uint8Array>();
  #timer: Timer | null = null;
  #saving: Promise<void> = Promise.resolve();

  private constructor(ports: WitnessPorts) {
    this.#ports = ports;
  }

  static async open(ports: WitnessPorts): Promise<WitnessMemory> {
    const memory = new WitnessMemory(ports);
    await ports.disk.makeFolder(FOLDER);
    for (const { slot } of ports.cluster.slots) await memory.#read(slot);
    return memory;
  }

  /**
   * Where to begin to follow a slot's log: at the first entry, but knowing the highest checkpoint;
   * undefined: knowing nothing.
   */
  start(slot: number): Uint8Array | undefined {
    const { cluster } = this.#ports;
    const bytes = this.#saved.get(slot);
    const config = cluster.slotAt(slot);
    if (bytes === undefined || config === undefined) return undefined;
    const origin = logOrigin(cluster.id, config.nodeId);
    const highest = LogTail.parse(
      bytes,
      ed25519Verifier(origin, config.signingKey, verifySignature),
    )?.highest;
    if (highest === null || highest === undefined) return undefined;
    const tail = new LogTail(origin);
    return tail.observe(highest, []).ok ? tail.serialise() : undefined;
  }

  /** Saves what `current` gives for each slot, soon; calls that come close together share one save. */
  saveSoon(current: (slot: number) => Promise<Uint8Array | null>): void {
    this.#timer ??= this.#ports.clock.after(SAVE_MS, () => {
      this.#timer = null;
      this.#saving = this.#saving.then(() => this.save(current));
    });
  }

  async save(current: (slot: number) => Promise<Uint8Array | null>): Promise<void> {
    const { cluster, disk, telemetry } = this.#ports;
    for (const { slot } of cluster.slots) {
      try {
        const bytes = await current(slot);
        const known = this.#saved.get(slot);
        if (bytes === null || (known !== undefined && equal(known, bytes))) continue;
        await disk.writeFile(pathOf(slot), bytes);
        this.#saved.set(slot, bytes);
      } catch (error) {
        telemetry.event('warn', 'witness memory not saved', { slot, error: String(error) });
      }
    }
  }

  /** Saves once more and ends. */
  async close(current: (slot: number) => Promise<Uint8Array | null>): Promise<void> {
    this.#timer?.cancel();
    await this.#saving;
    await this.save(current);
  }

  async #read(slot: number): Promise<void> {
    try {
      this.#saved.set(slot, await this.#ports.disk.readFile(pathOf(slot), FILE_BYTES_MAX));
    } catch (error) {
      if (!isOperationError(error)) throw error;
      if (error.code !== 'NOT_FOUND') this.#ports.telemetry.event('warn', 'witness memory damaged', { slot });
    }
  }
}

function pathOf(slot: number): string {
  return `${FOLDER}/slot-${slot}`;
}
