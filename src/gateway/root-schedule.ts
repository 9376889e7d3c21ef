/**
 * State roots by the clock (docs/state-roots.md): the gateway signs one of every bucket when the newest there is
 * has grown old, and keeps so many of each, as objects of a bucket of their own. Gateways of one owner share the
 * work, because each looks at what is there. The history is opened for a run and closed behind it: the commands
 * that read the past use it too.
 */
import { AssertionError } from '../base/assert.ts';
import { hex, utf8 } from '../base/bytes.ts';
import { describeError, OperationError } from '../base/errors.ts';
import type { Clock, KeyValueStore, Random, Telemetry, Timer } from '../base/ports.ts';
import type { ProtocolClient } from '../client/client.ts';
import { incremental } from '../crypto/primitives.ts';
import type { BatchSigner } from '../protocol/batch-signer.ts';
import type { Cluster } from '../protocol/configuration.ts';
import type { BucketRegistry } from './buckets/bucket-registry.ts';
import { makeBucketRoot, signBucketRoot } from './history/bucket-root.ts';
import { History } from './history/history.ts';
import { HistoryReader } from './history/history-reader.ts';
import { endOf } from './index/rows.ts';
import type { IncomingContent } from './s3/port/content.ts';
import type { ObjectStore } from './s3/port/object-store.ts';

/** Where roots are kept: `BUCKET/TIME.root`. */
export const ROOTS_BUCKET = 'holdfast-roots';
/** Looks at what is due are so far apart at most. */
const LOOK_MS_MAX = 10 * 60_000;
/** More are not kept of one bucket. */
export const ROOTS_KEPT_MAX = 500;
const LISTED_MAX = 2 * ROOTS_KEPT_MAX;

export interface RootTerms {
  /** Age at which a root is followed by the next. */
  readonly everyMs: number;
  /** Roots of one bucket, 1 to ROOTS_KEPT_MAX; older ones are deleted. */
  readonly kept: number;
  /** Opens what the history is kept in. Throws IN_USE while a command uses it. */
  readonly openHistory: () => Promise<KeyValueStore>;
}

export interface RootScheduleOptions {
  readonly terms: RootTerms;
  readonly store: Pick<ObjectStore, 'listBuckets' | 'createBucket' | 'putObject' | 'deleteObject' | 'openListing'>;
  readonly client: ProtocolClient;
  readonly registry: BucketRegistry;
  readonly cluster: Cluster;
  readonly gatewayId: Uint8Array;
  readonly signer: BatchSigner;
  /** Account that the roots belong to. */
  readonly ownerId: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly telemetry: Telemetry;
}

export class RootSchedule {
  readonly #options: RootScheduleOptions;
  readonly #stop = new AbortController();
  #timer: Timer | null = null;
  #running: Promise<void> = Promise.resolve();

  constructor(options: RootScheduleOptions) {
    this.#options = options;
    this.#next();
  }

  /** Ends after the bucket under way. */
  async stop(): Promise<void> {
    this.#stop.abort();
    this.#timer?.cancel();
    await this.#running;
  }

