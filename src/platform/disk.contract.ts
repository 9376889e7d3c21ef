/**
 * What every Disk keeps (base/ports.ts), as one suite that each implementation runs: the real one over the
 * file system and the faulty one in memory. What survives a loss of power only the latter can show, beside it.
 */
import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import { fromUtf8, utf8 } from '../base/bytes.ts';
import { isOperationError } from '../base/errors.ts';
import type { Disk, DiskFile } from '../base/ports.ts';

export async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return 'done';
  } catch (error) {
    return isOperationError(error) ? error.code : `not an OperationError: ${String(error)}`;
  }
}

async function contentOf(file: DiskFile): Promise<number[]> {
  return [...(await file.readAt(0, await file.size()))];
}

const text = async (disk: Disk, path: string): Promise<string> => fromUtf8(await disk.readFile(path, 1_000));

export function diskContract(label: string, makeDisk: () => Promise<Disk>): void {
  describe(`Disk contract: ${label}`, () => {
    let disk: Disk;
    beforeEach(async () => {
      disk = await makeDisk();
    });
    fileTests(() => disk);
    folderTests(() => disk);
    wholeFileTests(() => disk);
  });
}

function fileTests(disk: () => Disk): void {
  test('a file is opened when it exists, and made only when asked', async () => {
    expect(await codeOf(disk().open('a'))).toBe('NOT_FOUND');
    const made = await disk().open('a', { create: true });
    expect(made.path).toBe('a');
    await made.writeAt(0, [utf8('kept')]);
    await made.close();
    const again = await disk().open('a', { create: true });
    expect(await again.size()).toBe(4);
    await again.close();
    expect(await codeOf(disk().open('no-folder/a', { create: true }))).toBe('NOT_FOUND');
  });

  test('parts are written one after the other, empty ones and thousands too', async () => {
    const file = await disk().open('a', { create: true });
    await file.writeAt(0, []);
    await file.writeAt(0, [new Uint8Array(0)]);
    expect(await file.size()).toBe(0);
    const parts = Array.from({ length: 2_500 }, (_, i) => new Uint8Array(i % 3).fill(i & 0xff));
    await file.writeAt(1, parts);
    expect(await contentOf(file)).toEqual([0, ...parts.flatMap((part) => [...part])]);
    await file.close();
  });

  test('reading is exact: bytes behind the end are CORRUPT, none are none', async () => {
    const file = await disk().open('a', { create: true });
    await file.writeAt(0, [Uint8Array.of(1, 2, 3)]);
    expect([...(await file.readAt(1, 2))]).toEqual([2, 3]);
    expect((await file.readAt(3, 0)).length).toBe(0);
    expect(await codeOf(file.readAt(1, 3))).toBe('CORRUPT');
    expect(await codeOf(file.readAt(9, 1))).toBe('CORRUPT');
    // As a damaged or hostile number asks for: nothing of that size is allocated.
    for (const [offset, length] of [[0, 2 ** 31 - 1], [0, 2 ** 31], [2, 2 ** 32], [0, 2 ** 52], [2 ** 40, 1], [2 ** 52, 2 ** 31]] as const) {
      expect(await codeOf(file.readAt(offset, length)), `${length} bytes from ${offset}`).toBe('CORRUPT');
    }
    await file.close();
  });

  test('what was read stays as it was when the file changes, and belongs to the reader', async () => {
    const file = await disk().open('a', { create: true });
    await file.writeAt(0, [Uint8Array.of(1, 2, 3)]);
    const read = await file.readAt(0, 3);
    await file.writeAt(0, [Uint8Array.of(9)]);
    read[1] = 7;
    expect([...read]).toEqual([1, 7, 3]);
    expect(await contentOf(file)).toEqual([9, 2, 3]);
    await file.close();
  });

  test('preallocate gives a file its size, keeps what is there, and fills with zeros', async () => {
    const file = await disk().open('a', { create: true });
    await file.writeAt(0, [Uint8Array.of(1, 2, 3)]);
    await file.preallocate(5);
    expect(await contentOf(file)).toEqual([1, 2, 3, 0, 0]);
    await file.preallocate(2);
    expect(await contentOf(file)).toEqual([1, 2]);
    await file.preallocate(3);
    expect(await contentOf(file)).toEqual([1, 2, 0]);
    await file.close();
  });

  test('two openings of one file see the same bytes', async () => {
    const one = await disk().open('a', { create: true });
    const two = await disk().open('a');
    await one.writeAt(0, [utf8('seen')]);
    await one.datasync();
    expect(fromUtf8(await two.readAt(0, 4))).toBe('seen');
    await one.close();
    await two.writeAt(0, [utf8('S')]);
    await two.close();
    expect(await text(disk(), 'a')).toBe('Seen');
  });

  test('writes that overlap in time each arrive whole', async () => {
    const file = await disk().open('a', { create: true });
    const pieces = Array.from({ length: 40 }, (_, i) => new Uint8Array(700).fill(i + 1));
    await Promise.all(pieces.map((piece, i) => file.writeAt(700 * i, [piece])));
    await file.datasync();
    expect(await contentOf(file)).toEqual(pieces.flatMap((piece) => [...piece]));
    await file.close();
  });

  test('any sequence of changes leaves the bytes that a plain array would hold', async () => {
    const change = fc.oneof(
      fc.record({ at: fc.nat({ max: 1_500 }), bytes: fc.uint8Array({ maxLength: 600 }) }),
      fc.record({ size: fc.nat({ max: 2_000 }) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(change, { maxLength: 12 }), async (changes) => {
        await disk().remove('model');
        const file = await disk().open('model', { create: true });
        let model: number[] = [];
        for (const step of changes) {
          if ('size' in step) {
            await file.truncate(step.size);
            model = Array.from({ length: step.size }, (_, i) => model[i] ?? 0);
          } else if (step.bytes.length > 0) {
            await file.writeAt(step.at, [step.bytes]);
            const length = Math.max(model.length, step.at + step.bytes.length);
            model = Array.from({ length }, (_, i) => step.bytes[i - step.at] ?? model[i] ?? 0);
          }
        }
        expect(await contentOf(file)).toEqual(model);
        await file.close();
      }),
      { numRuns: 30 },
    );
  });
}

function folderTests(disk: () => Disk): void {
  test('a folder lists its names in order, and one that does not exist lists none', async () => {
    await disk().makeFolder('f/g');
    await disk().makeFolder('f/g');
    for (const name of ['b', 'a', 'c']) await (await disk().open(`f/${name}`, { create: true })).close();
    expect(await disk().list('f')).toEqual(['a', 'b', 'c', 'g']);
    expect(await disk().list('')).toEqual(['f']);
    expect(await disk().list('f/g')).toEqual([]);
    expect(await disk().list('none')).toEqual([]);
    await disk().syncFolder('f');
    expect(await codeOf(disk().syncFolder('none'))).toBe('NOT_FOUND');
  });

  test('exists tells files and folders from what is not there', async () => {
    await disk().makeFolder('f');
    await disk().writeFile('f/a', utf8('x'));
    expect(await disk().exists('f')).toBe(true);
    expect(await disk().exists('f/a')).toBe(true);
    expect(await disk().exists('f/b')).toBe(false);
  });

  test('remove takes a file away, and what is not there is removed already', async () => {
    await disk().writeFile('a', utf8('x'));
    await disk().remove('a');
    expect(await disk().exists('a')).toBe(false);
    await disk().remove('a');
  });

  test('rename moves a file, over another one too', async () => {
    await disk().writeFile('a', utf8('from a'));
    await disk().writeFile('b', utf8('from b'));
    await disk().rename('a', 'b');
    expect(await disk().list('')).toEqual(['b']);
    expect(await text(disk(), 'b')).toBe('from a');
    expect(await codeOf(disk().rename('a', 'c'))).toBe('NOT_FOUND');
  });

  test('no path leaves the folder', async () => {
    await disk().makeFolder('f');
    for (const path of ['../a', 'f/../../a', '/etc/passwd', 'f/..', '..', 'a\0b', '..\\a']) {
      const calls = [
        disk().open(path),
        disk().open(path, { create: true }),
        disk().list(path),
        disk().exists(path),
        disk().makeFolder(path),
        disk().remove(path),
        disk().rename(path, 'x'),
        disk().rename('x', path),
        disk().syncFolder(path),
        disk().readFile(path, 10),
        disk().writeFile(path, utf8('x')),
      ];
      for (const call of await Promise.all(calls.map(codeOf))) expect(call).toBe('BAD_ARGUMENT');
    }
  });

  test('space is counted in bytes', async () => {
    const { totalBytes, freeBytes } = await disk().space();
    expect(totalBytes).toBeGreaterThan(0);
    expect(freeBytes).toBeGreaterThanOrEqual(0);
    expect(freeBytes).toBeLessThanOrEqual(totalBytes);
  });
}

function wholeFileTests(disk: () => Disk): void {
  test('a whole file is replaced and read back, up to the bytes allowed', async () => {
    await disk().writeFile('a', utf8('first, and longer'));
    await disk().writeFile('a', utf8('second'));
    expect(await text(disk(), 'a')).toBe('second');
    expect((await disk().readFile('a', 6)).length).toBe(6);
    expect(await codeOf(disk().readFile('a', 5))).toBe('TOO_LARGE');
    expect(await codeOf(disk().readFile('none', 5))).toBe('NOT_FOUND');
    expect(await codeOf(disk().writeFile('none/a', utf8('x')))).toBe('NOT_FOUND');
    expect(await disk().list('')).toEqual(['a']);
  });

  test('replacements of one file that overlap in time leave one of them whole', async () => {
    const contents = Array.from({ length: 8 }, (_, i) => String(i).repeat(100 + i));
    await Promise.all(contents.map((content) => disk().writeFile('a', utf8(content))));
    expect(contents).toContain(await text(disk(), 'a'));
    expect(await disk().list('')).toEqual(['a']);
  });
}
