/**
 * Lies that their node signs, so that they can be held against it (protocol 10): about the place of an entry,
 * about what it has acknowledged, about the row of a content, about what it has accepted and what it keeps. Who
 * hears one has both halves of a proof. Each tells its stage when it has lied so (`Stage.lied`), for whoever
 * checks that somebody has the proof.
 */
import { concat, EMPTY, hex } from '../../base/bytes.ts';
import type { Frame, PeerConnection } from '../../base/ports.ts';
import { sha256 } from '../../crypto/primitives.ts';
import { decodeEntry } from '../../log/entry-types.ts';
import { decodeAudit, encodeAudit } from '../../protocol/audit.ts';
import { decodeCertificate, encodeCertificate, promisesContent, receiptBodyOf } from '../../protocol/certificate.ts';
import type { Certificate } from '../../protocol/certificate.ts';
import { encodeManifest } from '../../protocol/manifest.ts';
import type { Manifest, SignedManifest } from '../../protocol/manifest.ts';
import { decodeAnswer, encodeAnswer, encodeReplies, replyStatement } from '../../protocol/messages.ts';
import type { AnswerOf, RequestOf } from '../../protocol/messages.ts';
import { encodeCommitAck, encodeReceipt } from '../../protocol/receipt.ts';
import { signBatch, statementLeaf } from '../../protocol/statement.ts';
import { requestIn } from './nodes.ts';
import { prove } from './stage.ts';
import type { Interceptor, Stage } from './stage.ts';

/** Acknowledges certificates at another place of its log than where they stand. `at`: from the honest place to the one it names. */
export function acknowledgesAt(stage: Stage, slot: number, at: (index: number) => number): Interceptor {
  /** By connection: places that it has named there, and that the one who asked has not looked at yet. */
  const named = new Map<number, Set<number>>();
  return async (honest, frame, from) => {
    const answered = await honest(frame);
    const request = requestIn(frame);
    const places = named.get(from.id) ?? new Set();
    named.set(from.id, places);
    if (request?.t === 'CHANGES') {
      for (const index of shownAmong(places, answered)) {
        places.delete(index);
        stage.lied?.(slot, 'E4', from);
      }
    }
    const parsed = decodeAnswer('COMMIT', answered.body);
    const nodeId = stage.cluster.slotAt(slot)?.nodeId;
    if (request?.t !== 'COMMIT' || parsed.kind !== 'answer' || nodeId === undefined) return answered;
    const cert = decodeCertificate(request.cert);
    if (!cert.ok) return answered;
    const { incarnation } = parsed.answer;
    const logIndex = at(parsed.answer.logIndex);
    const { manifest, hash } = cert.value.signed;
    const { keyId, stamp, epoch } = manifest;
    const body = encodeCommitAck({ v: 1, manifestHash: hash, keyId, stamp, nodeId, epoch, incarnation, logIndex });
    const proof = prove(stage.cluster, stage.nodeKey(slot), 'commit-ack', body);
    places.add(logIndex);
    return { ...answered, body: encodeAnswer('COMMIT', { incarnation, logIndex, proof }) };
  };
}

/** Of these places of a log, those at which the answer shows anything but a certificate that was taken in. */
function shownAmong(places: ReadonlySet<number>, answered: Frame): readonly number[] {
  const parsed = decodeAnswer('CHANGES', answered.body);
  if (parsed.kind !== 'answer') return [];
  const { from, leaves } = parsed.answer;
  return leaves.flatMap((leaf, i) => (places.has(from + i) && decodeEntry(leaf)?.type !== 'COMMITTED' ? [from + i] : []));
}

/** Acknowledges certificates at the place of the entry that comes next. */
export function acknowledgesAhead(stage: Stage, slot: number): Interceptor {
  return acknowledgesAt(stage, slot, (index) => index + 1);
}

/** Confirms its log and denies what is in it: no version of any key. */
export function forgetsVersions(stage: Stage, slot: number): Interceptor {
  /** By connection and key: where its log has what it has acknowledged there. */
  const acknowledged = new Map<string, number>();
  return async (honest, frame, from) => {
    const answered = await honest(frame);
    const request = requestIn(frame);
    if (request?.t === 'COMMIT') {
      const [ack, cert] = [decodeAnswer('COMMIT', answered.body), decodeCertificate(request.cert)];
      if (ack.kind === 'answer' && cert.ok) acknowledged.set(`${from.id} ${hex(cert.value.signed.manifest.keyId)}`, ack.answer.logIndex);
    }
    const parsed = request?.t === 'QUERY' ? decodeAnswer('QUERY', answered.body) : null;
    if (request?.t !== 'QUERY' || parsed?.kind !== 'answer') return answered;
    const { epoch, configHash, seen } = parsed.answer;
    const index = acknowledged.get(`${from.id} ${hex(request.keyId)}`);
    if (index !== undefined && seen !== null && seen.size > index && request.at === undefined) stage.lied?.(slot, 'E5', from);
    const answer = encodeAnswer('QUERY', { cert: null, row: null, path: [], epoch, configHash, seen });
    return signed(stage, slot, from, frame, { body: answer, payload: EMPTY });
  };
}

