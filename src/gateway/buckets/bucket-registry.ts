/**
 * The buckets as their records say (protocol 13.2): name, generation, state and keys. A record is read from
 * the storage nodes and cached; what was cached may be old, and that is found out where it matters: nodes
 * refuse a write under an older record (BUCKET_STALE), and whoever finds nothing in a bucket asks for its
 * record again.
 */
import { EMPTY, equal, mapKey } from '../../base/bytes.ts';
import type { Clock, Random, Telemetry } from '../../base/ports.ts';
import type { Certified } from '../../client/certificates.ts';
import type { ProtocolClient } from '../../client/client.ts';
import type { BucketAuthority, WriteResult } from '../../client/write.ts';
import { AEAD_KEY_BYTES } from '../../crypto/primitives.ts';
import type { BucketKeys } from '../../keyring/bucket-keys.ts';
import type { BucketSeal, OwnerKeys } from '../../keyring/owner-keys.ts';
import { decodeBucketRecord, encodeBucketRecord, SYSTEM_BUCKET_ID } from '../../protocol/bucket-record.ts';
import type { BucketRecord } from '../../protocol/bucket-record.ts';
import { compareStamps, ZERO_STAMP } from '../../protocol/stamp.ts';
import type { Stamp } from '../../protocol/stamp.ts';

export interface Bucket {
  readonly bucketId: Uint8Array;
  readonly name: string;
  readonly seal: BucketSeal;
  readonly record: BucketRecord;
  readonly stamp: Stamp;
  /** Of the operation that wrote the record. */
  readonly opId: Uint8Array;
  readonly keys: BucketKeys;
  readonly certified: Certified;
}

/** The writer's view of a bucket, for a write into it. */
export function authorityOf({ bucketId, record, stamp, certified }: Bucket): BucketAuthority {
  const k = record.geometries[0] ?? 1;
  return { bucketId, gen: record.gen, k, stamp, recordCert: certified.bytes };
}

const SYSTEM_AUTHORITY = {
  bucketId: SYSTEM_BUCKET_ID,
  gen: 1,
  k: 1,
  stamp: ZERO_STAMP,
  recordCert: null,
} as const;

export interface RegistryPorts {
  readonly client: Pick<ProtocolClient, 'head' | 'write'>;
  readonly owner: OwnerKeys;
  readonly random: Random;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  /** The geometry of new buckets. */
  readonly k: number;
}

/** What is chosen once for a generation. */
export interface NewBucket {
  /** Account. */
  readonly owner: string;
  readonly lockEnabled: boolean;
  readonly serialised: boolean;
}

const CACHED_MAX = 4096;
/**
 * An identifier that no record stands under is not asked for again before this; whose objects it has cannot
 * be read anyway.
 */
const UNKNOWN_MS = 5_000;

export class BucketRegistry {
  readonly #ports: RegistryPorts;
  readonly #cached = new Map<string, Bucket>();
  readonly #unknownUntilMs = new Map<string, number>();
  readonly #reading = new Map<string, Promise<Bucket | null>>();

  constructor(ports: RegistryPorts) {
    this.#ports = ports;
  }

  idOf(name: string): Uint8Array {
    return this.#ports.owner.bucketId(name);
  }

  /** The bucket, from the cache if it was open when last seen; null when there is no record of it. */
  async find(name: string): Promise<Bucket | null> {
    const cached = this.#cached.get(mapKey(this.idOf(name)));
    return cached?.record.state === 'OPEN' ? cached : this.refresh(name);
  }

  /** The bucket as its record says now; also a closing or deleted one. Throws NO_QUORUM. */
  async refresh(name: string): Promise<Bucket | null> {
    return this.#read(this.idOf(name));
  }

