/**
 * Snapshots (protocol 13.8): the views at one place of the journal, so that a restart reads the snapshot and
 * the tail instead of everything. A snapshot is taken in one turn and written while the node goes on; what
 * was pending at that turn is durable before it is written. It is a help to restart quickly: the journal
 * alone says the same. Format: spec/formats/node-records.md.
 */
import { z } from 'zod';
import { assert } from '../base/assert.ts';
import { concat, fromMapKey, mapKey } from '../base/bytes.ts';
import { OperationError } from '../base/errors.ts';
import { HASH_BYTES } from '../crypto/primitives.ts';
import { decodeBucketRecord, encodeBucketRecord } from '../protocol/bucket-record.ts';
import { decodeOwn, encode, hash32, id16, uint } from '../protocol/encoding.ts';
import { PackedReader, PackedWriter } from './packed.ts';
import { proofSchema } from '../protocol/proofs.ts';
import type { KeyView, RestoredChain } from './register.ts';
import { Names, readContent, rowsOf, readStamp, readVersion, writeContent, writeStamp, writeVersion } from './snapshot-rows.ts';
import type { RowContext } from './snapshot-rows.ts';
import { ballotSchema, signedBodySchema } from '../protocol/slot.ts';
import type { NodeState } from './state.ts';

/** Keeps chunks small enough to read and check one at a time, and rows few enough to lose none to overhead. */
const CHUNK_BYTES = 1024 * 1024;
/** Leaves of the subtrees whose roots are kept (log/merkle-log.ts). */
const SUBTREE_LEAVES = 16;
/** A multiple of SUBTREE_LEAVES. */
const HASHES_PER_CHUNK = 16_384;
/** A leaf's place in the journal: three 32-bit numbers. */
const PLACE_BYTES = 12;

const bytes = z.custom<Uint8Array>((v) => v instanceof Uint8Array, { error: 'expected bytes' });

const chunkSchema = z.discriminatedUnion('c', [
  z.strictObject({
    c: z.literal('HEAD'),
    /** 2: rows tell of slots. */
    v: z.union([z.literal(1), z.literal(2)]),
    incarnation: uint,
    configHash: hash32.nullable(),
    marks: z.array(uint),
    logSize: uint,
  }),
  /** Byte strings that rows name by their place: buckets, gateways and writers, few beside the keys. */
  z.strictObject({ c: z.literal('NAMES'), names: z.array(bytes) }),
  /** Leaf hashes, roots of each 16 of them, places of their records. */
  z.strictObject({ c: z.literal('LEAVES'), hashes: bytes, roots: bytes, places: bytes }),
  z.strictObject({ c: z.literal('CONTENTS'), rows: bytes }),
  z.strictObject({ c: z.literal('KEYS'), rows: bytes }),
  z.strictObject({ c: z.literal('OLD'), rows: bytes }),
  z.strictObject({ c: z.literal('BUCKETS'), items: z.array(z.strictObject({ k: hash32, record: bytes })) }),
  z.strictObject({
    c: z.literal('PEERS'),
    remembered: z.array(z.strictObject({ slot: uint, incarnation: uint, proof: proofSchema })),
    highest: bytes,
  }),
  z.strictObject({
    c: z.literal('BALLOTS'),
    items: z.array(
      z.strictObject({
        keyId: hash32,
        prev: hash32,
        promised: ballotSchema,
        request: signedBodySchema,
        accepted: z.strictObject({ ballot: ballotSchema, hash: hash32 }).nullable(),
      }),
    ),
  }),
  z.strictObject({
    c: z.literal('STAGES'),
    held: z.array(
      z.strictObject({
        bucketId: hash32,
        keyId: hash32,
        stageId: id16,
        contentId: hash32,
        gatewayId: hash32,
        binds: bytes,
        bytes: uint,
        logIndex: uint,
        incarnation: uint,
      }),
    ),
    ended: z.array(id16),
  }),
  z.strictObject({ c: z.literal('HOLES'), items: z.array(bytes) }),
  /** Only where a writer is revoked. */
  z.strictObject({
    c: z.literal('REVOKED'),
    items: z.array(z.strictObject({ gatewayId: hash32, document: bytes, logIndex: uint })),
  }),
  /** Only where a gateway has anchored its audit log. */
  z.strictObject({ c: z.literal('ANCHORS'), items: z.array(z.strictObject({ gatewayId: hash32, note: z.string() })) }),
]);
type Chunk = z.infer<typeof chunkSchema>;

/**
 * Freezes the views now, waits until all that they name is durable, and returns the snapshot's chunks. The
 * snapshot stands for the journal up to and including `lastRecord`.
 */
