/**
 * The real HTTP listener: an adapter from node:http and node:https to the handler of base/http.ts. It keeps
 * the target and headers as the bytes that came, reads a body only as fast as it is consumed, writes an
 * answer only as fast as it is taken, says `100 Continue` only when the handler begins to read, and bounds
 * what a client can hold: connections, header bytes, header time, unread bodies, untaken answers. Plain HTTP
 * listens on loopback addresses alone; anything else needs a certificate. Framing is Node's strict parser.
 */
import { createServer as createHttpServer } from 'node:http';
import type { IncomingMessage, RequestListener, Server, ServerOptions, ServerResponse } from 'node:http';
import { createServer as createHttpsServer, Server as HttpsServer } from 'node:https';
import { isIP } from 'node:net';
import type { Duplex } from 'node:stream';
import { OperationError } from '../base/errors.ts';
import type { HeaderField, HttpHandler, HttpRequest, HttpResponse } from '../base/http.ts';
import type { Telemetry } from '../base/ports.ts';
import { IncomingBody } from './http-body.ts';

export interface HttpLimits {
  readonly connectionsMax: number;
  /** Request line and headers together. */
  readonly headerBytesMax: number;
  readonly headersMax: number;
  /** From the first byte of a request to the end of its headers. */
  readonly headersTimeoutMs: number;
  readonly keepAliveMs: number;
  /** How long an answer may wait for a client that does not take it. */
  readonly writeStallMs: number;
  /**
   * After an answer that did not need all of its request's body: how much of it, and how long, is let pass.
   */
  readonly lingerBytes: number;
  readonly lingerMs: number;
}

export const HTTP_LIMITS: HttpLimits = {
  connectionsMax: 1024,
  headerBytesMax: 16 * 1024,
  headersMax: 256,
  headersTimeoutMs: 20_000,
  keepAliveMs: 65_000,
  writeStallMs: 60_000,
  lingerBytes: 8 * 1024 * 1024,
  lingerMs: 5_000,
};

/** PEM. */
export interface TlsFiles {
  readonly key: string;
  readonly cert: string;
}

const TLS_MIN_VERSION = 'TLSv1.2';

export interface HttpServerOptions {
  readonly handler: HttpHandler;
  /** An IP address, or `localhost`. */
  readonly bindAddress: string;
  /** 0 lets the system choose. */
  readonly port: number;
  /** Key and certificate chain in PEM. Without them only loopback addresses are accepted. */
  readonly tls?: TlsFiles;
  readonly telemetry: Telemetry;
  readonly limits?: Partial<HttpLimits>;
  /** Called when the handler rejects, which means a broken invariant. The default ends the process. */
  readonly onBroken?: (error: unknown) => void;
}

export interface HttpServer {
  readonly address: string;
  readonly port: number;
  /** Such as http://127.0.0.1:9000. */
  readonly origin: string;
  /**
   * Key and certificate chain for handshakes from now on; connections that stand keep theirs. Throws
   * BAD_ARGUMENT, and goes on with the old ones, when they cannot be used or the listener speaks plain HTTP.
   */
  renewTls(tls: TlsFiles): void;
  /** Stops accepting, lets requests under way finish for `graceMs`, then cuts what is left. */
  stop(graceMs: number): Promise<void>;
}

export function isLoopback(address: string | undefined): boolean {
  return address !== undefined && (address === '::1' || /^(::ffff:)?127\.\d+\.\d+\.\d+$/.test(address));
}

function checkedAddress(options: HttpServerOptions): string {
  const address = options.bindAddress === 'localhost' ? '127.0.0.1' : options.bindAddress;
  if (isIP(address) === 0) {
    throw new OperationError('BAD_ARGUMENT', `'${address.slice(0, 80)}' is not an IP address to listen on`);
  }
  if (options.tls === undefined && !isLoopback(address)) {
    throw new OperationError('BAD_ARGUMENT', `plain HTTP is refused on ${address}`, {
      remedy: 'Give a TLS key and certificate, or listen on 127.0.0.1.',
    });
  }
  return address;
}

function brokenEndsProcess(error: unknown): void {
  queueMicrotask(() => {
    throw error;
  });
}

/** One listener with its connections. */
class Listener {
  readonly #options: HttpServerOptions;
  readonly #limits: HttpLimits;
  readonly #scheme: 'http' | 'https';
  readonly server: Server;
  /** Answers under way on each connection: a parser error must not write into the middle of one. */
  readonly #answering = new WeakMap<Duplex, number>();
  #stopping = false;

