/**
 * PREPARE (protocol 5): the four visible steps behind every receipt. The content is written first; then, in one
 * uninterrupted turn, the predicates judge and the record takes its log index; then content and record are
 * durable, which one sync of each at the same time sees to; only then is the receipt signed. The same request gets the same promise again.
 */
import { EMPTY, equal, mapKey } from '../base/bytes.ts';
import type { Frame, PeerConnection } from '../base/ports.ts';
import { encodeEntry } from '../log/entry-types.ts';
import { encodeRepaired } from '../protocol/log-entries.ts';
import { verifyWriter } from '../protocol/certificate.ts';
import type { WriterConfig } from '../protocol/configuration.ts';
import { SYSTEM_BUCKET_ID } from '../protocol/bucket-record.ts';
import { decodeAttributes } from '../protocol/attributes.ts';
import { openSignedManifest, signedManifestToWire, stageOf } from '../protocol/manifest.ts';
import type { Manifest, SignedManifest } from '../protocol/manifest.ts';
import type { RequestOf } from '../protocol/messages.ts';
import { judgePrepare } from '../protocol/predicates.ts';
import type { PrepareView, Refusal, SlotView } from '../protocol/predicates.ts';
import { encodeReceipt } from '../protocol/receipt.ts';
import { compareBallots, NO_VERSION, proposerOf, stageFault, ZERO_BALLOT } from '../protocol/slot.ts';
import type { Ballot } from '../protocol/slot.ts';
import { openCertificate, takeIn } from './accept-certificate.ts';
import type { NodeContext } from './context.ts';
import { claimedBytes } from './contents.ts';
import { lockFault } from './locks.ts';
import { pointersOf } from './records.ts';
import { prepareContent } from './prepare-content.ts';
import type { PreparedContent } from './prepare-content.ts';
import { Refused, reply } from './reply.ts';
import { revokedRefusal } from './revoke-writer.ts';
import type { Version } from './register.ts';
import { contentIds } from './state.ts';

export async function handlePrepare(
  ctx: NodeContext,
  from: PeerConnection,
  sender: WriterConfig | undefined,
  request: RequestOf<'PREPARE'>,
  payload: Uint8Array,
  requireRoom: () => void,
): Promise<Frame> {
  const opened = openSignedManifest(request.manifest);
  if (!opened.ok) throw new Refused('BAD', `manifest: ${opened.reason}`);
  const signed = opened.value;
  const candidate = candidateOf(ctx, signed, request);
  for (const bytes of [request.record, request.prevCert]) {
    if (bytes !== null) await takeIn(ctx, bytes, openCertificate(ctx, bytes), EMPTY);
  }
  // Judged before any byte of content is kept, and again when it is written: the state may have moved on.
  // Where it is refused nothing awaits before that, nor between this and accepting it once more.
  const early = judge(ctx, sender, candidate, request.upload);
  if (early !== null) await refuse(ctx, signed, early);
  const known = ctx.state.register.acceptedAt(signed.manifest.keyId, signed.manifest.stamp);
  const isKnown = known !== undefined && equal(known.hash, signed.hash);
  const { ballot } = candidate;
  if (isKnown && ballot !== null) return receipt(ctx, signed, acceptAgain(ctx, candidate, request, known, ballot), ballot);
  if (isKnown && (known.preparedIndex >= 0 || holdsAll(ctx, known, known.binds))) return receipt(ctx, signed, known, null);

  // Only now: a promise that was given is given again on a full disk, too.
  requireRoom();
  const content = stageOf(signed.manifest) === null
    ? await prepareContent(ctx, from, signed.manifest, request, payload)
    : stagedContent(ctx, signed.manifest);
  const refusal = judge(ctx, sender, candidate, request.upload);
  if (refusal !== null) {
    giveBack(ctx, content);
    await refuse(ctx, signed, refusal);
  }
  const again = ctx.state.register.acceptedAt(signed.manifest.keyId, signed.manifest.stamp);
  if (again !== undefined && equal(again.hash, signed.hash)) {
    if (ballot !== null) {
      giveBack(ctx, content);
      return receipt(ctx, signed, acceptAgain(ctx, candidate, request, again, ballot), ballot);
    }
    if (again.preparedIndex >= 0 || !fill(ctx, from, again, content)) giveBack(ctx, content);
    return receipt(ctx, signed, again, null);
  }
  if (stageOf(signed.manifest) === null && !isStillThere(ctx, from, content)) {
    giveBack(ctx, content);
    throw new Refused('NOT_HELD', 'P5: the content went away meanwhile');
  }
  return receipt(ctx, signed, bindOrGiveBack(ctx, candidate, request, content), ballot);
}

