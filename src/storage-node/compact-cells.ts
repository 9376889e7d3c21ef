/**
 * Compaction (protocol 13.8): a sealed cell segment most of whose bytes are dead is emptied by copying what
 * is live into the open one. Order: copies durable, then the MOVED record durable, then the old space is
 * given back; a crash in between leaves the old places valid.
 */
import { isOperationError } from '../base/errors.ts';
import type { Pointer } from '../journal/pointer.ts';
import type { NodeContext } from './context.ts';
import type { Content } from './contents.ts';
import { packExtents, pointersOf } from './records.ts';

/** Empties one segment, if one is worth it. Returns the bytes that were copied. */
export async function compactCells(ctx: NodeContext): Promise<number> {
  const segment = ctx.state.cells.compactionCandidate();
  if (segment === null) return 0;
  let copied = 0;
  for (const content of ctx.state.contents.inSegment(segment)) copied += await moveOut(ctx, content, segment);
  await ctx.state.queuedIsDurable();
  return copied;
}

async function moveOut(ctx: NodeContext, content: Content, segment: number): Promise<number> {
  const copies: Pointer[] = [];
  const move = async (pointers: readonly Pointer[], headBytes: number): Promise<Pointer[]> => {
    const out: Pointer[] = [];
    for (const pointer of pointers) {
      const moved = pointer.segment === segment ? await copy(ctx, pointer, headBytes) : null;
      if (moved !== null) copies.push(moved);
      out.push(moved ?? pointer);
    }
    return out;
  };
  const headBytes = content.shape === 'CELLS' ? 32 * content.layout.n : 0;
  const before = [content.cells, content.blocks];
  try {
    const cells = await move(pointersOf(content.cells), headBytes);
    const blocks = await move(pointersOf(content.blocks), 0);
    if (copies.length === 0) return 0;
    await ctx.state.cells.sync();
    // Meanwhile the content may have gone, or have been moved from another segment.
    const isSame = ctx.state.contents.get(content.id) === content && content.cells === before[0] && content.blocks === before[1];
    if (!isSame) {
      for (const pointer of copies) ctx.state.cells.release(pointer);
      return 0;
    }
    ctx.state.write({
      r: 'MOVED',
      content: { ...ctx.state.contents.recordOf(content), cells: packExtents(cells), blocks: packExtents(blocks) },
    });
  } catch (error) {
    // A full disk, most likely: nothing has moved, and the copies' space is free again.
    for (const pointer of copies) ctx.state.cells.release(pointer);
    throw error;
  }
  return copies.reduce((sum, { length }) => sum + length, 0);
}

/** The copy's place, or null when the piece cannot be read: it stays, and is a hole to whoever asks. */
async function copy(ctx: NodeContext, pointer: Pointer, headBytes: number): Promise<Pointer | null> {
  try {
    const bytes = await ctx.state.cells.read(pointer, headBytes === 0 ? pointer.length : headBytes);
    return headBytes === 0
      ? await ctx.state.cells.append(bytes)
      : await ctx.state.cells.append(bytes.subarray(0, headBytes), bytes.subarray(headBytes));
  } catch (error) {
    if (isOperationError(error, 'CORRUPT') || isOperationError(error, 'DISK_ERROR')) return null;
    throw error;
  }
}
