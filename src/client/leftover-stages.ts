/**
 * Stages that nobody works on any more (protocol 13.7): a gateway that went away between STAGE and the end of
 * its write leaves contents on nodes, charged to it for ever. Its next process asks the nodes for them, and who
 * may resolve also for old ones of others. What rests on such a stage comes first: a certificate is given to
 * those that lack it, a manifest that was accepted is settled in its slot. Nodes let the content go only where
 * nothing can rest on it any more: a stage that was promised to end while a manifest may still be certified on
 * it would leave a slot that is never decided.
 */
import { EMPTY, equal, mapKey } from '../base/bytes.ts';
import { isOperationError } from '../base/errors.ts';
import type { AnswerOf } from '../protocol/messages.ts';
import { oneCorrect, quorumSize } from '../protocol/quorum.ts';
import { stampText } from '../protocol/stamp.ts';
import type { Stamp } from '../protocol/stamp.ts';
import type { Certified } from './certificates.ts';
import { commit } from './commit.ts';
import type { ClientContext } from './context.ts';
import { gather } from './gather.ts';
import { openShown } from './query.ts';
import { resolve } from './resolve.ts';
import { unstage } from './stage.ts';
import type { Writer } from './write.ts';

interface Leftover {
  readonly id: Uint8Array;
  readonly keyId: Uint8Array;
  readonly gatewayId: Uint8Array;
  /** Slots that list it. */
  readonly slots: Set<number>;
}

/**
 * Ends what was staged at least so long ago and belongs to no write of this process. Returns how many it has
 * looked at. May be called again at any time: what is not certain yet, or was not listed, is left.
 */
export async function endLeftoverStages(writer: Writer, ageMs: number): Promise<number> {
  const { ctx, sessions } = writer;
  let looked = 0;
  for (const leftover of await listed(ctx, ageMs)) {
    const isOwn = equal(leftover.gatewayId, sessions.gatewayId);
    // Of another gateway's writes one correct node must say that they are long over.
    const isOver = isOwn ? !writer.stages.has(mapKey(leftover.id)) : leftover.slots.size >= oneCorrect(ctx.cluster.geometry);
    if (!isOver) continue;
    looked += 1;
    try {
      if (await isFree(writer, leftover)) await unstage(ctx, leftover);
    } catch (error) {
      if (!isOperationError(error)) throw error;
      ctx.telemetry.count('holdfast_client_leftovers_failed_total');
    }
  }
  return looked;
}

async function listed(ctx: ClientContext, ageMs: number): Promise<Iterable<Leftover>> {
  const request = { t: 'STAGES' as const, ageMs };
  const answers = await askAll(ctx, (slot, untilMs) => ctx.peers.persist(slot, request, EMPTY, untilMs));
  const byId = new Map<string, Leftover>();
  for (const [slot, { stages }] of answers) {
    for (const { stageId: id, keyId, gatewayId } of stages) {
      // Nodes that say different things of one stage are not counted together.
      const name = mapKey(id) + mapKey(keyId) + mapKey(gatewayId);
      const known = byId.get(name) ?? { id, keyId, gatewayId, slots: new Set<number>() };
      known.slots.add(slot);
      byId.set(name, known);
    }
  }
  return byId.values();
}

/** Does nothing rest on it, as q nodes say, once what did is settled? */
async function isFree(writer: Writer, { id, keyId }: Leftover): Promise<boolean> {
  const { ctx } = writer;
  const request = { t: 'RESTS' as const, keyId, stageId: id };
  const answers = await askAll(ctx, (slot, untilMs) => ctx.peers.persist(slot, request, EMPTY, untilMs));
  if (answers.size < quorumSize(ctx.cluster.geometry)) return false;
  const certified = certifiedIn(ctx, id, keyId, answers);
  if (certified !== null) {
    await commit(ctx, certified, { complete: true });
    return false;
  }
  const stamps = new Map<string, Stamp>();
  for (const { accepted } of answers.values()) for (const stamp of accepted) stamps.set(stampText(stamp), stamp);
  for (const stamp of stamps.values()) {
    let { outcome } = await resolve(ctx, keyId, stamp, 'complete', writer);
    // Those that answer first may know nothing of it: then it is ruled out, where it can be.
    if (outcome === 'undecided') ({ outcome } = await resolve(ctx, keyId, stamp, 'release', writer));
    if (outcome === 'committed' || outcome === 'undecided') return false;
  }
  return true;
}

function certifiedIn(
  ctx: ClientContext,
  id: Uint8Array,
  keyId: Uint8Array,
  answers: ReadonlyMap<number, AnswerOf<'RESTS'>>,
): Certified | null {
  for (const [slot, { cert }] of answers) {
    const shown = cert === null ? undefined : openShown(ctx, slot, keyId, cert);
    if (shown !== undefined && equal(shown.signed.manifest.slot?.stage?.id ?? EMPTY, id)) return shown;
  }
  return null;
}

/** Everyone is waited for: each answer may be the one that matters. */
async function askAll<A>(
  { peers, clock, deadlines, cluster }: ClientContext,
  ask: (slot: number, untilMs: number) => Promise<{ readonly kind: 'answer'; readonly answer: A } | { readonly kind: 'refused' | 'malformed' | 'failed' }>,
): Promise<ReadonlyMap<number, A>> {
  const untilMs = clock.monotonicMs() + deadlines.resolveMs;
  const askOne = async (slot: number): Promise<A | null> => {
    const result = await ask(slot, untilMs);
    return result.kind === 'answer' ? result.answer : null;
  };
  const { found } = await gather(peers.all(), askOne, (answers) => answers.size === cluster.geometry.n);
  return found;
}
