/**
 * The handshake that both ends demand: TLS 1.3, a certificate from each, and in it the Ed25519 key that the
 * configuration names. The certificates are self-signed, so OpenSSL's verdict on the chain is worth nothing
 * and is switched off; what is kept is its check of the CertificateVerify message, which it makes in any
 * case and which proves that the other end holds the private key, over this very handshake. `verifyPeer`
 * then compares the key. Until it has agreed no listener for data exists, so no byte of the peer is read.
 */
import { constants } from 'node:crypto';
import type { SecureContextOptions, TLSSocket } from 'node:tls';
import { hex } from '../base/bytes.ts';
import type { PeerKey } from '../base/ports.ts';
import { tlsPublicKeyOf } from './tls-identity.ts';
import type { TlsIdentity } from './tls-identity.ts';

/** Named in the handshake, so that a connection meant for another protocol of this process ends there. */
export const ALPN_PROTOCOL = 'holdfast/1';

/** Options of both ends, with ALPN_PROTOCOL beside them; nothing of this is open to configuration. */
export function secureOptions(identity: TlsIdentity): SecureContextOptions {
  return {
    key: identity.privateKeyPem,
    cert: identity.certificatePem,
    minVersion: 'TLSv1.3',
    maxVersion: 'TLSv1.3',
    sigalgs: 'ed25519',
    // A resumed session would show a certificate without proving its key anew: tickets are not honoured.
    secureOptions: constants.SSL_OP_NO_TICKET,
  };
}

export type HandshakeFault = 'no_certificate' | 'foreign_key' | 'resumed' | 'protocol' | 'version';

export type PeerVerdict =
  | { readonly ok: true; readonly peer: PeerKey }
  | { readonly ok: false; readonly fault: HandshakeFault };

/** Judges the other end of a socket whose handshake is complete; the caller has read nothing from it yet. */
export function verifyPeer(socket: TLSSocket, isNamed: (peer: PeerKey) => boolean): PeerVerdict {
  if (socket.getProtocol() !== 'TLSv1.3') return { ok: false, fault: 'version' };
  if (socket.isSessionReused()) return { ok: false, fault: 'resumed' };
  if (socket.alpnProtocol !== ALPN_PROTOCOL) return { ok: false, fault: 'protocol' };
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) return { ok: false, fault: 'no_certificate' };
  const key = tlsPublicKeyOf(certificate.raw);
  if (key === undefined) return { ok: false, fault: 'foreign_key' };
  const peer = hex(key);
  return isNamed(peer) ? { ok: true, peer } : { ok: false, fault: 'foreign_key' };
}