  /** The bucket under this identifier, of this generation or a later one; null when there is none. */
  async ofId(bucketId: Uint8Array, gen: number): Promise<Bucket | null> {
    const id = mapKey(bucketId);
    const cached = this.#cached.get(id);
    if (cached !== undefined && cached.record.gen >= gen) return cached;
    const nowMs = this.#ports.clock.monotonicMs();
    if ((this.#unknownUntilMs.get(id) ?? 0) > nowMs) return cached ?? null;
    let reading = this.#reading.get(id);
    if (reading === undefined) {
      reading = this.#read(bucketId).finally(() => this.#reading.delete(id));
      this.#reading.set(id, reading);
    }
    const found = await reading;
    if (found === null || found.record.gen < gen) {
      if (this.#unknownUntilMs.size >= CACHED_MAX) this.#unknownUntilMs.clear();
      this.#unknownUntilMs.set(id, nowMs + UNKNOWN_MS);
    }
    return found;
  }

  /**
   * Takes in a record's certificate from wherever it came. Returns the newest bucket known; null when it is
   * not this owner's.
   */
  observe(certified: Certified): Bucket | null {
    const { manifest } = certified.signed;
    const id = mapKey(manifest.keyId);
    const cached = this.#cached.get(id);
    if (cached !== undefined && compareStamps(cached.stamp, certified.stamp) >= 0) return cached;
    const bucket = this.#open(certified);
    if (bucket === null) {
      this.#ports.telemetry.event('error', 'foreign bucket record');
      return null;
    }
    const oldest = this.#cached.size >= CACHED_MAX ? this.#cached.keys().next().value : undefined;
    if (oldest !== undefined) this.#cached.delete(oldest);
    this.#cached.delete(id);
    this.#cached.set(id, bucket);
    this.#unknownUntilMs.delete(id);
    return bucket;
  }

  /** What a record that an index kept says; null when it is not this owner's. */
  describe(
    bucketId: Uint8Array,
    row: { readonly clear: Uint8Array; readonly encMeta: Uint8Array },
  ): (Pick<BucketSeal, 'name' | 'createdMs' | 'owner'> & Pick<BucketRecord, 'state' | 'gen'>) | null {
    const record = decodeBucketRecord(row.clear);
    if (!record.ok) return null;
    const opened = this.#ports.owner.openBucket(bucketId, record.value.gen, row.encMeta);
    if (opened === null) return null;
    const { name, createdMs, owner } = opened.seal;
    const { state, gen } = record.value;
    return { name, createdMs, owner, state, gen };
  }

  /**
   * Writes the next record of a bucket above every one that is certified. Nodes refuse (REFUSED) what may not
   * follow the record they hold.
   */
  async write(seal: BucketSeal, record: BucketRecord, opId: Uint8Array): Promise<WriteResult> {
    const { client, owner, random } = this.#ports;
    const encMeta = owner.sealBucket(random, record.bucketId, record.gen, seal);
    const result = await client.write({
      bucket: SYSTEM_AUTHORITY,
      keyId: record.bucketId,
      opId,
      clear: encodeBucketRecord(record),
      content: {
        kind: 'bytes',
        size: 0,
        body: nothing(),
        // The record's body is empty: what is secret of it stands in the sealed metadata.
        dataKey: random.bytes(AEAD_KEY_BYTES),
        wrappedKey: EMPTY,
        finish: () => Promise.resolve(encMeta),
      },
    });
    if (result.outcome === 'committed') {
      const { cert, certBytes } = result;
      this.observe({ cert, signed: cert.signed, stamp: cert.signed.manifest.stamp, bytes: certBytes });
    }
    return result;
  }

  /** The seal and record of a new generation. */
  nextGeneration(
    name: string,
    previous: Bucket | null,
    { owner: account, lockEnabled, serialised }: NewBucket,
  ): { readonly seal: BucketSeal; readonly record: BucketRecord } {
    const { owner, clock, k } = this.#ports;
    const bucketId = this.idOf(name);
    const gen = (previous?.record.gen ?? 0) + 1;
    const seal: BucketSeal = {
      v: 2,
      name,
      createdMs: clock.nowMs(),
      secrets: owner.firstSecrets(bucketId, gen),
      owner: account,
      defaultRetention: null,
    };
    const record: BucketRecord = {
      v: 2,
      bucketId,
      gen,
      mode: serialised ? 'SERIALISED' : 'PLAIN',
      versioning: lockEnabled ? 'ENABLED' : 'NEVER',
      lock: lockEnabled,
      geometries: [k],
      quotaBytes: 0,
      state: 'OPEN',
    };
    return { seal, record };
  }

  /** The same bucket with another record. */
  async change(
    { seal, record }: Bucket,
    changes: Partial<Pick<BucketRecord, 'state' | 'versioning' | 'lock'>> & Partial<Pick<BucketSeal, 'defaultRetention'>>,
    opId: Uint8Array,
  ): Promise<WriteResult> {
    const { defaultRetention = seal.defaultRetention, ...rest } = changes;
    const enforces = rest.versioning !== undefined || rest.lock !== undefined;
    return this.write({ ...seal, defaultRetention }, { ...record, ...(enforces ? { v: 2 } : {}), ...rest }, opId);
  }

  async #read(bucketId: Uint8Array): Promise<Bucket | null> {
    const certified = await this.#ports.client.head(bucketId);
    return certified === null ? null : this.observe(certified);
  }

  #open(certified: Certified): Bucket | null {
    const { manifest } = certified.signed;
    if (!equal(manifest.bucketId, SYSTEM_BUCKET_ID)) return null;
    const record = decodeBucketRecord(manifest.clear);
    if (!record.ok || !equal(record.value.bucketId, manifest.keyId)) return null;
    const opened = this.#ports.owner.openBucket(manifest.keyId, record.value.gen, manifest.encMeta);
    if (opened === null || !equal(this.idOf(opened.seal.name), manifest.keyId)) return null;
    const { name } = opened.seal;
    const { stamp, opId, keyId } = manifest;
    return {
      bucketId: keyId,
      name,
      seal: opened.seal,
      record: record.value,
      stamp,
      opId,
      keys: opened.keys,
      certified,
    };
  }
}

async function* nothing(): AsyncGenerator<Uint8Array, void> {}