/** Gives rows that are not those of the content. */
export function inventsRows(stage: Stage, slot: number): Interceptor {
  const promised = new Set<string>();
  return async (honest, frame, from) => {
    const answered = await honest(frame);
    const request = requestIn(frame);
    if (request?.t === 'COMMIT') {
      const cert = decodeCertificate(request.cert);
      if (cert.ok && promisesContent(cert.value, slot)) promised.add(hex(cert.value.signed.hash));
    }
    const parsed = request?.t === 'FETCH' ? decodeAnswer('FETCH', answered.body) : null;
    if (request?.t !== 'FETCH' || parsed?.kind !== 'answer') return answered;
    if (promised.has(hex(request.manifestHash))) stage.lied?.(slot, 'E6-row', from);
    const row = inverted(parsed.answer.row, request);
    return signed(stage, slot, from, frame, { ...answered, body: encodeAnswer('FETCH', { ...parsed.answer, row }) });
  };
}

function inverted(row: Uint8Array, { stripe }: RequestOf<'FETCH'>): Uint8Array {
  const at = stripe % Math.max(1, row.length);
  return concat(row.subarray(0, at), Uint8Array.of((row[at] ?? 0) ^ 255), row.subarray(at + 1));
}

/** Answers challenges with cells of its own making. For where a controller audits. */
export function answersAuditsWrongly(stage: Stage, slot: number): Interceptor {
  return async (honest, frame, from) => {
    const answered = await honest(frame);
    const parsed = requestIn(frame)?.t === 'AUDIT' ? decodeAnswer('AUDIT', answered.body) : null;
    const decoded = parsed?.kind === 'answer' ? decodeAudit(parsed.answer.statement.body) : null;
    if (parsed?.kind !== 'answer' || decoded?.ok !== true) return answered;
    const payload = Uint8Array.from(answered.payload, (byte) => byte ^ 1);
    const body = encodeAudit({ ...decoded.value, cellHash: sha256(payload) });
    const statement = { body, proof: prove(stage.cluster, stage.nodeKey(slot), 'audit', body) };
    stage.lied?.(slot, 'E6-audit', from);
    return { body: encodeAnswer('AUDIT', { ...parsed.answer, statement }), payload };
  };
}

/** Shows, in place of a version that it has accepted, another of the same stamp, with a receipt for that. */
export function acceptsTwo(stage: Stage, slot: number): Interceptor {
  return showing(stage, slot, (cert, from) => {
    if (cert.receipts.some((receipt) => receipt.slot === slot)) stage.lied?.(slot, 'E2', from);
    return accepting(stage, slot, cert, (manifest) => ({ ...manifest, opId: sha256(manifest.opId) }));
  });
}

/** Shows, in place of what is certified, a version of a suite that the cluster does not have, with a receipt for it. */
export function acceptsUnlawful(stage: Stage, slot: number): Interceptor {
  return showing(stage, slot, (cert, from) => {
    stage.lied?.(slot, 'E12', from);
    const later = (manifest: Manifest): Manifest => ({ ...manifest, suite: manifest.suite + 1, stamp: { ...manifest.stamp, counter: manifest.stamp.counter + 1 } });
    return accepting(stage, slot, cert, later);
  });
}

function showing(stage: Stage, slot: number, change: (cert: Certificate, from: PeerConnection) => Certificate): Interceptor {
  return async (honest, frame, from) => {
    const answered = await honest(frame);
    const parsed = requestIn(frame)?.t === 'QUERY' ? decodeAnswer('QUERY', answered.body) : null;
    if (parsed?.kind !== 'answer' || parsed.answer.cert === null) return answered;
    const cert = decodeCertificate(parsed.answer.cert);
    if (!cert.ok) return answered;
    const answer: AnswerOf<'QUERY'> = { ...parsed.answer, cert: encodeCertificate(change(cert.value, from)), row: null, path: [] };
    return signed(stage, slot, from, frame, { body: encodeAnswer('QUERY', answer), payload: EMPTY });
  };
}

/** The certificate as if it was one of another manifest, under which this node's receipt alone verifies. */
function accepting(stage: Stage, slot: number, { signed: first, ballot, receipts }: Certificate, change: (manifest: Manifest) => Manifest): Certificate {
  const manifest = change(first.manifest);
  const body = encodeManifest(manifest);
  const { cluster } = stage;
  const made: SignedManifest = { manifest, body, hash: sha256(body), proof: first.proof };
  const place = { slot, incarnation: 1, logIndex: 1 };
  const receipt = encodeReceipt(receiptBodyOf(made, cluster.slotAt(slot)?.nodeId ?? EMPTY, place, ballot));
  const own = { ...place, proof: prove(cluster, stage.nodeKey(slot), 'receipt', receipt) };
  return { signed: made, ballot, receipts: [...receipts.filter((one) => one.slot !== slot), own] };
}

/** The answer, with the signature that is owed for it. */
function signed(stage: Stage, slot: number, to: PeerConnection, request: Frame, answer: Frame): Frame {
  const { cluster, clock } = stage;
  const nodeId = cluster.slotAt(slot)?.nodeId ?? EMPTY;
  const leaf = statementLeaf('reply', cluster.id, replyStatement(nodeId, cluster.epoch, request.body, answer.body));
  const [proof] = signBatch(stage.nodeKey(slot), cluster.id, [leaf]);
  if (proof !== undefined) {
    clock.after(20, () => to.notify({ body: encodeReplies({ t: 'REPLIES', leaves: [leaf], batch: proof.batch }), payload: EMPTY }));
  }
  return answer;
}
