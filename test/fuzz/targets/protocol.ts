/** Decoders of what members sign, send and store: requests and answers, manifests, certificates, statements, records, configuration. */
import * as dagCbor from '@ipld/dag-cbor';
import { z } from 'zod';
import { equal, utf8 } from '../../../src/base/bytes.ts';
import { openTable } from '../../../src/client/read-plan.ts';
import { decodeEntry, encodeEntry } from '../../../src/log/entry-types.ts';
import { rootFromInclusion, verifyConsistency, verifyInclusion } from '../../../src/merkle/tree.ts';
import { verifyBlock } from '../../../src/merkle/tiles.ts';
import { rootOfBatchMember } from '../../../src/merkle/batch.ts';
import { decodeAudit, encodeAudit } from '../../../src/protocol/audit.ts';
import { decodeAttributes, encodeAttributes } from '../../../src/protocol/attributes.ts';
import { decodeBucketRecord, encodeBucketRecord, transitionFault } from '../../../src/protocol/bucket-record.ts';
import type { BucketRecord } from '../../../src/protocol/bucket-record.ts';
import { isCanonical } from '../../../src/protocol/canonical.ts';
import { certificateFault, decodeCertificate, encodeCertificate } from '../../../src/protocol/certificate.ts';
import type { Certificate } from '../../../src/protocol/certificate.ts';
import { decodeEvidence, encodeEvidence } from '../../../src/evidence/evidence.ts';
import { nameOf } from '../../../src/evidence/finding.ts';
import { judgeEvidence } from '../../../src/evidence/judge.ts';
import { ACCUSED, cluster as evidenceCluster, NOW_MS as EVIDENCE_NOW_MS, samples } from '../../evidence/samples.ts';
import { decodeCommitAck, decodeReceipt, encodeCommitAck, encodeReceipt } from '../../../src/protocol/receipt.ts';
import { openRootConfiguration } from '../../../src/protocol/configuration.ts';
import { decode, encode } from '../../../src/protocol/encoding.ts';
import type { Decoded } from '../../../src/protocol/encoding.ts';
import { decodeAdopt, encodeAdopt, committedBodyOf, decodeBoot, decodeCommitted, decodeEvict, decodeHole, decodeRepaired, decodeStampBody, encodeBoot, encodeEvict, encodeRepaired, encodeStampBody, decodeRevokedEntry, encodeRevokedEntry } from '../../../src/protocol/log-entries.ts';
import { encodeManifest, openSignedManifest, partTableSchema } from '../../../src/protocol/manifest.ts';
import { decodeAnswer, decodeLack, decodeReplies, decodeRequest, decodeResolution, encodeAnswer, encodeRefused, encodeReplies, encodeRequest } from '../../../src/protocol/messages.ts';
import type { AnswerOf, Request, RequestType } from '../../../src/protocol/messages.ts';
import { proofSchema } from '../../../src/protocol/proofs.ts';
import { quorumSize } from '../../../src/protocol/quorum.ts';
import { decodeRepairAuthority, encodeRepairAuthority } from '../../../src/protocol/repair-authority.ts';
import { decodeRevoked, encodeRevocation, encodeRevoked, openEffectiveRevocation, openRevocation, revocationStatement, sealRevocation } from '../../../src/protocol/revocation.ts';
import { decodeBallotRequest, decodeProposal, decodeStaged, decodeStagedReceipts, decodeUnstaged, encodeBallotRequest, encodeProposal, encodeStaged, encodeStagedReceipts, encodeUnstaged } from '../../../src/protocol/slot.ts';
import { StatementVerifier } from '../../../src/protocol/statement.ts';
import type { StatementProof } from '../../../src/protocol/statement.ts';
import { cellBytesOf, fragmentBytes, stripeCount } from '../../../src/protocol/stripes.ts';
import { prove } from '../../../src/sim/adversaries/stage.ts';
import { seededKey } from '../../../src/sim/members.ts';
import { decoder, holds, sameBytes } from '../decoder.ts';
import type { Target } from '../engine.ts';
import { CERTIFICATES, certificateOf, CLUSTER, id, manifestOf, MANIFESTS, PART_TABLE, receiptOf, signed, stampAt, WRITER, WRITERS } from '../valid.ts';

