/**
 * The queue of events on the gateway's disk: an event is durable before the change that it tells of is
 * acknowledged, and stays until its webhook has taken it. A crash between the two tells it again.
 */
import { z } from 'zod';
import { describeError } from '../base/errors.ts';
import { uint } from '../protocol/encoding.ts';
import { EVENT_NAMES } from './s3/port/events.ts';
import type { ObjectEvent } from './s3/port/events.ts';
import type { EventQueue, QueuedEvent, WantedEvent } from './s3/notification/event-queue.ts';
import { RotatingJournal } from './rotating-journal.ts';
import type { RotatingJournalOptions } from './rotating-journal.ts';

const text = z.string().max(4096);
const eventSchema = z.strictObject({
  name: z.enum(EVENT_NAMES),
  bucket: text,
  key: text,
  timeMs: uint,
  versionId: text.nullable(),
  etag: text.nullable(),
  size: uint.nullable(),
  accountId: text.nullable(),
  sourceAddress: text.nullable(),
  requestId: text,
});
const recordSchema = z.discriminatedUnion('r', [
  /** The first record of a folder. Ids are never given twice. */
  z.strictObject({ r: z.literal('FOLDER'), number: uint, next: uint }),
  z.strictObject({
    r: z.literal('QUEUED'),
    id: uint,
    webhook: text,
    configurationId: text,
    bucketOwner: text,
    sequencer: text,
    event: eventSchema,
  }),
  z.strictObject({ r: z.literal('DONE'), id: uint }),
]);
type EventRecord = z.infer<typeof recordSchema>;

export type EventJournalPorts = Pick<RotatingJournalOptions<EventRecord>, 'disk' | 'telemetry' | 'journalId' | 'rotateRecords'>;

export class EventJournal implements EventQueue {
  readonly #ports: EventJournalPorts;
  readonly #waiting = new Map<number, QueuedEvent>();
  #next = 0;
  #journal: RotatingJournal<EventRecord> | null = null;
  #writing: Promise<void> = Promise.resolve();

  private constructor(ports: EventJournalPorts) {
    this.#ports = ports;
  }

  /** Opens or creates it in the disk's root. Errors: those of the disk. */
  static async open(ports: EventJournalPorts): Promise<EventJournal> {
    const queue = new EventJournal(ports);
    queue.#journal = await RotatingJournal.open({
      ...ports,
      name: 'events',
      schema: recordSchema,
      replay: (record) => queue.#replay(record),
      snapshot: (number) => [{ r: 'FOLDER', number, next: queue.#next }, ...queue.waiting.map(toRecord)],
    });
    return queue;
  }

  get waiting(): readonly QueuedEvent[] {
    return [...this.#waiting.values()].sort((a, b) => a.id - b.id);
  }

  async add(events: readonly WantedEvent[]): Promise<readonly QueuedEvent[]> {
    const queued = events.map((event) => ({ ...event, id: this.#next++ }));
    for (const one of queued) this.#waiting.set(one.id, one);
    try {
      await this.#append(queued.map(toRecord));
    } catch (error) {
      for (const { id } of queued) this.#waiting.delete(id);
      throw error;
    }
    return queued;
  }

  done(id: number): void {
    if (!this.#waiting.delete(id)) return;
    this.#writing = this.#append([{ r: 'DONE', id }]).catch((error: unknown) => {
      this.#ports.telemetry.event('warn', 'event told again after a restart', { error: describeError(error) });
    });
  }

  async close(): Promise<void> {
    await this.#writing;
    await this.#journal?.close();
  }

  async #append(records: readonly EventRecord[]): Promise<void> {
    await this.#journal?.append(records);
  }

  /** A folder begins with what waits, and takes nothing back: what it names twice is one event. */
  #replay(record: EventRecord): void {
    switch (record.r) {
      case 'FOLDER':
        this.#next = Math.max(this.#next, record.next);
        break;
      case 'QUEUED': {
        const { r: _, event, ...rest } = record;
        this.#waiting.set(record.id, { ...rest, event: toEvent(event) });
        this.#next = Math.max(this.#next, record.id + 1);
        break;
      }
      case 'DONE':
        this.#waiting.delete(record.id);
        break;
    }
  }
}

function toRecord({ event, ...rest }: QueuedEvent): EventRecord {
  const { versionId, etag, size, accountId, sourceAddress } = event;
  const nullable = {
    versionId: versionId ?? null,
    etag: etag ?? null,
    size: size ?? null,
    accountId: accountId ?? null,
    sourceAddress: sourceAddress ?? null,
  };
  return { r: 'QUEUED', ...rest, event: { ...event, ...nullable } };
}

function toEvent(event: z.infer<typeof eventSchema>): ObjectEvent {
  const { versionId, etag, size, accountId, sourceAddress } = event;
  return {
    ...event,
    versionId: versionId ?? undefined,
    etag: etag ?? undefined,
    size: size ?? undefined,
    accountId: accountId ?? undefined,
    sourceAddress: sourceAddress ?? undefined,
  };
}
