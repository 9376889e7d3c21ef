/**
 * Version stamps: the order of all versions of one key (protocol 3). A stamp is (generation, counter,
 * writerId), compared in that order; it is not time. The zero stamp is below every real one and stands for
 * "no version".
 */
import { z } from 'zod';
import { compare, hex } from '../base/bytes.ts';
import { sha256 } from '../crypto/primitives.ts';
import { id16, uint } from './encoding.ts';

export interface Stamp {
  /** Generation of the bucket. */
  readonly gen: number;
  readonly counter: number;
  /** 16 bytes: which process start of which gateway. */
  readonly writerId: Uint8Array;
}

export const stampSchema: z.ZodType<Stamp> = z.strictObject({ gen: uint, counter: uint, writerId: id16 });

export const ZERO_STAMP: Stamp = { gen: 0, counter: 0, writerId: new Uint8Array(16) };

/** Counters grow from certified ones by at most this much (P7), so a stolen key cannot brick a key with a huge one. */
export const COUNTER_STEP_MAX = 2 ** 16;

export function compareStamps(a: Stamp, b: Stamp): number {
  return a.gen - b.gen || a.counter - b.counter || compare(a.writerId, b.writerId);
}

/** For maps. */
export function stampText({ gen, counter, writerId }: Stamp): string {
  return `${gen}.${counter}.${hex(writerId)}`;
}

export function sameStamp(a: Stamp, b: Stamp): boolean {
  return compareStamps(a, b) === 0;
}

/** The identity under which one process start of a gateway writes (13.1): a restart or a fleet never shares one. */
export function writerIdOf(gatewayId: Uint8Array, sessionNonce: Uint8Array): Uint8Array {
  return sha256(gatewayId, sessionNonce).subarray(0, 16);
}
