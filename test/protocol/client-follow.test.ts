import { afterEach, describe, expect, it } from 'vitest';
import { EMPTY, hex } from '../../src/base/bytes.ts';
import type { LogFollower } from '../../src/client/follow.ts';
import { logOrigin, signCheckpoint } from '../../src/log/checkpoint.ts';
import { ed25519Signer } from '../../src/log/signed-note.ts';
import type { CommittedBody } from '../../src/protocol/log-entries.ts';
import { decodeAnswer, decodeRequest, encodeAnswer } from '../../src/protocol/messages.ts';
import {
  clientOf,
  committed,
  contentOf,
  keyIdOf,
  put,
  putRecord,
  recordOf,
} from '../world/client-world.ts';
import type { TestClient } from '../world/client-world.ts';
import { holdingAnswers, swallowing } from '../../src/sim/adversaries/liars.ts';
import { seededKey } from '../../src/sim/members.ts';
import { World } from '../world/world.ts';
import type { Interceptor } from '../../src/sim/adversaries/stage.ts';

const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function start() {
  const world = await World.start();
  cleanups.push(() => world.stop());
  const open = (amend: Parameters<typeof clientOf>[2] = {}) => {
    const opened = clientOf(world, 0, amend);
    cleanups.push(() => opened.client.close());
    return opened;
  };
  const writer = open();
  const bucket = await putRecord(world, writer, recordOf(world, 'followed'));
  return { world, writer, bucket, open };
}

/** A follower with what it has handed out so far, by key. */
function following({ client }: TestClient, saved?: ReadonlyMap<number, Uint8Array>) {
  const entries: { readonly slot: number; readonly entry: CommittedBody }[] = [];
  const follower = client.follow((slot, taken) => void entries.push(...taken.map((entry) => ({ slot, entry }))), saved);
  const slotsOf = (key: string): number[] =>
    entries.filter(({ entry }) => hex(entry.keyId) === hex(keyIdOf(key))).map(({ slot }) => slot).sort();
  return { follower, entries, slotsOf };
}

function saved(follower: LogFollower): Map<number, Uint8Array> {
  return new Map([0, 1, 2, 3].map((slot) => [slot, follower.serialise(slot) ?? EMPTY]));
}

/** Waits for all logs, as far as they can be followed; the gateway's waits for q. */
async function barrier(follower: LogFollower): Promise<ReadonlySet<number>> {
  const verdicts = await Promise.all([0, 1, 2, 3].map((slot) => follower.fresh(slot)));
  return new Set(verdicts.filter(({ ok }) => ok).map(({ slot }) => slot));
}

describe('a barrier over the logs', () => {
  it('shows every write that was acknowledged before it, whichever node is away', async () => {
    const { world, writer, bucket, open } = await start();
    const lister = open();
    const { follower, slotsOf } = following(lister);
    for (let round = 0; round < 8; round += 1) {
      const dead = round % 4;
      const key = `key ${round}`;
      committed(await put(writer, bucket, key, contentOf(key, 20)));
      await world.kill(dead);
      expect((await barrier(follower)).size).toBeGreaterThanOrEqual(3);
      expect(slotsOf(key).length).toBeGreaterThan(0);
      await world.restart(dead);
    }
    const [found] = await lister.client.certificates([
      { keyId: keyIdOf('key 3'), stamp: { gen: 1, counter: 1, writerId: new Uint8Array(16) }, slots: slotsOf('key 3') },
    ]);
    expect(found?.signed.manifest.keyId).toEqual(keyIdOf('key 3'));
  });

  it('hands each entry out once, also after a restart from what was saved', async () => {
    const { writer, bucket, open } = await start();
    const first = following(open());
    committed(await put(writer, bucket, 'a', contentOf('a', 20)));
    await writer.client.close();
    await Promise.all([0, 1, 2, 3].map((slot) => first.follower.fresh(slot)));
    expect(first.slotsOf('a')).toEqual([0, 1, 2, 3]);
    const again = following(open(), saved(first.follower));
    const other = open();
    committed(await put(other, bucket, 'b', contentOf('b', 20)));
    await other.client.close();
    await Promise.all([0, 1, 2, 3].map((slot) => again.follower.fresh(slot)));
    expect(again.slotsOf('a')).toEqual([]);
    expect(again.slotsOf('b')).toEqual([0, 1, 2, 3]);
    const fromNothing = following(open(), new Map([[0, Uint8Array.of(1, 2, 3)]]));
    await fromNothing.follower.fresh(0);
    expect(fromNothing.slotsOf('a')).toEqual([0]);
  });

  it('that begins while another is under way waits for checkpoints of its own', async () => {
    const { world, writer, bucket, open } = await start();
    const lister = following(open());
    const held = [0, 1, 2, 3].map((slot) => {
      const hold = holdingAnswers('CHECKPOINT');
      world.interceptors.set(slot, hold.interceptor);
      return hold;
    });
    const early = barrier(lister.follower);
    await Promise.all(held.map(({ arrived }) => arrived));
    // These checkpoints are signed, and know nothing of what is written now.
    committed(await put(writer, bucket, 'between', contentOf('between', 20)));
    const late = barrier(lister.follower);
    for (const { release } of held) release();
    await late;
    expect(lister.slotsOf('between').length).toBeGreaterThan(0);
    await early;
  });

  it('shows a certificate that one log alone holds, which the lister then writes back', async () => {
    const { world, bucket, open } = await start();
    const hasty = open({ deadlines: { commitMs: 300, completeMs: 300 } });
    for (const slot of [1, 2, 3]) world.interceptors.set(slot, swallowing('COMMIT'));
    expect((await put(hasty, bucket, 'half', contentOf('half', 20))).outcome).toBe('unknown');
    world.interceptors.clear();
    const lister = open();
    const { follower, entries, slotsOf } = following(lister);
    await follower.fresh(0);
    expect(slotsOf('half')).toEqual([0]);
    const entry = entries.find(({ entry: e }) => hex(e.keyId) === hex(keyIdOf('half')))?.entry;
    if (entry === undefined) throw new Error('no entry');
    const [certified] = await lister.client.certificates([{ keyId: entry.keyId, stamp: entry.stamp, slots: [0] }]);
    if (!certified) throw new Error('no certificate');
    const { ok, held } = await lister.client.writeBack(certified, new Set([0]));
    expect(ok).toBe(true);
    expect(held.size).toBeGreaterThanOrEqual(3);
  });
});

