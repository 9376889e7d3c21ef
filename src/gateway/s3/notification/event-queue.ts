/**
 * What waits to be told to webhooks. A gateway keeps it durably (gateway/event-journal.ts), so that what was
 * acknowledged is told although the process ends; in memory it serves where nothing outlives the process.
 */
import type { ObjectEvent } from '../port/events.ts';

/** An event with the rule that wants it told. */
export interface WantedEvent {
  readonly webhook: string;
  readonly configurationId: string;
  /** Canonical id. */
  readonly bucketOwner: string;
  /** Orders the events of one key at one gateway. */
  readonly sequencer: string;
  readonly event: ObjectEvent;
}

export interface QueuedEvent extends WantedEvent {
  /** Grows in the order of arrival. */
  readonly id: number;
}

export interface EventQueue {
  /** What an earlier process left, oldest first. */
  readonly waiting: readonly QueuedEvent[];
  /** Resolves when it would outlive the process, if anything does. Errors: those of the disk. */
  add(events: readonly WantedEvent[]): Promise<readonly QueuedEvent[]>;
  /** It was told, or is given up. Never throws: what is forgotten to be told is told again. */
  done(id: number): void;
}

export class MemoryQueue implements EventQueue {
  readonly waiting: readonly QueuedEvent[] = [];
  #next = 0;

  add(events: readonly WantedEvent[]): Promise<readonly QueuedEvent[]> {
    return Promise.resolve(events.map((event) => ({ ...event, id: this.#next++ })));
  }

  done(): void {
    // Nothing was kept.
  }
}
