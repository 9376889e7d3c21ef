/** Files open for reading are few, and none is closed under its reader. */
import { expect, it } from 'vitest';
import { codeOf } from '../platform/disk.contract.ts';
import { FaultyDisk } from '../sim/faulty-disk.ts';
import { OpenFiles } from './open-files.ts';

async function diskWith(count: number): Promise<FaultyDisk> {
  const disk = new FaultyDisk({ delay: () => new Promise((resolve) => setImmediate(resolve)) });
  for (let i = 0; i < count; i += 1) await disk.writeFile(`f${i}`, Uint8Array.of(i));
  return disk;
}

it('no more files stay open than allowed, and every read gets its bytes', async () => {
  const files = new OpenFiles(await diskWith(20), 4);
  const read = (i: number): Promise<Uint8Array> => files.use(`f${i}`, (file) => file.readAt(0, 1));
  for (let round = 0; round < 3; round += 1) {
    const bytes = await Promise.all(Array.from({ length: 20 }, (_, i) => read(i)));
    expect(bytes.map((b) => b[0])).toEqual(Array.from({ length: 20 }, (_, i) => i));
    expect(files.count).toBeLessThanOrEqual(4);
  }
  await files.closeAll();
  expect(files.count).toBe(0);
});

it('a file that is forgotten while it is read stays open until the read has ended', async () => {
  const files = new OpenFiles(await diskWith(1));
  const read = files.use('f0', async (file) => {
    await files.forget('f0');
    return file.readAt(0, 1);
  });
  expect([...(await read)]).toEqual([0]);
  expect(files.count).toBe(0);
});

it('a file that cannot be opened is tried anew the next time', async () => {
  const disk = await diskWith(1);
  const files = new OpenFiles(disk);
  const read = (): Promise<Uint8Array> => files.use('late', (file) => file.readAt(0, 1));
  expect(await codeOf(read())).toBe('NOT_FOUND');
  await disk.writeFile('late', Uint8Array.of(7));
  expect([...(await read())]).toEqual([7]);
});
