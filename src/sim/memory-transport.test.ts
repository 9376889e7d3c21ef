/** The network in memory: the contract of the Transport port, and what tests do to its links. */
import { transportContract } from '../platform/transport.contract.ts';
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
