/**
 * PREPARE (protocol 5, 6.1): asking every slot for a receipt of one manifest. It ends with q valid receipts
 * of distinct slots, which make an availability certificate, or with what stands in the way. Each refusal
 * that can be answered is: a node that lags is shown the predecessor's or the bucket record's certificate and
 * asked again.
 */
import { EMPTY, equal } from '../base/bytes.ts';
import type { OperationError } from '../base/errors.ts';
import type { Timer } from '../base/ports.ts';
import { openRootConfiguration } from '../protocol/configuration.ts';
import { SYSTEM_BUCKET_ID } from '../protocol/bucket-record.ts';
import { verifiedReceipt, verifyWriter } from '../protocol/certificate.ts';
import type { CertReceipt } from '../protocol/certificate.ts';
import { openSignedManifest, signedManifestToWire } from '../protocol/manifest.ts';
import type { SignedManifest } from '../protocol/manifest.ts';
import type { AnswerOf, RefusedAnswer, RequestOf } from '../protocol/messages.ts';
import { oneCorrect, quorumSize } from '../protocol/quorum.ts';
import type { Ballot, SignedBody } from '../protocol/slot.ts';
import { compareStamps, sameStamp } from '../protocol/stamp.ts';
import { afterPredecessor, roundOf } from './ballot.ts';
import type { SlotAddress } from './slot-address.ts';
import type { Certified } from './certificates.ts';
import type { ClientContext } from './context.ts';
import { gather } from './gather.ts';
import { noQuorum, openShown, otherConfiguration } from './query.ts';
import { shortageOf } from './upload.ts';

/** What one slot needs beside the manifest to hold its share of the content. */
export interface SlotContent {
  readonly upload: Uint8Array | null;
  readonly row: Uint8Array | null;
  readonly payload: Uint8Array;
}

export const NO_CONTENT: SlotContent = { upload: null, row: null, payload: EMPTY };

export interface PrepareRequest {
  readonly signed: SignedManifest;
  /** The slot's share, when it is ready; null: the slot was left out of the upload. */
  readonly contentOf: (slot: number) => Promise<SlotContent | null>;
  /** Certificate of the bucket record under which the manifest acts. */
  readonly record: Uint8Array | null;
  /** The highest certificate of the key that this client knows, for nodes that lag behind it. */
  readonly predecessor: Certified | null;
  /** SLOT: in which ballot it is proposed for which slot; null for PLAIN. */
  readonly slot: Proposed | null;
}

/** A manifest as it is proposed. */
export interface Proposed {
  readonly address: SlotAddress;
  readonly ballot: Ballot;
  readonly proposal: SignedBody;
  /** The receipts of its stage, encoded. */
  readonly staged: Uint8Array;
}

export type PrepareOutcome =
  /** q receipts: nobody else has them, so until it is sent the certificate exists here only. */
  | { readonly kind: 'certified'; readonly certified: Certified; readonly slots: ReadonlySet<number> }
  /** A node holds a valid certificate above this manifest. */
  | { readonly kind: 'superseded'; readonly winner: Certified }
  /** The bucket record has changed, or is not open. */
  | { readonly kind: 'bucket-stale'; readonly record: Certified }
  /** SLOT: the slot is decided. */
  | { readonly kind: 'decided'; readonly newest: Certified }
  /** SLOT: higher ballots are promised. */
  | { readonly kind: 'outvoted'; readonly round: number }
  /** Another manifest, signed with this gateway's key, holds the stamp. */
  | { readonly kind: 'stamp-taken' }
  /** Fewer than q receipts can still come. Some nodes may hold the manifest. */
  | {
      readonly kind: 'short';
      readonly error: OperationError;
      /** More than f nodes find the counter too far above what they know (P7). */
      readonly isCounterRefused: boolean;
      /** More than f nodes will never accept it. */
      readonly isRefused: boolean;
    };

/** Refusals that the same manifest meets again. */
const LASTING: ReadonlySet<string> = new Set(['BAD', 'DENIED', 'CONFLICT', 'LOCKED', 'NOT_HELD', 'EQUIVOCATION', 'REVOKED']);

/** What a slot that lags is shown beside the manifest. */
type More = Pick<RequestOf<'PREPARE'>, 'prevCert' | 'record'>;

const NOTHING_MORE: More = { prevCert: null, record: null };

/** How often one slot is answered and asked again. */
const ROUNDS_MAX = 4;

export async function prepare(ctx: ClientContext, request: PrepareRequest): Promise<PrepareOutcome> {
  const round = new PrepareRound(ctx, request);
  return round.run();
}

class PrepareRound {
  readonly #ctx: ClientContext;
  readonly #request: PrepareRequest;
  readonly #untilMs: number;
  readonly #codes: string[] = [];
  readonly #stale = new Set<number>();
  readonly #messages: RequestOf<'PREPARE'>[] = [];
  readonly #higherRounds: number[] = [];
  #hastened: Timer | undefined;
  #isStampTaken = false;
  #end: PrepareOutcome | undefined;
  #ended: () => void = () => undefined;

