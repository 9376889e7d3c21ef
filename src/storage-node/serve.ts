/**
 * What a storage node answers to readers (protocol 5): QUERY, FETCH and BODY, certificates, shown stamps,
 * checkpoints and ranges of its log. Everything it shows is durable. It never shows manifests without a
 * certificate, and gives cells to writers' gateways only: nodes do not read from each other (trap H16).
 */
import { EMPTY, equal, mapKey } from '../base/bytes.ts';
import type { Frame } from '../base/ports.ts';
import { FRAME_BODY_BYTES_MAX, LEASE_MS_MAX } from '../base/limits.ts';
import { verifySignature } from '../crypto/primitives.ts';
import { logOrigin, openCheckpoint, signCheckpoint } from '../log/checkpoint.ts';
import { ed25519Signer, ed25519Verifier } from '../log/signed-note.ts';
import { encode } from '../protocol/encoding.ts';
import type { LackBody, RequestOf, Seen } from '../protocol/messages.ts';
import { compareStamps } from '../protocol/stamp.ts';
import { stripeCount } from '../protocol/stripes.ts';
import type { NodeContext } from './context.ts';
import { contentIds } from './state.ts';
import { readBlob, readCell } from './read-content.ts';
import type { Version } from './register.ts';
import { Refused, reply } from './reply.ts';

/** Room for the answer's frame around the leaves. */
const CHANGES_BYTES_MAX = FRAME_BODY_BYTES_MAX - 64 * 1024;

export async function handleQuery(ctx: NodeContext, request: RequestOf<'QUERY'>, mayRead: boolean): Promise<Frame> {
  const { register } = ctx.state;
  // Before the version is looked up: what this log has confirmed, the answer must show (E5).
  const seen = confirmed(ctx, request.seen);
  const max = request.at === undefined ? register.max(request.keyId) : (register.versionAt(request.keyId, request.at) ?? null);
  const answer = {
    ...(await removalOf(ctx, request, max)),
    cert: max === null ? null : await ctx.state.readCertificate(max),
    row: null as Uint8Array | null,
    path: [] as Uint8Array[],
    epoch: ctx.cluster.epoch,
    configHash: ctx.cluster.hash,
    seen,
  };
  if (max === null || !request.cell0 || !mayRead) return reply('QUERY', answer);
  const content = ctx.state.contents.get(max.contentId);
  if (content === undefined) return reply('QUERY', answer);
  lease(ctx, max.hash, ctx.tuning.peerTimeoutMs);
  if (content.shape === 'BLOB') return reply('QUERY', answer, (await readBlob(ctx, content)) ?? EMPTY);
  const read = await readCell(ctx, content, 0);
  if (read === null) return reply('QUERY', answer);
  return reply('QUERY', { ...answer, row: read.row, path: read.path }, read.cell);
}

/**
 * The checkpoint that the asker quotes, if it is one of this log. Others are not repeated: whoever quotes a
 * tree that this node has never had must not get its signature under it.
 */
function confirmed({ state, telemetry }: NodeContext, seen: Seen): Seen {
  if (seen === null) return null;
  const root = state.log.root(seen.size);
  if (root !== null && equal(root, seen.root)) return seen;
  telemetry.count('foreign_checkpoints_quoted');
  return null;
}

/** That a version asked for by its stamp is gone is shown, not said: by the manifest that removed it. */
async function removalOf(
  ctx: NodeContext,
  { keyId, at }: RequestOf<'QUERY'>,
  found: Version | null,
): Promise<{ removedBy?: Uint8Array }> {
  if (at === undefined || found !== null) return {};
  const by = ctx.state.register.removerOf(keyId, at);
  return by === undefined ? {} : { removedBy: await ctx.state.readCertificate(by) };
}

