/**
 * What the log journal keeps on every disk, as one suite: what was acknowledged comes back in order after any
 * stop; a torn end is cut and the log goes on; anything else that is not as it was written is refused with
 * LOST_STATE and left as it is. What happens at each single step of a disk is tried in log-crash.test.ts.
 */
import { describe, expect, it } from 'vitest';
import { hex, utf8 } from '../base/bytes.ts';
import { isOperationError } from '../base/errors.ts';
import type { Disk } from '../base/ports.ts';
import { sha256 } from '../crypto/primitives.ts';
import { codeOf } from '../platform/disk.contract.ts';
import { LogJournal } from './log-journal.ts';
import { logInstance } from './log-recovery.ts';
import { Account, JOURNAL_ID, openLog } from './log-world.contract.ts';
import type { Pointer } from './pointer.ts';
import { HEADER_BYTES, RECORD_BYTES_MAX, RECORD_HEADER_BYTES, putRecordHeader, recordBytes, segmentName } from './segment.ts';
import type { RecordHeader } from './segment.ts';

export interface JournalDisk {
  readonly disk: Disk;
  /** The process ends, or the power is lost, without a goodbye; returns the disk that the next one finds. */
  readonly crash: () => Promise<Disk>;
}

/** Three batches of one small segment, and the places of their records. Nobody has closed the log. */
async function threeBatches(disk: Disk): Promise<readonly Pointer[]> {
  const { journal } = await openLog(disk);
  const places: Pointer[] = [];
  for (const fill of [1, 2, 3]) places.push(...(await journal.append([new Uint8Array(40).fill(fill), new Uint8Array(72).fill(fill)])));
  return places;
}

const FIRST = `j/${segmentName('log', 1)}`;
/** What `threeBatches` writes, in hexadecimal. */
const RECORDS = [1, 2, 3].flatMap((fill) => [40, 72].map((length) => hex(new Uint8Array(length).fill(fill))));

/** As long as the first record of a batch, so that what is left of a torn one lies just behind it. */
const NEXT = utf8('and on'.padEnd(40));

async function flip(disk: Disk, path: string, offset: number): Promise<void> {
  const file = await disk.open(path);
  const [byte = 0] = await file.readAt(offset, 1);
  await file.writeAt(offset, [Uint8Array.of(byte ^ 0xff)]);
  await file.datasync();
  await file.close();
}

async function contentOf(disk: Disk): Promise<string[]> {
  const names = await disk.list('j');
  return Promise.all(names.map(async (name) => `${name} ${hex(sha256(await disk.readFile(`j/${name}`, 1 << 20)))}`));
}

/** Opens what a crash and damage left: a prefix of what was written, to which the log can be continued; or a refusal that changes nothing. */
async function prefixOrRefusal(disk: Disk): Promise<number | 'LOST_STATE'> {
  const before = await contentOf(disk);
  try {
    const { journal, records } = await openLog(disk);
    expect(records).toEqual(RECORDS.slice(0, records.length));
    await journal.append([NEXT]);
    await journal.close();
    const again = await openLog(disk);
    expect(again.records).toEqual([...records, hex(NEXT)]);
    await again.journal.close();
    return records.length;
  } catch (error) {
    if (!isOperationError(error, 'LOST_STATE')) throw error;
    expect(error.message).toContain('j/log-');
    expect(error.remedy ?? '').not.toBe('');
    expect(await contentOf(disk)).toEqual(before);
    return 'LOST_STATE';
  }
}

