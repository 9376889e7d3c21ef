/**
 * Small sealed values: AES-256-GCM under a random nonce, which stands in front. Metadata is padded to steps
 * of 64 bytes before it is sealed, so that the length of a name shows only roughly; the true length stands
 * inside. What does not open or is not padded exactly so is null: the bytes come from nodes and storage.
 */
import { concat, u32be } from '../base/bytes.ts';
import { AEAD_NONCE_BYTES, AEAD_TAG_BYTES, aeadKey, aeadOpen, aeadSeal } from '../crypto/primitives.ts';
import type { Random } from '../base/ports.ts';

export const SEAL_OVERHEAD_BYTES = AEAD_NONCE_BYTES + AEAD_TAG_BYTES;
export const PAD_STEP_BYTES = 64;
const LENGTH_BYTES = 4;

/** nonce, ciphertext, tag: the plaintext's bytes and SEAL_OVERHEAD_BYTES. */
export function seal(random: Random, key: Uint8Array, associated: Uint8Array, plain: Uint8Array): Uint8Array {
  const nonce = random.bytes(AEAD_NONCE_BYTES);
  return concat(nonce, aeadSeal(aeadKey(key), nonce, associated, plain));
}

/** The plaintext, or null when it was not sealed so. */
export function open(key: Uint8Array, associated: Uint8Array, sealed: Uint8Array): Uint8Array | null {
  if (sealed.length < SEAL_OVERHEAD_BYTES) return null;
  const nonce = sealed.subarray(0, AEAD_NONCE_BYTES);
  const parts = aeadOpen(aeadKey(key), nonce, associated, [sealed.subarray(AEAD_NONCE_BYTES)]);
  return parts === null ? null : concat(...parts);
}

/** Length, then the bytes, then zeros up to a multiple of PAD_STEP_BYTES. */
export function pad(plain: Uint8Array): Uint8Array {
  const out = new Uint8Array(Math.ceil((LENGTH_BYTES + plain.length) / PAD_STEP_BYTES) * PAD_STEP_BYTES);
  out.set(u32be(plain.length));
  out.set(plain, LENGTH_BYTES);
  return out;
}

/** Undoes `pad`; null unless the padding is exactly what `pad` makes. */
export function unpad(padded: Uint8Array): Uint8Array | null {
  if (padded.length < LENGTH_BYTES) return null;
  const length = new DataView(padded.buffer, padded.byteOffset, padded.length).getUint32(0);
  const end = LENGTH_BYTES + length;
  if (padded.length !== Math.ceil(end / PAD_STEP_BYTES) * PAD_STEP_BYTES) return null;
  for (let at = end; at < padded.length; at += 1) if (padded[at] !== 0) return null;
  return padded.slice(LENGTH_BYTES, end);
}

/** Sealed size of metadata of `bytes` bytes. */
export function sealedPaddedBytes(bytes: number): number {
  return Math.ceil((LENGTH_BYTES + bytes) / PAD_STEP_BYTES) * PAD_STEP_BYTES + SEAL_OVERHEAD_BYTES;
}
