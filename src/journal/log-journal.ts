/**
 * The log journal: records in one order, in preallocated segments (protocol 13.8). Group commit: what is
 * appended while a sync is under way goes into the next write and sync together, so one sync serves many.
 * `append` resolves when its records are durable, in the order in which they were appended.
 *
 * An append is a commitment: its records take their place in the order at once, and many owners change their
 * views before it resolves. So any rejection ends the journal for good (`poisoned`): what the disk holds is
 * then unknown, a failed sync is never tried again, and the owner must start anew from the disk. Work that
 * may be refused is refused before, by asking `refusal` in the same turn.
 */
import { assert } from '../base/assert.ts';
import { describeError, isOperationError, OperationError } from '../base/errors.ts';
import type { Disk, DiskFile } from '../base/ports.ts';
import { logInstance, recoverLog } from './log-recovery.ts';
import type { LogRecoveryOptions, LogSegment } from './log-recovery.ts';
import { OpenFiles } from './open-files.ts';
import type { Pointer } from './pointer.ts';
import {
  HEADER_BYTES,
  putHeader,
  putRecordHeader,
  readRecord,
  RECORD_BYTES_MAX,
  recordBytes,
  RECORD_HEADER_BYTES,
  segmentName,
} from './segment.ts';

export { RECORD_BYTES_MAX };
const SEGMENT_BYTES_DEFAULT = 8 * 1024 * 1024;
const QUEUE_BYTES_MAX = 64 * 1024 * 1024;
/** One write and sync; a larger one would keep those behind it waiting. */
const BATCH_BYTES_MAX = 4 * 1024 * 1024;

export interface LogJournalOptions extends LogRecoveryOptions {
  readonly segmentBytes?: number;
}

interface Waiting {
  readonly records: readonly Uint8Array[];
  readonly pointers: Pointer[];
  readonly alongside: Promise<unknown> | undefined;
  readonly resolve: (pointers: Pointer[]) => void;
  readonly reject: (error: unknown) => void;
}

interface SegmentFile {
  readonly number: number;
  readonly file: DiskFile;
  bytes: number;
}

interface OpenSegment extends SegmentFile {
  readonly instance: Uint8Array;
  end: number;
  /** The header goes with the first batch, so that changing segments costs no sync of its own. */
  hasHeader: boolean;
}

export class LogJournal {
  readonly #disk: Disk;
  readonly #folder: string;
  readonly #journalId: Uint8Array;
  readonly #segmentBytes: number;
  readonly #files: OpenFiles;
  #segments: LogSegment[] = [];
  #current: OpenSegment | null = null;
  /** The next segment, made ahead of its use. */
  #spare: Promise<SegmentFile> | null = null;
  #spareFailure: OperationError | null = null;
  #sequence = 0;
  #queue: Waiting[] = [];
  #queuedBytes = 0;
  #writing: Waiting[] = [];
  #pump: Promise<void> | null = null;
  #failure: OperationError | null = null;
  #sealed = true;
  #closing: Promise<void> | null = null;

  private constructor(disk: Disk, folder: string, journalId: Uint8Array, segmentBytes: number) {
    this.#disk = disk;
    this.#folder = folder;
    this.#journalId = journalId;
    this.#segmentBytes = segmentBytes;
    this.#files = new OpenFiles(disk);
  }

