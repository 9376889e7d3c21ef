/** Many runs, and what they covered together. */
import { noCounts } from './requests.ts';
import type { Counts } from './requests.ts';
import type { RunResult } from './simulation.ts';

export class Campaign {
  #runs = 0;
  #events = 0;
  #simulatedMs = 0;
  readonly #operations: Counts = noCounts();
  readonly #faults = new Map<string, number>();
  readonly #strategies = new Map<string, number>();
  readonly #moves = new Map<string, number>();
  readonly #themes = new Map<string, number>();
  readonly #protocol = new Map<string, number>();
  readonly #caught = new Map<string, number>();
  readonly failed: { readonly seed: number; readonly violations: readonly string[] }[] = [];

  add({ scenario, violations, counts, events, simulatedMs, faults, protocol, caught, moves }: RunResult): void {
    this.#runs += 1;
    this.#events += events;
    this.#simulatedMs += simulatedMs;
    for (const name of Object.keys(counts) as (keyof Counts)[]) this.#operations[name] += counts[name];
    for (const [kind, count] of faults) add(this.#faults, kind, count);
    for (const fault of scenario.faults) if (fault.kind === 'lie') add(this.#strategies, fault.strategy, 1);
    for (const [name, count] of protocol) add(this.#protocol, name, count);
    add(this.#themes, scenario.theme, 1);
    for (const [move, count] of moves) add(this.#moves, move, count);
    for (const kind of caught) add(this.#caught, kind, 1);
    if (violations.length > 0) this.failed.push({ seed: scenario.seed, violations });
  }

  /** Operations of clients: each write, read or listing that was asked for. */
  get operations(): number {
    const { resent: _resent, ...asked } = this.#operations;
    return Object.values(asked).reduce((sum, count) => sum + count, 0);
  }

  get runs(): number {
    return this.#runs;
  }

  report(): Readonly<Record<string, unknown>> {
    return {
      seeds: this.#runs,
      operations: this.operations,
      ...this.#operations,
      events: this.#events,
      simulatedHours: Math.round(this.#simulatedMs / 36_000) / 100,
      themes: sorted(this.#themes),
      faults: sorted(this.#faults),
      strategies: sorted(this.#strategies),
      movesOfStolenWriters: sorted(this.#moves),
      protocolEvents: sorted(this.#protocol),
      runsThatCaught: sorted(this.#caught),
      failed: this.failed,
    };
  }
}

function add(counts: Map<string, number>, name: string, by: number): void {
  counts.set(name, (counts.get(name) ?? 0) + by);
}

function sorted(counts: ReadonlyMap<string, number>): Readonly<Record<string, number>> {
  return Object.fromEntries([...counts].toSorted(([a], [b]) => (a < b ? -1 : 1)));
}
