/**
 * The rows of the controller's inventory: how their keys sort and what their values hold. It knows versions by
 * their hashes and keys by their ids; names and data keys it has none. All of it is a view of the nodes' logs
 * and can be made again from them.
 *
 * | key | value |
 * |---|---|
 * | `v` manifestHash | a live certified version: what it keeps, and which slots are confirmed to hold it |
 * | `k` keyId stamp | manifestHash of such a version |
 * | `q` keyId | the stamp below which every version of the key has ended |
 * | `r` keyId stamp | nothing; that this version has ended, wherever its certificate still turns up |
 * | `n` contentId manifestHash | at which place the version names the content: 0 its own, else a part |
 * | `c` manifestHash place | a part of a version that is a list of contents |
 * | `h` manifestHash place stripe slot | a cell that is lost, or not known to be there |
 * | `p` manifestHash | the slots whose logs say that they prepared a version that is not certified yet |
 * | `g` stageId | the slots whose logs say that they staged a content, and which |
 * | `m` manifestHash | a certificate that a log has named and no node has given yet |
 * | `w` due kind id | what is to be looked at then: `v` a new version, `p` and `g` rows that may go |
 * | `t` slot | how far that slot's log was followed |
 * | `a` slot | the audit of that slot |
 */
import { z } from 'zod';
import { concat, u32be, utf8 } from '../../base/bytes.ts';
import { OperationError } from '../../base/errors.ts';
import { decodeOwn, encode, hash32, id16, uint } from '../../protocol/encoding.ts';
import { MANIFEST_KINDS } from '../../protocol/manifest.ts';
import type { ManifestKind } from '../../protocol/manifest.ts';
import { stampSchema } from '../../protocol/stamp.ts';
import type { Stamp } from '../../protocol/stamp.ts';
import { stripeCount } from '../../protocol/stripes.ts';
import type { Layout } from '../../protocol/stripes.ts';

export const PREFIX = {
  version: utf8('v'),
  key: utf8('k'),
  floor: utf8('q'),
  removed: utf8('r'),
  content: utf8('n'),
  part: utf8('c'),
  hole: utf8('h'),
  prepared: utf8('p'),
  stage: utf8('g'),
  missing: utf8('m'),
  watch: utf8('w'),
  tail: utf8('t'),
  audit: utf8('a'),
} as const;

/** The format stands in this row; an inventory of any other is thrown away and made anew. */
export const FORMAT_KEY: Uint8Array = utf8('f');
export const FORMAT: Uint8Array = Uint8Array.of(1);

/** A live version. */
export interface VersionRow {
  readonly keyId: Uint8Array;
  readonly stamp: Stamp;
  readonly kind: ManifestKind;
  readonly contentId: Uint8Array;
  readonly k: number;
  readonly cellBytes: number;
  readonly size: number;
  /** The stage that the content rests on (13.7): there a slot's PREPARED alone does not say that it holds it. */
  readonly stageId: Uint8Array | null;
  /** When the inventory took it in, Unix milliseconds. */
  readonly seenMs: number;
  /** Bit i: slot i is confirmed to hold every cell of it. */
  readonly confirmed: number;
  /** Rows `h` of each slot. */
  readonly holes: readonly number[];
  /** Parts of a TABLE; null: its table was not read yet. Others have none. */
  readonly parts: number | null;
  /** Cells that one slot keeps for it, a body or table counted as one. */
  readonly cells: number;
}

/** A content, and how it is cut; null: one body that every slot keeps whole. */
export interface KeptContent {
  readonly contentId: Uint8Array;
  readonly layout: Layout | null;
}

/** Not known whether it is there; known to be lost; given back, and not yet audited. */
export const HOLE_STATES = ['UNKNOWN', 'LOST', 'REPAIRED'] as const;
export type HoleState = (typeof HOLE_STATES)[number];

export interface HolePlace {
  /** 0: the version's own content; else that part. */
  readonly place: number;
  /** WHOLE_CONTENT: the slot may not have the content at all. */
  readonly stripe: number;
  readonly slot: number;
}

export interface Hole extends HolePlace {
  readonly state: HoleState;
}

/** Sorts before all stripes: a slot without the content needs it as a whole. */
export const WHOLE_CONTENT = -1;

export interface MissingRow {
  readonly keyId: Uint8Array;
  readonly stamp: Stamp;
  readonly slot: number;
}

export interface StageRow {
  readonly contentId: Uint8Array;
  readonly slots: number;
}

const versionSchema: z.ZodType<VersionRow> = z.strictObject({
  keyId: hash32,
  stamp: stampSchema,
  kind: z.enum(MANIFEST_KINDS),
  contentId: hash32,
  k: uint,
  cellBytes: uint,
  size: uint,
  stageId: id16.nullable(),
  seenMs: uint,
  confirmed: uint,
  holes: z.array(uint),
  parts: uint.nullable(),
  cells: uint,
});
const partSchema = z.strictObject({ contentId: hash32, k: uint, cellBytes: uint, size: uint, n: uint });
export type PartRow = z.infer<typeof partSchema>;
const missingSchema: z.ZodType<MissingRow> = z.strictObject({ keyId: hash32, stamp: stampSchema, slot: uint });
const stageSchema: z.ZodType<StageRow> = z.strictObject({ contentId: hash32, slots: uint });

