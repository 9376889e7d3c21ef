/** Ways through a model, to be walked again elsewhere: every transition there is, random ones, or the one that a checker found. */
import type { SeededRandom } from '../../src/sim/seeded-random.ts';
import type { Model, Step } from '../models/engine.ts';

/** Ways from the initial state that take every transition of the model at least once. Only for models that are small. */
export function tours<State, S extends Step<State>>(model: Model<State, S>): readonly (readonly S[])[] {
  const left = new Map<string, S[]>();
  const first = initialOf(model);
  const stepsFrom = (state: State): S[] => {
    const key = model.key(state);
    const found = left.get(key) ?? Array.from(model.next(state));
    left.set(key, found);
    return found;
  };
  const ways: S[][] = [];
  for (;;) {
    const way: S[] = [];
    let state = first;
    for (;;) {
      // Those that change nothing first: a state is left for good once another is reached.
      const here = stepsFrom(state);
      const at = here.findIndex((candidate) => model.key(candidate.state) === model.key(state));
      const [taken] = here.splice(Math.max(0, at), 1);
      const steps = taken === undefined ? wayToWork(model, state, stepsFrom) : [taken];
      if (steps === null) break;
      way.push(...steps);
      state = way.at(-1)?.state ?? state;
    }
    if (way.length === 0) return ways;
    ways.push(way);
  }
}

/** A shortest way to a state from which some transition has not been taken; null when there is none. */
function wayToWork<State, S extends Step<State>>(model: Model<State, S>, from: State, stepsFrom: (state: State) => readonly S[]): readonly S[] | null {
  const ways = new Map<string, readonly S[]>([[model.key(from), []]]);
  for (const [, way] of ways) {
    const state = way.at(-1)?.state ?? from;
    if (way.length > 0 && stepsFrom(state).length > 0) return way;
    for (const next of model.next(state)) {
      const key = model.key(next.state);
      if (!ways.has(key)) ways.set(key, [...way, next]);
    }
  }
  return null;
}

/** Every way of exactly so many steps, and those that end earlier. */
export function* waysOf<State, S extends Step<State>>(model: Model<State, S>, length: number, from: readonly S[] = []): Iterable<readonly S[]> {
  const next = from.length < length ? Array.from(model.next(from.at(-1)?.state ?? initialOf(model))) : [];
  if (next.length === 0 && from.length > 0) yield from;
  for (const candidate of next) yield* waysOf(model, length, [...from, candidate]);
}

/** A random way of at most so many steps. */
export function walk<State, S extends Step<State>>(model: Model<State, S>, random: SeededRandom, length: number): readonly S[] {
  const way: S[] = [];
  let state = initialOf(model);
  while (way.length < length) {
    const candidates = Array.from(model.next(state));
    if (candidates.length === 0) break;
    const taken = random.pick(candidates);
    way.push(taken);
    state = taken.state;
  }
  return way;
}

/** The steps of a way that a checker told by their labels. */
export function retrace<State, S extends Step<State>>(model: Model<State, S>, labels: readonly string[]): readonly S[] {
  const way: S[] = [];
  for (const label of labels) {
    const found = Array.from(model.next(way.at(-1)?.state ?? initialOf(model))).find((candidate) => candidate.label === label);
    if (found === undefined) throw new RangeError(`the model has no step "${label}" there`);
    way.push(found);
  }
  return way;
}

export function initialOf<State, S extends Step<State>>({ initial, name }: Model<State, S>): State {
  const [first] = initial;
  if (first === undefined || initial.length > 1) throw new RangeError(`${name} does not begin in one state`);
  return first;
}
