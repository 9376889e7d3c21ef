/**
 * The bounds of a connection (base/limits.ts), each tried with a peer that has the right key and goes
 * beyond: the configuration names who may ask, not who is honest.
 */
import { connect as connectTcp, createServer as createTcpServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { connect } from 'node:tls';
import type { TLSSocket } from 'node:tls';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { EMPTY, concat } from '../base/bytes.ts';
import type { TransportLimits } from '../base/limits.ts';
import type { Channel, FrameHandler } from '../base/ports.ts';
import { PREFACE, encodeFrame } from './frames.ts';
import { ALPN_PROTOCOL } from './tls-handshake.ts';
import { listenTls } from './tls-listener.ts';
import type { TlsListener } from './tls-listener.ts';
import { TlsTransport } from './tls-transport.ts';
import { CountingTelemetry, identityOf, keyOf, testClock } from './tls-world.contract.ts';
import { PATIENT, codeOf, frameOf, gate } from './transport.contract.ts';

const echo: FrameHandler = (_from, frame) => Promise.resolve(frame);

let telemetry: CountingTelemetry;
let cleanups: (() => unknown)[];

beforeEach(() => {
  telemetry = new CountingTelemetry();
  cleanups = [];
});

afterEach(async () => {
  for (const cleanup of cleanups.reverse()) await cleanup();
});

async function serve(handler: FrameHandler, limits: Partial<TransportLimits> = {}): Promise<TlsListener> {
  const allowed = new Set([await keyOf('gateway'), await keyOf('gateway 2')]);
  const listener = await listenTls({
    address: '127.0.0.1:0',
    identity: await identityOf('node'),
    allowedPeers: () => allowed,
    handler,
    telemetry,
    clock: testClock,
    limits: { drainMs: 50, ...limits },
  });
  cleanups.push(() => listener.close());
  return listener;
}

async function channelTo(address: string, limits: Partial<TransportLimits> = {}): Promise<Channel> {
  const identity = await identityOf('gateway');
  const transport = new TlsTransport({ identity, telemetry, clock: testClock, limits });
  cleanups.push(() => transport.close());
  return transport.open(address, await keyOf('node'));
}

function portOf(address: string): number {
  return Number(address.split(':')[1]);
}

/** A connection with the right key in the hands of somebody who writes its bytes by hand. */
async function byHand(address: string, name = 'gateway'): Promise<TLSSocket> {
  const identity = await identityOf(name);
  const socket = connect({
    host: '127.0.0.1',
    port: portOf(address),
    key: identity.privateKeyPem,
    cert: identity.certificatePem,
    rejectUnauthorized: false,
    ALPNProtocols: [ALPN_PROTOCOL],
  });
  socket.on('error', () => socket.destroy());
  cleanups.push(() => socket.destroy());
  await new Promise((resolve) => socket.once('secureConnect', resolve));
  return socket;
}

function closed(socket: Socket): Promise<void> {
  socket.resume();
  return new Promise((resolve) => socket.once('close', () => resolve()));
}

function requests(from: number, count: number): Uint8Array {
  return concat(...Array.from({ length: count }, (_, i) => encodeFrame('request', from + i, frameOf('x'))));
}

/** A TCP path that can be stopped without anybody being told. */
async function pathTo(address: string): Promise<{ readonly address: string; stop(): void; start(): void }> {
  let open = true;
  const sockets = new Set<Socket>();
  const server = createTcpServer((near) => {
    const far = connectTcp(portOf(address), '127.0.0.1');
    const stopped = !open;
    for (const [from, to] of [[near, far], [far, near]] as const) {
      sockets.add(from);
      from.on('error', () => from.destroy());
      from.on('close', () => to.destroy());
      from.on('data', (chunk) => open && !stopped && to.write(chunk));
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanups.push(() => {
    for (const socket of sockets) socket.destroy();
    return new Promise((resolve) => server.close(resolve));
  });
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    stop: () => {
      open = false;
    },
    start: () => {
      open = true;
    },
  };
}

describe('the listener bounds', () => {
  test('how long a peer may take to greet', async () => {
    const { address } = await serve(echo, { handshakeMs: 100 });
    const socket = await byHand(address);
    socket.write(PREFACE.subarray(0, 4));
    await closed(socket);
    expect(telemetry.of('transport.closed', { why: 'handshake_timeout' })).toBe(1);
    await telemetry.reaches(1, 'transport.refused', { code: 'FOREIGN_PEER', fault: 'not_greeted' });
  });

  test('how long one frame may take to arrive, however it trickles', async () => {
    const { address } = await serve(echo, { frameMs: 200 });
    const socket = await byHand(address);
    socket.write(PREFACE);
    const bytes = encodeFrame('request', 1, frameOf('slow', new Uint8Array(1000)));
    const ended = closed(socket);
    let at = 0;
    const trickle = setInterval(() => socket.write(bytes.subarray(at, (at += 1))), 10);
    await ended;
    clearInterval(trickle);
    expect(at).toBeLessThan(bytes.length);
    expect(telemetry.of('transport.closed', { why: 'frame_timeout' })).toBe(1);
  });

  test('how many requests of a connection are under way: it reads no more, and loses none', async () => {
    const slow = gate();
    let underWay = 0;
    let most = 0;
    const handler: FrameHandler = async (_from, frame) => {
      underWay += 1;
      most = Math.max(most, underWay);
      await slow.opened;
      underWay -= 1;
      return frame;
    };
    const { address } = await serve(handler, { requestsInFlight: 8 });
    const channel = await channelTo(address);
    const asked = Array.from({ length: 100 }, () => channel.request(frameOf('x'), PATIENT));
    await expect.poll(() => underWay).toBe(8);
    await testClock.sleep(50);
    expect(most).toBe(8);
    slow.open();
    await Promise.all(asked);
    expect(most).toBe(8);
  });

  test('how many bytes of requests are under way', async () => {
    const slow = gate();
    let underWay = 0;
    const handler: FrameHandler = async (_from, frame) => {
      underWay += 1;
      await slow.opened;
      return frame;
    };
    const { address } = await serve(handler, { requestBytesInFlight: 3 * 1024 * 1024 });
    const channel = await channelTo(address);
    const payload = new Uint8Array(1024 * 1024);
    const asked = Array.from({ length: 10 }, () => channel.request({ body: EMPTY, payload }, PATIENT));
    await expect.poll(() => underWay).toBe(3);
    await testClock.sleep(50);
    expect(underWay).toBe(3);
    slow.open();
    await Promise.all(asked);
  });

  test('what it reads of a peer that asks faster than it answers', async () => {
    let asked = 0;
    const handler: FrameHandler = (_from, frame) => {
      asked += 1;
      return asked <= 20 ? Promise.resolve(frame) : new Promise(() => undefined);
    };
    const { address } = await serve(handler, { requestsInFlight: 2 });
    const socket = await byHand(address);
    socket.resume();
    // Several frames in each piece that the socket gives, so that some are left when it is held.
    const payload = new Uint8Array(1024);
    const one = (id: number): Uint8Array => encodeFrame('request', id, { body: EMPTY, payload });
    const piece = (from: number): Uint8Array => concat(...Array.from({ length: 64 }, (_, i) => one(from + i)));
    let taken = 0;
    const writeOn = (): void => {
      socket.write(piece(taken + 1), () => {
        taken += 64;
        if (taken < 65_536) writeOn();
      });
    };
    socket.write(PREFACE, writeOn);
    await expect.poll(() => asked).toBe(22);
    await testClock.sleep(300);
    const before = taken;
    await testClock.sleep(300);
    // Only the kernel's buffers have filled; then nothing moves any more.
    expect(taken).toBe(before);
    expect(taken).toBeLessThan(32_768);
    expect(asked).toBe(22);
  });

  test('what it holds for a peer that asks and does not read, and for how long', async () => {
    let answered = 0;
    const payload = new Uint8Array(256 * 1024);
    const handler: FrameHandler = () => {
      answered += 1;
      return Promise.resolve({ body: EMPTY, payload });
    };
    const limits = { requestsInFlight: 16, unsentBytesHigh: 1024 * 1024, writeStallMs: 300 };
    const { address } = await serve(handler, limits);
    const socket = await byHand(address);
    socket.pause();
    socket.write(concat(PREFACE, requests(1, 500)));
    await telemetry.reaches(1, 'transport.closed', { why: 'write_stall' });
    // The kernel's own buffers take some; the rest stays with the peer that does not read.
    expect(answered).toBeLessThan(100);
  });

  test('what notices may pile up: the connection ends, so that none is lost unnoticed', async () => {
    const { address } = await serve(
      (from, frame) => {
        for (let i = 0; i < 200; i += 1) from.notify({ body: EMPTY, payload: new Uint8Array(64 * 1024) });
        return Promise.resolve(frame);
      },
      { unsentBytesMax: 5 * 1024 * 1024 },
    );
    const channel = await channelTo(address);
    expect(await codeOf(channel.request(frameOf('watch'), PATIENT))).toBe('DISCONNECTED');
    expect(telemetry.of('transport.closed', { end: 'listener', why: 'unsent_bytes' })).toBe(1);
  });

  test('how often one id is asked', async () => {
    let asked = 0;
    const { address } = await serve((_from, frame) => {
      asked += 1;
      return Promise.resolve(frame);
    });
    const socket = await byHand(address);
    socket.write(concat(PREFACE, requests(5, 1), requests(5, 1)));
    await closed(socket);
    expect(asked).toBe(1);
    await telemetry.reaches(1, 'transport.bad_frames', { code: 'BAD_FRAME', fault: 'order' });
  });

  test('the connections of one peer: the oldest goes, other peers keep theirs', async () => {
    const { address } = await serve(echo, { connectionsPerPeer: 2 });
    const other = await byHand(address, 'gateway 2');
    const [first, second] = [await byHand(address), await byHand(address)];
    const gone = closed(first);
    const third = await byHand(address);
    await gone;
    expect([other, second, third].map((socket) => socket.destroyed)).toEqual([false, false, false]);
    expect(telemetry.of('transport.closed', { why: 'superseded' })).toBe(1);
  });

  test('connections in all', async () => {
    const { address } = await serve(echo, { connections: 1 });
    const first = await byHand(address);
    await closed(await byHand(address, 'gateway 2'));
    expect(first.destroyed).toBe(false);
    expect(telemetry.of('transport.refused', { fault: 'connections' })).toBe(1);
  });

  test('handshakes under way: a crowd of silent strangers keeps nobody out', async () => {
    const { address } = await serve(echo, { handshakes: 4 });
    const strangers = Array.from({ length: 20 }, () => connectTcp(portOf(address), '127.0.0.1'));
    for (const stranger of strangers) stranger.on('error', () => stranger.destroy());
    cleanups.push(() => strangers.map((stranger) => stranger.destroy()));
    await telemetry.reaches(16, 'transport.refused', { fault: 'handshake_crowd' });
    expect(await codeOf((await channelTo(address)).request(frameOf('x'), PATIENT))).toBe('answered');
  });

  test('how long an idle connection stays', async () => {
    const { address } = await serve(echo, { idleMs: 100 });
    const socket = await byHand(address);
    socket.write(concat(PREFACE, requests(1, 1)));
    await closed(socket);
    expect(telemetry.of('transport.closed', { end: 'listener', why: 'idle' })).toBe(1);
  });

  test('its port: a second listener is refused with IN_USE', async () => {
    const { address } = await serve(echo);
    const again = listenTls({
      address,
      identity: await identityOf('node'),
      allowedPeers: () => new Set(),
      handler: echo,
      telemetry,
      clock: testClock,
    });
    expect(await codeOf(again)).toBe('IN_USE');
  });
});

describe('the channel bounds', () => {
  test('dialling: after a failure it refuses at once, and after a while it tries again', async () => {
    const listener = await serve(echo);
    await listener.close();
    const channel = await channelTo(listener.address, { backoffMinMs: 200 });
    expect(await codeOf(channel.request(frameOf('x'), PATIENT))).toBe('UNREACHABLE');
    const again = Array.from({ length: 5 }, () => codeOf(channel.request(frameOf('x'), PATIENT)));
    expect(new Set(await Promise.all(again))).toEqual(new Set(['UNREACHABLE']));
    expect(telemetry.of('transport.dial_failures')).toBe(1);
    await testClock.sleep(250);
    expect(await codeOf(channel.request(frameOf('x'), PATIENT))).toBe('UNREACHABLE');
    expect(telemetry.of('transport.dial_failures')).toBe(2);
  });

  test('a failed dial to itself: what is asked right after it has a dial of its own', async () => {
    const { address } = await serve(echo);
    let dials = 0;
    const server = createTcpServer((near) => {
      dials += 1;
      near.on('error', () => near.destroy());
      if (dials === 1) return near.resetAndDestroy();
      const far = connectTcp(portOf(address), '127.0.0.1');
      far.on('error', () => near.destroy());
      near.pipe(far).pipe(near);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    cleanups.push(() => new Promise((resolve) => server.close(resolve)));
    const port = (server.address() as AddressInfo).port;
    const channel = await channelTo(`127.0.0.1:${port}`, { backoffMinMs: 0, backoffMaxMs: 0 });
    expect(await codeOf(channel.request(frameOf('x'), PATIENT))).toBe('UNREACHABLE');
    expect(await codeOf(channel.request(frameOf('x'), PATIENT))).toBe('answered');
    expect(dials).toBe(2);
  });

  test('the time of a dial, also when nobody answers at all', async () => {
    const { address } = await serve(echo);
    const path = await pathTo(address);
    path.stop();
    const channel = await channelTo(path.address, { handshakeMs: 100 });
    expect(await codeOf(channel.request(frameOf('x'), PATIENT))).toBe('UNREACHABLE');
  });

  test('its queue: above, BUSY, and what was queued is answered', async () => {
    const { address } = await serve(echo);
    const channel = await channelTo(address, { queuedRequests: 10 });
    const asked = Array.from({ length: 15 }, () => codeOf(channel.request(frameOf('x'), PATIENT)));
    const codes = await Promise.all(asked);
    expect(codes.filter((code) => code === 'answered').length).toBe(10);
    expect(codes.filter((code) => code === 'BUSY').length).toBe(5);
  });

  test('the silence of a path: it dials anew although the kernel has not noticed', async () => {
    const { address } = await serve(echo);
    const path = await pathTo(address);
    const channel = await channelTo(path.address, { silenceMs: 150 });
    await channel.request(frameOf('x'), PATIENT);
    path.stop();
    const since = performance.now();
    while (telemetry.of('transport.closed', { end: 'channel', why: 'silent' }) === 0) {
      expect(await codeOf(channel.request(frameOf('x'), { timeoutMs: 40 }))).toBe('TIMEOUT');
    }
    expect(performance.now() - since).toBeGreaterThanOrEqual(150);
    path.start();
    expect(await codeOf(channel.request(frameOf('x'), PATIENT))).toBe('answered');
    expect(channel.connection).toBe(2);
  });

  test('idleness, unless somebody listens for notices', async () => {
    const { address } = await serve(echo);
    const idle = await channelTo(address, { idleMs: 100 });
    const watching = await channelTo(address, { idleMs: 100 });
    watching.onNotice(() => undefined);
    await Promise.all([idle, watching].map((channel) => channel.request(frameOf('x'), PATIENT)));
    await testClock.sleep(300);
    expect(telemetry.of('transport.closed', { end: 'channel', why: 'idle' })).toBe(1);
    await Promise.all([idle, watching].map((channel) => channel.request(frameOf('x'), PATIENT)));
    expect([idle.connection, watching.connection]).toEqual([2, 1]);
  });
});
