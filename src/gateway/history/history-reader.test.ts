/** What liars can do to the reading of the past: name what nobody gives, and tell what no checkpoint stands for. */
import { MemoryLevel } from 'memory-level';
import { describe, expect, it } from 'vitest';
import { utf8 } from '../../base/bytes.ts';
import type { LogFollower, TakeLeaves } from '../../client/follow.ts';
import { sha256 } from '../../crypto/primitives.ts';
import { encodeEntry } from '../../log/entry-types.ts';
import { LevelStore } from '../../platform/level-store.ts';
import { encode } from '../../protocol/encoding.ts';
import type { BucketRegistry } from '../buckets/bucket-registry.ts';
import { History } from './history.ts';
import { HistoryReader } from './history-reader.ts';
import type { HistoryPorts } from './history-reader.ts';

const id = (name: string): Uint8Array => sha256(utf8(name));

/** A log entry about a version of which there is no certificate. */
function invented(name: string): Uint8Array {
  const stamp = { gen: 1, counter: 1, writerId: id('writer').subarray(0, 16) };
  return encodeEntry('COMMITTED', encode({ v: 1, manifestHash: id(name), bucketId: id('bucket'), keyId: id(`key ${name}`), stamp, kind: 'INLINE' }));
}

interface Log {
  readonly leaves: readonly Uint8Array[];
  /** Does a signed checkpoint stand for it? */
  readonly isRight: boolean;
}

function clientOf(logs: readonly Log[]): HistoryPorts['client'] {
  return {
    followLeaves: (take: TakeLeaves) => {
      const follower: Pick<LogFollower, 'fresh' | 'checkpoint' | 'serialise'> = {
        fresh: async (slot) => {
          const { leaves = [], isRight = false } = logs[slot] ?? {};
          if (leaves.length > 0) await take(slot, leaves, 0);
          return isRight ? { ok: true, slot, size: leaves.length } : { ok: false, slot, reason: 'mismatch' };
        },
        checkpoint: (slot) => ({ checkpoint: { origin: 'log', size: logs[slot]?.leaves.length ?? 0, root: id('root'), nonce: null }, note: `note ${slot}` }),
        serialise: (slot) => utf8(`tail ${slot}`),
      };
      return follower as LogFollower;
    },
    committedAt: (_, entries) => Promise.resolve(entries.map(() => null)),
    certificates: (wanted) => Promise.resolve(wanted.map(() => null)),
  };
}

async function read(logs: readonly Log[], store: MemoryLevel<Uint8Array, Uint8Array>) {
  await store.open();
  const history = await History.open(new LevelStore(store));
  const registry = {} as BucketRegistry;
  const reader = new HistoryReader({ client: clientOf(logs), registry, history, quorums: { n: 4, f: 1 } });
  return { history, result: await reader.sync().catch((error: unknown) => error) };
}

const newStore = () => new MemoryLevel<Uint8Array, Uint8Array>({ keyEncoding: 'view', valueEncoding: 'view' });
const HONEST: Log = { leaves: [], isRight: true };

describe('reading the past', () => {
  it('does without a log that names what nobody gives', async () => {
    const { result } = await read([HONEST, { leaves: [invented('a')], isRight: true }, HONEST, HONEST], newStore());
    expect(result).toMatchObject({ sizes: new Map([[0, 0], [2, 0], [3, 0]]), notes: new Map([[0, 'note 0'], [2, 'note 2'], [3, 'note 3']]) });
  });

  it('fails when so many logs are of no use that q are not left', async () => {
    const liar: Log = { leaves: [invented('a')], isRight: true };
    const { result } = await read([HONEST, liar, liar, HONEST], newStore());
    expect(result).toMatchObject({ code: 'NO_QUORUM' });
  });

  it('keeps nothing of a log that its checkpoint does not stand for', async () => {
    const store = newStore();
    const first = await read([HONEST, { leaves: [invented('a')], isRight: false }, HONEST, HONEST], store);
    expect(await first.history.tail(0)).toBeUndefined();
    await first.history.close();
    const { history } = await read([HONEST, HONEST, HONEST, HONEST], store);
    const entries = [];
    for await (const entry of history.all()) entries.push(entry);
    expect(entries).toEqual([]);
    expect(await history.tail(0)).toBeDefined();
  });

  it('is not disturbed by a node that is down', async () => {
    const { history, result } = await read([HONEST, HONEST, HONEST, { leaves: [], isRight: false }], newStore());
    expect(result).toMatchObject({ sizes: new Map([[0, 0], [1, 0], [2, 0]]) });
    expect(await history.tail(0)).toBeDefined();
    expect(await history.tail(3)).toBeUndefined();
  });
});