export async function freeze(state: NodeState): Promise<{ readonly chunks: Uint8Array[]; readonly lastRecord: number }> {
  const lastRecord = state.recordCount;
  const keys = [...state.register.versions()].map((k) => ({
    ...k,
    prepared: [...k.prepared],
    never: [...k.never],
    chain: k.chain === null ? null : { ...k.chain, kept: [...k.chain.kept], removed: new Map(k.chain.removed) },
  }));
  const ballots = keys.flatMap(({ keyId, chain }) =>
    chain === null || chain.open === null ? [] : [{ keyId: fromMapKey(keyId), ...chain.open }],
  );
  const held = state.stages.held().map(({ durable: _durable, ...stage }) => stage);
  const ended = [...state.stages.ended()];
  const old = [...state.register.superseded()];
  const contents = [...state.contents.all()].map((content) => state.contents.recordOf(content));
  const buckets = [...state.bucketRecords].map(([k, held]) => ({ k: fromMapKey(k), record: encodeBucketRecord(held.record) }));
  const highest = [...state.highestBySlot].map(([slot, h]) => ({ slot, ...h }));
  const remembered = [...state.remembered].map(([slot, r]) => ({ slot, ...r }));
  const holes = [...state.holes];
  const revoked = [...state.revoked.values()];
  const anchors = [...state.anchors.values()];
  const head = { incarnation: state.incarnation, configHash: state.configHash, marks: [...state.marks] };
  const logSize = state.log.size;
  await state.queuedIsDurable();

  const names = new Names();
  const rows: Uint8Array[] = [];
  const add = (chunk: Chunk): void => void rows.push(encode(chunk));
  for (let from = 0; from < logSize; from += HASHES_PER_CHUNK) {
    const to = Math.min(logSize, from + HASHES_PER_CHUNK);
    const hashes = state.log.leafRange(from, to);
    assert(hashes !== null, 'the snapshot is durable');
    add({ c: 'LEAVES', hashes: concat(...hashes), roots: state.log.subtreeRoots(from, to), places: state.places.slice(from, to) });
  }
  for (const packed of packedChunks(contents, writeContent)) add({ c: 'CONTENTS', rows: packed });
  const packedKeys = packedChunks(keys, (out, { keyId, max, prepared, never, chain }) => {
    out.bytes(fromMapKey(keyId));
    out.u32(max === null ? 0 : 1);
    if (max !== null) writeVersion(out, names, max);
    out.u32(prepared.length);
    for (const version of prepared) writeVersion(out, names, version);
    out.u32(never.length);
    for (const stamp of never) writeStamp(out, names, stamp);
    writeChain(out, names, chain);
  });
  for (const packed of packedKeys) add({ c: 'KEYS', rows: packed });
  const packedOld = packedChunks(old, (out, { version, certified }) => {
    out.bytes(version.keyId);
    out.u32(certified ? 1 : 0);
    writeVersion(out, names, version);
  });
  for (const packed of packedOld) add({ c: 'OLD', rows: packed });
  const packedHighest = new PackedWriter();
  for (const { slot, logIndex, version } of highest) {
    packedHighest.u32(slot);
    packedHighest.uint(logIndex);
    packedHighest.bytes(version.keyId);
    writeVersion(packedHighest, names, version);
  }
  add({ c: 'PEERS', remembered, highest: packedHighest.done() });
  add({ c: 'BALLOTS', items: ballots });
  add({ c: 'STAGES', held, ended });
  add({ c: 'BUCKETS', items: buckets });
  add({ c: 'HOLES', items: holes.map((hole) => fromMapKey(hole)) });
  if (revoked.length > 0) add({ c: 'REVOKED', items: revoked });
  if (anchors.length > 0) add({ c: 'ANCHORS', items: anchors });
  const first: Chunk[] = [{ c: 'HEAD', v: 2, ...head, logSize }, { c: 'NAMES', names: names.all() }];
  return { chunks: [...first.map((chunk) => encode(chunk)), ...rows], lastRecord };
}

function* packedChunks<T>(items: readonly T[], write: (out: PackedWriter, item: T) => void): Generator<Uint8Array> {
  let out = new PackedWriter();
  for (const item of items) {
    write(out, item);
    if (out.length < CHUNK_BYTES) continue;
    yield out.done();
    out = new PackedWriter();
  }
  if (out.length > 0) yield out.done();
}

/** Fills an empty state from a snapshot's chunks, whose digests the store has checked. Throws CORRUPT. */
export function thaw(state: NodeState, chunks: Iterable<Uint8Array>): void {
  let context: RowContext = { names: [], hasSlots: true };
  for (const chunkBytes of chunks) {
    const decoded = decodeOwn(chunkSchema, chunkBytes);
    if (!decoded.ok) throw corrupt(decoded.reason);
    if (decoded.value.c === 'HEAD') context = { ...context, hasSlots: decoded.value.v === 2 };
    if (decoded.value.c === 'NAMES') context = { ...context, names: decoded.value.names };
    else thawChunk(state, decoded.value, context);
  }
}

