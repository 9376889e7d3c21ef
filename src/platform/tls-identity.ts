/**
 * The identity of a process on the wire: a raw Ed25519 key pair dressed as a self-signed X.509 certificate,
 * because TLS wants one. Nothing in the certificate is believed except the public key, which the
 * configuration names (protocol 13.13): no authority, no name and no date decides anything, so the dates
 * are as wide as X.509 allows and a key ends when the configuration drops it. A key used here signs nothing
 * else. The same seed and name give the same certificate, byte for byte.
 */
import 'reflect-metadata';
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  X509CertificateGenerator,
} from '@peculiar/x509';
import { X509Certificate, createHash, createPrivateKey, createPublicKey, webcrypto } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { assert } from '../base/assert.ts';
import { concat, hex } from '../base/bytes.ts';
import type { PeerKey } from '../base/ports.ts';

/** Everything up to the seed in the PKCS#8 form of an Ed25519 private key (RFC 8410 section 7). */
const PKCS8_PREFIX = new Uint8Array([
  0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
]);
const SEED_BYTES = 32;
const PUBLIC_KEY_BYTES = 32;
const NOT_BEFORE = new Date('2020-01-01T00:00:00Z');
/** RFC 5280 section 4.1.2.5: the date of a certificate that has no well-defined expiration. */
const NOT_AFTER = new Date('9999-12-31T23:59:59Z');
const COMMON_NAME = /^[A-Za-z0-9 ._-]{1,64}$/;

export interface TlsIdentity {
  /** The raw public key in hex: what the configuration of the other ends must name. */
  readonly peerKey: PeerKey;
  readonly certificatePem: string;
  /** Secret. */
  readonly privateKeyPem: string;
}

export interface TlsIdentityOptions {
  /** 32 secret bytes, used for this purpose alone. */
  readonly seed: Uint8Array;
  /** For people who look at a connection; 1 to 64 letters, digits, spaces, dots, dashes. */
  readonly commonName: string;
}

/** A raw 32-byte Ed25519 seed as a PKCS#8 document (DER). */
export function pkcs8FromSeed(seed: Uint8Array): Uint8Array {
  assert(seed.length === SEED_BYTES, 'an Ed25519 seed has 32 bytes');
  return concat(PKCS8_PREFIX, seed);
}

/** The seed inside a PKCS#8 document; undefined unless it has exactly the form that `pkcs8FromSeed` makes. */
export function seedFromPkcs8(der: Uint8Array): Uint8Array | undefined {
  if (der.length !== PKCS8_PREFIX.length + SEED_BYTES) return undefined;
  if (PKCS8_PREFIX.some((byte, index) => der[index] !== byte)) return undefined;
  return der.slice(PKCS8_PREFIX.length);
}

export async function makeTlsIdentity(options: TlsIdentityOptions): Promise<TlsIdentity> {
  assert(COMMON_NAME.test(options.commonName), 'a common name has 1 to 64 plain characters');
  const pkcs8 = Buffer.from(pkcs8FromSeed(options.seed));
  const privateKey = createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' });
  const publicKey = createPublicKey(privateKey);
  const raw = rawEd25519(publicKey);
  assert(raw !== undefined, 'the key is an Ed25519 key');
  const algorithm = { name: 'Ed25519' };
  const certificate = await X509CertificateGenerator.createSelfSigned(
    {
      serialNumber: serialNumber(raw, options.commonName),
      name: `CN=${options.commonName}`,
      notBefore: NOT_BEFORE,
      notAfter: NOT_AFTER,
      signingAlgorithm: algorithm,
      keys: {
        privateKey: await webcrypto.subtle.importKey('pkcs8', pkcs8, algorithm, false, ['sign']),
        publicKey: await webcrypto.subtle.importKey('raw', raw, algorithm, true, ['verify']),
      },
      extensions: [
        new BasicConstraintsExtension(false, undefined, true),
        new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
        new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth]),
      ],
    },
    webcrypto,
  );
  return {
    peerKey: hex(raw),
    certificatePem: certificate.toString('pem'),
    privateKeyPem: privateKey.export({ format: 'pem', type: 'pkcs8' }).toString(),
  };
}

/** The raw 32-byte Ed25519 public key of a certificate (DER), or undefined when there is none to be had. */
export function tlsPublicKeyOf(certificateDer: Uint8Array): Uint8Array | undefined {
  try {
    return rawEd25519(new X509Certificate(certificateDer).publicKey);
  } catch {
    return undefined;
  }
}

function rawEd25519(publicKey: KeyObject): Uint8Array | undefined {
  if (publicKey.asymmetricKeyType !== 'ed25519') return undefined;
  const { x } = publicKey.export({ format: 'jwk' });
  if (x === undefined) return undefined;
  const raw = new Uint8Array(Buffer.from(x, 'base64url'));
  return raw.length === PUBLIC_KEY_BYTES ? raw : undefined;
}

/** Positive, 127 bits, fixed by what the certificate says: two certificates differ in number or are one. */
function serialNumber(rawPublicKey: Uint8Array, commonName: string): string {
  const digest = createHash('sha256').update(rawPublicKey).update(commonName).digest().subarray(0, 16);
  digest[0] = ((digest[0] ?? 0) & 0x3f) | 0x40;
  return digest.toString('hex');
}
