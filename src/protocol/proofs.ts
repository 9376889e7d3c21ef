/**
 * How a statement's proof of signature looks on the wire: its place in a batch and the batch's signature,
 * which many statements of one certificate or reply may share.
 */
import { z } from 'zod';
import type { BatchSignature, StatementProof } from './statement.ts';
import { BATCH_PATH_MAX, BATCH_SIZE_MAX } from './statement.ts';
import { bytesOf, hash32, uintUpTo } from './encoding.ts';

export const batchSchema: z.ZodType<BatchSignature> = z.strictObject({
  size: z.int().min(1).max(BATCH_SIZE_MAX),
  root: hash32,
  signature: bytesOf(64),
});

export const proofSchema: z.ZodType<StatementProof> = z.strictObject({
  index: uintUpTo(BATCH_SIZE_MAX - 1),
  path: z.array(hash32).max(BATCH_PATH_MAX),
  batch: batchSchema,
});
