import { describe, expect, it } from 'vitest';
import { SimulatedClock, SimulatedTime } from '../sim/simulated-time.ts';
import { Pace } from './pace.ts';

const endOfTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function world() {
  const time = new SimulatedTime(endOfTurn);
  const clock = new SimulatedClock(time);
  const pace = new Pace({ clock, bytesPerSecondMax: 4_000_000, bytesPerSecondMin: 100_000, slowFactor: 1.5, slackMs: 1 });
  return { time, clock, pace };
}

describe('the pace of repair', () => {
  it('lets no more than its rate pass', async () => {
    const { time, clock, pace } = world();
    const { signal } = new AbortController();
    let moved = 0;
    const mover = (async (): Promise<void> => {
      while (clock.monotonicMs() < 5000) {
        await pace.take(50_000, signal);
        moved += 50_000;
      }
    })();
    await time.run(6000);
    await mover;
    // Five seconds at a million, and what may be taken at once in the beginning.
    expect(moved).toBeGreaterThan(4_500_000);
    expect(moved).toBeLessThan(5_500_000);
  });

  it('halves when answers get slow, once in a while, and never stops', async () => {
    const { time, pace } = world();
    for (let i = 0; i < 20; i += 1) pace.observe(10, true);
    const before = pace.bytesPerSecond;
    for (let i = 0; i < 5; i += 1) pace.observe(30, false);
    expect(pace.bytesPerSecond).toBe(before / 2);
    for (let i = 0; i < 50; i += 1) {
      await time.run(time.nowMs + 1000);
      pace.observe(30, false);
    }
    expect(pace.bytesPerSecond).toBe(100_000);
  });

  it('rises while answers are as fast as in the quiet, up to its bound', () => {
    const { pace } = world();
    pace.observe(10, true);
    for (let i = 0; i < 100; i += 1) pace.observe(12, false);
    expect(pace.bytesPerSecond).toBe(4_000_000);
  });

  it('learns what is quiet only while nothing is repaired', () => {
    const { pace } = world();
    pace.observe(10, true);
    for (let i = 0; i < 100; i += 1) pace.observe(500, false);
    expect(pace.quietMs).toBe(10);
  });
});
