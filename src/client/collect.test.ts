import { describe, expect, it } from 'vitest';
import type { Clock, Timer } from '../base/ports.ts';
import { collect } from './collect.ts';
import type { CollectOptions, Piece } from './collect.ts';

/** Time passes only when the test says so. */
class ManualClock implements Clock {
  #now = 0;
  readonly #due: { readonly atMs: number; readonly action: () => void }[] = [];

  nowMs(): number {
    return this.#now;
  }

  monotonicMs(): number {
    return this.#now;
  }

  after(delayMs: number, action: () => void): Timer {
    const entry = { atMs: this.#now + delayMs, action };
    this.#due.push(entry);
    return {
      cancel: () => {
        const at = this.#due.indexOf(entry);
        if (at >= 0) this.#due.splice(at, 1);
      },
    };
  }

  sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => this.after(delayMs, resolve));
  }

  get timers(): number {
    return this.#due.length;
  }

  async pass(ms: number): Promise<void> {
    for (let i = 0; i < ms; i += 1) {
      this.#now += 1;
      for (const entry of this.#due.filter(({ atMs }) => atMs <= this.#now)) {
        this.#due.splice(this.#due.indexOf(entry), 1);
        entry.action();
      }
      await settle();
    }
  }
}

/** Lets promises that are ready run. */
async function settle(): Promise<void> {
  for (let i = 0; i < 10; i += 1) await Promise.resolve();
}

/** Slots that answer when the test says so. */
function slots() {
  const asked: number[] = [];
  const pending = new Map<number, (piece: Piece<string, string>) => void>();
  const aborted: number[] = [];
  return {
    asked,
    aborted,
    ask: (slot: number, signal: AbortSignal) => {
      asked.push(slot);
      signal.addEventListener('abort', () => aborted.push(slot));
      return new Promise<Piece<string, string>>((resolve) => pending.set(slot, resolve));
    },
    answer: async (slot: number, piece: Piece<string, string>) => {
      pending.get(slot)?.(piece);
      await settle();
    },
  };
}

function begin(amend: Partial<CollectOptions<string, string>> = {}) {
  const clock = new ManualClock();
  const nodes = slots();
  const options = {
    clock,
    order: [3, 1, 0, 2],
    need: 2,
    ask: nodes.ask,
    hedgeMs: 10,
    timeoutMs: 100,
    retryMs: 20,
    ...amend,
  };
  return { clock, nodes, collected: collect<string, string>(options) };
}

const piece = (value: string): Piece<string, string> => ({ kind: 'piece', value });

describe('collecting pieces', () => {
  it('asks as many as it needs, the preferred first', async () => {
    const { nodes, collected } = begin();
    expect(nodes.asked).toEqual([3, 1]);
    await nodes.answer(1, piece('b'));
    await nodes.answer(3, piece('a'));
    expect(await collected).toEqual({ kind: 'enough', pieces: new Map([[1, 'b'], [3, 'a']]) });
    expect(nodes.asked).toEqual([3, 1]);
  });

  it('asks the next one for each that gives none', async () => {
    const { nodes, collected } = begin();
    await nodes.answer(3, { kind: 'none' });
    expect(nodes.asked).toEqual([3, 1, 0]);
    await nodes.answer(0, piece('c'));
    await nodes.answer(1, piece('b'));
    expect((await collected).kind).toBe('enough');
  });

  it('asks one more whenever all are slow, in the end all of them', async () => {
    const { clock, nodes, collected } = begin();
    await clock.pass(9);
    expect(nodes.asked).toHaveLength(2);
    await clock.pass(1);
    expect(nodes.asked).toEqual([3, 1, 0]);
    await clock.pass(50);
    expect(nodes.asked).toEqual([3, 1, 0, 2]);
    await nodes.answer(2, piece('d'));
    await nodes.answer(0, piece('c'));
    expect((await collected).kind).toBe('enough');
    expect(nodes.aborted.sort()).toEqual([1, 3]);
  });

  it('asks again, later, whom it could not reach', async () => {
    const { clock, nodes, collected } = begin({ order: [0, 1], hedgeMs: 1000 });
    await nodes.answer(0, { kind: 'later' });
    await nodes.answer(1, piece('b'));
    expect(nodes.asked).toEqual([0, 1]);
    await clock.pass(20);
    expect(nodes.asked).toEqual([0, 1, 0]);
    await nodes.answer(0, piece('a'));
    expect((await collected).kind).toBe('enough');
    expect(clock.timers).toBe(0);
  });

  it('is exhausted when everyone has said no, and only then', async () => {
    const { nodes, collected } = begin({ order: [0, 1, 2] });
    await nodes.answer(0, piece('a'));
    await nodes.answer(1, { kind: 'none' });
    await nodes.answer(2, { kind: 'none' });
    expect(await collected).toEqual({ kind: 'short', pieces: new Map([[0, 'a']]), exhausted: true });
  });

  it('ends when the time is over, without calling anyone a refuser', async () => {
    const { clock, nodes, collected } = begin();
    await nodes.answer(3, piece('a'));
    await clock.pass(100);
    expect(await collected).toEqual({ kind: 'short', pieces: new Map([[3, 'a']]), exhausted: false });
    expect(clock.timers).toBe(0);
  });

  it('ends at once when a slot makes it pointless, or when the caller gives up', async () => {
    const stopped = begin();
    await stopped.nodes.answer(1, { kind: 'stop', value: 'newer' });
    expect(await stopped.collected).toEqual({ kind: 'stopped', value: 'newer' });
    const abort = new AbortController();
    const given = begin({ signal: abort.signal });
    abort.abort();
    expect(await given.collected).toMatchObject({ kind: 'short', exhausted: false });
    expect(given.nodes.aborted.sort()).toEqual([1, 3]);
  });

  it('rejects with what asking throws', async () => {
    const { collected } = begin({ ask: () => Promise.reject(new Error('bug')) });
    await expect(collected).rejects.toThrow('bug');
  });
});
