/**
 * The one encoding of everything that is signed, sent or stored: strict DAG-CBOR (protocol 13.1). The
 * library accepts unsorted keys and some non-minimal forms, so the bytes are first held against the canonical
 * form: every value has exactly one encoding, and two parties can never read different things out of the same
 * bytes. Schemas then turn the value into a type, once, at the boundary.
 */
import * as dagCbor from '@ipld/dag-cbor';
import { z } from 'zod';
import { isCanonical } from './canonical.ts';

export type Decoded<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly reason: string };

/** Canonical bytes of a value made of maps, arrays, byte strings, text, integers, booleans and null. */
export function encode(value: unknown): Uint8Array {
  return dagCbor.encode(value);
}

/** Decodes bytes that may come from anyone. Never throws. */
export function decode<T>(schema: z.ZodType<T>, bytes: Uint8Array, maxBytes: number): Decoded<T> {
  if (bytes.length > maxBytes) return { ok: false, reason: `${bytes.length} bytes where at most ${maxBytes} are allowed` };
  if (!isCanonical(bytes)) return { ok: false, reason: 'not the canonical encoding' };
  return decodeOwn(schema, bytes);
}

/**
 * Decodes bytes of which a digest says that this program wrote them: they are not held against the canonical
 * form, which would cost as much again for each of a million records. Never throws.
 */
export function decodeOwn<T>(schema: z.ZodType<T>, bytes: Uint8Array): Decoded<T> {
  let value: unknown;
  try {
    value = dagCbor.decode(bytes);
  } catch (error) {
    return { ok: false, reason: `not DAG-CBOR: ${error instanceof Error ? error.message : String(error)}` };
  }
  return check(schema, value);
}

/** Checks an already decoded value against a schema. Never throws. */
export function check<T>(schema: z.ZodType<T>, value: unknown): Decoded<T> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return { ok: true, value: parsed.data };
  const issue = parsed.error.issues[0];
  const where = issue === undefined ? '' : issue.path.join('.');
  return { ok: false, reason: `${where === '' ? 'message' : where}: ${issue?.message ?? 'invalid'}` };
}

/** A byte string of exactly `size` bytes. */
export function bytesOf(size: number): z.ZodType<Uint8Array> {
  return z.custom<Uint8Array>((v) => v instanceof Uint8Array && v.length === size, { error: `expected ${size} bytes` });
}

/** A byte string of at most `max` bytes. */
export function bytesUpTo(max: number): z.ZodType<Uint8Array> {
  return z.custom<Uint8Array>((v) => v instanceof Uint8Array && v.length <= max, { error: `expected at most ${max} bytes` });
}

/** An integer from 0 to 2^53-1. */
export const uint: z.ZodType<number> = z.int().nonnegative();

export function uintUpTo(max: number): z.ZodType<number> {
  return z.int().nonnegative().max(max);
}

export const hash32: z.ZodType<Uint8Array> = bytesOf(32);
export const id16: z.ZodType<Uint8Array> = bytesOf(16);
