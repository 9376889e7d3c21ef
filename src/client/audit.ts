/**
 * AUDIT (protocol 6.8): does a slot hold this cell now? It must give the whole cell, soon, with a signature over
 * a nonce drawn for this question. What it gives is judged by the matrix of the content; a signed lack and a
 * signed wrong cell can be held against it, silence cannot.
 */
import { EMPTY, equal } from '../base/bytes.ts';
import { HASH_BYTES, sha256 } from '../crypto/primitives.ts';
import { decodeAudit } from '../protocol/audit.ts';
import type { AnswerOf, RefusedAnswer, RequestOf } from '../protocol/messages.ts';
import type { SignedBody } from '../protocol/slot.ts';
import { compareStamps } from '../protocol/stamp.ts';
import type { Stamp } from '../protocol/stamp.ts';
import type { Layout } from '../protocol/stripes.ts';
import type { Certified } from './certificates.ts';
import type { ClientContext } from './context.ts';
import { cellFault, isSignedLack } from './fetch.ts';
import { openShown } from './query.ts';

/** One cell of one version, by ids alone. */
export interface AuditTarget {
  readonly keyId: Uint8Array;
  readonly manifestHash: Uint8Array;
  readonly stamp: Stamp;
  readonly contentId: Uint8Array;
  /** Null: a body or part table, which every slot keeps whole. */
  readonly layout: Layout | null;
  readonly stripe: number;
}

export type AuditVerdict =
  | { readonly kind: 'held' }
  /** It has signed that it lacks the cell. */
  | { readonly kind: 'lack'; readonly code: 'NOT_HELD' | 'HOLE'; readonly statement: SignedBody }
  /** It gave something else. `statement`: it has signed that. */
  | { readonly kind: 'wrong'; readonly reason: string; readonly statement: SignedBody | null }
  /** The version has ended, as this certificate shows. */
  | { readonly kind: 'superseded'; readonly by: Certified }
  /** No answer, or none that says anything: a suspicion at most. */
  | { readonly kind: 'unanswered'; readonly reason: string };

export interface Audited {
  readonly verdict: AuditVerdict;
  readonly bytes: number;
  readonly tookMs: number;
}

/** One challenge. `timeoutMs` is short: who has the cell needs one read of its disk. Never throws for what the slot does. */
export async function auditCell(ctx: ClientContext, slot: number, target: AuditTarget, timeoutMs: number): Promise<Audited> {
  const { layout: _layout, ...named } = target;
  const request: RequestOf<'AUDIT'> = { t: 'AUDIT', ...named, nonce: ctx.random.bytes(HASH_BYTES) };
  const startMs = ctx.clock.monotonicMs();
  const result = await ctx.peers.call(slot, request, EMPTY, timeoutMs);
  const tookMs = ctx.clock.monotonicMs() - startMs;
  switch (result.kind) {
    case 'answer':
      return { verdict: judge(ctx, slot, target, request.nonce, result.answer, result.payload), bytes: result.payload.length, tookMs };
    case 'refused':
      return { verdict: refusal(ctx, slot, target, result.refused), bytes: 0, tookMs };
    case 'malformed':
      return { verdict: { kind: 'unanswered', reason: result.reason }, bytes: 0, tookMs };
    case 'failed':
      return { verdict: { kind: 'unanswered', reason: result.error.code }, bytes: 0, tookMs };
  }
}

function judge(
  ctx: ClientContext,
  slot: number,
  target: AuditTarget,
  nonce: Uint8Array,
  { row, path, statement }: AnswerOf<'AUDIT'>,
  cell: Uint8Array,
): AuditVerdict {
  const isSigned = isAuditOf(ctx, slot, target, nonce, cell, statement);
  const fault = pieceFault(target, slot, row, path, cell) ?? (isSigned ? null : 'it is not signed as asked');
  if (fault === null) return { kind: 'held' };
  ctx.peers.suspect(slot, 'WRONG_CELL', `audit of stripe ${target.stripe}: ${fault}`);
  return { kind: 'wrong', reason: fault, statement: isSigned ? statement : null };
}

function pieceFault({ contentId, layout, stripe }: AuditTarget, slot: number, row: Uint8Array, path: readonly Uint8Array[], cell: Uint8Array): string | null {
  if (layout === null) return equal(sha256(cell), contentId) ? null : 'the body is not the one of the manifest';
  return cellFault({ contentId, layout }, stripe, slot, row, path, cell, undefined);
}

/** Has the slot signed for this nonce that what it gave is the cell? */
function isAuditOf(ctx: ClientContext, slot: number, target: AuditTarget, nonce: Uint8Array, cell: Uint8Array, { body, proof }: SignedBody): boolean {
  const config = ctx.cluster.slotAt(slot);
  const decoded = decodeAudit(body);
  if (config === undefined || !decoded.ok) return false;
  const { value } = decoded;
  return (
    equal(value.nonce, nonce) &&
    equal(value.manifestHash, target.manifestHash) &&
    equal(value.contentId, target.contentId) &&
    value.stripe === target.stripe &&
    value.slot === slot &&
    value.epoch === ctx.cluster.epoch &&
    equal(value.cellHash, sha256(cell)) &&
    ctx.verifier.verify(config.signingKey, 'audit', body, proof)
  );
}

function refusal(ctx: ClientContext, slot: number, target: AuditTarget, { code, reason, cert, statement }: RefusedAnswer): AuditVerdict {
  if (code === 'SUPERSEDED') {
    const shown = cert === null ? undefined : openShown(ctx, slot, target.keyId, cert);
    if (shown !== undefined && shown !== null && compareStamps(shown.stamp, target.stamp) > 0) return { kind: 'superseded', by: shown };
    ctx.peers.suspect(slot, 'BAD_REFUSAL', 'SUPERSEDED without a higher certificate');
    return { kind: 'unanswered', reason: 'SUPERSEDED without a higher certificate' };
  }
  if (code === 'NOT_HELD' || code === 'HOLE') {
    if (statement !== null && isSignedLack(ctx, target, slot, code, statement)) return { kind: 'lack', code, statement };
    ctx.peers.suspect(slot, 'BAD_REFUSAL', `${code} without a signed statement`);
    return { kind: 'unanswered', reason: `${code} without a signed statement` };
  }
  return { kind: 'unanswered', reason: `${code}: ${reason}` };
}
