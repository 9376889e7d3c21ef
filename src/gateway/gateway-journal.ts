/**
 * The gateway's memory of the writes it has begun (protocol 6.1, 6.7): durable before anything is prepared,
 * so that a new start knows which orphans there may be and what may be done about them. It also keeps the
 * last results, so that a lost index does not make a repeated request a new one (13.11). There are two
 * folders: when the journal in one has grown, it goes on in the other, beginning with all that it knows, and
 * the first is emptied. After a crash between, both are read, in the order of their numbers.
 *
 * A damaged journal loses no data: its orphans stay until they are overwritten. It is replaced, and
 * reported.
 */
import { z } from 'zod';
import { assert } from '../base/assert.ts';
import { hex, mapKey, utf8 } from '../base/bytes.ts';
import { isOperationError } from '../base/errors.ts';
import type { Clock, Disk, Telemetry } from '../base/ports.ts';
import type { Attempt, AttemptJournal } from '../client/attempts.ts';
import { sha256 } from '../crypto/primitives.ts';
import { LogJournal, RECORD_BYTES_MAX } from '../journal/log-journal.ts';
import { decode, encode, hash32, uint } from '../protocol/encoding.ts';
import { stampSchema } from '../protocol/stamp.ts';
import type { OperationResult } from './index/listing-barrier.ts';
import { ROWS } from './index/rows.ts';
import type { OperationRow } from './index/rows.ts';

export interface OpenAttempt {
  readonly attempt: Attempt;
  /** Unix milliseconds when it was begun. */
  readonly beganMs: number;
  /** Its receipts were thrown away: it must not be completed. */
  readonly isAbandoned: boolean;
  /** Begun by an earlier process. */
  readonly isInherited: boolean;
}

/** Results that outlive the index: more than come in while a client's library still sends again. */
const RESULTS_MAX = 8_192;
/** Records after which the journal goes on in a new folder: some megabytes, read in a moment at a start. */
const ROTATE_RECORDS = 20_000;
const SEGMENT_BYTES = 1024 * 1024;
const FOLDERS = ['attempts/a', 'attempts/b'] as const;

const attemptSchema = z.strictObject({
  opId: hash32,
  bucketId: hash32,
  keyId: hash32,
  stamp: stampSchema,
  manifestHash: hash32,
});
const recordSchema = z.discriminatedUnion('r', [
  /**
   * The first record of a folder: all that was open when it took over from the folder of the number before.
   */
  z.strictObject({
    r: z.literal('FOLDER'),
    number: uint,
    open: z.array(z.strictObject({ attempt: attemptSchema, beganMs: uint, isAbandoned: z.boolean() })),
  }),
  z.strictObject({ r: z.literal('RESULT'), opId: hash32, row: ROWS.operation }),
  z.strictObject({ r: z.literal('BEGUN'), attempt: attemptSchema, beganMs: uint }),
  z.strictObject({ r: z.literal('ABANDONED'), manifestHash: hash32 }),
  z.strictObject({ r: z.literal('SETTLED'), manifestHash: hash32 }),
]);
type JournalRecord = z.infer<typeof recordSchema>;

export interface JournalPorts {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  /** 16 bytes: whose journal this is. */
  readonly journalId: Uint8Array;
  readonly rotateRecords?: number;
}

export class GatewayJournal implements Omit<AttemptJournal, 'published'> {
  readonly #ports: JournalPorts;
  readonly #open = new Map<string, OpenAttempt>();
  /** By operation id, the oldest first. */
  readonly #results = new Map<string, OperationResult>();
  #journal: LogJournal | null = null;
  #number = 0;
  #records = 0;
  #rotating: Promise<void> | null = null;

  private constructor(ports: JournalPorts) {
    this.#ports = ports;
  }

  /** Opens or creates it in the disk's root. */
  static async open(ports: JournalPorts): Promise<GatewayJournal> {
    const journal = new GatewayJournal(ports);
    await journal.#recover();
    return journal;
  }

