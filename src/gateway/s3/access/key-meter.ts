/**
 * What each access key uses, and how much of it is granted: requests and bytes a second, as buckets of tokens
 * on the injected clock. A request is weighed before any work is done for it; a body and an answer are
 * charged as announced, into debt if need be, which the next requests wait out.
 */
import type { Clock, Telemetry } from '../../../base/ports.ts';
import { S3Error } from '../http/errors.ts';
import type { Credential, KeyLimits } from '../auth/principal.ts';

/** A full bucket lets so much of a second's share come at once. */
const BURST_SECONDS = 1;
const KEYS_MAX = 100_000;
/** A little less than one, so that sums of fractions come to it. */
const WHOLE_REQUEST = 0.999;

class TokenBucket {
  readonly #perSecond: number;
  #level: number;
  #filledMs: number;

  constructor(perSecond: number, nowMs: number) {
    this.#perSecond = perSecond;
    this.#level = perSecond * BURST_SECONDS;
    this.#filledMs = nowMs;
  }

  get perSecond(): number {
    return this.#perSecond;
  }

  /** Is more than `least` left? */
  hasMoreThan(least: number, nowMs: number): boolean {
    const capacity = Math.max(1, this.#perSecond * BURST_SECONDS);
    const gained = ((nowMs - this.#filledMs) / 1000) * this.#perSecond;
    this.#level = Math.min(capacity, this.#level + gained);
    this.#filledMs = nowMs;
    return this.#level > least;
  }

  take(amount: number): void {
    this.#level -= amount;
  }
}

export interface KeyUse {
  readonly lastUsedMs: number;
  readonly requests: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
}

interface Metered {
  use: KeyUse;
  requests: TokenBucket | undefined;
  bytes: TokenBucket | undefined;
}

export class KeyMeter {
  readonly #clock: Clock;
  readonly #telemetry: Telemetry;
  readonly #keys = new Map<string, Metered>();

  constructor(clock: Clock, telemetry: Telemetry) {
    this.#clock = clock;
    this.#telemetry = telemetry;
  }

  /** Throws SlowDown, with its reason counted, when the key has used up its share. */
  admit(accessKeyId: string, credential: Credential, bodyBytes: number): void {
    const metered = this.#metered(accessKeyId, credential.limits);
    const nowMs = this.#clock.monotonicMs();
    this.#require(metered.requests, WHOLE_REQUEST, nowMs, 'key-requests');
    this.#require(metered.bytes, 0, nowMs, 'key-bytes');
    metered.requests?.take(1);
    metered.bytes?.take(bodyBytes);
    const { requests, bytesIn, bytesOut } = metered.use;
    metered.use = {
      lastUsedMs: this.#clock.nowMs(),
      requests: requests + 1,
      bytesIn: bytesIn + bodyBytes,
      bytesOut,
    };
  }

  /** Charges an answer that is about to be sent. */
  charge(accessKeyId: string, answerBytes: number): void {
    const metered = this.#keys.get(accessKeyId);
    if (metered === undefined) return;
    metered.bytes?.take(answerBytes);
    metered.use = { ...metered.use, bytesOut: metered.use.bytesOut + answerBytes };
  }

  /** Use since the start of this process, by access key. */
  uses(): ReadonlyMap<string, KeyUse> {
    return new Map([...this.#keys].map(([id, { use }]) => [id, use]));
  }

  #require(bucket: TokenBucket | undefined, least: number, nowMs: number, reason: string): void {
    if (bucket === undefined || bucket.hasMoreThan(least, nowMs)) return;
    this.#telemetry.count('s3_slowed', { reason });
    throw new S3Error('SlowDown', 'The access key has used up its rate; nothing was done. Ask again.');
  }

  #metered(accessKeyId: string, limits: KeyLimits | undefined): Metered {
    let metered = this.#keys.get(accessKeyId);
    if (metered === undefined) {
      // Only keys that exist come here; the bound is against years of rotation.
      if (this.#keys.size >= KEYS_MAX) this.#keys.clear();
      metered = {
        use: { lastUsedMs: 0, requests: 0, bytesIn: 0, bytesOut: 0 },
        requests: undefined,
        bytes: undefined,
      };
      this.#keys.set(accessKeyId, metered);
    }
    metered.requests = this.#bucket(metered.requests, limits?.requestsPerSecond);
    metered.bytes = this.#bucket(metered.bytes, limits?.bytesPerSecond);
    return metered;
  }

  /** The bucket goes on as long as its rate is the same. */
  #bucket(before: TokenBucket | undefined, perSecond: number | undefined): TokenBucket | undefined {
    if (perSecond === undefined) return undefined;
    return before?.perSecond === perSecond ? before : new TokenBucket(perSecond, this.#clock.monotonicMs());
  }
}