  constructor(ctx: ClientContext, request: PrepareRequest) {
    this.#ctx = ctx;
    this.#request = request;
    this.#untilMs = ctx.clock.monotonicMs() + ctx.deadlines.prepareMs;
  }

  async run(): Promise<PrepareOutcome> {
    const { cluster, certificates, peers, clock, deadlines } = this.#ctx;
    const { signed, slot } = this.#request;
    const ballot = slot?.ballot ?? null;
    if (slot !== null) this.#ctx.sightings.proposal(slot.proposal);
    const q = quorumSize(cluster.geometry);
    const early = new Promise<void>((resolve) => {
      this.#ended = resolve;
    });
    const timer = clock.after(deadlines.prepareMs, this.#ended);
    const receipts = new Map<number, CertReceipt>();
    let left = cluster.geometry.n;
    const ask = async (slot: number): Promise<true | null> => {
      const receipt = await this.#ask(slot);
      if (receipt === null) {
        left -= 1;
        // In a slot the silent ones are not waited for when those that refused decide.
        if (left < q && this.#request.slot !== null) this.#ended();
        return null;
      }
      receipts.set(slot, receipt);
      return true;
    };
    const gathered = gather(peers.all(), ask, (found) => found.size >= q);
    await Promise.race([gathered, early]);
    timer.cancel();
    this.#hastened?.cancel();
    // A slot that still answers is not listened to any more: its receipt stays with this round.
    const taken = new Map(receipts);
    let outcome = this.#end;
    if (taken.size >= q) {
      const certified = certificates.own({ signed, ballot, receipts: [...taken.values()] });
      outcome = { kind: 'certified', certified, slots: new Set(taken.keys()) };
    }
    outcome ??= this.#short(taken.size, q);
    this.#end = outcome;
    gathered.catch(() => undefined);
    return outcome;
  }

  async #ask(slot: number): Promise<CertReceipt | null> {
    const content = await this.#request.contentOf(slot);
    if (content === null) return null;
    let more = NOTHING_MORE;
    for (let round = 0; round < ROUNDS_MAX && this.#isWanted(); round += 1) {
      const result = await this.#ctx.peers.persist(
        slot,
        this.#message(content, more),
        content.payload,
        this.#untilMs,
        () => this.#isWanted(),
      );
      if (result.kind === 'answer') return this.#end === undefined ? this.#receipt(slot, result.answer) : null;
      if (result.kind !== 'refused') return null;
      const next = this.#refused(slot, result.refused, more);
      if (next === null) return null;
      more = next;
    }
    return null;
  }

