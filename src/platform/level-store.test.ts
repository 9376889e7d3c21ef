import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ClassicLevel } from 'classic-level';
import { MemoryLevel } from 'memory-level';
import { afterAll, describe, expect, it } from 'vitest';
import { fromUtf8, utf8 } from '../base/bytes.ts';
import { keyValueStoreContract, put, rows } from './key-value-store.contract.ts';
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

const DATABASES: readonly (readonly [string, () => Promise<LevelDatabase>])[] = [
  ['memory-level', () => Promise.resolve(new MemoryLevel<Uint8Array, Uint8Array>(BINARY))],
  ['classic-level', async () => new ClassicLevel<Uint8Array, Uint8Array>(await newFolder(), BINARY)],
];

for (const [name, make] of DATABASES) keyValueStoreContract(name, async () => new LevelStore(await make()));

describe.each(DATABASES)('LevelStore over %s', (_name, make) => {
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
