/**
 * Stages (protocol 13.7): the content of a write made durable on q nodes before its manifest is proposed, and
 * let go again when the write has ended without it.
 */
import { EMPTY, equal } from '../base/bytes.ts';
import { OperationError } from '../base/errors.ts';
import { holderCount } from '../protocol/quorum.ts';
import { decodeUnstaged, encodeStagedReceipts, verifyStaged } from '../protocol/slot.ts';
import type { StagedReceipt } from '../protocol/slot.ts';
import type { RequestOf, StagedLayout } from '../protocol/messages.ts';
import type { BallotBeside, BallotResult } from './ballot.ts';
import type { Certified } from './certificates.ts';
import type { PlacedContent } from './content.ts';
import type { ClientContext } from './context.ts';
import { gather } from './gather.ts';
import type { SlotContent } from './prepare.ts';
import { askQuorum } from './quorum-round.ts';
import type { SlotAddress } from './slot-address.ts';

/** What a manifest rests on, and who says so. */
export interface Staged {
  readonly id: Uint8Array;
  readonly keyId: Uint8Array;
  /** Who says so, rising: q of them. */
  readonly slots: readonly number[];
  /** Their receipts, encoded. */
  readonly receipts: Uint8Array;
}

export type StageResult =
  /** With what became of the ballot that went along; null: nothing is certain yet. */
  | { readonly kind: 'staged'; readonly staged: Staged; readonly promised: BallotResult | null }
  | StageFailure;

export interface StageFailure {
  readonly kind: 'failed';
  readonly why: { readonly error: OperationError; readonly record?: Certified };
}

/** Stages what `placeContent` has brought to the nodes as `id`, and asks them for a ballot of the slot it is meant for. */
export async function stageContent(
  ctx: ClientContext,
  gatewayId: Uint8Array,
  id: Uint8Array,
  { bucket, keyId }: Pick<SlotAddress, 'bucket' | 'keyId'>,
  placed: PlacedContent,
  beside: BallotBeside,
): Promise<StageResult> {
  const { kind, k, size, cellBytes, contentId, contentOf } = placed;
  if (kind !== 'DATA' && kind !== 'TABLE') throw new TypeError(`${kind} contents are not staged`);
  const layout: StagedLayout = { kind, k, size, cellBytes, contentId };
  const terms = { bucketId: bucket.bucketId, keyId, stageId: id, contentId, gatewayId };
  const codes: string[] = [];
  const common = { t: 'STAGE', bucketId: bucket.bucketId, keyId, stageId: id, layout, ballot: beside.request } as const;
  const told = new Map<SlotContent['row'] | SlotContent['upload'], RequestOf<'STAGE'>>();
  const result = await askQuorum<'STAGE', StagedReceipt, never>(ctx, {
    bucketId: bucket.bucketId,
    bucketStamp: bucket.stamp,
    record: bucket.recordCert,
    message: async (slot, { record }) => {
      const share = await contentOf(slot);
      if (share === null) return null;
      const { upload, row, payload } = share;
      if (record !== null) return { request: { ...common, upload, row, record }, payload };
      // The same object for all slots, so that it is encoded once.
      const request = told.get(upload ?? row) ?? { ...common, upload, row, record };
      told.set(upload ?? row, request);
      return { request, payload };
    },
    answered: (slot, { promise, ...made }, payload) => {
      const receipt = { slot, ...made };
      if (!verifyStaged(ctx.cluster, ctx.verifier, terms, ctx.cluster.epoch, receipt)) {
        ctx.peers.suspect(slot, 'BAD_RECEIPT', 'the STAGED receipt does not verify');
        return null;
      }
      beside.hear(slot, promise, payload);
      return receipt;
    },
    refused: (_slot, { code }) => {
      codes.push(code);
      return null;
    },
    untilMs: ctx.clock.monotonicMs() + ctx.deadlines.prepareMs,
    wanted: 'STAGED receipts',
    goesOn: true,
  });
  switch (result.kind) {
    case 'quorum': {
      const receipts = [...result.found.values()].sort((a, b) => a.slot - b.slot);
      const slots = receipts.map(({ slot }) => slot);
      const staged = { id, keyId, slots, receipts: encodeStagedReceipts(receipts) };
      return { kind: 'staged', staged, promised: beside.result(slots) };
    }
    case 'bucket-stale': {
      const error = new OperationError('BUCKET_STALE', 'The bucket record has changed.', { retryable: true });
      return { kind: 'failed', why: { error, record: result.record } };
    }
    case 'short': {
      unstageLater(ctx, { id, keyId });
      const lacking = codes.filter((code) => code === 'NOT_HELD').length;
      if (lacking <= ctx.cluster.geometry.f) return { kind: 'failed', why: { error: result.error } };
      const message = `${lacking} storage nodes do not hold the content that is named.`;
      return { kind: 'failed', why: { error: new OperationError('NOT_HELD', message) } };
    }
    case 'ended':
      return result.end;
  }
}

/** Lets a stage go, in the background: nothing rests on it, or what did has lost its slot. */
export function unstageLater(ctx: ClientContext, stage: Pick<Staged, 'id' | 'keyId'>): void {
  ctx.background.run('unstage', () => unstage(ctx, stage));
}

/** What cannot be let go now stays, and is charged to this gateway, until it is asked for again. */
export async function unstage(ctx: ClientContext, { id, keyId }: Pick<Staged, 'id' | 'keyId'>): Promise<void> {
  const { peers, clock, deadlines, cluster, verifier } = ctx;
  const untilMs = clock.monotonicMs() + deadlines.resolveMs;
  const { found } = await gather(
    peers.all(),
    async (slot) => {
      const result = await peers.persist(slot, { t: 'UNSTAGE' as const, keyId, stageId: id }, EMPTY, untilMs);
      if (result.kind !== 'answer') return null;
      const { body, proof } = result.answer;
      const decoded = decodeUnstaged(body);
      const config = cluster.slotAt(slot);
      const isRight =
        decoded.ok &&
        config !== undefined &&
        decoded.value.slot === slot &&
        equal(decoded.value.stageId, id) &&
        verifier.verify(config.signingKey, 'unstaged', body, proof);
      if (isRight) return { body, proof };
      peers.suspect(slot, 'BAD_RESOLUTION', 'the UNSTAGED statement does not verify');
      return null;
    },
    (statements) => statements.size === cluster.geometry.n,
  );
  if (found.size < holderCount(cluster.geometry)) {
    ctx.telemetry.count('holdfast_client_unstages_failed_total');
    return;
  }
  const request = { t: 'RELEASE' as const, keyId, stageId: id, statements: [...found.values()] };
  await gather(
    peers.all(),
    async (slot) => {
      await peers.persist(slot, request, EMPTY, clock.monotonicMs() + deadlines.resolveMs);
      return null;
    },
    () => false,
  );
}
