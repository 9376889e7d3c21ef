/**
 * Which version a request means: the newest, or the one that a version id names. The storage nodes say so,
 * linearizably; only where a null version is among many is it looked for in the index, behind a barrier.
 */
import { utf8 } from '../../base/bytes.ts';
import { OperationError } from '../../base/errors.ts';
import type { Certified } from '../../client/certificates.ts';
import type { ObjectMeta, TombstoneMeta } from '../../keyring/metadata.ts';
import type { SignedManifest } from '../../protocol/manifest.ts';
import type { Stamp } from '../../protocol/stamp.ts';
import type { Bucket } from '../buckets/bucket-registry.ts';
import { NULL_VERSION } from '../s3/port/objects.ts';
import type { Missing, VersionAddress } from '../s3/port/objects.ts';
import { stampOfId, versionIdOf } from '../version-id.ts';
import { readableBucket } from './open-bucket.ts';
import type { StoreContext } from './context.ts';

export interface ObjectVersion {
  readonly kind: 'object';
  readonly signed: SignedManifest;
  readonly meta: ObjectMeta;
  readonly dataKey: Uint8Array;
}

export interface MarkerVersion {
  readonly kind: 'marker';
  readonly signed: SignedManifest;
  readonly meta: TombstoneMeta;
}

/** A version that a request can mean; null: there is none. */
export type Resolved = ObjectVersion | MarkerVersion | null;

/** Each try means that another version was removed meanwhile. */
const TRIES_MAX = 8;

/** A version, or null for a tombstone that is none. Throws DAMAGED: its writer does not have the owner's keys. */
export function openVersion({ keys }: Bucket, signed: SignedManifest): Resolved {
  const opened = keys.openVersion(signed.manifest);
  if (opened?.meta.t === 'object' && opened.dataKey !== null) {
    return { kind: 'object', signed, meta: opened.meta, dataKey: opened.dataKey };
  }
  if (opened?.meta.t === 'tombstone') {
    return opened.meta.kept === 'NEVER' ? null : { kind: 'marker', signed, meta: opened.meta };
  }
  throw new OperationError('DAMAGED', 'The version of the object does not open with the keys of its bucket.');
}

/** The version that counts as the newest where `head` is the highest manifest; 'moved' when it has gone since. */
export async function newestUnder(
  ctx: StoreContext,
  bucket: Bucket,
  head: Certified | null,
): Promise<Resolved | 'moved'> {
  if (head === null) return null;
  const { manifest } = head.signed;
  if (manifest.kind !== 'REMOVE') return openVersion(bucket, head.signed);
  const meta = bucket.keys.openVersion(manifest)?.meta;
  if (meta?.t !== 'remove') {
    throw new OperationError('DAMAGED', 'A removal does not open with the keys of its bucket.');
  }
  if (meta.latest === null) return null;
  const at = await ctx.client.headAt(manifest.keyId, meta.latest.stamp);
  return at.kind === 'version' ? openVersion(bucket, at.certified.signed) : 'moved';
}

/** The newest version of a key. */
export async function newestVersion(ctx: StoreContext, bucket: Bucket, keyId: Uint8Array): Promise<Resolved> {
  for (let tried = 0; tried < TRIES_MAX; tried += 1) {
    const newest = await newestUnder(ctx, bucket, await ctx.client.head(keyId));
    if (newest !== 'moved') return newest;
  }
  throw new OperationError('BUSY', 'Versions of the object go faster than they can be read.', { retryable: true });
}

/** The version under this stamp, unless it has gone. */
export async function versionAt(
  ctx: StoreContext,
  bucket: Bucket,
  keyId: Uint8Array,
  stamp: Stamp,
): Promise<Resolved> {
  const at = await ctx.client.headAt(keyId, stamp);
  return at.kind === 'version' && at.certified.signed.manifest.kind !== 'REMOVE'
    ? openVersion(bucket, at.certified.signed)
    : null;
}

/** The version that the id names; undefined: the newest. */
export async function resolveVersion(
  ctx: StoreContext,
  bucket: Bucket,
  key: string,
  versionId: string | undefined,
): Promise<Resolved> {
  const keyId = bucket.keys.objectKeyId(key);
  if (versionId === undefined) return newestVersion(ctx, bucket, keyId);
  if (versionId === NULL_VERSION) return nullVersion(ctx, bucket, key, keyId);
  const stamp = stampOfId(versionId, bucket.record.gen);
  const found = stamp === undefined ? null : await versionAt(ctx, bucket, keyId, stamp);
  return found?.meta.kept === 'ENABLED' ? found : null;
}

async function nullVersion(ctx: StoreContext, bucket: Bucket, key: string, keyId: Uint8Array): Promise<Resolved> {
  const newest = await newestVersion(ctx, bucket, keyId);
  if (newest !== null && newest.meta.kept !== 'ENABLED') return newest;
  if (bucket.record.versioning === 'NEVER') return null;
  const [stamp] = await nullStamps(ctx, bucket, key);
  return stamp === undefined ? null : versionAt(ctx, bucket, keyId, stamp);
}

/** Stamps of the null versions of an object, as the index knows them behind a barrier. */
export async function nullStamps(ctx: StoreContext, { bucketId, record }: Bucket, key: string): Promise<readonly Stamp[]> {
  await ctx.barrier.pass();
  const rows = await ctx.barrier.nullVersions(bucketId, record.gen, utf8(key));
  return rows.map(({ stamp }) => stamp);
}

/** How a request is answered that means a delete marker. */
export function markerOutcome({ meta, signed }: MarkerVersion): Missing {
  const versionId = versionIdOf(meta.kept, signed.manifest.stamp) ?? NULL_VERSION;
  return { outcome: 'delete-marker', versionId, lastModifiedMs: meta.mtimeMs };
}

/**
 * Looks with the cached record of the bucket; when nothing is found, the record is asked for: the bucket
 * may be gone, or another one of a later generation may have taken its place.
 */
export async function inBucket<T>(
  ctx: StoreContext,
  { bucket: name, versionId }: Pick<VersionAddress, 'bucket' | 'versionId'>,
  look: (bucket: Bucket) => Promise<T | null>,
): Promise<T | Missing> {
  let bucket = await readableBucket(ctx, name);
  while (bucket !== null) {
    const found = await look(bucket);
    if (found !== null) return found;
    const now = await ctx.registry.refresh(name);
    if (now === null || now.record.state === 'DELETED') break;
    if (now.record.gen === bucket.record.gen) {
      return { outcome: versionId === undefined ? 'no-such-key' : 'no-such-version' };
    }
    bucket = now;
  }
  return { outcome: 'no-such-bucket' };
}
