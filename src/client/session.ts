/**
 * One writer session of this process (protocol 13.1, 6.2): a writerId that is new at each start, and the
 * highest counter used for each key. A stamp is used for one manifest only, also when that write was given
 * up: two manifests under one stamp would be proof of misbehaviour against this very gateway (E1).
 */
import { mapKey } from '../base/bytes.ts';
import type { Random } from '../base/ports.ts';
import { writerIdOf } from '../protocol/stamp.ts';
import type { Stamp } from '../protocol/stamp.ts';

/**
 * Keys and slots remembered by one session. When it is full a new session begins, whose stamps cannot collide with old
 * ones.
 */
const KEYS_MAX = 65_536;

export interface SessionStamp {
  readonly stamp: Stamp;
  readonly sessionNonce: Uint8Array;
}

export class WriterSessions {
  readonly gatewayId: Uint8Array;
  readonly #random: Random;
  readonly #keysMax: number;
  readonly #used = new Map<string, number>();
  #nonce: Uint8Array;
  #writerId: Uint8Array;

  constructor(gatewayId: Uint8Array, random: Random, keysMax: number = KEYS_MAX) {
    this.gatewayId = gatewayId;
    this.#random = random;
    this.#keysMax = keysMax;
    this.#nonce = random.bytes(16);
    this.#writerId = writerIdOf(gatewayId, this.#nonce);
  }

  /** A stamp above `counter` of generation `gen` that this gateway has never used. */
  next(keyId: Uint8Array, gen: number, counter: number): SessionStamp {
    const name = `${gen} ${mapKey(keyId)}`;
    if (this.#used.size >= this.#keysMax && !this.#used.has(name)) this.#renew();
    const next = Math.max(counter, this.#used.get(name) ?? 0) + 1;
    this.#used.set(name, next);
    return { stamp: { gen, counter: next, writerId: this.#writerId }, sessionNonce: this.#nonce };
  }

  /** A round of a slot above `above` that this session has never used: it proposes one manifest in a ballot. */
  round(keyId: Uint8Array, prev: Uint8Array, above: number): { readonly round: number; readonly sessionNonce: Uint8Array } {
    const name = `slot ${mapKey(keyId)}${mapKey(prev)}`;
    if (this.#used.size >= this.#keysMax && !this.#used.has(name)) this.#renew();
    const round = Math.max(above, this.#used.get(name) ?? 0) + 1;
    this.#used.set(name, round);
    return { round, sessionNonce: this.#nonce };
  }

  #renew(): void {
    this.#nonce = this.#random.bytes(16);
    this.#writerId = writerIdOf(this.gatewayId, this.#nonce);
    this.#used.clear();
  }
}