const cbor = { form: 'cbor' } as const;
const first = MANIFESTS[0] ?? signed(manifestOf('DATA'));
const wire = { body: first.body, proof: first.proof };
const cert = CERTIFICATES[0] ?? certificateOf(first);
const id16 = (name: string): Uint8Array => id(name).subarray(0, 16);
const keyId = first.manifest.keyId;
const proof = receiptOf(first, 0).proof;
const resolution = encode({ v: 1, keyId, stamp: stampAt(3), slot: 0, epoch: 1, prepared: null });
const lack = encode({ v: 1, code: 'NOT_HELD', manifestHash: first.hash, contentId: id('matrix'), stripe: 0, slot: 1, epoch: 1, max: stampAt(2) });
const resolutionProof = prove(CLUSTER, WRITER.signingKey, 'resolution', resolution);

const session = { gatewayId: WRITER.gatewayId, sessionNonce: id16('session') };
const ballot = encodeBallotRequest({ v: 1, bucketId: id('bucket'), keyId, prev: id('version before'), round: 3, ...session });
const proposal = encodeProposal({ v: 1, keyId, prev: id('version before'), round: 3, ...session, manifestHash: first.hash });
const audit = encodeAudit({ v: 1, nonce: id('nonce'), manifestHash: first.hash, contentId: id('matrix'), stripe: 0, slot: 1, epoch: 1, cellHash: id('cell'), logSize: 9 });
const authority = encodeRepairAuthority({ v: 1, controllerId: id('controller'), epoch: 1, notAfterMs: 1000 });
const unstaged = encodeUnstaged({ v: 1, stageId: id16('stage'), slot: 1, epoch: 1, accepted: [{ hash: first.hash, prev: id('version before'), stamp: stampAt(2) }] });
const staged = encodeStaged({ v: 1, bucketId: id('bucket'), keyId, stageId: id16('stage'), contentId: id('matrix'), gatewayId: WRITER.gatewayId, slot: 1, nodeId: id('node'), epoch: 1, incarnation: 1, logIndex: 4 });
const attributes = encodeAttributes({ v: 1, keyId, stamp: stampAt(2), lockMode: 'GOVERNANCE', retainUntil: 5, legalHold: true, gone: false });
const stagedReceipts = encodeStagedReceipts([{ slot: 1, incarnation: 1, logIndex: 4, proof }]);
const signedBody = (body: Uint8Array): { body: Uint8Array; proof: StatementProof } => ({ body, proof: prove(CLUSTER, WRITER.signingKey, 'proposal', body) });

// Not of the writer with which targets ask a node: it would be obeyed no more.
const ADMIN = seededKey('admin');
const revocationBody = encodeRevocation({ v: 1, clusterId: CLUSTER.id, epoch: 1, gatewayId: WRITERS[1]?.gatewayId ?? id('writer'), atMs: 7 });
const revocation = sealRevocation(revocationBody, [{ admin: ADMIN.publicKey, signature: ADMIN.sign(revocationStatement(CLUSTER.id, revocationBody)) }]);
const revokedSeed = encodeRevoked({ v: 1, statementHash: id('revocation'), gatewayId: WRITER.gatewayId, slot: 1, nodeId: id('node'), epoch: 1, incarnation: 1, logIndex: 4 });
const revokedEntry = encodeRevokedEntry({ v: 1, gatewayId: WRITER.gatewayId, statementHash: id('revocation') });

