/**
 * Snapshots on disk (protocol 13.8): one file each, written aside, synced, and read back before older ones
 * go. A snapshot that does not verify is passed over for the one before it.
 *
 * file: magic 8 | version 1 | reserved 7 | journal id 16 | sequence 8 | chunk count 4 | reserved 4, then each
 * chunk as length 4 | bytes, then SHA-256 of all that came before.
 */
import { equal, u32be, utf8 } from '../base/bytes.ts';
import { isOperationError, OperationError } from '../base/errors.ts';
import type { Disk } from '../base/ports.ts';
import { incremental } from '../crypto/primitives.ts';

const MAGIC = utf8('HOLDSNAP');
const FORMAT_VERSION = 1;
const HEAD_BYTES = 48;
const DIGEST_BYTES = 32;
const READ_BYTES = 4 * 1024 * 1024;
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
    await disk.makeFolder(folder);
    return new SnapshotStore(disk, folder, journalId);
  }

  /** The newest snapshot that verifies, or null. */
  async newest(): Promise<Snapshot | null> {
    const sequences = await this.#sequences();
    for (const sequence of sequences.reverse()) {
      try {
        return (await this.#read(sequence)).snapshot;
      } catch (error) {
        if (!isOperationError(error, 'CORRUPT') && !isOperationError(error, 'DISK_ERROR')) throw error;
      }
    }
    return null;
  }

  /** Writes a snapshot durably, reads it back, then removes all but the newest two. Returns its SHA-256. */
  async write(sequence: number, chunks: readonly Uint8Array[]): Promise<Uint8Array> {
    const path = this.#path(sequence);
    const aside = `${path}.new`;
    const file = await this.#disk.open(aside, { create: true });
    const digest = incremental('sha256');
    let at = 0;
    try {
      await file.truncate(0);
      const put = async (...parts: Uint8Array[]): Promise<void> => {
        for (const part of parts) digest.update(part);
        await file.writeAt(at, parts);
        at += parts.reduce((sum, part) => sum + part.length, 0);
      };
      await put(this.#head(sequence, chunks.length));
      for (const chunk of chunks) await put(u32be(chunk.length), chunk);
      await file.writeAt(at, [digest.digest()]);
      await file.datasync();
    } finally {
      await file.close();
    }
    await this.#disk.rename(aside, path);
    await this.#disk.syncFolder(this.#folder);
    const back = await this.#read(sequence);
    for (const old of (await this.#sequences()).slice(0, -KEPT)) await this.#disk.remove(this.#path(old));
    return back.digest;
  }

  #path(sequence: number): string {
    return `${this.#folder}/snapshot-${String(sequence).padStart(15, '0')}.snap`;
  }

  async #sequences(): Promise<number[]> {
    const names = await this.#disk.list(this.#folder);
    return names.flatMap((name) => {
      const match = /^snapshot-(\d{15})\.snap$/.exec(name);
      return match?.[1] === undefined ? [] : [Number(match[1])];
    });
  }

  #head(sequence: number, chunkCount: number): Uint8Array {
    const head = new Uint8Array(HEAD_BYTES);
    head.set(MAGIC, 0);
    head[8] = FORMAT_VERSION;
    head.set(this.#journalId, 16);
    const view = new DataView(head.buffer);
    view.setBigUint64(32, BigInt(sequence));
    view.setUint32(40, chunkCount);
    return head;
  }

  async #read(sequence: number): Promise<{ snapshot: Snapshot; digest: Uint8Array }> {
    const path = this.#path(sequence);
    const file = await this.#disk.open(path);
    try {
      const size = await file.size();
      if (size < HEAD_BYTES + DIGEST_BYTES) throw corrupt(path);
      const bytes = new Uint8Array(size);
      for (let at = 0; at < size; at += READ_BYTES) bytes.set(await file.readAt(at, Math.min(READ_BYTES, size - at)), at);
      const state = incremental('sha256');
      state.update(bytes.subarray(0, size - DIGEST_BYTES));
      const digest = state.digest();
      if (!equal(digest, bytes.subarray(size - DIGEST_BYTES))) throw corrupt(path);
      const view = new DataView(bytes.buffer);
      if (bytes[8] !== FORMAT_VERSION) {
        throw new OperationError('LOST_STATE', `${path} has format version ${bytes[8]}; this version knows ${FORMAT_VERSION}.`, {
          remedy: 'Run the version that wrote this folder.',
        });
      }
      if (!equal(bytes.subarray(0, HEAD_BYTES), this.#head(sequence, view.getUint32(40)))) throw corrupt(path);
      return { snapshot: { sequence, chunks: chunksOf(bytes, view, path) }, digest };
    } finally {
      await file.close();
    }
  }
}

function chunksOf(bytes: Uint8Array, view: DataView, path: string): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  let at = HEAD_BYTES;
  for (let i = 0; i < view.getUint32(40); i += 1) {
    const length = view.getUint32(at);
    chunks.push(bytes.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  if (at !== bytes.length - DIGEST_BYTES) throw corrupt(path);
  return chunks;
}

function corrupt(path: string): OperationError {
  return new OperationError('CORRUPT', `${path} does not match its digest.`);
}
