/**
 * The attributes of one version (protocol 13.6): a register of its own beside the version, in whose clear part
 * nodes read what they enforce: until when the version is retained, in which mode, whether it is held, and that
 * it is gone. Locking a version and letting it go are writes of one register, so that the slots of that register
 * decide between them: two registers could each be half written, and neither ever decided.
 */
import { z } from 'zod';
import { utf8 } from '../base/bytes.ts';
import { sha256 } from '../crypto/primitives.ts';
import { decode, encode, hash32, uint } from './encoding.ts';
import type { Decoded } from './encoding.ts';
import type { LockMode } from './manifest.ts';
import { stampSchema, stampText } from './stamp.ts';
import type { Stamp } from './stamp.ts';

/** Object lock as one version has it. */
export interface Lock {
  readonly lockMode: LockMode;
  /** Unix milliseconds; 0 iff the mode is NONE. */
  readonly retainUntil: number;
  readonly legalHold: boolean;
}

export interface Attributes extends Lock {
  readonly v: 1;
  /** The version that they are about. */
  readonly keyId: Uint8Array;
  readonly stamp: Stamp;
  /** The version may be removed, for good: nothing follows. */
  readonly gone: boolean;
}

const attributesSchema: z.ZodType<Attributes> = z
  .strictObject({
    v: z.literal(1),
    keyId: hash32,
    stamp: stampSchema,
    lockMode: z.enum(['NONE', 'GOVERNANCE', 'COMPLIANCE']),
    retainUntil: uint,
    legalHold: z.boolean(),
    gone: z.boolean(),
  })
  .refine(({ gone, legalHold }) => !gone || !legalHold, 'what is gone is not held')
  .refine(({ lockMode, retainUntil }) => (lockMode === 'NONE') === (retainUntil === 0), 'retention has a mode and an end');

export const encodeAttributes = (attributes: Attributes): Uint8Array => encode(attributes);
export const decodeAttributes = (bytes: Uint8Array): Decoded<Attributes> => decode(attributesSchema, bytes, 1024);

/** Where the attributes of a version stand: every node finds them, and no others can stand for them. */
export function attributesKeyId(keyId: Uint8Array, stamp: Stamp): Uint8Array {
  return sha256(utf8('holdfast/1/attributes'), new Uint8Array(1), keyId, utf8(stampText(stamp)));
}

/** Does the lock forbid at this time that the version be removed? `mayBypass` lifts GOVERNANCE. */
export function forbidsRemoval({ lockMode, retainUntil, legalHold }: Lock, nowMs: number, mayBypass: boolean): boolean {
  if (legalHold) return true;
  return retainUntil > nowMs && !(lockMode === 'GOVERNANCE' && mayBypass);
}

/**
 * Does the lock forbid at this time that `next` takes its place? A retention may always become longer; its mode
 * stays: COMPLIANCE for good, GOVERNANCE but with leave, for who chose a lock that can be lifted did not choose
 * one that cannot.
 */
export function forbidsChange(before: Lock, next: Lock, nowMs: number, mayBypass: boolean): boolean {
  if (before.lockMode === 'NONE' || before.retainUntil <= nowMs) return false;
  if (before.lockMode === 'GOVERNANCE' && mayBypass) return false;
  return next.retainUntil < before.retainUntil || next.lockMode !== before.lockMode;
}
