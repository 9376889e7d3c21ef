/**
 * The last step before bytes are given up (protocol 13.3): a content that nothing names waits in quarantine, and
 * before its space is given back every certified version is asked once more, past the index by which it got
 * here. One that is still named means that a rule of collection is broken: it is kept, and an alarm is raised.
 */
import { mapKey } from '../base/bytes.ts';
import type { NodeContext } from './context.ts';
import type { Content } from './contents.ts';
import type { KeyView, Version } from './register.ts';
import { contentIds } from './state.ts';

/** Contents freed in one turn, so that upkeep never holds the event loop for long. */
const FREED_PER_ROUND_MAX = 4096;
/** Keys looked at before others have their turn. */
const KEYS_AT_ONCE = 10_000;
/** Looking through all keys may take this share of the time at most. */
const SHARE_MAX = 0.05;

export class Quarantine {
  readonly #ctx: NodeContext;
  #notBeforeMs = Number.NEGATIVE_INFINITY;
  #alarms = 0;

  constructor(ctx: NodeContext) {
    this.#ctx = ctx;
  }

  /** Contents that were about to be deleted although a certified version names them. */
  get alarms(): number {
    return this.#alarms;
  }

  /** Gives back the space of contents that nothing has named for the quarantine's length. Returns how many. */
  async free(): Promise<number> {
    const { state, clock } = this.#ctx;
    const startMs = clock.monotonicMs();
    if (startMs < this.#notBeforeMs) return 0;
    const due = this.#due(startMs);
    if (due.length === 0) return 0;
    const named = await this.#named(new Map(due.map((content) => [mapKey(content.id), content])));
    let freed = 0;
    for (const content of due) {
      if (state.contents.get(content.id) !== content || content.boundBy.size > 0) continue;
      const version = named.get(mapKey(content.id));
      if (version !== undefined) {
        this.#alarm(content, version);
        continue;
      }
      state.write({ r: 'FREED', contentId: content.id });
      freed += 1;
    }
    await state.queuedIsDurable();
    const tookMs = clock.monotonicMs() - startMs;
    this.#notBeforeMs = startMs + tookMs / SHARE_MAX;
    return freed;
  }

  #due(nowMs: number): readonly Content[] {
    const before = nowMs - this.#ctx.tuning.quarantineMs;
    const due: Content[] = [];
    for (const content of this.#ctx.state.contents.unbound()) {
      if (due.length >= FREED_PER_ROUND_MAX) break;
      if (content.unboundAtMs !== null && content.unboundAtMs <= before) due.push(content);
    }
    return due;
  }

  /** Which of these does a certified version name that counts? */
  async #named(due: ReadonlyMap<string, Content>): Promise<ReadonlyMap<string, Version>> {
    const found = new Map<string, Version>();
    let looked = 0;
    for (const view of this.#ctx.state.register.versions()) {
      for (const version of certifiedIn(view)) {
        for (const id of contentIds(version.binds)) {
          const name = mapKey(id);
          if (due.has(name)) found.set(name, version);
        }
      }
      looked += 1;
      if (looked % KEYS_AT_ONCE === 0) await this.#ctx.clock.sleep(0);
    }
    return found;
  }

  #alarm(content: Content, version: Version): void {
    const { state, telemetry, self } = this.#ctx;
    this.#alarms += 1;
    telemetry.count('quarantine_alarms');
    telemetry.event('error', 'a content about to be deleted is still named by a certified version: it is kept', { slot: self.slot });
    state.contents.bind(content.id, version.hash);
  }
}

function certifiedIn({ max, chain }: KeyView): readonly Version[] {
  return [...(max === null ? [] : [max]), ...(chain?.kept ?? [])];
}
