/**
 * Writes of a serialised bucket (protocol 6.4, 13.7). Every version names the one that it follows, and of all
 * manifests that name the same predecessor at most one is ever certified: so a condition on the predecessor
 * is decided once, whichever gateways race.
 */
import { EMPTY, equal, mapKey } from '../base/bytes.ts';
import { OperationError } from '../base/errors.ts';
import { sha256 } from '../crypto/primitives.ts';
import type { Certificate } from '../protocol/certificate.ts';
import { encodeManifest } from '../protocol/manifest.ts';
import type { LockMode, Manifest, SignedManifest } from '../protocol/manifest.ts';
import { holderCount } from '../protocol/quorum.ts';
import { NO_RECEIPTS, NO_VERSION } from '../protocol/slot.ts';
import type { SignedBody } from '../protocol/slot.ts';
import type { Stamp } from '../protocol/stamp.ts';
import type { Attempt } from './attempts.ts';
import { askBallot, BallotBeside, signBallot } from './ballot.ts';
import type { Accepted, BallotResult, OwnBallot } from './ballot.ts';
import type { Certified } from './certificates.ts';
import { fromSource } from './chunks.ts';
import { commit, requireHeld } from './commit.ts';
import { placeContent } from './content.ts';
import type { PlacedContent, WriteContent } from './content.ts';
import type { ClientContext } from './context.ts';
import type { PrepareOutcome } from './prepare.ts';
import { propose, signProposal } from './propose.ts';
import { head, headAt } from './read.ts';
import { ruleOut } from './resolve.ts';
import { stageContent, unstageLater } from './stage.ts';
import type { Staged, StageFailure } from './stage.ts';
import { manifestOf, sign } from './write.ts';
import type { BucketAuthority, Predecessor, SlotAddress } from './slot-address.ts';
import type { Writer } from './write.ts';

export type { Predecessor } from './slot-address.ts';

/** What a write does to the versions before it, and what it seals. */
export interface SlotTerms {
  /** ALL: it replaces every version below it, as in a bucket that never kept versions. A list: the versions of these stamps go. */
  readonly removes: 'ALL' | readonly Stamp[];
  /** In place of the metadata that came with the content. */
  readonly encMeta?: Uint8Array;
  /** Object lock of the new version. */
  readonly lock?: VersionLock;
  /** The caller may, and asked to, go against GOVERNANCE. */
  readonly bypassGovernance?: boolean;
}

export interface VersionLock {
  readonly mode: LockMode;
  /** Unix milliseconds; 0 with NONE. */
  readonly retainUntil: number;
  readonly legalHold: boolean;
}

export interface SlotWriteRequest {
  readonly bucket: BucketAuthority;
  readonly keyId: Uint8Array;
  /** 32 bytes: identity of the user operation. */
  readonly opId: Uint8Array;
  readonly content: WriteContent;
  /** As in WriteRequest, with the hash. Absent: ask the nodes. */
  readonly predecessor?: Pick<Predecessor, 'stamp' | 'hash'> | null;
  /**
   * Asked for each predecessor that the write is tried on (null: no version of the key has ever been): on
   * what terms, or 'decline' to write nothing. `certified` of the predecessor is set when `needsCertified`.
   */
  readonly decide: (predecessor: Predecessor | null) => Promise<SlotTerms | 'decline'>;
  /** `decide` must see what the nodes hold, not what is believed: conditions. */
  readonly needsCertified: boolean;
  /** Attributes only: the part that nodes read (protocol/attributes.ts). */
  readonly clear?: Uint8Array;
  /** Heard until the first PREPARE. */
  readonly signal?: AbortSignal;
}

export type SlotWriteResult =
  | {
      readonly outcome: 'committed';
      readonly signed: SignedManifest;
      /** The certificate of this write; when superseded, that of the version that followed it. */
      readonly cert: Certificate;
      readonly certBytes: Uint8Array;
      readonly superseded: boolean;
    }
  /** `decide` declined on this predecessor. */
  | { readonly outcome: 'declined'; readonly predecessor: Predecessor | null }
  /** Nothing of it will ever take effect. `record` with BUCKET_STALE. */
  | { readonly outcome: 'rejected'; readonly error: OperationError; readonly record?: Certified }
  | { readonly outcome: 'unknown'; readonly reason: string; readonly signed: SignedManifest };

/** Predecessors and ballots that one write is tried on: each more means that another writer was faster. */
const TRIES_MAX = 24;
const BACKOFF_MIN_MS = 10;
const BACKOFF_MAX_MS = 1_000;

