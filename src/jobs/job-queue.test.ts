import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hex, utf8 } from '../base/bytes.ts';
import type { Clock } from '../base/ports.ts';
import { MemoryStore } from '../sim/memory-store.ts';
import { JobQueue } from './job-queue.ts';

/** A clock that stands where it is put. */
class StillClock implements Clock {
  now = 1_000_000;
  nowMs = (): number => this.now;
  monotonicMs = (): number => this.now;
  after = (): never => {
    throw new Error('nothing waits here');
  };
  sleep = (): Promise<void> => Promise.resolve();
}

async function world(jobsMax: number = 100) {
  const [store, clock] = [new MemoryStore(), new StillClock()];
  const open = (): Promise<JobQueue> => JobQueue.open({ store, prefix: 'J', clock, jobsMax });
  return { store, clock, open, queue: await open() };
}

const names = async (queue: JobQueue): Promise<string[]> => {
  const found: string[] = [];
  for (let job = await queue.next(); job !== null; job = await queue.next()) found.push(String.fromCharCode(...job.id));
  return found;
};

describe('a queue of jobs', () => {
  it('gives the most urgent first, of these the oldest', async () => {
    const { queue, clock } = await world();
    for (const [name, priority] of [['a', 5], ['b', 3], ['c', 5], ['d', 3]] as const) {
      await queue.put(utf8(name), priority);
      clock.now += 1;
    }
    expect(await names(queue)).toEqual(['b', 'd', 'a', 'c']);
  });

  it('holds a job that is put twice once, with its age and the newest priority', async () => {
    const { queue, clock } = await world();
    await queue.put(utf8('a'), 9);
    clock.now += 10;
    await queue.put(utf8('b'), 4);
    clock.now += 10;
    await queue.put(utf8('a'), 4);
    expect(queue.size).toBe(2);
    expect(await names(queue)).toEqual(['a', 'b']);
  });

  it('finds what was not ended again after a crash, also what was in hand', async () => {
    const { queue, open } = await world();
    for (const name of ['a', 'b', 'c']) await queue.put(utf8(name), 1);
    const first = await queue.next();
    await queue.end(first?.id ?? utf8(''));
    await queue.next();
    const again = await open();
    expect(again.size).toBe(2);
    expect(await names(again)).toEqual(['b', 'c']);
  });

  it('brings what was deferred back when its time has come, and not before', async () => {
    const { queue, clock, open } = await world();
    await queue.put(utf8('a'), 1);
    await queue.next();
    await queue.defer(utf8('a'), 500);
    expect(await names(queue)).toEqual([]);
    clock.now += 499;
    expect(await names(await open())).toEqual([]);
    clock.now += 1;
    const job = await queue.next();
    expect([hex(job?.id ?? utf8('')), job?.attempts]).toEqual([hex(utf8('a')), 1]);
  });

  it('hastens all that was deferred', async () => {
    const { queue } = await world(1000);
    for (let i = 0; i < 300; i += 1) {
      await queue.put(utf8(`job ${i}`), 1);
      await queue.next();
      await queue.defer(utf8(`job ${i}`), 1e9);
    }
    await queue.hasten();
    expect((await names(queue)).length).toBe(300);
  });

  it('refuses what is above its bound, and takes it when there is room', async () => {
    const { queue } = await world(2);
    expect(await queue.put(utf8('a'), 1)).toBe(true);
    expect(await queue.put(utf8('b'), 1)).toBe(true);
    expect(await queue.put(utf8('c'), 1)).toBe(false);
    expect(await queue.put(utf8('a'), 0)).toBe(true);
    await queue.end(utf8('b'));
    expect(await queue.put(utf8('c'), 1)).toBe(true);
  });

  it('does what a sorted list does, whatever is done to it', async () => {
    const step = fc.record({
      act: fc.constantFrom('put', 'take', 'end', 'defer', 'crash'),
      id: fc.integer({ min: 0, max: 5 }),
      priority: fc.integer({ min: 0, max: 3 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
        const { open, clock, queue: first } = await world();
        let queue = first;
        const model = new Map<number, { priority: number; since: number; due: number; taken: boolean }>();
        for (const { act, id, priority } of steps) {
          clock.now += 1;
          const key = Uint8Array.of(id);
          const known = model.get(id);
          if (act === 'put') {
            await queue.put(key, priority);
            model.set(id, known === undefined ? { priority, since: clock.now, due: 0, taken: false } : { ...known, priority });
          } else if (act === 'take') {
            const wanted = [...model].filter(([, job]) => !job.taken && job.due <= clock.now);
            wanted.sort(([a, x], [b, y]) => x.priority - y.priority || x.since - y.since || a - b);
            const job = await queue.next();
            expect(job?.id[0]).toBe(wanted[0]?.[0]);
            if (wanted[0] !== undefined) wanted[0][1].taken = true;
          } else if (act === 'end') {
            await queue.end(key);
            model.delete(id);
          } else if (act === 'defer') {
            await queue.defer(key, 3);
            if (known !== undefined) model.set(id, { ...known, taken: false, due: clock.now + 3 });
          } else {
            queue = await open();
            for (const job of model.values()) job.taken = false;
          }
          expect(queue.size).toBe(model.size);
        }
      }),
      { numRuns: 60 },
    );
  });
});
