/**
 * The contents a node holds: the cells of one hash matrix, or one blob (inline body, part table). Cells are
 * kept by content, and contents are shared by manifests (protocol 13.3): a content stays while any bound
 * version names it. References are derived from versions, never a stored counter. A content that nothing
 * names is quarantined before its space is given back.
 */
import { assert } from '../base/assert.ts';
import { mapKey } from '../base/bytes.ts';
import { FRAME_PAYLOAD_BYTES_MAX } from '../base/limits.ts';
import type { Pointer } from '../journal/pointer.ts';
import type { Manifest } from '../protocol/manifest.ts';
import type { Layout } from '../protocol/stripes.ts';
import { fragmentBytes, stripeCount } from '../protocol/stripes.ts';
import { extentAt, extentCount, pointersOf } from './records.ts';
import type { ContentRecord } from './records.ts';

/** What a manifest, or a stage, says of its content. */
export type ContentTerms = Pick<Manifest, 'kind' | 'n' | 'k' | 'size' | 'cellBytes' | 'contentId'>;

export interface Content {
  readonly id: Uint8Array;
  readonly shape: 'CELLS' | 'BLOB';
  readonly layout: Layout;
  /** Packed extents of the cells in order of stripes, or of the one blob. Compaction replaces them. */
  cells: Uint8Array;
  /** Packed extents of blocks of 256 leaf hashes of the matrix; empty for a single stripe or a blob. */
  blocks: Uint8Array;
  readonly blockRoots: Uint8Array;
  /** Hashes of the versions that name it. */
  readonly boundBy: Set<string>;
  /** When nothing named it any more (monotonic ms); null while something does. */
  unboundAtMs: number | null;
}

export class Contents {
  readonly #byId = new Map<string, Content>();
  /** Which contents have pieces in a segment: what compaction must move. */
  readonly #bySegment = new Map<number, Set<Content>>();
  readonly #unbound = new Set<Content>();

  get count(): number {
    return this.#byId.size;
  }

  get(id: Uint8Array): Content | undefined {
    return this.#byId.get(mapKey(id));
  }

  all(): IterableIterator<Content> {
    return this.#byId.values();
  }

  inSegment(segment: number): readonly Content[] {
    return [...(this.#bySegment.get(segment) ?? [])];
  }

  /** Contents that no version names, with the time since when. */
  unbound(): readonly Content[] {
    return [...this.#unbound];
  }

  /** Takes a content in whose pieces are in the cell journal. Returns the pieces that are now of no use: those of a second copy. */
  add(record: ContentRecord, nowMs: number): Pointer[] {
    if (this.get(record.contentId) !== undefined) return [...pointersOf(record.cells), ...pointersOf(record.blocks)];
    const content: Content = {
      id: record.contentId,
      shape: record.shape,
      layout: { k: record.k, n: record.n, cellBytes: record.cellBytes, size: record.size },
      cells: record.cells,
      blocks: record.blocks,
      blockRoots: record.blockRoots,
      boundBy: new Set(),
      unboundAtMs: nowMs,
    };
    this.#byId.set(mapKey(content.id), content);
    this.#unbound.add(content);
    this.#index(content);
    return [];
  }

  bind(id: Uint8Array, versionHash: Uint8Array): void {
    const content = this.get(id);
    if (content === undefined) return;
    content.boundBy.add(mapKey(versionHash));
    content.unboundAtMs = null;
    this.#unbound.delete(content);
  }

  unbind(id: Uint8Array, versionHash: Uint8Array, nowMs: number): void {
    const content = this.get(id);
    if (content === undefined || !content.boundBy.delete(mapKey(versionHash))) return;
    if (content.boundBy.size > 0) return;
    content.unboundAtMs = nowMs;
    this.#unbound.add(content);
  }

  /** Forgets an unbound content. Returns its pieces. */
  free(content: Content): Pointer[] {
    assert(content.boundBy.size === 0, 'only what nothing names is freed');
    this.#byId.delete(mapKey(content.id));
    this.#unbound.delete(content);
    this.#unindex(content);
    return [...pointersOf(content.cells), ...pointersOf(content.blocks)];
  }

  /** Compaction copied the pieces: the new extents are served from now on. Returns the pieces left behind. */
  moved(record: ContentRecord): Pointer[] {
    const fresh = [...pointersOf(record.cells), ...pointersOf(record.blocks)];
    const content = this.get(record.contentId);
    if (content === undefined) return fresh;
    const kept = new Set(fresh.map(placeOf));
    const left = [...pointersOf(content.cells), ...pointersOf(content.blocks)].filter((p) => !kept.has(placeOf(p)));
    this.#unindex(content);
    content.cells = record.cells;
    content.blocks = record.blocks;
    this.#index(content);
    return left;
  }

  recordOf(content: Content): ContentRecord {
    return {
      contentId: content.id,
      shape: content.shape,
      k: content.layout.k,
      n: content.layout.n,
      cellBytes: content.layout.cellBytes,
      size: content.layout.size,
      cells: content.cells,
      blocks: content.blocks,
      blockRoots: content.blockRoots,
    };
  }

  /** All pieces of all contents: what is live after recovery. */
  *pieces(): Generator<Pointer> {
    for (const content of this.#byId.values()) {
      yield* pointersOf(content.cells);
      yield* pointersOf(content.blocks);
    }
  }

  #index(content: Content): void {
    for (const segment of segmentsOf(content)) {
      const set = this.#bySegment.get(segment);
      if (set === undefined) this.#bySegment.set(segment, new Set([content]));
      else set.add(content);
    }
  }

  #unindex(content: Content): void {
    for (const segment of segmentsOf(content)) {
      const set = this.#bySegment.get(segment);
      set?.delete(content);
      if (set?.size === 0) this.#bySegment.delete(segment);
    }
  }
}

function placeOf({ segment, offset }: Pointer): string {
  return `${segment}:${offset}`;
}

function segmentsOf(content: Content): Set<number> {
  const segments = new Set<number>();
  for (const packed of [content.cells, content.blocks]) {
    for (let i = 0; i < extentCount(packed); i += 1) segments.add(extentAt(packed, i).segment);
  }
  return segments;
}

/** Bytes that a content takes on this node. */
export function heldBytes(content: Content): number {
  let sum = 0;
  for (const packed of [content.cells, content.blocks]) {
    for (let i = 0; i < extentCount(packed); i += 1) sum += extentAt(packed, i).length;
  }
  return sum;
}

/** Bytes of a stripe on this node beside its cell: the row, and the record's frame. */
export function stripeOverheadBytes(slotCount: number): number {
  return 32 * slotCount + 64;
}

/**
 * Bytes that a version takes on this node, from its manifest alone, so that every node charges its writer
 * alike (P9). Rows count: otherwise tiny cells would take many times what they are charged.
 */
export function claimedBytes(manifest: ContentTerms): number {
  switch (manifest.kind) {
    case 'DATA':
      return fragmentBytes(manifest) + stripeCount(manifest) * stripeOverheadBytes(manifest.n);
    case 'INLINE':
      return manifest.size;
    case 'TABLE':
      // Its size is that of the object, whose parts are charged and certified one by one.
      return FRAME_PAYLOAD_BYTES_MAX;
    case 'TOMBSTONE':
    case 'REMOVE':
      return 0;
  }
}

/** Is every stripe of the layout there? */
export function isComplete(content: Content): boolean {
  return content.shape === 'BLOB'
    ? extentCount(content.cells) === 1
    : extentCount(content.cells) === stripeCount(content.layout);
}
