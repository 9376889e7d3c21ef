/**
 * What a run does, as data that follows from its seed: the shape of the cluster, what each client asks, and
 * which faults befall whom and when. A part of it can be left out, which is how a failing run is made smaller.
 */
import { strategyNames } from './adversaries/strategies.ts';
import type { RequestType } from '../protocol/messages.ts';
import { SeededRandom } from './seeded-random.ts';
import type { SimulatedShape } from './simulated-cluster.ts';

export type Step =
  | { readonly act: 'put'; readonly key: number; readonly size: number; readonly thinkMs: number; readonly gateway: number }
  | { readonly act: 'get' | 'head' | 'delete'; readonly key: number; readonly thinkMs: number; readonly gateway: number }
  | { readonly act: 'list'; readonly thinkMs: number; readonly gateway: number };

/** Times are milliseconds since the clients began. `process` is the name of a node or a gateway. */
export type Fault = { readonly atMs: number } & (
  | { readonly kind: 'crash'; readonly process: string; readonly power: boolean; readonly forMs: number }
  | { readonly kind: 'crash-at-step'; readonly process: string; readonly steps: number; readonly happens: boolean; readonly power: boolean }
  | { readonly kind: 'pause'; readonly process: string; readonly forMs: number }
  | { readonly kind: 'cut'; readonly a: string; readonly b: string; readonly forMs: number }
  | { readonly kind: 'drop' | 'hold'; readonly from: string; readonly to: string; readonly forMs: number }
  | { readonly kind: 'isolate'; readonly process: string; readonly forMs: number }
  | { readonly kind: 'slow-links' | 'slow-disk'; readonly process: string; readonly byMs: number; readonly forMs: number }
  | { readonly kind: 'late-requests'; readonly type: RequestType; readonly processes: readonly string[]; readonly byMs: number; readonly forMs: number }
  | { readonly kind: 'clock'; readonly process: string; readonly skewMs: number; readonly rate: number }
  | { readonly kind: 'full-disk'; readonly process: string; readonly forMs: number }
  | { readonly kind: 'rot'; readonly slot: number; readonly bytes: number }
  | { readonly kind: 'roll-back'; readonly slot: number; readonly backMs: number; readonly forMs: number }
  | { readonly kind: 'lie'; readonly slot: number; readonly strategy: string }
);

export type FaultKind = Fault['kind'];

export interface Scenario {
  readonly seed: number;
  readonly shape: SimulatedShape;
  /** At most f slots, which may lie, rot and be rolled back; the others only crash and lose contact. */
  readonly bad: readonly number[];
  readonly keys: number;
  readonly clients: readonly (readonly Step[])[];
  /** Moves of the stolen writer, if there is one. */
  readonly thefts: number;
  readonly faults: readonly Fault[];
}

export interface ScenarioOptions {
  /** Operations of all clients together. */
  readonly operations?: number;
  /** The bad slots follow this strategy alone. */
  readonly adversary?: string;
}

const SHAPES: readonly Pick<SimulatedShape, 'n' | 'f' | 'k'>[] = [
  { n: 6, f: 1, k: 4 },
  { n: 6, f: 1, k: 4 },
  { n: 4, f: 1, k: 2 },
  { n: 5, f: 1, k: 3 },
  { n: 7, f: 2, k: 3 },
];
/** Inline, one stripe, several stripes; the large ones are rare, because they cost the most. */
const SIZES = [0, 40, 40, 900, 900, 5_000, 20_000, 20_000, 100_000];
const LARGE_SIZE = 900_000;
const LARGE_SHARE = 0.02;
const OPERATIONS = 100;
const THINK_MS = 60;
/** A fault comes about so often. */
const FAULT_EVERY_MS = 250;

export function makeScenario(seed: number, options: ScenarioOptions = {}): Scenario {
  const random = new SeededRandom(`seed ${seed}`);
  const base = random.fork('shape');
  const shape: SimulatedShape = { ...base.pick(SHAPES), gateways: 1 + base.below(3), isWriterStolen: base.chance(0.4) };
  const slots = Array.from({ length: shape.n }, (_, slot) => slot);
  // Now and then nobody is bad: then nothing may be missing at all.
  const bad = base.shuffled(slots).slice(0, base.chance(0.15) && options.adversary === undefined ? 0 : shape.f);
  const keys = 1 + base.below(4);
  const clientCount = 2 + base.below(4);
  const each = Math.ceil((options.operations ?? OPERATIONS) / clientCount);
  const clients = Array.from({ length: clientCount }, (_, client) => makeSteps(random.fork(`client ${client}`), each, keys, shape.gateways));
  const horizonMs = each * THINK_MS * 2;
  const faults = makeFaults(random.fork('faults'), { shape, bad, horizonMs, adversary: options.adversary });
  const thefts = shape.isWriterStolen ? Math.ceil(each / 2) : 0;
  return { seed, shape, bad, keys, clients, thefts, faults };
}

