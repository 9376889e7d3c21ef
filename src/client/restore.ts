/**
 * The content of a version that is not certified yet, from the nodes that hold it to those that do not
 * (protocol 6.7): what its writer would have sent them. It needs no key, because cells are recomputed and
 * judged as they are; a content that is no codeword is not passed on.
 */
import { assert } from '../base/assert.ts';
import { EMPTY } from '../base/bytes.ts';
import { OperationError } from '../base/errors.ts';
import type { SignedManifest } from '../protocol/manifest.ts';
import { quorumSize } from '../protocol/quorum.ts';
import { stripeCount } from '../protocol/stripes.ts';
import type { ClientContext } from './context.ts';
import { fetchBody, fetchStripe } from './fetch.ts';
import type { Fetched, FetchedVersion } from './fetch.ts';
import { NO_CONTENT } from './prepare.ts';
import type { SlotContent } from './prepare.ts';
import { recodeStripe } from './stripe-code.ts';
import type { CodedStripe } from './stripe-code.ts';
import { StripeUpload } from './upload.ts';

export type ContentOf = (slot: number) => Promise<SlotContent | null>;

const OPTIONS = { leaseMs: 0, mayRestart: true };

/**
 * What to send each slot with PREPARE. Throws NO_QUORUM or DAMAGED when the holders do not give the content,
 * and as `uploadStripes` when the others do not take it.
 */
export async function restoreContent(
  ctx: ClientContext,
  signed: SignedManifest,
  holders: ReadonlySet<number>,
): Promise<Fetched<ContentOf>> {
  const lacking = ctx.peers.all().filter((slot) => !holders.has(slot));
  const toLacking = (share: ContentOf): Fetched<ContentOf> => ({
    kind: 'fetched',
    value: (slot) => (holders.has(slot) ? Promise.resolve(NO_CONTENT) : share(slot)),
  });
  const { manifest } = signed;
  const needed = quorumSize(ctx.cluster.geometry) - holders.size;
  // Where q hold it already the others' pieces are left to repair.
  if (manifest.kind === 'TOMBSTONE' || needed <= 0) return toLacking(() => Promise.resolve(NO_CONTENT));
  const version: FetchedVersion = { signed, stamp: manifest.stamp, cert: null };
  if (manifest.kind !== 'DATA') {
    const body = await fetchBody(ctx, version, OPTIONS);
    if (body.kind === 'superseded') return body;
    return toLacking(() => Promise.resolve({ upload: null, row: null, payload: body.value }));
  }
  if (stripeCount(manifest) === 1) {
    const stripe = await recoded(ctx, version, 0);
    if (stripe.kind === 'superseded') return stripe;
    const { cells, row } = stripe.value;
    return toLacking((slot) => {
      const payload = cells[slot];
      assert(payload !== undefined, 'a slot has a cell');
      return Promise.resolve({ upload: null, row, payload });
    });
  }
  return restoreStripes(ctx, version, lacking, needed, toLacking);
}

async function restoreStripes(
  ctx: ClientContext,
  version: FetchedVersion,
  lacking: readonly number[],
  needed: number,
  toLacking: (share: ContentOf) => Fetched<ContentOf>,
): Promise<Fetched<ContentOf>> {
  const { manifest } = version.signed;
  const upload = new StripeUpload(ctx, manifest, lacking, needed);
  const { signal } = new AbortController();
  try {
    for (let index = 0; index < stripeCount(manifest); index += 1) {
      await upload.room(signal);
      const stripe = await recoded(ctx, version, index);
      if (stripe.kind === 'superseded') {
        upload.end();
        return stripe;
      }
      upload.send(index, stripe.value);
    }
    await upload.taken(signal);
  } catch (error) {
    upload.end();
    throw error;
  }
  return toLacking(async (slot) => ((await upload.has(slot)) ? { upload: upload.id, row: null, payload: EMPTY } : null));
}

async function recoded(ctx: ClientContext, version: FetchedVersion, index: number): Promise<Fetched<CodedStripe>> {
  const { manifest } = version.signed;
  const fetched = await fetchStripe(ctx, version, { contentId: manifest.contentId, table: null, layout: manifest }, index, OPTIONS);
  if (fetched.kind === 'superseded') return fetched;
  const coded = await recodeStripe(ctx.workspaces, manifest, index, fetched.value.cells, fetched.value.row);
  if (coded === null) throw new OperationError('DAMAGED', `Stripe ${index} was not encoded as its manifest says.`);
  return { kind: 'fetched', value: coded };
}
