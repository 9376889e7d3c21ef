/**
 * Uploads under way: cells that came before their manifest (protocol 13.4). Each upload belongs to one
 * connection; its cells arrive in order of stripes, are checked against their row, written to the cell
 * journal and folded into the matrix root. What no manifest binds dies with the connection or after ten
 * minutes. Space is reserved before the first byte is taken (P9).
 */
import { equal, mapKey } from '../base/bytes.ts';
import { UNBOUND_CELLS_MS } from '../base/limits.ts';
import type { Clock, PeerConnection } from '../base/ports.ts';
import { isOperationError } from '../base/errors.ts';
import { sha256 } from '../crypto/primitives.ts';
import type { CellJournal } from '../journal/cell-journal.ts';
import type { Pointer } from '../journal/pointer.ts';
import { MatrixFolder, rowLeaf } from '../merkle/tiles.ts';
import type { MatrixBlock } from '../merkle/tiles.ts';
import { concat } from '../base/bytes.ts';
import type { RequestOf } from '../protocol/messages.ts';
import { stripeOverheadBytes } from './contents.ts';
import { Refused } from './reply.ts';

/** Uploads that one connection may have open at once. */
const UPLOADS_PER_CONNECTION_MAX = 1024;

export interface FinishedUpload {
  readonly contentId: Uint8Array;
  readonly stripes: number;
  readonly bytes: number;
  readonly cells: readonly Pointer[];
  readonly blocks: readonly Pointer[];
  readonly blockRoots: readonly Uint8Array[];
}

interface Upload {
  readonly connection: number;
  readonly writer: string;
  /** Bytes of cells that may come. */
  readonly reserved: number;
  /** What counts toward the writer's quota until the upload is bound or dropped. */
  readonly charged: number;
  /** Bytes of the first cell; the last may be shorter. */
  readonly cellBytes: number;
  lastCellBytes: number;
  readonly folder: MatrixFolder;
  readonly cells: Pointer[];
  readonly blocks: Pointer[];
  bytes: number;
  nextStripe: number;
  /** The chain of writes: cells are stored in the order in which they came. */
  tail: Promise<void>;
  failed: unknown;
  touchedMs: number;
  /** Once a manifest has asked for it: the cells together. */
  finished: Promise<FinishedUpload> | null;
}

export class Uploads {
  readonly #cells: CellJournal;
  readonly #clock: Clock;
  readonly #slot: number;
  readonly #slotCount: number;
  readonly #open = new Map<string, Upload>();
  readonly #byConnection = new Map<number, Set<string>>();
  readonly #reserved = new Map<string, number>();

  constructor(cells: CellJournal, clock: Clock, slot: number, slotCount: number) {
    this.#cells = cells;
    this.#clock = clock;
    this.#slot = slot;
    this.#slotCount = slotCount;
  }

  /** Bytes that this writer's open uploads have reserved here, one of them left out. */
  reservedBytes(writer: Uint8Array, except: Uint8Array | null = null): number {
    const own = except === null ? undefined : this.#open.get(mapKey(except));
    const sum = this.#reserved.get(mapKey(writer)) ?? 0;
    return own?.writer === mapKey(writer) ? sum - own.charged : sum;
  }

  get openCount(): number {
    return this.#open.size;
  }

