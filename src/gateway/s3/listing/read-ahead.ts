/**
 * How many rows a page asks the store for at once. Behind a rolled-up group the next row is probably another
 * group, and all that was read beyond its first row would be thrown away: so little is asked for after each
 * seek, and twice as much whenever all of it was of use. A page reads at most a few rows for each that it shows.
 */
const FIRST_ROWS = 2;

export class ReadAhead {
  #rows: number;

  constructor(delimiter: string) {
    this.#rows = delimiter === '' ? Infinity : FIRST_ROWS;
  }

  /** Rows of the next batch, where `wanted` would end the page. */
  next(wanted: number): number {
    const rows = Math.min(this.#rows, wanted);
    this.#rows *= 2;
    return rows;
  }

  /** The batch met a group: what follows it is looked for elsewhere. */
  seek(): void {
    this.#rows = FIRST_ROWS;
  }
}
