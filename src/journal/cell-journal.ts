/**
 * The cell journal: cells and blobs in preallocated, recycled segments (protocol 13.8). A record is durable
 * after `sync`; what is live is for the owner to say, because it derives it from the log. A segment without a
 * live byte is used again under a new instance, so that stale bytes never verify; one that is mostly dead is
 * offered for compaction. After a restart nothing is appended to a segment whose tail is unknown.
 */
import { assert } from '../base/assert.ts';
import { describeError, OperationError } from '../base/errors.ts';
import type { Disk, DiskFile, Random } from '../base/ports.ts';
import type { Pointer } from './pointer.ts';
import {
  encodeHeader,
  HEADER_BYTES,
  NO_PLACE,
  parseRecordHeader,
  readHeader,
  readUpTo,
  RECORD_HEADER_BYTES,
  recordBytes,
  recordMatches,
  recordParts,
  segmentName,
  segmentNumber,
} from './segment.ts';

const SEGMENT_BYTES_DEFAULT = 16 * 1024 * 1024;
/** Empty segments kept for the next writes; more are deleted. */
const SPARE_SEGMENTS = 2;
/** A sealed segment with a smaller live share is worth compacting. */
const LIVE_SHARE_MIN = 0.7;

interface Segment {
  readonly number: number;
  readonly file: DiskFile;
  instance: Uint8Array;
  readonly bytes: number;
  end: number;
  live: number;
  /** Written since the last sync. */
  dirty: boolean;
  /** Appends under way. */
  writing: number;
}

