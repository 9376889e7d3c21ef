/**
 * Evidence of each kind that proves what it says, signed by hand with the members' keys; and the pieces that it
 * is made of, so that tests can put together what proves nothing.
 */
import { concat, hex, utf8 } from '../../src/base/bytes.ts';
import { sha256 } from '../../src/crypto/primitives.ts';
import type { SigningKey } from '../../src/crypto/primitives.ts';
import { referenceCodec } from '../../src/erasure/reference.ts';
import type { Evidence, EvidenceType } from '../../src/evidence/evidence.ts';
import { commitNonce } from '../../src/evidence/logs.ts';
import { logOrigin, signCheckpoint } from '../../src/log/checkpoint.ts';
import { encodeEntry } from '../../src/log/entry-types.ts';
import { ed25519Signer } from '../../src/log/signed-note.ts';
import { MatrixFolder, rowLeaf } from '../../src/merkle/tiles.ts';
import { consistencyPath, inclusionPath, leafHash, rootOf } from '../../src/merkle/tree.ts';
import { encodeCertificate, receiptBodyOf } from '../../src/protocol/certificate.ts';
import type { Certificate } from '../../src/protocol/certificate.ts';
import { configStatement, encodeConfiguration, sealConfiguration } from '../../src/protocol/configuration.ts';
import { encode } from '../../src/protocol/encoding.ts';
import { encodeAdopt, encodeEvict } from '../../src/protocol/log-entries.ts';
import { encodeAudit } from '../../src/protocol/audit.ts';
import type { AuditBody } from '../../src/protocol/audit.ts';
import { encodeManifest, signedManifestToWire } from '../../src/protocol/manifest.ts';
import type { Manifest, SignedManifest, SlotTerms } from '../../src/protocol/manifest.ts';
import { encodeAnswer, encodeRequest, replyStatement } from '../../src/protocol/messages.ts';
import type { LackBody } from '../../src/protocol/messages.ts';
import { encodeCommitAck, encodeReceipt } from '../../src/protocol/receipt.ts';
import { encodeProposal } from '../../src/protocol/slot.ts';
import type { Ballot, SignedBody } from '../../src/protocol/slot.ts';
import { writerIdOf, ZERO_STAMP } from '../../src/protocol/stamp.ts';
import type { Purpose } from '../../src/protocol/statement.ts';
import { prove } from '../../src/sim/adversaries/stage.ts';
import { makeCluster, makeNodeKeys, makeWriters, seededKey } from '../../src/sim/members.ts';

export const NOW_MS = Date.UTC(2026, 5, 1);
export const WEEK_MS = 7 * 24 * 3_600_000;
const keys = makeNodeKeys(4);
const writers = makeWriters(2);
export const cluster = makeCluster(keys, writers, {});
/** The same members under other keys. */
export const other = makeCluster(keys, writers, {
  amend: (config) => ({
    ...config,
    slots: config.slots.map((slot) => ({ ...slot, signingKey: seededKey(`other node ${slot.slot}`).publicKey })),
    writers: config.writers.map((one, i) => ({ ...one, signingKey: seededKey(`other writer ${i}`).publicKey })),
  }),
});
export const [writer, stranger] = writers as [(typeof writers)[0], (typeof writers)[0]];
export const nonce = new Uint8Array(16).fill(3);
export const keyId = sha256(utf8('key'));
export const nonceRoot = sha256(utf8('a root'));
const common = { v: 1, configHash: cluster.hash } as const;

export const keyOf = (slot: number): SigningKey => (keys[slot] ?? keys[0] ?? { signing: seededKey('none') }).signing;
export const nodeOf = (slot: number): Uint8Array => cluster.slotAt(slot)?.nodeId ?? new Uint8Array(32);
export const signedBy = (slot: number, purpose: Purpose, body: Uint8Array): SignedBody => ({
  body,
  proof: prove(cluster, keyOf(slot), purpose, body),
});

const CELL_BYTES = 64;
/** One stripe of 100 bytes on four nodes, two of which decode; `crooked`: with a parity cell of something else. */
export function content(crooked: boolean) {
  const codec = referenceCodec(4 * CELL_BYTES);
  codec.memory.set(sha256(utf8('content')), 0);
  codec.encode({ k: 2, n: 4 }, { base: 0, cellBytes: CELL_BYTES });
  if (crooked) codec.memory[3 * CELL_BYTES] = (codec.memory[3 * CELL_BYTES] ?? 0) ^ 1;
  const cells = Array.from({ length: 4 }, (_, i) => codec.memory.slice(i * CELL_BYTES, (i + 1) * CELL_BYTES));
  const row = concat(...cells.map((cell) => sha256(cell)));
  const folder = new MatrixFolder();
  folder.add(rowLeaf(row));
  return { cells, row, contentId: folder.finish().root };
}

