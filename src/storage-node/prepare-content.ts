/**
 * The content that comes with a PREPARE, or came before it: checked against the manifest and written (P5, and
 * step 1 of the order of durability). What it returns is ready to be bound by one journal record. A content of
 * one piece is synced together with that record, an upload before it: recovery looks at the one piece of a
 * record at the end of the log, and could not look at thousands.
 */
import { assert } from '../base/assert.ts';
import { concat, EMPTY, equal } from '../base/bytes.ts';
import { isOperationError } from '../base/errors.ts';
import { FRAME_PAYLOAD_BYTES_MAX } from '../base/limits.ts';
import type { PeerConnection } from '../base/ports.ts';
import { sha256 } from '../crypto/primitives.ts';
import type { Pointer } from '../journal/pointer.ts';
import { rowLeaf } from '../merkle/tiles.ts';
import { decode } from '../protocol/encoding.ts';
import { partTableSchema } from '../protocol/manifest.ts';
import type { Part } from '../protocol/manifest.ts';
import type { RequestOf } from '../protocol/messages.ts';
import { cellBytesOf, fragmentBytes, stripeCount } from '../protocol/stripes.ts';
import type { NodeContext } from './context.ts';
import { isComplete } from './contents.ts';
import type { Content, ContentTerms } from './contents.ts';
import { packExtents } from './records.ts';
import type { ContentRecord } from './records.ts';
import { Refused } from './reply.ts';

/** How the content comes: as an upload, as one cell with its row, or not at all. */
export type ContentRequest = Pick<RequestOf<'PREPARE'>, 'upload' | 'row'>;

export interface PreparedContent {
  /** A content that the node did not hold before; null when it did, or for a tombstone. */
  readonly content: ContentRecord | null;
  readonly binds: Uint8Array;
  /** The upload whose cells these are, until a manifest binds them. */
  readonly upload: Uint8Array | null;
}

/** Brings the content in. Refuses BAD when it is not what the manifest says. */
export async function prepareContent(
  ctx: NodeContext,
  from: PeerConnection,
  manifest: ContentTerms,
  request: ContentRequest,
  payload: Uint8Array,
): Promise<PreparedContent> {
  try {
    switch (manifest.kind) {
      case 'TOMBSTONE':
      case 'REMOVE':
        return { content: null, binds: EMPTY, upload: null };
      case 'DATA':
        return await dataContent(ctx, from, manifest, request, payload);
      case 'INLINE':
        if (payload.length !== manifest.size + 16) throw new Refused('BAD', 'P5: the inline body has another length');
        return { content: await blobContent(ctx, manifest, payload), binds: manifest.contentId, upload: null };
      case 'TABLE':
        return await tableContent(ctx, manifest, payload);
    }
  } catch (error) {
    if (isOperationError(error, 'DISK_FULL')) throw new Refused('FULL', 'the disk has no room');
    throw error;
  }
}

export function blobRecord(manifest: ContentTerms, pointer: Pointer): ContentRecord {
  return {
    contentId: manifest.contentId,
    shape: 'BLOB',
    k: 1,
    n: manifest.n,
    cellBytes: 0,
    size: manifest.size,
    cells: packExtents([pointer]),
    blocks: EMPTY,
    blockRoots: EMPTY,
  };
}

function cellsRecord(
  { contentId, k, n, cellBytes, size }: ContentTerms,
  cells: readonly Pointer[],
  blocks: readonly Pointer[],
  blockRoots: Uint8Array,
): ContentRecord {
  return { contentId, shape: 'CELLS', k, n, cellBytes, size, cells: packExtents(cells), blocks: packExtents(blocks), blockRoots };
}

async function blobContent(ctx: NodeContext, manifest: ContentTerms, payload: Uint8Array): Promise<ContentRecord | null> {
  if (!equal(sha256(payload), manifest.contentId)) throw new Refused('BAD', 'P5: the body is not the one of the manifest');
  if (ctx.state.contents.get(manifest.contentId) !== undefined) return null;
  return blobRecord(manifest, await ctx.state.cells.append(payload));
}

