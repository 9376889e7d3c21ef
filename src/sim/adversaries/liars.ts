/**
 * Byzantine storage nodes as small named strategies: each stands between the network and an honest node and
 * changes what it says. They have no keys of others, so what they forge does not verify; what they leave out
 * or repeat is as signed as ever.
 */
import { EMPTY } from '../../base/bytes.ts';
import type { Frame } from '../../base/ports.ts';
import { decodeCertificate, encodeCertificate } from '../../protocol/certificate.ts';
import { encodeManifest } from '../../protocol/manifest.ts';
import { decodeAnswer, decodeRequest, encodeAnswer, encodeRefused } from '../../protocol/messages.ts';
import type { AnswerOf, Request, RequestType } from '../../protocol/messages.ts';
import type { StatementProof } from '../../protocol/statement.ts';
import type { Interceptor } from './stage.ts';

function requestIn(frame: Frame): Request | null {
  const decoded = decodeRequest(frame.body);
  return decoded.ok ? decoded.value : null;
}

type Change<T extends RequestType> = (
  answer: AnswerOf<T>,
  payload: Uint8Array,
) => { readonly answer: AnswerOf<T>; readonly payload: Uint8Array };

/** Changes the honest answers to requests of one type. */
function changing<T extends RequestType>(type: T, change: Change<T>): Interceptor {
  return async (honest, frame) => {
    const answered = await honest(frame);
    if (requestIn(frame)?.t !== type) return answered;
    const parsed = decodeAnswer(type, answered.body);
    if (parsed.kind !== 'answer') return answered;
    const changed = change(parsed.answer, answered.payload);
    return { body: encodeAnswer(type, changed.answer), payload: changed.payload };
  };
}

function flipped(bytes: Uint8Array): Uint8Array {
  const out = Uint8Array.from(bytes);
  if (out.length > 0) out[out.length >> 1] = (out[out.length >> 1] ?? 0) ^ 1;
  return out;
}

const badProof = (proof: StatementProof): StatementProof => ({
  ...proof,
  batch: { ...proof.batch, signature: flipped(proof.batch.signature) },
});

/** Several strategies at once, each over the one before. */
export function all(...strategies: readonly Interceptor[]): Interceptor {
  return strategies.reduce((inner, outer) => (honest, frame, from) => outer((f) => inner(honest, f, from), frame, from));
}

/** The certificate as if it stood for a later version: well-formed, but nobody signed that manifest. */
function raised(bytes: Uint8Array): Uint8Array {
  const decoded = decodeCertificate(bytes);
  if (!decoded.ok) return bytes;
  const { signed, receipts } = decoded.value;
  const stamp = { ...signed.manifest.stamp, counter: signed.manifest.stamp.counter + 1000 };
  const body = encodeManifest({ ...signed.manifest, stamp });
  return encodeCertificate({ signed: { ...signed, body }, ballot: null, receipts });
}

/** The certificate as if it were about another content. */
function exchanged(bytes: Uint8Array): Uint8Array {
  const decoded = decodeCertificate(bytes);
  if (!decoded.ok) return bytes;
  const { signed, receipts } = decoded.value;
  const body = encodeManifest({ ...signed.manifest, contentId: flipped(signed.manifest.contentId) });
  return encodeCertificate({ signed: { ...signed, body }, ballot: null, receipts });
}

/** The certificate of a version that a writer signed, with one receipt where q are needed. */
function thinned(bytes: Uint8Array): Uint8Array {
  const decoded = decodeCertificate(bytes);
  if (!decoded.ok) return bytes;
  return encodeCertificate({ ...decoded.value, receipts: decoded.value.receipts.slice(0, 1) });
}

