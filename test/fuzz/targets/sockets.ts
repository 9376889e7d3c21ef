/**
 * Servers on real loopback sockets, given raw bytes: the TLS listener of a storage node before and after the
 * handshake, the S3 door, the admin socket; and the asking ends, given the raw bytes of an answer. Whatever is
 * written, the connection ends soon, no process breaks, and a good request is answered afterwards.
 */
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { connect as connectTls, createServer as createTlsServer } from 'node:tls';
import type { Server as TlsServer } from 'node:tls';
import { concat, utf8 } from '../../../src/base/bytes.ts';
import { isOperationError } from '../../../src/base/errors.ts';
import type { Frame } from '../../../src/base/ports.ts';
import { ADMIN_SOCKET, askAdmin, listenAdmin } from '../../../src/cli/admin-socket.ts';
import type { AdminListener } from '../../../src/cli/admin-socket.ts';
import { S3Client } from '../../../src/cli/s3-client.ts';
import type { MemoryStore } from '../../../src/gateway/s3/port/memory-store.contract.ts';
import { encodeFrame, PREFACE } from '../../../src/platform/frames.ts';
import { startHttpServer } from '../../../src/platform/http-server.ts';
import type { HttpServer } from '../../../src/platform/http-server.ts';
import { ALPN_PROTOCOL, secureOptions } from '../../../src/platform/tls-handshake.ts';
import { makeTlsIdentity, seedFromPkcs8, pkcs8FromSeed, tlsPublicKeyOf } from '../../../src/platform/tls-identity.ts';
import type { TlsIdentity } from '../../../src/platform/tls-identity.ts';
import { listenTls } from '../../../src/platform/tls-listener.ts';
import type { TlsListener } from '../../../src/platform/tls-listener.ts';
import { TlsTransport } from '../../../src/platform/tls-transport.ts';
import { SystemClock } from '../../../src/platform/clock.ts';
import { CountingTelemetry } from '../../../src/sim/counting-telemetry.ts';
import { savedInputs } from '../corpus.ts';
import { decoder, holds, sameBytes } from '../decoder.ts';
import type { Outcome, Subject, Target } from '../engine.ts';
import { id } from '../valid.ts';
import { filledStore, frontOver } from './s3.ts';
import { readRequest, S3_REQUESTS, S3_WORDS, signRequest, writeRequest } from './s3-requests.ts';

const clock = new SystemClock();
/** After the client has said all, the server must be done within this. */
const ENDS_WITHIN_MS = 8_000;
const takesMs = 2 * ENDS_WITHIN_MS;
const identities = { node: await makeTlsIdentity({ seed: id('tls node'), commonName: 'node' }), member: await makeTlsIdentity({ seed: id('tls member'), commonName: 'member' }) };
const LIMITS = { handshakeMs: 5_000, drainMs: 100, backoffMinMs: 1, backoffMaxMs: 1 };
/** The end of a connection ends its requests: those that are whole are answered before. */
const FRAMES_PAUSE_MS = 10;
/** A request for more is a server that does not end. */
const ANSWER_BYTES_MAX = 32 * 1024 * 1024;

/**
 * Writes the bytes, says `pauseMs` later that no more come, and returns what came back until the connection
 * ended.
 */
function exchange(socket: net.Socket, ready: string, bytes: Uint8Array, pauseMs: number = 0): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const pieces: Uint8Array[] = [];
    let size = 0;
    const late = setTimeout(() => {
      socket.destroy();
      reject(new Error(`the connection is still open ${ENDS_WITHIN_MS} ms after its client has said all; ${size} bytes came back`));
    }, ENDS_WITHIN_MS);
    socket.on('data', (piece: Uint8Array) => {
      pieces.push(piece);
      size += piece.length;
      if (size > ANSWER_BYTES_MAX) socket.destroy(new Error('the answer has no end'));
    });
    // A server may cut what it does not understand.
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      clearTimeout(late);
      resolve(concat(...pieces));
    });
    socket.once(ready, () => {
      socket.write(bytes);
      if (pauseMs === 0) socket.end();
      else setTimeout(() => socket.end(), pauseMs);
    });
  });
}

function portOf(address: string): number {
  return Number(address.split(':').at(-1));
}

/** The listener of a node whose handler gives the frame back. */
class TlsSubject implements Subject {
  readonly #listener: TlsListener;
  readonly #transport: TlsTransport;
  readonly #telemetry: CountingTelemetry;
  readonly #isGreeted: boolean;

  constructor(listener: TlsListener, telemetry: CountingTelemetry, isGreeted: boolean) {
    this.#listener = listener;
    this.#telemetry = telemetry;
    this.#isGreeted = isGreeted;
    this.#transport = new TlsTransport({ identity: identities.member, telemetry: new CountingTelemetry(), clock, limits: LIMITS });
  }

