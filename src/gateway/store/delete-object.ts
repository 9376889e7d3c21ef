/**
 * DELETE of objects: a tombstone where versions are not kept, a delete marker on top where they are, and for a
 * named version a manifest that takes it away. Under object lock the version is let go first, in its own
 * register, which decides between that and a lock (13.6).
 */
import { concat, EMPTY, utf8 } from '../../base/bytes.ts';
import { isOperationError, OperationError } from '../../base/errors.ts';
import type { Predecessor, SlotTerms } from '../../client/slot-write.ts';
import { NO_ATTRIBUTES } from '../../keyring/metadata.ts';
import type { RemoveMeta, VersionPointer } from '../../keyring/metadata.ts';
import { forbidsRemoval } from '../../protocol/attributes.ts';
import { sameStamp } from '../../protocol/stamp.ts';
import type { Bucket } from '../buckets/bucket-registry.ts';
import { fingerprintOf } from '../operations.ts';
import type { Operation } from '../operations.ts';
import type { DeleteObject, DeleteObjectResult } from '../s3/port/objects.ts';
import { versionIdOf } from '../version-id.ts';
import { attributesOf, lockOf, writeRegister } from './attributes.ts';
import { openBucket, readableBucket } from './open-bucket.ts';
import type { StoreContext } from './context.ts';
import { goneOrBusy, isConflict, isUnsupported } from './objects.ts';
import { newestUnder, resolveVersion } from './versions.ts';
import type { Resolved } from './versions.ts';
import { failedCondition, writeTerms } from './write-terms.ts';
import { bury, writeVersion } from './write-version.ts';

const TRIES_MAX = 8;

export async function deleteObject(ctx: StoreContext, request: DeleteObject): Promise<DeleteObjectResult> {
  const operation = ctx.operations.begin(request.operation);
  const { condition, versionId } = request;
  try {
    const fingerprint = fingerprintOf({ t: 'delete', versionId: versionId ?? null, condition: condition ?? null });
    const earlier = await operation.settle(fingerprint);
    if (earlier.kind === 'done') {
      const marker = earlier.row.versionId === '' ? undefined : earlier.row.versionId;
      return { outcome: 'deleted', versionId: versionId ?? marker, isDeleteMarker: marker !== undefined };
    }
    if (earlier.kind === 'unknown') return { outcome: 'unknown' };
    const bucket = await openBucket(ctx, request.bucket);
    if (bucket === null) return { outcome: 'no-such-bucket' };
    if (isUnsupported(bucket, condition)) return { outcome: 'condition-unsupported' };
    const mark = operation.mark(fingerprint);
    if (bucket.record.versioning === 'NEVER') return await buryObject(ctx, bucket, request, mark);
    if (versionId === undefined) return await layMarker(ctx, bucket, request, operation, mark);
    return await removeVersion(ctx, bucket, request, mark);
  } catch (error) {
    if (isConflict(error, condition)) return { outcome: 'condition-conflict' };
    if (isOperationError(error, 'LOCKED')) return { outcome: 'locked' };
    throw error;
  } finally {
    operation.end();
  }
}

/** In a bucket that has never kept versions: `null` names the one that there is. */
async function buryObject(
  ctx: StoreContext,
  bucket: Bucket,
  request: DeleteObject,
  mark: Uint8Array | null,
): Promise<DeleteObjectResult> {
  const { key, versionId, condition, operation } = request;
  const keyId = bucket.keys.objectKeyId(key);
  const named = await resolveVersion(ctx, bucket, key, versionId);
  if (named === null) return nothingThere(ctx, bucket, request);
  const failed = failedCondition(condition, named);
  if (failed !== undefined) return failed;
  const { hash, manifest } = named.signed;
  const terms = writeTerms(ctx, { bucket, key, condition, attributes: NO_ATTRIBUTES, mayBeRepetition: () => Promise.resolve(false) });
  const of = { t: 'object', name: key } as const;
  const predecessor = { stamp: manifest.stamp, hash };
  const { decide, needsCertified } = terms;
  const buried = await bury(ctx, bucket, { keyId, of, opId: operation.id, mark, predecessor, decide, needsCertified });
  if (buried === 'buried') return { outcome: 'deleted', versionId, isDeleteMarker: false };
  if (buried === 'declined') return terms.failure();
  return buried === 'unknown' ? { outcome: 'unknown' } : goneOrBusy(ctx, request.bucket);
}

/**
 * Nothing under this name, if the bucket is the one we looked into: an old record would have made us look
 * elsewhere.
 */
async function nothingThere(ctx: StoreContext, looked: Bucket, request: DeleteObject): Promise<DeleteObjectResult> {
  await ctx.registry.refresh(request.bucket);
  const bucket = await readableBucket(ctx, request.bucket);
  if (bucket === null) return { outcome: 'no-such-bucket' };
  const isSame = bucket.record.gen === looked.record.gen && bucket.record.versioning === looked.record.versioning;
  if (!isSame) return deleteObject(ctx, { ...request, operation: { id: request.operation.id, repeatable: false } });
  const failed = request.versionId === undefined ? failedCondition(request.condition, null) : undefined;
  return failed ?? { outcome: 'deleted', versionId: request.versionId, isDeleteMarker: false };
}

