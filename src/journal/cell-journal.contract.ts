/**
 * What the cell journal keeps on every disk, as one suite: what was synced and is live is read back after any
 * stop; damage and hostile places give CORRUPT or NOT_FOUND, never other bytes; a later format is refused and
 * left as it is. What happens at each single step of a disk is tried in cell-journal.test.ts.
 */
import { describe, expect, it } from 'vitest';
import { fromUtf8, hex, utf8 } from '../base/bytes.ts';
import type { Disk } from '../base/ports.ts';
import { sha256 } from '../crypto/primitives.ts';
import { codeOf } from '../platform/disk.contract.ts';
import { CellJournal } from './cell-journal.ts';
import type { JournalDisk } from './log-journal.contract.ts';
import { JOURNAL_ID, SeededRandom } from './log-world.contract.ts';
import type { Pointer } from './pointer.ts';
import { HEADER_BYTES, RECORD_BYTES_MAX, RECORD_HEADER_BYTES, segmentName } from './segment.ts';

const SEGMENT_BYTES = HEADER_BYTES + 1024;
const random = new SeededRandom(7);

async function openCells(disk: Disk, live: readonly Pointer[] = []): Promise<CellJournal> {
  const cells = await CellJournal.open(disk, 'c', JOURNAL_ID, random, SEGMENT_BYTES);
  for (const pointer of live) cells.retain(pointer);
  cells.recovered();
  return cells;
}

const nameOf = (i: number): Uint8Array => utf8(`row ${i} `.repeat(20 + i));

/** Records that fill several segments, synced; nobody has closed the journal. */
async function written(disk: Disk, count: number): Promise<Pointer[]> {
  const cells = await openCells(disk);
  const places: Pointer[] = [];
  for (let i = 0; i < count; i += 1) places.push(await cells.append(nameOf(i)));
  await cells.sync();
  return places;
}

const pathOf = (pointer: Pointer): string => `c/${segmentName('cells', pointer.segment)}`;

async function edit(disk: Disk, path: string, change: (bytes: Uint8Array) => void): Promise<void> {
  const bytes = await disk.readFile(path, 1 << 20);
  change(bytes);
  await disk.writeFile(path, bytes);
}

export function cellJournalContract(label: string, make: () => Promise<JournalDisk>): void {
  describe(`the cell journal on ${label}`, () => {
    it('gives back what was synced and is live, and never gives a place of before to new bytes', async () => {
      const { disk: old, crash } = await make();
      const places = await written(old, 16);
      const disk = await crash();
      const live = places.filter((_, i) => i % 3 !== 0);
      const cells = await openCells(disk, live);
      const fresh = await Promise.all([100, 101, 102].map((i) => cells.append(nameOf(i))));
      await cells.sync();
      for (const [i, place] of places.entries()) {
        if (live.includes(place)) expect(fromUtf8(await cells.read(place))).toBe(fromUtf8(nameOf(i)));
        for (const next of fresh) expect([next.segment, next.offset]).not.toEqual([place.segment, place.offset]);
      }
      for (const [i, place] of fresh.entries()) expect(fromUtf8(await cells.read(place))).toBe(fromUtf8(nameOf(100 + i)));
      await cells.close();
    });

    it('finds a flipped bit in every byte of a record and of the header that names its use', async () => {
      const { disk: old, crash } = await make();
      const [place] = (await written(old, 1)) as [Pointer];
      const disk = await crash();
      const image = await disk.readFile(pathOf(place), 1 << 20);
      const at = [0, 10, 16, 32, 47, 48, HEADER_BYTES - 1];
      for (let offset = place.offset - RECORD_HEADER_BYTES; offset < place.offset + place.length; offset += 3) at.push(offset);
      for (const offset of at) {
        await disk.writeFile(pathOf(place), image.with(offset, (image[offset] ?? 0) ^ (1 << (offset % 8))));
        const cells = await openCells(disk, [place]);
        expect(await codeOf(cells.read(place)), `byte ${offset}`).toBe('CORRUPT');
        await cells.close();
      }
    });

    it('gives no bytes for a place that it did not give out, and takes no record above its bound', async () => {
      const { disk } = await make();
      const cells = await openCells(disk);
      const place = await cells.append(nameOf(1));
      for (const wrong of [{ offset: place.offset + 8 }, { offset: 0 }, { offset: 2 ** 40 }, { length: 0 }, { length: place.length + 1 }, { length: 2 ** 31 }]) {
        expect(await codeOf(cells.read({ ...place, ...wrong })), JSON.stringify(wrong)).toBe('CORRUPT');
      }
      expect(await codeOf(cells.read({ ...place, segment: 2 ** 31 }))).toBe('NOT_FOUND');
      expect(await codeOf(cells.append(new Uint8Array(RECORD_BYTES_MAX + 1)))).toBe('TOO_LARGE');
      expect(fromUtf8(await cells.read(place))).toBe(fromUtf8(nameOf(1)));
      await cells.close();
    });

    it('gives no bytes of another journal', async () => {
      const { disk: old, crash } = await make();
      const [place] = (await written(old, 1)) as [Pointer];
      const other = await CellJournal.open(await crash(), 'c', sha256(JOURNAL_ID).subarray(0, 16), random, SEGMENT_BYTES);
      other.retain(place);
      other.recovered();
      expect(await codeOf(other.read(place))).toBe('CORRUPT');
      await other.close();
    });

    it('loses with a segment that is gone or cut short its own records and no others', async () => {
      const { disk: old, crash } = await make();
      const places = await written(old, 16);
      const disk = await crash();
      const [first, last] = [places[0] as Pointer, places.at(-1) as Pointer];
      expect(first.segment).toBeLessThan(last.segment);
      await disk.remove(pathOf(first));
      const file = await disk.open(pathOf(last));
      await file.truncate(last.offset + 1);
      await file.close();
      const cells = await openCells(disk, places);
      for (const place of places) {
        const expected = place.segment === first.segment ? 'NOT_FOUND' : place === last ? 'CORRUPT' : 'done';
        expect(await codeOf(cells.read(place))).toBe(expected);
      }
      await cells.close();
    });

    it('of a later format is refused with both versions, and left as it is', async () => {
      const { disk: old, crash } = await make();
      const [place] = (await written(old, 1)) as [Pointer];
      const disk = await crash();
      for (const name of await disk.list('c')) {
        await edit(disk, `c/${name}`, (bytes) => {
          // One that was made ahead of its use has no header.
          if (bytes.length < HEADER_BYTES || bytes[0] === 0) return;
          bytes[9] = 2;
          bytes.set(sha256(bytes.subarray(0, HEADER_BYTES - 16)).subarray(0, 16), HEADER_BYTES - 16);
        });
      }
      const before = hex(await disk.readFile(pathOf(place), 1 << 20));
      await expect(openCells(disk, [place])).rejects.toMatchObject({ code: 'LOST_STATE', remedy: expect.stringContaining('version of the program') as string });
      await expect(openCells(disk, [place])).rejects.toThrow(/version 2; this program knows 1/);
      expect(hex(await disk.readFile(pathOf(place), 1 << 20))).toBe(before);
    });
  });
}
