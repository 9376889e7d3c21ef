/**
 * What a LIST needs before it may show anything (protocol 6.6): an index that is up to date, and every
 * certificate it shows on at least c nodes, or another lister might miss what this one showed (trap H17). A
 * damaged index is thrown away and built anew from the logs; who waits for a barrier only waits longer.
 */
import { mapKey } from '../../base/bytes.ts';
import { isOperationError, OperationError } from '../../base/errors.ts';
import type { Clock, Telemetry } from '../../base/ports.ts';
import type { Certified } from '../../client/certificates.ts';
import type { ProtocolClient } from '../../client/client.ts';
import { SYSTEM_BUCKET_ID } from '../../protocol/bucket-record.ts';
import { sameStamp } from '../../protocol/stamp.ts';
import type { Stamp } from '../../protocol/stamp.ts';
import type { IndexFollower } from './index-follower.ts';
import type { IndexedVersion } from './indexed-version.ts';
import type { ListedObject, ListedPart, ListedUpload, ListedVersion, ObjectIndex } from './object-index.ts';
import type { BucketRow, KeyRow, ObjectRow, OperationRow, VersionRow } from './rows.ts';

export interface OperationResult {
  readonly opId: Uint8Array;
  readonly row: OperationRow;
}

export interface BarrierPorts {
  readonly client: Pick<ProtocolClient, 'openCertificate' | 'writeBack'>;
  readonly index: ObjectIndex;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  /** Results of operations that stand elsewhere too, for an index that is built anew. */
  readonly results: () => readonly OperationResult[];
  /** A follower that begins where the index stands; with an empty one, at the first entries. */
  readonly follow: () => Promise<IndexFollower>;
}

type Rest<T> = T extends (bucketId: Uint8Array, ...rest: infer R) => unknown ? R : never;
type VersionRange = Rest<ObjectIndex['versions']>;
type PartRange = Rest<ObjectIndex['parts']>;
type UploadRange = Rest<ObjectIndex['uploads']>;

const WRITE_BACKS_AT_ONCE = 16;
const ADOPTION_POLL_MS = 50;
const COLD_WAIT_MS = 3_000;

export class ListingBarrier {
  readonly #ports: BarrierPorts;
  readonly #coldUntilMs: number;
  #follower: Promise<IndexFollower> | null = null;
  #rebuilding: Promise<void> | null = null;
  /** Counts rebuilds: what was read before one must be read again. */
  #generation = 0;
  #isWarm = false;

  constructor(ports: BarrierPorts) {
    this.#ports = ports;
    this.#coldUntilMs = ports.clock.monotonicMs() + COLD_WAIT_MS;
  }

  /** Has a barrier been passed since the index began? Then what it lacks probably does not exist. */
  get isWarm(): boolean {
    return this.#isWarm;
  }

