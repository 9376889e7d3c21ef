/**
 * COMMIT: putting a certificate on nodes (protocol 6.1, 6.3). A write is acknowledged, and a read returns,
 * only when c = 2f+1 nodes hold the certificate; c - f of them are correct, so every later query sees it.
 * Writers, readers and listers all use this one step: a certificate speaks for itself.
 */
import { EMPTY } from '../base/bytes.ts';
import { holderCount } from '../protocol/quorum.ts';
import { encodeCommitAck } from '../protocol/receipt.ts';
import type { AnswerOf } from '../protocol/messages.ts';
import type { Certified } from './certificates.ts';
import type { ClientContext } from './context.ts';
import { gather } from './gather.ts';
import { noQuorum } from './query.ts';

export interface CommitOptions {
  /** Slots that have shown this certificate or a higher one: they need not be asked, and count. */
  readonly shown?: ReadonlySet<number>;
  /**
   * The inline body, for nodes that did not prepare it; null when it is not at hand or the version has none.
   */
  readonly inline?: Uint8Array | null;
  /** Slots that hold the inline body already. */
  readonly holding?: ReadonlySet<number>;
  /**
   * Should the other slots be given the certificate after c have it, also when they cannot be reached at
   * once?
   */
  readonly complete?: boolean;
  /** Called when c hold it, however late; when that is in time, the outcome waits for it. Never throws. */
  readonly onHeld?: () => Promise<void>;
}

export interface CommitOutcome {
  /**
   * Slots that acknowledged with a valid signature, or had shown it. Grows while the others are completed.
   */
  readonly held: ReadonlySet<number>;
  /** Do c nodes hold the certificate? If not, it may be on some: the outcome is not known. */
  readonly ok: boolean;
}

/**
 * Gives the certificate to every slot and waits until c hold it or the time is over. Never throws for what
 * nodes do.
 */
export async function commit(
  ctx: ClientContext,
  certified: Certified,
  options: CommitOptions = {},
): Promise<CommitOutcome> {
  const { clock, cluster, deadlines, peers, background } = ctx;
  const c = holderCount(cluster.geometry);
  const startMs = clock.monotonicMs();
  const held = new Set(options.shown);
  const isHeld = (): boolean => held.size >= c;
  const completeMs = options.complete === true ? deadlines.completeMs : deadlines.commitMs;
  const wanted = (): boolean => !background.stopping && (!isHeld() || options.complete === true);

  const bare = { t: 'COMMIT' as const, cert: certified.bytes, inline: false };
  const withBody = { ...bare, inline: true };
  const body = options.inline ?? null;
  const ask = async (slot: number): Promise<true | null> => {
    const sendsBody = body !== null && options.holding?.has(slot) !== true;
    const [request, payload] = sendsBody ? [withBody, body] : [bare, EMPTY];
    const result = await peers.persist(slot, request, payload, startMs + completeMs, wanted);
    if (result.kind !== 'answer') return null;
    if (!verifyCommitAck(ctx, slot, certified, result.answer)) {
      peers.suspect(slot, 'BAD_ACKNOWLEDGEMENT', 'the acknowledgement does not verify');
      return null;
    }
    held.add(slot);
    return true;
  };
  if (isHeld() && options.complete !== true) return { held, ok: true };
  const asked = peers.all().filter((slot) => !held.has(slot));
  const gathered = gather(asked, ask, isHeld);
  const timer = new Promise<void>((resolve) => {
    const over = clock.after(deadlines.commitMs, resolve);
    void gathered.finally(() => over.cancel());
  });
  await Promise.race([gathered, timer]);
  const ok = isHeld();
  if (ok) await options.onHeld?.();
  background.run('commit', async () => {
    const { all } = await gathered;
    if (!ok && isHeld()) await options.onHeld?.();
    await all;
  });
  return { held, ok };
}

/** As `commit`, for operations that cannot go on without: throws NO_QUORUM. */
export async function requireHeld(
  ctx: ClientContext,
  certified: Certified,
  options: CommitOptions,
): Promise<void> {
  const { held, ok } = await commit(ctx, certified, options);
  if (!ok) throw noQuorum(held.size, holderCount(ctx.cluster.geometry), 'holders of the certificate');
}

function verifyCommitAck(
  ctx: ClientContext,
  slot: number,
  { signed, stamp }: Certified,
  { incarnation, logIndex, proof }: AnswerOf<'COMMIT'>,
): boolean {
  const config = ctx.cluster.slotAt(slot);
  if (config === undefined) return false;
  const body = encodeCommitAck({
    v: 1,
    manifestHash: signed.hash,
    keyId: signed.manifest.keyId,
    stamp,
    nodeId: config.nodeId,
    epoch: ctx.cluster.epoch,
    incarnation,
    logIndex,
  });
  if (!ctx.verifier.verify(config.signingKey, 'commit-ack', body, proof)) return false;
  ctx.promises.acknowledge(slot, signed.manifest.keyId, { stamp, logIndex, signed: { body, proof } });
  return true;
}
