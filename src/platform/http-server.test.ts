import { get as httpsGet } from 'node:https';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { isOperationError } from '../base/errors.ts';
import type { HttpHandler, HttpRequest } from '../base/http.ts';
import type { Telemetry } from '../base/ports.ts';
import { startHttpServer } from './http-server.ts';
import type { HttpServer, HttpServerOptions } from './http-server.ts';
import { makeTlsIdentity } from './tls-identity.ts';

const counts = new Map<string, number>();
const telemetry: Telemetry = {
  count: (name) => counts.set(name, (counts.get(name) ?? 0) + 1),
  event: () => undefined,
};
const servers: HttpServer[] = [];

async function listen(handler: HttpHandler, more: Partial<HttpServerOptions> = {}): Promise<HttpServer> {
  const server = await startHttpServer({ handler, bindAddress: '127.0.0.1', port: 0, telemetry, ...more });
  servers.push(server);
  return server;
}

afterEach(async () => {
  counts.clear();
  await Promise.all(servers.splice(0).map((server) => server.stop(0)));
});

const text = (body: string): { status: number; headers: [string, string][]; body: Uint8Array } => ({
  status: 200,
  headers: [['Content-Length', String(body.length)]],
  body: Buffer.from(body),
});

async function readBody(request: HttpRequest): Promise<string> {
  let all = '';
  for await (const piece of request.body) all += Buffer.from(piece).toString('latin1');
  return all;
}

interface Conversation {
  readonly socket: Socket;
  /** All that came until the server closed or `enough` holds. */
  heard(enough?: (text: string) => boolean): Promise<string>;
}

function talk(server: HttpServer, words: string): Conversation {
  const socket = connect(server.port, server.address);
  let all = '';
  let wake = (): void => undefined;
  let closed = false;
  socket.on('data', (piece: Buffer) => {
    all += piece.toString('latin1');
    wake();
  });
  socket.on('error', () => undefined);
  socket.on('close', () => {
    closed = true;
    wake();
  });
  socket.write(words, 'latin1');
  return {
    socket,
    async heard(enough = () => false) {
      while (!closed && !enough(all)) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      socket.destroy();
      return all;
    },
  };
}

const codeOf = async (work: Promise<unknown>): Promise<string> => {
  try {
    await work;
  } catch (error) {
    return isOperationError(error) ? error.code : String(error);
  }
  return 'none';
};

async function until(holds: () => boolean): Promise<void> {
  for (let i = 0; i < 300 && !holds(); i += 1) await new Promise((resolve) => setTimeout(resolve, 10));
  expect(holds()).toBe(true);
}

