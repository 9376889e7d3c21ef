/**
 * What a run does, as data that follows from its seed: the shape of the cluster, what each client asks, and
 * which faults befall whom and when.
 */
import { makeFaults } from './faults.ts';
import type { Fault } from './faults.ts';
import { SeededRandom } from './seeded-random.ts';
import type { SimulatedShape } from './simulated-cluster.ts';
import { pickFrontTheme, pickTheme } from './themes.ts';
import type { Theme } from './themes.ts';
import { makeVersionSteps } from './version-steps.ts';
import type { VersionStep } from './version-steps.ts';

/** Of a PUT: where nothing is, or in place of what the client has just seen. */
export type StepCondition = 'absent' | 'seen';

export type Step =
  | { readonly act: 'put'; readonly key: number; readonly size: number; readonly condition?: StepCondition; readonly thinkMs: number; readonly gateway: number }
  /** A multipart upload of two parts, completed on the condition if there is one. */
  | { readonly act: 'complete'; readonly key: number; readonly size: number; readonly condition?: StepCondition; readonly thinkMs: number; readonly gateway: number }
  /** What stands under `source` at that moment, so that keys come to share their contents. */
  | { readonly act: 'copy'; readonly key: number; readonly source: number; readonly condition?: StepCondition; readonly thinkMs: number; readonly gateway: number }
  | { readonly act: 'delete'; readonly key: number; readonly condition?: 'seen'; readonly thinkMs: number; readonly gateway: number }
  | { readonly act: 'get' | 'head'; readonly key: number; readonly thinkMs: number; readonly gateway: number }
  | { readonly act: 'list'; readonly thinkMs: number; readonly gateway: number };

export interface Scenario {
  readonly seed: number;
  readonly theme: string;
  /** Is the bucket serialised, and do clients write on conditions? */
  readonly isSerialised: boolean;
  /** What its clients do in a bucket that keeps versions; none in most runs. */
  readonly versions: VersionWork | null;
  /** Is every key deleted at the end, and must then nothing be left of all contents? */
  readonly empties: boolean;
  /** Is the cluster left alone at the end until all that it does behind has been done? */
  readonly settles: boolean;
  /** Does an adversary that adapts decide how late requests are (adversaries/greedy.ts)? */
  readonly isGreedy: boolean;
  /** Do the bad slots lie, and is nothing else wrong? Then every operation succeeds. */
  readonly calm: boolean;
  readonly shape: SimulatedShape;
  /** At most f slots, which may lie, rot and be rolled back; the others only crash and lose contact. */
  readonly bad: readonly number[];
  readonly keys: number;
  readonly clients: readonly (readonly Step[])[];
  /** Moves of the stolen writer, if there is one. */
  readonly thefts: number;
  readonly faults: readonly Fault[];
}

export interface VersionWork {
  readonly keys: number;
  /** Under object lock, with a gateway whose keys were stolen. */
  readonly locks: boolean;
  readonly clients: readonly (readonly VersionStep[])[];
}

/** Of the buckets that clients write: as each theme says, or of one kind. New ones are serialised. */
export const bucketKinds = ['plain', 'serialised'] as const;

export interface ScenarioOptions {
  /** All runs in buckets of one kind, and without the themes that came with serialised ones. */
  readonly buckets?: (typeof bucketKinds)[number];
  /** Operations of all clients together. */
  readonly operations?: number;
  /** The bad slots follow this strategy alone, or work for the greedy adversary. */
  readonly adversary?: string;
  /** What every run is about (themes.ts). */
  readonly theme?: string;
  /** No faults but lies. */
  readonly calm?: boolean;
}

/** The name of the adversary that adapts, and what the bad nodes do for it. */
export const GREEDY = 'greedy';
const GREEDY_NODES = 'promises-all';

const SHAPES: readonly Pick<SimulatedShape, 'n' | 'f' | 'k'>[] = [
  { n: 6, f: 1, k: 4 },
  { n: 6, f: 1, k: 4 },
  { n: 4, f: 1, k: 2 },
  { n: 5, f: 1, k: 3 },
  { n: 7, f: 2, k: 3 },
];
/** Inline, one stripe, several stripes; the large ones are rare, because they cost the most. */
const SIZES = [0, 40, 40, 900, 900, 5_000, 20_000, 20_000, 100_000];
/** For each cell that decodes a stripe: two stripes, which are uploaded before they are prepared. */
const LARGE_BYTES_A_CELL = 300_000;
const OPERATIONS = 100;
/** Of the runs of a mixed campaign; and how many of the others are in serialised buckets. */
const FRONT_SHARE = 0.3;
const SERIALISED_SHARE = 0.6;
/** How long an operation takes about. */
const OPERATION_MS = 12;

