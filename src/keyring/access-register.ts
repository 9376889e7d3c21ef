/**
 * The register of accounts and of the access keys made for them: who the S3 clients are, what each key may do
 * and use, and until when. Each row is complete by itself, so that a register that is lost lets nobody in
 * whom it held back. The keys of earlier releases (access-keys.ts) stand beside it and belong to the owner.
 */
import { z } from 'zod';
import { hex, utf8 } from '../base/bytes.ts';
import { TIME_MS_MAX } from '../base/limits.ts';
import type { Random } from '../base/ports.ts';
import { createAccessKey } from './access-keys.ts';

const ROWS_MAX = 10_000;
const POLICY_CHARS_MAX = 20 * 1024;
const ACCOUNT_ID_BYTES = 32;

const accountId = z.string().regex(/^[0-9a-f]{64}$/, 'expected 64 hexadecimal digits');
const shownText = z.string().min(1).max(100).regex(/^[^\p{Cc}\p{Cf}]*$/u, 'expected text without control characters');
const emailText = z.string().max(254).regex(/^[^\s@,"]+@[^\s@,"]+$/, 'expected an e-mail address');
const rate = z.int().min(1).max(Number.MAX_SAFE_INTEGER);
const bytes = z.int().min(0).max(Number.MAX_SAFE_INTEGER);
const timeMs = z.int().min(0).max(TIME_MS_MAX);

const accountSchema = z.strictObject({
  id: accountId,
  displayName: shownText,
  email: emailText.optional(),
  /** Bytes that all buckets of the account may hold together. */
  quotaBytes: bytes.optional(),
});

const keySchema = z.strictObject({
  accessKeyId: z.string().regex(/^[A-Z2-7]{20}$/),
  secretAccessKey: z.string().regex(/^[A-Za-z0-9_-]{40}$/),
  createdMs: timeMs,
  accountId,
  expiresMs: timeMs.optional(),
  /** A policy document without principals; absent: all that the account may. */
  policy: z.string().min(1).max(POLICY_CHARS_MAX).optional(),
  requestsPerSecond: rate.optional(),
  bytesPerSecond: rate.optional(),
});

const quotaSchema = z.strictObject({ bucket: z.string().min(3).max(63), quotaBytes: bytes });

const distinct = <Row>(rows: readonly Row[], of: (row: Row) => string | undefined): boolean => {
  const values = rows.map(of).filter((value) => value !== undefined);
  return new Set(values).size === values.length;
};

export const accessRegisterSchema = z.strictObject({
  v: z.literal(1),
  accounts: z
    .array(accountSchema)
    .max(ROWS_MAX)
    .refine((rows) => distinct(rows, ({ id }) => id), 'two accounts share one id')
    .refine((rows) => distinct(rows, ({ email }) => email?.toLowerCase()), 'two accounts share one e-mail address')
    .refine((rows) => distinct(rows, ({ displayName }) => displayName), 'two accounts share one name'),
  accessKeys: z
    .array(keySchema)
    .max(ROWS_MAX)
    .refine((rows) => distinct(rows, ({ accessKeyId }) => accessKeyId), 'two access keys share one identifier'),
  bucketQuotas: z
    .array(quotaSchema)
    .max(ROWS_MAX)
    .refine((rows) => distinct(rows, ({ bucket }) => bucket), 'two quotas are for one bucket'),
});

export type RegisteredAccount = z.infer<typeof accountSchema>;
export type RegisteredKey = z.infer<typeof keySchema>;
export type AccessRegister = Omit<z.infer<typeof accessRegisterSchema>, 'v'>;

export const EMPTY_REGISTER: AccessRegister = { accounts: [], accessKeys: [], bucketQuotas: [] };

export function newAccount(random: Random, displayName: string, email: string | undefined): RegisteredAccount {
  const id = hex(random.bytes(ACCOUNT_ID_BYTES));
  return { id, displayName, ...(email === undefined ? {} : { email }) };
}

/** A fresh identifier and secret; what else stands in the row is `terms`. */
export function newRegisteredKey(
  random: Random,
  createdMs: number,
  terms: Omit<RegisteredKey, 'accessKeyId' | 'secretAccessKey' | 'createdMs'>,
): RegisteredKey {
  return { ...createAccessKey(random, createdMs), ...terms };
}

/** JSON with a final newline, for a file of mode 0600. Throws when it could not be read back. */
export function encodeAccessRegister(register: AccessRegister): Uint8Array {
  const checked = accessRegisterSchema.parse({ v: 1, ...register });
  return utf8(`${JSON.stringify(checked, null, 2)}\n`);
}
