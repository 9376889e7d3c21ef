/**
 * Giving lost cells back (protocol 6.8). Any k good cells of a stripe give all of it; each is checked against the
 * matrix before it is used, and so is what comes out, so neither a helper nor this client can put anything else
 * in place of what was lost. It needs no key of the owner. Whether the cell then is there, an audit says.
 */
import { EMPTY } from '../base/bytes.ts';
import { OperationError } from '../base/errors.ts';
import type { RefusedAnswer, RequestOf } from '../protocol/messages.ts';
import type { SignedBody } from '../protocol/slot.ts';
import { compareStamps } from '../protocol/stamp.ts';
import { cellBytesOf, fragmentBytes, stripeCount } from '../protocol/stripes.ts';
import type { Certified } from './certificates.ts';
import type { ClientContext } from './context.ts';
import { fetchBody, fetchStripe } from './fetch.ts';
import type { ContentRef, Fetched, NamedContent } from './fetch.ts';
import { openShown } from './query.ts';
import { recodeStripe } from './stripe-code.ts';
import type { CallResult } from './peers.ts';

/** What a slot is given: a cell of its own with its place in the matrix, or a body. */
export interface RebuiltStripe {
  /** Of each slot; of a body the same bytes. */
  readonly cells: readonly Uint8Array[];
  readonly row: Uint8Array;
  readonly path: readonly Uint8Array[];
  /** Bytes of cells and bodies that came for it. */
  readonly readBytes: number;
}

export type Given =
  | { readonly kind: 'taken' }
  | { readonly kind: 'superseded'; readonly by: Certified }
  /** It has lost more than this cell, and takes the content as a whole only. */
  | { readonly kind: 'conflict' }
  /** It does not take it, for a reason that another attempt will not change. */
  | { readonly kind: 'refused'; readonly code: RefusedAnswer['code']; readonly reason: string }
  | { readonly kind: 'unanswered'; readonly reason: string };

const OPTIONS = { leaseMs: 0, mayRestart: true };

/**
 * All cells of one stripe, from slots that are not known to lack theirs. Throws NO_QUORUM when fewer than k can
 * be had now, DAMAGED when they are gone or were never a codeword.
 */
export async function rebuildStripe(
  ctx: ClientContext,
  version: Certified,
  content: ContentRef,
  stripe: number,
  lacking: ReadonlySet<number>,
): Promise<Fetched<RebuiltStripe>> {
  let readBytes = 0;
  const onBytes = (bytes: number): void => void (readBytes += bytes);
  const fetched = await fetchStripe(ctx, version, content, stripe, { ...OPTIONS, avoid: lacking, onBytes });
  if (fetched.kind === 'superseded') return fetched;
  const { cells, row, path } = fetched.value;
  const coded = await recodeStripe(ctx.workspaces, content.layout, stripe, cells, row);
  if (coded === null) {
    const shown = [...cells].map(([slot, cell]) => ({ slot, cell }));
    const { contentId, table } = content;
    ctx.accuse({ type: 'E8', content: { certificate: version.bytes, contentId, table }, stripe, row, path: [...path], cells: shown });
    throw new OperationError('DAMAGED', `Stripe ${stripe} was not encoded as its manifest says: its writer did this.`);
  }
  return { kind: 'fetched', value: { cells: coded.cells, row, path, readBytes } };
}

/** The body or part table of a version. Throws as `rebuildStripe`. */
export async function rebuildBody(ctx: ClientContext, version: Certified, lacking: ReadonlySet<number>): Promise<Fetched<RebuiltStripe>> {
  let readBytes = 0;
  const onBytes = (bytes: number): void => void (readBytes += bytes);
  const fetched = await fetchBody(ctx, version, { ...OPTIONS, avoid: lacking, onBytes });
  if (fetched.kind === 'superseded') return fetched;
  const cells = ctx.peers.all().map(() => fetched.value);
  return { kind: 'fetched', value: { cells, row: EMPTY, path: [], readBytes } };
}

