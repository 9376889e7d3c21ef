/**
 * Revocation of a writer (docs/key-compromise.md): a node that was shown what m admins have signed writes it
 * down, durably, before it says so; from the record on it refuses the writer everything, and everyone any
 * manifest by that writer that it has not accepted before. A node that was down asks the others before it
 * serves, and every node asks them from time to time.
 */
import { mapKey } from '../base/bytes.ts';
import { EMPTY } from '../base/bytes.ts';
import type { Frame } from '../base/ports.ts';
import { encodeEntry } from '../log/entry-types.ts';
import { encodeRevokedEntry } from '../protocol/log-entries.ts';
import { decodeAnswer, encodeRequest } from '../protocol/messages.ts';
import type { RequestOf } from '../protocol/messages.ts';
import { encodeRevoked, openEffectiveRevocation, openRevocation } from '../protocol/revocation.ts';
import type { NodeContext } from './context.ts';
import { Refused, reply } from './reply.ts';
import type { HeldRevocation } from './state.ts';

/** The refusal of whatever a revoked writer asks, with the statement that revoked it. */
export function revokedRefusal(ctx: NodeContext, gatewayId: Uint8Array): Refused {
  const document = ctx.state.revoked.get(mapKey(gatewayId))?.document ?? null;
  return new Refused('REVOKED', 'the writer is revoked', { document });
}

export function requireNotRevoked(ctx: NodeContext, gatewayId: Uint8Array): void {
  if (ctx.state.isRevoked(gatewayId)) throw revokedRefusal(ctx, gatewayId);
}

/** Takes a revocation in and answers, once it is durable, with a signed statement of where it stands in the log. */
export async function handleRevoke(ctx: NodeContext, { document }: RequestOf<'REVOKE'>): Promise<Frame> {
  const opened = openEffectiveRevocation(ctx.cluster, document);
  if (!opened.ok) throw new Refused('BAD', `revocation: ${opened.reason}`);
  const { gatewayId } = opened.value.revocation;
  takeIn(ctx, gatewayId, document, opened.value.hash);
  await ctx.state.queuedIsDurable();
  const held = ctx.state.revoked.get(mapKey(gatewayId));
  if (held === undefined) throw new Error('a revocation just written is held');
  const { statementHash, logIndex } = { statementHash: hashOf(ctx, held), logIndex: held.logIndex };
  const { incarnation } = ctx.state;
  const { slot, nodeId } = ctx.self;
  const body = encodeRevoked({ v: 1, statementHash, gatewayId, slot, nodeId, epoch: ctx.cluster.epoch, incarnation, logIndex });
  return reply('REVOKE', { statementHash, incarnation, logIndex, proof: await ctx.signer.sign('revoked', body) });
}

function hashOf(ctx: NodeContext, { document }: HeldRevocation): Uint8Array {
  const opened = openRevocation(ctx.cluster, document);
  if (!opened.ok) throw new Error(`a revocation that was taken in is valid: ${opened.reason}`);
  return opened.value.hash;
}

/** The first statement about a writer is kept; another one changes nothing. */
function takeIn(ctx: NodeContext, gatewayId: Uint8Array, document: Uint8Array, statementHash: Uint8Array): void {
  if (ctx.state.isRevoked(gatewayId)) return;
  const leaf = encodeEntry('REVOKED', encodeRevokedEntry({ v: 1, gatewayId, statementHash }));
  ctx.state.write({ r: 'REVOKED', leaf, gatewayId, document });
  ctx.telemetry.count('revocations');
}

/** Answers from durable state, also before this node's own check has ended: a full restart must not deadlock. */
export async function handleRevocations(ctx: NodeContext): Promise<Frame> {
  const documents = [...ctx.state.revoked.values()].map(({ document }) => document);
  await ctx.state.queuedIsDurable();
  return reply('REVOCATIONS', { documents });
}

/**
 * Takes in what another slot knows, durably. False: it does not answer. One that does not know the question
 * knows of no revocation; a liar could say no more.
 */
export async function learnRevocations(ctx: NodeContext, slot: number): Promise<boolean> {
  const channel = ctx.peers.get(slot);
  if (channel === undefined) return false;
  let body: Uint8Array;
  try {
    const request = { body: encodeRequest({ t: 'REVOCATIONS' }), payload: EMPTY };
    ({ body } = await channel.request(request, { timeoutMs: ctx.tuning.peerTimeoutMs }));
  } catch {
    // Whatever went wrong on the way: this slot has not answered.
    return false;
  }
  const parsed = decodeAnswer('REVOCATIONS', body);
  for (const document of parsed.kind === 'answer' ? parsed.answer.documents : []) {
    const opened = openEffectiveRevocation(ctx.cluster, document);
    if (opened.ok) takeIn(ctx, opened.value.revocation.gatewayId, document, opened.value.hash);
    else ctx.telemetry.count('suspicions', { kind: 'forged-revocation', slot: String(slot) });
  }
  await ctx.state.queuedIsDurable();
  return true;
}
