/**
 * What the front asks of a bucket with every request: its state and documents. An answer is given again for a
 * short while, so that requests do not each ask the storage nodes twice; what this gateway changes is seen at
 * once.
 */
import type { Clock } from '../../base/ports.ts';
import { CONFIGURATION_FRESH_MS } from '../s3/port/buckets.ts';
import type { ReadBucketResult } from '../s3/port/buckets.ts';

interface Known {
  readonly untilMs: number;
  readonly result: Promise<ReadBucketResult>;
}

const KNOWN_MAX = 1024;
/** Time that asking may take is no part of how old an answer may be. */
const FRESH_MS = CONFIGURATION_FRESH_MS / 2;

export class BucketStates {
  readonly #clock: Clock;
  readonly #known = new Map<string, Known>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** What `read` says, or said a moment ago. That there is no bucket is asked anew each time. */
  get(bucket: string, read: () => Promise<ReadBucketResult>): Promise<ReadBucketResult> {
    const nowMs = this.#clock.monotonicMs();
    const known = this.#known.get(bucket);
    if (known !== undefined && known.untilMs > nowMs) return known.result;
    const result = read();
    const entry = { untilMs: nowMs + FRESH_MS, result };
    if (this.#known.size >= KNOWN_MAX) this.#known.clear();
    this.#known.set(bucket, entry);
    const drop = (): void => {
      if (this.#known.get(bucket) === entry) this.#known.delete(bucket);
    };
    result.then(({ outcome }) => {
      if (outcome !== 'found') drop();
    }, drop);
    return result;
  }

  /** Before the answer to a change, so that whoever was told of it sees it. */
  forget(bucket: string): void {
    this.#known.delete(bucket);
  }
}
