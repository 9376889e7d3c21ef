/**
 * Carries lifecycle rules out: walks the buckets that have any, judges what it finds (evaluate.ts) and deletes
 * what is due through the store's ordinary operations. What was found may be another version a moment later,
 * so every deletion says what it means: the newest version goes only while it is still the one that was judged
 * (ETag, time, size), an older one by its version id and only while something newer lies above it. Retention
 * and legal hold are the store's to decide and are never bypassed. Several gateways may run this at once.
 *
 * A run makes a bounded number of changes, pauses between pages, and the next one goes on where it ended; all
 * that is kept of a run is the place. A key's versions stream through: memory does not grow with their number.
 */
import { utf8 } from '../../../base/bytes.ts';
import { isOperationError } from '../../../base/errors.ts';
import type { Clock, Random, Telemetry } from '../../../base/ports.ts';
import { NO_EVENTS } from '../port/events.ts';
import type { EventSink } from '../port/events.ts';
import type { ObjectStore } from '../port/object-store.ts';
import type { BucketState } from '../port/buckets.ts';
import type { OperationId } from '../port/content.ts';
import type { UploadRow, VersionRow } from '../port/listing.ts';
import { NULL_VERSION } from '../port/objects.ts';
import type { DeleteObject, Tags, WriteCondition } from '../port/objects.ts';
import { decodeLifecycle } from './document.ts';
import { isUploadDue, judgeVersion, LIFECYCLE_TIME, needsTags } from './evaluate.ts';
import type { LifecycleTime, VersionFacts } from './evaluate.ts';
import type { LifecycleRule } from './rules.ts';

const OPERATION_ID_BYTES = 32;

export interface LifecycleOptions {
  /** Unguarded: the rules are the bucket owner's. */
  readonly store: ObjectStore;
  readonly clock: Clock;
  readonly random: Random;
  readonly telemetry: Telemetry;
  readonly events?: EventSink;
  readonly time?: LifecycleTime;
  readonly limits?: Partial<LifecycleLimits>;
}

export interface LifecycleLimits {
  /** Rows asked of a listing at once. */
  readonly pageRows: number;
  /** Deletions under way at once. */
  readonly concurrent: number;
  /** Deletions of one run. */
  readonly changesMax: number;
  /** Failures of one run: after so many it ends, because the nodes do not answer. */
  readonly failuresMax: number;
  /** Between pages, so that clients come first. */
  readonly pauseMs: number;
}

export const LIFECYCLE_LIMITS: LifecycleLimits = {
  pageRows: 500,
  concurrent: 4,
  changesMax: 10_000,
  failuresMax: 64,
  pauseMs: 50,
};

/** Where a run ended: in the middle of a bucket's versions, or of its uploads. */
interface Place {
  readonly bucket: string;
  readonly phase: 'versions' | 'uploads';
  readonly key: string;
}

/** A row with what its neighbours say about it. */
interface PlacedRow {
  readonly row: VersionRow;
  readonly supersededMs: number | undefined;
  readonly newerNoncurrent: number;
  readonly isOnly: boolean;
}

interface Walk {
  readonly bucket: BucketState;
  readonly rules: readonly LifecycleRule[];
  readonly signal: AbortSignal;
}

export class LifecycleExecutor {
  readonly #options: LifecycleOptions;
  readonly #limits: LifecycleLimits;
  readonly #time: LifecycleTime;
  #place: Place | undefined;
  #changesLeft = 0;
  #failuresLeft = 0;

  constructor(options: LifecycleOptions) {
    this.#options = options;
    this.#limits = { ...LIFECYCLE_LIMITS, ...options.limits };
    this.#time = options.time ?? LIFECYCLE_TIME;
  }

