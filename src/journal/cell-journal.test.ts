/** The cell journal: durable after sync, recycled without confusion, honest after every loss of power. */
import { describe, expect, it } from 'vitest';
import { concat, fromUtf8, hex, utf8 } from '../base/bytes.ts';
import type { Disk } from '../base/ports.ts';
import { sha256 } from '../crypto/primitives.ts';
import { codeOf } from '../platform/disk.contract.ts';
import { FaultyDisk } from '../sim/faulty-disk.ts';
import { SeededBits } from '../sim/seeded-bits.ts';
import { CellJournal } from './cell-journal.ts';
import { JOURNAL_ID, SeededRandom } from './log-world.contract.ts';
import type { Pointer } from './pointer.ts';
import { HEADER_BYTES, RECORD_BYTES_MAX, segmentName } from './segment.ts';

const SEGMENT_BYTES = HEADER_BYTES + 2048;
const random = new SeededRandom(99);

async function openCells(disk: Disk, live: readonly Pointer[] = []): Promise<CellJournal> {
  const cells = await CellJournal.open(disk, 'c', JOURNAL_ID, random, SEGMENT_BYTES);
  for (const pointer of live) cells.retain(pointer);
  cells.recovered();
  return cells;
}

const turns = async (count: number = 5): Promise<void> => {
  for (let i = 0; i < count; i += 1) await new Promise((resolve) => setImmediate(resolve));
};

/** Fills whole segments; returns the places by segment. */
async function fill(cells: CellJournal, segments: number): Promise<Map<number, Pointer[]>> {
  const bySegment = new Map<number, Pointer[]>();
  while (bySegment.size <= segments) {
    const pointer = await cells.append(new Uint8Array(400).fill(bySegment.size));
    bySegment.set(pointer.segment, [...(bySegment.get(pointer.segment) ?? []), pointer]);
  }
  await cells.sync();
  return bySegment;
}

describe('CellJournal', () => {
  it('reads back what was written, the covered part and the rest', async () => {
    const cells = await openCells(new FaultyDisk());
    const [row, cell] = [utf8('the row'), utf8('the cell')];
    const both = await cells.append(row, cell);
    const alone = await cells.append(row);
    const none = await cells.append(new Uint8Array(0));
    expect(fromUtf8(await cells.read(both, row.length))).toBe('the rowthe cell');
    expect(fromUtf8(await cells.read(alone))).toBe('the row');
    expect((await cells.read(none)).length).toBe(0);
    expect(cells.liveBytes).toBeGreaterThan(0);
    await cells.close();
  });

  it('does not hand out bytes as covered that its digest does not cover', async () => {
    const cells = await openCells(new FaultyDisk());
    const pointer = await cells.append(utf8('row'), utf8('cell'));
    expect(await codeOf(cells.read(pointer))).toBe('CORRUPT');
    expect(await codeOf(cells.read(pointer, 4))).toBe('CORRUPT');
    await cells.close();
  });

  it('finds damage of the covered part and leaves the rest to its owner', async () => {
    const disk = new FaultyDisk();
    const cells = await openCells(disk);
    const pointer = await cells.append(utf8('row'), utf8('cell'));
    const path = `c/${segmentName('cells', pointer.segment)}`;
    disk.flip(path, pointer.offset + 4);
    expect(fromUtf8((await cells.read(pointer, 3)).subarray(0, 3))).toBe('row');
    disk.flip(path, pointer.offset + 2);
    expect(await codeOf(cells.read(pointer, 3))).toBe('CORRUPT');
    await cells.close();
  });

  it('callers that wait at once share one sync, and one under way is not counted as theirs', async () => {
    const disk = new FaultyDisk();
    const cells = await openCells(disk);
    await cells.append(utf8('a'));
    await turns();
    const before = disk.countOf('datasync');
    const first = cells.sync();
    await cells.append(utf8('b'));
    await Promise.all([first, ...Array.from({ length: 50 }, () => cells.sync())]);
    expect(disk.countOf('datasync') - before).toBeLessThanOrEqual(2);
    await cells.sync();
    expect(disk.countOf('datasync') - before).toBeLessThanOrEqual(2);
    await cells.close();
  });

  it('a record written while a sync is under way is durable after the next, for whoever asks then', async () => {
    for (let seed = 1; seed <= 12; seed += 1) {
      let letGo: (() => void) | null = null;
      let isShut = false;
      const delay = (step: string): Promise<void> =>
        isShut && step === 'datasync' ? new Promise((resolve) => (letGo = resolve)) : Promise.resolve();
      let disk = new FaultyDisk({ seed, delay });
      const cells = await openCells(disk);
      await cells.append(new Uint8Array(600));
      await turns();
      isShut = true;
      const first = cells.sync();
      await turns();
      const late = await cells.append(new Uint8Array(600).fill(7));
      const second = cells.sync();
      isShut = false;
      (letGo as (() => void) | null)?.();
      await Promise.all([first, second]);
      disk = disk.powerCycle();
      const again = await openCells(disk, [late]);
      expect((await again.read(late))[599]).toBe(7);
      await again.close();
    }
  });

  it('one sync covers every segment that was written to', async () => {
    let disk = new FaultyDisk({ seed: 4 });
    const cells = await openCells(disk);
    const pointers = await Promise.all(Array.from({ length: 15 }, (_, i) => cells.append(new Uint8Array(400).fill(i))));
    expect(new Set(pointers.map((p) => p.segment)).size).toBeGreaterThan(2);
    await cells.sync();
    disk = disk.powerCycle();
    const again = await openCells(disk, pointers);
    for (const [i, pointer] of pointers.entries()) expect((await again.read(pointer))[0]).toBe(i);
    await again.close();
  });

  it('takes a record larger than a segment, and none above the bound', async () => {
    const disk = new FaultyDisk();
    const cells = await openCells(disk);
    await cells.append(utf8('small'));
    const pointer = await cells.append(new Uint8Array(3 * SEGMENT_BYTES).fill(5));
    expect((await cells.read(pointer)).every((byte) => byte === 5)).toBe(true);
    expect(await codeOf(cells.append(utf8('row'), new Uint8Array(RECORD_BYTES_MAX)))).toBe('TOO_LARGE');
    await cells.close();
  });
});

