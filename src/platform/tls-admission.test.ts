/**
 * Who gets in, at both ends of a connection. Every refusal is tried with a peer that goes as far as it can
 * on its own; a control shows that the same steps with the right key do get in.
 */
import 'reflect-metadata';
import { X509CertificateGenerator } from '@peculiar/x509';
import { X509Certificate, createPublicKey, webcrypto } from 'node:crypto';
import { connect as connectTcp, createServer as createTcpServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { connect, createServer } from 'node:tls';
import type { ConnectionOptions, TLSSocket, TlsOptions } from 'node:tls';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { concat, fromUtf8, utf8 } from '../base/bytes.ts';
import type { PeerKey } from '../base/ports.ts';
import { PREFACE, encodeFrame } from './frames.ts';
import { HandMadeTls } from './tls-by-hand.contract.ts';
import type { HandMadeIdentity } from './tls-by-hand.contract.ts';
import { ALPN_PROTOCOL } from './tls-handshake.ts';
import { pkcs8FromSeed } from './tls-identity.ts';
import type { TlsIdentity } from './tls-identity.ts';
import { listenTls } from './tls-listener.ts';
import type { TlsListener } from './tls-listener.ts';
import { TlsTransport } from './tls-transport.ts';
import { CountingTelemetry, identityOf, keyOf, seedOf, testClock } from './tls-world.contract.ts';
import { PATIENT, codeOf, frameOf } from './transport.contract.ts';

const ASK = concat(PREFACE, encodeFrame('request', 1, frameOf('ask')));

let telemetry: CountingTelemetry;
let cleanups: (() => unknown)[];

beforeEach(() => {
  telemetry = new CountingTelemetry();
  cleanups = [];
});

afterEach(async () => {
  for (const cleanup of cleanups.reverse()) await cleanup();
});

function portOf(address: string): number {
  return Number(address.split(':')[1]);
}

/** One process's certificate, with a handshake signed by another's key or by its own. */
async function showing(name: string, signer: string): Promise<HandMadeIdentity> {
  const certificate = new X509Certificate((await identityOf(name)).certificatePem).raw;
  return { certificate, signingKeyPem: (await identityOf(signer)).privateKeyPem };
}

/** The certificate of one process with other dates in it, signed by its own key. */
async function dated(name: string, notBefore: string, notAfter: string): Promise<TlsIdentity> {
  const identity = await identityOf(name);
  const algorithm = { name: 'Ed25519' };
  const spki = createPublicKey(identity.privateKeyPem).export({ format: 'der', type: 'spki' });
  const certificate = await X509CertificateGenerator.createSelfSigned(
    {
      serialNumber: '01',
      name: `CN=${name}`,
      notBefore: new Date(notBefore),
      notAfter: new Date(notAfter),
      signingAlgorithm: algorithm,
      keys: {
        privateKey: await webcrypto.subtle.importKey('pkcs8', pkcs8FromSeed(seedOf(name)), algorithm, false, ['sign']),
        publicKey: await webcrypto.subtle.importKey('spki', spki, algorithm, true, ['verify']),
      },
    },
    webcrypto,
  );
  return { ...identity, certificatePem: certificate.toString('pem') };
}

/** A clock that is a day off sees its peers' certificates so. */
const DATES: readonly (readonly [string, string, string])[] = [
  ['has expired', '2020-01-01T00:00:00Z', '2020-01-02T00:00:00Z'],
  ['is not valid yet', '2190-01-01T00:00:00Z', '2191-01-01T00:00:00Z'],
];

/** All bytes until the other end closes. */
function untilClosed(socket: Socket): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  socket.on('data', (chunk) => chunks.push(chunk));
  socket.on('error', () => socket.destroy());
  return new Promise((resolve) => socket.on('close', () => resolve(concat(...chunks))));
}

