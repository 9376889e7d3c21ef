/**
 * STAGE, UNSTAGE and RELEASE (protocol 13.7): a content is made durable before its manifest is proposed, so
 * that an acceptor needs only the manifest, and let go again when its writer's request has ended without it.
 */
import { EMPTY, equal, mapKey } from '../base/bytes.ts';
import { STAGES_BATCH_MAX } from '../base/limits.ts';
import type { Frame, PeerConnection } from '../base/ports.ts';
import { encodeEntry } from '../log/entry-types.ts';
import type { WriterConfig } from '../protocol/configuration.ts';
import type { AnswerOf, RefusedMap, RequestOf } from '../protocol/messages.ts';
import { holderCount } from '../protocol/quorum.ts';
import { decodeUnstaged, encodeStaged, encodeUnstaged, STAGE_MANIFESTS_MAX } from '../protocol/slot.ts';
import type { BallotRequest, SignedBody, StagedBody } from '../protocol/slot.ts';
import { openCertificate, takeIn } from './accept-certificate.ts';
import { fill, giveBack, isStillThere } from './accept-manifest.ts';
import type { NodeContext } from './context.ts';
import { claimedBytes } from './contents.ts';
import type { ContentTerms } from './contents.ts';
import { prepareContent } from './prepare-content.ts';
import { Refused, reply } from './reply.ts';
import { revokedRefusal } from './revoke-writer.ts';
import { ballotOfSender, promise, requireSerialised } from './promise-ballot.ts';
import type { Stage } from './stages.ts';

export async function handleStage(
  ctx: NodeContext,
  from: PeerConnection,
  writer: WriterConfig,
  request: RequestOf<'STAGE'>,
  payload: Uint8Array,
  requireRoom: () => void,
): Promise<Frame> {
  if (request.record !== null) await takeIn(ctx, request.record, openCertificate(ctx, request.record), EMPTY);
  const terms: ContentTerms = { ...request.layout, n: ctx.cluster.geometry.n };
  const ballot = ballotBeside(ctx, writer, request);
  await judge(ctx, writer, request, terms);
  const known = ctx.state.stages.get(request.stageId);
  if (known !== undefined) return answer(ctx, sameStage(writer, request, known), ballot);

  requireRoom();
  const content = await prepareContent(ctx, from, terms, request, payload);
  const again = ctx.state.stages.get(request.stageId);
  if (again !== undefined || ctx.state.stages.hasEnded(request.stageId) || !isStillThere(ctx, from, content)) {
    giveBack(ctx, content);
    if (again !== undefined) return answer(ctx, sameStage(writer, request, again), ballot);
    throw new Refused('NOT_HELD', 'P5: the content went away meanwhile');
  }
  // It may have come while the content was written.
  if (ctx.state.isRevoked(writer.gatewayId)) {
    giveBack(ctx, content);
    throw revokedRefusal(ctx, writer.gatewayId);
  }
  const certified = ctx.state.register.certifiedOn(request.keyId, request.stageId);
  if (certified !== undefined) {
    if (!fill(ctx, from, certified, content)) giveBack(ctx, content);
    throw new Refused('CONFLICT', 'the version that rests on the stage is certified');
  }
  const logIndex = ctx.state.log.size;
  const body: StagedBody = {
    v: 1,
    bucketId: request.bucketId,
    keyId: request.keyId,
    stageId: request.stageId,
    contentId: terms.contentId,
    gatewayId: writer.gatewayId,
    slot: ctx.self.slot,
    nodeId: ctx.self.nodeId,
    epoch: ctx.cluster.epoch,
    incarnation: ctx.state.incarnation,
    logIndex,
  };
  const bytes = encodeStaged(body);
  const leaf = encodeEntry('STAGED', bytes);
  const { binds } = content;
  try {
    ctx.state.write({ r: 'STAGED', leaf, content: content.content, binds, bytes: claimedBytes(terms) }, { staged: body });
  } catch (error) {
    giveBack(ctx, content);
    throw error;
  }
  if (content.upload !== null) ctx.uploads.bound(content.upload);
  const stage = ctx.state.stages.get(request.stageId);
  if (stage === undefined) throw new Error('a stage just written is held');
  return answer(ctx, stage, ballot, bytes);
}