export async function handleFetch(ctx: NodeContext, request: RequestOf<'FETCH'>): Promise<Frame> {
  const version = heldVersion(ctx, request.keyId, request.manifestHash);
  const named = version !== undefined && contentIds(version.binds).some((id) => equal(id, request.contentId));
  const content = named ? ctx.state.contents.get(request.contentId) : undefined;
  if (content === undefined) return lacks(ctx, request, version, 'NOT_HELD');
  // Said before a lack is signed: what never was there must not become evidence of a loss.
  if (content.shape !== 'CELLS' || request.stripe >= stripeCount(content.layout)) throw new Refused('BAD', 'no such cell');
  lease(ctx, request.manifestHash, request.leaseMs);
  await version?.durable;
  const read = await readCell(ctx, content, request.stripe);
  if (read === null) return lacks(ctx, request, version, 'HOLE');
  return reply('FETCH', { row: read.row, path: read.path }, read.cell);
}

export async function handleBody(ctx: NodeContext, request: RequestOf<'BODY'>): Promise<Frame> {
  const version = heldVersion(ctx, request.keyId, request.manifestHash);
  if (version !== undefined && !equal(version.contentId, request.contentId)) throw new Refused('BAD', 'the version has another body');
  const content = version === undefined ? undefined : ctx.state.contents.get(request.contentId);
  const lacking = { ...request, stripe: 0 };
  if (content === undefined) return lacks(ctx, lacking, version, 'NOT_HELD');
  if (content.shape !== 'BLOB') throw new Refused('BAD', 'the version has no body');
  lease(ctx, request.manifestHash, request.leaseMs);
  await version?.durable;
  const bytes = await readBlob(ctx, content);
  return bytes === null ? lacks(ctx, lacking, version, 'HOLE') : reply('BODY', {}, bytes);
}

/**
 * The version of that hash, as long as its content is here: the highest one, one not yet evicted, or one of
 * which this node has not seen the certificate yet. Whoever knows the hash has seen the certificate, or is
 * the writer; denying such a version would be a signed lie about what this node's own receipt promises.
 */
export function heldVersion(ctx: NodeContext, keyId: Uint8Array, hash: Uint8Array): Version | undefined {
  const max = ctx.state.register.max(keyId);
  if (max !== null && equal(max.hash, hash)) return max;
  const kept = ctx.state.register.kept(keyId, hash);
  if (kept !== undefined) return kept;
  const old = ctx.state.register.supersededByHash(hash);
  if (old !== undefined && equal(old.version.keyId, keyId)) return old.version;
  return ctx.state.register.prepared(keyId, hash);
}

/** A higher certificate when there is one, else a signed statement that can be held against this node (E6). */
export async function lacks(
  ctx: NodeContext,
  asked: Pick<RequestOf<'FETCH'>, 'keyId' | 'manifestHash' | 'stamp' | 'contentId' | 'stripe'>,
  version: Version | undefined,
  code: 'NOT_HELD' | 'HOLE',
): Promise<Frame> {
  const max = ctx.state.register.max(asked.keyId);
  // The asker's word on the stamp decides only the form of the answer: the statement says what this node holds.
  if (max !== null && compareStamps(max.stamp, version?.stamp ?? asked.stamp) > 0) {
    throw new Refused('SUPERSEDED', 'a higher version is held', { cert: await ctx.state.readCertificate(max) });
  }
  const lack: LackBody = {
    v: 1,
    code,
    manifestHash: asked.manifestHash,
    contentId: asked.contentId,
    stripe: asked.stripe,
    slot: ctx.self.slot,
    epoch: ctx.cluster.epoch,
    max: max?.stamp ?? null,
  };
  const body = encode(lack);
  const proof = await ctx.signer.sign('not-held', body);
  ctx.telemetry.count('lacks', { code });
  throw new Refused(code, version === undefined ? 'no such version is held' : 'the cell is not held', {
    statement: { body, proof },
  });
}

