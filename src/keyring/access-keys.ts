/**
 * Access keys: what an S3 client signs its requests with. The identifier is public, the secret never leaves
 * the gateway's folder; a file of them is read once and checked strictly, so that a damaged file refuses to
 * start instead of letting nobody, or anybody, in.
 */
import { z } from 'zod';
import { utf8 } from '../base/bytes.ts';
import type { Random } from '../base/ports.ts';

export const ACCESS_KEY_ID_CHARS = 20;
export const SECRET_ACCESS_KEY_CHARS = 40;
const ACCESS_KEYS_MAX = 10_000;

const ID_ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
const SECRET_ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

export interface AccessKey {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** Unix milliseconds. */
  readonly createdMs: number;
}

/** What `encodeAccessKeys` writes, and nothing else. */
export const accessKeysSchema = z.strictObject({
  v: z.literal(1),
  accessKeys: z
    .array(
      z.strictObject({
        accessKeyId: z.string().regex(/^[A-Z2-7]{20}$/),
        secretAccessKey: z.string().regex(/^[A-Za-z0-9_-]{40}$/),
        createdMs: z.int().nonnegative(),
      }),
    )
    .max(ACCESS_KEYS_MAX)
    .refine((keys) => new Set(keys.map((key) => key.accessKeyId)).size === keys.length, 'two access keys share one identifier'),
});

/** A fresh key: 100 random bits of identifier, 240 of secret. */
export function createAccessKey(random: Random, createdMs: number): AccessKey {
  return {
    accessKeyId: randomText(random, ID_ALPHABET, ACCESS_KEY_ID_CHARS),
    secretAccessKey: randomText(random, SECRET_ALPHABET, SECRET_ACCESS_KEY_CHARS),
    createdMs,
  };
}

/** Both alphabets divide 256, so that every character is equally likely. */
function randomText(random: Random, alphabet: string, count: number): string {
  let out = '';
  for (const byte of random.bytes(count)) out += alphabet.charAt(byte % alphabet.length);
  return out;
}

/** JSON with a final newline, for a file of mode 0600. */
export function encodeAccessKeys(accessKeys: readonly AccessKey[]): Uint8Array {
  return utf8(`${JSON.stringify({ v: 1, accessKeys }, null, 2)}\n`);
}
