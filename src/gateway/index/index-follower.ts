/**
 * Keeps the index up with the storage nodes' logs (protocol 6.6, 13.8) and gives LIST its barrier. A
 * barrier is passed when q logs were followed to a checkpoint signed after it began and every certificate
 * that they name is in the index: every write that completed before is then in it. One barrier serves all
 * that asked before it began. A log that names a certificate which nobody gives does not count until the
 * certificate turns up: it may be a lie, or a node that answers again later.
 */
import { equal, mapKey } from '../../base/bytes.ts';
import { OperationError } from '../../base/errors.ts';
import type { Clock, Telemetry } from '../../base/ports.ts';
import { CertificateFetcher } from '../../client/certificate-fetcher.ts';
import type { Certified } from '../../client/certificates.ts';
import type { ProtocolClient } from '../../client/client.ts';
import type { LogFollower } from '../../client/follow.ts';
import { SYSTEM_BUCKET_ID } from '../../protocol/bucket-record.ts';
import type { CommittedBody } from '../../protocol/log-entries.ts';
import { quorumSize } from '../../protocol/quorum.ts';
import type { Quorums } from '../../protocol/quorum.ts';
import { compareStamps, sameStamp } from '../../protocol/stamp.ts';
import type { Stamp } from '../../protocol/stamp.ts';
import type { BucketRegistry } from '../buckets/bucket-registry.ts';
import { indexedVersion } from './indexed-version.ts';
import type { IndexedVersion } from './indexed-version.ts';
import type { IndexUpdate, ObjectIndex } from './object-index.ts';
import type { KeyRow } from './rows.ts';

export interface FollowerPorts {
  readonly client: Pick<ProtocolClient, 'certificates' | 'follow' | 'headAt'>;
  readonly index: ObjectIndex;
  readonly registry: BucketRegistry;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  readonly quorums: Quorums;
  readonly barrierMs: number;
}

/** Entries of one log whose certificates are missing; above, the log is given up until the next start. */
const MISSING_MAX = 10_000;
const MISSING_RETRY_MS = 2_000;

/** What one slot's log has named and nobody has given. */
interface Missing {
  readonly entries: Map<string, CommittedBody>;
  retryAtMs: number;
}

export class IndexFollower {
  readonly #ports: FollowerPorts;
  readonly #fetcher: CertificateFetcher;
  readonly #missing = new Map<number, Missing>();
  readonly #savedSize = new Map<number, number>();
  readonly #watchers = new Set<(slot: number, entry: CommittedBody) => void>();
  readonly #logs: LogFollower;
  #running: Promise<void> | null = null;
  #next: Promise<void> | null = null;
  #isRetired = false;

  /** `saved`: how far each log was followed, as the index and the witness memory remember. */
  constructor(ports: FollowerPorts, saved: ReadonlyMap<number, Uint8Array>) {
    this.#ports = ports;
    this.#fetcher = new CertificateFetcher(ports.client);
    this.#logs = ports.client.follow((slot, entries) => this.#take(slot, entries), saved);
  }

  /** Bytes that let a later start go on from here, and recognise a log that went back. */
  serialise(slot: number): Uint8Array | null {
    return this.#logs.serialise(slot);
  }

  /** Waits until the index holds everything that completed before the call. Throws NO_QUORUM, CORRUPT. */
  barrier(): Promise<void> {
    if (this.#running === null) return this.#begin();
    // The running one may have asked for its checkpoints before this call.
    this.#next ??= this.#running.then(
      () => this.#beginNext(),
      () => this.#beginNext(),
    );
    return this.#next;
  }

  /** From now on nothing is saved any more: the index is about to be built anew by another follower. */
  retire(): void {
    this.#isRetired = true;
  }

  /**
   * Calls back for each COMMITTED entry that is followed from now on, until the returned function is called.
   * With it a caller can tell whose logs hold a version, and that what they held before is in the index.
   */
  watch(watcher: (slot: number, entry: CommittedBody) => void): () => void {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  /** As `barrier`, over those q or more logs for which `counts` holds in the end. */
  async barrierOver(counts: (slot: number) => boolean): Promise<void> {
    await this.#round(counts);
  }

  #beginNext(): Promise<void> {
    this.#next = null;
    return this.#begin();
  }

