/**
 * What runs are about. Most are about everything; some dwell on a part of the protocol, because the moments in
 * which it could fail are rare: a certificate on a few nodes only, many losses of power, gateways that die in
 * the middle of writes, writers that contend for one key.
 */
import type { MakerName } from './faults.ts';
import type { SeededRandom } from './seeded-random.ts';

/** Each run picks one value of each list. */
export interface Theme {
  readonly name: string;
  /** How many runs in ten. */
  readonly weight: number;
  readonly gateways: readonly number[];
  readonly clients: readonly number[];
  readonly keys: readonly number[];
  /** Mean pause of a client between two steps. */
  readonly thinkMs: readonly number[];
  readonly writeShare: readonly number[];
  /** Of the reads. */
  readonly listShare: number;
  /** Of the PUTs: of so many stripes that they are uploaded. */
  readonly largeShare: number;
  /** Is it about serialised buckets? */
  readonly isSerialised: boolean;
  /** Of the writes: how many are conditional. Above 0 in serialised buckets only. */
  readonly conditionShare: number;
  /** Of the PUTs: how many are copies, and of the others how many are multipart uploads. */
  readonly copyShare: number;
  readonly completeShare: number;
  /** Do clients work in a bucket that keeps versions instead, and under object lock? */
  readonly versions: 'none' | 'kept' | 'locked';
  /** Is every key deleted at the end, to see that nothing is left? */
  readonly empties: boolean;
  /** Faults of a run, and how long most of those that last do. */
  readonly faultCounts: readonly number[];
  readonly spanMs: readonly number[];
  /** Undefined: a random selection of all. */
  readonly makers: readonly MakerName[] | undefined;
  /** Share of runs in which a writer's key is stolen. */
  readonly stolenShare: number;
  /** Does an adversary that adapts decide how late requests are? */
  readonly isGreedy: boolean;
  /** Is the end waited for at which orphans are settled and garbage is collected? */
  readonly settles: boolean;
}

const EVERYTHING: Theme = {
  name: 'everything',
  weight: 4,
  gateways: [1, 2, 3],
  clients: [2, 3, 4, 5, 6],
  keys: [1, 1, 2, 3, 5],
  thinkMs: [2, 15, 60],
  writeShare: [0.25, 0.5, 0.7],
  listShare: 0.2,
  largeShare: 0.02,
  isSerialised: false,
  conditionShare: 0,
  copyShare: 0,
  completeShare: 0,
  versions: 'none',
  empties: false,
  faultCounts: [2, 6, 15, 15, 40],
  spanMs: [60, 400],
  makers: undefined,
  stolenShare: 0.4,
  isGreedy: false,
  settles: false,
};

const THEMES: readonly Theme[] = [
  EVERYTHING,
  {
    ...EVERYTHING,
    name: 'late certificates',
    weight: 2,
    gateways: [2, 3],
    clients: [4, 5, 6],
    keys: [1],
    thinkMs: [2, 10],
    writeShare: [0.2, 0.4],
    faultCounts: [10, 25],
    makers: ['lateCertificates', 'lateCertificates', 'lateCertificates', 'lateRequests', 'slowLinks', 'crash', 'lie'],
    stolenShare: 0.1,
  },
  {
    ...EVERYTHING,
    name: 'power',
    weight: 2,
    keys: [1, 2],
    writeShare: [0.5, 0.7],
    largeShare: 0.08,
    faultCounts: [5, 15],
    makers: ['blackout', 'blackoutAtMessage', 'blackoutAtMessage', 'blackoutAtMessage', 'nodeAtMessage', 'powerLossAtSync', 'crashAtStep', 'crash', 'lateRequests', 'slowDisk', 'fullDisk', 'rollBack', 'relive'],
    settles: true,
  },
  {
    ...EVERYTHING,
    name: 'uploads',
    weight: 0.5,
    gateways: [1, 2],
    clients: [2, 3],
    keys: [3, 6],
    writeShare: [0.6],
    largeShare: 0.3,
    faultCounts: [10, 20],
    makers: ['powerLossAtSync', 'powerLossAtSync', 'powerLossAtSync', 'blackoutAtMessage', 'nodeAtMessage', 'crashAtStep', 'slowDisk', 'fullDisk', 'gatewayAtMessage'],
    stolenShare: 0,
    settles: true,
  },
  {
    ...EVERYTHING,
    name: 'gateways',
    weight: 1.5,
    keys: [1, 2],
    writeShare: [0.6, 0.8],
    faultCounts: [8, 20],
    spanMs: [60, 400],
    makers: ['gatewayCrash', 'gatewayAtMessage', 'gatewayAtMessage', 'gatewayAtMessage', 'lateRequests', 'lateCertificates', 'crashAtStep', 'oneWay', 'pause', 'fullDisk', 'isolate'],
    stolenShare: 0.1,
    settles: true,
  },
  {
    ...EVERYTHING,
    name: 'listings',
    weight: 1,
    gateways: [2, 3],
    clients: [4, 6],
    keys: [1, 2],
    thinkMs: [2, 10],
    writeShare: [0.3, 0.5],
    listShare: 0.7,
    makers: ['lateMinority', 'lateMinority', 'lateCertificates', 'gatewayAtMessage', 'lateRequests', 'slowLinks', 'oneWay', 'crash', 'lie'],
    stolenShare: 0.1,
  },
  {
    ...EVERYTHING,
    name: 'contention',
    weight: 1.5,
    gateways: [2, 3],
    clients: [4, 6],
    keys: [1],
    thinkMs: [0.1, 3],
    writeShare: [0.5, 0.8],
    makers: ['lateCertificates', 'lateCertificates', 'lateRequests', 'lateRequests', 'slowLinks', 'oneWay', 'pause', 'lie'],
    stolenShare: 0.1,
  },
  {
    ...EVERYTHING,
    name: 'theft',
    weight: 0.5,
    gateways: [1, 2],
    clients: [2],
    keys: [2],
    thinkMs: [15, 60],
    faultCounts: [2, 6],
    stolenShare: 1,
  },
  {
    ...EVERYTHING,
    name: 'greedy',
    weight: 1,
    gateways: [2, 3],
    clients: [4, 6],
    keys: [1, 2],
    thinkMs: [2, 10],
    writeShare: [0.3, 0.5],
    listShare: 0.3,
    faultCounts: [1, 3],
    makers: ['gatewayCrash', 'crash', 'oneWay', 'pause', 'isolate'],
    stolenShare: 0,
    isGreedy: true,
  },
];

