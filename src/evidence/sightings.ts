/**
 * What members have signed, as it passes by (protocol 10): manifests, receipts, proposals and configurations
 * come to clients and nodes anyway, in requests, certificates and refusals. Two that no correct member signs
 * together are evidence (E1, E2, E9, E11), and so is a receipt that no correct node gives at all (E12). What is
 * remembered is bounded; what is forgotten only goes uncaught here. Never throws for what it is given.
 */
import { equal, mapKey } from '../base/bytes.ts';
import type { Clock } from '../base/ports.ts';
import { decodeReceipt, encodeReceipt } from '../protocol/receipt.ts';
import { decodeCertificate, encodeCertificate, receiptBodyOf, verifiedReceipt } from '../protocol/certificate.ts';
import type { Certificate, CertReceipt } from '../protocol/certificate.ts';
import { openSignedConfiguration } from '../protocol/configuration.ts';
import type { Cluster } from '../protocol/configuration.ts';
import { signedManifestToWire } from '../protocol/manifest.ts';
import type { Manifest, SignedManifest } from '../protocol/manifest.ts';
import { decodeProposal } from '../protocol/slot.ts';
import type { Ballot, SignedBody } from '../protocol/slot.ts';
import { sameStamp, stampText } from '../protocol/stamp.ts';
import type { StatementVerifier } from '../protocol/statement.ts';
import type { Accuse } from './accuse.ts';
import { isDueStill } from './contents.ts';
import type { EvidenceOf } from './evidence.ts';
import { unlawfulness } from './receipts.ts';

/** A manifest with what was signed about it. */
interface Sighting {
  readonly signed: SignedManifest;
  /** Has its writer's signature verified? */
  isSigned: boolean;
  readonly receipts: Map<number, SignedBody>;
}

/** Stamps and ballots, proposals, configurations. */
const REMEMBERED_MAX = 2048;
const CONFIGURATIONS_MAX = 16;
/** Manifests of one stamp or ballot: two are proof already. */
const ALIKE_MAX = 4;
/** Bodies of manifests that are remembered, all together. */
const BODY_BYTES_MAX = 16 * 1024 * 1024;
/** Certificates of locked versions, and evictions of versions of which none was seen: an eviction must be known for what it is (E7). */
const LOCKED_MAX = 4096;
const EVICTIONS_MAX = 1024;

/** An eviction as a node has logged it. */
export type Eviction = Pick<EvidenceOf<'E7'>, 'note' | 'entry'>;

type MadeUnder = Pick<Certificate, 'signed' | 'ballot'>;

export class Sightings {
  readonly #cluster: Cluster;
  readonly #verifier: StatementVerifier;
  readonly #clock: Clock;
  readonly #accuse: Accuse;
  readonly #byStamp = new Map<string, Sighting[]>();
  readonly #byBallot = new Map<string, Sighting[]>();
  readonly #proposals = new Map<string, { readonly manifestHash: Uint8Array; readonly signed: SignedBody }>();
  readonly #configurations = new Map<number, { readonly hash: Uint8Array; readonly document: Uint8Array }>();
  readonly #locked = new Map<string, Uint8Array>();
  readonly #evictions = new Map<string, Eviction>();
  #bodyBytes = 0;

  constructor(cluster: Cluster, verifier: StatementVerifier, clock: Clock, accuse: Accuse) {
    this.#cluster = cluster;
    this.#verifier = verifier;
    this.#clock = clock;
    this.#accuse = accuse;
    this.#configurations.set(cluster.epoch, { hash: cluster.hash, document: cluster.document });
  }

  /** A manifest whose writer's signature has verified. */
  manifest(signed: SignedManifest): void {
    this.#manifestAt(this.#sighted(this.#byStamp, stampName(signed), signed));
  }

  /** A receipt that has verified, for a manifest that was proposed in this ballot (null: PLAIN). */
  receipt({ signed, ballot }: MadeUnder, receipt: CertReceipt): void {
    const config = this.#cluster.slotAt(receipt.slot);
    if (config === undefined) return;
    const body = encodeReceipt(receiptBodyOf(signed, config.nodeId, receipt, ballot));
    this.#receiptAt(this.#sighted(this.#byStamp, stampName(signed), signed), receipt.slot, { body, proof: receipt.proof });
    if (ballot === null) return;
    this.#receiptAt(this.#sighted(this.#byBallot, ballotName(signed, ballot), signed), receipt.slot, { body, proof: receipt.proof });
  }

