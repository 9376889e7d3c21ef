/**
 * Reading cells and blobs back. Each is checked before it is sent (protocol 13.10): a cell against its place
 * in the row, a blob against its identity. What does not verify becomes a HOLE in the log, and is said to be
 * one, signed; it is never sent.
 */
import { equal } from '../base/bytes.ts';
import { isOperationError } from '../base/errors.ts';
import { sha256 } from '../crypto/primitives.ts';
import type { Pointer } from '../journal/pointer.ts';
import { encodeEntry } from '../log/entry-types.ts';
import { BLOCK_ROWS, rowPath } from '../merkle/tiles.ts';
import { encodeHole } from '../protocol/log-entries.ts';
import { stripeCount } from '../protocol/stripes.ts';
import type { NodeContext } from './context.ts';
import type { Content } from './contents.ts';
import { extentAt, extentCount } from './records.ts';

export interface CellRead {
  readonly row: Uint8Array;
  readonly path: Uint8Array[];
  readonly cell: Uint8Array;
}

/** The node's cell of a stripe with its row and path, or null when it is a hole. */
export async function readCell(ctx: NodeContext, content: Content, stripe: number): Promise<CellRead | null> {
  if (content.shape !== 'CELLS' || stripe >= extentCount(content.cells)) return null;
  const rowBytes = 32 * content.layout.n;
  const record = await readPiece(ctx, content, () => extentAt(content.cells, stripe), rowBytes);
  const row = record?.subarray(0, rowBytes);
  const cell = record?.subarray(rowBytes);
  const slot = ctx.self.slot;
  if (row === undefined || cell === undefined || !equal(sha256(cell), row.subarray(32 * slot, 32 * slot + 32))) {
    await noteHole(ctx, content.id, stripe);
    return null;
  }
  const path = await pathOf(ctx, content, stripe);
  if (path === null) {
    await noteHole(ctx, content.id, stripe);
    return null;
  }
  return { row, path, cell };
}

/** The blob's bytes, or null when it is a hole. */
export async function readBlob(ctx: NodeContext, content: Content): Promise<Uint8Array | null> {
  if (content.shape !== 'BLOB') return null;
  const bytes = await readPiece(ctx, content, () => extentAt(content.cells, 0));
  if (bytes !== null && equal(sha256(bytes), content.id)) return bytes;
  await noteHole(ctx, content.id, 0);
  return null;
}

/** Reads a piece; compaction may move it meanwhile, so a failed read is repeated at the new place. */
async function readPiece(
  ctx: NodeContext,
  content: Content,
  place: () => Pointer,
  coveredBytes?: number,
): Promise<Uint8Array | null> {
  for (;;) {
    const pointer = place();
    try {
      return await ctx.state.cells.read(pointer, coveredBytes);
    } catch (error) {
      if (!isOperationError(error, 'CORRUPT') && !isOperationError(error, 'DISK_ERROR') && !isOperationError(error, 'NOT_FOUND')) {
        throw error;
      }
      const now = place();
      if (ctx.state.contents.get(content.id) === content && (now.segment !== pointer.segment || now.offset !== pointer.offset)) {
        continue;
      }
      return null;
    }
  }
}

/** Are the hashes of the rows beside this one here? Without them the row's place cannot be shown. */
export async function hasBlock(ctx: NodeContext, content: Content, stripe: number): Promise<boolean> {
  return (await pathOf(ctx, content, stripe)) !== null;
}

async function pathOf(ctx: NodeContext, content: Content, stripe: number): Promise<Uint8Array[] | null> {
  if (stripeCount(content.layout) === 1) return [];
  const index = Math.floor(stripe / BLOCK_ROWS);
  if (index >= extentCount(content.blocks)) return null;
  const packed = await readPiece(ctx, content, () => extentAt(content.blocks, index));
  if (packed === null || packed.length % 32 !== 0) return null;
  const leaves = Array.from({ length: packed.length / 32 }, (_, i) => packed.subarray(32 * i, 32 * i + 32));
  const roots = Array.from({ length: content.blockRoots.length / 32 }, (_, i) => content.blockRoots.subarray(32 * i, 32 * i + 32));
  return rowPath(leaves, roots, stripe);
}

async function noteHole(ctx: NodeContext, contentId: Uint8Array, stripe: number): Promise<void> {
  if (ctx.state.isHole(contentId, stripe)) return;
  ctx.telemetry.event('error', 'a cell on disk is missing or damaged', { slot: ctx.self.slot, stripe });
  await logHole(ctx, contentId, stripe);
}

/** Logs a missing cell. The caller has looked whether it is known. */
export async function logHole(ctx: NodeContext, contentId: Uint8Array, stripe: number): Promise<void> {
  ctx.telemetry.count('holes');
  const leaf = encodeEntry('HOLE', encodeHole(contentId, stripe));
  await ctx.state.write({ r: 'HOLE', leaf, contentId, stripe }).durable;
}
