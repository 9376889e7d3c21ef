/**
 * The strategies of lying storage nodes by name, as a run picks them. Each keeps its own memory, and is made
 * anew for each node that takes it up.
 */
import {
  acknowledgesEverything,
  certifiesAlone,
  claimsFull,
  deniesCells,
  forksItsLog,
  refusesSome,
  replays,
  rollsBackItsLog,
  servesOtherCells,
  signsEverything,
  slow,
  swearsNever,
} from './nodes.ts';
import type { EvidenceType } from '../../evidence/evidence.ts';
import { SeededBits } from '../seeded-bits.ts';
import { all, liars, swallowing } from './liars.ts';
import { evictsLocked } from './rewritten-log.ts';
import { acceptsTwo, acceptsUnlawful, acknowledgesAhead, forgetsVersions, inventsRows } from './signed-lies.ts';
import type { Interceptor, Stage } from './stage.ts';

type Strategy = (stage: Stage, slot: number) => Interceptor;

/** Honest to the first that it hears of, and to everybody else a node that promises all and keeps nothing. */
function twoFaced(stage: Stage, slot: number): Interceptor {
  const other = promisesAll(stage, slot);
  let friend: string | undefined;
  return (honest, frame, from) => {
    friend ??= from.peer;
    return from.peer === friend ? honest(frame) : other(honest, frame, from);
  };
}

/** Now this, now that: with each request it may take up another strategy, or be honest for a while. */
function fickle(stage: Stage, slot: number): Interceptor {
  const bits = new SeededBits(slot + 1);
  const lies: readonly Strategy[] = [LIES['wrong-cells'], LIES.forgetful, LIES.confused, LIES.denier, LIES['signs-everything'], LIES['acknowledges-and-forgets'], LIES['swears-never'], LIES['denies-cells']];
  const faces: readonly Interceptor[] = [(honest, frame) => honest(frame), ...lies.map((make) => make(stage, slot))];
  let face = 0;
  return (honest, frame, from) => {
    if (bits.below(4) === 0) face = bits.below(faces.length);
    const now = faces[face];
    return now === undefined ? honest(frame) : now(honest, frame, from);
  };
}

function promisesAll(stage: Stage, slot: number): Interceptor {
  return all(signsEverything(stage, slot), acknowledgesEverything(stage, slot), liars.forgetful, deniesCells(stage, slot));
}

const LIES = {
  /** For comparison. */
  honest: () => (honest, frame) => honest(frame),
  'wrong-cells': () => liars.wrongCells,
  'wrong-rows': () => liars.wrongRows,
  'other-cells': () => servesOtherCells(),
  'other-cells-in-honest-rows': () => servesOtherCells(true),
  forgetful: () => liars.forgetful,
  stale: () => liars.stale(),
  'bad-receipts': () => liars.badReceipts,
  'bad-acknowledgements': () => all(liars.badAcks, liars.forgetful),
  'bad-certificates': () => liars.badCertificates,
  'higher-versions': () => liars.higherVersions,
  'certifies-alone': certifiesAlone,
  confused: () => liars.confused(),
  garbage: () => liars.garbage,
  denier: () => liars.denier,
  'denies-cells': deniesCells,
  'signs-everything': signsEverything,
  'acknowledges-and-forgets': (stage, slot) => all(acknowledgesEverything(stage, slot), liars.forgetful),
  'promises-all': promisesAll,
  'swears-never': swearsNever,
  'signs-and-swears-never': (stage, slot) => all(signsEverything(stage, slot), swearsNever(stage, slot)),
  'forks-its-log': forksItsLog,
  'rolls-back-its-log': rollsBackItsLog,
  'claims-to-be-full': () => claimsFull,
  'refuses-some': () => refusesSome(),
  replays: () => replays(),
  'withholds-certificates': () => swallowing('COMMIT'),
  'withholds-cells': () => swallowing('FETCH', 'BODY'),
  silent: () => () => new Promise(() => undefined),
  late: (stage) => slow(stage, 6_000),
} satisfies Record<string, Strategy>;

/** Lies under signature: whoever hears them has the proof. They stand apart, so that runs that draw from the others stay what they are. */
const SIGNED = {
  'acknowledges-ahead': acknowledgesAhead,
  'denies-what-it-acknowledged': forgetsVersions,
  'invents-rows': inventsRows,
  'accepts-two': acceptsTwo,
  'accepts-unlawful': acceptsUnlawful,
  'evicts-what-is-locked': evictsLocked,
} satisfies Record<string, Strategy>;

const UNSIGNED = { ...LIES, 'two-faced': twoFaced, fickle } satisfies Record<string, Strategy>;

const STRATEGIES = { ...UNSIGNED, ...SIGNED } satisfies Record<string, Strategy>;

export type StrategyName = keyof typeof STRATEGIES;

export const strategyNames = Object.keys(STRATEGIES) as readonly StrategyName[];
export const unsignedNames = Object.keys(UNSIGNED) as readonly StrategyName[];
export const signedNames = Object.keys(SIGNED) as readonly StrategyName[];

/** Strategies of which a gateway that deals with them must get this kind of proof. */
export const PROVABLE: Readonly<Partial<Record<StrategyName, EvidenceType>>> = {
  'denies-cells': 'E6',
  'forks-its-log': 'E3',
  'rolls-back-its-log': 'E5-log',
  'acknowledges-ahead': 'E4',
  'denies-what-it-acknowledged': 'E5',
  'invents-rows': 'E6-row',
  'accepts-two': 'E2',
  'accepts-unlawful': 'E12',
  'evicts-what-is-locked': 'E7',
};

/** Undefined for a name that no strategy has. */
export function strategyOf(name: string): Strategy | undefined {
  return Object.hasOwn(STRATEGIES, name) ? STRATEGIES[name as StrategyName] : undefined;
}
