/**
 * Byzantine storage nodes with their real keys (protocol 1): unlike a thief on the wire they sign what they
 * like, and every signature verifies. Each strategy is one interceptor; what it does not touch, the honest
 * node behind it answers. Strategies that need no key stand in liars.ts.
 */
import { EMPTY, equal, hex } from '../../base/bytes.ts';
import type { Frame } from '../../base/ports.ts';
import { sha256, verifySignature } from '../../crypto/primitives.ts';
import { logOrigin, openCheckpoint, signCheckpoint } from '../../log/checkpoint.ts';
import type { Checkpoint } from '../../log/checkpoint.ts';
import { ed25519Signer, ed25519Verifier } from '../../log/signed-note.ts';
import { decodeCertificate, encodeCertificate, receiptBodyOf } from '../../protocol/certificate.ts';
import type { Certificate } from '../../protocol/certificate.ts';
import { encode } from '../../protocol/encoding.ts';
import { openSignedManifest } from '../../protocol/manifest.ts';
import { decodeAnswer, decodeRequest, encodeAnswer, encodeRefused } from '../../protocol/messages.ts';
import type { Request, RequestOf, RequestType } from '../../protocol/messages.ts';
import { encodeCommitAck, encodeReceipt } from '../../protocol/receipt.ts';
import { ballotOf, decodeProposal } from '../../protocol/slot.ts';
import type { Ballot } from '../../protocol/slot.ts';
import { compareStamps } from '../../protocol/stamp.ts';
import type { Stamp } from '../../protocol/stamp.ts';
import type { Purpose, StatementProof } from '../../protocol/statement.ts';
import { prove } from './stage.ts';
import type { Interceptor, Stage } from './stage.ts';

const HASH_BYTES = 32;

export function requestIn(frame: Frame): Request | null {
  const decoded = decodeRequest(frame.body);
  return decoded.ok ? decoded.value : null;
}

/** A lying node: who it is, and what it signs with. */
class Liar {
  readonly stage: Stage;
  readonly slot: number;
  /** Any number does: nobody has seen its log. */
  #logIndex = 1_000_000;

  constructor(stage: Stage, slot: number) {
    this.stage = stage;
    this.slot = slot;
  }

  get nodeId(): Uint8Array {
    return this.stage.cluster.slotAt(this.slot)?.nodeId ?? EMPTY;
  }

  sign(purpose: Purpose, body: Uint8Array): StatementProof {
    return prove(this.stage.cluster, this.stage.nodeKey(this.slot), purpose, body);
  }

  nextIndex(): number {
    this.#logIndex += 1;
    return this.#logIndex;
  }

  receipt(request: RequestOf<'PREPARE'>): Frame | null {
    const opened = openSignedManifest(request.manifest);
    if (!opened.ok) return null;
    const [incarnation, logIndex] = [1, this.nextIndex()];
    const ballot = ballotIn(request);
    const body = receiptBodyOf(opened.value, this.nodeId, { slot: this.slot, incarnation, logIndex }, ballot);
    const proof = this.sign('receipt', encodeReceipt(body));
    return { body: encodeAnswer('PREPARE', { incarnation, logIndex, proof }), payload: EMPTY };
  }

  acknowledgement(request: RequestOf<'COMMIT'>): Frame | null {
    const cert = decodeCertificate(request.cert);
    if (!cert.ok) return null;
    const { manifest, hash: manifestHash } = cert.value.signed;
    const [incarnation, logIndex] = [1, this.nextIndex()];
    const { keyId, stamp } = manifest;
    const { epoch } = this.stage.cluster;
    const proof = this.sign('commit-ack', encodeCommitAck({ v: 1, manifestHash, keyId, stamp, nodeId: this.nodeId, epoch, incarnation, logIndex }));
    return { body: encodeAnswer('COMMIT', { incarnation, logIndex, proof }), payload: EMPTY };
  }

  never({ keyId, stamp }: RequestOf<'RESOLVE'>): Frame {
    const body = encode({ v: 1, keyId, stamp, slot: this.slot, epoch: this.stage.cluster.epoch, prepared: null });
    return {
      body: encodeAnswer('RESOLVE', { resolution: { body, proof: this.sign('resolution', body) }, manifest: null, holds: false }),
      payload: EMPTY,
    };
  }

  notHeld({ manifestHash, contentId, stripe }: RequestOf<'FETCH'>, max: Stamp | null): Frame {
    const { slot } = this;
    const body = encode({ v: 1, code: 'NOT_HELD', manifestHash, contentId, stripe, slot, epoch: this.stage.cluster.epoch, max });
    const statement = { body, proof: this.sign('not-held', body) };
    return { body: encodeRefused({ code: 'NOT_HELD', reason: 'no such version is held', statement }), payload: EMPTY };
  }
}

