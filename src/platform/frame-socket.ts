/**
 * One established TLS connection as a stream of frames; both the channel (tls-transport.ts) and the
 * listener (tls-listener.ts) stand on it. It batches what is sent in one turn of the event loop into few
 * writes, hands received frames up one at a time, can be held (then the socket is not read, so the other
 * end feels it), and closes the connection on a malformed byte, on a frame that trickles, on unsent bytes
 * that nobody takes, and on silence. It is made only after the other end's key was verified.
 */
import type { TLSSocket } from 'node:tls';
import type { TransportLimits } from '../base/limits.ts';
import type { Clock, Frame } from '../base/ports.ts';
import { FrameParser, PREFACE, frameBytes, writeHeader } from './frames.ts';
import type { FrameFault, FrameKind, WireFrame } from './frames.ts';

/** Why a connection ended, for counters and for the text of errors. */
export type CloseReason =
  | { readonly why: 'bad_frame'; readonly fault: FrameFault | 'order' }
  | { readonly why: 'ended' | 'socket_error' | 'closed' | 'idle' | 'silent' | 'superseded' | 'foreign_peer' }
  | { readonly why: 'handshake_timeout' | 'frame_timeout' | 'write_stall' | 'unsent_bytes' };

export interface FrameSocketOptions {
  readonly socket: TLSSocket;
  /** Kinds of frame that the other end may send. */
  readonly accepts: readonly FrameKind[];
  readonly limits: TransportLimits;
  readonly clock: Clock;
  /** The other end has greeted; called once, before any frame. */
  readonly onGreeting: () => void;
  readonly onFrame: (frame: WireFrame) => void;
  /** Unsent bytes have left; look again whether to hold or to send. */
  readonly onDrain: () => void;
  readonly onClose: (reason: CloseReason) => void;
}

/** Frames up to this size are copied together; the payload of a larger one is written as it is. */
const COALESCE_BYTES_MAX = 16 * 1024;
/** Size of the arrays that small frames are gathered in. */
const BATCH_BYTES = 64 * 1024;

export class FrameSocket {
  readonly #socket: TLSSocket;
  readonly #options: FrameSocketOptions;
  readonly #parser: FrameParser;
  readonly #openedAt: number;
  #greeted = false;
  #held = false;
  #pumping = false;
  #closed = false;
  #ending = false;
  /** What was sent in this turn: small frames gathered, large payloads as given. */
  #outbox: Uint8Array[] = [];
  #outboxBytes = 0;
  /** Small frames are gathered here: before `#batchSent` written, up to `#batchFilled` queued, then free. */
  #batch: Uint8Array = new Uint8Array(0);
  #batchSent = 0;
  #batchFilled = 0;
  #flushAsked = false;
  #activeAt: number;
  #readAt: number;
  #frameSince: number | undefined;
  #written = 0;
  #unsentSince: number | undefined;

