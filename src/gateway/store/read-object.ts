/**
 * GET and HEAD of objects: the version that is meant as the storage nodes say, never as the index says; that
 * only tells how large it probably is, and whose attributes to ask for. A version once opened stays the one
 * that is read.
 */
import { concat, equal, mapKey, utf8 } from '../../base/bytes.ts';
import { assert } from '../../base/assert.ts';
import { OperationError } from '../../base/errors.ts';
import type { ReadResult } from '../../client/read.ts';
import { contentKey, fitsCustomer } from '../../keyring/bucket-keys.ts';
import type { SignedManifest } from '../../protocol/manifest.ts';
import type { Stamp } from '../../protocol/stamp.ts';
import type { Bucket } from '../buckets/bucket-registry.ts';
import type { ByteSpan, CustomerKey, RangeRequest } from '../s3/port/content.ts';
import type {
  GetObject,
  GetObjectResult,
  HeadObjectResult,
  ObjectPartsResult,
  OpenObject,
  VersionAddress,
} from '../s3/port/objects.ts';
import type { CustomerKeyFault } from '../s3/port/outcomes.ts';
import { stampOfId } from '../version-id.ts';
import { attributesOf, AttributesReader } from './attributes.ts';
import { accountOf } from './open-bucket.ts';
import type { StoreContext } from './context.ts';
import { sizeOf, toInfo } from './mapping.ts';
import { decodePartList } from './part-list.ts';
import { inBucket, markerOutcome, openVersion, resolveVersion } from './versions.ts';
import type { ObjectVersion } from './versions.ts';

/** Why the content cannot be read with this key of the customer's, or none; undefined: it can. */
export function customerKeyFault(
  { meta: { customer }, dataKey }: Pick<ObjectVersion, 'meta' | 'dataKey'>,
  key: CustomerKey | undefined,
): CustomerKeyFault | undefined {
  if (customer === null) return undefined;
  if (key === undefined) return { outcome: 'customer-key-needed' };
  return fitsCustomer(dataKey, key.key, customer) ? undefined : { outcome: 'customer-key-wrong' };
}

/** The key of a version's content. */
export function contentKeyOf({ meta, dataKey }: Pick<ObjectVersion, 'meta' | 'dataKey'>, key: CustomerKey | undefined): Uint8Array {
  return contentKey(dataKey, meta.customer === null ? undefined : key?.key);
}

export function headObject(ctx: StoreContext, address: VersionAddress): Promise<HeadObjectResult> {
  return inBucket(ctx, address, async (bucket): Promise<HeadObjectResult | null> => {
    const { key, versionId } = address;
    const keyId = bucket.keys.objectKeyId(key);
    const stamp = versionId === undefined ? undefined : stampOfId(versionId, bucket.record.gen);
    const attributes = new AttributesReader(ctx, bucket, keyId, stamp);
    const version = await resolveVersion(ctx, bucket, key, versionId);
    if (version === null) return null;
    if (version.kind === 'marker') return markerOutcome(version);
    const held = await attributes.of(version);
    return { outcome: 'found', info: toInfo(version, held.attributes, accountOf(ctx, bucket)) };
  });
}

export function getObject(ctx: StoreContext, request: GetObject): Promise<GetObjectResult> {
  return inBucket(ctx, request, (bucket) => open(ctx, bucket, request));
}

async function open(ctx: StoreContext, bucket: Bucket, request: GetObject): Promise<GetObjectResult | null> {
  const { key, versionId } = request;
  let at: Stamp | undefined;
  if (versionId !== undefined) {
    const named = await resolveVersion(ctx, bucket, key, versionId);
    if (named === null) return null;
    if (named.kind === 'marker') return markerOutcome(named);
    at = named.signed.manifest.stamp;
  }
  const reading = new Reading(ctx, bucket, request, at);
  const result = await reading.open();
  if (result.kind === 'absent') {
    const marker = result.tombstone === null ? null : openVersion(bucket, result.tombstone.signed);
    return marker?.kind === 'marker' ? markerOutcome(marker) : null;
  }
  if (result.version.signed.manifest.kind === 'REMOVE') {
    // The newest version lies below what only took another away.
    const newest = await resolveVersion(ctx, bucket, key, undefined);
    if (newest === null) return null;
    if (newest.kind === 'marker') return markerOutcome(newest);
    const below = new Reading(ctx, bucket, request, newest.signed.manifest.stamp);
    const again = await below.open();
    return again.kind === 'absent' ? null : below.pinned(again);
  }
  return reading.pinned(result);
}

/** The bytes that a request will want; undefined when it will want none. */
function spanOf(range: RangeRequest | undefined, size: number): ByteSpan | undefined {
  let span: ByteSpan = { from: 0, to: size };
  if (range?.kind === 'suffix') span = { from: Math.max(0, size - range.bytes), to: size };
  if (range?.kind === 'from') span = { from: range.first, to: Math.min(size, (range.last ?? size - 1) + 1) };
  return span.from < span.to ? span : undefined;
}

