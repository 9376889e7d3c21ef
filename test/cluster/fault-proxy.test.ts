/** The proxy itself, between the transport and the listener that ship: each fault is really done, and TLS refuses what is damaged. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { utf8 } from '../../src/base/bytes.ts';
import type { Channel, Frame } from '../../src/base/ports.ts';
import { processTelemetry } from '../../src/cli/process-telemetry.ts';
import { systemClock } from '../../src/cli/system-ports.ts';
import { makeTlsIdentity } from '../../src/platform/tls-identity.ts';
import type { TlsIdentity } from '../../src/platform/tls-identity.ts';
import { listenTls } from '../../src/platform/tls-listener.ts';
import type { TlsListener } from '../../src/platform/tls-listener.ts';
import { TlsTransport } from '../../src/platform/tls-transport.ts';
import { SeededRandom } from '../../src/sim/seeded-random.ts';
import { contentOf } from '../show/contents.ts';
import { FaultProxy } from './fault-proxy.ts';
import { DIRECTIONS, WOUNDS } from './faulty-stream.ts';
import { until } from './programs.ts';
import { canTellWhoDialled, whoDialled } from './who-dialled.ts';

const ANSWER_MS = 5_000;
const PAYLOAD = contentOf('payload', 20_000);

let listener: TlsListener;
/** Another one with a key of its own. */
let stranger: TlsListener;
let transport: TlsTransport;
let proxy: FaultProxy;
let channel: Channel;
/** What the listener was asked, in order. */
const asked: string[] = [];

beforeAll(async () => {
  const telemetry = processTelemetry({ process: 'test', level: 'error' });
  const server = await makeTlsIdentity({ seed: new Uint8Array(32).fill(1), commonName: 'server' });
  const client = await makeTlsIdentity({ seed: new Uint8Array(32).fill(2), commonName: 'client' });
  const listen = (identity: TlsIdentity): Promise<TlsListener> =>
    listenTls({
      address: '127.0.0.1:0',
      identity,
      allowedPeers: () => new Set([client.peerKey]),
      handler: (_, frame) => {
        asked.push(Buffer.from(frame.body).toString());
        return Promise.resolve(frame);
      },
      telemetry,
      clock: systemClock,
    });
  listener = await listen(server);
  stranger = await listen(await makeTlsIdentity({ seed: new Uint8Array(32).fill(3), commonName: 'stranger' }));
  proxy = await FaultProxy.start({
    target: () => Number(listener.address.split(':')[1]),
    stranger: () => Number(stranger.address.split(':')[1]),
    nameOf: (from, to) => whoDialled(from, to, new Map([['me', process.pid]])) ?? 'nobody',
    random: new SeededRandom('the proxy'),
  });
  transport = new TlsTransport({ identity: client, telemetry, clock: systemClock });
  channel = transport.open(proxy.address, server.peerKey);
});
afterEach(() => proxy.link('me').heal());
afterAll(async () => {
  await transport.close();
  await proxy.close();
  await listener.close();
  await stranger.close();
});

/** Asks for the same bytes back. */
function ask(name: string, timeoutMs: number = ANSWER_MS): Promise<Frame> {
  return channel.request({ body: utf8(name), payload: PAYLOAD }, { timeoutMs });
}

async function expectAnswer(name: string): Promise<void> {
  const answer = await ask(name);
  expect(Buffer.from(answer.body).toString()).toBe(name);
  expect(Buffer.from(answer.payload).equals(PAYLOAD)).toBe(true);
}

/** Asks until there is an answer: after a failed dial a channel refuses for a while. */
async function expectRecovery(): Promise<void> {
  await until('it is answered again', () => ask('again').then(() => true, () => false), ANSWER_MS);
}

