/**
 * What may go wrong in a run, as data, and how it is drawn from the seed. Some of it may befall any process;
 * rot, older images and lies only the slots that the run calls bad.
 */
import type { RequestType } from '../protocol/messages.ts';
import { holderCount } from '../protocol/quorum.ts';
import { signedNames, unsignedNames } from './adversaries/strategies.ts';
import type { SeededRandom } from './seeded-random.ts';
import type { SimulatedShape } from './simulated-cluster.ts';

/** Times are milliseconds since the clients began. `process` is the name of a node or a gateway. */
export type Fault = { readonly atMs: number } & (
  | { readonly kind: 'crash'; readonly process: string; readonly power: boolean; readonly forMs: number }
  | { readonly kind: 'blackout'; readonly processes: readonly string[]; readonly forMs: number }
  | { readonly kind: 'crash-at-step'; readonly process: string; readonly steps: number; readonly of: 'steps' | 'syncs'; readonly happens: boolean; readonly power: boolean }
  | MessagePoint
  | StallPoint
  | { readonly kind: 'pause'; readonly process: string; readonly forMs: number }
  | { readonly kind: 'cut'; readonly a: string; readonly b: string; readonly forMs: number }
  | { readonly kind: 'drop' | 'hold'; readonly from: string; readonly to: string; readonly forMs: number }
  | { readonly kind: 'isolate'; readonly process: string; readonly forMs: number }
  | { readonly kind: 'slow-links' | 'slow-disk'; readonly process: string; readonly byMs: number; readonly forMs: number }
  | { readonly kind: 'late-requests'; readonly type: RequestType; readonly processes: readonly string[]; readonly byMs: number; readonly forMs: number }
  | { readonly kind: 'clock'; readonly process: string; readonly skewMs: number; readonly rate: number }
  | { readonly kind: 'full-disk'; readonly process: string; readonly forMs: number }
  | { readonly kind: 'rot'; readonly slot: number; readonly bytes: number }
  | { readonly kind: 'misdirect'; readonly slot: number; readonly bytes: number }
  | { readonly kind: 'duplicates'; readonly process: string; readonly forMs: number }
  | { readonly kind: 'relive'; readonly slot: number; readonly forMs: number }
  | { readonly kind: 'roll-back'; readonly slot: number; readonly backMs: number; readonly forMs: number }
  | { readonly kind: 'lie'; readonly slot: number; readonly strategy: string }
);

/**
 * The worst moment is one of the protocol, not of the clock: processes go down when a node has been asked, or
 * has answered, the count-th request of a type from now. Until then their disks are slow, so that what they
 * have not synced is gone.
 */
export interface MessagePoint {
  readonly kind: 'crash-at-message';
  readonly type: RequestType;
  readonly side: 'asked' | 'answered';
  readonly count: number;
  /** From that message on. */
  readonly afterMs: number;
  readonly processes: readonly string[];
  readonly power: boolean;
  readonly slowDiskMs: number;
  readonly forMs: number;
}

/** A process stands still when nodes have been asked, or have answered, the count-th request of a type from now. */
export interface StallPoint {
  readonly kind: 'stall-at-message';
  readonly type: RequestType;
  readonly side: 'asked' | 'answered';
  readonly count: number;
  readonly process: string;
  readonly forMs: number;
}

export type FaultKind = Fault['kind'];

/** A few faults last so long that deadlines pass. */
const LONG_SPAN_MS = 6_000;
const LONG_SHARE = 0.15;
/** Bad nodes that lie from the beginning, and strategies that need luck to do harm and so come more often. */
const LIAR_SHARE = 0.7;
const FAVOURED = ['promises-all', 'acknowledges-and-forgets', 'two-faced', 'fickle'] as const;
const FAVOURED_SHARE = 0.4;
const SIGNED_SHARE = 0.2;
const DECADE_MS = 10 * 365 * 86_400_000;
/** Stalls: within all deadlines of the client, beyond most of them, beyond all. */
const STALLS_MS = [500, 5_000, 12_000, 45_000];

