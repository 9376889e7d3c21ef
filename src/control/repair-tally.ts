/** What repair has done and what it has cost: sums since the process began, and how fast it went lately. */
import type { Clock } from '../base/ports.ts';

const WINDOW_MS = 60_000;

export interface RepairTotals {
  /** Cells that an audit has shown to be there again. */
  readonly healed: number;
  /** Of these: found by a challenge to have been there all along. */
  readonly confirmed: number;
  /** Cells given to nodes. */
  readonly given: number;
  /** Cells that a node took and then did not have. */
  readonly lostAgain: number;
  /** Cells that a node did not take. */
  readonly refused: number;
  /** Bytes of cells read to rebuild, and the fewest with which each lost cell alone could have been: k cells. */
  readonly readBytes: number;
  readonly leastBytes: number;
  readonly givenBytes: number;
  readonly auditBytes: number;
  /** Versions that cannot be repaired now, by why. */
  readonly postponed: Readonly<Record<string, number>>;
}

export class RepairTally {
  readonly #clock: Clock;
  readonly #sums: { -readonly [K in keyof RepairTotals]: RepairTotals[K] } & { postponed: Record<string, number> } = {
    healed: 0,
    confirmed: 0,
    given: 0,
    lostAgain: 0,
    refused: 0,
    readBytes: 0,
    leastBytes: 0,
    givenBytes: 0,
    auditBytes: 0,
    postponed: {},
  };
  /** When cells were healed lately, and how many. */
  readonly #recent: { readonly atMs: number; cells: number }[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get totals(): RepairTotals {
    return { ...this.#sums, postponed: { ...this.#sums.postponed } };
  }

  healed(wasGiven: boolean): void {
    this.#sums.healed += 1;
    if (!wasGiven) this.#sums.confirmed += 1;
    const nowMs = this.#clock.monotonicMs();
    const last = this.#recent.at(-1);
    if (last !== undefined && nowMs - last.atMs < 1000) last.cells += 1;
    else this.#recent.push({ atMs: nowMs, cells: 1 });
    while ((this.#recent[0]?.atMs ?? nowMs) < nowMs - WINDOW_MS) this.#recent.shift();
  }

  rebuilt(readBytes: number, leastBytes: number): void {
    this.#sums.readBytes += readBytes;
    this.#sums.leastBytes += leastBytes;
  }

  given(bytes: number): void {
    this.#sums.given += 1;
    this.#sums.givenBytes += bytes;
  }

  refused(): void {
    this.#sums.refused += 1;
  }

  lostAgain(): void {
    this.#sums.lostAgain += 1;
  }

  audited(bytes: number): void {
    this.#sums.auditBytes += bytes;
  }

  postponed(why: string): void {
    this.#sums.postponed[why] = (this.#sums.postponed[why] ?? 0) + 1;
  }

  /** Cells a second over the last minute; 0: none. */
  cellsPerSecond(): number {
    const nowMs = this.#clock.monotonicMs();
    const recent = this.#recent.filter(({ atMs }) => nowMs - atMs < WINDOW_MS);
    const first = recent[0];
    if (first === undefined) return 0;
    const cells = recent.reduce((sum, one) => sum + one.cells, 0);
    return (1000 * cells) / Math.max(1000, nowMs - first.atMs);
  }
}
