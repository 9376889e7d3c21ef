/**
 * The port by which the client remembers, across a crash of its process, which writes it has begun (protocol
 * 6.1, 6.7): whoever settles orphans later must know whether an operation was tried again under another
 * stamp, or it would be applied twice (I7).
 */
import type { SignedManifest } from '../protocol/manifest.ts';
import type { Stamp } from '../protocol/stamp.ts';
import type { Certified } from './certificates.ts';

export interface Attempt {
  /** Identity of the user operation; several attempts may share one. */
  readonly opId: Uint8Array;
  readonly bucketId: Uint8Array;
  readonly keyId: Uint8Array;
  readonly stamp: Stamp;
  readonly manifestHash: Uint8Array;
}

export interface AttemptJournal {
  /** Durable on return. Called before the first PREPARE of the attempt. */
  begin(attempt: Attempt): Promise<void>;
  /** The attempt will never be certified: its receipts were thrown away. Durable on return. */
  abandoned(attempt: Attempt): Promise<void>;
  /**
   * c nodes hold its certificate, perhaps long after the caller was told that nobody knows. On return whoever
   * repeats the operation finds its result; only then may the attempt be forgotten.
   * Never throws: what cannot be remembered stays open.
   */
  published(attempt: Attempt, certified: Certified): Promise<void>;
  /**
   * As `published`, of a write that stands just before `newest`, which c nodes hold: what was written is
   * `signed`, and no node may ever show it again.
   */
  superseded(attempt: Attempt, signed: SignedManifest, newest: Certified): Promise<void>;
  /** Nothing is left to do: its receipts were released. Need not be durable. */
  settled(attempt: Attempt): Promise<void>;
}
