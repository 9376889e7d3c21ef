/**
 * Object lock (protocol 13.6, I10): whether this node's own state allows a version to be removed. It fails
 * closed: what the node does not know it does not let go.
 */
import { mapKey } from '../base/bytes.ts';
import type { Manifest } from '../protocol/manifest.ts';
import type { NodeContext } from './context.ts';

/** Why one of the versions that the manifest removes may not go, or null. */
export function lockFault(ctx: NodeContext, { bucketId, keyId, slot }: Manifest): string | null {
  if (slot === null || slot.removes === 'ALL' || slot.removes.length === 0) return null;
  if (ctx.state.bucketRecords.get(mapKey(bucketId))?.record.lock !== true) return null;
  for (const stamp of slot.removes) {
    const version = ctx.state.register.versionAt(keyId, stamp);
    const terms = version?.slot ?? null;
    if (terms === null) return 'a version to be removed is not known here';
    if (terms.legalHold) return 'a version to be removed is under legal hold';
    if (terms.retainUntil > ctx.clock.nowMs()) return 'a version to be removed is retained';
  }
  return null;
}
