/**
 * The asking end: channels over mutual TLS 1.3. A channel dials when first asked, carries any number of
 * requests at once over one connection, and dials anew after a loss; shortly after a failed dial it
 * refuses at once. UNREACHABLE promises that not a byte of the request left this process; DISCONNECTED and
 * TIMEOUT promise nothing, so the caller decides whether asking again is safe. Format:
 * spec/formats/frames.md.
 */
import { connect, createSecureContext } from 'node:tls';
import type { SecureContext, TLSSocket } from 'node:tls';
import { OperationError } from '../base/errors.ts';
import { TRANSPORT_LIMITS } from '../base/limits.ts';
import type { TransportLimits } from '../base/limits.ts';
import type {
  Channel,
  Clock,
  Frame,
  PeerKey,
  RequestOptions,
  Telemetry,
  Timer,
  Transport,
} from '../base/ports.ts';
import { formatAddress, parseAddress } from './address.ts';
import type { HostPort } from './address.ts';
import { FrameSocket, sweepMs } from './frame-socket.ts';
import type { CloseReason } from './frame-socket.ts';
import { REQUEST_ID_MAX, checkFrameSize, failureReason, frameBytes } from './frames.ts';
import type { WireFrame } from './frames.ts';
import { ALPN_PROTOCOL, secureOptions, verifyPeer } from './tls-handshake.ts';
import type { TlsIdentity } from './tls-identity.ts';

export interface TlsTransportOptions {
  readonly identity: TlsIdentity;
  readonly telemetry: Telemetry;
  readonly clock: Clock;
  readonly limits?: Partial<TransportLimits>;
}

export class TlsTransport implements Transport {
  readonly #options: TlsTransportOptions;
  /** Made once: it costs as much as the rest of a handshake. */
  readonly #context: SecureContext;
  readonly #channels = new Set<TlsChannel>();

  constructor(options: TlsTransportOptions) {
    this.#options = options;
    this.#context = createSecureContext(secureOptions(options.identity));
  }

  /** Throws BAD_ARGUMENT unless the address is `host:port`. */
  open(address: string, peer: PeerKey): Channel {
    const channel = new TlsChannel({
      transport: this.#options,
      context: this.#context,
      address: parseAddress(address),
      peer,
      onClosed: () => this.#channels.delete(channel),
    });
    this.#channels.add(channel);
    return channel;
  }

