/**
 * What the tests of the TLS transport share: a real clock, a Telemetry that remembers its counts, identities
 * from fixed seeds, and the world of processes that the contract suite runs in.
 */
import { createHash } from 'node:crypto';
import type { TransportLimits } from '../base/limits.ts';
import type { Clock, Labels, PeerKey, Telemetry } from '../base/ports.ts';
import { SystemClock } from './clock.ts';
import { makeTlsIdentity } from './tls-identity.ts';
import type { TlsIdentity } from './tls-identity.ts';
import { listenTls } from './tls-listener.ts';
import type { TlsListener } from './tls-listener.ts';
import { TlsTransport } from './tls-transport.ts';
import type { TransportWorld } from './transport.contract.ts';

export const testClock: Clock = new SystemClock();

export class CountingTelemetry implements Telemetry {
  readonly #counts: { readonly name: string; readonly labels: Labels }[] = [];

  count(name: string, labels: Labels = {}): void {
    this.#counts.push({ name, labels });
  }

  event(): void {
    // Events are for people; the tests look at the counts.
  }

  /** How often `name` was counted with at least these labels. */
  of(name: string, labels: Labels = {}): number {
    const wanted = Object.entries(labels);
    return this.#counts.filter(
      (entry) => entry.name === name && wanted.every(([key, value]) => entry.labels[key] === value),
    ).length;
  }

  /** Resolves when `name` was counted so often; rejects after five seconds. */
  async reaches(times: number, name: string, labels: Labels = {}): Promise<void> {
    const deadline = performance.now() + 5_000;
    while (this.of(name, labels) < times) {
      if (performance.now() > deadline) {
        throw new Error(`not counted: ${JSON.stringify({ name, labels, counts: this.#counts })}`);
      }
      await testClock.sleep(5);
    }
  }
}

export function seedOf(name: string): Uint8Array {
  return createHash('sha256').update(`seed of ${name}`).digest();
}

const identities = new Map<string, Promise<TlsIdentity>>();

/** The same name always has the same key. */
export function identityOf(name: string): Promise<TlsIdentity> {
  const known = identities.get(name) ?? makeTlsIdentity({ seed: seedOf(name), commonName: name });
  identities.set(name, known);
  return known;
}

export async function keyOf(name: string): Promise<PeerKey> {
  return (await identityOf(name)).peerKey;
}

/** Limits under which the contract's listeners close soon and failed dials may be tried again at once. */
const QUICK: Partial<TransportLimits> = { drainMs: 100, backoffMinMs: 1, backoffMaxMs: 1 };

export function makeTlsWorld(): Promise<TransportWorld> {
  const telemetry = new CountingTelemetry();
  const transports: TlsTransport[] = [];
  const listeners: TlsListener[] = [];
  return Promise.resolve({
    key: keyOf,
    listen: async ({ name, allowed, handler, address }) => {
      const keys = new Set(await Promise.all(allowed.map(keyOf)));
      const listener = await listenTls({
        address: address ?? '127.0.0.1:0',
        identity: await identityOf(name),
        allowedPeers: () => keys,
        handler,
        telemetry,
        clock: testClock,
        limits: QUICK,
      });
      listeners.push(listener);
      return listener;
    },
    transport: async (name) => {
      const transport = new TlsTransport({
        identity: await identityOf(name),
        telemetry,
        clock: testClock,
        limits: QUICK,
      });
      transports.push(transport);
      return transport;
    },
    close: async () => {
      await Promise.all(transports.map((transport) => transport.close()));
      await Promise.all(listeners.map((listener) => listener.close()));
    },
  });
}
