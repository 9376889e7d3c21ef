/**
 * Lies that their node signs, so that they can be held against it (protocol 10): about the place of an entry,
 * about what it has acknowledged, about the row of a content. Who hears one has both halves of a proof.
 */
import { concat, EMPTY } from '../../base/bytes.ts';
import type { Frame, PeerConnection } from '../../base/ports.ts';
import { decodeCertificate } from '../../protocol/certificate.ts';
import { decodeAnswer, encodeAnswer, encodeReplies, replyStatement } from '../../protocol/messages.ts';
import type { RequestOf } from '../../protocol/messages.ts';
import { encodeCommitAck } from '../../protocol/receipt.ts';
import { signBatch, statementLeaf } from '../../protocol/statement.ts';
import { requestIn } from './nodes.ts';
import { prove } from './stage.ts';
import type { Interceptor, Stage } from './stage.ts';

/** Acknowledges certificates at `index` of its log, where something else stands. */
export function acknowledgesAt(stage: Stage, slot: number, index: number): Interceptor {
  return async (honest, frame) => {
    const answered = await honest(frame);
    const request = requestIn(frame);
    const parsed = decodeAnswer('COMMIT', answered.body);
    const nodeId = stage.cluster.slotAt(slot)?.nodeId;
    if (request?.t !== 'COMMIT' || parsed.kind !== 'answer' || nodeId === undefined) return answered;
    const cert = decodeCertificate(request.cert);
    if (!cert.ok) return answered;
    const { incarnation } = parsed.answer;
    const { manifest, hash } = cert.value.signed;
    const { keyId, stamp, epoch } = manifest;
    const body = encodeCommitAck({ v: 1, manifestHash: hash, keyId, stamp, nodeId, epoch, incarnation, logIndex: index });
    const proof = prove(stage.cluster, stage.nodeKey(slot), 'commit-ack', body);
    return { ...answered, body: encodeAnswer('COMMIT', { incarnation, logIndex: index, proof }) };
  };
}

/** Confirms its log and denies what is in it: no version of any key. */
export function forgetsVersions(stage: Stage, slot: number): Interceptor {
  return async (honest, frame, from) => {
    const answered = await honest(frame);
    const parsed = requestIn(frame)?.t === 'QUERY' ? decodeAnswer('QUERY', answered.body) : null;
    if (parsed?.kind !== 'answer') return answered;
    const { epoch, configHash, seen } = parsed.answer;
    const answer = encodeAnswer('QUERY', { cert: null, row: null, path: [], epoch, configHash, seen });
    return signed(stage, slot, from, frame, { body: answer, payload: EMPTY });
  };
}

/** Gives rows that are not those of the content. */
export function inventsRows(stage: Stage, slot: number): Interceptor {
  return async (honest, frame, from) => {
    const answered = await honest(frame);
    const request = requestIn(frame);
    const parsed = request?.t === 'FETCH' ? decodeAnswer('FETCH', answered.body) : null;
    if (request?.t !== 'FETCH' || parsed?.kind !== 'answer') return answered;
    const row = inverted(parsed.answer.row, request);
    return signed(stage, slot, from, frame, { ...answered, body: encodeAnswer('FETCH', { ...parsed.answer, row }) });
  };
}

function inverted(row: Uint8Array, { stripe }: RequestOf<'FETCH'>): Uint8Array {
  const at = stripe % Math.max(1, row.length);
  return concat(row.subarray(0, at), Uint8Array.of((row[at] ?? 0) ^ 255), row.subarray(at + 1));
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
