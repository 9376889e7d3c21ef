/**
 * The strategies of lying storage nodes by name, as a run picks them. Each keeps its own memory, and is made
 * anew for each node that takes it up.
 */
import {
  acknowledgesEverything,
  deniesCells,
  servesOtherCells,
  signsEverything,
  slow,
  swearsNever,
} from './nodes.ts';
import { all, liars, swallowing } from './liars.ts';
import type { Interceptor, Stage } from './stage.ts';

type Strategy = (stage: Stage, slot: number) => Interceptor;

const STRATEGIES = {
  'wrong-cells': () => liars.wrongCells,
  'wrong-rows': () => liars.wrongRows,
  'other-cells': () => servesOtherCells(),
  'other-cells-in-honest-rows': () => servesOtherCells(true),
  forgetful: () => liars.forgetful,
  stale: () => liars.stale(),
  'bad-receipts': () => liars.badReceipts,
  'bad-acknowledgements': () => liars.badAcks,
  'bad-certificates': () => liars.badCertificates,
  'higher-versions': () => liars.higherVersions,
  'thin-certificates': () => liars.thinCertificates,
  confused: () => liars.confused(),
  garbage: () => liars.garbage,
  denier: () => liars.denier,
  'denies-cells': deniesCells,
  'signs-everything': signsEverything,
  'acknowledges-and-forgets': (stage, slot) => all(acknowledgesEverything(stage, slot), liars.forgetful),
  'signs-and-forgets': (stage, slot) => all(signsEverything(stage, slot), acknowledgesEverything(stage, slot), liars.forgetful, deniesCells(stage, slot)),
  'swears-never': swearsNever,
  'signs-and-swears-never': (stage, slot) => all(signsEverything(stage, slot), swearsNever(stage, slot)),
  'withholds-certificates': () => swallowing('COMMIT'),
  'withholds-cells': () => swallowing('FETCH', 'BODY'),
  silent: () => () => new Promise(() => undefined),
  late: (stage) => slow(stage, 300),
} satisfies Record<string, Strategy>;

export type StrategyName = keyof typeof STRATEGIES;

export const strategyNames = Object.keys(STRATEGIES) as readonly StrategyName[];

/** Undefined for a name that no strategy has. */
export function strategyOf(name: string): Strategy | undefined {
  return Object.hasOwn(STRATEGIES, name) ? STRATEGIES[name as StrategyName] : undefined;
}
