/**
 * The cell journal: cells and blobs in preallocated, recycled segments (protocol 13.8). A record is durable
 * after `sync`. What is live is for the owner to say, because it derives that from its log. A segment without
 * a live byte is used again under a new number and a new instance, so that neither a stale pointer nor a
 * stale byte ever verifies; one that is mostly dead is offered for compaction. After a restart nothing is
 * appended to a segment whose tail is unknown.
 */
import { assert } from '../base/assert.ts';
import { describeError, isOperationError, OperationError } from '../base/errors.ts';
import type { Disk, DiskFile, Random } from '../base/ports.ts';
import { OpenFiles } from './open-files.ts';
import type { Pointer } from './pointer.ts';
import {
  HEADER_BYTES,
  INSTANCE_BYTES,
  putHeader,
  putRecordHeader,
  readHeader,
  readRecord,
  RECORD_BYTES_MAX,
  RECORD_HEADER_BYTES,
  recordBytes,
  segmentName,
  segmentNumber,
} from './segment.ts';

const SEGMENT_BYTES_DEFAULT = 16 * 1024 * 1024;
/** Dead segments kept for the next writes; more are deleted. */
const DEAD_SEGMENTS_MAX = 2;
/** A sealed segment with a smaller live share is worth compacting. */
const LIVE_SHARE_MIN = 0.7;
const PADDING = new Uint8Array(8);

interface Segment {
  readonly number: number;
  bytes: number;
  /** Null until a segment of an earlier run is first read. */
  instance: Uint8Array | null;
  /** For writing: open while it is the current one or not synced. */
  file: DiskFile | null;
  end: number;
  live: number;
  /** Written since the last sync. */
  isDirty: boolean;
  /** Appends under way. */
  writing: number;
  /** Live bytes when it was last offered for compaction: not again before that changes. */
  offered: number;
}

export class CellJournal {
  readonly #disk: Disk;
  readonly #folder: string;
  readonly #journalId: Uint8Array;
  readonly #random: Random;
  readonly #segmentBytes: number;
  readonly #files: OpenFiles;
  readonly #segments = new Map<number, Segment>();
  /** Those with a file open for writing: the current one, and earlier ones until they are synced. */
  readonly #writable = new Set<Segment>();
  /** Numbers of files that hold nothing live. */
  readonly #dead: number[] = [];
  readonly #background = new Set<Promise<void>>();
  #current: Segment | null = null;
  /** The next segment, made ahead of its use. */
  #next: Promise<Segment> | null = null;
  #switching: Promise<void> | null = null;
  #highest = 0;
  #syncing: Promise<void> | null = null;
  #nextSync: Promise<void> | null = null;
  #failure: OperationError | null = null;
  #recovered = false;
  #liveBytes = 0;

  private constructor(disk: Disk, folder: string, journalId: Uint8Array, random: Random, segmentBytes: number) {
    this.#disk = disk;
    this.#folder = folder;
    this.#journalId = journalId;
    this.#random = random;
    this.#segmentBytes = segmentBytes;
    this.#files = new OpenFiles(disk);
  }

