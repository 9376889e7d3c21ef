/**
 * Reading the past from the nodes' logs: the certificate of any COMMITTED entry, of versions long replaced
 * too, and whether a log still begins as a checkpoint signed long ago says.
 */
import { equal } from '../base/bytes.ts';
import { EMPTY } from '../base/bytes.ts';
import { CERTS_BATCH_MAX, CHANGES_LEAVES_MAX } from '../base/limits.ts';
import type { Checkpoint } from '../log/checkpoint.ts';
import { Frontier, leafHash } from '../merkle/tree.ts';
import type { Certified } from './certificates.ts';
import type { ClientContext } from './context.ts';

/** An entry of a slot's log that says it holds the certificate of this manifest. */
export interface LoggedCommit {
  readonly index: number;
  readonly manifestHash: Uint8Array;
}

/** Questions to one slot that are under way at once. */
const AT_ONCE = 8;

/** The certificates of these entries, in their order; null where the node does not give the one that its log names. */
export async function committedAt(
  ctx: ClientContext,
  slot: number,
  entries: readonly LoggedCommit[],
): Promise<readonly (Certified | null)[]> {
  const out: (Certified | null)[] = entries.map(() => null);
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < entries.length) {
      const from = next;
      next += CERTS_BATCH_MAX;
      const certs = await batchAt(ctx, slot, entries.slice(from, from + CERTS_BATCH_MAX));
      for (const [i, certified] of certs.entries()) out[from + i] = certified;
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return out;
}

/** At most CERTS_BATCH_MAX; a node may answer for fewer at once than asked, but for one at least. */
async function batchAt(ctx: ClientContext, slot: number, batch: readonly LoggedCommit[]): Promise<readonly (Certified | null)[]> {
  const out: (Certified | null)[] = [];
  while (out.length < batch.length) {
    const rest = batch.slice(out.length);
    const indexes = rest.map(({ index }) => index);
    const result = await ctx.peers.call(slot, { t: 'HISTORY' as const, indexes }, EMPTY, ctx.deadlines.followCallMs);
    const certs = result.kind === 'answer' ? result.answer.certs.slice(0, rest.length) : [];
    if (certs.length === 0) return out;
    for (const [i, bytes] of certs.entries()) out.push(openAs(ctx, slot, rest[i], bytes));
  }
  return out;
}

function openAs(ctx: ClientContext, slot: number, entry: LoggedCommit | undefined, bytes: Uint8Array | null): Certified | null {
  const opened = bytes === null ? null : ctx.certificates.open(bytes);
  const isIt = opened?.ok === true && entry !== undefined && equal(opened.certified.signed.hash, entry.manifestHash);
  if (isIt) return opened.certified;
  ctx.peers.suspect(slot, 'WITHHELD', 'its log names a certificate that it does not give');
  return null;
}

export type Beginning = 'same' | 'other' | 'unreachable';

/** Does the slot's log begin with the very entries that the checkpoint stands for? Reads as many. */
export async function beginsWith(ctx: ClientContext, slot: number, { size, root }: Checkpoint): Promise<Beginning> {
  const frontier = new Frontier();
  while (frontier.size < size) {
    const from = frontier.size;
    const to = Math.min(size, from + CHANGES_LEAVES_MAX);
    const result = await ctx.peers.call(slot, { t: 'CHANGES' as const, from, to }, EMPTY, ctx.deadlines.followCallMs);
    if (result.kind === 'failed') return 'unreachable';
    if (result.kind !== 'answer' || result.answer.from !== from || result.answer.leaves.length === 0) return 'other';
    for (const leaf of result.answer.leaves) frontier.append(leafHash(leaf));
  }
  return frontier.size === size && equal(frontier.root(), root) ? 'same' : 'other';
}