/** A ballot that comes with a stage: of the same key, so that the bucket is judged once for both. */
interface BallotBeside {
  readonly ballot: BallotRequest;
  readonly request: SignedBody;
}

function ballotBeside(ctx: NodeContext, writer: WriterConfig, { ballot, bucketId, keyId }: RequestOf<'STAGE'>): BallotBeside | null {
  if (ballot === undefined) return null;
  const opened = ballotOfSender(ctx, writer, ballot);
  if (equal(opened.bucketId, bucketId) && equal(opened.keyId, keyId)) return { ballot: opened, request: ballot };
  throw new Refused('BAD', 'the ballot is for another key');
}

async function judge(
  ctx: NodeContext,
  writer: WriterConfig,
  request: RequestOf<'STAGE'>,
  terms: ContentTerms,
): Promise<void> {
  const record = await requireSerialised(ctx, writer, request.bucketId);
  const { n, f } = ctx.cluster.geometry;
  if (terms.k > n - 2 * f || terms.k < f + 1 || !record.geometries.includes(terms.k)) {
    throw new Refused('BAD', `P4: the bucket does not allow k = ${terms.k}`);
  }
  if ((terms.kind === 'DATA') !== terms.cellBytes > 0) throw new Refused('BAD', 'DATA, and only DATA, has cells');
  if (ctx.state.stages.hasEnded(request.stageId)) throw new Refused('CONFLICT', 'P5: the stage has ended');
  const held =
    ctx.state.register.uncertifiedBytes(writer.gatewayId) +
    ctx.uploads.reservedBytes(writer.gatewayId, request.upload);
  const isNew = ctx.state.stages.get(request.stageId) === undefined;
  if (isNew && held + claimedBytes(terms) > ctx.cluster.config.uncertifiedBytesMax) {
    throw new Refused('BUSY', 'P9: the writer holds too many uncertified bytes');
  }
}

/** The same request again gets the same promise; another content under this identifier is no retry. */
function sameStage(writer: WriterConfig, request: RequestOf<'STAGE'>, stage: Stage): Stage {
  const isSame =
    equal(stage.gatewayId, writer.gatewayId) &&
    equal(stage.keyId, request.keyId) &&
    equal(stage.bucketId, request.bucketId) &&
    equal(stage.contentId, request.layout.contentId);
  if (!isSame) throw new Refused('BAD', 'P5: the stage holds another content');
  return stage;
}

/** The receipt and, where it was asked for, the promise: written in one turn, so that one sync serves both. */
async function answer(
  ctx: NodeContext,
  stage: Stage,
  beside: BallotBeside | null,
  body: Uint8Array = bodyOf(ctx, stage),
): Promise<Frame> {
  if (beside === null) return reply('STAGE', await receipt(ctx, stage, body));
  const promised = promise(ctx, beside.ballot, beside.request).catch(refusalOnly);
  const [staged, { answer: promiseAnswer, payload }] = await Promise.all([receipt(ctx, stage, body), promised]);
  return reply('STAGE', { ...staged, promise: promiseAnswer }, payload);
}

/** The stage stands whatever became of the ballot. */
function refusalOnly(error: unknown): { readonly answer: RefusedMap; readonly payload: Uint8Array } {
  if (error instanceof Refused) return { answer: error.toMap(), payload: EMPTY };
  throw error;
}

async function receipt(ctx: NodeContext, stage: Stage, body: Uint8Array): Promise<AnswerOf<'STAGE'>> {
  await stage.durable;
  const { incarnation, logIndex } = stage;
  return { incarnation, logIndex, proof: await ctx.signer.sign('staged', body) };
}

function bodyOf(ctx: NodeContext, stage: Stage): Uint8Array {
  const { bucketId, keyId, stageId, contentId, gatewayId, incarnation, logIndex } = stage;
  const { slot, nodeId } = ctx.self;
  const about = { v: 1, bucketId, keyId, stageId, contentId, gatewayId } as const;
  return encodeStaged({ ...about, slot, nodeId, epoch: ctx.cluster.epoch, incarnation, logIndex });
}

