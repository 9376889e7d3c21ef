/**
 * Anchors of the gateways' audit logs (log/anchor.ts): the node keeps the newest of each gateway, durably, and
 * takes another only when it is proven to extend it.
 */
import { equal, mapKey } from '../base/bytes.ts';
import type { Frame } from '../base/ports.ts';
import { anchorFault, openAnchor } from '../log/anchor.ts';
import type { WriterConfig } from '../protocol/configuration.ts';
import type { RequestOf } from '../protocol/messages.ts';
import type { NodeContext } from './context.ts';
import { Refused, reply } from './reply.ts';

export async function handleAnchor(ctx: NodeContext, writer: WriterConfig, { note, consistency }: RequestOf<'ANCHOR'>): Promise<Frame> {
  const opened = openAnchor(ctx.cluster, note);
  if (!opened.ok) throw new Refused('BAD', `anchor: ${opened.reason}`.slice(0, 400));
  if (!equal(opened.writer.gatewayId, writer.gatewayId)) throw new Refused('DENIED', 'the audit log is that of another gateway');
  const held = ctx.state.anchors.get(mapKey(writer.gatewayId));
  if (held !== undefined) {
    const before = openAnchor(ctx.cluster, held.note);
    const fault = before.ok ? anchorFault(before.signed, opened.signed, consistency) : before.reason;
    if (fault !== null) {
      ctx.telemetry.count('anchors_refused');
      throw new Refused('CONFLICT', fault);
    }
  }
  if (held?.note !== note) ctx.state.write({ r: 'ANCHORED', gatewayId: writer.gatewayId, note });
  await ctx.state.queuedIsDurable();
  return reply('ANCHOR', {});
}

/** Answers from durable state. */
export async function handleAnchored(ctx: NodeContext, { gatewayId }: RequestOf<'ANCHORED'>): Promise<Frame> {
  const note = ctx.state.anchors.get(mapKey(gatewayId))?.note ?? null;
  await ctx.state.queuedIsDurable();
  return reply('ANCHORED', { note });
}