class Reading {
  readonly #ctx: StoreContext;
  readonly #bucket: Bucket;
  readonly #request: GetObject;
  readonly #at: Stamp | undefined;
  readonly #attributes: AttributesReader;
  /** By manifest hash: the plan of a read may be made anew for a newer version. */
  readonly #opened = new Map<string, ObjectVersion>();

  constructor(ctx: StoreContext, bucket: Bucket, request: GetObject, at: Stamp | undefined) {
    this.#ctx = ctx;
    this.#bucket = bucket;
    this.#request = request;
    this.#at = at;
    this.#attributes = new AttributesReader(ctx, bucket, bucket.keys.objectKeyId(request.key), at);
  }

  /** Begins to read what the request will want. */
  open(): Promise<Exclude<ReadResult, never>> {
    return this.#open((size) => spanOf(this.#request.range, size));
  }

  async #open(choose: (size: number, signed: SignedManifest) => ByteSpan | undefined): Promise<ReadResult> {
    const { keys, bucketId, record } = this.#bucket;
    const { key, customerKey } = this.#request;
    const row = await this.#ctx.barrier.object(bucketId, record.gen, utf8(key));
    return this.#ctx.client.read(
      keys.objectKeyId(key),
      (signed) => {
        if (signed.manifest.kind === 'REMOVE') return null;
        const version = openVersion(this.#bucket, signed);
        if (version?.kind !== 'object') throw new OperationError('DAMAGED', 'A version with content is no object.');
        this.#opened.set(mapKey(signed.hash), version);
        if (customerKeyFault(version, customerKey) !== undefined) return null;
        const span = choose(sizeOf(signed.manifest, version.meta), signed);
        return span === undefined
          ? null
          : { dataKey: contentKeyOf(version, customerKey), start: span.from, end: span.to };
      },
      { ...(row === undefined ? {} : { sizeHint: row.size }), ...(this.#at === undefined ? {} : { at: this.#at }) },
    );
  }

  async pinned(result: Exclude<ReadResult, { kind: 'absent' }>): Promise<OpenObject | CustomerKeyFault> {
    const { signed } = result.version;
    const version = this.#opened.get(mapKey(signed.hash));
    assert(version !== undefined, 'a plan was made for the version that is read');
    const fault = customerKeyFault(version, this.#request.customerKey);
    if (fault !== undefined) return fault;
    let begun = result.kind === 'content' ? result : null;
    try {
      const held = await this.#attributes.of(version);
      return {
        outcome: 'found',
        info: toInfo(version, held.attributes, accountOf(this.#ctx, this.#bucket)),
        read: (span) => {
          const ready = begun;
          begun = null;
          if (ready !== null && ready.start === span.from && ready.end === span.to) return ready.stream;
          ready?.close();
          return this.#again(signed, span);
        },
        close: () => {
          if (result.kind === 'content') result.close();
        },
      };
    } catch (error) {
      begun?.close();
      throw error;
    }
  }

  /** Another span of the same version than was begun with: rare, so it may cost another round. */
  async *#again(pinned: SignedManifest, span: ByteSpan): AsyncGenerator<Uint8Array, void> {
    if (span.from === span.to) return;
    const result = await this.#open((_size, signed) => (equal(signed.hash, pinned.hash) ? span : undefined));
    if (result.kind !== 'content') {
      throw new OperationError('OVERWRITTEN', 'The object was overwritten while it was read.', {
        retryable: true,
      });
    }
    try {
      yield* result.stream;
    } finally {
      result.close();
    }
  }
}

export function objectParts(ctx: StoreContext, address: VersionAddress): Promise<ObjectPartsResult> {
  return inBucket(ctx, address, async (bucket): Promise<ObjectPartsResult | null> => {
    const version = await resolveVersion(ctx, bucket, address.key, address.versionId);
    if (version === null) return null;
    if (version.kind === 'marker') return markerOutcome(version);
    const held = await attributesOf(ctx, bucket, version);
    const list = await partListOf(ctx, version);
    if (list === null) return null;
    const info = toInfo(version, held.attributes, accountOf(ctx, bucket));
    return { outcome: 'found', info, parts: decodePartList(list) };
  });
}

/** The sealed list of parts; null when the version has gone meanwhile. Empty: none, or a release did not keep it. */
async function partListOf(ctx: StoreContext, { signed, meta, dataKey }: ObjectVersion): Promise<Uint8Array | null> {
  const { manifest } = signed;
  if (meta.partList !== null || meta.partListBytes === 0) return meta.partList ?? new Uint8Array(0);
  // The list is sealed without the customer's key: it is told with HEAD, too.
  const plan = { dataKey, start: sizeOf(manifest, meta), end: manifest.size };
  const result = await ctx.client.read(manifest.keyId, () => plan, { at: manifest.stamp });
  if (result.kind !== 'content') return null;
  const pieces: Uint8Array[] = [];
  for await (const piece of result.stream) pieces.push(piece.slice());
  return concat(...pieces);
}
