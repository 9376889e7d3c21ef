/**
 * Tells webhooks of events: matches each with the bucket's rules, signs it and posts it, in the order of
 * arrival for each webhook, again with growing pauses while the receiver does not take it. What waits is
 * bounded in number for each webhook and in age, so that a receiver that is gone costs a bounded memory and
 * takes nothing from others; what is given up is counted by its reason. Nothing is kept on disk: what waits
 * when a gateway ends is lost, and a receiver may get one event twice. Who must not miss anything lists the
 * bucket.
 */
import { isOperationError } from '../../../base/errors.ts';
import type { Clock, Telemetry } from '../../../base/ports.ts';
import type { ObjectStore } from '../port/object-store.ts';
import { decodeNotification, rulesFor } from './document.ts';
import type { NotificationRule } from './document.ts';
import type { EventSink, ObjectEvent } from './events.ts';
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
  /** Events not yet matched with their bucket's rules. */
  readonly unmatchedMax: number;
  readonly attemptsMax: number;
  readonly timeoutMs: number;
  readonly retryMs: number;
  readonly retryMsMax: number;
  /** Older events are dropped. */
  readonly ageMsMax: number;
}

export const NOTIFIER_LIMITS: NotifierLimits = {
  waitingMax: 10_000,
  unmatchedMax: 10_000,
  attemptsMax: 20,
  timeoutMs: 10_000,
  retryMs: 500,
  retryMsMax: 60_000,
  ageMsMax: 3600 * 1000,
};

export interface NotifierOptions {
  /** Unguarded. */
  readonly store: ObjectStore;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  readonly region: string;
  readonly webhooks: ReadonlyMap<string, Webhook>;
  readonly post: PostWebhook;
  readonly limits?: Partial<NotifierLimits>;
}

interface Waiting {
  readonly body: string;
  readonly sinceMs: number;
}

type Dropped = 'queue-full' | 'too-old' | 'refused' | 'attempts' | 'no-webhook' | 'unreadable' | 'stopped';

export class Notifier implements EventSink {
  readonly #options: NotifierOptions;
  readonly #limits: NotifierLimits;
  readonly #unmatched: { readonly event: ObjectEvent; readonly sequencer: string }[] = [];
  readonly #queues = new Map<string, Waiting[]>();
  readonly #stop = new AbortController();
  #matching: Promise<void> | undefined;
  readonly #sending = new Map<string, Promise<void>>();
  #sequence = 0;

  constructor(options: NotifierOptions) {
    this.#options = options;
    this.#limits = { ...NOTIFIER_LIMITS, ...options.limits };
  }

  emit(event: ObjectEvent): void {
    if (this.#options.webhooks.size === 0 || this.#stop.signal.aborted) return;
    if (this.#unmatched.length >= this.#limits.unmatchedMax) return this.#drop('queue-full');
    this.#unmatched.push({ event, sequencer: this.#sequencer(event.timeMs) });
    this.#matching ??= this.#match().finally(() => {
      this.#matching = undefined;
    });
  }

  /** Resolves when nothing waits any more. */
  async idle(): Promise<void> {
    while (this.#matching !== undefined || this.#sending.size > 0)
      await Promise.all([this.#matching, ...this.#sending.values()]);
  }

  /** Gives up what waits, counted. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.idle();
  }

  /** Of two events of one key at one gateway the later has the greater one, compared as text. */
  #sequencer(timeMs: number): string {
    this.#sequence = (this.#sequence + 1) % 2 ** 32;
    return `${timeMs.toString(16).padStart(12, '0')}${this.#sequence.toString(16).padStart(8, '0')}`.toUpperCase();
  }

  async #match(): Promise<void> {
    for (let next = this.#unmatched.shift(); next !== undefined; next = this.#unmatched.shift()) {
      try {
        await this.#matchOne(next.event, next.sequencer);
      } catch (error) {
        if (!isOperationError(error)) throw error;
        this.#drop('unreadable');
      }
    }
  }

  async #matchOne(event: ObjectEvent, sequencer: string): Promise<void> {
    const { store, region } = this.#options;
    const found = await store.readBucket(event.bucket);
    const document = found.outcome === 'found' ? found.bucket.documents.notification : undefined;
    if (found.outcome !== 'found' || document === undefined) return;
    const rules = decodeNotification(document);
    if (rules === undefined) return this.#drop('unreadable');
    const wanted = rulesFor(rules, event.name, event.key);
    if (wanted.length === 0) return;
    const sized = await this.#withSize(event);
    for (const rule of wanted) {
      const facts = { region, configurationId: rule.id, bucketOwner: found.bucket.owner, sequencer };
      this.#enqueue(rule, { body: JSON.stringify({ Records: [eventRecord(sized, facts)] }), sinceMs: event.timeMs });
    }
  }

  /** A copy does not know how long it is. */
  async #withSize(event: ObjectEvent): Promise<ObjectEvent> {
    if (event.name !== 's3:ObjectCreated:Copy' || event.size !== undefined) return event;
    const { bucket, key, versionId } = event;
    const found = await this.#options.store.headObject({ bucket, key, versionId });
    return found.outcome === 'found' ? { ...event, size: found.info.size } : event;
  }

  #enqueue({ webhook }: NotificationRule, waiting: Waiting): void {
    const target = this.#options.webhooks.get(webhook);
    if (target === undefined) return this.#drop('no-webhook');
    const queue = this.#queues.get(webhook) ?? [];
    this.#queues.set(webhook, queue);
    if (queue.length >= this.#limits.waitingMax) return this.#drop('queue-full');
    queue.push(waiting);
    if (this.#sending.has(webhook)) return;
    const sending = this.#send(target, queue).finally(() => this.#sending.delete(webhook));
    this.#sending.set(webhook, sending);
  }

  async #send(webhook: Webhook, queue: Waiting[]): Promise<void> {
    for (let next = queue[0]; next !== undefined; next = queue[0]) {
      const dropped = await this.#deliver(webhook, next);
      if (dropped === undefined) this.#options.telemetry.count('s3_events_sent');
      else this.#drop(dropped);
      queue.shift();
    }
  }

  /** Tries until it is taken; the reason why it is given up otherwise. */
  async #deliver(webhook: Webhook, waiting: Waiting): Promise<Dropped | undefined> {
    const { clock } = this.#options;
    const { attemptsMax, ageMsMax, retryMs, retryMsMax } = this.#limits;
    for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
      if (this.#stop.signal.aborted) return 'stopped';
      if (clock.nowMs() - waiting.sinceMs > ageMsMax) return 'too-old';
      const status = await this.#attempt(webhook, waiting.body);
      if (status >= 200 && status < 300) return undefined;
      if (status === 410) return 'refused';
      this.#options.telemetry.count('s3_events_retried');
      await this.#rest(Math.min(retryMs * 2 ** attempt, retryMsMax));
    }
    return 'attempts';
  }

  /** The status; 0 when there was none. */
  async #attempt({ url, secret }: Webhook, body: string): Promise<number> {
    const { clock, post } = this.#options;
    const headers = {
      'content-type': 'application/json',
      'user-agent': 'Holdfast',
      [SIGNATURE_HEADER]: webhookSignature(secret, clock.nowMs(), body),
    };
    try {
      return await post({ url, headers, body, timeoutMs: this.#limits.timeoutMs }, this.#stop.signal);
    } catch {
      return 0;
    }
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