export interface FaultSpace {
  readonly shape: SimulatedShape;
  readonly bad: readonly number[];
  /** Faults come in the first so many milliseconds, one about every `everyMs`. */
  readonly horizonMs: number;
  readonly everyMs: number;
  /** Mean of most faults that last. */
  readonly spanMs: number;
  /** Kinds of fault that may come, the frequent ones named more than once; any when undefined. */
  readonly makers: readonly MakerName[] | undefined;
  /** The only strategy of the bad nodes, if one is asked for. */
  readonly adversary: string | undefined;
  /** May bad nodes lie under signature, too? */
  readonly signs: boolean;
  /** Are the clocks of all bad nodes ten years ahead from the beginning? */
  readonly isAhead: boolean;
}

export function makeFaults(random: SeededRandom, space: FaultSpace): Fault[] {
  const { bad, horizonMs, everyMs, adversary } = space;
  const faults: Fault[] = [];
  for (const slot of bad) {
    if (adversary !== undefined) faults.push({ kind: 'lie', atMs: 0, slot, strategy: adversary });
    else if (random.chance(LIAR_SHARE)) faults.push({ kind: 'lie', atMs: 0, slot, strategy: anyStrategy(random, space.signs) });
  }
  if (space.isAhead) for (const slot of bad) faults.push({ kind: 'clock', atMs: 0, process: `node-${slot}`, skewMs: DECADE_MS, rate: 1 });
  // Not all kinds in each run, so that rare combinations get a chance.
  const kinds = space.makers ?? random.shuffled(makerNames).slice(0, 2 + random.below(makerNames.length - 1));
  for (let atMs = random.around(everyMs); atMs < horizonMs; atMs += random.around(everyMs)) {
    const fault = makerOf(random.pick(kinds))(random, space);
    if (fault !== null) faults.push({ ...fault, atMs: Math.round(atMs) });
  }
  return faults;
}

/** Some lie under signature instead, where `signs`; that draws nothing from the stream of the others. */
function anyStrategy(random: SeededRandom, signs: boolean): string {
  const drawn = random.chance(FAVOURED_SHARE) ? random.pick(FAVOURED) : random.pick(unsignedNames);
  const instead = random.fork(`instead of ${drawn}`);
  return signs && instead.chance(SIGNED_SHARE) ? instead.pick(signedNames) : drawn;
}

type FaultMaker = (random: SeededRandom, space: FaultSpace) => Fault | null;

function nodeNames({ shape }: FaultSpace): readonly string[] {
  return Array.from({ length: shape.n }, (_, slot) => `node-${slot}`);
}

function anyNode(random: SeededRandom, { shape }: FaultSpace): string {
  return `node-${random.below(shape.n)}`;
}

function anyGateway(random: SeededRandom, { shape }: FaultSpace): string {
  return `gateway-${random.below(shape.gateways)}`;
}

function anyProcess(random: SeededRandom, space: FaultSpace): string {
  return random.chance(0.25) ? anyGateway(random, space) : anyNode(random, space);
}

/** How long a fault lasts. */
function span(random: SeededRandom, { spanMs }: FaultSpace): number {
  return Math.round(random.around(random.chance(LONG_SHARE) ? LONG_SPAN_MS : spanMs));
}

/** A gateway and a node, or two nodes, either way round. */
function link(random: SeededRandom, space: FaultSpace): readonly [string, string] {
  const a = anyNode(random, space);
  const b = random.chance(0.8) ? anyGateway(random, space) : anyNode(random, space);
  return random.chance(0.5) ? [a, b] : [b, a];
}

const atMs = 0;

function messagePoint(random: SeededRandom, space: FaultSpace, types: readonly RequestType[]): Omit<MessagePoint, 'processes' | 'power'> & { readonly atMs: number } {
  return {
    kind: 'crash-at-message',
    atMs,
    type: random.pick(types),
    side: random.pick(['asked', 'answered'] as const),
    count: 1 + random.below(2 * space.shape.n),
    afterMs: random.around(0.7),
    slowDiskMs: random.pick([0, 5, 20]),
    forMs: Math.round(random.around(200)),
  };
}

