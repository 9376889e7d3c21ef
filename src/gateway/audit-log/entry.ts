/**
 * Entries of a gateway's audit log: what was asked, by which key, and what was answered. As little of persons as
 * an audit can do with: no contents, no names of objects (a keyed hash, by which the owner finds what she
 * already knows), and of an address the network alone.
 */
import { z } from 'zod';
import { TIME_MS_MAX } from '../../base/limits.ts';
import { hmacSha256 } from '../../crypto/primitives.ts';
import { utf8 } from '../../base/bytes.ts';
import { decode, encode, hash32, uint, uintUpTo } from '../../protocol/encoding.ts';
import type { Decoded } from '../../protocol/encoding.ts';

export const AUDIT_ENTRY_BYTES_MAX: number = 2 * 1024;
const text = (max: number): z.ZodString => z.string().max(max);
const timeMs = uintUpTo(TIME_MS_MAX);

const entrySchema = z.discriminatedUnion('t', [
  z.strictObject({
    v: z.literal(1),
    t: z.literal('request'),
    atMs: timeMs,
    requestId: text(64),
    operation: text(64),
    bucket: text(255).nullable(),
    /** HMAC of bucket and key under a key of the owner. */
    keyHash: hash32.nullable(),
    accessKeyId: text(128).nullable(),
    status: uintUpTo(599),
    code: text(64).nullable(),
    bytes: uint,
    versionId: text(128).nullable(),
    network: text(64).nullable(),
  }),
  /** What an operator did, beside S3. */
  z.strictObject({ v: z.literal(1), t: z.literal('admin'), atMs: timeMs, action: text(64), subject: text(255) }),
  /** A process began to write; what came before it was ended or killed. */
  z.strictObject({ v: z.literal(1), t: z.literal('start'), atMs: timeMs, version: text(64) }),
  /** So many entries could not be written, and are named here instead. */
  z.strictObject({ v: z.literal(1), t: z.literal('gap'), atMs: timeMs, lost: uint }),
]);
export type AuditEntry = z.infer<typeof entrySchema>;

export const encodeAuditEntry = (entry: AuditEntry): Uint8Array => encode(entry);

/** Reads an entry that may come from anyone. Never throws. */
export function decodeAuditEntry(bytes: Uint8Array): Decoded<AuditEntry> {
  return decode(entrySchema, bytes, AUDIT_ENTRY_BYTES_MAX);
}

/** By what an object is named in the log: its owner can compute it, and nobody else. */
export function keyHashOf(auditKey: Uint8Array, bucket: string, key: string): Uint8Array {
  return Uint8Array.from(hmacSha256(auditKey, utf8(`${bucket}\0${key}`)));
}

/** The network of an address: /24 of IPv4, /48 of IPv6. */
export function networkOf(address: string): string {
  const mapped = address.startsWith('::ffff:') ? address.slice(7) : address;
  const v4 = /^(\d{1,3}\.\d{1,3}\.\d{1,3})\.\d{1,3}$/.exec(mapped);
  if (v4?.[1] !== undefined) return `${v4[1]}.0/24`;
  const groups = expand(mapped);
  return groups === null ? 'unknown' : `${groups.slice(0, 3).join(':')}::/48`;
}

/** The eight groups of an IPv6 address; null for anything else. */
function expand(address: string): readonly string[] | null {
  const [plain = ''] = address.split('%');
  if (!/^[0-9a-f:]{2,45}$/i.test(plain)) return null;
  const [head = '', tail, ...more] = plain.split('::');
  const before = head === '' ? [] : head.split(':');
  const after = tail === undefined || tail === '' ? [] : tail.split(':');
  const missing = 8 - before.length - after.length;
  if (more.length > 0 || missing < 0 || (tail === undefined && missing > 0)) return null;
  return [...before, ...Array.from({ length: missing }, () => '0'), ...after].map((group) => Number.parseInt(group, 16).toString(16));
}
