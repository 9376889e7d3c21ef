/**
 * Snapshots (protocol 13.8): the views at one place of the journal, so that a restart reads the snapshot and
 * the tail instead of everything. A snapshot is taken in one turn and written while the node goes on; what
 * was pending at that turn is durable before it is written. It is a help to restart quickly: the journal
 * alone says the same.
 */
import * as dagCbor from '@ipld/dag-cbor';
import { z } from 'zod';
import { assert } from '../base/assert.ts';
import { concat, fromMapKey, mapKey } from '../base/bytes.ts';
import { OperationError } from '../base/errors.ts';
import type { Pointer } from '../journal/pointer.ts';
import { decodeBucketRecord } from '../protocol/bucket-record.ts';
import { check, encode, hash32, uint } from '../protocol/encoding.ts';
import { openRecord } from './records.ts';
import { proofSchema } from '../protocol/proofs.ts';
import { stampSchema } from '../protocol/stamp.ts';
import type { Version } from './register.ts';
import type { NodeState } from './state.ts';

const ITEMS_PER_CHUNK = 2_000;
const HASHES_PER_CHUNK = 16_384;

const pointerSchema = z.tuple([uint, uint, uint]);
const bytes = z.custom<Uint8Array>((v) => v instanceof Uint8Array, { error: 'expected bytes' });
const versionSchema = z.strictObject({
  h: hash32,
  k: hash32,
  b: hash32,
  s: stampSchema,
  t: z.enum(['DATA', 'INLINE', 'TABLE', 'TOMBSTONE']),
  g: hash32,
  c: hash32,
  d: bytes,
  n: uint,
  p: z.int().min(-1),
  i: uint,
  m: z.int().min(-1),
  a: pointerSchema,
});
type VersionItem = z.infer<typeof versionSchema>;

const chunkSchema = z.discriminatedUnion('c', [
  z.strictObject({
    c: z.literal('HEAD'),
    v: z.literal(1),
    incarnation: uint,
    configHash: hash32.nullable(),
    marks: z.array(uint),
    logSize: uint,
  }),
  z.strictObject({ c: z.literal('LEAVES'), hashes: bytes, places: bytes }),
  z.strictObject({ c: z.literal('CONTENTS'), items: z.array(z.unknown()) }),
  z.strictObject({
    c: z.literal('KEYS'),
    items: z.array(
      z.strictObject({
        k: hash32,
        m: versionSchema.nullable(),
        p: z.array(versionSchema),
        n: z.array(stampSchema),
      }),
    ),
  }),
  z.strictObject({ c: z.literal('OLD'), items: z.array(z.strictObject({ v: versionSchema, certified: z.boolean() })) }),
  z.strictObject({ c: z.literal('BUCKETS'), items: z.array(z.strictObject({ k: hash32, record: bytes })) }),
  z.strictObject({
    c: z.literal('PEERS'),
    remembered: z.array(z.strictObject({ slot: uint, incarnation: uint, proof: proofSchema })),
    highest: z.array(z.strictObject({ slot: uint, logIndex: uint, v: versionSchema })),
  }),
  z.strictObject({ c: z.literal('HOLES'), items: z.array(bytes) }),
]);
type Chunk = z.infer<typeof chunkSchema>;

function versionItem(version: Version): VersionItem {
  assert(version.at !== null, 'what a snapshot names is durable');
  return {
    h: version.hash,
    k: version.keyId,
    b: version.bucketId,
    s: version.stamp,
    t: version.kind,
    g: version.gatewayId,
    c: version.contentId,
    d: version.binds,
    n: version.bytes,
    p: version.preparedIndex,
    i: version.preparedIncarnation,
    m: version.committedIndex,
    a: [version.at.segment, version.at.offset, version.at.length],
  };
}

function versionOf(item: VersionItem): Version {
  const [segment, offset, length] = item.a;
  return {
    hash: item.h,
    keyId: item.k,
    bucketId: item.b,
    stamp: item.s,
    kind: item.t,
    gatewayId: item.g,
    contentId: item.c,
    binds: item.d,
    bytes: item.n,
    preparedIndex: item.p,
    preparedIncarnation: item.i,
    committedIndex: item.m,
    at: { segment, offset, length } satisfies Pointer,
    durable: Promise.resolve(),
  };
}

/**
 * Freezes the views now, waits until all that they name is durable, and returns the snapshot's chunks. The
 * snapshot stands for the journal up to and including `lastRecord`.
 */
