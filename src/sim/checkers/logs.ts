/**
 * What the logs of the correct nodes say about a run: of one key and stamp there is one version (I1), the
 * highest version of a key never falls (I5), and no operation became more versions than one (I7).
 */
import { hex } from '../../base/bytes.ts';
import { decodeEntry } from '../../log/entry-types.ts';
import { decodeCommitted } from '../../protocol/log-entries.ts';
import { compareStamps } from '../../protocol/stamp.ts';
import type { Stamp } from '../../protocol/stamp.ts';

export interface CheckedLogs {
  /** The leaves of each correct node. */
  readonly logs: ReadonlyMap<string, readonly Uint8Array[]>;
  /** Keys in hex, with how many operations may have taken effect on each. */
  readonly attempted: ReadonlyMap<string, number>;
  /** Keys in hex that keep versions: the certificates of these may come in any order. */
  readonly keeping?: ReadonlySet<string>;
}

export function checkLogs({ logs, attempted, keeping = new Set() }: CheckedLogs): string[] {
  const violations: string[] = [];
  /** Key and stamp → the version that was certified there. */
  const heads = new Map<string, string>();
  const versions = new Map<string, Set<string>>();
  for (const [name, leaves] of logs) {
    const highest = new Map<string, Stamp>();
    for (const [index, leaf] of leaves.entries()) {
      const entry = decodeEntry(leaf);
      if (entry === null) {
        violations.push(`${name}: entry ${index} of its log is malformed`);
        continue;
      }
      if (entry.type !== 'COMMITTED') continue;
      const body = decodeCommitted(entry.body);
      if (!body.ok) {
        violations.push(`${name}: entry ${index} of its log: ${body.reason}`);
        continue;
      }
      const { stamp } = body.value;
      const [key, hash] = [hex(body.value.keyId), hex(body.value.manifestHash)];
      const at = `${key} ${stamp.gen} ${stamp.counter} ${hex(stamp.writerId)}`;
      const head = heads.get(at) ?? hash;
      heads.set(at, head);
      if (head !== hash) violations.push(`I1: two versions of ${key.slice(0, 12)} are certified at counter ${stamp.counter}`);
      versions.set(key, (versions.get(key) ?? new Set()).add(hash));
      const before = highest.get(key);
      if (before !== undefined && !keeping.has(key) && compareStamps(stamp, before) <= 0) violations.push(`${name}: the version of ${key.slice(0, 12)} falls at entry ${index}`);
      highest.set(key, stamp);
    }
  }
  for (const [key, limit] of attempted) {
    const count = versions.get(key)?.size ?? 0;
    if (count > limit) violations.push(`I7: ${count} versions of ${key.slice(0, 12)} came of ${limit} operations`);
  }
  return violations;
}
