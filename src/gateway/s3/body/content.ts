/**
 * A request's body as content for the store: framed, decoded, counted, hashed and held against everything the
 * client said about it (SHA-256 of the signature, chunk signatures, Content-MD5, x-amz-checksum-*, trailer).
 * The iteration ends normally only when all of it is true, so a store that commits after the last byte can
 * never commit a wrong body. Waiting for a client that stalls or drips is bounded.
 */
import { assert } from '../../../base/assert.ts';
import { equal, hex } from '../../../base/bytes.ts';
import { isOperationError } from '../../../base/errors.ts';
import type { HttpRequest } from '../../../base/http.ts';
import type { Clock } from '../../../base/ports.ts';
import { incremental } from '../../../crypto/primitives.ts';
import { AwsChunkedDecoder } from './aws-chunked.ts';
import { base64, fromBase64 } from '../http/base64.ts';
import {
  CHECKSUM_HEADERS,
  checksumAlgorithm,
  checksumAlgorithmOfHeader,
  checksumRow,
  decodeChecksum,
  DEFAULT_CHECKSUM,
} from '../checksums/checksums.ts';
import type { ChecksumAlgorithm, RunningChecksum } from '../checksums/checksums.ts';
import { S3Error } from '../http/errors.ts';
import type { Headers } from '../http/headers.ts';
import type { ContentSeal, IncomingContent, UploadChecksum } from '../port/content.ts';
import type { Payload } from '../auth/sigv4.ts';

/** How long we wait for bytes that do not come. */
export interface Patience {
  /** Between two pieces of a body. */
  readonly idleMs: number;
  /**
   * In sum over a body: this much, and the time its bytes need at the slowest rate. Back-pressure of ours
   * does not count.
   */
  readonly graceMs: number;
  readonly bytesPerSecondMin: number;
}

/** What the client announced about the checksum: in a header, or to come in the trailer. */
interface Expectation {
  readonly algorithm: ChecksumAlgorithm;
  readonly value: Uint8Array | undefined;
}

interface Announced {
  readonly size: number;
  readonly md5: Uint8Array | undefined;
  readonly checksum: Expectation | undefined;
  readonly trailer: string | undefined;
}

export function hasChecksum(headers: Headers): boolean {
  return (
    headers.has('content-md5') ||
    headers.has('x-amz-trailer') ||
    CHECKSUM_HEADERS.some((name) => headers.has(name))
  );
}

function parseSize(text: string | undefined): number {
  if (text === undefined) throw new S3Error('MissingContentLength');
  const size = Number(text);
  if (!/^\d{1,16}$/.test(text) || !Number.isSafeInteger(size))
    throw new S3Error('InvalidArgument', 'The content length is not a number.');
  return size;
}

function announcedChecksum(headers: Headers, trailer: string | undefined): Expectation | undefined {
  const present = CHECKSUM_HEADERS.filter((name) => headers.has(name));
  if (present.length + (trailer === undefined ? 0 : 1) > 1)
    throw new S3Error('InvalidRequest', 'Expecting a single x-amz-checksum- header or trailer.');
  const header = present[0] ?? trailer;
  const algorithm = header === undefined ? undefined : checksumAlgorithmOfHeader(header);
  if (trailer !== undefined && algorithm === undefined)
    throw new S3Error('InvalidRequest', 'The value of x-amz-trailer is not supported.');
  const named = headers.get('x-amz-sdk-checksum-algorithm');
  if (named !== undefined) {
    const known = checksumAlgorithm(named);
    if (known === undefined) throw new S3Error('NotImplemented', 'This checksum algorithm is not built.');
    if (known !== algorithm)
      throw new S3Error('InvalidRequest', 'x-amz-sdk-checksum-algorithm names a checksum that is not sent.');
  }
  if (algorithm === undefined) return undefined;
  if (trailer !== undefined) return { algorithm, value: undefined };
  const value = decodeChecksum(algorithm, headers.get(checksumRow(algorithm).header) ?? '');
  if (value === undefined)
    throw new S3Error('BadDigest', `The value of ${checksumRow(algorithm).header} cannot be a ${algorithm}.`);
  return { algorithm, value };
}

