/** What the logs of correct nodes say about object lock: none of them has let a locked version go (I10). */
import { equal, hex } from '../../base/bytes.ts';
import { decodeEntry } from '../../log/entry-types.ts';
import { decodeCommitted, decodeEvict } from '../../protocol/log-entries.ts';
import { sameStamp } from '../../protocol/stamp.ts';
import type { Stamp } from '../../protocol/stamp.ts';

export interface LockedAt {
  readonly id: string;
  readonly keyId: Uint8Array;
  readonly stamp: Stamp;
}

/** `leaves`: the log of one correct node. */
export function checkLocks(name: string, leaves: readonly Uint8Array[], locked: readonly LockedAt[]): string[] {
  const hashes = new Map<string, string>();
  const violations: string[] = [];
  for (const leaf of leaves) {
    const entry = decodeEntry(leaf);
    if (entry?.type === 'COMMITTED') {
      const body = decodeCommitted(entry.body);
      if (!body.ok) continue;
      const { keyId, stamp, manifestHash } = body.value;
      const version = locked.find((one) => equal(one.keyId, keyId) && sameStamp(one.stamp, stamp));
      if (version !== undefined) hashes.set(hex(manifestHash), version.id);
    }
    if (entry?.type === 'EVICT') {
      const body = decodeEvict(entry.body);
      const id = body.ok ? hashes.get(hex(body.value.manifestHash)) : undefined;
      if (id !== undefined) violations.push(`I10: ${name} has let the locked version ${id} go`);
    }
  }
  return violations;
}
