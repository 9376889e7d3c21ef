/**
 * The first phase of a slot (protocol 6.4): q nodes promise a ballot and show what they have accepted. What
 * was accepted in the highest ballot must be proposed again, whoever's it is: it may be decided already.
 */
import { equal, mapKey } from '../base/bytes.ts';
import type { OperationError } from '../base/errors.ts';
import type { BatchSigner } from '../protocol/batch-signer.ts';
import { verifyWriter } from '../protocol/certificate.ts';
import { openSignedManifest } from '../protocol/manifest.ts';
import type { SignedManifest } from '../protocol/manifest.ts';
import type { AnswerOf, RefusedAnswer, RequestOf } from '../protocol/messages.ts';
import {
  ballotOf,
  compareBallots,
  decodeBallotRequest,
  decodeProposal,
  encodeBallotRequest,
  proposerOf,
} from '../protocol/slot.ts';
import type { Ballot, SignedBody } from '../protocol/slot.ts';
import { sha256 } from '../crypto/primitives.ts';
import { compareStamps } from '../protocol/stamp.ts';
import type { Certified } from './certificates.ts';
import type { ClientContext } from './context.ts';
import { openShown } from './query.ts';
import { askQuorum } from './quorum-round.ts';
import type { SlotAddress } from './slot-address.ts';

/** A ballot of the session that proposes in it. */
export interface OwnBallot {
  readonly gatewayId: Uint8Array;
  readonly sessionNonce: Uint8Array;
  readonly round: number;
}

/** Asks for nothing yet: so that it is signed together with what else is. */
export async function signBallot(
  signer: BatchSigner,
  { bucket, keyId, prev }: SlotAddress,
  ballot: OwnBallot,
): Promise<SignedBody> {
  const body = encodeBallotRequest({ v: 1, bucketId: bucket.bucketId, keyId, prev, ...ballot });
  return { body, proof: await signer.sign('ballot', body) };
}

/** A manifest that a node has accepted, with all that proposing it again needs. */
export interface Accepted {
  readonly signed: SignedManifest;
  readonly ballot: Ballot;
  /** The receipts of its stage, encoded. */
  readonly staged: Uint8Array;
  /** The body of an INLINE version. */
  readonly inline: Uint8Array | null;
}

export type BallotResult =
  | { readonly kind: 'promised'; readonly accepted: Accepted | null }
  /** The slot is decided: this version, or one after it, is the newest. */
  | { readonly kind: 'decided'; readonly newest: Certified }
  | { readonly kind: 'outvoted'; readonly round: number }
  | { readonly kind: 'bucket-stale'; readonly record: Certified }
  | { readonly kind: 'short'; readonly error: OperationError };

type End = Extract<BallotResult, { kind: 'decided' }>;

export async function askBallot(
  ctx: ClientContext,
  address: SlotAddress,
  ballot: OwnBallot,
  wire: SignedBody,
  /** Names of manifests that can never be certified: they need not be proposed again. */
  voided: ReadonlySet<string>,
): Promise<BallotResult> {
  const { bucket } = address;
  const own = ballotOf(ballot);
  const higherRounds: number[] = [];
  const result = await askQuorum<'PROMISE', Accepted | 'nothing', End>(ctx, {
    bucketId: bucket.bucketId,
    bucketStamp: bucket.stamp,
    record: bucket.recordCert,
    message: (_slot, { prevCert, record }) => {
      const request: RequestOf<'PROMISE'> = { t: 'PROMISE', request: wire, prevCert, record };
      return Promise.resolve({ request, payload: new Uint8Array(0) });
    },
    answered: (slot, answer, payload) => openAccepted(ctx, address, slot, answer, payload),
    refused: (slot, refused, sent) => {
      if (refused.code === 'BALLOT') {
        const beaten = roundOf(ctx, address, slot, refused, own);
        if (beaten !== null) higherRounds.push(beaten);
        return null;
      }
      return refused.code === 'PREDECESSOR' ? afterPredecessor(ctx, address, slot, refused, sent) : null;
    },
    untilMs: ctx.clock.monotonicMs() + ctx.deadlines.prepareMs,
    wanted: 'promises',
    goesOn: false,
  });
  switch (result.kind) {
    case 'quorum':
      return { kind: 'promised', accepted: highest([...result.found.values()], voided) };
    case 'ended':
      return result.end;
    case 'bucket-stale':
      return result;
    case 'short':
      // Fewer than q are left because others were promised more.
      return higherRounds.length > 0 ? { kind: 'outvoted', round: Math.max(...higherRounds) } : result;
  }
}

const NOTHING_VOIDED: ReadonlySet<string> = new Set();

/**
 * A ballot that travels with a stage, so that one sync of each node serves both. It is promised when all q that
 * staged have promised it, too; whatever stands in the way is left to a round of its own.
 */
export class BallotBeside {
  readonly request: SignedBody;
  readonly #ctx: ClientContext;
  readonly #address: SlotAddress;
  readonly #promises = new Map<number, Accepted | 'nothing'>();
  #decided: End | null = null;

  constructor(ctx: ClientContext, address: SlotAddress, request: SignedBody) {
    this.request = request;
    this.#ctx = ctx;
    this.#address = address;
  }