function opened<T>(schema: z.ZodType<T>, bytes: Uint8Array): T {
  const decoded = decodeOwn(schema, bytes);
  if (decoded.ok) return decoded.value;
  throw new OperationError('CORRUPT', `The inventory holds a damaged row: ${decoded.reason}.`, { remedy: 'Remove its folder; it is made again from the logs.' });
}

export const encodeVersion = (row: VersionRow): Uint8Array => encode(row);
export const openVersion = (bytes: Uint8Array): VersionRow => opened(versionSchema, bytes);
export const encodePart = (row: PartRow): Uint8Array => encode(row);
export const openPart = (bytes: Uint8Array): PartRow => opened(partSchema, bytes);
export const encodeMissing = (row: MissingRow): Uint8Array => encode(row);
export const openMissing = (bytes: Uint8Array): MissingRow => opened(missingSchema, bytes);
export const encodeStage = (row: StageRow): Uint8Array => encode(row);
export const openStage = (bytes: Uint8Array): StageRow => opened(stageSchema, bytes);
export const encodeBits = (bits: number): Uint8Array => u32be(bits);
export const openBits = (bytes: Uint8Array | undefined): number => (bytes?.length === 4 ? new DataView(bytes.buffer, bytes.byteOffset).getUint32(0) : 0);

/** Big endian, so that it sorts; up to 2^48 - 1. */
export function u48be(value: number): Uint8Array {
  const out = new Uint8Array(8);
  new DataView(out.buffer).setBigUint64(0, BigInt(value));
  return out.subarray(2);
}

export function readU48(bytes: Uint8Array, at: number): number {
  let value = 0;
  for (let i = 0; i < 6; i += 1) value = value * 256 + (bytes[at + i] ?? 0);
  return value;
}

function u64be(value: number): Uint8Array {
  const out = new Uint8Array(8);
  new DataView(out.buffer).setBigUint64(0, BigInt(value));
  return out;
}

export const stampKey = ({ gen, counter, writerId }: Stamp): Uint8Array => concat(u64be(gen), u64be(counter), writerId);
export const versionKey = (hash: Uint8Array): Uint8Array => concat(PREFIX.version, hash);
export const keyKey = (keyId: Uint8Array, stamp: Stamp): Uint8Array => concat(PREFIX.key, keyId, stampKey(stamp));
export const floorKey = (keyId: Uint8Array): Uint8Array => concat(PREFIX.floor, keyId);
export const removedKey = (keyId: Uint8Array, stamp: Stamp): Uint8Array => concat(PREFIX.removed, keyId, stampKey(stamp));
export const contentKey = (contentId: Uint8Array, hash: Uint8Array): Uint8Array => concat(PREFIX.content, contentId, hash);
export const partKey = (hash: Uint8Array, place: number): Uint8Array => concat(PREFIX.part, hash, u32be(place));
export const preparedKey = (hash: Uint8Array): Uint8Array => concat(PREFIX.prepared, hash);
export const stageKey = (stageId: Uint8Array): Uint8Array => concat(PREFIX.stage, stageId);
export const missingKey = (hash: Uint8Array): Uint8Array => concat(PREFIX.missing, hash);
export const tailKey = (slot: number): Uint8Array => concat(PREFIX.tail, Uint8Array.of(slot));
export const auditKey = (slot: number): Uint8Array => concat(PREFIX.audit, Uint8Array.of(slot));
export const watchKey = (dueMs: number, kind: 'v' | 'p' | 'g', id: Uint8Array): Uint8Array => concat(PREFIX.watch, u48be(dueMs), utf8(kind), id);

export function holeKey(hash: Uint8Array, { place, stripe, slot }: HolePlace): Uint8Array {
  return concat(PREFIX.hole, hash, u32be(place), u48be(stripe + 1), Uint8Array.of(slot));
}

export function holeAt(key: Uint8Array): HolePlace {
  const at = PREFIX.hole.length + 32;
  const place = new DataView(key.buffer, key.byteOffset).getUint32(at);
  return { place, stripe: readU48(key, at + 4) - 1, slot: key[at + 10] ?? 0 };
}

export const encodeHoleState = (state: HoleState): Uint8Array => Uint8Array.of(HOLE_STATES.indexOf(state));
export const openHoleState = (bytes: Uint8Array): HoleState => HOLE_STATES[bytes[0] ?? 0] ?? 'UNKNOWN';

/** All keys that begin so. */
export function under(prefix: Uint8Array): { readonly gte: Uint8Array; readonly lt: Uint8Array } {
  const lt = prefix.slice();
  let end = lt.length;
  while (end > 0 && lt[end - 1] === 255) end -= 1;
  if (end > 0) lt[end - 1] = (lt[end - 1] ?? 0) + 1;
  return { gte: prefix, lt: lt.subarray(0, end) };
}

/** The version's own content. */
export function ownContent(row: VersionRow, n: number): KeptContent {
  const { contentId, k, cellBytes, size } = row;
  return { contentId, layout: row.kind === 'DATA' ? { k, n, cellBytes, size } : null };
}

export function cellsOf({ layout }: KeptContent): number {
  return layout === null ? 1 : stripeCount(layout);
}

export const hasContent = ({ kind }: Pick<VersionRow, 'kind'>): boolean => kind === 'DATA' || kind === 'INLINE' || kind === 'TABLE';