  /** A certificate that is valid. */
  certificate(cert: Certificate): void {
    this.manifest(cert.signed);
    for (const receipt of cert.receipts) this.receipt(cert, receipt);
    if (cert.signed.manifest.slot?.lockMode !== 'COMPLIANCE') return;
    trim(this.#locked, LOCKED_MAX);
    const name = mapKey(cert.signed.hash);
    const certificate = encodeCertificate(cert);
    this.#locked.set(name, certificate);
    const eviction = this.#evictions.get(name);
    this.#evictions.delete(name);
    if (eviction !== undefined) this.#letGo(cert.signed.manifest, certificate, eviction);
  }

  /** An eviction that stands in a node's log. It counts once a certificate of a locked version is seen, before or after. */
  eviction(manifestHash: Uint8Array, eviction: Eviction): void {
    const name = mapKey(manifestHash);
    const certificate = this.#locked.get(name);
    const decoded = certificate === undefined ? null : decodeCertificate(certificate);
    if (certificate !== undefined && decoded?.ok === true) {
      this.#letGo(decoded.value.signed.manifest, certificate, eviction);
      return;
    }
    trim(this.#evictions, EVICTIONS_MAX);
    this.#evictions.set(name, eviction);
  }

  #letGo(manifest: Manifest, certificate: Uint8Array, eviction: Eviction): void {
    if (isDueStill(manifest, this.#clock.nowMs())) this.#accuse({ type: 'E7', certificate, ...eviction });
  }

  /** A certificate that is not valid: whoever made it up may have signed some of it all the same. */
  invalid(cert: Certificate): void {
    const slots = new Set<number>();
    for (const receipt of cert.receipts) {
      const isNew = !slots.has(receipt.slot);
      slots.add(receipt.slot);
      const body = isNew ? verifiedReceipt(this.#cluster, this.#verifier, cert, receipt) : null;
      if (body === null) continue;
      this.receipt(cert, receipt);
      const decoded = decodeReceipt(body);
      const { body: manifest } = cert.signed;
      if (!decoded.ok || decoded.value.epoch !== this.#cluster.epoch || unlawfulness(this.#cluster, manifest, decoded.value) === null) continue;
      this.#accuse({ type: 'E12', receipt: { body, proof: receipt.proof }, manifest });
    }
  }

  /** A proposal whose gateway's signature has verified. */
  proposal(signed: SignedBody): void {
    const decoded = decodeProposal(signed.body);
    if (!decoded.ok) return;
    const { keyId, prev, round, gatewayId, sessionNonce, manifestHash } = decoded.value;
    const name = `${mapKey(keyId)}${mapKey(prev)}${mapKey(gatewayId)}${mapKey(sessionNonce)} ${round}`;
    const first = this.#proposals.get(name);
    if (first === undefined) {
      trim(this.#proposals, REMEMBERED_MAX);
      this.#proposals.set(name, { manifestHash, signed });
    } else if (!equal(first.manifestHash, manifestHash)) {
      this.#accuse({ type: 'E11', proposals: [first.signed, signed] });
    }
  }

  /** A configuration document from anywhere. */
  configuration(document: Uint8Array): void {
    const opened = openSignedConfiguration(document, this.#cluster.config.admins);
    if (!opened.ok || opened.value.signers < this.#cluster.config.m) return;
    const { config, hash } = opened.value;
    if (!equal(config.clusterId, this.#cluster.id)) return;
    const first = this.#configurations.get(config.epoch);
    if (first === undefined) {
      if (this.#configurations.size < CONFIGURATIONS_MAX) this.#configurations.set(config.epoch, { hash, document });
    } else if (!equal(first.hash, hash)) {
      this.#accuse({ type: 'E9', documents: [first.document, document] });
    }
  }

  /** The manifest among those of its name, with the others; new ones are remembered while there is room. */
  #sighted(all: Map<string, Sighting[]>, name: string, signed: SignedManifest): readonly [Sighting, readonly Sighting[]] {
    const alike = all.get(name);
    const known = alike?.find((one) => equal(one.signed.hash, signed.hash));
    if (alike !== undefined && known !== undefined) return [known, alike];
    const sighting: Sighting = { signed, isSigned: false, receipts: new Map() };
    if (alike !== undefined && alike.length >= ALIKE_MAX) return [sighting, alike];
    while (all.size >= REMEMBERED_MAX || this.#bodyBytes > BODY_BYTES_MAX) if (!this.#forgetOldest(all)) break;
    this.#bodyBytes += signed.body.length;
    const next = [...(alike ?? []), sighting];
    all.set(name, next);
    return [sighting, next];
  }

  #forgetOldest(all: Map<string, Sighting[]>): boolean {
    const oldest = all.entries().next();
    if (oldest.done === true) return false;
    const [name, alike] = oldest.value;
    all.delete(name);
    for (const { signed } of alike) this.#bodyBytes -= signed.body.length;
    return true;
  }

  /** E1, when another manifest has the stamp. */
  #manifestAt([sighting, alike]: readonly [Sighting, readonly Sighting[]]): void {
    if (sighting.isSigned) return;
    sighting.isSigned = true;
    const other = alike.find((one) => one !== sighting && one.isSigned);
    if (other === undefined || !equal(other.signed.manifest.gatewayId, sighting.signed.manifest.gatewayId)) return;
    this.#accuse({ type: 'E1', manifests: [signedManifestToWire(other.signed), signedManifestToWire(sighting.signed)] });
  }

  /** E2, when the node gave a receipt for another manifest of the same stamp or ballot. */
  #receiptAt([sighting, alike]: readonly [Sighting, readonly Sighting[]], slot: number, receipt: SignedBody): void {
    if (sighting.receipts.has(slot)) return;
    sighting.receipts.set(slot, receipt);
    for (const other of alike) {
      const given = other === sighting ? undefined : other.receipts.get(slot);
      if (given === undefined) continue;
      const [a, b] = [other.signed, sighting.signed];
      const manifests: [Uint8Array, Uint8Array] | null = sameStamp(a.manifest.stamp, b.manifest.stamp) ? null : [a.body, b.body];
      this.#accuse({ type: 'E2', receipts: [given, receipt], manifests });
      return;
    }
  }
}

function stampName({ manifest: { keyId, stamp } }: SignedManifest): string {
  return `${mapKey(keyId)} ${stampText(stamp)}`;
}

function ballotName({ manifest: { keyId, slot } }: SignedManifest, { round, writerId }: Ballot): string {
  return `${mapKey(keyId)}${slot === null ? '' : mapKey(slot.prev)}${mapKey(writerId)} ${round}`;
}

/** Makes room for one more. */
function trim<K, V>(map: Map<K, V>, max: number): void {
  const oldest = map.size >= max ? map.keys().next() : undefined;
  if (oldest?.done === false) map.delete(oldest.value);
}
