/**
 * What befalls a proxied cluster in a storm, drawn from a seed. Networks may do anything to any link, as long
 * as it ends; at most one node at a time is out for a while (killed, stopped, its disk full), and at most one
 * gateway. Each fault is written down with its time.
 */
import type { SeededRandom } from '../../src/sim/seeded-random.ts';
import type { Link } from './fault-proxy.ts';
import { DIRECTIONS, WOUNDS } from './faulty-stream.ts';
import type { Direction } from './faulty-stream.ts';
import type { Member } from './member.ts';
import { until } from './programs.ts';
import type { ProxiedCluster } from './proxied-cluster.ts';

/** Mean of what lasts, and of what now and then lasts past deadlines. */
const SPAN_MS = 500;
const LONG_SPAN_MS = 4_000;
const LONG_SHARE = 0.08;
const RESTARTED_FULL_SHARE = 0.5;
/** What a node still sees free of a full disk: fewer bytes than any segment needs. */
const FULL_BYTES_MAX = 1024 * 1024;
/** So long bytes are waited for that can be damaged. */
const WOUND_MS_MIN = 1_500;
/** Links that are in trouble at once. */
const NETWORK_HANDS = 2;
/** Between two faults of one hand. */
const LULL_MS = 250;
const NODE_LULL_MS = 800;
const CLIENT_LULL_MS = 800;
const GATEWAY_LULL_MS = 1_500;

const NODE_FAULTS = ['killed', 'stopped', 'full disk'] as const;
const GATEWAY_FAULTS = ['killed', 'stopped'] as const;
/** Plain HTTP would take damaged bytes for good ones, and any gateway for its own. */
const CLIENT_FAULTS: ReadonlySet<string> = new Set(['slow', 'thin', 'silent', 'cut']);

export class StormFaults {
  readonly counts = new Map<string, number>();
  readonly #cluster: ProxiedCluster;
  readonly #random: SeededRandom;
  readonly #notes: string[] = [];
  readonly #from = performance.now();
  readonly #spanMsMax: number;

  constructor(cluster: ProxiedCluster, random: SeededRandom, spanMsMax: number) {
    this.#cluster = cluster;
    this.#random = random;
    this.#spanMsMax = spanMsMax;
  }

  /** One line a fault, with milliseconds since the storm began. */
  get timeline(): readonly string[] {
    return this.#notes;
  }

  /** Goes on until `isOver`; everything is healed then, and every process runs. */
  async blow(isOver: () => boolean): Promise<void> {
    const hands = Array.from({ length: NETWORK_HANDS }, (_, hand) => this.#troubleLinks(this.#random.fork(`network ${hand}`), isOver));
    await Promise.all([
      ...hands,
      this.#troubleClients(this.#random.fork('clients'), isOver),
      this.#troubleNodes(this.#random.fork('nodes'), isOver),
      this.#troubleGateways(this.#random.fork('gateways'), isOver),
    ]);
    for (const proxy of this.#cluster.proxies) for (const link of proxy.links) link.heal();
  }

  /** Between gateways or nodes and nodes. */
  async #troubleLinks(random: SeededRandom, isOver: () => boolean): Promise<void> {
    const { nodes, gateways } = this.#cluster;
    for (const fault of turns(random, LINK_FAULTS, isOver)) {
      const slot = random.below(nodes.length);
      const others = nodes.filter((_, other) => other !== slot);
      const { name } = random.pick(random.chance(0.8) ? gateways : others);
      await this.#trouble(this.#cluster.link(name, slot), `${name} - node ${slot}`, random, fault);
      await sleep(random.around(LULL_MS));
    }
  }

  async #troubleClients(random: SeededRandom, isOver: () => boolean): Promise<void> {
    const faults = LINK_FAULTS.filter(([name]) => CLIENT_FAULTS.has(name));
    for (const fault of turns(random, faults, isOver)) {
      const gateway = random.below(this.#cluster.gateways.length);
      await this.#trouble(this.#cluster.clientLink(gateway), `clients - gateway ${gateway}`, random, fault);
      await sleep(random.around(CLIENT_LULL_MS));
    }
  }

  async #trouble(link: Link, where: string, random: SeededRandom, [name, fault]: LinkFault): Promise<void> {
    const spanMs = Math.max(this.#spanOf(random), name === 'wound' ? WOUND_MS_MIN : 0);
    const told = fault(link, random, spanMs);
    this.#note(`link ${name}`, `${where}: ${told} for ${Math.round(spanMs)} ms`);
    await sleep(spanMs);
    link.heal();
  }

  async #troubleNodes(random: SeededRandom, isOver: () => boolean): Promise<void> {
    const kinds = NODE_FAULTS.filter((kind) => kind !== 'full disk' || this.#cluster.smallDisk !== null);
    for (const kind of turns(random, kinds, isOver)) {
      await this.#strike(kind === 'full disk' ? this.#cluster.smallDiskNode : random.pick(this.#cluster.nodes), kind, random);
      await sleep(random.around(NODE_LULL_MS));
    }
  }

  async #troubleGateways(random: SeededRandom, isOver: () => boolean): Promise<void> {
    for (const kind of turns(random, GATEWAY_FAULTS, isOver)) {
      await sleep(random.around(GATEWAY_LULL_MS));
      await this.#strike(random.pick(this.#cluster.gateways), kind, random);
    }
  }

