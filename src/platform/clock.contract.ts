/** The contract of the Clock port; every implementation runs it. */
import { describe, expect, it } from 'vitest';
import type { Clock } from '../base/ports.ts';

export interface ClockUnderTest {
  readonly clock: Clock;
  /** Lets so much time pass, and everything happen that is due by then. */
  readonly pass: (ms: number) => Promise<void>;
  /** Sets the time of day forward or back, as a person or a time server does. */
  readonly jump: (ms: number) => void;
}

const DAY_MS = 86_400_000;

export function clockContract(name: string, make: () => ClockUnderTest): void {
  describe(`Clock over ${name}`, () => {
    it('calls back once, not before its time, and in the order of what is due', async () => {
      const { clock, pass } = make();
      const calls: string[] = [];
      const began = clock.monotonicMs();
      let tookMs = 0;
      clock.after(40, () => {
        tookMs = clock.monotonicMs() - began;
        calls.push('later');
      });
      clock.after(5, () => calls.push('sooner'));
      clock.after(0, () => calls.push('at once'));
      expect(calls).toEqual([]);
      await pass(120);
      expect(calls).toEqual(['at once', 'sooner', 'later']);
      // Timers of the system may fire a millisecond early by this clock.
      expect(tookMs).toBeGreaterThanOrEqual(38);
    });

    it('does not call back what was cancelled, and lets it be cancelled again', async () => {
      const { clock, pass } = make();
      const calls: string[] = [];
      const timer = clock.after(5, () => calls.push('cancelled'));
      timer.cancel();
      timer.cancel();
      const late = clock.after(5, () => calls.push('fired'));
      await pass(40);
      late.cancel();
      expect(calls).toEqual(['fired']);
    });

    it('sleeps until its time, or until the signal aborts', async () => {
      const { clock, pass } = make();
      const abort = new AbortController();
      const ends: string[] = [];
      const note = (what: string) => ({ done: () => void ends.push(what), failed: (error: unknown) => void ends.push(`${what} ${(error as { code?: string }).code}`) });
      for (const [what, ms, signal] of [['short', 5, undefined], ['cut', 10_000, abort.signal], ['aborted', 5, AbortSignal.abort()]] as const) {
        const { done, failed } = note(what);
        void clock.sleep(ms, signal).then(done, failed);
      }
      await pass(30);
      expect(ends.toSorted()).toEqual(['aborted CANCELLED', 'short']);
      abort.abort();
      await pass(5);
      expect(ends).toContain('cut CANCELLED');
    });

    it('never goes back', async () => {
      const { clock, pass } = make();
      const readings: number[] = [];
      for (let i = 0; i < 5; i += 1) {
        readings.push(clock.monotonicMs());
        await pass(2);
      }
      expect(readings).toEqual(readings.toSorted((a, b) => a - b));
      expect(clock.nowMs()).toBeGreaterThan(0);
    });

    it.each([DAY_MS, -DAY_MS, 3_650 * DAY_MS])('lets deadlines pass in their own time when the time of day jumps by %d ms', async (byMs) => {
      const { clock, pass, jump } = make();
      const ends: string[] = [];
      const [day, began] = [clock.nowMs(), clock.monotonicMs()];
      clock.after(20, () => ends.push('timer'));
      clock.after(10_000, () => ends.push('much later'));
      void clock.sleep(20).then(() => ends.push('sleep'));
      jump(byMs);
      expect(Math.abs(clock.nowMs() - day - byMs)).toBeLessThan(1_000);
      expect(clock.monotonicMs()).toBeGreaterThanOrEqual(began);
      expect(clock.monotonicMs() - began).toBeLessThan(1_000);
      await pass(5);
      expect(ends).toEqual([]);
      await pass(60);
      expect(ends.toSorted()).toEqual(['sleep', 'timer']);
      expect(clock.monotonicMs() - began).toBeGreaterThanOrEqual(60);
      expect(clock.monotonicMs() - began).toBeLessThan(5_000);
    });
  });
}
