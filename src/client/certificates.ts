/**
 * Certificates that came from nodes: parsed and verified once (protocol 4.2), then remembered by the digest
 * of their bytes, because n nodes show the same certificate n times and readers come back to it.
 */
import { mapKey } from '../base/bytes.ts';
import { sha256 } from '../crypto/primitives.ts';
import { certificateFault, decodeCertificate, encodeCertificate } from '../protocol/certificate.ts';
import type { Certificate } from '../protocol/certificate.ts';
import type { Sightings } from '../evidence/sightings.ts';
import type { Cluster } from '../protocol/configuration.ts';
import type { SignedManifest } from '../protocol/manifest.ts';
import { compareStamps } from '../protocol/stamp.ts';
import type { Stamp } from '../protocol/stamp.ts';
import type { StatementVerifier } from '../protocol/statement.ts';

/** A valid certificate, as it stands on the wire. */
export interface Certified {
  readonly cert: Certificate;
  readonly signed: SignedManifest;
  readonly stamp: Stamp;
  readonly bytes: Uint8Array;
}

export type CertifiedVerdict =
  | { readonly ok: true; readonly certified: Certified }
  | { readonly ok: false; readonly reason: string };

const REMEMBERED_MAX = 2048;

export class Certificates {
  readonly #cluster: Cluster;
  readonly #verifier: StatementVerifier;
  readonly #sightings: Sightings | null;
  readonly #valid = new Map<string, Certified>();

  /** `sightings`: learns what the certificates hold; null for who looks for no proof. */
  constructor(cluster: Cluster, verifier: StatementVerifier, sightings: Sightings | null = null) {
    this.#cluster = cluster;
    this.#verifier = verifier;
    this.#sightings = sightings;
  }

  /** Any bytes may be given. */
  open(bytes: Uint8Array): CertifiedVerdict {
    const name = mapKey(sha256(bytes));
    const known = this.#valid.get(name);
    if (known !== undefined) return { ok: true, certified: known };
    const decoded = decodeCertificate(bytes);
    if (!decoded.ok) return decoded;
    const fault = certificateFault(this.#cluster, this.#verifier, decoded.value);
    if (fault !== null) {
      this.#sightings?.invalid(decoded.value);
      return { ok: false, reason: fault };
    }
    return { ok: true, certified: this.#remember(name, decoded.value, bytes) };
  }

  /** Takes in a certificate that this client made from receipts it verified. */
  own(cert: Certificate): Certified {
    const bytes = encodeCertificate(cert);
    return this.#remember(mapKey(sha256(bytes)), cert, bytes);
  }

  #remember(name: string, cert: Certificate, bytes: Uint8Array): Certified {
    const oldest = this.#valid.size >= REMEMBERED_MAX ? this.#valid.keys().next().value : undefined;
    if (oldest !== undefined) this.#valid.delete(oldest);
    const certified: Certified = { cert, signed: cert.signed, stamp: cert.signed.manifest.stamp, bytes };
    this.#valid.set(name, certified);
    this.#sightings?.certificate(cert);
    return certified;
  }
}

/** The one with the higher stamp; null stands below all. */
export function higher(a: Certified | null, b: Certified | null): Certified | null {
  if (a === null) return b;
  if (b === null) return a;
  return compareStamps(b.stamp, a.stamp) > 0 ? b : a;
}

/** Does `shown` stand at `stamp` or above? */
export function reaches(shown: Certified | null, stamp: Stamp): boolean {
  return shown !== null && compareStamps(shown.stamp, stamp) >= 0;
}
