/**
 * Repair (protocol 6.8): a controller gives this node what it has lost of a certified version, or never had.
 * Nothing of it is believed: the certificate names the matrix, the matrix the row, the row the cell. So a lying
 * controller wastes its own quota and changes nothing. What is taken is on disk before REPAIRED is logged, and
 * logged before it is answered.
 */
import { assert } from '../base/assert.ts';
import { concat, EMPTY, equal } from '../base/bytes.ts';
import { FRAME_PAYLOAD_BYTES_MAX } from '../base/limits.ts';
import type { Frame, PeerConnection } from '../base/ports.ts';
import { sha256 } from '../crypto/primitives.ts';
import type { Pointer } from '../journal/pointer.ts';
import { encodeEntry } from '../log/entry-types.ts';
import { rowLeaf } from '../merkle/tiles.ts';
import { verifyInclusion } from '../merkle/tree.ts';
import type { WriterConfig } from '../protocol/configuration.ts';
import { decode } from '../protocol/encoding.ts';
import { encodeRepaired } from '../protocol/log-entries.ts';
import { partTableSchema } from '../protocol/manifest.ts';
import type { Manifest, Part } from '../protocol/manifest.ts';
import type { RequestOf } from '../protocol/messages.ts';
import { repairAuthorityFault } from '../protocol/repair-authority.ts';
import { cellBytesOf, stripeCount } from '../protocol/stripes.ts';
import { openCertificate, takeIn } from './accept-certificate.ts';
import type { NodeContext } from './context.ts';
import type { Content, ContentTerms } from './contents.ts';
import { blobRecord, prepareContent } from './prepare-content.ts';
import { hasBlock, readBlob, readCell } from './read-content.ts';
import { packExtents, pointersOf } from './records.ts';
import type { ContentRecord } from './records.ts';
import type { Version } from './register.ts';
import { Refused, reply } from './reply.ts';
import { contentIds } from './state.ts';

type RepairRequest = RequestOf<'REPAIR'>;

/** Takes a cell, a blob or a whole content back. Refuses what is not exactly what the certified version names. */
export async function handleRepair(
  ctx: NodeContext,
  from: PeerConnection,
  controller: WriterConfig,
  request: RepairRequest,
  payload: Uint8Array,
): Promise<Frame> {
  const fault = repairAuthorityFault(ctx.cluster, ctx.verifier, request.authority, controller.gatewayId, ctx.clock.nowMs(), (gatewayId) =>
    ctx.state.isRevoked(gatewayId),
  );
  if (fault !== null) throw new Refused('DENIED', fault);
  const version = await certified(ctx, request);
  const { contents } = ctx.state;
  const isNamed = contentIds(version.binds).some((id) => equal(id, request.contentId));
  if (!isNamed) throw new Refused('BAD', 'the version does not name this content');
  const held = contents.get(request.contentId);
  if (held === undefined) await takeContent(ctx, from, version, request, payload);
  else if (request.upload !== null) await replaceContent(ctx, from, version, held, request);
  else await takePiece(ctx, version, held, request, payload);
  ctx.telemetry.count('repairs_taken');
  return reply('REPAIR', {});
}

/** The version, as long as it counts. A certificate that this node lacks is taken in first. */
async function certified(ctx: NodeContext, { keyId, manifestHash, stamp, cert }: RepairRequest): Promise<Version> {
  const { register } = ctx.state;
  const known = register.kept(keyId, manifestHash);
  if (known !== undefined) return known;
  if (cert !== null) {
    const opened = openCertificate(ctx, cert);
    if (!equal(opened.signed.hash, manifestHash)) throw new Refused('BAD', 'the certificate is of another version');
    await takeIn(ctx, cert, opened, EMPTY);
    const taken = register.kept(keyId, manifestHash);
    if (taken !== undefined) return taken;
  }
  const max = register.max(keyId);
  if (max === null) throw new Refused('NOT_HELD', 'no certificate of this version is here');
  const reason = `the version with counter ${stamp.counter} has ended`;
  throw new Refused('SUPERSEDED', reason, { cert: await ctx.state.readCertificate(max) });
}

/** One lost piece of a content whose other pieces are here. A piece that is not lost stays as it is. */
async function takePiece(ctx: NodeContext, version: Version, held: Content, request: RepairRequest, payload: Uint8Array): Promise<void> {
  const { stripe, row } = request;
  checkPiece(ctx, held, request, payload);
  if ((await readPiece(ctx, held, stripe)) !== null) return;
  if (held.shape === 'CELLS' && !(await hasBlock(ctx, held, stripe))) {
    throw new Refused('CONFLICT', 'the hashes of other stripes are lost too: the content is needed as a whole');
  }
  const pointer = await (held.shape === 'CELLS' ? ctx.state.cells.append(row, payload) : ctx.state.cells.append(payload));
  await ctx.state.cells.sync();
  // Meanwhile the content may have gone, or have been moved.
  if (ctx.state.contents.get(held.id) !== held) {
    ctx.state.cells.release(pointer);
    throw new Refused('NOT_HELD', 'the content has gone meanwhile');
  }
  const record = ctx.state.contents.recordOf(held);
  const cells = pointersOf(record.cells);
  cells[stripe] = pointer;
  await restored(ctx, version, { ...record, cells: packExtents(cells) }, [pointer], stripe);
}

function checkPiece(ctx: NodeContext, held: Content, { stripe, row, path }: RepairRequest, payload: Uint8Array): void {
  if (held.shape === 'BLOB') {
    if (stripe !== 0 || !equal(sha256(payload), held.id)) throw new Refused('BAD', 'the body is not the one of the manifest');
    return;
  }
  const count = stripeCount(held.layout);
  if (stripe >= count) throw new Refused('BAD', 'no such cell');
  ctx.uploads.checkCell(row, payload);
  if (!verifyInclusion(held.id, rowLeaf(row), stripe, count, path)) throw new Refused('BAD', 'the row is not in the matrix of the content');
  if (payload.length !== cellBytesOf(held.layout, stripe)) throw new Refused('BAD', 'the cell has another length');
}