export const REQUESTS: readonly Request[] = [
  { t: 'QUERY', keyId, cell0: true, seen: { size: 5, root: id('root') } },
  { t: 'CELL', upload: id16('upload'), stripe: 0, reserve: 1024, row: new Uint8Array(128) },
  { t: 'PREPARE', manifest: wire, upload: null, row: new Uint8Array(128), prevCert: cert, record: null },
  { t: 'PREPARE', manifest: wire, upload: null, row: null, prevCert: null, record: cert, slot: { proposal: signedBody(proposal), staged: stagedReceipts } },
  { t: 'PROMISE', request: signedBody(ballot), prevCert: cert, record: null },
  { t: 'STAGE', bucketId: id('bucket'), keyId, stageId: id16('stage'), layout: { kind: 'DATA', k: 2, size: 1000, cellBytes: 1024, contentId: id('matrix') }, upload: id16('upload'), row: null, record: null },
  { t: 'STAGE', bucketId: id('bucket'), keyId, stageId: id16('stage'), layout: { kind: 'DATA', k: 2, size: 1000, cellBytes: 1024, contentId: id('matrix') }, upload: id16('upload'), row: null, record: null, ballot: signedBody(ballot) },
  { t: 'UNSTAGE', keyId, stageId: id16('stage') },
  { t: 'STAGES', ageMs: 60_000 },
  { t: 'RESTS', keyId, stageId: id16('stage') },
  { t: 'RELEASE', keyId, stageId: id16('stage'), statements: [signedBody(unstaged)] },
  { t: 'COMMIT', cert, inline: false },
  { t: 'FETCH', keyId, manifestHash: first.hash, stamp: stampAt(1), contentId: id('matrix'), stripe: 0, leaseMs: 1000 },
  { t: 'BODY', keyId, manifestHash: first.hash, stamp: stampAt(1), contentId: id('matrix'), leaseMs: 0 },
  { t: 'AUDIT', keyId, manifestHash: first.hash, stamp: stampAt(1), contentId: id('matrix'), stripe: 0, nonce: id('nonce') },
  { t: 'REPAIR', authority: signedBody(authority), keyId, manifestHash: first.hash, stamp: stampAt(1), contentId: id('matrix'), stripe: 3, row: new Uint8Array(128), path: [id('sibling')], cert, upload: null },
  { t: 'CHECKPOINT', nonce: id16('nonce') },
  { t: 'CHECKPOINT', nonce: id16('nonce'), known: 'log\n1\nroot\n' },
  { t: 'CHANGES', from: 0, to: 100 },
  { t: 'CERTS', keyIds: [keyId, id('other key')] },
  { t: 'SHOWN', keyIds: [keyId] },
  { t: 'RESOLVE', keyId, stamp: stampAt(3), promise: true },
  { t: 'ABORT', keyId, stamp: stampAt(3), resolutions: [{ body: resolution, proof: resolutionProof }] },
  { t: 'BOOT' },
  { t: 'REMEMBER', incarnation: 2, proof },
  { t: 'REVOKE', document: revocation },
  { t: 'REVOCATIONS' },
  { t: 'HISTORY', indexes: [0, 7] },
  { t: 'TIME' },
  { t: 'ANCHOR', note: 'a note\n', consistency: [id('sibling')] },
  { t: 'ANCHORED', gatewayId: WRITER.gatewayId },
  { t: 'STATUS' },
];