/**
 * Signs a receipt for every manifest, also for two of one stamp, and keeps none of the content. Certificates with
 * such receipts it acknowledges by itself: the node behind it would stop, because its log lacks what they show.
 */
export function signsEverything(stage: Stage, slot: number): Interceptor {
  const liar = new Liar(stage, slot);
  const isOwn = (cert: Uint8Array): boolean => {
    const decoded = decodeCertificate(cert);
    return decoded.ok && decoded.value.receipts.some((receipt) => receipt.slot === slot);
  };
  return async (honest, frame) => {
    const request = requestIn(frame);
    if (request?.t === 'PREPARE') return liar.receipt(request) ?? honest(frame);
    if (request?.t === 'COMMIT' && isOwn(request.cert)) return liar.acknowledgement(request) ?? honest(frame);
    return honest(frame);
  };
}

/** The ballot that a manifest is proposed in; null for PLAIN. */
function ballotIn({ slot }: RequestOf<'PREPARE'>): Ballot | null {
  const proposal = slot === undefined ? null : decodeProposal(slot.proposal.body);
  return proposal?.ok === true ? ballotOf(proposal.value) : null;
}

/** Shows what it alone has signed as if it were certified: the highest manifest that it was asked about. */
export function certifiesAlone(stage: Stage, slot: number): Interceptor {
  const liar = new Liar(stage, slot);
  const own = new Map<string, Certificate>();
  return async (honest, frame) => {
    const request = requestIn(frame);
    const answered = await honest(frame);
    if (request?.t === 'PREPARE') {
      const opened = openSignedManifest(request.manifest);
      const receipt = liar.receipt(request);
      if (!opened.ok || receipt === null) return answered;
      const { keyId, stamp } = opened.value.manifest;
      const before = own.get(hex(keyId));
      if (before === undefined || compareStamps(stamp, before.signed.manifest.stamp) > 0) {
        const parsed = decodeAnswer('PREPARE', receipt.body);
        if (parsed.kind === 'answer') own.set(hex(keyId), { signed: opened.value, ballot: ballotIn(request), receipts: [{ slot, ...parsed.answer }] });
      }
    }
    if (request?.t !== 'QUERY') return answered;
    const cert = own.get(hex(request.keyId));
    const parsed = decodeAnswer('QUERY', answered.body);
    if (cert === undefined || parsed.kind !== 'answer') return answered;
    return { body: encodeAnswer('QUERY', { ...parsed.answer, cert: encodeCertificate(cert), row: null, path: [] }), payload: EMPTY };
  };
}

/** Acknowledges every certificate and keeps none. */
export function acknowledgesEverything(stage: Stage, slot: number): Interceptor {
  const liar = new Liar(stage, slot);
  return async (honest, frame) => {
    const request = requestIn(frame);
    return (request?.t === 'COMMIT' ? liar.acknowledgement(request) : null) ?? honest(frame);
  };
}

/** Asked about any stamp, promises NEVER to sign it, whatever it has signed. */
export function swearsNever(stage: Stage, slot: number): Interceptor {
  const liar = new Liar(stage, slot);
  return async (honest, frame) => {
    const request = requestIn(frame);
    return request?.t === 'RESOLVE' ? liar.never(request) : honest(frame);
  };
}

/** Says under signature that it holds no cell, whatever its receipts say, nor a certificate above `max`. */
export function deniesCells(stage: Stage, slot: number, max: Stamp | null = null): Interceptor {
  const liar = new Liar(stage, slot);
  return async (honest, frame) => {
    const request = requestIn(frame);
    if (request?.t === 'FETCH') return liar.notHeld(request, max);
    const answered = await honest(frame);
    if (request?.t !== 'QUERY') return answered;
    const parsed = decodeAnswer('QUERY', answered.body);
    if (parsed.kind !== 'answer') return answered;
    return { body: encodeAnswer('QUERY', { ...parsed.answer, row: null, path: [] }), payload: EMPTY };
  };
}

/**
 * Serves another cell of the right length, in a row that was changed to match it: all of it fits together,
 * only the signed manifest does not commit to it. `keepRow`: the honest row beside the wrong cell.
 */
