/**
 * CERTS (protocol 13.8): certificates for keys that logs have named. A log entry says that a node holds a
 * certificate; what counts is the certificate itself, verified, from whichever node gives it.
 */
import { EMPTY } from '../base/bytes.ts';
import { CERTS_BATCH_MAX } from '../base/limits.ts';
import { sameStamp } from '../protocol/stamp.ts';
import type { Stamp } from '../protocol/stamp.ts';
import { reaches } from './certificates.ts';
import type { Certified } from './certificates.ts';
import type { ClientContext } from './context.ts';
import { openShown } from './query.ts';

export interface WantedCertificate {
  readonly keyId: Uint8Array;
  /** The stamp that was named: a certificate at or above it is wanted. */
  readonly stamp: Stamp;
  /** Slots whose log names it; they are asked before the others. */
  readonly slots: readonly number[];
  /** That version alone will do, not a higher one; it may be gone. */
  readonly exact?: boolean;
}

/**
 * Fetches one certificate for each, in the order given; null where no node gave one: the entry then was a
 * lie, or its nodes cannot be reached now.
 */
export async function fetchCertificates(
  ctx: ClientContext,
  wanted: readonly WantedCertificate[],
): Promise<readonly (Certified | null)[]> {
  const results: (Certified | null)[] = wanted.map(() => null);
  const all = ctx.peers.all();
  const orders = wanted.map(({ slots }) => [...slots, ...all.filter((slot) => !slots.includes(slot))]);
  for (let turn = 0; turn < ctx.cluster.geometry.n; turn += 1) {
    const bySlot = new Map<number, number[]>();
    for (const [index, order] of orders.entries()) {
      const slot = order[turn];
      if (results[index] !== null || slot === undefined) continue;
      const indices = bySlot.get(slot);
      if (indices === undefined) bySlot.set(slot, [index]);
      else indices.push(index);
    }
    if (bySlot.size === 0) break;
    await Promise.all([...bySlot].map(([slot, indices]) => askSlot(ctx, slot, wanted, indices, results)));
  }
  return results;
}

async function askSlot(
  ctx: ClientContext,
  slot: number,
  wanted: readonly WantedCertificate[],
  indices: readonly number[],
  results: (Certified | null)[],
): Promise<void> {
  let left = indices;
  while (left.length > 0) {
    const batch = left.slice(0, CERTS_BATCH_MAX);
    const keyIds = batch.flatMap((index) => wanted[index]?.keyId ?? []);
    const stamps = batch.map((index) => (wanted[index]?.exact === true ? wanted[index].stamp : null));
    const bare = { t: 'CERTS' as const, keyIds };
    const request = stamps.some((stamp) => stamp !== null) ? { ...bare, stamps } : bare;
    const result = await ctx.peers.call(slot, request, EMPTY, ctx.deadlines.followCallMs);
    if (result.kind !== 'answer') return;
    // A node may answer for fewer than asked, when the rest would not fit a frame, but for one at least.
    const answered = result.answer.certs.slice(0, batch.length);
    if (answered.length === 0) {
      ctx.peers.suspect(slot, 'WITHHELD', 'no certificate for any key asked');
      return;
    }
    for (const [at, bytes] of answered.entries()) take(ctx, slot, wanted, batch[at] ?? -1, bytes, results);
    left = left.slice(answered.length);
  }
}

function take(
  ctx: ClientContext,
  slot: number,
  wanted: readonly WantedCertificate[],
  index: number,
  bytes: Uint8Array | null,
  results: (Certified | null)[],
): void {
  const want = wanted[index];
  if (want === undefined) return;
  const shown = bytes === null ? null : openShown(ctx, slot, want.keyId, bytes);
  if (shown === undefined) return;
  const fits = want.exact === true ? shown !== null && sameStamp(shown.stamp, want.stamp) : reaches(shown, want.stamp);
  if (fits) {
    results[index] = shown;
  } else if (want.slots.includes(slot) && want.exact !== true) {
    ctx.peers.suspect(slot, 'WITHHELD', 'its log names a certificate that it does not give');
  }
}