/** A manifest with what does not change while it is judged: signatures, and the receipts it rests on. */
interface Candidate {
  readonly signed: SignedManifest;
  readonly signatureValid: boolean;
  readonly proposer: SlotView['proposer'];
  /** Of the receipts that came along; only what holds no content of its own must know. */
  readonly stageFault: () => string | null;
  /** Of the proposal; null for PLAIN. */
  readonly ballot: Ballot | null;
}

function candidateOf(ctx: NodeContext, signed: SignedManifest, { slot }: RequestOf<'PREPARE'>): Candidate {
  const { cluster, verifier } = ctx;
  const { manifest, hash } = signed;
  const signatureValid = verifyWriter(cluster, verifier, signed);
  if (signatureValid) ctx.sightings.manifest(signed);
  if (manifest.slot === null) {
    if (slot !== undefined) throw new Refused('BAD', 'a PLAIN manifest is not proposed');
    return { signed, signatureValid, proposer: null, stageFault: () => null, ballot: null };
  }
  if (slot === undefined) throw new Refused('BAD', 'P11: a SLOT manifest comes with its proposal');
  const proposer = proposerOf(cluster, verifier, slot.proposal, manifest, hash);
  if (proposer !== null) ctx.sightings.proposal(slot.proposal);
  let fault: string | null | undefined;
  const judgeStage = (): string | null => (fault ??= stageFault(cluster, verifier, manifest, slot.staged));
  return { signed, signatureValid, proposer, stageFault: judgeStage, ballot: proposer?.ballot ?? null };
}

/** What the node knows of the manifest's slot, at this moment. */
function slotView(ctx: NodeContext, { signed, proposer, stageFault: judgeStage }: Candidate): SlotView | null {
  const { manifest } = signed;
  if (manifest.slot === null) return null;
  const { register, stages } = ctx.state;
  const { stage, prev } = manifest.slot;
  const open = register.openSlot(manifest.keyId);
  const isOpen = open !== null && equal(open.prev, prev);
  const accepted = isOpen ? open.accepted : null;
  const inBallot = accepted !== null && proposer !== null && compareBallots(accepted.ballot, proposer.ballot) === 0;
  // Who holds the content is one of those that the receipts would tell of: any correct acceptor does, or has checked that q do.
  const holds = stage === null || holdsStage(ctx, signed);
  return {
    proposer,
    author: ctx.cluster.writerById(manifest.gatewayId),
    newest: register.max(manifest.keyId)?.hash ?? NO_VERSION,
    promised: isOpen ? open.promised : ZERO_BALLOT,
    acceptedInBallot: inBallot ? accepted.hash : undefined,
    stageFault: holds ? null : judgeStage(),
    holdsStage: holds || !stage.slots.includes(ctx.self.slot),
    isUnstaged: stage !== null && stages.hasEnded(stage.id),
    endsAttributes: manifest.clear.length === 0 && hasLivingAttributes(ctx, manifest.keyId),
    lockFault: lockFault(ctx, manifest),
  };
}

/** Does the key hold attributes of a version that has not ended, as far as this node knows? What has ended needs no lock. */
function hasLivingAttributes({ state: { register } }: NodeContext, keyId: Uint8Array): boolean {
  const attributes = register.max(keyId)?.slot?.attributes ?? null;
  return attributes !== null && register.removerOf(attributes.keyId, attributes.stamp) === undefined;
}

/** Is the content still here that this node staged for the manifest, or has it accepted the manifest with it? */
function holdsStage(ctx: NodeContext, { manifest, hash }: SignedManifest): boolean {
  if (ctx.state.register.prepared(manifest.keyId, hash) !== undefined) return true;
  const named = stageOf(manifest);
  const stage = named === null ? undefined : ctx.state.stages.get(named.id);
  return (
    stage !== undefined &&
    equal(stage.contentId, manifest.contentId) &&
    equal(stage.keyId, manifest.keyId) &&
    equal(stage.gatewayId, manifest.gatewayId)
  );
}

/** What the version will keep here: all that was staged, or, where nothing was, its content, for repair to bring. */
function stagedContent(ctx: NodeContext, manifest: Manifest): PreparedContent {
  const named = stageOf(manifest);
  const stage = named === null ? undefined : ctx.state.stages.get(named.id);
  return { content: null, binds: stage?.binds ?? manifest.contentId, upload: null };
}

/** The same manifest in a ballot at least as high: another receipt, which names that ballot. */
function acceptAgain(
  ctx: NodeContext,
  candidate: Candidate,
  request: RequestOf<'PREPARE'>,
  known: Version,
  ballot: Ballot,
): Version {
  const accepted = ctx.state.register.openSlot(known.keyId)?.accepted ?? null;
  const isSame = accepted !== null && compareBallots(accepted.ballot, ballot) === 0;
  if (isSame && known.preparedIndex >= 0) return known;
  return bind(ctx, candidate, request, { content: null, binds: known.binds, upload: null });
}