function lease(ctx: NodeContext, hash: Uint8Array, ms: number): void {
  if (ms === 0) return;
  const until = ctx.clock.monotonicMs() + Math.min(ms, LEASE_MS_MAX);
  const name = mapKey(hash);
  if ((ctx.leases.get(name) ?? 0) < until) ctx.leases.set(name, until);
}

export async function handleCerts(ctx: NodeContext, request: RequestOf<'CERTS'>): Promise<Frame> {
  const certs: (Uint8Array | null)[] = [];
  let bytes = 0;
  for (const [i, keyId] of request.keyIds.entries()) {
    const stamp = request.stamps?.[i] ?? null;
    const { register } = ctx.state;
    const version = stamp === null ? register.max(keyId) : (register.versionAt(keyId, stamp) ?? null);
    const cert = version === null ? null : await ctx.state.readCertificate(version);
    bytes += cert?.length ?? 0;
    if (bytes > CHANGES_BYTES_MAX) break;
    certs.push(cert);
  }
  return reply('CERTS', { certs });
}

export async function handleShown(ctx: NodeContext, request: RequestOf<'SHOWN'>): Promise<Frame> {
  const shown = [];
  for (const keyId of request.keyIds) {
    const max = ctx.state.register.max(keyId);
    await max?.durable;
    shown.push(max === null ? null : { stamp: max.stamp, manifestHash: max.hash });
  }
  return reply('SHOWN', { shown });
}

export function handleCheckpoint(ctx: NodeContext, request: RequestOf<'CHECKPOINT'>): Frame {
  const origin = logOrigin(ctx.cluster.id, ctx.self.nodeId);
  if (request.known !== undefined) checkOwnCheckpoint(ctx, origin, request.known);
  const signer = ed25519Signer(origin, ctx.signingKey);
  const { note } = signCheckpoint(ctx.state.log.checkpoint(origin, request.nonce), signer);
  return reply('CHECKPOINT', { text: note });
}

/** The boot check never ends (13.9): a checkpoint that this node has signed and its log contradicts is proof of a rollback. */
function checkOwnCheckpoint({ signingKey, state, telemetry, stop }: NodeContext, origin: string, known: string): void {
  const opened = openCheckpoint(known, ed25519Verifier(origin, signingKey.publicKey, verifySignature));
  if (!opened.ok) {
    telemetry.count('foreign_checkpoints_quoted');
    return;
  }
  const { size, root } = opened.signed.checkpoint;
  const own = state.log.root(size);
  if (own !== null && equal(own, root)) return;
  stop(`a checkpoint of ${size} entries that this node has signed is none of its log of ${state.log.durableSize}`);
  throw new Refused('LOST', 'this node was rolled back');
}

export async function handleChanges(ctx: NodeContext, request: RequestOf<'CHANGES'>, leavesMax: number): Promise<Frame> {
  const end = Math.min(request.to, ctx.state.log.durableSize, request.from + leavesMax);
  const leaves: Uint8Array[] = [];
  let bytes = 0;
  for (let index = request.from; index < end; index += 1) {
    const leaf = await ctx.state.readLeaf(index);
    bytes += leaf.length + 16;
    if (bytes > CHANGES_BYTES_MAX) break;
    leaves.push(leaf);
  }
  return reply('CHANGES', { from: request.from, leaves });
}

/** For who reads the past: the node keeps the certificate of every entry, also of versions that have gone. */
export async function handleHistory(ctx: NodeContext, { indexes }: RequestOf<'HISTORY'>): Promise<Frame> {
  const certs: (Uint8Array | null)[] = [];
  let bytes = 0;
  for (const index of indexes) {
    const cert = index < ctx.state.log.durableSize ? await ctx.state.readCommitted(index) : null;
    bytes += cert?.length ?? 0;
    if (bytes > CHANGES_BYTES_MAX && certs.length > 0) break;
    certs.push(cert);
  }
  return reply('HISTORY', { certs });
}