describe('space', () => {
  it('of a dead segment is used again under another number, and old places find nothing', async () => {
    const disk = new FaultyDisk();
    const cells = await openCells(disk);
    const bySegment = await fill(cells, 3);
    const [first] = [...bySegment.values()];
    for (const pointer of first ?? []) cells.release(pointer);
    await turns();
    for (const pointer of first ?? []) expect(await codeOf(cells.read(pointer))).toBe('NOT_FOUND');
    const [files, renames] = [(await disk.list('c')).length, disk.countOf('rename')];
    const more = await fill(cells, 2);
    expect(disk.countOf('rename')).toBeGreaterThan(renames);
    expect((await disk.list('c')).length).toBeLessThanOrEqual(files + 2);
    for (const pointer of [...more.values()].flat()) expect((await cells.read(pointer)).length).toBe(400);
    for (const pointer of first ?? []) expect(await codeOf(cells.read(pointer))).toBe('NOT_FOUND');
    await cells.close();
  });

  it('beyond a few dead segments is given back to the disk', async () => {
    const disk = new FaultyDisk();
    const cells = await openCells(disk);
    const bySegment = await fill(cells, 10);
    const before = (await disk.list('c')).length;
    for (const pointer of [...bySegment.values()].flat()) cells.release(pointer);
    await turns(20);
    expect(cells.liveBytes).toBe(0);
    expect((await disk.list('c')).length).toBeLessThan(before - 5);
    await cells.close();
  });

  it('is offered for compaction when less than 70 % of a full segment is live, the emptiest first', async () => {
    const cells = await openCells(new FaultyDisk());
    const segments = [...(await fill(cells, 3)).values()].slice(0, 3);
    // Four records of 456 bytes in 6144: already little, as segments are small here; so all are candidates.
    const [a = [], b = []] = segments;
    for (const pointer of a.slice(0, 2)) cells.release(pointer);
    for (const pointer of b.slice(0, 3)) cells.release(pointer);
    expect(cells.compactionCandidate()).toBe(b[0]?.segment);
    expect(cells.compactionCandidate()).toBe(a[0]?.segment);
    cells.release(b[3] as Pointer);
    await turns();
    expect(await codeOf(cells.read(b[3] as Pointer))).toBe('NOT_FOUND');
    await cells.close();
  });

  it('one that could not be emptied is not offered again until something in it is released', async () => {
    const cells = await openCells(new FaultyDisk());
    const [a = []] = [...(await fill(cells, 1)).values()];
    expect(cells.compactionCandidate()).toBe(a[0]?.segment);
    expect(cells.compactionCandidate()).toBeNull();
    cells.release(a[0] as Pointer);
    expect(cells.compactionCandidate()).toBe(a[0]?.segment);
    await cells.close();
  });

  it('that is well used is not offered', async () => {
    const disk = new FaultyDisk();
    const cells = await CellJournal.open(disk, 'c', JOURNAL_ID, random, HEADER_BYTES + 30_000);
    cells.recovered();
    const pointers: Pointer[] = [];
    while ((pointers.at(-1)?.segment ?? 1) === (pointers[0]?.segment ?? 1)) pointers.push(await cells.append(new Uint8Array(1000)));
    expect(cells.compactionCandidate()).toBeNull();
    for (const pointer of pointers.slice(0, 8)) cells.release(pointer);
    expect(cells.compactionCandidate()).toBe(pointers[0]?.segment);
    await cells.close();
  });

  it('a record is not released twice', async () => {
    const cells = await openCells(new FaultyDisk());
    const pointer = await cells.append(utf8('a'));
    cells.release(pointer);
    expect(() => cells.release(pointer)).toThrow(/released twice/);
    await cells.close();
  });
});

