/**
 * The registry of log entry types (protocol 10, 13.8). A leaf of a node's log is one type byte, then the
 * canonical body of that type (protocol/log-entries.ts holds the schemas). Numbers are part
 * of the format: they are never changed or used again. Byte 0 is no type, so zeroed disk is no entry.
 */
import { concat } from '../base/bytes.ts';
import { OperationError } from '../base/errors.ts';
import { LEAF_BYTES_MAX } from '../protocol/log-entries.ts';

export const ENTRY_TYPES = {
  /** The node accepted a manifest: body of the receipt. */
  PREPARED: 1,
  /** The node holds a certificate: manifestHash, keyId, stamp, kind. */
  COMMITTED: 2,
  /** A content or version was let go, and by which certificate. */
  EVICT: 3,
  /** An abort licence released a stamp (6.7). */
  ABORT: 4,
  /** The node adopted a configuration document (9). */
  ADOPT: 5,
  /** A new incarnation began (13.9). */
  BOOT: 6,
  /** An audit was answered. */
  AUDIT: 7,
  /** A content is bound to an upload without a manifest (13.7). */
  STAGED: 8,
  /** The node will never accept a manifest for this stamp (6.7). */
  NEVER: 9,
  /** Cells that the node should hold are gone or damaged (13.10). */
  HOLE: 10,
  /** Cells of a HOLE are back. */
  REPAIRED: 11,
  /** A bucket record was adopted (13.2). */
  RECORD: 12,
  /** A certificate of an older epoch was renewed (9). */
  RENEW: 13,
  /** Rate-limited summary of refused requests (13.8). */
  REFUSED: 14,
  /** The register state at a size was written to disk and read back (13.8). */
  SNAPSHOT: 15,
  /** A writer is revoked. */
  REVOKED: 16,
} as const satisfies Record<string, number>;

export type EntryType = keyof typeof ENTRY_TYPES;

const byByte = new Map<number, EntryType>(
  (Object.keys(ENTRY_TYPES) as EntryType[]).map((type) => [ENTRY_TYPES[type], type]),
);

export interface Entry {
  readonly type: EntryType;
  /** Canonical body, not yet parsed. */
  readonly body: Uint8Array;
}

/** The leaf: type byte || body. Throws TOO_LARGE above LEAF_BYTES_MAX, which every reader enforces. */
export function encodeEntry(type: EntryType, body: Uint8Array): Uint8Array {
  if (1 + body.length > LEAF_BYTES_MAX) {
    throw new OperationError('TOO_LARGE', `a ${type} entry of ${body.length} bytes does not fit a log leaf`);
  }
  return concat(new Uint8Array([ENTRY_TYPES[type]]), body);
}

/**
 * Reads a leaf that may come from anyone: null when empty, too large or of an unknown type. `body` is a view.
 */
export function decodeEntry(leaf: Uint8Array): Entry | null {
  if (leaf.length > LEAF_BYTES_MAX) return null;
  const type = byByte.get(leaf[0] ?? 0);
  return type === undefined ? null : { type, body: leaf.subarray(1) };
}

