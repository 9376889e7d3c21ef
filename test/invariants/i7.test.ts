/**
 * I7, single application: one user operation becomes at most one certified manifest. A stamp is used for one
 * manifest; the receipts of an attempt that was given up are thrown away for good, written down as such
 * before the next attempt, and nobody else can collect them.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { failing, signsEverything, slow } from '../../src/sim/adversaries/nodes.ts';
import { gatherReceipts } from '../../src/sim/adversaries/writers.ts';
import { equal, hex } from '../../src/base/bytes.ts';
import { decodeEntry } from '../../src/log/entry-types.ts';
import { decodeCommitted } from '../../src/protocol/log-entries.ts';
import type { Attempt } from '../../src/client/attempts.ts';
import { clientOf, committed, contentOf, getBytes, keyIdOf, MemoryJournal, put, sameBytes } from '../world/client-world.ts';
import { watching } from '../../src/sim/adversaries/liars.ts';
import type { RawWriter } from '../../src/sim/adversaries/raw-writer.ts';
import { ALL, CORRECT, LIAR, Scene } from './scene.ts';

let scene: Scene;
let raw: RawWriter;
beforeAll(async () => {
  scene = await Scene.start();
  raw = scene.raw;
});
afterEach(() => scene.calm());
afterAll(() => scene.stop());

/** Hashes of all manifests of a key that any correct node has ever held a certificate of. */
async function everCertified(key: string): Promise<Set<string>> {
  const hashes = new Set<string>();
  for (const slot of CORRECT) {
    for (const leaf of await raw.leaves(slot)) {
      const entry = decodeEntry(leaf);
      if (entry?.type !== 'COMMITTED') continue;
      const body = decodeCommitted(entry.body);
      if (body.ok && equal(body.value.keyId, keyIdOf(key))) hashes.add(hex(body.value.manifestHash));
    }
  }
  return hashes;
}

/** What a journal was told, in order. It takes its time, as a disk does. */
class TellingJournal extends MemoryJournal {
  readonly told: string[] = [];

  override async begin(attempt: Attempt): Promise<void> {
    await scene.world.clock.sleep(20);
    this.told.push(`begin ${hex(attempt.manifestHash)}`);
    await super.begin(attempt);
  }

  override async abandoned(attempt: Attempt): Promise<void> {
    await scene.world.clock.sleep(100);
    this.told.push(`abandoned ${hex(attempt.manifestHash)}`);
    await super.abandoned(attempt);
  }
}

/** A write with a guessed counter that one node refuses, because it alone knows of a later version; the others are late. */
async function guessedTooLow(key: string) {
  const older = raw.version({ key, counter: 1 });
  await scene.write(older, CORRECT, ALL);
  await scene.write(raw.version({ key, counter: 5 }), CORRECT, [0]);
  for (const slot of [1, 2, LIAR]) scene.world.interceptors.set(slot, slow(scene.world, 60, 'PREPARE'));
  const journal = new TellingJournal();
  const client = scene.client(1, { journal });
  const result = committed(await put(client, scene.bucket, key, contentOf(key, 3000), { predecessor: older.signed.manifest.stamp }));
  // The receipts of the first attempt have come by now.
  await scene.world.clock.sleep(150);
  return { result, journal };
}

describe('a write that begins again', () => {
  it('I7 (trap H8): never publishes the attempt that it gave up, also when its receipts come late', async () => {
    const key = scene.freshKey();
    const { result, journal } = await guessedTooLow(key);
    const attempts = journal.begun.map(({ manifestHash }) => hex(manifestHash));
    expect(attempts).toHaveLength(2);
    const certified = await everCertified(key);
    expect(attempts.filter((hash) => certified.has(hash))).toEqual([hex(result.signed.hash)]);
  });

  it('I7: has the first attempt written down as given up before the second begins', async () => {
    const { journal } = await guessedTooLow(scene.freshKey());
    const [first, second] = journal.begun.map(({ manifestHash }) => hex(manifestHash));
    expect(journal.told).toEqual([`begin ${first}`, `abandoned ${first}`, `begin ${second}`]);
  });
});

describe('an attempt', () => {
  it('I7: is written down before any node hears of it', async () => {
    const journal = new TellingJournal();
    const known: boolean[] = [];
    for (const slot of ALL) {
      const watch = watching(({ t }) => {
        if (t === 'PREPARE') known.push(journal.begun.length > 0);
      });
      scene.world.interceptors.set(slot, watch);
    }
    committed(await put(scene.client(1, { journal }), scene.bucket, scene.freshKey(), contentOf('a', 100)));
    expect(known.length).toBeGreaterThanOrEqual(3);
    expect(known).not.toContain(false);
  });

  it('I7: never shares its stamp with another of the same process', async () => {
    const client = scene.client(1);
    const key = scene.freshKey();
    const results = await Promise.all(
      ['a', 'b', 'c'].map((name) => put(client, scene.bucket, key, contentOf(name, 100), { predecessor: null })),
    );
    for (const result of results) committed(result);
    const stamps = client.journal.begun.map(({ stamp }) => stamp.counter);
    expect(new Set(stamps).size).toBe(stamps.length);
    expect(client.evidence).toEqual([]);
  });

  it('I7 (trap H7): never shares its stamp with one of another process of the same gateway', async () => {
    const key = scene.freshKey();
    const processes = [clientOf(scene.world, 1), clientOf(scene.world, 1)];
    try {
      const results = await Promise.all(
        processes.map((client, i) => put(client, scene.bucket, key, contentOf(`process ${i}`, 100), { predecessor: null })),
      );
      for (const result of results) committed(result);
      const [one, other] = processes.map(({ journal }) => journal.begun[0]?.stamp);
      expect(one?.counter).toBe(other?.counter);
      expect(one?.writerId).not.toEqual(other?.writerId);
      expect(processes.flatMap(({ evidence }) => evidence)).toEqual([]);
    } finally {
      await Promise.all(processes.map(({ client }) => client.close()));
    }
  });

  it('I7: gives its receipts to nobody but its own gateway', async () => {
    scene.world.interceptors.set(LIAR, signsEverything(scene.world, LIAR));
    const version = raw.version({ key: scene.freshKey(), counter: 1 });
    const thief = scene.writer(1, 'thief');
    expect((await gatherReceipts(thief, version, ALL)).map(({ slot }) => slot)).toEqual([LIAR]);
    expect((await gatherReceipts(raw, version, CORRECT)).map(({ slot }) => slot)).toEqual(CORRECT);
  });

  it('I7: that was given up is let go, and not completed behind the back of its writer', async () => {
    const key = scene.freshKey();
    for (const slot of [2, LIAR]) scene.world.interceptors.set(slot, failing('PREPARE', 'RESOLVE'));
    const client = scene.client(1);
    const result = await put(client, scene.bucket, key, contentOf(key, 3000));
    expect(result.outcome).toBe('rejected');
    const [attempt] = client.journal.abandonedAttempts;
    if (attempt === undefined) throw new Error('no attempt was given up');
    scene.world.interceptors.clear();
    expect((await scene.client(2).client.resolve(attempt.keyId, attempt.stamp, 'release')).outcome).toBe('undecided');
    expect(await getBytes(scene.client(2), key)).toBeNull();
    expect(await everCertified(key)).toEqual(new Set());
    const again = contentOf('again', 100);
    committed(await put(client, scene.bucket, key, again));
    expect(sameBytes(await getBytes(scene.client(2), key), again)).toBe(true);
  });
});