export interface GiveOptions {
  /** Signed by a gateway for this controller. */
  readonly authority: SignedBody;
  readonly version: Certified;
  readonly content: NamedContent;
  readonly stripe: number;
  /** The slot may lack the version's certificate or content altogether. */
  readonly isNew: boolean;
  readonly signal: AbortSignal;
}

/** Gives one slot its cell, or the body, back. */
export async function giveCell(ctx: ClientContext, slot: number, { cells, row, path }: RebuiltStripe, options: GiveOptions): Promise<Given> {
  const cell = cells[slot] ?? EMPTY;
  const request = repairRequest(options, row, path, null);
  return judgeGiven(ctx, slot, options, await ctx.peers.call(slot, request, cell, ctx.deadlines.cellMs, options.signal));
}

/**
 * Gives one slot a content of several stripes that it lacks altogether: all of its cells first, then what they
 * are of. `stripes` rebuilds them, in order.
 */
export async function giveContent(
  ctx: ClientContext,
  slot: number,
  content: ContentRef,
  stripes: (stripe: number) => Promise<Fetched<RebuiltStripe>>,
  options: GiveOptions,
): Promise<Given> {
  const upload = ctx.random.bytes(16);
  const reserve = fragmentBytes(content.layout);
  for (let stripe = 0; stripe < stripeCount(content.layout); stripe += 1) {
    const rebuilt = await stripes(stripe);
    if (rebuilt.kind === 'superseded') return rebuilt;
    const { cells, row } = rebuilt.value;
    const request = { t: 'CELL' as const, upload, stripe, reserve, row };
    const result = await ctx.peers.call(slot, request, cells[slot] ?? EMPTY, ctx.deadlines.cellMs, options.signal);
    if (result.kind !== 'answer') return judgeGiven(ctx, slot, options, result);
  }
  const request = repairRequest(options, EMPTY, [], upload);
  return judgeGiven(ctx, slot, options, await ctx.peers.call(slot, request, EMPTY, ctx.deadlines.cellMs, options.signal));
}

/** Bytes that one cell of the stripe has. */
export const cellBytes = ({ layout }: ContentRef, stripe: number): number => cellBytesOf(layout, stripe);

function repairRequest({ authority, version, content, stripe, isNew }: GiveOptions, row: Uint8Array, path: readonly Uint8Array[], upload: Uint8Array | null): RequestOf<'REPAIR'> {
  const { hash, manifest } = version.signed;
  return {
    t: 'REPAIR',
    authority,
    keyId: manifest.keyId,
    manifestHash: hash,
    stamp: version.stamp,
    contentId: content.contentId,
    stripe: upload === null ? stripe : 0,
    row,
    path: [...path],
    cert: isNew ? version.bytes : null,
    upload,
  };
}

function judgeGiven(ctx: ClientContext, slot: number, { version }: GiveOptions, result: CallResult<'REPAIR' | 'CELL'>): Given {
  switch (result.kind) {
    case 'answer':
      return { kind: 'taken' };
    case 'malformed':
      return { kind: 'unanswered', reason: result.reason };
    case 'failed':
      return { kind: 'unanswered', reason: result.error.code };
    case 'refused':
      break;
  }
  const { code, reason, cert } = result.refused;
  if (code === 'BUSY') return { kind: 'unanswered', reason: `${code}: ${reason}` };
  if (code === 'CONFLICT') return { kind: 'conflict' };
  if (code !== 'SUPERSEDED') return { kind: 'refused', code, reason };
  const shown = cert === null ? undefined : openShown(ctx, slot, version.signed.manifest.keyId, cert);
  if (shown !== undefined && shown !== null && compareStamps(shown.stamp, version.stamp) > 0) return { kind: 'superseded', by: shown };
  ctx.peers.suspect(slot, 'BAD_REFUSAL', 'SUPERSEDED without a higher certificate');
  return { kind: 'refused', code, reason };
}
