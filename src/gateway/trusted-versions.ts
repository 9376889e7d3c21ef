/**
 * Versions whose encoding needs no check: this gateway wrote them, or has read all of them and computed every
 * cell again (protocol 6.3). Bounded; forgetting only costs time.
 */
import { mapKey } from '../base/bytes.ts';
import type { ReadTrust } from '../client/read.ts';

const REMEMBERED_MAX = 65_536;

export class TrustedVersions implements ReadTrust {
  readonly #hashes = new Set<string>();

  readonly trusted = (manifestHash: Uint8Array): boolean => this.#hashes.has(mapKey(manifestHash));

  readonly onChecked = (manifestHash: Uint8Array): void => this.add(manifestHash);

  add(manifestHash: Uint8Array): void {
    if (this.#hashes.size >= REMEMBERED_MAX) {
      const oldest = this.#hashes.values().next().value;
      if (oldest !== undefined) this.#hashes.delete(oldest);
    }
    this.#hashes.add(mapKey(manifestHash));
  }
}
