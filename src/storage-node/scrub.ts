/**
 * Scrub (protocol 13.10): the node reads all of its own disk again and again, at a bounded pace, and finds
 * before anybody asks what has rotted. What it finds it logs as a HOLE and tells everyone; it never hides it,
 * because a loss that is told is repaired, and one that is hidden is a lie.
 */
import { equal } from '../base/bytes.ts';
import { describeError, isOperationError } from '../base/errors.ts';
import { leafHash } from '../merkle/tree.ts';
import { BLOCK_ROWS } from '../merkle/tiles.ts';
import { stripeCount } from '../protocol/stripes.ts';
import type { NodeContext } from './context.ts';
import type { Content } from './contents.ts';
import { logHole, readBlob, readCell } from './read-content.ts';
import { extentAt, extentCount } from './records.ts';

/** The walk rests when it has read so much, so that it never holds the disk for long. */
const BURST_BYTES = 1024 * 1024;
/** Records of lost cells that wait for the disk at once. */
const NOTED_AT_ONCE = 1_000;
/** What reading one leaf counts for: the disk reads a block. */
const LEAF_BYTES = 4096;
/** While others wait for an answer the walk rests so many times longer, and goes on even so: it must end some day. */
const RESTS_WHEN_BUSY = 4;

export interface ScrubStatus {
  /** Passes begun since the node started. */
  readonly pass: number;
  /** Unix milliseconds. */
  readonly startedMs: number;
  /** End of the last whole pass; null before the first. */
  readonly endedMs: number | null;
  /** Bytes read in this pass. */
  readonly checkedBytes: number;
  /** Leaves of the log that could not be read back. */
  readonly damagedLeaves: number;
}

export class Scrub {
  readonly #ctx: NodeContext;
  #pass = 0;
  #startedMs = 0;
  #endedMs: number | null = null;
  #checkedBytes = 0;
  #damagedLeaves = 0;
  #unpaced = 0;
  readonly #isBusy: () => boolean;

  /** `isBusy`: does anybody wait for an answer of the node now? They go first. */
  constructor(ctx: NodeContext, isBusy: () => boolean) {
    this.#ctx = ctx;
    this.#isBusy = isBusy;
  }

  get status(): ScrubStatus {
    return {
      pass: this.#pass,
      startedMs: this.#startedMs,
      endedMs: this.#endedMs,
      checkedBytes: this.#checkedBytes,
      damagedLeaves: this.#damagedLeaves,
    };
  }

  /** One pass after the other, until `signal` aborts. Never rejects: what fails is tried again in the next pass. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, random, telemetry, self, tuning } = this.#ctx;
    // Where it begins is drawn anew at each start, or a node that starts often would never see its last contents.
    let offset = random.bytes(1)[0] ?? 0;
    while (!signal.aborted) {
      try {
        await this.#once(offset / 256, signal);
      } catch (error) {
        if (!signal.aborted) telemetry.event('warn', 'a scrub was cut short', { slot: self.slot, error: describeError(error) });
      }
      offset = 0;
      await clock.sleep(tuning.scrubPauseMs, signal).catch(() => undefined);
    }
  }

  async #once(share: number, signal: AbortSignal): Promise<void> {
    const { state, clock, telemetry } = this.#ctx;
    this.#pass += 1;
    this.#startedMs = clock.nowMs();
    this.#checkedBytes = 0;
    const contents = [...state.contents.all()];
    const first = Math.floor(share * contents.length);
    for (const content of [...contents.slice(first), ...contents.slice(0, first)]) {
      if (signal.aborted) return;
      await this.#content(content, signal);
    }
    await this.#log(signal);
    if (signal.aborted) return;
    this.#endedMs = clock.nowMs();
    telemetry.count('scrub_passes');
  }

  /** Reads every piece; the reading itself notes what does not verify. */
  async #content(content: Content, signal: AbortSignal): Promise<void> {
    const { state } = this.#ctx;
    for (let stripe = 0; stripe < extentCount(content.cells) && !signal.aborted; stripe += 1) {
      if (state.contents.get(content.id) !== content) return;
      if (content.shape === 'BLOB') await readBlob(this.#ctx, content);
      else await readCell(this.#ctx, content, stripe);
      await this.#pace(extentAt(content.cells, stripe).length, signal);
    }
  }

  /** The log is held against the tree that this node has signed. */
  async #log(signal: AbortSignal): Promise<void> {
    const { state, telemetry, self } = this.#ctx;
    const size = state.log.durableSize;
    let damaged = 0;
    for (let index = 0; index < size && !signal.aborted; index += 1) {
      if (!(await this.#leafIsWhole(index))) {
        damaged += 1;
        telemetry.count('damaged_leaves');
        telemetry.event('error', 'a leaf of the log on disk is damaged: the node will not start again from this disk', { slot: self.slot, index });
      }
      await this.#pace(LEAF_BYTES, signal);
    }
    if (!signal.aborted) this.#damagedLeaves = damaged;
  }

  async #leafIsWhole(index: number): Promise<boolean> {
    const { state } = this.#ctx;
    try {
      const expected = state.log.leafRange(index, index + 1)?.[0];
      return expected !== undefined && equal(leafHash(await state.readStoredLeaf(index)), expected);
    } catch (error) {
      if (isOperationError(error, 'CORRUPT') || isOperationError(error, 'NOT_FOUND') || isOperationError(error, 'LOST_STATE') || isOperationError(error, 'DISK_ERROR')) return false;
      throw error;
    }
  }

