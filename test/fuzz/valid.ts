/** Valid values that seed the targets: one cluster of four nodes, and of each kind of version a manifest with its certificate. All follows from fixed names. */
import { concat, EMPTY, utf8 } from '../../src/base/bytes.ts';
import { sha256 } from '../../src/crypto/primitives.ts';
import { rowLeaf } from '../../src/merkle/tiles.ts';
import { encodeCertificate, receiptBodyOf } from '../../src/protocol/certificate.ts';
import { encode } from '../../src/protocol/encoding.ts';
import { encodeManifest } from '../../src/protocol/manifest.ts';
import type { Manifest, SignedManifest, SlotTerms } from '../../src/protocol/manifest.ts';
import { encodeReceipt } from '../../src/protocol/receipt.ts';
import type { Stamp } from '../../src/protocol/stamp.ts';
import { writerIdOf } from '../../src/protocol/stamp.ts';
import { prove } from '../../src/sim/adversaries/stage.ts';
import { makeCluster, makeNodeKeys, makeWriters, seededKey } from '../../src/sim/members.ts';
import type { ClusterShape, SimulatedWriter } from '../../src/sim/members.ts';

export const NODE_KEYS = makeNodeKeys(4);
export const WRITERS = makeWriters(2);
/** A small quota, so that a node's bound is reached. */
export const UNCERTIFIED_BYTES_MAX = 3 * 1024 * 1024;
export const SHAPE: ClusterShape = { amend: (config) => ({ ...config, uncertifiedBytesMax: UNCERTIFIED_BYTES_MAX }) };
export const CLUSTER = makeCluster(NODE_KEYS, WRITERS, SHAPE);

function writerAt(index: number): SimulatedWriter {
  const writer = WRITERS[index];
  if (writer === undefined) throw new Error(`no writer ${index}`);
  return writer;
}

export const WRITER = writerAt(0);
export const id = (name: string): Uint8Array => sha256(utf8(name));
export const SESSION = id('session').subarray(0, 16);
export const stampAt = (counter: number): Stamp => ({ gen: 1, counter, writerId: writerIdOf(WRITER.gatewayId, SESSION) });

/** The cell of slot 0 of a content of one stripe, and the row of that stripe. */
export const CELL = new Uint8Array(512).fill(7);
export const ROW = concat(sha256(CELL), id('cell 1'), id('cell 2'), id('cell 3'));
export const INLINE_BODY = utf8('a sealed body of an inline version');
export const PART_TABLE = encode(
  ['part 1', 'part 2'].map((name) => ({ contentId: rowLeaf(ROW), size: 1_000, n: 4, k: 2, cellBytes: 1024, salt: id(`salt ${name}`).subarray(0, 16) })),
);

/** What makes a manifest one of a serialised bucket. */
export function slotOf(amend: Partial<SlotTerms> = {}): Pick<Manifest, 'v' | 'mode' | 'slot'> {
  const terms = { prev: id('version before'), stage: null, removes: [], lockMode: 'NONE', legalHold: false, bypassGovernance: false } as const;
  return { v: 2, mode: 'SLOT', slot: { ...terms, ...amend } };
}

export function manifestOf(kind: Manifest['kind'], amend: Partial<Manifest> = {}): Manifest {
  const shapes = {
    DATA: { k: 2, size: 1_000, cellBytes: 1024, contentId: rowLeaf(ROW) },
    INLINE: { k: 1, size: INLINE_BODY.length - 16, cellBytes: 0, contentId: sha256(INLINE_BODY) },
    TABLE: { k: 2, size: 2_000, cellBytes: 0, contentId: sha256(PART_TABLE) },
    TOMBSTONE: { k: 1, size: 0, cellBytes: 0, contentId: new Uint8Array(32) },
    REMOVE: { k: 1, size: 0, cellBytes: 0, contentId: new Uint8Array(32), ...slotOf({ removes: [stampAt(2)] }) },
  } as const;
  return {
    v: 1,
    suite: 1,
    bucketId: id('bucket'),
    keyId: id(`key ${kind}`),
    stamp: stampAt(1),
    opId: id(`operation ${kind}`),
    gatewayId: WRITER.gatewayId,
    sessionNonce: SESSION,
    kind,
    mode: 'PLAIN',
    slot: null,
    epoch: 1,
    bucketStamp: stampAt(1),
    n: 4,
    retainUntil: 0,
    wrappedKey: id('wrapped key'),
    encMeta: utf8('sealed metadata'),
    clear: EMPTY,
    ...shapes[kind],
    ...amend,
  };
}

export function signed(manifest: Manifest): SignedManifest {
  const body = encodeManifest(manifest);
  return { manifest, body, hash: sha256(body), proof: prove(CLUSTER, WRITER.signingKey, 'manifest', body) };
}

export const MANIFESTS: readonly SignedManifest[] = (['DATA', 'INLINE', 'TABLE', 'TOMBSTONE'] as const).map((kind) => signed(manifestOf(kind)));

/** The receipt of a slot, with the key of its node. */
export function receiptOf(version: SignedManifest, slot: number) {
  const place = { slot, incarnation: 1, logIndex: 7 + slot };
  const nodeId = CLUSTER.slotAt(slot)?.nodeId ?? EMPTY;
  return { ...place, proof: prove(CLUSTER, seededKey(`node ${slot}`), 'receipt', encodeReceipt(receiptBodyOf(version, nodeId, place))) };
}

/** Without a receipt of slot 0, whose node would know that it never gave it. */
export function certificateOf(version: SignedManifest): Uint8Array {
  return encodeCertificate({ signed: version, ballot: null, receipts: [1, 2, 3].map((slot) => receiptOf(version, slot)) });
}

export const CERTIFICATES: readonly Uint8Array[] = MANIFESTS.map(certificateOf);
