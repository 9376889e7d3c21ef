/**
 * How handlers answer: a frame, or a refusal that becomes one. A handler throws `Refused` where the protocol
 * says "refuse"; anything else that it throws is the node's own failure and stays inside.
 */
import { EMPTY } from '../base/bytes.ts';
import type { Frame } from '../base/ports.ts';
import type { RefusalCode } from '../protocol/predicates.ts';
import { encodeAnswer, encodeRefused, refusedMap } from '../protocol/messages.ts';
import type { AnswerOf, RefusedAnswer, RefusedMap, RequestType } from '../protocol/messages.ts';

export class Refused extends Error {
  readonly answer: Pick<RefusedAnswer, 'code' | 'reason'> & Partial<RefusedAnswer>;

  constructor(code: RefusalCode, reason: string, shown: Partial<RefusedAnswer> = {}) {
    super(`${code}: ${reason}`);
    this.answer = { ...shown, code, reason: reason.slice(0, 500) };
  }

  toFrame(): Frame {
    return { body: encodeRefused(this.answer), payload: EMPTY };
  }

  /** As a part of another answer. */
  toMap(): RefusedMap {
    return refusedMap(this.answer);
  }
}

export function reply<T extends RequestType>(type: T, answer: AnswerOf<T>, payload: Uint8Array = EMPTY): Frame {
  return { body: encodeAnswer(type, answer), payload };
}
