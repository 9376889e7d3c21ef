/**
 * The log journal: records in one order, in preallocated segments (protocol 13.8). Group commit: whatever is
 * appended while a sync is under way goes into the next write and sync together. `append` resolves when its
 * records are durable, in the order in which they were appended.
 *
 * Recovery reads records in sequence. Where they end, only records of the same batch may follow: that batch
 * was torn, never acknowledged, and is cut. A valid record of a later batch beyond a bad one, or a missing
 * segment, is damage of what was acknowledged, and the journal refuses to open (LOST_STATE). After a failed write or sync the journal is
 * poisoned: what the disk holds is then unknown, and trying again would only hide it.
 */
import { assert } from '../base/assert.ts';
import { describeError, OperationError } from '../base/errors.ts';
import type { Disk, DiskFile } from '../base/ports.ts';
import { sha256 } from '../crypto/primitives.ts';
import { u32be } from '../base/bytes.ts';
import type { Pointer } from './pointer.ts';
import {
  encodeHeader,
  HEADER_BYTES,
  parseRecordHeader,
  readHeader,
  readUpTo,
  RECORD_ALIGN_BYTES,
  RECORD_HEADER_BYTES,
  RECORD_MAGIC,
  recordBytes,
  recordMatches,
  recordParts,
  segmentName,
  segmentNumber,
} from './segment.ts';

export const RECORD_BYTES_MAX = 16 * 1024 * 1024;
const SEGMENT_BYTES_DEFAULT = 8 * 1024 * 1024;
const QUEUE_BYTES_MAX = 64 * 1024 * 1024;
const SCAN_BYTES = 1024 * 1024;

export interface LogJournalOptions {
  readonly segmentBytes?: number;
  /** Records with a sequence number up to this are in a snapshot and are not handed out again. Numbers start at 1. */
  readonly after?: number;
  readonly onRecord: (bytes: Uint8Array, pointer: Pointer, sequence: number) => void;
}

interface Waiting {
  readonly records: readonly Uint8Array[];
  readonly bytes: number;
  readonly resolve: (pointers: Pointer[]) => void;
  readonly reject: (error: unknown) => void;
}

interface OpenSegment {
  readonly number: number;
  readonly file: DiskFile;
  readonly instance: Uint8Array;
  readonly bytes: number;
  end: number;
}

export class LogJournal {
  readonly #disk: Disk;
  readonly #folder: string;
  readonly #journalId: Uint8Array;
  readonly #segmentBytes: number;
  readonly #files = new Map<number, Promise<{ readonly file: DiskFile; readonly instance: Uint8Array }>>();
  #current: OpenSegment | null = null;
  #sequence = 0;
  #queue: Waiting[] = [];
  #queuedBytes = 0;
  #pump: Promise<void> | null = null;
  #failure: OperationError | null = null;

  private constructor(disk: Disk, folder: string, journalId: Uint8Array, segmentBytes: number) {
    this.#disk = disk;
    this.#folder = folder;
    this.#journalId = journalId;
    this.#segmentBytes = segmentBytes;
  }

  /** Opens or creates the journal and hands out its records in order. Errors: LOST_STATE, and the disk's. */
  static async open(disk: Disk, folder: string, journalId: Uint8Array, options: LogJournalOptions): Promise<LogJournal> {
    assert(journalId.length === 16, 'a journal id has 16 bytes');
    const journal = new LogJournal(disk, folder, journalId, options.segmentBytes ?? SEGMENT_BYTES_DEFAULT);
    await disk.makeFolder(folder);
    await journal.#recover(options);
    return journal;
  }

  /** Has a write or sync failed? Then nothing more is accepted, and the process should end. */
  get poisoned(): boolean {
    return this.#failure !== null;
  }

  /** Sequence number of the last durable or queued record. */
  get sequence(): number {
    return this.#sequence;
  }

