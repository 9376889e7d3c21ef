/**
 * The S3 front in a real HTTP listener on loopback over a store in memory, for tests; and a signer written
 * apart from sigv4.ts (on node:crypto, from Amazon's description), so that a fault there is not repeated
 * here.
 */
import { createHash, createHmac } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import type { Clock, Telemetry } from '../../base/ports.ts';
import { SystemClock } from '../../platform/clock.ts';
import { startHttpServer } from '../../platform/http-server.ts';
import type { HttpServer, HttpServerOptions } from '../../platform/http-server.ts';
import { SystemRandom } from '../../platform/random.ts';
import { directoryOf } from './access/credential-store.ts';
import { FRONT_DEFAULTS, S3Front } from './front.ts';
import type { S3FrontOptions } from './front.ts';
import { MEMORY_OWNER, MemoryStore } from './port/memory-store.contract.ts';
import type { Account } from './auth/principal.ts';

export const ACCESS_KEY = 'HFTESTACCESSKEY00001';
export const SECRET_KEY = 'a/test+secret/key=that/has/odd+letters==';
export const OWNER = MEMORY_OWNER;
export const ACCOUNT: Account = { id: OWNER, displayName: 'owner' };

/** The real clock, moved by what a test asks. */
export class ShiftedClock extends SystemClock {
  shiftMs = 0;

  override nowMs(): number {
    return super.nowMs() + this.shiftMs;
  }
}

export class CountingTelemetry implements Telemetry {
  readonly counts = new Map<string, number>();
  readonly events: string[] = [];

  count(name: string, labels: Readonly<Record<string, string>> = {}, by = 1): void {
    const key = [name, ...Object.entries(labels).map(([label, value]) => `${label}=${value}`)].join(' ');
    this.counts.set(key, (this.counts.get(key) ?? 0) + by);
  }

  event(_level: string, name: string): void {
    this.events.push(name);
  }
}

export interface S3World {
  readonly store: MemoryStore;
  readonly front: S3Front;
  readonly server: HttpServer;
  readonly clock: ShiftedClock;
  readonly telemetry: CountingTelemetry;
  close(): Promise<void>;
}

export async function startS3World(
  front: Partial<S3FrontOptions> = {},
  server: Partial<HttpServerOptions> = {},
): Promise<S3World> {
  const store = new MemoryStore();
  const clock = new ShiftedClock();
  const telemetry = new CountingTelemetry();
  const s3 = new S3Front({
    ...FRONT_DEFAULTS,
    store,
    clock: clock satisfies Clock,
    telemetry,
    random: new SystemRandom(),
    accounts: directoryOf(ACCOUNT),
    tokenKey: new Uint8Array(32).fill(7),
    lookup: (id) => Promise.resolve(id === ACCESS_KEY ? { secretAccessKey: SECRET_KEY, account: ACCOUNT } : undefined),
    ...front,
  });
  const listener = await startHttpServer({
    handler: s3.handle,
    bindAddress: '127.0.0.1',
    port: 0,
    telemetry,
    ...server,
  });
  return { store, front: s3, server: listener, clock, telemetry, close: () => listener.stop(0) };
}

const sha256Hex = (data: string | Uint8Array): string => createHash('sha256').update(data).digest('hex');
const hmac = (key: string | Uint8Array, data: string): Buffer =>
  createHmac('sha256', key).update(data).digest();
const encode = (text: string): string =>
  encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);

export interface SignedRequest {
  readonly method: string;
  /** Decoded key path such as /bucket/a key. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  /** x-amz-content-sha256; the hash of `body` when left out. */
  readonly payload?: string;
  readonly body?: Uint8Array | string;
  readonly secret?: string;
  readonly accessKey?: string;
  readonly region?: string;
  readonly timestamp?: string;
  /** Presign instead: seconds of validity. */
  readonly expires?: number;
  /** Headers sent but left out of the signature. */
  readonly unsigned?: readonly string[];
}

export interface Prepared {
  readonly method: string;
  readonly target: string;
  readonly headers: Record<string, string>;
  readonly signature: string;
  readonly key: Buffer;
  readonly scope: string;
  readonly timestamp: string;
}

