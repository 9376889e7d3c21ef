/**
 * PROMISE (protocol 6.4): the first phase of a slot. The node promises to accept nothing below a ballot, and
 * shows what it has accepted: whoever proposes next proposes the highest of that.
 */
import { EMPTY, equal, mapKey } from '../base/bytes.ts';
import type { Frame } from '../base/ports.ts';
import type { BucketRecord } from '../protocol/bucket-record.ts';
import type { WriterConfig } from '../protocol/configuration.ts';
import { signedManifestToWire } from '../protocol/manifest.ts';
import type { AnswerOf, RequestOf } from '../protocol/messages.ts';
import { ballotOf, compareBallots, decodeBallotRequest, NO_VERSION, ROUND_STEP_MAX } from '../protocol/slot.ts';
import type { BallotRequest, SignedBody } from '../protocol/slot.ts';
import { openCertificate, takeIn } from './accept-certificate.ts';
import type { NodeContext } from './context.ts';
import { readBlob } from './read-content.ts';
import type { OpenSlot } from './register.ts';
import { Refused, reply } from './reply.ts';
import { requireNotRevoked } from './revoke-writer.ts';

export async function handlePromise(
  ctx: NodeContext,
  writer: WriterConfig,
  { request, prevCert, record }: RequestOf<'PROMISE'>,
): Promise<Frame> {
  const ballot = ballotOfSender(ctx, writer, request);
  for (const bytes of [record, prevCert]) {
    if (bytes !== null) await takeIn(ctx, bytes, openCertificate(ctx, bytes), EMPTY);
  }
  await requireSerialised(ctx, writer, ballot.bucketId);
  const { answer, payload } = await promise(ctx, ballot, request);
  return reply('PROMISE', answer, payload);
}

/** What is asked for, by whom it says. */
export function ballotOfSender(ctx: NodeContext, writer: WriterConfig, request: SignedBody): BallotRequest {
  const decoded = decodeBallotRequest(request.body);
  if (!decoded.ok) throw new Refused('BAD', `ballot: ${decoded.reason}`);
  const isOwn = equal(decoded.value.gatewayId, writer.gatewayId);
  if (!isOwn || !ctx.verifier.verify(writer.signingKey, 'ballot', request.body, request.proof)) {
    throw new Refused('BAD', 'the ballot is not the sender\'s');
  }
  return decoded.value;
}

/** The answer to PROMISE, with what was accepted as its payload. */
export interface Promised {
  readonly answer: AnswerOf<'PROMISE'>;
  readonly payload: Uint8Array;
}

/**
 * Promises a ballot of an open bucket, durably, or refuses. Judges and writes before it first awaits: what the
 * caller has just written becomes durable together with the promise.
 */
export async function promise(ctx: NodeContext, ballot: BallotRequest, request: SignedBody): Promise<Promised> {
  requireNotRevoked(ctx, ballot.gatewayId);
  if (!isNewest(ctx, ballot)) throw await notNewest(ctx, ballot.keyId);
  const found = ctx.state.register.openSlot(ballot.keyId);
  const open = found !== null && equal(found.prev, ballot.prev) ? found : null;
  if (open === null || !equal(open.request.body, request.body)) {
    judgeBallot(ctx, ballot, open);
    ctx.state.write({ r: 'PROMISED', request }, { ballot });
  }
  const accepted = open?.accepted ?? null;
  await ctx.state.queuedIsDurable();
  return accepted === null ? { answer: { accepted: null }, payload: EMPTY } : showAccepted(ctx, ballot.keyId, accepted.hash);
}

/** The record of a bucket that is open and written through slots. Refuses what P3 and 13.2 refuse. */
export async function requireSerialised(ctx: NodeContext, writer: WriterConfig, bucketId: Uint8Array): Promise<BucketRecord> {
  if (!writer.capabilities.includes('write')) throw new Refused('DENIED', 'P3: not a writer');
  const held = ctx.state.bucketRecords.get(mapKey(bucketId));
  if (held === undefined) throw new Refused('BUCKET_UNKNOWN', '13.2: this node lacks the bucket record');
  if (held.record.state !== 'OPEN') {
    const cert = await ctx.state.readCertificate(held.version);
    throw new Refused('BUCKET_STALE', `13.2: the bucket is ${held.record.state}`, { cert });
  }
  if (held.record.mode !== 'SERIALISED') throw new Refused('BAD', '13.7: the bucket is PLAIN');
  return held.record;
}

function isNewest(ctx: NodeContext, { keyId, prev }: BallotRequest): boolean {
  return equal(ctx.state.register.max(keyId)?.hash ?? NO_VERSION, prev);
}

async function notNewest(ctx: NodeContext, keyId: Uint8Array): Promise<Refused> {
  const max = ctx.state.register.max(keyId);
  const cert = max === null ? null : await ctx.state.readCertificate(max);
  return new Refused('PREDECESSOR', 'another version is the newest here', { cert });
}

function judgeBallot(ctx: NodeContext, request: BallotRequest, open: OpenSlot | null): void {
  const promised = open?.promised.round ?? 0;
  if (open !== null && compareBallots(ballotOf(request), open.promised) <= 0) {
    ctx.telemetry.count('refusals', { code: 'BALLOT' });
    throw new Refused('BALLOT', 'a higher ballot is promised', { statement: open.request });
  }
  if (request.round > promised + ROUND_STEP_MAX) throw new Refused('BAD', 'a round too far above the one promised');
}

async function showAccepted(ctx: NodeContext, keyId: Uint8Array, hash: Uint8Array): Promise<Promised> {
  const version = ctx.state.register.prepared(keyId, hash);
  // Certified meanwhile: the slot is decided, and the asker learns by what.
  if (version === undefined) throw await notNewest(ctx, keyId);
  const { manifest, proposal, staged } = await ctx.state.readAccepted(version);
  const content = version.kind === 'INLINE' ? ctx.state.contents.get(version.contentId) : undefined;
  const payload = content === undefined ? EMPTY : ((await readBlob(ctx, content)) ?? EMPTY);
  return { answer: { accepted: { manifest: signedManifestToWire(manifest), proposal, staged } }, payload };
}