  /** What the witness memory keeps of a slot's log. */
  async serialise(slot: number): Promise<Uint8Array | null> {
    return (await this.#current()).serialise(slot);
  }

  /** Waits until the index holds every write that completed before the call. Throws NO_QUORUM. */
  async pass(): Promise<void> {
    await this.#rebuilding;
    try {
      await (await this.#current()).barrier();
    } catch (error) {
      if (!isOperationError(error, 'CORRUPT')) throw error;
      await this.rebuild();
      await (await this.#current()).barrier();
    }
    this.#isWarm = true;
  }

  /** Rows of a bucket, each on c nodes when this returns. Only after `pass`. */
  objects(
    bucketId: Uint8Array,
    gen: number,
    from: Uint8Array,
    below: Uint8Array | undefined,
    limit: number,
  ): Promise<readonly ListedObject[]> {
    return this.#shown(bucketId, (index) => index.objects(bucketId, gen, from, below, limit));
  }

  /** Versions of a bucket, each on c nodes when this returns. Only after `pass`. */
  versions(bucketId: Uint8Array, ...range: VersionRange): Promise<readonly ListedVersion[]> {
    return this.#shown(bucketId, (index) => index.versions(bucketId, ...range));
  }

  /** The null versions of one object. Only after `pass`. */
  nullVersions(bucketId: Uint8Array, gen: number, name: Uint8Array): Promise<readonly VersionRow[]> {
    return this.#shown(bucketId, (index) => index.nullVersions(bucketId, gen, name));
  }

  /** Unfinished uploads, each on c nodes when this returns. Only after `pass`. */
  uploads(bucketId: Uint8Array, ...range: UploadRange): Promise<readonly ListedUpload[]> {
    return this.#shown(bucketId, (index) => index.uploads(bucketId, ...range));
  }

  /** Parts of an upload, each on c nodes when this returns. Only after `pass`. */
  parts(bucketId: Uint8Array, ...range: PartRange): Promise<readonly ListedPart[]> {
    return this.#shown(bucketId, (index) => index.parts(bucketId, ...range));
  }

  /** Bucket records, each on c nodes when this returns. Only after `pass`. */
  buckets(): Promise<readonly (readonly [bucketId: Uint8Array, row: BucketRow])[]> {
    return this.#shown(SYSTEM_BUCKET_ID, async (index) => {
      const rows: (readonly [Uint8Array, BucketRow])[] = [];
      for await (const row of index.buckets()) rows.push(row);
      return rows;
    });
  }

  /** Begins to watch whose logs take in a bucket record that is about to be written. `end` it. */
  async watchRecord(bucketId: Uint8Array): Promise<AdoptionWatch> {
    return new AdoptionWatch(await this.#current(), this.#ports.clock, bucketId);
  }

  /**
   * Puts an own write that c nodes hold into the index. What goes wrong here is the index's matter, not the
   * write's: false.
   */
  async noteOwn(version: IndexedVersion): Promise<boolean> {
    const { index, telemetry } = this.#ports;
    try {
      await index.apply([{ t: 'version', version, slots: 'settled' }]);
      return true;
    } catch (error) {
      telemetry.event('warn', 'index not updated', { error: String(error) });
      return false;
    }
  }

  /** Remembers the result of an own operation whose version another one replaced at once. As `noteOwn`. */
  async noteOperation(opId: Uint8Array, row: OperationRow): Promise<boolean> {
    const { index, clock, telemetry } = this.#ports;
    try {
      await index.apply([{ t: 'operation', opId, row, nowMs: clock.nowMs() }]);
      return true;
    } catch (error) {
      telemetry.event('warn', 'index not updated', { error: String(error) });
      return false;
    }
  }

  /** What the index knows of a key: a hint. Undefined when it is damaged, which the next barrier mends. */
  key(keyId: Uint8Array): Promise<KeyRow | undefined> {
    return this.#hint((index) => index.key(keyId));
  }

  /** What the index knows of an object: a hint. */
  object(bucketId: Uint8Array, gen: number, name: Uint8Array): Promise<ObjectRow | undefined> {
    return this.#hint((index) => index.object(bucketId, gen, name));
  }

  /**
   * The result of an earlier operation. Right after a start it waits for the first barrier, but not for
   * long: the index of the earlier process may lack what that did last.
   */
  async operation(opId: Uint8Array): Promise<OperationRow | undefined> {
    const { clock } = this.#ports;
    const waitMs = this.#coldUntilMs - clock.monotonicMs();
    if (!this.#isWarm && waitMs > 0)
      await Promise.race([this.pass().catch(() => undefined), clock.sleep(waitMs)]);
    return this.#hint((index) => index.operation(opId, clock.nowMs()));
  }

  async #hint<T>(read: (index: ObjectIndex) => Promise<T>): Promise<T | undefined> {
    try {
      return await read(this.#ports.index);
    } catch (error) {
      if (!isOperationError(error, 'CORRUPT')) throw error;
      await this.rebuild();
      return undefined;
    }
  }

  /**
   * Puts the results that stand elsewhere into the index: logs know only the newest version of a key, and with
   * it one operation.
   */
  async recall(): Promise<void> {
    const { index, clock, results } = this.#ports;
    const nowMs = clock.nowMs();
    await index.apply(results().map(({ opId, row }) => ({ t: 'operation', opId, row, nowMs })));
  }

  /** Throws the index away; the next barrier reads all logs from their first entries. */
  rebuild(): Promise<void> {
    this.#rebuilding ??= this.#rebuild().finally(() => {
      this.#rebuilding = null;
    });
    return this.#rebuilding;
  }

  async #rebuild(): Promise<void> {
    this.#ports.telemetry.event('warn', 'index is built anew');
    this.#isWarm = false;
    this.#generation += 1;
    (await this.#follower)?.retire();
    await this.#ports.index.apply([{ t: 'clear' }]);
    await this.recall();
    this.#follower = null;
    await this.#current();
  }

  #current(): Promise<IndexFollower> {
    this.#follower ??= this.#ports.follow().catch((error: unknown) => {
      this.#follower = null;
      throw error;
    });
    return this.#follower;
  }

  /**
   * Reads rows, then sees to it that c nodes hold what stands behind them; anew when the index was thrown
   * away meanwhile.
   */
  async #shown<T>(bucketId: Uint8Array, read: (index: ObjectIndex) => Promise<T>): Promise<T> {
    for (;;) {
      const generation = this.#generation;
      try {
        const rows = await read(this.#ports.index);
        // After the rows were read: what they show is settled now, or something above it is.
        await this.settle(bucketId);
        if (generation === this.#generation && this.#rebuilding === null) return rows;
      } catch (error) {
        if (!isOperationError(error, 'CORRUPT')) throw error;
        await this.rebuild();
      }
      await this.pass();
    }
  }

  /**
   * Writes back every certificate of the bucket that the index saw on fewer than c logs. Throws NO_QUORUM.
   */
  async settle(bucketId: Uint8Array): Promise<void> {
    const { client, index } = this.#ports;
    let batch: Promise<void>[] = [];
    for await (const bytes of index.unsettled(bucketId)) {
      const opened = client.openCertificate(bytes);
      if (!opened.ok)
        throw new OperationError('CORRUPT', `A certificate of the index is not valid: ${opened.reason}.`);
      batch.push(this.#writeBack(opened.certified));
      if (batch.length < WRITE_BACKS_AT_ONCE) continue;
      await Promise.all(batch);
      batch = [];
    }
    await Promise.all(batch);
  }

  async #writeBack(certified: Certified): Promise<void> {
    const { client, index, telemetry } = this.#ports;
    telemetry.count('holdfast_index_write_backs_total');
    const { ok } = await client.writeBack(certified);
    if (!ok)
      throw new OperationError('NO_QUORUM', 'A certificate could not be written back.', { retryable: true });
    const { keyId } = certified.signed.manifest;
    await index.apply([{ t: 'settled', keyId, manifestHash: certified.signed.hash }]);
  }
}

