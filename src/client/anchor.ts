/** Keeping the newest checkpoint of the gateway's audit log on the nodes (log/anchor.ts). */
import { EMPTY } from '../base/bytes.ts';
import { openAnchor } from '../log/anchor.ts';
import type { Checkpoint, SignedCheckpoint } from '../log/checkpoint.ts';
import type { ClientContext } from './context.ts';

export type AnchorVerdict =
  | { readonly kind: 'anchored' }
  /** The node keeps a checkpoint that this log does not extend: it has lost entries, or they were changed. */
  | { readonly kind: 'contradicted'; readonly held: Checkpoint }
  | { readonly kind: 'unanswered'; readonly reason: string };

/** What a slot keeps of a gateway's log; null: nothing. Undefined: no answer, or none that verifies. */
export async function heldAnchor(ctx: ClientContext, slot: number, gatewayId: Uint8Array): Promise<SignedCheckpoint | null | undefined> {
  const result = await ctx.peers.call(slot, { t: 'ANCHORED' as const, gatewayId }, EMPTY, ctx.deadlines.followCallMs);
  if (result.kind !== 'answer') return undefined;
  const { note } = result.answer;
  if (note === null) return null;
  const opened = openAnchor(ctx.cluster, note);
  if (opened.ok) return opened.signed;
  ctx.peers.suspect(slot, 'BAD_CHECKPOINT', `anchor: ${opened.reason}`);
  return undefined;
}

/** Anchors a checkpoint on one slot. `consistencyFrom`: the path from an earlier size; null: it cannot be told. */
export async function anchorOn(
  ctx: ClientContext,
  slot: number,
  gatewayId: Uint8Array,
  { note, checkpoint }: SignedCheckpoint,
  consistencyFrom: (size: number) => Promise<readonly Uint8Array[] | null>,
): Promise<AnchorVerdict> {
  const held = await heldAnchor(ctx, slot, gatewayId);
  if (held === undefined) return { kind: 'unanswered', reason: 'no answer that verifies' };
  const path = held === null ? [] : held.checkpoint.size > checkpoint.size ? null : await consistencyFrom(held.checkpoint.size);
  if (held !== null && path === null) return { kind: 'contradicted', held: held.checkpoint };
  const request = { t: 'ANCHOR' as const, note, consistency: [...(path ?? [])] };
  const result = await ctx.peers.call(slot, request, EMPTY, ctx.deadlines.followCallMs);
  if (result.kind === 'answer') return { kind: 'anchored' };
  if (result.kind === 'refused' && result.refused.code === 'CONFLICT' && held !== null) return { kind: 'contradicted', held: held.checkpoint };
  return { kind: 'unanswered', reason: result.kind };
}
