/**
 * What nodes promise (protocol 4): a receipt (the fragment is durable, bound, and logged at an index), and a
 * commit acknowledgement (the certificate is durable and logged). Both are signed in batches.
 */
import { z } from 'zod';
import { decode, encode, hash32, uint, uintUpTo } from './encoding.ts';
import type { Decoded } from './encoding.ts';
import { ballotSchema } from './slot.ts';
import type { Ballot } from './slot.ts';
import { stampSchema } from './stamp.ts';
import type { Stamp } from './stamp.ts';

export interface ReceiptBody {
  readonly v: 1;
  readonly manifestHash: Uint8Array;
  readonly keyId: Uint8Array;
  readonly stamp: Stamp;
  readonly slot: number;
  readonly nodeId: Uint8Array;
  readonly epoch: number;
  readonly incarnation: number;
  /** Index of the PREPARED leaf in the node's log. */
  readonly logIndex: number;
  /** SLOT: the ballot in which the manifest was accepted. */
  readonly ballot?: Ballot;
}

export const receiptSchema: z.ZodType<ReceiptBody> = z.strictObject({
  v: z.literal(1),
  manifestHash: hash32,
  keyId: hash32,
  stamp: stampSchema,
  slot: uintUpTo(255),
  nodeId: hash32,
  epoch: uint,
  incarnation: uint,
  logIndex: uint,
  ballot: ballotSchema.optional(),
}) as z.ZodType<ReceiptBody>;

export interface CommitAckBody {
  readonly v: 1;
  readonly manifestHash: Uint8Array;
  readonly keyId: Uint8Array;
  readonly stamp: Stamp;
  readonly nodeId: Uint8Array;
  readonly epoch: number;
  readonly incarnation: number;
  /** Index of the COMMITTED leaf by which the node's state dominates this certificate. */
  readonly logIndex: number;
}

export const commitAckSchema: z.ZodType<CommitAckBody> = z.strictObject({
  v: z.literal(1),
  manifestHash: hash32,
  keyId: hash32,
  stamp: stampSchema,
  nodeId: hash32,
  epoch: uint,
  incarnation: uint,
  logIndex: uint,
});

const STATEMENT_BYTES_MAX = 1024;

export const encodeReceipt = (body: ReceiptBody): Uint8Array => encode(body);
export const encodeCommitAck = (body: CommitAckBody): Uint8Array => encode(body);

export const decodeReceipt = (bytes: Uint8Array): Decoded<ReceiptBody> =>
  decode(receiptSchema, bytes, STATEMENT_BYTES_MAX);
export const decodeCommitAck = (bytes: Uint8Array): Decoded<CommitAckBody> =>
  decode(commitAckSchema, bytes, STATEMENT_BYTES_MAX);
