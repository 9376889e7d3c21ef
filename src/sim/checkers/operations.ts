/**
 * Watches which operation each version belongs to, as the manifests say it that nodes are asked to accept. Of
 * one operation at most one version is ever certified, however often it was sent again (I7).
 */
import { equal, hex } from '../../base/bytes.ts';
import { decodeEntry } from '../../log/entry-types.ts';
import { decodeCommitted } from '../../protocol/log-entries.ts';
import { openSignedManifest } from '../../protocol/manifest.ts';
import type { RequestOf } from '../../protocol/messages.ts';

export class OperationWatch {
  /** By the hash of the manifest. */
  readonly #operations = new Map<string, Uint8Array>();
  /** The same manifest goes to every node. */
  #latest: Uint8Array | undefined;

  asked({ manifest }: RequestOf<'PREPARE'>): void {
    if (this.#latest !== undefined && equal(this.#latest, manifest.body)) return;
    this.#latest = manifest.body;
    const opened = openSignedManifest(manifest);
    if (opened.ok) this.#operations.set(hex(opened.value.hash), opened.value.manifest.opId);
  }

  /** `logs`: the leaves of correct nodes. */
  faults(logs: Iterable<readonly Uint8Array[]>): string[] {
    const versions = new Map<string, Set<string>>();
    for (const leaves of logs) {
      for (const leaf of leaves) {
        const entry = decodeEntry(leaf);
        const body = entry?.type === 'COMMITTED' ? decodeCommitted(entry.body) : undefined;
        if (body?.ok !== true) continue;
        const hash = hex(body.value.manifestHash);
        const operation = this.#operations.get(hash);
        if (operation === undefined) continue;
        const name = hex(operation);
        versions.set(name, (versions.get(name) ?? new Set()).add(hash));
      }
    }
    return [...versions].filter(([, hashes]) => hashes.size > 1).map(([name, hashes]) => `I7: operation ${name.slice(0, 12)} became ${hashes.size} versions`);
  }
}