/** Whose logs hold a bucket record, from before it is written on. */
export class AdoptionWatch {
  readonly #follower: IndexFollower;
  readonly #clock: Clock;
  readonly #stamps = new Map<number, Stamp[]>();
  readonly end: () => void;

  constructor(follower: IndexFollower, clock: Clock, bucketId: Uint8Array) {
    this.#follower = follower;
    this.#clock = clock;
    const name = mapKey(bucketId);
    this.end = follower.watch((slot, { keyId, stamp }) => {
      if (mapKey(keyId) !== name) return;
      this.#stamps.set(slot, [...(this.#stamps.get(slot) ?? []), stamp]);
    });
  }

  /**
   * Waits for a barrier over q logs that hold the record `stamp`, each up to a checkpoint signed after its
   * own entry of it: behind a CLOSING record nothing more can come into those logs (13.2). Throws NO_QUORUM
   * when that does not come about within `timeoutMs`.
   */
  async barrier(stamp: Stamp, timeoutMs: number): Promise<void> {
    const untilMs = this.#clock.monotonicMs() + timeoutMs;
    const holds = (slot: number): boolean =>
      this.#stamps.get(slot)?.some((held) => sameStamp(held, stamp)) ?? false;
    for (;;) {
      try {
        return await this.#follower.barrierOver(holds);
      } catch (error) {
        if (!isOperationError(error, 'NO_QUORUM') || this.#clock.monotonicMs() >= untilMs) throw error;
      }
      await this.#clock.sleep(ADOPTION_POLL_MS);
    }
  }
}
