/** The network in memory: the contract of the Transport port, and what tests do to its links. */
import { describe, expect, test } from 'vitest';
import { fromUtf8 } from '../base/bytes.ts';
import type { Channel, Clock } from '../base/ports.ts';
import { codeOf, frameOf, transportContract } from '../platform/transport.contract.ts';
import type { TransportWorld } from '../platform/transport.contract.ts';
import { testClock } from '../platform/tls-world.contract.ts';
import { MemoryNetwork } from './memory-transport.ts';
import type { MemoryListener } from './memory-transport.ts';

function makeMemoryWorld(latencyMs: number): () => Promise<TransportWorld> {
  return () => {
    const network = new MemoryNetwork({ clock: testClock, latencyMs: () => latencyMs, drainMs: 100 });
    const listeners: MemoryListener[] = [];
    let nextPort = 1;
    const keyOf = (name: string): string => Buffer.from(name.padEnd(32)).toString('hex');
    return Promise.resolve({
      key: (name) => Promise.resolve(keyOf(name)),
      listen: async ({ name, allowed, handler, address }) => {
        const keys = new Set(allowed.map(keyOf));
        const listener = await network.listen({
          name,
          address: address ?? `memory:${nextPort}`,
          key: keyOf(name),
          allowedPeers: () => keys,
          handler,
        });
        nextPort += 1;
        listeners.push(listener);
        return listener;
      },
      transport: (name) => Promise.resolve(network.transport(name, keyOf(name))),
      close: async () => {
        await Promise.all(listeners.map((listener) => listener.close()));
      },
    });
  };
}

transportContract('memory without latency', makeMemoryWorld(0));
transportContract('memory with 2 ms of latency', makeMemoryWorld(2));

/** Time that passes only when the test says so; equal times in the order of asking. */
class ManualClock implements Clock {
  #now = 0;
  #timers: { readonly at: number; readonly action: () => void }[] = [];

  nowMs(): number {
    return this.#now;
  }

  monotonicMs(): number {
    return this.#now;
  }

  after(delayMs: number, action: () => void): { cancel(): void } {
    const timer = { at: this.#now + delayMs, action };
    this.#timers.push(timer);
    return {
      cancel: () => {
        this.#timers = this.#timers.filter((other) => other !== timer);
      },
    };
  }

  sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => this.after(delayMs, resolve));
  }

  async pass(ms: number): Promise<void> {
    const end = this.#now + ms;
    for (;;) {
      await new Promise((resolve) => setImmediate(resolve));
      const due = this.#timers.filter((timer) => timer.at <= end).sort((a, b) => a.at - b.at)[0];
      if (due === undefined) break;
      this.#timers = this.#timers.filter((timer) => timer !== due);
      this.#now = due.at;
      due.action();
    }
    this.#now = end;
  }
}

interface Pair {
  readonly clock: ManualClock;
  readonly network: MemoryNetwork;
  readonly channel: Channel;
  /** What happened, with its time. */
  readonly log: string[];
  ask(body: string, timeoutMs?: number): void;
}

async function makePair(): Promise<Pair> {
  const clock = new ManualClock();
  const network = new MemoryNetwork({ clock, latencyMs: (_from, _to, bytes) => (bytes > 100 ? 50 : 10) });
  const log: string[] = [];
  await network.listen({
    name: 'node',
    address: 'memory:node',
    key: 'aa',
    allowedPeers: () => new Set(['bb']),
    handler: (_from, frame) => {
      log.push(`${clock.nowMs()} node got ${fromUtf8(frame.body).slice(0, 10)}`);
      return Promise.resolve(frameOf('ok'));
    },
  });
  const channel = network.transport('gateway', 'bb').open('memory:node', 'aa');
  const ask = (body: string, timeoutMs = 1000): void => {
    void codeOf(channel.request(frameOf(body), { timeoutMs })).then((code) =>
      log.push(`${clock.nowMs()} ${body.slice(0, 10)}: ${code}`),
    );
  };
  return { clock, network, channel, log, ask };
}

