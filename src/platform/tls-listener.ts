/**
 * The answering end: listens, admits the peers that the configuration names and nobody else, and gives each
 * request to the handler. All that a peer can make it hold is bounded (base/limits.ts): connections,
 * handshakes, requests and bytes in flight; above, its socket is not read, so that the peer waits and not
 * this process. A handler's failure leaves as one byte. Format: spec/formats/frames.md.
 */
import { createServer } from 'node:tls';
import type { Server, TLSSocket } from 'node:tls';
import type { Socket } from 'node:net';
import { AssertionError } from '../base/assert.ts';
import { OperationError, isOperationError } from '../base/errors.ts';
import { TRANSPORT_LIMITS } from '../base/limits.ts';
import type { TransportLimits } from '../base/limits.ts';
import type { Clock, Frame, FrameHandler, PeerConnection, PeerKey, Telemetry, Timer } from '../base/ports.ts';
import { formatAddress, parseAddress } from './address.ts';
import { FrameSocket, sweepMs } from './frame-socket.ts';
import type { CloseReason } from './frame-socket.ts';
import { checkFrameSize, failureFrame, frameBytes } from './frames.ts';
import type { FailureReason, WireFrame } from './frames.ts';
import { ALPN_PROTOCOL, secureOptions, verifyPeer } from './tls-handshake.ts';
import type { TlsIdentity } from './tls-identity.ts';

export interface ListenOptions {
  /** `host:port`; port 0 for any free one. */
  readonly address: string;
  readonly identity: TlsIdentity;
  /** Asked at each handshake and each request: a peer that the configuration drops is cut off. */
  readonly allowedPeers: () => ReadonlySet<PeerKey>;
  readonly handler: FrameHandler;
  readonly telemetry: Telemetry;
  readonly clock: Clock;
  readonly limits?: Partial<TransportLimits>;
}

export interface TlsListener {
  /** Where it listens, with the port that the system chose. */
  readonly address: string;
  /** Accepts no more, lets requests in flight finish for `drainMs`, then closes every connection. */
  close(): Promise<void>;
}

/** Errors: BAD_ARGUMENT (address), IN_USE, UNREACHABLE (no such address here). */
export async function listenTls(options: ListenOptions): Promise<TlsListener> {
  const listener = new Listener(options);
  await listener.listen();
  return listener;
}

class Listener implements TlsListener {
  readonly #options: ListenOptions;
  readonly #limits: TransportLimits;
  readonly #server: Server;
  /** Accepted connections whose handshake is not complete, oldest first, by the address of the other end. */
  readonly #handshakes = new Map<string, Socket>();
  /** Admitted connections, oldest first. */
  readonly #connections = new Set<ServedConnection>();
  #nextId = 1;
  #sweepTimer: Timer | undefined;
  #closing: Promise<void> | undefined;
  #onEmpty: (() => void) | undefined;
  #address = '';

