/**
 * A bucket's state root: one hash over every live version of a bucket at a moment, signed by a gateway
 * together with the checkpoints of q or more logs that say which moment. Whoever keeps the file can later hold
 * the nodes to it: the same logs must still begin so, and lead to the same hash. Format:
 * spec/formats/bucket-root.md.
 */
import { z } from 'zod';
import { equal, fromHex, hex } from '../../base/bytes.ts';
import { verifySignature } from '../../crypto/primitives.ts';
import type { Kept } from '../../keyring/metadata.ts';
import { logOrigin, openCheckpoint } from '../../log/checkpoint.ts';
import type { Checkpoint } from '../../log/checkpoint.ts';
import { ed25519Verifier } from '../../log/signed-note.ts';
import { Frontier, inclusionPathFrom, leafHash, verifyInclusion } from '../../merkle/tree.ts';
import type { BatchSigner } from '../../protocol/batch-signer.ts';
import type { Cluster } from '../../protocol/configuration.ts';
import { bytesUpTo, decode, encode, hash32, uint, uintUpTo } from '../../protocol/encoding.ts';
import type { Decoded } from '../../protocol/encoding.ts';
import { proofSchema } from '../../protocol/proofs.ts';
import { quorumSize, SLOTS_MAX } from '../../protocol/quorum.ts';
import { stampSchema } from '../../protocol/stamp.ts';
import type { Stamp } from '../../protocol/stamp.ts';
import { StatementVerifier } from '../../protocol/statement.ts';
import { liveOf, stoodAt } from './history.ts';
import type { History, KnownEntry, Moment } from './history.ts';

export const BUCKET_ROOT_BYTES_MAX = 64 * 1024;
export const BUCKET_PROOF_BYTES_MAX = 128 * 1024;
const NAME_BYTES_MAX = 1024;
const NOTE_BYTES_MAX = 4096;
const LEAF_BYTES_MAX = 4096;
/** JSON may write each character of a name as six. */
const LIST_LINE_MAX = 16 * 1024;
const PATH_MAX = 53;

/** What a root says. */
export interface BucketRoot {
  readonly v: 1;
  readonly clusterId: Uint8Array;
  readonly epoch: number;
  readonly gatewayId: Uint8Array;
  readonly bucket: string;
  readonly bucketId: Uint8Array;
  readonly gen: number;
  /** When it was made, by the gateway's clock. */
  readonly madeMs: number;
  /** Only what was written until then by the writers' clocks; null: all that the logs held. */
  readonly untilMs: number | null;
  /** Live versions, delete markers too, and the bytes of their contents. */
  readonly count: number;
  readonly bytes: number;
  readonly root: Uint8Array;
  /** The moment: a signed checkpoint of each of these logs. */
  readonly logs: readonly { readonly slot: number; readonly note: string }[];
}

const rootSchema: z.ZodType<BucketRoot> = z.strictObject({
  v: z.literal(1),
  clusterId: hash32,
  epoch: uint,
  gatewayId: hash32,
  bucket: z.string().min(1).max(63),
  bucketId: hash32,
  gen: uint,
  madeMs: uint,
  untilMs: uint.nullable(),
  count: uint,
  bytes: uint,
  root: hash32,
  logs: z.array(z.strictObject({ slot: uintUpTo(SLOTS_MAX - 1), note: z.string().max(NOTE_BYTES_MAX) })).max(SLOTS_MAX),
});

const documentSchema = z.strictObject({ body: bytesUpTo(BUCKET_ROOT_BYTES_MAX), proof: proofSchema });

/** A live version as a root counts it. */
export interface BucketLeaf {
  readonly v: 1;
  readonly key: string;
  readonly stamp: Stamp;
  readonly manifestHash: Uint8Array;
  readonly marker: boolean;
  readonly size: number;
  readonly etag: string;
  readonly mtimeMs: number;
  readonly kept: Kept;
}

const leafSchema: z.ZodType<BucketLeaf> = z.strictObject({
  v: z.literal(1),
  key: z.string().max(NAME_BYTES_MAX),
  stamp: stampSchema,
  manifestHash: hash32,
  marker: z.boolean(),
  size: uint,
  etag: z.string().max(128),
  mtimeMs: uint,
  kept: z.enum(['NEVER', 'ENABLED', 'SUSPENDED']),
});

export const encodeBucketLeaf = (leaf: BucketLeaf): Uint8Array => encode(leaf);
export const decodeBucketLeaf = (bytes: Uint8Array): Decoded<BucketLeaf> => decode(leafSchema, bytes, LEAF_BYTES_MAX);

