/**
 * The n storage nodes as this client sees them: one channel to each address of a slot, typed requests, and
 * how each slot behaves (latency, failures). A call never throws for what a peer or the network does: it
 * returns a verdict, because callers count verdicts toward quorums. What an answer says is for the caller to
 * verify.
 */
import { assert, AssertionError } from '../base/assert.ts';
import { hex } from '../base/bytes.ts';
import { OperationError } from '../base/errors.ts';
import type { Channel, Clock, Frame, Telemetry, Transport } from '../base/ports.ts';
import type { Cluster, SlotConfig } from '../protocol/configuration.ts';
import type { SignedAnswer } from '../evidence/evidence.ts';
import { decodeAnswer, encodeRequest } from '../protocol/messages.ts';
import type { AnswerOf, RefusedAnswer, Request, RequestType } from '../protocol/messages.ts';
import type { Deadlines } from './deadlines.ts';
import { OwedReplies } from './owed-replies.ts';
import { Suspicions } from './suspicions.ts';

export type CallResult<T extends RequestType> =
  | {
      readonly kind: 'answer';
      readonly answer: AnswerOf<T>;
      readonly payload: Uint8Array;
      /** Hands the answer on with the node's signature, once that comes (13.5). Does nothing where none is owed. */
      readonly whenSigned: (take: (signed: SignedAnswer) => void) => void;
    }
  | { readonly kind: 'refused'; readonly refused: RefusedAnswer }
  | { readonly kind: 'malformed'; readonly reason: string }
  | { readonly kind: 'failed'; readonly error: OperationError };

export interface SlotHealth {
  readonly slot: number;
  /** Smoothed time of its answers to reads; undefined before the first. */
  readonly latencyMs: number | undefined;
  readonly consecutiveFailures: number;
  /** Code of the last failure, until the next answer. */
  readonly lastError: string | undefined;
}

/** Weight of the newest latency in the smoothed one. */
const LATENCY_WEIGHT = 0.2;
/** A parity cell costs a decoding, so a data slot wins unless it is slower by more than this. */
const PARITY_PENALTY_MS = 2;
/** Only these say how fast a slot answers a reader; others wait for its disk. */
const MEASURED: ReadonlySet<RequestType> = new Set(['QUERY', 'FETCH', 'BODY']);
/** Answers that come without a signature of their own, which the node then owes (13.5). */
const OWED: ReadonlySet<RequestType> = new Set(['QUERY', 'FETCH']);

interface Slot {
  readonly config: SlotConfig;
  readonly channels: Channel[];
  /** Index of the address that worked last. */
  current: number;
  latencyMs: number | undefined;
  failures: number;
  lastError: string | undefined;
}

export class Peers {
  readonly #slots: readonly Slot[];
  readonly #clock: Clock;
  readonly #telemetry: Telemetry;
  readonly #deadlines: Deadlines;
  /** Encoded requests: one that goes to n slots as the same object is encoded once. */
  readonly #encoded = new WeakMap<Request, Uint8Array>();
  readonly suspicions: Suspicions;
  readonly #owed: OwedReplies;

