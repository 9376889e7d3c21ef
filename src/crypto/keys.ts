/**
 * Admission of public keys. A key that enters a configuration is checked once for what the strict
 * verification equation relies on: canonical encoding, not of small order, and torsion-free, so that every
 * implementation reaches the same verdict about every signature (protocol 13.1).
 */
import { ed25519 } from '@noble/curves/ed25519.js';

/** True iff `raw` is the canonical encoding of a point of the prime-order subgroup other than the identity. */
export function isSafePublicKey(raw: Uint8Array): boolean {
  if (raw.length !== 32) return false;
  try {
    const point = ed25519.Point.fromBytes(raw, false);
    return !point.isSmallOrder() && point.isTorsionFree();
  } catch {
    return false;
  }
}