async function readPiece(ctx: NodeContext, held: Content, stripe: number): Promise<unknown> {
  return held.shape === 'BLOB' ? readBlob(ctx, held) : readCell(ctx, held, stripe);
}

/** All cells of a content anew, by an upload, where more than single cells are lost. */
async function replaceContent(ctx: NodeContext, from: PeerConnection, version: Version, held: Content, request: RepairRequest): Promise<void> {
  const { layout, id } = held;
  if (held.shape !== 'CELLS') throw new Refused('BAD', 'a body does not come by upload');
  const terms: ContentTerms = { kind: 'DATA', contentId: id, ...layout };
  const { content, upload } = await prepareContent(ctx, from, terms, { upload: request.upload, row: null }, EMPTY);
  // A repeated request finds its cells bound already.
  if (content === null || upload === null) return;
  if (ctx.state.contents.get(id) !== held || !ctx.uploads.has(from, upload)) throw new Refused('NOT_HELD', 'the content or its upload has gone meanwhile');
  ctx.uploads.bound(upload);
  await restored(ctx, version, content, [...pointersOf(content.cells), ...pointersOf(content.blocks)]);
}

async function restored(ctx: NodeContext, version: Version, content: ContentRecord, fresh: readonly Pointer[], stripe?: number): Promise<void> {
  const named = { keyId: version.keyId, manifestHash: version.hash, contentId: content.contentId };
  const body = encodeRepaired(stripe === undefined ? { v: 1, ...named } : { v: 2, ...named, stripe });
  try {
    await ctx.state.write({ r: 'RESTORED', leaf: encodeEntry('REPAIRED', body), content }).durable;
  } catch (error) {
    for (const pointer of fresh) ctx.state.cells.release(pointer);
    throw error;
  }
}

/** A content that this node does not hold at all. */
async function takeContent(ctx: NodeContext, from: PeerConnection, version: Version, request: RepairRequest, payload: Uint8Array): Promise<void> {
  const { manifest } = await ctx.state.readManifest(version);
  const isTable = manifest.kind === 'TABLE' && equal(manifest.contentId, request.contentId);
  const taken = isTable ? await takeTable(ctx, manifest, payload) : await takeCells(ctx, from, version, manifest, request, payload);
  await ctx.state.cells.sync();
  const { content, binds, upload } = taken;
  const pieces = content === null ? [] : [...pointersOf(content.cells), ...pointersOf(content.blocks)];
  const giveBack = (): void => {
    if (upload === null) for (const pointer of pieces) ctx.state.cells.release(pointer);
  };
  const isStillWanted = ctx.state.register.kept(version.keyId, version.hash) === version && (upload === null || ctx.uploads.has(from, upload));
  if (!isStillWanted) {
    giveBack();
    throw new Refused('NOT_HELD', 'the version or the upload has gone meanwhile');
  }
  const { keyId, hash } = version;
  const leaf = encodeEntry('REPAIRED', encodeRepaired({ v: 1, keyId, manifestHash: hash, contentId: request.contentId }));
  try {
    const { durable } = ctx.state.write({ r: 'REPAIRED', leaf, content, binds });
    if (upload !== null) ctx.uploads.bound(upload);
    await durable;
  } catch (error) {
    giveBack();
    throw error;
  }
}

interface Taken {
  readonly content: ContentRecord | null;
  readonly binds: Uint8Array;
  readonly upload: Uint8Array | null;
}

/** The table names its parts from now on, also those that this node still lacks: they are repaired after it. */
async function takeTable(ctx: NodeContext, manifest: Manifest, payload: Uint8Array): Promise<Taken> {
  if (!equal(sha256(payload), manifest.contentId)) throw new Refused('BAD', 'the table is not the one of the manifest');
  const parts = partsIn(payload);
  const binds = concat(manifest.contentId, ...parts.map(({ contentId }) => contentId));
  return { content: blobRecord(manifest, await ctx.state.cells.append(payload)), binds, upload: null };
}

async function takeCells(
  ctx: NodeContext,
  from: PeerConnection,
  version: Version,
  manifest: Manifest,
  { contentId, upload, row }: RepairRequest,
  payload: Uint8Array,
): Promise<Taken> {
  const terms = equal(manifest.contentId, contentId) ? manifest : await partTerms(ctx, manifest, contentId);
  const prepared = await prepareContent(ctx, from, terms, { upload, row: row.length === 0 ? null : row }, payload);
  return { ...prepared, binds: version.binds };
}

async function partTerms(ctx: NodeContext, manifest: Manifest, contentId: Uint8Array): Promise<ContentTerms> {
  const table = ctx.state.contents.get(manifest.contentId);
  const bytes = table === undefined ? null : await readBlob(ctx, table);
  if (bytes === null) throw new Refused('CONFLICT', 'the part table is lost too, and is needed first');
  const part = partsIn(bytes).find((one) => equal(one.contentId, contentId));
  assert(part !== undefined, 'what the version binds is in its table');
  const { n, k, size, cellBytes } = part;
  return { kind: 'DATA', contentId, n, k, size, cellBytes };
}

function partsIn(bytes: Uint8Array): readonly Part[] {
  const table = decode(partTableSchema, bytes, FRAME_PAYLOAD_BYTES_MAX);
  if (!table.ok) throw new Refused('BAD', `part table: ${table.reason}`);
  return table.value;
}