export const liars = {
  /** Cells and bodies with one bit wrong, in every answer that carries one. */
  wrongCells: all(
    changing('QUERY', (answer, payload) => ({ answer, payload: flipped(payload) })),
    changing('FETCH', (answer, payload) => ({ answer, payload: flipped(payload) })),
    changing('BODY', (answer, payload) => ({ answer, payload: flipped(payload) })),
  ),
  /** A row that fits the wrong cell. */
  wrongRows: all(
    changing('QUERY', (answer, payload) => ({ answer: { ...answer, row: answer.row && flipped(answer.row) }, payload })),
    changing('FETCH', (answer, payload) => ({ answer: { ...answer, row: flipped(answer.row) }, payload })),
  ),
  /** Knows of no version at all. */
  forgetful: changing('QUERY', (answer) => ({ answer: { ...answer, cert: null, row: null, path: [] }, payload: EMPTY })),
  badReceipts: changing('PREPARE', (answer, payload) => ({ answer: { ...answer, proof: badProof(answer.proof) }, payload })),
  badAcks: changing('COMMIT', (answer, payload) => ({ answer: { ...answer, logIndex: answer.logIndex + 1 }, payload })),
  badCertificates: changing('QUERY', (answer, payload) => ({
    answer: { ...answer, cert: answer.cert && exchanged(answer.cert) },
    payload,
  })),
  higherVersions: changing('QUERY', (answer, payload) => ({
    answer: { ...answer, cert: answer.cert && raised(answer.cert) },
    payload,
  })),
  thinCertificates: changing('QUERY', (answer, payload) => ({
    answer: { ...answer, cert: answer.cert && thinned(answer.cert) },
    payload,
  })),
  /** Shows the certificate of the first key it was asked about for every key. */
  confused: (): Interceptor => {
    let first: Uint8Array | null = null;
    return changing('QUERY', (answer, payload) => {
      first ??= answer.cert;
      return { answer: { ...answer, cert: first }, payload };
    });
  },
  /** Answers whatever is asked with bytes that mean nothing. */
  garbage: (async () => ({ body: Uint8Array.of(0xff, 0, 1, 2), payload: EMPTY })) satisfies Interceptor,
  /** Takes everything and gives nothing back, without a word of proof. */
  denier: (async (honest, frame) => {
    const type = requestIn(frame)?.t;
    if (type !== 'FETCH' && type !== 'BODY' && type !== 'PREPARE') return honest(frame);
    return { body: encodeRefused({ code: type === 'PREPARE' ? 'SUPERSEDED' : 'NOT_HELD', reason: 'no' }), payload: EMPTY };
  }) satisfies Interceptor,
  /** Remembers the first answer to each QUERY and gives it for ever. */
  stale: (): Interceptor => {
    const first = new Map<string, Frame>();
    return async (honest, frame) => {
      const request = requestIn(frame);
      if (request?.t !== 'QUERY') return honest(frame);
      const key = String(request.keyId);
      const answered = first.get(key) ?? (await honest(frame));
      first.set(key, answered);
      return answered;
    };
  },
};

/** Refuses requests of these types as if the network had lost them: the answer never comes. */
export function swallowing(...types: readonly RequestType[]): Interceptor {
  return (honest, frame) => {
    const request = requestIn(frame);
    return request !== null && types.includes(request.t) ? new Promise(() => undefined) : honest(frame);
  };
}

export interface Hold {
  readonly interceptor: Interceptor;
  /** When the first has arrived. */
  readonly arrived: Promise<void>;
  readonly release: () => void;
}

/** Holds requests of one type back until `release` is called. */
export function holding(type: RequestType): Hold {
  return hold(type, async (honest, held) => {
    await held();
    return honest();
  });
}

/** Carries requests of one type out at once, and holds the answers back until `release` is called. */
export function holdingAnswers(type: RequestType): Hold {
  return hold(type, async (honest, held) => {
    const answered = await honest();
    await held();
    return answered;
  });
}

function latch(): { readonly opened: Promise<void>; readonly open: () => void } {
  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

function hold(
  type: RequestType,
  order: (honest: () => Promise<Frame>, held: () => Promise<void>) => Promise<Frame>,
): Hold {
  const gate = latch();
  const first = latch();
  const interceptor: Interceptor = (honest, frame) => {
    if (requestIn(frame)?.t !== type) return honest(frame);
    const held = (): Promise<void> => {
      first.open();
      return gate.opened;
    };
    return order(() => honest(frame), held);
  };
  return { interceptor, arrived: first.opened, release: gate.open };
}

/** Reports each request before it is answered. */
export function watching(seen: (request: Request) => void): Interceptor {
  return (honest, frame) => {
    const request = requestIn(frame);
    if (request !== null) seen(request);
    return honest(frame);
  };
}