  #next(): void {
    if (this.#stop.signal.aborted) return;
    const { clock, terms } = this.#options;
    this.#timer = clock.after(Math.min(LOOK_MS_MAX, terms.everyMs), () => {
      this.#running = this.#look().finally(() => this.#next());
    });
  }

  async #look(): Promise<void> {
    const { telemetry } = this.#options;
    try {
      await this.#makeDue();
    } catch (error) {
      if (error instanceof AssertionError) throw error;
      telemetry.count('holdfast_state_roots_failed_total');
      telemetry.event('warn', 'state roots postponed', { error: describeError(error) });
    }
  }

  async #makeDue(): Promise<void> {
    const { store, clock, terms } = this.#options;
    const due: string[] = [];
    for (const { name } of await store.listBuckets()) {
      if (name === ROOTS_BUCKET) continue;
      const newest = (await this.#kept(name)).at(-1);
      if (newest === undefined || timeOfKey(newest) + terms.everyMs <= clock.nowMs()) due.push(name);
    }
    if (due.length === 0) return;
    const history = await History.open(await terms.openHistory());
    try {
      await this.#make(history, due);
    } finally {
      await history.close();
    }
  }

  async #make(history: History, buckets: readonly string[]): Promise<void> {
    const { client, registry, cluster, gatewayId, signer, store, clock, ownerId, telemetry } = this.#options;
    const logs = await new HistoryReader({ client, registry, history, quorums: cluster.geometry }).sync();
    await store.createBucket({ bucket: ROOTS_BUCKET, owner: ownerId, lockEnabled: false, serialised: true, documents: {}, operation: this.#operation() });
    for (const bucket of buckets) {
      if (this.#stop.signal.aborted) return;
      const found = await registry.find(bucket);
      if (found === null) continue;
      const { bucketId, record } = found;
      const madeMs = clock.nowMs();
      const root = await makeBucketRoot(history, { cluster, gatewayId, bucket, madeMs, notes: logs.notes }, { bucketId, gen: record.gen, moment: { sizes: logs.sizes, untilMs: null } });
      await this.#keep(keyOf(bucket, madeMs), await signBucketRoot(signer, root));
      telemetry.count('holdfast_state_roots_total');
      await this.#forgetOld(bucket);
    }
  }

  async #keep(key: string, document: Uint8Array): Promise<void> {
    const { store, ownerId } = this.#options;
    const result = await store.putObject({
      bucket: ROOTS_BUCKET,
      key,
      owner: ownerId,
      metadata: NO_HEADERS,
      attributes: { tags: [], accessControl: undefined, retention: undefined, legalHold: false },
      customerKey: undefined,
      condition: undefined,
      operation: this.#operation(),
      content: contentOf(document),
    });
    if (result.outcome !== 'stored') throw new OperationError('REFUSED', `A state root was not stored: ${result.outcome}.`);
  }

  /** Keys of a bucket's roots, the oldest first. */
  async #kept(bucket: string): Promise<readonly string[]> {
    const listing = await this.#options.store.openListing(ROOTS_BUCKET);
    if (listing.outcome !== 'listing') return [];
    const prefix = utf8(`${bucket}/`);
    const rows = await listing.rows(prefix, endOf(prefix), LISTED_MAX);
    return rows.map(({ key }) => key).filter((key) => !Number.isNaN(timeOfKey(key)));
  }

  async #forgetOld(bucket: string): Promise<void> {
    const { store, terms, ownerId } = this.#options;
    const keys = await this.#kept(bucket);
    for (const key of keys.slice(0, Math.max(0, keys.length - terms.kept))) {
      const which = { bucket: ROOTS_BUCKET, key, versionId: undefined, owner: ownerId, condition: undefined, bypassGovernance: false };
      await store.deleteObject({ ...which, operation: this.#operation() });
    }
  }

  #operation() {
    return { id: this.#options.random.bytes(32), repeatable: false };
  }
}

export function keyOf(bucket: string, madeMs: number): string {
  return `${bucket}/${new Date(madeMs).toISOString()}.root`;
}

/** NaN for a key that is none of ours. */
function timeOfKey(key: string): number {
  return Date.parse(key.slice(key.indexOf('/') + 1).replace(/\.root$/, ''));
}

const NO_HEADERS = {
  contentType: 'application/octet-stream',
  cacheControl: undefined,
  contentDisposition: undefined,
  contentEncoding: undefined,
  contentLanguage: undefined,
  expires: undefined,
  websiteRedirect: undefined,
  sse: undefined,
  user: [],
} as const;

function contentOf(document: Uint8Array): IncomingContent {
  const md5 = incremental('md5');
  md5.update(document);
  const etag = hex(md5.digest());
  async function* bytes(): AsyncGenerator<Uint8Array> {
    yield await Promise.resolve(document);
  }
  return { size: document.length, bytes: bytes(), seal: () => ({ etag, checksum: undefined }) };
}