export async function writeSlot(writer: Writer, request: SlotWriteRequest): Promise<SlotWriteResult> {
  const { ctx } = writer;
  let base: Predecessor | null;
  try {
    base = await baseOf(ctx, request);
  } catch (error) {
    return rejected(error);
  }
  // A condition that fails already needs no content.
  if (request.needsCertified && (await request.decide(base)) === 'decline') return { outcome: 'declined', predecessor: base };
  const content = await bringContent(writer, request);
  if ('outcome' in content) return content;
  // One after the other within this process: its own writes of a key need not outvote each other.
  return writer.turns.take(mapKey(request.keyId), () => new SlotWrite(writer, request, content).run(base));
}

/** What the write rests on. */
interface Brought {
  readonly placed: PlacedContent;
  readonly encMeta: Uint8Array;
}

async function baseOf(ctx: ClientContext, request: SlotWriteRequest): Promise<Predecessor | null> {
  const believed = request.predecessor;
  if (believed !== undefined && !request.needsCertified) return believed === null ? null : { ...believed, certified: null };
  return predecessorOf(await head(ctx, request.keyId, request.signal));
}

function predecessorOf(certified: Certified | null): Predecessor | null {
  return certified === null ? null : { stamp: certified.stamp, hash: certified.signed.hash, certified };
}

async function bringContent({ ctx }: Writer, { bucket, content, signal }: SlotWriteRequest): Promise<Brought | SlotWriteResult> {
  try {
    const placed = await placeContent(ctx, bucket.k, content, signal ?? new AbortController().signal);
    const encMeta = await fromSource(placed.encMeta);
    if (signal?.aborted === true) throw new OperationError('CANCELLED', 'The caller gave up.');
    return { placed, encMeta };
  } catch (error) {
    return rejected(error);
  }
}

/** This write's manifest for one slot. */
interface Own {
  readonly signed: SignedManifest;
  readonly prev: Uint8Array;
  readonly attempt: Attempt;
  /** Does the journal know of it? */
  isBegun: boolean;
  /** Was it sent to anyone? Then others may complete it. */
  isProposed: boolean;
}

type Step =
  | { readonly kind: 'end'; readonly result: SlotWriteResult }
  /** Try the slot again, in a higher ballot. */
  | { readonly kind: 'again' }
  /** The slot was decided for another version: go on after it. */
  | { readonly kind: 'moved'; readonly base: Predecessor };

class SlotWrite {
  readonly #writer: Writer;
  readonly #request: SlotWriteRequest;
  readonly #content: Brought;
  readonly #stageId: Uint8Array;
  readonly #voided = new Set<string>();
  /** The content, durable on q nodes: from the first ballot on, where there is one to stage. */
  #staged: Staged | null = null;
  #own: Own | null = null;
  #round = 0;
  #defeats = 0;

  constructor(writer: Writer, request: SlotWriteRequest, content: Brought) {
    this.#writer = writer;
    this.#request = request;
    this.#content = content;
    this.#stageId = writer.ctx.random.bytes(16);
  }

  async run(first: Predecessor | null): Promise<SlotWriteResult> {
    const { stages } = this.#writer;
    const name = mapKey(this.#stageId);
    stages.add(name);
    try {
      return await this.#untilOver(first);
    } finally {
      stages.delete(name);
    }
  }

  async #untilOver(first: Predecessor | null): Promise<SlotWriteResult> {
    const result = await this.#run(first);
    const isOver = result.outcome === 'declined' || result.outcome === 'rejected';
    if (this.#staged !== null && isOver) unstageLater(this.#writer.ctx, this.#staged);
    return result;
  }

  async #run(first: Predecessor | null): Promise<SlotWriteResult> {
    let base = first;
    try {
      for (let tried = 0; tried < TRIES_MAX; tried += 1) {
        const step = await this.#try(base);
        if (step.kind === 'end') return step.result;
        if (step.kind === 'moved') {
          base = step.base;
          this.#round = 0;
        }
      }
    } catch (error) {
      return this.#givenUp(error);
    }
    const message = 'Other writers of this key were faster each time.';
    return this.#givenUp(new OperationError('BUSY', message, { retryable: true }));
  }

