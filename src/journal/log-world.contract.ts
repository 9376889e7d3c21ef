/**
 * What the tests of the journal share: a log over the faulty disk, a workload from a seed, and an account of
 * its own of what was appended and acknowledged, against which every recovery is held.
 */
import { expect } from 'vitest';
import { hex, utf8 } from '../base/bytes.ts';
import type { Disk, Random } from '../base/ports.ts';
import { sha256 } from '../crypto/primitives.ts';
import { SeededBits } from '../sim/seeded-bits.ts';
import { LogJournal } from './log-journal.ts';
import type { LogJournalOptions } from './log-journal.ts';
import type { Pointer } from './pointer.ts';
import { HEADER_BYTES } from './segment.ts';

export const JOURNAL_ID = sha256(utf8('a journal for tests')).subarray(0, 16);
/** Room for a few records, so that a short workload fills several. */
export const SMALL_SEGMENT_BYTES = HEADER_BYTES + 2048;

export interface Recovered {
  readonly journal: LogJournal;
  readonly records: readonly string[];
  readonly pointers: readonly Pointer[];
}

export async function openLog(disk: Disk, options: Partial<LogJournalOptions> = {}): Promise<Recovered> {
  const records: string[] = [];
  const pointers: Pointer[] = [];
  let expected = (options.after ?? 0) + 1;
  const journal = await LogJournal.open(disk, 'j', JOURNAL_ID, {
    segmentBytes: SMALL_SEGMENT_BYTES,
    ...options,
    onRecord: (bytes, pointer, sequence) => {
      expect(sequence).toBe(expected);
      expected += 1;
      records.push(hex(bytes));
      pointers.push(pointer);
    },
  });
  expect(journal.sequence).toBe(expected - 1);
  return { journal, records, pointers };
}

export class SeededRandom implements Random {
  readonly #bits: SeededBits;

  constructor(seed: number) {
    this.#bits = new SeededBits(seed);
  }

  bytes(count: number): Uint8Array {
    return Uint8Array.from({ length: count }, () => this.#bits.below(256));
  }
}

/** What an owner appended, in order, and how much of it was acknowledged. */
export class Account {
  readonly submitted: string[] = [];
  acknowledged = 0;
  readonly #bits: SeededBits;

  constructor(seed: number) {
    this.#bits = new SeededBits(seed);
  }

  /** Appends bursts of records until `count` are appended or the disk fails. */
  async appendTo(journal: LogJournal, count: number): Promise<void> {
    const goal = this.submitted.length + count;
    while (this.submitted.length < goal && !journal.poisoned) {
      const burst = Array.from({ length: 1 + this.#bits.below(4) }, () => this.#appendGroup(journal));
      await Promise.all(burst);
    }
  }

  async #appendGroup(journal: LogJournal): Promise<void> {
    const records = Array.from({ length: 1 + this.#bits.below(3) }, () => this.#record());
    if (journal.refusal(records) !== null) return;
    for (const record of records) this.submitted.push(hex(record));
    const end = this.submitted.length;
    try {
      const pointers = await journal.append(records);
      this.acknowledged = Math.max(this.acknowledged, end);
      expect(pointers.length).toBe(records.length);
      for (const [i, pointer] of pointers.entries()) expect(pointer.length).toBe(records[i]?.length);
    } catch {
      // The disk failed; what was acknowledged before counts.
    }
  }

  #record(): Uint8Array {
    // Now and then one that needs a segment of its own size.
    const size = this.#bits.below(25) === 0 ? SMALL_SEGMENT_BYTES : this.#bits.below(700);
    return new SeededRandom(this.#bits.below(1 << 30)).bytes(size);
  }

  /** Everything acknowledged is there, and nothing that was not appended, in the order of the appends. */
  async check({ journal, records, pointers }: Recovered): Promise<void> {
    expect(records.length).toBeGreaterThanOrEqual(this.acknowledged);
    expect(records).toEqual(this.submitted.slice(0, records.length));
    for (const [i, pointer] of pointers.entries()) expect(hex(await journal.read(pointer))).toBe(records[i]);
    // What was cut never comes back: it is as if it had not been appended.
    this.submitted.length = records.length;
    this.acknowledged = records.length;
  }
}
