/**
 * Frames: how messages lie on a connection. Each end greets with the preface, then sends frames, each a
 * 13-byte header (lengths, kind, id), a body (canonical encoding) and a payload (raw bytes). Format:
 * spec/formats/frames.md. The parser is incremental, checks every length before it allocates, gives body
 * and payload in arrays of their exact size that share no memory with the input, and reports the first
 * malformed byte; after that the connection has no meaning and must be closed.
 */
import { OperationError } from '../base/errors.ts';
import { utf8 } from '../base/bytes.ts';
import { FRAME_BODY_BYTES_MAX, FRAME_PAYLOAD_BYTES_MAX } from '../base/limits.ts';
import type { Frame } from '../base/ports.ts';

/** What each end sends first: the name of the protocol and its version. */
export const PREFACE = utf8('HOLDFAST/1\n');
export const HEADER_BYTES = 13;
export const REQUEST_ID_MAX = 0xffff_ffff;

export type FrameKind = 'request' | 'response' | 'notice' | 'error';

const KIND_CODES: Readonly<Record<FrameKind, number>> = { request: 1, response: 2, notice: 3, error: 4 };
const KINDS = new Map<number, FrameKind>([
  [1, 'request'],
  [2, 'response'],
  [3, 'notice'],
  [4, 'error'],
]);

export interface WireFrame extends Frame {
  readonly kind: FrameKind;
  /** The request that this asks or answers, 1 to 2^32-1; 0 for a notice. */
  readonly id: number;
}

/** Why a request was not answered, as one byte: nothing of the answering end leaks through it. */
export type FailureReason = 'failed' | 'busy' | 'stopped';

const FAILURE_CODES = { failed: 1, busy: 2, stopped: 3 } as const satisfies Record<FailureReason, number>;

export function failureFrame(reason: FailureReason): Frame {
  return { body: Uint8Array.of(FAILURE_CODES[reason]), payload: new Uint8Array(0) };
}

/** An unknown reason reads as 'failed', so that later versions may add some. */
export function failureReason(frame: Frame): FailureReason {
  switch (frame.body[0]) {
    case FAILURE_CODES.busy:
      return 'busy';
    case FAILURE_CODES.stopped:
      return 'stopped';
    default:
      return 'failed';
  }
}

/** Throws TOO_LARGE unless the frame may be sent. */
export function checkFrameSize(frame: Frame): void {
  if (frame.body.length > FRAME_BODY_BYTES_MAX) {
    throw new OperationError('TOO_LARGE', `a frame body of ${frame.body.length} bytes`);
  }
  if (frame.payload.length > FRAME_PAYLOAD_BYTES_MAX) {
    throw new OperationError('TOO_LARGE', `a frame payload of ${frame.payload.length} bytes`);
  }
}

export function frameBytes(frame: Frame): number {
  return HEADER_BYTES + frame.body.length + frame.payload.length;
}

/** Writes the header of a frame at `at`; 13 bytes of `into`. */
export function writeHeader(into: Uint8Array, at: number, kind: FrameKind, id: number, frame: Frame): void {
  writeU32(into, at, frame.body.length);
  writeU32(into, at + 4, frame.payload.length);
  into[at + 8] = KIND_CODES[kind];
  writeU32(into, at + 9, id);
}

/** The whole frame in one array. Connections write large payloads without this copy. */
export function encodeFrame(kind: FrameKind, id: number, frame: Frame): Uint8Array {
  const out = new Uint8Array(frameBytes(frame));
  writeHeader(out, 0, kind, id, frame);
  out.set(frame.body, HEADER_BYTES);
  out.set(frame.payload, HEADER_BYTES + frame.body.length);
  return out;
}

/** What the other end did wrong, in words for a counter's label. */
export type FrameFault = 'preface' | 'kind' | 'id' | 'body_length' | 'payload_length' | 'error_shape';

export type ParseStep =
  | { readonly step: 'preface' }
  | { readonly step: 'frame'; readonly frame: WireFrame }
  | { readonly step: 'fault'; readonly fault: FrameFault }
  | { readonly step: 'more' };

const MORE: ParseStep = { step: 'more' };

/** Pull parser of one direction of one connection: `push` input, then take `next` until it says 'more'. */
export class FrameParser {
  readonly #allowed: ReadonlySet<FrameKind>;
  #input: Uint8Array = new Uint8Array(0);
  #at = 0;
  #prefaceDone = false;
  #fault: FrameFault | undefined;
  readonly #header = new Uint8Array(HEADER_BYTES);
  /** Bytes in hand of the preface, then of each header. */
  #headerFilled = 0;
  #frame: WireFrame | undefined;
  /** Bytes in hand of the current frame's body and payload together. */
  #frameFilled = 0;

