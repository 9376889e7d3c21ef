/**
 * Object lock (protocol 13.6, I10): whether this node's own state allows a version's lock to be changed, the
 * version to go, and to be removed. It fails closed: what the node does not know it does not let go. Attributes
 * follow the ones that this node holds as the newest (P11), so it judges exactly what they would replace.
 */
import { mapKey } from '../base/bytes.ts';
import { attributesKeyId, decodeAttributes, forbidsRemoval, forbidsChange } from '../protocol/attributes.ts';
import type { Attributes } from '../protocol/attributes.ts';
import type { Manifest } from '../protocol/manifest.ts';
import { sameStamp } from '../protocol/stamp.ts';
import type { Stamp } from '../protocol/stamp.ts';
import type { NodeContext } from './context.ts';

/** Longer than anybody can mean: a default retention of S3 goes to a hundred years, a date beyond it. */
const RETENTION_MAX_MS = 200 * 366 * 24 * 3_600_000;

/** Why the manifest may not be accepted, or null. */
export function lockFault(ctx: NodeContext, manifest: Manifest): string | null {
  const { bucketId, slot, clear } = manifest;
  if (slot === null || ctx.state.bucketRecords.get(mapKey(bucketId))?.record.lock !== true) return null;
  const attributes = clear.length === 0 ? null : decodeAttributes(clear);
  const retainUntil = attributes?.ok === true ? attributes.value.retainUntil : manifest.retainUntil;
  if (retainUntil > ctx.clock.nowMs() + RETENTION_MAX_MS) return 'a retention of more than two hundred years';
  if (attributes?.ok === true) return attributesFault(ctx, manifest, attributes.value);
  return slot.removes === 'ALL' ? null : removalFault(ctx, manifest.keyId, slot.removes);
}

function attributesFault(ctx: NodeContext, { gatewayId, slot }: Manifest, next: Attributes): string | null {
  const { register } = ctx.state;
  const { keyId, stamp } = next;
  const version = register.versionAt(keyId, stamp)?.slot ?? null;
  if (version === null) return 'the version is not known here';
  const before = register.max(attributesKeyId(keyId, stamp))?.slot?.attributes ?? null;
  if (before?.gone === true) return 'the version has been let go';
  const nowMs = ctx.retention.nowMs() ?? Number.NEGATIVE_INFINITY;
  const mayBypass =
    slot?.bypassGovernance === true &&
    ctx.cluster.writerById(gatewayId)?.capabilities.includes('bypassGovernance') === true;
  const lock = before ?? version;
  if (next.gone ? forbidsRemoval(lock, nowMs, mayBypass) : forbidsChange(lock, next, nowMs, mayBypass)) return 'the version is locked';
  const isGoing = !next.gone && register.preparedRemovals(keyId).some((removed) => sameStamp(removed, stamp));
  return isGoing ? 'the version is being removed' : null;
}

/** What has been let go, and what nobody has ever locked, may be removed. */
function removalFault(ctx: NodeContext, keyId: Uint8Array, removes: readonly Stamp[]): string | null {
  const { register } = ctx.state;
  for (const stamp of removes) {
    const at = attributesKeyId(keyId, stamp);
    const attributes = register.max(at)?.slot?.attributes ?? null;
    if (attributes?.gone === true) continue;
    const version = register.versionAt(keyId, stamp)?.slot ?? null;
    if (version === null) return 'a version to be removed is not known here';
    const isFree = attributes === null && version.lockMode === 'NONE' && !version.legalHold && register.preparedOf(at).length === 0;
    if (!isFree) return 'a version to be removed has not been let go';
  }
  return null;
}