async function layMarker(
  ctx: StoreContext,
  bucket: Bucket,
  request: DeleteObject,
  operation: Operation,
  mark: Uint8Array | null,
): Promise<DeleteObjectResult> {
  const { key, condition, owner } = request;
  const { keys, record } = bucket;
  const keyId = keys.objectKeyId(key);
  const kept = record.versioning;
  const terms = writeTerms(ctx, { bucket, key, condition, attributes: NO_ATTRIBUTES, mayBeRepetition: () => Promise.resolve(false) });
  const of = { t: 'object', name: key } as const;
  const meta = { v: 2, t: 'tombstone', of, mtimeMs: ctx.clock.nowMs(), operation: mark, owner, kept } as const;
  const written = await writeVersion(ctx, bucket, {
    keyId,
    opId: operation.id,
    ...terms,
    content: { kind: 'tombstone', wrappedKey: EMPTY, encMeta: keys.sealTombstone(ctx.random, keyId, meta) },
  });
  if (written.kind === 'unknown') return { outcome: 'unknown' };
  if (written.kind === 'declined') return terms.failure();
  if (written.kind === 'stale') return goneOrBusy(ctx, request.bucket);
  return { outcome: 'deleted', versionId: versionIdOf(kept, written.signed.manifest.stamp), isDeleteMarker: true };
}

async function removeVersion(
  ctx: StoreContext,
  bucket: Bucket,
  request: DeleteObject,
  mark: Uint8Array | null,
): Promise<DeleteObjectResult> {
  const { key, versionId, condition } = request;
  const named = await resolveVersion(ctx, bucket, key, versionId);
  if (named === null) return nothingThere(ctx, bucket, request);
  const failed = failedCondition(condition, named);
  if (failed !== undefined) return failed;
  const refusal = await letGo(ctx, bucket, named, request);
  if (refusal !== null) return refusal;
  const { keys } = bucket;
  const keyId = keys.objectKeyId(key);
  const { stamp } = named.signed.manifest;
  const meta = (latest: VersionPointer | null): RemoveMeta => ({
    v: 2,
    t: 'remove',
    of: { t: 'object', name: key },
    latest,
    isMarker: named.kind === 'marker',
    mtimeMs: ctx.clock.nowMs(),
    operation: mark,
  });
  const written = await writeVersion(ctx, bucket, {
    keyId,
    opId: request.operation.id,
    needsCertified: true,
    decide: async (predecessor): Promise<SlotTerms | 'decline'> => {
      const latest = await latestWithout(ctx, bucket, key, named, predecessor);
      if (latest === 'moved') return 'decline';
      return {
        removes: [stamp],
        encMeta: keys.sealTombstone(ctx.random, keyId, meta(latest)),
        bypassGovernance: request.bypassGovernance,
      };
    },
    content: { kind: 'remove', wrappedKey: EMPTY, encMeta: keys.sealTombstone(ctx.random, keyId, meta(null)) },
  });
  switch (written.kind) {
    case 'unknown':
      return { outcome: 'unknown' };
    case 'stale':
      return goneOrBusy(ctx, request.bucket);
    case 'declined':
      throw new OperationError('BUSY', 'Versions of the object go faster than they can be read.', { retryable: true });
    case 'committed':
      return { outcome: 'deleted', versionId, isDeleteMarker: named.kind === 'marker' };
  }
}

/** The newest version once `without` has gone. */
async function latestWithout(
  ctx: StoreContext,
  bucket: Bucket,
  key: string,
  without: Exclude<Resolved, null>,
  predecessor: Predecessor | null,
): Promise<VersionPointer | null | 'moved'> {
  const newest = await newestUnder(ctx, bucket, predecessor?.certified ?? null);
  if (newest === 'moved') return 'moved';
  const gone = without.signed.manifest.stamp;
  if (newest !== null && !sameStamp(newest.signed.manifest.stamp, gone)) {
    return { stamp: newest.signed.manifest.stamp, hash: newest.signed.hash };
  }
  // Behind a barrier that began after the predecessor was seen, the index has every version below it.
  await ctx.barrier.pass();
  const name = utf8(key);
  const [below] = await ctx.barrier.versions(bucket.bucketId, bucket.record.gen, name, gone, concat(name, new Uint8Array(1)), 1);
  return below === undefined ? null : { stamp: below.stamp, hash: below.manifestHash };
}

/** Under object lock: null when the version may be removed now. */
async function letGo(
  ctx: StoreContext,
  bucket: Bucket,
  version: Exclude<Resolved, null>,
  { bypassGovernance, bucket: name }: DeleteObject,
): Promise<DeleteObjectResult | null> {
  if (!bucket.record.lock || version.kind === 'marker') return null;
  for (let tried = 0; tried < TRIES_MAX; tried += 1) {
    const held = await attributesOf(ctx, bucket, version);
    if (held.isGone) return null;
    if (forbidsRemoval(lockOf(held.attributes), ctx.clock.nowMs(), bypassGovernance)) return { outcome: 'locked' };
    const opId = ctx.random.bytes(32);
    const next = { attributes: held.attributes, isGone: true, mayBypass: bypassGovernance, opId, mark: null };
    const written = await writeRegister(ctx, bucket, version, held.hash, next);
    if (written === 'committed') return null;
    if (written === 'unknown') return { outcome: 'unknown' };
    if (written === 'stale') return goneOrBusy(ctx, name);
  }
  throw new OperationError('BUSY', 'The attributes of the version keep changing.', { retryable: true });
}