export class CellJournal {
  readonly #disk: Disk;
  readonly #folder: string;
  readonly #journalId: Uint8Array;
  readonly #random: Random;
  readonly #segmentBytes: number;
  readonly #segments = new Map<number, Segment>();
  #spare: Segment[] = [];
  #current: Segment | null = null;
  #opening: Promise<Segment> | null = null;
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
  }

  /** Opens the folder's segments. The owner then says what is live with `retain`, and ends with `recovered`. */
  static async open(
    disk: Disk,
    folder: string,
    journalId: Uint8Array,
    random: Random,
    segmentBytes: number = SEGMENT_BYTES_DEFAULT,
  ): Promise<CellJournal> {
    const journal = new CellJournal(disk, folder, journalId, random, segmentBytes);
    await disk.makeFolder(folder);
    for (const name of await disk.list(folder)) {
      const number = segmentNumber('cells', name);
      if (number === null) continue;
      const file = await disk.open(`${folder}/${name}`);
      const bytes = await file.size();
      const head = readHeader(await readUpTo(file, 0, HEADER_BYTES, bytes), { kind: 'cells', segment: number, journalId });
      // A damaged header makes every cell in the segment a hole; the node finds out cell by cell.
      const instance = head.ok ? head.instance : new Uint8Array(16);
      journal.#segments.set(number, { number, file, instance, bytes, end: bytes, live: 0, dirty: false, writing: 0 });
      journal.#highest = Math.max(journal.#highest, number);
    }
    return journal;
  }

  get liveBytes(): number {
    return this.#liveBytes;
  }

  get segmentCount(): number {
    return this.#segments.size;
  }

  /** Ends recovery: segments that hold nothing live may be used again. */
  recovered(): void {
    this.#recovered = true;
    for (const segment of this.#segments.values()) this.#reuseIfDead(segment);
  }

  /**
   * Writes one record; not durable before `sync`. `covered` is under the record's digest; `self` must be
   * bytes whose hash `covered` holds. The record counts as live. Errors: DISK_FULL (nothing kept), DISK_ERROR.
   */
  async append(covered: Uint8Array, self: Uint8Array | null = null): Promise<Pointer> {
    const length = covered.length + (self?.length ?? 0);
    const bytes = recordBytes(length);
    const segment = await this.#room(bytes);
    const offset = segment.end;
    segment.end += bytes;
    segment.live += bytes;
    this.#liveBytes += bytes;
    segment.writing += 1;
    try {
      await segment.file.writeAt(offset, recordParts(segment.instance, NO_PLACE, covered, self));
      segment.dirty = true;
    } catch (error) {
      this.#kill(segment, bytes);
      throw error;
    } finally {
      segment.writing -= 1;
    }
    return { segment: segment.number, offset: offset + RECORD_HEADER_BYTES, length };
  }

  /** On return every record whose `append` had resolved before the call survives a power loss. Callers share syncs. */
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
    if (segment === undefined) throw new OperationError('NOT_FOUND', `Cell segment ${pointer.segment} is gone.`);
    const { instance } = segment;
    const from = pointer.offset - RECORD_HEADER_BYTES;
    const bytes = await segment.file.readAt(from, RECORD_HEADER_BYTES + pointer.length);
    const header = parseRecordHeader(bytes);
    const payload = bytes.subarray(RECORD_HEADER_BYTES);
    if (header?.length !== pointer.length || !recordMatches(instance, header, payload.subarray(0, coveredBytes))) {
      throw new OperationError('CORRUPT', `A record of ${segment.file.path} does not match its digest.`);
    }
    return payload;
  }

  /** During recovery: this record is live. */
  retain(pointer: Pointer): void {
    assert(!this.#recovered, 'records are retained during recovery');
    const segment = this.#segments.get(pointer.segment);
    if (segment === undefined) return;
    segment.live += recordBytes(pointer.length);
    this.#liveBytes += recordBytes(pointer.length);
  }

  /** The owner no longer needs the record. Its bytes may be overwritten from now on. */
  release(pointer: Pointer): void {
    const segment = this.#segments.get(pointer.segment);
    if (segment !== undefined) this.#kill(segment, recordBytes(pointer.length));
  }

  /** A sealed segment most of whose bytes are dead, or null. The emptiest first. */
  compactionCandidate(): number | null {
    let best: Segment | null = null;
    for (const segment of this.#segments.values()) {
      if (segment === this.#current || this.#spare.includes(segment) || segment.writing > 0) continue;
      if (segment.live >= LIVE_SHARE_MIN * segment.bytes) continue;
      if (best === null || segment.live < best.live) best = segment;
    }
    return best?.number ?? null;
  }

  async close(): Promise<void> {
    await this.#syncing?.catch(() => undefined);
    this.#failure ??= new OperationError('STOPPED', 'The cell journal is closed.');
    for (const segment of this.#segments.values()) await segment.file.close();
  }

  #kill(segment: Segment, bytes: number): void {
    segment.live -= bytes;
    this.#liveBytes -= bytes;
    assert(segment.live >= 0, 'no record is released twice');
    this.#reuseIfDead(segment);
  }

  #reuseIfDead(segment: Segment): void {
    if (!this.#recovered || segment.live > 0 || segment.writing > 0 || segment === this.#current) return;
    if (this.#spare.includes(segment)) return;
    if (this.#spare.length < SPARE_SEGMENTS && segment.bytes === this.#segmentBytes) {
      this.#spare.push(segment);
      return;
    }
    this.#segments.delete(segment.number);
    void this.#discard(segment);
  }

  async #discard(segment: Segment): Promise<void> {
    try {
      await segment.file.close();
      await this.#disk.remove(segment.file.path);
    } catch {
      // What could not be removed holds nothing live: the next start finds it and tries again.
    }
  }

  async #room(bytes: number): Promise<Segment> {
    for (;;) {
      if (this.#failure !== null) throw this.#failure;
      const segment = this.#current;
      if (segment !== null && segment.end + bytes <= segment.bytes) return segment;
      this.#opening ??= this.#openNext(bytes).finally(() => {
        this.#opening = null;
      });
      await this.#opening;
    }
  }

  async #openNext(bytes: number): Promise<Segment> {
    const previous = this.#current;
    const needed = HEADER_BYTES + bytes;
    const instance = this.#random.bytes(16);
    const spare = needed <= this.#segmentBytes ? this.#spare.pop() : undefined;
    const segment = spare ?? (await this.#createSegment(Math.max(this.#segmentBytes, needed)));
    segment.instance = instance;
    segment.end = HEADER_BYTES;
    const header = { kind: 'cells' as const, segment: segment.number, journalId: this.#journalId, instance };
    await segment.file.writeAt(0, [encodeHeader(header)]);
    segment.dirty = true;
    this.#current = segment;
    if (previous !== null) this.#reuseIfDead(previous);
    return segment;
  }

  async #createSegment(bytes: number): Promise<Segment> {
    this.#highest += 1;
    const number = this.#highest;
    const path = `${this.#folder}/${segmentName('cells', number)}`;
    const file = await this.#disk.open(path, { create: true });
    try {
      await file.preallocate(bytes);
      await this.#disk.syncFolder(this.#folder);
    } catch (error) {
      await file.close();
      await this.#disk.remove(path).catch(() => undefined);
      throw error;
    }
    const segment: Segment = { number, file, instance: new Uint8Array(16), bytes, end: HEADER_BYTES, live: 0, dirty: true, writing: 0 };
    this.#segments.set(number, segment);
    return segment;
  }

  async #syncDirty(): Promise<void> {
    const dirty = [...this.#segments.values()].filter((segment) => segment.dirty);
    for (const segment of dirty) segment.dirty = false;
    try {
      await Promise.all(dirty.map((segment) => segment.file.datasync()));
    } catch (error) {
      // After a failed sync nobody knows what the disk holds (spec: never retry it).
      this.#failure =
        error instanceof OperationError
          ? error
          : new OperationError('DISK_ERROR', `A sync of cells failed: ${describeError(error)}`, { cause: error });
      throw this.#failure;
    }
  }
}