const MAKERS = {
  crash: (random, space) => ({ kind: 'crash', atMs, process: anyProcess(random, space), power: random.chance(0.5), forMs: span(random, space) }),
  // Many lose power in one moment: what was acknowledged is on their disks.
  blackout: (random, space) => ({
    kind: 'blackout',
    atMs,
    processes: random.shuffled([...nodeNames(space), anyGateway(random, space)]).slice(0, 2 + random.below(space.shape.n)),
    forMs: Math.round(random.around(300)),
  }),
  crashAtStep: (random, space) => ({
    kind: 'crash-at-step',
    atMs,
    process: anyProcess(random, space),
    steps: 1 + random.below(12),
    of: 'steps',
    happens: random.chance(0.5),
    power: random.chance(0.5),
  }),
  // Of what is synced side by side, one has come to the disk and the other has not.
  powerLossAtSync: (random, space) => ({
    kind: 'crash-at-step',
    atMs,
    process: anyNode(random, space),
    steps: 1 + random.below(6),
    of: 'syncs',
    happens: random.chance(0.2),
    power: true,
  }),
  // Every node at once, just after some have promised something.
  blackoutAtMessage: (random, space) => ({
    ...messagePoint(random, space, ['PREPARE', 'COMMIT', 'COMMIT', 'CELL']),
    side: 'answered',
    processes: [...nodeNames(space), ...(random.chance(0.3) ? [anyGateway(random, space)] : [])],
    power: true,
  }),
  gatewayAtMessage: (random, space) => ({
    ...messagePoint(random, space, ['PREPARE', 'COMMIT', 'COMMIT', 'COMMIT', 'RESOLVE']),
    processes: [anyGateway(random, space)],
    power: random.chance(0.6),
  }),
  nodeAtMessage: (random, space) => ({
    ...messagePoint(random, space, ['PREPARE', 'COMMIT', 'CELL', 'FETCH', 'RESOLVE', 'SHOWN']),
    processes: [anyNode(random, space)],
    power: random.chance(0.6),
  }),
  pause: (random, space) => ({ kind: 'pause', atMs, process: anyProcess(random, space), forMs: span(random, space) }),
  cut: (random, space) => {
    const [a, b] = link(random, space);
    return { kind: 'cut', atMs, a, b, forMs: span(random, space) };
  },
  oneWay: (random, space) => {
    const [from, to] = link(random, space);
    return { kind: random.chance(0.5) ? 'drop' : 'hold', atMs, from, to, forMs: span(random, space) };
  },
  isolate: (random, space) => ({ kind: 'isolate', atMs, process: anyProcess(random, space), forMs: span(random, space) }),
  slowLinks: (random, space) => ({ kind: 'slow-links', atMs, process: anyProcess(random, space), byMs: Math.round(random.around(80)), forMs: span(random, space) }),
  slowDisk: (random, space) => ({ kind: 'slow-disk', atMs, process: anyNode(random, space), byMs: Math.round(random.around(20)), forMs: span(random, space) }),
  gatewayCrash: (random, space) => ({ kind: 'crash', atMs, process: anyGateway(random, space), power: random.chance(0.3), forMs: span(random, space) }),
  // Certificates come to one or two nodes in time, and to the others late: what readers see depends on whom they hear.
  lateCertificates: (random, space) => ({
    kind: 'late-requests',
    atMs,
    type: 'COMMIT',
    processes: random.shuffled(nodeNames(space)).slice(0, space.shape.n - 1 - random.below(2)),
    byMs: 20 + Math.round(random.around(200)),
    forMs: 100 + span(random, space),
  }),
  // Writes are acknowledged at once, and as many nodes as may lack them hear of it late.
  lateMinority: (random, space) => ({
    kind: 'late-requests',
    atMs,
    type: 'COMMIT',
    processes: random.shuffled(nodeNames(space)).slice(0, space.shape.n - holderCount(space.shape)),
    byMs: 50 + Math.round(random.around(500)),
    forMs: 100 + span(random, space),
  }),
  // The network knows the worst moment: it may hold back all messages of one kind, at some nodes and not at others.
  lateRequests: (random, space) => ({
    kind: 'late-requests',
    atMs,
    type: random.pick(['COMMIT', 'COMMIT', 'COMMIT', 'PREPARE', 'QUERY', 'RESOLVE', 'CHECKPOINT'] as const),
    processes: random.shuffled(nodeNames(space)).slice(0, random.pick([1, space.shape.f, space.shape.n - 2, space.shape.n - 1, space.shape.n - 1])),
    byMs: Math.round(random.around(random.pick([20, 200, 2_000]))),
    forMs: span(random, space),
  }),
  clock: (random, space) => ({
    kind: 'clock',
    atMs,
    process: anyProcess(random, space),
    skewMs: Math.round((random.fraction() - 0.5) * 7_200_000),
    rate: random.pick([0.9, 0.99, 1, 1.01, 1.1]),
  }),
  fullDisk: (random, space) => ({ kind: 'full-disk', atMs, process: anyNode(random, space), forMs: span(random, space) }),
  rot: (random, { bad }) => (bad.length === 0 ? null : { kind: 'rot', atMs, slot: random.pick(bad), bytes: 1 + random.below(20) }),
  misdirect: (random, { bad }) => (bad.length === 0 ? null : { kind: 'misdirect', atMs, slot: random.pick(bad), bytes: 1 + random.below(4096) }),
  duplicates: (random, space) => ({ kind: 'duplicates', atMs, process: anyNode(random, space), forMs: 10 * span(random, space) }),
  rollBack: (random, space) =>
    space.bad.length === 0 ? null : { kind: 'roll-back', atMs, slot: random.pick(space.bad), backMs: span(random, space), forMs: span(random, space) },
  // It lives a piece of its life a second time.
  relive: (random, space) => (space.bad.length === 0 ? null : { kind: 'relive', atMs, slot: random.pick(space.bad), forMs: span(random, space) }),
  lie: (random, { bad, adversary, signs }) =>
    bad.length === 0 ? null : { kind: 'lie', atMs, slot: random.pick(bad), strategy: adversary ?? anyStrategy(random, signs) },
} satisfies Record<string, FaultMaker>;

