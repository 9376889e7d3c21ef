/**
 * The slot protocol by hand (6.4): promises and proposals said to single nodes, in any order, right or wrong,
 * with the key of one gateway. Contents are INLINE unless a stage is named.
 */
import { EMPTY } from '../../base/bytes.ts';
import { signedManifestToWire } from '../../protocol/manifest.ts';
import type { Manifest, SlotTerms } from '../../protocol/manifest.ts';
import { encodeBallotRequest, encodeProposal, encodeStagedReceipts, NO_VERSION } from '../../protocol/slot.ts';
import type { SignedBody, StagedReceipt } from '../../protocol/slot.ts';
import type { SigningKey } from '../../crypto/primitives.ts';
import { idOf } from './raw-writer.ts';
import type { Answer, RawVersion, RawWriter, VersionOptions } from './raw-writer.ts';
import { prove } from './stage.ts';

export interface SlotOptions extends VersionOptions {
  /** The version that it follows; none when left out. */
  readonly after?: RawVersion;
  readonly terms?: Partial<SlotTerms>;
}

/** The slot that a ballot is for, none before it when left out; and who signs it, the own gateway unless said. */
export interface BallotOptions {
  readonly prev?: Uint8Array;
  readonly signer?: SigningKey;
}

export class RawSlots {
  readonly raw: RawWriter;

  constructor(raw: RawWriter) {
    this.raw = raw;
  }

  /** A SLOT manifest that replaces all before it; INLINE unless the options say otherwise. */
  version({ after, terms = {}, amend, ...options }: SlotOptions): RawVersion {
    const slot: SlotTerms = {
      prev: after?.signed.hash ?? NO_VERSION,
      stage: null,
      removes: 'ALL',
      lockMode: 'NONE',
      legalHold: false,
      bypassGovernance: false,
      ...terms,
    };
    const toSlot = (m: Manifest): Manifest => ({ ...m, v: 2, mode: 'SLOT', slot });
    const amendAll = (m: Manifest): Manifest => (amend === undefined ? toSlot(m) : amend(toSlot(m)));
    return this.raw.version({ kind: 'INLINE', size: 100, ...options, amend: amendAll });
  }

  /** Asks a node to promise a ballot in the slot after `prev`. */
  promise(
    slot: number,
    key: string,
    round: number,
    { prevCert, ...more }: BallotOptions & { readonly prevCert?: Uint8Array } = {},
  ): Promise<Answer<'PROMISE'>> {
    return this.raw.ask(slot, { t: 'PROMISE', request: this.ballot(key, round, more), prevCert: prevCert ?? null, record: null });
  }

  ballot(key: string, round: number, { prev = NO_VERSION, signer = this.raw.identity.signingKey }: BallotOptions = {}): SignedBody {
    const { identity, sessionNonce, world } = this.raw;
    const about = { bucketId: idOf('bucket'), keyId: idOf(key), prev, round, gatewayId: identity.gatewayId, sessionNonce };
    const body = encodeBallotRequest({ v: 1, ...about });
    return { body, proof: prove(world.cluster, signer, 'ballot', body) };
  }

  /** Asks a node to promise that nothing rests on the stage any more. */
  unstage(slot: number, { signed }: RawVersion, stageId: Uint8Array): Promise<Answer<'UNSTAGE'>> {
    return this.raw.ask(slot, { t: 'UNSTAGE', keyId: signed.manifest.keyId, stageId });
  }

  proposal({ signed }: RawVersion, round: number, signer: SigningKey = this.raw.identity.signingKey): SignedBody {
    const { identity, sessionNonce, world } = this.raw;
    const { keyId, slot } = signed.manifest;
    const about = { keyId, prev: slot?.prev ?? NO_VERSION, round, gatewayId: identity.gatewayId, sessionNonce };
    const body = encodeProposal({ v: 1, ...about, manifestHash: signed.hash });
    return { body, proof: prove(world.cluster, signer, 'proposal', body) };
  }

  /** Proposes a version to a node, whoever made it. */
  propose(
    slot: number,
    version: RawVersion,
    round: number,
    more: { readonly proposal?: SignedBody; readonly staged?: readonly StagedReceipt[] } = {},
  ): Promise<Answer<'PREPARE'>> {
    const { proposal = this.proposal(version, round), staged = [] } = more;
    const manifest = signedManifestToWire(version.signed);
    const bare = { t: 'PREPARE', manifest, upload: null, row: null, prevCert: null, record: null } as const;
    const payload = version.signed.manifest.kind === 'INLINE' ? version.body : EMPTY;
    return this.raw.ask(slot, { ...bare, slot: { proposal, staged: encodeStagedReceipts(staged) } }, payload);
  }

  /** Stages a DATA content of one stripe on a node; with a ballot, asks for that too. */
  stage(slot: number, version: RawVersion, stageId: Uint8Array, ballot?: SignedBody): Promise<Answer<'STAGE'>> {
    const { keyId, bucketId, k, size, cellBytes, contentId } = version.signed.manifest;
    const layout = { kind: 'DATA', k, size, cellBytes, contentId } as const;
    const [row = null] = version.rows;
    const bare = { t: 'STAGE', bucketId, keyId, stageId, layout, upload: null, row, record: null } as const;
    return this.raw.ask(slot, ballot === undefined ? bare : { ...bare, ballot }, version.cells[0]?.[slot] ?? EMPTY);
  }
}
