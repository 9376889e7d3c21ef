/**
 * The boot check (protocol 9.5, 13.9): before it signs anything, a node asks the others what they have seen
 * it sign, and refuses to serve when its log lacks some of it: its disk was rolled back. A claim counts only
 * with a statement signed by this very node, so a liar cannot keep it down. It waits for n-1-f others: if
 * this node is rolled back, at most f-1 of them are faulty, so one that holds the proof is among them.
 */
import { EMPTY, equal } from '../base/bytes.ts';
import { OperationError } from '../base/errors.ts';
import type { Frame, Timer } from '../base/ports.ts';
import { encodeEntry, decodeEntry } from '../log/entry-types.ts';
import { CERTS_BATCH_MAX } from '../base/limits.ts';
import { leafHash } from '../merkle/tree.ts';
import { certificateFault, decodeCertificate, receiptBodyOf } from '../protocol/certificate.ts';
import type { SlotConfig } from '../protocol/configuration.ts';
import { decodeCommitted, encodeBoot } from '../protocol/log-entries.ts';
import { decodeAnswer, encodeRequest } from '../protocol/messages.ts';
import type { AnswerOf, Request, RequestOf, RequestType } from '../protocol/messages.ts';
import { encodeReceipt } from '../protocol/receipt.ts';
import { compareStamps } from '../protocol/stamp.ts';
import { openCertificate, takeIn } from './accept-certificate.ts';
import type { NodeContext } from './context.ts';
import { Refused, reply } from './reply.ts';
import { learnRevocations } from './revoke-writer.ts';

const RETRY_MS = 250;
/** How much longer the slowest logs are followed, in times that one answer may take. */
const CATCH_UP_GRACE_TIMEOUTS = 2;

/** Answers another node's boot check. Works before this node's own check has ended, so a full restart cannot deadlock. */
export async function handleBoot(ctx: NodeContext, asker: SlotConfig): Promise<Frame> {
  const highest = ctx.state.highestBySlot.get(asker.slot);
  const cert = highest === undefined ? null : await ctx.state.readCertificate(highest.version);
  const remembered = ctx.state.remembered.get(asker.slot) ?? null;
  await ctx.state.queuedIsDurable();
  return reply('BOOT', { cert, remembered, size: ctx.state.log.durableSize });
}

/** Keeps another node's incarnation durably. */
export async function handleRemember(ctx: NodeContext, asker: SlotConfig, request: RequestOf<'REMEMBER'>): Promise<Frame> {
  const { incarnation, proof } = request;
  const body = encodeBoot({ v: 1, nodeId: asker.nodeId, epoch: ctx.cluster.epoch, incarnation });
  if (!ctx.verifier.verify(asker.signingKey, 'boot', body, proof)) throw new Refused('BAD', 'the incarnation is not signed');
  const known = ctx.state.remembered.get(asker.slot);
  if (known === undefined || known.incarnation < incarnation) {
    ctx.state.write({ r: 'REMEMBERED', slot: asker.slot, incarnation, proof });
  }
  await ctx.state.queuedIsDurable();
  return reply('REMEMBER', {});
}

/** One request to another slot; null when it does not answer as it should. */
export async function ask<T extends RequestType>(
  ctx: NodeContext,
  slot: number,
  request: Request & { readonly t: T },
): Promise<AnswerOf<T> | null> {
  const channel = ctx.peers.get(slot);
  if (channel === undefined) return null;
  try {
    const frame = await channel.request(
      { body: encodeRequest(request), payload: EMPTY },
      { timeoutMs: ctx.tuning.peerTimeoutMs },
    );
    const parsed = decodeAnswer(request.t, frame.body);
    return parsed.kind === 'answer' ? parsed.answer : null;
  } catch {
    // Silence and garbage are the same to the one who asks: this slot has not answered.
    return null;
  }
}

/**
 * Runs the check and begins a new incarnation. Returns the sizes of the logs that answered. Throws LOST_STATE
 * when the node was rolled back, CANCELLED when `signal` aborts. Waits as long as too few others answer.
 */
export async function bootCheck(ctx: NodeContext, signal: AbortSignal): Promise<ReadonlyMap<number, number>> {
  const { n, f } = ctx.cluster.geometry;
  const sizes = new Map<number, number>();
  await untilAnswered(ctx, n - 1 - f, signal, async (slot) => {
    const answer = await ask(ctx, slot, { t: 'BOOT' });
    if (answer === null) return false;
    judgeClaims(ctx, slot, answer);
    // n-f hold what is revoked, and of the n-1-f that answer here one correct node is among them.
    if (!(await learnRevocations(ctx, slot))) return false;
    sizes.set(slot, answer.size);
    return true;
  });
  await beginIncarnation(ctx, signal);
  return sizes;
}

function judgeClaims(ctx: NodeContext, slot: number, answer: AnswerOf<'BOOT'>): void {
  const { remembered } = answer;
  if (remembered !== null && remembered.incarnation > ctx.state.incarnation) {
    const { nodeId, signingKey } = ctx.self;
    const body = encodeBoot({ v: 1, nodeId, epoch: ctx.cluster.epoch, incarnation: remembered.incarnation });
    if (ctx.verifier.verify(signingKey, 'boot', body, remembered.proof)) {
      throw rolledBack(`slot ${slot} keeps incarnation ${remembered.incarnation}, the log ends with ${ctx.state.incarnation}`);
    }
    ctx.telemetry.count('suspicions', { kind: 'forged-boot-claim', slot: String(slot) });
  }
  if (answer.cert === null) return;
  const cert = decodeCertificate(answer.cert);
  if (!cert.ok || certificateFault(ctx.cluster, ctx.verifier, cert.value) !== null) {
    ctx.telemetry.count('suspicions', { kind: 'forged-boot-claim', slot: String(slot) });
    return;
  }
  const own = cert.value.receipts.find((r) => r.slot === ctx.self.slot);
  if (own === undefined) return;
  const body = encodeReceipt(receiptBodyOf(cert.value.signed, ctx.self.nodeId, own, cert.value.ballot));
  const found = ctx.state.log.leafRange(own.logIndex, own.logIndex + 1)?.[0];
  if (found === undefined || !equal(found, leafHash(encodeEntry('PREPARED', body)))) {
    const size = ctx.state.log.durableSize;
    throw rolledBack(`slot ${slot} shows a receipt that this node signed at log index ${own.logIndex}; the log has ${size} entries`);
  }
}

