import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ClassicLevel } from 'classic-level';
import fc from 'fast-check';
import { MemoryLevel } from 'memory-level';
import { afterAll, describe, expect, it } from 'vitest';
import { compare, fromUtf8, hex, utf8 } from '../base/bytes.ts';
import type { KeyValueOperation, KeyValueRange, KeyValueStore } from '../base/ports.ts';
import { LevelStore, openLevelStore } from './level-store.ts';
import type { LevelDatabase } from './level-store.ts';

const BINARY = { keyEncoding: 'view', valueEncoding: 'view' } as const;
const folders: string[] = [];

async function newFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-level-'));
  folders.push(folder);
  return folder;
}

afterAll(async () => {
  await Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true })));
});

async function rows(
  store: KeyValueStore,
  range: KeyValueRange,
): Promise<readonly (readonly [string, string])[]> {
  const out: (readonly [string, string])[] = [];
  for await (const [key, value] of store.range(range)) out.push([hex(key), hex(value)]);
  return out;
}

const put = (key: Uint8Array, value: Uint8Array): KeyValueOperation => ({ type: 'put', key, value });

const DATABASES: readonly (readonly [string, () => Promise<LevelDatabase>])[] = [
  ['memory-level', () => Promise.resolve(new MemoryLevel<Uint8Array, Uint8Array>(BINARY))],
  ['classic-level', async () => new ClassicLevel<Uint8Array, Uint8Array>(await newFolder(), BINARY)],
];

describe.each(DATABASES)('KeyValueStore over %s', (_name, make) => {
  it('gives back what was put, until it is deleted or all is cleared', async () => {
    const store = new LevelStore(await make());
    expect(await store.get(utf8('a'))).toBeUndefined();
    await store.batch([put(utf8('a'), utf8('1')), put(utf8('b'), new Uint8Array(0))], { sync: true });
    expect(fromUtf8((await store.get(utf8('a'))) ?? new Uint8Array(1))).toBe('1');
    expect((await store.get(utf8('b')))?.length).toBe(0);
    await store.batch([{ type: 'del', key: utf8('a') }, put(utf8('c'), utf8('3'))]);
    expect(await store.get(utf8('a'))).toBeUndefined();
    await store.clear();
    expect(await rows(store, {})).toEqual([]);
    await store.close();
  });

  it('gives every range of any keys in the order of their bytes, like a sorted list', async () => {
    const key = fc.uint8Array({ minLength: 1, maxLength: 3 });
    const range = fc.record(
      { gte: key, lt: key, limit: fc.nat({ max: 5 }), reverse: fc.boolean() },
      { requiredKeys: [] },
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(key, fc.uint8Array({ maxLength: 4 }))),
        range,
        async (entries, wanted) => {
          const store = new LevelStore(await make());
          await store.batch(entries.map(([k, v]) => put(k, v)));
          const latest = new Map(entries.map(([k, v]) => [hex(k), [k, v] as const]));
          let model = [...latest.values()].sort(([a], [b]) => compare(a, b));
          const { gte, lt, limit, reverse } = wanted;
          if (gte !== undefined) model = model.filter(([k]) => compare(k, gte) >= 0);
          if (lt !== undefined) model = model.filter(([k]) => compare(k, lt) < 0);
          if (reverse === true) model.reverse();
          const expected = model.slice(0, limit).map(([k, v]) => [hex(k), hex(v)]);
          expect(await rows(store, wanted)).toEqual(expected);
          await store.close();
        },
      ),
      { numRuns: 30 },
    );
  });

  it('reads many rows in pieces and stops early without harm', async () => {
    const store = new LevelStore(await make());
    const keys = Array.from({ length: 1000 }, (_, i) => utf8(String(i).padStart(4, '0')));
    await store.batch(keys.map((k) => put(k, k)));
    expect((await rows(store, {})).length).toBe(1000);
    for await (const [key] of store.range({})) {
      expect(fromUtf8(key)).toBe('0000');
      break;
    }
    await store.close();
  });

  it('answers CORRUPT for a value that was changed or moved to another key', async () => {
    const database = await make();
    const store = new LevelStore(database);
    await store.batch([put(utf8('a'), utf8('value'))]);
    const stored = (await database.get(utf8('a'), BINARY)) ?? new Uint8Array(0);
    const damaged = [
      stored.with(stored.length - 1, 0),
      stored.with(0, (stored[0] ?? 0) ^ 1),
      stored.subarray(0, 3),
    ];
    for (const value of damaged) {
      await database.batch([put(utf8('a'), value)], { ...BINARY, sync: false });
      await expect(store.get(utf8('a'))).rejects.toMatchObject({ code: 'CORRUPT' });
      await expect(rows(store, {})).rejects.toMatchObject({ code: 'CORRUPT' });
    }
    await database.batch([put(utf8('a'), stored), put(utf8('b'), stored)], { ...BINARY, sync: false });
    expect(fromUtf8((await store.get(utf8('a'))) ?? new Uint8Array(1))).toBe('value');
    await expect(store.get(utf8('b'))).rejects.toMatchObject({ code: 'CORRUPT' });
    await store.close();
  });
});

describe('openLevelStore', () => {
  it('keeps rows over a restart', async () => {
    const folder = await newFolder();
    const first = await openLevelStore(folder);
    await first.batch([put(utf8('a'), utf8('1'))], { sync: true });
    await first.close();
    const second = await openLevelStore(folder);
    expect(fromUtf8((await second.get(utf8('a'))) ?? new Uint8Array(1))).toBe('1');
    await second.close();
  });

  it('says IN_USE while another holds the folder', async () => {
    const folder = await newFolder();
    const first = await openLevelStore(folder);
    await expect(openLevelStore(folder)).rejects.toMatchObject({ code: 'IN_USE' });
    await first.close();
  });

  it('begins anew in a folder that the engine finds damaged', async () => {
    const folder = await newFolder();
    const first = await openLevelStore(folder);
    await first.batch([put(utf8('a'), utf8('1'))], { sync: true });
    await first.close();
    const manifest = (await readdir(folder)).find((name) => name.startsWith('MANIFEST'));
    const path = join(folder, manifest ?? '');
    const bytes = await readFile(path);
    await writeFile(
      path,
      bytes.map((byte) => byte ^ 0xff),
    );
    const second = await openLevelStore(folder);
    expect(await second.get(utf8('a'))).toBeUndefined();
    await second.close();
  });
});