  /**
   * One run: from where the last one ended to the end of the last bucket, or until its changes are used up, the
   * nodes do not answer, or the signal aborts. Rejects on a broken invariant only.
   */
  async run(signal: AbortSignal): Promise<void> {
    const { store, telemetry } = this.#options;
    this.#changesLeft = this.#limits.changesMax;
    this.#failuresLeft = this.#limits.failuresMax;
    await this.#attempt(async () => {
      const from = this.#place;
      for (const { name } of await store.listBuckets()) {
        if (from !== undefined && name < from.bucket) continue;
        if (from?.bucket !== name) this.#place = { bucket: name, phase: 'versions', key: '' };
        await this.#attempt(() => this.#walkBucket(name, signal));
        if (this.#isStopped(signal)) return;
      }
      this.#place = undefined;
      telemetry.count('lifecycle_passes');
    });
  }

  #isStopped(signal: AbortSignal): boolean {
    return signal.aborted || this.#changesLeft <= 0 || this.#failuresLeft <= 0;
  }

  /** A failure is counted and passed by, so that one object never holds up all others; the next pass tries again. */
  async #attempt(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!isOperationError(error)) throw error;
      this.#failuresLeft -= 1;
      this.#options.telemetry.count('lifecycle_failed', { code: error.code });
    }
  }

  async #walkBucket(name: string, signal: AbortSignal): Promise<void> {
    const found = await this.#options.store.readBucket(name);
    if (found.outcome !== 'found' || found.bucket.documents.lifecycle === undefined) return;
    const rules = decodeLifecycle(found.bucket.documents.lifecycle);
    if (rules === undefined) {
      this.#count('unreadable');
      return;
    }
    const walk: Walk = { bucket: found.bucket, rules: rules.filter(({ isEnabled }) => isEnabled), signal };
    if (walk.rules.length === 0) return;
    if (this.#place?.phase !== 'uploads') {
      await this.#inPages(walk, this.#placedVersions(walk), ({ row }) => row.key, (placed) => this.#versionTask(walk, placed));
      if (this.#isStopped(signal)) return;
      this.#place = { bucket: name, phase: 'uploads', key: '' };
    }
    await this.#inPages(walk, this.#uploads(walk), ({ key }) => key, (row) => this.#uploadTask(walk, row));
  }

  /** Works off rows as they come, some at once, and notes the place behind which all is done. */
  async #inPages<Row>(
    walk: Walk,
    rows: AsyncIterable<Row>,
    keyOf: (row: Row) => string,
    work: (row: Row) => Promise<void>,
  ): Promise<void> {
    let batch: Row[] = [];
    const flush = async (): Promise<void> => {
      const [first] = batch;
      // What this batch leaves undone is found again: a later run begins with its first key.
      if (first !== undefined && this.#place !== undefined) this.#place = { ...this.#place, key: keyOf(first) };
      await Promise.all(batch.map((row) => this.#attempt(() => work(row))));
      batch = [];
    };
    for await (const row of rows) {
      batch.push(row);
      if (batch.length >= this.#limits.concurrent) await flush();
      if (this.#isStopped(walk.signal)) return;
    }
    await flush();
  }

  async *#placedVersions({ bucket, signal }: Walk): AsyncGenerator<PlacedRow> {
    let above: VersionRow | undefined;
    let newerNoncurrent = 0;
    let row: VersionRow | undefined;
    for await (const next of this.#pages(bucket.name, signal)) {
      if (row !== undefined) {
        yield placed(row, above, newerNoncurrent, next);
        const isSame = next.key === row.key;
        if (!isSame) newerNoncurrent = 0;
        else if (above !== undefined && !row.isDeleteMarker) newerNoncurrent += 1;
        above = isSame ? row : undefined;
      }
      row = next;
    }
    if (row !== undefined) yield placed(row, above, newerNoncurrent, undefined);
  }

  /** Rows of all versions in order. Each page is of a fresh listing, so that what is judged is hardly old. */
  async *#pages(bucket: string, signal: AbortSignal): AsyncGenerator<VersionRow> {
    const { pageRows } = this.#limits;
    let from = utf8(this.#place?.key ?? '');
    let after: string | undefined;
    for (;;) {
      const listing = await this.#options.store.openListing(bucket);
      if (listing.outcome !== 'listing') return;
      const rows = await listing.versions(from, after, undefined, pageRows);
      yield* rows;
      const last = rows.at(-1);
      if (last === undefined || rows.length < pageRows) return;
      from = utf8(last.key);
      after = last.versionId;
      if (!(await this.#pause(signal))) return;
    }
  }

  async *#uploads({ bucket, signal }: Walk): AsyncGenerator<UploadRow> {
    const { pageRows } = this.#limits;
    let from = utf8(this.#place?.key ?? '');
    let after: string | undefined;
    for (;;) {
      const listing = await this.#options.store.openListing(bucket.name);
      if (listing.outcome !== 'listing') return;
      const rows = await listing.uploads(from, after, undefined, pageRows);
      yield* rows;
      const last = rows.at(-1);
      if (last === undefined || rows.length < pageRows) return;
      from = utf8(last.key);
      after = last.uploadId;
      if (!(await this.#pause(signal))) return;
    }
  }

  /** False when the run was told to end. */
  async #pause(signal: AbortSignal): Promise<boolean> {
    try {
      await this.#options.clock.sleep(this.#limits.pauseMs, signal);
      return !signal.aborted;
    } catch (error) {
      if (isOperationError(error, 'CANCELLED')) return false;
      throw error;
    }
  }

  async #versionTask(walk: Walk, place: PlacedRow): Promise<void> {
    const { row } = place;
    const nowMs = this.#options.clock.nowMs();
    const tags = await this.#tagsOf(walk, row);
    if (tags === undefined) return;
    const { key, size, isDeleteMarker, lastModifiedMs } = row;
    const { supersededMs, newerNoncurrent, isOnly } = place;
    const facts: VersionFacts = { key, size, tags, isDeleteMarker, lastModifiedMs, supersededMs, newerNoncurrent, isOnly };
    const { action } = judgeVersion(walk.rules, facts, nowMs, this.#time);
    if (action === 'expire') await this.#expire(walk, row);
    else if (action === 'remove') await this.#remove(walk, place);
  }

  /** The version's tags, where any rule asks; undefined when it is not what was listed any more. */
  async #tagsOf({ bucket, rules }: Walk, row: VersionRow): Promise<Tags | undefined> {
    if (row.isDeleteMarker || !needsTags(rules, row.key)) return [];
    const found = await this.#options.store.headObject({ bucket: bucket.name, key: row.key, versionId: row.versionId });
    const isSame = found.outcome === 'found' && found.info.etag === row.etag && found.info.lastModifiedMs === row.lastModifiedMs;
    return isSame ? found.info.attributes.tags : undefined;
  }

  async #expire({ bucket }: Walk, row: VersionRow): Promise<void> {
    await this.#delete(bucket, row, undefined, asListed(row));
  }

  async #remove({ bucket }: Walk, { row, supersededMs }: PlacedRow): Promise<void> {
    // Whoever deletes the newer versions wants this one back: then it is nobody's to remove.
    if (supersededMs !== undefined && !(await this.#isStillCovered(bucket.name, row))) {
      this.#count('changed');
      return;
    }
    // The null version can be written anew under the same id; every other id stands for one version for ever.
    const isReplaceable = row.versionId === NULL_VERSION;
    const condition = isReplaceable ? (row.isDeleteMarker ? { ifNoneMatch: '*' } : asListed(row)) : undefined;
    await this.#delete(bucket, row, row.versionId, condition);
  }

  /** Does another version still lie above this one? */
  async #isStillCovered(bucket: string, { key, versionId }: VersionRow): Promise<boolean> {
    const newest = await this.#options.store.headObject({ bucket, key, versionId: undefined });
    if (newest.outcome === 'found') return newest.info.versionId !== versionId;
    return newest.outcome === 'delete-marker' && newest.versionId !== versionId;
  }

  async #delete(
    bucket: BucketState,
    { key }: VersionRow,
    versionId: string | undefined,
    condition: WriteCondition | undefined,
  ): Promise<void> {
    if (this.#changesLeft <= 0) return;
    this.#changesLeft -= 1;
    const request: DeleteObject = {
      bucket: bucket.name,
      key,
      versionId,
      owner: bucket.owner,
      condition,
      bypassGovernance: false,
      operation: this.#operation(),
    };
    const result = await this.#options.store.deleteObject(request);
    this.#count(result.outcome);
    if (result.outcome !== 'deleted') return;
    const isMarker = versionId === undefined && result.isDeleteMarker;
    await (this.#options.events ?? NO_EVENTS).emit({
      name: isMarker ? 's3:LifecycleExpiration:DeleteMarkerCreated' : 's3:LifecycleExpiration:Delete',
      bucket: bucket.name,
      key,
      timeMs: this.#options.clock.nowMs(),
      versionId: result.versionId,
      etag: undefined,
      size: undefined,
      accountId: undefined,
      sourceAddress: undefined,
      requestId: '',
    });
  }

  async #uploadTask({ bucket, rules }: Walk, { key, uploadId, createdMs }: UploadRow): Promise<void> {
    if (!isUploadDue(rules, { key, createdMs }, this.#options.clock.nowMs(), this.#time)) return;
    if (this.#changesLeft <= 0) return;
    this.#changesLeft -= 1;
    const result = await this.#options.store.abortUpload({ bucket: bucket.name, key, uploadId }, this.#operation());
    this.#count(result.outcome);
  }

  #operation(): OperationId {
    return { id: this.#options.random.bytes(OPERATION_ID_BYTES), repeatable: false };
  }

  #count(outcome: string): void {
    this.#options.telemetry.count('lifecycle_changes', { outcome });
  }
}

function placed(row: VersionRow, above: VersionRow | undefined, newerNoncurrent: number, next: VersionRow | undefined): PlacedRow {
  return {
    row,
    supersededMs: above?.lastModifiedMs,
    newerNoncurrent,
    isOnly: above === undefined && next?.key !== row.key,
  };
}

/** Holds only for the very version that was judged; an overwrite in the same second is as old as it was. */
function asListed({ etag, lastModifiedMs, size }: VersionRow): WriteCondition {
  return { ifMatch: etag, ifLastModifiedMs: lastModifiedMs, ifSize: size };
}
