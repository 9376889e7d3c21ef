/**
 * Authority to repair (protocol 6.8): a gateway signs that a controller may give lost cells back to nodes, for
 * a day at most. It allows nothing else: a node takes only what a certified version already names, and checks
 * every cell of it itself.
 */
import { z } from 'zod';
import { equal } from '../base/bytes.ts';
import type { Cluster } from './configuration.ts';
import { decode, encode, hash32, uint } from './encoding.ts';
import type { Decoded } from './encoding.ts';
import type { SignedBody } from './slot.ts';
import type { StatementVerifier } from './statement.ts';

/** The longest that one may last. */
export const REPAIR_AUTHORITY_MS_MAX = 24 * 3600 * 1000;
/** How far clocks may differ. */
export const REPAIR_AUTHORITY_TOLERANCE_MS = 5 * 60 * 1000;

const authoritySchema = z.strictObject({
  v: z.literal(1),
  /** `gatewayId` of the controller's entry in the configuration. */
  controllerId: hash32,
  epoch: uint,
  /** Unix milliseconds. */
  notAfterMs: uint,
});
export type RepairAuthority = z.infer<typeof authoritySchema>;

export const encodeRepairAuthority = (body: RepairAuthority): Uint8Array => encode(body);

/** Reads a statement that may come from anyone. Never throws. */
export function decodeRepairAuthority(body: Uint8Array): Decoded<RepairAuthority> {
  return decode(authoritySchema, body, 1024);
}

/**
 * Why this does not let the controller repair now, or null. Any statement may be given; `nowMs` is Unix milliseconds.
 * The word of a gateway that is revoked counts no more.
 */
export function repairAuthorityFault(
  cluster: Cluster,
  verifier: StatementVerifier,
  { body, proof }: SignedBody,
  controllerId: Uint8Array,
  nowMs: number,
  isRevoked: (gatewayId: Uint8Array) => boolean = () => false,
): string | null {
  const decoded = decodeRepairAuthority(body);
  if (!decoded.ok) return `authority: ${decoded.reason}`;
  const { value } = decoded;
  if (!equal(value.controllerId, controllerId)) return 'the authority is that of another controller';
  if (value.epoch !== cluster.epoch) return `the authority is of epoch ${value.epoch}`;
  if (nowMs > value.notAfterMs + REPAIR_AUTHORITY_TOLERANCE_MS) return 'the authority has ended';
  if (value.notAfterMs > nowMs + REPAIR_AUTHORITY_MS_MAX + REPAIR_AUTHORITY_TOLERANCE_MS) return 'the authority lasts too long';
  const signers = cluster.config.writers.filter(({ capabilities, gatewayId }) => capabilities.includes('write') && !isRevoked(gatewayId));
  const isSigned = signers.some(({ signingKey }) => verifier.verify(signingKey, 'repair-authority', body, proof));
  return isSigned ? null : 'no gateway of the cluster has signed the authority';
}
