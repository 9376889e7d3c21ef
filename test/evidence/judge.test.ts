/**
 * Evidence (protocol 10), each kind: what proves, and everything next to it that does not. What correct members
 * sign is the simulator's matter.
 */
import { describe, expect, it } from 'vitest';
import { utf8 } from '../../src/base/bytes.ts';
import { sha256 } from '../../src/crypto/primitives.ts';
import { decodeEvidence, encodeEvidence, EVIDENCE_TYPES } from '../../src/evidence/evidence.ts';
import type { Evidence } from '../../src/evidence/evidence.ts';
import { nameOf } from '../../src/evidence/finding.ts';
import type { Verdict } from '../../src/evidence/finding.ts';
import { judgeEvidence } from '../../src/evidence/judge.ts';
import { commitNonce } from '../../src/evidence/logs.ts';
import { encodeEntry } from '../../src/log/entry-types.ts';
import { consistencyPath, leafHash, rootOf } from '../../src/merkle/tree.ts';
import { configStatement, encodeConfiguration, sealConfiguration } from '../../src/protocol/configuration.ts';
import { encode } from '../../src/protocol/encoding.ts';
import { committedBodyOf } from '../../src/protocol/log-entries.ts';
import { signedManifestToWire } from '../../src/protocol/manifest.ts';
import type { SignedManifest } from '../../src/protocol/manifest.ts';
import { encodeAnswer, encodeRequest, replyStatement } from '../../src/protocol/messages.ts';
import type { LackBody } from '../../src/protocol/messages.ts';
import { encodeProposal } from '../../src/protocol/slot.ts';
import type { Ballot } from '../../src/protocol/slot.ts';
import { writerIdOf } from '../../src/protocol/stamp.ts';
import { prove } from '../../src/sim/adversaries/stage.ts';
import { seededKey } from '../../src/sim/members.ts';

import { ACCUSED, ackOf, answered, auditOf, ballot, certificateOf, cluster, content, entryAt, filler, keyId, keyOf, LEAVES, manifestOf, nodeOf, nonce, nonceRoot, note, NOW_MS, other, receiptOf, samples, signedBy, slotTerms, stranger, WEEK_MS, writer } from './samples.ts';

const judge = (evidence: Evidence): Verdict => judgeEvidence(cluster, evidence, NOW_MS);

/** Reads it from its file first, as a stranger would. */
function accuses(evidence: Evidence, accused: string): void {
  const read = decodeEvidence(encodeEvidence(evidence));
  expect(read).toMatchObject({ ok: true });
  const verdict = judge(read.ok ? read.value : evidence);
  expect(verdict).toMatchObject({ proven: true });
  if (!verdict.proven) return;
  expect(nameOf(verdict.finding.accused)).toBe(accused);
  expect(verdict.finding.signed.length).toBeGreaterThan(0);
  expect(verdict.finding.contradiction).not.toBe('');
}

function acquits(evidence: Evidence, reason: string): void {
  expect(judge(evidence)).toEqual({ proven: false, reason: expect.stringContaining(reason) as string });
}

describe.each(EVIDENCE_TYPES)('%s', (type) => {
  const sample: Evidence = samples[type];

  it('proves what it says, to whoever reads the file', () => {
    accuses(sample, ACCUSED[type]);
  });

  it('proves nothing under another configuration', () => {
    expect(judgeEvidence(other, sample, NOW_MS)).toMatchObject({ proven: false });
    expect(judgeEvidence(other, { ...sample, configHash: other.hash }, NOW_MS)).toMatchObject({ proven: type === 'E9' });
  });

  it('proves nothing, or the same, with any byte changed', () => {
    const bytes = encodeEvidence(sample);
    const step = Math.max(1, Math.floor(bytes.length / 1500));
    for (let at = 0; at < bytes.length; at += step) {
      const read = decodeEvidence(bytes.with(at, (bytes[at] ?? 0) ^ 1));
      if (!read.ok) continue;
      const verdict = judge(read.value);
      if (verdict.proven) expect(nameOf(verdict.finding.accused)).toBe(ACCUSED[type]);
    }
  });
});

const { E1, E2, E3, E4, E5, E6, E7, E8, E9, E10, E11, E12 } = samples;
const one = manifestOf();
const later = manifestOf({ stamp: { ...one.manifest.stamp, counter: 8 } });