  /**
   * Opens the folder. The owner then says what is live with `retain`, and ends with `recovered`. Nothing is
   * scanned: a damaged cell is found when it is read. Errors: LOST_STATE (a later format), and the disk's.
   */
  static async open(
    disk: Disk,
    folder: string,
    journalId: Uint8Array,
    random: Random,
    segmentBytes: number = SEGMENT_BYTES_DEFAULT,
  ): Promise<CellJournal> {
    assert(segmentBytes > HEADER_BYTES, 'a segment has room for records');
    const journal = new CellJournal(disk, folder, journalId, random, segmentBytes);
    await disk.makeFolder(folder);
    for (const name of await disk.list(folder)) {
      const number = segmentNumber('cells', name);
      if (number === null) continue;
      journal.#segments.set(number, newSegment(number, segmentBytes));
      journal.#highest = Math.max(journal.#highest, number);
    }
    // The newest that was used says which program wrote last; one made ahead of its use has no header yet.
    const newestFirst = [...journal.#segments.values()].sort((a, b) => b.number - a.number);
    for (const segment of newestFirst) if ((await journal.#instanceOf(segment)) !== null) break;
    return journal;
  }

  /** Has a sync failed? Then nothing more is accepted, and the owner must start anew from the disk. */
  get poisoned(): boolean {
    return this.#failure !== null;
  }

  get liveBytes(): number {
    return this.#liveBytes;
  }

  /** Segments that may hold something live. */
  get segmentCount(): number {
    return this.#segments.size;
  }

  /** During recovery: this record is live. */
  retain(pointer: Pointer): void {
    assert(!this.#recovered, 'records are retained during recovery');
    // A lost segment's number is not given again either: a pointer to it must find nothing.
    this.#highest = Math.max(this.#highest, pointer.segment);
    const segment = this.#segments.get(pointer.segment);
    if (segment === undefined) return;
    segment.live += recordBytes(pointer.length);
    this.#liveBytes += recordBytes(pointer.length);
  }

  /** Ends recovery: segments that hold nothing live may be used again. */
  recovered(): void {
    this.#recovered = true;
    for (const segment of [...this.#segments.values()]) this.#buryIfDead(segment);
  }

  /**
   * Writes one record; not durable before `sync`. `covered` is under the record's digest; `self` must be
   * bytes whose hash `covered` holds, so that they need not be hashed twice. The record counts as live. The
   * bytes must not change before it resolves. Errors: TOO_LARGE, DISK_FULL and other failures to write:
   * nothing is kept, and other records are not harmed.
   */
  async append(covered: Uint8Array, self: Uint8Array | null = null): Promise<Pointer> {
    assert(this.#recovered, 'recovery has ended');
    const length = covered.length + (self?.length ?? 0);
    if (length > RECORD_BYTES_MAX) throw new OperationError('TOO_LARGE', `A record exceeds ${RECORD_BYTES_MAX} bytes.`);
    const bytes = recordBytes(length);
    let segment = this.#segmentFor(bytes);
    while (segment === null) {
      await this.#nextSegment(bytes);
      segment = this.#segmentFor(bytes);
    }
    // No await from the choice of the segment to here: another append would take the same room.
    const { file, instance } = segment;
    assert(file !== null && instance !== null, 'the current segment is open');
    const offset = segment.end;
    segment.end += bytes;
    segment.live += bytes;
    this.#liveBytes += bytes;
    segment.writing += 1;
    const head = new Uint8Array(RECORD_HEADER_BYTES);
    putRecordHeader(head, 0, instance, { kind: 'data', length, covered: covered.length, batch: 0, sequence: 0 }, covered);
    const parts = [head, covered];
    if (self !== null) parts.push(self);
    parts.push(PADDING.subarray(0, bytes - RECORD_HEADER_BYTES - length));
    try {
      await file.writeAt(offset, parts);
      segment.isDirty = true;
    } catch (error) {
      segment.writing -= 1;
      // Where one write failed the next may too: the rest of this segment is given up.
      if (this.#current === segment) this.#current = null;
      this.#kill(segment, bytes);
      throw error;
    }
    segment.writing -= 1;
    return { segment: segment.number, offset: offset + RECORD_HEADER_BYTES, length };
  }

  /**
   * On return every record whose `append` had resolved before the call survives a power loss. Callers share
   * syncs. A failure is final: nobody knows what the disk holds, and every later append and sync rejects.
   */
  sync(): Promise<void> {
    if (this.#failure !== null) return Promise.reject(this.#failure);
    if (this.#syncing === null) {
      this.#syncing = this.#syncDirty().finally(() => {
        this.#syncing = null;
      });
      return this.#syncing;
    }
    // A sync under way may have begun before the caller's write: the caller shares the next one.
    this.#nextSync ??= this.#syncing
      .catch(() => undefined)
      .then(() => {
        this.#nextSync = null;
        return this.sync();
      });
    return this.#nextSync;
  }

  /**
   * Reads a record of which `coveredBytes` (all, when left out) are under the digest; the rest is for the
   * caller to check. CORRUPT when it is not what was written, NOT_FOUND when its segment is gone.
   */
  async read(pointer: Pointer, coveredBytes: number = pointer.length): Promise<Uint8Array> {
    const segment = this.#segments.get(pointer.segment);
    if (segment === undefined) throw this.#gone(pointer);
    try {
      const instance = await this.#instanceOf(segment);
      const from = pointer.offset - RECORD_HEADER_BYTES;
      if (instance !== null && from >= HEADER_BYTES) {
        const path = this.#pathOf(segment.number);
        const bytes = await this.#files.use(path, (file) => file.readAt(from, RECORD_HEADER_BYTES + pointer.length));
        const header = readRecord(bytes, 0, instance);
        if (header?.length === pointer.length && header.covered === coveredBytes) return bytes.subarray(RECORD_HEADER_BYTES);
      }
    } catch (error) {
      if (!isOperationError(error, 'CORRUPT') && !isOperationError(error, 'NOT_FOUND')) throw error;
    }
    // It may have been released and its segment used again while this read was under way: no damage then.
    if (this.#segments.get(pointer.segment) !== segment) throw this.#gone(pointer);
    throw new OperationError('CORRUPT', `The record at byte ${pointer.offset} of ${this.#pathOf(pointer.segment)} is damaged.`);
  }

  /**
   * Is the whole segment gone, or its header damaged? Both are durable before the first record is written there,
   * so this is never the mark of a write that a power loss cut short.
   */
  async isLost(segment: number): Promise<boolean> {
    const known = this.#segments.get(segment);
    if (known === undefined) return true;
    try {
      return (await this.#instanceOf(known)) === null;
    } catch (error) {
      if (isOperationError(error, 'NOT_FOUND')) return true;
      throw error;
    }
  }

  /** The owner no longer needs the record, and its log says so durably. Its bytes may be overwritten from now on. */
  release(pointer: Pointer): void {
    const segment = this.#segments.get(pointer.segment);
    if (segment !== undefined) this.#kill(segment, recordBytes(pointer.length));
  }

  /**
   * A sealed segment whose live share is below 70 %, or null; the emptiest first. The owner copies what is
   * live, makes its log say so, and releases the old records. One that could not be emptied is not offered
   * again before its live bytes change.
   */
  compactionCandidate(): number | null {
    let best: Segment | null = null;
    for (const segment of this.#segments.values()) {
      if (segment === this.#current || segment.writing > 0 || segment.live === segment.offered) continue;
      if (segment.live >= LIVE_SHARE_MIN * segment.bytes) continue;
      if (best === null || segment.live < best.live) best = segment;
    }
    if (best !== null) best.offered = best.live;
    return best?.number ?? null;
  }

  async close(): Promise<void> {
    this.#failure ??= new OperationError('STOPPED', 'The cell journal is closed.');
    await this.#syncing?.catch(() => undefined);
    await this.#switching?.catch(() => undefined);
    const next = await this.#next?.catch(() => null);
    while (this.#background.size > 0) await Promise.all(this.#background);
    for (const segment of this.#writable) await this.#closeFile(segment);
    await next?.file?.close();
    await this.#files.closeAll();
  }

  #kill(segment: Segment, bytes: number): void {
    segment.live -= bytes;
    this.#liveBytes -= bytes;
    assert(segment.live >= 0, 'no record is released twice');
    this.#buryIfDead(segment);
  }

  #buryIfDead(segment: Segment): void {
    if (!this.#recovered || segment.live > 0 || segment.writing > 0 || segment === this.#current) return;
    if (!this.#segments.delete(segment.number)) return;
    this.#inBackground(this.#bury(segment));
  }

  async #bury(segment: Segment): Promise<void> {
    const path = this.#pathOf(segment.number);
    try {
      await this.#closeFile(segment);
      await this.#files.forget(path);
      if (this.#dead.length < DEAD_SEGMENTS_MAX) this.#dead.push(segment.number);
      else await this.#disk.remove(path);
    } catch {
      // It holds nothing live: the next start finds it and tries again.
    }
  }

  #inBackground(work: Promise<void>): void {
    this.#background.add(work);
    void work.finally(() => this.#background.delete(work));
  }

  /** The segment that takes so many bytes now, or null when another is needed first. */
  #segmentFor(bytes: number): Segment | null {
    if (this.#failure !== null) throw this.#failure;
    const segment = this.#current;
    return segment !== null && segment.end + bytes <= segment.bytes ? segment : null;
  }

  #nextSegment(bytes: number): Promise<void> {
    this.#switching ??= this.#switch(HEADER_BYTES + bytes).finally(() => {
      this.#switching = null;
    });
    return this.#switching;
  }

  async #switch(needed: number): Promise<void> {
    const making = this.#next ?? this.#make(Math.max(needed, this.#segmentBytes));
    this.#next = null;
    const next = await making;
    if (next.bytes < needed) {
      await next.file?.preallocate(needed);
      next.bytes = needed;
    }
    const before = this.#current;
    this.#segments.set(next.number, next);
    this.#writable.add(next);
    this.#current = next;
    if (before !== null) this.#buryIfDead(before);
    this.#makeNext();
  }

  #makeNext(): void {
    if (this.#failure !== null) return;
    const making = this.#make(this.#segmentBytes);
    this.#next = making;
    // Whoever needs it tries again and is told.
    making.catch(() => {
      if (this.#next === making) this.#next = null;
    });
  }

  /** A segment of zeros or of dead bytes with a fresh header, itself and its name durable: syncs of records need no more. */
  async #make(bytes: number): Promise<Segment> {
    this.#highest += 1;
    const number = this.#highest;
    const path = this.#pathOf(number);
    const dead = this.#dead.pop();
    if (dead !== undefined) await this.#disk.rename(this.#pathOf(dead), path);
    const file = await this.#disk.open(path, { create: true });
    try {
      await file.preallocate(bytes);
      const instance = this.#random.bytes(INSTANCE_BYTES);
      const head = new Uint8Array(HEADER_BYTES);
      putHeader(head, { kind: 'cells', segment: number, journalId: this.#journalId, instance, firstSequence: 0 });
      await file.writeAt(0, [head]);
      await file.datasync();
      await this.#disk.syncFolder(this.#folder);
      return { ...newSegment(number, bytes), instance, file, end: HEADER_BYTES };
    } catch (error) {
      await file.close();
      await this.#disk.remove(path).catch(() => undefined);
      throw error;
    }
  }

  async #syncDirty(): Promise<void> {
    const dirty = [...this.#writable].filter((segment) => segment.isDirty);
    for (const segment of dirty) segment.isDirty = false;
    try {
      await Promise.all(dirty.map(async (segment) => segment.file?.datasync()));
    } catch (error) {
      this.#failure ??=
        error instanceof OperationError
          ? error
          : new OperationError('DISK_ERROR', `A sync of cells failed: ${describeError(error)}`, { cause: error });
      throw this.#failure;
    }
    for (const segment of [...this.#writable]) {
      const isNeeded = segment === this.#current || segment.isDirty || segment.writing > 0;
      if (!isNeeded) await this.#closeFile(segment);
    }
  }

  /** What was to be durable is synced before, so a failure to close loses nothing. */
  async #closeFile(segment: Segment): Promise<void> {
    this.#writable.delete(segment);
    const { file } = segment;
    segment.file = null;
    await file?.close().catch(() => undefined);
  }

  /** Null when the header is damaged: then every record of the segment is lost, as the owner finds one by one. */
  async #instanceOf(segment: Segment): Promise<Uint8Array | null> {
    if (segment.instance !== null) return segment.instance;
    const { number } = segment;
    const verdict = await this.#files.use(this.#pathOf(number), async (file) => {
      segment.bytes = await file.size();
      const block = await file.readAt(0, Math.min(HEADER_BYTES, segment.bytes));
      return readHeader(block, { kind: 'cells', segment: number, journalId: this.#journalId });
    });
    segment.instance = verdict.ok ? verdict.instance : null;
    return segment.instance;
  }

  #pathOf(number: number): string {
    return `${this.#folder}/${segmentName('cells', number)}`;
  }

  #gone({ segment }: Pointer): OperationError {
    return new OperationError('NOT_FOUND', `Cell segment ${segment} is gone.`);
  }
}

function newSegment(number: number, bytes: number): Segment {
  return { number, bytes, instance: null, file: null, end: bytes, live: 0, isDirty: false, writing: 0, offered: -1 };
}