  constructor(options: HttpServerOptions) {
    this.#options = options;
    this.#limits = { ...HTTP_LIMITS, ...options.limits };
    this.#scheme = options.tls === undefined ? 'http' : 'https';
    const serverOptions: ServerOptions = {
      insecureHTTPParser: false,
      requireHostHeader: true,
      maxHeaderSize: this.#limits.headerBytesMax,
      headersTimeout: this.#limits.headersTimeoutMs,
      connectionsCheckingInterval: Math.min(5_000, this.#limits.headersTimeoutMs),
      // A limit on the whole request would end large uploads; the handler bounds how long bytes may stall.
      requestTimeout: 0,
      keepAliveTimeout: this.#limits.keepAliveMs,
      noDelay: true,
    };
    this.server =
      options.tls === undefined
        ? createHttpServer(serverOptions)
        : createHttpsServer({
            ...serverOptions,
            ...options.tls,
            minVersion: TLS_MIN_VERSION,
            handshakeTimeout: 10_000,
          });
    this.server.maxConnections = this.#limits.connectionsMax;
    // Node would leave out the headers above its own limit and serve the rest: we count them ourselves.
    this.server.maxHeadersCount = 0;
    this.#listen();
  }

  #listen(): void {
    const { telemetry } = this.#options;
    const serve =
      (expectsContinue: boolean): RequestListener =>
      (message, reply) => {
        this.#serve(message, reply, expectsContinue).catch((error: unknown) => {
          message.socket.destroy();
          (this.#options.onBroken ?? brokenEndsProcess)(error);
        });
      };
    this.server.on('request', serve(false));
    this.server.on('checkContinue', serve(true));
    // An expectation that is unknown is none: RFC 9110 leaves the choice, and S3 serves such requests.
    this.server.on('checkExpectation', serve(false));
    this.server.on('drop', () => telemetry.count('http_connections_refused'));
    this.server.on('tlsClientError', () => telemetry.count('http_tls_failed'));
    this.server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) => {
      this.#refuseUnparsed(error, socket);
    });
  }

  /** Bytes that are not a request. The answer is fixed: nothing of theirs is repeated. */
  #refuseUnparsed(error: NodeJS.ErrnoException, socket: Duplex): void {
    const code = error.code ?? '';
    this.#options.telemetry.count('http_bad_requests', {
      code: /^(HPE|ERR)_[A-Z_]+$/.test(code) ? code : 'other',
    });
    const answering = (this.#answering.get(socket) ?? 0) > 0;
    if (code === 'ECONNRESET' || !socket.writable || answering) {
      socket.destroy();
      return;
    }
    const status = {
      HPE_HEADER_OVERFLOW: '431 Request Header Fields Too Large',
      ERR_HTTP_REQUEST_TIMEOUT: '408 Request Timeout',
    }[code];
    socket.end(
      `HTTP/1.1 ${status ?? '400 Bad Request'}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`,
      () => socket.destroy(),
    );
  }

  async #serve(message: IncomingMessage, reply: ServerResponse, expectsContinue: boolean): Promise<void> {
    const { socket } = message;
    if (message.rawHeaders.length > 2 * this.#limits.headersMax) {
      this.#options.telemetry.count('http_bad_requests', { code: 'too-many-headers' });
      reply.writeHead(431, { Connection: 'close', 'Content-Length': 0 }).end();
      return;
    }
    this.#answering.set(socket, (this.#answering.get(socket) ?? 0) + 1);
    const body = new IncomingBody(message, expectsContinue ? () => reply.writeContinue() : undefined);
    let response: HttpResponse | undefined;
    try {
      response = await this.#options.handler(this.#requestOf(message, body));
      await this.#send(response, reply, body);
    } finally {
      response?.release?.();
      this.#answering.set(socket, (this.#answering.get(socket) ?? 1) - 1);
      body.linger(this.#limits.lingerBytes, this.#limits.lingerMs);
    }
  }

  #requestOf(message: IncomingMessage, body: IncomingBody): HttpRequest {
    const headers: HeaderField[] = [];
    for (let i = 0; i + 1 < message.rawHeaders.length; i += 2) {
      headers.push([message.rawHeaders[i] ?? '', message.rawHeaders[i + 1] ?? '']);
    }
    return {
      method: message.method ?? '',
      target: message.url ?? '',
      headers,
      body,
      scheme: this.#scheme,
      confidential: this.#scheme === 'https' || isLoopback(message.socket.remoteAddress),
      remoteAddress: message.socket.remoteAddress,
    };
  }

  /** Sends an answer; a client that left or an answer that breaks ends the connection. Never rejects. */
  async #send(response: HttpResponse, reply: ServerResponse, body: IncomingBody): Promise<void> {
    const fields = response.headers.flat();
    // A client still waiting for `100 Continue` may send its body or not: only closing is unambiguous.
    if (this.#stopping || body.withheld) fields.push('Connection', 'close');
    try {
      if (reply.destroyed) return await abandon(response);
      reply.strictContentLength = true;
      reply.writeHead(response.status, fields);
      const { writeStallMs } = this.#limits;
      const { body: content } = response;
      if (content instanceof Uint8Array && content.length <= SLICE_BYTES) reply.end(content);
      else await pump(content instanceof Uint8Array ? slices(content) : content, reply, writeStallMs);
      await taken(reply, writeStallMs);
    } catch (error) {
      this.#options.telemetry.count('http_answers_cut', { gone: String(error instanceof ClientGone) });
      reply.destroy();
    }
  }

  renewTls(tls: TlsFiles): void {
    if (!(this.server instanceof HttpsServer)) {
      throw new OperationError('BAD_ARGUMENT', 'a listener of plain HTTP has no certificate');
    }
    try {
      this.server.setSecureContext({ ...tls, minVersion: TLS_MIN_VERSION });
    } catch (cause) {
      throw new OperationError('BAD_ARGUMENT', 'the TLS key or certificate cannot be used', { cause });
    }
  }

  stop(graceMs: number): Promise<void> {
    this.#stopping = true;
    return new Promise((resolve) => {
      const cut = setTimeout(() => this.server.closeAllConnections(), graceMs);
      this.server.close(() => {
        clearTimeout(cut);
        resolve();
      });
      this.server.closeIdleConnections();
    });
  }
}

