/**
 * The cryptographic primitives of suite 1, as pure synchronous functions: SHA-256, HMAC, HKDF, AES-256-GCM
 * and strict Ed25519. This is the one file of the browser-safe floors that names a platform library; a
 * browser build substitutes this file alone. Nothing here draws randomness: keys and nonces are handed in.
 */
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  createSecretKey,
  hash,
  hkdfSync,
  sign as nodeSign,
  timingSafeEqual as nodeTimingSafeEqual,
  verify as nodeVerify,
} from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { assert } from '../base/assert.ts';
import { concat, hex } from '../base/bytes.ts';

export const HASH_BYTES = 32;
export const SIGNATURE_BYTES = 64;
export const PUBLIC_KEY_BYTES = 32;
export const SEED_BYTES = 32;
export const AEAD_KEY_BYTES = 32;
export const AEAD_NONCE_BYTES = 12;
export const AEAD_TAG_BYTES = 16;

/** Larger pieces make the cipher allocate by page faults and halve its speed. */
const CIPHER_PIECE_BYTES = 64 * 1024;

/** SHA-256 (FIPS 180-4) of the concatenation of the parts. */
export function sha256(...parts: readonly Uint8Array[]): Uint8Array {
  const only = parts[0];
  if (parts.length === 1 && only !== undefined) return plain(hash('sha256', only, 'buffer'));
  const state = createHash('sha256');
  for (const part of parts) state.update(part);
  return plain(state.digest());
}

/** The same bytes without Node's Buffer methods, whose `slice` does not copy. */
function plain(bytes: Buffer): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** HMAC-SHA-256 (RFC 2104) of the concatenation of the parts. */
export function hmacSha256(key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array {
  const state = createHmac('sha256', key);
  for (const part of parts) state.update(part);
  return plain(state.digest());
}

/** HKDF-SHA-256 (RFC 5869) with an empty salt. `info` names the purpose; two purposes give unrelated keys. */
export function hkdf(secret: Uint8Array, info: Uint8Array, length: number = 32): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', secret, new Uint8Array(0), info, length));
}

export interface IncrementalHash {
  update(bytes: Uint8Array): void;
  /** May be called once. */
  digest(): Uint8Array;
}

/** MD5 and SHA-1 serve S3's ETag and checksum headers only; nothing of the protocol rests on them. */
export function incremental(algorithm: 'md5' | 'sha1' | 'sha256'): IncrementalHash {
  const state = createHash(algorithm);
  return {
    update(bytes) {
      state.update(bytes);
    },
    digest: () => plain(state.digest()),
  };
}

/** Equality in time that depends on the lengths alone. */
export function timingSafeEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && nodeTimingSafeEqual(a, b);
}

/** A prepared AES-256 key: building it costs more than sealing a small message. */
export type AeadKey = KeyObject;

export function aeadKey(key: Uint8Array): AeadKey {
  assert(key.length === AEAD_KEY_BYTES, 'an AES-256 key has 32 bytes');
  return createSecretKey(key);
}

/**
 * AES-256-GCM (NIST SP 800-38D) into `out`, which receives ciphertext then tag: plaintext bytes + 16.
 * The parts are sealed as one message. A (key, nonce) pair must never seal twice.
 */
export function aeadSealInto(
  key: AeadKey,
  nonce: Uint8Array,
  associated: Uint8Array,
  parts: readonly Uint8Array[],
  out: Uint8Array,
): void {
  const cipher = createCipheriv('aes-256-gcm', key, nonce);
  cipher.setAAD(associated);
  let at = 0;
  for (const part of parts) {
    for (let from = 0; from < part.length; from += CIPHER_PIECE_BYTES) {
      const piece = cipher.update(part.subarray(from, Math.min(part.length, from + CIPHER_PIECE_BYTES)));
      out.set(piece, at);
      at += piece.length;
    }
  }
  cipher.final();
  out.set(cipher.getAuthTag(), at);
  assert(at + AEAD_TAG_BYTES <= out.length, 'sealed bytes fit');
}

export function aeadSeal(key: AeadKey, nonce: Uint8Array, associated: Uint8Array, plain: Uint8Array): Uint8Array {
  const out = new Uint8Array(plain.length + AEAD_TAG_BYTES);
  aeadSealInto(key, nonce, associated, [plain], out);
  return out;
}

/**
 * Opens ciphertext-then-tag given in parts. Returns the plaintext in pieces, or null when the tag does not
 * verify: no byte leaves before all of them are authenticated.
 */