describe.runIf(canTellWhoDialled)('the fault proxy', () => {
  it('passes everything while there is no fault, by the link of who dialled', async () => {
    await expectAnswer('calm');
    expect(proxy.link('me').connectionCount).toBe(1);
    expect(proxy.link('nobody').connectionCount).toBe(0);
  });

  it.each(WOUNDS.flatMap((wound) => DIRECTIONS.map((direction) => [wound, direction] as const)))(
    'bytes that are %s on the way %s end the connection, and no answer comes of them',
    async (wound, direction) => {
      await expectAnswer('before');
      const before = { ...proxy.counts };
      proxy.link('me').wound(wound, direction);
      await expect(ask('wounded')).rejects.toMatchObject({ code: 'DISCONNECTED' });
      if (direction === 'there') expect(asked).not.toContain('wounded');
      else asked.splice(asked.indexOf('wounded'), 1);
      expect(proxy.counts[wound]).toBe(before[wound] + 1);
      expect(proxy.counts.wounded).toBe(before.wounded + 1);
      await until('the receiver has ended it', () => proxy.counts.woundsNoticed === before.woundsNoticed + 1);
      await expectRecovery();
      expect(proxy.link('me').woundedCount).toBe(0);
    },
  );

  it('delays, and lets little through', async () => {
    await expectAnswer('before');
    proxy.link('me').change({ delayMs: 100, jitterMs: 50 });
    const from = performance.now();
    await expectAnswer('late');
    expect(performance.now() - from).toBeGreaterThan(200);
    proxy.link('me').heal();
    proxy.link('me').change({ bytesPerSecond: 100_000 });
    const again = performance.now();
    await expectAnswer('first');
    await expectAnswer('second');
    expect(performance.now() - again).toBeGreaterThan(400);
    expect(proxy.counts.delayedPieces).toBeGreaterThan(1);
  });

  it.each(DIRECTIONS)('is silent on the way %s, and delivers what it held when it thaws', async (direction) => {
    await expectAnswer('before');
    proxy.link('me').silence(direction);
    const held = ask(`held ${direction}`);
    await expect(ask(`given up ${direction}`, 300)).rejects.toMatchObject({ code: 'TIMEOUT' });
    expect(asked.includes(`held ${direction}`)).toBe(direction === 'back');
    proxy.link('me').thaw();
    expect(Buffer.from((await held).body).toString()).toBe(`held ${direction}`);
    expect(asked).toContain(`given up ${direction}`);
  });

  it.each(['reset', 'end'] as const)('cuts what runs by %s, and refuses what is dialled', async (how) => {
    await expectAnswer('before');
    const { cut, refused } = proxy.counts;
    proxy.link('me').silence('back');
    const lost = expect(ask(`lost by ${how}`)).rejects.toMatchObject({ code: 'DISCONNECTED' });
    await until('it has been asked', () => asked.includes(`lost by ${how}`));
    proxy.link('me').change({ isRefusing: true });
    proxy.link('me').cut(how);
    await lost;
    await expect(ask('refused')).rejects.toMatchObject({ code: 'UNREACHABLE' });
    expect(proxy.counts).toMatchObject({ cut: cut + 1, refused: refused + 1 });
    proxy.link('me').heal();
    await expectRecovery();
  });

  it('misroutes: another process answers, and is told nothing', async () => {
    await expectAnswer('before');
    proxy.link('me').change({ isMisrouted: true });
    proxy.link('me').cut();
    const isForeign = (error: { code?: string }): boolean => error.code === 'FOREIGN_PEER';
    await until('the stranger is seen', () => ask('for another').then(() => false, isForeign), ANSWER_MS);
    expect(asked).not.toContain('for another');
    expect(proxy.counts.misrouted).toBeGreaterThan(0);
    proxy.link('me').heal();
    await expectRecovery();
  });

  it('delivers messages of an old connection behind those of a newer one', async () => {
    await expectAnswer('before');
    const late = proxy.link('me').delayPast(100, 500);
    await expect(ask('old')).rejects.toMatchObject({ code: 'DISCONNECTED' });
    await expectAnswer('new');
    await late;
    await until('the old message has come', () => asked.includes('old'));
    expect(asked.indexOf('old')).toBeGreaterThan(asked.indexOf('new'));
    expect(proxy.counts.lateBytes).toBeGreaterThan(PAYLOAD.length);
  });
});
