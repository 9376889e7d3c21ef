/**
 * Reading a log back after a stop of any kind (protocol 13.8; the reasoning stands in
 * spec/formats/journal.md). A batch is written only after the one before it was durable. So what follows the
 * first unreadable place tells what happened: records of that same batch, or nothing, mean that the last
 * write was torn, which nobody was told of, and it is cut; a record of a later batch or a later segment
 * means that what was acknowledged is damaged, and the log is refused with LOST_STATE.
 */
import { equal, u32be } from '../base/bytes.ts';
import { OperationError } from '../base/errors.ts';
import type { Disk, DiskFile } from '../base/ports.ts';
import { sha256 } from '../crypto/primitives.ts';
import type { Pointer } from './pointer.ts';
import {
  HEADER_BYTES,
  INSTANCE_BYTES,
  readHeader,
  readRecord,
  recordBytes,
  RECORD_ALIGN_BYTES,
  RECORD_HEADER_BYTES,
  segmentName,
  segmentNumber,
} from './segment.ts';
import type { RecordHeader } from './segment.ts';

const ZEROS = new Uint8Array(64 * 1024);

export interface LogRecoveryOptions {
  /** Records with a sequence number up to this are in a snapshot and are not handed out again. Numbers start at 1. */
  readonly after?: number;
  /** Each record in order. The bytes are the callee's to keep. */
  readonly onRecord: (bytes: Uint8Array, pointer: Pointer, sequence: number) => void;
  /**
   * Asked in order for the records of the very last batch, whose companions (`append`) may be missing. From
   * the first that is not whole on, the log is cut. Left out: all are.
   */
  readonly isWhole?: (bytes: Uint8Array, pointer: Pointer, sequence: number) => Promise<boolean>;
}

export interface LogSegment {
  readonly number: number;
  readonly firstSequence: number;
}

export interface RecoveredLog {
  readonly segments: readonly LogSegment[];
  /** Number of the last record. */
  readonly sequence: number;
  /** The last segment: its size, and where the next record goes. Null for an empty log. */
  readonly tail: { readonly number: number; readonly bytes: number; readonly end: number } | null;
}

/** A log segment is never used twice, so its instance follows from the journal, whose id outsiders do not know. */
export function logInstance(journalId: Uint8Array, segment: number): Uint8Array {
  return sha256(journalId, u32be(segment)).subarray(0, INSTANCE_BYTES);
}

export function recoverLog(
  disk: Disk,
  folder: string,
  journalId: Uint8Array,
  options: LogRecoveryOptions,
): Promise<RecoveredLog> {
  return new LogRecovery(disk, folder, journalId, options).run();
}

interface HeldRecord {
  readonly payload: Uint8Array;
  readonly pointer: Pointer;
  readonly sequence: number;
}

/** What a pass over one segment found. */
interface Scan {
  readonly bytes: Uint8Array;
  readonly instance: Uint8Array;
  /** First place that holds no record that continues the log. */
  end: number;
  /** Where the last whole batch begins. */
  batch: number;
  /** Records of that batch, not handed out yet. */
  held: HeldRecord[];
}

class LogRecovery {
  readonly #disk: Disk;
  readonly #folder: string;
  readonly #journalId: Uint8Array;
  readonly #options: LogRecoveryOptions;
  readonly #after: number;
  #sequence = 0;

  constructor(disk: Disk, folder: string, journalId: Uint8Array, options: LogRecoveryOptions) {
    this.#disk = disk;
    this.#folder = folder;
    this.#journalId = journalId;
    this.#options = options;
    this.#after = options.after ?? 0;
  }

