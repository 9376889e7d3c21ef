import { afterEach, describe, expect, it } from 'vitest';
import { CELL_BYTES_DEFAULT } from '../../src/base/limits.ts';
import type { SuspicionKind } from '../../src/client/suspicions.ts';
import { referenceCodec } from '../../src/erasure/reference.ts';
import { WorkspacePool } from '../../src/erasure/workspace.ts';
import {
  clientOf,
  collectBytes,
  committed,
  contentOf,
  get,
  getBytes,
  keyIdOf,
  put,
  putRecord,
  recordOf,
  sameBytes,
} from '../world/client-world.ts';
import { liars } from '../../src/sim/adversaries/liars.ts';
import { World } from '../world/world.ts';
import type { Interceptor } from '../../src/sim/adversaries/stage.ts';
import type { WorldOptions } from '../world/world.ts';

const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function start(options: WorldOptions = {}) {
  const world = await World.start(options);
  cleanups.push(() => world.stop());
  const open = (writer: number = 0, amend: Parameters<typeof clientOf>[2] = {}) => {
    const opened = clientOf(world, writer, amend);
    cleanups.push(() => opened.client.close());
    return opened;
  };
  const writer = open();
  const bucket = await putRecord(world, writer, recordOf(world, 'liars'));
  return { world, writer, bucket, open };
}

const SIZES = [0, 3000, 100_000, 2 * 2 * CELL_BYTES_DEFAULT + 5];

const strategies: readonly [string, () => Interceptor, readonly SuspicionKind[]][] = [
  ['serves wrong cells', () => liars.wrongCells, ['WRONG_CELL', 'WRONG_BODY']],
  ['serves wrong rows', () => liars.wrongRows, ['WRONG_CELL']],
  ['forgets every version', () => liars.forgetful, []],
  ['shows the first version for ever', () => liars.stale(), []],
  ['signs receipts badly', () => liars.badReceipts, ['BAD_RECEIPT']],
  ['signs acknowledgements of another index', () => liars.badAcks, ['BAD_ACKNOWLEDGEMENT']],
  ['shows forged certificates', () => liars.badCertificates, ['BAD_CERTIFICATE']],
  ['invents a later version', () => liars.higherVersions, ['BAD_CERTIFICATE']],
  ['shows certificates of too few receipts', () => liars.thinCertificates, ['BAD_CERTIFICATE']],
  ['shows the certificate of another key', () => liars.confused(), ['BAD_CERTIFICATE']],
  ['answers garbage', () => liars.garbage, ['MALFORMED']],
  ['denies what it holds without proof', () => liars.denier, ['BAD_REFUSAL']],
];

function delayed(world: World): Interceptor {
  return async (honest, frame) => {
    await world.clock.sleep(20);
    return honest(frame);
  };
}

describe.each(strategies)('one node that %s', (_name, strategy, kinds) => {
  it.each([0, 3])('changes nothing that is read or written, and is the only one suspected (slot %i)', async (slot) => {
    const { world, writer, bucket, open } = await start();
    world.interceptors.set(slot, strategy());
    for (const round of ['first', 'second']) {
      for (const size of SIZES) {
        const bytes = contentOf(`${round} ${size}`, size);
        const { superseded } = committed(await put(writer, bucket, `key ${size}`, bytes));
        expect(superseded).toBe(false);
        expect(sameBytes(await getBytes(writer, `key ${size}`), bytes)).toBe(true);
        const start = size >> 1;
        const ranged = await get(writer, `key ${size}`, { start, end: size });
        if (ranged.kind !== 'content') throw new Error('no content');
        expect(sameBytes(await collectBytes(ranged.stream), bytes.subarray(start))).toBe(true);
      }
    }
    // Readers that find this node the fastest, and so ask it first.
    for (const other of [0, 1, 2, 3].filter((s) => s !== slot)) world.interceptors.set(other, delayed(world));
    const readers = SIZES.map(() => open());
    for (const [i, size] of SIZES.entries()) {
      const reader = readers[i] ?? writer;
      await reader.client.head(keyIdOf(`key ${size}`));
      expect(sameBytes(await getBytes(reader, `key ${size}`), contentOf(`second ${size}`, size))).toBe(true);
    }
    const caught = [writer, ...readers].flatMap(({ client }) => client.suspicions());
    expect(caught.every((suspicion) => suspicion.slot === slot)).toBe(true);
    for (const kind of kinds) expect(caught.map((s) => s.kind)).toContain(kind);
  });
});

describe('a Byzantine writer', () => {
  /** Codes like the reference, with one parity cell that is no code word's. */
  function badPool(n: number): WorkspacePool {
    const badCodec = (memoryBytes: number): ReturnType<typeof referenceCodec> => {
      const codec = referenceCodec(memoryBytes);
      return {
        ...codec,
        encode(shape, place) {
          codec.encode(shape, place);
          const at = place.base + (shape.n - 1) * place.cellBytes;
          codec.memory[at] = (codec.memory[at] ?? 0) ^ 1;
        },
      };
    };
    return new WorkspacePool(badCodec, { workspaceCount: 1, cellCountMax: n, cellBytesMax: CELL_BYTES_DEFAULT });
  }

  it.each([50_000, 3 * 2 * CELL_BYTES_DEFAULT])(
    'that encodes %i bytes wrongly is found out by every reader alike, whichever cells it gets',
    async (size) => {
      const { world, bucket, open } = await start();
      const evil = open(0, { workspaces: badPool(4) });
      committed(await put(evil, bucket, 'crooked', contentOf('crooked', size)));
      for (const dead of [0, 1, 2, 3]) {
        await world.kill(dead);
        const reader = open();
        const reading = (async () => {
          const result = await get(reader, 'crooked');
          return result.kind === 'content' ? collectBytes(result.stream) : null;
        })();
        await expect(reading).rejects.toMatchObject({ code: 'DAMAGED' });
        expect(reader.evidence.map(({ evidence }) => evidence.type)).toContain('E8');
        expect(reader.client.suspicions()).toEqual([]);
        await world.restart(dead);
      }
    },
  );

  it('is not looked at again by a gateway that has checked the version', async () => {
    const { bucket, open } = await start();
    const checked: string[] = [];
    const trust = {
      trusted: (hash: Uint8Array) => checked.includes(String(hash)),
      onChecked: (hash: Uint8Array) => void checked.push(String(hash)),
    };
    const client = open(0, { trust });
    const { signed } = committed(await put(client, bucket, 'honest', contentOf('honest', 2_000_000)));
    const ranged = await get(client, 'honest', { start: 0, end: 1_999_999 });
    if (ranged.kind !== 'content') throw new Error('no content');
    await collectBytes(ranged.stream);
    expect(checked).toEqual([]);
    await getBytes(client, 'honest');
    expect(checked).toEqual([String(signed.hash)]);
    expect(sameBytes(await getBytes(client, 'honest'), contentOf('honest', 2_000_000))).toBe(true);
  });
});