  /** Takes one cell. Resolves when it is written (not yet durable). `mayReserve` is asked once, before the first byte is kept. */
  async cell(
    from: PeerConnection,
    writer: Uint8Array,
    request: RequestOf<'CELL'>,
    cell: Uint8Array,
    mayReserve: (bytes: number) => void,
  ): Promise<void> {
    const upload = this.#uploadFor(from, writer, request, cell.length, mayReserve);
    if (request.stripe !== upload.nextStripe) {
      throw new Refused('BAD', `stripe ${request.stripe} where ${upload.nextStripe} is next`);
    }
    if (upload.bytes + cell.length > upload.reserved) throw new Refused('BAD', 'more bytes than were reserved');
    if (upload.lastCellBytes < upload.cellBytes || cell.length > upload.cellBytes) {
      throw new Refused('BAD', 'only the last cell may be of another length, and shorter');
    }
    this.checkCell(request.row, cell);
    upload.nextStripe += 1;
    upload.bytes += cell.length;
    upload.lastCellBytes = cell.length;
    upload.touchedMs = this.#clock.monotonicMs();
    const block = upload.folder.add(rowLeaf(request.row));
    upload.tail = upload.tail.then(() =>
      this.#store(upload, async () => {
        upload.cells.push(await this.#cells.append(request.row, cell));
        if (block !== null) await this.#storeBlock(upload, block);
      }),
    );
    await upload.tail;
    if (upload.failed !== undefined) throw upload.failed;
  }

  /** P5 for one cell: its hash stands in its row, at this node's place. */
  checkCell(row: Uint8Array, cell: Uint8Array): void {
    if (row.length !== 32 * this.#slotCount) throw new Refused('BAD', `P5: a row has ${this.#slotCount} hashes`);
    const expected = row.subarray(32 * this.#slot, 32 * this.#slot + 32);
    if (cell.length === 0 || !equal(sha256(cell), expected)) throw new Refused('BAD', 'P5: the cell is not the one of its row');
  }

  /** Ends the upload: no more cells, the matrix root is known. May be asked for again while a PREPARE is retried. */
  async finish(from: PeerConnection, id: Uint8Array): Promise<FinishedUpload> {
    const upload = this.#open.get(mapKey(id));
    if (upload === undefined || upload.connection !== from.id) throw new Refused('NOT_HELD', 'no such upload on this connection');
    await upload.tail;
    if (upload.failed !== undefined) throw upload.failed;
    upload.touchedMs = this.#clock.monotonicMs();
    if (upload.nextStripe === 0) throw new Refused('BAD', 'the upload has no cells');
    upload.finished ??= this.#fold(upload);
    return upload.finished;
  }

  async #fold(upload: Upload): Promise<FinishedUpload> {
    const folded = upload.folder.finish();
    const { lastBlock } = folded;
    // A content of one stripe has an empty path: its block need not be kept.
    if (lastBlock !== null && folded.rowCount > 1) {
      upload.tail = upload.tail.then(() => this.#store(upload, () => this.#storeBlock(upload, lastBlock)));
    }
    await upload.tail;
    if (upload.failed !== undefined) throw upload.failed;
    return {
      contentId: folded.root,
      stripes: folded.rowCount,
      bytes: upload.bytes,
      cells: upload.cells,
      blocks: upload.blocks,
      blockRoots: folded.blockRoots,
    };
  }

  has(from: PeerConnection, id: Uint8Array): boolean {
    return this.#open.get(mapKey(id))?.connection === from.id;
  }

  /** A manifest has bound the cells: the upload is over and its cells are no longer its own. */
  bound(id: Uint8Array): void {
    this.#forget(mapKey(id));
  }

  /** Drops what no manifest bound. */
  drop(id: Uint8Array): void {
    this.#drop(mapKey(id));
  }

  dropConnection(connection: number): void {
    for (const name of [...(this.#byConnection.get(connection) ?? [])]) this.#drop(name);
  }

  dropExpired(): void {
    const limit = this.#clock.monotonicMs() - UNBOUND_CELLS_MS;
    for (const [name, upload] of this.#open) if (upload.touchedMs < limit) this.#drop(name);
  }

  #uploadFor(
    from: PeerConnection,
    writer: Uint8Array,
    request: RequestOf<'CELL'>,
    cellBytes: number,
    mayReserve: (bytes: number) => void,
  ): Upload {
    const name = mapKey(request.upload);
    const known = this.#open.get(name);
    if (known !== undefined) {
      if (known.connection !== from.id) throw new Refused('BAD', 'the upload belongs to another connection');
      if (known.finished !== null) throw new Refused('BAD', 'the upload has ended');
      return known;
    }
    if (request.stripe !== 0) throw new Refused('NOT_HELD', 'no such upload on this connection');
    const own = this.#byConnection.get(from.id) ?? new Set<string>();
    if (own.size >= UPLOADS_PER_CONNECTION_MAX) throw new Refused('BUSY', 'too many open uploads');
    // Rows take space too: with tiny cells many times that of the cells.
    const stripes = Math.ceil(request.reserve / Math.max(1, cellBytes));
    const charged = request.reserve + stripes * stripeOverheadBytes(this.#slotCount);
    mayReserve(charged);
    const upload: Upload = {
      connection: from.id,
      writer: mapKey(writer),
      reserved: request.reserve,
      charged,
      cellBytes,
      lastCellBytes: cellBytes,
      folder: new MatrixFolder(),
      cells: [],
      blocks: [],
      bytes: 0,
      nextStripe: 0,
      tail: Promise.resolve(),
      failed: undefined,
      touchedMs: this.#clock.monotonicMs(),
      finished: null,
    };
    this.#open.set(name, upload);
    if (!this.#byConnection.has(from.id)) {
      this.#byConnection.set(from.id, own);
      from.onClose(() => {
        this.dropConnection(from.id);
        this.#byConnection.delete(from.id);
      });
    }
    own.add(name);
    this.#reserved.set(upload.writer, (this.#reserved.get(upload.writer) ?? 0) + upload.charged);
    return upload;
  }

  async #store(upload: Upload, action: () => Promise<void>): Promise<void> {
    if (upload.failed !== undefined) return;
    try {
      await action();
    } catch (error) {
      upload.failed = isOperationError(error, 'DISK_FULL') ? new Refused('FULL', 'the disk has no room') : error;
    }
  }

  async #storeBlock(upload: Upload, block: MatrixBlock): Promise<void> {
    upload.blocks.push(await this.#cells.append(concat(...block.leaves)));
  }

  #drop(name: string): void {
    const upload = this.#open.get(name);
    if (upload === undefined) return;
    this.#forget(name);
    upload.failed ??= new Refused('NOT_HELD', 'the upload was dropped');
    void upload.tail.then(() => {
      for (const pointer of [...upload.cells, ...upload.blocks]) this.#cells.release(pointer);
    });
  }

  #forget(name: string): void {
    const upload = this.#open.get(name);
    if (upload === undefined) return;
    this.#open.delete(name);
    this.#reserved.set(upload.writer, (this.#reserved.get(upload.writer) ?? 0) - upload.charged);
    const own = this.#byConnection.get(upload.connection);
    own?.delete(name);
  }
}