export function aeadOpen(
  key: AeadKey,
  nonce: Uint8Array,
  associated: Uint8Array,
  sealed: readonly Uint8Array[],
): Uint8Array[] | null {
  const size = sealed.reduce((sum, part) => sum + part.length, 0);
  if (size < AEAD_TAG_BYTES) return null;
  const decipher = createDecipheriv('aes-256-gcm', key, nonce);
  decipher.setAAD(associated);
  const tag = new Uint8Array(AEAD_TAG_BYTES);
  const opened: Uint8Array[] = [];
  let left = size - AEAD_TAG_BYTES;
  let tagAt = 0;
  for (const part of sealed) {
    const text = part.subarray(0, Math.min(left, part.length));
    for (let from = 0; from < text.length; from += CIPHER_PIECE_BYTES) {
      opened.push(decipher.update(text.subarray(from, Math.min(text.length, from + CIPHER_PIECE_BYTES))));
    }
    left -= text.length;
    const rest = part.subarray(text.length);
    tag.set(rest, tagAt);
    tagAt += rest.length;
  }
  decipher.setAuthTag(tag);
  try {
    decipher.final();
  } catch {
    return null;
  }
  return opened;
}

const PKCS8_ED25519 = new Uint8Array([
  0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
]);
const SPKI_ED25519 = new Uint8Array([0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00]);

/** An Ed25519 signing key (RFC 8032) made from its 32-byte seed. */
export interface SigningKey {
  /** Raw public key, 32 bytes. */
  readonly publicKey: Uint8Array;
  sign(message: Uint8Array): Uint8Array;
}

export function signingKeyFromSeed(seed: Uint8Array): SigningKey {
  assert(seed.length === SEED_BYTES, 'an Ed25519 seed has 32 bytes');
  const key = createPrivateKey({ key: Buffer.from(concat(PKCS8_ED25519, seed)), format: 'der', type: 'pkcs8' });
  const spki = createPublicKey(key).export({ format: 'der', type: 'spki' });
  return {
    publicKey: new Uint8Array(spki.subarray(SPKI_ED25519.length)),
    sign: (message) => new Uint8Array(nodeSign(null, message, key)),
  };
}

const publicKeys = new Map<string, KeyObject>();
const PUBLIC_KEYS_MAX = 4096;

function publicKeyObject(raw: Uint8Array): KeyObject {
  const name = hex(raw);
  const known = publicKeys.get(name);
  if (known !== undefined) return known;
  const made = createPublicKey({ key: Buffer.from(concat(SPKI_ED25519, raw)), format: 'der', type: 'spki' });
  if (publicKeys.size >= PUBLIC_KEYS_MAX) publicKeys.clear();
  publicKeys.set(name, made);
  return made;
}

/** The canonical encodings of the eight points of small order of edwards25519. */
const SMALL_ORDER = [
  '0100000000000000000000000000000000000000000000000000000000000000',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  '0000000000000000000000000000000000000000000000000000000000000080',
  '0000000000000000000000000000000000000000000000000000000000000000',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85',
];
const smallOrder = new Set(SMALL_ORDER);

/**
 * Strict Ed25519 (protocol 13.1): the equation [S]B = R + [h]A without cofactor, S < L, R canonical, R and A
 * not of small order. The platform's verifier recomputes R and compares encodings, which gives the
 * cofactorless equation and the canonical R; the order checks are ours. Keys are checked torsion-free where
 * they enter a configuration (`isSafePublicKey` in keys.ts).
 */
export function verifySignature(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  if (publicKey.length !== PUBLIC_KEY_BYTES || signature.length !== SIGNATURE_BYTES) return false;
  if (smallOrder.has(hex(publicKey)) || smallOrder.has(hex(signature.subarray(0, 32)))) return false;
  try {
    return nodeVerify(null, message, publicKeyObject(publicKey), signature);
  } catch {
    return false;
  }
}

/** A pseudo-random function for identifiers that nodes may see but not invert. */
export function prf(key: Uint8Array, purpose: string, ...parts: readonly Uint8Array[]): Uint8Array {
  const state = createHmac('sha256', key);
  state.update(purpose);
  for (const part of parts) {
    const length = new Uint8Array(4);
    new DataView(length.buffer).setUint32(0, part.length);
    state.update(length);
    state.update(part);
  }
  return plain(state.digest());
}