describe('the links of the network in memory', () => {
  test('take the time that they are given, and the time is the clock port', async () => {
    const { clock, log, ask } = await makePair();
    ask('one');
    await clock.pass(100);
    // Two ways for the dial, two for the request.
    expect(log).toEqual(['30 node got one', '40 one: answered']);
  });

  test('keep the order of messages although a later one is quicker', async () => {
    const { clock, log, ask } = await makePair();
    ask('large'.repeat(100));
    ask('small');
    await clock.pass(200);
    const got = log.filter((line) => line.includes('node got'));
    expect(got).toEqual(['70 node got largelarge', '70 node got small']);
  });

  test('held back, let nothing through until they pass, then everything in order', async () => {
    const { clock, network, log, ask } = await makePair();
    ask('zero');
    await clock.pass(100);
    network.hold('node', 'gateway');
    ask('one');
    ask('two');
    await clock.pass(500);
    expect(log.slice(2)).toEqual(['110 node got one', '110 node got two']);
    network.pass('node', 'gateway');
    await clock.pass(100);
    expect(log.slice(4)).toEqual(['610 one: answered', '610 two: answered']);
  });

  test('dropping, lose one direction only: the request is carried out and times out', async () => {
    const { clock, network, channel, log, ask } = await makePair();
    ask('zero');
    await clock.pass(100);
    network.drop('node', 'gateway');
    ask('one', 200);
    await clock.pass(300);
    expect(log.slice(2)).toEqual(['110 node got one', '300 one: TIMEOUT']);
    network.pass('node', 'gateway');
    ask('two');
    await clock.pass(100);
    expect(log.at(-1)).toBe('420 two: answered');
    expect(channel.connection).toBe(1);
  });

  test('cut, end the connections and let none arise; healed, they carry a new one', async () => {
    const { clock, network, channel, log, ask } = await makePair();
    ask('zero');
    await clock.pass(100);
    ask('one');
    await clock.pass(5);
    network.cut('gateway', 'node');
    await clock.pass(1);
    ask('two');
    await clock.pass(100);
    expect(log.slice(2)).toEqual(['105 one: DISCONNECTED', '106 two: UNREACHABLE']);
    network.heal('node', 'gateway');
    ask('three');
    await clock.pass(100);
    expect(log.at(-1)).toBe('246 three: answered');
    expect(channel.connection).toBe(2);
  });

  test('a process that is killed is gone at once, with its listener', async () => {
    const { clock, network, log, ask } = await makePair();
    ask('zero');
    await clock.pass(100);
    ask('one');
    network.kill('node');
    await clock.pass(1);
    ask('two');
    await clock.pass(1);
    expect(log.slice(2)).toEqual(['100 one: DISCONNECTED', '101 two: UNREACHABLE']);
  });

  test('a dial whose messages vanish ends as UNREACHABLE, for nothing was sent', async () => {
    const { clock, network, log, ask } = await makePair();
    network.drop('gateway', 'node');
    ask('one', 60_000);
    await clock.pass(60_000);
    expect(log).toEqual(['10000 one: UNREACHABLE']);
  });

  test('the same run twice gives the same log', async () => {
    const run = async (): Promise<string[]> => {
      const { clock, network, log, ask } = await makePair();
      for (let i = 0; i < 20; i += 1) ask(`${i} ${'x'.repeat((i * 37) % 200)}`);
      await clock.pass(35);
      network.hold('gateway', 'node');
      for (let i = 20; i < 30; i += 1) ask(`${i}`);
      await clock.pass(40);
      network.pass('gateway', 'node');
      await clock.pass(2000);
      return log;
    };
    const first = await run();
    expect(first.length).toBe(60);
    expect(await run()).toEqual(first);
  });
});
