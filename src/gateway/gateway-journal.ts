/**
 * The gateway's memory of the writes it has begun (protocol 6.1, 6.7): durable before anything is prepared,
 * so that a new start knows which orphans there may be and what may be done about them. It also keeps the
 * last results, so that a lost index does not make a repeated request a new one (13.11). A damaged journal
 * loses no data: its orphans stay until they are overwritten.
 */
import { z } from 'zod';
import { assert } from '../base/assert.ts';
import { hex, mapKey } from '../base/bytes.ts';
import type { Clock, Disk, Telemetry } from '../base/ports.ts';
import type { Attempt, AttemptJournal } from '../client/attempts.ts';
import { hash32, uint } from '../protocol/encoding.ts';
import { stampSchema } from '../protocol/stamp.ts';
import type { OperationResult } from './index/listing-barrier.ts';
import { ROWS } from './index/rows.ts';
import type { OperationRow } from './index/rows.ts';
import { RotatingJournal } from './rotating-journal.ts';

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

export class GatewayJournal implements Omit<AttemptJournal, 'published' | 'superseded'> {
  readonly #ports: JournalPorts;
  readonly #open = new Map<string, OpenAttempt>();
  /** By operation id, the oldest first. */
  readonly #results = new Map<string, OperationResult>();
  #journal: RotatingJournal<JournalRecord> | null = null;

  private constructor(ports: JournalPorts) {
    this.#ports = ports;
  }

  /** Opens or creates it in the disk's root. */
  static async open(ports: JournalPorts): Promise<GatewayJournal> {
    const journal = new GatewayJournal(ports);
    journal.#journal = await RotatingJournal.open({
      ...ports,
      name: 'attempts',
      schema: recordSchema,
      replay: (record) => journal.#replay(record),
      snapshot: (number) => journal.#snapshot(number),
    });
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

  #snapshot(number: number): readonly JournalRecord[] {
    // What is open is one record, so that it is there whole or not at all.
    const open = [...this.#open.values()].map(({ attempt, beganMs, isAbandoned }) => ({ attempt, beganMs, isAbandoned }));
    return [{ r: 'FOLDER', number, open }, ...this.results().map((result): JournalRecord => ({ r: 'RESULT', ...result }))];
  }

  #append(records: readonly JournalRecord[]): Promise<void> {
    assert(this.#journal !== null, 'the journal is open');
    return this.#journal.append(records);
  }
}
