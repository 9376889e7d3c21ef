/**
 * Tells webhooks of events: matches each with the bucket's rules and queues it durably before the request that
 * made it is answered; then signs it and posts it, in the order of arrival for each webhook, again with
 * growing pauses while the receiver does not take it. So what was acknowledged is told, at least once. What
 * waits is bounded in number for each webhook and in age, so that a receiver that is gone takes nothing from
 * others; what is given up is counted by its reason.
 */
import { isOperationError } from '../../../base/errors.ts';
import type { Clock, Telemetry } from '../../../base/ports.ts';
import type { ObjectStore } from '../port/object-store.ts';
import { decodeNotification, rulesFor } from './document.ts';
import type { EventQueue, QueuedEvent } from './event-queue.ts';
import type { EventSink, ObjectEvent } from '../port/events.ts';
import { eventRecord, webhookSignature } from './record.ts';
import type { Webhook } from './webhooks.ts';

export const SIGNATURE_HEADER = 'x-holdfast-signature';

export interface WebhookPost {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly timeoutMs: number;
}

/**
 * Posts without following redirects and without reading more of the answer than its head. Resolves with the
 * status; rejects when there was no answer in time.
 */
export type PostWebhook = (post: WebhookPost, signal: AbortSignal) => Promise<number>;

export interface NotifierLimits {
  /** Events waiting for one webhook. */
  readonly waitingMax: number;
  readonly timeoutMs: number;
  readonly retryMs: number;
  readonly retryMsMax: number;
  /** Older events are given up. */
  readonly ageMsMax: number;
}

export const NOTIFIER_LIMITS: NotifierLimits = {
  waitingMax: 10_000,
  timeoutMs: 10_000,
  retryMs: 500,
  retryMsMax: 60_000,
  ageMsMax: 24 * 3600 * 1000,
};

export interface NotifierOptions {
  /** Unguarded. */
  readonly store: ObjectStore;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  readonly region: string;
  readonly webhooks: ReadonlyMap<string, Webhook>;
  readonly queue: EventQueue;
  readonly post: PostWebhook;
  readonly limits?: Partial<NotifierLimits>;
}

type Dropped = 'queue-full' | 'too-old' | 'refused' | 'no-webhook' | 'unreadable';

export class Notifier implements EventSink {
  readonly #options: NotifierOptions;
  readonly #limits: NotifierLimits;
  readonly #queues = new Map<string, QueuedEvent[]>();
  /** Matched and not yet durable, by webhook: they have their place. */
  readonly #coming = new Map<string, number>();
  readonly #stop = new AbortController();
  readonly #sending = new Map<string, Promise<void>>();
  #sequence = 0;

  constructor(options: NotifierOptions) {
    this.#options = options;
    this.#limits = { ...NOTIFIER_LIMITS, ...options.limits };
    for (const queued of options.queue.waiting) this.#enqueue(queued);
  }

