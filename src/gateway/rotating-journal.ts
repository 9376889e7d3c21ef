/**
 * A journal that stays small: records of what is under way, in one of two folders. When that has grown, the
 * journal goes on in the other folder, beginning with all that is still known, and the first is emptied. After
 * a crash between, both are read, in the order of their numbers.
 *
 * A damaged folder is reported and replaced: whoever keeps something here can go on without it.
 */
import type { z } from 'zod';
import { assert } from '../base/assert.ts';
import { utf8 } from '../base/bytes.ts';
import { isOperationError } from '../base/errors.ts';
import type { Disk, Telemetry } from '../base/ports.ts';
import { sha256 } from '../crypto/primitives.ts';
import { LogJournal, RECORD_BYTES_MAX } from '../journal/log-journal.ts';
import { decode, encode } from '../protocol/encoding.ts';

/** Records after which a journal goes on in its other folder: some megabytes, read in a moment at a start. */
const ROTATE_RECORDS = 20_000;
const SEGMENT_BYTES = 1024 * 1024;

/** The first record of a folder says that it took over from the folder of the number before. */
interface Numbered {
  readonly r: string;
  readonly number?: number;
}

export interface RotatingJournalOptions<R extends Numbered> {
  readonly disk: Disk;
  readonly telemetry: Telemetry;
  /** 16 bytes: whose journal this is. */
  readonly journalId: Uint8Array;
  /** Folder in the disk's root that holds the two. */
  readonly name: string;
  readonly schema: z.ZodType<R>;
  /** Takes one record back in, in order; a FOLDER record stands for everything before it. */
  readonly replay: (record: R) => void;
  /** All that is known, a FOLDER record with this number first. */
  readonly snapshot: (number: number) => readonly R[];
  readonly rotateRecords?: number;
}

export class RotatingJournal<R extends Numbered> {
  readonly #options: RotatingJournalOptions<R>;
  #journal: LogJournal | null = null;
  #number = 0;
  #records = 0;
  #rotating: Promise<void> | null = null;

  private constructor(options: RotatingJournalOptions<R>) {
    this.#options = options;
  }

  /** Opens or creates it. Errors: those of the disk. */
  static async open<R extends Numbered>(options: RotatingJournalOptions<R>): Promise<RotatingJournal<R>> {
    const journal = new RotatingJournal(options);
    await journal.#recover();
    return journal;
  }

  /** Resolves when the records are durable. Errors: those of the disk. */
  async append(records: readonly R[]): Promise<void> {
    await this.#rotating;
    const journal = this.#journal;
    assert(journal !== null, 'the journal is open');
    this.#records += records.length;
    const written = journal.append(records.map((record) => encode(record)));
    if (this.#records >= (this.#options.rotateRecords ?? ROTATE_RECORDS)) this.#rotating ??= this.#rotate(journal);
    try {
      await written;
    } catch (error) {
      // After a failed write the journal takes nothing more; the disk may have room again for another one.
      if (journal === this.#journal && journal.poisoned) this.#rotating ??= this.#rotate(journal);
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.#rotating;
    await this.#journal?.close();
  }

  /** Until the new folder holds all that is known durably, the old one stays: a crash finds both. */
  async #rotate(old: LogJournal): Promise<void> {
    const oldNumber = this.#number;
    try {
      await this.#begin(oldNumber + 1);
      await old.close();
      await this.#empty(this.#folderOf(oldNumber));
    } catch (error) {
      // The old journal goes on; the next record tries again.
      this.#journal = old;
      this.#number = oldNumber;
      this.#options.telemetry.event('error', 'journal not rotated', { error: String(error) });
    } finally {
      this.#rotating = null;
    }
  }

  async #recover(): Promise<void> {
    const read = await Promise.all([this.#folderOf(0), this.#folderOf(1)].map((folder) => this.#read(folder)));
    const numbers: number[] = [];
    for (const { number, records } of read.sort((a, b) => a.number - b.number)) {
      numbers.push(number);
      for (const record of records) this.#options.replay(record);
    }
    const last = Math.max(...numbers);
    // The folder of the older number is free: what it held is replayed, and part of what the new one begins
    // with.
    await this.#begin(last + 1);
    await this.#empty(this.#folderOf(last));
  }

  /** The records of a folder; number 0 when it is empty. */
  async #read(folder: string): Promise<{ readonly number: number; readonly records: readonly R[] }> {
    const { disk, telemetry, schema } = this.#options;
    const records: R[] = [];
    let number = 0;
    try {
      const journal = await LogJournal.open(disk, folder, this.#idOf(folder), {
        segmentBytes: SEGMENT_BYTES,
        onRecord: (bytes) => {
          const decoded = decode(schema, bytes, RECORD_BYTES_MAX);
          if (!decoded.ok) telemetry.event('error', 'unknown record in a journal', { folder });
          else records.push(decoded.value);
          if (decoded.ok && decoded.value.r === 'FOLDER') number = decoded.value.number ?? 0;
        },
      });
      await journal.close();
    } catch (error) {
      if (!isOperationError(error, 'LOST_STATE') && !isOperationError(error, 'CORRUPT')) throw error;
      telemetry.event('error', 'journal damaged', { folder, error: error.message });
    }
    return { number, records };
  }

  /** Begins folder `number` with all that is known; what lies there is older than that. */
  async #begin(number: number): Promise<void> {
    const folder = this.#folderOf(number);
    await this.#empty(folder);
    const journal = await LogJournal.open(this.#options.disk, folder, this.#idOf(folder), {
      segmentBytes: SEGMENT_BYTES,
      onRecord: () => undefined,
    });
    await journal.append(this.#options.snapshot(number).map((record) => encode(record)));
    this.#journal = journal;
    this.#number = number;
    this.#records = 0;
  }

  /** The last segment first, so that a crash between leaves a journal that can be read. */
  async #empty(folder: string): Promise<void> {
    const { disk } = this.#options;
    const names = await disk.list(folder);
    for (const name of [...names].reverse()) await disk.remove(`${folder}/${name}`);
    if (names.length > 0) await disk.syncFolder(folder);
  }

  #folderOf(number: number): string {
    return `${this.#options.name}/${number % 2 === 0 ? 'a' : 'b'}`;
  }

  #idOf(folder: string): Uint8Array {
    return sha256(this.#options.journalId, utf8(folder)).subarray(0, 16);
  }
}