export async function handleUnstage(
  ctx: NodeContext,
  writer: WriterConfig,
  { keyId, stageId }: RequestOf<'UNSTAGE'>,
): Promise<Frame> {
  const stage = ctx.state.stages.get(stageId);
  const isOwn = stage === undefined || equal(stage.gatewayId, writer.gatewayId);
  if (!isOwn && !writer.capabilities.includes('resolve')) throw new Refused('DENIED', 'the stage is not yours');
  const certified = ctx.state.register.certifiedOn(keyId, stageId);
  if (certified !== undefined) {
    // Whoever lacks the certificate still holds the content by its stage alone.
    const cert = await ctx.state.readCertificate(certified);
    throw new Refused('CONFLICT', 'a certified version rests on the stage', { cert });
  }
  const resting = ctx.state.register.preparedOn(keyId, stageId);
  if (resting.length > STAGE_MANIFESTS_MAX) throw new Refused('BUSY', 'too many manifests rest on the stage');
  if (!ctx.state.stages.hasEnded(stageId)) ctx.state.write({ r: 'UNSTAGED', stageId });
  const accepted = resting.map(({ hash, slot, stamp }) => ({ hash, prev: slot?.prev ?? EMPTY, stamp }));
  await ctx.state.queuedIsDurable();
  const body = encodeUnstaged({ v: 1, stageId, slot: ctx.self.slot, epoch: ctx.cluster.epoch, accepted });
  return reply('UNSTAGE', { body, proof: await ctx.signer.sign('unstaged', body) });
}

/** Younger ones of another gateway are its own business: it may be writing. */
const FOREIGN_STAGE_MS = 24 * 3_600_000;

export function handleStages(ctx: NodeContext, writer: WriterConfig, { ageMs }: RequestOf<'STAGES'>): Frame {
  const mayEndAll = writer.capabilities.includes('resolve');
  const listed: AnswerOf<'STAGES'>['stages'] = [];
  for (const { stage, ageMs: age } of ctx.state.stages.ages(ctx.clock.monotonicMs())) {
    const { stageId, keyId, gatewayId } = stage;
    const isOwn = equal(gatewayId, writer.gatewayId);
    const isAsked = isOwn ? age >= ageMs : mayEndAll && age >= Math.max(ageMs, FOREIGN_STAGE_MS);
    if (isAsked) listed.push({ stageId, keyId, gatewayId });
    if (listed.length === STAGES_BATCH_MAX) break;
  }
  return reply('STAGES', { stages: listed });
}

export async function handleRests(ctx: NodeContext, { keyId, stageId }: RequestOf<'RESTS'>): Promise<Frame> {
  const { register } = ctx.state;
  const certified = register.certifiedOn(keyId, stageId);
  const accepted = register.preparedOn(keyId, stageId).slice(0, STAGE_MANIFESTS_MAX).map(({ stamp }) => stamp);
  const cert = certified === undefined ? null : await ctx.state.readCertificate(certified);
  await ctx.state.queuedIsDurable();
  return reply('RESTS', { accepted, cert });
}

export async function handleRelease(ctx: NodeContext, request: RequestOf<'RELEASE'>): Promise<Frame> {
  const { keyId, stageId } = request;
  const slots = new Set<number>();
  for (const { body, proof } of request.statements) {
    const decoded = decodeUnstaged(body);
    if (!decoded.ok) throw new Refused('BAD', `statement: ${decoded.reason}`);
    const { slot, epoch, accepted, stageId: named } = decoded.value;
    const config = ctx.cluster.slotAt(slot);
    const isRight = config !== undefined && epoch === ctx.cluster.epoch && equal(named, stageId) && !slots.has(slot);
    if (!isRight || !ctx.verifier.verify(config.signingKey, 'unstaged', body, proof)) {
      throw new Refused('BAD', 'a statement of the licence does not verify');
    }
    if (accepted.some((manifest) => !ctx.state.register.isSettled(keyId, manifest))) {
      throw new Refused('CONFLICT', 'a manifest that rests on the stage is not settled');
    }
    slots.add(slot);
  }
  // f + 1 correct nodes accept nothing on it any more: too few are left for a certificate.
  if (slots.size < holderCount(ctx.cluster.geometry)) throw new Refused('DENIED', 'too few statements');
  const stage = ctx.state.stages.get(stageId);
  if (stage !== undefined && mapKey(stage.keyId) !== mapKey(keyId)) throw new Refused('BAD', 'the stage is of another key');
  if (stage !== undefined) await ctx.state.write({ r: 'RELEASED', stageId }).durable;
  return reply('RELEASE', {});
}