export function manifestOf(amend: Partial<Manifest> = {}, signer: SigningKey = writer.signingKey): SignedManifest {
  const manifest: Manifest = {
    v: 1,
    suite: 1,
    bucketId: sha256(utf8('bucket')),
    keyId,
    stamp: { gen: 1, counter: 7, writerId: writerIdOf(writer.gatewayId, nonce) },
    opId: sha256(utf8('operation')),
    gatewayId: writer.gatewayId,
    sessionNonce: nonce,
    kind: 'DATA',
    mode: 'PLAIN',
    slot: null,
    epoch: 1,
    bucketStamp: ZERO_STAMP,
    n: 4,
    k: 2,
    size: 100,
    cellBytes: CELL_BYTES,
    contentId: content(false).contentId,
    retainUntil: 0,
    wrappedKey: new Uint8Array(0),
    encMeta: new Uint8Array(0),
    clear: new Uint8Array(0),
    ...amend,
  };
  const body = encodeManifest(manifest);
  return { manifest, body, hash: sha256(body), proof: prove(cluster, signer, 'manifest', body) };
}

export const slotTerms = (amend: Partial<SlotTerms> = {}): Pick<Manifest, 'v' | 'mode' | 'slot'> => ({
  v: 2,
  mode: 'SLOT',
  slot: {
    prev: sha256(utf8('before')),
    stage: { id: nonce, slots: [0, 1, 2] },
    removes: 'ALL',
    lockMode: 'NONE',
    legalHold: false,
    bypassGovernance: false,
    ...amend,
  },
});
export const ballot: Ballot = { round: 4, writerId: writerIdOf(writer.gatewayId, nonce) };

export function receiptOf(slot: number, signed: SignedManifest, logIndex: number, at: Ballot | null = null): SignedBody {
  const place = { slot, incarnation: 1, logIndex };
  return signedBy(slot, 'receipt', encodeReceipt(receiptBodyOf(signed, nodeOf(slot), place, at)));
}

export function certificateOf(signed: SignedManifest, slots: readonly number[] = [0, 1, 2]): Uint8Array {
  const at = signed.manifest.slot === null ? null : ballot;
  const receipts = slots.map((slot) => ({
    slot,
    incarnation: 1,
    logIndex: 5,
    proof: receiptOf(slot, signed, 5, at).proof,
  }));
  const certificate: Certificate = { signed, ballot: at, receipts };
  return encodeCertificate(certificate);
}

export function ackOf(slot: number, { manifest, hash }: SignedManifest, logIndex: number): SignedBody {
  const { stamp } = manifest;
  const body = encodeCommitAck({ v: 1, manifestHash: hash, keyId, stamp, nodeId: nodeOf(slot), epoch: 1, incarnation: 1, logIndex });
  return signedBy(slot, 'commit-ack', body);
}

export const filler = (name: string): Uint8Array => encodeEntry('BOOT', encode({ name }));
export function note(slot: number, leaves: readonly Uint8Array[], challenge: Uint8Array | null = null): string {
  const origin = logOrigin(cluster.id, nodeOf(slot));
  const root = rootOf(leaves.map((leaf) => leafHash(leaf)));
  return signCheckpoint({ origin, size: leaves.length, root, nonce: challenge }, ed25519Signer(origin, keyOf(slot))).note;
}
export const entryAt = (leaves: readonly Uint8Array[], index: number) => ({
  leaf: leaves[index] ?? new Uint8Array(0),
  index,
  path: inclusionPath(leaves.map((leaf) => leafHash(leaf)), index),
});
export const LEAVES = Array.from({ length: 9 }, (_, i) => filler(`leaf ${i}`));

export function answered(slot: number, request: Uint8Array, answer: Uint8Array) {
  const proof = prove(cluster, keyOf(slot), 'reply', replyStatement(nodeOf(slot), 1, request, answer));
  return { request, answer, proof };
}

export const writerName = `writer-${hex(writer.gatewayId.subarray(0, 8))}`;

/** What a node signs for a challenge, with a cell that it made up unless one is named. */
export function auditOf({ manifest, hash }: SignedManifest, amend: Partial<AuditBody> = {}): Uint8Array {
  const { contentId } = manifest;
  return encodeAudit({ v: 1, nonce: sha256(nonce), manifestHash: hash, contentId, stripe: 0, slot: 1, epoch: 1, cellHash: sha256(utf8('made up')), logSize: 9, ...amend });
}