function announced(settings: ContentSettings): Announced {
  const { headers, payload, sizeMax } = settings;
  const chunked = payload.kind === 'chunked';
  const trailerHeader = headers.get('x-amz-trailer')?.trim().toLowerCase();
  const withTrailer = chunked && payload.trailer;
  if (!withTrailer && trailerHeader !== undefined)
    throw new S3Error('InvalidRequest', 'x-amz-trailer needs a STREAMING-…-TRAILER payload.');
  if (withTrailer && trailerHeader === undefined)
    throw new S3Error('InvalidRequest', 'x-amz-trailer is required.');
  if (!chunked && headers.has('x-amz-decoded-content-length'))
    throw new S3Error('InvalidRequest', 'x-amz-decoded-content-length needs a STREAMING- payload.');
  if (!chunked && headers.has('transfer-encoding')) throw new S3Error('MissingContentLength');
  const size = parseSize(headers.get(chunked ? 'x-amz-decoded-content-length' : 'content-length'));
  if (size > sizeMax) throw new S3Error('EntityTooLarge');
  const md5Header = headers.get('content-md5');
  const md5 = md5Header === undefined ? undefined : fromBase64(md5Header);
  if (md5Header !== undefined && md5?.length !== 16) throw new S3Error('InvalidDigest');
  const checksum = settings.checksums === 'body' ? announcedChecksum(headers, trailerHeader) : undefined;
  return { size, md5, checksum, trailer: trailerHeader };
}

/** Refuses a body on a request that has none, and a signature over one. Throws S3Error. */
export function requireNoContent(headers: Headers, payload: Payload): void {
  const length = headers.get('content-length');
  if ((length !== undefined && length !== '0') || headers.has('transfer-encoding')) {
    throw new S3Error('InvalidRequest', 'This request takes no body.');
  }
  if (payload.kind === 'hashed' && !equal(payload.sha256, EMPTY_SHA256))
    throw new S3Error('XAmzContentSHA256Mismatch');
}

const EMPTY_SHA256 = incremental('sha256').digest();

/** Reads pieces with bounded patience. A client that goes away is an incomplete body. */
async function* patiently(
  body: AsyncIterable<Uint8Array>,
  clock: Clock,
  patience: Patience,
): AsyncGenerator<Uint8Array> {
  const pieces = body[Symbol.asyncIterator]();
  let waitedMs = 0;
  let received = 0;
  let ended = false;
  try {
    for (;;) {
      const allowedMs = patience.graceMs + (received / patience.bytesPerSecondMin) * 1000 - waitedMs;
      const startMs = clock.monotonicMs();
      const piece = await within(pieces.next(), clock, Math.min(patience.idleMs, allowedMs));
      waitedMs += clock.monotonicMs() - startMs;
      if (piece.done === true) {
        ended = true;
        return;
      }
      received += piece.value.length;
      yield piece.value;
    }
  } catch (error) {
    if (isOperationError(error, 'DISCONNECTED')) throw new S3Error('IncompleteBody');
    throw error;
  } finally {
    // Not awaited: after a time-out the read under way may never end, and the listener drops the connection.
    if (!ended) pieces.return?.().catch(() => undefined);
  }
}

async function within<T>(work: Promise<T>, clock: Clock, limitMs: number): Promise<T> {
  return await new Promise<T>((resolve, reject) => {
    const timer = clock.after(Math.max(0, limitMs), () => {
      reject(new S3Error('RequestTimeout'));
    });
    work.then(
      (value) => {
        timer.cancel();
        resolve(value);
      },
      (error: unknown) => {
        timer.cancel();
        reject(error instanceof Error ? error : new Error(String(error)));
      },
    );
  });
}

/** Everything computed while the bytes pass. */
class Verifier {
  readonly #announced: Announced;
  readonly #payload: Payload;
  readonly #md5 = incremental('md5');
  readonly #sha256: RunningChecksum | undefined;
  readonly #algorithm: ChecksumAlgorithm;
  readonly #checksum: RunningChecksum;
  #seen = 0;

  constructor(about: Announced, payload: Payload, algorithm: ChecksumAlgorithm) {
    this.#announced = about;
    this.#payload = payload;
    this.#sha256 = payload.kind === 'hashed' ? incremental('sha256') : undefined;
    this.#algorithm = algorithm;
    this.#checksum = checksumRow(algorithm).start();
  }