function thawChunk(state: NodeState, chunk: Chunk, context: RowContext): void {
  switch (chunk.c) {
    case 'HEAD':
      state.incarnation = chunk.incarnation;
      state.configHash = chunk.configHash;
      state.marks = chunk.marks;
      break;
    case 'NAMES':
      break;
    case 'LEAVES':
      if (!leavesFit(state, chunk)) throw corrupt('leaves, their roots and their places do not fit each other');
      state.restoreLeaves(chunk.hashes, chunk.roots, chunk.places);
      break;
    case 'CONTENTS':
      for (const row = new PackedReader(chunk.rows); !row.isDone; ) state.contents.add(readContent(row), state.nowMs());
      break;
    case 'KEYS':
      for (const row = new PackedReader(chunk.rows); !row.isDone; ) thawKey(state, row, context);
      break;
    case 'OLD':
      for (const row = new PackedReader(chunk.rows); !row.isDone; ) {
        const keyId = row.bytes(32);
        const certified = row.u32() === 1;
        state.restoreSuperseded(readVersion(row, context, keyId), certified);
      }
      break;
    case 'BUCKETS':
      for (const { k, record } of chunk.items) thawBucket(state, k, record);
      break;
    case 'PEERS':
      for (const { slot, incarnation, proof } of chunk.remembered) state.remembered.set(slot, { incarnation, proof });
      for (const row = new PackedReader(chunk.highest); !row.isDone; ) {
        const slot = row.u32();
        const logIndex = row.uint();
        state.highestBySlot.set(slot, { logIndex, version: readVersion(row, context, row.bytes(32)) });
      }
      break;
    case 'BALLOTS':
      for (const { keyId, ...open } of chunk.items) state.register.setOpen(keyId, open);
      break;
    case 'STAGES':
      for (const stage of chunk.held) state.restoreStage({ ...stage, durable: Promise.resolve() });
      for (const stageId of chunk.ended) state.stages.end(stageId);
      break;
    case 'HOLES':
      for (const hole of chunk.items) state.holes.add(mapKey(hole));
      break;
    case 'REVOKED':
      for (const held of chunk.items) state.revoked.set(mapKey(held.gatewayId), held);
      break;
    case 'ANCHORS':
      for (const held of chunk.items) state.anchors.set(mapKey(held.gatewayId), held);
      break;
  }
}

/** What `restoreLeaves` asks for: whole subtrees before, and each leaf with its place. */
function leavesFit(state: NodeState, { hashes, roots, places }: Extract<Chunk, { c: 'LEAVES' }>): boolean {
  const count = hashes.length / HASH_BYTES;
  const subtrees = Math.floor(count / SUBTREE_LEAVES);
  return (
    Number.isInteger(count) &&
    places.length === PLACE_BYTES * count &&
    roots.length === HASH_BYTES * subtrees &&
    state.log.size % SUBTREE_LEAVES === 0
  );
}

function thawKey(state: NodeState, row: PackedReader, context: RowContext): void {
  const keyId = row.bytes(32);
  const max = row.u32() === 1 ? readVersion(row, context, keyId) : null;
  const prepared = rowsOf(row.u32(), () => readVersion(row, context, keyId));
  const never = rowsOf(row.u32(), () => readStamp(row, context.names));
  const chain = context.hasSlots ? readChain(row, context, keyId) : null;
  state.restoreKey(keyId, max, prepared, never, chain);
}

function writeChain(out: PackedWriter, names: Names, chain: KeyView['chain']): void {
  out.u32(chain === null ? 0 : 1);
  if (chain === null) return;
  out.u32(chain.kept.length);
  for (const version of chain.kept) writeVersion(out, names, version);
  const removers = [...new Set(chain.removed.values())];
  out.u32(removers.length);
  for (const version of removers) writeVersion(out, names, version);
  writeStamp(out, names, chain.floor);
}

function readChain(row: PackedReader, context: RowContext, keyId: Uint8Array): RestoredChain | null {
  if (row.u32() === 0) return null;
  const kept = rowsOf(row.u32(), () => readVersion(row, context, keyId));
  const removers = rowsOf(row.u32(), () => readVersion(row, context, keyId));
  return { kept, removers, floor: readStamp(row, context.names) };
}

function thawBucket(state: NodeState, bucketId: Uint8Array, bytes: Uint8Array): void {
  const record = decodeBucketRecord(bytes);
  const version = state.register.max(bucketId);
  if (!record.ok || version === null) throw corrupt('a bucket has no record');
  state.bucketRecords.set(mapKey(bucketId), { record: record.value, stamp: version.stamp, version });
}

function corrupt(reason: string): OperationError {
  return new OperationError('CORRUPT', `A snapshot cannot be understood: ${reason}.`);
}
