/** The log journal on a disk that works, is slow, is full or fails: what it promises its owner. */
import { describe, expect, it } from 'vitest';
import { EMPTY, equal, fromUtf8, hex, utf8 } from '../base/bytes.ts';
import { sha256 } from '../crypto/primitives.ts';
import { codeOf } from '../platform/disk.contract.ts';
import { FaultyDisk } from '../sim/faulty-disk.ts';
import type { DiskStep } from '../sim/faulty-disk.ts';
import { LogJournal, RECORD_BYTES_MAX } from './log-journal.ts';
import { Account, JOURNAL_ID, openLog, SMALL_SEGMENT_BYTES } from './log-world.contract.ts';
import { HEADER_BYTES, segmentName } from './segment.ts';

const texts = (...words: string[]): Uint8Array[] => words.map(utf8);
const wordsOf = (records: readonly string[]): string[] =>
  records.map((record) => fromUtf8(Uint8Array.from(record.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16))));

/** Holds back the chosen steps until they are let go. */
class Gate {
  #waiting: (() => void)[] = [];
  isShut = false;

  readonly delay = (operation: DiskStep | 'read'): Promise<void> =>
    this.isShut && operation === 'datasync' ? new Promise((resolve) => this.#waiting.push(resolve)) : Promise.resolve();

  open(): void {
    this.isShut = false;
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('LogJournal', () => {
  it('hands back every record in order after a restart, and reads each by its place', async () => {
    const disk = new FaultyDisk();
    const { journal } = await openLog(disk);
    const [a, b] = await journal.append(texts('one', ''));
    const [c] = await journal.append(texts('three'));
    expect(journal.sequence).toBe(3);
    for (const [pointer, word] of [[a, 'one'], [b, ''], [c, 'three']] as const) {
      expect(fromUtf8(await journal.read(pointer ?? { segment: 0, offset: 0, length: 0 }))).toBe(word);
    }
    await journal.close();
    const again = await openLog(disk);
    expect(wordsOf(again.records)).toEqual(['one', '', 'three']);
    expect(again.pointers).toEqual([a, b, c]);
  });

  it('one write and one sync serve all that came while the one before was under way', async () => {
    const gate = new Gate();
    const disk = new FaultyDisk({ delay: gate.delay });
    const { journal } = await openLog(disk, { segmentBytes: 1 << 20 });
    await journal.append(texts('first'));
    const [writes, syncs] = [disk.countOf('write'), disk.countOf('datasync')];
    gate.isShut = true;
    const early = journal.append(texts('early'));
    await turn();
    const late = Array.from({ length: 200 }, (_, i) => journal.append(texts(`late ${i}`)));
    await turn();
    gate.open();
    await Promise.all([early, ...late]);
    expect(disk.countOf('write') - writes).toBe(2);
    expect(disk.countOf('datasync') - syncs).toBe(2);
    expect(journal.sequence).toBe(202);
  });

  it('appends of one turn share one sync', async () => {
    const disk = new FaultyDisk();
    const { journal } = await openLog(disk, { segmentBytes: 1 << 20 });
    await journal.append(texts('first'));
    const syncs = disk.countOf('datasync');
    await Promise.all(texts('a', 'b', 'c').map((record) => journal.append([record])));
    expect(disk.countOf('datasync') - syncs).toBe(1);
  });

  it('acknowledges nothing before its sync has ended', async () => {
    const gate = new Gate();
    const { journal } = await openLog(new FaultyDisk({ delay: gate.delay }), { segmentBytes: 1 << 20 });
    await journal.append(texts('first'));
    gate.isShut = true;
    let isAcknowledged = false;
    const append = journal.append(texts('x')).then(() => (isAcknowledged = true));
    await turn();
    expect([isAcknowledged, journal.sequence]).toEqual([false, 1]);
    gate.open();
    await append;
    expect(journal.sequence).toBe(2);
  });

  it('changes segments without a further sync, once the next one is made', async () => {
    const disk = new FaultyDisk();
    const { journal } = await openLog(disk);
    const record = new Uint8Array(400);
    for (let i = 0; i < 4; i += 1) await journal.append([record]);
    await turn();
    const syncs = disk.countOf('datasync');
    const [pointer] = await journal.append([record]);
    expect(pointer?.segment).toBe(2);
    expect(disk.countOf('datasync') - syncs).toBe(1);
  });

  it('a record of the greatest size gets a segment of its size, a greater one is refused', async () => {
    const disk = new FaultyDisk();
    const { journal } = await openLog(disk);
    await journal.append(texts('small'));
    const large = new Uint8Array(RECORD_BYTES_MAX).fill(7);
    const [pointer] = await journal.append([large]);
    await journal.append(texts('after'));
    expect(journal.refusal([new Uint8Array(RECORD_BYTES_MAX + 1)])?.code).toBe('TOO_LARGE');
    await journal.close();
    const sizes: number[] = [];
    const again = await LogJournal.open(disk, 'j', JOURNAL_ID, { onRecord: (bytes) => sizes.push(bytes.length) });
    expect(sizes).toEqual([5, RECORD_BYTES_MAX, 5]);
    const read = pointer === undefined ? EMPTY : await again.read(pointer);
    expect(equal(read, large)).toBe(true);
  });

  it('a full queue is BUSY before anything is taken, and free again when it has drained', async () => {
    const gate = new Gate();
    const { journal } = await openLog(new FaultyDisk({ delay: gate.delay }));
    await journal.append(texts('first'));
    gate.isShut = true;
    const large = new Uint8Array(RECORD_BYTES_MAX - 100);
    const taken: Promise<unknown>[] = [journal.append(texts('under way'))];
    await turn();
    for (let i = 0; i < 4; i += 1) taken.push(journal.append([large]));
    expect(journal.refusal([large])).toMatchObject({ code: 'BUSY', retryable: true });
    expect(journal.refusal(texts('still small'))).toBeNull();
    gate.open();
    await Promise.all(taken);
    expect(journal.refusal([large])).toBeNull();
    await journal.append([large]);
  });

  it('an append that is refused ends the journal: its owner may already count the record in', async () => {
    const { journal } = await openLog(new FaultyDisk());
    expect(await codeOf(journal.append([new Uint8Array(RECORD_BYTES_MAX + 1)]))).toBe('TOO_LARGE');
    expect(journal.poisoned).toBe(true);
    expect(await codeOf(journal.append(texts('x')))).toBe('TOO_LARGE');
  });

  it('a place that holds no record is CORRUPT, and one that is gone NOT_FOUND', async () => {
    const disk = new FaultyDisk();
    const { journal } = await openLog(disk);
    const [pointer] = await journal.append(texts('record'));
    if (pointer === undefined) throw new Error('no place');
    for (const wrong of [
      { ...pointer, length: 5 },
      { ...pointer, length: 7 },
      { ...pointer, offset: pointer.offset + 8 },
      { ...pointer, offset: 0 },
      { ...pointer, offset: 1e9 },
    ]) {
      expect(await codeOf(journal.read(wrong))).toBe('CORRUPT');
    }
    expect(await codeOf(journal.read({ ...pointer, segment: 9 }))).toBe('NOT_FOUND');
    disk.flip(`j/${segmentName('log', 1)}`, pointer.offset + 2);
    expect(await codeOf(journal.read(pointer))).toBe('CORRUPT');
  });
});

describe('a journal whose disk fails', () => {
  it.each(['write', 'datasync'] as const)('is ended by one failed %s, which is not tried again', async (step) => {
    let disk = new FaultyDisk();
    const { journal } = await openLog(disk);
    await journal.append(texts('kept'));
    let failures = 0;
    disk.failWhen((now) => {
      if (now !== step || failures > 0) return null;
      failures += 1;
      return 'DISK_ERROR';
    });
    const [steps, append] = [disk.steps, journal.append(texts('failed'))];
    const behind = journal.append(texts('behind it'));
    expect(await codeOf(append)).toBe('DISK_ERROR');
    expect(await codeOf(behind)).toBe('DISK_ERROR');
    const after = disk.steps;
    expect(after - steps).toBeLessThanOrEqual(2);
    expect(journal.poisoned).toBe(true);
    expect(await codeOf(journal.append(texts('later')))).toBe('DISK_ERROR');
    await journal.close();
    expect(disk.steps).toBe(after);
    disk = disk.powerCycle();
    const { records } = await openLog(disk);
    expect(wordsOf(records)[0]).toBe('kept');
  });

  it('refuses with DISK_FULL when there is no room for the next segment, and goes on when there is', async () => {
    const disk = new FaultyDisk({ capacityBytes: SMALL_SEGMENT_BYTES + 100 });
    const { journal } = await openLog(disk);
    const record = new Uint8Array(300);
    const account: number[] = [];
    while (journal.refusal([record]) === null) {
      await journal.append([record]);
      account.push(journal.sequence);
      await turn();
    }
    expect(account.length).toBeGreaterThan(3);
    expect(journal.refusal([record])?.code).toBe('DISK_FULL');
    // What fits the present segment is still taken.
    expect(journal.refusal([EMPTY])).toBeNull();
    expect(journal.poisoned).toBe(false);
    disk.capacityBytes = 10 * SMALL_SEGMENT_BYTES;
    journal.refusal([record]);
    await turn();
    expect(journal.refusal([record])).toBeNull();
    await journal.append([record]);
    await journal.close();
    expect((await openLog(disk)).records.length).toBe(account.length + 1);
  });

  it('on a read-only disk is refused with that code', async () => {
    const disk = new FaultyDisk();
    const { journal } = await openLog(disk);
    await journal.append(texts('kept'));
    disk.isReadOnly = true;
    expect(await codeOf(journal.append(texts('x')))).toBe('DISK_READ_ONLY');
    await journal.close();
    expect(await codeOf(openLog(disk))).toBe('DISK_READ_ONLY');
  });

  it('a closed journal says so', async () => {
    const { journal } = await openLog(new FaultyDisk());
    const queued = journal.append(texts('queued'));
    await Promise.all([journal.close(), journal.close()]);
    expect((await queued).length).toBe(1);
    expect(await codeOf(journal.append(texts('x')))).toBe('STOPPED');
  });
});

describe('records whose companions are synced beside them', () => {
  it('are acknowledged, and followed by others, only when the companions are durable', async () => {
    const disk = new FaultyDisk();
    const { journal } = await openLog(disk);
    let release = (): void => undefined;
    const order: string[] = [];
    const cells = new Promise<void>((resolve) => (release = resolve));
    const beside = journal.append(texts('beside'), cells).then(() => order.push('beside'));
    await turn();
    const later = journal.append(texts('later')).then(() => order.push('later'));
    await turn();
    expect([order, disk.countOf('write')]).toEqual([[], 1]);
    release();
    await Promise.all([beside, later]);
    expect(order).toEqual(['beside', 'later']);
  });

  it('end the journal when the companions fail', async () => {
    const { journal } = await openLog(new FaultyDisk());
    const failed = journal.append(texts('x'), Promise.reject(new Error('cells')));
    expect(await codeOf(failed)).toBe('DISK_ERROR');
    expect(journal.poisoned).toBe(true);
  });

  it('are asked after at recovery in the last batch alone, and cut from the first that is not whole', async () => {
    let disk = new FaultyDisk();
    const { journal } = await openLog(disk);
    await journal.append(texts('settled'));
    await journal.append(texts('whole', 'not whole', 'behind it'));
    disk = disk.powerCycle();
    const asked: string[] = [];
    const recovered = await openLog(disk, {
      isWhole: (bytes) => {
        asked.push(fromUtf8(bytes));
        return Promise.resolve(fromUtf8(bytes) === 'whole');
      },
    });
    expect(asked).toEqual(['whole', 'not whole']);
    expect(wordsOf(recovered.records)).toEqual(['settled', 'whole']);
    await recovered.journal.append(texts('new'));
    disk = disk.powerCycle();
    expect(wordsOf((await openLog(disk)).records)).toEqual(['settled', 'whole', 'new']);
  });

  it('are not asked after when the log was closed', async () => {
    const disk = new FaultyDisk();
    const { journal } = await openLog(disk);
    await journal.append(texts('a'));
    await journal.close();
    const { records } = await openLog(disk, { isWhole: () => Promise.resolve(false) });
    expect(wordsOf(records)).toEqual(['a']);
  });
});

describe('a log below a snapshot', () => {
  async function longLog(): Promise<{ disk: FaultyDisk; account: Account; journal: LogJournal }> {
    const disk = new FaultyDisk();
    const account = new Account(3);
    const { journal } = await openLog(disk);
    await account.appendTo(journal, 40);
    return { disk, account, journal };
  }

  it('is handed out from the snapshot on, and its older segments are not read', async () => {
    const { disk, account, journal } = await longLog();
    await journal.close();
    const total = account.submitted.length;
    for (let after = 0; after <= total; after += 1) {
      const { records, journal: again } = await openLog(disk.clone(), { after });
      expect(records).toEqual(account.submitted.slice(after));
      await again.close();
    }
    expect(await codeOf(openLog(disk.clone(), { after: total + 1 }))).toBe('LOST_STATE');
    // Older segments may even be damaged: that is for whoever reads them.
    disk.flip(`j/${segmentName('log', 1)}`, HEADER_BYTES + 60);
    expect((await openLog(disk, { after: total - 1 })).records.length).toBe(1);
  });

  it('can be removed segment by segment, never beyond what the snapshot stands for', async () => {
    const { disk, account, journal } = await longLog();
    const before = journal.segmentCount;
    await journal.removeUpTo(20);
    expect(journal.segmentCount).toBeLessThan(before);
    await account.appendTo(journal, 3);
    await journal.close();
    const { records, pointers, journal: again } = await openLog(disk, { after: 20 });
    expect(records).toEqual(account.submitted.slice(20));
    for (const [i, pointer] of pointers.entries()) expect(hex(await again.read(pointer))).toBe(records[i]);
    await again.removeUpTo(account.submitted.length);
    expect(again.segmentCount).toBe(1);
    await again.close();
    expect(await codeOf(openLog(disk, { after: 20 }))).toBe('LOST_STATE');
    expect(await codeOf(openLog(disk))).toBe('LOST_STATE');
    expect((await openLog(disk, { after: account.submitted.length })).records).toEqual([]);
  });
});

describe('a folder that is not this log', () => {
  it('of another journal is refused', async () => {
    const disk = new FaultyDisk();
    const { journal } = await openLog(disk);
    await journal.append(texts('a'));
    await journal.append(new Array<Uint8Array>(12).fill(new Uint8Array(300)));
    await journal.close();
    const other = LogJournal.open(disk, 'j', sha256(JOURNAL_ID).subarray(0, 16), { onRecord: () => undefined });
    expect(await codeOf(other)).toBe('LOST_STATE');
  });

  it('of a later format is refused with both versions named, and nothing is changed', async () => {
    const disk = new FaultyDisk();
    const { journal } = await openLog(disk);
    await journal.append(texts('a'));
    await journal.close();
    const file = await disk.open(`j/${segmentName('log', 1)}`);
    const head = await file.readAt(0, HEADER_BYTES);
    head[9] = 2;
    head.set(sha256(head.subarray(0, HEADER_BYTES - 16)).subarray(0, 16), HEADER_BYTES - 16);
    await file.writeAt(0, [head]);
    const before = hex(await disk.readFile(file.path, 1e6));
    await expect(openLog(disk)).rejects.toThrow(/version 2; this program knows 1/);
    expect(hex(await disk.readFile(file.path, 1e6))).toBe(before);
  });
});