  update(piece: Uint8Array): void {
    this.#seen += piece.length;
    if (this.#seen > this.#announced.size)
      throw new S3Error('InvalidRequest', 'The body is longer than announced.');
    this.#md5.update(piece);
    this.#sha256?.update(piece);
    this.#checksum.update(piece);
  }

  /** Throws S3Error unless all that was announced holds. */
  finish(trailer: string | undefined): ContentSeal {
    const { size, md5, checksum } = this.#announced;
    if (this.#seen !== size) throw new S3Error('IncompleteBody');
    if (
      this.#payload.kind === 'hashed' &&
      !equal(this.#sha256?.digest() ?? EMPTY_SHA256, this.#payload.sha256)
    ) {
      throw new S3Error('XAmzContentSHA256Mismatch');
    }
    const etag = this.#md5.digest();
    if (md5 !== undefined && !equal(etag, md5))
      throw new S3Error('BadDigest', 'The Content-MD5 you sent does not match what we received.');
    const algorithm = this.#algorithm;
    const computed = this.#checksum.digest();
    if (checksum !== undefined) {
      const value = checksum.value ?? decodeChecksum(algorithm, trailer ?? '');
      if (value === undefined)
        throw new S3Error('MalformedTrailerError', 'The checksum in the trailer is not valid.');
      if (!equal(computed, value))
        throw new S3Error('BadDigest', `The ${algorithm} you sent does not match what we received.`);
    }
    return { etag: hex(etag), checksum: { algorithm, type: 'FULL_OBJECT', value: base64(computed) } };
  }
}

/**
 * Which checksum a part is given: the one it came with, which must be of its upload's kind, else the one that
 * its upload needs. A checksum of checksums is worth something only when the client made each of them.
 */
function checksumOfPart(
  sent: ChecksumAlgorithm | undefined,
  upload: UploadChecksum | undefined,
): ChecksumAlgorithm {
  if (upload === undefined) return sent ?? DEFAULT_CHECKSUM;
  const expected = upload.algorithm;
  if (sent === expected || (sent === undefined && upload.type === 'FULL_OBJECT')) return expected;
  throw new S3Error(
    'InvalidRequest',
    `The upload was created with ${expected} (${upload.type}) and the part came with ${sent ?? 'none'}.`,
  );
}

export interface ContentSettings {
  readonly headers: Headers;
  readonly payload: Payload;
  readonly sizeMax: number;
  readonly checksums: 'body' | 'object';
  readonly clock: Clock;
  readonly patience: Patience;
}

/**
 * Checks the announcement at once (S3Error) and the bytes as they are read. Reads nothing before it is
 * iterated.
 */
export function openContent(request: Pick<HttpRequest, 'body'>, settings: ContentSettings): IncomingContent {
  const { payload, clock, patience } = settings;
  const about = announced(settings);
  let algorithm = about.checksum?.algorithm ?? DEFAULT_CHECKSUM;
  let seal: ContentSeal | undefined;
  async function* verified(): AsyncGenerator<Uint8Array> {
    const verifier = new Verifier(about, payload, algorithm);
    const decoder =
      payload.kind === 'chunked'
        ? new AwsChunkedDecoder({ size: about.size, signing: payload.signing, trailer: about.trailer })
        : undefined;
    for await (const raw of patiently(request.body, clock, patience)) {
      for (const piece of decoder === undefined ? [raw] : decoder.push(raw)) {
        if (piece.length === 0) continue;
        verifier.update(piece);
        yield piece;
      }
    }
    seal = verifier.finish(decoder?.end());
  }
  return {
    size: about.size,
    bytes: verified(),
    agree(upload) {
      algorithm = checksumOfPart(about.checksum?.algorithm, upload);
    },
    seal() {
      assert(seal !== undefined, 'content is sealed after its last byte');
      return seal;
    },
  };
}

/** All of a small body (an XML document), verified. The announced size is bounded by `sizeMax` already. */
export async function readAll(content: IncomingContent): Promise<Uint8Array> {
  const out = new Uint8Array(content.size);
  let at = 0;
  for await (const piece of content.bytes) {
    out.set(piece, at);
    at += piece.length;
  }
  return out;
}
