/**
 * What became of the writes that were begun. Those that c nodes hold are put into the index before their
 * attempt is forgotten, so that at no moment a repetition finds neither (I7). Those whose end nobody knows are
 * settled (protocol 6.7): of an earlier process, or of this one and not acknowledged in time. A write that was neither given up nor tried again may be
 * completed as long as its client may still be asking; later it is only let go of, so that no old write
 * appears out of nothing.
 */
import { EMPTY, equal } from '../base/bytes.ts';
import { describeError } from '../base/errors.ts';
import type { Clock, Telemetry } from '../base/ports.ts';
import type { Attempt } from '../client/attempts.ts';
import type { Certified } from '../client/certificates.ts';
import type { ProtocolClient } from '../client/client.ts';
import type { BucketKeys } from '../keyring/bucket-keys.ts';
import type { SignedManifest } from '../protocol/manifest.ts';
import { SYSTEM_BUCKET_ID } from '../protocol/bucket-record.ts';
import type { BucketRegistry } from './buckets/bucket-registry.ts';
import type { GatewayJournal, OpenAttempt } from './gateway-journal.ts';
import { indexedVersion } from './index/indexed-version.ts';
import type { ListingBarrier } from './index/listing-barrier.ts';
import { OPERATION_WINDOW_MS } from './operations.ts';

export interface OrphanPorts {
  readonly client: ProtocolClient;
  readonly journal: GatewayJournal;
  readonly registry: BucketRegistry;
  readonly barrier: ListingBarrier;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  /**
   * Writes of this process are looked at when they are older than this: until then they may still be under
   * way.
   */
  readonly graceMs: number;
}

export class Orphans {
  readonly #ports: OrphanPorts;

  constructor(ports: OrphanPorts) {
    this.#ports = ports;
  }

  /** As AttemptJournal: the result first, then the attempt is settled. */
  published(attempt: Attempt, certified: Certified): Promise<void> {
    return this.#note(attempt, certified.signed, certified);
  }

  /** As AttemptJournal. */
  superseded(attempt: Attempt, signed: SignedManifest, newest: Certified): Promise<void> {
    return this.#note(attempt, signed, newest);
  }

  async #note(attempt: Attempt, own: SignedManifest, newest: Certified): Promise<void> {
    const { journal, barrier, clock, telemetry } = this.#ports;
    try {
      const keys = await this.#keysOf(attempt, newest);
      const version = indexedVersion(newest.signed, newest.bytes, keys, clock.nowMs());
      const isNoted = await barrier.noteOwn(version);
      const isNewest = equal(own.hash, newest.signed.hash);
      const { operation } = isNewest ? version : indexedVersion(own, EMPTY, keys, clock.nowMs());
      if (!isNewest && operation !== null && !(await barrier.noteOperation(attempt.opId, operation))) return;
      if (!isNoted) return;
      // Nobody needs to wait for this: an attempt that is still open after a crash is only looked at again.
      journal.settled(attempt, operation).catch((error: unknown) => {
        telemetry.event('info', 'attempt not settled', { error: describeError(error) });
      });
    } catch (error) {
      telemetry.event('info', 'write not noted', { error: describeError(error) });
    }
  }

  /** What became of the open attempts of an operation, none of which may be under way. */
  async investigate(opId: Uint8Array): Promise<'done' | 'never' | 'unknown'> {
    const open = this.#ports.journal.openAttempts().filter(({ attempt }) => equal(attempt.opId, opId));
    let outcome: 'done' | 'never' | 'unknown' = 'never';
    for (const attempt of open.reverse()) {
      const settled = await this.#settle(attempt);
      if (settled === 'done') return 'done';
      if (settled === 'unknown') outcome = 'unknown';
    }
    return outcome;
  }

  /** Looks at every attempt that nobody works on any more. Returns how many are left. */
  async sweep(signal: AbortSignal): Promise<number> {
    const { journal, clock, graceMs } = this.#ports;
    let left = 0;
    for (const open of journal.openAttempts()) {
      if (signal.aborted) break;
      if (!open.isInherited && open.beganMs + graceMs > clock.nowMs()) continue;
      if ((await this.#settle(open)) === 'unknown') left += 1;
    }
    return left;
  }

  async #settle(open: OpenAttempt): Promise<'done' | 'never' | 'unknown'> {
    const { client, journal, clock, telemetry } = this.#ports;
    const { attempt, beganMs, isAbandoned } = open;
    const isRecent = beganMs + OPERATION_WINDOW_MS > clock.nowMs();
    const policy = isRecent && !isAbandoned && !journal.hasLater(open) ? 'complete' : 'release';
    try {
      const resolution = await client.resolve(attempt.keyId, attempt.stamp, policy);
      telemetry.count('holdfast_gateway_orphans_total', { outcome: resolution.outcome });
      switch (resolution.outcome) {
        case 'committed':
          await this.superseded(attempt, resolution.signed, resolution.certified);
          return 'done';
        case 'superseded':
          // It may have been there before what stands above it now. Nobody can tell any more, and a repetition
          // of the request must not be told otherwise as long as it may come.
          if (isAbandoned || !isRecent) await journal.settled(attempt);
          return isAbandoned ? 'never' : 'unknown';
        case 'released':
          await journal.settled(attempt);
          return 'never';
        case 'undecided':
          return isAbandoned ? 'never' : 'unknown';
      }
    } catch (error) {
      telemetry.event('info', 'orphan not settled', { error: describeError(error) });
      return isAbandoned ? 'never' : 'unknown';
    }
  }

  /** The keys by which the index takes the version in; null: a bucket record, or a bucket that is gone. */
  async #keysOf(attempt: Attempt, certified: Certified): Promise<BucketKeys | null> {
    const { registry } = this.#ports;
    if (equal(attempt.bucketId, SYSTEM_BUCKET_ID)) {
      registry.observe(certified);
      return null;
    }
    const { gen } = certified.stamp;
    const bucket = await registry.ofId(attempt.bucketId, gen);
    return bucket?.record.gen === gen ? bucket.keys : null;
  }
}