async function tableContent(ctx: NodeContext, manifest: ContentTerms, payload: Uint8Array): Promise<PreparedContent> {
  const table = decode(partTableSchema, payload, FRAME_PAYLOAD_BYTES_MAX);
  if (!table.ok) throw new Refused('BAD', `P5: part table: ${table.reason}`);
  const total = table.value.reduce((sum, part) => sum + part.size, 0);
  if (total !== manifest.size) throw new Refused('BAD', 'P5: the parts do not add up to the size');
  for (const part of table.value) checkPart(ctx, manifest, part);
  const content = await blobContent(ctx, manifest, payload);
  return { content, binds: concat(manifest.contentId, ...table.value.map((part) => part.contentId)), upload: null };
}

/** 13.3: instead of cells, a content that is already here, bound, and of the same shape. */
function checkPart(ctx: NodeContext, manifest: ContentTerms, part: Part): void {
  if (part.n !== manifest.n || part.k !== manifest.k) throw new Refused('BAD', 'P4: a part of another geometry');
  const held = ctx.state.contents.get(part.contentId);
  if (held === undefined || !isUsable(held, part)) throw new Refused('NOT_HELD', 'P5: the node does not hold a part');
}

function isUsable(held: Content, layout: { readonly k: number; readonly n: number; readonly cellBytes: number; readonly size: number }): boolean {
  return (
    held.shape === 'CELLS' &&
    held.boundBy.size > 0 &&
    held.layout.k === layout.k &&
    held.layout.n === layout.n &&
    held.layout.cellBytes === layout.cellBytes &&
    held.layout.size === layout.size &&
    isComplete(held)
  );
}

async function dataContent(
  ctx: NodeContext,
  from: PeerConnection,
  manifest: ContentTerms,
  request: ContentRequest,
  payload: Uint8Array,
): Promise<PreparedContent> {
  const binds = manifest.contentId;
  const held = ctx.state.contents.get(manifest.contentId);
  const usable = held !== undefined && isUsable(held, manifest);
  // A repeated PREPARE finds its cells bound already: the same promise again.
  if (request.upload !== null && !(usable && !ctx.uploads.has(from, request.upload))) {
    const content = await uploadedContent(ctx, from, manifest, request.upload);
    await ctx.state.cells.sync();
    return { content, binds, upload: request.upload };
  }
  if (request.row !== null) {
    return { content: await singleCell(ctx, manifest, request.row, payload), binds, upload: null };
  }
  if (!usable) throw new Refused('NOT_HELD', 'P5: the node does not hold the content');
  return { content: null, binds, upload: null };
}

async function uploadedContent(
  ctx: NodeContext,
  from: PeerConnection,
  manifest: ContentTerms,
  upload: Uint8Array,
): Promise<ContentRecord> {
  const finished = await ctx.uploads.finish(from, upload);
  if (!equal(finished.contentId, manifest.contentId)) throw new Refused('BAD', 'P5: the cells are not those of the matrix root');
  if (finished.stripes !== stripeCount(manifest) || finished.bytes !== fragmentBytes(manifest)) {
    throw new Refused('BAD', 'P5: the cells are not as long as the manifest says');
  }
  finished.cells.forEach((pointer, stripe) => {
    const expected = 32 * manifest.n + cellBytesOf(manifest, stripe);
    if (pointer.length !== expected) throw new Refused('BAD', `P5: the cell of stripe ${stripe} has another length`);
  });
  return cellsRecord(manifest, finished.cells, finished.blocks, concat(...finished.blockRoots));
}

async function singleCell(
  ctx: NodeContext,
  manifest: ContentTerms,
  row: Uint8Array,
  cell: Uint8Array,
): Promise<ContentRecord | null> {
  if (stripeCount(manifest) !== 1) throw new Refused('BAD', 'P5: one cell for several stripes');
  ctx.uploads.checkCell(row, cell);
  if (!equal(rowLeaf(row), manifest.contentId)) throw new Refused('BAD', 'P5: the row is not the one of the matrix root');
  if (cell.length !== cellBytesOf(manifest, 0)) throw new Refused('BAD', 'P5: the cell has another length');
  const held = ctx.state.contents.get(manifest.contentId);
  if (held !== undefined && isUsable(held, manifest)) return null;
  const pointer = await ctx.state.cells.append(row, cell);
  assert(pointer.length === row.length + cell.length, 'a cell record is its row and its cell');
  return cellsRecord(manifest, [pointer], [], manifest.contentId);
}
