/**
 * What a node signs when it is audited (protocol 6.8): that it read this very cell for this nonce. The cell
 * itself travels beside it, so a node that answers has it, and one that answers wrongly has signed so (E6).
 */
import { z } from 'zod';
import { decode, encode, hash32, uint, uintUpTo } from './encoding.ts';
import type { Decoded } from './encoding.ts';
import { SLOTS_MAX } from './quorum.ts';

const auditSchema = z.strictObject({
  v: z.literal(1),
  /** Drawn for this challenge alone. */
  nonce: hash32,
  manifestHash: hash32,
  contentId: hash32,
  /** 0 for a body or part table. */
  stripe: uint,
  slot: uintUpTo(SLOTS_MAX - 1),
  epoch: uint,
  /** Of the payload that comes with it. */
  cellHash: hash32,
  /** Durable leaves of the node's log when it signed. */
  logSize: uint,
});
export type AuditBody = z.infer<typeof auditSchema>;

export const encodeAudit = (body: AuditBody): Uint8Array => encode(body);

/** Reads a statement that may come from anyone. Never throws. */
export function decodeAudit(body: Uint8Array): Decoded<AuditBody> {
  return decode(auditSchema, body, 1024);
}