  /** Closes every channel that is still open. */
  async close(): Promise<void> {
    await Promise.all([...this.#channels].map((channel) => channel.close()));
  }
}

/** One request from the call to its answer. */
interface Asked {
  readonly frame: Frame;
  readonly settle: (outcome: Frame | OperationError) => void;
  /** Set when it was handed to a connection. */
  sentAt: number | undefined;
  id: number;
}

/** One connection. */
interface Link {
  readonly frames: FrameSocket;
  greeted: boolean;
  answered: boolean;
  lastId: number;
}

interface ChannelOptions {
  readonly transport: TlsTransportOptions;
  readonly context: SecureContext;
  readonly address: HostPort;
  readonly peer: PeerKey;
  readonly onClosed: () => void;
}

class TlsChannel implements Channel {
  readonly peer: PeerKey;
  readonly #channel: ChannelOptions;
  readonly #options: TlsTransportOptions;
  readonly #limits: TransportLimits;
  /** Not yet sent, oldest first. */
  readonly #queue = new Set<Asked>();
  #queuedBytes = 0;
  /** Sent and not answered, by id. */
  readonly #sent = new Map<number, Asked>();
  readonly #noticeListeners: ((frame: Frame, connection: number) => void)[] = [];
  #connection = 0;
  #socket: TLSSocket | undefined;
  #link: Link | undefined;
  #dialing = false;
  #closed = false;
  #failures = 0;
  #refuseUntil = 0;
  #refusal: OperationError | undefined;
  /** When the oldest request was sent that was given up with nothing heard since. */
  #silentSince: number | undefined;
  #sweepTimer: Timer | undefined;

  constructor(options: ChannelOptions) {
    this.#channel = options;
    this.#options = options.transport;
    this.#limits = { ...TRANSPORT_LIMITS, ...options.transport.limits };
    this.peer = options.peer;
  }

  get connection(): number {
    return this.#connection;
  }

  onNotice(listener: (frame: Frame, connection: number) => void): void {
    this.#noticeListeners.push(listener);
  }

  request(frame: Frame, options: RequestOptions): Promise<Frame> {
    try {
      this.#admit(frame, options);
    } catch (error) {
      return Promise.reject(error as Error);
    }
    return new Promise((resolve, reject) => {
      const { clock } = this.#options;
      const timer = clock.after(options.timeoutMs, () => this.#giveUp(asked, 'TIMEOUT'));
      const cancel = (): void => this.#giveUp(asked, 'CANCELLED');
      options.signal?.addEventListener('abort', cancel, { once: true });
      const asked: Asked = {
        frame,
        sentAt: undefined,
        id: 0,
        settle: (outcome) => {
          timer.cancel();
          options.signal?.removeEventListener('abort', cancel);
          if (outcome instanceof OperationError) reject(outcome);
          else resolve(outcome);
        },
      };
      this.#queue.add(asked);
      this.#queuedBytes += frameBytes(frame);
      this.#dispatch();
    });
  }

  close(): Promise<void> {
    if (this.#closed) return Promise.resolve();
    this.#closed = true;
    this.#sweepTimer?.cancel();
    if (this.#link !== undefined) this.#link.frames.close({ why: 'closed' });
    else this.#socket?.destroy();
    this.#failQueue(this.#error('UNREACHABLE', 'the channel was closed'));
    this.#channel.onClosed();
    return Promise.resolve();
  }

  /** Throws when the request cannot even be queued. */
  #admit(frame: Frame, options: RequestOptions): void {
    checkFrameSize(frame);
    if (options.signal?.aborted === true) throw this.#error('CANCELLED', 'the caller gave up');
    if (this.#closed) throw this.#error('UNREACHABLE', 'the channel was closed');
    const { queuedRequests, queuedBytes } = this.#limits;
    if (this.#queue.size >= queuedRequests || this.#queuedBytes + frameBytes(frame) > queuedBytes) {
      throw this.#error('BUSY', 'too many requests wait for this peer');
    }
  }

  /** Sends what the bounds allow of the queue; dials first when there is no connection. */
  #dispatch(): void {
    const link = this.#link;
    if (link === undefined || !link.greeted) {
      if (this.#queue.size > 0) this.#dial();
      return;
    }
    for (const asked of this.#queue) {
      if (link.frames.closed) return;
      if (this.#sent.size >= this.#limits.requestsInFlight) return;
      if (link.frames.unsentBytes >= this.#limits.unsentBytesHigh) return;
      if (link.lastId === REQUEST_ID_MAX) return link.frames.close({ why: 'superseded' });
      link.lastId += 1;
      this.#unqueue(asked);
      asked.id = link.lastId;
      asked.sentAt = this.#options.clock.monotonicMs();
      this.#sent.set(asked.id, asked);
      link.frames.send('request', asked.id, asked.frame);
    }
  }

  #unqueue(asked: Asked): void {
    if (this.#queue.delete(asked)) this.#queuedBytes -= frameBytes(asked.frame);
  }

  #giveUp(asked: Asked, code: 'TIMEOUT' | 'CANCELLED'): void {
    this.#unqueue(asked);
    this.#sent.delete(asked.id);
    asked.settle(this.#error(code, code === 'TIMEOUT' ? 'no answer in time' : 'the caller gave up'));
    const link = this.#link;
    if (link !== undefined && asked.sentAt !== undefined && code === 'TIMEOUT') {
      this.#listenForSilence(link, asked.sentAt);
    }
    this.#dispatch();
  }

  /** A path that lost everything for long would otherwise be found dead only by the kernel, after minutes. */
  #listenForSilence(link: Link, sentAt: number): void {
    const { readAt } = link.frames;
    if (readAt >= sentAt) return;
    const known = this.#silentSince;
    const since = known === undefined || readAt >= known ? sentAt : Math.min(known, sentAt);
    this.#silentSince = since;
    const silentMs = this.#options.clock.monotonicMs() - since;
    if (silentMs >= this.#limits.silenceMs) link.frames.close({ why: 'silent' });
  }

  #dial(): void {
    if (this.#dialing || this.#link !== undefined || this.#closed) return;
    if (this.#refusal !== undefined && this.#backingOff()) return this.#failQueue(this.#refusal);
    this.#dialing = true;
    const socket = connect({
      host: this.#channel.address.host,
      port: this.#channel.address.port,
      secureContext: this.#channel.context,
      ALPNProtocols: [ALPN_PROTOCOL],
      servername: '',
      // The chain means nothing here; see tls-handshake.ts for what is verified instead.
      rejectUnauthorized: false,
    });
    this.#socket = socket;
    const timer = this.#options.clock.after(this.#limits.handshakeMs, () => failed(undefined));
    const failed = (cause: Error | undefined): void => {
      timer.cancel();
      socket.destroy();
      if (this.#socket === socket) this.#dialFailed(this.#error('UNREACHABLE', 'cannot connect', cause));
    };
    const ended = (): void => failed(undefined);
    socket.on('error', failed);
    socket.on('close', ended);
    socket.once('secureConnect', () => {
      timer.cancel();
      socket.off('error', failed);
      socket.off('close', ended);
      this.#secured(socket);
    });
  }

  #secured(socket: TLSSocket): void {
    const verdict = verifyPeer(socket, (peer) => peer === this.peer);
    if (!verdict.ok) {
      socket.on('error', () => socket.destroy());
      socket.destroy();
      const labels = { code: 'FOREIGN_PEER', end: 'channel', fault: verdict.fault };
      this.#options.telemetry.count('transport.refused', labels);
      this.#dialFailed(this.#error('FOREIGN_PEER', `another process answers (${verdict.fault})`));
      return;
    }
    const link: Link = {
      greeted: false,
      answered: false,
      lastId: 0,
      frames: new FrameSocket({
        socket,
        accepts: ['response', 'notice', 'error'],
        limits: this.#limits,
        clock: this.#options.clock,
        onGreeting: () => this.#greeted(link),
        onFrame: (frame) => this.#received(link, frame),
        onDrain: () => this.#dispatch(),
        onClose: (reason) => this.#lost(link, reason),
      }),
    };
    this.#link = link;
    this.#silentSince = undefined;
    this.#scheduleSweep();
  }

  /** The other end has accepted us: only now may a request leave, so that a refused one was never sent. */
  #greeted(link: Link): void {
    link.greeted = true;
    this.#dialing = false;
    this.#connection += 1;
    this.#options.telemetry.count('transport.connected');
    this.#dispatch();
  }

  #received(link: Link, frame: WireFrame): void {
    if (frame.kind === 'notice') {
      const notice = { body: frame.body, payload: frame.payload };
      for (const listener of this.#noticeListeners) listener(notice, this.#connection);
      return;
    }
    if (frame.id > link.lastId) return link.frames.close({ why: 'bad_frame', fault: 'order' });
    // An answer proves that the peer serves us; a greeting alone would let it make us dial without end.
    link.answered = true;
    this.#failures = 0;
    this.#refusal = undefined;
    const asked = this.#sent.get(frame.id);
    if (asked === undefined) return;
    this.#sent.delete(frame.id);
    if (frame.kind === 'error') asked.settle(this.#refusedBy(frame));
    else asked.settle({ body: frame.body, payload: frame.payload });
    this.#dispatch();
  }

  #refusedBy(frame: WireFrame): OperationError {
    const reason = failureReason(frame);
    if (reason === 'busy') return this.#error('BUSY', 'the peer has too much to do');
    if (reason === 'stopped') return this.#error('STOPPED', 'the peer is stopping');
    return this.#error('PEER_FAILED', 'the peer could not carry the request out');
  }

  #dialFailed(error: OperationError): void {
    if (!this.#dialing) return;
    this.#dialing = false;
    this.#socket = undefined;
    this.#backOff(error);
    this.#failQueue(error);
  }

  #backOff(error: OperationError): void {
    const { backoffMinMs, backoffMaxMs } = this.#limits;
    const waitMs = Math.min(backoffMaxMs, backoffMinMs * 2 ** Math.min(this.#failures, 20));
    this.#refuseUntil = this.#options.clock.monotonicMs() + waitMs;
    this.#failures += 1;
    this.#refusal = error;
    this.#options.telemetry.count('transport.dial_failures', { code: error.code });
  }

  #lost(link: Link, reason: CloseReason): void {
    if (this.#link !== link) return;
    this.#link = undefined;
    this.#socket = undefined;
    this.#sweepTimer?.cancel();
    const { telemetry } = this.#options;
    telemetry.count('transport.closed', { end: 'channel', why: reason.why });
    if (reason.why === 'bad_frame') {
      telemetry.count('transport.bad_frames', { code: 'BAD_FRAME', end: 'channel', fault: reason.fault });
      telemetry.event('warn', 'transport.bad_frame', { peer: this.peer, fault: reason.fault });
    }
    if (!link.greeted) {
      const text = `the peer did not greet (${reason.why}): does its configuration name this process?`;
      this.#dialFailed(this.#error('UNREACHABLE', text));
      return;
    }
    if (!link.answered && reason.why !== 'idle') {
      this.#backOff(this.#error('UNREACHABLE', `connection lost (${reason.why})`));
    }
    const lost = [...this.#sent.values()];
    this.#sent.clear();
    for (const asked of lost) asked.settle(this.#error('DISCONNECTED', `connection lost (${reason.why})`));
    if (!this.#closed) this.#dispatch();
  }

  #backingOff(): boolean {
    return this.#options.clock.monotonicMs() < this.#refuseUntil;
  }

  #failQueue(error: OperationError): void {
    const waiting = [...this.#queue];
    this.#queue.clear();
    this.#queuedBytes = 0;
    for (const asked of waiting) asked.settle(error);
  }

  #scheduleSweep(): void {
    this.#sweepTimer?.cancel();
    this.#sweepTimer = this.#options.clock.after(sweepMs(this.#limits), () => {
      // Whoever listens for notices wants the connection although it is silent.
      const quiet = this.#sent.size === 0 && this.#queue.size === 0 && this.#noticeListeners.length === 0;
      this.#link?.frames.sweep(this.#options.clock.monotonicMs(), quiet);
      if (this.#link !== undefined) this.#scheduleSweep();
    });
  }

  #error(code: OperationError['code'], text: string, cause?: Error): OperationError {
    const retryable = code !== 'CANCELLED' && code !== 'FOREIGN_PEER';
    const detail = cause === undefined ? { retryable } : { retryable, cause };
    return new OperationError(code, `${formatAddress(this.#channel.address)}: ${text}`, detail);
  }
}