/** What only serialised buckets do. Their weights are among themselves. */
const FRONT_THEMES: readonly Theme[] = [
  {
    ...EVERYTHING,
    name: 'conditions',
    weight: 2,
    gateways: [1, 2, 3],
    keys: [1, 1, 2],
    writeShare: [0.5, 0.7],
    isSerialised: true,
    conditionShare: 0.6,
    stolenShare: 0,
  },
  {
    ...EVERYTHING,
    name: 'versions',
    weight: 2,
    gateways: [2, 3],
    clients: [3, 4],
    keys: [1, 2],
    isSerialised: true,
    versions: 'kept',
    stolenShare: 0,
  },
  {
    // No clock of a correct node is wrong: by f + 1 wrong ones retention ends.
    ...EVERYTHING,
    name: 'locks',
    weight: 2,
    gateways: [2, 3],
    clients: [3],
    keys: [1, 2],
    isSerialised: true,
    versions: 'locked',
    makers: ['crash', 'blackout', 'blackoutAtMessage', 'nodeAtMessage', 'gatewayAtMessage', 'pause', 'isolate', 'oneWay', 'lateRequests', 'lateCertificates', 'slowLinks', 'rollBack', 'relive', 'rot', 'lie', 'decadeAhead'],
    stolenShare: 1,
  },
  {
    ...EVERYTHING,
    name: 'copies',
    weight: 1,
    gateways: [2, 3],
    clients: [3, 4],
    keys: [3, 5],
    writeShare: [0.6, 0.8],
    largeShare: 0.02,
    isSerialised: true,
    copyShare: 0.5,
    completeShare: 0.15,
    stolenShare: 0,
    settles: true,
  },
  {
    // Asked for by name: is everything given back once all that shared it is deleted?
    ...EVERYTHING,
    name: 'emptied',
    weight: 0,
    gateways: [2, 3],
    clients: [3, 4],
    keys: [3, 5],
    writeShare: [0.6, 0.8],
    isSerialised: true,
    copyShare: 0.5,
    completeShare: 0.15,
    empties: true,
    stolenShare: 0,
    settles: true,
  },
  {
    // A gateway stands still for longer than anybody waits for it, in the middle of a write, and goes on.
    ...EVERYTHING,
    name: 'stalls',
    weight: 1.5,
    gateways: [2, 3],
    clients: [4, 6],
    keys: [1, 2],
    thinkMs: [2, 15],
    writeShare: [0.7, 0.9],
    isSerialised: true,
    conditionShare: 0.7,
    copyShare: 0.25,
    completeShare: 0.3,
    faultCounts: [6, 12],
    makers: ['gatewayStalls', 'gatewayStalls', 'gatewayStalls', 'gatewayStalls', 'pause', 'lateRequests', 'oneWay', 'crash', 'lie'],
    stolenShare: 0,
  },
];

export const themeNames: readonly string[] = [...THEMES, ...FRONT_THEMES].map(({ name }) => name);

/** One of those that need a serialised bucket. */
export function pickFrontTheme(random: SeededRandom): Theme {
  return pickAmong(random, FRONT_THEMES);
}

/** The one of this name, or any that needs no serialised bucket. */
export function pickTheme(random: SeededRandom, name?: string): Theme {
  return [...THEMES, ...FRONT_THEMES].find((theme) => theme.name === name) ?? pickAmong(random, THEMES);
}

function pickAmong(random: SeededRandom, themes: readonly Theme[]): Theme {
  const total = themes.reduce((sum, { weight }) => sum + weight, 0);
  let at = random.fraction() * total;
  for (const theme of themes) {
    at -= theme.weight;
    if (at < 0) return theme;
  }
  return EVERYTHING;
}
