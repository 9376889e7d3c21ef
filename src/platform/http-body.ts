/**
 * The body of an incoming HTTP request as an async iterable. Pieces are handed on without copying; the socket
 * is paused while more than a few pieces wait. A connection that ends early rejects with DISCONNECTED. What
 * the handler left unread is let pass for a while after the answer, because closing at once would make the
 * client's system throw the answer away; then the connection is cut.
 */
import type { IncomingMessage } from 'node:http';
import { OperationError } from '../base/errors.ts';

/** Above this much waiting, the socket is paused; below, it flows. */
const WAITING_BYTES_MAX = 256 * 1024;

interface Waiter {
  readonly resolve: (result: IteratorResult<Uint8Array>) => void;
  readonly reject: (error: unknown) => void;
}

const DONE = { done: true, value: undefined } as const;

export class IncomingBody implements AsyncIterable<Uint8Array>, AsyncIterator<Uint8Array> {
  readonly #message: IncomingMessage;
  /** Tells the client to send its body; undefined when it does so unasked, or was told. */
  #invite: (() => void) | undefined;
  #state: 'unread' | 'reading' | 'left' = 'unread';
  #outcome: 'open' | 'ended' | 'broken' = 'open';
  readonly #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #waiter: Waiter | undefined;

  constructor(message: IncomingMessage, invite: (() => void) | undefined) {
    this.#message = message;
    this.#invite = invite;
    message.on('error', () => this.#settle('broken'));
    message.on('close', () => this.#settle(message.complete ? 'ended' : 'broken'));
  }

  /** Is the client still waiting to be told to send its body? */
  get withheld(): boolean {
    return this.#invite !== undefined;
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    return this;
  }

  next(): Promise<IteratorResult<Uint8Array>> {
    if (this.#state === 'unread') this.#begin();
    return new Promise((resolve, reject) => {
      this.#waiter = { resolve, reject };
      this.#serve();
    });
  }

  return(): Promise<IteratorResult<Uint8Array>> {
    this.#leave();
    return Promise.resolve(DONE);
  }

  #begin(): void {
    this.#state = 'reading';
    this.#invite?.();
    this.#invite = undefined;
    this.#message.on('data', this.#onData);
    this.#message.on('end', () => this.#settle('ended'));
  }

  readonly #onData = (piece: Uint8Array): void => {
    this.#waiting.push(piece);
    this.#waitingBytes += piece.length;
    if (this.#waitingBytes > WAITING_BYTES_MAX) this.#message.pause();
    this.#serve();
  };

  #settle(outcome: 'ended' | 'broken'): void {
    if (this.#outcome === 'open') this.#outcome = outcome;
    this.#serve();
  }

  #serve(): void {
    const waiter = this.#waiter;
    if (waiter === undefined) return;
    const piece = this.#waiting.shift();
    if (piece === undefined && this.#outcome === 'open' && this.#state === 'reading') return;
    this.#waiter = undefined;
    if (piece !== undefined) {
      this.#waitingBytes -= piece.length;
      if (this.#message.isPaused() && this.#waitingBytes <= WAITING_BYTES_MAX) this.#message.resume();
      waiter.resolve({ done: false, value: piece });
    } else if (this.#outcome === 'broken') {
      waiter.reject(new OperationError('DISCONNECTED', 'the client went away before its body ended'));
    } else waiter.resolve(DONE);
  }

  /** The handler wants no more: what arrives is dropped. */
  #leave(): void {
    if (this.#state === 'left') return;
    this.#state = 'left';
    this.#message.off('data', this.#onData);
    this.#waiting.length = 0;
    this.#waitingBytes = 0;
    this.#message.pause();
    this.#serve();
  }

  /** Call once the answer is written: drops at most `bytesMax` more bytes for at most `ms`, then cuts. */
  linger(bytesMax: number, ms: number): void {
    const message = this.#message;
    this.#leave();
    if (this.withheld || message.destroyed) return;
    if (message.complete) {
      message.resume();
      return;
    }
    let left = bytesMax;
    const cut = setTimeout(() => message.socket.destroy(), ms);
    cut.unref();
    message.on('data', (piece: Uint8Array) => {
      left -= piece.length;
      if (left < 0) message.socket.destroy();
    });
    message.once('end', () => clearTimeout(cut));
    message.once('close', () => clearTimeout(cut));
    message.resume();
  }
}