function makeSteps(random: SeededRandom, count: number, keys: number, gateways: number): Step[] {
  const home = random.below(gateways);
  return Array.from({ length: count }, (): Step => {
    const thinkMs = random.around(THINK_MS);
    const gateway = random.chance(0.8) ? home : random.below(gateways);
    const key = random.below(keys);
    const act = random.pick(['put', 'put', 'put', 'put', 'get', 'get', 'get', 'head', 'delete', 'list'] as const);
    if (act === 'list') return { act, thinkMs, gateway };
    if (act !== 'put') return { act, key, thinkMs, gateway };
    const size = random.chance(LARGE_SHARE) ? LARGE_SIZE : random.pick(SIZES);
    return { act, key, size, thinkMs, gateway };
  });
}

interface FaultSpace {
  readonly shape: SimulatedShape;
  readonly bad: readonly number[];
  readonly horizonMs: number;
  readonly adversary: string | undefined;
}

function makeFaults(random: SeededRandom, space: FaultSpace): Fault[] {
  const { bad, horizonMs, adversary } = space;
  const faults: Fault[] = [];
  for (const slot of bad) {
    if (adversary !== undefined) faults.push({ kind: 'lie', atMs: 0, slot, strategy: adversary });
    else if (random.chance(0.7)) faults.push({ kind: 'lie', atMs: 0, slot, strategy: random.pick(strategyNames) });
  }
  // Each run has a mood: few faults or many, and not all kinds, so that rare combinations get a chance.
  const everyMs = FAULT_EVERY_MS * random.pick([0.3, 1, 1, 3, 10]);
  const kinds = random.shuffled(Object.keys(MAKERS) as (keyof typeof MAKERS)[]).slice(0, 2 + random.below(Object.keys(MAKERS).length - 1));
  for (let atMs = random.around(everyMs); atMs < horizonMs; atMs += random.around(everyMs)) {
    const fault = MAKERS[random.pick(kinds)](random, space);
    if (fault !== null) faults.push({ ...fault, atMs: Math.round(atMs) });
  }
  return faults;
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

/** Most last shortly; some so long that deadlines pass. */
function span(random: SeededRandom): number {
  return Math.round(random.around(random.chance(0.2) ? 6_000 : 400));
}

/** A gateway and a node, or two nodes, either way round. */
function link(random: SeededRandom, space: FaultSpace): readonly [string, string] {
  const a = anyNode(random, space);
  const b = random.chance(0.8) ? anyGateway(random, space) : anyNode(random, space);
  return random.chance(0.5) ? [a, b] : [b, a];
}

const atMs = 0;

const MAKERS = {
  crash: (random, space) => ({ kind: 'crash', atMs, process: anyProcess(random, space), power: random.chance(0.5), forMs: span(random) }),
  crashAtStep: (random, space) => ({
    kind: 'crash-at-step',
    atMs,
    process: anyProcess(random, space),
    steps: 1 + random.below(12),
    happens: random.chance(0.5),
    power: random.chance(0.5),
  }),
  pause: (random, space) => ({ kind: 'pause', atMs, process: anyProcess(random, space), forMs: span(random) }),
  cut: (random, space) => {
    const [a, b] = link(random, space);
    return { kind: 'cut', atMs, a, b, forMs: span(random) };
  },
  oneWay: (random, space) => {
    const [from, to] = link(random, space);
    return { kind: random.chance(0.5) ? 'drop' : 'hold', atMs, from, to, forMs: span(random) };
  },
  isolate: (random, space) => ({ kind: 'isolate', atMs, process: anyProcess(random, space), forMs: span(random) }),
  slowLinks: (random, space) => ({ kind: 'slow-links', atMs, process: anyProcess(random, space), byMs: Math.round(random.around(80)), forMs: span(random) }),
  slowDisk: (random, space) => ({ kind: 'slow-disk', atMs, process: anyNode(random, space), byMs: Math.round(random.around(20)), forMs: span(random) }),
  // The network knows the worst moment: it may hold back all messages of one kind, at some nodes and not at others.
  lateRequests: (random, space) => ({
    kind: 'late-requests',
    atMs,
    type: random.pick(['COMMIT', 'COMMIT', 'COMMIT', 'PREPARE', 'QUERY', 'RESOLVE', 'CHECKPOINT'] as const),
    processes: random.shuffled(nodeNames(space)).slice(0, 1 + random.below(space.shape.n)),
    byMs: Math.round(random.around(300)),
    forMs: span(random),
  }),
  clock: (random, space) => ({
    kind: 'clock',
    atMs,
    process: anyProcess(random, space),
    skewMs: Math.round((random.fraction() - 0.5) * 7_200_000),
    rate: random.pick([0.9, 0.99, 1, 1.01, 1.1]),
  }),
  fullDisk: (random, space) => ({ kind: 'full-disk', atMs, process: anyNode(random, space), forMs: span(random) }),
  rot: (random, { bad }) => (bad.length === 0 ? null : { kind: 'rot', atMs, slot: random.pick(bad), bytes: 1 + random.below(20) }),
  rollBack: (random, { bad }) => (bad.length === 0 ? null : { kind: 'roll-back', atMs, slot: random.pick(bad), backMs: span(random), forMs: span(random) }),
  lie: (random, { bad, adversary }) =>
    bad.length === 0 ? null : { kind: 'lie', atMs, slot: random.pick(bad), strategy: adversary ?? random.pick(strategyNames) },
} satisfies Record<string, FaultMaker>;
