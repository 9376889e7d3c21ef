import { describe, expect, it } from 'vitest';
import { utf8 } from '../base/bytes.ts';
import type { Telemetry } from '../base/ports.ts';
import { sha256, signingKeyFromSeed, verifySignature } from '../crypto/primitives.ts';
import { logOrigin, signCheckpoint } from '../log/checkpoint.ts';
import type { SignedCheckpoint } from '../log/checkpoint.ts';
import { ed25519Signer, ed25519Verifier } from '../log/signed-note.ts';
import { LogTail } from '../log/tail.ts';
import { LeafStore } from '../merkle/leaf-store.ts';
import { leafHash } from '../merkle/tree.ts';
import { SystemClock } from '../platform/clock.ts';
import type { Cluster } from '../protocol/configuration.ts';
import { FaultyDisk } from '../sim/faulty-disk.ts';
import { WitnessMemory } from './witness-memory.ts';

const telemetry: Telemetry = { count: () => undefined, event: () => undefined };
const clusterId = sha256(utf8('cluster'));
const nodeId = sha256(utf8('node'));
const key = signingKeyFromSeed(sha256(utf8('signing key')));
const origin = logOrigin(clusterId, nodeId);
const signer = ed25519Signer(origin, key);
const verifier = ed25519Verifier(origin, key.publicKey, verifySignature);
const slot = { slot: 0, nodeId, signingKey: key.publicKey };
const cluster = { id: clusterId, slots: [slot], slotAt: () => slot } as unknown as Cluster;

function logOf(what: string, size: number): LeafStore {
  const store = new LeafStore();
  for (let i = 0; i < size; i += 1) store.append(leafHash(utf8(`${what} ${i}`)));
  return store;
}

const checkpointOf = (log: LeafStore, size: number): SignedCheckpoint =>
  signCheckpoint({ origin, size, root: log.root(size), nonce: null }, signer);

function open(disk: FaultyDisk): Promise<WitnessMemory> {
  return WitnessMemory.open({ disk, clock: new SystemClock(), telemetry, cluster });
}

/** A memory that has seen the honest log up to 60 entries, in a new process. */
async function remembering(): Promise<{ readonly disk: FaultyDisk; readonly tail: LogTail }> {
  const disk = new FaultyDisk();
  const seen = new LogTail(origin);
  const honest = logOf('honest', 80);
  expect(seen.accept(honest.leaves(0, 60), checkpointOf(honest, 60)).ok).toBe(true);
  const memory = await open(disk);
  await memory.save(() => Promise.resolve(seen.serialise()));
  const next = disk.powerCycle();
  const tail = LogTail.parse((await open(next)).start(0) ?? utf8(''), verifier);
  if (tail === null) throw new Error('nothing was remembered');
  return { disk: next, tail };
}

describe('the witness memory', () => {
  it('lets a log be read from its first entry, and knows how far it was seen', async () => {
    const { tail } = await remembering();
    expect([tail.size, tail.highest?.checkpoint.size]).toEqual([0, 60]);
    const honest = logOf('honest', 80);
    expect(tail.accept(honest.leaves(0, 80), checkpointOf(honest, 80))).toMatchObject({ ok: true, to: 80 });
  });

  it('notices another history and a shorter one, although the index is new', async () => {
    const other = logOf('other', 80);
    const { tail } = await remembering();
    expect(tail.accept(other.leaves(0, 80), checkpointOf(other, 80))).toMatchObject({
      ok: false,
      fault: 'forked',
    });
    const honest = logOf('honest', 50);
    expect(tail.accept(honest.leaves(0, 50), checkpointOf(honest, 50))).toMatchObject({
      ok: false,
      fault: 'rolled-back',
    });
  });

  it('begins anew when it is damaged or has seen nothing', async () => {
    const { disk } = await remembering();
    disk.flip('witness/slot-0', 20);
    expect((await open(disk)).start(0)).toBeUndefined();
    expect((await open(new FaultyDisk())).start(0)).toBeUndefined();
    const empty = await open(new FaultyDisk());
    await empty.save(() => Promise.resolve(new LogTail(origin).serialise()));
    expect(empty.start(0)).toBeUndefined();
  });
});
