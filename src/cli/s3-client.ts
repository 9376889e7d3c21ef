/**
 * A small S3 client for the commands `put|get|ls|rm|stat`: signed requests over one endpoint, streaming both
 * ways, with a CRC32 that travels as trailer of an upload and is checked against a download. A request that
 * was refused for now, or whose connection broke, is sent again under the same invocation id, so that the
 * gateway knows it as the same operation (protocol 13.11).
 */
import { parseXml, XmlElement } from '@rgrove/parse-xml';
import { randomUUID } from 'node:crypto';
import http from 'node:http';
import https from 'node:https';
import { crc32 } from 'node:zlib';
import { OperationError } from '../base/errors.ts';
import type { ErrorCode } from '../base/errors.ts';
import { sha256 } from '../crypto/primitives.ts';
import { hex } from '../base/bytes.ts';
import { objectPath, queryString, signRequest } from './s3-signature.ts';
import type { Credentials } from './s3-signature.ts';

export interface S3Endpoint extends Credentials {
  readonly endpoint: string;
}

export interface ObjectHead {
  readonly size: number;
  readonly etag: string;
  readonly lastModified: string;
  readonly contentType: string;
  readonly metadata: Readonly<Record<string, string>>;
}

export interface ListedObject {
  readonly key: string;
  readonly size: number;
  readonly etag: string;
  readonly lastModified: string;
}

export interface ListPage {
  readonly objects: readonly ListedObject[];
  readonly prefixes: readonly string[];
}

/** A body that can be opened again for a second attempt. */
export interface RepeatableBody {
  readonly size: number;
  open(): AsyncIterable<Uint8Array>;
}

const ATTEMPTS = 4;
const PAUSE_MS = 300;
const TEXT_BYTES_MAX = 8 * 1024 * 1024;
const CHUNK_BYTES = 1024 * 1024;
/** No byte either way for so long: the gateway answers within its own, shorter deadlines. */
const SILENCE_MS = 120_000;
const EMPTY_HASH = hex(sha256(new Uint8Array(0)));

interface Call {
  readonly method: string;
  readonly bucket: string;
  readonly key: string;
  readonly query?: readonly (readonly [string, string])[];
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: RepeatableBody;
}

export class S3Client {
  readonly #endpoint: S3Endpoint;
  readonly #url: URL;
  readonly #agent: http.Agent;
  readonly #attempts: number;

  /** `attempts`: how often a request that may be repeated is sent. */
  constructor(endpoint: S3Endpoint, attempts: number = ATTEMPTS) {
    this.#endpoint = endpoint;
    this.#attempts = attempts;
    this.#url = new URL(endpoint.endpoint);
    const options = { keepAlive: true, timeout: SILENCE_MS };
    this.#agent = this.#url.protocol === 'https:' ? new https.Agent(options) : new http.Agent(options);
  }

  close(): void {
    this.#agent.destroy();
  }

  /** Stores the body under the key; returns its ETag without quotes. */
  async put(bucket: string, key: string, body: RepeatableBody, contentType: string): Promise<string> {
    const headers = { 'content-type': contentType };
    const response = await this.#call({ method: 'PUT', bucket, key, body, headers });
    await answerText(response);
    return unquoted(response.headers.etag);
  }

  /** The head, and the content to be read once; the iteration rejects with DAMAGED when it is not what was stored. */
  async get(bucket: string, key: string, versionId?: string): Promise<{ readonly head: ObjectHead; readonly body: AsyncIterable<Uint8Array> }> {
    const headers = { 'x-amz-checksum-mode': 'ENABLED' };
    const response = await this.#call({ method: 'GET', bucket, key, headers, query: versionId === undefined ? [] : [['versionId', versionId]] });
    return { head: headOf(response), body: checkedBody(response) };
  }

  async head(bucket: string, key: string): Promise<ObjectHead> {
    const response = await this.#call({ method: 'HEAD', bucket, key });
    response.resume();
    return headOf(response);
  }

