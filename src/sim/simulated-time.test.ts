/** Simulated time keeps the contract of the Clock port, and is wrong, paused and stopped as a run wants it. */
import { describe, expect, it } from 'vitest';
import { clockContract } from '../platform/clock.contract.ts';
import { SimulatedClock, SimulatedTime } from './simulated-time.ts';

const endOfTurn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

clockContract('simulated time', () => {
  const time = new SimulatedTime(endOfTurn);
  const clock = new SimulatedClock(time);
  return { clock, pass: (ms) => time.run(time.nowMs + ms), jump: (skewMs) => clock.distort({ skewMs, rate: 1 }) };
});

describe('SimulatedTime', () => {
  it('works off what is due by time, and at one time by order, whatever the order of asking', async () => {
    const time = new SimulatedTime(endOfTurn);
    const seen: string[] = [];
    const times = [5, 3, 9, 3, 1, 7, 3, 0, 8, 2, 6, 4];
    for (const [index, ms] of times.entries()) time.at(ms, () => seen.push(`${ms}:${index}`));
    await time.run(Infinity);
    expect(seen).toEqual(times.map((ms, index) => [ms, index] as const).toSorted(([a, i], [b, j]) => a - b || i - j).map(([ms, index]) => `${ms}:${index}`));
  });

  it('lets everything that an action sets in motion end before time moves on', async () => {
    const time = new SimulatedTime(endOfTurn);
    const clock = new SimulatedClock(time);
    const seen: string[] = [];
    clock.after(1, () => {
      void (async () => {
        for (let i = 0; i < 50; i += 1) await Promise.resolve();
        seen.push(`settled at ${clock.monotonicMs()}`);
      })();
    });
    clock.after(2, () => seen.push('next'));
    await time.run(10);
    expect(seen).toEqual(['settled at 1', 'next']);
  });

  it('stops when it is over, and goes on from there', async () => {
    const time = new SimulatedTime(endOfTurn);
    const seen: number[] = [];
    for (const ms of [1, 2, 3]) time.at(ms, () => seen.push(ms));
    await time.run(100, () => seen.length === 2);
    expect([time.nowMs, ...seen]).toEqual([2, 1, 2]);
    await time.run(100);
    expect([time.nowMs, ...seen]).toEqual([100, 1, 2, 3]);
  });
});

describe('SimulatedClock', () => {
  it('may run fast or slow and be off, and goes on from what it showed', async () => {
    const time = new SimulatedTime(endOfTurn);
    const right = new SimulatedClock(time);
    const wrong = new SimulatedClock(time, { skewMs: 60_000, rate: 2 });
    const fired: number[] = [];
    wrong.after(100, () => fired.push(time.nowMs));
    await time.run(80);
    expect(fired).toEqual([50]);
    expect(wrong.monotonicMs()).toBe(160);
    expect(wrong.nowMs() - right.nowMs()).toBe(60_000);
    wrong.distort({ skewMs: -1_000, rate: 0.5 });
    await time.run(180);
    expect(wrong.monotonicMs()).toBe(210);
    expect(wrong.nowMs() - right.nowMs()).toBe(-1_000);
  });

  it('holds back in a pause what comes due, and does it afterwards in order', async () => {
    const time = new SimulatedTime(endOfTurn);
    const clock = new SimulatedClock(time);
    const seen: string[] = [];
    clock.after(1, () => seen.push('a'));
    clock.after(2, () => seen.push('b'));
    clock.pause();
    await time.run(5);
    expect(seen).toEqual([]);
    clock.resume();
    expect(seen).toEqual(['a', 'b']);
  });

  it('does nothing any more once it has stopped', async () => {
    const time = new SimulatedTime(endOfTurn);
    const clock = new SimulatedClock(time);
    const seen: string[] = [];
    clock.after(1, () => seen.push('timer'));
    void clock.sleep(1).then(() => seen.push('sleep'));
    clock.stop();
    clock.resume();
    await time.run(5);
    expect(seen).toEqual([]);
  });
});
