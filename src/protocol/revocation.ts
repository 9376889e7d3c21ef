/**
 * Revocation of a writer before there are configuration epochs: m admins of the root document sign that a
 * gateway's key is no longer to be obeyed from now on. The statement speaks for itself, so anyone may carry it; a node that
 * has written it down signs that it did, and at which index of its log. Format: spec/formats/statements.md.
 */
import { z } from 'zod';
import { hex } from '../base/bytes.ts';
import { sha256, verifySignature } from '../crypto/primitives.ts';
import type { Cluster } from './configuration.ts';
import { bytesOf, bytesUpTo, decode, encode, hash32, uint, uintUpTo } from './encoding.ts';
import type { Decoded } from './encoding.ts';
import { statementBytes } from './statement.ts';
import { equal } from '../base/bytes.ts';

export const REVOCATION_BYTES_MAX = 3_072;
const BODY_BYTES_MAX = 512;
/** As many as a configuration may name. */
const ADMINS_MAX = 16;

export interface Revocation {
  readonly v: 1;
  readonly clusterId: Uint8Array;
  readonly epoch: number;
  readonly gatewayId: Uint8Array;
  /** Unix milliseconds by the clock of the admin who began the statement; for people, no node acts on it. */
  readonly atMs: number;
}

const revocationSchema: z.ZodType<Revocation> = z.strictObject({
  v: z.literal(1),
  clusterId: hash32,
  epoch: uint,
  gatewayId: hash32,
  atMs: uint,
});

/** One admin's signature over a statement's body. */
export interface AdminSignature {
  readonly admin: Uint8Array;
  readonly signature: Uint8Array;
}

const documentSchema = z.strictObject({
  body: bytesUpTo(BODY_BYTES_MAX),
  signatures: z.array(z.strictObject({ admin: bytesOf(32), signature: bytesOf(64) })).max(ADMINS_MAX),
});

export const revocationBytes = bytesUpTo(REVOCATION_BYTES_MAX);

export const encodeRevocation = (body: Revocation): Uint8Array => encode(body);

/** The bytes an admin signs. */
export function revocationStatement(clusterId: Uint8Array, body: Uint8Array): Uint8Array {
  return statementBytes('revocation', clusterId, body);
}

export function sealRevocation(body: Uint8Array, signatures: readonly AdminSignature[]): Uint8Array {
  return encode({ body, signatures });
}

export interface OpenedRevocation {
  readonly revocation: Revocation;
  readonly body: Uint8Array;
  /** SHA-256 of the body. */
  readonly hash: Uint8Array;
  /** Those of admins of the cluster that verify, one for each admin. */
  readonly signatures: readonly AdminSignature[];
}

/**
 * Parses a statement that may lack signatures, as it goes from admin to admin. Refuses one of another cluster
 * or epoch, and one about nobody whom the configuration names as a writer. Never throws.
 */
export function openRevocation(cluster: Cluster, document: Uint8Array): Decoded<OpenedRevocation> {
  const sealed = decode(documentSchema, document, REVOCATION_BYTES_MAX);
  if (!sealed.ok) return sealed;
  const { body } = sealed.value;
  const decoded = decode(revocationSchema, body, BODY_BYTES_MAX);
  if (!decoded.ok) return decoded;
  const revocation = decoded.value;
  if (!equal(revocation.clusterId, cluster.id)) return { ok: false, reason: 'it is of another cluster' };
  if (revocation.epoch !== cluster.epoch) return { ok: false, reason: `it is of epoch ${revocation.epoch}, not ${cluster.epoch}` };
  if (cluster.writerById(revocation.gatewayId) === undefined) return { ok: false, reason: 'it names no writer of the configuration' };
  const statement = revocationStatement(cluster.id, body);
  const admins = new Set(cluster.config.admins.map((key) => hex(key)));
  const signatures = new Map<string, AdminSignature>();
  for (const signed of sealed.value.signatures) {
    const name = hex(signed.admin);
    if (admins.has(name) && !signatures.has(name) && verifySignature(signed.admin, statement, signed.signature)) signatures.set(name, signed);
  }
  return { ok: true, value: { revocation, body, hash: sha256(body), signatures: [...signatures.values()] } };
}

/** As `openRevocation`, and refuses what fewer than m admins have signed. */
export function openEffectiveRevocation(cluster: Cluster, document: Uint8Array): Decoded<OpenedRevocation> {
  const opened = openRevocation(cluster, document);
  if (!opened.ok) return opened;
  const { m } = cluster.config;
  const count = opened.value.signatures.length;
  return count >= m ? opened : { ok: false, reason: `${count} valid admin signatures where m = ${m} are needed` };
}

/** A node's word that the revocation is durable with it, at this index of its log. */
export interface RevokedBody {
  readonly v: 1;
  /** Of the statement that the node holds, which is the first it was shown about this writer. */
  readonly statementHash: Uint8Array;
  readonly gatewayId: Uint8Array;
  readonly slot: number;
  readonly nodeId: Uint8Array;
  readonly epoch: number;
  readonly incarnation: number;
  readonly logIndex: number;
}

const revokedSchema: z.ZodType<RevokedBody> = z.strictObject({
  v: z.literal(1),
  statementHash: hash32,
  gatewayId: hash32,
  slot: uintUpTo(255),
  nodeId: hash32,
  epoch: uint,
  incarnation: uint,
  logIndex: uint,
});

export const encodeRevoked = (body: RevokedBody): Uint8Array => encode(body);
export const decodeRevoked = (bytes: Uint8Array): Decoded<RevokedBody> => decode(revokedSchema, bytes, 1024);