/** BOOT(i+1) is durable here first, then kept by 2f others; only then does the node sign anything else. */
async function beginIncarnation(ctx: NodeContext, signal: AbortSignal): Promise<void> {
  const incarnation = ctx.state.incarnation + 1;
  const body = encodeBoot({ v: 1, nodeId: ctx.self.nodeId, epoch: ctx.cluster.epoch, incarnation });
  await ctx.state.write({ r: 'BOOT', leaf: encodeEntry('BOOT', body), configHash: ctx.cluster.hash }).durable;
  const proof = await ctx.signer.sign('boot', body);
  await untilAnswered(ctx, 2 * ctx.cluster.geometry.f, signal, async (slot) => {
    return (await ask(ctx, slot, { t: 'REMEMBER', incarnation, proof })) !== null;
  });
}

/** Asks every other slot, again and again, until `needed` have given an answer that counts. */
async function untilAnswered(
  ctx: NodeContext,
  needed: number,
  signal: AbortSignal,
  once: (slot: number) => Promise<boolean>,
): Promise<void> {
  const done = new Set<number>();
  while (done.size < needed) {
    if (signal.aborted) throw new OperationError('CANCELLED', 'The node is stopping.');
    const missing = [...ctx.peers.keys()].filter((slot) => !done.has(slot));
    await Promise.all(
      missing.map(async (slot) => {
        if (await once(slot)) done.add(slot);
      }),
    );
    if (done.size < needed) await ctx.clock.sleep(RETRY_MS, signal);
  }
}

function rolledBack(detail: string): OperationError {
  return new OperationError('LOST_STATE', `This node's disk was rolled back: ${detail}.`, {
    remedy: 'A node cannot be restored from a copy: it comes back as a new member of its slot.',
  });
}

/**
 * Takes in the certificates that the others logged since this node last followed them, and remembers how far
 * it came. Nothing that was promised depends on it, so it waits for all but f of the logs; the others have a
 * while longer, because a liar's log may never end.
 */
export async function catchUp(ctx: NodeContext, sizes: ReadonlyMap<number, number>): Promise<void> {
  const reached = new Map<number, number>();
  let isOver = false;
  let finished = 0;
  let enough: () => void = () => undefined;
  const mostFinished = new Promise<void>((resolve) => {
    enough = resolve;
  });
  const follow = async (slot: number, size: number): Promise<void> => {
    let from = Math.min(ctx.state.marks[slot] ?? 0, size);
    while (from < size && !isOver) {
      const answer = await ask(ctx, slot, { t: 'CHANGES', from, to: size });
      if (answer === null || answer.from !== from || answer.leaves.length === 0) break;
      await takeInMissing(ctx, slot, answer.leaves);
      from += answer.leaves.length;
      reached.set(slot, Math.min(from, size));
    }
    finished += 1;
    if (finished >= sizes.size - ctx.cluster.geometry.f) enough();
  };
  const all = Promise.all([...sizes].map(([slot, size]) => follow(slot, size)));
  await Promise.race([all, mostFinished]);
  let timer: Timer | undefined;
  const later = new Promise<void>((resolve) => {
    timer = ctx.clock.after(CATCH_UP_GRACE_TIMEOUTS * ctx.tuning.peerTimeoutMs, resolve);
  });
  await Promise.race([all, later]);
  timer?.cancel();
  isOver = true;
  await noteMarks(ctx, reached);
}

async function takeInMissing(ctx: NodeContext, slot: number, leaves: readonly Uint8Array[]): Promise<void> {
  const keyIds: Uint8Array[] = [];
  for (const leaf of leaves) {
    const entry = decodeEntry(leaf);
    if (entry?.type !== 'COMMITTED') continue;
    const committed = decodeCommitted(entry.body);
    if (!committed.ok) continue;
    if (compareStamps(committed.value.stamp, ctx.state.register.maxStamp(committed.value.keyId)) > 0) {
      keyIds.push(committed.value.keyId);
    }
  }
  for (let at = 0; at < keyIds.length; at += CERTS_BATCH_MAX) {
    const answer = await ask(ctx, slot, { t: 'CERTS', keyIds: keyIds.slice(at, at + CERTS_BATCH_MAX) });
    for (const bytes of answer?.certs ?? []) {
      if (bytes === null) continue;
      try {
        await takeIn(ctx, bytes, openCertificate(ctx, bytes), EMPTY);
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        // A certificate for a closing bucket waits until the bucket opens again; nobody lied.
        if (error.answer.code === 'BAD') ctx.telemetry.count('suspicions', { kind: 'bad-certificate', slot: String(slot) });
      }
    }
  }
}

/** Remembers how far the others' logs were followed. */
async function noteMarks(ctx: NodeContext, reached: ReadonlyMap<number, number>): Promise<void> {
  const marks = ctx.cluster.slots.map(({ slot }) => reached.get(slot) ?? ctx.state.marks[slot] ?? 0);
  if (marks.every((mark, slot) => mark === (ctx.state.marks[slot] ?? 0))) return;
  await ctx.state.write({ r: 'MARKS', sizes: marks }).durable;
}
