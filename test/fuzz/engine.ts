/**
 * The fuzzing engine: valid inputs of a target, mutated from a seed, given to it one after the other. An input
 * follows from target, seed and its number alone, so one line replays it. A finding is whatever a target does
 * that it does not document: any error but its own kind of refusal, a property that fails for an accepted
 * input, more time or memory for one input than the bounds below, or memory that stays.
 */
import { setFlagsFromString, getHeapStatistics } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { sha256 } from '../../src/crypto/primitives.ts';
import { hex } from '../../src/base/bytes.ts';
import { SeededRandom } from '../../src/sim/seeded-random.ts';
import { INPUT_BYTES_MAX, mutate } from './mutate.ts';
import type { Format } from './mutate.ts';
import { Watchdog } from './watchdog.ts';

export type Outcome = 'accepted' | 'refused';

/** A target made ready to be given inputs. */
export interface Subject {
  /** Throws, or rejects, for a finding alone. */
  attempt(input: Uint8Array): Outcome | Promise<Outcome>;
  /** After each batch: throws unless the subject still does its work, and holds no more than it may. */
  check?(): Promise<void>;
  close?(): Promise<void>;
}

export interface Target {
  /** Also the name of its folder in corpus/. */
  readonly name: string;
  /** Exports that it exercises, as `src/file.ts name`. */
  readonly covers: readonly string[];
  readonly format: Format;
  /** Valid inputs, the same at every call. */
  readonly seeds: () => readonly Uint8Array[];
  /** Further inputs, tried and mutated, which need not be accepted: those that are nearly valid. */
  readonly lends?: () => readonly Uint8Array[];
  readonly open: () => Subject | Promise<Subject>;
  /** Mutated inputs in `npm test`: fewer where one is costly. */
  readonly inputs: number;
  /** Bytes that one input may make it allocate, when it may be more than ALLOCATED_BYTES_MAX. */
  readonly allocates?: number;
  /** Milliseconds that one input may take, when it may be more than INPUT_MS_MAX: where sockets and processes are waited for. */
  readonly takesMs?: number;
}

/** One input, generously: a loaded machine is slow, too. */
export const INPUT_MS_MAX = 2_000;
export const HANG_MS = 20_000;
/** No input is longer than 256 KiB; what one makes the decoder allocate is bounded like this. */
export const ALLOCATED_BYTES_MAX = 64 * 1024 * 1024;
/** Growth that remains after all inputs of a run and a collection. */
export const RETAINED_BYTES_MAX = 48 * 1024 * 1024;
const BATCH = 50;

export interface Finding {
  readonly target: string;
  readonly input: Uint8Array;
  readonly what: string;
  readonly replay: string;
}

export interface Report {
  readonly inputs: number;
  readonly accepted: number;
  readonly findings: readonly Finding[];
}

export interface Plan {
  readonly seed: string;
  /** Saved inputs beside those that code makes: each is tried as it is, and mutated. */
  readonly saved: readonly Uint8Array[];
  /** Number of the first mutated input. */
  readonly from?: number;
  /** Mutated inputs. */
  readonly count: number;
  /** Ends before `count` at this time of `performance.now()`. */
  readonly untilMs?: number;
  /** Ends after so many findings. */
  readonly findingsMax?: number;
  readonly onFinding?: (finding: Finding) => void;
}

/** What inputs are made of. */
export function poolOf(target: Target, saved: readonly Uint8Array[]): Uint8Array[] {
  return [...target.seeds(), ...(target.lends?.() ?? []), ...saved];
}

/** The mutated input with this number. */
export function inputAt(target: Target, valid: readonly Uint8Array[], seed: string, number: number): Uint8Array {
  return mutate(target.format, valid, new SeededRandom(`${seed}/${target.name}/${number}`));
}

export async function fuzz(target: Target, plan: Plan): Promise<Report> {
  const run = new Run(target, plan);
  try {
    return await run.all();
  } finally {
    await run.end();
  }
}

/** Tries one input alone; null when it finds nothing. */
export async function tryOne(target: Target, input: Uint8Array): Promise<Finding | null> {
  const run = new Run(target, { seed: '', saved: [], count: 0 });
  try {
    return await run.alone(input);
  } finally {
    await run.end();
  }
}

/** One for the process: inputs are tried one after the other. */
let watchdog: Watchdog | null = null;

class Run {
  readonly #target: Target;
  readonly #plan: Plan;
  readonly #findings: Finding[] = [];
  #subject: Subject | null = null;
  #inputs = 0;
  #accepted = 0;

  constructor(target: Target, plan: Plan) {
    this.#target = target;
    this.#plan = plan;
  }

