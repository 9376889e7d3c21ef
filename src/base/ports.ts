/**
 * Ports: the only doors through which protocol code reaches time, randomness, disk, network and
 * telemetry. platform/ implements them for real processes, sim/ for simulated ones; each port has a
 * contract suite that every implementation runs.
 */

export interface Clock {
  /** Milliseconds since 1970, as this process believes; may jump. Only retention, logs and display use it. */
  nowMs(): number;
  /** Milliseconds from an arbitrary start; never goes back. Deadlines use it. */
  monotonicMs(): number;
  /** Calls back once after `delayMs`; the timer does not keep the process alive by itself. */
  after(delayMs: number, action: () => void): Timer;
  /** Resolves after `delayMs`; rejects with CANCELLED when the signal aborts first. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>;
}

export interface Timer {
  cancel(): void;
}

export interface Random {
  /** Unpredictable bytes (predictable from the seed in simulation). */
  bytes(count: number): Uint8Array;
}

/** One open file. Offsets and lengths are bytes. Operations on one file may overlap; the caller orders what must be ordered. */
export interface DiskFile {
  readonly path: string;
  size(): Promise<number>;
  /** Makes the file `bytes` long with its blocks allocated, so that later overwrites need no metadata. New bytes read as zero. */
  preallocate(bytes: number): Promise<void>;
  /** Writes all of the parts one after the other from `offset`. Durable only after `datasync`. Errors: DISK_FULL, DISK_READ_ONLY, DISK_ERROR. */
  writeAt(offset: number, parts: readonly Uint8Array[]): Promise<void>;
  /** Reads exactly `length` bytes or throws CORRUPT when the file ends before. */
  readAt(offset: number, length: number): Promise<Uint8Array>;
  /** On return all earlier completed writes of this file survive a power loss. */
  datasync(): Promise<void>;
  truncate(bytes: number): Promise<void>;
  close(): Promise<void>;
}

export interface DiskSpace {
  readonly totalBytes: number;
  readonly freeBytes: number;
}

/** A folder tree. Paths are relative to the disk's root, with `/`. */
export interface Disk {
  /** Opens a file for reading and writing; NOT_FOUND unless it exists or `create` is set. */
  open(path: string, options?: { readonly create?: boolean }): Promise<DiskFile>;
  /** Names in a folder, sorted; empty when the folder does not exist. */
  list(folder: string): Promise<readonly string[]>;
  exists(path: string): Promise<boolean>;
  makeFolder(path: string): Promise<void>;
  remove(path: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  /** On return creations, renames and removals directly inside the folder survive a power loss. */
  syncFolder(path: string): Promise<void>;
  /** The whole file, at most `maxBytes` (TOO_LARGE above). NOT_FOUND when absent. */
  readFile(path: string, maxBytes: number): Promise<Uint8Array>;
  /** Replaces the file atomically and durably: write aside, sync, rename, sync the folder. `mode` is the Unix permission. */
  writeFile(path: string, bytes: Uint8Array, options?: { readonly mode?: number }): Promise<void>;
  space(): Promise<DiskSpace>;
}

/** An ordered map from byte strings to byte strings; a view that can be rebuilt, never the truth. Keys in lexicographic order of unsigned bytes. */
export interface KeyValueStore {
  get(key: Uint8Array): Promise<Uint8Array | undefined>;
  /** Applies all or nothing. With `sync`, durable on return. */
  batch(operations: readonly KeyValueOperation[], options?: { readonly sync?: boolean }): Promise<void>;
  /** Entries with `gte <= key < lt`, in order, at most `limit`; `reverse` gives the last ones first. */
  range(options: KeyValueRange): AsyncIterable<readonly [Uint8Array, Uint8Array]>;
  clear(): Promise<void>;
  close(): Promise<void>;
}

export type KeyValueOperation =
  | { readonly type: 'put'; readonly key: Uint8Array; readonly value: Uint8Array }
  | { readonly type: 'del'; readonly key: Uint8Array };

export interface KeyValueRange {
  readonly gte?: Uint8Array;
  readonly lt?: Uint8Array;
  readonly limit?: number;
  readonly reverse?: boolean;
}

/**
 * One message: `body` is a canonical encoding, `payload` raw bytes (cells) beside it. A receiver may keep
 * either; the sender must not change them after handing them over.
 */
export interface Frame {
  readonly body: Uint8Array;
  readonly payload: Uint8Array;
}

/** Who is at the other end: the raw 32-byte Ed25519 public key of its TLS certificate, in hex. */
export type PeerKey = string;

export interface RequestOptions {
  /** Rejects with TIMEOUT after this long; the request may still have been carried out. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

/** The asking end. Many requests may be under way at once; answers come in any order. */
export interface Channel {
  readonly peer: PeerKey;
  /** Errors: UNREACHABLE (nothing was sent), DISCONNECTED and TIMEOUT (it may have been carried out), FOREIGN_PEER, TOO_LARGE, CANCELLED. Dials when not connected. */
  request(frame: Frame, options: RequestOptions): Promise<Frame>;
  /** Called with each frame that the peer sends unasked, with the number of the connection (grows with each redial). */
  onNotice(listener: (frame: Frame, connection: number) => void): void;
  /** Number of the present connection; a change means that a redial lost all that belonged to the old one. */
  readonly connection: number;
  close(): Promise<void>;
}

/** The answering end of one connection, alive until `closed`. */
export interface PeerConnection {
  readonly peer: PeerKey;
  readonly id: number;
  /** Sends a frame unasked; dropped silently when the connection is gone. */
  notify(frame: Frame): void;
  onClose(listener: () => void): void;
}

export type FrameHandler = (from: PeerConnection, frame: Frame) => Promise<Frame>;

export interface Transport {
  /** A channel to the peer that must show `peer` as its key. Does not dial before the first request. */
  open(address: string, peer: PeerKey): Channel;
}

export type Labels = Readonly<Record<string, string>>;

export interface Telemetry {
  count(name: string, labels?: Labels, by?: number): void;
  /** One structured event; fields must hold no secrets and no names of objects. */
  event(level: 'debug' | 'info' | 'warn' | 'error', name: string, fields?: Readonly<Record<string, unknown>>): void;
}