  /** `allowed`: the kinds that the other end may send. */
  constructor(allowed: readonly FrameKind[]) {
    this.#allowed = new Set(allowed);
  }

  /** True between the first and the last byte of a frame, input not yet looked at included. */
  get midFrame(): boolean {
    return this.#headerFilled > 0 || this.#frame !== undefined || this.#at < this.#input.length;
  }

  /** Hands over the next bytes as received; the parser only reads them, and only until it says 'more'. */
  push(chunk: Uint8Array): void {
    if (this.#at === this.#input.length) {
      this.#input = chunk;
    } else {
      // Only while frames are held back: what is joined is bounded by what the socket had decrypted already.
      const rest = this.#input.subarray(this.#at);
      const joined = new Uint8Array(rest.length + chunk.length);
      joined.set(rest);
      joined.set(chunk, rest.length);
      this.#input = joined;
    }
    this.#at = 0;
  }

  next(): ParseStep {
    if (this.#fault !== undefined) return { step: 'fault', fault: this.#fault };
    if (!this.#prefaceDone) return this.#readPreface();
    if (this.#frame === undefined) {
      const opened = this.#readHeader();
      if (opened !== undefined) return opened;
    }
    const frame = this.#frame;
    if (frame === undefined || !this.#fill(frame)) return MORE;
    this.#frame = undefined;
    this.#frameFilled = 0;
    return { step: 'frame', frame };
  }

  #fail(fault: FrameFault): ParseStep {
    this.#fault = fault;
    this.#input = new Uint8Array(0);
    this.#at = 0;
    return { step: 'fault', fault };
  }

  #readPreface(): ParseStep {
    while (this.#headerFilled < PREFACE.length && this.#at < this.#input.length) {
      if (this.#input[this.#at] !== PREFACE[this.#headerFilled]) return this.#fail('preface');
      this.#at += 1;
      this.#headerFilled += 1;
    }
    if (this.#headerFilled < PREFACE.length) return MORE;
    this.#headerFilled = 0;
    this.#prefaceDone = true;
    return { step: 'preface' };
  }

  /** Opens `#frame`, or says why that cannot be yet or ever. */
  #readHeader(): ParseStep | undefined {
    const taken = Math.min(HEADER_BYTES - this.#headerFilled, this.#input.length - this.#at);
    this.#header.set(this.#input.subarray(this.#at, this.#at + taken), this.#headerFilled);
    this.#at += taken;
    this.#headerFilled += taken;
    if (this.#headerFilled < HEADER_BYTES) return MORE;
    this.#headerFilled = 0;
    const bodyBytes = readU32(this.#header, 0);
    const payloadBytes = readU32(this.#header, 4);
    const kind = KINDS.get(this.#header[8] ?? 0);
    const id = readU32(this.#header, 9);
    if (bodyBytes > FRAME_BODY_BYTES_MAX) return this.#fail('body_length');
    if (payloadBytes > FRAME_PAYLOAD_BYTES_MAX) return this.#fail('payload_length');
    if (kind === undefined || !this.#allowed.has(kind)) return this.#fail('kind');
    if ((kind === 'notice') !== (id === 0)) return this.#fail('id');
    if (kind === 'error' && (bodyBytes !== 1 || payloadBytes !== 0)) return this.#fail('error_shape');
    this.#frame = { kind, id, body: allocate(bodyBytes), payload: allocate(payloadBytes) };
    return undefined;
  }

  #fill(frame: WireFrame): boolean {
    this.#copyInto(frame.body, this.#frameFilled);
    if (this.#frameFilled >= frame.body.length) {
      this.#copyInto(frame.payload, this.#frameFilled - frame.body.length);
    }
    return this.#frameFilled === frame.body.length + frame.payload.length;
  }

  #copyInto(target: Uint8Array, from: number): void {
    const taken = Math.min(target.length - from, this.#input.length - this.#at);
    if (taken <= 0) return;
    target.set(this.#input.subarray(this.#at, this.#at + taken), from);
    this.#at += taken;
    this.#frameFilled += taken;
  }
}

/** Below this the engine's own zeroed allocation is cheaper than a separate buffer. */
const UNZEROED_FROM_BYTES = 4096;

/** Every byte is written before the frame is handed out, so large arrays need not be zeroed first. */
function allocate(bytes: number): Uint8Array {
  if (bytes < UNZEROED_FROM_BYTES) return new Uint8Array(bytes);
  return new Uint8Array(Buffer.allocUnsafeSlow(bytes).buffer);
}

function readU32(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] ?? 0) * 0x100_0000) +
    (((bytes[at + 1] ?? 0) << 16) | ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0))
  );
}

function writeU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}