  constructor(
    cluster: Cluster,
    transport: Transport,
    clock: Clock,
    telemetry: Telemetry,
    deadlines: Deadlines,
  ) {
    this.#clock = clock;
    this.#telemetry = telemetry;
    this.#deadlines = deadlines;
    this.suspicions = new Suspicions(clock, telemetry);
    this.#slots = cluster.slots.map((config) => ({
      config,
      channels: config.addresses.map((address) => transport.open(address, hex(config.tlsKey))),
      current: 0,
      latencyMs: undefined,
      failures: 0,
      lastError: undefined,
    }));
    this.#owed = new OwedReplies(cluster, clock, (slot, detail) => this.suspect(slot, 'UNSIGNED_ANSWERS', detail));
    for (const [slot, { channels }] of this.#slots.entries()) {
      for (const channel of channels) channel.onNotice((frame, connection) => this.#owed.noticed(slot, connection, frame));
    }
  }

  /** All slots, 0 to n-1. */
  all(): readonly number[] {
    return this.#slots.map((_, slot) => slot);
  }

  /**
   * One request to one slot; the request must not be changed afterwards. An address that cannot be connected
   * to is passed over for the next one of the slot: nothing was sent, so nothing can happen twice.
   */
  async call<R extends Request>(
    slot: number,
    request: R,
    payload: Uint8Array,
    timeoutMs: number,
    signal?: AbortSignal,
  ): Promise<CallResult<R['t']>> {
    const peer = this.#slot(slot);
    const frame: Frame = { body: this.#encode(request), payload };
    const startMs = this.#clock.monotonicMs();
    let answered: Frame;
    try {
      answered = await this.#send(peer, frame, startMs + Math.max(1, timeoutMs), signal);
    } catch (error) {
      return { kind: 'failed', error: this.#failed(peer, slot, request.t, error) };
    }
    peer.failures = 0;
    peer.lastError = undefined;
    if (MEASURED.has(request.t)) this.#measure(peer, this.#clock.monotonicMs() - startMs);
    const parsed = decodeAnswer<R['t']>(request.t, answered.body);
    if (parsed.kind === 'answer') {
      const { payload } = answered;
      // A refusal carries its own signature where one is needed.
      const whenSigned = OWED.has(request.t) ? this.#owedFor(slot, peer, frame, answered) : () => undefined;
      return { ...parsed, payload, whenSigned };
    }
    if (parsed.kind === 'malformed') this.suspect(slot, 'MALFORMED', `${request.t}: ${parsed.reason}`);
    return parsed;
  }

  #owedFor(slot: number, peer: Slot, { body: request }: Frame, { body: answer }: Frame) {
    const connection = peer.channels[peer.current]?.connection ?? 0;
    this.#owed.answered(slot, connection, request, answer);
    return (take: (signed: SignedAnswer) => void): void =>
      this.#owed.prove(slot, connection, request, answer, (proof) => take({ request, answer, proof }));
  }

  /**
   * As `call`, again and again with growing pauses while the slot cannot be reached or is BUSY, `untilMs`
   * (monotonic) is not over and `wanted` says that the answer is still of use. Only for requests that may
   * arrive twice.
   */
  async persist<R extends Request>(
    slot: number,
    request: R,
    payload: Uint8Array,
    untilMs: number,
    wanted: () => boolean = () => true,
    signal?: AbortSignal,
  ): Promise<CallResult<R['t']>> {
    let pauseMs = this.#deadlines.retryMinMs;
    for (;;) {
      const result = await this.call(slot, request, payload, untilMs - this.#clock.monotonicMs(), signal);
      if (!isTransient(result) || signal?.aborted === true) return result;
      if (!wanted() || this.#clock.monotonicMs() + pauseMs >= untilMs) return result;
      await this.#clock.sleep(pauseMs);
      if (!wanted()) return result;
      pauseMs = Math.min(2 * pauseMs, this.#deadlines.retryMaxMs);
    }
  }

  suspect(slot: number, kind: Parameters<Suspicions['add']>[1], detail: string): void {
    this.suspicions.add(slot, kind, detail);
  }

  health(): readonly SlotHealth[] {
    return this.#slots.map(({ latencyMs, failures, lastError }, slot) => ({
      slot,
      latencyMs,
      consecutiveFailures: failures,
      lastError,
    }));
  }

  /**
   * Slots in the order in which a reader of cells with this k should ask them: reachable, unsuspected, fast,
   * data before parity.
   */
  preferred(k: number): readonly number[] {
    const cost = (slot: number): readonly [number, number] => {
      const peer = this.#slot(slot);
      const penalty = (peer.failures > 0 ? 2 : 0) + (this.suspicions.isSuspect(slot) ? 1 : 0);
      return [penalty, (peer.latencyMs ?? 0) + (slot < k ? 0 : PARITY_PENALTY_MS)];
    };
    const costs = this.#slots.map((_, slot) => ({ slot, cost: cost(slot) }));
    costs.sort((a, b) => a.cost[0] - b.cost[0] || a.cost[1] - b.cost[1] || a.slot - b.slot);
    return costs.map(({ slot }) => slot);
  }

  /**
   * How long to wait for the slots asked so far before one more is asked: some times the usual answer of the
   * slower half.
   */
  hedgeMs(): number {
    const known = this.#slots.flatMap(({ latencyMs }) => (latencyMs === undefined ? [] : [latencyMs]));
    const median = known.sort((a, b) => a - b)[Math.floor(known.length / 2)] ?? this.#deadlines.hedgeMaxMs;
    const { hedgeFactor, hedgeMinMs, hedgeMaxMs } = this.#deadlines;
    return Math.min(hedgeMaxMs, Math.max(hedgeMinMs, hedgeFactor * median));
  }

  async close(): Promise<void> {
    await Promise.all(this.#slots.flatMap(({ channels }) => channels.map((channel) => channel.close())));
  }

  #encode(request: Request): Uint8Array {
    const known = this.#encoded.get(request);
    if (known !== undefined) return known;
    const body = encodeRequest(request);
    this.#encoded.set(request, body);
    return body;
  }

  async #send(peer: Slot, frame: Frame, untilMs: number, signal: AbortSignal | undefined): Promise<Frame> {
    for (let tried = 1; ; tried += 1) {
      const channel = peer.channels[peer.current];
      assert(channel !== undefined, 'a slot has an address');
      const timeoutMs = Math.max(1, untilMs - this.#clock.monotonicMs());
      try {
        return await channel.request(frame, signal === undefined ? { timeoutMs } : { timeoutMs, signal });
      } catch (error) {
        const unsent = error instanceof OperationError && error.code === 'UNREACHABLE';
        if (!unsent) throw error;
        peer.current = (peer.current + 1) % peer.channels.length;
        if (tried >= peer.channels.length || this.#clock.monotonicMs() >= untilMs) throw error;
      }
    }
  }

  #failed(peer: Slot, slot: number, type: RequestType, error: unknown): OperationError {
    if (error instanceof AssertionError) throw error;
    const failure =
      error instanceof OperationError
        ? error
        : new OperationError('DISCONNECTED', 'The connection failed.', { retryable: true, cause: error });
    // What the caller gave up says nothing about the slot.
    if (failure.code === 'CANCELLED') return failure;
    peer.failures += 1;
    peer.lastError = failure.code;
    const labels = { slot: String(slot), type, code: failure.code };
    this.#telemetry.count('holdfast_client_call_failures_total', labels);
    return failure;
  }

  #measure(peer: Slot, tookMs: number): void {
    const known = peer.latencyMs ?? tookMs;
    peer.latencyMs = known + LATENCY_WEIGHT * (tookMs - known);
  }

  #slot(slot: number): Slot {
    const found = this.#slots[slot];
    assert(found !== undefined, 'the slot is one of the cluster');
    return found;
  }
}

/** May the same request succeed a little later? */
function isTransient<T extends RequestType>(result: CallResult<T>): boolean {
  if (result.kind === 'refused') return result.refused.code === 'BUSY';
  if (result.kind !== 'failed') return false;
  const { code } = result.error;
  return code === 'UNREACHABLE' || code === 'DISCONNECTED' || code === 'BUSY';
}
