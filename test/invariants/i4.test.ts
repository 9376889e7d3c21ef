/**
 * I4, linearizability of each key: operations are ordered by stamps, reads after the write they return, and
 * that order agrees with time. What a read returned no later read undercuts; what a write replaced or was
 * replaced by is where it can be seen before anyone is told.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { acknowledgesEverything, failing, slow } from '../../src/sim/adversaries/nodes.ts';
import { replay } from '../../src/sim/adversaries/writers.ts';
import { compareStamps, ZERO_STAMP } from '../../src/protocol/stamp.ts';
import type { Stamp } from '../../src/protocol/stamp.ts';
import { bytesContent, committed, contentOf, getBytes, keyIdOf, put, sameBytes } from '../world/client-world.ts';
import type { TestClient } from '../world/client-world.ts';
import { utf8 } from '../../src/base/bytes.ts';
import type { WriteResult } from '../../src/client/write.ts';
import { all, liars } from '../../src/sim/adversaries/liars.ts';
import type { RawWriter } from '../../src/sim/adversaries/raw-writer.ts';
import { idOf } from '../../src/sim/adversaries/raw-writer.ts';
import { CORRECT, LIAR, Scene } from './scene.ts';

let scene: Scene;
let raw: RawWriter;
beforeAll(async () => {
  scene = await Scene.start();
  raw = scene.raw;
});
afterEach(() => scene.calm());
afterAll(() => scene.stop());

/** A reader that asks all nodes but one, and gives up soon. */
function readerWithout(slot: number, gateway: number): TestClient {
  scene.hears(gateway, [0, 1, 2, 3].filter((other) => other !== slot));
  return scene.client(gateway, { deadlines: { commitMs: 400 } });
}

describe('a read after a read', () => {
  /** Everyone has the old version; of the new one only node 0 has the certificate, and its writer is gone. */
  async function halfWritten(key: string, bytes: Uint8Array | null): Promise<void> {
    const writer = scene.client(0);
    committed(await put(writer, scene.bucket, key, contentOf(`old ${key}`, 100)));
    for (const slot of [1, 2, LIAR]) scene.world.interceptors.set(slot, failing('COMMIT'));
    const content = bytes === null ? { kind: 'tombstone' as const, wrappedKey: new Uint8Array(0), encMeta: utf8('gone') } : bytesContent(bytes).content;
    const result = await put(writer, scene.bucket, key, new Uint8Array(0), { content });
    expect(result.outcome).toBe('unknown');
  }

  it.each([100, 50_000])('I4: returns the same of %i bytes, though the writer died with one certificate out', async (size) => {
    const key = scene.freshKey();
    const bytes = contentOf(key, size);
    await halfWritten(key, bytes);
    scene.world.interceptors.clear();
    expect(sameBytes(await getBytes(readerWithout(LIAR, 1), key), bytes)).toBe(true);
    expect(sameBytes(await getBytes(readerWithout(0, 2), key), bytes)).toBe(true);
  });

  it('I4: finds what the first returned, or the first returned nothing: it waits until c nodes hold it', async () => {
    const key = scene.freshKey();
    const bytes = contentOf(key, 50_000);
    await halfWritten(key, bytes);
    const first = await getBytes(readerWithout(LIAR, 1), key).catch(() => 'gave up' as const);
    const second = await getBytes(readerWithout(0, 2), key);
    expect(first).toBe('gave up');
    expect(sameBytes(second, contentOf(`old ${key}`, 100))).toBe(true);
  });

  it('I4: finds a deleted object deleted, when the first did', async () => {
    const key = scene.freshKey();
    await halfWritten(key, null);
    scene.world.interceptors.clear();
    expect(await getBytes(readerWithout(LIAR, 1), key)).toBeNull();
    expect(await getBytes(readerWithout(0, 2), key)).toBeNull();
  });

  it('I4 (trap H1): never finds what was not certified, however often it looks', async () => {
    const key = scene.freshKey();
    committed(await put(scene.client(0), scene.bucket, key, contentOf('old', 100)));
    await raw.receipts(raw.version({ key, counter: 2 }), [0, 1]);
    for (let look = 0; look < 3; look += 1) {
      expect(sameBytes(await getBytes(scene.client(look), key), contentOf('old', 100))).toBe(true);
    }
  });
});