  async run(): Promise<RecoveredLog> {
    const segments = await this.#readHeaders();
    const first = segments[0];
    if (first !== undefined && first.firstSequence > this.#after + 1) {
      throw lost(`${this.#pathOf(first.number)} begins with record ${first.firstSequence}; those from ${this.#after + 1} on are missing`);
    }
    // Whole segments below the snapshot are not read: their successor's header says where they end.
    const start = Math.max(0, segments.findLastIndex((segment) => segment.firstSequence <= this.#after + 1));
    this.#sequence = (segments[start]?.firstSequence ?? 1) - 1;
    let tail: RecoveredLog['tail'] = null;
    for (let i = start; i < segments.length; i += 1) {
      const segment = segments[i] as LogSegment;
      const scan = await this.#scan(segment.number);
      const next = segments[i + 1];
      if (next === undefined) tail = await this.#settle(segment.number, scan);
      else if (next.firstSequence !== this.#sequence + 1) throw this.#damaged(segment.number, scan, next.firstSequence);
      else this.#handOut(scan);
    }
    if (this.#sequence < this.#after) {
      throw lost(`${this.#folder}: the log ends at record ${this.#sequence}, the snapshot at ${this.#after}`);
    }
    return { segments, sequence: this.#sequence, tail };
  }

  async #readHeaders(): Promise<LogSegment[]> {
    const names = await this.#disk.list(this.#folder);
    const numbers = names.map((name) => segmentNumber('log', name)).filter((number) => number !== null);
    numbers.sort((a, b) => a - b);
    const segments: LogSegment[] = [];
    for (const [i, number] of numbers.entries()) {
      const before = segments.at(-1);
      if (before !== undefined && number !== before.number + 1) throw lost(`${this.#pathOf(before.number + 1)} is missing`);
      const head = await this.#withFile(number, async (file) => {
        const size = await file.size();
        return readHeader(await file.readAt(0, Math.min(size, HEADER_BYTES)), {
          kind: 'log',
          segment: number,
          journalId: this.#journalId,
        });
      });
      if (head.ok && equal(head.instance, logInstance(this.#journalId, number))) {
        if (head.firstSequence <= (before?.firstSequence ?? 0)) throw lost(`${this.#pathOf(number)} is out of order`);
        segments.push({ number, firstSequence: head.firstSequence });
      } else if (i === numbers.length - 1) {
        await this.#dropUnused(number);
      } else {
        throw lost(`${this.#pathOf(number)}: ${head.ok ? 'a segment of another use' : head.reason}`);
      }
    }
    return segments;
  }

  /** A last segment without a header was never used, or its first write was torn: header and first batch go together. */
  async #dropUnused(number: number): Promise<void> {
    const bytes = await this.#withFile(number, async (file) => file.readAt(0, await file.size()));
    const later = laterBatch(bytes, HEADER_BYTES, logInstance(this.#journalId, number));
    if (later !== null) throw lost(`${this.#pathOf(number)}: the header is damaged, but record ${later} follows`);
    await this.#disk.remove(this.#pathOf(number));
    await this.#disk.syncFolder(this.#folder);
  }

  async #scan(number: number): Promise<Scan> {
    const bytes = await this.#withFile(number, async (file) => file.readAt(0, await file.size()));
    const instance = logInstance(this.#journalId, number);
    const scan: Scan = { bytes, instance, end: HEADER_BYTES, batch: HEADER_BYTES, held: [] };
    for (;;) {
      const header = readRecord(bytes, scan.end, instance);
      if (header === null || !this.#continues(header)) return scan;
      if (header.batch !== scan.batch) {
        this.#handOut(scan);
        scan.batch = header.batch;
      }
      if (header.kind === 'data') {
        this.#sequence += 1;
        const offset = scan.end + RECORD_HEADER_BYTES;
        const payload = bytes.slice(offset, offset + header.length);
        scan.held.push({ payload, pointer: { segment: number, offset, length: header.length }, sequence: this.#sequence });
      }
      scan.end += recordBytes(header.length);
    }
  }

  #continues(header: RecordHeader): boolean {
    if (header.covered !== header.length) return false;
    return header.sequence === (header.kind === 'seal' ? this.#sequence : this.#sequence + 1);
  }

  #handOut(scan: Scan): void {
    for (const { payload, pointer, sequence } of scan.held) {
      if (sequence > this.#after) this.#options.onRecord(payload, pointer, sequence);
    }
    scan.held = [];
  }

  /** Cuts what was torn off the last segment and makes the rest certain before anybody acts on it. */
  async #settle(number: number, scan: Scan): Promise<NonNullable<RecoveredLog['tail']>> {
    const later = laterBatch(scan.bytes, scan.end, scan.instance);
    if (later !== null) throw this.#damaged(number, scan, later);
    await this.#cutIncomplete(scan);
    this.#handOut(scan);
    await this.#withFile(number, async (file) => {
      // After a mere crash of the process the last batch may be in memory only, and after a failed sync the
      // system may hold it for written although it is not: written once more, it is synced for certain.
      const from = scan.batch <= HEADER_BYTES ? 0 : scan.batch;
      if (scan.end > from) await file.writeAt(from, [scan.bytes.subarray(from, scan.end)]);
      for (let at = scan.end; at < scan.bytes.length; at += ZEROS.length) {
        const piece = scan.bytes.subarray(at, at + ZEROS.length);
        if (!isZero(piece)) await file.writeAt(at, [ZEROS.subarray(0, piece.length)]);
      }
      await file.datasync();
    });
    await this.#disk.syncFolder(this.#folder);
    return { number, bytes: scan.bytes.length, end: scan.end };
  }

  async #cutIncomplete(scan: Scan): Promise<void> {
    const { isWhole } = this.#options;
    if (isWhole === undefined) return;
    for (const [i, { payload, pointer, sequence }] of scan.held.entries()) {
      if (sequence <= this.#after || (await isWhole(payload, pointer, sequence))) continue;
      scan.held = scan.held.slice(0, i);
      scan.end = pointer.offset - RECORD_HEADER_BYTES;
      this.#sequence = sequence - 1;
      return;
    }
  }

  async #withFile<T>(number: number, action: (file: DiskFile) => Promise<T>): Promise<T> {
    const file = await this.#disk.open(this.#pathOf(number));
    try {
      return await action(file);
    } finally {
      await file.close();
    }
  }

  #pathOf(number: number): string {
    return `${this.#folder}/${segmentName('log', number)}`;
  }

  #damaged(number: number, scan: Scan, later: number): OperationError {
    return lost(
      `${this.#pathOf(number)}: record ${this.#sequence + 1} at byte ${scan.end} is damaged, but record ${later} was written later`,
    );
  }
}

/**
 * The number of a whole record from `at` on whose batch began after `at`, or null. There is one only if the
 * batch that reached `at` had been durable.
 */
function laterBatch(bytes: Uint8Array, at: number, instance: Uint8Array): number | null {
  const [first] = instance;
  for (let place = at; place + RECORD_HEADER_BYTES <= bytes.length; place += RECORD_ALIGN_BYTES) {
    if (bytes[place + INSTANCE_BYTES] !== first) continue;
    const header = readRecord(bytes, place, instance);
    if (header !== null && header.batch > at) return header.sequence;
  }
  return null;
}

function isZero(bytes: Uint8Array): boolean {
  for (let i = 0; i < bytes.length; i += 1) if (bytes[i] !== 0) return false;
  return true;
}

function lost(detail: string): OperationError {
  return new OperationError('LOST_STATE', `The journal is damaged. ${detail}.`, {
    remedy: 'A node whose log is damaged has lost its promises: it comes back as a new member of its slot.',
  });
}