  /** What a node answered beside its STAGED receipt. */
  hear(slot: number, promise: AnswerOf<'STAGE'>['promise'], payload: Uint8Array): void {
    if (promise === undefined) return;
    if ('accepted' in promise) {
      const accepted = openAccepted(this.#ctx, this.#address, slot, promise, payload);
      if (accepted !== null) this.#promises.set(slot, accepted);
    } else if (promise.refused.code === 'PREDECESSOR') {
      const after = afterPredecessor(this.#ctx, this.#address, slot, promise.refused, { prevCert: null, record: null });
      if (after !== null && 'end' in after) this.#decided ??= after.end;
    }
  }

  /** Null: nothing is certain yet. */
  result(slots: Iterable<number>): BallotResult | null {
    if (this.#decided !== null) return this.#decided;
    const answers = [...slots].map((slot) => this.#promises.get(slot));
    const promises = answers.filter((answer) => answer !== undefined);
    return promises.length < answers.length ? null : { kind: 'promised', accepted: highest(promises, NOTHING_VOIDED) };
  }
}

function highest(answers: readonly (Accepted | 'nothing')[], voided: ReadonlySet<string>): Accepted | null {
  let best: Accepted | null = null;
  for (const accepted of answers) {
    if (accepted === 'nothing' || voided.has(mapKey(accepted.signed.hash))) continue;
    if (best === null || compareBallots(accepted.ballot, best.ballot) > 0) best = accepted;
  }
  return best;
}

/**
 * What a node says it accepted: only what was signed as a proposal for this slot counts. The receipts of its
 * stage are not judged: a node that holds the content need not have, and those that do not will.
 */
function openAccepted(
  ctx: ClientContext,
  { keyId, prev }: SlotAddress,
  slot: number,
  { accepted }: AnswerOf<'PROMISE'>,
  payload: Uint8Array,
): Accepted | 'nothing' | null {
  if (accepted === null) return 'nothing';
  const { cluster, verifier } = ctx;
  const opened = openSignedManifest(accepted.manifest);
  const signed = opened.ok ? opened.value : null;
  const proposer = signed === null ? null : proposerOf(cluster, verifier, accepted.proposal, signed.manifest, signed.hash);
  const isRight =
    signed !== null &&
    proposer !== null &&
    equal(signed.manifest.keyId, keyId) &&
    equal(signed.manifest.slot?.prev ?? new Uint8Array(0), prev) &&
    verifyWriter(cluster, verifier, signed) &&
    (signed.manifest.kind !== 'INLINE' || equal(sha256(payload), signed.manifest.contentId));
  if (!isRight) {
    ctx.peers.suspect(slot, 'BAD_PROMISE', 'what it says it accepted was not proposed');
    return null;
  }
  ctx.sightings.manifest(signed);
  ctx.sightings.proposal(accepted.proposal);
  const inline = signed.manifest.kind === 'INLINE' ? payload : null;
  return { signed, ballot: proposer.ballot, staged: accepted.staged, inline };
}

/** The round that beat ours, when the node shows who asked for it. */
export function roundOf(
  ctx: ClientContext,
  { keyId, prev }: Pick<SlotAddress, 'keyId' | 'prev'>,
  slot: number,
  { statement }: RefusedAnswer,
  own: Ballot,
): number | null {
  for (const [purpose, decode] of [
    ['ballot', decodeBallotRequest],
    ['proposal', decodeProposal],
  ] as const) {
    const decoded = statement === null ? null : decode(statement.body);
    if (statement === null || decoded?.ok !== true) continue;
    const { gatewayId, round } = decoded.value;
    const writer = ctx.cluster.writerById(gatewayId);
    const isRight =
      writer !== undefined &&
      equal(decoded.value.keyId, keyId) &&
      equal(decoded.value.prev, prev) &&
      compareBallots(ballotOf(decoded.value), own) >= 0 &&
      ctx.verifier.verify(writer.signingKey, purpose, statement.body, statement.proof);
    if (isRight && purpose === 'proposal') ctx.sightings.proposal(statement);
    if (isRight) return round;
  }
  ctx.peers.suspect(slot, 'BAD_REFUSAL', 'BALLOT without a higher one');
  return null;
}

/** Another version is the newest at this node: it lags, and is given ours, or we do. */
export function afterPredecessor(
  ctx: ClientContext,
  { keyId, predecessor }: SlotAddress,
  slot: number,
  { cert }: RefusedAnswer,
  sent: { readonly prevCert: Uint8Array | null; readonly record: Uint8Array | null },
): { readonly prevCert: Uint8Array | null; readonly record: Uint8Array | null } | { readonly end: End } | null {
  const shown = cert === null ? null : openShown(ctx, slot, keyId, cert);
  if (shown === undefined) return null;
  if (shown !== null && (predecessor === null || compareStamps(shown.stamp, predecessor.stamp) > 0)) {
    return { end: { kind: 'decided', newest: shown } };
  }
  const certified = predecessor?.certified ?? null;
  return certified === null || sent.prevCert !== null ? null : { ...sent, prevCert: certified.bytes };
}