const ANSWERS: { readonly [T in RequestType]: AnswerOf<T> } = {
  QUERY: { cert, row: new Uint8Array(128), path: [id('sibling')], epoch: 1, configHash: CLUSTER.hash, seen: null },
  CELL: {},
  PREPARE: { incarnation: 1, logIndex: 7, proof },
  PROMISE: { accepted: { manifest: wire, proposal: signedBody(proposal), staged: stagedReceipts } },
  STAGE: { incarnation: 1, logIndex: 7, proof, promise: { accepted: { manifest: wire, proposal: signedBody(proposal), staged: stagedReceipts } } },
  UNSTAGE: signedBody(unstaged),
  STAGES: { stages: [{ stageId: id16('stage'), keyId, gatewayId: WRITER.gatewayId }] },
  RESTS: { accepted: [stampAt(3)], cert },
  RELEASE: {},
  COMMIT: { incarnation: 1, logIndex: 8, proof },
  FETCH: { row: new Uint8Array(128), path: [] },
  BODY: {},
  AUDIT: { row: new Uint8Array(128), path: [id('sibling')], statement: signedBody(audit) },
  REPAIR: {},
  CHECKPOINT: { text: 'a note\n' },
  CHANGES: { from: 0, leaves: [utf8('leaf')] },
  CERTS: { certs: [cert, null] },
  SHOWN: { shown: [{ stamp: stampAt(1), manifestHash: first.hash }, null] },
  RESOLVE: { resolution: { body: resolution, proof: resolutionProof }, manifest: wire, holds: true },
  ABORT: {},
  BOOT: { cert, remembered: { incarnation: 1, proof }, size: 9 },
  REMEMBER: {},
  REVOKE: { statementHash: id('revocation'), incarnation: 1, logIndex: 9, proof },
  REVOCATIONS: { documents: [revocation] },
  HISTORY: { certs: [cert, null] },
  TIME: { nowMs: 7 },
  ANCHOR: {},
  ANCHORED: { note: 'a note\n' },
  STATUS: { protocolMin: 1, protocolMax: 1, version: '0.1.0', incarnation: 1, logSize: 9, totalBytes: 1e9, freeBytes: 1e8, liveBytes: 1e6, keys: 3, holes: 0, state: 'SERVING' },
};
const TYPES = Object.keys(ANSWERS) as RequestType[];
const REFUSALS = [
  encodeRefused({ code: 'SUPERSEDED', reason: 'higher', cert }),
  encodeRefused({ code: 'EQUIVOCATION', reason: 'another', manifest: wire }),
  encodeRefused({ code: 'NOT_HELD', reason: 'none', statement: { body: lack, proof } }),
  encodeRefused({ code: 'CONFIG_STALE', reason: 'old', document: CLUSTER.document }),
];

/** A target whose decoder gives a verdict and whose encoder gives back the same bytes. */
function canonical<T>(name: string, covers: string, seeds: readonly Uint8Array[], open: (input: Uint8Array) => Decoded<T>, again: (value: T) => Uint8Array): Target {
  return decoder({
    name,
    covers: [covers],
    format: cbor,
    seeds: () => seeds,
    accepts: (input) => {
      const decoded = open(input);
      if (decoded.ok) sameBytes(again(decoded.value), input);
      return decoded.ok;
    },
  });
}

/** Any type may be asked for: the body of an answer does not name it. */
function acceptsAnswer(input: Uint8Array): boolean {
  let accepted = false;
  for (const type of TYPES) {
    const parsed = decodeAnswer(type, input);
    if (parsed.kind === 'malformed') continue;
    accepted = true;
    holds(parsed.kind === 'refused' || !('refused' in parsed.answer), 'a refusal is one');
    holds(input[0] !== undefined && input[0] >> 5 === 5, 'an answer is a map');
    sameBytes(parsed.kind === 'refused' ? encodeRefused(parsed.refused) : encodeAnswer(type, parsed.answer), input);
  }
  return accepted;
}

/** A certificate has more than one encoding (no signature covers it), but means the same after another round. */
function acceptsCertificate(input: Uint8Array): boolean {
  const decoded = decodeCertificate(input);
  if (!decoded.ok) return false;
  const again = decodeCertificate(encodeCertificate(decoded.value));
  holds(again.ok && sameCertificate(again.value, decoded.value), 'a certificate means the same after encoding');
  const fault = certificateFault(CLUSTER, new StatementVerifier(CLUSTER.id), decoded.value);
  const slots = new Set(decoded.value.receipts.map((receipt) => receipt.slot));
  holds(fault !== null || slots.size >= quorumSize(CLUSTER.geometry), 'a valid certificate has a quorum of slots');
  // Only what the cluster has signed can be valid, whatever was changed.
  holds(fault !== null || MANIFESTS.some(({ hash }) => equal(hash, decoded.value.signed.hash)), 'nothing else was ever signed');
  return true;
}

function sameCertificate(a: Certificate, b: Certificate): boolean {
  const plain = (c: Certificate): Uint8Array =>
    encode({ body: c.signed.body, proof: c.signed.proof, receipts: [...c.receipts].sort((x, y) => x.slot - y.slot) });
  return equal(plain(a), plain(b));
}

