/**
 * What happened in a run, in order: a digest over all of it, by which two runs are compared, and the lines
 * themselves as a timeline for people. Times are milliseconds since the world began.
 */
import { concat, hex, utf8 } from '../base/bytes.ts';
import { incremental, sha256 } from '../crypto/primitives.ts';
import type { SimulatedTime } from './simulated-time.ts';

/** Lines kept for the timeline; older ones count for the digest alone. */
const LINES_MAX = 20_000;

export class Trace {
  readonly #time: SimulatedTime;
  readonly #digest = incremental('sha256');
  #lines: string[] = [];
  #count = 0;

  constructor(time: SimulatedTime) {
    this.#time = time;
  }

  note(who: string, what: string): void {
    const line = `${this.#time.nowMs.toFixed(3).padStart(11)}  ${who.padEnd(10)} ${what}`;
    this.#digest.update(utf8(`${line}\n`));
    this.#lines.push(line);
    this.#count += 1;
    if (this.#lines.length > 2 * LINES_MAX) this.#lines = this.#lines.slice(-LINES_MAX);
  }

  /** Notes bytes by their hash. */
  noteBytes(who: string, what: string, ...parts: readonly Uint8Array[]): void {
    const [first] = parts;
    const hash = sha256(parts.length === 1 && first !== undefined ? first : concat(...parts));
    this.note(who, `${what} ${hex(hash.subarray(0, 6))}`);
  }

  /** Events so far. */
  get count(): number {
    return this.#count;
  }

  /** The newest lines that match, oldest first. */
  timeline(matches: (line: string) => boolean = () => true): readonly string[] {
    return this.#lines.filter(matches);
  }

  /** Ends the trace. */
  digest(): string {
    return hex(this.#digest.digest());
  }
}
