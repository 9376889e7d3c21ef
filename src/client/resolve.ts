/**
 * Settling orphans (protocol 6.7): a write whose gateway went away, or that was given up, may have left
 * receipts on nodes. Where the owner's journal allows it and its content is all there, the write is completed:
 * nodes that lack it are sent what their writer would have sent. Otherwise every node says under signature
 * what it accepted for the stamp, or promises NEVER to accept anything; enough of that proves that no
 * certificate can exist, and is a licence by which nodes let go. To complete comes first: after a promise of
 * NEVER it may be too late.
 */
import { EMPTY, equal } from '../base/bytes.ts';
import { verifyWriter } from '../protocol/certificate.ts';
import { openSignedManifest, stageOf } from '../protocol/manifest.ts';
import type { SignedManifest } from '../protocol/manifest.ts';
import { decodeResolution } from '../protocol/messages.ts';
import type { AnswerOf, RequestOf } from '../protocol/messages.ts';
import { holderCount, mayBeCertified } from '../protocol/quorum.ts';
import { compareStamps, sameStamp } from '../protocol/stamp.ts';
import type { Stamp } from '../protocol/stamp.ts';
import type { Certified } from './certificates.ts';
import { commit, requireHeld } from './commit.ts';
import type { ClientContext } from './context.ts';
import { gather } from './gather.ts';
import { prepare } from './prepare.ts';
import { settleSlot } from './propose.ts';
import type { WriterSessions } from './session.ts';
import { unstageLater } from './stage.ts';
import type { BatchSigner } from '../protocol/batch-signer.ts';
import { query, showing } from './query.ts';
import { headAt } from './read.ts';
import { restoreContent } from './restore.ts';

/**
 * `release`: let go if it is certain that no certificate exists. `complete`: certify it if that is possible;
 * only for an attempt that the journal neither calls abandoned nor follows by another of the same operation,
 * or the operation would be applied twice (I7).
 */
export type ResolvePolicy = 'release' | 'complete';

export type Resolution =
  /** c nodes hold a certificate of the orphan (`signed`), or of the version that followed it. */
  | { readonly outcome: 'committed'; readonly certified: Certified; readonly signed: SignedManifest }
  /** A higher version is certified: the orphan binds nothing any more. */
  | { readonly outcome: 'superseded'; readonly certified: Certified }
  /** It never was and never will be certified; the slots that were told have let go of it. */
  | { readonly outcome: 'released'; readonly toldSlots: readonly number[] }
  /** Not enough is known: ask again later. Any overwrite settles it too. */
  | { readonly outcome: 'undecided'; readonly answered: number; readonly prepared: number };

interface Statement {
  readonly wire: RequestOf<'ABORT'>['resolutions'][number];
  readonly prepared: Uint8Array | null;
  readonly manifest: SignedManifest | null;
  readonly holds: boolean;
}

/** Throws NO_QUORUM when fewer than q nodes answer. May be called again at any time. */
export async function resolve(
  ctx: ClientContext,
  keyId: Uint8Array,
  stamp: Stamp,
  policy: ResolvePolicy,
  { sessions, signer }: Resolver,
): Promise<Resolution> {
  const settled = await ended(ctx, keyId, stamp);
  if (settled !== null) return settled;
  if (policy === 'complete') {
    const found = await ask(ctx, keyId, stamp, false);
    const slotted = [...found.values()].find(({ manifest }) => manifest !== null && manifest.manifest.slot !== null)?.manifest;
    if (slotted !== undefined && slotted !== null) return settle(ctx, sessions, signer, slotted, found.size);
    const completed = await complete(ctx, found);
    if (completed !== null) return completed;
  }
  const statements = await ask(ctx, keyId, stamp, true);
  const accepted = [...statements.values()].filter(({ prepared }) => prepared !== null);
  if (!mayBeCertified(ctx.cluster.geometry, statements.size, accepted.length)) {
    return release(ctx, keyId, stamp, statements);
  }
  return { outcome: 'undecided', answered: statements.size, prepared: accepted.length };
}

/** Whose session completes slots. */
export interface Resolver {
  readonly sessions: WriterSessions;
  readonly signer: BatchSigner;
}

/** A slot is never settled by promises of NEVER alone: what was accepted in it may be decided (6.7). */
async function settle(
  ctx: ClientContext,
  sessions: WriterSessions,
  signer: BatchSigner,
  signed: SignedManifest,
  answered: number,
): Promise<Resolution> {
  const { highest } = await query(ctx, signed.manifest.keyId);
  const settled = await settleSlot(ctx, sessions, signer, signed, highest);
  switch (settled.kind) {
    case 'certified':
      return { outcome: 'committed', certified: settled.certified, signed };
    case 'lost': {
      const { manifest } = signed;
      const stage = stageOf(manifest);
      if (stage !== null) unstageLater(ctx, { id: stage.id, keyId: manifest.keyId });
      return { outcome: 'superseded', certified: settled.to };
    }
    case 'undecided':
      return { outcome: 'undecided', answered, prepared: 1 };
  }
}

/** Certifies what is all there; null when it is not. Throws as `restoreContent`. */
async function complete(ctx: ClientContext, statements: ReadonlyMap<number, Statement>): Promise<Resolution | null> {
  const found = completable(statements);
  if (found === null) return null;
  const { signed, holders } = found;
  const restored = await restoreContent(ctx, signed, holders);
  if (restored.kind === 'superseded') return { outcome: 'superseded', certified: restored.by };
  const contentOf = restored.value;
  const outcome = await prepare(ctx, { signed, contentOf, record: null, predecessor: null, slot: null });
  if (outcome.kind === 'superseded') return { outcome: 'superseded', certified: outcome.winner };
  const undecided = { outcome: 'undecided', answered: statements.size, prepared: holders.size } as const;
  if (outcome.kind !== 'certified') return undecided;
  const { ok } = await commit(ctx, outcome.certified, { complete: true });
  return ok ? { outcome: 'committed', certified: outcome.certified, signed } : undecided;
}

