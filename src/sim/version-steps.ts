/** What clients of a bucket that keeps versions ask for, as data that follows from the seed. */
import type { LockMode } from '../gateway/s3/port/buckets.ts';
import type { SeededRandom } from './seeded-random.ts';

/** `forMs`: from the moment of the request on. */
export interface RetentionChoice {
  readonly mode: LockMode;
  readonly forMs: number;
}

export interface LockChoice {
  readonly retention?: RetentionChoice;
  readonly hold: boolean;
}

export type VersionStep = { readonly key: number; readonly thinkMs: number; readonly gateway: number } & (
  | { readonly act: 'put'; readonly size: number; readonly lock?: LockChoice }
  /** A DELETE without an id: a marker on top. */
  | { readonly act: 'mark' }
  | { readonly act: 'newest' | 'versions' }
  /** `which` of the versions that the client knows: 0 is the newest, 1 the oldest. */
  | { readonly act: 'remove' | 'read'; readonly which: number }
  | { readonly act: 'retain'; readonly which: number; readonly retention: RetentionChoice }
  | { readonly act: 'hold'; readonly which: number; readonly on: boolean }
);

export interface VersionPace {
  readonly keys: number;
  readonly gateways: number;
  readonly thinkMs: number;
  readonly locks: boolean;
}

/** Inline, one stripe, several. */
const SIZES = [0, 40, 900, 900, 5_000, 20_000];
const ACTS = ['put', 'put', 'put', 'put', 'mark', 'remove', 'remove', 'newest', 'newest', 'read', 'read', 'versions', 'versions'] as const;
const LOCK_ACTS = [...ACTS, 'remove', 'retain', 'retain', 'hold', 'hold'] as const;
/** Some end while clients still work, most do not. */
const RETENTIONS_MS = [300, 2_000, 3_600_000, 365 * 86_400_000, 10 * 365 * 86_400_000];

export function makeVersionSteps(random: SeededRandom, count: number, { keys, gateways, thinkMs, locks }: VersionPace): VersionStep[] {
  const home = random.below(gateways);
  return Array.from({ length: count }, (): VersionStep => {
    const at = { key: random.below(keys), thinkMs: random.around(thinkMs), gateway: random.chance(0.7) ? home : random.below(gateways) };
    const act = locks ? random.pick(LOCK_ACTS) : random.pick(ACTS);
    // The square: new ones more often than old ones.
    const which = random.fraction() ** 2;
    switch (act) {
      case 'put':
        return { ...at, act, size: random.pick(SIZES), ...(locks && random.chance(0.6) ? { lock: lockChoice(random) } : {}) };
      case 'mark':
      case 'newest':
      case 'versions':
        return { ...at, act };
      case 'remove':
      case 'read':
        return { ...at, act, which };
      case 'retain':
        return { ...at, act, which, retention: retentionChoice(random) };
      case 'hold':
        return { ...at, act, which, on: random.chance(0.6) };
    }
  });
}

function lockChoice(random: SeededRandom): LockChoice {
  const hold = random.chance(0.2);
  return hold && random.chance(0.5) ? { hold } : { hold, retention: retentionChoice(random) };
}

function retentionChoice(random: SeededRandom): RetentionChoice {
  return { mode: random.chance(0.8) ? 'COMPLIANCE' : 'GOVERNANCE', forMs: random.pick(RETENTIONS_MS) };
}