const listSchema = z.strictObject({
  v: z.literal(1),
  key: z.string().max(NAME_BYTES_MAX),
  marker: z.boolean(),
  size: uint,
  etag: z.string().max(128),
  mtimeMs: uint,
  kept: z.enum(['NEVER', 'ENABLED', 'SUSPENDED']),
  manifestHash: z.string().regex(/^[0-9a-f]{64}$/),
  gen: uint,
  counter: uint,
  writerId: z.string().regex(/^[0-9a-f]{32}$/),
});

/** A version of a list that is kept beside a root, as one line of JSON without its end. */
export function formatListLine({ stamp, manifestHash, ...leaf }: BucketLeaf): string {
  const { gen, counter, writerId } = stamp;
  return JSON.stringify({ ...leaf, manifestHash: hex(manifestHash), gen, counter, writerId: hex(writerId) });
}

/** Null for any other line. Whatever a list says, it counts only if its leaves fold to the signed root. */
export function parseListLine(line: string): BucketLeaf | null {
  if (line.length > LIST_LINE_MAX) return null;
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    // No JSON is no version.
    return null;
  }
  const parsed = listSchema.safeParse(value);
  if (!parsed.success) return null;
  const { manifestHash, gen, counter, writerId, ...leaf } = parsed.data;
  return { ...leaf, manifestHash: fromHex(manifestHash), stamp: { gen, counter, writerId: fromHex(writerId) } };
}

function leafOf({ stamp, manifestHash, fact }: KnownEntry, key: string): BucketLeaf {
  const { t, size, etag, mtimeMs, kept } = fact;
  return { v: 1, key, stamp, manifestHash, marker: t === 'marker', size, etag, mtimeMs, kept: kept ?? 'NEVER' };
}

/** What a root is about, and when. */
export interface RootScope {
  readonly bucketId: Uint8Array;
  readonly gen: number;
  readonly moment: Moment;
}

/** Live versions in the order of a root: keys in byte order, of each the newest first. One key at a time is in memory. */
export async function* leavesAt(history: History, { bucketId, gen, moment }: RootScope): AsyncIterable<BucketLeaf> {
  for await (const { name, entries } of history.objects(bucketId, gen)) {
    for (const live of liveOf(entries.filter((entry) => stoodAt(entry, moment)))) yield leafOf(live, name);
  }
}

/** Hash, number and bytes of the live versions. */
export async function foldLeaves(leaves: AsyncIterable<BucketLeaf>): Promise<Pick<BucketRoot, 'root' | 'count' | 'bytes'>> {
  const frontier = new Frontier();
  let bytes = 0;
  for await (const leaf of leaves) {
    frontier.append(leafHash(encodeBucketLeaf(leaf)));
    bytes += leaf.size;
  }
  return { root: frontier.root(), count: frontier.size, bytes };
}

/** Who makes a root, of what, when, and the checkpoints that say which moment. */
export interface RootMaker {
  readonly cluster: Cluster;
  readonly gatewayId: Uint8Array;
  readonly bucket: string;
  readonly madeMs: number;
  readonly notes: ReadonlyMap<number, string>;
}

/** The root of a bucket, to be signed. */
export async function makeBucketRoot(history: History, { cluster, gatewayId, bucket, madeMs, notes }: RootMaker, scope: RootScope): Promise<BucketRoot> {
  const { bucketId, gen, moment } = scope;
  const folded = await foldLeaves(leavesAt(history, scope));
  const logs = [...notes].map(([slot, note]) => ({ slot, note }));
  return { v: 1, clusterId: cluster.id, epoch: cluster.epoch, gatewayId, bucket, bucketId, gen, madeMs, untilMs: moment.untilMs, ...folded, logs };
}

export async function signBucketRoot(signer: BatchSigner, root: BucketRoot): Promise<Uint8Array> {
  const body = encode(root);
  return encode({ body, proof: await signer.sign('bucket-root', body) });
}

/** A root whose signatures hold. */
export interface OpenedRoot {
  readonly root: BucketRoot;
  readonly scope: RootScope;
  readonly checkpoints: ReadonlyMap<number, Checkpoint>;
}

/**
 * Verifies a root with nothing but the cluster's configuration: a writer signed it, and with it checkpoints of
 * q or more logs, each signed by its node. Never throws.
 */
