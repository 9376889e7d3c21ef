/** Keys as certificates: the same ones every time, and read back as raw keys. */
import 'reflect-metadata';
import { X509CertificateGenerator } from '@peculiar/x509';
import { X509Certificate, generateKeyPairSync, webcrypto } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import { describe, expect, test } from 'vitest';
import { hex } from '../base/bytes.ts';
import { signingKeyFromSeed } from '../crypto/primitives.ts';
import { makeTlsIdentity, pkcs8FromSeed, seedFromPkcs8, tlsPublicKeyOf } from './tls-identity.ts';
import { seedOf } from './tls-world.contract.ts';

describe('a TLS identity', () => {
  test('shows the public key of its seed, signed by itself, and is accepted by TLS', async () => {
    const seed = seedOf('node 1');
    const identity = await makeTlsIdentity({ seed, commonName: 'node 1' });
    expect(identity.peerKey).toBe(hex(signingKeyFromSeed(seed).publicKey));
    const certificate = new X509Certificate(identity.certificatePem);
    expect(certificate.verify(certificate.publicKey)).toBe(true);
    expect(certificate.subject).toBe('CN=node 1');
    expect(certificate.validFrom).toBe('Jan  1 00:00:00 2020 GMT');
    expect(certificate.validTo).toBe('Dec 31 23:59:59 9999 GMT');
    expect(certificate.ca).toBe(false);
    expect(hex(tlsPublicKeyOf(certificate.raw) ?? new Uint8Array(0))).toBe(identity.peerKey);
    createSecureContext({ key: identity.privateKeyPem, cert: identity.certificatePem });
  });

  test('is the same, byte for byte, whenever it is made from the same seed and name', async () => {
    const make = (seed: string, commonName: string): Promise<{ certificatePem: string }> =>
      makeTlsIdentity({ seed: seedOf(seed), commonName });
    const first = await make('a', 'node');
    expect(await make('a', 'node')).toEqual(first);
    const others = [await make('b', 'node'), await make('a', 'node 2')];
    const serials = [first, ...others].map((made) => new X509Certificate(made.certificatePem).serialNumber);
    expect(new Set(serials).size).toBe(3);
  });

  test('takes no name that could mean more than a name', async () => {
    for (const commonName of ['', 'a,O=b', 'a+b', 'x'.repeat(65), 'n\u00e9']) {
      await expect(makeTlsIdentity({ seed: seedOf('a'), commonName })).rejects.toThrow('common name');
    }
    await expect(makeTlsIdentity({ seed: new Uint8Array(31), commonName: 'a' })).rejects.toThrow('32 bytes');
  });
});

describe('reading keys', () => {
  test('a seed goes through PKCS#8 and back, and nothing else is taken for one', () => {
    const seed = seedOf('a');
    const der = pkcs8FromSeed(seed);
    expect(seedFromPkcs8(der)).toEqual(new Uint8Array(seed));
    expect(seedFromPkcs8(der.subarray(1))).toBeUndefined();
    const spoilt = Uint8Array.from(der);
    spoilt[9] = 0;
    expect(seedFromPkcs8(spoilt)).toBeUndefined();
    const x25519 = generateKeyPairSync('x25519').privateKey.export({ format: 'der', type: 'pkcs8' });
    expect(seedFromPkcs8(x25519)).toBeUndefined();
  });

  test('bytes that are no certificate, and those of other kinds of key, have no key for us', async () => {
    expect(tlsPublicKeyOf(new Uint8Array(0))).toBeUndefined();
    expect(tlsPublicKeyOf(new Uint8Array(300).fill(0x30))).toBeUndefined();
    const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
    const keys = await webcrypto.subtle.generateKey(algorithm, false, ['sign', 'verify']);
    const p256 = await X509CertificateGenerator.createSelfSigned(
      { serialNumber: '01', name: 'CN=p256', signingAlgorithm: algorithm, keys },
      webcrypto,
    );
    expect(tlsPublicKeyOf(new Uint8Array(p256.rawData))).toBeUndefined();
  });
});