export async function freeze(state: NodeState): Promise<{ readonly chunks: Uint8Array[]; readonly lastRecord: number }> {
  const lastRecord = state.recordCount;
  const keys = [...state.register.versions()].map((k) => ({ ...k, prepared: [...k.prepared], never: [...k.never] }));
  const old = [...state.register.superseded()];
  const contents = [...state.contents.all()].map((content) => state.contents.recordOf(content));
  const buckets = [...state.bucketRecords].map(([k, held]) => ({ k: fromMapKey(k), record: held.record }));
  const highest = [...state.highestBySlot].map(([slot, h]) => ({ slot, ...h }));
  const remembered = [...state.remembered].map(([slot, r]) => ({ slot, ...r }));
  const holes = [...state.holes];
  const head = { incarnation: state.incarnation, configHash: state.configHash, marks: [...state.marks] };
  const logSize = state.log.size;
  await state.queuedIsDurable();

  const chunks: Uint8Array[] = [];
  const add = (chunk: Chunk): void => void chunks.push(encode(chunk));
  add({ c: 'HEAD', v: 1, ...head, logSize });
  for (let from = 0; from < logSize; from += HASHES_PER_CHUNK) {
    const to = Math.min(logSize, from + HASHES_PER_CHUNK);
    const hashes = state.log.leafRange(from, to);
    assert(hashes !== null, 'the snapshot is durable');
    add({ c: 'LEAVES', hashes: concat(...hashes), places: state.places.slice(from, to) });
  }
  for (const items of grouped(contents)) add({ c: 'CONTENTS', items });
  for (const group of grouped(keys)) {
    const items = group.map((k) => ({
      k: fromMapKey(k.keyId),
      m: k.max === null ? null : versionItem(k.max),
      p: k.prepared.map(versionItem),
      n: k.never,
    }));
    add({ c: 'KEYS', items });
  }
  for (const group of grouped(old)) {
    add({ c: 'OLD', items: group.map((o) => ({ v: versionItem(o.version), certified: o.certified })) });
  }
  for (const items of grouped(buckets)) add({ c: 'BUCKETS', items: items.map((b) => ({ k: b.k, record: encode(b.record) })) });
  add({ c: 'PEERS', remembered, highest: highest.map((h) => ({ slot: h.slot, logIndex: h.logIndex, v: versionItem(h.version) })) });
  for (const items of grouped(holes)) add({ c: 'HOLES', items: items.map((hole) => fromMapKey(hole)) });
  return { chunks, lastRecord };
}

function* grouped<T>(items: readonly T[]): Generator<T[]> {
  for (let at = 0; at < items.length; at += ITEMS_PER_CHUNK) yield items.slice(at, at + ITEMS_PER_CHUNK);
}

/** Fills an empty state from a snapshot's chunks, whose digests the store has checked. */
export function thaw(state: NodeState, chunks: Iterable<Uint8Array>): void {
  const buckets: { readonly k: Uint8Array; readonly record: Uint8Array }[] = [];
  for (const chunkBytes of chunks) {
    const decoded = check(chunkSchema, dagCbor.decode(chunkBytes));
    if (!decoded.ok) throw new OperationError('CORRUPT', `A snapshot cannot be understood: ${decoded.reason}.`);
    const chunk = decoded.value;
    switch (chunk.c) {
      case 'HEAD':
        state.incarnation = chunk.incarnation;
        state.configHash = chunk.configHash;
        state.marks = chunk.marks;
        break;
      case 'LEAVES':
        state.restoreLeaves(chunk.hashes, chunk.places);
        break;
      case 'CONTENTS':
        for (const item of chunk.items) state.contents.add(openRecord(item), state.nowMs());
        break;
      case 'KEYS':
        for (const item of chunk.items) {
          state.restoreKey(item.k, item.m === null ? null : versionOf(item.m), item.p.map(versionOf), item.n);
        }
        break;
      case 'OLD':
        for (const { v, certified } of chunk.items) state.restoreSuperseded(versionOf(v), certified);
        break;
      case 'BUCKETS':
        buckets.push(...chunk.items);
        break;
      case 'PEERS':
        for (const { slot, incarnation, proof } of chunk.remembered) state.remembered.set(slot, { incarnation, proof });
        for (const { slot, logIndex, v } of chunk.highest) state.highestBySlot.set(slot, { logIndex, version: versionOf(v) });
        break;
      case 'HOLES':
        for (const hole of chunk.items) state.holes.add(mapKey(hole));
        break;
    }
  }
  for (const { k, record } of buckets) {
    const decoded = decodeBucketRecord(record);
    const version = state.register.max(k);
    if (!decoded.ok || version === null) throw new OperationError('CORRUPT', 'A snapshot names an unknown bucket.');
    state.bucketRecords.set(mapKey(k), { record: decoded.value, stamp: version.stamp, version });
  }
}