  /**
   * Until the round has failed. A slot that is late for the certificate is still asked, so that it gets its
   * fragment; its receipt is not needed any more.
   */
  #isWanted(): boolean {
    return this.#end === undefined || this.#end.kind === 'certified';
  }

  /** The same object for all slots that are told the same, so that it is encoded once. */
  #message({ upload, row }: SlotContent, more: More): RequestOf<'PREPARE'> {
    const isSame = (m: RequestOf<'PREPARE'>): boolean => m.upload === upload && m.row === row;
    const known = more === NOTHING_MORE ? this.#messages.find(isSame) : undefined;
    if (known !== undefined) return known;
    const manifest = signedManifestToWire(this.#request.signed);
    const { slot } = this.#request;
    const bare = { t: 'PREPARE' as const, manifest, upload, row, ...more };
    const message: RequestOf<'PREPARE'> =
      slot === null ? bare : { ...bare, slot: { proposal: slot.proposal, staged: slot.staged } };
    if (more === NOTHING_MORE) this.#messages.push(message);
    return message;
  }

  #receipt(slot: number, answer: AnswerOf<'PREPARE'>): CertReceipt | null {
    const receipt = { slot, ...answer };
    const { signed, slot: proposed } = this.#request;
    const made = { signed, ballot: proposed?.ballot ?? null };
    const body = verifiedReceipt(this.#ctx.cluster, this.#ctx.verifier, made, receipt);
    if (body !== null) {
      this.#ctx.promises.place(slot, receipt.logIndex, { purpose: 'receipt', body, proof: receipt.proof });
      this.#ctx.sightings.receipt(made, receipt);
      return receipt;
    }
    this.#ctx.peers.suspect(slot, 'BAD_RECEIPT', 'the receipt does not verify');
    return null;
  }

  /** What to send along next, or null when this slot gives no receipt. */
  #refused(
    slot: number,
    refused: RefusedAnswer,
    sent: More,
  ): More | null {
    const { record, predecessor } = this.#request;
    this.#codes.push(refused.code);
    switch (refused.code) {
      case 'SUPERSEDED':
        this.#superseded(slot, refused);
        return null;
      case 'COUNTER':
        if (predecessor === null || sent.prevCert !== null) return null;
        return { ...sent, prevCert: predecessor.bytes };
      case 'BUCKET_UNKNOWN':
        return record === null || sent.record !== null ? null : { ...sent, record };
      case 'BUCKET_STALE':
        this.#bucketStale(slot, refused);
        return null;
      case 'CONFIG_STALE':
        this.#configStale(slot, refused);
        return null;
      case 'EQUIVOCATION':
        this.#equivocation(slot, refused);
        return null;
      case 'PREDECESSOR':
        return this.#predecessor(slot, refused, sent);
      case 'BALLOT':
        this.#beaten(slot, refused);
        return null;
      case 'BAD':
      case 'DENIED':
      case 'BUSY':
      case 'CONFLICT':
      case 'LOCKED':
      case 'NOT_HELD':
      case 'HOLE':
      case 'FULL':
      case 'LOST':
      case 'REVOKED':
        return null;
    }
  }

  #superseded(slot: number, { cert }: RefusedAnswer): void {
    const { manifest } = this.#request.signed;
    const shown = cert === null ? undefined : openShown(this.#ctx, slot, manifest.keyId, cert);
    if (shown !== undefined && compareStamps(shown.stamp, manifest.stamp) > 0) {
      this.#conclude({ kind: 'superseded', winner: shown });
    } else {
      this.#ctx.peers.suspect(slot, 'BAD_REFUSAL', 'SUPERSEDED without a higher certificate');
    }
  }

  #predecessor(slot: number, refused: RefusedAnswer, sent: More): More | null {
    const { slot: proposed } = this.#request;
    if (proposed === null) return null;
    const next = afterPredecessor(this.#ctx, proposed.address, slot, refused, sent);
    if (next === null || !('end' in next)) return next;
    this.#conclude(next.end);
    return null;
  }

  #beaten(slot: number, refused: RefusedAnswer): void {
    const { slot: proposed } = this.#request;
    const round = proposed === null ? null : roundOf(this.#ctx, proposed.address, slot, refused, proposed.ballot);
    if (round === null) return;
    this.#higherRounds.push(round);
    const { clock, deadlines } = this.#ctx;
    // Another ballot is ahead: the silent ones are hardly worth the time.
    this.#hastened ??= clock.after(deadlines.hedgeMaxMs, this.#ended);
  }

  #bucketStale(slot: number, { cert }: RefusedAnswer): void {
    const { manifest } = this.#request.signed;
    const shown = cert === null ? undefined : openShown(this.#ctx, slot, manifest.bucketId, cert);
    const isRecord = shown !== undefined && equal(shown.signed.manifest.bucketId, SYSTEM_BUCKET_ID);
    // An equal stamp is right when that very record is not open.
    if (isRecord && compareStamps(shown.stamp, manifest.bucketStamp) >= 0) {
      this.#conclude({ kind: 'bucket-stale', record: shown });
    } else {
      this.#ctx.peers.suspect(slot, 'BAD_REFUSAL', 'BUCKET_STALE without a newer record');
    }
  }

  #configStale(slot: number, { document }: RefusedAnswer): void {
    const { cluster, peers, sightings } = this.#ctx;
    if (document !== null) sightings.configuration(document);
    const opened = document === null ? undefined : openRootConfiguration(document);
    if (opened?.ok === true && equal(opened.cluster.hash, cluster.hash)) {
      peers.suspect(slot, 'BAD_REFUSAL', 'CONFIG_STALE with the configuration that this client has');
      return;
    }
    this.#stale.add(slot);
    if (this.#stale.size < oneCorrect(cluster.geometry)) return;
    const error = otherConfiguration(this.#stale.size);
    this.#conclude({ kind: 'short', error, isCounterRefused: false, isRefused: false });
  }

  #equivocation(slot: number, refused: RefusedAnswer): void {
    const { cluster, verifier, peers, accuse } = this.#ctx;
    const { signed } = this.#request;
    const opened = refused.manifest === null ? undefined : openSignedManifest(refused.manifest);
    const other = opened?.ok === true ? opened.value : undefined;
    const contradicts =
      other !== undefined &&
      equal(other.manifest.keyId, signed.manifest.keyId) &&
      sameStamp(other.manifest.stamp, signed.manifest.stamp) &&
      !equal(other.hash, signed.hash) &&
      verifyWriter(cluster, verifier, other);
    if (!contradicts) {
      peers.suspect(slot, 'BAD_REFUSAL', 'EQUIVOCATION without a second manifest');
      return;
    }
    // This process uses a stamp once: someone else signs with its key.
    this.#isStampTaken = true;
    accuse({ type: 'E1', manifests: [signedManifestToWire(signed), signedManifestToWire(other)] });
  }

  #conclude(outcome: PrepareOutcome): void {
    this.#end ??= outcome;
    this.#ended();
  }

  #short(receipts: number, q: number): PrepareOutcome {
    if (this.#isStampTaken) return { kind: 'stamp-taken' };
    if (this.#higherRounds.length > 0) return { kind: 'outvoted', round: Math.max(...this.#higherRounds) };
    const { f } = this.#ctx.cluster.geometry;
    const isCounterRefused = this.#codes.filter((code) => code === 'COUNTER').length > f;
    const isRefused = this.#codes.filter((code) => LASTING.has(code)).length > f;
    const error = shortageOf(this.#codes, f, () => noQuorum(receipts, q, 'receipts'));
    return { kind: 'short', error, isCounterRefused, isRefused };
  }
}