function acceptsManifest(input: Uint8Array): boolean {
  const opened = openSignedManifest({ body: input, proof: first.proof });
  if (!opened.ok) return false;
  const { manifest } = opened.value;
  sameBytes(encodeManifest(manifest), input);
  if (manifest.kind !== 'DATA') return true;
  // What writers, nodes and readers compute from any manifest that is accepted.
  const count = stripeCount(manifest);
  holds(count >= 1 && Number.isSafeInteger(count), 'a content has stripes');
  for (const stripe of [0, count - 1]) {
    const bytes = cellBytesOf(manifest, stripe);
    holds(bytes > 0 && bytes <= manifest.cellBytes && bytes % 64 === 0, 'a cell is within its bound');
  }
  holds(fragmentBytes(manifest) > 0, 'a fragment has bytes');
  return true;
}

function acceptsTable(input: Uint8Array): boolean {
  const decoded = decode(partTableSchema, input, 1024 * 1024);
  if (decoded.ok) sameBytes(encode(decoded.value), input);
  const size = decoded.ok ? decoded.value.reduce((sum, part) => sum + part.size, 0) : 2_000;
  const opened = openTable(CLUSTER.geometry, manifestOf('TABLE', { size }), input, id('data key'));
  if (opened.ok) for (const { content } of opened.segments) holds(stripeCount(content.layout) >= 1, 'a part has stripes');
  return opened.ok;
}

const bucketRecord: BucketRecord = { v: 1, bucketId: id('bucket'), gen: 1, mode: 'PLAIN', versioning: 'NEVER', lock: false, geometries: [2], quotaBytes: 0, state: 'OPEN' };

/** What a path is checked with, all from a peer. */
const treeQuestion = z.strictObject({ root: z.instanceof(Uint8Array), leaf: z.instanceof(Uint8Array), index: z.number(), size: z.number(), path: z.array(z.instanceof(Uint8Array)) });
const treeSeed = encode({ root: id('leaf'), leaf: id('leaf'), index: 0, size: 1, path: [] });

function acceptsTreeQuestion(input: Uint8Array): boolean {
  const asked = decode(treeQuestion, input, 1024 * 1024);
  if (!asked.ok) return false;
  const { root, leaf, index, size, path } = asked.value;
  rootFromInclusion(leaf, index, size, path);
  rootOfBatchMember(leaf, index, size, path);
  verifyInclusion(root, leaf, index, size, path);
  verifyConsistency(index, leaf, size, root, path);
  verifyBlock(root, size, path, index, [leaf, ...path]);
  return true;
}

function acceptsStatement(input: Uint8Array): boolean {
  const decoded = decode(proofSchema, input, 1024 * 1024);
  if (!decoded.ok) return false;
  const verified = new StatementVerifier(CLUSTER.id).verify(WRITER.signingKey.publicKey, 'manifest', first.body, decoded.value);
  // Ed25519 is strict and the tree binds index and size: no other proof of one statement verifies.
  holds(verified === equal(encode(decoded.value), encode(first.proof)), 'exactly the proof that was made verifies');
  return true;
}

function acceptsEntry(input: Uint8Array): boolean {
  const entry = decodeEntry(input);
  if (entry === null) return false;
  sameBytes(encodeEntry(entry.type, entry.body), input);
  // Followers try the body of any entry by its type.
  for (const open of [decodeCommitted, decodeEvict, decodeStampBody, decodeBoot, decodeRepaired, decodeHole, decodeRevokedEntry]) open(entry.body);
  return true;
}

function isCanonicalAsDecoded(input: Uint8Array): boolean {
  const canonicalBytes = isCanonical(input);
  if (canonicalBytes) sameBytes(dagCbor.encode(dagCbor.decode(input)), input);
  return canonicalBytes;
}

const m = 'src/protocol/messages.ts';
const e = 'src/protocol/log-entries.ts';
const committedSeed = committedBodyOf(first);
const evict = encodeEvict({ v: 1, manifestHash: first.hash, keyId, byHash: id('by') });
const boot = encodeBoot({ v: 1, nodeId: id('node'), epoch: 1, incarnation: 2 });
const replies = encodeReplies({ t: 'REPLIES', leaves: [id('leaf 1'), id('leaf 2')], batch: first.proof.batch });
const hole = encode({ v: 1, contentId: id('matrix'), stripe: 3 });
const repairedCell = encodeRepaired({ v: 2, keyId, manifestHash: first.hash, contentId: id('matrix'), stripe: 3 });
const repaired = encodeRepaired({ v: 1, keyId, manifestHash: first.hash, contentId: id('matrix') });
const stampBody = encodeStampBody({ v: 1, keyId, stamp: stampAt(9) });