  /**
   * Appends records; they take their place in the order at once, and are durable when the promise resolves.
   * Errors: BUSY when the queue is full, TOO_LARGE, and after a failure the disk's error for ever.
   */
  append(records: readonly Uint8Array[]): Promise<Pointer[]> {
    if (this.#failure !== null) return Promise.reject(this.#failure);
    const bytes = records.reduce((sum, record) => sum + recordBytes(record.length), 0);
    if (records.some((record) => record.length > RECORD_BYTES_MAX)) {
      return Promise.reject(new OperationError('TOO_LARGE', `A journal record exceeds ${RECORD_BYTES_MAX} bytes.`));
    }
    if (this.#queuedBytes + bytes > QUEUE_BYTES_MAX && this.#queue.length > 0) {
      // Records of the node's own state must keep their order, so a full queue ends it rather than skipping one.
      return Promise.reject(new OperationError('BUSY', 'The journal cannot keep up.', { retryable: true }));
    }
    return new Promise((resolve, reject) => {
      this.#queue.push({ records, bytes, resolve, reject });
      this.#queuedBytes += bytes;
      this.#pump ??= this.#run();
    });
  }

  /** Reads a record back and checks it. CORRUPT when the disk no longer holds what was written. */
  async read(pointer: Pointer): Promise<Uint8Array> {
    const { file, instance } = await this.#fileOf(pointer.segment);
    const bytes = await file.readAt(pointer.offset - RECORD_HEADER_BYTES, RECORD_HEADER_BYTES + pointer.length);
    const header = parseRecordHeader(bytes);
    const payload = bytes.subarray(RECORD_HEADER_BYTES);
    if (header?.length !== pointer.length || !recordMatches(instance, header, payload)) {
      throw new OperationError('CORRUPT', `A record of ${file.path} does not match its digest.`);
    }
    return payload;
  }

  /** Waits for what is queued, then closes the files. */
  async close(): Promise<void> {
    while (this.#pump !== null) await this.#pump;
    this.#failure ??= new OperationError('STOPPED', 'The journal is closed.');
    for (const opened of this.#files.values()) await (await opened).file.close();
    this.#files.clear();
  }

  async #run(): Promise<void> {
    // One turn's grace lets records that become ready together share the first write as well.
    await Promise.resolve();
    while (this.#queue.length > 0 && this.#failure === null) {
      const batch = this.#queue;
      this.#queue = [];
      this.#queuedBytes = 0;
      try {
        const pointers = await this.#write(batch);
        batch.forEach((waiting, i) => waiting.resolve(pointers[i] ?? []));
      } catch (error) {
        this.#failure = poison(error);
        for (const waiting of [...batch, ...this.#queue]) waiting.reject(this.#failure);
        this.#queue = [];
      }
    }
    this.#pump = null;
  }

  /** Writes a batch, over as many segments as it needs, and syncs each that it touched. */
  async #write(batch: readonly Waiting[]): Promise<Pointer[][]> {
    const pointers: Pointer[][] = [];
    let parts: Uint8Array[] = [];
    let start = this.#current?.end ?? 0;
    let first = this.#sequence + 1;
    const flush = async (): Promise<void> => {
      const segment = this.#current;
      if (segment === null || parts.length === 0) return;
      await segment.file.writeAt(start, parts);
      await segment.file.datasync();
      parts = [];
      first = this.#sequence + 1;
    };
    for (const { records } of batch) {
      const own: Pointer[] = [];
      for (const record of records) {
        const bytes = recordBytes(record.length);
        if (this.#current === null || this.#current.end + bytes > this.#current.bytes) {
          await flush();
          this.#current = await this.#nextSegment(bytes);
          start = this.#current.end;
        }
        const segment = this.#current;
        this.#sequence += 1;
        parts.push(...recordParts(segment.instance, { sequence: this.#sequence, batch: first }, record, null));
        own.push({ segment: segment.number, offset: segment.end + RECORD_HEADER_BYTES, length: record.length });
        segment.end += bytes;
      }
      pointers.push(own);
    }
    await flush();
    return pointers;
  }

  async #nextSegment(firstRecordBytes: number): Promise<OpenSegment> {
    const number = (this.#current?.number ?? 0) + 1;
    const bytes = Math.max(this.#segmentBytes, HEADER_BYTES + firstRecordBytes);
    const file = await this.#disk.open(`${this.#folder}/${segmentName('log', number)}`, { create: true });
    await file.preallocate(bytes);
    const instance = this.#instanceOf(number);
    await file.writeAt(0, [encodeHeader({ kind: 'log', segment: number, journalId: this.#journalId, instance })]);
    await file.datasync();
    await this.#disk.syncFolder(this.#folder);
    this.#files.set(number, Promise.resolve({ file, instance }));
    return { number, file, instance, bytes, end: HEADER_BYTES };
  }

  /** Log segments are never used twice, so the instance follows from the journal and the number. */
  #instanceOf(segment: number): Uint8Array {
    return sha256(this.#journalId, u32be(segment)).subarray(0, 16);
  }

  #fileOf(segment: number): Promise<{ readonly file: DiskFile; readonly instance: Uint8Array }> {
    const known = this.#files.get(segment);
    if (known !== undefined) return known;
    const opened = this.#openSegment(segment);
    this.#files.set(segment, opened);
    opened.catch(() => this.#files.delete(segment));
    return opened;
  }

  async #openSegment(segment: number): Promise<{ file: DiskFile; instance: Uint8Array }> {
    const file = await this.#disk.open(`${this.#folder}/${segmentName('log', segment)}`);
    const head = readHeader(await readUpTo(file, 0, HEADER_BYTES, await file.size()), {
      kind: 'log',
      segment,
      journalId: this.#journalId,
    });
    if (!head.ok) throw new OperationError('CORRUPT', `${file.path}: ${head.reason}.`);
    return { file, instance: head.instance };
  }

  async #recover(options: LogJournalOptions): Promise<void> {
    const names = await this.#disk.list(this.#folder);
    const numbers = names.map((name) => segmentNumber('log', name)).filter((n) => n !== null);
    const after = options.after ?? 0;
    for (const [i, number] of numbers.entries()) {
      if (number !== i + 1) throw lost(`${this.#folder}: log segment ${i + 1} is missing`);
    }
    for (const number of numbers) {
      const ended = await this.#recoverSegment(number, number === numbers.length, after, options.onRecord);
      if (ended !== null) this.#current = ended;
    }
    if (this.#sequence < after) throw lost(`${this.#folder}: the log ends at record ${this.#sequence}, the snapshot at ${after}`);
  }

  /** Reads one segment's records. Returns it as the one to append to when it is the last. */
  async #recoverSegment(
    number: number,
    last: boolean,
    after: number,
    onRecord: LogJournalOptions['onRecord'],
  ): Promise<OpenSegment | null> {
    const path = `${this.#folder}/${segmentName('log', number)}`;
    const file = await this.#disk.open(path);
    const size = await file.size();
    const head = readHeader(await readUpTo(file, 0, HEADER_BYTES, size), { kind: 'log', segment: number, journalId: this.#journalId });
    const reader = new SegmentReader(file, size, this.#instanceOf(number));
    if (!head.ok) {
      // A crash between creating a segment and syncing its header leaves a last segment without one, and no record in it.
      if (last && (await reader.laterBatch(HEADER_BYTES, 0)) === null) {
        await file.close();
        await this.#disk.remove(path);
        await this.#disk.syncFolder(this.#folder);
        return this.#reopenPrevious(number - 1);
      }
      throw lost(`${path}: ${head.reason}`);
    }
    this.#files.set(number, Promise.resolve({ file, instance: head.instance }));
    let at = HEADER_BYTES;
    for (;;) {
      const record = await reader.recordAt(at);
      if (record === null || record.sequence !== this.#sequence + 1) break;
      this.#sequence = record.sequence;
      if (record.sequence > after) onRecord(record.payload, { segment: number, offset: at + RECORD_HEADER_BYTES, length: record.payload.length }, record.sequence);
      at += recordBytes(record.payload.length);
    }
    const beyond = await reader.laterBatch(at, this.#sequence + 1);
    if (beyond !== null) throw lost(`${path}: record ${this.#sequence + 1} is damaged, but record ${beyond} follows it`);
    if (!last) return null;
    await this.#blankTail(file, at, size);
    return { number, file, instance: head.instance, bytes: size, end: at };
  }

  /** After a half-made last segment was removed, the one before it is the last. It is full or nearly so. */
  async #reopenPrevious(number: number): Promise<OpenSegment | null> {
    if (number === 0) return null;
    const { file, instance } = await this.#fileOf(number);
    const size = await file.size();
    // Nothing is appended to it: its end is its size, so the next record opens a new segment.
    return { number, file, instance, bytes: size, end: size };
  }

  /** A torn tail is overwritten before anything is appended, so that it can never be taken for damage later. */
  async #blankTail(file: DiskFile, from: number, size: number): Promise<void> {
    const zeros = new Uint8Array(SCAN_BYTES);
    for (let at = from; at < size; at += SCAN_BYTES) {
      const length = Math.min(SCAN_BYTES, size - at);
      const bytes = await file.readAt(at, length);
      if (bytes.some((byte) => byte !== 0)) await file.writeAt(at, [zeros.subarray(0, length)]);
    }
    await file.datasync();
  }
}

/** Reads a segment front to back in large pieces. */
class SegmentReader {
  readonly #file: DiskFile;
  readonly #size: number;
  readonly #instance: Uint8Array;
  #from = 0;
  #buffer: Uint8Array = new Uint8Array(0);

  constructor(file: DiskFile, size: number, instance: Uint8Array) {
    this.#file = file;
    this.#size = size;
    this.#instance = instance;
  }

  async recordAt(at: number): Promise<{ payload: Uint8Array; sequence: number; batch: number } | null> {
    const head = await this.#bytes(at, RECORD_HEADER_BYTES);
    const parsed = head === null ? null : parseRecordHeader(head);
    if (parsed === null || parsed.length > RECORD_BYTES_MAX) return null;
    const header = { ...parsed, digest: parsed.digest.slice() };
    const payload = await this.#bytes(at + RECORD_HEADER_BYTES, header.length);
    if (payload === null || !recordMatches(this.#instance, header, payload)) return null;
    return { payload: payload.slice(), sequence: header.sequence, batch: header.batch };
  }

  /** Sequence number of a valid record from `at` on whose batch began after record `missing`: the sign that it was acknowledged and is damaged. */
  async laterBatch(at: number, missing: number): Promise<number | null> {
    for (let from = at; from + RECORD_HEADER_BYTES <= this.#size; from += SCAN_BYTES) {
      const piece = await this.#bytes(from, Math.min(SCAN_BYTES, this.#size - from));
      if (piece === null) return null;
      const view = new DataView(piece.buffer, piece.byteOffset, piece.length);
      const places: number[] = [];
      for (let i = 0; i + 4 <= piece.length; i += RECORD_ALIGN_BYTES) {
        if (view.getUint32(i) === RECORD_MAGIC) places.push(from + i);
      }
      for (const place of places) {
        const record = await this.recordAt(place);
        if (record !== null && record.batch > missing) return record.sequence;
      }
    }
    return null;
  }

  async #bytes(at: number, length: number): Promise<Uint8Array | null> {
    if (at + length > this.#size) return null;
    if (at < this.#from || at + length > this.#from + this.#buffer.length) {
      this.#from = at;
      this.#buffer = await this.#file.readAt(at, Math.min(this.#size - at, Math.max(length, SCAN_BYTES)));
    }
    return this.#buffer.subarray(at - this.#from, at - this.#from + length);
  }
}

function poison(error: unknown): OperationError {
  if (error instanceof OperationError) return error;
  return new OperationError('DISK_ERROR', `The journal failed: ${describeError(error)}`, { cause: error });
}

function lost(detail: string): OperationError {
  return new OperationError('LOST_STATE', `The journal is damaged. ${detail}.`, {
    remedy: 'A node whose log is damaged has lost its promises: it comes back as a new member of its slot.',
  });
}