  constructor(options: FrameSocketOptions) {
    const { socket } = options;
    this.#options = options;
    this.#socket = socket;
    this.#parser = new FrameParser(options.accepts);
    this.#openedAt = options.clock.monotonicMs();
    this.#activeAt = this.#openedAt;
    this.#readAt = this.#openedAt;
    socket.setNoDelay(true);
    socket.setKeepAlive(true, 15_000);
    socket.on('data', (chunk) => this.#receive(chunk));
    socket.on('drain', () => options.onDrain());
    socket.on('end', () => this.close({ why: 'ended' }));
    socket.on('error', () => this.close({ why: 'socket_error' }));
    socket.on('close', () => this.close({ why: 'ended' }));
    this.#gather(PREFACE.length).set(PREFACE);
    this.#askFlush();
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Bytes given to `send` that the kernel has not taken yet. */
  get unsentBytes(): number {
    return this.#socket.writableLength + this.#outboxBytes;
  }

  /** Monotonic time of the last received byte. */
  get readAt(): number {
    return this.#readAt;
  }

  /** Queues a frame within the size limits; the arrays must stay as they are. Nothing happens when closed. */
  send(kind: FrameKind, id: number, frame: Frame): void {
    if (this.#closed || this.#ending) return;
    const { limits, clock } = this.#options;
    const size = frameBytes(frame);
    if (this.unsentBytes + size > limits.unsentBytesMax) {
      this.close({ why: 'unsent_bytes' });
      return;
    }
    const together = size <= COALESCE_BYTES_MAX;
    const prefixBytes = together ? size : size - frame.payload.length;
    const out = this.#gather(prefixBytes);
    writeHeader(out, 0, kind, id, frame);
    out.set(frame.body, size - frame.payload.length - frame.body.length);
    if (together) out.set(frame.payload, size - frame.payload.length);
    else this.#appendWhole(frame.payload);
    this.#activeAt = clock.monotonicMs();
    this.#askFlush();
  }

  /** Stops reading: frames stay in the socket, and then with the sender. */
  hold(): void {
    if (this.#held || this.#closed) return;
    this.#held = true;
    this.#socket.pause();
  }

  release(): void {
    if (!this.#held || this.#closed) return;
    this.#held = false;
    this.#pump();
    // The other end could not go on while it was held: its time for the open frame starts anew.
    this.#frameSince = this.#parser.midFrame ? this.#options.clock.monotonicMs() : undefined;
    if (!this.#held && !this.#closed) this.#socket.resume();
  }

  /** Sends what is queued, then closes; `close` cuts it short. */
  end(): void {
    if (this.#closed || this.#ending) return;
    this.#flush();
    this.#ending = true;
    this.#socket.end();
  }

  close(reason: CloseReason): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#outbox = [];
    this.#outboxBytes = 0;
    this.#batchSent = this.#batchFilled;
    this.#socket.destroy();
    this.#options.onClose(reason);
  }

  /** Closes the connection when a time limit has passed; called every so often. `quiet`: nothing is asked. */
  sweep(now: number, quiet: boolean): void {
    if (this.#closed) return;
    const { limits } = this.#options;
    if (!this.#greeted && now - this.#openedAt >= limits.handshakeMs) {
      return this.close({ why: 'handshake_timeout' });
    }
    if (!this.#held && this.#frameSince !== undefined && now - this.#frameSince >= limits.frameMs) {
      return this.close({ why: 'frame_timeout' });
    }
    if (this.#writeStalled(now)) return this.close({ why: 'write_stall' });
    if (quiet && now - this.#activeAt >= limits.idleMs) this.close({ why: 'idle' });
  }

  #writeStalled(now: number): boolean {
    const written = this.#socket.bytesWritten - this.#socket.writableLength;
    if (this.unsentBytes === 0 || written !== this.#written) {
      this.#written = written;
      this.#unsentSince = this.unsentBytes === 0 ? undefined : now;
      return false;
    }
    this.#unsentSince ??= now;
    return now - this.#unsentSince >= this.#options.limits.writeStallMs;
  }

  #receive(chunk: Uint8Array): void {
    if (this.#closed) return;
    const now = this.#options.clock.monotonicMs();
    this.#readAt = now;
    this.#activeAt = now;
    this.#parser.push(chunk);
    this.#pump();
    if (this.#closed) return;
    if (!this.#parser.midFrame) this.#frameSince = undefined;
    else this.#frameSince ??= now;
  }

  #pump(): void {
    // A frame's handler may release a hold; the outer loop then goes on.
    if (this.#pumping) return;
    this.#pumping = true;
    while (!this.#held && !this.#closed) {
      const step = this.#parser.next();
      if (step.step === 'more') break;
      if (step.step === 'fault') this.close({ why: 'bad_frame', fault: step.fault });
      else if (step.step === 'frame') {
        this.#frameSince = undefined;
        this.#options.onFrame(step.frame);
      } else {
        this.#greeted = true;
        this.#options.onGreeting();
      }
    }
    this.#pumping = false;
  }

  /** The next `bytes` of the outbox, to be filled in by the caller at once. */
  #gather(bytes: number): Uint8Array {
    if (this.#batchFilled + bytes > this.#batch.length) {
      this.#sealBatch();
      this.#batch = Buffer.allocUnsafeSlow(Math.max(bytes, BATCH_BYTES));
      this.#batchSent = 0;
      this.#batchFilled = 0;
    }
    this.#outboxBytes += bytes;
    this.#batchFilled += bytes;
    return this.#batch.subarray(this.#batchFilled - bytes, this.#batchFilled);
  }

  #sealBatch(): void {
    if (this.#batchFilled === this.#batchSent) return;
    this.#outbox.push(this.#batch.subarray(this.#batchSent, this.#batchFilled));
    this.#batchSent = this.#batchFilled;
  }

  #appendWhole(payload: Uint8Array): void {
    this.#sealBatch();
    this.#outbox.push(payload);
    this.#outboxBytes += payload.length;
  }

  #askFlush(): void {
    if (this.#flushAsked) return;
    this.#flushAsked = true;
    // Ticks run after the promises of this turn: what many handlers answer in one turn leaves in one write.
    process.nextTick(() => {
      this.#flushAsked = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.#closed || this.#ending) return;
    this.#sealBatch();
    const parts = this.#outbox;
    this.#outbox = [];
    this.#outboxBytes = 0;
    if (parts.length === 0) return;
    this.#socket.cork();
    for (const part of parts) this.#socket.write(part);
    this.#socket.uncork();
  }
}

/** How often time limits are looked at: fine enough for the shortest of them. */
export function sweepMs(limits: TransportLimits): number {
  const { handshakeMs, frameMs, writeStallMs, idleMs } = limits;
  return Math.max(10, Math.min(1000, handshakeMs / 4, frameMs / 4, writeStallMs / 4, idleMs / 4));
}