describe('the listener', () => {
  let allowed: Set<PeerKey>;
  let asked: string[];
  let listener: TlsListener;

  beforeEach(async () => {
    allowed = new Set([await keyOf('gateway')]);
    asked = [];
    listener = await listenTls({
      address: '127.0.0.1:0',
      identity: await identityOf('node'),
      allowedPeers: () => allowed,
      handler: (_from, frame) => {
        asked.push(fromUtf8(frame.body));
        return Promise.resolve(frame);
      },
      telemetry,
      clock: testClock,
      limits: { handshakeMs: 300, drainMs: 100 },
    });
    cleanups.push(() => listener.close());
  });

  /** Connects with the tools of anybody; sends a whole request as soon as TLS lets it. */
  async function intrude(name: string | undefined, options: ConnectionOptions = {}): Promise<TLSSocket> {
    const identity = name === undefined ? undefined : await identityOf(name);
    const socket = connect({
      host: '127.0.0.1',
      port: portOf(listener.address),
      rejectUnauthorized: false,
      ALPNProtocols: [ALPN_PROTOCOL],
      ...(identity === undefined ? {} : { key: identity.privateKeyPem, cert: identity.certificatePem }),
      ...options,
    });
    socket.on('secureConnect', () => socket.write(ASK));
    cleanups.push(() => socket.destroy());
    return socket;
  }

  test('answers the peer that the configuration names (the control)', async () => {
    const socket = await intrude('gateway');
    const received = untilClosed(socket);
    await expect.poll(() => asked).toEqual(['ask']);
    await listener.close();
    expect(await received).toEqual(concat(PREFACE, encodeFrame('response', 1, frameOf('ask'))));
  });

  test.each(DATES)('answers a named peer whose certificate %s: the configuration alone ends a key', async (_what, notBefore, notAfter) => {
    const identity = await dated('gateway', notBefore, notAfter);
    await intrude('gateway', { cert: identity.certificatePem });
    await expect.poll(() => asked).toEqual(['ask']);
  });

  test.each(DATES)('refuses a stranger all the same whose certificate %s', async (_what, notBefore, notAfter) => {
    const identity = await dated('stranger', notBefore, notAfter);
    expect((await untilClosed(await intrude('stranger', { cert: identity.certificatePem }))).length).toBe(0);
    expect(asked).toEqual([]);
  });

  test.each<[string, string | undefined, ConnectionOptions, string]>([
    ['a certificate that the configuration does not name', 'stranger', {}, 'foreign_key'],
    ['no certificate', undefined, {}, 'no_certificate'],
    ['TLS 1.2', 'gateway', { maxVersion: 'TLSv1.2' }, 'handshake'],
    ['no application protocol', 'gateway', { ALPNProtocols: [] }, 'protocol'],
    ['another application protocol', 'gateway', { ALPNProtocols: ['h2'] }, 'handshake'],
  ])('refuses %s and reads nothing', async (_what, name, options, fault) => {
    const received = await untilClosed(await intrude(name, options));
    expect(received.length).toBe(0);
    await telemetry.reaches(1, 'transport.refused', { code: 'FOREIGN_PEER', end: 'listener', fault });
    expect(asked).toEqual([]);
  });

  test('refuses bytes that are not TLS: a preface in the clear, HTTP, noise, silence', async () => {
    const noise = new Uint8Array(100_000).fill(0xa5);
    const openings = [ASK, utf8('GET / HTTP/1.1\r\n\r\n'), noise, new Uint8Array(0)];
    for (const opening of openings) {
      const socket = connectTcp(portOf(listener.address), '127.0.0.1');
      const received = untilClosed(socket);
      socket.write(opening);
      expect(Buffer.from(await received).includes('HOLDFAST')).toBe(false);
    }
    await telemetry.reaches(3, 'transport.refused', { code: 'FOREIGN_PEER', fault: 'handshake' });
    await telemetry.reaches(1, 'transport.refused', { code: 'FOREIGN_PEER', fault: 'handshake_timeout' });
    expect(asked).toEqual([]);
  });

  test('refuses the replayed bytes of a connection that it answered', async () => {
    const sent: Uint8Array[] = [];
    const proxy = createTcpServer((near) => {
      const far = connectTcp(portOf(listener.address), '127.0.0.1');
      near.on('data', (chunk) => sent.push(chunk));
      near.pipe(far).pipe(near);
      for (const socket of [near, far]) socket.on('error', () => socket.destroy());
    });
    const port = await listenOnLoopback(proxy);
    const socket = await intrude('gateway', { port });
    const received = untilClosed(socket);
    await expect.poll(() => asked).toEqual(['ask']);
    socket.destroy();
    await received;

    const replay = connectTcp(portOf(listener.address), '127.0.0.1');
    const answer = untilClosed(replay);
    for (const chunk of sent) replay.write(chunk);
    await answer;
    await telemetry.reaches(1, 'transport.refused', { code: 'FOREIGN_PEER', fault: 'handshake' });
    expect(asked).toEqual(['ask']);
  });

  test.each([
    ['lets in who shows a named certificate and holds its key (the control)', 'gateway', true],
    ['refuses who shows a named certificate without holding its key', 'stranger', false],
  ] as const)('%s', async (_what, signer, admitted) => {
    const socket = connectTcp(portOf(listener.address), '127.0.0.1');
    cleanups.push(() => socket.destroy());
    const peer = new HandMadeTls(socket, 'client', await showing('gateway', signer), ASK);
    if (admitted) {
      await expect.poll(() => asked).toEqual(['ask']);
      await expect.poll(() => peer.received.length).toBeGreaterThan(PREFACE.length);
      return;
    }
    await untilClosed(socket);
    expect(peer.received.length).toBe(0);
    await telemetry.reaches(1, 'transport.refused', { code: 'FOREIGN_PEER', fault: 'handshake' });
    expect(asked).toEqual([]);
  });

  test('resumes no session: every connection proves its key', async () => {
    const first = await intrude('gateway');
    const ended = untilClosed(first);
    const session = await new Promise<Buffer>((resolve) => first.once('session', resolve));
    first.destroy();
    await ended;
    const second = await intrude('gateway', { session });
    await new Promise((resolve) => second.once('secureConnect', resolve));
    expect(second.isSessionReused()).toBe(false);
  });

  test('closes a connection whose greeting is of another version', async () => {
    const socket = await intrude('gateway');
    socket.removeAllListeners('secureConnect');
    socket.on('secureConnect', () => socket.write('HOLDFAST/2\n'));
    await untilClosed(socket);
    await telemetry.reaches(1, 'transport.bad_frames', { end: 'listener', fault: 'preface' });
  });

  test('cuts off a peer that the configuration no longer names', async () => {
    const identity = await identityOf('gateway');
    const transport = new TlsTransport({ identity, telemetry, clock: testClock });
    cleanups.push(() => transport.close());
    const channel = transport.open(listener.address, await keyOf('node'));
    await channel.request(frameOf('before'), PATIENT);
    allowed = new Set();
    expect(await codeOf(channel.request(frameOf('after'), PATIENT))).toBe('DISCONNECTED');
    expect(await codeOf(channel.request(frameOf('again'), PATIENT))).toBe('UNREACHABLE');
    expect(asked).toEqual(['before']);
    expect(telemetry.of('transport.closed', { end: 'listener', why: 'foreign_peer' })).toBe(1);
  });

  test('cuts off a silent peer that the configuration no longer names', async () => {
    const socket = await intrude('gateway');
    const closed = untilClosed(socket);
    await expect.poll(() => asked).toEqual(['ask']);
    allowed = new Set();
    await closed;
  });
});