const at = { incarnation: 1, logIndex: 5 } as const;
const receiptSeed = encodeReceipt({ v: 1, manifestHash: first.hash, keyId, stamp: stampAt(9), slot: 1, nodeId: id('node'), epoch: 1, ...at, ballot: { round: 2, writerId: new Uint8Array(16) } });
const ackSeed = encodeCommitAck({ v: 1, manifestHash: first.hash, keyId, stamp: stampAt(9), nodeId: id('node'), epoch: 1, ...at });
const adoptSeed = encodeAdopt(2, id('configuration'));

/** Whatever is made of it, evidence that proves anything proves it of whom its statements are. */
function acceptsEvidence(input: Uint8Array): boolean {
  const read = decodeEvidence(input);
  if (!read.ok) return false;
  sameBytes(encodeEvidence(read.value), input);
  const verdict = judgeEvidence(evidenceCluster, read.value, EVIDENCE_NOW_MS);
  if (verdict.proven) holds(nameOf(verdict.finding.accused) === ACCUSED[read.value.type], 'nobody else is accused');
  return true;
}

export const protocolTargets: readonly Target[] = [
  decoder({ name: 'canonical', covers: ['src/protocol/encoding.ts decode'], format: cbor, seeds: () => [cert, first.body, ...REQUESTS.map(encodeRequest)], accepts: isCanonicalAsDecoded, inputs: 1_000 }),
  canonical('request', `${m} decodeRequest`, REQUESTS.map(encodeRequest), decodeRequest, encodeRequest),
  decoder({ name: 'answer', covers: [`${m} decodeAnswer`], format: cbor, seeds: () => [...TYPES.map((type) => encodeAnswer(type, ANSWERS[type])), ...REFUSALS], accepts: acceptsAnswer, inputs: 200 }),
  canonical('replies', `${m} decodeReplies`, [replies], decodeReplies, encodeReplies),
  canonical('resolution', `${m} decodeResolution`, [resolution], decodeResolution, encode),
  canonical('ballot request', 'src/protocol/slot.ts decodeBallotRequest', [ballot], decodeBallotRequest, encodeBallotRequest),
  canonical('proposal', 'src/protocol/slot.ts decodeProposal', [proposal], decodeProposal, encodeProposal),
  canonical('attributes', 'src/protocol/attributes.ts decodeAttributes', [attributes], decodeAttributes, encodeAttributes),
  canonical('staged', 'src/protocol/slot.ts decodeStaged', [staged], decodeStaged, encodeStaged),
  canonical('staged-receipts', 'src/protocol/slot.ts decodeStagedReceipts', [stagedReceipts], decodeStagedReceipts, encodeStagedReceipts),
  canonical('unstaged', 'src/protocol/slot.ts decodeUnstaged', [unstaged], decodeUnstaged, encodeUnstaged),
  canonical('receipt', 'src/protocol/receipt.ts decodeReceipt', [receiptSeed], decodeReceipt, encode),
  canonical('commit-ack', 'src/protocol/receipt.ts decodeCommitAck', [ackSeed], decodeCommitAck, encode),
  canonical('log-adopt', `${e} decodeAdopt`, [adoptSeed], decodeAdopt, encode),
  decoder({ name: 'evidence', covers: ['src/evidence/evidence.ts decodeEvidence'], format: cbor, seeds: () => Object.values(samples).map(encodeEvidence), accepts: acceptsEvidence, inputs: 400 }),
  canonical('lack', `${m} decodeLack`, [lack], decodeLack, encode),
  canonical('log-committed', `${e} decodeCommitted`, [committedSeed], decodeCommitted, encode),
  canonical('log-evict', `${e} decodeEvict`, [evict], decodeEvict, encodeEvict),
  canonical('log-stamp', `${e} decodeStampBody`, [stampBody], decodeStampBody, encodeStampBody),
  canonical('log-boot', `${e} decodeBoot`, [boot], decodeBoot, encodeBoot),
  canonical('log-revoked', `${e} decodeRevokedEntry`, [revokedEntry], decodeRevokedEntry, encodeRevokedEntry),
  canonical('revoked', 'src/protocol/revocation.ts decodeRevoked', [revokedSeed], decodeRevoked, encodeRevoked),
  decoder({
    name: 'revocation',
    covers: ['src/protocol/revocation.ts openRevocation', 'src/protocol/revocation.ts openEffectiveRevocation'],
    format: cbor,
    seeds: () => [revocation, sealRevocation(revocationBody, [])],
    accepts: (input) => {
      const opened = openRevocation(CLUSTER, input);
      const effective = openEffectiveRevocation(CLUSTER, input);
      // The admin signed one body.
      if (effective.ok) holds(equal(effective.value.body, revocationBody), 'only what the admin signed is in force');
      return opened.ok;
    },
    inputs: 150,
  }),
  canonical('log-repaired', `${e} decodeRepaired`, [repaired, repairedCell], decodeRepaired, encodeRepaired),
  canonical('log-hole', `${e} decodeHole`, [hole], decodeHole, encode),
  canonical('audit', 'src/protocol/audit.ts decodeAudit', [audit], decodeAudit, encodeAudit),
  canonical('repair-authority', 'src/protocol/repair-authority.ts decodeRepairAuthority', [authority], decodeRepairAuthority, encodeRepairAuthority),
  decoder({ name: 'log-entry', covers: ['src/log/entry-types.ts decodeEntry'], format: { form: 'bytes' }, seeds: () => [encodeEntry('COMMITTED', committedSeed), encodeEntry('EVICT', evict), encodeEntry('BOOT', boot)], accepts: acceptsEntry }),
  decoder({ name: 'certificate', covers: ['src/protocol/certificate.ts decodeCertificate'], format: cbor, seeds: () => CERTIFICATES, accepts: acceptsCertificate, inputs: 800 }),
  decoder({ name: 'manifest', covers: ['src/protocol/manifest.ts openSignedManifest', 'src/protocol/manifest.ts decodeManifest'], format: cbor, seeds: () => MANIFESTS.map(({ body }) => body), accepts: acceptsManifest }),
  decoder({ name: 'part-table', covers: ['src/client/read-plan.ts openTable'], format: cbor, seeds: () => [PART_TABLE], accepts: acceptsTable }),
  decoder({
    name: 'bucket-record',
    covers: ['src/protocol/bucket-record.ts decodeBucketRecord'],
    format: cbor,
    seeds: () => [encodeBucketRecord(bucketRecord)],
    accepts: (input) => {
      const decoded = decodeBucketRecord(input);
      if (!decoded.ok) return false;
      sameBytes(encodeBucketRecord(decoded.value), input);
      transitionFault(bucketRecord, decoded.value);
      return true;
    },
  }),
  decoder({
    name: 'configuration',
    covers: ['src/protocol/configuration.ts openRootConfiguration', 'src/protocol/configuration.ts openSignedConfiguration'],
    format: cbor,
    seeds: () => [CLUSTER.document],
    accepts: (input) => {
      const verdict = openRootConfiguration(input);
      // One admin signed one body: no other is a configuration of this cluster.
      if (verdict.ok) holds(equal(verdict.cluster.hash, CLUSTER.hash), 'only what the admin signed is accepted');
      return verdict.ok;
    },
    inputs: 150,
  }),
  decoder({ name: 'statement-proof', covers: ['src/protocol/statement.ts StatementVerifier'], format: cbor, seeds: () => [encode(first.proof)], accepts: acceptsStatement }),
  decoder({ name: 'merkle-proof', covers: [], format: cbor, seeds: () => [treeSeed, encode({ root: id('root'), leaf: id('leaf'), index: 5, size: 9, path: [id('a'), id('b'), id('c'), id('d')] })], accepts: acceptsTreeQuestion }),
];

