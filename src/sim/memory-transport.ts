/**
 * A network inside one process, behind the Transport port: what a cluster test or a simulation runs on
 * instead of TLS. It keeps the same contract (platform/transport.contract.ts) and adds what a test needs:
 * latency, and links between named processes that can be cut, silently lossy, or held back and released.
 * Everything happens through the Clock port and in one fixed order, so a run repeats exactly. Messages of
 * one connection keep their order in each direction, as on TCP; nothing is shared between the two ends.
 */
import { AssertionError } from '../base/assert.ts';
import { OperationError, isOperationError } from '../base/errors.ts';
import type { ErrorCode } from '../base/errors.ts';
import { FRAME_BODY_BYTES_MAX, FRAME_PAYLOAD_BYTES_MAX, TRANSPORT_LIMITS } from '../base/limits.ts';
import type {
  Channel,
  Clock,
  Frame,
  FrameHandler,
  PeerConnection,
  PeerKey,
  RequestOptions,
  Transport,
} from '../base/ports.ts';
import { MemoryLink, linkName, pairName } from './memory-link.ts';
import type { LinkState } from './memory-link.ts';

export interface MemoryNetworkOptions {
  readonly clock: Clock;
  /** Milliseconds that one message takes; 0 (the default) delivers in the same turn of the event loop. */
  readonly latencyMs?: (from: string, to: string, bytes: number) => number;
  /** How long requests in flight may go on when a listener closes; as TLS has it by default. */
  readonly drainMs?: number;
}

export interface MemoryListenOptions {
  /** The listening process, as the links know it. */
  readonly name: string;
  readonly address: string;
  readonly key: PeerKey;
  readonly allowedPeers: () => ReadonlySet<PeerKey>;
  readonly handler: FrameHandler;
}

export interface MemoryListener {
  readonly address: string;
  /** As TLS does: requests in flight may finish for a while, then every connection ends. */
  close(): Promise<void>;
}

export class MemoryNetwork {
  readonly #options: MemoryNetworkOptions;
  readonly #listeners = new Map<string, Listener>();
  readonly #connections = new Set<MemoryLink>();
  readonly #links = new Map<string, LinkState>();
  readonly #cuts = new Set<string>();

  constructor(options: MemoryNetworkOptions) {
    this.#options = options;
  }

  /** The asking end of the process `name`, which shows `key` to whomever it asks. */
  transport(name: string, key: PeerKey): Transport {
    return {
      open: (address, peer) =>
        new MemoryChannel({
          peer,
          clock: this.#options.clock,
          dial: (channel) => this.#dial(name, key, address, channel),
        }),
    };
  }