  /** Resolves when the member serves again. */
  async #strike(member: Member, kind: (typeof NODE_FAULTS)[number], random: SeededRandom): Promise<void> {
    const spanMs = this.#spanOf(random);
    this.#note(`${member.name.split(' ')[0]} ${kind}`, `${member.name}: ${kind} for ${Math.round(spanMs)} ms`);
    switch (kind) {
      case 'killed':
        await member.kill();
        await sleep(spanMs);
        member.start();
        await member.serves();
        break;
      case 'stopped':
        member.pause();
        await sleep(spanMs);
        member.resume();
        break;
      case 'full disk':
        await this.#fillDisk(member, spanMs, random.chance(RESTARTED_FULL_SHARE));
        break;
    }
    this.#note(undefined, `${member.name}: no longer ${kind}`);
  }

  /** Full for so long after the node has noticed, and perhaps it is killed and started again meanwhile. */
  async #fillDisk(node: Member, spanMs: number, isRestarted: boolean): Promise<void> {
    const { smallDisk } = this.#cluster;
    smallDisk?.fill();
    await until(`${node.name} notices that its disk is full`, async () => (await freeBytesOf(node)) < FULL_BYTES_MAX);
    await sleep(spanMs);
    let serves = true;
    if (isRestarted) {
      await node.kill();
      serves = await node.startIfRoom();
      const outcome = serves ? 'serves' : 'ends';
      this.#note(`node ${outcome} without room`, `${node.name}: killed, started again and ${outcome} without room`);
    }
    smallDisk?.empty();
    if (!serves) node.start();
    await node.serves();
  }

  #spanOf(random: SeededRandom): number {
    return Math.min(this.#spanMsMax, random.around(random.chance(LONG_SHARE) ? LONG_SPAN_MS : SPAN_MS));
  }

  #note(counted: string | undefined, what: string): void {
    if (counted !== undefined) this.counts.set(counted, (this.counts.get(counted) ?? 0) + 1);
    this.#notes.push(`${String(Math.round(performance.now() - this.#from)).padStart(6)} ms  ${what}`);
  }
}

/** Begins it, and says what it is; `heal` ends it. */
type LinkFault = readonly [name: string, begin: (link: Link, random: SeededRandom, spanMs: number) => string];

const LINK_FAULTS: readonly LinkFault[] = [
  [
    'slow',
    (link, random) => {
      const delayMs = Math.round(random.around(60));
      link.change({ delayMs, jitterMs: delayMs });
      return `${delayMs} to ${2 * delayMs} ms late`;
    },
  ],
  [
    'thin',
    (link, random) => {
      const bytesPerSecond = 50_000 + random.below(1_000_000);
      link.change({ bytesPerSecond });
      return `${bytesPerSecond} bytes a second`;
    },
  ],
  [
    'silent',
    (link, random) => {
      const directions = random.pick<readonly Direction[]>([['there'], ['back'], DIRECTIONS]);
      link.silence(...directions);
      return `silent ${directions.join(' and ')}`;
    },
  ],
  [
    'cut',
    (link, random) => {
      const how = random.pick(['reset', 'end'] as const);
      link.cut(how);
      return `cut by ${how}`;
    },
  ],
  [
    'refused',
    (link) => {
      link.change({ isRefusing: true });
      link.cut();
      return 'cut and refused';
    },
  ],
  [
    'misrouted',
    (link) => {
      link.change({ isMisrouted: true });
      link.cut();
      return 'cut and misrouted';
    },
  ],
  [
    'late',
    (link, _, spanMs) => {
      void link.delayPast(spanMs / 2, spanMs / 2);
      return 'delivered behind newer connections';
    },
  ],
  [
    'wound',
    (link, random) => {
      const wound = random.pick(WOUNDS);
      // Whichever way the next bytes go.
      for (const direction of DIRECTIONS) link.wound(wound, direction);
      return wound;
    },
  ],
];

/** By its own word. */
async function freeBytesOf(node: Member): Promise<number> {
  const { space } = (await node.status()) as { space: { freeBytes: number } };
  return space.freeBytes;
}

/** Items in a random order until `isOver`; each comes once before any comes again. */
function* turns<T>(random: SeededRandom, items: readonly T[], isOver: () => boolean): Generator<T> {
  for (;;) {
    for (const item of random.shuffled(items)) {
      if (isOver()) return;
      yield item;
    }
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
