import { describe, expect, it } from 'vitest';
import { SystemClock } from '../platform/clock.ts';
import { CountingTelemetry } from '../sim/counting-telemetry.ts';
import { FaultyDisk } from '../sim/faulty-disk.ts';
import { EventJournal } from './event-journal.ts';
import type { WantedEvent } from './s3/notification/event-queue.ts';

const clock = new SystemClock();
const telemetry = new CountingTelemetry();
const open = (disk: FaultyDisk): Promise<EventJournal> =>
  EventJournal.open({ disk, telemetry, journalId: new Uint8Array(16).fill(1), rotateRecords: 6 });

function wanted(key: string): WantedEvent {
  const optional = { versionId: undefined, etag: 'e', size: undefined, accountId: 'a', sourceAddress: undefined };
  const event = { name: 's3:ObjectCreated:Put', bucket: 'box', key, timeMs: 5, requestId: 'R', ...optional } as const;
  return { webhook: 'hook', configurationId: 'rule', bucketOwner: 'owner', sequencer: '0001', event };
}
const keysOf = (queue: EventJournal): readonly string[] => queue.waiting.map(({ event }) => event.key);

describe('events that wait', () => {
  it('come back after a restart as they were, in order, but for those that were told', async () => {
    const disk = new FaultyDisk();
    const first = await open(disk);
    const [a, b] = await first.add([wanted('a'), wanted('b')]);
    await first.add([wanted('c')]);
    first.done(b?.id ?? -1);
    await first.close();
    const again = await open(disk.powerCycle());
    expect(again.waiting.map(({ id: _, ...event }) => event)).toEqual([wanted('a'), wanted('c')]);
    expect(again.waiting[0]?.id).toBe(a?.id);
    await again.close();
  });

  it('never share an id with one that was told, however often the journal goes on elsewhere', async () => {
    const disk = new FaultyDisk();
    const seen = new Set<number>();
    for (let life = 0; life < 4; life += 1) {
      const queue = await open(disk);
      for (let i = 0; i < 10; i += 1) {
        const [queued] = await queue.add([wanted(`${life} ${i}`)]);
        expect(seen.has(queued?.id ?? -1)).toBe(false);
        seen.add(queued?.id ?? -1);
        if (i > 0) queue.done(queued?.id ?? -1);
      }
      await queue.close();
    }
    const last = await open(disk);
    expect(keysOf(last)).toEqual(['0 0', '1 0', '2 0', '3 0']);
    await last.close();
  });

  it('survive a loss of power at any moment once they were queued', async () => {
    for (let step = 1; step < 200; step += 3) {
      const disk = new FaultyDisk({ seed: step });
      const [durable, told] = [new Set<string>(), new Set<string>()];
      disk.losePowerAt(step);
      const run = async (): Promise<void> => {
        const queue = await open(disk);
        for (let i = 0; i < 20; i += 1) {
          const [queued] = await queue.add([wanted(String(i))]);
          durable.add(String(i));
          if (i % 3 === 0) continue;
          told.add(String(i));
          queue.done(queued?.id ?? -1);
        }
        await queue.close();
      };
      const isOver = async (): Promise<void> => {
        while (!disk.isOff) await clock.sleep(1);
      };
      await Promise.race([run().catch((error: unknown) => (disk.isOff ? undefined : Promise.reject(error as Error))), isOver()]);
      const queue = await open(disk.powerCycle());
      const left = new Set(keysOf(queue));
      for (const key of durable) expect(left.has(key) || told.has(key), `${key} after ${step} steps`).toBe(true);
      await queue.close();
    }
  }, 60_000);
});