  /** Errors: IN_USE. */
  listen(options: MemoryListenOptions): Promise<MemoryListener> {
    if (this.#listeners.has(options.address)) {
      return Promise.reject(new OperationError('IN_USE', `cannot listen on ${options.address}`));
    }
    const listener = new Listener(options, this.#options, () => this.#listeners.delete(options.address));
    this.#listeners.set(options.address, listener);
    return Promise.resolve(listener);
  }

  /** Ends every connection between the two processes, and lets none arise until `heal`. */
  cut(a: string, b: string): void {
    this.#cuts.add(pairName(a, b));
    this.#endWhere((connection) => pairName(connection.from, connection.to) === pairName(a, b));
  }

  heal(a: string, b: string): void {
    this.#cuts.delete(pairName(a, b));
    this.pass(a, b);
    this.pass(b, a);
  }

  /** From now messages from one to the other vanish; the connection stays. */
  drop(from: string, to: string): void {
    this.#links.set(linkName(from, to), 'dropping');
  }

  /** From now messages from one to the other wait for `pass`. */
  hold(from: string, to: string): void {
    this.#links.set(linkName(from, to), 'holding');
  }

  /** Ends `drop` and `hold`; what was held arrives in order. */
  pass(from: string, to: string): void {
    this.#links.delete(linkName(from, to));
    for (const connection of [...this.#connections]) connection.resume(from, to);
  }

  /** The process is gone at this instant: its listeners, and every connection from or to it. */
  kill(name: string): void {
    for (const [address, listener] of [...this.#listeners]) {
      if (listener.name === name) this.#listeners.delete(address);
    }
    this.#endWhere((connection) => connection.from === name || connection.to === name);
  }

  #endWhere(matches: (connection: MemoryLink) => boolean): void {
    for (const connection of [...this.#connections]) if (matches(connection)) connection.end();
  }

  #dial(from: string, key: PeerKey, address: string, channel: MemoryChannel): MemoryLink | undefined {
    const listener = this.#listeners.get(address);
    if (listener === undefined || this.#cuts.has(pairName(from, listener.name))) return undefined;
    const connection = new MemoryLink({
      from,
      to: listener.name,
      clock: this.#options.clock,
      latencyMs: this.#options.latencyMs ?? (() => 0),
      linkState: (a, b) => this.#links.get(linkName(a, b)) ?? 'open',
      onEnd: () => this.#connections.delete(connection),
    });
    this.#connections.add(connection);
    connection.onEnd(() => channel.lost(connection));
    connection.send('forth', 0, () => listener.accept(connection, channel, key));
    return connection;
  }
}

/** The answering end of one address. */
class Listener implements MemoryListener {
  readonly name: string;
  readonly address: string;
  readonly #options: MemoryListenOptions;
  readonly #network: MemoryNetworkOptions;
  readonly #onClose: () => void;
  readonly #served = new Set<Served>();
  #closing = false;
  #nextId = 1;

  constructor(options: MemoryListenOptions, network: MemoryNetworkOptions, onClose: () => void) {
    this.#options = options;
    this.#network = network;
    this.#onClose = onClose;
    this.name = options.name;
    this.address = options.address;
  }

  accept(connection: MemoryLink, channel: MemoryChannel, key: PeerKey): void {
    const { allowedPeers, handler } = this.#options;
    if (channel.peer !== this.#options.key) {
      const text = 'another process answers';
      connection.send('back', 0, () => channel.refused(connection, 'FOREIGN_PEER', text));
      return;
    }
    if (this.#closing || !allowedPeers().has(key)) {
      connection.send('back', 0, () => channel.refused(connection, 'UNREACHABLE', 'the peer did not greet'));
      return;
    }
    const served = new Served({ connection, channel, peer: key, id: this.#nextId, handler, allowedPeers });
    this.#nextId += 1;
    this.#served.add(served);
    connection.onEnd(() => this.#served.delete(served));
    connection.send('back', 0, () => channel.greeted(connection, served));
  }

  async close(): Promise<void> {
    this.#closing = true;
    this.#onClose();
    const ended = [...this.#served].map((served) => served.finish());
    const timer = this.#network.clock.after(this.#network.drainMs ?? TRANSPORT_LIMITS.drainMs, () => {
      for (const served of [...this.#served]) served.end();
    });
    await Promise.all(ended);
    timer.cancel();
  }
}

interface ServedOptions {
  readonly connection: MemoryLink;
  readonly channel: MemoryChannel;
  readonly peer: PeerKey;
  readonly id: number;
  readonly handler: FrameHandler;
  readonly allowedPeers: () => ReadonlySet<PeerKey>;
}

class Served implements PeerConnection {
  readonly peer: PeerKey;
  readonly id: number;
  readonly #options: ServedOptions;
  #inFlight = 0;
  #finishing = false;

  constructor(options: ServedOptions) {
    this.#options = options;
    this.peer = options.peer;
    this.id = options.id;
  }

  notify(frame: Frame): void {
    checkSize(frame);
    const { connection, channel } = this.#options;
    const notice = copyFrame(frame);
    connection.send('back', sizeOf(frame), () => channel.noticed(notice));
  }

  onClose(listener: () => void): void {
    this.#options.connection.onEnd(listener);
  }

  /** A request has arrived. */
  asked(id: number, frame: Frame): void {
    if (this.#finishing) return;
    if (!this.#options.allowedPeers().has(this.peer)) return this.end();
    this.#inFlight += 1;
    void this.#answer(id, frame).finally(() => {
      this.#inFlight -= 1;
      if (this.#finishing && this.#inFlight === 0) this.#endAfterAnswers();
    });
  }

  end(): void {
    this.#options.connection.end();
  }

  /** Takes no more requests; resolves when the connection has ended. */
  finish(): Promise<void> {
    this.#finishing = true;
    if (this.#inFlight === 0) this.#endAfterAnswers();
    return new Promise((resolve) => this.onClose(resolve));
  }

  #endAfterAnswers(): void {
    this.#options.connection.send('back', 0, () => this.end());
  }

  async #answer(id: number, frame: Frame): Promise<void> {
    const { connection, channel, handler } = this.#options;
    try {
      const response = await handler(this, frame);
      checkSize(response);
      const answer = copyFrame(response);
      connection.send('back', sizeOf(response), () => channel.answered(id, answer));
    } catch (error) {
      const passed = isOperationError(error) && (error.code === 'BUSY' || error.code === 'STOPPED');
      const code = passed ? error.code : 'PEER_FAILED';
      connection.send('back', 1, () => channel.answered(id, failure(code, 'the peer refused')));
      // A broken invariant is nobody's to catch: the run fails.
      if (error instanceof AssertionError) throw error;
    }
  }
}

interface MemoryChannelOptions {
  readonly peer: PeerKey;
  readonly clock: Clock;
  readonly dial: (channel: MemoryChannel) => MemoryLink | undefined;
}

interface Asked {
  readonly frame: Frame;
  readonly settle: (outcome: Frame | OperationError) => void;
  sent: boolean;
}

class MemoryChannel implements Channel {
  readonly peer: PeerKey;
  readonly #options: MemoryChannelOptions;
  readonly #asked = new Map<number, Asked>();
  readonly #noticeListeners: ((frame: Frame, connection: number) => void)[] = [];
  #nextId = 1;
  #connection = 0;
  #link: MemoryLink | undefined;
  /** The other end, once it has greeted. */
  #served: Served | undefined;
  #closed = false;

  constructor(options: MemoryChannelOptions) {
    this.#options = options;
    this.peer = options.peer;
  }

  get connection(): number {
    return this.#connection;
  }

  onNotice(listener: (frame: Frame, connection: number) => void): void {
    this.#noticeListeners.push(listener);
  }

  async request(frame: Frame, options: RequestOptions): Promise<Frame> {
    checkSize(frame);
    if (options.signal?.aborted === true) throw failure('CANCELLED', 'the caller gave up');
    if (this.#closed) throw failure('UNREACHABLE', 'the channel was closed');
    if (this.#asked.size >= TRANSPORT_LIMITS.queuedRequests) throw failure('BUSY', 'too many requests wait');
    const id = this.#nextId;
    this.#nextId += 1;
    return new Promise((resolve, reject) => {
      const giveUp = (code: ErrorCode, text: string) => (): void => {
        this.#asked.delete(id);
        asked.settle(failure(code, text));
      };
      const cancel = giveUp('CANCELLED', 'the caller gave up');
      const timer = this.#options.clock.after(options.timeoutMs, giveUp('TIMEOUT', 'no answer in time'));
      options.signal?.addEventListener('abort', cancel, { once: true });
      const asked: Asked = {
        frame: copyFrame(frame),
        sent: false,
        settle: (outcome) => {
          timer.cancel();
          options.signal?.removeEventListener('abort', cancel);
          if (outcome instanceof OperationError) reject(outcome);
          else resolve(outcome);
        },
      };
      this.#asked.set(id, asked);
      if (this.#served === undefined) this.#dial();
      else this.#send(id, asked);
    });
  }

  close(): Promise<void> {
    this.#closed = true;
    this.#link?.end();
    return Promise.resolve();
  }

  greeted(link: MemoryLink, served: Served): void {
    if (this.#link !== link) return;
    this.#served = served;
    this.#connection += 1;
    for (const [id, asked] of [...this.#asked]) this.#send(id, asked);
  }

  refused(link: MemoryLink, code: ErrorCode, text: string): void {
    if (this.#link !== link) return;
    this.#link = undefined;
    link.end();
    this.#failAll(() => failure(code, text));
  }

  answered(id: number, outcome: Frame | OperationError): void {
    const asked = this.#asked.get(id);
    this.#asked.delete(id);
    asked?.settle(outcome);
  }

  noticed(frame: Frame): void {
    for (const listener of this.#noticeListeners) listener(frame, this.#connection);
  }

  lost(link: MemoryLink): void {
    if (this.#link !== link) return;
    this.#link = undefined;
    this.#served = undefined;
    this.#failAll((asked) =>
      asked.sent ? failure('DISCONNECTED', 'connection lost') : failure('UNREACHABLE', 'cannot connect'),
    );
  }

  #dial(): void {
    if (this.#link !== undefined) return;
    const link = this.#options.dial(this);
    this.#link = link;
    if (link === undefined) {
      void Promise.resolve().then(() => this.#failAll(() => failure('UNREACHABLE', 'cannot connect')));
      return;
    }
    const timer = this.#options.clock.after(TRANSPORT_LIMITS.handshakeMs, () => {
      if (this.#link === link && this.#served === undefined) link.end();
    });
    link.onEnd(() => timer.cancel());
  }

  #send(id: number, asked: Asked): void {
    const served = this.#served;
    if (served === undefined) return;
    asked.sent = true;
    this.#link?.send('forth', sizeOf(asked.frame), () => served.asked(id, asked.frame));
  }

  #failAll(errorOf: (asked: Asked) => OperationError): void {
    const all = [...this.#asked.values()];
    this.#asked.clear();
    for (const asked of all) asked.settle(errorOf(asked));
  }
}

function failure(code: ErrorCode, text: string): OperationError {
  return new OperationError(code, text, { retryable: code !== 'CANCELLED' && code !== 'FOREIGN_PEER' });
}

function checkSize(frame: Frame): void {
  if (frame.body.length > FRAME_BODY_BYTES_MAX) throw failure('TOO_LARGE', 'a frame body');
  if (frame.payload.length > FRAME_PAYLOAD_BYTES_MAX) throw failure('TOO_LARGE', 'a frame payload');
}

function sizeOf(frame: Frame): number {
  return frame.body.length + frame.payload.length;
}

/** The two ends of a wire share no memory. */
function copyFrame(frame: Frame): Frame {
  return { body: new Uint8Array(frame.body), payload: new Uint8Array(frame.payload) };
}