  /** Throws OperationError when the bucket's rules cannot be read or the queue cannot be written. */
  async emit(event: ObjectEvent): Promise<void> {
    const { store, webhooks, queue } = this.#options;
    if (webhooks.size === 0) return;
    const sequencer = this.#sequencer(event.timeMs);
    const found = await store.readBucket(event.bucket);
    const document = found.outcome === 'found' ? found.bucket.documents.notification : undefined;
    if (found.outcome !== 'found' || document === undefined) return;
    const rules = decodeNotification(document);
    if (rules === undefined) return this.#drop('unreadable');
    const bucketOwner = found.bucket.owner;
    const wanted = rulesFor(rules, event.name, event.key)
      .filter(({ webhook }) => this.#hasRoom(webhook))
      .map(({ webhook, id }) => ({ webhook, configurationId: id, bucketOwner, sequencer, event }));
    if (wanted.length === 0) return;
    const count = (by: number): void => {
      for (const { webhook } of wanted) this.#coming.set(webhook, (this.#coming.get(webhook) ?? 0) + by);
    };
    count(1);
    try {
      for (const queued of await queue.add(wanted)) this.#enqueue(queued);
    } finally {
      count(-1);
    }
  }

  /** Resolves when nothing waits any more. */
  async idle(): Promise<void> {
    while (this.#sending.size > 0) await Promise.all(this.#sending.values());
  }

  /** Ends the telling; what waits stays in the queue. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.idle();
  }

  /** Of two events of one key at one gateway the later has the greater one, compared as text. */
  #sequencer(timeMs: number): string {
    this.#sequence = (this.#sequence + 1) % 2 ** 32;
    return `${timeMs.toString(16).padStart(12, '0')}${this.#sequence.toString(16).padStart(8, '0')}`.toUpperCase();
  }

  #hasRoom(webhook: string): boolean {
    if (!this.#options.webhooks.has(webhook)) {
      this.#drop('no-webhook');
      return false;
    }
    const waiting = (this.#queues.get(webhook)?.length ?? 0) + (this.#coming.get(webhook) ?? 0);
    if (waiting < this.#limits.waitingMax) return true;
    this.#drop('queue-full');
    return false;
  }

  #enqueue(queued: QueuedEvent): void {
    const { webhook } = queued;
    const waiting = this.#queues.get(webhook) ?? [];
    this.#queues.set(webhook, waiting);
    waiting.push(queued);
    if (this.#sending.has(webhook) || this.#stop.signal.aborted) return;
    const sending = this.#send(waiting).finally(() => this.#sending.delete(webhook));
    this.#sending.set(webhook, sending);
  }

  async #send(waiting: QueuedEvent[]): Promise<void> {
    // Not in the turn in which it came: whoever emits goes on first.
    await Promise.resolve();
    for (let next = waiting[0]; next !== undefined; next = waiting[0]) {
      const outcome = await this.#deliver(next);
      if (outcome === 'stopped') return;
      if (outcome === 'told') this.#options.telemetry.count('s3_events_sent');
      else this.#drop(outcome);
      waiting.shift();
      this.#options.queue.done(next.id);
    }
  }

  /** Tries until it is taken or given up. */
  async #deliver(queued: QueuedEvent): Promise<'told' | 'stopped' | Dropped> {
    const { clock, webhooks, telemetry } = this.#options;
    const { ageMsMax, retryMs, retryMsMax } = this.#limits;
    const webhook = webhooks.get(queued.webhook);
    if (webhook === undefined) return 'no-webhook';
    for (let pauseMs = retryMs; ; pauseMs = Math.min(2 * pauseMs, retryMsMax)) {
      if (this.#stop.signal.aborted) return 'stopped';
      if (clock.nowMs() - queued.event.timeMs > ageMsMax) return 'too-old';
      const status = await this.#attempt(webhook, queued);
      if (status >= 200 && status < 300) return 'told';
      if (status === 410) return 'refused';
      telemetry.count('s3_events_retried');
      await this.#rest(pauseMs);
    }
  }

  /** The status; 0 when there was none. */
  async #attempt({ url, secret }: Webhook, queued: QueuedEvent): Promise<number> {
    const { clock, post, region } = this.#options;
    try {
      const record = eventRecord(await this.#withSize(queued.event), { ...queued, region });
      const body = JSON.stringify({ Records: [record] });
      const headers = {
        'content-type': 'application/json',
        'user-agent': 'Holdfast',
        [SIGNATURE_HEADER]: webhookSignature(secret, clock.nowMs(), body),
      };
      return await post({ url, headers, body, timeoutMs: this.#limits.timeoutMs }, this.#stop.signal);
    } catch {
      return 0;
    }
  }

  /** A copy, and who is told once more, do not know how long it is. */
  async #withSize(event: ObjectEvent): Promise<ObjectEvent> {
    if (!event.name.startsWith('s3:ObjectCreated:') || event.size !== undefined) return event;
    const { bucket, key, versionId } = event;
    const found = await this.#options.store.headObject({ bucket, key, versionId });
    return found.outcome === 'found' ? { ...event, size: found.info.size } : event;
  }

  async #rest(ms: number): Promise<void> {
    try {
      await this.#options.clock.sleep(ms, this.#stop.signal);
    } catch (error) {
      if (!isOperationError(error, 'CANCELLED')) throw error;
    }
  }

  #drop(reason: Dropped): void {
    this.#options.telemetry.count('s3_events_dropped', { reason });
  }
}
