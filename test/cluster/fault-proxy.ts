/**
 * A TCP proxy in front of one process that does what networks do, to each link on its own and changeably while
 * connections run: delay, little bandwidth, cuts, silence in one direction or both, connections whose bytes
 * arrive after newer ones have been opened or that reach another process, and bytes that are changed,
 * repeated, swapped or end too soon. Everything that was really done is counted.
 */
import net from 'node:net';
import type { SeededRandom } from '../../src/sim/seeded-random.ts';
import { DIRECTIONS, FaultyStream } from './faulty-stream.ts';
import type { Direction, Weather, Wound } from './faulty-stream.ts';

/** What happened on all links of a proxy. */
export interface ProxyCounts {
  connections: number;
  delayedPieces: number;
  /** Connections that the proxy ended, and dials that it refused. */
  cut: number;
  refused: number;
  misrouted: number;
  corrupted: number;
  duplicated: number;
  reordered: number;
  truncated: number;
  /**
   * Connections that got damaged bytes, and those of them that the receiver then ended. It notices once it has a
   * whole record of TLS, or what it takes for one.
   */
  wounded: number;
  woundsNoticed: number;
  /** Bytes that arrived after their connection had been given up by who sent them. */
  lateBytes: number;
}

export interface ProxyOptions {
  /** Port of the process behind; undefined while it does not run. */
  readonly target: () => number | undefined;
  /** Port of another one, which connections that are misrouted reach. */
  readonly stranger?: () => number | undefined;
  /** The name of who dialled from this port to that one. */
  readonly nameOf: (from: number, to: number) => string;
  readonly random: SeededRandom;
}

const HOST = '127.0.0.1';

export class FaultProxy {
  readonly #options: ProxyOptions;
  readonly #server: net.Server;
  readonly #links = new Map<string, Link>();
  readonly counts: ProxyCounts = {
    connections: 0,
    delayedPieces: 0,
    cut: 0,
    refused: 0,
    misrouted: 0,
    corrupted: 0,
    duplicated: 0,
    reordered: 0,
    truncated: 0,
    wounded: 0,
    woundsNoticed: 0,
    lateBytes: 0,
  };

  static async start(options: ProxyOptions): Promise<FaultProxy> {
    const proxy = new FaultProxy(options);
    await new Promise<void>((resolve) => proxy.#server.listen(0, HOST, resolve));
    return proxy;
  }

  private constructor(options: ProxyOptions) {
    this.#options = options;
    this.#server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => this.#accept(socket));
  }

  get port(): number {
    return (this.#server.address() as net.AddressInfo).port;
  }

  get address(): string {
    return `${HOST}:${this.port}`;
  }

  /** The link by which a process of this name comes, whether or not it has dialled yet. */
  link(name: string): Link {
    const known = this.#links.get(name);
    if (known !== undefined) return known;
    const link = new Link(this.counts);
    this.#links.set(name, link);
    return link;
  }

  get links(): readonly Link[] {
    return [...this.#links.values()];
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const link of this.links) link.cut();
    await closed;
  }

  #accept(asker: net.Socket): void {
    const { target, stranger, nameOf, random } = this.#options;
    const link = this.link(nameOf(asker.remotePort ?? 0, this.port));
    const { isMisrouted, isRefusing } = link.weather;
    const port = isMisrouted ? stranger?.() : target();
    // A connection that breaks is no error of the proxy.
    asker.on('error', () => undefined);
    if (port === undefined || isRefusing) {
      if (isRefusing) this.counts.refused += 1;
      asker.resetAndDestroy();
      return;
    }
    this.counts.connections += 1;
    if (isMisrouted) this.counts.misrouted += 1;
    const answerer = net.connect({ port, host: HOST, allowHalfOpen: true, noDelay: true });
    link.add(new Connection(asker, answerer, link, random));
  }
}

/** All connections of one process to the one behind the proxy. */
export class Link {
  readonly counts: ProxyCounts;
  readonly weather: Weather = { delayMs: 0, jitterMs: 0, bytesPerSecond: Infinity, silent: new Set(), isRefusing: false, isMisrouted: false };
  readonly #connections = new Set<Connection>();
  readonly #wounds: Record<Direction, Wound[]> = { there: [], back: [] };

  constructor(counts: ProxyCounts) {
    this.counts = counts;
  }

  get connectionCount(): number {
    return this.#connections.size;
  }