export function servesOtherCells(keepRow: boolean = false): Interceptor {
  return async (honest, frame) => {
    const answered = await honest(frame);
    const type = requestIn(frame)?.t;
    if (type === 'BODY') return { body: answered.body, payload: otherThan(answered.payload) };
    if (type !== 'QUERY' && type !== 'FETCH') return answered;
    const parsed = decodeAnswer(type, answered.body);
    if (parsed.kind !== 'answer' || answered.payload.length === 0) return answered;
    const payload = otherThan(answered.payload);
    const { row: truth } = parsed.answer;
    if (truth === null || keepRow) return { body: answered.body, payload };
    const row = Uint8Array.from(truth);
    row.set(sha256(payload), placeOf(truth, answered.payload) * HASH_BYTES);
    return { body: encodeAnswer(type, { ...parsed.answer, row } as typeof parsed.answer), payload };
  };
}

function otherThan(bytes: Uint8Array): Uint8Array {
  return Uint8Array.from(bytes, (byte, index) => byte ^ (1 + (index % 251)));
}

function placeOf(row: Uint8Array, cell: Uint8Array): number {
  const hash = sha256(cell);
  for (let at = 0; at < row.length / HASH_BYTES; at += 1) {
    if (equal(row.subarray(at * HASH_BYTES, (at + 1) * HASH_BYTES), hash)) return at;
  }
  return 0;
}

/** Shows the log as it was once, under a signature made now. */
export function rollsBackItsLog(stage: Stage, slot: number): Interceptor {
  const shown: Checkpoint[] = [];
  return changingCheckpoints(stage, slot, (checkpoint) => {
    shown.push(checkpoint);
    const older = shown[shown.length >> 1] ?? checkpoint;
    return shown.length % 3 === 0 ? { ...older, nonce: checkpoint.nonce } : checkpoint;
  });
}

/** Has two logs of one size, and shows now the one, now the other. */
export function forksItsLog(stage: Stage, slot: number): Interceptor {
  let asked = 0;
  return changingCheckpoints(stage, slot, (checkpoint) => {
    asked += 1;
    return asked % 3 === 0 ? { ...checkpoint, root: sha256(checkpoint.root) } : checkpoint;
  });
}

function changingCheckpoints(stage: Stage, slot: number, change: (checkpoint: Checkpoint) => Checkpoint): Interceptor {
  const { cluster } = stage;
  const origin = logOrigin(cluster.id, cluster.slotAt(slot)?.nodeId ?? EMPTY);
  const key = stage.nodeKey(slot);
  const verifier = ed25519Verifier(origin, key.publicKey, verifySignature);
  return async (honest, frame) => {
    const answered = await honest(frame);
    if (requestIn(frame)?.t !== 'CHECKPOINT') return answered;
    const parsed = decodeAnswer('CHECKPOINT', answered.body);
    const opened = parsed.kind === 'answer' ? openCheckpoint(parsed.answer.text, verifier) : null;
    if (opened?.ok !== true) return answered;
    const { note } = signCheckpoint(change(opened.signed.checkpoint), ed25519Signer(origin, key));
    return { body: encodeAnswer('CHECKPOINT', { text: note }), payload: EMPTY };
  };
}

/** Has no room for anybody. */
export const claimsFull: Interceptor = (honest, frame) => {
  const type = requestIn(frame)?.t;
  if (type !== 'PREPARE' && type !== 'CELL') return honest(frame);
  return Promise.resolve({ body: encodeRefused({ code: 'FULL', reason: 'the disk has no room' }), payload: EMPTY });
};

/** Gives each kind of request the answer that it gave somebody else before, when it has one. */
export function replays(): Interceptor {
  const given = new Map<string, Frame>();
  return async (honest, frame) => {
    const answered = await honest(frame);
    const type = requestIn(frame)?.t ?? '';
    const before = given.get(type) ?? answered;
    given.set(type, answered);
    return before;
  };
}

/** Serves some keys, and refuses all that is asked about the others. */
export function refusesSome(): Interceptor {
  return (honest, frame) => {
    const request = requestIn(frame);
    const about = request !== null && 'keyId' in request ? request.keyId : undefined;
    if (about === undefined || (about[0] ?? 0) < 128) return honest(frame);
    return Promise.resolve({ body: encodeRefused({ code: 'BUSY', reason: 'not now' }), payload: EMPTY });
  };
}

/** Fails these requests at once, as a node does whose disk is broken. */
export function failing(...types: readonly RequestType[]): Interceptor {
  return (honest, frame) => {
    const request = requestIn(frame);
    if (request !== null && types.includes(request.t)) return Promise.reject(new Error('this node fails'));
    return honest(frame);
  };
}

/** Does all that is asked, so much later that everybody else has answered. */
export function slow(stage: Stage, delayMs: number, ...types: readonly RequestType[]): Interceptor {
  return async (honest, frame) => {
    const request = requestIn(frame);
    if (request !== null && (types.length === 0 || types.includes(request.t))) await stage.clock.sleep(delayMs);
    return honest(frame);
  };
}
