/**
 * Writes of a serialised bucket (protocol 6.4, 13.7). Every version names the one that it follows, and of all
 * manifests that name the same predecessor at most one is ever certified: so a condition on the predecessor
 * is decided once, whichever gateways race.
 */
import type { OperationError } from '../base/errors.ts';
import type { Certificate } from '../protocol/certificate.ts';
import type { SignedManifest } from '../protocol/manifest.ts';
import type { Stamp } from '../protocol/stamp.ts';
import type { Certified } from './certificates.ts';
import type { WriteContent } from './content.ts';
import type { BucketAuthority } from './write.ts';

/** The version that a write is to follow. */
export interface Predecessor {
  readonly stamp: Stamp;
  /** Hash of its manifest. */
  readonly hash: Uint8Array;
  /** Null while it is only believed to be the newest. */
  readonly certified: Certified | null;
}

/** What a write does to the versions before it, and what it seals. */
export interface SlotTerms {
  /** ALL: it replaces every version below it, as in a bucket that never kept versions. A list: the versions of these stamps go. */
  readonly removes: 'ALL' | readonly Stamp[];
  /** In place of the metadata that came with the content. */
  readonly encMeta?: Uint8Array;
  /** Object lock of the new version. */
  readonly lock?: VersionLock;
}

export interface VersionLock {
  readonly mode: 'NONE' | 'GOVERNANCE' | 'COMPLIANCE';
  /** Unix milliseconds; 0 with NONE. */
  readonly retainUntil: number;
  readonly legalHold: boolean;
}

export interface SlotWriteRequest {
  readonly bucket: BucketAuthority;
  readonly keyId: Uint8Array;
  /** 32 bytes: identity of the user operation. */
  readonly opId: Uint8Array;
  readonly content: WriteContent;
  /** As in WriteRequest, with the hash. Absent: ask the nodes. */
  readonly predecessor?: Pick<Predecessor, 'stamp' | 'hash'> | null;
  /**
   * Asked for each predecessor that the write is tried on (null: no version of the key has ever been): on
   * what terms, or 'decline' to write nothing. `certified` of the predecessor is set when `needsCertified`.
   */
  readonly decide: (predecessor: Predecessor | null) => Promise<SlotTerms | 'decline'>;
  /** `decide` must see what the nodes hold, not what is believed: conditions. */
  readonly needsCertified: boolean;
  /** Heard until the first PREPARE. */
  readonly signal?: AbortSignal;
}

export type SlotWriteResult =
  | {
      readonly outcome: 'committed';
      readonly signed: SignedManifest;
      readonly cert: Certificate;
      readonly certBytes: Uint8Array;
    }
  /** `decide` declined on this predecessor. */
  | { readonly outcome: 'declined'; readonly predecessor: Predecessor | null }
  /** Nothing of it will ever take effect. `record` with BUCKET_STALE. */
  | { readonly outcome: 'rejected'; readonly error: OperationError; readonly record?: Certified }
  | { readonly outcome: 'unknown'; readonly reason: string; readonly signed: SignedManifest };
