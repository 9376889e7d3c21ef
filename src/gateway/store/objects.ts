/**
 * PUT of objects. Content streams into the client while it is hashed by the front; only when it has ended well
 * and no earlier request has done the same is anything prepared.
 */
import { assert } from '../../base/assert.ts';
import { isOperationError, OperationError } from '../../base/errors.ts';
import { AEAD_KEY_BYTES } from '../../crypto/primitives.ts';
import { contentKey, customerSeal } from '../../keyring/bucket-keys.ts';
import type { ObjectMeta, StoredHeaders } from '../../keyring/metadata.ts';
import type { SignedManifest } from '../../protocol/manifest.ts';
import type { Bucket } from '../buckets/bucket-registry.ts';
import type { OperationRow } from '../index/rows.ts';
import { fingerprintOf } from '../operations.ts';
import type { ContentSeal } from '../s3/port/content.ts';
import type { PutObject, PutObjectResult, Stored, WriteCondition } from '../s3/port/objects.ts';
import { versionIdOf } from '../version-id.ts';
import { openBucket } from './open-bucket.ts';
import type { StoreContext } from './context.ts';
import { toChecksum, toStoredChecksum, toStoredHeaders } from './mapping.ts';
import { asksForLock, attributesIn, writeTerms } from './write-terms.ts';
import { guessOf, Repetition, writeVersion } from './write-version.ts';

export async function putObject(ctx: StoreContext, request: PutObject): Promise<PutObjectResult> {
  const bucket = await openBucket(ctx, request.bucket);
  if (bucket === null) return { outcome: 'no-such-bucket' };
  if (asksForLock(bucket, request.attributes)) return { outcome: 'lock-disabled' };
  if (isUnsupported(bucket, request.condition)) return { outcome: 'condition-unsupported' };
  return putContent(ctx, bucket, request, toStoredHeaders(request.metadata), (what) => fingerprintOf({ t: 'put', ...what }));
}

/** May a PLAIN bucket not decide this? */
export function isUnsupported({ record }: Bucket, condition: WriteCondition | undefined): boolean {
  return record.mode === 'PLAIN' && condition !== undefined;
}

/** The fingerprint of a request from what is known of it when its content is complete. */
export type Identify = (what: Readonly<Record<string, unknown>>) => Uint8Array;

/** Writes one version of content that streams in. */
export async function putContent(
  ctx: StoreContext,
  bucket: Bucket,
  request: Omit<PutObject, 'metadata'>,
  headers: StoredHeaders,
  identify: Identify,
): Promise<PutObjectResult> {
  const { keys, record } = bucket;
  const { content, customerKey, condition } = request;
  const keyId = keys.objectKeyId(request.key);
  const dataKey = ctx.random.bytes(AEAD_KEY_BYTES);
  const attributes = attributesIn(ctx, bucket, request.attributes);
  const operation = ctx.operations.begin(request.operation);
  let seal: ContentSeal | undefined;
  const isUnsealed = async (): Promise<boolean> => seal === undefined && (await operation.mayBeRepetition());
  const terms = writeTerms(ctx, { bucket, key: request.key, condition, attributes, mayBeRepetition: isUnsealed });
  const mtimeMs = ctx.clock.nowMs();
  try {
    const written = await writeVersion(ctx, bucket, {
      keyId,
      opId: operation.id,
      ...(await guessOf(ctx, keyId)),
      ...terms,
      content: {
        kind: 'bytes',
        size: content.size,
        body: content.bytes,
        dataKey: contentKey(dataKey, customerKey?.key),
        wrappedKey: keys.wrap(ctx.random, keyId, dataKey),
        finish: async () => {
          seal = content.seal();
          const { etag } = seal;
          const checksum = toStoredChecksum(seal.checksum);
          const asked = attributesIn(ctx, { ...bucket, seal: { ...bucket.seal, defaultRetention: null } }, request.attributes);
          const fingerprint = identify({ size: content.size, etag, checksum, headers, attributes: asked, condition: condition ?? null });
          const earlier = await operation.settle(fingerprint);
          if (earlier.kind !== 'none') throw new Repetition(earlier);
          const meta: ObjectMeta = {
            v: 2,
            t: 'object',
            name: request.key,
            etag,
            mtimeMs,
            headers,
            checksum,
            parts: 0,
            operation: operation.mark(fingerprint),
            owner: request.owner,
            kept: record.versioning,
            attributes,
            customer: customerKey === undefined ? null : customerSeal(dataKey, customerKey.key, customerKey.md5),
            partList: null,
            partListBytes: 0,
          };
          return keys.sealMeta(ctx.random, keyId, dataKey, meta);
        },
      },
    });
    if (written.kind === 'unknown') return { outcome: 'unknown' };
    if (written.kind === 'declined') return terms.failure();
    if (written.kind === 'stale') return await goneOrBusy(ctx, request.bucket);
    assert(seal !== undefined, 'what was committed was sealed');
    return storedAs(bucket, written.signed, { etag: seal.etag, checksum: seal.checksum, lastModifiedMs: mtimeMs });
  } catch (error) {
    if (error instanceof Repetition) return error.earlier.kind === 'unknown' ? { outcome: 'unknown' } : storedEarlier(error.earlier.row);
    if (isConflict(error, condition)) return { outcome: 'condition-conflict' };
    throw error;
  } finally {
    operation.end();
  }
}

/** Others wrote the key faster each time: the client decides whether its condition still means anything. */
export function isConflict(error: unknown, condition: WriteCondition | undefined): boolean {
  return condition !== undefined && isOperationError(error, 'BUSY');
}


export function storedAs(
  { record }: Bucket,
  { manifest }: SignedManifest,
  what: Pick<Stored, 'etag' | 'checksum' | 'lastModifiedMs'>,
): Stored {
  return { outcome: 'stored', ...what, versionId: versionIdOf(record.versioning, manifest.stamp) };
}

/** The result of an earlier request that this one repeats. */
export function storedEarlier({ etag, checksum, versionId, atMs }: OperationRow): Stored {
  return {
    outcome: 'stored',
    etag,
    checksum: toChecksum(checksum),
    versionId: versionId === '' ? undefined : versionId,
    lastModifiedMs: atMs,
  };
}

/**
 * After the record changed under a write whose content is gone: the client must send it again, or the
 * bucket is gone.
 */
export async function goneOrBusy(
  ctx: StoreContext,
  name: string,
): Promise<{ readonly outcome: 'no-such-bucket' }> {
  if ((await openBucket(ctx, name)) === null) return { outcome: 'no-such-bucket' };
  throw new OperationError('BUSY', 'The record of the bucket changed during the request.', {
    retryable: true,
  });
}