  /** Writes an older version of a key anew, as its newest. */
  async copyVersion(bucket: string, key: string, versionId: string): Promise<void> {
    const source = `${objectPath(bucket, key)}?versionId=${encodeURIComponent(versionId)}`;
    await answerText(await this.#call({ method: 'PUT', bucket, key, headers: { 'x-amz-copy-source': source } }));
  }

  /** NEVER, ENABLED or SUSPENDED. */
  async versioning(bucket: string): Promise<'never' | 'enabled' | 'suspended'> {
    const root = await this.#xml({ method: 'GET', bucket, key: '', query: [['versioning', '']] });
    const status = children(root, 'Status')[0] === undefined ? '' : textIn(root, 'Status');
    return status === 'Enabled' ? 'enabled' : status === 'Suspended' ? 'suspended' : 'never';
  }

  async remove(bucket: string, key: string): Promise<void> {
    await answerText(await this.#call({ method: 'DELETE', bucket, key }));
  }

  async createBucket(bucket: string): Promise<void> {
    await answerText(await this.#call({ method: 'PUT', bucket, key: '' }));
  }

  async removeBucket(bucket: string): Promise<void> {
    await answerText(await this.#call({ method: 'DELETE', bucket, key: '' }));
  }

  async buckets(): Promise<{ readonly name: string; readonly created: string }[]> {
    const root = await this.#xml({ method: 'GET', bucket: '', key: '' });
    return children(child(root, 'Buckets'), 'Bucket').map((bucket) => ({
      name: textIn(bucket, 'Name'),
      created: textIn(bucket, 'CreationDate'),
    }));
  }

  /** All pages of ListObjectsV2. */
  async *list(bucket: string, prefix: string, delimiter: string | undefined): AsyncIterable<ListPage> {
    let token: string | undefined;
    do {
      const query: [string, string][] = [['list-type', '2'], ['prefix', prefix]];
      if (delimiter !== undefined) query.push(['delimiter', delimiter]);
      if (token !== undefined) query.push(['continuation-token', token]);
      const root = await this.#xml({ method: 'GET', bucket, key: '', query });
      yield {
        objects: children(root, 'Contents').map((row) => ({
          key: textIn(row, 'Key'),
          size: Number(textIn(row, 'Size')),
          etag: unquoted(textIn(row, 'ETag')),
          lastModified: textIn(row, 'LastModified'),
        })),
        prefixes: children(root, 'CommonPrefixes').map((row) => textIn(row, 'Prefix')),
      };
      token = textIn(root, 'IsTruncated') === 'true' ? textIn(root, 'NextContinuationToken') : undefined;
    } while (token !== undefined);
  }

  async #xml(call: Call): Promise<XmlElement | null> {
    const text = await answerText(await this.#call(call));
    try {
      return parseXml(text).root;
    } catch (cause) {
      throw new OperationError('BAD_MESSAGE', 'The answer of the gateway is not XML.', { cause });
    }
  }

  /** A response with a status of success. Retries what may be retried. */
  async #call(call: Call): Promise<http.IncomingMessage> {
    const invocation = randomUUID();
    for (let attempt = 1; ; attempt += 1) {
      let refusal: OperationError;
      try {
        const response = await this.#send(call, invocation, attempt);
        const status = response.statusCode ?? 0;
        if (status >= 200 && status < 300) return response;
        refusal = refusalOf(status, call, await textOf(response));
      } catch (error) {
        if (error instanceof OperationError) throw error;
        const reason = error instanceof Error ? error.message : String(error);
        refusal = new OperationError('UNREACHABLE', `${this.#url.origin} does not answer: ${reason}.`, {
          cause: error,
          retryable: true,
          remedy: 'Is `holdfast up` running on this folder?',
        });
      }
      if (!refusal.retryable || attempt >= this.#attempts) throw refusal;
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS * 2 ** (attempt - 1)));
    }
  }

  #send(call: Call, invocation: string, attempt: number): Promise<http.IncomingMessage> {
    const query = call.query ?? [];
    const path = objectPath(call.bucket, call.key);
    const headers: Record<string, string> = {
      ...call.headers,
      host: this.#url.host,
      'amz-sdk-invocation-id': invocation,
      'amz-sdk-request': `attempt=${attempt}; max=${this.#attempts}`,
    };
    if (call.body !== undefined) {
      headers['content-encoding'] = 'aws-chunked';
      headers['x-amz-decoded-content-length'] = String(call.body.size);
      headers['x-amz-trailer'] = 'x-amz-checksum-crc32';
      headers['content-length'] = String(framedLength(call.body.size));
      headers['expect'] = '100-continue';
    }
    const payloadHash = call.body === undefined ? EMPTY_HASH : 'STREAMING-UNSIGNED-PAYLOAD-TRAILER';
    // `expect` is for the connection, not for the signature: proxies may drop it.
    const { expect, ...signed } = headers;
    const signedHeaders = signRequest({ method: call.method, path: path === '' ? '/' : path, query, headers: signed, payloadHash }, this.#endpoint, new Date());
    const text = queryString(query);
    const options: http.RequestOptions = {
      method: call.method,
      host: this.#url.hostname.replace(/^\[|\]$/g, ''),
      port: this.#url.port === '' ? undefined : this.#url.port,
      path: text === '' ? path : `${path}?${text}`,
      headers: expect === undefined ? signedHeaders : { ...signedHeaders, expect },
      agent: this.#agent,
      timeout: SILENCE_MS,
    };
    return new Promise((resolve, reject) => {
      const request = this.#url.protocol === 'https:' ? https.request(options) : http.request(options);
      request.on('response', (response) => {
        // An answer before the body was asked for: the rest of the request will never be sent.
        response.once('end', () => {
          if (!request.writableEnded) request.destroy();
        });
        resolve(response);
      });
      request.on('error', reject);
      request.on('timeout', () => request.destroy(new Error(`no answer within ${SILENCE_MS / 1000} s`)));
      const { body } = call;
      if (body === undefined) {
        request.end();
        return;
      }
      request.on('continue', () => {
        sendFramed(request, body).catch((error: unknown) => {
          const reason = error instanceof Error ? error : new Error(String(error));
          request.destroy(reason);
          reject(reason);
        });
      });
    });
  }
}

const CRC_TRAILER = 'x-amz-checksum-crc32:';
const CRC_BASE64_CHARS = 8;

/** Length of the aws-chunked form: chunks of CHUNK_BYTES, a last shorter one, the trailer. */
function framedLength(size: number): number {
  const whole = Math.floor(size / CHUNK_BYTES);
  const rest = size % CHUNK_BYTES;
  const frame = (bytes: number): number => bytes.toString(16).length + 2 + bytes + 2;
  const end = '0\r\n'.length + CRC_TRAILER.length + CRC_BASE64_CHARS + '\r\n\r\n'.length;
  return whole * frame(CHUNK_BYTES) + (rest === 0 ? 0 : frame(rest)) + end;
}

async function sendFramed(request: http.ClientRequest, body: RepeatableBody): Promise<void> {
  const write = async (bytes: Uint8Array | string): Promise<void> => {
    if (request.destroyed) throw new Error('the connection was closed during the upload');
    if (request.write(bytes)) return;
    await new Promise<void>((resolve) => {
      const go = (): void => {
        request.off('drain', go);
        request.off('close', go);
        resolve();
      };
      request.on('drain', go);
      request.on('close', go);
    });
  };
  let crc = 0;
  let sent = 0;
  for await (const chunk of evenChunks(body.open())) {
    sent += chunk.length;
    if (sent > body.size) break;
    crc = crc32(chunk, crc);
    await write(`${chunk.length.toString(16)}\r\n`);
    await write(chunk);
    await write('\r\n');
  }
  if (sent !== body.size) {
    throw new OperationError('BAD_ARGUMENT', `The file changed while it was read: ${body.size} bytes were announced.`);
  }
  request.end(`0\r\n${CRC_TRAILER}${crcText(crc)}\r\n\r\n`);
}

/** The same bytes in pieces of exactly CHUNK_BYTES, the last one shorter. */
async function* evenChunks(source: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  let parts: Uint8Array[] = [];
  let held = 0;
  for await (let piece of source) {
    while (held + piece.length >= CHUNK_BYTES) {
      const taken = CHUNK_BYTES - held;
      yield Buffer.concat([...parts, piece.subarray(0, taken)]);
      piece = piece.subarray(taken);
      parts = [];
      held = 0;
    }
    if (piece.length > 0) parts.push(piece);
    held += piece.length;
  }
  if (held > 0) yield Buffer.concat(parts);
}

function crcText(crc: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(crc >>> 0);
  return bytes.toString('base64');
}

async function* checkedBody(response: http.IncomingMessage): AsyncIterable<Uint8Array> {
  const expected = response.headers['x-amz-checksum-crc32'];
  const size = Number(response.headers['content-length']);
  let crc = 0;
  let received = 0;
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      crc = crc32(chunk, crc);
      received += chunk.length;
      yield chunk;
    }
  } catch (error) {
    throw new OperationError('DISCONNECTED', `The answer broke off after ${received} of ${size} bytes.`, { cause: error });
  }
  if (received !== size) throw new OperationError('DISCONNECTED', `The answer ended after ${received} of ${size} bytes.`);
  if (typeof expected === 'string' && !expected.includes('-') && expected !== crcText(crc)) {
    throw new OperationError('DAMAGED', 'What arrived does not match the checksum of the object.');
  }
}

