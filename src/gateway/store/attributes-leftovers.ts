/**
 * Attributes that have outlived their version: removed by name, or overwritten. Nobody can read them any more, but
 * the storage nodes would keep them for ever. The index notes each of them as it follows the logs, whichever gateway
 * removed the version and whether or not it lived to tidy up; here they are buried. The nodes let that happen only
 * when they know themselves that the version has ended: until then its lock stands (13.6).
 */
import { attributesKeyId } from '../../protocol/attributes.ts';
import type { EndedAttributes } from '../index/object-index.ts';
import type { StoreContext } from './context.ts';
import { bury } from './write-version.ts';

/** Of one round of upkeep, so that it ends. */
const AT_MOST = 1_000;

/** Buries what the index has noted. Returns how many registers were buried. */
export async function sweepAttributes(ctx: StoreContext, signal: AbortSignal): Promise<number> {
  let buried = 0;
  for (const ended of await ctx.index.endedAttributes(AT_MOST)) {
    if (signal.aborted) break;
    if (await buryAttributes(ctx, ended)) buried += 1;
  }
  return buried;
}

async function buryAttributes(ctx: StoreContext, { bucketId, keyId, stamp }: EndedAttributes): Promise<boolean> {
  const bucket = await ctx.registry.ofId(bucketId, stamp.gen);
  if (bucket?.record.state !== 'OPEN' || bucket.record.gen !== stamp.gen) return false;
  // An index may err; the nodes know.
  if ((await ctx.client.headAt(keyId, stamp)).kind !== 'removed') return false;
  const at = attributesKeyId(keyId, stamp);
  const newest = await ctx.client.head(at);
  if (newest === null || newest.signed.manifest.kind === 'TOMBSTONE') return false;
  const predecessor = { stamp: newest.stamp, hash: newest.signed.hash };
  const of = { t: 'attributes', keyId, stamp } as const;
  return (await bury(ctx, bucket, { keyId: at, of, opId: ctx.random.bytes(32), mark: null, predecessor })) === 'buried';
}
