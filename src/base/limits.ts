/**
 * Every bound of Holdfast in one place, with the reason for it. Relations between bounds are asserted when
 * this file loads. Sizes are bytes, times milliseconds.
 */
import { assert } from './assert.ts';

const KiB = 1024;
const MiB = 1024 * KiB;

/** One frame's encoded body: large enough for a certificate of 16 receipts and for 1,000 log leaves. */
export const FRAME_BODY_BYTES_MAX = MiB;
/** One frame's raw payload: several cells or one part table. */
export const FRAME_PAYLOAD_BYTES_MAX = MiB;

/**
 * Bounds of one end of a connection between processes. They hold against a peer that the configuration
 * names but that is Byzantine; who is not named never gets past the handshake.
 */
export interface TransportLimits {
  /** From the accepted or dialled connection to the greeting of the other end. */
  readonly handshakeMs: number;
  /** From the first to the last byte of one frame: a megabyte at 35 KB/s, so that a trickle is cut. */
  readonly frameMs: number;
  /** No progress of unsent bytes for so long: the other end does not read. */
  readonly writeStallMs: number;
  /** Nothing arrived for so long although requests were given up: the path is dead, dial anew. */
  readonly silenceMs: number;
  /** Neither end sent anything and nothing is asked: the connection is closed. */
  readonly idleMs: number;
  /** After a failed dial requests fail at once for this long, doubled with each failure. */
  readonly backoffMinMs: number;
  readonly backoffMaxMs: number;
  /** In-flight responses may finish for so long when a listener closes. */
  readonly drainMs: number;
  /** Requests of one connection that are being answered; above, its socket is not read. */
  readonly requestsInFlight: number;
  readonly requestBytesInFlight: number;
  /** Bytes queued for the other end above which no more is read (listener) or written (channel). */
  readonly unsentBytesHigh: number;
  /** Bytes queued above which the connection is given up: answers to what was read before may pass `High`. */
  readonly unsentBytesMax: number;
  /** Requests that wait in a channel, before BUSY. */
  readonly queuedRequests: number;
  readonly queuedBytes: number;
  /** Connections of one listener: greeted, and not yet greeted (above, the oldest of these is dropped). */
  readonly connections: number;
  readonly handshakes: number;
  /** Above, the oldest connection of that peer is closed: after a crash it cannot be told from a dead one. */
  readonly connectionsPerPeer: number;
}

export const TRANSPORT_LIMITS: TransportLimits = {
  handshakeMs: 10_000,
  frameMs: 60_000,
  writeStallMs: 60_000,
  silenceMs: 15_000,
  idleMs: 15 * 60_000,
  backoffMinMs: 100,
  backoffMaxMs: 3_000,
  drainMs: 2_000,
  requestsInFlight: 256,
  requestBytesInFlight: 64 * MiB,
  unsentBytesHigh: 4 * MiB,
  unsentBytesMax: 128 * MiB,
  queuedRequests: 4096,
  queuedBytes: 256 * MiB,
  connections: 1024,
  handshakes: 128,
  connectionsPerPeer: 4,
};

/** Cells are multiples of this: the width that the erasure kernels work in. */
export const CELL_ALIGN_BYTES = 64;
/** Default cell: 0.1 % of matrix overhead at n = 6, hashed at full speed (performance.md A). */
export const CELL_BYTES_DEFAULT = 192 * KiB;
export const CELL_BYTES_MAX = 1024 * KiB - 64;

/** Sealed bytes that stay in one piece on every node beside the manifest instead of being coded. */
export const INLINE_BYTES_MAX = 4 * KiB;
/**
 * Sealed name and metadata: 1 KiB of name, 2 KiB of user metadata, headers, checksums; ten tags of 128 and 256
 * characters, up to 15 KiB of UTF-8; an access control list of a hundred grants, as much again.
 */
export const ENC_META_BYTES_MAX = 48 * KiB;
/** Parts of one multipart object, as in S3. */
export const PART_COUNT_MAX = 10_000;

/** Unix milliseconds: the last that a Date holds (ECMA-262, time values). */
export const TIME_MS_MAX = 8.64e15;

/** Leaves in one answer to CHANGES. */
export const CHANGES_LEAVES_MAX = 1000;
/** Certificates in one answer to CERTS, keys in one SHOWN. */
export const CERTS_BATCH_MAX = 32;
export const SHOWN_BATCH_MAX = 512;
/** Stages that one answer lists. */
export const STAGES_BATCH_MAX = 64;
/** Replies under one owed signature (13.5). */
export const REPLIES_BATCH_MAX = 4096;
/** How long a node may owe the signature of a reply. */
export const REPLIES_OWED_MS = 100;

/** Uploaded cells that no manifest has bound are dropped after this long (13.4). */
export const UNBOUND_CELLS_MS = 10 * 60_000;
/** A read lease delays garbage collection by at most this (6.3). */
export const LEASE_MS_MAX = 15 * 60_000;

assert(CELL_BYTES_DEFAULT % CELL_ALIGN_BYTES === 0, 'cells are aligned');
assert(CELL_BYTES_MAX % CELL_ALIGN_BYTES === 0, 'cells are aligned');
assert(CELL_BYTES_MAX <= FRAME_PAYLOAD_BYTES_MAX, 'a cell fits one frame');
assert(INLINE_BYTES_MAX <= FRAME_PAYLOAD_BYTES_MAX, 'an inline body fits one frame');
assert(
  TRANSPORT_LIMITS.requestBytesInFlight > FRAME_BODY_BYTES_MAX + FRAME_PAYLOAD_BYTES_MAX,
  'the largest request fits',
);
assert(TRANSPORT_LIMITS.unsentBytesMax > TRANSPORT_LIMITS.unsentBytesHigh, 'reading stops before the end');