  get woundedCount(): number {
    return [...this.#connections].filter((connection) => connection.isWounded).length;
  }

  add(connection: Connection): void {
    this.#connections.add(connection);
    connection.onClose(() => this.#connections.delete(connection));
  }

  change(weather: Partial<Omit<Weather, 'silent'>>): void {
    Object.assign(this.weather, weather);
    this.#wake();
  }

  silence(...directions: readonly Direction[]): void {
    for (const direction of directions) this.weather.silent.add(direction);
  }

  /** What was held goes on its way, as after lost packets that are sent again. */
  thaw(): void {
    this.weather.silent.clear();
    this.#wake();
  }

  /** Ends every connection at both ends, wherever its messages stand. */
  cut(how: 'reset' | 'end' = 'reset'): void {
    for (const connection of [...this.#connections]) connection.cut(how);
  }

  /** Damages the next bytes in this direction. */
  wound(wound: Wound, direction: Direction): void {
    this.#wounds[direction].push(wound);
  }

  takeWound(direction: Direction): Wound | undefined {
    return this.#wounds[direction].shift();
  }

  /**
   * Keeps back for `collectMs` what the present connections carry there, resets them for who dialled alone,
   * and delivers after `lateMs` more: old messages come behind those of newer connections.
   */
  async delayPast(collectMs: number, lateMs: number): Promise<void> {
    await Promise.all([...this.#connections].map((connection) => connection.delayPast(collectMs, lateMs)));
  }

  /** Ends all faults of this link. */
  heal(): void {
    for (const direction of DIRECTIONS) this.#wounds[direction].length = 0;
    this.change({ delayMs: 0, jitterMs: 0, bytesPerSecond: Infinity, isRefusing: false, isMisrouted: false });
    this.thaw();
  }

  #wake(): void {
    for (const connection of this.#connections) connection.wake();
  }
}

class Connection {
  readonly #asker: net.Socket;
  readonly #answerer: net.Socket;
  readonly #link: Link;
  readonly #streams: Readonly<Record<Direction, FaultyStream>>;
  /** Who ended it first; the network, when the proxy did. */
  #endedBy: 'asker' | 'answerer' | 'network' | undefined;
  #open = 2;
  #onClose: () => void = () => undefined;

  constructor(asker: net.Socket, answerer: net.Socket, link: Link, random: SeededRandom) {
    this.#asker = asker;
    this.#answerer = answerer;
    this.#link = link;
    const stream = (from: net.Socket, to: net.Socket, direction: Direction): FaultyStream =>
      new FaultyStream({
        from,
        to,
        direction,
        weather: link.weather,
        random,
        takeWound: () => this.#takeWound(direction),
        onDelayed: () => (link.counts.delayedPieces += 1),
      });
    this.#streams = { there: stream(asker, answerer, 'there'), back: stream(answerer, asker, 'back') };
    for (const event of ['end', 'error']) {
      asker.once(event, () => this.#ended('asker'));
      answerer.once(event, () => this.#ended('answerer'));
    }
    for (const socket of [asker, answerer]) {
      socket.once('close', () => {
        this.#open -= 1;
        if (this.#open === 0) this.#onClose();
      });
    }
  }

  get isWounded(): boolean {
    return DIRECTIONS.some((direction) => this.#streams[direction].isWounded);
  }

  onClose(listener: () => void): void {
    this.#onClose = listener;
  }

  wake(): void {
    for (const direction of DIRECTIONS) this.#streams[direction].wake();
  }

  cut(how: 'reset' | 'end'): void {
    this.#ended('network');
    this.#link.counts.cut += 1;
    for (const socket of [this.#asker, this.#answerer]) {
      if (how === 'reset') socket.resetAndDestroy();
      else socket.destroySoon();
    }
  }

  async delayPast(collectMs: number, lateMs: number): Promise<void> {
    const { there } = this.#streams;
    there.hold();
    await sleep(collectMs);
    if (this.#endedBy === undefined) {
      this.#ended('network');
      this.#asker.resetAndDestroy();
      there.finish();
      await sleep(lateMs);
      if (!this.#answerer.destroyed) this.#link.counts.lateBytes += there.queuedBytes;
    }
    there.release();
  }

  #takeWound(direction: Direction): Wound | undefined {
    const wound = this.#link.takeWound(direction);
    if (wound === undefined) return undefined;
    const { counts } = this.#link;
    counts[wound] += 1;
    if (!this.isWounded) counts.wounded += 1;
    return wound;
  }

  /** Who got damaged bytes and is the first to end the connection has noticed. */
  #ended(by: 'asker' | 'answerer' | 'network'): void {
    if (this.#endedBy !== undefined) return;
    this.#endedBy = by;
    const { there, back } = this.#streams;
    if ((by === 'asker' && back.isWounded) || (by === 'answerer' && there.isWounded)) this.#link.counts.woundsNoticed += 1;
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