/** One that proves, of each kind. */
export const samples: { readonly [T in EvidenceType]: Extract<Evidence, { type: T }> } = (() => {
  const one = manifestOf();
  const two = manifestOf({ opId: sha256(utf8('another')) });
  const crooked = content(true);
  const locked = manifestOf({ ...slotTerms({ lockMode: 'COMPLIANCE' }), retainUntil: NOW_MS + WEEK_MS });
  const evicting = [...LEAVES, encodeEntry('EVICT', encodeEvict({ v: 1, manifestHash: locked.hash, keyId, byHash: one.hash }))];
  const adopting = [...LEAVES, encodeEntry('ADOPT', encodeAdopt(2, cluster.hash))];
  const forked = LEAVES.with(2, filler('another'));
  const lack: LackBody = { v: 1, code: 'NOT_HELD', manifestHash: one.hash, contentId: one.manifest.contentId, stripe: 0, slot: 1, epoch: 1, max: null };
  const named = { certificate: certificateOf(one), contentId: one.manifest.contentId, table: null };
  const query = encodeRequest({ t: 'QUERY', keyId, cell0: false, seen: null });
  const shown = { cert: null, row: null, path: [], epoch: 1, configHash: cluster.hash, seen: { size: 9, root: nonceRoot } };
  const fetch = encodeRequest({ t: 'FETCH', keyId, manifestHash: one.hash, stamp: one.manifest.stamp, contentId: one.manifest.contentId, stripe: 0, leaseMs: 0 });
  const admin = seededKey('admin');
  const document = (notBefore: number): Uint8Array => {
    const body = encodeConfiguration({ ...cluster.config, epoch: 2, prevHash: cluster.hash, notBefore });
    return sealConfiguration(body, [{ admin: admin.publicKey, signature: admin.sign(configStatement(cluster.id, body)) }]);
  };
  const proposal = (manifestHash: Uint8Array): SignedBody => {
    const body = encodeProposal({ v: 1, keyId, prev: two.hash, round: 2, gatewayId: writer.gatewayId, sessionNonce: nonce, manifestHash });
    return { body, proof: prove(cluster, writer.signingKey, 'proposal', body) };
  };
  const earlier = note(2, LEAVES);
  const unlawful = manifestOf({ k: 3 });
  const salt = nonce;
  return {
    E1: { ...common, type: 'E1', manifests: [signedManifestToWire(one), signedManifestToWire(two)] },
    E2: { ...common, type: 'E2', receipts: [receiptOf(1, one, 5), receiptOf(1, two, 6)], manifests: null },
    E3: {
      ...common,
      type: 'E3',
      notes: [note(2, LEAVES.slice(0, 4)), note(2, forked)],
      beginning: { root: rootOf(forked.slice(0, 4).map((leaf) => leafHash(leaf))), path: consistencyPath(forked.map((leaf) => leafHash(leaf)), 4) },
    },
    E4: { ...common, type: 'E4', promise: { purpose: 'receipt', ...receiptOf(2, one, 5) }, note: note(2, LEAVES), entry: entryAt(LEAVES, 5) },
    E5: { ...common, type: 'E5', acknowledgement: ackOf(3, one, 8), shown: answered(3, query, encodeAnswer('QUERY', shown)) },
    'E5-log': { ...common, type: 'E5-log', notes: [earlier, note(2, LEAVES.slice(0, 8), commitNonce(salt, earlier))], salt },
    E6: { ...common, type: 'E6', content: named, lack: signedBy(1, 'not-held', encode(lack)) },
    'E6-row': { ...common, type: 'E6-row', content: named, shown: answered(1, fetch, encodeAnswer('FETCH', { row: crooked.row, path: [] })) },
    'E6-audit': { ...common, type: 'E6-audit', content: named, audit: signedBy(1, 'audit', auditOf(one)), row: content(false).row, path: [] },
    E7: { ...common, type: 'E7', certificate: certificateOf(locked), note: note(3, evicting), entry: entryAt(evicting, 9) },
    E8: {
      ...common,
      type: 'E8',
      content: { certificate: certificateOf(manifestOf({ contentId: crooked.contentId })), contentId: crooked.contentId, table: null },
      stripe: 0,
      row: crooked.row,
      path: [],
      cells: [1, 2].map((slot) => ({ slot, cell: crooked.cells[slot] ?? new Uint8Array(0) })),
    },
    E9: { ...common, type: 'E9', documents: [document(0), document(1)] },
    E10: { ...common, type: 'E10', receipt: receiptOf(3, one, 10), note: note(3, adopting), entry: entryAt(adopting, 9) },
    E11: { ...common, type: 'E11', proposals: [proposal(one.hash), proposal(two.hash)] },
    E12: { ...common, type: 'E12', receipt: receiptOf(0, unlawful, 5), manifest: unlawful.body },
  };
})();

export const ACCUSED: { readonly [T in EvidenceType]: string } = {
  E1: writerName,
  E2: 'node-1',
  E3: 'node-2',
  E4: 'node-2',
  E5: 'node-3',
  'E5-log': 'node-2',
  E6: 'node-1',
  'E6-row': 'node-1',
  'E6-audit': 'node-1',
  E7: 'node-3',
  E8: writerName,
  E9: 'admins',
  E10: 'node-3',
  E11: writerName,
  E12: 'node-0',
};