/** Is the stamp settled by a certificate at or above it? */
async function ended(ctx: ClientContext, keyId: Uint8Array, stamp: Stamp): Promise<Resolution | null> {
  const round = await query(ctx, keyId);
  const { highest } = round;
  if (highest === null || compareStamps(highest.stamp, stamp) < 0) return null;
  const shown = showing(round.replies, highest.stamp);
  if (shown.size < holderCount(ctx.cluster.geometry)) await requireHeld(ctx, highest, { shown });
  if (sameStamp(highest.stamp, stamp)) return { outcome: 'committed', certified: highest, signed: highest.signed };
  // Where versions are kept it is still there, below.
  const kept = await headAt(ctx, keyId, stamp);
  if (kept.kind === 'version') return { outcome: 'committed', certified: kept.certified, signed: kept.certified.signed };
  return { outcome: 'superseded', certified: highest };
}

async function ask(
  ctx: ClientContext,
  keyId: Uint8Array,
  stamp: Stamp,
  /** Must a node that has accepted nothing promise NEVER to? Otherwise it says nothing. */
  promise: boolean,
): Promise<ReadonlyMap<number, Statement>> {
  const { peers, clock, deadlines } = ctx;
  const untilMs = clock.monotonicMs() + deadlines.resolveMs;
  const askSlot = async (slot: number): Promise<Statement | null> => {
    const result = await peers.persist(slot, { t: 'RESOLVE' as const, keyId, stamp, promise }, EMPTY, untilMs);
    return result.kind === 'answer' ? openStatement(ctx, keyId, stamp, slot, result.answer) : null;
  };
  // All are waited for: each answer may be the one that decides.
  const { n } = ctx.cluster.geometry;
  const { found } = await gather(peers.all(), askSlot, (statements) => statements.size === n);
  return found;
}

function openStatement(
  ctx: ClientContext,
  keyId: Uint8Array,
  stamp: Stamp,
  slot: number,
  { resolution, manifest, holds }: AnswerOf<'RESOLVE'>,
): Statement | null {
  const config = ctx.cluster.slotAt(slot);
  const decoded = decodeResolution(resolution.body);
  const isRight =
    config !== undefined &&
    decoded.ok &&
    decoded.value.slot === slot &&
    decoded.value.epoch === ctx.cluster.epoch &&
    equal(decoded.value.keyId, keyId) &&
    sameStamp(decoded.value.stamp, stamp) &&
    ctx.verifier.verify(config.signingKey, 'resolution', resolution.body, resolution.proof);
  if (!isRight) {
    ctx.peers.suspect(slot, 'BAD_RESOLUTION', 'the resolution is not a signed one of this stamp');
    return null;
  }
  const { prepared } = decoded.value;
  const opened = manifest === null ? undefined : openSignedManifest(manifest);
  const signed = opened?.ok === true ? opened.value : null;
  const fits =
    prepared !== null &&
    signed !== null &&
    equal(signed.hash, prepared) &&
    equal(signed.manifest.keyId, keyId) &&
    sameStamp(signed.manifest.stamp, stamp) &&
    verifyWriter(ctx.cluster, ctx.verifier, signed);
  if (prepared !== null && !fits) {
    ctx.peers.suspect(slot, 'BAD_RESOLUTION', 'the accepted manifest is not shown');
  }
  return { wire: resolution, prepared, manifest: fits ? signed : null, holds };
}

/** The manifest that k nodes have accepted and say to hold the content of, if there is one. */
function completable(
  statements: ReadonlyMap<number, Statement>,
): { readonly signed: SignedManifest; readonly holders: ReadonlySet<number> } | null {
  for (const { manifest: signed } of statements.values()) {
    if (signed === null) continue;
    const isHolder = ({ manifest, holds }: Statement): boolean => holds && manifest !== null && equal(manifest.hash, signed.hash);
    const holders = new Set([...statements].filter(([, statement]) => isHolder(statement)).map(([slot]) => slot));
    if (holders.size >= signed.manifest.k) return { signed, holders };
  }
  return null;
}

/**
 * Rules a manifest out for good if that is possible: so many nodes promise never to accept it that it never
 * is certified. False: it may be, or have been.
 */
export async function ruleOut(ctx: ClientContext, keyId: Uint8Array, stamp: Stamp): Promise<boolean> {
  const statements = await ask(ctx, keyId, stamp, true);
  const accepted = [...statements.values()].filter(({ prepared }) => prepared !== null);
  if (mayBeCertified(ctx.cluster.geometry, statements.size, accepted.length)) return false;
  await release(ctx, keyId, stamp, statements);
  return true;
}

async function release(
  ctx: ClientContext,
  keyId: Uint8Array,
  stamp: Stamp,
  statements: ReadonlyMap<number, Statement>,
): Promise<Resolution> {
  const { peers, clock, deadlines } = ctx;
  const resolutions = [...statements.values()].map(({ wire }) => wire);
  const untilMs = clock.monotonicMs() + deadlines.resolveMs;
  const request = { t: 'ABORT' as const, keyId, stamp, resolutions };
  const toldSlots: number[] = [];
  await gather(
    peers.all(),
    async (slot) => {
      const result = await peers.persist(slot, request, EMPTY, untilMs);
      if (result.kind === 'answer') toldSlots.push(slot);
      return null;
    },
    () => false,
  );
  return { outcome: 'released', toldSlots: toldSlots.sort((a, b) => a - b) };
}
