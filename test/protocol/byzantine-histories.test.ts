/**
 * Random histories with a lying node: several gateways write, read and delete a few keys at the same time,
 * while one storage node goes from one lie to the next. With at most f liars every operation ends well, and
 * what the clients saw of each key is a linearizable register.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import fc from 'fast-check';
import { hex, utf8 } from '../../src/base/bytes.ts';
import { CELL_BYTES_DEFAULT } from '../../src/base/limits.ts';
import type { BucketAuthority } from '../../src/client/write.ts';
import { sha256 } from '../../src/crypto/primitives.ts';
import {
  acknowledgesEverything,
  deniesCells,
  servesOtherCells,
  signsEverything,
  slow,
  swearsNever,
} from '../../src/sim/adversaries/nodes.ts';
import { judge } from '../../src/sim/checkers/linearizability.ts';
import type { Operation } from '../../src/sim/checkers/linearizability.ts';
import { IS_SLOW } from '../slow.ts';
import { clientOf, contentOf, describeResult, getBytes, put, putRecord, recordOf } from '../world/client-world.ts';
import type { TestClient } from '../world/client-world.ts';
import { all, liars } from '../../src/sim/adversaries/liars.ts';
import { World } from '../world/world.ts';
import type { Interceptor } from '../../src/sim/adversaries/stage.ts';

const RUNS = IS_SLOW ? 200 : 8;
const GATEWAYS = 3;
const KEYS = 2;
/** Inline, one stripe, and several. */
const SIZES = [0, 300, 20_000, 5 * CELL_BYTES_DEFAULT] as const;

const honest: Interceptor = (handle, frame) => handle(frame);
const strategies: Readonly<Record<string, (world: World, slot: number) => Interceptor>> = {
  honest: () => honest,
  wrongCells: () => liars.wrongCells,
  wrongRows: () => liars.wrongRows,
  forgetful: () => liars.forgetful,
  badReceipts: () => liars.badReceipts,
  badAcks: () => liars.badAcks,
  badCertificates: () => liars.badCertificates,
  higherVersions: () => liars.higherVersions,
  thinCertificates: () => liars.thinCertificates,
  confused: () => liars.confused(),
  garbage: () => liars.garbage,
  denier: () => liars.denier,
  stale: () => liars.stale(),
  signsEverything,
  acknowledgesAndForgets: (world, slot) => all(acknowledgesEverything(world, slot), liars.forgetful),
  swearsNever,
  deniesCells,
  servesOtherCells: () => servesOtherCells(),
  servesOtherCellsInHonestRows: () => servesOtherCells(true),
  slow: (world) => slow(world, 30),
};

const step = fc.record({
  act: fc.constantFrom('put', 'put', 'get', 'get', 'delete'),
  key: fc.nat(KEYS - 1),
  size: fc.constantFrom(...SIZES),
});
const scenario = fc.record({
  gateways: fc.array(fc.array(step, { minLength: 2, maxLength: 5 }), { minLength: GATEWAYS, maxLength: GATEWAYS }),
  /** The liar takes up the next lie each time as many operations have ended as gateways there are. */
  lies: fc.array(fc.constantFrom(...Object.keys(strategies)), { minLength: 2, maxLength: 6 }),
});

describe.each([
  { n: 4, f: 1, k: 2, liar: 3 },
  { n: 6, f: 1, k: 4, liar: 1 },
])('n = $n, f = $f, k = $k, with node $liar lying', ({ n, f, k, liar }) => {
  let world: World;
  let clients: TestClient[];
  let bucket: BucketAuthority;
  let run = 0;

  beforeAll(async () => {
    world = await World.start({ n, f, k, writers: GATEWAYS });
    clients = Array.from({ length: GATEWAYS }, (_, gateway) => clientOf(world, gateway));
    bucket = await putRecord(world, clientOf(world), recordOf(world, 'histories'));
  });
  afterAll(async () => {
    world.interceptors.clear();
    await Promise.all(clients.map(({ client }) => client.close()));
    await world.stop();
  });

  async function write(client: TestClient, key: string, bytes: Uint8Array | null): Promise<void> {
    const tombstone = { kind: 'tombstone' as const, wrappedKey: new Uint8Array(0), encMeta: utf8('gone') };
    const result = await put(client, bucket, key, bytes ?? new Uint8Array(0), bytes === null ? { content: tombstone } : {});
    if (result.outcome !== 'committed') throw new Error(`a write with one liar: ${describeResult(result)}`);
  }

  it('every operation succeeds, and each key is a linearizable register', async () => {
    await fc.assert(
      fc.asyncProperty(scenario, async ({ gateways, lies }) => {
        run += 1;
        const histories = Array.from({ length: KEYS }, (): Operation[] => []);
        /** What was written, by the hash of its bytes. */
        const names = new Map<string, string>();
        let ended = 0;
        const lie = (): void => {
          const name = lies[Math.floor(ended / GATEWAYS) % lies.length] ?? 'honest';
          const make = strategies[name];
          if (make !== undefined) world.interceptors.set(liar, make(world, liar));
        };
        const note = async (key: number, kind: Operation['kind'], act: () => Promise<Operation['value']>): Promise<void> => {
          const from = performance.now();
          const value = await act();
          histories[key]?.push({ kind, value, from, to: performance.now() });
          ended += 1;
          if (ended % GATEWAYS === 0) lie();
        };
        const read = (client: TestClient, key: number): Promise<void> =>
          note(key, 'read', async () => {
            const bytes = await getBytes(client, `${run} ${key}`);
            if (bytes === null) return null;
            return names.get(hex(sha256(bytes))) ?? `${bytes.length} bytes that nobody wrote`;
          });
        lie();
        await Promise.all(
          gateways.map(async (steps, gateway) => {
            const client = clients[gateway];
            if (client === undefined) return;
            for (const [index, { act, key, size }] of steps.entries()) {
              const name = `${run} ${gateway} ${index}`;
              // The name is in the bytes: no two writes have the same, also not those without content of their own.
              const bytes = act === 'put' ? new Uint8Array([...utf8(`${name} `), ...contentOf(name, size)]) : null;
              if (act === 'get') await read(client, key);
              else {
                if (bytes !== null) names.set(hex(sha256(bytes)), name);
                await note(key, 'write', async () => {
                  await write(client, `${run} ${key}`, bytes);
                  return bytes === null ? null : name;
                });
              }
            }
          }),
        );
        for (const client of clients) for (let key = 0; key < KEYS; key += 1) await read(client, key);
        for (const history of histories) expect(judge(history)).toEqual({ ok: true });
      }),
      { numRuns: RUNS },
    );
  }, IS_SLOW ? 1_800_000 : 120_000);
});
