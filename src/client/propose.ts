/**
 * The second phase of a slot (protocol 6.4): a manifest is proposed in a ballot that q nodes have promised. It
 * may be another writer's, which whoever finds it completes; and an orphan is completed in the same way.
 */
import { EMPTY, equal } from '../base/bytes.ts';
import type { BatchSigner } from '../protocol/batch-signer.ts';
import type { SignedManifest } from '../protocol/manifest.ts';
import { ballotOf, encodeProposal } from '../protocol/slot.ts';
import type { SignedBody } from '../protocol/slot.ts';
import { askBallot, signBallot } from './ballot.ts';
import type { Accepted, OwnBallot } from './ballot.ts';
import type { Certified } from './certificates.ts';
import { requireHeld } from './commit.ts';
import type { CommitOptions } from './commit.ts';
import type { ClientContext } from './context.ts';
import { NO_CONTENT, prepare } from './prepare.ts';
import type { PrepareOutcome, SlotContent } from './prepare.ts';
import type { WriterSessions } from './session.ts';
import type { SlotAddress } from './slot-address.ts';

export async function signProposal(
  signer: BatchSigner,
  { keyId, prev }: SlotAddress,
  ballot: OwnBallot,
  manifestHash: Uint8Array,
): Promise<SignedBody> {
  const body = encodeProposal({ v: 1, keyId, prev, ...ballot, manifestHash });
  return { body, proof: await signer.sign('proposal', body) };
}

export async function propose(
  ctx: ClientContext,
  address: SlotAddress,
  ballot: OwnBallot,
  proposal: SignedBody,
  { signed, inline, staged }: Pick<Accepted, 'signed' | 'inline' | 'staged'>,
): Promise<PrepareOutcome> {
  const { bucket, predecessor } = address;
  const share: SlotContent = inline === null ? NO_CONTENT : { ...NO_CONTENT, payload: inline };
  return prepare(ctx, {
    signed,
    contentOf: () => Promise.resolve(share),
    record: bucket.recordCert,
    predecessor: predecessor?.certified ?? null,
    slot: { address, ballot: ballotOf(ballot), proposal, staged },
  });
}

export type Settled =
  | { readonly kind: 'certified'; readonly certified: Certified }
  /** Another version was decided. */
  | { readonly kind: 'lost'; readonly to: Certified }
  | { readonly kind: 'undecided' };

const TRIES_MAX = 4;

/** Completes what was accepted in the orphan's slot. `newest`: the highest version that q nodes show. */
export async function settleSlot(
  ctx: ClientContext,
  sessions: WriterSessions,
  signer: BatchSigner,
  { manifest, hash }: SignedManifest,
  newest: Certified | null,
): Promise<Settled> {
  const prev = manifest.slot?.prev ?? EMPTY;
  const { bucketId, keyId, k, stamp, bucketStamp } = manifest;
  const bucket = { bucketId, gen: stamp.gen, k, stamp: bucketStamp, recordCert: null };
  const predecessor = newest === null ? null : { stamp: newest.stamp, hash: newest.signed.hash, certified: newest };
  const address: SlotAddress = { bucket, keyId, prev, predecessor };
  let above = 0;
  for (let tried = 0; tried < TRIES_MAX; tried += 1) {
    const { round, sessionNonce } = sessions.round(keyId, prev, above);
    const ballot: OwnBallot = { gatewayId: sessions.gatewayId, sessionNonce, round };
    const promised = await askBallot(ctx, address, ballot, await signBallot(signer, address, ballot), new Set());
    if (promised.kind === 'outvoted') {
      above = promised.round;
      continue;
    }
    if (promised.kind === 'decided') return settledBy(ctx, promised.newest, hash);
    if (promised.kind !== 'promised' || promised.accepted === null) return { kind: 'undecided' };
    const proposal = await signProposal(signer, address, ballot, promised.accepted.signed.hash);
    const outcome = await propose(ctx, address, ballot, proposal, promised.accepted);
    if (outcome.kind === 'decided') return settledBy(ctx, outcome.newest, hash);
    if (outcome.kind === 'superseded') return settledBy(ctx, outcome.winner, hash);
    if (outcome.kind === 'outvoted') {
      above = outcome.round;
      continue;
    }
    if (outcome.kind !== 'certified') return { kind: 'undecided' };
    const { inline } = promised.accepted;
    return settledBy(ctx, outcome.certified, hash, { inline, holding: outcome.slots, complete: true });
  }
  return { kind: 'undecided' };
}

/** One node's word that it is decided is not enough to tell anyone: c nodes must hold it, or a read could still miss it. */
async function settledBy(ctx: ClientContext, newest: Certified, hash: Uint8Array, options: CommitOptions = {}): Promise<Settled> {
  await requireHeld(ctx, newest, options);
  const isIt = equal(newest.signed.hash, hash) || equal(newest.signed.manifest.slot?.prev ?? EMPTY, hash);
  return isIt ? { kind: 'certified', certified: newest } : { kind: 'lost', to: newest };
}