describe('a node that lies about its log', () => {
  const changingCheckpoint =
    (change: (text: string, nonce: Uint8Array) => string): Interceptor =>
    async (honest, frame) => {
      const answered = await honest(frame);
      const request = decodeRequest(frame.body);
      const parsed = decodeAnswer('CHECKPOINT', answered.body);
      if (!request.ok || request.value.t !== 'CHECKPOINT' || parsed.kind !== 'answer') return answered;
      return { ...answered, body: encodeAnswer('CHECKPOINT', { text: change(parsed.answer.text, request.value.nonce) }) };
    };
  const forgedBy = (world: World, slot: number, size: number, root: Uint8Array, nonce: Uint8Array): string => {
    const key = seededKey(`node ${slot}`);
    const origin = logOrigin(world.cluster.id, world.cluster.slots[slot]?.nodeId ?? EMPTY);
    return signCheckpoint({ origin, size, root, nonce }, ed25519Signer(origin, key)).note;
  };

  it('by repeating an old checkpoint is not fresh', async () => {
    const { world, open } = await start();
    const lister = open();
    const { follower } = following(lister);
    let first: string | undefined;
    world.interceptors.set(2, changingCheckpoint((text) => (first ??= text)));
    expect(await follower.fresh(2)).toMatchObject({ ok: true });
    expect(await follower.fresh(2)).toMatchObject({ ok: false });
    expect(lister.client.suspicions()).toMatchObject([{ slot: 2, kind: 'BAD_CHECKPOINT' }]);
    expect((await barrier(follower)).has(2)).toBe(false);
  });

  it('by forking it is proven to', async () => {
    const { world, open } = await start();
    const lister = open();
    const { follower } = following(lister);
    expect(await follower.fresh(1)).toMatchObject({ ok: true });
    const size = follower.seen(1)?.size ?? 0;
    world.interceptors.set(1, changingCheckpoint((_text, nonce) => forgedBy(world, 1, size, new Uint8Array(32), nonce)));
    expect(await follower.fresh(1)).toMatchObject({ ok: false });
    expect(lister.client.suspicions()).toMatchObject([{ slot: 1, kind: 'FORKED_LOG' }]);
    expect(lister.evidence).toMatchObject([{ evidence: { type: 'E3' }, finding: { accused: { kind: 'node', slot: 1 } } }]);
  });

  it('by shortening it is proven to, and the barrier goes on without it', async () => {
    const { world, open } = await start();
    const lister = open();
    const { follower } = following(lister);
    await Promise.all([0, 1, 2].map((slot) => follower.fresh(slot)));
    // More than the one entry that the forged checkpoint will admit to: else it would be a fork, not a shorter log.
    await expect.poll(async () => (await follower.fresh(3)) && follower.size(3)).toBeGreaterThan(1);
    world.interceptors.set(3, changingCheckpoint((_text, nonce) => forgedBy(world, 3, 1, new Uint8Array(32), nonce)));
    expect((await barrier(follower)).has(3)).toBe(false);
    await expect.poll(() => lister.client.suspicions()).toMatchObject([{ slot: 3, kind: 'ROLLED_BACK_LOG' }]);
    // The challenge committed to the longer log, so the shorter one is the later.
    expect(lister.evidence).toMatchObject([{ evidence: { type: 'E5-log' }, finding: { accused: { kind: 'node', slot: 3 } } }]);
  });

  it('by withholding or changing leaves never counts', async () => {
    const { world, open } = await start();
    for (const [slot, leaves] of [[0, () => []], [1, (all: readonly Uint8Array[]) => all.map(() => Uint8Array.of(2))]] as const) {
      world.interceptors.set(slot, async (honest, frame) => {
        const answered = await honest(frame);
        const parsed = decodeAnswer('CHANGES', answered.body);
        const request = decodeRequest(frame.body);
        if (!request.ok || request.value.t !== 'CHANGES' || parsed.kind !== 'answer') return answered;
        return { ...answered, body: encodeAnswer('CHANGES', { ...parsed.answer, leaves: leaves(parsed.answer.leaves) }) };
      });
    }
    const lister = open();
    const { follower } = following(lister);
    expect(await follower.fresh(0)).toMatchObject({ ok: false });
    expect(await follower.fresh(1)).toMatchObject({ ok: false });
    const kinds = lister.client.suspicions().map(({ slot, kind }) => `${slot} ${kind}`);
    expect(kinds).toEqual(expect.arrayContaining(['0 WITHHELD', '1 WITHHELD']));
    expect(follower.size(0) + follower.size(1)).toBe(0);
  });
});