function holdsAll(ctx: NodeContext, version: Version, binds: Uint8Array): boolean {
  return contentIds(binds).every((id) => ctx.state.contents.get(id)?.boundBy.has(mapKey(version.hash)) === true);
}

/**
 * The certificate was here before its content: the others were faster. No receipt is due any more, but the
 * fragment is kept, or the slot would stay a hole until repair. Returns whether the content was of use.
 */
export function fill(ctx: NodeContext, from: PeerConnection, version: Version, content: PreparedContent): boolean {
  if (ctx.state.register.kept(version.keyId, version.hash) !== version || holdsAll(ctx, version, content.binds)) return false;
  if (!isStillThere(ctx, from, content)) return false;
  const { keyId, hash, contentId } = version;
  const leaf = encodeEntry('REPAIRED', encodeRepaired({ v: 1, keyId, manifestHash: hash, contentId }));
  try {
    ctx.state.write({ r: 'REPAIRED', leaf, content: content.content, binds: content.binds });
  } catch (error) {
    giveBack(ctx, content);
    throw error;
  }
  if (content.upload !== null) ctx.uploads.bound(content.upload);
  ctx.telemetry.count('contents_after_commit');
  return true;
}

/**
 * Checking and binding are one step (13.3): what was found while other requests ran may have gone since. An
 * upload may have ended with its connection or been bound by another manifest; a content that was already
 * here may have been freed.
 */
export function isStillThere(ctx: NodeContext, from: PeerConnection, { content, binds, upload }: PreparedContent): boolean {
  if (upload !== null && !ctx.uploads.has(from, upload)) return false;
  return contentIds(binds).every(
    (id) => (content !== null && equal(id, content.contentId)) || ctx.state.contents.get(id) !== undefined,
  );
}

function bindOrGiveBack(
  ctx: NodeContext,
  candidate: Candidate,
  request: RequestOf<'PREPARE'>,
  content: PreparedContent,
): Version {
  try {
    const version = bind(ctx, candidate, request, content);
    if (content.upload !== null) ctx.uploads.bound(content.upload);
    return version;
  } catch (error) {
    // The journal refused before anything changed.
    giveBack(ctx, content);
    throw error;
  }
}

function judge(
  ctx: NodeContext,
  sender: WriterConfig | undefined,
  candidate: Candidate,
  /** Its reservation becomes the manifest's claim: the same bytes count once. */
  upload: Uint8Array | null,
): Refusal | null {
  const { signed, signatureValid } = candidate;
  const { manifest } = signed;
  const { register, bucketRecords } = ctx.state;
  const own = register.acceptedAt(manifest.keyId, manifest.stamp);
  const isRecord = equal(manifest.bucketId, SYSTEM_BUCKET_ID);
  const bucket = bucketRecords.get(mapKey(isRecord ? manifest.keyId : manifest.bucketId));
  const view: PrepareView = {
    cluster: ctx.cluster,
    sender,
    signatureValid,
    // The version that this very manifest became does not stand in its own way.
    maxStamp: own !== undefined && equal(own.hash, signed.hash) ? floorBelow(register.max(manifest.keyId), own) : register.maxStamp(manifest.keyId),
    acceptedHash: own?.hash,
    promisedNever: register.promisedNever(manifest.keyId, manifest.stamp),
    record: bucket === undefined ? undefined : { record: bucket.record, stamp: bucket.stamp },
    homes: homesOf(ctx, manifest),
    uncertifiedBytes:
      register.uncertifiedBytes(manifest.gatewayId) +
      ctx.uploads.reservedBytes(manifest.gatewayId, upload) +
      // What was staged is charged already.
      (own === undefined && stageOf(manifest) === null ? claimedBytes(manifest) : 0),
    slot: slotView(ctx, candidate),
    isRevoked: (gatewayId) => ctx.state.isRevoked(gatewayId),
  };
  return judgePrepare(signed, view);
}

function homesOf({ state: { register } }: NodeContext, { keyId, clear, slot }: Manifest): readonly Version[] {
  const attributes = slot === null || clear.length === 0 ? null : decodeAttributes(clear);
  const about = attributes?.ok === true ? register.versionAt(attributes.value.keyId, attributes.value.stamp) : undefined;
  return [register.max(keyId), about].filter((version) => version !== null && version !== undefined);
}

/** The stamp to compare with when the same promise is asked for again: the highest certificate unless it is this version. */
function floorBelow(max: Version | null, own: Version): PrepareView['maxStamp'] {
  const zero = { gen: own.stamp.gen, counter: Math.max(0, own.stamp.counter - 1), writerId: new Uint8Array(16) };
  return max === null || max === own ? zero : max.stamp;
}