  static async open(isGreeted: boolean): Promise<TlsSubject> {
    const telemetry = new CountingTelemetry();
    const listener = await listenTls({
      address: '127.0.0.1:0', identity: identities.node, allowedPeers: () => new Set([identities.member.peerKey]), handler: (_from, frame) => Promise.resolve(frame), telemetry, clock, limits: LIMITS,
    });
    return new TlsSubject(listener, telemetry, isGreeted);
  }

  async attempt(input: Uint8Array): Promise<Outcome> {
    const port = portOf(this.#listener.address);
    const answer = this.#isGreeted
      ? await exchange(connectTls({ ...secureOptions(identities.member), ALPNProtocols: [ALPN_PROTOCOL], host: '127.0.0.1', port, rejectUnauthorized: false }), 'secureConnect', input, FRAMES_PAUSE_MS)
      : await exchange(net.connect({ host: '127.0.0.1', port, allowHalfOpen: true }), 'connect', input);
    // A greeting, and an answer behind it; or a server's hello, which is no alert (21).
    return (this.#isGreeted ? answer.length > PREFACE.length : answer[0] === 22) ? 'accepted' : 'refused';
  }

  async check(): Promise<void> {
    const channel = this.#transport.open(this.#listener.address, identities.node.peerKey);
    const answer = await channel.request({ body: utf8('good'), payload: new Uint8Array(3) }, { timeoutMs: 5_000 });
    await channel.close();
    sameBytes(answer.body, utf8('good'));
    holds(!this.#telemetry.events.some(({ name }) => name === 'transport.handler_broke'), 'no handler broke');
  }

  async close(): Promise<void> {
    await this.#transport.close();
    await this.#listener.close();
  }
}

const frame = (text: string): Frame => ({ body: utf8(text), payload: utf8(`payload of ${text}`) });
const FRAMES = concat(PREFACE, encodeFrame('request', 1, frame('one')), encodeFrame('request', 2, frame('two')));

/** The asking end: a server that completes the handshake and then writes the input, whatever was asked. */
class ChannelSubject implements Subject {
  readonly #server: TlsServer;
  readonly #transport: TlsTransport;
  #input: Uint8Array = FRAMES;

  private constructor(server: TlsServer) {
    this.#server = server;
    this.#transport = new TlsTransport({ identity: identities.member, telemetry: new CountingTelemetry(), clock, limits: LIMITS });
    server.on('secureConnection', (socket) => {
      socket.on('error', () => socket.destroy());
      socket.once('data', () => socket.end(this.#input));
    });
  }

  static async open(): Promise<ChannelSubject> {
    const server = createTlsServer({ ...secureOptions(identities.node), ALPNProtocols: [ALPN_PROTOCOL], requestCert: true, rejectUnauthorized: false });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return new ChannelSubject(server);
  }

  async attempt(input: Uint8Array): Promise<Outcome> {
    this.#input = input;
    const bound = this.#server.address();
    const port = bound !== null && typeof bound === 'object' ? bound.port : 0;
    const channel = this.#transport.open(`127.0.0.1:${port}`, identities.node.peerKey);
    try {
      await channel.request(frame('a question'), { timeoutMs: 5_000 });
      return 'accepted';
    } catch (error) {
      if (isOperationError(error)) return 'refused';
      throw error;
    } finally {
      await channel.close();
    }
  }

  async close(): Promise<void> {
    await this.#transport.close();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
const ANSWERS = concat(PREFACE, encodeFrame('notice', 0, frame('by the way')), encodeFrame('response', 1, frame('an answer')));

/** The S3 door over a store in memory. */
class S3ServerSubject implements Subject {
  readonly #server: HttpServer;
  readonly #store: MemoryStore;
  readonly #telemetry: CountingTelemetry;
  readonly #broken: unknown[];

  constructor(server: HttpServer, store: MemoryStore, telemetry: CountingTelemetry, broken: unknown[]) {
    this.#server = server;
    this.#store = store;
    this.#telemetry = telemetry;
    this.#broken = broken;
  }

  static async open(): Promise<S3ServerSubject> {
    const [store, telemetry, broken]: [MemoryStore, CountingTelemetry, unknown[]] = [await filledStore(), new CountingTelemetry(), []];
    const server = await startHttpServer({
      handler: frontOver(store).handle, bindAddress: '127.0.0.1', port: 0, telemetry, onBroken: (error) => broken.push(error), limits: { lingerMs: 200, headersTimeoutMs: 5_000, keepAliveMs: 200 },
    });
    return new S3ServerSubject(server, store, telemetry, broken);
  }

  async attempt(input: Uint8Array): Promise<Outcome> {
    const answers = [await this.#send(input)];
    const request = readRequest(input);
    if (request !== null) answers.push(await this.#send(writeRequest(signRequest(request))));
    return answers.some((answer) => /^HTTP\/1\.1 2/.test(answer)) ? 'accepted' : 'refused';
  }

  async check(): Promise<void> {
    for (const request of [
      signRequest({ method: 'PUT', target: '/good-bucket', headers: [], body: new Uint8Array(0) }),
      signRequest({ method: 'PUT', target: '/good-bucket/key', headers: [], body: utf8('good') }),
    ]) await this.#send(writeRequest(request));
    const answer = await this.#send(writeRequest(signRequest({ method: 'GET', target: '/good-bucket/key', headers: [['connection', 'close']], body: new Uint8Array(0) })));
    holds(answer.startsWith('HTTP/1.1 200') && answer.endsWith('good'), 'a good request is answered');
    holds(this.#store.open === 0, 'no object stays open');
  }

  async close(): Promise<void> {
    await this.#server.stop(0);
  }

  async #send(bytes: Uint8Array): Promise<string> {
    const socket = net.connect({ host: this.#server.address, port: this.#server.port, allowHalfOpen: false });
    const answer = Buffer.from(await exchange(socket, 'connect', bytes)).toString('latin1');
    holds(this.#broken.length === 0, `the handler broke: ${String(this.#broken[0])}`);
    holds((this.#telemetry.counts.get('http_answers_cut gone=false') ?? 0) === 0, 'an answer could not be written');
    const internal = /^HTTP\/1\.1 5(?!01)\d\d.*/m.exec(answer);
    holds(internal === null, `answered ${internal?.[0] ?? ''}`);
    return answer;
  }
}

/** The admin door of a process. */
class AdminSubject implements Subject {
  readonly #folder: string;
  readonly #listener: AdminListener;

  constructor(folder: string, listener: AdminListener) {
    this.#folder = folder;
    this.#listener = listener;
  }

  static async open(): Promise<AdminSubject> {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'holdfast-fuzz-'));
    return new AdminSubject(folder, await listenAdmin({ folder, isReady: () => true, status: () => Promise.resolve({ state: 'SERVING' }) }));
  }

  async attempt(input: Uint8Array): Promise<Outcome> {
    const answer = Buffer.from(await exchange(net.connect({ path: path.join(this.#folder, ADMIN_SOCKET) }), 'connect', input)).toString('latin1');
    holds(!/^HTTP\/1\.1 5/m.test(answer), `answered ${answer.slice(0, 100)}`);
    return answer.startsWith('HTTP/1.1 200') ? 'accepted' : 'refused';
  }

  async check(): Promise<void> {
    const { status } = await askAdmin(this.#folder, '/health/live');
    holds(status === 200, 'a good request is answered');
  }

  async close(): Promise<void> {
    await this.#listener.close();
    fs.rmSync(this.#folder, { recursive: true });
  }
}

/** The commands' S3 client and admin client against a server that answers with the input. */
class AnswerSubject implements Subject {
  readonly #server: net.Server;
  readonly #folder = fs.mkdtempSync(path.join(os.tmpdir(), 'holdfast-fuzz-'));
  readonly #admin: net.Server;
  #input: Uint8Array = new Uint8Array(0);

  private constructor() {
    const answer = (socket: net.Socket): void => {
      socket.on('error', () => socket.destroy());
      socket.once('data', () => socket.end(this.#input));
    };
    this.#server = net.createServer(answer);
    this.#admin = net.createServer(answer);
  }

  static async open(): Promise<AnswerSubject> {
    const subject = new AnswerSubject();
    await new Promise<void>((resolve) => subject.#server.listen(0, '127.0.0.1', resolve));
    await new Promise<void>((resolve) => subject.#admin.listen(path.join(subject.#folder, ADMIN_SOCKET), resolve));
    return subject;
  }

  async attempt(input: Uint8Array): Promise<Outcome> {
    this.#input = input;
    const bound = this.#server.address();
    const port = bound !== null && typeof bound === 'object' ? bound.port : 0;
    const client = new S3Client({ endpoint: `http://127.0.0.1:${port}`, region: 'us-east-1', accessKeyId: 'A', secretAccessKey: 'B' }, 1);
    const questions = [
      () => client.buckets(),
      async () => {
        let pages = 0;
        for await (const page of client.list('bucket', '', '/')) if (page.objects.length < 0 || (pages += 1) > 1) break;
      },
      async () => {
        for await (const piece of (await client.get('bucket', 'key')).body) holds(piece.length >= 0, 'a piece has bytes');
      },
      () => client.head('bucket', 'key'),
      () => askAdmin(this.#folder, '/status'),
    ];
    let accepted = false;
    for (const question of questions) accepted = (await answered(question)) || accepted;
    client.close();
    return accepted ? 'accepted' : 'refused';
  }

  async close(): Promise<void> {
    for (const server of [this.#server, this.#admin]) await new Promise((resolve) => server.close(resolve));
    fs.rmSync(this.#folder, { recursive: true });
  }
}

/** Commands print an OperationError as one line with its code; anything else is a fault of the program. */
async function answered(question: () => Promise<unknown>): Promise<boolean> {
  try {
    await question();
    return true;
  } catch (error) {
    if (isOperationError(error)) return false;
    throw error;
  }
}

function response(status: string, body: string, headers: readonly string[] = []): Uint8Array {
  return utf8([`HTTP/1.1 ${status}`, `Content-Length: ${Buffer.byteLength(body)}`, 'Connection: close', ...headers, '', body].join('\r\n'));
}
const LIST = '<?xml version="1.0"?><ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>a</Key><Size>5</Size><ETag>"e"</ETag><LastModified>2026-01-02T03:04:05.000Z</LastModified></Contents><CommonPrefixes><Prefix>p/</Prefix></CommonPrefixes></ListBucketResult>';
const ERROR = '<?xml version="1.0"?><Error><Code>NoSuchKey</Code><Message>The key does not exist.</Message></Error>';
const RESPONSES = [
  response('200 OK', LIST), response('200 OK', 'hello', ['x-amz-checksum-crc32: NhCmhg==', 'ETag: "e"', 'x-amz-meta-a: b']), response('200 OK', '{"state":"SERVING"}'),
];
const REFUSALS = [response('404 Not Found', ERROR), response('503 Slow Down', ERROR)];
const ADMIN_REQUESTS = ['/health/live', '/health/ready', '/status'].map((url) => utf8(`GET ${url} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`));
const HTTP_WORDS = ['POST ', '\r\n', '\r\n\r\n', 'Content-Length: 5\r\n', 'Transfer-Encoding: chunked\r\n', 'HTTP/1.1 ', '200', '404', '\0', '<', '&amp;', '<Contents>', '</Contents>', '<Key>', '<!DOCTYPE a>', 'true'];
const bytesForm = { form: 'bytes' } as const;
const der = (identity: TlsIdentity): Uint8Array => Uint8Array.from(Buffer.from(identity.certificatePem.replace(/-----[^-]+-----|\s/g, ''), 'base64'));

export const socketTargets: readonly Target[] = [
  decoder({ name: 'tls-certificate', covers: [], format: bytesForm, seeds: () => [der(identities.node), der(identities.member)], accepts: (input) => tlsPublicKeyOf(input) !== undefined, inputs: 300 }),
  decoder({
    name: 'tls-key', covers: [], format: bytesForm, seeds: () => [pkcs8FromSeed(id('a seed'))],
    accepts: (input) => {
      const seed = seedFromPkcs8(input);
      if (seed !== undefined) sameBytes(pkcs8FromSeed(seed), input);
      return seed !== undefined;
    },
    inputs: 200,
  }),
  // The hello of a client cannot be made from a seed: one is saved in the corpus.
  { name: 'tls-handshake', covers: [], format: bytesForm, seeds: () => savedInputs('tls-handshake').slice(0, 1), open: () => TlsSubject.open(false), inputs: 60, takesMs },
  { name: 'tls-server', covers: [], format: bytesForm, seeds: () => [FRAMES], open: () => TlsSubject.open(true), inputs: 60, takesMs },
  { name: 'tls-channel', covers: [], format: bytesForm, seeds: () => [ANSWERS], open: () => ChannelSubject.open(), inputs: 60, takesMs },
  { name: 's3-server', covers: [], format: { form: 'text', words: S3_WORDS }, seeds: () => S3_REQUESTS.slice(9, 12).map(writeRequest), lends: () => S3_REQUESTS.map(writeRequest), open: () => S3ServerSubject.open(), inputs: 150, takesMs },
  { name: 'admin-server', covers: [], format: { form: 'text', words: HTTP_WORDS }, seeds: () => ADMIN_REQUESTS, lends: () => [utf8('POST /status HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')], open: () => AdminSubject.open(), inputs: 80, takesMs },
  { name: 'command-answers', covers: [], format: { form: 'text', words: HTTP_WORDS }, seeds: () => RESPONSES, lends: () => REFUSALS, open: () => AnswerSubject.open(), inputs: 80, takesMs },
];
