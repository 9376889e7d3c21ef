import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { ask, send, sign, startS3World } from './s3-world.contract.ts';
import type { S3World } from './s3-world.contract.ts';
import type { S3FrontOptions } from './front.ts';
import type { HttpLimits } from '../../platform/http-server.ts';

/** Clients that want to keep the gateway busy, against the real listener with its limits made short. */
let world: S3World;
const sockets: Socket[] = [];

async function start(limits: Partial<HttpLimits> = {}, front: Partial<S3FrontOptions> = {}): Promise<void> {
  world = await startS3World({ patience: { idleMs: 300, graceMs: 500, bytesPerSecondMin: 1024 }, ...front }, { limits });
  world.store.addBucket('box');
}

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await world.close();
});

const host = (): string => `${world.server.address}:${String(world.server.port)}`;

interface Talk {
  readonly socket: Socket;
  readonly said: () => string;
  /** Resolves when the server has cut the connection. */
  readonly cut: Promise<void>;
}

function talk(words: string): Talk {
  const socket = connect(world.server.port, world.server.address);
  sockets.push(socket);
  let said = '';
  socket.on('data', (piece: Buffer) => (said += piece.toString('latin1')));
  socket.on('error', () => undefined);
  const cut = new Promise<void>((resolve) => {
    socket.on('close', () => resolve());
  });
  socket.write(words, 'latin1');
  return { socket, said: () => said, cut };
}

