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
  /** Of the PUTs: how many are conditional. Above 0 the bucket is serialised. */
  readonly conditionShare: number;
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
  conditionShare: 0,
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
    // Asked for by name.
    ...EVERYTHING,
    name: 'conditions',
    weight: 0,
    gateways: [1, 2, 3],
    keys: [1, 1, 2],
    writeShare: [0.5, 0.7],
    conditionShare: 0.6,
    stolenShare: 0,
  },
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

export const themeNames: readonly string[] = THEMES.map(({ name }) => name);

/** The one of this name, or any. */
export function pickTheme(random: SeededRandom, name?: string): Theme {
  const named = THEMES.find((theme) => theme.name === name);
  if (named !== undefined) return named;
  const total = THEMES.reduce((sum, { weight }) => sum + weight, 0);
  let at = random.fraction() * total;
  for (const theme of THEMES) {
    at -= theme.weight;
    if (at < 0) return theme;
  }
  return EVERYTHING;
}