describe('next to each kind', () => {
  it('E1: one manifest twice, two keys, two stamps, or a signature of someone else', () => {
    const [first] = E1.manifests;
    const with2 = (signed: SignedManifest): Evidence => ({ ...E1, manifests: [first, signedManifestToWire(signed)] });
    acquits({ ...E1, manifests: [first, first] }, 'twice');
    acquits(with2(manifestOf({ keyId: sha256(utf8('other key')) })), 'two keys');
    acquits(with2(later), 'two stamps');
    acquits(with2(manifestOf({ opId: sha256(utf8('x')) }, stranger.signingKey)), 'does not verify');
    const theirs = { gatewayId: stranger.gatewayId, stamp: { ...one.manifest.stamp, writerId: writerIdOf(stranger.gatewayId, nonce) } };
    acquits(with2(manifestOf(theirs, stranger.signingKey)), 'two stamps');
  });

  it('E2: two nodes, one manifest, two stamps; in a slot, another ballot or another predecessor', () => {
    const [first] = E2.receipts;
    acquits({ ...E2, receipts: [first, first] }, 'one manifest');
    acquits({ ...E2, receipts: [first, receiptOf(2, manifestOf({ opId: sha256(utf8('y')) }), 6)] }, 'two nodes');
    acquits({ ...E2, receipts: [first, receiptOf(1, later, 6)] }, 'two stamps');
    const a = manifestOf(slotTerms());
    const b = manifestOf({ ...slotTerms(), stamp: later.manifest.stamp });
    const elsewhere = manifestOf({ ...slotTerms({ prev: one.hash }), stamp: later.manifest.stamp });
    const pair = (x: SignedManifest, y: SignedManifest, second: Ballot = ballot): Evidence => ({
      ...E2,
      receipts: [receiptOf(1, x, 5, ballot), receiptOf(1, y, 6, second)],
      manifests: [x.body, y.body],
    });
    accuses(pair(a, b), 'node-1');
    acquits(pair(a, b, { ...ballot, round: 5 }), 'no common ballot');
    acquits(pair(a, elsewhere), 'two slots');
    acquits({ ...pair(a, b), manifests: null } as Evidence, 'missing');
    acquits({ ...pair(a, b), manifests: [b.body, a.body] } as Evidence, 'other ones');
  });

  it('E3: a log that grew, one checkpoint twice, two nodes', () => {
    const hashes = LEAVES.map((leaf) => leafHash(leaf));
    const beginning = { root: rootOf(hashes.slice(0, 4)), path: consistencyPath(hashes, 4) };
    const small = note(2, LEAVES.slice(0, 4));
    acquits({ ...E3, notes: [small, note(2, LEAVES)], beginning }, 'extends');
    acquits({ ...E3, notes: [small, small] }, 'agree');
    acquits({ ...E3, notes: [small, note(1, LEAVES)] }, 'two nodes');
    acquits({ ...E3, notes: [small, note(2, LEAVES)], beginning: null }, 'nothing shows');
    acquits({ ...E3, beginning: { ...beginning, root: sha256(utf8('made up')) } }, 'does not verify');
    accuses({ ...E3, notes: [small, note(2, LEAVES.slice(1, 5))], beginning: null }, 'node-2');
  });

  it('E4: a promise that was kept, another place, another node; an acknowledgement is kept by a higher version', () => {
    const kept = receiptOf(2, one, 5);
    const leaves = LEAVES.with(5, encodeEntry('PREPARED', kept.body));
    acquits({ ...E4, note: note(2, leaves), entry: entryAt(leaves, 5) }, 'kept');
    acquits({ ...E4, entry: entryAt(LEAVES, 6) }, 'another index');
    acquits({ ...E4, promise: { purpose: 'receipt', ...receiptOf(1, one, 5) } }, 'two nodes');
    acquits({ ...E4, entry: { ...E4.entry, leaf: filler('made up') } }, 'does not have');
    const committed = LEAVES.with(5, encodeEntry('COMMITTED', committedBodyOf(later)));
    const promised = (signed: SignedManifest): Evidence => ({
      ...E4,
      promise: { purpose: 'commit-ack', ...ackOf(2, signed, 5) },
      note: note(2, committed),
      entry: entryAt(committed, 5),
    });
    acquits(promised(one), 'kept');
    accuses(promised(manifestOf({ stamp: { ...one.manifest.stamp, counter: 9 } })), 'node-2');
  });

  it('E5: an answer that confirms no later log, or shows as much', () => {
    const query = encodeRequest({ t: 'QUERY', keyId, cell0: false, seen: null });
    const saying = (seen: { size: number; root: Uint8Array } | null, cert: Uint8Array | null): Evidence => {
      const answer = encodeAnswer('QUERY', { cert, row: null, path: [], epoch: 1, configHash: cluster.hash, seen });
      return { ...E5, shown: answered(3, query, answer) };
    };
    acquits(saying(null, null), 'may be older');
    acquits(saying({ size: 8, root: nonceRoot }, null), 'may be older');
    acquits(saying({ size: 9, root: nonceRoot }, certificateOf(one)), 'as much');
    acquits({ ...E5, shown: { ...E5.shown, proof: prove(cluster, keyOf(2), 'reply', replyStatement(nodeOf(2), 1, query, E5.shown.answer)) } }, 'did not sign');
    const foreign = encodeRequest({ t: 'QUERY', keyId: sha256(utf8('other key')), cell0: false, seen: null });
    acquits({ ...E5, shown: answered(3, foreign, E5.shown.answer) }, 'another version');
  });

  it('E5-log: a checkpoint of no known time, or a log that grew', () => {
    const sample = samples['E5-log'];
    const [earlier] = sample.notes;
    acquits({ ...sample, notes: [earlier, note(2, LEAVES.slice(0, 8))] }, 'the later one');
    acquits({ ...sample, salt: new Uint8Array(16) }, 'the later one');
    acquits({ ...sample, notes: [earlier, note(2, LEAVES, commitNonce(sample.salt, earlier))] }, 'did not shrink');
    acquits({ ...sample, notes: [earlier, note(1, LEAVES.slice(0, 8), commitNonce(sample.salt, earlier))] }, 'two nodes');
  });

  it('E6: a higher version, another version, no receipt, or one that promised no content', () => {
    const said = (amend: Partial<LackBody>, certificate: SignedManifest = one, by = 1): Evidence => {
      const { hash, manifest } = certificate;
      const lack: LackBody = { v: 1, code: 'HOLE', manifestHash: hash, contentId: manifest.contentId, stripe: 0, slot: by, epoch: 1, max: null, ...amend };
      return { ...E6, content: { ...E6.content, certificate: certificateOf(certificate) }, lack: signedBy(by, 'not-held', encode(lack)) };
    };
    accuses(said({ max: one.manifest.stamp }), 'node-1');
    acquits(said({ max: later.manifest.stamp }), 'higher version');
    acquits(said({ manifestHash: later.hash }), 'another version');
    acquits(said({ stripe: 1 }), 'no such stripe');
    acquits(said({}, one, 3), 'no promise');
    const staged = manifestOf(slotTerms({ stage: { id: nonce, slots: [0, 2, 3] } }));
    acquits(said({}, staged), 'no promise');
    accuses(said({}, staged, 2), 'node-2');
  });

  it('E6-row: the row of the content, or of another version', () => {
    const sample = samples['E6-row'];
    const { row } = content(false);
    const { request } = sample.shown;
    acquits({ ...sample, shown: answered(1, request, encodeAnswer('FETCH', { row, path: [] })) }, 'the one of the content');
    acquits({ ...sample, content: { ...sample.content, certificate: certificateOf(later) } }, 'another version');
    acquits({ ...sample, shown: answered(3, request, sample.shown.answer) }, 'none of the nodes');
  });

  it('E6-audit: the right cell, another version, a row of another content, or a stripe that is not there', () => {
    const sample = samples['E6-audit'];
    const said = (amend: Parameters<typeof auditOf>[1], by = 1): Evidence => ({ ...sample, audit: signedBy(by, 'audit', auditOf(one, amend)) });
    accuses(said({ slot: 3 }, 3), 'node-3');
    acquits(said({ cellHash: sample.row.subarray(32, 64) }), 'the right cell');
    acquits(said({ manifestHash: later.hash }), 'another version');
    acquits(said({ stripe: 1 }), 'not the one of the content');
    acquits({ ...sample, row: content(true).row }, 'not the one of the content');
    acquits(said({}, 3), 'does not verify');
    acquits({ ...sample, audit: signedBy(1, 'not-held', sample.audit.body) }, 'does not verify');
  });

  it('E7: a retention that has ended, GOVERNANCE, another entry or version', () => {
    expect(judgeEvidence(cluster, E7, NOW_MS + WEEK_MS - 3_600_000)).toMatchObject({ proven: false });
    const governed = manifestOf({ ...slotTerms({ lockMode: 'GOVERNANCE' }), retainUntil: NOW_MS + WEEK_MS });
    acquits({ ...E7, certificate: certificateOf(governed) }, 'bids nobody');
    acquits({ ...E7, note: note(3, LEAVES), entry: entryAt(LEAVES, 3) }, 'no eviction');
    const locked = manifestOf({ ...slotTerms({ lockMode: 'COMPLIANCE' }), retainUntil: NOW_MS + WEEK_MS + 1 });
    acquits({ ...E7, certificate: certificateOf(locked) }, 'another version');
  });

  it('E8: a content in order, cells of something else, too few or doubled ones', () => {
    const { row, cells, contentId } = content(false);
    const shown = [0, 3].map((slot) => ({ slot, cell: cells[slot] ?? row }));
    const named = { certificate: certificateOf(one), contentId, table: null };
    acquits({ ...E8, content: named, row, cells: shown }, 'in order');
    acquits({ ...E8, row }, 'not in the matrix');
    const [first] = E8.cells;
    if (first === undefined) throw new Error('a sample has cells');
    acquits({ ...E8, cells: [first] }, 'k cells');
    acquits({ ...E8, cells: [first, first] }, 'k cells');
    acquits({ ...E8, cells: [first, { slot: 3, cell: cells[3] ?? row }] }, 'not the one of the row');
    acquits({ ...E8, stripe: 1 }, 'no such stripe');
  });

  it('E9: one document twice, or too few signatures', () => {
    const [first] = E9.documents;
    acquits({ ...E9, documents: [first, first] }, 'twice');
    const body = encodeConfiguration({ ...cluster.config, epoch: 2, prevHash: cluster.hash, notBefore: 9 });
    const mallory = seededKey('mallory');
    const forged = sealConfiguration(body, [{ admin: mallory.publicKey, signature: mallory.sign(configStatement(cluster.id, body)) }]);
    acquits({ ...E9, documents: [first, forged] }, 'fewer than');
    acquits({ ...E9, documents: [first, cluster.document] }, 'two epochs');
  });

  it('E10: a receipt logged before the adoption, or of the epoch adopted', () => {
    acquits({ ...E10, receipt: receiptOf(3, one, 8) }, 'before the adoption');
    acquits({ ...E10, receipt: receiptOf(3, manifestOf({ epoch: 2 }), 10) }, 'not above');
    acquits({ ...E10, receipt: receiptOf(2, one, 10) }, 'not one of the node');
  });

  it('E11: one manifest, two rounds', () => {
    const [first] = E11.proposals;
    acquits({ ...E11, proposals: [first, first] }, 'one manifest');
    const body = encodeProposal({ v: 1, keyId, prev: one.hash, round: 3, gatewayId: writer.gatewayId, sessionNonce: nonce, manifestHash: later.hash });
    acquits({ ...E11, proposals: [first, { body, proof: prove(cluster, writer.signingKey, 'proposal', body) }] }, 'two ballots');
  });

  it('E12: a lawful manifest; malformed ones and those of strangers are not', () => {
    acquits({ ...E12, receipt: receiptOf(0, one, 5), manifest: one.body }, 'may accept');
    acquits({ ...E12, manifest: one.body }, 'another manifest');
    const later = manifestOf({ epoch: 2, n: 5 });
    acquits({ ...E12, receipt: receiptOf(0, later, 5), manifest: later.body }, 'of its epoch');
    const from = (gatewayId: Uint8Array): SignedManifest =>
      manifestOf({ gatewayId, stamp: { ...one.manifest.stamp, writerId: writerIdOf(gatewayId, nonce) } });
    const foreign = from(sha256(utf8('nobody')));
    accuses({ ...E12, receipt: receiptOf(0, foreign, 5), manifest: foreign.body }, 'node-0');
    const empty = manifestOf({ size: 0 });
    accuses({ ...E12, receipt: receiptOf(0, empty, 5), manifest: empty.body }, 'node-0');
  });
});