/** Those of the themes that name them, so that a selection of all stays what it was. */
const NAMED_MAKERS = {
  // It holds ballots that nobody else knows the end of, and wakes with what it was about to say.
  gatewayStalls: (random, space) => ({
    kind: 'stall-at-message',
    atMs,
    type: random.pick(['PROMISE', 'STAGE', 'PREPARE', 'PREPARE', 'COMMIT', 'QUERY'] as const),
    side: random.pick(['asked', 'answered'] as const),
    count: 1 + random.below(2 * space.shape.n),
    process: anyGateway(random, space),
    forMs: Math.round(random.around(random.pick(STALLS_MS))),
  }),
  // Of a bad node, or of a gateway: both are nothing that retention may rest on.
  decadeAhead: (random, space) => ({
    kind: 'clock',
    atMs,
    process: space.bad.length > 0 && random.chance(0.5) ? `node-${random.pick(space.bad)}` : anyGateway(random, space),
    skewMs: random.chance(0.7) ? DECADE_MS : -3_600_000,
    rate: 1,
  }),
} satisfies Record<string, FaultMaker>;

export type MakerName = keyof typeof MAKERS | keyof typeof NAMED_MAKERS;

const makerNames = Object.keys(MAKERS) as MakerName[];

function makerOf(name: MakerName): FaultMaker {
  return { ...MAKERS, ...NAMED_MAKERS }[name];
}
