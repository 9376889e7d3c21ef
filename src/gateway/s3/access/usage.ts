/**
 * What buckets hold, and the quotas on it. A bucket is measured by walking its listing, only when somebody
 * asks: a quota on it or on its account, or a client for its usage. What this gateway writes meanwhile is
 * added to the last measure; what is deleted, and what other gateways write, is seen by the next one. Quotas
 * are kept to within what is written between two measures.
 */
import { utf8 } from '../../../base/bytes.ts';
import { describeError } from '../../../base/errors.ts';
import type { Clock, Telemetry } from '../../../base/ports.ts';
import { S3Error } from '../http/errors.ts';
import type { ObjectStore } from '../port/object-store.ts';

/** Bytes that a bucket, or all buckets of an account, may hold; undefined: no quota. */
export interface Quotas {
  bucketQuota(bucket: string): Promise<number | undefined>;
  accountQuota(accountId: string): Promise<number | undefined>;
}

export interface Usage {
  readonly objects: number;
  /** Of all versions. */
  readonly bytes: number;
}

const PAGE_ROWS = 1000;
/** A measure is good for so long, or for ten times as long as it took to make. */
const FRESH_MS = 30_000;
const FRESH_FACTOR = 10;
/** How long a write waits for the first measure of its bucket. */
const WAIT_MS = 5_000;
const BUCKETS_MAX = 10_000;

interface Measured {
  usage: Usage | undefined;
  measuredMs: number;
  freshMs: number;
  /** Written by this gateway since the walk under way, or the last one, began. */
  addedBytes: number;
  walking: Promise<void> | undefined;
}

export class BucketUsage {
  readonly #store: ObjectStore;
  readonly #clock: Clock;
  readonly #telemetry: Telemetry;
  readonly #quotas: Quotas | undefined;
  readonly #buckets = new Map<string, Measured>();

  constructor(ports: { store: ObjectStore; clock: Clock; telemetry: Telemetry; quotas: Quotas | undefined }) {
    this.#store = ports.store;
    this.#clock = ports.clock;
    this.#telemetry = ports.telemetry;
    this.#quotas = ports.quotas;
  }

  /** Walks the bucket now: newest versions counted as objects, bytes of all versions. */
  async measure(bucket: string): Promise<Usage> {
    const listing = await this.#store.openListing(bucket);
    if (listing.outcome !== 'listing') throw new S3Error('NoSuchBucket');
    let [objects, bytes] = [0, 0];
    let from: Uint8Array = new Uint8Array(0);
    let after: string | undefined;
    for (;;) {
      const rows = await listing.versions(from, after, undefined, PAGE_ROWS);
      for (const row of rows) {
        bytes += row.size;
        if (row.isLatest && !row.isDeleteMarker) objects += 1;
      }
      const last = rows.at(-1);
      if (last === undefined || rows.length < PAGE_ROWS) return { objects, bytes };
      from = utf8(last.key);
      after = last.versionId;
    }
  }

  /**
   * Throws QuotaExceeded when `bytes` more would be above the quota of the bucket or of its owner, SlowDown
   * while what the bucket holds is not known yet.
   */
  async admit(bucket: string, owner: string, bytes: number): Promise<void> {
    const quotas = this.#quotas;
    if (quotas === undefined) return;
    const ofBucket = await quotas.bucketQuota(bucket);
    if (ofBucket !== undefined) this.#requireWithin((await this.#known(bucket)) + bytes, ofBucket, 'bucket');
    const ofAccount = await quotas.accountQuota(owner);
    if (ofAccount === undefined) return;
    let sum = bytes;
    for (const { name } of (await this.#store.listBuckets()).filter((info) => info.owner === owner))
      sum += await this.#known(name);
    this.#requireWithin(sum, ofAccount, 'account');
  }

  /** Adds what was written. */
  wrote(bucket: string, bytes: number): void {
    const measured = this.#buckets.get(bucket);
    if (measured !== undefined) measured.addedBytes += bytes;
  }

  #requireWithin(bytes: number, quota: number, whose: string): void {
    if (bytes <= quota) return;
    this.#telemetry.count('s3_quota_exceeded', { whose });
    throw new S3Error('QuotaExceeded', `The quota of the ${whose} is ${String(quota)} bytes, and this would be above it. Delete objects and old versions, or ask who runs the gateway for more (holdfast access quota).`);
  }

  async #known(bucket: string): Promise<number> {
    const measured = this.#measured(bucket);
    const ageMs = this.#clock.monotonicMs() - measured.measuredMs;
    if (measured.usage === undefined || ageMs > measured.freshMs) measured.walking ??= this.#walk(bucket, measured);
    if (measured.usage === undefined && measured.walking !== undefined)
      await Promise.race([measured.walking, this.#clock.sleep(WAIT_MS)]);
    if (measured.usage === undefined) {
      this.#telemetry.count('s3_slowed', { reason: 'usage-unknown' });
      throw new S3Error('SlowDown', 'What the bucket holds is being measured; nothing was done. Ask again.');
    }
    return measured.usage.bytes + measured.addedBytes;
  }

  #measured(bucket: string): Measured {
    let measured = this.#buckets.get(bucket);
    if (measured === undefined) {
      if (this.#buckets.size >= BUCKETS_MAX) this.#buckets.clear();
      measured = { usage: undefined, measuredMs: 0, freshMs: 0, addedBytes: 0, walking: undefined };
      this.#buckets.set(bucket, measured);
    }
    return measured;
  }

  /** Never rejects. */
  async #walk(bucket: string, measured: Measured): Promise<void> {
    const beganMs = this.#clock.monotonicMs();
    const before = measured.addedBytes;
    try {
      measured.usage = await this.measure(bucket);
      measured.measuredMs = this.#clock.monotonicMs();
      measured.freshMs = Math.max(FRESH_MS, (measured.measuredMs - beganMs) * FRESH_FACTOR);
      // What was written during the walk may be in it or not; counted twice at worst, until the next one.
      measured.addedBytes -= before;
    } catch (error) {
      this.#telemetry.event('warn', 's3_usage_not_measured', { error: describeError(error) });
    } finally {
      measured.walking = undefined;
    }
  }
}