  #begin(): Promise<void> {
    const running = this.#round(() => true).finally(() => {
      if (this.#running === running) this.#running = null;
    });
    this.#running = running;
    return running;
  }

  async #round(counts: (slot: number) => boolean): Promise<void> {
    const { clock, quorums, barrierMs } = this.#ports;
    const q = quorumSize(quorums);
    const fresh = new Set<number>();
    await new Promise<void>((resolve, reject) => {
      let ended = 0;
      const timer = clock.after(barrierMs, () => reject(shortage(fresh.size, q)));
      const end = (slot: number, isFresh: boolean): void => {
        ended += 1;
        if (isFresh && counts(slot)) fresh.add(slot);
        if (fresh.size < q && ended < quorums.n) return;
        timer.cancel();
        if (fresh.size >= q) resolve();
        else reject(shortage(fresh.size, q));
      };
      for (let slot = 0; slot < quorums.n; slot += 1) {
        this.#fresh(slot).then(
          (isFresh) => end(slot, isFresh),
          (error: unknown) => {
            timer.cancel();
            reject(error);
          },
        );
      }
    });
  }

  /** Is everything in the index that the slot's log held when its node signed a checkpoint for this call? */
  async #fresh(slot: number): Promise<boolean> {
    const verdict = await this.#logs.fresh(slot);
    if (!verdict.ok) {
      this.#ports.telemetry.event('debug', 'log not followed', { slot, reason: verdict.reason });
      return false;
    }
    if (!(await this.#fetchMissing(slot))) return false;
    if (this.#savedSize.get(slot) !== verdict.size) {
      const bytes = this.#logs.serialise(slot);
      // Kept only when all that it stands behind is in the index; a later start asks again for the rest.
      if (bytes !== null && !this.#isRetired) await this.#ports.index.apply([{ t: 'tail', slot, bytes }]);
      this.#savedSize.set(slot, verdict.size);
    }
    return true;
  }

  async #take(slot: number, entries: readonly CommittedBody[]): Promise<void> {
    const left = await this.#ingest(slot, entries);
    if (left.length > 0) this.#miss(slot, left);
    for (const watcher of this.#watchers) for (const entry of entries) watcher(slot, entry);
  }

  /** Brings the certificates of the entries into the index; returns the entries for which there is none. */
  async #ingest(slot: number, entries: readonly CommittedBody[]): Promise<readonly CommittedBody[]> {
    const { index } = this.#ports;
    const updates: IndexUpdate[] = [];
    const left: CommittedBody[] = [];
    await Promise.all(
      entries.map(async (entry) => {
        const { keyId, manifestHash, stamp } = entry;
        const known = await index.key(keyId);
        if (await index.knows(known, keyId, stamp)) {
          if (known?.settled === false) updates.push({ t: 'seen', keyId, manifestHash, slot });
          return;
        }
        const taken = await this.#updatesFor(slot, entry, known);
        if (taken === null) left.push(entry);
        else updates.push(...taken);
      }),
    );
    if (updates.length > 0) await index.apply(updates);
    return left;
  }

  /** What the index takes in for an entry that it does not know; null: nobody gives the certificate. */
  async #updatesFor(slot: number, entry: CommittedBody, known: KeyRow | undefined): Promise<readonly IndexUpdate[] | null> {
    const { keyId, manifestHash, stamp, kind } = entry;
    const updates: IndexUpdate[] = [];
    if (known === undefined || compareStamps(stamp, known.stamp) > 0) {
      const certified = await this.#fetcher.fetch(keyId, stamp, slot);
      if (certified === null) return null;
      const isNamed = equal(certified.signed.hash, manifestHash);
      updates.push({ t: 'version', version: await this.version(certified), slots: isNamed ? [slot] : [] });
      const removes = certified.signed.manifest.slot?.removes ?? 'ALL';
      if (isNamed || sameStamp(certified.stamp, stamp) || removes === 'ALL') return updates;
    }
    // Below the newest of a key that keeps versions: this very one, unless it has ended.
    const own = await this.#fetcher.fetch(keyId, stamp, slot, true);
    if (own !== null) return [...updates, { t: 'version', version: await this.version(own), slots: [slot] }];
    const now = await this.#ports.client.headAt(keyId, stamp);
    if (now.kind === 'removed') {
      return [...updates, { t: 'gone', keyId, stamp }, ...(await this.#endedBelow(keyId, stamp))];
    }
    // What only removed others is not kept once it is followed, nor is what removed this one, once that was removed
    // itself. A log that lies about that hides nothing: what anybody was shown is on so many nodes that it is not absent.
    const isFollowed = updates.length > 0 || (known !== undefined && compareStamps(known.stamp, stamp) > 0);
    if (now.kind === 'absent') return kind === 'REMOVE' || isFollowed ? [...updates, ...(await this.#endedBelow(keyId, stamp))] : null;
    return [...updates, { t: 'version', version: await this.version(now.certified), slots: [slot] }];
  }

  /** What ended with a version that cannot be read any more: the versions below it are asked for. */
  async #endedBelow(keyId: Uint8Array, stamp: Stamp): Promise<readonly IndexUpdate[]> {
    const { client, index } = this.#ports;
    const below = await index.shownBelow(keyId, stamp);
    const heads = await Promise.all(below.map((shown) => client.headAt(keyId, shown)));
    const ended = below.filter((_, i) => heads[i]?.kind === 'removed');
    return ended.map((of) => ({ t: 'gone', keyId, stamp: of }));
  }

  /** A certificate as the index takes it in. */
  async version(certified: Certified): Promise<IndexedVersion> {
    const { registry, clock } = this.#ports;
    const { signed, bytes } = certified;
    const { bucketId, stamp } = signed.manifest;
    if (equal(bucketId, SYSTEM_BUCKET_ID)) {
      registry.observe(certified);
      return indexedVersion(signed, bytes, null, clock.nowMs());
    }
    const bucket = await registry.ofId(bucketId, stamp.gen);
    // Only the newest generation of a bucket is shown: the keys of older ones are not kept.
    const keys = bucket?.record.gen === stamp.gen ? bucket.keys : null;
    return indexedVersion(signed, bytes, keys, clock.nowMs());
  }

  #miss(slot: number, entries: readonly CommittedBody[]): void {
    const missing = this.#missing.get(slot) ?? { entries: new Map<string, CommittedBody>(), retryAtMs: 0 };
    this.#missing.set(slot, missing);
    for (const entry of entries) {
      if (missing.entries.size >= MISSING_MAX) break;
      missing.entries.set(mapKey(entry.manifestHash), entry);
    }
    missing.retryAtMs = this.#ports.clock.monotonicMs() + MISSING_RETRY_MS;
    this.#ports.telemetry.count(
      'holdfast_index_missing_certificates_total',
      { slot: String(slot) },
      entries.length,
    );
  }

  /** Asks again for what was missing of this slot. True when nothing is. */
  async #fetchMissing(slot: number): Promise<boolean> {
    const missing = this.#missing.get(slot);
    if (missing === undefined) return true;
    // So many that some were let go of: only a new start can follow this log again.
    if (missing.entries.size >= MISSING_MAX) return false;
    const nowMs = this.#ports.clock.monotonicMs();
    if (missing.retryAtMs > nowMs) return false;
    missing.retryAtMs = nowMs + MISSING_RETRY_MS;
    const entries = [...missing.entries.values()];
    const left = new Set((await this.#ingest(slot, entries)).map((entry) => mapKey(entry.manifestHash)));
    for (const { manifestHash } of entries) {
      if (!left.has(mapKey(manifestHash))) missing.entries.delete(mapKey(manifestHash));
    }
    if (missing.entries.size > 0) return false;
    this.#missing.delete(slot);
    return true;
  }
}

function shortage(fresh: number, q: number): OperationError {
  return new OperationError('NO_QUORUM', `${fresh} logs could be followed where ${q} are needed.`, {
    retryable: true,
    remedy: 'Check that the storage nodes are running and reachable.',
  });
}
