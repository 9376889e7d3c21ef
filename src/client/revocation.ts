/**
 * Bringing a revocation to the storage nodes (docs/key-compromise.md). It is in force when n-f nodes have it
 * durably: n-2f of them at least are correct and accept nothing new of the writer, so at most 2f nodes are left
 * to sign a receipt for it, and 2f < n-f = q. No certificate of a manifest that none of them had accepted
 * before can form any more.
 */
import { equal, hex } from '../base/bytes.ts';
import { EMPTY } from '../base/bytes.ts';
import { OperationError } from '../base/errors.ts';
import type { AnswerOf } from '../protocol/messages.ts';
import { quorumSize } from '../protocol/quorum.ts';
import { encodeRevoked, openEffectiveRevocation } from '../protocol/revocation.ts';
import type { ClientContext } from './context.ts';
import { gather } from './gather.ts';

/** What a writer is told whom more nodes than may lie refuse as revoked. */
export function revokedWriter(): OperationError {
  return new OperationError('REFUSED', 'The admins have revoked this writer.', {
    remedy: 'Use another gateway; see docs/key-compromise.md.',
  });
}

export interface RevokeOutcome {
  /** Slots that have signed that the revocation is durable with them, and at which index of their logs. */
  readonly held: ReadonlyMap<number, number>;
  /** Are they n-f? Then it is in force. */
  readonly inForce: boolean;
}

/** How long those that are late are waited for when n-f hold it. */
const LATE_MS = 500;

/**
 * Gives the statement to every node and waits until n-f hold it, or for as long as a commit may take; those
 * that are late or down learn it from the others. Never throws for what nodes do.
 */
export async function revoke(ctx: ClientContext, document: Uint8Array): Promise<RevokeOutcome> {
  const { clock, cluster, deadlines, peers } = ctx;
  const q = quorumSize(cluster.geometry);
  const untilMs = clock.monotonicMs() + deadlines.commitMs;
  const request = { t: 'REVOKE' as const, document };
  const ask = async (slot: number): Promise<number | null> => {
    const result = await peers.persist(slot, request, EMPTY, untilMs);
    return result.kind === 'answer' ? acknowledged(ctx, slot, document, result.answer) : null;
  };
  const { found, all } = await gather(peers.all(), ask, (held) => held.size >= q);
  await Promise.race([all, clock.sleep(LATE_MS)]);
  return { held: new Map(found), inForce: found.size >= q };
}

function acknowledged(
  { cluster, verifier, peers }: ClientContext,
  slot: number,
  document: Uint8Array,
  { statementHash, incarnation, logIndex, proof }: AnswerOf<'REVOKE'>,
): number | null {
  const opened = openEffectiveRevocation(cluster, document);
  const config = cluster.slotAt(slot);
  if (!opened.ok || config === undefined) return null;
  const { gatewayId } = opened.value.revocation;
  const { nodeId, signingKey } = config;
  const body = encodeRevoked({ v: 1, statementHash, gatewayId, slot, nodeId, epoch: cluster.epoch, incarnation, logIndex });
  if (verifier.verify(signingKey, 'revoked', body, proof)) return logIndex;
  peers.suspect(slot, 'BAD_ACKNOWLEDGEMENT', 'the acknowledgement of a revocation does not verify');
  return null;
}

/** A writer that is revoked, as its statement says and nodes hold it. */
export interface RevokedWriter {
  readonly gatewayId: Uint8Array;
  readonly atMs: number;
  readonly document: Uint8Array;
  /** Slots that say they hold a statement about it. */
  readonly slots: readonly number[];
}

/**
 * What the nodes that answer hold, each statement verified. What n-f nodes hold is among the answers of any
 * n-f; what fewer hold may be.
 */
export async function revocations(ctx: ClientContext): Promise<readonly RevokedWriter[]> {
  const { clock, cluster, deadlines, peers } = ctx;
  const untilMs = clock.monotonicMs() + deadlines.followCallMs;
  const ask = async (slot: number): Promise<readonly Uint8Array[] | null> => {
    const result = await peers.persist(slot, { t: 'REVOCATIONS' as const }, EMPTY, untilMs);
    return result.kind === 'answer' ? result.answer.documents : null;
  };
  const { found } = await gather(peers.all(), ask, (answers) => answers.size === cluster.slots.length);
  const byWriter = new Map<string, RevokedWriter>();
  for (const [slot, documents] of found) {
    for (const document of documents) {
      const opened = openEffectiveRevocation(cluster, document);
      if (!opened.ok) {
        peers.suspect(slot, 'MALFORMED', `revocation: ${opened.reason}`);
        continue;
      }
      const { gatewayId, atMs } = opened.value.revocation;
      const known = byWriter.get(hex(gatewayId));
      byWriter.set(hex(gatewayId), { gatewayId, atMs, document, ...known, slots: [...(known?.slots ?? []), slot].sort((a, b) => a - b) });
    }
  }
  return [...byWriter.values()];
}

/** Shows each node the revocations that others hold and it does not. Returns all that are known. */
export async function spreadRevocations(ctx: ClientContext): Promise<readonly RevokedWriter[]> {
  const known = await revocations(ctx);
  const { peers, clock, deadlines } = ctx;
  const untilMs = clock.monotonicMs() + deadlines.followCallMs;
  for (const { document, slots } of known) {
    const missing = peers.all().filter((slot) => !slots.includes(slot));
    await Promise.all(missing.map((slot) => peers.persist(slot, { t: 'REVOKE' as const, document }, EMPTY, untilMs)));
  }
  return known;
}

/** Is the writer of this gatewayId among them? */
export function isAmong(revoked: readonly RevokedWriter[], gatewayId: Uint8Array): boolean {
  return revoked.some((writer) => equal(writer.gatewayId, gatewayId));
}
