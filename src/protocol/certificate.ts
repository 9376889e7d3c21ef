/**
 * Availability certificates (protocol 4.2, 13.5): a signed manifest and receipts of q distinct slots. Valid
 * or not depends on the certificate and the configuration alone, so every correct party agrees for ever. On
 * the wire the fields that the manifest and the configuration imply are left out, and receipts of one batch
 * share its signature.
 */
import { z } from 'zod';
import { concat, mapKey } from '../base/bytes.ts';
import type { Cluster } from './configuration.ts';
import { bytesOf, bytesUpTo, decode, encode, hash32, id16, uint, uintUpTo } from './encoding.ts';
import type { Decoded } from './encoding.ts';
import { openSignedManifest, signedManifestSchema, signedManifestToWire, stageOf } from './manifest.ts';
import type { SignedManifest } from './manifest.ts';
import { quorumSize, SLOTS_MAX } from './quorum.ts';
import { encodeReceipt } from './receipt.ts';
import type { ReceiptBody } from './receipt.ts';
import type { Ballot } from './slot.ts';
import type { StatementProof, StatementVerifier } from './statement.ts';
import { BATCH_PATH_MAX, BATCH_SIZE_MAX } from './statement.ts';

export const CERT_BYTES_MAX = 128 * 1024;

export interface CertReceipt {
  readonly slot: number;
  readonly incarnation: number;
  readonly logIndex: number;
  readonly proof: StatementProof;
}

export interface Certificate {
  readonly signed: SignedManifest;
  /** SLOT: the ballot that all receipts name. Null for PLAIN. */
  readonly ballot: Ballot | null;
  readonly receipts: readonly CertReceipt[];
}

/** [slot, incarnation, log index, index in the batch, path as one string of hashes, place of the batch]. */
const receiptTuple = z.tuple([
  uintUpTo(SLOTS_MAX - 1),
  uint,
  uint,
  uintUpTo(BATCH_SIZE_MAX - 1),
  z.custom<Uint8Array>((v) => v instanceof Uint8Array && v.length % 32 === 0 && v.length <= 32 * BATCH_PATH_MAX, {
    error: 'expected a path',
  }),
  uintUpTo(SLOTS_MAX - 1),
]);
/** [size, root, signature]. */
const batchTuple = z.tuple([z.int().min(1).max(BATCH_SIZE_MAX), hash32, bytesOf(64)]);

// Tuples, not maps: certificates are most of what a node stores and sends for a small object, and no signature covers
// this encoding.
const certificateSchema = z.strictObject({
  manifest: signedManifestSchema,
  receipts: z.array(receiptTuple).max(SLOTS_MAX),
  batches: z.array(batchTuple).max(SLOTS_MAX),
  ballot: z.tuple([z.int().min(1), id16]).optional(),
});
type CertificateWire = z.infer<typeof certificateSchema>;

/** A field that holds an encoded certificate. */
export const certBytes: z.ZodType<Uint8Array> = bytesUpTo(CERT_BYTES_MAX);

/** Canonical bytes of a certificate. Receipts are in the order of their slots. */
export function encodeCertificate(cert: Certificate): Uint8Array {
  const batches: CertificateWire['batches'] = [];
  const places = new Map<string, number>();
  const receipts = [...cert.receipts]
    .sort((a, b) => a.slot - b.slot)
    .map(({ slot, incarnation, logIndex, proof }): CertificateWire['receipts'][number] => {
      const { size, root, signature } = proof.batch;
      const name = mapKey(root) + mapKey(signature);
      let batch = places.get(name);
      if (batch === undefined) {
        batch = batches.length;
        places.set(name, batch);
        batches.push([size, root, signature]);
      }
      return [slot, incarnation, logIndex, proof.index, concat(...proof.path), batch];
    });
  const wire = { manifest: signedManifestToWire(cert.signed), receipts, batches } satisfies CertificateWire;
  return encode(cert.ballot === null ? wire : { ...wire, ballot: [cert.ballot.round, cert.ballot.writerId] });
}

/** Parses a certificate; whether it is valid is for `certificateFault` to say. Never throws. */
export function decodeCertificate(bytes: Uint8Array): Decoded<Certificate> {
  const decoded = decode(certificateSchema, bytes, CERT_BYTES_MAX);
  if (!decoded.ok) return decoded;
  const signed = openSignedManifest(decoded.value.manifest);
  if (!signed.ok) return signed;
  const batches = decoded.value.batches.map(([size, root, signature]) => ({ size, root, signature }));
  const receipts: CertReceipt[] = [];
  for (const [slot, incarnation, logIndex, index, path, place] of decoded.value.receipts) {
    const found = batches[place];
    if (found === undefined) return { ok: false, reason: 'a receipt names no batch' };
    receipts.push({ slot, incarnation, logIndex, proof: { index, path: hashesOf(path), batch: found } });
  }
  const named = decoded.value.ballot;
  const ballot = named === undefined ? null : { round: named[0], writerId: named[1] };
  if ((ballot === null) !== (signed.value.manifest.slot === null)) return { ok: false, reason: 'SLOT, and only SLOT, has a ballot' };
  return { ok: true, value: { signed: signed.value, ballot, receipts } };
}

function hashesOf(path: Uint8Array): Uint8Array[] {
  return Array.from({ length: path.length / 32 }, (_, i) => path.subarray(32 * i, 32 * i + 32));
}

/** The body that a slot signed for this manifest. */
export function receiptBodyOf(
  signed: SignedManifest,
  nodeId: Uint8Array,
  receipt: Pick<CertReceipt, 'slot' | 'incarnation' | 'logIndex'>,
  ballot: Ballot | null = null,
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
    ...(ballot === null ? {} : { ballot }),
  };
}

/**
 * Does the certificate say that this slot holds the content? A receipt does, but for a staged content: there a
 * slot that the stage does not name has accepted on the word of those that it does (13.7).
 */
export function promisesContent({ signed, receipts }: Pick<Certificate, 'signed' | 'receipts'>, slot: number): boolean {
  const stage = stageOf(signed.manifest);
  return receipts.some((receipt) => receipt.slot === slot) && (stage === null || stage.slots.includes(slot));
}

/** The body that this slot signed as its receipt for the manifest; null when its signature does not verify. */
export function verifiedReceipt(
  cluster: Cluster,
  verifier: StatementVerifier,
  { signed, ballot }: Pick<Certificate, 'signed' | 'ballot'>,
  receipt: CertReceipt,
): Uint8Array | null {
  const slot = cluster.slotAt(receipt.slot);
  if (slot === undefined) return null;
  const body = encodeReceipt(receiptBodyOf(signed, slot.nodeId, receipt, ballot));
  return verifier.verify(slot.signingKey, 'receipt', body, receipt.proof) ? body : null;
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
  if ((cert.ballot === null) !== (manifest.slot === null)) return 'SLOT, and only SLOT, has a ballot';
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
    if (verifiedReceipt(cluster, verifier, cert, receipt) === null) return `the receipt of slot ${receipt.slot} does not verify`;
  }
  return null;
}
