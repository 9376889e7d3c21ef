/**
 * Judges what clients saw of one key: is there an order of the operations that respects real time and in which
 * every read returns the latest write? That is linearizability of a register, checked by the search of Wing
 * and Gong with the states met before remembered. A write of unknown outcome may take effect at any moment
 * after it began, or never. Values of writes are unique, except null, which stands for a deletion. A
 * conditional write takes effect on the value that it expects; one that was declined saw another.
 */

export type Value = string | null;

export interface Operation {
  /** `differs`: a condition on this value did not hold. */
  readonly kind: 'write' | 'read' | 'differs';
  readonly value: Value;
  /** Of a write: the value that it takes the place of. Absent: any. */
  readonly expects?: Value;
  /** When it was sent and when its result was known, on one clock; Infinity for an unknown outcome. */
  readonly from: number;
  readonly to: number;
}

export type Verdict = { readonly ok: true } | { readonly ok: false; readonly stuck: readonly Operation[] };

/** More states than any history of the tests has; beyond it the search is given up with an error. */
const STATES_MAX = 5_000_000;

interface State {
  /** All of `sure` before this index are in the order already, and those in `ahead`. */
  readonly first: number;
  readonly ahead: ReadonlySet<number>;
  /** Those of `unsure` that are in the order. */
  readonly taken: ReadonlySet<number>;
  readonly value: Value;
}

/** Begins with the key absent. `stuck`: what the longest order found could not go on with. */
export function judge(operations: readonly Operation[]): Verdict {
  const isDeclined = operations.some(({ kind }) => kind === 'differs');
  const read = new Set(operations.flatMap(({ kind, value, expects }) => [...(kind === 'read' ? [value] : []), ...(expects === undefined ? [] : [expects])]));
  const sure = operations.filter(({ to }) => to !== Infinity).toSorted((a, b) => a.from - b.from);
  // One that no read saw may as well never have happened; a read without an end says nothing.
  const unsure = operations.filter(({ kind, value, to }) => to === Infinity && kind === 'write' && (isDeclined || read.has(value)));
  const met = new Set<string>();
  const stack: State[] = [{ first: 0, ahead: new Set(), taken: new Set(), value: null }];
  let furthest: State | undefined;
  for (let state = stack.pop(); state !== undefined; state = stack.pop()) {
    const settled = takeReads(state, sure);
    if (settled.first === sure.length) return { ok: true };
    const name = `${settled.first}|${[...settled.ahead].join()}|${[...settled.taken].join()}|${settled.value}`;
    if (met.has(name)) continue;
    met.add(name);
    if (met.size > STATES_MAX) throw new Error('the history is too wide to be judged');
    if (furthest === undefined || settled.first > furthest.first) furthest = settled;
    stack.push(...successors(settled, sure, unsure));
  }
  return { ok: false, stuck: furthest === undefined ? [] : candidates(furthest, sure).map((index) => at(sure, index)) };
}

/** Reads of the current value, and conditions that it fails, can come at once: they change nothing. */
function takeReads(state: State, sure: readonly Operation[]): State {
  const ahead = new Set(state.ahead);
  let { first } = state;
  for (;;) {
    const found = candidates({ ...state, first, ahead }, sure).find((index) => {
      const { kind, value } = at(sure, index);
      return (kind === 'read' && value === state.value) || (kind === 'differs' && value !== state.value);
    });
    if (found === undefined) return { ...state, first, ahead: sorted(ahead) };
    ahead.add(found);
    while (ahead.delete(first)) first += 1;
  }
}

function* successors(state: State, sure: readonly Operation[], unsure: readonly Operation[]): Generator<State> {
  const end = earliestEnd(state, sure);
  for (const [index, { value, from, expects }] of unsure.entries()) {
    const isPossible = expects === undefined || expects === state.value;
    if (!state.taken.has(index) && from <= end && isPossible) yield { ...state, taken: sorted(new Set([...state.taken, index])), value };
  }
  for (const index of candidates(state, sure)) {
    const { kind, value, expects } = at(sure, index);
    if (kind !== 'write' || (expects !== undefined && expects !== state.value)) continue;
    const ahead = new Set([...state.ahead, index]);
    let { first } = state;
    while (ahead.delete(first)) first += 1;
    yield { ...state, first, ahead: sorted(ahead), value };
  }
}

/** Those that may come next: none of the others had ended before they began. */
function candidates(state: State, sure: readonly Operation[]): number[] {
  const end = earliestEnd(state, sure);
  const found: number[] = [];
  for (let index = state.first; index < sure.length && at(sure, index).from <= end; index += 1) {
    if (!state.ahead.has(index)) found.push(index);
  }
  return found;
}

function earliestEnd(state: State, sure: readonly Operation[]): number {
  let end = Infinity;
  for (let index = state.first; index < sure.length && at(sure, index).from <= end; index += 1) {
    if (!state.ahead.has(index)) end = Math.min(end, at(sure, index).to);
  }
  return end;
}

function at(operations: readonly Operation[], index: number): Operation {
  const operation = operations[index];
  if (operation === undefined) throw new RangeError(`no operation ${index}`);
  return operation;
}

function sorted(numbers: ReadonlySet<number>): ReadonlySet<number> {
  return new Set([...numbers].toSorted((a, b) => a - b));
}