function headOf(response: http.IncomingMessage): ObjectHead {
  const metadata: Record<string, string> = {};
  for (const [name, value] of Object.entries(response.headers)) {
    if (name.startsWith('x-amz-meta-') && typeof value === 'string') metadata[name.slice('x-amz-meta-'.length)] = value;
  }
  return {
    size: Number(response.headers['content-length']),
    etag: unquoted(response.headers.etag),
    lastModified: response.headers['last-modified'] ?? '',
    contentType: response.headers['content-type'] ?? '',
    metadata,
  };
}

const CODE_BY_STATUS: Readonly<Record<number, ErrorCode>> = {
  400: 'BAD_ARGUMENT',
  403: 'UNAUTHENTIC',
  404: 'NOT_FOUND',
  409: 'ALREADY_EXISTS',
  501: 'UNSUPPORTED',
  503: 'NO_QUORUM',
};

function refusalOf(status: number, call: Call, text: string): OperationError {
  let code = '';
  let message = '';
  try {
    const root = text === '' ? null : parseXml(text).root;
    code = textIn(root, 'Code');
    message = textIn(root, 'Message');
  } catch {
    message = 'the answer is not XML';
  }
  const what = call.key === '' ? `bucket ${call.bucket}` : `${call.bucket}/${call.key}`;
  const detail = [code, message].filter((part) => part !== '').join(': ') || `HTTP ${status}`;
  const kind = CODE_BY_STATUS[status] ?? 'PEER_FAILED';
  return new OperationError(kind, `${call.method} ${what}: ${detail}`, { retryable: status === 503 || status === 500 });
}

async function textOf(response: http.IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > TEXT_BYTES_MAX) {
      response.destroy();
      throw new OperationError('TOO_LARGE', 'The answer of the gateway is longer than any it should give.');
    }
    parts.push(chunk);
  }
  return Buffer.concat(parts).toString('utf8');
}

/** The text of an answer whose status was one of success: what it says was done. */
async function answerText(response: http.IncomingMessage): Promise<string> {
  try {
    return await textOf(response);
  } catch (error) {
    if (error instanceof OperationError) throw error;
    throw new OperationError('DISCONNECTED', 'The answer of the gateway broke off.', { cause: error });
  }
}

function unquoted(etag: string | undefined): string {
  return (etag ?? '').replace(/^"|"$/g, '');
}

function children(parent: XmlElement | null, name: string): XmlElement[] {
  if (parent === null) return [];
  return parent.children.filter((node): node is XmlElement => node instanceof XmlElement && node.name === name);
}

function child(parent: XmlElement | null, name: string): XmlElement | null {
  return children(parent, name)[0] ?? null;
}

function textIn(parent: XmlElement | null, name: string): string {
  return child(parent, name)?.text ?? '';
}