  async #try(base: Predecessor | null): Promise<Step> {
    const { bucket, keyId, decide, signal } = this.#request;
    if (base !== null && base.stamp.gen > bucket.gen) {
      throw new OperationError('BUCKET_STALE', 'The bucket has a newer generation.', { retryable: true });
    }
    const prev = base?.hash ?? NO_VERSION;
    if (this.#own !== null && !equal(this.#own.prev, prev)) await this.#lost();
    const terms = await decide(base);
    if (terms === 'decline') return { kind: 'end', result: await this.#declined(base) };
    if (signal?.aborted === true && this.#own === null) throw new OperationError('CANCELLED', 'The caller gave up.');
    const { sessions } = this.#writer;
    const address: SlotAddress = { bucket, keyId, prev, predecessor: base };
    const ballot: OwnBallot = { gatewayId: sessions.gatewayId, ...sessions.round(keyId, prev, this.#round) };
    const { result, proposal } = this.#lacksStage
      ? { result: await this.#stage(address, ballot), proposal: null }
      : await this.#ask(address, ballot, terms);
    switch (result.kind) {
      case 'failed':
        return { kind: 'end', result: { outcome: 'rejected', ...result.why } };
      case 'decided':
        return this.#decided(result.newest);
      case 'outvoted':
        return this.#outvoted(result.round);
      case 'bucket-stale':
        return this.#bucketStale(result.record);
      case 'short':
        return this.#short(base, result.error);
      case 'promised': {
        const own = proposal ?? (result.accepted === null ? await this.#signOwn(address, ballot, terms) : null);
        return this.#propose(address, ballot, result.accepted, own);
      }
    }
  }

  get #lacksStage(): boolean {
    const { kind } = this.#content.placed;
    return this.#staged === null && (kind === 'DATA' || kind === 'TABLE');
  }

  /** Stages the content and asks for the ballot in one round: neither needs the other. The manifest names who staged it. */
  async #stage(address: SlotAddress, ballot: OwnBallot): Promise<BallotResult | StageFailure> {
    const { ctx, signer } = this.#writer;
    const request = await signBallot(signer, address, ballot);
    const beside = new BallotBeside(ctx, address, request);
    const result = await stageContent(ctx, ballot.gatewayId, this.#stageId, address, this.#content.placed, beside);
    if (result.kind === 'failed') return result;
    this.#staged = result.staged;
    return result.promised ?? askBallot(ctx, address, ballot, request, this.#voided);
  }

  /** Ballot, manifest and proposal are under one signature, which every node then checks once. */
  async #ask(
    address: SlotAddress,
    ballot: OwnBallot,
    terms: SlotTerms,
  ): Promise<{ readonly result: BallotResult; readonly proposal: SignedBody }> {
    const { ctx, signer } = this.#writer;
    const [request, proposal] = await Promise.all([signBallot(signer, address, ballot), this.#signOwn(address, ballot, terms)]);
    return { result: await askBallot(ctx, address, ballot, request, this.#voided), proposal };
  }

  /** The own manifest, and that it is proposed in the ballot. */
  async #signOwn(address: SlotAddress, ballot: OwnBallot, terms: SlotTerms): Promise<SignedBody> {
    const known = this.#own;
    const manifest = known === null ? this.#manifest(address, terms) : known.signed.manifest;
    const hash = known === null ? sha256(encodeManifest(manifest)) : known.signed.hash;
    const [proposal, signed] = await Promise.all([
      signProposal(this.#writer.signer, address, ballot, hash),
      known === null ? sign(this.#writer, manifest) : known.signed,
    ]);
    const { bucketId, keyId, stamp, opId } = manifest;
    const attempt = { opId, bucketId, keyId, stamp, manifestHash: signed.hash };
    this.#own ??= { signed, prev: address.prev, attempt, isBegun: false, isProposed: false };
    return proposal;
  }

  async #propose(
    address: SlotAddress,
    ballot: OwnBallot,
    accepted: Accepted | null,
    ownProposal: SignedBody | null,
  ): Promise<Step> {
    const { ctx, signer } = this.#writer;
    const value = accepted ?? this.#ownValue();
    const isOwn = this.#isOwn(value.signed);
    if (isOwn) await this.#begin();
    const proposal = isOwn && ownProposal !== null ? ownProposal : await signProposal(signer, address, ballot, value.signed.hash);
    const outcome = await propose(ctx, address, ballot, proposal, value);
    return this.#proposed(address, value, outcome);
  }

  async #proposed(
    { predecessor }: SlotAddress,
    { signed, inline }: Pick<Accepted, 'signed' | 'inline'>,
    outcome: PrepareOutcome,
  ): Promise<Step> {
    switch (outcome.kind) {
      case 'certified':
        if (this.#isOwn(signed)) return { kind: 'end', result: await this.#publish(outcome.certified, outcome.slots) };
        await requireHeld(this.#writer.ctx, outcome.certified, { inline, holding: outcome.slots, complete: true });
        return this.#decided(outcome.certified);
      case 'decided':
        return this.#decided(outcome.newest);
      case 'superseded':
        return this.#decided(outcome.winner);
      case 'outvoted':
        return this.#outvoted(outcome.round);
      case 'bucket-stale':
        return this.#refused(signed, stale(outcome.record));
      case 'short':
        if (outcome.isRefused) return this.#refused(signed, rejected(outcome.error));
        return this.#short(predecessor, outcome.error);
      case 'stamp-taken':
        throw new OperationError('BUSY', 'Another manifest holds the stamp or the ballot.', { retryable: true });
    }
  }

  /** Too many nodes never accept this manifest: once that is certain, the slot is free of it. */
  async #refused(signed: SignedManifest, result: SlotWriteResult): Promise<Step> {
    const { keyId, stamp } = signed.manifest;
    if (!(await ruleOut(this.#writer.ctx, keyId, stamp))) {
      return { kind: 'end', result: this.#givenUp(result.outcome === 'rejected' ? result.error : undefined) };
    }
    this.#voided.add(mapKey(signed.hash));
    if (!this.#isOwn(signed)) return { kind: 'again' };
    await this.#lost();
    return { kind: 'end', result };
  }

  /** What became of the own manifest now that this version is the newest? */
  async #decided(newest: Certified): Promise<Step> {
    const own = this.#own;
    const base = predecessorOf(newest);
    if (base === null) throw new TypeError('a certificate is a predecessor');
    const { slot } = newest.signed.manifest;
    if (own?.isProposed === true) {
      if (equal(newest.signed.hash, own.signed.hash)) return { kind: 'end', result: await this.#publish(newest, new Set()) };
      if (equal(slot?.prev ?? EMPTY, own.signed.hash)) return { kind: 'end', result: await this.#followed(own, newest) };
      if (!equal(slot?.prev ?? EMPTY, own.prev)) return { kind: 'end', result: await this.#overtaken(own) };
    }
    if (own !== null) await this.#lost();
    return { kind: 'moved', base };
  }

  async #outvoted(round: number): Promise<Step> {
    const { clock, random } = this.#writer.ctx;
    this.#round = Math.max(this.#round, round);
    const limit = Math.min(BACKOFF_MAX_MS, BACKOFF_MIN_MS * 2 ** this.#defeats);
    this.#defeats += 1;
    const [a = 0, b = 0] = random.bytes(2);
    await clock.sleep((limit * (256 * a + b)) / 65_536);
    return { kind: 'again' };
  }

  /**
   * Nodes may lag behind a version that is only believed in: then it is asked for, with its certificate. What
   * the nodes show instead may be the own manifest, which others have completed, or rest on it.
   */
  async #short(base: Predecessor | null, error: OperationError): Promise<Step> {
    const isBelief = base?.certified === null || (base === null && this.#request.predecessor === null);
    if (!isBelief || this.#defeats > 0) throw error;
    this.#defeats += 1;
    const { ctx } = this.#writer;
    const newest = await head(ctx, this.#request.keyId);
    const now = predecessorOf(newest);
    if (newest === null || now === null) throw error;
    const isStillOpen = this.#own === null || equal(this.#own.prev, now.hash);
    return isStillOpen ? { kind: 'moved', base: now } : this.#decided(newest);
  }

  async #publish(certified: Certified, holding: ReadonlySet<number>): Promise<SlotWriteResult> {
    const { ctx, journal } = this.#writer;
    const own = this.#own;
    if (own === null) throw new TypeError('a write publishes its own manifest');
    const { held, ok } = await commit(ctx, certified, {
      inline: this.#content.placed.inline,
      holding,
      complete: true,
      onHeld: () => journal.published(own.attempt, certified),
    });
    const { signed, cert, bytes } = certified;
    if (ok) return { outcome: 'committed', signed, cert, certBytes: bytes, superseded: false };
    const needed = holderCount(ctx.cluster.geometry);
    return { outcome: 'unknown', reason: `${held.size} acknowledgements of ${needed} in time`, signed };
  }

  /** Certified by someone else, and followed: q nodes held it, or nothing could have been accepted after it. */
  async #followed(own: Own, newest: Certified): Promise<SlotWriteResult> {
    await requireHeld(this.#writer.ctx, newest, {});
    await this.#writer.journal.superseded(own.attempt, own.signed, newest);
    const { cert, bytes } = newest;
    return { outcome: 'committed', signed: own.signed, cert, certBytes: bytes, superseded: true };
  }

  /**
   * The key was written several times meanwhile, and the own manifest may be among the versions between. Where
   * versions are kept it is found. Elsewhere nobody can tell: it must not be put in any place between, because
   * what was written there may rest on a condition.
   */
  async #overtaken(own: Own): Promise<SlotWriteResult> {
    const found = await headAt(this.#writer.ctx, own.attempt.keyId, own.attempt.stamp);
    if (found.kind === 'version' && equal(found.certified.signed.hash, own.signed.hash)) {
      return this.#publish(found.certified, new Set());
    }
    const reason = 'the key was written several times meanwhile';
    return { outcome: 'unknown', reason, signed: own.signed };
  }

  #manifest({ bucket, keyId, prev, predecessor }: SlotAddress, terms: SlotTerms): Manifest {
    const { placed, encMeta } = this.#content;
    const staged = this.#staged;
    const before = predecessor?.stamp;
    const stamp = this.#writer.sessions.next(keyId, bucket.gen, before?.gen === bucket.gen ? before.counter : 0);
    const stage = staged === null ? null : { id: staged.id, slots: [...staged.slots] };
    const { mode, retainUntil, legalHold } = terms.lock ?? NO_LOCK;
    return manifestOf(this.#writer, this.#request, placed, stamp, {
      encMeta: terms.encMeta ?? encMeta,
      clear: this.#request.clear ?? EMPTY,
      retainUntil,
      slot: {
        prev,
        stage,
        removes: terms.removes,
        lockMode: mode,
        legalHold,
        bypassGovernance: terms.bypassGovernance ?? false,
      },
    });
  }

  /** The attempt is durable here before any node hears of the manifest. */
  async #begin(): Promise<void> {
    const own = this.#own;
    if (own === null || own.isProposed) return;
    if (!own.isBegun) await this.#writer.journal.begin(own.attempt);
    own.isBegun = true;
    own.isProposed = true;
  }

  #ownValue(): Pick<Accepted, 'signed' | 'inline' | 'staged'> {
    if (this.#own === null) throw new TypeError('there is an own manifest');
    return { signed: this.#own.signed, inline: this.#content.placed.inline, staged: this.#staged?.receipts ?? NO_RECEIPTS };
  }

  #isOwn(signed: SignedManifest): boolean {
    return this.#own !== null && equal(this.#own.signed.hash, signed.hash);
  }

  /** The own manifest can never be certified: it is written down before another is made (I7). */
  async #lost(): Promise<void> {
    const own = this.#own;
    this.#own = null;
    if (own?.isBegun !== true) return;
    const { journal, ctx } = this.#writer;
    await journal.abandoned(own.attempt);
    ctx.background.run('settle', () => journal.settled(own.attempt));
  }

  async #declined(base: Predecessor | null): Promise<SlotWriteResult> {
    if (this.#own !== null) await this.#lost();
    return { outcome: 'declined', predecessor: base };
  }

  async #bucketStale(record: Certified): Promise<Step> {
    if (this.#own?.isProposed === true) return this.#refused(this.#own.signed, stale(record));
    if (this.#own !== null) await this.#lost();
    return { kind: 'end', result: stale(record) };
  }

  /** Certain only if nothing was proposed: others complete what they find. */
  #givenUp(error: unknown): SlotWriteResult {
    const own = this.#own;
    if (own?.isProposed !== true) {
      if (own !== null) this.#writer.ctx.background.run('abandon', () => this.#lost());
      return rejected(error);
    }
    if (!(error instanceof OperationError) && error !== undefined) throw error;
    return { outcome: 'unknown', reason: error?.message ?? 'the slot is not decided', signed: own.signed };
  }
}

function stale(record: Certified): SlotWriteResult {
  const error = new OperationError('BUCKET_STALE', 'The bucket record has changed.', { retryable: true });
  return { outcome: 'rejected', error, record };
}

const NO_LOCK: VersionLock = { mode: 'NONE', retainUntil: 0, legalHold: false };

/** Operating failures become a result; anything else is a bug and goes on up. */
function rejected(error: unknown): SlotWriteResult {
  if (error instanceof OperationError) return { outcome: 'rejected', error };
  throw error;
}