  async #pace(bytes: number, signal: AbortSignal): Promise<void> {
    this.#checkedBytes += bytes;
    this.#unpaced += bytes;
    const { clock, tuning } = this.#ctx;
    const burst = Math.min(BURST_BYTES, tuning.scrubBytesPerSecond);
    if (this.#unpaced < burst) return;
    const ms = (1000 * this.#unpaced) / tuning.scrubBytesPerSecond;
    this.#unpaced = 0;
    for (let rests = 0; rests === 0 || (rests < RESTS_WHEN_BUSY && this.#isBusy()); rests += 1) {
      if (signal.aborted) return;
      await clock.sleep(ms, signal).catch(() => undefined);
    }
  }
}

/**
 * Notes at once what stood in segments of the cell journal that are gone as a whole: a disk that lost its cells
 * and kept its log. Returns how many cells are lost.
 */
export async function noteLostSegments(ctx: NodeContext): Promise<number> {
  const verdicts = new Map<number, Promise<boolean>>();
  const isLost = (segment: number): Promise<boolean> => {
    const known = verdicts.get(segment) ?? ctx.state.cells.isLost(segment);
    verdicts.set(segment, known);
    return known;
  };
  let lost = 0;
  let noted: Promise<void>[] = [];
  for (const content of ctx.state.contents.all()) {
    for (const stripe of await lostStripes(content, isLost)) {
      if (ctx.state.isHole(content.id, stripe)) continue;
      lost += 1;
      noted.push(logHole(ctx, content.id, stripe));
      if (noted.length < NOTED_AT_ONCE) continue;
      await Promise.all(noted);
      noted = [];
    }
  }
  await Promise.all(noted);
  if (lost > 0) ctx.telemetry.event('error', 'segments of the cell journal are gone: their cells are holes until they are repaired', { slot: ctx.self.slot, lost });
  return lost;
}

async function lostStripes(content: Content, isLost: (segment: number) => Promise<boolean>): Promise<readonly number[]> {
  const lost: number[] = [];
  for (let stripe = 0; stripe < extentCount(content.cells); stripe += 1) {
    const block = content.shape === 'CELLS' && stripeCount(content.layout) > 1 ? Math.floor(stripe / BLOCK_ROWS) : null;
    const hasCell = !(await isLost(extentAt(content.cells, stripe).segment));
    const hasHashes = block === null || (block < extentCount(content.blocks) && !(await isLost(extentAt(content.blocks, block).segment)));
    if (!hasCell || !hasHashes) lost.push(stripe);
  }
  return lost;
}
