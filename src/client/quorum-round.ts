/**
 * One question to all slots that ends at q good answers, or at what stands in the way: the shape of STAGE and
 * PROMISE. Refusals that any writer's question can meet are understood here: a node that lacks the bucket's
 * record is given it, a newer record or another configuration ends the round.
 */
import { equal } from '../base/bytes.ts';
import type { OperationError } from '../base/errors.ts';
import type { Timer } from '../base/ports.ts';
import { SYSTEM_BUCKET_ID } from '../protocol/bucket-record.ts';
import { openRootConfiguration } from '../protocol/configuration.ts';
import type { AnswerOf, RefusedAnswer, RequestOf, RequestType } from '../protocol/messages.ts';
import { oneCorrect, quorumSize } from '../protocol/quorum.ts';
import { compareStamps } from '../protocol/stamp.ts';
import type { Stamp } from '../protocol/stamp.ts';
import type { Certified } from './certificates.ts';
import type { ClientContext } from './context.ts';
import { gather } from './gather.ts';
import { noQuorum, openShown, otherConfiguration } from './query.ts';
import { shortageOf } from './upload.ts';

/** What a node that lags is shown beside the question. */
export interface More {
  readonly prevCert: Uint8Array | null;
  readonly record: Uint8Array | null;
}

const NOTHING_MORE: More = { prevCert: null, record: null };

/** How often one slot is answered and asked again. */
const ROUNDS_MAX = 4;

export interface Question<T extends RequestType, A, E> {
  /** The bucket acted in, as the writer knows it. */
  readonly bucketId: Uint8Array;
  readonly bucketStamp: Stamp;
  readonly record: Uint8Array | null;
  /** Null: the slot is not asked. */
  readonly message: (
    slot: number,
    more: More,
  ) => Promise<{ readonly request: RequestOf<T>; readonly payload: Uint8Array } | null>;
  /** Null: the answer does not count. */
  readonly answered: (slot: number, answer: AnswerOf<T>, payload: Uint8Array) => A | null;
  /** A refusal of the question's own kind. */
  readonly refused: (slot: number, refused: RefusedAnswer, sent: More) => More | { readonly end: E } | null;
  readonly untilMs: number;
  /** What the missing answers are, in words. */
  readonly wanted: string;
  /** Are slots still asked after the round has its q? */
  readonly goesOn: boolean;
}

export type RoundResult<A, E> =
  | { readonly kind: 'quorum'; readonly found: ReadonlyMap<number, A> }
  | { readonly kind: 'ended'; readonly end: E }
  | { readonly kind: 'bucket-stale'; readonly record: Certified }
  | { readonly kind: 'short'; readonly error: OperationError };

export async function askQuorum<T extends RequestType, A, E>(
  ctx: ClientContext,
  question: Question<T, A, E>,
): Promise<RoundResult<A, E>> {
  return new Round(ctx, question).run();
}

class Round<T extends RequestType, A, E> {
  readonly #ctx: ClientContext;
  readonly #question: Question<T, A, E>;
  readonly #codes: string[] = [];
  readonly #stale = new Set<number>();
  #end: RoundResult<A, E> | undefined;
  #hastened: Timer | undefined;
  #ended: () => void = () => undefined;

  constructor(ctx: ClientContext, question: Question<T, A, E>) {
    this.#ctx = ctx;
    this.#question = question;
  }

  async run(): Promise<RoundResult<A, E>> {
    const { cluster, peers, clock } = this.#ctx;
    const { untilMs, wanted } = this.#question;
    const q = quorumSize(cluster.geometry);
    const early = new Promise<void>((resolve) => {
      this.#ended = resolve;
    });
    const timer = clock.after(Math.max(0, untilMs - clock.monotonicMs()), this.#ended);
    let left = cluster.geometry.n;
    const ask = async (slot: number): Promise<A | null> => {
      const answer = await this.#ask(slot);
      if (answer === null) left -= 1;
      // The silent ones cannot make up for those that refused.
      if (left < q) this.#ended();
      return answer;
    };
    const gathered = gather(peers.all(), ask, (found) => found.size >= q);
    const found = await Promise.race([gathered, early.then(() => null)]);
    timer.cancel();
    this.#hastened?.cancel();
    gathered.catch(() => undefined);
    const { f } = cluster.geometry;
    const count = found?.found.size ?? 0;
    this.#end ??=
      found?.enough === true
        ? { kind: 'quorum', found: new Map(found.found) }
        : { kind: 'short', error: shortageOf(this.#codes, f, () => noQuorum(count, q, wanted)) };
    return this.#end;
  }

  /** A slot that is late for the quorum is still asked where the question goes on. */
  #isWanted(): boolean {
    return this.#end === undefined || (this.#end.kind === 'quorum' && this.#question.goesOn);
  }

  async #ask(slot: number): Promise<A | null> {
    const { untilMs, message, answered } = this.#question;
    let more = NOTHING_MORE;
    for (let round = 0; round < ROUNDS_MAX && this.#isWanted(); round += 1) {
      const asked = await message(slot, more);
      if (asked === null) return null;
      const wanted = (): boolean => this.#isWanted();
      const result = await this.#ctx.peers.persist(slot, asked.request, asked.payload, untilMs, wanted);
      if (result.kind === 'answer') return answered(slot, result.answer as AnswerOf<T>, result.payload);
      if (result.kind !== 'refused') return null;
      const next = this.#refused(slot, result.refused, more);
      if (next === null) return null;
      more = next;
    }
    return null;
  }

  #refused(slot: number, refused: RefusedAnswer, sent: More): More | null {
    this.#codes.push(refused.code);
    const { record } = this.#question;
    if (refused.code === 'BUCKET_UNKNOWN') {
      return record === null || sent.record !== null ? null : { ...sent, record };
    }
    if (refused.code === 'BUCKET_STALE') this.#bucketStale(slot, refused);
    else if (refused.code === 'CONFIG_STALE') this.#configStale(slot, refused);
    else {
      // Another ballot is ahead: the silent ones are hardly worth the time.
      if (refused.code === 'BALLOT') this.#hasten();
      const next = this.#question.refused(slot, refused, sent);
      if (next === null || !('end' in next)) return next;
      this.#conclude({ kind: 'ended', end: next.end });
    }
    return null;
  }

  #hasten(): void {
    const { clock, deadlines } = this.#ctx;
    this.#hastened ??= clock.after(deadlines.hedgeMaxMs, this.#ended);
  }

  #bucketStale(slot: number, { cert }: RefusedAnswer): void {
    const { bucketId, bucketStamp } = this.#question;
    const shown = cert === null ? undefined : openShown(this.#ctx, slot, bucketId, cert);
    const isRecord = shown !== undefined && equal(shown.signed.manifest.bucketId, SYSTEM_BUCKET_ID);
    // An equal stamp is right when that very record is not open.
    if (isRecord && compareStamps(shown.stamp, bucketStamp) >= 0) this.#conclude({ kind: 'bucket-stale', record: shown });
    else this.#ctx.peers.suspect(slot, 'BAD_REFUSAL', 'BUCKET_STALE without a newer record');
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
    this.#conclude({ kind: 'short', error: otherConfiguration(this.#stale.size) });
  }

  #conclude(end: RoundResult<A, E>): void {
    this.#end ??= end;
    this.#ended();
  }
}