/** Step 2: one record takes the log index and binds the content. Nothing awaits between judging and this. */
function bind(
  ctx: NodeContext,
  { signed, ballot }: Candidate,
  { slot }: RequestOf<'PREPARE'>,
  { content, binds }: PreparedContent,
): Version {
  const { manifest } = signed;
  const body = receiptBody(ctx, signed, ctx.state.log.size, ballot);
  const leaf = encodeEntry('PREPARED', encodeReceipt(body));
  const record = { r: 'PREPARED', leaf, manifest: signedManifestToWire(signed), content, binds } as const;
  ctx.state.write(slot === undefined ? record : { ...record, slot }, ballot === null ? { signed } : { signed, proposed: ballot });
  const version = ctx.state.register.prepared(manifest.keyId, signed.hash);
  if (version === undefined) throw new Error('a prepared version is in the register');
  return version;
}

/** Steps 3 and 4: durable, then signed. */
async function receipt(ctx: NodeContext, signed: SignedManifest, version: Version, ballot: Ballot | null): Promise<Frame> {
  await version.durable;
  const logIndex = version.preparedIndex;
  if (logIndex < 0) throw new Refused('CONFLICT', 'this node holds the certificate, but gave no receipt for it');
  const incarnation = version.preparedIncarnation;
  const body = { ...receiptBody(ctx, signed, logIndex, ballot), incarnation };
  const proof = await ctx.signer.sign('receipt', encodeReceipt(body));
  return reply('PREPARE', { incarnation, logIndex, proof });
}

function receiptBody(ctx: NodeContext, { manifest, hash }: SignedManifest, logIndex: number, ballot: Ballot | null) {
  return {
    v: 1 as const,
    manifestHash: hash,
    keyId: manifest.keyId,
    stamp: manifest.stamp,
    slot: ctx.self.slot,
    nodeId: ctx.self.nodeId,
    epoch: ctx.cluster.epoch,
    incarnation: ctx.state.incarnation,
    logIndex,
    ...(ballot === null ? {} : { ballot }),
  };
}

/** An upload keeps its cells for the next attempt; what came with this request goes. */
export function giveBack(ctx: NodeContext, { content, upload }: PreparedContent): void {
  if (content === null || upload !== null) return;
  for (const pointer of [...pointersOf(content.cells), ...pointersOf(content.blocks)]) ctx.state.cells.release(pointer);
}

/** What was accepted first may have come before this process began: it is half of a proof (E1, E11). */
async function noteFirst(ctx: NodeContext, keyId: Uint8Array, first: SignedManifest | null): Promise<void> {
  const { register } = ctx.state;
  if (first !== null) ctx.sightings.manifest(first);
  const accepted = register.openSlot(keyId)?.accepted ?? null;
  const version = accepted === null ? undefined : register.prepared(keyId, accepted.hash);
  if (version !== undefined) ctx.sightings.proposal((await ctx.state.readAccepted(version)).proposal);
}

/** Refuses with what the sender needs to go on: the certificate or manifest in the way, the record, the documents. */
async function refuse(ctx: NodeContext, signed: SignedManifest, refusal: Refusal | null): Promise<void> {
  if (refusal === null) return;
  const { manifest } = signed;
  const { register, bucketRecords } = ctx.state;
  ctx.telemetry.count('refusals', { code: refusal.code });
  const { code, reason } = refusal;
  if (code === 'REVOKED') throw revokedRefusal(ctx, ctx.state.isRevoked(manifest.gatewayId) ? manifest.gatewayId : EMPTY);
  if (code === 'CONFIG_STALE') throw new Refused(code, reason, { document: ctx.cluster.document });
  if (code === 'SUPERSEDED' || code === 'COUNTER' || code === 'PREDECESSOR') {
    const max = register.max(manifest.keyId);
    throw new Refused(code, reason, { cert: max === null ? null : await ctx.state.readCertificate(max) });
  }
  if (code === 'BALLOT') {
    throw new Refused(code, reason, { statement: register.openSlot(manifest.keyId)?.request ?? null });
  }
  if (code === 'EQUIVOCATION') {
    const first = register.acceptedAt(manifest.keyId, manifest.stamp);
    const accepted = first === undefined ? null : await ctx.state.readManifest(first);
    await noteFirst(ctx, manifest.keyId, accepted);
    throw new Refused(code, reason, { manifest: accepted === null ? null : signedManifestToWire(accepted) });
  }
  if (code === 'BUCKET_STALE') {
    const bucket = bucketRecords.get(mapKey(manifest.bucketId));
    throw new Refused(code, reason, { cert: bucket === undefined ? null : await ctx.state.readCertificate(bucket.version) });
  }
  throw new Refused(code, reason);
}
