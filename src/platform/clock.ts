/** The real Clock: wall time for display and retention, monotonic time for deadlines. Timers keep no process alive. */
import { performance } from 'node:perf_hooks';
import { OperationError } from '../base/errors.ts';
import type { Clock, Timer } from '../base/ports.ts';

export class SystemClock implements Clock {
  nowMs(): number {
    return Date.now();
  }

  monotonicMs(): number {
    return performance.now();
  }

  after(delayMs: number, action: () => void): Timer {
    const timer = setTimeout(action, delayMs);
    timer.unref();
    return {
      cancel: () => {
        clearTimeout(timer);
      },
    };
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const cancelled = (): void => {
        timer.cancel();
        reject(new OperationError('CANCELLED', 'The wait was cancelled.'));
      };
      const timer = this.after(delayMs, () => {
        signal?.removeEventListener('abort', cancelled);
        resolve();
      });
      if (signal?.aborted === true) cancelled();
      else signal?.addEventListener('abort', cancelled, { once: true });
    });
  }
}
