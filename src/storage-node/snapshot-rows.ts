/**
 * The rows of a snapshot (spec/formats/node-records.md): versions, stamps and contents in packed form. What
 * many rows repeat (bucket, gateway, writer) is kept once and named by its place.
 */
import { assert } from '../base/assert.ts';
import { equal, mapKey } from '../base/bytes.ts';
import { decodeAttributes, encodeAttributes } from '../protocol/attributes.ts';
import type { Attributes } from '../protocol/attributes.ts';
import type { LockMode, ManifestKind } from '../protocol/manifest.ts';
import type { Stamp } from '../protocol/stamp.ts';
import { malformed } from './packed.ts';
import type { PackedReader, PackedWriter } from './packed.ts';
import type { ContentRecord } from './records.ts';
import type { Version, VersionSlot } from './register.ts';

/** Their places are part of the format: new ones are added behind. */
const KINDS: readonly ManifestKind[] = ['DATA', 'INLINE', 'TABLE', 'TOMBSTONE', 'REMOVE'];
const LOCK_MODES: readonly LockMode[] = ['NONE', 'GOVERNANCE', 'COMPLIANCE'];
/** In place of a count: every version before. */
const ALL = 0xffff_ffff;
/** In place of a length: the bytes are those of the content's own id, as for most contents and versions. */
const OWN_ID = 0xffff_ffff;

/** Collects repeated byte strings. */
export class Names {
  readonly #places = new Map<string, number>();
  readonly #names: Uint8Array[] = [];

  placeOf(name: Uint8Array): number {
    const key = mapKey(name);
    let place = this.#places.get(key);
    if (place === undefined) {
      place = this.#names.length;
      this.#places.set(key, place);
      this.#names.push(name);
    }
    return place;
  }

  all(): Uint8Array[] {
    return this.#names;
  }
}

function nameAt(names: readonly Uint8Array[], place: number): Uint8Array {
  const name = names[place];
  if (name === undefined) throw malformed();
  return name;
}

export function writeStamp(out: PackedWriter, names: Names, { gen, counter, writerId }: Stamp): void {
  out.uint(gen);
  out.uint(counter);
  out.u32(names.placeOf(writerId));
}

export function readStamp(row: PackedReader, names: readonly Uint8Array[]): Stamp {
  return { gen: row.uint(), counter: row.uint(), writerId: nameAt(names, row.u32()) };
}

/** All of a version but its key, which stands before it. */
export function writeVersion(out: PackedWriter, names: Names, version: Version): void {
  assert(version.at !== null, 'what a snapshot names is durable');
  out.bytes(version.hash);
  out.bytes(version.contentId);
  writeStamp(out, names, version.stamp);
  out.u32(names.placeOf(version.bucketId));
  out.u32(names.placeOf(version.gatewayId));
  out.u32(KINDS.indexOf(version.kind));
  out.uint(version.bytes);
  out.index(version.preparedIndex);
  out.uint(version.preparedIncarnation);
  out.index(version.committedIndex);
  out.u32(version.at.segment);
  out.u32(version.at.offset);
  out.u32(version.at.length);
  writeIds(out, version.binds, version.contentId);
  writeSlot(out, names, version.slot);
}

/** What a snapshot's rows are read with. */
export interface RowContext {
  readonly names: readonly Uint8Array[];
  /** Earlier snapshots say nothing of slots. */
  readonly hasSlots: boolean;
}

export function readVersion(row: PackedReader, { names, hasSlots }: RowContext, keyId: Uint8Array): Version {
  const hash = row.bytes(32);
  const contentId = row.bytes(32);
  const stamp = readStamp(row, names);
  const bucketId = nameAt(names, row.u32());
  const gatewayId = nameAt(names, row.u32());
  const kind = KINDS[row.u32()];
  if (kind === undefined) throw malformed();
  return {
    hash,
    keyId,
    bucketId,
    stamp,
    kind,
    gatewayId,
    contentId,
    bytes: row.uint(),
    preparedIndex: row.index(),
    preparedIncarnation: row.uint(),
    committedIndex: row.index(),
    at: { segment: row.u32(), offset: row.u32(), length: row.u32() },
    binds: readIds(row, contentId),
    durable: SETTLED,
    slot: hasSlots ? readSlot(row, names) : null,
  };
}

function writeSlot(out: PackedWriter, names: Names, slot: VersionSlot | null): void {
  out.u32(slot === null ? 0 : 1);
  if (slot === null) return;
  out.bytes(slot.prev);
  out.sized(slot.stageId ?? new Uint8Array(0));
  out.u32(LOCK_MODES.indexOf(slot.lockMode));
  out.u32(slot.legalHold ? 1 : 0);
  out.uint(slot.retainUntil);
  out.sized(slot.attributes === null ? new Uint8Array(0) : encodeAttributes(slot.attributes));
  out.u32(slot.removes === 'ALL' ? ALL : slot.removes.length);
  if (slot.removes !== 'ALL') for (const stamp of slot.removes) writeStamp(out, names, stamp);
}

function readSlot(row: PackedReader, names: readonly Uint8Array[]): VersionSlot | null {
  if (row.u32() === 0) return null;
  const prev = row.bytes(32);
  const stageId = row.sized();
  const lockMode = LOCK_MODES[row.u32()];
  if (lockMode === undefined) throw malformed();
  const legalHold = row.u32() === 1;
  const retainUntil = row.uint();
  const attributes = readAttributes(row.sized());
  const count = row.u32();
  const removes = count === ALL ? 'ALL' : rowsOf(count, () => readStamp(row, names));
  return { prev, stageId: stageId.length === 0 ? null : stageId, lockMode, legalHold, retainUntil, removes, attributes };
}

function readAttributes(bytes: Uint8Array): Attributes | null {
  if (bytes.length === 0) return null;
  const decoded = decodeAttributes(bytes);
  if (!decoded.ok) throw malformed();
  return decoded.value;
}

/** As many rows as was said; a wrong number ends with the bytes, before it costs memory. */
export function rowsOf<T>(count: number, read: () => T): T[] {
  const rows: T[] = [];
  for (let left = count; left > 0; left -= 1) rows.push(read());
  return rows;
}

const SETTLED = Promise.resolve();

export function writeContent(out: PackedWriter, content: ContentRecord): void {
  out.bytes(content.contentId);
  out.u32(content.shape === 'CELLS' ? 0 : 1);
  out.u32(content.k);
  out.u32(content.n);
  out.u32(content.cellBytes);
  out.uint(content.size);
  out.sized(content.cells);
  out.sized(content.blocks);
  writeIds(out, content.blockRoots, content.contentId);
}

export function readContent(row: PackedReader): ContentRecord {
  const contentId = row.bytes(32);
  return {
    contentId,
    shape: row.u32() === 0 ? 'CELLS' : 'BLOB',
    k: row.u32(),
    n: row.u32(),
    cellBytes: row.u32(),
    size: row.uint(),
    cells: row.sized(),
    blocks: row.sized(),
    blockRoots: readIds(row, contentId),
  };
}

function writeIds(out: PackedWriter, ids: Uint8Array, own: Uint8Array): void {
  if (equal(ids, own)) out.u32(OWN_ID);
  else out.sized(ids);
}

function readIds(row: PackedReader, own: Uint8Array): Uint8Array {
  const length = row.u32();
  return length === OWN_ID ? own : row.bytes(length);
}
