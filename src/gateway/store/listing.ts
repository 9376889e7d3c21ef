/** LIST of objects: rows of the index, behind a barrier and with every certificate where it must be (6.6). */
import type { ListRow, Listing } from '../s3/port/listing.ts';
import type { NoSuchBucket } from '../s3/port/outcomes.ts';
import type { ListedObject } from '../index/object-index.ts';
import { readableBucket } from './buckets.ts';
import type { StoreContext } from './context.ts';
import { toChecksumKind } from './mapping.ts';

export async function openListing(ctx: StoreContext, name: string): Promise<Listing | NoSuchBucket> {
  await ctx.barrier.pass();
  // The barrier has taken in every record that was written before, so the cached one is new enough.
  const bucket = await readableBucket(ctx, name);
  if (bucket === null) return { outcome: 'no-such-bucket' };
  const { bucketId, record } = bucket;
  return {
    outcome: 'listing',
    rows: async (from, below, limit) => {
      const rows = await ctx.barrier.objects(bucketId, record.gen, from, below, limit);
      return rows.map(listRow);
    },
  };
}

function listRow({ name, size, etag, mtimeMs, checksum }: ListedObject): ListRow {
  return { key: name, size, etag, lastModifiedMs: mtimeMs, checksum: toChecksumKind(checksum) };
}