describe('the channel', () => {
  let transport: TlsTransport;

  beforeEach(async () => {
    const identity = await identityOf('gateway');
    transport = new TlsTransport({ identity, telemetry, clock: testClock, limits: { handshakeMs: 300 } });
    cleanups.push(() => transport.close());
  });

  /** A server with the tools of anybody that reads whatever comes. */
  async function impostor(
    name: string,
    options: TlsOptions = {},
    greet: (socket: TLSSocket) => void = (socket) => socket.write(PREFACE),
  ): Promise<{ readonly address: string; readonly received: () => Uint8Array }> {
    const identity = await identityOf(name);
    const chunks: Uint8Array[] = [];
    const server = createServer({
      key: identity.privateKeyPem,
      cert: identity.certificatePem,
      requestCert: true,
      rejectUnauthorized: false,
      ALPNProtocols: [ALPN_PROTOCOL],
      ...options,
    });
    server.on('secureConnection', (socket) => {
      socket.on('data', (chunk) => chunks.push(chunk));
      socket.on('error', () => socket.destroy());
      greet(socket);
    });
    const port = await listenOnLoopback(server);
    return { address: `127.0.0.1:${port}`, received: () => concat(...chunks) };
  }

  async function ask(address: string): Promise<string> {
    return codeOf(transport.open(address, await keyOf('node')).request(frameOf('ask'), { timeoutMs: 3000 }));
  }

  test('asks the peer that has the right key and greets (the control)', async () => {
    const { address, received } = await impostor('node', {}, (socket) => {
      socket.write(PREFACE);
      const answer = encodeFrame('response', 1, frameOf('x'));
      socket.on('data', (chunk) => chunk.includes('ask') && socket.write(answer));
    });
    expect(await ask(address)).toBe('answered');
    expect(received()).toEqual(ASK);
  });

  test.each([
    ['asks who shows the right certificate and holds its key (the control)', 'node', 'DISCONNECTED'],
    ['refuses who shows the right certificate without holding its key', 'stranger', 'UNREACHABLE'],
  ] as const)('%s', async (_what, signer, code) => {
    const identity = await showing('node', signer);
    const peers: HandMadeTls[] = [];
    const server = createTcpServer((socket) => {
      const peer = new HandMadeTls(socket, 'server', identity, PREFACE);
      peers.push(peer);
      socket.on('data', () => peer.received.includes('ask') && socket.destroy());
    });
    expect(await ask(`127.0.0.1:${await listenOnLoopback(server)}`)).toBe(code);
    const received = concat(...peers.map((peer) => peer.received));
    expect(received).toEqual(code === 'DISCONNECTED' ? ASK : new Uint8Array(0));
  });

  test.each(DATES)('asks the peer that has the right key although its certificate %s', async (_what, notBefore, notAfter) => {
    const identity = await dated('node', notBefore, notAfter);
    const { address } = await impostor('node', { cert: identity.certificatePem }, (socket) => {
      socket.write(PREFACE);
      socket.on('data', (chunk) => chunk.includes('ask') && socket.write(encodeFrame('response', 1, frameOf('x'))));
    });
    expect(await ask(address)).toBe('answered');
  });

  test('refuses the certificate of another process, whom it tells nothing', async () => {
    const { address, received } = await impostor('another node');
    expect(await ask(address)).toBe('FOREIGN_PEER');
    expect(received().length).toBe(0);
    expect(telemetry.of('transport.refused', { end: 'channel', fault: 'foreign_key' })).toBe(1);
  });

  test.each<[string, TlsOptions]>([
    ['TLS 1.2', { maxVersion: 'TLSv1.2' }],
    ['another application protocol', { ALPNProtocols: ['h2'] }],
  ])('refuses %s', async (_what, options) => {
    const { address, received } = await impostor('node', options);
    expect(await ask(address)).toBe('UNREACHABLE');
    expect(received().length).toBe(0);
  });

  test('refuses a peer that agrees to no application protocol', async () => {
    const { address, received } = await impostor('node', { ALPNProtocols: [] });
    expect(await ask(address)).toBe('FOREIGN_PEER');
    expect(received().length).toBe(0);
  });

  test('refuses a peer in the clear', async () => {
    const server = createTcpServer((socket) => {
      socket.on('error', () => socket.destroy());
      socket.write(PREFACE);
    });
    expect(await ask(`127.0.0.1:${await listenOnLoopback(server)}`)).toBe('UNREACHABLE');
  });

  test('sends no request before the greeting, and gives up when none comes', async () => {
    const { address, received } = await impostor('node', {}, () => undefined);
    const channel = transport.open(address, await keyOf('node'));
    const first = codeOf(channel.request(frameOf('ask'), PATIENT));
    await expect.poll(() => received().length).toBe(PREFACE.length);
    const second = codeOf(channel.request(frameOf('ask while it waits'), PATIENT));
    expect([await first, await second]).toEqual(['UNREACHABLE', 'UNREACHABLE']);
    expect(received()).toEqual(PREFACE);
  });

  test('sends no request to a peer that greets in another version', async () => {
    const { address, received } = await impostor('node', {}, (socket) => socket.write('HOLDFAST/9\n'));
    expect(await ask(address)).toBe('UNREACHABLE');
    expect(received().length).toBeLessThanOrEqual(PREFACE.length);
    expect(telemetry.of('transport.bad_frames', { end: 'channel', fault: 'preface' })).toBe(1);
  });

  test.each<[string, Uint8Array, string]>([
    ['answers what was never asked', encodeFrame('response', 2, frameOf('x')), 'order'],
    ['asks on the wrong end', encodeFrame('request', 1, frameOf('x')), 'kind'],
    ['claims a body above the limit', Uint8Array.of(0xff, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 1), 'body_length'],
  ])('ends the connection of a peer that %s', async (_what, bytes, fault) => {
    const { address } = await impostor('node', {}, (socket) => {
      socket.write(PREFACE);
      socket.on('data', (chunk) => chunk.includes('ask') && socket.write(bytes));
    });
    expect(await ask(address)).toBe('DISCONNECTED');
    expect(telemetry.of('transport.bad_frames', { code: 'BAD_FRAME', end: 'channel', fault })).toBe(1);
  });
});

async function listenOnLoopback(server: Server): Promise<number> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => sockets.add(socket));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanups.push(() => {
    for (const socket of sockets) socket.destroy();
    return new Promise((resolve) => server.close(resolve));
  });
  return (server.address() as AddressInfo).port;
}
