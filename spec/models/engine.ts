/**
 * A breadth-first checker of small models. A model says where it starts, what may happen next, and what must
 * never be seen; the checker visits every state that can be reached, nearest first, so the first violation it
 * meets has a shortest counterexample. It proves a model within its bounds, and nothing about larger ones.
 */

/** One thing that may happen: what it is, in words, and the state after it. */
export interface Step<State> {
  readonly label: string;
  readonly state: State;
}

/** `S`: the steps of a model whose steps say more than others need to know. */
export interface Model<State, S extends Step<State> = Step<State>> {
  readonly name: string;
  readonly initial: readonly State[];
  /** All that may happen in a state. It must not change the state it is given, and must depend on nothing else. */
  next(state: State): Iterable<S>;
  /**
   * States with equal keys are one state to the checker. A model may so merge states that differ only in the
   * names of interchangeable nodes; a key that merges more than that hides states, and is the model's mistake.
   */
  key(state: State): string;
  /** What must hold in every state, by name. */
  readonly invariants: Readonly<Record<string, (state: State) => boolean>>;
  /** Where it is given: a state in which nothing more can happen must satisfy it, any other one is a dead end. */
  readonly goal?: ((state: State) => boolean) | undefined;
}

interface Effort {
  /** States visited. */
  readonly states: number;
  /** Steps followed from them, those that led to a known state included. */
  readonly transitions: number;
}

export type Outcome = Effort &
  (
    | { readonly kind: 'clean' }
    /** `trace` is a shortest way there: the labels of its steps in order. */
    | { readonly kind: 'violated'; readonly invariant: string; readonly trace: readonly string[] }
    | { readonly kind: 'dead end'; readonly trace: readonly string[] }
    /** More states than the limit: nothing was found, and nothing is shown. */
    | { readonly kind: 'state limit' }
  );

/** Far above what any model here needs, and below what fills the memory of a process. */
export const STATES_MAX = 5_000_000;

export function step<State>(label: string, state: State): Step<State> {
  return { label, state };
}

export interface CheckOptions {
  readonly statesMax?: number;
}

/** Visits all states of a model, or as many as it takes to find one that is wrong. */
export function check<State>(model: Model<State>, options: CheckOptions = {}): Outcome {
  const search = searchStates(model, options);
  for (;;) {
    const turn = search.next();
    if (turn.done === true) return turn.value;
  }
}

/** The same, with pauses: a test runner takes a worker that says nothing for a minute for dead. */
export async function checkWithPauses<State>(model: Model<State>, options: CheckOptions = {}): Promise<Outcome> {
  const search = searchStates(model, options);
  for (;;) {
    const turn = search.next();
    if (turn.done === true) return turn.value;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** States expanded between two pauses: some tenths of a second. */
const STATES_PER_TURN = 20_000;

function* searchStates<State>(model: Model<State>, { statesMax = STATES_MAX }: CheckOptions): Generator<undefined, Outcome> {
  const invariants = Object.entries(model.invariants);
  // States are numbered in the order in which they are found, which is also the order in which they are expanded.
  const numbers = new Map<string, number>();
  const parents: number[] = [];
  const waiting: (State | undefined)[] = [];
  let transitions = 0;

  /** Takes note of a state; the name of the invariant that it violates, if it is new and does. */
  const visit = (state: State, parent: number): string | undefined => {
    const key = model.key(state);
    if (numbers.has(key)) return undefined;
    numbers.set(key, waiting.length);
    parents.push(parent);
    waiting.push(state);
    return invariants.find(([, holds]) => !holds(state))?.[0];
  };
  const effort = (): Effort => ({ states: waiting.length, transitions });
  const traceTo = (last: number): readonly string[] => retrace(model, numbers, pathTo(parents, last));

  for (const state of model.initial) {
    const invariant = visit(state, -1);
    if (invariant !== undefined) return { kind: 'violated', invariant, trace: [], ...effort() };
  }
  for (let at = 0; at < waiting.length; at++) {
    if (at % STATES_PER_TURN === STATES_PER_TURN - 1) yield undefined;
    const state = waiting[at] as State;
    // An expanded state is needed no more: a trace is found again from the numbers alone.
    waiting[at] = undefined;
    let isLast = true;
    for (const { state: after } of model.next(state)) {
      isLast = false;
      transitions++;
      const invariant = visit(after, at);
      if (invariant !== undefined) return { kind: 'violated', invariant, trace: traceTo(waiting.length - 1), ...effort() };
      if (waiting.length > statesMax) return { kind: 'state limit', ...effort() };
    }
    if (isLast && model.goal !== undefined && !model.goal(state)) return { kind: 'dead end', trace: traceTo(at), ...effort() };
  }
  return { kind: 'clean', ...effort() };
}

function pathTo(parents: readonly number[], last: number): number[] {
  const path: number[] = [];
  for (let at = last; at >= 0; at = parents[at] ?? -1) path.push(at);
  return path.reverse();
}

/** Walks the path of state numbers again and collects the labels, which would fill the memory if all were kept. */
function retrace<State>(model: Model<State>, numbers: ReadonlyMap<string, number>, path: readonly number[]): readonly string[] {
  const [first, ...rest] = path;
  const hasNumber = (state: State, number: number | undefined): boolean => numbers.get(model.key(state)) === number;
  let state = model.initial.find((candidate) => hasNumber(candidate, first));
  const labels: string[] = [];
  for (const number of rest) {
    if (state === undefined) break;
    const found: Step<State> | undefined = Array.from(model.next(state)).find((candidate) => hasNumber(candidate.state, number));
    labels.push(found?.label ?? 'a step that is not repeatable: next() must depend on the state alone');
    state = found?.state;
  }
  return labels;
}

/** An outcome for people: one line, and the counterexample step by step. */
export function describeOutcome(outcome: Outcome): string {
  const effort = `${outcome.states.toLocaleString('en-GB')} states`;
  switch (outcome.kind) {
    case 'clean':
      return `clean, ${effort}, all there are`;
    case 'state limit':
      return `stopped at the state limit after ${effort}: nothing is shown`;
    case 'violated':
      return [`violates "${outcome.invariant}" after ${outcome.trace.length} steps (${effort})`, ...numbered(outcome.trace)].join('\n');
    case 'dead end':
      return [`dead end after ${outcome.trace.length} steps (${effort})`, ...numbered(outcome.trace)].join('\n');
  }
}

function numbered(trace: readonly string[]): string[] {
  return trace.map((label, i) => `  ${String(i + 1).padStart(3)}. ${label}`);
}
