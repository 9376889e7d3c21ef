/**
 * PROMISE (protocol 6.4): the first phase of a slot. The node promises to accept nothing below a ballot, and
 * shows what it has accepted: whoever proposes next proposes the highest of that.
 */
import { EMPTY, equal, mapKey } from '../base/bytes.ts';
import type { Frame } from '../base/ports.ts';
import type { BucketRecord } from '../protocol/bucket-record.ts';
import type { WriterConfig } from '../protocol/configuration.ts';
import { signedManifestToWire } from '../protocol/manifest.ts';
import type { RequestOf } from '../protocol/messages.ts';
import { ballotOf, compareBallots, decodeBallotRequest, NO_VERSION, ROUND_STEP_MAX } from '../protocol/slot.ts';
import type { BallotRequest } from '../protocol/slot.ts';
import { openCertificate, takeIn } from './accept-certificate.ts';
import type { NodeContext } from './context.ts';
import { readBlob } from './read-content.ts';
import type { OpenSlot } from './register.ts';
import { Refused, reply } from './reply.ts';

export async function handlePromise(
  ctx: NodeContext,
  writer: WriterConfig,
  { request, prevCert, record }: RequestOf<'PROMISE'>,
): Promise<Frame> {
  const decoded = decodeBallotRequest(request.body);
  if (!decoded.ok) throw new Refused('BAD', `ballot: ${decoded.reason}`);
  const ballot = decoded.value;
  const isOwn = equal(ballot.gatewayId, writer.gatewayId);
  if (!isOwn || !ctx.verifier.verify(writer.signingKey, 'ballot', request.body, request.proof)) {
    throw new Refused('BAD', 'the ballot is not the sender\'s');
  }
  for (const bytes of [record, prevCert]) {
    if (bytes !== null) await takeIn(ctx, bytes, openCertificate(ctx, bytes), EMPTY);
  }
  await requireSerialised(ctx, writer, ballot.bucketId);
  await requireNewest(ctx, ballot);
  // From here to the record nothing awaits.
  const open = openSlotAfter(ctx, ballot);
  if (open === null || !equal(open.request.body, request.body)) {
    judgeBallot(ctx, ballot, open);
    ctx.state.write({ r: 'PROMISED', request });
  }
  const accepted = open?.accepted ?? null;
  await ctx.state.queuedIsDurable();
  return accepted === null ? reply('PROMISE', { accepted: null }) : showAccepted(ctx, ballot.keyId, accepted.hash);
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

async function requireNewest(ctx: NodeContext, { keyId, prev }: BallotRequest): Promise<void> {
  const max = ctx.state.register.max(keyId);
  if (equal(max?.hash ?? NO_VERSION, prev)) return;
  const cert = max === null ? null : await ctx.state.readCertificate(max);
  throw new Refused('PREDECESSOR', 'another version is the newest here', { cert });
}

/** What is promised and accepted in the slot. The newest version may have changed since it was looked at. */
function openSlotAfter(ctx: NodeContext, { keyId, prev }: BallotRequest): OpenSlot | null {
  if (!equal(ctx.state.register.max(keyId)?.hash ?? NO_VERSION, prev)) {
    throw new Refused('PREDECESSOR', 'another version has become the newest');
  }
  const open = ctx.state.register.openSlot(keyId);
  return open !== null && equal(open.prev, prev) ? open : null;
}

function judgeBallot(ctx: NodeContext, request: BallotRequest, open: OpenSlot | null): void {
  const promised = open?.promised.round ?? 0;
  if (open !== null && compareBallots(ballotOf(request), open.promised) <= 0) {
    ctx.telemetry.count('refusals', { code: 'BALLOT' });
    throw new Refused('BALLOT', 'a higher ballot is promised', { statement: open.request });
  }
  if (request.round > promised + ROUND_STEP_MAX) throw new Refused('BAD', 'a round too far above the one promised');
}

async function showAccepted(ctx: NodeContext, keyId: Uint8Array, hash: Uint8Array): Promise<Frame> {
  const version = ctx.state.register.prepared(keyId, hash);
  // Certified meanwhile: the slot is decided, and the asker learns by what.
  if (version === undefined) {
    const max = ctx.state.register.max(keyId);
    const cert = max === null ? null : await ctx.state.readCertificate(max);
    throw new Refused('PREDECESSOR', 'another version has become the newest', { cert });
  }
  const { manifest, proposal, staged } = await ctx.state.readAccepted(version);
  const content = version.kind === 'INLINE' ? ctx.state.contents.get(version.contentId) : undefined;
  const body = content === undefined ? EMPTY : ((await readBlob(ctx, content)) ?? EMPTY);
  return reply('PROMISE', { accepted: { manifest: signedManifestToWire(manifest), proposal, staged: [...staged] } }, body);
}
