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

/** Cells are multiples of this: the width that the erasure kernels work in. */
export const CELL_ALIGN_BYTES = 64;
/** Default cell: 0.1 % of matrix overhead at n = 6, hashed at full speed (performance.md A). */
export const CELL_BYTES_DEFAULT = 192 * KiB;
export const CELL_BYTES_MAX = 1024 * KiB - 64;

/** Sealed bytes that stay in one piece on every node beside the manifest instead of being coded. */
export const INLINE_BYTES_MAX = 4 * KiB;
/** Sealed name and metadata: 1 KiB of name, 2 KiB of user metadata, headers, checksums. */
export const ENC_META_BYTES_MAX = 8 * KiB;
/** Parts of one multipart object, as in S3. */
export const PART_COUNT_MAX = 10_000;

/** Leaves in one answer to CHANGES. */
export const CHANGES_LEAVES_MAX = 1000;
/** Certificates in one answer to CERTS, keys in one SHOWN. */
export const CERTS_BATCH_MAX = 32;
export const SHOWN_BATCH_MAX = 512;

/** Uploaded cells that no manifest has bound are dropped after this long (13.4). */
export const UNBOUND_CELLS_MS = 10 * 60_000;
/** A read lease delays garbage collection by at most this (6.3). */
export const LEASE_MS_MAX = 15 * 60_000;

assert(CELL_BYTES_DEFAULT % CELL_ALIGN_BYTES === 0, 'cells are aligned');
assert(CELL_BYTES_MAX % CELL_ALIGN_BYTES === 0, 'cells are aligned');
assert(CELL_BYTES_MAX <= FRAME_PAYLOAD_BYTES_MAX, 'a cell fits one frame');
assert(INLINE_BYTES_MAX <= FRAME_PAYLOAD_BYTES_MAX, 'an inline body fits one frame');