export function openBucketRoot(cluster: Cluster, document: Uint8Array): Decoded<OpenedRoot> {
  const signed = decode(documentSchema, document, BUCKET_ROOT_BYTES_MAX);
  if (!signed.ok) return signed;
  const { body, proof } = signed.value;
  const decoded = decode(rootSchema, body, BUCKET_ROOT_BYTES_MAX);
  if (!decoded.ok) return decoded;
  const root = decoded.value;
  if (!equal(root.clusterId, cluster.id)) return refuse('it is of another cluster');
  if (root.epoch !== cluster.epoch) return refuse(`it is of epoch ${root.epoch}, not ${cluster.epoch}`);
  const writer = cluster.writerById(root.gatewayId);
  if (writer?.capabilities.includes('write') !== true) return refuse('its gateway is no writer of the cluster');
  if (!new StatementVerifier(cluster.id, 1).verify(writer.signingKey, 'bucket-root', body, proof)) return refuse('its signature does not verify');
  const checkpoints = new Map<number, Checkpoint>();
  for (const { slot, note } of root.logs) {
    const config = cluster.slotAt(slot);
    if (config === undefined || checkpoints.has(slot)) return refuse(`slot ${slot} does not exist or is named twice`);
    const opened = openCheckpoint(note, ed25519Verifier(logOrigin(cluster.id, config.nodeId), config.signingKey, verifySignature));
    if (!opened.ok) return refuse(`the checkpoint of slot ${slot} is refused: ${opened.reason}`);
    checkpoints.set(slot, opened.signed.checkpoint);
  }
  const q = quorumSize(cluster.geometry);
  if (checkpoints.size < q) return refuse(`${checkpoints.size} checkpoints where ${q} are needed`);
  const sizes = new Map([...checkpoints].map(([slot, { size }]) => [slot, size]));
  const { bucketId, gen, untilMs } = root;
  return { ok: true, value: { root, scope: { bucketId, gen, moment: { sizes, untilMs } }, checkpoints } };
}

/** That a version is one of those that a root counts. */
export interface BucketProof {
  readonly v: 1;
  /** The signed root. */
  readonly root: Uint8Array;
  readonly leaf: Uint8Array;
  readonly index: number;
  readonly path: readonly Uint8Array[];
}

const proofFileSchema: z.ZodType<BucketProof> = z.strictObject({
  v: z.literal(1),
  root: bytesUpTo(BUCKET_ROOT_BYTES_MAX),
  leaf: bytesUpTo(LEAF_BYTES_MAX),
  index: uint,
  path: z.array(hash32).max(PATH_MAX),
});

export const encodeBucketProof = (proof: BucketProof): Uint8Array => encode(proof);

/** A proof that holds: the root it leads to, and the version. */
export interface OpenedProof {
  readonly opened: OpenedRoot;
  readonly leaf: BucketLeaf;
}

/** Verifies a proof with nothing but the cluster's configuration. Never throws. */
export function openBucketProof(cluster: Cluster, bytes: Uint8Array): Decoded<OpenedProof> {
  const decoded = decode(proofFileSchema, bytes, BUCKET_PROOF_BYTES_MAX);
  if (!decoded.ok) return decoded;
  const { root: document, leaf: leafBytes, index, path } = decoded.value;
  const opened = openBucketRoot(cluster, document);
  if (!opened.ok) return opened;
  const leaf = decodeBucketLeaf(leafBytes);
  if (!leaf.ok) return leaf;
  const { root, count } = opened.value.root;
  if (!verifyInclusion(root, leafHash(leafBytes), index, count, path)) return refuse('the version is not one that the root counts');
  return { ok: true, value: { opened: opened.value, leaf: leaf.value } };
}

function refuse(reason: string): { readonly ok: false; readonly reason: string } {
  return { ok: false, reason };
}

/**
 * Proves the newest live version of a key, or the one of this stamp. Reads the leaves twice: for the place of the
 * version, and for the subtrees beside its path, of which each is folded as it goes by. Null: no such version.
 */
export async function proveLeaf(
  leaves: () => AsyncIterable<BucketLeaf>,
  document: Uint8Array,
  count: number,
  isWanted: (leaf: BucketLeaf) => boolean,
): Promise<BucketProof | null> {
  let index = 0;
  let found: BucketLeaf | null = null;
  for await (const leaf of leaves()) {
    if (isWanted(leaf)) {
      found = leaf;
      break;
    }
    index += 1;
  }
  if (found === null || index >= count) return null;
  const beside = new Map<string, { readonly start: number; readonly end: number; readonly frontier: Frontier }>();
  const note = (start: number, end: number): Uint8Array => {
    beside.set(`${start} ${end}`, { start, end, frontier: new Frontier() });
    return new Uint8Array(32);
  };
  inclusionPathFrom(note, index, count);
  const ranges = [...beside.values()].sort((a, b) => a.start - b.start);
  let at = 0;
  let range = 0;
  for await (const leaf of leaves()) {
    while (range < ranges.length && at >= (ranges[range]?.end ?? 0)) range += 1;
    const now = ranges[range];
    if (now !== undefined && at >= now.start) now.frontier.append(leafHash(encodeBucketLeaf(leaf)));
    at += 1;
  }
  const path = inclusionPathFrom((start, end) => beside.get(`${start} ${end}`)?.frontier.root() ?? new Uint8Array(32), index, count);
  return { v: 1, root: document, leaf: encodeBucketLeaf(found), index, path };
}
