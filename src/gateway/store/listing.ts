/** LIST of objects: rows of the index, behind a barrier and with every certificate where it must be (6.6). */
import { hex } from '../../base/bytes.ts';
import type { Bucket } from '../buckets/bucket-registry.ts';
import type { ListingBarrier } from '../index/listing-barrier.ts';
import type { ListedObject, ListedUpload, ListedVersion } from '../index/object-index.ts';
import { NULL_VERSION } from '../s3/port/objects.ts';
import type { Listing, ListRow, UploadRow, VersionRow } from '../s3/port/listing.ts';
import type { NoSuchBucket } from '../s3/port/outcomes.ts';
import { listedVersionId, stampOfId } from '../version-id.ts';
import { accountOf, readableBucket } from './open-bucket.ts';
import type { StoreContext } from './context.ts';
import { toChecksumKind } from './mapping.ts';

export async function openListing(ctx: StoreContext, name: string): Promise<Listing | NoSuchBucket> {
  await ctx.barrier.pass();
  // The barrier has taken in every record that was written before, so the cached one is new enough.
  const bucket = await readableBucket(ctx, name);
  if (bucket === null) return { outcome: 'no-such-bucket' };
  return listingOf(ctx.barrier, bucket, accountOf(ctx, bucket));
}

type Listed = Pick<Bucket, 'bucketId'> & { readonly record: Pick<Bucket['record'], 'gen' | 'mode'> };

/** What a barrier that was passed shows of a bucket. A page reads about as many rows as it shows. */
export function listingOf(barrier: ListingBarrier, bucket: Listed, owner: string): Listing {
  const { bucketId, record } = bucket;
  const { gen } = record;
  return {
    outcome: 'listing',
    rows: async (from, below, limit) => {
      const rows = await barrier.objects(bucketId, gen, from, below, limit);
      return rows.map((row) => listRow(row, owner));
    },
    versions: (from, after, below, limit) => versions(barrier, bucket, owner, { from, after, below, limit }),
    uploads: async (from, after, below, limit) => {
      const rows = await barrier.uploads(bucketId, gen, from, after, below, limit);
      return rows.map((row) => uploadRow(row, owner));
    },
  };
}

interface Range {
  readonly from: Uint8Array;
  readonly after: string | undefined;
  readonly below: Uint8Array | undefined;
  readonly limit: number;
}

async function versions(
  barrier: ListingBarrier,
  bucket: Listed,
  owner: string,
  { from, after, below, limit }: Range,
): Promise<readonly VersionRow[]> {
  const { bucketId, record } = bucket;
  const { gen } = record;
  if (record.mode === 'PLAIN') {
    // Of each key there is one version: after it comes the next key.
    const start = after === undefined ? from : Uint8Array.from([...from, 0]);
    const rows = await barrier.objects(bucketId, gen, start, below, limit);
    return rows.map((row) => ({ ...listRow(row, owner), versionId: NULL_VERSION, isLatest: true, isDeleteMarker: false }));
  }
  const stamp = after === undefined ? undefined : await stampAfter(barrier, bucket, from, after);
  const rows = await barrier.versions(bucketId, gen, from, stamp, below, limit);
  return rows.map((row, at) => {
    const before = rows[at - 1]?.name;
    const isLatest = before === undefined ? !isNamed(row, from) || stamp === undefined : before !== row.name;
    return versionRow(row, isLatest, owner);
  });
}

function isNamed({ name }: ListedVersion, from: Uint8Array): boolean {
  return hex(Buffer.from(name)) === hex(from);
}

/** The stamp that a listing goes on below; the null version may be any of the key's. */
async function stampAfter(barrier: ListingBarrier, { bucketId, record }: Listed, name: Uint8Array, after: string) {
  if (after !== NULL_VERSION) return stampOfId(after, record.gen);
  const [newest] = await barrier.nullVersions(bucketId, record.gen, name);
  return newest?.stamp;
}

function listRow({ name, size, etag, mtimeMs, checksum, owner }: ListedObject, bucketOwner: string): ListRow {
  return { key: name, size, etag, lastModifiedMs: mtimeMs, owner: owner ?? bucketOwner, checksum: toChecksumKind(checksum) };
}

function versionRow(row: ListedVersion, isLatest: boolean, bucketOwner: string): VersionRow {
  const versionId = listedVersionId(row.kept, row.stamp);
  return { ...listRow(row, bucketOwner), versionId, isLatest, isDeleteMarker: row.isMarker };
}

function uploadRow({ name, uploadId, mtimeMs, owner, checksum }: ListedUpload, bucketOwner: string): UploadRow {
  const kind = toChecksumKind(checksum);
  return { key: name, uploadId: hex(uploadId), createdMs: mtimeMs, owner: owner ?? bucketOwner, checksum: kind };
}