describe('after a restart', () => {
  it('nothing is appended to a segment of before, what is not live is used again, and places stay good', async () => {
    const disk = new FaultyDisk();
    const cells = await openCells(disk);
    const old = [...(await fill(cells, 4)).values()].flat();
    await cells.close();
    const live = old.slice(0, 2);
    const again = await openCells(disk, live);
    expect(again.segmentCount).toBe(1);
    const fresh = await again.append(utf8('fresh'));
    expect(fresh.segment).toBeGreaterThan(Math.max(...old.map((p) => p.segment)));
    await again.sync();
    for (const pointer of live) expect((await again.read(pointer)).length).toBe(400);
    for (const pointer of old.slice(4)) expect(await codeOf(again.read(pointer))).toBe('NOT_FOUND');
    await again.close();
  });

  it('a number that lost cells name is never given again', async () => {
    const disk = new FaultyDisk();
    const lost = { segment: 7, offset: HEADER_BYTES + 56, length: 400 };
    const cells = await openCells(disk, [lost]);
    expect((await cells.append(new Uint8Array(400))).segment).toBe(8);
    expect(await codeOf(cells.read(lost))).toBe('NOT_FOUND');
    await cells.close();
  });

  it('a damaged header loses the cells of its segment and no others', async () => {
    const disk = new FaultyDisk();
    const cells = await openCells(disk);
    const old = [...(await fill(cells, 3)).values()].flat();
    await cells.close();
    disk.flip(`c/${segmentName('cells', 1)}`, 20);
    const again = await openCells(disk, old);
    for (const pointer of old) expect(await codeOf(again.read(pointer))).toBe(pointer.segment === 1 ? 'CORRUPT' : 'done');
    await again.close();
  });

  it('a later format is refused', async () => {
    const disk = new FaultyDisk();
    const cells = await openCells(disk);
    await cells.append(utf8('a'));
    await cells.sync();
    await cells.close();
    for (const name of await disk.list('c')) {
      const file = await disk.open(`c/${name}`);
      const head = await file.readAt(0, HEADER_BYTES);
      head[9] = 9;
      head.set(sha256(head.subarray(0, HEADER_BYTES - 16)).subarray(0, 16), HEADER_BYTES - 16);
      await file.writeAt(0, [head]);
    }
    await expect(openCells(disk)).rejects.toThrow(/version 9/);
  });
});