class ClientGone extends Error {}

/** Ends a stream that nobody will read. */
async function abandon(response: HttpResponse): Promise<void> {
  if (response.body instanceof Uint8Array) return;
  await response.body[Symbol.asyncIterator]().return?.();
}

/** What is ready goes out in pieces, so that a client's progress through it can be seen. */
const SLICE_BYTES = 64 * 1024;

async function* slices(content: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < content.length; at += SLICE_BYTES) {
    await Promise.resolve();
    yield content.subarray(at, at + SLICE_BYTES);
  }
}

/** Resolves when the last of an answer has left for the client; rejects when it is not taken in time. */
function taken(reply: ServerResponse, stallMs: number): Promise<void> {
  if (reply.writableFinished || reply.destroyed) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const stalled = setTimeout(() => reject(new ClientGone()), stallMs);
    const settle = (): void => {
      clearTimeout(stalled);
      resolve();
    };
    reply.once('finish', settle);
    reply.once('close', settle);
  });
}

/** Writes a stream at the client's pace, and stops its source as soon as the client is gone or stalls. */
async function pump(body: AsyncIterable<Uint8Array>, reply: ServerResponse, stallMs: number): Promise<void> {
  const pieces = body[Symbol.asyncIterator]();
  let leave: (error: ClientGone) => void = () => undefined;
  const onClose = (): void => leave(new ClientGone());
  reply.once('close', onClose);
  /** One outstanding wait at a time; racing one long-lived promise would keep a reaction for every piece. */
  const unlessGone = <T>(work: Promise<T>): Promise<T> =>
    new Promise((resolve, reject) => {
      leave = reject;
      if (reply.destroyed) reject(new ClientGone());
      work.then(resolve, reject);
    });
  try {
    for (;;) {
      const piece = await unlessGone(pieces.next());
      if (piece.done === true) break;
      if (!reply.write(piece.value)) await unlessGone(drained(reply, stallMs));
    }
    reply.end();
  } catch (error) {
    pieces.return?.().catch(() => undefined);
    throw error;
  } finally {
    reply.off('close', onClose);
  }
}

/** Rejects when the client takes nothing for `stallMs`. */
function drained(reply: ServerResponse, stallMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (): void => {
      clearTimeout(stalled);
      reply.off('drain', settle);
      reply.off('close', settle);
      resolve();
    };
    const stalled = setTimeout(() => {
      reply.off('drain', settle);
      reply.off('close', settle);
      reject(new ClientGone());
    }, stallMs);
    reply.once('drain', settle);
    reply.once('close', settle);
  });
}

/** Starts listening. Throws BAD_ARGUMENT, or IN_USE when another process holds the port. */
export async function startHttpServer(options: HttpServerOptions): Promise<HttpServer> {
  const bindAddress = checkedAddress(options);
  let listener: Listener;
  try {
    listener = new Listener(options);
  } catch (cause) {
    throw new OperationError('BAD_ARGUMENT', 'the TLS key or certificate cannot be used', { cause });
  }
  const { server } = listener;
  await new Promise<void>((resolve, reject) => {
    const refuse = (cause: NodeJS.ErrnoException): void => {
      reject(listenFailure(cause, bindAddress, options.port));
    };
    server.once('error', refuse);
    server.listen({ host: bindAddress, port: options.port }, () => {
      server.off('error', refuse);
      // Later ones are failed accepts (no descriptors left): the listener goes on.
      server.on('error', () => options.telemetry.count('http_accept_failed'));
      resolve();
    });
  });
  const bound = server.address();
  const port = typeof bound === 'object' && bound !== null ? bound.port : options.port;
  const host = isIP(bindAddress) === 6 ? `[${bindAddress}]` : bindAddress;
  const scheme = options.tls === undefined ? 'http' : 'https';
  return {
    address: bindAddress,
    port,
    origin: `${scheme}://${host}:${String(port)}`,
    renewTls: (tls) => listener.renewTls(tls),
    stop: (graceMs) => listener.stop(graceMs),
  };
}

function listenFailure(cause: NodeJS.ErrnoException, address: string, port: number): OperationError {
  const where = `${address} port ${String(port)}`;
  if (cause.code === 'EADDRINUSE') {
    return new OperationError('IN_USE', `another process listens on ${where}`, {
      cause,
      remedy: 'Choose another port.',
    });
  }
  return new OperationError('BAD_ARGUMENT', `cannot listen on ${where}: ${cause.code ?? cause.message}`, {
    cause,
  });
}