  async all(): Promise<Report> {
    const { seed, saved, from = 0, count, untilMs = Infinity, findingsMax = 1 } = this.#plan;
    const seeds = this.#target.seeds();
    const valid = poolOf(this.#target, saved);
    const before = retainedBytes();
    for (const [i, input] of seeds.entries()) {
      if ((await this.#try(input, `a seed input, number ${i}`)) === 'refused') this.#found(input, `the seed input ${i} is refused`, '');
    }
    for (const [i, input] of (this.#target.lends?.() ?? []).entries()) await this.#try(input, `a lent input, number ${i}`);
    for (const input of saved) await this.#try(input, replayOf(this.#target, `--file test/fuzz/corpus/${this.#target.name}/${nameOf(input)}`));
    await this.#check('the saved inputs');
    for (let i = from; i < from + count && performance.now() < untilMs && this.#findings.length < findingsMax; i += 1) {
      const replay = replayOf(this.#target, `--seed ${seed} --at ${i}`);
      await this.#try(inputAt(this.#target, valid, seed, i), replay);
      if ((i - from) % BATCH === BATCH - 1) await this.#check(replay);
    }
    await this.#check('the last input');
    await this.end();
    let kept = retainedBytes() - before;
    if (kept > RETAINED_BYTES_MAX) {
      // Array buffers go when a later collection finds their owners gone.
      await new Promise((resolve) => setTimeout(resolve, 100));
      collect();
      kept = retainedBytes() - before;
    }
    if (kept > RETAINED_BYTES_MAX && this.#findings.length === 0) this.#found(new Uint8Array(0), `${kept} bytes stay after all inputs`, 'the whole run');
    return { inputs: this.#inputs, accepted: this.#accepted, findings: this.#findings };
  }

  async alone(input: Uint8Array): Promise<Finding | null> {
    await this.#try(input, '');
    await this.#check('this input');
    return this.#findings[0] ?? null;
  }

  /** Closes what is open. */
  async end(): Promise<void> {
    const subject = this.#subject;
    this.#subject = null;
    await subject?.close?.();
  }

  async #try(input: Uint8Array, replay: string): Promise<Outcome | 'found'> {
    this.#inputs += 1;
    this.#subject ??= await this.#target.open();
    watchdog ??= new Watchdog(HANG_MS, INPUT_BYTES_MAX);
    watchdog.begin(input, replay);
    const heldBefore = heldBytes();
    const startMs = performance.now();
    try {
      const attempt = this.#subject.attempt(input);
      const outcome = typeof attempt === 'string' ? attempt : await attempt;
      const tookMs = performance.now() - startMs;
      const allocated = heldBytes() - heldBefore;
      if (outcome === 'accepted') this.#accepted += 1;
      if (tookMs > (this.#target.takesMs ?? INPUT_MS_MAX)) return this.#found(input, `took ${Math.round(tookMs)} ms`, replay);
      if (allocated > (this.#target.allocates ?? ALLOCATED_BYTES_MAX)) return this.#found(input, `allocated ${allocated} bytes`, replay);
      return outcome;
    } catch (error) {
      return this.#found(input, textOf(error), replay);
    } finally {
      watchdog.end();
    }
  }

  async #check(where: string): Promise<void> {
    try {
      await this.#subject?.check?.();
    } catch (error) {
      this.#found(new Uint8Array(0), `no longer in order: ${textOf(error)}`, `the inputs up to ${where}`);
      const broken = this.#subject;
      this.#subject = null;
      await broken?.close?.();
    }
  }

  #found(input: Uint8Array, what: string, replay: string): 'found' {
    const finding = { target: this.#target.name, input, what, replay };
    this.#findings.push(finding);
    this.#plan.onFinding?.(finding);
    return 'found';
  }
}

/** The file name of a saved input. */
export function nameOf(input: Uint8Array): string {
  return `${hex(sha256(input).subarray(0, 6))}.bin`;
}

function replayOf(target: Target, how: string): string {
  return `npm run fuzz -- --target ${target.name} ${how}`;
}

export function describeFinding({ target, input, what, replay }: Finding): string {
  return `${target}: ${what}\n  input  ${Buffer.from(input).toString('base64')}\n  replay ${replay}`;
}

function textOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? `${error.name}: ${error.message}`).split('\n').slice(0, 8).join('\n') : `threw ${typeof error} ${String(error)}`;
}

/** Heap and array buffers now. Cheap; a collection in between only hides an allocation. */
function heldBytes(): number {
  const { used_heap_size: heap, external_memory: external } = getHeapStatistics();
  return heap + external;
}

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

function retainedBytes(): number {
  collect();
  return heldBytes();
}