describe('a cell journal whose disk fails', () => {
  it('a failed write keeps nothing and harms no other record', async () => {
    const disk = new FaultyDisk();
    const cells = await openCells(disk);
    const kept = await cells.append(utf8('kept'));
    const live = cells.liveBytes;
    disk.failWhen((step) => (step === 'write' ? 'DISK_ERROR' : null));
    expect(await codeOf(cells.append(utf8('failed')))).toBe('DISK_ERROR');
    expect(cells.liveBytes).toBe(live);
    disk.failWhen(() => null);
    const later = await cells.append(utf8('later'));
    await cells.sync();
    expect(later.segment).not.toBe(kept.segment);
    expect(fromUtf8(concat(await cells.read(kept), await cells.read(later)))).toBe('keptlater');
    await cells.close();
  });

  it('a failed sync is final', async () => {
    const disk = new FaultyDisk();
    const cells = await openCells(disk);
    await cells.append(utf8('a'));
    disk.failWhen((step) => (step === 'datasync' ? 'DISK_ERROR' : null));
    const waiting = [cells.sync(), cells.sync()];
    for (const sync of waiting) expect(await codeOf(sync)).toBe('DISK_ERROR');
    disk.failWhen(() => null);
    expect(await codeOf(cells.sync())).toBe('DISK_ERROR');
    expect(await codeOf(cells.append(utf8('b')))).toBe('DISK_ERROR');
    await cells.close();
  });

  it('a full disk refuses what needs a new segment, until space is given back', async () => {
    const disk = new FaultyDisk({ capacityBytes: 3 * SEGMENT_BYTES });
    const cells = await openCells(disk);
    const pointers: Pointer[] = [];
    const append = async (): Promise<void> => void pointers.push(await cells.append(new Uint8Array(400)));
    let code = 'done';
    while (code === 'done') code = await codeOf(append());
    expect(code).toBe('DISK_FULL');
    await cells.sync();
    for (const pointer of pointers.filter((p) => p.segment === 1)) cells.release(pointer);
    await turns();
    expect(await codeOf(append())).toBe('done');
    for (const pointer of pointers.filter((p) => p.segment !== 1)) expect((await cells.read(pointer)).length).toBe(400);
    await cells.close();
  });
});

/** An owner with a log that never fails: what it holds live and synced must be readable after any crash. */
class Owner {
  readonly live = new Map<string, Pointer>();
  readonly #bits: SeededBits;

  constructor(seed: number) {
    this.#bits = new SeededBits(seed);
  }

  async run(cells: CellJournal, rounds: number): Promise<void> {
    for (let round = 0; round < rounds; round += 1) {
      const written = await Promise.all(
        Array.from({ length: 1 + this.#bits.below(4) }, async () => {
          const bytes = new SeededRandom(this.#bits.below(1 << 30)).bytes(16 + this.#bits.below(600));
          return [hex(bytes), await cells.append(bytes.subarray(0, 16), bytes.subarray(16))] as const;
        }),
      );
      await cells.sync();
      for (const [bytes, pointer] of written) this.live.set(bytes, pointer);
      for (const [bytes, pointer] of this.live) {
        if (this.#bits.below(3) > 0) continue;
        this.live.delete(bytes);
        cells.release(pointer);
      }
      await this.#compact(cells);
    }
  }

  async #compact(cells: CellJournal): Promise<void> {
    const segment = cells.compactionCandidate();
    for (const [bytes, pointer] of this.live) {
      if (pointer.segment !== segment) continue;
      const old = await cells.read(pointer, 16);
      const copy = await cells.append(old.subarray(0, 16), old.subarray(16));
      await cells.sync();
      this.live.set(bytes, copy);
      cells.release(pointer);
    }
  }

  async check(cells: CellJournal): Promise<void> {
    for (const [bytes, pointer] of this.live) expect(hex(await cells.read(pointer, 16))).toBe(bytes);
  }
}

describe('after a loss of power', () => {
  it('at any step, every synced live record is there, through recycling and compaction', async () => {
    for (let seed = 1; seed <= 250; seed += 1) {
      let disk = new FaultyDisk({ seed });
      const owner = new Owner(seed);
      for (let life = 0; life < 4; life += 1) {
        disk.losePowerAt(1 + ((seed * 11 + life * 29) % 150));
        try {
          const cells = await openCells(disk, [...owner.live.values()]);
          await owner.run(cells, 20);
          await cells.close();
        } catch (error) {
          if (!disk.isOff) throw error;
        }
        disk = disk.powerCycle();
        const cells = await openCells(disk, [...owner.live.values()]);
        await owner.check(cells);
        await cells.close();
      }
    }
  });
});
