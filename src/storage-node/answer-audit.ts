/**
 * AUDIT (protocol 6.8): the whole cell, read from disk now, and a signature over it and the asker's nonce.
 * What the node does not have it says under signature, as it would to a reader.
 */
import { EMPTY, equal } from '../base/bytes.ts';
import type { Frame } from '../base/ports.ts';
import { sha256 } from '../crypto/primitives.ts';
import { encodeAudit } from '../protocol/audit.ts';
import type { RequestOf } from '../protocol/messages.ts';
import { stripeCount } from '../protocol/stripes.ts';
import type { NodeContext } from './context.ts';
import type { Content } from './contents.ts';
import { readBlob, readCell } from './read-content.ts';
import { Refused, reply } from './reply.ts';
import { heldVersion, lacks } from './serve.ts';
import { contentIds } from './state.ts';

export async function handleAudit(ctx: NodeContext, request: RequestOf<'AUDIT'>): Promise<Frame> {
  const version = heldVersion(ctx, request.keyId, request.manifestHash);
  const named = version !== undefined && contentIds(version.binds).some((id) => equal(id, request.contentId));
  const content = named ? ctx.state.contents.get(request.contentId) : undefined;
  if (content === undefined) return lacks(ctx, request, version, 'NOT_HELD');
  // Said before a lack is signed: what never was there must not become evidence of a loss.
  if (request.stripe >= (content.shape === 'BLOB' ? 1 : stripeCount(content.layout))) throw new Refused('BAD', 'no such cell');
  await version?.durable;
  const read = await readPiece(ctx, content, request.stripe);
  if (read === null) return lacks(ctx, request, version, 'HOLE');
  const body = encodeAudit({
    v: 1,
    nonce: request.nonce,
    manifestHash: request.manifestHash,
    contentId: request.contentId,
    stripe: request.stripe,
    slot: ctx.self.slot,
    epoch: ctx.cluster.epoch,
    cellHash: sha256(read.cell),
    logSize: ctx.state.log.durableSize,
  });
  const proof = await ctx.signer.sign('audit', body);
  return reply('AUDIT', { row: read.row, path: read.path, statement: { body, proof } }, read.cell);
}

async function readPiece(ctx: NodeContext, content: Content, stripe: number): Promise<Awaited<ReturnType<typeof readCell>>> {
  if (content.shape === 'CELLS') return readCell(ctx, content, stripe);
  const cell = await readBlob(ctx, content);
  return cell === null ? null : { row: EMPTY, path: [], cell };
}