export function makeScenario(seed: number, options: ScenarioOptions = {}): Scenario {
  const random = new SeededRandom(`seed ${seed}`);
  const base = random.fork('shape');
  const { theme, isSerialised } = kindOf(seed, pickTheme(base, options.theme), options);
  const shape: SimulatedShape = { ...base.pick(SHAPES), gateways: base.pick(theme.gateways), isWriterStolen: base.chance(theme.stolenShare) };
  const slots = Array.from({ length: shape.n }, (_, slot) => slot);
  // Now and then nobody is bad: then nothing may be missing at all.
  const bad = base.shuffled(slots).slice(0, base.chance(0.15) && options.adversary === undefined ? 0 : shape.f);
  const keys = base.pick(theme.keys);
  const clientCount = base.pick(theme.clients);
  const each = Math.ceil((options.operations ?? OPERATIONS) / clientCount);
  const thinkMs = base.pick(theme.thinkMs);
  const pace: Pace = { k: shape.k, keys, gateways: shape.gateways, thinkMs, writeShare: base.pick(theme.writeShare), listShare: theme.listShare, largeShare: theme.largeShare, conditionShare: theme.conditionShare, copyShare: theme.copyShare, completeShare: theme.completeShare };
  const isVersioned = theme.versions !== 'none';
  const clients = isVersioned ? [] : Array.from({ length: clientCount }, (_, client) => makeSteps(random.fork(`client ${client}`), each, pace));
  const versions = isVersioned ? makeVersions(random, theme, { clientCount, each, ...pace }) : null;
  const horizonMs = each * (thinkMs + OPERATION_MS);
  const everyMs = horizonMs / base.pick(theme.faultCounts);
  const isGreedy = theme.isGreedy || options.adversary === GREEDY;
  const named = options.adversary === GREEDY ? undefined : options.adversary;
  const adversary = named ?? (isGreedy ? GREEDY_NODES : undefined);
  const space = { shape, bad, horizonMs, everyMs, spanMs: base.pick(theme.spanMs), makers: theme.makers, adversary, isAhead: theme.versions === 'locked', signs: options.buckets === undefined };
  const all = makeFaults(random.fork('faults'), space);
  const calm = options.calm === true;
  const faults = calm ? all.filter(({ kind, atMs }) => kind === 'lie' || (kind === 'clock' && atMs === 0)) : all;
  const thefts = shape.isWriterStolen ? Math.ceil(each / 2) : 0;
  return { seed, theme: theme.name, isSerialised, versions, empties: theme.empties, settles: theme.settles, isGreedy, calm, shape, bad, keys: isVersioned ? 0 : keys, clients, thefts, faults };
}

/**
 * In the mix of all themes some runs are about what only serialised buckets do, and most of the others are in
 * such buckets. That is drawn apart from all else: a seed in plain buckets is the run that it always was.
 */
function kindOf(seed: number, theme: Theme, { buckets, theme: named }: ScenarioOptions): { readonly theme: Theme; readonly isSerialised: boolean } {
  const random = new SeededRandom(`kind of ${seed}`);
  if (named !== undefined) return { theme, isSerialised: theme.isSerialised || buckets === 'serialised' };
  if (buckets !== undefined) return { theme, isSerialised: buckets === 'serialised' };
  if (random.chance(FRONT_SHARE)) return { theme: pickFrontTheme(random), isSerialised: true };
  return { theme, isSerialised: random.chance(SERIALISED_SHARE) };
}

function makeVersions(random: SeededRandom, { versions }: Theme, pace: Pace & { readonly clientCount: number; readonly each: number }): VersionWork {
  const { clientCount, each, keys, gateways, thinkMs } = pace;
  const locks = versions === 'locked';
  const clients = Array.from({ length: clientCount }, (_, client) => makeVersionSteps(random.fork(`versions ${client}`), each, { keys, gateways, thinkMs, locks }));
  return { keys, locks, clients };
}

interface Pace {
  readonly k: number;
  readonly keys: number;
  readonly gateways: number;
  readonly thinkMs: number;
  readonly writeShare: number;
  readonly listShare: number;
  readonly largeShare: number;
  readonly conditionShare: number;
  readonly copyShare: number;
  readonly completeShare: number;
}

function makeSteps(random: SeededRandom, count: number, pace: Pace): Step[] {
  const { k, keys, gateways, thinkMs: meanMs, writeShare, listShare, largeShare, conditionShare, copyShare, completeShare } = pace;
  const home = random.below(gateways);
  return Array.from({ length: count }, (): Step => {
    const thinkMs = random.around(meanMs);
    const gateway = random.chance(0.8) ? home : random.below(gateways);
    const key = random.below(keys);
    const reads = (): 'list' | 'get' | 'head' => (random.chance(listShare) ? 'list' : random.pick(['get', 'get', 'get', 'head'] as const));
    const act = random.chance(writeShare) ? random.pick(['put', 'put', 'put', 'put', 'delete'] as const) : reads();
    if (act === 'list') return { act, thinkMs, gateway };
    // Themes without conditions and copies draw nothing for them, so that their runs stay what they are.
    const condition = conditionShare === 0 || !random.chance(conditionShare) ? undefined : random.pick(['absent', 'seen', 'seen'] as const);
    if (act === 'delete') return { act, key, ...(condition === undefined ? {} : { condition: 'seen' as const }), thinkMs, gateway };
    if (act !== 'put') return { act, key, thinkMs, gateway };
    const on = condition === undefined ? {} : { condition };
    if (copyShare > 0 && random.chance(copyShare)) return { act: 'copy', key, source: random.below(keys), ...on, thinkMs, gateway };
    const size = random.chance(largeShare) ? k * LARGE_BYTES_A_CELL : random.pick(SIZES);
    if (completeShare > 0 && random.chance(completeShare)) return { act: 'complete', key, size, ...on, thinkMs, gateway };
    return { act, key, size, ...on, thinkMs, gateway };
  });
}
