/**
 * Snapshots on disk (protocol 13.8): one file each, written aside, synced, and read back before older ones
 * go. A snapshot that does not verify is passed over for the one before it. Format: spec/formats/journal.md.
 *
 * file: head 64 (magic 8 | version 2 | 0 x6 | journal id 16 | sequence 8 | chunk count 4 | 0 x4 | digest 16 of
 * all before it), then each chunk as length 4 | SHA-256 32 | bytes, then SHA-256 over head, lengths and
 * digests of the chunks.
 */
import { assert } from '../base/assert.ts';
import { equal, u32be, utf8 } from '../base/bytes.ts';
import { isOperationError, OperationError } from '../base/errors.ts';
import type { Disk, DiskFile } from '../base/ports.ts';
import { HASH_BYTES, incremental, sha256 } from '../crypto/primitives.ts';
import { requireVersion } from './segment.ts';

const MAGIC = utf8('HOLDSNAP');
const FORMAT_VERSION = 1;
const HEAD_BYTES = 64;
const HEAD_DIGEST_AT = 48;
const CHUNK_HEAD_BYTES = 4 + HASH_BYTES;
/** Keeps reading back from asking for absurd lengths; owners stay far below. */
const CHUNK_BYTES_MAX = 256 * 1024 * 1024;
/** The newest, and one to fall back on. */
const KEPT = 2;

export interface Snapshot {
  /** Number of the journal's last record that the snapshot stands for. */
  readonly sequence: number;
  readonly chunks: readonly Uint8Array[];
}

export class SnapshotStore {
  readonly #disk: Disk;
  readonly #folder: string;
  readonly #journalId: Uint8Array;

  private constructor(disk: Disk, folder: string, journalId: Uint8Array) {
    this.#disk = disk;
    this.#folder = folder;
    this.#journalId = journalId;
  }

  static async open(disk: Disk, folder: string, journalId: Uint8Array): Promise<SnapshotStore> {
    assert(journalId.length === 16, 'a journal id has 16 bytes');
    await disk.makeFolder(folder);
    for (const name of await disk.list(folder)) {
      // What a crash left half written.
      if (/^snapshot-\d+\.snap\.new$/.test(name)) await disk.remove(`${folder}/${name}`);
    }
    return new SnapshotStore(disk, folder, journalId);
  }

  /** The newest snapshot that verifies, or null. Errors: LOST_STATE for a later format. */
  async newest(): Promise<Snapshot | null> {
    const sequences = await this.#sequences();
    for (const sequence of sequences.reverse()) {
      const chunks: Uint8Array[] = [];
      try {
        await this.#walk(sequence, (chunk) => chunks.push(chunk));
        return { sequence, chunks };
      } catch (error) {
        if (!isOperationError(error, 'CORRUPT') && !isOperationError(error, 'DISK_ERROR')) throw error;
      }
    }
    return null;
  }

  /**
   * Writes a snapshot durably, reads it back, then removes all but the newest two. Returns its SHA-256.
   * Errors: the disk's, and CORRUPT when it does not read back; the older ones are then untouched.
   */
  async write(sequence: number, chunks: readonly Uint8Array[]): Promise<Uint8Array> {
    const path = this.#path(sequence);
    const aside = `${path}.new`;
    try {
      await this.#writeAside(aside, sequence, chunks);
      await this.#disk.rename(aside, path);
    } catch (error) {
      await this.#disk.remove(aside).catch(() => undefined);
      throw error;
    }
    await this.#disk.syncFolder(this.#folder);
    const digest = await this.#walk(sequence, () => undefined);
    for (const old of (await this.#sequences()).slice(0, -KEPT)) await this.#disk.remove(this.#path(old));
    return digest;
  }

  async #writeAside(path: string, sequence: number, chunks: readonly Uint8Array[]): Promise<void> {
    const file = await this.#disk.open(path, { create: true });
    try {
      await file.truncate(0);
      const head = this.#head(sequence, chunks.length);
      const total = incremental('sha256');
      total.update(head);
      await file.writeAt(0, [head]);
      let at = HEAD_BYTES;
      for (const chunk of chunks) {
        assert(chunk.length <= CHUNK_BYTES_MAX, 'a chunk of a snapshot is within its bound');
        const length = u32be(chunk.length);
        const digest = sha256(chunk);
        total.update(length);
        total.update(digest);
        await file.writeAt(at, [length, digest, chunk]);
        at += CHUNK_HEAD_BYTES + chunk.length;
      }
      await file.writeAt(at, [total.digest()]);
      await file.datasync();
    } finally {
      await file.close();
    }
  }

  #path(sequence: number): string {
    return `${this.#folder}/snapshot-${String(sequence).padStart(16, '0')}.snap`;
  }

  /** In ascending order. */
  async #sequences(): Promise<number[]> {
    const names = await this.#disk.list(this.#folder);
    return names.flatMap((name) => {
      const match = /^snapshot-(\d{16})\.snap$/.exec(name);
      return match?.[1] === undefined ? [] : [Number(match[1])];
    });
  }

  #head(sequence: number, chunkCount: number): Uint8Array {
    const head = new Uint8Array(HEAD_BYTES);
    const view = new DataView(head.buffer);
    head.set(MAGIC, 0);
    view.setUint16(8, FORMAT_VERSION);
    head.set(this.#journalId, 16);
    view.setBigUint64(32, BigInt(sequence));
    view.setUint32(40, chunkCount);
    head.set(headDigest(head), HEAD_DIGEST_AT);
    return head;
  }

  /** Reads one front to back and checks all of it, one chunk in memory at a time. Returns its SHA-256. */
  async #walk(sequence: number, onChunk: (chunk: Uint8Array) => void): Promise<Uint8Array> {
    const path = this.#path(sequence);
    const file = await this.#disk.open(path);
    try {
      const head = await file.readAt(0, HEAD_BYTES);
      if (!equal(headDigest(head), head.subarray(HEAD_DIGEST_AT))) throw corrupt(path);
      const view = new DataView(head.buffer, head.byteOffset);
      requireVersion(view.getUint16(8), path);
      const count = view.getUint32(40);
      if (!equal(head, this.#head(sequence, count))) throw corrupt(path);
      const total = incremental('sha256');
      total.update(head);
      let at = HEAD_BYTES;
      for (let i = 0; i < count; i += 1) {
        const chunkHead = await file.readAt(at, CHUNK_HEAD_BYTES);
        total.update(chunkHead);
        const chunk = await readChunk(file, path, at, chunkHead);
        onChunk(chunk);
        at += CHUNK_HEAD_BYTES + chunk.length;
      }
      const digest = total.digest();
      if (!equal(digest, await file.readAt(at, HASH_BYTES))) throw corrupt(path);
      return digest;
    } finally {
      await file.close();
    }
  }
}

async function readChunk(file: DiskFile, path: string, at: number, head: Uint8Array): Promise<Uint8Array> {
  const length = new DataView(head.buffer, head.byteOffset).getUint32(0);
  if (length > CHUNK_BYTES_MAX) throw corrupt(path);
  const chunk = await file.readAt(at + CHUNK_HEAD_BYTES, length);
  if (!equal(sha256(chunk), head.subarray(4))) throw corrupt(path);
  return chunk;
}

function headDigest(head: Uint8Array): Uint8Array {
  return sha256(head.subarray(0, HEAD_DIGEST_AT)).subarray(0, HEAD_BYTES - HEAD_DIGEST_AT);
}

function corrupt(path: string): OperationError {
  return new OperationError('CORRUPT', `${path} does not match its digest.`);
}
