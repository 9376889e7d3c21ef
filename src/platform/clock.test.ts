import { afterEach, vi } from 'vitest';
import { clockContract } from './clock.contract.ts';
import { SystemClock } from './clock.ts';

afterEach(() => {
  vi.restoreAllMocks();
});

const systemNow = Date.now;

clockContract('the system', () => ({
  clock: new SystemClock(),
  pass: (ms) => new Promise((resolve) => void setTimeout(resolve, ms)),
  // A test may not set the clock of the machine: it moves what the runtime tells of it.
  jump: (ms) => void vi.spyOn(Date, 'now').mockImplementation(() => systemNow() + ms),
}));
