/**
 * Availability certificates (protocol 4.2, 13.5): a signed manifest and receipts of q distinct slots. Valid
 * or not depends on the certificate and the configuration alone, so every correct party agrees for ever. On
 * the wire the fields that the manifest and the configuration imply are left out, and receipts of one batch
 * share its signature.
 */
import { z } from 'zod';
import { mapKey } from '../base/bytes.ts';
import type { Cluster } from './configuration.ts';
import { bytesUpTo, decode, encode, hash32, uint, uintUpTo } from './encoding.ts';
import type { Decoded } from './encoding.ts';
import { openSignedManifest, signedManifestSchema, signedManifestToWire } from './manifest.ts';
import type { SignedManifest } from './manifest.ts';
import { batchSchema } from './proofs.ts';
import { quorumSize, SLOTS_MAX } from './quorum.ts';
import { encodeReceipt } from './receipt.ts';
import type { ReceiptBody } from './receipt.ts';
import type { StatementProof, StatementVerifier } from './statement.ts';
import { BATCH_PATH_MAX, BATCH_SIZE_MAX } from './statement.ts';

export const CERT_BYTES_MAX = 64 * 1024;

export interface CertReceipt {
  readonly slot: number;
  readonly incarnation: number;
  readonly logIndex: number;
  readonly proof: StatementProof;
}

export interface Certificate {
  readonly signed: SignedManifest;
  readonly receipts: readonly CertReceipt[];
}

const certificateSchema = z.strictObject({
  manifest: signedManifestSchema,
  receipts: z
    .array(
      z.strictObject({
        slot: uintUpTo(SLOTS_MAX - 1),
        incarnation: uint,
        logIndex: uint,
        index: uintUpTo(BATCH_SIZE_MAX - 1),
        path: z.array(hash32).max(BATCH_PATH_MAX),
        batch: uintUpTo(SLOTS_MAX - 1),
      }),
    )
    .max(SLOTS_MAX),
  batches: z.array(batchSchema).max(SLOTS_MAX),
});

/** A field that holds an encoded certificate. */
export const certBytes: z.ZodType<Uint8Array> = bytesUpTo(CERT_BYTES_MAX);

/** Canonical bytes of a certificate. Receipts are in the order of their slots. */
export function encodeCertificate(cert: Certificate): Uint8Array {
  const batches: unknown[] = [];
  const places = new Map<string, number>();
  const receipts = [...cert.receipts]
    .sort((a, b) => a.slot - b.slot)
    .map(({ slot, incarnation, logIndex, proof }) => {
      const name = mapKey(proof.batch.root) + mapKey(proof.batch.signature);
      let batch = places.get(name);
      if (batch === undefined) {
        batch = batches.length;
        places.set(name, batch);
        batches.push(proof.batch);
      }
      return { slot, incarnation, logIndex, index: proof.index, path: proof.path, batch };
    });
  return encode({ manifest: signedManifestToWire(cert.signed), receipts, batches });
}

/** Parses a certificate; whether it is valid is for `certificateFault` to say. Never throws. */
export function decodeCertificate(bytes: Uint8Array): Decoded<Certificate> {
  const decoded = decode(certificateSchema, bytes, CERT_BYTES_MAX);
  if (!decoded.ok) return decoded;
  const signed = openSignedManifest(decoded.value.manifest);
  if (!signed.ok) return signed;
  const receipts: CertReceipt[] = [];
  for (const { slot, incarnation, logIndex, index, path, batch } of decoded.value.receipts) {
    const found = decoded.value.batches[batch];
    if (found === undefined) return { ok: false, reason: 'a receipt names no batch' };
    receipts.push({ slot, incarnation, logIndex, proof: { index, path, batch: found } });
  }
  return { ok: true, value: { signed: signed.value, receipts } };
}

/** The body that a slot signed for this manifest. */
export function receiptBodyOf(
  signed: SignedManifest,
  nodeId: Uint8Array,
  receipt: Pick<CertReceipt, 'slot' | 'incarnation' | 'logIndex'>,
): ReceiptBody {
  return {
    v: 1,
    manifestHash: signed.hash,
    keyId: signed.manifest.keyId,
    stamp: signed.manifest.stamp,
    slot: receipt.slot,
    nodeId,
    epoch: signed.manifest.epoch,
    incarnation: receipt.incarnation,
    logIndex: receipt.logIndex,
  };
}

/** Does this slot's receipt for the manifest verify? */
export function verifyReceipt(
  cluster: Cluster,
  verifier: StatementVerifier,
  signed: SignedManifest,
  receipt: CertReceipt,
): boolean {
  const slot = cluster.slotAt(receipt.slot);
  if (slot === undefined) return false;
  const body = encodeReceipt(receiptBodyOf(signed, slot.nodeId, receipt));
  return verifier.verify(slot.signingKey, 'receipt', body, receipt.proof);
}

/** Was the manifest signed by the writer it names, for this cluster? */
export function verifyWriter(cluster: Cluster, verifier: StatementVerifier, signed: SignedManifest): boolean {
  const writer = cluster.writerById(signed.manifest.gatewayId);
  return writer !== undefined && verifier.verify(writer.signingKey, 'manifest', signed.body, signed.proof);
}

/**
 * `validCert` of 4.2: null when valid, else the reason. The geometry, the writer's authority and the suite
 * are judged by the configuration of the manifest's epoch; q receipts of distinct slots must verify.
 */
export function certificateFault(cluster: Cluster, verifier: StatementVerifier, cert: Certificate): string | null {
  const { manifest } = cert.signed;
  if (manifest.epoch !== cluster.epoch) return `epoch ${manifest.epoch} is not that of the configuration`;
  if (manifest.suite < cluster.config.suiteMin) return 'suite below the minimum';
  const { n, f } = cluster.geometry;
  if (manifest.n !== n || manifest.k > n - 2 * f) return 'geometry not allowed';
  const writer = cluster.writerById(manifest.gatewayId);
  if (writer === undefined || !writer.capabilities.includes('write')) return 'writer not authorised';
  if (!verifyWriter(cluster, verifier, cert.signed)) return 'manifest signature does not verify';
  const slots = new Set<number>();
  for (const receipt of cert.receipts) {
    if (slots.has(receipt.slot)) return 'two receipts of one slot';
    slots.add(receipt.slot);
  }
  if (slots.size < quorumSize(cluster.geometry)) return `${slots.size} receipts where q are needed`;
  for (const receipt of cert.receipts) {
    if (!verifyReceipt(cluster, verifier, cert.signed, receipt)) return `the receipt of slot ${receipt.slot} does not verify`;
  }
  return null;
}