  constructor(options: ListenOptions) {
    this.#options = options;
    this.#limits = { ...TRANSPORT_LIMITS, ...options.limits };
    this.#server = createServer({
      ...secureOptions(options.identity),
      ALPNProtocols: [ALPN_PROTOCOL],
      requestCert: true,
      // The chain means nothing here; see tls-handshake.ts for what is verified instead.
      rejectUnauthorized: false,
      handshakeTimeout: this.#limits.handshakeMs,
    });
    this.#server.on('connection', (socket: Socket) => this.#accepted(socket));
    this.#server.on('tlsClientError', (error: Error, socket) => {
      const timedOut = 'code' in error && error.code === 'ERR_TLS_HANDSHAKE_TIMEOUT';
      this.#refused(timedOut ? 'handshake_timeout' : 'handshake');
      socket.destroy();
    });
    this.#server.on('secureConnection', (socket) => this.#secured(socket));
  }

  get address(): string {
    return this.#address;
  }

  async listen(): Promise<void> {
    const { host, port } = parseAddress(this.#options.address);
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', (error: NodeJS.ErrnoException) => {
        const code = error.code === 'EADDRINUSE' ? 'IN_USE' : 'UNREACHABLE';
        reject(new OperationError(code, `cannot listen on ${this.#options.address}`, { cause: error }));
      });
      this.#server.listen({ host, port }, resolve);
    });
    this.#server.removeAllListeners('error');
    this.#server.on('error', () => this.#options.telemetry.count('transport.listen_errors'));
    const bound = this.#server.address();
    const boundPort = bound !== null && typeof bound === 'object' ? bound.port : port;
    this.#address = formatAddress({ host, port: boundPort });
    this.#scheduleSweep();
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const stopped = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const socket of this.#handshakes.values()) socket.destroy();
    const empty = new Promise<void>((resolve) => {
      this.#onEmpty = resolve;
    });
    const drain = this.#options.clock.after(this.#limits.drainMs, () => {
      for (const connection of [...this.#connections]) connection.close({ why: 'closed' });
    });
    for (const connection of [...this.#connections]) connection.finish();
    if (this.#connections.size > 0) await empty;
    drain.cancel();
    this.#sweepTimer?.cancel();
    await stopped;
  }

  #accepted(socket: Socket): void {
    const name = remoteName(socket);
    this.#handshakes.set(name, socket);
    socket.on('close', () => {
      if (this.#handshakes.get(name) === socket) this.#handshakes.delete(name);
    });
    socket.on('error', () => socket.destroy());
    if (this.#handshakes.size <= this.#limits.handshakes) return;
    // The oldest goes: it had the longest time, and a peer that is named needs milliseconds.
    const oldest = this.#handshakes.entries().next().value;
    if (oldest === undefined) return;
    this.#handshakes.delete(oldest[0]);
    oldest[1].destroy();
    this.#refused('handshake_crowd');
  }

  #secured(socket: TLSSocket): void {
    this.#handshakes.delete(remoteName(socket));
    const verdict = verifyPeer(socket, (peer) => this.#options.allowedPeers().has(peer));
    if (!verdict.ok) return this.#refuse(socket, verdict.fault);
    if (this.#closing !== undefined) return this.#refuse(socket, 'closing');
    const ofPeer = [...this.#connections].filter((connection) => connection.peer === verdict.peer);
    if (ofPeer.length >= this.#limits.connectionsPerPeer) ofPeer[0]?.close({ why: 'superseded' });
    if (this.#connections.size >= this.#limits.connections) return this.#refuse(socket, 'connections');
    const connection = new ServedConnection({
      socket,
      peer: verdict.peer,
      id: this.#nextId,
      listener: this.#options,
      limits: this.#limits,
      onClose: () => this.#closed(connection),
    });
    this.#nextId += 1;
    this.#connections.add(connection);
  }

  #closed(connection: ServedConnection): void {
    this.#connections.delete(connection);
    if (this.#connections.size === 0) this.#onEmpty?.();
  }

  #refuse(socket: TLSSocket, fault: string): void {
    socket.on('error', () => socket.destroy());
    socket.destroy();
    this.#refused(fault);
  }

  #refused(fault: string): void {
    this.#options.telemetry.count('transport.refused', { code: 'FOREIGN_PEER', end: 'listener', fault });
  }

  #scheduleSweep(): void {
    this.#sweepTimer = this.#options.clock.after(sweepMs(this.#limits), () => {
      const now = this.#options.clock.monotonicMs();
      const allowed = this.#options.allowedPeers();
      for (const connection of [...this.#connections]) {
        if (allowed.has(connection.peer)) connection.sweep(now);
        else connection.close({ why: 'foreign_peer' });
      }
      this.#scheduleSweep();
    });
  }
}

interface ServedOptions {
  readonly socket: TLSSocket;
  readonly peer: PeerKey;
  readonly id: number;
  readonly listener: ListenOptions;
  readonly limits: TransportLimits;
  readonly onClose: () => void;
}

/** One admitted connection. */
class ServedConnection implements PeerConnection {
  readonly peer: PeerKey;
  readonly id: number;
  readonly #options: ServedOptions;
  readonly #frames: FrameSocket;
  readonly #closeListeners: (() => void)[] = [];
  #lastRequest = 0;
  #inFlight = 0;
  #bytesInFlight = 0;
  #greeted = false;
  #finishing = false;

  constructor(options: ServedOptions) {
    this.#options = options;
    this.peer = options.peer;
    this.id = options.id;
    this.#frames = new FrameSocket({
      socket: options.socket,
      accepts: ['request'],
      limits: options.limits,
      clock: options.listener.clock,
      onGreeting: () => {
        this.#greeted = true;
      },
      onFrame: (frame) => this.#asked(frame),
      onDrain: () => this.#balance(),
      onClose: (reason) => this.#ended(reason),
    });
  }

  notify(frame: Frame): void {
    checkFrameSize(frame);
    this.#frames.send('notice', 0, frame);
  }

  onClose(listener: () => void): void {
    if (this.#frames.closed) listener();
    else this.#closeListeners.push(listener);
  }

  close(reason: CloseReason): void {
    this.#frames.close(reason);
  }

  sweep(now: number): void {
    this.#frames.sweep(now, this.#inFlight === 0);
  }

  /** Reads no more requests; closes when those in flight are answered and the answers are sent. */
  finish(): void {
    this.#finishing = true;
    this.#balance();
    if (this.#inFlight === 0) this.#frames.end();
  }

  #asked(frame: WireFrame): void {
    if (!this.#options.listener.allowedPeers().has(this.peer)) return this.close({ why: 'foreign_peer' });
    // Ids only grow, so none can be asked twice on one connection.
    if (frame.id <= this.#lastRequest) return this.close({ why: 'bad_frame', fault: 'order' });
    this.#lastRequest = frame.id;
    const size = frameBytes(frame);
    this.#inFlight += 1;
    this.#bytesInFlight += size;
    this.#balance();
    void this.#answer(frame).finally(() => {
      this.#inFlight -= 1;
      this.#bytesInFlight -= size;
      if (this.#finishing && this.#inFlight === 0) this.#frames.end();
      this.#balance();
    });
  }

  async #answer(request: WireFrame): Promise<void> {
    const { handler, telemetry } = this.#options.listener;
    try {
      const response = await handler(this, { body: request.body, payload: request.payload });
      checkFrameSize(response);
      this.#frames.send('response', request.id, response);
    } catch (error) {
      this.#frames.send('error', request.id, failureFrame(publicReason(error)));
      const expected = isOperationError(error);
      telemetry.count('transport.handler_failures', { code: expected ? error.code : 'PEER_FAILED' });
      if (expected) return;
      const name = error instanceof Error ? error.name : 'thrown';
      telemetry.event('error', 'transport.handler_broke', { error: name });
      // A broken invariant is nobody's to catch: it goes on as an unhandled rejection and ends the process.
      if (error instanceof AssertionError) throw error;
    }
  }

  /** Reads on or holds, as the bounds say; called whenever something they count has changed. */
  #balance(): void {
    const { limits } = this.#options;
    const full =
      this.#finishing ||
      this.#inFlight >= limits.requestsInFlight ||
      this.#bytesInFlight >= limits.requestBytesInFlight ||
      this.#frames.unsentBytes >= limits.unsentBytesHigh;
    if (full) this.#frames.hold();
    else this.#frames.release();
  }

  #ended(reason: CloseReason): void {
    const { telemetry } = this.#options.listener;
    const fault = 'fault' in reason ? reason.fault : reason.why;
    telemetry.count('transport.closed', { end: 'listener', why: reason.why });
    if (reason.why === 'bad_frame') {
      telemetry.count('transport.bad_frames', { code: 'BAD_FRAME', end: 'listener', fault });
      telemetry.event('warn', 'transport.bad_frame', { peer: this.peer, fault });
    }
    if (!this.#greeted && reason.why !== 'bad_frame') {
      telemetry.count('transport.refused', { code: 'FOREIGN_PEER', end: 'listener', fault: 'not_greeted' });
    }
    for (const listener of this.#closeListeners) listener();
    this.#options.onClose();
  }
}

/** What the other end may learn of a failure. */
function publicReason(error: unknown): FailureReason {
  if (isOperationError(error, 'BUSY')) return 'busy';
  return isOperationError(error, 'STOPPED') ? 'stopped' : 'failed';
}

function remoteName(socket: Socket): string {
  return `${socket.remoteAddress ?? ''} ${socket.remotePort ?? 0}`;
}