  /**
   * Opens or creates the journal and hands out its records in order. `journalId` has 16 bytes that outsiders
   * cannot know: otherwise they could place bytes inside a payload that recovery takes for a record. What was
   * handed out is durable when this resolves. Errors: LOST_STATE, and the disk's.
   */
  static async open(disk: Disk, folder: string, journalId: Uint8Array, options: LogJournalOptions): Promise<LogJournal> {
    assert(journalId.length === 16, 'a journal id has 16 bytes');
    const journal = new LogJournal(disk, folder, journalId, options.segmentBytes ?? SEGMENT_BYTES_DEFAULT);
    await disk.makeFolder(folder);
    const { segments, sequence, tail } = await recoverLog(disk, folder, journalId, options);
    journal.#segments = [...segments];
    journal.#sequence = sequence;
    if (tail !== null) {
      const file = await disk.open(journal.#pathOf(tail.number));
      journal.#current = { ...tail, file, instance: logInstance(journalId, tail.number), hasHeader: true };
      journal.#prepareSpare();
    }
    return journal;
  }

  /** Has anything failed? Then nothing more is accepted, and the owner must start anew from the disk. */
  get poisoned(): boolean {
    return this.#failure !== null;
  }

  /** Sequence number of the last durable record. */
  get sequence(): number {
    return this.#sequence;
  }

  get segmentCount(): number {
    return this.#segments.length;
  }

  /**
   * Why these records cannot be appended now, or null; the answer holds until the next `await`. BUSY (the
   * queue is full), TOO_LARGE, DISK_FULL or another failure to make the next segment: nothing was written,
   * and it may be asked again later. Any other: the failure that ended the journal.
   */
  refusal(records: readonly Uint8Array[]): OperationError | null {
    if (this.#failure !== null) return this.#failure;
    if (records.some((record) => record.length > RECORD_BYTES_MAX)) {
      return new OperationError('TOO_LARGE', `A journal record exceeds ${RECORD_BYTES_MAX} bytes.`);
    }
    const bytes = this.#queuedBytes + sizeOf(records);
    if (this.#queuedBytes > 0 && bytes > QUEUE_BYTES_MAX) {
      return new OperationError('BUSY', 'The journal cannot keep up.', { retryable: true });
    }
    const room = this.#current === null ? 0 : this.#current.bytes - this.#current.end;
    if (this.#spareFailure === null || bytes <= room) return null;
    const refused = this.#spareFailure;
    this.#makeSpare();
    return refused;
  }

  /**
   * Appends records; they take their place in the order at once, and are durable when the promise resolves
   * with their places. With `alongside`, that promise too is awaited before it resolves and before anything
   * later is written: what the records name may be synced at the same time as they are, and recovery asks
   * `isWhole` for them. The bytes must not change before. Errors: those of `refusal` and of the disk; each
   * ends the journal.
   */
  append(records: readonly Uint8Array[], alongside?: Promise<unknown>): Promise<Pointer[]> {
    alongside?.catch(() => undefined);
    const refused = this.refusal(records);
    if (refused !== null) {
      this.#failure ??= new OperationError(refused.code, `The journal has ended. ${refused.message}`, { cause: refused });
      return Promise.reject(refused);
    }
    if (records.length === 0) return Promise.resolve([]);
    return new Promise((resolve, reject) => {
      this.#queue.push({ records, pointers: [], alongside, resolve, reject });
      this.#queuedBytes += sizeOf(records);
      this.#pump ??= this.#run();
    });
  }

  /** Reads a record back and checks it. CORRUPT when the disk no longer holds what was written, NOT_FOUND when it was removed. */
  async read(pointer: Pointer): Promise<Uint8Array> {
    const path = this.#pathOf(pointer.segment);
    const from = pointer.offset - RECORD_HEADER_BYTES;
    if (from >= HEADER_BYTES) {
      const bytes = await this.#files.use(path, (file) => file.readAt(from, RECORD_HEADER_BYTES + pointer.length));
      const header = readRecord(bytes, 0, logInstance(this.#journalId, pointer.segment));
      if (header?.length === pointer.length && header.covered === pointer.length) return bytes.subarray(RECORD_HEADER_BYTES);
    }
    throw new OperationError('CORRUPT', `The record at byte ${pointer.offset} of ${path} does not match its digest.`);
  }

  /** Removes the segments that hold only records with numbers up to `sequence`. A snapshot must stand for them. */
  async removeUpTo(sequence: number): Promise<void> {
    for (;;) {
      const [first, second] = this.#segments;
      if (first === undefined || second === undefined || second.firstSequence > sequence + 1) return;
      this.#segments.shift();
      await this.#files.forget(this.#pathOf(first.number));
      await this.#disk.remove(this.#pathOf(first.number));
      // One after the other: a crash never leaves a gap in the middle.
      await this.#disk.syncFolder(this.#folder);
    }
  }

  /** Waits for what is queued, seals the log and closes the files. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    while (this.#pump !== null) await this.#pump;
    const isSound = this.#failure === null;
    this.#failure ??= new OperationError('STOPPED', 'The journal is closed.');
    if (isSound && !this.#sealed) await this.#seal();
    const spare = await this.#spare?.catch(() => null);
    if (spare !== undefined && spare !== null) {
      await spare.file.close();
      await this.#disk.remove(this.#pathOf(spare.number)).catch(() => undefined);
    }
    await this.#current?.file.close();
    await this.#files.closeAll();
  }

  async #run(): Promise<void> {
    // One turn's grace lets records that become ready together share the first write as well.
    await Promise.resolve();
    try {
      while (this.#queue.length > 0) await this.#commitBatch();
    } catch (error) {
      this.#failure = asOperationError(error);
      for (const waiting of [...this.#writing, ...this.#queue]) waiting.reject(this.#failure);
      this.#writing = [];
      this.#queue = [];
      this.#queuedBytes = 0;
    }
    this.#pump = null;
  }

  /** One write and one sync for as much of the queue as fits the segment. */
  async #commitBatch(): Promise<void> {
    const next = this.#queue[0];
    const nextRecord = next?.records[next.pointers.length];
    assert(next !== undefined && nextRecord !== undefined, 'what is queued has a record to write');
    const segment = await this.#segmentFor(recordBytes(nextRecord.length));
    const start = segment.hasHeader ? segment.end : 0;
    const records = this.#take(segment);
    const { number, instance } = segment;
    const bytes = new Uint8Array(segment.end - start);
    const firstSequence = this.#sequence + 1;
    let at = 0;
    if (!segment.hasHeader) {
      putHeader(bytes, { kind: 'log', segment: number, journalId: this.#journalId, instance, firstSequence });
      at = HEADER_BYTES;
    }
    const batch = start + at;
    for (const [i, record] of records.entries()) {
      const { length } = record;
      bytes.set(record, at + RECORD_HEADER_BYTES);
      putRecordHeader(bytes, at, instance, { kind: 'data', length, covered: length, batch, sequence: firstSequence + i });
      at += recordBytes(length);
    }
    await segment.file.writeAt(start, [bytes]);
    await Promise.all([segment.file.datasync(), ...this.#writing.map((waiting) => waiting.alongside)]);
    if (!segment.hasHeader) this.#segments.push({ number, firstSequence });
    segment.hasHeader = true;
    this.#sealed = false;
    this.#sequence += records.length;
    const written = this.#writing;
    this.#writing = [];
    for (const { records: all, pointers, resolve } of written) if (pointers.length === all.length) resolve(pointers);
    this.#prepareSpare();
  }

  /** Moves records from the queue into the segment, as many as fit one batch, and gives them their places. */
  #take(segment: OpenSegment): Uint8Array[] {
    const taken: Uint8Array[] = [];
    const batch = segment.end;
    for (;;) {
      const waiting = this.#queue[0];
      if (waiting === undefined) return taken;
      for (let i = waiting.pointers.length; i < waiting.records.length; i += 1) {
        const record = waiting.records[i] as Uint8Array;
        const bytes = recordBytes(record.length);
        const isFull = segment.end + bytes > segment.bytes || (taken.length > 0 && segment.end + bytes - batch > BATCH_BYTES_MAX);
        if (isFull) return taken;
        waiting.pointers.push({ segment: segment.number, offset: segment.end + RECORD_HEADER_BYTES, length: record.length });
        taken.push(record);
        segment.end += bytes;
        this.#queuedBytes -= bytes;
        if (this.#writing.at(-1) !== waiting) this.#writing.push(waiting);
      }
      this.#queue.shift();
    }
  }

  /** Marks the end: from now on damage of the last batch cannot pass for a torn write. */
  async #seal(): Promise<void> {
    const segment = this.#current;
    if (segment === null || segment.end + RECORD_HEADER_BYTES > segment.bytes) return;
    const bytes = new Uint8Array(RECORD_HEADER_BYTES);
    const seal = { kind: 'seal', length: 0, covered: 0, batch: segment.end, sequence: this.#sequence } as const;
    putRecordHeader(bytes, 0, segment.instance, seal);
    try {
      await segment.file.writeAt(segment.end, [bytes]);
      await segment.file.datasync();
    } catch (error) {
      // Everything acknowledged is durable without it.
      if (!isOperationError(error)) throw error;
    }
  }

  async #segmentFor(bytes: number): Promise<OpenSegment> {
    const current = this.#current;
    if (current !== null && current.end + bytes <= current.bytes) return current;
    const needed = HEADER_BYTES + bytes;
    const next = await (this.#spare ?? this.#makeSegment((current?.number ?? 0) + 1, Math.max(this.#segmentBytes, needed)));
    this.#spare = null;
    if (next.bytes < needed) {
      await next.file.preallocate(needed);
      next.bytes = needed;
    }
    await current?.file.close();
    const instance = logInstance(this.#journalId, next.number);
    this.#current = { ...next, instance, end: HEADER_BYTES, hasHeader: false };
    return this.#current;
  }

  /** Makes the next segment once half of the present one is used, so that nobody waits for it. */
  #prepareSpare(): void {
    const segment = this.#current;
    if (segment === null || this.#failure !== null) return;
    if (segment.end - HEADER_BYTES >= segment.bytes - segment.end) this.#makeSpare();
  }

  #makeSpare(): void {
    if (this.#spare !== null) return;
    const making = this.#makeSegment((this.#current?.number ?? 0) + 1, this.#segmentBytes);
    this.#spare = making;
    making.then(
      () => {
        this.#spareFailure = null;
      },
      (error: unknown) => {
        this.#spareFailure = asOperationError(error);
        if (this.#spare === making) this.#spare = null;
      },
    );
  }

  async #makeSegment(number: number, bytes: number): Promise<SegmentFile> {
    const path = this.#pathOf(number);
    const file = await this.#disk.open(path, { create: true });
    try {
      await file.preallocate(bytes);
      await file.datasync();
      await this.#disk.syncFolder(this.#folder);
    } catch (error) {
      await file.close();
      await this.#disk.remove(path).catch(() => undefined);
      throw error;
    }
    return { number, file, bytes };
  }

  #pathOf(number: number): string {
    return `${this.#folder}/${segmentName('log', number)}`;
  }
}

function sizeOf(records: readonly Uint8Array[]): number {
  return records.reduce((sum, record) => sum + recordBytes(record.length), 0);
}

function asOperationError(error: unknown): OperationError {
  if (error instanceof OperationError) return error;
  return new OperationError('DISK_ERROR', `The journal failed: ${describeError(error)}`, { cause: error });
}
