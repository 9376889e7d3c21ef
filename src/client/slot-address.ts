/** Where a write goes: the bucket that it acts in, and the slot of a key that it stands for (protocol 6.4). */
import type { Stamp } from '../protocol/stamp.ts';
import type { Certified } from './certificates.ts';

/** The bucket as the writer knows it: nodes refuse what was written under an older record. */
export interface BucketAuthority {
  readonly bucketId: Uint8Array;
  readonly gen: number;
  /** Cells that decode a stripe, one of the geometries of the bucket. */
  readonly k: number;
  /** Stamp of the bucket record; zero in the reserved bucket. */
  readonly stamp: Stamp;
  /** Certificate of the record, for nodes that lack it. */
  readonly recordCert: Uint8Array | null;
}

/** The version that a write is to follow. */
export interface Predecessor {
  readonly stamp: Stamp;
  /** Hash of its manifest. */
  readonly hash: Uint8Array;
  /** Null while it is only believed to be the newest. */
  readonly certified: Certified | null;
}

/** A slot of a key, and the version that it follows. */
export interface SlotAddress {
  readonly bucket: BucketAuthority;
  readonly keyId: Uint8Array;
  readonly prev: Uint8Array;
  readonly predecessor: Predecessor | null;
}