  /** What is not settled, in the order in which it was begun. */
  openAttempts(): readonly OpenAttempt[] {
    return [...this.#open.values()];
  }

  /** What the last operations did, the oldest first. */
  results(): readonly OperationResult[] {
    return [...this.#results.values()];
  }

  /** Was the operation tried again after this attempt? Then this one must not be completed (I7). */
  hasLater({ attempt }: OpenAttempt): boolean {
    const all = [...this.#open.values()].filter(
      (other) => mapKey(other.attempt.opId) === mapKey(attempt.opId),
    );
    return all.at(-1)?.attempt !== attempt;
  }

  async begin(attempt: Attempt): Promise<void> {
    const beganMs = this.#ports.clock.nowMs();
    const name = hex(attempt.manifestHash);
    this.#open.set(name, { attempt, beganMs, isAbandoned: false, isInherited: false });
    try {
      await this.#append([{ r: 'BEGUN', attempt, beganMs }]);
    } catch (error) {
      // Nothing is prepared for an attempt that is not durable.
      this.#open.delete(name);
      throw error;
    }
  }

  async abandoned(attempt: Attempt): Promise<void> {
    const name = hex(attempt.manifestHash);
    const known = this.#open.get(name);
    if (known !== undefined) this.#open.set(name, { ...known, isAbandoned: true });
    await this.#append([{ r: 'ABANDONED', manifestHash: attempt.manifestHash }]);
  }

  /** `result`: to be remembered; null when the request cannot be repeated. */
  async settled(attempt: Attempt, result: OperationRow | null = null): Promise<void> {
    if (!this.#open.delete(hex(attempt.manifestHash))) return;
    const records: JournalRecord[] = [{ r: 'SETTLED', manifestHash: attempt.manifestHash }];
    if (result !== null) {
      const { opId } = attempt;
      this.#keep({ opId, row: result });
      // First, so that no crash leaves neither the attempt nor its result.
      records.unshift({ r: 'RESULT', opId, row: result });
    }
    await this.#append(records);
  }

  async close(): Promise<void> {
    await this.#rotating;
    await this.#journal?.close();
  }

  #keep(result: OperationResult): void {
    const name = mapKey(result.opId);
    this.#results.delete(name);
    this.#results.set(name, result);
    for (const oldest of this.#results.keys()) {
      if (this.#results.size <= RESULTS_MAX) break;
      this.#results.delete(oldest);
    }
  }

  async #append(records: readonly JournalRecord[]): Promise<void> {
    await this.#rotating;
    const journal = this.#journal;
    assert(journal !== null, 'the journal is open');
    this.#records += records.length;
    const written = journal.append(records.map((record) => encode(record)));
    if (this.#records >= (this.#ports.rotateRecords ?? ROTATE_RECORDS))
      this.#rotating ??= this.#rotate(journal);
    try {
      await written;
    } catch (error) {
      // After a failed write the journal takes nothing more; the disk may have room again for another one.
      if (journal === this.#journal && journal.poisoned) this.#rotating ??= this.#rotate(journal);
      throw error;
    }
  }

  /**
   * Goes on in a new folder. Until that holds every open attempt durably, the old one stays: a crash finds
   * both.
   */
  async #rotate(old: LogJournal): Promise<void> {
    const oldNumber = this.#number;
    try {
      await this.#begin(oldNumber + 1);
      await old.close();
      await this.#empty(folderOf(oldNumber));
    } catch (error) {
      // The old journal goes on; the next record tries again.
      this.#journal = old;
      this.#number = oldNumber;
      this.#ports.telemetry.event('error', 'journal not rotated', { error: String(error) });
    } finally {
      this.#rotating = null;
    }
  }

  async #recover(): Promise<void> {
    const read = await Promise.all(FOLDERS.map((folder) => this.#read(folder)));
    const numbers: number[] = [];
    for (const { number, records } of read.sort((a, b) => a.number - b.number)) {
      numbers.push(number);
      for (const record of records) this.#replay(record);
    }
    const last = Math.max(...numbers);
    // The folder of the older number is free: what it held is replayed, and part of what the new one begins
    // with.
    await this.#begin(last + 1);
    await this.#empty(folderOf(last));
  }

  /** The records of a folder; number 0 when it is empty. */
  async #read(
    folder: string,
  ): Promise<{ readonly number: number; readonly records: readonly JournalRecord[] }> {
    const { disk, telemetry } = this.#ports;
    const records: JournalRecord[] = [];
    let number = 0;
    try {
      const journal = await LogJournal.open(disk, folder, this.#idOf(folder), {
        segmentBytes: SEGMENT_BYTES,
        onRecord: (bytes) => {
          const decoded = decode(recordSchema, bytes, RECORD_BYTES_MAX);
          if (!decoded.ok) telemetry.event('error', 'unknown record in the journal of writes', { folder });
          else records.push(decoded.value);
          if (decoded.ok && decoded.value.r === 'FOLDER') number = decoded.value.number;
        },
      });
      await journal.close();
    } catch (error) {
      if (!isOperationError(error, 'LOST_STATE') && !isOperationError(error, 'CORRUPT')) throw error;
      telemetry.event('error', 'journal of writes damaged', { folder, error: error.message });
    }
    return { number, records };
  }

  #replay(record: JournalRecord): void {
    switch (record.r) {
      case 'FOLDER':
        this.#open.clear();
        for (const open of record.open)
          this.#open.set(hex(open.attempt.manifestHash), { ...open, isInherited: true });
        break;
      case 'RESULT':
        this.#keep(record);
        break;
      case 'BEGUN': {
        const { attempt, beganMs } = record;
        this.#open.set(hex(attempt.manifestHash), {
          attempt,
          beganMs,
          isAbandoned: false,
          isInherited: true,
        });
        break;
      }
      case 'ABANDONED': {
        const name = hex(record.manifestHash);
        const known = this.#open.get(name);
        if (known !== undefined) this.#open.set(name, { ...known, isAbandoned: true });
        break;
      }
      case 'SETTLED':
        this.#open.delete(hex(record.manifestHash));
        break;
    }
  }

  /** Begins folder `number` with all that is known; what lies there is older than that. */
  async #begin(number: number): Promise<void> {
    const folder = folderOf(number);
    await this.#empty(folder);
    const journal = await LogJournal.open(this.#ports.disk, folder, this.#idOf(folder), {
      segmentBytes: SEGMENT_BYTES,
      onRecord: () => undefined,
    });
    // What is open is one record, so that it is there whole or not at all.
    const open = [...this.#open.values()].map(({ attempt, beganMs, isAbandoned }) => ({
      attempt,
      beganMs,
      isAbandoned,
    }));
    const results = this.results().map((result): JournalRecord => ({ r: 'RESULT', ...result }));
    const records: readonly JournalRecord[] = [{ r: 'FOLDER', number, open }, ...results];
    await journal.append(records.map((record) => encode(record)));
    this.#journal = journal;
    this.#number = number;
    this.#records = 0;
  }

  /** The last segment first, so that a crash between leaves a journal that can be read. */
  async #empty(folder: string): Promise<void> {
    const { disk } = this.#ports;
    const names = await disk.list(folder);
    for (const name of [...names].reverse()) await disk.remove(`${folder}/${name}`);
    if (names.length > 0) await disk.syncFolder(folder);
  }

  #idOf(folder: string): Uint8Array {
    return sha256(this.#ports.journalId, utf8(folder)).subarray(0, 16);
  }
}

function folderOf(number: number): string {
  return FOLDERS[number % 2 === 0 ? 0 : 1];
}