export const timestampNow = (shiftMs = 0): string =>
  new Date(Date.now() + shiftMs).toISOString().replace(/[-:]|\.\d+/g, '');

/** Signs by header, or in the query when `expires` is given. */
export function sign(host: string, wish: SignedRequest): Prepared {
  const timestamp = wish.timestamp ?? timestampNow();
  const date = timestamp.slice(0, 8);
  const scope = `${date}/${wish.region ?? 'us-east-1'}/s3/aws4_request`;
  const presign = wish.expires !== undefined;
  const payload = wish.payload ?? (presign ? 'UNSIGNED-PAYLOAD' : sha256Hex(wish.body ?? ''));
  const headers: Record<string, string> = { host };
  for (const [name, value] of Object.entries(wish.headers ?? {})) headers[name.toLowerCase()] = value;
  if (!presign) {
    headers['x-amz-date'] = timestamp;
    headers['x-amz-content-sha256'] = payload;
  }
  const names = Object.keys(headers)
    .filter((name) => !(wish.unsigned ?? []).includes(name))
    .sort();
  const credential = `${wish.accessKey ?? ACCESS_KEY}/${scope}`;
  const query: Record<string, string> = { ...wish.query };
  if (presign) {
    query['X-Amz-Algorithm'] = 'AWS4-HMAC-SHA256';
    query['X-Amz-Credential'] = credential;
    query['X-Amz-Date'] = timestamp;
    query['X-Amz-Expires'] = String(wish.expires);
    query['X-Amz-SignedHeaders'] = names.join(';');
  }
  const path = wish.path.split('/').map(encode).join('/');
  const canonicalQuery = Object.keys(query)
    .map(encode)
    .sort()
    .map((name) => `${name}=${encode(query[decodeURIComponent(name)] ?? '')}`)
    .join('&');
  const canonical = [
    wish.method,
    path,
    canonicalQuery,
    ...names.map((name) => `${name}:${(headers[name] ?? '').trim().replace(/ +/g, ' ')}`),
    '',
    names.join(';'),
    payload,
  ].join('\n');
  let key = hmac(`AWS4${wish.secret ?? SECRET_KEY}`, date);
  for (const part of [wish.region ?? 'us-east-1', 's3', 'aws4_request']) key = hmac(key, part);
  const signature = hmac(
    key,
    ['AWS4-HMAC-SHA256', timestamp, scope, sha256Hex(canonical)].join('\n'),
  ).toString('hex');
  if (!presign) {
    const signed = `SignedHeaders=${names.join(';')}`;
    headers.authorization = `AWS4-HMAC-SHA256 Credential=${credential}, ${signed}, Signature=${signature}`;
  }
  const last = presign ? `&X-Amz-Signature=${signature}` : '';
  const search = canonicalQuery + last;
  return {
    method: wish.method,
    target: search === '' ? path : `${path}?${search}`,
    headers,
    signature,
    key,
    scope,
    timestamp,
  };
}

export interface Answer {
  readonly status: number;
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly body: Buffer;
  readonly text: string;
  /** The Code element of an error document. */
  readonly code: string | undefined;
}

/** Sends bytes as they are, on a connection of its own. */
export function send(
  server: HttpServer,
  prepared: Prepared,
  body: Uint8Array | string = '',
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const { method, target: path, headers } = prepared;
    const length = { 'content-length': String(Buffer.byteLength(body)), ...headers };
    const outgoing = httpRequest({
      host: server.address,
      port: server.port,
      method,
      path,
      headers: length,
      agent: false,
    });
    outgoing.on('error', reject);
    outgoing.on('response', (response) => {
      const pieces: Buffer[] = [];
      response.on('data', (piece: Buffer) => pieces.push(piece));
      response.on('error', reject);
      response.on('end', () => {
        const all = Buffer.concat(pieces);
        const text = all.toString('utf8');
        const code = /<Code>(.*?)<\/Code>/.exec(text)?.[1];
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: all, text, code });
      });
    });
    outgoing.end(body);
  });
}

/** Signs and sends. */
export async function ask(world: S3World, wish: SignedRequest): Promise<Answer> {
  const prepared = sign(`${world.server.address}:${String(world.server.port)}`, wish);
  return await send(world.server, prepared, wish.body ?? '');
}
