/**
 * Makes a failing run smaller: leaves out faults, clients, steps and moves of the thief as long as the run
 * still fails. What remains is named by numbers, so that one line replays it.
 */
import type { Scenario } from './scenario.ts';

/** What is kept of a scenario; all of what is left out. */
export interface Kept {
  /** Indices of faults and of clients. */
  readonly faults?: readonly number[];
  readonly clients?: readonly number[];
  /** Steps of each client, from the first on. */
  readonly steps?: number;
  /** Moves of the stolen writer. */
  readonly thefts?: number;
}

export function reduced(scenario: Scenario, kept: Kept): Scenario {
  const { faults, clients, steps, thefts } = kept;
  const less = <T>(all: readonly (readonly T[])[]): readonly (readonly T[])[] =>
    // A client that is left out stays as one without steps, so that the others keep their numbers.
    all.map((own, index) => (clients === undefined || clients.includes(index) ? own.slice(0, steps) : []));
  const { versions } = scenario;
  return {
    ...scenario,
    versions: versions === null ? null : { ...versions, clients: less(versions.clients) },
    faults: faults === undefined ? scenario.faults : scenario.faults.filter((_, index) => faults.includes(index)),
    clients: less(scenario.clients),
    thefts: thefts ?? scenario.thefts,
  };
}

export interface Shrunk {
  readonly kept: Kept;
  /** Runs that it took. */
  readonly runs: number;
}

/** `fails` runs a scenario and says whether it still fails. At most `runsMax` runs. */
export async function shrink(scenario: Scenario, fails: (smaller: Scenario) => Promise<boolean>, runsMax: number = 80): Promise<Shrunk> {
  let kept: Kept = {};
  let runs = 0;
  const tryTo = async (smaller: Kept): Promise<boolean> => {
    if (runs >= runsMax) return false;
    runs += 1;
    if (!(await fails(reduced(scenario, smaller)))) return false;
    kept = smaller;
    return true;
  };
  if (scenario.thefts > 0) await tryTo({ ...kept, thefts: 0 });
  const all = [...scenario.clients, ...(scenario.versions?.clients ?? [])];
  const longest = Math.max(0, ...all.map((steps) => steps.length));
  for (let steps = longest >> 1; steps > 0 && (await tryTo({ ...kept, steps })); steps >>= 1);
  const clients = await leaveOut(all.length, (left) => tryTo({ ...kept, clients: left }));
  if (clients.length < all.length) kept = { ...kept, clients };
  const faults = await leaveOut(scenario.faults.length, (left) => tryTo({ ...kept, faults: left }));
  if (faults.length < scenario.faults.length) kept = { ...kept, faults };
  return { kept, runs };
}

/** The indices below `count` that cannot be left out, in chunks that become smaller (delta debugging, Zeller and Hildebrandt 2002). */
async function leaveOut(count: number, works: (left: readonly number[]) => Promise<boolean>): Promise<readonly number[]> {
  let left: readonly number[] = Array.from({ length: count }, (_, index) => index);
  for (let chunk = Math.max(1, count >> 1); chunk >= 1; chunk >>= 1) {
    for (let at = 0; at < left.length; ) {
      const fewer = [...left.slice(0, at), ...left.slice(at + chunk)];
      if (await works(fewer)) left = fewer;
      else at += chunk;
    }
  }
  return left;
}

/** The arguments that replay it. */
export function replayArguments(seed: number, { faults, clients, steps, thefts }: Kept): string {
  const parts = [`--seed ${seed}`];
  if (faults !== undefined) parts.push(`--faults ${faults.length === 0 ? 'none' : faults.join()}`);
  if (clients !== undefined) parts.push(`--clients ${clients.length === 0 ? 'none' : clients.join()}`);
  if (steps !== undefined) parts.push(`--steps ${steps}`);
  if (thefts !== undefined) parts.push(`--thefts ${thefts}`);
  return parts.join(' ');
}