describe('where it listens', () => {
  test('plain HTTP is refused on every address but loopback', async () => {
    const handler: HttpHandler = () => Promise.resolve(text(''));
    for (const bindAddress of ['0.0.0.0', '::', '192.0.2.1', 'example.com', '']) {
      expect(await codeOf(listen(handler, { bindAddress }))).toBe('BAD_ARGUMENT');
    }
    expect((await listen(handler, { bindAddress: 'localhost' })).origin).toMatch(
      /^http:\/\/127\.0\.0\.1:\d+$/,
    );
  });

  test('a port that is taken is IN_USE', async () => {
    const handler: HttpHandler = () => Promise.resolve(text(''));
    const { port } = await listen(handler);
    expect(await codeOf(listen(handler, { port }))).toBe('IN_USE');
  });

  test('a key that is no key is BAD_ARGUMENT', async () => {
    const handler: HttpHandler = () => Promise.resolve(text(''));
    expect(await codeOf(listen(handler, { tls: { key: 'x', cert: 'y' } }))).toBe('BAD_ARGUMENT');
  });

  test('with a key and certificate it speaks TLS, and every request counts as confidential', async () => {
    const identity = await makeTlsIdentity({ seed: new Uint8Array(32).fill(5), commonName: 'localhost' });
    const tls = { key: identity.privateKeyPem, cert: identity.certificatePem };
    const handler: HttpHandler = (request) =>
      Promise.resolve(text(`${request.scheme} ${String(request.confidential)}`));
    const server = await listen(handler, { bindAddress: '0.0.0.0', tls });
    const answer = await new Promise<string>((resolve, reject) => {
      httpsGet(
        {
          host: '127.0.0.1',
          port: server.port,
          ca: tls.cert,
          checkServerIdentity: () => undefined,
          agent: false,
        },
        (response) => {
          let all = '';
          response.on('data', (piece: Buffer) => (all += piece.toString()));
          response.on('end', () => resolve(all));
        },
      ).on('error', reject);
    });
    expect(answer).toBe('https true');
    expect(
      await talk({ ...server, address: '127.0.0.1' }, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n').heard(),
    ).not.toContain('200 OK');
  });
});

describe('what the handler sees', () => {
  test('target and headers arrive byte for byte', async () => {
    let seen: HttpRequest | undefined;
    const server = await listen((request) => {
      seen = request;
      return Promise.resolve(text('ok'));
    });
    const words =
      'PUT /a//b/../%41+%zz?x=%20&y HTTP/1.1\r\nHost: h\r\nX-Odd:  a  b \r\nx-two: 1\r\nX-Two: 2\r\nX-Bytes: \u00e4\u00ff\r\n\r\n';
    await talk(server, words).heard((all) => all.endsWith('ok'));
    expect(seen?.target).toBe('/a//b/../%41+%zz?x=%20&y');
    expect(seen?.headers).toEqual([
      ['Host', 'h'],
      ['X-Odd', 'a  b'],
      ['x-two', '1'],
      ['X-Two', '2'],
      ['X-Bytes', '\u00e4\u00ff'],
    ]);
  });

  test('a chunked body arrives whole, and the next request on the connection too', async () => {
    const server = await listen(async (request) => text(await readBody(request)));
    const one =
      'PUT /1 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n';
    const two = 'PUT /2 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nxyz';
    const all = await talk(server, one + two).heard((heard) => heard.endsWith('xyz'));
    expect(all).toContain('abcde');
  });

  test('a client that goes away in its body breaks the body with DISCONNECTED', async () => {
    let code = '';
    const server = await listen(async (request) => {
      code = await codeOf(readBody(request));
      return text('');
    });
    const { socket } = talk(server, 'PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc');
    setTimeout(() => socket.destroy(), 50);
    await until(() => code === 'DISCONNECTED');
  });

  test('a body not read fast enough stops the client', async () => {
    let go = (): void => undefined;
    const waiting = new Promise<void>((resolve) => {
      go = resolve;
    });
    const total = 64 * 1024 * 1024;
    const server = await listen(async (request) => {
      let size = 0;
      for await (const piece of request.body) {
        if (size === 0) await waiting;
        size += piece.length;
      }
      return text(String(size));
    });
    const conversation = talk(
      server,
      `PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: ${String(total)}\r\n\r\n`,
    );
    const piece = Buffer.alloc(1024 * 1024);
    for (let i = 0; i < 64; i += 1) conversation.socket.write(piece);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(conversation.socket.writableLength).toBeGreaterThan(total / 2);
    go();
    expect(await conversation.heard((all) => all.endsWith(String(total)))).toContain(String(total));
  });
});

describe('refusals below HTTP', () => {
  const handler: HttpHandler = () => Promise.resolve(text('reached'));

  test.each([
    ['garbage', 'garbage\r\n\r\n', 400],
    ['two lengths', 'PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab', 400],
    [
      'a length and chunks',
      'PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      400,
    ],
    ['no host', 'GET / HTTP/1.1\r\n\r\n', 400],
    ['a header with a bare line feed', 'GET / HTTP/1.1\r\nHost: h\r\nA: b\nC: d\r\n\r\n', 400],
    ['headers above the limit', `GET / HTTP/1.1\r\nHost: h\r\nA: ${'x'.repeat(20_000)}\r\n\r\n`, 431],
  ])('%s', async (_name, words, status) => {
    const server = await listen(handler);
    const answer = await talk(server, words).heard();
    expect(answer).toMatch(new RegExp(`^HTTP/1\\.1 ${String(status)} `));
    expect(answer).not.toContain('reached');
  });

  test.each(['tea', '200', ''])('an expectation that means nothing (%j) is none', async (expected) => {
    const server = await listen(handler);
    const words = `PUT / HTTP/1.1\r\nHost: h\r\nExpect: ${expected}\r\nContent-Length: 0\r\n\r\n`;
    expect(await talk(server, words).heard((all) => all.endsWith('reached'))).toMatch(/^HTTP\/1\.1 200 /);
  });

  test('headers that never end are cut after their time', async () => {
    const server = await listen(handler, { limits: { headersTimeoutMs: 200 } });
    expect(await talk(server, 'GET / HTTP/1.1\r\nHost: h\r\n').heard()).toMatch(/^HTTP\/1\.1 408 /);
  });

  test('a connection above the limit is dropped and counted', async () => {
    const server = await listen(handler, { limits: { connectionsMax: 1 } });
    const first = talk(server, 'GET / HTTP/1.1\r\nHost: h\r\n\r\n');
    await until(() => first.socket.bytesRead > 0);
    expect(await talk(server, 'GET / HTTP/1.1\r\nHost: h\r\n\r\n').heard()).toBe('');
    expect(counts.get('http_connections_refused')).toBe(1);
    first.socket.destroy();
  });
});

describe('answers', () => {
  test('a body that the handler did not want is let pass, and the connection lives on', async () => {
    const server = await listen(() => Promise.resolve(text('no')));
    const put = `PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 300000\r\n\r\n${'x'.repeat(300_000)}`;
    const all = await talk(server, put + put).heard((heard) => heard.split('no').length > 2);
    expect(all.match(/200 OK/g)?.length).toBe(2);
  });

  test('a body that goes on and on after its answer is cut', async () => {
    const server = await listen(() => Promise.resolve(text('no')), { limits: { lingerBytes: 100_000 } });
    const conversation = talk(
      server,
      `PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 9000000000\r\n\r\n${'x'.repeat(200_000)}`,
    );
    expect(await conversation.heard()).toMatch(/^HTTP\/1\.1 200 /);
  });

  test('a body that stalls after its answer is cut', async () => {
    const server = await listen(() => Promise.resolve(text('no')), { limits: { lingerMs: 100 } });
    expect(await talk(server, 'PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nx').heard()).toMatch(
      /^HTTP\/1\.1 200 /,
    );
  });

  /** An endless stream that says how often it was asked and whether it was told to stop. */
  function endless(): { asked: number; returned: boolean; body: AsyncIterable<Uint8Array> } {
    const state = {
      asked: 0,
      returned: false,
      body: {
        [Symbol.asyncIterator]: () => ({
          next: () => {
            state.asked += 1;
            return Promise.resolve({ done: false as const, value: new Uint8Array(65_536) });
          },
          return: () => {
            state.returned = true;
            return Promise.resolve({ done: true as const, value: undefined });
          },
        }),
      },
    };
    return state;
  }

  test('a client that does not take its answer is waited for and then cut, and memory stays bounded', async () => {
    const source = endless();
    let released = 0;
    const respond: HttpHandler = () =>
      Promise.resolve({ status: 200, headers: [], body: source.body, release: () => (released += 1) });
    const server = await listen(respond, { limits: { writeStallMs: 300 } });
    const { socket } = talk(server, 'GET / HTTP/1.1\r\nHost: h\r\n\r\n');
    socket.pause();
    await until(() => source.returned);
    expect(source.asked).toBeLessThan(1000);
    expect(released).toBe(1);
    expect(counts.get('http_answers_cut')).toBe(1);
    socket.destroy();
  });

  test('a client that leaves ends the source at once', async () => {
    const source = endless();
    const server = await listen(() => Promise.resolve({ status: 200, headers: [], body: source.body }));
    const { socket } = talk(server, 'GET / HTTP/1.1\r\nHost: h\r\n\r\n');
    await until(() => source.asked > 3);
    socket.destroy();
    await until(() => source.returned);
  });

  test.each([
    ['breaks', 5, true],
    ['is shorter than announced', 5, false],
    ['is longer than announced', 2, false],
  ])('a stream that %s never looks like a whole answer', async (_name, announced, breaks) => {
    const server = await listen(() =>
      Promise.resolve({
        status: 200,
        headers: [['Content-Length', String(announced)]],
        body: (async function* body() {
          yield await Promise.resolve(Buffer.from('abc'));
          if (breaks) throw new Error('broken');
        })(),
      }),
    );
    const all = await talk(server, 'GET / HTTP/1.1\r\nHost: h\r\n\r\n').heard();
    const sent = all.split('\r\n\r\n')[1] ?? '';
    expect(sent.length).not.toBe(announced);
    expect(counts.get('http_answers_cut')).toBe(1);
  });

  test('a handler that rejects tells of a broken invariant and answers nothing', async () => {
    let broken: unknown;
    const server = await listen(() => Promise.reject(new Error('invariant')), {
      onBroken: (error) => (broken = error),
    });
    expect(await talk(server, 'GET / HTTP/1.1\r\nHost: h\r\n\r\n').heard()).toBe('');
    expect(String(broken)).toBe('Error: invariant');
  });

  test('stopping lets a request under way finish and takes no new one', async () => {
    let go = (): void => undefined;
    const server = await listen(
      () =>
        new Promise((resolve) => {
          go = () => resolve(text('finished'));
        }),
    );
    const conversation = talk(server, 'GET / HTTP/1.1\r\nHost: h\r\n\r\n');
    await new Promise((resolve) => setTimeout(resolve, 50));
    const stopped = server.stop(5_000);
    setTimeout(go, 50);
    expect(await conversation.heard()).toMatch(/connection: close[^]*finished$/i);
    await stopped;
    expect(await talk(server, 'GET / HTTP/1.1\r\nHost: h\r\n\r\n').heard()).toBe('');
  });

  test('stopping cuts what does not finish in its grace', async () => {
    const server = await listen(() => new Promise(() => undefined));
    const conversation = talk(server, 'GET / HTTP/1.1\r\nHost: h\r\n\r\n');
    await new Promise((resolve) => setTimeout(resolve, 50));
    await server.stop(100);
    expect(await conversation.heard()).toBe('');
  });
});
