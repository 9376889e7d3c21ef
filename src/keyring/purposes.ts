/**
 * What each derived key of the owner is for. Two purposes give unrelated keys (HKDF, crypto/primitives.ts),
 * so a key that seals metadata can never open content, and an identifier tells nothing about a key.
 * This table is the only place where purposes are named.
 */
import { utf8 } from '../base/bytes.ts';
import { hkdf } from '../crypto/primitives.ts';

const PURPOSES = {
  /** Root -> key of the PRF that turns bucket names into bucketIds. */
  bucketNames: 'holdfast/1/bucket names',
  /** Root -> key that seals the secret part of bucket records. */
  bucketRecords: 'holdfast/1/bucket records',
  /** Root -> PRF key from which the first secrets of a bucket come. */
  bucketSecrets: 'holdfast/1/bucket secrets',
  /** Root -> the public name of the owner. */
  ownerId: 'holdfast/1/owner id',
  /** Root -> key that authenticates continuation tokens. */
  tokens: 'holdfast/1/continuation tokens',
  /** Root -> key under which names of objects are hashed in audit logs. */
  auditNames: 'holdfast/1/audit names',
  /** Data key -> key that seals the name and metadata of that version. */
  meta: 'holdfast/1/meta',
  /** Wrapping key -> key that seals the metadata of tombstones, which have no data key. */
  tombstone: 'holdfast/1/tombstone',
} as const;

export type KeyPurpose = keyof typeof PURPOSES;

/** The 32-byte key for one purpose. */
export function deriveKey(secret: Uint8Array, purpose: KeyPurpose): Uint8Array {
  return hkdf(secret, utf8(PURPOSES[purpose]));
}