/** The head of a signed request, as text, without the empty line that ends it. */
function headOf(
  method: string,
  path: string,
  more: Record<string, string> = {},
  payload?: string,
  query: Record<string, string> = {},
): string {
  const { target, headers } = sign(host(), { method, path, query, headers: more, ...(payload === undefined ? {} : { payload }) });
  return [`${method} ${target} HTTP/1.1`, ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`)].join('\r\n');
}

const isServed = async (): Promise<boolean> => (await ask(world, { method: 'GET', path: '/box' })).status === 200;

describe('connections that say little', () => {
  test('one that says nothing at all is cut', async () => {
    await start({ headersTimeoutMs: 200 });
    const { cut, said } = talk('');
    await cut;
    expect(said()).toMatch(/^(HTTP\/1\.1 408|$)/);
  });

  test('one that drips its headers is cut', async () => {
    await start({ headersTimeoutMs: 300 });
    const { socket, cut } = talk('GET / HTTP/1.1\r\nHost: h\r\n');
    const drip = setInterval(() => socket.write('x'), 20);
    await cut;
    clearInterval(drip);
    expect(await isServed()).toBe(true);
  });

  test('one that stays after its answer is cut', async () => {
    await start({ keepAliveMs: 100 });
    const { cut, said } = talk(`${headOf('GET', '/box')}\r\n\r\n`);
    await cut;
    expect(said()).toMatch(/^HTTP\/1\.1 200/);
  });

  test('one that drips its body is answered and cut, and holds no place after that', async () => {
    await start({ lingerMs: 100 });
    const { socket, cut, said } = talk(`${headOf('PUT', '/box/key', { 'content-length': '100000' }, 'UNSIGNED-PAYLOAD')}\r\n\r\n`);
    const drip = setInterval(() => socket.write('x'), 50);
    await cut;
    clearInterval(drip);
    expect(said()).toContain('<Code>RequestTimeout</Code>');
    expect(world.front.underWay).toBe(0);
    expect(world.store.buckets.get('box')?.objects.size).toBe(0);
  });
});

describe('requests that are too much', () => {
  test.each<[string, string, RegExp]>([
    ['a target of 20,000 bytes', `GET /${'a'.repeat(20_000)} HTTP/1.1\r\nHost: h\r\n\r\n`, /^HTTP\/1\.1 431/],
    ['a header of 20,000 bytes', `GET / HTTP/1.1\r\nHost: h\r\nx: ${'a'.repeat(20_000)}\r\n\r\n`, /^HTTP\/1\.1 431/],
    ['three hundred headers', `GET / HTTP/1.1\r\nHost: h\r\n${'a:\r\n'.repeat(300)}\r\n`, /^HTTP\/1\.1 431/],
    ['three thousand headers, of which a parser leaves out the last', `GET / HTTP/1.1\r\nHost: h\r\n${'a:\r\n'.repeat(3000)}if-match: "x"\r\n\r\n`, /^HTTP\/1\.1 431/],
    ['two hundred query parameters', `GET /box?${'a&'.repeat(200)} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`, /^HTTP\/1\.1 400[^]*InvalidURI/],
    ['a length and chunks', 'PUT /box/a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n', /^HTTP\/1\.1 400/],
    ['two lengths', 'PUT /box/a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n', /^HTTP\/1\.1 400/],
    ['two hosts', 'GET /box HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: other\r\n\r\n', /^HTTP\/1\.1 400/],
    ['no host', 'GET /box HTTP/1.1\r\n\r\n', /^HTTP\/1\.1 400/],
    ['a name folded into two lines', 'GET /box HTTP/1.1\r\nHost: 127.0.0.1\r\nx: a\r\n b\r\n\r\n', /^HTTP\/1\.1 400/],
  ])('%s', async (_, words, answer) => {
    await start({ keepAliveMs: 100 });
    const { cut, said } = talk(words);
    await cut;
    expect(said()).toMatch(answer);
    expect(await isServed()).toBe(true);
  });

  test('chunks with endless extensions are cut', async () => {
    await start({ lingerMs: 100, keepAliveMs: 100 });
    const { socket, cut } = talk(`${headOf('PUT', '/box/key', { 'transfer-encoding': 'chunked', 'x-amz-decoded-content-length': '3' }, 'STREAMING-UNSIGNED-PAYLOAD-TRAILER')}\r\n\r\n1`);
    const more = setInterval(() => socket.write(`;${'a'.repeat(4096)}`), 5);
    await cut;
    clearInterval(more);
    expect(world.front.underWay).toBe(0);
  });

  test.each<[string, string]>([
    ['nested a hundred thousand deep', '<a>'.repeat(100_000)],
    ['with an entity', '<!DOCTYPE a [<!ENTITY b "b">]><CORSConfiguration>&b;</CORSConfiguration>'],
    ['with an entity not declared', '<CORSConfiguration>&b;</CORSConfiguration>'],
    ['of two hundred thousand elements', `<LifecycleConfiguration>${'<Rule/>'.repeat(140_000)}</LifecycleConfiguration>`],
    ['of one attribute a hundred thousand times', `<CORSConfiguration ${'a="1" '.repeat(8_000)}/>`],
    ['that never ends', `<CORSConfiguration><CORSRule>${' '.repeat(60_000)}`],
  ])('a document %s is refused at once', async (_, body) => {
    await start();
    const startMs = performance.now();
    const query = { [body.includes('Lifecycle') ? 'lifecycle' : 'cors']: '' };
    const answer = await ask(world, { method: 'PUT', path: '/box', query, body });
    expect(answer.status).toBe(400);
    expect(performance.now() - startMs).toBeLessThan(2_000);
  });
});

describe('more than there is room for', () => {
  test('a request above the number admitted is answered SlowDown, counted, before its key is looked up', async () => {
    let lookups = 0;
    await start({}, { concurrentMax: 1 });
    const first = talk(`${headOf('PUT', '/box/key', { 'content-length': '10' }, 'UNSIGNED-PAYLOAD')}\r\n\r\n`);
    await expect.poll(() => world.front.underWay).toBe(1);
    const counted = world.store.readBucket.bind(world.store);
    world.store.readBucket = (bucket) => {
      lookups += 1;
      return counted(bucket);
    };
    const headers = { origin: 'http://a.example' };
    const refused = await send(world.server, sign(host(), { method: 'GET', path: '/box', headers }));
    expect([refused.status, refused.code, refused.headers['retry-after']]).toEqual([503, 'SlowDown', '1']);
    expect(lookups).toBe(0);
    expect(world.telemetry.counts.get('s3_refused code=SlowDown')).toBe(1);
    first.socket.destroy();
    await expect.poll(() => world.front.underWay).toBe(0);
    expect(await isServed()).toBe(true);
  });

  test('an answer that is not taken is cut, and gives its place back', async () => {
    await start({ writeStallMs: 300 }, { concurrentMax: 1 });
    const state = world.store.buckets.get('box')?.state;
    // A document as large as may be kept: more than the socket's buffers take.
    world.store.addBucket('box', { ...state, documents: { tagging: '<Tagging/>'.padEnd(16 * 1024 * 1024) } });
    const slow = talk(`${headOf('GET', '/box', {}, undefined, { tagging: '' })}\r\n\r\n`);
    slow.socket.pause();
    await expect.poll(() => world.front.underWay, { timeout: 2_000 }).toBe(1);
    await expect.poll(() => world.front.underWay, { timeout: 5_000 }).toBe(0);
    expect(world.telemetry.counts.get('http_answers_cut gone=true')).toBe(1);
  });

  test('requests in one breath on one connection are answered in order', async () => {
    await start();
    const one = `${headOf('GET', '/box')}\r\n\r\n`;
    const { said, socket } = talk(one.repeat(50));
    await expect.poll(() => said().split('HTTP/1.1 ').length - 1, { timeout: 5_000 }).toBe(50);
    socket.destroy();
    await expect.poll(() => world.front.underWay).toBe(0);
  });
});
