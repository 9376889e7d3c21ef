/**
 * GET and HEAD of objects: the newest version as the storage nodes say, never as the index says; that only
 * tells how large it probably is. A version once opened stays the one that is read.
 */
import { equal, mapKey, utf8 } from '../../base/bytes.ts';
import { assert } from '../../base/assert.ts';
import { OperationError } from '../../base/errors.ts';
import type { ReadResult } from '../../client/read.ts';
import type { SignedManifest } from '../../protocol/manifest.ts';
import type { ObjectMeta } from '../../keyring/metadata.ts';
import type { Bucket } from '../buckets/bucket-registry.ts';
import type { ByteSpan, RangeRequest } from '../s3/port/content.ts';
import type { GetObject, HeadObjectResult, OpenObject } from '../s3/port/objects.ts';
import { readableBucket } from './buckets.ts';
import type { StoreContext } from './context.ts';
import { toInfo } from './mapping.ts';

type Absent = { readonly outcome: 'no-such-bucket' } | { readonly outcome: 'no-such-key' };

interface Opened {
  readonly meta: ObjectMeta;
  readonly dataKey: Uint8Array;
}

export async function getObject(ctx: StoreContext, request: GetObject): Promise<OpenObject | Absent> {
  return inBucket(ctx, request.bucket, async (bucket) => {
    const reading = new Reading(ctx, bucket, request.key);
    const result = await reading.open((size) => spanOf(request.range, size));
    return result.kind === 'absent' ? null : reading.pinned(result);
  });
}

export async function headObject(
  ctx: StoreContext,
  bucketName: string,
  key: string,
): Promise<HeadObjectResult> {
  return inBucket(ctx, bucketName, async (bucket) => {
    const newest = await ctx.client.head(bucket.keys.objectKeyId(key));
    if (newest === null || newest.signed.manifest.kind === 'TOMBSTONE') return null;
    const { meta } = openObject(bucket, newest.signed);
    return { outcome: 'found', info: toInfo(meta, newest.signed.manifest.size) };
  });
}

/**
 * Looks with the cached record of the bucket; when nothing is found, the record is asked for: the bucket
 * may be gone, or another one of a later generation may have taken its place.
 */
async function inBucket<T>(
  ctx: StoreContext,
  name: string,
  look: (bucket: Bucket) => Promise<T | null>,
): Promise<T | Absent> {
  let bucket = await readableBucket(ctx, name);
  while (bucket !== null) {
    const found = await look(bucket);
    if (found !== null) return found;
    const now = await ctx.registry.refresh(name);
    if (now === null || now.record.state === 'DELETED') break;
    if (now.record.gen === bucket.record.gen) return { outcome: 'no-such-key' };
    bucket = now;
  }
  return { outcome: 'no-such-bucket' };
}

/** Throws DAMAGED: whoever signed this does not have the owner's keys. */
function openObject(bucket: Bucket, signed: SignedManifest): Opened {
  const opened = bucket.keys.openVersion(signed.manifest);
  if (opened?.meta.t !== 'object' || opened.dataKey === null) {
    throw new OperationError(
      'DAMAGED',
      'The newest version of the object does not open with the keys of its bucket.',
    );
  }
  return { meta: opened.meta, dataKey: opened.dataKey };
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
  readonly #key: string;
  /** By manifest hash: the plan of a read may be made anew for a newer version. */
  readonly #opened = new Map<string, Opened>();

  constructor(ctx: StoreContext, bucket: Bucket, key: string) {
    this.#ctx = ctx;
    this.#bucket = bucket;
    this.#key = key;
  }

  /** Begins to read the span that `choose` gives for the size of the version found. */
  async open(choose: (size: number, signed: SignedManifest) => ByteSpan | undefined): Promise<ReadResult> {
    const { keys, bucketId, record } = this.#bucket;
    const row = await this.#ctx.barrier.object(bucketId, record.gen, utf8(this.#key));
    return this.#ctx.client.read(
      keys.objectKeyId(this.#key),
      (signed) => {
        const opened = openObject(this.#bucket, signed);
        this.#opened.set(mapKey(signed.hash), opened);
        const span = choose(signed.manifest.size, signed);
        return span === undefined ? null : { dataKey: opened.dataKey, start: span.from, end: span.to };
      },
      row === undefined ? {} : { sizeHint: row.size },
    );
  }

  pinned(result: Exclude<ReadResult, { kind: 'absent' }>): OpenObject {
    const { signed } = result.version;
    const opened = this.#opened.get(mapKey(signed.hash));
    assert(opened !== undefined, 'a plan was made for the version that is read');
    let begun = result.kind === 'content' ? result : null;
    return {
      outcome: 'found',
      info: toInfo(opened.meta, signed.manifest.size),
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
  }

  /** Another span of the same version than was begun with: rare, so it may cost another round. */
  async *#again(pinned: SignedManifest, span: ByteSpan): AsyncGenerator<Uint8Array, void> {
    if (span.from === span.to) return;
    const result = await this.open((_size, signed) => (equal(signed.hash, pinned.hash) ? span : undefined));
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