export function logJournalContract(label: string, make: () => Promise<JournalDisk>): void {
  describe(`the log journal on ${label}`, () => {
    it('gives back what was acknowledged, in order, through stops of both kinds', async () => {
      let world = await make();
      const account = new Account(11);
      let { disk } = world;
      for (let life = 0; life < 6; life += 1) {
        const recovered = await openLog(disk);
        await account.check(recovered);
        await account.appendTo(recovered.journal, 12);
        expect(account.acknowledged).toBe(account.submitted.length);
        if (life % 2 === 0) await recovered.journal.close();
        else disk = await world.crash();
        world = { ...world, disk };
      }
      await account.check(await openLog(disk));
    });

    it('cuts an end that was torn off anywhere, and nothing of what came before its last batch', async () => {
      for (let cut = 0; cut <= recordBytes(72) + recordBytes(40); cut += 24) {
        const { disk: old, crash } = await make();
        const places = await threeBatches(old);
        const disk = await crash();
        const last = places.at(-1) as Pointer;
        const file = await disk.open(FIRST);
        await file.truncate(Math.max(HEADER_BYTES, last.offset + recordBytes(72) - RECORD_HEADER_BYTES - cut));
        await file.close();
        expect(await prefixOrRefusal(disk)).toBe(cut === 0 ? 6 : cut <= recordBytes(72) ? 5 : 4);
      }
    });

    it('cuts an end of which only later sectors arrived, and never finds its remains again', async () => {
      const { disk: old, crash } = await make();
      const places = await threeBatches(old);
      const disk = await crash();
      const torn = places[4] as Pointer;
      await flip(disk, FIRST, torn.offset);
      const { journal } = await openLog(disk);
      await journal.append([NEXT]);
      expect((await openLog(await crash())).records).toEqual([...RECORDS.slice(0, 4), hex(NEXT)]);
    });

    it('meets a flipped bit anywhere with a refusal, or with all but the last batch', async () => {
      const seen = { cut: 0, refused: 0, whole: 0 };
      const { disk: old, crash } = await make();
      const places = await threeBatches(old);
      const disk = await crash();
      const image = await disk.readFile(FIRST, 1 << 20);
      const end = (places.at(-1) as Pointer).offset + 72;
      const at = [0, 9, 10, 20, 40, 50, 60, HEADER_BYTES - 1];
      for (let offset = HEADER_BYTES; offset < end; offset += 11) at.push(offset);
      for (const offset of at) {
        await disk.writeFile(FIRST, image.with(offset, (image[offset] ?? 0) ^ (1 << (offset % 8))));
        for (const name of await disk.list('j')) if (`j/${name}` !== FIRST) await disk.remove(`j/${name}`);
        const outcome = await prefixOrRefusal(disk);
        if (outcome === 'LOST_STATE') seen.refused += 1;
        else if (outcome === 6) seen.whole += 1;
        else seen.cut += 1;
        if (outcome !== 'LOST_STATE') expect(outcome).toBeGreaterThanOrEqual(4);
        if (offset < (places[4] as Pointer).offset - RECORD_HEADER_BYTES && offset > HEADER_BYTES) expect(outcome).toBe('LOST_STATE');
      }
      expect(seen.refused).toBeGreaterThan(10);
      expect(seen.cut).toBeGreaterThan(5);
    });

    it('takes no record behind its end whose numbers are hostile, although its digest is right', async () => {
      const hostile: readonly Partial<RecordHeader>[] = [
        { length: 0xffff_ffff, covered: 0xffff_ffff },
        { length: 0xffff_ffff, covered: 0 },
        { length: RECORD_BYTES_MAX + 1, covered: RECORD_BYTES_MAX + 1 },
        { length: 8, covered: 9 },
        { length: RECORD_BYTES_MAX + 1, covered: 0 },
        { length: RECORD_BYTES_MAX, covered: 0 },
        { covered: 0 },
        { sequence: 0 },
        { sequence: 6 },
        { sequence: 8 },
        { sequence: Number.MAX_SAFE_INTEGER },
        { kind: 'seal', sequence: 7 },
      ];
      for (const numbers of hostile) {
        const { disk: old, crash } = await make();
        const places = await threeBatches(old);
        const disk = await crash();
        const last = places.at(-1) as Pointer;
        const end = last.offset + recordBytes(72) - RECORD_HEADER_BYTES;
        const image = await disk.readFile(FIRST, 1 << 20);
        const header: RecordHeader = { kind: 'data', length: 8, covered: 8, batch: end, sequence: 7, ...numbers };
        putRecordHeader(image, end, logInstance(JOURNAL_ID, 1), header);
        await disk.writeFile(FIRST, image);
        expect(await prefixOrRefusal(disk), JSON.stringify(numbers)).toBe(6);
      }
    });

    it('of a later format is refused with both versions, and left as it is for the program that knows it', async () => {
      const { disk: old, crash } = await make();
      await threeBatches(old);
      const disk = await crash();
      const file = await disk.open(FIRST);
      const head = await file.readAt(0, HEADER_BYTES);
      head[9] = 2;
      head.set(sha256(head.subarray(0, HEADER_BYTES - 16)).subarray(0, 16), HEADER_BYTES - 16);
      await file.writeAt(0, [head]);
      await file.close();
      const before = await contentOf(disk);
      await expect(openLog(disk)).rejects.toMatchObject({ code: 'LOST_STATE', remedy: expect.stringContaining('version of the program') as string });
      await expect(openLog(disk)).rejects.toThrow(/version 2; this program knows 1/);
      expect(await contentOf(disk)).toEqual(before);
    });

    it('of another journal, without its beginning or with a folder in its place is refused', async () => {
      const { disk } = await make();
      const { journal } = await openLog(disk);
      for (let i = 0; i < 8; i += 1) await journal.append([new Uint8Array(400)]);
      await journal.close();
      const other = LogJournal.open(disk, 'j', sha256(JOURNAL_ID).subarray(0, 16), { onRecord: () => undefined });
      expect(await codeOf(other)).toBe('LOST_STATE');
      await disk.remove(FIRST);
      expect(await codeOf(openLog(disk))).toBe('LOST_STATE');
    });

    it('gives no bytes for a place that it did not give out', async () => {
      const { disk } = await make();
      const { journal } = await openLog(disk);
      const [place] = await journal.append([new Uint8Array(40)]);
      const right = place as Pointer;
      for (const wrong of [{ offset: right.offset + 8 }, { offset: 0 }, { offset: 2 ** 40 }, { length: 0 }, { length: 41 }, { length: 2 ** 31 }]) {
        expect(await codeOf(journal.read({ ...right, ...wrong })), JSON.stringify(wrong)).toBe('CORRUPT');
      }
      expect(await codeOf(journal.read({ ...right, segment: 2 ** 31 }))).toBe('NOT_FOUND');
      expect((await journal.read(right)).length).toBe(40);
      await journal.close();
      expect(await codeOf(journal.append([utf8('x')]))).toBe('STOPPED');
    });
  });
}
