/**
 * COMMIT (protocol 5): taking a certificate in. Anyone may bring one; it speaks for itself. The node's state
 * rises to it, durably, before the acknowledgement is signed. A certificate that shows this node a promise
 * of its own that its log lacks means that the node was rolled back: it stops (13.9).
 */
import { concat, EMPTY, equal, mapKey } from '../base/bytes.ts';
import type { Frame } from '../base/ports.ts';
import { sha256 } from '../crypto/primitives.ts';
import { encodeEntry } from '../log/entry-types.ts';
import { leafHash } from '../merkle/tree.ts';
import { SYSTEM_BUCKET_ID } from '../protocol/bucket-record.ts';
import { certificateFault, decodeCertificate, receiptBodyOf } from '../protocol/certificate.ts';
import type { Certificate } from '../protocol/certificate.ts';
import { committedBodyOf } from '../protocol/log-entries.ts';
import { stageOf } from '../protocol/manifest.ts';
import type { RequestOf } from '../protocol/messages.ts';
import { encodeCommitAck, encodeReceipt } from '../protocol/receipt.ts';
import { compareStamps, COUNTER_STEP_MAX } from '../protocol/stamp.ts';
import type { NodeContext } from './context.ts';
import { blobRecord } from './prepare-content.ts';
import { pointersOf } from './records.ts';
import type { ContentRecord, NodeRecord } from './records.ts';
import { Refused, reply } from './reply.ts';
import type { Recorded } from './state.ts';

/** Parses and verifies a certificate from anyone; refuses BAD with the reason. */
export function openCertificate(ctx: NodeContext, bytes: Uint8Array): Certificate {
  const decoded = decodeCertificate(bytes);
  if (!decoded.ok) throw new Refused('BAD', `certificate: ${decoded.reason}`);
  const fault = certificateFault(ctx.cluster, ctx.verifier, decoded.value);
  if (fault !== null) {
    ctx.sightings.invalid(decoded.value);
    throw new Refused('BAD', `certificate: ${fault}`);
  }
  ctx.sightings.certificate(decoded.value);
  checkOwnReceipt(ctx, decoded.value);
  return decoded.value;
}

/** The boot check never ends: a receipt of ours that our log lacks or fills otherwise is proof of a rollback. */
function checkOwnReceipt(ctx: NodeContext, cert: Certificate): void {
  const own = cert.receipts.find((r) => r.slot === ctx.self.slot);
  if (own === undefined) return;
  const { log } = ctx.state;
  const body = encodeReceipt(receiptBodyOf(cert.signed, ctx.self.nodeId, own, cert.ballot));
  const expected = leafHash(encodeEntry('PREPARED', body));
  const found = log.leafRange(own.logIndex, own.logIndex + 1)?.[0];
  if (found !== undefined && equal(found, expected)) return;
  ctx.stop(`a receipt signed by this node names index ${own.logIndex}, which its log of ${log.durableSize} lacks or fills otherwise`);
  throw new Refused('LOST', 'this node was rolled back');
}

/**
 * Takes a verified certificate in and waits until the node's state durably dominates it. Returns the index of
 * the durable leaf by which it does. `inline` is the body of an INLINE version that the node did not prepare.
 */
export async function takeIn(ctx: NodeContext, bytes: Uint8Array, cert: Certificate, inline: Uint8Array): Promise<number> {
  const { register, bucketRecords } = ctx.state;
  const { manifest, hash } = cert.signed;
  let content: ContentRecord | null = null;
  if (manifest.kind === 'INLINE' && ctx.state.contents.get(manifest.contentId) === undefined) {
    if (inline.length > 0 && equal(sha256(inline), manifest.contentId)) {
      content = blobRecord(manifest, await ctx.state.cells.append(inline));
    }
  }
  const max = register.max(manifest.keyId);
  const standing = register.standing(manifest.keyId, manifest.stamp, hash, manifest.slot !== null);
  if (standing.kind === 'dominated') {
    giveBack(ctx, content);
    if (max !== null && compareStamps(manifest.stamp, max.stamp) === 0 && !equal(hash, max.hash)) {
      // I1: two certificates for one stamp need more than f faulty nodes.
      ctx.telemetry.count('invariant_violations', { invariant: 'I1' });
      ctx.telemetry.event('error', 'two certificates for one stamp', { slot: ctx.self.slot });
    }
    await standing.by.durable;
    return standing.by.committedIndex;
  }
  const from = max?.stamp.gen === manifest.stamp.gen ? max.stamp.counter : 0;
  if (manifest.stamp.counter > from + COUNTER_STEP_MAX) ctx.telemetry.count('counter_jumps');
  const bucket = bucketRecords.get(mapKey(manifest.bucketId));
  if (bucket?.record.state === 'CLOSING' && !equal(manifest.bucketId, SYSTEM_BUCKET_ID)) {
    giveBack(ctx, content);
    throw new Refused('BUCKET_STALE', 'the bucket is closing', { cert: await ctx.state.readCertificate(bucket.version) });
  }
  const stage = stageOf(manifest);
  const staged = stage === null ? undefined : ctx.state.stages.get(stage.id);
  const binds = register.prepared(manifest.keyId, hash)?.binds ?? staged?.binds ?? defaultBinds(cert);
  const leaf = encodeEntry('COMMITTED', committedBodyOf(cert.signed));
  const { logIndex, durable } = writeOrGiveBack(ctx, { r: 'COMMITTED', leaf, cert: bytes, content, binds }, cert);
  if (binds.length > 0 && ctx.state.contents.get(manifest.contentId) === undefined) ctx.telemetry.count('holes_by_commit');
  await durable;
  // Not that of the highest version now: a later certificate may have come meanwhile and not be durable yet.
  return logIndex;
}

function writeOrGiveBack(ctx: NodeContext, record: Extract<NodeRecord, { r: 'COMMITTED' }>, cert: Certificate): Recorded {
  try {
    return ctx.state.write(record, { cert });
  } catch (error) {
    // The journal refused before anything changed.
    giveBack(ctx, record.content);
    throw error;
  }
}

function giveBack(ctx: NodeContext, content: ContentRecord | null): void {
  for (const pointer of content === null ? [] : pointersOf(content.cells)) ctx.state.cells.release(pointer);
}

/** A version that this node did not prepare: it names its content all the same, so that repair knows what is missing. */
function defaultBinds(cert: Certificate): Uint8Array {
  const { kind, contentId } = cert.signed.manifest;
  return kind === 'TOMBSTONE' || kind === 'REMOVE' ? EMPTY : concat(contentId);
}

export async function handleCommit(ctx: NodeContext, request: RequestOf<'COMMIT'>, payload: Uint8Array): Promise<Frame> {
  const cert = openCertificate(ctx, request.cert);
  const logIndex = await takeIn(ctx, request.cert, cert, request.inline ? payload : EMPTY);
  const { manifest, hash } = cert.signed;
  const body = {
    v: 1 as const,
    manifestHash: hash,
    keyId: manifest.keyId,
    stamp: manifest.stamp,
    nodeId: ctx.self.nodeId,
    epoch: ctx.cluster.epoch,
    incarnation: ctx.state.incarnation,
    logIndex,
  };
  const proof = await ctx.signer.sign('commit-ack', encodeCommitAck(body));
  return reply('COMMIT', { incarnation: body.incarnation, logIndex: body.logIndex, proof });
}