describe('an overwritten write', () => {
  /**
   * Between its query and its PREPARE another write comes, whose certificate reaches node 0 only; `deaf` takes
   * no certificate from then on.
   */
  async function overwritten(key: string, client: TestClient, deaf: number): Promise<WriteResult> {
    const { content } = bytesContent(contentOf(key, 100), {
      finish: async () => {
        await scene.write(raw.version({ key, counter: 5, kind: 'INLINE' }), CORRECT, [0]);
        for (const slot of [1, 2]) scene.world.interceptors.set(slot, slow(scene.world, 150, 'PREPARE'));
        scene.world.interceptors.set(LIAR, failing('PREPARE', 'COMMIT'));
        if (deaf !== LIAR) scene.world.interceptors.set(deaf, all(slow(scene.world, 150, 'PREPARE'), failing('COMMIT')));
        return utf8('sealed');
      },
    });
    return put(client, scene.bucket, key, new Uint8Array(0), { content });
  }

  it('I4 (trap H8): is acknowledged only when what replaced it can be seen', async () => {
    const key = scene.freshKey();
    const result = committed(await overwritten(key, scene.client(1), LIAR));
    expect(result.superseded).toBe(true);
    scene.world.interceptors.clear();
    const seen = await readerWithout(0, 2).client.head(keyIdOf(key));
    expect(compareStamps(seen?.stamp ?? ZERO_STAMP, result.signed.manifest.stamp)).toBeGreaterThan(0);
  });

  it('I4 (trap H8): is not acknowledged when that cannot be brought about', async () => {
    const result = await overwritten(scene.freshKey(), scene.client(1, { deadlines: { commitMs: 400 } }), 2);
    expect(result).toMatchObject({ outcome: 'rejected', error: { code: 'NO_QUORUM' } });
  });

  it('I4 (6.1): that had only guessed its counter is written above what it met, not before it', async () => {
    const key = scene.freshKey();
    const stamps: Stamp[] = [];
    for (const round of [1, 2, 3]) {
      stamps.push(committed(await put(scene.client(0), scene.bucket, key, contentOf(`${round}`, 100))).signed.manifest.stamp);
    }
    const bytes = contentOf('guessed', 100);
    const result = committed(await put(scene.client(1), scene.bucket, key, bytes, { predecessor: stamps[0] ?? null }));
    expect(result.superseded).toBe(false);
    expect(sameBytes(await getBytes(scene.client(2), key), bytes)).toBe(true);
  });
});

describe('a deleted object', () => {
  it('I4 (trap H10): does not come back when its old certificate is brought again, and can be written anew', async () => {
    const key = scene.freshKey();
    const first = raw.version({ key, counter: 7 });
    const cert = await scene.write(first);
    await scene.write(raw.version({ key, counter: 8, kind: 'TOMBSTONE' }));
    await scene.collected(first);
    scene.world.interceptors.set(LIAR, all(acknowledgesEverything(scene.world, LIAR), liars.forgetful));
    await replay(raw, cert, CORRECT);
    const reader = scene.client(1);
    expect(await getBytes(reader, key)).toBeNull();
    expect((await reader.client.head(keyIdOf(key)))?.signed.manifest.kind).toBe('TOMBSTONE');
    const bytes = contentOf('anew', 100);
    expect(committed(await put(reader, scene.bucket, key, bytes)).signed.manifest.stamp.counter).toBe(9);
    expect(sameBytes(await getBytes(scene.client(2), key), bytes)).toBe(true);
  });
});

describe('operations that overlap', () => {
  interface Operation {
    readonly what: 'read' | 'write';
    readonly began: number;
    readonly ended: number;
    /** Of what was written or read; a write that was overwritten stands just below it. */
    readonly stamp: Stamp;
    readonly isJustBelow: boolean;
  }

  /** Two reads may be of one version, and a write may stand with what replaced it; else later is higher. */
  function contradicts(earlier: Operation, later: Operation): boolean {
    const order = compareStamps(later.stamp, earlier.stamp);
    if (order !== 0) return order < 0;
    return later.what === 'write' && !(earlier.isJustBelow && later.isJustBelow);
  }

  it('I4: order by stamp as they follow in time, with a node that shows the oldest it has', async () => {
    const key = scene.freshKey();
    scene.world.interceptors.set(LIAR, liars.stale());
    scene.world.interceptors.set(1, slow(scene.world, 5));
    const history: Operation[] = [];
    let tick = 0;
    const note = async (what: Operation['what'], act: () => Promise<{ readonly stamp: Stamp; readonly isJustBelow: boolean } | null>): Promise<void> => {
      const began = (tick += 1);
      const done = await act();
      if (done !== null) history.push({ what, began, ended: (tick += 1), ...done });
    };
    const clients = [0, 1, 2].map((gateway) => scene.client(gateway));
    await Promise.all(
      clients.map(async (client, gateway) => {
        for (let turn = 0; turn < 6; turn += 1) {
          await note('write', async () => {
            const result = await put(client, scene.bucket, key, contentOf(`${gateway} ${turn}`, 60));
            if (result.outcome !== 'committed') return null;
            const { manifest } = (result.superseded ? result.cert : result).signed;
            return { stamp: manifest.stamp, isJustBelow: result.superseded };
          });
          await note('read', async () => {
            const version = await client.client.head(idOf(key));
            return { stamp: version?.stamp ?? ZERO_STAMP, isJustBelow: false };
          });
        }
      }),
    );
    expect(history.length).toBeGreaterThan(24);
    const wrong = history.flatMap((earlier) =>
      history.filter((later) => earlier.ended < later.began && contradicts(earlier, later)).map((later) => [earlier, later]),
    );
    expect(wrong).toEqual([]);
  });
});
